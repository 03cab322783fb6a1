//! What must hold of the engine on any stream: the same input gives the same bytes, the order of events of different
//! keys at one instant does not matter to rules about those keys, the books balance after every record, and state stays
//! within its budget, with what was lost on record.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

#[path = "support/dice.rs"]
mod dice;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use riskweir::decision::holds::HoldState;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Input, Output, OutputTopic};
use riskweir::rules::program::Program;
use serde_json::Value;

use crate::dice::Dice;

/// Rules about cards alone: windows, filters, episodes, lists, holds.
const RULES: &str = r#"
event payment
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  field amount  : money currency EUR
  field country : country?
  field flag    : bool
list watched : card
rule busy
  id "R-1"  owner fraud  severity low
  on payment
  let n = count(payment) by card over last 10s
  when n >= 4
  then score +10 in velocity cap 30
       alert queue l1 once per card per 20s message "{n} payments"
rule spending
  id "R-2"  owner fraud  severity high
  on payment
  let usual = avg(payment.amount) by card over prior 1m
  when amount > 2 * usual and amount > 50 EUR
  if missing skip
  then hold for 15s otherwise block reason "{usual} usually"
       add card to watched for 30s
rule abroad
  id "R-3"  owner fraud  severity medium
  on payment
  when is_new(payment.country) by card over prior 1m
  if missing review
  then score +15 in place
rule seen_before
  id "R-4"  owner fraud  severity medium
  on payment
  when card in watched and distinct(payment.country where flag) by card over last 30s >= 2
  then block
"#;

fn program(text: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

const START_MS: i64 = 1_772_445_600_000;

#[derive(Clone, Debug)]
struct Event {
    at_ms: i64,
    card: u64,
    line: String,
}

fn event(id: &str, at_ms: i64, card: u64, dice: &mut Dice) -> Event {
    let amount = dice.pick(&["1.00", "20.00", "45.50", "60.00", "200.00"]);
    let country = dice.pick(&["\"DE\"", "\"FR\"", "\"IT\"", "null"]);
    let flag = dice.one_in(2);
    let line = format!(
        r#"{{"id":"{id}","at":{at_ms},"card":"c{card}","amount":"{amount}","country":{country},"flag":{flag}}}"#
    );
    Event { at_ms, card, line }
}

/// In order of time, many at the same instant.
fn ordered(seed: u64, n: usize) -> Vec<Event> {
    let mut dice = Dice::new(seed);
    let mut at_ms = START_MS;
    let next = |index: usize| {
        at_ms += dice.pick(&[0, 0, 0, 1, 500, 1_000, 4_000]);
        let card = dice.below(5);
        event(&format!("p{index}"), at_ms, card, &mut dice)
    };
    (0..n).map(next).collect()
}

/// As a network delivers: late, repeated, reused, broken.
fn messy(seed: u64, n: usize) -> Vec<String> {
    let mut dice = Dice::new(seed);
    let mut lines: Vec<String> = Vec::new();
    for mut next in ordered(seed ^ 1, n) {
        if dice.one_in(8) {
            let late_ms = next.at_ms - dice.pick(&[1, 5_000, 60_000, 600_000]);
            next.line = next.line.replace(&next.at_ms.to_string(), &late_ms.to_string());
        }
        lines.push(next.line.clone());
        match dice.below(12) {
            0 => lines.push(dice.pick(&lines)),
            1 => lines.push(next.line.replace("\"flag\":", "\"flag\":true,\"other\":")),
            2 => lines.push(next.line.replace("EUR", "").replace(".00", ".005")),
            3 => lines.push(next.line[..next.line.len() / 2].to_owned()),
            _ => {}
        }
    }
    lines
}

/// Steps an engine through the lines; the books must balance after each.
fn outputs(program: &Arc<Program>, lines: &[String]) -> Vec<Output> {
    let mut engine = Engine::new(Arc::clone(program), EngineOptions::default()).unwrap();
    let stream = engine.open_stream("stream", 0);
    let mut all = Vec::new();
    for (offset, line) in (0_i64..).zip(lines) {
        let before = all.len();
        let payload = Some(line.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut all);
        let counters = engine.counters();
        assert_eq!(counters.read, u64::try_from(offset + 1).unwrap());
        assert_eq!(counters.read, counters.decided() + counters.dead_lettered());
        let of = |topic| all[before..].iter().filter(|output| output.topic == topic).count();
        let answered = of(OutputTopic::Decisions) + of(OutputTopic::DeadLetter);
        assert_eq!(answered, 1, "one record, one answer: {line}");
    }
    let counters = engine.counters();
    let count = |topic| all.iter().filter(|output: &&Output| output.topic == topic).count() as u64;
    assert_eq!(counters.alerts, count(OutputTopic::Alerts));
    assert_eq!(counters.holds.iter().sum::<u64>(), count(OutputTopic::Holds));
    let open = counters.holds_in(HoldState::Placed) - counters.holds_in(HoldState::Expired);
    assert_eq!(u64::try_from(engine.holds_open()).unwrap(), open);
    all
}

/// What the rules said about each event.
fn said(all: &[Output]) -> BTreeMap<String, [Value; 4]> {
    let decisions = all.iter().filter(|output| output.topic == OutputTopic::Decisions);
    let said = decisions.map(|output| {
        let record: Value = serde_json::from_slice(&output.body).unwrap();
        let parts =
            ["contributions", "undecided", "outcome", "score"].map(|name| record[name].clone());
        (record["event"]["id"].as_str().unwrap().to_owned(), parts)
    });
    said.collect()
}

/// Another order of the events of each instant that leaves each card's own order as it is.
fn permuted(events: &[Event], dice: &mut Dice) -> Vec<Event> {
    let mut out = Vec::new();
    for instant in events.chunk_by(|left, right| left.at_ms == right.at_ms) {
        let mut queues: BTreeMap<u64, Vec<Event>> = BTreeMap::new();
        for event in instant.iter().rev() {
            queues.entry(event.card).or_default().push(event.clone());
        }
        while !queues.is_empty() {
            let cards: Vec<u64> = queues.keys().copied().collect();
            let card = dice.pick(&cards);
            let queue = queues.get_mut(&card).unwrap();
            out.extend(queue.pop());
            if queue.is_empty() {
                queues.remove(&card);
            }
        }
    }
    out
}

fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| event.line.clone()).collect()
}

