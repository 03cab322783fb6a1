//! Online anomaly models: detectors over the newest days of traffic, by segment, with scores made comparable.
//!
//! A [`Detector`] says how unusual a row is; two stand behind that one trait: [`tails`], the sum of tail surprises of the
//! features, and [`forest`], a windowed isolation forest, which sees odd combinations of ordinary values. An
//! [`OnlineModel`] keeps one for all traffic and one for each segment, and turns scores into their place among the newest
//! scores, so that `>= 0.995` is a share of traffic that can be promised.
//!
//! Start reading at [`model`]; what a model is made of stands in [`spec`].
//!
//! INVARIANTS
//! - Integers only, but for shares and logarithms made of sums, products and quotients: the same rows give the same bits
//!   on every machine.
//! - What a detector holds depends on the set of rows that it has learned and the newest of their times, not on their
//!   order; a [`forest`] draws its trees when a pane ends, from what it holds then.
//! - A missing value never raises a score, and a row with none at all has no score.
//! - Nothing outside of the window is kept, and everything has a bound: panes, cells, rows, segments.

pub mod forest;
pub(crate) mod logarithm;
pub mod model;
pub(crate) mod panes;
pub mod spec;
pub mod tails;
#[cfg(test)]
mod tests;
mod trees;

use core::fmt::Debug;

pub use model::{Lesson, OnlineModel, Scored};
pub use spec::{DetectorKind, Direction, FeatureSpec, ModelSpec};

use crate::base::codec::Encoder;
use crate::models::online::spec::Row;

/// What a value does to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It lies above what is usual.
    High,
    /// It lies below.
    Low,
    /// A learned model: with it the score is larger than without.
    Raises,
    /// Smaller.
    Lowers,
}

impl Side {
    /// Its word in records.
    pub fn word(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Low => "low",
            Self::Raises => "raises",
            Self::Lowers => "lowers",
        }
    }
}

/// What one feature adds to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its place among the features of the model.
    pub feature: usize,
    /// Its share of the raw score, in millionths; more than 0.
    pub size_micro: i64,
    /// Where its value lies, or what it does.
    pub side: Side,
    /// The share of the reference that lies as far out on that side, in millionths, where the detector knows it.
    pub tail_ppm: Option<u32>,
}

/// Learns what is usual, row by row, and says how unusual another row is.
///
/// A row has a place for each feature of the spec; the spec is always the one that the detector was made for.
pub trait Detector: Debug {
    /// How unusual a row is, in millionths of the detector's own unit: larger is more unusual. None, where nothing of the
    /// row is known or the detector has not learned enough to say.
    fn score(&self, spec: &ModelSpec, row: Row<'_>) -> Option<i64>;

    /// What the features add to that, largest first, those that add nothing left out.
    fn parts(&self, spec: &ModelSpec, row: Row<'_>) -> Vec<Part>;

    /// Takes a row in, of the pane in which its time lies.
    fn learn(&mut self, spec: &ModelSpec, row: Row<'_>, pane: i64);

    /// Forgets what lies before the window that ends with this pane.
    fn turn(&mut self, spec: &ModelSpec, newest: i64);

    /// How many rows of the window it has learned.
    fn events(&self) -> u64;

    /// Heap bytes.
    fn bytes(&self) -> usize;

    /// Writes what it holds.
    fn save(&self, code: &mut Encoder<'_>);
}
