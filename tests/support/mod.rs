//! What integration tests share: a real Kafka broker and plain questions to it, random rule texts and event streams.
//!
//! Every integration test is a crate of its own that includes this folder and uses a part of it.
#![allow(dead_code, reason = "each test crate uses another part of this folder")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail the test"
)]

pub(crate) mod acl;
pub(crate) mod artifacts;
pub(crate) mod binary;
pub(crate) mod broker;
pub(crate) mod claims;
pub(crate) mod container;
pub(crate) mod dice;
pub(crate) mod duel;
pub(crate) mod fleet;
pub(crate) mod fuzz;
pub(crate) mod place;
pub(crate) mod records;
pub(crate) mod rule_text;
pub(crate) mod runner;
pub(crate) mod s3;
pub(crate) mod service;
pub(crate) mod stream;
pub(crate) mod topics;
pub(crate) mod wait;
