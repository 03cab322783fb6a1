//! What the two deliveries have in common, as the cell sees them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::runtime::error::RunError;
use crate::runtime::kafka::Partition;
use crate::runtime::kafka::consumer::Source;
use crate::runtime::kafka::trace::TraceParent;
use crate::runtime::port::Output;
use crate::runtime::stop::Stop;
use crate::telemetry::books::{Books, Outcome};
use crate::telemetry::health::Health;

/// A record that the engine has handled.
#[derive(Clone, Debug)]
pub(crate) struct Handled {
    /// Where it came from.
    pub(crate) partition: Partition,
    /// Its offset.
    pub(crate) offset: i64,
    /// The broker's timestamp.
    pub(crate) arrival_ms: Option<i64>,
    /// The trace that it belongs to.
    pub(crate) trace: Option<TraceParent>,
    /// What became of it.
    pub(crate) outcome: Outcome,
}

/// What a delivery may use while it works.
pub(crate) struct Around<'a> {
    /// The consumer, for offsets.
    pub(crate) source: &'a Source,
    /// The cell's counters.
    pub(crate) books: &'a mut Books,
    /// Signs of life.
    pub(crate) health: &'a Health,
    /// The wish to stop.
    pub(crate) stop: &'a Stop,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing to do for the cell.
    Fine,
    /// What the windows hold is not what the group will commit: start again from the committed offsets.
    Restart(&'static str),
}

/// A way to get outputs out and offsets committed.
///
/// INVARIANT: offset N is committed only after every output of the records before N, those without outputs included.
pub(crate) trait Delivery {
    /// The group gave us these partitions, to be read from these offsets.
    fn assigned(&mut self, starts: &[(Partition, Option<i64>)]);

    /// Takes the outputs of one record.
    fn accept(
        &mut self,
        record: Handled,
        outputs: &mut Vec<Output>,
        around: &mut Around<'_>,
    ) -> Result<(), RunError>;

    /// Whether more records may be read now.
    fn has_room(&self) -> bool;

    /// Outputs on their way.
    fn in_flight(&self) -> u64;

    /// How long the cell may wait for a record before the next turn.
    fn patience(&self) -> Duration;

    /// Collects acknowledgements and commits what is due.
    fn turn(&mut self, around: &mut Around<'_>) -> Result<Turn, RunError>;

    /// Gets everything out and commits it, within `limit`. False: not all of it could be committed.
    fn settle(&mut self, limit: Duration, around: &mut Around<'_>) -> Result<bool, RunError>;

    /// Forgets what is on its way: somebody will read those records again.
    fn forget(&mut self, books: &mut Books);
}

/// Our clock in ms since 1970, for latencies only.
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Counts a record whose effects are all acknowledged.
pub(crate) fn done(books: &mut Books, outcome: Outcome, arrival_ms: Option<i64>, now_ms: i64) {
    books.record_done(outcome);
    let latency_ms =
        arrival_ms.and_then(|arrival| u64::try_from(now_ms.saturating_sub(arrival)).ok());
    if let Some(latency_ms) = latency_ms {
        books.end_to_end.observe(Duration::from_millis(latency_ms));
    }
}
