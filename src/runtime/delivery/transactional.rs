//! Delivery `transactional`: outputs and offsets of a few milliseconds in one Kafka transaction.
//!
//! Records gather in a batch. When it is due it is *closed*: its outputs are written, acknowledged, and committed
//! together with the offsets, while the next batch gathers. One batch at a time has anything in the log, so a
//! transaction that fails is written again with the same bytes; the windows are never rolled back. What may happen to a
//! commit, and what is done:
//!
//! - *abortable error*: abort, begin, write the same bytes again;
//! - *time-out, fenced, fatal*: nobody knows whether the commit landed, and this client cannot tell a late commit from
//!   the next one. Make the producer anew under the same id, which ends the old transaction for good, then read the
//!   committed offsets: they say whether it landed;
//! - *the group does not know us any more*: abort and forget; whoever owns the partitions decides those records.
//!
//! An empty transaction is never committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::base::planted::{Bug, is_planted};
use crate::config::Config;
use crate::runtime::clock::Clock;
use crate::runtime::delivery::{Around, Delivery, Handled, OutputTopics, Turn};
use crate::runtime::delivery::{done, position, tell, tell_unwritten};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::log::{
    ErrorKind, Log, LogError, Partition, Report, Sent, Source, Wire, Writer, is_not_found,
};
use crate::runtime::note::Mark;
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

/// After a commit, how long nothing of the next transaction is sent.
///
/// WHY: until the coordinator has written its marks into all partitions it refuses the next transaction's partitions,
/// and the client asks again only after a fixed 20 ms.
const MARKS: Duration = Duration::from_millis(4);

/// How long the cell may wait for a record while a commit is under way.
const COMMITTING: Duration = Duration::from_micros(500);

/// Why the cell must begin anew.
const STRANGE: &str = "somebody else moved the group's offsets";

/// Records and their outputs that go into one transaction.
#[derive(Default)]
struct Batch {
    records: Vec<Handled>,
    /// Outputs, in order, and how many of them the client has.
    wires: Vec<Wire>,
    n_sent: usize,
    bytes: u64,
    /// Per partition the next offset and its mark.
    ends: BTreeMap<Partition, (i64, Mark)>,
}

impl Batch {
    /// Whether there is nothing to commit.
    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn all_sent(&self) -> bool {
        self.n_sent == self.wires.len()
    }
}

/// How far the closed batch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Its outputs are being written, until this moment at the latest.
    Writing { deadline: Duration },
    /// Its transaction is being committed.
    Committing,
    /// It failed; from this moment on it is written again.
    Again { at: Duration },
}

/// See the module.
pub(crate) struct Transactional<'a, L: Log> {
    log: &'a L,
    config: &'a Config,
    writer: L::Writer,
    topics: OutputTopics,
    timeout: Duration,
    /// Whether a transaction is open.
    open: bool,
    /// Gathers records.
    current: Batch,
    /// Is on its way.
    closed: Option<(Batch, Phase)>,
    /// When the last commit was begun, and when it was complete.
    commit_began_at: Option<Duration>,
    committed_at: Option<Duration>,
    /// What the group has committed.
    committed: BTreeMap<Partition, Option<i64>>,
    reports: Vec<Report>,
    /// Outputs that were acknowledged since the last commit or repetition, and the most that ever were since the last commit.
    n_taken: usize,
    most_taken: usize,
    /// When somebody, or the broker, fenced our producer of late.
    fenced_at: Vec<Duration>,
    /// Somebody else moved the group's offsets: what is at hand must not be written.
    strange: bool,
    /// A commit of this producer was given up without an answer. It may still arrive, and end whatever transaction the producer
    /// has open by then: nothing is written before there is another one.
    may_land: bool,
}

/// What a failed step of a transaction means.
enum Fault {
    /// Abort it and write it again.
    Abort(LogError),
    /// Make the producer anew and look what was committed.
    Unknown(LogError),
    /// The group took the partitions away.
    GroupLost(LogError),
    /// The run cannot go on.
    End(RunError),
}

