//! The one path to a decision: records go in, decisions, alerts and holds come out.
//!
//! Kafka, `backtest`, `test`, the demo and the property tests all call [`Engine::step`](step::Engine::step). It is
//! synchronous and pure: what comes out is a function of the records so far, the rule set and the options.

pub mod counters;
pub mod lists;
pub mod options;
pub mod port;
pub mod streams;
