//! From the actions of the rules that hit to one resolution: outcome, score, band, and the terms of a hold.
//!
//! INVARIANT: the result does not depend on the order of the hits.

use crate::decision::lattice::{Candidate, Force, Outcome, Ruling, decide};
use crate::decision::score::ScoreSheet;
use crate::rules::program::{
    ActionPlan, Escalation, Mode, Policy, Program, RuleBody, RuleId, ScoreGroup, StepUpOtherwise,
};
use crate::rules::syntax::ast::Otherwise;

/// Whether this event may still stop or free money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything.
    Full,
    /// It came too late: alerts, scores and lists only.
    AlertsOnly,
}

/// Until when and how a payment is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HoldTerms<'p> {
    /// Longest of the holds that stand: all of them, or where an `allow` is, those of mandatory rules.
    pub for_ms: i64,
    /// Who is asked then: the longest of what they say, then the first by the name of the queue.
    pub escalate: Option<&'p Escalation>,
    /// Strictest of what they say for the deadline.
    pub otherwise: Otherwise,
}

/// Which second factor is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepUpTerms<'p> {
    /// Which.
    pub method: &'p str,
    /// How long an answer is awaited, ms.
    pub within_ms: i64,
    /// What happens without one.
    pub otherwise: Option<StepUpOtherwise>,
}

/// What is done about an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution<'p> {
    /// What won.
    pub ruling: Ruling,
    /// Risk points, 0 to 100.
    pub score: i32,
    /// Index of the band that the score falls into.
    pub band: Option<usize>,
    /// Terms, when the outcome is `hold`.
    pub hold: Option<HoldTerms<'p>>,
    /// Terms, when the outcome is `step_up`: those of the strictest that stands, then the first by the method's name, then
    /// those that wait longest.
    pub step_up: Option<StepUpTerms<'p>>,
    /// The event's subject is held, and with it the event, whatever rules say but `block`.
    pub by_subject: bool,
    /// The event comes again, nobody knows the first answer, and it was held then.
    pub held_before: bool,
}

impl Resolution<'_> {
    /// The outcome.
    pub fn outcome(&self) -> Outcome {
        match self.ruling.outcome {
            Outcome::Block => Outcome::Block,
            _ if self.by_subject || self.held_before => Outcome::Hold,
            outcome => outcome,
        }
    }

    /// Whether an action of this rule, one of those that hit, stands: no `allow` put it aside.
    pub fn stands(&self, program: &Program, body: &RuleBody) -> bool {
        !self.ruling.allowed || force_of(program, body) == Force::Mandatory
    }

    /// Whether this rule, one of those that hit, brought the outcome about, alone or with others.
    pub fn is_by(&self, program: &Program, body: &RuleBody) -> bool {
        if self.outcome() != self.ruling.outcome {
            return false;
        }
        let force = force_of(program, body);
        let mut wishes = body.actions.iter().filter_map(|action| candidate(action, force));
        wishes.any(|wish| self.ruling.is_by(wish))
    }

    /// What the score band does.
    pub fn band_action<'p>(&self, policy: &'p Policy) -> Option<&'p ActionPlan> {
        self.band.and_then(|index| policy.bands.get(index)).map(|(_, _, action)| action)
    }

    /// Whether the score band brought the outcome about, alone or with rules.
    pub fn is_by_band(&self, policy: &Policy) -> bool {
        if self.outcome() != self.ruling.outcome {
            return false;
        }
        let wish = self.band_action(policy).and_then(|action| candidate(action, Force::Ordinary));
        wish.is_some_and(|wish| self.ruling.is_by(wish))
    }
}

/// The candidate that an action adds, if it adds one.
pub fn candidate(action: &ActionPlan, force: Force) -> Option<Candidate> {
    let outcome = match action {
        ActionPlan::Allow => Outcome::Allow,
        ActionPlan::Block { .. } => Outcome::Block,
        ActionPlan::Hold { .. } => Outcome::Hold,
        ActionPlan::StepUp { .. } => Outcome::StepUp,
        ActionPlan::Alert { .. }
        | ActionPlan::Score { .. }
        | ActionPlan::Add { .. }
        | ActionPlan::Remove { .. }
        | ActionPlan::Tag(_) => return None,
    };
    Some(Candidate { outcome, force })
}

