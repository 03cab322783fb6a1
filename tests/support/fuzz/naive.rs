//! What a decoder answered against `serde_json` and plain look-ups: the reference of the targets that decode records.
//!
//! It says nothing where it does not know better: numbers that `serde_json` keeps as binary fractions are compared
//! roughly, refusals of single values are believed.

use riskweir::base::TextRef;
use riskweir::base::value::Place;
use riskweir::event::schema::{
    EventType, Field, FieldType, MoneyCurrency, MoneyUnit, Pointer, Schema, SlotId, TimeUnit,
};
use riskweir::event::{DecodeError, Reason, Row};
use serde_json::Value;

/// Compares an answer about a JSON record, for which the events of `wanted` came into question.
pub(crate) fn compare(
    schema: &Schema,
    wanted: impl Fn(&EventType) -> bool,
    (raw, row): (&[u8], &Row),
    answer: &Result<(), DecodeError>,
) {
    let parsed: Result<Value, serde_json::Error> = serde_json::from_slice(raw);
    let fits = |event: &EventType, value: &Value| wanted(event) && fits(schema, event, value);
    match (answer, parsed) {
        (Ok(()), Err(error)) => {
            assert!(error.to_string().starts_with("number out of range"), "taken: {error}");
        }
        (Ok(()), Ok(value)) => {
            let first = schema.events.iter().position(|event| fits(event, &value));
            assert_eq!(first, Some(usize::from(row.event)), "the first event that fits");
            let event = schema.event(row.event());
            event.fields.iter().for_each(|field| field_agrees(field, &value, (raw, row)));
        }
        (Err(error), parsed) => refusal_agrees(schema, error, parsed.ok().as_ref(), fits),
    }
}

fn refusal_agrees(
    schema: &Schema,
    error: &DecodeError,
    value: Option<&Value>,
    fits: impl Fn(&EventType, &Value) -> bool,
) {
    match (error.reason, value) {
        (Reason::Empty | Reason::InvalidUtf8 | Reason::Bom | Reason::InvalidJson, Some(value)) => {
            panic!("refused as {:?}: {value}", error.reason)
        }
        (Reason::NotAnObject, Some(value)) => assert!(!value.is_object(), "{value}"),
        (Reason::UnknownEvent, Some(value)) => {
            assert!(!schema.events.iter().any(|event| fits(event, value)), "{value}");
        }
        (Reason::MissingField, Some(value)) => {
            let named = error.field.as_deref().expect("a missing field has a name");
            let (event, name) = named.split_once('.').expect("`event.field`");
            let event = schema.events.iter().find(|known| known.name == event).expect(named);
            let field = event.fields.iter().find(|field| field.name == name).expect(named);
            assert!(!field.optional, "{named} is optional");
            let found = match field.ty {
                FieldType::Geo => field.from.iter().all(|pointer| at(value, pointer).is_some()),
                _ => first(field, value).is_some(),
            };
            assert!(!found, "{named} is there: {value}");
        }
        _ => {}
    }
}

fn fits(schema: &Schema, event: &EventType, value: &Value) -> bool {
    match &event.discriminator {
        None => schema.events.len() == 1,
        Some((pointer, wanted)) => match at(value, pointer) {
            Some(Value::String(text)) => text == wanted,
            Some(Value::Number(number)) => integer_text(number).as_ref() == Some(wanted),
            _ => false,
        },
    }
}

/// What stands at a pointer, unless `null`.
fn at<'v>(value: &'v Value, pointer: &Pointer) -> Option<&'v Value> {
    let step = |value: &'v Value, name: &String| match value {
        Value::Object(members) => members.get(name),
        Value::Array(items) => {
            let plain = name == "0" || !name.starts_with(['0', '+']);
            name.parse().ok().filter(|_| plain).and_then(|index: usize| items.get(index))
        }
        _ => None,
    };
    pointer.0.iter().try_fold(value, step).filter(|value| !value.is_null())
}

fn first<'v>(field: &Field, value: &'v Value) -> Option<&'v Value> {
    field.from.iter().find_map(|pointer| at(value, pointer))
}

/// The text of a number that is a whole one of 64 bits.
fn integer_text(number: &serde_json::Number) -> Option<String> {
    (number.is_i64() || number.is_u64()).then(|| number.to_string())
}

fn text_of<'t>(slot: SlotId, raw: &'t [u8], row: &'t Row) -> &'t str {
    let text = TextRef(row.get(slot).expect("a text"));
    let buffer = if text.place() == Place::Raw { raw } else { &row.arena };
    let bytes = buffer.get(text.range()).expect("a text lies inside of its buffer");
    core::str::from_utf8(bytes).expect("a text is UTF-8")
}

