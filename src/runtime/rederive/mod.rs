//! One decision derived once more from the log, to be held against what was written down.
//!
//! It is a recovery that ends at the record: the newest snapshot before it, else the beginning of the log; the rule sets of
//! the time; the records of all partitions of its engine in the order in which they were decided. Nothing is joined, claimed,
//! committed or written, so it may run beside a service.
//!
//! # Cost
//! That of a recovery from the snapshot before it, and for several partitions a look at the outputs since then.

pub mod bounds;
pub mod compare;
mod read;

use std::collections::BTreeMap;
use std::time::Duration;

use thiserror::Error;

use crate::base::time::format_rfc3339;
use crate::config::Config;
use crate::durable::{Header, LoadError, Parts};
use crate::runtime::World;
use crate::runtime::answered::Answered;
use crate::runtime::checkpoint::Checkpoints;
use crate::runtime::clock::SystemClock;
use crate::runtime::decide::Deciding;
use crate::runtime::epochs::{Epoch, Epochs};
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::Kafka;
use crate::runtime::log::{Log, Partition, Position};
use crate::runtime::note::Note;
use crate::runtime::port::{ActivationReport, Engines, Input, Output, OutputTopic, Spread, Step};
use crate::runtime::recovery::{Plan, Progress, Recovery, Start, Tools};
use crate::runtime::rederive::bounds::{Bounded, Bounds, Limit};
use crate::runtime::rederive::read::{failed, read_log};
use crate::runtime::rulesets::DecidingEngines;
use crate::runtime::shard::{Shard, shard_name};
use crate::runtime::vault::{Place, Vault};
use crate::telemetry::books::{EngineReport, Outcome};
use crate::telemetry::health::Health;

pub(crate) use crate::runtime::rederive::read::partitions;
pub use crate::runtime::rederive::read::{
    RecordAt, Stored, Tail, find_decision, find_written, read_record, read_topic,
};

/// Length of one slice of the replay.
const SLICE: Duration = Duration::from_millis(50);

/// What the log gives for a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derived {
    /// All that comes out, in order.
    pub outputs: Vec<Output>,
    /// Sequence, epoch and time (ms since 1970) of the snapshot that it began with; none: with nothing.
    pub snapshot: Option<(u64, u64, i64)>,
    /// Records that were decided again, this one included.
    pub n_records: u64,
    /// Digest of the rule set that decided, shortened.
    pub ruleset: String,
}

impl Derived {
    /// What it began with, in words.
    pub fn from(&self) -> String {
        self.snapshot.map_or_else(
            || "the beginning of the log".to_owned(),
            |(sequence, epoch, taken_ms)| {
                let taken = format_rfc3339(taken_ms);
                format!("snapshot {sequence} of epoch {epoch}, taken {taken}")
            },
        )
    }

    /// The decision among them, if there is one.
    pub fn decision(&self) -> Option<&[u8]> {
        let is_it = |output: &&Output| output.topic == OutputTopic::Decisions;
        self.outputs.iter().find(is_it).map(|output| &*output.body)
    }
}

/// Why a decision could not be derived.
#[derive(Debug, Error)]
pub enum NotDerived {
    /// Log, brokers or snapshots failed.
    #[error("{0}")]
    Run(#[from] RunError),
    /// The records that it needs are deleted.
    #[error(
        "the log does not reach back far enough: state stands before offset {from} of `{topic}`-{partition}, and the oldest record is {low}"
    )]
    LogGone {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The first offset that is needed.
        from: i64,
        /// The oldest that is held.
        low: i64,
    },
    /// There is no record at its place.
    #[error("there is no record {} in `{}`-{}", .0.offset, .0.topic, .0.partition)]
    NoRecord(RecordAt),
    /// Its rule set is not kept.
    #[error(
        "rule set `{id}` (epoch {epoch}{}) is not at hand: it is not kept beside the snapshots any more. Give the folder that its rules stood in, as it was then, with `--past-rules DIR`", .announced.as_ref().map(Announced::text).unwrap_or_default()
    )]
    RuleSetGone {
        /// Its epoch.
        epoch: u64,
        /// Its identity, with that of its settings.
        id: String,
        /// How it was announced.
        announced: Option<Announced>,
    },
    /// What decided before it is forgotten.
    #[error(
        "no snapshot before it is left, and neither commits nor `{audit}` name a rule set before epoch {epoch}: what decided until then is not known"
    )]
    HistoryGone {
        /// The oldest epoch that is remembered.
        epoch: u64,
        /// The audit topic.
        audit: String,
    },
    /// It is of no topic that is read.
    #[error("`{0}` is no input topic of this configuration")]
    NoInput(String),
    /// It takes more than it may.
    #[error("it takes more of the log, or of time, than it may")]
    Bounded(Limit),
}

