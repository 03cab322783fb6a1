//! Judging one event: every rule of its type, once, in rule order.

use crate::engine::counters::Counters;
use crate::rules::eval::trace::Trace;
use crate::rules::eval::{Host, Run, Verdict};
use crate::rules::program::{IfMissing, Mode, Program, RuleBody};
use crate::window::spec::Coverage;

/// A rule that counts as hit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit<'p> {
    pub(super) body: &'p RuleBody,
    /// The condition was undecided and the rule says `if missing match`.
    pub(super) by_missing: bool,
}

/// What the rules said about one event. Silence means "no hit" or "not applicable".
#[derive(Debug, Default)]
pub(super) struct Judgement<'p> {
    /// Live rules that hit.
    pub(super) hits: Vec<Hit<'p>>,
    /// Shadow rules that would have.
    pub(super) shadow: Vec<Hit<'p>>,
    /// Rules that could not be decided.
    pub(super) undecided: Vec<&'p RuleBody>,
    /// Live rules, undecided, that ask for a person.
    pub(super) review: Vec<&'p RuleBody>,
    /// Rules that were exempt.
    pub(super) exempt: Vec<&'p RuleBody>,
    /// Worst coverage among what decided the hits and the undecided.
    pub(super) coverage: Coverage,
}

impl Judgement<'_> {
    /// Whether no rule said anything.
    pub(super) fn is_silent(&self) -> bool {
        self.hits.is_empty()
            && self.shadow.is_empty()
            && self.undecided.is_empty()
            && self.exempt.is_empty()
    }
}

/// Judges all rules of the event's type.
///
/// # Cost
/// Cheap predicates decide most rules without touching state; nothing is allocated unless a rule speaks.
pub(super) fn judge<'p, H: Host>(
    program: &'p Program,
    run: &mut Run<'_, H>,
    counters: &mut Counters,
) -> Judgement<'p> {
    let trace = Trace { program, event: run.row.event() };
    let mut judgement = Judgement::default();
    for (place, body) in program.plans[usize::from(run.row.event)].rules.iter().enumerate() {
        if run.is_ruled_out(place) {
            continue;
        }
        let rule = &program.rules[usize::from(body.rule.0)];
        let in_effect = rule.effective.is_none_or(|(from_ms, to_ms)| {
            run.row.time_ms >= from_ms && to_ms.is_none_or(|to_ms| run.row.time_ms < to_ms)
        });
        if !in_effect {
            continue;
        }
        let verdict = run.verdict(body);
        let counter = &mut counters.rules[usize::from(body.rule.0)];
        let by_missing = match verdict {
            Verdict::NoHit | Verdict::NotApplicable => continue,
            Verdict::Exempt => {
                counter.exempt += 1;
                judgement.exempt.push(body);
                continue;
            }
            Verdict::Undecided => {
                counter.undecided += 1;
                judgement.undecided.push(body);
                judgement.coverage = judgement.coverage.max(trace.coverage(run, body));
                if rule.if_missing == IfMissing::Review && rule.mode == Mode::Live {
                    judgement.review.push(body);
                }
                if rule.if_missing != IfMissing::Match {
                    continue;
                }
                true
            }
            Verdict::Hit => false,
        };
        counter.hits += 1;
        judgement.coverage = judgement.coverage.max(trace.coverage(run, body));
        let hit = Hit { body, by_missing };
        match rule.mode {
            Mode::Live => judgement.hits.push(hit),
            Mode::Shadow | Mode::Draft | Mode::Retired => judgement.shadow.push(hit),
        }
    }
    judgement
}
