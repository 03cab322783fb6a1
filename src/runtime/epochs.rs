//! Which rule set decides which records: the epochs of a shard.
//!
//! A rule set becomes active between two records, at an offset of each partition that the group has committed. The
//! latest epochs stand in the note of every commit, so that whoever replays those records decides them as they were.
//!
//! INVARIANT: when an epoch begins, nothing is in flight: its first offset is the committed one.

use std::collections::BTreeMap;

use crate::runtime::log::Partition;
use crate::runtime::note::{Entry, Note, Refill};

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
    /// What was read again before it began, so that its new aggregates know the past.
    pub(crate) fill: Option<Fill>,
}

/// A stretch of the log that was read again, without emitting, up to the first offsets of an epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// Event time from which on all events were read, in ms since 1970.
    pub(crate) since_ms: i64,
    /// The first offset that was read, per partition.
    pub(crate) from: BTreeMap<Partition, i64>,
}

impl Epoch {
    /// As the header of an announcement tells it: `3:9f…;t/0@120,t/1@70`, and where a past was read again, `;SINCE_MS;t/0@40`.
    pub(crate) fn text(&self) -> String {
        let places = |from: &BTreeMap<Partition, i64>| {
            let place =
                |(at, from): (&Partition, &i64)| format!("{}/{}@{from}", at.topic, at.number);
            from.iter().map(place).collect::<Vec<String>>().join(",")
        };
        let mut text = format!("{}:{};{}", self.number, self.ruleset, places(&self.from));
        if let Some(fill) = &self.fill {
            text.push_str(&format!(";{};{}", fill.since_ms, places(&fill.from)));
        }
        text
    }

    /// Reads it; none where somebody else wrote it.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(';');
        let (number, ruleset) = parts.next()?.split_once(':')?;
        let from = places(parts.next()?)?;
        let fill = match parts.next() {
            Some(since_ms) => {
                Some(Fill { since_ms: since_ms.parse().ok()?, from: places(parts.next()?)? })
            }
            None => None,
        };
        Some(Self { number: number.parse().ok()?, ruleset: ruleset.to_owned(), from, fill })
    }
}

