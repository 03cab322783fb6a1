//! How a shard comes to its state: from what it holds, from the newest snapshot, from the input, in this order.
//!
//! INVARIANT: when a recovery is complete, the engine holds exactly the records before the committed offset of each of
//! its partitions, or the decisions say that records are missing (`state_gap`).

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::base::planted::{Bug, is_planted};
use crate::config::Config;
use crate::durable::{Header, LoadError, Position as Place, Reason, Search, Skipped};
use crate::engine::Link;
use crate::runtime::answered::Order;
use crate::runtime::backfill::{Range, Reading};
use crate::runtime::clock::Clock;
use crate::runtime::continuity::{Claim, bounds, mind_log};
use crate::runtime::epochs::{Epochs, Fill};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::log::{Log, LogError, Partition, Position, Reader, Source};
use crate::runtime::note::{Mark, Note};
use crate::runtime::port::{Engines, Input, Step};
use crate::runtime::replay::{Replay, Stretch};
use crate::runtime::shard::{Known, Shard};
use crate::telemetry::books::NewestSnapshot;
use crate::telemetry::happening;
use crate::telemetry::health::Health;

/// A partition and where the group stands in it.
pub(crate) type Start = (Partition, Option<Position>);

/// Records between what a shard still holds and the committed offset, beyond which a snapshot is looked for.
const MANY: i64 = 50_000;

/// What became of the search for a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loaded {
    /// The state is that of a snapshot.
    Yes,
    /// There was none to use.
    None,
    /// There were some, and none of them is whole.
    Lost,
    /// There were some, and all of them have seen more than is committed.
    Beyond,
}

/// What a plan came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    /// It is known what is to be replayed.
    Made,
    /// The group's offsets have moved on since they were read: somebody else has the partitions, or had them.
    Stale,
}

/// How far a recovery is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// There is more to do.
    More,
    /// All shards stand where they should.
    Complete,
    /// Records that were to be replayed have been deleted since it was planned.
    Gone,
}

/// What is still to be done until all shards stand at their committed offsets.
pub(crate) struct Recovery<R, S> {
    /// Shards that wait for their turn.
    waiting: VecDeque<Pending>,
    /// The shard that is being brought up.
    current: Option<(Pending, Replay<R>)>,
    /// The past that is read again for the epoch that begins next, with its number and rule set.
    past: Option<(Reading<R, S>, (u64, String))>,
    n_records: u64,
    began_at: Duration,
    /// In which order the records of several partitions were decided.
    pub(crate) order: Order,
}

/// One shard to be brought up.
#[derive(Debug)]
struct Pending {
    /// Its place among the cell's shards.
    shard: usize,
    stretches: Vec<Stretch>,
    /// What the engine's digest must be at the end.
    digest: Option<u64>,
    /// Where the audit chains of its partitions were when it was committed.
    chains: Vec<(Partition, Link)>,
    /// The epoch that begins then.
    then: Option<Then>,
}

/// The epoch that begins after a stretch.
#[derive(Debug)]
struct Then {
    number: u64,
    ruleset: String,
    /// What is read again first, and up to where.
    past: Option<(Range, BTreeMap<Partition, i64>)>,
}

/// What a recovery may use.
pub(crate) struct Tools<'a, L: Log, E> {
    pub(crate) config: &'a Config,
    pub(crate) log: &'a L,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) source: &'a L::Source,
    pub(crate) engines: &'a mut E,
    pub(crate) health: &'a Health,
}

impl<R: Reader, S: Step> Recovery<R, S> {
    /// A recovery with nothing to do.
    pub(crate) fn new(clock: &dyn Clock) -> Self {
        let (waiting, n_records, began_at) = (VecDeque::new(), 0, clock.now());
        let order = Order::default();
        Self { waiting, current: None, past: None, n_records, began_at, order }
    }

    /// Whether there is nothing to do.
    pub(crate) fn is_complete(&self) -> bool {
        self.waiting.is_empty() && self.current.is_none() && self.past.is_none()
    }