/// Outcome, score and whether it says `capped`, per event, of one engine over two partitions. Cards of even number are in
/// partition 0; `runs` says how many records are read of one partition before the other's turn.
fn of_two_partitions(
    program: &Arc<Program>,
    events: &[Event],
    runs: &mut dyn FnMut() -> usize,
    idle_ms: i64,
) -> BTreeMap<String, (Value, Value, bool)> {
    let options = EngineOptions { partition_idle_ms: idle_ms, ..Default::default() };
    let mut engine = Engine::new(Arc::clone(program), options).unwrap();
    let streams = [engine.open_stream("stream", 0), engine.open_stream("stream", 1)];
    let of = |number: u64| events.iter().filter(move |event| event.card % 2 == number);
    let mut lanes = [of(0).peekable(), of(1).peekable()];
    let (mut all, mut offsets, mut turn) = (Vec::new(), [0_i64; 2], 1);
    while lanes.iter_mut().any(|lane| lane.peek().is_some()) {
        for event in lanes[turn].by_ref().take(runs()) {
            let (offset, payload) = (offsets[turn], Some(event.line.as_bytes()));
            let stream = streams[turn];
            engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut all);
            offsets[turn] += 1;
        }
        turn = 1 - turn;
    }
    let decisions = all.iter().filter(|output| output.topic == OutputTopic::Decisions);
    let parts = decisions.map(|output| {
        let record: Value = serde_json::from_slice(&output.body).unwrap();
        let capped = record["provenance"].as_array().unwrap().contains(&"capped".into());
        let id = record["event"]["id"].as_str().unwrap().to_owned();
        (id, (record["outcome"].clone(), record["score"].clone(), capped))
    });
    parts.collect()
}

