//! The natural logarithm from sums, products and quotients alone.
//!
//! WHY: `f64::ln` is whatever the machine's library says, to the last bit or nearly so. A score is compared with a bound
//! and written into a decision, so it must be the same on every machine; IEEE 754 promises that of these operations only.

use core::f64::consts::{LN_2, SQRT_2};

use crate::base::count::{nearest_f64, nearest_i64};

/// Nats in millionths.
const MICRO: f64 = 1e6;

/// Terms of the series; with all of them the error is below 1e-14.
const TERMS: u32 = 9;

/// `ln(of / share)` in millionths: the surprise at something that happens `share` times in `of`.
///
/// # Shape
/// `1 <= share <= of`; the answer lies between 0 and 45 million.
pub(super) fn surprise_micro(share: u64, of: u64) -> i64 {
    if share == 0 || share >= of {
        return 0;
    }
    nearest_i64(ln(nearest_f64(of) / nearest_f64(share)) * MICRO)
}

/// The natural logarithm of a normal positive number.
///
/// # Source
/// With x = m * 2^e and m in [sqrt(1/2), sqrt(2)]: ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), by its Taylor series.
pub(crate) fn ln(x: f64) -> f64 {
    const FRACTION: u64 = (1 << 52) - 1;
    const ONE: u64 = 1023 << 52;
    let bits = x.to_bits();
    let mut exponent = f64::from(u32::try_from(bits >> 52 & 0x7ff).unwrap_or(0)) - 1023.0;
    let mut mantissa = f64::from_bits(bits & FRACTION | ONE);
    if mantissa > SQRT_2 {
        mantissa *= 0.5;
        exponent += 1.0;
    }
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let series = (0..TERMS).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    exponent * LN_2 + 2.0 * s * series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_logarithm_of_the_library_to_fourteen_digits() {
        let mut x = 1e-12_f64;
        while x < 1e18 {
            let (given, known) = (ln(x), x.ln());
            assert!(
                (given - known).abs() <= 1e-14 * known.abs().max(1.0),
                "ln {x}: {given} {known}"
            );
            x *= 1.000_37;
        }
    }

    #[test]
    fn a_surprise_is_the_logarithm_of_one_in_how_many() {
        assert_eq!(surprise_micro(1, 1), 0);
        assert_eq!(surprise_micro(5, 4), 0, "more often than always");
        // ln 2, ln 1000, ln (2^64 - 1), in millionths.
        assert_eq!(surprise_micro(1, 2), 693_147);
        assert_eq!(surprise_micro(3, 3_000), 6_907_755);
        assert_eq!(surprise_micro(1, u64::MAX), 44_361_420);
    }
}
