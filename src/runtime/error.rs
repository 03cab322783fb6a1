//! Why a run ends other than in order.

use thiserror::Error;

use crate::diag::Code;
use crate::durable::SnapshotError;
use crate::telemetry::happening;

/// Who has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Domain {
    /// The configuration is wrong.
    Config,
    /// Something outside failed: brokers, network, operating system.
    External,
    /// A promise inside the program does not hold.
    Internal,
}

/// Where on a record's way an error happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the input.
    Receive,
    /// Writing outputs.
    Emit,
    /// Committing offsets.
    Commit,
}

/// What stands where a record was that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OtherLog {
    /// Another record.
    Differs,
    /// Nothing: the partition is shorter.
    Ends {
        /// One past its newest record.
        high: i64,
    },
}

/// An error that ends the run.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunError {
    /// A topic does not exist.
    #[error("topic `{topic}` does not exist")]
    TopicMissing {
        /// The topic.
        topic: String,
        /// Where to create it.
        brokers: String,
    },
    /// The client says that it cannot go on.
    #[error("the Kafka client cannot go on: {reason}")]
    Fatal {
        /// The client's words.
        reason: String,
        /// Where.
        stage: Stage,
    },
    /// No broker answers.
    #[error("no broker of `{brokers}` answered within {seconds}s: {reason}")]
    Unreachable {
        /// The addresses.
        brokers: String,
        /// How long.
        seconds: u64,
        /// The client's words.
        reason: String,
    },
    /// Login or permission refused.
    #[error("the broker refuses access to {what}: {reason}")]
    Refused {
        /// A topic, the group or the transactional id.
        what: String,
        /// The client's words.
        reason: String,
    },
    /// An output that the broker does not take.
    #[error("an output for `{topic}` is larger than the broker takes")]
    TooLarge {
        /// The topic.
        topic: String,
    },
    /// The committed offset is gone.
    #[error(
        "the group's offset {offset} of `{topic}`-{partition} is outside what the broker holds ({low} to {high})"
    )]
    OffsetGone {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The offset.
        offset: i64,
        /// Oldest that the broker holds.
        low: i64,
        /// One past the newest.
        high: i64,
    },
    /// Snapshots cannot be read or written at all.
    #[error("snapshots: {reason}")]
    Snapshots {
        /// Stable code.
        code: Code,
        /// What happened.
        reason: String,
        /// How to mend it.
        help: &'static str,
    },
    /// Records between the snapshot and the committed offset are gone.
    #[error(
        "the state stands before offset {from} of `{topic}`-{partition}, but the broker's oldest record is {low}: {} records are gone",
        low - from
    )]
    InputGone {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The first offset that is needed.
        from: i64,
        /// Oldest that the broker holds.
        low: i64,
    },
    /// The input is not the log whose records were decided.
    #[error(
        "record {offset} of `{topic}`-{partition} was decided, but {}",
        match found {
            OtherLog::Differs => "another one stands there now".to_owned(),
            OtherLog::Ends { high } => format!("the partition ends before offset {high}"),
        }
    )]
    OtherLog {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Offset of a record that was decided.
        offset: i64,
        /// What stands there now.
        found: OtherLog,
    },
    /// The rule set needs all partitions, and this instance has some.
    #[error(
        "{who} {}, but other instances of the group have some of the partitions",
        match key {
            Some(key) => format!("reads by `{key}`, which other partitions know, too"),
            None => "may read by keys that other partitions know, too".to_owned(),
        }
    )]
    NeedsAllPartitions {
        /// The rule or event, with its noun.
        who: String,
        /// Its key, where that is known.
        key: Option<String>,
    },
    /// Partitions are decided by number, and the topics have different numbers of them.
    #[error(
        "`kafka.partitioned_by` is set, and the input topics have different numbers of partitions: {}",
        topics.iter().map(|(topic, n)| format!("`{topic}` {n}")).collect::<Vec<_>>().join(", ")
    )]
    UnevenTopics {
        /// Each with its partitions.
        topics: Vec<(String, u32)>,
    },
    /// The rule set needs all partitions, and another process writes the snapshots of whoever has them.
    #[error(
        "{who} {}, so one instance must have all partitions, and another process has them by its snapshots: {reason}",
        match key {
            Some(key) => format!("reads by `{key}`, which other partitions know, too"),
            None => "may read by keys that other partitions know, too".to_owned(),
        }
    )]
    HasAllPartitions {
        /// The rule or event, with its noun.
        who: String,
        /// Its key, where that is known.
        key: Option<String>,
        /// The place's words.
        reason: String,
    },
    /// Another producer uses the transactional id.
    #[error("another instance took over the transactional id `{id}`")]
    Fenced {
        /// The id.
        id: String,
    },
    /// The client does not take a setting.
    #[error("the Kafka client refuses its settings: {reason}")]
    Settings {
        /// The client's words.
        reason: String,
    },
    /// The orderly stop took too long, or cannot be had.
    #[error("gave up stopping in order after {seconds}s: {reason}")]
    StopTimeout {
        /// How long it was tried.
        seconds: u64,
        /// What was not finished.
        reason: String,
    },
    /// The process was asked to stop before it had begun.
    #[error("asked to stop before the brokers had answered: {reason}")]
    StoppedEarly {
        /// What it waited for.
        reason: String,
    },
    /// The address of metrics and health cannot be used.
    #[error("could not listen on {address}: {reason}")]
    Listen {
        /// The address.
        address: String,
        /// The system's words.
        reason: String,
    },
    /// Signals or threads could not be set up.
    #[error("could not set up the process: {reason}")]
    Process {
        /// The system's words.
        reason: String,
    },
    /// The rule set cannot be run.
    #[error("the engine could not be built: {reason}")]
    Engine {
        /// The engine's words.
        reason: String,
    },
    /// The stamps of input topics are those of the producers, and must not be.
    #[error("{} in `{topics}`", if *.told { "the arrival of records is told by the producers' own clocks" } else { "the brokers do not tell whose clock stamps the records" })]
    ProducerStamps {
        /// The topics.
        topics: String,
        /// Whether the brokers say so; else they do not say.
        told: bool,
        /// Where to change them.
        brokers: String,
    },
    /// A record came twice or out of order.
    #[error("record {offset} of `{topic}`-{partition} came when {expected} or later was expected")]
    OffsetsWentBack {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// Offset that came.
        offset: i64,
        /// Smallest that may come.
        expected: i64,
    },
}

