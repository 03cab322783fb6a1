//! Faults of brokers and of the machine on the real binary and a real Apache Kafka, one test per row of the list in
//! `docs/RELIABILITY.md`: what the process does, what it says, and that no byte of an answer depends on it.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use support::acl::{Acl, Names, Operation, Permission, Resource, STRANGER};
use support::binary::{Binary, wait_for};
use support::broker::Broker;
use support::fleet::{Feed, Fleet, Payments};
use support::topics::NewRecord;
use support::wait;

const MODES: [&str; 2] = ["transactional", "idempotent"];
/// What a broker and its clients take by default.
const MESSAGE_BYTES: usize = 1_000_000;

/// A line of `/proc/PID/status`, in KiB.
fn status_kib(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()
}

#[track_caller]
fn stop(service: Binary) -> String {
    service.signal("-TERM");
    let (code, said) = service.ended();
    assert_eq!(code, Some(0), "{said}");
    said
}

/// The decisions that are committed.
fn decisions(fleet: &Fleet<'_>) -> Vec<Value> {
    fleet.bodies("decisions").iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
}

fn says(decision: &Value, word: &str) -> bool {
    decision["provenance"].as_array().unwrap().iter().any(|found| found == word)
}

/// F10: new partitions are read from their first record; keys that moved have windows that say so.
#[test]
fn a_topic_that_gets_more_partitions_is_read_whole_and_moved_keys_say_warming() {
    let mut fleet = Fleet::new(Broker::shared(), "grow", ("transactional", 2));
    let mut payments = Payments::new(51, 2, 2);
    fleet.produce(&payments.take(600));
    let looks = "kafka.rdkafka.topic.metadata.refresh.interval.ms=500";
    let service = fleet.start("one", &["kafka.partitioned_by=account", looks]);
    fleet.wait_committed(600, &[&service]);
    fleet.broker.add_partitions(&fleet.input(), 4);
    fleet.n_partitions = 4;
    payments.spread_over(4);
    fleet.produce(&payments.take(600));
    fleet.wait_committed(1_200, &[&service]);
    let said = stop(service);
    assert!(said.contains("has more partitions than at the start"), "{said}");
    // An engine for each partition with nothing between: so the windows of a new partition begin empty.
    fleet.check_golden();
    let is_new = |decision: &&Value| decision["source"]["partition"].as_i64().unwrap() >= 2;
    let moved: Vec<Value> = decisions(&fleet).iter().filter(is_new).cloned().collect();
    assert!(moved.len() > 200 && moved.iter().all(|decision| says(decision, "warming")));
}

/// F10 with one engine for all partitions: the windows know the keys wherever they come from.
#[test]
fn a_topic_that_gets_more_partitions_loses_no_history_where_one_engine_has_all() {
    let mut fleet = Fleet::new(Broker::shared(), "widen", ("idempotent", 1));
    fleet.produce(&(0..5).map(|n| payment(n, "a", 0)).collect::<Vec<_>>());
    let service = fleet.start("one", &["kafka.rdkafka.topic.metadata.refresh.interval.ms=500"]);
    fleet.wait_committed(5, &[&service]);
    fleet.broker.add_partitions(&fleet.input(), 2);
    fleet.n_partitions = 2;
    fleet.produce(&[payment(5, "a", 1)]);
    fleet.wait_committed(6, &[&service]);
    stop(service);
    let last = decisions(&fleet).into_iter().find(|found| found["event"]["id"] == "p5").unwrap();
    let tally = last["contributions"].as_array().unwrap().iter().find(|it| it["rule"] == "R-1");
    // `count(pay) by account over last 30s`: five in the old partition, and itself.
    assert_eq!(tally.unwrap()["conditions"][0]["value"], "6", "{last:#}");
}

fn payment(n: u64, account: &str, partition: i32) -> NewRecord {
    let at = 1_740_978_000_000 + n;
    let body = format!(
        r#"{{"id":"p{n}","at":{at},"account":"{account}","payee":"x1","amount":"5.00","currency":"EUR"}}"#,
    );
    let mut record = NewRecord::new(account, body, 0).at_partition(partition);
    record.timestamp_ms = None;
    record
}

/// F15: what a start needs beside the windows themselves does not grow with the snapshot. How much deciding needs hangs on how
/// records come in; what a start needs does not, so two starts are compared, from a snapshot of few keys and one of many. With
/// transactions, because a start without reads what was answered, too, and the client's buffers for that are no business of
/// the snapshot.
#[test]
fn a_start_from_a_snapshot_needs_no_more_memory_the_larger_that_is() {
    let [small, large] = [1_000, 15_000].map(beyond_the_state);
    println!("{small:?} and {large:?}: KiB beyond the state, bytes of state");
    assert!(large.1 > 16e6 && small.1 < 3e6, "{small:?} {large:?}");
    // Of 17 MiB of state a second copy, or the parts of the snapshot, would be many.
    assert!(large.0 <= small.0 + 3 * 1024, "{small:?} {large:?}");
}

