//! What outlives the process: snapshots of the engine's state, on a file system or in an object store.
//!
//! The engine gives its state as parts, byte strings that mean nothing here. [`container`] lays them into one file that
//! detects any damage to itself. [`storage`] is the port to the place where files lie; every effect on it is one call,
//! so a simulator can fail or crash between any two. [`snapshots`] writes, finds, loads and prunes the snapshots of one
//! shard. [`writer`] does the writing on a thread of its own.
//!
//! # Invariants
//! - A snapshot has its final name only when all of it is written and synced. Nothing changes a file after that.
//! - A failed write touches no other snapshot; pruning deletes only what enough newer, valid ones stand for.
//! - Nobody gets a value that was built from a damaged snapshot: loading ends well only after the trailer agreed.
//! - Memory is bounded by one part ([`container::MAX_PART_BYTES`]) and the writer's queue, however big the state.
//!
//! It neither logs nor counts: what was skipped, done or failed is told to the caller. Start reading at
//! [`snapshots::Snapshots`].

pub mod container;
pub mod error;
pub mod header;
pub mod local;
#[cfg(feature = "object-store")]
pub mod object;
pub mod place;
pub mod snapshots;
pub mod storage;
pub mod writer;

pub use container::Totals;
pub use error::{ContainerError, SnapshotError, StorageError, Trouble};
pub use header::{Header, Position};
pub use local::LocalDir;
pub use place::{check, check_room, open};
pub use snapshots::{Found, LoadError, Parts, Reason, Search, Skipped, Snapshots, Written};
pub use storage::{Storage, Stored};
pub use writer::{Job, Report, SnapshotWriter};
