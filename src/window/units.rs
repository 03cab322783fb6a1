//! What a busy key keeps per window: the accumulators of its log and the cells of its tiles, planned once per table.

use crate::window::blocks::Join;
use crate::window::grid::Grid;
use crate::window::layout::{Layout, mask_of};
use crate::window::spec::{Measure, MeasureKind, TableSpec};

/// The plan of a table's logs and tiles.
#[derive(Clone, Debug)]
pub(crate) struct Units {
    pub(crate) spans: Box<[SpanPlan]>,
    /// Accumulators, those of one span together.
    pub(crate) accumulators: Box<[UnitPlan]>,
    pub(crate) trees: Box<[TreePlan]>,
    pub(crate) rings: Box<[TileRingPlan]>,
    /// Per measure of the spec.
    pub(crate) answers: Box<[Answer]>,
    /// Ring and cell of each union of sketches.
    pub(crate) unions: Box<[(usize, usize)]>,
    /// Ring and cell of each union of histograms.
    pub(crate) rank_unions: Box<[(usize, usize)]>,
    /// Whether the latest entry under a filter is ever asked for.
    pub(crate) filtered_latest: bool,
    /// Whether the latest entry that a filter leaves out is ever asked for, which ends a run.
    pub(crate) runs: bool,
}

/// One distinct window.
#[derive(Clone, Debug)]
pub(crate) struct SpanPlan {
    pub(crate) first_unit: usize,
    pub(crate) end_unit: usize,
}

/// One accumulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct UnitPlan {
    span: usize,
    pub(crate) kind: UnitKind,
    pub(crate) mask: u64,
    /// Place of the column in a stored entry.
    pub(crate) at: usize,
    /// The tree that finds an extreme again.
    pub(crate) tree: usize,
}

/// What an accumulator holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum UnitKind {
    Count,
    Sum,
    Squares,
    Extreme(Join),
    /// Words with their counts: distinct and `CountOf`.
    Words,
    /// Values in order.
    Ranks,
}

/// A tree over one column under one filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TreePlan {
    pub(crate) join: Join,
    pub(crate) mask: u64,
    pub(crate) at: usize,
}

/// All windows whose tiles begin at the same times.
#[derive(Clone, Debug)]
pub(crate) struct TileRingPlan {
    pub(crate) grid: Grid,
    /// How far back the longest of the windows reaches.
    pub(crate) reach_ms: i64,
    pub(crate) cells: Vec<CellPlan>,
}

/// One value of a tile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CellPlan {
    pub(crate) kind: CellKind,
    pub(crate) mask: u64,
    pub(crate) at: usize,
}

/// What a tile holds of its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
    Count,
    Sum,
    Squares,
    Extreme(Join),
    Sketch,
    Words,
    Ranks,
    Latest,
}

/// Where a measure is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    pub(crate) span: usize,
    pub(crate) source: Source,
    pub(crate) ring: usize,
    pub(crate) cell: usize,
    /// Index of its union of sketches (distinct) or of histograms (ranks).
    pub(crate) union: usize,
}

/// Where the exact part of an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The number of entries between the cursors.
    Length,
    Unit(usize),
    /// The last entry between the cursors that passes the filter.
    Latest,
    /// The newest entries themselves ([`crate::window::walk`]); no cursors.
    Walk,
}

impl TreePlan {
    /// What a stored entry brings to the tree.
    #[inline]
    pub(crate) fn leaf(&self, stored: &[u64], layout: &Layout) -> i64 {
        if layout.passes(stored, self.mask) {
            stored[self.at].cast_signed()
        } else {
            self.join.neutral()
        }
    }
}

