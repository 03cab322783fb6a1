//! A learned model as it serves: what was learned is fixed, and the newest scores say where a score stands.
//!
//! It learns nothing: of every event the score is counted, those that were alerted or stopped too, because a place among
//! the scores is a promise about all traffic.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::models::drift::{Drift, Moved};
use crate::models::offline::{Artifact, Contribution, Scorer};
use crate::models::online::spec::{Row, SCORES_MS, pane_ms};
use crate::models::online::{Part, Scored, Side};
use crate::models::places::{Lot, Places};
use crate::window::spec::Coverage;

/// The newest scores of a learned model, and how its features lie.
///
/// A copy is cheap: what is large is shared until it changes.
#[derive(Clone, Debug, Default)]
pub struct Serving {
    places: Places,
    drift: Drift,
    /// The event time of the first score since there were too few last, in ms.
    since_ms: Option<i64>,
}

impl Serving {
    /// Forgets what lies before the window that ends at an event time in ms. Where too little stays, the window fills anew.
    pub fn turn(&mut self, time_ms: i64) {
        if self.places.turn(time_ms.div_euclid(pane_ms(SCORES_MS))) {
            self.since_ms = None;
        }
    }

    /// Scores a row of an event as of its time in ms. None where nothing of the row is known.
    pub fn score(
        &self,
        scorer: &Scorer,
        row: Row<'_>,
        (time_ms, lot): (i64, Lot),
    ) -> Option<Scored> {
        let raw_micro = scorer.score_micro(row)?;
        let filled = self.since_ms.is_some_and(|since| time_ms.saturating_sub(since) >= SCORES_MS);
        let coverage = if filled { Coverage::Complete } else { Coverage::Warming };
        Some(Scored { raw_micro, percentile: self.places.share(raw_micro, lot), coverage })
    }

    /// Counts a row and its score; one without a score shows in what has moved only.
    pub fn count(&mut self, artifact: &Artifact, scored: (Row<'_>, Option<i64>), time_ms: i64) {
        self.turn(time_ms);
        let pane = time_ms.div_euclid(pane_ms(SCORES_MS));
        if let Some(raw_micro) = scored.1 {
            self.since_ms.get_or_insert(time_ms);
            self.places.count(raw_micro, pane);
        }
        self.drift.count(artifact, scored, pane);
    }

    /// What the newest scores are like.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// How far the newest days have moved from the training.
    pub fn moved<'a>(&self, artifact: &'a Artifact) -> Vec<Moved<'a>> {
        self.drift.moved(artifact)
    }

    /// Whether there are enough scores to give one its place.
    pub fn is_ready(&self) -> bool {
        self.places.is_ready()
    }

    /// Heap bytes.
    pub fn bytes(&self) -> usize {
        self.places.bytes() + self.drift.bytes()
    }

    /// Writes all of it.
    pub fn save(&self, code: &mut Encoder<'_>) {
        code.int(self.places.newest());
        code.flag(self.since_ms.is_some());
        code.int(self.since_ms.unwrap_or(0));
        self.places.save(code);
        self.drift.save(code);
    }

    /// Reads it.
    ///
    /// # Errors
    /// Where it does not read as such.
    pub fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "scores of a learned model";
        let newest = code.int(WHAT)?;
        let (known, since_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
        let places = Places::load(newest, code)?;
        let drift = Drift::load(code)?;
        Ok(Self { places, drift, since_ms: known.then_some(since_ms) })
    }
}

/// What the features do to the score of a row: those that raise it first, the largest of each first; those that do nothing
/// are left out.
pub fn parts(scorer: &Scorer, row: Row<'_>) -> Vec<Part> {
    let part = |Contribution { feature, size_micro }| {
        let side = if size_micro > 0 { Side::Raises } else { Side::Lowers };
        let size_micro = i64::try_from(size_micro.unsigned_abs()).unwrap_or(i64::MAX);
        Part { feature, size_micro, side, tail_ppm: None }
    };
    let mut parts: Vec<Part> =
        scorer.parts(row).unwrap_or_default().into_iter().map(part).collect();
    // Of each side they stay in the order of the scorer: largest first, equal ones by name.
    parts.sort_by_key(|part| part.side == Side::Lowers);
    parts
}
