//! Methods and models against each other over several periods: what is trained, on one and measured on a later one, with
//! the delay of labels between them; what learns by itself, by what it said in the measured one.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::backtest::study::day_text;
use crate::base::time::format_rfc3339;
use crate::models::offline::Scorer;
use crate::models::online::Side;
use crate::models::online::spec::{Row, SCORES_MS, kept_ms, pane_ms};
use crate::models::places::{Lot, Places};
use crate::models::serving::parts;
use crate::train::budget::{BUDGET_PLACE, BudgetDay};
use crate::train::dataset::{Example, Said, Wanted, WantedKind};
use crate::train::fit::{FitError, Fitted, ForestPlan, forest, logistic, tree};
use crate::train::fold::{Fold, History, Period, Question};
use crate::train::metrics::{DAY_MS, Outcome, Quality, Recall, Score, Spread, recall};

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
            "from": instant(self.period.from_ms), "until": instant(self.period.before_ms),
            "events": self.events, "frauds": self.frauds,
        })
    }

    /// As people write it: of whole days the first and the last.
    pub fn text(&self) -> String {
        let Self { period: Period { from_ms, before_ms }, events, frauds } = *self;
        let period = if is_midnight(from_ms) && is_midnight(before_ms) {
            format!("{} to {}", instant(from_ms), day_text((before_ms - 1).div_euclid(DAY_MS)))
        } else {
            format!("{} up to {}", instant(from_ms), instant(before_ms))
        };
        format!("{period}: {events} events, {frauds} frauds")
    }
}

fn is_midnight(time_ms: i64) -> bool {
    time_ms.rem_euclid(DAY_MS) == 0
}

/// The day that begins then, or the time where none does.
fn instant(time_ms: i64) -> String {
    if is_midnight(time_ms) {
        day_text(time_ms.div_euclid(DAY_MS))
    } else {
        format_rfc3339(time_ms)
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

/// The frauds of one kind of which one feature gave the first reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstReason {
    /// The kind; none: labels tell none.
    pub kind: Option<String>,
    /// The feature; none where nothing raised the score, or there was none.
    pub feature: Option<String>,
    /// How many.
    pub frauds: u64,
}

/// What a method reached in one period.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// How good its ranking is.
    pub quality: Quality,
    /// By kind of fraud and alert rate.
    pub recalls: Vec<KindRecall>,
    /// What a bound on the place of its scores alerts, day by day; none where scores have no place.
    pub budget: Vec<BudgetDay>,
    /// What it names first, of all measured frauds; none where it names nothing.
    pub reasons: Vec<FirstReason>,
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
        Self { quality, recalls, budget: Vec::new(), reasons: Vec::new() }
    }

    /// As a JSON object.
    pub fn json(&self) -> Json {
        let recalls = self.recalls.iter().map(|found| {
            json!({
                "scenario": found.kind, "alert_rate": found.alert_rate,
                "recall": found.recall.share, "frauds": found.recall.frauds,
            })
        });
        let mut out = json!({
            "auc": self.quality.auc, "average_precision": self.quality.average_precision,
            "card_precision_100": self.quality.card_precision,
            "recall": recalls.collect::<Vec<Json>>(),
        });
        if !self.budget.is_empty() {
            out["budget"] = self.budget.iter().map(BudgetDay::json).collect();
        }
        if !self.reasons.is_empty() {
            let reasons = self.reasons.iter().map(
                |it| json!({ "scenario": it.kind, "feature": it.feature, "frauds": it.frauds }),
            );
            out["first_reasons"] = reasons.collect();
        }
        out
    }
}

/// One fold.
#[derive(Clone, Debug, PartialEq)]
pub struct FoldReached {
    /// What was trained on; none where nothing was.
    pub train: Option<Extent>,
    /// What was measured.
    pub test: Extent,
    /// By contestant, in their order.
    pub methods: Vec<Reached>,
}

/// A model of a rule set with what it read, or said, of the events of a history.
#[derive(Clone, Copy, Debug)]
pub struct Model<'m> {
    /// What the rules say of it.
    pub wanted: &'m Wanted,
    /// The events.
    pub history: History<'m>,
    /// Which rule set: models of one are joined.
    pub rule_set: usize,
}

/// What is measured.
#[derive(Clone, Debug)]
pub struct Contestant<'m> {
    /// The name of its model, or of both.
    pub name: String,
    /// What makes the scores.
    pub method: String,
    /// How that is set.
    pub parameters: Json,
    /// Its model; of two, the learned one.
    pub model: Model<'m>,
    scores: Scores,
}

