//! The records that leave: decisions, alerts, holds, dead letters and audit entries, as they are written to topics and
//! files. Money and ids are strings. The JSON Schemas under `docs/schemas/` are generated from these types.
//!
//! Additive only: a field is never removed or given another meaning within `v1`. What depends on a clock travels in
//! Kafka headers, never in a body: a repeated body is byte-identical.

mod audit;
mod holds;

use std::borrow::Cow;

pub use holds::{Claimed, HoldRecord, HoldThen, LimitedBy};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use crate::base::time::TimeText;

pub use crate::decision::wire::audit::{
    AuditRecord, ChainRef, DecisionEntry, HoldEntry, TrippedRule,
};

/// The event a record speaks of.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EventRef<'a> {
    /// Its id as the producer gave it.
    pub id: &'a str,
    /// Its type, as the schema names it.
    #[serde(rename = "type")]
    pub event_type: &'a str,
    /// Event time, RFC 3339 UTC.
    #[schemars(extend("format" = "date-time"))]
    pub time: &'a str,
}

/// Where a record was read.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct SourceRef<'a> {
    /// Topic, or name of the file.
    pub topic: &'a str,
    /// Partition; 0 for files.
    pub partition: i32,
    /// Offset; index of the record, from 0, for files.
    pub offset: i64,
}

/// First part of a decision: what differs between two readings of the same event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DecisionHead<'a> {
    /// `riskweir.decision.v1`.
    pub schema: &'a str,
    /// Digest of event type, event id, body digest and rule set: the same event gives the same id.
    pub decision_id: &'a str,
    /// What was decided.
    pub event: EventRef<'a>,
    /// Which record asked.
    pub source: SourceRef<'a>,
    /// True when this record repeats an event that was decided before; then everything below is the first answer.
    pub duplicate: bool,
}

/// Second part of a decision: the answer.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DecisionBody<'a> {
    /// What the payment service must do.
    pub outcome: OutcomeWord,
    /// Risk points, 0 to 100.
    pub score: i32,
    /// What each score group gave, after its cap.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub score_groups: Vec<GroupPoints<'a>>,
    /// The score band in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub band: Option<Band<'a>>,
    /// Method of the second factor, when the outcome is `step_up`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step_up: Option<StepUp<'a>>,
    /// The hold that this decision placed or joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_id: Option<&'a str>,
    /// Subjects of the event whose payments are all held, with their holds; the event's own hold follows those.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<HeldWith<'a>>,
    /// Rules that hit, by rule name.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub contributions: &'a [Contribution<'a>],
    /// Rules that would have hit but only watch.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub shadow: &'a [Contribution<'a>],
    /// Rules that would have hit but are snoozed for a key of this event.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub snoozed: &'a [Snoozed<'a>],
    /// Rules that could not be decided, and why.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub undecided: &'a [Undecided<'a>],
    /// Rules whose condition held but that were exempt by their `unless`.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub exempt: &'a [&'a str],
    /// Scores of models that these rules used, by the model's name.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub models: &'a [ModelScore<'a>],
    /// Tags that rules put on the event.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub tags: &'a [&'a str],
    /// Under which circumstances this was decided, sorted: `normal`, or any of the others.
    pub provenance: &'a [Provenance],
    /// True when the answer was too long for a message: values, conditions, and what did not bring the outcome about are
    /// left out, and contributions beyond 256.
    #[serde(skip_serializing_if = "is_false")]
    pub trimmed: bool,
    /// Digest of the rule set.
    pub ruleset: &'a str,
    /// Digest of the table of exchange rates, where the rule set has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rates: Option<&'a str>,
    /// Digest of the settings that decisions depend on.
    pub config: &'a str,
}

/// The outcome in a record.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeWord {
    /// Let it pass.
    Pass,
    /// Ask for a second factor.
    StepUp,
    /// Stop it until released or until the deadline.
    Hold,
    /// Refuse it.
    Block,
    /// Let it pass by explicit rule.
    Allow,
}

