//! The one home of the Kafka client: settings, consumer, producer, the two deliveries, recovery by replay.
//!
//! Everything here runs on the cell's own thread. Callbacks of the client only write down what happened; the cell acts
//! on it between two polls, so rebalances, acknowledgements and errors are handled in one order.

pub(crate) mod classify;
pub(crate) mod client;
pub(crate) mod consumer;
pub(crate) mod delivery;
pub(crate) mod feed;
pub(crate) mod idempotent;
pub(crate) mod mock;
pub(crate) mod producer;
pub(crate) mod replay;
pub(crate) mod topics;
pub(crate) mod trace;
pub(crate) mod transactional;
pub(crate) mod watch;

use std::sync::Arc;

/// One partition of one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Partition {
    /// Topic.
    pub(crate) topic: Arc<str>,
    /// Number.
    pub(crate) number: i32,
}
