//! The engine's window state: tables, the plans by which each event type reads them, and the present event's entries.

use crate::base::{EntityKey, Tag};
use crate::event::key::{KeyPart, key_of, key_parts};
use crate::event::row::Row;
use crate::event::schema::{EventId, SlotId};
use crate::models::online::spec::Row as Features;
use crate::models::online::{Lesson, Part, Scored};
use crate::models::places::Lot;
use crate::rules::early::{self, EarlyBit};
use crate::rules::eval::{Given, Host, ModelAnswer, Run};
use crate::rules::program::{ListId, Lookup, LookupId, ModelId, Program, TableId, TablePlan};
use crate::state::{Guess, ReadAt, ReadPlan, StateOptions, Table};
use crate::window::spec::{
    Counting, Coverage, Entry, FilterBit, History, Measure, MeasureKind, ReadValue, Reading, Wanted,
};

use crate::engine::identity::TableIdentity;
use crate::engine::lists::Lists;
use crate::engine::models::{AskedModels, Models};
use crate::engine::scene;
use crate::engine::step::Decoded;

/// Slots of a table that one sweep looks at, and how often one comes: about two slots an event.
/// WHY: many at a time, because their cache misses overlap then.
const SLOTS_PER_SWEEP: usize = 128;
const ADVANCES_PER_SWEEP: u64 = 64;

/// The segments of models may take one part in this many of the state budget.
const MODELS_SHARE: usize = 4;

/// Of the state budget the tables keep one part in this many, whatever else is held.
const TABLES_SHARE: usize = 16;

/// All tables, and per event type how they are read.
#[derive(Debug)]
pub(super) struct Memory {
    tables: Vec<Table>,
    models: Models,
    /// Per table what makes it the same table in another rule set.
    identities: Vec<TableIdentity>,
    /// Per event type.
    reads: Vec<EventReads>,
    /// Per table: the stored key in an event of its type.
    stored: Vec<Vec<KeyPart>>,
    /// Per event type: every place of the state that it reads or writes, each once.
    places: Vec<Vec<(TableId, Vec<KeyPart>)>>,
    evictions: u64,
    /// How often the clock was moved.
    advances: u64,
}

/// What happened to the tables together so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Passed {
    /// Keys evicted, of tables that are gone as well.
    pub(super) evictions: u64,
    /// How often the clock was moved.
    pub(super) advances: u64,
}

/// The look-ups of one event type.
#[derive(Debug, Default)]
struct EventReads {
    lookups: Vec<LookupPlan>,
    /// How many groups and readings they have together.
    n_groups: usize,
    n_readings: usize,
}

#[derive(Debug)]
struct LookupPlan {
    table: TableId,
    keys: Vec<KeyPart>,
    same_event: bool,
    /// Whether it asks under the key of the event's own entry.
    own_key: bool,
    groups: Vec<Group>,
    /// Per measure: its group, and its place among the group's measures.
    homes: Vec<(usize, usize)>,
}

/// Measures of one look-up that are read together.
///
/// WHY: not all of a look-up at once, because counts and sums decide most rules about most events; what walks through
/// long windows for the rest is read only when a rule comes so far.
#[derive(Debug)]
struct Group {
    read: ReadPlan,
    /// Indices among the look-up's measures.
    measures: Vec<usize>,
    /// Its number among the event type's groups, and the place of its first reading among the event type's readings.
    number: usize,
    first: usize,
}

/// What measures have in common that are read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Effort {
    Totals,
    Squares,
    Extremes,
    Distinct,
    CountsOf,
    Ranks,
    Latest,
    Newest,
}

/// What measures of one group share: their effort, and the filter that is decided before, by its place in the order.
type Together = (Effort, Option<usize>);

/// The present event as the tables of its type will remember it. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct OwnEntries {
    entries: Vec<OwnEntry>,
    used: usize,
}

