//! Recovery by replay: reads the input again up to the committed offsets so that the windows stand as they did.
//!
//! All partitions are read together and their records are taken in the order in which they were decided the first time, as
//! far as the outputs tell it ([`Order`]); else in the order of the broker's timestamps, which approximates it: exact within a
//! partition, and across partitions as exact as the timestamps.
//!
//! One reader per topic, because the end of a partition is told without the topic's name.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::planted::{Bug, is_planted};
use crate::runtime::answered::{Numbers, Order};
use crate::runtime::clock::Clock;
use crate::runtime::error::RunError;
use crate::runtime::log::{Fetched as _, Log, Partition, Read, Reader, Trouble};
use crate::runtime::port::Input;
use crate::telemetry::happening;

/// Records per partition beyond which its reading pauses, and down to which it resumes.
const BUFFER: (usize, usize) = (4_096, 1_024);

/// A number for a record that nobody wrote one down for: those that are written down begin with the time, in microseconds.
fn micros(arrival_ms: Option<i64>) -> u64 {
    arrival_ms.and_then(|ms| u64::try_from(ms).ok()).map_or(0, |ms| ms.saturating_mul(1_000))
}

/// What to replay of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretch {
    /// Where.
    pub(crate) partition: Partition,
    /// From this offset, or from the oldest record.
    pub(crate) from: Option<i64>,
    /// Up to but without this one.
    pub(crate) end: i64,
}

struct Record {
    offset: i64,
    arrival_ms: Option<i64>,
    payload: Option<Vec<u8>>,
}

struct Lane {
    stretch: Stretch,
    reader: usize,
    buffer: VecDeque<Record>,
    /// Everything before this offset has been read.
    seen: i64,
    paused: bool,
    /// The numbers of its records, and that of the last one that was taken.
    order: Arc<Numbers>,
    last: u64,
}

impl Lane {
    /// Whether everything up to the end has been read.
    fn is_complete(&self) -> bool {
        self.seen >= self.stretch.end
    }

    /// The number of a record: as it was written down; else right behind the one before it, or when the broker had it, but
    /// before the next one of its partition.
    ///
    /// WHY: the clock of the broker or of who wrote the record may be ahead of ours, and the next one waits behind it.
    fn number(&self, record: &Record) -> u64 {
        if let Some(known) = self.order.get(&record.offset) {
            return *known;
        }
        let guess = (self.last + 1).max(micros(record.arrival_ms));
        let next = self.order.range(record.offset..).next();
        next.map_or(guess, |(_, next)| guess.min(next.saturating_sub(1)).max(self.last))
    }

    /// The next record before the end.
    fn next(&self) -> Option<&Record> {
        self.buffer.front().filter(|record| record.offset < self.stretch.end)
    }
}

/// A replay under way.
pub(crate) struct Replay<R> {
    readers: Vec<R>,
    lanes: Vec<Lane>,
    n_records: u64,
    /// A record that was to be read is not there any more.
    gone: bool,
}

impl<R: Reader> Replay<R> {
    /// Starts to read.
    pub(crate) fn start<L: Log<Reader = R>>(
        log: &L,
        stretches: Vec<Stretch>,
        order: &Order,
    ) -> Result<Self, RunError> {
        let mut topics: Vec<Arc<str>> = Vec::new();
        let mut lanes = Vec::new();
        for stretch in stretches {
            let known = topics.iter().position(|topic| *topic == stretch.partition.topic);
            let reader = known.unwrap_or_else(|| {
                topics.push(Arc::clone(&stretch.partition.topic));
                topics.len() - 1
            });
            let from = stretch.from.unwrap_or(0);
            let seen = if from >= stretch.end { stretch.end } else { i64::MIN };
            let (order, buffer) = (order.of(&stretch.partition), VecDeque::new());
            lanes.push(Lane { stretch, reader, buffer, seen, paused: false, order, last: 0 });
        }
        let mut readers = Vec::new();
        for index in 0..topics.len() {
            let lanes = lanes.iter().filter(|lane| lane.reader == index);
            let starts = lanes.map(|lane| (lane.stretch.partition.clone(), lane.stretch.from));
            readers.push(log.reader(&starts.collect::<Vec<_>>())?);
        }
        Ok(Self { readers, lanes, n_records: 0, gone: false })
    }

