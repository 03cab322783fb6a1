//! The past read again for a changed rule set: afterwards it decides as if it had been active since then, what was known
//! stays as it was, and what is called complete is. The reference is an engine that had the rule set from the beginning.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    ActivationReport, Decoded, Engine, EngineOptions, Input, Output, OutputTopic, Past, Silence,
};
use riskweir::event::row::Row;
use riskweir::rules::program::Program;
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::rule_text::{Author, LISTS};
use crate::support::stream::rows;

mod support;

fn compile(text: &str) -> Option<Arc<Program>> {
    let files = vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }];
    let (program, _) = riskweir::rules::compile(&Sources::of(files));
    let mut program = program?;
    for list in &mut program.lists {
        let members = LISTS.iter().filter(|(name, _)| *name == list.name);
        let members = members.flat_map(|(_, members)| members.iter());
        list.members = members.map(|member| ((*member).to_owned(), None)).collect();
    }
    Some(Arc::new(program))
}

/// Random rules that act, and some of them alone.
fn rule_sets(dice: &mut Dice) -> Option<(Arc<Program>, Arc<Program>)> {
    let mut text = Author::new(dice.clone()).file(8).replace("then alert", "then alert queue q");
    for index in 0..8 {
        let (shadow, live) = ("mode shadow", "id \"R-N\"  owner tests  severity low");
        let live = live.replace('N', &index.to_string());
        text = text
            .replace(&format!("rule r{index}\n  {shadow}"), &format!("rule r{index}\n  {live}"));
    }
    let mut parts = text.split("\nrule ");
    let mut fewer = parts.next().unwrap().to_owned();
    for part in parts {
        if dice.one_in(2) {
            fewer.push_str("\nrule ");
            fewer.push_str(part);
        }
    }
    Some((compile(&fewer)?, compile(&text)?))
}

/// Decides the rows from `from` on; what came out of each.
fn decide(engine: &mut Engine, rows: &[Row], from: usize) -> Vec<Vec<Output>> {
    let decide = |(index, row): (usize, &Row)| {
        let mut out = Vec::new();
        let stream = engine.open_stream("t", 0);
        let offset = i64::try_from(index).unwrap();
        let input = Input { stream, offset, arrival_ms: None, payload: None };
        engine.decide(&input, Ok(Decoded { raw: b"", row }), &mut out);
        out
    };
    rows.iter().enumerate().skip(from).map(decide).collect()
}

fn engine_after(
    program: &Arc<Program>,
    options: EngineOptions,
    rows: &[Row],
    from: usize,
) -> Engine {
    let mut engine = Engine::new(Arc::clone(program), options).unwrap();
    decide(&mut engine, rows, from);
    engine
}

fn fill(engine: &mut Engine, more: &Arc<Program>, past: Option<(Engine, i64)>) -> ActivationReport {
    let past = past.map(|(engine, since_ms)| Past { engine, since_ms });
    let options = *engine.options();
    engine.activate_with(Arc::clone(more), options, past).unwrap()
}

fn options(dice: &mut Dice) -> EngineOptions {
    EngineOptions {
        allowed_lateness_ms: dice.pick(&[10_000, 300_000]),
        exact_events_per_key: dice.pick(&[1, 3, 20, 65_536, 65_536]),
        ..EngineOptions::default()
    }
}

/// The past is read from its beginning.
fn check_whole_past(seed: u64) {
    let mut dice = Dice::new(seed);
    let Some((fewer, more)) = rule_sets(&mut dice) else { return };
    let options = options(&mut dice);
    let rows = rows(&more.schema, dice.clone(), 300);
    let (before, half) = (&rows[..150], 150);
    let mut engine = engine_after(&fewer, options, before, 0);
    let past = engine_after(&more, options, before, 0);
    let report = fill(&mut engine, &more, Some((past, i64::MIN)));
    assert_eq!(report.warming, [""; 0]);
    let mut alone = engine_after(&more, options, before, 0);
    assert_eq!(decide(&mut engine, &rows, half), decide(&mut alone, &rows, half));
}

/// What the alerts of an event say, by the rule's name.
fn said(out: &[Output]) -> BTreeMap<String, Value> {
    let alerts = out.iter().filter(|output| output.topic == OutputTopic::Alerts);
    let alerts = alerts.map(|output| serde_json::from_slice::<Value>(&output.body).unwrap());
    alerts.map(|alert| (alert["name"].as_str().unwrap().to_owned(), alert)).collect()
}

