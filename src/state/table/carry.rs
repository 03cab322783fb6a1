//! A table carried over to a changed spec: what is asked as before goes on as if nothing had happened.
//!
//! Entries stay, in the new layout; columns and filters that are new are empty in them, and what needs those is warming
//! until its window has filled. Slots, free list, hands and what eviction remembers stay as they are.
//!
//! # Cost
//! Nothing where the spec is the same. One pass over all slots where entries keep their layout and no key is busy;
//! otherwise a copy of every history.

use crate::state::table::{History, Since, Slot, StateOptions, Table, n_filters};
use crate::window::convert::{Convert, Mapping};
use crate::window::layout::column_of;
use crate::window::log::horizon_ms;
use crate::window::spec::{ColumnId, FilterBit, Measure, MeasureId, MeasureKind, TableSpec};
use crate::window::tiles::TileMap;

impl Table {
    /// A new table of a rule set that became active at `since_ms`: what lies before is not known.
    ///
    /// # Panics
    /// As [`Table::new`].
    pub fn new_since(spec: TableSpec, options: StateOptions, since_ms: i64) -> Self {
        let mut table = Self::new(spec, options);
        table.since = Since::ever(&table.spec, since_ms);
        table
    }

    /// The same history under another spec; what is new is known from `since_ms` on.
    ///
    /// # Panics
    /// As [`Table::new`].
    #[must_use]
    pub fn carried(
        self,
        spec: TableSpec,
        options: StateOptions,
        mapping: &Mapping,
        since_ms: i64,
    ) -> Self {
        let same_filters = mapping.filters.len() >= n_filters(&spec);
        let same = spec == self.spec
            && same_filters
            && mapping.is_identity(self.spec.columns.len(), mapping.filters.len());
        let fresh = Self::new(spec, options);
        if same && fresh.shape.exact_cap == self.shape.exact_cap && fresh.ring_cap == self.ring_cap
        {
            return self.with_lateness(fresh.shape.lateness_ms);
        }
        self.converted(fresh, mapping, since_ms)
    }

    /// How the measures stand: those whose window reaches back before what is known of it, as of `clock_ms`.
    pub fn warming(&self, clock_ms: i64) -> impl Iterator<Item = MeasureId> {
        let known = self.spec.measures.iter().zip(&self.since.measures_ms);
        (0_u16..).zip(known).filter_map(move |(index, (measure, since_ms))| {
            let start_ms = clock_ms.saturating_sub(reach_of(measure));
            (start_ms < since_ms.saturating_sub(1)).then_some(MeasureId(index))
        })
    }

    fn with_lateness(mut self, lateness_ms: i64) -> Self {
        let known_ms = self.entries_since_ms(self.reach_ms, lateness_ms);
        if known_ms > self.since.entries_ms {
            self.since.entries_ms = known_ms;
            for since_ms in &mut self.since.measures_ms {
                *since_ms = known_ms.max(*since_ms);
            }
        }
        self.shape.lateness_ms = lateness_ms;
        self
    }

    /// From when on all entries are here for a table that will reach back further.
    fn entries_since_ms(&self, reach_ms: i64, lateness_ms: i64) -> i64 {
        let forgotten_ms = self.forgotten_ms();
        let further = horizon_ms(self.furthest_ms, reach_ms, lateness_ms) < forgotten_ms;
        let known_ms = if further { forgotten_ms.saturating_add(1) } else { i64::MIN };
        self.since.entries_ms.max(known_ms)
    }

