//! Periods to train on and to measure, with the delay of labels between them.
//!
//! What is trained on is what was known when the measured period begins: events of the training period, with labels that
//! had been reported by then. What is measured is judged by all that ever came out. Cards that were known to be defrauded
//! leave the measured days, each day by what was known at its beginning: nobody needs a model for them.
//!
//! # Source
//! The protocol of the Fraud Detection Handbook, chapter 5: its days are those of UTC here.

use std::collections::HashMap;

use crate::backtest::labels::{Labels, Verdict};
use crate::base::EntityKey;
use crate::models::offline::Scorer;
use crate::models::online::spec::Row;
use crate::train::dataset::{Dataset, Example};
use crate::train::fit::Lessons;
use crate::train::metrics::{DAY_MS, Outcome, Score};

/// From a time in ms on and before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first ms.
    pub from_ms: i64,
    /// The first ms after it.
    pub before_ms: i64,
}

impl Period {
    /// Whether a time lies in it.
    pub fn has(self, time_ms: i64) -> bool {
        (self.from_ms..self.before_ms).contains(&time_ms)
    }

    /// How long it is in ms.
    pub fn length_ms(self) -> i64 {
        self.before_ms.saturating_sub(self.from_ms)
    }

    fn earlier(self, by_ms: i64) -> Self {
        Self {
            from_ms: self.from_ms.saturating_sub(by_ms),
            before_ms: self.before_ms.saturating_sub(by_ms),
        }
    }
}

/// A training period and a measured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// What is trained on.
    pub train: Period,
    /// What is measured.
    pub test: Period,
    /// How old a label is at least before it is known, in ms.
    pub delay_ms: i64,
}

/// Periods that leave no time for labels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// One of them is empty.
    #[error(
        "nothing is left to train on or to measure: the history must be longer than the measured days and the label delay together; see the flags of periods in `--help`"
    )]
    Empty,
    /// They are closer than labels take.
    #[error(
        "the measured period begins before the labels of the training period are known: leave the label delay between them"
    )]
    TooClose,
}

impl Fold {
    /// A fold, if its periods fit.
    ///
    /// # Errors
    /// Where a period is empty, or labels of the first would be known only after the second has begun.
    pub fn new(train: Period, test: Period, delay_ms: i64) -> Result<Self, FoldError> {
        if train.length_ms() <= 0 || test.length_ms() <= 0 {
            return Err(FoldError::Empty);
        }
        if train.before_ms.saturating_add(delay_ms) > test.from_ms {
            return Err(FoldError::TooClose);
        }
        Ok(Self { train, test, delay_ms })
    }

    /// The fold of a history: its last fifth is measured (at least a day), the delay lies before it, and all before that
    /// is trained on. Whole days.
    ///
    /// # Errors
    /// Where the history is too short.
    pub fn of_span((first_ms, last_ms): (i64, i64), delay_ms: i64) -> Result<Self, FoldError> {
        let end = last_ms.div_euclid(DAY_MS).saturating_add(1).saturating_mul(DAY_MS);
        let from_ms = first_ms.div_euclid(DAY_MS).saturating_mul(DAY_MS);
        let days = end.saturating_sub(from_ms) / DAY_MS;
        let test_from = end.saturating_sub((days / 5).max(1) * DAY_MS);
        let train = Period { from_ms, before_ms: test_from.saturating_sub(delay_ms) };
        Self::new(train, Period { from_ms: test_from, before_ms: end }, delay_ms)
    }

    /// The same, earlier.
    #[must_use]
    pub fn earlier(self, by_ms: i64) -> Self {
        let (train, test) = (self.train.earlier(by_ms), self.test.earlier(by_ms));
        Self { train, test, ..self }
    }

    /// What is trained on: what was known when the measured period begins. An event without a report is genuine, because a
    /// fraud would have been reported by then.
    pub fn lessons(&self, history: &History<'_>) -> Lessons {
        let mut lessons = Lessons::new(history.n_features);
        for (example, row) in history.dataset.iter() {
            if self.train.has(example.time_ms) {
                lessons.push(row, history.is_fraud(example, self.test.from_ms));
            }
        }
        lessons
    }

