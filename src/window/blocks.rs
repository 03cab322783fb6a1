//! A tree over the entries of a log that answers "least, greatest or any filter bit of entries `a..b`".
//!
//! Every level joins 16 nodes of the level below: 16, 256 and 4,096 entries. Unlike a monotone queue it answers any
//! range, so windows that end in the past, late events and all windows of one column share one tree.
//!
//! Cost: an append touches one node per level; a range of `n` entries takes about 60 joins and at most
//! `90 + n / 4096`; a late insert rebuilds the nodes behind it.

const FAN: usize = 16;
const LEVELS: usize = 3;

/// What a tree joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Join {
    /// The least value.
    Least,
    /// The greatest value.
    Greatest,
    /// The union of bits.
    Any,
}

impl Join {
    /// The value that changes nothing.
    pub(crate) fn neutral(self) -> i64 {
        match self {
            Self::Least => i64::MAX,
            Self::Greatest => i64::MIN,
            Self::Any => 0,
        }
    }

    /// Joins two values.
    #[inline]
    pub(crate) fn join(self, left: i64, right: i64) -> i64 {
        match self {
            Self::Least => left.min(right),
            Self::Greatest => left.max(right),
            Self::Any => left | right,
        }
    }
}

/// The inner nodes; the entries themselves are the leaves and stay where they are.
#[derive(Clone, Debug)]
pub(crate) struct Blocks {
    join: Join,
    levels: [Vec<i64>; LEVELS],
}

impl Blocks {
    /// A tree over nothing.
    pub(crate) fn new(join: Join) -> Self {
        Self { join, levels: [const { Vec::new() }; LEVELS] }
    }

    /// Heap bytes: a level grows by doubling.
    pub(crate) fn bytes(&self) -> usize {
        let nodes = |level: &Vec<i64>| match level.len() {
            0 => 0,
            len => len.next_power_of_two().max(4),
        };
        self.levels.iter().map(|level| nodes(level) * size_of::<i64>()).sum()
    }

    /// Gives all memory back; to be rebuilt.
    pub(crate) fn clear(&mut self) {
        self.levels = [const { Vec::new() }; LEVELS];
    }

    /// Takes in the entry number `index`, which is the last.
    #[inline]
    pub(crate) fn push(&mut self, index: usize, value: i64) {
        let mut node = index;
        for level in &mut self.levels {
            node /= FAN;
            if node < level.len() {
                level[node] = self.join.join(level[node], value);
            } else {
                level.push(value);
            }
        }
    }

    /// Builds the nodes anew that hold entries `from..len`.
    pub(crate) fn rebuild(&mut self, from: usize, len: usize, leaf: impl Fn(usize) -> i64) {
        let join = self.join;
        let (mut first, mut below_len) = (from, len);
        for at in 0..LEVELS {
            first /= FAN;
            let (below, rest) = self.levels.split_at_mut(at);
            let below = below.last();
            let level = &mut rest[0];
            level.truncate(first);
            let value = |child: usize| below.map_or_else(|| leaf(child), |below| below[child]);
            for node in first..below_len.div_ceil(FAN) {
                let children = node * FAN..((node + 1) * FAN).min(below_len);
                level.push(
                    children.map(value).fold(join.neutral(), |held, more| join.join(held, more)),
                );
            }
            below_len = level.len();
        }
    }

    /// The join of entries `from..to`.
    pub(crate) fn query(&self, from: usize, to: usize, leaf: impl Fn(usize) -> i64) -> i64 {
        let join = self.join;
        let mut value = join.neutral();
        let (mut from, mut to) = (from, to);
        for depth in 0..=LEVELS {
            let node = |at: usize| match depth {
                0 => leaf(at),
                _ => self.levels[depth - 1][at],
            };
            let top = depth == LEVELS;
            while from < to && (top || !from.is_multiple_of(FAN)) {
                value = join.join(value, node(from));
                from += 1;
            }
            while from < to && !to.is_multiple_of(FAN) {
                to -= 1;
                value = join.join(value, node(to));
            }
            if from >= to {
                break;
            }
            from /= FAN;
            to /= FAN;
        }
        value
    }

    /// The last of the entries `from..to` whose value has one of the bits of `mask`.
    pub(crate) fn find_last(
        &self,
        from: usize,
        to: usize,
        mask: i64,
        leaf: impl Fn(usize) -> i64,
    ) -> Option<usize> {
        let mut at = to;
        while at > from {
            if let Some(skip) = self.barren(at, mask) {
                at = at.saturating_sub(skip);
                continue;
            }
            at -= 1;
            if leaf(at) & mask != 0 {
                return Some(at);
            }
        }
        None
    }

    /// The largest whole block that ends at `end` and has no bit of `mask`.
    fn barren(&self, end: usize, mask: i64) -> Option<usize> {
        let mut barren = None;
        let mut size = 1;
        for level in &self.levels {
            size *= FAN;
            if !end.is_multiple_of(size) || level[end / size - 1] & mask != 0 {
                break;
            }
            barren = Some(size);
        }
        barren
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed sequence that looks random.
    fn values(len: usize) -> Vec<i64> {
        (0..len as u64)
            .map(|n| ((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) % 1_000).cast_signed())
            .collect()
    }

    #[test]
    fn every_range_joins_as_a_plain_fold() {
        let values = values(5_000);
        for join in [Join::Least, Join::Greatest, Join::Any] {
            let mut tree = Blocks::new(join);
            for (at, value) in values.iter().enumerate() {
                tree.push(at, *value);
            }
            for (from, to) in [(0, 5_000), (3, 4_999), (16, 32), (17, 31), (255, 4_096), (9, 9)] {
                let plain = values[from..to].iter().fold(join.neutral(), |a, b| join.join(a, *b));
                assert_eq!(tree.query(from, to, |at| values[at]), plain, "{join:?} {from}..{to}");
            }
        }
    }

    #[test]
    fn a_rebuilt_tree_equals_one_that_was_pushed() {
        let mut values = values(700);
        let mut tree = Blocks::new(Join::Greatest);
        for (at, value) in values.iter().enumerate() {
            tree.push(at, *value);
        }
        values.insert(300, 5_000);
        tree.rebuild(300, values.len(), |at| values[at]);
        let mut fresh = Blocks::new(Join::Greatest);
        for (at, value) in values.iter().enumerate() {
            fresh.push(at, *value);
        }
        assert_eq!(tree.levels, fresh.levels);
    }

    #[test]
    fn the_last_entry_with_a_rare_bit_is_found() {
        let mut values = vec![1_i64; 10_000];
        values[37] = 3;
        values[8_000] = 5;
        let mut tree = Blocks::new(Join::Any);
        for (at, value) in values.iter().enumerate() {
            tree.push(at, *value);
        }
        let leaf = |at: usize| values[at];
        assert_eq!(tree.find_last(0, 10_000, 2, leaf), Some(37));
        assert_eq!(tree.find_last(38, 10_000, 2, leaf), None);
        assert_eq!(tree.find_last(0, 10_000, 4, leaf), Some(8_000));
        assert_eq!(tree.find_last(0, 8_000, 4, leaf), None);
        assert_eq!(tree.find_last(0, 10_000, 1, leaf), Some(9_999));
    }
}
