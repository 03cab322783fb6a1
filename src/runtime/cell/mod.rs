//! The cell: one thread that polls, steps, writes and commits.
//!
//! INVARIANT: what the engine holds is exactly the records before `applied` of each partition. Where the group's
//! committed offset lies elsewhere (a commit that never landed, another instance that went on), the engine is built
//! anew and the input is replayed up to the committed offset, so no record moves a window twice.

mod anchor;
mod gone;
mod lateness;
mod notes;
mod order;
mod rules;
mod share;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Config;
use crate::runtime::answered::Answered;
use crate::runtime::cell::anchor::Anchors;
use crate::runtime::cell::gone::Doubt;
use crate::runtime::cell::rules::Filling;
use crate::runtime::checkpoint::Checkpoints;
use crate::runtime::delivery::transactional::committed;
use crate::runtime::delivery::{Around, Delivery, Handled, Turn};
use crate::runtime::early::Early;
use crate::runtime::error::RunError;
use crate::runtime::log::{Fetched, GroupEvent, Log, Partition, Polled, Source};
use crate::runtime::note::{Entry, Mark, Note};
use crate::runtime::port::{Engines, Input, Output, Spread, Step};
use crate::runtime::recovery::{Plan, Progress, Recovery, Start, Tools};
use crate::runtime::shard::{Known, Shard, WHOLE, shard_name};
use crate::runtime::stop::Stop;
use crate::runtime::trace::TraceParent;
use crate::runtime::{Views, World};
use crate::telemetry::books::{Books, EngineReport};
use crate::telemetry::happening;

/// Most records between two looks at acknowledgements, rebalances and the wish to stop.
const BATCH: usize = 256;
/// Length of one slice of recovery, between two signs of life.
const SLICE: Duration = Duration::from_millis(20);
/// How often the engine's own counters and the lag are refreshed.
const REPORT_EVERY: Duration = Duration::from_millis(250);
/// How long a rebalance may wait for outputs in flight, and then for snapshots.
const SETTLE: Duration = Duration::from_secs(5);
/// How long the cell may wait for a record while a snapshot is being taken or the past is read.
const SAVING: Duration = Duration::from_millis(1);
/// How long an answer about partitions of others may take.
const ABROAD: Duration = Duration::from_millis(500);
/// A partition of ours.
#[derive(Clone, Debug)]
struct Assigned {
    partition: Partition,
    /// The next offset to step, and the fingerprint of the record before it where that is known.
    next: i64,
    record: Option<u64>,
    /// Its shard's place.
    shard: usize,
    /// Nobody has committed an offset, no record of it was read, and where it begins is not known.
    untouched: bool,
}

/// See the module.
pub(crate) struct Cell<'a, E: Engines, L: Log> {
    config: &'a Config,
    views: &'a Views,
    world: World<'a, L>,
    source: L::Source,
    delivery: Box<dyn Delivery<L::Source> + 'a>,
    engines: &'a mut E,
    shards: Vec<Shard<E::Engine>>,
    books: Books,
    assigned: Vec<Assigned>,
    /// Where the last record came from: records come in runs of one partition.
    last: usize,
    recovery: Option<Recovery<L::Reader, E::Engine>>,
    early: Vec<Early>,
    /// What readers have seen of records that are still to be decided.
    answered: Answered,
    /// The number of the last record in the order in which records are decided, across processes.
    sequence: u64,
    /// Reads the past for a rule set that is to become active.
    filling: Option<Filling<L::Reader, E::Engine>>,
    fill_again_at: Duration,
    /// Before then it is not tried again to keep a rule set that could not be kept.
    keep_again_at: Duration,
    /// How long the last batch of records took.
    deciding_took: Duration,
    paused: bool,
    outputs: Vec<Output>,
    /// The latest epochs of each partition, for the notes of commits.
    notes: BTreeMap<Partition, Vec<Entry>>,
    /// Whether the group has committed the latest epochs; until then nothing is read and no snapshot is taken.
    noted: bool,
    /// The input topics, and whether this instance ever had all of their partitions.
    inputs: &'a [String],
    had_all: bool,
    /// When it was given some of the partitions only, where the rule set needs all and it never had them.
    lacks_since: Option<Duration>,
    /// Partitions that the memory is shared out to, where each number has an engine.
    n_shares: u32,
    reported_at: Duration,
    /// What the group has committed of partitions that are not ours, as far as it was asked.
    abroad: BTreeMap<Partition, i64>,
    ask_abroad_at: Duration,
    /// The client did not find an input topic: nothing is read before the broker has said what became of it.
    doubt: Doubt,
    /// Who signs checkpoints of the audit chains.
    anchors: Option<Anchors>,
    /// Where it is told how late it is, once that was needed; and when it is looked again.
    scribe: Option<L::Scribe>,
    tell_time_at: Duration,
}

