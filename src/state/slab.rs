//! Numbered cells that are saved in slices while they go on changing.
//!
//! A slab keeps values in cells with stable numbers; freed cells are taken again, the last freed first. The list of
//! free cells runs through the cells themselves.
//!
//! While a save is under way, a cell that was not saved yet is written to a side buffer before it changes. So what is
//! saved is exactly the slab as it was when the save began, whatever happens between the parts, and no call costs
//! more than about one part. When no save is under way, a change costs one branch that is never taken.

use std::collections::BTreeMap;

use crate::base::codec::{Damaged, Decoder, Encoder};

/// A value that can be written into saved state.
pub trait Save {
    /// Writes it.
    fn save(&self, code: &mut Encoder<'_>);
}

/// No cell.
const NONE: u32 = u32::MAX;

/// Kinds of cells in saved state.
const VACANT: u8 = 0;
const ELSEWHERE: u8 = 1;
const HELD: u8 = 2;

/// Values in numbered cells.
#[derive(Clone, Debug)]
pub struct Slab<T> {
    cells: Vec<Cell<T>>,
    free: u32,
    held: usize,
    saving: Option<Box<Saving>>,
}

#[derive(Clone, Debug)]
enum Cell<T> {
    Vacant { next: u32 },
    Held(T),
}

/// A save that is under way.
#[derive(Clone, Debug)]
struct Saving {
    /// The next cell that goes out in order, and the first that was not there at the beginning.
    next: usize,
    end: usize,
    /// A bit per cell that went out ahead of its turn.
    done: Vec<u64>,
    /// What went out ahead, in pieces of whole cells.
    side: Vec<Vec<u8>>,
}

/// A piece of what went out ahead takes no further cell once it is this long.
const PIECE_BYTES: usize = 1 << 20;

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { cells: Vec::new(), free: NONE, held: 0, saving: None }
    }
}

impl<T> Slab<T> {
    /// How many cells there are, free ones included: one more than the largest number.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// Whether there are no cells.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// How many values are held.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The value in a cell.
    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        match self.cells.get(at as usize) {
            Some(Cell::Held(value)) => Some(value),
            Some(Cell::Vacant { .. }) | None => None,
        }
    }

    /// Bytes of the cells: memory grows by doubling, from four cells.
    pub fn bytes(&self) -> usize {
        grown(self.cells.len()) * size_of::<Cell<T>>()
    }

    /// Of them, bytes of the cells that hold something.
    pub fn held_bytes(&self) -> usize {
        self.held * size_of::<Cell<T>>()
    }

    /// The same cells with other values.
    pub fn map<U>(self, mut make: impl FnMut(T) -> U) -> Slab<U> {
        let cells = self.cells.into_iter().map(|cell| match cell {
            Cell::Vacant { next } => Cell::Vacant { next },
            Cell::Held(value) => Cell::Held(make(value)),
        });
        Slab { cells: cells.collect(), free: self.free, held: self.held, saving: None }
    }

    /// Whether a save is under way.
    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Gives a save up.
    pub fn abandon_save(&mut self) {
        self.saving = None;
    }

    /// Begins a save of what is held now.
    ///
    /// # Cost
    /// One bit per cell.
    pub fn begin_save(&mut self) {
        let end = self.cells.len();
        let done = vec![0; end.div_ceil(64)];
        self.saving = Some(Box::new(Saving { next: 0, end, done, side: Vec::new() }));
    }

    /// What a reader must know beside the cells: how many there were, and the first free one.
    pub fn save_head(&self, code: &mut Encoder<'_>) {
        code.count(self.cells.len());
        code.var(u64::from(self.free.wrapping_add(1)));
    }

    /// Takes what went out ahead of its turn since the last part, in pieces of whole cells: about a megabyte each, or one
    /// cell that is longer.
    pub fn take_side(&mut self) -> Vec<Vec<u8>> {
        self.saving.as_mut().map(|saving| core::mem::take(&mut saving.side)).unwrap_or_default()
    }
}

