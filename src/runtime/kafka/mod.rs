//! The one home of the Kafka client: the port to the log ([`crate::runtime::log`]) answered by librdkafka.
//!
//! Callbacks of the client only write down what happened; the cell acts on it between two polls, so rebalances,
//! acknowledgements and errors are handled in one order on the cell's own thread. The one thing that runs beside it is
//! the commit of a transaction, whose calls block.

pub(crate) mod classify;
pub(crate) mod client;
pub(crate) mod feed;
pub(crate) mod follow;
pub(crate) mod inspect;
pub(crate) mod mock;
pub(crate) mod post;
pub(crate) mod reader;
pub(crate) mod scribe;
pub(crate) mod source;
pub(crate) mod topics;
pub(crate) mod watch;
pub(crate) mod writer;

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::log::{Log, Partition};

/// The brokers that a configuration names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kafka<'a> {
    config: &'a Config,
}

impl<'a> Kafka<'a> {
    /// Connects when something is asked for.
    pub(crate) fn new(config: &'a Config) -> Self {
        Self { config }
    }
}

impl Log for Kafka<'_> {
    type Source = source::Member;
    type Writer = writer::Producer;
    type Reader = reader::Replayer;
    type Scribe = scribe::Announcer;

    fn source(&self, topics: &[String]) -> Result<Self::Source, RunError> {
        source::Member::open(self.config, topics)
    }

    fn writer(&self) -> Result<Self::Writer, RunError> {
        writer::Producer::open(self.config)
    }

    fn reader(&self, starts: &[(Partition, Option<i64>)]) -> Result<Self::Reader, RunError> {
        reader::Replayer::open(self.config, starts)
    }

    fn scribe(&self) -> Result<Self::Scribe, RunError> {
        scribe::Announcer::open(self.config)
    }
}
