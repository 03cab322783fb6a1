//! Aggregates, by walking every event that ever arrived.

use crate::event::schema::{EventId, FieldId};
use crate::rules::eval::Truth;
use crate::rules::oracle::datum::{Datum, Exact, double, nearest, ratio};
use crate::rules::oracle::interpret::Scope;
use crate::rules::oracle::{Oracle, Past, packed};
use crate::rules::syntax::ast::{
    Aggregate, AggregateFunction, Counting, LiteralKind, WindowKind, WindowLength,
};

impl Oracle<'_> {
    pub(super) fn aggregate(&self, scope: &Scope<'_>, aggregate: &Aggregate) -> Datum {
        let Some((event, field)) = self.target(aggregate) else { return Datum::Missing };
        let Some(counted) = self.counted(scope, aggregate, event) else { return Datum::Missing };
        let passing: Vec<&Past> =
            counted.iter().copied().filter(|past| self.passes(scope, aggregate, past)).collect();
        let Some(field) = field else {
            let n_passing = whole(passing.len());
            return match aggregate.function {
                AggregateFunction::Count => Datum::integer(Some(n_passing)),
                AggregateFunction::Share => {
                    Datum::number(double(n_passing) / double(whole(counted.len())))
                }
                AggregateFunction::TimeSince => match latest(&passing) {
                    Some(past) => {
                        let now = i128::from(scope.event.row.time_ms);
                        Datum::duration(Some(now - i128::from(past.row.time_ms)))
                    }
                    None => Datum::Missing,
                },
                _ => Datum::Missing,
            };
        };
        let values =
            passing.iter().map(|past| (*past, self.remembered(aggregate, past, event, field)));
        let values: Vec<(&Past, Datum)> = values.filter(|(_, value)| !value.is_missing()).collect();
        self.answer(scope, aggregate, (event, field), &values)
    }

    fn target(&self, aggregate: &Aggregate) -> Option<(EventId, Option<FieldId>)> {
        let (first, rest) = aggregate.path.parts.split_first()?;
        let event = self.schema.event_named(&first.text)?;
        if rest.is_empty() {
            return Some((event, None));
        }
        let words: Vec<&str> = rest.iter().map(|part| part.text.as_str()).collect();
        Some((event, Some(self.field(event, &words.join("."))?)))
    }

    /// The events of the window and key, before any filter. `None` where this event lacks a key.
    fn counted<'b>(
        &'b self,
        scope: &Scope<'b>,
        aggregate: &Aggregate,
        event: EventId,
    ) -> Option<Vec<&'b Past>> {
        let WindowKind::Sliding { counting, length, ending_ago_ms } = &aggregate.window.kind else {
            return None;
        };
        let length_ms = match length {
            WindowLength::Millis(ms, _) => *ms,
            WindowLength::Named(name) => match scope.params.get(name.text.as_str())?.kind {
                LiteralKind::Duration(ms) => ms,
                _ => return None,
            },
        };
        let ending_ago_ms = ending_ago_ms.unwrap_or(0);
        let to = scope.event.row.time_ms.checked_sub(ending_ago_ms)?;
        let from = to.checked_sub(length_ms)?;
        let mut keys = Vec::new();
        for key in &aggregate.keys {
            let stored = self.key_field(event, &key.stored.parts)?;
            let own = key.this.as_ref().unwrap_or(&key.stored);
            let own = self.key_field(scope.event.row.event(), &own.parts)?;
            let wanted = self.load(scope.event, scope.event.row.event(), own);
            if wanted.is_missing() {
                return None;
            }
            keys.push((stored, wanted));
        }
        let is_meant = |past: &&Past| {
            past.row.event() == event
                && from < past.row.time_ms
                && past.row.time_ms <= to
                && keys.iter().all(|(stored, wanted)| self.load(past, event, *stored) == *wanted)
        };
        let own = (*counting == Some(Counting::Last)).then_some(scope.event);
        let arrived = self.history.iter().take(scope.arrived);
        Some(arrived.chain(own).filter(is_meant).collect())
    }

    pub(super) fn key_field(
        &self,
        event: EventId,
        parts: &[crate::rules::syntax::ast::Name],
    ) -> Option<FieldId> {
        let words: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
        self.field(event, &words.join(".")).or_else(|| {
            let (first, rest) = words.split_first()?;
            let is_event = *first == self.schema.event(event).name && !rest.is_empty();
            if is_event { self.field(event, &rest.join(".")) } else { None }
        })
    }

    fn passes(&self, scope: &Scope<'_>, aggregate: &Aggregate, past: &Past) -> bool {
        let Some(filter) = &aggregate.filter else { return true };
        self.truth(&scope.inside(past), filter) == Truth::True
    }

    /// A field as it is remembered: money of the wanted currency, numbers in millionths.
    fn remembered(
        &self,
        aggregate: &Aggregate,
        past: &Past,
        event: EventId,
        field: FieldId,
    ) -> Datum {
        match (self.load(past, event, field), &aggregate.currency) {
            (Datum::Money { micro, currency, .. }, Some(wanted)) => {
                if currency == packed(&wanted.text) {
                    Datum::money(Some(micro), currency)
                } else {
                    Datum::Missing
                }
            }
            (Datum::Number(number), _) => {
                let fits = nearest(number * 1e6).is_some_and(|micro| i64::try_from(micro).is_ok());
                if fits { remembered_number(Datum::Number(number)) } else { Datum::Missing }
            }
            (value, _) => value,
        }
    }

    fn answer(
        &self,
        scope: &Scope<'_>,
        aggregate: &Aggregate,
        (event, field): (EventId, FieldId),
        values: &[(&Past, Datum)],
    ) -> Datum {
        match aggregate.function {
            AggregateFunction::Distinct => {
                let is_first = |(index, (_, value)): &(usize, &(&Past, Datum))| {
                    !values[..*index].iter().any(|(_, earlier)| earlier == value)
                };
                Datum::integer(Some(whole(values.iter().enumerate().filter(is_first).count())))
            }
            AggregateFunction::IsNew => {
                let name = &self.schema.event(event).field(field).name;
                let present = scope.event.row.event();
                let own = self.field(present, name);
                let own = own.map_or(Datum::Missing, |own| self.load(scope.event, present, own));
                let own = match (own, &aggregate.currency) {
                    (Datum::Money { micro, currency, .. }, Some(wanted))
                        if currency == packed(&wanted.text) =>
                    {
                        Datum::money(Some(micro), currency)
                    }
                    (Datum::Money { varying: true, .. }, _) => Datum::Missing,
                    (own, _) => remembered_number(own),
                };
                if own.is_missing() {
                    return own;
                }
                Datum::Bool(!values.iter().any(|(_, value)| *value == own))
            }
            AggregateFunction::Last => {
                let newest = values.iter().max_by_key(|(past, _)| past.row.time_ms);
                newest.map_or(Datum::Missing, |(_, value)| value.clone())
            }
            _ => self.statistic(aggregate, (event, field), values),
        }
    }

    fn statistic(
        &self,
        aggregate: &Aggregate,
        (event, field): (EventId, FieldId),
        values: &[(&Past, Datum)],
    ) -> Datum {
        let unit = self.unit(aggregate, event, field);
        let units: Vec<i128> = values.iter().filter_map(|(_, value)| in_units(value)).collect();
        let count = whole(units.len());
        let sum: i128 = units.iter().sum();
        let squares = units.iter().map(|x| x.saturating_mul(*x)).fold(0, i128::saturating_add);
        let exact = Exact {
            mean_share: 1,
            factor_micro: 0,
            count,
            sum,
            squares: -1,
            micro: matches!(unit, Datum::Number(_)),
        };
        match aggregate.function {
            AggregateFunction::Sum => of_units(sum, &unit),
            AggregateFunction::Min => {
                units.iter().min().map_or(Datum::Missing, |least| of_units(*least, &unit))
            }
            AggregateFunction::Max => {
                units.iter().max().map_or(Datum::Missing, |most| of_units(*most, &unit))
            }
            AggregateFunction::Avg | AggregateFunction::Stddev if count == 0 => Datum::Missing,
            AggregateFunction::Avg => {
                let value = match unit {
                    Datum::Money { currency, .. } => {
                        Datum::money(ratio(sum * 1_000_000, count), currency)
                    }
                    Datum::Number(_) => Datum::number(double(sum) / (double(count) * 1e6)),
                    _ => Datum::number(double(sum) / double(count)),
                };
                Datum::Statistic { value: Box::new(value), exact }
            }
            AggregateFunction::Stddev => {
                let spread = count.saturating_mul(squares).saturating_sub(sum.saturating_mul(sum));
                let deviation = double(spread).sqrt() / double(count);
                let value = match unit {
                    Datum::Money { currency, .. } => {
                        Datum::money(nearest(deviation * 1e6), currency)
                    }
                    Datum::Number(_) => Datum::number(deviation / 1e6),
                    _ => Datum::number(deviation),
                };
                let exact = Exact { mean_share: 0, factor_micro: 1_000_000, squares, ..exact };
                Datum::Statistic { value: Box::new(value), exact }
            }
            _ => Datum::Missing,
        }
    }

    /// A value of the type that is remembered, only to tell the type.
    fn unit(&self, aggregate: &Aggregate, event: EventId, field: FieldId) -> Datum {
        use crate::event::schema::{FieldType, MoneyCurrency};
        match (&self.schema.event(event).field(field).ty, &aggregate.currency) {
            (FieldType::Money { .. }, Some(currency)) => {
                Datum::money(Some(0), packed(&currency.text))
            }
            (FieldType::Money { currency: MoneyCurrency::Fixed(currency), .. }, None) => {
                Datum::money(Some(0), *currency)
            }
            (FieldType::Number, _) => Datum::Number(0.0),
            (FieldType::Time { .. }, _) => Datum::Time(0),
            _ => Datum::Integer(0),
        }
    }
}

