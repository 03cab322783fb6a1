//! `riskweir test`: run the `test` blocks of a rule folder.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::cli::rules::show;
use crate::cli::{Console, Exit, Failure, Format, junit};
use crate::diag::render::position;
use crate::diag::{Severity, Sources, Span};
use crate::loader::load;
use crate::rule_tests::{TestResult, run_all};
use crate::rules::compile;

/// Arguments of `riskweir test`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(value_name = "PATH", default_value = "rules")]
    path: PathBuf,
    /// Run only tests of rules whose name contains this.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let sources = load(&arguments.path).map_err(Failure::invalid)?;
    let (program, mut diagnostics) = compile(&sources);
    diagnostics.retain(|diagnostic| diagnostic.severity() == Severity::Error);
    let Some(mut program) = program else {
        show(&sources, &diagnostics, console);
        return Ok(Exit::Invalid);
    };
    if let Some(filter) = &arguments.filter {
        let rules = &program.rules;
        program.tests.retain(|test| rules[usize::from(test.rule.0)].name.contains(filter.as_str()));
        if program.tests.is_empty() {
            let message = format!("no rule whose name contains `{filter}` has a test");
            return Err(Failure::invalid(message));
        }
    }
    if program.tests.is_empty() {
        console.message(&format!("note: there is no test in `{}`", arguments.path.display()));
    }
    let results = run_all(&Arc::new(program)).map_err(Failure::invalid)?;
    match console.format {
        _ if console.junit => console.data(&junit::document(&sources, &results)),
        Format::Json => report_json(&sources, &results, console),
        Format::Text => report_text(&sources, &results, console),
    }
    let failed = results.iter().any(|result| !result.failures.is_empty());
    Ok(if failed { Exit::Invalid } else { Exit::Ok })
}

fn place(sources: &Sources, span: Span) -> String {
    sources.get(span.file).map_or_else(String::new, |source| {
        let start = position(source, span.start);
        format!("{}:{}:{}", source.path, start.line, start.column)
    })
}

fn report_text(sources: &Sources, results: &[TestResult], console: &Console) {
    let mut text = String::new();
    for result in results {
        let TestResult { rule, title, span, failures, conditions } = result;
        if failures.is_empty() {
            if console.is_verbose() {
                text.push_str(&format!("ok    {rule}: {title}\n"));
            }
            continue;
        }
        text.push_str(&format!("FAIL  {rule}: {title}  ({})\n", place(sources, *span)));
        for failure in failures {
            text.push_str(&format!("      {failure}\n"));
        }
        for condition in conditions {
            text.push_str(&format!("        {condition}\n"));
        }
    }
    let failed = results.iter().filter(|result| !result.failures.is_empty()).count();
    text.push_str(&format!("{} passed, {failed} failed\n", results.len() - failed));
    console.data(&text);
}

fn report_json(sources: &Sources, results: &[TestResult], console: &Console) {
    for result in results {
        let line = json!({
            "rule": result.rule,
            "title": result.title,
            "at": place(sources, result.span),
            "passed": result.failures.is_empty(),
            "failures": result.failures,
            "conditions": result.conditions,
        });
        console.data(&format!("{line}\n"));
    }
}
