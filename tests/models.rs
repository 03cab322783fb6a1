//! Models through the engine: what a rule sees of them, what a decision tells, and that a replay, a restore and another
//! rule set give the same scores.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Output, OutputTopic, SnapshotStatus};
use riskweir::rules::program::Program;
use serde_json::Value;

use crate::support::dice::Dice;
use crate::support::runner::Runner;

mod support;

const START_MS: i64 = 1_772_445_600_000;

const SCHEMA: &str = r#"
event pay from "t"
  id    id      : text
  time  at      : time unit ms
  key   card    : card
  field amount  : money currency EUR
  field channel : one of [web, pos]
  field items   : integer?
feature usual  = avg(pay.amount) by card over prior 7d
feature ratio  = amount / usual
feature hourly = count(pay) by card over last 1h
"#;

const ANOMALY: &str = r"
model anomaly
  on pay
  reads high ratio, high hourly, both amount, high items
  segment by channel
  over prior 14d
";

const FOREST: &str = r"
model odd
  on pay
  kind isolation_forest
  reads ratio, hourly, amount
  seed 7
";

/// Nothing that a rule of it does keeps an event from being learned.
const WATCHES: &str = r"
rule unusual mode shadow
  on pay
  when model.anomaly >= 0.99 or model.odd.raw > 100
  if missing skip
  then alert
rule strange mode shadow
  on pay
  when model.odd >= 0.99
  if missing skip
  then alert
";

fn program(parts: &[&str]) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: parts.concat() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

/// Payments of 40 cards, two minutes apart; one in 200 is of far more than the card's habit.
fn stream(n: i64) -> Vec<String> {
    let mut dice = Dice::new(5);
    let line = |index: i64| {
        let card = dice.below(40);
        let odd = if dice.one_in(200) { 40 } else { 1 };
        let cents = (1_000 + card * 37 + dice.below(900) * (1 + card % 3)) * odd;
        let channel = dice.pick(&["web", "pos"]);
        let items = if dice.one_in(3) { "null".to_owned() } else { dice.below(9).to_string() };
        payment(index, (card, channel), &format!("{}.{:02}", cents / 100, cents % 100), &items)
    };
    (0..n).map(line).collect()
}

fn payment(index: i64, (card, channel): (u64, &str), amount: &str, items: &str) -> String {
    let at = START_MS + index * 120_000;
    format!(
        r#"{{"id":"p{index}","at":{at},"card":"c{card}","amount":"{amount}","channel":"{channel}","items":{items}}}"#
    )
}

/// What the decisions say of models, in order.
fn scores(out: &[Output]) -> Vec<Value> {
    let decisions = out.iter().filter(|output| output.topic == OutputTopic::Decisions);
    let of = |output: &Output| {
        let decision: Value = serde_json::from_slice(&output.body).unwrap();
        decision.get("models").cloned()
    };
    decisions.filter_map(of).collect()
}

#[test]
fn a_replay_and_a_restore_in_the_middle_give_the_same_scores() {
    let program = program(&[SCHEMA, ANOMALY, FOREST, WATCHES]);
    let lines = stream(7_000);
    let mut first = Runner::new(&program);
    first.steps(&lines);
    assert!(scores(&first.out).len() > 20, "{}", scores(&first.out).len());
    let mut again = Runner::new(&program);
    again.steps(&lines);
    assert_eq!(again.out, first.out);
    assert_eq!(again.engine.digest(), first.engine.digest());

    // Saved in the middle while it goes on, in small parts.
    let mut saved = Runner::new(&program);
    saved.steps(&lines[..5_000]);
    saved.engine.begin_snapshot();
    let mut bytes = Vec::new();
    let (mut next, begun) = (5_000, saved.out.len());
    loop {
        let status = saved.engine.snapshot_part(20_000, &mut bytes);
        if status == SnapshotStatus::Complete {
            break;
        }
        saved.steps(&lines[next..=next]);
        next += 1;
    }
    let mut late = Runner::restored(&program, &bytes, 5_000);
    late.steps(&lines[5_000..]);
    saved.steps(&lines[next..]);
    assert_eq!(saved.out, first.out);
    assert_eq!(late.out[..], first.out[begun..]);
    for runner in [&saved, &late] {
        assert_eq!(runner.engine.digest(), first.engine.digest());
        assert_eq!(runner.engine.state_bytes(), first.engine.state_bytes());
    }
}

