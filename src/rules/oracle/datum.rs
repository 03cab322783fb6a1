//! The oracle's values: every one carries its own type and unit, and statistics remember what they were made of.

use std::collections::BTreeMap;
use std::rc::Rc;

use core::cmp::Ordering;

use crate::base::Currency;

/// Millionths.
const MICRO: i128 = 1_000_000;

/// A value of the language.
#[derive(Clone, Debug, PartialEq)]
pub enum Datum {
    /// Not computable.
    Missing,
    /// Truth.
    Bool(bool),
    /// Whole number.
    Integer(i64),
    /// Other number.
    Number(f64),
    /// Money in millionths of a minor unit.
    Money {
        /// How much.
        micro: i128,
        /// Of what.
        currency: Currency,
        /// Whether it came from a record that may carry any currency: such money takes the currency that its
        /// neighbour asks for, else the policy's, and is missing when that is another one.
        varying: bool,
        /// Of a field, where there are exchange rates: the same in every other currency that has a rate.
        elsewhere: Option<Rc<BTreeMap<Currency, i128>>>,
    },
    /// Milliseconds.
    Duration(i64),
    /// Milliseconds since 1970.
    Time(i64),
    /// Metres.
    Distance(f64),
    /// Metres per second.
    Speed(f64),
    /// Text, entity id or address.
    Text(String),
    /// Member of a closed set, country or currency.
    Word(String),
    /// Degrees.
    Geo(f64, f64),
    /// A mean or a standard deviation, or the sum of one and a multiple of the other.
    Statistic {
        /// The rounded value.
        value: Box<Datum>,
        /// What it is exactly.
        exact: Exact,
    },
}

/// `mean_share * S / n + factor * sqrt(n * Q - S * S) / n`, in units of what was remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exact {
    /// 0 or 1.
    pub mean_share: i128,
    /// In millionths.
    pub factor_micro: i128,
    /// n.
    pub count: i128,
    /// S.
    pub sum: i128,
    /// Q; negative for a plain mean, which compares by its rounded value.
    pub squares: i128,
    /// Whether S and Q are in millionths (numbers are remembered so).
    pub micro: bool,
}

impl Datum {
    /// The plain value of a statistic.
    pub(super) fn plain(self) -> Self {
        match self {
            Self::Statistic { value, .. } => *value,
            other => other,
        }
    }

    /// Whether values are one key: amounts are, where they are as much of the same currency, whatever that is worth.
    pub(super) fn is_key(&self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Money { micro, currency, .. },
                Self::Money { micro: other, currency: of, .. },
            ) => (micro, currency) == (other, of),
            _ => self == other,
        }
    }

    pub(super) fn is_missing(&self) -> bool {
        *self == Self::Missing
    }

    pub(super) fn number(value: f64) -> Self {
        if value.is_finite() { Self::Number(value) } else { Self::Missing }
    }

    pub(super) fn integer(value: Option<i128>) -> Self {
        value.and_then(|value| i64::try_from(value).ok()).map_or(Self::Missing, Self::Integer)
    }

    pub(super) fn duration(value: Option<i128>) -> Self {
        value.and_then(|value| i64::try_from(value).ok()).map_or(Self::Missing, Self::Duration)
    }

    pub(super) fn time(value: Option<i128>) -> Self {
        value.and_then(|value| i64::try_from(value).ok()).map_or(Self::Missing, Self::Time)
    }

    /// Money of one currency.
    pub(super) fn money(micro: Option<i128>, currency: Currency) -> Self {
        micro.map_or(Self::Missing, |micro| Self::Money {
            micro,
            currency,
            varying: false,
            elsewhere: None,
        })
    }

    /// Varying money in the policy's currency; everything else as it is.
    pub(super) fn settled(self, base: Currency) -> Self {
        match self {
            Self::Money { varying: true, .. } => self.converted(base),
            other => other,
        }
    }

    /// Money in a currency, where that can be known; everything else as it is.
    pub(super) fn converted(self, wanted: Currency) -> Self {
        match self {
            Self::Money { micro, currency, .. } if currency == wanted => {
                Self::money(Some(micro), currency)
            }
            Self::Money { elsewhere: Some(known), .. } => {
                Self::money(known.get(&wanted).copied(), wanted)
            }
            Self::Money { varying: true, .. } => Self::Missing,
            other => other,
        }
    }

    /// Money changed alike in every currency; everything else is missing.
    pub(super) fn each_money(self, change: impl Fn(i128) -> Option<i128>) -> Self {
        let Self::Money { micro, currency, varying, elsewhere } = self else {
            return Self::Missing;
        };
        let elsewhere = elsewhere.map(|known| {
            let changed = known.iter().filter_map(|(code, micro)| Some((*code, change(*micro)?)));
            Rc::new(changed.collect())
        });
        change(micro).map_or(Self::Missing, |micro| Self::Money {
            micro,
            currency,
            varying,
            elsewhere,
        })
    }
}

/// Brings varying money to the currency of its neighbour.
pub(super) fn meet(left: Datum, right: Datum, base: Currency) -> (Datum, Datum) {
    let fixed = |datum: &Datum| match datum {
        Datum::Money { currency, varying: false, elsewhere: None, .. } => Some(*currency),
        Datum::Statistic { value, .. } => match **value {
            Datum::Money { currency, .. } => Some(currency),
            _ => None,
        },
        _ => None,
    };
    // Fields with a currency of their own give way to what cannot be converted.
    let own = |datum: &Datum| match datum {
        Datum::Money { currency, varying: false, .. } => Some(*currency),
        _ => None,
    };
    let firm = fixed(&left).or_else(|| fixed(&right));
    let wanted = firm.or_else(|| own(&left).max(own(&right))).unwrap_or(base);
    (left.converted(wanted), right.converted(wanted))
}

