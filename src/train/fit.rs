//! Training: rows and what turned out become a scorer, by `smartcore`.
//!
//! `smartcore` trains and nothing else: what it found is taken out and packed, and scores from then on are ours
//! ([`crate::models::offline`]). Its forms of saving differ from version to version and its fields are private, so the
//! version is pinned and the trees are read through its serde form, value by value and never through text.
//!
//! What it does not guard against is guarded here: it never stops without a bound on the depth, panics on a number that is
//! none, and says 1.0 of one silently. Rows are whole numbers, missing values are the median of their column, and the node
//! that splits there remembers on which side that median lies.
//!
//! # Cost
//! Trees are fitted one by one on several threads, each with a seed of its own, so the number of threads changes nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;

use serde::Deserialize;
use smartcore::ensemble::random_forest_regressor::{
    RandomForestRegressor, RandomForestRegressorParameters,
};
use smartcore::linalg::basic::arrays::Array as _;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};
use smartcore::tree::decision_tree_regressor::{
    DecisionTreeRegressor, DecisionTreeRegressorParameters,
};

use crate::base::count::{nearest_f64, nearest_i64, nearest_signed_f64};
use crate::models::offline::packed::MAX_DEPTH;
use crate::models::offline::{
    Branch, ForestError, Link, Logistic, PackedForest, Scorer, SourceNode, Split, Term,
};

/// The version of the library that trains, as the manifest pins it.
pub const LIBRARY: &str = "smartcore 0.7.0";

/// Largest whole number that a double holds with all below it.
const EXACT: i64 = 1 << 53;

type Matrix = DenseMatrix<f64>;
type Forest = RandomForestRegressor<f64, f64, Matrix, Vec<f64>>;
type Tree = DecisionTreeRegressor<f64, f64, Matrix, Vec<f64>>;
type Regression = LogisticRegression<f64, u32, Matrix, Vec<u32>>;

/// Rows and what turned out.
#[derive(Clone, Debug, Default)]
pub struct Lessons {
    n_features: usize,
    /// Row by row.
    values: Vec<Option<i64>>,
    frauds: Vec<bool>,
}

impl Lessons {
    /// None yet, of rows with so many features.
    pub fn new(n_features: usize) -> Self {
        Self { n_features, values: Vec::new(), frauds: Vec::new() }
    }

    /// One more. A row that is shorter lacks its last values.
    pub fn push(&mut self, row: &[Option<i64>], is_fraud: bool) {
        let padded = row.iter().copied().chain(std::iter::repeat(None));
        self.values.extend(padded.take(self.n_features));
        self.frauds.push(is_fraud);
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.frauds.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frauds.is_empty()
    }

    /// How many are fraud.
    pub fn n_frauds(&self) -> usize {
        self.frauds.iter().filter(|is_fraud| **is_fraud).count()
    }

    /// The values of a feature.
    pub fn column(&self, feature: usize) -> impl Iterator<Item = Option<i64>> {
        self.values.iter().skip(feature).step_by(self.n_features.max(1)).copied()
    }

    /// The lower median of what is known of each feature.
    pub fn medians(&self) -> Vec<Option<i64>> {
        let median = |feature| {
            let mut known: Vec<i64> = self.column(feature).flatten().collect();
            let at = known.len().checked_sub(1)? / 2;
            Some(*known.select_nth_unstable(at).1)
        };
        (0..self.n_features).map(median).collect()
    }

    /// Column by column, the gaps filled.
    fn columns(&self, fill: &[i64]) -> Vec<f64> {
        let column = |(feature, fill): (usize, &i64)| {
            let fill = *fill;
            self.column(feature).map(move |value| exact(value.unwrap_or(fill)))
        };
        fill.iter().enumerate().flat_map(column).collect()
    }

    /// Refuses what nothing can be learned from.
    fn check(&self) -> Result<(), FitError> {
        let (n, frauds) = (self.len(), self.n_frauds());
        if self.n_features == 0 || frauds == 0 || frauds == n {
            return Err(FitError::OneKind { events: n, frauds });
        }
        Ok(())
    }
}

