//! Which rule set decides which records: the epochs of a shard.
//!
//! A rule set becomes active between two records, at an offset of each partition that the group has committed. The
//! latest epochs stand in the note of every commit, so that whoever replays those records decides them as they were.
//!
//! INVARIANT: when an epoch begins, nothing is in flight: its first offset is the committed one.

use std::collections::BTreeMap;

use crate::runtime::log::Partition;
use crate::runtime::note::{Entry, Note};

/// Most epochs that are remembered; a further one waits until a snapshot makes the oldest superfluous.
pub(crate) const MOST: usize = 16;

/// One epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
    /// Number, from 1.
    pub(crate) number: u64,
    /// Identity of rule set and settings.
    pub(crate) ruleset: String,
    /// Its first offset per partition; a partition that is absent had none committed when it began.
    pub(crate) from: BTreeMap<Partition, i64>,
}

/// The epochs of a shard, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epochs {
    known: Vec<Epoch>,
}

impl Epochs {
    /// What the notes of the shard's partitions say. A partition without commits since an epoch began does not know it;
    /// it begins there at what is committed.
    pub(crate) fn of_notes<'n>(
        notes: &(impl Iterator<Item = (&'n Partition, i64, &'n Note)> + Clone),
    ) -> Self {
        let mut known: BTreeMap<u64, Epoch> = BTreeMap::new();
        for (partition, _, note) in notes.clone() {
            for Entry { number, ruleset, from } in &note.epochs {
                let epoch = known.entry(*number).or_insert_with(|| Epoch {
                    number: *number,
                    ruleset: ruleset.clone(),
                    from: BTreeMap::new(),
                });
                epoch.from.insert(partition.clone(), *from);
            }
        }
        for epoch in known.values_mut() {
            for (partition, committed, note) in notes.clone() {
                let last = note.epochs.last().map_or(0, |entry| entry.number);
                if epoch.number > last {
                    epoch.from.entry(partition.clone()).or_insert(committed);
                }
            }
        }
        Self { known: known.into_values().collect() }
    }

    /// The latest.
    pub(crate) fn last(&self) -> Option<&Epoch> {
        self.known.last()
    }

    /// The oldest that is remembered.
    pub(crate) fn first(&self) -> Option<&Epoch> {
        self.known.first()
    }

    /// The one of a number.
    pub(crate) fn find(&self, number: u64) -> Option<&Epoch> {
        self.known.iter().find(|epoch| epoch.number == number)
    }

    /// Whether somebody who decided in epoch `number` of the history `of` was in this history, too.
    pub(crate) fn had(&self, number: u64, of: &Self) -> bool {
        let (Some(here), Some(there)) = (self.find(number), of.find(number)) else { return false };
        let same = |(at, from): (&Partition, &i64)| here.from.get(at).is_none_or(|it| it == from);
        here.ruleset == there.ruleset && there.from.iter().all(same)
    }

    /// Those after a number, oldest first.
    pub(crate) fn after(&self, number: u64) -> impl Iterator<Item = &Epoch> {
        self.known.iter().filter(move |epoch| epoch.number > number)
    }

    /// Whether there is room for one more.
    pub(crate) fn has_room(&self) -> bool {
        self.known.len() < MOST
    }

    /// Forgets the oldest.
    pub(crate) fn forget_oldest(&mut self) {
        if !self.known.is_empty() {
            self.known.remove(0);
        }
    }

    /// Adds the next epoch, which begins at these offsets.
    pub(crate) fn begin(&mut self, ruleset: &str, from: BTreeMap<Partition, i64>) -> u64 {
        let number = self.last().map_or(0, |epoch| epoch.number) + 1;
        self.known.push(Epoch { number, ruleset: ruleset.to_owned(), from });
        number
    }

    /// Forgets those before a number: nobody replays them any more.
    pub(crate) fn forget_before(&mut self, number: u64) {
        self.known.retain(|epoch| epoch.number >= number);
    }

    /// What the notes of a partition say of them.
    pub(crate) fn entries(&self, partition: &Partition) -> Vec<Entry> {
        let entry = |epoch: &Epoch| Entry {
            number: epoch.number,
            ruleset: epoch.ruleset.clone(),
            from: epoch.from.get(partition).copied().unwrap_or(0),
        };
        self.known.iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> Partition {
        Partition { topic: "t".into(), number }
    }

    #[test]
    fn notes_of_several_partitions_make_one_history() {
        let (a, b) = (partition(0), partition(1));
        let mut epochs = Epochs::default();
        epochs.begin("r1", BTreeMap::from([(a.clone(), 0), (b.clone(), 0)]));
        let before = Note { digest: None, epochs: epochs.entries(&b) };
        epochs.begin("r2", BTreeMap::from([(a.clone(), 100), (b.clone(), 70)]));
        let after = Note { digest: None, epochs: epochs.entries(&a) };
        // Partition b has committed nothing since the second epoch began at its offset 70.
        let notes = [(&a, 130, &after), (&b, 70, &before)];
        assert_eq!(Epochs::of_notes(&notes.into_iter()), epochs);
        assert_eq!(epochs.after(1).map(|epoch| epoch.number).collect::<Vec<_>>(), [2]);
        epochs.forget_before(2);
        assert_eq!(epochs.begin("r3", BTreeMap::new()), 3);
        assert_eq!(epochs.first().map(|epoch| epoch.number), Some(2));
    }
}
