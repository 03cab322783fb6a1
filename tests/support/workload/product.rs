//! The workload through the product's library, and what it decided in the form of the reference.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use riskweir::backtest::output::FileSink;
use riskweir::backtest::run::{Job, run};
use riskweir::diag::{Severity, Source, Sources};
use riskweir::engine::{DecisionsWanted, Engine, EngineOptions};
use riskweir::rules::program::Program;
use serde::Deserialize;

use crate::workload::reference::push_alert;

/// Folder of the rule set.
pub(crate) fn rules_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/workload")
}

/// The compiled rule set of the workload.
pub(crate) fn program() -> Arc<Program> {
    let name = "workload.risk";
    let text = std::fs::read_to_string(rules_folder().join(name)).unwrap();
    let sources = Sources::of(vec![Source { path: name.to_owned(), text }]);
    let (program, report) = riskweir::rules::compile(&sources);
    let errors: Vec<_> =
        report.iter().filter(|found| found.severity() == Severity::Error).collect();
    assert!(errors.is_empty(), "the rule set of the workload does not compile: {errors:#?}");
    Arc::new(program.unwrap())
}

/// Runs a file as `riskweir backtest --decisions notable` does; the records lie in `out` afterwards.
pub(crate) fn backtest(input: &Path, out: &Path, threads: usize) {
    let options = EngineOptions { decisions: DecisionsWanted::Notable, ..EngineOptions::default() };
    let mut engine = Engine::new(program(), options).unwrap();
    let mut sink = FileSink::create(out).unwrap();
    let job = Job { inputs: vec![input.to_owned()], topic: None, threads, arrived_ms: None };
    run(&mut engine, &job, &mut sink, &mut |_| true).unwrap();
    sink.finish().unwrap();
}

#[derive(Deserialize)]
struct Decision {
    event: Event,
    #[serde(default)]
    contributions: Vec<Contribution>,
}

#[derive(Deserialize)]
struct Event {
    id: String,
}

#[derive(Deserialize)]
struct Contribution {
    rule: String,
}

/// The decisions of a run that rules contributed to, as alerts in the form of the reference.
pub(crate) fn alerts(out: &Path) -> String {
    let text = std::fs::read_to_string(out.join("decisions.ndjson")).unwrap();
    let mut lines = String::new();
    for line in text.lines() {
        let decision: Decision = serde_json::from_str(line).unwrap();
        let mut rules: Vec<u32> =
            decision.contributions.iter().map(|hit| hit.rule.parse().unwrap()).collect();
        rules.sort_unstable();
        if !rules.is_empty() {
            push_alert(&decision.event.id, &rules, &mut lines);
        }
    }
    lines
}
