//! The packed forest against a walk over the trees as they came, files against every small change to them.

use super::*;
use crate::base::codec::{Decoder, Encoder};
use crate::base::{Currency, Digest};

/// A small generator with a seed (`SplitMix64`).
struct Dice(u64);

impl Dice {
    fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> usize {
        usize::try_from(self.word() % n).unwrap()
    }

    fn within(&mut self, least: i64, most: i64) -> i64 {
        least + i64::try_from(self.below((most - least + 1).try_into().unwrap())).unwrap()
    }
}

const FEATURES: usize = 4;

/// A random tree; the mean of a split lies between those of its children.
fn tree(dice: &mut Dice, least: i64, most: i64) -> Vec<SourceNode> {
    let mut nodes = Vec::new();
    grow(dice, (least, most), 0, &mut nodes);
    nodes
}

fn grow(dice: &mut Dice, range: (i64, i64), depth: u32, nodes: &mut Vec<SourceNode>) -> usize {
    let at = nodes.len();
    // Few different values, so that subtrees with equal leaves come about.
    let value_nano = range.0 + (range.1 - range.0) / 3 * dice.within(0, 3);
    nodes.push(SourceNode { value_nano, split: None });
    if depth < 6 && dice.below(4) > 0 {
        let (left, right) =
            (grow(dice, range, depth + 1, nodes), grow(dice, range, depth + 1, nodes));
        let missing = if dice.below(2) == 0 { Branch::Left } else { Branch::Right };
        let (feature, threshold) = (dice.below(FEATURES as u64), dice.within(-9, 9));
        nodes[at].value_nano = i64::midpoint(nodes[left].value_nano, nodes[right].value_nano);
        nodes[at].split = Some(Split { feature, threshold, missing, left, right });
    }
    at
}

fn row(dice: &mut Dice) -> Vec<Option<i64>> {
    (0..FEATURES).map(|_| (dice.below(5) > 0).then(|| dice.within(-11, 11))).collect()
}

/// The leaf of a row, and what each feature did on the way, by the words of the definition.
fn oracle(tree: &[SourceNode], at: usize, row: Row<'_>, parts: &mut [i128]) -> i128 {
    let Some(split) = tree[at].split else { return tree[at].value_nano.into() };
    let goes_left = match row[split.feature] {
        Some(value) => value <= split.threshold,
        None => split.missing == Branch::Left,
    };
    let to = if goes_left { split.left } else { split.right };
    parts[split.feature] += i128::from(tree[to].value_nano) - i128::from(tree[at].value_nano);
    oracle(tree, to, row, parts)
}

fn sum_of(parts: &[Contribution]) -> i64 {
    parts.iter().map(|part| part.size_micro).sum()
}

#[test]
fn a_packed_mean_is_that_of_the_trees_and_its_parts_are_the_steps_of_the_walks() {
    for seed in 0..60 {
        let dice = &mut Dice(seed);
        let trees: Vec<Vec<SourceNode>> =
            (0..=dice.below(9)).map(|_| tree(dice, 0, 999_999_999)).collect();
        let forest = PackedForest::pack(&trees, FEATURES, Link::Mean).unwrap();
        let n = i128::try_from(trees.len()).unwrap() * 1_000;
        for _ in 0..50 {
            let row = row(dice);
            let mut parts = vec![0_i128; FEATURES];
            let sum: i128 = trees.iter().map(|tree| oracle(tree, 0, &row, &mut parts)).sum();
            let Some(score) = forest.score_micro(&row) else {
                assert!(row.iter().all(Option::is_none));
                continue;
            };
            let (score, expected) = (i128::from(score), sum / n);
            assert!((0..=1).contains(&(score - expected)), "{score} {sum}/{n}");
            let told = forest.parts(&row).unwrap();
            assert_eq!(sum_of(&told), i64::try_from(score).unwrap() - forest.base_micro());
            for (feature, part) in parts.iter().enumerate() {
                let told = told.iter().find(|told| told.feature == feature);
                let told = told.map_or(0, |told| i128::from(told.size_micro));
                assert!((told * n - part).abs() <= n, "{told} against {part}/{n}");
            }
        }
    }
}

