//! A consumer outside the group, assigned by hand, for replay.
//!
//! One per topic: the client says "end of partition" without the topic's name, and only the end tells that a partition
//! whose last records are transaction marks has nothing more.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::config::Config;
use crate::runtime::error::RunError;
use crate::runtime::kafka::source::{Message, trouble};
use crate::runtime::kafka::{classify, client};
use crate::runtime::log::{Partition, Read, Reader};

/// See the module.
pub(crate) struct Replayer {
    consumer: BaseConsumer,
}

impl Replayer {
    /// Starts to read.
    pub(crate) fn open(
        config: &Config,
        starts: &[(Partition, Option<i64>)],
    ) -> Result<Self, RunError> {
        let consumer: BaseConsumer =
            client::replayer(config).create().map_err(|error| classify::fatal(&error))?;
        let mut list = TopicPartitionList::new();
        for (partition, from) in starts {
            let start = from.map_or(Offset::Beginning, Offset::Offset);
            list.add_partition_offset(&partition.topic, partition.number, start)
                .map_err(|error| classify::fatal(&error))?;
        }
        consumer.assign(&list).map_err(|error| classify::fatal(&error))?;
        Ok(Self { consumer })
    }
}

fn one(partition: &Partition) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition(&partition.topic, partition.number);
    list
}

impl Reader for Replayer {
    type Record<'a> = Message<'a>;

    fn poll(&self, wait: Duration) -> Result<Read<Self::Record<'_>>, RunError> {
        match self.consumer.poll(wait) {
            None => Ok(Read::Nothing),
            Some(Err(KafkaError::PartitionEOF(number))) => Ok(Read::End(number)),
            Some(Ok(message)) => Ok(Read::Record(Message(message))),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => {
                Err(classify::fatal(&error))
            }
            Some(Err(error)) => Ok(Read::Trouble(trouble(&error))),
        }
    }

    fn pause(&self, partition: &Partition) -> Result<(), RunError> {
        self.consumer.pause(&one(partition)).map_err(|error| classify::fatal(&error))
    }

    fn resume(&self, partition: &Partition) -> Result<(), RunError> {
        self.consumer.resume(&one(partition)).map_err(|error| classify::fatal(&error))
    }
}
