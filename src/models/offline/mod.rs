//! Learned models: trained beside the stream on labelled history, loaded with a rule set, never changed by an event.
//!
//! An [`Artifact`] is the file of one model: what it reads and what those words meant when it was trained, its [`Scorer`],
//! and what its training data looked like. A scorer is a [`PackedForest`] or a [`Logistic`]; trees that were trained
//! elsewhere become the same packed forest, so there is one scorer, one explanation and one cost. What this module knows:
//! rows of whole numbers, as in [`crate::models::online::spec::Row`]. What it does not know: events, rules, files, or how
//! anything is trained.
//!
//! INVARIANTS
//! - The same row gives the same bits on every machine: sums are integers, and what is not is made of sums, products and
//!   quotients of doubles alone.
//! - The parts of a score sum to its difference from the base, exactly.
//! - Every node says on which side a missing value goes, so that a gap is a case that training has seen and not a number.
//!   A row with no value at all has no score.
//! - Nothing in a file is trusted: what [`Artifact::decode`] gives ends every walk, stays inside, and fits its bounds.

pub mod artifact;
pub mod import;
pub mod logistic;
pub mod packed;
mod shares;
#[cfg(test)]
mod tests;

pub use artifact::{Artifact, ArtifactError, Feature, FieldSource, Histogram, Quantile, Unit};
pub use logistic::{Logistic, Term};
pub use packed::{Branch, ForestError, Link, PackedForest, SourceNode, Split};

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::models::online::spec::Row;

/// Most features of a model.
pub const MAX_FEATURES: usize = 1 << 10;

/// Largest size of what a tree, a term or an offset adds, in billionths: 1,000.
pub const MAX_VALUE_NANO: i64 = 1_000_000_000_000;

/// What one feature adds to a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Contribution {
    /// Its place among the features of the artifact.
    pub feature: usize,
    /// How much of the difference from the base is its doing, in millionths; not 0. Below 0 it speaks for the event.
    pub size_micro: i64,
}

/// Turns a row into a score.
#[derive(Clone, Debug, PartialEq)]
pub enum Scorer {
    /// Trees.
    Forest(PackedForest),
    /// A logistic regression.
    Logistic(Logistic),
}

impl Scorer {
    /// The score of a row in millionths, 0 to 1,000,000. None where no value of it is known.
    ///
    /// # Shape
    /// A value for each feature; one that is not there is missing.
    ///
    /// # Cost
    /// A walk for each tree, or a product for each feature; allocates nothing.
    pub fn score_micro(&self, row: Row<'_>) -> Option<i64> {
        match self {
            Self::Forest(forest) => forest.score_micro(row),
            Self::Logistic(logistic) => logistic.score_micro(row),
        }
    }

    /// What the features add to that, largest first: together the score less [`Self::base_micro`].
    pub fn parts(&self, row: Row<'_>) -> Option<Vec<Contribution>> {
        match self {
            Self::Forest(forest) => forest.parts(row),
            Self::Logistic(logistic) => logistic.parts(row),
        }
    }

    /// The score of whoever is not known at all, in millionths.
    pub fn base_micro(&self) -> i64 {
        match self {
            Self::Forest(forest) => forest.base_micro(),
            Self::Logistic(logistic) => logistic.base_micro(),
        }
    }

    /// Its word in files and cards.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Forest(_) => "forest",
            Self::Logistic(_) => "logistic",
        }
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Forest(forest) => forest.bytes(),
            Self::Logistic(logistic) => logistic.bytes(),
        }
    }

    fn save(&self, code: &mut Encoder<'_>) {
        match self {
            Self::Forest(forest) => {
                code.byte(0);
                forest.save(code);
            }
            Self::Logistic(logistic) => {
                code.byte(1);
                logistic.save(code);
            }
        }
    }

    fn load(n_features: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        Ok(if code.flag("kind of a scorer")? {
            Self::Logistic(Logistic::load(n_features, code)?)
        } else {
            Self::Forest(PackedForest::load(n_features, code)?)
        })
    }
}

/// Whether any value of a row is known.
fn is_known(row: Row<'_>) -> bool {
    row.iter().any(Option::is_some)
}

/// Writes a number that may be negative and is mostly small.
fn save_signed(number: i64, code: &mut Encoder<'_>) {
    code.var((number << 1 ^ number >> 63).cast_unsigned());
}

/// Reads what [`save_signed`] wrote.
fn load_signed(code: &mut Decoder<'_>, what: &'static str) -> Result<i64, Damaged> {
    let zigzag = code.var(what)?;
    Ok((zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed())
}

/// Reads a value within [`MAX_VALUE_NANO`].
fn load_value(code: &mut Decoder<'_>, what: &'static str) -> Result<i64, Damaged> {
    let value = load_signed(code, what)?;
    code.demand(value.unsigned_abs() <= MAX_VALUE_NANO.unsigned_abs(), what)?;
    Ok(value)
}
