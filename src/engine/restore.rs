//! An engine from a snapshot, part by part: nothing is held but the state itself.
//!
//! Nothing in a snapshot is trusted: whatever bytes come, the answer is an engine or an error, and never more memory
//! than a small multiple of the bytes. Bytes that were damaged and still read as a snapshot are not recognised here;
//! whoever stores snapshots adds checksums.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::Digest;
use crate::base::codec::{Damaged, Decoder};
use crate::decision::episodes::Episodes;
use crate::decision::holds::HoldBook;
use crate::engine::activate::carry_tables;
use crate::engine::amounts::Amounts;
use crate::engine::audit::Chains;
use crate::engine::breaker::Breakers;
use crate::engine::counters::{Counters, RuleCounters};
use crate::engine::gap::Gap;
use crate::engine::identity::TableIdentity;
use crate::engine::labels::LabelLoader;
use crate::engine::lists::{Edit, Lists};
use crate::engine::memory::{Memory, Passed};
use crate::engine::models::{self, Models, StateLoader};
use crate::engine::options::EngineOptions;
use crate::engine::repeats::Repeats;
use crate::engine::snapshot::{MAGIC, SNAPSHOT_VERSION, kind};
use crate::engine::snoozes::SnoozeBook;
use crate::engine::step::{Engine, Remembered, Setup, keyed, most_ids, state_options};
use crate::engine::streams::{Carries, Clock, ClockId, Clocks, Source};
use crate::engine::trail::Trail;
use crate::event::error::REASONS;
use crate::rules::eval::EvalError;
use crate::rules::program::{ListId, Program};
use crate::state::{SeenIds, SeenLoader, StateOptions, TableLoader};

/// Why a snapshot is not restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It does not read as a snapshot.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// It has another form.
    #[error(
        "snapshot has version {found}, this program reads version {SNAPSHOT_VERSION}: start the program that wrote \
         it, or remove the snapshot and replay"
    )]
    Version {
        /// The version that it has.
        found: u64,
    },
    /// The rule set cannot be prepared.
    #[error(transparent)]
    Program(#[from] EvalError),
    /// Its end is missing.
    #[error("snapshot is incomplete: its last part is missing")]
    Incomplete,
}

/// Restores an engine from the parts of a snapshot.
#[derive(Debug)]
pub struct Restore {
    program: Arc<Program>,
    options: EngineOptions,
    loading: Option<Loading>,
    ended: bool,
    /// A section whose end has not come yet.
    cut: Vec<u8>,
}

/// What was read so far.
#[derive(Debug)]
struct Loading {
    ruleset: Digest,
    clocks: Vec<Clock>,
    sources: Vec<Source>,
    trail: Trail,
    gap: Gap,
    passed: Passed,
    counters: Counters,
    rules: Vec<(String, RuleCounters)>,
    breakers: Breakers,
    chains: Chains,
    lists: Vec<String>,
    lists_expired_ms: Option<i64>,
    expected: Expected,
    edits: BTreeMap<(ListId, crate::base::EntityKey), Edit>,
    repeats: Repeats,
    episodes: Episodes,
    holds: HoldBook,
    seen: SeenLoader,
    tables: Vec<(TableIdentity, TableLoader)>,
    models: Vec<(String, StateLoader)>,
    labels: LabelLoader,
    snoozes: SnoozeBook,
}

/// How much must come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Expected {
    edits: usize,
    repeats: usize,
    episodes: usize,
    holds: usize,
}

impl Restore {
    /// Begins a restore for a rule set. Where the snapshot is of another one, its state is carried over as
    /// [`Engine::activate`] would.
    pub fn new(program: Arc<Program>, options: EngineOptions) -> Self {
        let program = keyed(program);
        Self { program, options, loading: None, ended: false, cut: Vec::new() }
    }

    /// Reads the next bytes, in the order in which they were written; they may be cut anywhere.
    ///
    /// # Errors
    /// Where they are damaged or of another version; the restore is of no use then.
    ///
    /// # Cost
    /// Memory of one section beside the bytes.
    pub fn part(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        if self.cut.is_empty() {
            let read = self.sections(bytes)?;
            self.cut.extend_from_slice(&bytes[read..]);
            return Ok(());
        }
        let mut held = core::mem::take(&mut self.cut);
        held.extend_from_slice(bytes);
        let read = self.sections(&held)?;
        held.drain(..read);
        self.cut = held;
        Ok(())
    }

