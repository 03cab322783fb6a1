//! Plain questions and orders to a broker: make topics, put records in, read everything back.
//!
//! Each call opens its own client and closes it again: nothing is shared between tests. A failing call panics with
//! what the broker said.

use std::collections::BTreeMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Mutex;

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Offset, TopicPartitionList};

use crate::support::broker::Broker;
use crate::support::wait::{self, PATIENCE};

/// A record to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NewRecord {
    pub(crate) key: Option<Vec<u8>>,
    /// `None` is a tombstone.
    pub(crate) payload: Option<Vec<u8>>,
    /// Milliseconds since 1970; `None` is the time of writing.
    pub(crate) timestamp_ms: Option<i64>,
    /// `None` lets the client choose by the key.
    pub(crate) partition: Option<i32>,
}

impl NewRecord {
    /// Makes a record with key, payload and timestamp.
    pub(crate) fn new(
        key: impl Into<Vec<u8>>,
        payload: impl Into<Vec<u8>>,
        timestamp_ms: i64,
    ) -> NewRecord {
        NewRecord {
            key: Some(key.into()),
            payload: Some(payload.into()),
            timestamp_ms: Some(timestamp_ms),
            partition: None,
        }
    }

    /// Sends it to this partition.
    #[must_use]
    pub(crate) fn at_partition(mut self, partition: i32) -> NewRecord {
        self.partition = Some(partition);
        self
    }

    /// Returns the record in the form that `rdkafka` sends.
    pub(crate) fn to_topic<'a>(&'a self, topic: &'a str) -> BaseRecord<'a, [u8], [u8]> {
        let mut record = BaseRecord::to(topic);
        record.key = self.key.as_deref();
        record.payload = self.payload.as_deref();
        record.timestamp = self.timestamp_ms;
        record.partition = self.partition;
        record
    }
}

/// A record as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) timestamp_ms: Option<i64>,
    /// In the order in which they stand on the record.
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
}

/// What a reader sees of Kafka transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Isolation {
    /// Everything, aborted and open ones included.
    Uncommitted,
    /// What is committed, after waiting until none is open: the broker finishes a commit shortly after it has said
    /// yes to the producer.
    Committed,
    /// What is committed and not behind an open one, as it is now.
    CommittedNow,
}

impl Isolation {
    fn level(self) -> &'static str {
        match self {
            Isolation::Uncommitted => "read_uncommitted",
            Isolation::Committed | Isolation::CommittedNow => "read_committed",
        }
    }
}

/// Returns a prefix for the topics and groups of one test, different on every call.
pub(crate) fn prefix(test: &str) -> String {
    format!("{test}.{:016x}.", RandomState::new().build_hasher().finish())
}

/// Counts acknowledgements and keeps the first refusal.
#[derive(Default)]
struct Acknowledgements(Mutex<(usize, Option<String>)>);

impl ClientContext for Acknowledgements {}

impl ProducerContext for Acknowledgements {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, _opaque: ()) {
        let mut state = self.0.lock().unwrap();
        match result {
            Ok(_) => state.0 += 1,
            Err((error, _)) => state.1 = state.1.take().or_else(|| Some(error.to_string())),
        }
    }
}