/// A whole number as a double, those beyond all doubles that are exact at their edge.
fn exact(value: i64) -> f64 {
    nearest_signed_f64(value.clamp(-EXACT, EXACT))
}

/// How a forest is grown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForestPlan {
    /// How many trees.
    pub trees: usize,
    /// Most splits from a root to a leaf.
    pub max_depth: u8,
    /// Least events of a leaf.
    pub min_leaf: usize,
    /// Features among which each split chooses; none: the root of their number.
    pub per_split: Option<usize>,
    /// What all chance follows from.
    pub seed: u64,
    /// How many threads grow it.
    pub threads: usize,
}

impl Default for ForestPlan {
    fn default() -> Self {
        Self { trees: 100, max_depth: 20, min_leaf: 3, per_split: None, seed: 0, threads: 1 }
    }
}

/// Nothing was learned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FitError {
    /// All are of one kind.
    #[error(
        "nothing can be learned from {events} events of which {frauds} are fraud: both kinds are needed"
    )]
    OneKind {
        /// How many.
        events: usize,
        /// Frauds among them.
        frauds: usize,
    },
    /// There is nothing to measure it by.
    #[error(
        "the measured period has no events: choose another, see the flags of periods in `--help`"
    )]
    NothingMeasured,
    /// A plan that does not end, or grows nothing.
    #[error(
        "a forest needs 1 to 4096 trees, a depth of 1 to {MAX_DEPTH}, leaves of at least one event, and 1 to all features a split"
    )]
    Plan,
    /// The library refused.
    #[error("could not train: {0}")]
    Library(String),
    /// What it found cannot be packed.
    #[error("could not pack what was trained: {0}")]
    Forest(#[from] ForestError),
    /// What it found is no number.
    #[error("the regression did not end at finite numbers: strengthen it with a larger penalty")]
    NotFinite,
}

/// What was learned.
#[derive(Clone, Debug)]
pub struct Fitted {
    /// Makes scores.
    pub scorer: Scorer,
    /// How much each feature matters, as the method itself counts it; together 1 for trees, and standardised
    /// coefficients for a regression.
    pub weights: Vec<f64>,
}

/// Grows a random forest on shares of fraud.
///
/// # Errors
/// Where the plan is none, or nothing can be learned.
pub fn forest(lessons: &Lessons, plan: &ForestPlan) -> Result<Fitted, FitError> {
    lessons.check()?;
    let per_split = plan.per_split.unwrap_or(lessons.n_features.isqrt()).max(1);
    let fits = (1..=4096).contains(&plan.trees)
        && (1..=MAX_DEPTH).contains(&plan.max_depth)
        && plan.min_leaf > 0
        && per_split <= lessons.n_features
        && plan.per_split != Some(0);
    if !fits {
        return Err(FitError::Plan);
    }
    let fill = filled(lessons);
    let (matrix, frauds) = (matrix(lessons, &fill)?, shares(lessons));
    let next = AtomicUsize::new(0);
    let (done, ready) = channel();
    let grow = || {
        let done = done.clone();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= plan.trees {
                return;
            }
            let tree = one_tree((&matrix, &frauds), plan, (per_split, number), &fill);
            if done.send((number, tree)).is_err() {
                return;
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..plan.threads.clamp(1, 64) {
            scope.spawn(grow);
        }
    });
    let mut grown: Vec<(usize, Result<Grown, FitError>)> = ready.try_iter().collect();
    grown.sort_by_key(|(number, _)| *number);
    let grown: Result<Vec<Grown>, FitError> = grown.into_iter().map(|(_, tree)| tree).collect();
    pack(grown?, lessons.n_features)
}

