//! The slices of one grid, oldest first.
//!
//! INVARIANT: a slice holds every entry that ever came between its oldest and its newest. So what a whole slice says is
//! the truth about a window that begins at its oldest entry. Where entries may be gone, none is taken in that would
//! stretch a slice over them ([`Now::lost_ms`]).

use std::collections::VecDeque;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::convert::Convert;
use crate::window::grid::Grid;
use crate::window::layout::Layout;
use crate::window::sketch::Sketch;
use crate::window::spec::Coverage;
use crate::window::tiles::cell::Cell;
use crate::window::tiles::{Bounds, Now};
use crate::window::units::{CellPlan, TileRingPlan};

/// Most slices of a lifetime.
const LIFETIME_TILES: usize = 8;

#[derive(Clone, Debug)]
pub(super) struct TileRing {
    /// Ascending by where they begin.
    pub(super) tiles: VecDeque<Tile>,
    /// The newest entry that was forgotten.
    pub(super) forgotten_ms: i64,
}

#[derive(Clone, Debug)]
pub(super) struct Tile {
    /// The first instant that belongs to it: it is known by that.
    pub(super) begin_ms: i64,
    oldest_ms: i64,
    pub(super) newest_ms: i64,
    pub(super) cells: Box<[Cell]>,
}

/// The slices of a window, and how well they fit it.
pub(super) struct Cut {
    pub(super) from: usize,
    pub(super) to: usize,
    /// By how much an end of the window and the slices differ, at most; 0: not at all.
    off_ms: i64,
    /// Entries of the window were forgotten: none that lies outside is among those that are left.
    capped: bool,
}

/// What became of an entry.
pub(super) struct Added {
    /// Where its slice begins; none: it is older than what may be gone, and no slice took it.
    pub(super) begin_ms: Option<i64>,
    pub(super) bytes_before: usize,
    pub(super) bytes_after: usize,
}

impl TileRing {
    pub(super) fn new() -> Self {
        Self { tiles: VecDeque::new(), forgotten_ms: i64::MIN }
    }

    /// Takes an entry in.
    pub(super) fn add(
        &mut self,
        stored: &[u64],
        now: Now,
        layout: &Layout,
        plan: &TileRingPlan,
    ) -> Added {
        let time_ms = layout.time(stored);
        let Some(at) = self.place(time_ms, now, plan) else {
            return Added { begin_ms: None, bytes_before: 0, bytes_after: 0 };
        };
        let (at, bytes_before) = match at {
            Place::In(at) => (at, self.tiles[at].bytes()),
            Place::New(at, begin_ms) => {
                self.tiles.insert(at, Tile::new(begin_ms, time_ms, plan));
                (at, 0)
            }
        };
        let tile = &mut self.tiles[at];
        tile.add(time_ms, stored, layout, plan);
        Added { begin_ms: Some(tile.begin_ms), bytes_before, bytes_after: tile.bytes() }
    }

    /// Where an entry belongs.
    fn place(&self, time_ms: i64, now: Now, plan: &TileRingPlan) -> Option<Place> {
        let after = match self.tiles.back() {
            Some(back) if back.begin_ms <= time_ms => self.tiles.len(),
            _ => self.tiles.partition_point(|tile| tile.begin_ms <= time_ms),
        };
        let begin_ms = plan.grid.begin_of(time_ms);
        let before = after.checked_sub(1).map(|at| (at, &self.tiles[at]));
        // WHY: a slice that was joined of several goes on to the end of the last one.
        let same = before.filter(|(at, tile)| {
            let settled = plan.grid == Grid::Lifetime && *at == 0 && time_ms <= now.settled_ms;
            tile.newest_ms >= begin_ms || settled
        });
        match same {
            Some((at, tile)) if tile.oldest_ms <= time_ms => Some(Place::In(at)),
            _ if time_ms <= self.forgotten_ms.max(now.lost_ms) => None,
            Some((at, _)) => Some(Place::In(at)),
            None => Some(Place::New(after, begin_ms)),
        }
    }

    /// Whether a time lies between the oldest and the newest entry of a slice.
    pub(super) fn spans(&self, time_ms: i64) -> bool {
        let after = self.tiles.partition_point(|tile| tile.oldest_ms <= time_ms);
        after.checked_sub(1).is_some_and(|at| self.tiles[at].newest_ms >= time_ms)
    }