/// What became of a transaction that nobody answered for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Landed,
    Lost,
    /// The group's offsets are neither the old nor the new ones.
    Strange,
}

impl<'a, L: Log> Transactional<'a, L> {
    /// Makes the producer and registers its id.
    pub(crate) fn open(
        config: &'a Config,
        log: &'a L,
        (stop, health): (&Stop, &Health),
        books: &mut Books,
    ) -> Result<Self, RunError> {
        let mut writer = log.writer()?;
        let timeout = config.call_timeout();
        register(&mut writer, config, (stop, health), books, Stop::requested)?;
        Ok(Self {
            log,
            config,
            writer,
            topics: OutputTopics::of(&config.topics),
            timeout,
            open: false,
            current: Batch::default(),
            closed: None,
            commit_began_at: None,
            committed_at: None,
            committed: BTreeMap::new(),
            reports: Vec::new(),
            n_taken: 0,
            most_taken: 0,
            fenced_at: Vec::new(),
            strange: false,
            may_land: false,
        })
    }

    /// Hands the client what it does not have yet of a batch, as far as it has room.
    fn push(writer: &mut L::Writer, open: &mut bool, batch: &mut Batch) -> Result<(), Fault> {
        if batch.all_sent() && *open {
            return Ok(());
        }
        if !*open {
            writer.begin().map_err(fault)?;
            *open = true;
        }
        while let Some(wire) = batch.wires.get(batch.n_sent) {
            match writer.send(wire, 0) {
                Ok(Sent::Taken) => batch.n_sent += 1,
                Ok(Sent::Full) => return Ok(()),
                Err(error) if error.kind == ErrorKind::TooLarge => {
                    return Err(Fault::End(RunError::TooLarge { topic: wire.topic.to_string() }));
                }
                // WHY: a client that is fenced or must abort refuses to take more; which of the two, it knows.
                Err(error) => {
                    return Err(match writer.fatal() {
                        Some(fatal) => fault(fatal),
                        None => Fault::Abort(error),
                    });
                }
            }
        }
        Ok(())
    }

    /// Whether the coordinator has probably done with the last transaction.
    fn may_send(&self, now: Duration) -> bool {
        self.closed.is_none() && self.committed_at.is_none_or(|at| now.saturating_sub(at) >= MARKS)
    }

    /// How long until the records at hand are to be committed: one interval after the last commit was begun.
    fn until_due(&self, now: Duration) -> Duration {
        let left = |at: Option<Duration>, span: Duration| {
            at.map_or(Duration::ZERO, |at| (at + span).saturating_sub(now))
        };
        let interval = self.config.delivery.commit_interval;
        left(self.commit_began_at, interval).max(left(self.committed_at, MARKS))
    }

    /// Books what became of messages.
    fn collect<S: Source>(
        &mut self,
        wait: Duration,
        around: &mut Around<'_, S>,
    ) -> Result<(), Fault> {
        self.writer.serve(wait);
        self.writer.take_reports(&mut self.reports);
        // WHY: where one output is refused the others are taken with each repetition, and that is no progress.
        let taken = self.reports.iter().filter(|report| report.failure.is_none()).count();
        self.n_taken += taken;
        if taken > 0 && self.n_taken > self.most_taken {
            self.most_taken = self.n_taken;
            around.health.set_waiting(false);
        }
        for report in self.reports.drain(..) {
            let Some(failure) = report.failure else { continue };
            let (error, wire) = *failure;
            if error.kind == ErrorKind::TooLarge {
                return Err(Fault::End(RunError::TooLarge { topic: wire.topic.to_string() }));
            }
            tell_unwritten(around.books, (&self.topics, &wire.topic), &error);
            return Err(Fault::Abort(error));
        }
        match self.writer.fatal() {
            Some(error) => Err(fault(error)),
            None => Ok(()),
        }
    }

    /// Closes the current batch: from now on it is on its way.
    fn close(&mut self, now: Duration) {
        let batch = core::mem::take(&mut self.current);
        let deadline = now + self.config.delivery.transaction_timeout;
        self.commit_began_at = Some(now);
        self.closed = Some((batch, Phase::Writing { deadline }));
    }

