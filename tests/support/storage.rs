//! A disk in memory that can fail at the n-th call, tear a write, stop for ever, or lose what was not synced.

use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use riskweir::durable::{Storage, StorageError, Stored, Trouble};

/// What is on the disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    inner: Arc<Mutex<Inner>>,
    gate: Arc<Mutex<()>>,
    arrived: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Inner {
    published: BTreeMap<String, Vec<u8>>,
    partial: Option<(String, Vec<u8>, usize)>,
    calls: usize,
    halt_after: Option<usize>,
    failed: bool,
}

impl Disk {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Whether a call was made to fail.
    pub(crate) fn failed(&self) -> bool {
        self.lock().failed
    }

    /// Objects under construction that are still there.
    pub(crate) fn partials(&self) -> usize {
        usize::from(self.lock().partial.is_some())
    }

    /// From the n-th call from now on, every call fails, as if the process were gone.
    pub(crate) fn halt_after(&self, n: usize) {
        let mut inner = self.lock();
        inner.halt_after = Some(inner.calls + n);
    }

    /// The machine restarts: what was not synced is lost, calls work again.
    pub(crate) fn crash(&self) {
        let mut inner = self.lock();
        inner.halt_after = None;
        if let Some((_, bytes, synced)) = &mut inner.partial {
            bytes.truncate(*synced);
        }
    }

    /// Calls that came, held at the gate or not.
    pub(crate) fn arrived(&self) -> usize {
        self.arrived.load(Ordering::SeqCst)
    }

    /// Holds every call until the guard is dropped.
    pub(crate) fn close_gate(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap()
    }
}

/// A storage on a [`Disk`]. Counts the calls that change something or could fail.
#[derive(Debug)]
pub(crate) struct FailAt {
    disk: Disk,
    fail: Option<(usize, Trouble, usize)>,
    calls: std::cell::Cell<usize>,
}

impl FailAt {
    /// Fails at the n-th call from now on; an append that fails leaves its first `torn` bytes.
    pub(crate) fn new(disk: &Disk, fail: Option<(usize, Trouble, usize)>) -> Self {
        disk.lock().failed = false;
        Self { disk: disk.clone(), fail, calls: std::cell::Cell::new(0) }
    }

    fn step(
        &self,
        attempted: &'static str,
        object: &str,
    ) -> Result<MutexGuard<'_, Inner>, StorageError> {
        self.disk.arrived.fetch_add(1, Ordering::SeqCst);
        drop(self.disk.gate.lock().unwrap());
        let mut inner = self.disk.lock();
        inner.calls += 1;
        self.calls.set(self.calls.get() + 1);
        let error = |trouble| StorageError {
            attempted,
            object: object.to_owned(),
            place: "test disk".to_owned(),
            trouble,
            reason: "made to fail".to_owned(),
        };
        if inner.halt_after.is_some_and(|limit| inner.calls > limit) {
            return Err(error(Trouble::Other));
        }
        match self.fail {
            Some((n, trouble, _)) if n == self.calls.get() => {
                inner.failed = true;
                Err(error(trouble))
            }
            _ => Ok(inner),
        }
    }
}

impl Storage for FailAt {
    fn place(&self) -> String {
        "test disk".to_owned()
    }

    fn claim(&mut self, folder: &str) -> Result<(), StorageError> {
        self.step("write into", folder)?.partial = None;
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<(), StorageError> {
        self.step("create", name)?.partial = Some((name.to_owned(), Vec::new(), 0));
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let name = self.disk.lock().partial.as_ref().map_or_else(String::new, |p| p.0.clone());
        let torn = self.fail.map_or(0, |(_, _, torn)| torn.min(bytes.len()));
        match self.step("write", &name) {
            Ok(mut inner) => inner.partial.as_mut().unwrap().1.extend_from_slice(bytes),
            Err(error) => {
                if let Some(partial) = &mut self.disk.lock().partial {
                    partial.1.extend_from_slice(&bytes[..torn]);
                }
                return Err(error);
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let mut inner = self.step("sync", "")?;
        let partial = inner.partial.as_mut().unwrap();
        partial.2 = partial.1.len();
        Ok(())
    }

    fn publish(&mut self) -> Result<(), StorageError> {
        let stepped = self.step("publish", "").map(drop);
        // A storage may fail after the name is visible: an answer that was lost, a folder that was not synced.
        let visible = stepped.is_ok() || (self.disk.failed() && self.fail.is_some_and(|f| f.2 > 0));
        let mut inner = self.disk.lock();
        if visible && let Some((name, mut bytes, synced)) = inner.partial.take() {
            // What was not synced before it got its name is lost: a writer that forgets to sync is found.
            bytes.truncate(synced);
            inner.published.insert(name, bytes);
        }
        stepped
    }

    fn abandon(&mut self) -> Result<(), StorageError> {
        if self.disk.lock().partial.is_none() {
            return Ok(());
        }
        self.step("abandon", "")?.partial = None;
        Ok(())
    }

    fn list(&self, folder: Option<&str>) -> Result<Vec<Stored>, StorageError> {
        let inner = self.step("list", folder.unwrap_or(""))?;
        let wanted = folder.map_or_else(String::new, |folder| format!("{folder}/"));
        let stored = inner.published.iter().filter(|(name, _)| name.starts_with(&wanted));
        let stored = stored.map(|(name, bytes)| Stored {
            name: name.clone(),
            size_bytes: u64::try_from(bytes.len()).unwrap(),
        });
        Ok(stored.collect())
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>, StorageError> {
        let inner = self.step("open", name)?;
        Ok(Box::new(Cursor::new(inner.published.get(name).unwrap().clone())))
    }

    fn delete(&mut self, name: &str) -> Result<(), StorageError> {
        self.step("delete", name)?.published.remove(name);
        Ok(())
    }
}
