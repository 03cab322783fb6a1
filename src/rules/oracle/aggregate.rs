//! Aggregates, by walking every event that ever arrived.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use crate::base::Currency;
use crate::event::schema::{EventId, FieldId};
use crate::rules::eval::Truth;
use crate::rules::oracle::datum::{Datum, Exact, double, nearest, ratio};
use crate::rules::oracle::interpret::Scope;
use crate::rules::oracle::{Oracle, Past, packed};
use crate::rules::syntax::ast::{
    Aggregate, AggregateFunction, Counting, Ending, EventCount, LiteralKind, WindowKind,
    WindowLength, ZoneName,
};
use crate::window::spec::Period;

/// Whether a time lies in a window.
type Inside = Box<dyn Fn(i64) -> bool>;

impl Oracle<'_> {
    pub(super) fn aggregate(&self, scope: &Scope<'_>, aggregate: &Aggregate) -> Datum {
        if let Some((event, feature)) = self.kept_feature(aggregate) {
            return self.of_feature(scope, aggregate, (event, feature));
        }
        let Some((event, field)) = self.target(aggregate) else { return Datum::Missing };
        let Some(counted) = self.counted(scope, aggregate, event) else { return Datum::Missing };
        let passes = |(at, past): &&(usize, &Past)| self.passes(scope, aggregate, past, *at);
        if aggregate.function == AggregateFunction::Run {
            let run = counted.iter().rev().take_while(passes).count();
            return Datum::integer(Some(whole(run)));
        }
        let passing: Vec<&Past> = counted.iter().filter(passes).map(|(_, past)| *past).collect();
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

    /// Whether an event counts for an aggregate but for its amount, which nobody can tell in the wanted currency.
    pub(super) fn leaves_out(&self, scope: &Scope<'_>, aggregate: &Aggregate) -> bool {
        if let Some((event, feature)) = self.kept_feature(aggregate) {
            return self.feature_leaves_out(scope, aggregate, (event, feature));
        }
        let Some((event, Some(field))) = self.target(aggregate) else { return false };
        let counted = self.counted(scope, aggregate, event).unwrap_or_default();
        counted.iter().any(|(at, past)| {
            self.passes(scope, aggregate, past, *at)
                && matches!(self.load(past, event, field), Datum::Money { .. })
                && self.remembered(aggregate, past, event, field).is_missing()
        })
    }

    /// How many events a share takes, and of how many.
    pub(super) fn shared(&self, scope: &Scope<'_>, aggregate: &Aggregate) -> Option<(i128, i128)> {
        let (event, _) = self.target(aggregate)?;
        let counted = self.counted(scope, aggregate, event)?;
        let passes = |(at, past): &&(usize, &Past)| self.passes(scope, aggregate, past, *at);
        let n_passing = whole(counted.iter().filter(passes).count());
        (!counted.is_empty()).then_some((n_passing, whole(counted.len())))
    }

    pub(super) fn target(&self, aggregate: &Aggregate) -> Option<(EventId, Option<FieldId>)> {
        let (first, rest) = aggregate.path.parts.split_first()?;
        let event = self.schema.event_named(&first.text)?;
        if rest.is_empty() {
            return Some((event, None));
        }
        let words: Vec<&str> = rest.iter().map(|part| part.text.as_str()).collect();
        Some((event, Some(self.field(event, &words.join("."))?)))
    }

    /// The events of the window and key with their places in the order of arrival, before any filter, the oldest first.
    /// `None` where this event lacks a key.
    pub(super) fn counted<'b>(
        &'b self,
        scope: &Scope<'b>,
        aggregate: &Aggregate,
        event: EventId,
    ) -> Option<Vec<(usize, &'b Past)>> {
        let (own_counts, inside) = self.window(scope, &aggregate.window.kind)?;
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
        let is_meant = |past: &Past| {
            past.row.event() == event
                && inside(past.row.time_ms)
                && keys
                    .iter()
                    .all(|(stored, wanted)| self.load(past, event, *stored).is_key(wanted))
        };
        let own = own_counts.then_some((scope.arrived, scope.event));
        let arrived = self.history.iter().enumerate().take(scope.arrived);
        let mut meant: Vec<(usize, &Past)> =
            arrived.chain(own).filter(|(_, past)| is_meant(past)).collect();
        meant.sort_by_key(|(at, past)| (past.row.time_ms, *at));
        let surplus = meant.len().saturating_sub(newest(scope, &aggregate.window.kind)?);
        Some(meant.split_off(surplus))
    }

    /// Whether a window counts the present event, and which times lie in it. `None`: nobody knows where it begins.
    fn window(&self, scope: &Scope<'_>, kind: &WindowKind) -> Option<(bool, Inside)> {
        let now = scope.event.row.time_ms;
        match kind {
            WindowKind::Sliding { counting, length, ending, .. } => {
                let length_ms = match length {
                    WindowLength::Millis(ms, _) => *ms,
                    WindowLength::Named(name) => match scope.params.get(name.text.as_str())?.kind {
                        LiteralKind::Duration(ms) => ms,
                        _ => return None,
                    },
                };
                let to = match ending {
                    None => now,
                    Some(Ending::Ago(ago_ms)) => now.checked_sub(*ago_ms)?,
                    Some(Ending::Before { period, zone }) => {
                        let zone = self.zone(scope, zone.as_ref())?;
                        instant_before(*period, now, &zone)?
                    }
                };
                let from = to.checked_sub(length_ms)?;
                let inside = move |time| from < time && time <= to;
                Some((*counting == Some(Counting::Last), Box::new(inside)))
            }
            WindowKind::Lifetime(counting) => {
                Some((*counting != Some(Counting::Prior), Box::new(move |time| time <= now)))
            }
            WindowKind::Calendar { counting, period, zone } => {
                let zone = self.zone(scope, zone.as_ref())?;
                let (period, today) = (*period, local_date(now, &zone)?);
                let inside = move |time| {
                    let same = |date| same_period(period, date, today);
                    time <= now && local_date(time, &zone).is_some_and(same)
                };
                Some((*counting != Some(Counting::Prior), Box::new(inside)))
            }
        }
    }

    fn zone(&self, scope: &Scope<'_>, zone: Option<&ZoneName>) -> Option<TimeZone> {
        match zone {
            None => Some(self.zone.clone()),
            Some(ZoneName::Named(name)) => zone_named(&name.text),
            Some(ZoneName::Field(path)) => match self.path(scope, path) {
                Datum::Text(name) => zone_named(&name),
                _ => None,
            },
        }
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

    pub(super) fn passes(
        &self,
        scope: &Scope<'_>,
        aggregate: &Aggregate,
        past: &Past,
        at: usize,
    ) -> bool {
        let Some(filter) = &aggregate.filter else { return true };
        self.truth(&scope.inside(past, at), filter) == Truth::True
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
            (money @ Datum::Money { .. }, Some(wanted)) => in_currency(money, packed(&wanted.text)),
            (Datum::Money { micro, currency, .. }, None) => Datum::money(Some(micro), currency),
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
                    (money @ Datum::Money { .. }, Some(wanted)) => {
                        in_currency(money, packed(&wanted.text))
                    }
                    (Datum::Money { varying: true, .. }, None) => Datum::Missing,
                    (Datum::Money { micro, currency, .. }, None) => {
                        Datum::money(Some(micro), currency)
                    }
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
            _ => statistic(aggregate, &self.unit(aggregate, event, field), values),
        }
    }

    /// A value of the type that is remembered, only to tell the type.
    pub(super) fn unit(&self, aggregate: &Aggregate, event: EventId, field: FieldId) -> Datum {
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

/// A number made of many; `unit` is any value of their type.
pub(super) fn statistic(aggregate: &Aggregate, unit: &Datum, values: &[(&Past, Datum)]) -> Datum {
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
        AggregateFunction::Sum => of_units(sum, unit),
        AggregateFunction::Min => {
            units.iter().min().map_or(Datum::Missing, |least| of_units(*least, unit))
        }
        AggregateFunction::Max => {
            units.iter().max().map_or(Datum::Missing, |most| of_units(*most, unit))
        }
        AggregateFunction::Percentile => {
            percentile(aggregate, units).map_or(Datum::Missing, |value| of_units(value, unit))
        }
        AggregateFunction::Median => median(units, unit),
        AggregateFunction::Avg | AggregateFunction::Stddev if count == 0 => Datum::Missing,
        AggregateFunction::Avg => {
            let value = match unit {
                Datum::Money { currency, .. } => {
                    Datum::money(ratio(sum * 1_000_000, count), *currency)
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
                Datum::Money { currency, .. } => Datum::money(nearest(deviation * 1e6), *currency),
                Datum::Number(_) => Datum::number(deviation / 1e6),
                _ => Datum::number(deviation),
            };
            let exact = Exact { mean_share: 0, factor_micro: 1_000_000, squares, ..exact };
            Datum::Statistic { value: Box::new(value), exact }
        }
        _ => Datum::Missing,
    }
}

/// How many events a window holds at most.
fn newest(scope: &Scope<'_>, kind: &WindowKind) -> Option<usize> {
    let WindowKind::Sliding { newest: Some(newest), .. } = kind else { return Some(usize::MAX) };
    let number = match newest {
        EventCount::Written(number, _) => *number,
        EventCount::Named(name) => match scope.params.get(name.text.as_str())?.kind {
            LiteralKind::Number(number) => number,
            _ => return None,
        },
    };
    usize::try_from(number.mantissa).ok().filter(|_| number.scale == 0)
}

fn zone_named(name: &str) -> Option<TimeZone> {
    let known = !name.eq_ignore_ascii_case("Etc/Unknown");
    known.then(|| TimeZoneDatabase::bundled().get(name).ok()).flatten()
}

/// The day that the clocks of a zone show.
fn local_date(time_ms: i64, zone: &TimeZone) -> Option<Date> {
    Some(zone.to_datetime(Timestamp::from_millisecond(time_ms).ok()?).date())
}

/// The last instant at which the calendar on the wall shows an earlier day, week or month, looked for by halves.
fn instant_before(period: Period, now: i64, zone: &TimeZone) -> Option<i64> {
    const LONGER_MS: i64 = 40 * 86_400_000;
    let today = local_date(now, zone)?;
    let (mut earlier, mut same) = (now.checked_sub(LONGER_MS)?, now);
    while same - earlier > 1 {
        let middle = earlier.midpoint(same);
        if same_period(period, local_date(middle, zone)?, today) {
            same = middle;
        } else {
            earlier = middle;
        }
    }
    Some(earlier)
}

/// By what the calendar on the wall shows; weeks are those of ISO 8601.
fn same_period(period: Period, one: Date, other: Date) -> bool {
    let week = |date: Date| (date.iso_week_date().year(), date.iso_week_date().week());
    match period {
        Period::Day => one == other,
        Period::Week => week(one) == week(other),
        Period::Month => (one.year(), one.month()) == (other.year(), other.month()),
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

/// Money in a currency; missing where it is in another one and there is no rate.
fn in_currency(money: Datum, wanted: Currency) -> Datum {
    match money.converted(wanted) {
        Datum::Money { currency, .. } if currency != wanted => Datum::Missing,
        money => money,
    }
}

/// The smallest value that at least so many percent of the values do not exceed.
fn percentile(aggregate: &Aggregate, mut units: Vec<i128>) -> Option<i128> {
    let percent = aggregate.argument?;
    let hundred = 100 * 10_i128.checked_pow(percent.scale)?;
    units.sort_unstable();
    let n = whole(units.len());
    let enough =
        |(index, _): &(usize, &i128)| (whole(*index) + 1) * hundred >= n * percent.mantissa;
    units.iter().enumerate().find(enough).map(|(_, value)| *value)
}

/// The value in the middle, or the mean of the two.
fn median(mut units: Vec<i128>, unit: &Datum) -> Datum {
    units.sort_unstable();
    let n = units.len();
    if n == 0 {
        return Datum::Missing;
    }
    let both = units[(n - 1) / 2] + units[n / 2];
    match unit {
        Datum::Money { currency, .. } => Datum::money(ratio(both * 1_000_000, 2), *currency),
        Datum::Number(_) => Datum::number(double(both) / 2e6),
        _ => Datum::number(double(both) / 2.0),
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
