//! Why a record could not be decoded: stable reasons with codes, and the error that carries them.
//!
//! Messages name fields and positions, never contents: a record may hold payment data.

use core::fmt;
use std::sync::Arc;

/// Why a record is refused. The text of [`Reason::as_str`] is part of the dead-letter format and never changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Reason {
    /// No bytes, or nothing but white space.
    Empty,
    /// The record has no value at all; found by whoever receives it.
    Tombstone,
    /// Larger than the limit for a record.
    TooLarge,
    /// Bytes that are not UTF-8.
    InvalidUtf8,
    /// A byte order mark in front.
    Bom,
    /// Not JSON as RFC 8259 defines it.
    InvalidJson,
    /// Nested deeper than the limit.
    TooDeep,
    /// More keys than the limit.
    TooManyKeys,
    /// One object has a key twice.
    DuplicateKey,
    /// JSON, but not an object.
    NotAnObject,
    /// No event type of the topic fits.
    UnknownEvent,
    /// A required field is absent or `null`.
    MissingField,
    /// A field has another JSON type than the schema says.
    WrongType,
    /// Not a decimal number.
    BadAmount,
    /// More decimals than the currency has.
    AmountTooPrecise,
    /// Does not fit 64-bit minor units.
    AmountTooLarge,
    /// An amount without its currency.
    MissingCurrency,
    /// Not an active ISO 4217 code.
    UnknownCurrency,
    /// Not an instant of the declared form, or out of range.
    BadTime,
    /// No number, too large a one, or not a 64-bit integer where one is declared.
    BadNumber,
    /// Not a member of the declared set.
    UnknownMember,
    /// Not two upper-case letters.
    BadCountry,
    /// Not an IP address.
    BadIp,
    /// Not a pair of coordinates in range.
    BadGeo,
    /// A key, id or entity with an empty text.
    EmptyKey,
    /// A mapped text beyond the limit.
    TextTooLong,
    /// A row of a table with another number of cells than its header; found by whoever reads the table.
    WrongWidth,
    /// A command has a member that commands do not have.
    UnknownField,
}

/// What the registry knows of one reason.
#[derive(Clone, Copy, Debug)]
pub struct ReasonInfo {
    /// The reason.
    pub reason: Reason,
    /// Its name in dead letters and metrics.
    pub name: &'static str,
    /// Its code; the page is `docs/errors/<code>.md`.
    pub code: &'static str,
    /// The end of a message that starts with the record or a field.
    pub text: &'static str,
}

const fn info(
    reason: Reason,
    name: &'static str,
    code: &'static str,
    text: &'static str,
) -> ReasonInfo {
    ReasonInfo { reason, name, code, text }
}

/// Every reason in the order of the enum. A code is never reused.
pub const REASONS: [ReasonInfo; 28] = [
    info(Reason::Empty, "empty", "D0001", "is empty"),
    info(Reason::Tombstone, "tombstone", "D0002", "has no value"),
    info(Reason::TooLarge, "too_large", "D0003", "is larger than the limit for a record"),
    info(Reason::InvalidUtf8, "invalid_utf8", "D0004", "is not valid UTF-8"),
    info(Reason::Bom, "bom", "D0005", "starts with a byte order mark"),
    info(Reason::InvalidJson, "invalid_json", "D0006", "is not valid JSON"),
    info(Reason::TooDeep, "too_deep", "D0007", "is nested deeper than the limit"),
    info(Reason::TooManyKeys, "too_many_keys", "D0008", "has more keys than the limit"),
    info(Reason::DuplicateKey, "duplicate_key", "D0009", "has a key twice in one object"),
    info(Reason::NotAnObject, "not_an_object", "D0010", "is not a JSON object"),
    info(Reason::UnknownEvent, "unknown_event", "D0011", "fits no event type of the schema"),
    info(Reason::MissingField, "missing_field", "D0012", "is required but absent"),
    info(Reason::WrongType, "wrong_type", "D0013", "has another type than the schema says"),
    info(Reason::BadAmount, "bad_amount", "D0014", "is not a decimal number"),
    info(
        Reason::AmountTooPrecise,
        "amount_too_precise",
        "D0015",
        "has more decimals than its currency",
    ),
    info(
        Reason::AmountTooLarge,
        "amount_too_large",
        "D0016",
        "does not fit 64 bits of minor units",
    ),
    info(Reason::MissingCurrency, "missing_currency", "D0017", "has an amount but no currency"),
    info(
        Reason::UnknownCurrency,
        "unknown_currency",
        "D0018",
        "has a currency that is not an active ISO 4217 code",
    ),
    info(Reason::BadTime, "bad_time", "D0019", "is not a time of the declared form"),
    info(Reason::BadNumber, "bad_number", "D0020", "is not a number of the declared range"),
    info(Reason::UnknownMember, "unknown_member", "D0021", "is not a member of its declared set"),
    info(
        Reason::BadCountry,
        "bad_country",
        "D0022",
        "is not a country: ISO 3166-1 alpha-2, in capitals, is expected",
    ),
    info(Reason::BadIp, "bad_ip", "D0023", "is not an IP address"),
    info(Reason::BadGeo, "bad_geo", "D0024", "is not a latitude and a longitude in degrees"),
    info(Reason::EmptyKey, "empty_key", "D0025", "is a key with an empty text"),
    info(Reason::TextTooLong, "text_too_long", "D0026", "is a text beyond the limit"),
    info(Reason::WrongWidth, "wrong_width", "D0027", "has another number of cells than the header"),
    info(Reason::UnknownField, "unknown_field", "D0028", "has a member that commands do not have"),
];

