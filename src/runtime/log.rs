//! The port to the message log: what the runtime asks of Kafka, in its own terms.
//!
//! [`crate::runtime::kafka`] answers it with the real client; the simulator answers it with a log in memory whose every
//! effect can be delayed, lost, repeated or cut off. Cell, deliveries and recovery know this port alone, so what the
//! simulator proves holds for the code that runs.

use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::runtime::error::RunError;
use crate::runtime::port::Input;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Partition {
    /// Topic.
    pub topic: Arc<str>,
    /// Number.
    pub number: i32,
}

/// A committed position: the next offset to read, and what was written down beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The next offset to read.
    pub offset: i64,
    /// Commit metadata; at most a few KiB.
    pub note: String,
}

/// What kind of error it is: what can be done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The same call may succeed later.
    Passing,
    /// The open transaction must be aborted; the producer stays usable.
    Abortable,
    /// The group does not know this member any more.
    GroupLost,
    /// Another producer has our identity, or the broker gave our transaction up.
    Fenced,
    /// The broker does not let us.
    Refused,
    /// The broker will never take this message.
    TooLarge,
    /// Nobody knows whether it happened (time-outs), or the client cannot go on.
    Unknown,
}

/// An error of the log's client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text}")]
pub struct LogError {
    /// What can be done about it.
    pub kind: ErrorKind,
    /// The client's name of it: a metric label of a closed set.
    pub code: String,
    /// The client's words.
    pub text: String,
}

/// Whether the client says, by this name of an error, that it does not find a topic or a partition.
pub(crate) fn is_not_found(code: &str) -> bool {
    ["UnknownTopic", "UnknownTopicOrPartition", "UnknownPartition", "UnknownTopicId"]
        .contains(&code)
}

/// What the group did to this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupEvent {
    /// These partitions are ours from now on.
    Assigned(Vec<Partition>),
    /// Our partitions are taken away.
    Revoked,
}

/// A record in the client's memory.
pub trait Fetched {
    /// The record.
    fn input(&self) -> Input<'_>;

    /// The value of a header; of several of that name the last.
    fn header(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

/// What a poll brought.
#[derive(Debug)]
pub enum Polled<R> {
    /// A record.
    Record(R),
    /// Nothing, or something that was written down.
    Nothing,
    /// An error that may pass.
    Trouble(Trouble),
}

/// An error of a consumer, in the cell's terms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The client's name of it.
    pub code: String,
    /// The client's words.
    pub error: String,
    /// The broker does not hold the offset to read next.
    pub offset_gone: bool,
}

/// A message as it goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wire {
    /// Topic.
    pub topic: Arc<str>,
    /// Key.
    pub key: Vec<u8>,
    /// Body.
    pub body: Vec<u8>,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

impl Wire {
    /// Bytes of key and body.
    pub fn size(&self) -> u64 {
        (self.key.len() + self.body.len()) as u64
    }
}

/// What became of one message.
#[derive(Debug)]
pub struct Report {
    /// The number under which it was sent.
    pub token: u64,
    /// Bytes of key and body.
    pub size: u64,
    /// Why it was not taken, with the message to send it again.
    pub failure: Option<Box<(LogError, Wire)>>,
}

/// A client of the log: makes consumers and producers.
pub trait Log {
    /// The member of a group.
    type Source: Source;
    /// The producer.
    type Writer: Writer<Membership = <Self::Source as Source>::Membership>;
    /// A consumer outside the group, for replay.
    type Reader: Reader;
    /// A producer of input records.
    type Scribe: Scribe;

    /// Joins the group for these topics; without any it joins nothing, and can only be asked.
    ///
    /// # Errors
    /// Settings that the client does not take.
    fn source(&self, topics: &[String]) -> Result<Self::Source, RunError>;

    /// Makes a producer.
    ///
    /// # Errors
    /// Settings that the client does not take.
    fn writer(&self) -> Result<Self::Writer, RunError>;

    /// Reads partitions, all of one topic, each from an offset or from its oldest record.
    ///
    /// # Errors
    /// Settings that the client does not take.
    fn reader(&self, starts: &[(Partition, Option<i64>)]) -> Result<Self::Reader, RunError>;

    /// Makes a producer of input records.
    ///
    /// # Errors
    /// Settings that the client does not take.
    fn scribe(&self) -> Result<Self::Scribe, RunError>;
}

/// A producer of input records: what this process has to say to all who read the partition, itself included.
pub trait Scribe {
    /// Hands a record over. Whether it arrives is seen when it is read.
    fn write(&mut self, partition: &Partition, body: &[u8]);

    /// Lets the client work, without waiting.
    fn serve(&mut self);
}

/// The member of a consumer group.
///
/// INVARIANT: partitions are given back only by [`Source::unassign`]; until then a rebalance waits, so whatever is in
/// flight can be settled first. Leaves the group when it is dropped.
pub trait Source {
    /// Who we are in the group, for offsets inside a transaction.
    type Membership;
    /// A record in the client's memory.
    type Record<'a>: Fetched
    where
        Self: 'a;

    /// Takes the next record, waiting up to `wait`.
    ///
    /// # Errors
    /// The client cannot go on.
    fn poll(&self, wait: Duration) -> Result<Polled<Self::Record<'_>>, RunError>;

    /// The next thing that the group did.
    fn take_event(&self) -> Option<GroupEvent>;

