//! The snapshots of one shard: written under names that sort by age, found again, loaded, pruned.
//!
//! A name is `SHARD/SEQUENCE-eEPOCH.rws`. The sequence grows with every attempt, so the largest is the newest whatever
//! became of epochs and offsets. Files with other names are somebody else's: never read, never deleted.
//!
//! # Invariants
//! - Loading goes from the newest to the oldest. A value counts only when its snapshot was read to the end and the
//!   trailer agreed; otherwise it is dropped, and the next older one is tried with a fresh one.
//! - Pruning follows a successful write only. It deletes what is older than the `keep`-th valid snapshot, and damaged
//!   ones that have a newer valid one. Those that could not be read, or of another format, are not judged: they go when
//!   they are old enough, never earlier.
//!
//! # Cost
//! Memory of one part. The first pruning reads the snapshots that it relies on; later ones remember.

use std::collections::BTreeMap;
use std::io::Read;

use crate::durable::container::{ContainerReader, ContainerWriter, Next, Totals};
use crate::durable::error::{ContainerError, SnapshotError, StorageError};
use crate::durable::header::{Header, Position};
use crate::durable::storage::{Storage, Stored};

/// Fewest valid snapshots that pruning leaves.
pub const MIN_KEEP: usize = 2;

/// Bytes that are collected before the storage is called.
const APPEND_BYTES: usize = 256 << 10;

/// Longest name of a shard.
const MAX_SHARD_NAME_BYTES: usize = 100;

/// Ending of a snapshot's name.
pub const ENDING: &str = ".rws";

/// How the name of a kept rule set begins.
const RULES_PREFIX: &str = "rules-";
/// How it ends.
pub const RULES_ENDING: &str = ".rwr";
/// Most rule sets that are kept beside the snapshots of a shard, but for those that a recovery may ask for.
pub const MOST_RULES: usize = 256;
/// Most bytes of theirs.
pub const MOST_RULES_BYTES: u64 = 256 * 1024 * 1024;

/// A rule set is written in parts of so many bytes.
const RULES_PART_BYTES: usize = 1 << 20;

/// The snapshots of one shard on a storage.
#[derive(Debug)]
pub struct Snapshots {
    storage: Box<dyn Storage + Send>,
    shard: String,
    keep: usize,
    /// The largest sequence that was ever tried or seen.
    last: u64,
    writing: Option<Writing>,
    /// What is known of published snapshots: whether they are valid.
    verdicts: BTreeMap<String, Verdict>,
    /// Whole ones that do not count.
    passed_over: Vec<String>,
}

/// A snapshot under construction.
#[derive(Debug)]
struct Writing {
    name: String,
    sequence: u64,
    container: ContainerWriter,
    buffer: Vec<u8>,
}

/// What pruning thinks of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Valid,
    Damaged,
    Unjudged,
}

/// A published snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its name on the storage.
    pub name: String,
    /// Its number.
    pub sequence: u64,
    /// Its epoch.
    pub epoch: u64,
    /// Its length.
    pub size_bytes: u64,
}

/// A snapshot that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its name on the storage.
    pub name: String,
    /// Its number.
    pub sequence: u64,
    /// What is in it.
    pub totals: Totals,
}

/// Why a snapshot was not used.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// It is damaged, foreign, of another format, or could not be read.
    #[error("{0}")]
    Container(ContainerError),
    /// It could not be opened.
    #[error("{0}")]
    Storage(StorageError),
    /// It belongs to another shard than its folder says.
    #[error("it belongs to shard `{0}`")]
    OtherShard(String),
    /// It has seen records that are not committed: the first such partition.
    #[error(
        "it has seen `{}`-{} up to {}, which is beyond the committed offset", .0.topic, .0.partition, .0.next_offset
    )]
    Ahead(Position),
    /// Whoever loaded it refused it.
    #[error("{0}")]
    Refused(String),
}

/// A snapshot that was not used, and why.
#[derive(Debug)]
pub struct Skipped {
    /// Its name on the storage.
    pub name: String,
    /// Why.
    pub reason: Reason,
}