impl Units {
    /// Plans all measures of a table.
    pub(crate) fn new(spec: &TableSpec, layout: &Layout) -> Self {
        let folded = spec.measures.iter().filter(|measure| !measure.walks());
        let mut windows: Vec<_> = folded.map(|measure| measure.window).collect();
        windows.sort_unstable();
        windows.dedup();
        let mut trees: Vec<TreePlan> = Vec::new();
        let mut wanted: Vec<Option<UnitPlan>> = Vec::new();
        for measure in &spec.measures {
            let span = windows.partition_point(|window| *window < measure.window);
            wanted.push(unit_of(measure, span, layout, &mut trees));
        }
        let mut units: Vec<UnitPlan> = wanted.iter().flatten().copied().collect();
        units.sort_unstable();
        units.dedup();
        let spans = (0..windows.len()).map(|span| SpanPlan {
            first_unit: units.partition_point(|unit| unit.span < span),
            end_unit: units.partition_point(|unit| unit.span <= span),
        });
        let mut rings: Vec<TileRingPlan> = Vec::new();
        let (mut unions, mut rank_unions) = (Vec::new(), Vec::new());
        let mut answers = Vec::with_capacity(spec.measures.len());
        for (measure, wanted) in spec.measures.iter().zip(&wanted) {
            let (ring, cell) = cell_of(measure, layout, &mut rings);
            let source = match (measure.kind, wanted) {
                (_, Some(unit)) => Source::Unit(units.partition_point(|held| held < unit)),
                (_, None) if measure.walks() => Source::Walk,
                (MeasureKind::Count, None) => Source::Length,
                (_, None) => Source::Latest,
            };
            let held = match measure.kind {
                MeasureKind::Ranked(..) => &mut rank_unions,
                _ => &mut unions,
            };
            let union = held.len();
            if source != Source::Walk
                && matches!(measure.kind, MeasureKind::Distinct(_) | MeasureKind::Ranked(..))
            {
                held.push((ring, cell));
            }
            let span = windows.partition_point(|window| *window < measure.window);
            answers.push(Answer { span, source, ring, cell, union });
        }
        let filtered_latest = answers
            .iter()
            .zip(&spec.measures)
            .any(|(answer, measure)| answer.source == Source::Latest && measure.filter.is_some());
        Self {
            filtered_latest,
            runs: spec.measures.iter().any(|measure| measure.kind == MeasureKind::Run),
            spans: spans.collect(),
            accumulators: units.into_boxed_slice(),
            trees: trees.into_boxed_slice(),
            rings: rings.into_boxed_slice(),
            answers: answers.into_boxed_slice(),
            unions: unions.into_boxed_slice(),
            rank_unions: rank_unions.into_boxed_slice(),
        }
    }
}

fn unit_of(
    measure: &Measure,
    span: usize,
    layout: &Layout,
    trees: &mut Vec<TreePlan>,
) -> Option<UnitPlan> {
    let mask = mask_of(measure.filter);
    let at = layout.header + layout.offset_of(measure.kind);
    let kind = match measure.kind {
        _ if measure.walks() => return None,
        MeasureKind::Count if mask == 0 => return None,
        MeasureKind::Last(_) | MeasureKind::LastTime | MeasureKind::Run => return None,
        MeasureKind::Count => UnitKind::Count,
        MeasureKind::Sum(_) => UnitKind::Sum,
        MeasureKind::SumSquares(_) => UnitKind::Squares,
        MeasureKind::Min(_) => UnitKind::Extreme(Join::Least),
        MeasureKind::Max(_) => UnitKind::Extreme(Join::Greatest),
        MeasureKind::Distinct(_) | MeasureKind::CountOf(_) => UnitKind::Words,
        MeasureKind::Ranked(..) => UnitKind::Ranks,
    };
    let tree = match kind {
        UnitKind::Extreme(join) => index_of(trees, TreePlan { join, mask, at }),
        _ => 0,
    };
    Some(UnitPlan { span, kind, mask, at, tree })
}

fn cell_of(measure: &Measure, layout: &Layout, rings: &mut Vec<TileRingPlan>) -> (usize, usize) {
    let grid = Grid::of(measure.window);
    let kind = match measure.kind {
        // WHY: slices cannot answer it, but must know whether they hold anything that it might have asked for.
        _ if measure.walks() => CellKind::Count,
        MeasureKind::Count | MeasureKind::Run => CellKind::Count,
        MeasureKind::Sum(_) => CellKind::Sum,
        MeasureKind::SumSquares(_) => CellKind::Squares,
        MeasureKind::Min(_) => CellKind::Extreme(Join::Least),
        MeasureKind::Max(_) => CellKind::Extreme(Join::Greatest),
        MeasureKind::Distinct(_) => CellKind::Sketch,
        MeasureKind::CountOf(_) => CellKind::Words,
        MeasureKind::Ranked(..) => CellKind::Ranks,
        MeasureKind::Last(_) | MeasureKind::LastTime => CellKind::Latest,
    };
    let at = match kind {
        CellKind::Latest | CellKind::Count => layout.header,
        _ => layout.header + layout.offset_of(measure.kind),
    };
    let ring = rings.iter().position(|ring| ring.grid == grid).unwrap_or_else(|| {
        rings.push(TileRingPlan { grid, reach_ms: 0, cells: Vec::new() });
        rings.len() - 1
    });
    let reach_ms = measure.window.reach_ms();
    rings[ring].reach_ms = rings[ring].reach_ms.max(reach_ms);
    let mask = if measure.walks() { 0 } else { mask_of(measure.filter) };
    let cell = CellPlan { kind, mask, at };
    (ring, index_of(&mut rings[ring].cells, cell))
}

fn index_of<T: PartialEq>(all: &mut Vec<T>, one: T) -> usize {
    all.iter().position(|held| *held == one).unwrap_or_else(|| {
        all.push(one);
        all.len() - 1
    })
}
