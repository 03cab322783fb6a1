//! The tools of whoever writes rules, as a person or a script calls them: exit codes, data on standard output, messages
//! on standard error. What they say is held against figures worked out by hand and against a naive count.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
#![expect(clippy::cast_precision_loss, reason = "small numbers of a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

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
  param limit = 100 EUR tune 50 EUR .. 250 EUR step 50 EUR
  when amount > limit
  then hold for 1h otherwise release reason "{amount} is large"
       alert queue l1 once per card per 1h

rule busy "Three payments in ten minutes"
  id "R-2"  owner fraud  severity low
  on payment
  param n = 3 tune 2..4
  when count(payment) by card over last 10m >= n
  then score +10 in velocity
       alert queue l2

test large "one cent above"
  when payment(card: "c", amount: 100.01 EUR)
  expect hit, hold for 1h
test busy "the third <of them> & \"no more\""
  given 2 payment(card: "c", amount: 1 EUR) every 1m at 1m
  when payment(card: "c", amount: 1 EUR) at 4m
  expect hit, score +10
"#;

/// Seven payments. By hand: `large` hits p1, p4, p5, p7; `busy` hits p3 (the third of c1 in ten minutes) and p5.
const EVENTS: &str = r#"{"id":"p1","at":"2026-03-02T08:00:00Z","card":"c1","amount":"150.00"}
{"id":"p2","at":"2026-03-02T08:01:00Z","card":"c1","amount":"5.00"}
{"id":"p3","at":"2026-03-02T08:02:00Z","card":"c1","amount":"7.00"}
{"id":"p4","at":"2026-03-02T08:03:00Z","card":"c2","amount":"200.50"}
{"id":"p5","at":"2026-03-02T08:04:00Z","card":"c1","amount":"120.00"}
{"id":"p6","at":"2026-03-02T08:30:00Z","card":"c3","amount":"9.99"}
{"id":"p7","at":"2026-03-03T09:00:00Z","card":"c4","amount":"300.00"}
"#;

const LABELS: &str = "event_id,verdict,reported_at,note\n\
    p1,fraud,2026-03-02T10:00:00Z,\n\
    p2,genuine,,\n\
    p3,fraud,2026-03-02T11:00:00Z,\n\
    p4,fraud,2026-03-02T09:00:00Z,a mistake\n\
    p4,genuine,2026-03-02T10:00:00Z,mended\n\
    p5,fraud,,\n\
    p6,fraud,2026-03-04T10:00:00Z,late\n\
    p9,fraud,,another file's\n";

/// A folder with the rules, events and labels above.
fn place() -> Place {
    Place::with(&[("rules/a.risk", RULES), ("events.ndjson", EVENTS), ("labels.csv", LABELS)])
}

#[track_caller]
fn good_json(place: &Place, arguments: &[&str]) -> Value {
    let out = place.good(&[arguments, &["--format", "json"]].concat());
    serde_json::from_str(&out).unwrap()
}

const UNTIDY: &str = "rule  r  on payment   when amount>5 EUR # why\nthen alert\n";
const TIDY: &str = "rule r\n  on payment\n  when amount > 5 EUR  # why\n  then alert\n";

#[test]
fn fmt_writes_the_files_that_are_not_in_the_style_and_names_them() {
    let place = place();
    place.write("rules/b.risk", UNTIDY);
    place.write("rules/list.csv", "a ,b\n");
    place.write("rules/a.risk", TIDY);
    let called = place.call(&["fmt", "rules"]);
    assert_eq!((called.code, called.out.as_str()), (0, "rules/b.risk\n"));
    assert_eq!(called.err, "2 files, 1 formatted\n");
    assert_eq!(
        (place.read("rules/b.risk").as_str(), place.read("rules/list.csv").as_str()),
        (TIDY, "a ,b\n")
    );
    assert_eq!(place.call(&["fmt"]).out, "");
}

#[test]
fn fmt_check_writes_nothing_and_fails_with_the_names() {
    let place = place();
    place.write("rules/a.risk", TIDY);
    assert_eq!(place.call(&["fmt", "--check"]).code, 0);
    place.write("rules/b.risk", UNTIDY);
    let called = place.call(&["fmt", "--check", "rules/b.risk", "rules/a.risk"]);
    assert_eq!((called.code, called.out.as_str()), (1, "rules/b.risk\n"));
    assert_eq!(place.read("rules/b.risk"), UNTIDY);
    let out = place.call(&["fmt", "--check", "--format", "json"]).out;
    let lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0], json!({ "file": "rules/a.risk", "changed": false, "written": false }));
    assert_eq!(lines[1], json!({ "file": "rules/b.risk", "changed": true, "written": false }));
}

#[test]
fn fmt_leaves_a_file_with_mistakes_alone_and_shows_them() {
    let place = place();
    let broken = "rule r on payment wehn  amount > 5 EUR then alert\n";
    place.write("rules/b.risk", broken);
    place.write("rules/c.risk", UNTIDY);
    let called = place.call(&["fmt", "rules/b.risk", "rules/c.risk"]);
    assert_eq!((called.code, called.out.as_str()), (1, "rules/c.risk\n"));
    assert!(called.err.contains("rules/b.risk:1:19"), "{}", called.err);
    assert!(called.err.contains("1 left alone for their mistakes"), "{}", called.err);
    assert_eq!(place.read("rules/b.risk"), broken);
}

