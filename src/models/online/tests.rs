//! The contract that every online model keeps: run over each detector. One more detector is one more line in `KINDS`.

use crate::base::EntityKey;
use crate::base::codec::{Decoder, Encoder};
use crate::models::online::model::ModelLoader;
use crate::models::online::spec::ENOUGH_EVENTS;
use crate::models::online::{
    DetectorKind, Direction, FeatureSpec, Lesson, ModelSpec, OnlineModel, Scored,
};
use crate::models::places::Lot;
use crate::window::spec::Coverage;

const KINDS: [DetectorKind; 2] = [DetectorKind::TailSum, DetectorKind::IsolationForest];

const DAY_MS: i64 = 86_400_000;

/// Names out of order, so that sorting them moves every column.
const NAMES: [&str; 3] = ["ratio", "amount", "hour"];

fn spec(kind: DetectorKind) -> ModelSpec {
    let feature = |name: &str| FeatureSpec { name: name.to_owned(), direction: Direction::High };
    let mut features: Vec<FeatureSpec> = NAMES.map(feature).into();
    features.sort();
    let (window_ms, allowance_micro) = (14 * DAY_MS, 1_000_000);
    ModelSpec { kind, features, window_ms, allowance_micro, seed: 11 }
}

/// Numbers without a pattern that matters here.
fn noise(at: u64) -> u64 {
    let mixed = at.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 24
}

/// An ordinary row: a mostly small amount with a tail, an hour, a ratio that goes with the amount.
fn row(at: u64) -> Vec<Option<i64>> {
    let n = noise(at);
    let amount = 1_000 + (n % 1_000) * (n / 1_000 % 100) / 10;
    let values = [amount, n / 7 % 24, amount * 3 + n % 50];
    values.map(|value| Some(value.cast_signed())).into()
}

/// Five minutes between two events.
fn time_ms(at: u64) -> i64 {
    at.cast_signed() * 300_000
}

struct Fed {
    spec: ModelSpec,
    model: OnlineModel,
}

impl Fed {
    fn new(kind: DetectorKind) -> Self {
        let spec = spec(kind);
        Self { model: OnlineModel::new(&spec), spec }
    }

    fn with(kind: DetectorKind, events: core::ops::Range<u64>) -> Self {
        let mut fed = Self::new(kind);
        for at in events {
            fed.take(at);
        }
        fed
    }

    /// Scores an event and learns it: one in three of a segment of its own.
    fn take(&mut self, at: u64) -> Option<Scored> {
        let (row, segment) = (row(at), segment(at));
        self.model.turn(&self.spec, time_ms(at));
        let scored = self.score(at, &row);
        let raw = scored.map(|scored| scored.raw_micro);
        self.model.learn(&self.spec, (segment, &row), time_ms(at), (raw, Lesson::Usual));
        scored
    }

    fn score(&self, at: u64, row: &[Option<i64>]) -> Option<Scored> {
        let lot = Lot::of_id(&at.to_le_bytes());
        self.model.score(&self.spec, (segment(at), row), (time_ms(at), lot))
    }

    fn saved(&self) -> Vec<Vec<u8>> {
        let piece = |piece: usize| {
            let mut out = Vec::new();
            self.model.save_piece(piece, &mut Encoder::new(&mut out));
            out
        };
        (0..self.model.pieces()).map(piece).collect()
    }

    fn restored(&self) -> OnlineModel {
        let mut loader = ModelLoader::new(self.spec.kind, self.spec.features.len());
        for piece in self.saved() {
            let mut code = Decoder::new(&piece);
            loader.piece(&mut code).unwrap();
            code.end("piece").unwrap();
        }
        loader.finish().unwrap()
    }
}

fn segment(at: u64) -> Option<EntityKey> {
    at.is_multiple_of(3).then_some(EntityKey(7))
}

#[test]
fn it_says_nothing_until_it_has_learned_enough_and_then_gives_every_score_its_place() {
    for kind in KINDS {
        let mut fed = Fed::new(kind);
        for at in 0..3 * ENOUGH_EVENTS {
            let scored = fed.take(at);
            assert_eq!(scored.is_some(), at >= ENOUGH_EVENTS, "{kind:?} {at}");
            let place = scored.and_then(|scored| scored.percentile);
            assert_eq!(place.is_some(), at >= 2 * ENOUGH_EVENTS, "{kind:?} {at}");
            assert!(place.is_none_or(|place| (0.0..1.0).contains(&place)), "{kind:?} {at}");
        }
        let at = 3 * ENOUGH_EVENTS;
        let odd = fed.score(at, &[Some(90_000), Some(23), Some(270_000)]).unwrap();
        assert!(odd.percentile.unwrap() > 0.995, "{kind:?} {odd:?}");
    }
}

#[test]
fn it_is_warming_until_its_window_has_filled() {
    for kind in KINDS {
        // 14 days of 288 events.
        let filled = 14 * 288;
        let mut fed = Fed::with(kind, 0..filled);
        assert_eq!(fed.score(filled - 1, &row(1)).unwrap().coverage, Coverage::Warming);
        assert_eq!(fed.take(filled).unwrap().coverage, Coverage::Complete);
    }
}

