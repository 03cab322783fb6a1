//! Statements about rules, and what an event must be like to refute one. Whoever looks for such an event and whoever proves
//! that there is none ask for the same.

use core::cell::Cell;

use crate::event::schema::EventId;
pub use crate::rules::analysis::logic::{Claim, Say};
use crate::rules::analysis::pairs::{contrary, may_relate, swallows};
use crate::rules::analysis::windows::Scene;
use crate::rules::analysis::{MAX_TRIES, Subject, refute};
use crate::rules::program::{EventPlan, Mode, Program, RuleId};

/// Something that may be true of rules, whatever events come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Statement {
    /// The rule never hits.
    NeverHits(RuleId),
    /// Its condition is never false.
    NeverFalse(RuleId),
    /// Its exemption never applies.
    NeverExempt(RuleId),
    /// Whatever the first rule hits, the second hits, too.
    Within(RuleId, RuleId),
    /// The two rules never hit the same event.
    NeverBoth(RuleId, RuleId),
}

impl Statement {
    /// The rule that it is about.
    pub fn rule(self) -> RuleId {
        match self {
            Self::NeverHits(rule)
            | Self::NeverFalse(rule)
            | Self::NeverExempt(rule)
            | Self::Within(rule, _)
            | Self::NeverBoth(rule, _) => rule,
        }
    }

    /// The rules that it is about.
    pub fn rules(self) -> Vec<RuleId> {
        match self {
            Self::NeverHits(rule) | Self::NeverFalse(rule) | Self::NeverExempt(rule) => vec![rule],
            Self::Within(rule, other) | Self::NeverBoth(rule, other) => vec![rule, other],
        }
    }

    /// Whether it is true, and tells nothing, if a rule never hits.
    pub fn is_idle_without(self, rule: RuleId) -> bool {
        match self {
            Self::Within(inner, _) => inner == rule,
            Self::NeverBoth(one, other) => [one, other].contains(&rule),
            Self::NeverHits(_) | Self::NeverFalse(_) | Self::NeverExempt(_) => false,
        }
    }
}

/// The statements that are worth a verdict: of each rule that is evaluated, and of pairs of live rules, at most `max_pairs`
/// of them; how many pairs were left out.
///
/// # Shape
/// By rule; of each rule those about itself first.
pub fn statements(program: &Program, max_pairs: usize) -> (Vec<Statement>, usize) {
    let tries = Cell::new(0);
    let (mut all, mut n_pairs) = (Vec::new(), 0);
    for rule in (0..u16::try_from(program.rules.len()).unwrap_or(u16::MAX)).map(RuleId) {
        let bodies = program.plans.iter().flat_map(|plan| &plan.rules);
        let own: Vec<_> = bodies.filter(|body| body.rule == rule).collect();
        if own.is_empty() {
            continue;
        }
        all.extend([Statement::NeverHits(rule), Statement::NeverFalse(rule)]);
        if own.iter().any(|body| body.unless.is_some()) {
            all.push(Statement::NeverExempt(rule));
        }
        let beside = beside(program, rule, &tries);
        let pairs = related(program, rule).into_iter().map(|other| Statement::Within(rule, other));
        let pairs = pairs.chain(beside.into_iter().map(|other| Statement::NeverBoth(rule, other)));
        for pair in pairs {
            n_pairs += 1;
            if n_pairs <= max_pairs {
                all.push(pair);
            }
        }
    }
    (all, n_pairs.saturating_sub(max_pairs))
}

/// The live rules that let pass what this one stops, where both hit.
fn beside(program: &Program, rule: RuleId, tries: &Cell<u32>) -> Vec<RuleId> {
    let mut found = Vec::new();
    for plan in &program.plans {
        let scene = scene(program, plan, tries);
        let Some(inner) = subject(scene, rule) else { continue };
        let others = plan.rules.iter().map(|body| Subject::new(scene, body)).filter(|outer| {
            let are_live = [&inner, outer].iter().all(|one| one.info.mode == Mode::Live);
            outer.body.rule != rule && are_live && swallows(&inner, outer)
        });
        found.extend(others.map(|outer| outer.body.rule));
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What refutes a statement on one event type: an event on which all claims of one of these lists hold. None: no event of
/// this type does.
pub fn refutations(program: &Program, statement: Statement, event: EventId) -> Vec<Vec<Claim>> {
    let tries = Cell::new(0);
    let plan = program.plans.get(usize::from(event.0));
    plan.map_or_else(Vec::new, |plan| refuting(scene(program, plan, &tries), statement))
}

/// Whether it is proved that no event refutes a statement.
pub fn is_proved(program: &Program, statement: Statement) -> bool {
    let tries = Cell::new(MAX_TRIES);
    program.plans.iter().all(|plan| {
        let scene = scene(program, plan, &tries);
        refuting(scene, statement).iter().all(|claims| refute(scene, claims).is_some())
    })
}

/// The live rules of which it would be worth knowing that they hit whatever this live rule hits: they do the same, or let
/// pass what it stops.
pub fn related(program: &Program, rule: RuleId) -> Vec<RuleId> {
    let tries = Cell::new(MAX_TRIES);
    let mut found = Vec::new();
    for plan in &program.plans {
        let scene = scene(program, plan, &tries);
        let Some(inner) = subject(scene, rule) else { continue };
        let others = plan.rules.iter().map(|body| Subject::new(scene, body));
        let others = others.filter(|outer| {
            let are_live = [&inner, outer].iter().all(|one| one.info.mode == Mode::Live);
            outer.body.rule != rule && are_live && may_relate(&inner, outer)
        });
        found.extend(others.map(|outer| outer.body.rule));
    }
    found.sort_unstable();
    found.dedup();
    found
}

fn scene<'p>(program: &'p Program, plan: &'p EventPlan, tries: &'p Cell<u32>) -> Scene<'p> {
    Scene { program, plan, windows: true, tries }
}

fn subject(scene: Scene<'_>, rule: RuleId) -> Option<Subject<'_>> {
    let body = scene.plan.rules.iter().find(|body| body.rule == rule)?;
    Some(Subject::new(scene, body))
}

fn refuting(scene: Scene<'_>, statement: Statement) -> Vec<Vec<Claim>> {
    let Some(subject) = subject(scene, statement.rule()) else { return Vec::new() };
    match statement {
        Statement::NeverHits(_) => vec![subject.hit()],
        Statement::NeverFalse(_) => vec![subject.is_false()],
        Statement::NeverExempt(_) => subject.is_exempt().into_iter().collect(),
        Statement::Within(_, outer) => subject.hits_alone(self::subject(scene, outer).as_ref()),
        Statement::NeverBoth(_, other) => {
            let other = self::subject(scene, other).map(|other| other.hit());
            let both = other.map(|other| subject.hit().into_iter().chain(other).collect());
            both.into_iter().collect()
        }
    }
}

impl Subject<'_> {
    /// The claims under which this rule hits and the other one does not, which may not be on this event at all. None where
    /// it claims nothing that this one does not.
    pub(super) fn hits_alone(&self, outer: Option<&Subject<'_>>) -> Vec<Vec<Claim>> {
        let hit = self.hit();
        let Some(outer) = outer else { return vec![hit] };
        let more = outer.hit().into_iter().filter(|claim| !hit.contains(claim));
        let fails = more.map(|claim| Claim { say: contrary(claim.say), ..claim });
        fails.map(|claim| hit.iter().copied().chain([claim]).collect()).collect()
    }
}
