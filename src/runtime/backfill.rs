//! Backfill: the past is read again for a rule set that is about to become active, so that its new aggregates know it.
//!
//! Beside the engine that decides, another one of the new rule set takes the records from `from` on, without emitting.
//! When it has come near to where the first one stands, deciding stops for the few records that are left, and the new
//! rule set becomes active with what the other engine knows ([`crate::engine::Past`]). What was read stands in the notes
//! of commits ([`Fill`]), so a recovery reads the same again.
//!
//! Records are found by their brokers' stamps, and windows are about event time. An event is accepted only if its time
//! lies at most `time.future_guard` ahead of its stamp; so whoever reads all records stamped since `from` less the guard
//! has all events since `from`. It begins earlier by `time.dedupe_window`, so that repeats are recognised as they were.
//! Where the log begins later than that, the windows know what a group knows that begins there.
//!
//! # Cost
//! Deciding and reading share the thread by halves while both have work. The other engine takes as much memory again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::time::parse_rfc3339;
use crate::config::units;
use crate::runtime::answered::Order;
use crate::runtime::clock::Clock;
use crate::runtime::epochs::Fill;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, LogError, Partition, Reader, Source};
use crate::runtime::port::{Input, Step};
use crate::runtime::replay::{Replay, Stretch};

/// From when on the past is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From the oldest record that the log holds.
    Earliest,
    /// From so long before the newest event.
    Ago(Duration),
    /// From this event time, in ms since 1970.
    At(i64),
}

impl Since {
    /// Reads `from=7d`, `from=2026-11-01T00:00:00Z` or `from=earliest`. `now_ms`: the present, in ms since 1970.
    ///
    /// # Errors
    /// What is wrong with it, with what may be written.
    pub fn parse(text: &str, now_ms: i64) -> Result<Self, String> {
        const FORMS: &str = "write `from=7d`, `from=2026-11-01T00:00:00Z` or `from=earliest`";
        let Some(from) = text.strip_prefix("from=") else {
            return Err(format!("`{text}` says not from when on: {FORMS}"));
        };
        if from == "earliest" {
            return Ok(Self::Earliest);
        }
        if let Some(length) = units::duration(from) {
            if length.is_zero() {
                return Err(format!("`{from}` is no time at all: {FORMS}"));
            }
            return Ok(Self::Ago(length));
        }
        let Some(at_ms) = parse_rfc3339(from.as_bytes()) else {
            return Err(format!("`{from}` is neither a duration nor a time: {FORMS}"));
        };
        if at_ms > now_ms {
            return Err(format!(
                "`{from}` lies in the future: there is nothing to read from there on"
            ));
        }
        Ok(Self::At(at_ms))
    }

    /// The event time, given that of the newest event.
    fn resolved(self, newest_ms: i64) -> i64 {
        match self {
            Self::Earliest => i64::MIN,
            Self::Ago(length) => {
                newest_ms.saturating_sub(i64::try_from(length.as_millis()).unwrap_or(i64::MAX))
            }
            Self::At(at_ms) => at_ms,
        }
    }
}

/// What will be read, for whoever asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Planned {
    /// Event time from which on the windows are to know all, in ms since 1970; none: from the oldest record on.
    pub since_ms: Option<i64>,
    /// About how many records that is.
    pub n_records: u64,
    /// Partitions, and in how many of them the log does not reach back so far.
    pub n_partitions: usize,
    /// See `n_partitions`.
    pub n_cut: usize,
}

/// Where the records lie that are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Range {
    /// Event time from which on all are wanted.
    since_ms: i64,
    /// Per partition the first offset.
    starts: BTreeMap<Partition, i64>,
    /// Partitions whose log does not reach back so far.
    cut: Vec<Partition>,
}

impl Range {
    /// Asks the broker where the records lie. `ends`: where the engine that decides stands. None: it has no event yet.
    pub(crate) fn find(
        since: Since,
        ends: &BTreeMap<Partition, i64>,
        engine: &impl Step,
        (source, timeout): (&impl Source, Duration),
    ) -> Result<Option<Self>, LogError> {
        let Some(newest_ms) = engine.identity().event_time_ms else { return Ok(None) };
        let since_ms = since.resolved(newest_ms);
        let mut range = Self { since_ms, ..Self::default() };
        range.look(ends, engine.lead_ms(), (source, timeout))?;
        Ok(Some(range))
    }

    /// What an epoch's notes say was read; partitions that they do not name are looked for as the first time. A log that
    /// begins later by now is no error here.
    pub(crate) fn again(
        fill: &Fill,
        ends: &BTreeMap<Partition, i64>,
        engine: &impl Step,
        (source, timeout): (&impl Source, Duration),
    ) -> Result<Self, LogError> {
        let unknown = ends.iter().filter(|(partition, _)| !fill.from.contains_key(*partition));
        let unknown = unknown.map(|(partition, end)| (partition.clone(), *end)).collect();
        let mut range = Self { since_ms: fill.since_ms, ..Self::default() };
        range.look(&unknown, engine.lead_ms(), (source, timeout))?;
        for (partition, start) in &fill.from {
            let low = source.bounds(partition, timeout)?.0;
            if *start < low {
                range.cut.push(partition.clone());
            }
            range.starts.insert(partition.clone(), low.max(*start));
        }
        Ok(range)
    }

