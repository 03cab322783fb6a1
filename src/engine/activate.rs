//! Another rule set becomes active between two records: what is asked as before goes on, what is new is warming.
//!
//! - Window state is carried over by the names of tables, columns and filters ([`crate::engine::identity`]).
//! - Lists follow their files; what rules added and took off stays.
//! - Rules whose breaker tripped act again.
//! - Clocks, remembered ids and answers, episodes and holds stay.
//!
//! # Cost
//! Tables whose spec is the same cost nothing; the others are laid out anew, one pass over their keys.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::engine::breaker::Breakers;
use crate::engine::identity::TableIdentity;
use crate::engine::lists::Lists;
use crate::engine::memory::Memory;
use crate::engine::options::EngineOptions;
use crate::engine::restore::{place_of, rule_counters};
use crate::engine::step::{Engine, Remembered, Setup, repeats_span_ms, state_options};
use crate::rules::eval::EvalError;
use crate::rules::program::{ListId, Program};
use crate::state::{StateOptions, Table};

/// What became of the aggregates, by their canonical text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationReport {
    /// They know their whole window.
    pub kept: Vec<String>,
    /// They answer `warming` until their window has filled.
    pub warming: Vec<String>,
    /// Nobody asks for them any more.
    pub dropped: Vec<String>,
}

impl Engine {
    /// Makes another rule set active, between two records. A snapshot that is being taken is given up, and rows that
    /// the decoder of the old rule set decoded must not be decided any more.
    ///
    /// # Errors
    /// When a pattern or the time zone of the rule set is refused: then the old one stays as it is.
    pub fn activate(&mut self, program: Arc<Program>) -> Result<ActivationReport, EvalError> {
        self.activate_with(program, self.setup.options)
    }

    /// The same with other settings.
    ///
    /// # Errors
    /// As [`Self::activate`].
    pub fn activate_with(
        &mut self,
        program: Arc<Program>,
        options: EngineOptions,
    ) -> Result<ActivationReport, EvalError> {
        let setup = Setup::new(program, options)?;
        let program = Arc::clone(&setup.program);
        self.abandon_snapshot();
        let old = &self.setup.program;
        let counted: Vec<_> = old
            .rules
            .iter()
            .zip(&self.remembered.counters.rules)
            .map(|(rule, counters)| (rule.name.clone(), *counters))
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
            old.digest == program.digest,
        );
        if old.digest != program.digest {
            remembered.breakers = Breakers::new(&program);
        }
        remembered.seen.set_bounds(options.dedupe_window_ms, options.dedupe_max_ids as usize);
        remembered.repeats.set_span(repeats_span_ms(&options));
        let passed = remembered.memory.passed();
        let options = state_options(&options);
        let clock_ms = remembered.clocks.furthest_ms();
        let held = remembered.memory.into_tables();
        let (tables, report) = carry_tables(held, &program, options, clock_ms);
        remembered.memory = Memory::of(&program, tables, passed);
        *self = Self::of(setup, sources, remembered);
        Ok(report)
    }
}

/// The tables of a program with what the old tables held; the latest instant that any event came with.
pub(super) fn carry_tables(
    mut held: Vec<(TableIdentity, Table)>,
    program: &Program,
    options: StateOptions,
    clock_ms: Option<i64>,
) -> (Vec<Table>, ActivationReport) {
    // Events that come from now on may have any time; those that came before have none beyond the clock.
    let since_ms = clock_ms.map_or(i64::MIN, |clock_ms| clock_ms.saturating_add(1));
    let mut report = ActivationReport::default();
    let mut left: BTreeSet<String> = BTreeSet::new();
    left.extend(held.iter().flat_map(|(identity, _)| identity.measures.iter().cloned()));
    let mut tables = Vec::with_capacity(program.tables.len());
    for plan in &program.tables {
        let identity = TableIdentity::of(program, plan);
        let found = held.iter().enumerate().find_map(|(at, (old, table))| {
            identity.mapping(&plan.spec, old, table.spec()).map(|mapping| (at, mapping))
        });
        let table = match found {
            Some((at, mapping)) => {
                let (_, old) = held.swap_remove(at);
                old.carried(plan.spec.clone(), options, &mapping, since_ms)
            }
            None => Table::new_since(plan.spec.clone(), options, since_ms),
        };
        let warming: BTreeSet<usize> = match clock_ms {
            Some(clock_ms) => table.warming(clock_ms).map(|id| usize::from(id.0)).collect(),
            None => BTreeSet::new(),
        };
        for (index, text) in identity.measures.iter().enumerate() {
            left.remove(text);
            let names =
                if warming.contains(&index) { &mut report.warming } else { &mut report.kept };
            names.push(text.clone());
        }
        tables.push(table);
    }
    report.dropped = left.into_iter().collect();
    (tables, report)
}
