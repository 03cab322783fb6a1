//! When snapshots of a shard are taken, and how: in slices between records, handed to a writer that never makes the
//! cell wait.
//!
//! INVARIANT: the next snapshot begins only when the group has committed everything that the last one has seen. So of
//! two that are kept, one is always usable, however long the broker refuses commits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::base::planted::{Bug, is_planted};
use crate::config::Snapshot;
use crate::durable::container::MAX_PART_BYTES;
use crate::durable::{Header, Job, Position, Report, SnapshotError, Snapshots, Trouble};
use crate::runtime::clock::Clock;
use crate::runtime::error::RunError;
use crate::runtime::log::Partition;
use crate::runtime::port::Step;
use crate::runtime::shard::Known;
use crate::runtime::vault::{SnapshotQueue, Vault};
use crate::telemetry::books::{NewestSnapshot, SnapshotBooks};
use crate::telemetry::happening;

/// About how many bytes of state one slice writes: well under a millisecond of work.
const SLICE_BYTES: usize = 128 << 10;

/// Longest piece in which a part goes to the writer. WHY: a part has no bound where many busy keys change at once, and what
/// holds it has one.
const PIECE_BYTES: usize = MAX_PART_BYTES / 8;

/// A part in pieces that can be stored.
fn pieces(part: Vec<u8>) -> Vec<Vec<u8>> {
    if part.len() <= PIECE_BYTES {
        return vec![part];
    }
    part.chunks(PIECE_BYTES).map(<[u8]>::to_vec).collect()
}

fn at(vault: &dyn Vault, shard: &str, settings: &Snapshot) -> Result<Snapshots, SnapshotError> {
    Snapshots::new(vault.storage()?, shard, settings.keep)
}

fn is_busy(error: &SnapshotError) -> bool {
    matches!(error, SnapshotError::Storage(error) if error.trouble == Trouble::Busy)
}

/// How far the snapshot at hand has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// None is being taken.
    Idle,
    /// The engine has more to give.
    Parts,
    /// All is handed over; the writer has not answered yet.
    Ending,
    /// The writer keeps a rule set; it has not answered yet.
    Rules,
}

/// What a snapshot says of the shard beside its state.
#[derive(Clone, Debug)]
pub(crate) struct Standing {
    /// Per partition the next offset that the engine has not seen.
    pub(crate) applied: BTreeMap<Partition, i64>,
    /// By what the log is known again there.
    pub(crate) known: BTreeMap<Partition, Known>,
    /// Number of the epoch.
    pub(crate) epoch: u64,
    /// Identity of its rule set.
    pub(crate) ruleset: String,
}

/// The snapshots of one shard.
#[derive(Debug)]
pub(crate) struct Checkpoints {
    /// For loading.
    pub(crate) snapshots: Snapshots,
    /// None while somebody else writes.
    queue: Option<Box<dyn SnapshotQueue>>,
    interval: Duration,
    next_at: Duration,
    stage: Stage,
    waiting: VecDeque<Job>,
    /// What the last snapshot that was begun has seen, and its epoch.
    last: BTreeMap<Partition, i64>,
    last_epoch: u64,
    /// Names of the snapshots that were of no use at the start.
    passed_over: Vec<String>,
    /// The epochs of the snapshots that are kept, oldest first, as far as they are known.
    epochs: VecDeque<u64>,
    /// The newest snapshot, where the last search found none that fits because all have seen more than is committed.
    pub(crate) beyond: Option<String>,
    keep: usize,
    /// What became of the rule set that was to be kept.
    kept: Option<(String, Option<String>)>,
    /// For the metrics.
    pub(crate) books: SnapshotBooks,
}

impl Checkpoints {
    /// Snapshots of a shard at a place. `settled`: nobody else can be writing there, so that it is an error if somebody
    /// is; otherwise this one takes none until the other has gone.
    pub(crate) fn open(
        vault: &dyn Vault,
        (shard, settled): (&str, bool),
        settings: &Snapshot,
        clock: &dyn Clock,
    ) -> Result<Self, RunError> {
        let refused = |error: SnapshotError| RunError::of_snapshots(&error);
        let mut checkpoints = Self::reading(vault, shard, settings, clock)?;
        // WHY: what cannot be listed now is told when it is needed.
        for name in checkpoints.snapshots.strange().unwrap_or_default() {
            let place = checkpoints.snapshots.place();
            happening::SnapshotNoFile { snapshot: &name, place: &place }.emit();
        }
        // WHY: now, because a second writer or a place that cannot be written is to be known before the first record.
        match checkpoints.claim(vault, settings) {
            Err(error) if settled || !is_busy(&error) => Err(refused(error)),
            _ => Ok(checkpoints),
        }
    }

