//! Writing records: from facts to JSON bodies on the sink. Nothing is decided here.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;

use crate::base::cards;
use crate::base::time::format_rfc3339;
use crate::base::{Digest, NeverStore};
use crate::decision::episodes::{Ended, Episode, Graver};
use crate::decision::holds::{Claim, Hold, HoldState, Limit, Stage};
use crate::decision::json;
use crate::decision::lattice::Outcome;
use crate::decision::resolve::{Resolution, StepUpTerms};
use crate::decision::score::ScoreSheet;
use crate::decision::wire::{
    AlertRecord, AuditRecord, Band, ChainRef, Claimed, CommandAnswer, CommandRef, Condition,
    Contribution, DeadLetterRecord, DecisionBody, DecisionEntry, DecisionHead, EntityRef,
    EpisodeRecord, EpisodeRef, EventRef, GroupPoints, HeldWith, HoldEntry, HoldRecord, HoldThen,
    LimitedBy, Moment, MoneyText, OutcomeWord, Provenance, SourceRef, StepUp, TrippedRule,
};
use crate::engine::audit::Link;
use crate::engine::held::{self, HeldSubject};
use crate::engine::options::Audited;
use crate::engine::port::{Input, OutputTopic, Sink};
use crate::engine::scene::Scene;
use crate::engine::step::Setup;
use crate::engine::streams::Source;
use crate::engine::tell::{Told, severity_word};
use crate::event::error::DecodeError;
use crate::rules::program::{RuleInfo, SeverityLevel, StepUpOtherwise};
use crate::rules::syntax::ast::Otherwise;

/// Most bytes of a record that its dead letter carries.
///
/// WHY: brokers and clients take 1 MB by default. A dead letter beyond that could never be written, and its record
/// would stop the run again after every start.
const MAX_RAW_BYTES: usize = 512 << 10;

/// Longest answer or alert; a longer one is written without its details.
///
/// WHY: the same bound of 1 MB. Key, head and headers come on top, some KiB.
const MAX_BODY_BYTES: usize = 768 << 10;

/// Most entries of each list in a record without details.
const MAX_TRIMMED: usize = 256;

/// Longest text in a record without details, and all reasons of a hold together.
const MAX_TRIMMED_BYTES: usize = 1 << 10;
const MAX_REASONS_BYTES: usize = 64 << 10;

/// What an alert says beside the event it is about.
#[derive(Debug)]
pub(super) struct AlertFacts<'a> {
    pub(super) alert_id: &'a str,
    pub(super) rule: &'a str,
    pub(super) name: &'a str,
    pub(super) severity: &'a str,
    pub(super) typologies: &'a [String],
    pub(super) queue: Option<&'a str>,
    pub(super) message: &'a str,
    pub(super) entities: Vec<EntityRef<'a>>,
    pub(super) episode: &'a Episode,
    pub(super) conditions: &'a [Condition<'a>],
    pub(super) outcome: Outcome,
    pub(super) score: i32,
}

/// What an answer says.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said<'a, 'p> {
    pub(super) resolution: &'a Resolution<'p>,
    pub(super) told: &'a Told<'p>,
    /// The event's subjects that are held.
    pub(super) held: &'a [HeldSubject],
    /// Its own hold.
    pub(super) hold_id: Option<&'a str>,
}

/// Writes the answer: the second part of a decision record, as a JSON object.
pub(super) fn answer(
    scene: &Scene<'_>,
    Said { resolution, told, held, hold_id }: &Said<'_, '_>,
    sheet: &ScoreSheet,
    provenance: &[Provenance],
    out: &mut Vec<u8>,
) {
    let program = &scene.setup.program;
    let groups = sheet.capped(&program.groups);
    let band = resolution.band.and_then(|index| program.policy.bands.get(index));
    let body = DecisionBody {
        outcome: outcome_word(resolution.outcome()),
        score: resolution.score,
        score_groups: groups
            .map(|(group, points)| GroupPoints { group: &group.name, points })
            .collect(),
        band: band.map(|(from, to, _)| Band {
            from: *from,
            to: *to,
            reason: told.band_reason.as_deref().map(Cow::Borrowed),
        }),
        step_up: resolution
            .step_up
            .filter(|_| resolution.outcome() == Outcome::StepUp)
            .map(|terms| step_up(held::in_time(scene, terms), hold_id.is_some())),
        hold_id: *hold_id,
        held: held.iter().map(held_with).collect(),
        contributions: &told.contributions,
        shadow: &told.shadow,
        snoozed: &told.snoozed,
        undecided: &told.undecided,
        exempt: &told.exempt,
        models: &told.models,
        tags: &told.tags,
        provenance,
        trimmed: false,
        ruleset: &scene.setup.ruleset,
        rates: program.rates.as_ref().map(|rates| rates.version()),
        config: &scene.setup.config,
    };
    out.clear();
    write_json(out, &body);
    if out.len() > MAX_BODY_BYTES {
        let contributions = trimmed(&told.contributions, body.outcome);
        out.clear();
        write_json(out, &without_details(body, &contributions));
    }
}

