//! The real binary as a service on a real Apache Kafka: start-up lines, health, metrics, signals, exit codes.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, ExitStatus, Output, Stdio};

use support::broker::Broker;
use support::topics::{Isolation, NewRecord, prefix};
use support::wait;

const OUTPUTS: [&str; 5] = ["decisions", "alerts", "holds", "audit", "dead_letter"];

/// A rule set of one event and one rule: whoever pays 100.00 EUR or more is held.
const RULES: &str = r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   account : account from "/account"
  field amount  : money   from "/amount" currency "/currency"

policy decisions
  base currency EUR
  timezone "UTC"

rule large "large payment"
  id "R-1"  owner tests  severity high  mode live
  on pay
  when amount >= 100.00 EUR
  if missing skip
  then hold for 30m otherwise release reason "a large payment"
"#;

struct World<'a> {
    broker: &'a Broker,
    prefix: String,
    folder: tempfile::TempDir,
}

impl World<'_> {
    fn new(test: &str) -> Self {
        let broker = Broker::shared();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("rules.risk"), RULES).unwrap();
        let world = Self { broker, prefix: prefix(test), folder };
        // WHY: the records carry times of 2023; a broker that counts their age would delete them.
        world.broker.create_topic_with(&world.topic("in"), 1, &[("retention.ms", "-1")]);
        for output in OUTPUTS {
            world.broker.create_topic(&world.topic(output), 1);
        }
        world
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn command(&self, name: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
        command
            .args([name, "--brokers", self.broker.address(), "--http", "127.0.0.1:0"])
            .arg("--rules")
            .arg(self.folder.path())
            .args(["--set", &format!("topics.inputs={}", self.topic("in"))])
            .args(["--set", &format!("kafka.group_id={}", self.topic("group"))]);
        for output in OUTPUTS {
            command.args(["--set", &format!("topics.{output}={}", self.topic(output))]);
        }
        command
    }

    fn start(&self) -> Running {
        Self::spawn(&mut self.command("run"))
    }

    fn spawn(command: &mut Command) -> Running {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut greeting = Vec::new();
        let address = loop {
            let line = lines.next().unwrap().unwrap();
            greeting.push(line.clone());
            if let Some(rest) = line.strip_prefix("health") {
                let rest = rest.trim().strip_prefix("http://").unwrap();
                break rest.split('/').next().unwrap().to_owned();
            }
        };
        // WHY: a pipe that nobody reads fills up and stops the service.
        std::thread::spawn(move || lines.for_each(drop));
        Running { child, address, greeting }
    }
}

struct Running {
    child: Child,
    address: String,
    greeting: Vec<String>,
}

impl Running {
    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        (text.split(' ').nth(1).unwrap().parse().unwrap(), text)
    }

    fn sample(&self, name: &str) -> f64 {
        let (_, text) = self.get("/metrics");
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    fn wait(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

/// Whoever reads the log may go away.
#[test]
fn a_log_that_nobody_reads_any_more_does_not_end_the_service() {
    let world = World::new("unheard");
    let mut child = world.command("run").stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let health = lines.find_map(|line| line.unwrap().strip_prefix("health").map(str::to_owned));
    let address = health.unwrap().trim().strip_prefix("http://").unwrap().to_owned();
    drop(lines);
    let address = address.split('/').next().unwrap().to_owned();
    let running = Running { child, address, greeting: Vec::new() };
    wait::until(|| running.get("/readyz").0 == 200, || "ready without anybody who listens".into());
    running.signal("-TERM");
    assert_eq!(running.wait().code(), Some(0));
}

fn payment(n: i64, amount: i64) -> NewRecord {
    let at = 1_700_000_000_000 + n;
    let body = format!(
        r#"{{"id":"p{n}","at":{at},"account":"a","amount":"{amount}.00","currency":"EUR"}}"#
    );
    NewRecord::new(format!("k{n}"), body, at)
}

#[track_caller]
fn wait_sample(service: &Running, name: &str, value: f64) {
    wait::until(
        || (service.sample(name) - value).abs() < f64::EPSILON,
        || format!("{name} {value}:\n{}", service.get("/metrics").1),
    );
}

#[test]
fn the_service_decides_shows_its_books_and_stops_in_order_on_sigterm() {
    let world = World::new("service");
    let service = world.start();
    for (name, line) in ["riskweir", "config", "rule set", "kafka", "reads", "delivery", "metrics"]
        .iter()
        .zip(&service.greeting)
    {
        assert!(line.starts_with(name), "{:?}", service.greeting);
    }
    wait::until(|| service.get("/readyz").0 == 200, || service.get("/readyz").1);
    assert_eq!(service.get("/livez").0, 200);
    let mut records: Vec<NewRecord> = (0..20).map(|n| payment(n, 5)).collect();
    records.push(payment(20, 100));
    records.push(NewRecord::new("bad", "{", 1));
    world.broker.produce(&world.topic("in"), &records);
    wait_sample(&service, "riskweir_decisions_total{outcome=\"pass\"}", 20.0);
    wait_sample(&service, "riskweir_decisions_total{outcome=\"hold\"}", 1.0);
    wait_sample(&service, "riskweir_records_in_flight", 0.0);
    let read = format!("riskweir_records_read_total{{topic=\"{}\"}}", world.topic("in"));
    wait_sample(&service, &read, 22.0);
    wait_sample(&service, "riskweir_rule_hits_total{rule=\"large\"}", 1.0);
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0));
    let count = |name: &str| world.broker.read(&world.topic(name), Isolation::Committed).len();
    assert_eq!((count("decisions"), count("holds"), count("dead_letter")), (21, 1, 1));
    let committed = world.broker.committed(&world.topic("group"), &world.topic("in"));
    assert_eq!(committed.get(&0), Some(&22));
}

