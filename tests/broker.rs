//! The broker that other tests stand on: a real Apache Kafka that keeps, hides and returns records as Kafka does.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use support::broker::{Act, Broker};
use support::topics::{Isolation, NewRecord, Record, prefix};
use support::wait::PATIENCE;

fn payloads(records: &[Record]) -> Vec<String> {
    records
        .iter()
        .map(|record| String::from_utf8(record.payload.clone().unwrap_or_default()).unwrap())
        .collect()
}

fn transactional(broker: &Broker, id: &str) -> BaseProducer {
    let producer: BaseProducer =
        broker.client().set("transactional.id", id).set("linger.ms", "0").create().unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer
}

fn send(producer: &BaseProducer, topic: &str, payload: &str) {
    let record = NewRecord::new("key", payload, 1_000);
    producer.send(record.to_topic(topic)).map_err(|(error, _)| error).unwrap();
}

#[test]
fn a_thousand_records_come_back_from_three_partitions_exactly_as_they_went_in() {
    let broker = Broker::shared();
    let topic = prefix("round-trip") + "events";
    broker.create_topic(&topic, 3);
    let written: Vec<NewRecord> = (0..1_000_i64)
        .map(|i| {
            let partition = i32::try_from(i % 3).unwrap();
            NewRecord::new(format!("key-{i}"), format!("payload {i}"), 1_700_000_000_000 + i)
                .at_partition(partition)
        })
        .collect();

    broker.produce(&topic, &written);

    let mut expected = Vec::new();
    for partition in 0..3 {
        let of_partition = written.iter().filter(|record| record.partition == Some(partition));
        expected.extend(of_partition.zip(0_i64..).map(|(record, offset)| Record {
            partition,
            offset,
            key: record.key.clone(),
            payload: record.payload.clone(),
            timestamp_ms: record.timestamp_ms,
            headers: Vec::new(),
        }));
    }
    assert_eq!(expected.len(), 1_000);
    assert_eq!(broker.read(&topic, Isolation::Uncommitted), expected);
    assert_eq!(broker.read(&topic, Isolation::Committed), expected);
}

#[test]
fn an_aborted_kafka_transaction_is_invisible_to_a_committed_reader() {
    let broker = Broker::shared();
    let prefix = prefix("aborted");
    let topic = prefix.clone() + "events";
    broker.create_topic(&topic, 1);
    let producer = transactional(broker, &(prefix + "producer"));

    producer.begin_transaction().unwrap();
    send(&producer, &topic, "first, committed");
    producer.commit_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "second, aborted");
    producer.flush(PATIENCE).unwrap();
    producer.abort_transaction(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "third, committed");
    producer.commit_transaction(PATIENCE).unwrap();

    let committed = broker.read(&topic, Isolation::Committed);
    assert_eq!(payloads(&committed), ["first, committed", "third, committed"]);
    // Each transaction ends with a marker of its own: offsets are not dense.
    assert_eq!(committed.iter().map(|record| record.offset).collect::<Vec<_>>(), [0, 4]);
    assert_eq!(
        payloads(&broker.read(&topic, Isolation::Uncommitted)),
        ["first, committed", "second, aborted", "third, committed"]
    );
}

#[test]
fn an_open_kafka_transaction_hides_itself_and_what_comes_after_it() {
    let broker = Broker::shared();
    let prefix = prefix("open");
    let topic = prefix.clone() + "events";
    broker.create_topic(&topic, 1);
    let producer = transactional(broker, &(prefix + "producer"));

    broker.produce(&topic, &[NewRecord::new("key", "before", 1)]);
    producer.begin_transaction().unwrap();
    send(&producer, &topic, "open");
    producer.flush(PATIENCE).unwrap();
    broker.produce(&topic, &[NewRecord::new("key", "after", 2)]);

    assert_eq!(payloads(&broker.read(&topic, Isolation::CommittedNow)), ["before"]);
    producer.commit_transaction(PATIENCE).unwrap();
    assert_eq!(payloads(&broker.read(&topic, Isolation::Committed)), ["before", "open", "after"]);
}

#[test]
fn committed_offsets_of_a_group_are_read_by_partition() {
    let broker = Broker::shared();
    let prefix = prefix("offsets");
    let (topic, group) = (prefix.clone() + "events", prefix + "group");
    broker.create_topic(&topic, 3);
    assert_eq!(broker.committed(&group, &topic), BTreeMap::new());

    let consumer: BaseConsumer = broker.client().set("group.id", &group).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&topic, 0, Offset::Offset(17)).unwrap();
    offsets.add_partition_offset(&topic, 2, Offset::Offset(0)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();

    assert_eq!(broker.committed(&group, &topic), BTreeMap::from([(0, 17), (2, 0)]));
}

