//! `riskweir validate`: is the configuration good, do the rules compile, and (with `--connect`) do brokers and topics
//! answer?

use std::time::Duration;

use clap::Args;
use serde_json::json;

use crate::base::text::counted;
use crate::cli::deployment::Deployment;
use crate::cli::run::{exit, show};
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::runtime::{self, Unfit};
use crate::telemetry::happening::{InputCompacted, InputStampedByProducers};
use crate::telemetry::http;

/// How long the brokers may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Arguments of `riskweir validate`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Ask the brokers too: are they there, do the topics exist, may we see them?
    #[arg(long)]
    connect: bool,
}

/// Runs the command.
///
/// # Errors
/// When the rule folder cannot be read or names no topic.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(loaded) = arguments.settings.load(console) else { return Ok(Exit::Invalid) };
    let (config, program, inputs, digest) = match Deployment::of(loaded.config, console)? {
        Ok(Deployment { config, program, inputs, digest, .. }) => (config, program, inputs, digest),
        Err(exit) => return Ok(exit),
    };
    if let Some(file) = &config.http.token {
        http::text_of(file).map_err(Failure::invalid)?;
    }
    if let Err(error) = runtime::check_room(&config) {
        show(&error, *console);
        return Ok(exit(&error));
    }
    if arguments.connect
        && let Err(error) = runtime::check_connection(&config, &inputs, LIMIT)
    {
        show(&error, *console);
        return Ok(exit(&error));
    }
    if arguments.connect {
        let unfit = match runtime::unfit(&config, &inputs) {
            Ok(unfit) => unfit,
            Err(error) => {
                show(&error, *console);
                return Ok(exit(&error));
            }
        };
        for (topic, unfit) in unfit {
            console.message(&format!("warning: input topic `{topic}` {}", unfit_is(unfit)));
            if unfit == Unfit::ProducerStamps {
                let topic = InputStampedByProducers { topic: &topic };
                let mend = topic.mend(&config.kafka.brokers.join(","));
                console.message(&format!("  = help: {mend}"));
            }
        }
    }
    let ruleset = program.digest.short_hex();
    match console.format {
        Format::Json => {
            let report = json!({
                "valid": true,
                "config": digest,
                "settings": config.digest.short_hex(),
                "ruleset": ruleset,
                "rules": program.rules.len(),
                "inputs": inputs,
                "connected": arguments.connect,
            });
            console.data(&format!("{report}\n"));
        }
        Format::Text => {
            let reached = if arguments.connect { "; brokers and topics answer" } else { "" };
            console.data(&format!(
                "config {digest} is good; rule set {ruleset} is good: {} on {}{reached}\n",
                counted(program.rules.len() as u64, "rule"),
                inputs.join(", "),
            ));
        }
    }
    Ok(Exit::Ok)
}

fn unfit_is(unfit: Unfit) -> String {
    match unfit {
        Unfit::Compacted => format!("is compacted: {}", InputCompacted::MEANS),
        Unfit::ProducerStamps => format!(
            "takes the producers' clocks for the arrival of records: {}",
            InputStampedByProducers::MEANS
        ),
    }
}
