//! Money: currencies with their minor units and exact parsing of decimal amounts.

/// Micro-minor units in one minor unit: the scale of [`crate::base::Value::Money`].
pub const MICRO_PER_MINOR: i128 = 1_000_000;

/// An ISO 4217 currency code, packed as three ASCII letters in the low 24 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency(pub u32);