#[test]
fn a_topic_that_nobody_created_does_not_exist_and_a_deleted_one_is_gone() {
    let broker = Broker::shared();
    let topic = prefix("deleted") + "events";
    let consumer: BaseConsumer = broker.client().create().unwrap();
    let error = |topic: &str| {
        let metadata = consumer.fetch_metadata(Some(topic), PATIENCE).unwrap();
        metadata.topics()[0].error().map(RDKafkaErrorCode::from)
    };
    assert_eq!(error(&topic), Some(RDKafkaErrorCode::UnknownTopicOrPartition));
    broker.create_topic(&topic, 2);
    assert_eq!((error(&topic), broker.n_partitions(&topic)), (None, 2));
    broker.delete_topics(&[&topic]);
    support::wait::until(|| error(&topic).is_some(), || format!("the end of `{topic}`"));
}

/// Returns what the client says when it may not come in.
#[track_caller]
fn refusal(consumer: &BaseConsumer) -> RDKafkaErrorCode {
    let mut refusal = None;
    support::wait::until(
        || {
            // A request makes it try; what comes of it arrives as an event.
            assert!(consumer.fetch_metadata(None, Duration::from_millis(100)).is_err());
            if let Some(Err(error)) = consumer.poll(Duration::ZERO) {
                refusal = error
                    .rdkafka_error_code()
                    .filter(|&code| code != RDKafkaErrorCode::AllBrokersDown);
            }
            refusal.is_some()
        },
        || "a refusal".to_owned(),
    );
    refusal.unwrap()
}

#[test]
fn sasl_lets_the_right_user_in_and_a_stranger_see_nothing() {
    let broker = Broker::shared();
    let topic = prefix("sasl") + "events";
    broker.create_topic(&topic, 1);
    let consumer = |user: &str, password: &str| -> BaseConsumer {
        broker
            .client()
            .set("bootstrap.servers", broker.sasl_address())
            .set("security.protocol", "sasl_plaintext")
            .set("sasl.mechanism", "PLAIN")
            .set("sasl.username", user)
            .set("sasl.password", password)
            .create()
            .unwrap()
    };
    let error_of_topic = |consumer: &BaseConsumer| {
        let metadata = consumer.fetch_metadata(Some(&topic), PATIENCE).unwrap();
        metadata.topics()[0].error().map(RDKafkaErrorCode::from)
    };
    assert_eq!(error_of_topic(&consumer("riskweir", "riskweir")), None);
    assert_eq!(
        error_of_topic(&consumer("stranger", "stranger")),
        Some(RDKafkaErrorCode::TopicAuthorizationFailed)
    );
    assert_eq!(refusal(&consumer("riskweir", "wrong")), RDKafkaErrorCode::Authentication);
}

#[test]
fn a_broker_keeps_its_address_and_its_records_through_stop_crash_and_freeze() {
    let broker = Broker::own();
    broker.create_topic("events", 1);
    broker.produce("events", &[NewRecord::new("key", "one", 1)]);
    broker.act(Act::Stop);
    broker.act(Act::Start);
    broker.produce("events", &[NewRecord::new("key", "two", 2)]);
    broker.act(Act::Kill);
    broker.act(Act::Start);
    broker.produce("events", &[NewRecord::new("key", "three", 3)]);
    broker.act(Act::Pause);
    let consumer: BaseConsumer = broker.client().create().unwrap();
    assert!(consumer.fetch_metadata(None, Duration::from_millis(300)).is_err(), "it is frozen");
    broker.act(Act::Resume);

    let records = broker.read("events", Isolation::Committed);
    assert_eq!(payloads(&records), ["one", "two", "three"]);
}

#[test]
fn a_broker_goes_when_its_test_is_gone() {
    let broker = Broker::own();
    let address = broker.address().to_owned();
    assert!(std::net::TcpStream::connect(&address).is_ok());
    drop(broker);
    support::wait::until(
        || std::net::TcpStream::connect(&address).is_err(),
        || format!("the end of the broker at {address}"),
    );
}

/// A Maven that puts one jar down and then dies, as an interrupted download does.
const DYING_MAVEN: &str = r#"#!/bin/sh
for argument; do case $argument in -DoutputDirectory=*) touch "${argument#*=}/first.jar" ;; esac; done
kill -KILL $PPID $$
"#;

#[test]
fn an_interrupted_download_leaves_no_cache_that_looks_complete() {
    use std::os::unix::fs::PermissionsExt;

    let dir = tempfile::tempdir().unwrap();
    let (bin, cache) = (dir.path().join("bin"), dir.path().join("cache"));
    std::fs::create_dir(&bin).unwrap();
    std::fs::write(bin.join("mvn"), DYING_MAVEN).unwrap();
    std::fs::set_permissions(bin.join("mvn"), std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let fetch = || {
        Command::new("bash")
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kafka/broker.sh"), "fetch"])
            .env("PATH", &path)
            .env("RISKWEIR_KAFKA_CACHE", &cache)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
    };
    for _ in 0..2 {
        assert!(!fetch().success());
        let names = std::fs::read_dir(&cache).unwrap().map(|it| it.unwrap().file_name());
        let mut names: Vec<String> = names.map(|it| it.into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with("partial."));
        assert_eq!(names, Vec::<String>::new());
    }
}
