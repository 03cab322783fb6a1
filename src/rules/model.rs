//! Models in a checked program: what they are made of, and how a condition asks them.

use std::sync::Arc;

use crate::base::count::nearest_i64;
use crate::base::{MICRO_PER_MINOR, Value};
use crate::event::schema::{EventId, SlotId};
use crate::models::offline::{Artifact, FieldSource, Unit};
use crate::models::online::ModelSpec;
use crate::models::online::spec::{SCORES_MS, kept_ms};
use crate::rules::program::NodeId;

/// Index of a model in [`crate::rules::program::Program::models`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ModelId(pub u16);

/// What is asked of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Aspect {
    /// `model.NAME`: the place of the score among the newest scores, 0 to 1.
    Percentile,
    /// `model.NAME.raw`: the detector's own score.
    Raw,
}

/// A model of the rule set.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// Its name.
    pub name: String,
    /// The events that it scores and learns.
    pub event: EventId,
    /// What it is made of.
    pub made_of: MadeOf,
    /// The values of its features, in the order in which it is made of them: nodes of the plan of `event`.
    pub features: Vec<NodeId>,
    /// The fields by which traffic is divided; empty: all of it is one.
    pub segments: Vec<SlotId>,
    /// Whether it learns; a frozen one scores by what it has learned before.
    pub learns: bool,
    /// Canonical text: what carries its state over to another rule set.
    pub identity: String,
}

/// What a model is made of.
#[derive(Clone, Debug)]
pub enum MadeOf {
    /// A detector that learns what is usual as events pass.
    Online(ModelSpec),
    /// What was trained on labelled history.
    Learned(LearnedSpec),
}

/// A learned model as its author declares it, and what was learned.
#[derive(Clone, Debug)]
pub struct LearnedSpec {
    /// The file of its artifact, from the rule folder.
    pub path: String,
    /// Ascending by name: the author's order has no effect.
    pub features: Vec<LearnedFeature>,
    /// The fields that those are made of, ascending, with where in a record they stand.
    pub fields: Vec<FieldSource>,
    /// What was learned of exactly these features. None only in a program that was compiled without artifacts, for
    /// training: the model says nothing.
    pub artifact: Option<Arc<Artifact>>,
}

/// A feature as the rules mean it: a model is used only where training meant the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LearnedFeature {
    /// Its name.
    pub name: String,
    /// What it means: the event type and the canonical text of the expression.
    pub identity: String,
    /// What its numbers stand for.
    pub unit: Unit,
}

impl MadeOf {
    /// The names of the features, ascending.
    pub fn feature_names(&self) -> Vec<&str> {
        match self {
            Self::Online(spec) => spec.features.iter().map(|it| it.name.as_str()).collect(),
            Self::Learned(spec) => spec.features.iter().map(|it| it.name.as_str()).collect(),
        }
    }

    /// How long an event counts in what the model holds, ms: in what is usual, and in the scores that one is compared with.
    pub fn kept_ms(&self) -> i64 {
        match self {
            // Its scores lie in no longer window.
            Self::Online(spec) => kept_ms(spec.window_ms),
            Self::Learned(_) => kept_ms(SCORES_MS),
        }
    }
}

/// A value as models count it: money in minor units, numbers in millionths, truths as 0 and 1.
///
/// # Shape
/// Missing where there is no number; one beyond 64 bits is the largest or the least of them.
pub fn model_input(value: Value) -> Option<i64> {
    match value {
        Value::Bool(truth) => Some(i64::from(truth)),
        Value::Int(int) => Some(int),
        Value::Money(micro) => {
            let minor = micro.div_euclid(MICRO_PER_MINOR);
            Some(i64::try_from(minor).unwrap_or(if minor < 0 { i64::MIN } else { i64::MAX }))
        }
        Value::Number(number) => whole(number * 1e6),
        Value::Missing | Value::Text(_) | Value::Tag(_) | Value::Code(_) | Value::Geo(..) => None,
    }
}

fn whole(number: f64) -> Option<i64> {
    (!number.is_nan()).then(|| nearest_i64(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_whole_numbers_and_what_is_no_number_is_missing() {
        for (value, expected) in [
            (Value::Missing, None),
            (Value::Bool(true), Some(1)),
            (Value::Int(-5), Some(-5)),
            (Value::Money(12_340_000), Some(12)),
            (Value::Money(i128::MAX), Some(i64::MAX)),
            (Value::Number(0.25), Some(250_000)),
            (Value::Number(1e300), Some(i64::MAX)),
            (Value::Number(f64::NAN), None),
            (Value::Geo(1.0, 2.0), None),
        ] {
            assert_eq!(model_input(value), expected, "{value:?}");
        }
    }
}
