//! What commands share that read a rule folder: load, compile, show the diagnostics.

use std::path::Path;

use crate::cli::{Console, Failure, Format};
use crate::diag::render::{self, Style};
use crate::diag::{Diagnostic, Severity, Sources};
use crate::loader::load;
use crate::rules::program::Program;
use crate::rules::{compile, compile_untrained};

/// Compiles a rule folder. Shows errors, and nothing else; `None` when there are any.
///
/// # Errors
/// When the folder cannot be read.
pub fn compile_folder(path: &Path, console: &Console) -> Result<Option<Program>, Failure> {
    let sources = load(path).map_err(Failure::invalid)?;
    Ok(compile_sources(&sources, console))
}

/// Compiles a rule folder whose learned models may lack their files: they say nothing.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn compile_folder_untrained(
    path: &Path,
    console: &Console,
) -> Result<Option<Program>, Failure> {
    let sources = load(path).map_err(Failure::invalid)?;
    Ok(shown(&sources, compile_untrained(&sources), console))
}

/// Compiles rules that were read. Shows errors, and nothing else; `None` when there are any.
pub(crate) fn compile_sources(sources: &Sources, console: &Console) -> Option<Program> {
    shown(sources, compile(sources), console)
}

fn shown(
    sources: &Sources,
    (program, mut diagnostics): (Option<Program>, Vec<Diagnostic>),
    console: &Console,
) -> Option<Program> {
    diagnostics.retain(|diagnostic| diagnostic.severity() == Severity::Error);
    if !diagnostics.is_empty() {
        console.message(&render_text(sources, &diagnostics, console));
        console.message(&render::summary(&diagnostics));
    }
    program
}

/// Shows diagnostics: text as messages, JSON as data.
pub fn show(sources: &Sources, diagnostics: &[Diagnostic], console: &Console) {
    match console.format {
        Format::Json => console.data(&render::json_lines(sources, diagnostics)),
        Format::Text => console.message(&render_text(sources, diagnostics, console)),
    }
}

/// Diagnostics for people.
pub(crate) fn render_text(
    sources: &Sources,
    diagnostics: &[Diagnostic],
    console: &Console,
) -> String {
    let style = if console.color { Style::Color } else { Style::Plain };
    render::text(sources, diagnostics, style)
}