#[test]
fn packed_log_odds_are_the_sum_of_the_trees() {
    for seed in 100..140 {
        let dice = &mut Dice(seed);
        let trees: Vec<Vec<SourceNode>> =
            (0..=dice.below(9)).map(|_| tree(dice, -800_000_000, 700_000_000)).collect();
        let link = Link::LogOdds { offset_nano: -1_500_000_000 };
        let forest = PackedForest::pack(&trees, FEATURES, link).unwrap();
        for _ in 0..50 {
            let mut row = row(dice);
            row[0] = Some(3);
            let mut parts = vec![0_i128; FEATURES];
            let sum: i128 = trees.iter().map(|tree| oracle(tree, 0, &row, &mut parts)).sum();
            let odds = (f64::from(i32::try_from(sum / 1_000).unwrap()) / 1e6 - 1.5).exp();
            let score = forest.score_micro(&row).unwrap();
            assert!(
                (f64::from(i32::try_from(score).unwrap()) - 1e6 * odds / (1.0 + odds)).abs() < 0.75
            );
            let told = forest.parts(&row).unwrap();
            assert_eq!(sum_of(&told), score - forest.base_micro());
            for told in told {
                assert_eq!(i128::from(told.size_micro.signum()), parts[told.feature].signum());
            }
        }
    }
}

#[test]
fn subtrees_that_say_one_thing_become_one_leaf() {
    let leaf = |value_nano| SourceNode { value_nano, split: None };
    let split = |feature, left, right| {
        let missing = Branch::Left;
        Some(Split { feature, threshold: 5, missing, left, right })
    };
    let tree = vec![
        SourceNode { value_nano: 6, split: split(0, 1, 4) },
        SourceNode { value_nano: 8, split: split(1, 2, 3) },
        leaf(8),
        leaf(8),
        leaf(2),
    ];
    let forest = PackedForest::pack(&[tree], 2, Link::Mean).unwrap();
    assert_eq!((forest.n_nodes(), forest.n_trees()), (3, 1));
}

#[test]
fn a_missing_value_goes_to_the_side_that_its_node_says_and_nothing_at_all_has_no_score() {
    let leaf = |value_nano| SourceNode { value_nano, split: None };
    for (missing, expected) in [(Branch::Left, 100_000), (Branch::Right, 900_000)] {
        let split = Some(Split { feature: 0, threshold: 7, missing, left: 1, right: 2 });
        let tree = vec![
            SourceNode { value_nano: 500_000_000, split },
            leaf(100_000_000),
            leaf(900_000_000),
        ];
        let forest = PackedForest::pack(&[tree], 2, Link::Mean).unwrap();
        assert_eq!(forest.score_micro(&[None, Some(1)]), Some(expected));
        assert_eq!(forest.score_micro(&[Some(7), None]), Some(100_000));
        assert_eq!(forest.score_micro(&[Some(8), None]), Some(900_000));
        assert_eq!(forest.score_micro(&[Some(i64::MIN), None]), Some(100_000));
        assert_eq!(forest.score_micro(&[Some(i64::MAX), None]), Some(900_000));
        assert_eq!((forest.score_micro(&[None, None]), forest.parts(&[None, None])), (None, None));
        assert_eq!(forest.score_micro(&[]), None);
    }
}

