//! Local time of the policy's time zone, from the database that is compiled in.

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};

use crate::base::Tag;
use crate::rules::eval::error::EvalError;
use crate::window::spec::Period;

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

    /// The zone that a text of an event names; `None` where it names none.
    pub(super) fn of_text(text: &[u8]) -> Option<Self> {
        let name = core::str::from_utf8(text).ok()?;
        // WHY: the database knows this one name that says "I do not know".
        let known = !name.eq_ignore_ascii_case("Etc/Unknown");
        if known { Self::named(name).ok() } else { None }
    }

    /// From when (inclusive) until when (exclusive) the day, week or month around an instant lasts. `None` outside the
    /// years -9999 to 9999.
    pub(super) fn around(&self, ms: i64, period: Period) -> Option<(i64, i64)> {
        let date = Timestamp::from_millisecond(ms).ok()?.to_zoned(self.zone.clone()).date();
        let (first, span) = match period {
            Period::Day => (date, Span::new().days(1)),
            Period::Week => {
                let since_monday = date.weekday().to_monday_zero_offset();
                (date.checked_sub(Span::new().days(since_monday)).ok()?, Span::new().days(7))
            }
            Period::Month => (date.first_of_month(), Span::new().months(1)),
        };
        let begin = |date: Date| {
            let zoned = date.to_zoned(self.zone.clone()).ok()?.start_of_day().ok()?;
            Some(zoned.timestamp().as_millisecond())
        };
        let next = first.checked_add(span).ok().and_then(begin).unwrap_or(i64::MAX);
        Some((begin(first)?, next))
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

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// From and to of the period around an instant, both in universal time, worked out by hand.
    #[track_caller]
    fn around(zone: &str, period: Period, at: &str, from: &str, to: &str) {
        let found = Zone::named(zone).unwrap().around(ms(at), period);
        assert_eq!(found, Some((ms(from), ms(to))), "{period:?} in {zone} around {at}");
    }

    #[test]
    fn days_have_23_and_25_hours_when_clocks_change() {
        let berlin = "Europe/Berlin";
        // 29 March 2026: 02:00 becomes 03:00. 25 October 2026: 03:00 becomes 02:00.
        around(
            berlin,
            Period::Day,
            "2026-03-29T12:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        around(
            berlin,
            Period::Day,
            "2026-03-28T22:59:59.999Z",
            "2026-03-27T23:00:00Z",
            "2026-03-28T23:00:00Z",
        );
        around(
            berlin,
            Period::Day,
            "2026-03-28T23:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        around(
            berlin,
            Period::Day,
            "2026-10-25T00:30:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        );
        around(
            "America/New_York",
            Period::Day,
            "2026-11-01T12:00:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        );
        // Lord Howe moves its clocks by half an hour: 4 October 2026, from +10:30 to +11.
        around(
            "Australia/Lord_Howe",
            Period::Day,
            "2026-10-04T01:00:00Z",
            "2026-10-03T13:30:00Z",
            "2026-10-04T13:00:00Z",
        );
    }

    #[test]
    fn a_day_without_a_midnight_begins_with_its_first_instant() {
        // 4 November 2018 in Sao Paulo: 00:00 becomes 01:00, from -3 to -2.
        around(
            "America/Sao_Paulo",
            Period::Day,
            "2018-11-04T15:00:00Z",
            "2018-11-04T03:00:00Z",
            "2018-11-05T02:00:00Z",
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_months_are_as_long_as_they_are() {
        let berlin = "Europe/Berlin";
        // Sunday and Monday; the week of the change has 167 hours.
        around(
            berlin,
            Period::Week,
            "2026-03-29T21:59:59Z",
            "2026-03-22T23:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        around(
            berlin,
            Period::Week,
            "2026-03-29T22:00:00Z",
            "2026-03-29T22:00:00Z",
            "2026-04-05T22:00:00Z",
        );
        // 1 January 2026 is a Thursday: its week began in December.
        around(
            berlin,
            Period::Week,
            "2026-01-01T12:00:00Z",
            "2025-12-28T23:00:00Z",
            "2026-01-04T23:00:00Z",
        );
        around(
            berlin,
            Period::Month,
            "2026-02-15T12:00:00Z",
            "2026-01-31T23:00:00Z",
            "2026-02-28T23:00:00Z",
        );
        around(
            berlin,
            Period::Month,
            "2024-02-29T12:00:00Z",
            "2024-01-31T23:00:00Z",
            "2024-02-29T23:00:00Z",
        );
        around(
            berlin,
            Period::Month,
            "2026-03-31T12:00:00Z",
            "2026-02-28T23:00:00Z",
            "2026-03-31T22:00:00Z",
        );
        around(
            berlin,
            Period::Month,
            "2026-12-31T23:30:00Z",
            "2026-12-31T23:00:00Z",
            "2027-01-31T23:00:00Z",
        );
        around(
            "Asia/Kolkata",
            Period::Month,
            "2026-04-30T18:30:00Z",
            "2026-04-30T18:30:00Z",
            "2026-05-31T18:30:00Z",
        );
    }

    #[test]
    fn no_period_is_longer_than_the_state_is_kept() {
        let zones = [
            "Europe/Berlin",
            "America/New_York",
            "Australia/Lord_Howe",
            "Antarctica/Troll",
            "Asia/Kolkata",
        ];
        for zone in zones.map(|name| Zone::named(name).unwrap()) {
            for period in [Period::Day, Period::Week, Period::Month] {
                let mut at = ms("2024-01-01T00:00:00Z");
                while at < ms("2028-01-01T00:00:00Z") {
                    let (from, to) = zone.around(at, period).unwrap();
                    assert!(from <= at && at < to && to - from <= period.most_ms());
                    at += 5 * HOUR_MS;
                }
            }
        }
    }

    #[test]
    fn a_text_that_names_no_zone_is_none() {
        assert!(Zone::of_text(b"Asia/Tokyo").is_some());
        for text in ["", "Berlin", "Europe/", "Etc/Unknown", "etc/unknown", "+02:00", "localtime"] {
            assert!(Zone::of_text(text.as_bytes()).is_none(), "{text}");
        }
        assert!(Zone::of_text(&[0xff, 0xfe]).is_none());
    }
}