#[test]
fn a_window_that_traffic_has_left_fills_anew_before_a_score_is_compared_again() {
    for kind in KINDS {
        let spec = spec(kind);
        let of = |gap_ms: i64| {
            // Sixteen days of 576 events, then nothing for a while, then sixteen days again.
            let (mut model, n) = (OnlineModel::new(&spec), 16 * 576_u64);
            let mut coverages = Vec::new();
            for at in 0..2 * n {
                let time_ms = time_ms(at) / 2 + if at < n { 0 } else { gap_ms };
                model.turn(&spec, time_ms);
                let scored = model.score(&spec, (None, &row(at)), (time_ms, Lot(0)));
                let raw = scored.map(|scored| scored.raw_micro);
                model.learn(&spec, (None, &row(at)), time_ms, (raw, Lesson::Usual));
                if at >= n {
                    coverages.push(scored.map(|it| (it.percentile.is_some(), it.coverage)));
                }
            }
            coverages
        };
        let complete = Some((true, Coverage::Complete));
        assert!(of(0).iter().all(|it| *it == complete), "{kind:?}");
        // A month: both windows are empty, and the first event already is not compared with what lies a month back.
        let month = of(30 * DAY_MS);
        let none = ENOUGH_EVENTS.try_into().unwrap();
        assert!(month[..none].iter().all(Option::is_none), "{kind:?}");
        let filled = 14 * 576;
        assert!(
            month[none..filled].iter().all(|it| it.unwrap().1 == Coverage::Warming),
            "{kind:?}"
        );
        assert!(month[filled..].iter().all(|it| *it == complete), "{kind:?}");
        // Eight days: the week of scores is empty, what is usual is not.
        let week = of(8 * DAY_MS);
        assert_eq!(week[0], Some((false, Coverage::Warming)), "{kind:?}");
        assert!(week[..filled].iter().all(|it| it.unwrap().1 == Coverage::Warming), "{kind:?}");
        assert!(
            week[none..].iter().all(|it| it.unwrap().0)
                && week[filled..].iter().all(|it| *it == complete)
        );
    }
}

#[test]
fn the_order_of_features_has_no_effect() {
    // The spec is in the order of names, whatever the author wrote: two lists of the same features are one spec.
    for kind in KINDS {
        let mut turned: Vec<FeatureSpec> = spec(kind).features.into_iter().rev().collect();
        turned.sort();
        assert_eq!(turned, spec(kind).features);
        // And where it is the same spec, a column that is moved takes its part of the score along.
        let fed = Fed::with(kind, 0..2 * ENOUGH_EVENTS);
        let odd = [Some(90_000), Some(3), Some(9_000)];
        let parts = fed.model.parts(&fed.spec, None, &odd);
        assert_eq!(fed.spec.features[parts[0].feature].name, "amount", "{kind:?}");
    }
}

