//! Whether the input still is the log whose records were decided.
//!
//! A topic that was deleted and made anew has records at the same offsets, and an address that now leads to another
//! cluster may have a topic of the same name. Offsets alone do not tell. So commits and snapshots note the fingerprint of
//! the last record before their offset, and a start looks at that record before it goes on.
//!
//! What retention has deleted, or compaction replaced, cannot be compared; nothing is said of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::runtime::error::{OtherLog, RunError, Stage};
use crate::runtime::log::{Fetched as _, Log, LogError, Partition, Read, Reader as _, Source as _};
use crate::runtime::recovery::{Tools, again_or_end};
use crate::runtime::shard::Known;
use crate::telemetry::happening;

/// How often the time for one call may pass until the records were seen.
const PATIENCE: u32 = 10;

/// What should be the last record before an offset.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(crate) partition: Partition,
    /// The offset after it.
    pub(crate) next: i64,
    /// Its fingerprint.
    pub(crate) record: u64,
}

impl Claim {
    /// What is known of a partition.
    pub(crate) fn of((partition, Known { next, record }): (&Partition, Known)) -> Self {
        Self { partition: partition.clone(), next, record }
    }

    fn refuted(&self, found: OtherLog) -> RunError {
        let (topic, partition) = (self.partition.topic.to_string(), self.partition.number);
        RunError::OtherLog { topic, partition, offset: self.next - 1, found }
    }
}

/// Looks at the records that are claimed, one claim for each partition at most.
///
/// # Errors
/// The log has other records, or ends before them; or it does not answer.
pub(crate) fn mind_log<L: Log, E>(
    claims: Vec<Claim>,
    tools: &Tools<'_, L, E>,
) -> Result<(), RunError> {
    let mut by_topic: BTreeMap<Arc<str>, Vec<Claim>> = BTreeMap::new();
    for claim in claims {
        let (low, high) = bounds(&claim.partition, tools)?;
        if claim.next > high {
            return Err(claim.refuted(OtherLog::Ends { high }));
        }
        if claim.next > low {
            by_topic.entry(Arc::clone(&claim.partition.topic)).or_default().push(claim);
        }
    }
    by_topic.into_values().try_for_each(|claims| look(claims, tools))
}

/// The same for partitions of one topic whose records the broker holds.
fn look<L: Log, E>(mut claims: Vec<Claim>, tools: &Tools<'_, L, E>) -> Result<(), RunError> {
    let start = |claim: &Claim| (claim.partition.clone(), Some(claim.next - 1));
    let reader = tools.log.reader(&claims.iter().map(start).collect::<Vec<_>>())?;
    let timeout = tools.config.call_timeout();
    let deadline = tools.clock.now() + timeout * PATIENCE;
    while let Some(first) = claims.first() {
        tools.health.tick();
        if tools.clock.now() > deadline {
            let Claim { partition, next, .. } = first;
            let place =
                format!("record {} of `{}`-{}", next - 1, partition.topic, partition.number);
            let reason = format!("{place} could not be read");
            return Err(RunError::Fatal { reason, stage: Stage::Receive });
        }
        let number = match reader.poll(timeout)? {
            Read::Nothing => continue,
            Read::Trouble(trouble) => {
                let attempted = "look at the last record that was decided";
                let (code, error) = (trouble.code.as_str(), trouble.error.as_str());
                happening::KafkaTrouble { attempted, code, error }.emit();
                if trouble.offset_gone {
                    // WHY: it was deleted meanwhile, so nothing is left to compare.
                    return Ok(());
                }
                continue;
            }
            Read::End(number) => number,
            Read::Record(record) => {
                let input = record.input();
                let is_it = |claim: &&Claim| {
                    claim.partition.number == input.partition && claim.next == input.offset + 1
                };
                let claim = claims.iter().find(is_it);
                if let Some(claim) = claim.filter(|claim| claim.record != input.fingerprint()) {
                    return Err(claim.refuted(OtherLog::Differs));
                }
                input.partition
            }
        };
        if let Some(at) = claims.iter().position(|claim| claim.partition.number == number) {
            let claim = claims.remove(at);
            reader.pause(&claim.partition)?;
        }
    }
    Ok(())
}

/// The oldest offset of a partition and one past its newest, asked for until the broker answers.
pub(crate) fn bounds<L: Log, E>(
    partition: &Partition,
    tools: &Tools<'_, L, E>,
) -> Result<(i64, i64), RunError> {
    let mut attempts = 0;
    loop {
        tools.health.tick();
        match tools.source.bounds(partition, tools.config.call_timeout()) {
            Ok(bounds) => return Ok(bounds),
            Err(error @ LogError { .. }) => {
                again_or_end(&mut attempts, "ask for the bounds of a partition", error)?;
            }
        }
    }
}
