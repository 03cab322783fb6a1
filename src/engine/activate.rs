//! Another rule set becomes active between two records: what is asked as before goes on, what is new is warming.
//!
//! - Window state is carried over by the names of tables, columns and filters ([`crate::engine::identity`]).
//! - Models are carried over by what they are made of; what a past taught a new one, it knows.
//! - Lists follow their files; what rules added and took off stays.
//! - Rules whose breaker tripped act again.
//! - Clocks, remembered ids and answers, episodes and holds stay, and so does the topic of commands.
//! - What is warming can be filled by an engine of the new rule set that read a stretch of the past again; nothing else
//!   is taken from that engine.
//!
//! # Cost
//! Tables whose spec is the same cost nothing; the others are laid out anew, one pass over their keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::breaker::Breakers;
use crate::engine::identity::TableIdentity;
use crate::engine::lists::Lists;
use crate::engine::memory::Memory;
use crate::engine::models::Models;
use crate::engine::options::EngineOptions;
use crate::engine::restore::{place_of, rule_counters};
use crate::engine::step::{Engine, Remembered, Setup, most_ids, state_options};
use crate::rules::eval::EvalError;
use crate::rules::program::{ListId, Program};
use crate::state::{StateOptions, Table};

/// What became of the aggregates, by their canonical text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationReport {
    /// They know their whole window.
    pub kept: Vec<String>,
    /// Of those, the ones that would be warming had the past not been read again.
    pub filled: Vec<String>,
    /// They answer `warming` until their window has filled.
    pub warming: Vec<String>,
    /// Nobody asks for them any more.
    pub dropped: Vec<String>,
}

/// What was read of the past for a rule set that is about to become active.
#[derive(Debug)]
pub struct Past {
    /// An engine of that rule set, with that rule set's settings, which took the records of the past up to the present.
    pub engine: Engine,
    /// Event time from which on it took all of them, in ms since 1970.
    pub since_ms: i64,
}

impl Engine {
    /// Makes another rule set active, between two records. A snapshot that is being taken is given up, and rows that
    /// the decoder of the old rule set decoded must not be decided any more.
    ///
    /// # Errors
    /// When a pattern or the time zone of the rule set is refused: then the old one stays as it is.
    pub fn activate(&mut self, program: Arc<Program>) -> Result<ActivationReport, EvalError> {
        self.activate_with(program, self.setup.options, None)
    }

    /// The same with other settings, and with the past of what is warming. Windows that know all that they can see stay
    /// as they are; a past of another rule set is not looked at.
    ///
    /// # Errors
    /// As [`Self::activate`].
    ///
    /// # Cost
    /// With a past: for each key of a table with something to fill, a look-up and a copy of its history.
    pub fn activate_with(
        &mut self,
        program: Arc<Program>,
        options: EngineOptions,
        past: Option<Past>,
    ) -> Result<ActivationReport, EvalError> {
        let setup = Setup::new(program, options)?;
        let program = Arc::clone(&setup.program);
        self.abandon_snapshot();
        let old = &self.setup.program;
        let counted: Vec<_> = old
            .rules
            .iter()
            .zip(&self.remembered.counters.rules)
            .map(|(rule, counters)| (rule.name.clone(), counters.clone()))
            .collect();
        let sources = core::mem::take(&mut self.sources);
        let fresh = Remembered::new(&program, &options);
        let mut remembered = core::mem::replace(&mut self.remembered, fresh);
        remembered.counters.rules = rule_counters(&counted, &program);
        let lists = &remembered.lists;
        let place = |list: ListId| place_of(&old.lists.get(usize::from(list.0))?.name, &program);
        remembered.lists = Lists::with_edits(
            &program.lists,
            lists.expired_ms(),
            lists.edits().clone(),
            place,
            old.digest == program.digest && old.schema.token_key == program.schema.token_key,
        );
        if old.digest != program.digest {
            remembered.breakers = Breakers::new(&program);
        }
        remembered.seen.set_bounds(options.dedupe_window_ms, most_ids(&program, &options));
        let passed = remembered.memory.passed();
        let options = state_options(&options);
        let clock_ms = remembered.clocks.furthest_ms();
        let before = remembered.memory.models().identities();
        let models = remembered.memory.models_mut().take();
        let held = remembered.memory.into_tables();
        let mut past = past.filter(|past| past.engine.setup.program.digest == program.digest);
        let read = past.as_mut().map(|past| past.engine.remembered.memory.models_mut().take());
        let models = Models::of(&program, models, read.unwrap_or_default());
        let (tables, mut report) = carry_tables(held, &program, options, clock_ms, past);
        models.report(before, &mut report);
        remembered.memory = Memory::of(&program, tables, models, passed);
        let commands = self.commands.take();
        *self = Self::of(setup, sources, remembered);
        self.commands = commands;
        Ok(report)
    }
}

