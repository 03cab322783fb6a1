//! Unsigned integers of 512 bits: just enough arithmetic to compare squares of 128-bit quantities exactly.
//!
//! Cost: a product is 64 small multiplications. Only the slow side of [`crate::rules::eval::number`] comes here.

use core::cmp::Ordering;

const LIMBS: usize = 8;

/// A 512-bit unsigned integer, least significant limb first. Results beyond 512 bits lose their high part; the
/// callers' bounds keep them below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wide([u64; LIMBS]);

impl Wide {
    /// The value itself.
    pub(crate) fn from_u128(value: u128) -> Self {
        let mut limbs = [0; LIMBS];
        limbs[0] = low(value);
        limbs[1] = high(value);
        Self(limbs)
    }

    /// `self * other`.
    pub(crate) fn times(self, other: Self) -> Self {
        let mut limbs = [0_u64; LIMBS];
        for (i, a) in self.0.iter().enumerate() {
            let mut carry = 0_u128;
            for (j, b) in other.0.iter().enumerate().take(LIMBS - i) {
                let sum = u128::from(*a) * u128::from(*b) + u128::from(limbs[i + j]) + carry;
                limbs[i + j] = low(sum);
                carry = sum >> 64;
            }
        }
        Self(limbs)
    }

    /// `self - other`, or zero where that would be negative.
    pub(crate) fn saturating_sub(self, other: Self) -> Self {
        let mut limbs = [0_u64; LIMBS];
        let mut borrow = false;
        for (limb, (a, b)) in limbs.iter_mut().zip(self.0.iter().zip(other.0)) {
            let (first, under_first) = a.overflowing_sub(b);
            let (second, under_second) = first.overflowing_sub(u64::from(borrow));
            *limb = second;
            borrow = under_first || under_second;
        }
        if borrow { Self([0; LIMBS]) } else { Self(limbs) }
    }

    /// `self + 1`.
    pub(crate) fn successor(self) -> Self {
        let mut limbs = self.0;
        for limb in &mut limbs {
            let (sum, carry) = limb.overflowing_add(1);
            *limb = sum;
            if !carry {
                break;
            }
        }
        Self(limbs)
    }

    /// `self * 2^bits` for `bits < 512`.
    pub(crate) fn shifted_left(self, bits: u32) -> Self {
        let (skip, rest) = split(bits);
        let mut limbs = [0_u64; LIMBS];
        for (i, limb) in limbs.iter_mut().enumerate().skip(skip) {
            let here = self.0[i - skip] << rest;
            let below = if rest > 0 && i > skip { self.0[i - skip - 1] >> (64 - rest) } else { 0 };
            *limb = here | below;
        }
        Self(limbs)
    }

    /// `self / 2^bits`, rounded half up, for `bits < 512`.
    pub(crate) fn shifted_right_rounded(self, bits: u32) -> Self {
        let (skip, rest) = split(bits);
        let mut limbs = [0_u64; LIMBS];
        for (i, limb) in limbs.iter_mut().enumerate().take(LIMBS - skip) {
            let here = self.0[i + skip] >> rest;
            let above = self.0.get(i + skip + 1).copied().unwrap_or(0);
            *limb = here | if rest > 0 { above << (64 - rest) } else { 0 };
        }
        let whole = Self(limbs);
        if bits > 0 && self.bit(bits - 1) { whole.successor() } else { whole }
    }

    /// `self / divisor`, rounded half up; zero for a zero divisor.
    pub(crate) fn divided_rounded(self, divisor: u64) -> Self {
        if divisor == 0 {
            return Self([0; LIMBS]);
        }
        let wide_divisor = u128::from(divisor);
        let mut limbs = [0_u64; LIMBS];
        let mut rest = 0_u128;
        for i in (0..LIMBS).rev() {
            let part = rest << 64 | u128::from(self.0[i]);
            limbs[i] = low(part / wide_divisor);
            rest = part % wide_divisor;
        }
        let whole = Self(limbs);
        if rest * 2 >= wide_divisor { whole.successor() } else { whole }
    }