#[test]
fn what_is_no_tree_is_not_packed() {
    let leaf = |value_nano| SourceNode { value_nano, split: None };
    let fork = |feature, left, right| {
        let split = Some(Split { feature, threshold: 0, missing: Branch::Left, left, right });
        SourceNode { value_nano: 1, split }
    };
    let pack = |tree: Vec<SourceNode>| PackedForest::pack(&[tree], 2, Link::Mean).unwrap_err();
    let node = |node| ForestError::Node { tree: 0, node };
    assert_eq!(pack(vec![fork(0, 1, 0), leaf(1)]), node(0), "a circle");
    assert_eq!(pack(vec![fork(0, 1, 1), leaf(1)]), node(1), "a child of two");
    assert_eq!(pack(vec![fork(0, 1, 9), leaf(1)]), node(9), "nowhere");
    assert_eq!(pack(vec![fork(2, 1, 2), leaf(1), leaf(1)]), node(0), "no such feature");
    assert_eq!(pack(vec![]), node(0), "no root");
    let value = |node| ForestError::Value { tree: 0, node };
    assert_eq!(pack(vec![leaf(-1)]), value(0), "no share");
    assert_eq!(pack(vec![fork(0, 1, 2), leaf(0), leaf(1_000_000_001)]), value(2));
    let no_trees = PackedForest::pack(&[], 2, Link::Mean).unwrap_err();
    assert_eq!(no_trees, ForestError::Size { n_trees: 0, n_nodes: 0 });
    // A chain: each right child is split again.
    let chain = |splits: usize| {
        let mut tree: Vec<SourceNode> = Vec::new();
        for at in 0..splits {
            tree.extend([fork(0, 2 * at + 1, 2 * at + 2), leaf(0)]);
        }
        tree.push(leaf(1));
        PackedForest::pack(&[tree], 2, Link::Mean).map(|forest| forest.n_nodes())
    };
    assert_eq!(chain(64), Ok(129));
    assert_eq!(chain(65), Err(ForestError::Depth { tree: 0 }));
}

#[test]
fn a_node_is_sixteen_bytes() {
    let leaves = |n: usize| {
        let trees = vec![vec![SourceNode { value_nano: 0, split: None }]; n];
        PackedForest::pack(&trees, 1, Link::Mean).unwrap().bytes()
    };
    // A root of 4 bytes, a value of 8, and the node; capacities are powers of two.
    assert_eq!(leaves(64), 64 * (16 + 8 + 4));
}

#[test]
fn a_regression_is_the_logistic_function_of_its_terms() {
    let terms = vec![Term { center: 100, slope: 0.02 }, Term { center: -5, slope: -0.5 }];
    let logistic = Logistic::new(-1.0, terms).unwrap();
    // -1 + 0.02 * 150 - 0.5 * 2 = 1: 1 / (1 + exp(-1)); at the centers 1 / (1 + e).
    assert_eq!(logistic.score_micro(&[Some(250), Some(-3)]), Some(731_059));
    assert_eq!(logistic.base_micro(), 268_941);
    // 3 and -1 of a way of 2 in log odds, 462,118 in millionths.
    let parts = logistic.parts(&[Some(250), Some(-3)]).unwrap();
    let part = |feature, size_micro| Contribution { feature, size_micro };
    assert_eq!(parts, [part(0, 693_177), part(1, -231_059)]);
    // A missing value adds nothing; no value at all has no score.
    assert_eq!(logistic.score_micro(&[None, Some(-5)]), Some(268_941));
    assert_eq!(logistic.score_micro(&[None, None]), None);
    assert_eq!(logistic.score_micro(&[Some(i64::MAX), Some(i64::MIN)]), Some(1_000_000));
    assert_eq!(Logistic::new(f64::NAN, vec![]), None);
    assert_eq!(Logistic::new(0.0, vec![Term { center: 0, slope: f64::INFINITY }]), None);
}

