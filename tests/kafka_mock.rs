//! The delivery `idempotent` on librdkafka's mock cluster: order, commits after acknowledgements, faults.
//!
//! The mock drops offsets in transactions and aborts nothing, so nothing is shown here about `transactional`.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use riskweir::config::Config;
use riskweir::runtime::RunError;

use support::binary::{self, Binary};
use support::service::{self, Service};
use support::wait::{self, PATIENCE};

const OUTPUTS: [&str; 5] =
    ["risk.decisions", "risk.alerts", "risk.holds", "risk.audit", "risk.dead_letter"];

struct Mock(MockCluster<'static, DefaultProducerContext>);

impl Mock {
    fn new(partitions: i32) -> Self {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("in", partitions, 1).unwrap();
        for topic in OUTPUTS {
            cluster.create_topic(topic, 1, 1).unwrap();
        }
        Self(cluster)
    }

    fn config(&self, more: &[(&str, &str)]) -> Config {
        let address = self.0.bootstrap_servers();
        let mut settings =
            vec![("kafka.brokers", address.as_str()), ("delivery.mode", "idempotent")];
        settings.extend(more);
        service::config(&settings)
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", self.0.bootstrap_servers());
        client
    }

    fn produce(&self, partition: i32, payloads: &[String]) {
        let producer: BaseProducer = self.client().create().unwrap();
        for payload in payloads {
            let record = BaseRecord::<(), String>::to("in").partition(partition).payload(payload);
            producer.send(record).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Everything in partition 0 of a topic: payload and headers.
    fn read(&self, topic: &str) -> Vec<(String, Vec<(String, String)>)> {
        let consumer: BaseConsumer = self
            .client()
            .set("group.id", "reader")
            .set("enable.partition.eof", "true")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let mut found = Vec::new();
        while let Some(Ok(message)) = consumer.poll(PATIENCE) {
            let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            let headers = message.headers().map(|headers| {
                headers.iter().map(|it| (it.key.to_owned(), text(it.value))).collect::<Vec<_>>()
            });
            found.push((text(message.payload()), headers.unwrap_or_default()));
        }
        found
    }

    fn committed(&self, partition: i32) -> Option<i64> {
        let consumer: BaseConsumer = self.client().set("group.id", "riskweir").create().unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition("in", partition);
        let answer = consumer.committed_offsets(list, PATIENCE).unwrap();
        match answer.elements()[0].offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        }
    }
}

fn numbered(start: usize, count: usize) -> Vec<String> {
    (start..start + count).map(|i| format!("pay {i}")).collect()
}

#[track_caller]
fn wait_done(service: &Service, count: u64) {
    wait::until(|| service.n_done() == count, || format!("{count} done: {:?}", service.books()));
}

/// Takes the number of the record, which hangs on the clock, out of the headers of an output.
#[track_caller]
fn take_number(headers: &mut Vec<(String, String)>) -> u64 {
    let at = headers.iter().position(|(key, _)| key == "sequence").unwrap();
    headers.remove(at).1.parse().unwrap()
}

#[test]
fn every_record_is_answered_in_order_and_the_offset_behind_the_last_one_is_committed() {
    let mock = Mock::new(1);
    mock.produce(0, &numbered(0, 500));
    mock.produce(0, &["quiet".to_owned(), "bad".to_owned(), "hold".to_owned(), "quiet".to_owned()]);
    let service = Service::start(mock.config(&[]), &["in"]);
    wait_done(&service, 504);
    assert_eq!(service.failing(), [""; 0]);
    let books = service.stop();
    assert_eq!(books.decided.get("pass"), Some(&502));
    assert_eq!(books.decided.get("hold"), Some(&1));
    assert_eq!(books.dead_lettered.get("bad_json"), Some(&1));
    let decisions = mock.read("risk.decisions");
    let mut expected: Vec<String> = (0..500).map(|i| format!("{}:pay {i}", i + 1)).collect();
    expected.push("503:hold".to_owned());
    assert_eq!(decisions.iter().map(|it| it.0.clone()).collect::<Vec<_>>(), expected);
    let headers = [
        ("source_topic", "in"),
        ("source_partition", "0"),
        ("source_offset", "502"),
        ("schema", "riskweir.hold.v1"),
        ("engine_version", env!("CARGO_PKG_VERSION")),
    ];
    let headers = headers.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
    let (hold, mut found) = mock.read("risk.holds").pop().unwrap();
    let number = take_number(&mut found);
    assert_eq!((hold.as_str(), found), ("hold", headers));
    // Both outputs of a record have its number, and numbers grow in the order of decisions.
    let mut numbers: Vec<u64> =
        decisions.into_iter().map(|(_, mut headers)| take_number(&mut headers)).collect();
    assert_eq!(numbers.last(), Some(&number));
    assert!(numbers.is_sorted(), "{numbers:?}");
    numbers.dedup();
    assert_eq!(numbers.len(), 501);
    assert_eq!(mock.read("risk.dead_letter")[0].0, "bad");
    assert_eq!(mock.committed(0), Some(504));
}

#[test]
fn outputs_carry_the_trace_of_their_record_if_it_is_a_valid_one() {
    let mock = Mock::new(1);
    let producer: BaseProducer = mock.client().create().unwrap();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    for value in [Some(trace), Some("00-nonsense-01"), None] {
        let header = value.map(|value| Header { key: "traceparent", value: Some(value) });
        let headers = header.into_iter().fold(OwnedHeaders::new(), OwnedHeaders::insert);
        let record = BaseRecord::<(), str>::to("in").partition(0).payload("hold").headers(headers);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
    let service = Service::start(mock.config(&[]), &["in"]);
    wait_done(&service, 3);
    drop(service.stop());
    for topic in ["risk.decisions", "risk.holds"] {
        let traces = mock.read(topic).into_iter().map(|(_, headers)| {
            headers.into_iter().find(|(key, _)| key == "traceparent").map(|(_, value)| value)
        });
        assert_eq!(traces.collect::<Vec<_>>(), [Some(trace.to_owned()), None, None], "{topic}");
    }
}

#[test]
fn nothing_is_committed_before_its_outputs_are_acknowledged() {
    let mock = Mock::new(1);
    mock.produce(0, &["quiet 0", "quiet 1", "pay 2", "quiet 3"].map(str::to_owned));
    let errors = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT; 1_000];
    mock.0.request_errors(RDKafkaApiKey::Produce, &errors);
    let service =
        Service::start(mock.config(&[("delivery.offset_commit_interval", "10ms")]), &["in"]);
    wait::until(
        || service.books().in_flight == 2 && mock.committed(0) == Some(2),
        || format!("{:?}, committed {:?}", service.books(), mock.committed(0)),
    );
    assert_eq!(service.n_done(), 2, "the record behind the unacknowledged one waits too");
    mock.0.clear_request_errors(RDKafkaApiKey::Produce);
    wait_done(&service, 4);
    service.stop();
    assert_eq!(mock.committed(0), Some(4));
    assert_eq!(mock.read("risk.decisions").len(), 1);
}

#[test]
fn a_restart_replays_what_was_committed_and_goes_on_behind_it() {
    let mock = Mock::new(2);
    mock.produce(0, &numbered(0, 30));
    mock.produce(1, &numbered(100, 20));
    let first = Service::start(mock.config(&[]), &["in"]);
    wait_done(&first, 50);
    first.stop();
    mock.produce(0, &numbered(30, 5));
    let second = Service::start(mock.config(&[]), &["in"]);
    wait_done(&second, 5);
    assert_eq!(second.offsets("in", 0, "replay"), (0..30).collect::<Vec<_>>());
    assert_eq!(second.offsets("in", 1, "replay"), (0..20).collect::<Vec<_>>());
    assert_eq!(second.offsets("in", 0, "step"), (30..35).collect::<Vec<_>>());
    second.stop();
    let decisions = mock.read("risk.decisions");
    let last = decisions.last().unwrap();
    assert_eq!(last.0, "35:pay 34", "the engine counts on from what it replayed");
    assert_eq!(decisions.len(), 55);
}

#[test]
fn without_recovery_the_windows_start_empty() {
    let mock = Mock::new(1);
    mock.produce(0, &numbered(0, 3));
    let first = Service::start(mock.config(&[]), &["in"]);
    wait_done(&first, 3);
    first.stop();
    mock.produce(0, &numbered(3, 1));
    let second = Service::start(mock.config(&[("recovery.replay_from", "none")]), &["in"]);
    wait_done(&second, 1);
    second.stop();
    assert_eq!(mock.read("risk.decisions").last().unwrap().0, "1:pay 3");
}

#[test]
fn a_dead_broker_gives_back_pressure_and_nothing_is_lost_when_it_returns() {
    let mock = Mock::new(1);
    let service = Service::start(
        mock.config(&[("delivery.max_in_flight", "50"), ("http.progress_timeout", "200ms")]),
        &["in"],
    );
    mock.produce(0, &numbered(0, 10));
    wait_done(&service, 10);
    mock.produce(0, &numbered(10, 2_000));
    mock.0.broker_down(1).unwrap();
    wait::until(
        || service.failing().contains(&"outputs") || service.books().in_flight == 0,
        || format!("{:?}", service.failing()),
    );
    assert!(service.books().in_flight <= 200, "{:?}", service.books());
    assert!(!service.has_ended());
    mock.0.broker_up(1).unwrap();
    wait_done(&service, 2_010);
    service.stop();
    let decisions = mock.read("risk.decisions");
    let expected: Vec<String> = (0..2_010).map(|i| format!("{}:pay {i}", i + 1)).collect();
    assert_eq!(decisions.into_iter().map(|it| it.0).collect::<Vec<_>>(), expected);
}

#[test]
fn a_fatal_error_of_the_client_ends_the_run_with_an_error() {
    let mock = Mock::new(1);
    let mut config = mock.config(&[]);
    config.kafka.rdkafka.push(("group.instance.id".to_owned(), "one".to_owned()));
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID; 20];
    mock.0.request_errors(RDKafkaApiKey::JoinGroup, &fenced);
    let error = Service::start(config, &["in"]).outcome().unwrap_err();
    assert!(matches!(error, RunError::Fatal { .. }), "{error}");
    assert_eq!(error.code().0, "K0002");
    assert!(error.may_pass());
}

#[test]
fn a_missing_topic_is_named_with_the_command_that_creates_it() {
    let mock = Mock::new(1);
    mock.0
        .topic_error("risk.holds", RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        .unwrap();
    let error = Service::start(mock.config(&[]), &["in"]).outcome().unwrap_err();
    assert_eq!(error.to_string(), "topic `risk.holds` does not exist");
    let help = error.help().unwrap();
    assert!(help.contains("--create --topic risk.holds"), "{help}");
}

#[test]
fn a_refused_setting_is_told_in_the_clients_words() {
    let mock = Mock::new(1);
    let mut config = mock.config(&[]);
    config.kafka.rdkafka.push(("fetch.min.bytes".to_owned(), "many".to_owned()));
    let error = Service::start(config, &["in"]).outcome().unwrap_err();
    assert_eq!(error.code().0, "K0008");
    assert!(error.to_string().contains("fetch.min.bytes"), "{error}");
}

#[test]
fn a_stop_without_any_record_is_quick_and_clean() {
    let mock = Mock::new(1);
    let service = Service::start(mock.config(&[]), &["in"]);
    wait::until(|| service.failing().is_empty(), || format!("{:?}", service.failing()));
    let started = std::time::Instant::now();
    service.stop();
    assert!(started.elapsed() < Duration::from_secs(10));
    // WHY: before anything is decided the group knows by which rule set; the note stands beside the beginning.
    assert_eq!(mock.committed(0), Some(0));
}

/// F3: every answer of the broker takes five seconds.
#[test]
fn a_slow_broker_gives_back_pressure_and_each_record_is_answered_once_and_in_order() {
    let mock = Mock::new(1);
    let service = Service::start(
        mock.config(&[("delivery.max_in_flight", "50"), ("http.progress_timeout", "1s")]),
        &["in"],
    );
    mock.produce(0, &numbered(0, 10));
    wait_done(&service, 10);
    mock.produce(0, &numbered(10, 2_000));
    mock.0.broker_round_trip_time(1, Duration::from_secs(5)).unwrap();
    wait::until(
        || service.failing().contains(&"outputs") || service.n_done() == 2_010,
        || format!("{:?}, {:?}", service.failing(), service.books()),
    );
    assert!(service.n_done() < 2_010, "the slow broker was noticed");
    assert!(service.books().in_flight <= 200, "{:?}", service.books());
    mock.0.broker_round_trip_time(1, Duration::ZERO).unwrap();
    wait_done(&service, 2_010);
    service.stop();
    let decisions = mock.read("risk.decisions");
    let expected: Vec<String> = (0..2_010).map(|i| format!("{}:pay {i}", i + 1)).collect();
    assert_eq!(decisions.into_iter().map(|it| it.0).collect::<Vec<_>>(), expected);
}

const RULES: &str = r#"
event pay from "in"
  id   pay_id  : text    from "/id"
  time made_at : time    from "/at" unit ms
  key  account : account from "/account"
rule seen "seen" mode shadow on pay when count(pay) by account over last 1m > 5 then alert
"#;

/// F8: a supervisor starts the process again when it ends by itself; so it must end, and not with 0.
#[test]
fn a_fatal_error_of_the_client_ends_the_process_with_code_1() {
    let mock = Mock::new(1);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("all.risk"), RULES).unwrap();
    let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID; 20];
    mock.0.request_errors(RDKafkaApiKey::JoinGroup, &fenced);
    let mut command = binary::command();
    command.args(["run", "--http", "127.0.0.1:0", "--brokers", &mock.0.bootstrap_servers()]);
    let rules = format!("rules.path={}", folder.path().display());
    for setting in [rules.as_str(), "delivery.mode=idempotent", "kafka.rdkafka.group.instance.id=a"]
    {
        command.args(["--set", setting]);
    }
    let (code, said) = Binary::start_command(command).ended();
    assert!(code == Some(1) && said.contains("error[K0002]"), "{code:?}: {said}");
}

