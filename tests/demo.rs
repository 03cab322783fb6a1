//! `demo` and `generate` as a stranger runs them: the real binary, nothing installed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use riskweir::demo::customers::{Customers, Reply};
use riskweir::demo::tally::Fact;
use riskweir::demo::traffic::{Traffic, TrafficConfig, TrafficEvent};
use riskweir::demo::wire::Decision;
use riskweir::engine::{Engine, EngineOptions, Input, OutputTopic};
use serde_json::Value;

use support::wait;

fn riskweir() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    command.stdin(Stdio::null());
    command
}

#[track_caller]
fn generate(arguments: &[&str]) -> Output {
    let output = riskweir().arg("generate").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The body of an HTTP answer, if there is one.
fn get(address: &str, path: &str) -> Option<String> {
    ask(address, path, "").filter(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// The HTTP answer to a request with further header lines, if there is one.
fn ask(address: &str, path: &str, headers: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: riskweir\r\nConnection: close\r\n");
    write!(stream, "{head}{headers}\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The API of a running demonstration: let in is who has the token of this run, to look and no more. Gives the token's file.
fn look_by_api(start: &Value) -> PathBuf {
    let url = start["api"].as_str().unwrap();
    let address = url.strip_prefix("http://127.0.0.1:").unwrap().strip_suffix("/v1").unwrap();
    let address = format!("127.0.0.1:{address}");
    let file = PathBuf::from(start["token_file"].as_str().unwrap());
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(file.parent().unwrap())), (0o600, 0o700));
    let token = std::fs::read_to_string(&file).unwrap();
    let bearer = format!("Authorization: Bearer {token}\r\n");
    let status = |headers: &str| ask(&address, "/v1/decisions", headers).unwrap();
    for nobody in ["", "Authorization: Bearer demo\r\n"] {
        assert!(status(nobody).starts_with("HTTP/1.1 401"), "{}", status(nobody));
    }
    wait::until(
        || status(&bearer).contains("riskweir.decision.v1"),
        || format!("no decisions by the API: {}", status(&bearer)),
    );
    let me = ask(&address, "/v1/me", &bearer).unwrap();
    assert!(me.contains("viewer") && !me.contains("admin") && !me.contains("service"), "{me}");
    file
}

/// What became of second factors: of what customers answered.
fn check_challenges(summary: &Value) {
    let of = |name: &str| summary["challenges"][name].as_u64().unwrap();
    let replies = summary["replies"].as_u64().unwrap();
    assert!(of("passed") + of("failed") <= replies, "{summary}");
}

/// Sum over the samples of a metric.
fn sum(text: &str, metric: &str) -> f64 {
    let of_metric =
        |line: &&str| line.strip_prefix(metric).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let values = text.lines().filter(of_metric).filter_map(|line| line.rsplit(' ').next());
    values.map(|value| value.parse::<f64>().unwrap()).sum()
}

/// The amount of a generated record, wherever its kind keeps it.
fn amount(body: &Value) -> Option<&Value> {
    ["/amount", "/payment/amount", "/cash/amount"].iter().find_map(|at| body.pointer(at))
}

#[test]
fn a_short_demo_decides_every_record_and_its_books_balance() {
    let mut child = riskweir()
        .args(["demo", "--for", "5s", "--rate", "400/s", "--seed", "7"])
        .args(["--format", "json", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let start: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
    let metrics = start["metrics"].as_str().unwrap();
    let address = metrics.strip_prefix("http://").unwrap().strip_suffix("/metrics").unwrap();
    wait::until(
        || {
            get(address, "/metrics").is_some_and(|text| {
                let read = sum(&text, "riskweir_records_read_total");
                let done = sum(&text, "riskweir_decisions_total")
                    + sum(&text, "riskweir_dead_letter_total")
                    + sum(&text, "riskweir_commands_total")
                    + sum(&text, "riskweir_records_in_flight");
                assert!((read - done).abs() < 0.5, "a scrape that does not balance:\n{text}");
                read > 100.0
            })
        },
        || "no scrape with records".to_owned(),
    );
    let token = look_by_api(&start);
    let records: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    assert!(!token.parent().unwrap().exists(), "the token is gone with its run");

    let of_kind = |kind: &str| records.iter().filter(|it| it["kind"] == kind).collect::<Vec<_>>();
    let [summary] = of_kind("summary")[..] else { panic!("one summary") };
    let books = &summary["books"];
    assert_eq!(books["balanced"], true, "{summary}");
    let count = |name: &str| books[name].as_u64().unwrap();
    // 400 records per second for 5 seconds, and what customers answered. Where the machine is busy, records wait for them.
    let traffic = count("sent") - summary["replies"].as_u64().unwrap();
    assert!((100..=2_000).contains(&traffic), "{traffic}");
    assert_eq!(count("read"), count("sent"));
    assert_eq!(count("decided") + count("dead_lettered"), count("sent"));
    assert_eq!((count("in_flight"), count("outputs_lost_unread")), (0, 0));
    check_challenges(summary);
    let verdicts = |name: &str| {
        let it = &summary[name];
        it["right"].as_u64().unwrap() + it["wrong"].as_u64().unwrap()
    };
    let alerts = of_kind("alert");
    let holds = of_kind("hold");
    let placed: Vec<_> = holds.iter().filter(|it| it["record"]["state"] == "placed").collect();
    assert!(!alerts.is_empty() && !placed.is_empty(), "{summary}");
    assert_eq!(verdicts("alerts"), alerts.len() as u64);
    assert_eq!(verdicts("holds"), placed.len() as u64);

    let sent = generate(&["--count", "2000", "--seed", "7"]).stdout;
    let parsed = sent.split(|byte| *byte == b'\n').filter_map(|it| serde_json::from_slice(it).ok());
    let bodies: BTreeMap<String, Value> = parsed
        .filter_map(|body: Value| {
            let id = body.pointer("/header/id").or_else(|| body.pointer("/id"))?;
            Some((id.as_str()?.to_owned(), body))
        })
        .collect();
    for hold in placed {
        let body = &bodies[hold["record"]["subject"]["id"].as_str().unwrap()];
        assert_eq!(Some(&hold["record"]["amount"]), amount(body), "{hold}");
    }
}

/// Traffic and rules without a broker: what customers were asked and answered, and the steps of the holds of payments that
/// waited for it, each with whether an answer brought it about.
#[derive(Default)]
struct Play {
    offsets: BTreeMap<&'static str, i64>,
    replies: BTreeMap<String, Reply>,
    /// By time.
    answers: BTreeMap<(i64, String), TrafficEvent>,
    steps: BTreeMap<String, Vec<(String, bool)>>,
}

impl Play {
    fn step(&mut self, engine: &mut Engine, customers: &Customers, event: &TrafficEvent) {
        let stream = engine.open_stream(event.topic, 0);
        let offset = self.offsets.entry(event.topic).or_default();
        let input = Input { stream, offset: *offset, arrival_ms: None, payload: Some(&event.body) };
        *offset += 1;
        let mut outputs: Vec<riskweir::engine::Output> = Vec::new();
        engine.step(&input, &mut outputs);
        let fact = Fact {
            due: std::time::Duration::ZERO,
            label: event.label,
            episode: event.episode,
            amount: None,
            is_noticed: false,
            key: event.key.clone(),
            time_ms: event.time_ms,
        };
        for output in outputs {
            let record: Value = serde_json::from_slice(&output.body).unwrap();
            if output.topic == OutputTopic::Decisions {
                let decision: Decision = serde_json::from_value(record).unwrap();
                let Some((reply, answer)) = customers.ask(&decision, &fact) else { continue };
                self.replies.insert(decision.event.id, reply);
                let answer = answer.map(|it| ((it.time_ms, it.event_id.clone()), it));
                self.answers.extend(answer);
            } else if output.topic == OutputTopic::Holds {
                let id = record["subject"]["id"].as_str().unwrap().to_owned();
                let is_asked = record["state"] == "placed" && record["challenge"].is_string();
                if is_asked || self.steps.contains_key(&id) {
                    let step = record["state"].as_str().unwrap().to_owned();
                    let by_answer = record["answered_by"].is_object();
                    self.steps.entry(id).or_default().push((step, by_answer));
                }
            }
        }
    }

    /// Whoever answered before this time is heard.
    fn hear(&mut self, engine: &mut Engine, customers: &Customers, until_ms: i64) {
        while let Some(first) = self.answers.first_entry().filter(|it| it.key().0 <= until_ms) {
            let answer = first.remove();
            self.step(engine, customers, &answer);
        }
    }
}

#[test]
fn customers_of_the_demo_pass_fail_or_keep_silent_and_their_payments_go_or_stay() {
    let rules = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let sources = riskweir::loader::load(&rules).unwrap();
    let program = riskweir::rules::compile(&sources).0.unwrap();
    let customers = Customers::of(1, &program);
    let mut engine = Engine::new(Arc::new(program), EngineOptions::default()).unwrap();
    let mut play = Play::default();
    for event in Traffic::new(TrafficConfig::default()).take(12_000) {
        play.hear(&mut engine, &customers, event.time_ms);
        play.step(&mut engine, &customers, &event);
    }
    let mut n = BTreeMap::new();
    for (payment, steps) in &play.steps {
        let steps: Vec<(&str, bool)> = steps.iter().map(|(step, by)| (&**step, *by)).collect();
        let [("placed", false), next, ..] = steps[..] else {
            // Its time is not over yet.
            assert_eq!(steps, [("placed", false)], "{payment}");
            continue;
        };
        let reply = play.replies[payment];
        let is_so = match reply {
            Reply::Passed => next == ("released", true),
            // Held, or refused, as the rule says.
            Reply::Failed => next == ("escalated", true) || next == ("confirmed", true),
            Reply::Silent => next == ("escalated", false) || next == ("expired", false),
        };
        assert!(is_so, "{payment}: {reply:?} {steps:?}");
        *n.entry(format!("{reply:?}")).or_insert(0) += 1;
    }
    assert!(n.len() == 3 && n.values().sum::<i32>() >= 10, "{n:?}");
}

#[test]
fn a_demo_far_from_any_rule_folder_has_the_shipped_rules_and_their_models() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = riskweir()
        .current_dir(elsewhere.path())
        .args(["demo", "--for", "1s", "--rate", "100/s", "--format", "json"])
        .args(["--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let start: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let rules = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let sources = riskweir::loader::load(&rules).unwrap();
    let program = riskweir::rules::compile(&sources).0.unwrap();
    assert!(program.models.len() >= 3);
    assert_eq!(start["ruleset"], program.digest.short_hex());
    let summary: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(summary["watching"].is_object() && summary["models"].is_object(), "{summary}");
}

#[test]
fn the_same_seed_generates_the_same_bytes_and_the_labels_name_generated_records() {
    let folder = tempfile::tempdir().unwrap();
    let labels = folder.path().join("labels.ndjson");
    let first = generate(&["--count", "1000", "--seed", "7"]).stdout;
    let path = labels.to_str().unwrap();
    let second = generate(&["--count", "1000", "--seed", "7", "--labels", path]).stdout;
    assert!(first == second);
    assert!(first != generate(&["--count", "1000", "--seed", "8"]).stdout);
    let text = String::from_utf8_lossy(&first).into_owned();
    assert_eq!(text.lines().count(), 1_000);
    let labels = std::fs::read_to_string(labels).unwrap();
    assert!(labels.lines().count() > 10);
    for line in labels.lines() {
        let label: Value = serde_json::from_str(line).unwrap();
        assert!(text.contains(label["event_id"].as_str().unwrap()), "{line}");
        assert!(label["episode"].as_u64().unwrap() > 0, "{line}");
        assert_eq!(label["verdict"], "fraud", "{line}");
    }
}

#[test]
fn a_rate_without_sense_is_refused_with_an_example() {
    let output = riskweir().args(["generate", "--rate", "often"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("200/s"));
}
