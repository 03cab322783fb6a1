//! What one event costs in the state tables alone: 11 measures read and two entries written per event.
//!
//! Synthetic events in the shape of the performance workload (Zipf accounts and devices, 10 % up to 5 s late), fed
//! straight into two tables, next to a naive baseline in the same run: one vector of entries per key in a standard map,
//! scanned once per measure. Prints CPU nanoseconds per event and heap bytes per key.
//!
//! Before that, an engine with a million cards: what its snapshot takes and how long the longest part, how fast it is
//! written and restored, how long another rule set takes to become active, and the bytes it reckons with against those it
//! takes.
//!
//! `cargo bench --bench state [-- EVENTS [CARDS]]`

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark: made-up events of known range, and a report on standard output"
)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use riskweir::base::EntityKey;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Engine as WholeEngine, EngineOptions, Input, Restore, Silence, SnapshotStatus,
};
use riskweir::rules::program::Program;
use riskweir::state::{ReadAt, ReadPlan, StateOptions, Table};
use riskweir::window::spec::{
    ColumnId, ColumnKind, Counting, Entry, Measure, MeasureId, MeasureKind, ReadValue, Reading,
    Span, TableSpec,
};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const BATCH: usize = 64;

#[derive(Clone, Copy)]
struct Event {
    time_ms: i64,
    account: u32,
    device: u32,
    merchant: u32,
    cents: i64,
}

/// `SplitMix64`: seeded, the same events every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Cumulated weights of a Zipf law.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(n: usize, s: f64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=n).map(|rank| {
            sum += (rank as f64).powf(-s);
            sum
        });
        Self(weights.collect())
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let at = random.unit() * self.0[self.0.len() - 1];
        u32::try_from(self.0.partition_point(|sum| *sum < at)).unwrap()
    }
}

fn events(n: usize, account_skew: f64) -> Vec<Event> {
    let mut random = Random(42);
    let accounts = Zipf::new(100_000, account_skew);
    let devices = Zipf::new(150_000, 0.6);
    let merchants = Zipf::new(5_000, 1.0);
    let mut created_ms = 1_700_000_000_000.0;
    let mut arriving: Vec<(i64, Event)> = (0..n)
        .map(|_| {
            created_ms += -random.unit().ln() * 864.0;
            let time_ms = created_ms as i64;
            let late = random.unit() < 0.1;
            let delay = if late { (random.unit() * 5_000.0) as i64 } else { 0 };
            let cents = (random.unit().powi(3) * 200_000.0) as i64 + 100;
            let (account, device) = (accounts.draw(&mut random), devices.draw(&mut random));
            let merchant = merchants.draw(&mut random);
            (time_ms + delay, Event { time_ms, account, device, merchant, cents })
        })
        .collect();
    arriving.sort_by_key(|(arrival_ms, _)| *arrival_ms);
    arriving.into_iter().map(|(_, event)| event).collect()
}

fn measure(kind: MeasureKind, length_ms: i64, counting: Counting) -> Measure {
    Measure { kind, filter: None, window: Span::sliding(length_ms, 0), counting }
}

fn account_spec() -> TableSpec {
    let (amount, merchant) = (ColumnId(0), ColumnId(1));
    TableSpec {
        columns: vec![ColumnKind::Int, ColumnKind::Word],
        measures: vec![
            measure(MeasureKind::Count, 10 * MINUTE, Counting::Last),
            measure(MeasureKind::Sum(amount), 10 * MINUTE, Counting::Last),
            measure(MeasureKind::Count, HOUR, Counting::Last),
            measure(MeasureKind::Sum(amount), HOUR, Counting::Last),
            measure(MeasureKind::Count, DAY, Counting::Last),
            measure(MeasureKind::Sum(amount), DAY, Counting::Last),
            measure(MeasureKind::SumSquares(amount), DAY, Counting::Last),
            measure(MeasureKind::Distinct(merchant), HOUR, Counting::Last),
            measure(MeasureKind::LastTime, 7 * DAY, Counting::Prior),
            measure(MeasureKind::Max(amount), 7 * DAY, Counting::Last),
        ],
    }
}

