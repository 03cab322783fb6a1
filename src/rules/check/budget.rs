//! The policy's `budget`: what the rules on one event may cost at most, and what a model may where none is given.

use crate::diag::{Diagnostic, codes};
use crate::rules::cost::{EventCost, MODEL_UNITS, UNIT_NS, events, model_units};
use crate::rules::program::{MadeOf, ModelPlan, Program};
use crate::rules::syntax::ast::{Item, Model, ModelClauseKind, PolicyClauseKind};

/// How many of the dearest rules are named.
const NAMED: usize = 3;

/// Refuses events whose rules cost more than the budget, with the dearest of them; without a budget, models that are slow
/// by themselves.
pub(super) fn check(items: &[&Item], program: &Program, report: &mut Vec<Diagnostic>) {
    match program.policy.budget_ns {
        Some(budget_ns) => check_events(items, (program, budget_ns), report),
        None => check_models(items, program, report),
    }
}

/// WHY: nothing that a clock says may change a decision, or a replay would decide otherwise. So a model that takes too long
/// is not cut off while it scores, it is never loaded.
fn check_models(items: &[&Item], program: &Program, report: &mut Vec<Diagnostic>) {
    let slow = |plan: &&ModelPlan| model_units(plan) > MODEL_UNITS;
    for plan in program.models.iter().filter(slow) {
        let declared = items.iter().find_map(|item| match item {
            Item::Model(model) if model.name.text == plan.name => Some(model),
            _ => None,
        });
        let Some(declared) = declared else { continue };
        let of_event = |cost: &EventCost| cost.event == plan.event;
        let whole = events(program).into_iter().find(of_event).map_or(0, |cost| cost.units);
        report.push(too_slow(plan, declared, whole));
    }
}

fn too_slow(plan: &ModelPlan, declared: &Model, whole: u64) -> Diagnostic {
    let from = declared.clauses.iter().find_map(|clause| match &clause.kind {
        ModelClauseKind::From(text) => Some(text.span),
        _ => None,
    });
    let units = model_units(plan);
    let unit_ns = UNIT_NS.unsigned_abs();
    let us = |units: u64| units.saturating_mul(unit_ns).div_ceil(1_000);
    let message = format!(
        "model `{}` takes up to {units} units to score one event, {} us, and without a `budget` a model may take {} us",
        plan.name,
        us(units),
        us(MODEL_UNITS)
    );
    let smaller = match plan.made_of {
        MadeOf::Learned(_) => "train it with fewer trees (`--trees`)",
        MadeOf::Online(_) => "let it read fewer features",
    };
    let help = format!(
        "{smaller}, or say in the policy that an event may cost so much, with all that is asked of it: `budget {}us per event`",
        us(whole)
    );
    Diagnostic::new(codes::E0606, from.unwrap_or(declared.name.span), message).with_help(help)
}

fn check_events(
    items: &[&Item],
    (program, budget_ns): (&Program, i64),
    report: &mut Vec<Diagnostic>,
) {
    let clauses = items.iter().flat_map(|item| match item {
        Item::Policy(policy) => &policy.clauses[..],
        _ => &[],
    });
    let clause = |kind: &PolicyClauseKind| matches!(kind, PolicyClauseKind::Budget(_));
    let Some(span) = clauses.filter(|part| clause(&part.kind)).map(|part| part.span).next() else {
        return;
    };
    let allowed = u64::try_from(budget_ns / UNIT_NS).unwrap_or(0);
    for cost in events(program).into_iter().filter(|cost| cost.units > allowed) {
        let event = &program.schema.event(cost.event).name;
        let message = format!(
            "event `{event}` costs up to {} units, the budget allows {allowed}",
            cost.units
        );
        let help = "make the dearest rules cheaper, or raise the budget; see `riskweir cost`";
        let mut found = Diagnostic::new(codes::E0518, span, message);
        found = match cost.models.first() {
            Some((model, units)) => {
                let name = program.models.get(usize::from(model.0)).map_or("", |it| &it.name);
                let models = format!("model `{name}` takes {units} units, asked or not");
                found.with_help(format!("{help}; {models}"))
            }
            None => found.with_help(help),
        };
        for (rule, units) in cost.rules.iter().take(NAMED) {
            let Some(info) = program.rules.get(usize::from(rule.0)) else { continue };
            let text = format!("rule `{}`: {units} units by itself", info.name);
            found = found.with_related(info.name_span, text);
        }
        report.push(found);
    }
}
