//! Durations, sizes and rates: numbers that always carry their unit.

use std::time::Duration;

use crate::config::value::Rate;

const DURATION_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

const RATE_UNITS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("h", 3_600)];

/// Reads `250ms`, `30s`, `5m`, `1h30m`, `7d`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total_ms = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (count, after) = leading_number(rest)?;
        let unit_len = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, tail) = after.split_at(unit_len);
        let unit_ms = lookup(DURATION_UNITS, unit)?;
        total_ms = total_ms.checked_add(count.checked_mul(unit_ms)?)?;
        rest = tail;
    }
    Some(Duration::from_millis(total_ms))
}

/// Reads `512B`, `64KiB`, `64MiB`, `2GiB`, `10MB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (count, unit) = leading_number(text.trim())?;
    count.checked_mul(lookup(SIZE_UNITS, unit.trim())?)
}

/// Reads `100/s`, `6/m`, `10/h`.
pub(crate) fn rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.trim().split_once('/')?;
    let per_s = lookup(RATE_UNITS, unit.trim())?;
    Some(Rate { count: count.trim().parse().ok()?, per: Duration::from_secs(per_s) })
}

/// Writes a duration with the largest unit that divides it.
pub(crate) fn show_duration(duration: Duration) -> String {
    let ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    show(ms, DURATION_UNITS)
}

/// Writes a size with the largest binary unit that divides it.
pub(crate) fn show_size(bytes: u64) -> String {
    show(bytes, SIZE_UNITS.get(..4).unwrap_or_default())
}

/// Writes a rate.
pub(crate) fn show_rate(rate: Rate) -> String {
    let unit = RATE_UNITS.iter().find(|(_, seconds)| *seconds == rate.per.as_secs());
    format!("{}/{}", rate.count, unit.map_or("s", |(name, _)| name))
}

fn show(amount: u64, units: &[(&str, u64)]) -> String {
    let fits = |unit: &&(&str, u64)| amount != 0 && amount.is_multiple_of(unit.1);
    let (name, factor) =
        units.iter().rev().find(fits).or(units.first()).copied().unwrap_or(("", 1));
    format!("{}{name}", amount / factor)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

fn lookup(units: &[(&str, u64)], wanted: &str) -> Option<u64> {
    units.iter().find(|(name, _)| *name == wanted).map(|(_, factor)| *factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit_and_may_be_compound() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration("7d"), Some(Duration::from_hours(168)));
        for bad in ["", "10", "ms", "10 parsecs", "-5s", "1.5s", "99999999999999999999s"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_and_rates_need_a_unit() {
        assert_eq!(size("64MiB"), Some(67_108_864));
        assert_eq!(size("10 MB"), Some(10_000_000));
        assert_eq!(size("10"), None);
        assert_eq!(rate("100/s"), Some(Rate { count: 100, per: Duration::from_secs(1) }));
        assert_eq!(rate("100"), None);
        assert_eq!(rate("1/fortnight"), None);
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_value() {
        for ms in [0, 1, 250, 1_000, 1_500, 60_000, 3_600_000, 86_400_000, 90_061_001] {
            let length = Duration::from_millis(ms);
            assert_eq!(duration(&show_duration(length)), Some(length));
        }
        for bytes in [0, 1, 1_000, 1_024, 1_048_576, 3 << 30] {
            assert_eq!(size(&show_size(bytes)), Some(bytes));
        }
        let six = Rate { count: 6, per: Duration::from_mins(1) };
        assert_eq!(rate(&show_rate(six)), Some(six));
    }
}
