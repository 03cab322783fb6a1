//! One state table: the window history of every key of one kind.
//!
//! Layout: an open-addressing index of 32-bit slot numbers, a slab of 48-byte slots with the full key, and per key one
//! contiguous run of entries (or a log, for busy keys). A read costs the index line, the slot line and the run.
//!
//! Time: the caller moves the clock ([`Table::advance`]) to the largest accepted event time. An entry is forgotten
//! once no window of an event that is at most `lateness_ms` behind the clock can see it. Readings of windows that
//! reach further back than that, or into a past that was evicted, say [`Coverage::Capped`].
//!
//! Determinism: sweep and eviction move their hands over slots in slab order; the order depends on the calls alone.

use hashbrown::HashTable;

use crate::base::EntityKey;
use crate::window::layout::{Layout, column_of};
use crate::window::plan::ReadPlan;
use crate::window::ring::{Ring, RingInsert};
use crate::window::scan::{self, Asking, Scratch};
use crate::window::spec::{
    ColumnKind, Coverage, Entry, MAX_COLUMNS, MAX_FILTERS, Measure, MeasureId, MeasureKind,
    ReadValue, Reading, TableSpec,
};

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

/// A key that was evicted to stay under the byte budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evicted {
    /// The key.
    pub key: EntityKey,
    /// Event time of its newest entry in ms.
    pub newest_ms: i64,
}

/// A retention from here on means that nothing is ever forgotten (a `lifetime` window).
const FOREVER_MS: i64 = i64::MAX / 2;

/// The window history of every key of one kind.
#[derive(Clone, Debug)]
pub struct Table {
    spec: TableSpec,
    layout: Layout,
    ring_cap: u16,
    /// Longest window with its shift, plus lateness.
    retention_ms: i64,
    clock_ms: i64,
    index: HashTable<u32>,
    slots: Vec<Slot>,
    free: Vec<u32>,
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
    Vacant,
    Ring(Ring),
}

impl Table {
    /// An empty table.
    ///
    /// # Panics
    /// When `spec` contradicts itself: a measure of a column that does not exist or cannot be asked that way, more
    /// filters or columns than the limits, a window without length. The planner never makes such a spec.
    pub fn new(spec: TableSpec, options: StateOptions) -> Self {
        check(&spec);
        let layout = Layout::of(&spec);
        let reach = spec
            .measures
            .iter()
            .map(|measure| measure.window.length_ms.saturating_add(measure.window.ending_ago_ms))
            .max()
            .unwrap_or(0);
        let ring_cap = options.ring_cap.min(options.exact_cap).clamp(1, 1_024);
        Self {
            layout,
            spec,
            ring_cap: u16::try_from(ring_cap).unwrap_or(1_024),
            retention_ms: reach.saturating_add(options.lateness_ms.max(0)),
            clock_ms: i64::MIN,
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            sweep_hand: 0,
            evict_hand: 0,
            evictions: 0,
            evicted_until_ms: i64::MIN,
            history_bytes: 0,
            scratch: Scratch::new(1_024),
            recent: None,
        }
    }

    /// What it keeps and answers.
    pub fn spec(&self) -> &TableSpec {
        &self.spec
    }

    /// Compiles a set of measures; readings come in the order given here.
    pub fn plan(&self, measures: &[MeasureId]) -> ReadPlan {
        ReadPlan::new(&self.spec, &self.layout, measures)
    }

    /// Moves the clock to the largest accepted event time; it never moves back.
    pub fn advance(&mut self, clock_ms: i64) {
        self.clock_ms = self.clock_ms.max(clock_ms);
    }

    /// Brings the lines of a key into the cache ahead of its read; the number means nothing.
    ///
    /// Call it for every key of a batch before the first read: the loads of different keys overlap.
    #[inline]
    pub fn touch(&self, key: EntityKey) -> u64 {
        let found = self.index.find(key.hash64(), |at| self.slots[*at as usize].key == split(key));
        match found.map(|at| &self.slots[*at as usize].history) {
            Some(History::Ring(ring)) => ring.touch(),
            Some(History::Vacant) | None => 0,
        }
    }