/// H17: headers of the input are not ours: forged ones do not pass on, and ten thousand cost nothing but their bytes.
#[test]
fn forged_and_countless_headers_of_the_input_change_no_output() {
    let mock = Mock::new(1);
    let producer: BaseProducer = mock.client().create().unwrap();
    let forged = [
        "source_topic",
        "source_offset",
        "sequence",
        "schema",
        "engine_version",
        "riskweir_outcome",
    ];
    let many: Vec<String> = (0..10_000).map(|n| format!("h{n}")).collect();
    let names = forged.into_iter().chain(many.iter().map(String::as_str));
    let headers = names.fold(OwnedHeaders::new(), |headers, key| {
        headers.insert(Header { key, value: Some("forged") })
    });
    let record = BaseRecord::<(), str>::to("in").partition(0).payload("hold").headers(headers);
    producer.send(record).map_err(|(error, _)| error).unwrap();
    producer.flush(PATIENCE).unwrap();
    let service = Service::start(mock.config(&[]), &["in"]);
    wait_done(&service, 1);
    service.stop();
    for (topic, schema) in
        [("risk.decisions", "riskweir.decision.v1"), ("risk.holds", "riskweir.hold.v1")]
    {
        let mut found = mock.read(topic);
        assert!(take_number(&mut found[0].1) > 0);
        let headers: Vec<(&str, &str)> =
            found[0].1.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let expected = [
            ("source_topic", "in"),
            ("source_partition", "0"),
            ("source_offset", "0"),
            ("schema", schema),
            ("engine_version", env!("CARGO_PKG_VERSION")),
        ];
        assert_eq!((found.len(), headers.as_slice()), (1, &expected[..]), "{topic}");
    }
}
