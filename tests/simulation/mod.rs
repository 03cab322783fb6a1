//! A whole deployment in one process under one seed: the real service on a simulated log, clock and scheduler.
//!
//! Every instance is the real `run_on` with the real engine on its own thread, but only the holder of the *baton* runs:
//! each call into a port hands the baton on, and a seeded generator says who gets it, how far time moves and which
//! faults strike. One seed is one interleaving. No real clock is read and nobody sleeps.
//!
//! - [`world`]: the baton, simulated time, instances, their starts, crashes, pauses and stops;
//! - [`broker`]: topics, transactions and the group as a broker keeps them;
//! - [`member`], [`writer`], [`reader`]: the clients, and the ports they answer ([`ports`]);
//! - [`disk`]: where snapshots lie, and what a loss of power leaves of them;
//! - [`workload`]: records, rule sets ([`shelf`]) and golden runs;
//! - [`operator`]: what people do around it: other rule sets, gaps that are accepted; and input that is deleted;
//! - [`check`]: the properties, judged whenever something becomes visible;
//! - [`run`]: one seed from start to verdict.

pub(crate) mod broker;
pub(crate) mod check;
pub(crate) mod commands;
#[path = "../support/dice.rs"]
pub(crate) mod dice;
pub(crate) mod disk;
pub(crate) mod member;
pub(crate) mod network;
pub(crate) mod operator;
pub(crate) mod ports;
pub(crate) mod profile;
pub(crate) mod reader;
pub(crate) mod run;
pub(crate) mod shelf;
pub(crate) mod workload;
pub(crate) mod world;
pub(crate) mod writer;