    /// Answers a plan for `key` as of `at.time_ms` from the entries inserted before.
    ///
    /// # Shape
    /// `out[i]` is the reading of the plan's measure `i`; `out` is at least as long as the plan.
    pub fn read(&mut self, key: EntityKey, plan: &ReadPlan, at: &ReadAt<'_>, out: &mut [Reading]) {
        let asking = Asking { time_ms: at.time_ms, own: at.own, probes: at.probes };
        let found = self.find(key);
        let mut after_eviction = self.evictions > 0;
        match found.map(|slot| &self.slots[slot as usize].history) {
            Some(History::Ring(ring)) => {
                after_eviction = ring.after_eviction;
                let run = ring.run(&self.layout);
                scan::read(run, &self.layout, plan, &asking, &mut self.scratch, out);
            }
            Some(History::Vacant) | None => {
                scan::read(&[], &self.layout, plan, &asking, &mut self.scratch, out);
            }
        }
        let evicted_until = if after_eviction { self.evicted_until_ms } else { i64::MIN };
        let forgotten_ms = evicted_until.max(self.horizon_ms());
        for (asked, reading) in plan.asked.iter().zip(out) {
            let start = at.time_ms.saturating_sub(asked.reach_ms);
            reading.coverage = if start < forgotten_ms {
                Coverage::Capped
            } else if start < at.began_ms.saturating_sub(1) {
                Coverage::Warming
            } else {
                Coverage::Complete
            };
        }
    }

    /// Remembers an entry, at its place by (time, arrival).
    pub fn insert(&mut self, key: EntityKey, entry: &Entry<'_>) -> Stored {
        let horizon_ms = self.horizon_ms();
        if entry.time_ms <= horizon_ms {
            return Stored::TooOld;
        }
        let at = self.find(key).unwrap_or_else(|| self.add_key(key));
        let slot = &mut self.slots[at as usize];
        slot.newest_ms = slot.newest_ms.max(self.layout.kept_time(entry.time_ms));
        match &mut slot.history {
            History::Ring(ring) => {
                let before = ring.bytes();
                let mut done = ring.insert(&self.layout, entry, horizon_ms, self.ring_cap);
                if done == RingInsert::Full {
                    done = ring.insert(&self.layout, entry, horizon_ms, u16::MAX);
                }
                self.history_bytes = self.history_bytes + ring.bytes() - before;
            }
            History::Vacant => {}
        }
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

    /// Heap bytes: histories, slab and index.
    pub fn bytes(&self) -> usize {
        self.history_bytes
            + self.slots.capacity() * size_of::<Slot>()
            + self.free.capacity() * size_of::<u32>()
            + self.index.allocation_size()
            + self.scratch.bytes()
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
            let slot = &mut self.slots[at];
            if matches!(slot.history, History::Vacant) {
                continue;
            }
            if slot.newest_ms <= horizon_ms {
                self.remove(at);
                swept.removed += 1;
                continue;
            }
            if let History::Ring(ring) = &mut slot.history {
                let before = ring.bytes();
                ring.trim(&self.layout, horizon_ms);
                self.history_bytes = self.history_bytes + ring.bytes() - before;
            }
        }
        swept
    }

    /// Forgets the key with the oldest newest entry among the next `among` keys under the clock hand.
    ///
    /// Later readings of keys that appear after it and reach back before the evicted entries are
    /// [`Coverage::Capped`].
    pub fn evict(&mut self, among: usize) -> Option<Evicted> {
        let mut oldest: Option<(i64, usize)> = None;
        let mut seen = 0;
        for _ in 0..self.slots.len() {
            if seen == among.max(1) {
                break;
            }
            let at = step(&mut self.evict_hand, self.slots.len());
            let slot = &self.slots[at];
            if matches!(slot.history, History::Vacant) {
                continue;
            }
            seen += 1;
            if oldest.is_none_or(|(newest_ms, _)| slot.newest_ms < newest_ms) {
                oldest = Some((slot.newest_ms, at));
            }
        }
        let (newest_ms, at) = oldest?;
        let key = join(self.slots[at].key);
        self.remove(at);
        self.evictions += 1;
        self.evicted_until_ms = self.evicted_until_ms.max(newest_ms);
        Some(Evicted { key, newest_ms })
    }