/// The rule set of above, and what came out about payments, on a topic of its own.
const LABELS: &str = r#"
event label from "labels" when "/kind" = "label"
  id    label_id : text from "/id"
  time  known_at : time from "/at" unit ms
  field about    : text
  field fraud    : bool
  labels pay by about verdict fraud
"#;

fn label(n: i64, about: &str, fraud: bool) -> NewRecord {
    let at = 1_700_000_000_000 + n;
    let body =
        format!(r#"{{"kind":"label","id":"l{n}","at":{at},"about":"{about}","fraud":{fraud}}}"#);
    NewRecord::new(format!("l{n}"), body, at)
}

#[test]
fn labels_tell_the_precision_of_a_rule_from_thirty_on_and_a_replay_counts_none_twice() {
    let world = World::new("labels");
    let rules =
        RULES.replace("from \"payments\"", "from \"payments\" when \"/currency\" = \"EUR\"");
    std::fs::write(world.folder.path().join("rules.risk"), [&rules, LABELS].concat()).unwrap();
    let labels = world.topic("labels");
    world.broker.create_topic_with(&labels, 1, &[("retention.ms", "-1")]);
    let start = || {
        let inputs = format!("topics.inputs={},{labels}", world.topic("in"));
        World::spawn(world.command("run").args(["--set", &inputs]))
    };
    let service = start();
    let payments: Vec<NewRecord> =
        (0..33).map(|n| payment(n, if n < 32 { 100 } else { 5 })).collect();
    world.broker.produce(&world.topic("in"), &payments);
    wait_sample(&service, "riskweir_decisions_total{outcome=\"hold\"}", 32.0);
    wait_sample(&service, "riskweir_decisions_total{outcome=\"pass\"}", 1.0);

    let of_rule = |verdict: &str| {
        format!(
            "riskweir_rule_labelled_events{{mode=\"live\",rule=\"large\",verdict=\"{verdict}\"}}"
        )
    };
    let precision = "riskweir_rule_precision_ratio{mode=\"live\",rule=\"large\"}";
    let told: Vec<NewRecord> = (0..29).map(|n| label(n, &format!("p{n}"), n % 4 != 0)).collect();
    world.broker.produce(&labels, &told);
    // Every fourth of 29 was none, the first among them: 8.
    wait_sample(&service, &of_rule("genuine"), 8.0);
    wait_sample(&service, &of_rule("fraud"), 21.0);
    assert!(!service.get("/metrics").1.contains("precision_ratio"));

    let more = [
        label(29, "p29", true),
        label(30, "p30", true),
        label(31, "p31", false),
        // A review: one that was none was fraud.
        label(32, "p0", true),
        label(33, "p32", true),
        label(34, "nowhere", true),
    ];
    world.broker.produce(&labels, &more);
    let came = |found: &str| {
        format!("riskweir_labels_total{{event=\"label\",found=\"{found}\",verdict=\"fraud\"}}")
    };
    let check = |service: &Running| {
        // 24 of 32.
        wait_sample(service, precision, 0.75);
        wait_sample(service, &of_rule("fraud"), 24.0);
        wait_sample(service, &came("acted"), 24.0);
        wait_sample(service, &came("no_hit"), 1.0);
        wait_sample(service, &came("unknown"), 1.0);
    };
    check(&service);
    service.signal("-TERM");
    assert_eq!(service.wait().code(), Some(0));
    let again = start();
    check(&again);
    again.signal("-TERM");
    assert_eq!(again.wait().code(), Some(0));
}

/// WHY: signals of one kind that come close together are one signal, so it is repeated until the process has ended. The
/// code tells which way it ended: an orderly stop, however it goes, has another one.
#[test]
fn a_second_signal_ends_at_once_a_service_whose_broker_does_not_answer() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.risk"), RULES).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_riskweir"))
        .args(["run", "--http", "127.0.0.1:0", "--rules"])
        .arg(folder.path())
        .args(["--brokers", &silent.local_addr().unwrap().to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Held open and never answered: the service waits for its topics.
    let _connection = silent.accept().unwrap();
    let pid = child.id().to_string();
    let mut ended = None;
    wait::until(
        || {
            let sent = Command::new("kill").args(["-TERM", &pid]).stderr(Stdio::null()).status();
            assert!(sent.is_ok());
            ended = child.try_wait().unwrap();
            ended.is_some()
        },
        || "the service goes on after many signals".to_owned(),
    );
    assert_eq!(ended.unwrap().code(), Some(130));
}

fn generate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    command.args(["generate", "--seed", "7"]).args(arguments).output().unwrap()
}

