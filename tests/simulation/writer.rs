//! The producer of an instance: messages on their way, acknowledgements, transactions.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use riskweir::runtime::log::{
    ErrorKind, LogError, Partition, Position, Report, Sent, Wire, Writer,
};

use super::broker::MemberId;
use super::member::reach;
use super::network::{Event, Up, outcome, refusal, told};
use super::ports::micros;
use super::profile::{MS, S};
use super::world::{Ctx, State};

/// Partitions of an output topic.
const PARTITIONS: u64 = 3;

/// What a producer knows.
#[derive(Debug, Default)]
pub(crate) struct WriterState {
    pub(crate) owner: (usize, u64),
    id: Option<String>,
    epoch: Option<u32>,
    in_txn: bool,
    must_abort: bool,
    fatal: Option<LogError>,
    lanes: BTreeMap<u64, VecDeque<(Wire, u64)>>,
    last_arrival: u64,
    in_flight: usize,
    /// Grows with every abort: answers to what was sent before mean nothing any more.
    round: u64,
    acked: Vec<Report>,
    reports: Vec<Report>,
    committing: bool,
    outcome: Option<Result<(), LogError>>,
    /// What the open transaction has sent, to know an empty one.
    n_sent: usize,
}

impl WriterState {
    fn producer(&self) -> Option<(String, u32)> {
        Some((self.id.clone()?, self.epoch?))
    }
}

/// The port.
pub(crate) struct SimWriter {
    ctx: Ctx,
    client: u64,
}

/// Which partition of an output topic a key goes to, as a number over all topics.
fn lane_of(wire: &Wire) -> u64 {
    let hash = |bytes: &[u8]| {
        bytes.iter().fold(7_u64, |hash, byte| hash.wrapping_mul(31).wrapping_add(u64::from(*byte)))
    };
    (hash(wire.topic.as_bytes()) % 1_000) * PARTITIONS + hash(&wire.key) % PARTITIONS
}

impl State {
    fn writer(&mut self, client: u64) -> Option<&mut WriterState> {
        self.writers.get_mut(&client)
    }

    /// The next batch of a lane leaves, when it can.
    pub(crate) fn flush(&mut self, client: u64, lane: u64) {
        let Some(writer) = self.writers.get(&client) else { return };
        match self.up(writer.owner) {
            Up::Gone => return,
            Up::At(until) => return self.at(until + 1, Event::Flush(client, lane)),
            Up::Yes => {}
        }
        let most = 1 + self.dice.below(6);
        let mut at = self.now + self.latency();
        let chance = self.profile.slow_ack;
        if self.strikes(chance) {
            at += self.dice.pick(&[5 * MS, 50 * MS, 700 * MS, 2 * S]);
        }
        let Some(writer) = self.writer(client) else { return };
        let (producer, round) = (writer.producer(), writer.round);
        let Some(queue) = writer.lanes.get_mut(&lane) else { return };
        let n = usize::try_from(most).unwrap().min(queue.len());
        let batch: Vec<(Wire, u64)> = queue.drain(..n).collect();
        if batch.is_empty() {
            writer.lanes.remove(&lane);
            return;
        }
        writer.last_arrival = writer.last_arrival.max(at);
        self.at(at, Event::Arrive { writer: client, lane, round, producer, batch });
    }

    /// A batch is at the broker.
    pub(crate) fn arrive(
        &mut self,
        (client, lane, round): (u64, u64, u64),
        producer: Option<&(String, u32)>,
        batch: Vec<(Wire, u64)>,
    ) {
        let chance = self.profile.delivery_failure;
        let fails = self.strikes(chance);
        // WHY: a client that reports a failure does not know whether the broker took the batch.
        let taken = !fails || self.dice.one_in(2);
        let mut error = fails.then(|| told(ErrorKind::Unknown, "MessageTimedOut"));
        if fails {
            self.stats.delivery_failures += 1;
        }
        if taken {
            for (wire, _) in &batch {
                let as_producer = producer.map(|(id, epoch)| (id.as_str(), *epoch));
                match self.broker.append(as_producer, wire.clone(), self.now) {
                    Ok(visible) => self.visible(Some(visible)),
                    Err(no) => {
                        self.stats.fenced += 1;
                        error = Some(refusal(no));
                    }
                }
            }
        }
        let n = batch.len();
        let topic = batch.first().map(|(wire, _)| wire.topic.to_string()).unwrap_or_default();
        self.note(|| {
            let error = error.as_ref().map_or("", |error| error.code.as_str());
            format!("{n} outputs of {client} reach {topic} {taken} {error}")
        });
        let mut at = self.now + self.latency();
        let chance = self.profile.slow_ack;
        if self.strikes(chance) {
            at += self.dice.pick(&[5 * MS, 50 * MS, 700 * MS, 2 * S]);
        }
        self.at(at, Event::Ack { writer: client, round, batch, error });
        self.at(self.now + 1, Event::Flush(client, lane));
    }