    /// Reads the sections that are there whole; gives how many bytes they were.
    fn sections(&mut self, bytes: &[u8]) -> Result<usize, RestoreError> {
        let mut code = Decoder::new(bytes);
        while code.rest() > 0 {
            code.demand(!self.ended, "nothing comes after the end")?;
            if !is_whole(code.clone()) {
                break;
            }
            let kind = code.byte("kind of a section")?;
            let number = code.index("number of a section")?;
            let mut section = code.framed("section")?;
            match (kind, &mut self.loading) {
                (kind::HEAD, None) => {
                    self.loading = Some(Loading::new(&self.options, &mut section)?);
                }
                (kind::HEAD, Some(_)) => Err(code.damaged("there is one head"))?,
                (_, None) => Err(code.damaged("a snapshot begins with its head"))?,
                (kind::END, Some(_)) => {
                    section.word("end of a snapshot")?;
                    self.ended = true;
                }
                (kind, Some(loading)) => loading.section(kind, number, &mut section)?,
            }
            section.end("end of a section")?;
        }
        Ok(bytes.len() - code.rest())
    }

    /// The digest of the rule set that the snapshot was taken of, once its head was read.
    pub fn ruleset(&self) -> Option<Digest> {
        self.loading.as_ref().map(|loading| loading.ruleset)
    }

    /// The engine, once all parts were read.
    ///
    /// # Errors
    /// Where parts are missing or contradict each other.
    pub fn finish(self) -> Result<Engine, RestoreError> {
        let Self { program, options, loading, ended, cut: _ } = self;
        let Some(loading) = loading.filter(|_| ended) else {
            return Err(RestoreError::Incomplete);
        };
        let setup = Setup::new(Arc::clone(&program), options)?;
        let sources = loading.sources.clone();
        let remembered = loading.finish(&program, &options)?;
        Ok(Engine::of(setup, sources, remembered))
    }
}

impl Loading {
    fn section(
        &mut self,
        kind: u8,
        number: usize,
        code: &mut Decoder<'_>,
    ) -> Result<(), RestoreError> {
        match kind {
            kind::TABLE | kind::TABLE_SIDE => {
                let table = self.tables.get_mut(number);
                let (_, table) = table.ok_or_else(|| code.damaged("number of a table"))?;
                if kind == kind::TABLE { table.run(code) } else { table.side(code) }?;
            }
            kind::SEEN => self.seen.run(code)?,
            kind::REPEATS => self.repeats.load(code)?,
            kind::LISTS => Edit::load(&mut self.edits, self.lists.len(), code)?,
            kind::EPISODES => self.episodes.load(code)?,
            kind::HOLDS => self.holds.load(self.clocks.len(), code)?,
            kind::MODEL => {
                let model = self.models.get_mut(number);
                let (_, model) = model.ok_or_else(|| code.damaged("number of a model"))?;
                model.piece(code)?;
            }
            kind::LABELS => self.labels.run(code)?,
            _ => Err(code.damaged("kind of a section"))?,
        }
        Ok(())
    }

