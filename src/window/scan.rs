//! Answers a plan by scanning a run of entries: exact, without any state per window.
//!
//! Cost: one pass over the times for the edges, then per series one tight pass over the entries of its longest window.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::layout::Layout;
use crate::window::plan::{Asked, Question, ReadPlan, Series};
use crate::window::spec::{
    Coverage, Entry, History, MAX_HISTORY, MeasureKind, PastEntry, ReadValue, Reading, Wanted,
};

/// What the reader brings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    pub(crate) time_ms: i64,
    pub(crate) own: Option<&'a Entry<'a>>,
    pub(crate) probes: &'a [u64],
    /// Per measure the instant before the part of the calendar at which its window has an end.
    pub(crate) starts: &'a [Option<i64>],
    pub(crate) known: Known,
}

/// From when on the entries of a key are known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    /// Event time at which the stream began.
    pub(crate) began_ms: i64,
    /// Entries at or before this time may have been forgotten or evicted.
    pub(crate) forgotten_ms: i64,
}

impl Known {
    /// How far an answer can be trusted that rests on all entries after `start_ms`.
    #[inline]
    pub(crate) fn coverage(self, asked: &Asked, start_ms: i64) -> Coverage {
        if start_ms < self.forgotten_ms {
            Coverage::Capped
        } else if start_ms < self.began_ms.max(asked.since_ms).saturating_sub(1) {
            Coverage::Warming
        } else {
            Coverage::Complete
        }
    }
}

/// Appends the wanted entries of a run to `out`, oldest first; says whether these are all.
pub(crate) fn copy_out(run: &[u64], layout: &Layout, wanted: &Wanted, out: &mut History) -> bool {
    let first = out.entries.len();
    let (mut from, mut to) = (0, run.len() / layout.stride);
    while from < to {
        let middle = from.midpoint(to);
        if layout.time_at(run, middle) > wanted.until_ms {
            to = middle;
        } else {
            from = middle + 1;
        }
    }
    let mut whole = true;
    for at in (0..from).rev() {
        let stored = layout.entry(run, at);
        let time_ms = layout.time(stored);
        if time_ms <= wanted.after_ms {
            break;
        }
        if !layout.passes(stored, wanted.mask) {
            continue;
        }
        if out.entries.len() - first == MAX_HISTORY {
            whole = false;
            break;
        }
        let (filters, words_at) = (layout.filter_word(stored), out.words.len());
        out.entries.push(PastEntry { time_ms, filters, words_at });
        out.words.extend_from_slice(&stored[layout.header..]);
    }
    out.entries[first..].reverse();
    whole
}

/// A sum of squares in 192 bits: adding and removing never loses a bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Squares {
    low: u128,
    high: u64,
}

impl Squares {
    #[inline]
    pub(crate) fn add(&mut self, value: i64) {
        let (low, carry) = self.low.overflowing_add(square(value));
        self.low = low;
        self.high = self.high.wrapping_add(u64::from(carry));
    }

    #[inline]
    pub(crate) fn remove(&mut self, value: i64) {
        let (low, borrow) = self.low.overflowing_sub(square(value));
        self.low = low;
        self.high = self.high.wrapping_sub(u64::from(borrow));
    }

    #[inline]
    pub(crate) fn merge(&mut self, other: Self) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(other.high).wrapping_add(u64::from(carry));
    }

    pub(crate) fn save(self, code: &mut Encoder<'_>) {
        code.wide(self.low);
        code.word(self.high);
    }

    pub(crate) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "sum of squares";
        Ok(Self { low: code.wide(WHAT)?, high: code.word(WHAT)? })
    }

    /// The sum where it fits `i128`.
    pub(crate) fn value(self) -> Option<i128> {
        if self.high == 0 { i128::try_from(self.low).ok() } else { None }
    }
}

fn square(value: i64) -> u128 {
    let size = u128::from(value.unsigned_abs());
    size * size
}

/// A folded window, before the present event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    /// Entries, or entries that carry the probe.
    Count(u64),
    Sum(i128),
    Squares(Squares),
    Extreme(Option<i64>),
    /// Distinct words without and with the present event's word.
    Distinct {
        count: u64,
        with_own: u64,
    },
    /// What a rank picked, the present event included where it counts.
    Picked(Option<i128>),
    /// The stored words of the latest entry, with their header.
    Latest(Option<&'a [u64]>),
}

