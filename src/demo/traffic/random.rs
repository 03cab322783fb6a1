//! Seeded randomness that gives the same bytes on every machine: integer arithmetic and the four IEEE operations only.

/// xoshiro256++ seeded by splitmix64.
///
/// # Source
/// David Blackman and Sebastiano Vigna, "Scrambled linear pseudorandom number generators", 2021.
#[derive(Clone, Debug)]
pub(super) struct Random {
    state: [u64; 4],
}

/// The finalizer of splitmix64: a bijection on 64-bit words.
pub(super) fn mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut state = [0; 4];
        let mut word = seed;
        for slot in &mut state {
            word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
            *slot = mix(word);
        }
        Random { state }
    }

    pub(super) fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let c = c ^ a;
        let d = d ^ b;
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// Uniform in `0..bound`; 0 for an empty range. The bias is below `bound / 2^64`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        let wide = u128::from(self.next_u64()) * u128::from(bound);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    /// Uniform index of a slice of this length; 0 for an empty one.
    pub(super) fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.below(u64::try_from(len).unwrap_or(0))).unwrap_or(0)
    }

    /// Uniform in `low..=high`.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let span = high.saturating_sub(low).max(0).unsigned_abs();
        low.saturating_add_unsigned(self.below(span.saturating_add(1)))
    }

    /// Uniform in `[0, 1)`.
    pub(super) fn unit(&mut self) -> f64 {
        // 32 bits are exact in an f64 and fine enough here.
        let bits = u32::try_from(self.next_u64() >> 32).unwrap_or(0);
        f64::from(bits) / 4_294_967_296.0
    }

    pub(super) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// Nearly normal, mean 0, deviation 1: twelve uniforms (Irwin-Hall), so never beyond 6.
    pub(super) fn normal(&mut self) -> f64 {
        let mut sum = -6.0;
        for _ in 0..12 {
            sum += self.unit();
        }
        sum
    }

    /// Log-normal amount of money in cents with this median and this spread of its logarithm.
    pub(super) fn amount(&mut self, median_cents: i64, spread: f64) -> i64 {
        scale(median_cents, exp(self.normal() * spread)).max(1)
    }

    /// An element of a slice that is not empty.
    ///
    /// # Panics
    /// On an empty slice; the population is built so that there is none.
    pub(super) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.index(items.len())]
    }
}

/// `amount * factor`, rounded, within the range of money that makes sense here.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "clamped to 2^53 before the cast, and what is scaled here is below that as well"
)]
pub(super) fn scale(amount: i64, factor: f64) -> i64 {
    (amount as f64 * factor + 0.5).clamp(0.0, 9e15) as i64
}

/// `e^x` by range reduction and a polynomial: the same bits everywhere, unlike the system's.
fn exp(x: f64) -> f64 {
    let x = x.clamp(-20.0, 20.0);
    let mut term = 1.0;
    let mut sum = 1.0;
    let small = x / 64.0;
    for n in 1..14 {
        term *= small / f64::from(n);
        sum += term;
    }
    for _ in 0..6 {
        sum *= sum;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_agrees_with_the_systems() {
        for step in -200..=200 {
            let x = f64::from(step) / 10.0;
            let relative = (exp(x) - x.exp()).abs() / x.exp();
            assert!(relative < 1e-10, "exp({x}) is off by {relative}");
        }
    }

    #[test]
    fn the_normal_has_mean_zero_and_deviation_one() {
        let mut random = Random::new(7);
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..100_000 {
            let value = random.normal();
            sum += value;
            squares += value * value;
        }
        assert!((sum / 100_000.0).abs() < 0.02);
        assert!((squares / 100_000.0 - 1.0).abs() < 0.03);
    }

    #[test]
    fn between_reaches_both_ends_and_nothing_else() {
        let mut random = Random::new(1);
        let mut seen = [false; 5];
        for _ in 0..500 {
            let value = random.between(-2, 2);
            seen[usize::try_from(value + 2).unwrap()] = true;
        }
        assert_eq!(seen, [true; 5]);
    }
}
