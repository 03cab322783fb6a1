//! Riskweir reads transaction events, scores them with rules over sliding windows and says what to do.
//!
//! Modules are layers; imports go strictly downward (docs/ARCHITECTURE.md, judged by `tests/tidy.rs`).

pub mod base;
pub mod config;
pub mod diag;
pub mod event;
pub mod rules;
pub mod runtime;
pub mod telemetry;
pub mod window;
