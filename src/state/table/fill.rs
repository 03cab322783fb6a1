//! What a table lacks, taken from one of the same spec that read the past again.
//!
//! A table that was carried over to another rule set knows its columns, filters and entries from different times on. The
//! other table holds the entries of a stretch of the past with all their parts. For each key, an entry here gets the
//! parts that it lacks from the same entry there; entries older than any that are known here come from there whole.
//!
//! INVARIANT: what is known here stays as it is. From the time on from which all entries are known, none is added and
//! none is taken away, and no part that is known is changed.
//!
//! A key so busy that it has slices, here or there, has no entries to be matched for them. If the other table knows all
//! that any window can see, its history of the key is taken as a whole; if not, what is new stays warming for what lies
//! in the slices.
//!
//! # Cost
//! One look-up per key, and a copy of the history of each key that was found.

use core::ops::Range;

use crate::state::table::{History, Slot, Table, join};
use crate::window::layout::Layout;
use crate::window::log::Log;
use crate::window::ring::Ring;
use crate::window::spec::Entry;
use crate::window::tiles::Now;

/// How many entries of one instant are looked at for the one that is the same.
const MOST_ALIKE: usize = 64;

impl Table {
    /// Says from when on a table that read the past knows it.
    #[must_use]
    pub fn known_since(mut self, since_ms: i64) -> Self {
        self.since = super::Since::ever(&self.spec, since_ms);
        self
    }

    /// Takes from `past`, a table of the same spec that took every entry since `since_ms`, what is not known here.
    pub fn fill(&mut self, mut past: Self, since_ms: i64) {
        // WHY: what it had to evict it does not know.
        let lost_ms = past.evicted_until_ms.saturating_add(1);
        let since_ms = if past.evictions > 0 { since_ms.max(lost_ms) } else { since_ms };
        let filler = Filler {
            parts: Parts::of(self),
            known_ms: self.since.entries_ms,
            has_older: since_ms < self.since.entries_ms,
            is_whole: since_ms <= self.horizon_ms().saturating_add(1),
            now: self.now(),
        };
        let mut sliced_ms = i64::MIN;
        let n = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        for at in 0..n {
            let Some(slot) = self.slots.get(at) else { continue };
            let Some(found) = past.find(join(slot.key)) else { continue };
            let Some(theirs) = past.slots.get(found) else { continue };
            let Some(slot) = self.slots.get_mut(at) else { continue };
            let before = slot.history.bytes();
            sliced_ms = sliced_ms.max(filler.fill(slot, theirs, &self.shape, self.ring_cap));
            self.history_bytes = self.history_bytes + slot.history.bytes() - before;
        }
        if filler.has_older {
            sliced_ms = sliced_ms.max(self.add_older_keys(&past, &filler));
        }
        self.recent = None;
        let known_ms = since_ms.max(sliced_ms.saturating_add(1));
        let since = &mut self.since;
        since.entries_ms = since.entries_ms.min(since_ms);
        let parts = since.columns_ms.iter_mut().chain(&mut since.filters_ms);
        parts.for_each(|part_ms| *part_ms = since_ms.min(*part_ms));
        since.measures_ms.iter_mut().for_each(|measure_ms| *measure_ms = known_ms.min(*measure_ms));
    }

    /// Keys that have entries only before those that are known here. Gives the time of the slices that were left out.
    fn add_older_keys(&mut self, past: &Self, filler: &Filler) -> i64 {
        let mut sliced_ms = i64::MIN;
        for at in 0..u32::try_from(past.slots.len()).unwrap_or(u32::MAX) {
            let Some(theirs) = past.slots.get(at) else { continue };
            let key = join(theirs.key);
            if self.find(key).is_some() {
                continue;
            }
            let layout = &self.shape.layout;
            let history = if theirs.newest_ms < filler.known_ms {
                theirs.history.clone()
            } else if let Some(until_ms) = theirs.history.sliced_until_ms() {
                sliced_ms = sliced_ms.max(until_ms);
                continue;
            } else {
                let run = theirs.history.run(&self.shape);
                let n = count_before(layout, run, filler.known_ms);
                if n == 0 {
                    continue;
                }
                let run = &run[..n * layout.stride];
                History::of_run(run, None, (&self.shape, self.ring_cap), filler.now)
            };
            let newest_ms = theirs.newest_ms.min(filler.known_ms.saturating_sub(1));
            let place = self.add_key(key);
            let Some(slot) = self.slots.get_mut(place) else { continue };
            let after_eviction = slot.history.after_eviction();
            (slot.newest_ms, slot.history) = (newest_ms, history);
            slot.history.set_after_eviction(after_eviction);
            self.history_bytes += slot.history.bytes();
        }
        sliced_ms
    }
}

