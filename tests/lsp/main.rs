//! The language server, spoken to over its standard input and output as an editor does it. What it answers is read by
//! types that are generated from the protocol's own description, places are counted by hand or by a count of this test,
//! and findings are held against those of `riskweir check`.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
#![expect(clippy::panic, reason = "a test says what it was about when it fails")]

#[path = "../support/dice.rs"]
mod dice;

mod asked;
mod changed;
mod colors;
mod editor;
mod hostile;
mod talk;
