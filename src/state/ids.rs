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
/// An id is remembered for at least the window and at most twice the window of the caller's clock, unless the cap on
/// entries makes the older generation go early (counted).
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
    /// Clock at which the young generation began.
    began_ms: Option<i64>,
    early_rotations: u64,
    saving: Option<Saving>,
}

/// Entries of one chunk.
const CHUNK: usize = 256;

/// Chunks that are given back with every new id.
const CHUNKS_PER_INSERT: usize = 2;

type Chunk = Box<[(u64, u64); CHUNK]>;

#[derive(Clone, Debug, Default)]
struct Generation {
    /// Names it while it is saved; 0 for one that never held anything.
    number: u64,
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

impl SeenIds {
    /// An empty memory for `window_ms` of event time and at most `cap` ids.
    pub fn new(window_ms: i64, cap: usize) -> Self {
        Self {
            window_ms: window_ms.max(1),
            generation_cap: (cap / 2).clamp(1, u32::MAX as usize),
            young: Generation { number: 1, ..Generation::default() },
            old: Generation::default(),
            over: Vec::new(),
            began_ms: None,
            early_rotations: 0,
            saving: None,
        }
    }

    /// Another window and another cap, from now on.
    pub fn set_bounds(&mut self, window_ms: i64, cap: usize) {
        (self.window_ms, self.generation_cap) = (window_ms.max(1), (cap / 2).max(1));
    }

    /// Looks an event up by 64-bit digests of its id and body, and remembers it when it is new.
    ///
    /// A further body under a known id is reused once; it is remembered as well, and its repeats are duplicates. A
    /// duplicate does not prolong the memory. `clock_ms` is the largest accepted event time.
    pub fn check_and_insert(&mut self, id: u64, body: u64, clock_ms: i64) -> Seen {
        self.rotate_by(clock_ms);
        match self.body_of(id) {
            Some(seen_body) if seen_body == body => return Seen::Duplicate,
            None => {
                self.insert(id, body, clock_ms);
                return Seen::New;
            }
            Some(_) => {}
        }
        let variant = variant_of(id, body);
        if self.body_of(variant) == Some(body) {
            return Seen::Duplicate;
        }
        self.insert(variant, body, clock_ms);
        Seen::Reused
    }

    fn body_of(&self, id: u64) -> Option<u64> {
        self.young.body_of(id).or_else(|| self.old.body_of(id))
    }

    fn insert(&mut self, id: u64, body: u64, clock_ms: i64) {
        if self.young.len >= self.generation_cap {
            self.early_rotations += 1;
            self.rotate(clock_ms);
        }
        self.young.push(id, body);
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

    /// How often the cap made ids be forgotten before their time.
    pub fn early_rotations(&self) -> u64 {
        self.early_rotations
    }

    /// Heap bytes of what is remembered; not of what is being given back.
    pub fn bytes(&self) -> usize {
        self.young.bytes() + self.old.bytes()
    }

    fn rotate_by(&mut self, clock_ms: i64) {
        let began_ms = *self.began_ms.get_or_insert(clock_ms);
        let age_ms = clock_ms.saturating_sub(began_ms);
        if age_ms < self.window_ms {
            return;
        }
        self.rotate(clock_ms);
        // After a gap of two windows both generations are too old.
        if age_ms >= self.window_ms.saturating_mul(2) {
            self.over.push(core::mem::take(&mut self.old));
        }
    }

    fn rotate(&mut self, clock_ms: i64) {
        let next = Generation { number: self.young.number + 1, ..Generation::default() };
        let old = core::mem::replace(&mut self.young, next);
        self.over.push(core::mem::replace(&mut self.old, old));
        self.began_ms = Some(clock_ms);
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

impl Generation {
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
        code.count(self.old.len);
        code.count(self.young.len);
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
        let (old, young) = (code.narrow(WHAT)? as usize, code.narrow(WHAT)? as usize);
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
    use super::*;

    #[test]
    fn an_id_is_new_once_then_duplicate_or_reused() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(ids.check_and_insert(7, 1, 0), Seen::New);
        assert_eq!(ids.check_and_insert(7, 1, 10), Seen::Duplicate);
        assert_eq!(ids.check_and_insert(7, 2, 20), Seen::Reused);
        assert_eq!(ids.check_and_insert(8, 1, 20), Seen::New);
        assert_eq!(ids.len(), 3);
    }

    #[test]
    fn a_further_body_under_an_id_is_reused_once_and_its_repeats_are_duplicates() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(ids.check_and_insert(7, 1, 0), Seen::New);
        assert_eq!(ids.check_and_insert(7, 2, 1), Seen::Reused);
        assert_eq!(ids.check_and_insert(7, 2, 2), Seen::Duplicate);
        assert_eq!(ids.check_and_insert(7, 3, 3), Seen::Reused);
        assert_eq!(ids.check_and_insert(7, 1, 4), Seen::Duplicate);
    }

    #[test]
    fn an_id_is_remembered_for_one_window_and_forgotten_after_two() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(ids.check_and_insert(1, 1, 0), Seen::New);
        assert_eq!(ids.check_and_insert(2, 1, 999), Seen::New);
        // Rotation at 1,000: both are in the old generation now.
        assert_eq!(ids.check_and_insert(3, 1, 1_000), Seen::New);
        assert_eq!(ids.check_and_insert(2, 1, 1_999), Seen::Duplicate);
        // Second rotation at 2,000: 1 and 2 are gone, 3 is kept.
        assert_eq!(ids.check_and_insert(3, 1, 2_000), Seen::Duplicate);
        assert_eq!(ids.check_and_insert(1, 1, 2_000), Seen::New);
    }

