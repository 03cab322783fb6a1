//! What partitions that one engine reads must not do to one another: a repeat is one however far another partition runs
//! ahead, and a hole in the input is told until the slowest is past it. And what a share of the memory is.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Engine, EngineOptions, Input, Output, OutputTopic, Restore, SnapshotStatus, StreamId,
};
use riskweir::rules::program::Program;
use serde_json::Value;

use crate::support::artifacts::{plain, with_artifacts};

mod support;

const RULES: &str = r#"
event payment
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  field amount  : money currency EUR
rule counted
  id "R-1"  owner fraud  severity low
  on payment
  let n = count(payment) by card over last 30m
  when n >= 1
  then alert queue l1 message "{n} payments"
rule large
  id "R-2"  owner fraud  severity high
  on payment
  when amount > 50 EUR
  then block
"#;

const START_MS: i64 = 1_772_445_600_000;
const MINUTE_MS: i64 = 60_000;

fn program() -> Arc<Program> {
    compiled(RULES)
}

/// A rule set; its learned models have plain artifacts.
fn compiled(text: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }];
    let (program, report) = riskweir::rules::compile(&with_artifacts(Sources::of(files), plain));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn ten_minutes() -> EngineOptions {
    let (dedupe_window_ms, allowed_lateness_ms) = (10 * MINUTE_MS, 0);
    EngineOptions { dedupe_window_ms, allowed_lateness_ms, ..EngineOptions::default() }
}

/// One engine over two partitions. Times are minutes after the start.
struct Pair {
    engine: Engine,
    streams: [StreamId; 2],
    offset: i64,
}

impl Pair {
    fn new(options: EngineOptions) -> Self {
        Self::of(Engine::new(program(), options).unwrap())
    }

    fn of(mut engine: Engine) -> Self {
        let streams = [engine.open_stream("payments", 0), engine.open_stream("payments", 1)];
        Self { engine, streams, offset: 0 }
    }

