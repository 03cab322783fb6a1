//! The ports of the runtime, answered by the simulation.

use std::fmt;
use std::time::Duration;

use riskweir::runtime::clock::Clock;
use riskweir::runtime::log::{Fetched, Log, Partition, Scribe};
use riskweir::runtime::{Input, RunError};

use super::broker::Record;
use super::member::SimSource;
use super::reader::SimReader;
use super::world::Ctx;
use super::writer::SimWriter;

/// The wall clock at the start of simulated time: 2 March 2026, 08:00 UTC.
pub(crate) const WALL_MS: i64 = 1_772_438_400_000;

/// Most looks at the clock between two calls into a port.
const MOST_LOOKS: u64 = 1_000_000;

/// A length of time in microseconds.
pub(crate) fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// A record in a client's memory.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) partition: Partition,
    pub(crate) record: Record,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
}

impl Fetched for Taken {
    fn input(&self) -> Input<'_> {
        Input {
            topic: &self.partition.topic,
            partition: self.partition.number,
            offset: self.record.offset,
            arrival_ms: Some(self.record.arrival_ms),
            payload: self.record.payload.as_deref(),
        }
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
    }
}

/// The log as one life of one instance sees it.
pub(crate) struct SimLog {
    pub(crate) ctx: Ctx,
    /// The transactional id, if any.
    pub(crate) id: Option<String>,
}

impl Log for SimLog {
    type Source = SimSource;
    type Writer = SimWriter;
    type Reader = SimReader;
    type Scribe = Mute;

    fn source(&self, _topics: &[String]) -> Result<SimSource, RunError> {
        Ok(SimSource::open(&self.ctx))
    }

    fn writer(&self) -> Result<SimWriter, RunError> {
        Ok(SimWriter::open(&self.ctx, self.id.clone()))
    }

    fn reader(&self, starts: &[(Partition, Option<i64>)]) -> Result<SimReader, RunError> {
        Ok(SimReader::open(&self.ctx, starts))
    }

    fn scribe(&self) -> Result<Mute, RunError> {
        Ok(Mute)
    }
}

/// What an instance says of the time is lost: holds end by events here. Event time runs far ahead of simulated time.
pub(crate) struct Mute;

impl Scribe for Mute {
    fn write(&mut self, _partition: &Partition, _body: &[u8]) {}

    fn serve(&mut self) {}
}

/// The clocks as an instance sees them.
pub(crate) struct SimClock(pub(crate) Ctx);

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimClock")
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        let mut state = self.0.quietly();
        state.looks += 1;
        assert!(
            state.looks < MOST_LOOKS,
            "P16: an instance waits for time to pass without letting it"
        );
        Duration::from_micros(state.now)
    }

    fn wall_ms(&self) -> i64 {
        let state = self.0.quietly();
        WALL_MS + i64::try_from(state.now / 1_000).unwrap() + state.wall_shift_ms
    }
}
