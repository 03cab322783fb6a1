//! Recognising the keys of one object: first by guessing, then by looking up.
//!
//! A [`KeyTable`] belongs to one place of the schema (the top object, `/debtor`, ...) and remembers the keys seen there and
//! which key followed which. Producers write their keys in the same order again and again, so the guess is nearly always
//! right and costs one comparison of 16 bytes. Keys that the schema reads are always in the table; others are learned up to
//! a bound, so that hostile records cannot grow it. What is learned changes the speed, never the result.

use std::sync::Arc;

use crate::base::NeverStore;

/// Keys whose duplicates are found by a bit; also the bound for learning.
pub(super) const MAX_LEARNED: usize = 64;

/// Longest key that is learned.
const MAX_LEARNED_BYTES: usize = 64;

/// The node or pointer of a key that the schema does not read.
pub(super) const NO_NODE: u16 = u16::MAX;

/// The keys of one place.
#[derive(Clone, Debug)]
pub(super) struct KeyTable {
    keys: Vec<Key>,
    /// `"name":` of every key, one after the other.
    bytes: Vec<u8>,
    /// Open addressing by hash: indices of keys, at most a quarter full, a power of two long.
    slots: Vec<u16>,
    /// The key that came first last time.
    first: u16,
    /// Names whose values are never stored.
    never_store: Arc<NeverStore>,
}

/// One key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key {
    /// The first 16 bytes of `"name":`, zeros where it is shorter.
    head: u128,
    /// Which bits of `head` count.
    mask: u128,
    /// The bit of this key in a set of keys; none for a key that cannot be guessed.
    pub(super) bit: u64,
    /// Where `"name":` starts in `bytes`.
    start: u32,
    /// Length of `"name":`.
    pub(super) len: u32,
    /// The node of the schema.
    pub(super) node: u16,
    /// The pointer that ends here.
    pub(super) pointer: u16,
    /// The key that came next last time.
    pub(super) next: u16,
    /// Whether its values are never stored.
    pub(super) is_never_stored: bool,
}

impl KeyTable {
    /// The table of a place: names that the schema reads, with their nodes and pointers.
    pub(super) fn new<'a>(
        children: impl Iterator<Item = (&'a str, u16, u16)>,
        never_store: &Arc<NeverStore>,
    ) -> Self {
        let never_store = Arc::clone(never_store);
        let (keys, bytes, slots) = (Vec::new(), Vec::new(), Vec::new());
        let mut table = Self { keys, bytes, slots, first: NO_NODE, never_store };
        for (name, node, pointer) in children {
            table.push(name.as_bytes(), node, pointer);
        }
        table
    }

    /// The guess for the key after this one, or for the first one.
    #[inline]
    pub(super) fn guess(&self, before: Option<u16>) -> u16 {
        match before {
            None => self.first,
            Some(before) => self.keys.get(usize::from(before)).map_or(NO_NODE, |key| key.next),
        }
    }

    /// Remembers what followed `before` (or came first).
    pub(super) fn learn_order(&mut self, before: Option<u16>, key: u16) {
        match before {
            None => self.first = key,
            Some(before) => {
                if let Some(before) = self.keys.get_mut(usize::from(before)) {
                    before.next = key;
                }
            }
        }
    }

    /// The key of an index.
    #[inline]
    pub(super) fn key(&self, key: u16) -> Option<&Key> {
        self.keys.get(usize::from(key))
    }

    /// Whether exactly `"name":` stands at `at`.
    #[inline]
    pub(super) fn matches(&self, key: &Key, raw: &[u8], at: usize) -> bool {
        let Some(rest) = raw.get(at..) else { return false };
        let len = key.len as usize;
        if let Some(head) = rest.first_chunk::<16>() {
            let head = u128::from_le_bytes(*head);
            if (head ^ key.head) & key.mask != 0 {
                return false;
            }
            if len <= 16 {
                return true;
            }
        }
        rest.get(..len) == Some(self.quoted(key))
    }

    /// Whether the key has this name.
    #[inline]
    pub(super) fn is(&self, key: u16, name: &[u8]) -> bool {
        self.key(key).is_some_and(|key| self.name(key) == name)
    }

