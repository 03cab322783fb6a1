//! What came of the traffic: sets outputs beside the generator's labels. The labels stay here; the engine never has
//! them.
//!
//! An alert, hold, second factor or block is *right* when the very event that it speaks of belongs to a fraud. A fraud
//! (an episode) is *noticed* when at least one of its events was alerted or stopped; *stopped* when at least one was
//! held, blocked or sent to a second factor. Repeated decisions of duplicate records count in the books only.
//!
//! Cost: a few hundred bytes for each of the last [`RECENT`] records, and a few for each episode.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

use crate::base::count::nearest_f64;
use crate::demo::latency::Latencies;
use crate::demo::traffic::{Delivery, Scenario, TrafficEvent};
use crate::demo::wire::{Alert, Decision, Hold, ModelScore};

/// How many of the last records are remembered. An output that comes later than this many records cannot be judged.
pub const RECENT: usize = 50_000;

/// What is known of a record that was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// When it was due, after the beginning.
    pub due: Duration,
    /// The fraud that it belongs to.
    pub label: Option<Scenario>,
    /// Which one.
    pub episode: u32,
    /// `12.50 EUR`
    pub amount: Option<String>,
    /// Whether it was alerted or stopped.
    pub is_noticed: bool,
    /// The key of its record: the customer.
    pub key: String,
    /// Event time, ms since 1970.
    pub time_ms: i64,
}

/// How often something was right and how often not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// On an event of a fraud.
    pub right: u64,
    /// On an honest event.
    pub wrong: u64,
}

impl Verdicts {
    fn count(&mut self, is_fraud: bool) {
        *(if is_fraud { &mut self.right } else { &mut self.wrong }) += 1;
    }

    /// All of them.
    pub fn total(self) -> u64 {
        self.right + self.wrong
    }

    /// Share that was right; none of none.
    pub fn precision(self) -> Option<f64> {
        share(self.right, self.total())
    }
}

/// A share; none of nothing.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| nearest_f64(part) / nearest_f64(whole))
}

/// What one rule did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RuleTally {
    /// Alerts.
    pub alerts: Verdicts,
    /// Events that it wanted stopped: held, blocked or sent to a second factor.
    pub stops: Verdicts,
}

/// What became of one kind of fraud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScenarioTally {
    /// Its records.
    pub events: u64,
    /// Records that were alerted or stopped.
    pub noticed_events: u64,
    /// Its episodes.
    pub episodes: BTreeSet<u32>,
    /// Episodes with a record that was alerted or stopped.
    pub noticed: BTreeSet<u32>,
    /// Episodes with a record that was stopped.
    pub stopped: BTreeSet<u32>,
}

/// An event that a model gave a high place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Its type.
    pub event_type: String,
    /// `12.50 EUR`
    pub amount: Option<String>,
    /// The fraud that it belongs to.
    pub label: Option<Scenario>,
    /// What the model said.
    pub score: ModelScore,
}

impl Example {
    fn rank(&self) -> (bool, Option<u32>) {
        (self.label.is_some(), self.score.percentile_ppm)
    }
}

/// A record without a decision that was read.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Event time, ms since 1970.
    pub time_ms: i64,
    /// When it went out.
    pub sent_at: Instant,
}