    /// From when on the order across partitions is to be known, in ms since 1970; none where no engine replays several.
    pub(crate) fn ordered_since_ms(&self, shards: &[Shard<S>]) -> Option<i64> {
        let replays = self.waiting.iter().filter_map(|Pending { shard, stretches, .. }| {
            Some((stretches.len(), shards.get(*shard)?.saved_at_ms))
        });
        joined_since(replays)
    }

    /// Partitions whose records will be read.
    pub(crate) fn n_partitions(&self) -> usize {
        self.waiting.iter().map(|pending| pending.stretches.len()).sum()
    }

    /// Records replayed so far and the time it took.
    pub(crate) fn progress(&self, clock: &dyn Clock) -> (u64, Duration) {
        (self.n_records, clock.now().saturating_sub(self.began_at))
    }

    /// Finds out how a shard comes to its committed offsets, loads a snapshot where that helps, and notes what is to be
    /// replayed. Where the group's offsets have moved on meanwhile, the shard may hold anything.
    pub(crate) fn plan<L: Log<Reader = R>, E: Engines<Engine = S>>(
        &mut self,
        (at, shard): (usize, &mut Shard<S>),
        starts: &[Start],
        tools: &mut Tools<'_, L, E>,
    ) -> Result<Plan, RunError> {
        let offset = |position: &Option<Position>| position.as_ref().map_or(0, |at| at.offset);
        let holds = |(partition, position): &Start| {
            let end = offset(position);
            shard.applied.get(partition).map_or(end == 0, |applied| *applied <= end)
        };
        let ahead = |(partition, position): &Start| {
            shard.applied.get(partition).is_some_and(|applied| *applied > offset(position))
        };
        let far = |(partition, position): &Start| {
            let from = shard.applied.get(partition).copied().unwrap_or(0);
            offset(position) - from > MANY
        };
        let is_ahead = starts.iter().any(ahead) && !is_planted(Bug::AheadIsKept);
        let is_far = !starts.iter().all(holds) || starts.iter().any(far);
        let notes: Vec<(&Partition, i64, Note)> = starts
            .iter()
            .filter_map(|(partition, position)| {
                let position = position.as_ref()?;
                Some((partition, position.offset, Note::parse(&position.note)))
            })
            .collect();
        let told =
            Epochs::of_notes(&notes.iter().map(|(partition, at, note)| (*partition, *at, note)));
        // WHY: the group knows nothing of the epoch that the state is in, or somebody else decided by other rules since,
        // or decided by other rules what the state had stepped and nobody had committed.
        let seen = shard.applied.iter().map(|(at, applied)| (at.clone(), *applied));
        let is_strange = shard.epoch > 0
            && told.last().is_some()
            && (!told.had(shard.epoch, &shard.epochs) || told.outran(shard.epoch, seen));
        if is_ahead || is_strange {
            let reason = if is_ahead {
                "records were stepped that nobody committed"
            } else {
                "they are of a rule set that no commit names there"
            };
            happening::WindowsDiscarded { reason }.emit();
        }
        let is_ahead = is_ahead || is_strange;
        shard.epochs = told;
        let marks = notes.iter().map(|(partition, next, note)| (*partition, *next, note.mark));
        mind_other_log(shard, starts, marks, tools)?;
        learn(shard, tools.engines);
        let chains = chains_of(&notes);
        if !tools.config.recovery.replay {
            if is_ahead {
                empty(shard, tools.engines)?;
            }
            resume(&mut shard.engine, &chains);
            return Ok(Plan::Made);
        }
        let mut loaded = Loaded::None;
        if is_ahead || is_far || lacks_input(shard, starts, tools)? {
            loaded = load(shard, starts, tools)?;
        }
        if loaded != Loaded::Yes && (is_ahead || shard.applied.is_empty()) {
            empty(shard, tools.engines)?;
        }
        let Some(lows) = mind_gap(shard, starts, loaded, tools)? else { return Ok(Plan::Stale) };
        let digest = match notes.as_slice() {
            [(_, _, note)] => note.mark.digest,
            _ => None,
        };
        let Some(pasts) = mind_pasts(shard, starts, tools)? else { return Ok(Plan::Stale) };
        tell_unknown(shard, starts, tools.engines);
        let n_waiting = self.waiting.len();
        self.segments((at, shard), (starts, &lows), (digest, chains.clone()), pasts);
        if self.waiting.len() == n_waiting {
            resume(&mut shard.engine, &chains);
        }
        Ok(Plan::Made)
    }