    /// The measured events, in the order of the history.
    pub fn exam<'h>(&self, history: &History<'h>) -> Vec<Question<'h>> {
        let known = self.known_cards(history);
        let asked = history.dataset.iter().enumerate().filter(|(_, (example, _))| {
            let day_ms = example.time_ms.div_euclid(DAY_MS) * DAY_MS;
            let defrauded = example.card.and_then(|card| known.get(&card));
            self.test.has(example.time_ms) && defrauded.is_none_or(|since_ms| *since_ms > day_ms)
        });
        let question = |(at, (example, row)): (usize, (&'h Example, Row<'h>))| Question {
            at,
            example,
            row,
            is_fraud: history.is_fraud(example, i64::MAX),
            kind: history.labels.kind(history.event, &example.id),
        };
        asked.map(question).collect()
    }

    /// Since when each card is known to be defrauded, in ms: by frauds since the training period that had been reported.
    fn known_cards(&self, history: &History<'_>) -> HashMap<EntityKey, i64> {
        let mut known: HashMap<EntityKey, i64> = HashMap::new();
        let reach = Period { from_ms: self.train.from_ms, before_ms: self.test.before_ms };
        let first_day = self.test.from_ms.div_euclid(DAY_MS);
        // The one after the last.
        let end_day = self.test.before_ms.saturating_sub(1).div_euclid(DAY_MS) + 1;
        for (example, _) in history.dataset.iter() {
            let Some(card) = example.card.filter(|_| reach.has(example.time_ms)) else { continue };
            if !history.is_fraud(example, i64::MAX) {
                continue;
            }
            // The first midnight of the measured days by which it has become known: they ask at midnight.
            let after = example.time_ms.saturating_add(self.delay_ms).div_euclid(DAY_MS) + 1;
            let since = (after.max(first_day)..end_day)
                .map(|day| day.saturating_mul(DAY_MS))
                .find(|since_ms| history.is_fraud(example, *since_ms));
            let Some(since_ms) = since else { continue };
            let first = known.entry(card).or_insert(since_ms);
            *first = since_ms.min(*first);
        }
        known
    }
}

/// A measured event.
#[derive(Clone, Copy, Debug)]
pub struct Question<'h> {
    /// Its place in the dataset.
    pub at: usize,
    /// The event.
    pub example: &'h Example,
    /// What the model reads of it.
    pub row: Row<'h>,
    /// What turned out.
    pub is_fraud: bool,
    /// What kind of fraud, where labels say it.
    pub kind: Option<&'h str>,
}

impl Question<'_> {
    /// What a scorer says, and what turned out. A row of which nothing is known has the least score.
    pub fn outcome(&self, scorer: &Scorer) -> Outcome {
        self.outcome_of(Score::of_micro(scorer.score_micro(self.row).unwrap_or(0)))
    }

    /// A score, and what turned out.
    pub fn outcome_of(&self, score: Score) -> Outcome {
        let Example { id, time_ms, card, .. } = self.example;
        Outcome {
            score,
            is_fraud: self.is_fraud,
            time_ms: *time_ms,
            card: card.unwrap_or_else(|| EntityKey::of_text(id.as_bytes())),
        }
    }
}

/// A dataset and what is known of its events.
#[derive(Clone, Copy, Debug)]
pub struct History<'h> {
    /// The events.
    pub dataset: &'h Dataset,
    /// How many features a row has.
    pub n_features: usize,
    /// The labels.
    pub labels: &'h Labels,
    /// The type of the events.
    pub event: &'h str,
}

impl History<'_> {
    /// Whether an event was known to be fraud at a time in ms.
    pub fn is_fraud(&self, example: &Example, at_ms: i64) -> bool {
        let found = self.labels.get(self.event, &example.id, at_ms);
        found.and_then(|found| found.verdict) == Some(Verdict::Fraud)
    }
}
