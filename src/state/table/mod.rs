//! One state table: the window history of every key of one kind.
//!
//! Layout: an open-addressing index of 32-bit slot numbers, a slab of 48-byte slots with the full key, and per key one
//! contiguous run of entries (or a log, for busy keys). A read costs the index line, the slot line and the run.
//!
//! INVARIANT: what [`Table::bytes`] says is a function of what is saved (`saved`): a restored table evicts at the same
//! moments as the one that was saved.
//!
//! Time: the caller moves the clock ([`Table::advance`]) to the largest accepted event time. An entry is forgotten
//! once no window of an event that is at most `lateness_ms` behind the clock can see it. Readings of windows that
//! reach further back than that, or into a past that was evicted, say [`Coverage::Capped`].
//!
//! Determinism: sweep and eviction move their hands over slots in slab order; the order depends on the calls alone.

use core::ops::Range;

use hashbrown::HashTable;

use crate::base::EntityKey;
use crate::state::slab::{Slab, hashed};
use crate::window::layout::{Layout, column_of};
use crate::window::log::{Log, Shape, horizon_ms};
use crate::window::plan::ReadPlan;
use crate::window::ring::{RING_CAP_MAX, Ring, RingInsert};
use crate::window::scan::{self, Asking, Known, Scratch};
use crate::window::spec::{
    self, ColumnKind, Coverage, Entry, MAX_COLUMNS, MAX_FILTERS, MAX_NEWEST, Measure, MeasureId,
    MeasureKind, Pick, ReadValue, Reading, TableSpec, Wanted,
};
use crate::window::tiles::Now;
use crate::window::units::Units;
use crate::window::walk::Walked;

/// Bounds of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateOptions {
    /// How far behind the clock an event may come and still find every entry of its windows, in ms.
    pub lateness_ms: i64,
    /// Entries of one key that are kept exactly; older ones go to tiles. A small number makes the table dense from the
    /// start (hot keys such as merchants). At least 1.
    pub exact_cap: u32,
    /// Entries of one key that are kept as a plain ring, 1 to 1,024.
    pub ring_cap: u32,
}

impl Default for StateOptions {
    fn default() -> Self {
        Self { lateness_ms: 5_000, exact_cap: 65_536, ring_cap: 64 }
    }
}

/// When and with what a look-up asks.
#[derive(Clone, Copy, Debug)]
pub struct ReadAt<'a> {
    /// Event time of the present event in ms.
    pub time_ms: i64,
    /// Event time at which this stream began, in ms: windows that reach further back are warming.
    pub began_ms: i64,
    /// The present event's entry, where it is of the table's type and has the key that is asked for.
    pub own: Option<&'a Entry<'a>>,
    /// Per measure of the plan the word that a `CountOf` looks for; ignored for other kinds. A `CountOf` beyond the
    /// end of the slice is missing.
    pub probes: &'a [u64],
    /// Per measure of the plan the instant before the first of its window by the calendar, in ms; ignored for other
    /// windows. Where it is `None`, or beyond the end of the slice, the reading is missing.
    pub starts: &'a [Option<i64>],
}

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is kept.
    Kept,
    /// It is older than anything a window can still see.
    TooOld,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Slots looked at.
    pub visited: usize,
    /// Keys forgotten because no window can see them any more.
    pub removed: usize,
}

/// Where a key probably lives: a hint for the cache, nothing to decide by.
#[derive(Clone, Copy, Debug)]
pub struct Guess(Option<u32>);

/// A key that was evicted to stay under the byte budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The key.
    pub key: EntityKey,
    /// Event time of its newest entry in ms.
    pub newest_ms: i64,
}

/// The window history of every key of one kind.
#[derive(Clone, Debug)]
pub struct Table {
    spec: TableSpec,
    shape: Shape,
    ring_cap: u16,
    /// How far back the longest window reaches.
    reach_ms: i64,
    /// The instant by which entries are forgotten, and the largest that ever was.
    clock_ms: i64,
    furthest_ms: i64,
    index: HashTable<u32>,
    slots: Slab<Slot>,
    /// From when on entries, columns and filters are known.
    since: Since,
    /// Where the next sweep and the next eviction begin.
    sweep_hand: usize,
    evict_hand: usize,
    evictions: u64,
    /// Largest event time that was ever evicted.
    evicted_until_ms: i64,
    /// Heap bytes of all histories.
    history_bytes: usize,
    scratch: Scratch,
    /// The key that was looked up last: an insert mostly follows a read.
    recent: Option<(EntityKey, u32)>,
}