fn is_complete(told: &Value) -> bool {
    let mut conditions = told["conditions"].as_array().into_iter().flatten();
    conditions.all(|condition| condition["coverage"].as_str().is_none_or(|it| it == "complete"))
}

fn is_approximate(told: &Value) -> bool {
    let mut conditions = told["conditions"].as_array().into_iter().flatten();
    let is_it = |word: &str| word.starts_with("approximate");
    conditions.any(|condition| condition["coverage"].as_str().is_some_and(is_it))
}

/// A random question about the past of a payment.
fn question(dice: &mut Dice) -> String {
    let kind = dice.pick(&[
        "count(pay)",
        "count(pay where cents > 50)",
        "sum(pay.cents)",
        "sum(pay.cents where cents < 30)",
        "distinct(pay.cents)",
        "max(pay.cents where cents < 80)",
        "last(pay.cents)",
    ]);
    let (key, span) = (dice.pick(&["card", "shop"]), dice.pick(&["10s", "1m", "5m", "20m"]));
    // What is last, this event counted, is always this event's.
    let counting = if kind.starts_with("last") { "prior" } else { dice.pick(&["last", "prior"]) };
    format!("{kind} by {key} over {counting} {span}")
}

/// Rules of which each says one value about every payment.
fn asking(questions: &[String]) -> Arc<Program> {
    let rule = |(index, question): (usize, &String)| {
        let missing = if question.starts_with("max") || question.starts_with("last") {
            "  if missing skip\n"
        } else {
            ""
        };
        format!(
            "rule r{index}\n  id \"R-{index}\"  owner tests  severity low\n  on pay\n  let n = {question}\n  \
             when n >= 0\n{missing}  then alert queue q message \"{{n}}\"\n"
        )
    };
    let rules: String = questions.iter().enumerate().map(rule).collect();
    compile(&format!("{SCHEMA}{rules}")).unwrap()
}

/// A payment: its time and its record.
type Payment = (i64, String);

fn payments(dice: &mut Dice, n: usize) -> Vec<Payment> {
    let mut newest_ms = START_MS;
    let payment = |index| {
        newest_ms += dice.pick(&[0, 0, 1, 500, 1_000, 5_000, 20_000]);
        let late_ms = if dice.one_in(8) { dice.pick(&[1, 700, 9_000]) } else { 0 };
        let (card, shop, cents) = (dice.below(3), dice.below(2), dice.below(100));
        let at_ms = newest_ms - late_ms;
        let record = format!(
            r#"{{"pay_id":"p{index}","at":{at_ms},"card":"c{card}","shop":"s{shop}","cents":{cents}}}"#
        );
        (at_ms, record)
    };
    (0..n).map(payment).collect()
}

/// Decides payments from `from` on; what the rules say of each.
fn pay(engine: &mut Engine, payments: &[Payment], from: usize) -> Vec<BTreeMap<String, Value>> {
    let pay = |(index, (_, record)): (usize, &Payment)| {
        let mut out = Vec::new();
        let stream = engine.open_stream("t", 0);
        let offset = i64::try_from(index).unwrap();
        let payload = Some(record.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut out);
        said(&out)
    };
    payments.iter().enumerate().skip(from).map(pay).collect()
}

