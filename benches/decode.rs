//! Nanoseconds per record of decoding, beside `serde_json` in the same run.
//!
//! `cargo bench --bench decode [-- RECORDS]`. Records have 14 keys and about 276 bytes; the schema reads 8 of them. Rounds
//! alternate between the programs; the figure is the median of the rounds, in CPU time of the thread, so that a busy machine
//! disturbs it little. Only ratios of one run mean anything.
#![expect(clippy::cast_precision_loss, reason = "counts of records are far below 2^52")]
#![expect(clippy::print_stdout, reason = "a program that prints its measurements")]

use std::hint::black_box;
use std::time::Instant;

use riskweir::base::Currency;
use riskweir::event::Digester;
use riskweir::event::schema::{
    EntityId, EventType, Field, FieldId, FieldType, MoneyCurrency, MoneyUnit, Pointer, Role,
    Schema, SlotId, TimeUnit,
};
use riskweir::event::{DecodeScratch, Decoder, Limits, Row, TopicIdx};
use serde::Deserialize;

const ROUNDS: usize = 7;

const KEYS: [&str; 14] = [
    "event_id",
    "ts",
    "account_id",
    "card_id",
    "device_id",
    "merchant_id",
    "ip",
    "amount",
    "currency",
    "country",
    "lat",
    "lon",
    "channel",
    "type",
];

/// A small generator of numbers: xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The members of one record, in the order of `KEYS`.
fn members(random: &mut Random, index: u64) -> [String; 14] {
    let account = random.below(100_000);
    let ip = [random.below(256), random.below(256), random.below(256), random.below(256)];
    let pick = |random: &mut Random, list: &[&str]| {
        list[usize::try_from(random.below(list.len() as u64)).unwrap_or(0)].to_owned()
    };
    [
        format!("\"tx_{:016x}\"", random.next()),
        (1_750_000_000_000 + index * 864).to_string(),
        format!("\"A{account:07}\""),
        format!("\"C{account:07}{}\"", random.below(2)),
        format!("\"D{:07}\"", random.below(150_000)),
        format!("\"M{:05}\"", random.below(5_000)),
        format!("\"{}.{}.{}.{}\"", ip[0], ip[1], ip[2], ip[3]),
        format!("{}.{:02}", random.below(900), random.below(100)),
        "\"EUR\"".to_owned(),
        pick(random, &["\"DE\"", "\"FR\"", "\"GB\"", "\"IT\""]),
        format!("{}.{:04}", 35 + random.below(20), random.below(10_000)),
        format!("-{}.{:04}", random.below(10), random.below(10_000)),
        pick(random, &["\"pos\"", "\"ecom\"", "\"atm\"", "\"app\""]),
        pick(random, &["\"payment\"", "\"transfer\"", "\"withdrawal\""]),
    ]
}

/// Records in one buffer; `shuffled` puts the keys of each in an order of its own.
fn records(n: u64, shuffled: bool) -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut random = Random(42);
    let (mut bytes, mut ranges) = (Vec::new(), Vec::new());
    for index in 0..n {
        let values = members(&mut random, index);
        let mut order: Vec<usize> = (0..KEYS.len()).collect();
        if shuffled {
            for at in (1..order.len()).rev() {
                order.swap(at, usize::try_from(random.below(at as u64 + 1)).unwrap_or(0));
            }
        }
        let members: Vec<String> =
            order.iter().map(|at| format!("\"{}\":{}", KEYS[*at], values[*at])).collect();
        let start = bytes.len();
        bytes.extend_from_slice(format!("{{{}}}", members.join(",")).as_bytes());
        ranges.push((start, bytes.len()));
    }
    (bytes, ranges)
}

