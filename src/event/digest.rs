//! Digests of decoded events, for recognising duplicates.
//!
//! The digest of a body covers what the schema reads and nothing else: the order of keys, spaces, escapes and unmapped keys
//! have no effect. Digests are 64 bits and unkeyed: fit for finding honest repetitions, not for proving anything against
//! somebody who can write events at will.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::base::TextRef;
use crate::event::row::Row;
use crate::event::schema::{EventType, Field, FieldType, MoneyCurrency, SlotId};

/// The digest of all mapped fields: equal for two records of the same type that say the same.
///
/// # Cost
/// One short hash per present field.
pub fn body_digest(event: &EventType, row: &Row, raw: &[u8]) -> u64 {
    // The mask first: then the list of parts is read in one way only.
    let seed = xxh3_64(event.name.as_bytes());
    let seed = xxh3_64_with_seed(&row.present.to_le_bytes(), seed);
    event.fields.iter().fold(seed, |seed, field| field_digest(field, row, raw, seed))
}

/// The digest of the id, apart for each event type.
pub fn id_digest(event: &EventType, row: &Row, raw: &[u8]) -> u64 {
    field_digest(event.field(event.id), row, raw, xxh3_64(event.name.as_bytes()))
}

fn field_digest(field: &Field, row: &Row, raw: &[u8], seed: u64) -> u64 {
    let Some(word) = row.get(field.slot) else { return seed };
    let second = match &field.ty {
        FieldType::Text | FieldType::Ip | FieldType::Entity(_) => {
            return xxh3_64_with_seed(row.text(raw, TextRef(word)), seed);
        }
        FieldType::Money { currency: MoneyCurrency::At(_, slot), .. } => row.get(*slot),
        FieldType::Geo => row.get(SlotId(field.slot.0 + 1)),
        _ => None,
    };
    let seed = xxh3_64_with_seed(&word.to_le_bytes(), seed);
    second.map_or(seed, |word| xxh3_64_with_seed(&word.to_le_bytes(), seed))
}
