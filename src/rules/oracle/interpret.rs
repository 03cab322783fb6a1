//! Expressions, by walking the tree.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use regex::Regex;

use crate::base::{Currency, TextRef};
use crate::event::schema::{EventId, FieldId, FieldType, MoneyCurrency, SlotId};
use crate::rules::eval::Truth;
use crate::rules::oracle::aggregate::remembered_number;
use crate::rules::oracle::arithmetic::{arithmetic, percent};
use crate::rules::oracle::datum::{Datum, double, meet};
use crate::rules::oracle::{Oracle, Past, packed};
use crate::rules::syntax::ast::{CompareOp, Decimal, Expr, ExprKind, Literal, LiteralKind, Path};

/// Metres, IUGG mean radius.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// What names mean around an expression.
#[derive(Clone, Debug)]
pub(super) struct Scope<'a> {
    /// The event whose fields are meant.
    pub(super) event: &'a Past,
    /// The rule's params.
    pub(super) params: BTreeMap<&'a str, &'a Literal>,
    /// The rule's lets, in order.
    pub(super) lets: Vec<(&'a str, &'a Expr)>,
    /// Events of a sequence by the names of their steps.
    pub(super) steps: Vec<(&'a str, &'a Past)>,
    /// How many events had arrived before the event: only those count.
    pub(super) arrived: usize,
}

impl<'a> Scope<'a> {
    pub(super) fn new(event: &'a Past, arrived: usize) -> Self {
        let (params, lets, steps) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { event, params, lets, steps, arrived }
    }

    /// The scope of the `where` of an aggregate or a step: another event as of its own arrival, the same params.
    pub(super) fn inside(&self, event: &'a Past, arrived: usize) -> Self {
        Self { params: self.params.clone(), ..Self::new(event, arrived) }
    }
}

