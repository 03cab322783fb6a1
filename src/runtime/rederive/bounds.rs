//! How much of the log somebody may have read who waits for the answer, and whether they still wait.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::runtime::error::{RunError, Stage};
use crate::runtime::log::{Log, Partition, Read, Reader};

/// Why no more is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The time is up.
    Time,
    /// So many records were read.
    Records,
    /// Nobody waits for it any more.
    Unwanted,
}

/// See the module.
#[derive(Debug)]
pub struct Bounds {
    until: Option<Instant>,
    records_left: AtomicU64,
    is_unwanted: AtomicBool,
}

impl Bounds {
    /// Whatever it takes.
    pub fn none() -> Self {
        Self { until: None, records_left: AtomicU64::new(u64::MAX), is_unwanted: false.into() }
    }

    /// Until then, and no more than so many records.
    pub fn new(until: Instant, records: u64) -> Self {
        Self { until: Some(until), records_left: records.into(), is_unwanted: false.into() }
    }

    /// Nobody waits for it any more.
    pub fn give_up(&self) {
        self.is_unwanted.store(true, Ordering::Relaxed);
    }

    /// The bound that is reached, if one is.
    pub fn reached(&self) -> Option<Limit> {
        if self.is_unwanted.load(Ordering::Relaxed) {
            return Some(Limit::Unwanted);
        }
        if self.records_left.load(Ordering::Relaxed) == 0 {
            return Some(Limit::Records);
        }
        let is_late = self.until.is_some_and(|until| Instant::now() >= until);
        is_late.then_some(Limit::Time)
    }

    fn count(&self) {
        let less = |left: u64| Some(left.saturating_sub(1));
        // WHY: it always gives a number, so nothing can fail.
        _ = self.records_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// A log that is read within bounds.
#[derive(Debug)]
pub(crate) struct Bounded<'b, L> {
    pub(crate) log: &'b L,
    pub(crate) bounds: &'b Bounds,
}

impl<'b, L: Log> Log for Bounded<'b, L> {
    type Source = L::Source;
    type Writer = L::Writer;
    type Reader = BoundedReader<'b, L::Reader>;
    type Scribe = L::Scribe;

    fn source(&self, topics: &[String]) -> Result<Self::Source, RunError> {
        self.log.source(topics)
    }

    fn writer(&self) -> Result<Self::Writer, RunError> {
        self.log.writer()
    }

    fn reader(&self, starts: &[(Partition, Option<i64>)]) -> Result<Self::Reader, RunError> {
        Ok(BoundedReader { reader: self.log.reader(starts)?, bounds: self.bounds })
    }

    fn scribe(&self) -> Result<Self::Scribe, RunError> {
        self.log.scribe()
    }
}

/// A reader that ends at a bound.
#[derive(Debug)]
pub(crate) struct BoundedReader<'b, R> {
    reader: R,
    bounds: &'b Bounds,
}

impl<R: Reader> Reader for BoundedReader<'_, R> {
    type Record<'a>
        = R::Record<'a>
    where
        Self: 'a;

    fn poll(&self, wait: Duration) -> Result<Read<Self::Record<'_>>, RunError> {
        if self.bounds.reached().is_some() {
            let reason = "a bound of the reading is reached".to_owned();
            return Err(RunError::Fatal { reason, stage: Stage::Receive });
        }
        let read = self.reader.poll(wait)?;
        if matches!(read, Read::Record(_)) {
            self.bounds.count();
        }
        Ok(read)
    }

    fn pause(&self, partition: &Partition) -> Result<(), RunError> {
        self.reader.pause(partition)
    }

    fn resume(&self, partition: &Partition) -> Result<(), RunError> {
        self.reader.resume(partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_is_reached_by_time_by_records_and_by_nobody_waiting() {
        let later = Instant::now() + Duration::from_secs(3_600);
        let bounds = Bounds::new(later, 2);
        bounds.count();
        assert_eq!(bounds.reached(), None);
        bounds.count();
        assert_eq!(bounds.reached(), Some(Limit::Records));
        bounds.count();
        assert_eq!(bounds.reached(), Some(Limit::Records));
        assert_eq!(Bounds::new(Instant::now(), 2).reached(), Some(Limit::Time));
        let none = Bounds::none();
        none.count();
        assert_eq!(none.reached(), None);
        none.give_up();
        assert_eq!(none.reached(), Some(Limit::Unwanted));
    }
}
