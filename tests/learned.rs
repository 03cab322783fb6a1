//! Learned models through the engine and the loader: scores against a naive reading of the trees, places against a plain
//! list, what is missing, and that a replay, a restore and another rule set give the same scores.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::cast_precision_loss,
    reason = "a test fails where it stands, and counts are small"
)]

use std::fs;
use std::path::Path;
use std::sync::Arc;

use riskweir::diag::{Binary, Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Restore, SnapshotStatus};
use riskweir::rules::compile;
use riskweir::rules::program::{ModelId, Program};
use serde_json::{Value, json};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::support::artifacts::{
    Tree, artifact, forest, learned, naive_score, plain, with_artifacts, with_reference,
};
use crate::support::dice::Dice;
use crate::support::runner::Runner;

mod support;

const START_MS: i64 = 1_772_445_600_000;

const SCHEMA: &str = r#"
event pay from "t"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money? currency EUR
  field fresh  : bool?
  field items  : integer?
  field rate   : number?
"#;

const MODEL: &str = r#"
model fraud
  on pay
  kind learned
  from "models/fraud.rwm"
  reads rate, amount, items, fresh
"#;

/// Every decision tells the score.
const TOLD: &str = r"
rule told mode shadow
  on pay
  when model.fraud.raw >= 0.0
  if missing skip
  then alert
";

fn sources(parts: &[&str]) -> Sources {
    Sources::of(vec![Source { path: "a.risk".to_owned(), text: parts.concat() }])
}

fn program(parts: &[&str], trees: &[Tree]) -> Arc<Program> {
    compiled(&with_artifacts(sources(parts), |features| forest(trees, features.len())))
}