/// What of the present event's entries asks state. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Late {
    /// For each entry its filter bits, and how many of the words are its own.
    bits: Vec<(u64, usize)>,
    /// Places in the entry, and words.
    words: Vec<(usize, u64)>,
}

#[derive(Debug, Default)]
struct OwnEntry {
    table: u16,
    key: EntityKey,
    filters: u64,
    words: Vec<u64>,
}

impl OwnEntries {
    /// The present event passes a filter.
    fn add_bit(&mut self, table: TableId, filter: FilterBit) {
        let mut entries = self.entries.iter_mut().take(self.used);
        if let Some(entry) = entries.find(|entry| entry.table == table.0) {
            entry.filters |= 1 << filter.0;
        }
    }

    /// Adds what was worked out later.
    pub(super) fn add_late(&mut self, late: &Late) {
        let mut words = late.words.as_slice();
        for (entry, (bits, n_words)) in self.entries.iter_mut().take(self.used).zip(&late.bits) {
            entry.filters |= bits;
            let (own, others) = words.split_at(words.len().min(*n_words));
            words = others;
            for (place, word) in own {
                if let Some(held) = entry.words.get_mut(*place) {
                    *held = *word;
                }
            }
        }
    }

    fn find(&self, table: TableId) -> Option<&OwnEntry> {
        self.entries.iter().take(self.used).find(|entry| entry.table == table.0)
    }
}

/// Answers of the look-ups of the present event. Reused from event to event.
#[derive(Debug, Default)]
pub(super) struct Answers {
    readings: Vec<Reading>,
    answered: Vec<bool>,
    probes: Vec<u64>,
    starts: Vec<Option<i64>>,
    /// Whether something that was asked may lack entries.
    capped: bool,
    pub(super) models: AskedModels,
}

const NOT_ASKED: Reading = Reading { value: ReadValue::Missing, coverage: Coverage::Complete };

impl Answers {
    fn reset(&mut self, reads: &EventReads) {
        if self.readings.len() < reads.n_readings {
            self.readings.resize(reads.n_readings, NOT_ASKED);
        }
        self.answered.clear();
        self.answered.resize(reads.n_groups, false);
        self.capped = false;
        self.models.reset();
    }

    /// The worst that is worth saying of an event although no rule hit: a window that lacks entries may be why.
    pub(super) fn shortfall(&self) -> Coverage {
        if self.capped { Coverage::Capped } else { Coverage::Complete }
    }
}

impl Effort {
    fn of(measure: &Measure) -> Self {
        match measure.kind {
            _ if measure.walks() => Self::Newest,
            MeasureKind::Count | MeasureKind::Sum(_) => Self::Totals,
            MeasureKind::SumSquares(_) => Self::Squares,
            MeasureKind::Min(_) | MeasureKind::Max(_) => Self::Extremes,
            MeasureKind::Distinct(_) => Self::Distinct,
            MeasureKind::CountOf(_) => Self::CountsOf,
            MeasureKind::Ranked(..) => Self::Ranks,
            MeasureKind::Last(_) | MeasureKind::LastTime => Self::Latest,
            MeasureKind::Run => Self::Newest,
        }
    }
}

