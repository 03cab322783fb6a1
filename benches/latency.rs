//! Latency on a real Apache Kafka: from the moment a record was due to be produced until its decision is consumed.
//!
//! `cargo bench --bench latency [-- RATE [SECONDS [MODE [INTERVAL]]]]`, by default 5000 events/s for 60 s in both delivery
//! modes; with INTERVAL, such as `5s`, snapshots are taken so often, without it none.
//! It runs the release binary with the shipped rules and its default settings, one input partition, everything on this
//! machine: broker, service, sender and reader. The broker is that of `RISKWEIR_KAFKA`, else one of its own.
//!
//! The load is open: record n is due at start + n / RATE whatever became of those before, and its latency counts from
//! there, so a stall is charged to every record that it delayed (no coordinated omission). Decisions are matched to
//! records by the event's id; the reader sees committed data only. Linux only, because it reads `/proc`.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]
#![expect(clippy::print_stdout, reason = "a program that prints its measurements")]
#![expect(clippy::disallowed_methods, reason = "an open loop sends by the clock")]

mod open_loop;
#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::HashMap;
use std::fs;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};
use riskweir::demo::traffic::{Delivery, Traffic, TrafficConfig, TrafficEvent};

use open_loop::{Load, WARM_UP_S, float, load_average, print_quantiles};
use support::binary::{Binary, wait_for};
use support::broker::Broker;
use support::topics::prefix;

/// How long decisions may stay out after the last record was due.
const PATIENCE: Duration = Duration::from_secs(60);
/// Kernel ticks per second in `/proc`: fixed on all Linux platforms of today.
const TICKS_PER_S: f64 = 100.0;
const OUTPUTS: [&str; 5] = ["decisions", "alerts", "holds", "audit", "dead_letter"];
/// Which record an event id stands for, while its decision is awaited.
type Awaited = Arc<Mutex<HashMap<String, u64>>>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let number = |at: usize, default| words.get(at).map_or(default, |word| word.parse().unwrap());
    let load = Load { rate: number(0, 5_000), seconds: number(1, 60) };
    let modes =
        words.get(2).map_or(vec!["transactional", "idempotent"], |mode| vec![mode.as_str()]);
    println!("command: cargo bench --bench latency -- {} {} [MODE]", load.rate, load.seconds);
    println!("load: {} events/s for {} s after {WARM_UP_S} s of warm-up", load.rate, load.seconds);
    for mode in modes {
        measure(mode, load, words.get(3).map(String::as_str));
    }
}