fn artifact(scorer: Scorer) -> Artifact {
    let feature = |name: &str, unit| Feature {
        name: name.to_owned(),
        identity: format!("meaning of {name}"),
        unit,
        median: Some(-3),
        reference: Histogram::of((0..100).map(|at| (at % 7 > 0).then_some(at % 13))),
    };
    let units = [Unit::Minor(Currency::parse("EUR").unwrap()), Unit::Micro, Unit::Millis];
    let names = ["amount", "strange", "wait", "weekend"];
    let units = units.into_iter().chain([Unit::Truth]);
    Artifact {
        name: "card_fraud".to_owned(),
        event: "card_payment".to_owned(),
        features: names.iter().zip(units).map(|(name, unit)| feature(name, unit)).collect(),
        fields: ["amount", "at"]
            .map(|name| FieldSource {
                name: format!("card_payment.{name}"),
                read: "at /x".to_owned(),
            })
            .into(),
        scorer,
        quantiles: vec![
            Quantile { share_ppm: 500_000, score_micro: 10 },
            Quantile { share_ppm: 990_000, score_micro: 800_000 },
        ],
        reference: Histogram::of((0..50).map(Some)),
        facts: "{\"seed\": 7}".to_owned(),
    }
}

/// A file of version 1 is one without a list of fields.
#[test]
fn a_model_of_the_first_version_is_read_and_knows_no_fields() {
    let known = artifact(logistic());
    let none = Artifact { fields: Vec::new(), ..known.clone() };
    let body = |artifact: &Artifact| artifact.encode()[52..].to_vec();
    let (with, mut without) = (body(&known), body(&none));
    // The number of fields is the first byte that differs.
    let at = with.iter().zip(&without).position(|(a, b)| a != b).unwrap();
    assert_eq!((with[at], without.remove(at)), (2, 0));
    let file = |version: u32| {
        let mut bytes = b"RWMODEL\n".to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend((without.len() as u64).to_le_bytes());
        bytes.extend(Digest::of_parts(&[&without]).0);
        [bytes, without.clone()].concat()
    };
    assert_eq!(Artifact::decode(&file(1)), Ok(none));
    assert!(matches!(Artifact::decode(&file(2)), Err(ArtifactError::Damaged(_))));
    assert_eq!(Artifact::decode(&file(3)), Err(ArtifactError::Version(3)));
}

fn forest(seed: u64) -> Scorer {
    let dice = &mut Dice(seed);
    let trees: Vec<Vec<SourceNode>> = (0..3).map(|_| tree(dice, 0, 900_000_000)).collect();
    Scorer::Forest(PackedForest::pack(&trees, FEATURES, Link::Mean).unwrap())
}

fn logistic() -> Scorer {
    let terms = (0..4).map(|at| Term { center: at, slope: 0.25 }).collect();
    Scorer::Logistic(Logistic::new(-2.5, terms).unwrap())
}

#[test]
fn what_is_written_is_read_again() {
    for scorer in [forest(1), forest(2), logistic()] {
        let artifact = artifact(scorer);
        let bytes = artifact.encode();
        let again = Artifact::decode(&bytes).unwrap();
        assert_eq!(again, artifact);
        assert_eq!(again.encode(), bytes);
    }
    let artifact = artifact(logistic());
    assert_eq!(artifact.score_at(990_000), Some(800_000));
    assert_eq!((artifact.score_at(600_000), artifact.score_at(0)), (Some(800_000), Some(10)));
    assert_eq!(artifact.score_at(999_000), None);
    assert_ne!(artifact.features[0].digest(), artifact.features[1].digest());
}

#[test]
fn counts_whose_sum_would_not_fit_are_refused_and_an_empty_histogram_is_read() {
    let mut artifact = artifact(logistic());
    artifact.reference = Histogram::default();
    assert_eq!(Artifact::decode(&artifact.encode()).unwrap(), artifact);
    artifact.reference = Histogram { bounds: vec![5], counts: vec![u64::MAX, 1], missing: 0 };
    let error = Artifact::decode(&artifact.encode()).unwrap_err();
    assert!(matches!(error, ArtifactError::Damaged(_)), "{error}");
}