    /// The key with this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<u16> {
        let mask = self.slots.len().checked_sub(1)?;
        let mut at = slot(name) & mask;
        loop {
            let key = *self.slots.get(at)?;
            if self.is(key, name) {
                return Some(key);
            }
            if key == NO_NODE {
                return None;
            }
            at = (at + 1) & mask;
        }
    }

    /// Adds a key that the schema does not read, within bounds.
    ///
    /// Whether a name can be learned depends on the name and on the table being full, so a name that could not be learned
    /// cannot be learned later in the same object either.
    pub(super) fn learn(&mut self, name: &[u8]) -> Option<u16> {
        if self.keys.len() >= MAX_LEARNED || name.len() > MAX_LEARNED_BYTES {
            return None;
        }
        Some(self.push(name, NO_NODE, NO_NODE))
    }

    fn push(&mut self, name: &[u8], node: u16, pointer: u16) -> u16 {
        let index = self.keys.len();
        let start = self.bytes.len();
        self.bytes.push(b'"');
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(b"\":");
        let quoted = self.bytes.get(start..).unwrap_or_default();
        let (mut head, mut mask) = ([0_u8; 16], [0_u8; 16]);
        for (place, byte) in quoted.iter().take(16).enumerate() {
            head[place] = *byte;
            mask[place] = 0xff;
        }
        // A name that is written with escapes must not be compared with raw bytes.
        let plain = !name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20));
        self.keys.push(Key {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            bit: if plain && index < MAX_LEARNED { 1 << index } else { 0 },
            start: u32::try_from(start).unwrap_or(u32::MAX),
            len: u32::try_from(quoted.len()).unwrap_or(u32::MAX),
            node,
            pointer,
            next: NO_NODE,
            is_never_stored: self.never_store.has(name),
        });
        self.index_all_if_crowded();
        let index = u16::try_from(index).unwrap_or(NO_NODE);
        self.index_key(index);
        index
    }

    fn index_all_if_crowded(&mut self) {
        let wanted = (self.keys.len() * 4).next_power_of_two();
        if self.slots.len() < wanted {
            self.slots = vec![NO_NODE; wanted];
            (0..u16::try_from(self.keys.len() - 1).unwrap_or(0))
                .for_each(|key| self.index_key(key));
        }
    }

    fn index_key(&mut self, key: u16) {
        let Some(name) = self.key(key).map(|key| self.name(key)) else { return };
        let mask = self.slots.len() - 1;
        let mut at = slot(name) & mask;
        while self.slots[at] != NO_NODE {
            at = (at + 1) & mask;
        }
        self.slots[at] = key;
    }

    fn quoted(&self, key: &Key) -> &[u8] {
        let (start, len) = (key.start as usize, key.len as usize);
        self.bytes.get(start..start + len).unwrap_or_default()
    }

    fn name(&self, key: &Key) -> &[u8] {
        match self.quoted(key) {
            [b'"', name @ .., b'"', b':'] => name,
            _ => &[],
        }
    }
}

/// A cheap hash of a short name: its length, its first and its last bytes.
///
/// Prepared collisions cost a walk over the table at most, and the table is bounded.
#[inline]
fn slot(name: &[u8]) -> usize {
    let word = |bytes: &[u8]| {
        let mut padded = [0; 8];
        for (place, byte) in padded.iter_mut().zip(bytes) {
            *place = *byte;
        }
        u64::from_le_bytes(padded)
    };
    let first = name.first_chunk().map_or_else(|| word(name), |head| u64::from_le_bytes(*head));
    let last = name.last_chunk().map_or(0, |tail| u64::from_le_bytes(*tail));
    let mixed = (first ^ last.rotate_left(29)).wrapping_add(name.len() as u64);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> KeyTable {
        let names = ["id", "a_key_of_more_than_16_bytes", "q\":"];
        let children = (0..).zip(names).map(|(node, name)| (name, node, NO_NODE));
        KeyTable::new(children, &Arc::default())
    }

    #[track_caller]
    fn check(key: u16, raw: &[u8], expected: bool) {
        let table = table();
        assert_eq!(table.matches(table.key(key).unwrap(), raw, 0), expected);
    }

    #[test]
    fn a_key_matches_with_its_quotes_and_colon_only() {
        check(0, b"\"id\":1,\"padding\":true}", true);
        check(0, b"\"id\":1", true);
        check(0, b"\"id2\":1,\"padding\":true}", false);
        check(0, b"\"id\" :1,\"padding\":true}", false);
        check(0, b"\"id", false);
        check(1, b"\"a_key_of_more_than_16_bytes\":1", true);
        check(1, b"\"a_key_of_more_than_17_bytes\":1", false);
    }

    #[test]
    fn a_key_that_needs_escapes_is_found_and_never_guessed() {
        let table = table();
        assert_eq!(table.key(0).unwrap().bit, 1);
        assert_eq!(table.key(2).unwrap().bit, 0);
        assert_eq!(table.find(b"q\":"), Some(2));
        assert_eq!(table.find(b"q"), None);
    }

    #[test]
    fn names_that_share_a_slot_are_all_found() {
        // Equal in length and in the first and last eight bytes.
        let names: Vec<String> = (0..40).map(|n| format!("12345678{n:02}12345678")).collect();
        let table = KeyTable::new(
            (0..).zip(&names).map(|(node, name)| (name.as_str(), node, 0)),
            &Arc::default(),
        );
        for (index, name) in (0_u16..).zip(&names) {
            assert_eq!(table.find(name.as_bytes()), Some(index));
        }
        assert_eq!(table.find(b"123456784012345678"), None);
        assert_eq!(KeyTable::new(core::iter::empty(), &Arc::default()).find(b"x"), None);
    }

    #[test]
    fn learning_is_bounded_in_number_and_length() {
        let mut table = table();
        assert_eq!(table.learn(&[b'x'; MAX_LEARNED_BYTES + 1]), None);
        for n in 0..10_000 {
            table.learn(format!("junk{n}").as_bytes());
        }
        assert_eq!(table.keys.len(), MAX_LEARNED);
        assert_eq!(table.find(b"junk0"), Some(3));
        assert_eq!(table.find(b"junk9999"), None);
        assert_eq!(table.find(b"id"), Some(0));
    }

    #[test]
    fn the_order_of_the_last_record_is_the_guess() {
        let mut table = table();
        assert_eq!(table.guess(None), NO_NODE);
        table.learn_order(None, 1);
        table.learn_order(Some(1), 0);
        assert_eq!(
            (table.guess(None), table.guess(Some(1)), table.guess(Some(0))),
            (1, 0, NO_NODE)
        );
    }
}
