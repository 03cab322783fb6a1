//! Small histories with their outcome worked out by hand, through the engine and through the files of a backtest.
//!
//! A folder under `tests/scenarios/` has `rules.risk`, `events.ndjson`, perhaps `options.json`, and a `README.md` whose
//! table says of every record, by hand, what must come of it. `expected/*.ndjson` are the records in full, with ids and
//! digests replaced by names in order of appearance (`UPDATE_GOLDEN=1` rewrites them; read the difference). The files
//! that a backtest writes on one thread and on three hold the very bytes that the engine emits.
//!
//! The short form of a table row, parts parted by `; `:
//! - decision: outcome, score, `by` rules that hit, `shadow` rules with why where their mode does not say it, `snoozed`
//!   rules, `undecided` rules, `exempt` names, remarks other than `normal`, `duplicate`;
//! - audit: `tripped RULE`;
//! - alert: `alert RULE` or, of a rule with `once per`, `alert RULE seq/count/thinned`;
//! - hold: `placed EVENT` or `expired EVENT OTHERWISE`;
//! - dead letter: `dead_letter REASON`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use riskweir::backtest::output::{FileSink, file_name};
use riskweir::backtest::run::{Job, run};
use riskweir::diag::{Source, Sources};
use riskweir::engine::{
    Engine, EngineOptions, Input, Output, OutputTopic, Restore, SnapshotStatus,
};
use riskweir::rules::program::Program;
use serde_json::Value;

/// Name of the input file, and so of the source in every record.
const EVENTS: &str = "events.ndjson";

struct Scenario {
    folder: PathBuf,
    program: Arc<Program>,
    options: EngineOptions,
    /// The lines that are records, with their numbers.
    records: Vec<(i64, Vec<u8>)>,
}

impl Scenario {
    fn load(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios").join(name);
        let text = fs::read_to_string(folder.join("rules.risk")).unwrap();
        let files = vec![Source { path: "rules.risk".to_owned(), text }];
        let (program, report) = riskweir::rules::compile(&Sources::of(files));
        let program = program.unwrap_or_else(|| panic!("{name}: {report:#?}"));
        let events = fs::read(folder.join(EVENTS)).unwrap();
        let lines = events.strip_suffix(b"\n").unwrap_or(&events).split(|byte| *byte == b'\n');
        let records = (0_i64..).zip(lines).filter(|(_, line)| !line.is_empty());
        Self {
            options: options(&folder),
            program: Arc::new(program),
            records: records.map(|(number, line)| (number, line.to_vec())).collect(),
            folder,
        }
    }

    fn engine(&self) -> Engine {
        Engine::new(Arc::clone(&self.program), self.options).unwrap()
    }
}

fn options(folder: &Path) -> EngineOptions {
    let mut options = EngineOptions::default();
    let Ok(text) = fs::read_to_string(folder.join("options.json")) else { return options };
    let values: BTreeMap<String, i64> = serde_json::from_str(&text).unwrap();
    for (name, value) in values {
        match name.as_str() {
            "allowed_lateness_ms" => options.allowed_lateness_ms = value,
            "max_record_bytes" => options.max_record_bytes = u32::try_from(value).unwrap(),
            "max_keys" => options.max_keys = u32::try_from(value).unwrap(),
            other => panic!("unknown option {other}"),
        }
    }
    options
}

/// Whether it says in the audit chain what a decision or a hold is.
fn is_entry(output: &Output) -> bool {
    let says = |kind: &str| {
        let record: Value = serde_json::from_slice(&output.body).unwrap();
        record["kind"] == kind
    };
    output.topic == OutputTopic::Audit && (says("decision") || says("hold"))
}

