//! One day of a bank on a real Apache Kafka, written by hand: frauds, holds that people decide and one that they do not, second
//! factors that are passed and failed, labels, a broken record and a repeat. Every record that comes out is expected by hand,
//! the audit trail verifies, and each decision is derived again with an empty diff.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use riskweir::base::time::parse_rfc3339;
use serde_json::{Value, json};

use support::binary::{Binary, command};
use support::broker::Broker;
use support::topics::{Isolation, NewRecord, prefix};
use support::wait;

const OUTPUTS: [&str; 6] = ["decisions", "alerts", "holds", "audit", "dead_letter", "checkpoints"];

const RULES: &str = r#"
event pay from "day" when "/type" = "pay"
  id    pay_id  : text  from "/id"
  time  made_at : time  from "/at" unit ms
  key   card    : card
  field amount  : money currency EUR

event answer from "day" when "/type" = "answer"
  id    answer_id   : text from "/id"
  time  answered_at : time from "/at" unit ms
  field payment     : text
  field outcome     : one of [passed, failed]
  answers pay by payment verdict outcome passed [passed] failed [failed]

event dispute from "day" when "/type" = "dispute"
  id    dispute_id : text from "/id"
  time  known_at   : time from "/at" unit ms
  field payment    : text
  field finding    : one of [fraud, genuine]
  labels pay by payment verdict finding fraud [fraud] genuine [genuine]

policy decisions
  base currency EUR
  timezone "UTC"

rule large "a large payment"
  id "R-1"  owner tests  severity high  mode live
  on pay
  when amount >= 500.00 EUR
  then hold for 30m otherwise release reason "a large payment of {amount}"

rule tried_out "a card that is tried out"
  id "R-2"  owner tests  severity medium  mode live
  on pay
  when count(pay where amount < 5.00 EUR) by card over last 10m >= 3
  if missing skip
  then score +20 in speed
       alert queue l1 once per card per 1h message "{card} is tried out"

rule unsure "a payment that asks for a second factor"
  id "R-3"  owner tests  severity low  mode live
  on pay
  when amount >= 100.00 EUR and amount < 500.00 EUR
  then step_up sms within 5m otherwise block
"#;

struct Day {
    broker: &'static Broker,
    prefix: String,
    folder: tempfile::TempDir,
    service: Option<Binary>,
    /// When it begins, in ms since 1970: now. WHY: the service lets deadlines come by its clock, and these are to come by the
    /// times of events, which lie hours ahead of it.
    begin_ms: i64,
}