    /// The producer hears what became of a batch.
    pub(crate) fn acknowledge(
        &mut self,
        (client, round): (u64, u64),
        batch: Vec<(Wire, u64)>,
        error: Option<LogError>,
    ) {
        let Some(writer) = self.writers.get(&client) else { return };
        let owner = writer.owner;
        if writer.round != round {
            return;
        }
        match self.up(owner) {
            Up::Gone => return,
            Up::At(until) => {
                return self.at(until + 1, Event::Ack { writer: client, round, batch, error });
            }
            Up::Yes => {}
        }
        let Some(writer) = self.writer(client) else { return };
        if let Some(error) = &error {
            if error.kind == ErrorKind::Fenced {
                writer.fatal = Some(error.clone());
            } else if writer.id.is_some() {
                writer.must_abort = true;
            }
        }
        for (wire, token) in batch {
            let size = wire.size();
            let failure = error.clone().map(|error| Box::new((error, wire)));
            writer.acked.push(Report { token, size, failure });
        }
        self.wake(owner.0);
    }

    fn decide_commit(&mut self, client: u64, at: u64, result: Result<(), LogError>) {
        self.at(at, Event::Outcome { writer: client, outcome: result });
    }

    fn timed_out() -> LogError {
        told(ErrorKind::Passing, "RequestTimedOut")
    }

    /// The positions of a transaction are on their way.
    pub(crate) fn offsets(
        &mut self,
        client: u64,
        member: (MemberId, i32),
        positions: Vec<(Partition, Position)>,
        deadline: u64,
    ) {
        let Some(writer) = self.writers.get(&client) else { return };
        let producer = writer.producer();
        match self.up(writer.owner) {
            Up::Gone => return,
            Up::At(until) if until < deadline => {
                let again = Event::Offsets { writer: client, member, positions, deadline };
                return self.at(until + 1, again);
            }
            Up::At(until) => {
                return self.decide_commit(client, until.max(deadline), Err(Self::timed_out()));
            }
            Up::Yes => {}
        }
        let Some((id, epoch)) = producer else {
            let error = told(ErrorKind::Unknown, "State");
            return self.decide_commit(client, self.now, Err(error));
        };
        let chance = self.profile.commit_fault;
        let answer = self.now + self.latency();
        if self.strikes(chance) {
            self.stats.commit_faults += 1;
            if self.dice.one_in(2) {
                self.set_must_abort(client);
                let error = told(ErrorKind::Abortable, "CoordinatorNotAvailable");
                return self.decide_commit(client, answer, Err(error));
            }
            if self.dice.one_in(2) {
                // The broker has them, the client does not know.
                let now = self.now;
                _ = self.broker.add_offsets((&id, epoch), member, &positions, now);
            }
            return self.decide_commit(client, deadline, Err(Self::timed_out()));
        }
        let now = self.now;
        match self.broker.add_offsets((&id, epoch), member, &positions, now) {
            Ok(()) => self.at(answer, Event::Finish { writer: client, deadline, answered: true }),
            Err(no) => {
                self.note(|| format!("positions of {id} are refused: {no:?}"));
                self.set_must_abort(client);
                self.decide_commit(client, answer, Err(refusal(no)));
            }
        }
    }

    fn set_must_abort(&mut self, client: u64) {
        if let Some(writer) = self.writer(client) {
            writer.must_abort = true;
        }
    }

    /// A request to commit: it leaves now (`answered`: the positions were taken), or it is at the broker.
    pub(crate) fn finish(&mut self, client: u64, deadline: u64, answered: bool) {
        let Some(writer) = self.writers.get(&client) else { return };
        let (owner, producer) = (writer.owner, writer.producer());
        match self.up(owner) {
            Up::Gone if answered => return,
            Up::At(until) if answered && until < deadline => {
                let again = Event::Finish { writer: client, deadline, answered };
                return self.at(until + 1, again);
            }
            Up::At(until) if answered => {
                return self.decide_commit(client, until.max(deadline), Err(Self::timed_out()));
            }
            _ => {}
        }
        let Some((id, epoch)) = producer else { return };
        let chance = self.profile.commit_fault;
        if self.strikes(chance) {
            self.stats.commit_faults += 1;
            return self.finish_badly(client, (id, epoch), deadline);
        }
        let at = self.now + self.latency();
        let ended = self.broker.end((&id, epoch), true);
        self.note(|| format!("{id} commits: {}", outcome(&ended)));
        let answer = match &ended {
            Ok(Some(_)) => Ok(()),
            Ok(None) => Err(told(ErrorKind::Unknown, "InvalidTxnState")),
            Err(no) => {
                self.stats.fenced += 1;
                Err(refusal(*no))
            }
        };
        self.visible(ended.ok().flatten());
        self.decide_commit(client, at, answer);
    }