/// The force of a rule's candidates.
pub fn force_of(program: &Program, body: &RuleBody) -> Force {
    let mandatory = program.rules.get(usize::from(body.rule.0)).is_some_and(|rule| rule.mandatory);
    if mandatory { Force::Mandatory } else { Force::Ordinary }
}

/// Resolves the hits of one event, whose time is in ms. `sheet` is scratch.
///
/// # Cost
/// Linear in the actions of the hits.
pub fn resolve<'p>(
    program: &'p Program,
    hits: &[&'p RuleBody],
    (time_ms, reach): (i64, Reach),
    sheet: &mut ScoreSheet,
) -> Resolution<'p> {
    sheet.reset(program.groups.len());
    for (index, group) in (0_u16..).zip(&program.groups) {
        if !cap_holds(program, group, hits, time_ms) {
            sheet.lift(index);
        }
    }
    let mut candidates: Vec<(Candidate, &'p ActionPlan)> = Vec::new();
    for body in hits {
        let force = force_of(program, body);
        for action in &body.actions {
            if let ActionPlan::Score { points, group } = action {
                sheet.add(*group, *points);
            }
            candidates.extend(candidate(action, force).map(|found| (found, action)));
        }
    }
    let score = sheet.total(&program.groups);
    let band = band_of(&program.policy, score);
    if let Some((_, _, action)) = band.and_then(|index| program.policy.bands.get(index)) {
        candidates.extend(candidate(action, Force::Ordinary).map(|found| (found, action)));
    }
    if reach == Reach::AlertsOnly {
        candidates.clear();
    }
    let ruling = decide(candidates.iter().map(|(found, _)| *found));
    let winning =
        || candidates.iter().filter(|(found, _)| ruling.is_by(*found)).map(|(_, action)| *action);
    let hold =
        winning().filter_map(hold_terms).reduce(|a, b| HoldTerms {
            for_ms: a.for_ms.max(b.for_ms),
            escalate: a.escalate.into_iter().chain(b.escalate).max_by_key(|escalation| {
                (escalation.for_ms, core::cmp::Reverse(&escalation.queue))
            }),
            otherwise: a.otherwise.max(b.otherwise),
        });
    let step_up = winning().filter_map(step_up_terms).max_by_key(|terms| {
        (strictness(terms.otherwise), core::cmp::Reverse(terms.method), terms.within_ms)
    });
    Resolution { ruling, score, band, hold, step_up, by_subject: false, held_before: false }
}

/// Whether one of the rules that say a group's cap acts on this event: a live one by its dates, a canary where it hits.
fn cap_holds(program: &Program, group: &ScoreGroup, hits: &[&RuleBody], time_ms: i64) -> bool {
    let acts = |id: &RuleId| {
        let Some(rule) = program.rules.get(usize::from(id.0)) else { return false };
        match rule.mode {
            Mode::Live => rule.is_in_effect(time_ms),
            _ => hits.iter().any(|body| body.rule == *id),
        }
    };
    group.cap_by.is_empty() || group.cap_by.iter().any(acts)
}

/// The band that a score falls into.
pub fn band_of(policy: &Policy, score: i32) -> Option<usize> {
    policy.bands.iter().position(|(from, to, _)| (*from..=*to).contains(&score))
}

fn hold_terms(action: &ActionPlan) -> Option<HoldTerms<'_>> {
    match action {
        ActionPlan::Hold { for_ms, escalate, otherwise, .. } => {
            Some(HoldTerms { for_ms: *for_ms, escalate: escalate.as_ref(), otherwise: *otherwise })
        }
        _ => None,
    }
}

fn step_up_terms(action: &ActionPlan) -> Option<StepUpTerms<'_>> {
    match action {
        ActionPlan::StepUp { method, within_ms, otherwise } => {
            Some(StepUpTerms { method, within_ms: *within_ms, otherwise: *otherwise })
        }
        _ => None,
    }
}

/// Block is stricter than a hold, a longer hold than a shorter one, anything than nothing.
fn strictness(otherwise: Option<StepUpOtherwise>) -> (u8, i64) {
    match otherwise {
        Some(StepUpOtherwise::Block) => (2, 0),
        Some(StepUpOtherwise::Hold(for_ms)) => (1, for_ms),
        None => (0, 0),
    }
}
