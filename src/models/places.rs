//! The place of a score among the newest scores: what makes scores of any model an alert budget.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::base::count::nearest_f64;
use crate::models::online::panes::{PanedCounts, is_kept};
use crate::models::online::spec::ENOUGH_EVENTS;

/// The scores of the newest panes.
///
/// A copy is cheap: what is large is shared until it changes.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    scores: PanedCounts,
    /// The newest pane.
    newest: i64,
}

impl Default for Places {
    fn default() -> Self {
        Self { scores: PanedCounts::default(), newest: i64::MIN }
    }
}

impl Places {
    /// The share of the newest scores that lie below this one, 0 to 1; none until there are enough of them.
    pub(crate) fn share(&self, raw_micro: i64) -> Option<f64> {
        let n = self.scores.len();
        let below = || n - self.scores.at_least(raw_micro);
        self.is_ready().then(|| nearest_f64(below()) / nearest_f64(n + 1))
    }

    /// Whether there are enough scores.
    pub(crate) fn is_ready(&self) -> bool {
        self.scores.len() >= ENOUGH_EVENTS
    }

    /// Counts a score. One whose pane has left the window changes nothing.
    pub(crate) fn count(&mut self, raw_micro: i64, pane: i64) {
        if pane > self.newest {
            self.newest = pane;
            self.scores.turn(pane);
        }
        if is_kept(pane, self.newest) {
            self.scores.learn(raw_micro, pane);
        }
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.scores.bytes()
    }

    /// The newest pane, for whoever saves it apart.
    pub(crate) fn newest(&self) -> i64 {
        self.newest
    }

    /// Writes the scores; the newest pane is saved apart.
    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        self.scores.save(code);
    }

    /// Reads the scores that end with a pane.
    ///
    /// # Errors
    /// Where they do not read as such.
    pub(crate) fn load(newest: i64, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        Ok(Self { scores: PanedCounts::load(code)?, newest })
    }
}
