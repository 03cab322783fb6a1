//! The lists while the stream runs: members from files, members that rules add and remove, each with its end.
//!
//! # Cost
//! One hash look-up per question; adding and removing O(log n) for the queue of ends.

use std::collections::BTreeSet;

use core::hash::{BuildHasherDefault, Hasher};
use hashbrown::HashMap;

use crate::base::{EntityKey, Tag};
use crate::rules::program::{ListId, ListSpec};

/// End of a member that stays for ever.
const FOREVER_MS: i64 = i64::MAX;

type Members = HashMap<EntityKey, (i64, Tag), BuildHasherDefault<KeyHasher>>;
type Tags = HashMap<Tag, EntityKey, BuildHasherDefault<KeyHasher>>;

/// Keys are well mixed already or short texts; one multiplication spreads them.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= EntityKey::of_text(bytes).hash64();
    }

    fn write_u64(&mut self, word: u64) {
        self.0 ^= EntityKey(u128::from(word)).hash64();
    }

    fn write_u128(&mut self, word: u128) {
        self.0 ^= EntityKey(word).hash64();
    }
}

#[derive(Clone, Debug, Default)]
struct List {
    members: Members,
    tags: Tags,
}

/// All lists of a rule set, by [`ListId`].
#[derive(Clone, Debug, Default)]
pub struct Lists {
    lists: Vec<List>,
    ends: BTreeSet<(i64, ListId, EntityKey)>,
}

impl Lists {
    /// The lists with the members of their files.
    pub fn new(specs: &[ListSpec]) -> Self {
        let mut lists = Self { lists: vec![List::default(); specs.len()], ends: BTreeSet::new() };
        for (index, spec) in (0_u16..).zip(specs) {
            for (text, ends_ms) in &spec.members {
                lists.put(ListId(index), text.as_bytes(), ends_ms.unwrap_or(FOREVER_MS));
            }
        }
        lists
    }

    /// Whether the text is on the list at an instant.
    pub fn contains(&self, list: ListId, text: &[u8], time_ms: i64) -> bool {
        self.contains_key(list, EntityKey::of_text(text), time_ms)
    }

    /// The same for a text that is known by its tag only.
    pub fn contains_tag(&self, list: ListId, tag: Tag, time_ms: i64) -> bool {
        let key = self.lists.get(usize::from(list.0)).and_then(|list| list.tags.get(&tag));
        key.is_some_and(|key| self.contains_key(list, *key, time_ms))
    }

    /// Puts a text on a list until an instant; a later end replaces an earlier one, never the other way round.
    pub fn put(&mut self, list: ListId, text: &[u8], ends_ms: i64) {
        let (key, tag) = (EntityKey::of_text(text), Tag::of_text(text));
        let Some(known) = self.lists.get_mut(usize::from(list.0)) else { return };
        if let Some((old_ms, _)) = known.members.get(&key) {
            if *old_ms >= ends_ms {
                return;
            }
            self.ends.remove(&(*old_ms, list, key));
        }
        known.members.insert(key, (ends_ms, tag));
        known.tags.insert(tag, key);
        if ends_ms != FOREVER_MS {
            self.ends.insert((ends_ms, list, key));
        }
    }

    /// Takes a text off a list.
    pub fn remove(&mut self, list: ListId, text: &[u8]) {
        let key = EntityKey::of_text(text);
        let Some(known) = self.lists.get_mut(usize::from(list.0)) else { return };
        if let Some((ends_ms, tag)) = known.members.remove(&key) {
            known.tags.remove(&tag);
            self.ends.remove(&(ends_ms, list, key));
        }
    }

    /// Forgets members that ended at or before an instant.
    pub fn expire(&mut self, horizon_ms: i64) {
        while let Some(&(ends_ms, list, key)) = self.ends.first() {
            if ends_ms > horizon_ms {
                return;
            }
            self.ends.remove(&(ends_ms, list, key));
            if let Some(known) = self.lists.get_mut(usize::from(list.0))
                && let Some((_, tag)) = known.members.remove(&key)
            {
                known.tags.remove(&tag);
            }
        }
    }

    /// Members on all lists.
    pub fn len(&self) -> usize {
        self.lists.iter().map(|list| list.members.len()).sum()
    }

    /// Whether all lists are empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.len() * 96 + self.ends.len() * 64
    }

    fn contains_key(&self, list: ListId, key: EntityKey, time_ms: i64) -> bool {
        let list = self.lists.get(usize::from(list.0));
        list.and_then(|list| list.members.get(&key)).is_some_and(|(ends_ms, _)| *ends_ms > time_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::program::Type;

    fn spec(members: &[(&str, Option<i64>)]) -> ListSpec {
        let members = members.iter().map(|(text, ends)| ((*text).to_owned(), *ends)).collect();
        ListSpec { name: "l".to_owned(), ty: Type::Text, expires_ms: None, members }
    }

    #[test]
    fn members_end_at_their_instant_and_a_longer_end_wins() {
        let mut lists = Lists::new(&[spec(&[("forever", None), ("until 10", Some(10))])]);
        let list = ListId(0);
        assert!(lists.contains(list, b"forever", i64::MAX - 1));
        assert!(lists.contains(list, b"until 10", 9));
        assert!(!lists.contains(list, b"until 10", 10));
        lists.put(list, b"until 10", 20);
        lists.put(list, b"until 10", 15);
        assert!(lists.contains(list, b"until 10", 19));
        assert!(lists.contains_tag(list, Tag::of_text(b"until 10"), 19));
        lists.expire(20);
        assert_eq!(lists.len(), 1);
        assert!(!lists.contains_tag(list, Tag::of_text(b"until 10"), 0));
        lists.remove(list, b"forever");
        assert!(lists.is_empty());
    }
}
