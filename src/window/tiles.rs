//! What no longer fits a key's log, in slices of time (tiles).
//!
//! A tile holds folded values of the entries in it, and the times of its oldest and newest entry. A window takes every
//! tile that reaches into it whole: at its old end it may take entries that are up to one hop too old. At its near end
//! (only where that lies in tiles: late events and windows that end in the past) it leaves out the tile that it cuts.
//! Where no tile is cut the answer is exact, but for sketches of more than 256 distinct words and for ranks. A lifetime
//! has no old end; at its near end a count takes the tile that it cuts, because that may hold nearly all there is.
//!
//! INVARIANT: no entry of the tiles is younger than `spilled_until_ms`, no entry of the log is older.

use std::collections::VecDeque;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::convert::Convert;
use crate::window::layout::Layout;
use crate::window::ordered::Ordered;
use crate::window::ranks::{Histogram, RANKS_PPM};
use crate::window::scan::{Raw, Squares};
use crate::window::sketch::{SKETCH_PPM, Sketch, WordCounts};
use crate::window::spec::{Coverage, Pick};
use crate::window::units::{Answer, CellKind, CellPlan, TileRingPlan, Units};

/// More entries than any slice has ever seen: what a saved count may be, so that sums over it never overflow.
const MOST_ENTRIES: u64 = 1 << 48;

/// Most different words that one tile counts one by one; beyond it `CountOf` is a lower bound.
const TILE_WORDS_MAX: usize = 16_384;

/// The tiles of one key.
#[derive(Clone, Debug)]
pub(crate) struct Tiles {
    pub(crate) spilled_until_ms: i64,
    rings: Box<[TileRing]>,
    unions: Box<[Union]>,
    rank_unions: Box<[RankUnion]>,
    /// Heap bytes of all tiles.
    tile_bytes: usize,
}

#[derive(Clone, Debug)]
struct TileRing {
    /// Ascending by index.
    tiles: VecDeque<Tile>,
    /// The newest entry that was forgotten.
    forgotten_ms: i64,
}

#[derive(Clone, Debug)]
struct Tile {
    /// Event time divided by the hop.
    index: i64,
    oldest_ms: i64,
    newest_ms: i64,
    cells: Box<[Cell]>,
}

#[derive(Clone, Debug)]
enum Cell {
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

/// The union of the sketches of all tiles from `first` on and of all entries of the log; kept so that the usual
/// reading (as of the newest entry) does not join hundreds of sketches.
#[derive(Clone, Debug, Default)]
struct Union {
    first: Option<i64>,
    sketch: Sketch,
}

/// The union of the histograms of the tiles `from..to`, by their index: moves on by taking tiles in and out.
#[derive(Clone, Debug, Default)]
struct RankUnion {
    from: i64,
    to: i64,
    histogram: Histogram,
}

/// The tiles of a window, and how well they fit it.
struct Cut {
    from: usize,
    to: usize,
    /// A tile is cut by the old end, by the near end.
    at_start: bool,
    at_end: bool,
}

/// A window of a measure.
#[expect(clippy::struct_field_names, reason = "units stand last")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) length_ms: i64,
}

impl Tiles {
    pub(crate) fn new(units: &Units) -> Self {
        let ring = TileRing { tiles: VecDeque::new(), forgotten_ms: i64::MIN };
        Self {
            spilled_until_ms: i64::MIN,
            rings: vec![ring; units.rings.len()].into_boxed_slice(),
            unions: vec![Union::default(); units.unions.len()].into_boxed_slice(),
            rank_unions: vec![RankUnion::default(); units.rank_unions.len()].into_boxed_slice(),
            tile_bytes: 0,
        }
    }

    /// Heap bytes, itself included.
    pub(crate) fn bytes(&self) -> usize {
        let rings: usize =
            self.rings.iter().map(|ring| grown(ring.tiles.len()) * size_of::<Tile>()).sum();
        let unions: usize =
            self.unions.iter().map(|union| size_of::<Union>() + union.sketch.bytes()).sum();
        let ranks: usize = self
            .rank_unions
            .iter()
            .map(|union| size_of::<RankUnion>() + union.histogram.bytes())
            .sum();
        size_of::<Self>() + rings + unions + ranks + self.tile_bytes
    }