/// Where scores come from.
#[derive(Clone, Copy, Debug)]
enum Scores {
    /// The model is trained.
    Trained(Method),
    /// The model has said them.
    Said,
    /// Two contestants, a trained and an online one, by their places in the list: joined by noisy-or.
    Joined(usize, usize),
}

/// All that can be measured: each learned model by every method, each online one, and the last method of each learned model
/// joined with each online one of its rule set.
pub fn contestants<'m>(models: &[Model<'m>], methods: &[Method]) -> Vec<Contestant<'m>> {
    let mut all: Vec<Contestant<'m>> = Vec::new();
    let (mut trained, mut online) = (Vec::new(), Vec::new());
    for model in models {
        let name = || model.wanted.name.clone();
        match &model.wanted.kind {
            WantedKind::Online { detector, .. } => {
                online.push(all.len());
                let (method, parameters) = (detector.word().replace('_', " "), json!({}));
                let scores = Scores::Said;
                all.push(Contestant { name: name(), method, parameters, model: *model, scores });
            }
            WantedKind::Learned { .. } => {
                for method in methods {
                    let (scores, parameters) = (Scores::Trained(*method), method.parameters());
                    let (name, method) = (name(), method.name());
                    all.push(Contestant { name, method, parameters, model: *model, scores });
                }
                trained.extend(all.len().checked_sub(1));
            }
        }
    }
    let pairs = trained.iter().flat_map(|one| online.iter().map(move |other| (*one, *other)));
    for (one, other) in pairs {
        let (Some(first), Some(second)) = (all.get(one), all.get(other)) else { continue };
        if first.model.rule_set != second.model.rule_set {
            continue;
        }
        let joined = Contestant {
            name: format!("{} + {}", first.name, second.name),
            method: format!("{}, joined with {}", first.method, second.method),
            parameters: first.parameters.clone(),
            model: first.model,
            scores: Scores::Joined(one, other),
        };
        all.push(joined);
    }
    all
}

/// Trains what is trained, and measures every contestant on a fold. All histories must be of the same events.
///
/// # Errors
/// Where nothing can be learned in it, or nothing is measured.
pub fn measure(fold: &Fold, contestants: &[Contestant<'_>]) -> Result<FoldReached, FitError> {
    let (mut methods, mut train, mut test) = (Vec::new(), None, None);
    let mut all_said: Vec<Vec<Option<Said>>> = Vec::new();
    for Contestant { model, scores, .. } in contestants {
        let Model { history, wanted, .. } = model;
        let questions = fold.exam(history);
        if questions.is_empty() {
            return Err(FitError::NothingMeasured);
        }
        let frauds = questions.iter().filter(|question| question.is_fraud).count();
        test.get_or_insert(Extent { period: fold.test, events: questions.len(), frauds });
        let mut scorer = None;
        let said: Vec<Option<Said>> = match scores {
            Scores::Trained(method) => {
                let lessons = fold.lessons(history);
                let (events, frauds) = (lessons.len(), lessons.n_frauds());
                train.get_or_insert(Extent { period: fold.train, events, frauds });
                let fitted = scorer.insert(method.fit(&lessons)?.scorer);
                served(fitted, fold, history)
            }
            Scores::Said => history.dataset.iter().map(|(example, _)| example.said).collect(),
            Scores::Joined(one, other) => {
                let of = |at: usize| all_said.get(at).into_iter().flatten();
                of(*one).zip(of(*other)).map(|(one, other)| joined(*one, *other)).collect()
            }
        };
        let outcome = |question: &Question<'_>| {
            let said = said.get(question.at).copied().flatten();
            question.outcome_of(said.map_or(Score::default(), |said| said.raw))
        };
        let outcomes: Vec<Outcome> = questions.iter().map(outcome).collect();
        let mut reached = Reached::of(&questions, &outcomes);
        reached.budget = budget(fold, history, &said);
        if !matches!(scores, Scores::Joined(..)) {
            reached.reasons = first_reasons(&questions, wanted, scorer.as_ref());
        }
        methods.push(reached);
        all_said.push(said);
    }
    let test = test.ok_or(FitError::NothingMeasured)?;
    Ok(FoldReached { train, test, methods })
}