fn device_spec() -> TableSpec {
    TableSpec { columns: vec![], measures: vec![measure(MeasureKind::Count, HOUR, Counting::Last)] }
}

fn key(kind: u8, number: u32) -> EntityKey {
    let mut text = *b"A0000000";
    text[0] = kind;
    let mut rest = number;
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    EntityKey::of_text(&text)
}

/// A number that depends on every reading, so that two programs can be compared.
fn digest(sum: u64, value: ReadValue) -> u64 {
    let word = match value {
        ReadValue::Int(value) => value as u64,
        ReadValue::Word(word) => word,
        _ => 1 << 63,
    };
    (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7)
}

/// Time this thread has run, in ns: on a shared machine it says more than the clock on the wall. Where the system does
/// not tell, the wall clock.
fn cpu_ns(begin: Instant) -> f64 {
    std::fs::read_to_string("/proc/thread-self/schedstat")
        .ok()
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| begin.elapsed().as_nanos() as f64)
}

struct Engine {
    account: Table,
    device: Table,
    account_plan: ReadPlan,
    device_plan: ReadPlan,
    began_ms: i64,
    clock_ms: i64,
    sum: u64,
    sweep: bool,
}

impl Engine {
    fn new(began_ms: i64, sweep: bool) -> Self {
        let account = Table::new(account_spec(), StateOptions::default());
        let device = Table::new(device_spec(), StateOptions::default());
        let all = |n: u16| (0..n).map(MeasureId).collect::<Vec<_>>();
        let (account_plan, device_plan) = (account.plan(&all(10)), device.plan(&all(1)));
        Self { account, device, account_plan, device_plan, began_ms, clock_ms: 0, sum: 0, sweep }
    }

    fn batch(&mut self, events: &[Event]) {
        let mut keys = [(EntityKey(0), EntityKey(0)); BATCH];
        let mut guesses = [None; BATCH];
        for ((keys, guess), event) in keys.iter_mut().zip(&mut guesses).zip(events) {
            *keys = (key(b'A', event.account), key(b'D', event.device));
            *guess = Some((self.account.touch(keys.0), self.device.touch(keys.1)));
        }
        let warm = guesses.iter().flatten().fold(0, |warm, (account, device)| {
            warm ^ self.account.warm(*account) ^ self.device.warm(*device)
        });
        black_box(warm);
        for ((account, device), event) in keys.iter().zip(events) {
            self.event(*account, *device, event);
        }
        if self.sweep {
            self.account.sweep(BATCH / 4);
            self.device.sweep(BATCH / 4);
        }
    }

    fn event(&mut self, account: EntityKey, device: EntityKey, event: &Event) {
        self.clock_ms = self.clock_ms.max(event.time_ms);
        self.account.advance(self.clock_ms);
        self.device.advance(self.clock_ms);
        let words = [event.cents.cast_unsigned(), u64::from(event.merchant)];
        let entry = Entry { time_ms: event.time_ms, filters: 0, words: &words };
        let mut at = ReadAt {
            time_ms: event.time_ms,
            began_ms: self.began_ms,
            own: Some(&entry),
            probes: &[],
            starts: &[],
        };
        let mut out = [Reading::default(); 11];
        self.account.read(account, &self.account_plan, &at, &mut out[..10]);
        self.account.insert(account, &entry);
        let bare = Entry { time_ms: event.time_ms, filters: 0, words: &[] };
        at.own = Some(&bare);
        self.device.read(device, &self.device_plan, &at, &mut out[10..]);
        self.device.insert(device, &bare);
        self.sum = out.iter().fold(self.sum, |sum, reading| digest(sum, reading.value));
    }
}

/// One scan per measure over all entries of the key.
#[derive(Default)]
struct Naive {
    account: HashMap<u32, Vec<Event>>,
    device: HashMap<u32, Vec<Event>>,
    sum: u64,
}

