//! Hostile and messy values through the engine and out again (rows H11, H12, H15 and F25 of `docs/RELIABILITY.md`): ids
//! that only look alike, texts that want to be code, fields that change under way, partitions that fall silent.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::fs;
use std::process::Command;
use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Input, Output, OutputTopic};
use serde_json::{Value, json};

const RULES: &str = r#"
event payment from "in"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money currency EUR
  field name   : text?
  field mood   : one of [calm, hasty]?
rule seen "seen before"
  id "R-1"  owner fraud  severity low
  on payment
  let n = count(payment) by card over last 1h
  when n >= 1
  if missing skip
  then alert queue l1 message "{n} of {card} by {name}"
rule large "large"
  id "R-2"  owner fraud  severity high
  on payment
  when amount > 100 EUR
  then hold for 1h otherwise release reason "large"
"#;

fn engine() -> Engine {
    let files = vec![Source { path: "a.risk".to_owned(), text: RULES.to_owned() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    let program = program.unwrap_or_else(|| panic!("{report:#?}"));
    Engine::new(Arc::new(program), EngineOptions::default()).unwrap()
}

fn payment(n: i64, at: i64, more: &Value) -> Value {
    let mut record = json!({"id": format!("p{n}"), "at": at, "card": "c", "amount": "5.00"});
    for (name, value) in more.as_object().unwrap() {
        record[name] = value.clone();
    }
    record
}

/// What one record brings about in a partition.
fn step(engine: &mut Engine, partition: i32, offset: i64, record: &str) -> Vec<Output> {
    let stream = engine.open_stream("in", partition);
    let mut outputs: Vec<Output> = Vec::new();
    let input = Input { stream, offset, arrival_ms: None, payload: Some(record.as_bytes()) };
    engine.step(&input, &mut outputs);
    outputs
}

fn of(outputs: &[Output], topic: OutputTopic) -> Vec<Value> {
    let found = outputs.iter().filter(|output| output.topic == topic);
    found.map(|output| serde_json::from_slice(&output.body).unwrap()).collect()
}

/// The words of the only alert.
fn message(outputs: &[Output]) -> String {
    let alerts = of(outputs, OutputTopic::Alerts);
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    alerts[0]["message"].as_str().unwrap().to_owned()
}

#[test]
fn h11_ids_that_only_look_alike_are_others_and_are_kept_as_they_came() {
    let mut engine = engine();
    // Latin, Cyrillic а, a zero-width space, composed and decomposed é, capital, a space at the end.
    let cards = ["case", "c\u{430}se", "ca\u{200b}se", "caf\u{e9}", "cafe\u{301}", "Case", "case "];
    for (n, card) in (0_i64..).zip(cards) {
        let record = payment(n, 1_000 + n, &json!({"card": card, "name": "x"})).to_string();
        let outputs = step(&mut engine, 0, n, &record);
        // Each is the first of its kind.
        assert!(message(&outputs).starts_with("1 of "), "{card:?}: {}", message(&outputs));
        let decision = outputs.iter().find(|output| output.topic == OutputTopic::Decisions);
        assert_eq!(decision.unwrap().key, card.as_bytes(), "the key of outputs is the raw id");
    }
    let again = payment(99, 2_000, &json!({"card": "caf\u{e9}", "name": "x"})).to_string();
    assert!(message(&step(&mut engine, 0, 99, &again)).starts_with("2 of caf\u{e9} "));
    // However it is written: an escape stands for the same letter.
    let escaped = again.replace("caf\u{e9}", "caf\\u00e9").replace("p99", "p100");
    assert!(message(&step(&mut engine, 0, 100, &escaped)).starts_with("3 of caf\u{e9} "));
}

const HOSTILE: [&str; 6] = [
    "=cmd|'/c calc'!A1",
    "<script>alert(1)</script>",
    "\u{1b}[2J\u{1b}]0;title\u{7}red\u{1b}[31m",
    "two\nlines\r\nand \u{2028} a third",
    "right\u{202e}tfel",
    "\"},\"outcome\":\"pass\",\"x\":{\"",
];

#[test]
fn h12_texts_that_want_to_be_code_leave_as_inert_json_on_one_line() {
    let mut engine = engine();
    for (n, name) in (0_i64..).zip(HOSTILE) {
        let more = json!({"name": name, "amount": "500.00", "card": format!("c{name}")});
        let outputs = step(&mut engine, 0, n, &payment(n, 1_000 + n, &more).to_string());
        assert_eq!(
            outputs.len(),
            5,
            "decision, alert, hold, and entries of two of them in the audit chain"
        );
        for output in &outputs {
            let harmful = |byte: &u8| *byte < 0x20 || *byte == 0x7f;
            assert!(
                !output.body.iter().any(harmful),
                "{:?}",
                String::from_utf8_lossy(&output.body)
            );
        }
        let decision = &of(&outputs, OutputTopic::Decisions)[0];
        assert_eq!((&decision["outcome"], decision.get("x")), (&json!("hold"), None));
        // What people read has no letter that moves a cursor or turns the direction of what stands beside it.
        let words = message(&outputs);
        let turns = |c: char| c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c);
        assert!(!words.contains(turns), "{words:?}");
    }
}

#[test]
fn h12_texts_that_want_to_be_code_never_reach_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir(path("rules")).unwrap();
    fs::write(path("rules/a.risk"), RULES).unwrap();
    let records = (0_i64..).zip(HOSTILE).flat_map(|(n, name)| {
        let good = payment(n, 1_000 + n, &json!({"name": name, "amount": "500.00"}));
        let bad = payment(n, 1_000 + n, &json!({"mood": name, "id": format!("bad{n}")}));
        [good.to_string(), bad.to_string(), format!("no json {name}").replace(['\n', '\r'], " ")]
    });
    fs::write(path("events.ndjson"), records.collect::<Vec<_>>().join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
    command.arg("backtest").arg("--rules").arg(path("rules"));
    command.arg("--input").arg(path("events.ndjson")).arg("--out").arg(path("out"));
    let done = command.env("NO_COLOR", "1").output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for said in [done.stdout, done.stderr] {
        let said = String::from_utf8(said).unwrap();
        assert!(!said.contains(|c: char| c.is_control() && c != '\n' && c != '\r'), "{said:?}");
        for word in ["cmd", "script", "title", "third", "tfel"] {
            assert!(!said.contains(word), "{said}");
        }
    }
    for (file, n) in [("decisions", 6), ("dead_letter", 12)] {
        let text = fs::read_to_string(path("out").join(format!("{file}.ndjson"))).unwrap();
        assert_eq!(text.lines().count(), n, "{file}: one line a record");
    }
}

#[test]
fn h15_fields_that_go_rename_and_change_their_type_are_counted_by_field() {
    let mut engine = engine();
    let mut records = vec![payment(0, 1_000, &json!({}))];
    // Renamed: the required field is missing. Types changed: a number that became an object, a set with a new member.
    for n in 1..4 {
        let mut renamed = payment(n, 1_000 + n, &json!({"amount_eur": "5.00"}));
        renamed.as_object_mut().unwrap().remove("amount");
        records.push(renamed);
    }
    records.push(payment(4, 1_004, &json!({"amount": {"value": "5.00"}})));
    records.push(payment(5, 1_005, &json!({"mood": "furious"})));
    records.push(payment(6, 1_006, &json!({"name": 7})));
    // An optional field that goes is no error, and neither is one that nobody declared.
    records.push(payment(7, 1_007, &json!({"news": [1, 2, 3]})));
    let mut reasons = Vec::new();
    for (offset, record) in (0_i64..).zip(&records) {
        let outputs = step(&mut engine, 0, offset, &record.to_string());
        for letter in of(&outputs, OutputTopic::DeadLetter) {
            let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
            reasons.push((offset, text("reason"), text("field")));
        }
    }
    let row =
        |offset: i64, reason: &str, field: &str| (offset, reason.to_owned(), field.to_owned());
    let amount = |offset| row(offset, "missing_field", "payment.amount");
    let expected = [
        amount(1),
        amount(2),
        amount(3),
        row(4, "wrong_type", "payment.amount"),
        row(5, "unknown_member", "payment.mood"),
        row(6, "wrong_type", "payment.name"),
    ];
    assert_eq!(reasons, expected);
    let counted = &engine.counters().mapping_errors;
    let counted: Vec<(&str, u64)> = counted.iter().map(|(field, n)| (field.as_str(), *n)).collect();
    assert_eq!(counted, [("payment.amount", 4), ("payment.mood", 1), ("payment.name", 1)]);
}

/// F25: hours pass in one partition and nothing comes in the other.
#[test]
fn f25_a_silent_partition_hinders_no_window_and_its_holds_end_with_its_next_record() {
    let mut engine = engine();
    let hours = |n: i64| n * 3_600_000;
    let large = payment(0, hours(1), &json!({"amount": "500.00", "card": "silent"})).to_string();
    assert_eq!(of(&step(&mut engine, 1, 0, &large), OutputTopic::Holds)[0]["state"], "placed");
    for n in 0..20 {
        // Every half an hour one: each finds itself and the one before it, however long partition 1 is silent.
        let at = hours(2) + n * 1_800_000;
        let record = payment(100 + n, at, &json!({"card": "busy", "name": "x"})).to_string();
        let outputs = step(&mut engine, 0, n, &record);
        let count = if n == 0 { 1 } else { 2 };
        assert!(
            message(&outputs).starts_with(&format!("{count} of busy ")),
            "{}",
            message(&outputs)
        );
        // The hold of the silent partition is on its own clock: its deadline, hour 2, has long passed on the other.
        assert_eq!(of(&outputs, OutputTopic::Holds), [Value::Null; 0]);
    }
    let next = payment(1, hours(2), &json!({"card": "silent"})).to_string();
    let ended = of(&step(&mut engine, 1, 1, &next), OutputTopic::Holds);
    assert_eq!((ended.len(), &ended[0]["state"]), (1, &json!("expired")));
}
