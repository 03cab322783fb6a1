//! Mistakes made on purpose, one at a time, to show that the simulator finds them (`tests/simulation.rs`).
//!
//! INVARIANT: a build without debug assertions, which every release is, has no switch and no mistake: [`is_planted`] is
//! `false` there when it is compiled. In other builds the switch is one thread's, off until somebody calls `plant`.

/// A mistake that can be made on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Positions are committed before outputs are acknowledged.
    CommitBeforeAcknowledged,
    /// A repeated event is decided as if it were new.
    DedupeSkipped,
    /// A late event is decided and not remembered.
    LateInsertLost,
    /// A transaction that is written again lacks its first output.
    OutputLostOnRepeat,
    /// What a transaction holds stays in it when the group takes the partitions away.
    NotAbandoned,
    /// A commit that nobody answered for counts as landed.
    UnknownIsLanded,
    /// A replay leaves the last record out.
    ReplayEndsEarly,
    /// A snapshot says that it has seen one record less than it has.
    SnapshotOffsetStale,
    /// The answer to a commit is waited for after it has come.
    AnswerAwaitedTwice,
    /// Windows that ran ahead of the committed offset are kept.
    AheadIsKept,
    /// A replay makes a rule set active one record too early.
    RulesOneEarly,
    /// Input that is gone is not missed.
    GapIgnored,
    /// A rule set decides before a commit says so.
    NoteSkipped,
    /// What readers have seen of records behind the committed offset is not looked for.
    AnswersForgotten,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::CommitBeforeAcknowledged,
        Self::DedupeSkipped,
        Self::LateInsertLost,
        Self::OutputLostOnRepeat,
        Self::NotAbandoned,
        Self::UnknownIsLanded,
        Self::ReplayEndsEarly,
        Self::SnapshotOffsetStale,
        Self::AnswerAwaitedTwice,
        Self::AheadIsKept,
        Self::RulesOneEarly,
        Self::GapIgnored,
        Self::NoteSkipped,
        Self::AnswersForgotten,
    ];
}

#[cfg(debug_assertions)]
thread_local! {
    static PLANTED: core::cell::Cell<Option<Bug>> = const { core::cell::Cell::new(None) };
}

/// Makes this thread make a mistake, or none.
#[cfg(debug_assertions)]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this thread is to make this mistake.
#[inline]
pub(crate) fn is_planted(bug: Bug) -> bool {
    #[cfg(debug_assertions)]
    return PLANTED.get() == Some(bug);
    #[cfg(not(debug_assertions))]
    {
        let _never: Bug = bug;
        false
    }
}
