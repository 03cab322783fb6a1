//! One command's turn: what people and services ask for is done once, or refused with the reason.
//!
//! A command is a record of the input like any other: it has its place in the log, and a replay does the same again. It is
//! judged by the time that the log stamped it with, never by a clock of this machine.

use crate::base::{Digest, EntityKey};
use crate::decision::command::{Asked, Closing, Command, Deed, SnoozeKey, Wish};
use crate::decision::holds::{
    Ask, AskedFor, Asker, Hold, HoldState, HoldStep, LONGEST_HOLD_MS, Refusal, Stage, subject_key,
};
use crate::decision::wire::{CommandAnswer, CommandRef, Moment, SourceRef};
use crate::engine::counters::CommandResult;
use crate::engine::emit;
use crate::engine::endings;
use crate::engine::held::{self, By};
use crate::engine::port::{Input, Sink};
use crate::engine::snoozes::{LONGEST_SNOOZE_MS, SnoozeTerms};
use crate::engine::step::{Remembered, Setup, most_hold_bytes, most_list_edit_bytes};
use crate::engine::streams::Source;
use crate::event::schema::{EntityId, EventId, FieldType};
use crate::rules::list_member;
use crate::rules::program::{ListId, ListSpec, Program, RuleBody, Type};
use crate::rules::syntax::ast::Otherwise;
use crate::state::Seen;

/// One command on its way through the engine.
#[derive(Debug)]
pub(super) struct Obedience<'a, S> {
    pub(super) setup: &'a Setup,
    pub(super) source: &'a Source,
    pub(super) remembered: &'a mut Remembered,
    pub(super) input: &'a Input<'a>,
    pub(super) body: &'a mut Vec<u8>,
    pub(super) sink: &'a mut S,
}

/// Why a command is refused, as records name it.
type Cause = &'static str;

/// What a hold that is placed by hand says of its end.
struct Terms<'a> {
    deadline_ms: i64,
    /// Who is asked then, and the last deadline, ms.
    escalate: &'a Option<(String, i64)>,
    otherwise: Otherwise,
}

impl Terms<'_> {
    fn refused(&self, now_ms: i64) -> Option<Cause> {
        let last_ms = self.escalate.as_ref().map(|(_, last_ms)| *last_ms);
        if self.deadline_ms <= now_ms || last_ms.is_some_and(|last_ms| last_ms <= self.deadline_ms)
        {
            return Some("past");
        }
        let longest_ms = now_ms.saturating_add(LONGEST_HOLD_MS);
        (last_ms.unwrap_or(self.deadline_ms) > longest_ms).then_some("too_long")
    }

    fn stage(&self) -> Option<Stage> {
        let (queue, last_ms) = self.escalate.as_ref()?;
        let for_ms = last_ms.saturating_sub(self.deadline_ms);
        Some(Stage { for_ms, queue: Some(queue.clone()) })
    }
}

/// What came of a command: of the hold afterwards, and why it was refused.
struct Answer {
    result: CommandResult,
    cause: Option<Cause>,
    state: Option<&'static str>,
    /// The hold that was placed.
    hold_id: Option<String>,
    /// The queue that was asked.
    queue: Option<String>,
    /// Who works on the hold that somebody else wanted to work on.
    claimed_by: Option<String>,
    /// The network that holds the address which was to be taken off.
    covered_by: Option<String>,
    /// Hits of the alerts that were closed: all, and those thinned since the latest alert.
    hits: Option<(u32, u32)>,
    /// The record of the hold that came into a state.
    record: Option<Digest>,
}

impl Answer {
    /// Of what has no state of its own.
    fn of(done: Result<(), Cause>) -> Self {
        let (result, cause) = match done {
            Ok(()) => (CommandResult::Done, None),
            Err(cause) => (CommandResult::Refused, Some(cause)),
        };
        Self { result, cause, ..Self::nothing() }
    }

    /// A repeat of a command, of which nothing else is said.
    fn nothing() -> Self {
        Self {
            result: CommandResult::Repeated,
            cause: None,
            state: None,
            hold_id: None,
            queue: None,
            claimed_by: None,
            covered_by: None,
            hits: None,
            record: None,
        }
    }
}

