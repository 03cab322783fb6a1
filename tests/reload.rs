//! Rule sets that change while the real binary runs on a real Apache Kafka: by command, by signal, by the folder alone;
//! errors change nothing; and a process that died decides again by the rule set of the time.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;
use support::binary::Binary;
use support::broker::Broker;
use support::topics::{Isolation, NewRecord, prefix};
use support::wait;

const OUTPUTS: [&str; 5] = ["decisions", "alerts", "holds", "audit", "dead_letter"];

/// One rule: whoever pays more than so often within an hour is held.
fn rules(most: u32) -> String {
    format!(
        r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   account : account from "/account"
  field amount  : money   from "/amount" currency "/currency"

policy decisions
  base currency EUR
  timezone "UTC"

rule often "many payments"
  id "R-1"  owner tests  severity high  mode live
  on pay
  when count(pay) by account over last 1h > {most}
  if missing skip
  then hold for 30m otherwise release reason "many payments"
"#
    )
}

struct World<'a> {
    broker: &'a Broker,
    prefix: String,
    folder: tempfile::TempDir,
}

impl World<'_> {
    fn new(test: &str) -> Self {
        let broker = Broker::shared();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        let world = Self { broker, prefix: prefix(test), folder };
        world.write(&rules(1_000));
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

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, text: &str) {
        fs::write(self.path("rules").join("all.risk"), text).unwrap();
    }

    fn start(&self, settings: &[&str]) -> Binary {
        let mut arguments: Vec<String> = ["run", "--http", "127.0.0.1:0", "--brokers"]
            .map(str::to_owned)
            .into_iter()
            .chain([self.broker.address().to_owned()])
            .collect();
        let mut set = |setting: String| arguments.extend(["--set".to_owned(), setting]);
        set(format!("rules.path={}", self.path("rules").display()));
        set(format!("topics.inputs={}", self.topic("in")));
        set(format!("kafka.group_id={}", self.topic("group")));
        set(format!("delivery.transactional_id={}", self.topic("id")));
        set("kafka.session_timeout=6s".to_owned());
        set("log.format=text".to_owned());
        for output in OUTPUTS {
            set(format!("topics.{output}={}", self.topic(output)));
        }
        for setting in settings {
            set((*setting).to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Binary::start(&arguments)
    }

    fn send(&self, from: i64, to: i64) {
        let records: Vec<NewRecord> = (from..to).map(payment).collect();
        self.broker.produce(&self.topic("in"), &records);
    }

    /// Waits until so many decisions are committed; `(outcome, rule set)` of each, in order.
    fn decided(&self, n: usize) -> Vec<(String, String)> {
        let topic = self.topic("decisions");
        let count = || self.broker.read(&topic, Isolation::Committed).len();
        wait::until(|| count() >= n, || format!("{} of {n} decisions", count()));
        let read = self.broker.read(&topic, Isolation::Committed);
        assert_eq!(read.len(), n);
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        read.iter()
            .map(|record| {
                let body: Value = serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap();
                (word(&body["outcome"]), word(&body["ruleset"]))
            })
            .collect()
    }
}

fn payment(n: i64) -> NewRecord {
    let at = 1_700_000_000_000 + n;
    let body =
        format!(r#"{{"id":"p{n}","at":{at},"account":"a","amount":"1.00","currency":"EUR"}}"#);
    NewRecord::new("a", body, at)
}

fn reload(service: &Binary) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    command.args(["reload", "--http", &service.address]).output().unwrap()
}

fn active(service: &Binary) -> String {
    let (_, text) = service.get("/metrics");
    let line = text.lines().find(|line| line.starts_with("riskweir_ruleset_info")).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

#[track_caller]
fn wait_for_another(service: &Binary, than: &str) -> String {
    wait::until(|| active(service) != than, || format!("still {than}: {}", service.said()));
    active(service)
}

fn holds(decided: &[(String, String)]) -> usize {
    decided.iter().filter(|(outcome, _)| outcome == "hold").count()
}

#[test]
fn a_rule_set_becomes_active_on_command_on_a_signal_and_when_the_folder_changes() {
    let world = World::new("reload");
    let service = world.start(&["rules.watch_interval=0s"]);
    world.send(0, 3);
    assert_eq!(holds(&world.decided(3)), 0);
    let first = active(&service);

    // By command: the window goes on counting, so the fourth payment is one too many.
    world.write(&rules(3));
    let told = reload(&service);
    assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
    let second = wait_for_another(&service, &first);
    world.send(3, 4);
    assert_eq!(holds(&world.decided(4)), 1);

    // Errors change nothing, and are told with their place.
    world.write(&rules(3).replace("count(pay", "count(pai"));
    let told = reload(&service);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(1), "{said}");
    assert!(said.contains("all.risk:15") && said.contains("pai"), "{said}");
    assert_eq!(active(&service), second);

    // By signal: back to a rule that nobody breaks.
    world.write(&rules(500));
    assert!(
        Command::new("kill").args(["-HUP", &service.pid().to_string()]).status().unwrap().success()
    );
    let third = wait_for_another(&service, &second);
    world.send(4, 5);
    let decided = world.decided(5);
    assert_eq!(holds(&decided), 1);
    let rulesets: Vec<&str> = decided.iter().map(|(_, ruleset)| ruleset.as_str()).collect();
    let short = |id: &str| id[..8].to_owned();
    let expected = [&first, &first, &first, &second, &third].map(|id| short(id));
    assert_eq!(rulesets.iter().map(|id| short(id)).collect::<Vec<_>>(), expected);
    assert!(
        service.get("/metrics").1.contains("riskweir_rule_reloads_total{outcome=\"refused\"} 1")
    );
    drop(service);

    // By the folder alone.
    let service = world.start(&["rules.watch_interval=50ms"]);
    world.write(&rules(2));
    wait_for_another(&service, &third);
    world.send(5, 6);
    assert_eq!(holds(&world.decided(6)), 2);
}

#[test]
fn a_process_that_died_decides_again_by_the_rule_set_of_the_time() {
    for delivery in ["transactional", "idempotent"] {
        let world = World::new("epochs");
        let place = format!("snapshot.dir={}", world.path("state").display());
        let mode = format!("delivery.mode={delivery}");
        let settings = [mode.as_str(), &place, "snapshot.interval=1h", "rules.watch_interval=0s"];
        let service = world.start(&settings);
        world.send(0, 10);
        world.decided(10);
        let first = active(&service);
        world.write(&rules(5));
        assert_eq!(reload(&service).status.code(), Some(0));
        let second = wait_for_another(&service, &first);
        world.send(10, 20);
        world.decided(20);
        world.write(&rules(1_000_000));
        assert_eq!(reload(&service).status.code(), Some(0));
        wait_for_another(&service, &second);
        world.send(20, 30);
        world.decided(30);
        service.kill();
        // While it was down, the folder changed once more.
        world.write(&rules(29));
        let service = world.start(&settings);
        world.send(30, 40);
        let decided = world.decided(40);
        assert_eq!(holds(&decided[..10]), 0);
        assert_eq!(holds(&decided[10..20]), 10);
        assert_eq!(holds(&decided[20..30]), 0);
        assert_eq!(holds(&decided[30..]), 10, "the window counts on over the crash");
        let said = service.said();
        // The digest of what the replay decided is that of the first time, three rule sets included.
        assert!(said.contains("Windows are rebuilt"), "{said}");
        assert!(!said.contains("decided otherwise") && !said.contains("was not kept"), "{said}");
    }
}

fn refused(service: &Binary) -> f64 {
    let (_, text) = service.get("/metrics");
    let line = text.lines().find(|line| line.contains("outcome=\"refused\""));
    line.and_then(|line| line.rsplit_once(' ')).map_or(0.0, |(_, n)| n.parse().unwrap())
}

/// F23: whoever writes a file in two halves, with any pause between, never has half of it decide.
#[test]
fn a_rule_file_that_is_half_written_is_refused_and_taken_when_it_is_whole() {
    let world = World::new("halves");
    let service = world.start(&["rules.watch_interval=50ms"]);
    world.send(0, 3);
    assert_eq!(holds(&world.decided(3)), 0);
    let first = active(&service);
    let whole = rules(3);
    let (half, _) = whole.split_at(whole.len() - 40);
    world.write(half);
    wait::until(|| refused(&service) > 0.0, || service.said());
    assert_eq!(active(&service), first);
    world.send(3, 4);
    assert_eq!(holds(&world.decided(4)), 0);
    world.write(&whole);
    wait_for_another(&service, &first);
    world.send(4, 5);
    assert_eq!(holds(&world.decided(5)), 1);
}

/// P14: rule sets come as fast as they can be compiled, every third of them broken, while payments are decided.
#[test]
fn rule_sets_that_change_all_the_time_decide_each_payment_by_exactly_one_of_them() {
    const LIMITS: [u32; 2] = [3, 1_000_000];
    let world = World::new("storm");
    let service = world.start(&["rules.watch_interval=0s"]);
    let mut sent = 0;
    let mut digests = std::collections::BTreeMap::new();
    for round in 0..30 {
        let most = LIMITS[round % 2];
        if round % 3 == 2 {
            world.write(&rules(most).replace("count(pay", "count(pai"));
            assert_eq!(reload(&service).status.code(), Some(1));
        } else {
            world.write(&rules(most));
            let told = reload(&service);
            assert_eq!(told.status.code(), Some(0), "{}", String::from_utf8_lossy(&told.stderr));
        }
        world.send(sent, sent + 40);
        sent += 40;
    }
    let decided = world.decided(usize::try_from(sent).unwrap());
    for (nth, (outcome, ruleset)) in decided.iter().enumerate() {
        // The window counts on through all of it: payment `nth` is number `nth + 1`.
        let strict = outcome == "hold";
        assert!(!strict || nth >= 3, "payment {nth}");
        if nth >= 3 {
            let known = *digests.entry(ruleset.clone()).or_insert(strict);
            assert_eq!(known, strict, "payment {nth}: {ruleset} decides both ways");
        }
    }
    // The first rule set allows 1,000; with it there are three that took part at most, and two of them for certain.
    assert!((2..=3).contains(&digests.len()), "{digests:?}");
    assert!(refused(&service) >= 10.0);
}
