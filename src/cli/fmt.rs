//! `riskweir fmt`: rule files in the one style.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use crate::cli::rules::show;
use crate::cli::{Console, Exit, Failure, Format};
use crate::diag::{Source, Sources};
use crate::loader::load;
use crate::rules::format::{Refusal, format};
use crate::rules::syntax::MAX_FILE_BYTES;

/// Arguments of `riskweir fmt`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folders or .risk files; `-` reads standard input and writes standard output.
    #[arg(value_name = "PATH", default_value = "rules")]
    paths: Vec<PathBuf>,
    /// Write nothing; name the files that are not in the style, and fail when there are any.
    #[arg(long)]
    check: bool,
}

/// Runs the command.
///
/// # Errors
/// When a file cannot be read or written.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    if arguments.paths.iter().any(|path| path.as_os_str() == "-") {
        return standard_input(arguments, console);
    }
    let mut tally = Tally::default();
    for path in &arguments.paths {
        for (real, source) in files(path)? {
            one_file(&real, &source, arguments.check, console, &mut tally)?;
        }
    }
    if console.format == Format::Text && !console.is_quiet() {
        let Tally { files, changed, refused } = tally;
        let verb = if arguments.check { "not in the style" } else { "formatted" };
        let mut words = format!("{files} files, {changed} {verb}");
        if refused > 0 {
            words.push_str(&format!(", {refused} left alone for their mistakes"));
        }
        console.message(&words);
    }
    let bad = tally.refused > 0 || (arguments.check && tally.changed > 0);
    Ok(if bad { Exit::Invalid } else { Exit::Ok })
}

#[derive(Debug, Default)]
struct Tally {
    files: usize,
    changed: usize,
    refused: usize,
}

/// The rule files of a folder, or one file: where each lies, and its text under the name that the caller knows.
fn files(path: &Path) -> Result<Vec<(PathBuf, Source)>, Failure> {
    let sources = load(path).map_err(Failure::invalid)?;
    let in_folder = path.is_dir();
    let place = |source: Source| {
        let real = if in_folder { path.join(&source.path) } else { path.to_owned() };
        let shown = real.to_string_lossy().into_owned();
        (real, Source { path: shown, ..source })
    };
    let is_rules = |source: &Source| !in_folder || is_rule_file(&source.path);
    Ok(sources.files.into_iter().filter(is_rules).map(place).collect())
}

/// Rule folders also hold lists.
fn is_rule_file(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|kind| kind == "risk")
}

fn one_file(
    real: &Path,
    source: &Source,
    check: bool,
    console: &Console,
    tally: &mut Tally,
) -> Result<(), Failure> {
    tally.files += 1;
    let Some(formatted) = formatted(source, console)? else {
        tally.refused += 1;
        return Ok(());
    };
    let changed = formatted != source.text;
    if changed {
        tally.changed += 1;
        if !check {
            fs::write(real, &formatted).map_err(|error| {
                Failure::invalid(format!("could not write `{}`: {error}", real.display()))
            })?;
        }
    }
    match console.format {
        Format::Json => {
            let line = json!({
                "file": source.path, "changed": changed, "written": changed && !check,
            });
            console.data(&format!("{line}\n"));
        }
        Format::Text if changed => console.data(&format!("{}\n", source.path)),
        Format::Text => {}
    }
    Ok(())
}

/// The text in the style. `None`: it has mistakes, which are shown.
fn formatted(source: &Source, console: &Console) -> Result<Option<String>, Failure> {
    match format(&source.text) {
        Ok(formatted) => Ok(Some(formatted)),
        Err(Refusal::Mistakes(found)) => {
            show(&Sources::of(vec![source.clone()]), &found, console);
            Ok(None)
        }
        Err(Refusal::NotTheSame) => Err(Failure::invalid(format!(
            "formatting `{}` would change what it says; it is left as it is, and this is a mistake in riskweir",
            source.path
        ))),
    }
}

fn standard_input(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    if arguments.paths.len() > 1 {
        return Err(Failure {
            message: "`-` stands alone: it reads standard input".to_owned(),
            exit: Exit::Usage,
        });
    }
    let mut text = String::new();
    let bound = MAX_FILE_BYTES as u64 + 1;
    std::io::stdin()
        .lock()
        .take(bound)
        .read_to_string(&mut text)
        .map_err(|error| Failure::invalid(format!("could not read standard input: {error}")))?;
    let source = Source { path: "<stdin>".to_owned(), text };
    let Some(formatted) = formatted(&source, console)? else { return Ok(Exit::Invalid) };
    if arguments.check {
        let same = formatted == source.text;
        return Ok(if same { Exit::Ok } else { Exit::Invalid });
    }
    console.data(&formatted);
    Ok(Exit::Ok)
}