impl<T: Save> Slab<T> {
    /// The value in a cell, for change.
    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        if self.saving.is_some() {
            self.save_ahead(at);
        }
        match self.cells.get_mut(at as usize) {
            Some(Cell::Held(value)) => Some(value),
            Some(Cell::Vacant { .. }) | None => None,
        }
    }

    /// Puts a value into a free cell and gives its number.
    ///
    /// # Panics
    /// When 2^32 - 1 cells are held.
    #[inline]
    pub fn insert(&mut self, value: T) -> u32 {
        self.held += 1;
        let at = self.free;
        if let Some(Cell::Vacant { next }) = self.cells.get(at as usize) {
            let next = *next;
            if self.saving.is_some() {
                self.save_ahead(at);
            }
            self.free = next;
            self.cells[at as usize] = Cell::Held(value);
            return at;
        }
        let at = u32::try_from(self.cells.len()).unwrap_or(NONE);
        assert!(at < NONE, "a slab holds fewer than 2^32 values");
        self.cells.push(Cell::Held(value));
        at
    }

    /// Takes the value out of a cell and frees it.
    pub fn remove(&mut self, at: u32) -> Option<T> {
        if self.saving.is_some() {
            self.save_ahead(at);
        }
        let cell = self.cells.get_mut(at as usize)?;
        if matches!(cell, Cell::Vacant { .. }) {
            return None;
        }
        let Cell::Held(value) = core::mem::replace(cell, Cell::Vacant { next: self.free }) else {
            return None;
        };
        self.free = at;
        self.held -= 1;
        Some(value)
    }

    #[cold]
    fn save_ahead(&mut self, at: u32) {
        let Some(saving) = &mut self.saving else { return };
        let Some(cell) = self.cells.get(at as usize) else { return };
        let index = at as usize;
        if index < saving.next || index >= saving.end || saving.is_done(index) {
            return;
        }
        saving.done[index / 64] |= 1 << (index % 64);
        let mut piece = saving.side.pop().unwrap_or_default();
        if piece.len() >= PIECE_BYTES {
            saving.side.push(core::mem::take(&mut piece));
        }
        let mut code = Encoder::new(&mut piece);
        code.var(u64::from(at));
        save_cell(cell, &mut code);
        saving.side.push(piece);
    }

    /// Writes the next cells until about `budget` bytes are written, at least one; says whether all are written.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        let Some(saving) = &mut self.saving else { return true };
        let begin = code.len();
        code.count(saving.next);
        while saving.next < saving.end {
            let index = saving.next;
            saving.next += 1;
            if saving.is_done(index) {
                code.byte(ELSEWHERE);
            } else {
                save_cell(&self.cells[index], code);
            }
            if code.len() - begin >= budget {
                break;
            }
        }
        saving.next == saving.end
    }
}

impl Saving {
    fn is_done(&self, index: usize) -> bool {
        self.done[index / 64] & 1 << (index % 64) != 0
    }
}

fn save_cell<T: Save>(cell: &Cell<T>, code: &mut Encoder<'_>) {
    match cell {
        Cell::Vacant { next } => {
            code.byte(VACANT);
            code.var(u64::from(next.wrapping_add(1)));
        }
        Cell::Held(value) => {
            code.byte(HELD);
            value.save(code);
        }
    }
}

/// What a vector that grows by pushing holds memory for.
pub(crate) fn grown(len: usize) -> usize {
    if len == 0 { 0 } else { len.next_power_of_two().max(4) }
}

/// Bytes of a hash table of `len` entries of `size` bytes that has only grown: seven of eight places are taken at most.
pub(crate) fn hashed(len: usize, size: usize) -> usize {
    let places = match len {
        0 => return 0,
        1..=3 => 4,
        4..=7 => 8,
        8..=14 => 16,
        _ => (len * 8).div_ceil(7).next_power_of_two(),
    };
    places * (size + 1) + 16
}

/// Reads saved cells.
#[derive(Debug)]
pub struct SlabLoader<T> {
    cells: Vec<Cell<T>>,
    /// Cells that came ahead of their turn.
    ahead: BTreeMap<u32, Cell<T>>,
    held: usize,
    len: usize,
    free: u32,
}

impl<T> SlabLoader<T> {
    /// Reads what [`Slab::save_head`] wrote.
    ///
    /// # Errors
    /// Where it is cut off or contradicts itself.
    pub fn new(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        let len = code.narrow("number of cells")? as usize;
        let free = code.var("first free cell")?;
        let free = u32::try_from(free.wrapping_sub(1) & u64::from(NONE)).unwrap_or(NONE);
        code.demand(free == NONE || (free as usize) < len, "first free cell")?;
        Ok(Self { cells: Vec::new(), ahead: BTreeMap::new(), held: 0, len, free })
    }

