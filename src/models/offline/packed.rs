//! A forest of decision trees in flat memory: 16 bytes a node, children side by side, whole-number thresholds.
//!
//! Trees come as [`SourceNode`]s, from whatever trained them, and are packed: subtrees whose leaves all say the same
//! become one leaf, and a walk needs one comparison and one addition a level. A value beside each node, what the tree
//! says of all rows that come there, makes the explanation: a step from a node to its child is the doing of the feature
//! that the node asks.
//!
//! # Cost
//! A score: about a cache line for each level of each tree. An explanation: the same, and a sum for each feature.
//!
//! # Source
//! Explanations by the path: A. Palczewska et al., *Interpreting random forest classification models using a feature
//! contribution method*, 2013 (after A. Saabas).

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::models::offline::shares::{contributions, mean_micro, share_micro, straight};
use crate::models::offline::{
    Contribution, MAX_FEATURES, MAX_VALUE_NANO, is_known, load_signed, load_value, save_signed,
};
use crate::models::online::spec::Row;

/// Most trees of a forest.
pub const MAX_TREES: usize = 1 << 12;

/// Most nodes of all trees together: 100 MB.
pub const MAX_NODES: usize = 1 << 22;

/// Most splits from the root of a tree to a leaf.
pub const MAX_DEPTH: u8 = 64;

/// One, in billionths.
const ONE_NANO: i64 = 1_000_000_000;

/// A side of a split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Branch {
    /// Where values up to the threshold go.
    Left,
    /// Where larger ones go.
    Right,
}

/// How the values of the leaves become a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// Their mean is the score: a random forest whose leaves hold shares of fraud.
    Mean,
    /// Their sum and this offset, in billionths, are log odds: boosted trees.
    LogOdds {
        /// What is added to the sum.
        offset_nano: i64,
    },
}

/// A node of a tree that is to be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceNode {
    /// What the tree says of all rows that come here, in billionths: a leaf's value; the mean of what is below, weighted
    /// by the rows of the training, where it is split.
    pub value_nano: i64,
    /// How it is split; none: a leaf.
    pub split: Option<Split>,
}

/// Where a node sends a row: left where the value of the feature is at most the threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Place of the feature in the row.
    pub feature: usize,
    /// Largest value that goes left.
    pub threshold: i64,
    /// Where a missing value goes.
    pub missing: Branch,
    /// Place of the left child in the tree.
    pub left: usize,
    /// Place of the right child in the tree.
    pub right: usize,
}

/// Trees that cannot be packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForestError {
    /// No tree, or more than memory is for.
    #[error(
        "a forest of {n_trees} trees and {n_nodes} nodes: at most {MAX_TREES} trees and {MAX_NODES} nodes, and at least one tree"
    )]
    Size {
        /// How many trees.
        n_trees: usize,
        /// How many nodes.
        n_nodes: usize,
    },
    /// A tree without an end.
    #[error("tree {tree} is deeper than {MAX_DEPTH} splits: train with a bound on the depth")]
    Depth {
        /// Which, from 0.
        tree: usize,
    },
    /// A node leads to one that is not there or has a parent already, or asks a feature that is not there.
    #[error("node {node} of tree {tree} leads nowhere or asks an unknown feature")]
    Node {
        /// Which tree, from 0.
        tree: usize,
        /// Which of its nodes, from 0.
        node: usize,
    },
    /// A value that is no share where shares are expected, or is beyond all bounds.
    #[error("node {node} of tree {tree} has a value out of range")]
    Value {
        /// Which tree, from 0.
        tree: usize,
        /// Which of its nodes, from 0.
        node: usize,
    },
}

/// A packed node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Node {
    /// Largest value that goes left.
    threshold: i64,
    /// Place of the left child; the right one follows it. 0: a leaf.
    left: u32,
    feature: u16,
    /// What is added to `left` for a missing value: 0 or 1.
    missing: u16,
}

/// A node of no children, until it is known better.
const LEAF: Node = Node { threshold: 0, left: 0, feature: 0, missing: 0 };

