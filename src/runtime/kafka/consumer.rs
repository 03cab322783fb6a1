//! The consumer of a cell: polls records, writes down rebalances for the cell to act on, commits on request.
//!
//! INVARIANT: partitions are given back only after the cell has said so ([`Source::unassign`]): the rebalance callback
//! writes the event down and returns, so whatever is in flight can be settled first.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, ConsumerGroupMetadata,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, Statistics, TopicPartitionList};

use crate::config::Config;
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::trace::TraceParent;
use crate::runtime::kafka::{Partition, classify, client};
use crate::telemetry::happening;

/// What the group did to this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum GroupEvent {
    /// These partitions are ours from now on.
    Assigned(Vec<Partition>),
    /// Our partitions are taken away.
    Revoked,
}

/// What a poll brought.
pub(crate) enum Polled<'a> {
    /// A record.
    Record(Fetched<'a>),
    /// Nothing, or something that was written down.
    Nothing,
    /// An error that may pass.
    Trouble(Trouble),
}

/// An error of the consumer, in the cell's terms.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// The client's name of it.
    pub(crate) code: String,
    /// The client's words.
    pub(crate) error: String,
    /// The broker does not hold the offset to read next.
    pub(crate) offset_gone: bool,
}

/// A record in the client's memory.
pub(crate) struct Fetched<'a>(BorrowedMessage<'a>);

impl Fetched<'_> {
    pub(crate) fn topic(&self) -> &str {
        self.0.topic()
    }

    pub(crate) fn partition(&self) -> i32 {
        self.0.partition()
    }

    pub(crate) fn offset(&self) -> i64 {
        self.0.offset()
    }

    pub(crate) fn arrival_ms(&self) -> Option<i64> {
        self.0.timestamp().to_millis()
    }

    pub(crate) fn trace(&self) -> Option<TraceParent> {
        self.0.headers().and_then(TraceParent::of)
    }

    pub(crate) fn payload(&self) -> Option<&[u8]> {
        self.0.payload()
    }
}

/// What callbacks write down.
#[derive(Debug, Default)]
pub(crate) struct Context {
    events: Mutex<VecDeque<GroupEvent>>,
    closing: AtomicBool,
    commit_failed: AtomicBool,
    tails: Mutex<BTreeMap<(String, i32), i64>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn stats(&self, statistics: Statistics) {
        lock(&self.tails).extend(tails(statistics));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = classify::name(&error);
        happening::KafkaTrouble { attempted: "talk to the brokers", code: &code, error: reason }
            .emit();
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        err: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let event = match err {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                GroupEvent::Assigned(partitions(list))
            }
            _ => GroupEvent::Revoked,
        };
        if self.closing.load(Ordering::Relaxed) {
            // WHY: while the consumer closes nobody asks for events any more, and closing waits for this answer.
            _ = consumer.unassign();
        } else {
            lock(&self.events).push_back(event);
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            self.commit_failed.store(true, Ordering::Relaxed);
            let (code, text) = (classify::name(&error), error.to_string());
            happening::KafkaTrouble { attempted: "commit offsets", code: &code, error: &text }
                .emit();
        }
    }
}

/// The end of each partition that the client knows.
#[expect(clippy::iter_over_hash_type, reason = "the result goes into a sorted map")]
fn tails(statistics: Statistics) -> Vec<((String, i32), i64)> {
    let mut tails = Vec::new();
    for (topic, told) in statistics.topics {
        for (number, partition) in told.partitions {
            // WHY: readers of committed data end at the last stable offset; a negative one is not known yet.
            let known = partition.ls_offset >= 0;
            let end = if known { partition.ls_offset } else { partition.hi_offset };
            tails.push(((topic.clone(), number), end));
        }
    }
    tails.retain(|((_, number), end)| *number >= 0 && *end >= 0);
    tails
}

/// Passes a line of the client on.
pub(crate) fn log_line(level: RDKafkaLogLevel, facility: &str, line: &str) {
    let grave = matches!(
        level,
        RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning
    );
    happening::ClientLine { facility, line, grave }.emit();
}

fn partitions(list: &TopicPartitionList) -> Vec<Partition> {
    let mut topics: Vec<Arc<str>> = Vec::new();
    let mut found = Vec::new();
    for element in list.elements() {
        let known = topics.iter().find(|topic| &***topic == element.topic()).map(Arc::clone);
        let topic = known.unwrap_or_else(|| element.topic().into());
        if !topics.contains(&topic) {
            topics.push(Arc::clone(&topic));
        }
        found.push(Partition { topic, number: element.partition() });
    }
    found.sort();
    found
}

/// The consumer of a cell. Leaves the group when it is dropped.
pub(crate) struct Source {
    consumer: BaseConsumer<Context>,
}

