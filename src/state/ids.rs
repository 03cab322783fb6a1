//! Recognises events that were seen before, by two rotating generations of digests.

use hashbrown::HashTable;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::state::slab::{grown, hashed};

/// Whether an event id was seen before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// No.
    New,
    /// Yes, with the same body.
    Duplicate,
    /// Yes, with another body.
    Reused,
}

/// The ids of recent events with digests of their bodies.
///
/// Two clocks are asked. An event comes with the clock of its own partition; time passes by the clock that state is
/// forgotten by, of the partition furthest behind. An id is remembered at least until the second has passed the first by
/// the window, so a repeat is recognised however far another partition runs ahead; and at most for about twice the window
/// and the lead of the partition furthest ahead, unless the cap on entries makes the older generation go early (counted).
///
/// A generation only ever grows, in chunks, so a save copies it in slices while it does; a generation that has had its
/// time is given back a little at a time, after a save that is under way is done with it.
#[derive(Clone, Debug)]
pub struct SeenIds {
    window_ms: i64,
    /// Most entries of one generation.
    generation_cap: usize,
    young: Generation,
    old: Generation,
    /// Generations that are over: nobody asks them, their memory goes bit by bit.
    over: Vec<Generation>,
    /// Clock of the state when the young generation began; `None` before any partition has one.
    began_ms: Option<i64>,
    early_rotations: u64,
    saving: Option<Saving>,
}

/// Entries of one chunk.
const CHUNK: usize = 256;

/// Chunks that are given back with every new id.
const CHUNKS_PER_INSERT: usize = 2;

type Chunk = Box<[(u64, u64); CHUNK]>;

#[derive(Clone, Debug)]
struct Generation {
    /// Names it; 0 for one that never held anything. A younger one has a larger number.
    number: u64,
    /// Largest clock that an id came with.
    newest_ms: i64,
    chunks: Vec<Chunk>,
    len: usize,
    /// 32 bits of the mixed id, and the number of the entry.
    index: HashTable<(u32, u32)>,
}

/// A save that is under way: the generations of its beginning and how much of them was there.
#[derive(Clone, Debug)]
struct Saving {
    old: (u64, usize),
    young: (u64, usize),
    /// Entries of the old and then of the young generation that are written.
    written: usize,
}

/// Bytes of one saved entry.
const ENTRY_BYTES: usize = 16;

/// Heap bytes of one of many ids, at most: an entry, its place in the index just after that has grown, and the list of
/// chunks.
pub const BYTES_PER_ID: usize = 40;

impl SeenIds {
    /// An empty memory for `window_ms` of event time and at most `cap` ids.
    pub fn new(window_ms: i64, cap: usize) -> Self {
        Self {
            window_ms: window_ms.max(1),
            generation_cap: of_generation(cap),
            young: Generation::new(1),
            old: Generation::new(0),
            over: Vec::new(),
            began_ms: None,
            early_rotations: 0,
            saving: None,
        }
    }

    /// Another window and another cap, from now on.
    pub fn set_bounds(&mut self, window_ms: i64, cap: usize) {
        (self.window_ms, self.generation_cap) = (window_ms.max(1), of_generation(cap));
    }

    /// Looks an event up by 64-bit digests of its id and body, and remembers it when it is new.
    ///
    /// A further body under a known id is reused once; it is remembered as well, and its repeats are duplicates. A
    /// duplicate does not prolong the memory. The event comes with `clock_ms`, the largest event time that its partition
    /// accepted; `state_ms` is the clock that state is forgotten by. Either is `i64::MIN` where there is none yet.
    pub fn check_and_insert(&mut self, id: u64, body: u64, clock_ms: i64, state_ms: i64) -> Seen {
        self.rotate_by(state_ms);
        match self.body_of(id) {
            Some(seen_body) if seen_body == body => return Seen::Duplicate,
            None => {
                self.insert(id, body, clock_ms, state_ms);
                return Seen::New;
            }
            Some(_) => {}
        }
        let variant = variant_of(id, body);
        if self.body_of(variant) == Some(body) {
            return Seen::Duplicate;
        }
        self.insert(variant, body, clock_ms, state_ms);
        Seen::Reused
    }

