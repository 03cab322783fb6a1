//! Recognising the keys of one object: first by guessing, then by looking up.
//!
//! A [`KeyTable`] belongs to one place of the schema (the top object, `/debtor`, ...) and remembers the keys seen there and
//! which key followed which. Producers write their keys in the same order again and again, so the guess is nearly always
//! right and costs one comparison of 16 bytes. Keys that the schema reads are always in the table; others are learned up to
//! a bound, so that hostile records cannot grow it. What is learned changes the speed, never the result.

use xxhash_rust::xxh3::xxh3_64;

/// Keys whose duplicates are found by a bit; also the bound for learning.
pub(super) const MAX_LEARNED: usize = 128;

/// Longest key that is learned.
const MAX_LEARNED_BYTES: usize = 64;

/// The child of a key that the schema does not read.
pub(super) const NO_NODE: u16 = u16::MAX;

/// The keys of one place.
#[derive(Clone, Debug)]
pub(super) struct KeyTable {
    keys: Vec<Key>,
    hashes: Vec<u64>,
    /// `"name":` of every key, one after the other.
    bytes: Vec<u8>,
    /// The key that came first last time.
    first: u16,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    /// The first 16 bytes of `"name":`, zeros where it is shorter.
    head: u128,
    /// Which bits of `head` count.
    mask: u128,
    /// Where `"name":` starts in `bytes`.
    start: u32,
    /// Length of `"name":`.
    len: u32,
    /// Whether the name is written without escapes, so that raw bytes can be compared.
    plain: bool,
    /// The node of the schema.
    node: u16,
    /// The key that came next last time.
    next: u16,
}

impl KeyTable {
    /// The table of a place whose children the schema reads.
    pub(super) fn new<'a>(children: impl Iterator<Item = (&'a str, u16)>) -> Self {
        let mut table =
            Self { keys: Vec::new(), hashes: Vec::new(), bytes: Vec::new(), first: NO_NODE };
        for (name, node) in children {
            table.push(name.as_bytes(), node);
        }
        table
    }

    /// The guess for the first key of an object.
    #[inline]
    pub(super) fn first(&self) -> u16 {
        self.first
    }

    /// The guess for the key after this one.
    #[inline]
    pub(super) fn after(&self, key: u16) -> u16 {
        self.keys.get(usize::from(key)).map_or(NO_NODE, |key| key.next)
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

    /// The node of a key.
    #[inline]
    pub(super) fn node(&self, key: u16) -> u16 {
        self.keys.get(usize::from(key)).map_or(NO_NODE, |key| key.node)
    }

    /// Length of `"name":` when exactly this stands at `at`.
    #[inline]
    pub(super) fn matches(&self, key: u16, raw: &[u8], at: usize) -> Option<usize> {
        let key = self.keys.get(usize::from(key)).filter(|key| key.plain)?;
        let rest = raw.get(at..)?;
        let len = key.len as usize;
        if let Some(head) = rest.first_chunk::<16>() {
            if (u128::from_le_bytes(*head) ^ key.head) & key.mask != 0 {
                return None;
            }
            if len <= 16 {
                return Some(len);
            }
        }
        (rest.get(..len)? == self.quoted(key)).then_some(len)
    }

    /// Whether the key has this name.
    #[inline]
    pub(super) fn is(&self, key: u16, name: &[u8]) -> bool {
        self.keys.get(usize::from(key)).is_some_and(|key| self.name(key) == name)
    }

    /// The key with this name.
    pub(super) fn find(&self, name: &[u8]) -> Option<u16> {
        let hash = xxh3_64(name);
        let mut candidates = self.hashes.iter().enumerate().filter(|(_, other)| **other == hash);
        candidates
            .find(|(index, _)| self.name(&self.keys[*index]) == name)
            .and_then(|(index, _)| u16::try_from(index).ok())
    }

    /// Adds a key that the schema does not read, within bounds.
    ///
    /// Whether a name can be learned depends on the name and on the table being full, so a name that could not be learned
    /// cannot be learned later in the same object either.
    pub(super) fn learn(&mut self, name: &[u8]) -> Option<u16> {
        if self.keys.len() >= MAX_LEARNED || name.len() > MAX_LEARNED_BYTES {
            return None;
        }
        Some(self.push(name, NO_NODE))
    }

    fn push(&mut self, name: &[u8], node: u16) -> u16 {
        let index = u16::try_from(self.keys.len()).unwrap_or(NO_NODE);
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
        self.keys.push(Key {
            head: u128::from_le_bytes(head),
            mask: u128::from_le_bytes(mask),
            start: u32::try_from(start).unwrap_or(u32::MAX),
            len: u32::try_from(quoted.len()).unwrap_or(u32::MAX),
            plain: !name.iter().any(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)),
            node,
            next: NO_NODE,
        });
        self.hashes.push(xxh3_64(name));
        index
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

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> KeyTable {
        KeyTable::new([("id", 0), ("a_key_of_more_than_16_bytes", 1), ("q\":", 2)].into_iter())
    }

    #[test]
    fn a_key_matches_with_its_quotes_and_colon_only() {
        let table = table();
        assert_eq!(table.matches(0, b"\"id\":1,\"padding\":true}", 0), Some(5));
        assert_eq!(table.matches(0, b"\"id\":1", 0), Some(5));
        assert_eq!(table.matches(0, b"\"id2\":1,\"padding\":true}", 0), None);
        assert_eq!(table.matches(0, b"\"id\" :1,\"padding\":true}", 0), None);
        assert_eq!(table.matches(0, b"\"id", 0), None);
        assert_eq!(table.matches(1, b"\"a_key_of_more_than_16_bytes\":1", 0), Some(30));
        assert_eq!(table.matches(1, b"\"a_key_of_more_than_17_bytes\":1", 0), None);
        assert_eq!(table.matches(NO_NODE, b"\"id\":1", 0), None);
    }

    #[test]
    fn a_key_that_needs_escapes_is_never_compared_with_raw_bytes() {
        let table = table();
        assert_eq!(table.matches(2, b"\"q\":\":1,\"padding\":true}", 0), None);
        assert_eq!(table.find(b"q\":"), Some(2));
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
        assert_eq!(table.first(), NO_NODE);
        table.learn_order(None, 1);
        table.learn_order(Some(1), 0);
        assert_eq!((table.first(), table.after(1), table.after(0)), (1, 0, NO_NODE));
    }
}
