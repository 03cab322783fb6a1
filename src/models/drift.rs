//! How far the newest days lie from the data that a model was trained on: the population stability of each feature and
//! of the score.
//!
//! Values are counted in the bins of the reference histograms that an artifact brings, missing ones in a bin of their
//! own, over the window in which scores are compared. It decides nothing: it tells people when to train again.
//!
//! # Source
//! Population stability index: sum over bins of (q - p) ln (q / p), p the reference and q the newest share. Usual bounds
//! are 0.1 to watch and 0.25 to act.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::base::count::nearest_f64;
use crate::models::offline::artifact::MAX_BOUNDS;
use crate::models::offline::{Artifact, Histogram};
use crate::models::online::panes::is_kept;
use crate::models::online::spec::{ENOUGH_EVENTS, PANES};

/// Bins of one histogram: between nine bounds, and one for what is missing.
const BINS: usize = MAX_BOUNDS + 2;

/// The place of what is missing among them.
const MISSING: usize = BINS - 1;

/// Least share of a bin, so that an empty one does not count without bound.
const LEAST_SHARE: f64 = 1e-4;

/// Counts of the newest panes, by histogram and bin: the features of the artifact, then the score.
///
/// A copy is cheap: panes are shared until they change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drift {
    /// Ascending by pane.
    panes: VecDeque<(i64, Arc<Vec<u32>>)>,
}

/// How far one histogram has moved.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved<'a> {
    /// The feature; none: the score.
    pub feature: Option<&'a str>,
    /// Population stability index, 0 or more.
    pub stability: f64,
    /// Events of the newest days that were counted.
    pub events: u64,
}

impl Drift {
    /// Counts a row and its score, where it has one: what is missing has a bin of its own. One whose pane has left the window changes nothing.
    pub(crate) fn count(
        &mut self,
        artifact: &Artifact,
        (row, raw_micro): (&[Option<i64>], Option<i64>),
        pane: i64,
    ) {
        let newest = self.panes.back().map_or(pane, |(newest, _)| (*newest).max(pane));
        while self.panes.front().is_some_and(|(held, _)| !is_kept(*held, newest)) {
            self.panes.pop_front();
        }
        if !is_kept(pane, newest) {
            return;
        }
        let at = self.panes.partition_point(|(held, _)| *held < pane);
        if self.panes.get(at).is_none_or(|(held, _)| *held != pane) {
            let none = vec![0; BINS * (artifact.features.len() + 1)];
            self.panes.insert(at, (pane, Arc::new(none)));
        }
        let Some((_, counts)) = self.panes.get_mut(at) else { return };
        let counts = Arc::make_mut(counts);
        let values = row.iter().copied().chain([raw_micro]);
        for ((reference, value), bins) in
            references(artifact).zip(values).zip(counts.chunks_exact_mut(BINS))
        {
            let bin = value.map_or(MISSING, |value| reference.bin(value));
            if let Some(count) = bins.get_mut(bin) {
                *count = count.saturating_add(1);
            }
        }
    }

    /// What has moved how far; what the artifact says nothing of is left out, and all while too few events were counted.
    pub(crate) fn moved<'a>(&self, artifact: &'a Artifact) -> Vec<Moved<'a>> {
        let mut sums = vec![0_u64; BINS * (artifact.features.len() + 1)];
        for (_, counts) in &self.panes {
            for (sum, count) in sums.iter_mut().zip(counts.iter()) {
                *sum += u64::from(*count);
            }
        }
        let names = artifact.features.iter().map(|it| Some(it.name.as_str())).chain([None]);
        let moved = |((feature, reference), bins): ((Option<&'a str>, &Histogram), &[u64])| {
            let events = bins.iter().sum();
            let stability = (events >= ENOUGH_EVENTS).then(|| stability(reference, bins))??;
            Some(Moved { feature, stability, events })
        };
        names.zip(references(artifact)).zip(sums.chunks_exact(BINS)).filter_map(moved).collect()
    }

    /// Heap bytes.
    pub(crate) fn bytes(&self) -> usize {
        let pane = |(_, held): &(i64, Arc<Vec<u32>>)| {
            held.len() * size_of::<u32>() + size_of::<(i64, Arc<Vec<u32>>)>()
        };
        self.panes.iter().map(pane).sum()
    }

    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.panes.len());
        for (pane, counts) in &self.panes {
            code.int(*pane);
            code.count(counts.len());
            counts.iter().for_each(|count| code.var((*count).into()));
        }
    }

    /// Reads what [`Self::save`] wrote. Counts of another number of features than the artifact's are as harmless as none.
    ///
    /// # Errors
    /// Where it does not read as such.
    pub(crate) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "counts of a learned model";
        let n = code.count(9, WHAT)?;
        code.demand(n <= usize::try_from(PANES).unwrap_or(0) + 1, WHAT)?;
        let mut panes: VecDeque<(i64, Arc<Vec<u32>>)> = VecDeque::new();
        for _ in 0..n {
            let pane = code.int(WHAT)?;
            let len = code.count(1, WHAT)?;
            let counts: Result<Vec<u32>, Damaged> = (0..len).map(|_| code.narrow(WHAT)).collect();
            let follows = panes.back().is_none_or(|(before, _)| *before < pane);
            let fits = panes.front().is_none_or(|(first, _)| is_kept(*first, pane));
            code.demand(follows && fits, WHAT)?;
            panes.push_back((pane, Arc::new(counts?)));
        }
        Ok(Self { panes })
    }
}

