//! From what stands at a pointer to the slot of a field: exact or refused, never guessed.

use core::fmt::Write as _;

use crate::base::amount::{AmountError, parse_minor};
use crate::base::time::{MAX_TIME_MS, parse_rfc3339};
use crate::base::value::Place;
use crate::base::{Currency, TextRef, TokenKey, parse_address, parse_country};
use crate::event::error::Reason;
use crate::event::json::{self, NumberKind};
use crate::event::mapping::plan::{FieldPlan, Kind, PointerIdx, written_digits};
use crate::event::mapping::walk::{Found, FoundKind};
use crate::event::row::Row;
use crate::event::schema::{MoneyUnit, SlotId, TimeUnit};

/// Largest size of a number: beyond it, windows could not remember its millionths in 64 bits, and would leave it out.
const MOST_NUMBER: f64 = 9_223_372_036_854.0;

/// The values of one record.
pub(super) struct Values<'v> {
    /// What the ranges of `found` point into.
    pub(super) bytes: &'v [u8],
    /// Whether `bytes` is the record itself, so that a row may refer to it.
    pub(super) borrow: bool,
    pub(super) found: &'v [Found],
    pub(super) max_text_bytes: usize,
}

/// What is wrong, and with which value.
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) at: Found,
}

type Result<T> = core::result::Result<T, Refusal>;

impl Values<'_> {
    /// The value at the first of the pointers that has one.
    #[inline]
    fn first(&self, pointers: &[PointerIdx]) -> Option<Found> {
        pointers.iter().find_map(|pointer| self.at(*pointer))
    }

    /// The value at a pointer, unless absent.
    #[inline]
    pub(super) fn at(&self, pointer: PointerIdx) -> Option<Found> {
        let found = self.found.get(usize::from(pointer)).copied()?;
        if found.kind == FoundKind::Absent { None } else { Some(found) }
    }

    /// The bytes of a value as written.
    #[inline]
    fn raw(&self, found: Found) -> &[u8] {
        self.bytes.get(found.start as usize..found.end as usize).unwrap_or_default()
    }

    /// The bytes of a text or a number, escapes resolved.
    #[inline]
    pub(super) fn plain<'t>(&'t self, found: Found, buffer: &'t mut Vec<u8>) -> &'t [u8] {
        if found.kind != FoundKind::Escaped {
            return self.raw(found);
        }
        buffer.clear();
        json::unescape_into(self.raw(found), buffer);
        buffer
    }
}

/// Reads one field into its slots.
///
/// # Errors
/// When it is required and absent, or present and not what its type says.
#[inline]
pub(super) fn field(
    plan: &FieldPlan,
    values: &Values<'_>,
    buffer: &mut Vec<u8>,
    row: &mut Row,
) -> Result<()> {
    let reader = Reader { plan, values };
    let present = match &plan.kind {
        Kind::Geo => reader.geo(row)?,
        Kind::MoneyAt { pointer, slot, unit } => {
            reader.money_at(*pointer, *slot, *unit, buffer, row)?
        }
        _ => match values.first(&plan.from) {
            Some(found) => {
                let word = reader.word(found, buffer, row)?;
                row.set(plan.slot, word);
                true
            }
            None => false,
        },
    };
    if present || plan.optional {
        Ok(())
    } else {
        Err(Refusal { reason: Reason::MissingField, at: Found::ABSENT })
    }
}

struct Reader<'f> {
    plan: &'f FieldPlan,
    values: &'f Values<'f>,
}

fn refuse<T>(reason: Reason, at: Found) -> Result<T> {
    Err(Refusal { reason, at })
}

