//! A logistic regression: each value's distance from its center, times a slope, summed up as log odds.
//!
//! A missing value stands at the center: it adds nothing. Products are doubles, rounded to billionths one by one, and the
//! sum is whole, so it has no order and its parts are exact.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::base::count::{nearest_i64, nearest_signed_f64};
use crate::models::offline::shares::{contributions, share_micro, straight};
use crate::models::offline::{
    Contribution, MAX_FEATURES, MAX_VALUE_NANO, is_known, load_signed, load_value, save_signed,
};
use crate::models::online::spec::Row;

/// What is made of one feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Term {
    /// The mean of the training data, in the unit of the row.
    pub center: i64,
    /// Log odds for each unit of the row; finite.
    pub slope: f64,
}

/// Terms and what is said at their centers.
#[derive(Clone, Debug, PartialEq)]
pub struct Logistic {
    intercept_nano: i64,
    terms: Vec<Term>,
}

impl Logistic {
    /// One with a term for each feature, and the log odds at the centers. None where a number is not finite or there
    /// are too many.
    pub fn new(intercept: f64, terms: Vec<Term>) -> Option<Self> {
        let finite = intercept.is_finite() && terms.iter().all(|term| term.slope.is_finite());
        (finite && terms.len() <= MAX_FEATURES)
            .then(|| Self { intercept_nano: bounded(intercept * 1e9), terms })
    }

    /// The score of a row, in millionths, 0 to 1,000,000. None where no value of it is known.
    pub fn score_micro(&self, row: Row<'_>) -> Option<i64> {
        is_known(row).then(|| share_micro(self.intercept_nano + self.parts_nano(row).sum::<i64>()))
    }

    /// What the features add to that, largest first: together the score less [`Self::base_micro`].
    pub fn parts(&self, row: Row<'_>) -> Option<Vec<Contribution>> {
        if !is_known(row) {
            return None;
        }
        let parts: Vec<i64> = self.parts_nano(row).collect();
        let (base, whole) = (self.intercept_nano, self.intercept_nano + parts.iter().sum::<i64>());
        Some(contributions(base, &parts, straight(base, whole)))
    }

    /// The score at the centers, in millionths.
    pub fn base_micro(&self) -> i64 {
        share_micro(self.intercept_nano)
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        self.terms.capacity() * size_of::<Term>()
    }

    /// What each feature adds to the log odds, in billionths.
    fn parts_nano(&self, row: Row<'_>) -> impl Iterator<Item = i64> {
        self.terms.iter().enumerate().map(|(at, term)| {
            let value = row.get(at).copied().flatten().unwrap_or(term.center);
            bounded(nearest_signed_f64(value.saturating_sub(term.center)) * term.slope * 1e9)
        })
    }

    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        save_signed(self.intercept_nano, code);
        code.count(self.terms.len());
        for term in &self.terms {
            save_signed(term.center, code);
            code.word(term.slope.to_bits());
        }
    }

    pub(super) fn load(n_features: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "terms of a regression";
        let intercept_nano = load_value(code, WHAT)?;
        let n = code.count(9, WHAT)?;
        code.demand(n == n_features, WHAT)?;
        let mut terms = Vec::with_capacity(n);
        for _ in 0..n {
            let center = load_signed(code, WHAT)?;
            let slope = f64::from_bits(code.word(WHAT)?);
            code.demand(slope.is_finite(), WHAT)?;
            terms.push(Term { center, slope });
        }
        Ok(Self { intercept_nano, terms })
    }
}

fn bounded(nano: f64) -> i64 {
    nearest_i64(nano).clamp(-MAX_VALUE_NANO, MAX_VALUE_NANO)
}