#[test]
fn a_decision_that_lacks_what_an_idle_partition_lost_says_so_even_when_no_rule_hits() {
    let mut dice = Dice::new(1);
    let mut id = 0;
    let mut payment = |at_ms: i64, card: u64| {
        id += 1;
        event(&format!("p{id}"), START_MS + at_ms, card, &mut dice)
    };
    let before = (0..4).map(|n| payment(n * 1_000, 0));
    let mut events: Vec<Event> = before.collect();
    // So many, over so long, that the other partition counts as idle.
    events
        .extend((0..100_100_u64).map(|n| payment(i64::try_from(n * 100).unwrap(), n % 50 * 2 + 1)));
    events.extend((0..4).map(|n| payment(6_000 + n * 500, 0)));
    let mut runs = [0, 4, 200_000, 4].into_iter();
    let found =
        of_two_partitions(&program(RULES), &events, &mut || runs.next().unwrap(), 3_600_000);
    let score = |id: &str| found[id].1.as_i64().unwrap() % 15;
    assert_eq!(score("p4"), 10, "four within ten seconds");
    assert!(!found["p4"].2);
    assert_eq!(score("p100105"), 0, "five within ten seconds, but four are forgotten");
    assert!(found["p100105"].2, "it says so");
    assert_eq!(score("p100108"), 10, "what came since is remembered, far behind as it is");
    assert!(found["p100108"].2, "and there were more");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_input_gives_the_same_bytes(seed in any::<u64>()) {
        let program = program(RULES);
        let lines = messy(seed, 400);
        prop_assert_eq!(outputs(&program, &lines), outputs(&program, &lines));
    }

    #[test]
    fn how_far_a_partition_lags_behind_another_changes_no_decision_about_its_own_keys(seed in any::<u64>()) {
        let program = program(RULES);
        let events = ordered(seed, 300);
        let mut dice = Dice::new(seed ^ 2);
        let apart = of_two_partitions(&program, &events, &mut || 1_000, 3_600_000);
        let mixed = of_two_partitions(&program, &events, &mut || dice.pick(&[1, 5, 40, 120]), 3_600_000);
        // A fresh engine for each partition knows of no other.
        let alone = |number: u64| {
            let own: Vec<Event> = events.iter().filter(|event| event.card % 2 == number).cloned().collect();
            of_two_partitions(&program, &own, &mut || 1_000, 3_600_000)
        };
        for (id, (outcome, score, _)) in alone(0).into_iter().chain(alone(1)) {
            prop_assert_eq!((&apart[&id].0, &apart[&id].1), (&outcome, &score), "{}", id);
            prop_assert_eq!((&mixed[&id].0, &mixed[&id].1), (&outcome, &score), "{}", id);
        }
    }

    #[test]
    fn no_decision_or_alert_comes_twice_but_as_a_duplicate(seed in any::<u64>()) {
        let all = outputs(&program(RULES), &messy(seed, 400));
        let mut seen = BTreeSet::new();
        for output in &all {
            let record: Value = serde_json::from_slice(&output.body).unwrap();
            let id = match output.topic {
                OutputTopic::Decisions => &record["decision_id"],
                OutputTopic::Alerts => &record["alert_id"],
                _ => continue,
            };
            let fresh = seen.insert(id.as_str().unwrap().to_owned());
            prop_assert_eq!(fresh, record["duplicate"] != true, "{}", record);
        }
    }

    #[test]
    fn the_order_of_other_cards_at_one_instant_does_not_matter(seed in any::<u64>()) {
        let program = program(RULES);
        let events = ordered(seed, 400);
        let other = permuted(&events, &mut Dice::new(seed));
        prop_assert_eq!(said(&outputs(&program, &lines(&events))), said(&outputs(&program, &lines(&other))));
    }
}

#[test]
fn the_random_streams_make_every_rule_speak() {
    let all = outputs(&program(RULES), &messy(7, 2_000));
    let text: String =
        all.iter().map(|output| String::from_utf8_lossy(&output.body).into_owned()).collect();
    for word in
        ["R-1", "R-2", "R-3", "R-4", "\"late\"", "too_late", "id_reuse", "\"duplicate\":true"]
    {
        assert!(text.contains(word), "{word}");
    }
    for topic in [OutputTopic::Alerts, OutputTopic::Holds, OutputTopic::DeadLetter] {
        assert!(all.iter().any(|output| output.topic == topic), "{topic:?}");
    }
    let permuted = permuted(&ordered(7, 400), &mut Dice::new(1));
    assert_ne!(lines(&permuted), lines(&ordered(7, 400)), "the permutation changes the order");
}

/// One event in a hundred is looked at, so that little but window state is kept.
const MANY_KEYS: &str = r#"
event payment
  id    id   : text
  time  at   : time unit ms
  key   card : card
  field amount : money currency EUR
  field country : country?
  field flag : bool
rule looked_at
  id "R-1"  owner fraud  severity low
  on payment
  when flag and count(payment) by card over last 1h >= 1 and sum(payment.amount) by card over last 1h > 0 EUR
  then score +10 in x
"#;

const BUDGET_BYTES: usize = 512 << 10;
/// What may be added between two looks at the budget.
const SLACK_BYTES: usize = 128 << 10;

