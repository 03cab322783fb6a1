//! `demo` and `generate` as a stranger runs them: the real binary, nothing installed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Output, Stdio};

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
    let mut stream = TcpStream::connect(address).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: riskweir\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.starts_with("HTTP/1.1 200").then_some(answer)
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
        .args(["--format", "json", "--listen", "127.0.0.1:0"])
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
    let records: Vec<Value> = lines.map(|line| serde_json::from_str(&line).unwrap()).collect();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    let of_kind = |kind: &str| records.iter().filter(|it| it["kind"] == kind).collect::<Vec<_>>();
    let [summary] = of_kind("summary")[..] else { panic!("one summary") };
    let books = &summary["books"];
    assert_eq!(books["balanced"], true, "{summary}");
    let count = |name: &str| books[name].as_u64().unwrap();
    assert_eq!(count("sent"), 2_000, "400 records per second for 5 seconds");
    assert_eq!(count("read"), 2_000);
    assert_eq!(count("decided") + count("dead_lettered"), 2_000);
    assert_eq!((count("in_flight"), count("outputs_lost_unread")), (0, 0));
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

#[test]
fn a_demo_far_from_any_rule_folder_has_the_shipped_rules_and_their_models() {
    let elsewhere = tempfile::tempdir().unwrap();
    let output = riskweir()
        .current_dir(elsewhere.path())
        .args(["demo", "--for", "1s", "--rate", "100/s", "--format", "json"])
        .args(["--listen", "127.0.0.1:0"])
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
