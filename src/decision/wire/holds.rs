//! The records of holds.

use schemars::JsonSchema;
use serde::Serialize;

use crate::decision::wire::{CommandRef, EventRef, Moment, MoneyText, is_false};

/// A hold and its state.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HoldRecord<'a> {
    /// `riskweir.hold.v1`.
    pub schema: &'a str,
    /// Digest of event type, event id and body of the event that placed it. What these three name has one open hold. Of a
    /// subject's hold a digest of the subject and what placed it.
    pub hold_id: &'a str,
    /// `placed`, `extended` (its deadline was put off), `escalated` (others were asked, by somebody or because nobody decided until
    /// the first deadline, and it stays stopped until the last), `released` (the payment may go), `confirmed` (the payment is refused)
    /// or `expired` (nobody decided until the deadline: the payment goes or is refused, as `otherwise` says). The last three end it.
    #[schemars(extend("enum" = ["placed", "extended", "escalated", "released", "confirmed", "expired"]))]
    pub state: &'a str,
    /// What is held: an event; where `all_payments` is true a kind of entity and its id, and when that was placed.
    pub subject: EventRef<'a>,
    /// True for the hold of a subject: it stops every payment of it. Each of them has a hold of its own beside this one.
    #[serde(skip_serializing_if = "is_false")]
    pub all_payments: bool,
    /// Its amount with currency, when the event has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount: Option<MoneyText<'a>>,
    /// Ids of the rules that placed it (`policy` for a score band, `subject` where the hold of a subject did, `command` where
    /// somebody did by hand).
    pub placed_by: Vec<&'a str>,
    /// In words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<&'a str>,
    /// When it was placed: the event's time, or where that lies in the future, its partition's clock.
    #[schemars(extend("format" = "date-time"))]
    pub placed_at: &'a str,
    /// Ids of the holds of its subjects, which it follows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub under: Vec<&'a str>,
    /// When it ends without a human, event time.
    #[schemars(extend("format" = "date-time"))]
    pub deadline_at: &'a str,
    /// What happens then: `release`, `block`, or what `then` says: `escalate` (people are asked), `hold` (a challenge that
    /// nobody answered).
    #[schemars(extend("enum" = ["release", "block", "escalate", "hold"]))]
    pub otherwise: &'a str,
    /// What comes after the first deadline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<HoldThen<'a>>,
    /// What the rule set says of the payment's rail, where that ends the hold before what placed it would (`hold at most` of the
    /// event's type); `deadline_at`, `otherwise` and `then` are what is left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limited_by: Option<LimitedBy<'a>>,
    /// The decision that placed it; absent where a command did.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub decision_id: &'a str,
    /// Who works on it. It is no lock: anybody who may can decide it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed_by: Option<Claimed<'a>>,
    /// The second factor that is awaited, or that was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub challenge: Option<&'a str>,
    /// Who brought it into this state, or claimed it or gave it back; absent where a rule placed it or its deadline came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<CommandRef<'a>>,
    /// The event that answered the challenge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered_by: Option<EventRef<'a>>,
    /// Digest of the rule set that is active.
    pub ruleset: &'a str,
}

/// What comes after the first deadline of a hold.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct HoldThen<'a> {
    /// How much longer it is stopped, ms.
    pub for_ms: i64,
    /// The queue of who is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<&'a str>,
    /// What happens at the end.
    #[schemars(extend("enum" = ["release", "block"]))]
    pub otherwise: &'a str,
}

/// How long the rail of a payment leaves for a hold.
#[derive(Clone, Copy, Debug, Serialize, JsonSchema)]
pub struct LimitedBy<'a> {
    /// The field of the event that says so; absent where one bound holds for all events of the type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'a str>,
    /// Its value; absent where the event has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<&'a str>,
    /// How long at most, ms, from `placed_at` on.
    pub at_most_ms: i64,
}

/// Who works on a hold.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Claimed<'a> {
    /// Who.
    pub actor: &'a str,
    /// Since when.
    #[schemars(with = "String")]
    pub at: Moment,
}
