//! The digest of the way an engine took: every record with its place, and what became of it.
//!
//! Two engines with equal digests read the same records in the same order and answered them alike. It does not depend on
//! where the answers go, nor on which of them are wanted. Fit for finding faults of our own, not for proving anything
//! against an adversary.
//!
//! # Cost
//! One multiplication per word; bytes are hashed only where a rule spoke and they are made anyway.

use xxhash_rust::xxh3::xxh3_64;

/// A chained digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trail(u64);

impl Trail {
    /// A digest that was saved.
    pub fn of(digest: u64) -> Self {
        Self(digest)
    }

    /// The digest so far.
    pub fn digest(self) -> u64 {
        self.0
    }

    /// Adds a word; the order matters.
    #[inline]
    pub fn add(&mut self, word: u64) {
        let product =
            u128::from(self.0 ^ 0x9e37_79b9_7f4a_7c15) * u128::from(word ^ 0xd6e8_feb8_6659_fd93);
        let low = u64::try_from(product & u128::from(u64::MAX)).unwrap_or(0);
        let high = u64::try_from(product >> 64).unwrap_or(0);
        self.0 = (low ^ high).wrapping_add(self.0.rotate_left(17));
    }

    /// Adds bytes.
    pub fn add_bytes(&mut self, bytes: &[u8]) {
        self.add(xxh3_64(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trail(words: &[u64]) -> u64 {
        let mut trail = Trail::default();
        for word in words {
            trail.add(*word);
        }
        trail.digest()
    }

    #[test]
    fn words_and_their_order_and_number_matter() {
        let mut digests: Vec<u64> = Vec::new();
        for a in 0..200 {
            digests.push(trail(&[a]));
            digests.extend((0..200).map(|b| trail(&[a, b])));
        }
        let n = digests.len();
        digests.sort_unstable();
        digests.dedup();
        assert_eq!(digests.len(), n);
    }
}
