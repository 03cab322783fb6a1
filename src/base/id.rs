//! Keys of state and tags of remembered texts.

use core::hash::Hasher as _;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

/// The identity of one key of a state table: a single entity id or a combination of several.
///
/// Texts of up to 15 bytes are carried as they are (injective); longer ones as 120 bits of keyed SipHash-1-3, so two
/// different keys never share state except by a 2^-120 accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EntityKey(pub u128);

/// Secret-free default keys; a deployment may set its own so that collisions cannot be prepared from outside.
const SIP_KEYS: (u64, u64) = (0x7269_736b_7765_6972, 0x7374_6174_652d_6b65);

impl EntityKey {
    /// The key of one text.
    ///
    /// # Cost
    /// A copy up to 15 bytes, else one SipHash-1-3 pass.
    pub fn of_text(text: &[u8]) -> Self {
        let mut bytes = [0_u8; 16];
        if let Some(inline) = bytes.get_mut(..text.len()).filter(|_| text.len() <= 15) {
            inline.copy_from_slice(text);
            bytes[15] = u8::try_from(text.len()).unwrap_or(0);
            return Self(u128::from_le_bytes(bytes));
        }
        Self(Self::hash128(text) | 0xff << 120)
    }

    /// The key of several parts in order.
    pub fn combine(parts: &[Self]) -> Self {
        match parts {
            [one] => *one,
            _ => {
                let mut hasher = SipHasher13::new_with_keys(SIP_KEYS.0, SIP_KEYS.1);
                for part in parts {
                    hasher.write_u128(part.0);
                }
                Self(hasher.finish128().as_u128() | 0xfe << 120)
            }
        }
    }

    /// A well-mixed 64-bit hash for tables.
    pub fn hash64(self) -> u64 {
        let low = (self.0 & u128::from(u64::MAX)) as u64;
        let high = (self.0 >> 64) as u64;
        let product =
            u128::from(low ^ 0x9e37_79b9_7f4a_7c15) * u128::from(high ^ 0xd6e8_feb8_6659_fd93 | 1);
        let folded = (product ^ (product >> 64)) as u64;
        folded ^ low.rotate_left(32)
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
        let mut bytes = [0_u8; 8];
        if let Some(inline) = bytes.get_mut(..text.len()).filter(|_| text.len() <= 7) {
            inline.copy_from_slice(text);
            bytes[7] = u8::try_from(text.len()).unwrap_or(0);
            return Self(u64::from_le_bytes(bytes));
        }
        let hash = EntityKey::hash128(text);
        Self((hash & u128::from(u64::MAX)) as u64 | 0xf << 60)
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
