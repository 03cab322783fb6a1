//! Values that live until a deadline: list members, alert episodes, holds.

use std::collections::BTreeSet;

use hashbrown::HashTable;

use crate::base::EntityKey;

/// A map whose entries have deadlines.
///
/// An entry lives while the time asked for is before its deadline. What has expired is invisible at once and is
/// drained in (deadline, key) order.
#[derive(Clone, Debug)]
pub struct ExpiringMap<V> {
    values: HashTable<Held<V>>,
    deadlines: BTreeSet<(i64, EntityKey)>,
}

#[derive(Clone, Debug)]
struct Held<V> {
    key: EntityKey,
    deadline_ms: i64,
    value: V,
}

impl<V> Default for ExpiringMap<V> {
    fn default() -> Self {
        Self { values: HashTable::new(), deadlines: BTreeSet::new() }
    }
}

impl<V> ExpiringMap<V> {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// The value at `time_ms`, unless its deadline has come.
    pub fn get(&self, key: EntityKey, time_ms: i64) -> Option<&V> {
        let held = self.values.find(key.hash64(), |held| held.key == key)?;
        (time_ms < held.deadline_ms).then_some(&held.value)
    }

    /// The value at `time_ms` for change, unless its deadline has come.
    pub fn get_mut(&mut self, key: EntityKey, time_ms: i64) -> Option<&mut V> {
        let held = self.values.find_mut(key.hash64(), |held| held.key == key)?;
        (time_ms < held.deadline_ms).then_some(&mut held.value)
    }

    /// The deadline of an entry that was not drained yet.
    pub fn deadline_ms(&self, key: EntityKey) -> Option<i64> {
        self.values.find(key.hash64(), |held| held.key == key).map(|held| held.deadline_ms)
    }

    /// Sets the value and its deadline; gives back what stood there (expired or not).
    pub fn insert(&mut self, key: EntityKey, value: V, deadline_ms: i64) -> Option<V> {
        let previous = self.remove(key);
        self.deadlines.insert((deadline_ms, key));
        let held = Held { key, deadline_ms, value };
        self.values.insert_unique(key.hash64(), held, |held| held.key.hash64());
        previous
    }

    /// Moves the deadline of an entry; says whether there is one.
    pub fn reschedule(&mut self, key: EntityKey, deadline_ms: i64) -> bool {
        let Some(held) = self.values.find_mut(key.hash64(), |held| held.key == key) else {
            return false;
        };
        self.deadlines.remove(&(held.deadline_ms, key));
        self.deadlines.insert((deadline_ms, key));
        held.deadline_ms = deadline_ms;
        true
    }

    /// Takes an entry out, expired or not.
    pub fn remove(&mut self, key: EntityKey) -> Option<V> {
        let entry = self.values.find_entry(key.hash64(), |held| held.key == key).ok()?;
        let (held, _) = entry.remove();
        self.deadlines.remove(&(held.deadline_ms, key));
        Some(held.value)
    }

    /// Takes out the first entry by (deadline, key) whose deadline is at or before the clock.
    ///
    /// Call it until it gives nothing; entries inserted meanwhile are found as well.
    pub fn pop_expired(&mut self, clock_ms: i64) -> Option<(EntityKey, i64, V)> {
        let (deadline_ms, key) = *self.deadlines.first()?;
        if deadline_ms > clock_ms {
            return None;
        }
        self.remove(key).map(|value| (key, deadline_ms, value))
    }

    /// All entries that were not drained yet, in (deadline, key) order.
    pub fn iter(&self) -> impl Iterator<Item = (EntityKey, i64, &V)> {
        self.deadlines.iter().filter_map(|(deadline_ms, key)| {
            let held = self.values.find(key.hash64(), |held| held.key == *key)?;
            Some((*key, *deadline_ms, &held.value))
        })
    }

    /// The next deadline.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.deadlines.first().map(|(deadline_ms, _)| *deadline_ms)
    }

    /// How many entries are held, expired ones that were not drained included.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Heap bytes of the map itself, without what the values point to.
    ///
    /// The ordered index is counted at the worst fill of its nodes (half).
    pub fn bytes(&self) -> usize {
        self.values.allocation_size() + self.deadlines.len() * size_of::<(i64, EntityKey)>() * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(n: u128) -> EntityKey {
        EntityKey(n)
    }

    #[test]
    fn an_entry_is_seen_until_just_before_its_deadline() {
        let mut map = ExpiringMap::new();
        map.insert(key(1), "a", 100);
        assert_eq!(map.get(key(1), 99), Some(&"a"));
        assert_eq!(map.get(key(1), 100), None);
        assert_eq!(map.get(key(2), 0), None);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn expired_entries_come_out_in_order_of_deadline_then_key() {
        let mut map = ExpiringMap::new();
        map.insert(key(3), 'c', 50);
        map.insert(key(2), 'b', 50);
        map.insert(key(1), 'a', 70);
        map.insert(key(4), 'd', 10);
        let mut drained = Vec::new();
        while let Some(expired) = map.pop_expired(69) {
            drained.push(expired);
        }
        assert_eq!(drained, [(key(4), 10, 'd'), (key(2), 50, 'b'), (key(3), 50, 'c')]);
        assert_eq!(map.next_deadline_ms(), Some(70));
    }

    #[test]
    fn a_replaced_or_rescheduled_entry_has_one_deadline() {
        let mut map = ExpiringMap::new();
        assert_eq!(map.insert(key(1), 1, 10), None);
        assert_eq!(map.insert(key(1), 2, 20), Some(1));
        assert!(map.reschedule(key(1), 30));
        assert!(!map.reschedule(key(9), 30));
        assert_eq!(map.pop_expired(29), None);
        assert_eq!(map.iter().collect::<Vec<_>>(), [(key(1), 30, &2)]);
        assert_eq!(map.pop_expired(30), Some((key(1), 30, 2)));
        assert!(map.is_empty());
    }

    #[test]
    fn a_removed_entry_is_not_drained() {
        let mut map = ExpiringMap::new();
        map.insert(key(1), 1, 10);
        assert_eq!(map.remove(key(1)), Some(1));
        assert_eq!(map.remove(key(1)), None);
        assert_eq!(map.pop_expired(1_000), None);
    }

    #[test]
    fn bytes_cover_values_and_deadlines() {
        let mut map = ExpiringMap::new();
        for n in 0..100 {
            map.insert(key(n), n, 10);
        }
        assert!(map.bytes() >= 100 * (48 + 32));
    }
}
