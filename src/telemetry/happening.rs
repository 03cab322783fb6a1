//! What is worth a log line: one struct per happening, never with payload.
//!
//! ERROR: data may be lost or the operator must act. WARN: unexpected and recovered. INFO: what the operator asked for
//! happened. Warnings and errors that repeat are written a few times per window and counted otherwise.

use std::net::SocketAddr;
use std::time::Duration;

use tracing::{debug, error, info, warn};

use crate::base::time::format_rfc3339;
use crate::telemetry::throttle;

/// The process starts to work.
#[derive(Clone, Copy, Debug)]
pub struct Started<'a> {
    /// Version of the program.
    pub version: &'a str,
    /// Digest of the settings that decisions depend on: what decisions call `config`.
    pub config: &'a str,
    /// Digest of all settings, secrets apart.
    pub settings: &'a str,
    /// Digest of the rule set.
    pub ruleset: &'a str,
    /// Where metrics and health are served.
    pub http: SocketAddr,
}

impl Started<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { version, config, settings, ruleset, http } = self;
        info!(version, config, settings, ruleset, %http, "Riskweir started.");
    }
}

/// The group gave this instance its partitions.
#[derive(Clone, Copy, Debug)]
pub struct PartitionsAssigned {
    /// How many.
    pub partitions: usize,
}

impl PartitionsAssigned {
    /// Writes it.
    pub fn emit(&self) {
        info!(partitions = self.partitions, "Partitions assigned.");
    }
}

/// The rule set needs all partitions, and this instance has some: it waits for the others.
#[derive(Clone, Copy, Debug)]
pub struct PartitionsAwaited<'a> {
    /// Stable code.
    pub code: &'a str,
    /// What is the matter.
    pub error: &'a str,
}

impl PartitionsAwaited<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { code, error } = self;
        warn!(code, error, "Nothing is decided until all partitions are here.");
    }
}

/// An input topic got more partitions while the service ran, and each has windows of its own.
#[derive(Clone, Copy, Debug)]
pub struct PartitionsGrew {
    /// How many there were.
    pub before: u32,
    /// How many there are at least.
    pub now: u32,
}

impl PartitionsGrew {
    /// Writes it.
    pub fn emit(&self) {
        warn!(
            before = self.before,
            now = self.now,
            "An input topic has more partitions than at the start: keys that move to another one begin with empty \
             windows there, which say `warming`.",
        );
    }
}

/// The group took partitions away.
#[derive(Clone, Copy, Debug)]
pub struct PartitionsRevoked {
    /// How many.
    pub partitions: usize,
    /// Whether they were gone before this instance could commit.
    pub lost: bool,
}

impl PartitionsRevoked {
    /// Writes it.
    pub fn emit(&self) {
        info!(partitions = self.partitions, lost = self.lost, "Partitions revoked.");
    }
}

/// Windows are rebuilt from the input.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryStarted {
    /// Partitions to read.
    pub partitions: usize,
}

impl RecoveryStarted {
    /// Writes it.
    pub fn emit(&self) {
        info!(partitions = self.partitions, "Rebuilding windows from the input topics.");
    }
}

/// Windows are rebuilt.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryFinished {
    /// Records that were replayed.
    pub records: u64,
    /// How long it took.
    pub took: Duration,
}

impl RecoveryFinished {
    /// Writes it.
    pub fn emit(&self) {
        let took_ms = u64::try_from(self.took.as_millis()).unwrap_or(u64::MAX);
        info!(records = self.records, took_ms, "Windows are rebuilt; deciding live.");
    }
}

/// Windows must be rebuilt because what they hold is not what the group has committed.
#[derive(Clone, Copy, Debug)]
pub struct WindowsDiscarded<'a> {
    /// Why.
    pub reason: &'a str,
}

impl WindowsDiscarded<'_> {
    /// Writes it.
    pub fn emit(&self) {
        warn!(reason = self.reason, "Windows are ahead of the committed offsets; rebuilding them.");
    }
}

