//! What commands share that run rules over a history: how it is read, and looking at what was found without writing
//! records.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::backtest::labels::Labels;
use crate::backtest::run::{FileRan, Job, Ran, run as run_job};
use crate::backtest::study::{CutOff, Findings, Study, Watching};
use crate::base::text::counted;
use crate::cli::backtest::{LabelFlags, duration_ms, time_ms};
use crate::cli::{Console, Failure};
use crate::engine::{DecisionsWanted, Engine, EngineOptions, Silence, Sink};
use crate::rules::program::Program;
use crate::runtime::token_key;

/// How a history is read.
#[derive(Args, Debug)]
pub(crate) struct Reading {
    /// Read every record as one of this topic of the schema (default: any event type whose discriminator fits).
    #[arg(long, value_name = "NAME", requires = "input")]
    topic: Option<String>,
    /// An event this late still updates state and may stop money.
    #[arg(long, value_name = "DURATION", requires = "input", value_parser = duration_ms)]
    allowed_lateness: Option<i64>,
    /// Take every record as arrived at this time (or `now`): an event more than 5 minutes later is from the future, so it
    /// is decided, not remembered, and moves no clock. Without it every event time is believed.
    #[arg(long, value_name = "TIME", requires = "input", value_parser = arrived_ms)]
    arrived: Option<i64>,
}

impl Reading {
    /// What to read.
    pub(crate) fn job(&self, inputs: &[PathBuf], threads: usize) -> Job {
        let (inputs, topic) = (inputs.to_vec(), self.topic.clone());
        Job { inputs, topic, threads, arrived_ms: self.arrived }
    }

    /// The topic that the files are of, where that was said.
    pub(crate) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// How to decide on it.
    pub(crate) fn options(&self, decisions: DecisionsWanted) -> EngineOptions {
        let defaults = EngineOptions::default();
        EngineOptions {
            allowed_lateness_ms: self.allowed_lateness.unwrap_or(defaults.allowed_lateness_ms),
            decisions,
            ..defaults
        }
    }

    /// A topic that the schema does not know would silently read the records as anything.
    pub(crate) fn check_topic(&self, program: &Program) -> Result<(), Failure> {
        let Some(topic) = self.topic.as_deref() else { return Ok(()) };
        let topics = topics(program);
        if topics.contains(&topic) {
            return Ok(());
        }
        let known = if topics.is_empty() {
            "its events have no topics: leave `--topic` out".to_owned()
        } else {
            format!("it has {}", topics.join(", "))
        };
        Err(Failure::invalid(format!("the schema has no topic `{topic}`: {known}")))
    }

    /// Runs a rule set over a history without writing decisions, and refuses a file that is none.
    pub(crate) fn run(
        &self,
        inputs: &[PathBuf],
        program: &Arc<Program>,
        sink: &mut impl Sink,
    ) -> Result<(), Failure> {
        self.check_topic(program)?;
        let options = self.options(DecisionsWanted::None);
        let mut engine = Engine::new(Arc::clone(program), options).map_err(Failure::invalid)?;
        let job = self.job(inputs, 2);
        let ran = run_job(&mut engine, &job, sink, &mut |_| true).map_err(Failure::invalid)?;
        check_decided(&ran, &engine, self.topic.as_deref())
    }
}

/// The key by which the service makes tokens.
#[derive(Args, Debug)]
pub(crate) struct TokenFlag {
    /// File with the secret of `tokens.key_file`, so that `tokenized` fields have the tokens that the running service has. Without
    /// it tokens are made by a key that everybody knows: windows and lists work, and no token is one of the service's.
    #[arg(long = "token-key", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl TokenFlag {
    /// A rule set with that key, and a word to whoever lacks it.
    ///
    /// # Errors
    /// The file cannot be read, or holds too little; or the rules have no use for it.
    pub(crate) fn keyed(&self, program: Program, console: &Console) -> Result<Program, Failure> {
        match (&self.file, program.schema.tokenized_field()) {
            (Some(file), Some(_)) => {
                let key = token_key(file).map_err(Failure::invalid)?;
                Ok(program.keyed(&key))
            }
            (Some(_), None) => {
                let message = "no field of these rules is `tokenized`: leave `--token-key` out";
                Err(Failure::invalid(message.to_owned()))
            }
            (None, Some(field)) => {
                let message = format!(
                    "note: `{field}` is tokenized by a key that everybody knows; `--token-key FILE` makes the tokens of the service"
                );
                console.message(&message);
                Ok(program)
            }
            (None, None) => Ok(program),
        }
    }
}