    /// Whether the group did something that nobody has acted on yet.
    fn has_event(&self) -> bool;

    /// Whether our partitions are somebody else's already.
    fn is_lost(&self) -> bool;

    /// The committed positions of the partitions, in their order.
    ///
    /// # Errors
    /// The broker does not answer within `timeout`, or refuses.
    fn committed(
        &self,
        partitions: &[Partition],
        timeout: Duration,
    ) -> Result<Vec<Option<Position>>, LogError>;

    /// Starts to fetch, each partition from its offset or from the oldest record.
    ///
    /// # Errors
    /// The client cannot go on.
    fn assign(&self, starts: &[(Partition, Option<i64>)]) -> Result<(), RunError>;

    /// Gives all partitions back.
    ///
    /// # Errors
    /// The client cannot go on.
    fn unassign(&self) -> Result<(), RunError>;

    /// Stops fetching; polling goes on.
    ///
    /// # Errors
    /// The client cannot go on.
    fn pause(&self) -> Result<(), RunError>;

    /// Goes on fetching.
    ///
    /// # Errors
    /// The client cannot go on.
    fn resume(&self) -> Result<(), RunError>;

    /// Commits positions; waits for the broker's answer when `wait` is set.
    ///
    /// # Errors
    /// They could not be handed over, or the broker said no.
    fn commit(&self, positions: &[(Partition, Position)], wait: bool) -> Result<(), LogError>;

    /// Whether a commit without waiting has failed since the last call.
    fn take_commit_failure(&self) -> bool;

    /// The offset up to which the broker has acknowledged commits without waiting; none before the first.
    fn acknowledged(&self, partition: &Partition) -> Option<i64>;

    /// Who we are in the group; none before the group has taken us.
    fn membership(&self) -> Option<Self::Membership>;

    /// The end of a partition as it was last heard.
    fn tail(&self, partition: &Partition) -> Option<i64>;

    /// How many partitions a topic has; none where there is no such topic.
    ///
    /// # Errors
    /// The broker does not answer within `timeout`.
    fn n_partitions(&self, topic: &str, timeout: Duration) -> Result<u32, LogError>;

    /// The oldest offset of a partition and one past its newest.
    ///
    /// # Errors
    /// The broker does not answer within `timeout`.
    fn bounds(&self, partition: &Partition, timeout: Duration) -> Result<(i64, i64), LogError>;

    /// Of each partition the oldest offset whose record is stamped with this time (ms since 1970, not negative) or a
    /// later one; none where there is no such record.
    ///
    /// # Errors
    /// The broker does not answer within `timeout`.
    fn offsets_at(
        &self,
        partitions: &[Partition],
        time_ms: i64,
        timeout: Duration,
    ) -> Result<Vec<Option<i64>>, LogError>;
}

/// A producer, with or without transactions.
pub trait Writer {
    /// Who the consumer is in its group.
    type Membership;

    /// Hands a message over; gives it back when there is no room now.
    ///
    /// # Errors
    /// It cannot be taken.
    fn send(&mut self, wire: &Wire, token: u64) -> Result<Sent, LogError>;

    /// Lets the client work, up to `wait`.
    fn serve(&mut self, wait: Duration);

    /// Takes what became of messages.
    fn take_reports(&mut self, into: &mut Vec<Report>);

    /// Messages that were handed over and not reported on.
    fn in_flight(&self) -> usize;

    /// The error after which this producer is of no use.
    fn fatal(&self) -> Option<LogError>;

    /// Registers the transactional id: ends whatever an earlier producer of this id left open.
    ///
    /// # Errors
    /// The broker does not answer within `timeout`, or refuses.
    fn register(&mut self, timeout: Duration) -> Result<(), LogError>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// The producer is in no state to.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Begins to commit the transaction together with positions of the input; at once, on another thread.
    fn start_commit(
        &mut self,
        positions: Vec<(Partition, Position)>,
        membership: Self::Membership,
        timeout: Duration,
    );

    /// What became of the commit, once; none while it is under way.
    fn commit_outcome(&mut self) -> Option<Result<(), LogError>>;

    /// Aborts the transaction.
    ///
    /// # Errors
    /// The broker does not answer within `timeout`, or this producer may not any more.
    fn abort(&mut self, timeout: Duration) -> Result<(), LogError>;
}

/// Whether a message was handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The client has it.
    Taken,
    /// The client has no room now.
    Full,
}

/// A consumer outside the group.
pub trait Reader {
    /// A record in the client's memory.
    type Record<'a>: Fetched
    where
        Self: 'a;

    /// Takes the next thing, waiting up to `wait`.
    ///
    /// # Errors
    /// The client cannot go on.
    fn poll(&self, wait: Duration) -> Result<Read<Self::Record<'_>>, RunError>;

    /// Stops fetching a partition.
    ///
    /// # Errors
    /// The client cannot go on.
    fn pause(&self, partition: &Partition) -> Result<(), RunError>;

    /// Goes on fetching a partition.
    ///
    /// # Errors
    /// The client cannot go on.
    fn resume(&self, partition: &Partition) -> Result<(), RunError>;
}

/// What a reader's poll brought.
#[derive(Debug)]
pub enum Read<R> {
    /// A record.
    Record(R),
    /// The partition of this number has nothing more for now.
    End(i32),
    /// Nothing yet.
    Nothing,
    /// An error that may pass.
    Trouble(Trouble),
}
