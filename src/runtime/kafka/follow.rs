//! A reader that goes on where somebody else remembers that it stood: assigned by hand, member of no group, committed data
//! only. It follows the output topics for the read model of the HTTP service.

use core::fmt;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::metadata::MetadataTopic;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::source::log_line;
use crate::runtime::kafka::{classify, client};
use crate::telemetry::happening;

/// How often it is looked for partitions that came later.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How long the brokers may take to say which partitions there are.
const ANSWER: Duration = Duration::from_secs(5);

/// From where on a partition is read: topic and number to the next offset.
pub type Places = BTreeMap<(String, i32), i64>;

#[derive(Debug, Default)]
struct Quiet;

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }
}

impl ConsumerContext for Quiet {}

/// A record of an output topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Followed {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The log's own time of it, ms since 1970.
    pub logged_ms: i64,
    /// Key.
    pub key: Vec<u8>,
    /// The bytes.
    pub body: Vec<u8>,
    /// The `traceparent` of the record that brought it about.
    pub traceparent: Option<String>,
    /// The partition of the record that brought it about.
    pub source_partition: Option<i32>,
    /// The topic of the record that brought it about.
    pub source_topic: Option<String>,
}

/// See the module.
pub struct Follower {
    consumer: BaseConsumer<Quiet>,
    topics: Vec<String>,
    places: Places,
    looked: Instant,
}

impl fmt::Debug for Follower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Follower({} partitions)", self.places.len())
    }
}

impl Follower {
    /// Reads these topics, each partition from its place on, and from its oldest record where none is known or its place is
    /// gone.
    ///
    /// # Errors
    /// A setting is not taken, or the brokers do not answer.
    pub fn open(config: &Config, topics: &[&str], known: &Places) -> Result<Self, RunError> {
        let consumer: BaseConsumer<Quiet> = client::watcher(config)
            .create_with_context(Quiet)
            .map_err(|error| RunError::Settings { reason: error.to_string() })?;
        let topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let mut follower = Self { consumer, topics, places: Places::new(), looked: Instant::now() };
        let found = follower.partitions()?;
        follower.places = found
            .into_iter()
            .map(|place| {
                let next = known.get(&place).copied().unwrap_or(0);
                (place, next)
            })
            .collect();
        follower.assign()?;
        Ok(follower)
    }

    /// A partition that is shorter than the place from which it would be read: its topic has been made anew.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn shorter(&self) -> Result<Option<(String, i32)>, RunError> {
        for ((topic, partition), next) in self.places.iter().filter(|(_, next)| **next > 0) {
            let (_, high) = self
                .consumer
                .fetch_watermarks(topic, *partition, ANSWER)
                .map_err(|error| classify::fatal(&error))?;
            if high < *next {
                return Ok(Some((topic.clone(), *partition)));
            }
        }
        Ok(None)
    }

    /// Up to where was read: the offset behind the last record that was given out, and behind the markers of Kafka transactions
    /// that follow it.
    pub fn read_to(&self) -> Places {
        let mut places = self.places.clone();
        let Ok(position) = self.consumer.position() else { return places };
        for element in position.elements() {
            if let Offset::Offset(next) = element.offset() {
                let place = (element.topic().to_owned(), element.partition());
                let known = places.entry(place).or_insert(next);
                *known = next.max(*known);
            }
        }
        places
    }

    /// Where the topics end now; 0 of a partition that holds nothing.
    ///
    /// # Errors
    /// The brokers do not answer.
    pub fn ends(&self) -> Result<Places, RunError> {
        let end = |place: &(String, i32)| {
            let (low, high) = self
                .consumer
                .fetch_watermarks(&place.0, place.1, ANSWER)
                .map_err(|error| classify::fatal(&error))?;
            Ok((place.clone(), if low == high { 0 } else { high }))
        };
        self.places.keys().map(end).collect()
    }

    /// The next record, waiting up to `wait`.
    ///
    /// # Errors
    /// The client cannot go on; what passes is written to the log.
    pub fn poll(&mut self, wait: Duration) -> Result<Option<Followed>, RunError> {
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            self.look()?;
        }
        match self.consumer.poll(wait) {
            None => Ok(None),
            Some(Ok(message)) => {
                let record = followed(&message);
                let place = (record.topic.clone(), record.partition);
                self.places.insert(place, record.offset.saturating_add(1));
                Ok(Some(record))
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => {
                Err(classify::fatal(&KafkaError::MessageConsumptionFatal(code)))
            }
            Some(Err(error)) => {
                let (code, text) = (classify::name(&error), error.to_string());
                happening::KafkaTrouble { attempted: "follow outputs", code: &code, error: &text }
                    .emit();
                Ok(None)
            }
        }
    }

    /// Takes up partitions that came later.
    fn look(&mut self) -> Result<(), RunError> {
        // WHY: brokers that do not answer now are asked again in a minute, and reading tells of them.
        let Ok(found) = self.partitions() else { return Ok(()) };
        let before = self.places.len();
        for place in found {
            self.places.entry(place).or_insert(0);
        }
        if self.places.len() > before { self.assign() } else { Ok(()) }
    }

    fn partitions(&self) -> Result<Vec<(String, i32)>, RunError> {
        let mut found = Vec::new();
        for topic in &self.topics {
            let answer = self
                .consumer
                .fetch_metadata(Some(topic), ANSWER)
                .map_err(|error| classify::fatal(&error))?;
            let of_it = answer.topics().iter().filter(|found| found.name() == topic);
            let partitions = of_it.flat_map(MetadataTopic::partitions);
            found.extend(partitions.map(|it| (topic.clone(), it.id())));
        }
        Ok(found)
    }

    fn assign(&self) -> Result<(), RunError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), next) in &self.places {
            let from = if *next == 0 { Offset::Beginning } else { Offset::Offset(*next) };
            list.add_partition_offset(topic, *partition, from)
                .map_err(|error| classify::fatal(&error))?;
        }
        self.consumer.assign(&list).map_err(|error| classify::fatal(&error))
    }
}

fn followed(message: &BorrowedMessage<'_>) -> Followed {
    let header = |name: &str| {
        let headers = message.headers()?;
        let found = headers.iter().find(|header| header.key == name)?;
        core::str::from_utf8(found.value?).ok().map(str::to_owned)
    };
    Followed {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        logged_ms: message.timestamp().to_millis().unwrap_or(0),
        key: message.key().unwrap_or_default().to_vec(),
        body: message.payload().unwrap_or_default().to_vec(),
        traceparent: header("traceparent"),
        source_partition: header("source_partition").and_then(|text| text.parse().ok()),
        source_topic: header("source_topic"),
    }
}
