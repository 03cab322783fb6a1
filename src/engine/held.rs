//! Holds as the engine places and tells them: of payments, of payments whose subject is held, and of subjects.

use crate::base::time::TimeText;
use crate::base::{Digest, EntityKey};
use crate::decision::holds::{
    Challenge, Hold, HoldKey, HoldState, Limit, Party, Stage, Stopping, subject_key,
};
use crate::decision::lattice::Outcome;
use crate::decision::resolve::StepUpTerms;
use crate::decision::wire::{CommandRef, EventRef, SourceRef};
use crate::engine::emit;
use crate::engine::port::{Sink, StreamId};
use crate::engine::scene::{self, Scene};
use crate::engine::step::{Decoded, Remembered, Setup};
use crate::engine::tell::rule;
use crate::engine::turn::Verdict;
use crate::event::schema::{EventType, FieldType, Schema, SlotId};
use crate::rules::eval::explain::SENSITIVE;
use crate::rules::program::{ActionPlan, Escalation, StepUpOtherwise};
use crate::rules::syntax::ast::Otherwise;

/// In [`Hold::placed_by`] of a payment that is held because its subject is.
const BY_SUBJECT: &str = "subject";

/// What of an event names a subject that may be held: the kind of entity, and the slot of its id.
pub(super) type SubjectSlots = Vec<(String, SlotId)>;

/// The subjects of each type of payments: events with an amount that say nothing about other events.
pub(super) fn subject_slots(schema: &Schema) -> Vec<SubjectSlots> {
    let of = |event: &EventType| {
        let is_money = |ty: &FieldType| matches!(ty, FieldType::Money { .. });
        let is_payment = event.fields.iter().any(|field| is_money(&field.ty));
        let fields = event.fields.iter().filter(|_| is_payment && event.labels.is_none());
        let subject = fields.filter_map(|field| match field.ty {
            FieldType::Entity(kind) => {
                Some((schema.entities.get(usize::from(kind.0))?.clone(), field.slot))
            }
            _ => None,
        });
        subject.collect()
    };
    schema.events.iter().map(of).collect()
}

/// A subject of an event that is held.
#[derive(Clone, Debug)]
pub(super) struct HeldSubject {
    /// The kind of entity.
    pub(super) entity: String,
    /// Its id, as records may show it.
    pub(super) id: String,
    /// Its hold.
    pub(super) stopping: Stopping,
}

/// The subjects of an event that are held.
pub(super) fn held_subjects(
    setup: &Setup,
    remembered: &Remembered,
    decoded: Decoded<'_>,
) -> Vec<HeldSubject> {
    let mut held: Vec<HeldSubject> = Vec::new();
    if !remembered.holds.holds_subjects() {
        return held;
    }
    let event = setup.program.schema.event(decoded.row.event());
    for (entity, slot) in &setup.subjects[usize::from(decoded.row.event)] {
        let text = scene::text(decoded, *slot);
        let key = subject_key(entity, text.as_bytes());
        let Some(stopping) = remembered.holds.stopping(key).filter(|_| !text.is_empty()) else {
            continue;
        };
        // One payment may name one account twice.
        if held.iter().all(|known| known.stopping.hold_id != stopping.hold_id) {
            let id = shown(event, *slot, text).to_owned();
            held.push(HeldSubject { entity: entity.clone(), id, stopping });
        }
    }
    held
}

/// The text of a field as records may show it.
pub(super) fn shown<'t>(event: &EventType, slot: SlotId, text: &'t str) -> &'t str {
    let field = event.fields.iter().find(|field| field.slot == slot);
    field.and_then(|field| field.sensitive.as_ref()).map_or(text, |_| SENSITIVE)
}

/// The hold of a payment, if it has one: its outcome is `hold`, or a second factor is awaited and something follows when none
/// comes.
pub(super) fn of_payment(
    scene: &Scene<'_>,
    verdict: &Verdict<'_>,
    subjects: &[Hold],
) -> Option<Hold> {
    match verdict.resolution.outcome() {
        Outcome::Hold if verdict.resolution.by_subject => {
            challenged(scene, verdict, subjects).or_else(|| Some(stopped(scene, verdict, subjects)))
        }
        Outcome::Hold => Some(stopped(scene, verdict, subjects)),
        Outcome::StepUp => challenged(scene, verdict, subjects),
        Outcome::Pass | Outcome::Block | Outcome::Allow => None,
    }
}