/// A snapshot was passed over at a start.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotSkipped<'a> {
    /// Its name on the storage.
    pub snapshot: &'a str,
    /// Where snapshots lie.
    pub place: &'a str,
    /// What is wrong with it.
    pub reason: &'a str,
}

impl SnapshotSkipped<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { snapshot, place, reason } = self;
        warn!(snapshot, place, reason, "Snapshot is not used; trying the one before it.");
    }
}

/// Something among the snapshots is named like one and is no file.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotNoFile<'a> {
    /// Its name on the storage.
    pub snapshot: &'a str,
    /// Where snapshots lie.
    pub place: &'a str,
}

impl SnapshotNoFile<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { snapshot, place } = self;
        warn!(snapshot, place, "An entry among the snapshots is no plain file; it is not used.");
    }
}

/// The active rule set was not to be found beside the snapshots.
#[derive(Clone, Copy, Debug)]
pub struct RuleSetKeptAgain<'a> {
    /// The shard.
    pub shard: &'a str,
    /// Identity of rule set and settings.
    pub ruleset: &'a str,
    /// What is wrong with its file.
    pub error: &'a str,
}

impl RuleSetKeptAgain<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { shard, ruleset, error } = self;
        warn!(
            shard,
            ruleset,
            error,
            "The active rule set could not be read beside the snapshots; it is kept again."
        );
    }
}

/// The active rule set is not to be found beside the snapshots, and could not be kept there again.
#[derive(Clone, Copy, Debug)]
pub struct RuleSetNotKept<'a> {
    /// The shard.
    pub shard: &'a str,
    /// Identity of rule set and settings.
    pub ruleset: &'a str,
    /// What is wrong with its file.
    pub error: &'a str,
    /// Why it could not be kept.
    pub reason: &'a str,
}

impl RuleSetNotKept<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { shard, ruleset, error, reason } = self;
        error!(
            shard,
            ruleset,
            error,
            reason,
            "The active rule set cannot be read beside the snapshots and could not be kept again: mend the place and \
             restart, or a recovery from there may lack it."
        );
    }
}

/// An input topic is compacted.
#[derive(Clone, Copy, Debug)]
pub struct InputCompacted<'a> {
    /// Topic.
    pub topic: &'a str,
}

impl InputCompacted<'_> {
    /// What it means.
    pub const MEANS: &'static str = "records that compaction removes are missing from every recovery, and nothing tells of it; \
                                     set `cleanup.policy=delete`";

    /// Writes it.
    pub fn emit(&self) {
        let (topic, means) = (self.topic, Self::MEANS);
        warn!(topic, means, "An input topic is compacted.");
    }
}

/// The stamps of an input topic are the clocks of those who write there.
#[derive(Clone, Copy, Debug)]
pub struct InputStampedByProducers<'a> {
    /// Topic.
    pub topic: &'a str,
}

impl InputStampedByProducers<'_> {
    /// What it means.
    pub const MEANS: &'static str = "`time.future_guard` then compares a producer's clock with itself: one record of a clock that is ahead \
                                     ends the holds of its partition and lets what follows pass as `too_late`";

    /// The command that mends it.
    pub fn mend(&self, brokers: &str) -> String {
        format!(
            "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {} \
             --add-config message.timestamp.type=LogAppendTime",
            self.topic
        )
    }

    /// Writes it.
    pub fn emit(&self, brokers: &str) {
        let (topic, means, mend) = (self.topic, Self::MEANS, self.mend(brokers));
        warn!(
            topic,
            means, mend, "An input topic takes the producers' clocks for the arrival of records."
        );
    }
}

/// Windows come from a snapshot.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotLoaded<'a> {
    /// Its name on the storage.
    pub snapshot: &'a str,
    /// Its length there.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

