//! Random schemas, and records for any schema: mostly as declared, sometimes with any JSON in a field's place.

use riskweir::base::Currency;
use riskweir::base::time::format_rfc3339;
use riskweir::event::schema::{
    EntityId, EventId, EventType, Field, FieldId, FieldType, MoneyCurrency, MoneyUnit, Pointer,
    Role, Schema, SlotId, TimeUnit,
};
use serde_json::{Map, Value, json};

use crate::support::dice::Dice;

/// A record of some event type of a schema.
pub(crate) struct Record {
    /// As it is sent.
    pub(crate) text: String,
    /// Whether every field has a value that its declaration allows.
    pub(crate) as_declared: bool,
}

const START_MS: i64 = 1_767_225_600_000;
const POINTERS: [&str; 10] =
    ["/a", "/b", "/c/d", "/c/e", "/list/0", "/list/1/x", "/a~1b", "/m~0n", "/deep/er/still", "/"];
const TEXTS: [&str; 8] = ["x", "card-1", "naïve", "a b", "😀", "q\"\\\u{1}", "0", "true"];
/// Numbers that `serde_json` cannot hold as they are written.
const NUMBERS: [&str; 12] = [
    "0",
    "-0",
    "-0.0",
    "1e2",
    "1e999",
    "0.1",
    "12.505",
    "-3.5",
    "9223372036854775807",
    "9223372036854775808",
    "9999999999999999999999999999999999999999",
    "1e-400",
];
/// What stands before a number that is written as it is.
const RAW: &str = "\u{0}#";

pub(crate) fn schema(dice: &mut Dice) -> Schema {
    let n_events = 1 + dice.below(3);
    let events: Vec<EventType> = (0..n_events).map(|index| event(index, n_events, dice)).collect();
    Schema { events, entities: vec!["thing".into()], roles: Vec::new(), ..Schema::default() }
}

fn event(index: u64, n_events: u64, dice: &mut Dice) -> EventType {
    let unit = dice.pick(&[TimeUnit::Iso, TimeUnit::Seconds, TimeUnit::Millis, TimeUnit::Hours]);
    let mut fields = vec![
        field("id", Role::Id, FieldType::Text, &["/id"], 0),
        field("at", Role::Time, FieldType::Time { unit }, &["/at"], 1),
    ];
    let mut slot = 2;
    for name in 0..dice.below(9) {
        let mut ty = field_type(dice);
        let width = if two_slots(&mut ty, slot) { 2 } else { 1 };
        let n_pointers = if ty == FieldType::Geo { 2 } else { 1 + dice.below(2) };
        let from: Vec<&str> = (0..n_pointers).map(|_| dice.pick(&POINTERS)).collect();
        let role = dice.pick(&[Role::Plain, Role::Plain, Role::Key]);
        let mut field = field(&format!("f{name}"), role, ty, &from, slot);
        field.optional = dice.one_in(2);
        fields.push(field);
        slot += width;
    }
    let alone = n_events == 1 && dice.one_in(2);
    EventType {
        name: format!("e{index}"),
        topic: Some("t".into()),
        discriminator: (!alone).then(|| (pointer("/kind"), index.to_string())),
        fields,
        id: FieldId(0),
        time: FieldId(1),
        n_slots: slot,
        labels: None,
        answers: None,
    }
}

/// Whether the type has a second slot, which is told to it.
fn two_slots(ty: &mut FieldType, slot: u16) -> bool {
    match ty {
        FieldType::Money { currency: MoneyCurrency::At(_, second), .. } => {
            *second = SlotId(slot + 1);
            true
        }
        FieldType::Geo => true,
        _ => false,
    }
}

fn field(name: &str, role: Role, ty: FieldType, from: &[&str], slot: u16) -> Field {
    let from = from.iter().map(|text| pointer(text)).collect();
    let (name, slot) = (name.to_owned(), SlotId(slot));
    Field { name, role, ty, optional: false, from, slot, sensitive: None, tokenized: false }
}

