//! A rule with other values of its parameters: which values its `tune` ranges hold, and the rule text with one of them.
//!
//! A parameter is changed in the text, as its author would, and the whole set is compiled anew; nothing else differs.

use crate::diag::{Source, Sources, Span};
use crate::rules::syntax::ast::{
    Clause, ClauseKind, Decimal, Item, Literal, LiteralKind, Param, Tune,
};
use crate::rules::syntax::parse;

/// Most values of one parameter.
pub const MAX_VALUES: usize = 200;

/// Values that are tried where the author gives no step, and no whole number says it.
const EVEN_STEPS: i128 = 8;

/// A parameter that can be tuned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Knob {
    /// Its name.
    pub name: String,
    /// Its present value, as written.
    pub present: String,
    /// Where another value is put: there it stands, or, of a rule that a `use` makes, the end of the `use`.
    pub span: Span,
    /// What is put before it: of a rule that a `use` makes a `param` clause of its own, so that other rules of the template
    /// stay as they are.
    pub before: String,
    /// Values to try, as written in a rule, ascending; the present one is among them.
    pub values: Vec<String>,
}

/// The parameters of a rule that have a `tune` range, its own and those of the template that it is made of. `None`: there
/// is no such rule.
pub fn knobs(sources: &Sources, rule: &str) -> Option<Vec<Knob>> {
    let items: Vec<Item> = items(sources);
    let of = |clauses: &[Clause]| -> Vec<Knob> {
        let params = clauses.iter().filter_map(|clause| match &clause.kind {
            ClauseKind::Param(param) => knob(param, sources),
            _ => None,
        });
        params.collect()
    };
    items.iter().find_map(|item| match item {
        Item::Rule(found) if found.name.text == rule => Some(of(&found.clauses)),
        Item::Use(found) if found.name.text == rule => {
            let template = items.iter().find_map(|item| match item {
                Item::Template(template) if template.name.text == found.template.text => {
                    Some(template)
                }
                _ => None,
            });
            let own = |name: &str| {
                found.clauses.iter().any(|clause| {
                    matches!(&clause.kind, ClauseKind::Param(param) if param.name.text == name)
                })
            };
            let end = Span { start: found.span.end, ..found.span };
            let inherited = template.map(|template| of(&template.clauses)).unwrap_or_default();
            let inherited = inherited.into_iter().filter(|knob| !own(&knob.name)).map(|knob| {
                Knob { span: end, before: format!("\n  param {} = ", knob.name), ..knob }
            });
            Some(of(&found.clauses).into_iter().chain(inherited).collect())
        }
        _ => None,
    })
}

fn items(sources: &Sources) -> Vec<Item> {
    let mut items = Vec::new();
    for (index, source) in (0_u32..).zip(&sources.files) {
        if source.path.rsplit_once('.').is_none_or(|(_, kind)| kind != "risk") {
            continue;
        }
        items.extend(parse(crate::diag::FileId(index), &source.text).0.items);
    }
    items
}

/// The rule set with another value at a place.
pub fn turned(sources: &Sources, knob: &Knob, value: &str) -> Sources {
    let files = sources.files.iter().enumerate().map(|(index, source)| {
        let mut text = source.text.clone();
        if u32::try_from(index) == Ok(knob.span.file.0) {
            let range = knob.span.start as usize..knob.span.end as usize;
            text.replace_range(range, &format!("{}{value}", knob.before));
        }
        Source { path: source.path.clone(), text }
    });
    Sources { files: files.collect(), artifacts: sources.artifacts.clone() }
}

fn knob(param: &Param, sources: &Sources) -> Option<Knob> {
    let tune = param.tune.as_ref()?;
    let present = sources.text(param.value.span).to_owned();
    let scale = [Some(&tune.from), Some(&tune.to), tune.step.as_ref(), Some(&param.value)]
        .into_iter()
        .flatten()
        .filter_map(|literal| scaled(literal, 0))
        .map(|(_, scale)| scale)
        .max()?;
    let mut numbers = numbers(tune, scale)?;
    let here = scaled(&param.value, scale)?.0;
    numbers.push(here);
    numbers.sort_unstable();
    numbers.dedup();
    let value = |number: &i128| {
        if *number == here { present.clone() } else { written(&param.value, *number, scale) }
    };
    let values = numbers.iter().map(value).collect();
    let (name, before) = (param.name.text.clone(), String::new());
    Some(Knob { name, present, span: param.value.span, before, values })
}

/// The values of a range, in units of the scale.
fn numbers(tune: &Tune, scale: u32) -> Option<Vec<i128>> {
    let (from, to) = (scaled(&tune.from, scale)?.0, scaled(&tune.to, scale)?.0);
    let step = match &tune.step {
        Some(step) => scaled(step, scale)?.0,
        None if matches!(tune.from.kind, LiteralKind::Number(_)) && scale == 0 => 1,
        None => ((to - from) / EVEN_STEPS).max(1),
    };
    if step <= 0 {
        return None;
    }
    let mut numbers = Vec::new();
    let mut next = from;
    while next < to && numbers.len() < MAX_VALUES {
        numbers.push(next);
        next = next.checked_add(step)?;
    }
    numbers.push(to);
    Some(numbers)
}

/// A literal as a whole number at a scale (at least its own), with its own scale.
fn scaled(literal: &Literal, scale: u32) -> Option<(i128, u32)> {
    let Decimal { mantissa, scale: own } = match &literal.kind {
        LiteralKind::Number(decimal)
        | LiteralKind::Percent(decimal)
        | LiteralKind::Money(decimal, _)
        | LiteralKind::Distance(decimal)
        | LiteralKind::Speed(decimal) => *decimal,
        LiteralKind::Duration(ms) => Decimal { mantissa: i128::from(*ms), scale: 0 },
        _ => return None,
    };
    let factor = 10_i128.checked_pow(scale.saturating_sub(own))?;
    Some((mantissa.checked_mul(factor)?, own))
}

/// A number in the form of a literal.
fn written(like: &Literal, number: i128, scale: u32) -> String {
    let decimal = crate::base::amount::format_minor_wide(number, u8::try_from(scale).unwrap_or(0));
    match &like.kind {
        LiteralKind::Percent(_) => format!("{decimal}%"),
        LiteralKind::Money(_, currency) => format!("{decimal} {currency}"),
        LiteralKind::Distance(_) => format!("{decimal} m"),
        LiteralKind::Speed(_) => format!("{decimal} km/h"),
        LiteralKind::Duration(_) => duration(number),
        _ => decimal,
    }
}

/// Milliseconds in the largest unit that has no rest.
fn duration(ms: i128) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let unit = units.iter().find(|(unit, _)| ms % unit == 0 && ms != 0);
    unit.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}
