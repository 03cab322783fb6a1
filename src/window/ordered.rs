//! Values in order, to ask for the one at a rank: what a busy key keeps of a window for `percentile` and `median`.
//!
//! A list of short sorted runs. Cost: adding and removing move at most one run; a rank is found by the lengths of the
//! runs. With 65,536 values these are some 500 lengths.

/// Longest run; a longer one is cut in two.
const RUN_MAX: usize = 256;

/// Two neighbours that are together no longer than this become one run.
const RUN_SMALL: usize = 64;

/// A multiset of values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ordered {
    /// Ascending, none of them empty.
    runs: Vec<Vec<i64>>,
    len: usize,
}

impl Ordered {
    /// Takes a value in.
    pub(crate) fn add(&mut self, value: i64) {
        self.len += 1;
        let at = self.run_of(value).min(self.runs.len().saturating_sub(1));
        let Some(run) = self.runs.get_mut(at) else {
            self.runs.push(vec![value]);
            return;
        };
        run.insert(run.partition_point(|held| *held < value), value);
        if run.len() > RUN_MAX {
            let upper = run.split_off(RUN_MAX / 2);
            self.runs.insert(at + 1, upper);
        }
    }

    /// Takes a value out that is there.
    pub(crate) fn remove(&mut self, value: i64) {
        let at = self.run_of(value);
        let Some(run) = self.runs.get_mut(at) else { return };
        let place = run.partition_point(|held| *held < value);
        if run.get(place) != Some(&value) {
            return;
        }
        run.remove(place);
        self.len -= 1;
        if run.is_empty() {
            self.runs.remove(at);
            return;
        }
        let small = run.len();
        if self.runs.get(at + 1).is_some_and(|next| small + next.len() <= RUN_SMALL) {
            let next = self.runs.remove(at + 1);
            self.runs[at].extend(next);
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> u64 {
        self.len as u64
    }

    /// The value at a rank from 1; the greatest beyond the last.
    pub(crate) fn nth(&self, rank: u64) -> i64 {
        let mut left = usize::try_from(rank).unwrap_or(usize::MAX).saturating_sub(1);
        for run in &self.runs {
            match run.get(left) {
                Some(value) => return *value,
                None => left -= run.len(),
            }
        }
        self.runs.last().and_then(|run| run.last()).copied().unwrap_or(0)
    }

    /// How many values are less than this.
    pub(crate) fn below(&self, value: i64) -> u64 {
        let at = self.run_of(value);
        let whole: usize = self.runs[..at].iter().map(Vec::len).sum();
        let part = self.runs.get(at).map_or(0, |run| run.partition_point(|held| *held < value));
        (whole + part) as u64
    }

    /// Heap bytes, reckoned from the number of values alone: runs are half full on average.
    pub(crate) fn bytes(&self) -> usize {
        2 * size_of::<i64>() * self.len
    }

    /// The first run that ends with this value or a greater one.
    fn run_of(&self, value: i64) -> usize {
        self.runs.partition_point(|run| run.last().is_some_and(|last| *last < value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_agree_with_a_sorted_list_through_any_coming_and_going() {
        let (mut ordered, mut plain) = (Ordered::default(), Vec::new());
        let mut seed = 11_u64;
        for step in 0..6_000_u64 {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let value = i64::try_from(seed >> 40).unwrap() % if step % 3 == 0 { 20 } else { 5_000 };
            let grows = step < 3_000 || seed >> 62 == 0;
            if grows || plain.is_empty() {
                ordered.add(value);
                plain.insert(plain.partition_point(|held| *held < value), value);
            } else {
                let at = usize::try_from(seed >> 33).unwrap() % plain.len();
                ordered.remove(plain.remove(at));
            }
            assert_eq!(ordered.len(), plain.len() as u64);
            if step % 37 == 0 && !plain.is_empty() {
                for rank in [1, plain.len() / 2 + 1, plain.len()] {
                    assert_eq!(ordered.nth(rank as u64), plain[rank - 1], "step {step}");
                }
                let less = plain.iter().filter(|held| **held < value).count();
                assert_eq!(ordered.below(value), less as u64);
            }
        }
        for value in plain {
            ordered.remove(value);
        }
        assert_eq!((ordered.len(), ordered.bytes(), ordered.runs.len()), (0, 0, 0));
    }

    #[test]
    fn a_value_that_is_not_there_is_not_taken_out() {
        let mut ordered = Ordered::default();
        ordered.add(5);
        ordered.remove(4);
        ordered.remove(6);
        assert_eq!((ordered.len(), ordered.nth(1)), (1, 5));
    }
}
