//! Rule sets that change while the real binary runs on a real Apache Kafka: by command, by signal, by the folder alone;
//! errors change nothing; and a process that died decides again by the rule set of the time.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use riskweir::diag::{Source, Sources};
use serde_json::Value;
use support::artifacts::{Tree, forest, with_artifacts};
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
        Self::with_partitions(test, 1)
    }

    fn with_partitions(test: &str, n: i32) -> Self {
        let broker = Broker::shared();
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("rules")).unwrap();
        let world = Self { broker, prefix: prefix(test), folder };
        world.write(&rules(1_000));
        // WHY: the records carry times of 2023; a broker that counts their age would delete them.
        world.broker.create_topic_with(&world.topic("in"), n, &[("retention.ms", "-1")]);
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
        self.start_with(settings, &[])
    }

    fn start_with(&self, settings: &[&str], more: &[&str]) -> Binary {
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
        arguments.extend(more.iter().map(|&argument| argument.to_owned()));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Binary::start(&arguments)
    }

    fn send(&self, from: i64, to: i64) {
        let records: Vec<NewRecord> = (from..to).map(payment).collect();
        self.broker.produce(&self.topic("in"), &records);
    }

    /// Waits until so many decisions are committed; `(outcome, rule set)` of each, in order.
    fn decided(&self, n: usize) -> Vec<(String, String)> {
        let word = |value: &Value| value.as_str().unwrap().to_owned();
        let of = |body: &Value| (word(&body["outcome"]), word(&body["ruleset"]));
        self.bodies(n).iter().map(of).collect()
    }

    /// Waits until so many decisions are committed, and gives them in order.
    fn bodies(&self, n: usize) -> Vec<Value> {
        let topic = self.topic("decisions");
        let count = || self.broker.read(&topic, Isolation::Committed).len();
        wait::until(|| count() >= n, || format!("{} of {n} decisions", count()));
        let read = self.broker.read(&topic, Isolation::Committed);
        assert_eq!(read.len(), n);
        read.iter()
            .map(|record| serde_json::from_slice(record.payload.as_ref().unwrap()).unwrap())
            .collect()
    }
}

fn payment(n: i64) -> NewRecord {
    payment_of("a", n)
}

fn payment_of(account: &str, n: i64) -> NewRecord {
    let at = 1_700_000_000_000 + n;
    let body = format!(
        r#"{{"id":"{account}{n}","at":{at},"account":"{account}","amount":"1.00","currency":"EUR"}}"#
    );
    NewRecord::new(account, body, at)
}

fn reload(service: &Binary) -> Output {
    reload_with(service, &[])
}

fn reload_with(service: &Binary, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    command.args(["reload", "--http", &service.address]).args(more).output().unwrap()
}

/// The same rule about large payments only: an aggregate that was not there before.
fn large(most: u32) -> String {
    rules(most).replace("count(pay)", "count(pay where amount > 0.50 EUR)")
}

/// Tells the service to fill what is new from so far back, and what it answers.
#[track_caller]
fn backfill(service: &Binary, from: &str) -> String {
    let told = reload_with(service, &["--backfill", &format!("from={from}")]);
    let said = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(told.status.code(), Some(0), "{said}");
    said
}

/// An hour and a minute before the payment of number 0.
const LONG_AGO: i64 = -3_660_000;

const READ: &str = "The past is read.";
const READS: &str = "The past is read again";
const REBUILT: &str = "Windows are rebuilt";

/// Whether a decision says that its windows know all.
fn is_normal(body: &Value) -> bool {
    body["provenance"][0] == "normal"
}

