//! Saves an ordered map in slices while it goes on changing: a walk along its keys.
//!
//! Before an entry changes that the walk has not reached yet, its old content is written to a side buffer, once; the
//! walk passes it by. An entry that appears ahead of the walk is passed by as well. So what is saved is exactly the map
//! as it was when the walk began.

use core::ops::Bound;
use std::collections::{BTreeMap, BTreeSet};

use crate::base::codec::Encoder;

/// A save of an ordered map that is under way.
#[derive(Clone, Debug)]
pub struct Walk<K> {
    /// The last key that was passed.
    passed: Option<K>,
    /// Keys ahead whose old content (or that they were not there) is written already.
    touched: BTreeSet<K>,
    side: Vec<u8>,
}

impl<K> Default for Walk<K> {
    fn default() -> Self {
        Self { passed: None, touched: BTreeSet::new(), side: Vec::new() }
    }
}

impl<K: Ord + Copy> Walk<K> {
    /// Announces a change of `key`, which holds `old` now.
    pub fn touch<V>(
        &mut self,
        key: K,
        old: Option<&V>,
        save: impl FnOnce(&K, &V, &mut Encoder<'_>),
    ) {
        if self.passed.is_some_and(|passed| key <= passed) || !self.touched.insert(key) {
            return;
        }
        if let Some(old) = old {
            save(&key, old, &mut Encoder::new(&mut self.side));
        }
    }

    /// Writes what was touched and then the next entries until about `budget` bytes are written, at least one; says
    /// whether the walk is at its end.
    pub fn part<V>(
        &mut self,
        map: &BTreeMap<K, V>,
        budget: usize,
        code: &mut Encoder<'_>,
        save: impl Fn(&K, &V, &mut Encoder<'_>),
    ) -> bool {
        let begin = code.len();
        self.side(code);
        let from = self.passed.map_or(Bound::Unbounded, Bound::Excluded);
        for (key, value) in map.range((from, Bound::Unbounded)) {
            self.passed = Some(*key);
            if !self.touched.remove(key) {
                save(key, value, code);
            }
            if code.len() - begin >= budget {
                return false;
            }
        }
        true
    }

    /// Writes what was touched since the last part.
    pub fn side(&mut self, code: &mut Encoder<'_>) {
        code.raw(&core::mem::take(&mut self.side));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_saved_is_what_was_there_at_the_beginning() {
        let save = |key: &u8, value: &u8, code: &mut Encoder<'_>| {
            code.byte(*key);
            code.byte(*value);
        };
        for budget in [1, 2, 3, 4, 100] {
            let mut map: BTreeMap<u8, u8> = (0..10).map(|n| (n * 2, n)).collect();
            let before = map.clone();
            let mut walk = Walk::default();
            let mut out = Vec::new();
            for round in 0..20 {
                for (key, value) in [(round, Some(99)), (18 - round.min(18), None), (13, Some(7))] {
                    walk.touch(key, map.get(&key), save);
                    match value {
                        Some(value) => map.insert(key, value),
                        None => map.remove(&key),
                    };
                }
                if walk.part(&map, budget, &mut Encoder::new(&mut out), save) {
                    break;
                }
            }
            let mut saved = BTreeMap::new();
            for pair in out.chunks(2) {
                assert_eq!(saved.insert(pair[0], pair[1]), None, "written twice: {pair:?}");
            }
            assert_eq!(saved, before, "parts of {budget}");
        }
    }
}