/// Grows a single tree on all events and features.
///
/// # Errors
/// Where nothing can be learned.
pub fn tree(lessons: &Lessons, max_depth: u8) -> Result<Fitted, FitError> {
    lessons.check()?;
    if !(1..=MAX_DEPTH).contains(&max_depth) {
        return Err(FitError::Plan);
    }
    let fill = filled(lessons);
    let parameters = DecisionTreeRegressorParameters::default().with_max_depth(max_depth.into());
    let tree = Tree::fit(&matrix(lessons, &fill)?, &shares(lessons), parameters);
    let tree = tree.map_err(|error| FitError::Library(error.to_string()))?;
    let weights = tree.compute_feature_importances(true);
    let saved: SavedTreeModel = taken_out(&tree)?;
    let nodes = source(saved.tree_regressor.nodes, &fill);
    let weights = weights.map_err(|error| FitError::Library(error.to_string()))?;
    pack(vec![Grown { nodes, weights }], lessons.n_features)
}

/// Fits a logistic regression on standardised columns, with a penalty on the square of the coefficients.
///
/// # Errors
/// Where nothing can be learned, or it ends nowhere.
pub fn logistic(lessons: &Lessons, penalty: f64) -> Result<Fitted, FitError> {
    lessons.check()?;
    let n = nearest_f64(lessons.len() as u64);
    let (mut values, mut scales) = (Vec::new(), Vec::new());
    for feature in 0..lessons.n_features {
        let known: Vec<f64> = lessons.column(feature).flatten().map(exact).collect();
        let n_known = nearest_f64(known.len() as u64).max(1.0);
        let center = nearest_i64(known.iter().sum::<f64>() / n_known);
        let squares: f64 = known.iter().map(|it| (it - exact(center)).powi(2)).sum();
        // Gaps stand at the center.
        let spread = (squares / n).sqrt();
        let spread = if spread > 0.0 { spread } else { 1.0 };
        let column = lessons.column(feature).map(|value| value.map_or(0.0, exact_from(center)));
        values.extend(column.map(|away| away / spread));
        scales.push((center, spread));
    }
    let matrix = DenseMatrix::new(lessons.len(), lessons.n_features, values, true);
    let matrix = matrix.map_err(|error| FitError::Library(error.to_string()))?;
    let kinds: Vec<u32> = lessons.frauds.iter().map(|is_fraud| u32::from(*is_fraud)).collect();
    let parameters = LogisticRegressionParameters::default().with_alpha(penalty);
    let fitted = Regression::fit(&matrix, &kinds, parameters);
    let fitted = fitted.map_err(|error| FitError::Library(error.to_string()))?;
    let weights: Vec<f64> = fitted.coefficients().iterator(0).copied().collect();
    let intercept = fitted.intercept().iterator(0).next().copied().unwrap_or(f64::NAN);
    let terms = weights.iter().zip(&scales);
    let terms =
        terms.map(|(weight, (center, spread))| Term { center: *center, slope: weight / spread });
    let logistic = Logistic::new(intercept, terms.collect()).ok_or(FitError::NotFinite)?;
    Ok(Fitted { scorer: Scorer::Logistic(logistic), weights })
}

fn exact_from(center: i64) -> impl Fn(i64) -> f64 {
    move |value| exact(value) - exact(center)
}

/// What gaps are filled with. A column without any value is constant, and nothing splits by it.
fn filled(lessons: &Lessons) -> Vec<i64> {
    lessons.medians().into_iter().map(Option::unwrap_or_default).collect()
}

fn matrix(lessons: &Lessons, fill: &[i64]) -> Result<Matrix, FitError> {
    DenseMatrix::new(lessons.len(), lessons.n_features, lessons.columns(fill), true)
        .map_err(|error| FitError::Library(error.to_string()))
}

fn shares(lessons: &Lessons) -> Vec<f64> {
    lessons.frauds.iter().map(|is_fraud| f64::from(u8::from(*is_fraud))).collect()
}

/// A tree, ready to be packed.
struct Grown {
    nodes: Vec<SourceNode>,
    weights: Vec<f64>,
}

