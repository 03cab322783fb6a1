//! State that is saved, restored and carried over: a restored engine does byte for byte what the saved one would have
//! done; damaged bytes are refused; another rule set keeps what it still asks for and says what is not known yet.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

#[path = "support/dice.rs"]
mod dice;

use std::sync::Arc;

use proptest::prelude::*;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Engine, EngineOptions, Input, Output, Restore, RestoreError, Silence, SnapshotStatus,
};
use riskweir::rules::program::Program;
use serde_json::Value;

use crate::dice::Dice;

const START_MS: i64 = 1_772_445_600_000;

/// Every store and every kind of history: rings, logs, tiles, sketches, lists, episodes, holds, answers.
const RULES: &str = r#"
event payment
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  key   shop    : shop
  field amount  : money currency EUR
  field country : country?
  field flag    : bool
list watched : card
list trusted : card
rule busy
  id "R-1"  owner fraud  severity low
  on payment
  let n = count(payment) by card over last 20s
  when n >= 3
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
       remove card from watched
rule trusted_spends
  id "R-5"  owner fraud  severity medium
  on payment
  when card in trusted and max(payment.amount) by card over last 2m > 150 EUR
  then score +1 in trust
       remove card from trusted
rule popular_shop
  id "R-6"  owner fraud  severity medium
  on payment
  let cards = distinct(payment.card) by shop over last 10m
  let least = min(payment.amount where flag) by shop over last 10m
  let spread = stddev(payment.amount) by shop over last 5m
  let abroad = count(payment where country is present and country != DE) by shop over last 3m
  let latest = last(payment.country) by shop over prior 10m
  when cards >= 3 and abroad >= 2
  then score +2 in shops
       alert queue l2 message "{cards} cards, {least} to {spread}, {abroad} abroad, {latest}"
"#;

fn compile(files: Vec<Source>) -> Arc<Program> {
    let (program, report) = riskweir::rules::compile(&Sources { files });
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn program(text: &str) -> Arc<Program> {
    compile(vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }])
}

/// Bounds under which everything happens soon: eviction, tiles, rotation of ids, lost answers.
fn tight(dice: &mut Dice) -> EngineOptions {
    EngineOptions {
        allowed_lateness_ms: dice.pick(&[0, 5_000, 60_000]),
        dedupe_window_ms: dice.pick(&[2_000, 20_000, 600_000]),
        dedupe_max_ids: dice.pick(&[8, 100, 100_000]),
        exact_events_per_key: dice.pick(&[1, 3, 20, 65_536]),
        partition_skew_ms: dice.pick(&[1_000, 3_600_000]),
        state_bytes: dice.pick(&[None, None, Some(4_000), Some(20_000), Some(60_000)]),
        ..EngineOptions::default()
    }
}

/// One record: its partition and its bytes.
type Record = (i32, String);

/// As a network delivers: many at one instant, late, repeated, reused, broken; now and then a long silence.
fn stream(dice: &mut Dice, n: usize) -> Vec<Record> {
    let mut at_ms = START_MS;
    let mut records: Vec<Record> = Vec::new();
    let (cards, shops) = (dice.pick(&[3, 12, 60]), dice.pick(&[1, 2, 8]));
    for index in 0..n {
        at_ms += dice.pick(&[0, 0, 0, 1, 300, 1_000, 2_000]);
        if dice.one_in(400) {
            at_ms += dice.pick(&[60_000, 700_000]);
        }
        let late_ms = if dice.one_in(8) { dice.pick(&[1, 4_000, 50_000]) } else { 0 };
        let (card, shop) = (dice.below(cards), dice.below(shops));
        let amount = dice.pick(&["1.00", "20.00", "45.50", "60.00", "200.00"]);
        let country = dice.pick(&["\"DE\"", "\"FR\"", "\"IT\"", "null"]);
        let line = format!(
            r#"{{"id":"p{index}","at":{},"card":"card-number-{card}","shop":"s{shop}","amount":"{amount}","country":{country},"flag":{}}}"#,
            at_ms - late_ms,
            dice.one_in(2)
        );
        let partition = i32::try_from(card % 3).unwrap();
        records.push((partition, line.clone()));
        match dice.below(14) {
            0 => records.push(dice.pick(&records)),
            1 => records.push((partition, line.replace("\"flag\":", "\"flag\":true,\"x\":"))),
            2 => records.push((partition, line[..line.len() / 2].to_owned())),
            _ => {}
        }
    }
    records
}

/// An engine and the streams that it reads, with all that came out.
struct Runner {
    engine: Engine,
    out: Vec<Output>,
    offset: i64,
}

impl Runner {
    fn new(program: &Arc<Program>, options: EngineOptions) -> Self {
        let engine = Engine::new(Arc::clone(program), options).unwrap();
        Self { engine, out: Vec::new(), offset: 0 }
    }