/// One key of the slab.
#[derive(Clone, Debug)]
struct Slot {
    /// WHY: two words instead of a `u128` keep the slot at 48 bytes.
    key: [u64; 2],
    newest_ms: i64,
    history: History,
}

#[derive(Clone, Debug)]
enum History {
    Ring(Ring),
    /// WHY: boxed, because few keys are busy and every slot would be as large.
    Log(Box<Log>),
}

/// From which event time on a table knows what it keeps: the least time, but for what a change of the rule set brought.
#[expect(clippy::struct_field_names, reason = "units stand last")]
#[derive(Clone, Debug, PartialEq, Eq)]
struct Since {
    /// All entries.
    entries_ms: i64,
    /// Per column, per filter bit, per measure.
    columns_ms: Vec<i64>,
    filters_ms: Vec<i64>,
    measures_ms: Vec<i64>,
}

impl Since {
    fn ever(spec: &TableSpec, since_ms: i64) -> Self {
        Self {
            entries_ms: since_ms,
            columns_ms: vec![since_ms; spec.columns.len()],
            filters_ms: vec![since_ms; n_filters(spec)],
            measures_ms: vec![since_ms; spec.measures.len()],
        }
    }
}

/// How many filter bits a table uses.
fn n_filters(spec: &TableSpec) -> usize {
    let bits = spec.measures.iter().filter_map(|measure| measure.filter);
    bits.map(|bit| usize::from(bit.0) + 1).max().unwrap_or(0)
}

impl Table {
    /// An empty table.
    ///
    /// # Panics
    /// When `spec` contradicts itself: a measure of a column that does not exist or cannot be asked that way, more
    /// filters or columns than the limits, a window without length. The planner never makes such a spec.
    pub fn new(spec: TableSpec, options: StateOptions) -> Self {
        let flaw = flaw_of(&spec);
        assert!(flaw.is_none(), "{}", flaw.unwrap_or_default());
        Self::of_sound(spec, options)
    }

    fn of_sound(spec: TableSpec, options: StateOptions) -> Self {
        let layout = Layout::of(&spec);
        let reach_ms =
            spec.measures.iter().map(|measure| measure.window.reach_ms()).max().unwrap_or(0);
        let ring_cap = options.ring_cap.min(options.exact_cap).clamp(1, RING_CAP_MAX.into());
        let shape = Shape {
            units: Units::new(&spec, &layout),
            layout,
            lateness_ms: options.lateness_ms.max(0),
            exact_cap: exact_cap_of(&spec, options),
        };
        Self {
            since: Since::ever(&spec, i64::MIN),
            shape,
            spec,
            ring_cap: u16::try_from(ring_cap).unwrap_or(RING_CAP_MAX),
            reach_ms,
            clock_ms: i64::MIN,
            furthest_ms: i64::MIN,
            index: HashTable::new(),
            slots: Slab::default(),
            sweep_hand: 0,
            evict_hand: 0,
            evictions: 0,
            evicted_until_ms: i64::MIN,
            history_bytes: 0,
            scratch: Scratch::new(ring_cap as usize),
            recent: None,
        }
    }

    /// What it keeps and answers.
    pub fn spec(&self) -> &TableSpec {
        &self.spec
    }

    /// Compiles a set of measures; readings come in the order given here.
    pub fn plan(&self, measures: &[MeasureId]) -> ReadPlan {
        ReadPlan::new(&self.spec, &self.shape.layout, &self.since.measures_ms, measures)
    }

    /// Sets the clock by which entries are forgotten. It moves back when a partition that lags is heard again: what comes
    /// then is kept, and readings that reach back to where entries may be gone are [`Coverage::Capped`].
    pub fn advance(&mut self, clock_ms: i64) {
        self.clock_ms = clock_ms;
        self.furthest_ms = self.furthest_ms.max(clock_ms);
    }

    /// Guesses the slot of a key from its index line alone, for [`Table::warm`].
    ///
    /// Call it for every key of a batch, then `warm` for every guess, then read: the loads of different keys overlap,
    /// which is worth more than the calls cost once the state is larger than the cache.
    #[inline]
    pub fn touch(&self, key: EntityKey) -> Guess {
        Guess(self.index.find(key.hash64(), |_| true).copied())
    }

