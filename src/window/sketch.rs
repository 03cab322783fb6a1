//! How many different words: exact counts per word, and a sketch where those would grow too large.

use crate::base::codec::{Damaged, Decoder, Encoder};

/// Words with how often each is there.
///
/// An open-addressing table of our own: what it holds memory for depends on how many words it held and holds, never on
/// what was left behind by those that went. So a restored table takes as many bytes as the one that was saved.
#[derive(Clone, Debug, Default)]
pub(crate) struct WordCounts {
    /// Count 0 is a free place. A power of two, at most five eighths full, or nothing.
    places: Box<[(u64, u32)]>,
    len: usize,
}

/// Places of the smallest table.
const MIN_PLACES: usize = 8;

impl WordCounts {
    /// Counts a word once more.
    pub(crate) fn add(&mut self, word: u64) {
        self.add_times(word, 1);
    }

    fn add_times(&mut self, word: u64, times: u32) {
        if (self.len + 1) * 8 > self.places.len() * 5 {
            if let Some(at) = self.find(word) {
                self.places[at].1 += times;
                return;
            }
            self.resize((self.places.len() * 2).max(MIN_PLACES));
        }
        // INVARIANT: there is room, so the probe ends.
        let place = self.probe(word);
        let held = &mut self.places[place];
        self.len += usize::from(held.1 == 0);
        *held = (word, held.1 + times);
    }

    /// Counts all words of another table. Beyond `most` different words only those that are here already; says whether
    /// every word was counted.
    pub(crate) fn take_in(&mut self, other: &Self, most: usize) -> bool {
        let theirs = other.places.iter().filter(|(_, count)| *count > 0).copied();
        if self.len + other.len <= most {
            theirs.for_each(|(word, times)| self.add_times(word, times));
            return true;
        }
        // WHY: which words find room must not depend on the places at which they lie.
        let mut theirs: Vec<(u64, u32)> = theirs.collect();
        theirs.sort_unstable();
        let mut whole = true;
        for (word, times) in theirs {
            if self.len < most || self.count(word) > 0 {
                self.add_times(word, times);
            } else {
                whole = false;
            }
        }
        whole
    }

    /// Counts a word once less.
    pub(crate) fn remove(&mut self, word: u64) {
        let Some(at) = self.find(word) else { return };
        self.places[at].1 -= 1;
        if self.places[at].1 > 0 {
            return;
        }
        self.len -= 1;
        self.close(at);
        if self.places.len() > MIN_PLACES && self.len * 8 < self.places.len() {
            self.resize(self.places.len() / 2);
        }
    }

    /// How often a word is there.
    pub(crate) fn count(&self, word: u64) -> u32 {
        self.find(word).map_or(0, |at| self.places[at].1)
    }

    /// How many different words are there.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.places)
    }

    /// How many places there are, as it is saved.
    pub(crate) fn size_code(&self) -> u8 {
        u8::try_from(self.places.len().checked_ilog2().map_or(0, |log| log + 1)).unwrap_or(0)
    }

    /// Takes as many places as a saved table had.
    pub(crate) fn take_size(&mut self, size: u8, code: &Decoder<'_>) -> Result<(), Damaged> {
        const WHAT: &str = "size of a table of words";
        let places = match size {
            0 => 0,
            1..=40 => 1_usize << (size - 1),
            _ => return Err(code.damaged(WHAT)),
        };
        let fits = (places == 0 || places >= MIN_PLACES)
            && self.len * 8 <= places * 5
            && (places <= MIN_PLACES || self.len * 8 >= places);
        code.demand(fits, WHAT)?;
        self.resize(places);
        Ok(())
    }

    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.len);
        for (word, count) in self.places.iter().filter(|(_, count)| *count > 0) {
            code.word(*word);
            code.var(u64::from(*count));
        }
        code.byte(self.size_code());
    }

    pub(crate) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "counted words";
        let len = code.count(9, WHAT)?;
        let mut counts = Self::default();
        for _ in 0..len {
            let (word, count) = (code.word(WHAT)?, code.narrow(WHAT)?);
            code.demand(count > 0 && count < 1 << 31 && counts.count(word) == 0, WHAT)?;
            counts.add_times(word, count);
        }
        let size = code.byte(WHAT)?;
        counts.take_size(size, code)?;
        Ok(counts)
    }

    /// The place where a word belongs when all are free.
    fn home(&self, word: u64) -> usize {
        let mixed = (word ^ (word >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed >> 32) as usize & (self.places.len().wrapping_sub(1))
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.places.len() - 1)
    }

    fn find(&self, word: u64) -> Option<usize> {
        if self.places.is_empty() {
            return None;
        }
        let at = self.probe(word);
        (self.places[at].1 > 0).then_some(at)
    }

    /// The place of a word, or the free one where it belongs.
    #[inline]
    fn probe(&self, word: u64) -> usize {
        let mut at = self.home(word);
        while self.places[at].1 > 0 && self.places[at].0 != word {
            at = self.next(at);
        }
        at
    }

    /// Moves words up that were looked for beyond a place that has become free.
    ///
    /// # Source
    /// Knuth, "The Art of Computer Programming", volume 3, section 6.4, algorithm R.
    fn close(&mut self, mut free: usize) {
        let mask = self.places.len() - 1;
        let mut at = self.next(free);
        while self.places[at].1 > 0 {
            let home = self.home(self.places[at].0);
            if at.wrapping_sub(home) & mask >= at.wrapping_sub(free) & mask {
                self.places[free] = self.places[at];
                self.places[at].1 = 0;
                free = at;
            }
            at = self.next(at);
        }
    }

    fn resize(&mut self, places: usize) {
        let larger = vec![(0, 0); places].into_boxed_slice();
        let full = core::mem::replace(&mut self.places, larger);
        for (word, count) in full.into_iter().filter(|(_, count)| *count > 0) {
            let place = self.probe(word);
            self.places[place] = (word, count);
        }
    }
}

