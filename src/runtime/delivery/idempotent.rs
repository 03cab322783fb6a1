//! Delivery `idempotent`: outputs at least once, offsets after every acknowledgement before them. Lowest latency.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::base::planted::{Bug, is_planted};
use crate::config::Config;
use crate::runtime::clock::Clock;
use crate::runtime::delivery::tracker::{Pending, Tracker};
use crate::runtime::delivery::{Around, Delivery, Handled, OutputTopics, Turn};
use crate::runtime::delivery::{done, position, tell, tell_unwritten};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::log::{
    ErrorKind, LogError, Partition, Position, Report, Sent, Source, Wire, Writer, is_not_found,
};
use crate::runtime::note::Mark;
use crate::runtime::port::Output;
use crate::telemetry::books::Books;

/// A message's number: lane in the upper bits, record within the lane in the lower ones.
const SEQ_BITS: u32 = 40;

/// How long a refused message waits before it is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(250);

/// How long a commit may stay without its answer until it is sent again: nobody tells of one that failed.
const REPEAT_COMMIT: Duration = Duration::from_secs(5);

/// One assigned partition.
#[derive(Debug)]
struct Lane {
    id: u64,
    partition: Partition,
    tracker: Tracker,
    /// Whether the records' first offset is known.
    begun: bool,
    committed: Option<i64>,
    /// Committed for certain: found at the assignment, or answered.
    landed: Option<i64>,
    /// When the last commit was sent.
    sent_at: Duration,
    /// The mark of the offset that may be committed.
    mark: Mark,
}

/// See the module.
pub(crate) struct Idempotent<W> {
    writer: W,
    topics: OutputTopics,
    /// For words about a topic that has gone.
    brokers: String,
    lanes: Vec<Lane>,
    next_lane: u64,
    /// Where one engine decides the records of several partitions: the lanes of those on their way, in the order of
    /// decisions.
    ///
    /// WHY: a start goes on at what is committed as if it had decided all of that and nothing else, so it has to be a
    /// beginning of that order.
    joined: Option<VecDeque<usize>>,
    waiting: VecDeque<(u64, Wire)>,
    /// The client refused a message at once, for want of permission: not told yet.
    refusal: Option<(LogError, Arc<str>)>,
    resend_at: Duration,
    in_flight: u64,
    in_flight_bytes: u64,
    limits: (u64, u64),
    commit_every: Duration,
    committed_at: Duration,
    reports: Vec<Report>,
}

impl<W: Writer> Idempotent<W> {
    /// A delivery by this producer. `joined`: one engine may decide the records of several partitions.
    pub(crate) fn new(config: &Config, writer: W, clock: &dyn Clock, joined: bool) -> Self {
        Self {
            writer,
            topics: OutputTopics::of(&config.topics),
            brokers: config.kafka.brokers.join(","),
            lanes: Vec::new(),
            next_lane: 0,
            joined: joined.then(VecDeque::new),
            waiting: VecDeque::new(),
            refusal: None,
            resend_at: Duration::ZERO,
            in_flight: 0,
            in_flight_bytes: 0,
            limits: (config.delivery.max_in_flight, config.delivery.max_in_flight_bytes),
            commit_every: config.delivery.offset_commit_interval,
            committed_at: clock.now(),
            reports: Vec::new(),
        }
    }

    /// Sends a message, or lets it wait when others wait already or the client has no room.
    fn dispatch(&mut self, wire: Wire, token: u64) -> Result<(), RunError> {
        if self.waiting.is_empty() && self.send(&wire, token)? == Sent::Taken {
            return Ok(());
        }
        self.waiting.push_back((token, wire));
        Ok(())
    }

    fn send(&mut self, wire: &Wire, token: u64) -> Result<Sent, RunError> {
        match self.writer.send(wire, token) {
            // WHY: a permission that was taken away can come back; until then nothing is committed and reading pauses.
            Err(error) if error.kind == ErrorKind::Refused => {
                self.refusal = Some((error, Arc::clone(&wire.topic)));
                Ok(Sent::Full)
            }
            sent => sent.map_err(|error| ending(error, wire, &self.brokers)),
        }
    }

    /// Serves the client and books what it acknowledged.
    fn collect<S: Source>(
        &mut self,
        wait: Duration,
        around: &mut Around<'_, S>,
    ) -> Result<(), RunError> {
        let mut reports = core::mem::take(&mut self.reports);
        self.writer.serve(wait);
        self.writer.take_reports(&mut reports);
        let any = !reports.is_empty();
        for report in reports.drain(..) {
            self.book(report, around)?;
        }
        self.reports = reports;
        if let Some(error) = self.writer.fatal() {
            return Err(fatal_error(error));
        }
        if any {
            around.health.set_waiting(false);
            self.complete(around.books, around.clock);
        }
        if let Some((error, topic)) = self.refusal.take() {
            tell_unwritten(around.books, (&self.topics, &topic), &error);
            self.resend_at = around.clock.now() + RESEND_AFTER;
        }
        around.health.set_waiting(self.in_flight > 0 || !self.waiting.is_empty());
        self.resend(around.clock)
    }