/// The topics of a schema, sorted.
fn topics(program: &Program) -> Vec<&str> {
    let topics = program.schema.events.iter().filter_map(|event| event.topic.as_deref());
    topics.collect::<BTreeSet<&str>>().into_iter().collect()
}

/// A file of which no record could be decided is the wrong file, or the rules are those of another.
///
/// # Errors
/// For the first such file; why its records could not be decided.
pub(crate) fn check_decided(
    ran: &Ran,
    engine: &Engine,
    topic: Option<&str>,
) -> Result<(), Failure> {
    let is_refused = |file: &&FileRan| file.decided == 0 && file.dead_lettered > 0;
    let Some(file) = ran.files.iter().find(is_refused) else { return Ok(()) };
    let mut reasons: Vec<(&&str, &u64)> = engine.counters().dead_letters.iter().collect();
    reasons.sort_by_key(|(_, count)| core::cmp::Reverse(**count));
    let reasons: Vec<String> =
        reasons.iter().take(3).map(|(reason, count)| format!("{count} {reason}")).collect();
    let topics = topics(engine.program());
    let question = if topics.len() > 1 && topic.is_none() {
        format!("say by `--topic` of which topic it is; the schema has {}.", topics.join(", "))
    } else {
        "is it the right file for these rules, and does its schema name the fields as the file does?"
            .to_owned()
    };
    Err(Failure::invalid(format!(
        "none of the {} of `{}` could be decided (dead letters: {}): {question} `backtest` writes each record with its field and reason to dead_letter.ndjson",
        counted(file.dead_lettered, "record"),
        file.path.display(),
        reasons.join(", ")
    )))
}

/// An output must not be one of the files that are read.
///
/// # Errors
/// When it is.
pub(crate) fn check_output(flag: &str, output: &Path, read: &[&Path]) -> Result<(), Failure> {
    let is_same = |input: &&&Path| {
        let same = |input: PathBuf| output.canonicalize().is_ok_and(|output| output == input);
        input.canonicalize().is_ok_and(same)
    };
    read.iter().find(is_same).map_or(Ok(()), |input| {
        Err(Failure::invalid(format!(
            "`{}` is an input and would be overwritten: choose another path for `{flag}`",
            input.display()
        )))
    })
}

/// The same for all outputs of a command; and none of them must be written twice.
///
/// # Errors
/// When one is read, or is another output too.
pub(crate) fn check_outputs(outputs: &[(&str, PathBuf)], read: &[&Path]) -> Result<(), Failure> {
    for (at, (flag, path)) in outputs.iter().enumerate() {
        check_output(flag, path, read)?;
        if outputs.iter().take(at).any(|(_, other)| other == path) {
            return Err(Failure::invalid(format!(
                "`{}` would be written twice: choose another path for `{flag}`; a model ends in `.rwm`",
                path.display()
            )));
        }
    }
    Ok(())
}

fn arrived_ms(text: &str) -> Result<i64, String> {
    if text == "now" {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        return Ok(i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    }
    time_ms(text)
}

/// The history, and what is known about it.
#[derive(Args, Debug)]
pub(crate) struct History {
    /// Rule folder (or one .risk file).
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub(crate) rules: PathBuf,
    /// Input files, read in this order as one history, as for `backtest`.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) input: Vec<PathBuf>,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    pub(crate) labels: LabelFlags,
}

impl History {
    /// What is known at which time.
    pub(crate) fn cut_off(&self) -> CutOff {
        self.labels.cut_off()
    }

    /// Runs a rule set over the history.
    pub(crate) fn study(
        &self,
        program: &Arc<Program>,
        labels: Option<Labels>,
    ) -> Result<Findings, Failure> {
        let mut study = Study::new(program, labels, self.cut_off());
        let mut watching = Watching { sink: &mut Silence, study: &mut study };
        self.reading.run(&self.input, program, &mut watching)?;
        study.finish().map_err(Failure::invalid)
    }

    /// Files that are read; an output must be none of them.
    pub(crate) fn files(&self) -> Vec<&Path> {
        self.input.iter().map(PathBuf::as_path).chain(self.labels.file()).collect()
    }
}
