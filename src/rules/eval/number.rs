//! Arithmetic of the language: checked, exact where the language promises it, `None` where there is no answer.
//!
//! Rounding is always half away from zero. No function here returns NaN or an infinite number.

use core::cmp::Ordering;

use crate::base::Value;
use crate::rules::eval::wide::Wide;
use crate::rules::syntax::ast::CompareOp;

/// Millionths in one.
pub(crate) const MICRO: i128 = 1_000_000;

/// Mean Earth radius in metres (IUGG).
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// The nearest number.
#[expect(clippy::cast_precision_loss, reason = "the nearest number is what is asked for")]
pub(crate) fn number_of(int: i128) -> f64 {
    int as f64
}

/// A number value, or missing when it is none.
pub(crate) fn finite(number: f64) -> Value {
    if number.is_finite() { Value::Number(number) } else { Value::Missing }
}

/// An integer value, or missing on overflow.
pub(crate) fn int_value(int: Option<i64>) -> Value {
    int.map_or(Value::Missing, Value::Int)
}

/// A money value, or missing on overflow.
pub(crate) fn money_value(micro: Option<i128>) -> Value {
    micro.map_or(Value::Missing, Value::Money)
}

/// Whether `left OP right`, given how the two compare.
pub(crate) fn holds(op: CompareOp, ordering: Ordering) -> bool {
    match op {
        CompareOp::Eq => ordering.is_eq(),
        CompareOp::Ne => ordering.is_ne(),
        CompareOp::Lt => ordering.is_lt(),
        CompareOp::Le => ordering.is_le(),
        CompareOp::Gt => ordering.is_gt(),
        CompareOp::Ge => ordering.is_ge(),
    }
}

/// Compares two values of one type, texts excepted. `None` when one is missing or they do not compare.
pub(crate) fn compare(left: Value, right: Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(&b)),
        (Value::Money(a), Value::Money(b)) => Some(a.cmp(&b)),
        (Value::Number(a), Value::Number(b)) => a.partial_cmp(&b),
        (Value::Int(a), Value::Number(b)) => compare_int_number(a, b),
        (Value::Number(a), Value::Int(b)) => compare_int_number(b, a).map(Ordering::reverse),
        (Value::Code(a), Value::Code(b)) => Some(a.cmp(&b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
        _ => None,
    }
}

/// Compares an integer with a number without rounding either.
pub(crate) fn compare_int_number(int: i64, number: f64) -> Option<Ordering> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    if number >= LIMIT {
        return Some(Ordering::Less);
    }
    if number < -LIMIT {
        return Some(Ordering::Greater);
    }
    #[expect(clippy::cast_possible_truncation, reason = "whole and within the range of i64")]
    let whole = number.trunc() as i64;
    let fraction = number.fract();
    0.0_f64.partial_cmp(&fraction).map(|by_fraction| int.cmp(&whole).then(by_fraction))
}

/// The integer nearest to a number.
pub(crate) fn rounded(number: f64) -> Option<i128> {
    const LIMIT: f64 = 1e38;
    #[expect(clippy::cast_possible_truncation, reason = "below 10^38 in size, so within i128")]
    (number.abs() < LIMIT).then(|| number.round() as i128)
}

/// `dividend / divisor`, rounded half away from zero.
#[inline]
pub(crate) fn divide_rounded(dividend: i128, divisor: i128) -> Option<i128> {
    // WHY: 64 bits hold nearly every amount, and dividing 128 bits costs ten times as much.
    match (i64::try_from(dividend), i64::try_from(divisor)) {
        (Ok(dividend), Ok(divisor)) if divisor > 0 => {
            let (quotient, rest) = (dividend / divisor, (dividend % divisor).abs());
            let away = if rest >= divisor - rest { dividend.signum() } else { 0 };
            Some(i128::from(quotient) + i128::from(away))
        }
        _ => divide_rounded_wide(dividend, divisor),
    }
}

fn divide_rounded_wide(dividend: i128, divisor: i128) -> Option<i128> {
    let quotient = dividend.checked_div(divisor)?;
    let rest = dividend.checked_rem(divisor)?.unsigned_abs();
    if rest >= divisor.unsigned_abs() - rest {
        let away = if (dividend < 0) == (divisor < 0) { 1 } else { -1 };
        return quotient.checked_add(away);
    }
    Some(quotient)
}

/// `amount * factor`, exact before one rounding.
pub(crate) fn times_number(amount: i128, factor: f64) -> Option<i128> {
    let parts = Parts::of(factor)?;
    let product =
        Wide::from_u128(amount.unsigned_abs()).times(Wide::from_u128(parts.mantissa.into()));
    let size = if parts.exponent >= 0 {
        // Above 2^127 nothing but zero is representable, and zero stays zero.
        if product.to_u128() == Some(0) {
            Some(0)
        } else if parts.exponent < 128 {
            product.shifted_left(parts.exponent.unsigned_abs()).to_u128()
        } else {
            None
        }
    } else if parts.exponent > -400 {
        product.shifted_right_rounded(parts.exponent.unsigned_abs()).to_u128()
    } else {
        Some(0)
    };
    signed(size?, (amount < 0) != parts.negative)
}

