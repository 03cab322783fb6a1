//! The one path to a decision: records go in, decisions, alerts and holds come out.
//!
//! Kafka, `backtest`, `test`, the demo and the property tests all call [`Engine::step`]. It is
//! synchronous and pure: what comes out is a function of the records so far, the rule set and the options.

mod activate;
mod again;
mod amounts;
mod audit;
mod breaker;
mod command;
pub mod counters;
mod emit;
mod endings;
mod gap;
mod held;
pub mod identity;
mod judge;
mod labels;
pub mod lists;
mod memory;
mod models;
pub mod options;
pub mod port;
pub mod repeats;
mod restore;
mod scene;
mod snapshot;
pub mod snoozes;
pub mod step;
pub mod streams;
mod tell;
pub mod trail;
mod turn;

pub use activate::{ActivationReport, Past};
pub use amounts::{AMOUNT_DAYS, Amount, Amounts};
pub use audit::Link;
pub use counters::{CommandResult, Counters, RuleCounters};
pub use labels::{Found, LabelFigures, Labelled, Stance};
pub use models::{ModelFigures, ModelSays};
pub use options::{Audited, DecisionsWanted, EngineOptions};
pub use port::{Input, Judged, Output, OutputTopic, Silence, Sink, StreamId};
pub use restore::{Restore, RestoreError};
pub use snapshot::{SNAPSHOT_VERSION, SnapshotStatus};
pub use step::{Decoded, Engine};
