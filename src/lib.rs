//! Riskweir reads transaction events, scores them with rules over sliding windows and says what to do.
//!
//! Modules are layers; imports go strictly downward (docs/ARCHITECTURE.md, judged by `tests/tidy.rs`).

pub mod base;
pub mod diag;
pub mod event;
pub mod rules;
pub mod state;
pub mod window;