    fn finish_badly(&mut self, client: u64, producer: (String, u32), deadline: u64) {
        let how = self.dice.below(4);
        let name =
            ["abortable", "lost answer", "lost request", "late"][usize::try_from(how).unwrap()];
        self.note(|| format!("{} fails to commit: {name}", producer.0));
        match how {
            0 => {
                self.set_must_abort(client);
                let error = told(ErrorKind::Abortable, "CoordinatorLoadInProgress");
                return self.decide_commit(client, self.now + MS, Err(error));
            }
            1 => {
                let ended = self.broker.end((&producer.0, producer.1), true);
                self.visible(ended.ok().flatten());
            }
            2 => {}
            _ => {
                let at = deadline.saturating_sub(S) + self.dice.below(4 * S);
                self.at(at, Event::LateFinish { producer });
            }
        }
        self.decide_commit(client, deadline, Err(Self::timed_out()));
    }

    /// The client hears what became of its commit.
    pub(crate) fn outcome(&mut self, client: u64, result: Result<(), LogError>) {
        let Some(writer) = self.writers.get(&client) else { return };
        let owner = writer.owner;
        match self.up(owner) {
            Up::Gone => return,
            Up::At(until) if result.is_ok() || self.instances[owner.0].paused_until > self.now => {
                return self.at(until + 1, Event::Outcome { writer: client, outcome: result });
            }
            _ => {}
        }
        let Some(writer) = self.writer(client) else { return };
        if result.is_ok() {
            (writer.in_txn, writer.n_sent) = (false, 0);
        }
        if let Err(error) = &result
            && error.kind == ErrorKind::Fenced
        {
            writer.fatal = Some(error.clone());
        }
        writer.committing = false;
        let code = result.as_ref().map_or_else(|error| error.code.clone(), |()| "Ok".to_owned());
        writer.outcome = Some(result);
        self.note(|| format!("#{} hears of its commit: {code}", owner.0));
        self.wake(owner.0);
    }
}

impl SimWriter {
    pub(crate) fn open(ctx: &Ctx, id: Option<String>) -> Self {
        let mut state = ctx.call();
        let client = state.new_client();
        let owner = (ctx.slot, ctx.life);
        state.writers.insert(client, WriterState { owner, id, ..WriterState::default() });
        Self { ctx: ctx.clone(), client }
    }

    fn of<'a>(&self, state: &'a mut State) -> &'a mut WriterState {
        state.writers.get_mut(&self.client).expect("a client lives as long as its port")
    }

    fn set_fatal(&self, error: &LogError) {
        if error.kind == ErrorKind::Fenced {
            self.of(&mut self.ctx.quietly()).fatal = Some(error.clone());
        }
    }
}

impl Writer for SimWriter {
    type Membership = (MemberId, i32);

    fn send(&mut self, wire: &Wire, token: u64) -> Result<Sent, LogError> {
        let mut state = self.ctx.call();
        let room = state.profile.room;
        let at = state.now + state.dice.below(2 * MS);
        let writer = self.of(&mut state);
        if let Some(fatal) = &writer.fatal {
            return Err(fatal.clone());
        }
        if writer.must_abort {
            return Err(told(ErrorKind::Abortable, "State"));
        }
        assert!(writer.id.is_none() || writer.in_txn, "an output outside of a transaction");
        assert!(!writer.committing, "an output beside a commit");
        if writer.in_flight >= room {
            return Ok(Sent::Full);
        }
        writer.in_flight += 1;
        writer.n_sent += 1;
        let lane = lane_of(wire);
        let idle = !writer.lanes.contains_key(&lane);
        writer.lanes.entry(lane).or_default().push_back((wire.clone(), token));
        if idle {
            let client = self.client;
            state.at(at, Event::Flush(client, lane));
        }
        Ok(Sent::Taken)
    }

    fn serve(&mut self, wait: Duration) {
        let mut state = self.ctx.call();
        let deadline = state.now + micros(wait);
        loop {
            let writer = self.of(&mut state);
            if !writer.acked.is_empty() || writer.outcome.is_some() {
                let acked = core::mem::take(&mut writer.acked);
                writer.in_flight -= acked.len();
                writer.reports.extend(acked);
                return;
            }
            if state.now >= deadline {
                return;
            }
            state = self.ctx.wait(state, deadline, true);
        }
    }