/// A record that came out: its number in the order of decisions, its topic, and what of it is expected.
type Line = (u64, &'static str, String);

impl Day {
    fn new() -> Self {
        let (broker, folder) = (Broker::shared(), tempfile::tempdir().unwrap());
        let mut day =
            Self { broker, prefix: prefix("day"), folder, service: None, begin_ms: now_ms() };
        for name in ["day", "commands"] {
            broker.create_topic(&day.topic(name), 1);
        }
        for name in OUTPUTS {
            broker.create_topic(&day.topic(name), 1);
        }
        fs::create_dir(day.path("rules")).unwrap();
        let rules = RULES.replace("\"day\"", &format!("\"{}\"", day.topic("day")));
        fs::write(day.path("rules/rules.risk"), rules).unwrap();
        let made = command().args(["audit", "keygen", &day.path("key.pem")]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        day.configure();
        day.service = Some(Binary::start(&["run", "-c", &day.path("riskweir.yaml")]));
        day
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn configure(&self) {
        let mut text = format!(
            "version: 1\nkafka:\n  brokers: [\"{}\"]\n  group_id: {}\nrules:\n  path: {}\nsnapshot:\n  dir: {}\n  interval: 1h\ntime:\n  future_guard: 1d\nhttp:\n  listen: 127.0.0.1:0\naudit:\n  key_file: {}\ntopics:\n  commands: {}\n",
            self.broker.address(),
            self.topic("group"),
            self.path("rules"),
            self.path("snapshots"),
            self.path("key.pem"),
            self.topic("commands"),
        );
        for output in OUTPUTS {
            text.push_str(&format!("  {output}: {}\n", self.topic(output)));
        }
        fs::write(self.path("riskweir.yaml"), text).unwrap();
    }

    fn service(&self) -> &Binary {
        self.service.as_ref().unwrap()
    }

    fn bodies(&self, name: &str) -> Vec<Value> {
        let records = self.broker.read(&self.topic(name), Isolation::Committed);
        let bodies = records.into_iter().filter_map(|record| record.payload);
        bodies.map(|body| serde_json::from_slice(&body).unwrap()).collect()
    }

    /// A record, and what it brings about: so many records more in this topic.
    fn tell(&self, (topic, body): (&str, &str), (output, n): (&str, usize)) {
        let before = self.bodies(output).len();
        let record = NewRecord::new("k", body.as_bytes().to_vec(), self.begin_ms);
        self.broker.produce(&self.topic(topic), &[record]);
        wait::until(
            || self.bodies(output).len() >= before + n || self.service().has_ended(),
            || format!("an answer to {body}: {}", self.service().describe()),
        );
    }

    fn event(&self, minute: i64, body: &Value) {
        let mut body = body.clone();
        body["at"] = json!(self.begin_ms + minute * 60_000);
        self.tell(("day", &body.to_string()), ("decisions", 1));
    }

    fn pay(&self, minute: i64, id: &str, card: &str, amount: &str) {
        self.event(minute, &json!({"type": "pay", "id": id, "card": card, "amount": amount}));
    }

    /// What somebody asks of the hold of a payment.
    fn ask(&self, kind: &str, payment: &str) {
        let holds = self.bodies("holds");
        let hold = holds.iter().find(|hold| hold["subject"]["id"] == payment).unwrap();
        let body = json!({
            "schema": "riskweir.command.v1", "command_id": format!("{kind} {payment}"), "kind": kind,
            "hold_id": hold["hold_id"], "actor": "ann", "reason": "called the customer",
        });
        self.tell(("commands", &body.to_string()), ("holds", 1));
        let is_it = |it: &Value| it.pointer("/command/by/command_id") == Some(&body["command_id"]);
        wait::until(
            || self.bodies("audit").iter().any(is_it) || self.service().has_ended(),
            || format!("an answer to {body}: {}", self.service().describe()),
        );
    }

    /// Everything that came out, in the order of decisions, as it is expected below.
    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<(u64, usize, Line)> = Vec::new();
        for (place, name) in (0..).zip(&OUTPUTS[..5]) {
            for record in self.broker.read(&self.topic(name), Isolation::Committed) {
                let body: Value = serde_json::from_slice(&record.payload.unwrap()).unwrap();
                // Commands and events are read side by side, so who imported labels may be told before or behind them.
                if body.pointer("/command/kind") == Some(&json!("act")) {
                    continue;
                }
                let header = record.headers.iter().find(|(key, _)| key == "sequence").unwrap();
                let number =
                    core::str::from_utf8(header.1.as_ref().unwrap()).unwrap().parse().unwrap();
                lines.push((number, place, (number, name, said(name, &body, self.begin_ms))));
            }
        }
        lines.sort_by_key(|(number, place, _)| (*number, *place));
        lines.into_iter().map(|(_, _, line)| line).collect()
    }

    /// What happens on the day.
    fn live(&self) {
        let event = |minute: i64, body: Value| self.event(minute, &body);
        // A card is tried out with small payments.
        for (minute, id) in [(0, "p1"), (1, "p2"), (2, "p3"), (3, "p4")] {
            self.pay(minute, id, "c1", "1.00");
        }
        // Three large payments are held: one is let go, one is refused, of one nobody says anything.
        self.pay(60, "p5", "c2", "600.00");
        self.ask("hold.release", "p5");
        self.pay(65, "p6", "c3", "700.00");
        self.ask("hold.confirm", "p6");
        self.pay(70, "p7", "c4", "800.00");
        // The next payment comes behind the deadline of the third: two second factors, one passed and one failed.
        self.pay(120, "p8", "c5", "200.00");
        event(121, json!({"type": "answer", "id": "a1", "payment": "p8", "outcome": "passed"}));
        self.pay(122, "p9", "c6", "300.00");
        event(123, json!({"type": "answer", "id": "a2", "payment": "p9", "outcome": "failed"}));
        // One that nobody answers: refused when its time is over, which the next event says.
        self.pay(124, "p10", "c7", "400.00");
        // Something broken, and the first payment once more.
        self.tell(("day", "{\"type\":\"pay\",\"id\":\"p11\""), ("dead_letter", 1));
        let first = json!({"type": "pay", "id": "p1", "card": "c1", "amount": "1.00"});
        let mut again = first.clone();
        again["at"] = json!(self.begin_ms);
        self.tell(("day", &again.to_string()), ("decisions", 1));
        self.import_labels();
    }

    /// What came out about three payments, weeks later for a bank and an hour here: a file of closed cases.
    fn import_labels(&self) {
        let cases = [("d1", "p6", "fraud"), ("d2", "p5", "genuine"), ("d3", "p3", "fraud")];
        let line = |(minute, (id, payment, finding)): (i64, (&str, &str, &str))| {
            let at = self.begin_ms + minute * 60_000;
            json!({"type": "dispute", "id": id, "payment": payment, "finding": finding, "at": at})
                .to_string()
        };
        let lines: Vec<String> = (180..).zip(cases).map(line).collect();
        fs::write(self.path("closed.ndjson"), lines.join("\n")).unwrap();
        let before = (self.bodies("decisions").len(), self.bodies("audit").len());
        let (config, file) = (self.path("riskweir.yaml"), self.path("closed.ndjson"));
        let arguments = ["labels", "import", "-c", &config, "--input", &file];
        let imported = command().args(arguments).output().unwrap();
        assert!(imported.status.success(), "{imported:?}");
        let now = || (self.bodies("decisions").len(), self.bodies("audit").len());
        wait::until(
            // The first of them is behind the deadline of the last hold, whose end has its entry, too.
            || now() == (before.0 + 3, before.1 + 2),
            || format!("three labels and who imported them: {}", self.service().describe()),
        );
    }

    /// The audit trail verifies, and each decision is derived again, byte for byte.
    fn check_written(&self) {
        let config = self.path("riskweir.yaml");
        let verified = command()
            .args([
                "audit",
                "verify",
                "-c",
                &config,
                "--key",
                &self.path("key.pem.pub"),
                "--format",
                "json",
            ])
            .output()
            .unwrap();
        let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
        assert_eq!(
            (verified.status.code(), &report["sound"]),
            (Some(0), &json!(true)),
            "{report:#}"
        );
        assert_eq!(report["chains"].as_array().unwrap().len(), 2, "{report:#}");
        // Every hold's step is proved, and the decisions that stopped money: p5 to p10.
        let proved = json!([
            {"kind": "decision", "records": 16, "proved": 6},
            {"kind": "hold", "records": 12, "proved": 12},
        ]);
        assert_eq!(report["outputs"], proved);
        let decisions = self.bodies("decisions");
        assert_eq!(decisions.len(), 16);
        for decision in &decisions {
            let id = decision["decision_id"].as_str().unwrap();
            let replayed =
                command().args(["replay", "-c", &config, "--decision", id]).output().unwrap();
            let (diff, why) = (replayed.stdout, String::from_utf8_lossy(&replayed.stderr));
            assert_eq!((replayed.status.code(), &*diff), (Some(0), &b""[..]), "{decision}: {why}");
        }
    }
}

/// The present minute, in ms since 1970.
fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs() / 60 * 60_000).unwrap()
}