    /// Works for about so long. True when everything is replayed.
    pub(crate) fn slice(
        &mut self,
        length: Duration,
        clock: &dyn Clock,
        apply: &mut dyn FnMut(&Input<'_>),
    ) -> Result<bool, RunError> {
        let deadline = clock.now() + length;
        while clock.now() < deadline && !self.gone {
            let before = self.n_records;
            let any = self.read()?;
            while let Some(lane) = self.oldest() {
                self.take(lane, apply);
            }
            self.breathe()?;
            if self.lanes.iter().all(|lane| lane.is_complete() && lane.next().is_none()) {
                return Ok(true);
            }
            if !any && self.n_records == before {
                // WHY: nothing to do; wait for the first reader that has more to bring.
                self.read_one(self.waiting_reader(), Duration::from_millis(5))?;
            }
        }
        Ok(false)
    }

    /// Moves the end of a partition on.
    ///
    /// INVARIANT: the record before the new end exists: an end that lies behind marks of transactions only is not told a
    /// second time.
    pub(crate) fn extend(&mut self, partition: &Partition, end: i64) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.stretch.partition == *partition)
        {
            lane.stretch.end = lane.stretch.end.max(end);
        }
    }

    /// Whether records that were to be read are not there any more: what was replayed is not all.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    /// Records replayed so far.
    pub(crate) fn n_records(&self) -> u64 {
        self.n_records
    }

    fn waiting_reader(&self) -> usize {
        self.lanes
            .iter()
            .find(|lane| !lane.is_complete() && !lane.paused)
            .map_or(0, |lane| lane.reader)
    }

    fn read(&mut self) -> Result<bool, RunError> {
        let mut any = false;
        for reader in 0..self.readers.len() {
            let mut left = 512;
            while left > 0 && self.read_one(reader, Duration::ZERO)? {
                (left, any) = (left - 1, true);
            }
        }
        Ok(any)
    }

    fn read_one(&mut self, reader: usize, wait: Duration) -> Result<bool, RunError> {
        let Some(consumer) = self.readers.get(reader) else { return Ok(false) };
        let (number, record) = match consumer.poll(wait)? {
            Read::Nothing => return Ok(false),
            Read::End(number) => (number, None),
            Read::Record(record) => {
                let Input { partition, offset, arrival_ms, payload, .. } = record.input();
                let payload = payload.map(<[u8]>::to_vec);
                (partition, Some(Record { offset, arrival_ms, payload }))
            }
            Read::Trouble(Trouble { code, error, offset_gone }) => {
                self.gone |= offset_gone;
                let attempted = "rebuild windows";
                happening::KafkaTrouble { attempted, code: &code, error: &error }.emit();
                return Ok(true);
            }
        };
        let of_partition =
            |lane: &&mut Lane| lane.reader == reader && lane.stretch.partition.number == number;
        let Some(lane) = self.lanes.iter_mut().find(of_partition) else { return Ok(true) };
        match record {
            Some(record) => {
                lane.seen = record.offset + 1;
                lane.buffer.push_back(record);
            }
            None => lane.seen = lane.seen.max(lane.stretch.end),
        }
        Ok(true)
    }

    /// The lane whose next record is the oldest, once every lane that has more to come shows its next one.
    fn oldest(&self) -> Option<usize> {
        let mut oldest: Option<(u64, usize)> = None;
        for (index, lane) in self.lanes.iter().enumerate() {
            if lane.is_complete() && lane.next().is_none() {
                continue;
            }
            let at = lane.number(lane.next()?);
            if oldest.is_none_or(|(best, _)| at < best) {
                oldest = Some((at, index));
            }
        }
        oldest.map(|(_, index)| index)
    }

    fn take(&mut self, index: usize, apply: &mut dyn FnMut(&Input<'_>)) {
        let Some(lane) = self.lanes.get_mut(index) else { return };
        let Some(record) = lane.buffer.pop_front() else { return };
        lane.last = lane.number(&record);
        if is_planted(Bug::ReplayEndsEarly) && record.offset + 1 == lane.stretch.end {
            return;
        }
        apply(&Input {
            topic: &lane.stretch.partition.topic,
            partition: lane.stretch.partition.number,
            offset: record.offset,
            arrival_ms: record.arrival_ms,
            payload: record.payload.as_deref(),
        });
        self.n_records += 1;
    }

    /// Pauses partitions that run ahead or are complete, resumes those that fell behind.
    fn breathe(&mut self) -> Result<(), RunError> {
        for lane in &mut self.lanes {
            let wanted = if lane.is_complete() {
                true
            } else if lane.paused {
                lane.buffer.len() > BUFFER.1
            } else {
                lane.buffer.len() > BUFFER.0
            };
            if wanted == lane.paused {
                continue;
            }
            let Some(reader) = self.readers.get(lane.reader) else { continue };
            let partition = &lane.stretch.partition;
            if wanted {
                reader.pause(partition)?;
            } else {
                reader.resume(partition)?;
            }
            lane.paused = wanted;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_nobody_numbered_comes_before_the_next_one_of_its_partition() {
        let partition = Partition { topic: "t".into(), number: 0 };
        let stretch = Stretch { partition, from: None, end: 99 };
        let order = Arc::new(Numbers::from([(2, 5_000), (7, 9_000)]));
        let (buffer, seen) = (VecDeque::new(), i64::MIN);
        let mut lane = Lane { stretch, reader: 0, buffer, seen, paused: false, order, last: 0 };
        let mut number = |last: u64, offset: i64, arrival_ms: i64| {
            lane.last = last;
            lane.number(&Record { offset, arrival_ms: Some(arrival_ms), payload: None })
        };
        assert_eq!(number(0, 1, 3), 3_000, "when the broker had it");
        assert_eq!(number(0, 1, 3_600_000), 4_999, "a clock is ahead");
        assert_eq!(number(4_999, 2, 3_600_000), 5_000, "as it was written down");
        assert_eq!(number(5_000, 3, 1), 5_001, "right behind the one before it");
        assert_eq!(number(5_001, 6, 3_600_000), 8_999);
        assert_eq!(number(9_000, 8, 10), 10_000, "nobody says what comes next");
    }
}