fn field_agrees(field: &Field, value: &Value, (raw, row): (&[u8], &Row)) {
    if field.ty == FieldType::Geo {
        return geo_agrees(field, value, row);
    }
    let Some(found) = first(field, value) else {
        assert!(field.optional, "`{}` is required and absent", field.name);
        assert_eq!(row.get(field.slot), None, "`{}`", field.name);
        return;
    };
    let word = row.get(field.slot).unwrap_or_else(|| panic!("`{}` was {found}", field.name));
    let number = word.cast_signed();
    match (&field.ty, found) {
        (FieldType::Text | FieldType::Entity(_), Value::String(text)) => {
            assert_eq!(text_of(field.slot, raw, row), text);
        }
        (FieldType::Entity(_), Value::Number(found)) => {
            if let Some(text) = integer_text(found) {
                assert_eq!(text_of(field.slot, raw, row), text);
            }
        }
        (FieldType::Ip, Value::String(text)) => {
            let address: core::net::IpAddr = text.parse().expect("an address");
            assert_eq!(text_of(field.slot, raw, row), address.to_canonical().to_string());
        }
        (FieldType::Bool, Value::Bool(truth)) => assert_eq!(word, u64::from(*truth)),
        (FieldType::Integer, Value::Number(found)) => {
            // `-0` is whole for us and a fraction for `serde_json`.
            let expected = found.as_i64().or((found.as_f64() == Some(0.0)).then_some(0));
            assert_eq!(Some(number), expected, "{found}");
        }
        (FieldType::Number, Value::Number(found)) => about(f64::from_bits(word), found.as_f64()),
        (FieldType::OneOf(members), Value::String(text)) => {
            let expected = members.iter().position(|member| member == text);
            assert_eq!(usize::try_from(word).ok(), expected, "{text}");
        }
        (FieldType::Country | FieldType::CurrencyCode, Value::String(text)) => {
            assert!(text.bytes().all(|letter| letter.is_ascii_uppercase()), "{text}");
            assert_eq!(word, packed(text));
        }
        (FieldType::Time { unit }, found) => time_agrees(*unit, found, number),
        (FieldType::Money { currency, unit }, found) => {
            let code = match currency {
                MoneyCurrency::Fixed(code) => code.0,
                MoneyCurrency::At(pointer, slot) => {
                    let text = at(value, pointer).and_then(Value::as_str).expect("a currency");
                    assert_eq!(row.get(*slot), Some(packed(text)));
                    u32::try_from(packed(text)).expect("three letters")
                }
            };
            let digits = riskweir::base::Currency(code).minor_digits();
            money_agrees(found, if *unit == MoneyUnit::Minor { 0 } else { digits }, number);
        }
        (ty, found) => panic!("{found} was taken for {ty:?}"),
    }
}

fn packed(letters: &str) -> u64 {
    letters.bytes().fold(0, |word, letter| word << 8 | u64::from(letter))
}

#[track_caller]
fn about(ours: f64, theirs: Option<f64>) {
    let theirs = theirs.expect("a number");
    assert!(ours.is_finite());
    assert!((ours - theirs).abs() <= theirs.abs() * 1e-14, "{ours} for {theirs}");
}

fn geo_agrees(field: &Field, value: &Value, row: &Row) {
    let pair = field.from.chunks_exact(2).find_map(|pair| {
        let (latitude, longitude) = (at(value, &pair[0]), at(value, &pair[1]));
        (latitude.is_some() || longitude.is_some()).then_some((latitude, longitude))
    });
    let slots = (row.get(field.slot), row.get(SlotId(field.slot.0 + 1)));
    match pair {
        None => {
            assert!(field.optional && slots == (None, None), "`{}`: {slots:?}", field.name);
        }
        Some((latitude, longitude)) => {
            let [a, b] = [slots.0, slots.1].map(|word| f64::from_bits(word.expect("a coordinate")));
            about(a, latitude.and_then(Value::as_f64));
            about(b, longitude.and_then(Value::as_f64));
            assert!(a.abs() <= 90.0 && b.abs() <= 180.0);
        }
    }
}

fn time_agrees(unit: TimeUnit, found: &Value, ms: i64) {
    match (unit.ms(), found) {
        (Some(unit_ms), Value::Number(number)) => {
            let expected = number.as_i64().or((number.as_f64() == Some(0.0)).then_some(0));
            assert_eq!(expected.and_then(|n| n.checked_mul(unit_ms)), Some(ms), "{number}");
        }
        (None, Value::String(text)) => {
            let iso: Result<jiff::Timestamp, _> = text.to_uppercase().replace(' ', "T").parse();
            // A leap second is a matter of taste; the rest is not.
            if let Ok(instant) = iso
                && !text.contains(":60")
            {
                assert_eq!(instant.as_nanosecond().div_euclid(1_000_000), i128::from(ms), "{text}");
            }
        }
        (_, found) => panic!("{found} was taken for a time"),
    }
}

fn money_agrees(found: &Value, digits: u8, minor: i64) {
    let exact = match found {
        Value::String(text) => scaled(text, digits),
        Value::Number(number) => {
            let rough = number.as_f64().expect("a number") * 10_f64.powi(i32::from(digits));
            #[expect(clippy::cast_precision_loss, reason = "a rough comparison")]
            let ours = minor as f64;
            assert!((ours - rough).abs() <= rough.abs() * 1e-12 + 1e-6, "{minor} for {number}");
            integer_text(number).and_then(|text| scaled(&text, digits))
        }
        found => panic!("{found} was taken for money"),
    };
    if let Some(exact) = exact {
        assert_eq!(exact, i128::from(minor), "{found}");
    }
}

/// A decimal text in units of `10^-digits`, unless it is too long to be easy.
fn scaled(text: &str, digits: u8) -> Option<i128> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let figures: String = [whole, fraction].concat();
    if figures.len() > 25 {
        return None;
    }
    let significand: i128 = figures.parse().expect("money is a decimal number");
    let exponent: i64 = exponent.parse().ok()?;
    let shift = exponent + i64::from(digits) - i64::try_from(fraction.len()).ok()?;
    let power = 10_i128.checked_pow(u32::try_from(shift.unsigned_abs()).ok()?)?;
    if shift >= 0 {
        return significand.checked_mul(power);
    }
    assert_eq!(significand % power, 0, "`{text}` is finer than {digits} digits");
    Some(significand / power)
}
