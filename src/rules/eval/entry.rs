//! What a state table remembers of an event: its words and its filter bits.

use crate::base::{MICRO_PER_MINOR, Value};
use crate::rules::eval::code::{At, Code, EntryCode, ValueCode};
use crate::rules::eval::number::rounded;
use crate::rules::eval::{Host, Run, Truth};
use crate::rules::program::TableId;
use crate::window::spec::ColumnKind;

impl<H: Host> Run<'_, H> {
    /// Writes the words of this event's entry in a table (replacing `words`) and returns its filter bits.
    ///
    /// A value that is missing or does not fit its column is written as 0 and clears the bits of the measures that
    /// would read it. Money beyond 64 bits of minor units and numbers beyond 64 bits of millionths do not fit.
    ///
    /// # Cost
    /// One evaluation per column and filter; no allocation once `words` has grown.
    pub fn entry(&mut self, table: TableId, words: &mut Vec<u64>) -> u64 {
        words.clear();
        let plan = self.plan;
        let Some((_, entry)) = plan.entries.iter().find(|(id, _)| *id == table) else { return 0 };
        let mut unusable = 0;
        for column in &entry.columns {
            let written = match column.kind {
                _ if column.late => {
                    words.push(0);
                    true
                }
                ColumnKind::Geo => self.geo_words(column.node, words),
                kind => {
                    let word = self.column_word(column.node, kind);
                    words.push(word.unwrap_or(0));
                    word.is_some()
                }
            };
            if !written {
                unusable |= column.needed_by;
            }
        }
        let mut bits = 0;
        for (bit, filter) in entry.filters.iter().enumerate() {
            let open = (unusable | entry.late) >> bit & 1 == 0;
            if open && self.truth_at(*filter) == Truth::True {
                bits |= 1 << bit;
            }
        }
        bits
    }

    /// Decides the filters that ask state and by which windows count this event itself, and tells the host. Call it once
    /// per event, after its entries and before anything else is asked of state.
    ///
    /// # Cost
    /// Nothing where there are no such filters.
    pub fn decide_early(&mut self) {
        let plan = self.plan;
        for ((table, filter), at) in &plan.early {
            if self.truth_at(*at) == Truth::True {
                self.host.count_own(*table, *filter);
            }
        }
    }

    /// The bits of this event's entry whose filters ask state: as of this event, before it is remembered. What columns
    /// remember that ask state is added to `words`, with the place of the word in the entry.
    ///
    /// # Cost
    /// Nothing for a table without such filters.
    pub fn late_bits(&mut self, table: TableId, words: &mut Vec<(usize, u64)>) -> u64 {
        let plan = self.plan;
        let entry = plan.entries.iter().find(|(id, entry)| *id == table && entry.late != 0);
        let Some((_, entry)) = entry else { return 0 };
        let unusable = if entry.late_columns { self.late_words(entry, words) } else { 0 };
        let mut bits = 0;
        for (bit, filter) in entry.filters.iter().enumerate() {
            let open = (entry.late & !unusable) >> bit & 1 == 1;
            if open && self.truth_at(*filter) == Truth::True {
                bits |= 1 << bit;
            }
        }
        bits
    }

    /// The words of columns that ask state; returns the filter bits that must not be set.
    fn late_words(&mut self, entry: &EntryCode, words: &mut Vec<(usize, u64)>) -> u64 {
        let (mut place, mut unusable) = (0, 0);
        for column in &entry.columns {
            if column.late {
                match self.column_word(column.node, column.kind) {
                    Some(word) => words.push((place, word)),
                    None => unusable |= column.needed_by,
                }
            }
            place += if column.kind == ColumnKind::Geo { 2 } else { 1 };
        }
        unusable
    }

    /// A value as a column keeps it.
    pub(super) fn column_word(&mut self, at: At, kind: ColumnKind) -> Option<u64> {
        match kind {
            ColumnKind::Int => self.int_at(at).map(i64::cast_unsigned),
            ColumnKind::Micro => self.micro_at(at).map(i64::cast_unsigned),
            ColumnKind::Word => self.word_at(at),
            ColumnKind::Geo => None,
        }
    }

    /// Integers, durations and times as they are, money in minor units.
    fn int_at(&mut self, at: At) -> Option<i64> {
        // WHY: the field of a record holds minor units already, and nearly every remembered amount is one.
        let instruction = self.plan.instructions.get(at as usize);
        if let Some(Code::Value(ValueCode::Money(slot, currency))) =
            instruction.map(|instruction| &instruction.code)
        {
            return self.minor(*slot, *currency);
        }
        match self.value_at(at) {
            Value::Int(int) => Some(int),
            Value::Money(micro) => {
                i64::try_from(super::number::divide_rounded(micro, MICRO_PER_MINOR)?).ok()
            }
            _ => None,
        }
    }

    /// Numbers in millionths.
    fn micro_at(&mut self, at: At) -> Option<i64> {
        match self.value_at(at) {
            Value::Number(number) => i64::try_from(rounded(number * 1e6)?).ok(),
            Value::Int(int) => int.checked_mul(1_000_000),
            _ => None,
        }
    }

    fn geo_words(&mut self, at: At, words: &mut Vec<u64>) -> bool {
        let place = self.value_at(at);
        let (lat, lon) = match place {
            Value::Geo(lat, lon) => (lat, lon),
            _ => (0.0, 0.0),
        };
        words.extend([lat.to_bits(), lon.to_bits()]);
        place.is_present()
    }
}