/// The histograms of the training, in the order of the counts.
fn references(artifact: &Artifact) -> impl Iterator<Item = &Histogram> {
    artifact.features.iter().map(|feature| &feature.reference).chain([&artifact.reference])
}

/// None where the reference is empty.
fn stability(reference: &Histogram, bins: &[u64]) -> Option<f64> {
    let trained: u64 = reference.counts.iter().sum::<u64>() + reference.missing;
    let now: u64 = bins.iter().sum();
    if trained == 0 || now == 0 {
        return None;
    }
    let share = |n: u64, of: u64| (nearest_f64(n) / nearest_f64(of)).max(LEAST_SHARE);
    let known = reference.counts.iter().zip(bins);
    let missing = bins.get(MISSING).map(|missing| (&reference.missing, missing));
    let term = |(was, is): (&u64, &u64)| {
        let (p, q) = (share(*was, trained), share(*is, now));
        (q - p) * (q / p).ln()
    };
    Some(known.chain(missing).map(term).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::offline::{Feature, Logistic, Scorer, Unit};

    #[test]
    fn the_stability_is_that_worked_out_by_hand() {
        let reference = Histogram { bounds: vec![10], counts: vec![500, 400], missing: 100 };
        let mut bins = vec![0; BINS];
        (bins[0], bins[1], bins[MISSING]) = (250, 400, 350);
        // python3 -c 'from math import log; print(-0.25*log(0.5) + 0.25*log(3.5))'
        let found = stability(&reference, &bins).unwrap();
        assert!((found - 0.486_477_537).abs() < 1e-9, "{found}");
        (bins[0], bins[1], bins[MISSING]) = (1_000, 800, 200);
        assert!(stability(&reference, &bins).unwrap().abs() < 1e-12);
        // An empty bin counts as one of 0.01 %: (0.1 - 0.0001) ln 1000 and (0.6 - 0.5) ln 1.2.
        (bins[0], bins[1], bins[MISSING]) = (600, 400, 0);
        let found = stability(&reference, &bins).unwrap();
        assert!((found - 0.708_316_908).abs() < 1e-9, "{found}");
        assert_eq!(stability(&Histogram::of([]), &bins), None);
    }

    /// A producer that stops to send what a model reads is the worst that can move.
    #[test]
    fn events_of_which_nothing_is_known_count_as_missing_in_all_that_is_watched() {
        let values = || (0..1_000).map(|at| Some(at % 10));
        let feature = |name: &str| Feature {
            name: name.to_owned(),
            identity: String::new(),
            unit: Unit::Whole,
            median: Some(5),
            reference: Histogram::of(values()),
        };
        let artifact = Artifact {
            name: "m".to_owned(),
            event: "pay".to_owned(),
            features: vec![feature("a"), feature("b")],
            fields: Vec::new(),
            scorer: Scorer::Logistic(Logistic::new(0.0, Vec::new()).unwrap()),
            quantiles: Vec::new(),
            reference: Histogram::of(values()),
            facts: String::new(),
        };
        let mut drift = Drift::default();
        (0..2_000).for_each(|at| drift.count(&artifact, (&[Some(at % 10); 2], Some(at % 10)), 0));
        let moved = drift.moved(&artifact);
        assert!(moved.len() == 3 && moved.iter().all(|it| it.stability < 1e-9), "{moved:?}");
        (0..2_000).for_each(|_| drift.count(&artifact, (&[None; 2], None), 0));
        // Ten bins of a tenth now hold a twentieth, and what was never missing is a half: 10 * 0.05 ln 2 + 0.4999 ln 5000.
        for Moved { feature, stability, events } in drift.moved(&artifact) {
            assert!(
                (stability - 4.604_318).abs() < 1e-4 && events == 4_000,
                "{feature:?} {stability}"
            );
        }
    }
}
