//! The producer of input records: no part of a transaction, because what it writes is input.

use core::fmt;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::DeliveryResult;
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::source::log_line;
use crate::runtime::kafka::{classify, client};
use crate::runtime::log::{Partition, Scribe};
use crate::telemetry::happening;

/// What was attempted, for the log.
const ATTEMPTED: &str = "write how late it is";

/// Tells the log what does not arrive.
struct Complaints;

impl ClientContext for Complaints {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = classify::name(&error);
        happening::KafkaTrouble { attempted: ATTEMPTED, code: &code, error: reason }.emit();
    }
}

impl ProducerContext for Complaints {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            complain(error);
        }
    }
}

fn complain(error: &KafkaError) {
    let (code, error) = (classify::name(error), error.to_string());
    happening::KafkaTrouble { attempted: ATTEMPTED, code: &code, error: &error }.emit();
}

/// See the module.
pub(crate) struct Announcer(BaseProducer<Complaints>);

impl fmt::Debug for Announcer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Announcer")
    }
}

impl Announcer {
    /// Connects when something is written.
    pub(crate) fn open(config: &Config) -> Result<Self, RunError> {
        let made = client::feeder(config).create_with_context(Complaints);
        made.map(Self).map_err(|error| RunError::Settings { reason: error.to_string() })
    }
}

impl Scribe for Announcer {
    fn write(&mut self, partition: &Partition, body: &[u8]) {
        let record: BaseRecord<'_, (), [u8]> = BaseRecord::to(&partition.topic);
        let record = record.partition(partition.number).payload(body);
        if let Err((error, _)) = self.0.send(record) {
            complain(&error);
        }
    }

    fn serve(&mut self) {
        self.0.poll(Duration::ZERO);
    }
}
