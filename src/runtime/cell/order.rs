//! In which order a cell decides: as records come, and after a crash as they were decided the first time.

use std::collections::BTreeMap;

use crate::runtime::answered::Order;
use crate::runtime::cell::{Assigned, BATCH, Cell, SAVING};
use crate::runtime::early::Early;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, Partition, Polled, Source as _};
use crate::runtime::note::Note;
use crate::runtime::port::Engines;
use crate::runtime::recovery::Start;

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// Sees to it that the next number, one more than the last, is also behind those of earlier processes: numbers begin
    /// with the time, in microseconds, and behind whatever was found on the topics. Once for each batch.
    pub(super) fn begin_sequence(&mut self) {
        let now = u64::try_from(self.world.clock.wall_ms()).unwrap_or(0).saturating_mul(1_000);
        self.sequence = self.sequence.max(now);
    }

    /// Sees to it that the next number is behind those of whoever decided the records before.
    ///
    /// WHY: by the notes of the commits, too. Not all outputs are looked at, and the clock of whoever wrote them may be ahead
    /// of ours.
    pub(super) fn number_behind(&mut self, starts: &[Start], order: &Order) {
        let noted = |(_, position): &Start| Note::parse(&position.as_ref()?.note).mark.number;
        let last = starts.iter().filter_map(noted).max().unwrap_or(0);
        self.sequence = self.sequence.max(last).max(order.last());
    }

    /// Whether an engine over several partitions is to decide records again whose answers readers have seen: then it takes no
    /// other record before.
    pub(super) fn answers_need_order(&self) -> bool {
        let of = |shard: usize| self.assigned.iter().filter(move |ours| ours.shard == shard);
        let is_ahead = |ours: &&Assigned| self.answered.is_ahead(&ours.partition, ours.next);
        self.assigned.iter().filter(is_ahead).any(|ours| of(ours.shard).nth(1).is_some())
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
        for (number, early) in self.in_order(again) {
            // WHY: answers that were lost are written now, and have to stand where they belong for the next start.
            self.take_early(&early, number)?;
        }
        Ok(())
    }

    /// Records in the order of the first time, with their numbers in it.
    fn in_order(&self, records: Vec<Early>) -> Vec<(u64, Early)> {
        let order = self.answered.order();
        let known = |early: &Early| order.number(early.partition(), early.input().offset);
        let mut numbered: Vec<(u64, Early)> =
            numbers(records.iter().map(|early| (early.partition(), known(early))))
                .into_iter()
                .zip(records)
                .collect();
        numbered.sort_by_key(|(number, _)| *number);
        numbered
    }
}

/// A number for each record, in the order of reading, that never falls within a partition.
///
/// WHY: where two processes answered, known numbers need not grow. A record whose answers are lost was decided just before the
/// next one of its partition: had another partition's come in between, its answers would name this one.
fn numbers<'r>(records: impl Iterator<Item = (&'r Partition, Option<u64>)>) -> Vec<u64> {
    let mut least: BTreeMap<&Partition, u64> = BTreeMap::new();
    let mut bounds = Vec::new();
    for (partition, known) in records {
        let least = least.entry(partition).or_default();
        *least = known.unwrap_or(0).max(*least);
        bounds.push((partition, known.is_some(), *least));
    }
    let mut next: BTreeMap<&Partition, u64> = BTreeMap::new();
    let mut numbers = Vec::new();
    for (partition, is_known, least) in bounds.into_iter().rev() {
        let number = match next.get(partition) {
            Some(next) if !is_known => next.saturating_sub(1).max(least),
            _ => least,
        };
        next.insert(partition, number);
        numbers.push(number);
    }
    numbers.reverse();
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_without_a_number_come_just_before_the_next_one_of_their_partition() {
        let (a, b) = (
            Partition { topic: "t".into(), number: 0 },
            Partition { topic: "t".into(), number: 1 },
        );
        let given = |records: &[(&Partition, Option<u64>)]| numbers(records.iter().copied());
        // a's second and third are lost; b's two came between a's first and those.
        let records = [
            (&a, Some(10)),
            (&a, None),
            (&a, None),
            (&a, Some(50)),
            (&b, Some(11)),
            (&b, Some(12)),
        ];
        assert_eq!(given(&records), [10, 48, 49, 50, 11, 12]);
        // A second process decided all but the third anew, which keeps its place all the same.
        let records = [(&a, Some(200)), (&a, Some(201)), (&a, Some(102)), (&a, Some(203))];
        assert_eq!(given(&records), [200, 201, 201, 203]);
        // Nothing is known behind the last.
        assert_eq!(given(&[(&a, Some(7)), (&a, None)]), [7, 7]);
        assert_eq!(given(&[(&a, Some(7)), (&a, None), (&a, Some(8))]), [7, 7, 8]);
    }
}