/// Trees, one after the other.
///
/// INVARIANT: children lie behind their parent, side by side and inside; features lie inside the row.
#[derive(Clone, Debug, PartialEq)]
pub struct PackedForest {
    nodes: Vec<Node>,
    /// What each node says, in billionths.
    values: Vec<i64>,
    roots: Vec<u32>,
    link: Link,
    n_features: usize,
    /// The sum of what the roots say, in billionths.
    base_nano: i64,
}

impl PackedForest {
    /// Packs trees, each with its root first.
    ///
    /// # Errors
    /// Where a tree is none, or beyond the bounds.
    pub fn pack(
        trees: &[Vec<SourceNode>],
        n_features: usize,
        link: Link,
    ) -> Result<Self, ForestError> {
        let size =
            ForestError::Size { n_trees: trees.len(), n_nodes: trees.iter().map(Vec::len).sum() };
        if trees.is_empty() || trees.len() > MAX_TREES || n_features > MAX_FEATURES {
            return Err(size);
        }
        let mut packed = Self::empty(n_features, link);
        for (number, tree) in trees.iter().enumerate() {
            let order = breadth_first((number, tree), n_features, link)?;
            let ends = leaves(tree, &order);
            packed.push((tree, &ends)).ok_or(size)?;
        }
        packed.sum_base();
        Ok(packed)
    }

    fn empty(n_features: usize, link: Link) -> Self {
        let (nodes, values, roots) = (Vec::new(), Vec::new(), Vec::new());
        Self { nodes, values, roots, link, n_features, base_nano: 0 }
    }

    /// Appends a tree, breadth first. None where there are too many nodes.
    fn push(&mut self, (tree, ends): (&[SourceNode], &[bool])) -> Option<()> {
        self.roots.push(u32::try_from(self.nodes.len()).ok()?);
        // Source and packed place of what comes next.
        let mut open = std::collections::VecDeque::from([0_usize]);
        let mut next = self.nodes.len() + 1;
        while let Some(from) = open.pop_front() {
            let source = tree.get(from)?;
            self.values.push(source.value_nano);
            let split = source.split.filter(|_| ends.get(from) == Some(&false));
            self.nodes.push(match split {
                None => LEAF,
                Some(split) => {
                    open.extend([split.left, split.right]);
                    let left = u32::try_from(next).ok()?;
                    next += 2;
                    Node {
                        threshold: split.threshold,
                        left,
                        feature: u16::try_from(split.feature).ok()?,
                        missing: u16::from(split.missing == Branch::Right),
                    }
                }
            });
            if self.nodes.len() > MAX_NODES {
                return None;
            }
        }
        Some(())
    }

    fn sum_base(&mut self) {
        let root = |at: &u32| self.values.get(*at as usize).copied().unwrap_or(0);
        self.base_nano = self.roots.iter().map(root).sum();
    }

    /// The score of a row, in millionths, 0 to 1,000,000. None where no value of it is known.
    pub fn score_micro(&self, row: Row<'_>) -> Option<i64> {
        is_known(row).then(|| self.share_of(self.sum_nano(row)))
    }

    /// What the features add to that, largest first: together the score less [`Self::base_micro`].
    pub fn parts(&self, row: Row<'_>) -> Option<Vec<Contribution>> {
        if !is_known(row) {
            return None;
        }
        let mut parts = vec![0_i64; self.n_features];
        for root in &self.roots {
            self.walk(*root, row, |feature, from, to| {
                if let Some(part) = parts.get_mut(usize::from(feature)) {
                    *part += self.value(to) - self.value(from);
                }
            });
        }
        let whole = self.base_nano + parts.iter().sum::<i64>();
        Some(match self.link {
            Link::Mean => contributions(self.base_nano, &parts, |sum| self.share_of(sum)),
            Link::LogOdds { offset_nano } => {
                let base = self.base_nano + offset_nano;
                contributions(base, &parts, straight(base, whole + offset_nano))
            }
        })
    }

    /// The score of whoever is not known at all, in millionths.
    pub fn base_micro(&self) -> i64 {
        self.share_of(self.base_nano)
    }

    /// How many trees.
    pub fn n_trees(&self) -> usize {
        self.roots.len()
    }