#[test]
fn generate_sends_to_the_topics_what_it_writes_to_standard_output() {
    let (broker, topics) = (Broker::shared(), ["wallet.events", "bank.events"]);
    let flags = ["--brokers", broker.address(), "--rate", "10000/s", "--count", "300"];
    let missing = generate(&flags);
    let (out, err) = text(&missing);
    assert_eq!((missing.status.code(), out.as_str()), (Some(3), ""));
    assert!(err.contains("error[K0001]: topic `wallet.events` does not exist"), "{err}");

    for topic in topics {
        broker.create_topic_with(topic, 1, &[("retention.ms", "-1")]);
    }
    let sent = generate(&flags);
    let (out, err) = text(&sent);
    assert_eq!((sent.status.code(), out.as_str()), (Some(0), ""), "{err}");
    assert!(err.contains("300 records sent"), "{err}");
    let written = generate(&["--count", "300"]);
    let lines = text(&written).0;
    let read = |topic: &str| -> Vec<String> {
        let records = broker.read(topic, Isolation::Committed).into_iter();
        records.map(|record| String::from_utf8(record.payload.unwrap()).unwrap()).collect()
    };
    let found = topics.map(read);
    assert!(found.iter().all(|found| !found.is_empty()));
    for found in &found {
        // One partition each, so the order within a topic is that of the traffic.
        let known = lines.lines().filter(|line| found.iter().any(|body| body == line));
        assert!(found.iter().map(String::as_str).eq(known), "{found:?}");
    }
    assert_eq!(found.iter().map(Vec::len).sum::<usize>(), lines.lines().count());
    broker.delete_topics(&topics);
}

#[test]
fn generate_says_so_when_no_broker_answers() {
    // WHY: nothing listens on the port of a listener that was closed.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let failed = generate(&["--brokers", &closed.to_string(), "--count", "1"]);
    let (out, err) = text(&failed);
    assert_eq!((failed.status.code(), out.as_str()), (Some(3), ""));
    assert!(err.contains("error[K0003]") && err.contains(&closed.to_string()), "{err}");
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn validate_says_what_is_good_on_stdout_and_what_is_wrong_on_stderr() {
    let world = World::new("validate");
    let good = world.command("validate").arg("--connect").output().unwrap();
    let (out, err) = text(&good);
    assert_eq!(good.status.code(), Some(0), "{out}{err}");
    assert!(out.contains("brokers and topics answer"), "{out}");

    let flags = ["--connect", "--set", "topics.holds=nowhere"];
    let missing = world.command("validate").args(flags).output().unwrap();
    let (out, err) = text(&missing);
    assert_eq!((missing.status.code(), out.as_str()), (Some(3), ""));
    assert!(err.contains("error[K0001]: topic `nowhere` does not exist"), "{err}");

    let wrong = world.command("validate").args(["--set", "kafka.linger=5"]).output().unwrap();
    let (out, err) = text(&wrong);
    assert_eq!((wrong.status.code(), out.as_str()), (Some(1), ""));
    assert!(err.contains("error[C0005]") && err.contains("flag --set"), "{err}");

    let usage = world.command("validate").arg("--nonsense").output().unwrap();
    assert_eq!(usage.status.code(), Some(2));
}