impl EventReads {
    /// `early` are the filters that are decided one after the other before windows are read that count by them.
    fn add(
        &mut self,
        lookup: &Lookup,
        (keys, own_key): (Vec<KeyPart>, bool),
        table: &Table,
        early: &[EarlyBit],
    ) {
        // WHY: what counts by such a filter is not read before it is decided, so it is not read with anything else.
        let stage = |measure: &Measure| {
            let bit = measure.filter.filter(|_| measure.counting == Counting::Last)?;
            early.iter().position(|known| *known == (lookup.table, bit))
        };
        let mut efforts: Vec<(Together, Vec<usize>)> = Vec::new();
        let mut homes = Vec::new();
        for (index, id) in lookup.measures.iter().enumerate() {
            let measure = &table.spec().measures[usize::from(id.0)];
            let effort = (Effort::of(measure), stage(measure));
            let known = efforts.iter().position(|(held, _)| *held == effort);
            let group = known.unwrap_or_else(|| {
                efforts.push((effort, Vec::new()));
                efforts.len() - 1
            });
            homes.push((group, efforts[group].1.len()));
            efforts[group].1.push(index);
        }
        let groups = efforts.into_iter().map(|(_, measures)| {
            let ids: Vec<_> = measures.iter().map(|index| lookup.measures[*index]).collect();
            let (number, first) = (self.n_groups, self.n_readings);
            self.n_groups += 1;
            self.n_readings += measures.len();
            Group { read: table.plan(&ids), measures, number, first }
        });
        let groups = groups.collect();
        let (table, same_event) = (lookup.table, lookup.same_event);
        self.lookups.push(LookupPlan { table, keys, same_event, own_key, groups, homes });
    }
}

impl Memory {
    pub(super) fn new(program: &Program, options: StateOptions) -> Self {
        let table = |plan: &TablePlan| Table::new(plan.spec.clone(), options);
        let tables = program.tables.iter().map(table).collect();
        Self::of(program, tables, Models::new(program), Passed::default())
    }

    /// Tables and models of this program, in its order, with what they hold.
    pub(super) fn of(
        program: &Program,
        tables: Vec<Table>,
        models: Models,
        passed: Passed,
    ) -> Self {
        let stored = program
            .tables
            .iter()
            .map(|table| key_parts(program.schema.event(table.event), &table.keys));
        let stored: Vec<Vec<KeyPart>> = stored.collect();
        let plans = (0_u16..).zip(&program.plans).zip(&program.schema.events);
        let reads = plans.map(|((id, event), schema)| {
            let early = early::bits(program, EventId(id));
            let mut reads = EventReads::default();
            for lookup in &event.lookups {
                let table = usize::from(lookup.table.0);
                let keys = key_parts(schema, &lookup.keys);
                let own_key = lookup.same_event && keys == stored[table];
                reads.add(lookup, (keys, own_key), &tables[table], &early);
            }
            reads
        });
        let reads: Vec<EventReads> = reads.collect();
        let places = program.plans.iter().zip(&reads).map(|(event, reads)| {
            let written = event.tables.iter().map(|id| (*id, stored[usize::from(id.0)].clone()));
            let read = reads.lookups.iter().map(|plan| (plan.table, plan.keys.clone()));
            let mut places: Vec<(TableId, Vec<KeyPart>)> = Vec::new();
            for place in written.chain(read) {
                if !places.contains(&place) {
                    places.push(place);
                }
            }
            places
        });
        let places = places.collect();
        let identity = |plan| TableIdentity::of(program, plan);
        let identities = program.tables.iter().map(identity).collect();
        let Passed { evictions, advances } = passed;
        Self { tables, models, identities, reads, stored, places, evictions, advances }
    }

    /// What a save must tell beside the tables.
    pub(super) fn passed(&self) -> Passed {
        Passed { evictions: self.evictions, advances: self.advances }
    }

    pub(super) fn identities(&self) -> &[TableIdentity] {
        &self.identities
    }

    pub(super) fn tables_mut(&mut self) -> &mut [Table] {
        &mut self.tables
    }

    pub(super) fn models(&self) -> &Models {
        &self.models
    }

    pub(super) fn models_mut(&mut self) -> &mut Models {
        &mut self.models
    }

    /// Takes the tables out, with what makes them the same in another rule set.
    pub(super) fn into_tables(self) -> Vec<(TableIdentity, Table)> {
        self.identities.into_iter().zip(self.tables).collect()
    }

