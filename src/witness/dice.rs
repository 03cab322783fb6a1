//! Seeded choices: the same seed tries the same events on every machine.

/// `SplitMix64`.
///
/// # Source
/// G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
#[derive(Clone, Debug)]
pub(super) struct Dice {
    state: u64,
}

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self { state: seed }
    }

    fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `n`, at most 255; 0 where that is 0.
    pub(super) fn below(&mut self, n: u8) -> u8 {
        let drawn = self.word() % u64::from(n.max(1));
        u8::try_from(drawn).unwrap_or_default()
    }

    /// True once in so many times.
    pub(super) fn one_in(&mut self, n: u8) -> bool {
        self.below(n) == 0
    }

    /// One of a list; none of an empty one.
    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let at = self.word().checked_rem(u64::try_from(from.len()).ok()?)?;
        from.get(usize::try_from(at).ok()?)
    }
}
