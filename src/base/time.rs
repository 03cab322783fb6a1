//! Time: milliseconds since 1970-01-01T00:00:00Z, read from and written as RFC 3339.
//!
//! Instants are `i64` milliseconds, civil time is the proleptic Gregorian calendar, and there are no leap seconds: the
//! second 60 is the last millisecond of its minute. Nothing here knows what time it is.

/// Largest distance of an accepted instant from 1970, in ms: a window may be added or subtracted without overflow.
pub const MAX_TIME_MS: i64 = (1 << 62) - 1;

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// When the tests of rules begin: 2026-01-01T00:00:00Z, a Thursday.
pub const TESTS_BEGIN_MS: i64 = 1_767_225_600_000;

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction](Z|±hh:mm)` as ms since 1970.
///
/// # Shape
/// Years 0001 to 9999; `t`, `z` and a space between date and time are accepted as RFC 3339 allows. Digits beyond the
/// millisecond are cut off. The second 60 is read as 59.999: a leap second never passes its minute.
///
/// # Cost
/// A few nanoseconds; no allocation.
///
/// # Source
/// RFC 3339, section 5.6.
pub fn parse_rfc3339(text: &[u8]) -> Option<i64> {
    let (head, rest) = text.split_first_chunk::<19>()?;
    let [y0, y1, y2, y3, b'-', mo0, mo1, b'-', d0, d1, sep, h0, h1, b':', mi0, mi1, b':', s0, s1] =
        *head
    else {
        return None;
    };
    if !matches!(sep, b'T' | b't' | b' ') {
        return None;
    }
    let year = two(y0, y1)? * 100 + two(y2, y3)?;
    let (month, day) = (two(mo0, mo1)?, two(d0, d1)?);
    let (hour, minute, second) = (two(h0, h1)?, two(mi0, mi1)?, two(s0, s1)?);
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction_ms, rest) = parse_fraction(rest)?;
    let offset_min = parse_offset(rest)?;
    let second_ms = if second == 60 { 59_999 } else { second * 1000 + fraction_ms };
    let day_ms = (hour * 60 + minute - offset_min) * 60_000 + second_ms;
    Some(days_from_civil(year, month, day) * DAY_MS + day_ms)
}

/// The number of two digits.
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    if tens > 9 || ones > 9 { None } else { Some(i64::from(tens) * 10 + i64::from(ones)) }
}

/// The milliseconds of an optional fraction, and what follows it.
fn parse_fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let [b'.', rest @ ..] = text else { return Some((0, text)) };
    let n = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at_checked(n).filter(|_| n > 0)?;
    let padded = digits.iter().copied().chain(*b"00").take(3);
    Some((padded.fold(0, |ms, digit| ms * 10 + i64::from(digit - b'0')), rest))
}

/// Minutes east of UTC.
fn parse_offset(text: &[u8]) -> Option<i64> {
    match *text {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 60 + minutes;
            Some(if sign == b'-' { -offset } else { offset })
        }
        _ => None,
    }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01.
///
/// # Source
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
///
/// # Source
/// Howard Hinnant, as above, `civil_from_days`.
pub fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

/// An instant as text, in place: RFC 3339 in UTC.
#[derive(Clone, Copy, Debug)]
pub struct TimeText {
    bytes: [u8; Self::MAX_BYTES],
    len: usize,
}

impl TimeText {
    /// The instant furthest from 1970 has this many: `-292275055-05-16T16:47:04.192Z`.
    const MAX_BYTES: usize = 30;

    /// Writes an instant as RFC 3339 in UTC: `2026-01-31T12:00:00Z`, with `.123` when it has milliseconds.
    ///
    /// Years outside 0000 to 9999 have a sign and at least six digits, as ISO 8601 writes them.
    ///
    /// # Cost
    /// A few divisions; no allocation. WHY: every record about an event has a few times in it.
    pub fn of(ms: i64) -> Self {
        let (days, of_day) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        let (year, month, day) = civil_from_days(days);
        let (hour, minute, second) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1000 % 60);
        let millis = of_day % 1000;
        let mut text = Self { bytes: [0; Self::MAX_BYTES], len: 0 };
        if (0..=9999).contains(&year) {
            text.digits(1000, year);
        } else {
            text.push(if year < 0 { b'-' } else { b'+' });
            let size = year.abs();
            let first = (5..9).rev().map(|zeros| 10_i64.pow(zeros)).find(|unit| size >= *unit);
            text.digits(first.unwrap_or(100_000), size);
        }
        let parts = [(b'-', month), (b'-', day), (b'T', hour), (b':', minute), (b':', second)];
        for (mark, number) in parts {
            text.push(mark);
            text.digits(10, number);
        }
        if millis > 0 {
            text.push(b'.');
            text.digits(100, millis);
        }
        text.push(b'Z');
        text
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or_default();
        core::str::from_utf8(bytes).unwrap_or_default()
    }

    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.len) {
            *place = byte;
            self.len += 1;
        }
    }

    /// Writes a number, the digit that stands for `unit` first.
    fn digits(&mut self, mut unit: i64, number: i64) {
        while unit > 0 {
            let digit = u8::try_from(number / unit % 10).unwrap_or(0);
            self.push(b'0' + digit);
            unit /= 10;
        }
    }
}

/// Writes an instant as [`TimeText`] does.
pub fn format_rfc3339(ms: i64) -> String {
    TimeText::of(ms).as_str().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse_rfc3339(text.as_bytes()), expected, "{text}");
    }

    #[test]
    fn instants_are_read_with_their_offset() {
        check("1970-01-01T00:00:00Z", Some(0));
        check("2026-01-31T12:00:00Z", Some(1_769_860_800_000));
        check("2026-01-31T13:00:00+01:00", Some(1_769_860_800_000));
        check("2026-01-31T06:30:00-05:30", Some(1_769_860_800_000));
        check("1969-12-31T23:59:59.999Z", Some(-1));
        check("2026-01-31t12:00:00z", Some(1_769_860_800_000));
        check("2026-01-31 12:00:00-00:00", Some(1_769_860_800_000));
    }

    #[test]
    fn digits_beyond_the_millisecond_are_cut_off() {
        check("1970-01-01T00:00:00.1Z", Some(100));
        check("1970-01-01T00:00:00.12Z", Some(120));
        check("1970-01-01T00:00:00.123999999999999Z", Some(123));
    }

    #[test]
    fn a_leap_second_is_the_last_millisecond_of_its_minute() {
        check("2016-12-31T23:59:60Z", Some(1_483_228_799_999));
        check("2016-12-31T23:59:60.75Z", Some(1_483_228_799_999));
        check("2017-01-01T00:00:00Z", Some(1_483_228_800_000));
    }

    #[test]
    fn days_that_do_not_exist_are_refused() {
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
        for text in [
            "2023-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "0000-01-01T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2026-01-01T00:00:61Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn a_text_without_offset_or_with_anything_after_it_is_refused() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00Z ",
            "2026-01-01T00:00Z",
            "20260101T000000Z",
            "2026-01-01_00:00:00Z",
            "+026-01-01T00:00:00Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn instants_are_written_in_utc_without_needless_milliseconds() {
        assert_eq!(format_rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(format_rfc3339(-1), "1969-12-31T23:59:59.999Z");
        assert_eq!(format_rfc3339(1_769_860_800_120), "2026-01-31T12:00:00.120Z");
        assert_eq!(format_rfc3339(253_402_300_800_000), "+010000-01-01T00:00:00Z");
    }

    #[test]
    fn the_whole_range_of_instants_can_be_written() {
        assert_eq!(format_rfc3339(i64::MIN), "-292275055-05-16T16:47:04.192Z");
        assert_eq!(format_rfc3339(i64::MAX), "+292278994-08-17T07:12:55.807Z");
        assert_eq!(format_rfc3339(-62_198_755_200_000), "-000001-01-01T00:00:00Z");
        for ms in [-MAX_TIME_MS, MAX_TIME_MS] {
            assert!(format_rfc3339(ms).ends_with('Z'));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_jiff_agrees(ms in -62_135_596_800_000_i64..253_402_207_200_000) {
            let text = format_rfc3339(ms);
            prop_assert_eq!(parse_rfc3339(text.as_bytes()), Some(ms));
            let oracle: jiff::Timestamp = text.parse().unwrap();
            prop_assert_eq!(oracle.as_millisecond(), ms);
        }

        #[test]
        fn texts_are_read_as_jiff_reads_them(
            text in "(000[1-9]|[0-9]{3}[1-8])-(0[0-9]|1[0-3])-[0-3][0-9][T ]([01][0-9]|2[0-4]):[0-6][0-9]:[0-5][0-9](\\.[0-9]{1,9})?(Z|[+-][01][0-9]:[0-5][0-9])"
        ) {
            let oracle = text.parse::<jiff::Timestamp>().ok().filter(|_| !text.starts_with("0000"));
            let expected = oracle.map(|at| i64::try_from(at.as_nanosecond().div_euclid(1_000_000)).unwrap());
            prop_assert_eq!(parse_rfc3339(text.as_bytes()), expected, "{}", text);
        }

        #[test]
        fn any_bytes_are_answered(bytes: Vec<u8>) {
            prop_assert!(parse_rfc3339(&bytes).is_none() || bytes.len() >= 20);
        }
    }
}
