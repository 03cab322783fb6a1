//! The records of the audit topic, but for what came of a command.

use schemars::JsonSchema;
use serde::Serialize;

use crate::decision::wire::{CommandAnswer, EventRef, OutcomeWord, SourceRef};

/// A happening that auditors ask for.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AuditRecord<'a> {
    /// `riskweir.audit.v1`.
    pub schema: &'a str,
    /// `ruleset_active`: a rule set decides from here on; `rule_tripped_breaker`: a rule stopped more than the policy's
    /// `breaker` allows; `command`: somebody asked for something; `hold`: a hold came into a state; `decision`: an event was decided.
    #[schemars(extend("enum" = ["ruleset_active", "rule_tripped_breaker", "command", "hold", "decision"]))]
    pub kind: &'a str,
    /// Digest of the rule set; absent in entries of `hold` and `decision`, whose records say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ruleset: Option<&'a str>,
    /// Digest of the settings; absent like `ruleset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<&'a str>,
    /// Version of the program; absent like `ruleset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<&'a str>,
    /// Rules that act; absent like `ruleset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_rules: Option<usize>,
    /// Rules that watch; absent like `ruleset`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shadow_rules: Option<usize>,
    /// Which decisions have entries of their own in this chain from here on; in `ruleset_active` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["all", "notable", "stopped", "none"]))]
    pub decisions: Option<&'a str>,
    /// The rule that tripped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tripped: Option<TrippedRule<'a>>,
    /// What somebody asked for, and what came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandAnswer<'a>>,
    /// The hold that came into a state. The step that a command asked for stands in the `command` itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold: Option<HoldEntry<'a>>,
    /// The decision that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionEntry<'a>>,
    /// Where the record stands among the audit records of its input partition.
    pub chain: ChainRef<'a>,
}

/// A record of the topic of holds, in the chain.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HoldEntry<'a> {
    /// The hold.
    pub hold_id: &'a str,
    /// The state that it came into.
    pub state: &'a str,
    /// SHA-256 of the record, its whole body as it was written, in hexadecimal.
    pub sha256: &'a str,
}

/// A record of the topic of decisions, in the chain.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DecisionEntry<'a> {
    /// The decision.
    pub decision_id: &'a str,
    /// What came out.
    pub outcome: OutcomeWord,
    /// SHA-256 of the record, its whole body as it was written, in hexadecimal.
    pub sha256: &'a str,
}

/// The place of an audit record in the chain of its input partition.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ChainRef<'a> {
    /// Topic of the input.
    pub topic: &'a str,
    /// Partition of the input.
    pub partition: i32,
    /// Offset of the record at which it was written.
    pub offset: i64,
    /// Its number, from 1.
    pub seq: u64,
    /// SHA-256 of the record before it, its whole body as it was written, in hexadecimal; zeros for the first.
    pub prev: &'a str,
}

/// A rule that stopped more than it may.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct TrippedRule<'a> {
    /// Stable id of the rule.
    pub rule: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Holds and blocks that it may make per interval.
    pub limit: u32,
    /// The interval, ms.
    pub per_ms: i64,
    /// Whether it goes on acting, as mandatory rules do; the others only watch until another rule set is active.
    pub acts: bool,
    /// The event at which it tripped.
    pub event: EventRef<'a>,
    /// Which record.
    pub source: SourceRef<'a>,
}
