//! Civil time from milliseconds, without a time zone database: UTC for records, UTC+1 for people's habits.

const DAY_MS: i64 = 86_400_000;
const HOUR_MS: i64 = 3_600_000;

/// Year, month, day of a day number since 1970-01-01.
///
/// # Source
/// Howard Hinnant, "chrono-compatible low-level date algorithms", `civil_from_days`.
fn civil(day_number: i64) -> (i64, i64, i64) {
    let z = day_number + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month, day)
}

/// Hour of the day, 0..24, where the people of this traffic live (one hour ahead of UTC, winter and summer).
pub(super) fn local_hour(time_ms: i64) -> usize {
    let ms = (time_ms + HOUR_MS).rem_euclid(DAY_MS);
    usize::try_from(ms / HOUR_MS).unwrap_or(0)
}

/// Day of the month, 1..=31, by the same clock.
pub(super) fn local_day(time_ms: i64) -> usize {
    let (_, _, day) = civil((time_ms + HOUR_MS).div_euclid(DAY_MS));
    usize::try_from(day).unwrap_or(1)
}

/// Appends `2026-03-02T08:15:30.123Z`.
pub(super) fn write_rfc3339(out: &mut Vec<u8>, time_ms: i64) {
    let (year, month, day) = civil(time_ms.div_euclid(DAY_MS));
    let ms = time_ms.rem_euclid(DAY_MS);
    write_digits(out, year, 4);
    for (before, value, width) in [
        (b'-', month, 2),
        (b'-', day, 2),
        (b'T', ms / HOUR_MS, 2),
        (b':', ms / 60_000 % 60, 2),
        (b':', ms / 1_000 % 60, 2),
        (b'.', ms % 1_000, 3),
    ] {
        out.push(before);
        write_digits(out, value, width);
    }
    out.push(b'Z');
}

/// Appends the last `width` decimal digits of a number that is not negative.
pub(super) fn write_digits(out: &mut Vec<u8>, value: i64, width: usize) {
    let start = out.len();
    out.resize(start + width, b'0');
    let mut rest = value;
    for slot in out.iter_mut().skip(start).rev() {
        *slot = b'0' + u8::try_from(rest.rem_euclid(10)).unwrap_or(0);
        rest /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(time_ms: i64, expected: &str) {
        let mut out = Vec::new();
        write_rfc3339(&mut out, time_ms);
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn known_instants_are_written_as_rfc_3339() {
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_399_999, "2000-02-28T23:59:59.999Z");
        check(951_782_400_000, "2000-02-29T00:00:00.000Z");
        check(1_772_439_330_123, "2026-03-02T08:15:30.123Z");
        check(-1, "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn people_live_one_hour_ahead_of_utc() {
        assert_eq!(local_hour(1_772_439_330_123), 9);
        assert_eq!(local_day(1_772_439_330_123), 2);
        assert_eq!(local_day(951_782_399_999), 29);
    }
}
