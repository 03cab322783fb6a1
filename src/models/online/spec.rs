//! What a model is made of: its kind, the features that it reads, its window.

/// A value for each feature, in the order of [`ModelSpec::features`]; none where it is missing.
///
/// # Units
/// Whole numbers: money in minor units, durations in ms, numbers in millionths. Only their order counts, and their size to
/// one part in 128.
pub type Row<'a> = &'a [Option<i64>];

/// Panes that make a window; one more is kept, so that the window is never short.
pub(crate) const PANES: i64 = 14;

/// Events that a detector must have learned before it is asked, and scores before their share is told.
pub const ENOUGH_EVENTS: u64 = 2_000;

/// The window of the scores that a score is compared with: 7 days, or the model's own where that is shorter.
pub(crate) const SCORES_MS: i64 = 7 * 86_400_000;

/// Which detector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DetectorKind {
    /// The sum of tail surprises.
    TailSum,
    /// An isolation forest over a sample of the window.
    IsolationForest,
}

impl DetectorKind {
    /// Its word in the rule language.
    pub fn word(self) -> &'static str {
        match self {
            Self::TailSum => "tail_sum",
            Self::IsolationForest => "isolation_forest",
        }
    }

    /// Most segments that have a detector of their own.
    pub(crate) fn max_segments(self) -> usize {
        match self {
            Self::TailSum => 64,
            Self::IsolationForest => 8,
        }
    }
}

/// On which side of what is usual a value is suspicious.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Large ones.
    High,
    /// Small ones.
    Low,
    /// Both.
    Both,
}

impl Direction {
    /// Its word in the rule language.
    pub fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
            Self::Both => "both",
        }
    }
}

/// A feature as a model reads it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FeatureSpec {
    /// Its name.
    pub name: String,
    /// Where it is suspicious.
    pub direction: Direction,
}

/// What a model is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ModelSpec {
    /// Which detector.
    pub kind: DetectorKind,
    /// Ascending by name: the author's order has no effect.
    pub features: Vec<FeatureSpec>,
    /// How far back what is usual reaches, in ms.
    pub window_ms: i64,
    /// How much surprise of each feature is ordinary, in millionths of a nat.
    pub allowance_micro: i64,
    /// What a forest draws its trees by.
    pub seed: u64,
}

impl ModelSpec {
    /// The pane of an instant in ms.
    pub(crate) fn pane(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(pane_ms(self.window_ms))
    }

    /// The same among the scores.
    pub(crate) fn score_pane(&self, time_ms: i64) -> i64 {
        time_ms.div_euclid(pane_ms(self.window_ms.min(SCORES_MS)))
    }
}

/// How long a pane of a window is, ms.
pub(crate) fn pane_ms(window_ms: i64) -> i64 {
    (window_ms / PANES).max(1)
}

/// How long an event of a window is kept at most, ms: the one pane more counts too.
pub(crate) fn kept_ms(window_ms: i64) -> i64 {
    pane_ms(window_ms).saturating_mul(PANES + 1)
}
