//! What is packed against what the library says itself, and the traps of the library.

use smartcore::ensemble::random_forest_regressor::{
    RandomForestRegressor, RandomForestRegressorParameters,
};
use smartcore::linalg::basic::arrays::Array as _;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};
use smartcore::tree::decision_tree_regressor::{
    DecisionTreeRegressor, DecisionTreeRegressorParameters,
};

use crate::base::count::nearest_signed_f64;
use crate::models::offline::Scorer;
use crate::train::fit::*;

const FEATURES: usize = 5;

/// A small generator with a seed (`SplitMix64`).
fn words(mut state: u64) -> impl FnMut(u64) -> i64 {
    move |n| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ z >> 31) % n).unwrap()
    }
}

/// Rows of large and small numbers, of which fraud depends on two; gaps where they are wanted.
fn rows(seed: u64, n: usize, gaps: bool) -> (Vec<Vec<Option<i64>>>, Vec<bool>) {
    let mut draw = words(seed);
    let mut row = || {
        let row = [draw(40), draw(2_000_000) - 1_000_000, draw(1 << 52), draw(3), -draw(1 << 40)];
        let odds = 30 + row[0] * 4 + if row[1] > 500_000 { 400 } else { 0 };
        let is_fraud = draw(1_000) < odds;
        let row = row.map(|value| (!gaps || draw(6) > 0).then_some(value));
        (row.to_vec(), is_fraud)
    };
    (0..n).map(|_| row()).unzip()
}

fn lessons(rows: &[Vec<Option<i64>>], frauds: &[bool]) -> Lessons {
    let mut lessons = Lessons::new(rows.first().map_or(FEATURES, Vec::len));
    rows.iter().zip(frauds).for_each(|(row, is_fraud)| lessons.push(row, *is_fraud));
    lessons
}

/// The same rows for the library, gaps filled with the median: sorted, the lower of both middle ones.
fn matrix(rows: &[Vec<Option<i64>>], like: &[Vec<Option<i64>>]) -> DenseMatrix<f64> {
    let median = |feature: usize| {
        let mut known: Vec<i64> = like.iter().filter_map(|row| row[feature]).collect();
        known.sort_unstable();
        known[(known.len() - 1) / 2]
    };
    let medians: Vec<i64> = (0..FEATURES).map(median).collect();
    let filled = |row: &Vec<Option<i64>>| -> Vec<f64> {
        let values = row.iter().zip(&medians);
        values.map(|(value, median)| nearest_signed_f64(value.unwrap_or(*median))).collect()
    };
    let rows: Vec<Vec<f64>> = rows.iter().map(filled).collect();
    DenseMatrix::from_2d_vec(&rows).unwrap()
}

fn shares(frauds: &[bool]) -> Vec<f64> {
    frauds.iter().map(|is_fraud| f64::from(u8::from(*is_fraud))).collect()
}

fn score(scorer: &Scorer, row: &[Option<i64>]) -> f64 {
    nearest_signed_f64(scorer.score_micro(row).unwrap_or(0)) / 1e6
}

#[test]
fn a_packed_tree_says_what_the_library_says() {
    for (seed, gaps) in [(1, false), (2, true)] {
        let ((train, frauds), (asked, _)) = (rows(seed, 800, gaps), rows(seed + 50, 400, gaps));
        let fitted = tree(&lessons(&train, &frauds), 6).unwrap();
        let parameters = DecisionTreeRegressorParameters::default().with_max_depth(6);
        let known =
            DecisionTreeRegressor::fit(&matrix(&train, &train), &shares(&frauds), parameters);
        let known: Vec<f64> = known.unwrap().predict(&matrix(&asked, &train)).unwrap();
        for (row, known) in
            asked.iter().zip(known).filter(|(row, _)| row.iter().any(Option::is_some))
        {
            let given = score(&fitted.scorer, row);
            assert!((given - known).abs() <= 0.5e-6 + 1e-12, "{row:?}: {given} {known}");
        }
    }
}