#[track_caller]
fn assert_as_before(service: &Binary) -> String {
    let said = service.said();
    assert!(!said.contains("decided otherwise") && !said.contains("was not kept"), "{said}");
    said
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

/// A rule that holds what a learned model finds likely.
const BY_MODEL: &str = r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   account : account from "/account"
  field amount  : money   from "/amount" currency "/currency"

policy decisions
  base currency EUR
  timezone "UTC"

feature pace = count(pay) by account over last 1h

model fraud
  on pay
  kind learned
  from "models/fraud.rwm"
  reads amount, pace

rule likely "as frauds were"
  id "R-2"  owner tests  severity high  mode live
  on pay
  when model.fraud.raw >= 0.5
  if missing skip
  then hold for 30m otherwise release reason "as frauds were"
"#;

/// Writes an artifact that says the same of every payment, in per cent.
fn write_artifact(world: &World<'_>, percent: i64) {
    let files = vec![Source { path: "all.risk".to_owned(), text: BY_MODEL.to_owned() }];
    let says = [Tree::Leaf(percent * 10_000_000)];
    let made = with_artifacts(Sources::of(files), |features| forest(&says, features.len()));
    let folder = world.path("rules").join("models");
    fs::create_dir_all(&folder).unwrap();
    // As `riskweir train` does: whoever looks sees the old file or the new one.
    fs::write(folder.join(".fraud.rwm"), &made.artifacts[0].bytes).unwrap();
    fs::rename(folder.join(".fraud.rwm"), folder.join("fraud.rwm")).unwrap();
}

#[test]
fn a_process_that_died_scores_again_by_the_artifact_of_the_time() {
    for delivery in ["transactional", "idempotent"] {
        let world = World::new("artifacts");
        world.write(BY_MODEL);
        write_artifact(&world, 10);
        let place = format!("snapshot.dir={}", world.path("state").display());
        let mode = format!("delivery.mode={delivery}");
        let settings = [mode.as_str(), &place, "snapshot.interval=1h", "rules.watch_interval=0s"];
        let service = world.start(&settings);
        world.send(0, 10);
        world.decided(10);
        let first = active(&service);

        // No rule changed, and yet it is another rule set.
        write_artifact(&world, 90);
        assert_eq!(reload(&service).status.code(), Some(0));
        let second = wait_for_another(&service, &first);
        world.send(10, 20);
        world.decided(20);

        // A broken artifact is told and changes nothing.
        let path = world.path("rules").join("models/fraud.rwm");
        let good = fs::read(&path).unwrap();
        fs::write(&path, &good[..good.len() / 2]).unwrap();
        let told = reload(&service);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(1), "{said}");
        assert!(said.contains("E0604") && said.contains("`models/fraud.rwm`"), "{said}");
        assert_eq!(active(&service), second);

        write_artifact(&world, 20);
        assert_eq!(reload(&service).status.code(), Some(0));
        wait_for_another(&service, &second);
        world.send(20, 30);
        world.decided(30);
        service.kill();
        // While it was down, the model was trained once more.
        write_artifact(&world, 80);
        let service = world.start(&settings);
        world.send(30, 40);
        let decided = world.decided(40);
        let held: Vec<usize> = decided.chunks(10).map(holds).collect();
        assert_eq!(held, [0, 10, 0, 10], "{delivery}");
        let said = service.said();
        assert!(said.contains("Windows are rebuilt"), "{said}");
        assert!(!said.contains("decided otherwise") && !said.contains("was not kept"), "{said}");
    }
}

#[test]
fn a_changed_artifact_is_seen_by_the_look_at_the_folder() {
    let world = World::new("watched-artifact");
    world.write(BY_MODEL);
    write_artifact(&world, 10);
    let service = world.start(&["rules.watch_interval=50ms"]);
    world.send(0, 2);
    assert_eq!(holds(&world.decided(2)), 0);
    let first = active(&service);
    write_artifact(&world, 90);
    wait_for_another(&service, &first);
    world.send(2, 4);
    assert_eq!(holds(&world.decided(4)), 2);
}

#[test]
fn what_was_answered_before_a_kill_is_not_answered_again_by_another_rule_set() {
    let world = World::new("answered");
    let place = format!("snapshot.dir={}", world.path("state").display());
    // Offsets are committed so rarely that none covers a record when the process dies.
    let settings = ["delivery.mode=idempotent", &place, "delivery.offset_commit_interval=1h"];
    world.write(&rules(4));
    let service = world.start(&settings);
    world.send(0, 10);
    let before = world.decided(10);
    assert_eq!(holds(&before), 6);
    service.kill();
    assert_eq!(world.broker.committed(&world.topic("group"), &world.topic("in"))[&0], 0);
    world.write(&rules(1_000_000));
    let service = world.start(&["delivery.mode=idempotent", &place]);
    wait::until(|| service.said().contains("Rule set is active"), || service.said());
    world.send(10, 20);
    let decided = world.decided(20);
    assert_eq!(decided[..10], before, "written once, by the rule set of the time");
    let by_another = |(outcome, by): &(String, String)| outcome == "pass" && *by != before[0].1;
    assert!(decided[10..].iter().all(by_another), "{decided:?}\n{}", service.said());
    let held = world.broker.read(&world.topic("holds"), Isolation::Committed);
    assert_eq!(held.len(), 6, "{}", service.said());
    assert!(service.said().contains("they are not written again"), "{}", service.said());
}