/// What became of second factors that payments wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Challenges {
    /// Passed: the payment goes.
    pub passed: u64,
    /// Failed: it stays held, or is refused.
    pub failed: u64,
    /// Nobody answered in time: the same.
    pub unanswered: u64,
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    facts: HashMap<String, Fact>,
    order: VecDeque<String>,
    /// Records without a decision that was read, by event time and id; and when they were sent.
    open: BTreeMap<(i64, String), Instant>,
    /// Holds that wait for a second factor.
    waiting: BTreeSet<String>,
    /// Records sent.
    pub sent: u64,
    /// Decisions per outcome.
    pub decided: BTreeMap<String, u64>,
    /// Decisions that repeat an earlier one.
    pub repeated: u64,
    /// Dead letters per reason.
    pub dead_lettered: BTreeMap<String, u64>,
    /// Alerts.
    pub alerts: Verdicts,
    /// Holds that were placed.
    pub holds: Verdicts,
    /// Holds that expired.
    pub holds_expired: u64,
    /// Payments that were blocked.
    pub blocks: Verdicts,
    /// Payments that were sent to a second factor.
    pub step_ups: Verdicts,
    /// What became of them.
    pub challenges: Challenges,
    /// Answers of customers that were sent.
    pub replies: u64,
    /// Answers that are to be sent.
    pub to_send: VecDeque<TrafficEvent>,
    /// Per name of the rule; `policy` is a score band.
    pub rules: BTreeMap<String, RuleTally>,
    /// Per name of a rule that only watches.
    pub watching: BTreeMap<String, Verdicts>,
    /// Per model an event that it told of: a fraud rather than an honest one, then the one with the highest place.
    pub examples: BTreeMap<String, Example>,
    /// Per kind of fraud.
    pub scenarios: BTreeMap<Scenario, ScenarioTally>,
    /// From the moment a record was due to the moment its decision was read.
    pub latency: Latencies,
    /// Outputs about records that are not remembered.
    pub unknown: u64,
}

impl Tally {
    /// A record goes out.
    pub fn on_sent(&mut self, event: &TrafficEvent, due: Duration) {
        self.sent += 1;
        // WHY: a duplicate is the same event once more, and the first record is the one that asked.
        let Entry::Vacant(place) = self.facts.entry(event.event_id.clone()) else { return };
        let TrafficEvent { label, episode, .. } = *event;
        let (key, time_ms) = (event.key.clone(), event.time_ms);
        let amount = amount(&event.body);
        place.insert(Fact { due, label, episode, amount, is_noticed: false, key, time_ms });
        // What is malformed is never decided under its id.
        if event.delivery != Delivery::Malformed {
            self.open.insert((time_ms, event.event_id.clone()), Instant::now());
        }
        self.order.push_back(event.event_id.clone());
        if let Some(label) = label {
            let scenario = self.scenarios.entry(label).or_default();
            scenario.events += 1;
            scenario.episodes.insert(episode);
        }
        if self.order.len() > RECENT
            && let Some(oldest) = self.order.pop_front()
        {
            self.forget(oldest);
        }
    }

    /// A decision was read, so long after the beginning.
    pub fn on_decision(&mut self, decision: &Decision, at: Duration) {
        *self.decided.entry(decision.outcome.clone()).or_default() += 1;
        if decision.duplicate {
            self.repeated += 1;
            return;
        }
        let Some(fact) = self.facts.get(&decision.event.id) else {
            self.unknown += 1;
            return;
        };
        self.open.remove(&(fact.time_ms, decision.event.id.clone()));
        self.latency.observe(at.saturating_sub(fact.due));
        let is_fraud = fact.label.is_some();
        for rule in &decision.shadow {
            self.watching.entry(rule.name.clone()).or_default().count(is_fraud);
        }
        for score in &decision.models {
            let it = Example {
                event_type: decision.event.event_type.clone(),
                amount: fact.amount.clone(),
                label: fact.label,
                score: score.clone(),
            };
            let best = self.examples.get(&score.model);
            if best.is_none_or(|best| it.rank() > best.rank()) {
                self.examples.insert(score.model.clone(), it);
            }
        }
        match decision.outcome.as_str() {
            "block" => self.blocks.count(is_fraud),
            "step_up" => self.step_ups.count(is_fraud),
            "hold" => {}
            _ => return,
        }
        self.notice(&decision.event.id, true);
        for contribution in &decision.contributions {
            let stops = |action: &String| matches!(action.as_str(), "block" | "hold" | "step_up");
            if contribution.actions.iter().any(stops) {
                self.rules.entry(contribution.name.clone()).or_default().stops.count(is_fraud);
            }
        }
    }

    /// An alert was read.
    pub fn on_alert(&mut self, alert: &Alert) {
        let Some(is_fraud) = self.is_fraud(&alert.event.id) else { return };
        self.alerts.count(is_fraud);
        self.rules.entry(alert.name.clone()).or_default().alerts.count(is_fraud);
        self.notice(&alert.event.id, false);
    }

