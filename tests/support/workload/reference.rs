//! The expected alerts by brute force: every event looks at every earlier event of its account and of its device.
//!
//! Nothing is forgotten, nothing is carried from one event to the next, money is whole cents. An event sees what came
//! before it in the file and is not younger than itself; it never changes its mind.
//!
//! # Cost
//! Quadratic in the events of one key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;
const WEEK_MS: i64 = 7 * DAY_MS;

/// The part of a payment that rules look at.
#[derive(Clone, Debug, Deserialize)]
struct Event {
    event_id: String,
    ts: i64,
    account_id: String,
    device_id: String,
    merchant_id: String,
    amount: f64,
    country: String,
    channel: String,
}

impl Event {
    #[expect(clippy::cast_possible_truncation, reason = "amounts are a few thousand")]
    fn cents(&self) -> i128 {
        (self.amount * 100.0).round() as i128
    }
}

/// Earlier events of one key, the present one at the end.
struct Past<'a> {
    events: Vec<&'a Event>,
}

impl<'a> Past<'a> {
    fn present(&self) -> &'a Event {
        self.events[self.events.len() - 1]
    }

    /// Events that are not younger than the present one and not older than `length_ms`, the present one included.
    fn window(&self, length_ms: i64) -> impl Iterator<Item = &'a Event> {
        let now_ms = self.present().ts;
        let inside = move |event: &&Event| event.ts <= now_ms && event.ts > now_ms - length_ms;
        self.events.iter().copied().filter(inside)
    }

    fn count(&self, length_ms: i64) -> i128 {
        self.window(length_ms).map(|_| 1).sum()
    }

    fn sum(&self, length_ms: i64) -> i128 {
        self.window(length_ms).map(Event::cents).sum()
    }

    fn merchants(&self, length_ms: i64) -> usize {
        self.window(length_ms).map(|event| &event.merchant_id).collect::<BTreeSet<_>>().len()
    }

    /// Time since the youngest earlier event that is not younger than the present one.
    fn since_ms(&self) -> Option<i64> {
        let now_ms = self.present().ts;
        let earlier = &self.events[..self.events.len() - 1];
        let newest = earlier.iter().map(|event| event.ts).filter(|ts| *ts <= now_ms).max();
        newest.map(|newest| now_ms - newest)
    }

    /// Whether the present amount lies more than 2.5 standard deviations above the mean of the day.
    ///
    /// With n, the sum and the sum of squares: c > S/n + 5/2 sqrt(nQ - S²)/n, multiplied by 2n and squared.
    fn stands_out(&self) -> bool {
        let (n, sum) = (self.count(DAY_MS), self.sum(DAY_MS));
        let squares: i128 = self.window(DAY_MS).map(|event| event.cents().pow(2)).sum();
        let above = n * self.present().cents() - sum;
        above > 0 && 4 * above.pow(2) > 25 * (n * squares - sum.pow(2))
    }
}

/// Numbers of the rules that hit, ascending.
fn hits(by_account: &Past<'_>, by_device: &Past<'_>) -> Vec<u32> {
    let event = by_account.present();
    let cents = event.cents();
    let (in_10m, in_1h) = (by_account.count(10 * MINUTE_MS), by_account.count(HOUR_MS));
    let in_24h = by_account.count(DAY_MS);
    let merchants = by_account.merchants(HOUR_MS);
    let largest = by_account.window(WEEK_MS).map(Event::cents).max();
    let rules = [
        in_10m >= 6 && cents <= 1_000,
        in_10m >= 3 && by_account.sum(10 * MINUTE_MS) > 300_000,
        in_1h >= 12 && merchants >= 10 && cents > 20_000,
        by_account.sum(HOUR_MS) > 900_000,
        in_24h >= 20 && by_account.sum(DAY_MS) > 2_500_000 && cents > 30_000,
        merchants >= 8 && event.channel == "ecom" && cents < 500,
        by_device.count(HOUR_MS) >= 12,
        in_24h >= 8 && cents > 20_000 && by_account.stands_out(),
        in_1h >= 3 && cents < 500 && by_account.since_ms().is_some_and(|since| since < 3_000),
        in_24h >= 2 && Some(cents) >= largest && cents > 100_000 && event.country != "DE",
    ];
    (1..).zip(rules).filter_map(|(number, hit)| hit.then_some(number)).collect()
}

/// The expected alerts of a file: a line per event that at least one rule hits, in input order.
pub(crate) fn alerts(ndjson: &str) -> String {
    let events: Vec<Event> =
        ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut of_account: BTreeMap<&str, Past<'_>> = BTreeMap::new();
    let mut of_device: BTreeMap<&str, Past<'_>> = BTreeMap::new();
    let mut lines = String::new();
    for event in &events {
        let account = of_account.entry(&event.account_id).or_insert(Past { events: Vec::new() });
        let device = of_device.entry(&event.device_id).or_insert(Past { events: Vec::new() });
        account.events.push(event);
        device.events.push(event);
        let hits = hits(account, device);
        if !hits.is_empty() {
            push_alert(&event.event_id, &hits, &mut lines);
        }
    }
    lines
}

/// Appends one alert in the form that files of alerts are compared in.
pub(crate) fn push_alert(event_id: &str, rules: &[u32], lines: &mut String) {
    let rules: Vec<String> = rules.iter().map(u32::to_string).collect();
    lines.push_str(&format!("{{\"event_id\":\"{event_id}\",\"rules\":[{}]}}\n", rules.join(",")));
}