    /// Loads the state that a batch of events is about to ask for. Changes nothing.
    ///
    /// # Cost
    /// Three short passes, so that the cache misses of different events overlap.
    pub(super) fn anticipate<'e>(
        &self,
        batch: impl Iterator<Item = (&'e Row, &'e [u8])>,
        ahead: &mut Ahead,
    ) {
        ahead.keys.clear();
        for (row, raw) in batch {
            for (table, keys) in &self.places[usize::from(row.event)] {
                ahead.keys.extend(key_of(row, raw, keys).map(|key| (*table, key)));
            }
        }
        let table = |id: TableId| &self.tables[usize::from(id.0)];
        ahead.guesses.clear();
        ahead.guesses.extend(ahead.keys.iter().map(|(id, key)| (*id, table(*id).touch(*key))));
        let loaded = ahead.guesses.iter().map(|(id, guess)| table(*id).warm(*guess));
        core::hint::black_box(loaded.fold(0, core::ops::BitXor::bitxor));
    }

    /// Works out what the tables of this event's type will remember of it.
    pub(super) fn own_entries(
        &self,
        program: &Program,
        own: &mut OwnEntries,
        run: &mut Run<'_, impl Host>,
    ) {
        own.used = 0;
        let tables = &program.plans[usize::from(run.row.event)].tables;
        for &table in tables {
            let keys = &self.stored[usize::from(table.0)];
            let Some(key) = key_of(run.row, run.raw, keys) else { continue };
            if own.entries.len() == own.used {
                own.entries.push(OwnEntry::default());
            }
            let entry = &mut own.entries[own.used];
            entry.table = table.0;
            entry.key = key;
            entry.filters = run.entry(table, &mut entry.words);
            own.used += 1;
        }
    }

    /// What of this event's entries depends on state.
    pub(super) fn work_out_late(run: &mut Run<'_, StateHost<'_>>, late: &mut Late) {
        late.bits.clear();
        late.words.clear();
        for index in 0..run.host.own.used {
            let table = run.host.own.entries.get(index).map(|entry| TableId(entry.table));
            let before = late.words.len();
            let bits = table.map_or(0, |table| run.late_bits(table, &mut late.words));
            late.bits.push((bits, late.words.len() - before));
        }
    }

    /// Remembers the present event.
    pub(super) fn insert(&mut self, own: &OwnEntries, time_ms: i64) {
        for entry in own.entries.iter().take(own.used) {
            let remembered = Entry { time_ms, filters: entry.filters, words: &entry.words };
            self.tables[usize::from(entry.table)].insert(entry.key, &remembered);
        }
    }

    /// Lets the models that were asked learn the present event.
    pub(super) fn learn(&mut self, answers: &Answers, time_ms: i64, lesson: Lesson) {
        self.models.learn(&answers.models, time_ms, lesson);
    }

    /// Moves the clock, forgets what no window can see, a little at a time.
    pub(super) fn advance(&mut self, clock_ms: i64) {
        self.advances = self.advances.wrapping_add(1);
        let sweep = self.advances.is_multiple_of(ADVANCES_PER_SWEEP);
        for table in &mut self.tables {
            table.advance(clock_ms);
            if sweep {
                table.sweep(SLOTS_PER_SWEEP);
            }
        }
    }

    /// Evicts keys of the largest table until the state fits the budget (`others` are bytes held elsewhere), or the tables
    /// their part of it: open holds must not make every rule blind.
    pub(super) fn fit(&mut self, budget: u64, others: usize) {
        let budget = usize::try_from(budget).unwrap_or(usize::MAX);
        let models = self.models.shrink(budget / MODELS_SHARE);
        let left = budget.saturating_sub(others).saturating_sub(models);
        // WHY: of what is held, because the room that keys leave behind is not given back.
        let kept = budget / TABLES_SHARE;
        let held = |tables: &[Table]| tables.iter().map(Table::held_bytes).sum::<usize>();
        while self.table_bytes() > left && held(&self.tables) > kept {
            let largest = self.tables.iter_mut().filter(|t| t.keys() > 0).max_by_key(|t| t.bytes());
            if largest.and_then(|table| table.evict(16)).is_none() {
                return;
            }
            self.evictions += 1;
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.table_bytes() + self.models.bytes()
    }

    fn table_bytes(&self) -> usize {
        self.tables.iter().map(Table::bytes).sum()
    }

    pub(super) fn evictions(&self) -> u64 {
        self.evictions
    }

    pub(super) fn tables(&self) -> &[Table] {
        &self.tables
    }
}

