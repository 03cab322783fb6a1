//! Holds through the engine: what people and services ask of them, held against a naive model that keeps everything for ever,
//! and against the table of states of the handbook.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use riskweir::decision::command::KINDS;
use riskweir::decision::holds::{AskedFor, HoldState, HoldStep};
use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Engine, EngineOptions, Input, Output, OutputTopic, Restore, SnapshotStatus,
};
use riskweir::rules::program::Program;
use serde_json::{Value, json};

use crate::support::binary::Binary;
use crate::support::broker::Broker;
use crate::support::fleet::Fleet;
use crate::support::topics::{Isolation, NewRecord, Record};
use crate::support::wait;

#[path = "holds/asked.rs"]
mod asked;
#[path = "holds/by_people.rs"]
mod by_people;
#[path = "holds/challenges.rs"]
mod challenges;
#[path = "holds/rails.rs"]
mod rails;
#[path = "holds/random.rs"]
mod random;
#[path = "holds/room.rs"]
mod room;
#[path = "holds/subjects.rs"]
mod subjects;
mod support;

const START_MS: i64 = 1_772_445_600_000;
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

const RULES: &str = r#"
event pay from "t"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money currency EUR
rule large
  id "R-1"
  owner fraud
  severity high
  on pay
  when amount > 100 EUR
  then hold for 1h otherwise block reason "{amount}"
"#;

fn program() -> Arc<Program> {
    compiled(RULES)
}

