//! The history of a busy key: all entries in one run, and running accumulators per window.
//!
//! Every distinct window has a pair of *cursors* into the run. A read moves them to the ends of its window and folds
//! the entries that come in or go out, in either direction: exact for any order of reads, and O(1) per event while
//! time moves on. Extremes remember their value and are found again by a tree ([`crate::window::blocks`]) when it
//! leaves; distinct words are counted. Entries beyond the cap go to [`crate::window::tiles`], oldest first.
//!
//! INVARIANT: a cursor's `lo` is the number of the first live entry younger than `start_ms`, `hi` of the first younger
//! than `end_ms`; its accumulators hold exactly the entries `lo..hi`.

use crate::window::blocks::{Blocks, Join};
use crate::window::layout::Layout;
use crate::window::plan::{Asked, ReadPlan};
use crate::window::ring::heap_bytes;
use crate::window::scan::{Asking, Raw, Squares, finish, own_of};
use crate::window::sketch::WordCounts;
use crate::window::spec::{Coverage, Entry, MeasureKind, ReadValue, Reading};
use crate::window::tiles::{Bounds, LogPart, Tiles};
use crate::window::units::{Answer, Source, UnitKind, UnitPlan, Units};

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
}

#[derive(Clone, Copy, Debug)]
struct Cursor {
    start_ms: i64,
    end_ms: i64,
    lo: usize,
    hi: usize,
}

#[derive(Clone, Debug)]
enum Accumulator {
    Count(u64),
    Sum(i128),
    Squares(Squares),
    Extreme(Extreme),
    Words(WordCounts),
}

