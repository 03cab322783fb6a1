//! Trees that another library trained, as a packed forest: XGBoost's JSON, LightGBM's text and dump, ONNX.
//!
//! A file is data. It is read into one form, [`Foreign`], whose columns are then matched by name with the features of a
//! model, and whose cuts become whole-number thresholds that send exactly the same rows left ([`cut`]). Numbers are those
//! of `riskweir train --dataset`: amounts in major units, durations in seconds. What cannot be said exactly in a packed
//! forest is refused, with what to do.

mod cut;
mod lightgbm;
mod onnx;
#[cfg(test)]
mod tests;
mod wire;
mod xgboost;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::count::{nearest_i64, nearest_signed_f64};
use crate::models::offline::import::cut::Cut;
use crate::models::offline::{
    Branch, ForestError, Link, MAX_VALUE_NANO, PackedForest, Scorer, SourceNode, Split, Unit,
};

/// Largest file: 256 MiB, as a dump is longer than what is packed of it.
pub const MAX_BYTES: usize = 256 << 20;

/// How far beyond a share the mean of leaves may lie, because other libraries divide in floats.
const SHARE_SLACK_NANO: i64 = 2_000;

/// One, in billionths.
const ONE_NANO: i64 = 1_000_000_000;

/// Why a file cannot be imported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImportError {
    /// Too many bytes.
    #[error("the file is larger than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
    /// None of the formats.
    #[error(
        "this is no model of XGBoost (JSON), LightGBM (text or JSON) or ONNX: save it with `save_model(\"model.json\")`, `save_model(\"model.txt\")`, or export it"
    )]
    Unknown,
    /// It begins like a format and does not read as such.
    #[error("this is no good {format} file: {why}")]
    Damaged {
        /// Which format.
        format: &'static str,
        /// What is wrong.
        why: String,
    },
    /// It says something that a packed forest cannot.
    #[error("the model has {what}, which is not supported: {mend}")]
    Unsupported {
        /// What.
        what: String,
        /// What to do.
        mend: &'static str,
    },
    /// A tree whose lists do not fit each other.
    #[error("tree {tree} is damaged")]
    Tree {
        /// Which, from 0.
        tree: usize,
    },
    /// Columns have no names.
    #[error(
        "the file does not name its {n} columns: name them in their order, as in `--columns amount,z_score`"
    )]
    Unnamed {
        /// How many.
        n: usize,
    },
    /// The columns are not the features of the model.
    #[error("the columns are not what the model reads: {0}")]
    Columns(String),
    /// A bound that no number of the unit lies on both sides of.
    #[error("tree {tree} splits `{feature}` where none of its numbers lies")]
    Bound {
        /// Which tree, from 0.
        tree: usize,
        /// Which feature.
        feature: String,
    },
    /// Leaves that are neither shares nor log odds.
    #[error(
        "tree {tree} has a leaf that is no share of fraud: train a classifier, or a regressor on labels of 0 and 1"
    )]
    Leaf {
        /// Which tree, from 0.
        tree: usize,
    },
    /// Trees that cannot be packed.
    #[error("the trees cannot be packed: {0}")]
    Forest(ForestError),
}

impl ImportError {
    fn unsupported(what: impl Into<String>, mend: &'static str) -> Self {
        Self::Unsupported { what: what.into(), mend }
    }
}

fn damaged(format: &'static str, error: &dyn core::fmt::Display) -> ImportError {
    ImportError::Damaged { format, why: error.to_string() }
}

