//! A small seeded source of choices: one number replays a whole test. So does a tape of bytes, which a fuzzer can bend
//! choice by choice.

/// `SplitMix64`, after the tape if there is one.
///
/// # Source
/// G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
#[derive(Clone, Debug)]
pub(crate) struct Dice {
    state: u64,
    tape: Vec<u8>,
    at: usize,
}

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: seed, tape: Vec::new(), at: 0 }
    }

    pub(crate) fn word(&mut self) -> u64 {
        if let Some(byte) = self.tape.get(self.at) {
            self.at += 1;
            return u64::from(*byte);
        }
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.word() % n
    }

    /// True once in `n` times.
    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub(crate) fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        from[at].clone()
    }
}

impl From<&[u8]> for Dice {
    /// One byte decides one choice; when all are used, the choices go on as those of seed 0.
    fn from(tape: &[u8]) -> Self {
        Self { state: 0, tape: tape.to_vec(), at: 0 }
    }
}
