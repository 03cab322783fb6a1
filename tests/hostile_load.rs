//! Load that somebody means to do harm with, on the real binary and a real Apache Kafka: ten times the rate, one key with
//! nine of ten records, a flood of keys against a small budget, garbage in between. Memory stays bounded, the group
//! stays as it is, and the books balance whenever somebody looks.
//!
//! What fifteen seconds of it are, however long a busy machine takes to send that; `RISKWEIR_HOSTILE_SECONDS=60` makes it the full
//! minute. Linux only: it reads `/proc`.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]
#![expect(clippy::print_stdout, reason = "a load says what it found")]

mod support;

use std::fs;
use std::time::{Duration, Instant};

use serde_json::Value;

use support::binary::{Binary, wait_for};
use support::broker::Broker;
use support::dice::Dice;
use support::fleet::{Feed, Fleet};
use support::topics::NewRecord;
use support::wait;

const PARTITIONS: i32 = 2;
/// What a quiet day brings, records a second.
const USUAL_RATE: u64 = 200;
const TICK: Duration = Duration::from_millis(20);
const START_MS: u64 = 1_740_978_000_000;

fn seconds() -> u64 {
    std::env::var("RISKWEIR_HOSTILE_SECONDS").map_or(15, |text| text.parse().expect("seconds"))
}

/// Resident memory of a process, bytes.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap() * 1_024
}

fn payment(n: u64, account: &str) -> NewRecord {
    let body = format!(
        r#"{{"id":"p{n}","at":{},"account":"{account}","payee":"x{}","amount":"5.00","currency":"EUR"}}"#,
        START_MS + n / 10,
        n % 7,
    );
    let mut record = NewRecord::new(account, body, 0)
        .at_partition(i32::try_from(n % u64::from(PARTITIONS.unsigned_abs())).unwrap());
    record.timestamp_ms = None;
    record
}

/// What was seen on the way.
struct Seen {
    n: u64,
    most_resident: u64,
    scrapes: u64,
}

/// Sends at ten times the usual rate what `make` makes of the record's number, and looks at the books meanwhile.
fn attack(
    fleet: &Fleet<'_>,
    service: &Binary,
    mut make: impl FnMut(u64, &mut Dice) -> NewRecord,
) -> Seen {
    let (feed, mut dice) = (Feed::new(fleet), Dice::new(3));
    let mut seen = Seen { n: 0, most_resident: 0, scrapes: 0 };
    let per_tick = USUAL_RATE * 10 * u64::try_from(TICK.as_millis()).unwrap() / 1_000;
    let mut looked_at = Instant::now();
    while seen.n < USUAL_RATE * 10 * seconds() {
        for _ in 0..per_tick {
            feed.send(&make(seen.n, &mut dice));
            seen.n += 1;
        }
        if looked_at.elapsed() > Duration::from_millis(250) {
            // The scrape itself asserts that the books balance.
            seen.scrapes += u64::from(service.books().is_some());
            seen.most_resident = seen.most_resident.max(resident(service.pid()));
            looked_at = Instant::now();
        }
        wait::pass(TICK);
    }
    feed.end();
    service.wait_done(seen.n);
    fleet.wait_committed(usize::try_from(seen.n).unwrap(), &[service]);
    seen.most_resident = seen.most_resident.max(resident(service.pid()));
    seen
}

#[track_caller]
fn check(service: Binary, seen: &Seen, what: &str) {
    assert!(seen.scrapes > seconds(), "{} scrapes", seen.scrapes);
    let rebalances = service.metric("riskweir_rebalances_total");
    println!("{what}: {} records, at most {} MiB resident", seen.n, seen.most_resident >> 20);
    service.signal("-TERM");
    let (code, said) = service.ended();
    assert_eq!((code, rebalances), (Some(0), Some(1.0)), "{said}");
}

fn start(fleet: &Fleet<'_>, extra: &[&str]) -> Binary {
    let service = fleet.start("one", extra);
    wait_for(&service, "/readyz", 200);
    service
}

#[test]
fn ten_times_the_rate_on_one_hot_key_with_garbage_loses_nothing_and_keeps_the_group() {
    let fleet = Fleet::new(Broker::shared(), "hot", ("transactional", PARTITIONS));
    let service = start(&fleet, &[]);
    let mut garbage = 0;
    let seen = attack(&fleet, &service, |n, dice| {
        let account =
            if dice.one_in(10) { format!("a{}", dice.below(1_000)) } else { "hot".into() };
        let mut record = payment(n, &account);
        if dice.one_in(100) {
            garbage += 1;
            let length = usize::try_from(1 + dice.below(300)).unwrap();
            record.payload = Some((0..length).map(|_| dice.word().to_le_bytes()[0]).collect());
        }
        record
    });
    let books = service.books().unwrap();
    assert_eq!((books.decided, books.dead_lettered), (seen.n - garbage, garbage));
    check(service, &seen, "hot key");
    let n = usize::try_from(seen.n).unwrap();
    assert_eq!(fleet.bodies("decisions").len() + fleet.bodies("dead_letter").len(), n);
}

#[test]
fn a_flood_of_keys_stays_in_its_budget_and_evictions_are_counted_and_marked() {
    let fleet = Fleet::new(Broker::shared(), "flood", ("idempotent", PARTITIONS));
    let service = start(&fleet, &["state.budget=4MiB"]);
    let before = resident(service.pid());
    let seen = attack(&fleet, &service, |n, dice| {
        // Every tenth comes back to a key that was evicted in the meantime.
        let account = if dice.one_in(10) { dice.below(n + 1) } else { n };
        payment(n, &format!("account-with-a-long-name-{account}"))
    });
    let (evictions, bytes) = ("riskweir_state_evictions_total", "riskweir_state_bytes");
    let (evictions, bytes) = (service.metric(evictions).unwrap(), service.metric(bytes).unwrap());
    assert!(evictions > 1_000.0, "{evictions} keys after {} records, {bytes} bytes", seen.n);
    assert!(bytes <= 4.2 * 1_024.0 * 1_024.0, "{bytes} bytes");
    check(service, &seen, "flood of keys");
    // 4 MiB of windows; the rest is clients' queues, which have limits of their own.
    let grown = seen.most_resident.saturating_sub(before);
    assert!(grown < 200 << 20, "{} MiB more than at the start", grown >> 20);
    let is_capped = |body: &Vec<u8>| {
        let decision: Value = serde_json::from_slice(body).unwrap();
        decision["provenance"].as_array().unwrap().iter().any(|word| word == "capped")
    };
    let capped = fleet.bodies("decisions").iter().filter(|body| is_capped(body)).count();
    assert!(capped > 100, "{capped} decisions are marked");
}
