//! The one fixed order that turns candidates into an outcome.
//!
//! An `allow` puts aside every candidate that is not mandatory. Of what is left the strictest wins: `block > hold >
//! step_up > allow > pass`. So a mandatory candidate can make an outcome stricter, never milder. Alerts are independent
//! of it. The order in which candidates come never matters.

use core::fmt;

/// What the payment service must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Outcome {
    /// Let it pass.
    #[default]
    Pass,
    /// Ask for a second factor.
    StepUp,
    /// Stop it until released or until the deadline.
    Hold,
    /// Refuse it.
    Block,
    /// Let it pass because a rule said so, whatever non-mandatory rules say.
    Allow,
}

impl Outcome {
    /// All outcomes, in the order in which counters list them.
    pub const ALL: [Self; 5] = [Self::Pass, Self::StepUp, Self::Hold, Self::Block, Self::Allow];

    /// The word used in records and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::StepUp => "step_up",
            Self::Hold => "hold",
            Self::Block => "block",
            Self::Allow => "allow",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a candidate comes from a rule marked `mandatory`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Force {
    /// An `allow` overrides it.
    Ordinary,
    /// An `allow` does not override it.
    Mandatory,
}

/// One thing that a rule or a band wants to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Candidate {
    /// What it wants.
    pub outcome: Outcome,
    /// How strongly.
    pub force: Force,
}

/// What became of the candidates of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ruling {
    /// The outcome.
    pub outcome: Outcome,
    /// Whether an `allow` put aside what is not mandatory.
    pub allowed: bool,
}

impl Ruling {
    /// Whether the candidate, one of those that were ruled on, brought the outcome about, alone or with others.
    pub fn is_by(self, candidate: Candidate) -> bool {
        candidate.outcome == self.outcome && stands(candidate, self.allowed)
    }
}

/// Rules on the candidates of one event; `pass` where nothing is left of them.
pub fn decide(candidates: impl Iterator<Item = Candidate> + Clone) -> Ruling {
    let allowed = candidates.clone().any(|candidate| candidate.outcome == Outcome::Allow);
    let standing = candidates.filter(|candidate| stands(*candidate, allowed));
    let strictest = standing.map(|candidate| candidate.outcome).max_by_key(|it| strictness(*it));
    Ruling { outcome: strictest.unwrap_or(Outcome::Pass), allowed }
}

/// Whether the candidate is left where an `allow` is or is not among them.
fn stands(candidate: Candidate, allowed: bool) -> bool {
    !allowed || candidate.force == Force::Mandatory || candidate.outcome == Outcome::Allow
}

/// The place of an outcome among candidates that stand; higher wins.
fn strictness(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Allow => 1,
        Outcome::StepUp => 2,
        Outcome::Hold => 3,
        Outcome::Block => 4,
    }
}
