//! One event's turn: place it in time, recognise a repeat, judge, resolve, emit, remember.

use std::sync::Arc;

use crate::base::planted::{Bug, is_planted};
use crate::base::{EntityKey, Value};
use crate::decision::episodes::{Alerted, At, Episodes, Raise, Weight};
use crate::decision::holds::{
    Answer as Answered, Heard, Hold, HoldKey, Party, Placed, payment_key,
};
use crate::decision::lattice::Outcome;
use crate::decision::resolve::{Reach, Resolution};
use crate::decision::wire::{Condition, EntityRef, Provenance};
use crate::engine::emit::{self, AlertFacts, Said};
use crate::engine::endings;
use crate::engine::held::{self, By, HeldSubject};
use crate::engine::judge::{Hit, Judgement, Marks, StopsAt, judge, settle};
use crate::engine::lists::Lists;
use crate::engine::memory::{Memory, NoState, StateHost};
use crate::engine::options::DecisionsWanted;
use crate::engine::port::{Input, Judged, Sink};
use crate::engine::repeats::Answer;
use crate::engine::scene::{self, Scene};
use crate::engine::step::{Decoded, Remembered, Setup, Work, most_list_edit_bytes};
use crate::engine::streams::{Placement, Source, Timeliness};
use crate::engine::tell::{AlertWish, Told, rule, severity_word, tell};
use crate::event::key::{key_of, key_parts};
use crate::event::schema::Finding;
use crate::models::online::Lesson;
use crate::rules::eval::Run;
use crate::rules::eval::outline::Outline;
use crate::rules::eval::render::duration;
use crate::rules::eval::trace::Trace;
use crate::rules::program::{ActionPlan, Message, NodeId, Policy, Program, RuleId, SeverityLevel};
use crate::state::{Seen, variant_of};
use crate::window::spec::Coverage;

/// What was found about one event: what the rules said, what follows from it, and both in words.
#[derive(Debug)]
pub(super) struct Verdict<'p> {
    pub(super) judgement: Judgement<'p>,
    pub(super) resolution: Resolution<'p>,
    pub(super) told: Told<'p>,
    /// The event's subjects that are held.
    pub(super) held: Vec<HeldSubject>,
}

impl<'p> Verdict<'p> {
    /// What models learn of the event. Alerted and stopped for what is known of it: what only could not be decided is no
    /// reason, or a model that warms up would never learn.
    fn lesson(&self, policy: &Policy) -> Lesson {
        let suspects = |action: &ActionPlan| {
            matches!(
                action,
                ActionPlan::Alert { .. }
                    | ActionPlan::Hold { .. }
                    | ActionPlan::Block { .. }
                    | ActionPlan::StepUp { .. }
            )
        };
        let mut known = self.judgement.hits.iter().filter(|hit| !hit.by_missing);
        let by_band = self.resolution.band_action(policy).is_some_and(suspects);
        let suspicious = known.clone().next().is_some() && by_band
            || known.any(|hit| hit.body.actions.iter().any(suspects));
        if suspicious { Lesson::Suspicious } else { Lesson::Usual }
    }

    /// The hits that brought the outcome about.
    pub(super) fn brought_about(&self, program: &Program) -> impl Iterator<Item = &Hit<'p>> {
        self.judgement.hits.iter().filter(|hit| self.resolution.is_by(program, hit.body))
    }
}

/// One event on its way through the engine.
#[derive(Debug)]
pub(super) struct Turn<'a, S> {
    pub(super) setup: &'a Setup,
    pub(super) source: &'a Source,
    pub(super) remembered: &'a mut Remembered,
    pub(super) work: &'a mut Work,
    pub(super) input: &'a Input<'a>,
    pub(super) decoded: Decoded<'a>,
    pub(super) sink: &'a mut S,
}

/// What was found out about the event before it was judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) placement: Placement,
    pub(super) seen: Seen,
    /// Names the event, whatever its body.
    pub(super) id_digest: u64,
    /// Names the event with this very body: its answer is kept under it.
    pub(super) answer_id: u64,
    pub(super) body_digest: u64,
    /// Whether its windows reach into a hole of the input.
    pub(super) gap: bool,
}

