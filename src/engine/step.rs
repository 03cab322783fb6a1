//! The engine: what is fixed, what it remembers, and one record through it.

use std::sync::Arc;

use crate::base::{Digest, NeverStore, TokenKey, Value};
use crate::decision::command::Command;
use crate::decision::episodes::Episodes;
use crate::decision::holds::{HoldBook, Waiting};
use crate::decision::score::ScoreSheet;
use crate::engine::audit::{Chains, Link};
use crate::engine::breaker::Breakers;
use crate::engine::command::Obedience;
use crate::engine::counters::{Counters, RuleCounters};
use crate::engine::emit;
use crate::engine::gap::{Asked, Gap};
use crate::engine::held::{self, SubjectSlots};
use crate::engine::labels::{LabelBook, LabelFigures, Subject, tally};
use crate::engine::lists::Lists;
use crate::engine::memory::{Ahead, Answers, Late, Memory, OwnEntries};
use crate::engine::models::ModelFigures;
use crate::engine::options::EngineOptions;
use crate::engine::port::{Input, Sink, StreamId};
use crate::engine::repeats::Repeats;
use crate::engine::snapshot::Saving;
use crate::engine::snoozes::SnoozeBook;
use crate::engine::streams::{Carries, Clock, Clocks, Source};
use crate::engine::trail::Trail;
use crate::engine::turn::{self, Turn};
use crate::event::digest::Digester;
use crate::event::error::{DecodeError, Reason};
use crate::event::key::{KeyPart, key_parts};
use crate::event::mapping::{DecodeScratch, Decoder, TopicIdx};
use crate::event::row::Row;
use crate::event::schema::{
    EventId, EventType, FieldType, LabelSpec, MoneyCurrency, Role, Schema, SlotId,
};
use crate::models::online::Scored;
use crate::rules::eval::outline::Outline;
use crate::rules::eval::{EvalError, EvalPlan, Evaluator};
use crate::rules::program::{Message, Mode, ModelId, NodeId, Program, RuleId};
use crate::state::{BYTES_PER_ID, SeenIds, StateOptions, Table};

/// Entries of one key that stay a plain ring.
const RING_CAP: u32 = 64;

/// State is measured against its budget once in this many records.
const BUDGET_CHECK_RECORDS: u64 = 64;

/// Answers kept for repeated events may take one part in this many of the state budget.
const REPEATS_SHARE: u64 = 8;

/// Events that labels may be about may take one part in this many of the state budget, those that nobody said anything
/// about as much again.
const LABELS_SHARE: u64 = 16;

/// Holds may take one part in this many of the state budget before those that have ended are forgotten early, and no command
/// places another one. Open ones are promises: none is given up, whatever they take.
const HOLDS_SHARE: u64 = 8;

/// What rules and people changed of lists may take one part in this many of the state budget; beyond it nothing is added.
const LIST_EDITS_SHARE: u64 = 16;

/// Open alert episodes may take one part in this many of the state budget.
const EPISODES_SHARE: u64 = 32;

/// Remembered ids may take one part in this many of the state budget.
///
/// WHY: what they take the windows lack, and rules whose windows are evicted stop nothing. An id that is forgotten too
/// early costs less: most repeats come within minutes, and one that comes late is too late to stop money.
const IDS_SHARE: u64 = 4;

/// What is fixed while a rule set is active.
#[derive(Debug)]
pub(super) struct Setup {
    pub(super) program: Arc<Program>,
    pub(super) evals: Vec<EvalPlan>,
    pub(super) shapes: Vec<Shape>,
    digesters: Vec<Digester>,
    pub(super) options: EngineOptions,
    pub(super) ruleset: String,
    pub(super) config: String,
    /// Names both.
    pub(super) identity: Digest,
    pub(super) asked: Asked,
    /// Per event type: whether labels may be about it.
    pub(super) labelled: Vec<bool>,
    /// Per event type: whether others say how its challenges were answered.
    pub(super) answered: Vec<bool>,
    /// Per event type: what in it may be held.
    pub(super) subjects: Vec<SubjectSlots>,
}

