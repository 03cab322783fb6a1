//! ONNX files with one ensemble of trees: `TreeEnsembleRegressor` or `TreeEnsembleClassifier` of `ai.onnx.ml`.
//!
//! Read as data, never run: the node's lists become trees. Whatever else the graph does to the numbers before they come
//! to the trees is refused, because nothing here would do it. ONNX knows no weights of the training, so explanations
//! take each leaf of a tree as equally likely.
//!
//! # Source
//! The ONNX-ML operators, versions 1 to 3; scores of two classes as `onnxruntime` makes them.

use std::collections::BTreeMap;

use crate::models::offline::import::cut::Cut;
use crate::models::offline::import::wire::{Field, Fields, NoMessage, floats, ints};
use crate::models::offline::import::{Foreign, ForeignNode, ForeignSplit, ImportError};

const FORMAT: &str = "ONNX";

/// Operators that leave numbers as they are.
const HARMLESS: [&str; 4] = ["Cast", "Identity", "ZipMap", "Concat"];

/// A node of the graph.
#[derive(Debug, Default)]
struct Node<'a> {
    operator: &'a str,
    inputs: Vec<&'a str>,
    attributes: BTreeMap<&'a str, Attribute<'a>>,
}

#[derive(Debug, Default)]
struct Attribute<'a> {
    int: Option<i64>,
    text: Option<&'a [u8]>,
    is_tensor: bool,
    floats: Vec<f32>,
    ints: Vec<i64>,
    texts: Vec<&'a [u8]>,
}

impl From<NoMessage> for ImportError {
    fn from(_: NoMessage) -> Self {
        Self::Damaged { format: FORMAT, why: "the bytes are no protocol buffer".to_owned() }
    }
}

fn wrong(why: impl Into<String>) -> ImportError {
    ImportError::Damaged { format: FORMAT, why: why.into() }
}

/// Reads a model.
pub(super) fn read(bytes: &[u8]) -> Result<Foreign, ImportError> {
    const GRAPH: u64 = 7;
    let mut fields = Fields::of(bytes);
    let mut graph = None;
    while let Some((number, field)) = fields.next()? {
        if let (GRAPH, Field::Bytes(message)) = (number, field) {
            graph = Some(message);
        }
    }
    let (nodes, inputs) = read_graph(graph.ok_or_else(|| wrong("there is no graph in it"))?)?;
    let is_ensemble = |node: &&Node<'_>| node.operator.starts_with("TreeEnsemble");
    let mut ensembles = nodes.iter().filter(is_ensemble);
    let Some(ensemble) = ensembles.next() else {
        let found: Vec<&str> = nodes.iter().map(|node| node.operator).collect();
        let what = format!("a graph without trees ({})", found.join(", "));
        return Err(ImportError::unsupported(what, "export a forest or boosted trees"));
    };
    if ensembles.next().is_some() {
        return Err(ImportError::unsupported("several ensembles", "export one model"));
    }
    // A cast of what comes in, other than to floats, cuts numbers.
    let cuts = |node: &Node<'_>| {
        const FLOATS: [i64; 2] = [1, 11];
        let to = node.attributes.get("to").and_then(|attribute| attribute.int);
        let of_inputs = node.inputs.iter().any(|name| inputs.contains(name));
        node.operator == "Cast" && of_inputs && to.is_some_and(|to| !FLOATS.contains(&to))
    };
    let changes =
        |node: &&Node<'_>| !is_ensemble(node) && (!HARMLESS.contains(&node.operator) || cuts(node));
    if let Some(node) = nodes.iter().find(changes) {
        let what = format!("operator `{}`, which changes the numbers", node.operator);
        return Err(ImportError::unsupported(
            what,
            "export the trees without what stands around them",
        ));
    }
    let concat = nodes.iter().find(|node| node.operator == "Concat");
    let named = concat.filter(|node| node.inputs.iter().all(|name| inputs.contains(name)));
    let columns = named.map(|node| node.inputs.iter().map(|name| (*name).to_owned()).collect());
    let trees = Ensemble { node: ensemble };
    let said = match ensemble.operator {
        "TreeEnsembleRegressor" => trees.regressor()?,
        "TreeEnsembleClassifier" => trees.classifier()?,
        other => {
            let what = format!("operator `{other}`");
            return Err(ImportError::unsupported(
                what,
                "export with `target_opset={\"ai.onnx.ml\": 3}`",
            ));
        }
    };
    trees.read(columns, &said)
}