impl Standing {
    /// The event's time for what is remembered of it; that of an event from the future is where its partition's clock
    /// stands.
    ///
    /// WHY: a time far ahead would keep members on lists, payments on hold and alerts silent until then.
    pub(super) fn now_ms(&self, decoded: Decoded<'_>) -> i64 {
        decoded.row.time_ms.min(self.placement.clock_ms)
    }
}

impl<'a, S: Sink> Turn<'a, S> {
    /// Takes the turn.
    pub(super) fn take(mut self) {
        let standing = self.stand();
        self.mark(&[
            u64::from(self.input.stream.0),
            self.input.offset.cast_unsigned(),
            standing.answer_id,
            standing.placement.timeliness as u64 | (standing.seen as u64) << 8,
        ]);
        if standing.seen == Seen::Duplicate {
            self.repeat(&standing);
            return;
        }
        self.count(&standing);
        let (time_ms, event) = (self.decoded.row.time_ms, usize::from(self.decoded.row.event));
        if standing.placement.timeliness != Timeliness::Future {
            let asked = self.setup.program.plans[event].models.iter().map(|(id, _)| *id);
            self.remembered.memory.models_mut().turn(asked, time_ms);
        }
        let judged = self.judge(&standing, self.stops_at(&standing));
        self.conclude(&standing, &judged);
        let timeliness = standing.placement.timeliness;
        let lost = is_planted(Bug::LateInsertLost) && timeliness != Timeliness::OnTime;
        if timeliness != Timeliness::Future && !lost {
            self.remembered.memory.insert(&self.work.own, time_ms);
            self.remembered.memory.learn(
                &self.work.answers,
                time_ms,
                judged.lesson(&self.setup.program.policy),
            );
        }
        self.await_label(&standing, &judged.judgement);
        if timeliness != Timeliness::Future {
            self.add_amounts(&standing, &judged.judgement);
        }
        if timeliness != Timeliness::Future {
            self.take_label();
        }
        self.take_answer(&standing);
    }

    /// Takes what this event says about the challenge of another one, if it is an answer.
    fn take_answer(&mut self, standing: &Standing) {
        let row = self.decoded.row;
        let schema = &self.setup.program.schema;
        let Some(spec) = &schema.event(row.event()).answers else { return };
        let passed = match spec.finding(row.get(spec.verdict)) {
            Finding::Genuine => true,
            Finding::Fraud => false,
            Finding::Open => return,
        };
        if standing.placement.timeliness == Timeliness::Future {
            self.remembered.counters.count_answer(Heard::FromFuture);
            return;
        }
        let behind_ms = self.setup.options.future_guard_ms;
        let id = scene::text(self.decoded, spec.id);
        let state_ms = self.remembered.clocks.state_clock_ms(self.setup.options.partition_idle_ms);
        let Remembered { holds, counters, .. } = &mut *self.remembered;
        let mut came_of_it = Heard::NothingWaits;
        let mut taken = Vec::new();
        for (place, event) in spec.events.iter().enumerate() {
            let payment = payment_key(&schema.event(*event).name, id.as_bytes());
            let of = spec.agreeing.iter().map(|(slot, theirs)| {
                held::party(self.decoded, *slot, theirs.get(place).map_or("", String::as_str))
            });
            let of = of.collect::<Option<Vec<Party>>>();
            let answer = Answered { passed, at_ms: row.time_ms, behind_ms, of: of.as_deref() };
            let (heard, holds) =
                holds.answer(payment, answer, standing.placement.clock_ms, state_ms);
            let is_first = came_of_it == Heard::NothingWaits;
            if is_first || !holds.is_empty() {
                came_of_it = heard;
            }
            taken.extend(holds);
        }
        counters.count_answer(came_of_it);
        self.tell_holds(&taken, true);
    }

    /// Adds what happened to the digest of the engine's way.
    fn mark(&mut self, words: &[u64]) {
        for word in words {
            self.remembered.trail.add(*word);
        }
    }

    pub(super) fn mark_outcome(&mut self, outcome: Outcome, score: i32) {
        self.mark(&[u64::from(score.cast_unsigned()) | (outcome as u64) << 32]);
    }

    /// Adds the record that was just written to the digest.
    fn mark_record(&mut self) {
        self.remembered.trail.add_bytes(&self.work.body);
    }