/// The hold of a payment that waits for a second factor. Where no event says how it was answered, it is for whoever asks to do
/// what the decision says.
fn challenged(scene: &Scene<'_>, verdict: &Verdict<'_>, subjects: &[Hold]) -> Option<Hold> {
    let terms = verdict.resolution.step_up?;
    let answered = scene.setup.answered[usize::from(scene.decoded.row.event)];
    let unanswered = terms.otherwise.filter(|_| answered)?;
    let (next, otherwise) = match unanswered {
        StepUpOtherwise::Block => (None, Otherwise::Block),
        StepUpOtherwise::Hold(for_ms) => (Some(Stage { for_ms, queue: None }), Otherwise::Release),
    };
    let mut hold = stopped(scene, verdict, subjects);
    // WHY: whoever was asked for a second factor and gave none is not let go because there was no time for it.
    hold.limit.iter_mut().for_each(|limit| limit.otherwise = Some(Otherwise::Block));
    let challenge = Some(Challenge {
        method: terms.method.to_owned(),
        parties: parties(scene.setup, scene.decoded),
    });
    if verdict.resolution.by_subject {
        // It is not asked for now; once the subject goes, what comes without an answer comes.
        return Some(Hold { next, challenge, ..hold });
    }
    let deadline_ms = scene.now_ms.saturating_add(terms.within_ms);
    let hold = Hold { has_deadline: true, deadline_ms, next, otherwise, challenge, ..hold };
    Some(hold.within_limit())
}

/// How long the rail of a payment leaves, as its type says.
fn limit(scene: &Scene<'_>) -> Option<Limit> {
    let (bounds, bound) = scene.hold_bound()?;
    let field = bounds.by.map(|by| scene.event.field(by));
    let value = field.and_then(|field| {
        let member = usize::try_from(scene.decoded.row.get(field.slot)?).ok()?;
        let FieldType::OneOf(members) = &field.ty else { return None };
        Some(shown(scene.event, field.slot, members.get(member)?).to_owned())
    });
    Some(Limit {
        until_ms: scene.now_ms.saturating_add(bound.at_most_ms),
        otherwise: bound.otherwise,
        field: field.map(|field| field.name.clone()),
        value,
        cuts: false,
    })
}

/// The second factor that is asked for, with no more time for it than the payment's rail leaves. What would be held for
/// nothing then is refused.
pub(super) fn in_time<'p>(scene: &Scene<'_>, terms: StepUpTerms<'p>) -> StepUpTerms<'p> {
    let Some((_, bound)) = scene.hold_bound() else { return terms };
    let within_ms = terms.within_ms.min(bound.at_most_ms);
    let otherwise = terms.otherwise.map(|otherwise| match otherwise {
        StepUpOtherwise::Hold(for_ms) if within_ms < bound.at_most_ms => {
            StepUpOtherwise::Hold(for_ms.min(bound.at_most_ms - within_ms))
        }
        StepUpOtherwise::Hold(_) | StepUpOtherwise::Block => StepUpOtherwise::Block,
    });
    StepUpTerms { within_ms, otherwise, ..terms }
}

/// Whose event it is: each field that names an entity, with the key of that.
fn parties(setup: &Setup, decoded: Decoded<'_>) -> Vec<Party> {
    let fields = &setup.program.schema.event(decoded.row.event()).fields;
    let named = fields.iter().filter(|field| matches!(field.ty, FieldType::Entity(_)));
    named.filter_map(|field| party(decoded, field.slot, &field.name)).collect()
}

/// The entity in a slot, if there is one, under the name of a field.
pub(super) fn party(decoded: Decoded<'_>, slot: SlotId, name: &str) -> Option<Party> {
    let text = scene::text(decoded, slot);
    (!text.is_empty()).then(|| (name.to_owned(), EntityKey::of_text(text.as_bytes())))
}

