//! `riskweir backtest`: files of events through the rules, and what each rule did.

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use indicatif::{HumanFloatCount, ProgressBar, ProgressState, ProgressStyle};

use crate::backtest::input::{open, source_name};
use crate::backtest::labels::{Columns, Labels};
use crate::backtest::output::{FileSink, file_name};
use crate::backtest::run::run as run_job;
use crate::backtest::study::{CutOff, Findings, Study, Watching};
use crate::backtest::summary::Summary;
use crate::backtest::{quality, report};
use crate::base::time::parse_rfc3339;
use crate::cli::history::{Reading, TokenFlag, check_decided, check_output};
use crate::cli::rules::compile_folder;
use crate::cli::{Console, Exit, Failure, Format};
use crate::config::units;
use crate::engine::{DecisionsWanted, Engine, EngineOptions, OutputTopic};
use crate::rules::program::Program;

/// Name of the file that says what came out.
const SUMMARY: &str = "summary.json";

/// Arguments of `riskweir backtest`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Input files, read in this order as one history: .ndjson, .jsonl, .json or .csv, plain, .gz or .zst.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Folder for decisions.ndjson, alerts.ndjson, episodes.ndjson, holds.ndjson, audit.ndjson, `dead_letter.ndjson` and summary.json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Threads; one decides, the others decode ahead. The output does not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    threads: Option<u16>,
    /// Which decisions to write.
    #[arg(long, value_enum, default_value = "all")]
    decisions: Decisions,
    /// How long event ids are remembered to recognise duplicates.
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    dedupe_window: Option<i64>,
    /// Byte budget for all state, such as 2GiB (default: the policy's).
    #[arg(long, value_name = "SIZE", value_parser = size_bytes)]
    state_budget: Option<u64>,
    #[command(flatten)]
    labels: LabelFlags,
    #[command(flatten)]
    token_key: TokenFlag,
    /// Also write a report as one HTML file that opens anywhere.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A file of labels, and how its columns are called.
#[derive(Args, Debug)]
pub(crate) struct LabelFile {
    /// Labels, CSV or NDJSON: event id, verdict (fraud or genuine), and maybe when it was reported.
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    /// Column of the event id.
    #[arg(long, value_name = "COLUMN", requires = "labels", default_value = "event_id")]
    label_id: String,
    /// Column of the verdict.
    #[arg(long, value_name = "COLUMN", requires = "labels", default_value = "verdict")]
    label_verdict: String,
    /// Column of the time at which it was reported (default: `reported_at`, where there is one).
    #[arg(long, value_name = "COLUMN", requires = "labels")]
    label_reported: Option<String>,
    /// Column of the event's type (default: `event_type`, where there is one).
    #[arg(long, value_name = "COLUMN", requires = "labels")]
    label_type: Option<String>,
}

impl LabelFile {
    /// Reads the labels, and the kind of fraud from a column, where one is named.
    pub(crate) fn read(&self, kind: Option<&str>) -> Result<Option<Labels>, Failure> {
        let columns = Columns {
            id: self.label_id.clone(),
            verdict: self.label_verdict.clone(),
            reported: self.label_reported.clone(),
            event_type: self.label_type.clone(),
            kind: kind.map(str::to_owned),
        };
        let labels = self.labels.as_ref().map(|path| Labels::read(path, &columns));
        labels.transpose().map_err(Failure::invalid)
    }
}

/// What is known about the events from elsewhere.
#[derive(Args, Debug)]
pub(crate) struct LabelFlags {
    #[command(flatten)]
    from: LabelFile,
    /// Labels reported after this time are not known yet.
    #[arg(long, value_name = "TIME", requires = "labels", value_parser = time_ms)]
    labels_until: Option<i64>,
    /// An event without a label is genuine when it is this much older than `--labels-until`; younger ones do not count.
    #[arg(long, value_name = "DURATION", requires = "labels_until", value_parser = duration_ms)]
    labels_mature: Option<i64>,
}

impl LabelFlags {
    /// Whether there are labels.
    pub(crate) fn is_given(&self) -> bool {
        self.from.labels.is_some()
    }

    /// Their file.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.from.labels.as_deref()
    }

    /// What is known at which time.
    pub(crate) fn cut_off(&self) -> CutOff {
        let all = CutOff::default();
        CutOff {
            until_ms: self.labels_until.unwrap_or(all.until_ms),
            mature_after_ms: self.labels_mature.unwrap_or(all.mature_after_ms),
        }
    }

    /// Reads the labels.
    pub(crate) fn read(&self) -> Result<Option<Labels>, Failure> {
        self.from.read(None)
    }

    /// A study of a run under these labels.
    pub(crate) fn study(&self, program: &Program) -> Result<Study, Failure> {
        Ok(Study::new(program, self.read()?, self.cut_off()))
    }
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
    arguments.reading.check_topic(&program)?;
    check_inputs(arguments)?;
    let program = arguments.token_key.keyed(program, console)?;
    let mut engine =
        Engine::new(Arc::new(program), options(arguments)).map_err(Failure::invalid)?;
    let mut study = arguments.labels.study(engine.program())?;
    let mut sink = FileSink::create(&arguments.out).map_err(Failure::invalid)?;
    forget_summary(&arguments.out)?;
    let threads = arguments.threads.map_or_else(default_threads, usize::from);
    let job = arguments.reading.job(&arguments.input, threads);
    let progress = progress(console);
    let mut watch = |records| {
        progress.set_position(records);
        true
    };
    let ran = if arguments.labels.is_given() || arguments.report.is_some() {
        let mut watching = Watching { sink: &mut sink, study: &mut study };
        run_job(&mut engine, &job, &mut watching, &mut watch)
    } else {
        run_job(&mut engine, &job, &mut sink, &mut watch)
    }
    .map_err(Failure::invalid)?;
    progress.finish_and_clear();
    sink.finish().map_err(Failure::invalid)?;
    let found = study.finish().map_err(Failure::invalid)?;
    conclude(arguments, &Summary::of(&engine, &ran), &found, console)?;
    check_decided(&ran, &engine, arguments.reading.topic())?;
    Ok(Exit::Ok)
}

