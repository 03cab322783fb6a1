//! The oracle's arithmetic, unit by unit.

use crate::base::Currency;
use crate::rules::oracle::datum::{Datum, Exact, double, meet, nearest, ratio, scale, unscale};
use crate::rules::syntax::ast::ArithmeticOp;

/// `left OP right`; missing when either is, on overflow, and on division by zero.
pub(super) fn arithmetic(op: ArithmeticOp, left: Datum, right: Datum, base: Currency) -> Datum {
    if let Some(statistic) = statistics(op, &left, &right) {
        return statistic;
    }
    let (left, right) = match (left.plain(), right.plain()) {
        (left @ Datum::Money { .. }, right @ Datum::Money { .. }) => meet(left, right, base),
        sides => sides,
    };
    match op {
        ArithmeticOp::Add => add(left, right),
        ArithmeticOp::Sub => subtract(left, right),
        ArithmeticOp::Mul => multiply(left, right),
        ArithmeticOp::Div => divide(left, right),
    }
}

/// `percent% of value`, given in parts per million.
pub(super) fn percent(ppm: i128, value: Datum) -> Datum {
    if let Datum::Statistic { value, exact } = value {
        let plain = percent(ppm, *value);
        return if exact.mean_share == 0 && exact.factor_micro == 1_000_000 {
            remember(plain, Exact { factor_micro: ppm, ..exact })
        } else {
            plain
        };
    }
    match value {
        Datum::Money { .. } => value.each_money(|micro| ratio(micro.checked_mul(ppm)?, 1_000_000)),
        Datum::Duration(ms) => Datum::duration(scale(ms.into(), double(ppm) / 1e6)),
        Datum::Integer(x) => Datum::number(double(x.into()) * (double(ppm) / 1e6)),
        Datum::Number(x) => Datum::number(x * (double(ppm) / 1e6)),
        _ => Datum::Missing,
    }
}

/// Combinations of means and deviations that stay exact: `factor * deviation`, `mean + factor * deviation`.
fn statistics(op: ArithmeticOp, left: &Datum, right: &Datum) -> Option<Datum> {
    let plain = |left: &Datum, right: &Datum| {
        arithmetic(op, left.clone().plain(), right.clone().plain(), Currency(0))
    };
    match (op, left, right) {
        (
            ArithmeticOp::Add | ArithmeticOp::Sub,
            Datum::Statistic { exact: a, .. },
            Datum::Statistic { exact: b, .. },
        ) => {
            let adds = op == ArithmeticOp::Add;
            let (mean, deviation) = match (a.mean_share, b.mean_share) {
                (1, 0) => (a, b),
                (0, 1) if adds => (b, a),
                _ => return None,
            };
            if (mean.count, mean.sum) != (deviation.count, deviation.sum) || mean.squares >= 0 {
                return None;
            }
            let sign = if adds { 1 } else { -1 };
            let factor_micro = sign * deviation.factor_micro;
            Some(remember(plain(left, right), Exact { mean_share: 1, factor_micro, ..*deviation }))
        }
        (ArithmeticOp::Mul, Datum::Statistic { exact, .. }, factor)
        | (ArithmeticOp::Mul, factor, Datum::Statistic { exact, .. })
            if exact.mean_share == 0 && exact.factor_micro == 1_000_000 =>
        {
            let factor_micro = match factor {
                Datum::Integer(x) => i128::from(*x) * 1_000_000,
                Datum::Number(x) => nearest(*x * 1e6)?,
                _ => return None,
            };
            Some(remember(plain(left, right), Exact { factor_micro, ..*exact }))
        }
        _ => None,
    }
}

fn remember(value: Datum, exact: Exact) -> Datum {
    if value.is_missing() { value } else { Datum::Statistic { value: Box::new(value), exact } }
}

