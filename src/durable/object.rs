//! Snapshots in an object store: Amazon S3 and its like, Google Cloud Storage, Azure Blob Storage, memory.
//!
//! An object is uploaded in chunks and appears when the upload is completed, so no temporary name is needed. What a
//! crashed writer leaves is an incomplete upload: invisible here, and cleared away by a lifecycle rule of the bucket.
//!
//! Object stores know no writers. [`Storage::claim`] keeps nobody out: that each shard has one writer is up to the
//! consumer group, and a writer that was replaced without knowing can at worst publish a snapshot of its own that is
//! whole and says what it has seen.
//!
//! # Cost
//! Memory of one chunk. Calls block the calling thread, which drives its own small runtime: call it from the thread that
//! writes snapshots or at a start, never where decisions are made.

use std::io::{self, Read};
use std::sync::Arc;

use object_store::path::Path;
use object_store::{Error, MultipartUpload, ObjectStore, ObjectStoreExt as _, ObjectStoreScheme};
use tokio::runtime::{Builder, Runtime};

use crate::durable::error::{StorageError, Trouble};
use crate::durable::place::unusable;
use crate::durable::storage::{Storage, Stored};

/// Bytes of one chunk up and down. Stores want at least 5 MiB, and some want all chunks alike.
const CHUNK_BYTES: usize = 8 << 20;

/// For how long a call that fails is begun again. WHY: a start and a rebalance wait for the store; the library's three
/// minutes are longer than whoever watches a process waits.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
const TRY_AGAIN_FOR: std::time::Duration = std::time::Duration::from_secs(15);

/// A store from its builder, with settings from variables whose names it knows.
#[cfg(any(feature = "s3", feature = "gcs", feature = "azure"))]
macro_rules! built {
    ($builder:ty, $url:expr, $variables:expr) => {{
        let retry = object_store::RetryConfig {
            retry_timeout: TRY_AGAIN_FOR,
            ..object_store::RetryConfig::default()
        };
        let builder = <$builder>::new().with_url($url).with_retry(retry);
        let builder =
            $variables.into_iter().fold(builder, |builder, (name, value)| match name.parse() {
                Ok(key) => builder.with_config(key, value),
                Err(_) => builder,
            });
        Arc::new(builder.build().map_err(|error| error.to_string())?)
    }};
}

/// An object store, or a folder in it.
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    place: String,
    runtime: Runtime,
    pending: Option<Pending>,
}

/// An object under construction.
struct Pending {
    name: String,
    buffer: Vec<u8>,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl std::fmt::Debug for ObjectStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ObjectStorage").field("place", &self.place).finish_non_exhaustive()
    }
}

impl ObjectStorage {
    /// The store of a URL such as `s3://bucket/folder`. Region, endpoint and credentials come from the environment
    /// variables that the store's own tools use.
    ///
    /// # Errors
    /// When the URL cannot be read or names a store that was not built in.
    pub fn open(url: &str) -> Result<Self, StorageError> {
        let variables: Vec<(String, String)> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect();
        let (store, prefix) = store(url, variables).map_err(|reason| unusable(url, &reason))?;
        Self::of_store(store, prefix, url)
    }

    /// A folder of a store that is there already.
    ///
    /// # Errors
    /// When the system gives no event queue.
    pub fn of_store(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        place: &str,
    ) -> Result<Self, StorageError> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| unusable(place, &error.to_string()))?;
        Ok(Self { store, prefix, place: place.to_owned(), runtime, pending: None })
    }

    fn path(&self, name: &str) -> Path {
        let steps = name.split('/').filter(|step| !step.is_empty());
        steps.fold(self.prefix.clone(), Path::join)
    }

    fn failed(&self, attempted: &'static str, object: &str, error: &Error) -> StorageError {
        StorageError {
            attempted,
            object: object.to_owned(),
            place: self.place.clone(),
            trouble: trouble(error),
            reason: error.to_string(),
        }
    }

    fn unbegun(&self, attempted: &'static str) -> StorageError {
        StorageError::of_io(attempted, "", &self.place, &io::Error::other("no object was begun"))
    }

    /// Sends one chunk. Begins the upload first, if this is the first chunk.
    fn send(&self, pending: &mut Pending, chunk: Vec<u8>) -> Result<(), Error> {
        self.runtime.block_on(async {
            let upload = match &mut pending.upload {
                Some(upload) => upload,
                none => none.insert(self.store.put_multipart(&self.path(&pending.name)).await?),
            };
            upload.put_part(chunk.into()).await
        })
    }

    fn append_to(&self, pending: &mut Pending, bytes: &[u8]) -> Result<(), Error> {
        pending.buffer.extend_from_slice(bytes);
        while pending.buffer.len() >= CHUNK_BYTES {
            let rest = pending.buffer.split_off(CHUNK_BYTES);
            let chunk = std::mem::replace(&mut pending.buffer, rest);
            self.send(pending, chunk)?;
        }
        Ok(())
    }

    fn complete(&self, pending: &mut Pending) -> Result<(), Error> {
        let rest = std::mem::take(&mut pending.buffer);
        if pending.upload.is_none() {
            let path = self.path(&pending.name);
            return self.runtime.block_on(self.store.put(&path, rest.into())).map(drop);
        }
        if !rest.is_empty() {
            self.send(pending, rest)?;
        }
        match &mut pending.upload {
            Some(upload) => self.runtime.block_on(upload.complete()).map(drop),
            None => Ok(()),
        }
    }

    /// The objects directly in a folder, and the names of folders in it.
    fn list_one(&self, folder: &str) -> Result<(Vec<Stored>, Vec<String>), Error> {
        let path = self.path(folder);
        let path = Some(&path).filter(|path| path.parts_count() > 0);
        let listed = self.runtime.block_on(self.store.list_with_delimiter(path))?;
        let last = |path: &Path| path.filename().map(str::to_owned);
        let objects = listed.objects.iter().filter_map(|object| {
            let name = format!("{folder}/{}", last(&object.location)?);
            Some(Stored { name, size_bytes: object.size })
        });
        Ok((objects.collect(), listed.common_prefixes.iter().filter_map(last).collect()))
    }
}