impl RunError {
    /// What went wrong with snapshots.
    pub(crate) fn of_snapshots(error: &SnapshotError) -> Self {
        Self::Snapshots { code: error.code(), reason: error.to_string(), help: error.help() }
    }

    /// The stable code, where there is a page about it.
    pub fn code(&self) -> Code {
        Code(match self {
            Self::TopicMissing { .. } => "K0001",
            Self::Fatal { .. } | Self::OffsetsWentBack { .. } | Self::Process { .. } => "K0002",
            Self::Unreachable { .. } => "K0003",
            Self::Refused { .. } => "K0004",
            Self::TooLarge { .. } => "K0005",
            Self::OffsetGone { .. } => "K0006",
            Self::Fenced { .. } => "K0007",
            Self::Settings { .. } => "K0008",
            Self::StopTimeout { .. } | Self::StoppedEarly { .. } => "K0009",
            Self::Listen { .. } => "K0010",
            Self::Engine { .. } => "K0011",
            Self::InputGone { .. } => "K0012",
            Self::NeedsAllPartitions { .. } | Self::HasAllPartitions { .. } => "K0013",
            Self::OtherLog { .. } => "K0014",
            Self::UnevenTopics { .. } => "K0015",
            Self::ProducerStamps { .. } => "K0016",
            Self::Snapshots { code, .. } => code.0,
        })
    }

