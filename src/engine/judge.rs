//! Judging one event: every rule of its type, once, in rule order.
//!
//! A rule that is true acts, or only watches ([`Watch`]), or is snoozed for a key of this event. What only watches is
//! evaluated on the same state and recorded like a hit. When all rules have spoken, [`settle`] resolves what they want,
//! and takes back from it the rules whose breaker trips.

use std::borrow::Cow;

use crate::base::TextRef;
use crate::decision::canary;
use crate::decision::lattice::Outcome;
use crate::decision::resolve::{Reach, Resolution, resolve};
use crate::decision::score::ScoreSheet;
use crate::decision::wire::Because;
use crate::engine::breaker::Breakers;
use crate::engine::counters::Counters;
use crate::engine::snoozes::SnoozeBook;
use crate::engine::streams::ClockId;
use crate::event::key::{key_of, key_parts};
use crate::event::schema::SlotId;
use crate::rules::eval::trace::Trace;
use crate::rules::eval::{Host, Run, Verdict};
use crate::rules::program::{IfMissing, Mode, Program, RuleBody, RuleId};
use crate::window::spec::Coverage;

/// A rule that counts as hit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit<'p> {
    pub(super) body: &'p RuleBody,
    /// The condition was undecided and the rule says `if missing match`.
    pub(super) by_missing: bool,
    /// Why it only watches, where its mode does not say so.
    pub(super) because: Option<Because>,
}

/// A rule that would have, and is snoozed for a key of the event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Snoozed<'p> {
    pub(super) rule: RuleId,
    /// Name of the key.
    pub(super) key: Cow<'p, str>,
    /// Until when, ms of event time, exclusive.
    pub(super) until_ms: i64,
    /// Who answers for it.
    pub(super) owner: Cow<'p, str>,
    /// Why.
    pub(super) reason: Cow<'p, str>,
}

/// How a rule that is true stands to acting on this event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watch {
    /// It acts.
    Acts,
    /// It does not: by its mode, or because of something else.
    Watches(Option<Because>),
}

/// What the rules said about one event. Silence means "no hit" or "not applicable".
#[derive(Debug, Default)]
pub(super) struct Judgement<'p> {
    /// Rules that hit and act.
    pub(super) hits: Vec<Hit<'p>>,
    /// Rules that would have, and only watch.
    pub(super) shadow: Vec<Hit<'p>>,
    /// Rules that would have, and are snoozed.
    pub(super) snoozed: Vec<Snoozed<'p>>,
    /// Rules that could not be decided.
    pub(super) undecided: Vec<&'p RuleBody>,
    /// Acting rules, undecided, that ask for a person.
    pub(super) review: Vec<&'p RuleBody>,
    /// Rules that were exempt.
    pub(super) exempt: Vec<&'p RuleBody>,
    /// Rules whose breaker tripped at this event.
    pub(super) tripped: Vec<RuleId>,
    /// Worst coverage among what decided the hits and the undecided; capped or unpriced, where anything that was asked is.
    pub(super) coverage: Coverage,
}

impl Judgement<'_> {
    /// Whether no rule said anything.
    pub(super) fn is_silent(&self) -> bool {
        self.hits.is_empty()
            && self.shadow.is_empty()
            && self.snoozed.is_empty()
            && self.undecided.is_empty()
            && self.exempt.is_empty()
    }

    /// Makes hits of these rules ones of rules that only watch.
    fn disarm(&mut self, rules: &[RuleId]) {
        let tripped = |hit: &mut Hit<'_>| rules.contains(&hit.body.rule);
        let because = Some(Because::Breaker);
        self.shadow.extend(self.hits.extract_if(.., tripped).map(|hit| Hit { because, ..hit }));
        self.shadow.sort_by_key(|hit| hit.body.rule);
    }
}

/// What judging an event leaves behind.
#[derive(Debug)]
pub(super) struct Marks<'m> {
    pub(super) counters: &'m mut Counters,
    pub(super) breakers: &'m mut Breakers,
    /// What people silenced while the stream runs.
    pub(super) snoozes: &'m SnoozeBook,
}