    /// One step of the closed batch. True: it is committed.
    fn step<S: Source<Membership = <L::Writer as Writer>::Membership>>(
        &mut self,
        wait: Duration,
        around: &mut Around<'_, S>,
    ) -> Result<bool, Fault> {
        self.collect(wait, around)?;
        let now = around.clock.now();
        let Some((batch, phase)) = &mut self.closed else { return Ok(false) };
        if let Phase::Again { at } = *phase {
            if now < at {
                return Ok(false);
            }
            let deadline = now + self.config.delivery.transaction_timeout;
            let first = usize::from(is_planted(Bug::OutputLostOnRepeat)).min(batch.wires.len());
            (batch.n_sent, *phase) = (first, Phase::Writing { deadline });
            self.n_taken = 0;
        }
        if let Phase::Writing { deadline } = *phase {
            Self::push(&mut self.writer, &mut self.open, batch)?;
            // WHY: the client's own commit waits for outputs in slices of 100 ms; with none in flight it does not wait.
            if !batch.all_sent() || self.writer.in_flight() > 0 {
                if now < deadline {
                    return Ok(false);
                }
                return Err(Fault::Unknown(LogError {
                    kind: ErrorKind::Unknown,
                    code: "MessageTimedOut".to_owned(),
                    text: "outputs were not acknowledged in time".to_owned(),
                }));
            }
            let Some(membership) = around.source.membership() else {
                return Err(Fault::GroupLost(LogError {
                    kind: ErrorKind::GroupLost,
                    code: "UnknownMemberId".to_owned(),
                    text: "the group is not known".to_owned(),
                }));
            };
            let positions = batch.ends.iter().map(|(partition, (offset, mark))| {
                (partition.clone(), position(around, partition, *offset, (*mark, None)))
            });
            self.writer.start_commit(positions.collect(), membership, self.timeout);
            *phase = Phase::Committing;
        }
        match self.writer.commit_outcome() {
            None => Ok(false),
            Some(Err(error)) => {
                // WHY: the answer comes once; nobody must wait for it again.
                if !is_planted(Bug::AnswerAwaitedTwice) {
                    *phase = Phase::Again { at: now };
                }
                Err(fault(error))
            }
            Some(Ok(())) => {
                around.health.set_waiting(false);
                self.complete(around.books, around.clock);
                Ok(true)
            }
        }
    }

    /// Books the records of the closed batch, which is committed.
    fn complete(&mut self, books: &mut Books, clock: &dyn Clock) {
        let Some((batch, _)) = self.closed.take() else { return };
        let now_ms = clock.wall_ms();
        (self.n_taken, self.most_taken) = (0, 0);
        self.open = false;
        self.committed_at = Some(clock.now());
        for record in batch.records {
            done(books, record.outcome, record.arrival_ms, now_ms);
        }
        for (partition, (end, _)) in batch.ends {
            self.committed.insert(partition, Some(end));
        }
    }

    /// Works on the closed batch, once.
    fn advance<S: Source<Membership = <L::Writer as Writer>::Membership>>(
        &mut self,
        wait: Duration,
        around: &mut Around<'_, S>,
    ) -> Result<Turn, RunError> {
        if self.strange {
            return Ok(Turn::Restart(STRANGE));
        }
        if self.may_land {
            self.replace(around)?;
        }
        around.health.set_waiting(true);
        let (error, renew) = match self.step(wait, around) {
            Ok(_) => return Ok(Turn::Fine),
            Err(Fault::End(error)) => return Err(error),
            Err(Fault::GroupLost(error)) => {
                self.tell_repeated(&error.text, false);
                self.abandon();
                around.health.set_waiting(false);
                return Ok(Turn::Restart("the group took the partitions away before a commit"));
            }
            Err(Fault::Abort(error)) => {
                self.ask_for_topics(&error, around)?;
                self.abort(error)
            }
            Err(Fault::Unknown(error)) => {
                self.ask_for_topics(&error, around)?;
                (error, true)
            }
        };
        self.tell_repeated(&error.text, renew);
        if error.kind == ErrorKind::Fenced {
            self.count_fencing(around.clock.now())?;
        }
        match if renew { self.renew(around)? } else { Fate::Lost } {
            Fate::Lost => {}
            Fate::Landed => {
                around.health.set_waiting(false);
                self.complete(around.books, around.clock);
                return Ok(Turn::Fine);
            }
            Fate::Strange => {
                around.health.set_waiting(false);
                self.strange = true;
                return Ok(Turn::Restart(STRANGE));
            }
        }
        if around.stop.expired() {
            return Err(stop_timeout(around.stop));
        }
        if let Some((_, phase)) = &mut self.closed {
            *phase = Phase::Again { at: around.clock.now() + REPEAT_AFTER };
        }
        Ok(Turn::Fine)
    }

