//! What a rule does when it hits, with everything resolved; part of the checked program.

use crate::event::schema::{FieldId, SlotId};
use crate::rules::program::{ListId, NodeId};
use crate::rules::syntax::ast::Otherwise;

/// An action with everything resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionPlan {
    /// Let it pass, whatever non-mandatory rules say.
    Allow,
    /// Refuse.
    Block {
        /// Shown to people.
        reason: Option<Message>,
    },
    /// Stop it for a while.
    Hold {
        /// The slot of the subject whose payments are all held, beside this one.
        of: Option<SlotId>,
        /// How long, ms.
        for_ms: i64,
        /// Who is asked at the deadline, and for how much longer it is held then.
        escalate: Option<Escalation>,
        /// What happens at the last deadline.
        otherwise: Otherwise,
        /// Shown to people.
        reason: Option<Message>,
    },
    /// Ask for a second factor.
    StepUp {
        /// Which.
        method: String,
        /// How long it waits for an answer, ms.
        within_ms: i64,
        /// When it stays unanswered: block, or hold for this many ms.
        otherwise: Option<StepUpOtherwise>,
    },
    /// Tell a person.
    Alert {
        /// Where.
        queue: Option<String>,
        /// Thinning: slots of the key, and the time in ms.
        once: Option<(Vec<SlotId>, i64)>,
        /// What it says.
        message: Option<Message>,
    },
    /// Add risk points.
    Score {
        /// Points, may be negative.
        points: i32,
        /// Index in [`Program::groups`](crate::rules::program::Program::groups).
        group: u16,
    },
    /// Put the value of a slot on a list.
    Add {
        /// Which value.
        slot: SlotId,
        /// Which list.
        list: ListId,
        /// For how long, ms.
        for_ms: i64,
    },
    /// Take the value of a slot off a list.
    Remove {
        /// Which value.
        slot: SlotId,
        /// Which list.
        list: ListId,
    },
    /// Mark the decision.
    Tag(String),
}

impl ActionPlan {
    /// The word by which rules and records name it.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Block { .. } => "block",
            Self::Hold { .. } => "hold",
            Self::StepUp { .. } => "step_up",
            Self::Alert { .. } => "alert",
            Self::Score { .. } => "score",
            Self::Add { .. } => "add",
            Self::Remove { .. } => "remove",
            Self::Tag(_) => "tag",
        }
    }

    /// The text that it shows, if it has one.
    pub fn message(&self) -> Option<&Message> {
        match self {
            Self::Block { reason } | Self::Hold { reason, .. } => reason.as_ref(),
            Self::Alert { message, .. } => message.as_ref(),
            _ => None,
        }
    }
}

/// What comes at the first deadline of a hold that has two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Escalation {
    /// The queue of who is asked.
    pub queue: String,
    /// How long they have, ms.
    pub for_ms: i64,
}

/// What an unanswered step-up does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepUpOtherwise {
    /// Refuse.
    Block,
    /// Hold for this many ms.
    Hold(i64),
}

/// A text with values in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message(pub Vec<MessagePart>);

/// A part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagePart {
    /// As it is.
    Text(String),
    /// The value of a field as it came (money with its own currency).
    Field(FieldId),
    /// The value of an expression.
    Value(NodeId),
}