/// log2 of the number of registers.
const PRECISION: u32 = 12;
const REGISTERS: usize = 1 << PRECISION;
/// Largest register value: the rank of an all-zero remainder.
const RANK_MAX: usize = 64 - PRECISION as usize + 1;
/// Up to here the words themselves are kept and the count is exact.
const EXACT_WORDS: usize = 256;

/// Stated error of an estimate: four standard errors of `1.04 / sqrt(4096)`.
pub(crate) const SKETCH_PPM: u32 = 65_000;

/// A set of words that can be joined and counted: exact up to 256 words, beyond that a `HyperLogLog` of 4,096
/// registers.
///
/// # Source
/// Flajolet, Fusy, Gandouet, Meunier 2007, "`HyperLogLog`: the analysis of a near-optimal cardinality estimation
/// algorithm"; estimator: Ertl 2017, "New cardinality estimation algorithms for `HyperLogLog` sketches" (algorithm 6),
/// which needs no bias tables. Registers join by maximum, so a sketch depends on the set of words alone.
#[derive(Clone, Debug)]
pub(crate) enum Sketch {
    /// Mixed words, ascending.
    Words(Vec<u64>),
    /// Registers, and how many registers hold each rank.
    Registers(Box<Registers>),
}

/// The dense form.
#[derive(Clone, Debug)]
pub(crate) struct Registers {
    ranks: [u8; REGISTERS],
    histogram: [u16; RANK_MAX + 1],
}

impl Default for Sketch {
    fn default() -> Self {
        Self::Words(Vec::new())
    }
}

impl Sketch {
    /// Takes in a word.
    pub(crate) fn insert(&mut self, word: u64) {
        self.insert_mixed(mix(word));
    }

    fn insert_mixed(&mut self, mixed: u64) {
        match self {
            Self::Registers(registers) => registers.insert(mixed),
            Self::Words(words) => {
                let Err(at) = words.binary_search(&mixed) else { return };
                words.insert(at, mixed);
                if words.len() > EXACT_WORDS {
                    let mut registers = Box::new(Registers::new());
                    registers.insert_all(words);
                    *self = Self::Registers(registers);
                }
            }
        }
    }

    /// Takes in all words of another sketch.
    pub(crate) fn merge(&mut self, other: &Self) {
        match (&mut *self, other) {
            (_, Self::Words(words)) => {
                for mixed in words {
                    self.insert_mixed(*mixed);
                }
            }
            (Self::Registers(registers), Self::Registers(other)) => registers.merge(other),
            (Self::Words(words), Self::Registers(other)) => {
                let mut registers = other.clone();
                registers.insert_all(words);
                *self = Self::Registers(registers);
            }
        }
    }

    /// How many different words there are, to within [`SKETCH_PPM`] unless [`Self::is_exact`].
    pub(crate) fn estimate(&self) -> u64 {
        match self {
            Self::Words(words) => words.len() as u64,
            Self::Registers(registers) => estimate(&registers.histogram),
        }
    }