/// How the histories of one table are filled.
struct Filler {
    parts: Parts,
    /// From when on all entries are known.
    known_ms: i64,
    /// The other table has entries from before that.
    has_older: bool,
    /// The other table knows all that a window can see.
    is_whole: bool,
    now: Now,
}

impl Filler {
    /// Fills the history of a key. Gives the time of the slices for which that could not be done.
    fn fill(
        &self,
        slot: &mut Slot,
        theirs: &Slot,
        shape: &crate::window::log::Shape,
        ring_cap: u16,
    ) -> i64 {
        let layout = &shape.layout;
        let (ours, after_eviction) = (&slot.history, slot.history.after_eviction());
        let sliced = ours.sliced_until_ms().max(theirs.history.sliced_until_ms());
        if sliced.is_some() && self.is_whole {
            slot.history = theirs.history.clone();
            slot.newest_ms = slot.newest_ms.max(theirs.newest_ms);
        } else {
            let their_run = theirs.history.run(shape);
            // WHY: an entry that lies in a slice here must not be there a second time.
            let in_slices =
                ours.sliced_until_ms().map_or(i64::MIN, |until_ms| until_ms.saturating_add(1));
            let n = count_before(layout, their_run, in_slices);
            let run = self.merged(layout, ours.run(shape), &their_run[n * layout.stride..]);
            if run == ours.run(shape) {
                return sliced.unwrap_or(i64::MIN);
            }
            if let Some(last) = (run.len() / layout.stride).checked_sub(1) {
                slot.newest_ms = slot.newest_ms.max(layout.time_at(&run, last));
            }
            let busy = match ours {
                History::Log(log) => Some(&**log),
                History::Ring(_) => None,
            };
            slot.history = History::of_run(&run, busy, (shape, ring_cap), self.now);
        }
        slot.history.set_after_eviction(after_eviction);
        if self.is_whole { i64::MIN } else { sliced.unwrap_or(i64::MIN) }
    }

    /// Entries here with the parts that they lack, after older ones from there.
    fn merged(&self, layout: &Layout, ours: &[u64], theirs: &[u64]) -> Vec<u64> {
        let stride = layout.stride;
        let (n_ours, n_theirs) = (ours.len() / stride, theirs.len() / stride);
        let (mut at, mut other) = (0, 0);
        let mut run = Vec::with_capacity(ours.len());
        if self.has_older {
            at = count_before(layout, ours, self.known_ms);
            other = count_before(layout, theirs, self.known_ms);
            run.extend_from_slice(&theirs[..other * stride]);
        }
        let mut pairs = Vec::new();
        while at < n_ours {
            let time_ms = layout.time_at(ours, at);
            let is_now = |run: &[u64], at: usize| layout.time_at(run, at) == time_ms;
            let end = (at..n_ours).find(|index| !is_now(ours, *index)).unwrap_or(n_ours);
            while other < n_theirs && layout.time_at(theirs, other) < time_ms {
                other += 1;
            }
            let other_end = (other..n_theirs).find(|index| !is_now(theirs, *index));
            let other_end = other_end.unwrap_or(n_theirs);
            let here = &ours[at * stride..end * stride];
            let there = &theirs[other * stride..other_end * stride];
            self.parts.pair(layout, (here, there), &mut pairs);
            for (index, pair) in pairs.iter().enumerate() {
                let held = layout.entry(here, index);
                match pair {
                    Some(found) => {
                        self.parts.write(layout, held, layout.entry(there, *found), &mut run);
                    }
                    None => run.extend_from_slice(held),
                }
            }
            (at, other) = (end, other_end);
        }
        run
    }
}

/// From when on the parts of an entry are known.
struct Parts {
    /// Per column its words and that time.
    columns: Vec<(Range<usize>, i64)>,
    /// Per filter bit that time.
    filters_ms: Vec<i64>,
}

impl Parts {
    fn of(table: &Table) -> Self {
        let layout = &table.shape.layout;
        let place = |(column, known_ms): (usize, &i64)| {
            let words = layout.place(column);
            (words.start + layout.header..words.end + layout.header, *known_ms)
        };
        let columns = table.since.columns_ms.iter().enumerate().map(place).collect();
        Self { columns, filters_ms: table.since.filters_ms.clone() }
    }