/// The goal is 1e-6; what is left is the rounding to millionths.
#[test]
fn a_packed_forest_says_what_the_library_says() {
    for (seed, gaps) in [(3, false), (4, true)] {
        let ((train, frauds), (asked, _)) = (rows(seed, 600, gaps), rows(seed + 50, 300, gaps));
        let plan = ForestPlan { trees: 12, threads: 2, seed: 9, ..ForestPlan::default() };
        let fitted = forest(&lessons(&train, &frauds), &plan).unwrap();
        let (x, y, asked_x) = (matrix(&train, &train), shares(&frauds), matrix(&asked, &train));
        let mut known = vec![0.0; asked.len()];
        for number in 0..plan.trees {
            let parameters = RandomForestRegressorParameters::default()
                .with_n_trees(1)
                .with_max_depth(20)
                .with_min_samples_leaf(3)
                .with_m(2)
                .with_seed(seed_of(9, number));
            let one = RandomForestRegressor::fit(&x, &y, parameters).unwrap();
            let one: Vec<f64> = one.predict(&asked_x).unwrap();
            known.iter_mut().zip(one).for_each(|(sum, share)| *sum += share / 12.0);
        }
        let mut worst = 0.0_f64;
        for (row, known) in
            asked.iter().zip(known).filter(|(row, _)| row.iter().any(Option::is_some))
        {
            worst = worst.max((score(&fitted.scorer, row) - known).abs());
        }
        assert!(worst <= 0.5e-6 + 1e-9, "{worst}");
    }
}

#[test]
fn a_packed_regression_says_what_the_library_says() {
    let ((train, frauds), (asked, _)) = (rows(5, 500, false), rows(55, 200, false));
    let fitted = logistic(&lessons(&train, &frauds), 1.0).unwrap();
    // Standardised once more, by the words of the definition: mean and deviation of each column.
    let column = |rows: &[Vec<Option<i64>>], feature: usize| -> Vec<f64> {
        rows.iter().map(|row| nearest_signed_f64(row[feature].unwrap())).collect()
    };
    let n = 500.0;
    let scales: Vec<(f64, f64)> = (0..FEATURES)
        .map(|feature| {
            let values = column(&train, feature);
            let mean = (values.iter().sum::<f64>() / n).round();
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            (mean, (squares / n).sqrt())
        })
        .collect();
    let standard = |rows: &[Vec<Option<i64>>]| -> Vec<Vec<f64>> {
        let one = |row: &Vec<Option<i64>>| {
            let values = row.iter().zip(&scales);
            values
                .map(|(it, (mean, wide))| (nearest_signed_f64(it.unwrap()) - mean) / wide)
                .collect()
        };
        rows.iter().map(one).collect()
    };
    let kinds: Vec<u32> = frauds.iter().map(|is_fraud| u32::from(*is_fraud)).collect();
    let x = DenseMatrix::from_2d_vec(&standard(&train)).unwrap();
    let parameters = LogisticRegressionParameters::default().with_alpha(1.0);
    let known = LogisticRegression::fit(&x, &kinds, parameters).unwrap();
    let weights: Vec<f64> = known.coefficients().iterator(0).copied().collect();
    let intercept = *known.intercept().iterator(0).next().unwrap();
    for (row, values) in asked.iter().zip(standard(&asked)) {
        let odds: f64 = intercept + values.iter().zip(&weights).map(|(it, w)| it * w).sum::<f64>();
        let expected = 1.0 / (1.0 + (-odds).exp());
        let given = score(&fitted.scorer, row);
        assert!((given - expected).abs() <= 0.6e-6, "{given} {expected}");
    }
}

#[test]
fn the_number_of_threads_changes_nothing_and_the_seed_does() {
    let (train, frauds) = rows(6, 300, true);
    let lessons = lessons(&train, &frauds);
    let grown = |threads, seed| {
        let plan = ForestPlan { trees: 9, threads, seed, ..ForestPlan::default() };
        forest(&lessons, &plan).unwrap().scorer
    };
    assert_eq!(grown(1, 1), grown(3, 1));
    assert_ne!(grown(1, 1), grown(1, 2));
}

/// A single tree of the library without a bound goes on until its leaves are pure; neighboring seeds share no trees.
#[test]
fn a_plan_without_an_end_is_refused() {
    let (train, frauds) = rows(7, 100, false);
    let lessons = lessons(&train, &frauds);
    let usual = ForestPlan { trees: 1, ..ForestPlan::default() };
    for plan in [
        ForestPlan { max_depth: 0, ..usual },
        ForestPlan { max_depth: 65, ..usual },
        ForestPlan { trees: 0, ..usual },
        ForestPlan { trees: 4_097, ..usual },
        ForestPlan { min_leaf: 0, ..usual },
        ForestPlan { per_split: Some(0), ..usual },
        ForestPlan { per_split: Some(FEATURES + 1), ..usual },
    ] {
        assert_eq!(forest(&lessons, &plan).unwrap_err(), FitError::Plan, "{plan:?}");
    }
    assert!(tree(&lessons, 0).is_err() && tree(&lessons, 65).is_err());
    assert_ne!(seed_of(0, 1), seed_of(1, 0));
}

