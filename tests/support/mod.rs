//! Helpers that several test files share.

pub mod dice;
pub mod rule_text;
pub mod stream;