    /// Loads the slot and the newest entry that a guess names; the number means nothing but keeps the loads alive.
    #[inline]
    pub fn warm(&self, guess: Guess) -> u64 {
        match guess.0.and_then(|at| self.slots.get(at)).map(|slot| &slot.history) {
            Some(History::Ring(ring)) => ring.touch(),
            Some(History::Log(log)) => log.touch(),
            None => 0,
        }
    }

    /// Answers a plan for `key` as of `at.time_ms` from the entries inserted before.
    ///
    /// # Shape
    /// `out[i]` is the reading of the plan's measure `i`; `out` is at least as long as the plan.
    pub fn read(&mut self, key: EntityKey, plan: &ReadPlan, at: &ReadAt<'_>, out: &mut [Reading]) {
        self.read_known(key, plan, at, out);
        for index in &plan.calendars {
            if at.starts.get(*index).copied().flatten().is_none()
                && let Some(reading) = out.get_mut(*index)
            {
                *reading = Reading::default();
            }
        }
    }

    fn read_known(
        &mut self,
        key: EntityKey,
        plan: &ReadPlan,
        at: &ReadAt<'_>,
        out: &mut [Reading],
    ) {
        let found = self.find(key);
        let history = found.and_then(|at| self.slots.get(at)).map(|slot| &slot.history);
        let after_eviction = match history {
            Some(History::Ring(ring)) => ring.after_eviction,
            Some(History::Log(log)) => log.after_eviction,
            None => self.evictions > 0,
        };
        let evicted_until = if after_eviction { self.evicted_until_ms } else { i64::MIN };
        let known =
            Known { began_ms: at.began_ms, forgotten_ms: evicted_until.max(self.forgotten_ms()) };
        let ReadAt { time_ms, own, probes, starts, .. } = *at;
        let asking = Asking { time_ms, own, probes, starts, known };
        cover(plan, &asking, out);
        let layout = &self.shape.layout;
        let run = match history {
            Some(History::Ring(ring)) => ring.run(layout),
            Some(History::Log(_)) => {
                // WHY: a read moves the cursors of a log, and they are saved.
                if let Some(slot) = found.and_then(|at| self.slots.get_mut(at))
                    && let History::Log(log) = &mut slot.history
                {
                    log.read(&self.shape, plan, &asking, &mut self.scratch, out);
                }
                return;
            }
            None => &[],
        };
        scan::read(run, layout, plan, &asking, &mut self.scratch, out);
        let failing = |mut range: Range<usize>, mask: u64| {
            range.rfind(|at| !layout.passes(layout.entry(run, *at), mask))
        };
        let walked = Walked { run, layout, spilled_until_ms: None, failing: &failing };
        walked.read(plan, &asking, &mut self.scratch, out);
    }

    /// How many entries of a key a measure counts, whatever it makes of them: for an explanation.
    ///
    /// # Shape
    /// `None` where only a counting measure of the table could tell and there is none: a busy key keeps running values.
    pub fn count(&mut self, key: EntityKey, measure: &Measure, at: &ReadAt<'_>) -> Option<u64> {
        let wanted = Measure { kind: MeasureKind::Count, ..*measure };
        let known = self.spec.measures.iter().position(|known| *known == wanted);
        let plan = if let Some(known) = known {
            self.plan(&[MeasureId(u16::try_from(known).ok()?)])
        } else {
            let found = self.find(key).and_then(|at| self.slots.get(at));
            let is_busy = found.is_some_and(|slot| matches!(slot.history, History::Log(_)));
            if is_busy && !wanted.walks() {
                return None;
            }
            let columns = self.spec.columns.clone();
            let spec = TableSpec { columns, measures: vec![wanted] };
            ReadPlan::new(&spec, &self.shape.layout, &[], &[MeasureId(0)])
        };
        let nothing = Reading { value: ReadValue::Missing, coverage: Coverage::Complete };
        let mut out = [nothing];
        self.read(key, &plan, at, &mut out);
        match out[0].value {
            ReadValue::Int(count) => u64::try_from(count).ok(),
            _ => None,
        }
    }

