//! What people ask of a hold by commands, what that changes, and why it may be refused.

use crate::decision::holds::{Hold, HoldState, HoldStep, Stage};

/// The longest that commands may keep a hold open: 400 days.
///
/// WHY: a year and the days of a quarrel about it. A slip in a date may not stop somebody's wages for a century.
pub const LONGEST_HOLD_MS: i64 = 400 * 86_400_000;

/// What a command asks of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// For what.
    pub what: AskedFor,
    /// Refuse unless the hold is in this state.
    pub expected: Option<HoldState>,
}

/// What may be asked of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskedFor {
    /// The payment is let go.
    Release,
    /// The payment is refused.
    Confirm,
    /// Its deadline is put off.
    Extend {
        /// The new one, ms of event time.
        until_ms: i64,
    },
    /// Others are asked now, not only at the first deadline.
    Escalate {
        /// Who; absent: whom the hold would ask at its first deadline.
        queue: Option<String>,
        /// Until when, ms of event time; absent: until its last deadline.
        until_ms: Option<i64>,
    },
    /// Whoever asks works on it.
    Claim {
        /// Whose claim is taken over.
        take_from: Option<String>,
    },
    /// Whoever asks works on it no longer.
    Unclaim {
        /// Whose claim ends, where it is somebody else's.
        take_from: Option<String>,
    },
}

/// Who asks, and when.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who.
    pub actor: &'a str,
    /// When, ms since 1970.
    pub at_ms: i64,
}

/// That somebody works on a hold. It keeps nobody else from deciding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Who.
    pub by: String,
    /// Since when, ms since 1970.
    pub at_ms: i64,
}

impl AskedFor {
    /// As commands name it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Release => "hold.release",
            Self::Confirm => "hold.confirm",
            Self::Extend { .. } => "hold.extend",
            Self::Escalate { .. } => "hold.escalate",
            Self::Claim { .. } => "hold.claim",
            Self::Unclaim { .. } => "hold.unclaim",
        }
    }

    /// The step that the hold takes.
    pub fn step(&self) -> HoldStep {
        match self {
            Self::Release => HoldStep::Release,
            Self::Confirm => HoldStep::Confirm,
            Self::Extend { .. } => HoldStep::Extend,
            Self::Escalate { .. } => HoldStep::Escalate,
            Self::Claim { .. } | Self::Unclaim { .. } => HoldStep::Claim,
        }
    }

    /// What it says beside its kind, in a fixed order.
    pub fn words(&self) -> Vec<String> {
        let until = |ms: Option<i64>| ms.map_or_else(String::new, |ms| ms.to_string());
        match self {
            Self::Release | Self::Confirm => Vec::new(),
            Self::Extend { until_ms } => vec![until_ms.to_string()],
            Self::Escalate { queue, until_ms } => {
                vec![queue.clone().unwrap_or_default(), until(*until_ms)]
            }
            Self::Claim { take_from } | Self::Unclaim { take_from } => {
                vec![take_from.clone().unwrap_or_default()]
            }
        }
    }
}

/// Why a hold does not do what a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No hold of this id is here, or it ended long ago.
    Unknown,
    /// It has ended, in this state.
    Ended(HoldState),
    /// It is open, but not as the command expects it.
    Changed(HoldState),
    /// The deadline that was asked for is not later than the one that it has.
    NotLater(HoldState),
    /// The hold would be open for longer than is allowed.
    TooLong(HoldState),
    /// It follows the hold of its subject, whose deadline is its own.
    Follows(HoldState),
    /// The rail of the payment leaves no such time.
    BeyondRail(HoldState),
    /// Neither the command nor the hold says whom to ask.
    NoQueue(HoldState),
    /// Somebody else works on it.
    Claimed(HoldState),
    /// Nobody works on it.
    NotClaimed(HoldState),
}

