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
use crate::witness::{Compared, Differ, Effort, compare};

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
    let (hits, refused) = compare(&before, &after, Effort::default()).map_err(Failure::invalid)?;
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
            let out = json!({
                "rules": changed, "hits": hits, "not_compared": refused, "warnings": warnings,
                "decisions": decided,
            });
            console.data(&format!("{out}\n"));
        }
        Format::Text => {
            console.message(&render_text(&after.sources, &warnings, console));
            let mut out = changed_text(&changed);
            out.push_str(&hits_text(&hits, &refused));
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
    let Changes { added, removed, changed, state_new, state_dropped, state_rules } = changes;
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
            let rules = state_rules.get(identity).map(|rules| {
                let rules: Vec<&str> = rules.iter().map(String::as_str).collect();
                format!("  ({})", rules.join(", "))
            });
            out.push_str(&format!("{word}: {identity}{}\n", rules.unwrap_or_default()));
        }
    }
    if out.is_empty() { "the rules say the same\n".to_owned() } else { out }
}

/// Which events changed rules hit, with a test for each way in which that differs.
fn hits_text(hits: &[Compared], refused: &[String]) -> String {
    let mut out = String::new();
    for Compared { rule, gains, loses } in hits {
        out.push_str(&format!("rule {rule} {}\n", hits_words(gains, loses)));
    }
    for rule in refused {
        out.push_str(&format!(
            "rule {rule} is not compared: its old words mean nothing among the new items\n"
        ));
    }
    for differ in hits.iter().flat_map(|compared| [&compared.gains, &compared.loses]) {
        if let Differ::Some { test } = differ {
            out.push_str(&format!("\n{test}"));
        }
    }
    out
}

fn hits_words(gains: &Differ, loses: &Differ) -> &'static str {
    match (gains, loses) {
        (Differ::None, Differ::None) => "hits the same events",
        (Differ::Some { .. }, Differ::None) => "is wider: it hits all that it did, and more",
        (Differ::None, Differ::Some { .. }) => {
            "is narrower: it hits nothing new, and no longer all that it did"
        }
        (Differ::Some { .. }, Differ::Some { .. }) => {
            "hits some events that it did not, and no longer some that it did"
        }
        (Differ::Unknown, Differ::None) => "hits all that it did; whether it hits more is unknown",
        (Differ::None, Differ::Unknown) => {
            "hits nothing new; whether it hits all that it did is unknown"
        }
        (Differ::Some { .. }, Differ::Unknown) => {
            "hits some events that it did not; whether it hits all that it did is unknown"
        }
        (Differ::Unknown, Differ::Some { .. }) => {
            "no longer hits some events that it did; whether it hits others is unknown"
        }
        (Differ::Unknown, Differ::Unknown) => "may hit more or less: unknown",
    }
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
    for (rule, (before, after)) in &decided.alerts_by_rule {
        let whose = if rule == "policy" { "bands of the policy" } else { rule };
        out.push_str(&format!("  {whose}  {before} → {after}\n"));
    }
    out
}
