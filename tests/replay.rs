//! `riskweir replay`: decisions of a service on a real Apache Kafka, derived again byte for byte.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::cell::Cell;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::process::Output;

use serde_json::Value;

use support::binary::{Binary, command};
use support::broker::Broker;
use support::topics::{Isolation, NewRecord, Record, prefix};
use support::wait;

const OUTPUTS: [&str; 5] = ["decisions", "alerts", "holds", "audit", "dead_letter"];

/// A card and a device are counted: the device is seen in both partitions, so the order across them counts.
fn rules(points: u32) -> String {
    format!(
        r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   card    : card    from "/card"
  key   device  : device  from "/device"
  field amount  : money   from "/amount" currency "/currency"

policy decisions
  base currency EUR
  timezone "UTC"

rule busy "a busy device"
  id "R-1"  owner tests  severity high  mode live
  on pay
  when count(pay) by device over last 1h >= 3
  if missing skip
  then score +{points} in speed

rule sum "a costly card"
  id "R-2"  owner tests  severity high  mode live
  on pay
  when sum(pay.amount in EUR) by card over last 1h >= 40.00 EUR
  if missing skip
  then score +5 in money
"#
    )
}

struct World {
    broker: &'static Broker,
    prefix: String,
    folder: tempfile::TempDir,
    /// The epoch to wait for at the next start; 0: none.
    epoch: Cell<u64>,
    /// `snapshot.keep`.
    keep: Cell<u32>,
}

