//! A producer of records that are not ours: what `generate` and the demonstration send into the input topics.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::Config;
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::source::log_line;
use crate::runtime::kafka::{classify, client, topics};
use crate::runtime::stop::Stop;
use crate::telemetry::happening;

/// How long the first answer of the brokers may take.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// How long one wait for room in the client's queue lasts.
const ROOM: Duration = Duration::from_millis(20);

/// What the client's callbacks write down.
#[derive(Debug, Default)]
struct Delivered {
    records: AtomicU64,
    failure: Mutex<Option<String>>,
}

impl ClientContext for Delivered {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = classify::name(&error);
        happening::KafkaTrouble { attempted: "send records", code: &code, error: reason }.emit();
    }
}

impl ProducerContext for Delivered {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => _ = self.records.fetch_add(1, Ordering::Relaxed),
            Err((error, _)) => {
                let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// See the module.
pub struct Feed {
    producer: BaseProducer<Delivered>,
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Feed({} delivered)", self.delivered())
    }
}

impl Feed {
    /// Checks that the topics exist and makes the producer.
    ///
    /// # Errors
    /// No broker answers, a topic is missing or refused, or a setting is not taken.
    pub fn open(config: &Config, names: &[&str], stop: &Stop) -> Result<Self, RunError> {
        topics::check_each(config, names, FIRST_ANSWER, stop)?;
        let producer = client::feeder(config)
            .create_with_context(Delivered::default())
            .map_err(|error| RunError::Settings { reason: error.to_string() })?;
        Ok(Self { producer })
    }

    /// Sends one record, to any partition where its key is empty; waits while the client has no room.
    ///
    /// # Errors
    /// A record could not be delivered, this one or one before.
    pub fn send(&self, topic: &str, key: &[u8], body: &[u8]) -> Result<(), RunError> {
        let mut record = BaseRecord::to(topic).payload(body);
        if !key.is_empty() {
            record = record.key(key);
        }
        loop {
            self.serve(Duration::ZERO)?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    if classify::code(&error) != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(failed(error.to_string()));
                    }
                    record = back;
                    self.serve(ROOM)?;
                }
            }
        }
    }

    /// Sends one record without a key to a partition.
    ///
    /// # Errors
    /// As [`Self::send`].
    pub fn send_to(&self, (topic, partition): (&str, i32), body: &[u8]) -> Result<(), RunError> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic).partition(partition).payload(body);
        loop {
            self.serve(Duration::ZERO)?;
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((error, back)) => {
                    if classify::code(&error) != Some(RDKafkaErrorCode::QueueFull) {
                        return Err(failed(error.to_string()));
                    }
                    record = back;
                    self.serve(ROOM)?;
                }
            }
        }
    }

    /// Waits until everything that was sent so far is delivered.
    ///
    /// # Errors
    /// Something is not, within `limit`.
    pub fn flush(&self, limit: Duration) -> Result<(), RunError> {
        let deadline = Instant::now() + limit;
        while self.producer.in_flight_count() > 0 {
            self.serve(ROOM)?;
            if Instant::now() >= deadline {
                let left = self.producer.in_flight_count();
                return Err(failed(format!("{left} records were not taken within {limit:?}")));
            }
        }
        self.serve(Duration::ZERO)
    }

    /// Lets the client report deliveries, up to `wait`.
    ///
    /// # Errors
    /// A record could not be delivered.
    pub fn serve(&self, wait: Duration) -> Result<(), RunError> {
        self.producer.poll(wait);
        let failure = &self.producer.context().failure;
        match failure.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            Some(reason) => Err(failed(reason)),
            None => Ok(()),
        }
    }

    /// Records that the brokers took.
    pub fn delivered(&self) -> u64 {
        self.producer.context().records.load(Ordering::Relaxed)
    }

    /// Waits until everything that was sent is delivered.
    ///
    /// # Errors
    /// Something is not, within `limit`.
    pub fn finish(self, limit: Duration) -> Result<u64, RunError> {
        self.flush(limit)?;
        Ok(self.delivered())
    }
}

fn failed(reason: String) -> RunError {
    RunError::Fatal { reason, stage: Stage::Emit }
}