    /// Places the event on its partition's clock, lets deadlines come, and asks whether it was seen before.
    fn stand(&mut self) -> Standing {
        let Decoded { raw, row } = self.decoded;
        let Remembered { clocks, seen, counters, .. } = &mut *self.remembered;
        let (clock, arrival_ms) = (self.source.clock, self.input.arrival_ms);
        let placement = clocks.place(clock, row.time_ms, arrival_ms, &self.setup.options);
        let digester = self.setup.digester(row);
        let (id_digest, body_digest) = (digester.id(row, raw), digester.body(row, raw));
        let clock_ms = clocks.get(clock).now_ms.unwrap_or(i64::MIN);
        let state_ms = clocks.state_clock_ms(self.setup.options.partition_idle_ms);
        let ids = seen;
        let mut seen = ids.check_and_insert(id_digest, body_digest, clock_ms, state_ms);
        counters.ids_cut_short = ids.early_rotations();
        if is_planted(Bug::DedupeSkipped) {
            seen = Seen::New;
        }
        if placement.timeliness != Timeliness::Future {
            self.pass_time(placement.clock_ms, state_ms);
        }
        let answer_id = variant_of(id_digest, body_digest);
        let late_ms = state_ms.saturating_sub(self.setup.options.allowed_lateness_ms);
        let place = (row.time_ms, clock, row.event);
        let gap = self.remembered.gap.touches(place, &placement, late_ms, &self.setup.asked);
        Standing { placement, seen, id_digest, answer_id, body_digest, gap }
    }

    /// What the clock brings: state that no window sees is forgotten, holds whose deadline has come end.
    fn pass_time(&mut self, clock_ms: i64, horizon_ms: i64) {
        let Remembered { memory, lists, snoozes, seen, repeats, episodes, labels, .. } =
            &mut *self.remembered;
        memory.advance(horizon_ms);
        labels.advance(horizon_ms);
        let kept_ms = horizon_ms.saturating_sub(self.setup.options.allowed_lateness_ms);
        lists.expire(kept_ms);
        snoozes.expire(kept_ms);
        repeats.expire(seen.generations().0);
        episodes.expire(kept_ms);
        let (at, state) = (self.source.at(self.input.offset), (self.setup, &mut *self.remembered));
        endings::tell(&at, state, &mut self.work.body, self.sink);
        let clock = self.source.clock.0;
        loop {
            let taken = self.remembered.holds.take_expired(clock, clock_ms, horizon_ms);
            if taken.is_empty() {
                break;
            }
            self.tell_holds(&taken, false);
        }
        self.remembered
            .holds
            .forget(horizon_ms.saturating_sub(self.setup.options.dedupe_window_ms));
    }

    fn count(&mut self, standing: &Standing) {
        let counters = &mut self.remembered.counters;
        match standing.placement.timeliness {
            Timeliness::OnTime => {}
            Timeliness::Late => counters.late += 1,
            Timeliness::TooLate => counters.too_late += 1,
            Timeliness::Future => counters.future += 1,
        }
        if standing.seen == Seen::Reused {
            counters.id_reuse += 1;
        }
    }