/// What a search for a snapshot came to.
#[derive(Debug)]
pub struct Search<T> {
    /// The snapshot that was loaded, and what was made of it.
    pub loaded: Option<(Found, Header, T)>,
    /// The newer ones that were passed over, newest first.
    pub skipped: Vec<Skipped>,
}

impl<T> Search<T> {
    /// Whether nothing was loaded and something might have been, had the storage given it. Starting from nothing is not
    /// right then, while trying again may be.
    pub fn storage_in_the_way(&self) -> bool {
        let in_the_way = |skipped: &Skipped| {
            matches!(
                skipped.reason,
                Reason::Storage(_) | Reason::Container(ContainerError::Unreadable(_))
            )
        };
        self.loaded.is_none() && self.skipped.iter().any(in_the_way)
    }
}

/// Why a snapshot could not be loaded.
#[derive(Debug)]
pub enum LoadError {
    /// The parts could not be read.
    Container(ContainerError),
    /// They could, and make no state: in the engine's words.
    Refused(String),
}

impl From<ContainerError> for LoadError {
    fn from(error: ContainerError) -> Self {
        Self::Container(error)
    }
}

/// The parts of a snapshot that is being loaded.
#[derive(Debug)]
pub struct Parts<'r> {
    reader: ContainerReader<Box<dyn Read + 'r>>,
    ended: bool,
    broken: bool,
}

impl Parts<'_> {
    /// Reads the next part into `out`, in place of what it held.
    ///
    /// # Errors
    /// When the snapshot is damaged or cannot be read; what was made of it so far is worth nothing then.
    pub fn next_part(&mut self, out: &mut Vec<u8>) -> Result<Next, ContainerError> {
        let next = self.reader.next_part(out);
        self.ended = matches!(next, Ok(Next::End));
        self.broken |= next.is_err();
        next
    }

    /// Reads what nobody asked for, so that damage there shows too.
    fn rest(&mut self) -> Result<(), ContainerError> {
        let mut unread = Vec::new();
        while !self.ended {
            self.next_part(&mut unread)?;
        }
        Ok(())
    }
}

