//! The consumer of a cell: polls records, writes down rebalances for the cell to act on, commits on request.
//!
//! INVARIANT: partitions are given back only after the cell has said so (`Source::unassign`): the rebalance callback
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
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, Statistics, TopicPartitionList, statistics};

use crate::config::Config;
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::{classify, client};
use crate::runtime::log::{
    Fetched, GroupEvent, LogError, Partition, Polled, Position, Source, Trouble,
};
use crate::runtime::port::Input;
use crate::telemetry::happening;

/// A record in the client's memory.
pub(crate) struct Message<'a>(pub(crate) BorrowedMessage<'a>);

impl Fetched for Message<'_> {
    fn input(&self) -> Input<'_> {
        Input {
            topic: self.0.topic(),
            partition: self.0.partition(),
            offset: self.0.offset(),
            arrival_ms: self.0.timestamp().to_millis(),
            payload: self.0.payload(),
        }
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        let headers = self.0.headers()?;
        headers.iter().filter(|header| header.key == name).last()?.value
    }
}

/// An error that may pass, in the cell's terms.
pub(crate) fn trouble(error: &KafkaError) -> Trouble {
    Trouble {
        code: classify::name(error),
        error: error.to_string(),
        offset_gone: classify::code(error) == Some(RDKafkaErrorCode::AutoOffsetReset),
    }
}

/// What callbacks write down.
#[derive(Debug, Default)]
pub(crate) struct Context {
    events: Mutex<VecDeque<GroupEvent>>,
    closing: AtomicBool,
    commit_failed: AtomicBool,
    acknowledged: Mutex<BTreeMap<(String, i32), i64>>,
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
        // WHY: the client tells nobody that a commit that was not waited for succeeded, but it counts them.
        lock(&self.acknowledged).extend(ends(&statistics, |partition| partition.committed_offset));
        // WHY: readers of committed data end at the last stable offset; a negative one is not known yet.
        let tail = |partition: &statistics::Partition| {
            if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset }
        };
        lock(&self.tails).extend(ends(&statistics, tail));
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

    fn commit_callback(&self, result: KafkaResult<()>, offsets: &TopicPartitionList) {
        if result.is_ok() {
            let mut acknowledged = lock(&self.acknowledged);
            for element in offsets.elements() {
                if let (Ok(()), Offset::Offset(offset)) = (element.error(), element.offset()) {
                    let place = (element.topic().to_owned(), element.partition());
                    acknowledged.insert(place, offset);
                }
            }
        }
        if let Err(error) = result {
            self.commit_failed.store(true, Ordering::Relaxed);
            let (code, text) = (classify::name(&error), error.to_string());
            happening::KafkaTrouble { attempted: "commit offsets", code: &code, error: &text }
                .emit();
        }
    }
}