impl Reason {
    /// What the registry knows of it.
    pub fn info(self) -> &'static ReasonInfo {
        // The table stands in the order of the enum; a test holds it to that.
        &REASONS[self as usize]
    }

    /// Its name in dead letters and metrics.
    pub fn as_str(self) -> &'static str {
        self.info().name
    }

    /// Its code.
    pub fn code(self) -> &'static str {
        self.info().code
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A record that could not be decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct DecodeError {
    /// Why.
    pub reason: Reason,
    /// The field at fault, as `event.field`.
    pub field: Option<Arc<str>>,
    /// The byte of the record where it shows.
    pub offset: Option<u32>,
}

impl DecodeError {
    /// An error of the whole record.
    pub fn record(reason: Reason) -> Self {
        Self { reason, field: None, offset: None }
    }
}

impl From<ScanError> for DecodeError {
    fn from(error: ScanError) -> Self {
        Self { reason: error.reason, field: None, offset: Some(error.offset) }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.field {
            Some(field) => write!(f, "field `{field}` {}", self.reason.info().text)?,
            None => write!(f, "record {}", self.reason.info().text)?,
        }
        match self.offset {
            Some(offset) => write!(f, " (at byte {offset})"),
            None => Ok(()),
        }
    }
}

/// A mistake found while scanning: small, so that the scanner returns it cheaply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScanError {
    /// Why.
    pub reason: Reason,
    /// The byte where it shows.
    pub offset: u32,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_registry_stands_in_the_order_of_the_enum_with_codes_in_order() {
        for (index, info) in REASONS.iter().enumerate() {
            assert_eq!(info.reason as usize, index);
            assert_eq!(info.code, format!("D{:04}", index + 1));
        }
    }

    #[test]
    fn every_reason_has_a_page_that_names_it() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
        for info in &REASONS {
            let page = std::fs::read_to_string(folder.join(format!("{}.md", info.code)))
                .unwrap_or_else(|error| panic!("{}: {error}", info.code));
            let title = format!("# {}: `{}`\n", info.code, info.name);
            assert!(page.starts_with(&title), "{} starts with {title}", info.code);
            for heading in ["\n## Cause\n", "\n## Example\n", "\n## Mend\n"] {
                assert!(page.contains(heading), "{} has {heading}", info.code);
            }
        }
    }

    #[test]
    fn a_message_names_the_field_and_the_place() {
        let error = DecodeError {
            reason: Reason::AmountTooPrecise,
            field: Some("transfer.amount".into()),
            offset: Some(17),
        };
        let expected = "field `transfer.amount` has more decimals than its currency (at byte 17)";
        assert_eq!(error.to_string(), expected);
        assert_eq!(DecodeError::record(Reason::Empty).to_string(), "record is empty");
    }
}
