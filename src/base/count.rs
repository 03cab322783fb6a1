//! Counts as floating point, for shares, rates and pictures.

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

#[cfg(test)]
mod tests {
    use super::*;

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