    /// How many nodes.
    pub fn n_nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The most splits from the root of each tree to one of its leaves: no score takes more steps.
    ///
    /// # Cost
    /// A look at every node.
    pub fn depths(&self) -> Vec<u8> {
        let mut depths = vec![0_u8; self.nodes.len()];
        let ends = self.roots.iter().skip(1).map(|root| *root as usize).chain([self.nodes.len()]);
        let mut deepest = Vec::with_capacity(self.roots.len());
        for (root, end) in self.roots.iter().zip(ends) {
            let mut most = 0;
            for (at, node) in self.nodes.iter().enumerate().take(end).skip(*root as usize) {
                let depth = depths.get(at).copied().unwrap_or(0);
                most = most.max(depth);
                let left = node.left as usize;
                // INVARIANT: children lie behind their parent, side by side; a leaf's `left` is 0.
                if let Some(children) = depths.get_mut(left..left + 2).filter(|_| left != 0) {
                    children.fill(depth.saturating_add(1));
                }
            }
            deepest.push(most);
        }
        deepest
    }

    /// How the leaves become a score.
    pub fn link(&self) -> Link {
        self.link
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        self.nodes.capacity() * size_of::<Node>()
            + self.values.capacity() * size_of::<i64>()
            + self.roots.capacity() * size_of::<u32>()
    }

    /// What the leaves say together, in billionths.
    fn sum_nano(&self, row: Row<'_>) -> i64 {
        self.roots.iter().map(|root| self.value(self.walk(*root, row, |_, _, _| {}))).sum()
    }

    fn share_of(&self, sum_nano: i64) -> i64 {
        match self.link {
            Link::Mean => mean_micro(sum_nano, self.roots.len()),
            Link::LogOdds { offset_nano } => share_micro(sum_nano + offset_nano),
        }
    }

    fn value(&self, at: u32) -> i64 {
        self.values.get(at as usize).copied().unwrap_or(0)
    }

    /// Goes from a root to a leaf, and tells every step: the feature, from where, to where.
    fn walk(&self, root: u32, row: Row<'_>, mut step: impl FnMut(u16, u32, u32)) -> u32 {
        let mut at = root;
        while let Some(node) = self.nodes.get(at as usize).filter(|node| node.left != 0) {
            let value = row.get(usize::from(node.feature)).copied().flatten();
            let aside = value.map_or(node.missing, |value| u16::from(value > node.threshold));
            let to = node.left + u32::from(aside);
            step(node.feature, at, to);
            at = to;
        }
        at
    }