/// Decides a record once more, with all that was decided before it.
///
/// # Errors
/// Log, snapshots or rule sets do not reach back to it, or cannot be read; a bound is reached.
pub fn rederive(
    config: &Config,
    inputs: &[String],
    engines: &mut DecidingEngines,
    at: &RecordAt,
    bounds: &Bounds,
) -> Result<Derived, NotDerived> {
    let place = config.snapshot.dir.as_deref().map(Place::new);
    let vault = place.as_ref().map(|place| place as &dyn Vault);
    let (log, clock) = (Kafka::new(config), SystemClock::start());
    let log = Bounded { log: &log, bounds };
    let world = World { log: &log, clock: &clock, vault };
    let derived = rederive_on(config, inputs, world, engines, at);
    // WHY: whatever did not go on there did not because of the bound.
    derived.map_err(|error| bounds.reached().map_or(error, NotDerived::Bounded))
}

/// The same on any log.
fn rederive_on<L: Log>(
    config: &Config,
    inputs: &[String],
    world: World<'_, L>,
    engines: &mut DecidingEngines,
    at: &RecordAt,
) -> Result<Derived, NotDerived> {
    let mut config = config.clone();
    // WHY: nothing else is exact.
    (config.recovery.replay, config.recovery.accept_gap) = (true, false);
    let config = &config;
    let asking = world.log.source(&[])?;
    let by_partition = engines.spread() == Spread::ByPartition;
    let mut history = history(config, world.log);
    let (target, starts) = starts(config, (inputs, by_partition), at, (&asking, &mut history))?;
    let name = shard_name(by_partition, &target);
    let reading = |vault| Checkpoints::reading(vault, &name, &config.snapshot, world.clock);
    let checkpoints = world.vault.map(reading).transpose()?;
    let mut engines = Watching { engines, at, candidate: None, snapshot: None };
    let ruleset = engines.wanted().to_owned();
    let engine = engines.fresh(&ruleset)?;
    let mut shard = Shard::new(&name, (engine, ruleset), checkpoints);
    let health = Health::new(config.http.progress_timeout);
    let mut recovery = Recovery::new(world.clock);
    let mut tools: Tools<'_, L, Watching<'_>> = Tools {
        config,
        log: world.log,
        clock: world.clock,
        source: &asking,
        engines: &mut engines,
        health: &health,
    };
    match recovery.plan((0, &mut shard), &starts, &mut tools) {
        Ok(Plan::Made) => {}
        // WHY: the group stands elsewhere than at this record, so a gap looks as if somebody had gone on.
        Ok(Plan::Stale) => return Err(gone(&shard, &starts, &asking, config.call_timeout())),
        Err(RunError::InputGone { topic, partition, from, low }) => {
            return Err(NotDerived::LogGone { topic, partition, from, low });
        }
        Err(error) => return Err(error.into()),
    }
    check_history((&shard, &config.topics.audit), tools.engines, &history)?;
    let mut shards = [shard];
    let ordered_since_ms = recovery.ordered_since_ms(&shards);
    recovery.order = Answered::look(&starts, ordered_since_ms, &tools).order().clone();
    let world = (world.log, world.clock);
    loop {
        let progress = recovery.slice(SLICE, world, &mut engines, &mut shards)?;
        let [shard] = &mut shards;
        if let Some(outputs) = shard.engine.outputs.take() {
            let ruleset = shard.engine.deciding.ruleset();
            let n_records = shard.engine.n_records;
            return Ok(Derived { outputs, snapshot: engines.snapshot, n_records, ruleset });
        }
        match progress {
            Progress::More => {}
            Progress::Complete => return Err(NotDerived::NoRecord(at.clone())),
            Progress::Gone => {
                return Err(gone(shard, &starts, &asking, config.call_timeout()));
            }
        }
    }
}