    /// All that comes of a payment.
    fn take(
        &mut self,
        partition: usize,
        id: &str,
        (at, arrival): (i64, Option<i64>),
        amount: &str,
    ) -> Vec<Output> {
        let time_ms = |minute: i64| START_MS + minute * MINUTE_MS;
        let card = format!("c{partition}");
        let line =
            format!(r#"{{"id":"{id}","at":{},"card":"{card}","amount":"{amount}"}}"#, time_ms(at));
        let (stream, offset) = (self.streams[partition], self.offset);
        self.offset += 1;
        let (arrival_ms, payload) = (arrival.map(time_ms), Some(line.as_bytes()));
        let mut out = Vec::new();
        self.engine.step(&Input { stream, offset, arrival_ms, payload }, &mut out);
        out
    }

    /// The decision about a payment.
    fn pay(&mut self, partition: usize, id: &str, at: i64, amount: &str) -> Value {
        decision(&self.take(partition, id, (at, None), amount))
    }

    /// Whether the decision about a small payment says that records are missing.
    fn says_gap(&mut self, partition: usize, at: i64) -> bool {
        let id = format!("g{}", self.offset);
        let decision = self.pay(partition, &id, at, "1.00");
        decision["provenance"].as_array().unwrap().contains(&"state_gap".into())
    }

    fn restored(mut self, options: EngineOptions) -> Self {
        let mut bytes = Vec::new();
        self.engine.begin_snapshot();
        while self.engine.snapshot_part(1 << 20, &mut bytes) == SnapshotStatus::More {}
        let mut restore = Restore::new(program(), options);
        restore.part(&bytes).unwrap();
        Self { offset: self.offset, ..Self::of(restore.finish().unwrap()) }
    }
}

fn decision(out: &[Output]) -> Value {
    let decision = out.iter().find(|output| output.topic == OutputTopic::Decisions);
    serde_json::from_slice(&decision.unwrap().body).unwrap()
}

#[test]
fn a_repeat_is_recognised_however_far_another_partition_is_ahead() {
    let mut pair = Pair::new(ten_minutes());
    let first = pair.pay(0, "x", 0, "1.00");
    for minute in 0..=40 {
        pair.pay(1, &format!("b{minute}"), minute, "1.00");
    }
    let again = pair.pay(0, "x", 0, "1.00");
    assert_eq!((&again["duplicate"], &again["decision_id"]), (&true.into(), &first["decision_id"]));
    // It was counted once: this is the second payment of the card.
    let next = pair.take(0, "y", (1, None), "1.00");
    let alert = next.iter().find(|output| output.topic == OutputTopic::Alerts).unwrap();
    assert!(String::from_utf8_lossy(&alert.body).contains("2 payments"));
}

#[test]
fn what_came_while_another_partition_was_behind_is_known_when_that_has_caught_up() {
    let mut pair = Pair::new(ten_minutes());
    pair.pay(0, "start", 0, "1.00");
    for minute in 0..=40 {
        pair.pay(1, &format!("b{minute}"), minute, "1.00");
    }
    for minute in 1..=40 {
        pair.pay(0, &format!("a{minute}"), minute, "1.00");
    }
    assert_eq!(pair.pay(1, "b40", 40, "1.00")["duplicate"], true);
    assert_eq!(pair.engine.counters().duplicates, 1);
}

#[test]
fn a_repeat_is_answered_as_the_first_time_as_long_as_it_is_recognised() {
    let mut pair = Pair::new(ten_minutes());
    assert_eq!(pair.pay(0, "x", 0, "99.00")["outcome"], "block");
    for minute in 0..=40 {
        pair.pay(1, &format!("b{minute}"), minute, "1.00");
    }
    // The ids that came with the clock at 40 are kept until the slower partition is past 50, and `x` with them.
    for minute in 1..=50 {
        pair.pay(0, &format!("a{minute}"), minute, "1.00");
        let again = pair.pay(0, "x", 0, "99.00");
        let (duplicate, outcome) = (&again["duplicate"], &again["outcome"]);
        assert_eq!((duplicate, outcome), (&true.into(), &"block".into()), "at {minute}");
    }
}

#[test]
fn a_first_event_from_the_future_makes_no_repeat_unknown() {
    let mut pair = Pair::new(ten_minutes());
    pair.take(0, "x", (0, Some(0)), "1.00");
    let from_the_future = decision(&pair.take(1, "f", (600, Some(180)), "1.00"));
    assert_eq!(from_the_future["provenance"], serde_json::json!(["future_ts"]));
    let again = decision(&pair.take(0, "x", (0, Some(0)), "1.00"));
    assert_eq!(again["duplicate"], true);
    assert_eq!(decision(&pair.take(1, "f", (600, Some(180)), "1.00"))["duplicate"], true);
}

#[test]
fn a_hole_in_the_input_is_told_from_the_first_event_of_each_partition_after_it() {
    let mut pair = Pair::new(ten_minutes());
    assert!(!pair.says_gap(0, 0));
    assert!(!pair.says_gap(1, 0));
    pair.engine.note_gap(None);
    // The windows reach back 30 minutes. Partition 1 goes on at once, partition 0 lacks an hour.
    assert!(pair.says_gap(1, 1));
    assert!(pair.says_gap(0, 60));
    assert!(pair.says_gap(0, 89), "its windows reach back to 59");
    assert!(!pair.says_gap(0, 90), "its windows reach back to 60");
}

const LISTS: &str = r#"
list bad : card

event payment from "t" when "/kind" = "payment"
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  field amount  : money currency EUR
event login from "t" when "/kind" = "login"
  id    id      : text
  time  at      : time unit ms
  key   card    : card
rule listed
  id "R-1"  owner fraud  severity high
  on payment
  when card in bad
  then block
rule puts
  id "R-2"  owner fraud  severity high
  on payment
  when amount > 50 EUR
  then add card to bad for 2h
rule many
  id "R-3"  owner fraud  severity low
  on login
  when count(login) by card over last 30m > 5
  then score +1
"#;

/// Whether decisions say that records are missing, after a hole before the first event: by kind of event and minute.
fn gaps(text: &str) -> impl FnMut(&str, i64) -> bool + use<> {
    let mut engine = Engine::new(compiled(text), ten_minutes()).unwrap();
    engine.note_gap(None);
    let stream = engine.open_stream("t", 0);
    let mut offset = 0;
    move |kind: &str, minute: i64| {
        offset += 1;
        let at = START_MS + minute * MINUTE_MS;
        let line =
            format!(r#"{{"kind":"{kind}","id":"l{offset}","at":{at},"card":"c","amount":"1.00"}}"#);
        let mut out = Vec::new();
        let payload = Some(line.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut out);
        decision(&out)["provenance"].as_array().unwrap().contains(&"state_gap".into())
    }
}

/// A record that is gone may have put a card on a list for two hours.
#[test]
fn a_hole_in_the_input_is_told_as_long_as_a_missing_record_may_have_put_something_on_a_list() {
    let mut says = gaps(LISTS);
    assert!(says("payment", 0) && says("login", 0));
    assert!(says("payment", 29) && says("login", 29), "windows reach back 30 minutes");
    assert!(says("payment", 31), "it asks the list");
    assert!(!says("login", 31), "no rule about logins asks a list");
    assert!(says("payment", 119));
    assert!(!says("payment", 120));
}

/// A record that is gone was learned by no model, and its score stands among no others.
#[test]
fn a_hole_in_the_input_is_told_as_long_as_a_model_would_hold_a_missing_record() {
    let without_lists = LISTS.replace("when card in bad", "when amount > 90 EUR");
    let without_lists = without_lists.replace("then add card to bad for 2h", "then block");
    // A window of two hours is kept in 14 panes and one more: 128 minutes and 34 seconds.
    let online = "model odd\n  on payment\n  reads high amount\n  over prior 2h\n";
    // The scores of a learned model, of 7 days, likewise: 7 days and a half.
    let learned =
        "model likely\n  on payment\n  kind learned\n  from \"likely.rwm\"\n  reads amount\n";
    for (model, last, first) in [("", 29, 30), (online, 128, 129), (learned, 10_799, 10_800)] {
        let mut says = gaps(&format!("{without_lists}{model}"));
        assert!(says("payment", 0) && says("login", 0), "{model}");
        assert!(says("login", 29) && !says("login", 30), "nothing about logins asks a model");
        assert!(says("payment", last), "{model}");
        assert!(!says("payment", first), "{model}");
    }
}

/// It may be a repeat of a record that is gone, whatever time it claims.
#[test]
fn an_event_from_the_future_behind_a_hole_says_so_by_the_clock_of_its_partition() {
    let mut engine = Engine::new(program(), ten_minutes()).unwrap();
    engine.note_gap(None);
    let stream = engine.open_stream("t", 0);
    let mut says = |offset: i64, (minute, arrival): (i64, i64)| {
        let at = START_MS + minute * MINUTE_MS;
        let line = format!(r#"{{"id":"f{offset}","at":{at},"card":"c","amount":"1.00"}}"#);
        let mut out = Vec::new();
        let (payload, arrival_ms) = (Some(line.as_bytes()), Some(START_MS + arrival * MINUTE_MS));
        engine.step(&Input { stream, offset, arrival_ms, payload }, &mut out);
        let words = decision(&out)["provenance"].as_array().unwrap().clone();
        ["future_ts", "state_gap"].map(|word| words.contains(&word.into()))
    };
    assert_eq!(says(1, (0, 0)), [false, true]);
    assert_eq!(says(2, (6_000, 10)), [true, true]);
    assert_eq!(says(3, (40, 40)), [false, false]);
    assert_eq!(says(4, (6_001, 41)), [true, false]);
}

#[test]
fn a_hole_in_the_input_is_told_until_the_slowest_partition_is_past_it() {
    let options = ten_minutes();
    let mut pair = Pair::new(options);
    pair.says_gap(0, 0);
    pair.says_gap(1, 0);
    pair.engine.note_gap(None);
    assert!(pair.says_gap(0, 1));
    assert!(pair.says_gap(1, 1));
    assert!(!pair.says_gap(1, 120));
    let mut pair = pair.restored(options);
    assert!(pair.says_gap(0, 20), "its windows reach back to before the hole");
    assert!(!pair.says_gap(0, 31));
    // Both are past it.
    assert!(!pair.says_gap(1, 121));
    assert!(pair.says_gap(0, 30), "a late event looks further back");
}

/// The first record behind a hole may be late; what is missing is as young as whoever decided it wrote down.
#[test]
fn a_hole_reaches_as_far_as_its_youngest_record_where_that_is_known() {
    let mut pair = Pair::new(ten_minutes());
    pair.engine.note_gap(Some(START_MS + 20 * MINUTE_MS));
    assert!(pair.says_gap(0, 1) && pair.says_gap(1, 1));
    assert!(pair.says_gap(0, 49), "its windows reach back to 19");
    assert!(!pair.says_gap(0, 50));
}

#[test]
fn a_rule_set_that_looks_further_back_sees_a_hole_that_the_one_before_had_passed() {
    let mut pair = Pair::new(ten_minutes());
    pair.engine.note_gap(None);
    assert!(pair.says_gap(0, 1) && pair.says_gap(1, 1));
    assert!(!pair.says_gap(0, 40) && !pair.says_gap(1, 40), "windows of 30 minutes");
    let text = RULES.replace("over last 30m", "over last 2h");
    pair.engine.activate(compiled(&text)).unwrap();
    assert!(pair.says_gap(0, 41) && pair.says_gap(1, 120), "windows of two hours");
    assert!(!pair.says_gap(0, 121));
}

#[test]
fn an_input_without_a_past_may_lack_records_in_partitions_that_are_yet_to_come() {
    let mut engine = Engine::new(program(), ten_minutes()).unwrap();
    engine.note_gap(None);
    let mut pair = Pair::of(engine);
    assert!(pair.says_gap(1, 0));
    assert!(pair.says_gap(0, 10));
    assert!(pair.says_gap(1, 39));
    assert!(!pair.says_gap(1, 40));
}

#[test]
fn engines_that_share_the_memory_share_the_ids() {
    // 400 ids: two halves of 200. A hundred and one new ids begin the third half of one of four, none of a whole.
    for (sharers, cut_short) in [(1, 0), (4, 2)] {
        let options = EngineOptions { dedupe_max_ids: 400, sharers, ..ten_minutes() };
        let mut pair = Pair::new(options);
        for id in 0..101 {
            pair.pay(0, &format!("p{id}"), 0, "1.00");
        }
        assert_eq!(pair.engine.counters().ids_cut_short, cut_short);
    }
}

#[test]
fn ids_without_end_leave_the_windows_their_part_of_the_budget() {
    // A quarter of 1 MiB at 40 bytes an id: two halves of 3,276, so the 40,000 ids begin a half early 12 times.
    let options = EngineOptions { state_bytes: Some(1 << 20), ..EngineOptions::default() };
    let mut engine = Engine::new(program(), options).unwrap();
    let stream = engine.open_stream("payments", 0);
    for offset in 0..40_000_i64 {
        let at = START_MS + offset * 100;
        let line =
            format!(r#"{{"id":"p{offset}","at":{at},"card":"c{}","amount":"1.00"}}"#, offset % 50);
        let payload = Some(line.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut Vec::new());
    }
    let counters = engine.counters();
    assert_eq!((counters.evictions, counters.ids_cut_short), (0, 12));
    assert!(engine.state_bytes() <= 1 << 20);
}