    /// Whether an id came first with this body; not so are further bodies under it, whose repeats are duplicates, too.
    pub fn is_first(&self, id: u64, body: u64) -> bool {
        self.body_of(id) == Some(body)
    }

    fn body_of(&self, id: u64) -> Option<u64> {
        self.young.body_of(id).or_else(|| self.old.body_of(id))
    }

    fn insert(&mut self, id: u64, body: u64, clock_ms: i64, state_ms: i64) {
        if self.young.len >= self.generation_cap {
            self.early_rotations += 1;
            self.rotate(state_ms);
        }
        self.young.push(id, body);
        self.young.newest_ms = self.young.newest_ms.max(clock_ms);
        if !self.over.is_empty() {
            self.give_back();
        }
    }

    /// Loads the lines that a look-up of an id will need; the number means nothing but keeps the loads alive.
    #[inline]
    pub fn touch(&self, id: u64) -> u64 {
        self.young.touch(id) ^ self.old.touch(id)
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.young.len + self.old.len
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The generation of the oldest ids that are remembered, and that of the ids that come: what was kept for an id goes
    /// with its generation.
    pub fn generations(&self) -> (u64, u64) {
        let oldest = if self.old.len > 0 { self.old.number } else { self.young.number };
        (oldest, self.young.number)
    }

    /// How often the cap made ids be forgotten before their time.
    pub fn early_rotations(&self) -> u64 {
        self.early_rotations
    }

    /// Heap bytes of what is remembered; not of what is being given back.
    pub fn bytes(&self) -> usize {
        self.young.bytes() + self.old.bytes()
    }

    fn rotate_by(&mut self, state_ms: i64) {
        if state_ms == i64::MIN {
            return;
        }
        let began_ms = *self.began_ms.get_or_insert(state_ms);
        let age_ms = state_ms.saturating_sub(began_ms);
        if age_ms < self.window_ms || self.old.is_needed(state_ms, self.window_ms) {
            return;
        }
        self.rotate(state_ms);
        // After a gap of two windows both generations are too old.
        let both = age_ms >= self.window_ms.saturating_mul(2);
        if both && !self.old.is_needed(state_ms, self.window_ms) {
            self.retire(Generation::new(0));
        }
    }

    fn rotate(&mut self, state_ms: i64) {
        let next = Generation::new(self.young.number + 1);
        let old = core::mem::replace(&mut self.young, next);
        self.retire(old);
        self.began_ms = (state_ms > i64::MIN).then_some(state_ms);
    }

    /// The old generation is over; another one takes its place.
    fn retire(&mut self, next: Generation) {
        let over = core::mem::replace(&mut self.old, next);
        if over.len > 0 {
            self.over.push(over);
        }
    }

    /// Gives back some memory of generations that are over and not being saved.
    fn give_back(&mut self) {
        let saved = self.saving.as_ref().map(|saving| [saving.old.0, saving.young.0]);
        let wanted = |number: u64| saved.is_some_and(|saved| saved.contains(&number));
        let idle = self.over.iter().position(|generation| !wanted(generation.number));
        let Some(at) = idle else { return };
        let generation = &mut self.over[at];
        let left = generation.chunks.len().saturating_sub(CHUNKS_PER_INSERT);
        generation.chunks.truncate(left);
        if left == 0 {
            self.over.remove(at);
        }
    }
}

/// Most ids of one generation, where both together may hold `cap`.
fn of_generation(cap: usize) -> usize {
    (cap / 2).clamp(1, u32::MAX as usize)
}

impl Generation {
    fn new(number: u64) -> Self {
        let (chunks, index) = (Vec::new(), HashTable::new());
        Self { number, newest_ms: i64::MIN, chunks, len: 0, index }
    }

    /// Whether an id of it came within the window.
    fn is_needed(&self, state_ms: i64, window_ms: i64) -> bool {
        self.len > 0 && state_ms.saturating_sub(self.newest_ms) <= window_ms
    }

    fn body_of(&self, id: u64) -> Option<u64> {
        let mixed = mix(id);
        let short = short_of(mixed);
        let is_it = |(held, at): &(u32, u32)| *held == short && self.entry(*at as usize).0 == id;
        self.index.find(spread(short), is_it).map(|(_, at)| self.entry(*at as usize).1)
    }