    /// Takes over an entry that leaves the log, or one that came too late for the log.
    pub(crate) fn add(&mut self, stored: &[u64], layout: &Layout, units: &Units) {
        let time_ms = layout.time(stored);
        self.spilled_until_ms = self.spilled_until_ms.max(time_ms);
        for (ring, plan) in self.rings.iter_mut().zip(&units.rings) {
            let (tile, made) = ring.tile(time_ms, plan);
            let before = if made { 0 } else { tile.bytes() };
            tile.add(time_ms, stored, layout, plan);
            self.tile_bytes = self.tile_bytes + tile.bytes() - before;
        }
        for (union, (ring, cell)) in self.rank_unions.iter_mut().zip(&units.rank_unions) {
            let plan = &units.rings[*ring];
            let cell = plan.cells[*cell];
            let index = time_ms.div_euclid(plan.hop_ms);
            if (union.from..union.to).contains(&index) && layout.passes(stored, cell.mask) {
                union.histogram.insert(stored[cell.at].cast_signed());
            }
        }
    }

    /// Lets the unions know of a new entry, in the log or in a tile.
    pub(crate) fn observe(&mut self, stored: &[u64], layout: &Layout, units: &Units) {
        let time_ms = layout.time(stored);
        for (union, (ring, cell)) in self.unions.iter_mut().zip(&units.unions) {
            let plan = &units.rings[*ring];
            let index = time_ms.div_euclid(plan.hop_ms);
            let cell = plan.cells[*cell];
            let in_log = time_ms >= self.spilled_until_ms;
            let inside = union.first.is_some_and(|first| in_log || index >= first);
            if inside && layout.passes(stored, cell.mask) {
                union.sketch.insert(stored[cell.at]);
            }
        }
    }

    /// Forgets tiles that no window sees; says whether anything is left.
    pub(crate) fn expire(&mut self, clock_horizon: impl Fn(i64) -> i64, units: &Units) -> bool {
        let mut left = false;
        for (at, (ring, plan)) in self.rings.iter_mut().zip(&units.rings).enumerate() {
            let horizon_ms = clock_horizon(plan.reach_ms);
            while let Some(tile) = ring.tiles.front().filter(|tile| tile.newest_ms <= horizon_ms) {
                ring.forgotten_ms = ring.forgotten_ms.max(tile.newest_ms);
                self.tile_bytes -= tile.bytes();
                for (union, (of, cell)) in self.rank_unions.iter_mut().zip(&units.rank_unions) {
                    if *of == at {
                        union.let_go(tile, *cell);
                    }
                }
                ring.tiles.pop_front();
            }
            left |= !ring.tiles.is_empty();
        }
        left
    }

    /// Joins the tiles of a window to the part that the log answered; not for distinct.
    pub(crate) fn join<'a>(
        &'a self,
        raw: Raw<'a>,
        (answer, probe): (&Answer, u64),
        bounds: Bounds,
        layout: &Layout,
        units: &Units,
    ) -> (Raw<'a>, Coverage) {
        let ring = &self.rings[answer.ring];
        let plan = &units.rings[answer.ring];
        let kind = plan.cells[answer.cell].kind;
        let whole =
            bounds.length_ms == i64::MAX && matches!(kind, CellKind::Count | CellKind::Words);
        let cut = ring.cut(bounds, whole);
        let cells = ring.tiles.range(cut.from..cut.to).map(|tile| &tile.cells[answer.cell]);
        let mut coverage = ring.coverage(&cut, bounds, plan);
        let joined = match (kind, raw) {
            (CellKind::Latest, Raw::Latest(found)) => {
                let (found, at_end) = match found {
                    Some(found) => (Some(found), false),
                    None => ring.latest(answer.cell, bounds, layout),
                };
                if !at_end && coverage != Coverage::Capped {
                    coverage = Coverage::Complete;
                }
                Raw::Latest(found)
            }
            (_, raw) => {
                let mut state = (raw, false);
                for cell in cells {
                    merge(&mut state, cell, kind, probe);
                }
                if state.1 {
                    coverage = Coverage::Capped;
                }
                state.0
            }
        };
        (joined, coverage)
    }

    /// Distinct words of a window without and with one more word; `log` is the part of the log inside it.
    pub(crate) fn distinct(
        &mut self,
        (answer, own_word): (&Answer, Option<u64>),
        bounds: Bounds,
        log: LogPart<'_>,
        layout: &Layout,
        units: &Units,
    ) -> (Raw<'static>, Coverage) {
        let ring = &self.rings[answer.ring];
        let plan = &units.rings[answer.ring];
        let cell = plan.cells[answer.cell];
        let cut = ring.cut(bounds, false);
        let coverage = ring.coverage(&cut, bounds, plan);
        let union = &mut self.unions[answer.union];
        let fresh;
        let sketch = if log.whole && cut.to == ring.tiles.len() {
            let first = ring.tiles.get(cut.from).map_or(i64::MAX, |tile| tile.index);
            if union.first != Some(first) {
                let sketch = ring.union_of(answer.cell, &cut, cell, log.run, layout);
                *union = Union { first: Some(first), sketch };
            }
            &union.sketch
        } else {
            fresh = ring.union_of(answer.cell, &cut, cell, log.run, layout);
            &fresh
        };
        let count = sketch.estimate();
        let with_own = own_word.map_or(count, |word| sketch.estimate_with(word));
        let coverage = match coverage {
            coverage if sketch.is_exact() => coverage,
            Coverage::Approximate(ppm) => Coverage::Approximate(ppm.saturating_add(SKETCH_PPM)),
            coverage => coverage.max(Coverage::Approximate(SKETCH_PPM)),
        };
        (Raw::Distinct { count, with_own }, coverage)
    }
}

