//! Holds that last longer than any rail leaves to the payments that a rule hits.

use crate::diag::{Diagnostic, codes};
use crate::event::schema::{EventId, FieldType, SlotId};
use crate::rules::analysis::Subject;
use crate::rules::analysis::logic::{Case, cases};
use crate::rules::eval::render::duration;
use crate::rules::program::{ActionPlan, Constant, HoldBounds, NodeId, Op};
use crate::rules::syntax::ast::CompareOp;

/// A rule whose hold is cut on every event of this type that it hits.
pub(super) fn finding(subject: &Subject<'_>) -> Option<Diagnostic> {
    let program = subject.scene.program;
    let event = program.plans.iter().position(|plan| core::ptr::eq(plan, subject.scene.plan))?;
    let bounds = program.hold_bounds.get(event)?;
    let wanted_ms = subject.body.actions.iter().find_map(|action| match action {
        ActionPlan::Hold { for_ms, escalate, .. } => {
            let more_ms = escalate.as_ref().map_or(0, |escalate| escalate.for_ms);
            Some(for_ms.saturating_add(more_ms))
        }
        _ => None,
    })?;
    let event = EventId(u16::try_from(event).ok()?);
    let values = values(subject, event, bounds);
    let left = values.into_iter().map(|value| Some(bounds.of(value)?.at_most_ms));
    let most_ms = left.collect::<Option<Vec<i64>>>()?.into_iter().max()?;
    if most_ms >= wanted_ms {
        return None;
    }
    let [wanted, most] = [wanted_ms, most_ms].map(|ms| duration(ms).replace(' ', ""));
    let (name, event) = (&subject.info.name, subject.event());
    let message = format!(
        "rule `{name}` holds for {wanted}, and every `{event}` that it hits may be held for {most} at most"
    );
    let help = format!(
        "hold for `{most}` and say what comes then; people who cannot look in that time need an alert beside a `block`"
    );
    Some(Diagnostic::new(codes::W0520, subject.name(), message).with_help(help))
}

/// What the field that the bounds go by may be where the rule hits, as far as nobody can prove that it is not; `None` is missing.
fn values(subject: &Subject<'_>, event: EventId, bounds: &HoldBounds) -> Vec<Option<u64>> {
    let Some(by) = bounds.by else { return vec![None] };
    let field = subject.scene.schema().event(event).field(by);
    let FieldType::OneOf(members) = &field.ty else { return Vec::new() };
    let all = (0_u64..).take(members.len()).map(Some).chain(field.optional.then_some(None));
    let cases = cases(subject.scene.plan, &subject.hit());
    let may_be = |value: &Option<u64>| {
        let allows = |case: &Case| allows(subject, case, (field.slot, *value));
        cases.as_ref().is_none_or(|cases| cases.iter().any(allows))
    };
    all.filter(may_be).collect()
}

/// Whether the claims of a case about a field may hold where that has a value.
fn allows(subject: &Subject<'_>, case: &Case, (slot, value): (SlotId, Option<u64>)) -> bool {
    let is_field = |id: NodeId| matches!(subject.scene.op(id), Some(Op::Field(of)) if *of == slot);
    let is = |constant: &Constant| {
        let Constant::Code(code) = constant else { return None };
        Some(u64::from(*code) == value?)
    };
    let constant = |id: NodeId| match subject.scene.op(id) {
        Some(Op::Constant(constant)) => Some(constant),
        _ => None,
    };
    case.iter().all(|claim| {
        let truth = match subject.scene.op(claim.node) {
            Some(Op::IsMissing(of)) if is_field(*of) => Some(value.is_none()),
            Some(Op::InSet(of, set)) if is_field(*of) => {
                value.map(|_| set.iter().any(|member| is(member) == Some(true)))
            }
            Some(Op::Compare(op @ (CompareOp::Eq | CompareOp::Ne), a, b)) => {
                let other = if is_field(*a) {
                    constant(*b)
                } else if is_field(*b) {
                    constant(*a)
                } else {
                    return true;
                };
                let Some(other) = other else { return true };
                is(other).map(|is| is == (*op == CompareOp::Eq))
            }
            _ => return true,
        };
        claim.say.holds(truth)
    })
}
