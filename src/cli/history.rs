//! What commands share that run rules over a history and look at what was found, without writing records.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use crate::backtest::labels::Labels;
use crate::backtest::run::{Job, run as run_job};
use crate::backtest::study::{CutOff, Findings, Study, Watching};
use crate::cli::Failure;
use crate::cli::backtest::{LabelFlags, check_topic, duration_ms};
use crate::engine::{DecisionsWanted, Engine, EngineOptions, Silence};
use crate::rules::program::Program;

/// The history, and what is known about it.
#[derive(Args, Debug)]
pub(crate) struct History {
    /// Rule folder (or one .risk file).
    #[arg(long, value_name = "DIR", default_value = "rules")]
    pub(crate) rules: PathBuf,
    /// Input files, read in this order as one history, as for `backtest`.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    pub(crate) input: Vec<PathBuf>,
    /// Read every record as one of this topic of the schema (default: any event type whose discriminator fits).
    #[arg(long, value_name = "NAME")]
    topic: Option<String>,
    /// An event this late still updates state and may stop money.
    #[arg(long, value_name = "DURATION", value_parser = duration_ms)]
    allowed_lateness: Option<i64>,
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
        check_topic(self.topic.as_deref(), program)?;
        let defaults = EngineOptions::default();
        let options = EngineOptions {
            allowed_lateness_ms: self.allowed_lateness.unwrap_or(defaults.allowed_lateness_ms),
            decisions: DecisionsWanted::None,
            ..defaults
        };
        let mut engine = Engine::new(Arc::clone(program), options).map_err(Failure::invalid)?;
        let mut study = Study::new(program, labels, self.cut_off());
        let mut watching = Watching { sink: &mut Silence, study: &mut study };
        let job = Job { inputs: self.input.clone(), topic: self.topic.clone(), threads: 2 };
        run_job(&mut engine, &job, &mut watching, &mut |_| true).map_err(Failure::invalid)?;
        Ok(study.finish())
    }
}
