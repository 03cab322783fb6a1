//! From where in a record the values come that state is made of. Names alone make no state the same in another rule set: a
//! field of the same name may read another member of the record by then.

use std::collections::BTreeSet;

use crate::base::Digest;
use crate::event::schema::{EventId, EventType, Field};
use crate::rules::program::{NodeId, Program, TablePlan};
use crate::rules::reads;

/// Digits of a digest that an identity shows, in hexadecimal.
const DIGEST_DIGITS: usize = 12;

/// How the fields behind values of an event type are read, a line each: theirs, and those of events whose windows they ask;
/// and of each such event what it is known by and how its time is read, because windows are cut by it.
///
/// # Cost
/// Linear in the nodes behind the values.
pub fn of_values(program: &Program, event: EventId, nodes: &[NodeId]) -> BTreeSet<String> {
    let mut lines = of_event(program.schema.event(event));
    for (of, field) in reads::fields_behind(program, event, nodes) {
        let of = program.schema.event(of);
        lines.extend(of_event(of));
        let field = of.field(field);
        lines.insert(format!("{}.{}: {}", of.name, field.name, field.read()));
    }
    lines
}

/// What tells that a record is of this type, and how its time is read.
pub fn of_event(event: &EventType) -> BTreeSet<String> {
    let when =
        event.discriminator.as_ref().map(|(at, is)| format!("{} when {at} = {is:?}", event.name));
    let time = event.field(event.time);
    let time = format!("{}.{}: {}", event.name, time.name, time.read());
    when.into_iter().chain([time]).collect()
}

/// How the keys of a table are read, in their order.
pub fn of_keys(program: &Program, table: &TablePlan) -> Vec<String> {
    let event = program.schema.event(table.event);
    let read = |slot| event.fields.iter().find(|field| field.slot == slot).map(Field::read);
    table.keys.iter().map(|slot| read(*slot).unwrap_or_default()).collect()
}

/// A short name of all of them, for an identity.
pub fn short(lines: &BTreeSet<String>) -> String {
    let parts: Vec<&[u8]> = lines.iter().map(String::as_bytes).collect();
    Digest::of_parts(&parts).hex().chars().take(DIGEST_DIGITS).collect()
}