/// What the records that leave need to know of an event type.
#[derive(Debug)]
pub(super) struct Shape {
    /// The slot of its id.
    pub(super) id: SlotId,
    /// The field whose text is the key of the output records: the first `key`, else the id.
    pub(super) outlet: SlotId,
    /// What is paid, and its currency: the money field named `amount`, else the first required one, else the first.
    pub(super) amount: Option<(SlotId, Result<crate::base::Currency, SlotId>)>,
}

/// Everything that an engine remembers from record to record.
#[derive(Debug)]
pub(super) struct Remembered {
    pub(super) clocks: Clocks,
    pub(super) memory: Memory,
    pub(super) lists: Lists,
    pub(super) seen: SeenIds,
    pub(super) repeats: Repeats,
    pub(super) holds: HoldBook,
    pub(super) episodes: Episodes,
    pub(super) counters: Counters,
    pub(super) trail: Trail,
    pub(super) gap: Gap,
    pub(super) breakers: Breakers,
    pub(super) labels: LabelBook,
    pub(super) snoozes: SnoozeBook,
    pub(super) chains: Chains,
}

/// Buffers that live from event to event; their content means nothing between events.
#[derive(Debug, Default)]
pub(super) struct Work {
    pub(super) evaluator: Evaluator,
    pub(super) own: OwnEntries,
    pub(super) answers: Answers,
    pub(super) sheet: ScoreSheet,
    ahead: Ahead,
    /// The answer that is being written.
    pub(super) answer: Vec<u8>,
    /// The answer that was kept last, for the next one that is the same.
    pub(super) last_answer: Arc<[u8]>,
    /// Filter bits of the present event that depend on state.
    pub(super) late: Late,
    /// The record that is being written.
    pub(super) body: Vec<u8>,
    /// Rules that raised an alert about the present event.
    pub(super) raised: Vec<RuleId>,
    /// Whose word about the present event a label will judge.
    pub(super) said: Vec<Subject>,
}

/// The engine: the one path from records to decisions.
///
/// Not shared: one thread steps it. What others may see is copied out ([`Engine::counters`]).
#[derive(Debug)]
pub struct Engine {
    pub(super) setup: Setup,
    decoder: Arc<Decoder>,
    pub(super) sources: Vec<Source>,
    topics: Vec<Option<TopicIdx>>,
    /// The topic whose records are commands.
    pub(super) commands: Option<Arc<str>>,
    pub(super) remembered: Remembered,
    /// A snapshot that is being taken.
    pub(super) saving: Option<Saving>,
    work: Work,
    scratch: DecodeScratch,
    row: Row,
}

/// A record that was decoded by the engine's decoder.
#[derive(Clone, Copy, Debug)]
pub struct Decoded<'a> {
    /// Its bytes.
    pub raw: &'a [u8],
    /// What was found in it.
    pub row: &'a Row,
}

impl Engine {
    /// An engine without any state yet.
    ///
    /// # Errors
    /// When a pattern or the time zone of the program is refused (the checker reports both before).
    pub fn new(program: Arc<Program>, options: EngineOptions) -> Result<Self, EvalError> {
        let setup = Setup::new(program, options)?;
        // WHY: not the given program. Lists must hold the tokens of the key that the decoder has.
        let remembered = Remembered::new(&setup.program, &options);
        Ok(Self::of(setup, Vec::new(), remembered))
    }

    /// An engine with all that another one remembered.
    pub(super) fn of(setup: Setup, sources: Vec<Source>, remembered: Remembered) -> Self {
        let decoder = Arc::new(Decoder::new(&setup.program.schema, setup.options.limits()));
        Self {
            topics: sources.iter().map(|source| decoder.topic(&source.topic)).collect(),
            setup,
            decoder,
            sources,
            commands: None,
            remembered,
            saving: None,
            work: Work::default(),
            scratch: DecodeScratch::default(),
            row: Row::default(),
        }
    }

    /// Takes the records of a topic for commands, whatever events the schema finds there. Without it nothing is a command:
    /// whoever may write events could let held payments go otherwise.
    pub fn take_commands_from(&mut self, topic: &str) {
        self.commands = Some(topic.into());
        for source in &mut self.sources {
            source.carries = carries(self.commands.as_deref(), &source.topic);
        }
    }

    /// The id of an input partition. A topic that no event of the schema names takes events of any type (files).
    pub fn open_stream(&mut self, topic: &str, partition: i32) -> StreamId {
        self.open(topic, partition, None)
    }