/// The least or greatest value of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extreme {
    Nothing,
    Known(i64),
    /// The known value left; the tree knows the next.
    Lost,
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
            accumulators: units.units.iter().map(Accumulator::new).collect(),
            trees: units.trees.iter().map(|tree| Blocks::new(tree.join)).collect(),
            filters: Blocks::new(Join::Any),
            tiles: None,
            after_eviction,
        };
        log.rebuild_trees(0, shape);
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

    /// Heap bytes, itself included.
    pub(crate) fn bytes(&self) -> usize {
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
        let stored = layout.entry(&self.words, at);
        for (cursor, span) in self.cursors.iter_mut().zip(&shape.units.spans) {
            if time_ms <= cursor.start_ms {
                cursor.lo += 1;
                cursor.hi += 1;
            } else if time_ms <= cursor.end_ms {
                cursor.hi += 1;
                for unit in span.first_unit..span.end_unit {
                    self.accumulators[unit].fold::<true>(&shape.units.units[unit], stored, layout);
                }
            }
        }
        if let Some(tiles) = &mut self.tiles {
            tiles.observe(stored, layout, &shape.units);
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
        for (cursor, span) in self.cursors.iter_mut().zip(&shape.units.spans) {
            let gone = first.min(cursor.hi);
            if cursor.lo < gone {
                let entries = shape.layout.entries(&self.words, cursor.lo, gone);
                for unit in span.first_unit..span.end_unit {
                    let plan = &shape.units.units[unit];
                    self.accumulators[unit].fold_all::<false>(plan, entries.clone(), &shape.layout);
                }
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
            let neutral = plan.join.neutral();
            tree.rebuild(from, len, |at| {
                let stored = layout.entry(&self.words, at);
                if layout.passes(stored, plan.mask) {
                    stored[plan.at].cast_signed()
                } else {
                    neutral
                }
            });
        }
        self.filters.rebuild(from, len, |at| {
            layout.filter_word(layout.entry(&self.words, at)).cast_signed()
        });
    }

    fn push_to_trees(&mut self, at: usize, shape: &Shape) {
        let layout = &shape.layout;
        let stored = layout.entry(&self.words, at);
        for (tree, plan) in self.trees.iter_mut().zip(&shape.units.trees) {
            let passes = layout.passes(stored, plan.mask);
            tree.push(at, if passes { stored[plan.at].cast_signed() } else { plan.join.neutral() });
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
            let mover =
                Mover { plan: &shape.units.units[unit], layout: &shape.layout, words: &self.words };
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
        let plan = &shape.units.units[unit];
        let (Accumulator::Extreme(Extreme::Lost), UnitKind::Extreme(join)) =
            (&self.accumulators[unit], plan.kind)
        else {
            return;
        };
        let layout = &shape.layout;
        let neutral = join.neutral();
        let leaf = |at: usize| {
            let stored = layout.entry(&self.words, at);
            if layout.passes(stored, plan.mask) { stored[plan.at].cast_signed() } else { neutral }
        };
        let value = self.trees[plan.tree].query(cursor.lo, cursor.hi, leaf);
        // A value at the very end of the range looks like no value at all.
        let known = value != neutral
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

/// Moves one accumulator from one range of entries to another.
struct Mover<'a> {
    plan: &'a UnitPlan,
    layout: &'a Layout,
    words: &'a [u64],
}

impl Mover<'_> {
    fn shift(&self, held: &mut Accumulator, old: (usize, usize), new: (usize, usize)) {
        if new.0 >= old.1 || new.1 <= old.0 {
            held.clear();
            self.fold::<true>(held, new.0, new.1);
            return;
        }
        self.fold::<true>(held, new.0, old.0);
        self.fold::<true>(held, old.1, new.1);
        self.fold::<false>(held, old.0, new.0);
        self.fold::<false>(held, new.1, old.1);
    }

    fn fold<const ADD: bool>(&self, held: &mut Accumulator, from: usize, to: usize) {
        if from < to {
            let entries = self.layout.entries(self.words, from, to);
            held.fold_all::<ADD>(self.plan, entries, self.layout);
        }
    }
}

impl Accumulator {
    fn new(plan: &UnitPlan) -> Self {
        match plan.kind {
            UnitKind::Count => Self::Count(0),
            UnitKind::Sum => Self::Sum(0),
            UnitKind::Squares => Self::Squares(Squares::default()),
            UnitKind::Extreme(_) => Self::Extreme(Extreme::Nothing),
            UnitKind::Words => Self::Words(WordCounts::default()),
        }
    }

    fn bytes(&self) -> usize {
        if let Self::Words(words) = self { words.bytes() } else { 0 }
    }

    fn clear(&mut self) {
        match self {
            Self::Count(count) => *count = 0,
            Self::Sum(sum) => *sum = 0,
            Self::Squares(squares) => *squares = Squares::default(),
            Self::Extreme(extreme) => *extreme = Extreme::Nothing,
            Self::Words(words) => words.clear(),
        }
    }

    fn fold_all<'a, const ADD: bool>(
        &mut self,
        plan: &UnitPlan,
        entries: impl Iterator<Item = &'a [u64]>,
        layout: &Layout,
    ) {
        for stored in entries {
            self.fold::<ADD>(plan, stored, layout);
        }
    }

    /// Folds an entry in or out.
    #[inline]
    fn fold<const ADD: bool>(&mut self, plan: &UnitPlan, stored: &[u64], layout: &Layout) {
        if !layout.passes(stored, plan.mask) {
            return;
        }
        match self {
            Self::Count(count) if ADD => *count += 1,
            Self::Count(count) => *count -= 1,
            Self::Sum(sum) if ADD => *sum += i128::from(stored[plan.at].cast_signed()),
            Self::Sum(sum) => *sum -= i128::from(stored[plan.at].cast_signed()),
            Self::Squares(squares) if ADD => squares.add(stored[plan.at].cast_signed()),
            Self::Squares(squares) => squares.remove(stored[plan.at].cast_signed()),
            Self::Words(words) if ADD => words.add(stored[plan.at]),
            Self::Words(words) => words.remove(stored[plan.at]),
            Self::Extreme(extreme) => {
                let UnitKind::Extreme(join) = plan.kind else { return };
                extreme.fold::<ADD>(join, stored[plan.at].cast_signed());
            }
        }
    }

    fn raw(&self, asked: &Asked, probe: u64, own_word: Option<u64>) -> Raw<'static> {
        match self {
            Self::Count(count) => Raw::Count(*count),
            Self::Sum(sum) => Raw::Sum(*sum),
            Self::Squares(squares) => Raw::Squares(*squares),
            Self::Extreme(Extreme::Known(value)) => Raw::Extreme(Some(*value)),
            Self::Extreme(_) => Raw::Extreme(None),
            Self::Words(words) if matches!(asked.kind, MeasureKind::CountOf(_)) => {
                Raw::Count(u64::from(words.count(probe)))
            }
            Self::Words(words) => {
                let count = words.len() as u64;
                let new = own_word.is_some_and(|word| words.count(word) == 0);
                Raw::Distinct { count, with_own: count + u64::from(new) }
            }
        }
    }
}

impl Extreme {
    #[inline]
    fn fold<const ADD: bool>(&mut self, join: Join, value: i64) {
        *self = match *self {
            Self::Nothing if ADD => Self::Known(value),
            Self::Known(best) if ADD => Self::Known(join.join(best, value)),
            Self::Known(best) if best == value => Self::Lost,
            kept => kept,
        };
    }
}
