//! The program itself, as a person or a script calls it: exit codes, data on standard output, messages on standard error.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use riskweir::durable::{Header, LocalDir, Position, Snapshots};
use serde_json::Value;

mod support;

use support::place::{Place, called};

const RULES: &str = r#"
event payment
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
rule large "More than a hundred"
  id "R-1"  owner fraud  severity high
  on payment
  when amount > 100 EUR
  then hold for 1h otherwise release
       alert queue l1 once per card per 1h
rule busy "Three payments in ten minutes"
  id "R-2"  owner fraud  severity low
  on payment
  when count(payment) by card over last 10m >= 3
  then score +10 in velocity
test large "one cent above"
  when payment(card: "c", amount: 100.01 EUR)
  expect hit, hold for 1h
test busy "the third"
  given 2 payment(card: "c", amount: 1 EUR) every 1m at 1m
  when payment(card: "c", amount: 1 EUR) at 4m
  expect hit, score +10
"#;

/// A folder with `rules/a.risk` and `events.ndjson`.
fn place(rules: &str) -> Place {
    Place::with(&[("rules/a.risk", rules), ("events.ndjson", &events())])
}

/// Runs `backtest` into `out` with more arguments; it must succeed without a word on standard error.
#[track_caller]
fn backtest(place: &Place, out: &str, more: &[&str]) -> String {
    place.good(&[&["backtest", "--out", out][..], more].concat())
}

/// Five hundred payments of ten cards, every seventh large, and one broken record.
fn events() -> String {
    let mut text = String::new();
    for index in 0..500_u32 {
        let (minute, card) = (index / 10, index * 7 % 10);
        let amount = if index % 7 == 3 { "150.00" } else { "5.00" };
        let at = format!("2026-03-02T{:02}:{:02}:00Z", 8 + minute / 60, minute % 60);
        text.push_str(&format!(
            "{{\"id\":\"p{index}\",\"at\":\"{at}\",\"card\":\"c{card}\",\"amount\":\"{amount}\"}}\n"
        ));
    }
    text.push_str("not json\n");
    text
}

/// The same as CSV, without the broken record.
fn events_csv() -> String {
    let mut text = "id,at,card,amount\n".to_owned();
    for line in events().lines().filter(|line| line.starts_with('{')) {
        let record: Value = serde_json::from_str(line).unwrap();
        let cells = ["id", "at", "card", "amount"].map(|name| record[name].as_str().unwrap());
        text.push_str(&format!("{}\n", cells.join(",")));
    }
    text
}

const FILES: [&str; 6] = [
    "decisions.ndjson",
    "alerts.ndjson",
    "episodes.ndjson",
    "holds.ndjson",
    "dead_letter.ndjson",
    "audit.ndjson",
];

#[test]
fn check_says_that_a_rule_set_is_good() {
    let called = place(RULES).call(&["check", "rules"]);
    assert_eq!((called.code, called.err.as_str()), (0, ""));
    assert!(called.out.starts_with("rules: rule set "), "{}", called.out);
    assert!(called.out.contains("1 event types, 2 rules"), "{}", called.out);
}

#[test]
fn check_renders_mistakes_on_standard_error_and_fails() {
    let place = place(&RULES.replace("amount > 100", "amuont > 100"));
    let called = place.call(&["check", "rules"]);
    assert_eq!((called.code, called.out.as_str()), (1, ""));
    assert!(called.err.contains("error[E0101]"), "{}", called.err);
    assert!(called.err.contains("a.risk:10:8"), "{}", called.err);
    assert!(called.err.contains("did you mean `amount`?"), "{}", called.err);
    assert!(called.err.contains("1 error"), "{}", called.err);
}

#[test]
fn check_gives_mistakes_as_json_lines_on_standard_output() {
    let place = place(&RULES.replace("amount > 100", "amuont > 100"));
    let called = place.call(&["check", "rules", "--format", "json"]);
    assert_eq!(called.code, 1);
    let codes: Vec<Value> =
        called.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    assert!(codes.iter().any(|line| line["code"] == "E0101"), "{codes:?}");
    assert!(!called.err.contains("E0101"), "{}", called.err);
    let last = codes.last().unwrap();
    assert_eq!((&last["ruleset"], &last["errors"]), (&Value::Null, &Value::from(codes.len() - 1)));
}

/// Nothing at all would look like a command that did not run.
#[test]
fn check_says_as_json_that_all_is_well() {
    let called = place(RULES).call(&["check", "rules", "--format", "json"]);
    assert_eq!(called.code, 0);
    let lines: Vec<Value> =
        called.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
    let [only] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((&only["errors"], &only["warnings"]), (&Value::from(0), &Value::from(0)));
    assert!(only["ruleset"]["digest"].as_str().is_some_and(|digest| digest.len() > 7), "{only}");
}

/// The mend of one path would break it for the folder that is meant.
#[test]
fn a_project_that_is_taken_for_its_rule_folder_is_told_which_that_is() {
    let rules = format!("{RULES}list l : card from \"lists/l.csv\"\n");
    let place = Place::with(&[
        ("project/rules/cards/a.risk", &rules),
        ("project/rules/lists/l.csv", "c1\n"),
    ]);
    assert_eq!(place.call(&["check", "project/rules"]).code, 0);
    let called = place.call(&["check", "project"]);
    assert_eq!(called.code, 1);
    assert!(called.err.contains("which seems to be `rules`: name that folder"), "{}", called.err);
    assert!(!called.err.contains("did you mean"), "{}", called.err);
    // A path that is wrong in the rule folder itself is mended.
    place.write("project/rules/cards/a.risk", &rules.replace("lists/l.csv", "list/l.csv"));
    let called = place.call(&["check", "project/rules"]);
    assert!(called.err.contains("did you mean `lists/l.csv`?"), "{}", called.err);
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let place = place(RULES);
    for command in ["check", "test"] {
        let called = place.call(&[command, "nowhere"]);
        assert_eq!((called.code, called.out.as_str()), (1, ""));
        assert!(called.err.starts_with("error: could not read `nowhere`: "), "{}", called.err);
    }
    fs::create_dir(place.path().join("empty")).unwrap();
    let called = place.call(&["check", "empty"]);
    assert_eq!(called.code, 1);
    assert!(called.err.contains("there is no `.risk` file in `empty`"), "{}", called.err);
}