#[test]
fn a_new_aggregate_knows_the_past_that_was_read_and_so_does_whoever_goes_on_after_a_kill() {
    for delivery in ["transactional", "idempotent"] {
        let world = World::new("backfill");
        let place = format!("snapshot.dir={}", world.path("state").display());
        let mode = format!("delivery.mode={delivery}");
        let settings = [mode.as_str(), &place, "snapshot.interval=1h", "rules.watch_interval=0s"];
        let service = world.start(&settings);
        world.send(LONG_AGO, LONG_AGO + 1);
        world.send(0, 10);
        world.decided(11);
        let first = active(&service);
        world.write(&large(11));
        let told = backfill(&service, "61m");
        assert!(told.contains("about 11 records are read again"), "{told}");
        let second = wait_for_another(&service, &first);
        // Ten payments within the hour are known; the eleventh is one too few, the twelfth is held.
        world.send(10, 12);
        let bodies = world.bodies(13);
        assert_eq!(bodies[11]["outcome"], "pass");
        assert_eq!(bodies[12]["outcome"], "hold");
        assert!(is_normal(&bodies[12]), "{}", bodies[12]);
        assert!(bodies[..11].iter().all(|body| body["outcome"] == "pass"), "nothing is emitted");
        service.kill();

        // From the snapshot that was taken after the rule set became active.
        let service = world.start(&settings);
        world.send(12, 13);
        let bodies = world.bodies(14);
        assert!(bodies[13]["outcome"] == "hold" && is_normal(&bodies[13]), "{}", bodies[13]);
        assert_as_before(&service);
        assert_eq!(active(&service), second);
        service.kill();

        // Without it: all is replayed, and the past is read again where it was read the first time.
        for file in fs::read_dir(world.path("state").join("all")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rws") {
                fs::remove_file(path).unwrap();
            }
        }
        let service = world.start(&settings);
        world.send(13, 14);
        let bodies = world.bodies(15);
        assert!(bodies[14]["outcome"] == "hold" && is_normal(&bodies[14]), "{}", bodies[14]);
        let said = assert_as_before(&service);
        assert!(said.contains(REBUILT) && said.contains(READ), "{said}");
    }
}

#[test]
fn a_kill_while_the_past_is_read_changes_nothing_and_a_start_can_read_it() {
    for delivery in ["transactional", "idempotent"] {
        let world = World::new("killed");
        let place = format!("snapshot.dir={}", world.path("state").display());
        let mode = format!("delivery.mode={delivery}");
        let settings = [
            mode.as_str(),
            &place,
            "snapshot.interval=1h",
            "rules.watch_interval=0s",
            "delivery.decisions=notable",
        ];
        world.send(LONG_AGO, LONG_AGO + 1);
        world.send(0, 40_000);
        world.write(&rules(1_000_000));
        let service = world.start(&settings);
        world.send(40_000, 40_001);
        let read = || {
            service.get("/metrics").1.contains("riskweir_decisions_total{outcome=\"pass\"} 40002")
        };
        wait::until(read, || service.said());
        world.write(&large(40_001));
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
        let asking =
            command.args(["reload", "--backfill", "from=earliest", "--http", &service.address]);
        let mut asking = asking.spawn().unwrap();
        wait::until(|| service.said().contains(READS), || service.said());
        let said = service.said();
        service.kill();
        asking.wait().unwrap();
        assert!(!said.contains(READ), "it was killed while it read: {said}");
        assert!(!said.contains("epoch=2"), "{said}");

        let service = world.start_with(&settings, &["--backfill", "from=earliest"]);
        wait::until(|| service.said().contains("epoch=2"), || service.said());
        // 40,001 within the hour, and two more.
        world.send(40_001, 40_003);
        let bodies = world.bodies(2);
        assert!(
            bodies.iter().all(|body| body["outcome"] == "hold" && is_normal(body)),
            "{bodies:?}"
        );
        service.kill();

        // The same words once more: the rule set decides already, so nothing is read for it.
        let service = world.start_with(&settings, &["--backfill", "from=earliest"]);
        world.send(40_003, 40_004);
        assert!(is_normal(&world.bodies(3)[2]));
        let said = assert_as_before(&service);
        assert!(!said.contains(READS), "{said}");
    }
}

