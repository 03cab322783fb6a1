//! Recognises events that were seen before, by two rotating generations of digests.

use hashbrown::HashTable;

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
#[derive(Clone, Debug)]
pub struct SeenIds {
    window_ms: i64,
    /// Most entries of one generation.
    generation_cap: usize,
    young: HashTable<(u64, u64)>,
    old: HashTable<(u64, u64)>,
    /// Clock at which the young generation began.
    began_ms: Option<i64>,
    early_rotations: u64,
}

impl SeenIds {
    /// An empty memory for `window_ms` of event time and at most `cap` ids.
    pub fn new(window_ms: i64, cap: usize) -> Self {
        Self {
            window_ms: window_ms.max(1),
            generation_cap: (cap / 2).max(1),
            young: HashTable::new(),
            old: HashTable::new(),
            began_ms: None,
            early_rotations: 0,
        }
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
        let find = |generation: &HashTable<(u64, u64)>| {
            generation.find(mix(id), |entry| entry.0 == id).map(|entry| entry.1)
        };
        find(&self.young).or_else(|| find(&self.old))
    }

    fn insert(&mut self, id: u64, body: u64, clock_ms: i64) {
        if self.young.len() >= self.generation_cap {
            self.early_rotations += 1;
            self.rotate(clock_ms);
        }
        self.young.insert_unique(mix(id), (id, body), |entry| mix(entry.0));
    }

    /// Loads the lines that a look-up of an id will need; the number means nothing but keeps the loads alive.
    #[inline]
    pub fn touch(&self, id: u64) -> u64 {
        let line = |generation: &HashTable<(u64, u64)>| {
            generation.find(mix(id), |_| true).map_or(0, |entry| entry.0)
        };
        line(&self.young) ^ line(&self.old)
    }

    /// How many ids are remembered.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether nothing is remembered.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How often the cap made ids be forgotten before their time.
    pub fn early_rotations(&self) -> u64 {
        self.early_rotations
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        self.young.allocation_size() + self.old.allocation_size()
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
            self.old.clear();
        }
    }

    fn rotate(&mut self, clock_ms: i64) {
        core::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        self.began_ms = Some(clock_ms);
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
    fn bytes_cover_at_least_the_entries() {
        let mut ids = SeenIds::new(1_000, 10_000);
        for id in 0..1_000 {
            ids.check_and_insert(id, id, 0);
        }
        assert!(ids.bytes() >= 1_000 * 16);
    }
}