/// What one record brought about, in the short form; without what the audit chain says of decisions and holds (`tests/audit.rs`).
fn short(outputs: &[Output]) -> String {
    let parsed = outputs.iter().filter(|output| !is_entry(output)).map(|output| {
        let record: Value = serde_json::from_slice(&output.body).unwrap();
        match output.topic {
            OutputTopic::Decisions => short_decision(&record),
            OutputTopic::Alerts => short_alert(&record),
            OutputTopic::Episodes => short_end(&record),
            OutputTopic::Holds => short_hold(&record),
            OutputTopic::DeadLetter => format!("dead_letter {}", text(&record["reason"])),
            OutputTopic::Checkpoints => "checkpoint".to_owned(),
            OutputTopic::Audit => format!("tripped {}", text(&record["tripped"]["rule"])),
        }
    });
    parsed.collect::<Vec<String>>().join("; ")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn short_decision(record: &Value) -> String {
    let mut words = vec![text(&record["outcome"]).to_owned(), record["score"].to_string()];
    for (list, word, member) in [
        ("contributions", "by", "rule"),
        ("shadow", "shadow", "rule"),
        ("snoozed", "snoozed", "rule"),
        ("undecided", "undecided", "rule"),
    ] {
        let Some(entries) = record[list].as_array() else { continue };
        words.push(word.to_owned());
        for entry in entries {
            words.push(text(&entry[member]).to_owned());
            words.extend(entry["because"].as_str().map(|because| format!("({because})")));
        }
    }
    if let Some(names) = record["exempt"].as_array() {
        words.push("exempt".to_owned());
        words.extend(names.iter().map(|name| text(name).to_owned()));
    }
    let remarks = record["provenance"].as_array().unwrap().iter().map(text);
    words.extend(remarks.filter(|remark| *remark != "normal").map(str::to_owned));
    if record["duplicate"] == true {
        words.push("duplicate".to_owned());
    }
    words.join(" ")
}

fn short_alert(record: &Value) -> String {
    let episode = &record["episode"];
    let (rule, own) = (text(&record["rule"]), record["episode"]["id"] == record["alert_id"]);
    let standing = format!("{}/{}/{}", episode["seq"], episode["count"], episode["thinned"]);
    let plain = record.get("entities").is_none();
    assert!(!plain || (own && standing == "1/1/0"), "{record:#}");
    if plain { format!("alert {rule}") } else { format!("alert {rule} {standing}") }
}

fn short_end(record: &Value) -> String {
    let [alerts, hits, thinned] = ["alerts", "hits", "thinned"].map(|name| &record[name]);
    format!("{} {} {alerts}/{hits}/{thinned}", text(&record["closed"]), text(&record["rule"]))
}

fn short_hold(record: &Value) -> String {
    let (state, event) = (text(&record["state"]), text(&record["subject"]["id"]));
    match state {
        "expired" => format!("expired {event} {}", text(&record["otherwise"])),
        _ => format!("{state} {event}"),
    }
}

/// The rows of the table in the README: record number and short form.
fn by_hand(folder: &Path) -> Vec<(i64, String)> {
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let rows = readme.lines().filter_map(|line| {
        let cells: Vec<&str> = line.trim().strip_prefix('|')?.split('|').map(str::trim).collect();
        let number: i64 = cells.first()?.parse().ok()?;
        Some((number, cells.get(1)?.trim_matches('`').to_owned()))
    });
    rows.collect()
}

/// Ids and digests of 32 digits by names in order of first appearance, so that goldens say what belongs together.
fn named(text: &str, names: &mut BTreeMap<String, String>) -> String {
    let mut out = String::new();
    for (index, part) in text.split('"').enumerate() {
        if index > 0 {
            out.push('"');
        }
        let is_id = part.len() == 32 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_id {
            let next = format!("id-{}", names.len() + 1);
            out.push_str(names.entry(part.to_owned()).or_insert(next));
        } else {
            out.push_str(part);
        }
    }
    out
}

/// The bodies of each kind, one a line.
fn files_of(outputs: &[Output]) -> BTreeMap<OutputTopic, Vec<u8>> {
    let mut files: BTreeMap<OutputTopic, Vec<u8>> =
        OutputTopic::ALL.into_iter().map(|topic| (topic, Vec::new())).collect();
    for output in outputs {
        let file = files.get_mut(&output.topic).unwrap();
        file.extend_from_slice(&output.body);
        file.push(b'\n');
    }
    files
}

#[track_caller]
fn check(name: &str) {
    let scenario = Scenario::load(name);
    let mut engine = scenario.engine();
    let stream = engine.open_stream(EVENTS, 0);
    let mut all: Vec<Output> = Vec::new();
    let mut found: Vec<(i64, String)> = Vec::new();
    for (offset, line) in &scenario.records {
        let mut outputs: Vec<Output> = Vec::new();
        let input = Input { stream, offset: *offset, arrival_ms: None, payload: Some(line) };
        engine.announce(&input, &mut all);
        engine.step(&input, &mut outputs);
        check_dead_letter(&outputs, line);
        let counters = engine.counters();
        assert_eq!(counters.read, counters.decided() + counters.dead_lettered());
        found.push((*offset, short(&outputs)));
        all.extend(outputs);
    }
    let lines = |rows: &[(i64, String)]| {
        let rows = rows.iter().map(|(number, words)| format!("{number}: {words}"));
        rows.collect::<Vec<_>>().join("\n")
    };
    let expected = by_hand(&scenario.folder);
    assert_eq!(lines(&found), lines(&expected), "{name}: found (left), by hand in README.md");
    let files = files_of(&all);
    check_goldens(&scenario.folder, &files);
    for threads in [1, 3] {
        check_backtest(&scenario, threads, &files);
    }
}

/// A dead letter holds the record as it came.
#[track_caller]
fn check_dead_letter(outputs: &[Output], line: &[u8]) {
    for output in outputs.iter().filter(|output| output.topic == OutputTopic::DeadLetter) {
        let record: Value = serde_json::from_slice(&output.body).unwrap();
        assert_eq!(BASE64.decode(text(&record["raw_base64"])).unwrap(), line);
    }
}

#[track_caller]
fn check_goldens(folder: &Path, files: &BTreeMap<OutputTopic, Vec<u8>>) {
    let expected = folder.join("expected");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut names = BTreeMap::new();
    for (topic, bytes) in files.iter().filter(|(topic, _)| **topic != OutputTopic::Audit) {
        let found = named(core::str::from_utf8(bytes).unwrap(), &mut names);
        let path = expected.join(file_name(*topic));
        if update && found.is_empty() {
            drop(fs::remove_file(&path));
        } else if update {
            fs::create_dir_all(&expected).unwrap();
            fs::write(&path, &found).unwrap();
        }
        let known = fs::read_to_string(&path).unwrap_or_default();
        assert!(known == found, "{} differs; found:\n{found}", path.display());
    }
}

#[track_caller]
fn check_backtest(scenario: &Scenario, threads: usize, files: &BTreeMap<OutputTopic, Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    let mut engine = scenario.engine();
    let mut sink = FileSink::create(folder.path()).unwrap();
    let inputs = vec![scenario.folder.join(EVENTS)];
    let job = Job { inputs, topic: None, threads, arrived_ms: None };
    run(&mut engine, &job, &mut sink, &mut |_| true).unwrap();
    sink.finish().unwrap();
    for (topic, expected) in files {
        let found = fs::read(folder.path().join(file_name(*topic))).unwrap();
        assert!(found == *expected, "{topic:?} of a backtest on {threads} threads");
    }
}

#[test]
fn late_events_within_the_allowed_lateness_count_and_stop_money_and_later_ones_only_alert() {
    check("late_events");
}

#[test]
fn a_repeated_event_is_answered_as_before_and_a_reused_id_is_told() {
    check("repeats");
}

#[test]
fn holds_are_placed_joined_and_end_in_the_order_of_their_deadlines() {
    check("holds");
}

#[test]
fn once_per_raises_again_what_is_graver_than_all_that_was_told() {
    check("once_per_graver");
}

#[test]
fn once_per_thins_alerts_and_nothing_else() {
    check("once_per");
}

#[test]
fn allow_overrides_what_is_not_mandatory() {
    check("overrides");
}

#[test]
fn a_cap_holds_where_a_rule_that_says_it_acts() {
    check("caps");
}

#[test]
fn what_is_sensitive_stands_in_no_decision_and_no_alert() {
    check("sensitive");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios/sensitive/expected");
    let mut n_veiled = 0;
    for file in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        // "a-b-c" stands in a condition as its author wrote it.
        let written = text.matches("a-b-c").count();
        assert_eq!(written, text.matches(r#"[\"a-b-c\", \"d-e-f\"]"#).count(), "{text}");
        // The income, twice, four and eight times: what it is, what features make of it, and their sums over both events.
        for shown in ["123.45", "246.90", "493.80", "987.60"] {
            assert!(!text.contains(shown), "{shown}: {text}");
        }
        n_veiled += text.matches("(sensitive)").count();
    }
    // Of each event 4 sides of R-2, 4 of R-3 and 4 of R-4, the alert's key, and what its conditions say.
    assert!(n_veiled >= 25, "{n_veiled}");
}

#[test]
fn scores_are_capped_by_group_and_bands_act_on_the_sum() {
    check("scores");
}

#[test]
fn a_list_that_one_event_fills_is_read_by_others_until_it_ends() {
    check("lists");
}

#[test]
fn an_undecided_rule_skips_matches_or_asks_a_person() {
    check("undecided");
}

#[test]
fn windows_that_reach_behind_the_first_event_say_that_they_are_warming() {
    check("warming");
}

#[test]
fn malformed_records_become_dead_letters_with_reason_and_bytes_and_messy_ones_are_decided() {
    check("malformed");
}

#[test]
fn an_added_value_stays_as_long_as_the_action_says_or_else_the_list() {
    check("list_times");
}

#[test]
fn a_rule_that_is_not_to_act_watches_and_says_why() {
    check("life");
}

#[test]
fn what_is_mandatory_stands_beside_an_allow_and_makes_nothing_milder() {
    check("strictest");
}

#[test]
fn a_band_says_its_tags_and_texts() {
    check("bands");
}

#[test]
fn a_band_alerts_about_an_event_on_which_no_rule_speaks_whatever_decisions_are_written() {
    use riskweir::engine::DecisionsWanted::{All, None, Notable};

    let scenario = Scenario::load("bands");
    for decisions in [All, Notable, None] {
        let options = EngineOptions { decisions, ..scenario.options };
        let mut engine = Engine::new(Arc::clone(&scenario.program), options).unwrap();
        let stream = engine.open_stream(EVENTS, 0);
        let (offset, line) = &scenario.records[5];
        let mut outputs: Vec<Output> = Vec::new();
        let input =
            Input { stream, offset: *offset, arrival_ms: Option::None, payload: Some(line) };
        engine.step(&input, &mut outputs);
        let wanted = if decisions == None { "alert policy" } else { "pass 0; alert policy" };
        assert_eq!(short(&outputs), wanted);
    }
}

#[test]
fn a_breaker_counts_what_its_rule_stopped_and_two_that_trip_at_once_are_told_apart() {
    check("breakers");
}

#[test]
fn what_an_allow_overrode_is_no_block_of_the_rule() {
    let scenario = Scenario::load("breakers");
    let mut engine = scenario.engine();
    let stream = engine.open_stream(EVENTS, 0);
    for (offset, line) in &scenario.records {
        let input = Input { stream, offset: *offset, arrival_ms: None, payload: Some(line) };
        engine.step(&input, &mut Vec::<Output>::new());
    }
    let rules = &engine.counters().rules;
    let stopped: Vec<(u64, u64)> = rules.iter().map(|rule| (rule.blocks, rule.holds)).collect();
    // R-2 blocked records 3 and 4, R-3 held 5 and 6, R-4 and R-5 blocked 8 and 9.
    assert_eq!(stopped, [(0, 0), (2, 0), (0, 2), (2, 0), (2, 0)]);
}

#[test]
fn each_alert_of_a_rule_is_thinned_by_itself_and_by_alerts_near_it_only() {
    check("several_alerts");
}

/// Steps records that arrive at a stated time; says what came of each, with the whole records.
struct Arrivals {
    engine: Engine,
    stream: riskweir::engine::StreamId,
    offset: i64,
}

impl Arrivals {
    fn new(rules: &str) -> Self {
        Self::with(rules, EngineOptions::default())
    }

    fn with(rules: &str, options: EngineOptions) -> Self {
        let files = vec![Source { path: "r.risk".to_owned(), text: rules.to_owned() }];
        let (program, report) = riskweir::rules::compile(&Sources::of(files));
        let program = Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")));
        let mut engine = Engine::new(program, options).unwrap();
        let stream = engine.open_stream("payments", 0);
        Self { engine, stream, offset: 0 }
    }

    /// A payment at a time of 2 March 2026 by its arrival, and by itself at `at`.
    fn pay(&mut self, arrives: &str, at: &str, amount: &str) -> (String, Vec<Value>) {
        self.offset += 1;
        let id = format!("p{}", self.offset);
        let line = format!(r#"{{"id":"{id}","at":"{at}","card":"c","amount":"{amount}"}}"#);
        let arrival_ms =
            riskweir::base::time::parse_rfc3339(format!("2026-03-02T{arrives}Z").as_bytes());
        let payload = Some(line.as_bytes());
        let mut outputs: Vec<Output> = Vec::new();
        let input = Input { stream: self.stream, offset: self.offset, arrival_ms, payload };
        self.engine.step(&input, &mut outputs);
        outputs.retain(|output| !is_entry(output));
        let records = outputs.iter().map(|it| serde_json::from_slice(&it.body).unwrap()).collect();
        (short(&outputs), records)
    }

    /// One that is on time.
    fn now(&mut self, at: &str, amount: &str) -> String {
        self.pay(at, &format!("2026-03-02T{at}Z"), amount).0
    }
}

const FAR: &str = "2030-01-01T00:00:00Z";

const PAYMENT: &str = "event payment
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
";

#[test]
fn an_event_from_the_future_silences_no_alert_but_those_of_its_kind() {
    let mut run = Arrivals::new(&format!(
        r#"{PAYMENT}rule large id "R-1" owner o on payment when amount > 100 EUR
           then alert once per card per 1h"#
    ));
    assert_eq!(run.now("10:00:00", "5.00"), "pass 0");
    let forged = "pass 0 by R-1 future_ts";
    assert_eq!(run.pay("10:00:01", FAR, "150.00").0, format!("{forged}; alert R-1 1/1/0"));
    assert_eq!(run.now("10:00:02", "150.00"), "pass 0 by R-1; alert R-1 1/1/0");
    assert_eq!(
        run.pay("10:00:03", "2031-01-01T00:00:00Z", "150.00").0,
        forged,
        "thinned by the first"
    );
    assert_eq!(run.now("10:59:59", "150.00"), "pass 0 by R-1");
    // An hour by the clock of the partition after the first alert of each kind.
    assert_eq!(run.now("11:00:02", "150.00"), "pass 0 by R-1; alert R-1 2/3/1");
    assert_eq!(run.pay("11:00:03", FAR, "151.00").0, format!("{forged}; alert R-1 1/1/0"));
}

#[test]
fn a_hold_of_an_event_from_the_future_ends_by_the_clock_of_its_partition() {
    let mut run = Arrivals::new(&format!(
        r#"{PAYMENT}rule large id "R-1" owner o on payment when amount > 100 EUR
           then hold for 1h otherwise block"#
    ));
    assert_eq!(run.now("10:00:00", "5.00"), "pass 0");
    let (found, records) = run.pay("10:00:05", FAR, "150.00");
    assert_eq!(found, "hold 0 by R-1 future_ts; placed p2");
    let hold = &records[1];
    assert_eq!(hold["subject"]["time"], "2030-01-01T00:00:00Z");
    assert_eq!(hold["placed_at"], "2026-03-02T10:00:00Z");
    assert_eq!(hold["deadline_at"], "2026-03-02T11:00:00Z");
    assert_eq!(run.now("10:59:59", "5.00"), "pass 0");
    assert_eq!(run.now("11:00:00", "5.00"), "expired p2 block; pass 0");
}

#[test]
fn an_event_from_the_future_that_comes_again_when_its_id_is_forgotten_is_another_hold() {
    let options = EngineOptions { dedupe_window_ms: 600_000, ..EngineOptions::default() };
    let rules = format!(
        r#"{PAYMENT}rule large id "R-1" owner o on payment when amount > 100 EUR then hold for 1h"#
    );
    let mut run = Arrivals::with(&rules, options);
    assert_eq!(run.now("09:00:00", "5.00"), "pass 0");
    let (_, first) = run.pay("09:00:01", FAR, "150.00");
    assert_eq!(run.now("12:00:00", "5.00"), "expired p2 release; pass 0");
    run.offset = 1;
    let (found, again) = run.pay("12:00:01", FAR, "150.00");
    assert_eq!(found, "hold 0 by R-1 future_ts; placed p2");
    assert_eq!(first[1]["deadline_at"], "2026-03-02T10:00:00Z");
    assert_eq!(again[1]["deadline_at"], "2026-03-02T13:00:00Z");
    assert_ne!(first[1]["hold_id"], again[1]["hold_id"], "two records under one id are no repeat");
    assert_eq!(again[0]["hold_id"], again[1]["hold_id"]);
}

#[test]
fn what_an_event_from_the_future_puts_on_a_list_ends_by_the_clock_of_its_partition() {
    let mut run = Arrivals::new(&format!(
        r#"{PAYMENT}list watched : card
           rule large id "R-1" owner o on payment when amount > 100 EUR
           then add card to watched for 1h
           rule seen id "R-2" owner o on payment when card in watched then block"#
    ));
    assert_eq!(run.now("10:00:00", "5.00"), "pass 0");
    assert_eq!(run.pay("10:00:05", FAR, "150.00").0, "pass 0 by R-1 future_ts");
    assert_eq!(run.now("10:59:59", "5.00"), "block 0 by R-2");
    assert_eq!(run.now("11:00:00", "5.00"), "pass 0");
}

#[test]
fn an_event_from_the_future_that_comes_first_is_held_from_its_arrival() {
    let mut run = Arrivals::new(&format!(
        r#"{PAYMENT}rule large id "R-1" owner o on payment when amount > 100 EUR then hold for 1h"#
    ));
    assert_eq!(run.pay("10:00:00", FAR, "150.00").0, "hold 0 by R-1 future_ts; placed p1");
    assert_eq!(run.now("10:30:00", "5.00"), "pass 0");
    assert_eq!(run.now("11:00:00", "5.00"), "expired p1 release; pass 0");
}

#[test]
fn a_breaker_counts_what_events_from_the_future_were_stopped() {
    let mut run = Arrivals::new(&format!(
        r#"{PAYMENT}policy p breaker 1 per 1h
           rule large id "R-1" owner o on payment when amount > 100 EUR then block"#
    ));
    assert_eq!(run.now("10:00:00", "150.00"), "block 0 by R-1");
    let found = run.pay("10:00:05", FAR, "150.00").0;
    assert_eq!(found, "pass 0 shadow R-1 (breaker) future_ts; tripped R-1; alert breaker");
}

#[test]
fn a_second_body_under_a_held_id_is_held_in_full_until_its_own_deadline() {
    let mut run = Arrivals::new(&format!(
        r#"{PAYMENT}rule large id "R-1" owner o on payment when amount > 100 EUR then hold for 1h"#
    ));
    let mut pay = |at: &str, amount: &str| {
        run.offset = 0;
        run.pay(at, &format!("2026-03-02T{at}Z"), amount)
    };
    let (_, first) = pay("10:00:00", "150.00");
    let (found, second) = pay("10:59:00", "9000.00");
    assert_eq!(found, "hold 0 by R-1 id_reuse; alert id_reuse; placed p1");
    assert_ne!(first[1]["hold_id"], second[2]["hold_id"]);
    assert_eq!(second[0]["hold_id"], second[2]["hold_id"]);
    assert_eq!(second[2]["amount"]["value"], "9000.00");
    assert_eq!(second[2]["deadline_at"], "2026-03-02T11:59:00Z");
    let (_, later) = pay("11:00:00", "5.00");
    assert_eq!(later[0]["hold_id"], first[1]["hold_id"], "the first ends alone");
    assert_eq!(later.iter().filter(|record| record["state"] == "expired").count(), 1);
}

#[test]
fn another_rule_set_brings_tripped_rules_back_and_a_snapshot_does_not() {
    let scenario = Scenario::load("life");
    let mut engine = scenario.engine();
    let stream = engine.open_stream(EVENTS, 0);
    let step = |engine: &mut Engine, offset: i64, id: &str| {
        let line = format!(
            r#"{{"id":"{id}","at":"2026-03-02T10:01:00Z","card":"c","amount":"150.00","country":"DE"}}"#
        );
        let mut outputs: Vec<Output> = Vec::new();
        let payload = Some(line.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut outputs);
        short(&outputs)
    };
    let watched = "step_up 0 by R-4 shadow R-2 (canary) R-1 (breaker)";
    let acting = "block 0 by R-4 R-1 shadow R-2 (canary)";
    let tripping = format!("{watched}; tripped R-1; alert breaker");
    let found: Vec<String> = (0..4).map(|n| step(&mut engine, n, &format!("e{n}"))).collect();
    assert_eq!(found, [acting, acting, &tripping, watched]);
    assert_eq!(engine.breakers_tripped(), 1);

    engine.begin_snapshot();
    let mut bytes = Vec::new();
    while engine.snapshot_part(1 << 20, &mut bytes) == SnapshotStatus::More {}
    let mut restore = Restore::new(Arc::clone(&scenario.program), scenario.options);
    restore.part(&bytes).unwrap();
    let mut restored = restore.finish().unwrap();
    assert_eq!(step(&mut restored, 4, "e4"), watched);

    let text = fs::read_to_string(scenario.folder.join("rules.risk")).unwrap();
    let files = vec![Source { path: "rules.risk".to_owned(), text: format!("{text}# newer\n") }];
    let newer = Arc::new(riskweir::rules::compile(&Sources::of(files)).0.unwrap());
    let mut restore = Restore::new(Arc::clone(&newer), scenario.options);
    restore.part(&bytes).unwrap();
    assert_eq!(step(&mut restore.finish().unwrap(), 4, "e4"), acting);
    engine.activate(newer).unwrap();
    assert_eq!(step(&mut engine, 4, "e4"), acting);
}

#[test]
fn every_scenario_has_a_test() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios.rs"));
    let text = text.unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(text.contains(&format!("check(\"{name}\")")), "{name}");
    }
}

/// A tombstone, and event times far ahead of the broker's, which files cannot carry.
#[test]
fn a_tombstone_is_a_dead_letter_and_an_event_from_the_future_does_not_move_the_clock() {
    let scenario = Scenario::load("late_events");
    let mut engine = scenario.engine();
    let stream = engine.open_stream("payments", 3);
    let arrival_ms = Some(1_772_445_600_000); // 2026-03-02T10:00:00Z
    let mut step = |offset: i64, payload: Option<&str>| {
        let mut outputs: Vec<Output> = Vec::new();
        let payload = payload.map(str::as_bytes);
        engine.step(&Input { stream, offset, arrival_ms, payload }, &mut outputs);
        outputs
    };
    let pay =
        |id: &str, at: &str| format!(r#"{{"id":"{id}","at":"{at}","card":"c","amount":"5.00"}}"#);
    let tombstone = step(0, None);
    assert_eq!(short(&tombstone), "dead_letter tombstone");
    let record: Value = serde_json::from_slice(&tombstone[0].body).unwrap();
    assert_eq!(record.get("raw_base64"), None);
    assert_eq!(
        (&record["source"]["partition"], &record["source"]["offset"]),
        (&3.into(), &0.into())
    );
    assert_eq!(short(&step(1, Some(&pay("a", "2026-03-02T10:00:00Z")))), "pass 0");
    // Five minutes ahead of the arrival are allowed, a millisecond more is not; seconds for milliseconds neither.
    assert_eq!(short(&step(2, Some(&pay("b", "2026-03-02T10:05:00.001Z")))), "pass 0 future_ts");
    assert_eq!(short(&step(3, Some(&pay("c", "4026-03-02T10:00:00Z")))), "pass 0 future_ts");
    // Had it moved the clock, this one would be too late.
    assert_eq!(short(&step(4, Some(&pay("d", "2026-03-02T10:00:01Z")))), "pass 0");
    assert_eq!(short(&step(5, Some(&pay("e", "2026-03-02T10:05:00Z")))), "pass 0");
}
