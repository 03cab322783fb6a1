//! The topics of the audit trail, as whoever verifies its chains reads them.

use std::time::Duration;

use crate::audit::Verifier;
use crate::audit::live::{Trail, read_live};
use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::rederive::Tail;
use crate::runtime::rederive::bounds::Bounds;

/// Reads both topics into a verifier.
///
/// # Errors
/// A topic is not there, or cannot be read; a bound is reached.
pub fn read_trail(
    config: &Config,
    limit: Duration,
    bounds: &Bounds,
    verifier: &mut Verifier,
) -> Result<(), RunError> {
    let checkpoints = config.topics.checkpoints.as_deref();
    let names: Vec<&str> = checkpoints.into_iter().chain([config.topics.audit.as_str()]).collect();
    crate::runtime::check_topics(config, &names, limit)?;
    let audit = Tail::new(&config.topics.audit);
    let checkpoints = checkpoints.map(Tail::new);
    read_live(&mut Topics { config, bounds, audit, checkpoints }, verifier)
}

/// The topics of a service that may run.
struct Topics<'c> {
    config: &'c Config,
    bounds: &'c Bounds,
    audit: Tail,
    checkpoints: Option<Tail>,
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
}
