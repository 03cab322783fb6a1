//! Both deliveries on a real Apache Kafka: each record is answered, and committed readers see each answer once.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};
use riskweir::config::Config;
use riskweir::runtime::{self, RunError};

use support::broker::{Act, Broker};
use support::service::{self, Service};
use support::topics::{Isolation, NewRecord, prefix};
use support::wait::{self, PATIENCE};

const PARTITIONS: i32 = 3;

/// The topics of one test on one broker.
struct World<'a> {
    broker: &'a Broker,
    own: String,
}

impl<'a> World<'a> {
    fn new(broker: &'a Broker, test: &str) -> Self {
        let world = Self { broker, own: prefix(test) };
        // WHY: the records carry times of 1970; a broker that counts their age would delete them.
        broker.create_topic_with(&world.topic("in"), PARTITIONS, &[("retention.ms", "-1")]);
        for output in ["decisions", "alerts", "holds", "audit", "dead_letter"] {
            broker.create_topic(&world.topic(output), 2);
        }
        world
    }

    fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.own)
    }

    fn group(&self) -> String {
        self.topic("group")
    }

    fn config(&self, mode: &str, extra: &[(&str, &str)]) -> Config {
        let topics = ["decisions", "alerts", "holds", "audit", "dead_letter"]
            .map(|name| (format!("topics.{name}"), self.topic(name)));
        let group = self.group();
        let mut settings = vec![
            ("kafka.brokers", self.broker.address()),
            ("kafka.group_id", &group),
            ("kafka.session_timeout", "6s"),
            ("delivery.mode", mode),
        ];
        settings.extend(topics.iter().map(|(key, name)| (key.as_str(), name.as_str())));
        settings.extend(extra);
        service::config(&settings)
    }

    fn start(&self, mode: &str, extra: &[(&str, &str)]) -> Service {
        Service::start(self.config(mode, extra), &[&self.topic("in")])
    }

    /// Writes records `from..to`, spread over the partitions: the n-th goes to partition n mod 3.
    fn produce(&self, from: i64, to: i64) {
        let record = |n: i64| {
            let kind = ["pay", "quiet", "pay", "bad", "hold"][usize::try_from(n % 5).unwrap()];
            let partition = i32::try_from(n % i64::from(PARTITIONS)).unwrap();
            NewRecord::new(format!("key {n}"), format!("{kind} {n}"), 1_000 + n)
                .at_partition(partition)
        };
        self.broker.produce(&self.topic("in"), &(from..to).map(record).collect::<Vec<_>>());
    }

    /// How often each source record `(partition, offset)` is answered in an output topic.
    fn answers(&self, output: &str) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for record in self.broker.read(&self.topic(output), Isolation::Committed) {
            let header = |name: &str| {
                let found = record.headers.iter().find(|(key, _)| key == name).unwrap();
                String::from_utf8(found.1.clone().unwrap()).unwrap()
            };
            *counts.entry((header("source_partition"), header("source_offset"))).or_default() += 1;
        }
        counts
    }

    /// Every record `0..to` has the answers that its kind asks for, each once.
    #[track_caller]
    fn check_exactly_once(&self, to: i64) {
        for (output, kinds) in
            [("decisions", &[0, 2, 4][..]), ("dead_letter", &[3]), ("holds", &[4])]
        {
            let expected: BTreeMap<(String, String), usize> = (0..to)
                .filter(|n| kinds.contains(&(n % 5)))
                .map(|n| {
                    let (partition, offset) =
                        (n % i64::from(PARTITIONS), n / i64::from(PARTITIONS));
                    ((partition.to_string(), offset.to_string()), 1)
                })
                .collect();
            assert_eq!(self.answers(output), expected, "{output}");
        }
    }

    /// The group stands behind the last of `0..to` in every partition.
    #[track_caller]
    fn check_committed(&self, to: i64) {
        let of = |partition: i32| (0..to).filter(|n| n % 3 == i64::from(partition)).count();
        let expected: BTreeMap<i32, i64> =
            (0..PARTITIONS).map(|p| (p, i64::try_from(of(p)).unwrap())).collect();
        assert_eq!(self.broker.committed(&self.group(), &self.topic("in")), expected);
    }
}

