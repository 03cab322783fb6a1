//! `riskweir backtest`: files of events through the rules, and what each rule did.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressStyle};

use crate::backtest::input::open;
use crate::backtest::output::{FileSink, file_name};
use crate::backtest::run::{Job, run as run_job};
use crate::backtest::summary::Summary;
use crate::cli::rules::compile_folder;
use crate::cli::{Console, Exit, Failure, Format};
use crate::config::units;
use crate::engine::{DecisionsWanted, Engine, EngineOptions, OutputTopic};
use crate::rules::program::Program;

/// Arguments of `riskweir backtest`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Input files, read in this order as one history: .ndjson, .jsonl, .json or .csv, plain, .gz or .zst.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Folder for decisions.ndjson, alerts.ndjson, holds.ndjson, audit.ndjson, dead_letter.ndjson and summary.json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Read every record as one of this topic of the schema (default: any event type whose discriminator fits).
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// Threads; one decides, the others decode ahead. The output does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Which decisions to write.
    #[arg(long, value_enum, default_value = "all")]
    decisions: Decisions,
    /// An event this late still updates state and may stop money.
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    allowed_lateness: Option<i64>,
    /// How long event ids are remembered to recognise duplicates.
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    dedupe_window: Option<i64>,
    /// Byte budget for all state, such as 2GiB (default: the policy's).
    #[arg(long, value_name = "SIZE", value_parser = size_bytes)]
    state_budget: Option<u64>,
}

/// Which decisions are written.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Decisions {
    /// One per event.
    All,
    /// Those with a hit, an outcome other than `pass`, or a remark.
    Notable,
    /// None.
    None,
}

/// Runs the command.
///
/// # Errors
/// When the rules do not compile, or a file cannot be read or written.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(program) = compile_folder(&arguments.rules, console)? else {
        return Ok(Exit::Invalid);
    };
    check_topic(arguments, &program)?;
    check_inputs(arguments)?;
    let mut engine =
        Engine::new(Arc::new(program), options(arguments)).map_err(Failure::invalid)?;
    let mut sink = FileSink::create(&arguments.out).map_err(Failure::invalid)?;
    let threads = arguments.threads.map_or_else(default_threads, usize::from);
    let job = Job { inputs: arguments.input.clone(), topic: arguments.topic.clone(), threads };
    let progress = progress(console);
    run_job(&mut engine, &job, &mut sink, &mut |records| {
        progress.set_position(records);
        true
    })
    .map_err(Failure::invalid)?;
    progress.finish_and_clear();
    sink.finish().map_err(Failure::invalid)?;
    let summary = Summary::of(&engine);
    let json = summary.json();
    let path = arguments.out.join("summary.json");
    std::fs::write(&path, &json).map_err(|error| {
        Failure::invalid(format!("could not write `{}`: {error}", path.display()))
    })?;
    match console.format {
        Format::Json => console.data(&json),
        Format::Text => console.data(&summary.table()),
    }
    Ok(Exit::Ok)
}

/// A topic that the schema does not know would silently read the records as anything.
fn check_topic(arguments: &Arguments, program: &Program) -> Result<(), Failure> {
    let Some(topic) = &arguments.topic else { return Ok(()) };
    let mut topics: Vec<&str> =
        program.schema.events.iter().filter_map(|event| event.topic.as_deref()).collect();
    topics.sort_unstable();
    topics.dedup();
    if topics.contains(&topic.as_str()) {
        return Ok(());
    }
    let known = if topics.is_empty() {
        "its events have no topics: leave `--topic` out".to_owned()
    } else {
        format!("it has {}", topics.join(", "))
    };
    Err(Failure::invalid(format!("the schema has no topic `{topic}`: {known}")))
}

/// Opens every input before anything is written: a misspelt name must not cost a run, nor an output file an input.
fn check_inputs(arguments: &Arguments) -> Result<(), Failure> {
    for path in &arguments.input {
        open(path).map_err(Failure::invalid)?;
        let Ok(input) = path.canonicalize() else { continue };
        let outputs = OutputTopic::ALL.map(|topic| arguments.out.join(file_name(topic)));
        if outputs.iter().any(|output| output.canonicalize().is_ok_and(|output| output == input)) {
            return Err(Failure::invalid(format!(
                "`{}` is an input and would be overwritten: choose another folder for `--out`",
                path.display()
            )));
        }
    }
    Ok(())
}

fn options(arguments: &Arguments) -> EngineOptions {
    let defaults = EngineOptions::default();
    EngineOptions {
        allowed_lateness_ms: arguments.allowed_lateness.unwrap_or(defaults.allowed_lateness_ms),
        dedupe_window_ms: arguments.dedupe_window.unwrap_or(defaults.dedupe_window_ms),
        state_bytes: arguments.state_budget,
        decisions: match arguments.decisions {
            Decisions::All => DecisionsWanted::All,
            Decisions::Notable => DecisionsWanted::Notable,
            Decisions::None => DecisionsWanted::None,
        },
        ..defaults
    }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

fn progress(console: &Console) -> ProgressBar {
    if console.quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) =
        ProgressStyle::with_template("{spinner} {human_pos} records, {per_sec}, {elapsed}")
    {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

fn duration_ms(text: &str) -> Result<i64, String> {
    let duration = units::duration(text).ok_or("write a duration such as 250ms, 5m or 24h")?;
    i64::try_from(duration.as_millis()).map_err(|_| "the duration is too long".to_owned())
}

fn size_bytes(text: &str) -> Result<u64, String> {
    units::size(text).ok_or_else(|| "write a size such as 64MiB or 2GiB".to_owned())
}
