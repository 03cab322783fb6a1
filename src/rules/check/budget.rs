//! The policy's `budget`: what the rules on one event may cost at most.

use crate::diag::{Diagnostic, codes};
use crate::rules::cost::{UNIT_NS, events};
use crate::rules::program::Program;
use crate::rules::syntax::ast::{Item, PolicyClauseKind};

/// How many of the dearest rules are named.
const NAMED: usize = 3;

/// Refuses events whose rules cost more than the budget, with the dearest of them.
pub(super) fn check(items: &[&Item], program: &Program, report: &mut Vec<Diagnostic>) {
    let Some(budget_ns) = program.policy.budget_ns else { return };
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
