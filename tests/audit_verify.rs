//! `riskweir audit` on a real Apache Kafka: a service that signs, is killed and restarted, and whoever verifies its topics
//! with the public key alone.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::process::Output;

use serde_json::Value;

use support::binary::{Binary, command};
use support::broker::Broker;
use support::topics::{Isolation, NewRecord, prefix};
use support::wait;

const OUTPUTS: [&str; 6] = ["decisions", "alerts", "holds", "audit", "dead_letter", "checkpoints"];

fn rules(points: u32) -> String {
    format!(
        r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   card    : card    from "/card"

rule any "any payment"
  id "R-1"  owner tests  severity low  mode live
  on pay
  when count(pay) by card over last 1h >= 2
  if missing skip
  then score +{points} in all
"#
    )
}

struct World {
    broker: &'static Broker,
    prefix: String,
    folder: tempfile::TempDir,
}

impl World {
    fn new(test: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let world = Self { broker: Broker::shared(), prefix: prefix(test), folder };
        fs::create_dir(world.path("rules")).unwrap();
        world.write_rules(1);
        world.broker.create_topic_with(&world.topic("in"), 2, &[("retention.ms", "-1")]);
        world.broker.create_topic(&world.topic("commands"), 1);
        for output in OUTPUTS {
            world.broker.create_topic(&world.topic(output), 2);
        }
        let made = command().args(["audit", "keygen", &world.path("key.pem")]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let again = command().args(["audit", "keygen", &world.path("key.pem")]).output().unwrap();
        assert_eq!(again.status.code(), Some(1), "nothing is written over");
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn write_rules(&self, points: u32) {
        fs::write(self.path("rules/rules.risk"), rules(points)).unwrap();
    }

    fn configuration(&self, mode: &str) -> String {
        let mut text = format!(
            "version: 1\nkafka:\n  brokers: [\"{}\"]\n  group_id: {}\n  session_timeout: 6s\nrules:\n  path: {}\nsnapshot:\n  dir: {}\n  interval: 200ms\nhttp:\n  listen: 127.0.0.1:0\naudit:\n  key_file: {}\ndelivery:\n  mode: {mode}\ntopics:\n  inputs: [{}]\n  commands: {}\n",
            self.broker.address(),
            self.topic("group"),
            self.path("rules"),
            self.path("snapshots"),
            self.path("key.pem"),
            self.topic("in"),
            self.topic("commands"),
        );
        for output in OUTPUTS {
            text.push_str(&format!("  {output}: {}\n", self.topic(output)));
        }
        fs::write(self.path("riskweir.yaml"), text).unwrap();
        self.path("riskweir.yaml")
    }

    /// Payments in both partitions, and a command about a hold that nobody placed: refused, and told on the audit topic.
    fn produce(&self, numbers: std::ops::Range<i64>) {
        let (mut payments, mut commands) = (Vec::new(), Vec::new());
        for number in numbers {
            let at = 1_700_000_000_000 + number * 1_000;
            let body = format!(r#"{{"id":"p{number}","at":{at},"card":"c{}"}}"#, number % 3);
            let partition = i32::try_from(number % 2).unwrap();
            payments.push(NewRecord::new("k", body, at).at_partition(partition));
            let body = format!(
                r#"{{"schema":"riskweir.command.v1","command_id":"c{number}","kind":"hold.release","hold_id":"0123456789abcdef0123456789abcdef","actor":"ann","reason":"called"}}"#
            );
            commands.push(NewRecord::new("k", body, at));
        }
        self.broker.produce(&self.topic("in"), &payments);
        self.broker.produce(&self.topic("commands"), &commands);
    }

    fn bodies(&self, topic: &str) -> Vec<Vec<u8>> {
        let records = self.broker.read(&self.topic(topic), Isolation::Committed);
        records.into_iter().filter_map(|record| record.payload).collect()
    }

    fn verify(&self, arguments: &[&str]) -> (Option<i32>, Value) {
        let Output { status, stdout, stderr } = command()
            .args(["audit", "verify", "--format", "json", "--key", &self.path("key.pem.pub")])
            .args(arguments)
            .output()
            .unwrap();
        let told = serde_json::from_slice(&stdout).ok();
        (status.code(), told.unwrap_or_else(|| Value::from(String::from_utf8_lossy(&stderr))))
    }
}

fn count(world: &World) -> usize {
    let mut commands: Vec<Vec<u8>> = world.bodies("audit");
    commands.retain(|body| String::from_utf8_lossy(body).contains(r#""kind":"command""#));
    commands.sort();
    commands.dedup();
    commands.len()
}

fn signs_what_it_writes(mode: &str) {
    let world = World::new(mode);
    let config = world.configuration(mode);
    let mut done = 0;
    for round in 0..3 {
        let service = Binary::start(&["run", "-c", &config]);
        world.produce(done..done + 20);
        done += 20;
        let wanted = usize::try_from(done).unwrap();
        wait::until(|| count(&world) == wanted || service.has_ended(), || service.describe());
        assert!(service.metric("riskweir_audit_seq").unwrap() >= 20.0, "{}", service.describe());
        assert!(service.metric("riskweir_audit_anchor_timestamp_seconds").unwrap() > 1e9);
        if round == 1 {
            service.kill();
        } else {
            service.stop_in_order();
        }
        world.write_rules(u32::try_from(round).unwrap() + 2);
    }
    let (code, told) = world.verify(&["-c", &config]);
    assert_eq!(code, Some(0), "{told:#}");
    let chains = told["chains"].as_array().unwrap();
    let of_commands =
        chains.iter().find(|chain| chain["topic"] == world.topic("commands").as_str());
    assert!(of_commands.unwrap()["last_seq"].as_u64().unwrap() >= 60, "{told:#}");

    // From files; then a record is changed, and the newest are cut off.
    let write = |name: &str, bodies: &[Vec<u8>]| {
        fs::write(world.path(name), bodies.join(&b'\n')).unwrap();
        world.path(name)
    };
    let mut audit = world.bodies("audit");
    let checkpoints = write("checkpoints.ndjson", &world.bodies("checkpoints"));
    let file = write("audit.ndjson", &audit);
    let (code, told) = world.verify(&["--audit", &file, "--checkpoints", &checkpoints]);
    assert_eq!(code, Some(0), "{told:#}");
    let at =
        audit.iter().position(|body| String::from_utf8_lossy(body).contains("\"c33\"")).unwrap();
    let body = String::from_utf8(audit[at].clone()).unwrap();
    let seq = serde_json::from_str::<Value>(&body).unwrap()["chain"]["seq"].clone();
    let sound = core::mem::replace(&mut audit[at], body.replace("ann", "bob").into_bytes());
    let file = write("audit.ndjson", &audit);
    let (code, told) = world.verify(&["--audit", &file, "--checkpoints", &checkpoints]);
    assert_eq!((code, &told["problems"][0]["seq"]), (Some(1), &seq), "{told:#}");
    audit[at] = sound;
    // What retention took of the commands' chain, and all of it: told, and no fault.
    let of_commands = |body: &Vec<u8>| {
        let body: Value = serde_json::from_slice(body).unwrap();
        let chain = &body["chain"];
        (chain["topic"] == world.topic("commands").as_str()).then(|| chain["seq"].as_u64().unwrap())
    };
    for kept_from in [20, u64::MAX] {
        let mut left = audit.clone();
        left.retain(|body| of_commands(body).is_none_or(|seq| seq >= kept_from));
        let file = write("trimmed.ndjson", &left);
        let files = ["--audit", &file, "--checkpoints", &checkpoints];
        assert_eq!(world.verify(&files).0, Some(1));
        let (code, told) = world.verify(&[&files[..], &["--trimmed"]].concat());
        assert_eq!((code, &told["problems"]), (Some(0), &Value::Array(Vec::new())), "{told:#}");
        let unproven = told["unproven"].as_array().unwrap().len();
        assert_eq!(unproven, usize::from(kept_from > 20), "{told:#}");
        // Without checkpoints nobody says what came before.
        let (code, told) = world.verify(&["--audit", &file, "--trimmed"]);
        assert_eq!(code, Some(1), "nobody signed them: {told:#}");
    }
    let last =
        audit.iter().rposition(|body| String::from_utf8_lossy(body).contains("\"c59\"")).unwrap();
    audit.remove(last);
    let file = write("audit.ndjson", &audit);
    let (code, told) = world.verify(&["--audit", &file, "--checkpoints", &checkpoints]);
    assert_eq!(code, Some(1), "{told:#}");
}

#[test]
fn with_transactions_a_killed_and_restarted_service_signs_one_chain_that_verifies() {
    signs_what_it_writes("transactional");
}

#[test]
fn without_transactions_a_killed_and_restarted_service_signs_one_chain_that_verifies() {
    signs_what_it_writes("idempotent");
}
