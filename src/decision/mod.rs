//! From rule hits to a decision: the lattice, the score, reasons, alert episodes and holds, and the records that leave.
//!
//! Pure and deterministic. What it knows: which rules hit with which actions, the policy, the event's time. What it does
//! not know: topics, partitions, how a rule was evaluated.

pub mod canary;
pub mod command;
pub mod episodes;
pub mod holds;
pub mod json;
pub mod lattice;
pub mod resolve;
pub mod score;
pub mod wire;