/// The tables of a program with what the old tables held; the latest instant that any event came with; and what was
/// read of the past.
pub(super) fn carry_tables(
    mut held: Vec<(TableIdentity, Table)>,
    program: &Program,
    options: StateOptions,
    clock_ms: Option<i64>,
    past: Option<Past>,
) -> (Vec<Table>, ActivationReport) {
    // Events that come from now on may have any time; those that came before have none beyond the clock.
    let new_ms = clock_ms.map_or(i64::MIN, |clock_ms| clock_ms.saturating_add(1));
    let mut report = ActivationReport::default();
    let mut left: BTreeSet<String> = BTreeSet::new();
    left.extend(held.iter().flat_map(|(identity, _)| identity.measures.iter().cloned()));
    let (read, since_ms) = past.map_or_else(
        || (Vec::new(), i64::MAX),
        |Past { engine, since_ms }| (engine.remembered.memory.into_tables(), since_ms),
    );
    let mut read = read.into_iter().map(|(_, table)| table);
    let mut tables = Vec::with_capacity(program.tables.len());
    for plan in &program.tables {
        let identity = TableIdentity::of(program, plan);
        let found = held.iter().enumerate().find_map(|(at, (old, table))| {
            identity.mapping(&plan.spec, old, table.spec()).map(|mapping| (at, mapping))
        });
        let is_new = found.is_none();
        let mut table = match found {
            Some((at, mapping)) => {
                let (_, old) = held.swap_remove(at);
                old.carried(plan.spec.clone(), options, &mapping, new_ms)
            }
            None => Table::new_since(plan.spec.clone(), options, new_ms),
        };
        let before = warming(&table, clock_ms);
        let past = read.next().filter(|past| past.spec() == table.spec());
        // WHY: an event that comes late may see further back than one that comes now.
        let late_ms = clock_ms.map(|clock_ms| clock_ms.saturating_sub(options.lateness_ms));
        if let Some(past) = past.filter(|_| !warming(&table, late_ms).is_empty()) {
            if is_new && since_ms < new_ms {
                table = past.known_since(since_ms);
            } else if !is_new {
                table.fill(past, since_ms);
            }
        }
        let after = warming(&table, clock_ms);
        for (index, text) in identity.measures.iter().enumerate() {
            left.remove(text);
            let names = if after.contains(&index) {
                &mut report.warming
            } else {
                if before.contains(&index) {
                    report.filled.push(text.clone());
                }
                &mut report.kept
            };
            names.push(text.clone());
        }
        tables.push(table);
    }
    report.dropped = left.into_iter().collect();
    (tables, report)
}

/// The measures of a table whose window reaches back before what is known of it.
fn warming(table: &Table, clock_ms: Option<i64>) -> BTreeSet<usize> {
    let Some(clock_ms) = clock_ms else { return BTreeSet::new() };
    table.warming(clock_ms).map(|id| usize::from(id.0)).collect()
}
