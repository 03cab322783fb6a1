//! The history of a busy key: all entries in one run, and running accumulators per window.
//!
//! Every distinct window has a pair of *cursors* into the run. A read moves them to the ends of its window and folds
//! the entries that come in or go out, in either direction: exact for any order of reads, and O(1) per event while
//! time moves on. Extremes remember their value and are found again by a tree ([`crate::window::blocks`]) when it
//! leaves; distinct words are counted. Entries beyond the cap go to [`crate::window::tiles`], oldest first.
//!
//! INVARIANT: a cursor's `lo` is the number of the first live entry younger than `start_ms`, `hi` of the first younger
//! than `end_ms`; its accumulators hold exactly the entries `lo..hi`.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::accumulator::{Accumulator, Extreme, Mover};
use crate::window::blocks::{Blocks, Join};
use crate::window::convert::Convert;
use crate::window::layout::Layout;
use crate::window::plan::{Asked, ReadPlan};
use crate::window::ring::heap_bytes;
use crate::window::scan::{Asking, Raw, Scratch, finish, own_of};
use crate::window::spec::{Calendar, Coverage, Entry, MeasureKind, ReadValue, Reading};
use crate::window::tiles::{Bounds, LogPart, Now, TileMap, Tiles};
use crate::window::units::{Answer, Source, UnitKind, Units};
use crate::window::walk::Walked;

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
    /// Words per entry, as in the layout.
    stride: usize,
    /// Number of the first live entry: at most twice as many as are live, and a few, came before it.
    start: usize,
    cursors: Box<[Cursor]>,
    accumulators: Box<[Accumulator]>,
    trees: Box<[Blocks]>,
    /// Finds the latest entry that passes a filter.
    filters: Blocks,
    /// Finds the latest entry that does not pass a filter.
    failing: Blocks,
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
            stride: shape.layout.stride,
            start: 0,
            cursors: vec![cursor; units.spans.len()].into_boxed_slice(),
            accumulators: units.accumulators.iter().map(Accumulator::new).collect(),
            trees: units.trees.iter().map(|tree| Blocks::new(tree.join)).collect(),
            filters: Blocks::new(Join::Any),
            failing: Blocks::new(Join::Any),
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
            + self.failing.bytes()
            + self.tiles.as_ref().map_or(0, |tiles| tiles.bytes())
    }

    /// Answers `plan`; sets the values of `out` and worsens the coverage where tiles take part.
    pub(crate) fn read(
        &mut self,
        shape: &Shape,
        plan: &ReadPlan,
        asking: &Asking<'_>,
        scratch: &mut Scratch,
        out: &mut [Reading],
    ) {
        self.fold(shape, plan, asking, out);
        scratch.positions.clear();
        let layout = &shape.layout;
        let leaf = |at: usize| !layout.filter_word(layout.entry(&self.words, at)).cast_signed();
        let failing = |range: core::ops::Range<usize>, mask: u64| {
            let (from, to) = (self.start + range.start, self.start + range.end);
            let found = self.failing.find_last(from, to, mask.cast_signed(), leaf);
            found.map(|at| at - self.start)
        };
        let (run, spilled_until_ms) = (self.run(shape), self.spilled_until_ms());
        let walked = Walked { run, layout, spilled_until_ms, failing: &failing };
        walked.read(plan, asking, scratch, out);
    }

    /// Answers what has cursors and slices.
    fn fold(&mut self, shape: &Shape, plan: &ReadPlan, asking: &Asking<'_>, out: &mut [Reading]) {
        for (index, (asked, reading)) in plan.asked.iter().zip(out).enumerate() {
            if asked.walks {
                continue;
            }
            let probe = asking.probes.get(index).copied();
            if probe.is_none() && matches!(asked.kind, MeasureKind::CountOf(_)) {
                reading.value = ReadValue::Missing;
                continue;
            }
            let probe = probe.unwrap_or(0);
            let (start_ms, end_ms) = asked.bounds_ms(asking.time_ms, asking.starts, index);
            let length_ms = match asked.calendar {
                Some(Calendar::Since(_)) => (end_ms - start_ms).max(1),
                _ => asked.length_ms,
            };
            let capped = reading.coverage == Coverage::Capped;
            let bounds = Bounds { start_ms, end_ms, length_ms, capped };
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
    pub(crate) fn insert(&mut self, shape: &Shape, entry: &Entry<'_>, now: Now) {
        let layout = &shape.layout;
        let time_ms = layout.kept_time(entry.time_ms);
        if let Some(tiles) = self.tiles.as_mut().filter(|tiles| time_ms < tiles.spilled_until_ms) {
            let mut stored = vec![0; layout.stride];
            layout.write(entry, &mut stored);
            tiles.add_late(&stored, now, layout, &shape.units);
        } else {
            self.insert_exact(shape, entry, time_ms);
        }
        self.expire(shape, now.clock_ms);
        while self.len(shape) > shape.exact_cap {
            self.spill(shape, now);
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

    /// The same history with entries of another layout, for the measures of another shape.
    pub(crate) fn converted(self, convert: &Convert<'_>, to: &Shape, tiles: &TileMap) -> Self {
        let live = &self.words[self.start * self.stride..];
        let mut run = vec![0; live.len() / self.stride * to.layout.stride];
        convert.run(live, &mut run);
        let mut log = Self::from_run(&run, to, self.after_eviction);
        log.tiles = self.tiles.map(|held| Box::new(held.converted(convert, &to.units, tiles)));
        log.counted_bytes = log.bytes();
        log
    }

    /// A log of these entries, oldest first, beside the slices of another one. None of the entries lies in them.
    pub(crate) fn refilled(run: &[u64], slices_of: Option<&Self>, shape: &Shape, now: Now) -> Self {
        let mut log = Self::from_run(run, shape, false);
        log.tiles = slices_of.and_then(|held| held.tiles.clone());
        if let Some(tiles) = &mut log.tiles {
            tiles.forget_unions();
        }
        while log.len(shape) > shape.exact_cap {
            log.spill(shape, now);
        }
        log.counted_bytes = log.bytes();
        log
    }

    /// Whether a time lies between the oldest and the newest entry of a slice.
    pub(crate) fn has_slice_around(&self, time_ms: i64) -> bool {
        self.tiles.as_ref().is_some_and(|tiles| tiles.spans(time_ms))
    }

    /// No entry at or before this time is surely in the log; `None`: there are no tiles.
    pub(crate) fn spilled_until_ms(&self) -> Option<i64> {
        self.tiles.as_ref().map(|tiles| tiles.spilled_until_ms)
    }

    /// Writes the entries, where the cursors stand and the sizes of what hangs on them; what can be folded again from
    /// the entries is left out.
    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        let live = &self.words[self.start * self.stride..];
        code.flag(self.after_eviction);
        code.count(live.len() / self.stride);
        code.count(self.start);
        code.count(self.words.capacity());
        code.count(self.counted_bytes);
        code.words(live);
        for cursor in &self.cursors {
            code.int(cursor.start_ms);
            code.int(cursor.end_ms);
        }
        for held in &self.accumulators {
            code.byte(held.size_code());
        }
        code.flag(self.tiles.is_some());
        if let Some(tiles) = &self.tiles {
            tiles.save(code);
        }
    }

    pub(crate) fn load(shape: &Shape, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "entries of a busy key";
        let stride = shape.layout.stride;
        let after_eviction = code.flag(WHAT)?;
        let len = code.count(8 * stride, WHAT)?;
        let (start, capacity) = (code.index(WHAT)?, code.index(WHAT)?);
        let counted_bytes = code.index(WHAT)?;
        let fits = start <= most_before(len) && capacity <= 16 * (len + 16) * stride;
        code.demand(fits && (start + len) * stride <= capacity, WHAT)?;
        code.demand(counted_bytes <= isize::MAX.cast_unsigned(), WHAT)?;
        let mut words = Vec::with_capacity(capacity);
        words.resize(start * stride, 0);
        words.extend(code.words(len * stride, WHAT)?);
        let ordered = shape.layout.is_ordered(&words[start * stride..]);
        code.demand(ordered, "entries in the order of time")?;
        let mut log = Self::from_run(&[], shape, after_eviction);
        log.words = words;
        log.start = start;
        log.rebuild_trees(0, shape);
        for span in 0..log.cursors.len() {
            log.load_cursor(span, shape, code)?;
        }
        for held in &mut log.accumulators {
            let size = code.byte(WHAT)?;
            held.take_size(size, code)?;
        }
        if code.flag(WHAT)? {
            log.tiles = Some(Box::new(Tiles::load(&shape.layout, &shape.units, code)?));
        }
        log.counted_bytes = counted_bytes;
        Ok(log)
    }

    fn load_cursor(
        &mut self,
        span: usize,
        shape: &Shape,
        code: &mut Decoder<'_>,
    ) -> Result<(), Damaged> {
        const WHAT: &str = "window of a busy key";
        let (start_ms, end_ms) = (code.int(WHAT)?, code.int(WHAT)?);
        code.demand(start_ms <= end_ms, WHAT)?;
        let lo = self.locate(self.start, start_ms, shape);
        let hi = self.locate(lo, end_ms, shape);
        let plan = &shape.units.spans[span];
        for unit in plan.first_unit..plan.end_unit {
            let plan = &shape.units.accumulators[unit];
            let mover = Mover { plan, layout: &shape.layout, words: &self.words };
            mover.fold::<true>(&mut self.accumulators[unit], lo, hi);
        }
        self.cursors[span] = Cursor { start_ms, end_ms, lo, hi };
        Ok(())
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
    fn spill(&mut self, shape: &Shape, now: Now) {
        let stored = shape.layout.entry(&self.words, self.start);
        let tiles = self.tiles.get_or_insert_with(|| Box::new(Tiles::new(&shape.units)));
        tiles.spill(stored, now, &shape.layout, &shape.units);
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
        if first > most_before(self.len(shape)) {
            self.compact(shape);
            let live = self.words.len();
            if self.words.capacity() > 4 * live.max(64) {
                self.words.shrink_to(live * 2);
            }
        }
    }

    /// Moves the live entries to the front of the run.
    fn compact(&mut self, shape: &Shape) {
        self.words.drain(..self.start * shape.layout.stride);
        for cursor in &mut self.cursors {
            cursor.lo -= self.start;
            cursor.hi -= self.start;
        }
        self.start = 0;
        self.trees.iter_mut().for_each(Blocks::clear);
        self.filters.clear();
        self.failing.clear();
        self.rebuild_trees(0, shape);
    }

    fn rebuild_trees(&mut self, from: usize, shape: &Shape) {
        let (layout, len) = (&shape.layout, self.end(shape));
        for (tree, plan) in self.trees.iter_mut().zip(&shape.units.trees) {
            tree.rebuild(from, len, |at| plan.leaf(layout.entry(&self.words, at), layout));
        }
        let filters = |at| layout.filter_word(layout.entry(&self.words, at)).cast_signed();
        if shape.units.filtered_latest {
            self.filters.rebuild(from, len, filters);
        }
        if shape.units.runs {
            self.failing.rebuild(from, len, |at| !filters(at));
        }
    }

    fn push_to_trees(&mut self, at: usize, shape: &Shape) {
        let layout = &shape.layout;
        let stored = layout.entry(&self.words, at);
        for (tree, plan) in self.trees.iter_mut().zip(&shape.units.trees) {
            tree.push(at, plan.leaf(stored, layout));
        }
        let filters = layout.filter_word(stored).cast_signed();
        if shape.units.filtered_latest {
            self.filters.push(at, filters);
        }
        if shape.units.runs {
            self.failing.push(at, !filters);
        }
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
        if let (MeasureKind::Ranked(_, pick), Source::Unit(unit)) = (asked.kind, answer.source)
            && let Accumulator::Ranks(exact) = &self.accumulators[unit]
            && let Some(tiles) = self.tiles.as_mut().filter(in_tiles)
        {
            let own = own_word.map(u64::cast_signed);
            return tiles.ranked((answer, pick, own), bounds, exact);
        }
        let raw = match answer.source {
            Source::Length => Raw::Count((cursor.hi - cursor.lo) as u64),
            Source::Unit(unit) => self.accumulators[unit].raw(asked, probe, own_word),
            Source::Latest => Raw::Latest(self.latest(asked.mask, cursor, shape)),
            // Answered by `Walked`.
            Source::Walk => Raw::Count(0),
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

/// Most dead entries that a log keeps before its live ones, so that its memory is in proportion to them.
fn most_before(live: usize) -> usize {
    2 * live + 16
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
