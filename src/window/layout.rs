//! How an entry lies in memory: a few words in a row.
//!
//! `[time and filters][columns...]` where a table has at most 16 filters (48 bits of time above 16 bits of filters),
//! `[time][filters][columns...]` otherwise. Entries of a key lie one after the other, oldest first, ordered by (time,
//! arrival).

use crate::window::spec::{ColumnId, ColumnKind, Entry, FilterBit, MeasureKind, TableSpec};

/// Filters that fit beside the time in one word.
const PACKED_FILTERS: u8 = 16;

/// Largest time that fits 48 bits: the year 6429. Times beyond either end are kept as the end.
const PACKED_TIME_MAX_MS: i64 = (1 << 47) - 1;

/// The places of an entry's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Words per entry.
    pub(crate) stride: usize,
    /// Words before the columns: 1 or 2.
    pub(crate) header: usize,
    filters_at: usize,
    time_shift: u32,
    offsets: Box<[usize]>,
}

impl Layout {
    /// The tightest layout for `spec`.
    pub(crate) fn of(spec: &TableSpec) -> Self {
        let packed = spec
            .measures
            .iter()
            .filter_map(|measure| measure.filter)
            .all(|bit| bit.0 < PACKED_FILTERS);
        let header = if packed { 1 } else { 2 };
        let mut offsets = Vec::with_capacity(spec.columns.len());
        let mut width = 0;
        for kind in &spec.columns {
            offsets.push(width);
            width += if *kind == ColumnKind::Geo { 2 } else { 1 };
        }
        Self {
            stride: header + width,
            header,
            filters_at: header - 1,
            time_shift: if packed { u32::from(PACKED_FILTERS) } else { 0 },
            offsets: offsets.into_boxed_slice(),
        }
    }

    /// Place of a column among the words of an [`Entry`].
    pub(crate) fn offset(&self, column: ColumnId) -> usize {
        self.offsets[usize::from(column.0)]
    }

    /// Places of a column's words among the words of an [`Entry`].
    pub(crate) fn place(&self, column: usize) -> core::ops::Range<usize> {
        let end = self.offsets.get(column + 1).copied().unwrap_or(self.stride - self.header);
        self.offsets[column]..end
    }

    /// Place of the column that a measure asks about; 0 where it asks about none.
    pub(crate) fn offset_of(&self, kind: MeasureKind) -> usize {
        column_of(kind).map_or(0, |column| self.offset(column))
    }

    /// Event time of a stored entry.
    #[inline]
    pub(crate) fn time(&self, stored: &[u64]) -> i64 {
        stored[0].cast_signed() >> self.time_shift
    }

    /// Whether a stored entry passes a filter mask; an empty mask passes everything.
    #[inline]
    pub(crate) fn passes(&self, stored: &[u64], mask: u64) -> bool {
        mask == 0 || stored[self.filters_at] & mask != 0
    }

    /// Filter bits of a stored entry, perhaps with bits of the time above those that the table uses.
    #[inline]
    pub(crate) fn filter_word(&self, stored: &[u64]) -> u64 {
        stored[self.filters_at]
    }

    /// The time as it is kept.
    #[inline]
    pub(crate) fn kept_time(&self, time_ms: i64) -> i64 {
        if self.time_shift == 0 {
            time_ms
        } else {
            time_ms.clamp(-PACKED_TIME_MAX_MS - 1, PACKED_TIME_MAX_MS)
        }
    }

    /// Writes an entry; missing words are 0, surplus words are left out.
    #[inline]
    pub(crate) fn write(&self, entry: &Entry<'_>, stored: &mut [u64]) {
        let time = self.kept_time(entry.time_ms);
        if self.time_shift == 0 {
            stored[0] = time.cast_unsigned();
            stored[1] = entry.filters;
        } else {
            let low = (1 << self.time_shift) - 1;
            stored[0] = (time << self.time_shift).cast_unsigned() | (entry.filters & low);
        }
        let columns = &mut stored[self.header..];
        for (at, word) in columns.iter_mut().enumerate() {
            *word = entry.words.get(at).copied().unwrap_or(0);
        }
    }

    /// Entry number `index` of a run.
    #[inline]
    pub(crate) fn entry<'a>(&self, run: &'a [u64], index: usize) -> &'a [u64] {
        let from = index * self.stride;
        &run[from..from + self.stride]
    }

    /// Event time of entry number `index` of a run.
    #[inline]
    pub(crate) fn time_at(&self, run: &[u64], index: usize) -> i64 {
        run[index * self.stride].cast_signed() >> self.time_shift
    }

    /// Whether a run is in the order of time.
    pub(crate) fn is_ordered(&self, run: &[u64]) -> bool {
        run.chunks_exact(self.stride).is_sorted_by_key(|stored| self.time(stored))
    }

    /// The entries `from..to` of a run.
    #[inline]
    pub(crate) fn entries<'a>(
        &self,
        run: &'a [u64],
        from: usize,
        to: usize,
    ) -> core::slice::ChunksExact<'a, u64> {
        run[from * self.stride..to * self.stride].chunks_exact(self.stride)
    }
}

/// The column that a measure asks about.
pub(crate) fn column_of(kind: MeasureKind) -> Option<ColumnId> {
    match kind {
        MeasureKind::Count | MeasureKind::LastTime | MeasureKind::Run => None,
        MeasureKind::Sum(column)
        | MeasureKind::SumSquares(column)
        | MeasureKind::Min(column)
        | MeasureKind::Max(column)
        | MeasureKind::Distinct(column)
        | MeasureKind::CountOf(column)
        | MeasureKind::Ranked(column, _)
        | MeasureKind::Last(column) => Some(column),
    }
}

/// The mask of a filter; empty for "everything counts".
pub(crate) fn mask_of(filter: Option<FilterBit>) -> u64 {
    filter.map_or(0, |bit| 1_u64 << (bit.0 & 63))
}
