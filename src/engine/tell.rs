//! Putting a judgement into words while the evidence is at hand: contributions, alerts, reasons. The slow path, taken
//! only when a rule spoke.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::decision::resolve::Resolution;
use crate::decision::wire::{
    Condition, Contribution, ModelPart, ModelScore, Moment, Snoozed, StepTaken, Undecided,
    WindowRef,
};
use crate::engine::judge::{self, Hit, Judgement};
use crate::event::schema::{EventType, SlotId};
use crate::models::online::{Part, Scored, Side};
use crate::rules::eval::trace::Trace;
use crate::rules::eval::{Host, ModelAnswer, Run, Truth, explain};
use crate::rules::program::{
    ActionPlan, IfMissing, Message, ModelId, Program, RuleBody, RuleId, RuleInfo, SeverityLevel,
};
use crate::window::spec::Coverage;

/// Most features of a score that are told.
const MAX_PARTS: usize = 5;

/// What the rules said, in words.
#[derive(Debug, Default)]
pub(super) struct Told<'p> {
    pub(super) contributions: Vec<Contribution<'p>>,
    pub(super) shadow: Vec<Contribution<'p>>,
    pub(super) snoozed: Vec<Snoozed<'p>>,
    pub(super) undecided: Vec<Undecided<'p>>,
    pub(super) exempt: Vec<&'p str>,
    pub(super) models: Vec<ModelScore<'p>>,
    pub(super) tags: Vec<&'p str>,
    pub(super) alerts: Vec<AlertWish<'p>>,
    /// What the score band says of its action.
    pub(super) band_reason: Option<String>,
}

/// An alert that a rule wants; `once per` decides later whether it is raised.
#[derive(Debug)]
pub(super) struct AlertWish<'p> {
    pub(super) rule: RuleId,
    /// Which alert of the rule it is, by queue and keys: it says the same after the rule was edited elsewhere.
    pub(super) place: String,
    pub(super) queue: Option<&'p str>,
    pub(super) once: Option<(&'p [SlotId], i64)>,
    pub(super) message: String,
    /// Index of the contribution whose conditions it tells; a review has none.
    pub(super) contribution: Option<usize>,
}

impl<'p> Told<'p> {
    /// The conditions that an alert tells.
    pub(super) fn conditions(&self, wish: &AlertWish<'_>) -> &[Condition<'p>] {
        let contribution = wish.contribution.and_then(|at| self.contributions.get(at));
        contribution.map_or(&[], |contribution| &contribution.conditions)
    }
}

/// Tells everything about a judgement that is not silent, and what the score band says.
pub(super) fn tell<'p, H: Host>(
    program: &'p Program,
    judgement: &Judgement<'p>,
    resolution: &Resolution<'p>,
    run: &mut Run<'_, H>,
) -> Told<'p> {
    let trace = Trace { program, event: run.row.event() };
    let mut told = Told::default();
    for hit in &judgement.hits {
        let contribution = contribution(trace, hit, run);
        let at = told.contributions.len();
        told.alerts.extend(
            alert_wishes(trace, hit.body, &contribution.reasons, run)
                .map(|wish| AlertWish { contribution: Some(at), ..wish }),
        );
        told.contributions.push(contribution);
        told.tags.extend(hit.body.actions.iter().filter_map(tag));
    }
    if let Some(action) = resolution.band_action(&program.policy) {
        told.tags.extend(tag(action));
        told.band_reason = action.message().map(|message| trace.render(run, message));
    }
    told.tags.sort_unstable();
    told.tags.dedup();
    told.shadow = judgement.shadow.iter().map(|hit| contribution(trace, hit, run)).collect();
    told.snoozed = judgement.snoozed.iter().map(|snooze| snoozed(program, snooze)).collect();
    for body in &judgement.undecided {
        let undecided = undecided(trace, body, run);
        if judgement.review.iter().any(|review| review.rule == body.rule) {
            told.alerts.push(review_wish(program, body, &undecided));
        }
        told.undecided.push(undecided);
    }
    let names = judgement.exempt.iter().map(|body| rule(program, body.rule).name.as_str());
    told.exempt = names.collect();
    told.models = models(trace, judgement, run);
    told
}

/// The scores that the rules asked which spoke, with what made them.
fn models<'p, H: Host>(
    trace: Trace<'p>,
    judgement: &Judgement<'p>,
    run: &mut Run<'_, H>,
) -> Vec<ModelScore<'p>> {
    if trace.program.plans[usize::from(trace.event.0)].models.is_empty() {
        return Vec::new();
    }
    let hits = judgement.hits.iter().chain(&judgement.shadow).map(|hit| hit.body);
    let bodies = hits.chain(judgement.undecided.iter().copied());
    let bodies = bodies.chain(judgement.exempt.iter().copied());
    let asked: BTreeSet<ModelId> = bodies.flat_map(|body| trace.models(body)).collect();
    asked.into_iter().filter_map(|model| model_score(trace, model, run)).collect()
}

