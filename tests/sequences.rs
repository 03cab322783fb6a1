//! Sequences through the engine: ties and late events, what a decision shows, how far it can be trusted when state is
//! short, and state that a new rule set does not know yet. What a sequence means is held to the reference interpreter in
//! `rule_oracle.rs`; saving and restoring in `snapshot.rs`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Input, Output};
use riskweir::rules::program::Program;
use serde_json::{Value, json};

const START_MS: i64 = 1_772_445_600_000;

const SCHEMA: &str = r#"
event payment from "t" when "/kind" = "payment"
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  field amount  : money currency EUR
event login from "t" when "/kind" = "login"
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  field good    : bool?
"#;

const RULE: &str = "
rule row
  id \"R-1\"  owner fraud  severity low
  on payment
  when sequence by card within 60s [ login as entry where good, 2 times payment, without login where not good, this ]
  then score +5 in row
";

fn program(rules: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: format!("{SCHEMA}{rules}") }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

struct Runner {
    engine: Engine,
    offset: i64,
}

impl Runner {
    fn new(rules: &str, options: EngineOptions) -> Self {
        Self { engine: Engine::new(program(rules), options).unwrap(), offset: 0 }
    }

    fn take(&mut self, at_ms: i64, fields: &Value) -> Value {
        self.take_as(self.offset, at_ms, fields)
    }

    /// An event of card `c` so many ms after the start, with an id of this number; its decision.
    fn take_as(&mut self, id: i64, at_ms: i64, fields: &Value) -> Value {
        let mut record = json!({"id": format!("id-{id}"), "at": START_MS + at_ms, "card": "c"});
        for (name, value) in fields.as_object().unwrap() {
            record[name] = value.clone();
        }
        let line = record.to_string();
        let stream = self.engine.open_stream("t", 0);
        let payload = Some(line.as_bytes());
        let mut out: Vec<Output> = Vec::new();
        let input = Input { stream, offset: self.offset, arrival_ms: None, payload };
        self.engine.step(&input, &mut out);
        self.offset += 1;
        serde_json::from_slice(&out[0].body).unwrap()
    }

    fn login(&mut self, at_ms: i64, good: &Value) {
        self.take(at_ms, &json!({"kind": "login", "good": good}));
    }

    fn pay(&mut self, at_ms: i64) -> Value {
        self.take(at_ms, &json!({"kind": "payment", "amount": "1.00"}))
    }
}

fn hits(decision: &Value) -> bool {
    decision["contributions"].as_array().is_some_and(|hits| !hits.is_empty())
}

fn says(decision: &Value, remark: &str) -> bool {
    decision["provenance"].as_array().unwrap().contains(&remark.into())
}

/// The steps of the first condition of the first hit: name, event, ms after the start.
fn steps(decision: &Value) -> Vec<(String, String, i64)> {
    let steps = decision["contributions"][0]["conditions"][0]["steps"].as_array().unwrap();
    let word = |step: &Value, name: &str| step[name].as_str().unwrap().to_owned();
    let at_ms = |step: &Value| {
        let at: jiff::Timestamp = step["at"].as_str().unwrap().parse().unwrap();
        at.as_millisecond() - START_MS
    };
    steps.iter().map(|step| (word(step, "step"), word(step, "event"), at_ms(step))).collect()
}

fn taken(list: &[(&str, &str, i64)]) -> Vec<(String, String, i64)> {
    list.iter().map(|(step, event, at)| ((*step).to_owned(), (*event).to_owned(), *at)).collect()
}

#[test]
fn a_decision_shows_the_latest_events_that_took_the_steps() {
    let mut runner = Runner::new(RULE, EngineOptions::default());
    runner.login(1_000, &json!(true));
    runner.login(2_000, &json!(true));
    assert!(!hits(&runner.pay(3_000)));
    assert!(!hits(&runner.pay(4_000)));
    let decision = runner.pay(5_000);
    let expected =
        [("entry", "login", 2_000), ("payment", "payment", 3_000), ("payment", "payment", 4_000)];
    assert_eq!(steps(&decision), taken(&expected));
    // One more payment: the two latest before it.
    let decision = runner.pay(6_000);
    assert_eq!(
        steps(&decision)[1..],
        taken(&[("payment", "payment", 4_000), ("payment", "payment", 5_000)])
    );
}

#[test]
fn events_of_one_instant_are_in_the_order_of_their_arrival() {
    let mut runner = Runner::new(RULE, EngineOptions::default());
    runner.login(1_000, &json!(true));
    runner.pay(1_000);
    runner.pay(1_000);
    assert!(hits(&runner.pay(1_000)), "login, payment, payment, this");
    let mut runner = Runner::new(RULE, EngineOptions::default());
    runner.pay(1_000);
    runner.pay(1_000);
    runner.login(1_000, &json!(true));
    assert!(!hits(&runner.pay(1_000)), "the login came last");
}

