//! What a snapshot says about itself before its first part.
//!
//! Written as JSON, so that people and scripts can read it and later versions can add fields; a reader ignores fields
//! that it does not know. Anything that would change the meaning of an old field needs a new version of the format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What a snapshot says about itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Version of the program that wrote it.
    pub product_version: String,
    /// Whose state it is: the shard's name.
    pub shard: String,
    /// Its number within the shard: larger is newer. [`crate::durable::Snapshots::begin`] sets it.
    pub sequence: u64,
    /// Number of the epoch: how often the shard changed its rule set.
    pub epoch: u64,
    /// Digest of the rule set, hexadecimal.
    pub ruleset: String,
    /// Digest of the engine's state, hexadecimal.
    pub engine_digest: String,
    /// What the state has seen: per input partition the next offset to read.
    pub positions: Vec<Position>,
    /// Largest event time that the state has seen, in ms since 1970; none when it has seen no event.
    pub event_time_ms: Option<i64>,
    /// When it was taken by the wall clock, in ms since 1970. For people only.
    pub created_at_ms: i64,
}

/// A place in an input partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Position {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The next offset to read: one past the last that counts.
    pub next_offset: i64,
    /// The fingerprint of the record before it, hexadecimal; none where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
}

impl Header {
    /// The first position that lies beyond what is committed, if any. A partition that `committed` does not name is not
    /// judged: somebody else has it now, and what was seen of it is compared when it comes.
    pub fn first_ahead(&self, committed: &[Position]) -> Option<&Position> {
        let committed: BTreeMap<(&str, i32), i64> = committed
            .iter()
            .map(|at| ((at.topic.as_str(), at.partition), at.next_offset))
            .collect();
        self.positions.iter().find(|at| {
            let limit = committed.get(&(at.topic.as_str(), at.partition));
            limit.is_some_and(|limit| at.next_offset > *limit)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(topic: &str, partition: i32, next_offset: i64) -> Position {
        Position { topic: topic.to_owned(), partition, next_offset, record: None }
    }

    fn header(positions: Vec<Position>) -> Header {
        Header {
            product_version: "0.1.0".to_owned(),
            shard: "a".to_owned(),
            sequence: 1,
            epoch: 0,
            ruleset: String::new(),
            engine_digest: String::new(),
            positions,
            event_time_ms: None,
            created_at_ms: 0,
        }
    }

    #[test]
    fn a_snapshot_at_the_committed_offset_is_not_ahead_of_it() {
        let header = header(vec![at("t", 0, 10), at("t", 1, 7)]);
        assert_eq!(header.first_ahead(&[at("t", 0, 10), at("t", 1, 8)]), None);
        assert_eq!(header.first_ahead(&[at("t", 0, 10), at("t", 1, 6)]), Some(&at("t", 1, 7)));
    }

    #[test]
    fn a_partition_that_somebody_else_has_now_does_not_rule_a_snapshot_out() {
        let two = header(vec![at("t", 0, 10), at("t", 1, 7)]);
        assert_eq!(two.first_ahead(&[at("t", 0, 10)]), None);
        assert_eq!(two.first_ahead(&[at("t", 0, 9)]), Some(&at("t", 0, 10)));
        assert_eq!(header(vec![at("t", 0, 1)]).first_ahead(&[at("u", 0, 9)]), None);
        assert_eq!(header(vec![at("t", 0, 1)]).first_ahead(&[at("t", 0, 0)]), Some(&at("t", 0, 1)));
    }
}
