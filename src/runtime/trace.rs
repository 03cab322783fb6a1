//! The trace that a record belongs to, handed on to its outputs.
//!
//! A `traceparent` that is not as the standard says is ignored, as the standard asks: nothing is made up in its place,
//! and the record is decided all the same.
//!
//! # Source
//! W3C Recommendation "Trace Context", 2021-11-23, section 3.2.

use crate::runtime::log::Fetched;

/// Name of the header, of records that come and of records that leave.
pub(crate) const TRACEPARENT: &str = "traceparent";

/// Length of a `traceparent` of version 00.
const LENGTH: usize = 55;

/// A valid `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent([u8; LENGTH]);

impl TraceParent {
    /// That of a record.
    pub(crate) fn of(record: &impl Fetched) -> Option<Self> {
        Self::parse(record.header(TRACEPARENT)?)
    }

    /// Reads `00-<32 hex digits>-<16 hex digits>-<2 hex digits>`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let bytes: [u8; LENGTH] = text.try_into().ok()?;
        let mut parts = bytes.split(|byte| *byte == b'-');
        let (version, trace) = (parts.next()?, parts.next()?);
        let (parent, flags) = (parts.next()?, parts.next()?);
        let lengths = (version.len(), trace.len(), parent.len(), flags.len());
        let is_id = |part: &[u8]| is_hex(part) && part.iter().any(|digit| *digit != b'0');
        let valid = version == b"00" && is_id(trace) && is_id(parent) && is_hex(flags);
        (valid && lengths == (2, 32, 16, 2) && parts.next().is_none()).then_some(Self(bytes))
    }

    /// As it came.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

fn is_hex(part: &[u8]) -> bool {
    part.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_standard_allows_is_a_traceparent() {
        // The standard's own example.
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(good.as_bytes()).unwrap().bytes(), good.as_bytes());
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473-600f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-zz",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
