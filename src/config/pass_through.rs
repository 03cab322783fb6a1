//! Which settings of librdkafka may be passed through, and which are refused with a reason.

use crate::config::error::Problem;

/// Settings that a typed key owns: name and key.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "kafka.brokers"),
    ("metadata.broker.list", "kafka.brokers"),
    ("group.id", "kafka.group_id"),
    ("client.id", "kafka.client_id"),
    ("session.timeout.ms", "kafka.session_timeout"),
    ("linger.ms", "kafka.linger"),
    ("queue.buffering.max.ms", "kafka.linger"),
    ("security.protocol", "kafka.security.protocol"),
    ("ssl.ca.location", "kafka.security.tls.ca"),
    ("ssl.certificate.location", "kafka.security.tls.certificate"),
    ("ssl.key.location", "kafka.security.tls.key"),
    ("ssl.key.password", "kafka.security.tls.key_password"),
    ("sasl.mechanism", "kafka.security.sasl.mechanism"),
    ("sasl.mechanisms", "kafka.security.sasl.mechanism"),
    ("sasl.username", "kafka.security.sasl.username"),
    ("sasl.password", "kafka.security.sasl.password"),
    ("transactional.id", "delivery.transactional_id"),
    ("transaction.timeout.ms", "delivery.transaction_timeout"),
];

/// Settings of which one value keeps a promise and every other breaks it: name, the value, what would break.
const FIXED: &[(&str, &[&str], &str)] = &[
    ("enable.auto.commit", &["false"], "offsets would be committed before their outputs"),
    ("enable.auto.offset.store", &["false"], "offsets would be stored before their outputs"),
    ("enable.idempotence", &["true"], "a retry could write an output twice or out of order"),
    ("acks", &["all", "-1"], "an acknowledged output could be lost with its broker"),
    (
        "request.required.acks",
        &["all", "-1"],
        "an acknowledged output could be lost with its broker",
    ),
    ("isolation.level", &["read_committed"], "records of aborted transactions would be decided"),
    ("enable.gapless.guarantee", &["true"], "a lost output would go unnoticed"),
    ("allow.auto.create.topics", &["false"], "a misspelt topic would be created and stay empty"),
    ("auto.offset.reset", &["error"], "records would be skipped without a word"),
    (
        "partition.assignment.strategy",
        &["range"],
        "commits during a cooperative rebalance can loop",
    ),
    ("group.protocol", &["classic"], "the client's support of the new protocol is not sound yet"),
    ("enable.partition.eof", &["false"], "ends of partitions would be taken for errors"),
    (
        "enable.ssl.certificate.verification",
        &["true"],
        "whoever is on the way could stand in for a broker",
    ),
];

/// Names that start like this are none of a deployment's business.
const REFUSED_PREFIXES: &[(&str, &str)] =
    &[("test.", "it replaces the brokers by a mock"), ("plugin.", "it loads foreign code")];

/// Judges one pass-through setting.
///
/// # Errors
/// The setting is owned by a typed key or would break a promise.
pub(crate) fn check(name: &str, value: &str) -> Result<(), Problem> {
    let refuse =
        |reason: String| Err(Problem::ForbiddenClientSetting { name: name.to_owned(), reason });
    if let Some((_, key)) = OWNED.iter().find(|(owned, _)| *owned == name) {
        return refuse(format!("set `{key}` instead"));
    }
    if let Some((_, allowed, breaks)) = FIXED.iter().find(|(fixed, ..)| *fixed == name)
        && !allowed.contains(&value)
    {
        return refuse(format!("with `{value}` {breaks}"));
    }
    if name == "statistics.interval.ms" && value.trim() == "0" {
        return refuse(
            "without statistics nobody knows the lag and which commits have landed".to_owned(),
        );
    }
    if let Some((_, why)) = REFUSED_PREFIXES.iter().find(|(prefix, _)| name.starts_with(prefix)) {
        return refuse((*why).to_owned());
    }
    Ok(())
}