/// By which partition's clock, and at what time of it in ms, breakers count what an event stops.
pub(super) type StopsAt = (ClockId, i64);

/// Judges all rules of the event's type.
///
/// # Cost
/// Tests of fields rule out most rules, all at once and without touching state; nothing is allocated unless a rule speaks.
pub(super) fn judge<'p, H: Host>(
    program: &'p Program,
    run: &mut Run<'_, H>,
    marks: &mut Marks<'_>,
) -> Judgement<'p> {
    let mut judgement = Judgement::default();
    run.sift();
    for (index, rules) in program.plans[usize::from(run.row.event)].rules.chunks(64).enumerate() {
        let mut open = run.open(index);
        while open != 0 {
            let body = &rules[open.trailing_zeros() as usize];
            open &= open - 1;
            let verdict = run.verdict(body);
            if !matches!(verdict, Verdict::NoHit | Verdict::NotApplicable) {
                speak(program, body, verdict, run, marks, &mut judgement);
            }
        }
    }
    judgement
}

/// Takes down what one rule says.
fn speak<'p, H: Host>(
    program: &'p Program,
    body: &'p RuleBody,
    verdict: Verdict,
    run: &mut Run<'_, H>,
    marks: &mut Marks<'_>,
    judgement: &mut Judgement<'p>,
) {
    let trace = Trace { program, event: run.row.event() };
    let rule = &program.rules[usize::from(body.rule.0)];
    let counter = &mut marks.counters.rules[usize::from(body.rule.0)];
    if verdict == Verdict::Exempt {
        counter.exempt += 1;
        judgement.exempt.push(body);
        return;
    }
    judgement.coverage = judgement.coverage.max(trace.coverage(run, body));
    let by_missing = verdict == Verdict::Undecided;
    let snooze =
        snooze(program, body, run).or_else(|| snooze_set(program, body, run, marks.snoozes));
    let watch = watch(program, body, run, marks.breakers);
    if by_missing {
        counter.undecided += 1;
        judgement.undecided.push(body);
        match (rule.if_missing, watch, &snooze) {
            (IfMissing::Match, ..) => {}
            (IfMissing::Review, Watch::Acts, None) => {
                judgement.review.push(body);
                return;
            }
            (IfMissing::Review, Watch::Acts, Some(snooze)) => {
                counter.snoozed += 1;
                judgement.snoozed.push(snooze.clone());
                return;
            }
            _ => return,
        }
    }
    if let Some(snooze) = snooze {
        counter.snoozed += 1;
        judgement.snoozed.push(snooze);
        return;
    }
    counter.hits += 1;
    match watch {
        Watch::Acts => judgement.hits.push(Hit { body, by_missing, because: None }),
        Watch::Watches(because) => judgement.shadow.push(Hit { body, by_missing, because }),
    }
}

/// Resolves what the hits want. What a rule stops is counted by its breaker, if the event can stop money and is judged for
/// the first time; a rule that thereby trips only watches this event already, and the others are resolved without it. A
/// mandatory rule goes on; that it stops more than it should is told all the same.
///
/// WHY: only after all have spoken. What an `allow` puts aside and what another rule outdoes stopped nothing, and a rule
/// must not lose its force over it.
///
/// # Cost
/// That of resolving once, and once more for each time that rules trip.
pub(super) fn settle<'p>(
    program: &'p Program,
    judgement: &mut Judgement<'p>,
    (moment, stops_at): ((i64, Reach), Option<StopsAt>),
    breakers: &mut Breakers,
    sheet: &mut ScoreSheet,
) -> Resolution<'p> {
    let mut counted: Vec<RuleId> = Vec::new();
    loop {
        let bodies: Vec<&'p RuleBody> = judgement.hits.iter().map(|hit| hit.body).collect();
        let resolution = resolve(program, &bodies, moment, sheet);
        let stops = matches!(resolution.outcome(), Outcome::Hold | Outcome::Block);
        let Some(stops_at) = stops_at.filter(|_| stops) else { return resolution };
        let mut tripped: Vec<RuleId> = Vec::new();
        for body in bodies.into_iter().filter(|body| resolution.is_by(program, body)) {
            if !counted.contains(&body.rule) {
                counted.push(body.rule);
                tripped.extend(breakers.count(body.rule, stops_at).then_some(body.rule));
            }
        }
        judgement.tripped.extend(&tripped);
        tripped.retain(|rule| !program.rules[usize::from(rule.0)].mandatory);
        if tripped.is_empty() {
            return resolution;
        }
        judgement.disarm(&tripped);
    }
}

