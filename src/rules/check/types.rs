//! Types as people read them, and the types of fields.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::schema::{EventId, Field, FieldId, FieldType, MoneyCurrency, Schema};
use crate::rules::program::Type;

/// The type of a field; money of a varying currency takes the one that is asked for.
pub(super) fn of_field(
    schema: &Schema,
    event: EventId,
    id: FieldId,
    money: crate::base::Currency,
) -> Type {
    match &schema.event(event).field(id).ty {
        FieldType::Money { .. } => Type::Money(money),
        FieldType::Number => Type::Number,
        FieldType::Integer => Type::Integer,
        FieldType::Text => Type::Text,
        FieldType::Bool => Type::Bool,
        FieldType::Country => Type::Country,
        FieldType::CurrencyCode => Type::Currency,
        FieldType::Ip => Type::Ip,
        FieldType::Geo => Type::Geo,
        FieldType::Time { .. } => Type::Time,
        FieldType::Entity(kind) => Type::Entity(*kind),
        FieldType::OneOf(members) => first_enum(schema, members).unwrap_or(Type::Enum(event, id)),
    }
}

/// The first field in schema order with the same members: it stands for all.
fn first_enum(schema: &Schema, wanted: &[String]) -> Option<Type> {
    for (event_index, event) in (0_u16..).zip(&schema.events) {
        for (field_index, field) in (0_u16..).zip(&event.fields) {
            if matches!(&field.ty, FieldType::OneOf(members) if members == wanted) {
                return Some(Type::Enum(EventId(event_index), FieldId(field_index)));
            }
        }
    }
    None
}

/// Gives sets of the same members the order of the first one, so that they are one type however they are written.
pub(super) fn align_sets(schema: &mut Schema) {
    let mut known: BTreeMap<BTreeSet<String>, Vec<String>> = BTreeMap::new();
    for field in schema.events.iter_mut().flat_map(|event| &mut event.fields) {
        if let FieldType::OneOf(members) = &mut field.ty {
            let set: BTreeSet<String> = members.iter().cloned().collect();
            *members = known.entry(set).or_insert_with(|| members.clone()).clone();
        }
    }
}

/// The members of a closed set.
pub(super) fn members(schema: &Schema, event: EventId, field: FieldId) -> &[String] {
    match &schema.event(event).field(field).ty {
        FieldType::OneOf(members) => members,
        _ => &[],
    }
}

/// The fixed currency of a money field.
pub(super) fn fixed_currency(field: &Field) -> Option<crate::base::Currency> {
    match &field.ty {
        FieldType::Money { currency: MoneyCurrency::Fixed(currency), .. } => Some(*currency),
        _ => None,
    }
}

/// A type in words, with its article: "money in EUR", "a `card`", "an integer".
pub(super) fn describe(schema: &Schema, ty: Type) -> String {
    match ty {
        Type::Bool => "true or false".to_owned(),
        Type::Integer => "an integer".to_owned(),
        Type::Number => "a number".to_owned(),
        Type::Money(currency) => format!("money in {currency}"),
        Type::Duration => "a duration".to_owned(),
        Type::Time => "a time".to_owned(),
        Type::Distance => "a distance".to_owned(),
        Type::Speed => "a speed".to_owned(),
        Type::Text => "a text".to_owned(),
        Type::Entity(kind) => {
            let name = schema.entities.get(usize::from(kind.0)).map_or("?", String::as_str);
            let vowel = name.starts_with(['a', 'e', 'i', 'o']);
            format!("{} `{name}`", if vowel { "an" } else { "a" })
        }
        Type::Enum(event, field) => {
            format!("one of [{}]", members(schema, event, field).join(", "))
        }
        Type::Country => "a country".to_owned(),
        Type::Currency => "a currency".to_owned(),
        Type::Ip => "an IP address".to_owned(),
        Type::Geo => "a place".to_owned(),
    }
}

/// Whether a value of this type is a text at run time.
pub(super) fn is_textual(ty: Type) -> bool {
    matches!(ty, Type::Text | Type::Entity(_) | Type::Ip)
}

/// Whether values of this type may be part of a key: those that are exactly equal or not.
pub(super) fn is_key_part(ty: Type) -> bool {
    is_textual(ty)
        || matches!(
            ty,
            Type::Money(_)
                | Type::Integer
                | Type::Country
                | Type::Currency
                | Type::Enum(..)
                | Type::Bool
        )
}

/// Whether a value of this type is a plain number.
pub(super) fn is_numeric(ty: Type) -> bool {
    matches!(ty, Type::Integer | Type::Number)
}

impl Type {
    /// Whether its values have an order.
    pub(crate) fn is_ordered(self) -> bool {
        matches!(
            self,
            Self::Integer
                | Self::Number
                | Self::Money(_)
                | Self::Duration
                | Self::Time
                | Self::Distance
                | Self::Speed
        )
    }
}