/// An answer that fits into a message: what must be done and by which rules, without values and conditions.
fn without_details<'b>(
    body: DecisionBody<'b>,
    contributions: &'b [Contribution<'b>],
) -> DecisionBody<'b> {
    let mut score_groups = body.score_groups;
    score_groups.truncate(MAX_TRIMMED);
    let band = body
        .band
        .map(|band| Band { reason: band.reason.map(|reason| Cow::Owned(cut(&reason))), ..band });
    let (shadow, snoozed, undecided, exempt, models, tags) = (&[], &[], &[], &[], &[], &[]);
    DecisionBody {
        score_groups,
        band,
        contributions,
        shadow,
        snoozed,
        undecided,
        exempt,
        models,
        tags,
        trimmed: true,
        ..body
    }
}

/// The contributions of a trimmed answer: those that asked for the outcome come first.
fn trimmed<'b>(told: &'b [Contribution<'_>], outcome: OutcomeWord) -> Vec<Contribution<'b>> {
    let word = match outcome {
        OutcomeWord::Pass => "score",
        OutcomeWord::StepUp => "step_up",
        OutcomeWord::Hold => "hold",
        OutcomeWord::Block => "block",
        OutcomeWord::Allow => "allow",
    };
    let (asked, others): (Vec<_>, Vec<_>) = told.iter().partition(|it| it.actions.contains(&word));
    let short = |told: &'b Contribution<'_>| Contribution {
        typologies: &[],
        actions: told.actions.clone(),
        reasons: told.reasons.first().map(|reason| cut(reason)).into_iter().collect(),
        conditions: Vec::new(),
        ..*told
    };
    asked.into_iter().chain(others).take(MAX_TRIMMED).map(short).collect()
}

/// The beginning of a text, with an ellipsis where something was cut off.
fn cut(text: &str) -> String {
    if text.len() <= MAX_TRIMMED_BYTES {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_TRIMMED_BYTES)])
}

/// The reasons of a hold, as many as fit; the last one says how many more there are.
pub(super) fn fitting_reasons<'r>(reasons: impl Iterator<Item = &'r String>) -> Vec<String> {
    let (mut kept, mut bytes, mut left_out) = (Vec::new(), 0, 0_usize);
    for reason in reasons {
        bytes += reason.len();
        if bytes <= MAX_REASONS_BYTES {
            kept.push(reason.clone());
        } else {
            left_out += 1;
        }
    }
    if left_out > 0 {
        kept.push(format!("and {left_out} more reasons"));
    }
    kept
}

/// Emits a decision: the head of this record, and an answer (of this event, or of the first of its repeats).
pub(super) fn decision(
    scene: &Scene<'_>,
    duplicate: bool,
    answer: &[u8],
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let head = DecisionHead {
        schema: OutputTopic::Decisions.schema(),
        decision_id: &scene.decision_id,
        event: scene.event_ref(),
        source: scene.source_ref(),
        duplicate,
    };
    out.clear();
    write_json(out, &head);
    // Two objects become one: `{head}` and `{answer}` to `{head,answer}`.
    out.pop();
    out.push(b',');
    out.extend_from_slice(answer.get(1..).unwrap_or_default());
    sink.emit(OutputTopic::Decisions, scene.output_key(), out);
}

/// Emits an alert.
pub(super) fn alert(
    scene: &Scene<'_>,
    facts: AlertFacts<'_>,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let Episode { id, seq, count, thinned, graver } = facts.episode;
    let record = AlertRecord {
        schema: OutputTopic::Alerts.schema(),
        alert_id: facts.alert_id,
        rule: facts.rule,
        name: facts.name,
        severity: facts.severity,
        typologies: facts.typologies,
        queue: facts.queue,
        message: facts.message,
        event: scene.event_ref(),
        source: scene.source_ref(),
        decision_id: &scene.decision_id,
        outcome: outcome_word(facts.outcome),
        score: facts.score,
        entities: facts.entities,
        episode: EpisodeRef {
            id,
            seq: *seq,
            count: *count,
            thinned: *thinned,
            graver: graver.map(Graver::as_str),
        },
        conditions: facts.conditions,
        trimmed: false,
        ruleset: &scene.setup.ruleset,
    };
    out.clear();
    write_json(out, &record);
    if out.len() > MAX_BODY_BYTES {
        let message = cut(record.message);
        let (typologies, conditions) = (&[], &[]);
        out.clear();
        let short =
            AlertRecord { message: &message, typologies, conditions, trimmed: true, ..record };
        write_json(out, &short);
    }
    sink.emit(OutputTopic::Alerts, scene.output_key(), out);
}