#[test]
fn what_cannot_be_decided_fits_no_step_and_forbids_nothing() {
    let mut runner = Runner::new(RULE, EngineOptions::default());
    runner.login(1_000, &json!(null));
    runner.pay(2_000);
    runner.pay(3_000);
    assert!(!hits(&runner.pay(4_000)));
    runner.login(5_000, &json!(true));
    runner.pay(6_000);
    runner.pay(7_000);
    runner.login(8_000, &json!(null));
    assert!(hits(&runner.pay(9_000)));
    runner.login(10_000, &json!(false));
    assert!(!hits(&runner.pay(11_000)));
}

#[test]
fn a_late_event_takes_its_place_and_a_repeated_one_counts_once() {
    let mut runner = Runner::new(
        RULE,
        EngineOptions { allowed_lateness_ms: 60_000, ..EngineOptions::default() },
    );
    runner.pay(10_000);
    runner.pay(11_000);
    assert!(!hits(&runner.pay(12_000)));
    runner.login(9_000, &json!(true));
    assert!(hits(&runner.pay(13_000)), "the login is known now");
    let mut runner = Runner::new(RULE, EngineOptions::default());
    runner.login(1_000, &json!(true));
    for _ in 0..3 {
        runner.take_as(77, 2_000, &json!({"kind": "payment", "amount": "1.00"}));
    }
    assert!(!hits(&runner.pay(3_000)), "one payment before this one");
}

#[test]
fn a_key_that_is_too_busy_to_be_kept_one_by_one_is_called_capped() {
    let options = EngineOptions { exact_events_per_key: 2, ..EngineOptions::default() };
    let mut runner = Runner::new(RULE, options);
    // WHY: the stream is older than the window, so that nothing is warming.
    runner.take(-100_000, &json!({"kind": "login", "card": "other"}));
    runner.login(1_000, &json!(true));
    for second in 2..10 {
        runner.pay(second * 1_000);
    }
    let decision = runner.pay(20_000);
    assert!(hits(&decision), "the newest two are there");
    assert!(says(&decision, "capped"), "{decision}");
    let mut runner = Runner::new(RULE, EngineOptions::default());
    runner.take(-100_000, &json!({"kind": "login", "card": "other"}));
    runner.login(1_000, &json!(true));
    for second in 2..10 {
        runner.pay(second * 1_000);
    }
    assert!(!says(&runner.pay(20_000), "capped"));
}

#[test]
fn a_step_that_a_new_rule_set_brings_is_warming_and_the_others_go_on() {
    let old = RULE.replace("2 times payment", "2 times payment where amount > 0 EUR");
    let mut runner = Runner::new(&old, EngineOptions::default());
    runner.take(-100_000, &json!({"kind": "login", "card": "other"}));
    runner.login(1_000, &json!(true));
    runner.pay(2_000);
    runner.pay(3_000);
    let report = runner.engine.activate(program(RULE)).unwrap();
    assert!(report.kept.iter().any(|kept| kept.contains("login")), "{report:?}");
    let decision = runner.pay(4_000);
    assert!(hits(&decision), "entries stay whatever filters come and go");
    let new = RULE.replace("2 times payment", "2 times payment where amount > 0.50 EUR");
    runner.engine.activate(program(&new)).unwrap();
    assert!(!hits(&runner.pay(5_000)), "nobody knows whether the old ones were so large");
    runner.pay(6_000);
    let decision = runner.pay(7_000);
    assert!(hits(&decision) && says(&decision, "warming"), "{decision}");
}

/// The filter of a step that asks state is remembered with the event: what came later changes nothing.
#[test]
fn a_step_is_decided_when_its_event_comes() {
    let rule = "
rule first_in_a_minute
  id \"R-1\"  owner fraud  severity low
  on payment
  when sequence by card within 60s [ payment as first where count(payment) by card over prior 10s = 0, this ]
  then score +5 in row
";
    let mut runner = Runner::new(rule, EngineOptions::default());
    assert!(!hits(&runner.pay(1_000)));
    let decision = runner.pay(2_000);
    assert_eq!(steps(&decision), taken(&[("first", "payment", 1_000)]));
    // Late: had it been there, the first would not have been the first.
    runner.pay(500);
    let decision = runner.pay(3_000);
    assert_eq!(steps(&decision), taken(&[("first", "payment", 1_000)]));
}