impl Tiles {
    /// What a pick finds in a window; `exact` are the values of the log inside it.
    pub(crate) fn ranked(
        &mut self,
        (answer, pick, own): (&Answer, Pick, Option<i64>),
        bounds: Bounds,
        exact: &Ordered,
        units: &Units,
    ) -> (Raw<'static>, Coverage) {
        let ring = &self.rings[answer.ring];
        let cut = ring.cut(bounds, false);
        let coverage = ring.coverage(&cut, bounds, &units.rings[answer.ring]);
        let union = &mut self.rank_unions[answer.union];
        union.aim(ring, &cut, answer.cell);
        let histogram = &union.histogram;
        let held = histogram.len() + exact.len();
        let picked = pick.of(held, own, |rank| histogram.nth_with(exact, rank));
        let coverage = match coverage {
            coverage if histogram.is_empty() => coverage,
            Coverage::Approximate(ppm) => Coverage::Approximate(ppm.saturating_add(RANKS_PPM)),
            coverage => coverage.max(Coverage::Approximate(RANKS_PPM)),
        };
        (Raw::Picked(picked), coverage)
    }
}

impl RankUnion {
    /// Moves to the tiles of a window.
    fn aim(&mut self, ring: &TileRing, cut: &Cut, cell: usize) {
        let tile = |at: usize| ring.tiles.get(at).map(|tile| tile.index);
        let (from, to) =
            match (cut.from < cut.to, tile(cut.from), cut.to.checked_sub(1).and_then(tile)) {
                (true, Some(first), Some(last)) => (first, last + 1),
                _ => (0, 0),
            };
        if from >= self.to || to <= self.from {
            self.histogram = Histogram::default();
            self.change::<true>(ring, cell, (from, to));
        } else {
            self.change::<false>(ring, cell, (self.from, from));
            self.change::<false>(ring, cell, (to, self.to));
            self.change::<true>(ring, cell, (from, self.from));
            self.change::<true>(ring, cell, (self.to, to));
        }
        (self.from, self.to) = (from, to);
    }

    /// Takes tiles in or out.
    fn change<const ADD: bool>(&mut self, ring: &TileRing, cell: usize, (from, to): (i64, i64)) {
        if from >= to {
            return;
        }
        let first = ring.tiles.partition_point(|tile| tile.index < from);
        for tile in ring.tiles.range(first..).take_while(|tile| tile.index < to) {
            match &tile.cells[cell] {
                Cell::Ranks(held) if ADD => self.histogram.merge(held),
                Cell::Ranks(held) => self.histogram.take_out(held),
                _ => {}
            }
        }
    }

    /// A tile is forgotten, the oldest of its ring.
    fn let_go(&mut self, tile: &Tile, cell: usize) {
        if !(self.from..self.to).contains(&tile.index) {
            return;
        }
        if let Cell::Ranks(held) = &tile.cells[cell] {
            self.histogram.take_out(held);
        }
        self.from = tile.index + 1;
    }
}

/// Where the cells of another plan's tiles come from: per ring the old ring, and per cell the old cell.
#[derive(Debug)]
pub(crate) struct TileMap(Vec<(Option<usize>, Vec<Option<usize>>)>);

