//! LightGBM: the text that `save_model` writes, and the JSON of `dump_model`.
//!
//! Splits are `x <= bound` in doubles. Where the training saw no missing value, a missing one counts as 0, as LightGBM
//! itself reads it. Leaves are parts of log odds, weighted by the training's.

use serde::Deserialize;

use crate::models::offline::import::cut::Cut;
use crate::models::offline::import::{Foreign, ForeignNode, ForeignSplit, ImportError, damaged};

const FORMAT: &str = "LightGBM";

/// Deepest nesting of a dump: one more than any tree that can be packed.
const MAX_DEPTH: usize = 65;

/// What stands before the trees.
struct Head<'a> {
    objective: &'a str,
    classes: bool,
    averages: bool,
}

impl Head<'_> {
    /// What log odds are multiplied with.
    fn check(&self) -> Result<f64, ImportError> {
        let mut words = self.objective.split_whitespace();
        let name = words.next().unwrap_or("none");
        if !["binary", "cross_entropy"].contains(&name) {
            let what = format!("objective `{name}`");
            return Err(ImportError::unsupported(what, "train with `objective=binary`"));
        }
        if self.classes {
            return Err(ImportError::unsupported("several classes", "train for fraud alone"));
        }
        if self.averages {
            return Err(ImportError::unsupported("`boosting=rf`", "train with `boosting=gbdt`"));
        }
        let sigmoid = words.find_map(|word| word.strip_prefix("sigmoid:"));
        sigmoid.map_or(Ok(1.0), |text| text.parse().map_err(|error| damaged(FORMAT, &error)))
    }
}

/// How a tree treats what is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    /// As 0.
    Zero,
    /// As its own case.
    Own,
}

fn foreign(columns: Vec<String>, trees: Vec<Vec<ForeignNode>>) -> Foreign {
    Foreign { n_columns: columns.len(), columns: Some(columns), trees, log_odds: Some(0.0) }
}

/// Whether a missing value goes left.
fn missing_left(missing: Missing, default_left: bool, cut: Cut) -> bool {
    match missing {
        Missing::Own => default_left,
        Missing::Zero => cut.takes(0.0),
    }
}

fn zero_as_missing() -> ImportError {
    ImportError::unsupported("`zero_as_missing`", "train with `zero_as_missing=false`")
}

fn categories() -> ImportError {
    ImportError::unsupported(
        "categories that it splits by itself",
        "train without `categorical_feature`",
    )
}

/// Reads the text.
pub(super) fn read_text(text: &str) -> Result<Foreign, ImportError> {
    let (head, rest) = text.split_once("\nTree=").unwrap_or((text, ""));
    let of = |key: &str| value_of(head, key);
    let has = |key: &str| head.lines().any(|line| line == key);
    let alone = |key: &str| of(key).is_none_or(|n| n == "1");
    let scale = Head {
        objective: of("objective").unwrap_or("none"),
        classes: !alone("num_class") || !alone("num_tree_per_iteration"),
        averages: has("average_output"),
    }
    .check()?;
    let columns = of("feature_names").unwrap_or("").split_whitespace().map(str::to_owned);
    let (trees, _) = rest.split_once("\nend of trees").ok_or_else(|| {
        damaged("LightGBM", &"it ends before `end of trees`: it is cut off, save it again")
    })?;
    let trees: Result<Vec<Vec<ForeignNode>>, ImportError> = trees
        .split("\nTree=")
        .filter(|block| !block.trim().is_empty())
        .enumerate()
        .map(|(at, block)| text_tree(at, block, scale))
        .collect();
    let trees = trees?;
    let told = of("tree_sizes").map(|sizes| sizes.split_whitespace().count());
    if let Some(told) = told.filter(|told| *told != trees.len()) {
        let why = format!("it has {} trees of {told}: save it again", trees.len());
        return Err(damaged(FORMAT, &why));
    }
    Ok(foreign(columns.collect(), trees))
}

fn value_of<'t>(block: &'t str, key: &str) -> Option<&'t str> {
    block.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
}