    /// No window of an event within the allowed lateness sees an entry at or before this time.
    fn horizon_ms(&self) -> i64 {
        if self.retention_ms >= FOREVER_MS {
            return i64::MIN;
        }
        self.clock_ms.saturating_sub(self.retention_ms)
    }

    #[inline]
    fn find(&mut self, key: EntityKey) -> Option<u32> {
        if let Some((recent, at)) = self.recent
            && recent == key
        {
            return Some(at);
        }
        let words = split(key);
        let found =
            self.index.find(key.hash64(), |at| self.slots[*at as usize].key == words).copied();
        self.recent = found.map(|at| (key, at));
        found
    }

    fn add_key(&mut self, key: EntityKey) -> u32 {
        let slot = Slot {
            key: split(key),
            newest_ms: i64::MIN,
            history: History::Ring(Ring::new(self.evictions > 0)),
        };
        let at = if let Some(at) = self.free.pop() {
            self.slots[at as usize] = slot;
            at
        } else {
            let at = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
            assert!(at < u32::MAX, "a table holds fewer than 2^32 keys");
            self.slots.push(slot);
            at
        };
        let slots = &self.slots;
        self.index.insert_unique(key.hash64(), at, |at| join(slots[*at as usize].key).hash64());
        self.recent = Some((key, at));
        at
    }

    fn remove(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        let key = join(slot.key);
        if let History::Ring(ring) = &slot.history {
            self.history_bytes -= ring.bytes();
        }
        slot.history = History::Vacant;
        let number = u32::try_from(at).unwrap_or(u32::MAX);
        if let Ok(entry) = self.index.find_entry(key.hash64(), |found| *found == number) {
            entry.remove();
        }
        self.free.push(number);
        self.recent = None;
    }
}

/// The slot under a hand, which moves on.
fn step(hand: &mut usize, slots: usize) -> usize {
    let at = if *hand < slots { *hand } else { 0 };
    *hand = at + 1;
    at
}

fn split(key: EntityKey) -> [u64; 2] {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the key")]
    let halves = [key.0 as u64, (key.0 >> 64) as u64];
    halves
}

fn join(words: [u64; 2]) -> EntityKey {
    EntityKey(u128::from(words[0]) | u128::from(words[1]) << 64)
}

fn check(spec: &TableSpec) {
    assert!(spec.columns.len() <= MAX_COLUMNS, "a table has at most {MAX_COLUMNS} columns");
    for measure in &spec.measures {
        check_measure(spec, measure);
    }
}

fn check_measure(spec: &TableSpec, measure: &Measure) {
    assert!(measure.window.length_ms > 0, "a window has a length");
    assert!(measure.window.ending_ago_ms >= 0, "a window does not end in the future");
    let bit = measure.filter.map_or(0, |bit| usize::from(bit.0));
    assert!(bit < MAX_FILTERS, "a table has at most {MAX_FILTERS} filters");
    let Some(column) = column_of(measure.kind) else { return };
    let kind = spec.columns.get(usize::from(column.0));
    let fits = match measure.kind {
        MeasureKind::Last(_) => kind.is_some(),
        MeasureKind::Distinct(_) | MeasureKind::CountOf(_) => {
            kind.is_some_and(|kind| *kind != ColumnKind::Geo)
        }
        _ => matches!(kind, Some(ColumnKind::Int | ColumnKind::Micro)),
    };
    assert!(fits, "measure {:?} does not fit its column {kind:?}", measure.kind);
}

impl Default for Reading {
    fn default() -> Self {
        Self { value: ReadValue::Missing, coverage: Coverage::Complete }
    }
}