    fn entry(&self, at: usize) -> (u64, u64) {
        self.chunks[at / CHUNK][at % CHUNK]
    }

    fn push(&mut self, id: u64, body: u64) {
        let (chunk, place) = (self.len / CHUNK, self.len % CHUNK);
        if chunk == self.chunks.len() {
            self.chunks.push(Box::new([(0, 0); CHUNK]));
        }
        self.chunks[chunk][place] = (id, body);
        let short = short_of(mix(id));
        let at = u32::try_from(self.len).unwrap_or(u32::MAX);
        self.index.insert_unique(spread(short), (short, at), |(short, _)| spread(*short));
        self.len += 1;
    }

    #[inline]
    fn touch(&self, id: u64) -> u64 {
        let found = self.index.find(spread(short_of(mix(id))), |_| true);
        found.map_or(0, |(short, _)| u64::from(*short))
    }

    fn bytes(&self) -> usize {
        let chunks = self.len.div_ceil(CHUNK);
        chunks * size_of::<[(u64, u64); CHUNK]>()
            + grown(chunks) * size_of::<Chunk>()
            + hashed(self.len, size_of::<(u32, u32)>())
    }
}

/// The two generations in saved state.
const OLD: u8 = 0;
const YOUNG: u8 = 1;

impl SeenIds {
    /// Begins a save of what is remembered now, and writes what a reader must know first.
    pub fn begin_save(&mut self, code: &mut Encoder<'_>) {
        code.flag(self.began_ms.is_some());
        code.int(self.began_ms.unwrap_or(0));
        code.var(self.early_rotations);
        for generation in [&self.old, &self.young] {
            code.var(generation.number);
            code.int(generation.newest_ms);
            code.count(generation.len);
        }
        self.saving = Some(Saving {
            old: (self.old.number, self.old.len),
            young: (self.young.number, self.young.len),
            written: 0,
        });
    }

    /// Writes the next ids until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        let Some(saving) = &mut self.saving else { return true };
        let old_left = saving.old.1.saturating_sub(saving.written);
        let (kind, number, from, end) = if old_left > 0 {
            (OLD, saving.old.0, saving.written, saving.old.1)
        } else {
            (YOUNG, saving.young.0, saving.written - saving.old.1, saving.young.1)
        };
        let n = (end - from).min((budget / ENTRY_BYTES).max(1));
        saving.written += n;
        let complete = saving.written == saving.old.1 + saving.young.1;
        code.byte(kind);
        let held = [&self.old, &self.young].into_iter().chain(&self.over);
        for generation in held.filter(|generation| generation.number == number).take(1) {
            for at in from..from + n {
                let (id, body) = generation.entry(at);
                code.words(&[id, body]);
            }
        }
        complete
    }

    /// Ends a save, complete or not.
    pub fn end_save(&mut self) {
        self.saving = None;
    }
}

/// Reads saved ids.
#[derive(Debug)]
pub struct SeenLoader {
    seen: SeenIds,
    old: usize,
    young: usize,
}

