//! Delivery `transactional`: outputs and offsets of a few milliseconds in one Kafka transaction.
//!
//! The outputs of the open transaction are kept until it is committed, so a transaction that fails is written again
//! with the same bytes; the windows are never rolled back. What may happen to a commit, and what is done:
//!
//! - *abortable error*: abort, begin, write the same bytes again;
//! - *time-out, fenced, fatal*: nobody knows whether the commit landed, and this client cannot tell a late commit from
//!   the next one. Make the producer anew under the same id, which ends the old transaction for good, then read the
//!   committed offsets: they say whether it landed;
//! - *the group does not know us any more*: abort and forget; whoever owns the partitions decides those records.
//!
//! An empty transaction is never committed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;

use crate::config::{Config, Topics};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::consumer::{Source, offset_list};
use crate::runtime::kafka::delivery::{self, Around, Delivery, Handled, Turn};
use crate::runtime::kafka::producer::{self, Client, Message, Report};
use crate::runtime::kafka::{Partition, classify, client};
use crate::runtime::port::Output;
use crate::runtime::stop::Stop;
use crate::telemetry::books::Books;
use crate::telemetry::happening;
use crate::telemetry::health::Health;

/// Pause before a failed transaction is tried again.
const REPEAT_AFTER: Duration = Duration::from_millis(100);

/// Fenced so often within four transaction time-outs, the id belongs to somebody else: the broker itself fences only
/// whoever leaves a transaction open for a whole time-out, so at most four times.
const MOST_FENCINGS: usize = 4;

/// See the module.
pub(crate) struct Transactional {
    client: Client,
    config: Config,
    topics: Topics,
    timeout: Duration,
    open_since: Option<Instant>,
    /// Records of the open transaction.
    records: Vec<Handled>,
    /// Their outputs, in order, and how many of them the client has.
    messages: Vec<Message>,
    n_sent: usize,
    bytes: u64,
    /// The next offset per partition when the open transaction is committed.
    ends: BTreeMap<Partition, i64>,
    /// What the group has committed.
    committed: BTreeMap<Partition, Option<i64>>,
    reports: Vec<Report>,
    /// When somebody, or the broker, fenced our producer of late.
    fenced_at: Vec<Instant>,
}

/// Why a transaction did not commit.
enum Fault {
    /// It can be aborted and written again.
    Abort(String),
    /// Nobody knows what became of it.
    Unknown { fenced: bool, error: String },
    /// The group does not know us.
    GroupLost(String),
    /// The run ends.
    End(RunError),
}

/// What the committed offsets say about a transaction of unknown fate.
enum Fate {
    /// It is committed.
    Landed,
    /// It is not, and never will be.
    Lost,
    /// Somebody else moved the offsets.
    Strange,
}

impl Transactional {
    /// Makes the producer; this ends a transaction that an earlier run left open.
    pub(crate) fn open(config: &Config, stop: &Stop, health: &Health) -> Result<Self, RunError> {
        let client = producer::open(config)?;
        let timeout = client::call_timeout(config);
        init(&client, config, stop, health)?;
        Ok(Self {
            client,
            config: config.clone(),
            topics: config.topics.clone(),
            timeout,
            open_since: None,
            records: Vec::new(),
            messages: Vec::new(),
            n_sent: 0,
            bytes: 0,
            ends: BTreeMap::new(),
            committed: BTreeMap::new(),
            reports: Vec::new(),
            fenced_at: Vec::new(),
        })
    }

    /// Hands the client what it does not have yet, as far as it has room.
    fn push(&mut self) -> Result<(), Fault> {
        while let Some(message) = self.messages.get(self.n_sent) {
            let topic = producer::topic_name(&self.topics, message.output.topic);
            let output = (message.output.key.as_slice(), message.output.body.as_slice());
            match producer::send(&self.client, topic, output, message.headers(), 0) {
                Ok(None) => self.n_sent += 1,
                Ok(Some(_full)) => return Ok(()),
                // WHY: a client that is fenced or must abort refuses to take more; which of the two, it knows.
                Err(RunError::Fatal { reason, .. }) => {
                    return Err(match producer::fatal(&self.client) {
                        Some((code, reason)) => of_code(code, reason),
                        None => Fault::Abort(reason),
                    });
                }
                Err(error) => return Err(Fault::End(error)),
            }
        }
        Ok(())
    }

