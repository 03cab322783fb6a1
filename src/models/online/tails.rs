//! The sum of tail surprises: for each feature, how rare it is that a value lies as far out on the suspicious side.
//!
//! The score of a row is the sum over its features of `max(0, -ln p - c)`: p is the share of the window's values that lie
//! at least as far out (the row itself counted among them, so it is never 0), c the surprise that is ordinary
//! ([`ModelSpec::allowance_micro`]). A feature that is suspicious on both sides has twice the smaller share. So the parts
//! explain a score exactly, and no part can lower it. What it cannot see are odd combinations of ordinary values.
//!
//! # Source
//! Fisher 1925, combining independent p-values by the sum of their logarithms; the share with the row itself is the
//! p-value of conformal prediction (Vovk, Gammerman, Shafer 2005).
//!
//! # Cost
//! About 50 ns a feature, to ask and to learn. Memory: up to 16 histograms a feature, of 8 bytes for each cell that has
//! a value, 64 cells to a doubling.

use std::collections::VecDeque;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::models::online::logarithm::surprise_micro;
use crate::models::online::panes::{PanedCounts, is_kept};
use crate::models::online::spec::{ENOUGH_EVENTS, ModelSpec, Row};
use crate::models::online::{Detector, Direction, Part, Side};

/// More events than any pane has ever seen.
const MOST_EVENTS: u64 = 1 << 48;

/// One distribution for each feature.
#[derive(Clone, Debug)]
pub struct Tails {
    /// By feature.
    features: Vec<PanedCounts>,
    /// Rows by pane, ascending.
    rows: VecDeque<(i64, u64)>,
    n_rows: u64,
}

impl Tails {
    /// One that has learned nothing.
    pub fn new(n_features: usize) -> Self {
        let features = core::iter::repeat_with(PanedCounts::default).take(n_features).collect();
        Self { features, rows: VecDeque::new(), n_rows: 0 }
    }

    /// Reads what [`Detector::save`] wrote.
    ///
    /// # Errors
    /// Where it does not read as such.
    pub fn load(n_features: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "rows that a model has learned";
        let n = code.count(9, WHAT)?;
        let mut rows: VecDeque<(i64, u64)> = VecDeque::new();
        for _ in 0..n {
            let (pane, count) = (code.int(WHAT)?, code.var(WHAT)?);
            let follows = rows.back().is_none_or(|(before, _)| *before < pane);
            let fits = rows.front().is_none_or(|(first, _)| is_kept(*first, pane));
            code.demand(follows && fits && count > 0 && count <= MOST_EVENTS, WHAT)?;
            rows.push_back((pane, count));
        }
        let features: Result<Vec<PanedCounts>, Damaged> =
            (0..n_features).map(|_| PanedCounts::load(code)).collect();
        let n_rows = rows.iter().map(|(_, count)| count).sum();
        Ok(Self { features: features?, rows, n_rows })
    }

    /// What a value adds, on which side, and the share of values as far out, in so many.
    fn part(&self, feature: usize, direction: Direction, value: i64) -> Option<Tail> {
        let counts = self.features.get(feature)?;
        let of = counts.len() + 1;
        let high = || Tail { side: Side::High, share: counts.at_least(value) + 1, of };
        let low = || Tail { side: Side::Low, share: counts.at_most(value) + 1, of };
        Some(match direction {
            Direction::High => high(),
            Direction::Low => low(),
            Direction::Both => {
                let (high, low) = (high(), low());
                let smaller = if high.share <= low.share { high } else { low };
                Tail { share: (smaller.share * 2).min(of), ..smaller }
            }
        })
    }

    /// Every value that is there, with its feature.
    fn tails(&self, spec: &ModelSpec, row: Row<'_>) -> impl Iterator<Item = (usize, Tail)> {
        let known = spec.features.iter().zip(row).enumerate();
        known.filter_map(|(at, (feature, value))| {
            Some((at, self.part(at, feature.direction, (*value)?)?))
        })
    }
}

/// A tail of a distribution.
#[derive(Clone, Copy, Debug)]
struct Tail {
    side: Side,
    share: u64,
    of: u64,
}

impl Tail {
    fn size_micro(self, spec: &ModelSpec) -> i64 {
        (surprise_micro(self.share, self.of) - spec.allowance_micro).max(0)
    }

    fn ppm(self) -> u32 {
        let ppm = u128::from(self.share) * 1_000_000 / u128::from(self.of.max(1));
        u32::try_from(ppm).unwrap_or(1_000_000)
    }
}

