//! Counts as floating point, for shares, rates and pictures, and back.

/// The double that is nearest to a count; exact below 2^53.
pub fn nearest_f64(n: u64) -> f64 {
    let half = |n: u64| f64::from(u32::try_from(n & u64::from(u32::MAX)).unwrap_or(u32::MAX));
    // The product is exact, so the sum is rounded once.
    half(n >> 32) * 4_294_967_296.0 + half(n)
}

/// The double that is nearest to a whole number; exact below 2^53 in size.
pub fn nearest_signed_f64(n: i64) -> f64 {
    let size = nearest_f64(n.unsigned_abs());
    if n < 0 { -size } else { size }
}

/// The whole number that is nearest to a double, halves away from zero; beyond the range of 64 bits its end, and 0 for NaN.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the one place where a double becomes an `i64`: the cast saturates, as the description says"
)]
pub fn nearest_i64(number: f64) -> i64 {
    number.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_become_the_nearest_whole_number_within_the_range() {
        for (number, expected) in [
            (0.49, 0),
            (0.5, 1),
            (-0.5, -1),
            (-2.4, -2),
            (9_007_199_254_740_993.0, 9_007_199_254_740_992),
            (1e19, i64::MAX),
            (f64::NEG_INFINITY, i64::MIN),
            (f64::NAN, 0),
        ] {
            assert_eq!(nearest_i64(number), expected, "{number}");
        }
    }

    #[test]
    fn counts_are_exact_up_to_2_to_the_53_and_nearest_beyond() {
        for (n, expected) in [
            (0, 0.0),
            (1, 1.0),
            (4_294_967_295, 4_294_967_295.0),
            (4_294_967_296, 4_294_967_296.0),
            (9_007_199_254_740_991, 9_007_199_254_740_991.0),
            // 2^53 + 1 lies between two doubles, and the even one is taken.
            (9_007_199_254_740_993, 9_007_199_254_740_992.0),
            (9_007_199_254_740_995, 9_007_199_254_740_996.0),
            (u64::MAX, 18_446_744_073_709_551_616.0),
        ] {
            assert_eq!(nearest_f64(n).to_bits(), f64::to_bits(expected), "{n}");
        }
    }
}