/// A model of another library.
#[derive(Clone, Debug, PartialEq)]
struct Foreign {
    /// Names of the columns, where the file has them.
    columns: Option<Vec<String>>,
    /// How many columns there are at least.
    n_columns: usize,
    /// The root of each first.
    trees: Vec<Vec<ForeignNode>>,
    /// The sum of the leaves and this are log odds; none: their mean is a share.
    log_odds: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct ForeignNode {
    /// Of a leaf.
    value: f64,
    /// Rows of the training that came to a leaf; 0 where the file does not say.
    weight: f64,
    split: Option<ForeignSplit>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct ForeignSplit {
    column: usize,
    cut: Cut,
    missing_left: bool,
    left: usize,
    right: usize,
}

/// A model of another library as a scorer of rows with these features, ascending by name. `columns` names the columns
/// where the file does not.
///
/// # Errors
/// Where the file is none of the formats, says what a packed forest cannot, or has other columns.
pub fn import(
    bytes: &[u8],
    columns: Option<&[String]>,
    features: &[(&str, Unit)],
) -> Result<Scorer, ImportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    let foreign = read(bytes)?;
    let places = places(&foreign, columns, features)?;
    let link = match foreign.log_odds {
        None => Link::Mean,
        Some(base) => {
            let offset_nano = nano(base).ok_or(ImportError::Leaf { tree: 0 })?;
            Link::LogOdds { offset_nano }
        }
    };
    let trees = foreign.trees.iter().enumerate();
    let trees: Result<Vec<Vec<SourceNode>>, ImportError> =
        trees.map(|tree| packable(tree, (&places, features), link)).collect();
    let forest = PackedForest::pack(&trees?, features.len(), link).map_err(ImportError::Forest)?;
    Ok(Scorer::Forest(forest))
}

/// A tree as it is packed: with the mean of what is below at every split.
fn packable(
    (number, tree): (usize, &Vec<ForeignNode>),
    (places, features): (&[usize], &[(&str, Unit)]),
    link: Link,
) -> Result<Vec<SourceNode>, ImportError> {
    let wrong = ImportError::Tree { tree: number };
    let mut said: Vec<(i64, f64)> = vec![(0, 0.0); tree.len()];
    let mut nodes: Vec<SourceNode> = vec![SourceNode { value_nano: 0, split: None }; tree.len()];
    for at in preorder(number, tree)?.into_iter().rev() {
        let source = tree.get(at).ok_or(wrong.clone())?;
        let (value_nano, weight, split) = match source.split {
            None => {
                let value = nano(source.value).and_then(|value_nano| leaf(value_nano, link));
                let known = source.weight.is_finite() && source.weight > 0.0;
                let weight = if known { source.weight } else { 1.0 };
                (value.ok_or(ImportError::Leaf { tree: number })?, weight, None)
            }
            Some(split) => {
                let both = [said.get(split.left), said.get(split.right)];
                let [Some(left), Some(right)] = both else { return Err(wrong) };
                let place = *places.get(split.column).ok_or(wrong.clone())?;
                let (value, weight) = mean(*left, *right);
                (value, weight, Some(packed(number, split, place, features)?))
            }
        };
        if let (Some(said), Some(node)) = (said.get_mut(at), nodes.get_mut(at)) {
            *said = (value_nano, weight);
            *node = SourceNode { value_nano, split };
        }
    }
    Ok(nodes)
}

/// A number in billionths, where it is one and within bounds.
fn nano(value: f64) -> Option<i64> {
    let nano = value * 1e9;
    (nano.is_finite() && nano.abs() <= nearest_signed_f64(MAX_VALUE_NANO))
        .then(|| nearest_i64(nano))
}

/// What tells the kinds of JSON apart.
#[derive(Deserialize)]
struct Head {
    learner: Option<IgnoredAny>,
    tree_info: Option<IgnoredAny>,
}

fn read(bytes: &[u8]) -> Result<Foreign, ImportError> {
    let Ok(text) = core::str::from_utf8(bytes) else { return onnx::read(bytes) };
    let begins = text.trim_start();
    if begins.starts_with("tree\n") || begins.starts_with("tree\r\n") {
        return lightgbm::read_text(&text.replace('\r', ""));
    }
    if begins.starts_with('{') {
        let head: Head = serde_json::from_str(text).map_err(|error| damaged("JSON", &error))?;
        return match head {
            Head { learner: Some(_), .. } => xgboost::read(text),
            Head { tree_info: Some(_), .. } => lightgbm::read_json(text),
            _ => Err(ImportError::Unknown),
        };
    }
    // A small file may be text by chance.
    onnx::read(bytes).map_err(|error| match error {
        ImportError::Damaged { .. } => ImportError::Unknown,
        told => told,
    })
}

/// The feature of each column.
fn places(
    foreign: &Foreign,
    columns: Option<&[String]>,
    features: &[(&str, Unit)],
) -> Result<Vec<usize>, ImportError> {
    let is_read = |name: &String| features.iter().any(|(known, _)| known == name);
    let names = match (columns, &foreign.columns) {
        // WHY: LightGBM names columns of arrays by their number; names that mean something are not overruled.
        (Some(given), Some(own)) if own != given && own.iter().all(is_read) => {
            let told = format!(
                "the file names its columns itself, in the order `{}`: leave `--columns` out",
                own.join("`, `")
            );
            return Err(ImportError::Columns(told));
        }
        (Some(given), _) => given,
        (None, Some(own)) => own.as_slice(),
        (None, None) => return Err(ImportError::Unnamed { n: foreign.n_columns }),
    };
    let list = |names: &[&str]| format!("`{}`", names.join("`, `"));
    let read: Vec<&str> = features.iter().map(|(name, _)| *name).collect();
    let foreign_only: Vec<&str> =
        names.iter().map(String::as_str).filter(|name| !read.contains(name)).collect();
    if !foreign_only.is_empty() {
        let told =
            format!("the file also has {}; the model reads {}", list(&foreign_only), list(&read));
        return Err(ImportError::Columns(told));
    }
    let own_only: Vec<&str> =
        read.iter().copied().filter(|name| !names.iter().any(|known| known == name)).collect();
    if !own_only.is_empty() {
        return Err(ImportError::Columns(format!("the file does not know {}", list(&own_only))));
    }
    if names.len() != read.len() || names.len() < foreign.n_columns {
        let told = format!("{} names for {} columns, each once", names.len(), foreign.n_columns);
        return Err(ImportError::Columns(told));
    }
    let place = |name: &String| read.iter().position(|known| known == name);
    Ok(names.iter().filter_map(place).collect())
}

/// The nodes of a tree, each before those below it.
fn preorder(number: usize, tree: &[ForeignNode]) -> Result<Vec<usize>, ImportError> {
    let wrong = ImportError::Tree { tree: number };
    let (mut order, mut open) = (Vec::with_capacity(tree.len()), vec![0_usize]);
    let mut seen = vec![false; tree.len()];
    while let Some(at) = open.pop() {
        let (Some(node), Some(seen)) = (tree.get(at), seen.get_mut(at)) else { return Err(wrong) };
        if core::mem::replace(seen, true) {
            return Err(wrong);
        }
        order.push(at);
        if let Some(split) = node.split {
            open.extend([split.left, split.right]);
        }
    }
    Ok(order)
}

/// What a leaf says, within what the link takes.
fn leaf(value_nano: i64, link: Link) -> Option<i64> {
    match link {
        Link::LogOdds { .. } => Some(value_nano),
        Link::Mean => {
            let near = (-SHARE_SLACK_NANO..=ONE_NANO + SHARE_SLACK_NANO).contains(&value_nano);
            near.then(|| value_nano.clamp(0, ONE_NANO))
        }
    }
}

/// What two nodes say together, and how much it weighs.
fn mean((left, left_weight): (i64, f64), (right, right_weight): (i64, f64)) -> (i64, f64) {
    let weight = left_weight + right_weight;
    let share = left_weight / weight;
    (right + nearest_i64(nearest_signed_f64(left - right) * share), weight)
}

fn packed(
    tree: usize,
    split: ForeignSplit,
    feature: usize,
    features: &[(&str, Unit)],
) -> Result<Split, ImportError> {
    let (name, unit) = *features.get(feature).ok_or(ImportError::Tree { tree })?;
    let threshold = split.cut.threshold(unit);
    let threshold =
        threshold.ok_or_else(|| ImportError::Bound { tree, feature: name.to_owned() })?;
    let missing = if split.missing_left { Branch::Left } else { Branch::Right };
    Ok(Split { feature, threshold, missing, left: split.left, right: split.right })
}