/// The latest in time, among equals the last to arrive.
fn latest<'b>(events: &[&'b Past]) -> Option<&'b Past> {
    events.iter().copied().max_by_key(|past| past.row.time_ms)
}

/// Minor units, whole numbers, or millionths of a number.
fn in_units(value: &Datum) -> Option<i128> {
    match value {
        Datum::Money { micro, .. } => Some(micro / 1_000_000),
        Datum::Integer(x) | Datum::Time(x) => Some((*x).into()),
        Datum::Number(x) => nearest(x * 1e6),
        _ => None,
    }
}

fn of_units(units: i128, unit: &Datum) -> Datum {
    match unit {
        Datum::Money { currency, .. } => Datum::money(units.checked_mul(1_000_000), *currency),
        Datum::Number(_) => Datum::number(double(units) / 1e6),
        Datum::Time(_) => Datum::time(Some(units)),
        _ => Datum::integer(Some(units)),
    }
}

/// Numbers are remembered in millionths.
pub(super) fn remembered_number(value: Datum) -> Datum {
    match value {
        Datum::Number(number) => {
            nearest(number * 1e6).map_or(Datum::Missing, |micro| Datum::number(double(micro) / 1e6))
        }
        other => other,
    }
}

fn whole(n: usize) -> i128 {
    i128::try_from(n).unwrap_or(i128::MAX)
}