/// The hold of a payment that is stopped. Rules that only wanted one, and were overridden, are not named.
fn stopped(scene: &Scene<'_>, verdict: &Verdict<'_>, subjects: &[Hold]) -> Hold {
    let program = &scene.setup.program;
    let Verdict { judgement, resolution, told, held } = verdict;
    let by_band = resolution.is_by_band(&program.policy);
    let rules = verdict.brought_about(program).map(|hit| rule(program, hit.body.rule).id.clone());
    let own = resolution.hold.filter(|_| resolution.ruling.outcome == Outcome::Hold);
    let by_subject = resolution.by_subject && own.is_none();
    let by_subject = by_subject.then(|| BY_SUBJECT.to_owned());
    let placed_by = rules.chain(by_band.then(|| "policy".to_owned())).chain(by_subject).collect();
    let hits = judgement.hits.iter().zip(&told.contributions);
    let hits = hits.filter(|(hit, _)| resolution.is_by(program, hit.body));
    let reasons = hits.flat_map(|(_, told)| &told.reasons);
    let reasons = reasons.chain(told.band_reason.as_ref().filter(|_| by_band));
    let of_subjects = held.iter().filter(|_| own.is_none()).flat_map(|held| &held.stopping.reasons);
    let longest =
        held.iter().map(|held| &held.stopping).max_by_key(|stopping| stopping.deadline_ms);
    let now_ms = scene.now_ms;
    let (deadline_ms, otherwise) = match (own, longest) {
        (Some(terms), _) => (now_ms.saturating_add(terms.for_ms), terms.otherwise),
        (None, Some(stopping)) => (stopping.deadline_ms, stopping.otherwise),
        (None, None) => (now_ms, Otherwise::Release),
    };
    let known = held.iter().map(|held| held.stopping.hold_id.clone());
    let hold = Hold {
        state: HoldState::Placed,
        hold_id: scene.hold_id(),
        event_type: scene.event.name.clone(),
        event_id: scene.event_id().to_owned(),
        event_ms: scene.decoded.row.time_ms,
        all_payments: false,
        placed_ms: now_ms,
        amount: scene.amount(),
        score: resolution.score,
        placed_by,
        reasons: emit::fitting_reasons(reasons.chain(of_subjects)),
        under: known.chain(subjects.iter().map(|hold| hold.hold_id.clone())).collect(),
        has_deadline: own.is_some(),
        deadline_ms,
        next: own.and_then(|terms| terms.escalate).map(stage),
        otherwise,
        limit: limit(scene),
        challenge: None,
        claim: None,
        decision_id: scene.decision_id.clone(),
        output_key: scene.output_key().to_vec(),
        ended_ms: 0,
    };
    hold.within_limit()
}

fn stage(Escalation { queue, for_ms }: &Escalation) -> Stage {
    Stage { for_ms: *for_ms, queue: Some(queue.clone()) }
}

/// The holds of subjects that the rules want which hit and stand, each with its key, of those that are not held yet. Where
/// several rules want one, the longest and strictest counts.
pub(super) fn of_subjects(
    scene: &Scene<'_>,
    verdict: &Verdict<'_>,
    remembered: &Remembered,
) -> Vec<(HoldKey, Hold)> {
    let program = &scene.setup.program;
    let Verdict { judgement, resolution, told, .. } = verdict;
    let mut wanted: Vec<(HoldKey, Hold)> = Vec::new();
    for (hit, contribution) in judgement.hits.iter().zip(&told.contributions) {
        if !resolution.stands(program, hit.body) {
            continue;
        }
        for action in &hit.body.actions {
            let ActionPlan::Hold { of: Some(slot), for_ms, escalate, otherwise, .. } = action
            else {
                continue;
            };
            let text = scene::text(scene.decoded, *slot);
            let subjects = &scene.setup.subjects[usize::from(scene.decoded.row.event)];
            let subject = subjects.iter().find(|(_, known)| known == slot);
            let Some((entity, _)) = subject.filter(|_| !text.is_empty()) else { continue };
            let key = subject_key(entity, text.as_bytes());
            let deadline_ms = scene.now_ms.saturating_add(*for_ms);
            let rule_id = rule(program, hit.body.rule).id.clone();
            let next = escalate.as_ref().map(stage);
            if let Some((_, hold)) = wanted.iter_mut().find(|(known, _)| *known == key) {
                hold.placed_by.push(rule_id);
                hold.reasons.extend(contribution.reasons.iter().cloned());
                if deadline_ms > hold.deadline_ms {
                    (hold.deadline_ms, hold.next) = (deadline_ms, next);
                }
                hold.otherwise = hold.otherwise.max(*otherwise);
                continue;
            }
            if remembered.holds.stopping(key).is_some() {
                continue;
            }
            let parts: [&[u8]; 4] =
                [b"subject", entity.as_bytes(), text.as_bytes(), scene.decision_id.as_bytes()];
            wanted.push((
                key,
                Hold {
                    state: HoldState::Placed,
                    hold_id: Digest::of_parts(&parts).short_hex(),
                    event_type: entity.clone(),
                    event_id: shown(scene.event, *slot, text).to_owned(),
                    event_ms: scene.now_ms,
                    all_payments: true,
                    placed_ms: scene.now_ms,
                    amount: None,
                    score: resolution.score,
                    placed_by: vec![rule_id],
                    reasons: contribution.reasons.clone(),
                    under: Vec::new(),
                    has_deadline: true,
                    deadline_ms,
                    next,
                    otherwise: *otherwise,
                    limit: None,
                    challenge: None,
                    claim: None,
                    decision_id: scene.decision_id.clone(),
                    output_key: scene.output_key().to_vec(),
                    ended_ms: 0,
                },
            ));
        }
    }
    for (_, hold) in &mut wanted {
        hold.reasons = emit::fitting_reasons(core::mem::take(&mut hold.reasons).iter());
    }
    wanted
}