/// What announced rule sets are called in decisions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Announced {
    /// `ruleset` of its decisions.
    pub ruleset: String,
    /// `config` of its decisions.
    pub config: String,
}

impl Announced {
    fn text(&self) -> String {
        format!("; `ruleset` {} and `config` {} in decisions", self.ruleset, self.config)
    }
}

/// What the audit topic says of rule sets that became active.
#[derive(Debug, Default)]
struct History {
    /// Why it is not known.
    error: Option<RunError>,
    epochs: BTreeMap<u64, Epoch>,
    /// By identity.
    announced: BTreeMap<String, Announced>,
}

/// Reads the audit topic.
///
/// WHY: commits name the epochs that a recovery may need, and forget the others.
fn history<L: Log>(config: &Config, log: &L) -> History {
    #[derive(serde::Deserialize)]
    struct Body {
        ruleset: String,
        config: String,
    }
    let mut history = History::default();
    let read = read_log(log, (&config.topics.audit, None), config.call_timeout(), &mut |stored| {
        let Some(epoch) = stored.epoch.as_deref().and_then(Epoch::parse) else { return };
        if let Ok(Body { ruleset, config }) = serde_json::from_slice(&stored.body) {
            history.announced.insert(epoch.ruleset.clone(), Announced { ruleset, config });
        }
        let known = history.epochs.entry(epoch.number).or_insert_with(|| epoch.clone());
        if known.ruleset != epoch.ruleset {
            // WHY: whoever lost its commits began anew with number 1, and the later ones count.
            history.epochs.split_off(&epoch.number);
            history.epochs.insert(epoch.number, epoch);
        } else if let Some(RecordAt { topic, partition, offset }) = stored.answers {
            known.from.extend(epoch.from);
            let place = Partition { topic: topic.as_str().into(), number: partition };
            known.from.entry(place).or_insert(offset);
        }
    });
    history.error = read.err();
    history
}