/// Circumstances of a decision.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// A value that counted came from tiles or sketches and carries a stated error.
    Approximate,
    /// State of a key was evicted inside a window that counted, to stay under the byte budget.
    Capped,
    /// The event's time lies further ahead of its arrival than the guard allows; it was not remembered.
    FutureTs,
    /// The same event id came before with another body.
    IdReuse,
    /// The event's time lies behind the partition's clock, within the allowed lateness.
    Late,
    /// Nothing to remark.
    Normal,
    /// A window that counted may reach into a hole: records of the input were gone before they were read.
    StateGap,
    /// Behind by more than the allowed lateness: it may raise alerts, it cannot stop money.
    TooLate,
    /// A value that counted leaves out amounts for which there is no exchange rate.
    Unpriced,
    /// A window that counted reaches back before the stream began.
    Warming,
}

/// Points of one group.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct GroupPoints<'a> {
    /// Name of the group.
    pub group: &'a str,
    /// Points after the cap.
    pub points: i32,
}

/// A score band.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Band<'a> {
    /// Lowest score.
    pub from: i32,
    /// Highest score.
    pub to: i32,
    /// What the policy says of the band's action.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Cow<'a, str>>,
}

/// A subject whose payments are all held.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HeldWith<'a> {
    /// The hold of the subject.
    pub hold_id: &'a str,
    /// The kind of entity, and its id.
    pub subject: EntityRef<'a>,
}

/// A request for a second factor.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct StepUp<'a> {
    /// Which factor.
    pub method: &'a str,
    /// How long the answer is awaited, ms, where an event will say how it was answered: then the payment has a hold, and its
    /// records say what becomes of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub within_ms: Option<i64>,
    /// What to do when it stays unanswered: `block`, `hold`, or absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otherwise: Option<&'a str>,
    /// For how long, ms, when `otherwise` is `hold`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_for_ms: Option<i64>,
}

/// One rule that hit.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Contribution<'a> {
    /// Stable id of the rule (`R-0101`); its reason code.
    pub rule: &'a str,
    /// Its name.
    pub name: &'a str,
    /// `low`, `medium`, `high` or `critical`.
    #[schemars(extend("enum" = ["low", "medium", "high", "critical"]))]
    pub severity: &'a str,
    /// Fraud patterns.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub typologies: &'a [String],
    /// The actions that it asked for: `block`, `hold`, `step_up`, `allow`, `alert`, `score`, `add`, `remove`, `tag`.
    pub actions: Vec<&'a str>,
    /// Risk points that it gave before caps.
    #[serde(skip_serializing_if = "is_zero")]
    pub points: i32,
    /// In words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
    /// The conditions that decided, with actual values against thresholds.
    pub conditions: Vec<Condition<'a>>,
    /// True when the condition was undecided and the rule says that this counts.
    #[serde(skip_serializing_if = "is_false")]
    pub by_missing: bool,
    /// In `shadow`: why the rule only watches, where its mode is not `shadow`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub because: Option<Because>,
}

/// Why a rule that may act only watches an event.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Because {
    /// It is a canary, and this event's key is not in its share, or missing.
    Canary,
    /// The event lies outside of the rule's `effective` dates.
    Dates,
    /// It stopped more payments than the policy's `breaker` allows.
    Breaker,
}

/// A rule that is snoozed for a key of the event.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Snoozed<'a> {
    /// Stable id of the rule.
    pub rule: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The key for whose value it is snoozed.
    pub key: Cow<'a, str>,
    /// When the snooze ends, event time, exclusive.
    #[schemars(with = "String")]
    pub until: Moment,
    /// Who answers for the snooze.
    pub owner: Cow<'a, str>,
    /// Why.
    pub reason: Cow<'a, str>,
}

/// One comparison that decided.
#[derive(Clone, Debug, Serialize, JsonSchema, PartialEq, Eq)]
pub struct Condition<'a> {
    /// The author's words.
    pub text: Cow<'a, str>,
    /// The value found.
    pub value: String,
    /// `>=`, `in`, `matches`, ...
    pub op: &'a str,
    /// The value asked for.
    pub threshold: String,
    /// How the comparison came out; under a `not` a false one speaks for the hit.
    pub holds: bool,
    /// How far the value can be trusted, when it is not complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Cow<'a, str>>,
    /// The longest window that the value comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<WindowRef>,
    /// The events that a sequence took, in order, this one left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<StepTaken>,
}