    fn book<S: Source>(
        &mut self,
        report: Report,
        around: &mut Around<'_, S>,
    ) -> Result<(), RunError> {
        let Report { token, size, failure } = report;
        if let Some(failure) = failure {
            let (error, wire) = *failure;
            if error.kind == ErrorKind::TooLarge {
                return Err(RunError::TooLarge { topic: wire.topic.to_string() });
            }
            tell_unwritten(around.books, (&self.topics, &wire.topic), &error);
            self.waiting.push_back((token, wire));
            self.resend_at = around.clock.now() + RESEND_AFTER;
            return Ok(());
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(size);
        let (lane, seq) = (token >> SEQ_BITS, token & ((1 << SEQ_BITS) - 1));
        if let Some(lane) = self.lanes.iter_mut().find(|known| known.id == lane) {
            lane.tracker.acknowledge(seq);
        }
        Ok(())
    }

    fn complete(&mut self, books: &mut Books, clock: &dyn Clock) {
        let now_ms = clock.wall_ms();
        let pop = |lane: &mut Lane, books: &mut Books| {
            let Some(record) = lane.tracker.pop_done() else { return false };
            lane.mark = record.mark;
            done(books, record.outcome, record.arrival_ms, now_ms);
            true
        };
        let Some(queue) = &mut self.joined else {
            self.lanes.iter_mut().for_each(|lane| while pop(lane, books) {});
            return;
        };
        while let Some(lane) = queue.front().and_then(|at| self.lanes.get_mut(*at)) {
            if !pop(lane, books) {
                break;
            }
            queue.pop_front();
        }
    }

    fn resend(&mut self, clock: &dyn Clock) -> Result<(), RunError> {
        if self.waiting.is_empty() || clock.now() < self.resend_at {
            return Ok(());
        }
        while let Some((token, wire)) = self.waiting.pop_front() {
            if self.send(&wire, token)? == Sent::Full {
                self.waiting.push_front((token, wire));
                break;
            }
        }
        Ok(())
    }

    /// What to commit; all of it when `again`, for nobody knows yet whether the last commit got there.
    fn due<S: Source>(&self, again: bool, around: &Around<'_, S>) -> Vec<(Partition, Position)> {
        self.lanes
            .iter()
            .filter(|lane| lane.begun)
            .filter(|lane| again || lane.committed != Some(lane.tracker.committable()))
            .map(|lane| {
                let (partition, next) = (&lane.partition, lane.tracker.committable());
                let since_ms = lane.tracker.sent_ms().unwrap_or_else(|| around.clock.wall_ms());
                (partition.clone(), position(around, partition, next, (lane.mark, Some(since_ms))))
            })
            .collect()
    }

    fn commit<S: Source>(&mut self, wait: bool, around: &mut Around<'_, S>) -> bool {
        if around.source.take_commit_failure() {
            around.books.kafka_error("CommitFailed");
            self.lanes.iter_mut().for_each(|lane| lane.committed = None);
        }
        let now = around.clock.now();
        for lane in self.lanes.iter_mut().filter(|lane| lane.begun) {
            let landed = lane.landed.max(around.source.acknowledged(&lane.partition));
            if landed < lane.committed && now.saturating_sub(lane.sent_at) >= REPEAT_COMMIT {
                lane.committed = None;
            }
        }
        let due = self.due(wait, around);
        if due.is_empty() {
            return true;
        }
        self.committed_at = now;
        if let Err(error) = around.source.commit(&due, wait) {
            tell(around.books, "commit offsets", &error);
            return false;
        }
        for lane in &mut self.lanes {
            if lane.begun {
                if lane.committed != Some(lane.tracker.committable()) {
                    lane.sent_at = now;
                }
                lane.committed = Some(lane.tracker.committable());
                if wait {
                    lane.landed = lane.committed;
                }
            }
        }
        true
    }
}

fn ending(error: LogError, wire: &Wire, brokers: &str) -> RunError {
    // WHY: the client says so when it has looked for the topic long enough.
    if is_not_found(&error.code) {
        let (topic, brokers) = (wire.topic.to_string(), brokers.to_owned());
        return RunError::TopicMissing { topic, brokers };
    }
    if error.kind == ErrorKind::TooLarge {
        return RunError::TooLarge { topic: wire.topic.to_string() };
    }
    RunError::Fatal { reason: error.text, stage: Stage::Emit }
}

fn fatal_error(error: LogError) -> RunError {
    if error.kind == ErrorKind::Refused {
        return RunError::Refused { what: "the producer".to_owned(), reason: error.text };
    }
    RunError::Fatal { reason: error.text, stage: Stage::Emit }
}

impl<S: Source, W: Writer> Delivery<S> for Idempotent<W> {
    fn assigned(&mut self, starts: &[(Partition, Option<i64>)]) {
        for (partition, start) in starts {
            let id = self.next_lane;
            // WHY: 24 bits of lanes; a lane of 16 million rebalances ago has no message in flight.
            self.next_lane = (self.next_lane + 1) & 0x00ff_ffff;
            self.lanes.push(Lane {
                id,
                partition: partition.clone(),
                tracker: Tracker::new(start.unwrap_or(0)),
                begun: false,
                committed: *start,
                landed: *start,
                sent_at: Duration::ZERO,
                mark: Mark::default(),
            });
        }
    }