    /// Appends the wanted entries of `key` to `out`, at most [`spec::MAX_HISTORY`] of them.
    ///
    /// The answer says how complete they are as far as the key is concerned: capped where older ones lie in slices or
    /// were too many. What the window's reach says is told by the readings of a plan.
    ///
    /// # Cost
    /// A search for the newest, then one pass over the entries of the window.
    pub fn history(
        &mut self,
        key: EntityKey,
        wanted: &Wanted,
        out: &mut spec::History,
    ) -> Coverage {
        let found = self.find(key);
        let layout = &self.shape.layout;
        let (run, spilled_ms) = match found.and_then(|at| self.slots.get(at)) {
            Some(Slot { history: History::Ring(ring), .. }) => (ring.run(layout), None),
            Some(Slot { history: History::Log(log), .. }) => {
                (log.run(&self.shape), log.spilled_until_ms())
            }
            None => return Coverage::Complete,
        };
        let whole = scan::copy_out(run, layout, wanted, out);
        let spilled = spilled_ms.is_some_and(|spilled_ms| wanted.after_ms < spilled_ms);
        if whole && !spilled { Coverage::Complete } else { Coverage::Capped }
    }

    /// Remembers an entry, at its place by (time, arrival).
    pub fn insert(&mut self, key: EntityKey, entry: &Entry<'_>) -> Stored {
        let horizon_ms = self.horizon_ms();
        if entry.time_ms <= horizon_ms && !self.is_inside_a_slice(key, entry.time_ms) {
            return Stored::TooOld;
        }
        let now = self.now();
        let at = self.find(key).unwrap_or_else(|| self.add_key(key));
        let Some(slot) = self.slots.get_mut(at) else { return Stored::TooOld };
        slot.newest_ms = slot.newest_ms.max(self.shape.layout.kept_time(entry.time_ms));
        let before = slot.history.bytes();
        if let History::Ring(ring) = &mut slot.history {
            let done = ring.insert(&self.shape.layout, entry, horizon_ms, self.ring_cap);
            if done == RingInsert::Full {
                let run = ring.run(&self.shape.layout);
                let log = Log::from_run(run, &self.shape, ring.after_eviction);
                slot.history = History::Log(Box::new(log));
                slot.history.insert_into_log(entry, &self.shape, now);
            }
        } else {
            slot.history.insert_into_log(entry, &self.shape, now);
        }
        self.history_bytes = self.history_bytes + slot.history.bytes() - before;
        Stored::Kept
    }

    /// How many keys are held.
    pub fn keys(&self) -> usize {
        self.index.len()
    }

    /// How many keys were evicted so far.
    pub fn evictions(&self) -> u64 {
        self.evictions
    }

    /// Heap bytes: histories, slab and index; not what a save that is under way takes for itself.
    ///
    /// What a read makes a busy key's word counts grow by is counted with the next insert or sweep of the key. The
    /// index is reckoned from the most keys that were ever held: when keys come and go, the hash table may take twice
    /// that (a few bytes a key).
    pub fn bytes(&self) -> usize {
        self.history_bytes + self.slots.bytes() + hashed(self.slots.len(), size_of::<u32>())
    }

    /// Bytes of the keys that are there, without room that others left behind.
    pub fn held_bytes(&self) -> usize {
        self.history_bytes + self.slots.held_bytes()
    }

    /// Looks at the next `budget` slots: forgets keys that no window can see any more, and gives back spare memory.
    ///
    /// # Cost
    /// One slot line per slot, and a copy where memory is given back.
    pub fn sweep(&mut self, budget: usize) -> Swept {
        let horizon_ms = self.horizon_ms();
        let mut swept = Swept::default();
        for _ in 0..budget.min(self.slots.len()) {
            let at = step(&mut self.sweep_hand, self.slots.len());
            swept.visited += 1;
            let Some(slot) = self.slots.get(at) else { continue };
            if slot.newest_ms <= horizon_ms {
                self.remove(at);
                swept.removed += 1;
                continue;
            }
            if slot.history.is_small() {
                continue;
            }
            let Some(slot) = self.slots.get_mut(at) else { continue };
            let before = slot.history.bytes();
            slot.history.trim(&self.shape, self.clock_ms, horizon_ms, self.ring_cap);
            self.history_bytes = self.history_bytes + slot.history.bytes() - before;
        }
        swept
    }