    /// Two slices of a lifetime that should become one, by the place of the older one: both are older than any window of
    /// an event in time may end, or there are too many.
    ///
    /// Of too many those are joined that are short for their age: so there are short ones where late events end.
    pub(super) fn to_join(&self, now: Now, plan: &TileRingPlan) -> Option<usize> {
        if plan.grid != Grid::Lifetime {
            return None;
        }
        let back_ms = i128::from(self.tiles.back()?.newest_ms);
        if self.tiles.get(1)?.newest_ms <= now.settled_ms {
            return Some(0);
        }
        if self.tiles.len() <= LIFETIME_TILES {
            return None;
        }
        let pairs = self.tiles.iter().zip(self.tiles.iter().skip(1));
        let sizes = pairs.map(|(older, newer)| {
            let newest_ms = i128::from(newer.newest_ms);
            (newest_ms - i128::from(older.begin_ms), back_ms - newest_ms + 1_000)
        });
        let shorter = |(length, age): (i128, i128), (best_length, best_age): (i128, i128)| {
            length.saturating_mul(best_age) < best_length.saturating_mul(age)
        };
        let mut best: Option<(usize, (i128, i128))> = None;
        for (at, size) in sizes.enumerate() {
            if best.is_none_or(|(_, held)| shorter(size, held)) {
                best = Some((at, size));
            }
        }
        best.map(|(at, _)| at)
    }

    /// Joins the slices at a place and after it. Gives where both began, and the bytes before and after.
    pub(super) fn join(&mut self, at: usize, plan: &TileRingPlan) -> Option<Joined> {
        let newer = self.tiles.remove(at + 1)?;
        let older = self.tiles.get_mut(at)?;
        let bytes_before = older.bytes() + newer.bytes();
        let begins_ms = (older.begin_ms, newer.begin_ms);
        older.newest_ms = newer.newest_ms;
        let cells = older.cells.iter_mut().zip(newer.cells).zip(&plan.cells);
        cells.for_each(|((cell, newer), plan)| cell.take_in(newer, plan.kind));
        Some(Joined { begins_ms, bytes_before, bytes_after: older.bytes() })
    }

    /// The slices of a window. `whole`: also the one that its near end cuts.
    ///
    /// Where entries of the window were forgotten, a slice that is cut is left out: what is left is a lower bound.
    pub(super) fn cut(&self, bounds: Bounds, whole: bool) -> Cut {
        let capped = bounds.capped || bounds.start_ms < self.forgotten_ms;
        let whole = whole && !capped;
        let (start_ms, end_ms) = (bounds.start_ms, bounds.end_ms);
        let mut from = self.tiles.partition_point(|tile| tile.newest_ms <= start_ms);
        let cut_by = |at: usize, time_ms: i64| {
            self.tiles.get(at).map(|tile| tile.oldest_ms).filter(|oldest_ms| *oldest_ms <= time_ms)
        };
        let mut at_start = cut_by(from, start_ms);
        if capped && at_start.take().is_some() {
            from += 1;
        }
        let last_ms = |tile: &Tile| if whole { tile.oldest_ms } else { tile.newest_ms };
        let to = self.tiles.partition_point(|tile| last_ms(tile) <= end_ms).max(from);
        let mut off_ms = match at_start {
            Some(oldest_ms) if from < to => start_ms.saturating_sub(oldest_ms).saturating_add(1),
            _ => 0,
        };
        if whole {
            let newest_ms = to.checked_sub(1).map_or(end_ms, |at| self.tiles[at].newest_ms);
            off_ms = off_ms.max(newest_ms.saturating_sub(end_ms));
        } else if let Some(oldest_ms) = cut_by(to, end_ms) {
            off_ms = off_ms.max(end_ms.saturating_sub(oldest_ms).saturating_add(1));
        }
        Cut { from, to, off_ms, capped }
    }

    /// How far the slices of a window can be trusted.
    pub(super) fn coverage(&self, cut: &Cut, bounds: Bounds) -> Coverage {
        if cut.capped {
            return Coverage::Capped;
        }
        if cut.off_ms == 0 {
            return Coverage::Complete;
        }
        let length_ms = match (bounds.length_ms, self.tiles.front()) {
            // WHY: a lifetime is as long as what is known of it.
            (i64::MAX, Some(front)) => bounds.end_ms.saturating_sub(front.oldest_ms),
            (length_ms, _) => length_ms,
        };
        let share = i128::from(cut.off_ms) * 1_000_000 / i128::from(length_ms.max(1)) + 1;
        Coverage::Approximate(u64::try_from(share).unwrap_or(u64::MAX))
    }