fn model_score<'p, H: Host>(
    trace: Trace<'p>,
    id: ModelId,
    run: &mut Run<'_, H>,
) -> Option<ModelScore<'p>> {
    let plan = trace.program.models.get(usize::from(id.0))?;
    let ModelAnswer::Says(scored) = run.host.scored(id) else { return None };
    let names = plan.made_of.feature_names();
    let parts = if scored.is_some() { run.host.score_parts(id) } else { Vec::new() };
    let mut features = Vec::new();
    for part in parts.into_iter().take(MAX_PARTS) {
        let (Some(feature), Some(node)) =
            (names.get(part.feature).copied(), plan.features.get(part.feature))
        else {
            continue;
        };
        let value = trace.shown(run, *node);
        let (size_micro, tail_ppm) = (part.size_micro, part.tail_ppm);
        let reason = part_reason(feature, &value, part);
        let side = part.side.word();
        features.push(ModelPart { feature, value, side, size_micro, tail_ppm, reason });
    }
    let read = names.iter().zip(&plan.features);
    let missing = read.filter(|(_, node)| !run.value(**node).is_present());
    Some(ModelScore {
        model: &plan.name,
        percentile_ppm: scored.and_then(Scored::percentile_ppm),
        raw_micro: scored.map(|scored| scored.raw_micro),
        coverage: scored.and_then(|scored| coverage_word(scored.coverage)),
        features,
        missing: missing.map(|(name, _)| *name).collect(),
    })
}

/// ``z_score` 7.31 is high: 0.05% of what is usual lies as far out``, or ``z_score` 7.31 raises the score by 0.214``.
fn part_reason(name: &str, value: &str, part: Part) -> String {
    let word = part.side.word();
    if matches!(part.side, Side::Raises | Side::Lowers) {
        // Rounded to thousandths.
        let milli = part.size_micro.saturating_add(500) / 1_000;
        return format!(
            "`{name}` {value} {word} the score by {}.{:03}",
            milli / 1_000,
            milli % 1_000
        );
    }
    let share = part.tail_ppm.map_or_else(String::new, |ppm| {
        format!(": {} of what is usual lies as far out", per_cent(ppm.into()))
    });
    format!("`{name}` {value} is {word}{share}")
}

/// What is known about a rule.
pub(super) fn rule(program: &Program, id: RuleId) -> &RuleInfo {
    &program.rules[usize::from(id.0)]
}

/// The word for a severity.
pub(super) fn severity_word(severity: SeverityLevel) -> &'static str {
    match severity {
        SeverityLevel::Low => "low",
        SeverityLevel::Medium => "medium",
        SeverityLevel::High => "high",
        SeverityLevel::Critical => "critical",
    }
}

fn contribution<'p, H: Host>(
    trace: Trace<'p>,
    hit: &Hit<'p>,
    run: &mut Run<'_, H>,
) -> Contribution<'p> {
    let info = rule(trace.program, hit.body.rule);
    let actions = &hit.body.actions;
    let points = actions.iter().map(|action| match action {
        ActionPlan::Score { points, .. } => *points,
        _ => 0,
    });
    Contribution {
        rule: &info.id,
        name: &info.name,
        severity: severity_word(info.severity),
        typologies: &info.typologies,
        actions: actions.iter().map(ActionPlan::word).collect(),
        points: points.sum(),
        reasons: actions
            .iter()
            .filter_map(reason)
            .map(|message| trace.render(run, message))
            .collect(),
        conditions: conditions(trace, hit.body, run),
        by_missing: hit.by_missing,
        because: hit.because,
    }
}

fn snoozed<'p>(program: &'p Program, snooze: &judge::Snoozed<'p>) -> Snoozed<'p> {
    let info = rule(program, snooze.rule);
    Snoozed {
        rule: &info.id,
        name: &info.name,
        key: snooze.key.clone(),
        until: Moment(snooze.until_ms),
        owner: snooze.owner.clone(),
        reason: snooze.reason.clone(),
    }
}

fn conditions<'p, H: Host>(
    trace: Trace<'p>,
    body: &RuleBody,
    run: &mut Run<'_, H>,
) -> Vec<Condition<'p>> {
    let explained = trace.explain(run, &trace.program.sources, body);
    let condition = |found: explain::Condition<'p>| Condition {
        text: found.text,
        value: found.left,
        op: found.op,
        threshold: found.right,
        holds: found.truth == Truth::True,
        coverage: coverage_word(found.coverage),
        window: found
            .window
            .map(|(from_ms, to_ms)| WindowRef { from: Moment(from_ms), to: Moment(to_ms) }),
        steps: found
            .steps
            .into_iter()
            .map(|(step, event, at_ms)| StepTaken { step, event, at: Moment(at_ms) })
            .collect(),
    };
    explained.into_iter().map(condition).collect()
}

