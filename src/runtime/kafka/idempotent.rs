//! Delivery `idempotent`: outputs at least once, offsets after every acknowledgement before them. Lowest latency.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rdkafka::producer::Producer as _;

use crate::config::{Config, Topics};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::delivery::{self, Around, Delivery, Handled, Turn};
use crate::runtime::kafka::producer::{self, Client, Message, Report, Wire};
use crate::runtime::kafka::{Partition, classify};
use crate::runtime::port::Output;
use crate::runtime::tracker::{Pending, Tracker};
use crate::telemetry::books::Books;
use crate::telemetry::happening;

/// A message's number: lane in the upper bits, record within the lane in the lower ones.
const SEQ_BITS: u32 = 40;
const _: () = assert!(usize::BITS >= 64, "message numbers need 64 bits");

/// Most events of the client that one turn serves.
const MOST_EVENTS: usize = 64;

/// How long a refused message waits before it is sent again.
const RESEND_AFTER: Duration = Duration::from_millis(250);

/// One assigned partition.
#[derive(Debug)]
struct Lane {
    id: u64,
    partition: Partition,
    tracker: Tracker,
    /// Whether the records' first offset is known.
    begun: bool,
    committed: Option<i64>,
}

/// See the module.
pub(crate) struct Idempotent {
    client: Client,
    topics: Topics,
    lanes: Vec<Lane>,
    next_lane: u64,
    waiting: VecDeque<Wire>,
    resend_at: Instant,
    in_flight: u64,
    in_flight_bytes: u64,
    limits: (u64, u64),
    commit_every: Duration,
    committed_at: Instant,
    reports: Vec<Report>,
}

impl Idempotent {
    /// Makes the producer.
    pub(crate) fn open(config: &Config) -> Result<Self, RunError> {
        let now = Instant::now();
        Ok(Self {
            client: producer::open(config)?,
            topics: config.topics.clone(),
            lanes: Vec::new(),
            next_lane: 0,
            waiting: VecDeque::new(),
            resend_at: now,
            in_flight: 0,
            in_flight_bytes: 0,
            limits: (config.delivery.max_in_flight, config.delivery.max_in_flight_bytes),
            commit_every: config.delivery.offset_commit_interval,
            committed_at: now,
            reports: Vec::new(),
        })
    }

    /// Sends a message, or lets it wait when others wait already or the client has no room.
    fn dispatch(&mut self, message: Message, token: usize) -> Result<(), RunError> {
        let headers = message.headers();
        let topic = producer::topic_name(&self.topics, message.output.topic);
        let Output { key, body, .. } = message.output;
        let refused = if self.waiting.is_empty() {
            producer::send(&self.client, topic, (&key, &body), headers, token)?
        } else {
            Some(headers)
        };
        if let Some(headers) = refused {
            self.waiting.push_back(Wire { topic: topic.to_owned(), key, body, headers, token });
        }
        Ok(())
    }

    /// Serves the client and books what it acknowledged.
    fn collect(&mut self, around: &mut Around<'_>) -> Result<(), RunError> {
        let mut reports = core::mem::take(&mut self.reports);
        // WHY: one poll serves one event, and an event holds the acknowledgements of one batch of one partition.
        for _ in 0..MOST_EVENTS {
            let before = reports.len();
            self.client.poll(Duration::ZERO);
            self.client.context().take(&mut reports);
            if reports.len() == before {
                break;
            }
        }
        let any = !reports.is_empty();
        for report in reports.drain(..) {
            self.book(report, around.books)?;
        }
        self.reports = reports;
        if let Some((code, reason)) = producer::fatal(&self.client) {
            return Err(fatal_error(code, reason));
        }
        if any {
            around.health.set_waiting(false);
            self.complete(around.books);
        }
        around.health.set_waiting(self.in_flight > 0 || !self.waiting.is_empty());
        self.resend()
    }

    fn book(&mut self, report: Report, books: &mut Books) -> Result<(), RunError> {
        let Report { token, size, failure } = report;
        if let Some(failure) = failure {
            if classify::is_too_large(failure.code) {
                return Err(RunError::TooLarge { topic: failure.wire.topic });
            }
            let code = format!("{:?}", failure.code);
            books.kafka_error(&code);
            let error = failure.code.to_string();
            happening::KafkaTrouble { attempted: "write an output", code: &code, error: &error }
                .emit();
            self.waiting.push_back(failure.wire);
            self.resend_at = Instant::now() + RESEND_AFTER;
            return Ok(());
        }
        self.in_flight = self.in_flight.saturating_sub(1);
        self.in_flight_bytes = self.in_flight_bytes.saturating_sub(size);
        let (lane, seq) = (token as u64 >> SEQ_BITS, token as u64 & ((1 << SEQ_BITS) - 1));
        if let Some(lane) = self.lanes.iter_mut().find(|known| known.id == lane) {
            lane.tracker.acknowledge(seq);
        }
        Ok(())
    }