    /// The estimate that one more word would give.
    pub(crate) fn estimate_with(&self, word: u64) -> u64 {
        let mixed = mix(word);
        match self {
            Self::Words(words) => {
                words.len() as u64 + u64::from(words.binary_search(&mixed).is_err())
            }
            Self::Registers(registers) => {
                let (at, rank) = place(mixed);
                let mut histogram = registers.histogram;
                if registers.ranks[at] < rank {
                    histogram[usize::from(registers.ranks[at])] -= 1;
                    histogram[usize::from(rank)] += 1;
                }
                estimate(&histogram)
            }
        }
    }

    /// Whether the estimate is exact.
    pub(crate) fn is_exact(&self) -> bool {
        matches!(self, Self::Words(_))
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Words(words) if words.is_empty() => 0,
            Self::Words(words) => words.len().next_power_of_two().max(4) * size_of::<u64>(),
            Self::Registers(_) => size_of::<Registers>(),
        }
    }

    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        match self {
            Self::Words(words) => {
                code.byte(0);
                code.count(words.len());
                code.words(words);
            }
            Self::Registers(registers) => {
                code.byte(1);
                code.raw(&registers.ranks);
            }
        }
    }

    pub(crate) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "set of words";
        match code.byte(WHAT)? {
            0 => {
                let len = code.count(8, WHAT)?;
                let words: Vec<u64> = code.words(len, WHAT)?.collect();
                let ascending = words.is_sorted_by(|left, right| left < right);
                code.demand(len <= EXACT_WORDS && ascending, WHAT)?;
                Ok(Self::Words(words))
            }
            1 => {
                let mut registers = Box::new(Registers::new());
                for (at, rank) in code.raw(REGISTERS, WHAT)?.iter().enumerate() {
                    code.demand(usize::from(*rank) <= RANK_MAX, WHAT)?;
                    registers.raise(at, *rank);
                }
                Ok(Self::Registers(registers))
            }
            _ => Err(code.damaged(WHAT)),
        }
    }
}

impl Registers {
    fn new() -> Self {
        let mut histogram = [0; RANK_MAX + 1];
        histogram[0] = 1 << PRECISION;
        Self { ranks: [0; REGISTERS], histogram }
    }

    fn insert(&mut self, mixed: u64) {
        let (at, rank) = place(mixed);
        self.raise(at, rank);
    }

    fn insert_all(&mut self, mixed: &[u64]) {
        for word in mixed {
            self.insert(*word);
        }
    }

    #[inline]
    fn raise(&mut self, at: usize, rank: u8) {
        let held = self.ranks[at];
        if held < rank {
            self.histogram[usize::from(held)] -= 1;
            self.histogram[usize::from(rank)] += 1;
            self.ranks[at] = rank;
        }
    }

    fn merge(&mut self, other: &Self) {
        for (at, rank) in other.ranks.iter().enumerate() {
            self.raise(at, *rank);
        }
    }
}

/// Register and rank of a mixed word.
fn place(mixed: u64) -> (usize, u8) {
    let at = (mixed >> (64 - PRECISION)) as usize;
    let rest = mixed << PRECISION | 1 << (PRECISION - 1);
    (at, u8::try_from(rest.leading_zeros() + 1).unwrap_or(u8::MAX))
}

/// Ertl 2017, algorithm 6, with m = 4,096 and q = 52.
fn estimate(histogram: &[u16; RANK_MAX + 1]) -> u64 {
    let registers = f64::from(1_u32 << PRECISION);
    let share = |rank: usize| f64::from(histogram[rank]) / registers;
    let mut z = registers * tau(1.0 - share(RANK_MAX));
    for held in histogram[1..RANK_MAX].iter().rev() {
        z = 0.5 * (z + f64::from(*held));
    }
    z += registers * sigma(share(0));
    let estimate = registers * registers / (2.0 * core::f64::consts::LN_2 * z);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "not negative; a float-to-integer cast saturates"
    )]
    let whole = estimate.round() as u64;
    whole
}

/// `x + sum over k of x^(2^k) * 2^(k-1)`; infinite at 1.
fn sigma(x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut x, mut y, mut z) = (x, 1.0, x);
    loop {
        x *= x;
        let next = z + x * y;
        y += y;
        // Converged: the sum does not grow any more.
        if next <= z {
            return z;
        }
        z = next;
    }
}

