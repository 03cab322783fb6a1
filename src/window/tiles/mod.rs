//! What no longer fits a key's log, in slices of time (tiles).
//!
//! A slice holds folded values of the entries in it, and the times of its oldest and newest entry. A window takes every
//! slice that reaches into it whole: at its old end it may take entries that are up to one slice too old. At its near end
//! (only where that lies in slices: late events and windows that end in the past) it leaves out the slice that it cuts.
//! The coverage says by how much the ends are off. Where no slice is cut the answer is exact, but for sketches of more
//! than 256 distinct words and for ranks; where slices begin says [`crate::window::grid`].
//!
//! Where entries of the window were forgotten, a cut slice is left out at either end: the answer is a lower bound.
//!
//! A lifetime has no old end. Its slices are short while late events may end in them, then they become one. At its near
//! end a count takes the slice that it cuts: one event too many is the lesser evil where the question is whether a
//! value is new.
//!
//! INVARIANT: no entry of the tiles is younger than `spilled_until_ms`, no entry of the log is older.

mod cell;
mod ring;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::convert::Convert;
use crate::window::layout::Layout;
use crate::window::ordered::Ordered;
use crate::window::ranks::{Histogram, RANKS_PPM};
use crate::window::scan::Raw;
use crate::window::sketch::{SKETCH_PPM, Sketch};
use crate::window::spec::{Coverage, Pick};
use crate::window::tiles::cell::{Cell, merge};
use crate::window::tiles::ring::{Added, Cut, Tile, TileRing};
use crate::window::units::{Answer, CellKind, Units};

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

/// The union of the sketches of all tiles that begin at `first` or later and of all entries of the log; kept so that the
/// usual reading (as of the newest entry) does not join hundreds of sketches.
#[derive(Clone, Debug, Default)]
struct Union {
    first: Option<i64>,
    sketch: Sketch,
}

/// The union of the histograms of the tiles that begin in `from..to`: moves on by taking tiles in and out.
#[derive(Clone, Debug, Default)]
struct RankUnion {
    from: i64,
    to: i64,
    histogram: Histogram,
}

/// A window of a measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) start_ms: i64,
    pub(crate) end_ms: i64,
    pub(crate) length_ms: i64,
    /// Entries of the window may be gone: what is left shall be a lower bound.
    pub(crate) capped: bool,
}

/// How time stands when an entry goes to the slices.
#[expect(clippy::struct_field_names, reason = "units stand last")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Now {
    pub(crate) clock_ms: i64,
    /// Entries at or before this time may be gone.
    pub(crate) lost_ms: i64,
    /// No event in time is as old as this.
    pub(crate) settled_ms: i64,
}