    fn step(&mut self, (partition, line): &Record) {
        let stream = self.engine.open_stream("payments", *partition);
        let payload = Some(line.as_bytes());
        let input = Input { stream, offset: self.offset, arrival_ms: None, payload };
        self.engine.step(&input, &mut self.out);
        self.offset += 1;
    }

    fn steps(&mut self, records: &[Record]) {
        records.iter().for_each(|record| self.step(record));
    }

    fn pay(&mut self, at_s: i64, card: &str, amount: &str, country: &str) -> Value {
        let line = format!(
            r#"{{"id":"q{}","at":{},"card":"{card}","shop":"s","amount":"{amount}","country":"{country}","flag":true}}"#,
            self.offset,
            START_MS + at_s * 1_000
        );
        let from = self.out.len();
        self.step(&(0, line));
        serde_json::from_slice(&self.out[from].body).unwrap()
    }
}

/// Takes a snapshot in one go.
fn snapshot(engine: &mut Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.begin_snapshot();
    while engine.snapshot_part(1 << 20, &mut bytes) == SnapshotStatus::More {}
    bytes
}

fn restore(program: &Arc<Program>, options: EngineOptions, bytes: &[u8]) -> Engine {
    let mut restore = Restore::new(Arc::clone(program), options);
    restore.part(bytes).unwrap();
    restore.finish().unwrap()
}

/// Both engines do the same from here on, byte for byte.
#[track_caller]
fn assert_alike(left: &mut Runner, right: &mut Runner, records: &[Record]) {
    assert_eq!(left.engine.state_bytes(), right.engine.state_bytes(), "bytes of state");
    for record in records {
        let from = (left.out.len(), right.out.len());
        left.step(record);
        right.step(record);
        assert_eq!(left.out[from.0..], right.out[from.1..], "{record:?}");
        assert_eq!(left.engine.digest(), right.engine.digest());
        assert_eq!(left.engine.state_bytes(), right.engine.state_bytes(), "bytes of state");
    }
    assert_eq!(left.engine.counters(), right.engine.counters());
    assert_eq!(left.engine.holds_open(), right.engine.holds_open());
}

/// Saves at `begin` in parts of random size with steps between them, restores, and compares with an engine that was
/// never saved; then does it again with the restored one.
fn check(seed: u64, records: usize) {
    let mut dice = Dice::new(seed);
    let files = vec![Source { path: "a.risk".to_owned(), text: RULES.to_owned() }];
    let mut program = (*compile(files)).clone();
    program.lists.iter_mut().filter(|list| list.name == "trusted").for_each(|list| {
        let late = Some(START_MS + 60_000);
        list.members = vec![("card-number-1".to_owned(), None), ("card-number-2".to_owned(), late)];
    });
    let program = Arc::new(program);
    let options = tight(&mut dice);
    let records = stream(&mut dice, records);
    let begin = usize::try_from(dice.below(records.len() as u64)).unwrap();
    let rest = &records[begin..];

    let mut golden = Runner::new(&program, options);
    golden.steps(&records[..begin]);
    let mut saved = Runner::new(&program, options);
    saved.steps(&records[..begin]);

    saved.engine.begin_snapshot();
    let mut reader = Restore::new(Arc::clone(&program), options);
    let mut stepped = 0;
    loop {
        let pause = usize::try_from(dice.below(4)).unwrap().min(rest.len() - stepped);
        saved.steps(&rest[stepped..stepped + pause]);
        stepped += pause;
        let mut part = Vec::new();
        let budget = dice.pick(&[1, 100, 1_000, 20_000]);
        let status = saved.engine.snapshot_part(budget, &mut part);
        reader.part(&part).unwrap();
        if status == SnapshotStatus::Complete {
            break;
        }
    }
    let engine = reader.finish().unwrap();
    assert_eq!(engine.digest(), golden.engine.digest());
    let mut restored = Runner { engine, out: Vec::new(), offset: golden.offset };

    // A second life: saved and restored once more, further on.
    let half = rest.len() / 2;
    assert_alike(&mut golden, &mut restored, &rest[..half]);
    let bytes = snapshot(&mut restored.engine);
    restored.engine = restore(&program, options, &bytes);
    assert_alike(&mut golden, &mut restored, &rest[half..]);

    // The engine that was saved was not disturbed.
    saved.steps(&rest[stepped..]);
    assert_eq!(saved.out, golden.out);
    assert_eq!(saved.engine.digest(), golden.engine.digest());
    assert_eq!(saved.engine.state_bytes(), golden.engine.state_bytes());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_restored_engine_goes_on_as_the_saved_one_would_have(seed in any::<u64>()) {
        check(seed, 500);
    }
}
