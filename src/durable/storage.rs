//! The port to the place where snapshots lie.
//!
//! Every effect is one call, and a call either takes effect or fails; so a simulator or a test can fail, crash or tear
//! at any of them. A storage has at most one object under construction; it has no visible name before
//! [`Storage::publish`], and what was published never changes.
//!
//! Names are `folder/file`. A storage knows nothing of what the bytes mean.

use std::fmt::Debug;
use std::io::Read;

use crate::durable::error::StorageError;

/// A published object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its name: `folder/file`.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
}

/// A place that keeps named objects.
pub trait Storage: Debug {
    /// The place in words, for messages.
    fn place(&self) -> String;

    /// Makes this the one writer of a folder, as far as the place knows writers, creates the folder, and clears away
    /// what crashed writers left.
    ///
    /// # Errors
    /// [`crate::durable::Trouble::Busy`] when another writer has it; otherwise as the place says.
    fn claim(&mut self, folder: &str) -> Result<(), StorageError>;

    /// Begins an object that will be published under this name. One that was begun before is abandoned.
    ///
    /// # Errors
    /// As the place says.
    fn create(&mut self, name: &str) -> Result<(), StorageError>;

    /// Appends to the object under construction.
    ///
    /// # Errors
    /// As the place says. The object is of no use then.
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError>;

    /// Returns when all that was appended would survive a loss of power, where the place can tell.
    ///
    /// # Errors
    /// As the place says. The object is of no use then.
    fn sync(&mut self) -> Result<(), StorageError>;

    /// Gives the object its name, in one step, and returns when the name would survive a loss of power.
    ///
    /// # Errors
    /// As the place says. The name may be visible or not then.
    fn publish(&mut self) -> Result<(), StorageError>;

    /// Drops the object under construction and frees its room; without one, nothing happens.
    ///
    /// # Errors
    /// As the place says; the next [`Storage::claim`] of the folder clears it away.
    fn abandon(&mut self) -> Result<(), StorageError>;

    /// The published objects of a folder, or of all folders, in the order of their names.
    ///
    /// # Errors
    /// As the place says. A folder that does not exist holds nothing; a place that does not exist is an error.
    fn list(&self, folder: Option<&str>) -> Result<Vec<Stored>, StorageError>;

    /// Entries of a folder, or of all folders, that have a visible name and are no objects: links, pipes, folders. Never
    /// read, never deleted.
    ///
    /// # Errors
    /// As [`Storage::list`].
    fn strange(&self, _folder: Option<&str>) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    /// Opens a published object for reading, front to back.
    ///
    /// # Errors
    /// As the place says.
    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>, StorageError>;

    /// Removes a published object. One that is gone already is removed.
    ///
    /// # Errors
    /// As the place says.
    fn delete(&mut self, name: &str) -> Result<(), StorageError>;
}