/// An offset of each partition, as far as the client knows it.
#[expect(clippy::iter_over_hash_type, reason = "the result goes into a sorted map")]
fn ends(
    statistics: &Statistics,
    pick: impl Fn(&statistics::Partition) -> i64,
) -> Vec<((String, i32), i64)> {
    let mut ends = Vec::new();
    for (topic, told) in &statistics.topics {
        for (number, partition) in &told.partitions {
            ends.push(((topic.clone(), *number), pick(partition)));
        }
    }
    ends.retain(|((_, number), end)| *number >= 0 && *end >= 0);
    ends
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

/// The member of the group. Leaves it when it is dropped.
pub(crate) struct Member {
    consumer: BaseConsumer<Context>,
}

impl Member {
    /// Joins the group for these topics.
    pub(crate) fn open(config: &Config, topics: &[String]) -> Result<Self, RunError> {
        let refused = |error: KafkaError| RunError::Settings { reason: error.to_string() };
        let consumer: BaseConsumer<Context> =
            client::consumer(config).create_with_context(Context::default()).map_err(refused)?;
        let names: Vec<&str> = topics.iter().map(String::as_str).collect();
        // WHY: who only asks joins no group.
        if !names.is_empty() {
            consumer.subscribe(&names).map_err(refused)?;
        }
        Ok(Self { consumer })
    }
}

impl Source for Member {
    type Membership = ConsumerGroupMetadata;
    type Record<'a> = Message<'a>;

    fn poll(&self, wait: Duration) -> Result<Polled<Self::Record<'_>>, RunError> {
        match self.consumer.poll(wait) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(Polled::Nothing),
            Some(Ok(message)) => Ok(Polled::Record(Message(message))),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                let told = self.consumer.client().fatal_error();
                let reason = told.map_or_else(|| format!("{code}"), |(_, reason)| reason);
                Err(RunError::Fatal { reason, stage: Stage::Receive })
            }
            Some(Err(error)) => Ok(Polled::Trouble(trouble(&error))),
        }
    }

    fn take_event(&self) -> Option<GroupEvent> {
        lock(&self.consumer.context().events).pop_front()
    }

    fn has_event(&self) -> bool {
        !lock(&self.consumer.context().events).is_empty()
    }

    fn is_lost(&self) -> bool {
        self.consumer.assignment_lost()
    }

    fn committed(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<Option<Position>>, LogError> {
        let mut list = TopicPartitionList::with_capacity(partitions.len());
        for partition in partitions {
            list.add_partition(&partition.topic, partition.number);
        }
        let answer =
            self.consumer.committed_offsets(list, timeout).map_err(|e| classify::error(&e))?;
        let position = |partition: &Partition| {
            let Some(element) = answer.find_partition(&partition.topic, partition.number) else {
                return Ok(None);
            };
            element.error().map_err(|error| classify::error(&error))?;
            match element.offset() {
                Offset::Offset(offset) => {
                    Ok(Some(Position { offset, note: element.metadata().to_owned() }))
                }
                _ => Ok(None),
            }
        };
        partitions.iter().map(position).collect()
    }

    fn assign(&self, starts: &[(Partition, Option<i64>)]) -> Result<(), RunError> {
        let mut list = TopicPartitionList::with_capacity(starts.len());
        for (partition, start) in starts {
            let offset = start.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&partition.topic, partition.number, offset)
                .map_err(|error| classify::fatal(&error))?;
        }
        self.consumer.assign(&list).map_err(|error| classify::fatal(&error))
    }

    fn unassign(&self) -> Result<(), RunError> {
        self.consumer.unassign().map_err(|error| classify::fatal(&error))
    }

    fn pause(&self) -> Result<(), RunError> {
        let assigned = self.consumer.assignment().map_err(|error| classify::fatal(&error))?;
        self.consumer.pause(&assigned).map_err(|error| classify::fatal(&error))
    }

    fn resume(&self) -> Result<(), RunError> {
        let assigned = self.consumer.assignment().map_err(|error| classify::fatal(&error))?;
        self.consumer.resume(&assigned).map_err(|error| classify::fatal(&error))
    }

    fn commit(&self, positions: &[(Partition, Position)], wait: bool) -> Result<(), LogError> {
        let mode = if wait { CommitMode::Sync } else { CommitMode::Async };
        let list = position_list(positions).map_err(|error| classify::error(&error))?;
        self.consumer.commit(&list, mode).map_err(|error| classify::error(&error))
    }

    fn take_commit_failure(&self) -> bool {
        self.consumer.context().commit_failed.swap(false, Ordering::Relaxed)
    }

    fn acknowledged(&self, partition: &Partition) -> Option<i64> {
        let place = (partition.topic.to_string(), partition.number);
        lock(&self.consumer.context().acknowledged).get(&place).copied()
    }

    fn membership(&self) -> Option<ConsumerGroupMetadata> {
        self.consumer.group_metadata()
    }

    fn tail(&self, partition: &Partition) -> Option<i64> {
        let key = (partition.topic.to_string(), partition.number);
        lock(&self.consumer.context().tails).get(&key).copied()
    }

    fn n_partitions(&self, topic: &str, timeout: Duration) -> Result<u32, LogError> {
        let client = self.consumer.client();
        let metadata =
            client.fetch_metadata(Some(topic), timeout).map_err(|error| classify::error(&error))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let n = found.map_or(0, |found| found.partitions().len());
        Ok(u32::try_from(n).unwrap_or(u32::MAX))
    }

    fn bounds(&self, partition: &Partition, timeout: Duration) -> Result<(i64, i64), LogError> {
        self.consumer
            .fetch_watermarks(&partition.topic, partition.number, timeout)
            .map_err(|error| classify::error(&error))
    }

    fn offsets_at(
        &self,
        partitions: &[Partition],
        time_ms: i64,
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, LogError> {
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for Partition { topic, number } in partitions {
            // WHY: the client takes the time where an offset stands; negative ones have meanings of their own.
            asked
                .add_partition_offset(topic, *number, Offset::Offset(time_ms.max(0)))
                .map_err(|error| classify::error(&error))?;
        }
        let answer = self
            .consumer
            .offsets_for_times(asked, timeout)
            .map_err(|error| classify::error(&error))?;
        let offset = |Partition { topic, number }: &Partition| {
            let Some(element) = answer.find_partition(topic, *number) else { return Ok(None) };
            element.error().map_err(|error| classify::error(&error))?;
            Ok(element.offset().to_raw().filter(|offset| *offset >= 0))
        };
        partitions.iter().map(offset).collect()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.consumer.context().closing.store(true, Ordering::Relaxed);
    }
}

/// A list of positions in the client's form.
pub(crate) fn position_list(
    positions: &[(Partition, Position)],
) -> KafkaResult<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(positions.len());
    for (Partition { topic, number }, Position { offset, note }) in positions {
        list.add_partition_offset(topic, *number, Offset::Offset(*offset))?;
        if !note.is_empty()
            && let Some(mut element) = list.find_partition(topic, *number)
        {
            element.set_metadata(note);
        }
    }
    Ok(list)
}