/// `amount / divisor`, exact before one rounding. `None` for a zero divisor.
pub(crate) fn divided_by_number(amount: i128, divisor: f64) -> Option<i128> {
    let parts = Parts::of(divisor)?;
    if parts.mantissa == 0 {
        return None;
    }
    let size = amount.unsigned_abs();
    let quotient = match parts.exponent {
        _ if size == 0 => 0,
        // A divisor beyond 2^127 leaves at most one half.
        75.. => rounded(number_of(amount).abs() / divisor.abs())?.unsigned_abs(),
        0..75 => {
            let whole = i128::try_from(u128::from(parts.mantissa) << parts.exponent).ok()?;
            divide_rounded(i128::try_from(size).ok()?, whole)?.unsigned_abs()
        }
        -380..0 => Wide::from_u128(size)
            .shifted_left(parts.exponent.unsigned_abs())
            .divided_rounded(parts.mantissa)
            .to_u128()?,
        _ => return None,
    };
    signed(quotient, (amount < 0) != parts.negative)
}

/// A finite number as `mantissa * 2^exponent`.
struct Parts {
    negative: bool,
    mantissa: u64,
    exponent: i32,
}

impl Parts {
    fn of(number: f64) -> Option<Self> {
        if !number.is_finite() {
            return None;
        }
        let bits = number.to_bits();
        let biased = i32::try_from(bits >> 52 & 0x7ff).ok()?;
        let fraction = bits & ((1 << 52) - 1);
        let (mantissa, exponent) =
            if biased == 0 { (fraction, -1074) } else { (fraction | 1 << 52, biased - 1075) };
        Some(Self { negative: number.is_sign_negative(), mantissa, exponent })
    }
}

fn signed(size: u128, negative: bool) -> Option<i128> {
    let value = i128::try_from(size).ok()?;
    Some(if negative { -value } else { value })
}

/// The integers behind `value OP mean + factor * deviation`, all in units that agree.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    /// n, at least 1.
    pub(crate) count: i128,
    /// S in units of the column.
    pub(crate) sum: i128,
    /// Q in squared units of the column.
    pub(crate) squares: i128,
}

impl Spread {
    /// `n * Q - S * S`, never negative for real data.
    fn scaled_variance(self) -> Wide {
        let size = |value: i128| Wide::from_u128(value.unsigned_abs());
        size(self.count)
            .times(size(self.squares))
            .saturating_sub(size(self.sum).times(size(self.sum)))
    }

    /// Population standard deviation in units of the column.
    pub(crate) fn deviation(self) -> f64 {
        self.scaled_variance().to_f64().sqrt() / number_of(self.count)
    }

    /// Compares a value with `mean + factor * deviation`, exactly. `value_micro` is the value in millionths of the
    /// column's unit; `factor_micro` the factor in millionths. `None` on overflow.
    ///
    /// With `D = n * value - S`, in millionths, this is `D` against `factor_micro * sqrt(n * Q - S * S)`: signs
    /// first, then squares.
    pub(crate) fn compare(self, value_micro: i128, factor_micro: i64) -> Option<Ordering> {
        let scaled = self.count.checked_mul(value_micro)?;
        let difference = scaled.checked_sub(self.sum.checked_mul(MICRO)?)?;
        let variance = self.scaled_variance();
        let flat = variance.to_u128() == Some(0);
        let side = if flat { 0 } else { factor_micro.signum() };
        let by_sign = difference.signum().cmp(&i128::from(side));
        if by_sign.is_ne() || side == 0 {
            return Some(by_sign);
        }
        let distance = Wide::from_u128(difference.unsigned_abs());
        let factor = Wide::from_u128(u128::from(factor_micro.unsigned_abs()));
        let by_size = distance.times(distance).cmp(&factor.times(factor).times(variance));
        Some(if side > 0 { by_size } else { by_size.reverse() })
    }
}

/// Speed of light in m/s (BIPM, The International System of Units): nothing is faster.
pub(crate) const LIGHT_M_PER_S: f64 = 299_792_458.0;

/// Metres per second of a way and a time in ms; no more than light. Two places in one instant are what no speed reaches,
/// so that one stands for it; what stays in its place in one instant has not moved.
pub(crate) fn speed(metres: f64, ms: i64) -> Value {
    let quotient = match (ms, metres > 0.0) {
        (0, true) => LIGHT_M_PER_S,
        (0, false) => 0.0,
        _ => metres * 1_000.0 / number_of(ms.into()),
    };
    finite(quotient.min(LIGHT_M_PER_S))
}

/// Great-circle distance in metres of two places in degrees.
///
/// # Source
/// R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984), 159.
pub(crate) fn haversine_m(from: (f64, f64), to: (f64, f64)) -> f64 {
    let (lat_from, lat_to) = (from.0.to_radians(), to.0.to_radians());
    let half_lat = ((lat_to - lat_from) / 2.0).sin();
    let half_lon = ((to.1 - from.1).to_radians() / 2.0).sin();
    let chord = half_lat * half_lat + lat_from.cos() * lat_to.cos() * half_lon * half_lon;
    2.0 * EARTH_RADIUS_M * chord.clamp(0.0, 1.0).sqrt().asin()
}
