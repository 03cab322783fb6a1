//! `riskweir docs`: a page for each rule, for people who answer for rules and do not write them.

mod page;
mod words;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::rules::show;
use crate::cli::{Console, Exit, Failure, Format};
use crate::diag::Severity;
use crate::loader::load;
use crate::rules::{Trees, study};

/// Arguments of `riskweir docs`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(value_name = "PATH", default_value = "rules")]
    path: PathBuf,
    /// Folder into which the pages are written; pages of rules that are gone stay.
    #[arg(long, value_name = "DIR", default_value = "out/docs")]
    out: PathBuf,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read or a page cannot be written.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let sources = load(&arguments.path).map_err(Failure::invalid)?;
    let study = study(&sources, &mut Trees::default());
    if !study.compiles {
        let mut found = study.diagnostics;
        found.retain(|found| found.severity() == Severity::Error);
        show(&sources, &found, console);
        return Ok(Exit::Invalid);
    }
    fs::create_dir_all(&arguments.out).map_err(|error| failed(&arguments.out, &error))?;
    let pages = page::all(&study, &sources);
    for (name, text) in &pages {
        let path = arguments.out.join(name);
        fs::write(&path, text).map_err(|error| failed(&path, &error))?;
    }
    let n_rules = pages.len() - 1;
    match console.format {
        Format::Json => {
            let names: Vec<&String> = pages.iter().map(|(name, _)| name).collect();
            console.data(&format!("{}\n", json!({ "out": arguments.out, "pages": names })));
        }
        Format::Text => {
            console
                .data(&format!("{n_rules} rules: {}\n", arguments.out.join("README.md").display()));
        }
    }
    Ok(Exit::Ok)
}

fn failed(path: &Path, error: &std::io::Error) -> Failure {
    Failure::invalid(format!("could not write `{}`: {error}", path.display()))
}