    /// Begins a transaction if none is open.
    fn begin(&mut self) -> Result<(), Fault> {
        if self.open_since.is_none() {
            self.client.begin_transaction().map_err(fault)?;
            self.open_since = Some(Instant::now());
        }
        Ok(())
    }

    /// Waits until the broker has every output.
    ///
    /// WHY: the client's own commit waits for outputs in slices of 100 ms; with none in flight it does not wait.
    fn drain(&mut self, around: &mut Around<'_>) -> Result<(), Fault> {
        let deadline = Instant::now() + self.config.delivery.transaction_timeout;
        loop {
            self.push()?;
            let all_sent = self.n_sent == self.messages.len();
            if all_sent && self.client.in_flight_count() == 0 {
                return self.collect(around);
            }
            self.client.poll(Duration::from_micros(500));
            self.collect(around)?;
            around.health.tick();
            if Instant::now() >= deadline {
                let error = "outputs were not acknowledged in time".to_owned();
                return Err(Fault::Unknown { fenced: false, error });
            }
            if around.stop.expired() {
                return Err(Fault::End(stop_timeout(around.stop)));
            }
        }
    }

    fn collect(&mut self, around: &mut Around<'_>) -> Result<(), Fault> {
        self.client.context().take(&mut self.reports);
        if !self.reports.is_empty() {
            around.health.set_waiting(false);
        }
        for report in self.reports.drain(..) {
            let Some(failure) = report.failure else { continue };
            let code = format!("{:?}", failure.code);
            around.books.kafka_error(&code);
            if classify::is_too_large(failure.code) {
                return Err(Fault::End(RunError::TooLarge { topic: failure.wire.topic }));
            }
            let error = failure.code.to_string();
            happening::KafkaTrouble { attempted: "write an output", code: &code, error: &error }
                .emit();
            return Err(Fault::Abort(error));
        }
        if let Some((code, reason)) = producer::fatal(&self.client) {
            return Err(of_code(code, reason));
        }
        Ok(())
    }

    fn try_commit(&mut self, around: &mut Around<'_>) -> Result<(), Fault> {
        self.begin()?;
        self.drain(around)?;
        let ends: Vec<(Partition, i64)> = self.ends.iter().map(|(p, o)| (p.clone(), *o)).collect();
        let offsets = offset_list(&ends).map_err(fault)?;
        let Some(group) = around.source.group_metadata() else {
            return Err(Fault::GroupLost("the group is not known".to_owned()));
        };
        self.client.send_offsets_to_transaction(&offsets, &group, self.timeout).map_err(fault)?;
        self.client.commit_transaction(self.timeout).map_err(fault)?;
        Ok(())
    }

    /// Books the records of the transaction that was just committed.
    fn finish(&mut self, books: &mut Books) {
        let now_ms = delivery::wall_ms();
        for record in self.records.drain(..) {
            delivery::done(books, record.outcome, record.arrival_ms, now_ms);
        }
        for (partition, end) in core::mem::take(&mut self.ends) {
            self.committed.insert(partition, Some(end));
        }
        self.clear();
    }

    fn clear(&mut self) {
        self.records.clear();
        self.messages.clear();
        self.ends.clear();
        (self.n_sent, self.bytes, self.open_since) = (0, 0, None);
    }

    fn commit(&mut self, around: &mut Around<'_>) -> Result<Turn, RunError> {
        while !self.records.is_empty() {
            around.health.set_waiting(true);
            let (error, new_producer, fenced) = match self.try_commit(around) {
                Ok(()) => {
                    around.health.set_waiting(false);
                    self.finish(around.books);
                    return Ok(Turn::Fine);
                }
                Err(Fault::End(error)) => return Err(error),
                Err(Fault::GroupLost(error)) => {
                    self.tell(&error, false);
                    self.abandon();
                    return Ok(Turn::Restart("the group took the partitions away before a commit"));
                }
                Err(Fault::Abort(error)) => self.abort(error),
                Err(Fault::Unknown { fenced, error }) => (error, true, fenced),
            };
            self.tell(&error, new_producer);
            if fenced {
                self.count_fencing()?;
            }
            match if new_producer { self.renew(around)? } else { Fate::Lost } {
                Fate::Lost => {}
                Fate::Landed => self.finish(around.books),
                Fate::Strange => {
                    return Ok(Turn::Restart("somebody else moved the group's offsets"));
                }
            }
            self.wait(REPEAT_AFTER, around)?;
            self.n_sent = 0;
        }
        Ok(Turn::Fine)
    }

