//! The port between a cell and the engine: what goes in, what comes out, and the two ways to step.

pub use crate::engine::{Output, OutputTopic};

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

/// The decision path as a cell sees it.
///
/// A step is a pure function of the state and the record: the same records in the same order give the same outputs.
pub trait Step {
    /// Takes one record, appends its outputs and says what became of it.
    fn step(&mut self, input: &Input<'_>, outputs: &mut Vec<Output>) -> Outcome;

    /// Takes one record that was decided before: the state moves as in [`Step::step`], nothing comes out.
    fn replay(&mut self, input: &Input<'_>);

    /// A digest of what was decided, so far, about the partition of the last record; none where nobody keeps one.
    fn digest(&self) -> Option<u64> {
        None
    }

    /// Writes the engine's own counters over those in `report`.
    fn report(&self, report: &mut EngineReport);
}