    /// A state of a hold was read.
    pub fn on_hold(&mut self, hold: &Hold) {
        // Somebody who claims it places none.
        if hold.state != "placed" || hold.by.is_some() {
            self.on_hold_step(hold);
            return;
        }
        if hold.challenge.is_some() {
            self.waiting.insert(hold.hold_id.clone());
        }
        if let Some(is_fraud) = self.is_fraud(&hold.subject.id) {
            self.holds.count(is_fraud);
        }
    }

    fn on_hold_step(&mut self, hold: &Hold) {
        self.holds_expired += u64::from(hold.state == "expired");
        if !self.waiting.remove(&hold.hold_id) {
            return;
        }
        let Challenges { passed, failed, unanswered } = &mut self.challenges;
        let count = match (hold.answered_by.is_some(), hold.state.as_str()) {
            (true, "released" | "extended") => passed,
            (true, _) => failed,
            (false, _) => unanswered,
        };
        *count += 1;
    }

    /// The oldest record without a decision that was read.
    pub fn oldest_open(&self) -> Option<Open> {
        let ((time_ms, _), sent_at) = self.open.first_key_value()?;
        Some(Open { time_ms: *time_ms, sent_at: *sent_at })
    }

    /// No longer waits for the decision about the oldest record.
    pub fn give_up_oldest(&mut self) {
        self.open.pop_first();
    }

    /// A dead letter was read.
    pub fn on_dead_letter(&mut self, reason: &str) {
        *self.dead_lettered.entry(reason.to_owned()).or_default() += 1;
    }

    /// What is known of a record.
    pub fn fact(&self, event_id: &str) -> Option<&Fact> {
        self.facts.get(event_id)
    }

    /// Decisions and dead letters that were read: answers to records.
    pub fn answered(&self) -> u64 {
        self.decided.values().chain(self.dead_lettered.values()).sum()
    }

    fn forget(&mut self, event_id: String) {
        if let Some(fact) = self.facts.remove(&event_id) {
            self.open.remove(&(fact.time_ms, event_id));
        }
    }

    fn is_fraud(&mut self, event_id: &str) -> Option<bool> {
        let known = self.facts.get(event_id).map(|fact| fact.label.is_some());
        self.unknown += u64::from(known.is_none());
        known
    }

    fn notice(&mut self, event_id: &str, is_stopped: bool) {
        let Some(fact) = self.facts.get_mut(event_id) else { return };
        let Some(label) = fact.label else { return };
        let scenario = self.scenarios.entry(label).or_default();
        scenario.noticed_events += u64::from(!fact.is_noticed);
        fact.is_noticed = true;
        scenario.noticed.insert(fact.episode);
        if is_stopped {
            scenario.stopped.insert(fact.episode);
        }
    }
}

