//! `riskweir check`: compile a rule folder and say what is wrong with it.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::cli::rules::show;
use crate::cli::{Console, Exit, Failure, Format};
use crate::diag::{Diagnostic, Severity, render};
use crate::loader::load;
use crate::rules::program::Program;
use crate::rules::{Day, compile, due};

/// Arguments of `riskweir check`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(value_name = "PATH", default_value = "rules")]
    path: PathBuf,
    /// Also warn of reviews, dates and snoozes that have passed on this day, as in 2026-01-31.
    #[arg(long, value_name = "DATE", value_parser = day)]
    as_of: Option<Day>,
    /// Treat warnings as errors.
    #[arg(long)]
    strict: bool,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let sources = load(&arguments.path).map_err(Failure::invalid)?;
    let (program, mut diagnostics) = compile(&sources);
    if let (Some(program), Some(day)) = (&program, arguments.as_of) {
        diagnostics.extend(due(program, day));
    }
    show(&sources, &diagnostics, console);
    if console.format == Format::Json {
        console.data(&format!("{}\n", outcome(program.as_ref(), &diagnostics)));
    }
    let Some(program) = program else {
        console.message(&render::summary(&diagnostics));
        return Ok(Exit::Invalid);
    };
    if console.format == Format::Text {
        let counts = [
            (program.schema.events.len(), "event types"),
            (program.rules.len(), "rules"),
            (program.tables.len(), "state tables"),
            (program.tests.len(), "tests"),
        ];
        let words: Vec<String> = counts.iter().map(|(n, what)| format!("{n} {what}")).collect();
        let digest = program.digest.short_hex();
        console.data(&format!(
            "{}: rule set {digest} is good: {}\n",
            arguments.path.display(),
            words.join(", ")
        ));
        if !diagnostics.is_empty() {
            console.message(&render::summary(&diagnostics));
        }
    }
    Ok(if arguments.strict && !diagnostics.is_empty() { Exit::Invalid } else { Exit::Ok })
}

/// The last line for programs: the rule set, null where there is none, and how much was found.
fn outcome(program: Option<&Program>, diagnostics: &[Diagnostic]) -> Value {
    let count = |severity| diagnostics.iter().filter(|found| found.severity() == severity).count();
    let whole = program.map(|program| {
        json!({
            "digest": program.digest.short_hex(), "event_types": program.schema.events.len(),
            "rules": program.rules.len(), "state_tables": program.tables.len(),
            "tests": program.tests.len(),
        })
    });
    json!({
        "ruleset": whole, "errors": count(Severity::Error), "warnings": count(Severity::Warning),
    })
}

fn day(text: &str) -> Result<Day, String> {
    Day::parse(text).ok_or_else(|| "write a day as 2026-01-31".to_owned())
}