impl Oracle<'_> {
    pub(super) fn truth(&self, scope: &Scope<'_>, expr: &Expr) -> Truth {
        match self.value(scope, expr) {
            Datum::Bool(true) => Truth::True,
            Datum::Bool(false) => Truth::False,
            _ => Truth::Undecided,
        }
    }

    pub(super) fn value(&self, scope: &Scope<'_>, expr: &Expr) -> Datum {
        match &expr.kind {
            ExprKind::Literal(known) => literal(&known.kind, &self.zone),
            ExprKind::Path(path) => self.path(scope, path),
            ExprKind::Call(name, arguments) => self.call(scope, &name.text, arguments),
            ExprKind::Aggregate(aggregate) => self.aggregate(scope, aggregate),
            ExprKind::Not(inner) => match self.truth(scope, inner) {
                Truth::True => Datum::Bool(false),
                Truth::False => Datum::Bool(true),
                Truth::Undecided => Datum::Missing,
            },
            ExprKind::And(parts) => self.join(scope, parts, false),
            ExprKind::Or(parts) => self.join(scope, parts, true),
            ExprKind::Compare(op, left, right) => self.compare(scope, *op, left, right),
            ExprKind::Between(value, low, high) => {
                let above = self.compare(scope, CompareOp::Ge, value, low);
                let below = self.compare(scope, CompareOp::Le, value, high);
                joined(&[above, below], false)
            }
            ExprKind::InSet { value, set, negated } => {
                let found: Vec<Datum> = set
                    .iter()
                    .map(|other| self.compare(scope, CompareOp::Eq, value, other))
                    .collect();
                negate_if(*negated, joined(&found, true))
            }
            ExprKind::InList { value, list, negated } => {
                negate_if(*negated, self.in_list(scope, value, &list.text))
            }
            ExprKind::IsMissing { value, missing } => {
                let is_missing = self.value(scope, value).plain().settled(self.base).is_missing();
                Datum::Bool(is_missing == *missing)
            }
            ExprKind::Matches(value, pattern) => {
                match (self.value(scope, value), Regex::new(&pattern.text)) {
                    (Datum::Text(text), Ok(pattern)) => Datum::Bool(pattern.is_match(&text)),
                    _ => Datum::Missing,
                }
            }
            ExprKind::Contains(text, part) => {
                self.two_texts(scope, text, part, |text, part| text.contains(part))
            }
            ExprKind::StartsWith(text, part) => {
                self.two_texts(scope, text, part, |text, part| text.starts_with(part))
            }
            ExprKind::Arithmetic(op, left, right) => {
                let (left, right) = (self.value(scope, left), self.value(scope, right));
                arithmetic(*op, left, right, self.base)
            }
            ExprKind::Default(first, second) => self.default_of(scope, first, second),
            ExprKind::PercentOf(share, of) => match share.kind {
                LiteralKind::Percent(decimal) => {
                    percent(millionths(decimal, 4), self.value(scope, of))
                }
                _ => Datum::Missing,
            },
            ExprKind::Sequence(sequence) => self.sequence(scope, sequence),
            ExprKind::Error => Datum::Missing,
        }
    }

    /// And, or: decided by one part, undecided by any undecided one.
    fn join(&self, scope: &Scope<'_>, parts: &[Expr], decisive: bool) -> Datum {
        let values: Vec<Datum> = parts.iter().map(|part| self.value(scope, part)).collect();
        joined(&values, decisive)
    }

    fn compare(&self, scope: &Scope<'_>, op: CompareOp, left: &Expr, right: &Expr) -> Datum {
        let (a, b) = self.pair(scope, left, right);
        let Some(order) = self.order_of(scope, (left, &a), (right, &b)) else {
            return Datum::Missing;
        };
        Datum::Bool(match op {
            CompareOp::Eq => order.is_eq(),
            CompareOp::Ne => order.is_ne(),
            CompareOp::Lt => order.is_lt(),
            CompareOp::Le => order.is_le(),
            CompareOp::Gt => order.is_gt(),
            CompareOp::Ge => order.is_ge(),
        })
    }

    fn default_of(&self, scope: &Scope<'_>, first: &Expr, second: &Expr) -> Datum {
        let (left, right) = self.pair(scope, first, second);
        if left.is_missing() { right.plain() } else { left.plain() }
    }

    /// Two operands that meet: a bare word that names nothing is a member of the other's set.
    pub(super) fn pair(&self, scope: &Scope<'_>, left: &Expr, right: &Expr) -> (Datum, Datum) {
        let word = |expr: &Expr| match &expr.kind {
            ExprKind::Path(path) if self.names_nothing(scope, path) => {
                path.parts.first().map(|name| Datum::Word(name.text.clone()))
            }
            _ => None,
        };
        let side = |expr: &Expr| word(expr).unwrap_or_else(|| self.value(scope, expr));
        meet(side(left), side(right), self.base)
    }

    fn names_nothing(&self, scope: &Scope<'_>, path: &Path) -> bool {
        let [name] = path.parts.as_slice() else { return false };
        let name = name.text.as_str();
        !path.this
            && !scope.lets.iter().any(|(known, _)| *known == name)
            && !scope.params.contains_key(name)
            && self.field(scope.event.row.event(), name).is_none()
            && !self.features.contains_key(name)
    }

    pub(super) fn path(&self, scope: &Scope<'_>, path: &Path) -> Datum {
        let event = scope.event.row.event();
        let mut words: Vec<&str> = path.parts.iter().map(|part| part.text.as_str()).collect();
        if let ([name], false) = (words.as_slice(), path.this) {
            if let Some(at) = scope.lets.iter().position(|(known, _)| known == name) {
                // A let sees the lets before it.
                let earlier = Scope { lets: scope.lets[..at].to_vec(), ..scope.clone() };
                return self.value(&earlier, scope.lets[at].1);
            }
            if let Some(param) = scope.params.get(name) {
                return literal(&param.kind, &self.zone);
            }
        }
        if let ([step, field @ ..], false) = (words.as_slice(), path.this)
            && let Some((_, past)) = scope.steps.iter().rev().find(|(name, _)| name == step)
        {
            let event = past.row.event();
            let field = self.field(event, &field.join("."));
            let value = field.map_or(Datum::Missing, |field| self.load(past, event, field));
            return remembered_number(value);
        }
        if let Some(field) = self.field(event, &words.join(".")) {
            return self.load(scope.event, event, field);
        }
        if let ([name], false) = (words.as_slice(), path.this)
            && self.features.contains_key(name)
        {
            return self.feature(scope, name);
        }
        if words.len() > 1 && words.remove(0) == self.schema.event(event).name {
            let field = self.field(event, &words.join("."));
            return field.map_or(Datum::Missing, |field| self.load(scope.event, event, field));
        }
        Datum::Missing
    }

    /// What a feature is on the event of a scope, worked out once.
    pub(super) fn feature(&self, scope: &Scope<'_>, name: &str) -> Datum {
        let place = (name.to_owned(), scope.arrived);
        let known = self.known.borrow().get(&place).cloned();
        known.unwrap_or_else(|| {
            let scope = Scope::new(scope.event, scope.arrived);
            let feature = self.features.get(name);
            let value = feature.map_or(Datum::Missing, |feature| self.value(&scope, feature));
            self.known.borrow_mut().insert(place, value.clone());
            value
        })
    }

    /// The value of a field of an event.
    pub(super) fn load(&self, past: &Past, event: EventId, field: FieldId) -> Datum {
        let field = self.schema.event(event).field(field);
        let Some(word) = past.row.get(field.slot) else { return Datum::Missing };
        let text = || {
            let bytes = past.row.text(&past.raw, TextRef(word));
            String::from_utf8_lossy(bytes).into_owned()
        };
        match &field.ty {
            FieldType::Money { currency, .. } => {
                let (code, varying) = match currency {
                    MoneyCurrency::Fixed(fixed) => (Some(fixed.0), false),
                    MoneyCurrency::At(_, slot) => {
                        (past.row.get(*slot).and_then(|code| u32::try_from(code).ok()), true)
                    }
                };
                code.map_or(Datum::Missing, |code| Datum::Money {
                    micro: i128::from(word.cast_signed()) * 1_000_000,
                    currency: Currency(code),
                    varying,
                    elsewhere: self.rates.as_ref().map(|rates| {
                        rates.everywhere(word.cast_signed(), Currency(code), past.row.time_ms)
                    }),
                })
            }
            FieldType::Number => Datum::number(f64::from_bits(word)),
            FieldType::Integer => Datum::Integer(word.cast_signed()),
            FieldType::Time { .. } => Datum::Time(word.cast_signed()),
            FieldType::Text | FieldType::Ip | FieldType::Entity(_) => Datum::Text(text()),
            FieldType::Bool => Datum::Bool(word != 0),
            FieldType::Country | FieldType::CurrencyCode => {
                let letters = word.to_be_bytes().into_iter().filter(|letter| *letter != 0);
                Datum::Word(letters.map(char::from).collect())
            }
            FieldType::OneOf(members) => {
                let member = usize::try_from(word).ok().and_then(|index| members.get(index));
                member.map_or(Datum::Missing, |member| Datum::Word(member.clone()))
            }
            FieldType::Geo => match past.row.get(SlotId(field.slot.0 + 1)) {
                Some(lon) => Datum::Geo(f64::from_bits(word), f64::from_bits(lon)),
                None => Datum::Missing,
            },
        }
    }

    fn in_list(&self, scope: &Scope<'_>, value: &Expr, list: &str) -> Datum {
        let text = match self.value(scope, value) {
            Datum::Text(text) | Datum::Word(text) => text,
            Datum::Integer(whole) => whole.to_string(),
            _ => return Datum::Missing,
        };
        Datum::Bool(self.lists.get(list).is_some_and(|members| members.contains(&text)))
    }

    fn two_texts(
        &self,
        scope: &Scope<'_>,
        left: &Expr,
        right: &Expr,
        test: fn(&str, &str) -> bool,
    ) -> Datum {
        match (self.value(scope, left), self.value(scope, right)) {
            (Datum::Text(left), Datum::Text(right)) => Datum::Bool(test(&left, &right)),
            _ => Datum::Missing,
        }
    }

    fn call(&self, scope: &Scope<'_>, name: &str, arguments: &[Expr]) -> Datum {
        let values: Vec<Datum> =
            arguments.iter().map(|argument| self.value(scope, argument).plain()).collect();
        if let (Some(givens), [Datum::Text(member) | Datum::Word(member)]) =
            (self.givens.get(name), values.as_slice())
        {
            return givens.get(member).cloned().unwrap_or(Datum::Missing);
        }
        match (name, values.as_slice()) {
            ("distance", [Datum::Geo(a, b), Datum::Geo(c, d)]) => distance((*a, *b), (*c, *d)),
            ("is_multiple", [left, right]) => match meet(left.clone(), right.clone(), self.base) {
                (Datum::Money { micro, .. }, Datum::Money { micro: of, .. }) if of != 0 => {
                    Datum::Bool(micro % of == 0)
                }
                _ => Datum::Missing,
            },
            ("abs", [Datum::Integer(x)]) => Datum::integer(Some(i128::from(*x).abs())),
            ("abs", [Datum::Duration(x)]) => Datum::duration(Some(i128::from(*x).abs())),
            ("abs", [Datum::Number(x)]) => Datum::Number(x.abs()),
            ("abs", [money @ Datum::Money { .. }]) => money.clone().each_money(|x| Some(x.abs())),
            ("ln", [Datum::Integer(x)]) if *x > 0 => Datum::number(double((*x).into()).ln()),
            ("ln", [Datum::Number(x)]) if *x > 0.0 => Datum::number(x.ln()),
            ("round", [Datum::Integer(x)]) => Datum::Integer(*x),
            ("round", [Datum::Number(x)]) => Datum::integer(
                arguments.first().and_then(|argument| self.round(scope, argument, *x)),
            ),
            ("hour", [Datum::Time(ms)]) => match Timestamp::from_millisecond(*ms) {
                Ok(instant) => Datum::Integer(instant.to_zoned(self.zone.clone()).hour().into()),
                Err(_) => Datum::Missing,
            },
            ("lower", [Datum::Text(text)]) => Datum::Text(text.to_lowercase()),
            ("length", [Datum::Text(text)]) => {
                Datum::integer(i128::try_from(text.chars().count()).ok())
            }
            ("similarity", [Datum::Text(left), Datum::Text(right)]) => alike(left, right),
            _ => Datum::Missing,
        }
    }
}

