//! The place of a score among the newest scores: what makes scores of any model an alert budget.
//!
//! Equal scores take their places by lot ([`Lot`]), drawn from the id of the event, or a bound within a tie would be
//! reached by all of it or, as a place below 1, by nothing: a forest that says its largest score of one event in fifty would
//! never come to 0.995. So of traffic that goes on as it was the share `1 - b` lies at a bound `b` or above, however many
//! scores are equal, and the same event has the same place in every replay.
//!
//! # Source
//! Smoothed conformal p-values: V. Vovk, A. Gammerman, G. Shafer, "Algorithmic Learning in a Random World", 2005, 2.2. The
//! place is one less such a p-value, with the lot in place of their random number.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::base::count::nearest_f64;
use crate::models::online::panes::{PanedCounts, is_kept};
use crate::models::online::spec::ENOUGH_EVENTS;

/// Where an event stands among those of equal score, in parts of 2^32: the same in all models, so that two of them are
/// compared by the same events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lot(pub u32);

impl Lot {
    /// Keeps lots apart from other uses of the same digest.
    const SEED: u64 = 0x7269_736b_6c6f_7473;

    /// That of an event, by its id: the upper half of its XXH3 digest.
    pub fn of_id(id: &[u8]) -> Self {
        let [a, b, c, d, ..] = xxh3_64_with_seed(id, Self::SEED).to_be_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

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
    /// The share of the newest scores that lie below this one, 0 to less than 1, some of its equals counted among them as
    /// its lot says; none until there are enough of them. Scores of one cell, that is within 1 part in 64, are equal.
    pub(crate) fn share(&self, raw_micro: i64, lot: Lot) -> Option<f64> {
        let n = self.scores.len();
        let rank = || {
            let (from, to) = (self.scores.at_least(raw_micro), self.scores.at_most(raw_micro));
            let (below, equal) = (n - from, (from + to).saturating_sub(n));
            // The event itself is one of its equals: there are so many places for it. Less than 2^81.
            let drawn = (u128::from(lot.0) * u128::from(equal + 1)) >> u32::BITS;
            below + u64::try_from(drawn).unwrap_or(equal)
        };
        self.is_ready().then(|| nearest_f64(rank()) / nearest_f64(n + 1))
    }

    /// The largest place that any score can have now, in millionths, rounded down; none until there are enough scores.
    pub(crate) fn largest_ppm(&self) -> Option<u32> {
        let n = u128::from(self.scores.len());
        self.is_ready().then(|| u32::try_from(n * 1_000_000 / (n + 1)).unwrap_or(u32::MAX))
    }

    /// The share of the newest scores that are equal to the largest of them, in millionths: where it is more than a budget
    /// of alerts, that is drawn by lot. None until there are enough scores.
    pub(crate) fn tied_ppm(&self) -> Option<u32> {
        let n = u128::from(self.scores.len());
        let tied = || u128::from(self.scores.at_largest()) * 1_000_000 / n.max(1);
        self.is_ready().then(|| u32::try_from(tied()).unwrap_or(u32::MAX))
    }

    /// Whether there are enough scores.
    pub(crate) fn is_ready(&self) -> bool {
        self.scores.len() >= ENOUGH_EVENTS
    }

    /// Forgets what lies before the window that ends with this pane. Says whether there were enough scores and no longer
    /// are.
    pub(crate) fn turn(&mut self, pane: i64) -> bool {
        let was_ready = self.is_ready();
        if pane > self.newest {
            self.newest = pane;
            self.scores.turn(pane);
        }
        was_ready && !self.is_ready()
    }

    /// Counts a score. One whose pane has left the window changes nothing.
    pub(crate) fn count(&mut self, raw_micro: i64, pane: i64) {
        self.turn(pane);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator with a seed (`SplitMix64`).
    fn words(mut state: u64) -> impl FnMut(u64) -> u64 {
        move |n| {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ z >> 31) % n
        }
    }

    /// Scores of different cells, so that counts by value are exact.
    fn score(step: u64) -> i64 {
        1_i64 << step.min(40)
    }

    fn held(scores: &[i64]) -> Places {
        let mut places = Places::default();
        for score in scores {
            places.count(*score, 0);
        }
        places
    }

    /// All places that a score could take among a sorted list of the others, one for each way to put it beside its equals:
    /// the lot draws one of them.
    fn all_places(others: &[i64], own: i64) -> Vec<f64> {
        let n_places = |n: usize| u32::try_from(n).map_or(f64::NAN, f64::from);
        (0..=others.len())
            .filter(|at| {
                let mut list = others.to_vec();
                list.insert(*at, own);
                list.is_sorted()
            })
            .map(|at| n_places(at) / n_places(others.len() + 1))
            .collect()
    }

    #[test]
    fn a_place_is_one_of_those_beside_its_equals_as_the_lot_says() {
        let mut draw = words(3);
        for kinds in [1, 2, 5, 40] {
            let mut others: Vec<i64> = (0..2_000).map(|_| score(draw(kinds))).collect();
            let places = held(&others);
            others.sort_unstable();
            for _ in 0..30 {
                let (own, lot) =
                    (score(draw(kinds + 1)), Lot(u32::try_from(draw(1 << 32)).unwrap()));
                let all = all_places(&others, own);
                // So far along the list as the lot lies along its numbers.
                let at = (0..all.len() as u64)
                    .rfind(|at| at << 32 <= u64::from(lot.0) * all.len() as u64);
                let expected = all[usize::try_from(at.unwrap()).unwrap()];
                let found = places.share(own, lot).unwrap();
                assert!(
                    (found - expected).abs() < 1e-15,
                    "{kinds} {own} {lot:?}: {found} {expected}"
                );
                assert!((0.0..1.0).contains(&places.share(own, Lot(u32::MAX)).unwrap()));
            }
        }
    }

    /// Whatever share of the events has the largest score, of those that come after 2,000 others about one in two hundred
    /// lies at 0.995 or above: within four standard deviations of a count of 40,000 such chances (200 expected, 14 each).
    #[test]
    fn a_bound_is_a_budget_however_many_scores_are_equal() {
        for one_in in [1, 3, 50, 100_000] {
            let mut draw = words(one_in);
            let mut places = Places::default();
            let mut alerts = 0;
            for at in 0..42_000_u64 {
                let is_largest = draw(one_in) == 0;
                let raw_micro = if is_largest { 1_000_000 } else { score(draw(12)) };
                let place = places.share(raw_micro, Lot::of_id(format!("pay-{at}").as_bytes()));
                alerts += u64::from(place.is_some_and(|place| place >= 0.995));
                places.count(raw_micro, 0);
            }
            assert!((144..=256).contains(&alerts), "one in {one_in}: {alerts} of 40,000");
        }
    }

    #[test]
    fn lots_are_those_of_the_reference_digest() {
        // python3 -c 'import xxhash; print(xxhash.xxh3_64_intdigest(b"p-1", 0x7269736b6c6f7473) >> 32)', and of b"p-2", b"".
        let lots = [b"p-1".as_slice(), b"p-2", b""].map(Lot::of_id);
        assert_eq!(lots, [3_480_948_881, 302_159_066, 850_374_154].map(Lot));
    }

    #[test]
    fn what_no_score_can_reach_and_what_is_drawn_is_told() {
        let mut scores: Vec<i64> = (0..1_999).map(|_| 10).collect();
        let places = held(&scores);
        assert_eq!((places.largest_ppm(), places.tied_ppm()), (None, None));
        scores.push(1_000);
        let places = held(&scores);
        // 2,000 of 2,001; one of 2,000.
        assert_eq!((places.largest_ppm(), places.tied_ppm()), (Some(999_500), Some(500)));
        let best = places.share(i64::MAX, Lot(0)).unwrap();
        assert!((best - 2_000.0 / 2_001.0).abs() < 1e-15 && best < 0.999_6);
        assert_eq!(held(&vec![5; 3_000]).tied_ppm(), Some(1_000_000));
    }
}
