//! Log odds as shares, and sums of parts as whole millionths.

use core::f64::consts::LN_2;

use crate::base::count::{nearest_i64, nearest_signed_f64};
use crate::models::offline::Contribution;

/// Billionths in a millionth.
const NANO_PER_MICRO: i128 = 1_000;

/// Beyond e^30 to 1 a share is 0 or 1 in millionths.
const MOST_LOG_ODDS: f64 = 30.0;

/// Terms of the series of the exponential; with all of them the error is below 1e-15 of it.
const TERMS: u32 = 14;

/// `1 / (1 + exp(-x))` in millionths, for log odds in billionths.
///
/// WHY: made of sums, products and quotients, because `f64::exp` is whatever the machine's library says, and a score is
/// compared with a bound.
pub(super) fn share_micro(log_odds_nano: i64) -> i64 {
    let x = (nearest_signed_f64(log_odds_nano) / 1e9).clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS);
    // The larger of both exponentials is at most 1, and the halves are mirror images to the last bit.
    let smaller = exp(-x.abs());
    let share = if x < 0.0 { smaller / (1.0 + smaller) } else { 1.0 / (1.0 + smaller) };
    nearest_i64(share * 1e6)
}

/// A mean in millionths: a sum in billionths over so many.
pub(super) fn mean_micro(sum_nano: i64, n: usize) -> i64 {
    let n = i128::try_from(n).unwrap_or(i128::MAX).max(1);
    nearest(i128::from(sum_nano), n * NANO_PER_MICRO)
}

/// Parts in the unit of sums as parts of a score: each is the step that `score_of` makes as the parts are summed up, so
/// that together they are what it makes from the base to the whole. Largest first.
pub(super) fn contributions(
    base: i64,
    parts: &[i64],
    score_of: impl Fn(i64) -> i64,
) -> Vec<Contribution> {
    let (mut sum, mut before) = (base, score_of(base));
    let mut found = Vec::new();
    for (feature, part) in parts.iter().enumerate() {
        sum = sum.saturating_add(*part);
        let score = if *part == 0 { before } else { score_of(sum) };
        if score != before {
            found.push(Contribution { feature, size_micro: score - before });
        }
        before = score;
    }
    found.sort_by_key(|part| (core::cmp::Reverse(part.size_micro.unsigned_abs()), part.feature));
    found
}

/// The share of log odds for [`contributions`]: the way from the base to the whole as a straight line, so that a part
/// does not depend on those before it.
pub(super) fn straight(base_nano: i64, whole_nano: i64) -> impl Fn(i64) -> i64 {
    let (from, to) = (share_micro(base_nano), share_micro(whole_nano));
    let way = i128::from(whole_nano) - i128::from(base_nano);
    move |at_nano| {
        let gone = i128::from(at_nano) - i128::from(base_nano);
        match way {
            0 => from,
            way if way < 0 => from + nearest(-gone * i128::from(to - from), -way),
            way => from + nearest(gone * i128::from(to - from), way),
        }
    }
}

/// The whole number that is nearest to a quotient by a number above 0; of two the larger.
fn nearest(number: i128, by: i128) -> i64 {
    let quotient = (2 * number + by).div_euclid(2 * by);
    i64::try_from(quotient).unwrap_or(if quotient < 0 { i64::MIN } else { i64::MAX })
}

/// The exponential of a number between -30 and 0.
///
/// # Source
/// x = k ln 2 + r with |r| <= ln 2 / 2; exp r by its Taylor series.
fn exp(x: f64) -> f64 {
    let k = (x / LN_2).round();
    let r = x - k * LN_2;
    let series = (1..=TERMS).rev().fold(1.0, |sum, n| 1.0 + r / f64::from(n) * sum);
    (0..nearest_i64(-k)).fold(series, |value, _| value * 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_that_of_the_library_to_fifteen_digits() {
        let mut x = -30.0_f64;
        while x <= 0.0 {
            let (given, known) = (exp(x), x.exp());
            assert!((given - known).abs() <= 3e-15 * known, "exp {x}: {given} {known}");
            x += 0.001_7;
        }
    }

    #[test]
    fn shares_are_those_of_the_logistic_function() {
        // python3 -c 'import math; print([round(1e6/(1+math.exp(-x))) for x in (0,1,-1,2.5,-7,14,-40,400)])'
        let known = [500_000, 731_059, 268_941, 924_142, 911, 999_999, 0, 1_000_000];
        for (x, expected) in [0.0, 1.0, -1.0, 2.5, -7.0, 14.0, -40.0, 400.0].into_iter().zip(known)
        {
            assert_eq!(share_micro(nearest_i64(x * 1e9)), expected, "{x}");
        }
        assert_eq!((share_micro(i64::MIN), share_micro(i64::MAX)), (0, 1_000_000));
    }

    #[test]
    fn parts_sum_up_although_each_is_rounded() {
        // Thirds of a millionth: 0.33, 0.67 and 1.00 are 0, 1 and 1.
        let found = contributions(0, &[1_000, 1_000, 1_000], |sum| mean_micro(sum, 3));
        assert_eq!(found, [Contribution { feature: 1, size_micro: 1 }]);
        assert_eq!(mean_micro(3_000, 3), 1);
    }

    #[test]
    fn a_straight_line_keeps_the_sign_of_every_part() {
        let parts = [2_000_000_000, -500_000_000, 0, 4_000_000_000];
        let (base, whole) = (-6_000_000_000, -500_000_000);
        let found = contributions(base, &parts, straight(base, whole));
        assert_eq!(found.iter().map(|it| it.feature).collect::<Vec<_>>(), [3, 0, 1]);
        assert!(found[0].size_micro > 0 && found[1].size_micro > 0 && found[2].size_micro < 0);
        let sum: i64 = found.iter().map(|it| it.size_micro).sum();
        assert_eq!(sum, share_micro(whole) - share_micro(base));
        let back: Vec<i64> = parts.iter().map(|part| -part).collect();
        let back = contributions(whole, &back, straight(whole, base));
        assert_eq!(back.iter().map(|it| it.size_micro).sum::<i64>(), -sum);
    }
}
