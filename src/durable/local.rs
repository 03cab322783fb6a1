//! Snapshots in a folder of the file system.
//!
//! An object is written as `.NAME.partial` beside its place, synced, renamed, and the folder synced. A lock file in the
//! folder keeps a second writer out for as long as the first lives; the system lets go of it when the process ends.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write as _};
use std::path::{Path, PathBuf};

use crate::durable::error::{StorageError, Trouble};
use crate::durable::snapshots::ENDING;
use crate::durable::storage::{Storage, Stored};

/// Ending of objects under construction.
const PARTIAL: &str = ".partial";
/// Bytes that are written to find out whether there is room.
const PROBE_BYTES: usize = 64 << 10;
/// Name of the lock file in a folder.
const LOCK: &str = ".lock";

/// A folder that keeps objects in folders.
#[derive(Debug)]
pub struct LocalDir {
    root: PathBuf,
    locks: Vec<(String, File)>,
    pending: Option<Pending>,
}

/// An object under construction.
#[derive(Debug)]
struct Pending {
    name: String,
    partial: PathBuf,
    file: File,
}

impl LocalDir {
    /// A storage in this folder. Touches nothing yet: [`Storage::claim`] creates what is missing.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), locks: Vec::new(), pending: None }
    }

    /// Whether something can be written in the folder, or, where it is not there yet, in the nearest one above it that is.
    /// Leaves nothing behind.
    ///
    /// # Errors
    /// As the file system says.
    pub fn probe(&self) -> Result<(), StorageError> {
        // WHY: a folder, because that is what would be made; some file systems have those and no files, or neither.
        self.try_out(|probe| fs::create_dir(probe).and_then(|()| fs::remove_dir(probe)))?;
        let folders = match self.folders() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            folders => folders.map_err(|error| self.failed("list", "", &error))?,
        };
        // WHY: beside the shards may lie what is none of ours, such as `lost+found`.
        folders.iter().filter(|name| is_shard(name)).try_for_each(|name| self.probe_shard(name))
    }

    /// Whether a start could use what stands in the folder of a shard.
    fn probe_shard(&self, folder: &str) -> Result<(), StorageError> {
        let (mut found, mut strange) = (Vec::new(), Vec::new());
        self.list_folder(folder, &mut found, &mut strange)
            .map_err(|error| self.failed("list", folder, &error))?;
        let path = self.root.join(folder);
        match OpenOptions::new().write(true).open(path.join(LOCK)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(self.failed("open", &format!("{folder}/{LOCK}"), &error));
            }
            _ => {}
        }
        let mut refusal = None;
        for Stored { name, .. } in found.iter().filter(|stored| stored.name.ends_with(ENDING)) {
            match self.open(name) {
                Ok(_) => return Ok(()),
                Err(error) => refusal = Some(error),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    /// Whether a file of some length can be written there, too. Leaves nothing behind.
    ///
    /// # Errors
    /// As the file system says.
    pub fn probe_room(&self) -> Result<(), StorageError> {
        self.try_out(|probe| {
            let written = File::create(probe).and_then(|mut file| {
                file.write_all(&vec![0; PROBE_BYTES]).and_then(|()| file.sync_all())
            });
            let removed = fs::remove_file(probe);
            written.and(removed)
        })
    }

    /// Does something with a name that nobody else has, in the folder or the nearest one above it that is there.
    fn try_out(&self, work: impl FnOnce(&Path) -> io::Result<()>) -> Result<(), StorageError> {
        let mut folder = self.root.as_path();
        let facts = loop {
            match fs::metadata(if folder.as_os_str().is_empty() { Path::new(".") } else { folder })
            {
                Err(error) if error.kind() == io::ErrorKind::NotFound => match folder.parent() {
                    Some(parent) => folder = parent,
                    None => break Err(error),
                },
                facts => break facts,
            }
        };
        let written = facts.and_then(|facts| {
            if !facts.is_dir() {
                return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is no folder"));
            }
            work(&folder.join(format!(".riskweir-probe-{}", std::process::id())))
        });
        written.map_err(|error| {
            let reason = if folder == self.root {
                error.to_string()
            } else {
                format!("it is not there and cannot be made in `{}`: {error}", folder.display())
            };
            self.failed("keep", "snapshots", &io::Error::new(error.kind(), reason))
        })
    }

    fn failed(&self, attempted: &'static str, object: &str, error: &io::Error) -> StorageError {
        StorageError::of_io(attempted, object, &self.place(), error)
    }

    /// Splits `folder/file`; the path of the folder, and the name of the file.
    fn split<'n>(
        &self,
        attempted: &'static str,
        name: &'n str,
    ) -> Result<(PathBuf, &'n str), StorageError> {
        match name.split_once('/') {
            Some((folder, file)) if is_plain(folder) && is_plain(file) => {
                Ok((self.root.join(folder), file))
            }
            _ => {
                let error = io::Error::new(io::ErrorKind::InvalidInput, "not a name `folder/file`");
                Err(self.failed(attempted, name, &error))
            }
        }
    }

    fn unbegun(&self, attempted: &'static str) -> StorageError {
        self.failed(attempted, "", &io::Error::other("no object was begun"))
    }

    fn claim_folder(&mut self, folder: &str) -> io::Result<()> {
        let path = self.root.join(folder);
        fs::create_dir_all(&path)?;
        sync_folder(&self.root)?;
        let of_lock = |error: io::Error| io::Error::new(error.kind(), format!("`{LOCK}`: {error}"));
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).write(true);
        let lock = options.open(path.join(LOCK)).map_err(of_lock)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let busy = "another process writes here";
                return Err(io::Error::new(io::ErrorKind::ResourceBusy, busy));
            }
            // WHY: some network file systems have no locks; the consumer group keeps writers apart too.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(of_lock(error)),
        }
        for entry in fs::read_dir(&path)? {
            let entry = entry?;
            let name = entry.file_name();
            if name.to_string_lossy().ends_with(PARTIAL) {
                fs::remove_file(entry.path())?;
            }
        }
        self.locks.push((folder.to_owned(), lock));
        Ok(())
    }

    /// Objects go to `found`, what is none to `strange`.
    fn list_folder(
        &self,
        folder: &str,
        found: &mut Vec<Stored>,
        strange: &mut Vec<String>,
    ) -> io::Result<()> {
        let entries = match fs::read_dir(self.root.join(folder)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let Ok(file) = entry.file_name().into_string() else { continue };
            let facts = match entry.metadata() {
                // WHY: whoever prunes may delete it while we look.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                facts => facts?,
            };
            if !is_plain(&file) {
                continue;
            }
            let name = format!("{folder}/{file}");
            if facts.is_file() {
                found.push(Stored { name, size_bytes: facts.len() });
            } else {
                strange.push(name);
            }
        }
        Ok(())
    }

    fn look(&self, folder: Option<&str>) -> Result<(Vec<Stored>, Vec<String>), StorageError> {
        let failed = |error: io::Error| self.failed("list", folder.unwrap_or(""), &error);
        let folders = match folder {
            Some(folder) => vec![folder.to_owned()],
            None => self.folders().map_err(failed)?,
        };
        let (mut found, mut strange) = (Vec::new(), Vec::new());
        for folder in folders {
            self.list_folder(&folder, &mut found, &mut strange).map_err(failed)?;
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        strange.sort();
        Ok((found, strange))
    }

    fn folders(&self) -> io::Result<Vec<String>> {
        let mut folders = Vec::new();
        for entry in fs::read_dir(&self.root)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if is_plain(&name) && entry.file_type()?.is_dir() {
                folders.push(name);
            }
        }
        Ok(folders)
    }
}