    /// Judges every rule, resolves what they want, and puts into words what they said while the evidence is at hand.
    /// `stops_at` is the clock by which breakers count what is stopped, if anything can be.
    pub(super) fn judge(&mut self, standing: &Standing, stops_at: Option<StopsAt>) -> Verdict<'a> {
        let setup = self.setup;
        let program = &setup.program;
        let reach = match standing.placement.timeliness {
            Timeliness::TooLate => Reach::AlertsOnly,
            Timeliness::OnTime | Timeliness::Late | Timeliness::Future => Reach::Full,
        };
        let mut sheet = core::mem::take(&mut self.work.sheet);
        let Remembered { memory, lists, counters, breakers, snoozes, .. } = &mut *self.remembered;
        let (began_ms, arrival) = (standing.placement.began_ms, counters.read);
        let mut marks = Marks { counters, breakers, snoozes };
        let evidence = Evidence { setup, memory, lists, decoded: self.decoded, began_ms, arrival };
        let judge_rules = |run: &mut Run<'_, StateHost<'_>>| {
            let mut judgement = judge(program, run, &mut marks);
            let grounds = ((self.decoded.row.time_ms, reach), stops_at);
            let resolution = settle(program, &mut judgement, grounds, marks.breakers, &mut sheet);
            let told = if judgement.is_silent() && resolution.band.is_none() {
                Told::default()
            } else {
                tell(program, &judgement, &resolution, run)
            };
            Verdict { judgement, resolution, told, held: Vec::new() }
        };
        let mut overflowed = false;
        let learn_from = |run: &mut Run<'_, StateHost<'_>>, verdict: &mut Verdict<'_>| {
            let shortfall = run.host.answers.shortfall().max(run.memo.shortfall());
            verdict.judgement.coverage = verdict.judgement.coverage.max(shortfall);
            // What no rule asked is asked now: a model learns every event. WHY: only now, because what nobody but a model
            // asks says nothing about the decision.
            for (_, node) in &program.plans[usize::from(run.row.event)].models {
                run.value(*node);
            }
            overflowed = run.memo.overflowed();
        };
        let mut verdict = evidence.with_run_and(self.work, judge_rules, learn_from);
        self.remembered.counters.overflows += u64::from(overflowed);
        self.work.sheet = sheet;
        // WHY: whatever its time. Who is held must not be freed by a date that is far enough in the past.
        verdict.held = held::held_subjects(self.setup, self.remembered, self.decoded);
        verdict.resolution.by_subject = !verdict.held.is_empty();
        verdict
    }

    /// The clock by which breakers count what the event stops. One that is too late stops nothing.
    fn stops_at(&self, standing: &Standing) -> Option<StopsAt> {
        let Placement { timeliness, clock_ms, .. } = standing.placement;
        (timeliness != Timeliness::TooLate).then_some((self.source.clock, clock_ms))
    }

    /// Turns the judgement into what leaves: a decision, alerts, a hold; and into what the lists remember.
    fn conclude(&mut self, standing: &Standing, verdict: &Verdict<'a>) {
        let Verdict { judgement, resolution, told, .. } = verdict;
        let outcome = resolution.outcome();
        self.remembered.counters.count_outcome(outcome);
        if outcome == Outcome::Block {
            self.count_blocks(verdict);
        }
        self.mark_outcome(outcome, resolution.score);
        let remarkable = remarks(standing, judgement).next().is_some();
        let silent = judgement.is_silent() && resolution.band.is_none();
        let quiet = silent && outcome == Outcome::Pass && !remarkable;
        let wanted = self.setup.options.decisions;
        self.work.raised.clear();
        if quiet && wanted != DecisionsWanted::All {
            self.show(judgement, outcome, resolution.score, 0);
            return;
        }
        let scene = Scene::new(self.setup, self.source, self.input, self.decoded, standing);
        let subjects = match standing.placement.timeliness {
            Timeliness::TooLate => Vec::new(),
            _ => held::of_subjects(&scene, verdict, self.remembered),
        };
        let own: Vec<Hold> = subjects.iter().map(|(_, hold)| hold.clone()).collect();
        let hold = held::of_payment(&scene, verdict, &own);
        let mut answer = core::mem::take(&mut self.work.answer);
        let provenance = provenance(standing, judgement);
        let hold_id = hold.as_ref().map(|hold| hold.hold_id.as_str());
        let said = Said { resolution, told, held: &verdict.held, hold_id };
        emit::answer(&scene, &said, &self.work.sheet, &provenance, &mut answer);
        if wanted != DecisionsWanted::None {
            self.write(&scene, (false, outcome), &answer);
        }
        if !quiet {
            self.remembered.trail.add_bytes(&answer);
            let kept = Answer { outcome, body: self.shared(&answer) };
            let (_, generation) = self.remembered.seen.generations();
            self.remembered.repeats.put(standing.answer_id, kept, generation);
        }
        self.work.answer = answer;
        let alerts_before = self.remembered.counters.alerts;
        self.raise(&scene, standing, resolution, told);
        for rule in &judgement.tripped {
            self.trip(&scene, resolution, *rule);
        }
        if let Some(hold) = hold {
            self.place((scene.hold_key(), &hold), Some(verdict));
        }
        for (key, hold) in &subjects {
            self.place((*key, hold), None);
        }
        self.write_lists(standing, judgement);
        let n_alerts = self.remembered.counters.alerts - alerts_before;
        self.show(judgement, outcome, resolution.score, n_alerts);
    }

    /// Writes a decision and its entry in the audit chain, where it has one.
    pub(super) fn write(
        &mut self,
        scene: &Scene<'_>,
        (is_repeat, outcome): (bool, Outcome),
        answer: &[u8],
    ) {
        let body = &mut self.work.body;
        emit::decision(scene, is_repeat, answer, body, self.sink);
        let link = self.remembered.chains.of(self.input.stream);
        emit::decision_entry(scene, outcome, link, body, self.sink);
    }

    /// Tells a sink that watches what was decided.
    fn show(&mut self, judgement: &Judgement<'_>, outcome: Outcome, score: i32, n_alerts: u64) {
        if !self.sink.watches() {
            return;
        }
        let rules =
            |hits: &[Hit<'_>]| -> Vec<RuleId> { hits.iter().map(|hit| hit.body.rule).collect() };
        let (hits, shadow) = (rules(&judgement.hits), rules(&judgement.shadow));
        let Decoded { row, .. } = self.decoded;
        let shape = &self.setup.shapes[usize::from(row.event)];
        let judged = Judged {
            event: row.event(),
            id: scene::text(self.decoded, shape.id),
            time_ms: row.time_ms,
            amount: shape.amount_of(row),
            outcome,
            score,
            hits: &hits,
            shadow: &shadow,
            alerted: &self.work.raised,
            n_alerts: u32::try_from(n_alerts).unwrap_or(u32::MAX),
            decoded: self.decoded,
        };
        self.sink.judged(&judged);
        for says in self.remembered.memory.models().said(&self.work.answers.models) {
            self.sink.scored(&judged, &says);
        }
    }

    /// The answer to be kept. WHY: one event in ten may be late and nothing else; their answers are all the same.
    fn shared(&mut self, answer: &[u8]) -> Arc<[u8]> {
        if *self.work.last_answer != *answer {
            self.work.last_answer = answer.into();
        }
        Arc::clone(&self.work.last_answer)
    }

    /// Counts the rules that blocked the event.
    fn count_blocks(&mut self, verdict: &Verdict<'_>) {
        for hit in verdict.brought_about(&self.setup.program) {
            self.remembered.counters.rules[usize::from(hit.body.rule.0)].blocks += 1;
        }
    }

    /// Raises the alerts of rules (thinned by their `once per`), of the score band, and of a reused id.
    fn raise(
        &mut self,
        scene: &Scene<'_>,
        standing: &Standing,
        resolution: &Resolution<'_>,
        told: &Told<'_>,
    ) {
        for wish in &told.alerts {
            self.raise_wish(scene, standing, resolution, (wish, told.conditions(wish)));
        }
        let band = resolution.band.and_then(|index| self.setup.program.policy.bands.get(index));
        if let Some((from, to, ActionPlan::Alert { queue, .. })) = band {
            let message = told.band_reason.clone().unwrap_or_else(|| {
                format!("risk score {} lies in the band {from} to {to}", resolution.score)
            });
            let notice = Notice { rule: "policy", about: "", queue: queue.as_deref(), message };
            self.notify(scene, resolution, &notice);
        }
        if standing.seen == Seen::Reused {
            let message = "the event id came before with another body".to_owned();
            let queue = Some("integrity");
            let notice = Notice { rule: "id_reuse", about: "", queue, message };
            self.notify(scene, resolution, &notice);
        }
    }

    /// Tells the operators that a rule stopped more than it may.
    fn trip(&mut self, scene: &Scene<'_>, resolution: &Resolution<'_>, id: RuleId) {
        let info = rule(&self.setup.program, id);
        let Some(terms) = self.setup.program.policy.breaker else { return };
        self.remembered.counters.breaker_trips += 1;
        let chain = self.remembered.chains.of(self.input.stream);
        emit::rule_tripped(scene, info, terms, chain, &mut self.work.body, self.sink);
        self.mark_record();
        let then =
            if info.mandatory { "it is mandatory and goes on" } else { "it only watches now" };
        let message = format!(
            "rule `{}` made more than {} holds and blocks within {}: {then}",
            info.name,
            terms.0,
            duration(terms.1)
        );
        let queue = Some("operators");
        let notice = Notice { rule: "breaker", about: &info.id, queue, message };
        self.notify(scene, resolution, &notice);
    }

    fn raise_wish(
        &mut self,
        scene: &Scene<'_>,
        standing: &Standing,
        resolution: &Resolution<'_>,
        (wish, conditions): (&AlertWish<'_>, &[Condition<'_>]),
    ) {
        let Decoded { raw, row } = self.decoded;
        let info = rule(&self.setup.program, wish.rule);
        let alert_id = scene.alert_id(&info.id, &wish.place);
        let slots = wish.once.map_or(&[][..], |(slots, _)| slots);
        let key = key_of(row, raw, &key_parts(scene.event, slots)).filter(|_| !slots.is_empty());
        let Remembered { episodes, counters, .. } = &mut *self.remembered;
        let counter = &mut counters.rules[usize::from(wish.rule.0)];
        let episode = match (wish.once, key) {
            (Some((_, span_ms)), Some(key)) => {
                let at = At { time_ms: scene.now_ms, clock_ms: standing.placement.clock_ms };
                // WHY: by its id, so that a rule with another name goes on thinning.
                let series = series(&info.id, wish, standing.placement.timeliness);
                let weight = weight(scene, resolution);
                let output_key = scene.output_key();
                let alerted = Alerted { alert_id: &alert_id, rule: &info.id, output_key };
                match episodes.hit((series, key), (at, weight), span_ms, alerted) {
                    Raise::Alert(episode) => episode,
                    Raise::Thinned => {
                        counter.thinned += 1;
                        return;
                    }
                }
            }
            _ => Episodes::single(&alert_id),
        };
        counter.alerts += 1;
        counters.alerts += 1;
        self.work.raised.push(wish.rule);
        let entities = slots.iter().filter_map(|slot| scene.entity(*slot));
        let facts = AlertFacts {
            alert_id: &alert_id,
            rule: &info.id,
            name: &info.name,
            severity: severity_word(info.severity),
            typologies: &info.typologies,
            queue: wish.queue,
            message: &wish.message,
            entities: entities.map(|(name, value)| EntityRef { name, value }).collect(),
            episode: &episode,
            conditions,
            outcome: resolution.outcome(),
            score: resolution.score,
        };
        emit::alert(scene, facts, &mut self.work.body, self.sink);
        self.mark_record();
    }

    fn notify(&mut self, scene: &Scene<'_>, resolution: &Resolution<'_>, notice: &Notice<'_>) {
        let alert_id = scene.alert_id(notice.rule, notice.about);
        self.remembered.counters.alerts += 1;
        let facts = AlertFacts {
            alert_id: &alert_id,
            rule: notice.rule,
            name: notice.rule,
            severity: severity_word(SeverityLevel::Medium),
            typologies: &[],
            queue: notice.queue,
            message: &notice.message,
            entities: Vec::new(),
            episode: &Episodes::single(&alert_id),
            conditions: &[],
            outcome: resolution.outcome(),
            score: resolution.score,
        };
        emit::alert(scene, facts, &mut self.work.body, self.sink);
        self.mark_record();
    }

    /// Places a hold. `verdict`: that of the payment which it is of.
    pub(super) fn place(&mut self, (key, hold): (HoldKey, &Hold), verdict: Option<&Verdict<'_>>) {
        let Remembered { holds, counters, .. } = &mut *self.remembered;
        if holds.place(self.source.clock.0, key, hold.clone()) == Placed::Joined {
            return;
        }
        let program = &self.setup.program;
        let stopped = verdict.filter(|it| it.resolution.outcome() == Outcome::Hold);
        for hit in stopped.iter().flat_map(|verdict| verdict.brought_about(program)) {
            counters.rules[usize::from(hit.body.rule.0)].holds += 1;
        }
        self.tell_holds(core::slice::from_ref(hold), false);
    }

    /// Tells what became of holds by this event, `answered` by it or by its time.
    fn tell_holds(&mut self, taken: &[Hold], answered: bool) {
        let source = self.source.at(self.input.offset);
        let state = (self.setup, &mut *self.remembered);
        let stream = self.input.stream;
        let by = if answered { By::Answer(self.decoded) } else { By::Itself };
        _ = held::tell(taken, (by, source, stream), state, &mut self.work.body, self.sink);
    }

    /// What the rules that hit write on lists; in rule order, removals after additions.
    fn write_lists(&mut self, standing: &Standing, judgement: &Judgement<'_>) {
        let now_ms = standing.now_ms(self.decoded);
        let most_bytes = most_list_edit_bytes(self.setup);
        let Remembered { lists, counters, .. } = &mut *self.remembered;
        let actions = || judgement.hits.iter().flat_map(|hit| &hit.body.actions);
        for action in actions() {
            let (ActionPlan::Add { slot, list, .. } | ActionPlan::Remove { slot, list }) = action
            else {
                continue;
            };
            let value = scene::text(self.decoded, *slot).as_bytes();
            if !value.is_empty() && !lists.has_room(*list, value, most_bytes) {
                counters.list_changes_refused += 1;
            } else if let ActionPlan::Add { for_ms, .. } = action
                && !value.is_empty()
            {
                lists.put(*list, value, now_ms.saturating_add(*for_ms));
            }
        }
        for action in actions() {
            if let ActionPlan::Remove { slot, list } = action {
                let value = scene::text(self.decoded, *slot).as_bytes();
                if lists.has_room(*list, value, most_bytes) {
                    lists.remove(*list, value);
                }
            }
        }
    }
}

