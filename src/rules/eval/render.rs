//! Values and messages as people read them. Whatever comes from a record is neutralised: no control characters, no
//! marks that turn the direction of writing, no card numbers, bounded length.

use std::borrow::Cow;

use crate::base::amount::format_micro;
use crate::base::cards::mask_cards;
use crate::base::rates::NoRate;
use crate::base::time::format_rfc3339;
use crate::base::{Currency, TextRef, Value};
use crate::event::row::Row;
use crate::event::schema::{FieldId, FieldType, MoneyCurrency, SlotId};
use crate::rules::eval::trace::Trace;
use crate::rules::eval::{Host, Run};
use crate::rules::program::{Constant, Message, MessagePart, NodeId, Op, Type};

/// What a missing value prints as.
pub const UNKNOWN: &str = "unknown";

/// Longest text of a record in a message, in characters.
const MAX_TEXT_CHARS: usize = 128;

impl Trace<'_> {
    /// A message with its values.
    pub fn render<H: Host>(&self, run: &mut Run<'_, H>, message: &Message) -> String {
        let mut text = String::new();
        for part in &message.0 {
            match part {
                MessagePart::Text(plain) => text.push_str(&authored(plain)),
                MessagePart::Field(field) => text.push_str(&self.render_field(run, *field)),
                MessagePart::Value(node) => text.push_str(&self.render_node(run, *node)),
            }
        }
        // WHY: a number may stand in two values that a message joins.
        match mask_cards(&text) {
            Cow::Borrowed(_) => text,
            Cow::Owned(masked) => masked,
        }
    }

    /// The value of a node with its unit.
    pub fn render_node<H: Host>(&self, run: &mut Run<'_, H>, node: NodeId) -> String {
        let value = run.value(node);
        let Some(node) = self.node(node) else { return UNKNOWN.to_owned() };
        let text = self.render_value(run, value, node.ty);
        match node.op {
            Op::MoneyField { slot, currency } if value.is_present() => {
                with_original(run.row, text, (slot, currency, node.ty))
            }
            Op::MoneyField { slot, currency } => {
                let why = self.unconverted(run.row, (slot, currency, node.ty));
                why.map_or(text, |why| format!("{UNKNOWN} ({why})"))
            }
            _ => text,
        }
    }

    /// An amount of the record for which there is no exchange rate, and why.
    fn unconverted(
        &self,
        row: &Row,
        (slot, currency, ty): (SlotId, Result<Currency, SlotId>, Type),
    ) -> Option<String> {
        let Type::Money(wanted) = ty else { return None };
        let (own, text) = original(row, (slot, currency))?;
        let Some(rates) = &self.program.rates else {
            return Some(format!("{text}, and there are no exchange rates"));
        };
        let letters = |of: Currency| letters(of.0);
        let day = |ms| {
            let text = format_rfc3339(ms);
            text.strip_suffix("T00:00:00Z").map_or(text.clone(), str::to_owned)
        };
        let why = match rates.lacks(own, wanted, row.time_ms)? {
            NoRate::Unknown(of) => format!("no exchange rate of {}", letters(of)),
            NoRate::NotYet { currency, from_ms } => {
                format!("the first exchange rate of {} is of {}", letters(currency), day(from_ms))
            }
            NoRate::Expired { currency, from_ms, expires_ms } => format!(
                "the last exchange rate of {}, of {}, holds for {}",
                letters(currency),
                day(from_ms),
                duration(expires_ms)
            ),
        };
        Some(format!("{text}, {why}"))
    }

    /// A constant with its unit.
    pub fn render_constant(&self, constant: &Constant, ty: Type) -> String {
        match constant {
            Constant::Bool(value) => value.to_string(),
            Constant::Int(int) => whole(*int, ty),
            Constant::Number(number) => measure(*number, ty),
            Constant::Money(micro) => money(*micro, ty),
            Constant::Text(text) => format!("\"{}\"", neutralized(text, MAX_TEXT_CHARS)),
            Constant::Code(code) => self.code(*code, ty),
        }
    }

    /// A value of a type with its unit.
    pub fn render_value<H>(&self, run: &Run<'_, H>, value: Value, ty: Type) -> String {
        match value {
            Value::Missing => UNKNOWN.to_owned(),
            Value::Bool(value) => value.to_string(),
            Value::Int(int) => whole(int, ty),
            Value::Number(number) => measure(number, ty),
            Value::Money(micro) => money(micro, ty),
            Value::Text(text) => record_text(run, text),
            Value::Tag(tag) => match tag.text() {
                Some(text) => neutralized(&text, MAX_TEXT_CHARS),
                None => format!("#{:016x}", tag.0),
            },
            Value::Code(code) => self.code(code, ty),
            Value::Geo(lat, lon) => place(lat, lon),
        }
    }

    /// A field as it came: money in its own currency.
    fn render_field<H>(&self, run: &Run<'_, H>, field: FieldId) -> String {
        let event = self.program.schema.events.get(usize::from(self.event.0));
        let field = event.and_then(|event| event.fields.get(usize::from(field.0)));
        let Some((field, word)) = field.and_then(|field| Some((field, run.row.get(field.slot)?)))
        else {
            return UNKNOWN.to_owned();
        };
        let code = || u32::try_from(word).unwrap_or(0);
        match &field.ty {
            FieldType::Money { currency, .. } => {
                let currency = match currency {
                    MoneyCurrency::Fixed(currency) => Some(*currency),
                    MoneyCurrency::At(_, slot) => {
                        let code = run.row.get(*slot).and_then(|code| u32::try_from(code).ok());
                        code.map(Currency)
                    }
                };
                let micro = i128::from(word.cast_signed()) * crate::base::MICRO_PER_MINOR;
                currency.map_or_else(|| UNKNOWN.to_owned(), |c| money(micro, Type::Money(c)))
            }
            FieldType::Number => measure(f64::from_bits(word), Type::Number),
            FieldType::Integer => whole(word.cast_signed(), Type::Integer),
            FieldType::Time { .. } => whole(word.cast_signed(), Type::Time),
            FieldType::Text | FieldType::Ip | FieldType::Entity(_) => {
                record_text(run, TextRef(word))
            }
            FieldType::Bool => (word != 0).to_string(),
            FieldType::Country | FieldType::CurrencyCode => letters(code()),
            FieldType::OneOf(members) => {
                members.get(code() as usize).cloned().unwrap_or_else(|| UNKNOWN.to_owned())
            }
            FieldType::Geo => {
                let second = crate::event::schema::SlotId(field.slot.0 + 1);
                let lon = run.row.get(second).map_or(f64::NAN, f64::from_bits);
                place(f64::from_bits(word), lon)
            }
        }
    }

    fn code(&self, code: u32, ty: Type) -> String {
        let Type::Enum(event, field) = ty else { return letters(code) };
        let event = self.program.schema.events.get(usize::from(event.0));
        let field = event.and_then(|event| event.fields.get(usize::from(field.0)));
        match field.map(|field| &field.ty) {
            Some(FieldType::OneOf(members)) => {
                members.get(code as usize).cloned().unwrap_or_else(|| UNKNOWN.to_owned())
            }
            _ => UNKNOWN.to_owned(),
        }
    }
}

