//! A broker inside this process, for the demonstration: librdkafka's mock cluster, which speaks the protocol over TCP.
//!
//! Its bounds: a partition keeps about 5 MB and then drops its oldest records without a word, offsets in Kafka
//! transactions are dropped, and a fetch that finds nothing waits its whole `fetch.wait.max.ms`. Whoever uses it must
//! read as fast as is written, and says so when records went unread ([`crate::runtime::Watch::lost`]).

use std::fmt;

use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use crate::runtime::error::RunError;

/// See the module. It goes when this is dropped.
pub struct EmbeddedBroker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "EmbeddedBroker({})", self.address())
    }
}

impl EmbeddedBroker {
    /// Starts a broker on loopback with these topics and their numbers of partitions.
    ///
    /// # Errors
    /// The client library cannot start it.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, RunError> {
        let refused = |error: KafkaError| RunError::Process {
            reason: format!("the broker inside this process does not start: {error}"),
        };
        let cluster = MockCluster::new(1).map_err(refused)?;
        for (topic, partitions) in topics {
            cluster.create_topic(topic, *partitions, 1).map_err(refused)?;
        }
        Ok(Self { cluster })
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}
