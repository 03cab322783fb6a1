//! `riskweir lsp`: what an editor asks while somebody writes rules.

use std::io;
use std::path::PathBuf;

use clap::Args;

use crate::cli::{Exit, Failure};
use crate::lsp::{Ended, serve};

/// Arguments of `riskweir lsp`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder; without it that of each text is found by its place.
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Speak over standard input and output, as editors like to say; it always does.
    #[arg(long)]
    stdio: bool,
}

/// Runs the command.
///
/// # Errors
/// When standard output fails.
pub fn run(arguments: &Arguments) -> Result<Exit, Failure> {
    let ended = serve(io::stdin(), io::stdout().lock(), arguments.path.clone());
    match ended {
        Ok(Ended::Orderly) => Ok(Exit::Ok),
        Ok(Ended::Abrupt) => Ok(Exit::Invalid),
        Err(error) => Err(Failure::invalid(format!("could not answer the editor: {error}"))),
    }
}