    /// Who has to act.
    pub fn domain(&self) -> Domain {
        match self {
            Self::TopicMissing { .. }
            | Self::Refused { .. }
            | Self::Fenced { .. }
            | Self::TooLarge { .. }
            | Self::NeedsAllPartitions { .. }
            | Self::HasAllPartitions { .. }
            | Self::UnevenTopics { .. }
            | Self::ProducerStamps { .. }
            | Self::Snapshots { .. }
            | Self::Settings { .. }
            | Self::Listen { .. } => Domain::Config,
            Self::Fatal { .. }
            | Self::Unreachable { .. }
            | Self::OffsetGone { .. }
            | Self::InputGone { .. }
            | Self::OtherLog { .. }
            | Self::StopTimeout { .. }
            | Self::StoppedEarly { .. }
            | Self::Process { .. } => Domain::External,
            Self::OffsetsWentBack { .. } | Self::Engine { .. } => Domain::Internal,
        }
    }

    /// Whether a fresh start may succeed without anybody acting.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Fatal { .. }
                | Self::Unreachable { .. }
                | Self::StopTimeout { .. }
                | Self::StoppedEarly { .. }
                | Self::OffsetsWentBack { .. }
        )
    }

    /// Where on a record's way it happened.
    pub fn stage(&self) -> Stage {
        match self {
            Self::Fatal { stage, .. } => *stage,
            Self::TooLarge { .. } => Stage::Emit,
            Self::Fenced { .. } | Self::StopTimeout { .. } => Stage::Commit,
            _ => Stage::Receive,
        }
    }

    /// How to mend it, one sentence.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::TopicMissing { topic, brokers } => Some(format!(
                "create it: kafka-topics.sh --bootstrap-server {brokers} --create --topic {topic} --partitions 6"
            )),
            Self::ProducerStamps { told: true, topics, brokers } => {
                let topic = topics.split('`').next().unwrap_or(topics);
                Some(happening::InputStampedByProducers { topic }.mend(brokers))
            }
            Self::ProducerStamps { told: false, .. } => Some(
                "let this user `DescribeConfigs` on the topic, or set `time.producer_stamps: warn`".to_owned(),
            ),
            Self::Unreachable { .. } => {
                Some("check `kafka.brokers`, the network and `kafka.security`".to_owned())
            }
            Self::Settings { .. } => Some(
                "mend the key of `kafka` or `delivery`, or the entry of `kafka.rdkafka`, that it speaks of".to_owned(),
            ),
            Self::Fenced { .. } => {
                Some("give each instance a `delivery.transactional_id` of its own".to_owned())
            }
            Self::OffsetGone { .. } => Some(
                "records were deleted before they were decided: set the group's offset by hand, then raise the retention"
                    .to_owned(),
            ),
            Self::NeedsAllPartitions { key: None, .. } => Some(
                "set `kafka.partitioned_by` to the entity whose value is the key of the input records; or run one instance"
                    .to_owned(),
            ),
            Self::NeedsAllPartitions { .. } => Some(
                "run one instance with this rule set, or write the rule by the entity of `kafka.partitioned_by`"
                    .to_owned(),
            ),
            Self::HasAllPartitions { key, .. } => Some(format!(
                "{}; an instance of another group needs a `snapshot.dir` of its own",
                if key.is_none() {
                    "set `kafka.partitioned_by` to the entity whose value is the key of the input records, or run one instance"
                } else {
                    "run one instance with this rule set, or write the rule by the entity of `kafka.partitioned_by`"
                }
            )),
            Self::Snapshots { help, .. } => Some((*help).to_owned()),
            Self::InputGone { .. } => Some(
                "raise the topic's retention; to go on without those records start once with `--accept-gap`: decisions that may miss them are marked `state_gap`, until the longest window, `time.dedupe_window` and the longest time on a list that rules ask and fill have passed"
                    .to_owned(),
            ),
            Self::OtherLog { .. } => Some(
                "look where `kafka.brokers` leads to; if the topic was made anew on purpose, stop all instances, delete the group's offsets of it and the snapshots, and start again: windows begin anew, too"
                    .to_owned(),
            ),
            Self::UnevenTopics { .. } => Some(
                "give all input topics, and that of commands, as many partitions as the one with most: one key must have one number in all of them"
                    .to_owned(),
            ),
            Self::Listen { .. } => Some("set `http.listen` to a free address".to_owned()),
            _ => None,
        }
    }
}
