//! What `run` starts with and where `validate` ends: a configuration, rules and topics that fit each other.
//!
//! INVARIANT: everything that can be refused without asking the brokers is refused here, so `validate` accepts nothing that
//! `run` would not start with on the same machine. Outside of that are what only the moment tells: brokers and topics
//! (`validate --connect`), whether the audit trail knows the rule set (`rules.approval`), another process at `http.listen`, another writer of the snapshots.

use std::sync::Arc;

use crate::base::Privacy;
use crate::cli::rules::compile_folder;
use crate::cli::run::{exit, show};
use crate::cli::{Console, Exit, Failure};
use crate::config::{self, Config};
use crate::diag::suggest;
use crate::rules::program::Program;
use crate::runtime::{self, engine_options};

/// A service that could start.
pub(crate) struct Deployment {
    /// The configuration.
    pub(crate) config: Config,
    /// The rules, with the key of their tokens and what they never store.
    pub(crate) program: Arc<Program>,
    /// The keys of tokens, and what is never stored.
    pub(crate) privacy: Privacy,
    /// The topics to read: those of events, and that of commands.
    pub(crate) inputs: Vec<String>,
    /// What decisions call `config`: the digest of the settings that they depend on.
    pub(crate) digest: String,
}

impl Deployment {
    /// Compiles the rules and holds them and the configuration to each other and to this machine. Shows what is wrong with
    /// rules, client and snapshots; the exit code then.
    ///
    /// # Errors
    /// When the rule folder cannot be read, or rules and configuration do not fit.
    pub(crate) fn of(config: Config, console: &Console) -> Result<Result<Self, Exit>, Failure> {
        let Some(program) = compile_folder(&config.rules.path, console)? else {
            return Ok(Err(Exit::Invalid));
        };
        let privacy = runtime::privacy(&config).map_err(Failure::invalid)?;
        let program = runtime::kept_private(program.into(), &privacy).map_err(Failure::invalid)?;
        let mut inputs = input_topics(&config, &program)?;
        inputs.extend(config.topics.commands.clone());
        check_spread(&config, &program)?;
        if let Err(error) = runtime::check_offline(&config) {
            show(&error, *console);
            return Ok(Err(exit(&error)));
        }
        let digest = engine_options(&config).digest().short_hex();
        Ok(Ok(Self { config, program, privacy, inputs, digest }))
    }
}

/// The topics to read: those of the configuration, or all that the schema names.
fn input_topics(config: &Config, program: &Program) -> Result<Vec<String>, Failure> {
    let mut topics: Vec<String> = match &config.topics.inputs {
        Some(topics) => topics.clone(),
        None => program.schema.topics(),
    };
    topics.sort();
    topics.dedup();
    if topics.is_empty() {
        let folder = config.rules.path.display();
        return Err(Failure::invalid(format!(
            "no event of `{folder}` names a topic: give the events a `topic`, or set `topics.inputs`"
        )));
    }
    if let Some(topic) = topics.iter().find(|topic| !config::is_topic(topic)) {
        return Err(Failure::invalid(format!(
            "the schema names the topic `{topic}`, which Kafka cannot have: a name is 1 to 249 letters, digits, `.`, `_` or `-`"
        )));
    }
    match config.topics.circle(&topics).or_else(|| config.topics.both(&topics)) {
        Some(reason) => Err(Failure::invalid(reason)),
        None => Ok(topics),
    }
}

/// A misspelt entity would cut windows along partitions without a word.
fn check_spread(config: &Config, program: &Program) -> Result<(), Failure> {
    let Some(entity) = &config.kafka.partitioned_by else { return Ok(()) };
    let known = &program.schema.entities;
    if known.contains(entity) {
        return Ok(());
    }
    let near = suggest::nearest(entity, known.iter().map(String::as_str));
    let help = near.map_or_else(
        || format!("the rules know {}", known.join(", ")),
        |near| format!("did you mean `{near}`?"),
    );
    Err(Failure::invalid(format!(
        "`kafka.partitioned_by` names `{entity}`, which is no entity of the rules: {help}"
    )))
}
