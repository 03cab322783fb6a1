//! Two instances of the real binary in one consumer group on a real Apache Kafka, under load, while they are killed,
//! frozen and stopped and the broker goes away; then an independent verifier reads everything, and `backtest` is asked
//! whether each byte is right.
//!
//! The loop takes a minute in each delivery mode, side by side; `RISKWEIR_KILL_MINUTES=30` makes it longer and
//! `RISKWEIR_KILL_SEED` another one.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail the test")]
#![expect(clippy::print_stdout, reason = "a loop of minutes says what it did")]

mod support;
mod verifier;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::binary::Binary;
use support::broker::{Act, Broker};
use support::dice::Dice;
use support::fleet::{Feed, Fleet, Payments};
use support::topics::Isolation;
use support::wait;

const INSTANCES: [&str; 2] = ["one", "two"];
const PARTITIONS: i32 = 4;
const RATE: u64 = 400;
const TICK_MS: u64 = 20;

/// Whatever a log must not say in any of these tests.
const FORBIDDEN: [&str; 3] = ["Replay decided otherwise", "panicked", "state_gap"];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a whole number"))
}

/// Steady load while `faults` works; how many records were sent.
fn under_load(fleet: &Fleet<'_>, seed: u64, faults: impl FnOnce()) -> usize {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let feed = Feed::new(fleet);
            let mut payments = Payments::new(seed, PARTITIONS, 1_000 / RATE);
            let mut n = 0;
            while !over.load(Ordering::Relaxed) {
                let records = payments.take(usize::try_from(RATE * TICK_MS / 1_000).unwrap());
                for record in &records {
                    feed.send(record);
                }
                n += records.len();
                wait::pass(Duration::from_millis(TICK_MS));
            }
            feed.end();
            n
        });
        let ends = Ends(&over);
        faults();
        drop(ends);
        let n = feeder.join().unwrap();
        // WHY: a record whose acknowledgement a crash of the broker swallowed is there twice, and is two records.
        let there = fleet.broker.read(&fleet.input(), Isolation::Committed).len();
        assert!(there >= n, "{there} of {n} records are in the input");
        there
    })
}

/// Ends the load even when the faults fail the test.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What the logs of all processes of a test say together.
#[derive(Default)]
struct Logs(String);

impl Logs {
    fn add(&mut self, said: &str) {
        for words in FORBIDDEN {
            assert!(!said.contains(words), "{said}");
        }
        self.0.push_str(said);
    }

    fn count(&self, words: &str) -> usize {
        self.0.matches(words).count()
    }
}

fn case(fleet: &Fleet<'_>, ordered: bool) -> verifier::Case {
    verifier::Case {
        brokers: fleet.broker.address().to_owned(),
        group: fleet.topic("group"),
        input: fleet.input(),
        decisions: fleet.topic("decisions"),
        alerts: fleet.topic("alerts"),
        holds: fleet.topic("holds"),
        dead_letter: fleet.topic("dead_letter"),
        once: fleet.mode == "transactional",
        ordered,
    }
}

/// Lets the instances finish, stops them in order, and has everything judged.
#[track_caller]
fn finish(fleet: &Fleet<'_>, instances: Vec<Binary>, n: usize, ordered: bool) -> Logs {
    fleet.wait_committed(n, &instances.iter().collect::<Vec<_>>());
    let mut logs = Logs::default();
    for instance in instances {
        instance.signal("-TERM");
        let (code, said) = instance.ended();
        assert_eq!(code, Some(0), "{said}");
        logs.add(&said);
    }
    judge(fleet, n, ordered);
    logs
}

#[track_caller]
fn judge(fleet: &Fleet<'_>, n: usize, ordered: bool) {
    let verdict = verifier::judge(&case(fleet, ordered)).unwrap();
    println!("{}: {verdict}", fleet.mode);
    assert_eq!((verdict.n_faults, verdict.records), (0, n), "{}: {verdict}", fleet.mode);
    assert!(verdict.holds > 0 && verdict.dead > 0 && verdict.alerts > 0, "{verdict}");
    fleet.check_golden();
}

