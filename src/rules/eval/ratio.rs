//! Exact fractions: what a comparison reckons with where its values are sums, products and quotients of whole numbers,
//! amounts and decimals. A double cannot hold 29 %, so `29% of count(b)` as a double is beside the bound it stands for.
//!
//! What is exact: integers, amounts, durations and times as they are; the decimal that a number was written as, of up
//! to [`MAX_DIGITS`] digits; `+ - * /`, `% of`, `abs`, `default` and averages of these. Deviations, logarithms,
//! distances, likenesses and scores are doubles from the start, and so is what is made of them.
//!
//! Cost: a multiplication or two of 128 bits per operation. Only what they do not hold is reckoned again, in fractions
//! without a bound.

use core::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{Signed, Zero};

use crate::base::Value;
use crate::rules::eval::number::divide_rounded;
use crate::rules::eval::wide::Wide;

/// Significant digits of a decimal that a double still tells from its neighbours.
pub(crate) const MAX_DIGITS: u32 = 15;

/// `10^15`: more digits than a double tells apart.
const MAX_MANTISSA: f64 = 1e15;

/// Decimals that are tried: powers of ten up to here are exact as doubles.
const MAX_SCALE: u32 = 22;

/// Exact arithmetic. `None` is what it cannot say: a quotient by zero, or more than it holds.
pub(crate) trait Fraction: Sized {
    /// `num / den`.
    fn new(num: i128, den: i128) -> Option<Self>;
    /// `self + other`.
    fn plus(self, other: Self) -> Option<Self>;
    /// `self - other`.
    fn minus(self, other: Self) -> Option<Self>;
    /// `self * other`.
    fn times(self, other: Self) -> Option<Self>;
    /// `self / other`.
    fn over(self, other: Self) -> Option<Self>;
    /// Without its sign.
    fn size(self) -> Option<Self>;
    /// The nearest whole number, halves away from zero.
    fn rounded(self) -> Option<i128>;
    /// Where it lies to another one.
    fn order(&self, other: &Self) -> Ordering;

    /// A value of a whole unit, or the decimal that a number was written as. `None` where it is neither.
    fn of_value(value: Value) -> Option<Self> {
        match value {
            Value::Int(x) => Self::new(x.into(), 1),
            Value::Money(micro) => Self::new(micro, 1),
            Value::Number(number) => decimal_of(number).and_then(|(num, den)| Self::new(num, den)),
            _ => None,
        }
    }
}

/// A fraction of 128 bits. INVARIANT: the denominator is above zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ratio {
    num: i128,
    den: i128,
}

impl Fraction for Ratio {
    fn new(num: i128, den: i128) -> Option<Self> {
        match den.signum() {
            1 => Some(Self { num, den }),
            -1 => Some(Self { num: num.checked_neg()?, den: den.checked_neg()? }),
            _ => None,
        }
    }

    fn plus(self, other: Self) -> Option<Self> {
        self.combined(other, |a, b| {
            if a.den == b.den {
                return Some(Self { num: a.num.checked_add(b.num)?, den: a.den });
            }
            let num = a.num.checked_mul(b.den)?.checked_add(b.num.checked_mul(a.den)?)?;
            Some(Self { num, den: a.den.checked_mul(b.den)? })
        })
    }

    fn minus(self, other: Self) -> Option<Self> {
        self.plus(Self { num: other.num.checked_neg()?, den: other.den })
    }

    fn times(self, other: Self) -> Option<Self> {
        self.combined(other, |a, b| {
            Some(Self { num: a.num.checked_mul(b.num)?, den: a.den.checked_mul(b.den)? })
        })
    }

    fn over(self, other: Self) -> Option<Self> {
        self.times(Self::new(other.den, other.num)?)
    }

    fn size(self) -> Option<Self> {
        Some(Self { num: self.num.checked_abs()?, den: self.den })
    }

    fn rounded(self) -> Option<i128> {
        divide_rounded(self.num, self.den)
    }

    fn order(&self, other: &Self) -> Ordering {
        match (self.num.checked_mul(other.den), other.num.checked_mul(self.den)) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => self.order_wide(other),
        }
    }
}

impl Ratio {
    fn order_wide(&self, other: &Self) -> Ordering {
        let by_sign = self.num.signum().cmp(&other.num.signum());
        if by_sign.is_ne() {
            return by_sign;
        }
        let product = |num: i128, den: i128| {
            Wide::from_u128(num.unsigned_abs()).times(Wide::from_u128(den.unsigned_abs()))
        };
        let by_size = product(self.num, other.den).cmp(&product(other.num, self.den));
        if self.num < 0 { by_size.reverse() } else { by_size }
    }

    /// An operation, tried again in lowest terms where 128 bits do not hold it otherwise.
    fn combined(self, other: Self, operation: fn(Self, Self) -> Option<Self>) -> Option<Self> {
        operation(self, other).or_else(|| operation(self.reduced(), other.reduced()))
    }

