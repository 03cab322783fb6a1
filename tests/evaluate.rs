//! `evaluate` of models that learn by themselves, beside and joined with trained ones: the figures are those of what the
//! decisions of a run say, counted once more by naive loops.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

mod support;

use support::dice::Dice;
use support::place::Place;

const RULES: &str = r"
event payment
  id    id     : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
  field items  : integer

feature n_day = count(payment) by card over prior 24h

model odd
  on payment
  reads high amount, high items
  over prior 14d

policy all
  base currency EUR
";

/// A model that is trained.
const LEARNED: &str = r#"
model frauds
  on payment
  kind learned
  from "frauds.rwm"
  reads amount, items, n_day
"#;

/// Shows what both models say of every payment.
const ASKED: &str = r"
rule asked mode shadow
  on payment
  when model.odd.raw >= 0 or model.frauds.raw >= 0
  then score +1
rule both mode shadow
  on payment
  when 1 - (1 - model.frauds.raw) * (1 - 0.5% / (0.5% + 1 - model.odd)) >= 0.9
  if missing skip
  then score +1
";

/// Only the first.
const ODD: &str = r"
rule asked mode shadow
  on payment
  when model.odd.raw >= 0
  then score +1
";

struct Paid {
    id: usize,
    /// Minute since the first of March.
    minute: usize,
    card: u64,
    cents: u64,
    items: u64,
    is_fraud: bool,
}

const A_DAY: usize = 600;

/// Twelve days of 600 payments by 40 cards: dear ones are mostly fraud; few with many items are, and only after day 9.
fn history() -> Vec<Paid> {
    let dice = &mut Dice::new(23);
    let paid = |id: usize| {
        let minute = id * 1440 / A_DAY;
        let (is_dear, is_full) = (dice.one_in(40), dice.one_in(50));
        let cents = if is_dear { 20_000 } else { 0 } + dice.below(15_000) + 100;
        let items = if is_full { 30 } else { 0 } + dice.below(10);
        let is_fraud = is_dear && !dice.one_in(4) || is_full && minute > 9 * 1440;
        Paid { id, minute, card: dice.below(40), cents, items, is_fraud }
    };
    (0..12 * A_DAY).map(paid).collect()
}

fn place(history: &[Paid], rules: &[&str]) -> Place {
    let (mut events, mut labels) = (String::new(), String::from("event_id,verdict,kind\n"));
    for Paid { id, minute, card, cents, items, is_fraud } in history {
        let (day, minute) = (minute / 1440, minute % 1440);
        let time = format!("2026-03-{:02}T{:02}:{:02}:00Z", day + 1, minute / 60, minute % 60);
        let amount = format!("{}.{:02}", cents / 100, cents % 100);
        events.push_str(&format!(
            "{{\"id\":\"p{id}\",\"at\":\"{time}\",\"card\":\"c{card}\",\"amount\":\"{amount}\",\"items\":{items}}}\n"
        ));
        if *is_fraud {
            let kind = if *items >= 30 { "full" } else { "dear" };
            labels.push_str(&format!("p{id},fraud,{kind}\n"));
        }
    }
    Place::with(&[
        ("rules/a.risk", &(RULES.to_owned() + &rules.concat())),
        ("events.ndjson", &events),
        ("labels.csv", &labels),
    ])
}

/// One period: trained on days 3 to 7, measured on days 10 to 12.
const CALL: [&str; 22] = [
    "--input",
    "events.ndjson",
    "--labels",
    "labels.csv",
    "--scenario-column",
    "kind",
    "--train",
    "5d",
    "--test",
    "3d",
    "--label-delay",
    "2d",
    "--until",
    "2026-03-13",
    "--folds",
    "1",
    "--trees",
    "4",
    "--max-depth",
    "6",
    "--format",
    "json",
];

#[track_caller]
fn evaluate(place: &Place, more: &[&str]) -> Value {
    serde_json::from_str(&place.good(&[&["evaluate"], &CALL[..], more].concat())).unwrap()
}

/// What decisions say of each payment, by the name of the model.
fn decisions(place: &Place) -> Vec<BTreeMap<String, Value>> {
    place.good(&["backtest", "--input", "events.ndjson", "--out", "out", "--quiet"]);
    let models = |line: &str| {
        let decision: Value = serde_json::from_str(line).unwrap();
        let models = decision["models"].as_array().cloned().unwrap_or_default();
        models.into_iter().map(|it| (it["model"].as_str().unwrap().to_owned(), it)).collect()
    };
    place.read("out/decisions.ndjson").lines().map(models).collect()
}

