//! What goes into the engine and what comes out: the whole surface between decisions and the world.

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
    /// A hold and its state.
    Holds,
    /// What auditors ask for.
    Audit,
    /// A record that could not be decided.
    DeadLetter,
}

impl OutputTopic {
    /// All kinds, in the order in which one step emits them.
    pub const ALL: [Self; 5] =
        [Self::Decisions, Self::Alerts, Self::Holds, Self::Audit, Self::DeadLetter];

    /// Name of the `schema` field of the records.
    pub fn schema(self) -> &'static str {
        match self {
            Self::Decisions => "riskweir.decision.v1",
            Self::Alerts => "riskweir.alert.v1",
            Self::Holds => "riskweir.hold.v1",
            Self::Audit => "riskweir.audit.v1",
            Self::DeadLetter => "riskweir.dead_letter.v1",
        }
    }
}

/// Takes what the engine emits. Slices are valid during the call only.
pub trait Sink {
    /// One record: its kind, its key (for the partition of the output topic) and its JSON body.
    fn emit(&mut self, topic: OutputTopic, key: &[u8], body: &[u8]);
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