fn one_tree(
    (matrix, frauds): (&Matrix, &Vec<f64>),
    plan: &ForestPlan,
    (per_split, number): (usize, usize),
    fill: &[i64],
) -> Result<Grown, FitError> {
    let forest = Forest::fit(matrix, frauds, parameters(plan, per_split, number))
        .map_err(|error| FitError::Library(error.to_string()))?;
    let weights = forest.compute_feature_importances();
    let weights = weights.map_err(|error| FitError::Library(error.to_string()))?;
    let saved: SavedForest = taken_out(&forest)?;
    let tree = saved.forest_regressor.trees.into_iter().next();
    let tree = tree.ok_or_else(|| FitError::Library("no tree came back".to_owned()))?;
    Ok(Grown { nodes: source(tree.nodes, fill), weights })
}

/// Those of one tree of a forest: a forest of one tree with a seed of its own.
fn parameters(
    plan: &ForestPlan,
    per_split: usize,
    number: usize,
) -> RandomForestRegressorParameters {
    RandomForestRegressorParameters::default()
        .with_n_trees(1)
        .with_max_depth(plan.max_depth.into())
        .with_min_samples_leaf(plan.min_leaf)
        .with_m(per_split)
        .with_seed(seed_of(plan.seed, number))
}

/// A seed for each tree (`SplitMix64`), so that neighboring seeds of forests share no trees.
pub(super) fn seed_of(seed: u64, number: usize) -> u64 {
    let mut z = seed.wrapping_add((number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

fn pack(grown: Vec<Grown>, n_features: usize) -> Result<Fitted, FitError> {
    let n = nearest_f64(grown.len() as u64);
    let mut weights = vec![0.0; n_features];
    for tree in &grown {
        for (sum, weight) in weights.iter_mut().zip(&tree.weights) {
            *sum += weight / n;
        }
    }
    let trees: Vec<Vec<SourceNode>> = grown.into_iter().map(|tree| tree.nodes).collect();
    let forest = PackedForest::pack(&trees, n_features, Link::Mean)?;
    Ok(Fitted { scorer: Scorer::Forest(forest), weights })
}

/// What the library saves of a forest.
#[derive(Deserialize)]
struct SavedForest {
    forest_regressor: SavedTrees,
}

#[derive(Deserialize)]
struct SavedTrees {
    trees: Vec<SavedTree>,
}

/// What it saves of a single tree.
#[derive(Deserialize)]
struct SavedTreeModel {
    tree_regressor: SavedTree,
}

#[derive(Deserialize)]
struct SavedTree {
    nodes: Vec<SavedNode>,
}

#[derive(Deserialize)]
struct SavedNode {
    output: f64,
    split_feature: usize,
    split_value: Option<f64>,
    true_child: Option<usize>,
    false_child: Option<usize>,
}

/// Values, not text: a threshold must be the same to the last bit.
fn taken_out<T: serde::de::DeserializeOwned>(model: &impl serde::Serialize) -> Result<T, FitError> {
    let value = serde_json::to_value(model).and_then(serde_json::from_value);
    value.map_err(|error| FitError::Library(format!("the trees do not read as such: {error}")))
}

/// The nodes as they are packed: `x <= t` of whole numbers is `x <= floor t`.
fn source(nodes: Vec<SavedNode>, fill: &[i64]) -> Vec<SourceNode> {
    let node = |node: SavedNode| {
        let children = node.true_child.zip(node.false_child).zip(node.split_value);
        let split = children.map(|((left, right), value)| {
            let threshold = nearest_i64(value.floor());
            let typical = fill.get(node.split_feature).copied().unwrap_or(0);
            let missing = if typical <= threshold { Branch::Left } else { Branch::Right };
            Split { feature: node.split_feature, threshold, missing, left, right }
        });
        let value_nano = nearest_i64(node.output * 1e9).clamp(0, 1_000_000_000);
        SourceNode { value_nano, split }
    };
    nodes.into_iter().map(node).collect()
}
