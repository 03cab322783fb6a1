//! `riskweir diff`: two rule sets, what changed in words, in state, and in decisions on a history.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::backtest::compare::{Changes, Decided, DecisionChanges, changes, decisions};
use crate::cli::history::Reading;
use crate::cli::rules::{compile_folder, render_text};
use crate::cli::{Console, Exit, Failure, Format};
use crate::diag::render;
use crate::rules::program::Program;
use crate::rules::renewed;

/// Arguments of `riskweir diff`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// The rule folder (or one .risk file) as it was.
    #[arg(value_name = "A")]
    before: PathBuf,
    /// The rule folder as it will be.
    #[arg(value_name = "B")]
    after: PathBuf,
    /// A history on which both decide, as for `backtest`.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    input: Vec<PathBuf>,
    #[command(flatten)]
    reading: Reading,
}

/// Runs the command.
///
/// # Errors
/// When a rule set does not compile, or a file cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(before) = compile_folder(&arguments.before, console)? else {
        return Ok(Exit::Invalid);
    };
    let Some(after) = compile_folder(&arguments.after, console)? else {
        return Ok(Exit::Invalid);
    };
    let (before, after) = (Arc::new(before), Arc::new(after));
    let changed = changes(&before, &after);
    let warnings = renewed(&before, &after);
    let decided = if arguments.input.is_empty() {
        None
    } else {
        let one = decide(arguments, &before)?;
        let other = decide(arguments, &after)?;
        Some(decisions(&one, &other))
    };
    match console.format {
        Format::Json => {
            let warnings = render::json(&after.sources, &warnings);
            let out = json!({ "rules": changed, "warnings": warnings, "decisions": decided });
            console.data(&format!("{out}\n"));
        }
        Format::Text => {
            console.message(&render_text(&after.sources, &warnings, console));
            let mut out = changed_text(&changed);
            if let Some(decided) = &decided {
                out.push_str(&decided_text(decided));
            }
            console.data(&out);
        }
    }
    Ok(Exit::Ok)
}

fn decide(arguments: &Arguments, program: &Arc<Program>) -> Result<Decided, Failure> {
    let mut decided = Decided::new(program);
    arguments.reading.run(&arguments.input, program, &mut decided)?;
    Ok(decided)
}

fn changed_text(changes: &Changes) -> String {
    let Changes { added, removed, changed, state_new, state_dropped } = changes;
    let mut out = String::new();
    let lists = [("added", added), ("removed", removed)];
    for (word, items) in lists {
        for item in items {
            out.push_str(&format!("{word} {item}\n"));
        }
    }
    for item in changed {
        out.push_str(&format!("changed {}\n", item.what));
        for how in &item.how {
            out.push_str(&format!("  {how}\n"));
        }
    }
    let states = [("new state, begins empty", state_new), ("state forgotten", state_dropped)];
    for (word, identities) in states {
        for identity in identities {
            out.push_str(&format!("{word}: {identity}\n"));
        }
    }
    if out.is_empty() { "the rules say the same\n".to_owned() } else { out }
}

fn decided_text(decided: &DecisionChanges) -> String {
    let mut out = String::from("\ndecisions\n");
    for moved in &decided.outcomes {
        let examples = if moved.examples.is_empty() {
            String::new()
        } else {
            format!(": {}", moved.examples.join(", "))
        };
        let words = if moved.from == moved.to {
            format!("{} stays", moved.from)
        } else {
            format!("{} → {}", moved.from, moved.to)
        };
        out.push_str(&format!("  {words}  {}{examples}\n", moved.events));
    }
    if decided.only_one > 0 {
        out.push_str(&format!("  decided by one of the sets only  {}\n", decided.only_one));
    }
    out.push_str(&format!("alerts {} → {}\n", decided.alerts.0, decided.alerts.1));
    out
}
