//! The port to where snapshots lie, and who writes them: a thread beside the cell, or, in a simulation, nobody but it.

use std::fmt::Debug;
use std::time::Duration;

use crate::durable::{self, Job, Report, SnapshotWriter, Snapshots, Storage, StorageError};

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
    fn scribe(&self, snapshots: Snapshots) -> Result<Box<dyn SnapshotQueue>, StorageError>;
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

    fn scribe(&self, snapshots: Snapshots) -> Result<Box<dyn SnapshotQueue>, StorageError> {
        let writer = SnapshotWriter::start(snapshots).map_err(|error| {
            StorageError::of_io("start a thread for", "snapshots", &self.place, &error)
        })?;
        Ok(Box::new(Threaded(Some(writer))))
    }
}

/// INVARIANT: the writer is there until this is dropped.
#[derive(Debug)]
struct Threaded(Option<SnapshotWriter>);

impl SnapshotQueue for Threaded {
    fn offer(&mut self, job: Job) -> Result<(), Job> {
        match &self.0 {
            Some(writer) => writer.offer(job),
            None => Err(job),
        }
    }

    fn report(&mut self, wait: Duration) -> Option<Report> {
        let writer = self.0.as_ref()?;
        if wait.is_zero() { writer.report() } else { writer.wait_report(wait) }
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        // WHY: it waits for the thread, so the place is free for another writer when this returns.
        drop(self.0.take().map(SnapshotWriter::stop));
    }
}