/// The record's partition, and all partitions of its engine: where each is read up to, with the epochs until then.
fn starts<S: crate::runtime::log::Source>(
    config: &Config,
    (inputs, by_partition): (&[String], bool),
    at: &RecordAt,
    (source, history): (&S, &mut History),
) -> Result<(Partition, Vec<Start>), NotDerived> {
    let timeout = config.call_timeout();
    if !inputs.contains(&at.topic) {
        return Err(NotDerived::NoInput(at.topic.clone()));
    }
    let mut all = Vec::new();
    for topic in inputs {
        all.extend(partitions(source, topic, timeout)?);
    }
    all.retain(|partition| !by_partition || partition.number == at.partition);
    let target = Partition { topic: at.topic.as_str().into(), number: at.partition };
    if !all.contains(&target) {
        return Err(NotDerived::NoRecord(at.clone()));
    }
    let committed = source.committed(&all, timeout).map_err(failed)?;
    let notes: Vec<Note> = committed
        .iter()
        .map(|position| position.as_ref().map(|at| Note::parse(&at.note)).unwrap_or_default())
        .collect();
    let told = all.iter().zip(&committed).zip(&notes);
    let told =
        told.filter_map(|((at, position), note)| Some((at, position.as_ref()?.offset, note)));
    let mut epochs = Epochs::of_notes(&told);
    if epochs.first().is_none_or(|first| first.number > 1) {
        if let Some(error) = history.error.take() {
            return Err(error.into());
        }
        epochs.put_before(history.epochs.clone());
    }
    let mut ends = BTreeMap::new();
    for (partition, position) in all.iter().zip(&committed) {
        let is_known = epochs.after(0).any(|epoch| epoch.from.contains_key(partition));
        if *partition == target {
            ends.insert(partition.clone(), at.offset + 1);
        } else if position.is_some() || is_known {
            // WHY: which of these come before the record is seen when they are read.
            let (_, high) = source.bounds(partition, timeout).map_err(failed)?;
            ends.insert(partition.clone(), high);
        }
    }
    epochs.settle(&ends);
    let last = last_epoch(&epochs, (&target, at.offset), &config.topics.audit)?;
    let start = |partition: Partition| {
        let position = ends.get(&partition).map(|end| {
            let mut entries = epochs.entries(&partition);
            entries.retain(|epoch| last.is_some_and(|last| epoch.number <= last));
            Position { offset: *end, note: Note { epochs: entries, ..Note::default() }.text() }
        });
        (partition, position)
    };
    Ok((target, all.into_iter().map(start).collect()))
}

/// The number of the epoch in which a record was decided; none where nobody names any epoch.
fn last_epoch(
    epochs: &Epochs,
    (partition, offset): (&Partition, i64),
    audit: &str,
) -> Result<Option<u64>, NotDerived> {
    let Some(first) = epochs.first() else { return Ok(None) };
    let has_begun = |from: Option<&i64>| from.is_none_or(|from| *from <= offset);
    let begun = epochs.after(0).filter(|epoch| has_begun(epoch.from.get(partition)));
    let last = begun.last().map(|epoch| epoch.number);
    let gone = || NotDerived::HistoryGone { epoch: first.number, audit: audit.to_owned() };
    last.map(Some).ok_or_else(gone)
}

/// Whether all rule sets are at hand that decided since the state that it begins with.
fn check_history(
    (shard, audit): (&Shard<Watched>, &str),
    engines: &Watching<'_>,
    history: &History,
) -> Result<(), NotDerived> {
    let begins_empty = engines.snapshot.is_none();
    if let Some(first) = shard.epochs.first().filter(|first| begins_empty && first.number > 1) {
        return Err(NotDerived::HistoryGone { epoch: first.number, audit: audit.to_owned() });
    }
    let missing = |(epoch, id): (u64, &str)| {
        let announced = history.announced.get(id).cloned();
        NotDerived::RuleSetGone { epoch, id: id.to_owned(), announced }
    };
    if let Some(own) = shard.epochs.find(shard.epoch).filter(|own| own.ruleset != shard.ruleset) {
        return Err(missing((own.number, &own.ruleset)));
    }
    let first = shard.epochs.first().filter(|_| begins_empty && shard.epoch == 0);
    let mut later = first.into_iter().chain(shard.epochs.after(shard.epoch));
    match later.find(|epoch| !engines.knows(&epoch.ruleset)) {
        Some(epoch) => Err(missing((epoch.number, &epoch.ruleset))),
        None => Ok(()),
    }
}

/// Which records are deleted that are needed.
fn gone<S: crate::runtime::log::Source>(
    shard: &Shard<Watched>,
    starts: &[Start],
    source: &S,
    timeout: Duration,
) -> NotDerived {
    for (partition, position) in starts {
        let from = shard.applied.get(partition).copied().unwrap_or(0);
        let is_read = position.as_ref().is_some_and(|at| from < at.offset);
        if let Ok((low, _)) = source.bounds(partition, timeout)
            && is_read
            && from < low
        {
            let topic = partition.topic.to_string();
            return NotDerived::LogGone { topic, partition: partition.number, from, low };
        }
    }
    let reason = "records were deleted while they were read".to_owned();
    RunError::Fatal { reason, stage: Stage::Receive }.into()
}