impl<'a, E: Engines, L: Log> Cell<'a, E, L> {
    /// A cell that waits for its partitions.
    pub(crate) fn new(
        config: &'a Config,
        world: World<'a, L>,
        source: L::Source,
        delivery: Box<dyn Delivery<L::Source> + 'a>,
        engines: &'a mut E,
        (views, books, inputs): (&'a Views, Books, &'a [String]),
    ) -> Result<Self, RunError> {
        let mut cell = Self {
            config,
            views,
            world,
            source,
            delivery,
            engines,
            shards: Vec::new(),
            books,
            assigned: Vec::new(),
            last: 0,
            recovery: None,
            early: Vec::new(),
            answered: Answered::nothing(config),
            sequence: 0,
            filling: None,
            fill_again_at: Duration::ZERO,
            keep_again_at: Duration::ZERO,
            deciding_took: Duration::ZERO,
            paused: false,
            outputs: Vec::new(),
            notes: BTreeMap::new(),
            noted: true,
            inputs,
            had_all: false,
            lacks_since: None,
            n_shares: u32::MAX,
            reported_at: world.clock.now(),
            abroad: BTreeMap::new(),
            ask_abroad_at: Duration::ZERO,
            doubt: Doubt::default(),
            anchors: Anchors::of(config)?,
            scribe: None,
            tell_time_at: Duration::ZERO,
        };
        if cell.engines.spread() == Spread::ByPartition {
            cell.n_shares = cell.n_partitions_of_each()?;
            cell.engines.share(cell.n_shares);
        } else {
            // WHY: now, so that a rule set that cannot run or a place that cannot be written ends the run at its start.
            cell.shard_of_all()?;
        }
        Ok(cell)
    }

    /// The place of a shard, which is made when it is new.
    fn shard(&mut self, name: &str) -> Result<usize, RunError> {
        if let Some(at) = self.shards.iter().position(|shard| &*shard.name == name) {
            return Ok(at);
        }
        let place = (name, name == WHOLE);
        let open = |vault| Checkpoints::open(vault, place, &self.config.snapshot, self.world.clock);
        let checkpoints = self.world.vault.map(open).transpose()?;
        let ruleset = self.engines.wanted().to_owned();
        let engine = self.engines.fresh(&ruleset)?;
        self.shards.push(Shard::new(name, (engine, ruleset), checkpoints));
        Ok(self.shards.len() - 1)
    }

