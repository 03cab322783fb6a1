//! Cuts of other libraries as whole-number thresholds: the same rows go left, to the last one.
//!
//! Another library compares a decimal number, parsed as a float or a double, with a bound of its own. A row of ours holds
//! whole numbers of a small unit. Since parsing is monotone, exactly the numbers up to some largest one go left, and that
//! one is found by halving; no rounding of the bound is needed, and none is made.

use crate::base::count::nearest_signed_f64;
use crate::models::offline::Unit;

/// Where another library sends a number left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cut {
    /// A float below a bound.
    Below(f32),
    /// A float up to a bound.
    UpTo(f32),
    /// A double up to a bound.
    UpToDouble(f64),
}

impl Cut {
    /// The largest whole number of a unit that goes left. None where no number does, or the bound is no number.
    ///
    /// # Cost
    /// 64 divisions.
    pub(super) fn threshold(self, unit: Unit) -> Option<i64> {
        let per = nearest_signed_f64(unit.per_natural());
        let goes_left = |value: i64| self.takes(nearest_signed_f64(value) / per);
        if goes_left(i64::MAX) {
            return Some(i64::MAX);
        }
        // INVARIANT: the one goes left, the other does not.
        let (mut left, mut right) = (i64::MIN, i64::MAX);
        if !goes_left(left) {
            return None;
        }
        while left < right - 1 {
            let middle = i64::midpoint(left, right);
            if goes_left(middle) {
                left = middle;
            } else {
                right = middle;
            }
        }
        Some(left)
    }

    /// Whether a number that people write goes left.
    pub(super) fn takes(self, number: f64) -> bool {
        match self {
            Self::Below(bound) => float(number) < bound,
            Self::UpTo(bound) => float(number) <= bound,
            Self::UpToDouble(bound) => number <= bound,
        }
    }
}

/// The float that is nearest.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what the other library does")]
pub(super) fn float(number: f64) -> f32 {
    number as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Currency;

    #[test]
    fn a_threshold_is_the_last_number_that_the_other_library_sends_left() {
        let cents = Unit::Minor(Currency::parse("EUR").unwrap());
        let cuts = [
            // 329.98 itself does not lie below the float that stands for it.
            (Cut::Below(329.98), cents, Some(32_997)),
            (Cut::UpTo(329.98), cents, Some(32_998)),
            (Cut::Below(4.0), Unit::Whole, Some(3)),
            (Cut::UpTo(4.0), Unit::Whole, Some(4)),
            (Cut::UpToDouble(3.500_000_000_000_000_4), Unit::Whole, Some(3)),
            (Cut::UpToDouble(-0.075_485_5), Unit::Micro, Some(-75_486)),
            (Cut::UpToDouble(1e-35), Unit::Truth, Some(0)),
            (Cut::UpToDouble(-1e-35), Unit::Truth, Some(-1)),
            (Cut::Below(0.5), Unit::Millis, Some(499)),
            (Cut::Below(f32::INFINITY), Unit::Micro, Some(i64::MAX)),
            (Cut::Below(f32::NEG_INFINITY), Unit::Micro, None),
            (Cut::UpToDouble(f64::NAN), Unit::Micro, None),
            (Cut::UpToDouble(f64::MIN), Unit::Micro, None),
        ];
        for (cut, unit, expected) in cuts {
            assert_eq!(cut.threshold(unit), expected, "{cut:?} {unit:?}");
        }
    }

    /// A number of a unit as the other library reads it: from decimal digits.
    fn parsed(value: i64, unit: Unit) -> f64 {
        let digits = unit.per_natural().ilog10() as usize;
        let (size, per) = (value.unsigned_abs(), unit.per_natural().unsigned_abs());
        let sign = if value < 0 { "-" } else { "" };
        format!("{sign}{}.{:0digits$}", size / per, size % per).parse().unwrap()
    }

    fn check(bound: f64, unit: Unit) {
        for cut in [Cut::Below(float(bound)), Cut::UpTo(float(bound)), Cut::UpToDouble(bound)] {
            let threshold = cut.threshold(unit).unwrap();
            for value in threshold - 2..=threshold + 2 {
                assert_eq!(cut.takes(parsed(value, unit)), value <= threshold, "{cut:?} {value}");
            }
        }
    }

    #[test]
    fn no_number_beside_a_threshold_goes_another_way() {
        let mut word = 7_u64;
        let cents = Unit::Minor(Currency::parse("EUR").unwrap());
        for _ in 0..400 {
            word = word
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let bound = f64::from(i32::try_from(word >> 40).unwrap() - 8_000_000) / 1_003.0;
            for unit in [cents, Unit::Micro, Unit::Millis] {
                check(bound, unit);
            }
        }
    }
}