    #[test]
    fn a_long_gap_forgets_everything() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(ids.check_and_insert(1, 1, 0), Seen::New);
        assert_eq!(ids.check_and_insert(1, 1, 2_000), Seen::New);
    }

    #[test]
    fn the_cap_rotates_early_and_is_counted() {
        let mut ids = SeenIds::new(1_000_000, 4);
        for id in 0..5 {
            assert_eq!(ids.check_and_insert(id, 0, 0), Seen::New);
        }
        assert_eq!(ids.early_rotations(), 2);
        assert!(ids.len() <= 4, "{}", ids.len());
        assert_eq!(ids.check_and_insert(4, 0, 0), Seen::Duplicate);
        assert_eq!(ids.check_and_insert(0, 0, 0), Seen::New);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_does_not_rotate() {
        let mut ids = SeenIds::new(1_000, 100);
        assert_eq!(ids.check_and_insert(1, 1, 5_000), Seen::New);
        assert_eq!(ids.check_and_insert(1, 1, 0), Seen::Duplicate);
    }

    #[test]
    fn what_is_saved_is_what_was_there_at_the_beginning_through_any_rotation() {
        for (budget, pace_ms) in [(16, 1), (64, 40), (100, 700), (1_000, 3_000), (1 << 20, 1)] {
            let mut ids = SeenIds::new(1_000, 5_000);
            let mut clock_ms = 0;
            for id in 0..700_u64 {
                clock_ms = id.cast_signed() * 2;
                ids.check_and_insert(id, id + 1, clock_ms);
            }
            let mut golden = ids.clone();
            let mut head = Vec::new();
            ids.begin_save(&mut Encoder::new(&mut head));
            let fresh = SeenIds::new(1_000, 5_000);
            let mut loader = SeenLoader::new(fresh, &mut Decoder::new(&head)).unwrap();
            for step in 0.. {
                ids.check_and_insert(10_000 + step, 7, clock_ms + step.cast_signed() * pace_ms);
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
                let same = golden.check_and_insert(id, 1 + id / 2 * 2, at_ms);
                assert_eq!(restored.check_and_insert(id, 1 + id / 2 * 2, at_ms), same);
            }
            assert_eq!(restored.bytes(), golden.bytes());
        }
    }

    #[test]
    fn generations_that_are_over_are_given_back_bit_by_bit() {
        let mut ids = SeenIds::new(1_000, 1_000_000);
        for id in 0..20_000 {
            ids.check_and_insert(id, 0, 0);
        }
        ids.check_and_insert(20_000, 0, 5_000);
        assert!(!ids.over.is_empty(), "nothing is freed at once");
        for id in 20_001..20_100 {
            ids.check_and_insert(id, 0, 5_000);
        }
        assert!(ids.over.is_empty());
    }

    #[test]
    fn bytes_cover_at_least_the_entries() {
        let mut ids = SeenIds::new(1_000, 10_000);
        for id in 0..1_000 {
            ids.check_and_insert(id, id, 0);
        }
        assert!(ids.bytes() >= 1_000 * 16);
    }
}