#[test]
fn fmt_reads_standard_input() {
    let place = place();
    let mut child =
        place.command(&["fmt", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(UNTIDY.as_bytes()).unwrap();
    let called = called(child.wait_with_output().unwrap());
    assert_eq!((called.code, called.out.as_str()), (0, TIDY));
}

#[test]
fn junit_has_a_suite_for_each_rule_and_says_what_failed() {
    let place = place();
    place.write("rules/a.risk", &RULES.replace("expect hit, score +10", "expect no hit"));
    let called = place.call(&["test", "--format", "junit"]);
    assert_eq!(called.code, 1);
    let suite = "timestamp=\"2026-01-01T00:00:00\" hostname=\"localhost\" tests=\"1\"";
    let expected = format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites>
  <testsuite id="0" package="riskweir" name="large" {suite} failures="0" errors="0" time="0">
    <properties/>
    <testcase name="one cent above" classname="large" time="0"/>
    <system-out/>
    <system-err/>
  </testsuite>
  <testsuite id="1" package="riskweir" name="busy" {suite} failures="1" errors="0" time="0">
    <properties/>
    <testcase name="the third &lt;of them&gt; &amp; &quot;no more&quot;" classname="busy" time="0">
      <failure message="expected no hit, but it hits" type="expectation">a.risk:27:1: expected no hit, but it hits</failure>
    </testcase>
    <system-out/>
    <system-err/>
  </testsuite>
</testsuites>
"#
    );
    assert_eq!(called.out, expected);
    assert_eq!(place.call(&["check", "--format", "junit"]).code, 2);
}

/// The schema of Ant's task, as Windy Road publishes it: what each element demands of its attributes, in words of ours,
/// and which elements stand in it, in which order (`*`: any number).
const ELEMENTS: &[(&str, &[&str], &[&str])] = &[
    ("testsuites", &[], &["testsuite*"]),
    (
        "testsuite",
        &["id", "package", "name", "timestamp", "hostname", "tests", "failures", "errors", "time"],
        &["properties", "testcase*", "system-out", "system-err"],
    ),
    ("properties", &[], &[]),
    ("testcase", &["name", "classname", "time"], &["failure*"]),
    ("failure", &["message", "type"], &[]),
    ("system-out", &[], &[]),
    ("system-err", &[], &[]),
];

#[test]
fn junit_of_the_shipped_rules_and_of_broken_ones_is_shaped_as_the_schema_demands() {
    let place = place();
    place.write("rules/a.risk", &RULES.replace("expect hit", "expect no hit"));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let tag = regex::Regex::new(r#"<(/?)([a-z-]+)((?: [a-z]+="[^"<]*")*)(/?)>"#).unwrap();
    let attribute = regex::Regex::new(r#" ([a-z]+)=""#).unwrap();
    for folder in ["rules", shipped.to_str().unwrap()] {
        let text = place.call(&["test", "--format", "junit", folder]).out;
        // Open elements, and what stood in each so far.
        let mut open: Vec<(&str, Vec<&str>)> = Vec::new();
        let mut n_cases = 0;
        for found in tag.captures_iter(text.split_once("?>").unwrap().1) {
            let [closing, name, attributes, empty] =
                [1, 2, 3, 4].map(|n| found.get(n).unwrap().as_str());
            let known = ELEMENTS.iter().find(|(known, ..)| *known == name);
            let (name, demanded, children) = known.unwrap_or_else(|| panic!("{name}"));
            if closing.is_empty() {
                let given: BTreeSet<&str> = attribute
                    .captures_iter(attributes)
                    .map(|a| a.get(1).unwrap().as_str())
                    .collect();
                assert_eq!(given, demanded.iter().copied().collect(), "{name}");
                n_cases += usize::from(*name == "testcase");
                if let Some((_, inside)) = open.last_mut() {
                    inside.push(name);
                }
                open.push((name, Vec::new()));
            }
            if !closing.is_empty() || !empty.is_empty() {
                let (opened, inside) = open.pop().unwrap();
                assert_eq!(opened, *name);
                let mut rest = inside.as_slice();
                for child in *children {
                    let many = child.ends_with('*');
                    let n = rest.iter().take_while(|found| **found == child.trim_end_matches('*'));
                    let n = n.count();
                    assert!(many || n == 1, "{name} holds {inside:?}");
                    rest = &rest[n..];
                }
                assert!(rest.is_empty(), "{name} holds {inside:?}");
            }
        }
        assert!(open.is_empty() && n_cases >= 2, "{n_cases}");
        let outside = tag.replace_all(text.split_once("?>").unwrap().1, "");
        assert!(!outside.contains(['<', '>']), "what is no element is text");
    }
}

#[test]
fn a_page_for_each_rule_tells_what_it_does_reads_and_costs() {
    let place = place();
    let about = "# Catches  a hurried | hand.\n# Why      somebody is in it.\nrule busy";
    place.write("rules/a.risk", &RULES.replace("rule busy", about));
    let said = place.good(&["docs", "rules", "--out", "pages"]);
    assert_eq!(said, "2 rules: pages/README.md\n");
    let index = place.read("pages/README.md");
    let row = "| [busy](busy.md) | `R-2` | Three payments in ten minutes | fraud | low | live |";
    assert!(index.contains(row), "{index}");
    let page = place.read("pages/busy.md");
    // By hand, from the text of the rule.
    for words in [
        "# busy\n\nThree payments in ten minutes.\n",
        "- **Catches**: a hurried | hand.\n- **Why**: somebody is in it.\n",
        "| Id | `R-2` |\n| Owner | fraud |\n| Severity | low |\n| Mode | live |\n| File | `a.risk`, line 18 |\n",
        "It is asked on `payment`.\n",
        "It hits when\n\n```risk\ncount(payment) by card over last 10m >= n\n```\n",
        "If a value that it needs is missing, it does nothing.\n",
        "- adds 10 risk points in group `velocity`\n- asks a person to look in queue `l2`\n",
        "| `n` | 3 | 2 to 4 |\n",
        "| `payment.card` | a `card` |  |\n",
        "| `count(payment) by card over last 10m` | `payment by card` | 10m |",
        "- the third <of them> & \"no more\": `hit, score +10`\n",
    ] {
        assert!(page.contains(words), "{words}\n---\n{page}");
    }
    assert!(!page.contains("payment.amount"), "it does not read the amount");
    let large = place.read("pages/large.md");
    assert!(large.contains("| `limit` | 100 EUR | 50 EUR to 250 EUR by 50 EUR |"), "{large}");
    let hold = "- holds the payment for 1h; without a decision by then it is let go: \"{amount} is large\"\n\
                - asks a person to look in queue `l1`, at most once per `card` in 1h\n";
    assert!(large.contains(hold), "{large}");
    place.good(&["docs", "rules", "--out", "again"]);
    assert_eq!(place.read("again/busy.md"), page);
    place.write("rules/b.risk", "rule (");
    assert_eq!(place.call(&["docs", "rules", "--out", "pages"]).code, 1);
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let said = place.good(&["docs", shipped.to_str().unwrap(), "--out", "shipped"]);
    let n_rules: usize = said.split(' ').next().unwrap().parse().unwrap();
    assert!(n_rules > 50);
    let index = place.read("shipped/README.md");
    let links = index.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    assert!(links.clone().all(|link| place.path().join("shipped").join(link).exists()));
    assert_eq!(links.count(), n_rules);
}

#[test]
fn a_new_project_of_each_profile_is_good_at_once_and_its_page_tells_the_truth() {
    let place = place();
    for profile in ["wallet", "bank", "cards"] {
        place.call(&["init", profile, profile]);
        let folder = place.path().join(profile);
        let call = |arguments: &[&str]| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_riskweir"));
            called(command.args(arguments).current_dir(&folder).output().unwrap())
        };
        for arguments in [
            &["check", "--strict", "rules"][..],
            &["fmt", "--check", "rules"],
            &["validate", "-c", "riskweir.yaml"],
        ] {
            let called = call(arguments);
            assert_eq!(called.code, 0, "{profile} {arguments:?}: {}{}", called.out, called.err);
        }
        let tested = call(&["test", "rules"]);
        assert!(tested.code == 0 && tested.out.ends_with(" passed, 0 failed\n"), "{}", tested.out);
        let page = fs::read_to_string(folder.join("README.md")).unwrap();
        let commands = page.lines().filter_map(|line| line.strip_prefix("riskweir "));
        let mut n_commands = 0;
        for line in commands.filter(|line| !line.contains("--connect") && !line.starts_with("run "))
        {
            let words = line.split('#').next().unwrap().split_whitespace();
            let called = call(&words.collect::<Vec<_>>());
            assert_eq!(called.code, 0, "{profile} {line}: {}{}", called.out, called.err);
            n_commands += 1;
        }
        assert_eq!(n_commands, 4);
        // "The last one is held."
        let decisions = fs::read_to_string(folder.join("out/decisions.ndjson")).unwrap();
        let last: Value = serde_json::from_str(decisions.lines().last().unwrap()).unwrap();
        assert_eq!(last["outcome"], "hold", "{profile}");
        // Rules and sums are in EUR, and what is in another currency is not passed over in silence.
        let events = fs::read_to_string(folder.join("events.ndjson")).unwrap();
        let n_amounts = events.matches("\"EUR\"").count();
        fs::write(folder.join("dollars.ndjson"), events.replace("\"EUR\"", "\"USD\"")).unwrap();
        let arguments =
            ["backtest", "--rules", "rules", "--input", "dollars.ndjson", "--out", "usd"];
        let called = call(&arguments);
        assert!(called.code == 1 && called.err.contains("unknown_member"), "{}", called.err);
        let dead = fs::read_to_string(folder.join("usd/dead_letter.ndjson")).unwrap();
        assert!(n_amounts > 0 && dead.lines().count() == n_amounts, "{profile}: {dead}");
        let again = place.call(&["init", profile, profile]);
        assert!(again.code == 1 && again.err.contains("is there already"), "{}", again.err);
    }
    assert_eq!(place.call(&["init", "casino"]).code, 2);
}

/// A rule folder is one rule set, so a second one in it would break the first.
#[test]
fn a_project_is_not_begun_where_rules_are() {
    for rules in ["mine/schema.risk", "mine/rules/cards/velocity.risk"] {
        let place = place();
        fs::create_dir_all(place.path().join(rules).parent().unwrap()).unwrap();
        place.write(rules, "# a rule\n");
        let called = place.call(&["init", "cards", "mine"]);
        assert_eq!((called.code, called.out.as_str()), (1, ""));
        let told = format!("`{rules}` is a rule file already");
        assert!(called.err.contains(&told), "{}", called.err);
        assert!(called.err.contains("nothing was written; name an empty folder"), "{}", called.err);
        let names = |folder: &str| fs::read_dir(place.path().join(folder)).unwrap().count();
        assert_eq!(names("mine"), 1, "nothing was written");
        assert!(!place.path().join("mine/rules/policy.risk").exists());
    }
    let beside = place();
    fs::create_dir(beside.path().join("empty")).unwrap();
    assert_eq!(beside.call(&["init", "cards", "empty"]).code, 0);
}

#[test]
fn labels_of_which_none_fits_are_shown_beside_an_event() {
    let place = place();
    place.write("l.csv", "event_id,verdict,row\n0,fraud,p1\n1,genuine,p2\n");
    let labels = ["--labels", "l.csv"];
    let unfit = quality(&place, &labels);
    let example = json!({ "label": "0", "event": "p1", "event_type": "payment" });
    assert_eq!((&unfit["labels"], &unfit["labels_misfit"]), (&json!(0), &example));
    let called = place.call(&[&BACKTEST[..], &labels].concat());
    let told = "no label fits an event: labels name ids such as `0`, events have ids such as `p1` (`payment`)";
    assert!(called.out.contains(told), "{}", called.out);
    let fit = quality(&place, &["--labels", "l.csv", "--label-id", "row"]);
    assert_eq!((&fit["labels"], &fit["labels_misfit"]), (&json!(2), &json!(null)));
}

const BACKTEST: [&str; 8] =
    ["backtest", "--rules", "rules", "--input", "events.ndjson", "--out", "out", "--quiet"];

fn quality(place: &Place, more: &[&str]) -> Value {
    let summary = good_json(place, &[&BACKTEST[..], more].concat());
    assert_eq!(summary, serde_json::from_str::<Value>(&place.read("out/summary.json")).unwrap());
    summary["quality"].clone()
}

#[test]
fn backtest_with_labels_says_what_was_worked_out_by_hand() {
    let quality = quality(&place(), &["--labels", "labels.csv"]);
    // p7 has no label, so it is genuine; the label of p4 that was reported last counts.
    assert_eq!(quality["events"], json!({ "fraud": 4, "genuine": 3, "unknown": 0 }));
    assert_eq!(quality["labels"], 6);
    let [busy, large] = [&quality["rules"][0], &quality["rules"][1]];
    assert_eq!((&busy["name"], &large["name"]), (&json!("busy"), &json!("large")));
    assert_eq!(large["hits"], json!({ "fraud": 2, "genuine": 2, "unknown": 0 }));
    // p5 came an hour after nothing of its card but p1: its alert is thinned.
    assert_eq!(large["alerts"], json!({ "fraud": 1, "genuine": 2, "unknown": 0 }));
    assert_eq!(large["only_this"], json!({ "fraud": 1, "genuine": 2, "unknown": 0 }));
    assert_eq!((&large["precision"], &large["recall"]), (&json!(0.5), &json!(0.5)));
    assert_eq!(large["value_caught"], json!({ "EUR": "270.00" }));
    assert_eq!(large["value_wrongly_stopped"], json!({ "EUR": "500.50" }));
    assert_eq!(busy["hits"], json!({ "fraud": 2, "genuine": 0, "unknown": 0 }));
    assert_eq!(busy["only_this"], json!({ "fraud": 1, "genuine": 0, "unknown": 0 }));
    assert_eq!((&busy["precision"], &busy["recall"]), (&json!(1.0), &json!(0.5)));
    assert_eq!(
        (&busy["stops"], &busy["value_caught"]),
        (&json!(false), &json!({ "EUR": "127.00" }))
    );
    assert_eq!(
        quality["overlap"],
        json!([{ "rules": ["R-2", "R-1"], "events": { "fraud": 1, "genuine": 0, "unknown": 0 } }])
    );
    assert_eq!(quality["hit"]["events"], json!({ "fraud": 3, "genuine": 2, "unknown": 0 }));
    assert_eq!(
        (&quality["hit"]["precision"], &quality["hit"]["recall"]),
        (&json!(0.6), &json!(0.75))
    );
    assert_eq!(quality["stopped"]["events"], json!({ "fraud": 2, "genuine": 2, "unknown": 0 }));
    assert_eq!(quality["value_fraud"], json!({ "EUR": "286.99" }));
    assert_eq!(quality["value_caught"], json!({ "EUR": "277.00" }));
    assert_eq!(quality["value_stopped"], json!({ "EUR": "270.00" }));
    assert_eq!(quality["value_wrongly_stopped"], json!({ "EUR": "500.50" }));
    assert_eq!(
        quality["days"],
        json!([
            { "day": "2026-03-02", "events": 6, "alerts": 4, "hits": 4, "fraud": 4, "fraud_hit": 3 },
            { "day": "2026-03-03", "events": 1, "alerts": 1, "hits": 1, "fraud": 0, "fraud_hit": 0 },
        ])
    );
}

#[test]
fn labels_after_the_cut_off_are_unknown_and_young_events_do_not_count() {
    let until = ["--labels-until", "2026-03-03T12:00:00Z", "--labels-mature", "6h"];
    let quality = quality(&place(), &[&["--labels", "labels.csv"][..], &until].concat());
    // p6 was reported later and is old enough to be taken for genuine; p7 is three hours old and unlabelled.
    assert_eq!(quality["events"], json!({ "fraud": 3, "genuine": 3, "unknown": 1 }));
    let large = &quality["rules"][1];
    assert_eq!(large["hits"], json!({ "fraud": 2, "genuine": 1, "unknown": 1 }));
    assert_eq!((&large["precision"], &large["recall"]), (&json!(0.666_667), &json!(0.666_667)));
    assert_eq!(large["value_wrongly_stopped"], json!({ "EUR": "200.50" }));
    assert_eq!(quality["labels_until"], "2026-03-03T12:00:00Z");
}

#[test]
fn labels_may_be_ndjson_with_other_names() {
    let place = place();
    place.write("l.jsonl", "{\"tx\":\"p1\",\"bad\":1}\n\n{\"tx\":\"p2\",\"bad\":false}\n");
    let names = ["--labels", "l.jsonl", "--label-id", "tx", "--label-verdict", "bad"];
    let quality = quality(&place, &names);
    assert_eq!(quality["events"], json!({ "fraud": 1, "genuine": 6, "unknown": 0 }));
}

#[test]
fn labels_that_cannot_be_understood_name_their_line_and_show_no_value() {
    let place = place();
    let labels = |text: &str| {
        place.write("l.csv", text);
        let called = place.call(&[&BACKTEST[..], &["--labels", "l.csv"]].concat());
        assert_eq!((called.code, called.out.as_str()), (1, ""));
        called.err
    };
    let err = labels("event_id,verdict\np1,fraud\np2,secret\n");
    assert!(err.contains("line 3 of `l.csv`: the verdict is neither"), "{err}");
    assert!(!err.contains("secret"), "{err}");
    let err = labels("id,verdict\np1,fraud\n");
    assert!(err.contains("no column `event_id`: name it with `--label-id`"), "{err}");
    let err = labels("event_id,verdict,reported_at\np1,fraud,yesterday\n");
    assert!(err.contains("line 2 of `l.csv`: the time is not like"), "{err}");
    assert!(!place.path().join("out").exists(), "nothing is written before the labels are read");
    let alone = place.call(&[&BACKTEST[..], &["--labels-until", "2026-03-03T12:00:00Z"]].concat());
    assert_eq!(alone.code, 2);
}

/// A stream with labels, drawn from a fixed sequence.
fn random_stream() -> (String, BTreeMap<String, (bool, u64)>) {
    let (mut state, mut text, mut truth) = (7_u64, String::new(), BTreeMap::new());
    let mut draw = |below: u64| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % below
    };
    for index in 0..2_000_u64 {
        let (card, cents, fraud) = (draw(8), draw(20_000), draw(10) == 0);
        let at = format!(
            "2026-03-{:02}T{:02}:{:02}:00Z",
            2 + index / 1_000,
            index % 1_000 / 60,
            index % 60
        );
        text += &format!(
            "{{\"id\":\"e{index}\",\"at\":\"{at}\",\"card\":\"c{card}\",\"amount\":\"{}.{:02}\"}}\n",
            cents / 100,
            cents % 100
        );
        truth.insert(format!("e{index}"), (fraud, cents));
    }
    (text, truth)
}

#[test]
fn figures_against_labels_are_those_of_a_naive_count_over_the_decisions() {
    let place = place();
    let (events, truth) = random_stream();
    place.write("events.ndjson", &events);
    let labels: Vec<String> = truth
        .iter()
        .map(|(id, (fraud, _))| format!("{id},{}\n", if *fraud { "fraud" } else { "genuine" }))
        .collect();
    place.write("labels.csv", &format!("event_id,verdict\n{}", labels.concat()));
    let quality = quality(&place, &["--labels", "labels.csv"]);
    let mut hits: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut stopped = BTreeSet::new();
    for line in place.read("out/decisions.ndjson").lines() {
        let decision: Value = serde_json::from_str(line).unwrap();
        let id = decision["event"]["id"].as_str().unwrap().to_owned();
        if decision["outcome"] == "hold" {
            stopped.insert(id.clone());
        }
        for hit in decision["contributions"].as_array().into_iter().flatten() {
            let name = if hit["name"] == "large" { "large" } else { "busy" };
            hits.entry(name).or_default().insert(id.clone());
        }
    }
    let money = |ids: &BTreeSet<String>, wanted: bool| {
        let cents: u64 =
            ids.iter().map(|id| truth[id]).filter(|(f, _)| *f == wanted).map(|(_, c)| c).sum();
        format!("{}.{:02}", cents / 100, cents % 100)
    };
    let frauds = |ids: &BTreeSet<String>| ids.iter().filter(|id| truth[*id].0).count();
    let all: BTreeSet<String> = truth.keys().cloned().collect();
    assert!(hits["busy"].len() > 50 && frauds(&hits["busy"]) > 5, "the stream shows something");
    for rule in quality["rules"].as_array().unwrap() {
        let ids = &hits[rule["name"].as_str().unwrap()];
        let fraud = frauds(ids);
        assert_eq!(
            rule["hits"],
            json!({ "fraud": fraud, "genuine": ids.len() - fraud, "unknown": 0 })
        );
        let six = |part: usize, whole: usize| (part as f64 / whole as f64 * 1e6).round() / 1e6;
        assert_eq!(rule["precision"], json!(six(fraud, ids.len())));
        assert_eq!(rule["recall"], json!(six(fraud, frauds(&all))));
        assert_eq!(rule["value_caught"]["EUR"], money(ids, true));
        let others =
            hits.iter().filter(|(name, _)| rule["name"] != **name).flat_map(|(_, ids)| ids);
        let others: BTreeSet<&String> = others.collect();
        let only = ids.iter().filter(|id| !others.contains(id)).count();
        let said = &rule["only_this"];
        assert_eq!(
            said["fraud"].as_u64().unwrap() + said["genuine"].as_u64().unwrap(),
            only as u64
        );
    }
    let both: BTreeSet<String> = hits["busy"].intersection(&hits["large"]).cloned().collect();
    let fraud = frauds(&both);
    assert_eq!(
        quality["overlap"][0]["events"],
        json!({ "fraud": fraud, "genuine": both.len() - fraud, "unknown": 0 })
    );
    assert_eq!(quality["value_stopped"]["EUR"], money(&stopped, true));
    assert_eq!(quality["value_wrongly_stopped"]["EUR"], money(&stopped, false));
    assert_eq!(quality["value_fraud"]["EUR"], money(&all, true));
}

#[test]
fn the_table_against_labels_is_for_people() {
    let out = place().good(&[&BACKTEST[..], &["--labels", "labels.csv"]].concat());
    let (_, table) = out.split_once("against the labels\n").unwrap();
    let expected = "\
rule  name   mode  hits  fraud  genuine  precision  recall  only this  value caught  wrongly stopped
R-2   busy   live     2      2        0    100.0 %  50.0 %          1    127.00 EUR                -
R-1   large  live     4      2        2     50.0 %  50.0 %          3    270.00 EUR       500.50 EUR

4 fraud, 3 genuine, 0 too young to say; 6 labels used
hit by a live rule: 5 events, 3 fraud, precision 60.0 %, recall 75.0 %
alerted: 5 events, 3 fraud, precision 60.0 %, recall 75.0 %
held or refused: 4 events, 2 fraud, precision 50.0 %, recall 50.0 %
value of fraud 286.99 EUR; hit by a live rule 277.00 EUR; held or refused 270.00 EUR; genuine held or refused 500.50 EUR

rules that hit the same events
rule      other rule  both  of the first  of the other  fraud
R-2 busy  R-1 large      1        50.0 %        25.0 %      1
";
    assert_eq!(table, expected);
}

/// Whether every tag that is opened is closed, by a count of its names.
#[track_caller]
fn assert_well_formed(html: &str) {
    let mut open: Vec<String> = Vec::new();
    for part in html.split('<').skip(1) {
        let (tag, _) = part.split_once('>').unwrap();
        let name: String = tag.chars().take_while(|c| !c.is_whitespace() && *c != '/').collect();
        let alone = tag.ends_with('/') || ["!doctype", "meta"].contains(&name.as_str());
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(closed));
        } else if !alone {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

#[test]
fn the_report_is_one_page_that_asks_nothing_of_a_network_and_holds_no_foreign_tags() {
    let place = place();
    let evil = RULES.replace("id \"R-1\"", "id \"<script>alert(1)</script>\"");
    place.write("rules/a.risk", &evil);
    let plain = place.good(&BACKTEST);
    assert_eq!(plain, place.good(&[&BACKTEST[..], &["--report", "r.html"]].concat()));
    let without_labels = place.read("r.html");
    place.good(&[&BACKTEST[..], &["--report", "r.html", "--labels", "labels.csv"]].concat());
    let html = place.read("r.html");
    for page in [&without_labels, &html] {
        assert_well_formed(page);
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
        for foreign in
            ["<script", "http://", "https://", "src=", "href=", "url(", "@import", "onload"]
        {
            assert!(!page.contains(foreign), "{foreign}");
        }
        assert!(page.matches("<svg").count() >= 3);
    }
    assert!(html.contains("aria-label=\"precision and recall of each rule\""));
    assert!(html.contains("<td>500.50 EUR</td>"), "{html}");
    // The same run gives the same page.
    place.good(&[&BACKTEST[..], &["--report", "again.html", "--labels", "labels.csv"]].concat());
    assert_eq!(html, place.read("again.html"));
}

const BOTH: &str = r#"
rule both "Large for the card's habit"
  mode shadow
  on payment
  when amount > 100 EUR and count(payment where amount > 6 EUR) by card over last 10m >= 2
  then alert
"#;

fn explain(place: &Place, more: &[&str]) -> String {
    place.good(&[&["explain", "--input", "events.ndjson"][..], more].concat())
}

/// The first line names the rule set, which changes with every word of this file.
fn without_set(text: &str) -> String {
    let (before, rest) = text.split_once("set ").unwrap();
    format!("{before}set ........{}", &rest[8..])
}

#[test]
fn explain_shows_every_part_with_its_value_its_window_and_what_was_not_read() {
    let place = place();
    place.write("rules/b.risk", BOTH);
    let text = explain(&place, &["--event", "p2", "--rule", "both"]);
    let expected = "\
both both  NO HIT   set ........  event p2 (payment) 2026-03-02T08:01:00Z
  when  false
    amount > 100 EUR  false  5.00 EUR > 100.00 EUR  short by 95.00 EUR
      amount = 5.00 EUR
    count(payment where amount > 6 EUR) by card over last 10m >= 2  false  1 >= 2  short by 1
      count(payment where amount > 6 EUR) by card over last 10m = 1
        last 10m from 2026-03-02T07:51:00Z to 2026-03-02T08:01:00Z, 1 of 2 events (1 skipped by the filter or for want of a value), warming (the records begin inside of it), not read: the rule was decided without it
";
    assert_eq!(without_set(&text), expected);
    let text = explain(&place, &["--event", "p5", "--rule", "R-2"]);
    let expected = "\
R-2 busy  HIT   set ........  event p5 (payment) 2026-03-02T08:04:00Z
  when  true
    count(payment) by card over last 10m >= n  true  4 >= 3
      count(payment) by card over last 10m = 4
        last 10m from 2026-03-02T07:54:00Z to 2026-03-02T08:04:00Z, 4 events, warming (the records begin inside of it)
";
    assert_eq!(without_set(&text), expected);
}

#[test]
fn explain_starts_from_a_decision_too_and_speaks_json() {
    let place = place();
    place.good(&BACKTEST);
    let decisions = place.read("out/decisions.ndjson");
    let line = decisions.lines().find(|line| line.contains("\"p5\"")).unwrap();
    let decision: Value = serde_json::from_str(line).unwrap();
    let id = decision["decision_id"].as_str().unwrap();
    let ask = ["explain", "--input", "events.ndjson", "--decision"];
    let by_id = good_json(&place, &[&ask[..], &[id]].concat());
    place.write("decision.json", line);
    assert_eq!(by_id, good_json(&place, &[&ask[..], &["decision.json"]].concat()));
    assert_eq!(by_id["decision"], decision, "it is the decision of the backtest");
    let names: Vec<&Value> =
        by_id["rules"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["busy", "large"]);
    let busy = &by_id["rules"][0];
    assert_eq!((&busy["verdict"], &busy["when"]["value"]), (&json!("hit"), &json!("true")));
    assert_eq!(busy["when"]["parts"][0]["readings"][0]["events_counted"], 4, "{by_id}");
    for (arguments, words) in [
        (["--event", "p99", "--rule", "busy"], "no event of the input has the id `p99`"),
        (["--event", "p1", "--rule", "nobody"], "no rule with the id or name `nobody`"),
    ] {
        let called =
            place.call(&[&["explain", "--input", "events.ndjson"][..], &arguments].concat());
        assert_eq!((called.code, called.out.as_str()), (1, ""));
        assert!(called.err.contains(words), "{}", called.err);
    }
}

#[test]
fn overlap_says_which_rules_hit_the_same_events_and_what_each_has_alone() {
    let out = place().good(&["overlap", "--input", "events.ndjson"]);
    let expected = "\
rule  name   hits  only this
R-2   busy      2          1
R-1   large     4          3

rules that hit the same events
rule      other rule  both  of the first  of the other  fraud
R-2 busy  R-1 large      1        50.0 %        25.0 %      -
";
    assert_eq!(out, expected);
    let json = good_json(&place(), &["overlap", "--input", "events.ndjson"]);
    assert_eq!(
        json["rules"][1],
        json!({ "rule": "R-1", "name": "large", "hits": 4, "only_this": 3 })
    );
    assert_eq!(json["overlap"][0]["rules"], json!(["R-2", "R-1"]));
}

#[test]
fn sweep_tries_every_value_of_a_range_and_is_what_was_worked_out_by_hand() {
    let place = place();
    let sweep = ["sweep", "R-1", "--input", "events.ndjson", "--labels", "labels.csv"];
    let out = place.good(&[&sweep[..], &["--report", "s.html"]].concat());
    let expected = "\
param limit (* as it is now)
value      hits  alerts  fraud  precision  recall  value caught  wrongly stopped
50 EUR        4       3      2     50.0 %  50.0 %    270.00 EUR       500.50 EUR
100 EUR *     4       3      2     50.0 %  50.0 %    270.00 EUR       500.50 EUR
150 EUR       2       2      0      0.0 %   0.0 %             0       500.50 EUR
200 EUR       2       2      0      0.0 %   0.0 %             0       500.50 EUR
250 EUR       1       1      0      0.0 %   0.0 %             0       300.00 EUR
";
    assert_eq!(out, expected);
    assert_well_formed(&place.read("s.html"));
    assert!(place.read("s.html").contains("aria-label=\"alerts against recall\""));
    let json = good_json(&place, &["sweep", "busy", "--param", "n", "--input", "events.ndjson"]);
    let points = json["params"][0]["points"].as_array().unwrap();
    let hits: Vec<(&str, u64)> = points
        .iter()
        .map(|point| (point["value"].as_str().unwrap(), point["hits"]["unknown"].as_u64().unwrap()))
        .collect();
    assert_eq!(hits, [("2", 3), ("3", 2), ("4", 1)]);
    assert_eq!(points[0]["recall"], Value::Null, "without labels nothing is known");
    let called = place.call(&["sweep", "busy", "--param", "m", "--input", "events.ndjson"]);
    assert_eq!(called.code, 1);
}

#[test]
fn diff_says_in_words_what_changed_in_state_and_in_decisions() {
    let place = place();
    let changed = RULES
        .replace("param limit = 100 EUR", "param limit = 140 EUR")
        .replace("over last 10m >= n", "over last 15m >= n")
        .replace("severity low", "severity low  mode shadow")
        .replace("score +10 in velocity\n       alert queue l2", "score +10 in velocity");
    place.write(
        "new/a.risk",
        &format!("{}{BOTH}", changed.replace("score +10\n", "score +10\n# why\n")),
    );
    let out = place.good(&["diff", "rules", "new", "--input", "events.ndjson"]);
    let expected = "\
added rule both
changed rule busy
  `then score +10 in velocity alert queue l2` → `then score +10 in velocity`
  window in when 10m → 15m
  with `mode shadow`
changed rule large
  param limit 100 EUR → 140 EUR
new state, begins empty: count(payment where (amount in EUR > 6.00 EUR)) by card over last 10m  (both)
new state, begins empty: count(payment) by card over last 15m  (busy)
state forgotten: count(payment) by card over last 10m  (busy)
rule busy is wider: it hits all that it did, and more
rule large is narrower: it hits nothing new, and no longer all that it did

test busy \"witness: it hits, and did not before\"
  given payment(card: \"card2\", amount: 10.00 EUR)
  given payment(card: \"card2\", amount: 10.00 EUR)
  when payment(card: \"card2\", amount: 10.00 EUR) at 12m
  expect hit

test large \"witness: it does not hit, and did before\"
  when payment(card: \"card1\", amount: 100.01 EUR)
  expect no hit

decisions
  pass stays  3
  hold → pass  1: p5
  hold stays  3
alerts 5 → 3
  busy  2 → 0
";
    assert_eq!(out, expected);
    assert_eq!(place.good(&["diff", "rules", "rules"]), "the rules say the same\n");
    let json = good_json(&place, &["diff", "rules", "new"]);
    assert_eq!(json["rules"]["added"], json!(["rule both"]));
    assert_eq!(json["decisions"], Value::Null);
}

#[test]
fn a_label_that_was_known_at_the_cut_off_is_not_forgotten_for_a_later_report() {
    let place = place();
    place.write(
        "l.csv",
        "event_id,verdict,reported_at\n\
         p1,fraud,2026-03-02T20:00:00Z\np1,genuine,2026-06-01T00:00:00Z\n\
         p2,fraud,2026-06-01T00:00:00Z\np2,fraud,2026-03-02T20:00:00Z\n\
         p3,genuine,2026-03-02T20:00:00Z\np3,fraud,2026-03-02T20:00:00Z\n\
         p4,fraud,2026-06-01T00:00:00Z\n",
    );
    let labels = ["--labels", "l.csv"];
    let until = |time: &str| quality(&place, &[&labels[..], &["--labels-until", time]].concat());
    // p1, p2, and p3, of whose two reports of one time the last counts; p4 was not reported yet.
    let then = until("2026-03-04T00:00:00Z");
    assert_eq!(then["events"], json!({ "fraud": 3, "genuine": 4, "unknown": 0 }));
    assert_eq!(then["labels"], 3);
    let before = until("2026-03-02T19:59:59Z");
    assert_eq!(before["events"]["fraud"], 0);
    // In the end p1 was genuine.
    let end = quality(&place, &labels);
    assert_eq!(end["events"], json!({ "fraud": 3, "genuine": 4, "unknown": 0 }));
    let large = |quality: &Value| quality["rules"][1]["hits"].clone();
    // `large` hits p1, p4, p5, p7: of these p1 was fraud then, p4 is in the end.
    assert_eq!(large(&then), json!({ "fraud": 1, "genuine": 3, "unknown": 0 }));
    assert_eq!(end["value_fraud"], json!({ "EUR": "212.50" }));
    assert_eq!(then["value_fraud"], json!({ "EUR": "162.00" }));
}

/// Two event types that number their events alike.
const TWO_TYPES: &str = r#"
event login from "payments" when "/type" = "login"
  id   id   : text
  time at   : time
  key  user : customer
event pay from "payments" when "/type" = "pay"
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
rule big
  id "R-1"  owner o
  on pay
  param limit = 50 EUR
  when amount > limit
  then block
"#;

fn two_types() -> Place {
    let place = place();
    place.write("two/r.risk", TWO_TYPES);
    place.write(
        "two.ndjson",
        "{\"type\":\"login\",\"id\":\"1\",\"at\":\"2026-01-01T10:00:00Z\",\"user\":\"u\"}\n\
         {\"type\":\"pay\",\"id\":\"1\",\"at\":\"2026-01-01T10:00:01Z\",\"card\":\"c\",\"amount\":\"100.00\"}\n\
         {\"type\":\"pay\",\"id\":\"2\",\"at\":\"2026-01-01T10:00:02Z\",\"card\":\"c\",\"amount\":\"90.00\"}\n",
    );
    place
}

#[test]
fn a_label_belongs_to_the_event_of_its_type_and_one_that_fits_two_is_refused() {
    let place = two_types();
    let backtest =
        ["backtest", "--rules", "two", "--input", "two.ndjson", "--out", "o", "--labels", "l.csv"];
    place.write("l.csv", "event_id,verdict\n1,fraud\n");
    let called = place.call(&backtest);
    assert_eq!(called.code, 1, "{}", called.out);
    assert!(
        called.err.contains("the label of `1` fits an event of type `login` and one of type `pay`"),
        "{}",
        called.err
    );
    assert!(called.err.contains("--label-type"), "{}", called.err);
    // An id that one type has needs no type, and a label with a type is of that type.
    place.write("l.csv", "what,event_id,verdict\npay,1,fraud\n,2,genuine\nlogin,2,fraud\n");
    let typed = [&backtest[..], &["--label-type", "what", "--format", "json"]].concat();
    let summary: Value = serde_json::from_str(&place.good(&typed)).unwrap();
    let quality = &summary["quality"];
    assert_eq!(quality["events"], json!({ "fraud": 1, "genuine": 2, "unknown": 0 }));
    assert_eq!(quality["rules"][0]["hits"], json!({ "fraud": 1, "genuine": 1, "unknown": 0 }));
    assert_eq!(quality["labels"], 2);
}

#[test]
fn diff_and_explain_tell_events_of_two_types_with_one_id_apart() {
    let place = two_types();
    place.write("new/r.risk", &TWO_TYPES.replace("limit = 50 EUR", "limit = 95 EUR"));
    place.write("high/r.risk", &TWO_TYPES.replace("limit = 50 EUR", "limit = 100 EUR"));
    let diff = |after: &str| place.good(&["diff", "two", after, "--input", "two.ndjson"]);
    let decisions = |text: &str| text.split("decisions\n").nth(1).unwrap_or_default().to_owned();
    assert_eq!(
        decisions(&diff("new")),
        "  pass stays  1\n  block → pass  1: 2\n  block stays  1\nalerts 0 → 0\n"
    );
    assert_eq!(
        decisions(&diff("high")),
        "  pass stays  1\n  block → pass  2: 1 (pay), 2\nalerts 0 → 0\n"
    );
    let explain = ["explain", "--rules", "two", "--input", "two.ndjson", "--event", "1"];
    let called = place.call(&[&explain[..], &["--rule", "big"]].concat());
    assert!(called.out.contains("R-1 big  HIT") && called.out.contains("(pay)"), "{}", called.out);
    assert!(called.err.contains("an event of type `login` has the id `1` too"), "{}", called.err);
    let called = place.call(&[&explain[..], &["--type", "login"]].concat());
    assert!(called.out.contains("NOT ON this type of event"), "{}", called.out);
    let called = place.call(&explain);
    assert!(called.out.contains("(login)"), "{}", called.out);
    assert!(called.err.contains("type `pay` has the id `1` too"), "{}", called.err);
    let called = place.call(&[&explain[..], &["--type", "logon"]].concat());
    assert_eq!((called.code, called.out.as_str()), (1, ""));
    assert!(called.err.contains("there is no event type `logon`"), "{}", called.err);
}

#[test]
fn diff_tells_what_changed_in_the_files_beside_the_rules() {
    let place = place();
    let rules = "event payment id id : text time at : time key card : card field amount : money currency EUR
        list bad : card from \"bad.csv\"
        list limit : card gives integer from \"limit.csv\"
        policy p base currency EUR rates from \"rates.csv\"
        rule r mode shadow on payment when card in bad then alert";
    for (folder, bad, limit, rate) in [
        ("a", "c1,\nc2,\nc3,2026-01-01\n", "c1,5\nc2,6\n", "0.85"),
        ("b", "c2,\nc3,2026-01-02\nc4,\n", "c1,5\nc2,7\n", "0.86"),
    ] {
        place.write(&format!("{folder}/r.risk"), rules);
        place.write(&format!("{folder}/bad.csv"), &format!("value,expires\n{bad}"));
        place.write(&format!("{folder}/limit.csv"), &format!("value,gives\n{limit}"));
        place.write(
            &format!("{folder}/rates.csv"),
            &format!("date,currency,rate\n2026-01-01,USD,{rate}\n"),
        );
    }
    let out = place.call(&["diff", "a", "b"]).out;
    assert!(
        out.contains(
            "changed list bad\n  file with c4\n  file without c1\n  file another end for c3\n"
        ),
        "{out}"
    );
    assert!(out.contains("changed list limit\n  file another value for c2\n"), "{out}");
    assert!(out.contains("changed rates\n  table "), "{out}");
    assert_eq!(place.call(&["diff", "a", "a"]).out, "the rules say the same\n");
}

#[test]
fn sweep_finds_the_parameters_that_a_rule_has_from_its_template() {
    let place = place();
    let rules = RULES.split("rule busy").next().unwrap().to_owned()
        + "template busy(k: key)
  owner fraud  severity low
  on payment
  param n = 3 tune 2..4
  when count(payment) by k over last 10m >= n
  then alert queue l2
use busy(card) as busy_card
  id \"R-2\"
use busy(card) as busy_too
  id \"R-3\"
  param n = 2 tune 2..3
";
    place.write("made/a.risk", rules.split("test large").next().unwrap());
    let hits = |rule: &str| -> Vec<(String, u64)> {
        let sweep =
            ["sweep", rule, "--rules", "made", "--input", "events.ndjson", "--format", "json"];
        let called = place.call(&sweep);
        let json: Value = serde_json::from_str(&called.out).unwrap();
        let points = json["params"][0]["points"].as_array().unwrap().clone();
        let point = |point: &Value| {
            let value = point["value"].as_str().unwrap().to_owned();
            (value, point["hits"]["unknown"].as_u64().unwrap())
        };
        points.iter().map(point).collect()
    };
    let expected = |points: &[(&str, u64)]| -> Vec<(String, u64)> {
        points.iter().map(|(value, hits)| ((*value).to_owned(), *hits)).collect()
    };
    // By hand as for `busy` above: p2, p3 and p5 are the second, third and fourth payment of c1 within ten minutes.
    assert_eq!(hits("busy_card"), expected(&[("2", 3), ("3", 2), ("4", 1)]));
    assert_eq!(hits("busy_too"), expected(&[("2", 3), ("3", 2)]));
}

/// The figures of the document, on the smallest shipped rule set: its three cards on one device are the least that hit.
#[test]
fn analyze_says_what_its_document_shows_and_its_witnesses_pass() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let first = fs::read_to_string(root.join("examples/first/first.risk")).unwrap();
    let place = Place::with(&[("rules/first.risk", &first)]);
    let called = place.call(&["analyze", "rules", "--filter", "many_cards"]);
    assert_eq!(
        (called.code, called.err.trim()),
        (0, "2 statements: 0 proved, 2 refuted, 0 unknown")
    );
    let document = fs::read_to_string(root.join("docs/TOOLS.md")).unwrap();
    let (_, shown) = document.split_once("## analyze").unwrap();
    let (_, shown) = shown.split_once("```risk\n").unwrap();
    assert_eq!(called.out, shown.split_once("```").unwrap().0);
    place.write("rules/witnesses.risk", &called.out);
    assert_eq!(place.good(&["test", "rules"]), "6 passed, 0 failed\n");
}

#[test]
fn analyze_tells_proofs_and_pairs_as_data() {
    let text = format!(
        "{RULES}{}",
        r#"
rule larger "More than two hundred"
  id "R-3"  owner fraud  severity high
  on payment
  when amount > 200 EUR
  then hold for 1h otherwise release
rule never
  id "R-4"  owner fraud
  on payment
  when amount < 1 EUR and amount > 2 EUR
  then tag x
"#
    );
    let place = Place::with(&[("rules/a.risk", &text)]);
    let said = good_json(&place, &["analyze", "rules", "--tries", "300"]);
    assert_eq!(said["pairs_left_out"], 0);
    let verdicts: Vec<(String, usize)> = said["statements"]
        .as_array()
        .unwrap()
        .iter()
        .map(|found| {
            let word = |key: &str| found[key].as_str().unwrap_or("-").to_owned();
            let words = [word("rule"), word("statement"), word("other"), word("verdict")];
            (words.join(" "), found["tests"].as_array().unwrap().len())
        })
        .collect();
    let wanted = [
        ("busy never_hits - refuted", 1),
        ("busy never_false - refuted", 1),
        ("large never_hits - refuted", 1),
        ("large never_false - refuted", 1),
        // What is above 200 is above 100; `large` also alerts, which `larger` does not.
        ("larger never_hits - refuted", 1),
        ("larger never_false - refuted", 1),
        ("larger within large proved", 0),
        ("never never_hits - proved", 0),
        ("never never_false - refuted", 1),
    ];
    assert_eq!(verdicts, wanted.map(|(words, n)| (words.to_owned(), n)));
    let called = place.call(&["analyze", "rules", "--filter", "nobody"]);
    assert_eq!(called.code, 1);
    assert!(called.err.contains("no rule whose name contains `nobody`"), "{}", called.err);
}

const CARDS: &str = r#"
event payment
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
  field note   : text?
list trusted : card from "trusted.csv"
"#;

/// What a person would say of each change, and the least that shows it: a cent on one side of a limit.
#[test]
fn diff_says_which_rules_are_wider_and_narrower_with_an_event_that_shows_it() {
    let rules = |words: &[(&str, &str)]| {
        let rules = words.iter().map(|(name, words)| {
            format!("rule {name} mode shadow\n  on payment\n  {words}\n  then tag x\n")
        });
        format!("{CARDS}{}", rules.collect::<String>())
    };
    let before = rules(&[
        ("wider", "when amount > 100 EUR"),
        ("narrower", "when amount > 100 EUR"),
        ("same", "when amount > 100 EUR"),
        ("spared", "when amount > 100 EUR"),
        ("other", "when card = \"c1\""),
        ("quieter", "when count(payment) by card over last 10m >= 3"),
        ("by_feature", "when large"),
        ("left", "when amount > 100 EUR and large"),
        ("untouched", "when amount < 5 EUR"),
    ]) + "feature large = amount > 50 EUR\n";
    let after = rules(&[
        ("wider", "when amount > 50 EUR"),
        ("narrower", "when amount > 100 EUR and note = \"b\" if missing skip"),
        ("same", "when not (amount <= 100 EUR)"),
        ("spared", "when amount > 100 EUR unless card in trusted"),
        ("other", "when card = \"c2\""),
        ("quieter", "when count(payment) by card over last 5m >= 3"),
        ("by_feature", "when large"),
        ("left", "when amount > 100 EUR and large"),
        ("untouched", "when amount < 5 EUR"),
    ]) + "feature large = amount > 60 EUR\n";
    let list = "c7\n";
    let place = Place::with(&[
        ("a/r.risk", &before),
        ("a/trusted.csv", list),
        ("b/r.risk", &after),
        ("b/trusted.csv", list),
    ]);
    let json = good_json(&place, &["diff", "a", "b"]);
    let said = json["hits"].as_array().unwrap().iter().map(|found| {
        let word = |key: &str| found[key]["verdict"].as_str().unwrap().to_owned();
        (found["rule"].as_str().unwrap().to_owned(), word("gains"), word("loses"))
    });
    let said: Vec<_> = said.collect();
    let wanted = [
        ("by_feature", "none", "some"),
        // Above 100 is above 50 and above 60.
        ("left", "none", "none"),
        ("narrower", "none", "some"),
        ("other", "some", "some"),
        // What lies in five minutes lies in ten.
        ("quieter", "none", "some"),
        ("same", "none", "none"),
        ("spared", "none", "some"),
        ("wider", "some", "none"),
    ];
    let wanted = wanted.map(|(rule, gains, loses)| (rule.into(), gains.into(), loses.into()));
    assert_eq!(said, wanted);
    let called = place.call(&["diff", "a", "b"]);
    assert!(called.out.contains("\nrule wider is wider: it hits all that it did, and more\n"));
    assert!(called.out.contains("\nrule same hits the same events\n"), "{}", called.out);
    // The tests pass with the new rules, and none of them with the old ones.
    let (_, tests) = called.out.split_once("\n\ntest ").unwrap();
    for (folder, passed) in [("b", 7), ("a", 0)] {
        place.write(&format!("{folder}/witnesses.risk"), &format!("test {tests}"));
        let called = place.call(&["test", folder]);
        assert!(
            called.out.ends_with(&format!("{passed} passed, {} failed\n", 7 - passed)),
            "{}",
            called.out
        );
    }
}

/// A rule that asks for what is gone cannot be asked beside the new one; the others can.
#[test]
fn diff_says_which_rule_it_cannot_compare() {
    let rule = |name: &str, when: &str| {
        format!("rule {name} mode shadow\n  on payment\n  when {when}\n  then tag x\n")
    };
    let before = format!(
        "{CARDS}list gone : card from \"trusted.csv\"\n{}{}",
        rule("first", "card in gone"),
        rule("second", "amount > 5 EUR")
    );
    let after =
        format!("{CARDS}{}{}", rule("first", "card in trusted"), rule("second", "amount > 4 EUR"));
    let place = Place::with(&[
        ("a/r.risk", &before),
        ("a/trusted.csv", "c7\n"),
        ("b/r.risk", &after),
        ("b/trusted.csv", "c7\n"),
    ]);
    let out = place.call(&["diff", "a", "b"]).out;
    assert!(out.contains("rule second is wider"), "{out}");
    assert!(out.contains("rule first is not compared: its old words mean nothing"), "{out}");
}

/// Two payments have one id: the second is another one, decided by itself, and counted once.
#[test]
fn diff_counts_each_event_of_an_id_that_was_used_again() {
    let place = place();
    place.write("new/a.risk", &RULES.replace("param limit = 100 EUR", "param limit = 140 EUR"));
    place.write(
        "twice.ndjson",
        r#"{"id":"p1","at":"2026-03-02T08:00:00Z","card":"c1","amount":"120.00"}
{"id":"p1","at":"2026-03-02T08:30:00Z","card":"c1","amount":"200.00"}
{"id":"p2","at":"2026-03-02T09:00:00Z","card":"c1","amount":"5.00"}
"#,
    );
    let json = good_json(&place, &["diff", "rules", "new", "--input", "twice.ndjson"]);
    let moved = json["decisions"]["outcomes"].as_array().unwrap().iter();
    let moved: Vec<(&str, &str, u64)> = moved
        .map(|moved| {
            let word = |key: &str| moved[key].as_str().unwrap();
            (word("from"), word("to"), moved["events"].as_u64().unwrap())
        })
        .collect();
    // 120 is above 100 and not above 140; 200 is above both.
    assert_eq!(moved, [("pass", "pass", 1), ("hold", "pass", 1), ("hold", "hold", 1)]);
    assert_eq!(json["decisions"]["only_one"], 0);
}

/// Two topics, neither of which says which records are its own.
const TWO_TOPICS: &str = r#"
event pay from "payments"
  id    pid    : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
  field status : one of [ok, bad]
event refund from "refunds"
  id    rid    : text
  time  at     : time
  key   card   : card
rule mostly_bad
  mode shadow
  on pay
  when share(pay where status = bad) by card over last 1d > 50% and count(pay) by card over today > 0
  then alert queue q
"#;

const ONE_PAY: &str = "{\"pid\":\"1\",\"at\":\"2026-01-02T17:00:00Z\",\"card\":\"c\",\"amount\":\"1.00\",\"status\":\"bad\"}\n";

#[test]
fn a_file_of_one_of_several_topics_is_asked_for_its_topic() {
    let place = Place::with(&[("rules/a.risk", TWO_TOPICS), ("one.ndjson", ONE_PAY)]);
    let called = place.call(&["backtest", "--input", "one.ndjson", "--out", "out"]);
    assert_eq!(called.code, 1);
    assert!(called.err.contains("say by `--topic` of which topic it is"), "{}", called.err);
    assert!(called.err.contains("payments, refunds"), "{}", called.err);
}

#[test]
fn explain_names_the_calendar_and_tells_the_window_of_a_share_once() {
    let place = Place::with(&[("rules/a.risk", TWO_TOPICS), ("one.ndjson", ONE_PAY)]);
    let flags = ["--input", "one.ndjson", "--topic", "payments", "--event", "1"];
    let out = place.good(&[&["explain"][..], &flags, &["--rule", "mostly_bad"]].concat());
    let windows: Vec<&str> =
        out.lines().map(str::trim).filter(|line| line.ends_with("exact")).collect();
    assert_eq!(
        windows,
        [
            "last 1d from 2026-01-01T17:00:00Z to 2026-01-02T17:00:00Z, 1 events, exact",
            "today from 2026-01-02T00:00:00Z to 2026-01-02T17:00:00Z, 1 events, exact"
        ],
        "{out}"
    );
}

/// The sequence is the same in both, so only the amount decides, and a larger one is asked for.
#[test]
fn diff_proves_a_rule_narrower_that_names_a_step_of_a_sequence() {
    let rule = |least: &str| {
        format!(
            "{TWO_TOPICS}\nrule twice\n  mode shadow\n  on pay\n  param least = {least}\n  when sequence by card within 1h [ pay as first where status = bad, this where amount > first.amount ] and amount > least\n  then alert queue q message \"{{first.amount}}\"\n"
        )
    };
    let place = Place::with(&[("rules/a.risk", &rule("10 EUR")), ("new/a.risk", &rule("20 EUR"))]);
    let out = place.good(&["diff", "rules", "new"]);
    assert!(out.contains("rule twice is narrower"), "{out}");
}

/// A rate of the eighth of January holds for seven days where no other follows.
#[test]
fn an_amount_without_an_exchange_rate_says_why() {
    let rules = "event pay from \"p\"
        id id : text time at : time key card : card field amount : money currency \"/currency\"
        policy p base currency EUR rates from \"rates.csv\" expires 7d
        rule large mode shadow on pay when amount > 60 EUR if missing skip then alert
        test large \"dollars\" when pay(amount: 100 USD) at 2026-01-09 expect hit
        test large \"too late\" when pay(amount: 100 USD) at \"2026-01-15T00:00:00Z\" expect hit
        test large \"too early\" when pay(amount: 100 USD) at 2d 12h expect hit
        test large \"pounds\" when pay(amount: 100 GBP) expect hit\n";
    let place = Place::with(&[
        ("rules/a.risk", rules),
        ("rules/rates.csv", "date,currency,rate\n2026-01-08,USD,0.92\n"),
    ]);
    let out = place.call(&["test", "rules"]).out;
    for why in [
        "unknown (100.00 USD, the last exchange rate of USD, of 2026-01-08, holds for 7d) > 60.00 EUR",
        "unknown (100.00 USD, the first exchange rate of USD is of 2026-01-08) > 60.00 EUR",
        "unknown (100.00 GBP, no exchange rate of GBP) > 60.00 EUR",
    ] {
        assert!(out.contains(why), "{why}\n{out}");
    }
    assert!(out.contains("1 passed, 3 failed"), "{out}");
}