impl Storage for ObjectStorage {
    fn place(&self) -> String {
        self.place.clone()
    }

    fn claim(&mut self, _folder: &str) -> Result<(), StorageError> {
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<(), StorageError> {
        self.abandon()?;
        self.pending = Some(Pending { name: name.to_owned(), buffer: Vec::new(), upload: None });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let Some(mut pending) = self.pending.take() else { return Err(self.unbegun("write")) };
        let appended = self.append_to(&mut pending, bytes);
        let appended = appended.map_err(|error| self.failed("write", &pending.name, &error));
        self.pending = Some(pending);
        appended
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        // WHY: a store promises nothing before the upload is complete, and everything then.
        if self.pending.is_some() { Ok(()) } else { Err(self.unbegun("sync")) }
    }

    fn publish(&mut self) -> Result<(), StorageError> {
        let Some(mut pending) = self.pending.take() else { return Err(self.unbegun("publish")) };
        let completed = self.complete(&mut pending);
        completed.map_err(|error| {
            let failed = self.failed("publish", &pending.name, &error);
            self.pending = Some(pending);
            failed
        })
    }

    fn abandon(&mut self) -> Result<(), StorageError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let Some(mut upload) = pending.upload else { return Ok(()) };
        let aborted = self.runtime.block_on(upload.abort());
        aborted.map_err(|error| self.failed("abandon", &pending.name, &error))
    }

    fn list(&self, folder: Option<&str>) -> Result<Vec<Stored>, StorageError> {
        let list = |folder: &str| {
            self.list_one(folder).map_err(|error| self.failed("list", folder, &error))
        };
        let folders = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => list("")?.1,
        };
        let mut found = Vec::new();
        for folder in folders {
            found.extend(list(&folder)?.0);
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>, StorageError> {
        let path = self.path(name);
        let head = self.runtime.block_on(self.store.head(&path));
        let length = head.map_err(|error| self.failed("open", name, &error))?.size;
        Ok(Box::new(RangeReader { storage: self, path, at: 0, length, chunk: Vec::new(), read: 0 }))
    }

    fn delete(&mut self, name: &str) -> Result<(), StorageError> {
        match self.runtime.block_on(self.store.delete(&self.path(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed("delete", name, &error)),
        }
    }
}

/// Reads an object chunk by chunk.
struct RangeReader<'s> {
    storage: &'s ObjectStorage,
    path: Path,
    /// Where the next chunk begins.
    at: u64,
    length: u64,
    chunk: Vec<u8>,
    /// How much of the chunk was handed out.
    read: usize,
}

impl Read for RangeReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.read == self.chunk.len() && self.at < self.length {
            let chunk_bytes = u64::try_from(CHUNK_BYTES).unwrap_or(u64::MAX);
            let end = self.length.min(self.at.saturating_add(chunk_bytes));
            let get = self.storage.store.get_range(&self.path, self.at..end);
            let bytes = self.storage.runtime.block_on(get).map_err(io_error)?;
            if bytes.is_empty() {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.at += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.chunk = bytes.to_vec();
            self.read = 0;
        }
        let n = (&self.chunk[self.read..]).read(buffer)?;
        self.read += n;
        Ok(n)
    }
}

fn io_error(error: Error) -> io::Error {
    let kind = match trouble(&error) {
        Trouble::NotFound => io::ErrorKind::NotFound,
        Trouble::Denied => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

fn trouble(error: &Error) -> Trouble {
    match error {
        Error::NotFound { .. } => Trouble::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => Trouble::Denied,
        Error::InvalidPath { .. } | Error::UnknownConfigurationKey { .. } => Trouble::Address,
        _ => Trouble::Other,
    }
}

/// The store of a URL, and the folder in it.
fn store(
    url: &str,
    variables: Vec<(String, String)>,
) -> Result<(Arc<dyn ObjectStore>, Path), String> {
    let parsed = parsed(url)?;
    let (scheme, prefix) =
        ObjectStoreScheme::parse(&parsed).map_err(|error| words(error.into()))?;
    let store: Arc<dyn ObjectStore> = match scheme {
        #[cfg(feature = "s3")]
        ObjectStoreScheme::AmazonS3 => built!(object_store::aws::AmazonS3Builder, url, variables),
        #[cfg(feature = "gcs")]
        ObjectStoreScheme::GoogleCloudStorage => {
            built!(object_store::gcp::GoogleCloudStorageBuilder, url, variables)
        }
        #[cfg(feature = "azure")]
        ObjectStoreScheme::MicrosoftAzure => {
            built!(object_store::azure::MicrosoftAzureBuilder, url, variables)
        }
        _ => Arc::from(
            object_store::parse_url_opts(&parsed, variables).map_err(|error| error.to_string())?.0,
        ),
    };
    Ok((store, prefix))
}

// WHY: generic over the result, so that the type of URLs need not be named here.
fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse::<T>().map_err(|error| error.to_string())
}