#[track_caller]
fn kill_loop(mode: &'static str) {
    let (seed, minutes) = (number("RISKWEIR_KILL_SEED", 7), number("RISKWEIR_KILL_MINUTES", 1));
    let fleet = Fleet::new(Broker::shared(), "kills", (mode, PARTITIONS));
    let (mut dice, mut kills) = (Dice::new(seed), 0);
    let mut instances: Vec<Binary> = INSTANCES.iter().map(|it| fleet.start_sharing(it)).collect();
    let mut logs = Logs::default();
    let n = under_load(&fleet, seed, || {
        let deadline = Instant::now() + Duration::from_secs(60 * minutes);
        while Instant::now() < deadline {
            wait::pass(Duration::from_millis(500 + dice.below(3_500)));
            let at = usize::try_from(dice.below(2)).unwrap();
            assert!(!instances[at].has_ended(), "{}", instances[at].describe());
            let killed = instances.remove(at);
            logs.add(&killed.kill_and_hear());
            instances.insert(at, fleet.start_sharing(INSTANCES[at]));
            kills += 1;
        }
    });
    logs.add(&finish(&fleet, instances, n, true).0);
    println!(
        "{mode}: seed {seed}, {minutes} min, {kills} kills, {n} records, {} snapshots loaded, {} skipped",
        logs.count("Windows come from a snapshot."),
        logs.count("Snapshot is not used"),
    );
    assert!(kills > 10 && logs.count("Windows come from a snapshot.") > 0);
}

#[test]
fn a_minute_of_kills_loses_and_repeats_nothing_and_changes_no_byte_transactional() {
    kill_loop("transactional");
}

#[test]
fn a_minute_of_kills_loses_nothing_and_changes_no_byte_idempotent() {
    kill_loop("idempotent");
}

#[test]
fn a_broker_that_stops_and_crashes_under_load_costs_nothing() {
    let broker = Broker::own();
    let fleets =
        ["transactional", "idempotent"].map(|mode| Fleet::new(&broker, "away", (mode, PARTITIONS)));
    let instances = fleets
        .each_ref()
        .map(|fleet| INSTANCES.iter().map(|it| fleet.start_sharing(it)).collect::<Vec<Binary>>());
    let mut n_other = 0;
    let n = under_load(&fleets[0], 21, || {
        n_other = under_load(&fleets[1], 22, || {
            wait::pass(Duration::from_secs(4));
            for outage in [Act::Stop, Act::Kill] {
                broker.act(outage);
                wait::pass(Duration::from_secs(3));
                broker.act(Act::Start);
                wait::pass(Duration::from_secs(4));
            }
        });
    });
    for ((fleet, instances), n) in fleets.iter().zip(instances).zip([n, n_other]) {
        finish(fleet, instances, n, false);
    }
}

#[track_caller]
fn zombie(mode: &'static str) {
    let fleet = Fleet::new(Broker::shared(), "zombie", (mode, PARTITIONS));
    let instances: Vec<Binary> = INSTANCES.iter().map(|it| fleet.start_sharing(it)).collect();
    let n = under_load(&fleet, 31, || {
        for at in [0, 1] {
            wait::pass(Duration::from_secs(3));
            instances[at].signal("-STOP");
            // Two session time-outs of 2 s and more: the other one has all partitions by then.
            wait::pass(Duration::from_secs(6));
            instances[at].signal("-CONT");
        }
        wait::pass(Duration::from_secs(2));
    });
    finish(&fleet, instances, n, false);
}

#[test]
fn a_zombie_that_wakes_after_its_partitions_went_changes_nothing_transactional() {
    zombie("transactional");
}

#[test]
fn a_zombie_that_wakes_after_its_partitions_went_changes_nothing_idempotent() {
    zombie("idempotent");
}

