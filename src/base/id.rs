//! Keys of state and tags of remembered texts.
//!
//! Both carry a short text as it is and a long one as a digest. The top byte says which, so that no short text equals a
//! digest, and a combined key equals no single one.

use core::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// The identity of one key of a state table: a single entity id or a combination of several.
///
/// Texts of up to 15 bytes are carried as they are (injective); longer ones as 120 bits of keyed SipHash-1-3, so two
/// different keys never share state except by a 2^-120 accident.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityKey(pub u128);

/// Fixed keys: every process that reads the same events makes the same keys, so state moves between machines.
const SIP_KEYS: (u64, u64) = (0x7269_736b_7765_6972, 0x7374_6174_652d_6b65);

/// The bits below the top byte of a key.
const LOW_120: u128 = u128::MAX >> 8;

/// Top byte of the key of a long text. A short one has its length, at most 15, there.
const HASHED: u128 = 0xff << 120;

/// Top byte of the key of several parts.
const COMBINED: u128 = 0xfe << 120;

impl EntityKey {
    /// The key of one text.
    ///
    /// # Cost
    /// A copy up to 15 bytes, else one SipHash-1-3 pass.
    pub fn of_text(text: &[u8]) -> Self {
        match short(text) {
            Some(word) => Self(word | (text.len() as u128) << 120),
            None => Self((Self::hash128(text) & LOW_120) | HASHED),
        }
    }

    /// The key of several parts in order.
    pub fn combine(parts: &[Self]) -> Self {
        if let [one] = parts {
            return *one;
        }
        let mut hasher = SipHasher13::new_with_keys(SIP_KEYS.0, SIP_KEYS.1);
        for part in parts {
            hasher.write(&part.0.to_le_bytes());
        }
        Self((hasher.finish128().as_u128() & LOW_120) | COMBINED)
    }

    /// A well-mixed 64-bit hash for tables.
    pub fn hash64(self) -> u64 {
        let (low, high) = (low64(self.0), low64(self.0 >> 64));
        let product = u128::from(low ^ 0x9e37_79b9_7f4a_7c15)
            * u128::from((high ^ 0xd6e8_feb8_6659_fd93) | 1);
        low64(product ^ (product >> 64)) ^ low.rotate_left(32)
    }

    fn hash128(text: &[u8]) -> u128 {
        let mut hasher = SipHasher13::new_with_keys(SIP_KEYS.0, SIP_KEYS.1);
        hasher.write(text);
        hasher.finish128().as_u128()
    }
}

/// A remembered text: what `distinct`, `last` and `is_new` keep per event.
///
/// Up to 7 bytes as they are (and printable), longer ones as 60 bits of keyed hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag(pub u64);

impl Tag {
    /// The tag of one text.
    pub fn of_text(text: &[u8]) -> Self {
        match short(text).filter(|_| text.len() <= 7) {
            Some(word) => Self(low64(word) | (text.len() as u64) << 56),
            None => Self(low64(EntityKey::hash128(text)) | 0xf << 60),
        }
    }

    /// The text itself where the tag carries it.
    pub fn text(self) -> Option<String> {
        let bytes = self.0.to_le_bytes();
        let len = usize::from(bytes[7]);
        bytes
            .get(..len)
            .filter(|_| len <= 7)
            .and_then(|b| core::str::from_utf8(b).ok())
            .map(str::to_owned)
    }
}

/// A text of up to 15 bytes as a little-endian number.
///
/// WHY: two loads that overlap instead of a copy of so many bytes: keys are made several times an event.
#[inline]
fn short(text: &[u8]) -> Option<u128> {
    let len = text.len();
    if let (Some(first), Some(last), ..=15) = (text.first_chunk(), text.last_chunk(), len) {
        let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
        return Some(u128::from(first) | u128::from(last) << (8 * (len - 8)));
    }
    if let (Some(first), Some(last), ..=7) = (text.first_chunk(), text.last_chunk(), len) {
        let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
        return Some(u128::from(first) | u128::from(last) << (8 * (len - 4)));
    }
    let bytes = (len <= 3).then(|| text.iter().rev());
    bytes.map(|bytes| bytes.fold(0, |word, byte| word << 8 | u128::from(*byte)))
}