fn pointer(text: &str) -> Pointer {
    let unescaped = |part: &str| part.replace("~1", "/").replace("~0", "~");
    Pointer(text.split('/').skip(1).map(unescaped).collect())
}

fn field_type(dice: &mut Dice) -> FieldType {
    let unit = if dice.one_in(2) { MoneyUnit::Major } else { MoneyUnit::Minor };
    match dice.below(13) {
        0 => FieldType::Number,
        1 => FieldType::Integer,
        2 => FieldType::Text,
        3 => FieldType::Bool,
        4 => FieldType::Country,
        5 => FieldType::CurrencyCode,
        6 => FieldType::Ip,
        7 => FieldType::Geo,
        8 => FieldType::Time { unit: dice.pick(&[TimeUnit::Iso, TimeUnit::Minutes]) },
        9 => FieldType::Entity(EntityId(0)),
        10 => FieldType::OneOf(vec!["one".into(), "two".into(), String::new()]),
        11 => {
            FieldType::Money { currency: MoneyCurrency::At(pointer("/currency"), SlotId(0)), unit }
        }
        _ => {
            let code = Currency::parse(dice.pick(&["EUR", "JPY", "BHD"])).expect("a currency");
            FieldType::Money { currency: MoneyCurrency::Fixed(code), unit }
        }
    }
}

/// A record: members in any order, with others among them.
pub(crate) fn record(schema: &Schema, dice: &mut Dice) -> Record {
    let index = dice.below(schema.events.len() as u64);
    let event = schema.event(EventId(u16::try_from(index).expect("few events")));
    let mut draft = Draft { root: json!({}), as_declared: true };
    let hostile = dice.one_in(3);
    if dice.one_in(4) {
        draft.put(&pointer("/unread"), any_json(dice, 2));
    }
    for field in &event.fields {
        if field.optional && dice.one_in(4) {
            continue;
        }
        if hostile && dice.one_in(4) {
            draft.as_declared = false;
            let value = any_json(dice, 3);
            field.from.first().into_iter().for_each(|from| draft.put(from, value.clone()));
            continue;
        }
        draft.fill(field, dice);
    }
    if let Some((pointer, wanted)) = &event.discriminator {
        draft.put(pointer, Value::String(wanted.clone()));
    }
    // What one field wrote another may have written over: then only the first event that fits is certain.
    let as_declared = draft.as_declared && apart(event) && !hostile;
    Record { text: written(&draft.root), as_declared }
}

/// Whether no two fields of the event look at one place or into each other's.
fn apart(event: &EventType) -> bool {
    let mut all: Vec<&Pointer> = event.fields.iter().flat_map(|field| &field.from).collect();
    all.extend(event.discriminator.iter().map(|(pointer, _)| pointer));
    let into = |a: &Pointer, b: &Pointer| b.0.starts_with(&a.0);
    let clash =
        |(index, a): (usize, &&Pointer)| all[index + 1..].iter().any(|b| into(a, b) || into(b, a));
    !all.iter().enumerate().any(clash)
}

/// JSON text; numbers that were given as text are written as they are.
fn written(value: &Value) -> String {
    let mut text = value.to_string();
    for number in NUMBERS {
        text = text.replace(&format!("\"\\u0000#{number}\""), number);
    }
    text
}

struct Draft {
    root: Value,
    as_declared: bool,
}

