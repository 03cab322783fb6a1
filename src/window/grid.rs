//! Where the slices of a window begin.
//!
//! A slice that an end of a window cuts makes the answer approximate. Windows by the calendar begin at midnight of some
//! time zone; every zone in use is off UTC by a multiple of a quarter of an hour, from 12 hours behind to 14 hours ahead.
//! So a slice begins at every instant at which a day, week or month begins anywhere, and no such window cuts one. A window
//! that ends there is as long as any other, and its slices have the length of those.

use crate::base::time::{DAY_MS, civil_from_days};
use crate::window::spec::{Calendar, Period, Span};

/// Slices of round length; a window takes the smallest that cuts it into at most 300.
const HOPS_MS: [i64; 13] = [
    1,
    10,
    100,
    1_000,
    5_000,
    10_000,
    30_000,
    60_000,
    300_000,
    3_600_000,
    21_600_000,
    86_400_000,
    604_800_000,
];
const TILES_MAX: i64 = 300;

const HOUR_MS: i64 = 3_600_000;
const QUARTER_MS: i64 = HOUR_MS / 4;
const WEEK_MS: i64 = 7 * DAY_MS;

/// How far before midnight UTC a day begins somewhere, and for how long it then goes on to begin elsewhere.
const AHEAD_MS: i64 = 14 * HOUR_MS;
const BEGINS_FOR_MS: i64 = AHEAD_MS + 12 * HOUR_MS;

/// 5 January 1970, a Monday.
const MONDAY_MS: i64 = 4 * DAY_MS;

/// Where slices begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grid {
    /// At the multiples of a length in ms.
    Hops(i64),
    /// At every hour; every quarter of an hour while a week begins somewhere.
    Weeks,
    /// At every third hour; every quarter of an hour while a month begins somewhere.
    Months,
    /// At every second; old ones are joined ([`crate::window::tiles`]).
    Lifetime,
}

impl Grid {
    /// The slices of a window: 5 min for 24 h and for a day, 1 h for 7 d, 1 d for 90 d.
    pub(crate) fn of(window: Span) -> Self {
        match window.calendar {
            Some(Calendar::Since(Period::Day)) => return Self::Hops(300_000),
            Some(Calendar::Since(Period::Week)) => return Self::Weeks,
            Some(Calendar::Since(Period::Month)) => return Self::Months,
            Some(Calendar::Before(_)) | None => {}
        }
        let length_ms = window.length_ms;
        if length_ms == i64::MAX {
            return Self::Lifetime;
        }
        let hop_ms = HOPS_MS.into_iter().find(|hop_ms| length_ms / hop_ms <= TILES_MAX);
        Self::Hops(hop_ms.unwrap_or(length_ms / TILES_MAX + 1))
    }

    /// The first instant of the slice in which a time lies.
    pub(crate) fn begin_of(self, time_ms: i64) -> i64 {
        let hop_ms = match self {
            Self::Hops(hop_ms) => hop_ms,
            Self::Weeks if week_begins(time_ms) => QUARTER_MS,
            Self::Weeks => HOUR_MS,
            Self::Months if month_begins(time_ms) => QUARTER_MS,
            Self::Months => 3 * HOUR_MS,
            Self::Lifetime => 1_000,
        };
        time_ms.saturating_sub(time_ms.rem_euclid(hop_ms))
    }
}

/// Whether a week begins in some time zone, from the first to the last.
fn week_begins(time_ms: i64) -> bool {
    let first_ms = MONDAY_MS - AHEAD_MS;
    time_ms.saturating_sub(first_ms).rem_euclid(WEEK_MS) < BEGINS_FOR_MS
}

/// Whether a month begins in some time zone, from the first to the last.
fn month_begins(time_ms: i64) -> bool {
    let ahead_ms = time_ms.saturating_add(AHEAD_MS);
    let (_, _, day) = civil_from_days(ahead_ms.div_euclid(DAY_MS));
    ahead_ms.rem_euclid(DAY_MS) + (day - 1) * DAY_MS < BEGINS_FOR_MS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::time::days_from_civil;

    const GRIDS: [Grid; 5] =
        [Grid::Hops(300_000), Grid::Hops(7), Grid::Weeks, Grid::Months, Grid::Lifetime];

    #[test]
    fn the_usual_windows_have_the_documented_slices() {
        let (hour, day) = (3_600_000, 86_400_000);
        let of = |length_ms| Grid::of(Span::sliding(length_ms, 0));
        assert_eq!(of(day), Grid::Hops(300_000));
        assert_eq!(of(7 * day), Grid::Hops(hour));
        assert_eq!(of(90 * day), Grid::Hops(day));
        assert_eq!(of(30 * day), Grid::Hops(6 * hour));
        assert_eq!(of(10 * 60_000), Grid::Hops(5_000));
        assert_eq!(of(1), Grid::Hops(1));
        assert_eq!(Grid::of(Span::LIFETIME), Grid::Lifetime);
    }

    #[test]
    fn a_slice_begins_wherever_a_day_a_week_or_a_month_begins_in_any_time_zone() {
        for quarter in -14 * 4..=12 * 4 {
            let later_ms = quarter * QUARTER_MS;
            for (year, month) in [(1970, 1), (2024, 2), (2024, 3), (2025, 3), (2026, 12), (2027, 1)]
            {
                let first_ms = days_from_civil(year, month, 1) * DAY_MS + later_ms;
                assert_eq!(Grid::Months.begin_of(first_ms), first_ms, "{year}-{month} {quarter}");
            }
            for monday in [-7, 0, 7 * 2_900, 7 * 2_999] {
                let monday_ms = MONDAY_MS + monday * DAY_MS + later_ms;
                assert_eq!(Grid::Weeks.begin_of(monday_ms), monday_ms, "{monday} {quarter}");
            }
            let day_ms = 20_000 * DAY_MS + later_ms;
            assert_eq!(Grid::of(Span::of_calendar(Period::Day)).begin_of(day_ms), day_ms);
        }
    }

    #[test]
    fn a_month_has_at_most_350_slices_and_a_week_at_most_250() {
        let slices = |grid: Grid, from_ms: i64, days: i64| {
            let times = (0..days * 96).map(|quarter| from_ms + quarter * QUARTER_MS);
            times.filter(|time_ms| grid.begin_of(*time_ms) == *time_ms).count()
        };
        let january_ms = days_from_civil(2026, 1, 1) * DAY_MS;
        assert_eq!(slices(Grid::Months, january_ms, 31), (31 * 24 - 26) / 3 + 26 * 4 + 1);
        assert_eq!(slices(Grid::Weeks, MONDAY_MS, 7), 7 * 24 - 26 + 26 * 4);
    }

    proptest! {
        #[test]
        fn slices_lie_side_by_side(at in 0..GRIDS.len(), times: [i64; 2], near in 0..100_000_000_i64) {
            let grid = GRIDS[at];
            for later_ms in [times[1], times[0].saturating_add(near)] {
                let (first_ms, second_ms) = (times[0].min(later_ms), times[0].max(later_ms));
                let (first, second) = (grid.begin_of(first_ms), grid.begin_of(second_ms));
                prop_assert!(first <= first_ms && second <= second_ms && first <= second);
                prop_assert_eq!(grid.begin_of(first), first);
                // A slice goes on until the next begins.
                prop_assert!(second == first || second > first_ms);
            }
        }
    }
}
