//! Percentiles and medians: which ranks they ask for, and a histogram that knows ranks where values are no longer kept.
//!
//! # Source
//! Nearest rank: Hyndman and Fan 1996, "Sample quantiles in statistical packages", definition 1 (SQL's
//! `PERCENTILE_DISC`). The histogram cuts values as `HdrHistogram` does, by their leading bits; like a `DDSketch` (Masson,
//! Rim, Lee 2019) it has a relative error, joins in any order to the same result, and lets go of what it took in.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::ordered::Ordered;
use crate::window::spec::Pick;

/// Cells per doubling, as a power of two.
const CELL_BITS: u32 = 6;

/// Stated error of a value out of a histogram: half a cell at its lower end, 1/128.
pub(crate) const RANKS_PPM: u32 = 7_813;

/// Cells lie between minus and plus this.
pub(crate) const CELLS: i64 = 1 << 12;

/// Bits of a count beside its cell.
const COUNT_BITS: u32 = 48;

impl Pick {
    /// What it picks of `held` values and the present one; `nth` knows the value at a rank from 1 among the held.
    pub(crate) fn of(
        self,
        held: u64,
        own: Option<i64>,
        mut nth: impl FnMut(u64) -> i64,
    ) -> Option<i128> {
        let n = held + u64::from(own.is_some());
        if n == 0 {
            return None;
        }
        let mut at = |rank: u64| {
            let Some(own) = own else { return i128::from(nth(rank)) };
            let below = if rank > 1 { nth(rank - 1) } else { i64::MIN };
            let above = if rank <= held { nth(rank) } else { i64::MAX };
            i128::from(below.max(own.min(above)))
        };
        Some(match self {
            Self::AtLeast(ppm) => {
                let rank = (u128::from(n) * u128::from(ppm)).div_ceil(1_000_000).max(1);
                at(u64::try_from(rank).unwrap_or(n).min(n))
            }
            Self::Middle => at(n.div_ceil(2)) + at(n / 2 + 1),
        })
    }
}

/// How many values lie in each cell. The state depends on the values alone, not on their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    /// Cell (shifted to be positive) above 48 bits of count, ascending by cell; no count is 0.
    cells: Vec<u64>,
}

impl Histogram {
    /// Takes a value in.
    pub(crate) fn insert(&mut self, value: i64) {
        self.change(cell_of(value), |count| count + 1);
    }

