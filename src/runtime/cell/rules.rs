//! How a cell follows the rule set that is wanted: it is kept beside the snapshots first; if that was asked for, the past is
//! read again for it; then, between two records and with nothing in flight, it begins an epoch, which a commit notes before
//! anything is decided in it.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::base::planted::{Bug, is_planted};
use crate::diag::Code;
use crate::runtime::backfill::{Planned, Range, Reading};
use crate::runtime::cell::{Assigned, Cell, SETTLE, SLICE, WHOLE};
use crate::runtime::early::Early;
use crate::runtime::epochs::Fill;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, LogError, Partition, Polled, Source};
use crate::runtime::port::{Engines, News, Spread, Step};
use crate::runtime::shard::{Prepared, Shard};
use crate::telemetry::happening;

/// Records between a reader of the past and the present, below which deciding may stop for them.
const NEAR: i64 = 1_000;
/// Turns of catching up after which deciding stops however many records are left: it would never come nearer.
const MOST_TURNS: u32 = 64;
/// The least and the most that is read of the past between two batches of records; in between, as long as deciding took.
const SHARE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(20));
/// Longest time between two tries to keep a rule set while another one decides.
const KEEP_AGAIN: Duration = Duration::from_mins(1);
/// Time between two tries to find out what is to be read, or to keep a rule set while none decides.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Readers of the past, one for each shard that needs one.
pub(super) struct Filling<R, S> {
    ruleset: String,
    readings: Vec<Reading<R, S>>,
    n_turns: u32,
    /// Deciding has stopped; only what is left is read.
    is_closing: bool,
}

/// What each shard that needs one got from its reader.
type Fills<S> = BTreeMap<usize, (S, Fill)>;