/// Joins the present event to a folded window.
pub(crate) fn finish(
    asked: &Asked,
    raw: Raw<'_>,
    asking: &Asking<'_>,
    probe: u64,
    layout: &Layout,
) -> ReadValue {
    let own = own_of(asked, asking);
    let own_word = own.and_then(|own| own.words.get(asked.offset)).copied().unwrap_or(0);
    match raw {
        Raw::Count(count) => {
            let counts_own = own.is_some()
                && (!matches!(asked.kind, MeasureKind::CountOf(_)) || own_word == probe);
            ReadValue::Int(i128::from(count) + i128::from(counts_own))
        }
        Raw::Sum(sum) => {
            let added = if own.is_some() { i128::from(own_word.cast_signed()) } else { 0 };
            sum.checked_add(added).map_or(ReadValue::Missing, ReadValue::Int)
        }
        Raw::Squares(mut squares) => {
            if own.is_some() {
                squares.add(own_word.cast_signed());
            }
            squares.value().map_or(ReadValue::Missing, ReadValue::Int)
        }
        Raw::Extreme(best) => {
            let own = own.map(|_| own_word.cast_signed());
            let joined = match (best, own) {
                (Some(best), Some(own)) if matches!(asked.kind, MeasureKind::Min(_)) => {
                    Some(best.min(own))
                }
                (Some(best), Some(own)) => Some(best.max(own)),
                (best, own) => best.or(own),
            };
            joined.map_or(ReadValue::Missing, |value| ReadValue::Int(i128::from(value)))
        }
        Raw::Distinct { count, with_own } => {
            ReadValue::Int(i128::from(if own.is_some() { with_own } else { count }))
        }
        Raw::Picked(picked) => picked.map_or(ReadValue::Missing, ReadValue::Int),
        Raw::Latest(stored) => {
            let stored_words = stored.map(|stored| &stored[layout.header..]);
            match (own, stored) {
                (None, None) => ReadValue::Missing,
                (Some(own), _) if asked.kind == MeasureKind::LastTime => {
                    ReadValue::Int(i128::from(own.time_ms))
                }
                (_, Some(stored)) if asked.kind == MeasureKind::LastTime => {
                    ReadValue::Int(i128::from(layout.time(stored)))
                }
                (own, _) => own
                    .map(|own| own.words)
                    .or(stored_words)
                    .map_or(ReadValue::Missing, |words| asked.value_of(words)),
            }
        }
    }
}

/// The present event where it counts for this measure.
pub(crate) fn own_of<'a>(asked: &Asked, asking: &Asking<'a>) -> Option<&'a Entry<'a>> {
    asking.own.filter(|own| asked.with_own && (asked.mask == 0 || own.filters & asked.mask != 0))
}

/// Room that scans reuse; one per table.
#[derive(Clone, Debug)]
pub(crate) struct Scratch {
    /// Per edge, how many entries are not younger than it.
    pub(crate) positions: Vec<usize>,
    seen: SeenWords,
    /// Values of a window, to find one by its rank.
    values: Vec<i64>,
}

impl Scratch {
    /// Room for runs of up to `entries`.
    pub(crate) fn new(entries: usize) -> Self {
        Self { positions: Vec::new(), seen: SeenWords::new(entries), values: Vec::new() }
    }
}

/// Answers `plan` over `run`; sets the values of `out` and leaves the coverage.
pub(crate) fn read(
    run: &[u64],
    layout: &Layout,
    plan: &ReadPlan,
    asking: &Asking<'_>,
    scratch: &mut Scratch,
    out: &mut [Reading],
) {
    place_edges(run, layout, plan, asking.time_ms, &mut scratch.positions);
    let bounds_ms =
        |index: usize| plan.asked[index].bounds_ms(asking.time_ms, asking.starts, index);
    for index in &plan.calendars {
        scratch.positions.push(first_after(run, layout, bounds_ms(*index).0));
    }
    for index in &plan.ended {
        scratch.positions.push(first_after(run, layout, bounds_ms(*index).1));
    }
    for series in &plan.series {
        Fold { run, layout, plan, series, asking }.answer(scratch, out);
    }
}