/// A text without control characters and without marks that turn the direction of writing, at most so long.
pub fn neutralized(text: &str, max_chars: usize) -> String {
    let mut clean = String::with_capacity(text.len().min(max_chars));
    for (index, letter) in text.chars().enumerate() {
        if index == max_chars {
            clean.push('…');
            break;
        }
        clean.push(if is_harmful(letter) { '\u{fffd}' } else { letter });
    }
    clean
}

/// What the author of a rule wrote: new lines are meant.
fn authored(text: &str) -> String {
    let lines: Vec<String> = text.split('\n').map(|line| neutralized(line, usize::MAX)).collect();
    lines.join("\n")
}

fn is_harmful(letter: char) -> bool {
    letter.is_control()
        || matches!(letter,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `3m 20s`, `2d 4h`: the two largest units that are not zero apart.
pub fn duration(ms: i64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms")];
    let size = ms.unsigned_abs();
    let Some(first) = UNITS.iter().position(|(unit, _)| size >= *unit) else {
        return "0s".to_owned();
    };
    let mut rest = size;
    let mut text = if ms < 0 { "-".to_owned() } else { String::new() };
    for (index, (unit, name)) in UNITS.iter().enumerate().skip(first).take(2) {
        let n = rest / unit;
        rest %= unit;
        if n > 0 {
            text.push_str(if index > first { " " } else { "" });
            text.push_str(&n.to_string());
            text.push_str(name);
        }
    }
    text
}

fn record_text<H>(run: &Run<'_, H>, text: TextRef) -> String {
    let bytes = run.row.text(run.raw, text);
    // WHY: masked as a whole, because what is cut off may be the end of a number.
    neutralized(&mask_cards(&String::from_utf8_lossy(bytes)), MAX_TEXT_CHARS)
}

fn whole(int: i64, ty: Type) -> String {
    match ty {
        Type::Duration => duration(int),
        Type::Time => format_rfc3339(int),
        _ => int.to_string(),
    }
}

fn measure(number: f64, ty: Type) -> String {
    match ty {
        Type::Distance if number.abs() >= 1_000.0 => format!("{} km", decimal(number / 1_000.0)),
        Type::Distance => format!("{} m", decimal(number)),
        Type::Speed => format!("{} km/h", decimal(number * 3.6)),
        _ => decimal(number),
    }
}

/// Four decimals at most, none that say nothing; very small and very large numbers by their exponent.
fn decimal(number: f64) -> String {
    let size = number.abs();
    if size > 0.0 && !(1e-4..1e15).contains(&size) {
        return format!("{number:e}");
    }
    let text = format!("{number:.4}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// A converted amount with the one that the record has: `92.34 EUR (100.00 USD)`.
fn with_original(
    row: &Row,
    text: String,
    (slot, currency, ty): (SlotId, Result<Currency, SlotId>, Type),
) -> String {
    match original(row, (slot, currency)) {
        Some((own, original)) if Type::Money(own) != ty => format!("{text} ({original})"),
        _ => text,
    }
}

/// An amount as the record has it, and its currency.
fn original(
    row: &Row,
    (slot, currency): (SlotId, Result<Currency, SlotId>),
) -> Option<(Currency, String)> {
    let code = |at| row.get(at).and_then(|code| u32::try_from(code).ok());
    let own = currency.ok().or_else(|| currency.err().and_then(code).map(Currency))?;
    let micro = i128::from(row.get(slot)?.cast_signed()) * crate::base::MICRO_PER_MINOR;
    Some((own, money(micro, Type::Money(own))))
}

fn money(micro: i128, ty: Type) -> String {
    let Type::Money(currency) = ty else { return UNKNOWN.to_owned() };
    let mut text = format_micro(micro, currency.minor_digits());
    text.push(' ');
    text.extend(currency.letters().unwrap_or(*b"???").map(char::from));
    text
}

/// A packed country or currency.
fn letters(code: u32) -> String {
    code.to_be_bytes()
        .iter()
        .filter(|letter| letter.is_ascii_uppercase())
        .map(|b| char::from(*b))
        .collect()
}

fn place(lat: f64, lon: f64) -> String {
    format!("{}, {}", decimal(lat), decimal(lon))
}
