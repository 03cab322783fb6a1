//! Labels through the engine: what they say of event types, rules and models, against plain lists of all events; through
//! a restore in the middle, a replay, another rule set, and where room is wanting.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Engine, EngineOptions, Found, Input, Judged, LabelFigures, ModelSays, OutputTopic, Restore,
    Silence, Sink, SnapshotStatus, Stance,
};
use riskweir::event::schema::Finding;
use riskweir::models::online::Scored;
use riskweir::rules::program::{Mode, Program};
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::runner::Runner as Plain;

mod support;

const DAY_MS: i64 = 86_400_000;
const START_MS: i64 = 20_000 * DAY_MS;

/// How many days of event time an event is remembered, as the reference says.
const KEPT_DAYS: i64 = 120;

const SCHEMA: &str = r#"
event payment from "payments" when "/type" = "payment"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money currency EUR
event login from "payments" when "/type" = "login"
  id    id : text
  time  at : time unit ms
  key   card : card
event outcome from "outcomes"
  id    case_id : text
  time  at      : time unit ms
  field about   : text?
  field what    : one of [confirmed, chargeback, cleared, open]?
  labels payment, login by about verdict what fraud [confirmed, chargeback] genuine [cleared]
"#;

const RULES: &str = r#"
rule large
  id "R-1"  owner fraud
  on payment
  when amount > 900 EUR
  then score +1
rule tried
  id "a rule with a long id"  owner fraud
  mode canary 50% by card
  on payment, login
  when card = "c1" or card = "c2" or card = "c3"
  then alert
rule watched
  id "R-3"
  mode shadow
  on payment
  when amount > 700 EUR
  then block
"#;