    /// Reads cells that came in order; `load` reads a value.
    ///
    /// # Errors
    /// Where they are not the next ones, or damaged.
    pub fn run(
        &mut self,
        code: &mut Decoder<'_>,
        load: impl Fn(&mut Decoder<'_>) -> Result<T, Damaged>,
    ) -> Result<(), Damaged> {
        let first = code.index("number of the first cell")?;
        code.demand(first == self.cells.len(), "cells follow one another")?;
        while code.rest() > 0 {
            code.demand(self.cells.len() < self.len, "no more cells than there were")?;
            let at = u32::try_from(self.cells.len()).unwrap_or(NONE);
            let cell = match load_cell(code, &load)? {
                Some(cell) => cell,
                None => self.ahead.remove(&at).ok_or_else(|| code.damaged("a cell is missing"))?,
            };
            self.held += usize::from(matches!(cell, Cell::Held(_)));
            self.cells.push(cell);
        }
        Ok(())
    }

    /// Reads cells that went out ahead of their turn.
    ///
    /// # Errors
    /// Where they are damaged or came already.
    pub fn side(
        &mut self,
        code: &mut Decoder<'_>,
        load: impl Fn(&mut Decoder<'_>) -> Result<T, Damaged>,
    ) -> Result<(), Damaged> {
        while code.rest() > 0 {
            let at = code.narrow("number of a cell")?;
            let index = at as usize;
            code.demand(index < self.len && index >= self.cells.len(), "number of a cell")?;
            let cell = load_cell(code, &load)?;
            let cell = cell.ok_or_else(|| code.damaged("kind of a cell"))?;
            code.demand(self.ahead.insert(at, cell).is_none(), "a cell came twice")?;
        }
        Ok(())
    }

    /// The slab, once everything was read.
    ///
    /// # Errors
    /// Where cells are missing, or the free ones do not hang together.
    pub fn finish(self) -> Result<Slab<T>, Damaged> {
        let damaged = |what| Damaged { what, at: 0 };
        if self.cells.len() != self.len || !self.ahead.is_empty() {
            return Err(damaged("cells are missing"));
        }
        let mut vacant = self.cells.len() - self.held;
        let mut at = self.free;
        while at != NONE {
            let Some(Cell::Vacant { next }) = self.cells.get(at as usize) else {
                return Err(damaged("a free cell is taken"));
            };
            vacant = vacant.checked_sub(1).ok_or_else(|| damaged("free cells go in a circle"))?;
            at = *next;
        }
        if vacant != 0 {
            return Err(damaged("free cells are lost"));
        }
        Ok(Slab { cells: self.cells, free: self.free, held: self.held, saving: None })
    }
}

fn load_cell<T>(
    code: &mut Decoder<'_>,
    load: &impl Fn(&mut Decoder<'_>) -> Result<T, Damaged>,
) -> Result<Option<Cell<T>>, Damaged> {
    match code.byte("kind of a cell")? {
        VACANT => {
            let next = code.narrow("next free cell")?;
            Ok(Some(Cell::Vacant { next: next.wrapping_sub(1) }))
        }
        ELSEWHERE => Ok(None),
        HELD => load(code).map(|value| Some(Cell::Held(value))),
        _ => Err(code.damaged("kind of a cell")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Save for u64 {
        fn save(&self, code: &mut Encoder<'_>) {
            code.word(*self);
        }
    }

    fn contents(slab: &Slab<u64>) -> Vec<Option<u64>> {
        let cells = 0..u32::try_from(slab.len()).unwrap();
        cells.map(|at| slab.get(at).copied()).collect()
    }

    /// Saves in parts of `budget` bytes and changes the slab by `change` after each.
    fn round_trip(
        slab: &mut Slab<u64>,
        budget: usize,
        change: impl Fn(&mut Slab<u64>, u64),
    ) -> Slab<u64> {
        slab.begin_save();
        let mut head = Vec::new();
        slab.save_head(&mut Encoder::new(&mut head));
        let mut loader = SlabLoader::new(&mut Decoder::new(&head)).unwrap();
        let load = |code: &mut Decoder<'_>| code.word("value");
        for round in 0.. {
            change(slab, round);
            let side = slab.take_side().concat();
            let mut part = Vec::new();
            let complete = slab.save_part(budget, &mut Encoder::new(&mut part));
            loader.side(&mut Decoder::new(&side), load).unwrap();
            loader.run(&mut Decoder::new(&part), load).unwrap();
            if complete {
                break;
            }
        }
        slab.abandon_save();
        loader.finish().unwrap()
    }

    fn filled() -> Slab<u64> {
        let mut slab = Slab::default();
        for value in 0..10 {
            slab.insert(value);
        }
        slab.remove(3);
        slab.remove(7);
        slab
    }

    #[test]
    fn the_last_freed_cell_is_taken_first() {
        let mut slab = filled();
        assert_eq!((slab.insert(70), slab.insert(30), slab.insert(100)), (7, 3, 10));
        assert_eq!((slab.held(), slab.len(), slab.remove(99)), (11, 11, None));
    }

    #[test]
    fn what_is_saved_is_what_was_there_at_the_beginning() {
        for budget in [1, 9, 20, 1_000] {
            let mut slab = filled();
            let before = contents(&slab);
            let mut restored = round_trip(&mut slab, budget, |slab, round| match round {
                0 => {
                    slab.insert(700);
                    *slab.get_mut(9).unwrap() = 900;
                    slab.remove(0);
                }
                1 => {
                    slab.insert(1_000);
                    slab.insert(300);
                    slab.insert(1_100);
                    slab.remove(8);
                }
                _ => *slab.get_mut(9).unwrap() += 1,
            });
            assert_eq!(contents(&restored), before, "parts of {budget}");
            assert_eq!((restored.insert(1), restored.insert(2), restored.insert(3)), (7, 3, 10));
        }
    }

    #[test]
    fn what_goes_out_ahead_comes_in_pieces_of_whole_cells() {
        // A cell is its number, a byte and eight: 10 bytes below 128, 11 from there, 12 from 16,384 on.
        let mut slab = Slab::default();
        for value in 0..200_000_u64 {
            slab.insert(value);
        }
        slab.begin_save();
        (0..200_000).for_each(|at| *slab.get_mut(at).unwrap() += 1);
        let pieces = slab.take_side();
        let all = 128 * 10 + (16_384 - 128) * 11 + (200_000 - 16_384) * 12;
        assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), all);
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|piece| piece.len() < PIECE_BYTES + 12));
        let mut loader = SlabLoader::new(&mut Decoder::new(&[0xc0, 0x9a, 0x0c, 0])).unwrap();
        let load = |code: &mut Decoder<'_>| code.word("value");
        for piece in &pieces {
            loader.side(&mut Decoder::new(piece), load).unwrap();
        }
        assert!(slab.take_side().is_empty());
    }

    #[test]
    fn cells_that_are_missing_or_twice_are_damage() {
        let load = |code: &mut Decoder<'_>| code.word("value");
        let head = |len: u8, free: u8| SlabLoader::<u64>::new(&mut Decoder::new(&[len, free]));
        assert!(head(2, 0).unwrap().finish().is_err());
        assert!(head(2, 4).is_err(), "the first free cell does not exist");
        let mut loader = head(1, 0).unwrap();
        assert!(loader.run(&mut Decoder::new(&[1, VACANT, 0]), load).is_err(), "not the next");
        assert!(loader.run(&mut Decoder::new(&[0, ELSEWHERE]), load).is_err(), "never came");
        let mut loader = head(1, 0).unwrap();
        loader.run(&mut Decoder::new(&[0, VACANT, 0]), load).unwrap();
        assert!(loader.finish().is_err(), "vacant, but not among the free");
        let mut loader = head(1, 1).unwrap();
        loader.run(&mut Decoder::new(&[0, VACANT, 1]), load).unwrap();
        assert!(loader.finish().is_err(), "a circle");
    }

    #[test]
    fn the_reckoned_size_of_a_hash_table_is_its_real_one() {
        for len in [0, 1, 3, 4, 7, 8, 14, 15, 28, 29, 100, 1_000, 7_168, 7_169, 100_000] {
            let mut table = hashbrown::HashTable::new();
            for n in 0..len {
                table.insert_unique(n as u64, n as u64, |n| *n);
            }
            let real = table.allocation_size();
            let reckoned = hashed(len, 8);
            assert!(real.abs_diff(reckoned) <= 64, "{len}: {reckoned} for {real}");
        }
    }
}