impl<S: Sink> Obedience<'_, S> {
    /// Takes the turn.
    pub(super) fn take(mut self, command: &Command) {
        self.remembered.trail.add(u64::from(self.input.stream.0));
        self.remembered.trail.add(self.input.offset.cast_unsigned());
        self.remembered.trail.add_bytes(self.input.payload.unwrap_or_default());
        match command {
            Command::Clock(at_ms) => self.pass_time(*at_ms),
            Command::Asked(asked) => self.answer(asked),
        }
        // WHY: with the clock of a quiet night comes what no event tells.
        let source = self.source.at(self.input.offset);
        endings::tell(&source, (self.setup, self.remembered), self.body, self.sink);
    }

    /// Deadlines of all partitions come that lie before a time, as far as the log has it.
    fn pass_time(&mut self, at_ms: i64) {
        self.remembered.counters.count_command(CommandResult::Clock);
        let now_ms = self.input.arrival_ms.map_or(at_ms, |arrival_ms| at_ms.min(arrival_ms));
        let state_ms = self.state_ms();
        let n_clocks = u32::try_from(self.remembered.clocks.all().len()).unwrap_or(u32::MAX);
        for clock in 0..n_clocks {
            loop {
                let taken = self.remembered.holds.take_expired(clock, now_ms, state_ms);
                if taken.is_empty() {
                    break;
                }
                _ = self.tell(&taken, By::Itself);
            }
        }
    }

    fn answer(&mut self, asked: &Asked) {
        let asked = &self.tokenized(asked);
        let answer = match self.recognise(asked) {
            Seen::New => self.act(asked),
            Seen::Duplicate => self.stands(asked, CommandResult::Repeated, None),
            // Another command had this id.
            Seen::Reused => self.stands(asked, CommandResult::Refused, Some("command_id_reused")),
        };
        self.remembered.counters.count_command(answer.result);
        let about = about(asked);
        let sha256 = answer.record.map(|digest| digest.hex());
        let record = CommandAnswer {
            hold_sha256: sha256.as_deref(),
            hold_id: answer.hold_id.as_deref().or(about.hold_id),
            result: answer.result.as_str(),
            cause: answer.cause,
            queue: answer.queue.as_deref().or(about.queue),
            claimed_by: answer.claimed_by.as_deref(),
            covered_by: answer.covered_by.as_deref(),
            state: answer.state,
            count: answer.hits.map(|(count, _)| count),
            thinned: answer.hits.map(|(_, thinned)| thinned),
            source: self.source.at(self.input.offset),
            ..about
        };
        let chain =
            (self.remembered.chains.of(self.input.stream), self.source.at(self.input.offset));
        emit::command(record, self.setup, chain, self.body, self.sink);
        self.remembered.trail.add_bytes(self.body);
    }

    /// The same with tokens for values of tokenized entities: from here on nobody sees what they were.
    fn tokenized(&self, asked: &Asked) -> Asked {
        let Program { schema, lists, .. } = &*self.setup.program;
        let mut asked = asked.clone();
        let Some(key) = &schema.token_key else { return asked };
        let is_tokenized = |entity: &str| {
            let known = (0..).map(EntityId).zip(&schema.entities);
            known.into_iter().any(|(id, name)| name == entity && schema.is_tokenized(id))
        };
        let value = match &mut asked.wish {
            Wish::Place { entity, value, .. } => Some(value).filter(|_| is_tokenized(entity)),
            Wish::ListAdd { list, value, .. } | Wish::ListRemove { list, value } => {
                let ty = lists.iter().find(|spec| spec.name == *list).map(|spec| spec.ty);
                let is_token = matches!(ty, Some(Type::Entity(kind)) if schema.is_tokenized(kind));
                Some(value).filter(|_| is_token)
            }
            Wish::SnoozeSet { about, .. } | Wish::SnoozeEnd { about } => {
                let events = (0..schema.events.len()).filter_map(|at| u16::try_from(at).ok());
                let mut fields = events.map(EventId).filter_map(|event| {
                    let field = schema.key_named(event, &about.key)?;
                    Some(schema.event(event).field(field))
                });
                let is_token = fields.any(|field| field.tokenized);
                Some(&mut about.value).filter(|_| is_token)
            }
            Wish::Hold { .. } | Wish::Close { .. } | Wish::Act(_) => None,
        };
        if let Some(value) = value {
            *value = key.token_of(value);
        }
        asked
    }

    /// Whether the command came before; ids of commands are remembered like those of events.
    fn recognise(&mut self, asked: &Asked) -> Seen {
        let word = |texts: &[String]| {
            let keys: Vec<EntityKey> =
                texts.iter().map(|text| EntityKey::of_text(text.as_bytes())).collect();
            let EntityKey(wide) = EntityKey::combine(&keys);
            u64::try_from(wide & u128::from(u64::MAX)).unwrap_or(0)
        };
        let id = word(&["command".to_owned(), asked.id.clone()]);
        let body = word(&asked.words());
        let furthest_ms = self.remembered.clocks.furthest_ms().unwrap_or(i64::MIN);
        let state_ms = self.state_ms();
        let seen = &mut self.remembered.seen;
        match seen.check_and_insert(id, body, furthest_ms, state_ms) {
            // WHY: what was refused because another command had its id is refused again. It is no repeat of the one that was done.
            Seen::Duplicate if !seen.is_first(id, body) => Seen::Reused,
            seen => seen,
        }
    }

    fn act(&mut self, asked: &Asked) -> Answer {
        match &asked.wish {
            Wish::Hold { hold_id, ask } => self.step(asked, hold_id, ask),
            Wish::Place { entity, value, until_ms, escalate, otherwise } => {
                let terms = Terms { deadline_ms: *until_ms, escalate, otherwise: *otherwise };
                self.place(asked, (entity, value), &terms)
            }
            Wish::Close { episode, .. } => self.close(asked, episode),
            Wish::ListAdd { list, value, until_ms } => {
                Answer::of(self.list_add(asked, (list, value), *until_ms))
            }
            Wish::ListRemove { list, value } => self.list_remove(asked, (list, value)),
            Wish::SnoozeSet { about, until_ms } => {
                Answer::of(self.snooze_set(asked, about, *until_ms))
            }
            Wish::SnoozeEnd { about } => Answer::of(self.snooze_end(asked, about)),
            // WHY: what it tells of was done elsewhere; here it gets its place in the audit trail.
            Wish::Act(_) => Answer::of(Ok(())),
        }
    }

    /// Something of a hold.
    fn step(&mut self, asked: &Asked, hold_id: &str, ask: &Ask) -> Answer {
        let state_ms = self.state_ms();
        let holds = &mut self.remembered.holds;
        // WHY: in a quiet partition no event has said yet that the deadline came; the promise was given all the same.
        if let Some(now_ms) = self.input.arrival_ms.or(asked.at_ms) {
            let taken = holds.expire(hold_id, now_ms, state_ms);
            _ = self.tell(&taken, By::Itself);
        }
        let now_ms = self.now_ms(asked);
        let whose = Asker { actor: &asked.actor, at_ms: now_ms.unwrap_or(state_ms) };
        match self.remembered.holds.act(hold_id, ask, whose, state_ms) {
            Ok(taken) => {
                let is_claim = ask.what.step() == HoldStep::Claim;
                let by = by(asked);
                let by = if is_claim { By::Claim(by) } else { By::Command(by, now_ms) };
                let record = self.tell(&taken, by);
                let hold = taken.first();
                let state = hold.map(|hold| hold.state.as_str());
                let asks = hold.filter(|hold| hold.state == HoldState::Escalated);
                let queue = asks.and_then(|hold| hold.next.clone()?.queue);
                Answer { state, queue, record, ..Answer::of(Ok(())) }
            }
            Err(refusal) => {
                let hold = self.remembered.holds.find(hold_id);
                let claim = hold.filter(|_| matches!(refusal, Refusal::Claimed(_)));
                let claimed_by = claim.and_then(|hold| Some(hold.claim.clone()?.by));
                let state = refusal.state().map(HoldState::as_str);
                Answer { state, claimed_by, ..Answer::of(Err(refusal.as_str())) }
            }
        }
    }

    /// The hold of all payments of a subject, placed by hand.
    fn place(&mut self, asked: &Asked, (entity, value): (&str, &str), terms: &Terms<'_>) -> Answer {
        let refused = |cause| Answer::of(Err(cause));
        let slots = self.setup.subjects.iter().zip(&self.setup.program.schema.events);
        let mut slots = slots.flat_map(|(slots, event)| slots.iter().map(move |it| (it, event)));
        let Some(((_, slot), event)) = slots.find(|((kind, _), _)| kind == entity) else {
            return refused("unknown_entity");
        };
        let key = subject_key(entity, value.as_bytes());
        if let Some(there) = self.remembered.holds.stopping(key) {
            let hold = self.remembered.holds.find(&there.hold_id);
            let state = hold.map(|hold| hold.state.as_str());
            return Answer { state, hold_id: Some(there.hold_id), ..refused("held") };
        }
        let Some(now_ms) = self.now_ms(asked) else { return refused("past") };
        if let Some(cause) = terms.refused(now_ms) {
            return refused(cause);
        }
        let Terms { deadline_ms, otherwise, .. } = *terms;
        let most_bytes = most_hold_bytes(self.setup);
        self.remembered.holds.shrink(most_bytes);
        if self.remembered.holds.bytes() >= most_bytes {
            return refused("too_many");
        }
        let parts: [&[u8]; 4] =
            [b"subject", entity.as_bytes(), value.as_bytes(), asked.id.as_bytes()];
        let hold = Hold {
            state: HoldState::Placed,
            hold_id: Digest::of_parts(&parts).short_hex(),
            event_type: entity.to_owned(),
            event_id: held::shown(event, *slot, value).to_owned(),
            event_ms: now_ms,
            all_payments: true,
            placed_ms: now_ms,
            amount: None,
            score: 0,
            placed_by: vec!["command".to_owned()],
            reasons: vec![asked.reason.clone()],
            under: Vec::new(),
            has_deadline: true,
            deadline_ms,
            next: terms.stage(),
            otherwise,
            limit: None,
            challenge: None,
            claim: None,
            decision_id: String::new(),
            output_key: value.as_bytes().to_vec(),
            ended_ms: 0,
        };
        let hold_id = Some(hold.hold_id.clone());
        self.remembered.holds.place(self.source.clock.0, key, hold.clone());
        let record = self.tell(&[hold], By::Command(by(asked), Some(now_ms)));
        let state = Some(HoldState::Placed.as_str());
        Answer { state, hold_id, record, ..Answer::of(Ok(())) }
    }

    /// The alerts of an episode are dealt with.
    fn close(&mut self, asked: &Asked, episode: &str) -> Answer {
        // WHY: done also where none is open. An alert without `once per` stands alone, and one of last week has ended by
        // itself; what a person found about it is worth as much.
        let ended = self.remembered.episodes.close(episode);
        if let Some(ended) = &ended {
            let place = (Some(by(asked)), self.source.at(self.input.offset));
            self.remembered.counters.count_episode_end(ended.closed);
            emit::episode(ended, place, self.setup, self.body, self.sink);
            self.remembered.trail.add_bytes(self.body);
        }
        let hits = ended.map(|ended| (ended.open.count, ended.open.thinned));
        Answer { hits, ..Answer::of(Ok(())) }
    }

    /// The list that a command means, and the value as its members are written.
    fn list(&self, name: &str, value: &str) -> Result<(ListId, &ListSpec, String), Cause> {
        let lists = (0_u16..).zip(&self.setup.program.lists);
        let mut named = lists.filter(|(_, spec)| spec.name == name);
        let (index, spec) = named.next().ok_or("unknown_list")?;
        if spec.gives.is_some() {
            return Err("list_gives_values");
        }
        let value = list_member(value, spec.ty).map_err(|_| "wrong_type")?;
        Ok((ListId(index), spec, value))
    }

    fn list_add(
        &mut self,
        asked: &Asked,
        (list, value): (&str, &str),
        until_ms: Option<i64>,
    ) -> Result<(), Cause> {
        let (id, spec, value) = self.list(list, value)?;
        let now_ms = self.now_ms(asked);
        let until_ms = until_ms.or_else(|| Some(now_ms?.saturating_add(spec.expires_ms?)));
        if until_ms.is_some_and(|until_ms| now_ms.is_some_and(|now_ms| until_ms <= now_ms)) {
            return Err("past");
        }
        if !self.has_room_on(id, &value) {
            return Err("too_many");
        }
        self.remembered.lists.put_until(id, value.as_bytes(), until_ms);
        Ok(())
    }

    fn list_remove(&mut self, asked: &Asked, (list, value): (&str, &str)) -> Answer {
        let (id, value) = match self.list(list, value) {
            Ok((id, _, value)) => (id, value),
            Err(cause) => return Answer::of(Err(cause)),
        };
        let now_ms = self.now_ms(asked).unwrap_or(i64::MIN);
        let lists = &mut self.remembered.lists;
        // WHY: whoever hears `done` must be able to rely on it that the value is not on the list any more.
        if let Some(network) = lists.network_of(id, value.as_bytes(), now_ms) {
            let covered_by = Some(network.to_string());
            return Answer { covered_by, ..Answer::of(Err("in_network")) };
        }
        // What has ended and is not forgotten yet is not on the list.
        if !lists.contains(id, value.as_bytes(), now_ms) {
            lists.remove(id, value.as_bytes());
            return Answer::of(Err("not_on_list"));
        }
        if !self.has_room_on(id, &value) {
            return Answer::of(Err("too_many"));
        }
        self.remembered.lists.remove(id, value.as_bytes());
        Answer::of(Ok(()))
    }

    fn has_room_on(&self, list: ListId, value: &str) -> bool {
        let most_bytes = most_list_edit_bytes(self.setup);
        self.remembered.lists.has_room(list, value.as_bytes(), most_bytes)
    }

    /// The rule and the key that a command means, the value as records have it.
    fn snooze(&self, about: &SnoozeKey) -> Result<SnoozeKey, Cause> {
        let program = &self.setup.program;
        let mut rules = program.rules.iter();
        let info = rules.find(|info| info.id == about.rule).ok_or("unknown_rule")?;
        if info.mandatory {
            return Err("mandatory");
        }
        let is_of = |body: &RuleBody| {
            program.rules.get(usize::from(body.rule.0)).is_some_and(|rule| rule.id == info.id)
        };
        let plans = (0_u16..).zip(&program.plans);
        let events = plans.filter(|(_, plan)| plan.rules.iter().any(is_of));
        let key = |event: u16| {
            let event = EventId(event);
            let field = program.schema.key_named(event, &about.key)?;
            let ty = &program.schema.event(event).field(field).ty;
            ty.is_text().then_some(ty)
        };
        let mut keys = events.filter_map(|(event, _)| key(event));
        let ty = keys.next().ok_or("unknown_key")?;
        let value = match ty {
            FieldType::Ip => list_member(&about.value, Type::Ip).map_err(|_| "wrong_type")?,
            _ => about.value.clone(),
        };
        Ok(SnoozeKey { value, ..about.clone() })
    }

    fn snooze_set(&mut self, asked: &Asked, about: &SnoozeKey, until_ms: i64) -> Result<(), Cause> {
        let about = self.snooze(about)?;
        if let Some(now_ms) = self.now_ms(asked) {
            if until_ms <= now_ms {
                return Err("past");
            }
            if until_ms > now_ms.saturating_add(LONGEST_SNOOZE_MS) {
                return Err("too_long");
            }
        }
        let (owner, reason) = (asked.actor.clone(), asked.reason.clone());
        let terms = SnoozeTerms { until_ms, owner, reason };
        let room = self.remembered.snoozes.set(about, terms);
        room.then_some(()).ok_or("too_many")
    }

    fn snooze_end(&mut self, asked: &Asked, about: &SnoozeKey) -> Result<(), Cause> {
        // WHY: a rule or a key that is gone is no reason to keep what was set of it.
        let about = self.snooze(about).unwrap_or_else(|_| about.clone());
        let now_ms = self.now_ms(asked).unwrap_or(i64::MIN);
        let until_ms = self.remembered.snoozes.end(&about);
        until_ms.filter(|until_ms| *until_ms > now_ms).map(|_| ()).ok_or("not_snoozed")
    }

    /// Nothing happens: how the hold stands, where it is about one.
    fn stands(&self, asked: &Asked, result: CommandResult, cause: Option<Cause>) -> Answer {
        let hold = match &asked.wish {
            Wish::Hold { hold_id, .. } => self.remembered.holds.find(hold_id),
            _ => None,
        };
        let state = hold.map(|hold| hold.state.as_str());
        Answer { result, cause, state, ..Answer::nothing() }
    }

    /// Holds have come into another state; the record of the first of them, where somebody asked for it.
    fn tell(&mut self, taken: &[Hold], by: By<'_>) -> Option<Digest> {
        let state = (self.setup, &mut *self.remembered);
        let place = (by, self.source.at(self.input.offset), self.input.stream);
        held::tell(taken, place, state, self.body, self.sink)
    }

    /// When the command was given: by the log, by itself, or else as late as the furthest event is.
    fn now_ms(&self, asked: &Asked) -> Option<i64> {
        let given_ms = self.input.arrival_ms.or(asked.at_ms);
        given_ms.or_else(|| self.remembered.clocks.furthest_ms())
    }

    fn state_ms(&self) -> i64 {
        self.remembered.clocks.state_clock_ms(self.setup.options.partition_idle_ms)
    }
}

