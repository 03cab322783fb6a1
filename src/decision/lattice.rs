//! The one fixed lattice that turns candidates into an outcome.
//!
//! `mandatory block > mandatory hold > allow > block > hold > step_up > pass`. Alerts are independent of it. The order
//! in which candidates come never matters.

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

impl Candidate {
    /// Its place in the lattice; higher wins.
    pub fn rank(self) -> u8 {
        match (self.outcome, self.force) {
            (Outcome::Block, Force::Mandatory) => 6,
            (Outcome::Hold, Force::Mandatory) => 5,
            (Outcome::Allow, _) => 4,
            (Outcome::Block, Force::Ordinary) => 3,
            (Outcome::Hold, Force::Ordinary) => 2,
            (Outcome::StepUp, _) => 1,
            (Outcome::Pass, _) => 0,
        }
    }
}

/// The candidate that wins; `pass` where there is none.
pub fn decide(candidates: impl IntoIterator<Item = Candidate>) -> Candidate {
    let nothing = Candidate { outcome: Outcome::Pass, force: Force::Ordinary };
    candidates
        .into_iter()
        .fold(nothing, |best, next| if next.rank() > best.rank() { next } else { best })
}