    /// Takes in all of another histogram.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (cell, more) in other.iter() {
            self.change(cell, |count| count + more);
        }
    }

    /// Takes out all of another histogram, which was taken in before.
    pub(crate) fn take_out(&mut self, other: &Self) {
        for (cell, less) in other.iter() {
            self.change(cell, |count| count.saturating_sub(less));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Heap bytes: a list grows by doubling.
    pub(crate) fn bytes(&self) -> usize {
        match self.cells.len() {
            0 => 0,
            len => len.next_power_of_two().max(4) * size_of::<u64>(),
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    /// The value at a rank from 1 among the values here and those of `exact`, to within [`RANKS_PPM`].
    pub(crate) fn nth_with(&self, exact: &Ordered, rank: u64) -> i64 {
        let before = |at: usize| self.cells[..at].iter().map(|word| count_of(*word)).sum::<u64>();
        let up_to = |at: usize| {
            let (_, high) = bounds_of(cell_at(self.cells[at]));
            let smaller = high.checked_add(1).map_or(exact.len(), |above| exact.below(above));
            before(at + 1) + smaller
        };
        let (mut from, mut to) = (0, self.cells.len());
        while from < to {
            let middle = from.midpoint(to);
            if up_to(middle) < rank {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        let held = before(from);
        let Some(word) = self.cells.get(from) else {
            return exact.nth(rank.saturating_sub(held));
        };
        let (low, high) = bounds_of(cell_at(*word));
        if rank <= held + exact.below(low) {
            return exact.nth(rank - held);
        }
        i64::midpoint(low, high)
    }

    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.cells.len());
        code.words(&self.cells);
    }

    pub(crate) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "histogram";
        let len = code.count(8, WHAT)?;
        let cells: Vec<u64> = code.words(len, WHAT)?.collect();
        let sound = cells.iter().all(|word| count_of(*word) > 0 && cell_at(*word) < CELLS);
        let ascending = cells.is_sorted_by(|left, right| cell_at(*left) < cell_at(*right));
        code.demand(sound && ascending, WHAT)?;
        Ok(Self { cells })
    }

    /// Cells that hold something and how much, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        self.cells.iter().map(|word| (cell_at(*word), count_of(*word)))
    }

    fn change(&mut self, cell: i64, to: impl FnOnce(u64) -> u64) {
        let most = (1 << COUNT_BITS) - 1;
        let word = |count: u64| (cell + CELLS).cast_unsigned() << COUNT_BITS | count.min(most);
        let at = self.cells.partition_point(|word| cell_at(*word) < cell);
        match self.cells.get_mut(at).filter(|held| cell_at(**held) == cell) {
            Some(held) => match to(count_of(*held)) {
                0 => {
                    self.cells.remove(at);
                }
                count => *held = word(count),
            },
            None => match to(0) {
                0 => {}
                count => self.cells.insert(at, word(count)),
            },
        }
    }
}

fn count_of(word: u64) -> u64 {
    word & ((1 << COUNT_BITS) - 1)
}

fn cell_at(word: u64) -> i64 {
    (word >> COUNT_BITS).cast_signed() - CELLS
}

/// The cell of a value: sizes below 128 have one of their own, from there on 64 cells to a doubling.
pub(crate) fn cell_of(value: i64) -> i64 {
    let size = value.unsigned_abs();
    let cell = match size.checked_ilog2() {
        Some(log) if log >= CELL_BITS => {
            let lead = size >> (log - CELL_BITS);
            (u64::from(log - CELL_BITS) << CELL_BITS) + lead
        }
        _ => size,
    };
    if value < 0 { -cell.cast_signed() } else { cell.cast_signed() }
}

/// The least and the greatest value of a cell.
fn bounds_of(cell: i64) -> (i64, i64) {
    let place = cell.unsigned_abs();
    let shift = (place >> CELL_BITS).saturating_sub(1);
    let lead = place - (shift << CELL_BITS);
    let low = i128::from(lead) << shift;
    let high = low + (1_i128 << shift) - 1;
    let narrow =
        |value: i128| i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX });
    if cell < 0 { (narrow(-high), narrow(-low)) } else { (narrow(low), narrow(high)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Straight from the definitions, over a sorted list.
    fn by_definition(pick: Pick, sorted: &[i64]) -> Option<i128> {
        let n = sorted.len();
        match pick {
            Pick::Middle if n == 0 => None,
            Pick::Middle if n % 2 == 1 => Some(2 * i128::from(sorted[n / 2])),
            Pick::Middle => Some(i128::from(sorted[n / 2 - 1]) + i128::from(sorted[n / 2])),
            Pick::AtLeast(ppm) => {
                let enough = |value: &&i64| {
                    let not_above = sorted.iter().filter(|held| held <= value).count() as u128;
                    not_above * 1_000_000 >= n as u128 * u128::from(ppm)
                };
                sorted.iter().find(enough).map(|value| i128::from(*value))
            }
        }
    }

    fn picks() -> impl Strategy<Value = Pick> {
        prop_oneof![
            Just(Pick::Middle),
            (1_u32..=1_000_000).prop_map(Pick::AtLeast),
            prop_oneof![Just(500_000), Just(950_000), Just(1_000_000)].prop_map(Pick::AtLeast),
        ]
    }

    fn values() -> impl Strategy<Value = i64> {
        prop_oneof![
            4 => -200..200_i64,
            4 => 0..5_000_000_i64,
            1 => any::<i64>(),
            1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)],
        ]
    }

    proptest! {
        #[test]
        fn the_picked_rank_is_that_of_the_definition_with_the_present_value_and_without(
            pick in picks(), values in prop::collection::vec(values(), 0..40), own in prop::option::of(values()),
        ) {
            let mut held = values.clone();
            held.sort_unstable();
            let mut all = values;
            all.extend(own);
            all.sort_unstable();
            let picked = pick.of(held.len() as u64, own, |rank| held[usize::try_from(rank).unwrap() - 1]);
            prop_assert_eq!(picked, by_definition(pick, &all));
        }

        #[test]
        fn a_cell_holds_its_values_and_is_no_wider_than_the_stated_error(value: i64) {
            let cell = cell_of(value);
            let (low, high) = bounds_of(cell);
            prop_assert!(low <= value && value <= high);
            prop_assert!(cell.abs() < CELLS);
            let off = i128::from(i64::midpoint(low, high)).abs_diff(i128::from(value));
            prop_assert!(off * 1_000_000 <= u128::from(RANKS_PPM) * u128::from(value.unsigned_abs()));
            prop_assert!(low == i64::MIN || cell_of(low - 1) < cell);
            prop_assert!(high == i64::MAX || cell_of(high + 1) > cell);
        }

        #[test]
        fn ranks_over_a_histogram_and_exact_values_stay_within_the_stated_error(
            old in prop::collection::vec(values(), 0..60), exact in prop::collection::vec(values(), 0..60),
        ) {
            let (mut histogram, mut ordered) = (Histogram::default(), Ordered::default());
            for value in &old {
                histogram.insert(*value);
            }
            for value in &exact {
                ordered.add(*value);
            }
            let mut all = [old, exact].concat();
            all.sort_unstable();
            prop_assert_eq!(histogram.len() + ordered.len(), all.len() as u64);
            for (rank, value) in (1..).zip(all) {
                let off = i128::from(histogram.nth_with(&ordered, rank)).abs_diff(i128::from(value));
                prop_assert!(off * 1_000_000 <= u128::from(RANKS_PPM) * u128::from(value.unsigned_abs()));
            }
        }

        #[test]
        fn a_histogram_depends_on_the_values_alone_and_lets_go_of_them(
            left in prop::collection::vec(values(), 0..60), right in prop::collection::vec(values(), 0..60),
        ) {
            let of = |values: &[i64]| {
                let mut histogram = Histogram::default();
                for value in values {
                    histogram.insert(*value);
                }
                histogram
            };
            let mut reversed = [left.clone(), right.clone()].concat();
            reversed.reverse();
            let mut joined = of(&left);
            joined.merge(&of(&right));
            prop_assert_eq!(&joined, &of(&reversed));
            let mut out = Vec::new();
            joined.save(&mut Encoder::new(&mut out));
            let again = Histogram::load(&mut Decoder::new(&out));
            prop_assert_eq!(again.as_ref(), Ok(&joined));
            joined.take_out(&of(&left));
            prop_assert_eq!(joined, of(&right));
        }
    }
}