fn measure(mode: &str, load: Load, snapshots: Option<&str>) {
    let (broker, prefix) = (Broker::shared(), prefix("latency"));
    let folder = tempfile::tempdir().unwrap();
    for name in OUTPUTS.iter().chain(&["in"]) {
        broker.create_topic(&format!("{prefix}{name}"), 1);
    }
    let file = folder.path().join("riskweir.yaml");
    fs::write(&file, config(broker.address(), &prefix, mode)).unwrap();
    let mut arguments = vec!["run".to_owned(), "-c".to_owned(), file.display().to_string()];
    if let Some(interval) = snapshots {
        let place = folder.path().join("snapshots");
        for setting in
            [format!("snapshot.dir={}", place.display()), format!("snapshot.interval={interval}")]
        {
            arguments.extend(["--set".to_owned(), setting]);
        }
    }
    let service = Binary::start(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    wait_for(&service, "/readyz", 200);

    let traffic = Traffic::new(TrafficConfig {
        events_per_second: 5.0,
        customers: 100_000,
        start_ms: 1_740_978_000_000,
        ..TrafficConfig::default()
    });
    // WHY: a repeated event has the id of the first, and a broken one has none.
    let whole =
        |event: &TrafficEvent| !matches!(event.delivery, Delivery::Duplicate | Delivery::Malformed);
    let awaited = Awaited::default();
    let before = cpu_s(service.pid());
    let load_before = load_average();
    let start = Instant::now() + Duration::from_millis(200);
    let reader = read(broker, &format!("{prefix}decisions"), Arc::clone(&awaited), load, start);
    let late = send(broker, &format!("{prefix}in"), traffic.filter(whole), &awaited, load, start);
    let sent_for = start.elapsed();
    let latencies = reader.join().unwrap();
    let cpu = cpu_s(service.pid()) - before;
    println!("\n{mode}, snapshots every {}", snapshots.unwrap_or("never"));
    if snapshots.is_some() {
        let metric = |name: &str| service.metric(name).unwrap_or(0.0);
        let (bytes, took) =
            (metric("riskweir_snapshot_bytes"), metric("riskweir_snapshot_duration_seconds"));
        println!("  last snapshot {bytes:.0} bytes, taken in {took:.2} s");
    }
    print_quantiles("produced to consumed decision", latencies);
    print_quantiles("of it: sender behind schedule", late);
    let n = load.n_in_all();
    println!("  achieved     {:.0} events/s, all {n} decided", float(n) / sent_for.as_secs_f64());
    println!(
        "  CPU riskweir {:.1} us/event ({:.0} % of a core)",
        cpu * 1e6 / float(n),
        cpu * 100.0 / sent_for.as_secs_f64()
    );
    println!("  load average {load_before} before, {} after", load_average());
    assert_eq!(service.stop(), Some(0));
}

fn config(brokers: &str, prefix: &str, mode: &str) -> String {
    let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/rules");
    let outputs = OUTPUTS.iter().map(|name| format!("  {name}: {prefix}{name}\n"));
    let outputs = outputs.collect::<Vec<_>>().concat();
    format!(
        "version: 1\nkafka:\n  brokers: [\"{brokers}\"]\n  group_id: {prefix}group\ntopics:\n  inputs: [{prefix}in]\n{outputs}delivery:\n  mode: {mode}\nrules:\n  path: {rules}\nhttp:\n  listen: 127.0.0.1:0\n"
    )
}

/// Sends on schedule; returns how far behind it each record was handed to the client.
fn send(
    broker: &Broker,
    topic: &str,
    mut traffic: impl Iterator<Item = TrafficEvent>,
    awaited: &Awaited,
    load: Load,
    start: Instant,
) -> Vec<Duration> {
    let producer: ThreadedProducer<DefaultProducerContext> = broker
        .client()
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "0")
        .create()
        .unwrap();
    let mut late = Vec::new();
    for nth in 0..load.n_in_all() {
        let event = traffic.next().unwrap();
        awaited.lock().unwrap().insert(event.event_id, nth);
        let due = load.due(start, nth);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if nth >= load.n_warm_up() {
            late.push(due.elapsed());
        }
        let record = BaseRecord::to(topic).key(&event.key).payload(&event.body);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    late
}

/// Reads decisions in a thread of its own until every record has one; returns the latencies.
fn read(
    broker: &Broker,
    topic: &str,
    awaited: Awaited,
    load: Load,
    start: Instant,
) -> thread::JoinHandle<Vec<Duration>> {
    let consumer: BaseConsumer = broker
        .client()
        .set("group.id", "riskweir-latency-reader")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .create()
        .unwrap();
    let mut partitions = TopicPartitionList::new();
    partitions.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&partitions).unwrap();
    thread::spawn(move || {
        let deadline = load.due(start, load.n_in_all()) + PATIENCE;
        let (mut latencies, mut n_found) = (Vec::new(), 0);
        while n_found < load.n_in_all() {
            assert!(Instant::now() < deadline, "{n_found} decisions of {}", load.n_in_all());
            let Some(message) = consumer.poll(Duration::from_millis(100)) else { continue };
            let message = message.unwrap();
            let now = Instant::now();
            let id = event_id(message.payload().unwrap());
            let nth = awaited.lock().unwrap().remove(id).unwrap();
            n_found += 1;
            if nth >= load.n_warm_up() {
                latencies.push(now.saturating_duration_since(load.due(start, nth)));
            }
        }
        latencies
    })
}

/// The event's id in a decision; ids of the traffic have no characters that JSON escapes.
fn event_id(decision: &[u8]) -> &str {
    let text = core::str::from_utf8(decision).unwrap();
    let (_, rest) = text.split_once(r#""event":{"id":""#).unwrap();
    rest.split_once('"').unwrap().0
}

/// User and system time of a process, in seconds.
fn cpu_s(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name stands in parentheses and may hold blanks; user and system time are the 12th and 13th words behind it.
    let words: Vec<&str> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (words[11].parse::<f64>().unwrap() + words[12].parse::<f64>().unwrap()) / TICKS_PER_S
}