    /// What is to be replayed, epoch by epoch.
    fn segments(
        &mut self,
        (at, shard): (usize, &Shard<S>),
        (starts, lows): (&[Start], &Lows),
        (digest, chains): (Option<u64>, Vec<(Partition, Link)>),
        mut pasts: Pasts,
    ) {
        let committed =
            |(partition, position): &Start| Some((partition.clone(), position.as_ref()?.offset));
        let ends: BTreeMap<Partition, i64> = starts.iter().filter_map(committed).collect();
        let mut from = shard.applied.clone();
        let mut stretches = |until: &dyn Fn(&Partition, i64) -> i64| {
            let mut stretches = Vec::new();
            for (partition, end) in &ends {
                let begin = from.get(partition).or_else(|| lows.get(partition)).copied();
                // WHY: where a gap was accepted, an epoch may have begun in it.
                let end = until(partition, *end).min(*end).max(begin.unwrap_or(i64::MIN));
                from.insert(partition.clone(), end);
                if begin.is_none_or(|begin| begin < end) {
                    stretches.push(Stretch { partition: partition.clone(), from: begin, end });
                }
            }
            stretches
        };
        for epoch in shard.epochs.after(shard.epoch) {
            let bound = |partition: &Partition, end: i64| {
                let from = epoch.from.get(partition).copied().unwrap_or(end);
                if is_planted(Bug::RulesOneEarly) {
                    one_early(shard, partition, from)
                } else {
                    from
                }
            };
            let (number, ruleset) = (epoch.number, epoch.ruleset.clone());
            let then = Some(Then { number, ruleset, past: pasts.remove(&number) });
            let stretches = stretches(&bound);
            let chains = Vec::new();
            self.waiting.push_back(Pending { shard: at, stretches, digest: None, chains, then });
        }
        let stretches = stretches(&|_, end| end);
        if !stretches.is_empty() || !self.waiting.is_empty() {
            self.waiting.push_back(Pending { shard: at, stretches, digest, chains, then: None });
        }
    }

