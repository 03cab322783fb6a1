//! Are the brokers there, and do all topics exist? Asked before the first record is read, and by `validate --connect`.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::inspect::{self, POLICY, STAMP_AHEAD, STAMP_TYPE};
use crate::runtime::kafka::source::log_line;
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

/// What an input topic should not be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// Compaction removes records.
    Compacted,
    /// The stamp of a record is the clock of whoever wrote it, and the brokers let it run far ahead.
    ProducerStamps,
}

/// What is unfit of these topics, and of which of them the brokers do not say: it takes a permission that nothing else needs.
pub(crate) fn unfit(config: &Config, inputs: &[String]) -> (Vec<(String, Unfit)>, Vec<String>) {
    let names: Vec<&str> = inputs.iter().map(String::as_str).collect();
    let told = inspect::settings_of(config, &names, SETTINGS_LIMIT);
    let found = told.iter().flat_map(|(topic, settings)| {
        let compacted = is_compacted(settings).then_some(Unfit::Compacted);
        let stamps = takes_any_stamp(settings, config.time.future_guard);
        let unfit = compacted.into_iter().chain(stamps.then_some(Unfit::ProducerStamps));
        unfit.map(|unfit| (topic.clone(), unfit))
    });
    let is_told = |topic: &&String| {
        told.get(*topic).is_some_and(|settings| settings.contains_key(STAMP_TYPE))
    };
    (found.collect(), inputs.iter().filter(|topic| !is_told(topic)).cloned().collect())
}

/// Whether records are removed from the middle.
pub fn is_compacted(settings: &BTreeMap<String, String>) -> bool {
    settings.get(POLICY).is_some_and(|policy| policy.contains("compact"))
}

/// Whether a producer's clock that is ahead by more than this is taken for the arrival of a record.
pub fn takes_any_stamp(settings: &BTreeMap<String, String>, guard: Duration) -> bool {
    // Brokers before 3.6 have no bound that looks ahead alone.
    let bound_ms = settings.get(STAMP_AHEAD).and_then(|bound| bound.parse().ok());
    settings.get(STAMP_TYPE).is_some_and(|stamps| stamps == "CreateTime")
        && u128::from(bound_ms.unwrap_or(u64::MAX)) > guard.as_millis()
}

/// What the client met on its way to the brokers: it answers a question with "no broker" and tells the reason beside.
#[derive(Debug, Default)]
struct Met {
    told: Mutex<Option<(RDKafkaErrorCode, String)>>,
}

impl Met {
    /// The newest that says why.
    fn told(&self) -> Option<(RDKafkaErrorCode, String)> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Met {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, line: &str) {
        log_line(level, facility, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let Some(code) = error.rdkafka_error_code() else { return };
        // WHY: it follows every other error and has no reason of its own.
        if code != RDKafkaErrorCode::AllBrokersDown {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            *told = Some((code, reason.to_owned()));
        }
    }
}

impl ConsumerContext for Met {}

/// The same for any topics.
pub(crate) fn check_each(
    config: &Config,
    names: &[&str],
    limit: Duration,
    stop: &Stop,
) -> Result<(), RunError> {
    let settings = |error: KafkaError| RunError::Settings { reason: error.to_string() };
    let asker: BaseConsumer<Met> =
        client::inquiry(config).create_with_context(Met::default()).map_err(settings)?;
    let deadline = Instant::now() + limit;
    for topic in names {
        check_one(config, &asker, topic, (deadline, limit), stop)?;
    }
    Ok(())
}

fn check_one(
    config: &Config,
    asker: &BaseConsumer<Met>,
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
                while asker.poll(Duration::from_millis(1)).is_some() {}
                match asker.context().told() {
                    // WHY: where an identity provider does not answer the client says the same, and it may in a moment.
                    Some((code, reason))
                        if classify::is_refusal(code)
                            && (!logs_in_by_token(config) || Instant::now() >= deadline) =>
                    {
                        return Err(RunError::Refused { what: "the cluster".to_owned(), reason });
                    }
                    Some((_, reason)) => reason,
                    None => error.to_string(),
                }
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

fn logs_in_by_token(config: &Config) -> bool {
    config.kafka.security.sasl.as_ref().is_some_and(|sasl| sasl.mechanism == "OAUTHBEARER")
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

#[cfg(test)]
mod tests {
    use super::*;

    const GUARD: Duration = Duration::from_mins(5);

    #[test]
    fn stamps_of_producers_are_told_unless_the_broker_bounds_them() {
        let takes = |stamps: &str, bound: Option<&str>| {
            let bound = bound.map(|bound| (STAMP_AHEAD.to_owned(), bound.to_owned()));
            let stamps = (STAMP_TYPE.to_owned(), stamps.to_owned());
            takes_any_stamp(&core::iter::once(stamps).chain(bound).collect(), GUARD)
        };
        assert!(takes("CreateTime", None) && takes("CreateTime", Some("9223372036854775807")));
        assert!(takes("CreateTime", Some("300001")) && !takes("CreateTime", Some("300000")));
        assert!(!takes("LogAppendTime", None) && !takes("LogAppendTime", Some("3600000")));
        assert!(!takes_any_stamp(&BTreeMap::new(), GUARD), "nothing is told");
    }
}
