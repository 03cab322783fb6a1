//! One folded value of the entries in a slice.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::convert::Convert;
use crate::window::layout::Layout;
use crate::window::ranks::Histogram;
use crate::window::scan::{Raw, Squares};
use crate::window::sketch::{Sketch, WordCounts};
use crate::window::units::{CellKind, CellPlan};

/// More entries than any slice has ever seen: what a saved count may be, so that sums over it never overflow.
const MOST_ENTRIES: u64 = 1 << 48;

/// Most different words that one slice counts one by one; beyond it `CountOf` is a lower bound.
const WORDS_MAX: usize = 16_384;

/// What a slice holds for a kind of measure, a filter and a column.
#[derive(Clone, Debug)]
pub(super) enum Cell {
    Count(u64),
    Sum(i128),
    Squares(Squares),
    Extreme(Option<i64>),
    Sketch(Sketch),
    Words {
        counts: WordCounts,
        full: bool,
    },
    Ranks(Histogram),
    /// A whole stored entry.
    Latest(Option<Box<[u64]>>),
}

impl Cell {
    pub(super) fn new(kind: CellKind) -> Self {
        match kind {
            CellKind::Count => Self::Count(0),
            CellKind::Sum => Self::Sum(0),
            CellKind::Squares => Self::Squares(Squares::default()),
            CellKind::Extreme(_) => Self::Extreme(None),
            CellKind::Sketch => Self::Sketch(Sketch::default()),
            CellKind::Words => Self::Words { counts: WordCounts::default(), full: false },
            CellKind::Ranks => Self::Ranks(Histogram::default()),
            CellKind::Latest => Self::Latest(None),
        }
    }

    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Count(_) | Self::Sum(_) | Self::Squares(_) | Self::Extreme(_) => 0,
            Self::Sketch(sketch) => sketch.bytes(),
            Self::Words { counts, .. } => counts.bytes(),
            Self::Ranks(histogram) => histogram.bytes(),
            Self::Latest(stored) => stored.as_ref().map_or(0, |stored| stored.len() * 8),
        }
    }

    pub(super) fn converted(&self, convert: &Convert<'_>) -> Self {
        match self {
            Self::Latest(Some(stored)) => Self::Latest(Some(convert.stored(stored))),
            cell => cell.clone(),
        }
    }

    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        match self {
            Self::Count(count) => code.var(*count),
            Self::Sum(sum) => code.wide(sum.cast_unsigned()),
            Self::Squares(squares) => squares.save(code),
            Self::Extreme(best) => {
                code.flag(best.is_some());
                code.int(best.unwrap_or(0));
            }
            Self::Sketch(sketch) => sketch.save(code),
            Self::Words { counts, full } => {
                counts.save(code);
                code.flag(*full);
            }
            Self::Ranks(histogram) => histogram.save(code),
            Self::Latest(stored) => {
                code.flag(stored.is_some());
                code.words(stored.as_deref().unwrap_or_default());
            }
        }
    }

    pub(super) fn load(
        kind: CellKind,
        layout: &Layout,
        code: &mut Decoder<'_>,
    ) -> Result<Self, Damaged> {
        const WHAT: &str = "value of a slice";
        Ok(match kind {
            CellKind::Count => {
                let count = code.var(WHAT)?;
                code.demand(count <= MOST_ENTRIES, WHAT)?;
                Self::Count(count)
            }
            CellKind::Sum => {
                let sum = code.wide(WHAT)?.cast_signed();
                code.demand(sum.unsigned_abs() <= u128::from(MOST_ENTRIES) << 64, WHAT)?;
                Self::Sum(sum)
            }
            CellKind::Squares => Self::Squares(Squares::load(code)?),
            CellKind::Extreme(_) => {
                let (known, best) = (code.flag(WHAT)?, code.int(WHAT)?);
                Self::Extreme(known.then_some(best))
            }
            CellKind::Sketch => Self::Sketch(Sketch::load(code)?),
            CellKind::Words => {
                Self::Words { counts: WordCounts::load(code)?, full: code.flag(WHAT)? }
            }
            CellKind::Ranks => Self::Ranks(Histogram::load(code)?),
            CellKind::Latest => {
                let known = code.flag(WHAT)?;
                let words = code.words(if known { layout.stride } else { 0 }, WHAT)?;
                let stored: Box<[u64]> = words.collect();
                Self::Latest(known.then_some(stored))
            }
        })
    }

    /// Takes in the cell of the slice right after this one.
    pub(super) fn take_in(&mut self, newer: Self, kind: CellKind) {
        match (self, newer) {
            (Self::Count(count), Self::Count(more)) => *count += more,
            (Self::Sum(sum), Self::Sum(more)) => *sum += more,
            (Self::Squares(squares), Self::Squares(more)) => squares.merge(more),
            (Self::Extreme(best), Self::Extreme(Some(value))) => {
                if let CellKind::Extreme(join) = kind {
                    *best = Some(best.map_or(value, |best| join.join(best, value)));
                }
            }
            (Self::Sketch(sketch), Self::Sketch(more)) => sketch.merge(&more),
            (Self::Words { counts, full }, Self::Words { counts: more, full: more_full }) => {
                let whole = counts.take_in(&more, WORDS_MAX);
                *full |= more_full || !whole;
            }
            (Self::Ranks(histogram), Self::Ranks(more)) => histogram.merge(&more),
            (Self::Latest(latest), Self::Latest(Some(stored))) => *latest = Some(stored),
            _ => {}
        }
    }

    /// Whether it could not count every word.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Words { full: true, .. })
    }

    pub(super) fn add(&mut self, stored: &[u64], plan: &CellPlan, layout: &Layout) {
        let word = stored.get(plan.at).copied().unwrap_or(0);
        let value = word.cast_signed();
        match self {
            Self::Count(count) => *count += 1,
            Self::Sum(sum) => *sum += i128::from(value),
            Self::Squares(squares) => squares.add(value),
            Self::Extreme(best) => {
                let CellKind::Extreme(join) = plan.kind else { return };
                *best = Some(best.map_or(value, |best| join.join(best, value)));
            }
            Self::Sketch(sketch) => sketch.insert(word),
            Self::Words { counts, full } => {
                if counts.len() < WORDS_MAX || counts.count(word) > 0 {
                    counts.add(word);
                } else {
                    *full = true;
                }
            }
            Self::Ranks(histogram) => histogram.insert(value),
            Self::Latest(latest) => {
                let newer = |held: &[u64]| layout.time(stored) >= layout.time(held);
                if latest.as_deref().is_none_or(newer) {
                    *latest = Some(stored.into());
                }
            }
        }
    }
}

/// Joins one cell to a folded window.
pub(super) fn merge(raw: &mut Raw<'_>, cell: &Cell, kind: CellKind, probe: u64) {
    match (raw, cell) {
        (Raw::Count(count), Cell::Count(more)) => *count += more,
        (Raw::Count(count), Cell::Words { counts, .. }) => *count += u64::from(counts.count(probe)),
        (Raw::Sum(sum), Cell::Sum(more)) => *sum += more,
        (Raw::Squares(squares), Cell::Squares(more)) => squares.merge(*more),
        (Raw::Extreme(best), Cell::Extreme(Some(value))) => {
            if let CellKind::Extreme(join) = kind {
                *best = Some(best.map_or(*value, |best| join.join(best, *value)));
            }
        }
        _ => {}
    }
}
