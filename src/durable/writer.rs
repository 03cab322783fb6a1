//! Writes the snapshots of a shard on a thread of its own, so that the thread that decides never waits for a disk.
//!
//! The deciding thread hands over a beginning, parts and an end through a queue of bounded length, and never waits: what
//! does not fit comes back and is offered again later. Reports come back through a second queue. A failure ends the
//! snapshot at hand and nothing else; the parts of it that still come are dropped, and the next beginning starts afresh.
//!
//! [`Scribe`] is the same without thread and clock: a simulator steps it call by call.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::durable::error::{SnapshotError, StorageError};
use crate::durable::header::Header;
use crate::durable::snapshots::{Snapshots, Written};

/// Jobs that wait at most. Memory of the queue is this times the length of a part.
pub const MAX_QUEUED_JOBS: usize = 8;

/// What the deciding thread hands over.
#[derive(Debug, PartialEq, Eq)]
pub enum Job {
    /// A snapshot begins.
    Begin {
        /// What it says of itself.
        header: Box<Header>,
        /// Names of earlier ones that the last start passed over; see [`Snapshots::pass_over`].
        passed_over: Vec<String>,
    },
    /// The next part of it.
    Part(Vec<u8>),
    /// It is complete.
    End,
    /// It is not wanted any more.
    Abandon,
    /// A rule set is to be kept beside the snapshots; one that is being written is abandoned.
    Rules {
        /// Its identity.
        id: String,
        /// Its text, as whoever asked for it will understand.
        rules: Vec<u8>,
        /// Others that are to stay.
        in_use: Vec<String>,
    },
}

/// What became of a snapshot.
#[derive(Debug)]
pub enum Report {
    /// It is published.
    Done {
        /// The snapshot.
        written: Written,
        /// The header's creation time, in ms since 1970.
        created_at_ms: i64,
        /// From its beginning to its publishing.
        took: Duration,
        /// Why older ones could not be pruned, if so; tried again after the next.
        not_pruned: Option<StorageError>,
    },
    /// It is lost; earlier ones are as they were.
    Failed {
        /// Why.
        error: SnapshotError,
    },
    /// A rule set is kept, or is not.
    Rules {
        /// Its identity.
        id: String,
        /// Why not.
        error: Option<SnapshotError>,
    },
}

/// What a job came to.
#[derive(Debug)]
pub enum Outcome {
    /// Nothing to tell.
    Quiet,
    /// The snapshot is published.
    Done {
        /// The snapshot.
        written: Written,
        /// The header's creation time, in ms since 1970.
        created_at_ms: i64,
    },
    /// The snapshot is lost.
    Failed(SnapshotError),
    /// A rule set is kept, or is not.
    Rules(String, Option<SnapshotError>),
}

/// Takes jobs in order and does them.
#[derive(Debug)]
pub struct Scribe {
    snapshots: Snapshots,
    /// Creation time of the snapshot at hand; none when jobs are dropped until the next beginning.
    at_hand: Option<i64>,
}

impl Scribe {
    /// A scribe with no snapshot at hand.
    pub fn new(snapshots: Snapshots) -> Self {
        Self { snapshots, at_hand: None }
    }

    /// Does one job.
    pub fn take(&mut self, job: Job) -> Outcome {
        match (job, self.at_hand) {
            (Job::Begin { header, passed_over }, _) => {
                self.snapshots.pass_over(passed_over);
                self.at_hand = Some(header.created_at_ms);
                let begun = self.snapshots.begin(&header);
                self.ended_by(begun)
            }
            (Job::Part(part), Some(_)) => {
                let written = self.snapshots.part(&part);
                self.ended_by(written)
            }
            (Job::End, Some(created_at_ms)) => {
                self.at_hand = None;
                match self.snapshots.finish() {
                    Ok(written) => Outcome::Done { written, created_at_ms },
                    Err(error) => Outcome::Failed(error),
                }
            }
            (Job::Abandon, Some(_)) => {
                self.at_hand = None;
                self.snapshots
                    .abandon()
                    .map_or_else(|error| Outcome::Failed(error.into()), |()| Outcome::Quiet)
            }
            (Job::Rules { id, rules, in_use }, _) => {
                self.at_hand = None;
                let error = self.snapshots.keep_rules(&id, &rules, &in_use).err();
                Outcome::Rules(id, error)
            }
            (Job::Part(_) | Job::End | Job::Abandon, None) => Outcome::Quiet,
        }
    }

    /// Deletes what is no longer of use; for after [`Outcome::Done`].
    ///
    /// # Errors
    /// When the storage cannot list or delete; the next call tries again.
    pub fn prune(&mut self) -> Result<(), StorageError> {
        self.snapshots.prune().map(drop)
    }

    fn ended_by(&mut self, result: Result<(), SnapshotError>) -> Outcome {
        match result {
            Ok(()) => Outcome::Quiet,
            Err(error) => {
                self.at_hand = None;
                Outcome::Failed(error)
            }
        }
    }
}

/// The writing thread of a shard, seen from the deciding one.
#[derive(Debug)]
pub struct SnapshotWriter {
    jobs: SyncSender<Job>,
    reports: Receiver<Report>,
    thread: JoinHandle<()>,
}

impl SnapshotWriter {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(snapshots: Snapshots) -> io::Result<Self> {
        let (jobs, incoming) = sync_channel(MAX_QUEUED_JOBS);
        // WHY: at most one report per beginning comes back, so it is bounded by what goes in.
        let (outgoing, reports) = channel();
        let name = format!("snapshot-{}", snapshots.shard());
        let thread = std::thread::Builder::new().name(name).spawn(move || {
            let mut scribe = Scribe::new(snapshots);
            let mut begun_at = Instant::now();
            while let Ok(job) = incoming.recv() {
                if matches!(job, Job::Begin { .. }) {
                    begun_at = Instant::now();
                }
                let report = match scribe.take(job) {
                    Outcome::Quiet => continue,
                    Outcome::Failed(error) => Report::Failed { error },
                    Outcome::Rules(id, error) => Report::Rules { id, error },
                    Outcome::Done { written, created_at_ms } => {
                        let took = begun_at.elapsed();
                        let not_pruned = scribe.prune().err();
                        Report::Done { written, created_at_ms, took, not_pruned }
                    }
                };
                if outgoing.send(report).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { jobs, reports, thread })
    }

    /// Hands a job over without waiting.
    ///
    /// # Errors
    /// The job itself, when the queue is full (offer it again later) or the thread is gone ([`Self::is_gone`]).
    pub fn offer(&self, job: Job) -> Result<(), Job> {
        self.jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    /// The next report, if one is there.
    pub fn report(&self) -> Option<Report> {
        self.reports.try_recv().ok()
    }

    /// Waits so long for a report: for an orderly stop, when nothing else is to be done.
    pub fn wait_report(&self, limit: Duration) -> Option<Report> {
        self.reports.recv_timeout(limit).ok()
    }

    /// Whether the thread has ended, which it does by itself only when it met a bug.
    pub fn is_gone(&self) -> bool {
        self.thread.is_finished()
    }

    /// Lets the thread finish what is queued, and gives the reports that were not fetched. A snapshot without end is
    /// abandoned.
    pub fn stop(self) -> Vec<Report> {
        let Self { jobs, reports, thread } = self;
        drop(jobs);
        // WHY: a thread that met a bug has said so on standard error.
        drop(thread.join());
        reports.try_iter().collect()
    }
}