/// The low half.
fn low64(wide: u128) -> u64 {
    u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_short_text_is_carried_as_it_is() {
        let mut bytes = [0_u8; 16];
        bytes[..9].copy_from_slice(b"C00000042");
        bytes[15] = 9;
        assert_eq!(EntityKey::of_text(b"C00000042"), EntityKey(u128::from_le_bytes(bytes)));
        assert_eq!(EntityKey::of_text(b""), EntityKey(0));
    }

    #[test]
    fn short_texts_of_every_length_are_carried_byte_by_byte() {
        for len in 0..=15_u8 {
            let text: Vec<u8> = (1..=len).map(|n| n * 17).collect();
            let mut bytes = [0_u8; 16];
            bytes[..text.len()].copy_from_slice(&text);
            bytes[15] = len;
            assert_eq!(EntityKey::of_text(&text), EntityKey(u128::from_le_bytes(bytes)));
            if len <= 7 {
                bytes[7] = len;
                let word = u64::from_le_bytes(*bytes.first_chunk().unwrap());
                assert_eq!(Tag::of_text(&text), Tag(word));
            }
        }
    }

    #[test]
    fn zeros_at_the_end_of_a_text_count() {
        assert_ne!(EntityKey::of_text(b"a"), EntityKey::of_text(b"a\0"));
        assert_ne!(Tag::of_text(b"a"), Tag::of_text(b"a\0"));
    }

    #[test]
    fn short_long_and_combined_keys_never_meet() {
        let short = EntityKey::of_text(&[0xff; 15]);
        let long = EntityKey::of_text(&[0xff; 16]);
        let combined = EntityKey::combine(&[short, long]);
        assert_eq!((short.0 >> 120, long.0 >> 120, combined.0 >> 120), (15, 0xff, 0xfe));
    }

    #[test]
    fn a_combination_of_one_is_that_one_and_order_matters() {
        let (a, b) = (EntityKey::of_text(b"a"), EntityKey::of_text(b"b"));
        assert_eq!(EntityKey::combine(&[a]), a);
        assert_ne!(EntityKey::combine(&[a, b]), EntityKey::combine(&[b, a]));
        assert_ne!(EntityKey::combine(&[a, b]), EntityKey::combine(&[a, b, b]));
    }

    #[test]
    fn a_tag_gives_back_a_text_of_up_to_seven_bytes() {
        assert_eq!(Tag::of_text(b"M00042").text().as_deref(), Some("M00042"));
        assert_eq!(Tag::of_text(b"").text().as_deref(), Some(""));
        assert_eq!(Tag::of_text("7 bytes".as_bytes()).text().as_deref(), Some("7 bytes"));
        assert_eq!(Tag::of_text(b"12345678").text(), None);
        assert_eq!(Tag(u64::MAX).text(), None);
    }

    #[test]
    fn the_table_hash_of_keys_that_differ_in_one_digit_differs_in_many_bits() {
        let hashes: Vec<u64> =
            (0..1000).map(|n| EntityKey::of_text(format!("A{n:07}").as_bytes()).hash64()).collect();
        let mut low_bits: Vec<u64> = hashes.iter().map(|hash| hash & 0xfff).collect();
        low_bits.sort_unstable();
        low_bits.dedup();
        // 1,000 balls in 4,096 bins leave 4096 * (1 - e^(-1000/4096)) = 887 bins taken on average.
        assert!((840..=1000).contains(&low_bits.len()), "{}", low_bits.len());
    }

    proptest! {
        #[test]
        fn different_texts_have_different_keys_and_tags(a: Vec<u8>, b: Vec<u8>) {
            prop_assert_eq!(a == b, EntityKey::of_text(&a) == EntityKey::of_text(&b));
            prop_assert_eq!(a == b, Tag::of_text(&a) == Tag::of_text(&b));
        }
    }
}
