//! Digests of decoded events, for recognising duplicates.
//!
//! The digest of a body covers what the schema reads and nothing else: the order of keys, spaces, escapes and unmapped keys
//! have no effect. Digests are 64 bits and unkeyed: fit for finding honest repetitions, not for proving anything against
//! somebody who can write events at will.

use xxhash_rust::xxh3::xxh3_64;

use crate::base::TextRef;
use crate::event::row::Row;
use crate::event::schema::{EventType, Field, FieldType, MoneyCurrency, SlotId};

/// The digest of all mapped fields: equal for two records of the same type that say the same.
///
/// # Cost
/// One short hash per present text, one multiplication per other value.
pub fn body_digest(event: &EventType, row: &Row, raw: &[u8]) -> u64 {
    // The mask first: then the list of parts is read in one way only.
    let [low, high] = halves(row.present);
    let seed = mix(mix(xxh3_64(event.name.as_bytes()), low), high);
    event.fields.iter().fold(seed, |digest, field| add_field(digest, field, row, raw))
}

/// The digest of the id, apart for each event type.
pub fn id_digest(event: &EventType, row: &Row, raw: &[u8]) -> u64 {
    add_field(xxh3_64(event.name.as_bytes()), event.field(event.id), row, raw)
}

fn add_field(digest: u64, field: &Field, row: &Row, raw: &[u8]) -> u64 {
    let Some(word) = row.get(field.slot) else { return digest };
    let second = match &field.ty {
        FieldType::Text | FieldType::Ip | FieldType::Entity(_) => {
            return mix(digest, xxh3_64(row.text(raw, TextRef(word))));
        }
        FieldType::Money { currency: MoneyCurrency::At(_, slot), .. } => row.get(*slot),
        FieldType::Geo => row.get(SlotId(field.slot.0 + 1)),
        _ => None,
    };
    let digest = mix(digest, word);
    second.map_or(digest, |word| mix(digest, word))
}

/// Adds a word to a digest: a folded multiplication, whose order matters.
#[inline]
fn mix(digest: u64, word: u64) -> u64 {
    let a = u128::from(digest ^ 0x9e37_79b9_7f4a_7c15);
    let b = u128::from(word ^ 0xd6e8_feb8_6659_fd93);
    let [low, high] = halves(a * b);
    (low ^ high).wrapping_add(digest.rotate_left(17))
}

#[inline]
fn halves(wide: u128) -> [u64; 2] {
    let low = u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0);
    let high = u64::try_from(wide >> 64).unwrap_or(0);
    [low, high]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_mix_without_collisions_among_small_numbers_in_any_order() {
        let mut digests = HashSet::new();
        for a in 0..300_u64 {
            for b in 0..300_u64 {
                digests.insert(mix(mix(7, a), b));
            }
        }
        assert_eq!(digests.len(), 300 * 300);
    }
}
