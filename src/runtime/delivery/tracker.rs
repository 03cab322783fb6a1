//! Which records of one partition are done: the contiguous watermark that may be committed.
//!
//! INVARIANT: [`Tracker::committable`] never passes a record that has an unacknowledged output, and never goes back.
//! Records without outputs are done at once and still wait for those before them.
//!
//! Cost: O(1) per record and per acknowledgement; one entry per record in flight.

use std::collections::VecDeque;

use crate::runtime::note::Mark;
use crate::telemetry::books::Outcome;

/// A record on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pending {
    /// Its offset.
    pub(crate) offset: i64,
    /// Outputs not yet acknowledged.
    pub(crate) outstanding: u32,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// The broker's timestamp.
    pub(crate) arrival_ms: Option<i64>,
    /// When its outputs were first handed over, in ms since 1970.
    pub(crate) sent_ms: i64,
    /// The mark of the offset after it.
    pub(crate) mark: Mark,
}

/// The records of one partition that are on their way.
#[derive(Debug)]
pub(crate) struct Tracker {
    first_seq: u64,
    pending: VecDeque<Pending>,
    next_offset: i64,
}

impl Tracker {
    /// A partition whose next record is `next_offset` or later.
    pub(crate) fn new(next_offset: i64) -> Self {
        Self { first_seq: 0, pending: VecDeque::new(), next_offset }
    }

    /// Adds the next record and returns its number, by which its outputs are acknowledged.
    pub(crate) fn push(&mut self, record: Pending) -> u64 {
        let seq = self.first_seq + self.pending.len() as u64;
        self.pending.push_back(record);
        seq
    }

    /// One output of a record is acknowledged. A number that is not on its way any more is ignored.
    pub(crate) fn acknowledge(&mut self, seq: u64) {
        let index = seq.checked_sub(self.first_seq).and_then(|index| usize::try_from(index).ok());
        if let Some(record) = index.and_then(|index| self.pending.get_mut(index)) {
            record.outstanding = record.outstanding.saturating_sub(1);
        }
    }

    /// The next record, in order, that is done with all before it.
    pub(crate) fn pop_done(&mut self) -> Option<Pending> {
        let done = self.pending.pop_front_if(|record| record.outstanding == 0)?;
        self.first_seq += 1;
        self.next_offset = done.offset + 1;
        Some(done)
    }

    /// Takes everything that is on its way, done or not.
    pub(crate) fn drain(&mut self) -> impl Iterator<Item = Pending> {
        self.first_seq += self.pending.len() as u64;
        self.pending.drain(..)
    }

    /// The offset that may be committed: the next record to read.
    pub(crate) fn committable(&self) -> i64 {
        self.next_offset
    }

    /// When outputs of the oldest record on its way were handed over; none where nothing is on its way.
    pub(crate) fn sent_ms(&self) -> Option<i64> {
        self.pending.front().map(|record| record.sent_ms)
    }

    /// Records on their way.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(offset: i64, outstanding: u32) -> Pending {
        Pending {
            offset,
            outstanding,
            outcome: Outcome::Decided("pass"),
            arrival_ms: None,
            sent_ms: 0,
            mark: Mark::default(),
        }
    }

    fn settle(tracker: &mut Tracker) -> Vec<i64> {
        std::iter::from_fn(|| tracker.pop_done()).map(|done| done.offset).collect()
    }

    #[test]
    fn a_record_without_outputs_waits_for_those_before_it() {
        let mut tracker = Tracker::new(10);
        let first = tracker.push(record(10, 1));
        tracker.push(record(11, 0));
        assert_eq!(settle(&mut tracker), [0_i64; 0]);
        assert_eq!(tracker.committable(), 10);
        tracker.acknowledge(first);
        assert_eq!(settle(&mut tracker), [10, 11]);
        assert_eq!(tracker.committable(), 12);
    }

    #[test]
    fn a_late_acknowledgement_of_a_dropped_record_changes_nothing() {
        let mut tracker = Tracker::new(0);
        let dropped = tracker.push(record(0, 1));
        assert_eq!(tracker.drain().count(), 1);
        let next = tracker.push(record(5, 1));
        tracker.acknowledge(dropped);
        assert_eq!(settle(&mut tracker), [0_i64; 0]);
        tracker.acknowledge(next);
        assert_eq!(settle(&mut tracker), [5]);
    }

    proptest! {
        #[test]
        fn the_watermark_is_the_first_record_with_an_open_output(
            outputs in prop::collection::vec(0_u32..3, 1..40),
            order in prop::collection::vec(any::<prop::sample::Index>(), 0..80),
        ) {
            let mut tracker = Tracker::new(100);
            let mut open: Vec<u32> = outputs.clone();
            let seqs: Vec<u64> = outputs
                .iter()
                .zip(100_i64..)
                .map(|(count, offset)| tracker.push(record(offset, *count)))
                .collect();
            let mut before = 100;
            for pick in order {
                let index = pick.index(open.len());
                if open[index] > 0 {
                    open[index] -= 1;
                    tracker.acknowledge(seqs[index]);
                }
                settle(&mut tracker);
                let first_open = open.iter().position(|left| *left > 0).unwrap_or(open.len());
                let expected = 100 + i64::try_from(first_open).unwrap();
                prop_assert_eq!(tracker.committable(), expected);
                prop_assert!(tracker.committable() >= before);
                before = tracker.committable();
            }
        }
    }
}
