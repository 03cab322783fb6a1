//! How good scores are, against what turned out.
//!
//! All measures rank: they depend on the order of scores, and of equal ones none comes first.
//!
//! # Source
//! Area under the curve and average precision as scikit-learn defines them; card precision as the Fraud Detection Handbook
//! does (Y.-A. Le Borgne, W. Siblini, B. Lebichot, G. Bontempi, 2022, chapter 4).

use std::collections::{BTreeMap, BTreeSet};

use crate::base::EntityKey;
use crate::base::count::{nearest_f64, nearest_i64, nearest_signed_f64};

/// Milliseconds of a day.
pub const DAY_MS: i64 = 86_400_000;

/// Cards that an analyst looks at in a day.
pub const CARDS_A_DAY: usize = 100;

/// Bins of a calibration table.
const BINS: usize = 10;

/// A score, whatever makes it: in millionths of a millionth, so that of two joined ones that differ none counts as the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Score {
    pico: i64,
}

impl Score {
    /// The least there is.
    const LEAST: Self = Self { pico: i64::MIN };

    /// That of so many millionths.
    pub fn of_micro(micro: i64) -> Self {
        Self { pico: micro.saturating_mul(1_000_000) }
    }

    /// That of a chance, 0 to 1.
    pub fn of_chance(chance: f64) -> Self {
        Self { pico: nearest_i64(chance * 1e12) }
    }

    /// In millionths, rounded down.
    pub fn micro(self) -> i64 {
        self.pico.div_euclid(1_000_000)
    }

    /// As a number.
    pub fn number(self) -> f64 {
        nearest_signed_f64(self.pico) / 1e12
    }
}

/// A scored event, and what turned out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its score.
    pub score: Score,
    /// Whether it was fraud.
    pub is_fraud: bool,
    /// Its time in ms.
    pub time_ms: i64,
    /// The card or customer.
    pub card: EntityKey,
}

/// What scores of a period are worth.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Quality {
    /// Area under the receiver operating characteristic; none without both kinds of events.
    pub auc: Option<f64>,
    /// Average precision; none without frauds.
    pub average_precision: Option<f64>,
    /// Card precision at [`CARDS_A_DAY`]; none without a day.
    pub card_precision: Option<f64>,
}

impl Quality {
    /// That of scored events, in any order.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let ranked = ranked(outcomes);
        Self {
            auc: auc(&ranked),
            average_precision: average_precision(&ranked),
            card_precision: card_precision(outcomes, CARDS_A_DAY),
        }
    }
}

/// Events of one score.
#[derive(Clone, Copy, Debug, Default)]
struct Tie {
    fraud: u64,
    genuine: u64,
}

/// By score, the largest first.
fn ranked(outcomes: &[Outcome]) -> Vec<Tie> {
    let mut ties: BTreeMap<Score, Tie> = BTreeMap::new();
    for outcome in outcomes {
        let tie = ties.entry(outcome.score).or_default();
        if outcome.is_fraud {
            tie.fraud += 1;
        } else {
            tie.genuine += 1;
        }
    }
    ties.into_values().rev().collect()
}

fn totals(ranked: &[Tie]) -> (u64, u64) {
    (ranked.iter().map(|tie| tie.fraud).sum(), ranked.iter().map(|tie| tie.genuine).sum())
}

/// The share of pairs of a fraud and a genuine event in which the fraud has the larger score; equal ones count half.
fn auc(ranked: &[Tie]) -> Option<f64> {
    let (fraud, genuine) = totals(ranked);
    if fraud == 0 || genuine == 0 {
        return None;
    }
    // Twice the pairs, so that halves are whole.
    let (mut twice, mut fraud_above) = (0_u128, 0_u64);
    for tie in ranked {
        twice += u128::from(tie.genuine) * u128::from(2 * fraud_above + tie.fraud);
        fraud_above += tie.fraud;
    }
    let twice = u64::try_from(twice).map_or(f64::INFINITY, nearest_f64);
    Some(twice / (2.0 * nearest_f64(fraud) * nearest_f64(genuine)))
}

/// Precision at each score that frauds have, weighted by how many have it.
fn average_precision(ranked: &[Tie]) -> Option<f64> {
    let (fraud, _) = totals(ranked);
    let (mut found, mut all, mut sum) = (0, 0, 0.0);
    for tie in ranked {
        found += tie.fraud;
        all += tie.fraud + tie.genuine;
        sum += nearest_f64(tie.fraud) * nearest_f64(found) / nearest_f64(all);
    }
    (fraud > 0).then(|| sum / nearest_f64(fraud))
}