/// The past is read from somewhere on. Gives how many values were complete only because of that.
fn check_part_of_the_past(seed: u64) -> usize {
    let mut dice = Dice::new(seed);
    let (few, many) = (dice.pick(&[1, 2, 3]), 6);
    let questions: Vec<String> = (0..many).map(|_| question(&mut dice)).collect();
    let (fewer, more) = (asking(&questions[..few]), asking(&questions));
    let options = options(&mut dice);
    let payments = payments(&mut dice, 240);
    let (half, from) = (160, usize::try_from(dice.below(160)).unwrap());
    let before = &payments[..half];
    // All events from this time on are read: those before the first one that is read are older.
    let oldest_ms = before[..from].iter().map(|(at_ms, _)| *at_ms).max().unwrap_or(i64::MIN);
    let since_ms = oldest_ms.saturating_add(1);

    let after = |program: &Arc<Program>, from: usize| {
        let mut engine = Engine::new(Arc::clone(program), options).unwrap();
        pay(&mut engine, before, from);
        engine
    };
    let mut filled = after(&fewer, 0);
    fill(&mut filled, &more, Some((after(&more, from), since_ms)));
    let mut plain = after(&fewer, 0);
    fill(&mut plain, &more, None);
    // The reference keeps everything: where others call a value complete, it is this one.
    let exact = EngineOptions { exact_events_per_key: 65_536, ..options };
    let mut alone = Engine::new(Arc::clone(&more), exact).unwrap();
    pay(&mut alone, before, 0);
    let filled = pay(&mut filled, &payments, half);
    let plain = pay(&mut plain, &payments, half);
    let alone = pay(&mut alone, &payments, half);
    let mut n_complete = 0;
    for ((filled, plain), alone) in filled.iter().zip(&plain).zip(&alone) {
        for (name, told) in filled.iter().filter(|(_, told)| is_complete(told)) {
            assert_eq!(Some(told), alone.get(name), "complete, so as it has always been");
            n_complete += usize::from(plain.get(name) != Some(told));
        }
        for (name, told) in plain.iter().filter(|(_, told)| is_complete(told)) {
            let now = filled.get(name);
            // WHY: a longer window can have more entries of a key than are kept one by one.
            if now.is_none_or(|now| !is_approximate(now)) {
                assert_eq!(Some(told), now, "known before, so it stays");
            }
        }
    }
    n_complete
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_set_whose_past_was_read_decides_as_if_it_had_always_been_active(seed in any::<u64>()) {
        check_whole_past(seed);
    }

    #[test]
    fn what_a_part_of_the_past_completes_is_right_and_what_was_known_stays(seed in any::<u64>()) {
        check_part_of_the_past(seed);
    }
}

#[test]
fn a_part_of_the_past_completes_something() {
    let n: usize = (0..8).map(check_part_of_the_past).sum();
    assert!(n > 20, "{n}");
}

const SCHEMA: &str = r"
event pay
  id    pay_id : text
  time  at     : time unit ms
  key   card   : card
  key   shop   : shop
  field cents  : integer
";

/// A rule set that says one value in an alert about every payment.
fn saying(value: &str) -> Arc<Program> {
    asking(&[value.to_owned()])
}

struct Runner {
    engine: Engine,
    offset: i64,
}

const START_MS: i64 = 1_772_445_600_000;

impl Runner {
    fn new(program: &Arc<Program>, options: EngineOptions) -> Self {
        Self { engine: Engine::new(Arc::clone(program), options).unwrap(), offset: 0 }
    }

    /// What the rule says of a payment, and whether the decision is called complete.
    fn pay(&mut self, at_s: i64, card: &str, cents: u32) -> (String, bool) {
        let id = self.offset;
        let line = format!(
            r#"{{"pay_id":"p{id}","at":{},"card":"{card}","shop":"s","cents":{cents}}}"#,
            START_MS + at_s * 1_000
        );
        let mut out = Vec::new();
        let stream = self.engine.open_stream("t", 0);
        let payload = Some(line.as_bytes());
        let input = Input { stream, offset: self.offset, arrival_ms: None, payload };
        self.engine.step(&input, &mut out);
        self.offset += 1;
        let of = |topic| {
            let found = out.iter().find(|output: &&Output| output.topic == topic).unwrap();
            serde_json::from_slice::<Value>(&found.body).unwrap()
        };
        let message = of(OutputTopic::Alerts)["message"].as_str().unwrap().to_owned();
        (message, of(OutputTopic::Decisions)["provenance"][0] == "normal")
    }

    fn backfill(&mut self, to: &Arc<Program>, past: Runner, since_s: i64) -> ActivationReport {
        fill(&mut self.engine, to, Some((past.engine, START_MS + since_s * 1_000)))
    }
}

fn complete(value: &str) -> (String, bool) {
    (value.to_owned(), true)
}

const DAY_S: i64 = 86_400;

#[test]
fn a_new_filter_a_longer_window_and_a_new_table_know_what_was_read() {
    let before = saying("count(pay) by card over last 1h");
    for (after, expected) in [
        ("count(pay where cents > 50) by card over last 1h", "2"),
        ("count(pay) by card over last 10h", "4"),
        ("count(pay) by shop over last 10h", "5"),
        ("sum(pay.cents) by card over last 10h", "270"),
        ("distinct(pay.cents) by card over last 10h", "4"),
    ] {
        let after = saying(after);
        let mut runner = Runner::new(&before, EngineOptions::default());
        let mut past = Runner::new(&after, EngineOptions::default());
        runner.pay(0, "first", 1);
        for (at_s, card, cents) in [(0, "c", 60), (20_000, "other", 60), (33_000, "c", 90)] {
            runner.pay(DAY_S + at_s, card, cents);
            past.pay(DAY_S + at_s, card, cents);
        }
        runner.pay(DAY_S + 34_000, "c", 20);
        past.pay(DAY_S + 34_000, "c", 20);
        let report = runner.backfill(&after, past, DAY_S - 10_000);
        assert_eq!((report.warming.len(), report.filled.len()), (0, 1));
        assert_eq!(runner.pay(DAY_S + 35_000, "c", 100), complete(expected));
    }
}