#[test]
fn nothing_is_learned_from_events_of_one_kind() {
    for frauds in [vec![false; 40], vec![true; 40], vec![]] {
        let (train, _) = rows(8, frauds.len(), false);
        let lessons = lessons(&train, &frauds);
        let n = frauds.iter().filter(|it| **it).count();
        let error = FitError::OneKind { events: frauds.len(), frauds: n };
        assert_eq!(forest(&lessons, &ForestPlan::default()).unwrap_err(), error);
        assert_eq!(tree(&lessons, 2).unwrap_err(), error);
        assert_eq!(logistic(&lessons, 1.0).unwrap_err(), error);
    }
}

/// The library panics on a number that is none when it trains, and says 1.0 of one when it is asked: none reaches it.
#[test]
fn a_column_without_values_and_values_at_the_edge_are_learned_from() {
    let (mut train, frauds) = rows(9, 300, false);
    for (at, row) in train.iter_mut().enumerate() {
        row[3] = None;
        row[4] = Some(if at % 2 == 0 { i64::MIN } else { i64::MAX });
    }
    let lessons = lessons(&train, &frauds);
    assert_eq!(lessons.medians()[3], None);
    let plan = ForestPlan { trees: 5, ..ForestPlan::default() };
    for fitted in [forest(&lessons, &plan).unwrap(), logistic(&lessons, 1.0).unwrap()] {
        for row in &train {
            assert!((0.0..=1.0).contains(&score(&fitted.scorer, row)));
        }
        assert_eq!(fitted.scorer.score_micro(&[None; FEATURES]), None);
    }
}

/// Forms of saving differ from version to version, so cards must name the one that is linked.
#[test]
fn cards_name_the_version_of_the_library_that_is_linked() {
    let lock = include_str!("../../Cargo.lock");
    let mut lines = lock.lines().skip_while(|line| *line != "name = \"smartcore\"");
    let version = lines.nth(1).unwrap();
    assert_eq!(format!("smartcore {}", &version["version = \"".len()..version.len() - 1]), LIBRARY);
}

/// The library's classifier counts votes of trees; what is wanted is the mean share of fraud in the leaves.
#[test]
fn a_forest_says_shares_and_not_votes() {
    // One feature that says nothing, one fraud in four: every leaf is a share near a quarter, every vote is against.
    let train: Vec<Vec<Option<i64>>> = (0..400).map(|at| vec![Some(at % 4)]).collect();
    let frauds: Vec<bool> = (0..400).map(|at| at / 4 % 4 == 0).collect();
    let plan = ForestPlan { trees: 40, ..ForestPlan::default() };
    let fitted = forest(&lessons(&train, &frauds), &plan).unwrap();
    for value in 0..4 {
        let given = score(&fitted.scorer, &[Some(value)]);
        assert!((given - 0.25).abs() < 0.05, "{value}: {given}");
    }
}

/// Numbers that 32 bits of a double cannot tell apart: a threshold between them is kept to the unit.
#[test]
fn thresholds_are_exact_where_single_precision_is_not() {
    let least = 16_777_216_000_i64;
    let train: Vec<Vec<Option<i64>>> = (0..200).map(|at| vec![Some(least + at % 2)]).collect();
    let frauds: Vec<bool> = (0..200).map(|at| at % 2 == 1).collect();
    assert!((0..200).all(|at| (train[at][0] == Some(least + 1)) == frauds[at]));
    for fitted in [
        tree(&lessons(&train, &frauds), 2).unwrap(),
        forest(&lessons(&train, &frauds), &ForestPlan { trees: 5, ..ForestPlan::default() })
            .unwrap(),
    ] {
        assert_eq!(fitted.scorer.score_micro(&[Some(least)]), Some(0));
        assert_eq!(fitted.scorer.score_micro(&[Some(least + 1)]), Some(1_000_000));
    }
}