    /// Ends the run where outputs or offsets were not taken because their topic is gone.
    fn ask_for_topics<S: Source>(
        &self,
        error: &LogError,
        around: &Around<'_, S>,
    ) -> Result<(), RunError> {
        if error.code != "MessageTimedOut" && !is_not_found(&error.code) {
            return Ok(());
        }
        let Some((batch, _)) = &self.closed else { return Ok(()) };
        let outputs = batch.wires.iter().map(|wire| &*wire.topic);
        let topics: BTreeSet<&str> =
            outputs.chain(batch.ends.keys().map(|partition| &*partition.topic)).collect();
        for topic in topics {
            // WHY: a broker that does not answer says nothing about a topic.
            if around.source.n_partitions(topic, self.timeout) == Ok(0) {
                let brokers = self.config.kafka.brokers.join(",");
                return Err(RunError::TopicMissing { topic: topic.to_owned(), brokers });
            }
        }
        Ok(())
    }

    fn count_fencing(&mut self, now: Duration) -> Result<(), RunError> {
        let span = self.config.delivery.transaction_timeout * 4;
        self.fenced_at.retain(|at| now.saturating_sub(*at) < span);
        self.fenced_at.push(now);
        if self.fenced_at.len() > MOST_FENCINGS {
            let id = self.config.delivery.transactional_id.clone();
            return Err(RunError::Fenced { id });
        }
        Ok(())
    }

    /// Aborts the open transaction. Returns the reason, and whether only a new producer helps.
    fn abort(&mut self, error: LogError) -> (LogError, bool) {
        self.open = false;
        match self.writer.abort(self.timeout) {
            Ok(()) => {
                self.writer.take_reports(&mut self.reports);
                self.reports.clear();
                (error, false)
            }
            Err(mut abort_error) => {
                abort_error.text = format!("{error}; abort: {abort_error}");
                (abort_error, true)
            }
        }
    }

    /// Gives the open transaction up. The broker aborts it at the latest when its time is over.
    fn abandon(&mut self) {
        if is_planted(Bug::NotAbandoned) {
            return;
        }
        if matches!(self.closed, Some((_, Phase::Committing))) {
            // WHY: the client takes no second call beside a commit; each call of a commit ends by itself.
            let outcome = loop {
                match self.writer.commit_outcome() {
                    Some(outcome) => break outcome,
                    None => self.writer.serve(COMMITTING),
                }
            };
            self.may_land |= outcome.is_err_and(|error| matches!(fault(error), Fault::Unknown(_)));
        }
        if self.open {
            let nothing =
                LogError { kind: ErrorKind::Passing, code: String::new(), text: String::new() };
            // WHY: when the abort fails, the next commit finds a producer that must be made anew.
            let _outcome: (LogError, bool) = self.abort(nothing);
        }
    }

    /// Makes the producer anew: whatever is still on its way from the one before is refused.
    fn replace<S: Source>(&mut self, around: &mut Around<'_, S>) -> Result<(), RunError> {
        self.writer = self.log.writer()?;
        self.open = false;
        self.reports.clear();
        let (stop, health) = (around.stop, around.health);
        register(&mut self.writer, self.config, (stop, health), around.books, Stop::expired)?;
        self.may_land = false;
        Ok(())
    }

