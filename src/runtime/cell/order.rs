//! In which order a cell decides: as records come, and after a crash as they were decided the first time.

use std::collections::BTreeMap;

use crate::runtime::cell::{BATCH, Cell, SAVING};
use crate::runtime::early::Early;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, Partition, Polled, Source as _};
use crate::runtime::port::Engines;

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// The number of the next record. Numbers grow, also from one process to the next: they begin with the time, in
    /// microseconds, and behind whatever was found on the topics.
    pub(super) fn next_sequence(&mut self) -> u64 {
        let now = u64::try_from(self.world.clock.wall_ms()).unwrap_or(0).saturating_mul(1_000);
        self.sequence = now.max(self.sequence + 1);
        self.sequence
    }

    /// Whether one engine is to decide records of several partitions again whose answers readers have seen.
    pub(super) fn answers_join_partitions(&self) -> bool {
        let mut of_shards: BTreeMap<usize, usize> = BTreeMap::new();
        for (partition, last) in self.answered.ends() {
            let ours = self.assigned.iter().find(|ours| ours.partition == *partition);
            if let Some(ours) = ours.filter(|ours| ours.next <= last) {
                *of_shards.entry(ours.shard).or_default() += 1;
            }
        }
        of_shards.values().any(|n| *n > 1)
    }

    /// Waits for all records whose answers readers have seen, then decides them in the order of the first time.
    pub(super) fn gather(&mut self) -> Result<(), RunError> {
        for _ in 0..BATCH {
            let trouble = match self.source.poll(SAVING)? {
                Polled::Nothing => break,
                Polled::Record(record) => {
                    self.early.push(Early::of(&record));
                    continue;
                }
                Polled::Trouble(trouble) => trouble,
            };
            return self.on_trouble(trouble);
        }
        let ends: BTreeMap<Partition, i64> =
            self.answered.ends().map(|(partition, last)| (partition.clone(), last)).collect();
        let mut reached: BTreeMap<Partition, i64> = BTreeMap::new();
        for early in &self.early {
            reached.insert(early.partition().clone(), early.input().offset);
        }
        let is_awaited = |(partition, last): (&Partition, &i64)| {
            let is_ours = self.assigned.iter().any(|ours| ours.partition == *partition);
            is_ours && reached.get(partition).is_none_or(|reached| reached < last)
        };
        if ends.iter().any(is_awaited) {
            return Ok(());
        }
        let is_answered = |early: &Early| {
            ends.get(early.partition()).is_some_and(|last| early.input().offset <= *last)
        };
        let (again, rest) = core::mem::take(&mut self.early).into_iter().partition(is_answered);
        self.early = rest;
        for early in self.in_order(again) {
            self.take_early(&early)?;
        }
        Ok(())
    }

    /// Records in the order of the first time. One without a number follows the one before it in its partition.
    fn in_order(&self, records: Vec<Early>) -> Vec<Early> {
        let order = self.answered.order();
        let mut last: BTreeMap<Partition, u64> = BTreeMap::new();
        let number = |early: Early| {
            let known = order.number(early.partition(), early.input().offset);
            let last = last.entry(early.partition().clone()).or_default();
            // WHY: where two processes answered, numbers of a partition need not grow; its records still come in order.
            *last = known.unwrap_or(0).max(*last);
            (*last, early)
        };
        let mut records: Vec<(u64, Early)> = records.into_iter().map(number).collect();
        records.sort_by_key(|(number, _)| *number);
        records.into_iter().map(|(_, early)| early).collect()
    }
}
