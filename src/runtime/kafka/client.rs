//! Settings of the clients: pass-through first, then what the typed configuration says and what the promises need.

use rdkafka::ClientConfig;
use rdkafka::consumer::BaseConsumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::BaseProducer;

use crate::config::{Config, DeliveryMode};
use crate::runtime::error::RunError;

/// Whether the client takes its settings, each for itself and together: makes a consumer and a producer that know no
/// brokers, and drops them.
///
/// # Errors
/// The client's own words.
pub(crate) fn check(config: &Config) -> Result<(), RunError> {
    let refused = |error: KafkaError| RunError::Settings { reason: error.to_string() };
    let (mut reading, mut writing) = (consumer(config), producer(config));
    reading.remove("bootstrap.servers");
    writing.remove("bootstrap.servers");
    drop(reading.create::<BaseConsumer>().map_err(refused)?);
    drop(writing.create::<BaseProducer>().map_err(refused)?);
    Ok(())
}

/// Settings that every client shares.
fn common(config: &Config) -> ClientConfig {
    let kafka = &config.kafka;
    let mut client = ClientConfig::new();
    client
        // WHY: the client's own default of 100 ms doubles the latency of whatever is tried twice.
        .set("retry.backoff.ms", "10")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000");
    for (name, value) in &kafka.rdkafka {
        client.set(name, value);
    }
    client
        .set("bootstrap.servers", kafka.brokers.join(","))
        .set("client.id", &kafka.client_id)
        .set("security.protocol", &kafka.security.protocol);
    let tls = &kafka.security.tls;
    let files = [
        ("ssl.ca.location", &tls.ca),
        ("ssl.certificate.location", &tls.certificate),
        ("ssl.key.location", &tls.key),
    ];
    for (name, path) in files {
        if let Some(path) = path {
            client.set(name, path.display().to_string());
        }
    }
    if let Some(password) = &tls.key_password {
        client.set("ssl.key.password", password.reveal());
    }
    if let Some(sasl) = &kafka.security.sasl {
        client.set("sasl.mechanism", &sasl.mechanism);
        if let Some(username) = &sasl.username {
            client.set("sasl.username", username);
        }
        if let Some(password) = &sasl.password {
            client.set("sasl.password", password.reveal());
        }
    }
    client
}

/// Settings of a client that only asks questions.
pub(crate) fn inquiry(config: &Config) -> ClientConfig {
    let mut client = common(config);
    client.set("allow.auto.create.topics", "false");
    client
}

/// Settings of the consumer of a cell.
pub(crate) fn consumer(config: &Config) -> ClientConfig {
    let mut client = reader(config);
    let session_ms = config.kafka.session_timeout.as_millis();
    client
        .set("session.timeout.ms", session_ms.to_string())
        .set("heartbeat.interval.ms", (session_ms / 4).clamp(100, 3_000).to_string())
        .set("partition.assignment.strategy", "range")
        .set("enable.partition.eof", "false");
    if client.get("statistics.interval.ms").is_none() {
        client.set("statistics.interval.ms", "1000");
    }
    client
}

/// Settings of a consumer that replays: assigned by hand, never a member of the group.
pub(crate) fn replayer(config: &Config) -> ClientConfig {
    let mut client = reader(config);
    client.remove("group.instance.id");
    client.set("enable.partition.eof", "true");
    client
}

fn reader(config: &Config) -> ClientConfig {
    let mut client = common(config);
    let defaults = [
        // WHY: 64 MiB and 100,000 records per consumer are far more than a cell can use before they are stale.
        ("queued.max.messages.kbytes", "16384"),
        ("queued.min.messages", "10000"),
        ("fetch.queue.backoff.ms", "5"),
        ("fetch.error.backoff.ms", "100"),
        // WHY: a topic that is not found is asked for once more before anything follows from it (`cell/gone.rs`); while
        // the client gives it time, a topic that was deleted looks like one without new records.
        ("topic.metadata.propagation.max.ms", "1000"),
    ];
    for (name, value) in defaults {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    }
    client
        .set("group.id", &config.kafka.group_id)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    client
}

/// Settings of the producer of a cell.
pub(crate) fn producer(config: &Config) -> ClientConfig {
    let mut client = common(config);
    let delivery = &config.delivery;
    let room = delivery.max_in_flight.saturating_mul(2).max(1_000);
    let room_kib = (delivery.max_in_flight_bytes / 512).max(1_024);
    let defaults = [
        // WHY: the same key goes to the same partition as with the Java client.
        ("partitioner", "murmur2_random".to_owned()),
        ("queue.buffering.max.messages", room.to_string()),
        ("queue.buffering.max.kbytes", room_kib.to_string()),
    ];
    for (name, value) in defaults {
        if client.get(name).is_none() {
            client.set(name, value);
        }
    }
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", config.kafka.linger.as_millis().to_string());
    match delivery.mode {
        // WHY: an output is tried until the broker takes it; meanwhile reading pauses. Giving up would lose it.
        DeliveryMode::Idempotent => client.set("message.timeout.ms", "0"),
        DeliveryMode::Transactional => {
            let timeout_ms = delivery.transaction_timeout.as_millis().to_string();
            client
                .set("transactional.id", &delivery.transactional_id)
                .set("transaction.timeout.ms", &timeout_ms)
                .set("message.timeout.ms", &timeout_ms)
        }
    };
    client
}

/// Settings of a producer of input records.
pub(crate) fn feeder(config: &Config) -> ClientConfig {
    let mut client = common(config);
    client
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", config.kafka.linger.as_millis().to_string())
        // WHY: the same key goes to the same partition as with the Java client.
        .set("partitioner", "murmur2_random");
    client
}

/// Settings of a consumer that watches topics: assigned by hand, never a member of a group.
pub(crate) fn watcher(config: &Config) -> ClientConfig {
    let mut client = common(config);
    client.remove("group.instance.id");
    client
        .set("group.id", format!("{}-watch", config.kafka.group_id))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("isolation.level", "read_committed")
        .set("allow.auto.create.topics", "false");
    client
}