impl Draft {
    fn put(&mut self, pointer: &Pointer, value: Value) {
        let mut place = &mut self.root;
        for name in &pointer.0 {
            let index = name.parse::<usize>().ok().filter(|index| *index < 4);
            if let (Value::Array(items), Some(index)) = (&*place, index)
                && items.len() <= index
            {
                let Value::Array(items) = place else { return };
                items.resize(index + 1, Value::Null);
            } else if !matches!(place, Value::Object(_) | Value::Array(_))
                || index.is_none() != place.is_object()
            {
                *place = if index.is_some() {
                    Value::Array(Vec::new())
                } else {
                    Value::Object(Map::new())
                };
            }
            place = match (place, index) {
                (Value::Array(items), Some(index)) => {
                    items.resize(items.len().max(index + 1), Value::Null);
                    &mut items[index]
                }
                (Value::Object(members), _) => members.entry(name.clone()).or_insert(Value::Null),
                _ => return,
            };
        }
        *place = value;
    }

    /// A value as the field declares it, at one of its places.
    fn fill(&mut self, field: &Field, dice: &mut Dice) {
        if let FieldType::Money { currency: MoneyCurrency::At(at, _), .. } = &field.ty {
            self.put(at, json!(dice.pick(&["EUR", "USD", "JPY", "BHD"])));
        }
        if field.ty == FieldType::Geo {
            let (latitude, longitude) = dice.pick(&[(52.5, 13.4), (-90.0, 180.0), (0.0, -0.5)]);
            for (pointer, degrees) in field.from.iter().zip([latitude, longitude]) {
                self.put(pointer, json!(degrees));
            }
            return;
        }
        let value = declared(field, dice);
        let at = if dice.one_in(3) { field.from.last() } else { field.from.first() };
        if let Some(pointer) = at {
            self.put(pointer, value);
        }
    }
}

fn declared(field: &Field, dice: &mut Dice) -> Value {
    match &field.ty {
        FieldType::Number => json!(dice.pick(&[0.0, 1.5, -2.25, 1e9])),
        FieldType::Integer => json!(dice.pick(&[0_i64, 1, 7, -3, i64::MAX, i64::MIN])),
        FieldType::Bool => json!(dice.one_in(2)),
        FieldType::Country => json!(dice.pick(&["DE", "FR", "XK"])),
        FieldType::CurrencyCode => json!(dice.pick(&["EUR", "JPY", "CLF"])),
        FieldType::Ip => json!(dice.pick(&["10.0.0.1", "::1", "::ffff:1.2.3.4", "2001:DB8::0:1"])),
        FieldType::Time { unit } => time(*unit, dice),
        FieldType::OneOf(members) => json!(dice.pick(members)),
        FieldType::Money { .. } => {
            dice.pick(&[json!(1), json!("250"), json!(-3), json!("10.0"), json!(0)])
        }
        FieldType::Entity(_) if dice.one_in(4) => json!(dice.below(5)),
        FieldType::Text | FieldType::Entity(_) | FieldType::Geo => json!(dice.pick(&TEXTS)),
    }
}

fn time(unit: TimeUnit, dice: &mut Dice) -> Value {
    let ms = START_MS + i64::try_from(dice.below(256)).unwrap_or(0) * dice.pick(&[1, 700, 60_000]);
    match unit.ms() {
        None => json!(format_rfc3339(ms)),
        Some(unit_ms) => json!(ms / unit_ms),
    }
}

fn any_json(dice: &mut Dice, depth: u32) -> Value {
    match dice.below(if depth == 0 { 6 } else { 8 }) {
        0 => Value::Null,
        1 => json!(dice.one_in(2)),
        2 | 3 => json!(format!("{RAW}{}", dice.pick(&NUMBERS))),
        4 => json!(dice.pick(&TEXTS)),
        5 => {
            json!(dice.pick(&["", "DE", "EUR", "1.50", "1e400", "-", "2026-02-30T00:00:00Z", "::"]))
        }
        6 => (0..dice.below(4)).map(|_| any_json(dice, depth - 1)).collect(),
        _ => {
            let member =
                |dice: &mut Dice| (dice.pick(&TEXTS).to_owned(), any_json(dice, depth - 1));
            Value::Object((0..dice.below(4)).map(|_| member(dice)).collect())
        }
    }
}