/// How many entries of a run are not younger than a time.
pub(crate) fn first_after(run: &[u64], layout: &Layout, time_ms: i64) -> usize {
    let (mut from, mut to) = (0, run.len() / layout.stride);
    while from < to {
        let middle = from.midpoint(to);
        if layout.time_at(run, middle) <= time_ms {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    from
}

#[inline]
fn place_edges(
    run: &[u64],
    layout: &Layout,
    plan: &ReadPlan,
    time_ms: i64,
    positions: &mut Vec<usize>,
) {
    positions.clear();
    let mut older = run;
    let mut at = run.len() / layout.stride;
    for distance in &plan.edges {
        let limit = time_ms.saturating_sub(*distance);
        while at > 0 {
            let (rest, newest) = older.split_at(older.len() - layout.stride);
            if layout.time(newest) <= limit {
                break;
            }
            (older, at) = (rest, at - 1);
        }
        positions.push(at);
    }
}

/// One series over one run.
pub(crate) struct Fold<'a> {
    pub(crate) run: &'a [u64],
    pub(crate) layout: &'a Layout,
    pub(crate) plan: &'a ReadPlan,
    pub(crate) series: &'a Series,
    pub(crate) asking: &'a Asking<'a>,
}

impl<'a> Fold<'a> {
    /// Sets the values of the series, between the edges whose positions are known.
    #[inline]
    pub(crate) fn answer(&self, scratch: &mut Scratch, out: &mut [Reading]) {
        match self.series.question {
            Question::Count => self.count(scratch, out),
            Question::Sums => self.sums(scratch, out),
            Question::SumsAndSquares => self.squares(scratch, out),
            Question::Extremes => self.extremes(scratch, out),
            Question::Distinct => self.distinct(scratch, out),
            Question::CountOf => self.count_of(scratch, out),
            Question::Ranks => self.ranks(scratch, out),
            Question::Latest => self.latest(scratch, out),
            // A run is counted where its end is found: `walk`.
            Question::Run => {}
        }
    }

    /// Calls `each` with the entries that a step adds, then `raw` for its value.
    #[inline]
    fn steps<S>(
        &self,
        positions: &[usize],
        out: &mut [Reading],
        state: &mut S,
        each: impl Fn(&mut S, &[u64]),
        raw: impl Fn(&S, &Asked) -> Raw<'a>,
    ) {
        let mut from = positions[self.series.near_edge];
        for step in &self.plan.steps[self.series.first_step..self.series.end_step] {
            let to = positions[step.far_edge];
            self.layout
                .entries(self.run, to, from.max(to))
                .filter(|stored| self.layout.passes(stored, self.series.mask))
                .for_each(|stored| each(state, stored));
            from = from.min(to);
            self.give(step.asked, raw(state, &self.plan.asked[step.asked]), out);
        }
    }

    fn give(&self, index: usize, raw: Raw<'_>, out: &mut [Reading]) {
        let asked = &self.plan.asked[index];
        let probe = self.asking.probes.get(index).copied().unwrap_or(0);
        if let Some(reading) = out.get_mut(index) {
            reading.value = finish(asked, raw, self.asking, probe, self.layout);
        }
    }

    fn word_at(&self) -> usize {
        self.layout.header + self.series.offset
    }

    fn count(&self, scratch: &Scratch, out: &mut [Reading]) {
        if self.series.mask == 0 {
            let near = scratch.positions[self.series.near_edge];
            for step in &self.plan.steps[self.series.first_step..self.series.end_step] {
                let count = near - scratch.positions[step.far_edge];
                self.give(step.asked, Raw::Count(count as u64), out);
            }
            return;
        }
        self.steps(&scratch.positions, out, &mut 0, |n, _| *n += 1, |n, _| Raw::Count(*n));
    }

    fn sums(&self, scratch: &Scratch, out: &mut [Reading]) {
        let at = self.word_at();
        let add = |sum: &mut i128, stored: &[u64]| *sum += i128::from(stored[at].cast_signed());
        self.steps(&scratch.positions, out, &mut 0, add, |sum, _| Raw::Sum(*sum));
    }

    fn squares(&self, scratch: &Scratch, out: &mut [Reading]) {
        let at = self.word_at();
        let add = |state: &mut (i128, Squares), stored: &[u64]| {
            let value = stored[at].cast_signed();
            state.0 += i128::from(value);
            state.1.add(value);
        };
        let raw = |state: &(i128, Squares), asked: &Asked| match asked.kind {
            MeasureKind::SumSquares(_) => Raw::Squares(state.1),
            _ => Raw::Sum(state.0),
        };
        self.steps(&scratch.positions, out, &mut (0, Squares::default()), add, raw);
    }

    fn extremes(&self, scratch: &Scratch, out: &mut [Reading]) {
        let at = self.word_at();
        // INVARIANT: the least is above the greatest only while nothing was folded.
        let mut state = (i64::MAX, i64::MIN);
        let add = |state: &mut (i64, i64), stored: &[u64]| {
            let value = stored[at].cast_signed();
            *state = (state.0.min(value), state.1.max(value));
        };
        let raw = |state: &(i64, i64), asked: &Asked| {
            let best = if matches!(asked.kind, MeasureKind::Min(_)) { state.0 } else { state.1 };
            Raw::Extreme((state.0 <= state.1).then_some(best))
        };
        self.steps(&scratch.positions, out, &mut state, add, raw);
    }

    fn distinct(&self, scratch: &mut Scratch, out: &mut [Reading]) {
        let at = self.word_at();
        let Scratch { positions, seen, .. } = scratch;
        seen.clear();
        let own = self.asking.own.and_then(|own| own.words.get(self.series.offset)).copied();
        let raw = |seen: &SeenWords, _: &Asked| {
            let new = own.is_some_and(|word| !seen.contains(word));
            Raw::Distinct { count: seen.len(), with_own: seen.len() + u64::from(new) }
        };
        self.steps(positions, out, seen, |seen, stored| seen.insert(stored[at]), raw);
    }

    fn count_of(&self, scratch: &Scratch, out: &mut [Reading]) {
        let at = self.word_at();
        let asked = self.plan.steps[self.series.first_step].asked;
        let Some(probe) = self.asking.probes.get(asked).copied() else {
            if let Some(reading) = out.get_mut(asked) {
                reading.value = ReadValue::Missing;
            }
            return;
        };
        let add = |n: &mut u64, stored: &[u64]| *n += u64::from(stored[at] == probe);
        self.steps(&scratch.positions, out, &mut 0, add, |n, _| Raw::Count(*n));
    }

    fn ranks(&self, scratch: &mut Scratch, out: &mut [Reading]) {
        let at = self.word_at();
        let Scratch { positions, values, .. } = scratch;
        values.clear();
        let mut from = positions[self.series.near_edge];
        for step in &self.plan.steps[self.series.first_step..self.series.end_step] {
            let to = positions[step.far_edge];
            let entries = self.layout.entries(self.run, to, from.max(to));
            let passing = entries.filter(|stored| self.layout.passes(stored, self.series.mask));
            values.extend(passing.map(|stored| stored[at].cast_signed()));
            from = from.min(to);
            let asked = &self.plan.asked[step.asked];
            let MeasureKind::Ranked(_, pick) = asked.kind else { continue };
            let own = own_of(asked, self.asking).and_then(|own| own.words.get(asked.offset));
            let held = values.len() as u64;
            let nth = |rank| select(values, rank);
            let picked = pick.of(held, own.map(|word| word.cast_signed()), nth);
            self.give(step.asked, Raw::Picked(picked), out);
        }
    }

    fn latest(&self, scratch: &Scratch, out: &mut [Reading]) {
        let steps = &self.plan.steps[self.series.first_step..self.series.end_step];
        let near = scratch.positions[self.series.near_edge];
        let far = steps.last().map_or(near, |step| scratch.positions[step.far_edge]);
        let found = (far..near)
            .rev()
            .find(|at| self.layout.passes(self.layout.entry(self.run, *at), self.series.mask));
        for step in steps {
            let inside = found.filter(|at| *at >= scratch.positions[step.far_edge]);
            let stored = inside.map(|at| self.layout.entry(self.run, at));
            self.give(step.asked, Raw::Latest(stored), out);
        }
    }
}

/// The value at a rank from 1; moves the values.
fn select(values: &mut [i64], rank: u64) -> i64 {
    let at = usize::try_from(rank).unwrap_or(usize::MAX).saturating_sub(1);
    if at < values.len() { *values.select_nth_unstable(at).1 } else { 0 }
}

/// A set of words that is emptied in one step.
#[derive(Clone, Debug)]
struct SeenWords {
    /// (round, word), open addressing, at most half full; round 0 is never current.
    slots: Vec<(u32, u64)>,
    round: u32,
    len: u64,
}

impl SeenWords {
    fn new(entries: usize) -> Self {
        let slots = (entries * 2).next_power_of_two().max(4);
        Self { slots: vec![(0, 0); slots], round: 0, len: 0 }
    }

    fn clear(&mut self) {
        self.len = 0;
        if self.round == u32::MAX {
            self.slots.fill((0, 0));
            self.round = 0;
        }
        self.round += 1;
    }

    fn len(&self) -> u64 {
        self.len
    }

    /// The slot that holds the word, or the free one where it belongs.
    fn find(&self, word: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mixed = (word ^ (word >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut at = (mixed >> 32) as usize & mask;
        while self.slots[at].0 == self.round && self.slots[at].1 != word {
            at = (at + 1) & mask;
        }
        at
    }

    fn contains(&self, word: u64) -> bool {
        self.slots[self.find(word)].0 == self.round
    }

    fn insert(&mut self, word: u64) {
        let at = self.find(word);
        if self.slots[at].0 == self.round {
            return;
        }
        self.slots[at] = (self.round, word);
        self.len += 1;
        if self.len * 2 > self.slots.len() as u64 {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![(0, 0); self.slots.len() * 2];
        let full = core::mem::replace(&mut self.slots, larger);
        for (_, word) in full.into_iter().filter(|(round, _)| *round == self.round) {
            let at = self.find(word);
            self.slots[at] = (self.round, word);
        }
    }
}