/// Emits that an episode of alerts has ended; `by` is who closed it, where somebody did.
pub(super) fn episode(
    ended: &Ended,
    (by, source): (Option<CommandRef<'_>>, SourceRef<'_>),
    setup: &Setup,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let Ended { closed, first_ms, open, .. } = ended;
    let record = EpisodeRecord {
        schema: OutputTopic::Episodes.schema(),
        episode_id: &open.id,
        rule: &open.rule,
        closed: closed.as_str(),
        first_alert_at: Moment(*first_ms),
        last_alert_at: Moment(open.raised_ms),
        quiet_at: Moment(open.quiet_ms),
        alerts: open.seq,
        hits: open.count,
        thinned: open.thinned,
        by,
        source,
        ruleset: &setup.ruleset,
    };
    out.clear();
    write_json(out, &record);
    sink.emit(OutputTopic::Episodes, &open.output_key, out);
}

fn held_with(subject: &HeldSubject) -> HeldWith<'_> {
    let HeldSubject { entity, id, stopping } = subject;
    HeldWith { hold_id: &stopping.hold_id, subject: EntityRef { name: entity, value: id } }
}

/// Emits a hold in its state; `by` and `answered_by` are who brought it there.
pub(super) fn hold(
    hold: &Hold,
    (by, answered_by): (Option<CommandRef<'_>>, Option<EventRef<'_>>),
    setup: &Setup,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let [time, placed_at, deadline_at] =
        [hold.event_ms, hold.placed_ms, hold.deadline_ms].map(format_rfc3339);
    let final_word = otherwise_word(hold.at_the_end());
    // What was to come at the first deadline has come.
    let next = hold.stage().filter(|_| hold.state != HoldState::Escalated);
    let record = HoldRecord {
        schema: OutputTopic::Holds.schema(),
        hold_id: &hold.hold_id,
        state: hold.state.as_str(),
        subject: EventRef { id: &hold.event_id, event_type: &hold.event_type, time: &time },
        all_payments: hold.all_payments,
        amount: hold.amount.as_ref().map(|(value, currency)| MoneyText { value, currency }),
        placed_by: hold.placed_by.iter().map(String::as_str).collect(),
        reasons: hold.reasons.iter().map(String::as_str).collect(),
        placed_at: &placed_at,
        under: hold.under.iter().map(String::as_str).collect(),
        deadline_at: &deadline_at,
        otherwise: match &next {
            None => final_word,
            Some(Stage { queue: Some(_), .. }) => "escalate",
            Some(Stage { queue: None, .. }) => "hold",
        },
        then: next.as_ref().map(|Stage { for_ms, queue }| HoldThen {
            for_ms: *for_ms,
            queue: queue.as_deref(),
            otherwise: final_word,
        }),
        limited_by: hold.limited_by().map(|limit| limited_by(hold, limit)),
        decision_id: &hold.decision_id,
        claimed_by: hold
            .claim
            .as_ref()
            .map(|Claim { by, at_ms }| Claimed { actor: by, at: Moment(*at_ms) }),
        challenge: hold.challenge.as_ref().map(|challenge| challenge.method.as_str()),
        by,
        answered_by,
        ruleset: &setup.ruleset,
    };
    out.clear();
    write_json(out, &record);
    sink.emit(OutputTopic::Holds, &hold.output_key, out);
}

fn limited_by<'a>(hold: &Hold, limit: &'a Limit) -> LimitedBy<'a> {
    LimitedBy {
        field: limit.field.as_deref(),
        value: limit.value.as_deref(),
        at_most_ms: limit.until_ms.saturating_sub(hold.placed_ms),
    }
}