fn coverage_word(coverage: Coverage) -> Option<Cow<'static, str>> {
    match coverage {
        Coverage::Complete => None,
        Coverage::Warming => Some("warming".into()),
        Coverage::Approximate(ppm) => Some(format!("approximate(±{})", per_cent(ppm)).into()),
        Coverage::Unpriced => Some("unpriced".into()),
        Coverage::Capped => Some("capped".into()),
    }
}

/// Millionths in hundredths of a per cent, cut: `0.05%`.
fn per_cent(ppm: u64) -> String {
    format!("{}.{:02}%", ppm / 10_000, ppm / 100 % 100)
}

fn alert_wishes<'p, H: Host>(
    trace: Trace<'p>,
    body: &'p RuleBody,
    reasons: &[String],
    run: &mut Run<'_, H>,
) -> impl Iterator<Item = AlertWish<'p>> {
    let info = rule(trace.program, body.rule);
    let wish = move |(at, action): (usize, &'p ActionPlan)| {
        let ActionPlan::Alert { queue, once, message } = action else { return None };
        let message = match message {
            Some(message) => trace.render(run, message),
            None => title(info, reasons),
        };
        Some(AlertWish {
            rule: body.rule,
            place: place(trace.program.schema.event(trace.event), body, at),
            queue: queue.as_deref(),
            once: once.as_ref().map(|(slots, span_ms)| (slots.as_slice(), *span_ms)),
            message,
            contribution: None,
        })
    };
    body.actions.iter().enumerate().filter_map(wish)
}

/// The queue and the keys of the alert that stands here among a rule's actions, and which of several with the same.
fn place(event: &EventType, body: &RuleBody, at: usize) -> String {
    let told = |action: &ActionPlan| match action {
        ActionPlan::Alert { queue, once, .. } => {
            let slots = once.as_ref().map_or(&[][..], |(slots, _)| slots.as_slice());
            let name = |slot: &SlotId| event.fields.iter().find(|field| field.slot == *slot);
            let names: Vec<&str> =
                slots.iter().filter_map(name).map(|field| field.name.as_str()).collect();
            format!("{} per {}", queue.as_deref().unwrap_or_default(), names.join(","))
        }
        _ => String::new(),
    };
    let mut upto = body.actions.iter().take(at + 1).map(told);
    let own = upto.next_back().unwrap_or_default();
    let same = upto.filter(|earlier| *earlier == own).count();
    format!("{own} {same}")
}

/// `if missing review`: an alert to a person and nothing else, in the queue of the rule's own alert when it has one.
fn review_wish<'p>(
    program: &'p Program,
    body: &'p RuleBody,
    undecided: &Undecided<'p>,
) -> AlertWish<'p> {
    let own = body.actions.iter().find_map(|action| match action {
        ActionPlan::Alert { queue, once, .. } => Some((queue.as_deref(), once.as_ref())),
        _ => None,
    });
    let (queue, once) = own.unwrap_or((None, None));
    let info = rule(program, body.rule);
    let missing = undecided.missing.join(", ");
    AlertWish {
        rule: body.rule,
        place: "review".to_owned(),
        queue: queue.or(Some("review")),
        once: once.map(|(slots, span_ms)| (slots.as_slice(), *span_ms)),
        message: format!("{}: cannot be decided, missing: {missing}", title(info, &[])),
        contribution: None,
    }
}

fn title(info: &RuleInfo, reasons: &[String]) -> String {
    reasons.first().or(info.title.as_ref()).unwrap_or(&info.name).clone()
}

fn undecided<'p, H: Host>(
    trace: Trace<'p>,
    body: &'p RuleBody,
    run: &mut Run<'_, H>,
) -> Undecided<'p> {
    let info = rule(trace.program, body.rule);
    let then = match info.if_missing {
        IfMissing::Skip => "skip",
        IfMissing::Match => "match",
        IfMissing::Review => "review",
    };
    let causes = trace.missing(run, body);
    let missing = causes.iter().map(|cause| cause.describe(&trace.program.sources)).collect();
    Undecided { rule: &info.id, name: &info.name, missing, then }
}

fn tag(action: &ActionPlan) -> Option<&str> {
    match action {
        ActionPlan::Tag(tag) => Some(tag),
        _ => None,
    }
}

fn reason(action: &ActionPlan) -> Option<&Message> {
    match action {
        ActionPlan::Block { reason } | ActionPlan::Hold { reason, .. } => reason.as_ref(),
        _ => None,
    }
}