/// What of a record is expected, in one line; deadlines in minutes of the day.
fn said(topic: &str, body: &Value, begin_ms: i64) -> String {
    let text = |pointer: &str| {
        let value = body.pointer(pointer).unwrap_or(&Value::Null);
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    };
    match topic {
        "decisions" => {
            let repeat = if body["duplicate"] == true { " again" } else { "" };
            format!("{} {} {}{repeat}", text("/event/id"), text("/outcome"), text("/score"))
        }
        "alerts" if body["schema"] == "riskweir.episode.v1" => {
            format!("{} {}: {} hits", text("/rule"), text("/closed"), text("/hits"))
        }
        "alerts" => format!("{} {}: {}", text("/event/id"), text("/rule"), text("/message")),
        "holds" => {
            let by = [text("/by/actor"), text("/answered_by/id")].concat().replace("null", "");
            let deadline_ms = parse_rfc3339(text("/deadline_at").as_bytes()).unwrap();
            let at = (deadline_ms - begin_ms) / 60_000;
            format!(
                "{} {} until {at} else {} {by}",
                text("/subject/id"),
                text("/state"),
                text("/otherwise")
            )
            .trim_end()
            .to_owned()
        }
        "audit" => {
            let asked = format!(" {} {}", text("/command/kind"), text("/command/result"));
            let linked = format!(" {} {}", text("/decision/outcome"), text("/hold/state"));
            format!("{}{}{}", text("/kind"), asked, linked).replace(" null", "")
        }
        _ => text("/reason"),
    }
}

