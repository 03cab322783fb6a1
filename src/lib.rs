//! Riskweir reads transaction events, scores them with rules over sliding windows and says what to do.
//!
//! Modules are layers; imports go strictly downward (docs/ARCHITECTURE.md, judged by `tests/tidy.rs`).

pub mod api;
pub mod audit;
pub mod backtest;
pub mod base;
pub mod cli;
pub mod config;
pub mod decision;
pub mod demo;
pub mod diag;
pub mod durable;
pub mod engine;
pub mod event;
pub mod loader;
pub mod lsp;
pub mod models;
pub mod rule_tests;
pub mod rules;
pub mod runtime;
pub mod state;
pub mod telemetry;
pub mod train;
pub mod window;
pub mod witness;