    /// Writes it. Children are not written: they follow from the order.
    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        let offset_nano = match self.link {
            Link::Mean => None,
            Link::LogOdds { offset_nano } => Some(offset_nano),
        };
        code.flag(offset_nano.is_some());
        save_signed(offset_nano.unwrap_or(0), code);
        code.count(self.roots.len());
        let ends = self.roots.iter().skip(1).map(|root| *root as usize).chain([self.nodes.len()]);
        for (root, end) in self.roots.iter().zip(ends) {
            let root = *root as usize;
            code.count(end - root);
            for (node, value) in self.nodes.iter().zip(&self.values).take(end).skip(root) {
                let kind = u64::from(node.feature) << 1 | u64::from(node.missing);
                code.var(if node.left == 0 { 0 } else { kind + 1 });
                save_signed(*value, code);
                if node.left != 0 {
                    save_signed(node.threshold, code);
                }
            }
        }
    }

    /// Reads what [`Self::save`] wrote.
    pub(super) fn load(n_features: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "trees of a forest";
        let is_log_odds = code.flag(WHAT)?;
        let offset_nano = load_value(code, WHAT)?;
        let link = if is_log_odds { Link::LogOdds { offset_nano } } else { Link::Mean };
        code.demand(is_log_odds || offset_nano == 0, WHAT)?;
        let n_trees = code.count(3, WHAT)?;
        code.demand((1..=MAX_TREES).contains(&n_trees), WHAT)?;
        let mut forest = Self::empty(n_features, link);
        for _ in 0..n_trees {
            forest.load_tree(code)?;
        }
        forest.sum_base();
        Ok(forest)
    }

    fn load_tree(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        const WHAT: &str = "nodes of a tree";
        let n = code.count(2, WHAT)?;
        let root = self.nodes.len();
        code.demand(n > 0 && root + n <= MAX_NODES, WHAT)?;
        self.roots.push(narrow(root, code)?);
        // How deep each node lies, and where the children of the next split are.
        let mut depths = vec![0_u8; n];
        let mut next = 1;
        for at in 0..n {
            code.demand(at < next, WHAT)?;
            let node = self.load_node((root, next), code)?;
            if node.left != 0 {
                let depth = depths.get(at).map_or(MAX_DEPTH, |depth| depth + 1);
                code.demand(depth <= MAX_DEPTH, WHAT)?;
                let children = depths.get_mut(next..next + 2);
                children.ok_or_else(|| code.damaged(WHAT))?.fill(depth);
                next += 2;
            }
            self.nodes.push(node);
        }
        code.demand(next == n, WHAT)
    }

    /// A node, and its value; `next`: where its children lie, from the root.
    fn load_node(
        &mut self,
        (root, next): (usize, usize),
        code: &mut Decoder<'_>,
    ) -> Result<Node, Damaged> {
        const WHAT: &str = "node of a tree";
        let kind = code.index(WHAT)?;
        let value = load_value(code, WHAT)?;
        code.demand(is_value(value, self.link), WHAT)?;
        self.values.push(value);
        let Some(kind) = kind.checked_sub(1) else { return Ok(LEAF) };
        code.demand(kind >> 1 < self.n_features, WHAT)?;
        let feature = u16::try_from(kind >> 1).map_err(|_| code.damaged(WHAT))?;
        let missing = u16::from(kind & 1 == 1);
        let threshold = load_signed(code, WHAT)?;
        Ok(Node { threshold, left: narrow(root + next, code)?, feature, missing })
    }
}

fn narrow(place: usize, code: &Decoder<'_>) -> Result<u32, Damaged> {
    u32::try_from(place).map_err(|_| code.damaged("place of a node"))
}

/// Whether a node may say that: shares where they are averaged.
fn is_value(value_nano: i64, link: Link) -> bool {
    match link {
        Link::Mean => (0..=ONE_NANO).contains(&value_nano),
        Link::LogOdds { .. } => value_nano.unsigned_abs() <= MAX_VALUE_NANO.unsigned_abs(),
    }
}

/// The nodes of a tree, each before its children, after a check that it is a tree.
fn breadth_first(
    (number, tree): (usize, &[SourceNode]),
    n_features: usize,
    link: Link,
) -> Result<Vec<usize>, ForestError> {
    let wrong = |node| ForestError::Node { tree: number, node };
    let mut seen = vec![false; tree.len()];
    let mut order = vec![(0_usize, 0_u8)];
    let mut at = 0;
    while let Some((node, depth)) = order.get(at).copied() {
        let known = seen.get_mut(node).filter(|seen| !**seen).ok_or(wrong(node))?;
        *known = true;
        let source = tree.get(node).ok_or(wrong(node))?;
        if !is_value(source.value_nano, link) {
            return Err(ForestError::Value { tree: number, node });
        }
        if let Some(split) = source.split {
            if split.feature >= n_features {
                return Err(wrong(node));
            }
            if depth >= MAX_DEPTH {
                return Err(ForestError::Depth { tree: number });
            }
            order.extend([(split.left, depth + 1), (split.right, depth + 1)]);
        }
        at += 1;
    }
    Ok(order.into_iter().map(|(node, _)| node).collect())
}

/// Which nodes are leaves once subtrees whose leaves all say the same are one leaf.
fn leaves(tree: &[SourceNode], order: &[usize]) -> Vec<bool> {
    let mut ends = vec![false; tree.len()];
    for node in order.iter().rev() {
        let Some(source) = tree.get(*node) else { continue };
        let says = |at: usize| tree.get(at).map(|child| child.value_nano);
        let is_end = source.split.is_none_or(|split| {
            let both = [split.left, split.right];
            both.iter()
                .all(|at| ends.get(*at) == Some(&true) && says(*at) == Some(source.value_nano))
        });
        if let Some(end) = ends.get_mut(*node) {
            *end = is_end;
        }
    }
    ends
}
