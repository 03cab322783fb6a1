//! Settings that decisions depend on. Their digest is written into every decision.

use serde::{Deserialize, Serialize};

use crate::base::Digest;
use crate::event::mapping::Limits;

/// Settings of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOptions {
    /// An event this much behind its partition's clock still updates state and may stop money.
    pub allowed_lateness_ms: i64,
    /// An event whose time is this much ahead of its arrival is decided, flagged, and not remembered.
    pub future_guard_ms: i64,
    /// For how long (event time, by the partition furthest behind) ids are remembered to recognise duplicates.
    pub dedupe_window_ms: i64,
    /// Most ids remembered, by all who share the budget together, and of it a quarter at most; beyond it the window
    /// shrinks, counted.
    pub dedupe_max_ids: u32,
    /// Events per key that are kept exactly; beyond it long windows become tiles with a stated error.
    pub exact_events_per_key: u32,
    /// A partition without an event while the furthest one moved on by this much no longer keeps state from being forgotten.
    pub partition_idle_ms: i64,
    /// Byte budget for all state; `None`: the policy's.
    pub state_bytes: Option<u64>,
    /// Engines that share the budget and the ids, one per partition; at least 1. No part of the digest: a decision is the
    /// same however the work is shared, unless keys were evicted, and then it says so, or ids were forgotten early, and
    /// then that is counted.
    pub sharers: u32,
    /// Largest record in bytes.
    pub max_record_bytes: u32,
    /// Deepest nesting of a record.
    pub max_depth: u32,
    /// Most keys in one record.
    pub max_keys: u32,
    /// Which decisions are written.
    pub decisions: DecisionsWanted,
    /// Which of those that are written have an entry in the audit chain.
    #[serde(default)]
    pub audited: Audited,
}

/// Which decisions have an entry of their own in the audit chain of their partition. It changes no decision, but every entry behind
/// it, so it is part of the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Audited {
    /// All that are written: one per event.
    All,
    /// All that are written, where those that nobody has anything to say about are not.
    Notable,
    /// Those that stop money: `step_up`, `hold` and `block`.
    #[default]
    Stopped,
    /// None.
    None,
}

impl Audited {
    /// As the audit topic names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Notable => "notable",
            Self::Stopped => "stopped",
            Self::None => "none",
        }
    }
}

/// Which decisions are written. It changes no decision, so it is no part of the digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum DecisionsWanted {
    /// One per event.
    #[default]
    All,
    /// Those with a hit, a score band in force, an outcome other than `pass`, or a remark such as `duplicate`.
    Notable,
    /// None.
    None,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            allowed_lateness_ms: 5 * 60_000,
            future_guard_ms: 5 * 60_000,
            dedupe_window_ms: 24 * 3_600_000,
            dedupe_max_ids: 16_000_000,
            exact_events_per_key: 65_536,
            partition_idle_ms: 3_600_000,
            state_bytes: None,
            sharers: 1,
            max_record_bytes: 1 << 20,
            max_depth: 64,
            max_keys: 1024,
            decisions: DecisionsWanted::All,
            audited: Audited::default(),
        }
    }
}

impl EngineOptions {
    /// The bounds of decoding.
    pub fn limits(&self) -> Limits {
        Limits {
            max_record_bytes: self.max_record_bytes as usize,
            max_depth: self.max_depth,
            max_keys: self.max_keys,
            ..Limits::default()
        }
    }

    /// The digest of everything here that a decision can depend on.
    pub fn digest(&self) -> Digest {
        let numbers = [
            self.allowed_lateness_ms,
            self.future_guard_ms,
            self.dedupe_window_ms,
            i64::from(self.dedupe_max_ids),
            i64::from(self.exact_events_per_key),
            self.partition_idle_ms,
            self.state_bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
            i64::from(self.max_record_bytes),
            i64::from(self.max_depth),
            i64::from(self.max_keys),
        ];
        // WHY: a digest is compared by whoever knows it already, and the usual way keeps the one that it had.
        let audited = Some(self.audited).filter(|audited| *audited != Audited::default());
        let numbers = numbers.into_iter().chain(audited.map(|audited| -1 - audited as i64));
        let bytes: Vec<[u8; 8]> = numbers.map(i64::to_le_bytes).collect();
        let parts: Vec<&[u8]> = bytes.iter().map(<[u8; 8]>::as_slice).collect();
        Digest::of_parts(&parts)
    }
}