fn compiled(rules: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: rules.to_owned() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

/// An engine over one partition of payments and one of commands.
struct Desk {
    engine: Engine,
    offset: i64,
    out: Vec<Output>,
}

impl Desk {
    fn of(mut engine: Engine, offset: i64) -> Self {
        engine.take_commands_from("commands");
        Self { engine, offset, out: Vec::new() }
    }

    fn new() -> Self {
        Self::over(program())
    }

    fn over(program: Arc<Program>) -> Self {
        Self::of(Engine::new(program, EngineOptions::default()).unwrap(), 0)
    }

    /// What came out after one record.
    fn step(&mut self, topic: &str, now_ms: i64, body: &str) -> Vec<(OutputTopic, Value)> {
        self.step_in((topic, 0), now_ms, body)
    }

    fn step_in(
        &mut self,
        (topic, partition): (&str, i32),
        now_ms: i64,
        body: &str,
    ) -> Vec<(OutputTopic, Value)> {
        let stream = self.engine.open_stream(topic, partition);
        let payload = Some(body.as_bytes());
        let input = Input { stream, offset: self.offset, arrival_ms: Some(now_ms), payload };
        self.offset += 1;
        let from = self.out.len();
        self.engine.step(&input, &mut self.out);
        let body = |output: &Output| serde_json::from_slice(&output.body).unwrap();
        let all = self.out[from..].iter().map(|output| (output.topic, body(output)));
        // `tests/audit.rs` is about the entries that these records have in the audit chain.
        let is_entry = |body: &Value| ["hold", "decision"].iter().any(|kind| body["kind"] == *kind);
        all.filter(|(topic, body)| *topic != OutputTopic::Audit || !is_entry(body)).collect()
    }

    fn pay(&mut self, id: &str, now_ms: i64, amount: &str) -> Vec<(OutputTopic, Value)> {
        let body = format!(r#"{{"id":"{id}","at":{now_ms},"card":"c-{id}","amount":"{amount}"}}"#);
        self.step("t", now_ms, &body)
    }

    fn command(&mut self, now_ms: i64, command: &Value) -> Vec<(OutputTopic, Value)> {
        self.step("commands", now_ms, &command.to_string())
    }

    fn snapshot(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.engine.begin_snapshot();
        while self.engine.snapshot_part(256, &mut bytes) == SnapshotStatus::More {}
        bytes
    }

    /// The same from a snapshot.
    fn restored(mut self, program: Arc<Program>) -> Self {
        let bytes = self.snapshot();
        let mut restore = Restore::new(program, EngineOptions::default());
        restore.part(&bytes).unwrap();
        let again = Self::of(restore.finish().unwrap(), self.offset);
        assert_eq!(again.engine.state_bytes(), self.engine.state_bytes());
        assert_eq!(again.engine.digest(), self.engine.digest());
        assert_eq!(again.engine.counters(), self.engine.counters());
        again
    }
}

fn time(ms: i64) -> String {
    riskweir::base::time::format_rfc3339(ms)
}

fn command(id: &str, kind: &str, hold_id: &str) -> Value {
    json!({
        "schema": "riskweir.command.v1", "command_id": id, "kind": kind, "hold_id": hold_id,
        "actor": "ann", "reason": "the customer called",
    })
}

/// The table under "States of a hold" in the handbook: for each state what each step leads to.
#[test]
fn holds_take_the_steps_of_the_table_of_states_and_no_others() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("### States of a hold").unwrap();
    let rows = section.lines().skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|'));
    let cells = |line: &str| -> Vec<String> {
        let cells = line.trim_matches('|').split('|');
        cells.map(|cell| cell.trim().trim_matches('`').to_owned()).collect()
    };
    let table: Vec<Vec<String>> = rows.map(cells).collect();
    let head = [
        "hold.extend",
        "hold.escalate",
        "hold.claim`, `hold.unclaim",
        "hold.release",
        "hold.confirm",
        "its first deadline of two",
        "its last deadline",
    ];
    assert_eq!(table[0][1..], head);
    let steps = [
        HoldStep::Extend,
        HoldStep::Escalate,
        HoldStep::Claim,
        HoldStep::Release,
        HoldStep::Confirm,
        HoldStep::Escalate,
        HoldStep::Expire,
    ];
    let mut states = Vec::new();
    for row in &table[2..] {
        let state = HoldState::named(&row[0]).unwrap();
        states.push(state);
        for (step, cell) in steps.into_iter().zip(&row[1..]) {
            let expected = (cell != "–").then(|| HoldState::named(cell).unwrap());
            assert_eq!(state.after(step), expected, "{state:?} {step:?}");
        }
    }
    assert_eq!(states, HoldState::ALL);
    // Every command about a hold is a column, with the step that it takes.
    let take_from = None;
    let (until_ms, queue) = (0, None);
    let commands = [
        (AskedFor::Extend { until_ms }, 0),
        (AskedFor::Escalate { queue, until_ms: None }, 1),
        (AskedFor::Claim { take_from: take_from.clone() }, 2),
        (AskedFor::Unclaim { take_from }, 2),
        (AskedFor::Release, 3),
        (AskedFor::Confirm, 4),
    ];
    for (what, column) in &commands {
        assert!(head[*column].contains(what.kind()) && steps[*column] == what.step(), "{what:?}");
    }
    let about_holds = KINDS.iter().filter(|kind| kind.needs.contains(&"hold_id"));
    let mut kinds: Vec<&str> = about_holds.map(|kind| kind.name).collect();
    let mut known: Vec<&str> = commands.iter().map(|(what, _)| what.kind()).collect();
    kinds.sort_unstable();
    known.sort_unstable();
    assert_eq!(kinds, known);
}

#[test]
fn a_hold_is_released_by_a_command_that_is_done_once() {
    let mut desk = Desk::new();
    let placed = desk.pay("p1", START_MS, "500.00");
    let hold = &placed.iter().find(|(topic, _)| *topic == OutputTopic::Holds).unwrap().1;
    let hold_id = hold["hold_id"].as_str().unwrap();
    assert_eq!((&hold["state"], hold.get("by")), (&json!("placed"), None));
    let release = command("c1", "hold.release", hold_id);
    let out = desk.command(START_MS + 5 * MINUTE_MS, &release);
    let [(OutputTopic::Holds, released), (OutputTopic::Audit, audit)] = &out[..] else {
        panic!("{out:#?}")
    };
    let by = json!({"command_id": "c1", "actor": "ann", "reason": "the customer called"});
    assert_eq!((&released["state"], &released["by"]), (&json!("released"), &by));
    for same in ["hold_id", "subject", "amount", "placed_by", "reasons", "placed_at", "deadline_at"]
    {
        assert_eq!(released[same], hold[same], "{same}");
    }
    let told = &audit["command"];
    assert_eq!(audit["kind"], "command");
    let facts = ["kind", "result", "state"].map(|name| told[name].as_str().unwrap());
    assert_eq!(facts, ["hold.release", "done", "released"]);
    assert_eq!(told["source"], json!({"topic": "commands", "partition": 0, "offset": 1}));

    // Again: nothing happens. With other content: somebody else's command had this id. Another one: it is too late.
    let answer = |desk: &mut Desk, command: &Value| {
        let out = desk.command(START_MS + 6 * MINUTE_MS, command);
        let [(OutputTopic::Audit, audit)] = &out[..] else { panic!("{out:#?}") };
        let text = |name: &str| audit["command"][name].as_str().unwrap_or("").to_owned();
        [text("result"), text("cause"), text("state")]
    };
    assert_eq!(answer(&mut desk, &release), ["repeated", "", "released"]);
    let other = command("c1", "hold.confirm", hold_id);
    for _ in 0..3 {
        assert_eq!(answer(&mut desk, &other), ["refused", "command_id_reused", "released"]);
    }
    assert_eq!(answer(&mut desk, &release), ["repeated", "", "released"]);
    let late = command("c2", "hold.confirm", hold_id);
    assert_eq!(answer(&mut desk, &late), ["refused", "ended", "released"]);
    let unknown = command("c3", "hold.release", "nobody");
    assert_eq!(answer(&mut desk, &unknown), ["refused", "unknown_hold", ""]);

    // Its deadline comes to nothing.
    let later = desk.pay("p2", START_MS + 3 * 60 * MINUTE_MS, "1.00");
    assert!(later.iter().all(|(topic, _)| *topic == OutputTopic::Decisions), "{later:#?}");
    // What ended is known for as long as ids are.
    desk.pay("p3", START_MS + 2 * DAY_MS, "1.00");
    let gone = command("c4", "hold.release", hold_id);
    assert_eq!(answer(&mut desk, &gone), ["refused", "unknown_hold", ""]);
}

#[test]
fn the_deadline_of_a_quiet_partition_comes_by_the_clock_of_the_log() {
    let mut desk = Desk::new();
    let placed = desk.pay("p1", START_MS, "500.00");
    let hold_id = placed[1].1["hold_id"].as_str().unwrap().to_owned();
    let clock = |ms: i64| json!({"schema": "riskweir.command.v1", "kind": "clock", "at": time(ms)});
    let hour = START_MS + 60 * MINUTE_MS;
    assert_eq!(desk.engine.next_deadline_ms(), Some(hour));
    assert_eq!(desk.command(hour - 1, &clock(hour - 1)), []);
    // A clock that is ahead of the log is not believed.
    assert_eq!(desk.command(hour - 1, &clock(hour + DAY_MS)), []);
    let out = desk.command(hour, &clock(hour));
    let [(OutputTopic::Holds, expired)] = &out[..] else { panic!("{out:#?}") };
    assert_eq!((&expired["state"], &expired["otherwise"]), (&json!("expired"), &json!("block")));
    assert_eq!(desk.engine.next_deadline_ms(), None);
    let late = desk.command(hour, &command("c1", "hold.release", &hold_id));
    assert_eq!(late[0].1["command"]["state"], "expired");

    // A command that comes after the deadline, where no event and no clock has said so.
    let placed = desk.pay("p2", hour, "500.00");
    let hold_id = placed[1].1["hold_id"].as_str().unwrap();
    let out = desk.command(hour + 60 * MINUTE_MS, &command("c2", "hold.release", hold_id));
    let [(OutputTopic::Holds, expired), (OutputTopic::Audit, audit)] = &out[..] else {
        panic!("{out:#?}")
    };
    assert_eq!(expired["state"], "expired");
    assert_eq!(
        (&audit["command"]["result"], &audit["command"]["cause"]),
        (&json!("refused"), &json!("ended"))
    );
}

/// Whoever may write events may not let payments go, and a command is no payment.
const LISTED: &str = r#"
list watched : card
rule is_watched
  id "R-2"
  owner fraud
  severity high
  on pay
  when card in watched
  then hold for 1h otherwise block
"#;

/// The answers are given up, because little memory is allowed; a card comes onto a list, and another one goes.
#[test]
fn a_repeat_that_is_held_without_its_first_answer_has_a_hold_that_somebody_can_release() {
    let files = vec![Source { path: "a.risk".to_owned(), text: format!("{RULES}{LISTED}") }];
    let program = Arc::new(riskweir::rules::compile(&Sources::of(files)).0.unwrap());
    let options = EngineOptions { state_bytes: Some(1 << 17), ..EngineOptions::default() };
    let mut desk = Desk::of(Engine::new(program, options).unwrap(), 0);
    let list = |id: &str, kind: &str, card: &str| {
        json!({
            "schema": "riskweir.command.v1", "command_id": id, "kind": kind, "actor": "ann", "reason": "r",
            "list": "watched", "value": card,
        })
    };
    let done = |out: &[(OutputTopic, Value)]| out.last().unwrap().1["command"]["result"] == "done";
    assert!(done(&desk.command(START_MS, &list("l1", "list.add", "c-was"))));
    assert_eq!(desk.pay("passed", START_MS, "1.00")[0].1["outcome"], "pass");
    let was = desk.pay("was", START_MS, "1.00");
    let (decided, placed) = (&was[0].1, &was[1].1);
    assert_eq!((&decided["outcome"], &decided["hold_id"]), (&json!("hold"), &placed["hold_id"]));
    for n in 0..200 {
        desk.pay(&format!("other-{n}"), START_MS, "500.00");
    }
    assert!(done(&desk.command(START_MS, &list("l2", "list.remove", "c-was"))));
    assert!(done(&desk.command(START_MS, &list("l3", "list.add", "c-passed"))));

    // It passed, and must not now: it is held, and what holds it is told.
    let again = desk.pay("passed", START_MS, "1.00");
    let [(OutputTopic::Decisions, decided), (OutputTopic::Holds, placed)] = &again[..] else {
        panic!("{again:#?}")
    };
    assert_eq!((&decided["outcome"], &decided["duplicate"]), (&json!("hold"), &json!(true)));
    assert_eq!((&placed["state"], &placed["placed_by"]), (&json!("placed"), &json!(["R-2"])));
    let hold_id = decided["hold_id"].as_str().unwrap();
    assert_eq!(placed["hold_id"], hold_id);
    let released = desk.command(START_MS, &command("c1", "hold.release", hold_id));
    assert_eq!(released[0].1["state"], "released");
    // The same answer from then on, and what was let go is not held anew.
    let third = desk.pay("passed", START_MS, "1.00");
    let [(OutputTopic::Decisions, same)] = &third[..] else { panic!("{third:#?}") };
    assert_eq!((&same["outcome"], &same["hold_id"]), (&json!("hold"), &json!(hold_id)));

    // It was held, and no rule would do so now: it still is.
    let again = desk.pay("was", START_MS, "1.00");
    let [(OutputTopic::Decisions, decided)] = &again[..] else { panic!("{again:#?}") };
    assert_eq!((&decided["outcome"], &decided["duplicate"]), (&json!("hold"), &json!(true)));
    assert_eq!(decided["hold_id"], was[1].1["hold_id"]);
}

#[test]
fn commands_come_from_their_own_topic_only() {
    let mut desk = Desk::new();
    let placed = desk.pay("p1", START_MS, "500.00");
    let hold_id = placed[1].1["hold_id"].as_str().unwrap();
    let release = command("c1", "hold.release", hold_id).to_string();
    let out = desk.step("t", START_MS, &release);
    assert_eq!(out[0].0, OutputTopic::DeadLetter);
    let payment = r#"{"id":"p9","at":1772445600000,"card":"c","amount":"500.00"}"#;
    let out = desk.step("commands", START_MS, payment);
    let [(OutputTopic::DeadLetter, letter)] = &out[..] else { panic!("{out:#?}") };
    assert_eq!(letter["reason"], "unknown_field");
    let counters = desk.engine.counters();
    assert_eq!((counters.read, counters.decided(), counters.dead_lettered()), (3, 1, 2));
    assert_eq!(desk.engine.holds_open(), 1);
}

#[test]
fn another_rule_set_takes_commands_about_the_holds_of_the_one_before() {
    let mut desk = Desk::new();
    let placed = desk.pay("p1", START_MS, "500.00");
    let hold_id = placed[1].1["hold_id"].as_str().unwrap();
    let files = vec![Source { path: "a.risk".into(), text: RULES.replace("> 100", "> 200") }];
    let (other, _) = riskweir::rules::compile(&Sources::of(files));
    desk.engine.activate(Arc::new(other.unwrap())).unwrap();
    let out = desk.command(START_MS, &command("c1", "hold.release", hold_id));
    assert_eq!((&out[0].1["state"], out.len()), (&json!("released"), 2));
    // And one on a topic that was not read before.
    let mut fresh = Desk::new();
    let (other, _) = riskweir::rules::compile(&program().sources);
    fresh.engine.activate(Arc::new(other.unwrap())).unwrap();
    let out = fresh.command(START_MS, &command("c1", "hold.release", hold_id));
    assert_eq!(out[0].1["command"]["cause"], "unknown_hold");
}

/// Rules over the payments of a fleet: what is above 900 is stopped for two seconds, what is above 100 for an hour.
const STOPS: &str = r#"
event pay from "payments"
  id    pay_id  : text    from "/id"
  time  made_at : time    from "/at" unit ms
  key   account : account from "/account"
  field amount  : money   from "/amount" currency EUR
rule large
  id "R-1"  owner fraud  severity high
  on pay
  when amount > 100 EUR and amount <= 900 EUR
  then hold for 1h otherwise release
rule huge
  id "R-2"  owner fraud  severity high
  on pay
  when amount > 900 EUR
  then hold for 2s otherwise block
"#;

/// The service on real Kafka, with its topic of commands.
struct Office<'a> {
    fleet: Fleet<'a>,
    setting: String,
    service: Binary,
    /// States of each payment's hold, in the order in which they were first seen.
    known: BTreeMap<String, Vec<String>>,
    ids: BTreeMap<String, String>,
}

