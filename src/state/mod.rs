//! Many keys: the state tables that the engine reads and writes per event, and the maps beside them.
//!
//! [`Table`] holds the window history of every key of one [`crate::window::spec::TableSpec`], [`SeenIds`] recognises
//! events that were seen before, [`ExpiringMap`] keeps values until a deadline. All are single-writer, pure and
//! deterministic: the same calls in the same order give the same answers, and no hash map is ever iterated.

pub mod expiring;
pub mod ids;
pub mod slab;
pub mod table;
pub mod walk;

pub use expiring::ExpiringMap;
pub use ids::{BYTES_PER_ID, Seen, SeenIds, SeenLoader, variant_of};
pub use table::{Evicted, Guess, ReadAt, StateOptions, Stored, Swept, Table, TableLoader};

pub use crate::window::ReadPlan;