impl SeenLoader {
    /// Reads what [`SeenIds::begin_save`] wrote, into an empty memory.
    ///
    /// # Errors
    /// Where it is damaged.
    pub fn new(mut seen: SeenIds, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "ids of recent events";
        let (known, began_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
        seen.began_ms = known.then_some(began_ms);
        seen.early_rotations = code.var(WHAT)?;
        code.demand(seen.early_rotations < u64::MAX >> 1, WHAT)?;
        let mut lens = [0; 2];
        for (generation, len) in [&mut seen.old, &mut seen.young].into_iter().zip(&mut lens) {
            (generation.number, generation.newest_ms) = (code.var(WHAT)?, code.int(WHAT)?);
            *len = code.narrow(WHAT)? as usize;
        }
        let [old, young] = lens;
        // WHY: a save looks for a generation by its number, so no two may have the same.
        let (first, second) = (seen.old.number, seen.young.number);
        code.demand(first < second && second < u64::MAX >> 1, WHAT)?;
        code.demand(old == 0 || first > 0, WHAT)?;
        Ok(Self { seen, old, young })
    }

    /// Reads the next ids.
    ///
    /// # Errors
    /// Where they are damaged, or more than there were.
    pub fn run(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        const WHAT: &str = "ids of recent events";
        let (generation, most) = match code.byte(WHAT)? {
            OLD => (&mut self.seen.old, self.old),
            YOUNG => (&mut self.seen.young, self.young),
            _ => return Err(code.damaged(WHAT)),
        };
        let n = code.rest() / ENTRY_BYTES;
        code.demand(n <= most - generation.len, WHAT)?;
        for _ in 0..n {
            generation.push(code.word(WHAT)?, code.word(WHAT)?);
        }
        code.end(WHAT)
    }

    /// The memory, once everything was read.
    ///
    /// # Errors
    /// Where ids are missing.
    pub fn finish(self) -> Result<SeenIds, Damaged> {
        let complete = self.seen.old.len == self.old && self.seen.young.len == self.young;
        if complete { Ok(self.seen) } else { Err(Damaged { what: "ids are missing", at: 0 }) }
    }
}

/// One digest for an id together with a body: names one version of a reused id.
pub fn variant_of(id: u64, body: u64) -> u64 {
    mix(id.rotate_left(32) ^ mix(body))
}

/// Spreads a digest over the bits that the table looks at.
fn mix(id: u64) -> u64 {
    (id ^ (id >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The part of a mixed id that the index keeps, and a hash made of it alone, so that the index grows without a look at
/// the entries.
fn short_of(mixed: u64) -> u32 {
    u32::try_from(mixed >> 32).unwrap_or(0)
}

fn spread(short: u32) -> u64 {
    u64::from(short).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// One partition: its clock is the state's.
    fn see(ids: &mut SeenIds, id: u64, body: u64, clock_ms: i64) -> Seen {
        ids.check_and_insert(id, body, clock_ms, clock_ms)
    }

    #[test]
    fn an_id_is_new_once_then_duplicate_or_reused() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(see(&mut ids, 7, 1, 0), Seen::New);
        assert_eq!(see(&mut ids, 7, 1, 10), Seen::Duplicate);
        assert_eq!(see(&mut ids, 7, 2, 20), Seen::Reused);
        assert_eq!(see(&mut ids, 8, 1, 20), Seen::New);
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn a_further_body_under_an_id_is_reused_once_and_its_repeats_are_duplicates() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(see(&mut ids, 7, 1, 0), Seen::New);
        assert_eq!(see(&mut ids, 7, 2, 1), Seen::Reused);
        assert_eq!(see(&mut ids, 7, 2, 2), Seen::Duplicate);
        assert_eq!(see(&mut ids, 7, 3, 3), Seen::Reused);
        assert_eq!(see(&mut ids, 7, 1, 4), Seen::Duplicate);
    }

    #[test]
    fn an_id_is_remembered_for_one_window_and_forgotten_after_two() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(see(&mut ids, 1, 1, 0), Seen::New);
        assert_eq!(see(&mut ids, 2, 1, 999), Seen::New);
        // Rotation at 1,000: both are in the old generation now.
        assert_eq!(see(&mut ids, 3, 1, 1_000), Seen::New);
        assert_eq!(see(&mut ids, 2, 1, 1_999), Seen::Duplicate);
        // Second rotation at 2,000: 1 and 2 are gone, 3 is kept.
        assert_eq!(see(&mut ids, 3, 1, 2_000), Seen::Duplicate);
        assert_eq!(see(&mut ids, 1, 1, 2_000), Seen::New);
    }

    #[test]
    fn a_long_gap_forgets_everything() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(see(&mut ids, 1, 1, 0), Seen::New);
        assert_eq!(see(&mut ids, 1, 1, 2_000), Seen::New);
    }

    #[test]
    fn the_cap_rotates_early_and_is_counted() {
        let mut ids = SeenIds::new(1_000_000, 4);
        for id in 0..5 {
            assert_eq!(see(&mut ids, id, 0, 0), Seen::New);
        }
        assert_eq!(ids.early_rotations(), 2);
        assert!(ids.len() <= 4, "{}", ids.len());
        assert_eq!(see(&mut ids, 4, 0, 0), Seen::Duplicate);
        assert_eq!(see(&mut ids, 0, 0, 0), Seen::New);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_does_not_rotate() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(see(&mut ids, 1, 1, 5_000), Seen::New);
        assert_eq!(see(&mut ids, 1, 1, 0), Seen::Duplicate);
    }

    #[test]
    fn what_is_saved_is_what_was_there_at_the_beginning_through_any_rotation() {
        for (budget, pace_ms) in [(16, 1), (64, 40), (100, 700), (1_000, 3_000), (1 << 20, 1)] {
            let mut ids = SeenIds::new(1_000, 5_000);
            let mut clock_ms = 0;
            for id in 0..700_u64 {
                clock_ms = id.cast_signed() * 2;
                see(&mut ids, id, id + 1, clock_ms);
            }
            let mut golden = ids.clone();
            let mut head = Vec::new();
            ids.begin_save(&mut Encoder::new(&mut head));
            let fresh = SeenIds::new(1_000, 5_000);
            let mut loader = SeenLoader::new(fresh, &mut Decoder::new(&head)).unwrap();
            for step in 0.. {
                see(&mut ids, 10_000 + step, 7, clock_ms + step.cast_signed() * pace_ms);
                let mut part = Vec::new();
                let complete = ids.save_part(budget, &mut Encoder::new(&mut part));
                assert!(part.len() <= budget.max(16) + 1);
                loader.run(&mut Decoder::new(&part)).unwrap();
                if complete {
                    break;
                }
            }
            let mut restored = loader.finish().unwrap();
            assert_eq!((restored.len(), restored.bytes()), (golden.len(), golden.bytes()));
            for id in 0..1_500_u64 {
                let at_ms = clock_ms + id.cast_signed();
                let same = see(&mut golden, id, 1 + id / 2 * 2, at_ms);
                assert_eq!(see(&mut restored, id, 1 + id / 2 * 2, at_ms), same);
            }
            assert_eq!(restored.bytes(), golden.bytes());
        }
    }

    #[test]
    fn an_id_is_remembered_however_far_its_partition_is_ahead_of_the_clock_of_the_state() {
        let mut ids = SeenIds::new(10, 1_000);
        // One partition stands at 0, the other runs to 40.
        assert_eq!(ids.check_and_insert(7, 1, 0, 0), Seen::New);
        for clock_ms in 1..=40_i64 {
            assert_eq!(
                ids.check_and_insert(100 + clock_ms.cast_unsigned(), 1, clock_ms, 0),
                Seen::New
            );
        }
        assert_eq!(ids.check_and_insert(7, 1, 0, 0), Seen::Duplicate);
        // The slow one catches up: what came with 40 is remembered until 50, what came with 0 at least until 10.
        assert_eq!(ids.check_and_insert(7, 1, 10, 10), Seen::Duplicate);
        for clock_ms in 11..=50_i64 {
            ids.check_and_insert(200 + clock_ms.cast_unsigned(), 1, clock_ms, clock_ms);
            assert_eq!(
                ids.check_and_insert(140, 1, 40, clock_ms),
                Seen::Duplicate,
                "at {clock_ms}"
            );
        }
        assert_eq!(ids.check_and_insert(140, 1, 51, 51), Seen::New);
    }

    #[test]
    fn nothing_is_forgotten_before_there_is_a_clock_and_an_event_without_one_is_remembered() {
        let mut ids = SeenIds::new(10, 1_000);
        assert_eq!(ids.check_and_insert(1, 1, i64::MIN, i64::MIN), Seen::New);
        assert_eq!(ids.check_and_insert(1, 1, 5_000, 5_000), Seen::Duplicate);
        assert_eq!(ids.check_and_insert(1, 1, 5_009, 5_009), Seen::Duplicate);
        assert_eq!(ids.check_and_insert(1, 1, 5_020, 5_020), Seen::New);
    }

    #[test]
    fn what_a_restored_memory_saves_after_a_gap_of_two_windows_is_what_was_there() {
        let mut ids = SeenIds::new(10, 1_000);
        see(&mut ids, 1, 1, 0);
        see(&mut ids, 2, 2, 10);
        let mut restored = restored(&mut ids, 1 << 20, &mut |_| {});
        // Ids 1 (old) and 2 (young) are there when the save begins, and both are over before a part of it is written.
        let again = self::restored(&mut restored, 16, &mut |ids| {
            see(ids, 3, 3, 100);
        });
        assert_eq!((again.old.len, again.young.len), (1, 1));
        assert_eq!(
            (again.body_of(1), again.body_of(2), again.body_of(3)),
            (Some(1), Some(2), None)
        );
    }

    /// What a reader makes of a save in parts of `budget` bytes; `between` them something happens.
    fn restored(
        ids: &mut SeenIds,
        budget: usize,
        between: &mut dyn FnMut(&mut SeenIds),
    ) -> SeenIds {
        let mut head = Vec::new();
        ids.begin_save(&mut Encoder::new(&mut head));
        let fresh = SeenIds::new(ids.window_ms, ids.generation_cap * 2);
        let mut loader = SeenLoader::new(fresh, &mut Decoder::new(&head)).unwrap();
        loop {
            between(ids);
            let mut part = Vec::new();
            let complete = ids.save_part(budget, &mut Encoder::new(&mut part));
            loader.run(&mut Decoder::new(&part)).unwrap();
            if complete {
                ids.end_save();
                return loader.finish().unwrap();
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn an_id_within_the_window_is_known_through_saves_restores_and_gaps(
            steps in proptest::collection::vec((0_u64..12, 0_i64..4, 0_i64..60, 0_u8..8), 1..60),
        ) {
            const WINDOW_MS: i64 = 10;
            let mut ids = SeenIds::new(WINDOW_MS, 1_000);
            // Every id that ever came, with the clock that it was last new at.
            let mut known: BTreeMap<u64, i64> = BTreeMap::new();
            let mut state_ms = 0;
            for (id, gap_ms, lead_ms, what) in steps {
                state_ms += [0, 1, WINDOW_MS, WINDOW_MS * 3][usize::try_from(gap_ms).unwrap()];
                let came = known.get(&id).copied();
                let seen = ids.check_and_insert(id, id, state_ms + lead_ms, state_ms);
                let must = came.is_some_and(|clock_ms| state_ms <= clock_ms + WINDOW_MS);
                prop_assert!(!must || seen == Seen::Duplicate, "{id} at {state_ms}: {known:?}");
                prop_assert!(came.is_some() || seen == Seen::New);
                if seen == Seen::New {
                    known.insert(id, state_ms + lead_ms);
                }
                if what == 0 {
                    let golden = ids.clone();
                    let mut late_ms = state_ms;
                    let restored = restored(&mut ids, 16, &mut |ids| {
                        late_ms += WINDOW_MS * 2;
                        ids.check_and_insert(100, 100, late_ms, late_ms);
                    });
                    prop_assert_eq!(restored.generations(), golden.generations());
                    prop_assert_eq!((restored.old.len, restored.young.len), (golden.old.len, golden.young.len));
                    for id in 0..101 {
                        prop_assert_eq!(restored.body_of(id), golden.body_of(id));
                    }
                    ids = restored;
                }
            }
        }
    }

    #[test]
    fn generations_that_are_over_are_given_back_bit_by_bit() {
        let mut ids = SeenIds::new(1_000, 1_000_000);
        for id in 0..20_000 {
            see(&mut ids, id, 0, 0);
        }
        see(&mut ids, 20_000, 0, 5_000);
        assert!(!ids.over.is_empty(), "nothing is freed at once");
        for id in 20_001..20_100 {
            see(&mut ids, id, 0, 5_000);
        }
        assert!(ids.over.is_empty());
    }

    #[test]
    fn an_id_takes_no_more_bytes_than_it_is_reckoned_with() {
        let mut ids = SeenIds::new(1_000, usize::MAX);
        let first = size_of::<[(u64, u64); CHUNK]>() + 4 * size_of::<Chunk>() + 64;
        for id in 0..40_000 {
            see(&mut ids, id, id, 0);
            let most = BYTES_PER_ID * ids.len() + first;
            assert!(ids.bytes() <= most, "{} ids: {} bytes", ids.len(), ids.bytes());
        }
    }

    #[test]
    fn bytes_cover_at_least_the_entries() {
        let mut ids = SeenIds::new(1_000, 10_000);
        for id in 0..1_000 {
            see(&mut ids, id, id, 0);
        }
        assert!(ids.bytes() >= 1_000 * 16);
    }
}