    /// The id of a further input that continues another one: it shares the other's clock (files of one history).
    pub fn open_continuation(&mut self, topic: &str, partition: i32, of: StreamId) -> StreamId {
        self.open(topic, partition, Some(of))
    }

    fn open(&mut self, topic: &str, partition: i32, clock_of: Option<StreamId>) -> StreamId {
        let same = |source: &Source| source.partition == partition && source.topic == topic;
        let index = self.sources.iter().position(same).unwrap_or_else(|| {
            let clocks = &mut self.remembered.clocks;
            let clock =
                clock_of.map_or_else(|| clocks.add(), |of| self.sources[of.0 as usize].clock);
            let carries = carries(self.commands.as_deref(), topic);
            self.sources.push(Source { topic: topic.to_owned(), partition, clock, carries });
            self.topics.push(self.decoder.topic(topic));
            self.sources.len() - 1
        });
        StreamId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// Forgets all records, as if none had been read yet; streams must be opened again. Cheaper than another engine of
    /// the same rule set, because nothing is prepared anew.
    pub fn forget(&mut self) {
        self.remembered = Remembered::new(&self.setup.program, &self.setup.options);
        self.sources.clear();
        self.topics.clear();
        self.saving = None;
    }

    /// Takes one record and emits everything that follows from it.
    ///
    /// # Cost
    /// About two microseconds for an event that reads a dozen aggregates; nothing is allocated unless a rule speaks.
    pub fn step(&mut self, input: &Input<'_>, sink: &mut impl Sink) {
        if self.sources[input.stream.0 as usize].carries == Carries::Commands {
            self.obey(input, sink);
            return;
        }
        let mut row = core::mem::take(&mut self.row);
        let decoded = self.decode(input, &mut row);
        self.decide(input, decoded.map(|raw| Decoded { raw, row: &row }), sink);
        self.row = row;
    }

    /// Takes a record that was decoded by [`Engine::decoder`], in the order of its stream.
    pub fn decide(
        &mut self,
        input: &Input<'_>,
        decoded: Result<Decoded<'_>, DecodeError>,
        sink: &mut impl Sink,
    ) {
        let remembered = &mut self.remembered;
        let source = &self.sources[input.stream.0 as usize];
        remembered.counters.read += 1;
        match decoded {
            Ok(decoded) => {
                let n = u64::from(decoded.row.n_never_stored);
                remembered.counters.count_never_stored(&source.topic, n);
                let (setup, work) = (&self.setup, &mut self.work);
                Turn { setup, source, remembered, work, input, decoded, sink }.take();
            }
            Err(error) => {
                let (never_store, body) =
                    (&self.setup.program.schema.never_store, &mut self.work.body);
                refuse((remembered, never_store), (input, source), &error, body, sink);
            }
        }
        self.keep_within_budget();
    }

    /// Takes one record of the topic of commands.
    fn obey(&mut self, input: &Input<'_>, sink: &mut impl Sink) {
        let remembered = &mut self.remembered;
        let source = &self.sources[input.stream.0 as usize];
        remembered.counters.read += 1;
        let raw = input.payload.ok_or_else(|| DecodeError::record(Reason::Tombstone));
        let body = &mut self.work.body;
        match raw.and_then(Command::read) {
            Ok(command) => {
                let setup = &self.setup;
                Obedience { setup, source, remembered, input, body, sink }.take(&command);
            }
            Err(error) => {
                let never_store = &self.setup.program.schema.never_store;
                refuse((remembered, never_store), (input, source), &error, body, sink);
            }
        }
        self.keep_within_budget();
    }

    fn keep_within_budget(&mut self) {
        if self.remembered.counters.read.is_multiple_of(BUDGET_CHECK_RECORDS) {
            self.remembered.fit(&self.setup);
        }
    }

    /// Announces records that will be decided next: what they will ask of the state is loaded now, so that their cache
    /// misses overlap. It changes no decision; a few dozen records at a time are best.
    pub fn anticipate<'a>(&mut self, batch: impl Iterator<Item = Decoded<'a>> + Clone) {
        let (setup, seen) = (&self.setup, &self.remembered.seen);
        let digest = |Decoded { raw, row }| setup.digester(row).id(row, raw);
        let ids = batch.clone().map(|decoded| seen.touch(digest(decoded)));
        core::hint::black_box(ids.fold(0, core::ops::BitXor::bitxor));
        let rows = batch.map(|decoded| (decoded.row, decoded.raw));
        self.remembered.memory.anticipate(rows, &mut self.work.ahead);
    }

