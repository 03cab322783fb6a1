//! Getting outputs out and offsets committed: what the two deliveries have in common, as the cell sees them.

pub(crate) mod idempotent;
mod tracker;
pub(crate) mod transactional;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Topics;
use crate::runtime::clock::Clock;
use crate::runtime::error::RunError;
use crate::runtime::log::{LogError, Partition, Position, Wire};
use crate::runtime::note::{Entry, Mark, Note};
use crate::runtime::port::{Output, OutputTopic};
use crate::runtime::stop::Stop;
use crate::runtime::trace::{TRACEPARENT, TraceParent};
use crate::telemetry::books::{Books, Outcome};
use crate::telemetry::happening;
use crate::telemetry::health::Health;

/// The header that names the record that was decided just before, where that is of another partition.
pub(crate) const FOLLOWS: &str = "follows";
/// The header by which the announcement of a rule set says with which epoch that is, and where it begins.
pub(crate) const EPOCH: &str = "epoch";

/// A partition and an offset.
pub(crate) type Place = (Partition, i64);

/// What an output says of the record that it answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'r> {
    /// Where it came from.
    pub(crate) place: (&'r Partition, i64),
    /// See [`Handled::sequence`].
    pub(crate) sequence: u64,
    /// See [`Handled::follows`].
    pub(crate) follows: Option<&'r Place>,
    /// See [`Handled::epoch`].
    pub(crate) epoch: Option<&'r str>,
    /// The trace that it belongs to.
    pub(crate) trace: Option<&'r TraceParent>,
}

/// A record that the engine has handled.
#[derive(Clone, Debug)]
pub(crate) struct Handled {
    /// Where it came from.
    pub(crate) partition: Partition,
    /// Its offset.
    pub(crate) offset: i64,
    /// The broker's timestamp.
    pub(crate) arrival_ms: Option<i64>,
    /// The trace that it belongs to.
    pub(crate) trace: Option<TraceParent>,
    /// What became of it.
    pub(crate) outcome: Outcome,
    /// Its number in the order in which records were decided.
    pub(crate) sequence: u64,
    /// Which record the engine decided just before it, where that is of another partition.
    pub(crate) follows: Option<Place>,
    /// The epoch of the rule set that is announced with it, if one is.
    pub(crate) epoch: Option<String>,
    /// The mark of the offset after it.
    pub(crate) mark: Mark,
}

impl Handled {
    /// What its outputs say of it.
    pub(crate) fn origin(&self) -> Origin<'_> {
        Origin {
            place: (&self.partition, self.offset),
            sequence: self.sequence,
            follows: self.follows.as_ref(),
            epoch: self.epoch.as_deref(),
            trace: self.trace.as_ref(),
        }
    }
}

/// What a delivery may use while it works.
pub(crate) struct Around<'a, S> {
    /// The consumer, for offsets.
    pub(crate) source: &'a S,
    /// The cell's counters.
    pub(crate) books: &'a mut Books,
    /// Signs of life.
    pub(crate) health: &'a Health,
    /// The wish to stop.
    pub(crate) stop: &'a Stop,
    /// For intervals.
    pub(crate) clock: &'a dyn Clock,
    /// The latest epochs, for the notes of commits.
    pub(crate) epochs: &'a BTreeMap<Partition, Vec<Entry>>,
}

/// How a turn ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Nothing to do for the cell.
    Fine,
    /// What the windows hold is not what the group will commit: start again from the committed offsets.
    Restart(&'static str),
}

/// A way to get outputs out and offsets committed.
///
/// INVARIANT: offset N is committed only after every output of the records before N, those without outputs included.
pub(crate) trait Delivery<S> {
    /// The group gave us these partitions, to be read from these offsets.
    fn assigned(&mut self, starts: &[(Partition, Option<i64>)]);

    /// Has the next commit name these positions, with the mark of each, though no record was taken since the
    /// last: what their notes say is new. Nothing else is on its way.
    fn note(&mut self, positions: Vec<(Partition, i64, Mark)>);

    /// Takes the outputs of one record.
    fn accept(
        &mut self,
        record: Handled,
        outputs: &mut Vec<Output>,
        around: &mut Around<'_, S>,
    ) -> Result<(), RunError>;

    /// Whether more records may be read now.
    fn has_room(&self) -> bool;

    /// What the group has committed of a partition, as far as is known.
    fn committed(&self, partition: &Partition, source: &S) -> Option<i64>;

    /// Outputs on their way.
    fn in_flight(&self) -> u64;

    /// How long the cell may wait for a record before the next turn.
    fn patience(&self, clock: &dyn Clock) -> Duration;

