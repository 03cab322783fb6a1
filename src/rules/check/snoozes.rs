//! Snoozes: rules that do not act on the events of one key, for a time. They are attached to the bodies of their rules.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, codes, suggest};
use crate::event::schema::EventId;
use crate::rules::check::checker::{Build, Checker, Scope};
use crate::rules::check::limits::MAX_SNOOZES;
use crate::rules::check::literals;
use crate::rules::check::lower::Draft;
use crate::rules::check::refusal::did_you_mean;
use crate::rules::program::{Constant, RuleId, RuleInfo, Snooze};
use crate::rules::syntax::ast::{self, Item};

/// All snoozes, in the order of the files.
pub(super) fn compile(
    items: &[&Item],
    rules: &[RuleInfo],
    build: &mut Build<'_>,
    drafts: &mut [Draft],
    report: &mut Vec<Diagnostic>,
) -> Vec<Snooze> {
    let mut snoozes: Vec<Snooze> = Vec::new();
    for item in items {
        let Item::Snooze(item) = item else { continue };
        if snoozes.len() == MAX_SNOOZES {
            let message = format!("more than {MAX_SNOOZES} snoozes");
            report.push(Diagnostic::new(codes::E0513, item.span, message));
            break;
        }
        if let Some(snooze) = checked(item, rules, build, report) {
            snoozes.push(snooze);
            attach(item, &snoozes, build, drafts, report);
        }
    }
    snoozes
}

fn checked(
    item: &ast::Snooze,
    rules: &[RuleInfo],
    build: &Build<'_>,
    report: &mut Vec<Diagnostic>,
) -> Option<Snooze> {
    let name = &item.rule;
    let Some(index) = rules.iter().position(|info| info.name == name.text) else {
        let message = format!("there is no rule `{}`", name.text);
        let diagnostic = Diagnostic::new(codes::E0516, name.span, message).with_label("unknown");
        let known = rules.iter().map(|info| info.name.as_str());
        let near = suggest::nearest(&name.text, known);
        report.push(did_you_mean(diagnostic, near, "a snooze names the rule that it silences"));
        return None;
    };
    if rules[index].mandatory {
        let message = format!("rule `{}` is mandatory and cannot be snoozed", name.text);
        report.push(
            Diagnostic::new(codes::E0517, name.span, message)
                .with_related(rules[index].span, "mandatory here")
                .with_help("a mandatory rule holds for everybody; change the rule, or its list"),
        );
        return None;
    }
    let Some(until_ms) = build.world.day_end_ms(&item.until) else {
        report.push(
            Diagnostic::new(codes::E0231, item.until.span, "this date is out of range")
                .with_help("write it as `2026-01-31`"),
        );
        return None;
    };
    if item.value.text.is_empty() {
        let message = format!("an empty text is no `{}`", build.world.sources.text(item.key.span));
        report.push(
            Diagnostic::new(codes::E0231, item.value.span, message)
                .with_label("for whom?")
                .with_help("write whom the rule leaves alone, as in `for card \"c-4711\"`"),
        );
        return None;
    }
    let parts: Vec<&str> = item.key.parts.iter().map(|part| part.text.as_str()).collect();
    Some(Snooze {
        rule: RuleId(u16::try_from(index).unwrap_or(u16::MAX)),
        key: parts.join("."),
        value: item.value.text.clone(),
        until_ms,
        owner: item.owner.text.clone(),
        reason: item.reason.text.clone(),
        span: item.until.span,
    })
}

/// Attaches the last snooze to the bodies of its rule on all events that have the key; there is one at least. Its value
/// is read as that key's type, as a text in a condition is. Of two snoozes of the same events the one that ends later
/// holds.
fn attach(
    item: &ast::Snooze,
    snoozes: &[Snooze],
    build: &mut Build<'_>,
    drafts: &mut [Draft],
    report: &mut Vec<Diagnostic>,
) {
    let Some((index, snooze)) = snoozes.iter().enumerate().next_back() else { return };
    let mut refused: Option<Vec<Diagnostic>> = None;
    let mut attached = false;
    let mut idle: Option<usize> = None;
    for (event, draft) in (0_u16..).zip(drafts) {
        let Some(body) = draft.bodies.iter_mut().find(|body| body.rule == snooze.rule) else {
            continue;
        };
        let (scope, mut found) = (Scope::of(EventId(event)), Vec::new());
        let mut checker = Checker { build, scope: &scope, report: &mut found };
        let slot = checker.key_slot(&item.key);
        let ty = slot.and_then(|_| checker.slot(&item.key)).map(|(_, ty)| ty);
        let (Some(slot), Some(ty)) = (slot, ty) else {
            refused.get_or_insert(found);
            continue;
        };
        attached = true;
        let value = match literals::text_as(&item.value.text, Some(ty), item.value.span) {
            Ok((Constant::Text(value), _)) => value,
            Ok(_) => continue,
            Err(diagnostic) => {
                report.push(*diagnostic);
                continue;
            }
        };
        let place = body.snoozes.iter().position(|(known, _)| *known == slot);
        let place = place.unwrap_or_else(|| {
            body.snoozes.push((slot, BTreeMap::new()));
            body.snoozes.len() - 1
        });
        let held = body.snoozes[place].1.entry(value).or_insert(index);
        if *held == index {
            continue;
        }
        let other = *held;
        if snoozes[other].until_ms < snooze.until_ms {
            *held = index;
        }
        idle = Some(other);
    }
    if !attached {
        report.extend(refused.unwrap_or_default());
    }
    if let Some(other) = idle.and_then(|other| snoozes.get(other)) {
        report.push(twice(other, snooze));
    }
}

/// Of two snoozes for the same the one that ends later holds, so the other one says nothing.
fn twice(earlier: &Snooze, later: &Snooze) -> Diagnostic {
    let (idle, holds) =
        if earlier.until_ms < later.until_ms { (earlier, later) } else { (later, earlier) };
    let message = format!(
        "this snooze of `{}` \"{}\" does nothing: another one ends no earlier",
        idle.key, idle.value
    );
    Diagnostic::new(codes::W0519, idle.span, message)
        .with_related(holds.span, "holds until then")
        .with_help("delete one of them")
}