fn places(text: &str) -> Option<BTreeMap<Partition, i64>> {
    let place = |text: &str| {
        let (place, from) = text.split_once('@')?;
        let (topic, number) = place.rsplit_once('/')?;
        let number = number.parse().ok()?;
        Some((Partition { topic: topic.into(), number }, from.parse().ok()?))
    };
    text.split(',').filter(|text| !text.is_empty()).map(place).collect()
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
            for Entry { number, ruleset, from, fill } in &note.epochs {
                let epoch = known.entry(*number).or_insert_with(|| Epoch {
                    number: *number,
                    ruleset: ruleset.clone(),
                    from: BTreeMap::new(),
                    fill: None,
                });
                epoch.from.insert(partition.clone(), *from);
                if let Some(Refill { start, since_ms }) = fill {
                    let fill = epoch.fill.get_or_insert_default();
                    fill.since_ms = *since_ms;
                    fill.from.insert(partition.clone(), *start);
                }
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

    /// Those of an older history before these. Where both know a number, these are right.
    pub(crate) fn put_before(&mut self, mut older: BTreeMap<u64, Epoch>) {
        let first = self.first().map_or(u64::MAX, |first| first.number);
        older.retain(|number, _| *number < first);
        self.known.splice(0..0, older.into_values());
    }

    /// Says of every epoch where it begins in every partition: one of which nothing was decided in it begins with the next, or
    /// at the end.
    pub(crate) fn settle(&mut self, ends: &BTreeMap<Partition, i64>) {
        let mut next = ends.clone();
        for epoch in self.known.iter_mut().rev() {
            for (partition, from) in &mut next {
                *from = *epoch.from.entry(partition.clone()).or_insert(*from);
            }
        }
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
        let alike = |here: &BTreeMap<Partition, i64>, there: &BTreeMap<Partition, i64>| {
            there.iter().all(|(at, from)| here.get(at).is_none_or(|it| it == from))
        };
        let read_alike = match (&here.fill, &there.fill) {
            (None, None) => true,
            (Some(here), Some(there)) => {
                here.since_ms == there.since_ms && alike(&here.from, &there.from)
            }
            (Some(_), None) | (None, Some(_)) => false,
        };
        here.ruleset == there.ruleset && alike(&here.from, &there.from) && read_alike
    }

    /// Whether a state in epoch `number` that has seen the records before these offsets holds some that a later epoch
    /// decided.
    ///
    /// WHY: what was stepped and never committed is decided again, and another rule set may have come in between.
    pub(crate) fn outran(
        &self,
        number: u64,
        mut seen: impl Iterator<Item = (Partition, i64)>,
    ) -> bool {
        let Some(next) = self.after(number).next() else { return false };
        seen.any(|(at, seen)| next.from.get(&at).is_some_and(|from| seen > *from))
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

    /// Adds the next epoch, which begins at these offsets, after a stretch of the past was read again.
    pub(crate) fn begin(
        &mut self,
        ruleset: &str,
        from: BTreeMap<Partition, i64>,
        fill: Option<Fill>,
    ) -> u64 {
        let number = self.last().map_or(0, |epoch| epoch.number) + 1;
        self.known.push(Epoch { number, ruleset: ruleset.to_owned(), from, fill });
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
            fill: epoch.fill.as_ref().and_then(|fill| {
                let start = *fill.from.get(partition)?;
                Some(Refill { start, since_ms: fill.since_ms })
            }),
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
        epochs.begin("r1", BTreeMap::from([(a.clone(), 0), (b.clone(), 0)]), None);
        let before = Note { epochs: epochs.entries(&b), ..Note::default() };
        let fill = Fill { since_ms: 5, from: BTreeMap::from([(a.clone(), 40)]) };
        epochs.begin("r2", BTreeMap::from([(a.clone(), 100), (b.clone(), 70)]), Some(fill));
        let after = Note { epochs: epochs.entries(&a), ..Note::default() };
        // Partition b has committed nothing since the second epoch began at its offset 70.
        let notes = [(&a, 130, &after), (&b, 70, &before)];
        assert_eq!(Epochs::of_notes(&notes.into_iter()), epochs);
        assert_eq!(epochs.after(1).map(|epoch| epoch.number).collect::<Vec<_>>(), [2]);
        epochs.forget_before(2);
        assert_eq!(epochs.begin("r3", BTreeMap::new(), None), 3);
        assert_eq!(epochs.first().map(|epoch| epoch.number), Some(2));
    }

    #[test]
    fn an_announcement_tells_an_epoch_as_it_is() {
        let mut epochs = Epochs::default();
        let froms = BTreeMap::from([(partition(0), 100), (partition(12), 7)]);
        let fill = Fill { since_ms: i64::MIN, from: BTreeMap::from([(partition(0), 40)]) };
        epochs.begin("9f", froms, None);
        epochs.begin("a0", BTreeMap::new(), Some(fill));
        assert_eq!(epochs.first().unwrap().text(), "1:9f;t/0@100,t/12@7");
        for epoch in epochs.after(0) {
            assert_eq!(Epoch::parse(&epoch.text()).as_ref(), Some(epoch));
        }
        for text in ["", "x", "1:9f", "1:9f;t@1", "x:9f;", "1:9f;t/0@1;x;"] {
            assert_eq!(Epoch::parse(text), None, "{text}");
        }
    }

    #[test]
    fn epochs_that_commits_forgot_come_before_those_that_they_name() {
        let (a, b) = (partition(0), partition(1));
        let mut noted = Epochs::default();
        for (ruleset, at_a, at_b) in [("x", 0, 0), ("x", 0, 0), ("r3", 30, 9), ("r4", 40, 12)] {
            noted.begin(ruleset, BTreeMap::from([(a.clone(), at_a), (b.clone(), at_b)]), None);
        }
        noted.forget_before(3);
        let told = |number: u64, ruleset: &str, from: &[(Partition, i64)]| {
            let from = from.iter().cloned().collect();
            (number, Epoch { number, ruleset: ruleset.to_owned(), from, fill: None })
        };
        // Of partition b nothing was decided in the second epoch.
        let older = BTreeMap::from([
            told(1, "r1", &[(a.clone(), 0), (b.clone(), 2)]),
            told(2, "r2", &[(a.clone(), 20)]),
            told(3, "forged", &[(a.clone(), 1)]),
        ]);
        noted.put_before(older);
        noted.settle(&BTreeMap::from([(a.clone(), 50), (b.clone(), 50)]));
        let all: Vec<_> = noted
            .after(0)
            .map(|it| (it.number, it.ruleset.as_str(), it.from[&a], it.from[&b]))
            .collect();
        assert_eq!(all, [(1, "r1", 0, 2), (2, "r2", 20, 9), (3, "r3", 30, 9), (4, "r4", 40, 12)]);
    }

    #[test]
    fn a_state_that_went_on_where_the_next_epoch_began_is_not_of_this_history() {
        let (a, b) = (partition(0), partition(1));
        let mut epochs = Epochs::default();
        for (ruleset, begin) in [("r1", 0), ("r2", 18), ("r3", 20)] {
            epochs.begin(ruleset, BTreeMap::from([(a.clone(), begin), (b.clone(), 7)]), None);
        }
        let outran = |number: u64, seen: i64| {
            epochs.outran(number, [(a.clone(), seen), (b.clone(), 7)].into_iter())
        };
        assert!(!outran(2, 19) && !outran(2, 20), "up to where the third begins");
        assert!(outran(2, 21) && outran(1, 19));
        assert!(!outran(3, 1_000), "nothing came after it");
    }

    #[test]
    fn an_epoch_that_somebody_else_began_otherwise_is_not_ours() {
        let at = partition(0);
        let fill = |since_ms: i64, start: i64| Fill {
            since_ms,
            from: BTreeMap::from([(partition(0), start)]),
        };
        let history = |ruleset: &str, from: i64, fill: Option<Fill>| {
            let mut epochs = Epochs::default();
            epochs.begin("r1", BTreeMap::from([(at.clone(), 0)]), None);
            epochs.begin(ruleset, BTreeMap::from([(at.clone(), from)]), fill);
            epochs
        };
        let ours = history("r2", 100, Some(fill(5, 40)));
        assert!(history("r2", 100, Some(fill(5, 40))).had(2, &ours));
        for other in [
            history("r3", 100, Some(fill(5, 40))),
            history("r2", 101, Some(fill(5, 40))),
            history("r2", 100, Some(fill(6, 40))),
            history("r2", 100, Some(fill(5, 41))),
            history("r2", 100, None),
        ] {
            assert!(other.had(1, &ours) && !other.had(2, &ours), "{other:?}");
        }
        assert!(!Epochs::default().had(1, &ours));
    }
}