impl Snapshots {
    /// The snapshots of a shard. `keep` below [`MIN_KEEP`] counts as that.
    ///
    /// # Errors
    /// When the shard's name cannot be that of a folder.
    pub fn new(
        storage: Box<dyn Storage + Send>,
        shard: &str,
        keep: usize,
    ) -> Result<Self, SnapshotError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let sound = !shard.is_empty()
            && shard.len() <= MAX_SHARD_NAME_BYTES
            && !shard.starts_with('.')
            && shard.chars().all(plain);
        if !sound {
            return Err(SnapshotError::ShardName { shard: shard.to_owned() });
        }
        let (shard, keep) = (shard.to_owned(), keep.max(MIN_KEEP));
        let (verdicts, passed_over) = (BTreeMap::new(), Vec::new());
        Ok(Self { storage, shard, keep, last: 0, writing: None, verdicts, passed_over })
    }

    /// The place in words, for messages.
    pub fn place(&self) -> String {
        self.storage.place()
    }

    /// The shard.
    pub fn shard(&self) -> &str {
        &self.shard
    }

    /// The published snapshots, newest first.
    ///
    /// # Errors
    /// When the storage cannot list them.
    pub fn list(&self) -> Result<Vec<Found>, StorageError> {
        let stored = self.storage.list(Some(&self.shard))?;
        let mut found: Vec<Found> = stored.into_iter().filter_map(parse_name).collect();
        found.sort_by(|a, b| (b.sequence, &b.name).cmp(&(a.sequence, &a.name)));
        Ok(found)
    }

    /// Makes this the one writer of the shard and clears away what crashed ones left. [`Self::begin`] does it too.
    ///
    /// # Errors
    /// When another process writes there, or the storage fails.
    pub fn claim(&mut self) -> Result<(), StorageError> {
        self.storage.claim(&self.shard)
    }

    /// Begins a snapshot; one that was begun before is abandoned. Shard and sequence of the header are set here.
    ///
    /// # Errors
    /// When the storage fails or the header is too large.
    pub fn begin(&mut self, header: &Header) -> Result<(), SnapshotError> {
        self.abandon()?;
        self.claim()?;
        let newest = self.list()?.into_iter().next();
        let last = newest.as_ref().map_or(0, |found| found.sequence).max(self.last);
        let Some(sequence) = last.checked_add(1) else {
            let name = newest.map(|found| found.name).unwrap_or_default();
            return Err(SnapshotError::NoNumber { name });
        };
        self.last = sequence;
        let name = format!("{}/{sequence:012}-e{}{ENDING}", self.shard, header.epoch);
        let header = Header { shard: self.shard.clone(), sequence, ..header.clone() };
        let mut buffer = Vec::new();
        let container = ContainerWriter::begin(&header, &mut buffer)
            .map_err(|error| SnapshotError::Container { name: name.clone(), error })?;
        self.storage.create(&name)?;
        self.writing = Some(Writing { name, sequence, container, buffer });
        Ok(())
    }

    /// Writes one part.
    ///
    /// # Errors
    /// When the storage fails or the part is too large. The snapshot is abandoned then.
    pub fn part(&mut self, part: &[u8]) -> Result<(), SnapshotError> {
        let Some(mut writing) = self.writing.take() else { return Err(SnapshotError::NotBegun) };
        match self.write_part(&mut writing, part) {
            Ok(()) => {
                self.writing = Some(writing);
                Ok(())
            }
            Err(error) => Err(self.give_up(error)),
        }
    }

    /// Completes the snapshot: all of it is synced, and then it has its name.
    ///
    /// # Errors
    /// When the storage fails. The snapshot is abandoned then, as far as it goes.
    pub fn finish(&mut self) -> Result<Written, SnapshotError> {
        let Some(mut writing) = self.writing.take() else { return Err(SnapshotError::NotBegun) };
        let totals = writing.container.finish(&mut writing.buffer);
        let published = self
            .storage
            .append(&writing.buffer)
            .and_then(|()| self.storage.sync())
            .and_then(|()| self.storage.publish());
        if let Err(error) = published {
            return Err(self.give_up(error.into()));
        }
        let Writing { name, sequence, .. } = writing;
        self.verdicts.insert(name.clone(), Verdict::Valid);
        Ok(Written { name, sequence, totals })
    }

    /// Keeps a rule set beside the snapshots, under its identity, so that records can be decided by it once more. The
    /// snapshot under construction is abandoned. Of more than [`MOST_RULES`] or [`MOST_RULES_BYTES`], those that neither a
    /// snapshot nor `in_use` names are deleted, in no order that means anything.
    ///
    /// # Errors
    /// When the storage fails, or the rule set is larger than a part can be.
    pub fn keep_rules(
        &mut self,
        id: &str,
        rules: &[u8],
        in_use: &[String],
    ) -> Result<(), SnapshotError> {
        self.abandon()?;
        self.claim()?;
        let name = self.rules_name(id);
        let stored = self.storage.list(Some(&self.shard))?;
        let is_there = stored.iter().any(|stored| stored.name == name);
        // WHY: a file that is damaged keeps nothing, nor does one that cannot be read; the bytes are the same for an identity.
        let is_whole = is_there && self.load_rules(id).is_ok();
        if !is_whole {
            let of_container = |error| SnapshotError::Container { name: name.clone(), error };
            let header = Header {
                product_version: env!("CARGO_PKG_VERSION").to_owned(),
                shard: self.shard.clone(),
                sequence: 0,
                epoch: 0,
                ruleset: id.to_owned(),
                engine_digest: String::new(),
                positions: Vec::new(),
                event_time_ms: None,
                created_at_ms: 0,
            };
            let mut buffer = Vec::new();
            let mut container =
                ContainerWriter::begin(&header, &mut buffer).map_err(of_container)?;
            for part in rules.chunks(RULES_PART_BYTES) {
                container.part(part, &mut buffer).map_err(of_container)?;
            }
            container.finish(&mut buffer);
            let written = self
                .storage
                .create(&name)
                .and_then(|()| self.storage.append(&buffer))
                .and_then(|()| self.storage.sync())
                .and_then(|()| self.storage.publish());
            if let Err(error) = written {
                return Err(self.give_up(error.into()));
            }
        }
        self.drop_rules(&stored, id, in_use)
    }

    /// Reads a rule set that was kept.
    ///
    /// # Errors
    /// When there is none of this identity, or it is damaged.
    pub fn load_rules(&self, id: &str) -> Result<Vec<u8>, SnapshotError> {
        let name = self.rules_name(id);
        let of_container = |error| SnapshotError::Container { name: name.clone(), error };
        let input = self.storage.open(&name)?;
        let mut reader = ContainerReader::open(input).map_err(of_container)?;
        if let Some(reason) = misplaced(&name, reader.header()) {
            return Err(SnapshotError::Misplaced { name, reason });
        }
        let (mut rules, mut part) = (Vec::new(), Vec::new());
        while reader.next_part(&mut part).map_err(of_container)? == Next::Part {
            rules.append(&mut part);
        }
        Ok(rules)
    }

    /// Entries beside the snapshots that are named like one, or like a rule set, and are no files.
    ///
    /// # Errors
    /// When the storage cannot list them.
    pub fn strange(&self) -> Result<Vec<String>, StorageError> {
        let mut strange = self.storage.strange(Some(&self.shard))?;
        strange.retain(|name| is_ours(name));
        Ok(strange)
    }

    fn rules_name(&self, id: &str) -> String {
        rules_name(&self.shard, id)
    }

    /// Deletes rule sets that no recovery will ask for, as far as there are too many.
    ///
    /// WHY: a decision of long ago is derived again by its own rule set, and they are small.
    fn drop_rules(
        &mut self,
        stored: &[Stored],
        id: &str,
        in_use: &[String],
    ) -> Result<(), SnapshotError> {
        let all: Vec<&Stored> =
            stored.iter().filter(|stored| stored.name.ends_with(RULES_ENDING)).collect();
        let mut n = all.len();
        let mut bytes: u64 = all.iter().map(|stored| stored.size_bytes).sum();
        if n <= MOST_RULES && bytes <= MOST_RULES_BYTES {
            return Ok(());
        }
        let named = |name: &str, id: &str| name == self.rules_name(id);
        let mut superfluous: Vec<Stored> = all
            .into_iter()
            .filter(|stored| !named(&stored.name, id))
            .filter(|stored| !in_use.iter().any(|id| named(&stored.name, id)))
            .cloned()
            .collect();
        for found in self.list()? {
            // WHY: what cannot be read now may be readable later, and may need any of them.
            let Ok(input) = self.storage.open(&found.name) else { return Ok(()) };
            let Ok(reader) = ContainerReader::open(input) else { return Ok(()) };
            let needed = self.rules_name(&reader.header().ruleset);
            superfluous.retain(|stored| stored.name != needed);
        }
        for Stored { name, size_bytes } in superfluous {
            if n <= MOST_RULES && bytes <= MOST_RULES_BYTES {
                break;
            }
            self.storage.delete(&name)?;
            (n, bytes) = (n - 1, bytes.saturating_sub(size_bytes));
        }
        Ok(())
    }

    /// Drops the snapshot under construction, if there is one.
    ///
    /// # Errors
    /// When the storage cannot remove it; nobody will take it for a snapshot.
    pub fn abandon(&mut self) -> Result<(), StorageError> {
        self.writing = None;
        self.storage.abandon()
    }

    /// Loads the newest snapshot that has seen nothing beyond the committed offsets, is whole, and that `load` takes.
    ///
    /// `load` is called anew for each snapshot that is tried. What it returns counts only when the snapshot was read
    /// to its end without damage; what it did not read is read after it.
    ///
    /// # Errors
    /// When the snapshots cannot be listed. A single one that cannot be read is skipped; see
    /// [`Search::storage_in_the_way`].
    pub fn load_newest<T>(
        &self,
        committed: &[Position],
        mut load: impl FnMut(&Header, &mut Parts<'_>) -> Result<T, LoadError>,
    ) -> Result<Search<T>, StorageError> {
        let mut search = Search { loaded: None, skipped: Vec::new() };
        for found in self.list()? {
            match self.try_load(&found, committed, &mut load) {
                Ok((header, value)) => {
                    search.loaded = Some((found, header, value));
                    break;
                }
                Err(reason) => search.skipped.push(Skipped { name: found.name, reason }),
            }
        }
        Ok(search)
    }

    /// What the newest snapshot whose beginning is whole says of itself; none where none can be read.
    pub fn newest_header(&self) -> Option<Header> {
        let open = |found: Found| {
            let reader = ContainerReader::open(self.storage.open(&found.name).ok()?).ok()?;
            Some(reader.header().clone()).filter(|header| header.shard == self.shard)
        };
        self.list().ok()?.into_iter().find_map(open)
    }

    /// Finds the newest snapshot that [`Self::load_newest`] would load, and reads all of it.
    ///
    /// # Errors
    /// When the snapshots cannot be listed.
    pub fn newest_valid(&self, committed: &[Position]) -> Result<Search<()>, StorageError> {
        self.load_newest(committed, |_, _| Ok(()))
    }

    /// Snapshots that are whole and yet of no use to whoever starts: pruning keeps others in their place.
    ///
    /// WHY: they have seen records that nobody committed. When those are decided again it may be by another rule set; of
    /// two that are kept, one such and the newest, which is not committed yet, none would be of use after a crash.
    pub fn pass_over(&mut self, names: Vec<String>) {
        self.passed_over = names;
    }

    /// Deletes what is no longer of use, after a snapshot was written; the names.
    ///
    /// # Errors
    /// When the storage cannot list or delete. What was deleted until then was of no use.
    pub fn prune(&mut self) -> Result<Vec<String>, StorageError> {
        let all = self.list()?;
        self.verdicts.retain(|name, _| all.iter().any(|found| found.name == *name));
        let mut n_valid = 0;
        let mut deleted = Vec::new();
        for found in all {
            let superfluous = n_valid >= self.keep || {
                let verdict = self.judge(&found);
                let damaged = verdict == Verdict::Damaged && n_valid > 0;
                let counts = verdict == Verdict::Valid && !self.passed_over.contains(&found.name);
                n_valid += usize::from(counts);
                damaged
            };
            if superfluous {
                self.storage.delete(&found.name)?;
                deleted.push(found.name);
            }
        }
        Ok(deleted)
    }

    fn write_part(&mut self, writing: &mut Writing, part: &[u8]) -> Result<(), SnapshotError> {
        let Writing { name, container, buffer, .. } = writing;
        container
            .part(part, buffer)
            .map_err(|error| SnapshotError::Container { name: name.clone(), error })?;
        if buffer.len() >= APPEND_BYTES {
            self.storage.append(buffer)?;
            buffer.clear();
        }
        Ok(())
    }

    /// Abandons what was begun, and hands the error on: it matters more than one in abandoning.
    fn give_up(&mut self, error: SnapshotError) -> SnapshotError {
        drop(self.storage.abandon());
        error
    }

    fn try_load<T>(
        &self,
        found: &Found,
        committed: &[Position],
        load: &mut impl FnMut(&Header, &mut Parts<'_>) -> Result<T, LoadError>,
    ) -> Result<(Header, T), Reason> {
        let input = self.storage.open(&found.name).map_err(Reason::Storage)?;
        let reader = ContainerReader::open(input).map_err(Reason::Container)?;
        let header = reader.header().clone();
        if header.shard != self.shard {
            return Err(Reason::OtherShard(header.shard));
        }
        if let Some(ahead) = header.first_ahead(committed) {
            return Err(Reason::Ahead(ahead.clone()));
        }
        let mut parts = Parts { reader, ended: false, broken: false };
        match load(&header, &mut parts) {
            Ok(value) if !parts.broken => {
                parts.rest().map_err(Reason::Container)?;
                Ok((header, value))
            }
            Ok(_) => Err(Reason::Refused("damage was met and passed over".to_owned())),
            Err(LoadError::Container(error)) => Err(Reason::Container(error)),
            Err(LoadError::Refused(reason)) => Err(Reason::Refused(reason)),
        }
    }

    fn judge(&mut self, found: &Found) -> Verdict {
        if let Some(verdict) = self.verdicts.get(&found.name) {
            return *verdict;
        }
        let examined = match self.storage.open(&found.name) {
            Ok(input) => examine(input).1,
            // WHY: what could not be opened now may be open the next time.
            Err(_) => return Verdict::Unjudged,
        };
        let verdict = match examined {
            Ok(_) => Verdict::Valid,
            Err(ContainerError::Damaged { .. } | ContainerError::Foreign) => Verdict::Damaged,
            Err(ContainerError::Unreadable(_)) => return Verdict::Unjudged,
            Err(_) => Verdict::Unjudged,
        };
        self.verdicts.insert(found.name.clone(), verdict);
        verdict
    }
}

/// The name under which a rule set lies beside the snapshots of a shard.
pub fn rules_name(shard: &str, id: &str) -> String {
    format!("{shard}/{RULES_PREFIX}{id}{RULES_ENDING}")
}

/// Whether something is named like a snapshot or a rule set that is kept beside them.
pub fn is_ours(name: &str) -> bool {
    name.ends_with(ENDING) || name.ends_with(RULES_ENDING)
}

/// Whether the header of a whole container says another place than its name `SHARD/FILE`, and which.
pub fn misplaced(name: &str, header: &Header) -> Option<String> {
    let (shard, file) = name.rsplit_once('/')?;
    let shard = shard.rsplit_once('/').map_or(shard, |(_, last)| last);
    if header.shard != shard {
        return Some(format!("it belongs to shard `{}`", header.shard));
    }
    if let Some((sequence, epoch)) = numbers(file) {
        let (told, known) = ((sequence, epoch), (header.sequence, header.epoch));
        return (told != known)
            .then(|| format!("it is number {} of epoch {}", header.sequence, header.epoch));
    }
    let id = file.strip_prefix(RULES_PREFIX)?.strip_suffix(RULES_ENDING)?;
    (header.ruleset != id).then(|| format!("it is rule set `{}`", header.ruleset))
}

/// Reads all of a container: its header, as far as there is one, and what is in it or wrong with it.
pub fn examine(input: impl Read) -> (Option<Header>, Result<Totals, ContainerError>) {
    let mut reader = match ContainerReader::open(input) {
        Ok(reader) => reader,
        Err(error) => return (None, Err(error)),
    };
    let mut part = Vec::new();
    loop {
        match reader.next_part(&mut part) {
            Ok(Next::Part) => {}
            Ok(Next::End) => return (Some(reader.header().clone()), Ok(reader.totals())),
            Err(error) => return (Some(reader.header().clone()), Err(error)),
        }
    }
}

/// Reads `SHARD/SEQUENCE-eEPOCH.rws`.
fn parse_name(stored: Stored) -> Option<Found> {
    let (sequence, epoch) = numbers(stored.name.rsplit_once('/')?.1)?;
    Some(Found { sequence, epoch, size_bytes: stored.size_bytes, name: stored.name })
}

/// Sequence and epoch of `SEQUENCE-eEPOCH.rws`.
fn numbers(file: &str) -> Option<(u64, u64)> {
    let (sequence, epoch) = file.strip_suffix(ENDING)?.split_once("-e")?;
    Some((number(sequence)?, number(epoch)?))
}

fn number(digits: &str) -> Option<u64> {
    digits.parse().ok().filter(|_| digits.bytes().all(|byte| byte.is_ascii_digit()))
}
