//! The producer of a cell: sends outputs with their headers and writes acknowledgements down.

use std::sync::{Mutex, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedHeaders, DeliveryResult, Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::config::{Config, Topics};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::consumer::log_line;
use crate::runtime::kafka::trace::{TRACEPARENT, TraceParent};
use crate::runtime::kafka::{Partition, classify, client};
use crate::runtime::port::{Output, OutputTopic};
use crate::telemetry::happening;

/// The client type of this crate's producers.
pub(crate) type Client = BaseProducer<Reports>;

/// An output with the record that it answers.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// What is written.
    pub(crate) output: Output,
    /// The partition of the record.
    pub(crate) partition: Partition,
    /// The offset of the record.
    pub(crate) offset: i64,
    /// The trace of the record.
    pub(crate) trace: Option<TraceParent>,
}

impl Message {
    /// Bytes of key and body.
    pub(crate) fn size(&self) -> u64 {
        (self.output.key.len() + self.output.body.len()) as u64
    }

    /// The headers of an output: where it comes from, what it is, and the trace of its record if that has one.
    pub(crate) fn headers(&self) -> OwnedHeaders {
        let (partition, offset) = (self.partition.number.to_string(), self.offset.to_string());
        let pairs = [
            ("source_topic", &*self.partition.topic),
            ("source_partition", partition.as_str()),
            ("source_offset", offset.as_str()),
            ("schema", self.output.topic.schema()),
            ("engine_version", env!("CARGO_PKG_VERSION")),
        ];
        let empty = OwnedHeaders::new_with_capacity(pairs.len() + 1);
        let headers = pairs.into_iter().fold(empty, |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        match &self.trace {
            Some(trace) => headers.insert(Header { key: TRACEPARENT, value: Some(trace.bytes()) }),
            None => headers,
        }
    }
}

/// What became of one message.
#[derive(Debug)]
pub(crate) struct Report {
    /// The number under which it was sent.
    pub(crate) token: usize,
    /// Bytes of key and body.
    pub(crate) size: u64,
    /// Why it was not taken, with all that is needed to send it again.
    pub(crate) failure: Option<Box<Failure>>,
}

/// A message that the broker did not take.
#[derive(Debug)]
pub(crate) struct Failure {
    /// Why.
    pub(crate) code: RDKafkaErrorCode,
    /// The message.
    pub(crate) wire: Wire,
}

/// A message as it goes over the wire.
#[derive(Debug)]
pub(crate) struct Wire {
    /// Topic.
    pub(crate) topic: String,
    /// Key.
    pub(crate) key: Vec<u8>,
    /// Body.
    pub(crate) body: Vec<u8>,
    /// Headers.
    pub(crate) headers: OwnedHeaders,
    /// The number under which it is sent.
    pub(crate) token: usize,
}

/// What the client's callbacks write down.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    reports: Mutex<Vec<Report>>,
}

impl Reports {
    /// Takes what was written down.
    pub(crate) fn take(&self, into: &mut Vec<Report>) {
        into.append(&mut self.reports.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = classify::name(&error);
        happening::KafkaTrouble { attempted: "write outputs", code: &code, error: reason }.emit();
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, token: usize) {
        let (message, error) = match result {
            Ok(message) => (message, None),
            Err((error, message)) => (message, Some(error)),
        };
        let size = (message.key_len() + message.payload_len()) as u64;
        let failure = error.map(|error| {
            let wire = Wire {
                topic: message.topic().to_owned(),
                key: message.key().unwrap_or_default().to_vec(),
                body: message.payload().unwrap_or_default().to_vec(),
                headers: message.headers().map_or_else(OwnedHeaders::new, BorrowedHeaders::detach),
                token,
            };
            Box::new(Failure {
                code: classify::code(error).unwrap_or(RDKafkaErrorCode::Fail),
                wire,
            })
        });
        let report = Report { token, size, failure };
        self.reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
    }
}

/// Makes a producer.
pub(crate) fn open(config: &Config) -> Result<Client, RunError> {
    client::producer(config)
        .create_with_context(Reports::default())
        .map_err(|error| RunError::Settings { reason: error.to_string() })
}

/// The topic's name.
pub(crate) fn topic_name(topics: &Topics, topic: OutputTopic) -> &str {
    match topic {
        OutputTopic::Decisions => &topics.decisions,
        OutputTopic::Alerts => &topics.alerts,
        OutputTopic::Holds => &topics.holds,
        OutputTopic::Audit => &topics.audit,
        OutputTopic::DeadLetter => &topics.dead_letter,
    }
}

/// Hands a message to the client. Gives the headers back when its queue is full.
pub(crate) fn send(
    client: &Client,
    topic: &str,
    output: (&[u8], &[u8]),
    headers: OwnedHeaders,
    token: usize,
) -> Result<Option<OwnedHeaders>, RunError> {
    let record =
        BaseRecord::with_opaque_to(topic, token).key(output.0).payload(output.1).headers(headers);
    match client.send(record) {
        Ok(()) => Ok(None),
        Err((error, record)) => match classify::code(&error) {
            Some(RDKafkaErrorCode::QueueFull) => Ok(record.headers),
            Some(code) if classify::is_too_large(code) => {
                Err(RunError::TooLarge { topic: topic.to_owned() })
            }
            _ => Err(RunError::Fatal { reason: error.to_string(), stage: Stage::Emit }),
        },
    }
}

/// The client's fatal error, if it has one.
pub(crate) fn fatal(client: &Client) -> Option<(RDKafkaErrorCode, String)> {
    client.client().fatal_error()
}