fn add(left: Datum, right: Datum) -> Datum {
    let sum = |a: i64, b: i64| Some(i128::from(a) + i128::from(b));
    match (left, right) {
        (Datum::Integer(a), Datum::Integer(b)) => Datum::integer(sum(a, b)),
        (Datum::Duration(a), Datum::Duration(b)) => Datum::duration(sum(a, b)),
        (Datum::Time(a), Datum::Duration(b)) | (Datum::Duration(a), Datum::Time(b)) => {
            Datum::time(sum(a, b))
        }
        (
            Datum::Money { micro: a, currency: x, .. },
            Datum::Money { micro: b, currency: y, .. },
        ) if x == y => Datum::money(a.checked_add(b), x),
        (left, right) => doubles(&left, &right, |a, b| a + b),
    }
}

fn subtract(left: Datum, right: Datum) -> Datum {
    let difference = |a: i64, b: i64| Some(i128::from(a) - i128::from(b));
    match (left, right) {
        (Datum::Integer(a), Datum::Integer(b)) => Datum::integer(difference(a, b)),
        (Datum::Duration(a), Datum::Duration(b)) | (Datum::Time(a), Datum::Time(b)) => {
            Datum::duration(difference(a, b))
        }
        (Datum::Time(a), Datum::Duration(b)) => Datum::time(difference(a, b)),
        (
            Datum::Money { micro: a, currency: x, .. },
            Datum::Money { micro: b, currency: y, .. },
        ) if x == y => Datum::money(a.checked_sub(b), x),
        (left, right) => doubles(&left, &right, |a, b| a - b),
    }
}

fn multiply(left: Datum, right: Datum) -> Datum {
    let product = |a: i64, b: i64| Some(i128::from(a) * i128::from(b));
    match (left, right) {
        (Datum::Integer(a), Datum::Integer(b)) => Datum::integer(product(a, b)),
        (Datum::Duration(a), Datum::Integer(b)) | (Datum::Integer(b), Datum::Duration(a)) => {
            Datum::duration(product(a, b))
        }
        (Datum::Duration(a), Datum::Number(b)) | (Datum::Number(b), Datum::Duration(a)) => {
            Datum::duration(scale(a.into(), b))
        }
        (money @ Datum::Money { .. }, factor) | (factor, money @ Datum::Money { .. }) => money
            .each_money(|micro| match factor {
                Datum::Integer(b) => micro.checked_mul(b.into()),
                Datum::Number(b) => scale(micro, b),
                _ => None,
            }),
        (left, right) => doubles(&left, &right, |a, b| a * b),
    }
}

fn divide(left: Datum, right: Datum) -> Datum {
    match (left, right) {
        (
            Datum::Money { micro: a, currency: x, .. },
            Datum::Money { micro: b, currency: y, .. },
        ) => {
            if x == y {
                Datum::number(double(a) / double(b))
            } else {
                Datum::Missing
            }
        }
        (money @ Datum::Money { .. }, divisor) => money.each_money(|micro| match divisor {
            Datum::Integer(b) => ratio(micro, b.into()),
            Datum::Number(b) => unscale(micro, b),
            _ => None,
        }),
        (Datum::Duration(a), Datum::Duration(b)) => {
            Datum::number(double(a.into()) / double(b.into()))
        }
        (Datum::Distance(a), Datum::Distance(b)) => Datum::number(a / b),
        (Datum::Distance(metres), Datum::Duration(ms)) => {
            // Nothing is faster than light, which stands for two places in one instant.
            let speed =
                if metres > 0.0 || ms != 0 { metres * 1_000.0 / double(ms.into()) } else { 0.0 };
            Datum::Speed(speed.min(299_792_458.0))
        }
        (left, right) => doubles(&left, &right, |a, b| a / b),
    }
}

fn doubles(left: &Datum, right: &Datum, operation: fn(f64, f64) -> f64) -> Datum {
    let as_double = |datum: &Datum| match datum {
        Datum::Integer(x) => Some(double((*x).into())),
        Datum::Number(x) => Some(*x),
        _ => None,
    };
    match (as_double(left), as_double(right)) {
        (Some(a), Some(b)) => Datum::number(operation(a, b)),
        _ => Datum::Missing,
    }
}
