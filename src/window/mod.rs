//! Sliding windows over one key's events: exact ring, exact log, tiles and sketches behind one reading.
//!
//! [`spec`] is the contract: what a table keeps per event, and what may be asked of it. The history of one key lives
//! in the smallest tier that holds it:
//!
//! - `ring`: up to 64 entries in one contiguous run, no state per window; a read scans it once per series.
//! - `log`: more entries, exact still; cursors and running accumulators per window.
//! - `tiles`: what no longer fits the log's cap, in slices of a `grid` with a stated error; distinct counts by `sketch`,
//!   ranks by `ranks`.
//!
//! [`plan`] compiles the measures of one look-up, `scan` answers it over a run of entries; `walk` answers in either tier
//! what looks back from the newest entry. The tables of many keys are [`crate::state`].

pub(crate) mod accumulator;
pub(crate) mod blocks;
pub mod convert;
pub(crate) mod grid;
pub(crate) mod layout;
pub(crate) mod log;
pub(crate) mod ordered;
pub mod plan;
pub(crate) mod ranks;
pub(crate) mod ring;
pub(crate) mod scan;
pub(crate) mod sketch;
pub mod spec;
pub(crate) mod tiles;
pub(crate) mod units;
pub(crate) mod walk;

pub use convert::Mapping;
pub use plan::ReadPlan;
