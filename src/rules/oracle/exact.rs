//! What a value stands for, as a fraction without a bound, by walking the author's tree once more.
//!
//! A value that the other modules work out may be rounded; comparisons and `round` go by what is found here. `None`:
//! it is made of something that is never known exactly.

use core::cmp::Ordering;

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::Signed;

use crate::base::Currency;
use crate::rules::oracle::Oracle;
use crate::rules::oracle::datum::{Datum, Exact, meet, nearest, order};
use crate::rules::oracle::interpret::{Scope, literal, millionths};
use crate::rules::syntax::ast::{
    Aggregate, AggregateFunction, ArithmeticOp, Decimal, Expr, ExprKind, LiteralKind, Path,
};

/// A decimal of more digits is not told from its neighbours by a double.
const MAX_DIGITS: usize = 15;

impl Oracle<'_> {
    /// How two values compare, whose expressions are given; `None` when that is undecided.
    pub(super) fn order_of(
        &self,
        scope: &Scope<'_>,
        (left, a): (&Expr, &Datum),
        (right, b): (&Expr, &Datum),
    ) -> Option<Ordering> {
        let by_value = order(a, b)?;
        if is_bound(a) || is_bound(b) {
            return Some(by_value);
        }
        let currency = currency_of(a).or_else(|| currency_of(b));
        let (left, right) = (self.exact(scope, left, currency), self.exact(scope, right, currency));
        Some(left.zip(right).map_or(by_value, |(left, right)| left.cmp(&right)))
    }

    /// The nearest whole number to what an expression stands for, halves away from zero.
    pub(super) fn round(&self, scope: &Scope<'_>, expr: &Expr, value: f64) -> Option<i128> {
        let Some(exact) = self.exact(scope, expr, None) else { return nearest(value) };
        let (twice, half) = (exact.numer() * 2, exact.denom().clone());
        let away = if exact.is_negative() { twice - &half } else { twice + &half };
        i128::try_from(away / (half * 2)).ok()
    }

    /// What a value that is there stands for; amounts in units of a millionth of the currency's smallest.
    fn exact(
        &self,
        scope: &Scope<'_>,
        expr: &Expr,
        currency: Option<Currency>,
    ) -> Option<BigRational> {
        match &expr.kind {
            ExprKind::Literal(known) => match &known.kind {
                LiteralKind::Number(decimal) => Some(fraction(*decimal)),
                LiteralKind::Percent(decimal) => {
                    Some(fraction(Decimal { scale: decimal.scale + 2, ..*decimal }))
                }
                kind => leaf(literal(kind, &self.zone), currency),
            },
            ExprKind::Path(path) => self.exact_path(scope, path, expr, currency),
            ExprKind::Aggregate(aggregate) => self.exact_aggregate(scope, aggregate, currency),
            ExprKind::Arithmetic(op, left, right) => {
                self.exact_arithmetic(scope, *op, (left, right), currency)
            }
            ExprKind::Default(first, second) => {
                let (left, _) = self.pair(scope, first, second);
                self.exact(scope, if left.is_missing() { second } else { first }, currency)
            }
            ExprKind::PercentOf(share, of) => match share.kind {
                LiteralKind::Percent(decimal) => {
                    let share = ratio(millionths(decimal, 4), 1_000_000);
                    Some(self.exact(scope, of, currency)? * share)
                }
                _ => None,
            },
            ExprKind::Call(name, arguments) => match (name.text.as_str(), arguments.as_slice()) {
                ("abs", [of]) => Some(self.exact(scope, of, currency)?.abs()),
                ("round" | "hour" | "length", _) => leaf(self.value(scope, expr), currency),
                (list, [_]) if self.givens.contains_key(list) => {
                    leaf(self.value(scope, expr), currency)
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn exact_path(
        &self,
        scope: &Scope<'_>,
        path: &Path,
        expr: &Expr,
        currency: Option<Currency>,
    ) -> Option<BigRational> {
        if let ([name], false) = (path.parts.as_slice(), path.this) {
            let name = name.text.as_str();
            if let Some(at) = scope.lets.iter().position(|(known, _)| *known == name) {
                let earlier = Scope { lets: scope.lets[..at].to_vec(), ..scope.clone() };
                return self.exact(&earlier, scope.lets[at].1, currency);
            }
            if let Some(param) = scope.params.get(name) {
                let kind = ExprKind::Literal((*param).clone());
                return self.exact(scope, &Expr { kind, span: expr.span }, currency);
            }
            let is_field = self.field(scope.event.row.event(), name).is_some();
            if let (Some(feature), false) = (self.features.get(name), is_field) {
                return self.exact(&Scope::new(scope.event, scope.arrived), feature, currency);
            }
        }
        leaf(self.path(scope, path), currency)
    }

    fn exact_aggregate(
        &self,
        scope: &Scope<'_>,
        aggregate: &Aggregate,
        currency: Option<Currency>,
    ) -> Option<BigRational> {
        if aggregate.function == AggregateFunction::Share {
            let (passing, all) = self.shared(scope, aggregate)?;
            return Some(ratio(passing, all));
        }
        match self.aggregate(scope, aggregate) {
            Datum::Statistic { value, exact } if exact.mean_share == 1 => {
                let Exact { count, sum, micro, .. } = exact;
                let mean = ratio(sum, count);
                Some(match *value {
                    Datum::Money { .. } => mean * BigInt::from(1_000_000),
                    _ if micro => mean / BigInt::from(1_000_000),
                    _ => mean,
                })
            }
            // Numbers are remembered in millionths; the one in the middle may be half of one.
            Datum::Number(number) => nearest(number * 2e6).map(|halves| ratio(halves, 2_000_000)),
            datum => leaf(datum, currency),
        }
    }

    fn exact_arithmetic(
        &self,
        scope: &Scope<'_>,
        op: ArithmeticOp,
        (left, right): (&Expr, &Expr),
        currency: Option<Currency>,
    ) -> Option<BigRational> {
        let (a, b) = (self.value(scope, left).plain(), self.value(scope, right).plain());
        let own = match (&a, &b) {
            (Datum::Money { .. }, Datum::Money { .. }) => currency_of(&meet(a, b, self.base).0),
            _ => currency,
        };
        let (a, b) = (self.exact(scope, left, own)?, self.exact(scope, right, own)?);
        Some(match op {
            ArithmeticOp::Add => a + b,
            ArithmeticOp::Sub => a - b,
            ArithmeticOp::Mul => a * b,
            ArithmeticOp::Div if *b.numer() == BigInt::ZERO => return None,
            ArithmeticOp::Div => a / b,
        })
    }
}

/// Whether a value is compared as an average and deviations.
fn is_bound(datum: &Datum) -> bool {
    matches!(datum, Datum::Statistic { exact, .. } if exact.mean_share == 1 && exact.squares >= 0)
}

fn currency_of(datum: &Datum) -> Option<Currency> {
    match datum {
        Datum::Money { currency, .. } => Some(*currency),
        Datum::Statistic { value, .. } => currency_of(value),
        _ => None,
    }
}

fn leaf(datum: Datum, currency: Option<Currency>) -> Option<BigRational> {
    let datum = match currency {
        Some(currency) => datum.converted(currency),
        None => datum,
    };
    match datum {
        Datum::Integer(x) | Datum::Duration(x) | Datum::Time(x) => Some(ratio(x.into(), 1)),
        Datum::Money { micro, .. } => Some(ratio(micro, 1)),
        Datum::Number(number) => written(number),
        _ => None,
    }
}

/// The decimal that a number is shown as, where that is not longer than a double tells apart.
fn written(number: f64) -> Option<BigRational> {
    let shown = format!("{number}");
    let digits: String = shown.chars().filter(char::is_ascii_digit).collect();
    if digits.trim_start_matches('0').len() > MAX_DIGITS {
        return None;
    }
    let scale = shown.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let sign = if number < 0.0 { -1 } else { 1 };
    let mantissa: i128 = digits.parse().ok()?;
    Some(fraction(Decimal { mantissa: sign * mantissa, scale: u32::try_from(scale).ok()? }))
}

fn fraction(decimal: Decimal) -> BigRational {
    ratio(decimal.mantissa, 1) / BigInt::from(10).pow(decimal.scale)
}

fn ratio(num: i128, den: i128) -> BigRational {
    BigRational::from_integer(num.into()) / BigInt::from(den)
}
