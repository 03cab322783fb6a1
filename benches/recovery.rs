//! Recovery after `kill -9` on a real Apache Kafka: how long until the service decides again, from a snapshot and without
//! one, and how large the snapshot is.
//!
//! `cargo bench --bench recovery [-- KEYS]`, by default one million keys. Each key has one payment, all in one partition,
//! and three windows look at it. The release binary is killed after its first snapshot of all of them and started again.
#![expect(clippy::unwrap_used, reason = "a measurement that cannot be made ends")]
#![expect(clippy::print_stdout, reason = "a program that prints its measurements")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::time::{Duration, Instant};

use support::binary::{Binary, wait_for};
use support::broker::Broker;
use support::fleet::{Feed, Fleet};
use support::topics::NewRecord;
use support::wait;

fn main() {
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let keys: u64 = words.next().map_or(1_000_000, |word| word.parse().unwrap());
    println!("command: cargo bench --bench recovery -- {keys}");
    let fleet = Fleet::new(Broker::shared(), "recovery", ("idempotent", 1));
    produce(&fleet, keys);
    let first = start(&fleet, "1s");
    let began = Instant::now();
    let wanted = i64::try_from(keys).unwrap();
    while fleet.n_committed() < wanted {
        assert!(!first.has_ended(), "{}", first.describe());
        wait::pass(Duration::from_millis(50));
    }
    println!("decided      {keys} records in {:.1} s", began.elapsed().as_secs_f64());
    let seen = fleet.snapshot_files("one").len();
    let newest = fleet.snapshot_files("one").pop();
    // WHY: the one at hand may have begun before the last record; the one after it has seen all.
    for _ in 0..2 {
        let newest = fleet.snapshot_files("one").pop();
        produce_one(&fleet);
        wait::until(|| fleet.snapshot_files("one").pop() > newest, || first.describe());
    }
    println!("snapshots    {seen} kept when all was decided, newest then {newest:?}");
    let bytes = first.metric("riskweir_state_bytes").unwrap();
    let took = first.metric("riskweir_snapshot_duration_seconds").unwrap();
    first.kill();
    let size = fs::metadata(fleet.snapshot_files("one").pop().unwrap()).unwrap().len();
    println!("state        {bytes:.0} bytes, {:.0} per key", bytes / float(keys));
    println!(
        "snapshot     {size} bytes, {:.1} per key, taken in {took:.2} s",
        float(size) / float(keys)
    );
    let (live, said) = time_to_live(&fleet, "1h");
    println!("from it      ready {:.2} s after the process began", live.as_secs_f64());
    print_lines(&said);
    fs::remove_dir_all(fleet.snapshots("one")).unwrap();
    let (live, said) = time_to_live(&fleet, "1h");
    println!("by replay    ready {:.2} s after the process began", live.as_secs_f64());
    print_lines(&said);
}

fn float(n: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
    let float = n as f64;
    float
}

fn payment(n: u64) -> NewRecord {
    let at = 1_740_978_000_000 + n / 100;
    let body = format!(
        r#"{{"id":"p{n}","at":{at},"account":"account-{n}","payee":"x{}","amount":"5.00","currency":"EUR"}}"#,
        n % 1_000,
    );
    let mut record = NewRecord::new(format!("account-{n}"), body, 0).at_partition(0);
    record.timestamp_ms = None;
    record
}

fn produce(fleet: &Fleet<'_>, keys: u64) {
    let feed = Feed::new(fleet);
    (0..keys).for_each(|n| feed.send(&payment(n)));
    feed.end();
}

/// One more record: a snapshot waits for the commit of what the last one has seen, and that goes with a record.
fn produce_one(fleet: &Fleet<'_>) {
    fleet.produce(&[payment(0)]);
}

fn start(fleet: &Fleet<'_>, interval: &str) -> Binary {
    fleet.start("one", &[&format!("snapshot.interval={interval}")])
}

/// From the start of the process until `/readyz` says yes; then it is killed.
fn time_to_live(fleet: &Fleet<'_>, interval: &str) -> (Duration, String) {
    let began = Instant::now();
    let service = start(fleet, interval);
    wait_for(&service, "/readyz", 200);
    (began.elapsed(), service.kill_and_hear())
}

fn print_lines(said: &str) {
    for line in said.lines().filter(|line| line.contains("Windows ")) {
        println!("             {line}");
    }
}