/// An event that a sequence took.
#[derive(Clone, Debug, Serialize, JsonSchema, PartialEq, Eq)]
pub struct StepTaken {
    /// The step's `as` name, else its event type.
    pub step: String,
    /// The event type.
    pub event: String,
    /// The event time.
    #[schemars(with = "String")]
    pub at: Moment,
}

/// The edges of a window, event time.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema, PartialEq, Eq)]
pub struct WindowRef {
    /// Exclusive.
    #[schemars(with = "String")]
    pub from: Moment,
    /// Inclusive.
    #[schemars(with = "String")]
    pub to: Moment,
}

/// An instant in ms, written as RFC 3339 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment(pub i64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(TimeText::of(self.0).as_str())
    }
}

/// What a model said of the event, and why.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ModelScore<'a> {
    /// Its name.
    pub model: &'a str,
    /// The share of the newest scores below this one, in millionths, equal ones by lot; absent while the model learns.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub percentile_ppm: Option<u32>,
    /// The model's own score, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_micro: Option<i64>,
    /// `warming` until the model's window has filled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coverage: Option<Cow<'a, str>>,
    /// The features that added most, largest first, then those that took most from it; five at most.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<ModelPart<'a>>,
    /// Features that the event lacks: they add nothing, or what training made of their absence.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<&'a str>,
}

/// What one feature added to a score.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ModelPart<'a> {
    /// Its name.
    pub feature: &'a str,
    /// Its value.
    pub value: String,
    /// On which side of what is usual the value lies, `high` or `low`; of a learned model whether it `raises` or `lowers`
    /// the score.
    #[schemars(extend("enum" = ["high", "low", "raises", "lowers"]))]
    pub side: &'a str,
    /// How much it added to the score, or took from it, in millionths.
    pub size_micro: i64,
    /// The share of what is usual that lies as far out on that side, in millionths.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail_ppm: Option<u32>,
    /// In words.
    pub reason: String,
}

/// A rule that could not be decided.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Undecided<'a> {
    /// Stable id of the rule.
    pub rule: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The fields and aggregates that were missing.
    pub missing: Vec<String>,
    /// What the rule says then: `skip`, `match` or `review`.
    #[schemars(extend("enum" = ["skip", "match", "review"]))]
    pub then: &'a str,
}

/// An alert: asks a person for attention, never stops money.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct AlertRecord<'a> {
    /// `riskweir.alert.v1`.
    pub schema: &'a str,
    /// Digest of rule, alert of the rule, and decision.
    pub alert_id: &'a str,
    /// Stable id of the rule, or `policy` for a score band, `id_reuse` for a reused event id, `breaker` for a rule that
    /// stopped too much, `hold_escalation` for a hold that nobody decided about until its first deadline (the event and the
    /// decision are those that placed it).
    pub rule: &'a str,
    /// Name of the rule.
    pub name: &'a str,
    /// `low`, `medium`, `high` or `critical`.
    #[schemars(extend("enum" = ["low", "medium", "high", "critical"]))]
    pub severity: &'a str,
    /// Fraud patterns.
    pub typologies: &'a [String],
    /// The queue it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<&'a str>,
    /// For people.
    pub message: &'a str,
    /// The event that raised it.
    pub event: EventRef<'a>,
    /// Which record.
    pub source: SourceRef<'a>,
    /// The decision beside it.
    pub decision_id: &'a str,
    /// The decision's outcome.
    pub outcome: OutcomeWord,
    /// The decision's score.
    pub score: i32,
    /// The keys by which repeats are joined.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<EntityRef<'a>>,
    /// The episode it belongs to.
    pub episode: EpisodeRef<'a>,
    /// The conditions that decided.
    pub conditions: &'a [Condition<'a>],
    /// True when the alert was too long for a message: its conditions and the end of its words are left out.
    #[serde(skip_serializing_if = "is_false")]
    pub trimmed: bool,
    /// Digest of the rule set.
    pub ruleset: &'a str,
}