#[test]
fn every_flipped_bit_and_every_cut_is_found() {
    for scorer in [forest(1), logistic()] {
        let bytes = artifact(scorer).encode();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert!(Artifact::decode(&damaged).is_err(), "bit {bit} of byte {at}");
            }
            assert!(Artifact::decode(&bytes[..at]).is_err(), "cut off at {at}");
        }
        let longer = [bytes.as_slice(), b"x"].concat();
        assert_eq!(Artifact::decode(&longer), Err(ArtifactError::Length));
    }
    assert_eq!(Artifact::decode(b"PK\x03\x04"), Err(ArtifactError::NotAModel));
    let mut newer = artifact(logistic()).encode();
    newer[8] = 3;
    assert_eq!(Artifact::decode(&newer), Err(ArtifactError::Version(3)));
    assert_eq!(Artifact::decode(&vec![0; artifact::MAX_BYTES + 1]), Err(ArtifactError::TooLarge));
}

/// Whoever writes a file can write its checksum too.
#[test]
fn a_forged_file_is_refused_or_harmless() {
    let dice = &mut Dice(11);
    let (mut refused, mut read) = (0, 0);
    for scorer in [forest(1), forest(3), logistic()] {
        let mut body = Vec::new();
        scorer.save(&mut Encoder::new(&mut body));
        for at in 0..body.len() {
            for _ in 0..24 {
                let mut forged = body.clone();
                forged[at] = dice.word().to_le_bytes()[0];
                forged.truncate(body.len() - usize::from(dice.below(8) == 0));
                match Scorer::load(FEATURES, &mut Decoder::new(&forged)) {
                    Err(_) => refused += 1,
                    Ok(scorer) => {
                        read += 1;
                        let row = row(dice);
                        let score = scorer.score_micro(&row);
                        assert!(score.is_none_or(|score| (0..=1_000_000).contains(&score)));
                        let parts = scorer.parts(&row).map(|parts| sum_of(&parts));
                        assert_eq!(parts, score.map(|score| score - scorer.base_micro()));
                    }
                }
            }
        }
    }
    assert!(refused > 100 && read > 100, "{refused} {read}");
}

#[test]
fn a_forged_forest_cannot_claim_more_than_it_brings() {
    let mut body = Vec::new();
    let code = &mut Encoder::new(&mut body);
    code.flag(false);
    code.var(0);
    code.count(1);
    code.count(1 << 40);
    assert!(PackedForest::load(1, &mut Decoder::new(&body)).is_err());
    // A chain of 65 splits, each with a leaf on its left.
    let mut body = Vec::new();
    let code = &mut Encoder::new(&mut body);
    code.flag(false);
    code.var(0);
    code.count(1);
    code.count(131);
    for at in 0..131 {
        let is_split = at == 0 || at % 2 == 0 && at < 130;
        code.var(u64::from(is_split));
        code.var(0);
        if is_split {
            code.var(0);
        }
    }
    assert!(PackedForest::load(1, &mut Decoder::new(&body)).is_err());
}

#[test]
fn a_histogram_of_deciles_counts_every_value_once() {
    let histogram = Histogram::of((1..=100).map(Some).chain([None, None]));
    assert_eq!(histogram.bounds, [10, 20, 30, 40, 50, 60, 70, 80, 90]);
    assert_eq!((histogram.counts, histogram.missing), (vec![10; 10], 2));
    // Mostly zeros: the deciles that are equal are one.
    let ties = Histogram::of([0, 0, 0, 0, 0, 0, 0, 4, 5, 6].map(Some));
    assert_eq!(
        (ties.bounds.as_slice(), ties.counts.as_slice()),
        (&[0, 4, 5][..], &[7, 1, 1, 1][..])
    );
    assert_eq!((ties.bin(-9), ties.bin(0), ties.bin(1), ties.bin(6)), (0, 0, 1, 3));
    let none = Histogram::of([None, None]);
    assert_eq!((none.bounds.len(), none.counts, none.missing), (0, vec![0], 2));
}
