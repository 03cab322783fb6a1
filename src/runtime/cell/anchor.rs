//! Signed checkpoints of the audit chains: at every record that lengthened one, and otherwise now and then.
//!
//! A checkpoint travels with the outputs of the record after which it speaks, in the same Kafka transaction where there is
//! one. It says what the clock says, so a repeated one differs in its time and its signature; it is no part of what is
//! decided.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::audit::checkpoint::SCHEMA;
use crate::audit::{Checkpoint, SigningKey};
use crate::base::time::format_rfc3339;
use crate::config::Config;
use crate::runtime::clock::Clock;
use crate::runtime::error::RunError;
use crate::runtime::log::Partition;
use crate::runtime::port::{AuditStanding, Output, OutputTopic};

/// See the module.
#[derive(Debug)]
pub(crate) struct Anchors {
    key: SigningKey,
    interval: Duration,
    /// What was signed last of each partition, and when the next is due.
    last: BTreeMap<Partition, (u64, Duration)>,
}

impl Anchors {
    /// As configured; none where checkpoints are not wanted.
    ///
    /// # Errors
    /// The key cannot be read.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>, RunError> {
        let Some(file) =
            config.audit.key_file.as_ref().filter(|_| config.topics.checkpoints.is_some())
        else {
            return Ok(None);
        };
        let refused = |reason: String| RunError::Process {
            reason: format!(
                "could not read the key `{}` of `audit.key_file`: {reason}",
                file.display()
            ),
        };
        let text = std::fs::read_to_string(file).map_err(|error| refused(error.to_string()))?;
        let key = SigningKey::from_pem(&text).map_err(|error| refused(error.to_string()))?;
        Ok(Some(Self { key, interval: config.audit.checkpoint_interval, last: BTreeMap::new() }))
    }

    /// The checkpoint that is due after a record of a partition, if one is; and when it was signed, in ms since 1970.
    pub(crate) fn after(
        &mut self,
        (partition, offset): (&Partition, i64),
        standing: AuditStanding,
        clock: &dyn Clock,
    ) -> Option<(Output, i64)> {
        let now = clock.now();
        let is_due = |(seq, next_at): &(u64, Duration)| *seq != standing.seq || now >= *next_at;
        if !self.last.get(partition).is_none_or(is_due) {
            return None;
        }
        self.last.insert(partition.clone(), (standing.seq, now + self.interval));
        let signed_ms = clock.wall_ms();
        let Partition { topic, number } = partition;
        let checkpoint = Checkpoint {
            schema: SCHEMA.to_owned(),
            topic: topic.to_string(),
            partition: *number,
            offset,
            seq: standing.seq,
            hash: standing.last.hex(),
            decisions: format!("{:016x}", standing.decisions),
            time: format_rfc3339(signed_ms),
            key: self.key.public().id(),
        };
        let (topic, key) = (OutputTopic::Checkpoints, format!("{topic}-{number}").into_bytes());
        Some((Output { topic, key, body: checkpoint.seal(&self.key) }, signed_ms))
    }

    /// Forgets the partitions: who has them next signs for them.
    pub(crate) fn forget(&mut self) {
        self.last.clear();
    }
}