/// What comes out, worked out by hand, in the order of decisions.
const EXPECTED: [&str; 51] = [
    "decisions: p1 pass 0",
    "audit: ruleset_active",
    "decisions: p2 pass 0",
    "decisions: p3 pass 20",
    "alerts: p3 R-2: c1 is tried out",
    "decisions: p4 pass 20",
    "decisions: p5 hold 0",
    "holds: p5 placed until 90 else release",
    "audit: decision hold",
    "audit: hold placed",
    "holds: p5 released until 90 else release ann",
    "audit: ruleset_active",
    "audit: command hold.release done",
    "decisions: p6 hold 0",
    "holds: p6 placed until 95 else release",
    "audit: decision hold",
    "audit: hold placed",
    "holds: p6 confirmed until 95 else release ann",
    "audit: command hold.confirm done",
    "decisions: p7 hold 0",
    // The card's last hit was p4 in minute 3: quiet an hour later, and five minutes for late events.
    "alerts: R-2 quiet: 2 hits",
    "holds: p7 placed until 100 else release",
    "audit: decision hold",
    "audit: hold placed",
    "decisions: p8 step_up 0",
    "holds: p7 expired until 100 else release",
    "holds: p8 placed until 125 else block",
    "audit: hold expired",
    "audit: decision step_up",
    "audit: hold placed",
    "decisions: a1 pass 0",
    "holds: p8 released until 125 else block a1",
    "audit: hold released",
    "decisions: p9 step_up 0",
    "holds: p9 placed until 127 else block",
    "audit: decision step_up",
    "audit: hold placed",
    "decisions: a2 pass 0",
    "holds: p9 confirmed until 127 else block a2",
    "audit: hold confirmed",
    "decisions: p10 step_up 0",
    "holds: p10 placed until 129 else block",
    "audit: decision step_up",
    "audit: hold placed",
    "dead_letter: invalid_json",
    "decisions: p1 pass 0 again",
    "decisions: d1 pass 0",
    "holds: p10 expired until 129 else block",
    "audit: hold expired",
    "decisions: d2 pass 0",
    "decisions: d3 pass 0",
];

#[test]
fn a_day_comes_out_as_it_was_worked_out_by_hand_verifies_and_is_derived_again() {
    let mut day = Day::new();
    day.live();
    let lines = day.lines();
    let told: Vec<String> =
        lines.iter().map(|(_, topic, line)| format!("{topic}: {line}")).collect();
    assert_eq!(told, EXPECTED, "{told:#?}");
    let audit = day.bodies("audit");
    let acts: Vec<&Value> = audit.iter().filter_map(|it| it.pointer("/command/act")).collect();
    assert_eq!(acts, ["labels.imported"], "who brought labels is in the trail");
    // Labels: of the payment that was held and refused, of the one that was let go, and of the one that was alerted.
    let metric = |name: &str| day.service().metric(name);
    for (rule, verdict) in [("large", "fraud"), ("large", "genuine"), ("tried_out", "fraud")] {
        let labels = format!("{{mode=\"live\",rule=\"{rule}\",verdict=\"{verdict}\"}}");
        assert_eq!(metric(&format!("riskweir_rule_labelled_events{labels}")), Some(1.0), "{rule}");
    }
    day.service.take().unwrap().stop_in_order();
    day.check_written();
}