/// Compares; `None` when that is undecided.
pub(super) fn order(left: &Datum, right: &Datum) -> Option<Ordering> {
    match (left, right) {
        (Datum::Statistic { exact, .. }, other) if is_bound(*exact) => {
            order_exactly(other, *exact).map(Ordering::reverse)
        }
        (other, Datum::Statistic { exact, .. }) if is_bound(*exact) => order_exactly(other, *exact),
        (Datum::Statistic { value, .. }, other) => order(value, other),
        (other, Datum::Statistic { value, .. }) => order(other, value),
        (Datum::Bool(a), Datum::Bool(b)) => Some(a.cmp(b)),
        (Datum::Integer(a), Datum::Integer(b))
        | (Datum::Duration(a), Datum::Duration(b))
        | (Datum::Time(a), Datum::Time(b)) => Some(a.cmp(b)),
        (Datum::Number(a), Datum::Number(b))
        | (Datum::Distance(a), Datum::Distance(b))
        | (Datum::Speed(a), Datum::Speed(b)) => a.partial_cmp(b),
        (Datum::Integer(a), Datum::Number(b)) => Some(whole_against(*a, *b)),
        (Datum::Number(a), Datum::Integer(b)) => Some(whole_against(*b, *a).reverse()),
        (
            Datum::Money { micro: a, currency: x, .. },
            Datum::Money { micro: b, currency: y, .. },
        ) => (x == y).then(|| a.cmp(b)),
        (Datum::Text(a), Datum::Text(b)) | (Datum::Word(a), Datum::Word(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn is_bound(exact: Exact) -> bool {
    exact.mean_share == 1 && exact.squares >= 0
}

/// Compares a whole number with another one by the whole numbers around it.
fn whole_against(whole: i64, number: f64) -> Ordering {
    let floor = number.floor();
    if floor >= 9.3e18 {
        return Ordering::Less;
    }
    if floor <= -9.3e18 {
        return Ordering::Greater;
    }
    let is_whole = number <= floor;
    match i128::from(whole).cmp(&to_i128(floor)) {
        Ordering::Equal if !is_whole => Ordering::Less,
        ordering => ordering,
    }
}

/// `value` against the exact statistic, all multiplied by n and by a million: `D` against `f * sqrt(V)`.
fn order_exactly(value: &Datum, exact: Exact) -> Option<Ordering> {
    let value_micro = match (value, exact.micro) {
        (Datum::Money { micro, .. }, _) => *micro,
        (Datum::Integer(x), false) => i128::from(*x) * MICRO,
        (Datum::Integer(x), true) => i128::from(*x).checked_mul(MICRO * MICRO)?,
        (Datum::Number(x), false) => nearest(*x * 1e6)?,
        (Datum::Number(x), true) => nearest(*x * 1e6)?.checked_mul(MICRO)?,
        _ => return None,
    };
    let sum_micro = exact.sum.checked_mul(MICRO)?;
    let distance = exact.count.checked_mul(value_micro)?.checked_sub(sum_micro)?;
    let variance =
        exact.count.checked_mul(exact.squares)?.checked_sub(exact.sum.checked_mul(exact.sum)?)?;
    let signed_square = |x: i128| x.checked_mul(x.abs());
    let right = signed_square(exact.factor_micro)?.checked_mul(variance)?;
    Some(signed_square(distance)?.cmp(&right))
}

/// The nearest whole number, halves away from zero.
pub(super) fn nearest(number: f64) -> Option<i128> {
    (number.abs() < 1e30).then(|| to_i128(number.round()))
}

/// `dividend / divisor`, halves away from zero.
pub(super) fn ratio(dividend: i128, divisor: i128) -> Option<i128> {
    if divisor == 0 {
        return None;
    }
    let (dividend, divisor) = if divisor < 0 {
        (dividend.checked_neg()?, divisor.checked_neg()?)
    } else {
        (dividend, divisor)
    };
    let doubled = dividend.checked_mul(2)?;
    let towards = if dividend < 0 { doubled - divisor } else { doubled + divisor };
    Some(towards / (divisor * 2))
}

/// `amount * number`, exact, then rounded. `None` where 128 bits are not enough.
pub(super) fn scale(amount: i128, number: f64) -> Option<i128> {
    let (mantissa, power) = fraction(number)?;
    ratio(amount.checked_mul(mantissa)?, power)
}

/// `amount / number`, exact, then rounded. `None` where 128 bits are not enough.
pub(super) fn unscale(amount: i128, number: f64) -> Option<i128> {
    let (mantissa, power) = fraction(number)?;
    ratio(amount.checked_mul(power)?, mantissa)
}

/// A number as a fraction over a power of two, where both fit.
fn fraction(mut number: f64) -> Option<(i128, i128)> {
    let mut power = 1_i128;
    while number.fract().abs() > 0.0 {
        number *= 2.0;
        power = power.checked_mul(2)?;
    }
    Some((nearest(number)?, power))
}

#[expect(clippy::cast_possible_truncation, reason = "callers bound the number by 10^30")]
fn to_i128(number: f64) -> i128 {
    number as i128
}

/// The nearest double.
#[expect(clippy::cast_precision_loss, reason = "the nearest double is what is asked for")]
pub(super) fn double(whole: i128) -> f64 {
    whole as f64
}