    fn look(
        &mut self,
        ends: &BTreeMap<Partition, i64>,
        (early_ms, lead_ms): (i64, i64),
        (source, timeout): (&impl Source, Duration),
    ) -> Result<(), LogError> {
        if ends.is_empty() {
            return Ok(());
        }
        let partitions: Vec<Partition> = ends.keys().cloned().collect();
        let at =
            |ms: i64| source.offsets_at(&partitions, self.since_ms.saturating_sub(ms), timeout);
        let (wanted, begin) = (at(early_ms)?, at(lead_ms)?);
        for ((partition, end), (wanted, begin)) in ends.iter().zip(wanted.into_iter().zip(begin)) {
            let (low, high) = source.bounds(partition, timeout)?;
            // WHY: records are deleted oldest first; where none is left or the oldest one is young, older ones may have
            // been wanted. Number 0 is the first there ever was.
            if low > 0 && wanted.map_or(low >= high, |wanted| wanted <= low) {
                self.cut.push(partition.clone());
            }
            let start = begin.unwrap_or(*end).clamp(low.min(*end), *end);
            self.starts.insert(partition.clone(), start);
        }
        Ok(())
    }

    /// Partitions whose log does not reach back as far as is wanted.
    pub(crate) fn cut(&self) -> &[Partition] {
        &self.cut
    }

    /// What will be read up to these offsets.
    pub(crate) fn planned(&self, ends: &BTreeMap<Partition, i64>) -> Planned {
        let length = |(partition, start): (&Partition, &i64)| {
            let end = ends.get(partition).copied().unwrap_or(*start);
            u64::try_from(end - start).unwrap_or(0)
        };
        Planned {
            since_ms: (self.since_ms > i64::MIN).then_some(self.since_ms),
            n_records: self.starts.iter().map(length).sum(),
            n_partitions: self.starts.len(),
            n_cut: self.cut.len(),
        }
    }
}

/// An engine that reads the past of one shard.
pub(crate) struct Reading<R, S> {
    /// The shard's place among those of the cell.
    pub(crate) shard: usize,
    engine: S,
    replay: Replay<R>,
    range: Range,
    /// How far it is to read at present.
    ends: BTreeMap<Partition, i64>,
    began_at: Duration,
}

impl<R: Reader, S: Step> Reading<R, S> {
    /// Starts to read up to these offsets.
    pub(crate) fn start<L: Log<Reader = R>>(
        (shard, engine): (usize, S),
        range: Range,
        ends: BTreeMap<Partition, i64>,
        (log, clock): (&L, &dyn Clock),
    ) -> Result<Self, RunError> {
        let stretch = |(partition, start): (&Partition, &i64)| {
            let end = ends.get(partition).copied().unwrap_or(*start);
            Stretch { partition: partition.clone(), from: Some(*start), end }
        };
        let replay =
            Replay::start(log, range.starts.iter().map(stretch).collect(), &Order::default())?;
        Ok(Self { shard, engine, replay, range, ends, began_at: clock.now() })
    }

    /// Works for about so long. True: it has come to the offsets that it is to read up to.
    pub(crate) fn slice(&mut self, length: Duration, clock: &dyn Clock) -> Result<bool, RunError> {
        let engine = &mut self.engine;
        self.replay.slice(length, clock, &mut |input: &Input<'_>| engine.replay(input))
    }

    /// Whether records that it is to read were deleted meanwhile.
    pub(crate) fn is_gone(&self) -> bool {
        self.replay.is_gone()
    }

    /// How many records lie between the offsets that it is to read up to and these.
    pub(crate) fn distance(&self, ends: &BTreeMap<Partition, i64>) -> i64 {
        let distance = |(partition, end): (&Partition, &i64)| {
            end - self.ends.get(partition).copied().unwrap_or(*end)
        };
        ends.iter().map(distance).sum()
    }

    /// It is to read up to these offsets.
    pub(crate) fn extend(&mut self, ends: BTreeMap<Partition, i64>) {
        for (partition, end) in &ends {
            self.replay.extend(partition, *end);
        }
        self.ends = ends;
    }

    /// Records read so far, and the time since it began.
    pub(crate) fn progress(&self, clock: &dyn Clock) -> (u64, Duration) {
        (self.replay.n_records(), clock.now().saturating_sub(self.began_at))
    }

    /// The engine, and what it knows.
    pub(crate) fn end(self) -> (S, Fill) {
        let Self { engine, range: Range { mut since_ms, starts, cut }, .. } = self;
        for Partition { topic, number } in &cut {
            // WHY: of a partition of which nothing is left nobody can say what was in it.
            since_ms = since_ms.max(engine.began_ms(topic, *number).unwrap_or(i64::MAX));
        }
        (engine, Fill { since_ms, from: starts })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_790_000_000_000;

    #[test]
    fn a_beginning_is_a_duration_a_time_or_the_oldest_record() {
        let week = Duration::from_secs(7 * 86_400);
        assert_eq!(Since::parse("from=7d", NOW_MS), Ok(Since::Ago(week)));
        assert_eq!(Since::parse("from=earliest", NOW_MS), Ok(Since::Earliest));
        assert_eq!(Since::parse("from=1970-01-01T00:00:01Z", NOW_MS), Ok(Since::At(1_000)));
        assert_eq!(Since::Ago(week).resolved(NOW_MS), NOW_MS - 604_800_000);
    }

    #[test]
    fn what_is_no_beginning_is_refused_with_what_may_be_written() {
        for (text, word) in [
            ("7d", "says not from when on"),
            ("from=", "neither"),
            ("from=soon", "neither"),
            ("from=2026-13-01T00:00:00Z", "neither"),
            ("from=2026-11-01", "neither"),
            ("from=0d", "no time at all"),
            ("from=2100-01-01T00:00:00Z", "lies in the future"),
        ] {
            let refused = Since::parse(text, NOW_MS).unwrap_err();
            assert!(refused.contains(word), "{text}: {refused}");
        }
    }
}