#[test]
fn test_runs_the_tests_and_fails_when_one_fails() {
    let called = place(RULES).call(&["test", "rules"]);
    assert_eq!(
        (called.code, called.out.as_str(), called.err.as_str()),
        (0, "2 passed, 0 failed\n", "")
    );
    let verbose = place(RULES).call(&["test", "rules", "--verbose"]);
    assert!(verbose.out.contains("ok    large: one cent above\n"), "{}", verbose.out);
    let broken = place(&RULES.replace("100.01 EUR", "100 EUR"));
    let called = broken.call(&["test", "rules"]);
    assert_eq!(called.code, 1);
    assert!(called.out.contains("FAIL  large: one cent above  (a.risk:18:1)"), "{}", called.out);
    assert!(called.out.contains("expected a hit, but it does not hit"), "{}", called.out);
    // One hundred is not more than one hundred.
    let condition = "when `amount > 100 EUR` does not hold: 100.00 EUR is not more than 100.00 EUR";
    assert!(called.out.contains(&format!("\n        {condition}\n")), "{}", called.out);
    assert!(called.out.ends_with("1 passed, 1 failed\n"), "{}", called.out);
    let json = broken.call(&["test", "rules", "--format", "json"]);
    let lines: Vec<Value> =
        json.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((json.code, lines[0]["passed"].as_bool()), (1, Some(false)));
    assert_eq!(lines[0]["conditions"][0], condition);
    assert_eq!(lines[1]["conditions"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_filter_chooses_tests_by_the_name_of_the_rule_and_one_that_fits_nothing_is_a_mistake() {
    let place = place(&RULES.replace("100.01 EUR", "100 EUR"));
    let called = place.call(&["test", "rules", "--filter", "busy"]);
    assert_eq!((called.code, called.out.as_str()), (0, "1 passed, 0 failed\n"));
    let called = place.call(&["test", "rules", "--filter", "bussy"]);
    assert_eq!((called.code, called.out.as_str()), (1, ""));
    assert!(called.err.contains("`bussy`"), "{}", called.err);
}

#[test]
fn backtest_writes_every_kind_of_record_and_a_table() {
    let place = place(RULES);
    let told = backtest(&place, "out", &["--input", "events.ndjson"]);
    assert_eq!(place.read("out/decisions.ndjson").lines().count(), 500);
    assert_eq!(place.read("out/dead_letter.ndjson").lines().count(), 1);
    // 71 of the numbers below 500 leave 3 when divided by 7.
    let held = place.read("out/holds.ndjson");
    assert_eq!(held.lines().filter(|line| line.contains(r#""state":"placed""#)).count(), 71);
    let row = told.lines().find(|line| line.starts_with("R-1")).unwrap();
    let cells: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(cells[..4], ["R-1", "large", "live", "71"], "{row}");
    assert!(told.contains("501 records: 500 decided"), "{told}");
    assert!(told.contains("1 dead-lettered"), "{told}");
    assert!(told.contains("dead letters: 1 invalid_json"), "{told}");
}

#[test]
fn backtest_gives_its_summary_as_json() {
    let place = place(RULES);
    let told = backtest(&place, "out", &["--input", "events.ndjson", "--format", "json"]);
    let summary: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&summary["records"], &summary["decided"]), (&501.into(), &500.into()));
    let large = summary["rules"].as_array().unwrap().iter().find(|rule| rule["rule"] == "R-1");
    assert_eq!(large.unwrap()["hits"], 71);
    assert_eq!(told, place.read("out/summary.json"));
}

#[test]
fn packed_files_and_any_number_of_threads_give_the_same_bytes() {
    let place = place(RULES);
    let file = |name: &str| fs::File::create(place.path().join(name)).unwrap();
    for folder in ["gz", "zst"] {
        fs::create_dir(place.path().join(folder)).unwrap();
    }
    let mut gz = GzEncoder::new(file("gz/events.ndjson.gz"), Compression::fast());
    gz.write_all(events().as_bytes()).unwrap();
    gz.finish().unwrap();
    let packed = zstd::encode_all(events().as_bytes(), 1).unwrap();
    fs::write(place.path().join("zst/events.ndjson.zst"), packed).unwrap();
    backtest(&place, "one", &["--input", "events.ndjson", "--threads", "1"]);
    for threads in ["2", "4"] {
        backtest(&place, threads, &["--input", "events.ndjson", "--threads", threads]);
        for name in FILES {
            let (one, more) =
                (place.read(&format!("one/{name}")), place.read(&format!("{threads}/{name}")));
            assert!(one == more, "{name} on {threads} threads");
        }
    }
    for (out, input) in [("a", "gz/events.ndjson.gz"), ("b", "zst/events.ndjson.zst")] {
        backtest(&place, out, &["--input", input]);
        let name = input.rsplit('/').next().unwrap();
        let renamed = place.read("one/decisions.ndjson").replace("events.ndjson", name);
        assert!(place.read(&format!("{out}/decisions.ndjson")) == renamed, "{input}");
    }
}

/// H16: 160 KB that unfold to 100 MB in one line, and what other formats begin with.
#[test]
fn a_bomb_in_a_packed_file_is_one_dead_letter_and_takes_bounded_memory() {
    let place = place(RULES);
    let mut lines = vec![b'{'; 100 << 20];
    lines.push(b'\n');
    // Confluent's frame of Avro, old and new magic byte.
    lines.extend(b"\x00\x00\x00\x00\x07\x08p1\n\x01\x00\x00\x00\x07\n");
    lines.extend(events().as_bytes());
    let packed = zstd::encode_all(lines.as_slice(), 1).unwrap();
    assert!(packed.len() < 160_000, "{}", packed.len());
    fs::write(place.path().join("bomb.ndjson.zst"), packed).unwrap();
    let mut shell = Command::new("bash");
    shell
        .arg("-c")
        .arg("ulimit -d 500000 && exec \"$0\" \"$@\"")
        .arg(env!("CARGO_BIN_EXE_riskweir"));
    shell.args(["backtest", "--rules", "rules", "--input", "bomb.ndjson.zst", "--out", "out"]);
    let done = called(shell.current_dir(place.path()).output().unwrap());
    assert_eq!(done.code, 0, "{}", done.err);
    let reason = |line: &str| {
        let letter: Value = serde_json::from_str(line).unwrap();
        (letter["reason"].as_str().unwrap().to_owned(), letter["raw_cut_from"].as_u64())
    };
    let letters: Vec<(String, Option<u64>)> =
        place.read("out/dead_letter.ndjson").lines().map(reason).collect();
    let invalid = ("invalid_json".to_owned(), None);
    let too_large = ("too_large".to_owned(), Some(100 << 20));
    assert_eq!(letters, [too_large, invalid.clone(), invalid.clone(), invalid]);
    assert_eq!(place.read("out/decisions.ndjson").lines().count(), 500);
}

#[test]
fn csv_gives_the_same_decisions_as_ndjson() {
    let place = place(RULES);
    fs::write(place.path().join("events.csv"), events_csv()).unwrap();
    backtest(&place, "csv", &["--input", "events.csv"]);
    backtest(&place, "ndjson", &["--input", "events.ndjson"]);
    let renamed = place.read("ndjson/decisions.ndjson").replace("events.ndjson", "events.csv");
    assert!(place.read("csv/decisions.ndjson") == renamed);
}

#[test]
fn a_row_of_another_width_than_the_header_is_a_dead_letter_and_never_read_by_half() {
    let place = place(RULES);
    let rows = "id,at,card,amount\n\
        p1,2026-03-02T09:00:00Z,c1,1.00\n\
        p2,2026-03-02T09:00:01Z,c1,9,500.00\n\
        p3,2026-03-02T09:00:02Z,c1\n\
        p4,2026-03-02T09:00:03Z,c1,\"2.00\"\n";
    fs::write(place.path().join("rows.csv"), rows).unwrap();
    backtest(&place, "out", &["--input", "rows.csv"]);
    let letters: Vec<Value> = place
        .read("out/dead_letter.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let reasons: Vec<(&Value, &Value)> =
        letters.iter().map(|letter| (&letter["source"]["offset"], &letter["reason"])).collect();
    let wrong = Value::from("wrong_width");
    assert_eq!(reasons, [(&Value::from(1), &wrong), (&Value::from(2), &wrong)]);
    assert_eq!(place.read("out/decisions.ndjson").lines().count(), 2);
}

#[test]
fn a_quote_that_swallows_rows_ends_the_backtest_with_its_line_and_leaves_no_summary() {
    let place = place(RULES);
    backtest(&place, "out", &["--input", "events.ndjson"]);
    assert!(place.path().join("out/summary.json").exists());
    let rows = "id,at,card,amount,note\n\
        p1,2026-03-02T09:00:00Z,c1,1.00,\"open\n\
        p2,2026-03-02T09:00:01Z,c1,999.00,x\n\
        p3,2026-03-02T09:00:02Z,c1,1.00,\"shut\n";
    fs::write(place.path().join("rows.csv"), rows).unwrap();
    let called = place.call(&["backtest", "--input", "rows.csv", "--out", "out"]);
    assert_eq!(called.code, 1);
    let told = called.err;
    assert!(told.contains("line 4") && told.contains("opened in line 2"), "{told}");
    assert!(!place.path().join("out/summary.json").exists());
}

#[test]
fn an_entity_that_no_rule_knows_is_refused_as_the_key_of_partitions() {
    let place = place(RULES);
    fs::write(place.path().join("c.yaml"), "kafka:\n  brokers: [\"127.0.0.1:1\"]\n").unwrap();
    let validate = |entity: &str| {
        let key = format!("kafka.partitioned_by={entity}");
        place.call(&[
            "validate",
            "-c",
            "c.yaml",
            "--rules",
            "rules",
            "--set",
            &key,
            "--set",
            "topics.inputs=[x]",
        ])
    };
    assert_eq!(validate("card").code, 0);
    let called = validate("crad");
    assert_eq!(called.code, 1);
    let told = called.err;
    assert!(told.contains("`crad`") && told.contains("did you mean `card`?"), "{told}");
}

#[test]
fn a_pipe_among_the_rules_is_refused_and_not_waited_for() {
    let place = place(RULES);
    let pipe = place.path().join("rules/pipe.risk");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let called = place.call(&["check", "rules"]);
    assert_eq!(called.code, 1);
    assert!(called.err.contains("pipe.risk` is no regular file"), "{}", called.err);
}

#[test]
fn records_of_a_table_have_their_row_number_and_time_may_count_hours() {
    let rules = r#"
event step
  id    row  : text from "/#row"
  time  hour : time from "/hour" unit hours
  key   who  : wallet
rule third
  id "R-1"  owner fraud  severity low
  on step
  when count(step) by who over last 2h >= 2
  then score +10 in x
"#;
    let place = place(rules);
    fs::write(place.path().join("steps.csv"), "hour,who\n1,a\n2,a\n4,a\n,\n4,\"a,\"\"b\"\n")
        .unwrap();
    backtest(&place, "out", &["--input", "steps.csv"]);
    let decisions: Vec<Value> = place
        .read("out/decisions.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seen: Vec<(&str, &str, i64)> = decisions
        .iter()
        .map(|record| {
            let event = &record["event"];
            let text = |name: &str| event[name].as_str().unwrap();
            (text("id"), text("time"), record["score"].as_i64().unwrap())
        })
        .collect();
    // At hour 4 the window (2, 4] holds row 2 alone.
    let expected = [
        ("0", "1970-01-01T01:00:00Z", 0),
        ("1", "1970-01-01T02:00:00Z", 10),
        ("2", "1970-01-01T04:00:00Z", 0),
        ("4", "1970-01-01T04:00:00Z", 0),
    ];
    assert_eq!(seen, expected);
    let dead: Value = serde_json::from_str(place.read("out/dead_letter.ndjson").trim()).unwrap();
    assert_eq!(
        (dead["reason"].as_str(), dead["source"]["offset"].as_i64()),
        (Some("empty"), Some(3))
    );
}

#[test]
fn several_files_are_one_history() {
    let place = place(RULES);
    let text = events();
    let (first, second) = text.split_at(text.match_indices('\n').nth(249).unwrap().0 + 1);
    fs::write(place.path().join("1.ndjson"), first).unwrap();
    fs::write(place.path().join("2.ndjson"), second).unwrap();
    backtest(&place, "parts", &["--input", "1.ndjson", "2.ndjson"]);
    backtest(&place, "whole", &["--input", "events.ndjson"]);
    let without_source = |name: &str| -> Vec<Value> {
        let text = place.read(&format!("{name}/decisions.ndjson"));
        let parse = |line: &str| {
            let mut record: Value = serde_json::from_str(line).unwrap();
            record.as_object_mut().unwrap().remove("source").unwrap();
            record
        };
        text.lines().map(parse).collect()
    };
    assert_eq!(without_source("parts"), without_source("whole"));
}

#[test]
fn notable_decisions_leave_out_the_plain_passes() {
    let place = place(RULES);
    backtest(&place, "all", &["--input", "events.ndjson"]);
    backtest(&place, "notable", &["--input", "events.ndjson", "--decisions", "notable"]);
    backtest(&place, "none", &["--input", "events.ndjson", "--decisions", "none"]);
    let plain = |line: &&str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["outcome"] == "pass" && record["score"] == 0 && record.get("contributions").is_none()
    };
    let all = place.read("all/decisions.ndjson");
    let expected: Vec<&str> = all.lines().filter(|line| !plain(line)).collect();
    assert!(expected.len() > 71);
    assert_eq!(place.read("notable/decisions.ndjson").lines().collect::<Vec<_>>(), expected);
    assert_eq!(place.read("none/decisions.ndjson"), "");
    for out in ["notable", "none"] {
        for name in ["alerts.ndjson", "holds.ndjson", "dead_letter.ndjson"] {
            assert!(place.read(&format!("{out}/{name}")) == place.read(&format!("all/{name}")));
        }
    }
}

#[track_caller]
fn refused(place: &Place, arguments: &[&str], message: &str) {
    let called = place.call(arguments);
    assert_eq!((called.code, called.out.as_str()), (1, ""), "{}", called.err);
    assert!(called.err.starts_with("error: "), "{}", called.err);
    assert!(called.err.contains(message), "{}", called.err);
    assert_eq!(called.err.lines().count(), 1, "{}", called.err);
}

#[test]
fn what_backtest_cannot_read_or_write_is_named_before_anything_is_written() {
    let place = place(RULES);
    fs::write(place.path().join("events.txt"), "").unwrap();
    fs::write(place.path().join("file"), "").unwrap();
    let run = |input: &'static str, out: &'static str| {
        ["backtest", "--input", "events.ndjson", input, "--out", out]
    };
    refused(&place, &run("events.txt", "out"), "cannot tell the format of `events.txt`");
    refused(&place, &run("missing.ndjson", "out"), "could not read `missing.ndjson`");
    assert!(!place.path().join("out").exists(), "nothing is written");
    refused(&place, &run("events.ndjson", "file"), "could not write `file`");
    backtest(&place, "out", &["--input", "events.ndjson"]);
    let own = ["backtest", "--input", "out/decisions.ndjson", "--out", "out"];
    refused(&place, &own, "`out/decisions.ndjson` is an input and would be overwritten");
    assert_eq!(place.read("out/decisions.ndjson").lines().count(), 500);
    let topic = ["backtest", "--input", "events.ndjson", "--out", "out", "--topic", "cards"];
    refused(&place, &topic, "the schema has no topic `cards`");
    fs::write(place.path().join("cut.ndjson.gz"), b"\x1f\x8b\x08\x00cut").unwrap();
    refused(&place, &run("cut.ndjson.gz", "out"), "could not read `cut.ndjson.gz`");
}

#[test]
fn rules_with_mistakes_run_no_backtest() {
    let place = place(&RULES.replace("amount > 100", "amuont > 100"));
    let called = place.call(&["backtest", "--input", "events.ndjson", "--out", "out"]);
    assert_eq!((called.code, called.out.as_str()), (1, ""));
    assert!(called.err.contains("error[E0101]"), "{}", called.err);
    assert!(!place.path().join("out").exists());
}

#[test]
fn a_wrong_call_ends_with_2_and_help_with_0() {
    let place = place(RULES);
    for arguments in [
        &["backtest"][..],
        &["chekc"],
        &["check", "--format", "yaml"],
        &["backtest", "--input", "events.ndjson", "--out", "out", "--threads", "0"],
        &["backtest", "--input", "events.ndjson", "--out", "out", "--allowed-lateness", "soon"],
    ] {
        let called = place.call(arguments);
        assert_eq!((called.code, called.out.as_str()), (2, ""), "{arguments:?}");
        assert!(called.err.starts_with("error: "), "{}", called.err);
    }
    for arguments in [&["--help"][..], &["backtest", "--help"], &["--version"]] {
        let called = place.call(arguments);
        assert_eq!((called.code, called.err.as_str()), (0, ""), "{arguments:?}");
        assert!(called.out.contains("riskweir"), "{}", called.out);
    }
}

#[test]
fn a_token_that_would_open_nothing_is_not_made() {
    let place = Place::with(&[]);
    let until = |time: &str| {
        place.call(&["token", "new", "--name", "ann", "--role", "viewer", "--expires", time])
    };
    let past = until("2020-01-31T00:00:00Z");
    assert_eq!((past.code, past.out.as_str()), (2, ""));
    assert!(past.err.contains("it has passed"), "{}", past.err);
    let later = until("9000-01-31T00:00:00Z");
    assert_eq!(later.code, 0, "{}", later.err);
    assert!(later.out.contains(" 9000-01-31T00:00:00"), "{}", later.out);
}

#[test]
fn colors_are_for_terminals_unless_asked_for() {
    let place = place(&RULES.replace("amount > 100", "amuont > 100"));
    let has_color = |arguments: &[&str], no_color: Option<&str>| {
        let mut command = place.command(arguments);
        if let Some(value) = no_color {
            command.env("NO_COLOR", value);
        }
        called(command.output().unwrap()).err.contains('\u{1b}')
    };
    assert!(!has_color(&["check", "rules"], None), "not a terminal");
    assert!(!has_color(&["check", "rules"], Some("1")));
    assert!(has_color(&["check", "rules", "--color", "always"], None));
    assert!(has_color(&["check", "rules", "--color", "always"], Some("1")), "the flag wins");
    assert!(!has_color(&["check", "rules", "--color", "never"], None));
}

#[test]
fn a_reader_that_goes_away_is_no_mistake() {
    let place = place(RULES);
    let mut command = place.command(&["backtest", "--input", "events.ndjson", "--out", "out"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((child.wait().unwrap().code(), err.as_str()), (Some(0), ""));
    assert_eq!(place.read("out/decisions.ndjson").lines().count(), 500);
}

/// The header of a snapshot of partition 1 up to this offset.
fn header(next_offset: i64) -> Header {
    Header {
        product_version: "0.1.0".to_owned(),
        shard: String::new(),
        sequence: 0,
        epoch: 4,
        ruleset: "0123456789abcdef".to_owned(),
        engine_digest: "fedc".to_owned(),
        positions: vec![Position {
            topic: "pay".to_owned(),
            partition: 1,
            next_offset,
            record: None,
        }],
        event_time_ms: Some(1_769_860_800_000),
        created_at_ms: 1_769_860_801_000,
    }
}

/// Two snapshots of one shard in `state/`, as the service writes them; their names, oldest first.
fn snapshots(place: &Place) -> Vec<String> {
    let storage = Box::new(LocalDir::new(place.path().join("state")));
    let mut snapshots = Snapshots::new(storage, "payments-0", 2).unwrap();
    snapshots.keep_rules("0123456789abcdef", b"rules", &[]).unwrap();
    let write = |next_offset: i64| {
        snapshots.begin(&header(next_offset)).unwrap();
        snapshots.part(b"state").unwrap();
        snapshots.part(&[0; 1000]).unwrap();
        snapshots.finish().unwrap().name
    };
    [17, 23].map(write).to_vec()
}

#[test]
fn snapshot_inspect_lists_what_snapshots_say_about_themselves() {
    let place = place(RULES);
    let names = snapshots(&place);
    let called = place.call(&["snapshot", "inspect", "state"]);
    assert_eq!((called.code, called.err.as_str()), (0, ""));
    let lines: Vec<&str> = called.out.lines().collect();
    assert_eq!(lines.len(), 4, "{}", called.out);
    assert!(lines[0].starts_with("SNAPSHOT"), "{}", called.out);
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    let size = fs::metadata(place.path().join("state").join(&names[1])).unwrap().len().to_string();
    assert_eq!(words[..4], [names[1].as_str(), "payments-0", "4", "pay-1@23"]);
    assert_eq!(words[5..], [size.as_str(), "2", "0123456789ab", "yes"]);

    let called = place.call(&["snapshot", "inspect", "state", "--format", "json"]);
    let line: Value = serde_json::from_str(called.out.lines().next().unwrap()).unwrap();
    assert_eq!(line["name"], names[0].as_str());
    assert_eq!(line["positions"][0]["next_offset"], 17);
    assert_eq!((&line["raw_bytes"], &line["frames"]), (&1005.into(), &2.into()));
    assert_eq!(line["created_at"], "2026-01-31T12:00:01Z");
    assert_eq!(line["valid"], true);
}

#[test]
fn snapshot_verify_names_the_damaged_one_and_fails() {
    let place = place(RULES);
    let names = snapshots(&place);
    let called = place.call(&["snapshot", "verify", "state"]);
    assert_eq!((called.code, called.err.as_str()), (0, ""));
    assert_eq!(called.out.matches(": valid, 2 frames, ").count(), 2, "{}", called.out);

    let path = place.path().join("state").join(&names[1]);
    let mut bytes = fs::read(&path).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&path, bytes).unwrap();
    let called = place.call(&["snapshot", "verify", "state"]);
    assert_eq!(called.code, 1);
    assert_eq!(called.out.lines().count(), 2, "{}", called.out);
    let expected = format!("error[S0001]: snapshot `{}`: it is damaged at byte ", names[1]);
    assert!(called.err.starts_with(&expected), "{}", called.err);
    assert!(called.err.contains("= see docs/errors/S0001.md"), "{}", called.err);

    let one = format!("state/{}", names[1]);
    let called = place.call(&["snapshot", "verify", &one, "--format", "json"]);
    let line: Value = serde_json::from_str(&called.out).unwrap();
    assert_eq!((called.code, &line["valid"], &line["code"]), (1, &false.into(), &"S0001".into()));
    let called = place.call(&["snapshot", "inspect", &one]);
    assert_eq!(called.code, 0);
    assert!(called.out.contains("NO [S0001]: it is damaged at byte "), "{}", called.out);
}

#[test]
fn snapshot_verify_names_a_snapshot_whose_rule_set_is_gone() {
    let place = place(RULES);
    let names = snapshots(&place);
    let rules = "payments-0/rules-0123456789abcdef.rwr";
    let path = place.path().join("state").join(rules);
    let kept = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let called = place.call(&["snapshot", "verify", "state"]);
    assert_eq!(called.code, 1);
    for name in &names {
        let told = format!("error[S0007]: snapshot `{name}`: its rule set `0123456789abcdef`");
        assert!(called.err.contains(&told), "{}", called.err);
    }
    let called = place.call(&["snapshot", "verify", "state", "--format", "json"]);
    let line: Value = serde_json::from_str(called.out.lines().next().unwrap()).unwrap();
    assert_eq!((called.code, &line["valid"], &line["code"]), (1, &true.into(), &"S0007".into()));
    // Of a file alone nobody knows what lies beside it, and to list them is no verdict.
    assert_eq!(place.call(&["snapshot", "verify", &format!("state/{}", names[0])]).code, 0);
    assert_eq!(place.call(&["snapshot", "inspect", "state"]).code, 0);
    fs::write(&path, kept).unwrap();
    assert_eq!(place.call(&["snapshot", "verify", "state"]).code, 0);
}

#[test]
fn snapshot_verify_tells_a_name_that_is_not_that_of_the_header() {
    let place = place(RULES);
    let state = place.path().join("state");
    let names = snapshots(&place);
    for name in ["payments-0/000000000009-e4.rws", "payments-0/000000000002-e5.rws"] {
        fs::copy(state.join(&names[1]), state.join(name)).unwrap();
        let called = place.call(&["snapshot", "verify", "state"]);
        assert_eq!(called.code, 1, "{name}");
        let told = format!("error[S0002]: snapshot `{name}`: it is number 2 of epoch 4");
        assert!(called.err.contains(&told), "{}", called.err);
        fs::remove_file(state.join(name)).unwrap();
    }
    assert_eq!(place.call(&["snapshot", "verify", "state"]).code, 0);
}

/// F15: what a snapshot is read into does not grow with it.
#[test]
fn a_snapshot_three_times_the_memory_is_verified_in_parts() {
    const MIB: usize = 1 << 20;
    let place = place(RULES);
    let storage = Box::new(LocalDir::new(place.path().join("state")));
    let mut snapshots = Snapshots::new(storage, "payments-0", 2).unwrap();
    snapshots.keep_rules("0123456789abcdef", b"rules", &[]).unwrap();
    snapshots.begin(&header(17)).unwrap();
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..96 {
        let mut part = Vec::with_capacity(MIB);
        while part.len() < MIB {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            part.extend(word.to_le_bytes());
        }
        snapshots.part(&part).unwrap();
    }
    snapshots.finish().unwrap();
    let limited = |kib: u32| {
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("ulimit -d {kib} && exec \"$0\" snapshot verify state")])
            .arg(env!("CARGO_BIN_EXE_riskweir"))
            .current_dir(place.path());
        shell.output().unwrap()
    };
    let done = limited(32 << 10);
    assert_eq!(done.status.code(), Some(0), "{}", String::from_utf8_lossy(&done.stderr));
    // The limit is one: with less than one part of memory it cannot be done.
    assert!(!limited(512).status.success());
}

#[test]
fn snapshot_finds_its_place_in_the_configuration_and_says_when_nothing_is_there() {
    let place = place(RULES);
    snapshots(&place);
    let brokers = ["--brokers", "127.0.0.1:1"];
    let set = ["snapshot", "verify", "--set", "snapshot.dir=state"];
    let called = place.call(&[&set[..], &brokers].concat());
    assert_eq!((called.code, called.out.lines().count()), (0, 3), "{}", called.err);
    let called = place.call(&[&["snapshot", "verify"][..], &brokers].concat());
    assert_eq!(called.code, 2);
    assert!(called.err.contains("set `snapshot.dir`"), "{}", called.err);
    let called = place.call(&["snapshot", "verify", "rules"]);
    assert_eq!((called.code, called.err.as_str()), (1, "no snapshots in `rules`\n"));
    let called = place.call(&["snapshot", "inspect", "nowhere"]);
    assert_eq!(called.code, 1);
    assert!(called.err.contains("error[S0004]: could not list"), "{}", called.err);
    let called = place.call(&["snapshot"]);
    assert_eq!(called.code, 2);
}

#[test]
fn a_place_for_snapshots_that_was_not_built_in_or_makes_no_sense_is_refused() {
    let place = place(RULES);
    let validate =
        |setting: &str| place.call(&["validate", "--brokers", "127.0.0.1:1", "--set", setting]);
    let called = validate("snapshot.dir=ftp://host/state");
    assert_eq!(called.code, 1);
    assert!(called.err.contains("error[C0005]: `snapshot.dir` expects a folder"), "{}", called.err);
    let called = validate("snapshot.keep=1");
    assert!(
        called.err.contains("error[C0005]: `snapshot.keep` expects at least 2"),
        "{}",
        called.err
    );
    let called = validate("snapshot.dir=s3://bucket/state");
    if cfg!(feature = "s3") {
        assert!(!called.err.contains("C0013"), "{}", called.err);
    } else {
        assert!(called.err.contains("error[C0013]: `snapshot.dir` needs"), "{}", called.err);
    }
}

#[test]
fn a_backfill_from_nowhere_or_from_the_future_is_refused_before_anybody_is_asked() {
    let place = place(RULES);
    for (from, word) in [
        ("7d", "says not from when on"),
        ("from=soon", "neither a duration nor a time"),
        ("from=2026-11-31T00:00:00Z", "neither a duration nor a time"),
        ("from=9999-01-01T00:00:00Z", "lies in the future"),
    ] {
        let called = place.call(&["reload", "--http", "127.0.0.1:1", "--backfill", from]);
        assert_eq!(called.code, 1);
        assert!(called.err.contains("--backfill") && called.err.contains(word), "{}", called.err);
        let run = ["run", "--brokers", "127.0.0.1:1", "--rules", "rules", "--backfill", from];
        let called = place.call(&run);
        assert_eq!(called.code, 1);
        assert!(called.err.contains("--backfill") && called.err.contains(word), "{}", called.err);
    }
}

#[test]
fn cost_tells_work_and_state_before_anything_runs() {
    let place = place(RULES);
    let called = place.call(&["cost", "rules"]);
    assert_eq!(called.code, 0, "{}", called.err);
    // Of `large` a field and a comparison; of `busy` a key, a count and a comparison; the event is written once.
    assert!(called.out.contains("payment  67     busy   33\n"), "{}", called.out);
    assert!(called.out.contains("at most 67 units an event, reckoned as 670 ns"), "{}", called.out);
    assert!(called.out.contains("payment by card  10m "), "{}", called.out);
    assert!(called.err.is_empty(), "{}", called.err);

    let many = ["--format", "json", "cost", "rules", "--keys", "card=100000000"];
    let called = place.call(&many);
    let report: Value = serde_json::from_str(&called.out).unwrap();
    let table = &report["tables"][0];
    let bytes = table["bytes_per_key"].as_u64().unwrap() * 100_000_000;
    assert_eq!((&table["answers"], table["bytes"].as_u64()), (&"exact".into(), Some(bytes)));
    assert_eq!(report["state_bytes"].as_u64(), Some(bytes));
    assert!(called.err.contains("warning[W0701]"), "{}", called.err);

    let few = place.call(&["cost", "rules", "--keys", "card=1000", "--events-per-key", "100000"]);
    assert!(few.out.contains("sliced") && few.err.is_empty(), "{}{}", few.out, few.err);
    assert_eq!(place.call(&["cost", "rules", "--keys", "card"]).code, 2);
    let unknown = place.call(&["cost", "rules", "--keys", "card=5,nope=3"]);
    assert_eq!(unknown.code, 1);
    assert!(
        unknown.err.contains("no rule counts by `nope`: these rules count by "),
        "{}",
        unknown.err
    );
}

#[test]
fn check_warns_of_what_is_due_on_a_day_and_of_nothing_without_one() {
    let place = place(&RULES.replace("owner fraud", "owner fraud review by 2026-03-31"));
    let called = place.call(&["check", "rules", "--strict"]);
    assert_eq!((called.code, called.err.as_str()), (0, ""));
    assert_eq!(place.call(&["check", "rules", "--strict", "--as-of", "2026-03-31"]).code, 0);
    let called = place.call(&["check", "rules", "--strict", "--as-of", "2026-04-01"]);
    assert_eq!(called.code, 1);
    assert_eq!(called.err.matches("warning[W0516]").count(), 2, "{}", called.err);
    assert_eq!(place.call(&["check", "rules", "--as-of", "tomorrow"]).code, 2);
}

/// Each was accepted by `validate`, and `run` ended with it.
#[test]
fn validate_and_run_refuse_the_same_in_the_same_words() {
    let place = place(&RULES.replace("event payment\n", "event payment from \"payments\"\n"));
    fs::write(place.path().join("a_file"), "").unwrap();
    // A folder in place of the lock file: that refuses root, too.
    fs::create_dir_all(place.path().join("locked/all/.lock")).unwrap();
    for (setting, told) in [
        ("kafka.session_timeout=0s", "error[C0005]: `kafka.session_timeout` expects"),
        ("kafka.brokers=http://k:9092", "error[C0005]: `kafka.brokers` expects"),
        ("topics.alerts=risk.holds", "error[C0012]: "),
        (
            "topics.alerts=payments",
            "topic `payments` is an input and, by `topics.alerts`, an output",
        ),
        ("kafka.session_timeout=10m", "error[K0008]: "),
        ("kafka.rdkafka.no.such.thing=1", "error[K0008]: "),
        ("snapshot.dir=a_file/state", "error[S0004]: "),
        ("snapshot.dir=s3:/bucket", "error[C0005]: `snapshot.dir` expects"),
        ("snapshot.dir=locked", "error[S0004]: snapshots: could not open `all/.lock` in `locked`"),
    ] {
        let arguments = ["--brokers", "127.0.0.1:1", "--http", "127.0.0.1:0", "--set", setting];
        let judge = |command: &str| place.call(&[&[command], &arguments[..]].concat());
        let (validate, run) = (judge("validate"), judge("run"));
        assert!(validate.err.contains(told), "{setting}: {}", validate.err);
        assert_eq!((validate.code, validate.err), (1, run.err), "{setting}");
        assert_eq!(run.code, 1);
    }
    let before = fs::read_dir(place.path()).unwrap().count();
    let good = ["validate", "--brokers", "127.0.0.1:1", "--set", "snapshot.dir=state/of/all"];
    assert_eq!(place.call(&good).code, 0);
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), before, "it leaves nothing behind");
}

#[test]
fn the_digest_of_the_configuration_is_that_of_the_decisions() {
    let place = place(&RULES.replace("event payment\n", "event payment from \"payments\"\n"));
    backtest(&place, "out", &["--input", "events.ndjson"]);
    let first = place.read("out/decisions.ndjson");
    let decision: Value = serde_json::from_str(first.lines().next().unwrap()).unwrap();
    let validate = |more: &[&str]| {
        let arguments = ["validate", "--brokers", "127.0.0.1:1", "--format", "json"];
        let called = place.call(&[&arguments[..], more].concat());
        assert_eq!(called.code, 0, "{}", called.err);
        serde_json::from_str::<Value>(&called.out).unwrap()
    };
    let plain = validate(&[]);
    assert_eq!(plain["config"], decision["config"]);
    assert_eq!(plain["ruleset"], decision["ruleset"]);
    // What no decision depends on changes the digest of all settings only.
    let other = validate(&["--set", "topics.alerts=alerts"]);
    assert_eq!(plain["config"], other["config"]);
    assert_ne!(plain["settings"], other["settings"]);
    let late = validate(&["--set", "time.allowed_lateness=1h"]);
    assert_ne!(plain["config"], late["config"]);
}

#[cfg(target_os = "linux")]
#[test]
fn data_that_does_not_get_to_standard_output_ends_with_a_message_unless_the_reader_has_left() {
    let place = place(RULES);
    let onto = |arguments: &[&str], file: &str| {
        let out = fs::OpenOptions::new().write(true).open(file).unwrap();
        called(place.command(arguments).stdout(out).output().unwrap())
    };
    for arguments in [
        &["generate", "--count", "3"][..],
        &["check"],
        &["backtest", "--input", "events.ndjson", "--out", "out"],
        &["--help"],
    ] {
        let lost = onto(arguments, "/dev/full");
        assert_eq!(lost.code, 1, "{arguments:?}");
        assert!(lost.err.contains("could not write to standard output"), "{}", lost.err);
    }
    let mut reading = place.command(&["generate"]).stdout(Stdio::piped()).spawn().unwrap();
    drop(reading.stdout.take());
    assert_eq!(reading.wait().unwrap().code(), Some(0));
}

/// An event whose time is wrong by decades moved the clock, and nothing said why nothing was stopped any more.
#[test]
fn a_backtest_tells_which_event_moved_the_clock_and_can_keep_it_from_doing_so() {
    let place = place(RULES);
    let payment = |id: &str, at: &str| {
        format!("{{\"id\":\"{id}\",\"at\":\"{at}\",\"card\":\"c\",\"amount\":\"150.00\"}}\n")
    };
    let lines = [
        payment("a", "2026-03-02T09:00:00Z"),
        payment("wrong", "2099-03-02T09:00:00Z"),
        payment("b", "2026-03-02T09:01:00Z"),
        payment("c", "2026-03-02T09:02:00Z"),
    ];
    fs::write(place.path().join("leap.ndjson"), lines.concat()).unwrap();
    let told = backtest(&place, "out", &["--input", "leap.ndjson"]);
    // 73 years of which 18 have a leap day.
    let days = 73 * 365 + 18;
    let leap = format!("line 2 of leap.ndjson moved the clock by {days}d to 2099-03-02T09:00:00Z");
    assert!(told.contains("2 events came too late to stop money"), "{told}");
    assert!(told.contains(&leap) && told.contains("`--arrived TIME`"), "{told}");
    let summary: Value = serde_json::from_str(&place.read("out/summary.json")).unwrap();
    assert_eq!((&summary["too_late"], &summary["holds"]), (&Value::from(2), &Value::from(2)));
    assert_eq!(summary["clock_leap"]["place"], "line 2 of leap.ndjson");
    // The same as in the service: decided, not remembered, and the clock stays.
    let arrived = ["--input", "leap.ndjson", "--arrived", "2026-03-03T00:00:00Z"];
    let told = backtest(&place, "guarded", &arrived);
    assert!(told.contains("1 event later than `--arrived`") && !told.contains("moved"), "{told}");
    let summary: Value = serde_json::from_str(&place.read("guarded/summary.json")).unwrap();
    assert_eq!((&summary["too_late"], &summary["future"]), (&Value::from(0), &Value::from(1)));
    assert_eq!(summary["holds"], 4);
    let wrong: Value =
        serde_json::from_str(place.read("guarded/decisions.ndjson").lines().nth(1).unwrap())
            .unwrap();
    assert_eq!(wrong["provenance"], serde_json::json!(["future_ts"]));
}

#[test]
fn a_file_of_which_nothing_can_be_decided_ends_with_1_and_says_why() {
    let place = place(RULES);
    fs::write(place.path().join("other.ndjson"), "{\"a\":1}\n{\"a\":2}\nnot json\n").unwrap();
    let called = place.call(&["backtest", "--input", "other.ndjson", "--out", "out"]);
    assert_eq!(called.code, 1);
    let told = "error: none of the 3 records of `other.ndjson` could be decided (dead letters: 2 missing_field, 1 invalid_json)";
    assert!(called.err.starts_with(told), "{}", called.err);
    assert!(called.out.contains("3 records: 0 decided, 3 dead-lettered"), "{}", called.out);
    assert_eq!(place.read("out/dead_letter.ndjson").lines().count(), 3);
    // A good file beside it does not hide it.
    let both = ["backtest", "--input", "events.ndjson", "other.ndjson", "--out", "out"];
    assert_eq!(place.call(&both).code, 1);
    for command in ["overlap", "sweep"] {
        let named: &[&str] = if command == "sweep" { &["R-1"] } else { &[] };
        let called = place.call(&[&[command], named, &["--input", "other.ndjson"]].concat());
        assert_eq!(called.code, 1, "{command}");
    }
    // One bad record among good ones is a dead letter and no failure.
    backtest(&place, "good", &["--input", "events.ndjson"]);
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_record() {
    let place = place(RULES);
    let marked = |name: &str, text: &str| {
        fs::write(place.path().join(name), format!("\u{feff}{text}")).unwrap();
    };
    marked("marked.ndjson", &events());
    marked("marked.csv", &events_csv());
    marked("labels.csv", "event_id,verdict\np3,fraud\n");
    marked("labels.ndjson", "{\"event_id\":\"p3\",\"verdict\":\"fraud\"}\n");
    backtest(&place, "plain", &["--input", "events.ndjson", "--labels", "labels.csv"]);
    backtest(&place, "json", &["--input", "marked.ndjson", "--labels", "labels.ndjson"]);
    backtest(&place, "csv", &["--input", "marked.csv"]);
    let n_decided = |out: &str| place.read(&format!("{out}/decisions.ndjson")).lines().count();
    assert_eq!([n_decided("plain"), n_decided("json"), n_decided("csv")], [500; 3]);
    assert_eq!(place.read("json/dead_letter.ndjson").lines().count(), 1);
    assert_eq!(place.read("csv/dead_letter.ndjson"), "");
    assert!(place.read("json/summary.json").contains("\"quality\""));
}

#[test]
fn no_report_is_written_over_a_file_that_is_read() {
    let place = place(&RULES.replace(
        "when amount > 100 EUR",
        "param limit = 100 EUR tune 50 EUR..100 EUR step 50 EUR\n  when amount > limit",
    ));
    fs::write(place.path().join("labels.csv"), "event_id,verdict\np3,fraud\n").unwrap();
    let before = place.read("events.ndjson");
    for over in ["events.ndjson", "labels.csv"] {
        let read = ["--input", "events.ndjson", "--labels", "labels.csv", "--report", over];
        for command in [&["backtest", "--out", "out"][..], &["sweep", "R-1"]] {
            let called = place.call(&[command, &read].concat());
            assert_eq!(called.code, 1, "{command:?} over {over}");
            assert!(called.err.contains("choose another path for `--report`"), "{}", called.err);
        }
    }
    assert_eq!(before, place.read("events.ndjson"));
    fs::copy(place.path().join("events.ndjson"), place.path().join("audit.ndjson")).unwrap();
    let called = place.call(&["backtest", "--input", "audit.ndjson", "--out", "."]);
    assert!(called.err.contains("choose another path for `--out`"), "{}", called.err);
    let called = place.call(&["sweep", "R-1", "--input", "events.ndjson", "--report", "r.html"]);
    assert_eq!(called.code, 0, "{}", called.err);
}

#[test]
fn a_failed_test_speaks_the_words_of_rules() {
    let rules = RULES.replace(
        "expect hit, hold for 1h\n",
        "expect hit, hold for 90m otherwise block, score +5, block reason \"no\", step_up sms, tag seen\n",
    );
    let rules = rules.replace(
        "  when count(payment) by card over last 10m >= 3\n",
        "  let spent = sum(payment.amount) by card over last 10m\n  when count(payment) by card over last 10m >= 3\n",
    );
    let rules = rules.replace("expect hit, score +10\n", "expect hit, score +11, spent = 4 EUR\n");
    let called = place(&rules).call(&["test", "rules"]);
    let does =
        "but it hits and does `hold for 1h otherwise release, alert queue l1 once per card per 1h`";
    for wanted in [
        "hold for 90m otherwise block",
        "score +5",
        "block reason \"no\"",
        "step_up sms",
        "tag seen",
    ] {
        let told = format!("expected the action `{wanted}`, {does}");
        assert!(called.out.contains(&told), "{told}\n{}", called.out);
    }
    let told = "expected the action `score +11`, but it hits and does `score +10 in velocity`";
    assert!(called.out.contains(told), "{}", called.out);
    let told = "expected `spent` to be 4.00 EUR, but it is 3.00 EUR";
    assert!(called.out.contains(told), "{}", called.out);
    assert!(!called.out.contains('{'), "{}", called.out);
}

#[test]
fn explain_shows_which_steps_of_a_sequence_were_taken_and_when() {
    let rule = "rule chain\n  id \"R-3\"  owner fraud\n  on payment\n  when sequence by card within 1h [\n    \
        2 times payment as probe where amount < 10 EUR,\n    payment as strike where amount > 100 EUR,\n    \
        without payment where amount = 50 EUR,\n    this where amount > 200 EUR ]\n  then alert\n";
    let place = place(&format!("{RULES}{rule}"));
    let payment = |id: &str, minute: u32, amount: &str| {
        format!(
            "{{\"id\":\"{id}\",\"at\":\"2026-03-02T09:{minute:02}:00Z\",\"card\":\"c\",\"amount\":\"{amount}\"}}\n"
        )
    };
    let events = [
        payment("early", 0, "300.00"),
        payment("one", 1, "5.00"),
        payment("half", 2, "300.00"),
        payment("two", 3, "5.00"),
        payment("strike", 4, "150.00"),
        payment("whole", 5, "300.00"),
    ];
    fs::write(place.path().join("chain.ndjson"), events.concat()).unwrap();
    let explain = |event: &str, more: &[&str]| {
        let asked = ["explain", "--input", "chain.ndjson", "--event", event, "--rule", "R-3"];
        let called = place.call(&[&asked[..], more].concat());
        assert_eq!((called.code, called.err.as_str()), (0, ""));
        called.out
    };
    let whole = explain("whole", &[]);
    for step in [
        "step probe (payment), 2 times: 2026-03-02T09:01:00Z, 2026-03-02T09:03:00Z",
        "step strike (payment): 2026-03-02T09:04:00Z",
    ] {
        assert!(whole.contains(step), "{step}\n{whole}");
    }
    let half = explain("half", &[]);
    let taken = "step probe (payment), 2 times: taken 1 of 2 times, 2026-03-02T09:01:00Z";
    assert!(half.contains(taken) && half.contains("step strike (payment): not taken"), "{half}");
    let early = explain("early", &[]);
    assert!(early.contains("step probe (payment), 2 times: not taken"), "{early}");
    let json: Value = serde_json::from_str(&explain("half", &["--format", "json"])).unwrap();
    let steps = &json["rules"][0]["when"]["parts"][0]["steps"];
    assert_eq!(steps[0]["taken"], serde_json::json!(["2026-03-02T09:01:00Z"]));
    assert_eq!((&steps[0]["times"], &steps[1]["taken"]), (&Value::from(2), &serde_json::json!([])));
    // What explaining asks changes nothing of what is decided.
    backtest(&place, "out", &["--input", "chain.ndjson"]);
    let decisions = place.read("out/decisions.ndjson");
    let decided: Value = serde_json::from_str(decisions.lines().nth(2).unwrap()).unwrap();
    assert_eq!(json["decision"], decided);
}

/// A second write of a payment, a day after the first, is a payment of its own, and its decision has the same id.
#[test]
fn an_id_that_comes_again_after_the_dedupe_window_is_decided_again_under_the_same_decision_id() {
    let place = place(RULES);
    let payment = |id: &str, at: &str| {
        format!("{{\"id\":\"{id}\",\"at\":\"{at}\",\"card\":\"c\",\"amount\":\"150.00\"}}\n")
    };
    let first = payment("p", "2026-03-02T09:00:00Z");
    let events = [
        first.clone(),
        first.clone(),
        payment("q", "2026-03-03T10:00:00Z"),
        first,
        payment("p", "2026-03-03T10:01:00Z"),
    ];
    fs::write(place.path().join("again.ndjson"), events.concat()).unwrap();
    let arguments =
        ["--input", "again.ndjson", "--dedupe-window", "1h", "--allowed-lateness", "48h"];
    backtest(&place, "out", &arguments);
    let decisions: Vec<Value> = place
        .read("out/decisions.ndjson")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let duplicate: Vec<bool> =
        decisions.iter().map(|decision| decision["duplicate"].as_bool().unwrap()).collect();
    assert_eq!(duplicate, [false, true, false, false, false]);
    assert_eq!(decisions[0]["decision_id"], decisions[3]["decision_id"]);
    assert_ne!(decisions[0]["source"]["offset"], decisions[3]["source"]["offset"]);
    // Another body under an id that is known: decided, said, and alerted to those who look after integrity.
    assert_eq!(decisions[4]["provenance"], serde_json::json!(["id_reuse"]));
    assert_ne!(decisions[4]["decision_id"], decisions[0]["decision_id"]);
    let alerts = place.read("out/alerts.ndjson");
    let notice = alerts.lines().find(|alert| alert.contains("\"id_reuse\"")).unwrap();
    let notice: Value = serde_json::from_str(notice).unwrap();
    assert_eq!((&notice["rule"], &notice["queue"]), (&"id_reuse".into(), &"integrity".into()));
}

#[test]
fn messages_name_what_was_given_and_what_can_be_done() {
    let place = place(RULES);
    let called = place.call(&["snapshot", "inspect", "nowhere"]);
    assert!(called.err.contains("error[S0004]: could not list `nowhere`: "), "{}", called.err);
    // The rules are good and know none of the topics of the demonstration, in a folder of another name.
    fs::rename(place.path().join("rules"), place.path().join("mine")).unwrap();
    let called = place.call(&[
        "demo",
        "--rules",
        "mine",
        "--for",
        "1s",
        "--listen",
        "127.0.0.1:0",
        "--api",
        "127.0.0.1:0",
    ]);
    assert_eq!(called.code, 1);
    let told = "the rules of mine/ read neither `wallet.events` nor `bank.events`";
    assert!(called.err.contains(told) && !called.err.contains("topics.inputs"), "{}", called.err);
    for file in ["B.RISK", "list.Csv"] {
        fs::write(place.path().join("mine").join(file), RULES).unwrap();
        let called = place.call(&["check", "mine"]);
        assert_eq!(called.code, 1);
        assert!(called.err.contains(&format!("{file}` would be left out")), "{}", called.err);
        fs::remove_file(place.path().join("mine").join(file)).unwrap();
    }
    assert_eq!(place.call(&["check", "mine"]).code, 0);
    for file in ["ev.csv", "notes.txt"] {
        fs::write(place.path().join(file), "a,b\n1,2\n").unwrap();
        let called = place.call(&["check", file]);
        let told = format!("`{file}` is no rule file: rules stand in files that end in `.risk`");
        assert!(called.code == 1 && called.err.contains(&told), "{}", called.err);
    }
}

/// No broker is there, and none is asked but to send.
#[test]
fn labels_of_a_file_are_checked_line_by_line_and_one_bad_line_keeps_all_of_them_back() {
    let case = "event case from \"cases\"\n  id    case_id  : text\n  time  known_at : time\n  field about    : text\n  \
                field outcome  : one of [confirmed, cleared]\n  \
                labels payment by about verdict outcome fraud [confirmed] genuine [cleared]\n";
    let place = place(&format!(
        "{case}{}",
        RULES.replace("event payment\n", "event payment from \"payments\"\n")
    ));
    let labels = |more: &[&str]| {
        let flags = ["labels", "import", "--rules", "rules", "--brokers", "127.0.0.1:1"];
        place.call(&[&flags, more].concat())
    };
    place.write("good.csv", "about,known_at,outcome\np1,2026-03-03T08:00:00Z,confirmed\np2,2026-03-03T08:00:00Z,cleared\n\
        p1,2026-03-03T08:00:00Z,confirmed\n");
    let called = labels(&["--input", "good.csv", "--dry-run"]);
    assert_eq!((called.code, called.err.as_str()), (0, ""));
    assert_eq!(
        called.out,
        "good.csv: 2 labels, 1 fraud, 1 genuine, 0 open; 1 line left out, said before\nwould be sent: 2 to `cases`\n"
    );
    place.write("bad.csv", "about,known_at,outcome,agent\np1,2026-03-03T08:00:00Z,confirmed,Ann\np2,2026-03-03,cleared,\n\
        p3,2026-03-03T08:00:00Z,fraud,\n");
    let called = labels(&["--input", "bad.csv"]);
    assert_eq!(
        (called.code, called.out.as_str()),
        (1, "bad.csv: 1 label, 1 fraud, 0 genuine, 0 open\n2 bad lines: nothing was sent\n")
    );
    for part in [
        "warning: no field reads column `agent` of `bad.csv`",
        "bad.csv:3: field `case.known_at` is not a time of the declared form",
        "help: write an instant with its offset, as in 2026-01-31T10:00:00Z",
        "bad.csv:4: field `case.outcome` is not a member of its declared set",
        "help: write one of confirmed, cleared",
    ] {
        assert!(called.err.contains(part), "{part}: {}", called.err);
    }
    let called = labels(&["--input", "bad.csv", "--format", "json"]);
    let told: Value = serde_json::from_str(&called.out).unwrap();
    assert_eq!(
        (called.code, told["sent"].as_u64(), told["bad"][1]["line"].as_u64()),
        (1, Some(0), Some(4))
    );
    let called = labels(&["--input", "none.csv"]);
    assert!(called.code == 1 && called.err.contains("could not read `none.csv`"), "{}", called.err);
    // Whoever only looks needs no broker.
    let flags = ["labels", "import", "--rules", "rules", "--input", "good.csv"];
    let called = place.call(&[&flags[..], &["--dry-run"]].concat());
    assert_eq!((called.code, called.err.as_str()), (0, ""), "{}", called.out);
    let called = place.call(&flags);
    assert!(called.code == 1 && called.err.contains("`kafka.brokers`"), "{}", called.err);
    // Without labels in the schema there is nothing to import.
    place.write(
        "rules/a.risk",
        &RULES.replace("event payment\n", "event payment from \"payments\"\n"),
    );
    let called = labels(&["--input", "good.csv", "--dry-run"]);
    assert!(
        called.code == 1 && called.err.contains("no event of the schema says what came out"),
        "{}",
        called.err
    );
}
