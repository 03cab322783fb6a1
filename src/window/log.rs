//! The history of a busy key: all entries in one run, and running accumulators per window.
//!
//! Every distinct window has a pair of *cursors* into the run. A read moves them to the ends of its window and folds
//! the entries that come in or go out, in either direction: exact for any order of reads, and O(1) per event while
//! time moves on. Extremes remember their value and are found again by a tree ([`crate::window::blocks`]) when it
//! leaves; distinct words are counted. Entries beyond the cap go to [`crate::window::tiles`], oldest first.
//!
//! INVARIANT: a cursor's `lo` is the number of the first live entry younger than `start_ms`, `hi` of the first younger
//! than `end_ms`; its accumulators hold exactly the entries `lo..hi`.

use crate::window::accumulator::{Accumulator, Extreme, Mover};
use crate::window::blocks::{Blocks, Join};
use crate::window::layout::Layout;
use crate::window::plan::{Asked, ReadPlan};
use crate::window::ring::heap_bytes;
use crate::window::scan::{Asking, Raw, finish, own_of};
use crate::window::spec::{Coverage, Entry, MeasureKind, ReadValue, Reading};
use crate::window::tiles::{Bounds, LogPart, Tiles};
use crate::window::units::{Answer, Source, UnitKind, Units};

/// What all keys of a table share.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    pub(crate) layout: Layout,
    pub(crate) units: Units,
    pub(crate) lateness_ms: i64,
    /// Entries of a key that are kept exactly.
    pub(crate) exact_cap: usize,
}

/// Entries of one key, many.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    words: Vec<u64>,
    /// Number of the first live entry.
    start: usize,
    cursors: Box<[Cursor]>,
    accumulators: Box<[Accumulator]>,
    trees: Box<[Blocks]>,
    /// Finds the latest entry that passes a filter.
    filters: Blocks,
    tiles: Option<Box<Tiles>>,
    /// The key appeared after an eviction: part of its past may have been evicted.
    pub(crate) after_eviction: bool,
    /// Heap bytes, itself included, as of the last change of its entries.
    pub(crate) counted_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    start_ms: i64,
    end_ms: i64,
    lo: usize,
    hi: usize,
}

impl Log {
    /// A log with the given entries, oldest first.
    pub(crate) fn from_run(run: &[u64], shape: &Shape, after_eviction: bool) -> Self {
        let units = &shape.units;
        let cursor = Cursor { start_ms: i64::MIN, end_ms: i64::MIN, lo: 0, hi: 0 };
        let mut log = Self {
            words: run.to_vec(),
            start: 0,
            cursors: vec![cursor; units.spans.len()].into_boxed_slice(),
            accumulators: units.accumulators.iter().map(Accumulator::new).collect(),
            trees: units.trees.iter().map(|tree| Blocks::new(tree.join)).collect(),
            filters: Blocks::new(Join::Any),
            tiles: None,
            after_eviction,
            counted_bytes: 0,
        };
        log.rebuild_trees(0, shape);
        log.counted_bytes = log.bytes();
        log
    }

    /// The live entries, oldest first.
    pub(crate) fn run(&self, shape: &Shape) -> &[u64] {
        &self.words[self.start * shape.layout.stride..]
    }

    /// How many entries are kept one by one.
    pub(crate) fn len(&self, shape: &Shape) -> usize {
        self.end(shape) - self.start
    }

    /// Whether older entries are held in tiles.
    pub(crate) fn has_tiles(&self) -> bool {
        self.tiles.is_some()
    }

    /// A word of the newest entry.
    pub(crate) fn touch(&self) -> u64 {
        self.words.last().copied().unwrap_or(0)
    }

    fn bytes(&self) -> usize {
        let words: usize = self.accumulators.iter().map(Accumulator::bytes).sum();
        let trees: usize = self.trees.iter().map(|tree| size_of::<Blocks>() + tree.bytes()).sum();
        size_of::<Self>()
            + heap_bytes(self.words.capacity())
            + self.cursors.len() * size_of::<Cursor>()
            + self.accumulators.len() * size_of::<Accumulator>()
            + words
            + trees
            + self.filters.bytes()
            + self.tiles.as_ref().map_or(0, |tiles| tiles.bytes())
    }