    /// Works until asked to stop; returns the final books.
    pub(crate) fn run(mut self) -> Result<Books, RunError> {
        while !self.views.stop.requested() {
            self.views.health.tick();
            while let Some(event) = self.source.take_event() {
                self.on_group_event(event)?;
            }
            self.mind_lack()?;
            if !self.mind_inputs()? {
                // Asked again with the next turn.
            } else if self.recovery.is_some() {
                self.recover()?;
            } else if self.is_closing() {
                self.close_filling()?;
            } else if !self.follow_rules()? {
                self.views.health.set_unnamed(!self.assigned.is_empty());
                self.wait_for_note()?;
            } else {
                self.views.health.set_unnamed(false);
                if !self.is_closing() {
                    self.decide()?;
                }
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

    /// A batch of records, and a slice of each snapshot.
    fn decide(&mut self) -> Result<(), RunError> {
        let began_at = self.world.clock.now();
        self.press()?;
        self.fill()?;
        self.tell_time()?;
        self.checkpoint();
        self.deciding_took = self.world.clock.now().saturating_sub(began_at);
        Ok(())
    }

    /// A slice of each snapshot that is due or being taken.
    fn checkpoint(&mut self) {
        if self.world.vault.is_none() {
            return;
        }
        self.note_applied();
        self.ask_abroad();
        let (delivery, source) = (&self.delivery, &self.source);
        let (assigned, abroad) = (&self.assigned, &self.abroad);
        let committed = |partition: &Partition| {
            let is_ours = assigned.iter().any(|ours| ours.partition == *partition);
            if is_ours {
                delivery.committed(partition, source)
            } else {
                abroad.get(partition).copied()
            }
        };
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if may_save(at, assigned, &self.answered) {
                shard.checkpoint(self.world, &self.config.snapshot, &committed);
            }
        }
    }

    /// What the group has committed of partitions that an engine holds and somebody else has now: where it is less than
    /// the engine holds, further snapshots would put the usable ones out.
    fn ask_abroad(&mut self) {
        let now = self.world.clock.now();
        if self.assigned.is_empty() || now < self.ask_abroad_at {
            return;
        }
        self.ask_abroad_at = now + self.config.snapshot.interval;
        let is_ours =
            |partition: &&Partition| self.assigned.iter().any(|ours| ours.partition == **partition);
        let is_at_work = |at: usize| self.assigned.iter().any(|ours| ours.shard == at);
        let at_work = self.shards.iter().enumerate().filter(|(at, _)| is_at_work(*at));
        let held = at_work.flat_map(|(_, shard)| &shard.applied);
        let unsure = held.filter(|(partition, seen)| {
            !is_ours(partition) && self.abroad.get(partition) < Some(seen)
        });
        let unsure: Vec<Partition> = unsure.map(|(partition, _)| partition.clone()).collect();
        if unsure.is_empty() {
            return;
        }
        if let Ok(found) = self.source.committed(&unsure, ABROAD) {
            let known = unsure.into_iter().zip(found);
            self.abroad.extend(known.filter_map(|(partition, at)| Some((partition, at?.offset))));
        }
    }

    /// Tells the shards what their engines hold.
    fn note_applied(&mut self) {
        for Assigned { partition, next, record, shard, .. } in &self.assigned {
            let Some(shard) = self.shards.get_mut(*shard) else { continue };
            if let Some(record) = *record {
                shard.known.insert(partition.clone(), Known { next: *next, record });
            }
            match shard.applied.get_mut(partition) {
                Some(applied) => *applied = *next,
                // WHY: nothing was seen of it, and its oldest record need not be number 0.
                None if *next == 0 => {}
                None => _ = shard.applied.insert(partition.clone(), *next),
            }
        }
    }

    fn delivery_turn(&mut self) -> Result<Turn, RunError> {
        let (delivery, _, mut around) = self.delivering();
        delivery.turn(&mut around)
    }

    fn settle(&mut self, limit: Duration) -> Result<bool, RunError> {
        let (delivery, _, mut around) = self.delivering();
        delivery.settle(limit, &mut around)
    }

    /// Pauses or resumes reading by the room for outputs. Polling goes on, so the group keeps us.
    fn press(&mut self) -> Result<(), RunError> {
        let room = self.delivery.has_room();
        if !room && !self.paused {
            self.source.pause()?;
            self.paused = true;
            happening::BackPressure { in_flight: self.delivery.in_flight() }.emit();
        } else if room && self.paused && !self.assigned.is_empty() {
            // WHY: without partitions of its own it stays paused, because what it was given is not to be read.
            self.source.resume()?;
            self.paused = false;
        }
        Ok(())
    }

    /// Takes a batch of records.
    fn fill(&mut self) -> Result<(), RunError> {
        if self.answers_need_order() {
            return self.gather();
        }
        if !self.early.is_empty() {
            self.take_all_early()?;
        }
        let mut wait = self.delivery.patience(self.world.clock);
        if self.filling.is_some() || self.shards.iter().any(Shard::is_saving) {
            wait = wait.min(SAVING);
        }
        let awaited = self.has_answers_ahead();
        self.begin_sequence();
        for _ in 0..BATCH {
            let sequence = self.sequence + 1;
            let polled = self.source.poll(wait)?;
            wait = Duration::ZERO;
            let handled = match &polled {
                Polled::Nothing => return Ok(()),
                Polled::Trouble(trouble) => Err(trouble.clone()),
                Polled::Record(record) => {
                    let parts = (&mut *self.shards, &mut self.outputs, &mut self.books, sequence);
                    let input = record.input();
                    match Self::take(&mut self.assigned, parts, &mut self.last, &input)? {
                        Some(handled) => Ok(Handled { trace: TraceParent::of(record), ..handled }),
                        None => continue,
                    }
                }
            };
            drop(polled);
            match handled {
                Ok(handled) => self.hand_over(handled)?,
                Err(trouble) => return self.on_trouble(trouble),
            }
            // WHY: a rule set that waits begins right behind what is answered.
            let passed = awaited && !self.has_answers_ahead();
            if passed || !self.delivery.has_room() || self.source.has_event() {
                break;
            }
        }
        Ok(())
    }

    /// Steps a record, if its partition is still ours.
    fn take(
        assigned: &mut [Assigned],
        (shards, outputs, books, sequence): Parts<'_, E::Engine>,
        last: &mut usize,
        input: &Input<'_>,
    ) -> Result<Option<Handled>, RunError> {
        let Some(index) = find(assigned, *last, input) else { return Ok(None) };
        *last = index;
        let Some(ours) = assigned.get_mut(index) else { return Ok(None) };
        let Some(shard) = shards.get_mut(ours.shard) else { return Ok(None) };
        let handled = step(input, ours, &mut shard.engine, outputs, books)?;
        let follows = shard.follow((&handled.partition, handled.offset));
        let epoch = shard.announced(outputs);
        Ok(Some(Handled { sequence, follows, epoch, ..handled }))
    }

    fn hand_over(&mut self, mut handled: Handled) -> Result<(), RunError> {
        // WHY: one that is decided again has its number of the first time, which may be an earlier one.
        self.sequence = self.sequence.max(handled.sequence);
        handled.mark.number = Some(self.sequence);
        self.anchor((&handled.partition, handled.offset));
        self.answered.leave_out((&handled.partition, handled.offset), &mut self.outputs);
        let (delivery, outputs, mut around) = self.delivering();
        delivery.accept(handled, outputs, &mut around)
    }

    /// A checkpoint of the audit chain goes with the outputs of the record that was just stepped, if one is due.
    fn anchor(&mut self, place: (&Partition, i64)) {
        let Some(anchors) = &mut self.anchors else { return };
        let ours = self.assigned.get(self.last).filter(|ours| ours.partition == *place.0);
        let shard = ours.and_then(|ours| self.shards.get(ours.shard));
        let standing = shard.and_then(|shard| shard.engine.audit_standing());
        let due = standing.and_then(|it| anchors.after(place, it, self.world.clock));
        if let Some((output, signed_ms)) = due {
            self.outputs.push(output);
            let Partition { topic, number } = place.0;
            self.books.anchors.insert((Arc::clone(topic), *number), signed_ms);
        }
    }

    /// The delivery, the outputs of the last record, and what a delivery needs of the cell.
    fn delivering(
        &mut self,
    ) -> (&mut (dyn Delivery<L::Source> + 'a), &mut Vec<Output>, Around<'_, L::Source>) {
        let Views { health, stop, .. } = self.views;
        let around = Around {
            source: &self.source,
            books: &mut self.books,
            health,
            stop,
            clock: self.world.clock,
            epochs: &self.notes,
        };
        (&mut *self.delivery, &mut self.outputs, around)
    }

    fn on_group_event(&mut self, event: GroupEvent) -> Result<(), RunError> {
        match event {
            GroupEvent::Assigned(partitions) => {
                *self.books.rebalances.entry("assign").or_default() += 1;
                happening::PartitionsAssigned { partitions: partitions.len() }.emit();
                // WHY: a group that was told twice that we join may give without having taken.
                if !self.assigned.is_empty() {
                    self.end()?;
                }
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
                    if self.recovery.is_none() && self.settle(SETTLE)? {
                        self.save_all(SETTLE);
                    }
                }
                self.end()?;
                self.source.unassign()
            }
        }
    }

    /// A snapshot of every shard as it stands, for whoever goes on.
    fn save_all(&mut self, limit: Duration) -> bool {
        self.note_applied();
        let deadline = self.world.clock.now() + limit;
        let mut saved = true;
        for (at, shard) in self.shards.iter_mut().enumerate() {
            self.views.health.tick();
            if may_save(at, &self.assigned, &self.answered) {
                saved &= shard.save_now(self.world.clock, deadline);
            }
        }
        saved
    }

    /// Forgets the present assignment.
    fn end(&mut self) -> Result<(), RunError> {
        if self.recovery.take().is_some() {
            // WHY: windows that are half rebuilt hold neither the old nor the new position.
            self.discard()?;
        } else {
            self.note_applied();
        }
        self.assigned.clear();
        self.noted = true;
        self.lacks_since = None;
        // WHY: it may be somebody else's past; whoever asked for it gets it from the beginning.
        self.filling = None;
        for shard in &mut self.shards {
            // WHY: whoever has the partitions next may drop what was kept.
            (shard.keeping, shard.kept, shard.looked) = (None, None, None);
            shard.again = None;
            // WHY: whoever has the partition next writes its snapshots; the state stays warm here.
            if &*shard.name != WHOLE
                && let Some(checkpoints) = &mut shard.checkpoints
            {
                checkpoints.release(&mut shard.engine);
            }
        }
        // WHY: books of their own, because somebody reads those records again and they count as decided then.
        let mut abandoned = Books::default();
        self.delivery.forget(&mut abandoned);
        self.books.records_abandoned(abandoned.n_done());
        (self.paused, self.last) = (false, 0);
        self.early.clear();
        self.books.lag.clear();
        self.books.anchors.clear();
        self.anchors.iter_mut().for_each(Anchors::forget);
        self.views.health.set_assigned(false);
        self.views.health.set_recovering(false);
        Ok(())
    }

    /// Empties the windows.
    fn discard(&mut self) -> Result<(), RunError> {
        for shard in &mut self.shards {
            let ruleset = self.engines.wanted().to_owned();
            shard.replace(self.engines.fresh(&ruleset)?, (ruleset, 0), BTreeMap::new());
        }
        Ok(())
    }

    /// Takes over partitions: brings the windows to the committed offsets, then reads from there.
    fn begin(&mut self, partitions: Vec<Partition>) -> Result<(), RunError> {
        self.mind_absent(&partitions);
        // WHY: what is still on its way from before this assignment would reach the topics after the look at them.
        self.settle(SETTLE)?;
        let timeout = self.config.call_timeout();
        let Views { health, stop, .. } = self.views;
        let positions =
            committed(&self.source, &partitions, timeout, (stop, health), Stop::requested)?;
        let starts: Vec<Start> = partitions.into_iter().zip(positions).collect();
        let offset = |(partition, position): &Start| {
            (partition.clone(), position.as_ref().map(|at| at.offset))
        };
        let offsets: Vec<(Partition, Option<i64>)> = starts.iter().map(offset).collect();
        let record = |(_, position): &Start| Note::parse(&position.as_ref()?.note).mark.record;
        let records: Vec<Option<u64>> = starts.iter().map(record).collect();
        if !starts.is_empty() && !self.may_have(starts.len(), &offsets)? {
            return Ok(());
        }
        let by_partition = self.engines.spread() == Spread::ByPartition;
        self.look_for_growth(&offsets);
        let name = |partition: &Partition| shard_name(by_partition, partition);
        let mut places = Vec::new();
        for (partition, _) in &offsets {
            places.push(self.shard(&name(partition))?);
        }
        let mut recovery = Recovery::new(self.world.clock);
        let mut tools: Tools<'_, L, E> = Tools {
            config: self.config,
            log: self.world.log,
            clock: self.world.clock,
            source: &self.source,
            engines: &mut *self.engines,
            health,
        };
        for (at, shard) in self.shards.iter_mut().enumerate() {
            let pairs = starts.iter().zip(&places).filter(|(_, place)| **place == at);
            let starts: Vec<Start> = pairs.map(|(start, _)| start.clone()).collect();
            if starts.is_empty() {
                continue;
            }
            if let Some((checkpoints, vault)) = shard.checkpoints.as_mut().zip(self.world.vault) {
                // Whoever had it may not have gone yet; it is tried again with each snapshot that is due.
                checkpoints.try_claim(vault, &self.config.snapshot);
            }
            if recovery.plan((at, shard), &starts, &mut tools)? == Plan::Stale {
                return self.begin_again(offsets.into_iter().map(|(at, _)| at).collect());
            }
        }
        let ordered_since_ms = recovery.ordered_since_ms(&self.shards);
        self.answered = Answered::look(&starts, ordered_since_ms, &tools);
        recovery.order = self.answered.order().clone();
        self.number_behind(&starts, &recovery.order);
        self.answered.forget_order();
        self.source.assign(&offsets)?;
        self.delivery.assigned(&offsets);
        self.assigned = offsets
            .into_iter()
            .zip(places.into_iter().zip(records))
            .map(|((partition, start), (shard, record))| Assigned {
                partition,
                next: start.unwrap_or(0),
                record,
                shard,
                untouched: start.is_none(),
            })
            .collect();
        self.write_notes();
        self.mind_unproved();
        self.views.health.set_assigned(true);
        self.set_out(recovery)
    }

    /// Takes over partitions whose committed offsets moved on without us, if they are still ours.
    fn begin_again(&mut self, partitions: Vec<Partition>) -> Result<(), RunError> {
        let reason = "the group's offsets moved on without this instance";
        happening::WindowsDiscarded { reason }.emit();
        self.discard()?;
        // WHY: who has lost its partitions hears of it when it polls; none are assigned, so no record comes.
        if let Polled::Trouble(trouble) = self.source.poll(Duration::ZERO)? {
            self.doubt.hear(&trouble);
        }
        if self.source.has_event() {
            return Ok(());
        }
        self.begin(partitions)
    }

    /// Goes on at once, or recovers first.
    fn set_out(&mut self, recovery: Recovery<L::Reader, E::Engine>) -> Result<(), RunError> {
        if recovery.is_complete() {
            // WHY: the client remembers from before a rebalance that a partition was paused.
            self.source.resume()?;
        } else {
            self.source.pause()?;
            self.paused = true;
            self.views.health.set_recovering(true);
            happening::RecoveryStarted { partitions: recovery.n_partitions() }.emit();
            self.recovery = Some(recovery);
        }
        Ok(())
    }

    /// One slice of recovery; polls on the way so that the group keeps us.
    fn recover(&mut self) -> Result<(), RunError> {
        let Some(recovery) = &mut self.recovery else { return Ok(()) };
        let world = (self.world.log, self.world.clock);
        let progress = recovery.slice(SLICE, world, &mut *self.engines, &mut self.shards)?;
        if progress == Progress::Gone {
            return self.restart("records that are to be replayed were deleted meanwhile");
        }
        let complete = progress == Progress::Complete;
        let (records, took) = recovery.progress(self.world.clock);
        match self.source.poll(Duration::ZERO)? {
            Polled::Nothing => {}
            Polled::Trouble(trouble) => self.doubt.hear(&trouble),
            // WHY: reading is paused, so this is rare; a record that comes all the same must not be lost.
            Polled::Record(record) => self.early.push(Early::of(&record)),
        }
        if complete {
            self.recovery = None;
            happening::RecoveryFinished { records, took }.emit();
            self.views.health.set_recovering(false);
        }
        Ok(())
    }

    /// Takes the records that came while they could not be decided.
    fn take_all_early(&mut self) -> Result<(), RunError> {
        self.begin_sequence();
        for early in core::mem::take(&mut self.early) {
            self.take_early(&early, self.sequence + 1)?;
        }
        Ok(())
    }

    fn take_early(&mut self, early: &Early, sequence: u64) -> Result<(), RunError> {
        let parts = (&mut *self.shards, &mut self.outputs, &mut self.books, sequence);
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
        self.discard()?;
        if self.source.has_event() {
            return Ok(());
        }
        self.begin(partitions)
    }

    fn publish(&mut self) {
        if self.world.clock.now().saturating_sub(self.reported_at) >= REPORT_EVERY {
            self.report();
        }
        self.views.board.publish(0, &self.books);
    }

    fn report(&mut self) {
        self.reported_at = self.world.clock.now();
        self.report_engines();
        let lag = |ours: &Assigned| {
            let behind = self.source.tail(&ours.partition)?.saturating_sub(ours.next);
            let Partition { topic, number } = &ours.partition;
            Some((Arc::clone(topic), *number, u64::try_from(behind).unwrap_or(0)))
        };
        self.books.lag = self.assigned.iter().filter_map(lag).collect();
    }

    /// The engines' own counters, those of all shards that have partitions together.
    fn report_engines(&mut self) {
        let mut reports = Vec::new();
        let wall_ms = self.world.clock.wall_ms();
        self.books.snapshots.clear();
        for (at, shard) in self.shards.iter().enumerate() {
            if &*shard.name != WHOLE && !self.assigned.iter().any(|ours| ours.shard == at) {
                continue;
            }
            let mut report = EngineReport::default();
            shard.engine.report(wall_ms, &mut report);
            reports.push(report);
            self.books.snapshots.extend(shard.checkpoints.as_ref().map(|own| own.books.clone()));
        }
        let mut reports = reports.into_iter();
        let mut sum = reports.next().unwrap_or_default();
        reports.for_each(|report| sum.add(&report));
        self.books.engine = sum;
    }

    /// The orderly stop: finish, commit, leave the group.
    fn finish(mut self) -> Result<Books, RunError> {
        let limit = self.views.stop.limit();
        self.views.health.set_stopping();
        happening::Stopping { limit }.emit();
        let recovering = self.recovery.is_some();
        let settled = self.settle(limit)?;
        if settled && !recovering {
            // WHY: half of the time at most, and what is left; a stop without it only makes the next start slower.
            let left = limit.saturating_sub(self.views.stop.waited());
            self.save_all(left.min(limit / 2));
        }
        self.end()?;
        self.report();
        self.publish();
        if !settled {
            let reason = "outputs or offsets could not be written".to_owned();
            let seconds = self.views.stop.waited().as_secs();
            return Err(RunError::StopTimeout { seconds, reason });
        }
        Ok(self.books)
    }
}

/// Checks that the key that signs checkpoints can be read, where one is wanted.
///
/// # Errors
/// It cannot.
pub(crate) fn check_key(config: &Config) -> Result<(), RunError> {
    Anchors::of(config).map(drop)
}

/// Whether a snapshot of a shard is of use.
///
/// WHY: without partitions nothing changes. What is decided again behind a snapshot was written before it was taken; but a
/// start looks for the order of what is behind it only from then on.
fn may_save(shard: usize, assigned: &[Assigned], answered: &Answered) -> bool {
    let mut ours = assigned.iter().filter(|ours| ours.shard == shard).peekable();
    let is_passed = |ours: &Assigned| !answered.is_ahead(&ours.partition, ours.next);
    ours.peek().is_some() && (answered.is_passed() || ours.all(is_passed))
}

/// What a record moves, and its number.
type Parts<'p, S> = (&'p mut [Shard<S>], &'p mut Vec<Output>, &'p mut Books, u64);

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
    let mark = Mark {
        digest: engine.digest(),
        record: Some(input.fingerprint()),
        event_time_ms: engine.event_time_ms(),
        number: None,
        chain: engine.audit_link(input.topic, input.partition),
    };
    (ours.next, ours.record, ours.untouched) = (input.offset + 1, mark.record, false);
    Ok(Handled {
        partition: ours.partition.clone(),
        offset: input.offset,
        arrival_ms: input.arrival_ms,
        trace: None,
        outcome,
        sequence: 0,
        follows: None,
        epoch: None,
        mark,
    })
}