/// Pairs of a fraud and a genuine event, counted one by one.
fn naive_auc(scores: &[(f64, bool)]) -> f64 {
    let (mut above, mut pairs) = (0.0, 0.0);
    for fraud in scores.iter().filter(|it| it.1) {
        for genuine in scores.iter().filter(|it| !it.1) {
            pairs += 1.0;
            above += if fraud.0 > genuine.0 {
                1.0
            } else if fraud.0 < genuine.0 {
                0.0
            } else {
                0.5
            };
        }
    }
    above / pairs
}

/// The measured payments with what a model said of them.
fn measured<'a>(
    history: &'a [Paid],
    said: &'a [BTreeMap<String, Value>],
) -> Vec<(&'a Paid, &'a BTreeMap<String, Value>)> {
    history.iter().zip(said).filter(|(paid, _)| paid.minute >= 9 * 1440).collect()
}

fn raw(said: &BTreeMap<String, Value>, model: &str) -> f64 {
    said.get(model).and_then(|it| it["raw_micro"].as_f64()).unwrap_or(0.0)
}

fn percentile(said: &BTreeMap<String, Value>, model: &str) -> f64 {
    said.get(model).and_then(|it| it["percentile_ppm"].as_f64()).unwrap_or(0.0) / 1e6
}

#[test]
fn a_model_that_learns_by_itself_is_measured_by_what_it_says() {
    let history = history();
    let place = place(&history, &[ODD]);
    let told = evaluate(&place, &["--name", "odd"]);
    let said = decisions(&place);
    let measured = measured(&history, &said);
    assert_eq!(told["mean"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&told["mean"][0]["model"], &told["mean"][0]["method"]),
        (&"odd".into(), &"tail sum".into())
    );
    let period = &told["periods"][0];
    assert!(period["trained_on"].is_null());
    assert_eq!(period["measured_on"]["events"], measured.len());
    let scores: Vec<(f64, bool)> =
        measured.iter().map(|(paid, said)| (raw(said, "odd"), paid.is_fraud)).collect();
    let reached = &period["methods"][0]["reached"];
    let auc = reached["auc"].as_f64().unwrap();
    assert!((auc - naive_auc(&scores)).abs() < 1e-12 && auc > 0.7, "{auc}");

    // Alerts by day: the decisions round places down to millionths, and 0.995 is one of them.
    let mut days: BTreeMap<usize, (u64, u64, u64)> = BTreeMap::new();
    for (paid, said) in &measured {
        let day = days.entry(paid.minute / 1440).or_default();
        let is_alerted = percentile(said, "odd") >= 0.995;
        day.0 += 1;
        day.1 += u64::from(is_alerted);
        day.2 += u64::from(is_alerted && paid.is_fraud);
    }
    let budget = reached["budget"].as_array().unwrap();
    let told_days: Vec<(u64, u64, u64)> = budget
        .iter()
        .map(|day| ["events", "alerts", "frauds_alerted"].map(|it| day[it].as_u64().unwrap()))
        .map(|[events, alerts, found]| (events, alerts, found))
        .collect();
    assert_eq!(told_days, days.into_values().collect::<Vec<_>>());
    assert!(told_days.iter().any(|day| day.1 > 0), "{told_days:?}");

    // The first reason of each fraud.
    let mut first: BTreeMap<(String, Option<String>), u64> = BTreeMap::new();
    for (paid, said) in measured.iter().filter(|(paid, _)| paid.is_fraud) {
        let kind = if paid.items >= 30 { "full" } else { "dear" };
        let feature = said["odd"]["features"][0]["feature"].as_str().map(str::to_owned);
        *first.entry((kind.to_owned(), feature)).or_default() += 1;
    }
    let told: BTreeMap<(String, Option<String>), u64> = reached["first_reasons"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| {
            let feature = it["feature"].as_str().map(str::to_owned);
            let kind = it["scenario"].as_str().unwrap().to_owned();
            ((kind, feature), it["frauds"].as_u64().unwrap())
        })
        .collect();
    assert_eq!(told, first);
    assert!(told[&("full".to_owned(), Some("items".to_owned()))] > 10, "{told:?}");
}