impl Detector for Tails {
    fn score(&self, spec: &ModelSpec, row: Row<'_>) -> Option<i64> {
        if self.n_rows < ENOUGH_EVENTS || row.iter().all(Option::is_none) {
            return None;
        }
        Some(self.tails(spec, row).map(|(_, tail)| tail.size_micro(spec)).sum())
    }

    fn parts(&self, spec: &ModelSpec, row: Row<'_>) -> Vec<Part> {
        let part = |(feature, tail): (usize, Tail)| Part {
            feature,
            size_micro: tail.size_micro(spec),
            side: tail.side,
            tail_ppm: Some(tail.ppm()),
        };
        let mut parts: Vec<Part> =
            self.tails(spec, row).map(part).filter(|part| part.size_micro > 0).collect();
        // Stable: by the name of the feature among equals.
        parts.sort_by_key(|part| core::cmp::Reverse(part.size_micro));
        parts
    }

    fn learn(&mut self, _: &ModelSpec, row: Row<'_>, pane: i64) {
        let at = self.rows.partition_point(|(held, _)| *held < pane);
        match self.rows.get_mut(at).filter(|(held, _)| *held == pane) {
            Some((_, count)) => *count += 1,
            None => self.rows.insert(at, (pane, 1)),
        }
        self.n_rows += 1;
        for (counts, value) in self.features.iter_mut().zip(row) {
            if let Some(value) = value {
                counts.learn(*value, pane);
            }
        }
    }

    fn turn(&mut self, _: &ModelSpec, newest: i64) {
        while let Some((_, count)) = self.rows.front().filter(|(pane, _)| !is_kept(*pane, newest)) {
            self.n_rows -= count;
            self.rows.pop_front();
        }
        self.features.iter_mut().for_each(|counts| counts.turn(newest));
    }

    fn events(&self) -> u64 {
        self.n_rows
    }

    fn bytes(&self) -> usize {
        let features = self.features.iter().map(PanedCounts::bytes);
        size_of_val(&*self.features) + self.rows.len() * 16 + features.sum::<usize>()
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.rows.len());
        for (pane, count) in &self.rows {
            code.int(*pane);
            code.var(*count);
        }
        self.features.iter().for_each(|counts| counts.save(code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::online::{DetectorKind, FeatureSpec};

    fn spec(directions: &[Direction]) -> ModelSpec {
        let features = directions
            .iter()
            .enumerate()
            .map(|(at, direction)| FeatureSpec { name: format!("f{at}"), direction: *direction });
        ModelSpec {
            kind: DetectorKind::TailSum,
            features: features.collect(),
            window_ms: 14 * 86_400_000,
            allowance_micro: 1_000_000,
            seed: 0,
        }
    }

    /// 1,999 rows of one value, and one of another.
    fn learned(spec: &ModelSpec) -> Tails {
        let mut tails = Tails::new(spec.features.len());
        for at in 0..2_000 {
            let value = Some(if at == 7 { 100 } else { 10 });
            tails.learn(spec, &vec![value; spec.features.len()], 0);
        }
        tails
    }

    #[test]
    fn a_score_is_the_surprise_at_the_tail_beyond_what_is_ordinary() {
        let spec = spec(&[Direction::High]);
        let tails = learned(&spec);
        // -ln(2/2001) - 1 = 6.908255 - 1 for the one value as large and the row itself; nobody is larger than 200.
        assert_eq!(tails.score(&spec, &[Some(100)]), Some(5_908_255));
        // -ln(1/2001) - 1.
        assert_eq!(tails.score(&spec, &[Some(200)]), Some(6_601_402));
        assert_eq!(tails.score(&spec, &[Some(10)]), Some(0));
        assert_eq!(tails.score(&spec, &[Some(-5)]), Some(0), "low is not suspicious here");
    }

    #[test]
    fn the_side_counts_and_both_sides_halve_the_evidence() {
        let both = spec(&[Direction::High, Direction::Low, Direction::Both]);
        let tails = learned(&both);
        let row = [Some(10), Some(-5), Some(-5)];
        // Low: -ln(1/2001) - 1; both: -ln(2/2001) - 1.
        assert_eq!(tails.score(&both, &row), Some(6_601_402 + 5_908_255));
        let parts = tails.parts(&both, &row);
        let seen: Vec<_> = parts.iter().map(|part| (part.feature, part.size_micro)).collect();
        assert_eq!(seen, [(1, 6_601_402), (2, 5_908_255)]);
        assert!(parts.iter().all(|part| part.side == Side::Low));
        // 1 and 2 in 2,001.
        assert_eq!([parts[0].tail_ppm, parts[1].tail_ppm], [Some(499), Some(999)]);
    }
}