/// Evaluates expressions of the event's plan without remembering the event.
pub(super) fn peek(
    setup: &Setup,
    remembered: &mut Remembered,
    work: &mut Work,
    decoded: Decoded<'_>,
    began_ms: i64,
    nodes: &[NodeId],
) -> Vec<Value> {
    let Remembered { memory, lists, counters, .. } = remembered;
    let arrival = counters.read;
    let evidence = Evidence { setup, memory, lists, decoded, began_ms, arrival };
    evidence.with_run(work, |run| nodes.iter().map(|node| run.value(*node)).collect())
}

/// A text with the values of an event, without remembering the event.
pub(super) fn say(
    setup: &Setup,
    remembered: &mut Remembered,
    work: &mut Work,
    decoded: Decoded<'_>,
    (began_ms, message): (i64, &Message),
) -> String {
    let Remembered { memory, lists, counters, .. } = remembered;
    let arrival = counters.read.saturating_add(1);
    let evidence = Evidence { setup, memory, lists, decoded, began_ms, arrival };
    let trace = Trace { program: &setup.program, event: decoded.row.event() };
    evidence.with_run(work, |run| trace.render(run, message))
}

/// Lays out what a rule says about an event, without remembering the event. `None`: the rule is not on its type.
pub(super) fn outline(
    setup: &Setup,
    remembered: &mut Remembered,
    work: &mut Work,
    decoded: Decoded<'_>,
    (began_ms, rule): (i64, RuleId),
) -> Option<Outline> {
    let Remembered { memory, lists, counters, .. } = remembered;
    let event = decoded.row.event();
    let plan = setup.program.plans.get(usize::from(event.0))?;
    let body = plan.rules.iter().find(|body| body.rule == rule)?;
    // It arrives next.
    let arrival = counters.read.saturating_add(1);
    let evidence = Evidence { setup, memory, lists, decoded, began_ms, arrival };
    Some(evidence.with_run(work, |run| {
        let trace = Trace { program: &setup.program, event };
        let mut outline = trace.outline(run, body);
        let Outline { guard, when, unless, .. } = &mut outline;
        for part in [guard.as_mut(), Some(when), unless.as_mut()].into_iter().flatten() {
            part.each_reading(&mut |looked| {
                looked.counted = run.host.counted(looked.at, looked.calendar_ms());
            });
        }
        outline
    }))
}