impl World {
    fn new(test: &str) -> Self {
        let world = Self {
            broker: Broker::shared(),
            prefix: prefix(test),
            folder: tempfile::tempdir().unwrap(),
            epoch: Cell::new(0),
            keep: Cell::new(5),
        };
        fs::create_dir(world.folder.path().join("rules")).unwrap();
        world.write_rules(10);
        world.broker.create_topic_with(&world.topic("in"), 2, &[("retention.ms", "-1")]);
        for output in OUTPUTS {
            world.broker.create_topic(&world.topic(output), 2);
        }
        world
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn write_rules(&self, points: u32) {
        fs::write(self.folder.path().join("rules/rules.risk"), rules(points)).unwrap();
    }

    fn configuration(&self) -> String {
        let folder = self.folder.path();
        let mut text = format!(
            "version: 1\nkafka:\n  brokers: [\"{}\"]\n  group_id: {}\nrules:\n  path: {}\nsnapshot:\n  dir: {}\n  interval: {}\n  keep: {}\nhttp:\n  listen: 127.0.0.1:0\ntopics:\n  inputs: [{}]\n",
            self.broker.address(),
            self.topic("group"),
            folder.join("rules").display(),
            folder.join("snapshots").display(),
            // WHY: fewer are kept to see commits forget what no snapshot needs, so some have to be taken.
            if self.keep.get() == 2 { "100ms" } else { "1h" },
            self.keep.get(),
            self.topic("in"),
        );
        for output in OUTPUTS {
            text.push_str(&format!("  {output}: {}\n", self.topic(output)));
        }
        let file = folder.join("riskweir.yaml");
        fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    }

    /// Decides these payments, in both partitions or in one, and stops in order: a snapshot is written.
    fn decide(&self, numbers: Range<i64>, n_partitions: i32) {
        let service = Binary::start(&["run", "-c", &self.configuration()]);
        // WHY: until a changed rule set is kept, the one before goes on.
        let epoch = format!("\"epoch\":{}", self.epoch.get());
        wait::until(
            || self.epoch.get() == 0 || service.said().contains(&epoch) || service.has_ended(),
            || service.describe(),
        );
        self.epoch.set(0);
        self.produce_and_wait(numbers, n_partitions, &service);
        service.stop_in_order();
    }

    fn produce_and_wait(&self, numbers: Range<i64>, n_partitions: i32, service: &Binary) {
        let end = usize::try_from(numbers.end).unwrap();
        let records: Vec<NewRecord> = numbers.map(|number| payment(number, n_partitions)).collect();
        self.broker.produce(&self.topic("in"), &records);
        wait::until(
            || self.decisions().len() == end || service.has_ended(),
            || format!("{end} decisions: {}", service.describe()),
        );
    }

    /// Decides ten payments by each of these rule sets, which become active one after the other while the service runs.
    fn decide_by(&self, all: &[u32]) {
        let service = Binary::start(&["run", "-c", &self.configuration()]);
        for (at, points) in (0..).zip(all) {
            self.write_rules(*points);
            service.signal("-HUP");
            let epoch = format!("\"epoch\":{}", at + 1);
            wait::until(
                || service.said().contains(&epoch) || service.has_ended(),
                || service.describe(),
            );
            // Of the fourth rule set one partition sees nothing.
            let n_partitions = if at == 3 { 1 } else { 2 };
            self.produce_and_wait(at * 10..at * 10 + 10, n_partitions, &service);
            // Two snapshots of it, so that no older one is left.
            for _ in 0..2 {
                let before = self.newest_snapshot();
                wait::until(
                    || self.newest_snapshot() > before || service.has_ended(),
                    || format!("a snapshot after {before:?}: {}", service.describe()),
                );
            }
        }
        service.stop_in_order();
    }

    /// Its name, which begins with its number.
    fn newest_snapshot(&self) -> Option<PathBuf> {
        self.files("rws").into_iter().max()
    }

    fn decisions(&self) -> Vec<Record> {
        self.broker.read(&self.topic("decisions"), Isolation::Committed)
    }

    /// The decision about a payment: its id and its bytes.
    fn decision(&self, number: i64) -> (String, Vec<u8>) {
        let wanted = format!("p{number}");
        let bodies = self.decisions().into_iter().map(|record| record.payload.unwrap());
        let found = bodies.map(|body| (json(&body), body));
        let mut found = found.filter(|(value, _)| value["event"]["id"] == wanted.as_str());
        let (value, body) = found.next().unwrap();
        (value["decision_id"].as_str().unwrap().to_owned(), body)
    }

    fn replay(&self, arguments: &[&str]) -> Output {
        let config = self.configuration();
        command().args(["replay", "-c", &config]).args(arguments).output().unwrap()
    }

    /// Files beside the snapshots with this ending; none where there is no place yet.
    fn files(&self, ending: &str) -> Vec<PathBuf> {
        let files = fs::read_dir(self.folder.path().join("snapshots/all")).into_iter().flatten();
        let files = files.map(|file| file.unwrap().path());
        files.filter(|file| file.extension().is_some_and(|it| it == ending)).collect()
    }

    /// Takes the snapshots away, and leaves the rule sets that lie beside them.
    fn remove_snapshots(&self) {
        let shards = fs::read_dir(self.folder.path().join("snapshots")).unwrap();
        let files = shards.flat_map(|shard| fs::read_dir(shard.unwrap().path()).unwrap());
        let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
        let snapshots = files.iter().filter(|file| file.extension().is_some_and(|it| it == "rws"));
        let removed = snapshots.map(|file| fs::remove_file(file).unwrap()).count();
        assert!(removed > 0, "{files:?}");
    }

    /// Replays the decision about a payment, which must be the same; what was said.
    #[track_caller]
    fn assert_same(&self, number: i64) -> String {
        let (id, _) = self.decision(number);
        let replayed = self.replay(&["--decision", &id]);
        let said = String::from_utf8(replayed.stderr).unwrap();
        let diff = String::from_utf8(replayed.stdout).unwrap();
        assert_eq!(
            (replayed.status.code(), diff.as_str()),
            (Some(0), ""),
            "payment {number}: {said}"
        );
        said
    }
}

fn payment(number: i64, n_partitions: i32) -> NewRecord {
    let at = 1_700_000_000_000 + number * 1_000;
    let body = format!(
        r#"{{"id":"p{number}","at":{at},"card":"c{}","device":"d{}","amount":"{}.00","currency":"EUR"}}"#,
        number % 5,
        number % 4,
        number % 20,
    );
    let partition = i32::try_from(number * 7 % 5).unwrap() % n_partitions;
    NewRecord::new(format!("c{}", number % 5), body, at).at_partition(partition)
}

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn decisions_are_derived_again_from_snapshots_and_from_the_beginning_by_the_rules_of_their_time() {
    let world = World::new("derived");
    world.decide(0..40, 2);
    world.decide(40..60, 2);
    world.write_rules(20);
    world.epoch.set(2);
    world.decide(60..90, 2);
    // WHY: nothing is asked of the first ones here. Whoever loses its partitions once more in a slow start leaves a snapshot of
    // nothing.
    for number in [0, 39] {
        world.assert_same(number);
    }
    for number in [40, 58] {
        let said = world.assert_same(number);
        assert!(said.contains("snapshot"), "payment {number}: {said}");
    }
    let (before, after) = (world.decision(59).1, world.decision(89).1);
    assert_ne!(json(&before)["ruleset"], json(&after)["ruleset"]);
    assert!(world.assert_same(60).contains(json(&after)["ruleset"].as_str().unwrap()));
    world.assert_same(89);
    let counted = |body: &[u8]| json(body)["score"].as_i64().unwrap();
    assert!(counted(&before) >= 10 && counted(&after) >= 20, "the windows say something");
    world.remove_snapshots();
    for number in [0, 39, 58] {
        let said = world.assert_same(number);
        assert!(said.contains("the beginning"), "payment {number}: {said}");
    }
}

#[test]
fn a_decision_by_any_earlier_rule_set_is_derived_again_though_commits_name_it_no_more() {
    let world = World::new("ancient");
    world.keep.set(2);
    // Twice the same rules with others between.
    let points = [10, 20, 30, 10, 50, 60, 70];
    world.decide_by(&points);
    let (_, note) = world.broker.commit_of(&world.topic("group"), &world.topic("in")).unwrap();
    assert!(!note.contains("=1:") && note.contains("7:"), "the first is forgotten: {note}");
    let score = |number: i64| json(&world.decision(number).1)["score"].as_i64().unwrap();
    for (at, points) in (0..).zip(points) {
        let mut scores = (at * 10..at * 10 + 10).map(score);
        assert!(at == 0 || scores.any(|score| score >= i64::from(points)), "rule set {at}");
        for number in [at * 10, at * 10 + 9] {
            world.assert_same(number);
        }
    }
    // Where the file of a rule set is gone, its folder is asked for, by the names that decisions know.
    let (id, decision) = world.decision(25);
    let ruleset = json(&decision)["ruleset"].as_str().unwrap().to_owned();
    for file in world.files("rwr") {
        fs::remove_file(file).unwrap();
    }
    let replayed = world.replay(&["--decision", &id]);
    let said = String::from_utf8(replayed.stderr).unwrap();
    assert_eq!(replayed.status.code(), Some(1), "{said}");
    assert!(said.contains("(epoch 1;") && said.contains("--past-rules DIR"), "{said}");
    let mut arguments = vec!["--decision".to_owned(), id];
    for points in [10, 20, 30] {
        let folder = world.folder.path().join(format!("past-{points}"));
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("rules.risk"), rules(points)).unwrap();
        if points == 30 {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let replayed = world.replay(&arguments);
            let said = String::from_utf8(replayed.stderr).unwrap();
            assert!(said.contains(&format!("(epoch 3; `ruleset` {ruleset}")), "{said}");
        }
        arguments.extend(["--past-rules".to_owned(), folder.to_str().unwrap().to_owned()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let replayed = world.replay(&arguments);
    let said = String::from_utf8(replayed.stderr).unwrap();
    assert_eq!((replayed.status.code(), &*replayed.stdout), (Some(0), &b""[..]), "{said}");
    // Without the announcements nobody knows what decided it.
    for record in world.broker.read(&world.topic("audit"), Isolation::Committed) {
        world.broker.delete_records(&world.topic("audit"), record.partition, record.offset + 1);
    }
    let replayed = world.replay(&arguments);
    let said = String::from_utf8(replayed.stderr).unwrap();
    assert_eq!(replayed.status.code(), Some(1), "{said}");
    assert!(said.contains("is not known") && said.contains(&world.topic("audit")), "{said}");
}

#[test]
fn a_changed_byte_of_a_decision_is_a_diff_and_a_lost_past_is_said() {
    let world = World::new("changed");
    // WHY: in one partition, because the other topic lacks the order of several.
    world.decide(0..30, 1);
    let (id, body) = world.decision(25);
    let text = String::from_utf8(body).unwrap();
    let changed = text.replacen("\"score\":1", "\"score\":2", 1);
    assert_ne!(changed, text);
    // Into another topic of decisions, without headers: what it answers is read from the body.
    world.broker.create_topic(&world.topic("changed"), 1);
    let record = NewRecord::new("k", changed.clone(), 1_700_000_000_000);
    world.broker.produce(&world.topic("changed"), &[record]);
    let topic = format!("topics.decisions={}", world.topic("changed"));
    let replayed = world.replay(&["--decision", &id, "--set", &topic]);
    let diff = String::from_utf8(replayed.stdout).unwrap();
    let (was, is) =
        (json(changed.as_bytes())["score"].clone(), json(text.as_bytes())["score"].clone());
    assert_eq!(diff, format!("- /score: {was}\n+ /score: {is}\n"));
    assert_eq!(replayed.status.code(), Some(1));
    // The same from files; a space more is a difference of bytes alone.
    let file = world.folder.path().join("decision.json");
    for (body, code, begin) in
        [(text.clone(), 0, ""), (changed, 1, "- /score"), (text.replacen(',', ", ", 1), 1, "- ")]
    {
        fs::write(&file, format!("{body}\n")).unwrap();
        let replayed = world.replay(&["--from", file.to_str().unwrap()]);
        let diff = String::from_utf8(replayed.stdout).unwrap();
        assert!(replayed.status.code() == Some(code) && diff.starts_with(begin), "{diff}");
    }
    let unknown = world.replay(&["--decision", "0123456789abcdef0123456789abcdef"]);
    let said = String::from_utf8(unknown.stderr).unwrap();
    assert_eq!(unknown.status.code(), Some(1));
    assert!(said.contains("no decision"), "{said}");
    world.broker.delete_records(&world.topic("in"), 0, 5);
    let replayed = world.replay(&["--decision", &id]);
    let said = String::from_utf8(replayed.stderr).unwrap();
    assert_eq!(replayed.status.code(), Some(1), "{said}");
    assert!(said.contains("does not reach back far enough"), "{said}");
}
