//! What a `test` block expects. An action is compared in every part that its author wrote, and in no other.

use crate::diag::Span;
use crate::event::schema::SlotId;
use crate::rules::program::{Constant, Escalation, StepUpOtherwise};
use crate::rules::syntax::ast::Otherwise;

/// One expectation of a test.
#[derive(Clone, Debug, PartialEq)]
pub enum Expectation {
    /// The rule hits.
    Hit,
    /// The rule does not hit.
    NoHit,
    /// The rule is undecided, maybe on this field.
    Undecided(Option<String>),
    /// The rule would hit and is snoozed.
    Snoozed,
    /// The rule contributes this action; where the author wrote it.
    Action(WantedAction, Span),
    /// A `let` or feature has this value.
    Value(String, Constant),
}

/// An action as a test names it; `None` is what its author did not write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedAction {
    /// `allow`
    Allow,
    /// `block reason "..."`
    Block {
        /// The reason as people read it.
        reason: Option<String>,
    },
    /// `hold for 2h otherwise block reason "..."`
    Hold {
        /// The slot of the subject.
        of: Option<SlotId>,
        /// How long, ms.
        for_ms: i64,
        /// What comes at the first deadline.
        escalate: Option<Escalation>,
        /// What happens at the last deadline.
        otherwise: Option<Otherwise>,
        /// The reason as people read it.
        reason: Option<String>,
    },
    /// `step_up app otherwise block`
    StepUp {
        /// Which.
        method: String,
        /// How long it waits, ms.
        within_ms: Option<i64>,
        /// What an unanswered one does.
        otherwise: Option<StepUpOtherwise>,
    },
    /// `alert queue l1 once per card per 1h message "..."`
    Alert {
        /// Where.
        queue: Option<String>,
        /// Slots of the key, and the time in ms.
        once: Option<(Vec<SlotId>, i64)>,
        /// The message as people read it.
        message: Option<String>,
    },
    /// `score +35 in velocity cap 50`
    Score {
        /// Points.
        points: i32,
        /// Index of the group; beyond all of them where no rule has such a group.
        group: Option<u16>,
        /// The cap of the group.
        cap: Option<i32>,
    },
    /// `tag x`
    Tag(String),
}