/// `(1 - x - sum over k of (1 - x^(2^-k))^2 * 2^-k) / 3`.
fn tau(x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut x, mut y, mut z) = (x, 1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        y *= 0.5;
        let next = z - (1.0 - x) * (1.0 - x) * y;
        if next >= z {
            return z / 3.0;
        }
        z = next;
    }
}

/// Spreads a word over all bits; different words stay different (the finalizer of `SplitMix64`, Steele, Lea, Flood
/// 2014).
fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_words_come_and_go() {
        let mut words = WordCounts::default();
        for word in [5, 7, 5] {
            words.add(word);
        }
        assert_eq!((words.len(), words.count(5), words.count(7), words.count(9)), (2, 2, 1, 0));
        words.remove(5);
        words.remove(7);
        assert_eq!((words.len(), words.count(5), words.count(7)), (1, 1, 0));
    }

    #[test]
    fn counted_words_agree_with_a_map_through_any_coming_and_going() {
        let mut words = WordCounts::default();
        let mut plain = std::collections::BTreeMap::new();
        let mut seed = 7_u64;
        for step in 0..20_000_u64 {
            seed = mix(seed);
            let word = seed % if step < 10_000 { 700 } else { 40 };
            if seed >> 63 == 0 || step < 3_000 {
                words.add(word);
                *plain.entry(word).or_insert(0_u32) += 1;
            } else if let Some(count) = plain.get_mut(&word) {
                words.remove(word);
                *count -= 1;
                plain.retain(|_, count| *count > 0);
            }
            assert_eq!(words.count(word), plain.get(&word).copied().unwrap_or(0));
        }
        assert_eq!(words.len(), plain.len());
        assert!(plain.iter().all(|(word, count)| words.count(*word) == *count));
        let mut out = Vec::new();
        words.save(&mut Encoder::new(&mut out));
        let again = WordCounts::load(&mut Decoder::new(&out)).unwrap();
        assert_eq!((again.len(), again.bytes()), (words.len(), words.bytes()));
        assert!(plain.iter().all(|(word, count)| again.count(*word) == *count));
        for word in plain.keys() {
            (0..plain[word]).for_each(|_| words.remove(*word));
        }
        assert_eq!((words.len(), words.bytes()), (0, 8 * 16), "memory is given back");
    }

    #[test]
    fn a_sketch_is_exact_up_to_256_words() {
        let mut sketch = Sketch::default();
        for word in 0..256 {
            sketch.insert(word);
            sketch.insert(word / 2);
        }
        assert!(sketch.is_exact());
        assert_eq!(sketch.estimate(), 256);
        assert_eq!(sketch.estimate_with(255), 256);
        assert_eq!(sketch.estimate_with(256), 257);
    }

    #[test]
    fn estimates_stay_within_the_stated_error_from_hundreds_to_a_million() {
        const SIZES: [u64; 7] = [257, 1_000, 4_096, 10_000, 20_000, 100_000, 1_000_000];
        for salt in 0..20_u64 {
            let mut sketch = Sketch::default();
            let mut from = 0;
            for size in SIZES {
                (from..size).for_each(|n| sketch.insert(n + (salt << 40)));
                from = size;
                let given = sketch.estimate();
                let error = given.abs_diff(size) * 1_000_000 / size;
                assert!(error <= u64::from(SKETCH_PPM), "{size} words gave {given}");
            }
        }
    }

    #[test]
    fn joined_sketches_equal_the_sketch_of_all_words() {
        let of = |range: core::ops::Range<u64>| {
            let mut sketch = Sketch::default();
            range.for_each(|word| sketch.insert(word));
            sketch
        };
        for (left, right, both) in [
            (0..100, 50..200, 0..200),
            (0..5_000, 4_000..9_000, 0..9_000),
            (0..100, 50..5_000, 0..5_000),
            (0..5_000, 4_900..5_010, 0..5_010),
            (0..200, 200..400, 0..400),
        ] {
            let mut joined = of(left);
            joined.merge(&of(right));
            assert_eq!(joined.estimate(), of(both).estimate());
        }
    }

    #[test]
    fn an_estimate_with_one_more_word_is_the_estimate_after_it() {
        let mut sketch = Sketch::default();
        (0..300).for_each(|word| sketch.insert(word));
        for word in 200..1_000 {
            let ahead = sketch.estimate_with(word);
            sketch.insert(word);
            assert_eq!(ahead, sketch.estimate());
        }
    }
}
