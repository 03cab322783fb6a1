//! Models of XGBoost, LightGBM and scikit-learn (by ONNX) say here what their own libraries say of the same rows.
//!
//! `tests/import/make.py` makes the files and writes down the predictions. Most rows have values that lie exactly on cuts
//! of the trees, and in two sets values are missing.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use riskweir::base::Currency;
use riskweir::models::offline::import::import;
use riskweir::models::offline::{Artifact, Contribution, Unit};
use serde_json::Value;

/// Names and units of the columns, and how many digits a row of the fixtures has of each.
const COLUMNS: [&str; 4] = ["amount", "fresh", "items", "rate"];

fn units() -> [(&'static str, Unit); 4] {
    let eur = Unit::Minor(Currency::parse("EUR").unwrap());
    [("amount", eur), ("fresh", Unit::Truth), ("items", Unit::Whole), ("rate", Unit::Micro)]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import")
}

fn fixtures() -> Vec<String> {
    let names = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names
        .filter_map(|name| name.to_str()?.strip_suffix(".expected.json").map(str::to_owned))
        .collect();
    names.sort();
    names
}

#[expect(clippy::cast_possible_truncation, reason = "rounded numbers of some digits")]
fn row(values: &Value) -> Vec<Option<i64>> {
    let scales = [100.0, 1.0, 1.0, 1e6];
    let value =
        |(value, scale): (&Value, f64)| value.as_f64().map(|it| (it * scale).round() as i64);
    values.as_array().unwrap().iter().zip(scales).map(value).collect()
}

#[test]
fn imported_trees_say_what_their_library_says() {
    let names = fixtures();
    assert_eq!(names.len(), 7, "{names:?}");
    let columns = COLUMNS.map(str::to_owned);
    for name in names {
        let bytes = fs::read(folder().join(&name)).unwrap();
        let unnamed = name.contains(".onnx");
        let scorer = import(&bytes, unnamed.then_some(&columns[..]), &units())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let expected = fs::read(folder().join(format!("{name}.expected.json"))).unwrap();
        let expected: Value = serde_json::from_slice(&expected).unwrap();
        let predicted = expected["predicted"].as_array().unwrap();
        let rows = expected["rows"].as_array().unwrap();
        let (mut compared, mut missing) = (0, 0);
        for (values, predicted) in rows.iter().zip(predicted) {
            let (row, predicted) = (row(values), predicted.as_f64().unwrap());
            let Some(score) = scorer.score_micro(&row) else {
                assert!(row.iter().all(Option::is_none), "{name}: {values}");
                continue;
            };
            let score: f64 = i32::try_from(score).unwrap().into();
            let apart = (score / 1e6 - predicted).abs();
            // Half a millionth of our own, and what the floats of the library lose.
            assert!(apart <= 1.5e-6, "{name}: {values}: {score} {predicted}");
            let parts = scorer.parts(&row).unwrap();
            let sum: i64 = parts.iter().map(|Contribution { size_micro, .. }| size_micro).sum();
            assert_eq!(Some(scorer.base_micro() + sum), scorer.score_micro(&row), "{name}");
            compared += 1;
            missing += usize::from(row.iter().any(Option::is_none));
        }
        assert!(compared >= 75, "{name}: {compared}");
        assert_eq!(missing > 10, !unnamed, "{name}: {missing} rows lack something");
    }
}

#[test]
fn no_cut_and_no_flipped_bit_of_a_file_panics() {
    let columns = COLUMNS.map(str::to_owned);
    for name in fixtures() {
        let bytes = fs::read(folder().join(&name)).unwrap();
        let step = bytes.len() / 150;
        for at in (0..bytes.len()).step_by(step.max(1)) {
            _ = import(&bytes[..at], Some(&columns), &units());
            let mut bent = bytes.clone();
            bent[at] ^= 1 << (at % 8);
            if let Ok(scorer) = import(&bent, Some(&columns), &units()) {
                let score = scorer.score_micro(&[Some(5_000), Some(1), None, Some(-7)]).unwrap();
                assert!((0..=1_000_000).contains(&score), "{name}: byte {at}: {score}");
            }
        }
    }
}

/// Trees that are missing are no smaller model.
#[test]
fn a_text_that_is_cut_off_before_its_end_is_no_model() {
    let columns = COLUMNS.map(str::to_owned);
    let text = fs::read_to_string(folder().join("lightgbm.txt")).unwrap();
    let end = text.find("\nend of trees").unwrap();
    for (at, _) in text.match_indices('\n').filter(|(at, _)| *at <= end) {
        assert!(import(&text.as_bytes()[..at], Some(&columns), &units()).is_err(), "byte {at}");
    }
    let wrong = text.replacen("split_feature=", "split_feature=x ", 1);
    assert!(import(wrong.as_bytes(), Some(&columns), &units()).is_err());
}

/// What is wrong with a file and would only show in its scores.
#[test]
fn trees_that_the_library_would_not_ask_or_that_lack_something_are_refused() {
    let read = |name: &str| fs::read_to_string(folder().join(name)).unwrap();
    let refused = |text: &str, columns: Option<&[String]>| {
        import(text.as_bytes(), columns, &units()).unwrap_err().to_string()
    };
    let xgboost = read("xgboost.json");
    let known: Value = serde_json::from_str(&xgboost).unwrap();
    let bent = |change: &dyn Fn(&mut Value)| {
        let mut value = known.clone();
        change(&mut value["learner"]);
        refused(&value.to_string(), None)
    };
    let told = bent(&|learner| learner["attributes"]["best_iteration"] = "1".into());
    assert!(told.contains("after its best round"), "{told}");
    let told = bent(&|learner| {
        let trees = &mut learner["gradient_booster"]["model"]["trees"];
        trees.as_array_mut().unwrap().pop();
    });
    assert!(told.contains("trees of"), "{told}");
    let told = bent(&|learner| {
        let tree = &mut learner["gradient_booster"]["model"]["trees"][0];
        tree["left_children"][0] = (-7).into();
    });
    assert!(told.contains("tree 0 is damaged"), "{told}");

    let lightgbm = read("lightgbm.txt");
    let (first, second) =
        (lightgbm.find("\nTree=1\n").unwrap(), lightgbm.find("\nTree=2\n").unwrap());
    let without = format!("{}{}", &lightgbm[..first], &lightgbm[second..]);
    let told = refused(&without, None);
    assert!(told.contains("trees of"), "{told}");

    // Names in the file are not overruled.
    let mut turned = COLUMNS.map(str::to_owned);
    turned.reverse();
    for text in [&xgboost, &lightgbm] {
        let told = refused(text, Some(&turned));
        assert!(told.contains("leave `--columns` out"), "{told}");
    }
}

const RULES: &str = r#"
event pay from "t"
  id    id     : text
  time  at     : time unit ms
  field amount : money currency EUR
  field fresh  : bool?
  field items  : integer?
  field rate   : number?
model fraud
  on pay
  kind learned
  from "models/fraud.rwm"
  reads amount, fresh, items, rate
rule likely
  mode shadow
  on pay
  when model.fraud.raw >= 0.5
  if missing skip
  then alert
test likely "a large one"
  when pay(amount: 4_000 EUR, fresh: true, items: 1, rate: 2.0)
  expect hit
test likely "a small one"
  when pay(amount: 1 EUR, fresh: false, items: 8, rate: -2.0)
  expect no hit
"#;

fn riskweir(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_riskweir")).args(arguments).output().unwrap()
}

#[test]
fn an_imported_model_serves_the_rules_that_name_it() {
    let place = tempfile::tempdir().unwrap();
    let rules = place.path().join("rules");
    fs::create_dir_all(rules.join("models")).unwrap();
    fs::write(rules.join("a.risk"), RULES).unwrap();
    let (rules, out) = (rules.to_str().unwrap(), rules.join("models/fraud.rwm"));
    assert_eq!(riskweir(&["check", rules]).status.code(), Some(1), "there is no artifact yet");
    let import = |file: &str, more: &[&str]| {
        let file = folder().join(file);
        let arguments = ["import", "--model", file.to_str().unwrap(), "--rules", rules];
        let given = ["--name", "fraud", "--out", out.to_str().unwrap()];
        riskweir(&[&arguments[..], &given, more].concat())
    };
    for (file, more) in [
        ("xgboost.json", &[][..]),
        ("lightgbm.txt", &[]),
        ("lightgbm.json", &[]),
        ("boosted-classifier.onnx", &["--columns", "amount,fresh,items,rate"]),
    ] {
        let told = import(file, more);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_eq!(told.status.code(), Some(0), "{file}: {said}");
        let checked = riskweir(&["test", rules]);
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert_eq!(checked.status.code(), Some(0), "{file}: {said}");
        let artifact = Artifact::decode(&fs::read(&out).unwrap()).unwrap();
        assert_eq!((artifact.event.as_str(), artifact.features.len()), ("pay", 4));
        let facts: Value = serde_json::from_str(&artifact.facts).unwrap();
        assert_eq!(facts["imported"]["file"], file);
    }
    for (file, expected) in [
        ("xgboost-refused.json", "objective `reg:squarederror`"),
        ("lightgbm-refused.txt", "zero_as_missing"),
        ("forest-classifier.onnx", "--columns"),
        ("make.py", "no model of"),
        ("nothing", "could not read"),
    ] {
        let told = import(file, &[]);
        let said = String::from_utf8_lossy(&told.stderr).into_owned();
        assert_ne!(told.status.code(), Some(0), "{file}: {said}");
        assert!(said.contains(expected), "{file}: {said}");
    }
    // A file is not overwritten by what becomes of it.
    let source = folder().join("xgboost.json");
    let copy = place.path().join("m.json");
    fs::copy(&source, &copy).unwrap();
    let same = copy.to_str().unwrap();
    let onto = ["import", "--model", same, "--rules", rules, "--name", "fraud", "--out", same];
    let said = String::from_utf8_lossy(&riskweir(&onto).stderr).into_owned();
    assert!(said.contains("would be overwritten"), "{said}");
    assert_eq!(fs::read(&copy).unwrap(), fs::read(&source).unwrap());

    let other = ["import", "--model", "x", "--rules", rules, "--name", "frauds", "--out", "y"];
    let said = String::from_utf8_lossy(&riskweir(&other).stderr).into_owned();
    assert!(said.contains("no model `frauds` of kind `learned`: they have fraud"), "{said}");
}