#[test]
fn missing_features_survive_and_never_raise_a_score() {
    for kind in KINDS {
        let mut fed = Fed::with(kind, 0..2 * ENOUGH_EVENTS);
        let at = 2 * ENOUGH_EVENTS;
        let odd = [Some(90_000), Some(23), Some(270_000)];
        let whole = fed.score(at, &odd).unwrap().raw_micro;
        for gone in 0..odd.len() {
            let mut row = odd;
            row[gone] = None;
            let score = fed.score(at, &row).unwrap().raw_micro;
            assert!(score <= whole, "{kind:?} {gone}: {score} against {whole}");
            fed.model.learn(&fed.spec, (None, &row), time_ms(at), (Some(score), Lesson::Usual));
        }
        assert_eq!(fed.score(at, &[None; 3]), None, "no default means `no risk`");
        fed.model.learn(&fed.spec, (None, &[None; 3]), time_ms(at), (None, Lesson::Usual));
        for extreme in [i64::MIN, i64::MAX] {
            let row = [Some(extreme); 3];
            assert!(fed.score(at, &row).is_some());
            fed.model.learn(&fed.spec, (None, &row), time_ms(at), (None, Lesson::Usual));
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_scores_and_the_same_bytes() {
    for kind in KINDS {
        let (mut one, mut two) = (Fed::new(kind), Fed::new(kind));
        for at in 0..6_000 {
            assert_eq!(one.take(at), two.take(at), "{kind:?} {at}");
        }
        assert_eq!(one.saved(), two.saved());
    }
}

#[test]
fn what_a_detector_holds_does_not_depend_on_the_order_of_arrival() {
    for kind in KINDS {
        // Within one pane, which is a day long.
        let spec = spec(kind);
        let of = |order: &mut dyn Iterator<Item = u64>| {
            let mut model = OnlineModel::new(&spec);
            for at in order {
                model.learn(&spec, (segment(at), &row(at)), 0, (None, Lesson::Usual));
            }
            let mut out = Vec::new();
            model.save_piece(1, &mut Encoder::new(&mut out));
            out
        };
        assert_eq!(of(&mut (0..1_500)), of(&mut (0..1_500).rev()), "{kind:?}");
    }
}

#[test]
fn a_restored_model_goes_on_as_the_saved_one_would_have() {
    for kind in KINDS {
        let mut fed = Fed::with(kind, 0..7_000);
        let again = fed.restored();
        assert_eq!((again.events(), again.bytes()), (fed.model.events(), fed.model.bytes()));
        let mut again = Fed { model: again, spec: spec(kind) };
        assert_eq!(again.saved(), fed.saved());
        for at in 7_000..14_000 {
            assert_eq!(fed.take(at), again.take(at), "{kind:?} {at}");
        }
        assert_eq!(again.saved(), fed.saved());
        assert_eq!(again.model.bytes(), fed.model.bytes());
    }
}

#[test]
fn damaged_pieces_are_refused_or_read_but_never_panic() {
    for kind in KINDS {
        let mut fed = Fed::with(kind, 0..2_500);
        let pieces = fed.saved();
        for (number, piece) in pieces.iter().enumerate() {
            for at in (0..piece.len()).step_by(piece.len() / 200 + 1) {
                let mut loader = ModelLoader::new(kind, 3);
                for before in &pieces[..number] {
                    loader.piece(&mut Decoder::new(before)).unwrap();
                }
                let mut damaged = piece.clone();
                damaged[at] ^= 0x81;
                if loader.piece(&mut Decoder::new(&damaged)).is_err() {
                    continue;
                }
                if let Ok(model) = loader.finish() {
                    fed.model = model;
                    fed.score(2_500, &row(3));
                }
            }
        }
        assert!(ModelLoader::new(kind, 3).finish().is_err());
    }
}

#[test]
fn learning_changes_nothing_but_the_model() {
    for kind in KINDS {
        let mut fed = Fed::with(kind, 0..3_000);
        let (before, own) = (fed.score(9, &row(9)), row(9));
        let kept = fed.model.clone();
        fed.take(9);
        assert_eq!(own, row(9));
        let kept = Fed { model: kept, spec: spec(kind) };
        assert_eq!(kept.score(9, &own), before, "a copy does not learn along");
    }
}

#[test]
fn what_was_alerted_is_not_learned_and_its_score_counts() {
    for kind in KINDS {
        let mut fed = Fed::with(kind, 0..5_000);
        let (events, scores) = (fed.model.events(), fed.model.is_ready());
        assert!(scores);
        let odd = [Some(90_000), Some(23), Some(270_000)];
        let before = fed.score(5_000, &odd).unwrap();
        for _ in 0..200 {
            let lesson = (Some(before.raw_micro), Lesson::Suspicious);
            fed.model.learn(&fed.spec, (None, &odd), time_ms(5_000), lesson);
        }
        let after = fed.score(5_000, &odd).unwrap();
        assert_eq!((fed.model.events(), after.raw_micro), (events, before.raw_micro), "{kind:?}");
        assert!(after.percentile < before.percentile, "the budget holds for clustered fraud too");
    }
}

#[test]
fn a_segment_judges_by_itself_once_it_has_learned_enough() {
    for kind in KINDS {
        let spec = spec(kind);
        let mut model = OnlineModel::new(&spec);
        let large = |at: u64| row(at).iter().map(|value| value.map(|v| v * 50)).collect::<Vec<_>>();
        let own = Some(EntityKey(1));
        for at in 0..10_000_u64 {
            if at.is_multiple_of(4) {
                model.learn(&spec, (own, &large(at)), 0, (None, Lesson::Usual));
            } else {
                model.learn(&spec, (None, &row(at)), 0, (None, Lesson::Usual));
            }
        }
        let of = |segment| model.score(&spec, (segment, &large(4)), (0, Lot(0))).unwrap().raw_micro;
        assert!(of(own) < of(Some(EntityKey(2))), "{kind:?}: usual among its own");
        assert_eq!(of(None), of(Some(EntityKey(2))), "an unknown segment is judged by all traffic");
    }
}

#[test]
fn the_window_forgets_and_memory_is_bounded() {
    for kind in KINDS {
        let spec = spec(kind);
        let mut model = OnlineModel::new(&spec);
        let mut most = 0;
        for at in 0..40_000_u64 {
            let segment = Some(EntityKey(u128::from(at % 500)));
            // An hour between two events: 15 panes of a day hold 360.
            let time_ms = at.cast_signed() * 3_600_000;
            model.learn(&spec, (segment, &row(at)), time_ms, (None, Lesson::Usual));
            most = most.max(model.segments());
        }
        assert!(model.events() <= 15 * 24, "{kind:?}: {}", model.events());
        assert!(most <= kind.max_segments(), "{kind:?}: {most}");
        // One from long ago is not learned, and one from now on is.
        let events = model.events();
        model.learn(&spec, (None, &row(1)), 0, (None, Lesson::Usual));
        assert_eq!(model.events(), events);
        while model.shrink().is_some() {}
        assert_eq!(model.segments(), 0);
    }
}
