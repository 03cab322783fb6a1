//! The chain of audit records through the engine: whole, the same after a restore and after a replay, one for each
//! partition.
#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use riskweir::audit::outputs::{At, Checked, Kind, Written};
use riskweir::audit::{Report, Verifier};
use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Audited, Engine, EngineOptions, Input, Output, OutputTopic, Restore, Silence, Sink,
    SnapshotStatus,
};
use riskweir::rules::compile;
use riskweir::rules::program::Program;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Two stops in an hour trip the breaker.
fn program(points: u32) -> Arc<Program> {
    program_with(points, "breaker 2 per 1h")
}

fn program_with(points: u32, breaker: &str) -> Arc<Program> {
    let text = format!(
        r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   card    : card    from "/card"
  field amount  : money   from "/amount" currency "/currency"

policy decisions
  base currency EUR
  timezone "UTC"
  {breaker}

rule large "large payment"
  id "R-1"  owner tests  severity high  mode live
  on pay
  when amount >= 100.00 EUR
  if missing skip
  then hold for 30m otherwise release reason "a large payment"

rule any "any payment"
  id "R-2"  owner tests  severity low  mode live
  on pay
  when amount >= 1.00 EUR
  if missing skip
  then score +{points} in all
"#
    );
    let files = vec![Source { path: "rules.risk".to_owned(), text }];
    let (program, found) = compile(&Sources::of(files));
    assert!(program.is_some(), "{found:#?}");
    Arc::new(program.unwrap())
}

