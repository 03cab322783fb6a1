//! The trees of an isolation forest: drawn from rows and a seed, walked, saved.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::base::count::nearest_i64;

/// Trees of a forest.
const TREES: usize = 100;

/// Rows of one tree, and the depth below which it stops cutting: log2 of that.
const TREE_ROWS: usize = 256;
const MAX_DEPTH: u8 = 8;

/// Most nodes of a tree of that depth.
const MAX_NODES: usize = 1 << (MAX_DEPTH + 1);

/// A deterministic sequence of numbers.
///
/// # Source
/// `SplitMix64` (Steele, Lea, Flood 2014).
#[derive(Clone, Copy, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let word = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A number below `n`, which is not 0: the high half of a product, as even as 64 bits allow.
    fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.next()) * u128::from(n);
        u64::try_from(wide >> 64).unwrap_or(0)
    }

    fn place(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n.max(1) as u64)).unwrap_or(0)
    }
}

/// One node; the left branch of a cut is the node after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Node {
    /// Rows whose feature lies below the bound go left.
    Cut { feature: u16, bound: i64, right: u16 },
    /// The depth at which rows end here, in millionths, with what further cuts would add.
    Leaf { depth_micro: i64 },
}

/// All trees, and what stands for a missing value.
#[derive(Clone, Debug, Default)]
pub(super) struct Trees {
    /// By feature.
    medians: Vec<i64>,
    grown: Vec<Vec<Node>>,
    /// Mean depth for a sample of the trees' size, in millionths.
    usual_micro: i64,
}

impl Trees {
    /// Draws trees from rows without gaps.
    pub(super) fn draw(rows: &[Vec<i64>], medians: Vec<i64>, dice: &mut Dice) -> Self {
        let size = rows.len().min(TREE_ROWS);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        let mut trees = Vec::with_capacity(TREES);
        for _ in 0..TREES {
            // The first steps of a Fisher-Yates shuffle give a sample without repeats.
            for at in 0..size {
                let other = at + dice.place(rows.len() - at);
                order.swap(at, other);
            }
            let mut sample: Vec<&[i64]> =
                order.iter().take(size).map(|at| rows[*at].as_slice()).collect();
            let mut nodes = Vec::new();
            grow(&mut sample, 0, &mut nodes, dice);
            trees.push(nodes);
        }
        Self { medians, grown: trees, usual_micro: mean_depth_micro(size) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.grown.is_empty()
    }

    pub(super) fn medians(&self) -> &[i64] {
        &self.medians
    }

    /// `1 - E / c` in millionths.
    pub(super) fn score(&self, row: &[i64]) -> i64 {
        let n = i64::try_from(self.grown.len()).unwrap_or(i64::MAX).max(1);
        let depth_micro = self.grown.iter().map(|tree| depth_micro(tree, row)).sum::<i64>() / n;
        let short = i128::from(self.usual_micro - depth_micro) * 1_000_000;
        i64::try_from(short / i128::from(self.usual_micro.max(1))).unwrap_or(0)
    }

    pub(super) fn bytes(&self) -> usize {
        let nodes: usize = self.grown.iter().map(Vec::len).sum();
        nodes * size_of::<Node>() + (self.medians.len() + 3 * self.grown.len()) * size_of::<i64>()
    }

    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.grown.len());
        if self.grown.is_empty() {
            return;
        }
        code.int(self.usual_micro);
        self.medians.iter().for_each(|median| code.int(*median));
        for tree in &self.grown {
            code.count(tree.len());
            for node in tree {
                match node {
                    Node::Leaf { depth_micro } => {
                        code.byte(0);
                        code.int(*depth_micro);
                    }
                    Node::Cut { feature, bound, right } => {
                        code.byte(1);
                        code.int(*bound);
                        code.var(u64::from(*feature));
                        code.var(u64::from(*right));
                    }
                }
            }
        }
    }

    pub(super) fn load(n_features: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "trees of a forest";
        let n = code.count(10, WHAT)?;
        code.demand(n <= TREES, WHAT)?;
        if n == 0 {
            return Ok(Self::default());
        }
        let usual_micro = code.int(WHAT)?;
        code.demand((0..=1_000_000_000).contains(&usual_micro), WHAT)?;
        let medians = code.words(n_features, WHAT)?.map(u64::cast_signed).collect();
        let mut trees = Vec::with_capacity(n);
        for _ in 0..n {
            let len = code.count(9, WHAT)?;
            code.demand(len > 0 && len <= MAX_NODES, WHAT)?;
            let tree: Result<Vec<Node>, Damaged> =
                (0..len).map(|at| load_node((at, len), n_features, code)).collect();
            trees.push(tree?);
        }
        Ok(Self { medians, grown: trees, usual_micro })
    }
}