fn program(text: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn rules() -> Arc<Program> {
    program(&[SCHEMA, RULES].concat())
}

/// A record: topic, partition, and what it says.
#[derive(Clone, Debug)]
struct Record {
    topic: &'static str,
    partition: i32,
    /// Its time, and when it came where that is known.
    at_ms: i64,
    arrival_ms: Option<i64>,
    line: String,
    /// The id that a label names, and what it says of it.
    label: Option<(Option<String>, Finding)>,
}

fn payment(id: &str, at_ms: i64, card: u64, euros: u64) -> Record {
    let line = format!(
        r#"{{"type":"payment","id":"{id}","at":{at_ms},"card":"c{card}","amount":"{euros}"}}"#
    );
    Record { topic: "payments", partition: 0, at_ms, arrival_ms: None, line, label: None }
}

fn login(id: &str, at_ms: i64, card: u64) -> Record {
    let line = format!(r#"{{"type":"login","id":"{id}","at":{at_ms},"card":"c{card}"}}"#);
    Record { topic: "payments", partition: 0, at_ms, arrival_ms: None, line, label: None }
}

fn label(case: usize, at_ms: i64, about: &str, what: &str) -> Record {
    let finding = match what {
        "confirmed" | "chargeback" => Finding::Fraud,
        "cleared" => Finding::Genuine,
        _ => Finding::Open,
    };
    let line = format!(r#"{{"case_id":"k{case}","at":{at_ms},"about":"{about}","what":"{what}"}}"#);
    let label = Some((Some(about.to_owned()), finding));
    Record { topic: "outcomes", partition: 0, at_ms, arrival_ms: None, line, label }
}

/// What was said of one event.
#[derive(Debug, Default)]
struct Said {
    event: &'static str,
    id: String,
    acted: bool,
    watched: bool,
    /// Rules by id with their stance, models by name.
    by: BTreeSet<(String, Option<Stance>)>,
}

/// Hears what the engine says of the event at hand.
struct Ear<'p> {
    program: &'p Program,
    said: Option<Said>,
}

impl Sink for Ear<'_> {
    fn emit(&mut self, _: OutputTopic, _: &[u8], _: &[u8]) {}

    fn watches(&self) -> bool {
        true
    }

    fn scored(&mut self, _: &Judged<'_>, says: &ModelSays<'_>) {
        if says.scored.and_then(Scored::percentile_ppm).is_some_and(|ppm| ppm >= 995_000) {
            let name = self.program.models[usize::from(says.model.0)].name.clone();
            self.said.as_mut().unwrap().by.insert((name, None));
        }
    }

    fn judged(&mut self, judged: &Judged<'_>) {
        let rule = |id: &riskweir::rules::program::RuleId, acted: bool| {
            let rule = &self.program.rules[usize::from(id.0)];
            let stance = match rule.mode {
                _ if !acted => Stance::Shadow,
                Mode::Canary(_) => Stance::Canary,
                _ => Stance::Live,
            };
            (rule.id.clone(), Some(stance))
        };
        let acted = judged.hits.iter().map(|id| rule(id, true));
        let watched = judged.shadow.iter().map(|id| rule(id, false));
        self.said = Some(Said {
            event: if self.program.schema.event(judged.event).name == "login" {
                "login"
            } else {
                "payment"
            },
            id: judged.id.to_owned(),
            acted: !judged.hits.is_empty(),
            watched: !judged.shadow.is_empty(),
            by: acted.chain(watched).collect(),
        });
    }
}

/// An event as a plain list remembers it: on which day something was said of it, at the latest, and on which nothing was.
#[derive(Debug)]
struct Known {
    said: Said,
    day: Option<i64>,
    quiet_day: Option<i64>,
    label: Option<(Finding, i64)>,
}

impl Known {
    fn found(&self) -> Found {
        match (self.said.acted, self.said.watched) {
            (true, _) => Found::Acted,
            (false, true) => Found::Watched,
            (false, false) => Found::NoHit,
        }
    }
}

/// What the figures should be, from a list of all events that is walked for every label.
#[derive(Debug, Default)]
struct Oracle {
    known: Vec<Known>,
    /// The clock of each partition.
    clocks: BTreeMap<(&'static str, i32), i64>,
    since: i64,
    came: BTreeMap<(Finding, Found), u64>,
}

impl Oracle {
    fn take(&mut self, record: &Record, said: Option<Said>) {
        let place = (record.topic, record.partition);
        let ahead = EngineOptions::default().future_guard_ms;
        let future = record.arrival_ms.is_some_and(|arrival| record.at_ms > arrival + ahead);
        let own = self.clocks.get(&place).copied();
        let clock_ms = match (own, record.arrival_ms) {
            (own, Some(arrival)) if future => own.unwrap_or(arrival),
            (own, _) => own.map_or(record.at_ms, |own| own.max(record.at_ms)),
        };
        if !future {
            self.clocks.insert(place, clock_ms);
            let slowest = self.clocks.values().min().unwrap();
            self.since = self.since.max(slowest.div_euclid(DAY_MS) - KEPT_DAYS);
            self.forget();
        }
        let Some(said) = said else { return };
        if let Some((about, finding)) = &record.label {
            if !future {
                self.label(about.as_deref(), (*finding, record.at_ms));
            }
            return;
        }
        let day = record.at_ms.min(clock_ms).div_euclid(DAY_MS);
        if day < self.since {
            return;
        }
        let same = |known: &Known| known.said.id == said.id && known.said.event == said.event;
        let at = self.known.iter().position(same).unwrap_or_else(|| {
            let said = Said { event: said.event, id: said.id.clone(), ..Said::default() };
            self.known.push(Known { said, day: None, quiet_day: None, label: None });
            self.known.len() - 1
        });
        let known = &mut self.known[at];
        if said.by.is_empty() {
            known.quiet_day = known.quiet_day.max(Some(day));
            return;
        }
        known.said.by.extend(said.by);
        known.said.acted |= said.acted;
        known.said.watched |= said.watched;
        known.day = known.day.max(Some(day));
    }

    fn forget(&mut self) {
        let since = Some(self.since);
        for known in &mut self.known {
            if known.day < since {
                let (event, id) = (known.said.event, known.said.id.clone());
                known.said = Said { event, id, ..Said::default() };
                (known.day, known.label) = (None, None);
            }
            known.quiet_day = known.quiet_day.filter(|day| Some(*day) >= since);
        }
        self.known.retain(|known| known.day.or(known.quiet_day).is_some());
    }

    fn label(&mut self, about: Option<&str>, (finding, at_ms): (Finding, i64)) {
        // The types in the order of the clause.
        let of = |event: &str| {
            let is_it =
                |known: &Known| known.said.event == event && Some(known.said.id.as_str()) == about;
            self.known.iter().position(is_it)
        };
        let at = of("payment").or_else(|| of("login"));
        let found = at.map_or(Found::Unknown, |at| {
            let known = &mut self.known[at];
            known.day = known.day.or(known.quiet_day);
            if known.label.is_none_or(|(_, before_ms)| before_ms <= at_ms) {
                known.label = Some((finding, at_ms));
            }
            known.found()
        });
        *self.came.entry((finding, found)).or_default() += 1;
    }

    fn told(&self) -> Told {
        let mut told = Told { came: self.came.clone(), ..Told::default() };
        for known in &self.known {
            let at = match known.label {
                Some((Finding::Fraud, _)) => 0,
                Some((Finding::Genuine, _)) => 1,
                _ => continue,
            };
            told.events.entry((known.said.event.to_owned(), known.found())).or_default()[at] += 1;
            for by in &known.said.by {
                told.by.entry(by.clone()).or_default()[at] += 1;
            }
        }
        told
    }
}

/// The figures in a form that can be compared: fraud and genuine.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    came: BTreeMap<(Finding, Found), u64>,
    events: BTreeMap<(String, Found), [u64; 2]>,
    by: BTreeMap<(String, Option<Stance>), [u64; 2]>,
}

fn told(engine: &Engine) -> Told {
    let program = engine.program();
    let LabelFigures { came, events, rules, models, evicted } = engine.labels();
    assert_eq!(evicted, 0);
    let mut told = Told::default();
    for (event, finding, found, n) in came {
        assert_eq!(event, "outcome");
        told.came.insert((finding, found), n);
    }
    for (id, found, sum) in events {
        let event = program.schema.event(id).name.clone();
        told.events.insert((event, found), [sum.fraud, sum.genuine]);
    }
    for (id, stance, sum) in rules {
        let rule = program.rules[usize::from(id.0)].id.clone();
        told.by.insert((rule, Some(stance)), [sum.fraud, sum.genuine]);
    }
    for (id, sum) in models {
        let model = program.models[usize::from(id.0)].name.clone();
        told.by.insert((model, None), [sum.fraud, sum.genuine]);
    }
    told
}

struct Runner {
    engine: Engine,
    offset: i64,
}

impl Runner {
    fn new(program: &Arc<Program>, options: EngineOptions) -> Self {
        Self { engine: Engine::new(Arc::clone(program), options).unwrap(), offset: 0 }
    }

    fn step(&mut self, record: &Record, sink: &mut impl Sink) {
        let stream = self.engine.open_stream(record.topic, record.partition);
        let payload = Some(record.line.as_bytes());
        let input = Input { stream, offset: self.offset, arrival_ms: record.arrival_ms, payload };
        self.engine.step(&input, sink);
        self.offset += 1;
    }

    fn steps(&mut self, records: &[Record]) {
        for record in records {
            self.step(record, &mut Silence);
        }
    }

    /// Steps, and tells an oracle.
    fn teach(&mut self, oracle: &mut Oracle, record: &Record) {
        let program = Arc::clone(self.engine.program());
        let mut ear = Ear { program: &program, said: None };
        self.step(record, &mut ear);
        oracle.take(record, ear.said);
    }

    /// One in parts with steps between them, then the restored engine with what came since.
    fn reborn(&mut self, records: &[Record], budget: usize) -> Self {
        let program = Arc::clone(self.engine.program());
        let offset = self.offset;
        self.engine.begin_snapshot();
        let mut restore = Restore::new(program, *self.engine.options());
        let mut left = records;
        let mut status = SnapshotStatus::More;
        while status == SnapshotStatus::More {
            let mut part = Vec::new();
            status = self.engine.snapshot_part(budget, &mut part);
            restore.part(&part).unwrap();
            let (now, later) = left.split_at(left.len().min(3));
            self.steps(now);
            left = later;
        }
        self.steps(left);
        let mut restored = Self { engine: restore.finish().unwrap(), offset };
        restored.steps(records);
        restored
    }
}

/// Events of a few ids, and labels that come early, late, twice and about nothing.
fn stream(dice: &mut Dice, n: usize) -> Vec<Record> {
    let pace_ms = dice.pick(&[60_000, 3_600_000, DAY_MS]);
    let ids = dice.pick(&[5, 40, 400]);
    let mut now_ms = START_MS;
    let mut records: Vec<Record> = Vec::new();
    for index in 0..n {
        now_ms += i64::try_from(dice.below(4)).unwrap() * pace_ms;
        if dice.one_in(150) {
            now_ms += 50 * DAY_MS;
        }
        let at_ms = now_ms - dice.pick(&[0, 0, 0, 60_000, DAY_MS, 119 * DAY_MS, 121 * DAY_MS]);
        let id = format!("p{}", dice.below(ids));
        let card = dice.below(5);
        let mut record = match dice.below(8) {
            0..4 => payment(&id, at_ms, card, dice.pick(&[10, 800, 950])),
            4 => login(&id, at_ms, card),
            _ => {
                let what = dice.pick(&["confirmed", "chargeback", "cleared", "cleared", "open"]);
                label(index, at_ms, &id, what)
            }
        };
        if record.label.is_some() && dice.one_in(20) {
            record.line = format!(r#"{{"case_id":"k{index}","at":{at_ms},"what":"cleared"}}"#);
            record.label = Some((None, Finding::Genuine));
        }
        record.partition = dice.pick(&[0, 0, 1]);
        if dice.one_in(10) {
            record.arrival_ms = Some(record.at_ms - dice.pick(&[0, 3 * DAY_MS]));
        }
        records.push(record);
        if dice.one_in(15) {
            records.push(dice.pick(&records));
        }
    }
    records
}

/// Against the lists at every record; saved and restored in the middle; and the whole input once more. Gives what came.
fn check(seed: u64) -> BTreeMap<(Finding, Found), u64> {
    let mut dice = Dice::new(seed);
    let records = stream(&mut dice, 400);
    let (program, options) = (rules(), EngineOptions::default());
    let (mut runner, mut oracle) = (Runner::new(&program, options), Oracle::default());
    for record in &records {
        runner.teach(&mut oracle, record);
        assert_eq!(told(&runner.engine), oracle.told(), "{record:?}");
    }
    let middle = usize::try_from(dice.below(records.len() as u64)).unwrap();
    let mut again = Runner::new(&program, options);
    again.steps(&records[..middle]);
    let restored = again.reborn(&records[middle..], dice.pick(&[1, 300, 100_000]));
    for other in [&again, &restored] {
        assert_eq!(told(&other.engine), oracle.told());
        assert_eq!(other.engine.state_bytes(), runner.engine.state_bytes());
        assert_eq!(other.engine.digest(), runner.engine.digest());
    }
    oracle.came
}

#[test]
fn the_random_streams_show_everything_that_a_label_can_find() {
    let seen: BTreeSet<(Finding, Found)> =
        (0..6).flat_map(|seed| check(seed).into_keys()).collect();
    assert_eq!(seen.len(), Finding::ALL.len() * Found::ALL.len(), "{seen:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn figures_are_those_of_a_list_of_all_events_and_survive_a_restore_and_a_replay(seed in any::<u64>()) {
        check(seed);
    }
}

/// Fraud and genuine of a rule by its id.
fn of_rule(engine: &Engine, id: &str, stance: Stance) -> [u64; 2] {
    told(engine).by.get(&(id.to_owned(), Some(stance))).copied().unwrap_or_default()
}

fn came(engine: &Engine, finding: Finding, found: Found) -> u64 {
    told(engine).came.get(&(finding, found)).copied().unwrap_or_default()
}

#[test]
fn a_later_label_replaces_the_earlier_one_and_counts_once() {
    let mut runner = Runner::new(&rules(), EngineOptions::default());
    runner.steps(&[
        payment("p", START_MS, 0, 950),
        label(1, START_MS + 5 * DAY_MS, "p", "confirmed"),
        label(2, START_MS + 6 * DAY_MS, "p", "chargeback"),
    ]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [1, 0]);
    assert_eq!(of_rule(&runner.engine, "R-3", Stance::Shadow), [1, 0]);
    runner.steps(&[label(3, START_MS + 9 * DAY_MS, "p", "cleared")]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [0, 1]);
    // What was said earlier comes later: it is out of date.
    runner.steps(&[label(4, START_MS + 8 * DAY_MS, "p", "confirmed")]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [0, 1]);
    // The case is open again.
    runner.steps(&[label(5, START_MS + 9 * DAY_MS, "p", "open")]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [0, 0]);
    let labels = [Finding::Fraud, Finding::Genuine, Finding::Open];
    let counts = labels.map(|finding| came(&runner.engine, finding, Found::Acted));
    assert_eq!(counts, [3, 1, 1], "all of them came");
}

/// What rules ask of labels as they ask of any event: a repeat is recognised for a day, and later it is another event; who
/// asks how many payments were labelled, and not how many labels came, is told the same however often they come.
#[test]
fn a_label_that_comes_again_late_is_another_event_in_a_window_but_no_other_payment() {
    let schema = r#"
event payment from "t" when "/type" = "payment"
  id    id   : text
  time  at   : time unit ms
  key   shop : shop
event outcome from "t" when "/type" = "outcome"
  id    id    : text
  time  at    : time unit ms
  key   shop  : shop
  field about : text
  field fraud : bool
  labels payment by about verdict fraud
rule told
  id "R-1"  owner fraud  severity low
  on payment
  let labels = count(outcome where fraud) by shop over last 30d
  let frauds = distinct(outcome.about where fraud) by shop over last 30d
  when labels >= 0 and frauds >= 0
  then alert queue q message "{labels} {frauds}"
"#;
    let mut runner = Plain::new(&program(schema));
    let mut said = |day: i64, of: &str| {
        let at = START_MS + day * DAY_MS;
        let of = of.replace("AT", &at.to_string());
        let from = runner.out.len();
        runner.decide(&of);
        let alert = runner.out[from..].iter().find(|output| output.topic == OutputTopic::Alerts);
        let alert = alert.map(|alert| serde_json::from_slice(&alert.body).unwrap());
        alert.map_or(String::new(), |alert: Value| alert["message"].as_str().unwrap().to_owned())
    };
    let label = r#"{"type":"outcome","id":"k1","at":AT,"shop":"s","about":"p1","fraud":true}"#;
    let payment = |n: u32| format!(r#"{{"type":"payment","id":"p{n}","at":AT,"shop":"s"}}"#);
    assert_eq!(said(0, &payment(1)), "0 0");
    said(8, label);
    assert_eq!(said(8, &payment(2)), "1 1");
    said(8, label);
    assert_eq!(said(8, &payment(3)), "1 1", "a repeat within a day is none");
    said(12, label);
    assert_eq!(
        said(12, &payment(4)),
        "2 1",
        "four days later it is another label of the same payment"
    );
}

#[test]
fn a_missed_fraud_is_told_from_an_event_that_is_unknown_or_forgotten() {
    let mut runner = Runner::new(&rules(), EngineOptions::default());
    runner.steps(&[
        label(1, START_MS, "early", "confirmed"),
        payment("early", START_MS, 0, 950),
        payment("missed", START_MS, 0, 10),
        payment("old", START_MS, 0, 950),
        label(2, START_MS + DAY_MS, "missed", "confirmed"),
        label(3, START_MS + DAY_MS, "never", "confirmed"),
    ]);
    assert_eq!(came(&runner.engine, Finding::Fraud, Found::NoHit), 1);
    assert_eq!(came(&runner.engine, Finding::Fraud, Found::Unknown), 2, "early, never");
    assert_eq!(told(&runner.engine).events[&("payment".to_owned(), Found::NoHit)], [1, 0]);
    runner.steps(&[label(4, START_MS + 2 * DAY_MS, "missed", "cleared")]);
    assert_eq!(told(&runner.engine).events[&("payment".to_owned(), Found::NoHit)], [0, 1]);
    // A day of 120 is remembered, one of 121 is not.
    let late_ms = START_MS + KEPT_DAYS * DAY_MS;
    runner.steps(&[payment("x", late_ms, 0, 10), label(5, late_ms, "old", "confirmed")]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [1, 0]);
    runner.steps(&[payment("y", late_ms + DAY_MS, 0, 10)]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [1, 0], "the labels' clock lags");
    runner.steps(&[label(6, late_ms + DAY_MS, "old", "cleared")]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [0, 0]);
    assert_eq!(came(&runner.engine, Finding::Genuine, Found::Unknown), 1);
}

#[test]
fn another_rule_set_goes_on_by_the_ids_of_rules() {
    let mut runner = Runner::new(&rules(), EngineOptions::default());
    runner.steps(&[
        payment("p", START_MS, 0, 950),
        payment("q", START_MS, 0, 950),
        label(1, START_MS + DAY_MS, "p", "confirmed"),
    ]);
    let text = [SCHEMA, &RULES.replace("rule large", "rule very_large")].concat();
    runner.engine.activate(program(&text.replace("\"R-3\"", "\"R-4\""))).unwrap();
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [1, 0]);
    assert_eq!(of_rule(&runner.engine, "R-4", Stance::Shadow), [0, 0]);
    runner.steps(&[
        label(2, START_MS + DAY_MS, "q", "cleared"),
        payment("r", START_MS + DAY_MS, 0, 950),
        label(3, START_MS + DAY_MS, "r", "confirmed"),
    ]);
    assert_eq!(of_rule(&runner.engine, "R-1", Stance::Live), [2, 1]);
    assert_eq!(of_rule(&runner.engine, "R-4", Stance::Shadow), [1, 0]);
    runner.engine.activate(rules()).unwrap();
    assert_eq!(of_rule(&runner.engine, "R-3", Stance::Shadow), [1, 1]);
}

/// By hand, in cents. An event that comes again adds nothing, a rule that watches adds as one that acts does.
#[test]
fn amounts_of_what_a_rule_hits_are_added_up_by_day_over_a_quarter() {
    let amount = |runner: &Runner, rule: &str, day: i64| {
        let rules = &runner.engine.program().rules;
        let at = rules.iter().position(|info| info.name == rule).unwrap();
        runner.engine.counters().rules[at].amounts.until(START_MS + day * DAY_MS).minor
    };
    let mut runner = Runner::new(&rules(), EngineOptions::default());
    let day = |n: i64| START_MS + n * DAY_MS;
    runner.steps(&[
        payment("a", day(0), 0, 950),
        payment("b", day(1), 0, 800),
        payment("c", day(2), 0, 1_000),
        payment("c", day(2), 0, 1_000),
        payment("d", day(2), 0, 10),
    ]);
    let told =
        |runner: &Runner, day| (amount(runner, "large", day), amount(runner, "watched", day));
    assert_eq!(told(&runner, 2), (195_000, 275_000));
    let mut runner = runner.reborn(&[payment("e", day(3), 0, 901)], 1_000);
    assert_eq!(told(&runner, 3), (285_100, 365_100));
    // The first day is over with the ninety-first.
    assert_eq!(told(&runner, 89), (285_100, 365_100));
    assert_eq!(told(&runner, 90), (190_100, 270_100));
    // Another rule set goes on by the names of rules.
    let fewer = RULES.replace("amount > 900 EUR", "amount > 5000 EUR");
    runner.engine.activate(program(&[SCHEMA, &fewer].concat())).unwrap();
    runner.steps(&[payment("f", day(90), 0, 1_000)]);
    assert_eq!(told(&runner, 90), (190_100, 370_100));
}

#[test]
fn a_model_is_measured_by_its_high_scores() {
    let model = r"
model odd
  on payment
  reads both amount
  over prior 14d
";
    let program = program(&[SCHEMA, RULES, model].concat());
    let (mut runner, mut oracle) =
        (Runner::new(&program, EngineOptions::default()), Oracle::default());
    let mut dice = Dice::new(3);
    let mut n_high = 0;
    for index in 0..7_000 {
        let euros = if dice.one_in(150) { 600 } else { 10 + dice.below(80) };
        let (id, at_ms) = (format!("p{index}"), START_MS + index * 120_000);
        runner.teach(&mut oracle, &payment(&id, at_ms, 0, euros));
        if index > 4_500 && euros == 600 {
            n_high += 1;
            let what = if dice.one_in(3) { "confirmed" } else { "cleared" };
            let index = usize::try_from(index).unwrap();
            runner.teach(&mut oracle, &label(index, at_ms, &id, what));
        }
    }
    let told = told(&runner.engine);
    assert_eq!(told, oracle.told());
    let [fraud, genuine] = told.by[&("odd".to_owned(), None)];
    assert!(fraud + genuine > 5 && fraud + genuine <= n_high, "{told:?}");
    // No rule hit any of them.
    assert_eq!(told.events[&("payment".to_owned(), Found::NoHit)].iter().sum::<u64>(), n_high);
}

#[test]
fn where_room_is_wanting_the_oldest_go_are_counted_and_a_restored_engine_forgets_the_same() {
    let options = EngineOptions { state_bytes: Some(640_000), ..EngineOptions::default() };
    let mut runner = Runner::new(&rules(), options);
    let pay = |index: i64| {
        payment(
            &format!("p{index}"),
            START_MS + index * 1_000,
            0,
            if index % 2 == 0 { 950 } else { 10 },
        )
    };
    let first: Vec<Record> = (0..12_000).map(pay).collect();
    runner.steps(&first);
    // A sixteenth is 40,000 bytes: 5,000 events of eight bytes, and fewer with hits.
    let evicted = runner.engine.labels().evicted;
    assert!((6_000..12_000).contains(&evicted), "{evicted}");
    let rest: Vec<Record> = (12_000..14_000).map(pay).collect();
    let mut restored = runner.reborn(&rest, 5_000);
    let labels = (0..14_000).rev().step_by(7).map(|index: i64| {
        let at_ms = START_MS + (14_000 + index) * 1_000;
        label(usize::try_from(index).unwrap(), at_ms, &format!("p{index}"), "confirmed")
    });
    let labels: Vec<Record> = labels.collect();
    runner.steps(&labels);
    restored.steps(&labels);
    assert_eq!(runner.engine.labels(), restored.engine.labels());
    assert_eq!(runner.engine.state_bytes(), restored.engine.state_bytes());
    let came = runner.engine.labels().came;
    let known = |found: Found| came.iter().filter(|it| it.2 == found).map(|it| it.3).sum::<u64>();
    assert!(known(Found::Acted) > 30 && known(Found::NoHit) > 300 && known(Found::Unknown) > 300);
}