    fn count_fencing(&mut self) -> Result<(), RunError> {
        let now = Instant::now();
        let span = self.config.delivery.transaction_timeout * 4;
        self.fenced_at.retain(|at| now.duration_since(*at) < span);
        self.fenced_at.push(now);
        if self.fenced_at.len() > MOST_FENCINGS {
            let id = self.config.delivery.transactional_id.clone();
            return Err(RunError::Fenced { id });
        }
        Ok(())
    }

    /// Aborts the open transaction. Returns the reason, whether only a new producer helps, and whether ours is fenced.
    fn abort(&mut self, error: String) -> (String, bool, bool) {
        self.open_since = None;
        match self.client.abort_transaction(self.timeout) {
            Ok(()) => {
                self.client.context().take(&mut self.reports);
                self.reports.clear();
                (error, false, false)
            }
            Err(abort_error) => {
                let fenced = classify::code(&abort_error).is_some_and(classify::is_fenced);
                (format!("{error}; abort: {abort_error}"), true, fenced)
            }
        }
    }

    /// Gives the open transaction up. The broker aborts it at the latest when its time is over.
    fn abandon(&mut self) {
        if self.open_since.is_some() {
            // WHY: when the abort fails, the next commit finds a producer that must be made anew.
            let _outcome: (String, bool, bool) = self.abort(String::new());
        }
    }

    /// Makes the producer anew and finds out what became of the transaction.
    fn renew(&mut self, around: &mut Around<'_>) -> Result<Fate, RunError> {
        self.client = producer::open(&self.config)?;
        self.open_since = None;
        self.reports.clear();
        init(&self.client, &self.config, around.stop, around.health)?;
        let partitions: Vec<Partition> = self.ends.keys().cloned().collect();
        let now =
            committed(around.source, &partitions, self.timeout, (around.stop, around.health))?;
        let before = |partition: &Partition| self.committed.get(partition).copied().flatten();
        let landed = self.ends.values().zip(&now).all(|(end, now)| *now == Some(*end));
        let lost = partitions.iter().zip(&now).all(|(partition, now)| *now == before(partition));
        Ok(if landed {
            Fate::Landed
        } else if lost {
            Fate::Lost
        } else {
            Fate::Strange
        })
    }

    fn wait(&self, length: Duration, around: &mut Around<'_>) -> Result<(), RunError> {
        around.health.tick();
        if around.stop.expired() {
            return Err(stop_timeout(around.stop));
        }
        self.client.poll(length);
        Ok(())
    }

    fn tell(&self, error: &str, new_producer: bool) {
        let records = self.records.len();
        happening::TransactionRepeated { records, new_producer, error }.emit();
    }
}

/// The committed offsets, asked for until the broker answers.
pub(crate) fn committed(
    source: &Source,
    partitions: &[Partition],
    timeout: Duration,
    (stop, health): (&Stop, &Health),
) -> Result<Vec<Option<i64>>, RunError> {
    loop {
        health.tick();
        match source.committed(partitions, timeout) {
            Ok(offsets) => return Ok(offsets),
            Err(error) => {
                let (code, text) = (classify::name(&error), error.to_string());
                if classify::code(&error).is_some_and(classify::is_refusal) {
                    return Err(RunError::Refused {
                        what: "the group's offsets".to_owned(),
                        reason: text,
                    });
                }
                happening::KafkaTrouble {
                    attempted: "read committed offsets",
                    code: &code,
                    error: &text,
                }
                .emit();
            }
        }
        if stop.requested() {
            return Err(stop_timeout(stop));
        }
    }
}

