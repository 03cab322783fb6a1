//! What can be wrong with a program when it is prepared for evaluation.

/// The program cannot be prepared. The checker refuses such rules with a place and a mend; this is the last guard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    /// The policy's time zone is not in the compiled-in database.
    #[error("unknown time zone `{0}`")]
    UnknownZone(String),
    /// A regular expression does not compile or is larger than the limit.
    #[error("regular expression `{pattern}` is refused: {reason}")]
    Regex {
        /// The author's pattern.
        pattern: String,
        /// What the compiler of patterns says.
        reason: String,
    },
    /// There is no such event type.
    #[error("the program has no plan for event type {0}")]
    UnknownEvent(u16),
}
