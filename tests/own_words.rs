//! A decision explains itself in the words of the rule that it names. Rules that mean the same share their computation,
//! never their text: each writes it in its own way, in its own file, and must find its own words again.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Input, Output, OutputTopic};
use serde_json::Value;

const SCHEMA: &str = r"
event payment
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  field amount  : money currency USD
  field country : country
  field n       : integer
  field m       : integer
";

/// Read first, so that its words are the first of every shared expression.
const FIRST: &str = r#"
rule a_first "the longest file of all, so that places in it are beyond the end of the others"
  mode shadow on payment
  when amount > 100 USD and country in [DE, FR] and count(payment) by card over last 1h >= 1
  then alert
rule a_ratio mode shadow on payment
  when n / m > 2
  if missing skip
  then alert
"#;

const SECOND: &str = "
feature large = amount > 100.00 USD
rule b_mirrored mode shadow on payment when 100 USD < amount then alert
rule b_feature  mode shadow on payment when large then alert
rule b_let      mode shadow on payment let big = 100.00 USD < amount when big then alert
rule b_not      mode shadow on payment when not (country not in [FR,DE]) then alert
rule b_window   mode shadow on payment when 1 <= count(payment) by card over last 60m then alert
rule b_both     mode shadow on payment
  when amount > 1_00 USD and (large or country in [FR, DE])
  then alert
rule b_filter   mode shadow on payment
  when count(payment where amount > 100 USD) by card over prior 1h = 0 and 100  USD  <  amount
  then alert
rule b_new      mode shadow on payment when is_new(payment.country) by card over prior 1h then alert
rule b_since    mode shadow on payment
  when time_since(payment where n > 3) by card over prior 1d < 1h and (avg(payment.amount) by card over prior 1d > 1 USD
    or amount > 9 * stddev(payment.amount) by card over prior 7d)
  if missing skip then alert
rule b_ratio    mode shadow on payment let share = n/m when 2 < share if missing skip then alert
";

fn decision(record: &str) -> Value {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let files = vec![
        file("a_schema.risk", SCHEMA),
        file("b_first.risk", FIRST),
        file("c_second.risk", SECOND),
    ];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    let program = Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")));
    let mut engine = Engine::new(program, EngineOptions::default()).unwrap();
    let stream = engine.open_stream("payments", 0);
    let payload = Some(record.as_bytes());
    let mut out: Vec<Output> = Vec::new();
    engine.step(&Input { stream, offset: 0, arrival_ms: None, payload }, &mut out);
    let decision = out.iter().find(|output| output.topic == OutputTopic::Decisions).unwrap();
    serde_json::from_slice(&decision.body).unwrap()
}

/// The texts of a rule's conditions.
fn texts(decision: &Value, rule: &str) -> Vec<String> {
    let hits = decision["shadow"].as_array().unwrap();
    let hit = hits.iter().find(|hit| hit["name"] == rule);
    let hit = hit.unwrap_or_else(|| panic!("`{rule}` does not hit: {decision:#}"));
    let conditions = hit["conditions"].as_array().unwrap();
    conditions.iter().map(|condition| condition["text"].as_str().unwrap().to_owned()).collect()
}

const RECORD: &str =
    r#"{"id":"p1","at":1772445600000,"card":"c1","amount":"250.00","country":"DE","n":6,"m":0}"#;

#[test]
fn every_rule_shows_its_own_words_of_a_condition_that_several_share() {
    let decision = decision(RECORD);
    let count = "count(payment) by card over last 1h >= 1";
    assert_eq!(texts(&decision, "a_first"), ["amount > 100 USD", "country in [DE, FR]", count]);
    assert_eq!(texts(&decision, "b_mirrored"), ["100 USD < amount"]);
    assert_eq!(texts(&decision, "b_let"), ["100.00 USD < amount"]);
    assert_eq!(texts(&decision, "b_not"), ["country not in [FR,DE]"]);
    assert_eq!(texts(&decision, "b_window"), ["1 <= count(payment) by card over last 60m"]);
}

#[test]
fn a_condition_of_a_feature_is_shown_in_the_words_of_the_feature() {
    assert_eq!(texts(&decision(RECORD), "b_feature"), ["amount > 100.00 USD"]);
}

#[test]
fn of_several_places_in_one_rule_the_first_of_its_condition_is_shown() {
    let decision = decision(RECORD);
    let or = ["amount > 1_00 USD", "amount > 1_00 USD", "country in [FR, DE]"];
    assert_eq!(texts(&decision, "b_both"), or);
    let filter = "count(payment where amount > 100 USD) by card over prior 1h = 0";
    assert_eq!(texts(&decision, "b_filter"), [filter, "100 USD < amount"]);
}

#[test]
fn an_undecided_rule_names_what_has_no_value_in_its_own_words() {
    let decision = decision(RECORD);
    let undecided = decision["undecided"].as_array().unwrap();
    let missing =
        |rule: &str| &undecided.iter().find(|one| one["name"] == rule).unwrap()["missing"];
    assert_eq!(*missing("a_ratio"), serde_json::json!(["n / m"]));
    assert_eq!(*missing("b_ratio"), serde_json::json!(["n/m"]));
}

/// What is kept for `time_since` and averages has names that no author ever wrote.
#[test]
fn an_undecided_rule_names_the_functions_that_its_author_wrote() {
    let decision = decision(RECORD);
    let undecided = decision["undecided"].as_array().unwrap();
    let since = undecided.iter().find(|one| one["name"] == "b_since").unwrap();
    assert_eq!(
        since["missing"],
        serde_json::json!([
            "time_since(payment where (n > 3)) by card over prior 1d",
            "avg(payment.amount in USD) by card over prior 1d",
            "stddev(payment.amount in USD) by card over prior 7d",
        ])
    );
}

/// The value was 0 and the threshold 0, which explains nothing.
#[test]
fn what_is_new_says_how_often_it_was_seen() {
    let decision = decision(RECORD);
    let hits = decision["shadow"].as_array().unwrap();
    let new = &hits.iter().find(|hit| hit["name"] == "b_new").unwrap()["conditions"][0];
    let told = [&new["value"], &new["op"], &new["threshold"]];
    assert_eq!(told, ["seen 0 times", "is", "new"]);
}