    fn complete(&mut self, books: &mut Books) {
        let now_ms = delivery::wall_ms();
        for lane in &mut self.lanes {
            while let Some(record) = lane.tracker.pop_done() {
                delivery::done(books, record.outcome, record.arrival_ms, now_ms);
            }
        }
    }

    fn resend(&mut self) -> Result<(), RunError> {
        if self.waiting.is_empty() || Instant::now() < self.resend_at {
            return Ok(());
        }
        while let Some(wire) = self.waiting.pop_front() {
            let Wire { topic, key, body, headers, token } = wire;
            let refused = producer::send(&self.client, &topic, (&key, &body), headers, token)?;
            if let Some(headers) = refused {
                self.waiting.push_front(Wire { topic, key, body, headers, token });
                break;
            }
        }
        Ok(())
    }

    /// What to commit; all of it when `again`, for nobody knows yet whether the last commit got there.
    fn due(&self, again: bool) -> Vec<(Partition, i64)> {
        self.lanes
            .iter()
            .filter(|lane| lane.begun)
            .filter(|lane| again || lane.committed != Some(lane.tracker.committable()))
            .map(|lane| (lane.partition.clone(), lane.tracker.committable()))
            .collect()
    }

    fn commit(&mut self, wait: bool, around: &mut Around<'_>) -> bool {
        if around.source.take_commit_failure() {
            around.books.kafka_error("CommitFailed");
            self.lanes.iter_mut().for_each(|lane| lane.committed = None);
        }
        let due = self.due(wait);
        if due.is_empty() {
            return true;
        }
        self.committed_at = Instant::now();
        if let Err(error) = around.source.commit(&due, wait) {
            let (code, text) = (classify::name(&error), error.to_string());
            around.books.kafka_error(&code);
            happening::KafkaTrouble { attempted: "commit offsets", code: &code, error: &text }
                .emit();
            return false;
        }
        for lane in &mut self.lanes {
            if lane.begun {
                lane.committed = Some(lane.tracker.committable());
            }
        }
        true
    }
}

fn fatal_error(code: rdkafka::types::RDKafkaErrorCode, reason: String) -> RunError {
    if classify::is_refusal(code) {
        return RunError::Refused { what: "the producer".to_owned(), reason };
    }
    RunError::Fatal { reason, stage: Stage::Emit }
}

impl Delivery for Idempotent {
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
            });
        }
    }

    fn accept(
        &mut self,
        record: Handled,
        outputs: &mut Vec<Output>,
        around: &mut Around<'_>,
    ) -> Result<(), RunError> {
        let Some(lane) = self.lanes.iter_mut().find(|lane| lane.partition == record.partition)
        else {
            return Ok(());
        };
        if !lane.begun && lane.committed.is_none() {
            lane.tracker = Tracker::new(record.offset);
        }
        lane.begun = true;
        let outstanding = u32::try_from(outputs.len()).unwrap_or(u32::MAX);
        let Handled { partition, offset, arrival_ms, trace, outcome } = record;
        let seq = lane.tracker.push(Pending { offset, outstanding, outcome, arrival_ms });
        let number = lane.id << SEQ_BITS | seq & ((1 << SEQ_BITS) - 1);
        let token = usize::try_from(number).unwrap_or(usize::MAX);
        for output in outputs.drain(..) {
            let message = Message { output, partition: partition.clone(), offset, trace };
            self.in_flight += 1;
            self.in_flight_bytes += message.size();
            self.dispatch(message, token)?;
        }
        if outstanding == 0 {
            self.complete(around.books);
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

    fn in_flight(&self) -> u64 {
        self.in_flight
    }

    fn patience(&self) -> Duration {
        if self.in_flight == 0 && self.waiting.is_empty() {
            return self.commit_every.min(Duration::from_millis(50));
        }
        Duration::from_millis(2)
    }

    fn turn(&mut self, around: &mut Around<'_>) -> Result<Turn, RunError> {
        self.collect(around)?;
        if self.committed_at.elapsed() >= self.commit_every {
            self.commit(false, around);
        }
        Ok(Turn::Fine)
    }

    fn settle(&mut self, limit: Duration, around: &mut Around<'_>) -> Result<bool, RunError> {
        let deadline = Instant::now() + limit;
        while self.in_flight > 0 && Instant::now() < deadline {
            around.health.tick();
            self.client.poll(Duration::from_millis(1));
            self.collect(around)?;
        }
        self.complete(around.books);
        let out = self.in_flight == 0;
        // INVARIANT: whatever was acknowledged is committed even when the rest was not.
        while !self.commit(true, around) {
            if Instant::now() >= deadline || around.source.is_lost() {
                return Ok(false);
            }
            around.health.tick();
            self.client.poll(Duration::from_millis(50));
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
    }
}
