//! The cell: one thread that polls, steps, writes and commits.
//!
//! INVARIANT: what the engine holds is exactly the records before `applied` of each partition. Where the group's
//! committed offset lies elsewhere (a commit that never landed, another instance that went on), the engine is built
//! anew and the input is replayed up to the committed offset, so no record moves a window twice.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::runtime::Views;
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::consumer::{Fetched, GroupEvent, Polled, Source, Trouble};
use crate::runtime::kafka::delivery::{Around, Delivery, Handled, Turn};
use crate::runtime::kafka::replay::{Replay, Stretch};
use crate::runtime::kafka::trace::TraceParent;
use crate::runtime::kafka::transactional::committed;
use crate::runtime::kafka::{Partition, client};
use crate::runtime::port::{Input, Output, Step};
use crate::telemetry::books::Books;
use crate::telemetry::happening;

/// Most records between two looks at acknowledgements, rebalances and the wish to stop.
const BATCH: usize = 256;
/// Length of one slice of recovery, between two signs of life.
const SLICE: Duration = Duration::from_millis(20);
/// How often the engine's own counters and the lag are refreshed.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// How long a rebalance may wait for outputs in flight.
const SETTLE: Duration = Duration::from_secs(5);

/// A partition of ours.
#[derive(Clone, Debug)]
struct Assigned {
    partition: Partition,
    /// The next offset to step.
    next: i64,
}

/// A record that came while windows were still being rebuilt.
struct Early {
    partition: Partition,
    offset: i64,
    arrival_ms: Option<i64>,
    trace: Option<TraceParent>,
    payload: Option<Vec<u8>>,
}

/// See the module.
pub(crate) struct Cell<'a, S> {
    config: &'a Config,
    views: &'a Views,
    source: Source,
    delivery: Box<dyn Delivery>,
    make: &'a mut dyn FnMut() -> Result<S, RunError>,
    engine: S,
    books: Books,
    assigned: Vec<Assigned>,
    /// Where the last record came from: records come in runs of one partition.
    last: usize,
    /// What the engine holds, of every partition that it ever took records of.
    applied: BTreeMap<Partition, i64>,
    recovery: Option<Replay>,
    early: Vec<Early>,
    paused: bool,
    outputs: Vec<Output>,
    reported_at: Instant,
}

impl<'a, S: Step> Cell<'a, S> {
    /// A cell that waits for its partitions.
    pub(crate) fn new(
        config: &'a Config,
        source: Source,
        delivery: Box<dyn Delivery>,
        make: &'a mut dyn FnMut() -> Result<S, RunError>,
        views: &'a Views,
    ) -> Result<Self, RunError> {
        let engine = make()?;
        Ok(Self {
            config,
            views,
            source,
            delivery,
            make,
            engine,
            books: Books::default(),
            assigned: Vec::new(),
            last: 0,
            applied: BTreeMap::new(),
            recovery: None,
            early: Vec::new(),
            paused: false,
            outputs: Vec::new(),
            reported_at: Instant::now(),
        })
    }

    /// Works until asked to stop; returns the final books.
    pub(crate) fn run(mut self) -> Result<Books, RunError> {
        while !self.views.stop.requested() {
            self.views.health.tick();
            while let Some(event) = self.source.take_event() {
                self.on_group_event(event)?;
            }
            if self.recovery.is_some() {
                self.recover()?;
            } else {
                self.press()?;
                self.fill()?;
            }
            // WHY: a turn can take long when the broker does not answer, and that is when somebody looks.
            self.publish();
            if let Turn::Restart(reason) = self.delivery_turn()? {
                self.restart(reason)?;
            }
            self.publish();
        }
        self.finish()
    }

    fn delivery_turn(&mut self) -> Result<Turn, RunError> {
        let Views { health, stop, .. } = self.views;
        let mut around = Around { source: &self.source, books: &mut self.books, health, stop };
        self.delivery.turn(&mut around)
    }

    fn settle(&mut self, limit: Duration) -> Result<bool, RunError> {
        let Views { health, stop, .. } = self.views;
        let mut around = Around { source: &self.source, books: &mut self.books, health, stop };
        self.delivery.settle(limit, &mut around)
    }