    /// The values of expressions of the event's plan, as of this event, without remembering it.
    pub fn peek(&mut self, stream: StreamId, decoded: Decoded<'_>, nodes: &[NodeId]) -> Vec<Value> {
        let clock = self.sources[stream.0 as usize].clock;
        let began_ms = self.remembered.clocks.get(clock).began_ms;
        turn::peek(&self.setup, &mut self.remembered, &mut self.work, decoded, began_ms, nodes)
    }

    /// A text of the event's rules with its values, as of this event, without remembering it.
    pub fn say(&mut self, stream: StreamId, decoded: Decoded<'_>, message: &Message) -> String {
        let clock = self.sources[stream.0 as usize].clock;
        let began_ms = self.remembered.clocks.get(clock).began_ms;
        let (setup, work) = (&self.setup, &mut self.work);
        turn::say(setup, &mut self.remembered, work, decoded, (began_ms, message))
    }

    /// Lays out what a rule says about an event that is decided next: every part of its condition with its value.
    /// `None`: the rule is not evaluated on events of this type.
    ///
    /// Only for an engine that is given up afterwards: looking at busy keys moves what is saved of them.
    pub fn outline(
        &mut self,
        stream: StreamId,
        decoded: Decoded<'_>,
        rule: RuleId,
    ) -> Option<Outline> {
        let clock = self.sources[stream.0 as usize].clock;
        let began_ms = self.remembered.clocks.get(clock).began_ms;
        let (setup, work) = (&self.setup, &mut self.work);
        turn::outline(setup, &mut self.remembered, work, decoded, (began_ms, rule))
    }