#[track_caller]
fn wait_done(service: &Service, count: u64) {
    wait::until(
        || service.n_done() >= count || service.has_ended(),
        || format!("{count} done: {}", service.describe()),
    );
    assert!(!service.has_ended(), "the run ended by itself: {}", service.describe());
}

#[test]
fn transactional_delivery_answers_each_record_exactly_once_for_committed_readers() {
    let world = World::new(Broker::shared(), "exactly");
    world.produce(0, 3_000);
    let service = world.start("transactional", &[]);
    wait_done(&service, 3_000);
    let books = service.stop();
    assert_eq!(books.decided.get("pass"), Some(&1_800));
    assert_eq!(books.decided.get("hold"), Some(&600));
    assert_eq!(books.dead_lettered.get("bad_json"), Some(&600));
    world.check_exactly_once(3_000);
    world.check_committed(3_000);
}

#[test]
fn idempotent_delivery_answers_each_record_and_commits_behind_the_last() {
    let world = World::new(Broker::shared(), "idempotent");
    world.produce(0, 3_000);
    let service = world.start("idempotent", &[]);
    wait_done(&service, 3_000);
    service.stop();
    world.check_exactly_once(3_000);
    world.check_committed(3_000);
}

#[track_caller]
fn check_restart(mode: &str) {
    let world = World::new(Broker::shared(), "restart");
    world.produce(0, 2_000);
    let first = world.start(mode, &[]);
    wait_done(&first, 100);
    let n_first: u64 = first.stop().read.iter().map(|(_, n)| n).sum();
    let committed = world.broker.committed(&world.group(), &world.topic("in"));
    assert_eq!(committed.values().sum::<i64>(), i64::try_from(n_first).unwrap());
    world.produce(2_000, 2_500);

    let second = world.start(mode, &[]);
    wait_done(&second, 2_500 - n_first);
    for (partition, offset) in &committed {
        let topic = world.topic("in");
        let replayed = second.offsets(&topic, *partition, "replay");
        assert_eq!(replayed, (0..*offset).collect::<Vec<_>>(), "replay of {partition}");
        let stepped = second.offsets(&topic, *partition, "step");
        assert_eq!(stepped.first().copied().unwrap_or(*offset), *offset, "step of {partition}");
    }
    second.stop();
    world.check_exactly_once(2_500);
    world.check_committed(2_500);
}

#[test]
fn a_restart_in_the_middle_goes_on_at_the_committed_offset_transactional() {
    check_restart("transactional");
}

#[test]
fn a_restart_in_the_middle_goes_on_at_the_committed_offset_idempotent() {
    check_restart("idempotent");
}

fn rival(world: &World<'_>) -> BaseProducer {
    let mut client = world.broker.client();
    client.set("transactional.id", world.group()).create().unwrap()
}

#[test]
fn a_transaction_that_a_crash_left_open_is_ended_by_the_next_start() {
    let world = World::new(Broker::shared(), "crashed");
    let crashed = rival(&world);
    crashed.init_transactions(PATIENCE).unwrap();
    crashed.begin_transaction().unwrap();
    let (topic, orphan) = (world.topic("decisions"), NewRecord::new("key", "orphan", 1));
    crashed.send(orphan.to_topic(&topic)).map_err(|(error, _)| error).unwrap();
    crashed.flush(PATIENCE).unwrap();

    world.produce(0, 100);
    let service = world.start("transactional", &[]);
    wait_done(&service, 100);
    service.stop();
    world.check_exactly_once(100);
}

#[test]
fn a_transaction_of_unknown_fate_is_settled_by_the_committed_offsets() {
    let world = World::new(Broker::shared(), "fenced");
    let service = world.start("transactional", &[("delivery.commit_interval", "100ms")]);
    // WHY: four fencings in a row are told from a rival that stays; the broker may fence once by its own time-out.
    for round in 0..3 {
        world.produce(round * 200, (round + 1) * 200);
        // WHY: taking over the id fences the service's producer, most often with a transaction open.
        rival(&world).init_transactions(PATIENCE).unwrap();
    }
    wait_done(&service, 600);
    service.stop();
    world.check_exactly_once(600);
    world.check_committed(600);
}

