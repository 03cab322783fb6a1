//! What the demonstration needs besides the product: made-up traffic, the shipped rules, and the tally of what came of
//! them. Labels stay here: nothing of them reaches the engine.

pub mod customers;
pub mod latency;
pub mod report;
pub mod shipped;
pub mod show;
pub mod tally;
pub mod traffic;
pub mod wire;