/// An engine that keeps what comes out for one record, and stands still from then on.
struct Watched {
    deciding: Deciding,
    at: RecordAt,
    outputs: Option<Vec<Output>>,
    n_records: u64,
}

impl Watched {
    fn new(deciding: Deciding, at: &RecordAt) -> Self {
        Self { deciding, at: at.clone(), outputs: None, n_records: 0 }
    }
}

impl Step for Watched {
    fn step(&mut self, input: &Input<'_>, outputs: &mut Vec<Output>) -> Outcome {
        self.deciding.step(input, outputs)
    }

    fn replay(&mut self, input: &Input<'_>) {
        if self.outputs.is_some() {
            return;
        }
        self.n_records += 1;
        let RecordAt { topic, partition, offset } = &self.at;
        if (input.offset, input.partition, input.topic) == (*offset, *partition, topic) {
            let mut outputs = Vec::new();
            self.deciding.step(input, &mut outputs);
            self.outputs = Some(outputs);
        } else {
            self.deciding.replay(input);
        }
    }

    fn note_gap(&mut self, latest_ms: Option<i64>) {
        self.deciding.note_gap(latest_ms);
    }

    fn event_time_ms(&self) -> Option<i64> {
        self.deciding.event_time_ms()
    }

    fn began_ms(&self, topic: &str, partition: i32) -> Option<i64> {
        self.deciding.began_ms(topic, partition)
    }

    fn is_warming(&self) -> bool {
        self.deciding.is_warming()
    }

    fn lead_ms(&self) -> (i64, i64) {
        self.deciding.lead_ms()
    }

    fn report(&self, wall_ms: i64, report: &mut EngineReport) {
        self.deciding.report(wall_ms, report);
    }
}

/// Makes engines that watch for one record, of no snapshot that has seen it.
struct Watching<'a> {
    engines: &'a mut DecidingEngines,
    at: &'a RecordAt,
    /// The snapshot that is being loaded, and the one that was.
    candidate: Option<(u64, u64, i64)>,
    snapshot: Option<(u64, u64, i64)>,
}

impl Engines for Watching<'_> {
    type Engine = Watched;

    fn wanted(&self) -> &str {
        self.engines.wanted()
    }

    fn learn(&mut self, id: &str, bundle: &[u8]) -> bool {
        self.engines.learn(id, bundle)
    }

    fn knows(&self, id: &str) -> bool {
        self.engines.knows(id)
    }

    fn fresh(&mut self, id: &str) -> Result<Watched, RunError> {
        Ok(Watched::new(self.engines.fresh(id)?, self.at))
    }

    fn refuses(&mut self, header: &Header) -> Option<String> {
        let RecordAt { topic, partition, offset } = self.at;
        let has_seen = header
            .positions
            .iter()
            .any(|at| at.topic == *topic && at.partition == *partition && at.next_offset > *offset);
        self.candidate = Some((header.sequence, header.epoch, header.created_at_ms));
        has_seen.then(|| "it has seen the record".to_owned())
    }

    fn restore(
        &mut self,
        id: &str,
        parts: &mut Parts<'_>,
        tick: &mut dyn FnMut(),
    ) -> Result<Watched, LoadError> {
        let deciding = self.engines.restore(id, parts, tick)?;
        self.snapshot = self.candidate.take();
        Ok(Watched::new(deciding, self.at))
    }

    fn activate(&mut self, engine: &mut Watched, id: &str) -> Result<ActivationReport, RunError> {
        self.engines.activate(&mut engine.deciding, id)
    }

    fn activate_filled(
        &mut self,
        engine: &mut Watched,
        id: &str,
        (past, since_ms): (Watched, i64),
    ) -> Result<ActivationReport, RunError> {
        self.engines.activate_filled(&mut engine.deciding, id, (past.deciding, since_ms))
    }
}