impl Reader<'_> {
    /// The word of a field of one slot.
    #[inline]
    fn word(&self, at: Found, buffer: &mut Vec<u8>, row: &mut Row) -> Result<u64> {
        match &self.plan.kind {
            Kind::Text => self.text(at, false, row),
            Kind::Entity => self.text(at, true, row),
            Kind::Token(key) => self.token(at, key, buffer, row),
            Kind::Money { digits } => self.amount(at, *digits, buffer),
            Kind::Time { unit } => {
                let ms = self.time(at, *unit, buffer)?;
                if self.plan.is_time {
                    row.time_ms = ms;
                }
                Ok(ms.cast_unsigned())
            }
            Kind::OneOf(members) => {
                let text = self.text_of(at, buffer)?;
                let index = members.iter().position(|member| **member == *text);
                let index = index.and_then(|index| u64::try_from(index).ok());
                index.map_or_else(|| refuse(Reason::UnknownMember, at), Ok)
            }
            Kind::CurrencyCode => self.currency(at, buffer).map(|currency| u64::from(currency.0)),
            Kind::Country => match parse_country(self.text_of(at, buffer)?) {
                Some(code) => Ok(u64::from(code)),
                None => refuse(Reason::BadCountry, at),
            },
            Kind::Number => self.number(at).map(f64::to_bits),
            Kind::Integer => self.integer(at).map(i64::cast_unsigned),
            Kind::Bool => self.boolean(at).map(u64::from),
            Kind::Ip => self.ip(at, buffer, row),
            Kind::Geo | Kind::MoneyAt { .. } => refuse(Reason::WrongType, at),
        }
    }

    /// The bytes of a value that has to be a text.
    #[inline]
    fn text_of<'t>(&'t self, at: Found, buffer: &'t mut Vec<u8>) -> Result<&'t [u8]> {
        match at.kind {
            FoundKind::Text | FoundKind::Escaped | FoundKind::Cell => {
                Ok(self.values.plain(at, buffer))
            }
            _ => refuse(Reason::WrongType, at),
        }
    }

    /// A text slot; ids are also read from integers, as they are written.
    #[inline]
    fn text(&self, at: Found, or_integer: bool, row: &mut Row) -> Result<u64> {
        let len = at.end.saturating_sub(at.start);
        let text = match at.kind {
            FoundKind::Text if self.values.borrow => TextRef::new(Place::Raw, at.start, len),
            FoundKind::Integer if or_integer && self.values.raw(at) == b"-0" => {
                row.store_text(b"0")
            }
            FoundKind::Integer if or_integer && self.values.borrow => {
                TextRef::new(Place::Raw, at.start, len)
            }
            FoundKind::Text | FoundKind::Cell => row.store_text(self.values.raw(at)),
            FoundKind::Escaped => {
                let start = row.arena.len();
                json::unescape_into(self.values.raw(at), &mut row.arena);
                let len = row.arena.len() - start;
                let [start, len] = [start, len].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
                TextRef::new(Place::Arena, start, len)
            }
            _ => return refuse(Reason::WrongType, at),
        };
        let n_bytes = text.range().len();
        if n_bytes > self.values.max_text_bytes {
            return refuse(Reason::TextTooLong, at);
        }
        if n_bytes == 0 && self.plan.non_empty {
            return refuse(Reason::EmptyKey, at);
        }
        Ok(text.0)
    }

    /// The token of an id: what it was is not in the row.
    fn token(&self, at: Found, key: &TokenKey, buffer: &mut Vec<u8>, row: &mut Row) -> Result<u64> {
        let id = match at.kind {
            FoundKind::Integer => self.values.raw(at),
            _ => self.text_of(at, buffer)?,
        };
        if id.len() > self.values.max_text_bytes {
            return refuse(Reason::TextTooLong, at);
        }
        if id.is_empty() {
            return refuse(Reason::EmptyKey, at);
        }
        let start = row.arena.len();
        key.token(id, &mut row.arena);
        let len = row.arena.len() - start;
        let [start, len] = [start, len].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        Ok(TextRef::new(Place::Arena, start, len).0)
    }

    /// Minor units of an amount, from a number or a decimal text.
    #[inline]
    fn amount(&self, at: Found, digits: u8, buffer: &mut Vec<u8>) -> Result<u64> {
        let text = match at.kind {
            FoundKind::Integer | FoundKind::Decimal => self.values.raw(at),
            _ => self.text_of(at, buffer)?,
        };
        match parse_minor(text, digits) {
            Ok(minor) => Ok(minor.cast_unsigned()),
            Err(AmountError::Malformed) => refuse(Reason::BadAmount, at),
            Err(AmountError::TooPrecise) => refuse(Reason::AmountTooPrecise, at),
            Err(AmountError::TooLarge) => refuse(Reason::AmountTooLarge, at),
        }
    }

    fn currency(&self, at: Found, buffer: &mut Vec<u8>) -> Result<Currency> {
        let text = self.text_of(at, buffer)?;
        Currency::parse_bytes(text).map_or_else(|| refuse(Reason::UnknownCurrency, at), Ok)
    }

    /// An amount with its currency beside it; a currency alone is checked and not kept.
    fn money_at(
        &self,
        pointer: PointerIdx,
        slot: SlotId,
        unit: MoneyUnit,
        buffer: &mut Vec<u8>,
        row: &mut Row,
    ) -> Result<bool> {
        let currency = match self.values.at(pointer) {
            Some(at) => Some(self.currency(at, buffer)?),
            None => None,
        };
        let Some(at) = self.values.first(&self.plan.from) else { return Ok(false) };
        let Some(currency) = currency else { return refuse(Reason::MissingCurrency, at) };
        let minor = self.amount(at, written_digits(currency, unit), buffer)?;
        row.set(self.plan.slot, minor);
        row.set(slot, u64::from(currency.0));
        Ok(true)
    }

    fn number(&self, at: Found) -> Result<f64> {
        let text = match at.kind {
            FoundKind::Integer | FoundKind::Decimal => self.values.raw(at),
            FoundKind::Cell if json::number_kind(self.values.raw(at)).is_some() => {
                self.values.raw(at)
            }
            FoundKind::Cell => return refuse(Reason::BadNumber, at),
            _ => return refuse(Reason::WrongType, at),
        };
        let number = core::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
        match number.filter(|number| number.abs() <= MOST_NUMBER) {
            // Adding zero makes -0 the one zero.
            Some(number) => Ok(number + 0.0),
            None => refuse(Reason::BadNumber, at),
        }
    }

    fn integer(&self, at: Found) -> Result<i64> {
        let text = self.values.raw(at);
        let integer = match at.kind {
            FoundKind::Integer => true,
            FoundKind::Decimal => false,
            FoundKind::Cell => json::number_kind(text) == Some(NumberKind::Integer),
            _ => return refuse(Reason::WrongType, at),
        };
        parse_integer(text).filter(|_| integer).map_or_else(|| refuse(Reason::BadNumber, at), Ok)
    }

    fn boolean(&self, at: Found) -> Result<bool> {
        let cell = self.values.raw(at);
        match at.kind {
            FoundKind::True => Ok(true),
            FoundKind::False => Ok(false),
            FoundKind::Cell if cell == b"1" || cell.eq_ignore_ascii_case(b"true") => Ok(true),
            FoundKind::Cell if cell == b"0" || cell.eq_ignore_ascii_case(b"false") => Ok(false),
            _ => refuse(Reason::WrongType, at),
        }
    }

    fn time(&self, at: Found, unit: TimeUnit, buffer: &mut Vec<u8>) -> Result<i64> {
        let ms = match unit.ms() {
            None => parse_rfc3339(self.text_of(at, buffer)?),
            Some(unit_ms) => {
                let number = self.integer(at).map_err(|refusal| match refusal.reason {
                    Reason::BadNumber => Refusal { reason: Reason::BadTime, at },
                    _ => refusal,
                })?;
                number.checked_mul(unit_ms)
            }
        };
        ms.filter(|ms| (-MAX_TIME_MS..=MAX_TIME_MS).contains(ms))
            .map_or_else(|| refuse(Reason::BadTime, at), Ok)
    }

    /// An address in canonical form: IPv6 as RFC 5952 writes it, IPv4 in IPv6 as IPv4.
    fn ip(&self, at: Found, buffer: &mut Vec<u8>, row: &mut Row) -> Result<u64> {
        let text = self.text_of(at, buffer)?;
        let address = core::str::from_utf8(text).ok().and_then(parse_address);
        let Some(address) = address else { return refuse(Reason::BadIp, at) };
        let mut canonical = CanonicalIp::new();
        // An IPv4 address of its own has one form only; `IpAddr` refuses leading zeros.
        let canonical = if address.is_ipv4() && !text.contains(&b':') {
            text
        } else if write!(canonical, "{address}").is_ok() {
            canonical.as_bytes()
        } else {
            return refuse(Reason::BadIp, at);
        };
        if canonical == text && self.values.borrow && at.kind == FoundKind::Text {
            let len = at.end.saturating_sub(at.start);
            return Ok(TextRef::new(Place::Raw, at.start, len).0);
        }
        Ok(row.store_text(canonical).0)
    }

    /// Both coordinates or none.
    fn geo(&self, row: &mut Row) -> Result<bool> {
        for pair in self.plan.from.chunks_exact(2) {
            let (latitude, longitude) = match (self.values.at(pair[0]), self.values.at(pair[1])) {
                (None, None) => continue,
                (Some(latitude), Some(longitude)) => (latitude, longitude),
                (Some(at), None) | (None, Some(at)) => return refuse(Reason::BadGeo, at),
            };
            let degrees = |at: Found, limit: f64| match self.number(at) {
                Ok(degrees) if degrees.abs() <= limit => Ok(degrees.to_bits()),
                Err(Refusal { reason: Reason::WrongType, .. }) => refuse(Reason::WrongType, at),
                _ => refuse(Reason::BadGeo, at),
            };
            let (latitude, longitude) = (degrees(latitude, 90.0)?, degrees(longitude, 180.0)?);
            row.set(self.plan.slot, latitude);
            row.set(SlotId(self.plan.slot.0 + 1), longitude);
            return Ok(true);
        }
        Ok(false)
    }
}

