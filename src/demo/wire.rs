//! The output records as a reader of the topics takes them: only what the demonstration shows or counts.

use serde::Deserialize;

/// The event a record speaks of.
#[derive(Clone, Debug, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Event time.
    pub time: String,
}

/// A decision.
#[derive(Clone, Debug, Deserialize)]
pub struct Decision {
    /// What was decided.
    pub event: Event,
    /// Whether the record repeats an event that was decided before.
    pub duplicate: bool,
    /// What the payment service must do.
    pub outcome: String,
    /// The second factor that it asks for.
    pub step_up: Option<StepUp>,
    /// Rules that hit.
    #[serde(default)]
    pub contributions: Vec<Contribution>,
    /// Rules that would have hit, and only watch.
    #[serde(default)]
    pub shadow: Vec<Contribution>,
    /// What models said that these rules asked.
    #[serde(default)]
    pub models: Vec<ModelScore>,
}

/// A second factor.
#[derive(Clone, Debug, Deserialize)]
pub struct StepUp {
    /// Such as `sms`.
    pub method: String,
}

/// The score of a model.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ModelScore {
    /// Its name.
    pub model: String,
    /// Share of the newest scores that lie below, in millionths; none while there are too few.
    pub percentile_ppm: Option<u32>,
    /// The features that made it.
    #[serde(default)]
    pub features: Vec<ModelPart>,
}

/// What one feature did to a score.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct ModelPart {
    /// In words.
    pub reason: String,
}

/// One rule that hit.
#[derive(Clone, Debug, Deserialize)]
pub struct Contribution {
    /// Its name.
    pub name: String,
    /// What it asked for.
    pub actions: Vec<String>,
}

/// An alert.
#[derive(Clone, Debug, Deserialize)]
pub struct Alert {
    /// Name of the rule.
    pub name: String,
    /// `low` to `critical`.
    pub severity: String,
    /// For people.
    pub message: String,
    /// The event that raised it.
    pub event: Event,
    /// The decision's outcome.
    pub outcome: String,
    /// The decision's score.
    pub score: i32,
    /// The keys by which repeats are joined.
    #[serde(default)]
    pub entities: Vec<Entity>,
    /// Where it stands among the repeats.
    pub episode: Episode,
}

/// A named key.
#[derive(Clone, Debug, Deserialize)]
pub struct Entity {
    /// Name of the field.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// Where an alert stands among the repeats of its rule and keys.
#[derive(Clone, Debug, Deserialize)]
pub struct Episode {
    /// 1 for the first alert.
    pub seq: u32,
    /// Hits so far.
    pub count: u32,
}

/// A hold.
#[derive(Clone, Debug, Deserialize)]
pub struct Hold {
    /// Its id.
    pub hold_id: String,
    /// `placed`, `released`, `escalated`, `confirmed` or `expired`.
    pub state: String,
    /// The second factor that is waited for.
    pub challenge: Option<String>,
    /// The event that answered it.
    pub answered_by: Option<Event>,
    /// Who did it, where somebody did.
    pub by: Option<By>,
    /// What is held.
    pub subject: Event,
    /// Its amount.
    pub amount: Option<Money>,
    /// In words.
    #[serde(default)]
    pub reasons: Vec<String>,
    /// Ids of the rules that placed it.
    pub placed_by: Vec<String>,
    /// When it ends without a human.
    pub deadline_at: String,
    /// What happens then.
    pub otherwise: String,
}

/// Somebody who asked for something.
#[derive(Clone, Debug, Deserialize)]
pub struct By {
    /// Their name.
    pub actor: String,
}

/// Money as text.
#[derive(Clone, Debug, Deserialize)]
pub struct Money {
    /// Decimal.
    pub value: String,
    /// ISO 4217.
    pub currency: String,
}

/// A record that could not be decided.
#[derive(Clone, Debug, Deserialize)]
pub struct DeadLetter {
    /// Why.
    pub reason: String,
}