/// Registers the transactional id, asking until the broker answers.
fn init(client: &Client, config: &Config, stop: &Stop, health: &Health) -> Result<(), RunError> {
    loop {
        health.tick();
        let error = match client.init_transactions(client::call_timeout(config)) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        let (code, text) = (classify::name(&error), error.to_string());
        let id = &config.delivery.transactional_id;
        if classify::code(&error).is_some_and(classify::is_refusal) {
            return Err(RunError::Refused {
                what: format!("transactional id `{id}`"),
                reason: text,
            });
        }
        let passes = matches!(&error, KafkaError::Transaction(error) if error.is_retriable());
        if !passes {
            return Err(RunError::Fatal { reason: text, stage: Stage::Commit });
        }
        happening::KafkaTrouble {
            attempted: "register the transactional id",
            code: &code,
            error: &text,
        }
        .emit();
        if stop.requested() {
            return Err(stop_timeout(stop));
        }
        client.poll(REPEAT_AFTER);
    }
}

fn stop_timeout(stop: &Stop) -> RunError {
    let reason = "the broker does not answer".to_owned();
    RunError::StopTimeout { seconds: stop.limit().as_secs(), reason }
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` calls")]
fn fault(error: KafkaError) -> Fault {
    let text = error.to_string();
    match (classify::code(&error), &error) {
        (Some(code), _) if classify::is_group_lost(code) => Fault::GroupLost(text),
        (_, KafkaError::Transaction(inner)) if inner.txn_requires_abort() => Fault::Abort(text),
        (Some(code), _) => of_code(code, text),
        (None, _) => Fault::Unknown { fenced: false, error: text },
    }
}

fn of_code(code: rdkafka::types::RDKafkaErrorCode, error: String) -> Fault {
    if classify::is_refusal(code) {
        let what = "the transactional producer".to_owned();
        return Fault::End(RunError::Refused { what, reason: error });
    }
    Fault::Unknown { fenced: classify::is_fenced(code), error }
}

impl Delivery for Transactional {
    fn assigned(&mut self, starts: &[(Partition, Option<i64>)]) {
        self.committed = starts.iter().cloned().collect();
    }

    fn accept(
        &mut self,
        record: Handled,
        outputs: &mut Vec<Output>,
        _around: &mut Around<'_>,
    ) -> Result<(), RunError> {
        for output in outputs.drain(..) {
            let partition = record.partition.clone();
            let message = Message { output, partition, offset: record.offset, trace: record.trace };
            self.bytes += message.size();
            self.messages.push(message);
        }
        self.ends.insert(record.partition.clone(), record.offset + 1);
        self.records.push(record);
        // WHY: a transaction that cannot begin or take an output now is dealt with when it is committed.
        match self.begin().and_then(|()| self.push()) {
            Err(Fault::End(error)) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn has_room(&self) -> bool {
        let delivery = &self.config.delivery;
        (self.records.len() as u64) < delivery.max_in_flight
            && (self.messages.len() as u64) < delivery.max_in_flight
            && self.bytes < delivery.max_in_flight_bytes
    }

    fn in_flight(&self) -> u64 {
        self.messages.len() as u64
    }

    fn patience(&self) -> Duration {
        match self.open_since {
            Some(since) => self.config.delivery.commit_interval.saturating_sub(since.elapsed()),
            None => Duration::from_millis(50),
        }
    }

    fn turn(&mut self, around: &mut Around<'_>) -> Result<Turn, RunError> {
        self.client.poll(Duration::ZERO);
        let due = self
            .open_since
            .is_none_or(|since| since.elapsed() >= self.config.delivery.commit_interval);
        if !self.records.is_empty() && (due || !self.has_room()) {
            return self.commit(around);
        }
        Ok(Turn::Fine)
    }

    fn settle(&mut self, _limit: Duration, around: &mut Around<'_>) -> Result<bool, RunError> {
        Ok(self.commit(around)? == Turn::Fine)
    }

    fn forget(&mut self, books: &mut Books) {
        self.abandon();
        for record in self.records.drain(..) {
            books.record_done(record.outcome);
        }
        self.clear();
        self.committed.clear();
    }
}
