//! The port to where snapshots lie, and who writes them: a thread beside the cell, or, in a simulation, nobody but it.

use std::fmt::Debug;
use std::time::Duration;

use crate::durable::{self, Job, Report, SnapshotWriter, Snapshots, Storage, StorageError};
use crate::runtime::error::RunError;

/// A place for snapshots.
pub trait Vault: Debug {
    /// Opens the place.
    ///
    /// # Errors
    /// As the place says.
    fn storage(&self) -> Result<Box<dyn Storage + Send>, StorageError>;

    /// Somebody who writes the snapshots of a shard.
    ///
    /// # Errors
    /// The system gives no thread.
    fn scribe(&self, snapshots: Snapshots) -> Result<Box<dyn SnapshotQueue>, RunError>;
}

/// Takes the parts of snapshots without making the caller wait.
pub trait SnapshotQueue: Debug {
    /// Hands a job over.
    ///
    /// # Errors
    /// The job itself, when it cannot be taken now.
    fn offer(&mut self, job: Job) -> Result<(), Job>;

    /// What became of a snapshot, waiting up to `wait` for it.
    fn report(&mut self, wait: Duration) -> Option<Report>;
}

/// A folder or an object store, written by threads.
#[derive(Clone, Debug)]
pub struct Place {
    place: String,
}

impl Place {
    /// A folder or a URL.
    pub fn new(place: &str) -> Self {
        Self { place: place.to_owned() }
    }
}

impl Vault for Place {
    fn storage(&self) -> Result<Box<dyn Storage + Send>, StorageError> {
        durable::open(&self.place)
    }

    fn scribe(&self, snapshots: Snapshots) -> Result<Box<dyn SnapshotQueue>, RunError> {
        let writer = SnapshotWriter::start(snapshots)
            .map_err(|error| RunError::Process { reason: error.to_string() })?;
        Ok(Box::new(Threaded(writer)))
    }
}

#[derive(Debug)]
struct Threaded(SnapshotWriter);

impl SnapshotQueue for Threaded {
    fn offer(&mut self, job: Job) -> Result<(), Job> {
        self.0.offer(job)
    }

    fn report(&mut self, wait: Duration) -> Option<Report> {
        if wait.is_zero() { self.0.report() } else { self.0.wait_report(wait) }
    }
}
