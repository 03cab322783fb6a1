//! Random numbers that are the same everywhere: SplitMix64 and the distributions that the workload draws from.
//!
//! # Source
//! Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014 (the generator and its finalizer);
//! Box, Muller, "A note on the generation of random normal deviates", 1958.

/// Scrambles a number; a bijection.
pub(crate) fn scramble(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// A stream of random numbers. The order of draws is part of the workload's definition.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// The stream of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self { state: scramble(seed) }
    }

    /// Any number.
    pub(crate) fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        scramble(self.state)
    }

    /// Any number of 32 bits.
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is wanted")]
    pub(crate) fn bits32(&mut self) -> u32 {
        self.bits() as u32
    }

    /// A number in `[0, 1)`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are exact")]
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A number in `[0, bound)`.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the high half of the product is below the bound"
    )]
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u32
    }

    /// A number in `[low, high]`.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True once in `n` draws.
    pub(crate) fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// An exponential waiting time.
    pub(crate) fn waiting(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.unit()).ln()
    }

    /// A standard normal deviate.
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

/// Zipf's law: rank k, from 0, has a weight of `(k + 1)^-skew`.
#[derive(Clone, Debug)]
pub(crate) struct Zipf {
    /// Probability of this rank or a lower one.
    cumulated: Vec<f64>,
}

impl Zipf {
    /// The law over `n` ranks.
    pub(crate) fn new(n: u32, skew: f64) -> Self {
        let mut total = 0.0;
        let weights = (1..=n).map(|rank| {
            total += f64::from(rank).powf(-skew);
            total
        });
        let sums: Vec<f64> = weights.collect();
        Self { cumulated: sums.iter().map(|sum| sum / total).collect() }
    }

    /// A rank.
    pub(crate) fn draw(&self, random: &mut Random) -> u32 {
        let point = random.unit();
        let rank = self.cumulated.partition_point(|cumulated| *cumulated <= point);
        u32::try_from(rank.min(self.cumulated.len() - 1)).unwrap_or(u32::MAX)
    }
}