fn compiled(sources: &Sources) -> Arc<Program> {
    let (program, report) = compile(sources);
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

/// What a record says, as a model reads it: amount in cents, truth, items, rate in millionths.
type Row = [Option<i64>; 4];

fn record(index: i64, [amount, fresh, items, rate]: Row) -> String {
    let mut body = json!({
        "id": format!("p{index}"), "at": START_MS + index * 120_000, "card": format!("c{}", index % 7),
    });
    let decimal = |value: i64, digits: u32| {
        let one = 10_u64.pow(digits);
        let (sign, size) = (if value < 0 { "-" } else { "" }, value.unsigned_abs());
        format!("{sign}{}.{:0width$}", size / one, size % one, width = digits as usize)
    };
    if let Some(amount) = amount {
        body["amount"] = json!(decimal(amount, 2));
    }
    if let Some(fresh) = fresh {
        body["fresh"] = json!(fresh == 1);
    }
    if let Some(items) = items {
        body["items"] = json!(items);
    }
    let text = body.to_string();
    match rate {
        Some(rate) => text.replacen('{', &format!("{{\"rate\":{},", decimal(rate, 6)), 1),
        None => text,
    }
}

fn random_row(dice: &mut Dice) -> Row {
    let number = |dice: &mut Dice, n: u64| i64::try_from(dice.below(n)).unwrap();
    let mut row =
        [number(dice, 100_000), number(dice, 2), number(dice, 9), number(dice, 3_000_000)]
            .map(Some);
    for value in &mut row {
        if dice.one_in(6) {
            *value = None;
        }
    }
    row
}

fn random_trees(dice: &mut Dice) -> Vec<Tree> {
    let mut thresholds = |least: i64, n: u64| -> Vec<i64> {
        (0..12).map(|_| least + i64::try_from(dice.below(n)).unwrap()).collect()
    };
    let thresholds =
        [thresholds(0, 100_000), vec![0], thresholds(-1, 10), thresholds(-5, 3_000_010)];
    let n = 1 + dice.below(9);
    (0..n).map(|_| Tree::random(dice, &thresholds, 5)).collect()
}

fn stream(seed: u64, n: i64) -> Vec<String> {
    let dice = &mut Dice::new(seed);
    (0..n).map(|index| record(index, random_row(dice))).collect()
}

#[test]
fn scores_are_those_of_the_trees_whatever_is_missing() {
    for seed in 0..30 {
        let dice = &mut Dice::new(seed);
        let trees = random_trees(dice);
        let mut runner = Runner::new(&program(&[SCHEMA, MODEL, TOLD], &trees));
        for index in 0..60 {
            let row = if index % 20 == 19 { [None; 4] } else { random_row(dice) };
            let decision = runner.decide(&record(index, row));
            let model = &decision["models"][0];
            let expected = naive_score(&trees, &row);
            assert_eq!(model["raw_micro"].as_i64(), expected, "seed {seed}: {row:?} {decision:#}");
            let names = ["amount", "fresh", "items", "rate"];
            let gone = names.iter().zip(row).filter(|(_, value)| value.is_none());
            let gone: Vec<&str> = gone.map(|(name, _)| *name).collect();
            let told = model.get("missing").cloned().unwrap_or_else(|| json!([]));
            assert_eq!(told, json!(gone), "seed {seed}: {row:?}");
            let undecided = decision.get("undecided").is_some();
            assert_eq!(undecided, expected.is_none(), "where nothing is known nothing is decided");
        }
    }
}

#[test]
fn a_score_is_warming_as_long_as_a_feature_is() {
    let habit = "feature habit = avg(pay.amount) by card over prior 30d\n";
    let reads = MODEL.replace("reads rate", "reads habit, rate");
    let provenance = |parts: &[&str]| {
        let sources = with_artifacts(sources(parts), plain);
        let mut runner = Runner::new(&compiled(&sources));
        // Payments of one card on days 0, 8 and 31.
        [0, 8, 31].map(|day| {
            let row = [Some(1_000), Some(1), Some(2), Some(3)];
            // 720 a day, and every seventh is of one card.
            let decision = runner.decide(&record(day * 720 / 7 * 7, row));
            let condition = &decision["shadow"][0]["conditions"][0];
            (decision["provenance"][0].clone(), condition["coverage"].clone())
        })
    };
    let warming = || (json!("warming"), json!("warming"));
    let normal = || (json!("normal"), Value::Null);
    // The scores fill 7 days, the habit 30.
    assert_eq!(provenance(&[SCHEMA, MODEL, TOLD]), [warming(), normal(), normal()]);
    assert_eq!(provenance(&[SCHEMA, habit, &reads, TOLD]), [warming(), warming(), normal()]);
}

/// A stump with three leaves on the amount, and one that looks at the items.
fn few_scores() -> Vec<Tree> {
    let split = |feature, threshold, left, right| Tree::Split {
        feature,
        threshold,
        missing_left: true,
        sides: Box::new([left, right]),
    };
    let leaf = |percent: i64| Tree::Leaf(percent * 10_000_000);
    let amount = split(0, 50_000, leaf(4), split(0, 99_000, leaf(20), leaf(90)));
    vec![amount, split(2, 6, leaf(2), leaf(30))]
}

#[test]
fn places_are_those_in_a_plain_list_of_all_scores_and_alerts_take_nothing_from_it() {
    let acts = r#"
rule acts
  id "R-1"  owner fraud  severity low
  on pay
  when model.fraud >= 0.98
  if missing skip
  then alert
"#;
    let trees = few_scores();
    let mut runner = Runner::new(&program(&[SCHEMA, MODEL, TOLD, acts], &trees));
    let dice = &mut Dice::new(11);
    let mut before: Vec<i64> = Vec::new();
    let (mut hits, mut told) = (0, 0);
    // 4,500 payments in 150 hours: all of them lie in the window.
    for index in 0..4_500 {
        let mut row = random_row(dice);
        // All scores are there, and a rule that alerts on the highest does not change what is high.
        row[0] = row[0].or(Some(1));
        let decision = runner.decide(&record(index, row));
        let score = naive_score(&trees, &row).unwrap();
        let percentile = decision["models"][0]["percentile_ppm"].as_u64();
        if before.len() < 2_000 {
            assert_eq!(percentile, None);
        } else {
            // The scores lie so far apart that counting to one part in 128 counts them exactly.
            let count =
                |is_it: &dyn Fn(i64) -> bool| before.iter().filter(|it| is_it(**it)).count();
            let (below, equal) = (count(&|it| it < score) as u64, count(&|it| it == score) as u64);
            // One place of those beside its equals, drawn from the id: "risklots" is the seed.
            let lot =
                xxh3_64_with_seed(format!("p{index}").as_bytes(), 0x7269_736b_6c6f_7473) >> 32;
            let drawn = (lot * (equal + 1)) >> 32;
            let expected = (below + drawn) * 1_000_000 / (before.len() as u64 + 1);
            assert!(percentile.unwrap().abs_diff(expected) <= 1, "{percentile:?} {expected}");
            let hit = decision["contributions"].as_array().is_some_and(|hits| !hits.is_empty());
            assert_eq!(hit, expected >= 980_000, "{decision:#}");
            (hits, told) = (hits + u64::from(hit), told + 1);
        }
        before.push(score);
    }
    // Two in a hundred of 2,500, within four standard deviations of 7.
    assert!((22..=78).contains(&hits) && told == 2_500, "{hits} of {told}");
}

#[test]
fn a_replay_and_a_restore_in_the_middle_give_the_same_scores() {
    let trees = random_trees(&mut Dice::new(3));
    let program = program(&[SCHEMA, MODEL, TOLD], &trees);
    let lines = stream(4, 5_000);
    let mut first = Runner::new(&program);
    first.steps(&lines);
    let mut again = Runner::new(&program);
    again.steps(&lines);
    assert_eq!(again.out, first.out);
    assert_eq!(again.engine.digest(), first.engine.digest());

    let mut saved = Runner::new(&program);
    saved.steps(&lines[..3_000]);
    saved.engine.begin_snapshot();
    let mut bytes = Vec::new();
    let (mut next, begun) = (3_000, saved.out.len());
    while saved.engine.snapshot_part(2_000, &mut bytes) == SnapshotStatus::More {
        saved.steps(&lines[next..=next]);
        next += 1;
    }
    let mut late = Runner::restored(&program, &bytes, 3_000);
    late.steps(&lines[3_000..]);
    saved.steps(&lines[next..]);
    assert_eq!(saved.out, first.out);
    assert_eq!(late.out[..], first.out[begun..]);
    assert_eq!(late.engine.digest(), first.engine.digest());
    assert_eq!(late.engine.state_bytes(), first.engine.state_bytes());
    let cut = &bytes[..bytes.len() - 1];
    let mut restore = Restore::new(program, EngineOptions::default());
    assert!(restore.part(cut).is_err() || restore.finish().is_err());
}

fn model_kinds(names: &[String]) -> usize {
    names.iter().filter(|name| name.starts_with("model learned on pay")).count()
}

#[test]
fn another_name_keeps_the_scores_and_another_artifact_begins_anew() {
    let (old, new) = (random_trees(&mut Dice::new(5)), random_trees(&mut Dice::new(6)));
    let lines = stream(7, 2_500);
    let before = program(&[SCHEMA, MODEL, TOLD], &old);
    let renamed =
        MODEL.replace("model fraud", "model frauds").replace("rate, amount", "amount, rate");
    let asks = TOLD.replace("model.fraud.raw", "model.frauds");
    let mut runner = Runner::new(&before);
    runner.steps(&lines[..2_200]);

    let same = program(&[SCHEMA, &renamed, &asks], &old);
    let report = runner.engine.activate(same).unwrap();
    assert_eq!((model_kinds(&report.kept), model_kinds(&report.warming)), (1, 0));
    let decision = runner.decide(&lines[2_200]);
    assert!(decision["models"][0]["percentile_ppm"].is_u64(), "{decision:#}");

    let other = program(&[SCHEMA, &renamed, &asks], &new);
    assert_ne!(other.digest, program(&[SCHEMA, &renamed, &asks], &old).digest);
    let report = runner.engine.activate(Arc::clone(&other)).unwrap();
    assert_eq!((model_kinds(&report.warming), model_kinds(&report.dropped)), (1, 1));
    let row = [Some(5), Some(1), Some(3), Some(77)];
    let decision = runner.decide(&record(2_300, row));
    assert_eq!(decision["models"][0]["raw_micro"].as_i64(), naive_score(&new, &row));
    assert!(decision["models"][0].get("percentile_ppm").is_none(), "{decision:#}");
    assert_eq!(decision["undecided"][0]["missing"][0], "model.frauds");
    let again = Runner::restored(&other, &runner.snapshot(), runner.offset);
    assert_eq!(again.engine.state_bytes(), runner.engine.state_bytes());
}

#[test]
fn a_decision_tells_what_raises_the_score_first() {
    let trees = few_scores();
    let mut runner = Runner::new(&program(&[SCHEMA, MODEL, TOLD], &trees));
    let decision = runner.decide(&record(0, [Some(99_900), None, Some(1), Some(5)]));
    // By hand. Of the amount: 4 or (20 or 90), so 29.5 on average, 90 here, over two trees: 30.25 points up; of the
    // items: 2 or 30, so 16, and 2 here: 7 down. Together from 22.75 to 46.
    let model = &decision["models"][0];
    assert_eq!(model["raw_micro"], 460_000);
    let told = json!([
        {
            "feature": "amount", "value": "999.00 EUR", "side": "raises", "size_micro": 302_500,
            "reason": "`amount` 999.00 EUR raises the score by 0.303",
        },
        {
            "feature": "items", "value": "1", "side": "lowers", "size_micro": 70_000,
            "reason": "`items` 1 lowers the score by 0.070",
        },
    ]);
    assert_eq!(model["features"], told, "{model:#}");
    assert_eq!(model["missing"], json!(["fresh"]));
    assert_eq!(model["coverage"], "warming");
    let schema = include_str!("../docs/schemas/decision.v1.json");
    let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    assert!(schema.is_valid(&decision), "{decision:#}");
}

#[test]
fn a_comparison_of_rule_sets_names_the_model_whose_artifact_changed() {
    let (old, new) = (random_trees(&mut Dice::new(5)), random_trees(&mut Dice::new(6)));
    let [before, again, after] =
        [&old, &old, &new].map(|trees| program(&[SCHEMA, MODEL, TOLD], trees));
    let compare = |one: &Program, other: &Program| riskweir::backtest::compare::changes(one, other);
    assert!(compare(&before, &again).changed.is_empty());
    let changed = compare(&before, &after).changed;
    assert_eq!(changed.len(), 1, "{changed:#?}");
    assert_eq!(changed[0].what, "model fraud");
    assert!(changed[0].how[0].starts_with("artifact ") && changed[0].how[0].contains(" → "));
}

/// A tree of so many splits, one below the other, whose leaves all say something else.
fn chain(splits: u32) -> Tree {
    let leaf = |nano: u32| Tree::Leaf(i64::from(nano));
    (0..splits).fold(leaf(splits), |below, at| Tree::Split {
        feature: 0,
        threshold: i64::from(at),
        missing_left: true,
        sides: Box::new([leaf(at), below]),
    })
}

/// By hand, of what docs/errors/E0606.md says: 12 units for a tree of up to 20 splits and 0.6 for each of a deeper one,
/// and 30 to count the score; 10,000 are allowed.
#[test]
fn a_model_that_takes_too_long_is_refused_and_a_budget_admits_it() {
    let found = |n: usize, splits: u32, policy: &str| {
        let trees = vec![chain(splits); n];
        let parts = [SCHEMA, MODEL, TOLD, policy];
        let made = with_artifacts(sources(&parts), |read| forest(&trees, read.len()));
        let (program, report) = compile(&made);
        assert_eq!(program.is_none(), report.iter().any(|it| it.code.0.starts_with('E')));
        report.into_iter().find(|it| it.code.0.starts_with('E'))
    };
    for (most, splits) in [(830, 1), (830, 20), (415, 40), (255, 64)] {
        assert_eq!(found(most, splits, ""), None, "{most} trees of {splits}");
        let refused = found(most + 1, splits, "").unwrap();
        assert_eq!(refused.code.0, "E0606", "{refused:?}");
    }
    let refused = found(500, 64, "").unwrap();
    // 500 trees of 39 units (64 * 0.6, rounded up) and 30: 195,300 ns.
    assert!(refused.message.contains("up to 19530 units"), "{refused:?}");
    let help = refused.help.unwrap();
    let budget = help.split('`').find(|part| part.starts_with("budget ")).unwrap();
    let policy = |budget: &str| format!("policy decisions\n  base currency EUR\n  {budget}\n");
    assert_eq!(found(500, 64, &policy(budget)), None, "{help}");
    let refused = found(500, 64, &policy("budget 190us per event")).unwrap();
    assert_eq!(refused.code.0, "E0518", "what is allowed is counted: {refused:?}");
}

#[test]
fn whoever_measures_a_score_once_more_gets_the_same_and_changes_nothing() {
    let trees = few_scores();
    let program = program(&[SCHEMA, MODEL, TOLD], &trees);
    let (mut asked, mut alone) = (Runner::new(&program), Runner::new(&program));
    let model = ModelId(0);
    assert_eq!(asked.engine.score_again(model), None, "nothing was scored yet");
    for event in stream(8, 60) {
        let decision = asked.decide(&event);
        assert_eq!(decision, alone.decide(&event));
        let again = asked.engine.score_again(model);
        let scored = decision["models"][0]["raw_micro"].as_i64();
        assert_eq!(again.map(|scored| scored.raw_micro), scored, "{decision:#}");
    }
    assert_eq!(asked.snapshot(), alone.snapshot());
    assert_eq!(asked.engine.digest(), alone.engine.digest());
    assert_eq!(asked.engine.score_again(ModelId(7)), None);
}

#[test]
fn without_artifacts_a_learned_model_says_nothing() {
    let (program, report) = riskweir::rules::compile_untrained(&sources(&[SCHEMA, MODEL, TOLD]));
    let program = Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")));
    let mut runner = Runner::new(&program);
    let decision = runner.decide(&record(0, [Some(1), Some(1), Some(1), Some(1)]));
    assert!(decision["models"][0].get("raw_micro").is_none(), "{decision:#}");
    assert_eq!(decision["undecided"][0]["missing"][0], "model.fraud.raw");
}

/// The stability index of values against others by the bins of the reference: worked out from plain lists.
fn naive_stability(before: &[Option<i64>], after: &[Option<i64>]) -> f64 {
    let mut known: Vec<i64> = before.iter().copied().flatten().collect();
    known.sort_unstable();
    let mut bounds: Vec<i64> =
        (1..10).map(|tenth| known[(known.len() * tenth / 10).saturating_sub(1)]).collect();
    bounds.dedup();
    let bin = |value: &Option<i64>| {
        value.map_or(99, |value| bounds.iter().filter(|bound| **bound < value).count())
    };
    let share = |list: &[Option<i64>], wanted: usize| {
        let n = list.iter().filter(|value| bin(value) == wanted).count();
        (n as f64 / list.len() as f64).max(1e-4)
    };
    let bins = (0..=bounds.len()).chain([99]);
    bins.map(|at| (share(before, at), share(after, at))).map(|(p, q)| (q - p) * (q / p).ln()).sum()
}

#[test]
fn drift_is_that_of_plain_lists_and_survives_a_restore() {
    let trees = few_scores();
    let dice = &mut Dice::new(21);
    let trained: Vec<Vec<Option<i64>>> = (0..3_000).map(|_| random_row(dice).to_vec()).collect();
    let mut sources = sources(&[SCHEMA, MODEL]);
    let (untrained, _) = riskweir::rules::compile_untrained(&sources);
    let untrained = untrained.unwrap();
    let (event, spec) = learned(&untrained)[0];
    let made = artifact(event, &spec.features, forest(&trees, 4));
    let bytes = with_reference(made, &trained).encode().into();
    sources.artifacts.push(Binary { path: spec.path.clone(), bytes });
    let program = compiled(&sources);
    let mut runner = Runner::new(&program);
    // Amounts are cut to a third, and the rate goes missing more often; the rest stays as it was.
    let rows: Vec<Row> = (0..2_500)
        .map(|_| {
            let mut row = random_row(dice);
            row[0] = row[0].map(|amount| amount / 3);
            row[3] = row[3].filter(|_| !dice.one_in(2));
            row
        })
        .collect();
    for (index, row) in (0..).zip(&rows) {
        runner.steps(&[record(index, *row)]);
        if index == 1_998 {
            assert!(runner.engine.models().all(|model| model.moved.is_empty()), "too few events");
        }
    }
    let check = |engine: &Engine| {
        let figures = engine.models().next().unwrap();
        let told: Vec<(Option<&str>, f64)> =
            figures.moved.iter().map(|it| (it.feature, it.stability)).collect();
        let names = ["amount", "fresh", "items", "rate"];
        // Those of which nothing is known too: they are what a producer sends that has forgotten all fields.
        let known: Vec<&Row> = rows.iter().collect();
        for (at, name) in names.iter().enumerate() {
            let before: Vec<Option<i64>> = trained.iter().map(|row| row[at]).collect();
            let after: Vec<Option<i64>> = known.iter().map(|row| row[at]).collect();
            let expected = naive_stability(&before, &after);
            assert_eq!(told[at].0, Some(*name));
            assert!((told[at].1 - expected).abs() < 1e-9, "{name}: {} {expected}", told[at].1);
        }
        assert_eq!(told[4].0, None);
        let scores = |rows: &mut dyn Iterator<Item = &[Option<i64>]>| -> Vec<Option<i64>> {
            rows.map(|row| naive_score(&trees, row)).collect()
        };
        let before = scores(&mut trained.iter().map(Vec::as_slice));
        let after = scores(&mut known.iter().map(|row| row.as_slice()));
        assert!((told[4].1 - naive_stability(&before, &after)).abs() < 1e-9);
        assert!(told[0].1 > 0.25 && told[1].1 < 0.1 && told[2].1 < 0.1 && told[3].1 > 0.1);
    };
    check(&runner.engine);
    let figures = runner.engine.models().next().unwrap();
    let gone = |at: usize| rows.iter().filter(|row| row[at].is_none()).count() as u64;
    assert_eq!(figures.missing, [gone(0), gone(1), gone(2), gone(3)]);
    let nothing = rows.iter().filter(|row| row.iter().all(Option::is_none)).count() as u64;
    assert_eq!((figures.scored, figures.unscored), (2_500 - nothing, nothing));
    check(&Runner::restored(&program, &runner.snapshot(), runner.offset).engine);
}

/// Of a feature by which others are remembered only the name stands in their meaning.
#[test]
fn the_fields_of_a_model_are_those_of_the_features_behind_it_too() {
    let features = r"
feature much = rate > 2 and not cheap
feature cheap = amount < 5 EUR
feature often = count(pay where much) by card over prior 1h
";
    let model =
        "model fraud\n  on pay\n  kind learned\n  from \"models/fraud.rwm\"\n  reads often\n";
    let (program, report) =
        riskweir::rules::compile_untrained(&sources(&[SCHEMA, features, model]));
    let program = program.unwrap_or_else(|| panic!("{report:#?}"));
    let fields: Vec<(&str, &str)> = learned(&program)[0]
        .1
        .fields
        .iter()
        .map(|field| (field.name.as_str(), field.read.as_str()))
        .collect();
    let expected = [
        ("pay.amount", "money EUR at /amount"),
        ("pay.at", "time in milliseconds at /at"),
        ("pay.card", "key at /card"),
        ("pay.rate", "number at /rate"),
    ];
    assert_eq!(fields, expected);
}

fn write(folder: &Path, sources: &Sources) {
    fs::create_dir_all(folder.join("models")).unwrap();
    for file in &sources.files {
        fs::write(folder.join(&file.path), &file.text).unwrap();
    }
    for file in &sources.artifacts {
        fs::write(folder.join(&file.path), &file.bytes).unwrap();
    }
}

#[test]
fn the_loader_brings_artifacts_and_no_changed_byte_of_one_passes() {
    let folder = tempfile::tempdir().unwrap();
    let written = with_artifacts(sources(&[SCHEMA, MODEL, TOLD]), plain);
    write(folder.path(), &written);
    let loaded = riskweir::loader::load(folder.path()).unwrap();
    assert_eq!(loaded, written);
    assert_eq!(compiled(&loaded).digest, compiled(&written).digest);

    let path = folder.path().join("models/fraud.rwm");
    let good = fs::read(&path).unwrap();
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        fs::write(&path, &bad).unwrap();
        let (program, report) = compile(&riskweir::loader::load(folder.path()).unwrap());
        assert!(program.is_none(), "byte {at}");
        let codes: Vec<&str> = report.iter().map(|found| found.code.0).collect();
        assert_eq!(codes, ["E0604"], "byte {at}");
        assert!(report[0].message.contains("`models/fraud.rwm`"), "{}", report[0].message);
    }
    fs::rename(&path, folder.path().join("models/fraud.RWM")).unwrap();
    let refused = riskweir::loader::load(folder.path()).unwrap_err().to_string();
    assert!(refused.contains("fraud.RWM") && refused.contains("`.rwm`"), "{refused}");
}

