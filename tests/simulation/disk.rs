//! The disk of each slot: every call is a moment at which anything may happen; what was not synced may be lost.
//!
//! A killed process loses nothing that it wrote. A loss of power takes what was not synced, from a random byte on, also
//! of objects that have their name already. Now and then a byte of a published object turns.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{Cursor, Read};
use std::sync::MutexGuard;
use std::time::Duration;

use riskweir::durable::snapshots::ENDING;
use riskweir::durable::writer::{Outcome, Scribe};
use riskweir::durable::{Job, Report, Snapshots, Storage, StorageError, Stored, Trouble};
use riskweir::runtime::vault::{SnapshotQueue, Vault};

use super::dice::Dice;
use super::ports::micros;
use super::profile::MS;
use super::world::{Ctx, State};

/// Bytes, and how many of them would survive a loss of power.
#[derive(Clone, Debug, Default)]
struct Object {
    bytes: Vec<u8>,
    synced: usize,
}

impl Object {
    fn lose_power(&mut self, dice: &mut Dice) {
        if self.synced < self.bytes.len() {
            let spare = (self.bytes.len() - self.synced + 1) as u64;
            let kept = self.synced + usize::try_from(dice.below(spare)).unwrap();
            self.bytes.truncate(kept);
        }
    }
}

/// The disk of one slot.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    published: BTreeMap<String, Object>,
    /// What is under construction, by the handle that writes it.
    partials: BTreeMap<u64, (String, Object)>,
    /// The handle that writes a folder, and whose it is.
    locks: BTreeMap<String, (u64, (usize, u64))>,
}

impl Disk {
    /// The power fails.
    pub(crate) fn lose_power(&mut self, dice: &mut Dice) {
        let partials = self.partials.values_mut().map(|(_, object)| object);
        self.published.values_mut().chain(partials).for_each(|object| object.lose_power(dice));
    }

    /// A life has ended: others may write.
    pub(crate) fn release(&mut self, owner: (usize, u64)) {
        self.locks.retain(|_, (_, holder)| *holder != owner);
    }

    /// The snapshots of a shard, oldest first.
    pub(crate) fn snapshots(&self, shard: &str) -> Vec<&[u8]> {
        let start = format!("{shard}/");
        let named = |name: &str| name.starts_with(&start) && name.ends_with(ENDING);
        let objects = self.published.iter().filter(|(name, _)| named(name));
        objects.map(|(_, object)| object.bytes.as_slice()).collect()
    }

    /// A byte of a published snapshot turns; tells which.
    pub(crate) fn rot(&mut self, dice: &mut Dice) -> Option<String> {
        let snapshots = || self.published.keys().filter(|name| name.ends_with(ENDING));
        let pick = usize::try_from(dice.below(snapshots().count().max(1) as u64)).unwrap();
        let name = snapshots().nth(pick)?.clone();
        let object = self.published.get_mut(&name)?;
        let at = usize::try_from(dice.below(object.bytes.len().max(1) as u64)).unwrap();
        let byte = object.bytes.get_mut(at)?;
        *byte ^= 1 << dice.below(8);
        Some(format!("byte {at} of {name}"))
    }
}

/// The storage of one life.
pub(crate) struct SimStorage {
    ctx: Ctx,
    handle: u64,
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimStorage")
    }
}

impl SimStorage {
    fn error(attempted: &'static str, object: &str, trouble: Trouble) -> StorageError {
        let (object, place) = (object.to_owned(), "simulated disk".to_owned());
        StorageError { attempted, object, place, trouble, reason: "simulated".to_owned() }
    }

    /// A call: it may never return, take long, or fail.
    fn step(
        &self,
        attempted: &'static str,
        object: &str,
    ) -> Result<MutexGuard<'_, State>, StorageError> {
        let mut state = self.ctx.call();
        let slot = self.ctx.slot;
        state.note(|| format!("#{slot} {attempted} {object}"));
        if state.dice.one_in(20) {
            let at = state.now + state.dice.below(30 * MS);
            state = self.ctx.wait(state, at, false);
        }
        let chance = state.profile.disk_fault;
        if state.strikes(chance) {
            state.stats.disk_faults += 1;
            let trouble = state.dice.pick(&[Trouble::Full, Trouble::ReadOnly, Trouble::Other]);
            return Err(Self::error(attempted, object, trouble));
        }
        Ok(state)
    }

    fn disk<'a>(&self, state: &'a mut State) -> &'a mut Disk {
        let disk = state.disk_of(self.ctx.slot);
        &mut state.disks[disk]
    }

    fn partial<'a>(&self, state: &'a mut State) -> Option<&'a mut Object> {
        self.disk(state).partials.get_mut(&self.handle).map(|(_, object)| object)
    }
}

impl Storage for SimStorage {
    fn place(&self) -> String {
        "simulated disk".to_owned()
    }

    fn claim(&mut self, folder: &str) -> Result<(), StorageError> {
        let mut state = self.step("claim", folder)?;
        let (start, me) = (format!("{folder}/"), (self.handle, (self.ctx.slot, self.ctx.life)));
        let disk = self.disk(&mut state);
        if *disk.locks.entry(folder.to_owned()).or_insert(me) != me {
            return Err(Self::error("claim", folder, Trouble::Busy));
        }
        disk.partials.retain(|_, (name, _)| !name.starts_with(&start));
        Ok(())
    }