    /// Pauses or resumes reading by the room for outputs. Polling goes on, so the group keeps us.
    fn press(&mut self) -> Result<(), RunError> {
        let room = self.delivery.has_room();
        if !room && !self.paused {
            self.source.pause()?;
            self.paused = true;
            happening::BackPressure { in_flight: self.delivery.in_flight() }.emit();
        } else if room && self.paused {
            self.source.resume()?;
            self.paused = false;
        }
        Ok(())
    }

    /// Takes a batch of records.
    fn fill(&mut self) -> Result<(), RunError> {
        let mut wait = self.delivery.patience();
        for _ in 0..BATCH {
            let polled = self.source.poll(wait)?;
            wait = Duration::ZERO;
            let handled = match &polled {
                Polled::Nothing => return Ok(()),
                Polled::Trouble(trouble) => Err(trouble.clone()),
                Polled::Record(record) => {
                    let parts = (&mut self.engine, &mut self.outputs, &mut self.books);
                    let input = input_of(record);
                    match Self::take(&mut self.assigned, parts, &mut self.last, &input)? {
                        Some(handled) => Ok(Handled { trace: record.trace(), ..handled }),
                        None => continue,
                    }
                }
            };
            drop(polled);
            match handled {
                Ok(handled) => self.hand_over(handled)?,
                Err(trouble) => return self.on_trouble(trouble),
            }
            if !self.delivery.has_room() || self.source.has_event() {
                break;
            }
        }
        Ok(())
    }

    /// Steps a record, if its partition is still ours.
    fn take(
        assigned: &mut [Assigned],
        (engine, outputs, books): (&mut S, &mut Vec<Output>, &mut Books),
        last: &mut usize,
        input: &Input<'_>,
    ) -> Result<Option<Handled>, RunError> {
        let Some(index) = find(assigned, *last, input) else { return Ok(None) };
        *last = index;
        let Some(ours) = assigned.get_mut(index) else { return Ok(None) };
        step(input, ours, engine, outputs, books).map(Some)
    }

    fn hand_over(&mut self, handled: Handled) -> Result<(), RunError> {
        let Views { health, stop, .. } = self.views;
        let mut around = Around { source: &self.source, books: &mut self.books, health, stop };
        self.delivery.accept(handled, &mut self.outputs, &mut around)
    }

    /// An error of the consumer: most pass, some end the run.
    fn on_trouble(&mut self, trouble: Trouble) -> Result<(), RunError> {
        let Trouble { code, error, offset_gone } = trouble;
        self.books.kafka_error(&code);
        if offset_gone {
            return Err(self.offset_gone(error));
        }
        happening::KafkaTrouble { attempted: "read the input", code: &code, error: &error }.emit();
        Ok(())
    }

    /// Which partition's committed offset the broker does not hold.
    fn offset_gone(&self, reason: String) -> RunError {
        let timeout = client::call_timeout(self.config);
        for Assigned { partition, next } in &self.assigned {
            let Ok((low, high)) = self.source.bounds(partition, timeout) else { continue };
            if *next < low || *next > high {
                let (topic, number) = (partition.topic.to_string(), partition.number);
                return RunError::OffsetGone { topic, partition: number, offset: *next, low, high };
            }
        }
        RunError::Fatal { reason, stage: Stage::Receive }
    }

    fn on_group_event(&mut self, event: GroupEvent) -> Result<(), RunError> {
        match event {
            GroupEvent::Assigned(partitions) => {
                *self.books.rebalances.entry("assign").or_default() += 1;
                happening::PartitionsAssigned { partitions: partitions.len() }.emit();
                self.begin(partitions)
            }
            GroupEvent::Revoked => {
                let lost = self.source.is_lost();
                let kind = if lost { "lost" } else { "revoke" };
                *self.books.rebalances.entry(kind).or_default() += 1;
                happening::PartitionsRevoked { partitions: self.assigned.len(), lost }.emit();
                if !lost {
                    // WHY: what cannot be settled is read again by the next owner; windows that ran ahead of the
                    // committed offsets are rebuilt when the partitions come back.
                    let _settled: bool = self.settle(SETTLE)?;
                }
                self.end()?;
                self.source.unassign()
            }
        }
    }

