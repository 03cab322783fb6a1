//! An independent judge of what a group of instances left on Kafka. It knows the published formats of the records and
//! Kafka, nothing else: it shares no code with the engine, the runtime or the helpers of other tests, and it never asks
//! what a decision should be, only whether every record has its effects and none has too many.
//!
//! What it checks (the letters stand in its faults):
//! - `lost`: a record of the input without decision and without dead letter;
//! - `stray`: an answer to a record that is not in the input;
//! - `repeat`: a second answer that a transactional run must not show;
//! - `differs`: two answers to one record, or two writes of one hold, that are not the same bytes;
//! - `place`: headers and body that name different records;
//! - `unheld`: a decision to hold whose hold is nowhere;
//! - `double`: a payment with two holds;
//! - `order`: answers to one partition in another order than its records, for one key;
//! - `offset`: a committed offset that is not the end of the input.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::Value;

const WAIT: Duration = Duration::from_secs(60);
/// Faults that are kept in words.
const MOST_SHOWN: usize = 10;

/// What is judged.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Addresses of the brokers.
    pub(crate) brokers: String,
    /// The consumer group.
    pub(crate) group: String,
    /// Topic of the input.
    pub(crate) input: String,
    /// Topic of the decisions.
    pub(crate) decisions: String,
    /// Topic of the alerts.
    pub(crate) alerts: String,
    /// Topic of the holds.
    pub(crate) holds: String,
    /// Topic of the dead letters.
    pub(crate) dead_letter: String,
    /// Whether a second answer is a fault.
    pub(crate) once: bool,
    /// Whether first answers must come in the order of their records.
    pub(crate) ordered: bool,
}

/// The judgement.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    /// Records of the input.
    pub(crate) records: usize,
    /// Records with a decision.
    pub(crate) decided: usize,
    /// Records with a dead letter.
    pub(crate) dead: usize,
    /// Answers beyond the first, all of the same bytes unless there is a fault.
    pub(crate) repeats: usize,
    /// Distinct holds.
    pub(crate) holds: usize,
    /// Distinct alerts.
    pub(crate) alerts: usize,
    /// How many faults.
    pub(crate) n_faults: usize,
    /// The first of them.
    pub(crate) faults: Vec<String>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = if self.n_faults == 0 { "GOOD" } else { "BAD" };
        write!(
            out,
            "verdict: {word}: {} records, {} decided, {} dead letters, {} repeats, {} holds, {} alerts, {} faults {:?}",
            self.records,
            self.decided,
            self.dead,
            self.repeats,
            self.holds,
            self.alerts,
            self.n_faults,
            self.faults,
        )
    }
}

impl Verdict {
    fn fault(&mut self, kind: &str, what: impl fmt::Display) {
        self.n_faults += 1;
        if self.faults.len() < MOST_SHOWN {
            self.faults.push(format!("{kind}: {what}"));
        }
    }
}

/// Partition and offset in the input.
type Place = (i32, i64);

/// Reads all topics and judges.
///
/// # Errors
/// What Kafka or a record that is no JSON says.
pub(crate) fn judge(case: &Case) -> Result<Verdict, String> {
    let mut verdict = Verdict::default();
    let mut input: BTreeSet<Place> = BTreeSet::new();
    read(case, &case.input, |message| {
        input.insert((message.partition(), message.offset()));
        Ok(())
    })?;
    verdict.records = input.len();
    let mut answers = Answers::default();
    let mut held: BTreeMap<String, Place> = BTreeMap::new();
    for topic in [&case.decisions, &case.dead_letter] {
        read(case, topic, |message| {
            let (place, body) = answer(case, message, &mut verdict)?;
            if body["outcome"] == "hold" && body["duplicate"] == false {
                let id = body["hold_id"].as_str().unwrap_or_default().to_owned();
                held.entry(id).or_insert(place);
            }
            answers.add(place, body["reason"].is_string(), message);
            Ok(())
        })?;
        answers.end_topic(case, &mut verdict);
    }
    answers.compare(&input, case.once, &mut verdict);
    let mut alerts = Writes::default();
    read(case, &case.alerts, |message| {
        let (_, body) = answer(case, message, &mut verdict)?;
        alerts.add(body["alert_id"].as_str().unwrap_or_default().to_owned(), message);
        Ok(())
    })?;
    verdict.alerts = alerts.compare(case.once, &mut verdict);
    judge_holds(case, &held, &mut verdict)?;
    judge_offsets(case, &mut verdict)?;
    Ok(verdict)
}