/// The inner nodes of a tree first, then its leaves.
fn text_tree(number: usize, block: &str, scale: f64) -> Result<Vec<ForeignNode>, ImportError> {
    let wrong = || ImportError::Tree { tree: number };
    if value_of(block, "num_cat").is_some_and(|n| n != "0") {
        return Err(categories());
    }
    if value_of(block, "is_linear").is_some_and(|n| n != "0") {
        return Err(ImportError::unsupported("linear trees", "train with `linear_tree=false`"));
    }
    let (leaves, weights) = (list::<f64>(block, "leaf_value"), list::<f64>(block, "leaf_weight"));
    let (leaves, weights) = (leaves.ok_or_else(wrong)?, weights.unwrap_or_default());
    let columns = list::<usize>(block, "split_feature").unwrap_or_default();
    let bounds = list::<f64>(block, "threshold").unwrap_or_default();
    let kinds = list::<u8>(block, "decision_type").unwrap_or_default();
    let left = list::<i64>(block, "left_child").unwrap_or_default();
    let right = list::<i64>(block, "right_child").unwrap_or_default();
    let n = columns.len();
    // WHY: a list that cannot be read would leave leaves that no row comes to.
    if leaves.len() != n + 1 {
        return Err(wrong());
    }
    // A child below 0 is a leaf: -1 the first.
    let place = |child: i64| match usize::try_from(child) {
        Ok(inner) => Some(inner),
        Err(_) => usize::try_from(-1 - child).ok().map(|leaf| n + leaf),
    };
    let mut nodes = Vec::with_capacity(n + leaves.len());
    for (at, column) in columns.into_iter().enumerate() {
        let kind = *kinds.get(at).ok_or_else(wrong)?;
        if kind & 1 != 0 {
            return Err(categories());
        }
        let missing = match kind >> 2 & 3 {
            0 => Missing::Zero,
            2 => Missing::Own,
            _ => return Err(zero_as_missing()),
        };
        let cut = Cut::UpToDouble(*bounds.get(at).ok_or_else(wrong)?);
        let child = |list: &[i64]| list.get(at).copied().and_then(place).ok_or_else(wrong);
        let split = ForeignSplit {
            column,
            cut,
            missing_left: missing_left(missing, kind & 2 != 0, cut),
            left: child(&left)?,
            right: child(&right)?,
        };
        nodes.push(ForeignNode { value: 0.0, weight: 0.0, split: Some(split) });
    }
    for (at, value) in leaves.into_iter().enumerate() {
        let weight = weights.get(at).copied().unwrap_or(0.0);
        nodes.push(ForeignNode { value: value * scale, weight, split: None });
    }
    Ok(nodes)
}

fn list<T: core::str::FromStr>(block: &str, key: &str) -> Option<Vec<T>> {
    value_of(block, key)?.split_whitespace().map(|word| word.parse().ok()).collect()
}

#[derive(Deserialize)]
struct Dump {
    #[serde(default)]
    objective: String,
    #[serde(default)]
    num_class: u32,
    #[serde(default)]
    num_tree_per_iteration: u32,
    #[serde(default)]
    average_output: bool,
    feature_names: Vec<String>,
    tree_info: Vec<DumpedTree>,
}

#[derive(Deserialize)]
struct DumpedTree {
    tree_structure: DumpedNode,
}

#[derive(Deserialize)]
struct DumpedNode {
    split_feature: Option<usize>,
    threshold: Option<Bound>,
    decision_type: Option<String>,
    #[serde(default)]
    default_left: bool,
    missing_type: Option<String>,
    left_child: Option<Box<DumpedNode>>,
    right_child: Option<Box<DumpedNode>>,
    leaf_value: Option<f64>,
    leaf_weight: Option<f64>,
    leaf_const: Option<f64>,
}

/// Of categories it is a text.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bound {
    Number(f64),
    Text(serde::de::IgnoredAny),
}

/// Reads the dump.
pub(super) fn read_json(text: &str) -> Result<Foreign, ImportError> {
    let dump: Dump = serde_json::from_str(text).map_err(|error| damaged(FORMAT, &error))?;
    let classes = dump.num_class > 1 || dump.num_tree_per_iteration > 1;
    let head = Head { objective: &dump.objective, classes, averages: dump.average_output };
    let scale = head.check()?;
    let mut trees = Vec::new();
    for (number, tree) in dump.tree_info.iter().enumerate() {
        let mut nodes = Vec::new();
        dumped(&tree.tree_structure, (number, scale), 0, &mut nodes)?;
        trees.push(nodes);
    }
    Ok(foreign(dump.feature_names, trees))
}

/// Appends a node and all below; where it stands.
fn dumped(
    node: &DumpedNode,
    (number, scale): (usize, f64),
    depth: usize,
    out: &mut Vec<ForeignNode>,
) -> Result<usize, ImportError> {
    let wrong = || ImportError::Tree { tree: number };
    if depth > MAX_DEPTH {
        return Err(wrong());
    }
    if node.leaf_const.is_some() {
        return Err(ImportError::unsupported("linear trees", "train with `linear_tree=false`"));
    }
    let at = out.len();
    if let Some(value) = node.leaf_value {
        let weight = node.leaf_weight.unwrap_or(0.0);
        out.push(ForeignNode { value: value * scale, weight, split: None });
        return Ok(at);
    }
    let (Some(column), Some(bound), Some(left), Some(right)) =
        (node.split_feature, &node.threshold, &node.left_child, &node.right_child)
    else {
        return Err(wrong());
    };
    let bound = match bound {
        Bound::Number(bound) if node.decision_type.as_deref() == Some("<=") => *bound,
        _ => return Err(categories()),
    };
    let missing = match node.missing_type.as_deref() {
        Some("None") | None => Missing::Zero,
        Some("NaN") => Missing::Own,
        Some(_) => return Err(zero_as_missing()),
    };
    let cut = Cut::UpToDouble(bound);
    out.push(ForeignNode { value: 0.0, weight: 0.0, split: None });
    let left = dumped(left, (number, scale), depth + 1, out)?;
    let right = dumped(right, (number, scale), depth + 1, out)?;
    let missing_left = missing_left(missing, node.default_left, cut);
    if let Some(own) = out.get_mut(at) {
        own.split = Some(ForeignSplit { column, cut, missing_left, left, right });
    }
    Ok(at)
}
