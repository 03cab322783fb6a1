//! A small JSON writer for records: text, whole numbers, decimal amounts, coordinates. No floating point is printed.

use crate::demo::traffic::calendar::{write_digits, write_rfc3339};
use crate::demo::traffic::name::Name;

/// A place in millionths of a degree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) lat_micro: i64,
    pub(super) lon_micro: i64,
}

/// An address of the 32-bit kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ip(pub(super) u32);

/// An amount with its currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Money {
    pub(super) cents: i64,
    pub(super) currency: &'static str,
}

impl Money {
    pub(super) fn eur(cents: i64) -> Self {
        Money { cents, currency: "EUR" }
    }
}

/// One JSON object under construction. Every `open` needs its `close`.
#[derive(Debug)]
pub(super) struct Json {
    out: Vec<u8>,
}

impl Json {
    pub(super) fn new() -> Self {
        let mut out = Vec::with_capacity(800);
        out.push(b'{');
        Json { out }
    }

    /// The finished record.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.out.push(b'}');
        self.out
    }

    fn key(&mut self, key: &str) {
        if self.out.last() != Some(&b'{') {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn open(&mut self, key: &str) {
        self.key(key);
        self.out.push(b'{');
    }

    pub(super) fn close(&mut self) {
        self.out.push(b'}');
    }

    pub(super) fn text(&mut self, key: &str, value: &str) {
        self.key(key);
        self.out.push(b'"');
        for byte in value.bytes() {
            match byte {
                b'"' | b'\\' => self.out.extend_from_slice(&[b'\\', byte]),
                0..=31 => self.out.push(b' '),
                _ => self.out.push(byte),
            }
        }
        self.out.push(b'"');
    }

    /// Absent values are left out.
    pub(super) fn text_if(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    /// Absent values are written as `null`, as many producers do.
    pub(super) fn text_or_null(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        } else {
            self.key(key);
            self.out.extend_from_slice(b"null");
        }
    }

    pub(super) fn name(&mut self, key: &str, name: Name) {
        self.key(key);
        self.out.push(b'"');
        name.write(&mut self.out);
        self.out.push(b'"');
    }

    pub(super) fn time(&mut self, key: &str, time_ms: i64) {
        self.key(key);
        self.out.push(b'"');
        write_rfc3339(&mut self.out, time_ms);
        self.out.push(b'"');
    }

    pub(super) fn integer(&mut self, key: &str, value: i64) {
        self.key(key);
        self.out.extend_from_slice(value.to_string().as_bytes());
    }

    pub(super) fn boolean(&mut self, key: &str, value: bool) {
        self.key(key);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// `"amount":{"value":"12.50","currency":"EUR"}`
    pub(super) fn money(&mut self, key: &str, money: Money) {
        self.open(key);
        self.key("value");
        self.out.push(b'"');
        let cents = money.cents.max(0);
        self.out.extend_from_slice((cents / 100).to_string().as_bytes());
        self.out.push(b'.');
        write_digits(&mut self.out, cents % 100, 2);
        self.out.push(b'"');
        self.text("currency", money.currency);
        self.close();
    }

    pub(super) fn ip(&mut self, key: &str, ip: Ip) {
        let [a, b, c, d] = ip.0.to_be_bytes();
        self.key(key);
        self.out.push(b'"');
        for (index, part) in [a, b, c, d].into_iter().enumerate() {
            if index > 0 {
                self.out.push(b'.');
            }
            self.out.extend_from_slice(part.to_string().as_bytes());
        }
        self.out.push(b'"');
    }

    /// `"location":{"lat":52.520000,"lon":13.405000}`
    pub(super) fn place(&mut self, key: &str, place: Place) {
        self.open(key);
        for (key, micro) in [("lat", place.lat_micro), ("lon", place.lon_micro)] {
            self.key(key);
            if micro < 0 {
                self.out.push(b'-');
            }
            self.out.extend_from_slice((micro.abs() / 1_000_000).to_string().as_bytes());
            self.out.push(b'.');
            write_digits(&mut self.out, micro.abs() % 1_000_000, 6);
        }
        self.close();
    }
}