    /// Finds for each entry of an instant the same one there: by the columns that are known, in order of arrival.
    fn pair(
        &self,
        layout: &Layout,
        (ours, theirs): (&[u64], &[u64]),
        pairs: &mut Vec<Option<usize>>,
    ) {
        let (n_ours, n_theirs) = (ours.len() / layout.stride, theirs.len() / layout.stride);
        pairs.clear();
        if (n_ours, n_theirs) == (1, 1) {
            pairs.push(Some(0));
            return;
        }
        let mut taken = vec![false; n_theirs];
        let mut first = 0;
        for index in 0..n_ours {
            let held = layout.entry(ours, index);
            while first < n_theirs && taken[first] {
                first += 1;
            }
            let near = first..n_theirs.min(first + MOST_ALIKE);
            let found = near
                .filter(|other| !taken[*other])
                .find(|other| self.are_alike(layout, held, layout.entry(theirs, *other)));
            if let Some(found) = found {
                taken[found] = true;
            }
            pairs.push(found);
        }
        if n_ours == n_theirs {
            // WHY: as many as there: those that are left are the same events, whose known parts a list may have changed.
            let mut left = (0..n_theirs).filter(|other| !taken[*other]);
            pairs.iter_mut().filter(|pair| pair.is_none()).for_each(|pair| *pair = left.next());
        }
    }

    fn are_alike(&self, layout: &Layout, ours: &[u64], theirs: &[u64]) -> bool {
        let time_ms = layout.time(ours);
        let known = self.columns.iter().filter(|(_, known_ms)| *known_ms <= time_ms);
        known.into_iter().all(|(words, _)| ours[words.clone()] == theirs[words.clone()])
    }

    /// Writes an entry with what it lacks from the other.
    fn write(&self, layout: &Layout, ours: &[u64], theirs: &[u64], run: &mut Vec<u64>) {
        let time_ms = layout.time(ours);
        let mut words = ours.to_vec();
        for (place, known_ms) in &self.columns {
            if *known_ms > time_ms {
                words[place.clone()].copy_from_slice(&theirs[place.clone()]);
            }
        }
        let bits = (0_u32..).zip(&self.filters_ms);
        let filters = bits.fold(0, |filters, (bit, known_ms)| {
            let from = if *known_ms > time_ms { theirs } else { ours };
            filters | (layout.filter_word(from) >> bit & 1) << bit
        });
        let entry = Entry { time_ms, filters, words: &words[layout.header..] };
        let end = run.len();
        run.resize(end + layout.stride, 0);
        layout.write(&entry, &mut run[end..]);
    }
}

impl History {
    /// The entries that are kept one by one.
    fn run<'a>(&'a self, shape: &'a crate::window::log::Shape) -> &'a [u64] {
        match self {
            Self::Ring(ring) => ring.run(&shape.layout),
            Self::Log(log) => log.run(shape),
        }
    }

    /// Up to when entries lie in slices.
    fn sliced_until_ms(&self) -> Option<i64> {
        match self {
            Self::Ring(_) => None,
            Self::Log(log) => log.spilled_until_ms(),
        }
    }

    fn after_eviction(&self) -> bool {
        match self {
            Self::Ring(ring) => ring.after_eviction,
            Self::Log(log) => log.after_eviction,
        }
    }

    fn set_after_eviction(&mut self, after_eviction: bool) {
        match self {
            Self::Ring(ring) => ring.after_eviction = after_eviction,
            Self::Log(log) => log.after_eviction = after_eviction,
        }
    }

    /// A history of these entries, and of the slices of a log.
    fn of_run(
        run: &[u64],
        log: Option<&Log>,
        (shape, ring_cap): (&crate::window::log::Shape, u16),
        now: Now,
    ) -> Self {
        let layout = &shape.layout;
        if log.is_none() && run.len() / layout.stride <= usize::from(ring_cap) {
            Self::Ring(Ring::from_run(layout, run, false))
        } else {
            Self::Log(Box::new(Log::refilled(run, log, shape, now)))
        }
    }
}

/// How many entries of a run are older than a time.
fn count_before(layout: &Layout, run: &[u64], time_ms: i64) -> usize {
    let (mut from, mut to) = (0, run.len() / layout.stride);
    while from < to {
        let middle = from.midpoint(to);
        if layout.time_at(run, middle) < time_ms {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}