/// A named key.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EntityRef<'a> {
    /// Name of the field.
    pub name: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// Where an alert stands among the repeats of its rule and keys.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EpisodeRef<'a> {
    /// Id of the episode: the id of its first alert.
    pub id: &'a str,
    /// 1 for the first alert.
    pub seq: u32,
    /// Hits so far, thinned ones included.
    pub count: u32,
    /// Hits that were thinned since the alert before.
    pub thinned: u32,
    /// Why it was raised although another alert is near: `outcome`, the event is stopped harder than any that was told;
    /// `amount`, it is at least twice the largest that was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["outcome", "amount"]))]
    pub graver: Option<&'a str>,
}

/// The end of an episode of alerts. What an alert without `once per` says stands alone: it has no end.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct EpisodeRecord<'a> {
    /// `riskweir.episode.v1`.
    pub schema: &'a str,
    /// Id of the episode: the id of its first alert.
    pub episode_id: &'a str,
    /// Stable id of the rule.
    pub rule: &'a str,
    /// What ended it: `quiet`, no hit came for the time of its `once per`; `displaced`, its key has four later ones, or there was no memory
    /// for it; `command`,
    /// somebody closed it. Only the last one says that a person dealt with its alerts.
    #[schemars(extend("enum" = ["quiet", "displaced", "command"]))]
    pub closed: &'a str,
    /// Time of its first alert, event time.
    #[schemars(with = "String")]
    pub first_alert_at: Moment,
    /// Time of its latest alert, event time.
    #[schemars(with = "String")]
    pub last_alert_at: Moment,
    /// Hits from here on were no longer part of it, event time.
    #[schemars(with = "String")]
    pub quiet_at: Moment,
    /// Alerts that were raised.
    pub alerts: u32,
    /// Hits it stood for, thinned ones included.
    pub hits: u32,
    /// Hits since the latest alert: nobody was told of them before.
    pub thinned: u32,
    /// Who closed it, where somebody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<CommandRef<'a>>,
    /// The record of the input at which it is told. What ended by itself is told at one of the next records.
    pub source: SourceRef<'a>,
    /// Digest of the rule set.
    pub ruleset: &'a str,
}

/// A command and who gave it.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct CommandRef<'a> {
    /// Its id.
    pub command_id: &'a str,
    /// Who gave it.
    pub actor: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Where two people did it: who approved what `actor` asked for; `override:NAME`: that person acted alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<&'a str>,
    /// Why they approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval_reason: Option<&'a str>,
}

/// Money as text.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct MoneyText<'a> {
    /// Decimal: `12.50`.
    pub value: &'a str,
    /// ISO 4217.
    pub currency: &'a str,
}

/// A record that could not be decided, kept whole up to half a MiB.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct DeadLetterRecord<'a> {
    /// `riskweir.dead_letter.v1`.
    pub schema: &'a str,
    /// `decode`.
    #[schemars(extend("enum" = ["decode"]))]
    pub stage: &'a str,
    /// Stable reason code.
    pub reason: &'a str,
    /// The field at fault, when one is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// One sentence; names fields, never values.
    pub message: String,
    /// Where it was read.
    pub source: SourceRef<'a>,
    /// The record's bytes, base64; absent for a tombstone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_base64: Option<String>,
    /// Length of the record in bytes, when `raw_base64` holds only its beginning: a dead letter must fit where the
    /// record fitted. The whole record stands at `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_cut_from: Option<usize>,
    /// Card numbers in `raw_base64` whose digits but the last four are `*`. The record as it came stands at `source`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_masked: Option<usize>,
    /// Members of the record whose values are never stored, such as `cvv` or `pin`: in `raw_base64` they are `*`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raw_blanked: Option<usize>,
}