    /// Makes the producer anew and finds out what became of the closed batch's transaction.
    fn renew<S: Source>(&mut self, around: &mut Around<'_, S>) -> Result<Fate, RunError> {
        self.replace(around)?;
        let (stop, health) = (around.stop, around.health);
        let Some((batch, _)) = &self.closed else { return Ok(Fate::Lost) };
        if is_planted(Bug::UnknownIsLanded) {
            return Ok(Fate::Landed);
        }
        let partitions: Vec<Partition> = batch.ends.keys().cloned().collect();
        let now =
            committed(around.source, &partitions, self.timeout, (stop, health), Stop::expired)?;
        let (mut landed, mut lost) = (true, true);
        for ((partition, (end, mark)), now) in batch.ends.iter().zip(now) {
            let before = self.committed.get(partition).copied().flatten();
            let offset = now.as_ref().map(|now| now.offset);
            // WHY: where only a note is new, the offset is the same either way.
            let ours = position(around, partition, *end, (*mark, None));
            let is_ours = before != Some(*end) || now.is_some_and(|now| now.note == ours.note);
            landed &= offset == Some(*end) && is_ours;
            lost &= offset == before && !(before == Some(*end) && is_ours);
        }
        Ok(if landed {
            Fate::Landed
        } else if lost {
            Fate::Lost
        } else {
            Fate::Strange
        })
    }

    fn tell_repeated(&self, error: &str, new_producer: bool) {
        let records = self.closed.as_ref().map_or(0, |(batch, _)| batch.records.len());
        happening::TransactionRepeated { records, new_producer, error }.emit();
    }
}

/// The committed positions, asked for until the broker answers or `is_over` says of the stop that it is enough.
pub(crate) fn committed<S: Source>(
    source: &S,
    partitions: &[Partition],
    timeout: Duration,
    (stop, health): (&Stop, &Health),
    is_over: fn(&Stop) -> bool,
) -> Result<Vec<Option<crate::runtime::log::Position>>, RunError> {
    loop {
        health.tick();
        match source.committed(partitions, timeout) {
            Ok(positions) => return Ok(positions),
            Err(LogError { kind: ErrorKind::Refused, text, .. }) => {
                let what = "the group's offsets".to_owned();
                return Err(RunError::Refused { what, reason: text });
            }
            Err(LogError { code, text, .. }) => {
                let attempted = "read committed offsets";
                happening::KafkaTrouble { attempted, code: &code, error: &text }.emit();
            }
        }
        if is_over(stop) {
            return Err(stop_timeout(stop));
        }
    }
}

