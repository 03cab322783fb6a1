//! `riskweir replay`: a decision that was written down, held against what the log gives for its record now.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::base::text::counted;
use crate::base::time::format_rfc3339;
use crate::cli::backtest::time_ms;
use crate::cli::deployment::Deployment;
use crate::cli::rules::compile_folder;
use crate::cli::run::{exit, show};
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::runtime::rederive::bounds::Bounds;
use crate::runtime::rederive::compare::{Difference, choose, differences};
use crate::runtime::rederive::{Derived, NotDerived, RecordAt, Stored, find_decision, rederive};
use crate::runtime::{self, DecidingEngines, engine_options};
use crate::telemetry::log;

/// How long the brokers may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Most members that differ that are told.
const MAX_TOLD: usize = 100;

/// Arguments of `riskweir replay`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Id of the decision, looked for in the topic of decisions.
    #[arg(long, value_name = "ID", required_unless_present = "from")]
    decision: Option<String>,
    /// A file with the decision as it was written down, in place of the topic.
    #[arg(long, value_name = "FILE", conflicts_with = "decision")]
    from: Option<PathBuf>,
    /// Look only among decisions that were written since this time.
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    since: Option<i64>,
    /// A rule folder as it once was, for a rule set that is not kept beside the snapshots any more; may be given several times.
    #[arg(long, value_name = "DIR")]
    past_rules: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the decision is not found, or log, snapshots and rule sets do not reach back to it.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(loaded) = arguments.settings.load(console) else { return Ok(Exit::Invalid) };
    let level = if console.is_verbose() { "debug" } else { "error" };
    let repeat_limit = (loaded.config.log.repeat_limit.count, loaded.config.log.repeat_limit.per);
    let (level, color) = (log::level(level), console.color);
    log::init(&log::Settings { form: Some(log::Form::Text), level, repeat_limit, color })
        .map_err(Failure::invalid)?;
    let Deployment { config, program, privacy, inputs, .. } =
        match Deployment::of(loaded.config, console)? {
            Ok(deployment) => deployment,
            Err(exit) => return Ok(exit),
        };
    if let Err(error) = runtime::check_connection(&config, &inputs, LIMIT) {
        show(&error, *console);
        return Ok(exit(&error));
    }
    let all = match stored(arguments, &config) {
        Ok(all) => all,
        Err(NotRead::Failure(failure)) => return Err(failure),
        Err(NotRead::Run(error)) => {
            show(&error, *console);
            return Ok(exit(&error));
        }
    };
    let (stored, at) = choose(all).map_err(Failure::invalid)?;
    let mut engines = DecidingEngines::new(program, engine_options(&config))
        .keeping(privacy)
        .partitioned_by(config.kafka.partitioned_by.as_deref())
        .commanded_from(config.topics.commands.as_deref());
    for folder in &arguments.past_rules {
        let Some(program) = compile_folder(folder, console)? else { return Ok(Exit::Invalid) };
        let (ruleset, id) = (program.digest.short_hex(), engines.remember(program).join(", "));
        if console.is_verbose() {
            let folder = folder.display();
            console.message(&format!("`{folder}`: `ruleset` {ruleset}, kept as {id}"));
        }
    }
    let derived = match rederive(&config, &inputs, &mut engines, &at, &Bounds::none()) {
        Ok(derived) => derived,
        Err(NotDerived::Run(error)) => {
            show(&error, *console);
            return Ok(exit(&error));
        }
        Err(error) => {
            let offset = at.offset;
            return Err(Failure::invalid(format!(
                "could not derive the decision about record {offset} of `{}`-{}: {error}",
                at.topic, at.partition
            )));
        }
    };
    Ok(tell(&stored, &at, &derived, console))
}

/// Why decisions could not be had.
enum NotRead {
    Failure(Failure),
    Run(runtime::RunError),
}

fn stored(arguments: &Arguments, config: &crate::config::Config) -> Result<Vec<Stored>, NotRead> {
    let Some(file) = &arguments.from else {
        let id = arguments.decision.as_deref().unwrap_or_default();
        let found = find_decision(config, id, arguments.since).map_err(NotRead::Run)?;
        if found.is_empty() {
            let topic = &config.topics.decisions;
            return Err(NotRead::Failure(Failure::invalid(format!(
                "no decision `{id}` in `{topic}`: it may be of another topic, or deleted by the topic's retention, or decisions of that kind are not written (`delivery.decisions`)"
            ))));
        }
        return Ok(found);
    };
    let mut body = std::fs::read(file).map_err(|error| {
        NotRead::Failure(Failure::invalid(format!("could not read `{}`: {error}", file.display())))
    })?;
    while body.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
        body.pop();
    }
    let at = RecordAt { topic: file.display().to_string(), partition: 0, offset: 0 };
    Ok(vec![Stored { at, answers: None, epoch: None, logged_ms: None, body }])
}

/// Says how both compare.
fn tell(stored: &Stored, at: &RecordAt, derived: &Derived, console: &Console) -> Exit {
    let decision = derived.decision();
    let same = decision == Some(&*stored.body);
    let found = decision.map_or_else(Vec::new, |decision| differences(&stored.body, decision));
    match console.format {
        Format::Json => {
            let snapshot = derived.snapshot.map(|(sequence, epoch, taken_ms)| {
                json!({"sequence": sequence, "epoch": epoch, "taken_at": format_rfc3339(taken_ms)})
            });
            let difference = |(path, stored, derived): &Difference| json!({"path": path, "stored": stored, "derived": derived});
            let report = json!({
                "same": same,
                "source": {"topic": at.topic, "partition": at.partition, "offset": at.offset},
                "ruleset": derived.ruleset,
                "snapshot": snapshot,
                "records": derived.n_records,
                "differences": found.iter().map(difference).collect::<Vec<_>>(),
            });
            console.data(&format!("{report}\n"));
        }
        Format::Text => {
            if !console.is_quiet() {
                console.message(&describe(at, derived));
            }
            console.data(&diff_text(stored, decision, &found));
        }
    }
    if same {
        if !console.is_quiet() && console.format == Format::Text {
            console.message(&format!("the same, byte for byte ({} bytes)", stored.body.len()));
        }
        Exit::Ok
    } else {
        Exit::Invalid
    }
}

fn describe(at: &RecordAt, derived: &Derived) -> String {
    let RecordAt { topic, partition, offset } = at;
    let from = derived.from();
    format!(
        "record {offset} of `{topic}`-{partition}, by rule set {}: {} decided again from {from}",
        derived.ruleset,
        counted(derived.n_records, "record"),
    )
}

/// The diff for people; empty when there is none.
fn diff_text(stored: &Stored, decision: Option<&[u8]>, found: &[Difference]) -> String {
    let Some(decision) = decision else {
        return "- the decision\n+ none: the log gives no decision for this record\n".to_owned();
    };
    if stored.body == decision {
        return String::new();
    }
    let mut text = String::new();
    for (path, stored, derived) in found.iter().take(MAX_TOLD) {
        for (sign, value) in [('-', stored), ('+', derived)] {
            if let Some(value) = value {
                _ = writeln!(text, "{sign} {path}: {value}");
            }
        }
    }
    if found.len() > MAX_TOLD {
        _ = writeln!(text, "  and {} more", found.len() - MAX_TOLD);
    }
    if found.is_empty() {
        let same = stored.body.iter().zip(decision).take_while(|(a, b)| a == b).count();
        let (was, is) = (stored.body.len(), decision.len());
        _ = writeln!(text, "- {was} bytes\n+ {is} bytes: they differ from byte {same} on");
    }
    text
}
