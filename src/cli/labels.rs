//! `riskweir labels import`: what came out about events, from a file into the topics of the schema's label events. It checks
//! every line as the service would, and sends all of them or none.
//!
//! A record is told from another one by its id, and the same file makes the same records, so whoever is not sure that an import
//! came through runs it again.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::backtest::label_records::{Bad, Guards, Read, Reader};
use crate::base::text::counted;
use crate::cli::acts::{self, Done};
use crate::cli::deployment::Deployment;
use crate::cli::run::{exit, show};
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::config::Config;
use crate::decision::command::Act;
use crate::event::schema::Finding;
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::{Feed, RunError, Stop, engine_options};

/// How long the brokers may take for the last records.
const LAST_RECORDS: Duration = Duration::from_secs(30);

/// Bad lines that are told in words; the others are counted.
const MAX_TOLD: usize = 20;

/// Arguments of `riskweir labels`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Check a file of labels line by line, and send it to the topic of its event; one bad line, and nothing is sent.
    Import(Box<Import>),
}

#[derive(Args, Debug)]
struct Import {
    #[command(flatten)]
    settings: Settings,
    /// Labels, CSV with a header or NDJSON, maybe .gz or .zst: a line is one event that says what came out about another one.
    #[arg(long, short, value_name = "FILE")]
    input: PathBuf,
    /// The type of these events, where the schema has several that say what came out.
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Say what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// The file cannot be read, the schema has no such labels, or rules and configuration do not fit.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Task::Import(import) = &arguments.task;
    let settings = &import.settings;
    let loaded =
        if import.dry_run { settings.load_offline(console) } else { settings.load(console) };
    let Some(loaded) = loaded else { return Ok(Exit::Invalid) };
    let deployment = match Deployment::of(loaded.config, console)? {
        Ok(deployment) => deployment,
        Err(exit) => return Ok(exit),
    };
    let Deployment { config, program, privacy, inputs, .. } = deployment;
    let wanted = import.event.as_deref();
    let options = engine_options(&config);
    let guards = Guards {
        limits: options.limits(),
        future_ms: options.future_guard_ms,
        partitioned_by: config.kafka.partitioned_by.as_deref(),
    };
    let reader = Reader::new(&program, (&inputs, wanted), guards).map_err(Failure::invalid)?;
    let now_ms = SystemClock::start().wall_ms();
    let mut read = reader.read(&import.input, now_ms).map_err(Failure::invalid)?;
    read.blank(&privacy.never_store);
    if !read.bad.is_empty() {
        tell(&import.input, &read, None, console);
        return Ok(Exit::Invalid);
    }
    if import.dry_run || read.records.is_empty() {
        tell(&import.input, &read, None, console);
        return Ok(Exit::Ok);
    }
    acts::warn_untold(&config, console);
    if let Err(error) = tell_trail(&config, &read, &import.input) {
        show(&error, *console);
        return Ok(exit(&error));
    }
    let stop = Stop::on_signals(LAST_RECORDS).map_err(Failure::invalid)?;
    match send(&config, &read, &stop) {
        Ok(sent) if sent == read.records.len() as u64 => {
            tell(&import.input, &read, Some(sent), console);
            Ok(Exit::Ok)
        }
        Ok(sent) => Err(Failure::invalid(format!(
            "stopped after {sent} of {}: import the file again, what came through is not counted twice",
            counted(read.records.len() as u64, "label"),
        ))),
        Err(error) => {
            show(&error, *console);
            Ok(exit(&error))
        }
    }
}

/// Tells the audit trail who imports what: the file's name, how many labels, and a digest of the records.
fn tell_trail(config: &Config, read: &Read, input: &Path) -> Result<(), RunError> {
    let (digest, name) = (read.digest().hex(), input.file_name().unwrap_or_default());
    let labels = counted(read.records.len() as u64, "label");
    let about = format!("{labels} of {}", name.to_string_lossy());
    let (act, actor) = (Act::LabelsImported, acts::operator());
    let (about, digest) = (about.as_str(), Some(digest.as_str()));
    acts::tell(config, &Done { act, about, digest, actor: &actor, reason: "labels import" })
}

/// Sends the records; how many the brokers took.
fn send(config: &Config, read: &Read, stop: &Stop) -> Result<u64, RunError> {
    let topics: Vec<&str> = read.by_topic().into_keys().collect();
    let feed = Feed::open(config, &topics, stop)?;
    for record in &read.records {
        if stop.requested() {
            break;
        }
        feed.send(&record.topic, &record.key, &record.body)?;
    }
    feed.finish(LAST_RECORDS)
}

/// Says what the file holds and what became of it.
fn tell(path: &Path, read: &Read, sent: Option<u64>, console: &Console) {
    let shown = path.display();
    if console.format == Format::Json {
        console.data(&format!("{}\n", told(path, read, sent)));
        return;
    }
    for column in read.unread.iter().filter(|_| !console.is_quiet()) {
        console.message(&format!(
            "warning: no field reads column `{column}` of `{shown}`: it is left out"
        ));
    }
    for Bad { line, what, mend, .. } in read.bad.iter().take(MAX_TOLD) {
        console.message(&format!("{shown}:{line}: {what}\n  = help: {mend}"));
    }
    if let Some(more) = read.bad.len().checked_sub(MAX_TOLD).filter(|more| *more > 0) {
        console.message(&format!("{} more", counted(more as u64, "bad line")));
    }
    let labels = counted(read.records.len() as u64, "label");
    let of = |finding: Finding| read.findings.get(&finding).copied().unwrap_or(0);
    let said = Finding::ALL.map(|finding| format!("{} {}", of(finding), finding.as_str()));
    let repeated = if read.repeated == 0 {
        String::new()
    } else {
        format!("; {} left out, said before", counted(read.repeated, "line"))
    };
    let topics: Vec<String> =
        read.by_topic().into_iter().map(|(topic, n)| format!("{n} to `{topic}`")).collect();
    let came = match (read.bad.len(), sent) {
        (0, _) if read.records.is_empty() => "nothing to send".to_owned(),
        (0, Some(_)) => format!("sent: {}", topics.join(", ")),
        (0, None) => format!("would be sent: {}", topics.join(", ")),
        (bad, _) => format!("{}: nothing was sent", counted(bad as u64, "bad line")),
    };
    console.data(&format!("{shown}: {labels}, {}{repeated}\n{came}\n", said.join(", ")));
}

fn told(path: &Path, read: &Read, sent: Option<u64>) -> Value {
    let bad = read.bad.iter().map(|Bad { line, code, what, mend }| {
        json!({ "line": line, "code": code, "message": what, "mend": mend })
    });
    json!({
        "file": path.display().to_string(),
        "labels": read.records.len(),
        "findings": read.by_finding(),
        "repeated": read.repeated,
        "columns_left_out": read.unread,
        "topics": read.by_topic(),
        "sent": sent.unwrap_or(0),
        "bad": bad.collect::<Vec<Value>>(),
    })
}