impl Refusal {
    /// As records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_hold",
            Self::Ended(_) => "ended",
            Self::Changed(_) => "changed",
            Self::NotLater(_) => "not_later",
            Self::TooLong(_) => "too_long",
            Self::Follows(_) => "follows_subject",
            Self::BeyondRail(_) => "beyond_rail",
            Self::NoQueue(_) => "no_queue",
            Self::Claimed(_) => "claimed",
            Self::NotClaimed(_) => "not_claimed",
        }
    }

    /// The state of the hold, where there is one.
    pub fn state(self) -> Option<HoldState> {
        match self {
            Self::Unknown => None,
            Self::Ended(state)
            | Self::Changed(state)
            | Self::NotLater(state)
            | Self::TooLong(state)
            | Self::Follows(state)
            | Self::BeyondRail(state)
            | Self::NoQueue(state)
            | Self::Claimed(state)
            | Self::NotClaimed(state) => Some(state),
        }
    }
}

impl Hold {
    /// Becomes what a command asks for, but for its state; gives whom it asks then.
    ///
    /// # Errors
    /// Why it does not; then it is of no use.
    pub(super) fn heed(
        &mut self,
        what: &AskedFor,
        asker: Asker<'_>,
    ) -> Result<Option<String>, Refusal> {
        match what {
            AskedFor::Release | AskedFor::Confirm => Ok(None),
            AskedFor::Extend { until_ms } => {
                self.deadline_ms = self.put_off(self.deadline_ms, *until_ms)?;
                Ok(None)
            }
            AskedFor::Escalate { queue, until_ms } => {
                self.escalate(queue.as_ref(), *until_ms).map(Some)
            }
            AskedFor::Claim { take_from } => {
                self.give_up(take_from.as_deref(), asker)?;
                let (by, at_ms) = (asker.actor.to_owned(), asker.at_ms);
                self.claim.get_or_insert(Claim { by, at_ms });
                Ok(None)
            }
            AskedFor::Unclaim { take_from } => {
                if self.claim.is_none() {
                    return Err(Refusal::NotClaimed(self.state));
                }
                self.give_up(take_from.as_deref(), asker)?;
                self.claim = None;
                Ok(None)
            }
        }
    }

    /// Others are asked from now on until the last deadline. An awaited second factor counts no more, for people decide.
    fn escalate(
        &mut self,
        queue: Option<&String>,
        until_ms: Option<i64>,
    ) -> Result<String, Refusal> {
        // WHY: the hold of the subject decides when it ends, and a challenge must outlive that.
        if !self.has_deadline {
            return Err(Refusal::Follows(self.state));
        }
        let by_itself = self.next.as_ref().and_then(|stage| stage.queue.as_ref());
        let queue = queue.or(by_itself).ok_or(Refusal::NoQueue(self.state))?.clone();
        let more_ms = self.next.as_ref().map_or(0, |Stage { for_ms, .. }| *for_ms);
        let last_ms = self.deadline_ms.saturating_add(more_ms);
        let promised_ms = self.limit.as_ref().map_or(last_ms, |limit| last_ms.min(limit.until_ms));
        // WHY: never earlier. Where the end lets the payment go, an earlier one would be a release by another name.
        self.deadline_ms = until_ms.map_or(Ok(last_ms), |ms| self.put_off(promised_ms, ms))?;
        (self.next, self.challenge, self.claim) = (None, None, None);
        Ok(queue)
    }

    /// A deadline in place of another one.
    fn put_off(&self, from_ms: i64, until_ms: i64) -> Result<i64, Refusal> {
        if !self.has_deadline {
            return Err(Refusal::Follows(self.state));
        }
        if until_ms <= from_ms {
            return Err(Refusal::NotLater(self.state));
        }
        if self.limit.as_ref().is_some_and(|limit| until_ms > limit.until_ms) {
            return Err(Refusal::BeyondRail(self.state));
        }
        if until_ms > self.placed_ms.saturating_add(LONGEST_HOLD_MS) {
            return Err(Refusal::TooLong(self.state));
        }
        Ok(until_ms)
    }

    /// Nobody else works on it any more, where whoever asks names them.
    fn give_up(&mut self, take_from: Option<&str>, asker: Asker<'_>) -> Result<(), Refusal> {
        let other = self.claim.as_ref().filter(|claim| claim.by != asker.actor);
        if other.is_some_and(|claim| take_from != Some(claim.by.as_str())) {
            return Err(Refusal::Claimed(self.state));
        }
        if other.is_some() {
            self.claim = None;
        }
        Ok(())
    }
}