/// The amount as the generator wrote it: `"amount":{"value":"12.50","currency":"EUR"}`.
fn amount(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once("\"amount\":{\"value\":\"")?;
    let (value, rest) = rest.split_once("\",\"currency\":\"")?;
    let (currency, _) = rest.split_once('"')?;
    Some(format!("{value} {currency}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::traffic::Delivery;

    fn sent(id: &str, fraud: Option<(Scenario, u32)>) -> TrafficEvent {
        TrafficEvent {
            topic: "t",
            key: "k".to_owned(),
            time_ms: 0,
            body: br#"{"amount":{"value":"12.50","currency":"EUR"}}"#.to_vec(),
            label: fraud.map(|(scenario, _)| scenario),
            episode: fraud.map_or(0, |(_, episode)| episode),
            event_id: id.to_owned(),
            delivery: Delivery::InOrder,
        }
    }

    fn decision(id: &str, outcome: &str, actions: &[&str]) -> Decision {
        serde_json::from_value(serde_json::json!({
            "event": {"id": id, "type": "x", "time": ""}, "duplicate": false, "outcome": outcome,
            "contributions": [{"name": "r", "actions": actions}],
        }))
        .unwrap()
    }

    fn alert(id: &str) -> Alert {
        serde_json::from_value(serde_json::json!({
            "name": "a", "severity": "low", "message": "", "event": {"id": id, "type": "x", "time": ""},
            "outcome": "pass", "score": 0, "episode": {"seq": 1, "count": 1},
        }))
        .unwrap()
    }

    #[test]
    fn an_episode_is_noticed_by_an_alert_and_stopped_only_by_an_outcome() {
        let mut tally = Tally::default();
        let ms = Duration::from_millis;
        for (id, fraud) in [
            ("a", Some((Scenario::SimSwap, 1))),
            ("b", Some((Scenario::SimSwap, 1))),
            ("c", Some((Scenario::SimSwap, 2))),
            ("d", Some((Scenario::SimSwap, 3))),
            ("e", None),
        ] {
            tally.on_sent(&sent(id, fraud), ms(10));
        }
        for (id, outcome) in [("a", "pass"), ("b", "hold"), ("c", "pass"), ("d", "pass")] {
            tally.on_decision(&decision(id, outcome, &["hold"]), ms(14));
        }
        tally.on_decision(&decision("e", "step_up", &["step_up", "alert"]), ms(15));
        tally.on_alert(&alert("c"));
        tally.on_alert(&alert("c"));
        tally.on_alert(&alert("e"));
        let of = &tally.scenarios[&Scenario::SimSwap];
        assert_eq!((of.events, of.noticed_events), (4, 2));
        assert_eq!((of.episodes.len(), of.noticed.len(), of.stopped.len()), (3, 2, 1));
        assert_eq!(tally.alerts, Verdicts { right: 2, wrong: 1 });
        assert_eq!(tally.step_ups, Verdicts { right: 0, wrong: 1 });
        assert_eq!(tally.rules["r"].stops, Verdicts { right: 1, wrong: 1 });
        assert_eq!(tally.answered(), 5);
        assert_eq!(tally.latency.permille(1_000), Some(ms(5)));
        assert_eq!(tally.fact("a").unwrap().amount.as_deref(), Some("12.50 EUR"));
    }

    #[test]
    fn a_duplicate_counts_in_the_books_and_nowhere_else() {
        let mut tally = Tally::default();
        let event = sent("a", Some((Scenario::SimSwap, 1)));
        tally.on_sent(&event, Duration::ZERO);
        tally.on_sent(&event, Duration::ZERO);
        tally.on_decision(&decision("a", "block", &["block"]), Duration::ZERO);
        let repeated = Decision { duplicate: true, ..decision("a", "block", &["block"]) };
        tally.on_decision(&repeated, Duration::ZERO);
        assert_eq!((tally.sent, tally.answered(), tally.repeated), (2, 2, 1));
        assert_eq!(tally.scenarios[&Scenario::SimSwap].events, 1);
        assert_eq!(tally.blocks.total(), 1);
        assert_eq!(tally.latency.total(), 1);
    }

    #[test]
    fn what_only_watches_is_counted_apart_and_a_model_is_shown_at_its_best_fraud() {
        let mut tally = Tally::default();
        let said = [("a", None, 999_000), ("b", Some((Scenario::CardTesting, 1)), 995_000)];
        let more = [("c", Some((Scenario::CardTesting, 1)), 998_000), ("d", None, 1_000_000)];
        for (id, fraud, place) in said.into_iter().chain(more) {
            tally.on_sent(&sent(id, fraud), Duration::ZERO);
            let decision = serde_json::from_value(serde_json::json!({
                "event": {"id": id, "type": "x", "time": ""}, "duplicate": false, "outcome": "pass",
                "shadow": [{"name": "odd", "actions": ["score"]}],
                "models": [{"model": "m", "percentile_ppm": place, "features": [{"reason": id}]}],
            }));
            tally.on_decision(&decision.unwrap(), Duration::ZERO);
        }
        assert_eq!(tally.watching["odd"], Verdicts { right: 2, wrong: 2 });
        let best = &tally.examples["m"];
        assert_eq!(best.score.features[0].reason, "c");
        assert_eq!(
            (best.label, best.amount.as_deref()),
            (Some(Scenario::CardTesting), Some("12.50 EUR"))
        );
        assert!(tally.rules.is_empty(), "a rule that watches does nothing");
    }

    #[test]
    fn memory_is_bounded_by_the_recent_records() {
        let mut tally = Tally::default();
        for n in 0..RECENT + 10 {
            tally.on_sent(&sent(&n.to_string(), None), Duration::ZERO);
        }
        assert_eq!(tally.facts.len(), RECENT);
        assert!(tally.fact("9").is_none() && tally.fact("10").is_some());
    }
}
