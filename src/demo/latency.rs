//! Lengths of time, kept as counts, so that percentiles of any number of them cost a few kilobytes.

use std::time::Duration;

/// Buckets per doubling: a percentile is at most 1/64 too high.
const PER_DOUBLING: u64 = 64;

/// Most buckets: lengths up to about 12 days in microseconds.
const MAX_BUCKETS: usize = 64 * 36;

/// Counts of lengths of time.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    counts: Vec<u64>,
    total: u64,
    longest_us: u64,
}

impl Latencies {
    /// Counts one.
    ///
    /// # Cost
    /// O(1).
    pub fn observe(&mut self, length: Duration) {
        let us = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        let index = bucket(us).min(MAX_BUCKETS - 1);
        if self.counts.len() <= index {
            self.counts.resize(index + 1, 0);
        }
        if let Some(count) = self.counts.get_mut(index) {
            *count += 1;
        }
        self.total += 1;
        self.longest_us = self.longest_us.max(us);
    }

    /// The length that this share of all (in thousandths) does not exceed; none without observations.
    pub fn permille(&self, permille: u64) -> Option<Duration> {
        let wanted = (self.total * permille).div_ceil(1_000).max(1);
        let mut seen = 0;
        let index = self.counts.iter().position(|count| {
            seen += count;
            seen >= wanted
        })?;
        Some(Duration::from_micros(upper_us(index).min(self.longest_us)))
    }

    /// The longest.
    pub fn longest(&self) -> Duration {
        Duration::from_micros(self.longest_us)
    }

    /// How many there are.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// Below 64 µs each value has its bucket; above, each doubling has 64.
fn bucket(us: u64) -> usize {
    let doublings = u64::from((us / PER_DOUBLING).checked_ilog2().map_or(0, |log| log + 1));
    let index = if doublings == 0 {
        us
    } else {
        doublings * PER_DOUBLING + ((us >> (doublings - 1)) - PER_DOUBLING)
    };
    usize::try_from(index).unwrap_or(usize::MAX)
}

/// The largest value of a bucket.
fn upper_us(index: usize) -> u64 {
    let index = index as u64;
    let doublings = index / PER_DOUBLING;
    if doublings == 0 {
        return index;
    }
    ((PER_DOUBLING + index % PER_DOUBLING + 1) << (doublings - 1)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_known_lengths_are_right_within_a_64th() {
        let mut latencies = Latencies::default();
        for us in 1..=100_000_u64 {
            latencies.observe(Duration::from_micros(us));
        }
        for (permille, exact) in [(500, 50_000.0), (990, 99_000.0), (999, 99_900.0)] {
            let found = latencies.permille(permille).unwrap().as_secs_f64() * 1e6;
            assert!(found >= exact && found <= exact * 65.0 / 64.0, "{permille}: {found}");
        }
        assert_eq!(latencies.permille(1_000), Some(Duration::from_micros(100_000)));
        assert_eq!(latencies.permille(0), Some(Duration::from_micros(1)));
    }

    #[test]
    fn nothing_observed_has_no_percentile_and_the_longest_length_is_kept() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.permille(500), None);
        latencies.observe(Duration::MAX);
        assert_eq!(latencies.total(), 1);
        assert!(latencies.longest() > Duration::from_hours(1));
    }

    #[test]
    fn every_length_lies_in_a_bucket_that_ends_no_earlier() {
        for us in (0..200_000).chain([1 << 30, (1 << 30) + 1, (1 << 35) - 1]) {
            let index = bucket(us);
            assert!(upper_us(index) >= us, "{us}");
            assert!(index == 0 || upper_us(index - 1) < us, "{us}");
        }
    }
}