/// What brought a hold into its state.
#[derive(Clone, Copy, Debug)]
pub(super) enum By<'a> {
    /// A rule, or its deadline.
    Itself,
    /// Somebody who asked, at a time in ms.
    Command(CommandRef<'a>, Option<i64>),
    /// Somebody who works on it from now on, or no longer: its state is what it was.
    Claim(CommandRef<'a>),
    /// An event that answered its challenge.
    Answer(Decoded<'a>),
}

/// Tells what became of holds: who brought it about, where somebody did, and the record at which it came about. People are
/// asked about what was escalated, and counted is how long those were open that ended. Each has its entry in the chain of that
/// record's stream, but for the first that a command brought about: the digest of its record, which the answer to the command carries.
pub(super) fn tell(
    taken: &[Hold],
    (by, source, stream): (By<'_>, SourceRef<'_>, StreamId),
    (setup, remembered): (&Setup, &mut Remembered),
    body: &mut Vec<u8>,
    sink: &mut impl Sink,
) -> Option<Digest> {
    let mut answers = None;
    let (mut command, mut time, mut answer) = (None, None, None);
    match by {
        By::Itself => {}
        By::Command(by, _) | By::Claim(by) => command = Some(by),
        By::Answer(event) => {
            time = Some(TimeText::of(event.row.time_ms));
            answer = Some(event);
        }
    }
    let answered_by = answer.zip(time.as_ref()).map(|(event, time)| EventRef {
        id: scene::text(event, setup.shapes[usize::from(event.row.event)].id),
        event_type: &setup.program.schema.event(event.row.event()).name,
        time: time.as_str(),
    });
    for hold in taken {
        if !matches!(by, By::Claim(_)) {
            remembered.counters.count_hold(hold.state);
        }
        if !hold.state.is_open() {
            let ended_ms = match by {
                By::Command(_, at_ms) if hold.state != HoldState::Expired => at_ms,
                By::Answer(event) => Some(event.row.time_ms),
                By::Itself | By::Command(..) | By::Claim(_) => None,
            };
            let age_ms = ended_ms.unwrap_or(hold.deadline_ms).saturating_sub(hold.placed_ms);
            remembered.counters.count_hold_age(hold.state, age_ms);
        }
        emit::hold(hold, (command, answered_by.clone()), setup, body, sink);
        remembered.trail.add_bytes(body);
        let digest = Digest::of(body);
        if command.is_some() && answers.is_none() {
            answers = Some(digest);
        } else {
            let chain = (remembered.chains.of(stream), source.clone());
            emit::hold_entry(hold, digest, chain, body, sink);
        }
        let asked = hold.next.as_ref().filter(|_| hold.state == HoldState::Escalated);
        if let Some(queue) = asked.and_then(|stage| stage.queue.as_deref()) {
            remembered.counters.alerts += 1;
            emit::escalation(hold, (queue, command), source.clone(), setup, body, sink);
            remembered.trail.add_bytes(body);
        }
    }
    answers
}
