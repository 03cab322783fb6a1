//! A reader beside every consumer group: sees all records of some topics from their oldest one, and counts gaps.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::source::log_line;
use crate::runtime::kafka::{classify, client};
use crate::telemetry::happening;

#[derive(Debug, Default)]
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }
}

impl ConsumerContext for Quiet {}

/// One record that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Topic.
    pub topic: String,
    /// The record's bytes.
    pub payload: Vec<u8>,
}

/// See the module.
pub struct Watch {
    consumer: BaseConsumer<Quiet>,
    next: BTreeMap<(String, i32), i64>,
    lost: u64,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Watch({} partitions, {} lost)", self.next.len(), self.lost)
    }
}

impl Watch {
    /// Reads these topics from their oldest records on.
    ///
    /// # Errors
    /// A setting is not taken, or the brokers do not answer within `limit`.
    pub fn open(config: &Config, topics: &[&str], limit: Duration) -> Result<Self, RunError> {
        let consumer: BaseConsumer<Quiet> = client::watcher(config)
            .create_with_context(Quiet)
            .map_err(|error| RunError::Settings { reason: error.to_string() })?;
        let mut next = BTreeMap::new();
        let mut list = TopicPartitionList::new();
        for topic in topics {
            let answer = consumer
                .fetch_metadata(Some(topic), limit)
                .map_err(|error| classify::fatal(&error))?;
            let found = answer.topics().iter().find(|found| found.name() == *topic);
            for partition in found.map_or(&[][..], |found| found.partitions()) {
                list.add_partition_offset(topic, partition.id(), Offset::Beginning)
                    .map_err(|error| classify::fatal(&error))?;
                next.insert(((*topic).to_owned(), partition.id()), 0);
            }
        }
        consumer.assign(&list).map_err(|error| classify::fatal(&error))?;
        Ok(Self { consumer, next, lost: 0 })
    }

    /// The next record, waiting up to `wait`.
    ///
    /// # Errors
    /// The client cannot go on; what passes is written to the log.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Seen>, RunError> {
        let message = match self.consumer.poll(wait) {
            None => return Ok(None),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                return Err(classify::fatal(&KafkaError::MessageConsumptionFatal(code)));
            }
            Some(Err(error)) => {
                let (code, text) = (classify::name(&error), error.to_string());
                happening::KafkaTrouble { attempted: "read outputs", code: &code, error: &text }
                    .emit();
                return Ok(None);
            }
            Some(Ok(message)) => message,
        };
        let (topic, offset) = (message.topic().to_owned(), message.offset());
        let payload = message.payload().unwrap_or_default().to_vec();
        let next = self.next.entry((topic.clone(), message.partition())).or_insert(offset);
        self.lost += u64::try_from(offset.saturating_sub(*next)).unwrap_or(0);
        *next = offset.saturating_add(1);
        Ok(Some(Seen { topic, payload }))
    }

    /// Records that the brokers hold and that were not seen yet.
    ///
    /// # Errors
    /// The brokers do not answer within `limit`.
    pub fn behind(&self, limit: Duration) -> Result<u64, RunError> {
        let mut behind = 0;
        for ((topic, partition), next) in &self.next {
            let (_, high) = self
                .consumer
                .fetch_watermarks(topic, *partition, limit)
                .map_err(|error| classify::fatal(&error))?;
            behind += u64::try_from(high.saturating_sub(*next)).unwrap_or(0);
        }
        Ok(behind)
    }

    /// Records that the brokers dropped before they were seen.
    pub fn lost(&self) -> u64 {
        self.lost
    }
}