/// Registers the transactional id, asking until the broker answers or `is_over` says of the stop that it is enough.
fn register<W: Writer>(
    writer: &mut W,
    config: &Config,
    (stop, health): (&Stop, &Health),
    books: &mut Books,
    is_over: fn(&Stop) -> bool,
) -> Result<(), RunError> {
    loop {
        health.tick();
        let error = match writer.register(config.call_timeout()) {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match error.kind {
            ErrorKind::Passing => tell(books, "register the transactional id", &error),
            ErrorKind::Refused => {
                let what = format!("transactional id `{}`", config.delivery.transactional_id);
                return Err(RunError::Refused { what, reason: error.text });
            }
            _ => return Err(RunError::Fatal { reason: error.text, stage: Stage::Commit }),
        }
        if is_over(stop) {
            return Err(stop_timeout(stop));
        }
        writer.serve(REPEAT_AFTER);
    }
}

fn stop_timeout(stop: &Stop) -> RunError {
    let reason = "the broker does not answer".to_owned();
    RunError::StopTimeout { seconds: stop.waited().as_secs(), reason }
}

fn fault(error: LogError) -> Fault {
    match error.kind {
        ErrorKind::GroupLost => Fault::GroupLost(error),
        ErrorKind::Abortable => Fault::Abort(error),
        ErrorKind::Refused => {
            let what = "the transactional producer".to_owned();
            Fault::End(RunError::Refused { what, reason: error.text })
        }
        ErrorKind::Passing | ErrorKind::Fenced | ErrorKind::TooLarge | ErrorKind::Unknown => {
            Fault::Unknown(error)
        }
    }
}

impl<L, S> Delivery<S> for Transactional<'_, L>
where
    L: Log,
    S: Source<Membership = <L::Writer as Writer>::Membership>,
{
    fn assigned(&mut self, starts: &[(Partition, Option<i64>)]) {
        self.committed = starts.iter().cloned().collect();
    }

    fn note(&mut self, positions: Vec<(Partition, i64, Mark)>) {
        if self.closed.is_none() {
            let ends = positions.into_iter().map(|(at, next, mark)| (at, (next, mark)));
            self.current.ends.extend(ends);
        }
    }

    fn accept(
        &mut self,
        record: Handled,
        outputs: &mut Vec<Output>,
        around: &mut Around<'_, S>,
    ) -> Result<(), RunError> {
        let batch = &mut self.current;
        for output in outputs.drain(..) {
            let wire = self.topics.wire(output, record.origin());
            batch.bytes += wire.size();
            batch.wires.push(wire);
        }
        batch.ends.insert(record.partition.clone(), (record.offset + 1, record.mark));
        batch.records.push(record);
        if self.may_land || !self.may_send(around.clock.now()) {
            return Ok(());
        }
        // WHY: a transaction that cannot begin or take an output now is dealt with when it is committed.
        match Self::push(&mut self.writer, &mut self.open, &mut self.current) {
            Err(Fault::End(error)) => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn has_room(&self) -> bool {
        let delivery = &self.config.delivery;
        let batches = || [Some(&self.current), self.closed.as_ref().map(|(batch, _)| batch)];
        let sum = |of: fn(&Batch) -> u64| -> u64 { batches().into_iter().flatten().map(of).sum() };
        sum(|batch| batch.records.len() as u64) < delivery.max_in_flight
            && sum(|batch| batch.wires.len() as u64) < delivery.max_in_flight
            && sum(|batch| batch.bytes) < delivery.max_in_flight_bytes
    }

    fn committed(&self, partition: &Partition, _source: &S) -> Option<i64> {
        self.committed.get(partition).copied().flatten()
    }

    fn in_flight(&self) -> u64 {
        let closed = self.closed.as_ref().map_or(0, |(batch, _)| batch.wires.len());
        (closed + self.current.wires.len()) as u64
    }

    fn patience(&self, clock: &dyn Clock) -> Duration {
        if self.closed.is_some() {
            return COMMITTING;
        }
        if self.current.is_empty() {
            return Duration::from_millis(50);
        }
        self.until_due(clock.now())
    }

    fn turn(&mut self, around: &mut Around<'_, S>) -> Result<Turn, RunError> {
        let now = around.clock.now();
        if self.closed.is_none() {
            if self.current.is_empty() {
                self.writer.serve(Duration::ZERO);
                return Ok(Turn::Fine);
            }
            let due = self.until_due(now).is_zero();
            if !due && <Self as Delivery<S>>::has_room(self) {
                self.writer.serve(Duration::ZERO);
                return Ok(Turn::Fine);
            }
            self.close(now);
        }
        self.advance(Duration::ZERO, around)
    }

    fn settle(&mut self, _limit: Duration, around: &mut Around<'_, S>) -> Result<bool, RunError> {
        loop {
            if self.closed.is_none() {
                if self.current.is_empty() {
                    return Ok(true);
                }
                self.close(around.clock.now());
            }
            around.health.tick();
            if self.advance(COMMITTING, around)? != Turn::Fine {
                return Ok(false);
            }
            if around.stop.expired() && self.closed.is_some() {
                return Err(stop_timeout(around.stop));
            }
        }
    }

    fn forget(&mut self, books: &mut Books) {
        self.abandon();
        let closed = self.closed.take().map(|(batch, _)| batch);
        for batch in [closed, Some(core::mem::take(&mut self.current))].into_iter().flatten() {
            for record in batch.records {
                books.record_done(record.outcome);
            }
        }
        self.committed.clear();
        self.strange = false;
    }
}
