//! The port between a cell and the engine: what goes in, what comes out, and the two ways to step.

use crate::telemetry::books::{EngineReport, Outcome};

/// One record of an input topic.
#[derive(Clone, Copy, Debug)]
pub struct Input<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The broker's timestamp, in ms since 1970.
    pub arrival_ms: Option<i64>,
    /// The record's bytes; none is a tombstone.
    pub payload: Option<&'a [u8]>,
}

/// Where an output goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OutputTopic {
    /// Decisions.
    Decisions,
    /// Alerts.
    Alerts,
    /// Holds.
    Holds,
    /// Audit records.
    Audit,
    /// Records that could not be decided.
    DeadLetter,
}

impl OutputTopic {
    /// Name and version of the schema, as the header `schema` says it.
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

/// One record for an output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// Where it goes.
    pub topic: OutputTopic,
    /// Key: chooses the partition.
    pub key: Vec<u8>,
    /// The record's bytes.
    pub body: Vec<u8>,
}

/// The decision path as a cell sees it.
///
/// A step is a pure function of the state and the record: the same records in the same order give the same outputs.
pub trait Step {
    /// Takes one record, appends its outputs and says what became of it.
    fn step(&mut self, input: &Input<'_>, outputs: &mut Vec<Output>) -> Outcome;

    /// Takes one record that was decided before: the state moves as in [`Step::step`], nothing comes out.
    fn replay(&mut self, input: &Input<'_>);

    /// Writes the engine's own counters over those in `report`.
    fn report(&self, report: &mut EngineReport);
}