#[test]
fn a_score_is_missing_until_the_model_has_learned_enough() {
    let rule = r#"
rule unusual
  id "R-1"  owner fraud  severity low
  on pay
  when model.anomaly >= 0.0
  if missing match
  then hold for 1h otherwise release
"#;
    let program = program(&[SCHEMA, ANOMALY, rule]);
    let mut runner = Runner::new(&program);
    let lines = stream(4_001);
    let first = runner.decide(&lines[0]);
    assert_eq!(first["undecided"][0]["missing"][0], "model.anomaly");
    assert_eq!(first["models"][0]["model"], "anomaly");
    // What is held only because nothing could be decided is learned. One that was learned short of 2,000 there is no score;
    // one score short of 2,000 more there is no place for one.
    let says = |decision: &Value| {
        let model = &decision["models"][0];
        let undecided = decision.get("undecided").is_some();
        (model["raw_micro"].is_i64(), model["percentile_ppm"].is_u64(), undecided)
    };
    for (at, expected) in [
        (1_999, (false, false, true)),
        (2_000, (true, false, true)),
        (3_999, (true, false, true)),
        (4_000, (true, true, false)),
    ] {
        let next = usize::try_from(runner.offset).unwrap();
        runner.steps(&lines[next..at]);
        let decision = runner.decide(&lines[at]);
        assert_eq!(says(&decision), expected, "{at}: {decision:#}");
        if at >= 2_000 {
            let coverage = &decision["models"][0]["coverage"];
            assert_eq!(coverage, "warming", "its window has not filled");
        }
    }
}