    /// The id of an event.
    pub fn event_id<'a>(&self, decoded: Decoded<'a>) -> &'a str {
        crate::engine::scene::text(decoded, self.setup.shapes[usize::from(decoded.row.event)].id)
    }

    /// The decoder, to decode ahead on other threads; hand the results to [`Engine::decide`] in order.
    pub fn decoder(&self) -> &Arc<Decoder> {
        &self.decoder
    }

    /// The topic that a stream is decoded as; `None`: events of any type.
    pub fn topic_of(&self, stream: StreamId) -> Option<TopicIdx> {
        self.topics.get(stream.0 as usize).copied().flatten()
    }

    /// Announces the rule set on the audit topic, in the chain of a record's stream, unless it was announced already.
    /// Whoever writes audit records calls it before each record, replayed ones included: it is part of what is
    /// remembered.
    pub fn announce(&mut self, input: &Input<'_>, sink: &mut impl Sink) {
        let (setup, chains) = (&self.setup, &mut self.remembered.chains);
        if chains.is_news(input.stream, setup.identity) {
            let source = &self.sources[input.stream.0 as usize];
            let chain = (chains.of(input.stream), source.at(input.offset));
            emit::ruleset_active(setup, chain, &mut self.work.body, sink);
        }
    }

    /// Where the chain of a stream's audit records stands.
    pub fn audit_chain(&self, stream: StreamId) -> Link {
        self.remembered.chains.get(stream)
    }

    /// Goes on with the chain of a stream from a record that was written.
    ///
    /// WHY: a state that another rule set derived, or that lacks records, has a chain that nobody wrote.
    pub fn resume_audit(&mut self, stream: StreamId, link: Link) {
        self.remembered.chains.resume(stream, link);
    }

    /// Where the chains of audit records stand, by input partition.
    pub fn audit_chains(&self) -> impl Iterator<Item = (&Source, Link)> {
        let streams = (0..).map(StreamId);
        let chains = &self.remembered.chains;
        self.sources.iter().zip(streams).map(|(source, stream)| (source, chains.get(stream)))
    }

    /// Everything counted so far.
    pub fn counters(&self) -> &Counters {
        &self.remembered.counters
    }

    /// Figures of all models.
    ///
    /// # Cost
    /// A few microseconds for each learned model: not for every record.
    pub fn models(&self) -> impl Iterator<Item = ModelFigures<'_>> {
        self.remembered.memory.models().figures()
    }

    /// Scores the newest event of a model once more, for whoever measures how long that takes: nothing changes by it.
    ///
    /// # Shape
    /// None where the model has no score of it, or was asked about none since the rule set became active.
    pub fn score_again(&self, model: ModelId) -> Option<Scored> {
        self.remembered.memory.models().score_again(model)
    }

    /// What labels say of events, rules and models.
    ///
    /// # Cost
    /// A pass over the counts of some months by day: not for every record.
    pub fn labels(&self) -> LabelFigures<'_> {
        tally(&self.setup.program, &self.remembered.labels)
    }

    /// The rule set.
    pub fn program(&self) -> &Arc<Program> {
        &self.setup.program
    }

    /// The settings.
    pub fn options(&self) -> &EngineOptions {
        &self.setup.options
    }

    /// All streams with their names and clocks.
    pub fn streams(&self) -> impl Iterator<Item = (&Source, &Clock)> {
        self.sources.iter().map(|source| (source, self.remembered.clocks.get(source.clock)))
    }

    /// The state tables, in the order of the program.
    pub fn tables(&self) -> &[Table] {
        self.remembered.memory.tables()
    }

    /// Heap bytes of all state.
    pub fn state_bytes(&self) -> usize {
        self.remembered.memory.bytes() + self.remembered.other_bytes()
    }

    /// The digest of the way that the engine took: every record with its place, and what was decided. The same with any
    /// sink; saved with the state. Engines with equal digests took the same way.
    pub fn digest(&self) -> u64 {
        self.remembered.trail.digest()
    }

    /// Records before the next one of each partition may be missing for good, with event times up to `latest_ms` (since 1970)
    /// where that is known: decisions say `state_gap` until nothing that they ask reaches there.
    pub fn note_gap(&mut self, latest_ms: Option<i64>) {
        self.remembered.gap.note(self.remembered.clocks.all().len(), latest_ms);
    }

    /// Rules whose breaker has tripped: they only watch until another rule set is active.
    pub fn breakers_tripped(&self) -> usize {
        self.remembered.breakers.tripped()
    }

    /// Bytes of holds, open and ended.
    pub fn holds_bytes(&self) -> usize {
        self.remembered.holds.bytes()
    }

    /// Bytes of open holds.
    pub fn open_holds_bytes(&self) -> usize {
        self.remembered.holds.open_bytes()
    }

    /// Holds that are open.
    pub fn holds_open(&self) -> usize {
        self.remembered.holds.n_open()
    }

    /// The most that holds may take of the memory before one by hand is refused, in bytes.
    pub fn most_hold_bytes(&self) -> usize {
        most_hold_bytes(&self.setup)
    }

    /// How the open holds with a deadline of their own wait at `wall_ms`, or by the clock of their partition where that is ahead: in
    /// a quiet partition it stands still, and so it does on the topic of commands. For figures alone.
    pub fn holds_waiting(&self, wall_ms: i64) -> Waiting {
        let clocks = self.remembered.clocks.all();
        let now_ms = |clock: u32| {
            let clock = usize::try_from(clock).ok().and_then(|clock| clocks.get(clock));
            clock.and_then(|clock| clock.now_ms).map_or(wall_ms, |now_ms| now_ms.max(wall_ms))
        };
        self.remembered.holds.waiting(now_ms)
    }

    /// The deadline of an open hold that comes first, in ms since 1970, of those that no command or event has brought yet.
    pub fn next_deadline_ms(&self) -> Option<i64> {
        let clocks = 0..u32::try_from(self.remembered.clocks.all().len()).unwrap_or(u32::MAX);
        clocks.filter_map(|clock| self.remembered.holds.next_deadline_ms(clock)).min()
    }

    fn decode<'a>(&mut self, input: &Input<'a>, row: &mut Row) -> Result<&'a [u8], DecodeError> {
        let raw = input.payload.ok_or_else(|| DecodeError::record(Reason::Tombstone))?;
        match self.topic_of(input.stream) {
            Some(topic) => self.decoder.decode(topic, raw, &mut self.scratch, row)?,
            None => self.decoder.decode_any(raw, &mut self.scratch, row)?,
        }
        Ok(raw)
    }
}