#[test]
fn an_artifact_may_lie_beside_the_rule_folder_and_only_those_that_are_named_belong_to_it() {
    let place = tempfile::tempdir().unwrap();
    let (rules, models) = (place.path().join("rules"), place.path().join("models"));
    let beside = MODEL.replace("\"models/fraud.rwm\"", "\"../models/cards/fraud.rwm\"");
    let written = with_artifacts(sources(&[SCHEMA, &beside, TOLD]), plain);
    fs::create_dir_all(models.join("cards")).unwrap();
    write(&rules, &written);
    let good = riskweir::loader::load(&rules).unwrap();
    assert_eq!(good, written);
    assert_eq!(compiled(&good).digest, compiled(&written).digest);
    // A draft, and what lies elsewhere, is none of it.
    for other in ["models/draft.rwm", "models/cards/fraud.json", "fraud.rwm"] {
        fs::write(place.path().join(other), "a draft").unwrap();
    }
    assert_eq!(riskweir::loader::load(&rules).unwrap(), written);
    // By a link from elsewhere to the rule folder it is the same.
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("current");
    std::os::unix::fs::symlink(&rules, &link).unwrap();
    assert_eq!(riskweir::loader::load(&link).unwrap(), written);

    // A link may not lead out, and neither may a name.
    let path = models.join("cards/fraud.rwm");
    fs::rename(&path, place.path().join("fraud.rwm")).unwrap();
    std::os::unix::fs::symlink(place.path().join("fraud.rwm"), &path).unwrap();
    let refused = riskweir::loader::load(&rules).unwrap_err().to_string();
    assert!(refused.contains("leads out of the rule folder"), "{refused}");
    for name in ["../models/../fraud.rwm", "../fraud.rwm", "../models/cards/not-there.rwm"] {
        let named = MODEL.replace("models/fraud.rwm", name);
        fs::write(rules.join("a.risk"), [SCHEMA, &named, TOLD].concat()).unwrap();
        let (program, report) = compile(&riskweir::loader::load(&rules).unwrap());
        assert!(program.is_none(), "{name}");
        let told: Vec<&str> = report.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(told, [format!("there is no artifact `{name}`")]);
    }
}
