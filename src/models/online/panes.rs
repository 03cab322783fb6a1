//! How one number is distributed over a window: counts by cell in panes of event time, and their running sum.
//!
//! Cells are those of [`Histogram`], so a value is known to one part in 128. A pane is a sparse histogram, joined and
//! taken out in any order; the sum over the panes lies dense, with a sum for each block of cells, so that how many lie at
//! or beyond a value costs two short runs of additions.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::models::online::spec::PANES;
use crate::window::ranks::{CELLS, Histogram, cell_of};

/// Cells of one block.
const BLOCK: usize = 64;

/// More values than any pane has ever seen.
const MOST_VALUES: u64 = 1 << 48;

/// The values of one feature in the newest panes.
///
/// Both halves are shared with a snapshot under way and copied only when they change while it is being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct PanedCounts {
    /// Ascending by pane; none is empty.
    panes: VecDeque<(i64, Arc<Histogram>)>,
    sum: Arc<Running>,
}

/// Whether a pane lies in the window that ends with another.
pub(crate) fn is_kept(pane: i64, newest: i64) -> bool {
    pane.saturating_add(PANES) >= newest
}

impl PanedCounts {
    /// Counts a value. The caller turns to the pane first where it is newer than any before.
    pub(crate) fn learn(&mut self, value: i64, pane: i64) {
        let at = self.panes.partition_point(|(held, _)| *held < pane);
        if self.panes.get(at).is_none_or(|(held, _)| *held != pane) {
            self.panes.insert(at, (pane, Arc::default()));
        }
        if let Some((_, histogram)) = self.panes.get_mut(at) {
            Arc::make_mut(histogram).insert(value);
            Arc::make_mut(&mut self.sum).add(place_of(cell_of(value)), 1);
        }
    }

    /// Forgets what lies before the window that ends with this pane.
    pub(crate) fn turn(&mut self, newest: i64) {
        let kept = self.panes.len();
        while self.panes.front().is_some_and(|(pane, _)| !is_kept(*pane, newest)) {
            self.panes.pop_front();
        }
        if self.panes.len() < kept {
            self.sum = Arc::new(Running::of(&self.panes));
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> u64 {
        self.sum.len
    }

    /// How many are at least as large as this one, those in its own cell included.
    pub(crate) fn at_least(&self, value: i64) -> u64 {
        self.sum.from(place_of(cell_of(value)))
    }

    /// How many are at most as large, those in its own cell included.
    pub(crate) fn at_most(&self, value: i64) -> u64 {
        self.sum.len - self.sum.from(place_of(cell_of(value)) + 1)
    }

    /// How many lie in the cell of the largest.
    pub(crate) fn at_largest(&self) -> u64 {
        self.sum.cells.iter().rev().copied().find(|count| *count > 0).unwrap_or(0)
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        let pane = |(_, held): &(i64, Arc<Histogram>)| held.bytes() + size_of::<(i64, Histogram)>();
        self.panes.iter().map(pane).sum::<usize>() + self.sum.bytes()
    }

    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.panes.len());
        for (pane, histogram) in &self.panes {
            code.int(*pane);
            histogram.save(code);
        }
    }

    pub(crate) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "panes of a model";
        let n = code.count(9, WHAT)?;
        let mut panes: VecDeque<(i64, Arc<Histogram>)> = VecDeque::new();
        for _ in 0..n {
            let pane = code.int(WHAT)?;
            let histogram = Histogram::load(code)?;
            let len = histogram.len();
            let follows = panes.back().is_none_or(|(before, _)| *before < pane);
            let fits = panes.front().is_none_or(|(first, _)| is_kept(*first, pane));
            code.demand(follows && fits && len > 0 && len <= MOST_VALUES, WHAT)?;
            panes.push_back((pane, Arc::new(histogram)));
        }
        let sum = Arc::new(Running::of(&panes));
        Ok(Self { panes, sum })
    }
}

/// Counts by cell, dense over the blocks in which there are any.
#[derive(Clone, Debug, Default)]
struct Running {
    /// The first block.
    first: usize,
    cells: Vec<u64>,
    /// By block.
    blocks: Vec<u64>,
    len: u64,
}

impl Running {
    fn of(panes: &VecDeque<(i64, Arc<Histogram>)>) -> Self {
        let mut sum = Self::default();
        for (cell, count) in panes.iter().flat_map(|(_, histogram)| histogram.iter()) {
            sum.add(place_of(cell), count);
        }
        sum
    }