/// What the records of a topic are.
fn carries(commands: Option<&str>, topic: &str) -> Carries {
    if commands == Some(topic) { Carries::Commands } else { Carries::Events }
}

/// A record that is neither an event nor a command.
fn refuse(
    (remembered, never_store): (&mut Remembered, &NeverStore),
    (input, source): (&Input<'_>, &Source),
    error: &DecodeError,
    body: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    remembered.counters.count_dead_letter(error);
    remembered.trail.add(u64::from(input.stream.0));
    remembered.trail.add(input.offset.cast_unsigned());
    remembered.trail.add_bytes(error.reason.as_str().as_bytes());
    let n_blanked = emit::dead_letter((input, source), never_store, error, body, sink);
    remembered.counters.count_never_stored(&source.topic, n_blanked);
}

/// The rule set with its settings, and with the name of the key of its tokens where it has some.
fn identity(program: &Program, options: EngineOptions) -> Digest {
    let (program, key) = (&program.digest.0, program.schema.token_key.as_ref());
    match key {
        Some(key) => Digest::of_parts(&[program, &options.digest().0, key.id().as_bytes()]),
        None => Digest::of_parts(&[program, &options.digest().0]),
    }
}

/// Where nobody gave a key for tokens, the one that everybody knows.
pub(super) fn keyed(program: Arc<Program>) -> Arc<Program> {
    if program.schema.token_key.is_some() || program.schema.tokenized_field().is_none() {
        return program;
    }
    Arc::new(Arc::unwrap_or_clone(program).keyed(&TokenKey::public()))
}

impl Setup {
    pub(super) fn new(program: Arc<Program>, options: EngineOptions) -> Result<Self, EvalError> {
        let program = keyed(program);
        let n_events = u16::try_from(program.plans.len()).unwrap_or(u16::MAX);
        let evals: Result<Vec<EvalPlan>, EvalError> =
            (0..n_events).map(|event| EvalPlan::new(&program, EventId(event))).collect();
        Ok(Self {
            evals: evals?,
            shapes: program.schema.events.iter().map(Shape::of).collect(),
            digesters: program.schema.events.iter().map(Digester::new).collect(),
            ruleset: program.digest.short_hex(),
            config: options.digest().short_hex(),
            identity: identity(&program, options),
            labelled: told_about(&program.schema, |event| event.labels.as_ref()),
            answered: told_about(&program.schema, |event| event.answers.as_ref()),
            subjects: held::subject_slots(&program.schema),
            asked: Asked::of(&program, options.dedupe_window_ms, options.allowed_lateness_ms),
            options,
            program,
        })
    }

    /// How events of the row's type are digested.
    pub(super) fn digester(&self, row: &Row) -> &Digester {
        &self.digesters[usize::from(row.event)]
    }

    /// The digest of the id of an event of this type that another one names.
    pub(super) fn id_of(&self, event: EventId, text: &[u8]) -> u64 {
        self.digesters[usize::from(event.0)].id_of(text)
    }

    /// Rules that act, on some keys at least, and rules that watch.
    pub(super) fn rules_by_mode(&self) -> (usize, usize) {
        let modes = || self.program.rules.iter().map(|rule| rule.mode);
        let watching = modes().filter(|mode| *mode == Mode::Shadow).count();
        (modes().filter(|mode| mode.acts()).count(), watching)
    }
}

impl Shape {
    fn of(event: &EventType) -> Self {
        let is_text = |slot: SlotId| matches!(key_parts(event, &[slot])[..], [KeyPart::Text(_)]);
        let id = event.field(event.id).slot;
        let keys = event.fields.iter().filter(|field| field.role == Role::Key);
        let outlet = keys.map(|field| field.slot).find(|slot| is_text(*slot)).unwrap_or(id);
        let monies =
            || event.fields.iter().filter(|field| matches!(field.ty, FieldType::Money { .. }));
        // WHY: an event may name a balance before it names what is paid.
        let amount = monies()
            .find(|field| field.name == "amount")
            .or_else(|| monies().find(|field| !field.optional))
            .or_else(|| monies().next())
            .and_then(|field| match &field.ty {
                FieldType::Money { currency: MoneyCurrency::Fixed(fixed), .. } => {
                    Some((field.slot, Ok(*fixed)))
                }
                FieldType::Money { currency: MoneyCurrency::At(_, code), .. } => {
                    Some((field.slot, Err(*code)))
                }
                _ => None,
            });
        Self { id, outlet, amount }
    }

    /// What an event pays: minor units and their currency.
    pub(super) fn amount_of(&self, row: &Row) -> Option<(i64, crate::base::Currency)> {
        let (slot, currency) = self.amount?;
        let minor = row.get(slot)?.cast_signed();
        let currency = match currency {
            Ok(fixed) => fixed,
            Err(code) => crate::base::Currency(u32::try_from(row.get(code)?).ok()?),
        };
        Some((minor, currency))
    }
}

/// Which types of events others may be about, by what those say of them.
fn told_about(schema: &Schema, spec: fn(&EventType) -> Option<&LabelSpec>) -> Vec<bool> {
    let specs = || schema.events.iter().filter_map(spec);
    let is_named = |id: u16| specs().any(|spec| spec.events.contains(&EventId(id)));
    (0_u16..).zip(&schema.events).map(|(id, _)| is_named(id)).collect()
}

/// How the window tables are bounded.
pub(super) fn state_options(options: &EngineOptions) -> StateOptions {
    StateOptions {
        lateness_ms: options.allowed_lateness_ms,
        exact_cap: options.exact_events_per_key,
        ring_cap: RING_CAP,
    }
}

/// A memory of ids without any.
pub(super) fn no_ids(program: &Program, options: &EngineOptions) -> SeenIds {
    SeenIds::new(options.dedupe_window_ms, most_ids(program, options))
}

/// Most bytes of holds.
pub(super) fn most_hold_bytes(setup: &Setup) -> usize {
    share_of(budget_bytes(&setup.program, &setup.options), HOLDS_SHARE)
}

/// Most bytes of what changed of lists.
pub(super) fn most_list_edit_bytes(setup: &Setup) -> usize {
    share_of(budget_bytes(&setup.program, &setup.options), LIST_EDITS_SHARE)
}

/// How many ids one engine remembers: its part of the setting, in its part of the budget.
pub(super) fn most_ids(program: &Program, options: &EngineOptions) -> usize {
    let set = options.dedupe_max_ids / options.sharers.max(1);
    let share = share_of(budget_bytes(program, options), IDS_SHARE) / BYTES_PER_ID;
    share.min(set as usize)
}

/// One engine's part of the byte budget.
fn budget_bytes(program: &Program, options: &EngineOptions) -> u64 {
    options.state_bytes.unwrap_or(program.policy.state_bytes) / u64::from(options.sharers.max(1))
}

fn share_of(budget: u64, parts: u64) -> usize {
    usize::try_from(budget / parts).unwrap_or(usize::MAX)
}

impl Remembered {
    pub(super) fn new(program: &Program, options: &EngineOptions) -> Self {
        let rules = vec![RuleCounters::default(); program.rules.len()];
        Self {
            clocks: Clocks::default(),
            memory: Memory::new(program, state_options(options)),
            lists: Lists::new(&program.lists),
            seen: no_ids(program, options),
            repeats: Repeats::default(),
            holds: HoldBook::default(),
            episodes: Episodes::default(),
            counters: Counters { rules, ..Counters::default() },
            trail: Trail::default(),
            gap: Gap::default(),
            breakers: Breakers::new(program),
            labels: LabelBook::default(),
            snoozes: SnoozeBook::default(),
            chains: Chains::default(),
        }
    }

    fn fit(&mut self, setup: &Setup) {
        let budget = budget_bytes(&setup.program, &setup.options);
        self.repeats.shrink(share_of(budget, REPEATS_SHARE));
        self.labels.shrink(share_of(budget, LABELS_SHARE));
        self.holds.shrink(share_of(budget, HOLDS_SHARE));
        self.counters.episodes_cut_short += self.episodes.shrink(share_of(budget, EPISODES_SHARE));
        let others = self.other_bytes();
        self.memory.fit(budget, others);
        self.counters.evictions = self.memory.evictions();
    }

    /// Bytes of everything but the window tables.
    fn other_bytes(&self) -> usize {
        self.seen.bytes()
            + self.repeats.bytes()
            + self.lists.bytes()
            + self.holds.bytes()
            + self.episodes.bytes()
            + self.labels.bytes()
            + self.snoozes.bytes()
    }
}
