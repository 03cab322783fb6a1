//! What customers answer when a payment of theirs is sent to a second factor.
//!
//! Traffic is drawn before anything is decided, so it holds no answers. Whoever reads the decisions asks here, as an app asks
//! its user, and sends what comes back as one more record of the wallet. The same seed and the same payment give the same
//! reply, whatever else is decided.
//!
//! Honest people pass, but for a few who mistype or look away. Of frauds some pass: whoever moved the victim's number, or
//! talks to the victim, has the second factor, too.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::time::format_rfc3339;
use crate::demo::tally::Fact;
use crate::demo::traffic::{Delivery, TrafficEvent, WALLET_TOPIC};
use crate::demo::wire::Decision;
use crate::rules::program::Program;

/// The event type of the shipped schema that says how a second factor was answered.
const EVENT: &str = "step_up";

/// Per cent of honest people who pass, and who fail; the others do not answer.
const HONEST: [u64; 2] = [85, 8];
/// The same of frauds.
const FRAUD: [u64; 2] = [20, 50];

/// How long an answer takes: from this on, and so much longer at most, in ms.
const TAKES_MS: (i64, u64) = (20_000, 70_000);

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It was them.
    Passed,
    /// It was not, or they made a mistake.
    Failed,
    /// Nobody says anything.
    Silent,
}

/// The customers.
#[derive(Clone, Debug)]
pub struct Customers {
    seed: u64,
    /// The types of events whose second factor the rules read answers of.
    events: BTreeSet<String>,
}

impl Customers {
    /// Those of a seed. Rules whose schema reads no answers get none.
    pub fn of(seed: u64, program: &Program) -> Self {
        let schema = &program.schema;
        let mut own = schema.events.iter().filter(|event| event.name == EVENT);
        let own = own.find(|event| event.topic.as_deref() == Some(WALLET_TOPIC));
        let answered = own.and_then(|event| event.answers.as_ref());
        let events = answered.iter().flat_map(|answers| &answers.events);
        Self { seed, events: events.map(|event| schema.event(*event).name.clone()).collect() }
    }

    /// What comes back where a decision asks for a second factor, and the record that says so.
    pub fn ask(&self, decision: &Decision, fact: &Fact) -> Option<(Reply, Option<TrafficEvent>)> {
        let method = &decision.step_up.as_ref()?.method;
        let event = &decision.event;
        if decision.duplicate || !self.events.contains(&event.event_type) {
            return None;
        }
        let dice = xxh3_64_with_seed(event.id.as_bytes(), self.seed);
        let [passed, failed] = if fact.label.is_some() { FRAUD } else { HONEST };
        let reply = match dice % 100 {
            n if n < passed => Reply::Passed,
            n if n < passed + failed => Reply::Failed,
            _ => return Some((Reply::Silent, None)),
        };
        let later_ms = i64::try_from(dice / 100 % TAKES_MS.1).unwrap_or(0);
        let time_ms = fact.time_ms.saturating_add(TAKES_MS.0).saturating_add(later_ms);
        let status = if reply == Reply::Passed { "passed" } else { "failed" };
        let event_id = format!("{}-answer", event.id);
        let body = serde_json::json!({
            "id": event_id, "type": EVENT, "created_at": format_rfc3339(time_ms), "user": {"id": fact.key},
            "challenge": {"method": method, "about": event.id}, "result": {"status": status},
        });
        let answer = TrafficEvent {
            topic: WALLET_TOPIC,
            key: fact.key.clone(),
            time_ms,
            body: body.to_string().into_bytes(),
            label: fact.label,
            episode: fact.episode,
            event_id,
            delivery: Delivery::InOrder,
        };
        Some((reply, Some(answer)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::demo::shipped;
    use crate::demo::traffic::Scenario;
    use crate::rules::compile;

    fn customers(seed: u64) -> Customers {
        Customers::of(seed, &compile(&shipped::sources()).0.unwrap())
    }

    fn fact(label: Option<Scenario>) -> Fact {
        Fact {
            due: Duration::ZERO,
            label,
            episode: u32::from(label.is_some()),
            amount: None,
            is_noticed: false,
            key: "usr_1".to_owned(),
            time_ms: 1_772_427_600_000,
        }
    }

    fn decision(id: &str, kind: &str, duplicate: bool) -> Decision {
        serde_json::from_value(json!({
            "event": {"id": id, "type": kind, "time": ""}, "duplicate": duplicate, "outcome": "step_up",
            "step_up": {"method": "sms"},
        }))
        .unwrap()
    }

    /// How many of a thousand pass, fail, and say nothing.
    fn counts(label: Option<Scenario>) -> [usize; 3] {
        let (customers, fact) = (customers(1), fact(label));
        let replies: Vec<Reply> = (0..1_000)
            .map(|n| decision(&format!("evt_{n}"), "transfer", false))
            .map(|decision| customers.ask(&decision, &fact).unwrap().0)
            .collect();
        [Reply::Passed, Reply::Failed, Reply::Silent]
            .map(|wanted| replies.iter().filter(|reply| **reply == wanted).count())
    }

    #[test]
    fn honest_people_mostly_pass_and_frauds_mostly_do_not() {
        // Three standard deviations of a thousand draws are less than 50.
        for (found, expected) in
            [(counts(None), [850, 80, 70]), (counts(Some(Scenario::SimSwap)), [200, 500, 300])]
        {
            for (found, expected) in found.into_iter().zip(expected) {
                assert!(usize::abs_diff(found, expected) < 50, "{found} of {expected}");
            }
        }
    }

    #[test]
    fn an_answer_is_a_record_of_the_wallet_that_names_the_payment_and_is_the_same_every_time() {
        let (mut passed, fact) = (0, fact(None));
        for n in 0..100 {
            let asked = decision(&format!("evt_{n}"), "card_payment", false);
            let (reply, answer) = customers(7).ask(&asked, &fact).unwrap();
            assert_eq!(customers(7).ask(&asked, &fact), Some((reply, answer.clone())));
            let Some(answer) = answer else { continue };
            let body: Value = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!((&*answer.key, answer.topic), ("usr_1", "wallet.events"));
            assert_eq!(body["challenge"], json!({"method": "sms", "about": format!("evt_{n}")}));
            let after_ms = answer.time_ms - fact.time_ms;
            assert!((20_000..90_000).contains(&after_ms), "{after_ms}");
            passed += u32::from(body["result"]["status"] == "passed");
        }
        assert!(passed > 70, "{passed}");
    }

    #[test]
    fn who_was_not_asked_says_nothing() {
        let customers = customers(1);
        assert_eq!(customers.ask(&decision("evt_1", "transfer", true), &fact(None)), None);
        assert_eq!(customers.ask(&decision("evt_1", "login", false), &fact(None)), None);
        let mut plain = decision("evt_1", "transfer", false);
        plain.step_up = None;
        assert_eq!(customers.ask(&plain, &fact(None)), None);
    }
}
