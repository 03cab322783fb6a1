//! Sliding windows over one key's events: exact ring, exact log, tiles and sketches behind one reading.
//!
//! [`spec`] is the contract: what a table keeps per event, and what may be asked of it.

pub mod spec;
