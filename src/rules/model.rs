//! Models in a checked program: what they are made of, and how a condition asks them.

use crate::base::{MICRO_PER_MINOR, Value};
use crate::event::schema::{EventId, SlotId};
use crate::models::online::ModelSpec;
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
    pub spec: ModelSpec,
    /// The values of its features, in the order of the spec: nodes of the plan of `event`.
    pub features: Vec<NodeId>,
    /// The fields by which traffic is divided; empty: all of it is one.
    pub segments: Vec<SlotId>,
    /// Whether it learns; a frozen one scores by what it has learned before.
    pub learns: bool,
    /// Canonical text: what carries its state over to another rule set.
    pub identity: String,
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

#[expect(clippy::cast_possible_truncation, reason = "a float-to-integer cast saturates")]
fn whole(number: f64) -> Option<i64> {
    (!number.is_nan()).then(|| number.round() as i64)
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