    /// Forgets the key with the oldest newest entry among the next `among` keys under the clock hand.
    ///
    /// Later readings of keys that appear after it and reach back before the evicted entries are
    /// [`Coverage::Capped`].
    pub fn evict(&mut self, among: usize) -> Option<Evicted> {
        let mut oldest: Option<(i64, u32)> = None;
        let mut seen = 0;
        for _ in 0..self.slots.len() {
            if seen == among.max(1) {
                break;
            }
            let at = step(&mut self.evict_hand, self.slots.len());
            let Some(slot) = self.slots.get(at) else { continue };
            seen += 1;
            if oldest.is_none_or(|(newest_ms, _)| slot.newest_ms < newest_ms) {
                oldest = Some((slot.newest_ms, at));
            }
        }
        let (newest_ms, at) = oldest?;
        let slot = self.remove(at)?;
        self.evictions += 1;
        self.evicted_until_ms = self.evicted_until_ms.max(newest_ms);
        Some(Evicted { key: join(slot.key), newest_ms })
    }

    /// Whether a slice of the key that is still there needs an entry of this time to be true.
    #[cold]
    fn is_inside_a_slice(&mut self, key: EntityKey, time_ms: i64) -> bool {
        let found = self.find(key).and_then(|at| self.slots.get(at));
        matches!(found, Some(Slot { history: History::Log(log), .. }) if log.has_slice_around(time_ms))
    }

    /// How time stands for what goes to slices.
    fn now(&self) -> Now {
        Now {
            clock_ms: self.clock_ms,
            lost_ms: self.forgotten_ms(),
            settled_ms: self.furthest_ms.saturating_sub(self.shape.lateness_ms).saturating_sub(1),
        }
    }

    /// Entries at or before this time may have been forgotten.
    fn forgotten_ms(&self) -> i64 {
        horizon_ms(self.furthest_ms, self.reach_ms, self.shape.lateness_ms)
    }

    /// No window of an event within the allowed lateness sees an entry at or before this time.
    fn horizon_ms(&self) -> i64 {
        horizon_ms(self.clock_ms, self.reach_ms, self.shape.lateness_ms)
    }

    #[inline]
    fn find(&mut self, key: EntityKey) -> Option<u32> {
        if let Some((recent, at)) = self.recent
            && recent == key
        {
            return Some(at);
        }
        let words = split(key);
        let found = self.index.find(key.hash64(), |at| self.key_words(*at) == Some(words)).copied();
        self.recent = found.map(|at| (key, at));
        found
    }

    #[inline]
    fn key_words(&self, at: u32) -> Option<[u64; 2]> {
        self.slots.get(at).map(|slot| slot.key)
    }

    fn add_key(&mut self, key: EntityKey) -> u32 {
        let slot = Slot {
            key: split(key),
            newest_ms: i64::MIN,
            history: History::Ring(Ring::new(self.evictions > 0)),
        };
        let at = self.slots.insert(slot);
        add_to_index(&mut self.index, &self.slots, key, at);
        self.recent = Some((key, at));
        at
    }

    fn remove(&mut self, at: u32) -> Option<Slot> {
        let slot = self.slots.remove(at)?;
        self.history_bytes -= slot.history.bytes();
        let key = join(slot.key);
        if let Ok(entry) = self.index.find_entry(key.hash64(), |found| *found == at) {
            entry.remove();
        }
        self.recent = None;
        Some(slot)
    }
}

impl History {
    /// Heap bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Ring(ring) => ring.bytes(),
            Self::Log(log) => log.counted_bytes,
        }
    }

    /// Whether a trim would change nothing.
    fn is_small(&self) -> bool {
        matches!(self, Self::Ring(ring) if ring.is_small())
    }

    fn insert_into_log(&mut self, entry: &Entry<'_>, shape: &Shape, now: Now) {
        if let Self::Log(log) = self {
            log.insert(shape, entry, now);
        }
    }

    /// Forgets what has expired, gives back spare memory, and makes a ring again of the log of a key that calmed down.
    fn trim(&mut self, shape: &Shape, clock_ms: i64, horizon_ms: i64, ring_cap: u16) {
        match self {
            Self::Ring(ring) => ring.trim(&shape.layout, horizon_ms),
            Self::Log(log) => {
                log.expire(shape, clock_ms);
                log.trim(shape);
                if !log.has_tiles() && log.len(shape) <= usize::from(ring_cap / 2) {
                    let run = log.run(shape);
                    *self = Self::Ring(Ring::from_run(&shape.layout, run, log.after_eviction));
                }
            }
        }
    }
}

