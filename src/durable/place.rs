//! From the text of `snapshot.dir` to a storage: a path, `file://`, or the URL of an object store.

use crate::durable::error::{StorageError, Trouble};
use crate::durable::local::LocalDir;
use crate::durable::storage::Storage;

/// The storage that a path or URL names. Nothing is read or written yet.
///
/// # Errors
/// When the URL cannot be read, or names an object store that this binary was built without.
pub fn open(place: &str) -> Result<Box<dyn Storage + Send>, StorageError> {
    match place.split_once("://") {
        None => Ok(Box::new(LocalDir::new(place))),
        // WHY: a folder is better served by the file system itself, which can sync.
        Some(("file", path)) if path.starts_with('/') => Ok(Box::new(LocalDir::new(path))),
        Some(("file", _)) => Err(unusable(place, "write `file:///absolute/path`")),
        Some(_) => object_store(place),
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