/// What was written under one name.
#[derive(Default)]
struct Writes(BTreeMap<String, Vec<u64>>);

impl Writes {
    fn add(&mut self, name: String, message: &BorrowedMessage<'_>) {
        self.0.entry(name).or_default().push(digest(message));
    }

    /// Copies must be equal, and there must be none where each is written once; how many names there are.
    fn compare(&self, once: bool, verdict: &mut Verdict) -> usize {
        for (name, writes) in &self.0 {
            if writes.iter().any(|it| Some(it) != writes.first()) {
                verdict.fault("differs", name);
            }
            if once && writes.len() > 1 {
                verdict.fault("repeat", name);
            }
        }
        self.0.len()
    }
}

#[derive(Default)]
struct Answers {
    /// By record: digests of all its answers, and whether it is a dead letter.
    all: BTreeMap<Place, (Vec<u64>, bool)>,
    /// By key and partition of the input: the offsets of the answers in the order of the topic.
    order: BTreeMap<(Vec<u8>, i32), Vec<i64>>,
}

impl Answers {
    fn add(&mut self, place: Place, dead: bool, message: &BorrowedMessage<'_>) {
        let key = message.key().unwrap_or_default().to_vec();
        let known = self.all.entry(place).or_insert_with(|| (Vec::new(), dead));
        if known.0.is_empty() {
            self.order.entry((key, place.0)).or_default().push(place.1);
        }
        known.0.push(digest(message));
    }

    fn end_topic(&mut self, case: &Case, verdict: &mut Verdict) {
        for ((key, partition), offsets) in core::mem::take(&mut self.order) {
            let back = offsets.windows(2).find(|pair| pair[0] >= pair[1]);
            if let (true, Some(pair)) = (case.ordered, back) {
                let key = String::from_utf8_lossy(&key).into_owned();
                verdict.fault("order", format!("key {key}, partition {partition}: {pair:?}"));
            }
        }
    }

    fn compare(&self, input: &BTreeSet<Place>, once: bool, verdict: &mut Verdict) {
        for place in input {
            if !self.all.contains_key(place) {
                verdict.fault("lost", format!("{place:?}"));
            }
        }
        for (place, (digests, dead)) in &self.all {
            if !input.contains(place) {
                verdict.fault("stray", format!("{place:?}"));
            }
            verdict.repeats += digests.len() - 1;
            if once && digests.len() > 1 {
                verdict.fault("repeat", format!("{place:?} {} times", digests.len()));
            }
            if digests.iter().any(|it| Some(it) != digests.first()) {
                verdict.fault("differs", format!("{place:?}"));
            }
            *(if *dead { &mut verdict.dead } else { &mut verdict.decided }) += 1;
        }
    }
}

/// The record that an answer is about, and the answer.
fn answer(
    case: &Case,
    message: &BorrowedMessage<'_>,
    verdict: &mut Verdict,
) -> Result<(Place, Value), String> {
    let body: Value = serde_json::from_slice(message.payload().unwrap_or_default())
        .map_err(|error| format!("{}: {error}", message.topic()))?;
    let text = |name: &str| {
        let headers = message.headers()?;
        let header = headers.iter().find(|header| header.key == name)?;
        core::str::from_utf8(header.value?).ok()
    };
    let number = |name: &str| text(name).and_then(|value| value.parse::<i64>().ok());
    let (Some(partition), Some(offset)) = (number("source_partition"), number("source_offset"))
    else {
        return Err(format!("{}: an answer without its place", message.topic()));
    };
    let source = &body["source"];
    let same = source["partition"].as_i64() == Some(partition)
        && source["offset"].as_i64() == Some(offset)
        && source["topic"] == case.input.as_str()
        && text("source_topic") == Some(&case.input);
    if !same {
        verdict.fault("place", format!("{source} under {partition}, {offset}"));
    }
    let partition = i32::try_from(partition).map_err(|error| error.to_string())?;
    Ok(((partition, offset), body))
}