impl Broker {
    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("an admin client")
    }

    fn consumer(&self, isolation: Isolation) -> BaseConsumer {
        self.client()
            // The client wants a name; nothing is ever committed under this one.
            .set("group.id", "riskweir-test-reader")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error")
            .set("isolation.level", isolation.level())
            .create()
            .expect("a consumer")
    }

    /// Creates a topic and returns when every partition has its leader.
    #[track_caller]
    pub(crate) fn create_topic(&self, topic: &str, n_partitions: i32) {
        self.create_topic_with(topic, n_partitions, &[]);
    }

    /// Creates a topic with settings, such as `("cleanup.policy", "compact")`.
    #[track_caller]
    pub(crate) fn create_topic_with(
        &self,
        topic: &str,
        n_partitions: i32,
        settings: &[(&str, &str)],
    ) {
        let mut order = NewTopic::new(topic, n_partitions, TopicReplication::Fixed(1));
        for (key, value) in settings {
            order = order.set(key, value);
        }
        let admin = self.admin();
        let results = wait::block_on(
            admin.create_topics([&order], &AdminOptions::new().operation_timeout(Some(PATIENCE))),
        )
        .expect("an answer to `create topics`");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("could not create {topic}: {code}"));
        }
        let consumer = self.consumer(Isolation::Uncommitted);
        let expected = usize::try_from(n_partitions).expect("a count of partitions");
        wait::until(
            || leaders(&consumer, topic).is_some_and(|n| n == expected),
            || format!("`{topic}` with {n_partitions} partitions that have a leader"),
        );
    }

    /// Gives a topic more partitions and returns when each has its leader.
    #[track_caller]
    pub(crate) fn add_partitions(&self, topic: &str, n_partitions: i32) {
        let expected = usize::try_from(n_partitions).expect("a count of partitions");
        let admin = self.admin();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let order = NewPartitions::new(topic, expected);
        let results = wait::block_on(admin.create_partitions([&order], &options))
            .expect("an answer to `create partitions`");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("could not widen {topic}: {code}"));
        }
        let consumer = self.consumer(Isolation::Uncommitted);
        wait::until(
            || leaders(&consumer, topic).is_some_and(|n| n == expected),
            || format!("`{topic}` with {n_partitions} partitions that have a leader"),
        );
    }

    /// Deletes topics.
    #[track_caller]
    pub(crate) fn delete_topics(&self, topics: &[&str]) {
        let admin = self.admin();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let results = wait::block_on(admin.delete_topics(topics, &options))
            .expect("an answer to `delete topics`");
        for result in results {
            result.unwrap_or_else(|(topic, code)| panic!("could not delete {topic}: {code}"));
        }
    }

    /// Deletes the records of a partition before an offset, as retention does.
    #[track_caller]
    pub(crate) fn delete_records(&self, topic: &str, partition: i32, before: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, partition, Offset::Offset(before)).expect("a place");
        let admin = self.admin();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let done = wait::block_on(admin.delete_records(&offsets, &options))
            .expect("an answer to `delete records`");
        for element in done.elements() {
            element.error().unwrap_or_else(|error| panic!("could not delete records: {error}"));
        }
    }

    /// Writes the records, in this order, and returns when every one is acknowledged.
    #[track_caller]
    pub(crate) fn produce(&self, topic: &str, records: &[NewRecord]) {
        let producer: BaseProducer<Acknowledgements> = self
            .client()
            .set("enable.idempotence", "true")
            .set("linger.ms", "1")
            // WHY: tests write records that are larger than anybody should; the topic decides.
            .set("message.max.bytes", "4000000")
            .create_with_context(Acknowledgements::default())
            .expect("a producer");
        for record in records {
            send(&producer, topic, record);
        }
        producer.flush(PATIENCE).expect("all acknowledgements");
        let state = producer.context().0.lock().unwrap();
        assert_eq!((state.0, &state.1), (records.len(), &None), "acknowledged, refused");
    }

    /// Returns the count of partitions of a topic.
    #[track_caller]
    pub(crate) fn n_partitions(&self, topic: &str) -> i32 {
        n_partitions(&self.consumer(Isolation::Uncommitted), topic)
    }

    /// Reads a topic from its start to its end: by partition, and by offset in each.
    ///
    /// Offsets are not dense under transactions, so the end is where the broker says that it is (the event at the
    /// end of a partition), never a count or "high watermark − 1".
    #[track_caller]
    pub(crate) fn read(&self, topic: &str, isolation: Isolation) -> Vec<Record> {
        let consumer = self.consumer(isolation);
        let n_partitions = n_partitions(&consumer, topic);
        if isolation == Isolation::Committed {
            self.wait_until_none_is_open(&consumer, topic, n_partitions);
        }
        let mut assignment = TopicPartitionList::new();
        for partition in 0..n_partitions {
            assignment
                .add_partition_offset(topic, partition, Offset::Beginning)
                .expect("a partition to read");
        }
        consumer.assign(&assignment).expect("the partitions assigned");
        let mut records = Vec::new();
        let mut open: Vec<i32> = (0..n_partitions).collect();
        while !open.is_empty() {
            match consumer.poll(PATIENCE) {
                Some(Ok(message)) => records.push(record(&message)),
                Some(Err(KafkaError::PartitionEOF(ended))) => open.retain(|&it| it != ended),
                Some(Err(error)) if may_pass(&error) => {}
                Some(Err(error)) => panic!("could not read `{topic}`: {error}"),
                None => panic!("`{topic}`: partitions {open:?} did not come to their end"),
            }
        }
        records.sort_by_key(|record| (record.partition, record.offset));
        records
    }

    /// A transaction is open as long as a committed reader's end is not the end of the log.
    #[track_caller]
    fn wait_until_none_is_open(&self, committed: &BaseConsumer, topic: &str, n_partitions: i32) {
        let all = self.consumer(Isolation::Uncommitted);
        let end = |consumer: &BaseConsumer, partition| {
            consumer.fetch_watermarks(topic, partition, PATIENCE).map(|(_, end)| end).ok()
        };
        for partition in 0..n_partitions {
            let at = end(&all, partition);
            wait::until(
                || end(committed, partition).zip(at).is_some_and(|(stable, at)| stable >= at),
                || format!("a Kafka transaction stays open in `{topic}`-{partition}"),
            );
        }
    }

    /// Returns what a group has committed of partition 0: the next offset and the note beside it; none where there is nothing.
    #[track_caller]
    pub(crate) fn commit_of(&self, group: &str, topic: &str) -> Option<(i64, String)> {
        let consumer: BaseConsumer =
            self.client().set("group.id", group).create().expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition(topic, 0);
        let answer = consumer.committed_offsets(partitions, PATIENCE).expect("an answer");
        let element = answer.find_partition(topic, 0).expect("the partition");
        let Offset::Offset(offset) = element.offset() else { return None };
        Some((offset, element.metadata().to_owned()))
    }

    /// Commits an offset of partition 0 with a note, in the name of a group without members.
    #[track_caller]
    pub(crate) fn commit(&self, group: &str, topic: &str, (offset, note): &(i64, String)) {
        let consumer: BaseConsumer =
            self.client().set("group.id", group).create().expect("a consumer");
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic, 0, Offset::Offset(*offset)).expect("a place");
        offsets.find_partition(topic, 0).expect("the partition").set_metadata(note);
        consumer.commit(&offsets, CommitMode::Sync).expect("a commit");
    }

    /// Returns the offsets that a group has committed, by partition; the next record to read.
    #[track_caller]
    pub(crate) fn committed(&self, group: &str, topic: &str) -> BTreeMap<i32, i64> {
        let consumer: BaseConsumer =
            self.client().set("group.id", group).create().expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        for partition in 0..n_partitions(&consumer, topic) {
            partitions.add_partition(topic, partition);
        }
        let mut answer = None;
        wait::until(
            || {
                // WHY: a broker that has just started does not know its groups yet.
                let asked = consumer.committed_offsets(partitions.clone(), PATIENCE).ok();
                answer = asked.filter(|it| it.elements().iter().all(|one| one.error().is_ok()));
                answer.is_some()
            },
            || format!("committed offsets of `{group}`"),
        );
        let answer = answer.expect("what the wait ended with");
        let mut offsets = BTreeMap::new();
        for element in answer.elements() {
            element.error().expect("the offset of a partition");
            if let Offset::Offset(offset) = element.offset() {
                offsets.insert(element.partition(), offset);
            }
        }
        offsets
    }
}

