//! The real binary on a real Apache Kafka with the shipped rules: what goes in comes out once, as `backtest` says.
//!
//! The traffic is generated, with duplicates and late records, and broken records made by hand are mixed in. The input
//! topic is named like a file, so that `backtest` on a file of that name must write the very same bytes.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]
#![expect(clippy::similar_names, reason = "what was produced and what was produced before")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use riskweir::engine::{Engine, EngineOptions, Input, Output, OutputTopic};
use riskweir::loader;
use riskweir::rules::compile;
use serde_json::Value;

use support::binary::{Binary, command, wait_for};
use support::broker::Broker;
use support::records::{Made, broken_records, traffic};
use support::topics::{Isolation, NewRecord, Record, prefix};
use support::wait;

const MODES: [&str; 2] = ["transactional", "idempotent"];
/// The kinds of output that answer records, by the names of their topics here and of their files in `backtest`.
const ANSWERS: [(OutputTopic, &str); 4] = [
    (OutputTopic::Decisions, "decisions"),
    (OutputTopic::Alerts, "alerts"),
    (OutputTopic::Holds, "holds"),
    (OutputTopic::DeadLetter, "dead_letter"),
];
const N_TRAFFIC: usize = 3_000;

/// Topics and configuration of one test.
struct World {
    broker: &'static Broker,
    prefix: String,
    inputs: Vec<String>,
    folder: tempfile::TempDir,
}

impl World {
    fn new(test: &str, n_inputs: usize, n_partitions: i32) -> Self {
        let (broker, prefix) = (Broker::shared(), prefix(test));
        let inputs: Vec<String> = (0..n_inputs).map(|n| format!("{prefix}in{n}.ndjson")).collect();
        for input in &inputs {
            // WHY: one of the broken records is larger than riskweir reads, and than Kafka takes by default.
            broker.create_topic_with(input, n_partitions, &[("max.message.bytes", "4000000")]);
        }
        let world = Self { broker, prefix, inputs, folder: tempfile::tempdir().unwrap() };
        for output in ["decisions", "alerts", "holds", "audit", "dead_letter"] {
            broker.create_topic(&world.topic(output), n_partitions);
        }
        world
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Starts the service with a configuration file; `max_in_flight` small makes it slow enough to be interrupted.
    fn start(&self, mode: &str, max_in_flight: u32) -> Binary {
        let mut text = format!(
            "version: 1\nkafka:\n  brokers: [\"{}\"]\n  group_id: {}\n  session_timeout: 6s\ntopics:\n  inputs: [{}]\n",
            self.broker.address(),
            self.topic("group"),
            self.inputs.join(", "),
        );
        for output in ["decisions", "alerts", "holds", "audit", "dead_letter"] {
            text.push_str(&format!("  {output}: {}\n", self.topic(output)));
        }
        text.push_str(&format!(
            "delivery:\n  mode: {mode}\n  max_in_flight: {max_in_flight}\nrules:\n  path: {}\nhttp:\n  listen: 127.0.0.1:0\n",
            rules().display()
        ));
        let file = self.folder.path().join("riskweir.yaml");
        fs::write(&file, text).unwrap();
        Binary::start(&["run", "-c", file.to_str().unwrap()])
    }

    fn produce(&self, made: &[Made]) {
        let record = |made: &Made| NewRecord {
            key: Some(made.key.clone().into_bytes()),
            payload: made.payload.clone(),
            timestamp_ms: None,
            partition: None,
        };
        self.broker.produce(&self.inputs[0], &made.iter().map(record).collect::<Vec<_>>());
    }

    fn n_committed(&self) -> i64 {
        let of = |input: &String| -> i64 {
            self.broker.committed(&self.topic("group"), input).values().sum()
        };
        self.inputs.iter().map(of).sum()
    }

    fn answers(&self, name: &str) -> Vec<Record> {
        self.broker.read(&self.topic(name), Isolation::Committed)
    }

    fn wait_committed(&self, service: &Binary, count: usize) {
        let count = i64::try_from(count).unwrap();
        wait::until(
            || self.n_committed() == count || service.has_ended(),
            || format!("{count} committed, found {}: {}", self.n_committed(), service.describe()),
        );
        assert!(!service.has_ended(), "{}", service.describe());
    }
}

fn rules() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("rules")
}