#[track_caller]
fn terminations(mode: &'static str) {
    let fleet = Fleet::new(Broker::shared(), "terms", (mode, PARTITIONS));
    let mut dice = Dice::new(41);
    let n = under_load(&fleet, 41, || {
        for round in 0..10 {
            let instance = fleet.start_sharing("one");
            wait::pass(Duration::from_millis(dice.below(1_500)));
            instance.signal("-TERM");
            let (code, said) = instance.ended();
            assert_eq!(code, Some(0), "round {round}: {said}");
            Logs::default().add(&said);
        }
    });
    let last = fleet.start_sharing("one");
    finish(&fleet, vec![last], n, true);
}

#[test]
fn ten_stops_at_random_times_end_in_order_and_lose_nothing_transactional() {
    terminations("transactional");
}

#[test]
fn ten_stops_at_random_times_end_in_order_and_lose_nothing_idempotent() {
    terminations("idempotent");
}

/// P4: what decides, how it is spread over threads, and how often it dies, changes no byte and no order.
#[test]
fn one_two_and_four_threads_and_ten_kills_at_random_times_give_the_same_bytes_in_the_same_order() {
    let fleet = Fleet::new(Broker::shared(), "same", ("transactional", PARTITIONS));
    let (mut dice, mut logs) = (Dice::new(51), Logs::default());
    let n = under_load(&fleet, 51, || {
        for _ in 0..10 {
            let instance = fleet.start_sharing("one");
            wait::pass(Duration::from_millis(100 + dice.below(2_900)));
            assert!(!instance.has_ended(), "{}", instance.describe());
            logs.add(&instance.kill_and_hear());
        }
    });
    finish(&fleet, vec![fleet.start_sharing("one")], n, true);
    let golden = fleet.golden_in_order(1);
    for threads in [2, 4] {
        assert!(fleet.golden_in_order(threads) == golden, "{threads} threads decide otherwise");
    }
    for kind in ["decisions", "alerts", "holds", "dead_letter"] {
        // Where a body stands: the partition of the input that it comes from, and the place among its answers.
        let answers = golden.iter().map(|answers| &answers[kind]).enumerate();
        let places: BTreeMap<&[u8], (usize, usize)> = answers
            .flat_map(|(partition, bodies)| {
                let places = bodies.iter().enumerate();
                places.map(move |(place, body)| (body.as_slice(), (partition, place)))
            })
            .collect();
        let read = fleet.broker.read(&fleet.topic(kind), Isolation::Committed);
        let n_answers: usize = golden.iter().map(|answers| answers[kind].len()).sum();
        assert_eq!(read.len(), n_answers, "{kind}");
        let mut last = BTreeMap::new();
        // A repeated event brings the same hold again, byte for byte: that one has two places.
        let mut times: BTreeMap<&[u8], usize> = BTreeMap::new();
        golden.iter().flat_map(|answers| &answers[kind]).for_each(|body| {
            *times.entry(body).or_default() += 1;
        });
        let once = read.iter().filter(|record| times[record.payload.as_deref().unwrap()] == 1);
        for record in once {
            let (from, place) = places[record.payload.as_deref().unwrap()];
            let before = last.insert((record.partition, from), place);
            assert!(before < Some(place), "{kind}: {from} is out of order at {place}");
        }
    }
    assert!(logs.count("Windows come from a snapshot.") > 0, "no kill came after a snapshot");
}

#[test]
fn the_verifier_shares_no_code_with_what_it_judges() {
    let text = include_str!("verifier/mod.rs");
    for line in text.lines().filter(|line| line.trim_start().starts_with("use ")) {
        let from = line.trim_start().trim_start_matches("use ");
        let known = ["std::", "rdkafka::", "serde_json::"];
        assert!(known.iter().any(|name| from.starts_with(name)), "{line}");
    }
    assert!(!text.contains("riskweir") && !text.contains("crate::support"));
}