fn send(producer: &BaseProducer<Acknowledgements>, topic: &str, record: &NewRecord) {
    let mut next = record.to_topic(topic);
    while let Err((error, refused)) = producer.send(next) {
        assert_eq!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::QueueFull),
            "could not send to `{topic}`: {error}"
        );
        producer.poll(PATIENCE);
        next = refused;
    }
}

/// The count of partitions that have a leader, if the broker knows the topic.
fn leaders(consumer: &BaseConsumer, topic: &str) -> Option<usize> {
    let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).ok()?;
    let found = metadata.topics().iter().find(|it| it.name() == topic)?;
    let has_leader = |partition: &&rdkafka::metadata::MetadataPartition| partition.leader() >= 0;
    Some(found.partitions().iter().filter(has_leader).count())
}

#[track_caller]
fn n_partitions(consumer: &BaseConsumer, topic: &str) -> i32 {
    let n = leaders(consumer, topic).unwrap_or(0);
    assert!(n > 0, "the broker knows no topic `{topic}`");
    i32::try_from(n).expect("a count of partitions")
}

/// Errors that the client mends by itself; the wait for the next event is bounded all the same.
fn may_pass(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

fn record(message: &impl Message) -> Record {
    let headers = message.headers().map(|headers| {
        headers
            .iter()
            .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
            .collect()
    });
    Record {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().map(<[u8]>::to_vec),
        payload: message.payload().map(<[u8]>::to_vec),
        timestamp_ms: message.timestamp().to_millis(),
        headers: headers.unwrap_or_default(),
    }
}