/// By the definition of the Levenshtein distance: of all ways to begin, the one with the fewest changes.
fn alike(left: &str, right: &str) -> Datum {
    fn changes(left: &[char], right: &[char], known: &mut BTreeMap<(usize, usize), u32>) -> u32 {
        let at = (left.len(), right.len());
        if let Some(count) = known.get(&at) {
            return *count;
        }
        let count = match (left.split_first(), right.split_first()) {
            (None, rest) => rest.map_or(0, |(_, rest)| 1 + changes(left, rest, known)),
            (Some((_, rest)), None) => 1 + changes(rest, right, known),
            (Some((a, rest)), Some((b, other_rest))) => {
                let inserted = 1 + changes(left, other_rest, known);
                let deleted = 1 + changes(rest, right, known);
                let replaced = u32::from(a != b) + changes(rest, other_rest, known);
                inserted.min(deleted).min(replaced)
            }
        };
        known.insert(at, count);
        count
    }
    let letters = |text: &str| text.chars().take(64).collect::<Vec<char>>();
    let (left, right) = (letters(left), letters(right));
    let longer = u32::try_from(left.len().max(right.len())).unwrap_or(0);
    if longer == 0 {
        return Datum::Number(1.0);
    }
    let count = changes(&left, &right, &mut BTreeMap::new());
    Datum::number(f64::from(longer - count) / f64::from(longer))
}

