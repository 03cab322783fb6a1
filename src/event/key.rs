//! Keys of state: who an event is about, and what beside it, as one word of 128 bits.
//!
//! A key of one text is that text; of several parts it is their digest ([`EntityKey::combine`]). Parts that are no texts are
//! equal where their values are: an amount is its minor units with its currency, whatever exchange rates say.

use crate::base::{Currency, EntityKey};
use crate::event::row::Row;
use crate::event::schema::{EventType, FieldType, MoneyCurrency, SlotId};

/// One part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// A slot whose word refers to a text.
    Text(SlotId),
    /// A slot whose word is the value.
    Word(SlotId),
    /// An amount: its minor units, and its currency or where that stands. Equal are amounts of one currency only.
    Money(SlotId, Result<Currency, SlotId>),
}

/// How the key in these slots is read.
pub fn key_parts(event: &EventType, slots: &[SlotId]) -> Vec<KeyPart> {
    let part = |slot: &SlotId| {
        let field = event.fields.iter().find(|field| field.slot == *slot);
        match field.map(|field| &field.ty) {
            Some(FieldType::Text | FieldType::Ip | FieldType::Entity(_)) => KeyPart::Text(*slot),
            Some(FieldType::Money { currency: MoneyCurrency::Fixed(fixed), .. }) => {
                KeyPart::Money(*slot, Ok(*fixed))
            }
            Some(FieldType::Money { currency: MoneyCurrency::At(_, code), .. }) => {
                KeyPart::Money(*slot, Err(*code))
            }
            _ => KeyPart::Word(*slot),
        }
    };
    slots.iter().map(part).collect()
}

/// The state key of a row: all parts present, in order.
pub fn key_of(row: &Row, raw: &[u8], parts: &[KeyPart]) -> Option<EntityKey> {
    let key = |part: &KeyPart| match part {
        KeyPart::Text(slot) => row.key(raw, *slot),
        KeyPart::Word(slot) => row.get(*slot).map(|word| EntityKey(u128::from(word))),
        KeyPart::Money(slot, currency) => {
            let code = match currency {
                Ok(fixed) => u64::from(fixed.0),
                Err(at) => row.get(*at)?,
            };
            row.get(*slot).map(|minor| EntityKey(u128::from(code) << 64 | u128::from(minor)))
        }
    };
    match parts {
        [one] => key(one),
        several => {
            let keys: Option<Vec<EntityKey>> = several.iter().map(key).collect();
            keys.map(|keys| EntityKey::combine(&keys))
        }
    }
}