fn watch<H: Host>(
    program: &Program,
    body: &RuleBody,
    run: &Run<'_, H>,
    breakers: &Breakers,
) -> Watch {
    let rule = &program.rules[usize::from(body.rule.0)];
    if !rule.mode.acts() {
        return Watch::Watches(None);
    }
    if !rule.is_in_effect(run.row.time_ms) {
        return Watch::Watches(Some(Because::Dates));
    }
    if !rule.mandatory && breakers.is_tripped(body.rule) {
        return Watch::Watches(Some(Because::Breaker));
    }
    match rule.mode {
        Mode::Canary(share_ppm) => {
            let event = program.schema.event(run.row.event());
            let parts = key_parts(event, body.canary.as_slice());
            // Without its key nobody can say whether the event belongs to the share.
            let key = key_of(run.row, run.raw, &parts).filter(|_| body.canary.is_some());
            let chosen = key.is_some_and(|key| canary::is_chosen(&rule.id, key, share_ppm));
            if chosen { Watch::Acts } else { Watch::Watches(Some(Because::Canary)) }
        }
        _ => Watch::Acts,
    }
}

/// The snooze of the rule files that keeps the rule from acting on this event.
fn snooze<'p, H: Host>(
    program: &'p Program,
    body: &'p RuleBody,
    run: &Run<'_, H>,
) -> Option<Snoozed<'p>> {
    body.snoozes.iter().find_map(|(slot, values)| {
        let snooze = program.snoozes.get(*values.get(text(run, *slot)?)?)?;
        (run.row.time_ms < snooze.until_ms).then(|| Snoozed {
            rule: body.rule,
            key: Cow::Borrowed(&snooze.key),
            until_ms: snooze.until_ms,
            owner: Cow::Borrowed(&snooze.owner),
            reason: Cow::Borrowed(&snooze.reason),
        })
    })
}

/// The same of those that people set while the stream runs.
fn snooze_set<'p, H: Host>(
    program: &'p Program,
    body: &'p RuleBody,
    run: &Run<'_, H>,
    set: &SnoozeBook,
) -> Option<Snoozed<'p>> {
    let info = &program.rules[usize::from(body.rule.0)];
    // WHY: one that was set before the rule became mandatory must not keep it from acting.
    if set.is_empty() || info.mandatory {
        return None;
    }
    let event = program.schema.event(run.row.event());
    set.of(&info.id).find_map(|(about, terms)| {
        let key = event.field(program.schema.key_named(run.row.event(), &about.key)?);
        let is_meant = key.ty.is_text() && text(run, key.slot)? == about.value;
        (is_meant && run.row.time_ms < terms.until_ms).then(|| Snoozed {
            rule: body.rule,
            key: Cow::Owned(about.key.clone()),
            until_ms: terms.until_ms,
            owner: Cow::Owned(terms.owner.clone()),
            reason: Cow::Owned(terms.reason.clone()),
        })
    })
}

fn text<'r, H: Host>(run: &'r Run<'_, H>, slot: SlotId) -> Option<&'r str> {
    let bytes = run.row.text(run.raw, TextRef(run.row.get(slot)?));
    core::str::from_utf8(bytes).ok()
}
