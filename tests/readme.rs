//! What the README shows is what the program says: its rule, its table and its decision come from `examples/first`.
#![expect(clippy::expect_used, reason = "helpers of tests; the lint spares test functions only")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use riskweir::backtest::output::FileSink;
use riskweir::backtest::run::{Job, run};
use riskweir::backtest::summary::Summary;
use riskweir::engine::{Engine, EngineOptions};
use riskweir::loader::load;
use riskweir::rule_tests::run_all;
use riskweir::rules::compile;
use serde_json::Value;

fn repository() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The contents of the README's fences with this information.
fn fences(info: &str) -> Vec<String> {
    let readme = fs::read_to_string(repository().join("README.md")).expect("a readable README");
    let begin = format!("```{info}\n");
    let rest = readme.split(&begin).skip(1);
    rest.map(|rest| rest.split("```").next().unwrap_or_default().to_owned()).collect()
}

fn engine(folder: &Path) -> Engine {
    let program = compile(&load(folder).expect("a readable folder")).0.expect("a good rule set");
    Engine::new(Arc::new(program), EngineOptions::default()).expect("the engine takes it")
}

#[test]
fn its_rules_are_those_of_the_first_example() {
    let example = fs::read_to_string(repository().join("examples/first/first.risk"));
    let example = example.expect("a readable example");
    let shown = fences("risk");
    assert_eq!(shown.len(), 2);
    for rule in shown {
        assert!(example.contains(rule.trim_end()), "not in the example:\n{rule}");
    }
}

#[test]
fn its_table_and_its_decision_are_what_backtest_gives() {
    let folder = repository().join("examples/first");
    let mut engine = engine(&folder);
    let out = tempfile::tempdir().expect("a temporary folder");
    let mut sink = FileSink::create(out.path()).expect("a writable folder");
    let job = Job { inputs: vec![folder.join("events.ndjson")], threads: 1, ..Job::default() };
    let ran = run(&mut engine, &job, &mut sink, &mut |_| true).expect("a good run");
    sink.finish().expect("a finished sink");

    let table = Summary::of(&engine, &ran).table();
    assert!(fences("text").contains(&table), "the README lacks\n{table}");

    let decisions = fs::read_to_string(out.path().join("decisions.ndjson")).expect("decisions");
    let read = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
    let decisions: Vec<Value> = decisions.lines().map(read).collect();
    let shown = read(&fences("json")[0]);
    assert!(decisions.contains(&shown), "no such decision; the fifth is\n{}", decisions[4]);
}

#[test]
fn the_tests_of_all_examples_pass() {
    for example in [
        "first",
        "cards-2018",
        "cards-2018-anomaly",
        "cards-2018-feedback",
        "cards-2018-learned",
        "fraud-rate",
        "paysim",
        "sparkov",
        "sparkov-models",
        "workload",
    ] {
        let sources = load(&repository().join("examples").join(example)).expect("a folder");
        let program = compile(&sources).0.expect("a good rule set");
        for result in run_all(&Arc::new(program)).expect("the engine takes it") {
            assert!(result.failures.is_empty(), "{example}: {result:?}");
        }
    }
}

#[test]
fn no_document_promises_what_no_test_can_show() {
    let mut paths = vec![repository().join("README.md"), repository().join("CHANGELOG.md")];
    for folder in ["docs", "rules"] {
        let entries = fs::read_dir(repository().join(folder)).expect("a readable folder");
        paths.extend(entries.map(|entry| entry.expect("an entry of the folder").path()));
    }
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    for path in paths {
        let text = fs::read_to_string(&path).expect("a readable document").to_lowercase();
        for claim in ["exactly-once", "exactly once", "compliant", "bulletproof", "bank-grade"] {
            assert!(!text.contains(claim), "{} says {claim}", path.display());
        }
    }
}