/// What somebody asked for, and what came of it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct CommandAnswer<'a> {
    /// What was asked for.
    #[schemars(extend("enum" = ["hold.release", "hold.confirm", "hold.extend", "hold.escalate", "hold.claim", "hold.unclaim", "hold.place", "alert.close", "list.add", "list.remove",
        "snooze.set", "snooze.end", "act"]))]
    pub kind: &'a str,
    /// The command, who gave it and why.
    pub by: CommandRef<'a>,
    /// The hold that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_id: Option<&'a str>,
    /// SHA-256 of the record of the hold in the state that it came into, its whole body as it was written, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hold_sha256: Option<&'a str>,
    /// The kind of entity whose payments are all held.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<&'a str>,
    /// The alerts that it closes: the id of the first of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub episode: Option<&'a str>,
    /// What came out about them: it was what they say; it was not, and yet worth a look; neither.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["confirmed", "useful", "false_positive"]))]
    pub finding: Option<&'a str>,
    /// The list that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub list: Option<&'a str>,
    /// The id of the rule that it silences, or no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<&'a str>,
    /// The key for whose value the rule is silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<&'a str>,
    /// The value of the key, or that is put on the list or taken off it, or the id of the entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<&'a str>,
    /// Until when it says that this holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub until: Option<Moment>,
    /// The queue that is asked by an escalation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<&'a str>,
    /// What somebody did past the engine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["request.made", "request.approved", "request.refused", "request.failed",
        "request.overridden", "rules.activated", "rules.accepted",
        "label.posted", "labels.imported", "dead_letter.shown", "dead_letters.retried",
        "tokens.known", "tokens.added", "tokens.withdrawn"]))]
    pub act: Option<&'a str>,
    /// What it was about: the digest of a rule set, a hold, a topic, the place of a record.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<&'a str>,
    /// SHA-256 of what it was about, hexadecimal, where that is bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<&'a str>,
    /// The request for a second person that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<&'a str>,
    /// Of a request that is made: what is asked for, JSON, card numbers masked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub details: Option<&'a str>,
    /// `done`; `repeated`: it was done or refused before, and nothing happens again; `refused`.
    #[schemars(extend("enum" = ["done", "repeated", "refused"]))]
    pub result: &'a str,
    /// Why it was refused. `unknown_hold`: no hold of this id is here, or it ended long ago; `ended`: somebody decided already,
    /// or its deadline came; `changed`: it is in another state than expected; `not_later`: the new deadline is not later than
    /// the old one; `too_long`: it would be open for more than 400 days, or a snooze set for more than 180;
    /// `follows_subject`: it has the deadline of its subject's hold; `beyond_rail`: the payment's rail leaves no such time; `no_queue`:
    /// nobody says whom to ask; `claimed`: somebody else works on it (`claimed_by`); `not_claimed`: nobody does; `held`: the subject is
    /// held already; `unknown_entity`: no
    /// payment has one of this kind;
    /// `command_id_reused`: another command had this id; `unknown_list`; `list_gives_values`: its file alone fills it;
    /// `wrong_type`: the value cannot be a member; `not_on_list`; `in_network`: a network of the list's file holds
    /// the address (`covered_by`), and it stays on the list; `past`: it would end before it begins; `unknown_rule`;
    /// `unknown_key`: no event of the rule has it; `mandatory`: the rule cannot be silenced; `not_snoozed`; `too_many`: 4,096
    /// snoozes are set, or there is no room for another hold or for another change of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["unknown_hold", "ended", "changed", "not_later", "too_long", "command_id_reused",
        "follows_subject", "beyond_rail", "no_queue", "claimed", "not_claimed", "held", "unknown_entity", "unknown_list", "list_gives_values", "wrong_type", "not_on_list", "in_network", "past", "unknown_rule", "unknown_key", "mandatory",
        "not_snoozed", "too_many"]))]
    pub cause: Option<&'a str>,
    /// Of a claim that is refused: who works on the hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<&'a str>,
    /// Of an address that was to be taken off a list: the network in the list's file that holds it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<&'a str>,
    /// The state of the hold afterwards, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["placed", "extended", "escalated", "released", "confirmed", "expired"]))]
    pub state: Option<&'a str>,
    /// Hits of the alerts that were closed, thinned ones included, where more could have joined them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Of these, those that were thinned since the latest alert.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub thinned: Option<u32>,
    /// Which record.
    pub source: SourceRef<'a>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(value: &i32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_false(value: &bool) -> bool {
    !*value
}
