//! The operators' commands on a real Apache Kafka: `dlq`, `doctor`, `labels import` and `top` beside a running service, and
//! what a supervisor is told.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use support::binary::{Binary, command, wait_for};
use support::broker::Broker;
use support::topics::{Isolation, NewRecord, prefix};
use support::wait;

const OUTPUTS: [&str; 5] = ["decisions", "alerts", "holds", "audit", "dead_letter"];

const RULES: &str = r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   card    : card    from "/card"

rule any "any payment"
  id "R-1"  owner tests  severity low  mode live
  on pay
  when count(pay) by card over last 1h >= 2
  if missing skip
  then score +1 in all
"#;

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
        fs::write(world.path("rules/rules.risk"), RULES).unwrap();
        // Sound: it keeps every record, and no producer's clock may be further ahead than `time.future_guard`.
        let settings = [("retention.ms", "-1"), ("message.timestamp.after.max.ms", "300000")];
        world.broker.create_topic_with(&world.topic("in"), 2, &settings);
        for output in OUTPUTS {
            world.broker.create_topic(&world.topic(output), 1);
        }
        world
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn configuration(&self) -> String {
        let mut text = format!(
            "version: 1\nkafka:\n  brokers: [\"{}\"]\n  group_id: {}\nrules:\n  path: {}\nsnapshot:\n  dir: {}\nhttp:\n  listen: 127.0.0.1:0\ntopics:\n  inputs: [{}]\n",
            self.broker.address(),
            self.topic("group"),
            self.path("rules"),
            self.path("snapshots"),
            self.topic("in"),
        );
        for output in OUTPUTS {
            text.push_str(&format!("  {output}: {}\n", self.topic(output)));
        }
        fs::write(self.path("riskweir.yaml"), text).unwrap();
        self.path("riskweir.yaml")
    }

    fn called(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let config = self.configuration();
        let Output { status, stdout, stderr } =
            command().args(arguments).args(["-c", &config]).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code(), text(stdout), text(stderr))
    }

    /// What the topic of commands tells of people: act, about, who.
    fn acts(&self) -> Vec<[String; 3]> {
        let records = self.broker.read(&self.topic("commands"), Isolation::Committed);
        let act = |body: Vec<u8>| {
            let command: Value = serde_json::from_slice(&body).unwrap();
            riskweir::decision::command::Command::read(&body).unwrap();
            ["act", "about", "actor"].map(|name| command[name].as_str().unwrap().to_owned())
        };
        records.into_iter().filter_map(|record| record.payload).map(act).collect()
    }

    fn n(&self, topic: &str) -> usize {
        self.broker.read(&self.topic(topic), Isolation::Committed).len()
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn dead_letters_are_listed_masked_and_sent_again_once() {
    let world = World::new("dlq");
    let service = Binary::start(&["run", "-c", &world.configuration()]);
    let record = |text: &str, partition| {
        NewRecord::new("k", text, 1_700_000_000_000).at_partition(partition)
    };
    let bad = r#"{"id":"p1","at":"soon","card":"4111 1111"}"#;
    let records =
        [record(bad, 1), record("no json", 0), record(r#"{"id":"p2","at":1,"card":"c"}"#, 0)];
    world.broker.produce(&world.topic("in"), &records);
    wait::until(|| world.n("dead_letter") == 2, || service.describe());
    let (code, told, said) = world.called(&["dlq", "list", "--format", "json"]);
    assert_eq!(code, Some(0), "{said}");
    let found = lines(&told);
    assert_eq!(found.len(), 2, "{told}");
    let broken = found.iter().find(|it| it["source"]["partition"] == 1).unwrap();
    assert_eq!(
        (broken["source"]["offset"].as_i64(), broken["retried"].as_bool()),
        (Some(0), Some(false))
    );
    let at = broken["at"].as_str().unwrap();
    let (_, shown, _) = world.called(&["dlq", "show", at]);
    assert!(shown.contains(r#"{"id":"x0","at":"xxxx","card":"0000 0000"}"#), "{shown}");
    let (_, shown, said) = world.called(&["dlq", "show", "--reveal", at]);
    assert!(shown.contains(bad) && said.contains("does not say who did this"), "{shown}{said}");
    world.broker.create_topic(&world.topic("commands"), 1);
    let commands = format!("topics.commands={}", world.topic("commands"));
    let telling = ["--set", commands.as_str()];
    let (_, shown, said) = world.called(&[&["dlq", "show", "--reveal", at], &telling[..]].concat());
    assert!(shown.contains(bad) && !said.contains("does not say"), "{shown}{said}");
    let (code, _, _) = world.called(&["dlq", "show", "0/99"]);
    assert_eq!(code, Some(1));

    let (code, told, said) = world.called(&["dlq", "retry", at, "--dry-run"]);
    assert!(code == Some(0) && told.starts_with("1 record would be sent"), "{told}{said}");
    let (code, told, said) = world.called(&[&["dlq", "retry", at], &telling[..]].concat());
    assert!(code == Some(0) && told.starts_with("1 record sent again, 0 left out"), "{told}{said}");
    let acts: Vec<[String; 2]> =
        world.acts().into_iter().map(|[act, about, _]| [act, about]).collect();
    let place = format!("{}/{at}", world.topic("dead_letter"));
    assert_eq!(acts[0], ["dead_letter.shown".to_owned(), place]);
    assert!(acts.len() == 2 && acts[1][0] == "dead_letters.retried", "{acts:?}");
    // The same bytes in the same partition; dead again, for they are as bad as before. The mark stands between.
    wait::until(|| world.n("dead_letter") == 4, || service.describe());
    let sent = world.broker.read(&world.topic("in"), Isolation::Committed);
    let again: Vec<_> =
        sent.iter().filter(|it| it.payload.as_deref() == Some(bad.as_bytes())).collect();
    assert_eq!(again.iter().map(|it| it.partition).collect::<Vec<_>>(), [1, 1]);
    let (_, told, _) = world.called(&["dlq", "list", "--format", "json"]);
    let retried = lines(&told).into_iter().filter(|it| it["retried"] == true).count();
    assert_eq!((lines(&told).len(), retried), (3, 1), "{told}");
    let (_, told, _) = world.called(&["dlq", "retry", "--all", "--format", "json"]);
    assert_eq!(lines(&told)[0]["sent"], 2, "the one that was retried is left alone: {told}");
    let (code, _, said) = world.called(&["dlq", "retry"]);
    assert!(code == Some(2) && said.contains("--all"), "{said}");
    service.stop_in_order();
}

#[test]
fn the_doctor_finds_what_is_lacking_and_nothing_where_nothing_is() {
    let world = World::new("doctor");
    let service = Binary::start(&["run", "-c", &world.configuration()]);
    wait_for(&service, "/readyz", 200);
    let record = NewRecord::new("k", r#"{"id":"p2","at":1,"card":"c"}"#, 1_700_000_000_000);
    world.broker.produce(&world.topic("in"), &[record]);
    wait::until(|| world.n("decisions") == 1, || service.describe());
    let (code, told, said) =
        world.called(&["doctor", "--format", "json", "--http", &service.address]);
    assert_eq!(code, Some(0), "{told}{said}");
    let found = lines(&told);
    let of = |about: &str| -> Vec<String> {
        let of = found.iter().filter(|it| it["about"] == about);
        of.map(|it| it["what"].as_str().unwrap().to_owned()).collect()
    };
    assert!(found.iter().all(|it| it["verdict"] != "BAD"), "{told}");
    assert_eq!(of("topics").len(), 6, "{told}");
    assert!(of("service")[0].contains("ready"), "{told}");
    assert!(of("group")[0].contains("1 member") && of("group")[0].contains("Stable"), "{told}");
    assert!(of("clocks")[0].contains("no record"), "{told}");
    assert!(
        of("topics")[0].contains("2 partitions") && of("topics")[0].contains("retention.ms=-1"),
        "{told}"
    );
    service.stop_in_order();

    // A compacted input, a topic that is gone, a stamp from the future, and no service.
    let future = i64::try_from(
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis(),
    );
    let record = NewRecord::new("k", r#"{"id":"p3","at":1,"card":"c"}"#, future.unwrap() + 60_000);
    world.broker.produce(&world.topic("in"), &[record]);
    world.broker.create_topic_with(&world.topic("compact"), 1, &[("cleanup.policy", "compact")]);
    let inputs = format!("topics.inputs={},{}", world.topic("in"), world.topic("compact"));
    let alerts = format!("topics.alerts={}", world.topic("nowhere"));
    let (code, told, _) = world.called(&["doctor", "--set", &inputs, "--set", &alerts]);
    assert_eq!(code, Some(1), "{told}");
    for part in [
        "is compacted",
        "takes the producers' clocks for the arrival of records",
        "nowhere` is not there",
        "stamped more than 2 s",
        "1 record behind",
        "none answers",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

const LABELS: &str = r#"
event case from "cases"
  id    case_id  : text
  time  known_at : time
  field about    : text
  field outcome  : one of [confirmed, cleared, open]
  labels pay by about verdict outcome fraud [confirmed] genuine [cleared]
"#;

/// A table of 24 frauds, 8 payments that were genuine, and one of which nothing is known yet.
fn closed_cases() -> String {
    let row = |n: usize| {
        let outcome = match n {
            1..=24 => "confirmed",
            33 => "open",
            _ => "cleared",
        };
        format!("p{n},2026-03-02T12:00:00Z,{outcome}\n")
    };
    format!("about,known_at,outcome\n{}", (1..=33).map(row).collect::<String>())
}

/// `n` payments of one card, a second apart from a day on.
fn payments(n: i64, day_ms: i64) -> Vec<NewRecord> {
    let payment = |n: i64| {
        let body = format!(r#"{{"id":"p{n}","at":{},"card":"c"}}"#, day_ms + n * 1_000);
        NewRecord::new("c", body, day_ms).at_partition(0)
    };
    (0..n).map(payment).collect()
}

#[test]
fn labels_from_a_file_are_counted_once_however_often_it_is_imported() {
    let world = World::new("labels");
    let cases = world.topic("cases");
    world.broker.create_topic(&cases, 1);
    let rules = RULES.replace("\"payments\"", &format!("\"{}\"", world.topic("in")));
    let labels = LABELS.replace("\"cases\"", &format!("\"{cases}\""));
    fs::write(world.path("rules/rules.risk"), format!("{labels}{rules}")).unwrap();
    let inputs = format!("topics.inputs={},{cases}", world.topic("in"));
    let service = Binary::start(&["run", "-c", &world.configuration(), "--set", &inputs]);
    wait_for(&service, "/readyz", 200);
    // Forty payments of one card: `any` hits all but the first.
    let pays = payments(40, 1_772_445_600_000);
    world.broker.produce(&world.topic("in"), &pays);
    wait::until(|| world.n("decisions") == 40, || service.describe());

    // Of those that were hit 24 are fraud and 8 are not; of one nothing is known yet.
    let file = world.path("closed.csv");
    fs::write(&file, closed_cases()).unwrap();
    let commands = format!("topics.commands={}", world.topic("commands"));
    world.broker.create_topic(&world.topic("commands"), 1);
    let import = |more: &[&str]| {
        let arguments = [
            "labels", "import", "--input", &file, "--set", &inputs, "--format", "json", "--set",
            &commands,
        ];
        let (code, told, said) = world.called(&[&arguments, more].concat());
        assert_eq!(code, Some(0), "{told}{said}");
        lines(&told).remove(0)
    };
    let told = import(&["--dry-run"]);
    assert_eq!((told["labels"].as_u64(), told["sent"].as_u64()), (Some(33), Some(0)), "{told}");
    assert!(world.broker.read(&cases, Isolation::Committed).is_empty());
    assert_eq!(world.acts().len(), 0, "nothing was done");
    let figures = || {
        let verdict = |verdict: &str| {
            let labels = format!(r#"{{mode="live",rule="any",verdict="{verdict}"}}"#);
            service.metric(&format!("riskweir_rule_labelled_events{labels}"))
        };
        let came = ["fraud", "genuine", "open"].map(|verdict| {
            let labels = format!(r#"{{event="case",found="acted",verdict="{verdict}"}}"#);
            service.metric(&format!("riskweir_labels_total{labels}"))
        });
        (verdict("fraud"), verdict("genuine"), came)
    };
    let expected = (Some(24.0), Some(8.0), [Some(24.0), Some(8.0), Some(1.0)]);
    for n_decisions in [73, 106] {
        let told = import(&[]);
        assert_eq!(told["sent"], 33, "{told}");
        assert_eq!(told["findings"], serde_json::json!({"fraud": 24, "genuine": 8, "open": 1}));
        wait::until(|| world.n("decisions") == n_decisions, || service.describe());
        wait::until(|| figures() == expected, || format!("{:?}", figures()));
    }
    // Each import is told, with who did it.
    let acts = world.acts();
    assert_eq!(acts.len(), 2, "{acts:?}");
    let [act, about, actor] = &acts[0];
    assert_eq!((act.as_str(), about.as_str()), ("labels.imported", "33 labels of closed.csv"));
    assert!(actor.starts_with("cli:") && actor.len() > 4, "{actor}");
    let decisions = world.broker.read(&world.topic("decisions"), Isolation::Committed);
    let repeated = decisions.iter().filter(|it| {
        let decision: Value = serde_json::from_slice(it.payload.as_deref().unwrap()).unwrap();
        decision["duplicate"] == true
    });
    assert_eq!(repeated.count(), 33, "the second time each is known to have been there");
    service.stop_in_order();
}

#[test]
fn top_tells_rates_and_a_supervisor_is_told_when_the_service_is_ready_and_stops() {
    let world = World::new("top");
    let socket = world.path("notify");
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let heard = || {
        let mut bytes = [0; 64];
        let n = listener.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..n].to_vec()).unwrap()
    };
    let mut run = command();
    run.args(["run", "-c", &world.configuration()]).env("NOTIFY_SOCKET", &socket);
    let service = Binary::start_command(run);
    assert_eq!(heard(), "READY=1");
    assert_eq!(service.get("/readyz").0, 200);
    let (code, told, said) =
        world.called(&["top", "--http", &service.address, "--interval", "200ms", "--count", "2"]);
    assert_eq!((code, told.lines().count()), (Some(0), 2), "{told}{said}");
    assert!(told.starts_with("read 0/s  decided 0/s") && told.contains("holds 0"), "{told}");
    let (_, told, _) = world.called(&[
        "top",
        "--http",
        &service.address,
        "--interval",
        "200ms",
        "--count",
        "1",
        "--format",
        "json",
    ]);
    assert_eq!(lines(&told)[0]["lag_records"].as_f64(), Some(0.0));
    service.signal("-TERM");
    assert_eq!(heard(), "STOPPING=1");
    assert_eq!(service.ended().0, Some(0));
    let (code, _, said) = world.called(&["top", "--http", "127.0.0.1:9", "--count", "1"]);
    assert!(code == Some(3) && said.contains("no service answers"), "{said}");
}
