//! How a cell has the group note which rule set decides, and waits for it.
//!
//! INVARIANT: no record is decided in an epoch, and no snapshot taken, before the group has committed the note that names
//! the epoch. So whatever an outsider saw, a restart finds the same rule set at the same offset.

use crate::runtime::cell::{Assigned, Cell, SAVING, SETTLE};
use crate::runtime::early::Early;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, Partition, Polled, Source as _};
use crate::runtime::note::Mark;
use crate::runtime::port::{Engines, Step};
use crate::telemetry::happening;

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// Finds out where partitions begin that nobody has read: an epoch begins at an offset. False: not known yet.
    pub(super) fn know_beginnings(&mut self) -> bool {
        let timeout = self.config.call_timeout();
        for ours in self.assigned.iter_mut().filter(|ours| ours.untouched) {
            match self.source.bounds(&ours.partition, timeout) {
                Ok((low, _)) => (ours.next, ours.untouched) = (ours.next.max(low), false),
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

    /// Has the group commit the notes that name the latest epochs. False: it has not yet.
    pub(super) fn note(&mut self) -> Result<bool, RunError> {
        let sequence = self.sequence;
        let position = |ours: &Assigned| {
            let engine = self.shards.get(ours.shard).map(|shard| &shard.engine);
            let digest = engine.and_then(Step::digest);
            let event_time_ms = engine.and_then(Step::event_time_ms);
            let number = Some(sequence).filter(|number| *number > 0);
            let Partition { topic, number: partition } = &ours.partition;
            let chain = engine.and_then(|engine| engine.audit_link(topic, *partition));
            let mark = Mark { digest, record: ours.record, event_time_ms, number, chain };
            (ours.partition.clone(), ours.next, mark)
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
        match self.source.poll(SAVING)? {
            Polled::Nothing => {}
            Polled::Trouble(trouble) => self.doubt.hear(&trouble),
            Polled::Record(record) => self.early.push(Early::of(&record)),
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
        for Assigned { partition, shard, .. } in &self.assigned {
            let Some(shard) = self.shards.get(*shard) else { continue };
            self.notes.insert(partition.clone(), shard.epochs.entries(partition));
        }
    }
}