    /// Snapshots of a shard that are only read: this one never becomes their writer unless it is asked to.
    pub(crate) fn reading(
        vault: &dyn Vault,
        shard: &str,
        settings: &Snapshot,
        clock: &dyn Clock,
    ) -> Result<Self, RunError> {
        let snapshots =
            at(vault, shard, settings).map_err(|error| RunError::of_snapshots(&error))?;
        Ok(Self {
            snapshots,
            queue: None,
            interval: settings.interval,
            next_at: clock.now() + settings.interval,
            stage: Stage::Idle,
            waiting: VecDeque::new(),
            last: BTreeMap::new(),
            last_epoch: 0,
            passed_over: Vec::new(),
            epochs: VecDeque::new(),
            beyond: None,
            keep: settings.keep.max(2),
            kept: None,
            books: SnapshotBooks { shard: Some(Arc::from(shard)), ..SnapshotBooks::default() },
        })
    }

    /// Becomes the writer of the shard, if it is not yet.
    pub(crate) fn claim(
        &mut self,
        vault: &dyn Vault,
        settings: &Snapshot,
    ) -> Result<(), SnapshotError> {
        if self.queue.is_none() {
            let mut writing = at(vault, self.snapshots.shard(), settings)?;
            writing.claim()?;
            self.queue = Some(vault.scribe(writing)?);
        }
        Ok(())
    }

    /// Becomes the writer if the place lets it; if not, says so. The shard is decided all the same.
    pub(crate) fn try_claim(&mut self, vault: &dyn Vault, settings: &Snapshot) {
        if let Err(error) = self.claim(vault, settings) {
            self.tell_failure(&error);
        }
    }

    /// Tries to become the writer when a snapshot would be due.
    pub(crate) fn claim_again(
        &mut self,
        vault: &dyn Vault,
        settings: &Snapshot,
        clock: &dyn Clock,
    ) {
        if self.queue.is_none() && clock.now() >= self.next_at {
            self.try_claim(vault, settings);
            if self.queue.is_none() {
                self.next_at = clock.now() + self.interval;
            }
        }
    }

    /// Lets somebody else be the writer, once what is at hand is written or given up.
    pub(crate) fn release(&mut self, engine: &mut impl Step) {
        self.abandon(engine);
        self.queue = None;
        (self.stage, self.kept) = (Stage::Idle, None);
        self.waiting.clear();
    }

    /// Whether this instance is the one that writes the shard's snapshots.
    pub(crate) fn may_write(&self) -> bool {
        self.queue.is_some()
    }

    /// Whether one is being taken.
    pub(crate) fn is_busy(&self) -> bool {
        self.stage != Stage::Idle
    }

    /// Whether it is time for the next one, given what the group has committed.
    pub(crate) fn is_due(
        &self,
        clock: &dyn Clock,
        committed: &dyn Fn(&Partition) -> Option<i64>,
    ) -> bool {
        let landed = |(partition, seen): (&Partition, &i64)| committed(partition) >= Some(*seen);
        self.stage == Stage::Idle
            && self.queue.is_some()
            && clock.now() >= self.next_at
            && self.last.iter().all(landed)
    }

    /// These were of no use at the start: others are kept in their place.
    pub(crate) fn pass_over(&mut self, names: Vec<String>) {
        self.passed_over = names;
    }

    /// Whether the last one that was begun, and not given up, has seen exactly this.
    pub(crate) fn has_seen(&self, applied: &BTreeMap<Partition, i64>) -> bool {
        self.last == *applied
    }

    /// Begins one.
    pub(crate) fn begin(&mut self, engine: &mut impl Step, standing: Standing, clock: &dyn Clock) {
        let Standing { applied, known, epoch, ruleset } = standing;
        let record = |partition: &Partition, next: i64| {
            known.get(partition).filter(|known| known.next == next).map(|known| known.record)
        };
        let position = |(partition, next): (&Partition, &i64)| {
            let next_offset = *next - i64::from(is_planted(Bug::SnapshotOffsetStale));
            Position {
                topic: partition.topic.to_string(),
                partition: partition.number,
                next_offset,
                record: record(partition, next_offset).map(|record| format!("{record:016x}")),
            }
        };
        let told = engine.identity();
        let header = Header {
            product_version: env!("CARGO_PKG_VERSION").to_owned(),
            shard: String::new(),
            sequence: 0,
            epoch,
            ruleset,
            engine_digest: format!("{:016x}", told.digest),
            positions: applied.iter().map(position).collect(),
            event_time_ms: told.event_time_ms,
            created_at_ms: clock.wall_ms(),
        };
        engine.begin_snapshot();
        (self.last, self.last_epoch) = (applied, epoch);
        self.stage = Stage::Parts;
        self.next_at = clock.now() + self.interval;
        let (header, passed_over) = (Box::new(header), self.passed_over.clone());
        self.waiting.push_back(Job::Begin { header, passed_over });
    }

