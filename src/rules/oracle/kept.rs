//! Aggregates of features: what a feature was on each event, worked out as of that event.

use crate::event::schema::{EventId, FieldId};
use crate::rules::oracle::aggregate::{remembered_number, statistic};
use crate::rules::oracle::datum::{Datum, nearest, ratio};
use crate::rules::oracle::interpret::Scope;
use crate::rules::oracle::{Oracle, Past};
use crate::rules::syntax::ast::{Aggregate, AggregateFunction, ArithmeticOp, Expr, ExprKind};

/// Millionths of a minor unit in one.
const MICRO: i128 = 1_000_000;

impl Oracle<'_> {
    /// The event and the feature that an aggregate names.
    pub(super) fn kept_feature(&self, aggregate: &Aggregate) -> Option<(EventId, &str)> {
        let [event, name] = aggregate.path.parts.as_slice() else { return None };
        let event = self.schema.event_named(&event.text)?;
        let (name, _) = self.features.get_key_value(name.text.as_str())?;
        self.field(event, name).is_none().then_some((event, *name))
    }

    /// An aggregate of a feature.
    pub(super) fn of_feature(
        &self,
        scope: &Scope<'_>,
        aggregate: &Aggregate,
        (event, name): (EventId, &str),
    ) -> Datum {
        let Some(counted) = self.counted(scope, aggregate, event) else { return Datum::Missing };
        let passing = counted.iter().filter(|(at, past)| self.passes(scope, aggregate, past, *at));
        let values = passing.map(|(at, past)| {
            let value = self.feature(&scope.inside(past, *at), name);
            (*past, kept(value.plain().settled(self.base)))
        });
        let values: Vec<(&Past, Datum)> = values.filter(|(_, value)| !value.is_missing()).collect();
        match (aggregate.function, self.features.get(name)) {
            (AggregateFunction::Last, _) => {
                values.last().map_or(Datum::Missing, |(_, value)| value.clone())
            }
            (_, Some(expr)) => statistic(aggregate, &self.type_of(expr), &values),
            (_, None) => Datum::Missing,
        }
    }

    /// Whether a feature was nothing on an event that counts, for want of a rate for an amount that it is made of.
    pub(super) fn feature_leaves_out(
        &self,
        scope: &Scope<'_>,
        aggregate: &Aggregate,
        (event, name): (EventId, &str),
    ) -> bool {
        let Some(expr) = self.features.get(name) else { return false };
        let counted = self.counted(scope, aggregate, event).unwrap_or_default();
        let amounts = self.amounts_in(event, expr);
        let is_unpriced = |past: &Past, field: FieldId| {
            let amount = self.load(past, event, field);
            matches!(amount, Datum::Money { .. }) && amount.converted(self.base).is_missing()
        };
        let looks_back = aggregates_in(expr);
        counted.iter().any(|(at, past)| {
            let inside = scope.inside(past, *at);
            let lacks_own = || {
                self.feature(&inside, name).is_missing()
                    && amounts.iter().any(|field| is_unpriced(past, *field))
            };
            let left_out = || looks_back.iter().any(|asked| self.leaves_out(&inside, asked));
            self.passes(scope, aggregate, past, *at) && (lacks_own() || left_out())
        })
    }

    /// The fields that an expression is made of without looking back, for the shapes that random features have.
    fn amounts_in(&self, event: EventId, expr: &Expr) -> Vec<FieldId> {
        match &expr.kind {
            ExprKind::Path(path) => {
                let words: Vec<&str> = path.parts.iter().map(|part| part.text.as_str()).collect();
                self.field(event, &words.join(".")).into_iter().collect()
            }
            ExprKind::Call(_, list) => {
                list.iter().flat_map(|part| self.amounts_in(event, part)).collect()
            }
            ExprKind::Arithmetic(_, a, b) | ExprKind::Default(a, b) => {
                [a, b].into_iter().flat_map(|part| self.amounts_in(event, part)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// A value of the type that an expression has, for the shapes that random features have.
    fn type_of(&self, expr: &Expr) -> Datum {
        match &expr.kind {
            ExprKind::Aggregate(aggregate) => match (aggregate.function, self.target(aggregate)) {
                (AggregateFunction::Count | AggregateFunction::Distinct, _) => Datum::Integer(0),
                (_, Some((event, Some(field)))) => self.unit(aggregate, event, field),
                _ => Datum::Number(0.0),
            },
            ExprKind::Default(value, _) => self.type_of(value),
            ExprKind::Arithmetic(ArithmeticOp::Add | ArithmeticOp::Sub, value, _) => {
                self.type_of(value)
            }
            _ => Datum::Number(0.0),
        }
    }
}

/// The aggregates that an expression asks, for the shapes that random features have.
fn aggregates_in(expr: &Expr) -> Vec<&Aggregate> {
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => vec![aggregate],
        ExprKind::Call(_, list) => list.iter().flat_map(aggregates_in).collect(),
        ExprKind::Arithmetic(_, a, b) | ExprKind::Default(a, b) => {
            [a, b].into_iter().flat_map(|part| aggregates_in(part)).collect()
        }
        _ => Vec::new(),
    }
}

/// A value as it is kept: money in whole minor units, numbers in millionths, nothing beyond 64 bits.
fn kept(value: Datum) -> Datum {
    match value {
        Datum::Money { micro, currency, .. } => {
            let minor = ratio(micro, MICRO).filter(|minor| i64::try_from(*minor).is_ok());
            Datum::money(minor.map(|minor| minor * MICRO), currency)
        }
        Datum::Number(number) => {
            let fits = nearest(number * 1e6).is_some_and(|micro| i64::try_from(micro).is_ok());
            if fits { remembered_number(value) } else { Datum::Missing }
        }
        Datum::Integer(_) => value,
        _ => Datum::Missing,
    }
}