/// Everything that judging an event reads.
struct Evidence<'a, 'r> {
    setup: &'a Setup,
    memory: &'r mut Memory,
    lists: &'r Lists,
    decoded: Decoded<'r>,
    began_ms: i64,
    /// The event's place in the order of arrival.
    arrival: u64,
}

impl Evidence<'_, '_> {
    /// Works out the event's own entries, then lets `judge` ask what it wants.
    fn with_run<T>(
        self,
        work: &mut Work,
        judge: impl FnOnce(&mut Run<'_, StateHost<'_>>) -> T,
    ) -> T {
        self.with_run_and(work, judge, |_, _| {})
    }

    /// The same, and `after` all that is remembered of the event is worked out.
    fn with_run_and<T>(
        self,
        work: &mut Work,
        judge: impl FnOnce(&mut Run<'_, StateHost<'_>>) -> T,
        after: impl FnOnce(&mut Run<'_, StateHost<'_>>, &mut T),
    ) -> T {
        let Self { setup, memory, lists, decoded: Decoded { raw, row }, began_ms, arrival } = self;
        let plan = &setup.evals[usize::from(row.event)];
        work.evaluator.begin(plan);
        work.evaluator.arrive(arrival);
        let mut no_state = NoState { lists, time_ms: row.time_ms };
        let mut run = Run { plan, memo: &mut work.evaluator, row, raw, host: &mut no_state };
        memory.own_entries(&setup.program, &mut work.own, &mut run);
        let (answers, own) = (&mut work.answers, &mut work.own);
        let id = setup.shapes[usize::from(row.event)].id;
        let mut host = StateHost { memory, answers, own, lists, row, raw, id, began_ms }.begin();
        let mut run = Run { plan, memo: &mut work.evaluator, row, raw, host: &mut host };
        run.decide_early();
        let mut judged = judge(&mut run);
        Memory::work_out_late(&mut run, &mut work.late);
        after(&mut run, &mut judged);
        work.own.add_late(&work.late);
        judged
    }
}