/// The most KiB that a start from a snapshot of so many keys needs beyond the state, and the bytes of the state.
fn beyond_the_state(keys: u64) -> (u64, f64) {
    let fleet = Fleet::new(Broker::shared(), "restore", ("transactional", 1));
    let feed = Feed::new(&fleet);
    for n in 0..keys {
        feed.send(&payment(n, &format!("account-with-a-long-name-{n}"), 0));
    }
    feed.end();
    let first = fleet.start("one", &["snapshot.interval=1h"]);
    fleet.wait_committed(usize::try_from(keys).unwrap(), &[&first]);
    first.wait_done(keys);
    // The books of the state come a little later than those of the answers: over a kilobyte for each key.
    let least = 1_067.0 * f64::from(u32::try_from(keys).unwrap());
    let bytes = || first.metric("riskweir_state_bytes").unwrap();
    wait::until(|| bytes() > least, || first.describe());
    let state = bytes();
    stop(first);
    let second = fleet.start("one", &["snapshot.interval=1h"]);
    wait_for(&second, "/readyz", 200);
    let peak = peak_kib(&second);
    assert!(second.said().contains("Windows come from a snapshot."), "{}", second.said());
    stop(second);
    let state_kib = format!("{:.0}", state / 1024.0).parse::<u64>().unwrap();
    (peak.saturating_sub(state_kib), state)
}

fn peak_kib(service: &Binary) -> u64 {
    status_kib(service.pid(), "VmHWM:")
}

/// F16: the system gives no more memory in the middle of a flood of keys.
#[test]
fn a_process_that_gets_no_more_memory_dies_and_the_next_start_goes_on() {
    for mode in MODES {
        let fleet = Fleet::new(Broker::shared(), "memory", (mode, 1));
        let first = fleet.start("one", &[]);
        wait_for(&first, "/readyz", 200);
        // WHY: one that has decided has every thread that it will have; whoever cannot begin a thread does not die of it.
        let feed = Feed::new(&fleet);
        let mut n = 0;
        while n < 500 {
            feed.send(&payment(n, &format!("account-with-a-long-name-{n}"), 0));
            n += 1;
        }
        fleet.wait_committed(usize::try_from(n).unwrap(), &[&first]);
        // Two threads' stacks more than that: the start of the next one is not the same to the byte.
        let limit_kib = status_kib(first.pid(), "VmData:") + (18 << 10);
        stop(first);
        let second = fleet.start_under(&format!("ulimit -d {limit_kib}"), "one", &[]);
        while !second.has_ended() && n < 100_000 {
            feed.send(&payment(n, &format!("account-with-a-long-name-{n}"), 0));
            n += 1;
            if n % 500 == 0 {
                // Not far ahead of the process: what it leaves undone has to be done by the next one.
                let done = || 500.0 + second.metric("riskweir_decisions_total").unwrap_or(0.0);
                let is_near = || {
                    second.has_ended() || done() + 3_000.0 > f64::from(u32::try_from(n).unwrap())
                };
                wait::until(is_near, || second.describe());
            }
        }
        feed.end();
        let (code, said) = second.ended();
        println!(
            "{mode}: {limit_kib} KiB of data, ended with {code:?} after {n} records were sent"
        );
        assert_ne!(code, Some(0), "{said}");
        let third = fleet.start("one", &[]);
        fleet.wait_committed(usize::try_from(n).unwrap(), &[&third]);
        let said = stop(third);
        assert!(!said.contains("Replay decided otherwise"), "{said}");
        fleet.check_golden();
    }
}

/// F17: thousands of rules that hit, and one with a condition of almost a megabyte.
#[test]
fn an_answer_larger_than_a_message_is_trimmed_and_its_hold_is_placed() {
    let fleet = Fleet::new(Broker::shared(), "trimmed", ("transactional", 1));
    let reason = "so many words that a thousand of them make a message too long ".repeat(4);
    let mut loud = String::new();
    for n in 0..2_500 {
        let rule = format!(
            "rule loud{n} \"loud\" id \"L-{n}\" owner tests severity high on pay when amount >= 0.01 EUR \
             if missing skip then hold for 20s otherwise release reason \"{reason}\"\n"
        );
        loud.push_str(&rule);
    }
    let words = (0..6_500).fold(String::new(), |mut words, n| {
        write!(words, "\"{n:0>128}\", ").unwrap();
        words
    });
    let long = format!(
        "rule long \"long\" id \"L-long\" owner tests severity low on pay \
         when not (payee in [{words}\"y\"]) if missing skip then alert queue l1 message \"{reason}\"\n"
    );
    fs::write(fleet.rules().join("loud.risk"), loud).unwrap();
    fs::write(fleet.rules().join("long.risk"), long).unwrap();
    fleet.produce(&[payment(0, "a", 0)]);
    let service = fleet.start("one", &[]);
    fleet.wait_committed(1, &[&service]);
    stop(service);
    let one = |kind: &str| {
        let bodies = fleet.bodies(kind);
        let sizes: Vec<usize> = bodies.iter().map(Vec::len).collect();
        assert!(bodies.len() == 1 && sizes[0] < MESSAGE_BYTES - 50_000, "{kind}: {sizes:?}");
        println!("{kind}: {} bytes", sizes[0]);
        serde_json::from_slice::<Value>(bodies.first().unwrap()).unwrap()
    };
    let (decision, hold, alert) = (one("decisions"), one("holds"), one("alerts"));
    assert_eq!((&decision["outcome"], &decision["trimmed"]), (&"hold".into(), &true.into()));
    assert_eq!(decision["hold_id"], hold["hold_id"]);
    let told = decision["contributions"].as_array().unwrap();
    assert!(told.len() == 256 && told.iter().all(|it| it["actions"][0] == "hold"), "{told:?}");
    assert_eq!(hold["placed_by"].as_array().unwrap().len(), 2_500);
    let reasons = hold["reasons"].as_array().unwrap();
    assert_eq!(reasons.last().unwrap(), &format!("and {} more reasons", 2_501 - reasons.len()));
    assert_eq!((&alert["trimmed"], &alert["rule"]), (&true.into(), &"L-long".into()));
    fleet.check_golden();
}