    /// One slice of the snapshot at hand, if there is one.
    pub(crate) fn work(&mut self, engine: &mut impl Step, wait: Duration) {
        while let Some(report) = self.queue.as_mut().and_then(|queue| queue.report(wait)) {
            self.book(report, engine);
        }
        let Some(queue) = &mut self.queue else { return };
        while let Some(job) = self.waiting.pop_front() {
            if let Err(back) = queue.offer(job) {
                self.waiting.push_front(back);
                return;
            }
        }
        if self.stage != Stage::Parts {
            return;
        }
        let mut part = Vec::with_capacity(SLICE_BYTES + SLICE_BYTES / 4);
        let complete = engine.snapshot_part(SLICE_BYTES, &mut part);
        self.waiting.extend(pieces(part).into_iter().map(Job::Part));
        if complete {
            self.waiting.push_back(Job::End);
            self.stage = Stage::Ending;
        }
    }

    /// Gives up the one that is being taken: the engine's state is not what it was.
    pub(crate) fn abandon(&mut self, engine: &mut impl Step) {
        if self.stage == Stage::Parts {
            engine.abandon_snapshot();
            self.waiting.clear();
            self.waiting.push_back(Job::Abandon);
            self.stage = Stage::Idle;
            // WHY: it will not exist, so nothing waits for it.
            self.last.clear();
        }
    }

    /// Works until no snapshot is being taken any more or `deadline` has come; says whether it is so.
    pub(crate) fn finish(
        &mut self,
        engine: &mut impl Step,
        clock: &dyn Clock,
        deadline: Duration,
    ) -> bool {
        // WHY: while somebody else writes the shard's snapshots nothing comes of waiting.
        while self.is_busy() && self.queue.is_some() && clock.now() < deadline {
            let idle = self.stage == Stage::Ending || !self.waiting.is_empty();
            self.work(engine, Duration::from_millis(u64::from(idle)));
        }
        !self.is_busy()
    }

    fn book(&mut self, report: Report, engine: &mut impl Step) {
        match report {
            Report::Done { written, created_at_ms, took, not_pruned } => {
                self.stage = Stage::Idle;
                self.note_kept(self.last_epoch);
                self.books.newest = Some(NewestSnapshot {
                    created_at_ms,
                    took: Some(took),
                    size_bytes: written.totals.file_bytes,
                });
                if let Some(error) = not_pruned {
                    happening::SnapshotsNotPruned { error: &error.to_string() }.emit();
                }
            }
            Report::Failed { error } => {
                if self.stage == Stage::Parts {
                    engine.abandon_snapshot();
                }
                // WHY: a rule set that waits to be kept has nothing to do with the snapshot that failed.
                if self.stage != Stage::Rules {
                    self.stage = Stage::Idle;
                    self.waiting.clear();
                }
                // WHY: it does not exist, so nothing waits for it.
                self.last.clear();
                self.tell_failure(&error);
            }
            Report::Rules { id, error } => {
                self.stage = Stage::Idle;
                self.books.errors += u64::from(error.is_some());
                self.kept = Some((id, error.map(|error| error.to_string())));
            }
        }
    }

    fn tell_failure(&mut self, error: &SnapshotError) {
        self.books.errors += 1;
        let (code, text) = (error.code(), error.to_string());
        happening::SnapshotFailed { code: code.0, error: &text, help: error.help() }.emit();
    }

    /// A snapshot of this epoch is among those that are kept.
    pub(crate) fn note_kept(&mut self, epoch: u64) {
        self.epochs.push_back(epoch);
        while self.epochs.len() > self.keep {
            self.epochs.pop_front();
        }
    }

    /// The oldest epoch that a recovery may begin with; none while that is not known.
    pub(crate) fn oldest_epoch(&self) -> Option<u64> {
        self.epochs.front().copied().filter(|_| self.epochs.len() == self.keep)
    }

    /// The next snapshot is due as soon as the last one's offsets are committed.
    pub(crate) fn hasten(&mut self) {
        self.next_at = Duration::ZERO;
    }

    /// Keeps a rule set beside the snapshots; the one that is being taken is given up.
    pub(crate) fn keep_rules(&mut self, engine: &mut impl Step, job: Job) {
        self.abandon(engine);
        self.kept = None;
        self.waiting.push_back(job);
        self.stage = Stage::Rules;
    }

    /// What became of the rule set that was to be kept: its identity, and why it is not.
    pub(crate) fn take_kept(&mut self) -> Option<(String, Option<String>)> {
        self.kept.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_longer_than_a_frame_is_stored_in_pieces_that_are_not() {
        let bytes = |n: usize| -> Vec<u8> { (0..=250).cycle().take(n).collect() };
        let part = bytes(MAX_PART_BYTES + 5);
        let pieces = super::pieces(part.clone());
        assert_eq!(pieces.len(), 9);
        assert!(pieces.iter().all(|piece| piece.len() <= MAX_PART_BYTES));
        assert!(pieces.concat() == part);
        assert_eq!(super::pieces(bytes(1_000)), [bytes(1_000)]);
    }
}
