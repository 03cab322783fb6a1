//! A constant of a checked program.

use core::hash::{Hash, Hasher};

/// A constant. INVARIANT: a number is never NaN, so every constant equals itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// Bool.
    Bool(bool),
    /// Integer, duration, time.
    Int(i64),
    /// Number, distance, speed.
    Number(f64),
    /// Micro-minor.
    Money(i128),
    /// Text or entity id.
    Text(String),
    /// Enum index, country or currency code.
    Code(u32),
}

impl Eq for Constant {}

impl Hash for Constant {
    fn hash<H: Hasher>(&self, state: &mut H) {
        core::mem::discriminant(self).hash(state);
        match self {
            Self::Bool(value) => value.hash(state),
            Self::Int(int) => int.hash(state),
            // Both zeros are equal.
            Self::Number(number) if *number == 0.0 => 0_u64.hash(state),
            Self::Number(number) => number.to_bits().hash(state),
            Self::Money(micro) => micro.hash(state),
            Self::Text(text) => text.hash(state),
            Self::Code(code) => code.hash(state),
        }
    }
}