/// A summary says that the files beside it are whole, so that of a run before must not outlive them.
fn forget_summary(folder: &Path) -> Result<(), Failure> {
    let path = folder.join(SUMMARY);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let text = format!("could not remove `{}` of an earlier run: {error}", path.display());
            Err(Failure::invalid(text))
        }
        _ => Ok(()),
    }
}

/// Writes the summary and the report, and says what came out.
fn conclude(
    arguments: &Arguments,
    summary: &Summary,
    found: &Findings,
    console: &Console,
) -> Result<(), Failure> {
    let quality = found.has_labels().then(|| quality::json(found, arguments.labels.cut_off()));
    let json = summary.json_with(quality);
    write(&arguments.out.join(SUMMARY), &json)?;
    if let Some(path) = &arguments.report {
        let inputs: Vec<String> = arguments.input.iter().map(|path| source_name(path)).collect();
        write(path, &report::html(summary, found, &inputs))?;
    }
    match console.format {
        Format::Json => console.data(&json),
        Format::Text => {
            console.data(&summary.table());
            if found.has_labels() {
                console.data(&format!("\nagainst the labels\n{}", quality::table(found)));
            }
        }
    }
    Ok(())
}

/// Writes a file beside the records.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::invalid(format!("could not write `{}`: {error}", path.display())))
}

/// Opens every input before anything is written: a misspelt name must not cost a run, nor an output file an input.
fn check_inputs(arguments: &Arguments) -> Result<(), Failure> {
    for path in &arguments.input {
        open(path).map_err(Failure::invalid)?;
    }
    let inputs = arguments.input.iter().map(PathBuf::as_path);
    let read: Vec<&Path> = inputs.chain(arguments.labels.file()).collect();
    for topic in OutputTopic::ALL {
        check_output("--out", &arguments.out.join(file_name(topic)), &read)?;
    }
    check_output("--out", &arguments.out.join(SUMMARY), &read)?;
    arguments.report.as_deref().map_or(Ok(()), |report| check_output("--report", report, &read))
}

fn options(arguments: &Arguments) -> EngineOptions {
    let options = arguments.reading.options(match arguments.decisions {
        Decisions::All => DecisionsWanted::All,
        Decisions::Notable => DecisionsWanted::Notable,
        Decisions::None => DecisionsWanted::None,
    });
    EngineOptions {
        dedupe_window_ms: arguments.dedupe_window.unwrap_or(options.dedupe_window_ms),
        state_bytes: arguments.state_budget,
        ..options
    }
}

fn default_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4))
}

/// Records per second as people read them: `190,673/s`.
fn rate(per_second: f64) -> String {
    format!("{:.0}/s", HumanFloatCount(per_second))
}

fn progress(console: &Console) -> ProgressBar {
    if console.is_quiet() || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    let template = "{spinner} {human_pos} records, {rate}, {elapsed}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        let write = |state: &ProgressState, out: &mut dyn core::fmt::Write| {
            // A bar that cannot be drawn is no reason to stop.
            out.write_str(&rate(state.per_sec())).unwrap_or_default();
        };
        bar.set_style(style.with_key("rate", write));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

pub(crate) fn time_ms(text: &str) -> Result<i64, String> {
    parse_rfc3339(text.as_bytes())
        .ok_or_else(|| "write a time such as 2026-01-31T00:00:00Z".to_owned())
}

/// A time, or the midnight in UTC at which a day begins.
pub(crate) fn day_or_time_ms(text: &str) -> Result<i64, String> {
    let midnight = || parse_rfc3339(format!("{text}T00:00:00Z").as_bytes());
    parse_rfc3339(text.as_bytes()).or_else(midnight).ok_or_else(|| {
        "write a day such as 2026-01-31, or a time such as 2026-01-31T00:00:00Z".to_owned()
    })
}

pub(crate) fn duration_ms(text: &str) -> Result<i64, String> {
    let duration = units::duration(text).ok_or("write a duration such as 250ms, 5m or 24h")?;
    i64::try_from(duration.as_millis()).map_err(|_| "the duration is too long".to_owned())
}

fn size_bytes(text: &str) -> Result<u64, String> {
    units::size(text).ok_or_else(|| "write a size such as 64MiB or 2GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_whole_number() {
        assert_eq!(rate(190_672.582_5), "190,673/s");
        assert_eq!(rate(0.4), "0/s");
    }
}