/// Traffic with the broken records strewn in.
fn records() -> Vec<Made> {
    let mut made = traffic(N_TRAFFIC);
    let broken = broken_records(&made);
    for (nth, broken) in broken.into_iter().enumerate() {
        made.insert(60 + nth * 90, broken);
    }
    made
}

/// What the engine answers, by kind of output.
fn engine_answers(topic: &str, made: &[Made]) -> BTreeMap<OutputTopic, Vec<Vec<u8>>> {
    let (program, _) = compile(&loader::load(&rules()).unwrap());
    let mut engine = Engine::new(Arc::new(program.unwrap()), EngineOptions::default()).unwrap();
    let stream = engine.open_stream(topic, 0);
    let mut outputs: Vec<Output> = Vec::new();
    for (offset, made) in (0_i64..).zip(made) {
        let payload = made.payload.as_deref();
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut outputs);
    }
    let mut answers: BTreeMap<OutputTopic, Vec<Vec<u8>>> = BTreeMap::new();
    for output in outputs {
        // The ends of episodes stand in the topic of alerts.
        let topic = match output.topic {
            OutputTopic::Episodes => OutputTopic::Alerts,
            topic => topic,
        };
        answers.entry(topic).or_default().push(output.body);
    }
    answers
}

/// What `riskweir backtest` writes for the records, those that cannot be a line left blank.
fn backtest_answers(world: &World, made: &[Made]) -> BTreeMap<OutputTopic, Vec<Vec<u8>>> {
    let file = world.folder.path().join(&world.inputs[0]);
    let mut text = Vec::new();
    for made in made {
        text.extend_from_slice(made.line().unwrap_or_default());
        text.push(b'\n');
    }
    fs::write(&file, text).unwrap();
    let out = world.folder.path().join("out");
    let done = command()
        .arg("backtest")
        .args(["--rules", rules().to_str().unwrap(), "--input", file.to_str().unwrap()])
        .args(["--out", out.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let read = |name: &str| {
        let text = fs::read(out.join(format!("{name}.ndjson"))).unwrap();
        text.split_inclusive(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\n").unwrap_or(line).to_vec())
            .collect()
    };
    let all = ANSWERS.iter().chain(&[(OutputTopic::Episodes, "episodes")]);
    all.map(|(kind, name)| (*kind, read(name))).collect()
}

/// The bodies in order, repeated ones once.
fn once(records: &[Record]) -> Vec<Vec<u8>> {
    let mut seen = BTreeSet::new();
    let bodies = records.iter().map(|record| record.payload.clone().unwrap());
    bodies.filter(|body| seen.insert(body.clone())).collect()
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// Topic, partition and offset of the record that an answer is about.
fn source(value: &Value) -> (String, i64, i64) {
    let number = |pointer| value.pointer(pointer).and_then(Value::as_i64).unwrap();
    (text(value, "/source/topic").to_owned(), number("/source/partition"), number("/source/offset"))
}

/// Bodies that differ shown in words: the whole lists would fill the screen.
#[track_caller]
fn assert_same(found: &[Vec<u8>], expected: &[Vec<u8>], what: &str) {
    let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
    let at = differs.unwrap_or_else(|| found.len().min(expected.len()));
    let show = |bodies: &[Vec<u8>]| {
        let body = bodies.get(at).map(|body| String::from_utf8_lossy(body).into_owned());
        body.map(|body| body.chars().take(1_500).collect::<String>())
    };
    assert!(
        found == expected,
        "{what}: {} found, {} expected; number {at} is\n{:?}\ninstead of\n{:?}",
        found.len(),
        expected.len(),
        show(found),
        show(expected),
    );
}

/// Decisions and dead letters together answer each record once.
#[track_caller]
fn check_books(decisions: &[Vec<u8>], dead_letters: &[Vec<u8>], n_records: usize) {
    let answered: Vec<(String, i64, i64)> =
        decisions.iter().chain(dead_letters).map(|body| source(&json(body))).collect();
    let places: BTreeSet<_> = answered.iter().cloned().collect();
    assert_eq!((answered.len(), places.len()), (n_records, n_records), "answers, places answered");
}

/// No decision id comes twice, but for repeats that say so.
#[track_caller]
fn check_ids(decisions: &[Vec<u8>]) {
    let mut known = BTreeSet::new();
    for body in decisions {
        let decision = json(body);
        let is_new = known.insert(text(&decision, "/decision_id").to_owned());
        let repeat = decision["duplicate"].as_bool().unwrap();
        assert_eq!(is_new, !repeat, "{decision}");
    }
}

/// The answers in the topics are those of the engine and of `backtest`, byte by byte.
#[track_caller]
fn check_answers(world: &World, mode: &str, made: &[Made]) {
    let expected = engine_answers(&world.inputs[0], made);
    let by_file = backtest_answers(world, made);
    let is_line =
        |body: &Vec<u8>| made[usize::try_from(source(&json(body)).2).unwrap()].line().is_some();
    let mut found: BTreeMap<OutputTopic, Vec<Vec<u8>>> = BTreeMap::new();
    for (kind, name) in ANSWERS {
        let records = world.answers(name);
        let bodies = once(&records);
        if mode == "transactional" {
            assert_eq!(records.len(), bodies.len(), "{name}: repeated for committed readers");
        }
        assert_same(&bodies, &expected[&kind], name);
        let lines: Vec<Vec<u8>> = match kind {
            OutputTopic::DeadLetter => {
                bodies.iter().filter(|body| is_line(body)).cloned().collect()
            }
            OutputTopic::Alerts => {
                let is_alert = |body: &&Vec<u8>| json(body)["schema"] == "riskweir.alert.v1";
                let (alerts, ends) = bodies.iter().partition(is_alert);
                let ends: Vec<Vec<u8>> = Vec::<&Vec<u8>>::into_iter(ends).cloned().collect();
                assert!(!ends.is_empty(), "episodes end");
                assert_same(&ends, &by_file[&OutputTopic::Episodes], "episodes of backtest");
                Vec::<&Vec<u8>>::into_iter(alerts).cloned().collect()
            }
            _ => bodies.clone(),
        };
        assert_same(&lines, &by_file[&kind], &format!("{name} of backtest"));
        found.insert(kind, bodies);
    }
    let (decisions, dead) = (&found[&OutputTopic::Decisions], &found[&OutputTopic::DeadLetter]);
    check_books(decisions, dead, made.len());
    check_ids(decisions);
    check_reasons(dead, made);
    assert!(decisions.iter().any(|body| json(body)["duplicate"] == true), "no duplicate came");
    assert!(found[&OutputTopic::Alerts].len() > 10 && found[&OutputTopic::Holds].len() > 5);
}

/// Each broken record is refused for the reason that was broken into it.
#[track_caller]
fn check_reasons(dead_letters: &[Vec<u8>], made: &[Made]) {
    let reasons: BTreeMap<i64, String> = dead_letters
        .iter()
        .map(|body| json(body))
        .map(|dead| (source(&dead).2, text(&dead, "/reason").to_owned()))
        .collect();
    for (offset, made) in (0_i64..).zip(made) {
        if let Some(reason) = made.reason {
            assert_eq!(reasons.get(&offset).map(String::as_str), Some(reason), "record {offset}");
        }
    }
}

#[track_caller]
fn check_uninterrupted(mode: &str) {
    let (world, made) = (World::new("whole", 1, 1), records());
    let service = world.start(mode, 50_000);
    wait_for(&service, "/readyz", 200);
    assert_eq!(service.get("/livez").0, 200);
    world.produce(&made);
    service.wait_done(u64::try_from(made.len()).unwrap());
    assert_eq!(service.get("/readyz").0, 200);
    assert_eq!(service.stop(), Some(0));
    assert_eq!(world.n_committed(), i64::try_from(made.len()).unwrap());
    check_answers(&world, mode, &made);
    for (_, name) in ANSWERS {
        let records = world.answers(name);
        assert_eq!(records.len(), once(&records).len(), "{name}: nothing interrupted this run");
    }
}

#[test]
fn transactional_answers_are_those_of_backtest_byte_by_byte() {
    check_uninterrupted("transactional");
}

#[test]
fn idempotent_answers_are_those_of_backtest_byte_by_byte() {
    check_uninterrupted("idempotent");
}

/// How the first process ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Ordered,
    Killed,
}

#[track_caller]
fn check_interrupted(mode: &str, end: End) {
    let (world, made) = (World::new("again", 1, 1), records());
    let (before, after) = made.split_at(2_000);
    world.produce(before);
    let first = world.start(mode, 100);
    first.wait_done(500);
    match end {
        End::Ordered => assert_eq!(first.stop(), Some(0)),
        End::Killed => first.kill(),
    }
    if end == End::Ordered {
        let n_answers = world.answers("decisions").len() + world.answers("dead_letter").len();
        assert_eq!(world.n_committed(), i64::try_from(n_answers).unwrap(), "committed, answered");
    }
    world.produce(after);
    let second = world.start(mode, 50_000);
    world.wait_committed(&second, made.len());
    assert_eq!(second.stop(), Some(0));
    check_answers(&world, mode, &made);
}

#[test]
fn a_stop_in_the_middle_changes_no_byte_transactional() {
    check_interrupted("transactional", End::Ordered);
}

#[test]
fn a_stop_in_the_middle_changes_no_byte_idempotent() {
    check_interrupted("idempotent", End::Ordered);
}

#[test]
fn a_kill_in_the_middle_changes_no_byte_and_repeats_nothing_transactional() {
    check_interrupted("transactional", End::Killed);
}

#[test]
fn a_kill_in_the_middle_loses_nothing_and_repeats_are_the_same_bytes_idempotent() {
    check_interrupted("idempotent", End::Killed);
}

/// Identities of the events decided; they depend on no other record.
fn ids(bodies: &[Vec<u8>]) -> BTreeSet<String> {
    bodies.iter().map(|body| text(&json(body), "/decision_id").to_owned()).collect()
}

/// The place of the record that an output says in its headers that it answers.
fn place(record: &Record) -> (String, i64, i64) {
    let header = |name: &str| {
        let found = record.headers.iter().find(|(key, _)| key == name).unwrap();
        String::from_utf8(found.1.clone().unwrap()).unwrap()
    };
    let number = |name| header(name).parse().unwrap();
    (header("source_topic"), number("source_partition"), number("source_offset"))
}

/// In each output partition the answers to one input partition stand in the order of its records, one key stays in one
/// partition, and each record is answered as itself: `places` says where the records went, in the order of `expected`.
#[track_caller]
fn check_partitions(
    world: &World,
    places: &[(String, i64, i64)],
    expected: &BTreeMap<OutputTopic, Vec<Vec<u8>>>,
) {
    let mut answered: BTreeMap<(String, i64, i64), String> = BTreeMap::new();
    for (kind, name) in ANSWERS {
        let mut last: BTreeMap<(i32, String, i64), i64> = BTreeMap::new();
        let mut homes: BTreeMap<Vec<u8>, i32> = BTreeMap::new();
        for record in world.answers(name) {
            let (topic, partition, offset) = place(&record);
            let before = last.insert((record.partition, topic.clone(), partition), offset);
            // WHY: one record may bring about several alerts and holds, but one decision or dead letter.
            let single = matches!(kind, OutputTopic::Decisions | OutputTopic::DeadLetter);
            let next = before.map_or(0, |before| before + i64::from(single));
            assert!(offset >= next, "{name}: {topic}-{partition}: {offset} after {before:?}");
            let home = *homes.entry(record.key.clone().unwrap()).or_insert(record.partition);
            assert_eq!(record.partition, home, "{name}: the partition of {:?}", record.key);
            let body = json(&record.payload.unwrap());
            if body.get("source").is_some() {
                assert_eq!(source(&body), (topic.clone(), partition, offset), "{name}: {body}");
            }
            if kind == OutputTopic::Decisions {
                let id = text(&body, "/decision_id").to_owned();
                answered.insert((topic, partition, offset), id);
            }
        }
    }
    let decision = |body: &Vec<u8>| {
        let body = json(body);
        let nth = usize::try_from(source(&body).2).unwrap();
        (places[nth].clone(), text(&body, "/decision_id").to_owned())
    };
    let expected = expected[&OutputTopic::Decisions].iter().map(decision).collect();
    assert_eq!(answered, expected, "which record has which decision");
}

#[test]
fn two_topics_of_three_partitions_are_answered_once_each() {
    for mode in MODES {
        let (world, made) = (World::new("spread", 2, 3), records());
        let mut halves = [Vec::new(), Vec::new()];
        let mut places: Vec<(String, i64, i64)> = Vec::new();
        let mut ends: BTreeMap<(usize, i32), i64> = BTreeMap::new();
        for (nth, made) in made.iter().enumerate() {
            let partition =
                i32::try_from(made.key.bytes().map(usize::from).sum::<usize>() % 3).unwrap();
            let end = ends.entry((nth % 2, partition)).or_default();
            places.push((world.inputs[nth % 2].clone(), i64::from(partition), *end));
            *end += 1;
            let record = NewRecord {
                key: Some(made.key.clone().into_bytes()),
                payload: made.payload.clone(),
                timestamp_ms: None,
                partition: Some(partition),
            };
            halves[nth % 2].push(record);
        }
        for (input, half) in world.inputs.iter().zip(&halves) {
            world.broker.produce(input, half);
        }
        let service = world.start(mode, 50_000);
        service.wait_done(u64::try_from(made.len()).unwrap());
        assert_eq!(service.stop(), Some(0));
        let read = |name| -> Vec<Vec<u8>> {
            world.answers(name).into_iter().map(|record| record.payload.unwrap()).collect()
        };
        let (decisions, dead) = (read("decisions"), read("dead_letter"));
        check_books(&decisions, &dead, made.len());
        let expected = engine_answers("any", &made);
        assert_eq!(ids(&decisions), ids(&expected[&OutputTopic::Decisions]), "{mode}");
        let first_answers =
            decisions.iter().filter(|body| json(body)["duplicate"] == false).count();
        assert_eq!(first_answers, ids(&decisions).len(), "{mode}: first answers, ids");
        assert_eq!(dead.len(), expected[&OutputTopic::DeadLetter].len(), "{mode}");
        let n_places: BTreeSet<(String, i64)> =
            decisions.iter().map(|body| source(&json(body))).map(|it| (it.0, it.1)).collect();
        assert_eq!(n_places.len(), 6, "{mode}: partitions that were answered");
        check_partitions(&world, &places, &expected);
    }
}

fn refused(settings: &[String]) -> (Option<i32>, String) {
    let mut run: Command = command();
    run.args(["run", "--set", "http.listen=127.0.0.1:0", "--rules"]).arg(rules());
    for setting in settings {
        run.args(["--set", setting]);
    }
    let done = run.output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned())
}

#[test]
fn a_topic_that_does_not_exist_ends_the_run_with_its_name() {
    let world = World::new("missing", 1, 1);
    let wanted = world.topic("nowhere");
    let (code, said) = refused(&[
        format!("kafka.brokers={}", world.broker.address()),
        format!("kafka.group_id={}", world.topic("group")),
        format!("topics.inputs={wanted}"),
    ]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("K0001") && said.contains(&wanted), "{said}");
}

#[test]
fn a_broker_that_does_not_answer_ends_the_run_with_its_address() {
    // WHY: nothing listens on the port of a listener that was closed.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (code, said) = refused(&[format!("kafka.brokers={closed}")]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("K0003") && said.contains(&closed.to_string()), "{said}");
}
