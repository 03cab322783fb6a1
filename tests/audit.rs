//! The chain of audit records through the engine: whole, the same after a restore and after a replay, one for each
//! partition.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;
use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Engine, EngineOptions, Input, Output, OutputTopic, Restore, Silence, Sink, SnapshotStatus,
};
use riskweir::rules::compile;
use riskweir::rules::program::Program;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Two stops in an hour trip the breaker.
fn program(points: u32) -> Arc<Program> {
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
  breaker 2 per 1h

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
    let mut engine = Engine::new(Arc::clone(program), EngineOptions::default()).unwrap();
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