impl Source {
    /// Joins the group for these topics.
    pub(crate) fn open(config: &Config, topics: &[String]) -> Result<Self, RunError> {
        let refused = |error: KafkaError| RunError::Settings { reason: error.to_string() };
        let consumer: BaseConsumer<Context> =
            client::consumer(config).create_with_context(Context::default()).map_err(refused)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names).map_err(refused)?;
        Ok(Self { consumer })
    }

    /// Takes the next record, waiting up to `timeout`; serves callbacks on the way.
    pub(crate) fn poll(&self, timeout: Duration) -> Result<Polled<'_>, RunError> {
        match self.consumer.poll(timeout) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(Polled::Nothing),
            Some(Ok(message)) => Ok(Polled::Record(Fetched(message))),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let told = self.consumer.client().fatal_error();
                let reason = told.map_or_else(|| format!("{code}"), |(_, reason)| reason);
                Err(RunError::Fatal { reason, stage: Stage::Receive })
            }
            Some(Err(error)) => Ok(Polled::Trouble(Trouble {
                code: classify::name(&error),
                error: error.to_string(),
                offset_gone: classify::code(&error) == Some(RDKafkaErrorCode::AutoOffsetReset),
            })),
        }
    }

    /// The next thing that the group did.
    pub(crate) fn take_event(&self) -> Option<GroupEvent> {
        lock(&self.consumer.context().events).pop_front()
    }

    /// Whether the group did something that nobody has acted on yet.
    pub(crate) fn has_event(&self) -> bool {
        !lock(&self.consumer.context().events).is_empty()
    }

    /// Whether our partitions are somebody else's already.
    pub(crate) fn is_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    /// The committed offsets of the partitions, in their order.
    pub(crate) fn committed(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> KafkaResult<Vec<Option<i64>>> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.number);
        }
        let answer = self.consumer.committed_offsets(list, timeout)?;
        let offset = |partition: &Partition| {
            let Some(element) = answer.find_partition(&partition.topic, partition.number) else {
                return Ok(None);
            };
            element.error()?;
            match element.offset() {
                Offset::Offset(offset) => Ok(Some(offset)),
                _ => Ok(None),
            }
        };
        partitions.iter().map(offset).collect()
    }

    /// Starts to fetch, each partition from its offset or from the oldest record.
    pub(crate) fn assign(&self, starts: &[(Partition, Option<i64>)]) -> Result<(), RunError> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for (partition, start) in starts {
            let offset = start.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&partition.topic, partition.number, offset).map_err(fatal)?;
        }
        self.consumer.assign(&list).map_err(fatal)
    }

    /// Gives all partitions back.
    pub(crate) fn unassign(&self) -> Result<(), RunError> {
        self.consumer.unassign().map_err(fatal)
    }

    /// Stops fetching; polling goes on.
    pub(crate) fn pause(&self) -> Result<(), RunError> {
        let assigned = self.consumer.assignment().map_err(fatal)?;
        self.consumer.pause(&assigned).map_err(fatal)
    }

    /// Goes on fetching.
    pub(crate) fn resume(&self) -> Result<(), RunError> {
        let assigned = self.consumer.assignment().map_err(fatal)?;
        self.consumer.resume(&assigned).map_err(fatal)
    }

    /// Commits offsets; waits for the broker's answer when `wait` is set.
    pub(crate) fn commit(&self, offsets: &[(Partition, i64)], wait: bool) -> KafkaResult<()> {
        let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
        self.consumer.commit(&offset_list(offsets)?, mode)
    }

    /// Whether a commit without waiting has failed since the last call.
    pub(crate) fn take_commit_failure(&self) -> bool {
        self.consumer.context().commit_failed.swap(false, Ordering::Relaxed)
    }

    /// Who we are in the group, for offsets inside a Kafka transaction.
    pub(crate) fn group_metadata(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    /// The end of a partition as it was last heard.
    pub(crate) fn tail(&self, partition: &Partition) -> Option<i64> {
        let key = (partition.topic.to_string(), partition.number);
        lock(&self.consumer.context().tails).get(&key).copied()
    }

    /// The oldest offset of a partition and one past its newest.
    pub(crate) fn bounds(
        &self,
        partition: &Partition,
        timeout: Duration,
    ) -> KafkaResult<(i64, i64)> {
        self.consumer.fetch_watermarks(&partition.topic, partition.number, timeout)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Relaxed);
    }
}

/// A list of offsets in the client's form.
pub(crate) fn offset_list(offsets: &[(Partition, i64)]) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(&partition.topic, partition.number, Offset::Offset(*offset))?;
    }
    Ok(list)
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn fatal(error: KafkaError) -> RunError {
    RunError::Fatal { reason: error.to_string(), stage: Stage::Receive }
}
