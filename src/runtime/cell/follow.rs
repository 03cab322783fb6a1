//! How a cell follows the rule set that is wanted: kept beside the snapshots first, then noted by a commit, then it decides.
//!
//! INVARIANT: no record is decided in an epoch, and no snapshot taken, before the group has committed the note that names
//! the epoch. So whatever an outsider saw, a restart finds the same rule set at the same offset.

use std::collections::BTreeMap;

use crate::base::planted::{Bug, is_planted};
use crate::runtime::cell::{Cell, SAVING, SETTLE};
use crate::runtime::early::Early;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, Partition, Polled, Source as _};
use crate::runtime::port::{Engines, Step as _};
use crate::runtime::shard::{Prepared, Shard};
use crate::telemetry::happening;

/// Whether a shard decides by the wanted rule set, and says so.
fn is_active<S>(shard: &Shard<S>, wanted: &str) -> bool {
    shard.ruleset == wanted && shard.epochs.last().is_some_and(|epoch| epoch.ruleset == wanted)
}

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// Makes the wanted rule set active where it is not: once it is kept beside the snapshots, between two records,
    /// with nothing in flight. False: nothing may be decided yet, because the group has not committed which rule set it is.
    pub(super) fn follow_rules(&mut self) -> Result<bool, RunError> {
        if !self.noted && !self.note()? {
            return Ok(false);
        }
        self.engines.poll();
        if self.all_at_work(|shard| is_active(shard, self.engines.wanted())) {
            if !self.assigned.is_empty() {
                self.engines.tell_active();
            }
            return Ok(true);
        }
        let wanted = self.engines.wanted().to_owned();
        if !self.prepare(&wanted) || !self.settle(SETTLE)? || !self.know_beginnings() {
            // WHY: what is active goes on; but nothing begins that has no name yet.
            return Ok(self.all_at_work(Shard::is_named));
        }
        self.note_applied();
        for at in 0..self.shards.len() {
            let from = self.next_of(at);
            let Some(shard) = self.shards.get_mut(at).filter(|_| !from.is_empty()) else {
                continue;
            };
            if let Err(error) = shard.enter(&wanted, from, &mut *self.engines) {
                let reason = error.to_string();
                self.engines.refuse(&shard.ruleset, &reason);
                happening::RuleSetRefused { reason: &reason }.emit();
                break;
            }
        }
        self.write_notes();
        if is_planted(Bug::NoteSkipped) {
            return Ok(true);
        }
        self.noted = false;
        self.note()
    }

    /// Whether all shards that have partitions are so.
    fn all_at_work(&self, is: impl Fn(&Shard<E::Engine>) -> bool) -> bool {
        self.assigned.iter().all(|ours| self.shards.get(ours.shard).is_some_and(&is))
    }

    /// Whether the wanted rule set may become active now in every shard that is at work and does not have it.
    fn prepare(&mut self, wanted: &str) -> bool {
        let mut ready = !self.assigned.is_empty();
        let mut behind = false;
        for at in 0..self.shards.len() {
            let is_ours = self.assigned.iter().any(|ours| ours.shard == at);
            let Some(shard) = self.shards.get_mut(at).filter(|_| is_ours) else { continue };
            if is_active(shard, wanted) {
                continue;
            }
            behind = true;
            match shard.prepare(wanted, &*self.engines) {
                Prepared::Yes => {}
                Prepared::NotYet => ready = false,
                Prepared::No(reason) => {
                    self.engines.refuse(&shard.ruleset, &reason);
                    happening::RuleSetRefused { reason: &reason }.emit();
                    return false;
                }
            }
        }
        behind && ready
    }

    /// Finds out where partitions begin that nobody has read: an epoch begins at an offset.
    fn know_beginnings(&mut self) -> bool {
        let timeout = self.config.call_timeout();
        for ours in self.assigned.iter_mut().filter(|ours| ours.untouched) {
            match self.source.bounds(&ours.partition, timeout) {
                Ok((low, _)) => ours.next = ours.next.max(low),
                Err(error) => {
                    let attempted = "ask for the oldest offset";
                    let (code, error) = (error.code.as_str(), error.text.as_str());
                    happening::KafkaTrouble { attempted, code, error }.emit();
                    return false;
                }
            }
        }
        true
    }

    /// The next offset of each partition of a shard.
    fn next_of(&self, shard: usize) -> BTreeMap<Partition, i64> {
        let of_shard = self.assigned.iter().filter(|ours| ours.shard == shard);
        of_shard.map(|ours| (ours.partition.clone(), ours.next)).collect()
    }

    /// Has the group commit the notes that name the latest epochs.
    fn note(&mut self) -> Result<bool, RunError> {
        let position = |ours: &super::Assigned| {
            let digest = self.shards.get(ours.shard).and_then(|shard| shard.engine.digest());
            (ours.partition.clone(), ours.next, digest)
        };
        let positions = self.assigned.iter().map(position).collect();
        self.delivery.note(positions);
        self.noted = self.settle(SETTLE)?;
        Ok(self.noted)
    }

    /// Stays in the group while nothing may be decided. A record that comes all the same is kept.
    pub(super) fn wait_for_note(&mut self) -> Result<(), RunError> {
        if !self.paused {
            self.source.pause()?;
            self.paused = true;
        }
        if let Polled::Record(record) = self.source.poll(SAVING)? {
            self.early.push(Early::of(&record));
        }
        if self.noted {
            // The rule set is still being kept.
            self.checkpoint();
        }
        Ok(())
    }

    /// Brings the notes of commits up to date.
    pub(super) fn write_notes(&mut self) {
        self.notes.clear();
        for super::Assigned { partition, shard, .. } in &self.assigned {
            let Some(shard) = self.shards.get(*shard) else { continue };
            self.notes.insert(partition.clone(), shard.epochs.entries(partition));
        }
    }
}