    /// Works for about so long. True: all shards stand where they should.
    pub(crate) fn slice<L: Log<Reader = R>, E: Engines<Engine = S>>(
        &mut self,
        length: Duration,
        (log, clock): (&L, &dyn Clock),
        engines: &mut E,
        shards: &mut [Shard<S>],
    ) -> Result<Progress, RunError> {
        if self.past.is_some() {
            return self.read_past(length, clock, engines, shards);
        }
        if self.current.is_none()
            && let Some(pending) = self.waiting.pop_front()
        {
            let replay = Replay::start(log, pending.stretches.clone(), &self.order)?;
            self.current = Some((pending, replay));
        }
        let Some((pending, replay)) = &mut self.current else { return Ok(Progress::Complete) };
        let Some(shard) = shards.get_mut(pending.shard) else { return Ok(Progress::Complete) };
        let engine = &mut shard.engine;
        let complete =
            replay.slice(length, clock, &mut |input: &Input<'_>| engine.replay(input))?;
        if replay.is_gone() && !is_planted(Bug::GapIgnored) {
            return Ok(Progress::Gone);
        }
        if complete {
            self.n_records += replay.n_records();
            for stretch in &pending.stretches {
                shard.applied.insert(stretch.partition.clone(), stretch.end);
            }
            check(&*shard, pending.digest);
            resume(&mut shard.engine, &pending.chains);
            let (at, then) = (pending.shard, pending.then.take());
            self.current = None;
            if let Some(then) = then {
                self.past = begin_epoch((at, shard), then, engines, (log, clock))?;
            }
        }
        Ok(self.so_far())
    }

    fn so_far(&self) -> Progress {
        if self.is_complete() { Progress::Complete } else { Progress::More }
    }

    /// The same for the past that an epoch begins with.
    fn read_past<E: Engines<Engine = S>>(
        &mut self,
        length: Duration,
        clock: &dyn Clock,
        engines: &mut E,
        shards: &mut [Shard<S>],
    ) -> Result<Progress, RunError> {
        let Some((reading, _)) = &mut self.past else { return Ok(self.so_far()) };
        if !reading.slice(length, clock)? {
            return Ok(if reading.is_gone() { Progress::Gone } else { Progress::More });
        }
        if let Some((reading, (number, ruleset))) = self.past.take()
            && let Some(shard) = shards.get_mut(reading.shard)
        {
            let (records, took) = reading.progress(clock);
            self.n_records += records;
            let (engine, Fill { since_ms, .. }) = reading.end();
            happening::BackfillRead { records, took, since_ms }.emit();
            _ = engines.activate_filled(&mut shard.engine, &ruleset, (engine, since_ms))?;
            (shard.ruleset, shard.epoch) = (ruleset, number);
        }
        Ok(self.so_far())
    }
}

/// The oldest of the times at which states were saved that several partitions are replayed onto.
fn joined_since(replays: impl Iterator<Item = (usize, i64)>) -> Option<i64> {
    replays.filter(|(n_partitions, _)| *n_partitions > 1).map(|(_, saved_at_ms)| saved_at_ms).min()
}

/// A planted mistake: one record before an offset, if there is one.
fn one_early<S>(shard: &Shard<S>, partition: &Partition, from: i64) -> i64 {
    let known = shard.applied.get(partition);
    let first = shard.epochs.first().and_then(|epoch| epoch.from.get(partition));
    known.or(first).map_or(from, |begin| (from - 1).max(*begin))
}

/// Makes the rule set of an epoch active, or begins to read the past that it needs first.
#[expect(
    clippy::type_complexity,
    reason = "a reader, and the number and the rule set of its epoch"
)]
fn begin_epoch<L: Log, E: Engines>(
    (at, shard): (usize, &mut Shard<E::Engine>),
    then: Then,
    engines: &mut E,
    world: (&L, &dyn Clock),
) -> Result<Option<(Reading<L::Reader, E::Engine>, (u64, String))>, RunError> {
    let Then { number, ruleset, past } = then;
    let differs = shard.ruleset != ruleset;
    if engines.knows(&ruleset) {
        // WHY: an engine that has had this rule set since the oldest record lacks nothing.
        if let Some((range, ends)) = past.filter(|_| differs || shard.engine.is_warming()) {
            let engine = engines.fresh(&ruleset)?;
            let reading = Reading::start((at, engine), range, ends, world)?;
            return Ok(Some((reading, (number, ruleset))));
        }
        if differs {
            _ = engines.activate(&mut shard.engine, &ruleset)?;
            shard.ruleset = ruleset;
        }
    }
    shard.epoch = number;
    Ok(None)
}

/// Per number of an epoch what is read again before it begins, and up to where.
type Pasts = BTreeMap<u64, (Range, BTreeMap<Partition, i64>)>;

/// Finds the past that was read again before the epochs that are to be replayed. None: the plan is stale.
fn mind_pasts<L: Log, E: Engines>(
    shard: &mut Shard<E::Engine>,
    starts: &[Start],
    tools: &Tools<'_, L, E>,
) -> Result<Option<Pasts>, RunError> {
    let mut pasts = Pasts::new();
    let mut gap = false;
    for epoch in shard.epochs.after(shard.epoch) {
        let Some(fill) = epoch.fill.as_ref().filter(|_| tools.engines.knows(&epoch.ruleset)) else {
            continue;
        };
        let end = |(partition, position): &Start| {
            let committed = position.as_ref()?.offset;
            let end = epoch.from.get(partition).map_or(committed, |end| committed.min(*end));
            Some((partition.clone(), end))
        };
        let ends: BTreeMap<Partition, i64> = starts.iter().filter_map(end).collect();
        for (partition, from) in &fill.from {
            let (low, from) = (oldest(partition, tools)?, *from);
            if from >= low || ends.get(partition).is_none_or(|end| *end <= from) {
                continue;
            }
            if have_moved(starts, tools) {
                return Ok(None);
            }
            let (topic, number) = (partition.topic.to_string(), partition.number);
            if !tools.config.recovery.accept_gap {
                return Err(RunError::InputGone { topic, partition: number, from, low });
            }
            happening::GapAccepted { topic: &topic, partition: number, from, low }.emit();
            gap = true;
        }
        let timeout = tools.config.call_timeout();
        let mut attempts = 0;
        let range = loop {
            tools.health.tick();
            match Range::again(fill, &ends, &shard.engine, (tools.source, timeout)) {
                Ok(range) => break range,
                Err(error) => again_or_end(&mut attempts, "find out where the past lies", error)?,
            }
        };
        pasts.insert(epoch.number, (range, ends));
    }
    if gap {
        shard.engine.note_gap(latest_ms(starts));
        hasten(shard);
    }
    Ok(Some(pasts))
}