/// The exact value of an integer whose grammar has been checked.
#[inline]
fn parse_integer(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        _ => (false, text),
    };
    let mut value = 0_i64;
    if digits.len() <= 18 {
        let mut rest = digits;
        while let Some((eight, after)) = rest.split_first_chunk() {
            value = value * 100_000_000 + i64::from(eight_digits(*eight));
            rest = after;
        }
        for digit in rest {
            value = value * 10 + i64::from(digit.wrapping_sub(b'0'));
        }
        return Some(if negative { -value } else { value });
    }
    core::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
}

/// The number that eight digits write: pairs of neighbours joined three times, all at once.
#[inline]
fn eight_digits(digits: [u8; 8]) -> u32 {
    let ones = u64::from_le_bytes(digits) & 0x0f0f_0f0f_0f0f_0f0f;
    let twos = (ones.wrapping_mul(10 << 8 | 1) >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (twos.wrapping_mul(100 << 16 | 1) >> 16) & 0x0000_ffff_0000_ffff;
    let eight = fours.wrapping_mul(10_000 << 32 | 1) >> 32;
    u32::try_from(eight).unwrap_or(u32::MAX)
}

/// Room for the text of any IP address.
struct CanonicalIp {
    bytes: [u8; 46],
    len: usize,
}

impl CanonicalIp {
    fn new() -> Self {
        Self { bytes: [0; 46], len: 0 }
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl core::fmt::Write for CanonicalIp {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let end = self.len + text.len();
        let place = self.bytes.get_mut(self.len..end).ok_or(core::fmt::Error)?;
        place.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn integers_of_any_length_are_read_as_the_standard_library_reads_them(text in "-?(0|[1-9][0-9]{0,19})") {
            prop_assert_eq!(parse_integer(text.as_bytes()), text.parse::<i64>().ok());
        }
    }
}