    /// Collects acknowledgements and commits what is due.
    fn turn(&mut self, around: &mut Around<'_, S>) -> Result<Turn, RunError>;

    /// Gets everything out and commits it, within `limit`. False: not all of it could be committed.
    fn settle(&mut self, limit: Duration, around: &mut Around<'_, S>) -> Result<bool, RunError>;

    /// Forgets what is on its way: somebody will read those records again. They are counted in `books` by what the
    /// engine made of them.
    fn forget(&mut self, books: &mut Books);
}

/// Counts a record whose effects are all acknowledged.
fn done(books: &mut Books, outcome: Outcome, arrival_ms: Option<i64>, now_ms: i64) {
    books.record_done(outcome);
    let latency_ms =
        arrival_ms.and_then(|arrival| u64::try_from(now_ms.saturating_sub(arrival)).ok());
    if let Some(latency_ms) = latency_ms {
        books.end_to_end.observe(Duration::from_millis(latency_ms));
    }
}

/// The position after a record, with what recovery needs to know.
fn position<S>(
    around: &Around<'_, S>,
    partition: &Partition,
    next: i64,
    (mark, outputs_since_ms): (Mark, Option<i64>),
) -> Position {
    let epochs = around.epochs.get(partition).cloned().unwrap_or_default();
    Position { offset: next, note: Note { mark, outputs_since_ms, epochs }.text() }
}

/// Counts an error of the log and tells of it.
fn tell(books: &mut Books, attempted: &'static str, error: &LogError) {
    books.kafka_error(&error.code);
    happening::KafkaTrouble { attempted, code: &error.code, error: &error.text }.emit();
}

/// The same for outputs that could not be written, by kind.
fn tell_unwritten(books: &mut Books, (topics, topic): (&OutputTopics, &str), error: &LogError) {
    for kind in topics.kinds(topic) {
        *books.output_errors.entry(kind).or_default() += 1;
    }
    tell(books, "write an output", error);
}

/// The names of the output topics.
#[derive(Clone, Debug)]
pub(crate) struct OutputTopics {
    names: [Arc<str>; OutputTopic::ALL.len()],
    /// Where nobody wants them none is made.
    checkpoints: Option<Arc<str>>,
}

impl OutputTopics {
    /// As configured.
    pub(crate) fn of(topics: &Topics) -> Self {
        let name = |topic: OutputTopic| -> Arc<str> {
            let name = match topic {
                OutputTopic::Decisions => &topics.decisions,
                OutputTopic::Alerts | OutputTopic::Episodes => &topics.alerts,
                OutputTopic::Holds => &topics.holds,
                OutputTopic::Audit => &topics.audit,
                OutputTopic::DeadLetter | OutputTopic::Checkpoints => &topics.dead_letter,
            };
            name.as_str().into()
        };
        let checkpoints = topics.checkpoints.as_deref().map(Arc::from);
        Self { names: OutputTopic::ALL.map(name), checkpoints }
    }

    /// Each of those that steps write to, once.
    pub(crate) fn distinct(&self) -> BTreeSet<Arc<str>> {
        self.names.iter().cloned().collect()
    }

    pub(crate) fn name(&self, topic: OutputTopic) -> Arc<str> {
        if let Some(name) = self.checkpoints.as_ref().filter(|_| topic == OutputTopic::Checkpoints)
        {
            return Arc::clone(name);
        }
        let place = OutputTopic::ALL.iter().position(|known| *known == topic).unwrap_or(0);
        Arc::clone(&self.names[place])
    }

    /// The kinds of outputs that a topic takes.
    fn kinds(&self, topic: &str) -> impl Iterator<Item = &'static str> {
        let all =
            OutputTopic::ALL.into_iter().zip(&self.names).map(|(kind, name)| (kind, Some(name)));
        let all = all.chain([(OutputTopic::Checkpoints, self.checkpoints.as_ref())]);
        let named = all.filter(move |(_, name)| name.is_some_and(|name| **name == *topic));
        named.map(|(kind, _)| kind.as_str())
    }

    /// An output as it goes out: with headers that say which record it answers, and the trace that it belongs to.
    pub(crate) fn wire(&self, output: Output, origin: Origin<'_>) -> Wire {
        let Origin { place: (partition, offset), sequence, follows, epoch, trace } = origin;
        let text = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
        let mut headers = vec![
            text("source_topic", &partition.topic),
            text("source_partition", &partition.number.to_string()),
            text("source_offset", &offset.to_string()),
            text("sequence", &sequence.to_string()),
            text("schema", output.topic.schema()),
            text("engine_version", env!("CARGO_PKG_VERSION")),
        ];
        headers.extend(follows.map(|(Partition { topic, number }, offset)| {
            text(FOLLOWS, &format!("{topic}/{number}/{offset}"))
        }));
        let is_told = output.topic == OutputTopic::Audit;
        headers.extend(epoch.filter(|_| is_told).map(|epoch| text(EPOCH, epoch)));
        headers.extend(trace.map(|trace| (TRACEPARENT.to_owned(), trace.bytes().to_vec())));
        let topic = self.name(output.topic);
        Wire { topic, key: output.key, body: output.body, headers }
    }
}
