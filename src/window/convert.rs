//! Entries of one layout as entries of another: what a change of the rule set does to a key's history.

use crate::window::layout::Layout;
use crate::window::spec::Entry;

/// Where the parts of a new entry come from in an old one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// Per new column the old one; `None`: it is new, and 0 in old entries.
    pub columns: Vec<Option<u8>>,
    /// Per new filter bit the old one; `None`: it is new, and not set in old entries.
    pub filters: Vec<Option<u8>>,
}

impl Mapping {
    /// Whether old entries are new entries as they are, as far as a table of `n` columns and filters goes.
    pub(crate) fn is_identity(&self, n_columns: usize, n_filters: usize) -> bool {
        let same = |places: &[Option<u8>], n: usize| {
            places.len() == n && (0_u8..).zip(places).all(|(at, place)| *place == Some(at))
        };
        same(&self.columns, n_columns) && same(&self.filters, n_filters)
    }
}

/// A conversion of entries, ready to be used.
#[derive(Debug)]
pub(crate) struct Convert<'a> {
    pub(crate) from: &'a Layout,
    pub(crate) to: &'a Layout,
    /// Per word of a new entry's columns the place in the old entry's columns.
    words: Vec<Option<usize>>,
    /// Old and new filter bits, where both are.
    bits: Vec<(u8, u8)>,
}

impl<'a> Convert<'a> {
    pub(crate) fn new(from: &'a Layout, to: &'a Layout, mapping: &Mapping) -> Self {
        let mut words = vec![None; to.stride - to.header];
        for (column, source) in mapping.columns.iter().enumerate() {
            let Some(source) = source.map(usize::from) else { continue };
            let (old, new) = (from.place(source), to.place(column));
            for (word, place) in new.zip(old) {
                words[word] = Some(place);
            }
        }
        let bits = (0_u8..).zip(&mapping.filters);
        let bits = bits.filter_map(|(new, old)| old.map(|old| (old, new))).collect();
        Self { from, to, words, bits }
    }

    /// Converts a run of entries; `out` has room for as many.
    pub(crate) fn run(&self, run: &[u64], out: &mut [u64]) {
        let mut columns = vec![0; self.words.len()];
        let stored = run.chunks_exact(self.from.stride);
        for (old, new) in stored.zip(out.chunks_exact_mut(self.to.stride)) {
            self.entry(old, &mut columns, new);
        }
    }

    /// One stored entry.
    pub(crate) fn stored(&self, old: &[u64]) -> Box<[u64]> {
        let mut new = vec![0; self.to.stride];
        self.entry(old, &mut vec![0; self.words.len()], &mut new);
        new.into_boxed_slice()
    }

    fn entry(&self, old: &[u64], columns: &mut [u64], new: &mut [u64]) {
        for (column, place) in columns.iter_mut().zip(&self.words) {
            *column = place.map_or(0, |place| old[self.from.header + place]);
        }
        let held = self.from.filter_word(old);
        let filters =
            self.bits.iter().fold(0, |filters, (from, to)| filters | (held >> from & 1) << to);
        let entry = Entry { time_ms: self.from.time(old), filters, words: columns };
        self.to.write(&entry, new);
    }

    /// The mask of the old filter where that of a new one is known; the empty mask stays.
    pub(crate) fn old_mask(&self, mask: u64) -> Option<u64> {
        if mask == 0 {
            return Some(0);
        }
        self.bits.iter().find(|(_, new)| mask == 1 << new).map(|(old, _)| 1 << old)
    }

    /// The place in an old stored entry of a place in a new one; the header stays.
    pub(crate) fn old_place(&self, at: usize) -> Option<usize> {
        match at.checked_sub(self.to.header) {
            None => Some(at),
            Some(word) => self.words.get(word).copied().flatten().map(|old| self.from.header + old),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::spec::{
        ColumnKind, Counting, FilterBit, Measure, MeasureKind, Span, TableSpec,
    };

    fn layout(columns: Vec<ColumnKind>, filters: u8) -> Layout {
        let measure = |bit| Measure {
            kind: MeasureKind::Count,
            filter: Some(FilterBit(bit)),
            window: Span::sliding(1, 0),
            counting: Counting::Prior,
        };
        Layout::of(&TableSpec { columns, measures: (0..filters).map(measure).collect() })
    }

    #[test]
    fn columns_and_filters_move_to_their_new_places_and_new_ones_are_empty() {
        let from = layout(vec![ColumnKind::Int, ColumnKind::Geo, ColumnKind::Word], 3);
        let to = layout(vec![ColumnKind::Word, ColumnKind::Micro, ColumnKind::Geo], 20);
        let mapping = Mapping {
            columns: vec![Some(2), None, Some(1)],
            filters: (0..20).map(|bit| (bit == 18).then_some(1)).collect(),
        };
        let convert = Convert::new(&from, &to, &mapping);
        let mut old = vec![0; from.stride];
        from.write(&Entry { time_ms: -77, filters: 0b110, words: &[1, 2, 3, 4] }, &mut old);
        let mut new = vec![0; to.stride];
        convert.run(&old, &mut new);
        assert_eq!(to.time(&new), -77);
        assert_eq!(to.filter_word(&new), 1 << 18);
        assert_eq!(new[to.header..], [4, 0, 2, 3]);
        assert_eq!(convert.stored(&old)[..], new[..]);
        assert_eq!((convert.old_mask(1 << 18), convert.old_mask(2)), (Some(2), None));
        assert_eq!(convert.old_place(to.header), Some(from.header + 3));
        assert_eq!(convert.old_place(to.header + 1), None);
    }
}