/// Asks people about a hold, because somebody wants it or because nobody decided until its first deadline; `source` is the record
/// at which that came.
pub(super) fn escalation(
    hold: &Hold,
    (queue, by): (&str, Option<CommandRef<'_>>),
    source: SourceRef<'_>,
    setup: &Setup,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    const RULE: &str = "hold_escalation";
    // WHY: a deadline asks once, people as often as they will.
    let id: &[&str] = match &by {
        Some(by) => &["alert", RULE, &hold.hold_id, by.command_id],
        None => &["alert", RULE, &hold.hold_id],
    };
    let id: Vec<&[u8]> = id.iter().map(|part| part.as_bytes()).collect();
    let alert_id = Digest::of_parts(&id).short_hex();
    let time = format_rfc3339(hold.event_ms);
    let what = if hold.all_payments { "the payments of `" } else { "`" };
    let (asker, why) = match by {
        Some(by) => (format!("{} asks", by.actor), format!(" ({})", by.reason)),
        None => ("nobody decided".to_owned(), String::new()),
    };
    let message = format!(
        "{asker} about the hold of {what}{}` {}{why}: without a decision until {} {}",
        hold.event_type,
        hold.event_id,
        format_rfc3339(hold.deadline_ms),
        match (hold.at_the_end(), hold.all_payments) {
            (Otherwise::Release, false) => "it is let go",
            (Otherwise::Block, false) => "it is refused",
            (Otherwise::Release, true) => "they are let go",
            (Otherwise::Block, true) => "they are refused",
        }
    );
    let record = AlertRecord {
        schema: OutputTopic::Alerts.schema(),
        alert_id: &alert_id,
        rule: RULE,
        name: RULE,
        severity: severity_word(SeverityLevel::High),
        typologies: &[],
        queue: Some(queue),
        message: &message,
        event: EventRef { id: &hold.event_id, event_type: &hold.event_type, time: &time },
        source,
        decision_id: &hold.decision_id,
        outcome: OutcomeWord::Hold,
        score: hold.score,
        entities: Vec::new(),
        episode: EpisodeRef { id: &alert_id, seq: 1, count: 1, thinned: 0, graver: None },
        conditions: &[],
        trimmed: false,
        ruleset: &setup.ruleset,
    };
    out.clear();
    write_json(out, &record);
    sink.emit(OutputTopic::Alerts, &hold.output_key, out);
}

/// Emits a dead letter, with the record's bytes as they came, but for card numbers and for values that are never stored; how
/// many there were of those.
pub(super) fn dead_letter(
    (input, source): (&Input<'_>, &Source),
    never_store: &NeverStore,
    error: &DecodeError,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) -> u64 {
    let blanked = input.payload.map(|raw| never_store.blanked(raw));
    let n_blanked = blanked.as_ref().map_or(0, |(_, n)| *n);
    // WHY: masked as a whole, because what is cut off may be the end of a number.
    let masked = blanked.as_ref().map(|(raw, _)| cards::masked(raw));
    let raw = masked.as_ref().map(|(raw, _)| raw.get(..MAX_RAW_BYTES).unwrap_or(raw));
    let record = DeadLetterRecord {
        schema: OutputTopic::DeadLetter.schema(),
        stage: "decode",
        reason: error.reason.as_str(),
        field: error.field.as_deref(),
        message: format!(
            "could not decode record {} of `{}`-{}: {error}",
            input.offset, source.topic, source.partition
        ),
        source: source.at(input.offset),
        raw_base64: raw.map(|raw| BASE64.encode(raw)),
        raw_cut_from: input.payload.map(<[u8]>::len).filter(|length| *length > MAX_RAW_BYTES),
        raw_masked: masked.as_ref().map(|(_, n)| *n).filter(|n| *n > 0),
        raw_blanked: Some(n_blanked).filter(|n| *n > 0),
    };
    out.clear();
    write_json(out, &record);
    let key = format!("{}-{}", source.topic, source.partition);
    sink.emit(OutputTopic::DeadLetter, key.as_bytes(), out);
    n_blanked as u64
}

/// A chain of audit records, and the record of its input partition at which it goes on.
pub(super) type ChainOf<'a> = (&'a mut Link, SourceRef<'a>);

/// Emits that a rule set has become active.
pub(super) fn ruleset_active(
    setup: &Setup,
    chain: ChainOf<'_>,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let decisions = Some(setup.options.audited.as_str());
    let record = AuditRecord { decisions, ..standing("ruleset_active", setup) };
    audit(record, chain, out, sink);
}

/// Emits that a rule stopped more than it may.
pub(super) fn rule_tripped(
    scene: &Scene<'_>,
    info: &RuleInfo,
    (limit, per_ms): (u32, i64),
    chain: &mut Link,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let tripped = TrippedRule {
        rule: &info.id,
        name: &info.name,
        limit,
        per_ms,
        acts: info.mandatory,
        event: scene.event_ref(),
        source: scene.source_ref(),
    };
    let record = standing("rule_tripped_breaker", scene.setup);
    let record = AuditRecord { tripped: Some(tripped), ..record };
    audit(record, (chain, scene.source_ref()), out, sink);
}

/// Emits what came of a command.
pub(super) fn command(
    answer: CommandAnswer<'_>,
    setup: &Setup,
    chain: ChainOf<'_>,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let record = AuditRecord { command: Some(answer), ..standing("command", setup) };
    audit(record, chain, out, sink);
}

/// Emits the entry of a hold's record, whose body has this digest.
pub(super) fn hold_entry(
    hold: &Hold,
    digest: Digest,
    chain: ChainOf<'_>,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let (hold_id, state, sha256) = (&*hold.hold_id, hold.state.as_str(), &*digest.hex());
    let hold = Some(HoldEntry { hold_id, state, sha256 });
    audit(AuditRecord { hold, ..entry("hold") }, chain, out, sink);
}

/// Emits the entry of a decision, which stands in `out`, where such decisions have one.
pub(super) fn decision_entry(
    scene: &Scene<'_>,
    outcome: Outcome,
    link: &mut Link,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let stops = matches!(outcome, Outcome::StepUp | Outcome::Hold | Outcome::Block);
    let has_one = match scene.setup.options.audited {
        Audited::All | Audited::Notable => true,
        Audited::Stopped => stops,
        Audited::None => false,
    };
    if !has_one {
        return;
    }
    let sha256 = &*Digest::of(out).hex();
    let (decision_id, outcome) = (&*scene.decision_id, outcome_word(outcome));
    let decision = Some(DecisionEntry { decision_id, outcome, sha256 });
    audit(AuditRecord { decision, ..entry("decision") }, (link, scene.source_ref()), out, sink);
}

/// An audit record that tells of the rule set that decides.
fn standing<'a>(kind: &'a str, setup: &'a Setup) -> AuditRecord<'a> {
    let (live_rules, shadow_rules) = setup.rules_by_mode();
    AuditRecord {
        ruleset: Some(&setup.ruleset),
        config: Some(&setup.config),
        engine: Some(env!("CARGO_PKG_VERSION")),
        live_rules: Some(live_rules),
        shadow_rules: Some(shadow_rules),
        ..entry(kind)
    }
}

/// An audit record that tells nothing yet.
fn entry(kind: &str) -> AuditRecord<'_> {
    AuditRecord {
        schema: OutputTopic::Audit.schema(),
        kind,
        ruleset: None,
        config: None,
        engine: None,
        live_rules: None,
        shadow_rules: None,
        decisions: None,
        tripped: None,
        command: None,
        hold: None,
        decision: None,
        chain: ChainRef { topic: "", partition: 0, offset: 0, seq: 0, prev: "" },
    }
}

fn audit(
    record: AuditRecord<'_>,
    (link, source): ChainOf<'_>,
    out: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    let prev = link.last.hex();
    let SourceRef { topic, partition, offset } = source;
    let chain = ChainRef { topic, partition, offset, seq: link.seq + 1, prev: &prev };
    let record = AuditRecord { chain, ..record };
    out.clear();
    write_json(out, &record);
    link.advance(out);
    // WHY: by the chain, so that its records stand in one partition in their order.
    let key = format!("{topic}-{partition}");
    sink.emit(OutputTopic::Audit, key.as_bytes(), out);
}

/// `awaited`: the answer is awaited here, and the hold of the payment says what becomes of it.
fn step_up(terms: StepUpTerms<'_>, awaited: bool) -> StepUp<'_> {
    let StepUpTerms { method, within_ms, otherwise } = terms;
    let within_ms = awaited.then_some(within_ms);
    let (word, hold_for_ms) = match otherwise {
        Some(StepUpOtherwise::Block) => (Some("block"), None),
        Some(StepUpOtherwise::Hold(for_ms)) => (Some("hold"), Some(for_ms)),
        None => (None, None),
    };
    StepUp { method, within_ms, otherwise: word, hold_for_ms }
}

fn outcome_word(outcome: Outcome) -> OutcomeWord {
    match outcome {
        Outcome::Pass => OutcomeWord::Pass,
        Outcome::StepUp => OutcomeWord::StepUp,
        Outcome::Hold => OutcomeWord::Hold,
        Outcome::Block => OutcomeWord::Block,
        Outcome::Allow => OutcomeWord::Allow,
    }
}

fn otherwise_word(otherwise: Otherwise) -> &'static str {
    match otherwise {
        Otherwise::Release => "release",
        Otherwise::Block => "block",
    }
}

#[expect(
    clippy::expect_used,
    reason = "a record is a plain struct of texts and whole numbers, and the writer takes all of those"
)]
fn write_json(out: &mut Vec<u8>, record: &impl Serialize) {
    json::write(out, record)
        .expect("a record has texts, whole numbers, truths, lists and structs only");
}
