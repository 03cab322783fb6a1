//! Records that come while windows are still being rebuilt: kept whole, and decided when that is done.

use crate::runtime::log::{Fetched, Partition};
use crate::runtime::port::Input;
use crate::runtime::trace::TraceParent;

/// See the module.
pub(crate) struct Early {
    partition: Partition,
    offset: i64,
    arrival_ms: Option<i64>,
    pub(crate) trace: Option<TraceParent>,
    payload: Option<Vec<u8>>,
}

impl Early {
    /// A copy of a record.
    pub(crate) fn of(record: &impl Fetched) -> Self {
        let input = record.input();
        Self {
            partition: Partition { topic: input.topic.into(), number: input.partition },
            offset: input.offset,
            arrival_ms: input.arrival_ms,
            trace: TraceParent::of(record),
            payload: input.payload.map(<[u8]>::to_vec),
        }
    }

    /// Where it came from.
    pub(crate) fn partition(&self) -> &Partition {
        &self.partition
    }

    /// The record.
    pub(crate) fn input(&self) -> Input<'_> {
        Input {
            topic: &self.partition.topic,
            partition: self.partition.number,
            offset: self.offset,
            arrival_ms: self.arrival_ms,
            payload: self.payload.as_deref(),
        }
    }
}