    /// Forgets the present assignment.
    fn end(&mut self) -> Result<(), RunError> {
        for Assigned { partition, next } in self.assigned.drain(..) {
            self.applied.insert(partition, next);
        }
        self.delivery.forget(&mut self.books);
        if self.recovery.is_some() {
            // WHY: windows that are half rebuilt hold neither the old nor the new position.
            self.applied.clear();
            self.engine = (self.make)()?;
        }
        (self.recovery, self.paused, self.last) = (None, false, 0);
        self.early.clear();
        self.books.lag.clear();
        self.views.health.set_assigned(false);
        self.views.health.set_recovering(false);
        Ok(())
    }

    /// Takes over partitions: brings the windows to the committed offsets, then reads from there.
    fn begin(&mut self, partitions: Vec<Partition>) -> Result<(), RunError> {
        let timeout = client::call_timeout(self.config);
        let Views { health, stop, .. } = self.views;
        let offsets = committed(&self.source, &partitions, timeout, (stop, health))?;
        let starts: Vec<(Partition, Option<i64>)> = partitions.into_iter().zip(offsets).collect();
        let ahead = starts.iter().any(|(partition, start)| {
            self.applied.get(partition).is_some_and(|applied| start.unwrap_or(0) < *applied)
        });
        if ahead {
            happening::WindowsDiscarded { reason: "records were stepped that nobody committed" }
                .emit();
            self.engine = (self.make)()?;
            self.applied.clear();
        }
        self.source.assign(&starts)?;
        self.delivery.assigned(&starts);
        let stretches = self.stretches(&starts);
        self.assigned = starts
            .into_iter()
            .map(|(partition, start)| Assigned { partition, next: start.unwrap_or(0) })
            .collect();
        self.views.health.set_assigned(true);
        if !stretches.is_empty() {
            self.source.pause()?;
            self.paused = true;
            self.views.health.set_recovering(true);
            happening::RecoveryStarted { partitions: stretches.len() }.emit();
            self.recovery = Some(Replay::start(self.config, stretches)?);
        }
        Ok(())
    }

    fn stretches(&self, starts: &[(Partition, Option<i64>)]) -> Vec<Stretch> {
        if !self.config.recovery.replay {
            return Vec::new();
        }
        let stretch = |(partition, start): &(Partition, Option<i64>)| {
            let from = self.applied.get(partition).copied();
            let end = start.filter(|end| from.is_none_or(|from| from < *end))?;
            Some(Stretch { partition: partition.clone(), from, end })
        };
        starts.iter().filter_map(stretch).collect()
    }

    /// One slice of recovery; polls on the way so that the group keeps us.
    fn recover(&mut self) -> Result<(), RunError> {
        let Some(recovery) = &mut self.recovery else { return Ok(()) };
        let engine = &mut self.engine;
        let complete = recovery.slice(SLICE, &mut |input| engine.replay(input))?;
        let (records, took) = recovery.progress();
        match self.source.poll(Duration::ZERO)? {
            Polled::Nothing | Polled::Trouble(_) => {}
            // WHY: reading is paused, so this is rare; a record that comes all the same must not be lost.
            Polled::Record(record) => self.early.push(Early::of(&record, &self.assigned)),
        }
        if complete {
            self.recovery = None;
            happening::RecoveryFinished { records, took }.emit();
            for early in core::mem::take(&mut self.early) {
                self.take_early(&early)?;
            }
            self.views.health.set_recovering(false);
        }
        Ok(())
    }

    fn take_early(&mut self, early: &Early) -> Result<(), RunError> {
        let parts = (&mut self.engine, &mut self.outputs, &mut self.books);
        match Self::take(&mut self.assigned, parts, &mut self.last, &early.input())? {
            Some(handled) => self.hand_over(Handled { trace: early.trace, ..handled }),
            None => Ok(()),
        }
    }