#[test]
fn where_the_log_begins_later_it_is_said_and_windows_stay_warming() {
    let world = World::new("cut");
    let service = world.start(&["rules.watch_interval=0s", "time.allowed_lateness=10ms"]);
    world.send(LONG_AGO, LONG_AGO + 1);
    world.send(0, 10);
    world.decided(11);
    let first = active(&service);
    // Of the ten payments of the last hour, the last five are left.
    world.broker.delete_records(&world.topic("in"), 0, 6);
    world.write(&large(6));
    let told = backfill(&service, "earliest");
    assert!(told.contains("does not reach back so far in 1 of 1 partitions"), "{told}");
    wait_for_another(&service, &first);
    world.send(20, 22);
    let bodies = world.bodies(13);
    assert_eq!(bodies[11]["outcome"], "pass");
    assert_eq!(bodies[12]["outcome"], "hold", "the seventh that is known");
    assert_eq!(bodies[12]["provenance"][0], "warming");
    let said = service.said();
    assert!(said.contains("The log begins later"), "{said}");
}

#[test]
fn what_became_active_without_its_past_gets_it_when_somebody_asks() {
    let world = World::new("later");
    let service = world.start(&["rules.watch_interval=0s"]);
    world.send(LONG_AGO, LONG_AGO + 1);
    world.send(0, 10);
    world.decided(11);
    let first = active(&service);
    world.write(&large(11));
    assert_eq!(reload(&service).status.code(), Some(0));
    wait_for_another(&service, &first);
    world.send(10, 11);
    assert_eq!(world.bodies(12)[11]["outcome"], "pass");
    let told = backfill(&service, "61m");
    assert!(told.contains("is active already") && told.contains("are read again"), "{told}");
    wait::until(|| service.said().contains("epoch=3"), || service.said());
    world.send(11, 12);
    let bodies = world.bodies(13);
    assert!(bodies[12]["outcome"] == "hold" && is_normal(&bodies[12]), "{}", bodies[12]);
    let told = backfill(&service, "61m");
    assert!(told.contains("nothing is to be read again"), "{told}");
}

#[test]
fn every_shard_reads_its_own_past_and_so_does_one_engine_over_all_partitions() {
    for spread in ["kafka.partitioned_by=account", "rules.watch_interval=0s"] {
        let world = World::with_partitions("shards", 2);
        let settings = ["rules.watch_interval=0s", "delivery.mode=idempotent", spread];
        let service = world.start(&settings);
        let send = |from: i64, to: i64| {
            let both = |n| [payment_of("a", n).at_partition(0), payment_of("b", n).at_partition(1)];
            let records: Vec<NewRecord> = (from..to).flat_map(both).collect();
            world.broker.produce(&world.topic("in"), &records);
        };
        send(LONG_AGO, LONG_AGO + 1);
        send(0, 10);
        world.decided(22);
        let first = active(&service);
        world.write(&large(11));
        let told = backfill(&service, "61m");
        assert!(told.contains("about 22 records are read again"), "{told}");
        wait_for_another(&service, &first);
        send(10, 12);
        let bodies = world.bodies(26);
        let held =
            bodies.iter().filter(|body| body["outcome"] == "hold" && is_normal(body)).count();
        assert_eq!(held, 2, "the twelfth of each account: {spread}");
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

/// The disk is full when a rule set comes: it must not decide, is not told as taken, and is not forgotten either.
#[test]
fn a_rule_set_that_cannot_be_kept_is_held_back_and_decides_once_there_is_room() {
    let world = World::new("held_back");
    let (folder, aside) = (world.path("snapshots"), world.path("aside"));
    let place = format!("snapshot.dir={}", folder.display());
    let service = world.start(&["rules.watch_interval=0s", "snapshot.interval=1s", &place]);
    world.send(0, 3);
    world.decided(3);
    let first = active(&service);
    let behind = || service.metric("riskweir_ruleset_behind");
    assert_eq!(behind(), Some(0.0));
    // A file in its place: that refuses root, too.
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, b"in the way").unwrap();
    world.write(&rules(3));
    for _ in 0..2 {
        let told = reload(&service);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(1), "{said}");
        assert!(said.contains("could not be kept beside the snapshots"), "{said}");
        assert!(said.contains("it is tried again when there is room"), "{said}");
    }
    let says = "Rule set is held back; the active one stays, and it is tried again.";
    assert!(service.said().contains(says), "{}", service.said());
    assert!(
        (refused(&service) - 1.0).abs() < f64::EPSILON,
        "one rule set, however often it is tried"
    );
    assert_eq!((active(&service), behind()), (first.clone(), Some(1.0)));
    assert_eq!(service.get("/readyz").0, 200, "it decides");
    world.send(3, 4);
    assert_eq!(holds(&world.decided(4)), 0);
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    wait_for_another(&service, &first);
    world.send(4, 5);
    assert_eq!(holds(&world.decided(5)), 1);
    assert_eq!(behind(), Some(0.0));
    assert_eq!(reload(&service).status.code(), Some(0));
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
