//! `riskweir overlap`: which rules hit the same events of a history, and what each has alone.

use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::backtest::quality;
use crate::cli::history::History;
use crate::cli::rules::compile_folder;
use crate::cli::{Console, Exit, Failure, Format};

/// Arguments of `riskweir overlap`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    history: History,
}

/// Runs the command.
///
/// # Errors
/// When the rules do not compile, or a file cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Arguments { history } = arguments;
    let Some(program) = compile_folder(&history.rules, console)? else {
        return Ok(Exit::Invalid);
    };
    let found = history.study(&Arc::new(program), history.labels.read()?)?;
    match console.format {
        Format::Json => {
            let whole = quality::json(&found, history.cut_off());
            let rules = found.rules.iter().map(|rule| {
                json!({
                    "rule": rule.rule, "name": rule.name,
                    "hits": rule.hits.all(), "only_this": rule.only_this.all(),
                })
            });
            let rules: Vec<_> = rules.collect();
            let out = json!({ "rules": rules, "overlap": whole["overlap"] });
            console.data(&format!("{out}\n"));
        }
        Format::Text => {
            console.data(&quality::alone_table(&found));
            console.data(&quality::overlap_table(&found));
        }
    }
    Ok(Exit::Ok)
}