/// Gets the rule sets of the epochs that may be replayed.
fn learn<E: Engines>(shard: &Shard<E::Engine>, engines: &mut E) {
    let Some(checkpoints) = &shard.checkpoints else { return };
    for epoch in shard.epochs.after(0) {
        if engines.knows(&epoch.ruleset) {
            continue;
        }
        if let Ok(bundle) = checkpoints.snapshots.load_rules(&epoch.ruleset) {
            engines.learn(&epoch.ruleset, &bundle);
        }
    }
}

/// Tells of epochs of which records are to be replayed by another rule set than decided them.
fn tell_unknown<E: Engines>(shard: &Shard<E::Engine>, starts: &[Start], engines: &E) {
    if shard.checkpoints.is_none() {
        return;
    }
    let mut epochs = shard.epochs.after(0).peekable();
    while let Some(epoch) = epochs.next() {
        if epoch.number < shard.epoch || engines.knows(&epoch.ruleset) {
            continue;
        }
        let next = epochs.peek();
        let is_replayed = |(partition, position): &Start| {
            let Some(end) = position.as_ref().map(|at| at.offset) else { return false };
            let until = next.and_then(|next| next.from.get(partition)).copied();
            let begin = epoch.from.get(partition).max(shard.applied.get(partition));
            begin.is_none_or(|begin| *begin < until.unwrap_or(end).min(end))
        };
        if starts.iter().any(is_replayed) {
            happening::EpochUnknown { epoch: epoch.number, ruleset: &epoch.ruleset }.emit();
        }
    }
}

/// Empties the windows, to be filled from the oldest record on.
fn empty<E: Engines>(shard: &mut Shard<E::Engine>, engines: &mut E) -> Result<(), RunError> {
    let first = shard.epochs.first().filter(|epoch| engines.knows(&epoch.ruleset));
    let (ruleset, epoch) = first.map_or_else(
        || (engines.wanted().to_owned(), 0),
        |first| (first.ruleset.clone(), first.number),
    );
    shard.replace(engines.fresh(&ruleset)?, (ruleset, epoch), BTreeMap::new());
    Ok(())
}

/// Where the chains stood at the commits of these notes.
fn chains_of(notes: &[(&Partition, i64, Note)]) -> Vec<(Partition, Link)> {
    let chain = |it: &(&Partition, i64, Note)| Some((it.0.clone(), it.2.mark.chain?));
    notes.iter().filter_map(chain).collect()
}

/// Goes on with the audit chains as they were written.
///
/// WHY: where nothing keeps the rule sets of the past, another one derived the state, and where records are gone it lacks them.
/// What such an engine would have announced is not what stands in the trail.
fn resume<S: Step>(engine: &mut S, chains: &[(Partition, Link)]) {
    for (Partition { topic, number }, link) in chains {
        engine.resume_audit(topic, *number, *link);
    }
}

/// Compares what a recovered engine decided with what was written down at the commit.
fn check<S: Step>(shard: &Shard<S>, expected: Option<u64>) {
    if let (Some(expected), Some(found)) = (expected, shard.engine.digest())
        && expected != found
    {
        happening::RecoveryDiffers { shard: &shard.name, expected, found }.emit();
    }
}

/// The partition of a snapshot's position.
fn partition(at: &Place) -> Partition {
    Partition { topic: at.topic.as_str().into(), number: at.partition }
}

