//! Artifacts of learned models for tests: forests of nested trees, with a naive reading of them that knows nothing of how
//! they are packed.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use riskweir::diag::{Binary, Sources};
use riskweir::models::offline::{
    Artifact, Branch, Feature, Histogram, Link, PackedForest, Scorer, SourceNode, Split, Unit,
};
use riskweir::rules::compile_untrained;
use riskweir::rules::program::{LearnedFeature, LearnedSpec, MadeOf, Program};

use crate::support::dice::Dice;

/// A tree as nobody would pack it.
#[derive(Clone, Debug)]
pub(crate) enum Tree {
    /// A share of fraud, in billionths.
    Leaf(i64),
    /// Left where the value of a feature is at most the threshold.
    Split { feature: usize, threshold: i64, missing_left: bool, sides: Box<[Tree; 2]> },
}

impl Tree {
    /// A random tree. Thresholds are drawn from those of each feature.
    pub(crate) fn random(dice: &mut Dice, thresholds: &[Vec<i64>], depth: u32) -> Self {
        if depth == 0 || dice.one_in(5) {
            return Self::Leaf(i64::try_from(dice.below(1_000_000_001)).unwrap());
        }
        let feature = usize::try_from(dice.below(thresholds.len() as u64)).unwrap();
        let threshold = dice.pick(&thresholds[feature]);
        let missing_left = dice.one_in(2);
        let mut side = || Self::random(dice, thresholds, depth - 1);
        let sides = Box::new([side(), side()]);
        Self::Split { feature, threshold, missing_left, sides }
    }

    /// The leaf that a row comes to.
    pub(crate) fn says(&self, row: &[Option<i64>]) -> i64 {
        match self {
            Self::Leaf(nano) => *nano,
            Self::Split { feature, threshold, missing_left, sides } => {
                let left = row[*feature].map_or(*missing_left, |value| value <= *threshold);
                sides[usize::from(!left)].says(row)
            }
        }
    }

    /// The mean of the leaves below, each as often as a fair coin comes to it.
    fn mean(&self) -> i64 {
        match self {
            Self::Leaf(nano) => *nano,
            Self::Split { sides, .. } => i64::midpoint(sides[0].mean(), sides[1].mean()),
        }
    }

    fn nodes(&self, out: &mut Vec<SourceNode>) -> usize {
        let at = out.len();
        out.push(SourceNode { value_nano: self.mean(), split: None });
        if let Self::Split { feature, threshold, missing_left, sides } = self {
            let (left, right) = (sides[0].nodes(out), sides[1].nodes(out));
            let missing = if *missing_left { Branch::Left } else { Branch::Right };
            let (feature, threshold) = (*feature, *threshold);
            out[at].split = Some(Split { feature, threshold, missing, left, right });
        }
        at
    }
}

/// The score of a row in millionths: the mean of the leaves, the nearest whole number, of two the larger.
pub(crate) fn naive_score(trees: &[Tree], row: &[Option<i64>]) -> Option<i64> {
    row.iter().any(Option::is_some).then(|| {
        let sum: i64 = trees.iter().map(|tree| tree.says(row)).sum();
        let by = i64::try_from(trees.len()).unwrap() * 1_000;
        (sum + by / 2).div_euclid(by)
    })
}

/// The forest of these trees.
pub(crate) fn forest(trees: &[Tree], n_features: usize) -> Scorer {
    let nodes = |tree: &Tree| {
        let mut nodes = Vec::new();
        tree.nodes(&mut nodes);
        nodes
    };
    let trees: Vec<Vec<SourceNode>> = trees.iter().map(nodes).collect();
    Scorer::Forest(PackedForest::pack(&trees, n_features, Link::Mean).unwrap())
}

/// An artifact of features that mean what a rule set says.
pub(crate) fn artifact(event: &str, features: &[LearnedFeature], scorer: Scorer) -> Artifact {
    let feature = |read: &LearnedFeature| Feature {
        name: read.name.clone(),
        identity: read.identity.clone(),
        unit: read.unit,
        median: None,
        reference: Histogram::of([]),
    };
    Artifact {
        name: "tested".to_owned(),
        event: event.to_owned(),
        features: features.iter().map(feature).collect(),
        fields: Vec::new(),
        scorer,
        quantiles: Vec::new(),
        reference: Histogram::of([]),
        facts: "{}".to_owned(),
    }
}

/// The same with the histograms of rows, and of their scores, as training leaves them.
pub(crate) fn with_reference(mut artifact: Artifact, rows: &[Vec<Option<i64>>]) -> Artifact {
    for (at, feature) in artifact.features.iter_mut().enumerate() {
        feature.reference = Histogram::of(rows.iter().map(|row| row[at]));
    }
    let scores: Vec<Option<i64>> =
        rows.iter().map(|row| artifact.scorer.score_micro(row)).collect();
    artifact.reference = Histogram::of(scores);
    artifact
}

/// Every learned model of a rule set, with the event that it scores.
pub(crate) fn learned(program: &Program) -> Vec<(&str, &LearnedSpec)> {
    let specs = program.models.iter().filter_map(|model| match &model.made_of {
        MadeOf::Learned(spec) => Some((program.schema.event(model.event).name.as_str(), spec)),
        MadeOf::Online(_) => None,
    });
    specs.collect()
}

/// A rule set with the artifacts that its learned models name, each with the scorer that is made for its features; one that
/// does not compile as it is.
pub(crate) fn with_artifacts(
    mut sources: Sources,
    mut scorer: impl FnMut(&[LearnedFeature]) -> Scorer,
) -> Sources {
    let (Some(program), _) = compile_untrained(&sources) else { return sources };
    for (event, spec) in learned(&program) {
        let made = artifact(event, &spec.features, scorer(&spec.features));
        sources.artifacts.retain(|file| file.path != spec.path);
        sources.artifacts.push(Binary { path: spec.path.clone(), bytes: made.encode().into() });
    }
    sources
}

/// A forest with a tree for each feature: 0.9 above what is much of it, 0.1 up to there, and 0.2 where it is missing.
pub(crate) fn plain(features: &[LearnedFeature]) -> Scorer {
    let much = |unit| match unit {
        Unit::Truth => 0,
        Unit::Whole => 5,
        Unit::Millis => 3_600_000,
        Unit::Minor(_) => 50_000,
        Unit::Micro => 3_000_000,
    };
    let split = |feature, threshold, left, right| Tree::Split {
        feature,
        threshold,
        missing_left: true,
        sides: Box::new([left, right]),
    };
    let tree = |(at, read): (usize, &LearnedFeature)| {
        let (low, high) = (Tree::Leaf(100_000_000), Tree::Leaf(900_000_000));
        let known = split(at, much(read.unit), low, high);
        // No value is the least one, so only what is missing goes left.
        split(at, i64::MIN, Tree::Leaf(200_000_000), known)
    };
    let trees: Vec<Tree> = features.iter().enumerate().map(tree).collect();
    forest(&trees, features.len())
}