impl Naive {
    fn event(&mut self, event: &Event) {
        let account = self.account.entry(event.account).or_default();
        let t = event.time_ms;
        let inside =
            |length_ms: i64, held: &Event| held.time_ms <= t && held.time_ms > t - length_ms;
        let last =
            account.iter().filter(|held| inside(7 * DAY, held)).map(|held| held.time_ms).max();
        account.push(*event);
        let over = |length_ms: i64| account.iter().filter(move |held| inside(length_ms, held));
        let count = |length_ms: i64| over(length_ms).count() as u64;
        let sum = |length_ms: i64| over(length_ms).map(|held| held.cents).sum::<i64>() as u64;
        let mut merchants: Vec<u32> = over(HOUR).map(|held| held.merchant).collect();
        merchants.sort_unstable();
        merchants.dedup();
        let values = [
            count(10 * MINUTE),
            sum(10 * MINUTE),
            count(HOUR),
            sum(HOUR),
            count(DAY),
            sum(DAY),
            over(DAY).map(|held| held.cents * held.cents).sum::<i64>() as u64,
            merchants.len() as u64,
            last.map_or(1 << 63, |t| t as u64),
            over(7 * DAY).map(|held| held.cents).max().map_or(1 << 63, |max| max as u64),
        ];
        let device = self.device.entry(event.device).or_default();
        device.push(*event);
        let on_device = device.iter().filter(|held| inside(HOUR, held)).count() as u64;
        let mix =
            |sum: u64, word: &u64| (sum ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(7);
        self.sum = values.iter().chain([&on_device]).fold(self.sum, mix);
    }
}

fn main() {
    let begin = Instant::now();
    let asked = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let n: usize = asked.unwrap_or(1_000_000);
    // First, because memory that was given back still counts as resident.
    snapshots(std::env::args().skip(1).filter_map(|word| word.parse().ok()).nth(1));
    for (name, skew) in [("main", 0.8), ("hot", 1.1)] {
        let events = events(n, skew);
        let mut best = f64::INFINITY;
        let mut last = None;
        for round in 0..4 {
            let sweep = round > 0;
            let mut engine = Engine::new(events[0].time_ms, sweep);
            let start = cpu_ns(begin);
            for batch in events.chunks(BATCH) {
                engine.batch(batch);
            }
            let ns = (cpu_ns(begin) - start) / n as f64;
            best = best.min(ns);
            last = Some(engine);
        }
        let Some(engine) = last else { return };
        println!("{name}: {n} events, tables: {best:.0} CPU ns per event (best of 4)");
        for (what, table) in [("account", &engine.account), ("device", &engine.device)] {
            let (keys, bytes) = (table.keys(), table.bytes());
            println!("  {what}: {keys} keys, {bytes} bytes, {} per key", bytes / keys.max(1));
        }
        let few = &events[..n.min(50_000)];
        let mut naive = Naive::default();
        let start = cpu_ns(begin);
        for event in few {
            naive.event(event);
        }
        let ns = (cpu_ns(begin) - start) / few.len() as f64;
        let mut engine = Engine::new(events[0].time_ms, true);
        let start = cpu_ns(begin);
        few.chunks(BATCH).for_each(|batch| engine.batch(batch));
        let own = (cpu_ns(begin) - start) / few.len() as f64;
        let same = if engine.sum == naive.sum { "same readings" } else { "OTHER READINGS" };
        println!("  first {}: naive {ns:.0}, tables {own:.0} ns per event; {same}", few.len());
    }
}

/// Cards where the command line does not say how many.
const CARDS: u32 = 1_000_000;

/// Bytes of one part of a snapshot.
const PART_BYTES: usize = 64 << 10;

const RULES: &str = r#"
event payment
  id    id       : text
  time  at       : time unit ms
  key   card     : card
  field merchant : merchant
  field amount   : money currency EUR
rule many
  id "R-1"  owner fraud  severity low
  on payment
  when count(payment) by card over last 1h > 100 and sum(payment.amount) by card over last 24h > 9000 EUR
       and distinct(payment.merchant) by card over last 1h > 20
       and max(payment.amount) by card over last 7d > 5000 EUR
  then score +10 in velocity
"#;

fn program(text: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }];
    Arc::new(riskweir::rules::compile(&Sources::of(files)).0.unwrap())
}