/// What a batch of events is about to ask for. Reused from batch to batch.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    keys: Vec<(TableId, EntityKey)>,
    guesses: Vec<(TableId, Guess)>,
}

/// What the evaluator sees of the state while one event is judged.
#[derive(Debug)]
pub(super) struct StateHost<'a> {
    pub(super) memory: &'a mut Memory,
    pub(super) answers: &'a mut Answers,
    pub(super) own: &'a mut OwnEntries,
    pub(super) lists: &'a Lists,
    pub(super) row: &'a Row,
    pub(super) raw: &'a [u8],
    /// The field with the event's id.
    pub(super) id: SlotId,
    pub(super) began_ms: i64,
}

impl StateHost<'_> {
    /// Begins an event.
    pub(super) fn begin(self) -> Self {
        self.answers.reset(&self.memory.reads[usize::from(self.row.event)]);
        self
    }

    fn answer(&mut self, lookup: usize, group: usize, given: Given<'_>) {
        let Self { memory, answers, own, row, raw, .. } = self;
        let Memory { tables, reads, .. } = &mut **memory;
        let plan = &reads[usize::from(row.event)].lookups[lookup];
        let group = &plan.groups[group];
        answers.answered[group.number] = true;
        let end = group.first + group.read.len();
        let out = &mut answers.readings[group.first..end];
        let mine = if plan.same_event { own.find(plan.table) } else { None };
        let known = mine.filter(|_| plan.own_key).map(|entry| entry.key);
        let Some(key) = known.or_else(|| key_of(row, raw, &plan.keys)) else {
            out.fill(NOT_ASKED);
            return;
        };
        answers.probes.clear();
        let probe = |index: &usize| given.probes.get(*index).copied().flatten().unwrap_or(0);
        answers.probes.extend(group.measures.iter().map(probe));
        answers.starts.clear();
        if !given.starts.is_empty() {
            let start = |index: &usize| given.starts.get(*index).copied().flatten();
            answers.starts.extend(group.measures.iter().map(start));
        }
        let mine = mine.filter(|entry| entry.key == key).map(|entry| Entry {
            time_ms: row.time_ms,
            filters: entry.filters,
            words: &entry.words,
        });
        let at = ReadAt {
            time_ms: row.time_ms,
            began_ms: self.began_ms,
            own: mine.as_ref(),
            probes: &answers.probes,
            starts: &answers.starts,
        };
        tables[usize::from(plan.table.0)].read(key, &group.read, &at, out);
    }
}

impl StateHost<'_> {
    /// How many events a measure of a look-up counts, and how many of the key lie in its window at all; `calendar_ms` is
    /// the instant before the part of the calendar at which it has an end.
    pub(super) fn counted(
        &mut self,
        (lookup, index): (LookupId, u16),
        calendar_ms: Option<i64>,
    ) -> Option<(u64, u64)> {
        let Self { memory, own, row, raw, began_ms, .. } = self;
        let Memory { tables, reads, .. } = &mut **memory;
        let plan = &reads[usize::from(row.event)].lookups[usize::from(lookup.0)];
        let (group, place) = *plan.homes.get(usize::from(index))?;
        let table = &mut tables[usize::from(plan.table.0)];
        let asked = plan.groups[group].read.measure(place)?;
        let measure = *table.spec().measures.get(usize::from(asked.0))?;
        let key = key_of(row, raw, &plan.keys)?;
        let mine = if plan.same_event { own.find(plan.table) } else { None };
        let mine = mine.filter(|entry| entry.key == key).map(|entry| Entry {
            time_ms: row.time_ms,
            filters: entry.filters,
            words: &entry.words,
        });
        let (time_ms, began_ms) = (row.time_ms, *began_ms);
        let starts = [calendar_ms];
        let at = ReadAt { time_ms, began_ms, own: mine.as_ref(), probes: &[], starts: &starts };
        let counted = table.count(key, &measure, &at)?;
        let all = table.count(key, &Measure { filter: None, ..measure }, &at)?;
        Some((counted, all))
    }
}

