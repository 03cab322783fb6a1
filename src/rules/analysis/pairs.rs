//! Two rules on one event: one that the other covers, an allow that swallows what would stop.

use crate::diag::{Diagnostic, codes};
use crate::rules::analysis::logic::{Claim, Say};
use crate::rules::analysis::windows::Scene;
use crate::rules::analysis::{Subject, bodies, refute};
use crate::rules::program::{ActionPlan, Mode, RuleId};

/// Most pairs of rules that are looked at on one event.
const MAX_PAIRS: usize = 20_000;

/// What is proved about pairs of live rules; `idle` are those about which something was said already.
pub(super) fn findings(scene: Scene<'_>, idle: &[RuleId], report: &mut Vec<Diagnostic>) {
    let live: Vec<Subject<'_>> = bodies(scene.plan)
        .map(|body| Subject::new(scene, body))
        .filter(|subject| subject.info.mode == Mode::Live && !idle.contains(&subject.body.rule))
        .collect();
    let mut n_pairs = 0;
    for inner in &live {
        for outer in &live {
            if inner.body.rule == outer.body.rule || !may_relate(inner, outer) {
                continue;
            }
            n_pairs += 1;
            if n_pairs > MAX_PAIRS {
                return;
            }
            if implies(inner, outer) {
                report.extend(told(inner, outer));
            }
        }
    }
}

/// Whether a proof that `outer` hits whenever `inner` does would be worth telling.
fn may_relate(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    swallows(inner, outer) || covers(inner, outer)
}

/// An allow beside something that would stop money and is not mandatory.
fn swallows(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let stops = |action: &ActionPlan| {
        matches!(
            action,
            ActionPlan::Block { .. } | ActionPlan::Hold { .. } | ActionPlan::StepUp { .. }
        )
    };
    !inner.info.mandatory
        && inner.body.actions.iter().any(stops)
        && outer.body.actions.contains(&ActionPlan::Allow)
}

/// Whether `outer` does all that `inner` does, on every day on which `inner` does it. Points add up, so what scores is
/// never covered.
fn covers(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let dates = outer.info.effective.is_none() || outer.info.effective == inner.info.effective;
    let weight = outer.info.severity >= inner.info.severity
        && (outer.info.mandatory || !inner.info.mandatory);
    let done = |action: &ActionPlan| outer.body.actions.iter().any(|other| does(other, action));
    dates && weight && outer.body.snoozes.is_empty() && inner.body.actions.iter().all(done)
}

/// Whether one action does what the other does.
fn does(action: &ActionPlan, wanted: &ActionPlan) -> bool {
    match (action, wanted) {
        (ActionPlan::Block { .. }, ActionPlan::Block { .. }) => true,
        (
            ActionPlan::Hold { for_ms, otherwise, .. },
            ActionPlan::Hold { for_ms: wanted_ms, otherwise: wanted_otherwise, .. },
        ) => for_ms >= wanted_ms && otherwise >= wanted_otherwise,
        (
            ActionPlan::Alert { queue, once, .. },
            ActionPlan::Alert { queue: wanted_queue, once: wanted_once, .. },
        ) => queue == wanted_queue && (once.is_none() || once == wanted_once),
        (ActionPlan::Score { .. }, _) | (_, ActionPlan::Score { .. }) => false,
        _ => action == wanted,
    }
}

/// Whether it is proved that `outer` hits on every event on which `inner` does.
fn implies(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let hit = inner.hit();
    let fails = outer.hit().into_iter().map(|claim| Claim { say: contrary(claim.say), ..claim });
    let mut fails = fails.peekable();
    fails.peek().is_some()
        && fails.all(|claim| {
            let claims: Vec<Claim> = hit.iter().copied().chain([claim]).collect();
            refute(inner.scene, &claims).is_some()
        })
}

/// What holds where a claim does not.
fn contrary(say: Say) -> Say {
    match say {
        Say::True => Say::NotTrue,
        Say::NotTrue => Say::True,
        Say::False => Say::NotFalse,
        Say::NotFalse => Say::False,
    }
}

fn told(inner: &Subject<'_>, outer: &Subject<'_>) -> Option<Diagnostic> {
    let (name, other) = (&inner.info.name, &outer.info.name);
    if swallows(inner, outer) {
        let message =
            format!("rule `{name}` never stops anything: `{other}` allows all that it hits");
        return Some(
            Diagnostic::new(codes::W0504, inner.name(), message)
                .with_related(outer.name(), "allowed here")
                .with_help("make the `allow` narrower, or the rule `mandatory` if it must hold"),
        );
    }
    // Of two that cover each other one is told.
    let mutual = covers(outer, inner) && implies(outer, inner);
    if mutual && name < other {
        return None;
    }
    let message = format!(
        "rule `{name}` is covered by `{other}`, which hits on the same events and does the same"
    );
    Some(
        Diagnostic::new(codes::W0503, inner.name(), message)
            .with_related(outer.name(), "covers it")
            .with_help("delete one of them, or let them differ in what they do"),
    )
}