fn judge_holds(
    case: &Case,
    held: &BTreeMap<String, Place>,
    verdict: &mut Verdict,
) -> Result<(), String> {
    let mut holds = Writes::default();
    let mut placed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    read(case, &case.holds, |message| {
        let body: Value = serde_json::from_slice(message.payload().unwrap_or_default())
            .map_err(|error| format!("a hold: {error}"))?;
        let (id, state) = (&body["hold_id"], &body["state"]);
        let id = id.as_str().unwrap_or_default().to_owned();
        if state == "placed" {
            let payment = format!("{} {}", body["subject"]["type"], body["subject"]["id"]);
            placed.entry(payment).or_default().insert(id.clone());
        }
        holds.add(format!("{id} {state}"), message);
        Ok(())
    })?;
    holds.compare(case.once, verdict);
    for (payment, ids) in &placed {
        if ids.len() > 1 {
            verdict.fault("double", format!("{payment}: {ids:?}"));
        }
    }
    let all: BTreeSet<&String> = placed.values().flatten().collect();
    verdict.holds = all.len();
    for (id, place) in held {
        if !all.contains(id) {
            verdict.fault("unheld", format!("{place:?} {id}"));
        }
    }
    Ok(())
}

fn judge_offsets(case: &Case, verdict: &mut Verdict) -> Result<(), String> {
    let consumer = consumer(case, "read_committed", &case.group)?;
    let partitions = partitions(&consumer, &case.input)?;
    let mut list = TopicPartitionList::new();
    for partition in &partitions {
        list.add_partition(&case.input, *partition);
    }
    let committed = consumer.committed_offsets(list, WAIT).map_err(|error| error.to_string())?;
    for partition in partitions {
        let bounds = consumer.fetch_watermarks(&case.input, partition, WAIT);
        let (_, end) = bounds.map_err(|error| error.to_string())?;
        let found = committed.find_partition(&case.input, partition).map(|it| it.offset());
        let right =
            found == Some(Offset::Offset(end)) || (end == 0 && found == Some(Offset::Invalid));
        if !right {
            verdict.fault("offset", format!("partition {partition}: {found:?}, end {end}"));
        }
    }
    Ok(())
}

fn digest(message: &BorrowedMessage<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    (message.key(), message.payload()).hash(&mut hasher);
    hasher.finish()
}

/// A Kafka transaction is open as long as a committed reader's end is not the end of the log.
fn wait_until_none_is_open(
    (everything, committed): (&BaseConsumer, &BaseConsumer),
    topic: &str,
    partition: i32,
) -> Result<(), String> {
    let end = |consumer: &BaseConsumer| {
        let bounds = consumer.fetch_watermarks(topic, partition, WAIT);
        bounds.map(|(_, end)| end).map_err(|error| error.to_string())
    };
    let (log_end, deadline) = (end(everything)?, Instant::now() + WAIT);
    while end(committed)? < log_end {
        if Instant::now() > deadline {
            return Err(format!("{topic}-{partition}: a transaction stays open"));
        }
    }
    Ok(())
}

fn consumer(case: &Case, isolation: &str, group: &str) -> Result<BaseConsumer, String> {
    ClientConfig::new()
        .set("bootstrap.servers", &case.brokers)
        .set("group.id", group)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .set("auto.offset.reset", "error")
        .set("isolation.level", isolation)
        .create()
        .map_err(|error| error.to_string())
}

fn partitions(consumer: &BaseConsumer, topic: &str) -> Result<Vec<i32>, String> {
    let metadata = consumer.fetch_metadata(Some(topic), WAIT).map_err(|error| error.to_string())?;
    let found = metadata.topics().iter().find(|it| it.name() == topic);
    let found = found.ok_or_else(|| format!("no topic {topic}"))?;
    Ok(found.partitions().iter().map(rdkafka::metadata::MetadataPartition::id).collect())
}

/// Hands over every committed record of a topic, partition by partition in the order of its offsets.
fn read(
    case: &Case,
    topic: &str,
    mut each: impl FnMut(&BorrowedMessage<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let everything = consumer(case, "read_uncommitted", "verifier")?;
    let consumer = consumer(case, "read_committed", "verifier")?;
    for partition in partitions(&consumer, topic)? {
        wait_until_none_is_open((&everything, &consumer), topic, partition)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Beginning)
            .and_then(|()| consumer.assign(&list))
            .map_err(|error| error.to_string())?;
        loop {
            match consumer.poll(WAIT) {
                Some(Ok(message)) => each(&message)?,
                Some(Err(KafkaError::PartitionEOF(_))) => break,
                Some(Err(error)) => return Err(format!("{topic}: {error}")),
                None => return Err(format!("{topic}-{partition}: no end came")),
            }
        }
    }
    Ok(())
}