#[test]
fn an_id_that_somebody_else_keeps_taking_ends_the_run_with_an_error() {
    let world = World::new(Broker::shared(), "rivals");
    let service = world.start("transactional", &[]);
    world.produce(0, 10);
    wait_done(&service, 10);
    let mut next = 10;
    wait::until(
        || {
            rival(&world).init_transactions(PATIENCE).unwrap();
            world.produce(next, next + 10);
            next += 10;
            service.has_ended()
        },
        || service.describe(),
    );
    let error = service.outcome().unwrap_err();
    assert_eq!(error.code().0, "K0007", "{error}");
}

#[track_caller]
fn check_outage(mode: &str, acts: &[Act]) {
    let broker = Broker::own();
    let world = World::new(&broker, "outage");
    let service = world
        .start(mode, &[("delivery.transaction_timeout", "2s"), ("http.progress_timeout", "500ms")]);
    world.produce(0, 300);
    wait_done(&service, 300);
    world.produce(300, 3_000);
    let (outage, mend) = (acts[0], acts[1]);
    broker.act(outage);
    // WHY: until the service shows that nothing moves, the outage has not been noticed.
    wait::until(
        || !service.failing().is_empty() || service.n_done() == 3_000,
        || service.describe(),
    );
    assert!(!service.has_ended());
    broker.act(mend);
    // WHY: a group that lost its member during the outage has its last records read and answered once more.
    let topic = world.topic("in");
    wait::until(
        || world.broker.committed(&world.group(), &topic).values().sum::<i64>() == 3_000,
        || service.describe(),
    );
    service.stop();
    if mode == "transactional" {
        world.check_exactly_once(3_000);
    }
    for (output, count) in [("decisions", 1_800), ("holds", 600), ("dead_letter", 600)] {
        assert_eq!(world.answers(output).len(), count, "{output}");
    }
    world.check_committed(3_000);
}

#[test]
fn a_frozen_broker_aborts_transactions_and_each_answer_still_comes_once() {
    check_outage("transactional", &[Act::Pause, Act::Resume]);
}

#[test]
fn a_killed_broker_costs_no_record_and_no_second_answer_transactional() {
    check_outage("transactional", &[Act::Kill, Act::Start]);
}

#[test]
fn a_killed_broker_costs_no_record_idempotent() {
    check_outage("idempotent", &[Act::Kill, Act::Start]);
}

#[test]
fn a_stop_while_no_broker_answers_takes_all_of_its_time_before_it_gives_up() {
    let broker = Broker::own();
    let world = World::new(&broker, "stopping");
    // Two seconds from the last record to its commit: the broker is gone long before.
    let times = [
        ("delivery.commit_interval", "2s"),
        ("delivery.transaction_timeout", "5s"),
        ("http.progress_timeout", "500ms"),
        ("shutdown.timeout", "8s"),
    ];
    let service = world.start("transactional", &times);
    world.produce(0, 300);
    wait_done(&service, 300);
    world.produce(300, 3_000);
    broker.act(Act::Kill);
    wait::until(|| !service.failing().is_empty(), || service.describe());
    service.stop.request();
    let error = service.outcome().unwrap_err();
    let RunError::StopTimeout { seconds, .. } = error else { panic!("{error}") };
    // It may have come back at any moment of them.
    assert!(seconds >= 8, "gave up after {seconds} s");

    broker.act(Act::Start);
    let service = world.start("transactional", &[]);
    let topic = world.topic("in");
    wait::until(
        || world.broker.committed(&world.group(), &topic).values().sum::<i64>() == 3_000,
        || service.describe(),
    );
    service.stop();
    world.check_exactly_once(3_000);
}