impl<'a> Office<'a> {
    fn open(broker: &'a Broker, test: &str, mode: &'static str) -> Self {
        let fleet = Fleet::new(broker, test, (mode, 2));
        fs::write(fleet.rules().join("rules.risk"), STOPS).unwrap();
        let topic = fleet.topic("commands");
        broker.create_topic(&topic, 2);
        let setting = format!("topics.commands={topic}");
        let service = fleet.start("one", &[&setting]);
        Self { fleet, setting, service, known: BTreeMap::new(), ids: BTreeMap::new() }
    }

    fn now_ms() -> i64 {
        let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
        i64::try_from(since.as_millis()).unwrap()
    }

    fn pay(&self, id: &str, amount: &str) {
        let now_ms = Self::now_ms();
        let body =
            format!(r#"{{"id":"{id}","at":{now_ms},"account":"a-{id}","amount":"{amount}"}}"#);
        let mut record = NewRecord::new(format!("a-{id}"), body, 0);
        record.timestamp_ms = None;
        self.fleet.produce(&[record]);
    }

    fn command(&self, id: &str, kind: &str, payment: &str) {
        let mut command = command(id, kind, &self.ids[payment]);
        if kind == "hold.extend" {
            command["deadline_at"] = json!(time(Self::now_ms() + 7_200_000));
        }
        let mut record = NewRecord::new(format!("a-{payment}"), command.to_string(), 0);
        record.timestamp_ms = None;
        self.fleet.broker.produce(&self.fleet.topic("commands"), &[record]);
    }

    fn read(&self, topic: &str) -> Vec<Value> {
        let records = self.fleet.broker.read(&self.fleet.topic(topic), Isolation::Committed);
        let body = |record: Record| serde_json::from_slice(&record.payload.unwrap()).unwrap();
        records.into_iter().map(body).collect()
    }

    /// Waits until the holds of some payments have come so far, and no further.
    #[track_caller]
    fn wait_for(&mut self, expected: &[(&str, &[&str])]) {
        let expected: BTreeMap<String, Vec<String>> = expected
            .iter()
            .map(|(id, states)| {
                ((*id).to_owned(), states.iter().map(|it| (*it).to_owned()).collect())
            })
            .collect();
        let mut found = BTreeMap::new();
        let look = || {
            let mut states: BTreeMap<String, Vec<String>> = BTreeMap::new();
            for hold in self.read("holds") {
                let payment = hold["subject"]["id"].as_str().unwrap().to_owned();
                let of_it = states.entry(payment.clone()).or_default();
                let state = hold["state"].as_str().unwrap().to_owned();
                // What a crash made to be written twice is the same.
                if !of_it.contains(&state) {
                    of_it.push(state);
                }
                found.insert(payment, hold["hold_id"].as_str().unwrap().to_owned());
            }
            self.known = states;
            self.known == expected || self.service.has_ended()
        };
        wait::until(look, || format!("{expected:?}"));
        self.ids = found;
        assert_eq!(self.known, expected, "{}", self.service.describe());
    }

    /// The answers to a command, in order.
    fn answers(&self, id: &str) -> Vec<[String; 3]> {
        let answers = self.read("audit").into_iter();
        let of_it = answers.filter(|audit| audit["command"]["by"]["command_id"] == id);
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        of_it
            .map(|audit| ["result", "cause", "state"].map(|name| text(&audit["command"][name])))
            .collect()
    }

    #[track_caller]
    fn wait_for_answers(&self, id: &str, expected: &[[&str; 3]]) {
        let enough = || self.answers(id).len() >= expected.len() || self.service.has_ended();
        wait::until(enough, || {
            format!("{id}: {:?}; {}", self.answers(id), self.service.describe())
        });
        assert_eq!(self.answers(id), expected, "{}", self.service.describe());
    }

    fn kill_and_start(self) -> Self {
        let Self { fleet, setting, service, known, ids } = self;
        service.kill();
        let service = fleet.start("one", &[&setting]);
        Self { fleet, setting, service, known, ids }
    }
}

fn a_day_at_the_office(test: &str, mode: &'static str) {
    let mut office = Office::open(Broker::shared(), test, mode);
    for (id, amount) in [("a", "200.00"), ("b", "300.00"), ("c", "400.00"), ("d", "950.00")] {
        office.pay(id, amount);
    }
    // Nothing else happens, and the deadline of the fourth comes all the same.
    let placed: &[&str] = &["placed"];
    let expired: &[&str] = &["placed", "expired"];
    office.wait_for(&[("a", placed), ("b", placed), ("c", placed), ("d", expired)]);
    office.command("1", "hold.release", "a");
    office.command("2", "hold.extend", "b");
    office.command("3", "hold.release", "d");
    let (released, extended) = (["placed", "released"], ["placed", "extended"]);
    office.wait_for(&[("a", &released), ("b", &extended), ("c", placed), ("d", expired)]);
    office.wait_for_answers("3", &[["refused", "ended", "expired"]]);
    let mut office = office.kill_and_start();
    // It knows all of that when it is back.
    office.command("1", "hold.release", "a");
    office.command("4", "hold.confirm", "a");
    office.command("5", "hold.confirm", "b");
    office.command("6", "hold.release", "c");
    let confirmed = ["placed", "extended", "confirmed"];
    office.wait_for(&[("a", &released), ("b", &confirmed), ("c", &released), ("d", expired)]);
    office.wait_for_answers("1", &[["done", "", "released"], ["repeated", "", "released"]]);
    office.wait_for_answers("4", &[["refused", "ended", "released"]]);
    wait::until(
        || office.service.books().is_some_and(|books| books.in_flight == 0),
        || office.service.describe(),
    );
    let said = office.service.stop_in_order();
    assert!(said.contains("Stopped in order."), "{said}");
}

#[test]
fn commands_and_deadlines_survive_a_kill_idempotent() {
    a_day_at_the_office("office-i", "idempotent");
}

#[test]
fn commands_and_deadlines_survive_a_kill_transactional() {
    a_day_at_the_office("office-t", "transactional");
}

/// One key would have another number in the one than in the other, and its release come to who knows no such hold.
#[test]
fn a_topic_of_commands_with_other_partitions_than_the_input_ends_the_start_with_both_named() {
    let broker = Broker::shared();
    let fleet = Fleet::new(broker, "uneven", ("idempotent", 2));
    let topic = fleet.topic("commands");
    broker.create_topic(&topic, 3);
    let commands = format!("topics.commands={topic}");
    let (code, said) = fleet.start("one", &["kafka.partitioned_by=account", &commands]).ended();
    assert_eq!(code, Some(1), "{said}");
    let named = [format!("`{}` 2", fleet.input()), format!("`{topic}` 3")];
    assert!(said.contains("error[K0015]") && named.iter().all(|it| said.contains(it)), "{said}");
    // One engine for all finds every hold.
    let service = fleet.start("one", &[&commands]);
    assert!(service.stop_in_order().contains("Stopped in order."));
}
