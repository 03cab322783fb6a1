//! What an operator sees of a running process: logs, metrics, health. The one home of `tracing` and `prometheus`.
//!
//! Cells never touch shared metric maps per event: each keeps plain counters ([`books::Books`]) and hands a copy to the
//! [`board::Board`] at the end of a batch. A scrape renders from those copies, so that at every scrape
//! `records_read = decided + dead_lettered + commands + abandoned + in_flight` ([`books`] says how that is kept).
//!
//! Happenings (log lines) are structs in [`happening`]; payload never appears in them.

pub mod api;
pub mod board;
pub mod books;
pub mod exposed;
mod families;
pub mod happening;
pub mod health;
pub mod http;
pub mod log;
pub mod requests;
mod throttle;

pub use board::Board;
pub use books::{Books, EngineReport, NewestSnapshot, Outcome, SnapshotBooks};
pub use health::Health;