    /// The latest entry of a window, and whether a cut slice may hide a later one.
    pub(super) fn latest(
        &self,
        cell: usize,
        bounds: Bounds,
        layout: &Layout,
    ) -> (Option<&[u64]>, bool) {
        let mut hidden = false;
        for tile in self.tiles.iter().rev() {
            if tile.newest_ms <= bounds.start_ms {
                break;
            }
            let Cell::Latest(Some(stored)) = &tile.cells[cell] else { continue };
            let time_ms = layout.time(stored);
            if time_ms > bounds.end_ms {
                hidden |= tile.oldest_ms <= bounds.end_ms;
            } else {
                return ((time_ms > bounds.start_ms).then_some(&**stored), hidden);
            }
        }
        (None, hidden)
    }

    /// The words of the slices of a window and of a part of the log.
    pub(super) fn union_of(
        &self,
        cell_index: usize,
        cut: &Cut,
        cell: CellPlan,
        log: &[u64],
        layout: &Layout,
    ) -> Sketch {
        let mut union = Sketch::default();
        for tile in self.tiles.range(cut.from..cut.to) {
            if let Cell::Sketch(sketch) = &tile.cells[cell_index] {
                union.merge(sketch);
            }
        }
        for stored in log.chunks_exact(layout.stride) {
            if layout.passes(stored, cell.mask) {
                union.insert(stored[cell.at]);
            }
        }
        union
    }

    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.int(self.forgotten_ms);
        code.count(self.tiles.len());
        for tile in &self.tiles {
            code.int(tile.begin_ms);
            code.int(tile.oldest_ms);
            code.int(tile.newest_ms);
            tile.cells.iter().for_each(|cell| cell.save(code));
        }
    }

    pub(super) fn load(
        layout: &Layout,
        plan: &TileRingPlan,
        code: &mut Decoder<'_>,
    ) -> Result<Self, Damaged> {
        const WHAT: &str = "slices of a busy key";
        let mut ring = Self::new();
        ring.forgotten_ms = code.int(WHAT)?;
        let len = code.count(24 + plan.cells.len(), WHAT)?;
        for _ in 0..len {
            let tile = Tile::load(layout, plan, code)?;
            let after = ring.tiles.back().is_none_or(|back| back.newest_ms < tile.begin_ms);
            let ordered = tile.begin_ms <= tile.oldest_ms && tile.oldest_ms <= tile.newest_ms;
            code.demand(after && ordered, WHAT)?;
            ring.tiles.push_back(tile);
        }
        Ok(ring)
    }
}

/// Two slices became one.
pub(super) struct Joined {
    /// Where the older and the newer began.
    pub(super) begins_ms: (i64, i64),
    pub(super) bytes_before: usize,
    pub(super) bytes_after: usize,
}

enum Place {
    /// In the slice at a place.
    In(usize),
    /// In a new one at a place, which begins then.
    New(usize, i64),
}

impl Tile {
    fn new(begin_ms: i64, time_ms: i64, plan: &TileRingPlan) -> Self {
        let cells = plan.cells.iter().map(|cell| Cell::new(cell.kind)).collect();
        Self { begin_ms, oldest_ms: time_ms, newest_ms: time_ms, cells }
    }

    pub(super) fn converted(
        &self,
        convert: &Convert<'_>,
        plan: &TileRingPlan,
        cells: &[Option<usize>],
    ) -> Self {
        let cell = |(plan, old): (&CellPlan, &Option<usize>)| match old {
            Some(old) => self.cells[*old].converted(convert),
            None => Cell::new(plan.kind),
        };
        Self { cells: plan.cells.iter().zip(cells).map(cell).collect(), ..*self }
    }

    fn load(layout: &Layout, plan: &TileRingPlan, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "slice of a busy key";
        let (begin_ms, oldest_ms, newest_ms) = (code.int(WHAT)?, code.int(WHAT)?, code.int(WHAT)?);
        let cells: Result<Box<[Cell]>, Damaged> =
            plan.cells.iter().map(|plan| Cell::load(plan.kind, layout, code)).collect();
        Ok(Self { begin_ms, oldest_ms, newest_ms, cells: cells? })
    }

    pub(super) fn bytes(&self) -> usize {
        self.cells.iter().map(|cell| size_of::<Cell>() + cell.bytes()).sum()
    }

    fn add(&mut self, time_ms: i64, stored: &[u64], layout: &Layout, plan: &TileRingPlan) {
        self.oldest_ms = self.oldest_ms.min(time_ms);
        self.newest_ms = self.newest_ms.max(time_ms);
        for (cell, plan) in self.cells.iter_mut().zip(&plan.cells) {
            if layout.passes(stored, plan.mask) {
                cell.add(stored, plan, layout);
            }
        }
    }
}