    /// Answers `plan`; sets the values of `out` and worsens the coverage where tiles take part.
    pub(crate) fn read(
        &mut self,
        shape: &Shape,
        plan: &ReadPlan,
        asking: &Asking<'_>,
        out: &mut [Reading],
    ) {
        for (index, (asked, reading)) in plan.asked.iter().zip(out).enumerate() {
            let probe = asking.probes.get(index).copied();
            if probe.is_none() && matches!(asked.kind, MeasureKind::CountOf(_)) {
                reading.value = ReadValue::Missing;
                continue;
            }
            let probe = probe.unwrap_or(0);
            let bounds = Bounds {
                start_ms: asking.time_ms.saturating_sub(asked.reach_ms),
                end_ms: asking.time_ms.saturating_sub(asked.ago_ms),
                length_ms: asked.length_ms,
            };
            let answer = shape.units.answers[usize::from(asked.id.0)];
            self.aim(answer.span, bounds, shape);
            let own_word = own_of(asked, asking).and_then(|own| own.words.get(asked.offset));
            let words = (probe, own_word.copied());
            let (raw, coverage) = self.answer(&answer, asked, words, bounds, shape);
            reading.value = finish(asked, raw, asking, probe, &shape.layout);
            reading.coverage = reading.coverage.max(coverage);
        }
    }

    /// Puts an entry at its place by (time, arrival).
    pub(crate) fn insert(&mut self, shape: &Shape, entry: &Entry<'_>, clock_ms: i64) {
        let layout = &shape.layout;
        let time_ms = layout.kept_time(entry.time_ms);
        if let Some(tiles) = self.tiles.as_mut().filter(|tiles| time_ms < tiles.spilled_until_ms) {
            let mut stored = vec![0; layout.stride];
            layout.write(entry, &mut stored);
            tiles.add(&stored, layout, &shape.units);
            tiles.observe(&stored, layout, &shape.units);
        } else {
            self.insert_exact(shape, entry, time_ms);
        }
        self.expire(shape, clock_ms);
        while self.len(shape) > shape.exact_cap {
            self.spill(shape);
        }
        self.counted_bytes = self.bytes();
    }

    /// Forgets entries that no window of an event in time can see.
    pub(crate) fn expire(&mut self, shape: &Shape, clock_ms: i64) {
        let reach_ms = shape.units.rings.iter().map(|ring| ring.reach_ms).max().unwrap_or(0);
        let horizon = |reach_ms: i64| horizon_ms(clock_ms, reach_ms, shape.lateness_ms);
        if let Some(tiles) = &mut self.tiles
            && !tiles.expire(horizon, &shape.units)
        {
            self.tiles = None;
        }
        let horizon_ms = horizon(reach_ms);
        let mut first = self.start;
        let end = self.end(shape);
        while first < end && shape.layout.time_at(&self.words, first) <= horizon_ms {
            first += 1;
        }
        self.drop_front(first, shape);
    }

    /// Gives back spare memory.
    pub(crate) fn trim(&mut self, shape: &Shape) {
        let live = self.len(shape) * shape.layout.stride;
        if self.words.capacity() > 4 * live.max(64) {
            self.compact(shape);
            self.words.shrink_to(live * 2);
        }
        self.counted_bytes = self.bytes();
    }

    fn end(&self, shape: &Shape) -> usize {
        self.words.len() / shape.layout.stride
    }

    fn insert_exact(&mut self, shape: &Shape, entry: &Entry<'_>, time_ms: i64) {
        let layout = &shape.layout;
        let stride = layout.stride;
        if self.words.len() + stride > self.words.capacity() && self.start * 4 > self.len(shape) {
            self.compact(shape);
        }
        let end = self.end(shape);
        let mut at = end;
        while at > self.start && layout.time_at(&self.words, at - 1) > time_ms {
            at -= 1;
        }
        self.words.resize((end + 1) * stride, 0);
        if at < end {
            self.words.copy_within(at * stride..end * stride, (at + 1) * stride);
        }
        layout.write(entry, &mut self.words[at * stride..(at + 1) * stride]);
        if at < end {
            self.rebuild_trees(at, shape);
        } else {
            self.push_to_trees(at, shape);
        }
        self.fold_in(at, time_ms, shape);
        if let Some(tiles) = &mut self.tiles {
            tiles.observe(layout.entry(&self.words, at), layout, &shape.units);
        }
    }

