//! A table saved in slices and restored.
//!
//! Saved: the slots with their keys and histories, the free list, the clock, both hands, what eviction remembers and
//! from when on columns, filters and measures are known. Not saved: the spec and its plans (the reader brings the spec),
//! the index (made of the slots), the room for scans, and the key that was looked up last.

use hashbrown::HashTable;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::state::slab::{Save, SlabLoader};
use crate::state::table::{History, Since, Slot, StateOptions, Table, add_to_index, flaw_of, join};
use crate::window::log::Log;
use crate::window::ring::Ring;
use crate::window::spec::TableSpec;

const RING: u8 = 0;
const LOG: u8 = 1;

impl Save for Slot {
    fn save(&self, code: &mut Encoder<'_>) {
        code.words(&self.key);
        code.int(self.newest_ms);
        match &self.history {
            History::Ring(ring) => {
                code.byte(RING);
                ring.save(code);
            }
            History::Log(log) => {
                code.byte(LOG);
                log.save(code);
            }
        }
    }
}

impl Table {
    /// Begins a save of what is held now, and writes what a reader must know first.
    ///
    /// # Cost
    /// One bit per key.
    pub fn begin_save(&mut self, code: &mut Encoder<'_>) {
        self.slots.begin_save();
        self.slots.save_head(code);
        code.int(self.clock_ms);
        code.int(self.furthest_ms);
        code.count(self.sweep_hand);
        code.count(self.evict_hand);
        code.var(self.evictions);
        code.int(self.evicted_until_ms);
        let Since { entries_ms, columns_ms, filters_ms, measures_ms } = &self.since;
        code.int(*entries_ms);
        for times in [columns_ms, filters_ms, measures_ms] {
            code.count(times.len());
            for time_ms in times {
                code.int(*time_ms);
            }
        }
    }

    /// Keys that were written ahead of their turn since the last call, because they changed, in pieces of whole keys.
    pub fn save_side(&mut self) -> Vec<Vec<u8>> {
        self.slots.take_side()
    }

    /// Writes the next keys until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        self.slots.save_part(budget, code)
    }

    /// Ends a save, complete or not.
    pub fn end_save(&mut self) {
        self.slots.abandon_save();
    }
}

/// Reads a saved table.
#[derive(Debug)]
pub struct TableLoader {
    table: Table,
    slots: SlabLoader<Slot>,
}

impl TableLoader {
    /// Reads what [`Table::begin_save`] wrote of a table with this spec.
    ///
    /// # Errors
    /// Where it is damaged, or the spec contradicts itself.
    pub fn new(
        spec: TableSpec,
        options: StateOptions,
        code: &mut Decoder<'_>,
    ) -> Result<Self, Damaged> {
        const WHAT: &str = "head of a table";
        if let Some(flaw) = flaw_of(&spec) {
            return Err(code.damaged(flaw));
        }
        let mut table = Table::of_sound(spec, options);
        let slots = SlabLoader::new(code)?;
        table.clock_ms = code.int(WHAT)?;
        table.furthest_ms = code.int(WHAT)?;
        code.demand(table.clock_ms <= table.furthest_ms, WHAT)?;
        table.sweep_hand = code.index(WHAT)?;
        table.evict_hand = code.index(WHAT)?;
        table.evictions = code.var(WHAT)?;
        code.demand(table.evictions < u64::MAX >> 1, WHAT)?;
        table.evicted_until_ms = code.int(WHAT)?;
        table.since.entries_ms = code.int(WHAT)?;
        let Since { columns_ms, filters_ms, measures_ms, .. } = &mut table.since;
        for times in [columns_ms, filters_ms, measures_ms] {
            let len = code.count(8, WHAT)?;
            code.demand(len == times.len(), WHAT)?;
            for time_ms in times {
                *time_ms = code.int(WHAT)?;
            }
        }
        Ok(Self { table, slots })
    }

    /// Reads keys that were written in order.
    ///
    /// # Errors
    /// Where they are damaged.
    pub fn run(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        let table = &self.table;
        self.slots.run(code, |code| table.load_slot(code))
    }

    /// Reads keys that were written ahead of their turn.
    ///
    /// # Errors
    /// Where they are damaged.
    pub fn side(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        let table = &self.table;
        self.slots.side(code, |code| table.load_slot(code))
    }

    /// The table, once everything was read.
    ///
    /// # Errors
    /// Where keys are missing.
    pub fn finish(self) -> Result<Table, Damaged> {
        let Self { mut table, slots } = self;
        table.slots = slots.finish()?;
        let n = u32::try_from(table.slots.len()).unwrap_or(u32::MAX);
        table.index = HashTable::with_capacity(table.slots.len());
        for at in 0..n {
            let Some(slot) = table.slots.get(at) else { continue };
            table.history_bytes = table.history_bytes.saturating_add(slot.history.bytes());
            add_to_index(&mut table.index, &table.slots, join(slot.key), at);
        }
        Ok(table)
    }
}

impl Table {
    fn load_slot(&self, code: &mut Decoder<'_>) -> Result<Slot, Damaged> {
        const WHAT: &str = "key of a table";
        let key = [code.word(WHAT)?, code.word(WHAT)?];
        let newest_ms = code.int(WHAT)?;
        let history = match code.byte(WHAT)? {
            RING => History::Ring(Ring::load(&self.shape.layout, code)?),
            LOG => History::Log(Box::new(Log::load(&self.shape, code)?)),
            _ => return Err(code.damaged(WHAT)),
        };
        Ok(Slot { key, newest_ms, history })
    }
}