/// What a scorer says of the events of the measured period, with their places among the scores of the days before, as in
/// the stream.
fn served(scorer: &Scorer, fold: &Fold, history: &History<'_>) -> Vec<Option<Said>> {
    let from_ms = fold.test.from_ms.saturating_sub(kept_ms(SCORES_MS));
    let reach = Period { from_ms, before_ms: fold.test.before_ms };
    let mut places = Places::default();
    let mut said = |(example, row): (&Example, Row<'_>)| {
        let is_meant = reach.has(example.time_ms);
        let raw_micro = is_meant.then(|| scorer.score_micro(row)).flatten()?;
        let place = places.share(raw_micro, Lot::of_id(example.id.as_bytes()));
        places.count(raw_micro, example.time_ms.div_euclid(pane_ms(SCORES_MS)));
        Some(Said { raw: Score::of_micro(raw_micro), place })
    };
    history.dataset.iter().map(&mut said).collect()
}

/// Noisy-or of what a learned model says and of the chance that the place of an online score stands for. What is missing is
/// 0.
///
/// A place above all but the share `t` of the scores is the chance `b / (b + t)`, one half at the bound [`BUDGET_PLACE`] =
/// `1 - b`: what Bayes' rule gives where the share `b` of events is fraud and all frauds are the most unlike.
fn joined(learned: Option<Said>, online: Option<Said>) -> Option<Said> {
    let learned = learned.map(|said| said.raw.number());
    let budget = 1.0 - BUDGET_PLACE;
    let place = online.and_then(|said| said.place);
    let unlike = place.map(|place| budget / (budget + 1.0 - place));
    if learned.is_none() && unlike.is_none() {
        return None;
    }
    let neither = (1.0 - learned.unwrap_or(0.0)) * (1.0 - unlike.unwrap_or(0.0));
    Some(Said { raw: Score::of_chance(1.0 - neither), place: None })
}

/// What the bound on places alerts, day by day, of all events of the measured period.
fn budget(fold: &Fold, history: &History<'_>, said: &[Option<Said>]) -> Vec<BudgetDay> {
    let mut days: BTreeMap<i64, BudgetDay> = BTreeMap::new();
    let mut is_placed = false;
    for ((example, _), said) in history.dataset.iter().zip(said) {
        if !fold.test.has(example.time_ms) {
            continue;
        }
        let place = said.and_then(|said| said.place);
        is_placed |= place.is_some();
        let number = example.time_ms.div_euclid(DAY_MS);
        let day = days.entry(number).or_insert_with(|| BudgetDay::new(number));
        day.count(place, history.is_fraud(example, i64::MAX));
    }
    if is_placed { days.into_values().collect() } else { Vec::new() }
}

/// What a model names first of each measured fraud, by kind.
fn first_reasons(
    questions: &[Question<'_>],
    wanted: &Wanted,
    scorer: Option<&Scorer>,
) -> Vec<FirstReason> {
    let mut counts: BTreeMap<(Option<&str>, Option<&str>), u64> = BTreeMap::new();
    for question in questions.iter().filter(|question| question.is_fraud) {
        let raises = |scorer| {
            let first = parts(scorer, question.row).into_iter().next();
            first.filter(|part| part.side == Side::Raises).map(|part| part.feature)
        };
        let feature = scorer.map_or(question.example.reason, raises);
        let feature = feature.and_then(|at| wanted.feature(at));
        *counts.entry((question.kind, feature)).or_default() += 1;
    }
    let told = counts.into_iter().map(|((kind, feature), frauds)| FirstReason {
        kind: kind.map(str::to_owned),
        feature: feature.map(str::to_owned),
        frauds,
    });
    told.collect()
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

/// The first reasons of one contestant over folds: kind, feature, frauds; of each kind the most frequent first.
pub fn all_reasons(folds: &[FoldReached], method: usize) -> Vec<FirstReason> {
    let mut counts: BTreeMap<(&Option<String>, &Option<String>), u64> = BTreeMap::new();
    let methods = folds.iter().filter_map(|fold| fold.methods.get(method));
    for reason in methods.flat_map(|reached| &reached.reasons) {
        *counts.entry((&reason.kind, &reason.feature)).or_default() += reason.frauds;
    }
    let told = counts.into_iter().map(|((kind, feature), frauds)| FirstReason {
        kind: kind.clone(),
        feature: feature.clone(),
        frauds,
    });
    let mut told: Vec<FirstReason> = told.collect();
    told.sort_by(|one, other| (&one.kind, other.frauds).cmp(&(&other.kind, one.frauds)));
    told
}