    /// Lets the cursors know of the entry that now stands at `at`.
    fn fold_in(&mut self, at: usize, time_ms: i64, shape: &Shape) {
        let stored = shape.layout.entry(&self.words, at);
        for (cursor, span) in self.cursors.iter_mut().zip(&shape.units.spans) {
            if time_ms > cursor.end_ms {
                continue;
            }
            cursor.hi += 1;
            if time_ms <= cursor.start_ms {
                cursor.lo += 1;
                continue;
            }
            let units = span.first_unit..span.end_unit;
            let plans = &shape.units.accumulators[units.clone()];
            for (held, plan) in self.accumulators[units].iter_mut().zip(plans) {
                held.fold::<true>(plan, stored, &shape.layout);
            }
        }
    }

    /// Moves the oldest entry to the tiles.
    fn spill(&mut self, shape: &Shape) {
        let stored = shape.layout.entry(&self.words, self.start);
        let tiles = self.tiles.get_or_insert_with(|| Box::new(Tiles::new(&shape.units)));
        tiles.add(stored, &shape.layout, &shape.units);
        self.drop_front(self.start + 1, shape);
    }

    /// Drops the live entries before `first`.
    fn drop_front(&mut self, first: usize, shape: &Shape) {
        if first == self.start {
            return;
        }
        let words = &self.words;
        for (cursor, span) in self.cursors.iter_mut().zip(&shape.units.spans) {
            let units = span.first_unit..span.end_unit;
            let plans = &shape.units.accumulators[units.clone()];
            for (held, plan) in self.accumulators[units].iter_mut().zip(plans) {
                let mover = Mover { plan, layout: &shape.layout, words };
                mover.fold::<false>(held, cursor.lo, first.min(cursor.hi));
            }
            cursor.lo = cursor.lo.max(first);
            cursor.hi = cursor.hi.max(first);
        }
        self.start = first;
    }

    /// Moves the live entries to the front of the run.
    fn compact(&mut self, shape: &Shape) {
        self.words.drain(..self.start * shape.layout.stride);
        for cursor in &mut self.cursors {
            cursor.lo -= self.start;
            cursor.hi -= self.start;
        }
        self.start = 0;
        self.rebuild_trees(0, shape);
    }

    fn rebuild_trees(&mut self, from: usize, shape: &Shape) {
        let (layout, len) = (&shape.layout, self.end(shape));
        for (tree, plan) in self.trees.iter_mut().zip(&shape.units.trees) {
            tree.rebuild(from, len, |at| plan.leaf(layout.entry(&self.words, at), layout));
        }
        if !shape.units.filtered_latest {
            return;
        }
        self.filters.rebuild(from, len, |at| {
            layout.filter_word(layout.entry(&self.words, at)).cast_signed()
        });
    }

    fn push_to_trees(&mut self, at: usize, shape: &Shape) {
        let layout = &shape.layout;
        let stored = layout.entry(&self.words, at);
        for (tree, plan) in self.trees.iter_mut().zip(&shape.units.trees) {
            tree.push(at, plan.leaf(stored, layout));
        }
        if !shape.units.filtered_latest {
            return;
        }
        self.filters.push(at, layout.filter_word(stored).cast_signed());
    }

    /// Moves the cursors of a span to the ends of a window.
    fn aim(&mut self, span: usize, bounds: Bounds, shape: &Shape) {
        let held = self.cursors[span];
        if (held.start_ms, held.end_ms) == (bounds.start_ms, bounds.end_ms) {
            return;
        }
        let lo = self.locate(held.lo, bounds.start_ms, shape);
        let hi = self.locate(held.hi, bounds.end_ms, shape).max(lo);
        let plan = &shape.units.spans[span];
        for unit in plan.first_unit..plan.end_unit {
            let mover = Mover {
                plan: &shape.units.accumulators[unit],
                layout: &shape.layout,
                words: &self.words,
            };
            mover.shift(&mut self.accumulators[unit], (held.lo, held.hi), (lo, hi));
        }
        self.cursors[span] = Cursor { start_ms: bounds.start_ms, end_ms: bounds.end_ms, lo, hi };
    }

