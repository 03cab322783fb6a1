//! Exact arithmetic against school arithmetic.

use core::cmp::Ordering;

use proptest::prelude::*;

use super::big::Big;
use crate::rules::eval::number::{
    Spread, compare_int_number, divide_rounded, divided_by_number, haversine_m, rounded,
    times_number,
};

/// A finite number as `mantissa * 2^exponent`, by halving and doubling.
fn parts(mut number: f64) -> (i128, i32) {
    let mut exponent = 0;
    while number.fract().abs() > 0.0 {
        number *= 2.0;
        exponent -= 1;
    }
    while number.abs() > 1e18 {
        number /= 2.0;
        exponent += 1;
    }
    (rounded(number).unwrap(), exponent)
}

/// Numerator and denominator of `amount * mantissa * 2^exponent`.
fn fraction(amount: &Big, mantissa: &Big, exponent: i32) -> (Big, Big) {
    let power = Big::power_of_two(exponent.unsigned_abs());
    let product = amount.times(mantissa);
    if exponent < 0 { (product, power) } else { (product.times(&power), Big::of(1)) }
}

/// Whether `result` is `numerator / denominator` rounded half away from zero.
fn is_rounded(result: i128, numerator: &Big, denominator: &Big) -> bool {
    let (result, two) = (Big::of(result), Big::of(2));
    let rest = numerator.minus(&result.times(denominator));
    match two.times(&rest.size()).compare(&denominator.size()) {
        Ordering::Less => true,
        Ordering::Greater => false,
        Ordering::Equal => {
            let exact_size = numerator.size();
            result.size().times(&denominator.size()).compare(&exact_size).is_gt()
        }
    }
}

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![
        -1e6..1e6,
        (-8_000_i32..8_000).prop_map(|eighths| f64::from(eighths) / 8.0),
        -1.0..1.0,
        Just(1e-30),
        Just(1e15),
        Just(0.1),
        Just(2.5),
    ]
}

proptest! {
    #[test]
    fn money_times_a_number_is_the_exact_product_rounded_once(
        amount in -1_000_000_000_000_000_000_000_i128..1_000_000_000_000_000_000_000,
        factor in numbers(),
    ) {
        let (mantissa, exponent) = parts(factor);
        let (numerator, denominator) = fraction(&Big::of(amount), &Big::of(mantissa), exponent);
        let product = times_number(amount, factor).unwrap();
        prop_assert!(is_rounded(product, &numerator, &denominator), "{amount} * {factor} = {product}");
    }

    #[test]
    fn money_divided_by_a_number_is_the_exact_quotient_rounded_once(
        amount in -1_000_000_000_000_000_i128..1_000_000_000_000_000,
        divisor in numbers(),
    ) {
        prop_assume!(divisor.abs() > 1e-12);
        let (mantissa, exponent) = parts(divisor);
        let (denominator, numerator) = fraction(&Big::of(1), &Big::of(mantissa), exponent);
        let numerator = numerator.times(&Big::of(amount));
        let quotient = divided_by_number(amount, divisor).unwrap();
        prop_assert!(is_rounded(quotient, &numerator, &denominator), "{amount} / {divisor}");
    }

    #[test]
    fn whole_division_rounds_half_away_from_zero(a in any::<i64>(), b in any::<i64>()) {
        prop_assume!(b != 0);
        let quotient = divide_rounded(a.into(), b.into()).unwrap();
        prop_assert!(is_rounded(quotient, &Big::of(a.into()), &Big::of(b.into())));
    }

    #[test]
    fn integers_and_numbers_compare_without_rounding(
        int in prop_oneof![any::<i64>(), -100_i64..100, Just(i64::MAX), Just(i64::MIN)],
        number in prop_oneof![
            numbers(),
            any::<i64>().prop_map(|x| crate::rules::eval::number::number_of(x.into())),
            Just(9_223_372_036_854_775_808.0),
            Just(-9_223_372_036_854_775_808.0),
            Just(1e300),
            Just(-1e300),
            (-100_i32..100).prop_map(|x| f64::from(x) / 2.0),
        ],
    ) {
        let (mantissa, exponent) = parts(number);
        let power = Big::power_of_two(exponent.unsigned_abs());
        let (left, right) = if exponent < 0 {
            (Big::of(int.into()).times(&power), Big::of(mantissa))
        } else {
            (Big::of(int.into()), Big::of(mantissa).times(&power))
        };
        prop_assert_eq!(compare_int_number(int, number), Some(left.compare(&right)));
    }

    #[test]
    fn deviations_compare_exactly(
        values in prop::collection::vec(
            prop_oneof![-50_i64..50, Just(i64::MAX), Just(i64::MIN), any::<i64>()],
            1..6,
        ),
        value_micro in prop_oneof![
            (-100_i128..100).prop_map(|x| x * 500_000),
            any::<i64>().prop_map(|x| i128::from(x) * 1_000_000),
        ],
        factor_micro in prop_oneof![
            (-6_i64..6).prop_map(|x| x * 500_000),
            any::<i64>(),
        ],
    ) {
        let big = |x: i64| Big::of(x.into());
        let sum: i128 = values.iter().map(|x| i128::from(*x)).sum();
        let squares: i128 = match values.iter().try_fold(0_i128, |sum, x| {
            sum.checked_add(i128::from(*x) * i128::from(*x))
        }) {
            Some(squares) => squares,
            None => return Ok(()),
        };
        let count = i128::try_from(values.len()).unwrap();
        // V = n * Q - S^2 is the sum of squared differences of all pairs.
        let mut variance = Big::of(0);
        for (i, a) in values.iter().enumerate() {
            for b in &values[..i] {
                let difference = big(*a).minus(&big(*b));
                variance = variance.plus(&difference.times(&difference));
            }
        }
        let difference =
            Big::of(count).times(&Big::of(value_micro)).minus(&Big::of(sum).times(&Big::of(1_000_000)));
        let factor = big(factor_micro);
        let left = difference.times(&difference.size());
        let right = factor.times(&factor.size()).times(&variance);
        let spread = Spread { count, sum, squares };
        prop_assert_eq!(spread.compare(value_micro, factor_micro), Some(left.compare(&right)));
    }
}

#[test]
fn an_overflowing_product_is_no_answer() {
    assert_eq!(times_number(i128::MAX, 1.5), None);
    assert_eq!(times_number(1, 1e300), None);
    assert_eq!(times_number(0, 1e300), Some(0));
    assert_eq!(times_number(i128::MAX, 1e-300), Some(0));
    assert_eq!(divided_by_number(5, 0.0), None);
    assert_eq!(divided_by_number(1, 1e-300), None);
    assert_eq!(divided_by_number(1, 1e300), Some(0));
    assert_eq!(divide_rounded(1, 0), None);
}

/// London to Paris, by the spherical law of cosines: 343.56 km.
#[test]
fn london_is_344_km_from_paris() {
    let distance = haversine_m((51.5074, -0.1278), (48.8566, 2.3522));
    assert!((343_400.0..343_700.0).contains(&distance), "{distance}");
    let antipodes = haversine_m((0.0, 0.0), (0.0, 180.0));
    assert!((antipodes - core::f64::consts::PI * 6_371_008.8).abs() < 1e-6);
}
