//! What somebody may mean by a name that is no field: help in the words that the rule set has for it.

use crate::event::schema::{EventId, FieldType, MoneyCurrency};
use crate::rules::check::world::World;
use crate::rules::program::Type;

/// How people write small numbers.
const DIGITS: [&str; 13] = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
];

/// How to say what is meant, where that can be told.
pub(super) fn help(
    world: &World<'_>,
    event: EventId,
    name: &str,
    wanted: Option<Type>,
) -> Option<String> {
    of_currency(world, event, name)
        .or_else(|| of_kind(world, event, name))
        .or_else(|| of_list(world, name))
        .or_else(|| of_number(name))
        .or_else(|| of_country(name, wanted))
}

/// `amount.currency`: where a record says it, it is a field like any other.
fn of_currency(world: &World<'_>, event: EventId, name: &str) -> Option<String> {
    if name.rsplit('.').next() != Some("currency") {
        return None;
    }
    let event = world.schema.event(event);
    let mut amounts = event.fields.iter().filter_map(|field| match &field.ty {
        FieldType::Money { currency, .. } => Some((&field.name, currency)),
        _ => None,
    });
    let (amount, currency) = amounts.next()?;
    Some(match currency {
        MoneyCurrency::At(pointer, _) => format!(
            "declare it beside `{amount}` in the event: `field currency : currency from \"{pointer}\"`"
        ),
        MoneyCurrency::Fixed(currency) => {
            format!("`{amount}` is always in {currency}, as its declaration says")
        }
    })
}

/// The name of a kind of entity in place of a field of that kind.
fn of_kind(world: &World<'_>, event: EventId, name: &str) -> Option<String> {
    let schema = world.schema;
    let is_of_kind = |ty: &FieldType| match ty {
        FieldType::Entity(kind) => {
            schema.entities.get(usize::from(kind.0)).is_some_and(|entity| entity == name)
        }
        _ => false,
    };
    let fields = schema.event(event).fields.iter().filter(|field| is_of_kind(&field.ty));
    let fields: Vec<String> = fields.map(|field| format!("`{}`", field.name)).collect();
    (!fields.is_empty())
        .then(|| format!("`{name}` is what {} can be: write which one", fields.join(" or ")))
}

/// A list that gives values, without the member that is asked for.
fn of_list(world: &World<'_>, name: &str) -> Option<String> {
    let list = world.lists.iter().find(|list| list.name == name)?;
    Some(match &list.gives {
        Some(_) => {
            format!("`{name}` gives a value for each member: ask it as in `{name}(country)`")
        }
        None => format!("`{name}` is a list: ask it as in `device in {name}`"),
    })
}

fn of_number(name: &str) -> Option<String> {
    let number = DIGITS.iter().position(|word| name.eq_ignore_ascii_case(word))?;
    Some(format!("numbers are written in digits: `{number}`"))
}

fn of_country(name: &str, wanted: Option<Type>) -> Option<String> {
    (wanted == Some(Type::Country) && name.len() > 2)
        .then(|| "a country is written by its two letters, as in `DE`".to_owned())
}
