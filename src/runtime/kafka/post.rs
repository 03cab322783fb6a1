//! A producer for whoever writes one record and wants to know where it came to lie: the HTTP service.
//!
//! It is no part of any transaction, because what it writes is input. Each record tells its own fate; a record that the
//! brokers do not take within [`PATIENCE`] has failed.

use core::fmt;
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ProducerContext, ThreadedProducer};

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::follow::Places;
use crate::runtime::kafka::source::log_line;
use crate::runtime::kafka::{classify, client};
use crate::runtime::log::Partition;
use crate::telemetry::happening;

/// How long the brokers may take for one record.
const PATIENCE: Duration = Duration::from_secs(10);

/// Largest record where nobody sets `message.max.bytes`: the client's own default.
const MAX_BYTES: usize = 1_000_000;

/// Most records that wait for the brokers.
const MOST_WAITING: u32 = 10_000;

/// What is told of a record: where it lies and at which offset, or why it does not.
pub type Fate = Result<(Partition, i64), Unwritten>;

/// Why a record was not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// It is larger than the client or the topic takes.
    TooLarge,
    /// In the client's words.
    Failed(String),
}

impl Unwritten {
    fn of(error: &KafkaError) -> Self {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize) => {
                Self::TooLarge
            }
            _ => Self::Failed(error.to_string()),
        }
    }
}

type Told = Box<dyn FnOnce(Fate) + Send + Sync>;

/// A record to write.
#[derive(Clone, Debug, Default)]
pub struct Letter {
    /// Topic.
    pub topic: String,
    /// The partition, where it is known; else the key chooses as the Java client does.
    pub partition: Option<i32>,
    /// Key.
    pub key: Option<Vec<u8>>,
    /// The bytes.
    pub body: Vec<u8>,
    /// Its `traceparent`: outputs that it brings about carry it, too.
    pub traceparent: String,
}

#[derive(Debug)]
struct Fates;

impl ClientContext for Fates {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = classify::name(&error);
        happening::KafkaTrouble { attempted: "write what was asked", code: &code, error: reason }
            .emit();
    }
}

impl ProducerContext for Fates {
    type DeliveryOpaque = Box<Told>;

    fn delivery(&self, result: &DeliveryResult<'_>, told: Box<Told>) {
        told(match result {
            Ok(message) => {
                let (topic, number) = (message.topic().into(), message.partition());
                Ok((Partition { topic, number }, message.offset()))
            }
            Err((error, _)) => Err(Unwritten::of(error)),
        });
    }
}

/// See the module.
pub struct Post {
    producer: ThreadedProducer<Fates>,
    max_bytes: usize,
}

impl fmt::Debug for Post {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Post")
    }
}

impl Post {
    /// Makes the producer; it connects when something is written.
    ///
    /// # Errors
    /// A setting is not taken.
    pub fn open(config: &Config) -> Result<Self, RunError> {
        let mut client = client::feeder(config);
        client
            .set("message.timeout.ms", PATIENCE.as_millis().to_string())
            .set("queue.buffering.max.messages", MOST_WAITING.to_string());
        let max_bytes = client.get("message.max.bytes").and_then(|text| text.parse().ok());
        let producer = client
            .create_with_context(Fates)
            .map_err(|error| RunError::Settings { reason: error.to_string() })?;
        Ok(Self { producer, max_bytes: max_bytes.unwrap_or(MAX_BYTES) })
    }

    /// Writes a record. `told` is called once, on a thread of the client or on this one.
    pub fn send(&self, letter: &Letter, told: impl FnOnce(Fate) + Send + Sync + 'static) {
        let trace = Header { key: "traceparent", value: Some(&letter.traceparent) };
        let told: Box<Told> = Box::new(Box::new(told));
        let mut record: BaseRecord<'_, [u8], [u8], Box<Told>> =
            BaseRecord::with_opaque_to(&letter.topic, told)
                .payload(&letter.body[..])
                .headers(OwnedHeaders::new().insert(trace));
        record.key = letter.key.as_deref();
        record.partition = letter.partition;
        if let Err((error, record)) = self.producer.send(record) {
            (record.delivery_opaque)(Err(Unwritten::of(&error)));
        }
    }

    /// The largest record that the client takes, key and headers included.
    pub fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Where partitions of a topic end now; 0 of one that holds nothing. None where the brokers do not say within `limit`.
    pub fn ends(&self, topic: &str, numbers: &[i32], limit: Duration) -> Option<Places> {
        let until = Instant::now() + limit;
        let end = |number: &i32| {
            let left = until.saturating_duration_since(Instant::now());
            let watermarks = self.producer.client().fetch_watermarks(topic, *number, left);
            let (low, high) = watermarks.ok()?;
            Some(((topic.to_owned(), *number), if low == high { 0 } else { high }))
        };
        numbers.iter().map(end).collect()
    }

    /// How many partitions a topic has; none where the brokers do not say within `limit`.
    pub fn partitions(&self, topic: &str, limit: Duration) -> Option<usize> {
        let metadata = self.producer.client().fetch_metadata(Some(topic), limit).ok()?;
        let found = metadata.topics().iter().find(|found| found.name() == topic)?;
        Some(found.partitions().len()).filter(|n| *n > 0)
    }
}
