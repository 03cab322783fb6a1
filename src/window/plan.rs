//! The measures of one look-up, compiled: which places of time matter and which questions share one scan.
//!
//! *Edges* are the distinct distances into the past at which a window begins or ends. A *series* is a set of measures
//! that fold the same column under the same filter from the same near edge; its windows are nested, so every entry is
//! folded once and the running value is read off at each far edge (*step*).

use crate::window::layout::{Layout, mask_of};
use crate::window::spec::{
    ColumnKind, Counting, Measure, MeasureId, MeasureKind, ReadValue, TableSpec,
};

/// A fixed set of measures of one table, ready to be read.
///
/// Built once by [`crate::state::Table::plan`], read any number of times.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    pub(crate) asked: Box<[Asked]>,
    /// Distances into the past in ms, ascending.
    pub(crate) edges: Box<[i64]>,
    pub(crate) series: Box<[Series]>,
    /// Steps of all series, each series' by ascending far edge.
    pub(crate) steps: Box<[Step]>,
}

/// One measure of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: MeasureId,
    pub(crate) kind: MeasureKind,
    pub(crate) mask: u64,
    /// Place of its column among the words of an entry.
    pub(crate) offset: usize,
    /// How the column reads.
    pub(crate) column: ColumnKind,
    /// Whether the present event may count.
    pub(crate) with_own: bool,
    /// Old end of the window as a distance into the past.
    pub(crate) reach_ms: i64,
    /// Length of the window.
    pub(crate) length_ms: i64,
    /// Near end of the window as a distance into the past.
    pub(crate) ago_ms: i64,
    /// Event time from which on all entries are known that it counts: windows that reach further back are warming.
    pub(crate) since_ms: i64,
}

/// What a series folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    Count,
    Sums,
    SumsAndSquares,
    Extremes,
    Distinct,
    CountOf,
    Latest,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) question: Question,
    pub(crate) mask: u64,
    pub(crate) offset: usize,
    pub(crate) near_edge: usize,
    pub(crate) first_step: usize,
    pub(crate) end_step: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) far_edge: usize,
    pub(crate) asked: usize,
}

impl ReadPlan {
    /// How many readings it gives.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// The measure that gives the reading at a place.
    pub fn measure(&self, place: usize) -> Option<MeasureId> {
        self.asked.get(place).map(|asked| asked.id)
    }

    /// Whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Compiles `measures` of `spec`; `since_ms` says per measure of the spec from when on it is known.
    pub(crate) fn new(
        spec: &TableSpec,
        layout: &Layout,
        since_ms: &[i64],
        measures: &[MeasureId],
    ) -> Self {
        let asked = measures.iter().map(|id| {
            let asked = Asked::of(*id, &spec.measures[usize::from(id.0)], spec, layout);
            let since_ms = since_ms.get(usize::from(id.0)).copied().unwrap_or(i64::MIN);
            Asked { since_ms, ..asked }
        });
        let asked: Vec<Asked> = asked.collect();
        let mut edges: Vec<i64> =
            asked.iter().flat_map(|asked| [asked.ago_ms, asked.reach_ms]).collect();
        edges.sort_unstable();
        edges.dedup();
        let edge_of = |distance: i64| edges.partition_point(|edge| *edge < distance);
        let mut keyed: Vec<(SeriesKey, Step)> = asked
            .iter()
            .enumerate()
            .map(|(index, asked)| {
                let step = Step { far_edge: edge_of(asked.reach_ms), asked: index };
                (SeriesKey::of(asked, index, edge_of(asked.ago_ms)), step)
            })
            .collect();
        keyed.sort_by_key(|(key, step)| (*key, step.far_edge, step.asked));
        let mut series: Vec<Series> = Vec::new();
        for (place, group) in
            keyed.chunk_by(|left, right| left.0 == right.0).scan(0, |at, group| {
                let from = *at;
                *at += group.len();
                Some((from, group))
            })
        {
            series.push(Series::of(&group[0].0, group, &asked, place));
        }
        Self {
            steps: keyed.into_iter().map(|(_, step)| step).collect(),
            asked: asked.into_boxed_slice(),
            edges: edges.into_boxed_slice(),
            series: series.into_boxed_slice(),
        }
    }
}

impl Asked {
    fn of(id: MeasureId, measure: &Measure, spec: &TableSpec, layout: &Layout) -> Self {
        let column = crate::window::layout::column_of(measure.kind)
            .map_or(ColumnKind::Int, |column| spec.columns[usize::from(column.0)]);
        let window = measure.window;
        Self {
            id,
            kind: measure.kind,
            mask: mask_of(measure.filter),
            offset: layout.offset_of(measure.kind),
            column,
            with_own: measure.counting == Counting::Last && window.ending_ago_ms == 0,
            reach_ms: window.length_ms.saturating_add(window.ending_ago_ms),
            length_ms: window.length_ms,
            ago_ms: window.ending_ago_ms,
            since_ms: i64::MIN,
        }
    }

    /// The reading of the stored words of the latest entry.
    pub(crate) fn value_of(&self, words: &[u64]) -> ReadValue {
        let first = words[self.offset];
        match self.column {
            ColumnKind::Int | ColumnKind::Micro => ReadValue::Int(i128::from(first.cast_signed())),
            ColumnKind::Word => ReadValue::Word(first),
            ColumnKind::Geo => {
                ReadValue::Geo(f64::from_bits(first), f64::from_bits(words[self.offset + 1]))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesKey {
    question: Question,
    mask: u64,
    offset: usize,
    near_edge: usize,
    /// Every `CountOf` has a probe of its own and so a series of its own.
    own_series: usize,
}

impl SeriesKey {
    fn of(asked: &Asked, index: usize, near_edge: usize) -> Self {
        let question = match asked.kind {
            MeasureKind::Count => Question::Count,
            MeasureKind::Sum(_) | MeasureKind::SumSquares(_) => Question::Sums,
            MeasureKind::Min(_) | MeasureKind::Max(_) => Question::Extremes,
            MeasureKind::Distinct(_) => Question::Distinct,
            MeasureKind::CountOf(_) => Question::CountOf,
            MeasureKind::Last(_) | MeasureKind::LastTime => Question::Latest,
        };
        Self {
            question,
            mask: asked.mask,
            // WHY: finding the latest entry does not look at its columns.
            offset: if question == Question::Latest { 0 } else { asked.offset },
            near_edge,
            own_series: if question == Question::CountOf { index } else { 0 },
        }
    }
}

impl Series {
    fn of(key: &SeriesKey, group: &[(SeriesKey, Step)], asked: &[Asked], place: usize) -> Self {
        let squares = group
            .iter()
            .any(|(_, step)| matches!(asked[step.asked].kind, MeasureKind::SumSquares(_)));
        Self {
            question: if squares { Question::SumsAndSquares } else { key.question },
            mask: key.mask,
            offset: key.offset,
            near_edge: key.near_edge,
            first_step: place,
            end_step: place + group.len(),
        }
    }
}