/// Resident bytes of this process; 0 where the system does not tell.
fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    text.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * 4_096
}

fn snapshots(cards: Option<u32>) {
    let cards = cards.unwrap_or(CARDS);
    let (old, options) = (program(RULES), EngineOptions::default());
    let mut engine = WholeEngine::new(Arc::clone(&old), options).unwrap();
    let stream = engine.open_stream("payments", 0);
    let before = resident_bytes();
    let step = |engine: &mut WholeEngine, n: u32| {
        let line = format!(
            r#"{{"id":"payment-{n}","at":{},"card":"A{:07}","merchant":"m{}","amount":"{}.50"}}"#,
            1_700_000_000_000_i64 + i64::from(n),
            u64::from(n) * 7_919 % u64::from(cards),
            n % 5_000,
            n % 300
        );
        let payload = Some(line.as_bytes());
        let offset = i64::from(n);
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut Silence);
    };
    let mut n = 0;
    while n < 3 * cards {
        step(&mut engine, n);
        n += 1;
    }
    let (reckoned, taken) = (engine.state_bytes(), resident_bytes().saturating_sub(before));
    let share = reckoned as f64 / taken.max(1) as f64;
    println!(
        "{cards} cards, 3 payments each: {reckoned} bytes reckoned, {taken} taken ({share:.2})"
    );

    // Ten records between parts, so that cells change before it is their turn.
    let start = Instant::now();
    engine.begin_snapshot();
    let begin_us = start.elapsed().as_secs_f64() * 1e6;
    let (mut bytes, mut parts, mut times_us) = (Vec::new(), Vec::new(), Vec::new());
    loop {
        let start = Instant::now();
        let status = engine.snapshot_part(PART_BYTES, &mut bytes);
        times_us.push(start.elapsed().as_secs_f64() * 1e6);
        parts.push(core::mem::take(&mut bytes));
        if status == SnapshotStatus::Complete {
            break;
        }
        bytes.reserve(2 * PART_BYTES);
        for _ in 0..10 {
            step(&mut engine, n);
            n += 1;
        }
    }
    let size: usize = parts.iter().map(Vec::len).sum();
    let mb = size as f64 / 1e6;
    let total_us: f64 = times_us.iter().sum();
    times_us.sort_by(f64::total_cmp);
    let at = |share: f64| times_us[((times_us.len() - 1) as f64 * share) as usize];
    println!(
        "  snapshot: {size} bytes, {} per card, {} parts, {:.0} MB/s; begin {begin_us:.0} us",
        size / cards as usize,
        parts.len(),
        mb / total_us * 1e6
    );
    println!("  parts: p50 {:.0} us, p99 {:.0} us, longest {:.0} us", at(0.5), at(0.99), at(1.0));
    restored(&old, &parts);
    drop(parts);
    activations(&mut engine);
}

/// How long a restore takes.
fn restored(program: &Arc<Program>, parts: &[Vec<u8>]) {
    let mb = parts.iter().map(Vec::len).sum::<usize>() as f64 / 1e6;
    let start = Instant::now();
    let mut restore = Restore::new(Arc::clone(program), EngineOptions::default());
    for part in parts {
        restore.part(part).unwrap();
    }
    black_box(restore.finish().unwrap());
    let s = start.elapsed().as_secs_f64();
    println!("  restored in {s:.2} s, {:.0} MB/s", mb / s);
}

/// How long other rule sets take to become active.
fn activations(engine: &mut WholeEngine) {
    let threshold = program(&RULES.replace("> 100", "> 101"));
    let start = Instant::now();
    engine.activate(threshold).unwrap();
    println!("  another threshold: active in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let filter = program(
        &RULES.replace("max(payment.amount)", "max(payment.amount where merchant != \"m1\")"),
    );
    let start = Instant::now();
    engine.activate(filter).unwrap();
    println!("  a new filter: active in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    let column = program(&RULES.replace("distinct(payment.merchant)", "distinct(payment.id)"));
    let start = Instant::now();
    engine.activate(column).unwrap();
    println!("  another column: active in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
}
