//! A shard: one engine and the input partitions whose records it takes.
//!
//! By default one shard has all partitions of the instance, so that every key of a rule lies in one place. A rule set
//! whose keys all follow the partition can have one shard per partition number, which moves between instances.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::runtime::checkpoint::{Checkpoints, Standing};
use crate::runtime::clock::Clock;
use crate::runtime::log::Partition;
use crate::runtime::port::Step;

/// See the module.
#[derive(Debug)]
pub(crate) struct Shard<S> {
    /// Its name: that of its snapshots.
    pub(crate) name: Arc<str>,
    /// What decides.
    pub(crate) engine: S,
    /// What the engine holds: of every partition that it ever took records of, the next offset.
    pub(crate) applied: BTreeMap<Partition, i64>,
    /// Its snapshots, where any are taken.
    pub(crate) checkpoints: Option<Checkpoints>,
}

impl<S: Step> Shard<S> {
    /// Takes another engine, which holds the records before these offsets.
    pub(crate) fn replace(&mut self, engine: S, applied: BTreeMap<Partition, i64>) {
        if let Some(checkpoints) = &mut self.checkpoints {
            checkpoints.abandon(&mut self.engine);
        }
        (self.engine, self.applied) = (engine, applied);
    }

    /// Begins a snapshot if it is time, and works on the one at hand.
    pub(crate) fn checkpoint(
        &mut self,
        clock: &dyn Clock,
        committed: &dyn Fn(&Partition) -> Option<i64>,
    ) {
        let Some(checkpoints) = &mut self.checkpoints else { return };
        if checkpoints.is_due(clock, committed) && !self.applied.is_empty() {
            let standing = Standing { applied: self.applied.clone(), epoch: 0 };
            checkpoints.begin(&mut self.engine, standing, clock);
        }
        checkpoints.work(&mut self.engine, core::time::Duration::ZERO);
    }

    /// Whether a snapshot is being taken.
    pub(crate) fn is_saving(&self) -> bool {
        self.checkpoints.as_ref().is_some_and(Checkpoints::is_busy)
    }

    /// Takes a snapshot of the state as it is now, to its end, until `deadline`.
    pub(crate) fn save_now(&mut self, clock: &dyn Clock, deadline: core::time::Duration) -> bool {
        let Some(checkpoints) = &mut self.checkpoints else { return true };
        if self.applied.is_empty() {
            return true;
        }
        checkpoints.abandon(&mut self.engine);
        if !checkpoints.finish(&mut self.engine, clock, deadline) {
            return false;
        }
        if checkpoints.has_seen(&self.applied) {
            return true;
        }
        let standing = Standing { applied: self.applied.clone(), epoch: 0 };
        checkpoints.begin(&mut self.engine, standing, clock);
        checkpoints.finish(&mut self.engine, clock, deadline)
    }
}
