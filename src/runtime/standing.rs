//! Where the group stands in its input, asked from outside of the group.

use crate::config::Config;
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::Kafka;
use crate::runtime::log::{Log as _, LogError, Source as _};
use crate::runtime::rederive::partitions;

/// How far ahead of this machine's clock a stamp may be before it says something.
const AHEAD_MS: i64 = 2_000;

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Records that nobody committed.
    pub lag_records: u64,
    /// Partitions in which nothing is committed.
    pub unread_partitions: usize,
    /// Partitions with a record that is stamped later than now.
    pub stamped_ahead: usize,
}

/// Asks for it.
///
/// # Errors
/// The brokers do not answer, or refuse.
pub fn standing(config: &Config, inputs: &[String]) -> Result<Standing, RunError> {
    let failed = |error: LogError| RunError::Fatal { reason: error.text, stage: Stage::Receive };
    let (source, timeout) = (Kafka::new(config).source(&[])?, config.call_timeout());
    let mut all = Vec::new();
    for topic in inputs {
        all.extend(partitions(&source, topic, timeout)?);
    }
    let committed = source.committed(&all, timeout).map_err(failed)?;
    let ahead_ms = SystemClock::start().wall_ms().saturating_add(AHEAD_MS);
    let ahead = source.offsets_at(&all, ahead_ms, timeout).map_err(failed)?;
    let mut standing =
        Standing { stamped_ahead: ahead.iter().flatten().count(), ..Standing::default() };
    for (partition, position) in all.iter().zip(committed) {
        let (low, high) = source.bounds(partition, timeout).map_err(failed)?;
        standing.unread_partitions += usize::from(position.is_none());
        let next = position.map_or(low, |position| position.offset.max(low));
        standing.lag_records += u64::try_from(high.saturating_sub(next)).unwrap_or(0);
    }
    Ok(standing)
}
