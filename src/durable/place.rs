//! From the text of `snapshot.dir` to a storage: a path, `file://`, or the URL of an object store.

use crate::durable::error::{StorageError, Trouble};
use crate::durable::local::LocalDir;
use crate::durable::storage::Storage;

/// The storage that a path or URL names. Nothing is read or written yet.
///
/// # Errors
/// When the URL cannot be read, or names an object store that this binary was built without.
pub fn open(place: &str) -> Result<Box<dyn Storage + Send>, StorageError> {
    match local(place)? {
        Some(path) => Ok(Box::new(LocalDir::new(path))),
        None => object_store(place),
    }
}

/// Whether snapshots could be kept there, as far as this machine can tell: something is written where a folder is, or
/// would be made, and taken away again. An object store is not asked.
///
/// # Errors
/// As [`open`]; and when nothing can be written.
pub fn check(place: &str) -> Result<(), StorageError> {
    match local(place)? {
        Some(path) => LocalDir::new(path).probe(),
        None => object_store(place).map(drop),
    }
}

/// Whether there is room for a rule set and a small snapshot. Of an object store nobody knows.
///
/// # Errors
/// As the file system says.
pub fn check_room(place: &str) -> Result<(), StorageError> {
    local(place)?.map_or(Ok(()), |path| LocalDir::new(path).probe_room())
}

/// The folder that a path or URL names, if it is one.
fn local(place: &str) -> Result<Option<&str>, StorageError> {
    match place.split_once("://") {
        None => Ok(Some(place)),
        // WHY: a folder is better served by the file system itself, which can sync.
        Some(("file", path)) if path.starts_with('/') => Ok(Some(path)),
        Some(("file", _)) => Err(unusable(place, "write `file:///absolute/path`")),
        Some(_) => Ok(None),
    }
}

#[cfg(feature = "object-store")]
fn object_store(place: &str) -> Result<Box<dyn Storage + Send>, StorageError> {
    Ok(Box::new(crate::durable::object::ObjectStorage::open(place)?))
}

#[cfg(not(feature = "object-store"))]
fn object_store(place: &str) -> Result<Box<dyn Storage + Send>, StorageError> {
    Err(unusable(
        place,
        "this binary was built without object stores (features `s3`, `gcs`, `azure`)",
    ))
}

/// An address that cannot be used.
pub(crate) fn unusable(place: &str, reason: &str) -> StorageError {
    StorageError {
        attempted: "use",
        object: String::new(),
        place: place.to_owned(),
        trouble: Trouble::Address,
        reason: reason.to_owned(),
    }
}