/// A record: its topic, partition, offset and body.
type Record = (&'static str, i32, i64, String);

/// Payments in two partitions, some of which are stopped, and commands.
fn records() -> Vec<Record> {
    let mut next: BTreeMap<(&str, i32), i64> = BTreeMap::new();
    let mut all = Vec::new();
    for n in 0..60_i64 {
        let (topic, partition, body) = if n % 7 == 6 {
            let body = format!(
                r#"{{"schema":"riskweir.command.v1","command_id":"c{n}","kind":"hold.release","hold_id":"0123456789abcdef0123456789abcdef","actor":"ann","reason":"called"}}"#
            );
            ("commands", 0, body)
        } else {
            let amount = if n % 5 == 0 { 100 } else { 10 };
            let body = format!(
                r#"{{"id":"p{n}","at":{},"card":"c{}","amount":"{amount}.00","currency":"EUR"}}"#,
                1_700_000_000_000_i64 + n * 60_000,
                n % 3
            );
            ("payments", i32::try_from(n % 2).unwrap(), body)
        };
        let offset = next.entry((topic, partition)).or_default();
        all.push((topic, partition, *offset, body));
        *offset += 1;
    }
    all
}

fn engine(program: &Arc<Program>) -> Engine {
    engine_with(program, Audited::default())
}

fn engine_with(program: &Arc<Program>, audited: Audited) -> Engine {
    let options = EngineOptions { audited, ..EngineOptions::default() };
    let mut engine = Engine::new(Arc::clone(program), options).unwrap();
    engine.take_commands_from("commands");
    engine
}

fn feed(engine: &mut Engine, records: &[Record], sink: &mut impl Sink) {
    for (topic, partition, offset, body) in records {
        let stream = engine.open_stream(topic, *partition);
        let payload = Some(body.as_bytes());
        let input = Input { stream, offset: *offset, arrival_ms: None, payload };
        engine.announce(&input, sink);
        engine.step(&input, sink);
    }
}

fn restored(engine: &mut Engine, program: &Arc<Program>) -> Engine {
    let mut bytes = Vec::new();
    engine.begin_snapshot();
    while engine.snapshot_part(1 << 20, &mut bytes) == SnapshotStatus::More {}
    let mut restore = Restore::new(Arc::clone(program), EngineOptions::default());
    restore.part(&bytes).unwrap();
    let mut engine = restore.finish().unwrap();
    engine.take_commands_from("commands");
    engine
}

fn audit(outputs: Vec<Output>) -> Vec<Vec<u8>> {
    let of_audit = outputs.into_iter().filter(|output| output.topic == OutputTopic::Audit);
    of_audit.map(|output| output.body).collect()
}

fn hex(body: &[u8]) -> String {
    let digits = |byte: &u8| {
        [byte >> 4, byte & 15].map(|it| char::from(b"0123456789abcdef"[usize::from(it)]))
    };
    Sha256::digest(body).iter().flat_map(digits).collect()
}

/// The chains by hand: the bodies of each partition, in order.
fn chains(bodies: &[Vec<u8>]) -> BTreeMap<(String, i64), Vec<Vec<u8>>> {
    let mut chains: BTreeMap<(String, i64), Vec<Vec<u8>>> = BTreeMap::new();
    for body in bodies {
        let value: Value = serde_json::from_slice(body).unwrap();
        let chain = &value["chain"];
        let name =
            (chain["topic"].as_str().unwrap().to_owned(), chain["partition"].as_i64().unwrap());
        let known = chains.entry(name).or_default();
        let prev = known.last().map_or_else(|| "0".repeat(64), |last| hex(last));
        assert_eq!(chain["prev"].as_str().unwrap(), prev);
        assert_eq!(chain["seq"].as_u64().unwrap(), known.len() as u64 + 1);
        known.push(body.clone());
    }
    chains
}

#[test]
fn audit_records_of_each_partition_are_one_chain_that_a_restore_and_a_replay_go_on_with() {
    let (program, other) = (program(1), program(2));
    let records = records();
    let mut whole = engine(&program);
    let mut expected: Vec<Output> = Vec::new();
    feed(&mut whole, &records[..30], &mut expected);
    whole.activate(Arc::clone(&other)).unwrap();
    feed(&mut whole, &records[30..], &mut expected);
    let expected = audit(expected);
    let known = chains(&expected);
    // Announced at the first record of each partition, and at the first after record 30; tripped in one of them; every command
    // answered.
    let kinds = |name: (&str, i64)| -> Vec<String> {
        let bodies = &known[&(name.0.to_owned(), name.1)];
        let kind = |body: &Vec<u8>| serde_json::from_slice::<Value>(body).unwrap()["kind"].clone();
        bodies.iter().map(|body| kind(body).as_str().unwrap().to_owned()).collect()
    };
    for partition in [("payments", 0), ("payments", 1), ("commands", 0)] {
        let announced = kinds(partition).iter().filter(|kind| *kind == "ruleset_active").count();
        assert_eq!((announced, &*kinds(partition)[0]), (2, "ruleset_active"), "{partition:?}");
    }
    let answers = kinds(("commands", 0));
    assert_eq!(answers.iter().filter(|kind| *kind == "command").count(), 8);
    assert!(expected.iter().any(|body| String::from_utf8_lossy(body).contains("rule_tripped")));

    for cut in [0, 1, 7, 29, 30] {
        // What was decided before the cut is read again in silence; then the state goes through a snapshot.
        let mut again = engine(&program);
        feed(&mut again, &records[..cut], &mut Silence);
        let mut again = restored(&mut again, &program);
        let mut outputs: Vec<Output> = Vec::new();
        feed(&mut again, &records[cut..30], &mut outputs);
        again.activate(Arc::clone(&other)).unwrap();
        // A rule set that becomes active a second time is no news.
        again.activate(Arc::clone(&other)).unwrap();
        feed(&mut again, &records[30..], &mut outputs);
        let outputs = audit(outputs);
        assert!(expected.ends_with(&outputs), "cut at {cut}");
        let standing = |engine: &Engine| -> Vec<(String, i32, u64, String)> {
            let chains = engine.audit_chains();
            chains
                .map(|(at, link)| (at.topic.clone(), at.partition, link.seq, link.last.hex()))
                .collect()
        };
        assert_eq!(standing(&again), standing(&whole));
    }
}

/// A replay may read the partitions of an engine in another order than they were read before.
#[test]
fn the_chain_of_a_partition_does_not_hang_on_the_order_in_which_partitions_are_read() {
    let program = program(1);
    // Nothing is stopped, so no breaker trips: that may hang on the order.
    let small = |(topic, partition, offset, body): Record| {
        (topic, partition, offset, body.replace("\"100.00\"", "\"10.00\""))
    };
    let records: Vec<Record> = records().into_iter().map(small).collect();
    let mut by_partition = records.clone();
    by_partition.sort_by_key(|(topic, partition, ..)| (*topic, *partition));
    let mut backwards = by_partition.clone();
    backwards.sort_by_key(|(topic, partition, ..)| core::cmp::Reverse((*topic, *partition)));
    let of = |records: &[Record]| {
        let mut outputs: Vec<Output> = Vec::new();
        feed(&mut engine(&program), records, &mut outputs);
        chains(&audit(outputs))
    };
    let expected = of(&records);
    assert_eq!(expected.len(), 3);
    assert_eq!(of(&by_partition), expected);
    assert_eq!(of(&backwards), expected);
}

/// What stands in three topics.
#[derive(Clone, Debug)]
struct Topics {
    audit: Vec<Vec<u8>>,
    /// By kind.
    outputs: BTreeMap<Kind, Vec<Vec<u8>>>,
}

impl Topics {
    /// Of the records above; one hold is put off and then let go by command.
    fn of(audited: Audited) -> Self {
        let mut engine = engine_with(&program_with(1, ""), audited);
        let mut out: Vec<Output> = Vec::new();
        feed(&mut engine, &records(), &mut out);
        let holds = out.iter().filter(|output| output.topic == OutputTopic::Holds);
        let holds = holds.map(|output| serde_json::from_slice::<Value>(&output.body).unwrap());
        let hold = holds.rev().find(|hold| hold["state"] == "placed").unwrap();
        let id = hold["hold_id"].as_str().unwrap();
        let command = |(at, more): (i64, &str)| -> Record {
            let body = format!(
                r#"{{"schema":"riskweir.command.v1","command_id":"d{at}","hold_id":"{id}","actor":"ann","reason":"called",{more}}}"#
            );
            ("commands", 0, at, body)
        };
        let extend = r#""kind":"hold.extend","deadline_at":"2023-11-15T20:00:00Z""#;
        let steps = [(100, extend), (101, r#""kind":"hold.release""#)].map(command);
        feed(&mut engine, &steps, &mut out);
        let of = |topic: OutputTopic| -> Vec<Vec<u8>> {
            let its = out.iter().filter(|output| output.topic == topic);
            its.map(|output| output.body.clone()).collect()
        };
        let outputs = [(Kind::Decision, OutputTopic::Decisions), (Kind::Hold, OutputTopic::Holds)];
        let outputs = outputs.map(|(kind, topic)| (kind, of(topic))).into_iter().collect();
        Self { audit: of(OutputTopic::Audit), outputs }
    }

    fn verify(&self, trimmed: Option<Kind>) -> Report {
        let mut verifier = Verifier::new(Vec::new()).with_outputs();
        self.audit.iter().for_each(|body| verifier.record(body));
        for (kind, bodies) in &self.outputs {
            for (offset, body) in (0..).zip(bodies) {
                let at = At { topic: kind.word().to_owned(), partition: 0, offset };
                verifier.output(Written { kind: *kind, at, answers: None, body }, true);
            }
        }
        if let Some(kind) = trimmed {
            verifier.output_trimmed(kind, 0);
        }
        verifier.finish()
    }

    /// The same with another list of one kind.
    fn with(&self, kind: Kind, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Self {
        let mut changed = self.clone();
        change(changed.outputs.get_mut(&kind).unwrap());
        changed
    }
}

fn is_stopped(body: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(body).unwrap();
    body["outcome"] != "pass"
}

/// The place of the only problem's record, and how it is told.
#[track_caller]
fn only(report: &Report) -> (Option<i64>, &str) {
    let [problem] = &report.problems[..] else { panic!("{:#?}", report.problems) };
    (problem.record.as_ref().map(|at| at.offset), &problem.what)
}

/// The digests that stand in the chains, each with what it is of, by hand.
#[test]
fn every_hold_step_and_every_stopped_decision_has_its_entry_and_a_command_carries_that_of_its_step()
{
    let topics = Topics::of(Audited::Stopped);
    let mut entries: BTreeMap<String, String> = BTreeMap::new();
    let mut chained = 0;
    for body in &topics.audit {
        let body: Value = serde_json::from_slice(body).unwrap();
        let text = |path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
        for (id, state, sha256) in [
            ("/decision/decision_id", "/decision/outcome", "/decision/sha256"),
            ("/hold/hold_id", "/hold/state", "/hold/sha256"),
            ("/command/hold_id", "/command/state", "/command/hold_sha256"),
        ] {
            if let Some(sha256) = text(sha256) {
                let said = format!("{} {}", text(id).unwrap(), text(state).unwrap());
                assert_eq!(entries.insert(sha256, said), None);
                chained += usize::from(body["kind"] == "command");
            }
        }
    }
    assert_eq!(chained, 2, "the steps that were asked for");
    let mut expected: BTreeMap<String, String> = BTreeMap::new();
    for (kind, bodies) in &topics.outputs {
        for body in bodies.iter().filter(|body| *kind == Kind::Hold || is_stopped(body)) {
            let value: Value = serde_json::from_slice(body).unwrap();
            let [id, state] = match kind {
                Kind::Decision => ["decision_id", "outcome"],
                Kind::Hold => ["hold_id", "state"],
            }
            .map(|name| value[name].as_str().unwrap());
            expected.insert(hex(body), format!("{id} {state}"));
        }
    }
    assert!(expected.len() > 8, "{expected:#?}");
    assert_eq!(entries, expected);
    let announced: Value = serde_json::from_slice(&topics.audit[0]).unwrap();
    assert_eq!(announced["decisions"], "stopped");
}

#[test]
fn a_decision_or_hold_that_is_changed_taken_out_or_added_is_found_with_its_place() {
    let sound = Topics::of(Audited::Stopped);
    let report = sound.verify(None);
    assert_eq!(report.problems, []);
    let n_stopped = sound.outputs[&Kind::Decision].iter().filter(|body| is_stopped(body)).count();
    for (kind, proved) in
        [(Kind::Decision, n_stopped), (Kind::Hold, sound.outputs[&Kind::Hold].len())]
    {
        let records = sound.outputs[&kind].len() as u64;
        assert_eq!(report.outputs[&kind], Checked { records, proved: proved as u64 });
        for at in 0..sound.outputs[&kind].len() {
            let body = sound.outputs[&kind][at].clone();
            let offset = i64::try_from(at).unwrap();
            let replaced = |from: &str, to: &str| {
                let text = String::from_utf8(body.clone()).unwrap().replacen(from, to, 1);
                assert_ne!(text.as_bytes(), body);
                sound.with(kind, |bodies| bodies[at] = text.into_bytes()).verify(None)
            };
            // What delivery writes a second time is the same.
            let twice = sound.with(kind, |bodies| bodies.insert(at, body.clone())).verify(None);
            assert_eq!(twice.problems, []);
            if kind == Kind::Decision && !is_stopped(&body) {
                // It has no entry, so only one who makes it stop money is found.
                assert_eq!(replaced("\"score\":1", "\"score\":2").problems, []);
                let report = replaced("\"outcome\":\"pass\"", "\"outcome\":\"block\"");
                let (place, what) = only(&report);
                assert!(place == Some(offset) && what.contains("has no entry"), "{what}");
                continue;
            }
            let (from, to) = if kind == Kind::Decision {
                ("\"outcome\":\"hold\"", "\"outcome\":\"pass\"")
            } else {
                ("\"placed_by\":[\"R-1\"]", "\"placed_by\":[\"R-2\"]")
            };
            let report = replaced(from, to);
            let (place, what) = only(&report);
            assert!(place == Some(offset) && what.contains("it was changed"), "{what}");
            let gone = sound.with(kind, |bodies| drop(bodies.remove(at))).verify(None);
            let (place, what) = only(&gone);
            assert!(place.is_none() && what.contains("no record is as the entry"), "{what}");
            let id = if kind == Kind::Decision { "decision_id\":\"" } else { "hold_id\":\"" };
            let text = String::from_utf8(body.clone()).unwrap();
            let (before, after) = text.split_once(id).unwrap();
            let forged = format!("{before}{id}{}{}", "f".repeat(32), &after[32..]);
            let added = sound.with(kind, |bodies| bodies.push(forged.into_bytes())).verify(None);
            let (place, what) = only(&added);
            assert_eq!(place, Some(i64::try_from(sound.outputs[&kind].len()).unwrap()), "{what}");
        }
    }
}

/// Whoever moves money obeys the last record of a hold.
#[test]
fn a_record_of_a_hold_that_is_moved_or_written_again_behind_a_later_one_is_found() {
    let sound = Topics::of(Audited::Stopped);
    let holds = &sound.outputs[&Kind::Hold];
    let said = |body: &[u8]| -> [String; 2] {
        let body: Value = serde_json::from_slice(body).unwrap();
        ["hold_id", "state"].map(|name| body[name].as_str().unwrap().to_owned())
    };
    // By hand: one hold was placed, put off and let go; it stands last.
    let [id, state] = said(holds.last().unwrap());
    assert_eq!(state, "released");
    let steps: Vec<usize> = (0..holds.len()).filter(|at| said(&holds[*at])[0] == id).collect();
    let [placed, extended, released] = steps[..] else { panic!("{steps:?}") };
    for again in [placed, extended] {
        let report = sound.with(Kind::Hold, |all| all.push(all[again].clone())).verify(None);
        let (place, what) = only(&report);
        assert_eq!(place, Some(i64::try_from(holds.len()).unwrap()), "{what}");
        assert!(what.contains("came later and says released"), "{what}");
        // All that came behind it written again as well is what delivery does.
        let suffix = |all: &mut Vec<Vec<u8>>| all.extend_from_within(again..);
        assert_eq!(sound.with(Kind::Hold, suffix).verify(None).problems, []);
    }
    let swapped = sound.with(Kind::Hold, |all| all.swap(extended, released)).verify(None);
    assert!(only(&swapped).1.contains("came later and says released"), "{swapped:?}");
}

#[test]
fn with_entries_for_all_decisions_every_change_is_found_and_with_none_no_decision_is_asked_for() {
    let all = Topics::of(Audited::All);
    assert_eq!(all.verify(None).problems, []);
    for at in 0..all.outputs[&Kind::Decision].len() {
        let report = all
            .with(Kind::Decision, |bodies| {
                let text = String::from_utf8(bodies[at].clone()).unwrap();
                bodies[at] = text.replacen("\"score\":1", "\"score\":2", 1).into_bytes();
            })
            .verify(None);
        assert_eq!(only(&report).0, Some(i64::try_from(at).unwrap()));
    }
    let none = Topics::of(Audited::None);
    assert_eq!(none.with(Kind::Decision, Vec::clear).verify(None).problems, []);
    assert_ne!(none.with(Kind::Hold, Vec::clear).verify(None).problems, []);
}

#[test]
fn what_a_retention_took_of_a_topic_is_told_and_no_fault() {
    let sound = Topics::of(Audited::Stopped);
    for kind in [Kind::Decision, Kind::Hold] {
        // All but the two newest that stopped money.
        let stopped = |body: &Vec<u8>| kind == Kind::Hold || is_stopped(body);
        let kept = sound.outputs[&kind].iter().rposition(stopped).unwrap();
        let trimmed = sound.with(kind, |bodies| drop(bodies.drain(..kept)));
        assert_ne!(trimmed.verify(None).problems, []);
        let report = trimmed.verify(Some(kind));
        assert_eq!(report.problems, [], "{kind:?}");
        assert!(report.unproven.iter().any(|it| it.what.contains("gone with the oldest")));
    }
}
