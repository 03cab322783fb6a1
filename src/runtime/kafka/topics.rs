//! Are the brokers there, and do all topics exist? Asked before the first record is read, and by `validate --connect`.

use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, OwnedResourceSpecifier, ResourceSpecifier,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::{classify, client};
use crate::runtime::stop::Stop;

/// Checks that every topic exists and may be seen. Gives up after `limit` without an answer or when asked to stop.
pub(crate) fn check(
    config: &Config,
    inputs: &[String],
    limit: Duration,
    stop: &Stop,
) -> Result<(), RunError> {
    let outputs = config.topics.outputs().into_iter().map(|(_, topic)| topic);
    let all: Vec<&str> = inputs.iter().map(String::as_str).chain(outputs).collect();
    check_each(config, &all, limit, stop)
}

/// How long brokers may take to say how topics are kept.
const SETTINGS_LIMIT: Duration = Duration::from_secs(3);

/// Which of these topics are compacted. Empty where the brokers do not say: it takes a permission that nothing else needs.
pub(crate) fn compacted(config: &Config, inputs: &[String]) -> Vec<String> {
    let Ok(admin) = client::inquiry(config).create::<AdminClient<DefaultClientContext>>() else {
        return Vec::new();
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_time().build() else {
        return Vec::new();
    };
    let asked: Vec<ResourceSpecifier<'_>> =
        inputs.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
    let options = AdminOptions::new().request_timeout(Some(SETTINGS_LIMIT));
    let answer = runtime.block_on(async {
        tokio::time::timeout(SETTINGS_LIMIT, admin.describe_configs(&asked, &options)).await
    });
    let Ok(Ok(found)) = answer else { return Vec::new() };
    let is_compacted = |topic: &ConfigResource| {
        let policy = topic.get("cleanup.policy").and_then(|entry| entry.value.as_deref());
        policy.is_some_and(|policy| policy.contains("compact"))
    };
    let name = |topic: ConfigResource| match topic.specifier {
        OwnedResourceSpecifier::Topic(name) => Some(name),
        _ => None,
    };
    found.into_iter().flatten().filter(is_compacted).filter_map(name).collect()
}

/// The same for any topics.
pub(crate) fn check_each(
    config: &Config,
    names: &[&str],
    limit: Duration,
    stop: &Stop,
) -> Result<(), RunError> {
    let settings = |error: KafkaError| RunError::Settings { reason: error.to_string() };
    let asker: BaseConsumer = client::inquiry(config).create().map_err(settings)?;
    let deadline = Instant::now() + limit;
    for topic in names {
        check_one(config, &asker, topic, (deadline, limit), stop)?;
    }
    Ok(())
}

fn check_one(
    config: &Config,
    asker: &BaseConsumer,
    topic: &str,
    (deadline, limit): (Instant, Duration),
    stop: &Stop,
) -> Result<(), RunError> {
    loop {
        let reason = match asker.fetch_metadata(Some(topic), Duration::from_secs(2)) {
            Ok(metadata) => {
                let found = metadata.topics().iter().find(|found| found.name() == topic);
                match found.map(|found| (found.error(), found.partitions().len())) {
                    Some((None, 1..)) => return Ok(()),
                    Some((Some(error), _)) => match judge(config, topic, error) {
                        Some(error) => return Err(error),
                        None => "the topic has no leader".to_owned(),
                    },
                    _ => return Err(missing(config, topic)),
                }
            }
            Err(error) if classify::code(&error).is_some_and(classify::is_refusal) => {
                let (what, reason) = ("the cluster".to_owned(), error.to_string());
                return Err(RunError::Refused { what, reason });
            }
            Err(error) => {
                // WHY: a refused login shows as "no broker"; what the client met says which it was.
                asker.poll(Duration::ZERO);
                error.to_string()
            }
        };
        if stop.requested() {
            return Err(RunError::StoppedEarly { reason });
        }
        if Instant::now() >= deadline {
            let brokers = config.kafka.brokers.join(",");
            return Err(RunError::Unreachable { brokers, seconds: limit.as_secs(), reason });
        }
    }
}

fn judge(config: &Config, topic: &str, error: RDKafkaRespErr) -> Option<RunError> {
    let code = RDKafkaErrorCode::from(error);
    if classify::is_refusal(code) {
        let (what, reason) = (format!("topic `{topic}`"), code.to_string());
        return Some(RunError::Refused { what, reason });
    }
    matches!(code, RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic)
        .then(|| missing(config, topic))
}

fn missing(config: &Config, topic: &str) -> RunError {
    RunError::TopicMissing { topic: topic.to_owned(), brokers: config.kafka.brokers.join(",") }
}