/// The mean over days of the share of the `n` cards with the largest scores of the day that are defrauded on it; cards
/// that were found so are left out on later days. Of equal scores the smaller key comes first.
pub fn card_precision(outcomes: &[Outcome], n: usize) -> Option<f64> {
    let mut days: BTreeMap<i64, BTreeMap<EntityKey, (Score, bool)>> = BTreeMap::new();
    for outcome in outcomes {
        let cards = days.entry(outcome.time_ms.div_euclid(DAY_MS)).or_default();
        let card = cards.entry(outcome.card).or_insert((Score::LEAST, false));
        card.0 = card.0.max(outcome.score);
        card.1 |= outcome.is_fraud;
    }
    let mut known: BTreeSet<EntityKey> = BTreeSet::new();
    let mut found = 0_u64;
    for cards in days.values() {
        let fresh = cards.iter().filter(|(card, _)| !known.contains(card));
        let mut fresh: Vec<(Score, EntityKey, bool)> =
            fresh.map(|(card, (score, is_fraud))| (*score, *card, *is_fraud)).collect();
        fresh.sort_by_key(|(score, card, _)| (core::cmp::Reverse(*score), *card));
        let caught: Vec<EntityKey> =
            fresh.iter().take(n).filter(|card| card.2).map(|card| card.1).collect();
        found += caught.len() as u64;
        known.extend(caught);
    }
    let looked_at = (days.len() * n) as u64;
    (looked_at > 0).then(|| nearest_f64(found) / nearest_f64(looked_at))
}

/// How many of some frauds lie among the largest scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recall {
    /// The share found, 0 to 1. Of events of the score at the edge, as many count as fit.
    pub share: f64,
    /// How many frauds there are.
    pub frauds: u64,
}

/// The frauds that `counts` among those alerted when the share `alert_rate` of all events is; none where there are none.
pub fn recall(
    outcomes: &[Outcome],
    alert_rate: f64,
    counts: impl Fn(usize) -> bool,
) -> Option<Recall> {
    let mut order: Vec<usize> = (0..outcomes.len()).collect();
    let score = |at: &usize| outcomes.get(*at).map_or(Score::LEAST, |it| it.score);
    order.sort_by_key(|at| core::cmp::Reverse(score(at)));
    let mut budget = nearest_f64(outcomes.len() as u64) * alert_rate;
    let (mut found, mut frauds) = (0.0, 0_u64);
    for tie in order.chunk_by(|left, right| score(left) == score(right)) {
        let is_counted =
            |at: &&usize| outcomes.get(**at).is_some_and(|it| it.is_fraud) && counts(**at);
        let n = tie.iter().filter(is_counted).count() as u64;
        let size = nearest_f64(tie.len() as u64);
        frauds += n;
        found += nearest_f64(n) * (budget / size).clamp(0.0, 1.0);
        budget -= size;
    }
    (frauds > 0).then(|| Recall { share: found / nearest_f64(frauds), frauds })
}

/// Events whose scores lie in one bin of ten.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bin {
    /// How many.
    pub events: u64,
    /// How many of them were fraud.
    pub frauds: u64,
    /// The sum of their scores, in millionths.
    pub scores_micro: i64,
}

impl Bin {
    /// The mean score, 0 to 1.
    pub fn mean_score(self) -> Option<f64> {
        let sum = nearest_f64(self.scores_micro.unsigned_abs()) / 1e6;
        (self.events > 0).then(|| sum / nearest_f64(self.events))
    }

    /// The share of fraud.
    pub fn share(self) -> Option<f64> {
        (self.events > 0).then(|| nearest_f64(self.frauds) / nearest_f64(self.events))
    }
}

/// Scores from 0 to 1 in ten bins of one width: what they say, and what turned out.
pub fn calibration(outcomes: &[Outcome]) -> [Bin; BINS] {
    let mut bins = [Bin::default(); BINS];
    for outcome in outcomes {
        let at = usize::try_from(outcome.score.micro() / 100_000).unwrap_or(0).min(BINS - 1);
        if let Some(bin) = bins.get_mut(at) {
            bin.events += 1;
            bin.frauds += u64::from(outcome.is_fraud);
            bin.scores_micro += outcome.score.micro();
        }
    }
    bins
}

/// Mean and spread of one figure over periods.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The mean.
    pub mean: f64,
    /// The standard deviation over the periods, with `n - 1`; 0 for one period.
    pub deviation: f64,
}