impl Storage for LocalDir {
    fn place(&self) -> String {
        self.root.display().to_string()
    }

    fn claim(&mut self, folder: &str) -> Result<(), StorageError> {
        if self.locks.iter().any(|(claimed, _)| claimed == folder) {
            return Ok(());
        }
        self.claim_folder(folder).map_err(|error| {
            let mut failed = self.failed("write into", folder, &error);
            if error.kind() == io::ErrorKind::ResourceBusy {
                failed.trouble = Trouble::Busy;
            }
            failed
        })
    }

    fn create(&mut self, name: &str) -> Result<(), StorageError> {
        self.abandon()?;
        let (folder, file) = self.split("create", name)?;
        let partial = folder.join(format!(".{file}{PARTIAL}"));
        let opened = OpenOptions::new().create(true).truncate(true).write(true).open(&partial);
        let file = opened.map_err(|error| self.failed("create", name, &error))?;
        self.pending = Some(Pending { name: name.to_owned(), partial, file });
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let Some(pending) = &mut self.pending else { return Err(self.unbegun("write")) };
        let name = pending.name.clone();
        pending.file.write_all(bytes).map_err(|error| self.failed("write", &name, &error))
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let Some(pending) = &self.pending else { return Err(self.unbegun("sync")) };
        pending.file.sync_all().map_err(|error| self.failed("sync", &pending.name, &error))
    }

    fn publish(&mut self) -> Result<(), StorageError> {
        let Some(pending) = self.pending.take() else { return Err(self.unbegun("publish")) };
        let (folder, file) = self.split("publish", &pending.name)?;
        if let Err(error) = fs::rename(&pending.partial, folder.join(file)) {
            let failed = self.failed("publish", &pending.name, &error);
            // WHY: kept, so that `abandon` frees its room.
            self.pending = Some(pending);
            return Err(failed);
        }
        sync_folder(&folder).map_err(|error| self.failed("publish", &pending.name, &error))
    }

    fn abandon(&mut self) -> Result<(), StorageError> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        match fs::remove_file(&pending.partial) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("abandon", &pending.name, &error))
            }
            _ => Ok(()),
        }
    }

    fn list(&self, folder: Option<&str>) -> Result<Vec<Stored>, StorageError> {
        Ok(self.look(folder)?.0)
    }

    fn strange(&self, folder: Option<&str>) -> Result<Vec<String>, StorageError> {
        Ok(self.look(folder)?.1)
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>, StorageError> {
        let (folder, file) = self.split("open", name)?;
        match File::open(folder.join(file)) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(self.failed("open", name, &error)),
        }
    }

    fn delete(&mut self, name: &str) -> Result<(), StorageError> {
        let (folder, file) = self.split("delete", name)?;
        match fs::remove_file(folder.join(file)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(self.failed("delete", name, &error))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for LocalDir {
    fn drop(&mut self) {
        // WHY: what cannot be removed now, the next claim clears away.
        drop(self.abandon());
    }
}

/// Whether a folder may be that of a shard: of all partitions, or of those with a number.
fn is_shard(folder: &str) -> bool {
    let number = folder.strip_prefix('p').unwrap_or_default();
    folder == "all" || !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a name is one visible step of a path.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

// WHY: other systems cannot open folders, and journal renames themselves.
#[cfg(not(unix))]
fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