#[test]
fn an_output_topic_that_is_deleted_while_it_runs_is_named_and_nothing_is_committed_past_it() {
    let world = World::new(Broker::shared(), "deleted");
    let service = world.start("transactional", &[("delivery.transaction_timeout", "2s")]);
    world.produce(0, 300);
    wait_done(&service, 300);
    let holds = world.topic("holds");
    world.broker.delete_topics(&[&holds]);
    world.produce(300, 600);
    let error = service.outcome().unwrap_err();
    let brokers = world.broker.address().to_owned();
    assert_eq!(error, RunError::TopicMissing { topic: holds.clone(), brokers });

    world.broker.create_topic(&holds, 2);
    let service = world.start("transactional", &[]);
    let topic = world.topic("in");
    wait::until(
        || world.broker.committed(&world.group(), &topic).values().sum::<i64>() == 600,
        || service.describe(),
    );
    service.stop();
    // The holds of before went with the topic; everything else is there, once.
    assert_eq!(world.answers("holds").len(), 60);
    assert!(world.answers("holds").values().all(|&times| times == 1));
    let decisions = world.answers("decisions");
    assert_eq!(decisions.len(), 360);
    assert!(decisions.values().all(|&times| times == 1));
}

#[test]
fn a_second_instance_takes_partitions_over_without_loss_or_repetition() {
    let world = World::new(Broker::shared(), "second");
    let one = world.start("transactional", &[("delivery.transactional_id", &world.topic("one"))]);
    world.produce(0, 1_000);
    wait_done(&one, 200);
    let two = world.start("transactional", &[("delivery.transactional_id", &world.topic("two"))]);
    // WHY: joining takes the second one some seconds, and the first one needs far less for what there is.
    let mut next = 1_000;
    wait::until(
        || {
            world.produce(next, next + 300);
            next += 300;
            two.n_done() > 0
        },
        || two.describe(),
    );
    one.stop();
    world.produce(next, next + 1_000);
    next += 1_000;
    wait::until(
        || {
            let committed = world.broker.committed(&world.group(), &world.topic("in"));
            committed.values().sum::<i64>() == next
        },
        || two.describe(),
    );
    two.stop();
    world.check_exactly_once(next);
    world.check_committed(next);
}

#[test]
fn an_output_that_the_broker_never_takes_ends_the_run_and_its_record_is_not_committed() {
    let world = World::new(Broker::shared(), "large");
    let large = NewRecord::new("key", "x".repeat(900_000), 1).at_partition(0);
    world.broker.produce(&world.topic("in"), &[large]);
    let mut config = world.config("transactional", &[]);
    config.kafka.rdkafka.push(("message.max.bytes".to_owned(), "500000".to_owned()));
    let error = Service::start(config, &[&world.topic("in")]).outcome().unwrap_err();
    assert_eq!(error, RunError::TooLarge { topic: world.topic("decisions") });
    // WHY: where each partition begins is committed before anything is decided, with a note by which rule set; no record is.
    let beginnings = BTreeMap::from([(0, 0), (1, 0), (2, 0)]);
    assert_eq!(world.broker.committed(&world.group(), &world.topic("in")), beginnings);
}

#[test]
fn a_committed_offset_that_the_topic_does_not_hold_ends_the_run_with_the_place() {
    let world = World::new(Broker::shared(), "gone");
    let consumer: BaseConsumer =
        world.broker.client().set("group.id", world.group()).create().unwrap();
    let mut offsets = TopicPartitionList::new();
    offsets.add_partition_offset(&world.topic("in"), 1, Offset::Offset(700)).unwrap();
    consumer.commit(&offsets, CommitMode::Sync).unwrap();
    drop(consumer);
    let service = world.start("transactional", &[("recovery.replay_from", "none")]);
    let error = service.outcome().unwrap_err();
    let topic = world.topic("in");
    let expected = RunError::OffsetGone { topic, partition: 1, offset: 700, low: 0, high: 0 };
    assert_eq!(error, expected);
}

fn check_login(user: &str) -> Result<(), RunError> {
    let broker = Broker::shared();
    let world = World::new(broker, "login");
    let config = world.config(
        "transactional",
        &[
            ("kafka.brokers", broker.sasl_address()),
            ("kafka.security.protocol", "sasl_plaintext"),
            ("kafka.security.sasl.mechanism", "PLAIN"),
            ("kafka.security.sasl.username", user),
            ("kafka.security.sasl.password", user),
        ],
    );
    runtime::check_connection(&config, &[world.topic("in")], Duration::from_secs(20))
}

#[test]
fn a_login_with_password_reaches_the_broker_and_one_without_permission_is_refused() {
    assert_eq!(check_login("riskweir"), Ok(()));
    let error = check_login("stranger").unwrap_err();
    assert_eq!(error.code().0, "K0004", "{error}");
}