#[test]
fn state_stays_within_its_budget_and_what_was_evicted_is_marked() {
    let options = EngineOptions {
        state_bytes: Some(BUDGET_BYTES as u64),
        allowed_lateness_ms: 0,
        dedupe_window_ms: 10_000,
        ..EngineOptions::default()
    };
    let mut engine = Engine::new(program(MANY_KEYS), options).unwrap();
    let stream = engine.open_stream("stream", 0);
    let mut dice = Dice::new(3);
    let (mut largest, mut all) = (0, Vec::new());
    for index in 0..30_000_i64 {
        let card = dice.below(20_000);
        let line = format!(
            r#"{{"id":"p{index}","at":{},"card":"card-{card}","amount":"5.00","flag":{}}}"#,
            START_MS + index * 100,
            index % 100 == 0
        );
        let payload = Some(line.as_bytes());
        engine.step(&Input { stream, offset: index, arrival_ms: None, payload }, &mut all);
        largest = largest.max(engine.state_bytes());
    }
    assert!(largest <= BUDGET_BYTES + SLACK_BYTES, "{largest} bytes");
    assert!(largest > BUDGET_BYTES / 2, "the budget is used: {largest} bytes");
    assert!(engine.counters().evictions > 0);
    assert_eq!(engine.counters().decided(), 30_000);
    let remarks = |output: &&Output| {
        let record: Value = serde_json::from_slice(&output.body).unwrap();
        record["provenance"].as_array().unwrap().contains(&"capped".into())
    };
    let capped = all.iter().filter(remarks).count();
    assert!(capped > 0, "nothing says that windows are lower bounds");
    // The window is an hour, the stream 50 minutes: without the budget nothing is ever forgotten.
    let free = EngineOptions { state_bytes: Some(1 << 30), ..options };
    let mut engine = Engine::new(program(MANY_KEYS), free).unwrap();
    let stream = engine.open_stream("stream", 0);
    let mut whole = Vec::new();
    for (offset, card) in (0_i64..).zip([1, 2, 1]) {
        let at_ms = START_MS + offset;
        let line = format!(
            r#"{{"id":"p{offset}","at":{at_ms},"card":"{card}","amount":"5.00","flag":true}}"#
        );
        engine.step(
            &Input { stream, offset, arrival_ms: None, payload: Some(line.as_bytes()) },
            &mut whole,
        );
    }
    assert_eq!(engine.counters().evictions, 0);
    assert!(!whole.iter().any(|output| remarks(&output)));
}

const ABROAD: &str = r#"
event payment
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money currency "/currency"
policy p
  base currency EUR
  rates from "rates.csv"
rule large
  id "R-1"  owner fraud  severity low
  on payment
  when amount > 800 EUR
  if missing skip
  then tag large
"#;