impl TileMap {
    pub(crate) fn new(from: &Units, to: &Units, convert: &Convert<'_>) -> Self {
        let rings = to.rings.iter().map(|ring| {
            let old = from.rings.iter().position(|held| held.hop_ms == ring.hop_ms);
            let cells = ring.cells.iter().map(|cell| {
                let held = &from.rings[old?];
                let mask = convert.old_mask(cell.mask)?;
                let at = convert.old_place(cell.at);
                let anywhere = matches!(cell.kind, CellKind::Count | CellKind::Latest);
                held.cells.iter().position(|held| {
                    held.kind == cell.kind && held.mask == mask && (anywhere || at == Some(held.at))
                })
            });
            (old, cells.collect())
        });
        Self(rings.collect())
    }

    /// Whether a cell of a ring has an old one.
    pub(crate) fn knows(&self, ring: usize, cell: usize) -> bool {
        self.0.get(ring).and_then(|(_, cells)| cells.get(cell)).copied().flatten().is_some()
    }
}

impl Tiles {
    /// The same slices for another plan; what the old plan did not fold is empty.
    pub(crate) fn converted(self, convert: &Convert<'_>, units: &Units, map: &TileMap) -> Self {
        let mut tiles = Self::new(units);
        tiles.spilled_until_ms = self.spilled_until_ms;
        let rings = tiles.rings.iter_mut().zip(&units.rings).zip(&map.0);
        for ((ring, plan), (old, cells)) in rings {
            let Some(old) = old.and_then(|old| self.rings.get(old)) else { continue };
            ring.forgotten_ms = old.forgotten_ms;
            ring.tiles =
                old.tiles.iter().map(|tile| tile.converted(convert, plan, cells)).collect();
            tiles.tile_bytes += ring.tiles.iter().map(Tile::bytes).sum::<usize>();
        }
        tiles
    }

    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        code.int(self.spilled_until_ms);
        for ring in &self.rings {
            code.int(ring.forgotten_ms);
            code.count(ring.tiles.len());
            for tile in &ring.tiles {
                code.int(tile.index);
                code.int(tile.oldest_ms);
                code.int(tile.newest_ms);
                tile.cells.iter().for_each(|cell| cell.save(code));
            }
        }
        for union in &self.unions {
            code.flag(union.first.is_some());
            code.int(union.first.unwrap_or(0));
            union.sketch.save(code);
        }
        for union in &self.rank_unions {
            code.int(union.from);
            code.int(union.to);
        }
    }

    pub(crate) fn load(
        layout: &Layout,
        units: &Units,
        code: &mut Decoder<'_>,
    ) -> Result<Self, Damaged> {
        const WHAT: &str = "slices of a busy key";
        let mut tiles = Self::new(units);
        tiles.spilled_until_ms = code.int(WHAT)?;
        for (ring, plan) in tiles.rings.iter_mut().zip(&units.rings) {
            ring.forgotten_ms = code.int(WHAT)?;
            let len = code.count(24 + plan.cells.len(), WHAT)?;
            for _ in 0..len {
                let tile = Tile::load(layout, plan, code)?;
                let after = ring
                    .tiles
                    .back()
                    .is_none_or(|back| back.index < tile.index && back.newest_ms <= tile.oldest_ms);
                code.demand(after && tile.oldest_ms <= tile.newest_ms, WHAT)?;
                tiles.tile_bytes += tile.bytes();
                ring.tiles.push_back(tile);
            }
        }
        for union in &mut tiles.unions {
            let (known, first) = (code.flag(WHAT)?, code.int(WHAT)?);
            *union = Union { first: known.then_some(first), sketch: Sketch::load(code)? };
        }
        for (union, (ring, cell)) in tiles.rank_unions.iter_mut().zip(&units.rank_unions) {
            let (from, to) = (code.int(WHAT)?, code.int(WHAT)?);
            code.demand(from <= to, WHAT)?;
            *union = RankUnion { from, to, histogram: Histogram::default() };
            union.change::<true>(&tiles.rings[*ring], *cell, (from, to));
        }
        Ok(tiles)
    }
}

/// The part of a log that lies in a window.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogPart<'a> {
    pub(crate) run: &'a [u64],
    /// It is the whole log.
    pub(crate) whole: bool,
}