/// What a snapshot's position says of the log.
fn known(at: &Place) -> Option<(Partition, Known)> {
    let record = u64::from_str_radix(at.record.as_deref()?, 16).ok()?;
    Some((partition(at), Known { next: at.next_offset, record }))
}

/// Asks whether the input is the log that the group's notes and the state, or else the newest snapshot, speak of.
fn mind_other_log<'n, L: Log, E: Engines>(
    shard: &Shard<E::Engine>,
    starts: &[Start],
    marks: impl Iterator<Item = (&'n Partition, i64, Mark)>,
    tools: &Tools<'_, L, E>,
) -> Result<(), RunError> {
    let claim = |(partition, next, mark): (&Partition, i64, Mark)| {
        Some(Claim::of((partition, Known { next, record: mark.record? })))
    };
    let of_group: Vec<Claim> = marks.filter_map(claim).collect();
    let mut of_state = Vec::new();
    if !shard.applied.is_empty() {
        // WHY: a broker forgets offsets with their topic; this process remembers what it read of it.
        of_state.extend(shard.known.iter().map(|(at, known)| Claim::of((at, *known))));
        of_state.retain(|claim| {
            starts.iter().any(|(partition, _)| *partition == claim.partition)
                && !of_group.iter().any(|told| told.partition == claim.partition)
        });
    } else if let Some(checkpoints) = &shard.checkpoints
        && let Some(header) = checkpoints.snapshots.newest_header()
    {
        let ours = header.positions.iter().filter_map(known);
        of_state.extend(ours.map(|(partition, known)| Claim::of((&partition, known))));
        // WHY: what somebody else has now is that one's to look at.
        of_state.retain(|claim| {
            starts.iter().any(|(partition, _)| *partition == claim.partition)
                && !of_group.contains(claim)
        });
    }
    mind_log(of_group, tools)?;
    mind_log(of_state, tools)
}

/// Loads the newest snapshot that is of use.
fn load<L: Log, E: Engines>(
    shard: &mut Shard<E::Engine>,
    starts: &[Start],
    tools: &mut Tools<'_, L, E>,
) -> Result<Loaded, RunError> {
    let Some(checkpoints) = &mut shard.checkpoints else { return Ok(Loaded::None) };
    let began_at = tools.clock.now();
    let committed: Vec<Place> = starts
        .iter()
        .map(|(partition, position)| Place {
            topic: partition.topic.to_string(),
            partition: partition.number,
            next_offset: position.as_ref().map_or(0, |at| at.offset),
            record: None,
        })
        .collect();
    let (engines, health) = (&mut *tools.engines, tools.health);
    let place = checkpoints.snapshots.place();
    let snapshots = &checkpoints.snapshots;
    let search = snapshots
        .load_newest(&committed, |header, parts| {
            let ruleset = &header.ruleset;
            if let Some(reason) = foreign(&shard.epochs, header).or_else(|| engines.refuses(header))
            {
                return Err(LoadError::Refused(reason));
            }
            if !engines.knows(ruleset)
                && let Ok(bundle) = snapshots.load_rules(ruleset)
            {
                engines.learn(ruleset, &bundle);
            }
            // WHY: without its own rule set, the state is carried over to the one that is wanted.
            let id =
                if engines.knows(ruleset) { ruleset.clone() } else { engines.wanted().to_owned() };
            engines.restore(&id, parts, &mut || health.tick()).map(|engine| (id, engine))
        })
        .map_err(|error| RunError::Snapshots {
            code: crate::diag::Code("S0004"),
            reason: error.to_string(),
            help: error.help(),
        })?;
    for skipped in &search.skipped {
        let (snapshot, reason) = (skipped.name.as_str(), skipped.reason.to_string());
        happening::SnapshotSkipped { snapshot, place: &place, reason: &reason }.emit();
    }
    checkpoints.pass_over(of_no_use(&search.skipped));
    if search.storage_in_the_way() {
        return Err(RunError::Snapshots {
            code: crate::diag::Code("S0004"),
            reason: format!("no snapshot at `{place}` could be read"),
            help: "look at the place and at the permissions, then start again",
        });
    }
    let lost = search.skipped.iter().any(|skipped| !matches!(skipped.reason, Reason::Ahead(..)));
    let Search { loaded: Some((found, header, (ruleset, engine))), .. } = search else {
        let beyond = search.skipped.first().map(|newest| newest.name.clone());
        checkpoints.beyond = beyond.filter(|_| !lost);
        return Ok(match (lost, &checkpoints.beyond) {
            (true, _) => Loaded::Lost,
            (false, Some(_)) => Loaded::Beyond,
            (false, None) => Loaded::None,
        });
    };
    let took = tools.clock.now().saturating_sub(began_at);
    happening::SnapshotLoaded { snapshot: &found.name, bytes: found.size_bytes, took }.emit();
    checkpoints.books.newest = Some(NewestSnapshot {
        created_at_ms: header.created_at_ms,
        took: None,
        size_bytes: found.size_bytes,
    });
    let known = header.positions.iter().filter_map(known).collect();
    let applied = header.positions.into_iter().map(|at| (partition(&at), at.next_offset));
    checkpoints.note_kept(found.epoch);
    shard.replace(engine, (ruleset, found.epoch), applied.collect());
    (shard.known, shard.saved_at_ms) = (known, header.created_at_ms);
    Ok(Loaded::Yes)
}