    /// The first live entry younger than a time, looked for from a place near it.
    fn locate(&self, near: usize, time_ms: i64, shape: &Shape) -> usize {
        const NEAR: usize = 16;
        let end = self.end(shape);
        let younger = |at: usize| shape.layout.time_at(&self.words, at) > time_ms;
        let mut at = near;
        for _ in 0..NEAR {
            if at < end && !younger(at) {
                at += 1;
            } else if at > self.start && younger(at - 1) {
                at -= 1;
            } else {
                return at;
            }
        }
        let (mut from, mut to) = if at > near { (at, end) } else { (self.start, at) };
        while from < to {
            let middle = from.midpoint(to);
            if younger(middle) {
                to = middle;
            } else {
                from = middle + 1;
            }
        }
        from
    }

    /// The folded window of a measure, whose cursors are in place.
    fn answer(
        &mut self,
        answer: &Answer,
        asked: &Asked,
        (probe, own_word): (u64, Option<u64>),
        bounds: Bounds,
        shape: &Shape,
    ) -> (Raw<'_>, Coverage) {
        let cursor = self.cursors[answer.span];
        if let Source::Unit(unit) = answer.source {
            self.find_extreme(unit, cursor, shape);
        }
        let in_tiles = |tiles: &&mut Box<Tiles>| bounds.start_ms < tiles.spilled_until_ms;
        if matches!(asked.kind, MeasureKind::Distinct(_))
            && let Some(tiles) = self.tiles.as_mut().filter(in_tiles)
        {
            let stride = shape.layout.stride;
            let log = LogPart {
                run: &self.words[cursor.lo * stride..cursor.hi * stride],
                whole: cursor.lo == self.start && cursor.hi * stride == self.words.len(),
            };
            return tiles.distinct((answer, own_word), bounds, log, &shape.layout, &shape.units);
        }
        let raw = match answer.source {
            Source::Length => Raw::Count((cursor.hi - cursor.lo) as u64),
            Source::Unit(unit) => self.accumulators[unit].raw(asked, probe, own_word),
            Source::Latest => Raw::Latest(self.latest(asked.mask, cursor, shape)),
        };
        match &self.tiles {
            Some(tiles) if bounds.start_ms < tiles.spilled_until_ms => {
                tiles.join(raw, (answer, probe), bounds, &shape.layout, &shape.units)
            }
            _ => (raw, Coverage::Complete),
        }
    }

    fn latest(&self, mask: u64, cursor: Cursor, shape: &Shape) -> Option<&[u64]> {
        let layout = &shape.layout;
        let found = if mask == 0 {
            (cursor.lo < cursor.hi).then(|| cursor.hi - 1)
        } else {
            let leaf = |at: usize| layout.filter_word(layout.entry(&self.words, at)).cast_signed();
            self.filters.find_last(cursor.lo, cursor.hi, mask.cast_signed(), leaf)
        };
        found.map(|at| layout.entry(&self.words, at))
    }

    /// Looks up an extreme that was lost.
    fn find_extreme(&mut self, unit: usize, cursor: Cursor, shape: &Shape) {
        let plan = &shape.units.accumulators[unit];
        let (Accumulator::Extreme(Extreme::Lost), UnitKind::Extreme(join)) =
            (&self.accumulators[unit], plan.kind)
        else {
            return;
        };
        let layout = &shape.layout;
        let tree = &shape.units.trees[plan.tree];
        let leaf = |at: usize| tree.leaf(layout.entry(&self.words, at), layout);
        let value = self.trees[plan.tree].query(cursor.lo, cursor.hi, leaf);
        // A value at the very end of the range looks like no value at all.
        let known = value != join.neutral()
            || layout
                .entries(&self.words, cursor.lo, cursor.hi)
                .any(|stored| layout.passes(stored, plan.mask));
        let found = if known { Extreme::Known(value) } else { Extreme::Nothing };
        self.accumulators[unit] = Accumulator::Extreme(found);
    }
}

/// The time at or before which no window of an event in time sees an entry.
pub(crate) fn horizon_ms(clock_ms: i64, reach_ms: i64, lateness_ms: i64) -> i64 {
    /// A window from here on is for ever.
    const FOREVER_MS: i64 = i64::MAX / 2;
    if reach_ms >= FOREVER_MS {
        return i64::MIN;
    }
    clock_ms.saturating_sub(reach_ms).saturating_sub(lateness_ms)
}