fn read_graph(graph: &[u8]) -> Result<(Vec<Node<'_>>, Vec<&str>), ImportError> {
    let (mut nodes, mut inputs) = (Vec::new(), Vec::new());
    let mut fields = Fields::of(graph);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(message)) => nodes.push(read_node(message)?),
            (11, Field::Bytes(message)) => {
                let mut info = Fields::of(message);
                while let Some((number, field)) = info.next()? {
                    if let (1, Field::Bytes(name)) = (number, field) {
                        inputs.push(text(name)?);
                    }
                }
            }
            _ => {}
        }
    }
    Ok((nodes, inputs))
}

fn read_node(message: &[u8]) -> Result<Node<'_>, ImportError> {
    let mut node = Node::default();
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(name)) => node.inputs.push(text(name)?),
            (4, Field::Bytes(name)) => node.operator = text(name)?,
            (5, Field::Bytes(message)) => {
                let (name, attribute) = read_attribute(message)?;
                node.attributes.insert(name, attribute);
            }
            _ => {}
        }
    }
    Ok(node)
}

fn read_attribute(message: &[u8]) -> Result<(&str, Attribute<'_>), ImportError> {
    let (mut name, mut attribute) = ("", Attribute::default());
    let mut fields = Fields::of(message);
    while let Some((number, field)) = fields.next()? {
        match (number, field) {
            (1, Field::Bytes(bytes)) => name = text(bytes)?,
            (3, Field::Int(int)) => attribute.int = Some(int.cast_signed()),
            (4, Field::Bytes(bytes)) => attribute.text = Some(bytes),
            (5, Field::Bytes(_)) => attribute.is_tensor = true,
            (7, field) => floats(field, &mut attribute.floats)?,
            (8, field) => ints(field, &mut attribute.ints)?,
            (9, Field::Bytes(bytes)) => attribute.texts.push(bytes),
            _ => {}
        }
    }
    Ok((name, attribute))
}

fn text(bytes: &[u8]) -> Result<&str, ImportError> {
    core::str::from_utf8(bytes).map_err(|_| wrong("a name is no UTF-8"))
}

/// What leaves say, and what becomes of it.
struct Said {
    /// By tree and node.
    weights: BTreeMap<(i64, i64), f64>,
    /// What is added to the sum of the leaves.
    base: f64,
    /// The sum is log odds, or a share of all leaves, or their mean.
    link: SaidLink,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum SaidLink {
    LogOdds,
    Sum,
    Mean,
}

/// The node of the trees.
struct Ensemble<'n> {
    node: &'n Node<'n>,
}