fn joined(values: &[Datum], decisive: bool) -> Datum {
    if values.contains(&Datum::Bool(decisive)) {
        return Datum::Bool(decisive);
    }
    if values.iter().all(|value| *value == Datum::Bool(!decisive)) {
        return Datum::Bool(!decisive);
    }
    Datum::Missing
}

fn negate_if(negated: bool, value: Datum) -> Datum {
    match value {
        Datum::Bool(truth) => Datum::Bool(truth != negated),
        other => other,
    }
}

/// Great circle by the chord between the two points of the sphere.
fn distance(from: (f64, f64), to: (f64, f64)) -> Datum {
    let point = |(lat, lon): (f64, f64)| {
        let (lat, lon) = (lat.to_radians(), lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    };
    let (a, b) = (point(from), point(to));
    let chord = a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
    let metres = 2.0 * EARTH_RADIUS_M * (chord / 2.0).min(1.0).asin();
    if metres.is_finite() { Datum::Distance(metres) } else { Datum::Missing }
}

/// What a literal says, its text not yet taken for anything else.
pub(super) fn literal(kind: &LiteralKind, zone: &TimeZone) -> Datum {
    match kind {
        LiteralKind::Number(decimal) if decimal.scale == 0 => {
            Datum::integer(Some(decimal.mantissa))
        }
        LiteralKind::Number(decimal) => Datum::number(decimal_number(*decimal)),
        LiteralKind::Percent(decimal) => {
            Datum::number(decimal_number(Decimal { scale: decimal.scale + 2, ..*decimal }))
        }
        LiteralKind::Money(decimal, code) => {
            let currency = packed(code);
            Datum::money(Some(millionths(*decimal, minor_digits(code) + 6)), currency)
        }
        LiteralKind::Duration(ms) => Datum::Duration(*ms),
        LiteralKind::Distance(metres) => Datum::Distance(decimal_number(*metres)),
        LiteralKind::Speed(km_per_h) => Datum::Speed(decimal_number(*km_per_h) / 3.6),
        LiteralKind::Date(year, month, day) => {
            let start = jiff::civil::Date::new(*year, *month, *day)
                .and_then(|date| date.to_zoned(zone.clone()))
                .map(|start| start.timestamp().as_millisecond());
            start.map_or(Datum::Missing, Datum::Time)
        }
        LiteralKind::Text(text) => Datum::Text(text.clone()),
        LiteralKind::Bool(truth) => Datum::Bool(*truth),
    }
}

/// Decimals of the currencies that tests use.
fn minor_digits(code: &str) -> u32 {
    match code {
        "JPY" | "KRW" | "CLP" | "ISK" | "VND" => 0,
        "BHD" | "KWD" | "JOD" | "OMR" | "TND" => 3,
        _ => 2,
    }
}

/// A decimal times `10^digits`; the checker refuses what is finer.
pub(super) fn millionths(decimal: Decimal, digits: u32) -> i128 {
    let ten = |exponent: u32| 10_i128.saturating_pow(exponent);
    match digits.checked_sub(decimal.scale) {
        Some(more) => decimal.mantissa.saturating_mul(ten(more)),
        None => decimal.mantissa / ten(decimal.scale - digits),
    }
}

fn decimal_number(decimal: Decimal) -> f64 {
    let text = format!("{}e-{}", decimal.mantissa, decimal.scale);
    text.parse().unwrap_or_else(|_| double(decimal.mantissa))
}