    fn reduced(self) -> Self {
        let divisor = common_divisor(self.num.unsigned_abs(), self.den.unsigned_abs());
        match i128::try_from(divisor) {
            Ok(divisor) if divisor > 1 => Self { num: self.num / divisor, den: self.den / divisor },
            _ => self,
        }
    }
}

impl Fraction for BigRational {
    fn new(num: i128, den: i128) -> Option<Self> {
        (den != 0).then(|| Self::new(BigInt::from(num), BigInt::from(den)))
    }

    fn plus(self, other: Self) -> Option<Self> {
        Some(self + other)
    }

    fn minus(self, other: Self) -> Option<Self> {
        Some(self - other)
    }

    fn times(self, other: Self) -> Option<Self> {
        Some(self * other)
    }

    fn over(self, other: Self) -> Option<Self> {
        (!other.is_zero()).then(|| self / other)
    }

    fn size(self) -> Option<Self> {
        Some(self.abs())
    }

    fn rounded(self) -> Option<i128> {
        i128::try_from(self.round().to_integer()).ok()
    }

    fn order(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

/// The decimal of at most [`MAX_DIGITS`] digits whose nearest double this is; there is one at most.
///
/// A whole number below 2^53 and a power of ten up to 10^22 are exact as doubles, so their quotient is rounded once:
/// it is this double exactly where this double is the nearest to the decimal.
pub(crate) fn decimal_of(number: f64) -> Option<(i128, i128)> {
    let (mut power, mut den) = (1.0_f64, 1_i128);
    for _ in 0..=MAX_SCALE {
        let mantissa = (number * power).round();
        if mantissa.abs() >= MAX_MANTISSA {
            return None;
        }
        if (mantissa / power).total_cmp(&number).is_eq() || (number == 0.0 && mantissa == 0.0) {
            #[expect(clippy::cast_possible_truncation, reason = "whole and below 10^15 in size")]
            let num = mantissa as i128;
            return Some((num, den));
        }
        power *= 10.0;
        den = den.checked_mul(10)?;
    }
    None
}

/// Euclid's algorithm.
fn common_divisor(mut a: u128, mut b: u128) -> u128 {
    while let Some(rest) = a.checked_rem(b) {
        (a, b) = (b, rest);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn big(ratio: Ratio) -> BigRational {
        BigRational::from_integer(BigInt::from(ratio.num)) / BigInt::from(ratio.den)
    }

    /// What arithmetic of unbounded fractions says; `None` for a quotient by zero.
    fn by_the_book(op: u8, a: &BigRational, b: &BigRational) -> Option<BigRational> {
        let zero = BigRational::from_integer(0.into());
        match op {
            0 => Some(a + b),
            1 => Some(a - b),
            2 => Some(a * b),
            _ if *b == zero => None,
            _ => Some(a / b),
        }
    }

    fn ratios() -> impl Strategy<Value = Ratio> {
        let num = prop_oneof![any::<i64>().prop_map(i128::from), -50_i128..50, any::<i128>()];
        let den = prop_oneof![1_i128..50, Just(1_000_000), 1..i128::MAX];
        (num, den).prop_map(|(num, den)| Ratio { num, den })
    }

    proptest! {
        #[test]
        fn what_it_says_is_exact(a in ratios(), b in ratios(), op in 0_u8..4) {
            let said = match op {
                0 => a.plus(b),
                1 => a.minus(b),
                2 => a.times(b),
                _ => a.over(b),
            };
            if let Some(said) = said {
                prop_assert!(said.den > 0);
                prop_assert_eq!(Some(big(said)), by_the_book(op, &big(a), &big(b)));
            }
        }

        #[test]
        fn a_product_of_64_bits_is_said(a: i64, b: i64, c in 1_i64.., d in 1_i64..) {
            let (a, b) = (Ratio { num: a.into(), den: c.into() }, Ratio { num: b.into(), den: d.into() });
            prop_assert!(a.times(b).is_some());
        }

        #[test]
        fn order_is_that_of_the_fractions(a in ratios(), b in ratios()) {
            prop_assert_eq!(a.order(&b), big(a).cmp(&big(b)));
        }

        #[test]
        fn a_decimal_comes_back_as_it_was_written(
            mantissa in -999_999_999_999_999_i64..1_000_000_000_000_000,
            scale in 0_u32..=22,
        ) {
            let number: f64 = format!("{mantissa}e-{scale}").parse().unwrap();
            let written = BigRational::from_integer(mantissa.into()) / BigInt::from(10).pow(scale);
            let (num, den) = decimal_of(number).unwrap();
            prop_assert_eq!(big(Ratio { num, den }), written);
        }
    }

    #[test]
    fn a_third_is_no_decimal() {
        assert!(decimal_of(1.0 / 3.0).is_none());
        assert!(decimal_of(0.1 + 0.2).is_none());
        assert!(decimal_of(1e300).is_none());
    }
}