/// An alert that no rule raised.
#[derive(Debug)]
struct Notice<'a> {
    rule: &'a str,
    /// What tells it from others of its kind about one event.
    about: &'a str,
    queue: Option<&'a str>,
    message: String,
}

/// What is out of the ordinary about a decision.
fn remarks(standing: &Standing, judgement: &Judgement<'_>) -> impl Iterator<Item = Provenance> {
    let timeliness = match standing.placement.timeliness {
        Timeliness::OnTime => None,
        Timeliness::Late => Some(Provenance::Late),
        Timeliness::TooLate => Some(Provenance::TooLate),
        Timeliness::Future => Some(Provenance::FutureTs),
    };
    let coverage = match judgement.coverage {
        Coverage::Complete => None,
        Coverage::Warming => Some(Provenance::Warming),
        Coverage::Approximate(_) => Some(Provenance::Approximate),
        Coverage::Unpriced => Some(Provenance::Unpriced),
        Coverage::Capped => Some(Provenance::Capped),
    };
    let reuse = (standing.seen == Seen::Reused).then_some(Provenance::IdReuse);
    let gap = standing.gap.then_some(Provenance::StateGap);
    [timeliness, coverage, reuse, gap].into_iter().flatten()
}

/// The number under which an alert is thinned: of the rule, by its id, so that one with another name goes on thinning, and
/// of the place of the action in it. What cannot be decided and what comes from the future are apart.
///
/// WHY: whoever can date an event ahead, or leave out a field, must not silence the alert about the next one.
fn series(id: &str, wish: &AlertWish<'_>, timeliness: Timeliness) -> u64 {
    let future: &[u8] = if timeliness == Timeliness::Future { b"future" } else { b"" };
    let parts = [id.as_bytes(), wish.place.as_bytes(), future].map(EntityKey::of_text);
    EntityKey::combine(&parts).hash64()
}

/// How grave an alert about the event is beside others.
fn weight(scene: &Scene<'_>, resolution: &Resolution<'_>) -> Weight {
    let outcome = match resolution.outcome() {
        Outcome::Pass | Outcome::Allow => 0,
        Outcome::StepUp => 1,
        Outcome::Hold => 2,
        Outcome::Block => 3,
    };
    let amount = scene.shape.amount_of(scene.decoded.row);
    Weight { outcome, amount: amount.map(|(minor, currency)| (minor, currency.0)) }
}

/// The circumstances as they are written.
pub(super) fn provenance(standing: &Standing, judgement: &Judgement<'_>) -> Vec<Provenance> {
    let mut remarks: Vec<Provenance> = remarks(standing, judgement).collect();
    remarks.sort_unstable();
    if remarks.is_empty() {
        remarks.push(Provenance::Normal);
    }
    remarks
}