    /// Starts again from the committed offsets of the present assignment.
    fn restart(&mut self, reason: &'static str) -> Result<(), RunError> {
        happening::WindowsDiscarded { reason }.emit();
        let partitions = self.assigned.iter().map(|ours| ours.partition.clone()).collect();
        self.end()?;
        self.applied.clear();
        self.engine = (self.make)()?;
        if self.source.has_event() {
            return Ok(());
        }
        self.begin(partitions)
    }

    fn publish(&mut self) {
        if self.reported_at.elapsed() >= REPORT_EVERY {
            self.report();
        }
        self.views.board.publish(0, &self.books);
    }

    fn report(&mut self) {
        self.reported_at = Instant::now();
        self.engine.report(&mut self.books.engine);
        let lag = |ours: &Assigned| {
            let behind = self.source.tail(&ours.partition)?.saturating_sub(ours.next);
            let Partition { topic, number } = &ours.partition;
            Some((Arc::clone(topic), *number, u64::try_from(behind).unwrap_or(0)))
        };
        self.books.lag = self.assigned.iter().filter_map(lag).collect();
    }

    /// The orderly stop: finish, commit, leave the group.
    fn finish(mut self) -> Result<Books, RunError> {
        let limit = self.views.stop.limit();
        self.views.health.set_stopping();
        happening::Stopping { limit }.emit();
        let settled = self.settle(limit)?;
        self.end()?;
        self.report();
        self.publish();
        if !settled {
            let reason = "outputs or offsets could not be written".to_owned();
            return Err(RunError::StopTimeout { seconds: limit.as_secs(), reason });
        }
        Ok(self.books)
    }
}

impl Early {
    fn of(record: &Fetched<'_>, assigned: &[Assigned]) -> Self {
        let input = input_of(record);
        let known = find(assigned, 0, &input).and_then(|index| assigned.get(index));
        let partition = known.map_or_else(
            || Partition { topic: input.topic.into(), number: input.partition },
            |ours| ours.partition.clone(),
        );
        let payload = input.payload.map(<[u8]>::to_vec);
        let (offset, arrival_ms) = (input.offset, input.arrival_ms);
        Self { partition, offset, arrival_ms, trace: record.trace(), payload }
    }

    fn input(&self) -> Input<'_> {
        Input {
            topic: &self.partition.topic,
            partition: self.partition.number,
            offset: self.offset,
            arrival_ms: self.arrival_ms,
            payload: self.payload.as_deref(),
        }
    }
}

fn input_of<'a>(record: &'a Fetched<'_>) -> Input<'a> {
    Input {
        topic: record.topic(),
        partition: record.partition(),
        offset: record.offset(),
        arrival_ms: record.arrival_ms(),
        payload: record.payload(),
    }
}

/// Which of our partitions a record belongs to; none when it is not ours any more.
fn find(assigned: &[Assigned], guess: usize, input: &Input<'_>) -> Option<usize> {
    let is = |ours: &Assigned| {
        ours.partition.number == input.partition && &*ours.partition.topic == input.topic
    };
    if assigned.get(guess).is_some_and(is) { Some(guess) } else { assigned.iter().position(is) }
}

/// Steps one record and books that it was read. Its trace is no business of the engine; whoever holds the record adds it.
fn step<S: Step>(
    input: &Input<'_>,
    ours: &mut Assigned,
    engine: &mut S,
    outputs: &mut Vec<Output>,
    books: &mut Books,
) -> Result<Handled, RunError> {
    if input.offset < ours.next {
        return Err(RunError::OffsetsWentBack {
            topic: input.topic.to_owned(),
            partition: input.partition,
            offset: input.offset,
            expected: ours.next,
        });
    }
    books.record_read(&ours.partition.topic);
    let began = Instant::now();
    let outcome = engine.step(input, outputs);
    books.decision_duration.observe(began.elapsed());
    ours.next = input.offset + 1;
    let partition = ours.partition.clone();
    let (offset, arrival_ms) = (input.offset, input.arrival_ms);
    Ok(Handled { partition, offset, arrival_ms, trace: None, outcome })
}