    fn create(&mut self, name: &str) -> Result<(), StorageError> {
        let mut state = self.step("create", name)?;
        let begun = (name.to_owned(), Object::default());
        self.disk(&mut state).partials.insert(self.handle, begun);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let mut state = match self.step("append", "") {
            Ok(state) => state,
            Err(error) => {
                let mut state = self.ctx.quietly();
                let torn = usize::try_from(state.dice.below(bytes.len() as u64 + 1)).unwrap();
                if let Some(object) = self.partial(&mut state) {
                    object.bytes.extend_from_slice(&bytes[..torn]);
                }
                return Err(error);
            }
        };
        let object = self.partial(&mut state);
        let object = object.ok_or_else(|| Self::error("append", "", Trouble::NotFound))?;
        object.bytes.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        let mut state = self.step("sync", "")?;
        let object = self.partial(&mut state);
        let object = object.ok_or_else(|| Self::error("sync", "", Trouble::NotFound))?;
        object.synced = object.bytes.len();
        Ok(())
    }

    fn publish(&mut self) -> Result<(), StorageError> {
        let (mut state, failed) = match self.step("publish", "") {
            Ok(state) => (state, None),
            Err(error) => (self.ctx.quietly(), Some(error)),
        };
        // WHY: after a failure the name may be visible or not.
        if failed.is_none() || state.dice.one_in(2) {
            let disk = self.disk(&mut state);
            if let Some((name, object)) = disk.partials.remove(&self.handle) {
                // WHY: a rule set that is damaged is kept again under its name; a snapshot never is.
                let again = disk.published.contains_key(&name) && !name.contains("/rules-");
                assert!(!again, "`{name}` is written twice");
                disk.published.insert(name, object);
                state.stats.snapshots += 1;
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn abandon(&mut self) -> Result<(), StorageError> {
        let mut state = self.step("abandon", "")?;
        self.disk(&mut state).partials.remove(&self.handle);
        Ok(())
    }

    fn list(&self, folder: Option<&str>) -> Result<Vec<Stored>, StorageError> {
        let mut state = self.step("list", folder.unwrap_or(""))?;
        let start = folder.map_or_else(String::new, |folder| format!("{folder}/"));
        let stored = self.disk(&mut state).published.iter();
        let stored = stored.filter(|(name, _)| name.starts_with(&start)).map(|(name, object)| {
            let size_bytes = u64::try_from(object.bytes.len()).unwrap();
            Stored { name: name.clone(), size_bytes }
        });
        Ok(stored.collect())
    }

    fn open(&self, name: &str) -> Result<Box<dyn Read + '_>, StorageError> {
        let mut state = self.step("open", name)?;
        let object = self.disk(&mut state).published.get(name);
        let object = object.ok_or_else(|| Self::error("open", name, Trouble::NotFound))?;
        Ok(Box::new(Cursor::new(object.bytes.clone())))
    }

    fn delete(&mut self, name: &str) -> Result<(), StorageError> {
        let mut state = self.step("delete", name)?;
        self.disk(&mut state).published.remove(name);
        Ok(())
    }
}

impl Drop for SimStorage {
    fn drop(&mut self) {
        let mut state = self.ctx.quietly();
        self.disk(&mut state).locks.retain(|_, (handle, _)| *handle != self.handle);
    }
}

/// The place of one life.
pub(crate) struct SimVault(pub(crate) Ctx);

impl fmt::Debug for SimVault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimVault")
    }
}

impl Vault for SimVault {
    fn storage(&self) -> Result<Box<dyn Storage + Send>, StorageError> {
        let handle = self.0.quietly().new_client();
        Ok(Box::new(SimStorage { ctx: self.0.clone(), handle }))
    }

    fn scribe(&self, snapshots: Snapshots) -> Result<Box<dyn SnapshotQueue>, StorageError> {
        let (jobs, reports) = (VecDeque::new(), VecDeque::new());
        let scribe = Scribe::new(snapshots);
        Ok(Box::new(Queue { ctx: self.0.clone(), scribe, jobs, reports, begun_at: 0 }))
    }
}

/// Does jobs when it is asked for reports, as many as the dice say: a thread beside the cell that is sometimes slow.
struct Queue {
    ctx: Ctx,
    scribe: Scribe,
    jobs: VecDeque<Job>,
    reports: VecDeque<Report>,
    begun_at: u64,
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Queue")
    }
}

impl Queue {
    fn work(&mut self) {
        let Some(job) = self.jobs.pop_front() else { return };
        if matches!(job, Job::Begin { .. }) {
            self.begun_at = self.ctx.quietly().now;
        }
        let report = match self.scribe.take(job) {
            Outcome::Quiet => return,
            Outcome::Failed(error) => Report::Failed { error },
            Outcome::Rules(id, error) => Report::Rules { id, error },
            Outcome::Done { written, created_at_ms } => {
                let took = Duration::from_micros(self.ctx.quietly().now - self.begun_at);
                let not_pruned = self.scribe.prune().err();
                Report::Done { written, created_at_ms, took, not_pruned }
            }
        };
        self.reports.push_back(report);
    }
}

impl SnapshotQueue for Queue {
    fn offer(&mut self, job: Job) -> Result<(), Job> {
        let most = 1 + self.ctx.quietly().dice.below(6);
        if self.jobs.len() as u64 >= most {
            return Err(job);
        }
        self.jobs.push_back(job);
        Ok(())
    }

    fn report(&mut self, wait: Duration) -> Option<Report> {
        let n_jobs = if wait.is_zero() { self.ctx.quietly().dice.below(3) } else { 8 };
        for _ in 0..n_jobs {
            if self.reports.is_empty() {
                self.work();
            }
        }
        if self.reports.is_empty() && !wait.is_zero() {
            let state = self.ctx.call();
            let until = state.now + micros(wait);
            drop(self.ctx.wait(state, until, false));
        }
        self.reports.pop_front()
    }
}