    fn converted(self, fresh: Self, mapping: &Mapping, since_ms: i64) -> Self {
        let entries_ms = self.entries_since_ms(fresh.reach_ms, fresh.shape.lateness_ms);
        let convert = Convert::new(&self.shape.layout, &fresh.shape.layout, mapping);
        let tiles = TileMap::new(&self.shape.units, &fresh.shape.units, &convert);
        let in_place = self.shape.layout == fresh.shape.layout
            && mapping.is_identity(self.spec.columns.len(), self.since.filters_ms.len());
        let (mut history_bytes, mut spilled_ms) = (0_usize, i64::MIN);
        let slots = self.slots.map(|slot| {
            let history = match slot.history {
                History::Ring(ring) if in_place => History::Ring(ring),
                History::Ring(ring) => History::Ring(ring.converted(&convert)),
                History::Log(log) => {
                    spilled_ms = spilled_ms.max(log.spilled_until_ms().unwrap_or(i64::MIN));
                    History::Log(Box::new(log.converted(&convert, &fresh.shape, &tiles)))
                }
            };
            history_bytes += history.bytes();
            Slot { history, ..slot }
        });
        let old = Old { spec: &self.spec, since: &self.since };
        let mut since = old.carried(&fresh.spec, mapping, (entries_ms, since_ms));
        let answers = &fresh.shape.units.answers;
        for (index, (known_ms, answer)) in since.measures_ms.iter_mut().zip(answers).enumerate() {
            let asked_before = old.same_measure(&fresh.spec.measures[index], mapping).is_some();
            if spilled_ms > i64::MIN && !asked_before && !tiles.knows(answer.ring, answer.cell) {
                *known_ms = spilled_ms.saturating_add(1).max(*known_ms);
            }
        }
        Self {
            slots,
            since,
            history_bytes,
            index: self.index,
            clock_ms: self.clock_ms,
            furthest_ms: self.furthest_ms,
            sweep_hand: self.sweep_hand,
            evict_hand: self.evict_hand,
            evictions: self.evictions,
            evicted_until_ms: self.evicted_until_ms,
            ..fresh
        }
    }
}

/// What a table was asked before.
struct Old<'a> {
    spec: &'a TableSpec,
    since: &'a Since,
}

impl Old<'_> {
    /// From when on the parts of the new spec are known; `entries_ms` is so for all entries, `new_ms` for what is new.
    fn carried(
        &self,
        spec: &TableSpec,
        mapping: &Mapping,
        (entries_ms, new_ms): (i64, i64),
    ) -> Since {
        let known = |places: &[Option<u8>], held: &[i64], n: usize| -> Vec<i64> {
            let place = |at: usize| places.get(at).copied().flatten().map(usize::from);
            let known = |at| place(at).and_then(|old| held.get(old)).copied().unwrap_or(new_ms);
            (0..n).map(known).collect()
        };
        let columns_ms = known(&mapping.columns, &self.since.columns_ms, spec.columns.len());
        let filters_ms = known(&mapping.filters, &self.since.filters_ms, n_filters(spec));
        let measures_ms = spec.measures.iter().map(|measure| {
            if let Some(old) = self.same_measure(measure, mapping) {
                return self.since.measures_ms[old].max(entries_ms);
            }
            let column = column_of(measure.kind).map(|column| columns_ms[usize::from(column.0)]);
            let filter = measure.filter.map(|bit| filters_ms[usize::from(bit.0)]);
            let parts = [column, filter].into_iter().flatten();
            parts.fold(entries_ms, i64::max)
        });
        let measures_ms = measures_ms.collect();
        Since { entries_ms, columns_ms, filters_ms, measures_ms }
    }

    /// The old measure that asked the same of the same.
    fn same_measure(&self, measure: &Measure, mapping: &Mapping) -> Option<usize> {
        let kind = match column_of(measure.kind) {
            None => measure.kind,
            Some(column) => {
                let old = mapping.columns.get(usize::from(column.0)).copied().flatten()?;
                with_column(measure.kind, ColumnId(old))
            }
        };
        let filter = match measure.filter {
            None => None,
            Some(bit) => {
                let old = mapping.filters.get(usize::from(bit.0)).copied().flatten()?;
                Some(FilterBit(old))
            }
        };
        self.spec.measures.iter().position(|old| {
            old.kind == kind && old.filter == filter && old.window == measure.window
        })
    }
}

fn with_column(kind: MeasureKind, column: ColumnId) -> MeasureKind {
    match kind {
        MeasureKind::Count | MeasureKind::LastTime | MeasureKind::Run => kind,
        MeasureKind::Sum(_) => MeasureKind::Sum(column),
        MeasureKind::SumSquares(_) => MeasureKind::SumSquares(column),
        MeasureKind::Min(_) => MeasureKind::Min(column),
        MeasureKind::Max(_) => MeasureKind::Max(column),
        MeasureKind::Distinct(_) => MeasureKind::Distinct(column),
        MeasureKind::CountOf(_) => MeasureKind::CountOf(column),
        MeasureKind::Ranked(_, pick) => MeasureKind::Ranked(column, pick),
        MeasureKind::Last(_) => MeasureKind::Last(column),
    }
}

fn reach_of(measure: &Measure) -> i64 {
    measure.window.reach_ms()
}
