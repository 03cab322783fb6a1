//! Helpers that several test files share.

pub(crate) mod dice;
pub(crate) mod rule_text;
pub(crate) mod stream;