fn by(asked: &Asked) -> CommandRef<'_> {
    let approval = asked.approval.as_ref();
    CommandRef {
        command_id: &asked.id,
        actor: &asked.actor,
        reason: &asked.reason,
        approved_by: approval.map(|approval| approval.by.as_str()),
        approval_reason: approval.map(|approval| approval.reason.as_str()),
    }
}

/// What the answer repeats of the command.
fn about(asked: &Asked) -> CommandAnswer<'_> {
    let nothing = CommandAnswer {
        kind: asked.kind(),
        by: by(asked),
        hold_id: None,
        hold_sha256: None,
        entity: None,
        episode: None,
        finding: None,
        list: None,
        rule: None,
        key: None,
        value: None,
        until: None,
        queue: None,
        act: None,
        about: None,
        digest: None,
        request: None,
        details: None,
        result: "",
        cause: None,
        claimed_by: None,
        covered_by: None,
        state: None,
        count: None,
        thinned: None,
        source: SourceRef { topic: "", partition: 0, offset: 0 },
    };
    match &asked.wish {
        Wish::Hold { hold_id, ask } => {
            let queue = match &ask.what {
                AskedFor::Escalate { queue, .. } => queue.as_deref(),
                _ => None,
            };
            CommandAnswer { hold_id: Some(hold_id), queue, ..nothing }
        }
        Wish::Place { entity, value, until_ms, .. } => CommandAnswer {
            entity: Some(entity),
            value: Some(value),
            until: Some(Moment(*until_ms)),
            ..nothing
        },
        Wish::Close { episode, finding } => CommandAnswer {
            episode: Some(episode),
            finding: finding.map(Closing::as_str),
            ..nothing
        },
        Wish::ListAdd { list, value, until_ms } => CommandAnswer {
            list: Some(list),
            value: Some(value),
            until: until_ms.map(Moment),
            ..nothing
        },
        Wish::ListRemove { list, value } => {
            CommandAnswer { list: Some(list), value: Some(value), ..nothing }
        }
        Wish::SnoozeSet { about, until_ms } => {
            CommandAnswer { until: Some(Moment(*until_ms)), ..snooze(about, nothing) }
        }
        Wish::SnoozeEnd { about } => snooze(about, nothing),
        Wish::Act(Deed { act, about, digest, request, details }) => CommandAnswer {
            act: Some(act.as_str()),
            about: Some(about),
            digest: digest.as_deref(),
            request: request.as_deref(),
            details: details.as_deref(),
            ..nothing
        },
    }
}

fn snooze<'a>(about: &'a SnoozeKey, answer: CommandAnswer<'a>) -> CommandAnswer<'a> {
    let SnoozeKey { rule, key, value } = about;
    CommandAnswer { rule: Some(rule), key: Some(key), value: Some(value), ..answer }
}