impl Spread {
    /// That of some figures; none of none.
    pub fn of(figures: &[f64]) -> Option<Self> {
        let n = nearest_f64(figures.len() as u64);
        if figures.is_empty() {
            return None;
        }
        let mean = figures.iter().sum::<f64>() / n;
        let squares: f64 = figures.iter().map(|figure| (figure - mean) * (figure - mean)).sum();
        let deviation = if figures.len() > 1 { (squares / (n - 1.0)).sqrt() } else { 0.0 };
        Some(Self { mean, deviation })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small generator with a seed (`SplitMix64`).
    fn words(mut state: u64) -> impl Iterator<Item = u64> {
        core::iter::repeat_with(move || {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ z >> 31
        })
    }

    /// Many equal scores, several payments of a card a day.
    fn sample() -> Vec<Outcome> {
        let mut words = words(7);
        let mut draw = |n: u64| i64::try_from(words.next().unwrap() % n).unwrap();
        let outcome = |at: i64| {
            let is_fraud = draw(10) == 0;
            let score_micro = draw(20) * 10_000 + if is_fraud { draw(10) * 30_000 } else { 0 };
            let card = EntityKey(draw(40).try_into().unwrap());
            Outcome {
                score: Score::of_micro(score_micro),
                is_fraud,
                time_ms: at / 120 * DAY_MS,
                card,
            }
        };
        (0..600).map(outcome).collect()
    }

    fn outcome(score_micro: i64, is_fraud: bool) -> Outcome {
        Outcome { score: Score::of_micro(score_micro), is_fraud, time_ms: 0, card: EntityKey(1) }
    }

    /// Known figures: scikit-learn 1.9.1, `roc_auc_score` and `average_precision_score` over the same numbers; card
    /// precision by the loop over days of the handbook's `card_precision_top_k`, in Python.
    #[test]
    fn figures_are_those_of_scikit_learn_and_of_the_handbook() {
        let sample = sample();
        assert_eq!(sample.iter().filter(|it| it.is_fraud).count(), 77);
        let quality = Quality::of(&sample);
        let near = |given: Option<f64>, known: f64| (given.unwrap() - known).abs() < 1e-12;
        assert!(near(quality.auc, 0.857_142_857_142_857_3), "{quality:?}");
        assert!(near(quality.average_precision, 0.727_020_628_020_399_7), "{quality:?}");
        assert!(near(card_precision(&sample, 10), 0.62), "{:?}", card_precision(&sample, 10));
        assert!(near(card_precision(&sample, 25), 0.256), "{:?}", card_precision(&sample, 25));
    }

    #[test]
    fn figures_by_hand() {
        // Pairs: 3 over 2, 3 over 1, 2 over 1, and 2 beside 2: 3.5 of 4. Precision 1/1 at 3 and 2/3 at 2.
        let some = [outcome(3, true), outcome(2, true), outcome(2, false), outcome(1, false)];
        let quality = Quality::of(&some);
        assert_eq!(quality.auc, Some(0.875));
        assert!((quality.average_precision.unwrap() - 5.0 / 6.0).abs() < 1e-15);
        let none = Quality::of(&[outcome(1, false)]);
        assert_eq!((none.auc, none.average_precision), (None, None));
        assert_eq!(Quality::of(&[]), Quality::default());
    }

    #[test]
    fn a_card_that_was_found_is_not_looked_for_again() {
        let on = |day: i64, card: u128, score_micro: i64, is_fraud: bool| Outcome {
            score: Score::of_micro(score_micro),
            is_fraud,
            time_ms: day * DAY_MS + 5,
            card: EntityKey(card),
        };
        // Day 0: cards 1 and 2 are looked at, 1 is found by another payment of the day. Day 1: 1 is known, so 3 and 4 are.
        let days = [
            on(0, 1, 900, false),
            on(0, 1, 10, true),
            on(0, 2, 800, false),
            on(0, 3, 700, true),
            on(1, 1, 999, true),
            on(1, 3, 600, true),
            on(1, 4, 500, false),
        ];
        assert_eq!(card_precision(&days, 2), Some(0.5));
        assert_eq!(card_precision(&[], 2), None);
    }

    #[test]
    fn recall_counts_of_the_edge_what_fits() {
        // Of ten events four are alerted: the one at 9, and three of the six at 5, of which two are fraud: 1 + 2 / 2.
        let mut events =
            vec![outcome(9, true), outcome(1, true), outcome(1, false), outcome(1, false)];
        events.extend([true, true, false, false, false, false].map(|it| outcome(5, it)));
        let all = recall(&events, 0.4, |_| true).unwrap();
        assert_eq!(all, Recall { share: 2.0 / 4.0, frauds: 4 });
        let first = recall(&events, 0.4, |at| at == 0).unwrap();
        assert_eq!(first, Recall { share: 1.0, frauds: 1 });
        assert_eq!(recall(&events, 0.4, |at| at == 2), None, "no fraud");
    }

    #[test]
    fn bins_say_what_scores_said_and_what_turned_out() {
        let bins =
            calibration(&[outcome(0, false), outcome(99_999, true), outcome(1_000_000, true)]);
        assert_eq!((bins[0].events, bins[0].frauds, bins[0].share()), (2, 1, Some(0.5)));
        assert_eq!((bins[9].mean_score(), bins[5].share()), (Some(1.0), None));
    }

    #[test]
    fn a_spread_is_the_deviation_with_n_less_one() {
        let spread = Spread::of(&[1.0, 2.0, 3.0, 4.0]).unwrap();
        // Mean 2.5, squares 5, over 3.
        assert!((spread.mean - 2.5).abs() < 1e-15);
        assert!((spread.deviation - (5.0_f64 / 3.0).sqrt()).abs() < 1e-15);
        assert_eq!(Spread::of(&[0.7]), Some(Spread { mean: 0.7, deviation: 0.0 }));
        assert_eq!(Spread::of(&[]), None);
    }
}