impl Host for StateHost<'_> {
    fn reading(&mut self, lookup: LookupId, index: u16, given: Given<'_>) -> Reading {
        let lookup = usize::from(lookup.0);
        let plan = &self.memory.reads[usize::from(self.row.event)].lookups[lookup];
        let (group, place) = plan.homes[usize::from(index)];
        let Group { number, first, .. } = plan.groups[group];
        if !self.answers.answered[number] {
            self.answer(lookup, group, given);
        }
        let reading = self.answers.readings[first + place];
        self.answers.capped |= reading.coverage == Coverage::Capped;
        reading
    }

    fn history(
        &mut self,
        (lookup, mask): (LookupId, u64),
        within_ms: i64,
        out: &mut History,
    ) -> Coverage {
        let Memory { tables, reads, .. } = &mut *self.memory;
        let plan = &reads[usize::from(self.row.event)].lookups[usize::from(lookup.0)];
        let Some(key) = key_of(self.row, self.raw, &plan.keys) else { return Coverage::Complete };
        let until_ms = self.row.time_ms;
        let wanted = Wanted { mask, after_ms: until_ms.saturating_sub(within_ms), until_ms };
        tables[usize::from(plan.table.0)].history(key, &wanted, out)
    }

    fn scored(&self, model: ModelId) -> ModelAnswer {
        self.answers.models.scored(model)
    }

    fn score(&mut self, model: ModelId, row: Features<'_>) -> Option<Scored> {
        let models = &self.memory.models;
        let parts = models.segments(model);
        let segment = if parts.is_empty() { None } else { key_of(self.row, self.raw, parts) };
        let id = scene::text(Decoded { raw: self.raw, row: self.row }, self.id);
        let at = (self.row.time_ms, Lot::of_id(id.as_bytes()));
        models.score(model, (segment, row), at, &mut self.answers.models)
    }

    fn score_parts(&self, model: ModelId) -> Vec<Part> {
        self.memory.models.parts(model, &self.answers.models)
    }

    fn count_own(&mut self, table: TableId, filter: FilterBit) {
        self.own.add_bit(table, filter);
    }

    fn list_contains(&mut self, list: ListId, text: &[u8]) -> bool {
        self.lists.contains(list, text, self.row.time_ms)
    }

    fn list_contains_tag(&mut self, list: ListId, tag: Tag) -> bool {
        self.lists.contains_tag(list, tag, self.row.time_ms)
    }
}

/// A host for what needs no state: filters and columns of the present event.
#[derive(Clone, Copy, Debug)]
pub(super) struct NoState<'a> {
    pub(super) lists: &'a Lists,
    pub(super) time_ms: i64,
}

impl Host for NoState<'_> {
    fn reading(&mut self, _: LookupId, _: u16, _: Given<'_>) -> Reading {
        NOT_ASKED
    }

    fn history(&mut self, _: (LookupId, u64), _: i64, _: &mut History) -> Coverage {
        Coverage::Complete
    }

    fn count_own(&mut self, _: TableId, _: FilterBit) {}

    fn list_contains(&mut self, list: ListId, text: &[u8]) -> bool {
        self.lists.contains(list, text, self.time_ms)
    }

    fn list_contains_tag(&mut self, list: ListId, tag: Tag) -> bool {
        self.lists.contains_tag(list, tag, self.time_ms)
    }
}