    fn take_reports(&mut self, into: &mut Vec<Report>) {
        into.append(&mut self.of(&mut self.ctx.quietly()).reports);
    }

    fn in_flight(&self) -> usize {
        self.of(&mut self.ctx.quietly()).in_flight
    }

    fn fatal(&self) -> Option<LogError> {
        self.of(&mut self.ctx.quietly()).fatal.clone()
    }

    fn register(&mut self, timeout: Duration) -> Result<(), LogError> {
        let mut state = reach(&self.ctx, self.ctx.call(), timeout)?;
        let id = self.of(&mut state).id.clone().expect("only transactional producers register");
        let epoch = state.broker.register(&id);
        state.note(|| format!("{id} is registered, epoch {epoch}"));
        let chance = state.profile.call_fault;
        let lost = state.strikes(chance);
        let at = state.now + state.latency();
        let mut state = self.ctx.wait(state, at, false);
        if lost {
            state.stats.call_faults += 1;
            return Err(told(ErrorKind::Passing, "RequestTimedOut"));
        }
        self.of(&mut state).epoch = Some(epoch);
        Ok(())
    }

    fn begin(&mut self) -> Result<(), LogError> {
        let mut state = self.ctx.call();
        let writer = self.of(&mut state);
        if let Some(fatal) = &writer.fatal {
            return Err(fatal.clone());
        }
        if writer.in_txn || writer.must_abort || writer.epoch.is_none() || writer.committing {
            return Err(told(ErrorKind::Unknown, "State"));
        }
        (writer.in_txn, writer.n_sent) = (true, 0);
        Ok(())
    }

    fn start_commit(
        &mut self,
        positions: Vec<(Partition, Position)>,
        membership: (MemberId, i32),
        timeout: Duration,
    ) {
        let mut state = self.ctx.call();
        let at = state.now + state.latency();
        let deadline = state.now + micros(timeout);
        let writer = self.of(&mut state);
        assert!(!writer.committing, "two commits at once");
        assert!(writer.in_txn, "a commit without a transaction");
        assert!(writer.n_sent > 0 || !positions.is_empty(), "an empty transaction");
        writer.outcome = None;
        writer.committing = true;
        if let Some(error) = writer.fatal.clone() {
            state.decide_commit(self.client, at, Err(error));
        } else if writer.must_abort {
            state.decide_commit(self.client, at, Err(told(ErrorKind::Abortable, "State")));
        } else {
            let (writer, member) = (self.client, membership);
            state.at(at, Event::Offsets { writer, member, positions, deadline });
        }
    }

    fn commit_outcome(&mut self) -> Option<Result<(), LogError>> {
        self.of(&mut self.ctx.quietly()).outcome.take()
    }

    fn abort(&mut self, timeout: Duration) -> Result<(), LogError> {
        let mut state = self.ctx.call();
        let writer = self.of(&mut state);
        assert!(!writer.committing, "an abort beside a commit");
        if let Some(fatal) = &writer.fatal {
            return Err(fatal.clone());
        }
        let dropped: usize = writer.lanes.values().map(VecDeque::len).sum();
        writer.lanes.values_mut().for_each(VecDeque::clear);
        writer.in_flight -= dropped;
        let last = writer.last_arrival;
        // WHY: what is on the wire arrives first, and its answers are waited for.
        if last >= state.now {
            state = self.ctx.wait(state, last + 1, false);
        }
        let mut state = reach(&self.ctx, state, timeout)?;
        let Some((id, epoch)) = self.of(&mut state).producer() else {
            return Err(told(ErrorKind::Unknown, "State"));
        };
        let ended = state.broker.end((&id, epoch), false);
        state.note(|| format!("{id} aborts: {}", outcome(&ended)));
        let chance = state.profile.call_fault;
        let fails = state.strikes(chance);
        let at = state.now + state.latency();
        let mut state = self.ctx.wait(state, at, false);
        if fails {
            state.stats.call_faults += 1;
            return Err(told(ErrorKind::Passing, "RequestTimedOut"));
        }
        if let Err(no) = ended {
            state.stats.fenced += 1;
            drop(state);
            let error = refusal(no);
            self.set_fatal(&error);
            return Err(error);
        }
        let writer = self.of(&mut state);
        (writer.in_txn, writer.must_abort, writer.n_sent) = (false, false, 0);
        (writer.in_flight, writer.round) = (0, writer.round + 1);
        writer.acked.clear();
        writer.reports.clear();
        Ok(())
    }
}

impl Drop for SimWriter {
    fn drop(&mut self) {
        self.ctx.quietly().writers.remove(&self.client);
    }
}