impl Ensemble<'_> {
    fn ints(&self, name: &str) -> &[i64] {
        self.node.attributes.get(name).map_or(&[], |attribute| attribute.ints.as_slice())
    }

    fn floats(&self, name: &str) -> Result<&[f32], ImportError> {
        let tensor = format!("{name}_as_tensor");
        if self.node.attributes.get(tensor.as_str()).is_some_and(|attribute| attribute.is_tensor) {
            return Err(ImportError::unsupported("inputs of doubles", "export with float inputs"));
        }
        Ok(self.node.attributes.get(name).map_or(&[], |attribute| attribute.floats.as_slice()))
    }

    fn word(&self, name: &str, without: &'static str) -> Result<&str, ImportError> {
        let attribute = self.node.attributes.get(name).and_then(|attribute| attribute.text);
        attribute.map_or(Ok(without), text)
    }

    fn regressor(&self) -> Result<Said, ImportError> {
        if self.node.attributes.get("n_targets").and_then(|it| it.int).is_some_and(|n| n != 1) {
            return Err(ImportError::unsupported("several targets", "train for fraud alone"));
        }
        let link =
            match (self.word("post_transform", "NONE")?, self.word("aggregate_function", "SUM")?) {
                ("NONE", "SUM") => SaidLink::Sum,
                ("NONE", "AVERAGE") => SaidLink::Mean,
                ("LOGISTIC", "SUM") => SaidLink::LogOdds,
                (transform, aggregate) => {
                    let what = format!("`{aggregate}` of the leaves and `{transform}`");
                    return Err(ImportError::unsupported(
                        what,
                        "export a model of shares or log odds",
                    ));
                }
            };
        let weights = self.weights("target", |_, sum, weight| *sum += weight)?;
        let base = self.floats("base_values")?.first().copied().unwrap_or(0.0);
        Ok(Said { weights, base: base.into(), link })
    }

    fn classifier(&self) -> Result<Said, ImportError> {
        let labels = self.ints("classlabels_int64s");
        if labels != [0, 1] {
            let what = format!("the labels {labels:?}");
            return Err(ImportError::unsupported(what, "train on the labels 0 and 1, 1 for fraud"));
        }
        let ids = self.ints("class_ids");
        let both = ids.contains(&0) && ids.contains(&1);
        let transform = self.word("post_transform", "NONE")?;
        let link = match transform {
            "NONE" => SaidLink::Sum,
            "LOGISTIC" | "SOFTMAX" => SaidLink::LogOdds,
            other => {
                let what = format!("`post_transform={other}`");
                return Err(ImportError::unsupported(what, "export shares or log odds"));
            }
        };
        let bases = self.floats("base_values")?;
        let base = |class: usize| f64::from(bases.get(class).copied().unwrap_or(0.0));
        // WHY: weights of one class alone are those of fraud, whatever its number; of two, `SOFTMAX` sees the difference.
        let softmax = transform == "SOFTMAX";
        let weights = self.weights("class", |class, sum, weight| match (both, softmax, class) {
            (false, ..) | (true, _, 1) => *sum += weight,
            (true, true, _) => *sum -= weight,
            (true, false, _) => {}
        })?;
        let base = match (both, softmax) {
            (false, _) => base(bases.len().saturating_sub(1)),
            (true, false) => base(1),
            (true, true) => base(1) - base(0),
        };
        if softmax && !both {
            return Err(ImportError::unsupported(
                "`SOFTMAX` of one class",
                "export shares or log odds",
            ));
        }
        Ok(Said { weights, base, link })
    }

    /// What each leaf says, as each of its weights is added to it.
    fn weights(
        &self,
        what: &str,
        mut add: impl FnMut(i64, &mut f64, f64),
    ) -> Result<BTreeMap<(i64, i64), f64>, ImportError> {
        let (trees, nodes) =
            (self.ints(&format!("{what}_treeids")), self.ints(&format!("{what}_nodeids")));
        let ids = self.ints(&format!("{what}_ids"));
        let weights = self.floats(&format!("{what}_weights"))?;
        if [nodes.len(), ids.len(), weights.len()] != [trees.len(); 3] {
            return Err(wrong(format!("the lists of `{what}_*` have several lengths")));
        }
        let mut found = BTreeMap::new();
        for (((tree, node), id), weight) in trees.iter().zip(nodes).zip(ids).zip(weights) {
            add(*id, found.entry((*tree, *node)).or_default(), (*weight).into());
        }
        Ok(found)
    }

    fn read(&self, columns: Option<Vec<String>>, said: &Said) -> Result<Foreign, ImportError> {
        let (trees, nodes) = (self.ints("nodes_treeids"), self.ints("nodes_nodeids"));
        // Where each node stands among those of its tree; trees in the order of their numbers.
        let mut places: BTreeMap<i64, BTreeMap<i64, usize>> = BTreeMap::new();
        let mut rows: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        for (row, (tree, node)) in trees.iter().zip(nodes).enumerate() {
            let of_tree = rows.entry(*tree).or_default();
            places.entry(*tree).or_default().insert(*node, of_tree.len());
            of_tree.push(row);
        }
        let scale = match said.link {
            SaidLink::Sum => f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)),
            SaidLink::LogOdds | SaidLink::Mean => 1.0,
        };
        // A base of shares belongs to each of the trees whose mean is taken.
        let (added, log_odds) = match said.link {
            SaidLink::LogOdds => (0.0, Some(said.base)),
            SaidLink::Sum | SaidLink::Mean => (said.base, None),
        };
        let mut found = Vec::with_capacity(rows.len());
        for (number, (tree, rows)) in rows.iter().enumerate() {
            let own = places.get(tree);
            let place = |node: i64| own.and_then(|own| own.get(&node)).copied();
            let wrong = || ImportError::Tree { tree: number };
            let mut nodes = Vec::with_capacity(rows.len());
            for row in rows {
                let leaf = said
                    .weights
                    .get(&(*tree, self.ints("nodes_nodeids").get(*row).copied().unwrap_or(0)));
                let split = self.split(*row, place)?.ok_or_else(wrong)?;
                // WHY: a leaf that says nothing would count as genuine.
                if split.is_none() && leaf.is_none() {
                    return Err(wrong());
                }
                let value = leaf.copied().unwrap_or(0.0) * scale + added;
                nodes.push(ForeignNode { value, weight: 0.0, split });
            }
            found.push(nodes);
        }
        let n_columns = self.ints("nodes_featureids").iter().max().copied().unwrap_or(-1) + 1;
        let n_columns = usize::try_from(n_columns).unwrap_or(0);
        Ok(Foreign { columns, n_columns, trees: found, log_odds })
    }

    /// How a node is split, where it is; none where the lists do not say.
    #[expect(clippy::option_option, reason = "a node that is not there, and one that is no split")]
    fn split(
        &self,
        row: usize,
        place: impl Fn(i64) -> Option<usize>,
    ) -> Result<Option<Option<ForeignSplit>>, ImportError> {
        let modes = self.node.attributes.get("nodes_modes");
        let Some(mode) = modes.and_then(|modes| modes.texts.get(row)) else { return Ok(None) };
        let bound = self.floats("nodes_values")?.get(row).copied().unwrap_or(f32::NAN);
        // Whether the true side is that of the smaller numbers.
        let (cut, true_left) = match text(mode)? {
            "LEAF" => return Ok(Some(None)),
            "BRANCH_LEQ" => (Cut::UpTo(bound), true),
            "BRANCH_LT" => (Cut::Below(bound), true),
            "BRANCH_GT" => (Cut::UpTo(bound), false),
            "BRANCH_GTE" => (Cut::Below(bound), false),
            other => {
                let what = format!("splits by `{other}`");
                return Err(ImportError::unsupported(what, "export splits by order"));
            }
        };
        let of = |name: &str| self.ints(name).get(row).copied();
        let (yes, no) =
            (of("nodes_truenodeids").and_then(&place), of("nodes_falsenodeids").and_then(&place));
        let column = of("nodes_featureids").and_then(|column| usize::try_from(column).ok());
        let (Some(yes), Some(no), Some(column)) = (yes, no, column) else { return Ok(None) };
        let missing_yes = of("nodes_missing_value_tracks_true") == Some(1);
        let (left, right) = if true_left { (yes, no) } else { (no, yes) };
        let missing_left = missing_yes == true_left;
        Ok(Some(Some(ForeignSplit { column, cut, missing_left, left, right })))
    }
}
