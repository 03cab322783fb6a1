//! Running values per window: what a log folds in and out as its cursors move.
//!
//! Every value is an integer or a count, so what was folded out leaves no trace.

use crate::base::codec::{Damaged, Decoder};
use crate::window::blocks::Join;
use crate::window::layout::Layout;
use crate::window::ordered::Ordered;
use crate::window::plan::Asked;
use crate::window::scan::{Raw, Squares};
use crate::window::sketch::WordCounts;
use crate::window::spec::MeasureKind;
use crate::window::units::{UnitKind, UnitPlan};

/// The folded value of one question over one window.
#[derive(Clone, Debug)]
pub(crate) enum Accumulator {
    Count(u64),
    Sum(i128),
    Squares(Squares),
    Extreme(Extreme),
    Words(WordCounts),
    Ranks(Ordered),
}

/// The least or greatest value of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extreme {
    Nothing,
    Known(i64),
    /// The known value left; the tree knows the next.
    Lost,
}

/// Moves one accumulator from one range of entries to another.
pub(crate) struct Mover<'a> {
    pub(crate) plan: &'a UnitPlan,
    pub(crate) layout: &'a Layout,
    pub(crate) words: &'a [u64],
}

impl Mover<'_> {
    pub(crate) fn shift(&self, held: &mut Accumulator, old: (usize, usize), new: (usize, usize)) {
        if new.0 >= old.1 || new.1 <= old.0 {
            held.clear();
            self.fold::<true>(held, new.0, new.1);
            return;
        }
        self.fold::<true>(held, new.0, old.0);
        self.fold::<true>(held, old.1, new.1);
        self.fold::<false>(held, old.0, new.0);
        self.fold::<false>(held, new.1, old.1);
    }

    pub(crate) fn fold<const ADD: bool>(&self, held: &mut Accumulator, from: usize, to: usize) {
        if from < to {
            let entries = self.layout.entries(self.words, from, to);
            held.fold_all::<ADD>(self.plan, entries, self.layout);
        }
    }
}

impl Accumulator {
    pub(crate) fn new(plan: &UnitPlan) -> Self {
        match plan.kind {
            UnitKind::Count => Self::Count(0),
            UnitKind::Sum => Self::Sum(0),
            UnitKind::Squares => Self::Squares(Squares::default()),
            UnitKind::Extreme(_) => Self::Extreme(Extreme::Nothing),
            UnitKind::Words => Self::Words(WordCounts::default()),
            UnitKind::Ranks => Self::Ranks(Ordered::default()),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Words(words) => words.bytes(),
            Self::Ranks(values) => values.bytes(),
            _ => 0,
        }
    }

    /// How much memory its words take, as it is saved; 0 for other kinds.
    pub(crate) fn size_code(&self) -> u8 {
        if let Self::Words(words) = self { words.size_code() } else { 0 }
    }

    /// Takes as much memory as a saved one had.
    pub(crate) fn take_size(&mut self, size: u8, code: &Decoder<'_>) -> Result<(), Damaged> {
        match self {
            Self::Words(words) => words.take_size(size, code),
            _ => code.demand(size == 0, "size of a folded window"),
        }
    }

    fn clear(&mut self) {
        match self {
            Self::Count(count) => *count = 0,
            Self::Sum(sum) => *sum = 0,
            Self::Squares(squares) => *squares = Squares::default(),
            Self::Extreme(extreme) => *extreme = Extreme::Nothing,
            Self::Words(words) => words.clear(),
            Self::Ranks(values) => values.clear(),
        }
    }

    fn fold_all<'a, const ADD: bool>(
        &mut self,
        plan: &UnitPlan,
        entries: impl Iterator<Item = &'a [u64]>,
        layout: &Layout,
    ) {
        for stored in entries {
            self.fold::<ADD>(plan, stored, layout);
        }
    }

    /// Folds an entry in or out.
    #[inline]
    pub(crate) fn fold<const ADD: bool>(
        &mut self,
        plan: &UnitPlan,
        stored: &[u64],
        layout: &Layout,
    ) {
        if !layout.passes(stored, plan.mask) {
            return;
        }
        match self {
            Self::Count(count) if ADD => *count += 1,
            Self::Count(count) => *count -= 1,
            Self::Sum(sum) if ADD => *sum += i128::from(stored[plan.at].cast_signed()),
            Self::Sum(sum) => *sum -= i128::from(stored[plan.at].cast_signed()),
            Self::Squares(squares) if ADD => squares.add(stored[plan.at].cast_signed()),
            Self::Squares(squares) => squares.remove(stored[plan.at].cast_signed()),
            Self::Words(words) if ADD => words.add(stored[plan.at]),
            Self::Words(words) => words.remove(stored[plan.at]),
            Self::Ranks(values) if ADD => values.add(stored[plan.at].cast_signed()),
            Self::Ranks(values) => values.remove(stored[plan.at].cast_signed()),
            Self::Extreme(extreme) => {
                let UnitKind::Extreme(join) = plan.kind else { return };
                extreme.fold::<ADD>(join, stored[plan.at].cast_signed());
            }
        }
    }

    pub(crate) fn raw(&self, asked: &Asked, probe: u64, own_word: Option<u64>) -> Raw<'static> {
        match self {
            Self::Count(count) => Raw::Count(*count),
            Self::Sum(sum) => Raw::Sum(*sum),
            Self::Squares(squares) => Raw::Squares(*squares),
            Self::Extreme(Extreme::Known(value)) => Raw::Extreme(Some(*value)),
            Self::Extreme(_) => Raw::Extreme(None),
            Self::Words(words) if matches!(asked.kind, MeasureKind::CountOf(_)) => {
                Raw::Count(u64::from(words.count(probe)))
            }
            Self::Ranks(values) => {
                let MeasureKind::Ranked(_, pick) = asked.kind else { return Raw::Picked(None) };
                let own = own_word.map(u64::cast_signed);
                Raw::Picked(pick.of(values.len(), own, |rank| values.nth(rank)))
            }
            Self::Words(words) => {
                let count = words.len() as u64;
                let new = own_word.is_some_and(|word| words.count(word) == 0);
                Raw::Distinct { count, with_own: count + u64::from(new) }
            }
        }
    }
}

impl Extreme {
    #[inline]
    fn fold<const ADD: bool>(&mut self, join: Join, value: i64) {
        *self = match *self {
            Self::Nothing if ADD => Self::Known(value),
            Self::Known(best) if ADD => Self::Known(join.join(best, value)),
            Self::Known(best) if best == value => Self::Lost,
            kept => kept,
        };
    }
}