/// The forest of `evaluate` is that of `train` on the same days, and its places are those of the stream.
#[test]
fn joined_scores_are_what_a_rule_says_that_joins_both() {
    let history = history();
    let place = place(&history, &[LEARNED, ASKED]);
    let told = evaluate(&place, &[]);
    let names: Vec<(&str, &str)> = told["mean"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["model"].as_str().unwrap(), it["method"].as_str().unwrap()))
        .collect();
    let forest = "random forest, 4 trees";
    let joined = "random forest, 4 trees, joined with tail sum";
    let expected = [
        ("frauds", "logistic regression"),
        ("frauds", "decision tree, depth 2"),
        ("frauds", forest),
        ("odd", "tail sum"),
        ("frauds + odd", joined),
    ];
    assert_eq!(names, expected);
    let train = "train --name frauds --input events.ndjson --labels labels.csv --trees 4 --max-depth 6 --label-delay 2d \
        --from 2026-03-03 --until 2026-03-08 --test-from 2026-03-10 --test-until 2026-03-13 --out rules/frauds.rwm";
    place.good(&train.split_whitespace().collect::<Vec<_>>());
    assert!(fs::exists(place.path().join("rules/frauds.rwm")).unwrap());
    let said = decisions(&place);
    let measured = measured(&history, &said);
    let reached = |at: usize| &told["periods"][0]["methods"][at]["reached"];
    let scores = |of: &dyn Fn(&BTreeMap<String, Value>) -> f64| -> Vec<(f64, bool)> {
        measured.iter().map(|(paid, said)| (of(said), paid.is_fraud)).collect()
    };
    let alone = naive_auc(&scores(&|said| raw(said, "frauds")));
    assert!((reached(2)["auc"].as_f64().unwrap() - alone).abs() < 1e-12);
    let both = naive_auc(&scores(&|said| {
        1.0 - (1.0 - raw(said, "frauds") / 1e6)
            * (1.0 - 0.005 / (0.005 + 1.0 - percentile(said, "odd")))
    }));
    let given = reached(4)["auc"].as_f64().unwrap();
    // Decisions round places down to millionths, which can make one score of two.
    assert!((given - both).abs() < 1e-4, "{given} {both}");
    // What the forest has never seen, the other sees; what both see is not lost.
    assert!(given > alone + 0.05, "{given} {alone}");
    let alerts: u64 = reached(2)["budget"][0]["alerts"].as_u64().unwrap();
    let naive = measured
        .iter()
        .filter(|(paid, said)| paid.minute / 1440 == 9 && percentile(said, "frauds") >= 0.995);
    assert_eq!(alerts, naive.count() as u64);
}

#[test]
fn models_of_several_rule_sets_stand_beside_each_other() {
    let history = history();
    let place = place(&history, &[ODD]);
    let other = RULES.replace("high amount, high items", "high amount");
    place.write("other/a.risk", &other);
    let rules = ["--rules", "rules", "--rules", "other", "--name", "odd"];
    let told = evaluate(&place, &rules);
    let names: Vec<&str> =
        told["mean"].as_array().unwrap().iter().map(|it| it["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["rules: odd", "other: odd"]);
    let alone = evaluate(&place, &["--rules", "other", "--name", "odd"]);
    let auc = |told: &Value, at: usize| told["mean"][at]["auc"]["mean"].as_f64().unwrap();
    assert_eq!(auc(&told, 1).to_bits(), auc(&alone, 0).to_bits());
    assert!(auc(&told, 0) > auc(&told, 1));
    let words = [&["evaluate"], &CALL[..20], &rules].concat();
    let table = place.good(&words);
    for words in
        ["other: odd", "tail sum", "place of 0.995 or more, of all events of 3 days", "named first"]
    {
        assert!(table.contains(words), "{words}: {table}");
    }
}

#[test]
fn what_cannot_be_measured_says_how_to_mend_it() {
    let history = history();
    let place = place(&history, &[LEARNED, ODD]);
    place.write("none/a.risk", &RULES[..RULES.find("model odd").unwrap()]);
    place.write("other/a.risk", &RULES.replace("payment", "purchase"));
    for (more, words) in [
        (&["--name", "old"][..], "the rules have no model `old`: "),
        (&["--rules", "none"], "the rules have no model: declare one"),
        (
            &["--rules", "rules", "--rules", "other", "--name", "odd"],
            "`odd` scores 6000 of `payment`, `odd` scores 6000 of `purchase`; choose with `--name`",
        ),
    ] {
        let called = place.call(&[&["evaluate"], &CALL[..], more].concat());
        assert_eq!(called.code, 1, "{}", called.err);
        assert!(called.err.contains(words), "{words}: {}", called.err);
    }
}