impl TileRing {
    /// The tile of a time, made where it is not there.
    fn tile(&mut self, time_ms: i64, plan: &TileRingPlan) -> (&mut Tile, bool) {
        let index = time_ms.div_euclid(plan.hop_ms);
        let at = match self.tiles.back() {
            Some(back) if back.index == index => self.tiles.len() - 1,
            Some(back) if back.index < index => self.tiles.len(),
            _ => self.tiles.partition_point(|tile| tile.index < index),
        };
        let made = self.tiles.get(at).is_none_or(|tile| tile.index != index);
        if made {
            let cells = plan.cells.iter().map(|cell| Cell::new(cell.kind)).collect();
            let (oldest_ms, newest_ms) = (time_ms, time_ms);
            self.tiles.insert(at, Tile { index, oldest_ms, newest_ms, cells });
        }
        (&mut self.tiles[at], made)
    }

    /// The tiles of a window; `whole`: also the one that its near end cuts.
    fn cut(&self, bounds: Bounds, whole: bool) -> Cut {
        let from = self.tiles.partition_point(|tile| tile.newest_ms <= bounds.start_ms);
        let last_ms = |tile: &Tile| if whole { tile.oldest_ms } else { tile.newest_ms };
        let to = self.tiles.partition_point(|tile| last_ms(tile) <= bounds.end_ms).max(from);
        let cuts = |at: usize, time_ms: i64| {
            self.tiles.get(at).is_some_and(|tile| tile.oldest_ms <= time_ms)
        };
        Cut {
            from,
            to,
            at_start: from < to && cuts(from, bounds.start_ms),
            at_end: if whole {
                from < to && self.tiles.get(to - 1).is_some_and(|t| t.newest_ms > bounds.end_ms)
            } else {
                cuts(to, bounds.end_ms)
            },
        }
    }

    fn coverage(&self, cut: &Cut, bounds: Bounds, plan: &TileRingPlan) -> Coverage {
        if bounds.start_ms < self.forgotten_ms {
            return Coverage::Capped;
        }
        if !cut.at_start && !cut.at_end {
            return Coverage::Complete;
        }
        let share = i128::from(plan.hop_ms) * 1_000_000 / i128::from(bounds.length_ms) + 1;
        Coverage::Approximate(u32::try_from(share).unwrap_or(u32::MAX))
    }

    /// The latest entry of a window, and whether a cut tile may hide a later one.
    fn latest(&self, cell: usize, bounds: Bounds, layout: &Layout) -> (Option<&[u64]>, bool) {
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

    fn union_of(
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
}

impl Tile {
    fn converted(
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
        let (index, oldest_ms, newest_ms) = (code.int(WHAT)?, code.int(WHAT)?, code.int(WHAT)?);
        let cells: Result<Box<[Cell]>, Damaged> =
            plan.cells.iter().map(|plan| Cell::load(plan.kind, layout, code)).collect();
        Ok(Self { index, oldest_ms, newest_ms, cells: cells? })
    }

    fn bytes(&self) -> usize {
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

impl Cell {
    fn new(kind: CellKind) -> Self {
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

    fn bytes(&self) -> usize {
        match self {
            Self::Count(_) | Self::Sum(_) | Self::Squares(_) | Self::Extreme(_) => 0,
            Self::Sketch(sketch) => sketch.bytes(),
            Self::Words { counts, .. } => counts.bytes(),
            Self::Ranks(histogram) => histogram.bytes(),
            Self::Latest(stored) => stored.as_ref().map_or(0, |stored| stored.len() * 8),
        }
    }

    fn converted(&self, convert: &Convert<'_>) -> Self {
        match self {
            Self::Latest(Some(stored)) => Self::Latest(Some(convert.stored(stored))),
            cell => cell.clone(),
        }
    }

    fn save(&self, code: &mut Encoder<'_>) {
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

    fn load(kind: CellKind, layout: &Layout, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
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

    fn add(&mut self, stored: &[u64], plan: &CellPlan, layout: &Layout) {
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
                if counts.len() < TILE_WORDS_MAX || counts.count(word) > 0 {
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

/// What a queue that grows by pushing holds memory for.
fn grown(len: usize) -> usize {
    if len == 0 { 0 } else { len.next_power_of_two().max(4) }
}

/// Joins one cell to a folded window; the flag says that the cell could not count every word.
fn merge(state: &mut (Raw<'_>, bool), cell: &Cell, kind: CellKind, probe: u64) {
    match (&mut state.0, cell) {
        (Raw::Count(count), Cell::Count(more)) => *count += more,
        (Raw::Count(count), Cell::Words { counts, full }) => {
            *count += u64::from(counts.count(probe));
            state.1 |= full;
        }
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
