//! XGBoost's own JSON (`save_model("model.json")`), since version 1.
//!
//! Splits are `x < bound` in floats; leaves are parts of log odds. Explanations weigh by `sum_hessian`, the rows of the
//! training as XGBoost counts them.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::models::offline::import::cut::{Cut, float};
use crate::models::offline::import::{Foreign, ForeignNode, ForeignSplit, ImportError, damaged};

#[derive(Deserialize)]
struct File {
    learner: Learner,
}

#[derive(Deserialize)]
struct Learner {
    /// What the training wrote down beside the trees.
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: Booster,
    #[serde(rename = "learner_model_param")]
    params: Params,
    objective: Objective,
}

#[derive(Deserialize)]
struct Objective {
    name: String,
}

#[derive(Deserialize)]
struct Params {
    base_score: String,
    #[serde(default)]
    num_class: String,
    #[serde(default)]
    num_target: String,
    num_feature: String,
}

#[derive(Deserialize)]
struct Booster {
    name: String,
    model: Option<Model>,
}

#[derive(Deserialize)]
struct Model {
    trees: Vec<Tree>,
    #[serde(default, rename = "gbtree_model_param")]
    params: TreeParams,
}

#[derive(Deserialize, Default)]
struct TreeParams {
    #[serde(default)]
    num_trees: String,
    #[serde(default)]
    num_parallel_tree: String,
}

impl Model {
    /// Whether its trees are all that there were, and all that the library itself would ask.
    fn check(&self, best_round: Option<&String>) -> Result<(), ImportError> {
        let n_trees = self.trees.len();
        let told: Option<usize> = self.params.num_trees.parse().ok();
        if told.is_some_and(|told| told != n_trees) {
            let why = format!("it has {n_trees} trees of {}", self.params.num_trees);
            return Err(damaged("XGBoost", &why));
        }
        let a_round = self.params.num_parallel_tree.parse().unwrap_or(1_usize).max(1);
        let best: Option<usize> = best_round.and_then(|text| text.parse().ok());
        let asked = best.map(|best| best.saturating_add(1).saturating_mul(a_round));
        if asked.is_some_and(|asked| asked < n_trees) {
            return Err(ImportError::unsupported(
                "trees after its best round, which XGBoost does not ask",
                "save the trees up to there: `booster[: booster.best_iteration + 1].save_model(...)`",
            ));
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Tree {
    left_children: Vec<i64>,
    right_children: Vec<i64>,
    split_indices: Vec<usize>,
    split_conditions: Vec<f64>,
    #[serde(default)]
    default_left: Vec<Bit>,
    sum_hessian: Vec<f64>,
    #[serde(default)]
    split_type: Vec<u8>,
}

/// Versions write truths or numbers.
#[derive(Deserialize, Clone, Copy)]
#[serde(untagged)]
enum Bit {
    Truth(bool),
    Number(u8),
}

impl Bit {
    fn is_set(self) -> bool {
        matches!(self, Self::Truth(true) | Self::Number(1..))
    }
}

/// Reads a model.
pub(super) fn read(text: &str) -> Result<Foreign, ImportError> {
    let file: File = serde_json::from_str(text).map_err(|error| damaged("XGBoost", &error))?;
    let Learner { attributes, feature_names, gradient_booster, params, objective } = file.learner;
    if !["binary:logistic", "reg:logistic"].contains(&objective.name.as_str()) {
        return Err(ImportError::unsupported(
            format!("objective `{}`", objective.name),
            "train with `binary:logistic`",
        ));
    }
    let one = |text: &str| matches!(text, "" | "0" | "1");
    if !one(&params.num_class) || !one(&params.num_target) {
        return Err(ImportError::unsupported(
            "several classes or targets",
            "train for fraud alone",
        ));
    }
    let model = gradient_booster.model.filter(|_| gradient_booster.name == "gbtree");
    let Some(model) = model else {
        let what = format!("booster `{}`", gradient_booster.name);
        return Err(ImportError::unsupported(what, "train with `booster=gbtree`"));
    };
    model.check(attributes.get("best_iteration"))?;
    let base: f64 = params
        .base_score
        .trim_matches(['[', ']'])
        .parse()
        .map_err(|error| damaged("XGBoost", &error))?;
    if !(base > 0.0 && base < 1.0) {
        return Err(ImportError::Damaged {
            format: "XGBoost",
            why: format!("`base_score` {base} is no share"),
        });
    }
    let n_columns = params.num_feature.parse().map_err(|error| damaged("XGBoost", &error))?;
    let trees: Result<Vec<Vec<ForeignNode>>, ImportError> =
        model.trees.into_iter().enumerate().map(|(at, tree)| nodes(at, &tree)).collect();
    Ok(Foreign {
        columns: (!feature_names.is_empty()).then_some(feature_names),
        n_columns,
        trees: trees?,
        log_odds: Some((base / (1.0 - base)).ln()),
    })
}

fn nodes(number: usize, tree: &Tree) -> Result<Vec<ForeignNode>, ImportError> {
    if tree.split_type.iter().any(|kind| *kind != 0) {
        let what = "categories that it splits by itself";
        return Err(ImportError::unsupported(what, "train with `enable_categorical=False`"));
    }
    let wrong = || ImportError::Tree { tree: number };
    let node = |at: usize| {
        let value = *tree.split_conditions.get(at)?;
        let (left, right) = (*tree.left_children.get(at)?, *tree.right_children.get(at)?);
        let weight = *tree.sum_hessian.get(at)?;
        if (left, right) == (-1, -1) {
            return Some(ForeignNode { value, weight, split: None });
        }
        let split = ForeignSplit {
            column: *tree.split_indices.get(at)?,
            cut: Cut::Below(float(value)),
            missing_left: tree.default_left.get(at)?.is_set(),
            left: usize::try_from(left).ok()?,
            right: usize::try_from(right).ok()?,
        };
        Some(ForeignNode { value: 0.0, weight, split: Some(split) })
    };
    (0..tree.left_children.len()).map(|at| node(at).ok_or_else(wrong)).collect()
}