impl SnapshotLoaded<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { snapshot, bytes, took } = self;
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        info!(snapshot, bytes, took_ms, "Windows come from a snapshot.");
    }
}

/// A recovered state is not what it was.
#[derive(Clone, Copy, Debug)]
pub struct RecoveryDiffers<'a> {
    /// The shard.
    pub shard: &'a str,
    /// The digest that was written down at the commit.
    pub expected: u64,
    /// The digest after the replay.
    pub found: u64,
}

impl RecoveryDiffers<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { shard, expected, found } = self;
        error!(
            shard,
            expected = format!("{expected:016x}"),
            found = format!("{found:016x}"),
            "Replay decided otherwise than the first time; windows may differ. Was the rule set or the configuration changed?"
        );
    }
}

/// The rule set that decided records of the past is not at hand.
#[derive(Clone, Copy, Debug)]
pub struct EpochUnknown<'a> {
    /// Number of the epoch.
    pub epoch: u64,
    /// Identity of its rule set.
    pub ruleset: &'a str,
}

impl EpochUnknown<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { epoch, ruleset } = self;
        warn!(
            epoch,
            ruleset,
            "The rule set of an epoch was not kept; its records are replayed with another one."
        );
    }
}

/// A rule set has become active.
#[derive(Clone, Copy, Debug)]
pub struct RuleSetActive<'a> {
    /// The shard.
    pub shard: &'a str,
    /// Number of the epoch.
    pub epoch: u64,
    /// Identity of rule set and settings together, under which it is kept beside the snapshots.
    pub kept_as: &'a str,
    /// Aggregates that know their whole window.
    pub kept: usize,
    /// Those of them that know it because the past was read again.
    pub filled: usize,
    /// Aggregates that answer `warming` until their window has filled.
    pub warming: usize,
    /// Aggregates that nobody asks for any more.
    pub dropped: usize,
}

impl RuleSetActive<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { shard, epoch, kept_as, kept, filled, warming, dropped } = self;
        info!(shard, epoch, kept_as, kept, filled, warming, dropped, "Rule set is active.");
    }
}

/// The past is read again for a rule set that is to become active.
#[derive(Clone, Copy, Debug)]
pub struct BackfillStarted<'a> {
    /// Identity of rule set and settings.
    pub ruleset: &'a str,
    /// Event time from which on, in ms since 1970; none: from the oldest record on.
    pub since_ms: Option<i64>,
    /// About how many records that is.
    pub records: u64,
}

impl BackfillStarted<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { ruleset, since_ms, records } = self;
        let since = since_ms.map_or_else(|| "the oldest record".to_owned(), format_rfc3339);
        info!(ruleset, since, records, "The past is read again; the active rule set goes on.");
    }
}

/// The log does not reach back as far as was asked for.
#[derive(Clone, Copy, Debug)]
pub struct BackfillCut<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
}

impl BackfillCut<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { topic, partition } = self;
        warn!(topic, partition, "The log begins later; windows are filled with what it holds.");
    }
}

/// The past is read up to the present.
#[derive(Clone, Copy, Debug)]
pub struct BackfillRead {
    /// How many records.
    pub records: u64,
    /// How long it took.
    pub took: Duration,
    /// Event time from which on the windows know all, in ms since 1970.
    pub since_ms: i64,
}

impl BackfillRead {
    /// Writes it.
    pub fn emit(&self) {
        let Self { records, took, since_ms } = self;
        let known_since = match *since_ms {
            i64::MIN => "the first record".to_owned(),
            i64::MAX => "now".to_owned(),
            since_ms => format_rfc3339(since_ms),
        };
        info!(records, ?took, known_since, "The past is read.");
    }
}

/// A rule set was not taken; the one that is active stays.
#[derive(Clone, Copy, Debug)]
pub struct RuleSetRefused<'a> {
    /// Why.
    pub reason: &'a str,
}

