//! Digests of decoded events, for recognising duplicates.
//!
//! The digest of a body covers what the schema reads and nothing else: the order of keys, spaces, escapes and unmapped keys
//! have no effect. Digests are 64 bits and unkeyed: fit for finding honest repetitions, not for proving anything against
//! somebody who can write events at will.

use xxhash_rust::xxh3::xxh3_64;

use crate::base::TextRef;
use crate::event::row::Row;
use crate::event::schema::{EventType, Field, FieldType, MoneyCurrency, SlotId};

/// How the events of one type are digested: prepared once, because nothing of it changes from event to event.
#[derive(Clone, Debug)]
pub struct Digester {
    /// The digest of the type's name, with which each digest begins.
    seed: u64,
    id: Part,
    parts: Vec<Part>,
}

/// One field of an event.
#[derive(Clone, Copy, Debug)]
enum Part {
    Text(SlotId),
    Word(SlotId),
    /// Two slots of which the first tells whether both are there.
    Words(SlotId, SlotId),
}

impl Digester {
    /// The digester of an event type.
    pub fn new(event: &EventType) -> Self {
        Self {
            seed: xxh3_64(event.name.as_bytes()),
            id: Part::of(event.field(event.id)),
            parts: event.fields.iter().map(Part::of).collect(),
        }
    }

    /// The digest of all mapped fields: equal for two records of the same type that say the same.
    ///
    /// # Cost
    /// One short hash per present text, one multiplication per other value.
    pub fn body(&self, row: &Row, raw: &[u8]) -> u64 {
        // The mask first: then the list of parts is read in one way only.
        let [low, high] = halves(row.present);
        let seed = mix(mix(self.seed, low), high);
        self.parts.iter().fold(seed, |digest, part| part.add_to(digest, row, raw))
    }

    /// The digest of the id, apart for each event type.
    pub fn id(&self, row: &Row, raw: &[u8]) -> u64 {
        self.id.add_to(self.seed, row, raw)
    }

    /// The digest of the id of an event of this type that another one names.
    pub fn id_of(&self, text: &[u8]) -> u64 {
        mix(self.seed, xxh3_64(text))
    }
}

impl Part {
    fn of(field: &Field) -> Self {
        match &field.ty {
            FieldType::Text | FieldType::Ip | FieldType::Entity(_) => Self::Text(field.slot),
            FieldType::Money { currency: MoneyCurrency::At(_, slot), .. } => {
                Self::Words(field.slot, *slot)
            }
            FieldType::Geo => Self::Words(field.slot, SlotId(field.slot.0 + 1)),
            _ => Self::Word(field.slot),
        }
    }

    #[inline]
    fn add_to(self, digest: u64, row: &Row, raw: &[u8]) -> u64 {
        let (Self::Text(slot) | Self::Word(slot) | Self::Words(slot, _)) = self;
        let Some(word) = row.get(slot) else { return digest };
        match self {
            Self::Text(_) => mix(digest, xxh3_64(row.text(raw, TextRef(word)))),
            Self::Word(_) => mix(digest, word),
            Self::Words(_, second) => {
                let digest = mix(digest, word);
                row.get(second).map_or(digest, |word| mix(digest, word))
            }
        }
    }
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