#[test]
fn a_decision_tells_the_features_with_side_and_size() {
    let program = program(&[SCHEMA, ANOMALY, FOREST, WATCHES]);
    let mut runner = Runner::new(&program);
    runner.steps(&stream(5_000));
    let line = payment(5_000, (3, "web"), "9000.00", "null");
    let decision = runner.decide(&line);
    let models = decision["models"].as_array().unwrap();
    assert_eq!(models.len(), 2, "{decision:#}");
    let anomaly = &models[0];
    assert_eq!(anomaly["model"], "anomaly");
    assert!(anomaly["percentile_ppm"].as_u64().unwrap() >= 990_000);
    assert_eq!(anomaly["missing"], serde_json::json!(["items"]));
    let parts = anomaly["features"].as_array().unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part["feature"].as_str().unwrap()).collect();
    assert!(names.contains(&"ratio") && names.contains(&"amount"), "{names:?}");
    let sum: i64 = parts.iter().map(|part| part["size_micro"].as_i64().unwrap()).sum();
    assert_eq!(sum, anomaly["raw_micro"].as_i64().unwrap(), "the parts are the score");
    let amount = parts.iter().find(|part| part["feature"] == "amount").unwrap();
    assert_eq!((&amount["side"], &amount["value"]), (&"high".into(), &"9000.00 EUR".into()));
    let ratio = parts.iter().find(|part| part["feature"] == "ratio").unwrap();
    // The card's payments are of some 15 euros.
    let times: f64 = ratio["value"].as_str().unwrap().parse().unwrap();
    assert!((200.0..1_500.0).contains(&times), "{ratio}");
    let reason = amount["reason"].as_str().unwrap();
    assert!(reason.starts_with("`amount` 9000.00 EUR is high: 0."), "{reason}");
    let schema = include_str!("../docs/schemas/decision.v1.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    assert!(schema.is_valid(&decision), "{decision:#}");
    let odd = &models[1];
    assert_eq!(odd["features"][0]["side"], "high");
    assert!(odd["features"][0].get("tail_ppm").is_none());
}

#[test]
fn the_order_in_which_an_author_names_features_has_no_effect() {
    let turned = ANOMALY.replace(
        "high ratio, high hourly, both amount, high items",
        "high items, both amount, high hourly, high ratio",
    );
    let forest = FOREST.replace("ratio, hourly, amount", "amount, ratio, hourly");
    let of = |anomaly: &str, forest: &str| {
        let mut runner = Runner::new(&program(&[SCHEMA, anomaly, forest, WATCHES]));
        runner.steps(&stream(6_000));
        scores(&runner.out)
    };
    let (one, two) = (of(ANOMALY, FOREST), of(&turned, &forest));
    assert!(one.len() > 10);
    assert_eq!(one, two);
}

#[test]
fn another_rule_set_keeps_what_an_unchanged_model_has_learned() {
    let before = program(&[SCHEMA, ANOMALY, FOREST, WATCHES]);
    // Another name, another order, another rule; and one model that is new.
    let renamed = ANOMALY.replace("model anomaly", "model usual_pay");
    let changed = FOREST.replace("seed 7", "seed 8");
    let rule = r"
rule unusual mode shadow
  on pay
  when model.usual_pay >= 0.0
  if missing skip
  then alert
rule fresh mode shadow
  on pay
  when model.odd >= 0.0
  if missing skip
  then alert
";
    let after = program(&[SCHEMA, &changed, &renamed, rule]);
    let lines = stream(5_001);
    let mut runner = Runner::new(&before);
    runner.steps(&lines[..5_000]);
    let report = runner.engine.activate(Arc::clone(&after)).unwrap();
    let models = |names: &[String]| {
        let mut kinds: Vec<String> = Vec::new();
        for name in names.iter().filter(|name| name.starts_with("model ")) {
            kinds.push(name.split(' ').nth(1).unwrap().to_owned());
        }
        kinds
    };
    assert_eq!(models(&report.kept), ["tail_sum"]);
    assert_eq!(models(&report.warming), ["isolation_forest"]);
    assert_eq!(models(&report.dropped), ["isolation_forest"]);
    let decision = runner.decide(&lines[5_000]);
    let shadow: Vec<&str> = decision["shadow"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(shadow, ["unusual"], "{decision:#}");
    assert_eq!(decision["undecided"][0]["name"], "fresh");
}

/// The records have no other member than before: what is read is the same, and only the words say otherwise.
#[test]
fn a_model_begins_anew_when_a_field_behind_its_features_is_read_from_elsewhere() {
    let moved = [
        (
            "field amount  : money currency EUR",
            r#""/sum", "/amount""#,
            ["tail_sum", "isolation_forest"].as_slice(),
        ),
        ("key   card    : card", r#""/token", "/card""#, &["tail_sum", "isolation_forest"]),
        // Only one of the two reads it, or is divided by it.
        ("field items   : integer?", r#""/n", "/items""#, &["tail_sum"]),
        ("field channel : one of [web, pos]", r#""/way", "/channel""#, &["tail_sum"]),
        ("field channel : one of [web, pos]", r#""/channel""#, &[]),
    ];
    for (field, from, begins_anew) in moved {
        let mut runner = Runner::new(&program(&[SCHEMA, ANOMALY, FOREST, WATCHES]));
        runner.steps(&stream(5_000));
        let schema = SCHEMA.replace(field, &format!("{field} from {from}"));
        assert_ne!(schema, SCHEMA);
        let after = program(&[&schema, ANOMALY, FOREST, WATCHES]);
        let restored = Runner::restored(&after, &runner.snapshot(), runner.offset);
        let report = runner.engine.activate(Arc::clone(&after)).unwrap();
        let warming: Vec<&str> = report
            .warming
            .iter()
            .filter_map(|name| name.strip_prefix("model ")?.split(' ').next())
            .collect();
        let mut expected = begins_anew.to_vec();
        let mut found = warming.clone();
        expected.sort_unstable();
        found.sort_unstable();
        assert_eq!(found, expected, "{field} from {from}");
        assert_eq!(
            restored.engine.state_bytes(),
            runner.engine.state_bytes(),
            "{field} from {from}"
        );
    }
}

/// A rule that asks a model as soon as it says something.
fn asks(model: &str) -> String {
    format!(
        "rule ask_{model} mode shadow\n  on pay\n  when model.{model} >= 0.0\n  if missing skip\n  then alert\n"
    )
}

fn frozen(model: &str) -> String {
    model.replace("  on pay\n", "  on pay\n  frozen\n")
}

#[test]
fn a_frozen_model_scores_and_does_not_learn() {
    let lines = stream(6_000);
    let of = |model: &str| {
        let mut runner = Runner::new(&program(&[SCHEMA, ANOMALY, FOREST, WATCHES]));
        runner.steps(&lines[..4_400]);
        let after = program(&[SCHEMA, model, &asks("anomaly")]);
        runner.engine.activate(Arc::clone(&after)).unwrap();
        // The same payment of two cards without a past, two days apart.
        let one = runner.decide(&payment(4_400, (90, "web"), "17.00", "1"));
        runner.steps(&lines[4_401..]);
        let two = runner.decide(&payment(6_000, (91, "web"), "17.00", "1"));
        assert!(one["models"][0]["raw_micro"].is_i64(), "{one:#}");
        assert!(one["models"][0]["percentile_ppm"].is_u64(), "{one:#}");
        let again = Runner::restored(&after, &runner.snapshot(), runner.offset);
        assert_eq!(again.engine.state_bytes(), runner.engine.state_bytes());
        [one, two].map(|decision| decision["models"][0].clone())
    };
    let [mut one, mut two] = of(&frozen(ANOMALY));
    // Among the few of equal score each stands by its own lot.
    let places = [&mut one, &mut two].map(|it| it["percentile_ppm"].take().as_u64().unwrap());
    assert!(places[0].abs_diff(places[1]) < 2_000, "{places:?}");
    assert_eq!(one, two);
    let [one, two] = of(ANOMALY);
    assert_ne!(one, two, "one that learns has moved");
}

#[test]
fn a_frozen_copy_beside_a_model_begins_with_what_that_has_learned() {
    let lines = stream(6_502);
    let mut runner = Runner::new(&program(&[SCHEMA, ANOMALY, &asks("anomaly")]));
    runner.steps(&lines[..5_000]);
    let copy = frozen(ANOMALY).replace("model anomaly", "model before");
    let both = program(&[SCHEMA, ANOMALY, &copy, &asks("anomaly"), &asks("before")]);
    let report = runner.engine.activate(Arc::clone(&both)).unwrap();
    let n = |names: &[String]| names.iter().filter(|name| name.starts_with("model ")).count();
    assert_eq!((n(&report.kept), n(&report.warming), n(&report.dropped)), (2, 0, 0));
    let said = |decision: &Value| {
        [0, 1].map(|at| {
            let model = &decision["models"][at];
            (model["raw_micro"].as_i64().unwrap(), model["percentile_ppm"].as_u64().unwrap())
        })
    };
    let [live, fixed] = said(&runner.decide(&lines[5_000]));
    assert_eq!(live, fixed);
    runner.steps(&lines[5_001..6_500]);
    let [live, fixed] = said(&runner.decide(&payment(6_500, (90, "web"), "17.00", "1")));
    assert_ne!(live, fixed, "one has learned since");
    // A restore gives each its own.
    let mut again = Runner::restored(&both, &runner.snapshot(), runner.offset);
    assert_eq!(again.decide(&lines[6_501]), runner.decide(&lines[6_501]));
    assert_eq!(again.engine.state_bytes(), runner.engine.state_bytes());
}

#[test]
fn what_is_alerted_or_stopped_is_not_learned() {
    let rules = |action: &str| {
        format!(
            r#"
rule all
  id "R-1"  owner fraud  severity low
  on pay
  when amount > 0 EUR
  if missing skip
  then {action}
rule ask mode shadow
  on pay
  when model.anomaly.raw >= 0
  if missing skip
  then alert
"#
        )
    };
    let lines = stream(2_300);
    let learned = |action: &str| {
        let mut runner = Runner::new(&program(&[SCHEMA, ANOMALY, &rules(action)]));
        runner.steps(&lines[..2_200]);
        let decision = runner.decide(&lines[2_200]);
        let scored = decision["models"][0].get("raw_micro").is_some();
        let undecided = decision.get("undecided").is_some_and(|it| it[0]["name"] == "ask");
        assert_eq!(scored, !undecided, "{decision:#}");
        scored
    };
    assert!(learned("score +1"), "it says nothing against the payment");
    let stops = [
        "alert",
        "hold for 2h otherwise release reason \"r\"",
        "step_up app_confirm otherwise hold for 1h",
        "block reason \"r\"",
    ];
    for action in stops {
        assert!(!learned(action), "{action}");
    }
}

/// What is known of a card's payments a week later, beside what it does now; nothing reads a label sooner.
const LABELED: &str = r#"
event pay from "t"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money currency EUR
  field fraud  : bool
feature usual = avg(pay.amount) by card over prior 7d
feature ratio = amount / usual
feature known = count(pay) by card over prior 3d ending 7d ago
feature bad   = count(pay where fraud) by card over prior 3d ending 7d ago
feature risk  = (bad + 1%) / (known + 1)
feature last  = share(pay where fraud) by card over prior 2 events within 60d ending 7d ago
model anomaly
  on pay
  reads high ratio, high risk, high last
rule scored mode shadow
  on pay
  when model.anomaly.raw >= 0
  then score +1
"#;

/// Any score worked out anew from the events until then and the labels known by then, all younger ones turned around, is
/// the score of the whole stream.
#[test]
fn no_score_depends_on_what_came_later_or_was_not_known_yet() {
    const WEEK: usize = 7 * 24 * 60 / 3;
    let program = program(&[LABELED]);
    let mut dice = Dice::new(31);
    let payments: Vec<(u64, u64, bool)> =
        (0..6_500).map(|_| (dice.below(25), 1 + dice.below(90), dice.one_in(9))).collect();
    // Three minutes apart; labels from `unknown` on are turned around.
    let line = |(index, unknown): (usize, usize)| {
        let (card, euros, is_fraud) = payments[index];
        let at = START_MS + i64::try_from(index).unwrap() * 180_000;
        let is_fraud = is_fraud ^ (index >= unknown);
        format!(
            r#"{{"id":"p{index}","at":{at},"card":"c{card}","amount":"{euros}.00","fraud":{is_fraud}}}"#
        )
    };
    let said = |until: usize, unknown: usize| {
        let mut runner = Runner::new(&program);
        let lines: Vec<String> = (0..until).map(|index| line((index, unknown))).collect();
        runner.steps(&lines);
        scores(&runner.out)
    };
    let whole = said(payments.len(), payments.len());
    assert_eq!(whole.len(), payments.len());
    // Cuts of which the payment a week before to the minute was of the same card.
    let is_cut = |at: &usize| payments[*at].0 == payments[*at - WEEK].0;
    let cuts: Vec<usize> = (4_200..payments.len()).filter(is_cut).step_by(20).collect();
    let mut told_apart = 0;
    for at in &cuts {
        // The label of the event itself and those of the last seven days are not known.
        let anew = said(at + 1, at - WEEK + 1);
        assert_eq!(anew[*at], whole[*at], "{at}");
        assert!(whole[*at][0]["percentile_ppm"].is_u64(), "{}", whole[*at]);
        // One that is a week old is.
        told_apart += usize::from(said(at + 1, at - WEEK)[*at] != whole[*at]);
    }
    assert!(cuts.len() >= 4 && told_apart > 0, "{told_apart} of {}", cuts.len());
}
