//! Two rules on one event: one that the other covers, an allow that swallows what would stop.

use crate::diag::{Diagnostic, codes};
use crate::rules::analysis::logic::Say;
use crate::rules::analysis::windows::Scene;
use crate::rules::analysis::{ELSEWHERE, Kind, Proofs, Proved, Subject, bodies, refute};
use crate::rules::program::{ActionPlan, IfMissing, Mode, RuleId};

/// Most pairs of rules that are looked at on one event.
const MAX_PAIRS: usize = 20_000;

/// What is proved about pairs of live rules; `idle` are those about which something was said already.
pub(super) fn findings(scene: Scene<'_>, idle: &[RuleId], proofs: &mut Proofs) {
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
                let (kind, proved) = told(inner, outer);
                let key = (kind, inner.body.rule, Some(outer.body.rule));
                proofs.entry(key).or_default().push(proved);
            }
        }
    }
}

/// Whether a proof that `outer` hits whenever `inner` does would be worth telling.
pub(super) fn may_relate(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    swallows(inner, outer) || covers(inner, outer)
}

/// An allow beside something that would stop money and is not mandatory, on days on which both may act. Somebody for whom
/// the allow is snoozed is not let pass, so of one that has snoozes nothing is claimed.
pub(super) fn swallows(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let stops = |action: &ActionPlan| {
        matches!(
            action,
            ActionPlan::Block { .. } | ActionPlan::Hold { .. } | ActionPlan::StepUp { .. }
        )
    };
    !inner.info.mandatory
        && inner.body.actions.iter().any(stops)
        && outer.body.actions.contains(&ActionPlan::Allow)
        && outer.body.snoozes.is_empty()
        && do_days_meet(inner, outer)
}

/// First and last instant of a rule, the last one exclusive.
fn days(subject: &Subject<'_>) -> (i64, i64) {
    let (from_ms, to_ms) = subject.info.effective.unwrap_or((i64::MIN, None));
    (from_ms, to_ms.unwrap_or(i64::MAX))
}

fn do_days_meet(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let ((from_ms, to_ms), (other_from_ms, other_to_ms)) = (days(inner), days(outer));
    from_ms < other_to_ms && other_from_ms < to_ms
}

/// Whether `outer` is in effect whenever `inner` is.
fn has_all_days(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let ((from_ms, to_ms), (other_from_ms, other_to_ms)) = (days(inner), days(outer));
    other_from_ms <= from_ms && to_ms <= other_to_ms
}

/// Whether `outer` does all that `inner` does, on every day on which `inner` does it. Points add up, so what scores is
/// never covered; nor is a rule that asks for a person where it cannot be decided, because no other rule does that for it.
fn covers(inner: &Subject<'_>, outer: &Subject<'_>) -> bool {
    let asks = inner.info.if_missing == IfMissing::Review && inner.may_be_undecided();
    let weight = outer.info.severity >= inner.info.severity
        && (outer.info.mandatory || !inner.info.mandatory);
    let done = |action: &ActionPlan| outer.body.actions.iter().any(|other| does(other, action));
    !asks
        && has_all_days(inner, outer)
        && weight
        && outer.body.snoozes.is_empty()
        && inner.body.actions.iter().all(done)
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
    inner.hits_alone(Some(outer)).iter().all(|claims| refute(inner.scene, claims).is_some())
}

/// What holds where a claim does not.
pub(super) fn contrary(say: Say) -> Say {
    match say {
        Say::True => Say::NotTrue,
        Say::NotTrue => Say::True,
        Say::False => Say::NotFalse,
        Say::NotFalse => Say::False,
    }
}

fn told(inner: &Subject<'_>, outer: &Subject<'_>) -> (Kind, Proved) {
    let (name, other) = (&inner.info.name, &outer.info.name);
    if swallows(inner, outer) {
        return (Kind::Swallowed, swallowed(inner, outer));
    }
    let message = format!(
        "rule `{name}` is covered by `{other}`, which hits on the same events and does the same"
    );
    let whole = Diagnostic::new(codes::W0503, inner.name(), message)
        .with_related(outer.name(), "covers it")
        .with_help("delete one of them, or let them differ in what they do; another message alone changes nothing");
    (Kind::Covered, Proved { whole, part: None })
}

/// What an `allow` swallows, with its days where it does not have all those of the rule.
fn swallowed(inner: &Subject<'_>, outer: &Subject<'_>) -> Proved {
    let (name, other, event) = (&inner.info.name, &outer.info.name, inner.event());
    let days = inner.scene.program.sources.text(outer.info.effective_span);
    let days = days.split_whitespace().collect::<Vec<&str>>().join(" ");
    let (always, days) = if has_all_days(inner, outer) {
        ("never stops anything", String::new())
    } else {
        ("stops nothing", format!(" in {days}"))
    };
    let tell = |place: &str, help: &str| {
        let message =
            format!("rule `{name}` {always}{place}{days}: `{other}` allows all that it hits");
        Diagnostic::new(codes::W0504, inner.name(), message)
            .with_related(outer.name(), "allowed here")
            .with_help(help)
    };
    let help = "make the `allow` narrower, or the rule `mandatory` if it must hold";
    let whole = tell("", help);
    let part = tell(&format!(" on event `{event}`"), ELSEWHERE);
    Proved { whole, part: Some(part) }
}