impl<E: Engines, L: Log> Cell<'_, E, L> {
    /// Makes the wanted rule set active where it is not. False: nothing may be decided yet, because the group has not
    /// committed which rule set it is.
    pub(super) fn follow_rules(&mut self) -> Result<bool, RunError> {
        if !self.noted && !self.note()? {
            return Ok(false);
        }
        self.take_news();
        if self.all_at_work(|shard| is_active(shard, self.engines.wanted())) {
            if !self.assigned.is_empty() {
                self.engines.tell_active();
                self.look_after_rules();
            }
            if self.engines.backfill(true).is_none() {
                return Ok(true);
            }
        }
        if self.has_answers_ahead() {
            return Ok(true);
        }
        let wanted = self.engines.wanted().to_owned();
        if !self.prepare(&wanted)
            || !self.know_beginnings()
            || !self.has_read_the_past(&wanted)?
            || !self.settle(SETTLE)?
        {
            // WHY: what is active goes on; but nothing begins that has no name yet.
            return Ok(self.all_at_work(Shard::is_named));
        }
        if self.filling.is_some() {
            self.begin_closing()?;
            return Ok(true);
        }
        self.enter(&wanted, Fills::new())
    }

    /// Whether readers have seen answers to records that are still to be decided, and by whose rule set they were given is
    /// known: it goes on until these are passed.
    pub(super) fn has_answers_ahead(&self) -> bool {
        let is_ahead = |ours: &Assigned| self.answered.is_ahead(&ours.partition, ours.next);
        self.assigned.iter().any(is_ahead) && self.all_at_work(Shard::is_named)
    }

    /// Takes note of a rule set that came.
    fn take_news(&mut self) {
        let news = self.engines.poll();
        if news == News::None {
            return;
        }
        self.keep_again_at = Duration::ZERO;
        if news == News::Another {
            self.filling = None;
            // WHY: while none can be kept, each that comes takes the place of the one before.
            self.let_go();
        }
    }

    /// Lets go of rule sets that no shard may come back to. WHY: one with its lists may be large, and whoever changes a
    /// list every minute makes many.
    fn let_go(&mut self) {
        let named = self.shards.iter().flat_map(Shard::rulesets).map(str::to_owned).collect();
        self.engines.retain(&named);
    }

    /// The active rule set is to be found beside the snapshots of each shard at work.
    fn look_after_rules(&mut self) {
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if self.assigned.iter().any(|ours| ours.shard == at) {
                shard.look_after_rules(&*self.engines);
            }
        }
    }

    /// Makes the one shard that has all partitions.
    pub(super) fn shard_of_all(&mut self) -> Result<(), RunError> {
        let Err(error) = self.shard(WHOLE) else { return Ok(()) };
        let RunError::Snapshots { code: Code("S0006"), reason, .. } = &error else {
            return Err(error);
        };
        Err(match self.engines.spread() {
            // WHY: whoever starts a second instance is to hear why there can be one only, not where snapshots lie.
            Spread::Whole { who, key } => {
                RunError::HasAllPartitions { who, key, reason: reason.clone() }
            }
            Spread::ByPartition | Spread::Anyhow => error,
        })
    }

    /// Nobody knows whether a partition that no rule set has a name for can be decided before it is.
    pub(super) fn mind_unproved(&self) {
        if !self.all_at_work(Shard::is_named) {
            self.views.health.set_unproved();
        }
    }

    /// Whether all shards that have partitions are so.
    fn all_at_work(&self, is: impl Fn(&Shard<E::Engine>) -> bool) -> bool {
        self.assigned.iter().all(|ours| self.shards.get(ours.shard).is_some_and(&is))
    }

    /// Whether the wanted rule set may become active now in every shard that is at work and is not as wanted.
    fn prepare(&mut self, wanted: &str) -> bool {
        // WHY: a disk that is full is full a moment later, too; each try writes and tells. And a second try is not worth the
        // snapshot that is being taken.
        let is_again = self.keep_again_at > Duration::ZERO;
        if self.world.clock.now() < self.keep_again_at
            || is_again && self.shards.iter().any(Shard::is_saving)
        {
            return false;
        }
        let (mut behind, mut ready) = (false, !self.assigned.is_empty());
        for at in 0..self.shards.len() {
            let is_ours = self.assigned.iter().any(|ours| ours.shard == at);
            if !is_ours || self.shards.get(at).is_none_or(|shard| self.is_as_wanted(shard)) {
                continue;
            }
            behind = true;
            let Some(shard) = self.shards.get_mut(at) else { continue };
            match shard.prepare(wanted, &*self.engines) {
                Prepared::Yes => {}
                Prepared::NotYet => ready = false,
                Prepared::No(reason) => {
                    self.hold_back(&reason);
                    return false;
                }
            }
        }
        behind && ready
    }

    fn is_as_wanted(&self, shard: &Shard<E::Engine>) -> bool {
        let is_active = is_active(shard, self.engines.wanted());
        is_active && self.engines.backfill(true).is_none()
    }

    /// The wanted rule set cannot be kept now; what is active goes on, and it is tried again.
    fn hold_back(&mut self, reason: &str) {
        let is_named = self.all_at_work(Shard::is_named);
        // WHY: where nothing decides, every moment counts.
        let pause =
            if is_named { self.config.snapshot.interval.min(KEEP_AGAIN) } else { TRY_AGAIN };
        self.keep_again_at = self.world.clock.now() + pause;
        self.engines.hold_back(reason);
        self.filling = None;
        if is_named {
            happening::RuleSetHeldBack { reason, again_in: pause }.emit();
        } else {
            happening::NothingDecided { reason }.emit();
        }
    }

    fn refuse(&mut self, at: usize, reason: &str) {
        if let Some(shard) = self.shards.get(at) {
            self.engines.refuse(&shard.ruleset, reason);
        }
        self.filling = None;
        happening::RuleSetRefused { reason }.emit();
    }

    /// Reads the past again where that was asked for, a little with each call. True: it is done but for a few records.
    fn has_read_the_past(&mut self, wanted: &str) -> Result<bool, RunError> {
        let ours = |at: usize, cell: &Self| cell.assigned.iter().any(|ours| ours.shard == at);
        let asks = (0..self.shards.len()).any(|at| ours(at, self) && self.asks(at).is_some());
        if !asks {
            return Ok(true);
        }
        if self.filling.as_ref().is_none_or(|filling| filling.ruleset != wanted) {
            if self.world.clock.now() < self.fill_again_at {
                return Ok(false);
            }
            match self.plan_filling(wanted)? {
                Ok(filling) => self.filling = filling,
                Err(LogError { code, text, .. }) => {
                    let attempted = "find out where the past lies";
                    happening::KafkaTrouble { attempted, code: &code, error: &text }.emit();
                    self.fill_again_at = self.world.clock.now() + TRY_AGAIN;
                    return Ok(false);
                }
            }
        }
        self.catch_up()
    }

    /// From when on the past of a shard is to be read again.
    fn asks(&self, at: usize) -> Option<crate::runtime::backfill::Since> {
        let shard = self.shards.get(at)?;
        // WHY: a shard that never decided anything begins with its oldest record anyway.
        shard.epochs.last()?;
        let is_active = is_active(shard, self.engines.wanted());
        let since = self.engines.backfill(is_active)?;
        (shard.ruleset != self.engines.wanted() || shard.engine.is_warming()).then_some(since)
    }

    /// Finds out what is to be read, tells whoever asked, and starts to read. None: there is nothing to read.
    fn plan_filling(&mut self, wanted: &str) -> Result<Result<Planning<E, L>, LogError>, RunError> {
        let timeout = self.config.call_timeout();
        let mut sum = Planned::default();
        let mut readings = Vec::new();
        for at in 0..self.shards.len() {
            let ends = self.ends(at);
            let (Some(since), Some(shard)) = (self.asks(at), self.shards.get(at)) else { continue };
            if ends.is_empty() {
                continue;
            }
            self.views.health.tick();
            let range = match Range::find(since, &ends, &shard.engine, (&self.source, timeout)) {
                Err(error) => return Ok(Err(error)),
                Ok(None) => continue,
                Ok(Some(range)) => range,
            };
            let planned = range.planned(&ends);
            sum.since_ms = planned.since_ms;
            sum.n_records += planned.n_records;
            sum.n_partitions += planned.n_partitions;
            sum.n_cut += planned.n_cut;
            for Partition { topic, number } in range.cut() {
                happening::BackfillCut { topic, partition: *number }.emit();
            }
            let world = (self.world.log, self.world.clock);
            let engine = self.engines.fresh(wanted)?;
            readings.push(Reading::start((at, engine), range, ends, world)?);
        }
        let (since_ms, records) = (sum.since_ms, sum.n_records);
        happening::BackfillStarted { ruleset: wanted, since_ms, records }.emit();
        self.engines.tell_backfill(&sum);
        let ruleset = wanted.to_owned();
        let filling = Filling { ruleset, readings, n_turns: 0, is_closing: false };
        Ok(Ok((!filling.readings.is_empty()).then_some(filling)))
    }

    /// Where a shard's engine stands.
    fn ends(&self, at: usize) -> BTreeMap<Partition, i64> {
        let ours = self.assigned.iter().filter(|ours| ours.shard == at);
        ours.map(|Assigned { partition, next, .. }| (partition.clone(), *next)).collect()
    }

    /// Reads on. True: all readers are near to the present.
    fn catch_up(&mut self) -> Result<bool, RunError> {
        let length = self.deciding_took.clamp(SHARE.0, SHARE.1);
        let clock = self.world.clock;
        let Some(mut filling) = self.filling.take() else { return Ok(true) };
        let mut near = true;
        for reading in &mut filling.readings {
            let ends = self.ends(reading.shard);
            if filling.n_turns < MOST_TURNS && reading.distance(&ends) > NEAR {
                filling.n_turns += 1;
                reading.extend(ends);
            }
            if !reading.slice(length, clock)? {
                if reading.is_gone() {
                    self.fill_again_at = clock.now() + TRY_AGAIN;
                    return Ok(false);
                }
                near = false;
                break;
            }
            near &= filling.n_turns >= MOST_TURNS
                || reading.distance(&self.ends(reading.shard)) <= NEAR;
        }
        self.filling = Some(filling);
        Ok(near)
    }

    /// Stops deciding until the last records are read. Nothing is in flight.
    fn begin_closing(&mut self) -> Result<(), RunError> {
        self.source.pause()?;
        self.paused = true;
        let Some(mut filling) = self.filling.take() else { return Ok(()) };
        for reading in &mut filling.readings {
            let ends = self.ends(reading.shard);
            reading.extend(ends);
        }
        filling.is_closing = true;
        self.filling = Some(filling);
        Ok(())
    }

    pub(super) fn is_closing(&self) -> bool {
        self.filling.as_ref().is_some_and(|filling| filling.is_closing)
    }

    /// A slice of the last records; polls on the way so that the group keeps us. Then the rule set becomes active.
    pub(super) fn close_filling(&mut self) -> Result<(), RunError> {
        match self.source.poll(Duration::ZERO)? {
            Polled::Nothing => {}
            Polled::Trouble(trouble) => self.doubt.hear(&trouble),
            // WHY: reading is paused, so this is rare; a record that comes all the same must not be lost.
            Polled::Record(record) => self.early.push(Early::of(&record)),
        }
        let clock = self.world.clock;
        let Some(filling) = &mut self.filling else { return Ok(()) };
        for reading in &mut filling.readings {
            if !reading.slice(SLICE, clock)? {
                if reading.is_gone() {
                    // WHY: deciding goes on meanwhile, and what is left of the past is looked for again.
                    (self.filling, self.fill_again_at) = (None, clock.now() + TRY_AGAIN);
                }
                return Ok(());
            }
        }
        let Some(Filling { ruleset, readings, .. }) = self.filling.take() else { return Ok(()) };
        let mut fills = Fills::new();
        for reading in readings {
            let (shard, (records, took)) = (reading.shard, reading.progress(clock));
            let (engine, fill) = reading.end();
            happening::BackfillRead { records, took, since_ms: fill.since_ms }.emit();
            fills.insert(shard, (engine, fill));
            self.views.health.tick();
        }
        self.enter(&ruleset, fills).map(drop)
    }

    /// Makes the rule set active in the shards that have partitions. True: the group has committed that.
    fn enter(&mut self, wanted: &str, mut fills: Fills<E::Engine>) -> Result<bool, RunError> {
        self.note_applied();
        for at in 0..self.shards.len() {
            let from = self.ends(at);
            let Some(shard) = self.shards.get_mut(at).filter(|_| !from.is_empty()) else {
                continue;
            };
            if let Err(error) = shard.enter(wanted, from, fills.remove(&at), &mut *self.engines) {
                // WHY: what other shards began is noted all the same; they go back with an epoch of their own.
                self.refuse(at, &error.to_string());
                break;
            }
            self.views.health.tick();
        }
        self.engines.end_backfill();
        self.let_go();
        self.write_notes();
        if is_planted(Bug::NoteSkipped) {
            return Ok(true);
        }
        self.noted = false;
        self.note()
    }
}

/// What came of planning: the readers, if there is something to read.
type Planning<E, L> = Option<Filling<<L as Log>::Reader, <E as Engines>::Engine>>;

/// Whether a shard decides by the wanted rule set, and says so.
fn is_active<S>(shard: &Shard<S>, wanted: &str) -> bool {
    shard.ruleset == wanted && shard.epochs.last().is_some_and(|epoch| epoch.ruleset == wanted)
}