    /// The value, when it fits.
    pub(crate) fn to_u128(self) -> Option<u128> {
        let small = self.0[2..].iter().all(|limb| *limb == 0);
        small.then(|| u128::from(self.0[1]) << 64 | u128::from(self.0[0]))
    }

    /// The nearest number, within one unit in the last place.
    #[expect(clippy::cast_precision_loss, reason = "the nearest number is what is asked for")]
    pub(crate) fn to_f64(self) -> f64 {
        self.0.iter().rev().fold(0.0, |sum, limb| sum * 18_446_744_073_709_551_616.0 + *limb as f64)
    }

    fn bit(self, index: u32) -> bool {
        let (limb, bit) = split(index);
        self.0[limb] >> bit & 1 == 1
    }
}

impl Ord for Wide {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.iter().rev().cmp(other.0.iter().rev())
    }
}

impl PartialOrd for Wide {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn split(bits: u32) -> (usize, u32) {
    (((bits / 64) as usize).min(LIMBS - 1), bits % 64)
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low(value: u128) -> u64 {
    value as u64
}

fn high(value: u128) -> u64 {
    low(value >> 64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bits of a number, least significant first: arithmetic by hand, one digit at a time.
    fn bits(value: u128) -> Vec<u8> {
        (0..128).map(|i| u8::try_from(value >> i & 1).unwrap()).collect()
    }

    fn school_product(a: &[u8], b: &[u8]) -> Vec<u8> {
        let mut columns = vec![0_u32; a.len() + b.len()];
        for (i, x) in a.iter().enumerate() {
            for (j, y) in b.iter().enumerate() {
                columns[i + j] += u32::from(x & y);
            }
        }
        let mut carry = 0;
        columns
            .iter()
            .map(|column| {
                let sum = column + carry;
                carry = sum / 2;
                u8::try_from(sum % 2).unwrap()
            })
            .collect()
    }

    fn wide_bits(value: Wide) -> Vec<u8> {
        (0..512).map(|i| u8::from(value.bit(i))).collect()
    }

    fn padded(mut digits: Vec<u8>) -> Vec<u8> {
        digits.resize(512, 0);
        digits
    }

    proptest! {
        #[test]
        fn a_product_agrees_with_school_multiplication(a: u128, b: u128, c: u128) {
            let expected = school_product(&school_product(&bits(a), &bits(b)), &bits(c));
            let product = Wide::from_u128(a).times(Wide::from_u128(b)).times(Wide::from_u128(c));
            prop_assert_eq!(wide_bits(product), padded(expected));
        }

        #[test]
        fn shifting_left_moves_every_bit(a: u128, by in 0_u32..380) {
            let mut expected = vec![0; by as usize];
            expected.extend(bits(a));
            prop_assert_eq!(wide_bits(Wide::from_u128(a).shifted_left(by)), padded(expected));
        }

        #[test]
        fn shifting_right_rounds_the_dropped_half_up(a in 0..u128::MAX / 4, by in 1_u32..126) {
            let expected = (a + (1 << (by - 1))) >> by;
            prop_assert_eq!(Wide::from_u128(a).shifted_right_rounded(by).to_u128(), Some(expected));
        }

        #[test]
        fn shifting_there_and_back_changes_nothing(a: u128, by in 0_u32..380) {
            let back = Wide::from_u128(a).shifted_left(by).shifted_right_rounded(by);
            prop_assert_eq!(back.to_u128(), Some(a));
        }

        #[test]
        fn division_rounds_half_up(a in 0..u128::MAX / 4, by in 1_u64..) {
            let by_wide = u128::from(by);
            let expected = (2 * a + by_wide) / (2 * by_wide);
            prop_assert_eq!(Wide::from_u128(a).divided_rounded(by).to_u128(), Some(expected));
        }

        #[test]
        fn differences_of_products_come_back(a: u128, b: u128, c: u128) {
            let (ab, c) = (Wide::from_u128(a).times(Wide::from_u128(b)), Wide::from_u128(c));
            let rest = ab.saturating_sub(c);
            if ab >= c {
                prop_assert_eq!(c.saturating_sub(ab.saturating_sub(rest)).to_u128(), Some(0));
            } else {
                prop_assert_eq!(rest.to_u128(), Some(0));
            }
        }
    }
}