impl Tiles {
    pub(crate) fn new(units: &Units) -> Self {
        Self {
            spilled_until_ms: i64::MIN,
            rings: vec![TileRing::new(); units.rings.len()].into_boxed_slice(),
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

    /// Takes over an entry that leaves the log.
    pub(crate) fn spill(&mut self, stored: &[u64], now: Now, layout: &Layout, units: &Units) {
        self.spilled_until_ms = self.spilled_until_ms.max(layout.time(stored));
        self.add(stored, now, layout, units, |_, _| {});
    }

    /// Takes an entry that came too late for the log.
    pub(crate) fn add_late(&mut self, stored: &[u64], now: Now, layout: &Layout, units: &Units) {
        let time_ms = layout.time(stored);
        let observe = |unions: &mut [Union], at: usize| {
            for (union, (ring, cell)) in unions.iter_mut().zip(&units.unions) {
                let cell = units.rings[*ring].cells[*cell];
                let inside = *ring == at && union.first.is_some_and(|first| time_ms >= first);
                if inside && layout.passes(stored, cell.mask) {
                    union.sketch.insert(stored[cell.at]);
                }
            }
        };
        self.add(stored, now, layout, units, observe);
    }

    /// Takes an entry into every ring; `taken` is called with those that did.
    fn add(
        &mut self,
        stored: &[u64],
        now: Now,
        layout: &Layout,
        units: &Units,
        taken: impl Fn(&mut [Union], usize),
    ) {
        for (at, plan) in units.rings.iter().enumerate() {
            let ring = &mut self.rings[at];
            let Added { begin_ms, bytes_before, bytes_after } = ring.add(stored, now, layout, plan);
            let Some(begin_ms) = begin_ms else { continue };
            self.tile_bytes = self.tile_bytes + bytes_after - bytes_before;
            let unions = self.rank_unions.iter_mut().zip(&units.rank_unions);
            for (union, (_, cell)) in unions.filter(|(_, (of, _))| *of == at) {
                let cell = plan.cells[*cell];
                let inside = (union.from..union.to).contains(&begin_ms);
                if inside && layout.passes(stored, cell.mask) {
                    union.histogram.insert(stored[cell.at].cast_signed());
                }
            }
            taken(&mut self.unions, at);
            self.join_old(at, now, units);
        }
    }

    /// Joins slices of a lifetime that have become old.
    fn join_old(&mut self, at: usize, now: Now, units: &Units) {
        let plan = &units.rings[at];
        while let Some(older) = self.rings[at].to_join(now, plan) {
            let Some(joined) = self.rings[at].join(older, plan) else { return };
            self.tile_bytes = self.tile_bytes + joined.bytes_after - joined.bytes_before;
            let (older_ms, newer_ms) = joined.begins_ms;
            for (union, _) in self.unions.iter_mut().zip(&units.unions).filter(|(_, of)| of.0 == at)
            {
                // WHY: it held the newer slice without the older one.
                if union.first.is_some_and(|first| first > older_ms && first <= newer_ms) {
                    *union = Union::default();
                }
            }
            let unions = self.rank_unions.iter_mut().zip(&units.rank_unions);
            for (union, _) in unions.filter(|(_, of)| of.0 == at) {
                let held = union.from..union.to;
                if held.contains(&older_ms) != held.contains(&newer_ms) {
                    *union = RankUnion::default();
                }
            }
        }
    }

    /// Lets the unions know of a new entry in the log.
    pub(crate) fn observe(&mut self, stored: &[u64], layout: &Layout, units: &Units) {
        for (union, (ring, cell)) in self.unions.iter_mut().zip(&units.unions) {
            let cell = units.rings[*ring].cells[*cell];
            if union.first.is_some() && layout.passes(stored, cell.mask) {
                union.sketch.insert(stored[cell.at]);
            }
        }
    }

    /// The entries of the log are others than before: joined sketches must be joined anew.
    pub(crate) fn forget_unions(&mut self) {
        self.unions.fill(Union::default());
    }

    /// Forgets tiles that no window sees; says whether anything is left.
    pub(crate) fn expire(&mut self, clock_horizon: impl Fn(i64) -> i64, units: &Units) -> bool {
        let mut left = false;
        for (at, (ring, plan)) in self.rings.iter_mut().zip(&units.rings).enumerate() {
            let horizon_ms = clock_horizon(plan.reach_ms);
            while let Some(tile) = ring.tiles.front().filter(|tile| tile.newest_ms <= horizon_ms) {
                ring.forgotten_ms = ring.forgotten_ms.max(tile.newest_ms);
                self.tile_bytes -= tile.bytes();
                for (union, (of, _)) in self.unions.iter_mut().zip(&units.unions) {
                    // WHY: later entries of the same stretch of time make a new tile that begins there as well.
                    if *of == at && union.first.is_some_and(|first| first <= tile.begin_ms) {
                        *union = Union::default();
                    }
                }
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

    /// Whether a time lies between the oldest and the newest entry of a slice: the slice needs every entry there.
    pub(crate) fn spans(&self, time_ms: i64) -> bool {
        self.rings.iter().any(|ring| ring.spans(time_ms))
    }

    /// Joins the tiles of a window to the part that the log answered; not for distinct and ranks.
    pub(crate) fn join<'a>(
        &'a self,
        raw: Raw<'a>,
        (answer, probe): (&Answer, u64),
        bounds: Bounds,
        layout: &Layout,
        units: &Units,
    ) -> (Raw<'a>, Coverage) {
        let ring = &self.rings[answer.ring];
        let kind = units.rings[answer.ring].cells[answer.cell].kind;
        let mut bounds = bounds;
        let whole =
            bounds.length_ms == i64::MAX && matches!(kind, CellKind::Count | CellKind::Words);
        let mut cut = ring.cut(bounds, whole);
        if let Raw::Latest(found) = raw {
            let (found, hidden) = match found {
                Some(found) => (Some(found), false),
                None => ring.latest(answer.cell, bounds, layout),
            };
            let coverage = match ring.coverage(&cut, bounds) {
                Coverage::Approximate(_) if !hidden => Coverage::Complete,
                coverage => coverage,
            };
            return (Raw::Latest(found), coverage);
        }
        let cells =
            |cut: &Cut| ring.tiles.range(cut.from..cut.to).map(|tile| &tile.cells[answer.cell]);
        if kind == CellKind::Words && cells(&cut).any(Cell::is_full) {
            bounds.capped = true;
            cut = ring.cut(bounds, whole);
        }
        let mut raw = raw;
        cells(&cut).for_each(|cell| merge(&mut raw, cell, kind, probe));
        (raw, ring.coverage(&cut, bounds))
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
        let cell = units.rings[answer.ring].cells[answer.cell];
        let cut = ring.cut(bounds, false);
        let coverage = ring.coverage(&cut, bounds);
        let union = &mut self.unions[answer.union];
        let fresh;
        let first = ring.tiles.get(cut.from).map(|tile| tile.begin_ms);
        let sketch = if log.whole && cut.to == ring.tiles.len() && first.is_some() {
            if union.first != first {
                let sketch = ring.union_of(answer.cell, &cut, cell, log.run, layout);
                *union = Union { first, sketch };
            }
            &union.sketch
        } else {
            fresh = ring.union_of(answer.cell, &cut, cell, log.run, layout);
            &fresh
        };
        let count = sketch.estimate();
        let with_own = own_word.map_or(count, |word| sketch.estimate_with(word));
        let coverage = if sketch.is_exact() { coverage } else { also(coverage, SKETCH_PPM) };
        (Raw::Distinct { count, with_own }, coverage)
    }

    /// What a pick finds in a window; `exact` are the values of the log inside it.
    pub(crate) fn ranked(
        &mut self,
        (answer, pick, own): (&Answer, Pick, Option<i64>),
        bounds: Bounds,
        exact: &Ordered,
    ) -> (Raw<'static>, Coverage) {
        let ring = &self.rings[answer.ring];
        let cut = ring.cut(bounds, false);
        let coverage = ring.coverage(&cut, bounds);
        let union = &mut self.rank_unions[answer.union];
        union.aim(ring, &cut, answer.cell);
        let histogram = &union.histogram;
        let held = histogram.len() + exact.len();
        let picked = pick.of(held, own, |rank| histogram.nth_with(exact, rank));
        let coverage = if histogram.is_empty() { coverage } else { also(coverage, RANKS_PPM) };
        (Raw::Picked(picked), coverage)
    }
}

/// The coverage of a value that is itself off by a share.
fn also(coverage: Coverage, ppm: u32) -> Coverage {
    match coverage {
        Coverage::Approximate(held) => Coverage::Approximate(held.saturating_add(ppm.into())),
        coverage => coverage.max(Coverage::Approximate(ppm.into())),
    }
}

impl RankUnion {
    /// Moves to the tiles of a window.
    fn aim(&mut self, ring: &TileRing, cut: &Cut, cell: usize) {
        let tile = |at: usize| ring.tiles.get(at).map(|tile| tile.begin_ms);
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
        let first = ring.tiles.partition_point(|tile| tile.begin_ms < from);
        for tile in ring.tiles.range(first..).take_while(|tile| tile.begin_ms < to) {
            match &tile.cells[cell] {
                Cell::Ranks(held) if ADD => self.histogram.merge(held),
                Cell::Ranks(held) => self.histogram.take_out(held),
                _ => {}
            }
        }
    }

    /// A tile is forgotten, the oldest of its ring.
    fn let_go(&mut self, tile: &Tile, cell: usize) {
        if !(self.from..self.to).contains(&tile.begin_ms) {
            return;
        }
        if let Cell::Ranks(held) = &tile.cells[cell] {
            self.histogram.take_out(held);
        }
        self.from = tile.begin_ms + 1;
    }
}

/// Where the cells of another plan's tiles come from: per ring the old ring, and per cell the old cell.
#[derive(Debug)]
pub(crate) struct TileMap(Vec<(Option<usize>, Vec<Option<usize>>)>);

impl TileMap {
    pub(crate) fn new(from: &Units, to: &Units, convert: &Convert<'_>) -> Self {
        let rings = to.rings.iter().map(|ring| {
            let old = from.rings.iter().position(|held| held.grid == ring.grid);
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
        self.rings.iter().for_each(|ring| ring.save(code));
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
            *ring = TileRing::load(layout, plan, code)?;
            tiles.tile_bytes += ring.tiles.iter().map(Tile::bytes).sum::<usize>();
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

/// What a queue that grows by pushing holds memory for.
fn grown(len: usize) -> usize {
    if len == 0 { 0 } else { len.next_power_of_two().max(4) }
}