/// Sets the coverage that follows from the window's reach alone.
fn cover(plan: &ReadPlan, asking: &Asking<'_>, out: &mut [Reading]) {
    for (index, (asked, reading)) in plan.asked.iter().zip(out).enumerate() {
        let (start_ms, _) = asked.bounds_ms(asking.time_ms, asking.starts, index);
        reading.coverage = asking.known.coverage(asked, start_ms);
    }
}

/// Entries of a key that are kept exactly: of a lifetime few, because nothing of it is ever forgotten, and what is asked of
/// a lifetime the tiles answer as exactly.
fn exact_cap_of(spec: &TableSpec, options: StateOptions) -> usize {
    const OF_LIFETIME: usize = 64;
    let newest = spec.measures.iter().filter_map(|measure| measure.window.newest).max();
    // WHY: slices know no single entries.
    let least = newest.map_or(1, |newest| usize::from(newest.get()));
    let cap = (options.exact_cap as usize).max(least);
    let folds = |measure: &Measure| {
        measure.window.is_lifetime()
            && matches!(
                measure.kind,
                MeasureKind::Count
                    | MeasureKind::CountOf(_)
                    | MeasureKind::Last(_)
                    | MeasureKind::LastTime
            )
    };
    let lifetime = !spec.measures.is_empty() && spec.measures.iter().all(folds);
    if lifetime { cap.min(OF_LIFETIME) } else { cap }
}

fn add_to_index(index: &mut HashTable<u32>, slots: &Slab<Slot>, key: EntityKey, at: u32) {
    let hash = |at: &u32| slots.get(*at).map_or(0, |slot| join(slot.key).hash64());
    index.insert_unique(key.hash64(), at, hash);
}

/// The slot under a hand, which moves on.
fn step(hand: &mut usize, slots: usize) -> u32 {
    let at = if *hand < slots { *hand } else { 0 };
    *hand = at + 1;
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn split(key: EntityKey) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the key")]
    let halves = [key.0 as u64, (key.0 >> 64) as u64];
    halves
}

fn join(words: [u64; 2]) -> EntityKey {
    EntityKey(u128::from(words[0]) | u128::from(words[1]) << 64)
}

/// What contradicts itself in a spec.
fn flaw_of(spec: &TableSpec) -> Option<&'static str> {
    if spec.columns.len() > MAX_COLUMNS {
        return Some("a table has at most 16 columns");
    }
    if spec.measures.len() > usize::from(u16::MAX) {
        return Some("a table has at most 65,535 measures");
    }
    spec.measures.iter().find_map(|measure| flaw_of_measure(spec, measure))
}

fn flaw_of_measure(spec: &TableSpec, measure: &Measure) -> Option<&'static str> {
    if measure.window.length_ms <= 0 {
        return Some("a window has a length");
    }
    if measure.window.ending_ago_ms < 0 {
        return Some("a window does not end in the future");
    }
    let bit = measure.filter.map_or(0, |bit| usize::from(bit.0));
    if bit >= MAX_FILTERS {
        return Some("a table has at most 64 filters");
    }
    if let MeasureKind::Ranked(_, Pick::AtLeast(ppm)) = measure.kind
        && !(1..=1_000_000).contains(&ppm)
    {
        return Some("a percentile lies above 0 and up to 100");
    }
    if measure.kind == MeasureKind::Run && measure.filter.is_none() {
        return Some("a run is of what passes a filter");
    }
    if measure.window.newest.is_some_and(|newest| newest.get() > MAX_NEWEST) {
        return Some("a window by number holds at most 1,000 entries");
    }
    let column = column_of(measure.kind)?;
    let kind = spec.columns.get(usize::from(column.0));
    let fits = match measure.kind {
        MeasureKind::Last(_) => kind.is_some(),
        MeasureKind::Distinct(_) | MeasureKind::CountOf(_) => {
            kind.is_some_and(|kind| *kind != ColumnKind::Geo)
        }
        _ => matches!(kind, Some(ColumnKind::Int | ColumnKind::Micro)),
    };
    if fits { None } else { Some("a measure does not fit its column") }
}

mod carry;
mod fill;
mod saved;

pub use saved::TableLoader;

#[cfg(test)]
mod tests;

impl Default for Reading {
    fn default() -> Self {
        Self { value: ReadValue::Missing, coverage: Coverage::Complete }
    }
}