    fn add(&mut self, place: usize, count: u64) {
        let block = place / BLOCK;
        if self.blocks.is_empty() {
            self.first = block;
        }
        if block < self.first {
            let more = self.first - block;
            self.blocks.splice(0..0, core::iter::repeat_n(0, more));
            self.cells.splice(0..0, core::iter::repeat_n(0, more * BLOCK));
            self.first = block;
        }
        let n_blocks = self.blocks.len().max(block - self.first + 1);
        self.blocks.resize(n_blocks, 0);
        self.cells.resize(n_blocks * BLOCK, 0);
        self.blocks[block - self.first] += count;
        self.cells[place - self.first * BLOCK] += count;
        self.len += count;
    }

    /// How many lie in this cell and those above it.
    fn from(&self, place: usize) -> u64 {
        let block = place / BLOCK;
        if block < self.first {
            return self.len;
        }
        let at = block - self.first;
        let own = place - self.first * BLOCK..(at + 1) * BLOCK;
        let own: u64 = self.cells.get(own).unwrap_or_default().iter().sum();
        own + self.blocks.get(at + 1..).unwrap_or_default().iter().sum::<u64>()
    }

    /// By what is held, not by what the lists have grown to: a restored one counts the same.
    fn bytes(&self) -> usize {
        size_of::<Self>() + (self.cells.len() + self.blocks.len()) * size_of::<u64>()
    }
}

/// Cells counted from 0.
fn place_of(cell: i64) -> usize {
    usize::try_from(cell + CELLS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stream of numbers without any pattern that matters here.
    fn values(n: u64) -> impl Iterator<Item = i64> {
        (0..n).map(|at| {
            let mixed = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
            (mixed % 2_000_000).cast_signed() - 500_000
        })
    }

    /// Values of different cells, so that counts by value are exact.
    const COARSE: [i64; 9] = [i64::MIN + 1, -70_000, -300, -5, 0, 1, 127, 1_000_000, i64::MAX];

    #[test]
    fn tails_are_those_of_a_plain_list() {
        let mut counts = PanedCounts::default();
        let mut plain = Vec::new();
        for (at, value) in (0..).zip(COARSE.iter().cycle().step_by(4).take(200)) {
            counts.learn(*value, at % 5);
            plain.push(*value);
        }
        for probe in COARSE {
            let above = plain.iter().filter(|value| **value >= probe).count() as u64;
            let below = plain.iter().filter(|value| **value <= probe).count() as u64;
            assert_eq!((counts.at_least(probe), counts.at_most(probe)), (above, below), "{probe}");
        }
        assert_eq!(counts.len(), 200);
    }

    #[test]
    fn what_is_held_does_not_depend_on_the_order() {
        let all: Vec<(i64, i64)> = (0..).zip(values(3_000)).map(|(at, v)| (at % 11, v)).collect();
        let of = |rows: &mut dyn Iterator<Item = &(i64, i64)>| {
            let mut counts = PanedCounts::default();
            rows.for_each(|(pane, value)| counts.learn(*value, *pane));
            let mut out = Vec::new();
            counts.save(&mut Encoder::new(&mut out));
            (out, counts.bytes())
        };
        assert_eq!(of(&mut all.iter()), of(&mut all.iter().rev()));
    }

    #[test]
    fn panes_go_when_the_window_has_passed_them_and_memory_with_them() {
        let mut counts = PanedCounts::default();
        for (pane, value) in (0..30).zip(values(30)) {
            counts.turn(pane);
            counts.learn(value, pane);
        }
        // The newest pane, and 14 before it.
        assert_eq!(counts.len(), 15);
        let mut fresh = PanedCounts::default();
        (0..30).zip(values(30)).skip(15).for_each(|(pane, value)| fresh.learn(value, pane));
        assert_eq!(counts.bytes(), fresh.bytes());
        counts.turn(100);
        assert_eq!((counts.len(), counts.at_least(i64::MIN), counts.at_most(i64::MAX)), (0, 0, 0));
    }

    #[test]
    fn saved_counts_read_back_and_damaged_ones_do_not() {
        let mut counts = PanedCounts::default();
        (0..).zip(values(2_000)).for_each(|(at, value)| counts.learn(value, at % 9));
        let mut out = Vec::new();
        counts.save(&mut Encoder::new(&mut out));
        let again = PanedCounts::load(&mut Decoder::new(&out)).unwrap();
        assert_eq!((again.len(), again.bytes()), (counts.len(), counts.bytes()));
        for probe in values(500) {
            assert_eq!(again.at_least(probe), counts.at_least(probe));
        }
        for cut in (0..out.len()).step_by(97) {
            assert!(PanedCounts::load(&mut Decoder::new(&out[..cut])).is_err(), "cut at {cut}");
        }
        // The second pane before the first.
        let second = 1 + 8;
        out[1..second].copy_from_slice(&5_i64.to_le_bytes());
        assert!(PanedCounts::load(&mut Decoder::new(&out)).is_err());
    }
}
