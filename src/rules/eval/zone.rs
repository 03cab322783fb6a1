//! Local time of the policy's time zone, from the database that is compiled in.

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::Tag;
use crate::rules::eval::error::EvalError;

/// A time zone and the tag of its name.
#[derive(Clone, Debug)]
pub(super) struct Zone {
    /// Tells zones apart.
    pub(super) tag: Tag,
    zone: TimeZone,
}

/// An offset and the stretch of time in which it holds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offset {
    /// The zone it belongs to; `None` before the first use.
    pub(super) zone: Option<Tag>,
    /// From, inclusive.
    pub(super) from_ms: i64,
    /// To, exclusive.
    pub(super) to_ms: i64,
    /// Local time minus universal time.
    pub(super) minus_universal_ms: i64,
}

impl Zone {
    /// The zone with this IANA name.
    pub(super) fn named(name: &str) -> Result<Self, EvalError> {
        let zone = TimeZoneDatabase::bundled().get(name);
        let zone = zone.map_err(|_| EvalError::UnknownZone(name.to_owned()))?;
        Ok(Self { tag: Tag::of_text(name.as_bytes()), zone })
    }

    /// The offset at an instant and until the next change. `None` outside the years -9999 to 9999.
    pub(super) fn offset_around(&self, ms: i64) -> Option<Offset> {
        let instant = Timestamp::from_millisecond(ms).ok()?;
        let minus_universal_ms = i64::from(self.zone.to_offset(instant).seconds()) * 1_000;
        let change = self.zone.following(instant).next();
        let to_ms = change.map_or(i64::MAX, |change| change.timestamp().as_millisecond());
        Some(Offset { zone: Some(self.tag), from_ms: ms, to_ms, minus_universal_ms })
    }
}