    fn new(options: &EngineOptions, code: &mut Decoder<'_>) -> Result<Self, RestoreError> {
        const WHAT: &str = "head of a snapshot";
        let magic = code.raw(MAGIC.len(), WHAT)?;
        code.demand(magic == MAGIC, "this is no snapshot")?;
        let found = code.var(WHAT)?;
        if found != u64::from(SNAPSHOT_VERSION) {
            return Err(RestoreError::Version { found });
        }
        code.text(WHAT)?;
        let ruleset = Digest(load_digest(code)?);
        load_digest(code)?;
        let state = StateOptions {
            lateness_ms: code.int(WHAT)?,
            exact_cap: code.narrow(WHAT)?,
            ..state_options(options)
        };
        let clocks = load_clocks(code)?;
        let sources = load_sources(clocks.len(), code)?;
        let trail = Trail::of(code.word(WHAT)?);
        let gap = Gap::load(code)?;
        let passed = Passed { evictions: load_count(code)?, advances: code.var(WHAT)? };
        let (counters, rules) = load_counters(code)?;
        let breakers = Breakers::load(clocks.len(), code)?;
        let snoozes = SnoozeBook::load(code)?;
        let chains = Chains::load(sources.len(), code)?;
        let n = code.count(1, WHAT)?;
        let lists: Result<Vec<String>, Damaged> =
            (0..n).map(|_| code.text(WHAT).map(str::to_owned)).collect();
        let (known, expired_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
        let mut repeats = Repeats::default();
        repeats.set_lost(code.flag(WHAT)?);
        let expected = Expected {
            edits: code.index(WHAT)?,
            repeats: code.index(WHAT)?,
            episodes: code.index(WHAT)?,
            holds: code.index(WHAT)?,
        };
        // How many they may be is set when the rule set is at hand.
        let seen = SeenIds::new(options.dedupe_window_ms, usize::MAX);
        let seen = SeenLoader::new(seen, code)?;
        let n = code.count(32, WHAT)?;
        let mut tables = Vec::with_capacity(n);
        for _ in 0..n {
            let (identity, spec) = TableIdentity::load(code)?;
            tables.push((identity, TableLoader::new(spec, state, code)?));
        }
        let models = models::loaders(code)?;
        let labels = LabelLoader::new(code)?;
        Ok(Self {
            ruleset,
            clocks,
            sources,
            trail,
            gap,
            passed,
            counters,
            rules,
            breakers,
            chains,
            lists: lists?,
            lists_expired_ms: known.then_some(expired_ms),
            expected,
            edits: BTreeMap::new(),
            repeats,
            episodes: Episodes::default(),
            holds: HoldBook::default(),
            seen,
            tables,
            models,
            labels,
            snoozes,
        })
    }

    fn finish(self, program: &Program, options: &EngineOptions) -> Result<Remembered, Damaged> {
        let came = Expected {
            edits: self.edits.len(),
            repeats: self.repeats.len(),
            episodes: self.episodes.n_saved(),
            holds: self.holds.n_saved(),
        };
        if came != self.expected {
            return Err(Damaged { what: "lists, answers, episodes or holds are missing", at: 0 });
        }
        let mut tables = Vec::with_capacity(self.tables.len());
        for (identity, table) in self.tables {
            tables.push((identity, table.finish()?));
        }
        let mut models = Vec::with_capacity(self.models.len());
        for (identity, model) in self.models {
            models.push((identity, model.finish()?));
        }
        let models = Models::of(program, models, Vec::new());
        let clocks = Clocks::of(self.clocks);
        let (tables, _) =
            carry_tables(tables, program, state_options(options), clocks.furthest_ms(), None);
        let names = &self.lists;
        let place = |list: ListId| place_of(names.get(usize::from(list.0))?, program);
        let same = self.ruleset == program.digest;
        let lists =
            Lists::with_edits(&program.lists, self.lists_expired_ms, self.edits, place, same);
        let mut counters = self.counters;
        counters.rules = rule_counters(&self.rules, program);
        let mut seen = self.seen.finish()?;
        seen.set_bounds(options.dedupe_window_ms, most_ids(program, options));
        let labels = self.labels.finish()?;
        Ok(Remembered {
            labels,
            snoozes: self.snoozes,
            clocks,
            memory: Memory::of(program, tables, models, self.passed),
            lists,
            seen,
            repeats: self.repeats,
            holds: self.holds,
            episodes: self.episodes,
            counters,
            trail: self.trail,
            gap: self.gap,
            chains: self.chains,
            breakers: if same { self.breakers.of(program) } else { Breakers::new(program) },
        })
    }
}

/// Whether the next section is there up to its end.
fn is_whole(mut code: Decoder<'_>) -> bool {
    let mut head = || code.byte("kind").and_then(|_| code.index("number"));
    head().is_ok() && code.framed("section").is_ok()
}

/// Where a list stands in a rule set.
pub(super) fn place_of(name: &str, program: &Program) -> Option<ListId> {
    let at = program.lists.iter().position(|list| list.name == name)?;
    u16::try_from(at).ok().map(ListId)
}

/// The counters of the rules that are still there, by name.
pub(super) fn rule_counters(
    counted: &[(String, RuleCounters)],
    program: &Program,
) -> Vec<RuleCounters> {
    let by_name: BTreeMap<&str, &RuleCounters> =
        counted.iter().map(|(name, counters)| (name.as_str(), counters)).collect();
    let counters = |name: &str| by_name.get(name).copied().cloned().unwrap_or_default();
    program.rules.iter().map(|rule| counters(&rule.name)).collect()
}

fn load_digest(code: &mut Decoder<'_>) -> Result<[u8; 32], Damaged> {
    const WHAT: &str = "digest of a rule set or configuration";
    code.raw(32, WHAT)?.try_into().map_err(|_| code.damaged(WHAT))
}

/// A count that leaves room for counting on.
fn load_count(code: &mut Decoder<'_>) -> Result<u64, Damaged> {
    const WHAT: &str = "counter";
    let count = code.var(WHAT)?;
    code.demand(count < u64::MAX >> 8, WHAT)?;
    Ok(count)
}

fn load_clocks(code: &mut Decoder<'_>) -> Result<Vec<Clock>, Damaged> {
    const WHAT: &str = "clock of a partition";
    let n = code.count(26, WHAT)?;
    let clock = |_| {
        let (known, now_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
        let (began_ms, heard_ms) = (code.int(WHAT)?, code.int(WHAT)?);
        let heard_at = code.var(WHAT)?;
        code.demand(heard_at < u64::MAX >> 1, WHAT)?;
        Ok(Clock { now_ms: known.then_some(now_ms), began_ms, heard_ms, heard_at })
    };
    (0..n).map(clock).collect()
}

fn load_sources(n_clocks: usize, code: &mut Decoder<'_>) -> Result<Vec<Source>, Damaged> {
    const WHAT: &str = "input partition";
    let n = code.count(10, WHAT)?;
    let mut sources: Vec<Source> = Vec::with_capacity(n);
    for _ in 0..n {
        let topic = code.text(WHAT)?.to_owned();
        let partition = i32::try_from(code.int(WHAT)?).map_err(|_| code.damaged(WHAT))?;
        let clock = ClockId(code.narrow(WHAT)?);
        code.demand((clock.0 as usize) < n_clocks, WHAT)?;
        sources.push(Source { topic, partition, clock, carries: Carries::Events });
    }
    Ok(sources)
}

type RuleCounts = Vec<(String, RuleCounters)>;

fn load_counters(code: &mut Decoder<'_>) -> Result<(Counters, RuleCounts), Damaged> {
    const WHAT: &str = "counters";
    let mut counters = Counters { read: load_count(code)?, ..Counters::default() };
    for outcome in &mut counters.outcomes {
        *outcome = load_count(code)?;
    }
    let ages = &mut counters.hold_ages;
    let ages = ages.iter_mut().flat_map(|ages| ages.counts.iter_mut().chain([&mut ages.sum_ms]));
    let of_holds = counters.holds.iter_mut().chain(ages).chain(&mut counters.episode_ends);
    for count in of_holds.chain(&mut counters.commands).chain(&mut counters.answers) {
        *count = load_count(code)?;
    }
    for count in [
        &mut counters.late,
        &mut counters.too_late,
        &mut counters.future,
        &mut counters.duplicates,
        &mut counters.id_reuse,
        &mut counters.alerts,
        &mut counters.evictions,
        &mut counters.breaker_trips,
        &mut counters.ids_cut_short,
        &mut counters.episodes_cut_short,
        &mut counters.list_changes_refused,
        &mut counters.overflows,
    ] {
        *count = load_count(code)?;
    }
    for _ in 0..code.count(2, WHAT)? {
        let reason = code.text(WHAT)?;
        let known = REASONS.iter().find(|info| info.name == reason);
        let known = known.ok_or_else(|| code.damaged("reason of a dead letter"))?;
        counters.dead_letters.insert(known.name, load_count(code)?);
    }
    for named in [&mut counters.mapping_errors, &mut counters.never_stored] {
        for _ in 0..code.count(2, WHAT)? {
            let name = code.text(WHAT)?.to_owned();
            named.insert(name, load_count(code)?);
        }
    }
    let mut rules = Vec::new();
    for _ in 0..code.count(10, WHAT)? {
        let name = code.text(WHAT)?.to_owned();
        let rule = RuleCounters {
            hits: load_count(code)?,
            alerts: load_count(code)?,
            thinned: load_count(code)?,
            undecided: load_count(code)?,
            exempt: load_count(code)?,
            snoozed: load_count(code)?,
            holds: load_count(code)?,
            blocks: load_count(code)?,
            amounts: Amounts::load(code)?,
        };
        rules.push((name, rule));
    }
    Ok((counters, rules))
}