#[test]
fn a_window_longer_than_what_was_read_stays_warming_until_it_has_filled() {
    let (before, after) =
        (saying("count(pay) by card over last 1h"), saying("count(pay) by shop over last 10h"));
    let mut runner = Runner::new(&before, EngineOptions::default());
    let mut past = Runner::new(&after, EngineOptions::default());
    runner.pay(0, "first", 1);
    runner.pay(DAY_S, "c", 1);
    past.pay(DAY_S, "c", 1);
    let report = runner.backfill(&after, past, DAY_S - 100);
    assert_eq!((report.warming.len(), report.filled.len()), (1, 0));
    assert_eq!(runner.pay(DAY_S + 1, "c", 1), ("2".to_owned(), false));
    assert!(!runner.pay(DAY_S - 100 + 36_000 - 1, "c", 1).1);
    assert!(runner.pay(DAY_S - 100 + 36_000, "c", 1).1);
}

#[test]
fn what_came_back_by_an_earlier_change_and_is_still_warming_is_filled_without_another_change() {
    let (before, after) = (
        saying("count(pay) by card over last 1h"),
        saying("count(pay where cents > 50) by card over last 1h"),
    );
    let mut runner = Runner::new(&before, EngineOptions::default());
    let mut past = Runner::new(&after, EngineOptions::default());
    runner.pay(0, "first", 1);
    for cents in [60, 20] {
        runner.pay(DAY_S, "c", cents);
        past.pay(DAY_S, "c", cents);
    }
    fill(&mut runner.engine, &after, None);
    assert_eq!(runner.pay(DAY_S + 10, "c", 60), ("1".to_owned(), false));
    past.pay(DAY_S + 10, "c", 60);
    let report = runner.backfill(&after, past, DAY_S - 3_600);
    assert_eq!(report.filled, ["count(pay where (cents > 50)) by card over last 1h"]);
    assert_eq!(runner.pay(DAY_S + 20, "c", 70), complete("3"));
}

#[test]
fn a_past_of_another_rule_set_is_not_looked_at() {
    let (before, after) =
        (saying("count(pay) by card over last 1h"), saying("count(pay) by shop over last 1h"));
    let mut runner = Runner::new(&before, EngineOptions::default());
    let mut past = Runner::new(&before, EngineOptions::default());
    runner.pay(DAY_S, "c", 1);
    past.pay(DAY_S, "c", 1);
    let report = runner.backfill(&after, past, 0);
    assert_eq!(report.filled, [""; 0]);
    assert_eq!(report.warming, ["count(pay) by shop over last 1h"]);
}

#[test]
fn a_past_changes_neither_holds_nor_ids_nor_the_digest() {
    let (before, after) =
        (saying("count(pay) by card over last 1h"), saying("count(pay) by shop over last 1h"));
    let mut runner = Runner::new(&before, EngineOptions::default());
    let mut past = Runner::new(&after, EngineOptions::default());
    for at_s in 0..50 {
        runner.pay(DAY_S + at_s, "c", 1);
        past.pay(DAY_S + at_s, "c", 1);
    }
    let digest = runner.engine.digest();
    let counted = runner.engine.counters().clone();
    runner.backfill(&after, past, 0);
    assert_eq!(runner.engine.digest(), digest);
    assert_eq!(runner.engine.counters().read, counted.read);
    assert_eq!(runner.engine.counters().alerts, counted.alerts);
    // An id that came before is a repeat still.
    let line = format!(
        r#"{{"pay_id":"p7","at":{},"card":"c","shop":"s","cents":1}}"#,
        START_MS + (DAY_S + 7) * 1_000
    );
    let stream = runner.engine.open_stream("t", 0);
    let payload = Some(line.as_bytes());
    let input = Input { stream, offset: 50, arrival_ms: None, payload };
    runner.engine.step(&input, &mut Silence);
    assert_eq!(runner.engine.counters().duplicates, 1);
}
