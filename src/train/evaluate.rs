//! Methods against each other over several periods: trained on one, measured on a later one, with the delay between them.

use serde_json::{Value as Json, json};

use crate::backtest::study::day_text;
use crate::train::fit::{FitError, Fitted, ForestPlan, forest, logistic, tree};
use crate::train::fold::{Fold, History, Period, Question};
use crate::train::metrics::{DAY_MS, Outcome, Quality, Recall, Spread, recall};

/// Shares of all events that are alerted, for recall.
pub const ALERT_RATES: [f64; 3] = [0.005, 0.01, 0.02];

/// What is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Method {
    /// A logistic regression with this penalty.
    Logistic {
        /// On the square of the coefficients.
        penalty: f64,
    },
    /// One tree.
    Tree {
        /// Most splits from its root to a leaf.
        max_depth: u8,
    },
    /// A random forest.
    Forest(ForestPlan),
}

impl Method {
    /// What it is called.
    pub fn name(&self) -> String {
        match self {
            Self::Logistic { .. } => "logistic regression".to_owned(),
            Self::Tree { max_depth } => format!("decision tree, depth {max_depth}"),
            Self::Forest(plan) => format!("random forest, {} trees", plan.trees),
        }
    }

    /// How it is set, for cards.
    pub fn parameters(&self) -> Json {
        match self {
            Self::Logistic { penalty } => json!({ "penalty": penalty }),
            Self::Tree { max_depth } => json!({ "max_depth": max_depth }),
            Self::Forest(plan) => json!({
                "trees": plan.trees, "max_depth": plan.max_depth, "min_leaf": plan.min_leaf,
                "per_split": plan.per_split, "seed": plan.seed,
            }),
        }
    }

    /// Trains it.
    ///
    /// # Errors
    /// Where nothing can be learned.
    pub fn fit(&self, lessons: &crate::train::fit::Lessons) -> Result<Fitted, FitError> {
        match self {
            Self::Logistic { penalty } => logistic(lessons, *penalty),
            Self::Tree { max_depth } => tree(lessons, *max_depth),
            Self::Forest(plan) => forest(lessons, plan),
        }
    }
}

/// How much of a period there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The period.
    pub period: Period,
    /// Events in it that count.
    pub events: usize,
    /// Frauds among them.
    pub frauds: usize,
}

impl Extent {
    /// As a JSON object.
    pub fn json(&self) -> Json {
        json!({
            "from": day_text(self.period.from_ms.div_euclid(DAY_MS)),
            "until": day_text(self.period.before_ms.div_euclid(DAY_MS)),
            "events": self.events, "frauds": self.frauds,
        })
    }

    /// As people write it: the last day is that of its last event.
    pub fn text(&self) -> String {
        let day = |ms: i64| day_text(ms.div_euclid(DAY_MS));
        let Self { period, events, frauds } = self;
        let (from, last) = (day(period.from_ms), day(period.before_ms - 1));
        format!("{from} to {last}: {events} events, {frauds} frauds")
    }
}

/// The frauds of one kind that were found at one alert rate.
#[derive(Clone, Debug, PartialEq)]
pub struct KindRecall {
    /// The kind; none: all frauds.
    pub kind: Option<String>,
    /// The share of events that is alerted.
    pub alert_rate: f64,
    /// What was found.
    pub recall: Recall,
}

/// What a method reached in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// How good its ranking is.
    pub quality: Quality,
    /// By kind of fraud and alert rate.
    pub recalls: Vec<KindRecall>,
}

impl Reached {
    /// What scores of measured events reach.
    pub fn of(questions: &[Question<'_>], outcomes: &[Outcome]) -> Self {
        let frauds = questions.iter().filter(|question| question.is_fraud);
        let mut kinds: Vec<Option<&str>> = frauds.map(|question| question.kind).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds.retain(Option::is_some);
        kinds.insert(0, None);
        let mut recalls = Vec::new();
        for alert_rate in ALERT_RATES {
            for kind in &kinds {
                let counts = |at: usize| {
                    kind.is_none()
                        || questions.get(at).is_some_and(|question| question.kind == *kind)
                };
                recalls.extend(recall(outcomes, alert_rate, counts).map(|recall| KindRecall {
                    kind: kind.map(str::to_owned),
                    alert_rate,
                    recall,
                }));
            }
        }
        let mut quality = Quality::of(outcomes);
        // WHY: where no card was told, every event would count as a card of its own.
        if questions.iter().all(|question| question.example.card.is_none()) {
            quality.card_precision = None;
        }
        Self { quality, recalls }
    }

    /// As a JSON object.
    pub fn json(&self) -> Json {
        let recalls = self.recalls.iter().map(|found| {
            json!({
                "scenario": found.kind, "alert_rate": found.alert_rate,
                "recall": found.recall.share, "frauds": found.recall.frauds,
            })
        });
        json!({
            "auc": self.quality.auc, "average_precision": self.quality.average_precision,
            "card_precision_100": self.quality.card_precision,
            "recall": recalls.collect::<Vec<Json>>(),
        })
    }
}

/// One fold.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldReached {
    /// What was trained on.
    pub train: Extent,
    /// What was measured.
    pub test: Extent,
    /// By method, in their order.
    pub methods: Vec<Reached>,
}

/// Trains and measures every method on a fold.
///
/// # Errors
/// Where nothing can be learned in it.
pub fn measure(
    history: &History<'_>,
    fold: &Fold,
    methods: &[Method],
) -> Result<FoldReached, FitError> {
    let lessons = fold.lessons(history);
    let questions = fold.exam(history);
    if questions.is_empty() {
        return Err(FitError::NothingMeasured);
    }
    let mut reached = Vec::new();
    for method in methods {
        let scorer = method.fit(&lessons)?.scorer;
        let outcomes: Vec<Outcome> =
            questions.iter().map(|question| question.outcome(&scorer)).collect();
        reached.push(Reached::of(&questions, &outcomes));
    }
    let frauds = questions.iter().filter(|question| question.is_fraud).count();
    Ok(FoldReached {
        train: Extent { period: fold.train, events: lessons.len(), frauds: lessons.n_frauds() },
        test: Extent { period: fold.test, events: questions.len(), frauds },
        methods: reached,
    })
}

/// Mean and spread of a figure of one method over folds.
pub fn spread(
    folds: &[FoldReached],
    method: usize,
    figure: impl Fn(&Reached) -> Option<f64>,
) -> Option<Spread> {
    let figures = folds.iter().filter_map(|fold| fold.methods.get(method).and_then(&figure));
    Spread::of(&figures.collect::<Vec<f64>>())
}

/// Mean and spread of the recall of a kind at an alert rate.
pub fn recall_spread(
    folds: &[FoldReached],
    method: usize,
    (kind, alert_rate): (Option<&str>, f64),
) -> Option<Spread> {
    spread(folds, method, |reached| {
        let found = reached.recalls.iter().find(|found| {
            found.kind.as_deref() == kind && found.alert_rate.to_bits() == alert_rate.to_bits()
        });
        found.map(|found| found.recall.share)
    })
}

/// The kinds of fraud of all folds.
pub fn kinds(folds: &[FoldReached]) -> Vec<Option<String>> {
    let all = folds.iter().flat_map(|fold| &fold.methods).flat_map(|reached| &reached.recalls);
    let mut kinds: Vec<Option<String>> = all.map(|found| found.kind.clone()).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}