/// F18: the permission to write decisions goes while the service runs, and comes back.
#[test]
fn a_permission_to_write_that_is_taken_away_stops_offsets_until_it_is_back() {
    let broker = Broker::shared();
    for mode in MODES {
        let fleet = Fleet::new(broker, "denied", (mode, 1));
        let own = fleet.topic("");
        for resource in [Resource::Topic, Resource::Group, Resource::TransactionalId] {
            broker.give(Acl(resource, Names::Prefixed(&own), Operation::All, Permission::Allow));
        }
        let user = |key: &str| format!("kafka.security.sasl.{key}={STRANGER}");
        let (name, password) = (user("username"), user("password"));
        let place = format!("kafka.brokers={}", broker.sasl_address());
        let login = [
            place.as_str(),
            "kafka.security.protocol=sasl_plaintext",
            "kafka.security.sasl.mechanism=PLAIN",
            &name,
            &password,
        ];
        let mut payments = Payments::new(61, 1, 20);
        let service = fleet.start("one", &login);
        fleet.produce(&payments.take(300));
        fleet.wait_committed(300, &[&service]);
        let topic = fleet.topic("decisions");
        let denied =
            Acl(Resource::Topic, Names::Literal(&topic), Operation::Write, Permission::Deny);
        broker.give(denied);
        fleet.produce(&payments.take(300));
        wait::until(
            || service.metric("riskweir_kafka_errors_total").unwrap_or(0.0) > 2.0,
            || service.describe(),
        );
        assert_eq!(fleet.n_committed(), 300);
        let unwritten = |kind: &str| {
            service.metric(&format!("riskweir_output_errors_total{{output=\"{kind}\"}}"))
        };
        assert!(unwritten("decisions").is_some_and(|n| n > 0.0), "{}", service.describe());
        // Of a transaction, one that failed is told, and what it holds fails together.
        let may_write_audit = unwritten("audit").is_none_or(|n| n < 0.5);
        assert!(may_write_audit || mode == "transactional", "{}", service.describe());
        broker.take(denied);
        fleet.wait_committed(600, &[&service]);
        stop(service);
        fleet.check_golden();
    }
}

/// A service that decided 300 records of an input topic which was deleted then.
fn with_a_deleted_input(test: &str, mode: &'static str) -> (Fleet<'static>, Payments, Binary) {
    let (fleet, mut payments) =
        (Fleet::new(Broker::shared(), test, (mode, 1)), Payments::new(31, 1, 20));
    fleet.produce(&payments.take(300));
    let service = fleet.start("one", &[]);
    fleet.wait_committed(300, &[&service]);
    wait::until(|| !fleet.snapshot_files("one").is_empty(), || service.describe());
    fleet.broker.delete_topics(&[&fleet.input()]);
    (fleet, payments, service)
}

#[test]
fn an_input_topic_that_is_deleted_while_it_runs_is_named_and_one_made_anew_is_not_read_on() {
    for mode in MODES {
        let (fleet, mut payments, service) = with_a_deleted_input("input_gone", mode);
        let (code, said) = service.ended();
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains("error[K0001]") && said.contains(&fleet.input()), "{said}");
        fleet.broker.create_topic(&fleet.input(), 1);
        fleet.produce(&payments.take(600));
        let (code, said) = fleet.start("one", &[]).ended();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("error[K0014]"), "{said}");
        assert_eq!(fleet.n_committed(), 0);
    }
}

#[test]
fn a_service_is_not_ready_while_its_input_topic_is_gone_and_reads_no_other_one_where_that_ended() {
    let (fleet, mut payments, service) = with_a_deleted_input("input_anew", "transactional");
    wait_for(&service, "/readyz", 503);
    fleet.broker.create_topic(&fleet.input(), 1);
    fleet.produce(&payments.take(600));
    let (code, said) = service.ended();
    assert_ne!(code, Some(0), "{said}");
    assert!(["error[K0001]", "error[K0014]"].iter().any(|code| said.contains(code)), "{said}");
    assert_eq!(fleet.n_committed(), 0);
}
