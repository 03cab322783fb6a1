//! What goes into the engine and what comes out: the whole surface between decisions and the world.

use crate::base::Currency;
use crate::decision::lattice::Outcome;
use crate::engine::models::ModelSays;
use crate::engine::scene;
use crate::engine::step::Decoded;
use crate::event::schema::{EventId, SlotId};
use crate::rules::program::RuleId;

/// A partition of an input topic, or a file, that the engine reads in order. Made by `Engine::open_stream`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(pub u32);

/// One record of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Where it was read.
    pub stream: StreamId,
    /// Its offset in the stream; for files the index of the record from 0.
    pub offset: i64,
    /// The broker's timestamp in ms, when there is one; guards against event times from the future.
    pub arrival_ms: Option<i64>,
    /// The bytes; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// Which kind of record comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputTopic {
    /// One per event.
    Decisions,
    /// Asks a person for attention.
    Alerts,
    /// An episode of alerts has ended.
    Episodes,
    /// A hold and its state.
    Holds,
    /// What auditors ask for.
    Audit,
    /// A record that could not be decided.
    DeadLetter,
    /// A signed word about the audit chains: made by the service around the engine, never by a step.
    Checkpoints,
}

impl OutputTopic {
    /// All kinds that steps emit, in the order in which one does.
    pub const ALL: [Self; 6] =
        [Self::Decisions, Self::Alerts, Self::Episodes, Self::Holds, Self::Audit, Self::DeadLetter];

    /// Its word, as metrics have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decisions => "decisions",
            Self::Alerts => "alerts",
            Self::Episodes => "episodes",
            Self::Holds => "holds",
            Self::Audit => "audit",
            Self::DeadLetter => "dead_letter",
            Self::Checkpoints => "checkpoints",
        }
    }

    /// Name of the `schema` field of the records.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Decisions => "riskweir.decision.v1",
            Self::Alerts => "riskweir.alert.v1",
            Self::Episodes => "riskweir.episode.v1",
            Self::Holds => "riskweir.hold.v1",
            Self::Audit => "riskweir.audit.v1",
            Self::DeadLetter => "riskweir.dead_letter.v1",
            Self::Checkpoints => "riskweir.checkpoint.v1",
        }
    }
}

/// What was decided about one event, for whoever watches a run from inside the process.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// Its type.
    pub event: EventId,
    /// Its id.
    pub id: &'a str,
    /// Event time in ms.
    pub time_ms: i64,
    /// What is paid, in minor units and its currency, where the event type has money.
    pub amount: Option<(i64, Currency)>,
    /// What won.
    pub outcome: Outcome,
    /// Risk points, 0 to 100.
    pub score: i32,
    /// Live rules that hit.
    pub hits: &'a [RuleId],
    /// Shadow rules that would have.
    pub shadow: &'a [RuleId],
    /// Rules that raised an alert, in the order in which they did.
    pub alerted: &'a [RuleId],
    /// Alerts raised in all: by rules, bands and id reuse.
    pub n_alerts: u32,
    /// Its fields.
    pub decoded: Decoded<'a>,
}

impl<'a> Judged<'a> {
    /// The text of a field; empty where it is absent.
    pub fn text(&self, slot: SlotId) -> &'a str {
        scene::text(self.decoded, slot)
    }
}

/// Takes what the engine emits. Slices are valid during the call only.
pub trait Sink {
    /// One record: its kind, its key (for the partition of the output topic) and its JSON body.
    fn emit(&mut self, topic: OutputTopic, key: &[u8], body: &[u8]);

    /// Whether [`Sink::scored`] and [`Sink::judged`] are wanted.
    fn watches(&self) -> bool {
        false
    }

    /// One event was judged and its records were emitted. Repeats of known events are not judged.
    fn judged(&mut self, _: &Judged<'_>) {}

    /// What a model read of the event that [`Sink::judged`] told last, and what it said.
    fn scored(&mut self, _: &Judged<'_>, _: &ModelSays<'_>) {}
}

/// An owned output record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Its kind.
    pub topic: OutputTopic,
    /// Its key.
    pub key: Vec<u8>,
    /// Its JSON body.
    pub body: Vec<u8>,
}

impl Sink for Vec<Output> {
    fn emit(&mut self, topic: OutputTopic, key: &[u8], body: &[u8]) {
        self.push(Output { topic, key: key.to_vec(), body: body.to_vec() });
    }
}

/// Swallows everything: for replay without output.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silence;

impl Sink for Silence {
    fn emit(&mut self, _: OutputTopic, _: &[u8], _: &[u8]) {}
}