impl RuleSetRefused<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let reason = self.reason;
        error!(reason, "Rule set is refused; the active one stays.");
    }
}

/// Readers have seen answers to records that are decided again; what is there is not written twice.
#[derive(Clone, Copy, Debug)]
pub struct AnswersFound {
    /// Records with an answer.
    pub records: usize,
}

impl AnswersFound {
    /// Writes it.
    pub fn emit(&self) {
        let Self { records } = self;
        info!(
            records,
            "Answers behind the committed offsets are there already; they are not written again."
        );
    }
}

/// An output topic could not be read, so answers that are there already may be written again, and the order across partitions
/// is not known.
#[derive(Clone, Copy, Debug)]
pub struct AnswersUnknown<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Why.
    pub error: &'a str,
}

impl AnswersUnknown<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { topic, error } = self;
        warn!(
            topic,
            error,
            "Could not read what was answered before; answers may come twice, and several partitions' records be decided in another order."
        );
    }
}

/// A rule set cannot be kept beside the snapshots now; the one that is active goes on.
#[derive(Clone, Copy, Debug)]
pub struct RuleSetHeldBack<'a> {
    /// Why.
    pub reason: &'a str,
    /// When it is tried again.
    pub again_in: Duration,
}

impl RuleSetHeldBack<'_> {
    /// Writes it, unless the same was written too often of late.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit("rule_set_held_back") {
            let (reason, again_in) = (self.reason, self.again_in.as_secs_f64());
            error!(
                reason,
                again_in_s = again_in,
                kept_back,
                "Rule set is held back; the active one stays, and it is tried again."
            );
        }
    }
}

/// The first rule set cannot be kept beside the snapshots, so no record may be decided by it.
#[derive(Clone, Copy, Debug)]
pub struct NothingDecided<'a> {
    /// Why.
    pub reason: &'a str,
}

impl NothingDecided<'_> {
    /// Writes it, unless the same was written too often of late.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit("nothing_decided") {
            let reason = self.reason;
            error!(
                reason,
                kept_back,
                "Nothing is decided until the rule set can be kept beside the snapshots; tried again every second."
            );
        }
    }
}

/// Records are missing from the windows, and the operator has accepted it.
#[derive(Clone, Copy, Debug)]
pub struct GapAccepted<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// The first offset that is missing.
    pub from: i64,
    /// The oldest that the broker holds.
    pub low: i64,
}

impl GapAccepted<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { topic, partition, from, low } = self;
        warn!(topic, partition, from, low, "Records are gone; decisions are marked `state_gap`.");
    }
}

/// The committed offsets were set back, and the input no longer holds what the windows knew.
#[derive(Clone, Copy, Debug)]
pub struct PastLost<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// The oldest record that is left.
    pub low: i64,
    /// The committed offset.
    pub committed: i64,
    /// The newest snapshot, which has seen more than that.
    pub snapshot: &'a str,
}

impl PastLost<'_> {
    /// Writes it.
    pub fn emit(&self) {
        let Self { topic, partition, low, committed, snapshot } = self;
        warn!(
            topic,
            partition,
            low,
            committed,
            snapshot,
            "The past of a partition is lost: no snapshot fits its committed offset, and records before `low` are gone; its windows begin there."
        );
    }
}

/// A snapshot could not be written; earlier ones are as they were.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotFailed<'a> {
    /// Stable code.
    pub code: &'a str,
    /// What happened.
    pub error: &'a str,
    /// How to mend it.
    pub help: &'a str,
}

impl SnapshotFailed<'_> {
    /// Writes it, unless the same was written too often of late.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit("snapshot_failed") {
            let Self { code, error, help } = self;
            error!(
                code,
                error, help, kept_back, "Snapshot could not be written; earlier ones stand."
            );
        }
    }
}

/// Snapshots of no more use could not be deleted.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotsNotPruned<'a> {
    /// What happened.
    pub error: &'a str,
}