    fn note(&mut self, positions: Vec<(Partition, i64, Mark)>) {
        for (partition, next, mark) in positions {
            let lane = self.lanes.iter_mut().find(|lane| lane.partition == partition);
            let Some(lane) = lane else { continue };
            if !lane.begun {
                (lane.tracker, lane.begun) = (Tracker::new(next), true);
            }
            lane.mark = mark;
        }
    }

    fn accept(
        &mut self,
        record: Handled,
        outputs: &mut Vec<Output>,
        around: &mut Around<'_, S>,
    ) -> Result<(), RunError> {
        let found = self.lanes.iter_mut().enumerate();
        let mut found = found.filter(|(_, lane)| lane.partition == record.partition);
        let Some((at, lane)) = found.next() else { return Ok(()) };
        if let Some(queue) = &mut self.joined {
            queue.push_back(at);
        }
        if !lane.begun && lane.committed.is_none() {
            lane.tracker = Tracker::new(record.offset);
        }
        lane.begun = true;
        let outstanding = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
        let Handled { offset, arrival_ms, outcome, mark, .. } = record;
        let outstanding = if is_planted(Bug::CommitBeforeAcknowledged) { 0 } else { outstanding };
        let sent_ms = around.clock.wall_ms();
        let seq =
            lane.tracker.push(Pending { offset, outstanding, outcome, arrival_ms, sent_ms, mark });
        let token = lane.id << SEQ_BITS | seq & ((1 << SEQ_BITS) - 1);
        for output in outputs.drain(..) {
            let wire = self.topics.wire(output, record.origin());
            self.in_flight += 1;
            self.in_flight_bytes += wire.size();
            self.dispatch(wire, token)?;
        }
        if outstanding == 0 {
            self.complete(around.books, around.clock);
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        // WHY: records that wait behind an unacknowledged one cost memory too, outputs or not.
        let records: usize = self.lanes.iter().map(|lane| lane.tracker.len()).sum();
        let most = self.limits.0;
        self.waiting.is_empty()
            && self.in_flight < most
            && self.in_flight_bytes < self.limits.1
            && (records as u64) < most.saturating_mul(4)
    }

    fn committed(&self, partition: &Partition, source: &S) -> Option<i64> {
        let lane = self.lanes.iter().find(|lane| lane.partition == *partition)?;
        lane.landed.max(source.acknowledged(partition).filter(|_| lane.begun))
    }

    fn in_flight(&self) -> u64 {
        self.in_flight
    }

    fn patience(&self, _clock: &dyn Clock) -> Duration {
        if self.in_flight == 0 && self.waiting.is_empty() {
            return self.commit_every.min(Duration::from_millis(50));
        }
        Duration::from_millis(2)
    }

    fn turn(&mut self, around: &mut Around<'_, S>) -> Result<Turn, RunError> {
        self.collect(Duration::ZERO, around)?;
        if around.clock.now().saturating_sub(self.committed_at) >= self.commit_every {
            self.commit(false, around);
        }
        Ok(Turn::Fine)
    }

    fn settle(&mut self, limit: Duration, around: &mut Around<'_, S>) -> Result<bool, RunError> {
        let deadline = around.clock.now() + limit;
        while self.in_flight > 0 && around.clock.now() < deadline {
            around.health.tick();
            self.collect(Duration::from_millis(1), around)?;
        }
        self.complete(around.books, around.clock);
        let out = self.in_flight == 0;
        // INVARIANT: whatever was acknowledged is committed even when the rest was not.
        while !self.commit(true, around) {
            if around.clock.now() >= deadline || around.source.is_lost() {
                return Ok(false);
            }
            around.health.tick();
            self.writer.serve(Duration::from_millis(50));
        }
        Ok(out)
    }

    fn forget(&mut self, books: &mut Books) {
        for lane in &mut self.lanes {
            for record in lane.tracker.drain() {
                books.record_done(record.outcome);
            }
        }
        self.lanes.clear();
        self.joined.iter_mut().for_each(VecDeque::clear);
    }
}