/// Why a snapshot is none of this history, if so.
fn foreign(epochs: &Epochs, header: &Header) -> Option<String> {
    epochs.last()?;
    let (number, ruleset) = (header.epoch, &header.ruleset);
    if epochs.find(number).is_none_or(|epoch| epoch.ruleset != *ruleset) {
        return Some(format!("no commit names its epoch, {number} with rule set {ruleset}"));
    }
    let seen = header.positions.iter().map(|at| (partition(at), at.next_offset));
    let reason = "it holds records that were decided again, by a later rule set";
    epochs.outran(number, seen).then(|| reason.to_owned())
}

/// Names of the snapshots that are whole and do not fit the group's history.
fn of_no_use(skipped: &[Skipped]) -> Vec<String> {
    let is_foreign = |it: &&Skipped| matches!(it.reason, Reason::Ahead(..) | Reason::Refused(..));
    skipped.iter().filter(is_foreign).map(|it| it.name.clone()).collect()
}

/// Whether the input does not hold all that the state lacks.
fn lacks_input<L: Log, E: Engines>(
    shard: &Shard<E::Engine>,
    starts: &[Start],
    tools: &Tools<'_, L, E>,
) -> Result<bool, RunError> {
    if shard.checkpoints.is_none() {
        return Ok(false);
    }
    for (partition, position) in starts {
        let Some(end) = position.as_ref().map(|at| at.offset) else { continue };
        let applied = shard.applied.get(partition).copied().filter(|applied| *applied < end);
        if let Some(applied) = applied
            && oldest(partition, tools)? > applied
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// From which offset on a partition's records are needed where no state holds any of them. None: from wherever they begin.
fn beginning<S>(shard: &Shard<S>, partition: &Partition, loaded: Loaded) -> Option<i64> {
    shard.checkpoints.as_ref()?;
    match shard.epochs.first() {
        // WHY: the first epoch began at the first record that was ever decided.
        Some(first) if first.number == 1 => first.from.get(partition).copied(),
        Some(_) => Some(0),
        // WHY: snapshots that cannot be used may have seen any record; so all of them are needed.
        None => (loaded == Loaded::Lost).then_some(0),
    }
}

/// Of partitions that no state holds anything of, the oldest offset when it was asked for.
///
/// WHY: a replay that began with whatever is oldest then would not notice what is deleted before it begins.
type Lows = BTreeMap<Partition, i64>;

/// Whether the group stands elsewhere than a plan takes for granted. A broker that does not answer says nothing.
///
/// WHY: a process that stood still for longer than its session plans from old offsets, and finds that the snapshots of
/// then are gone and so is the input, because somebody else has gone on. Nothing is missing.
fn have_moved<L: Log, E: Engines>(starts: &[Start], tools: &Tools<'_, L, E>) -> bool {
    let partitions: Vec<Partition> = starts.iter().map(|(at, _)| at.clone()).collect();
    let offset = |position: &Option<Position>| position.as_ref().map(|at| at.offset);
    let now = tools.source.committed(&partitions, tools.config.call_timeout());
    now.is_ok_and(|now| starts.iter().zip(&now).any(|((_, then), now)| offset(then) != offset(now)))
}

/// Asks the input whether it still holds what is to be replayed. None: nobody needs it, the plan is stale.
fn mind_gap<L: Log, E: Engines>(
    shard: &mut Shard<E::Engine>,
    starts: &[Start],
    loaded: Loaded,
    tools: &Tools<'_, L, E>,
) -> Result<Option<Lows>, RunError> {
    let mut lows = Lows::new();
    for (partition, position) in starts {
        let Some(end) = position.as_ref().map(|at| at.offset) else { continue };
        let applied = shard.applied.get(partition).copied();
        if applied.is_some_and(|applied| applied >= end) {
            continue;
        }
        let low = oldest(partition, tools)?;
        if applied.is_none() {
            lows.insert(partition.clone(), low);
        }
        tell_lost(shard, (partition, end), loaded, low);
        let from = applied.or_else(|| beginning(shard, partition, loaded));
        let Some(from) = from.filter(|from| *from < end) else { continue };
        if from >= low || is_planted(Bug::GapIgnored) {
            continue;
        }
        if have_moved(starts, tools) {
            return Ok(None);
        }
        let (topic, number) = (partition.topic.to_string(), partition.number);
        if !tools.config.recovery.accept_gap {
            return Err(RunError::InputGone { topic, partition: number, from, low });
        }
        happening::GapAccepted { topic: &topic, partition: number, from, low }.emit();
        shard.engine.note_gap(latest_ms(starts));
        hasten(shard);
        shard.applied.insert(partition.clone(), low.min(end));
    }
    Ok(Some(lows))
}

/// Says that what the windows knew is lost, where offsets were set back by hand and nobody's notes say more.
fn tell_lost<S>(
    shard: &Shard<S>,
    (partition, committed): (&Partition, i64),
    loaded: Loaded,
    low: i64,
) {
    let snapshot = shard.checkpoints.as_ref().and_then(|it| it.beyond.as_deref());
    let is_known = shard.applied.contains_key(partition) || shard.epochs.first().is_some();
    if let Some(snapshot) = snapshot.filter(|_| loaded == Loaded::Beyond && low > 0 && !is_known) {
        let (topic, partition) = (&*partition.topic, partition.number);
        happening::PastLost { topic, partition, low, committed, snapshot }.emit();
    }
}

/// The next snapshot is due as soon as it can be taken.
///
/// WHY: without one, whoever starts after a crash meets the gap again, and would have to accept it again.
fn hasten<S>(shard: &mut Shard<S>) {
    if let Some(checkpoints) = &mut shard.checkpoints {
        checkpoints.hasten();
    }
}

/// How young records may be that were decided before the committed offsets.
fn latest_ms(starts: &[Start]) -> Option<i64> {
    let noted = |(_, position): &Start| Note::parse(&position.as_ref()?.note).mark.event_time_ms;
    starts.iter().filter_map(noted).max()
}

/// The oldest offset that the broker holds, asked for until it answers.
fn oldest<L: Log, E>(partition: &Partition, tools: &Tools<'_, L, E>) -> Result<i64, RunError> {
    Ok(bounds(partition, tools)?.0)
}

/// Tells of an error; the tenth ends the run.
pub(crate) fn again_or_end(
    attempts: &mut u32,
    attempted: &'static str,
    LogError { code, text, .. }: LogError,
) -> Result<(), RunError> {
    happening::KafkaTrouble { attempted, code: &code, error: &text }.emit();
    *attempts += 1;
    if *attempts < 10 {
        return Ok(());
    }
    Err(RunError::Fatal { reason: text, stage: Stage::Receive })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_asked_for_since_the_oldest_state_of_an_engine_that_replays_several_partitions()
    {
        assert_eq!(joined_since([(1, 5), (2, 90), (3, 40)].into_iter()), Some(40));
        assert_eq!(joined_since([(2, 90), (2, 0)].into_iter()), Some(0), "one began empty");
        assert_eq!(joined_since([(1, 5), (0, 0)].into_iter()), None);
    }
}