fn schema() -> Schema {
    let money = |currency| FieldType::Money {
        currency: MoneyCurrency::Fixed(currency),
        unit: MoneyUnit::Major,
    };
    let channels = ["pos", "ecom", "atm", "app"].map(str::to_owned).to_vec();
    let euro = Currency::parse("EUR").unwrap_or(Currency(0));
    let fields = [
        ("event_id", Role::Id, FieldType::Text),
        ("ts", Role::Time, FieldType::Time { unit: TimeUnit::Millis }),
        ("account_id", Role::Key, FieldType::Entity(EntityId(0))),
        ("device_id", Role::Key, FieldType::Entity(EntityId(1))),
        ("merchant_id", Role::Key, FieldType::Entity(EntityId(2))),
        ("amount", Role::Plain, money(euro)),
        ("country", Role::Plain, FieldType::Country),
        ("channel", Role::Plain, FieldType::OneOf(channels)),
    ];
    let field = |(slot, (name, role, ty)): (u16, (&str, Role, FieldType))| Field {
        name: name.to_owned(),
        role,
        ty,
        optional: false,
        from: vec![Pointer(vec![name.to_owned()])],
        slot: SlotId(slot),
        sensitive: None,
        tokenized: false,
    };
    let payment = EventType {
        name: "payment".to_owned(),
        topic: Some("payments".to_owned()),
        discriminator: None,
        fields: (0..).zip(fields).map(field).collect(),
        id: FieldId(0),
        time: FieldId(1),
        n_slots: 8,
        labels: None,
        answers: None,
    };
    let entities = ["account", "device", "merchant"].map(str::to_owned).to_vec();
    Schema { events: vec![payment], entities, roles: Vec::new(), ..Schema::default() }
}

/// The same eight fields for `serde_json`, borrowed where it can.
#[derive(Deserialize)]
#[expect(dead_code, reason = "read by nobody, built for the measurement")]
struct Typed<'a> {
    event_id: &'a str,
    ts: i64,
    account_id: &'a str,
    device_id: &'a str,
    merchant_id: &'a str,
    amount: f64,
    country: &'a str,
    channel: &'a str,
}

/// Nanoseconds that this thread has run, where the system tells (Linux); else of the wall clock.
fn cpu_ns(origin: Instant) -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let on_cpu = text.split(' ').next().and_then(|number| number.parse().ok());
    on_cpu.unwrap_or_else(|| origin.elapsed().as_secs_f64() * 1e9)
}

/// Nanoseconds per record of one pass, and how many records were read.
fn pass(
    ranges: &[(usize, usize)],
    bytes: &[u8],
    mut read: impl FnMut(&[u8]) -> bool,
) -> (f64, usize) {
    let origin = Instant::now();
    let start = cpu_ns(origin);
    let n = ranges.iter().filter(|(from, to)| read(&bytes[*from..*to])).count();
    ((cpu_ns(origin) - start) / ranges.len() as f64, n)
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let n = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let schema = schema();
    let digester = Digester::new(&schema.events[0]);
    let decoder = Decoder::new(&schema, Limits::default());
    let topic: TopicIdx = decoder.topic("payments").unwrap_or_else(|| std::process::abort());
    for (name, shuffled) in [("keys in one order", false), ("keys in any order", true)] {
        let (bytes, ranges) = records(n, shuffled);
        println!("{n} records of {} bytes, {name}", bytes.len() as u64 / n);
        let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
        let mut times = [const { Vec::new() }; 5];
        for _ in 0..ROUNDS {
            let mut note = |at: usize, (time, n_read): (f64, usize)| {
                assert_eq!(n_read, ranges.len());
                times[at].push(time);
            };
            note(
                0,
                pass(&ranges, &bytes, |raw| {
                    decoder.decode(topic, raw, &mut scratch, &mut row).is_ok()
                }),
            );
            note(
                1,
                pass(&ranges, &bytes, |raw| {
                    let ok = decoder.decode(topic, raw, &mut scratch, &mut row).is_ok();
                    black_box(digester.body(&row, raw) ^ digester.id(&row, raw));
                    ok
                }),
            );
            note(2, pass(&ranges, &bytes, |raw| black_box(core::str::from_utf8(raw)).is_ok()));
            note(
                3,
                pass(&ranges, &bytes, |raw| {
                    black_box(serde_json::from_slice::<Typed<'_>>(raw)).is_ok()
                }),
            );
            note(
                4,
                pass(&ranges, &bytes, |raw| {
                    black_box(serde_json::from_slice::<serde_json::Value>(raw)).is_ok()
                }),
            );
        }
        let names = [
            "decode",
            "decode and both digests",
            "UTF-8 check alone",
            "serde_json typed",
            "serde_json Value",
        ];
        for (name, times) in names.into_iter().zip(times) {
            println!("  {name:<26} {:>7.0} ns per record", median(times));
        }
    }
}