/// The decision about 1,000 dollars with a table of rates.
fn abroad(table: &str) -> Value {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let files = vec![file("a.risk", ABROAD), file("rates.csv", table)];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    let program = Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")));
    let line =
        format!(r#"{{"id":"p1","at":{START_MS},"card":"c","amount":"1000.00","currency":"USD"}}"#);
    serde_json::from_slice(&outputs(&program, &[line])[0].body).unwrap()
}

#[test]
fn a_decision_names_its_rates_and_shows_an_amount_with_the_original() {
    // The payment is of 2 March 2026: the rate of the day before holds, 851.20 EUR; and 799.99 EUR.
    let large = abroad("date,currency,rate\n2026-03-01,USD,0.8512\n");
    let condition = &large["contributions"][0]["conditions"][0];
    assert_eq!(condition["value"], "851.20 EUR (1000.00 USD)", "{large:#}");
    assert_eq!(condition["threshold"], "800.00 EUR");
    let small = abroad("date,currency,rate\n2026-03-01,USD,0.79999\n");
    assert!(small.get("contributions").is_none(), "{small:#}");
    let version = |decision: &Value| decision["rates"].as_str().unwrap().to_owned();
    assert_eq!(version(&large).len(), 32);
    assert_ne!(version(&large), version(&small), "another table has another name");
    let unknown = abroad("date,currency,rate\n2026-02-01,USD,0.8512\n");
    assert_eq!(
        unknown["undecided"][0]["missing"][0], "amount",
        "a rate of a month ago has expired"
    );
}

/// The decisions about payments of one card, minutes apart: amount and currency.
fn sums(payments: &[(&str, &str)]) -> Vec<Value> {
    let text = ABROAD.replace(
        "when amount > 800 EUR",
        "when sum(payment.amount in EUR) by card over last 10m > 800 EUR",
    );
    priced(&text, payments)
}

/// The same by a rule set.
fn priced(text: &str, payments: &[(&str, &str)]) -> Vec<Value> {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let table = "date,currency,rate\n2026-03-01,USD,0.8512\n";
    let files = vec![file("a.risk", text), file("rates.csv", table)];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    let program = Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")));
    let lines: Vec<String> = (0_i64..)
        .zip(payments)
        .map(|(minute, (amount, currency))| {
            let at = START_MS + minute * 60_000;
            format!(
                r#"{{"id":"p{minute}","at":{at},"card":"c","amount":"{amount}","currency":"{currency}"}}"#
            )
        })
        .collect();
    let decisions = outputs(&program, &lines);
    decisions.iter().map(|output| serde_json::from_slice(&output.body).unwrap()).collect()
}

#[test]
fn a_sum_that_leaves_out_an_amount_without_a_rate_says_so() {
    let says = |decision: &Value| {
        let provenance = decision["provenance"].as_array().unwrap();
        provenance.contains(&"unpriced".into())
    };
    let of = |payments: &[(&str, &str)]| sums(payments).pop().unwrap();
    // 851.20 EUR, and pounds that nobody can price: it hits by what is known.
    let hit = of(&[("500.00", "GBP"), ("1000.00", "USD")]);
    let condition = &hit["contributions"][0]["conditions"][0];
    assert_eq!(condition["value"], "851.20 EUR", "{hit:#}");
    assert_eq!(condition["coverage"], "unpriced");
    assert!(says(&hit));
    // 700 EUR: the pounds may be why it does not hit.
    let short = of(&[("500.00", "GBP"), ("700.00", "EUR")]);
    assert!(short.get("contributions").is_none() && says(&short), "{short:#}");
    // The pounds are those of this very event.
    let own = of(&[("700.00", "EUR"), ("500.00", "GBP")]);
    assert!(own.get("contributions").is_none() && says(&own), "{own:#}");
    // All is known.
    let known = of(&[("1000.00", "USD"), ("700.00", "EUR")]);
    assert!(known.get("contributions").is_some() && !says(&known), "{known:#}");
    // Ten minutes later the pounds are out of the window.
    let mut minutes = vec![("500.00", "GBP")];
    minutes.extend([("1.00", "EUR"); 10]);
    let later = sums(&minutes);
    assert!(says(&later[9]) && !says(&later[10]), "{:#}", later[10]);
}

#[test]
fn a_sum_of_a_feature_that_is_made_of_an_amount_without_a_rate_says_so() {
    let rule = "\
feature tenth = amount / 10
feature size = ln(amount / 1 EUR)
rule spent
  id \"R-2\"  owner fraud  severity low
  on payment
  when sum(payment.tenth) by card over prior 10m > 80 EUR and max(payment.size) by card over prior 10m > 6
  if missing skip
  then tag spent
";
    let last = |payments: &[(&str, &str)]| {
        let decisions = priced(&[ABROAD, rule].concat(), payments);
        let last = decisions.last().unwrap();
        let contributions = last["contributions"].as_array().unwrap();
        contributions.iter().find(|rule| rule["name"] == "spent").unwrap()["conditions"].clone()
    };
    // 1,000 dollars are 851.20 EUR: a tenth is 85.12 EUR, and ln 851.2 is 6.7466. Of the pounds nobody knows.
    let unknown = last(&[("500.00", "GBP"), ("1000.00", "USD"), ("1.00", "EUR")]);
    assert_eq!(unknown[0]["value"], "85.12 EUR", "{unknown:#}");
    assert_eq!(
        (&unknown[0]["coverage"], &unknown[1]["coverage"]),
        (&"unpriced".into(), &"unpriced".into())
    );
    let known = last(&[("1000.00", "USD"), ("1.00", "EUR")]);
    assert_eq!(known[0]["value"], "85.12 EUR");
    assert!(known[0]["coverage"] != "unpriced" && known[1]["coverage"] != "unpriced", "{known:#}");
}

#[test]
fn what_only_a_model_learns_from_says_nothing_about_a_decision() {
    let model = "\
feature spent = sum(payment.amount in EUR) by card over last 10m
model odd
  on payment
  reads high spent
";
    let asks = "\
rule asks mode shadow
  on payment
  when model.odd >= 0.0
  if missing skip
  then alert
";
    // It is remembered for events that come, and nobody else says that it lacks an amount.
    let keeps = "\
rule keeps mode shadow
  on payment
  when max(payment.spent) by card over prior 1h > 9000 EUR
  if missing skip
  then alert
";
    let provenance = |parts: &[&str]| {
        // The pounds have no rate.
        let decisions =
            priced(&[&[ABROAD], parts].concat().concat(), &[("5.00", "GBP"), ("7.00", "EUR")]);
        decisions[1]["provenance"].clone()
    };
    assert_eq!(provenance(&[]), serde_json::json!(["normal"]));
    assert_eq!(provenance(&[model]), serde_json::json!(["normal"]));
    assert_eq!(provenance(&[model, asks]), serde_json::json!(["unpriced"]));
    assert_eq!(provenance(&[model, keeps]), serde_json::json!(["unpriced"]));
}