impl SnapshotsNotPruned<'_> {
    /// Writes it, unless the same was written too often of late.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit("snapshots_not_pruned") {
            let error = self.error;
            warn!(error, kept_back, "Old snapshots could not be deleted; trying again later.");
        }
    }
}

/// The Kafka client met an error that may pass.
#[derive(Clone, Copy, Debug)]
pub struct KafkaTrouble<'a> {
    /// What was attempted.
    pub attempted: &'static str,
    /// The client's code.
    pub code: &'a str,
    /// The client's words.
    pub error: &'a str,
}

impl KafkaTrouble<'_> {
    /// Writes it, unless the same was written too often of late.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit(self.attempted) {
            let Self { attempted, code, error } = self;
            warn!(attempted, code, error, kept_back, "Kafka is in trouble; trying on.");
        }
    }
}

/// An open Kafka transaction was aborted and its outputs are written again.
#[derive(Clone, Copy, Debug)]
pub struct TransactionRepeated<'a> {
    /// Records in it.
    pub records: usize,
    /// Whether the producer had to be made anew.
    pub new_producer: bool,
    /// Why.
    pub error: &'a str,
}

impl TransactionRepeated<'_> {
    /// Writes it, unless the same was written too often of late.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit("transaction_repeated") {
            let Self { records, new_producer, error } = self;
            warn!(
                records,
                new_producer, error, kept_back, "Kafka transaction did not commit; repeating it."
            );
        }
    }
}

/// Reading pauses because outputs wait for the broker.
#[derive(Clone, Copy, Debug)]
pub struct BackPressure {
    /// Outputs that wait.
    pub in_flight: u64,
}

impl BackPressure {
    /// Writes it, unless the same was written too often of late.
    pub fn emit(&self) {
        if let Some(kept_back) = throttle::admit("back_pressure") {
            warn!(
                in_flight = self.in_flight,
                kept_back, "Outputs wait for the broker; reading pauses."
            );
        }
    }
}

/// A line of the Kafka client itself.
#[derive(Clone, Copy, Debug)]
pub struct ClientLine<'a> {
    /// Where in the client.
    pub facility: &'a str,
    /// What it says.
    pub line: &'a str,
    /// Whether it is an error or a warning.
    pub grave: bool,
}

impl ClientLine<'_> {
    /// Writes it: grave ones limited as warnings, others for debugging.
    pub fn emit(&self) {
        let Self { facility, line, grave } = self;
        if !grave {
            debug!(facility, line, "The Kafka client says something.");
        } else if let Some(kept_back) = throttle::admit("client_line") {
            warn!(facility, line, kept_back, "The Kafka client complains.");
        }
    }
}

/// The process was told to stop.
#[derive(Clone, Copy, Debug)]
pub struct Stopping {
    /// How long it may take.
    pub limit: Duration,
}

impl Stopping {
    /// Writes it.
    pub fn emit(&self) {
        let limit_ms = u64::try_from(self.limit.as_millis()).unwrap_or(u64::MAX);
        info!(limit_ms, "Stopping: finishing what is in flight.");
    }
}

/// The process stopped in order.
#[derive(Clone, Copy, Debug)]
pub struct Stopped {
    /// Records read in this run.
    pub read: u64,
    /// Decided and acknowledged.
    pub decided: u64,
    /// Dead-lettered and acknowledged.
    pub dead_lettered: u64,
}

impl Stopped {
    /// Writes it.
    pub fn emit(&self) {
        let Self { read, decided, dead_lettered } = self;
        info!(read, decided, dead_lettered, "Stopped in order.");
    }
}

/// The process ends because of an error.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// Stable code.
    pub code: &'a str,
    /// What happened.
    pub error: &'a str,
}

impl Failed<'_> {
    /// Writes it.
    pub fn emit(&self) {
        error!(code = self.code, error = self.error, "Riskweir ends because of an error.");
    }
}