/// Every branch leads further on and stays inside, so every walk ends.
fn load_node(
    (at, len): (usize, usize),
    n_features: usize,
    code: &mut Decoder<'_>,
) -> Result<Node, Damaged> {
    const WHAT: &str = "node of a tree";
    if code.flag(WHAT)? {
        let bound = code.int(WHAT)?;
        let (feature, right) = (code.index(WHAT)?, code.index(WHAT)?);
        code.demand(feature < n_features && at + 1 < right && right < len, WHAT)?;
        let narrow = |n: usize| u16::try_from(n).map_err(|_| code.damaged(WHAT));
        return Ok(Node::Cut { feature: narrow(feature)?, bound, right: narrow(right)? });
    }
    let depth_micro = code.int(WHAT)?;
    code.demand((0..=1_000_000_000).contains(&depth_micro), WHAT)?;
    Ok(Node::Leaf { depth_micro })
}

fn grow(rows: &mut [&[i64]], depth: u8, nodes: &mut Vec<Node>, dice: &mut Dice) {
    let at = nodes.len();
    let leaf =
        Node::Leaf { depth_micro: i64::from(depth) * 1_000_000 + mean_depth_micro(rows.len()) };
    nodes.push(leaf);
    if depth >= MAX_DEPTH || rows.len() < 2 {
        return;
    }
    let Some((feature, least, most)) = pick(rows, dice) else { return };
    // Above the least, at most the most: neither side is empty.
    let above = dice.below(most.wrapping_sub(least).cast_unsigned()).saturating_add(1);
    let bound = least.wrapping_add(above.cast_signed());
    rows.sort_unstable_by_key(|row| row[feature]);
    let cut = rows.partition_point(|row| row[feature] < bound);
    let (left, right) = rows.split_at_mut(cut);
    grow(left, depth + 1, nodes, dice);
    let right_at = nodes.len();
    grow(right, depth + 1, nodes, dice);
    let narrow = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
    nodes[at] = Node::Cut { feature: narrow(feature), bound, right: narrow(right_at) };
}

/// One of the features in which the rows differ, with its least and its greatest value.
fn pick(rows: &[&[i64]], dice: &mut Dice) -> Option<(usize, i64, i64)> {
    let n_features = rows.first()?.len();
    let ranges = (0..n_features).filter_map(|feature| {
        let values = || rows.iter().map(|row| row[feature]);
        let (least, most) = (values().min()?, values().max()?);
        (least < most).then_some((feature, least, most))
    });
    let ranges: Vec<(usize, i64, i64)> = ranges.collect();
    ranges.get(dice.place(ranges.len())).copied()
}

fn depth_micro(tree: &[Node], row: &[i64]) -> i64 {
    let mut at = 0;
    loop {
        match tree.get(at) {
            Some(Node::Cut { feature, bound, right }) => {
                let value = row.get(usize::from(*feature)).copied().unwrap_or(0);
                at = if value < *bound { at + 1 } else { usize::from(*right) };
            }
            Some(Node::Leaf { depth_micro }) => return *depth_micro,
            None => return 0,
        }
    }
}

/// The mean depth of an unsuccessful search in a binary search tree of so many rows: `2 H(n - 1) - 2 (n - 1) / n`.
fn mean_depth_micro(n: usize) -> i64 {
    let n = u32::try_from(n).unwrap_or(u32::MAX);
    if n < 2 {
        return 0;
    }
    let harmonic: f64 = (1..n).map(|k| 1.0 / f64::from(k)).sum();
    nearest_i64((2.0 * harmonic - 2.0 * f64::from(n - 1) / f64::from(n)) * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_depths_are_those_of_the_paper() {
        assert_eq!(mean_depth_micro(1), 0);
        assert_eq!(mean_depth_micro(2), 1_000_000);
        // 2 (1 + 1/2) - 4/3 = 5/3.
        assert_eq!(mean_depth_micro(3), 1_666_667);
        // 2 H(255) - 510/256, H(255) = 6.120437...
        assert!((mean_depth_micro(256) - 10_248_000).abs() < 1_000, "{}", mean_depth_micro(256));
    }

    #[test]
    fn a_row_far_out_is_set_apart_sooner() {
        let rows: Vec<Vec<i64>> = (0..400).map(|at| vec![at % 20, at % 17]).collect();
        let trees = Trees::draw(&rows, vec![10, 8], &mut Dice::new(1));
        let (usual, odd) = (trees.score(&[10, 8]), trees.score(&[500, 8]));
        assert!(odd > usual + 100_000, "{odd} against {usual}");
    }

    #[test]
    fn every_branch_of_a_damaged_tree_is_refused_that_would_not_end() {
        let rows: Vec<Vec<i64>> = (0..300).map(|at| vec![at]).collect();
        let trees = Trees::draw(&rows, vec![150], &mut Dice::new(3));
        let mut out = Vec::new();
        trees.save(&mut Encoder::new(&mut out));
        let again = Trees::load(1, &mut Decoder::new(&out)).unwrap();
        assert_eq!(again.grown, trees.grown);
        for at in (0..out.len()).step_by(out.len() / 300) {
            let mut damaged = out.clone();
            damaged[at] ^= 0xff;
            if let Ok(trees) = Trees::load(1, &mut Decoder::new(&damaged)) {
                trees.score(&[7]);
            }
        }
    }
}
