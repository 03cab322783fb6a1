//! The topics of the audit trail, as whoever verifies its chains reads them.

use std::time::Duration;

use crate::audit::Verifier;
use crate::audit::live::{Trail, read_live};
use crate::audit::outputs::{At, Kind, Written};
use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::rederive::bounds::Bounds;
use crate::runtime::rederive::{Stored, Tail};

/// Reads the topics into a verifier; those of decisions and holds where `has_outputs`.
///
/// # Errors
/// A topic is not there, or cannot be read; a bound is reached.
pub fn read_trail(
    config: &Config,
    limit: Duration,
    (bounds, has_outputs): (&Bounds, bool),
    verifier: &mut Verifier,
) -> Result<(), RunError> {
    let topics = &config.topics;
    let checkpoints = topics.checkpoints.as_deref();
    let outputs = [(Kind::Decision, &*topics.decisions), (Kind::Hold, &*topics.holds)];
    let outputs: Vec<(Kind, &str)> = outputs.into_iter().filter(|_| has_outputs).collect();
    let names: Vec<&str> = checkpoints.into_iter().chain([topics.audit.as_str()]).collect();
    let all: Vec<&str> = names.into_iter().chain(outputs.iter().map(|(_, it)| *it)).collect();
    crate::runtime::check_topics(config, &all, limit)?;
    let audit = Tail::new(&topics.audit);
    let checkpoints = checkpoints.map(Tail::new);
    let tails = outputs.into_iter().map(|(kind, topic)| (kind, Tail::new(topic))).collect();
    let mut topics = Topics { config, bounds, audit, checkpoints, outputs: tails };
    read_live(&mut topics, verifier)?;
    // WHY: last, because what a retention takes meanwhile is gone, too.
    for (kind, tail) in &topics.outputs {
        for partition in tail.trimmed(config)? {
            verifier.output_trimmed(*kind, partition);
        }
    }
    Ok(())
}

/// The topics of a service that may run.
struct Topics<'c> {
    config: &'c Config,
    bounds: &'c Bounds,
    audit: Tail,
    checkpoints: Option<Tail>,
    outputs: Vec<(Kind, Tail)>,
}

impl Trail for Topics<'_> {
    type Error = RunError;

    fn records(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), RunError> {
        self.audit.read_within(self.config, self.bounds, &mut |stored| take(&stored.body))
    }

    fn checkpoints(&mut self, take: &mut dyn FnMut(&[u8])) -> Result<(), RunError> {
        let Some(checkpoints) = &mut self.checkpoints else { return Ok(()) };
        checkpoints.read_within(self.config, self.bounds, &mut |stored| take(&stored.body))
    }

    fn outputs(&mut self, take: &mut dyn FnMut(Written<'_>)) -> Result<(), RunError> {
        for (kind, tail) in &mut self.outputs {
            tail.read_within(self.config, self.bounds, &mut |stored| {
                let Stored { at, answers, body, .. } = stored;
                let answers = answers.map(|it| (it.topic, it.partition, it.offset));
                let at = At { topic: at.topic, partition: at.partition, offset: at.offset };
                take(Written { kind: *kind, at, answers, body: &body });
            })?;
        }
        Ok(())
    }
}
