//! A repeated event's turn: it is answered as it was the first time.
//!
//! INVARIANT: a repeat never passes for want of an answer, and never names a hold that no record has.

use std::sync::Arc;

use crate::decision::lattice::Outcome;
use crate::decision::resolve::{Reach, resolve};
use crate::decision::wire::Provenance;
use crate::engine::emit::{self, Said};
use crate::engine::held;
use crate::engine::options::DecisionsWanted;
use crate::engine::port::Sink;
use crate::engine::scene::Scene;
use crate::engine::tell::Told;
use crate::engine::turn::{Standing, Turn, Verdict, provenance};

impl<S: Sink> Turn<'_, S> {
    /// Answers a repeated event as it was answered the first time.
    pub(super) fn repeat(&mut self, standing: &Standing) {
        self.remembered.counters.duplicates += 1;
        let known = self.remembered.repeats.get(standing.answer_id);
        if known.is_none() && self.remembered.repeats.lost_answers() {
            self.judge_again(standing);
            return;
        }
        let outcome = known.map_or(Outcome::Pass, |answer| answer.outcome);
        self.remembered.trail.add(outcome as u64);
        self.remembered.counters.count_outcome(outcome);
        if self.setup.options.decisions == DecisionsWanted::None {
            return;
        }
        let scene = Scene::new(self.setup, self.source, self.input, self.decoded, standing);
        if let Some(known) = known {
            let body = Arc::clone(&known.body);
            self.write(&scene, (true, outcome), &body);
            return;
        }
        let moment = (self.decoded.row.time_ms, Reach::Full);
        let nothing = resolve(&self.setup.program, &[], moment, &mut self.work.sheet);
        let (told, provenance) = (Told::default(), [Provenance::Normal]);
        let said = Said { resolution: &nothing, told: &told, held: &[], hold_id: None };
        let mut answer = core::mem::take(&mut self.work.answer);
        emit::answer(&scene, &said, &self.work.sheet, &provenance, &mut answer);
        self.write(&scene, (true, outcome), &answer);
        self.work.answer = answer;
    }

    /// Judges a repeated event whose first answer may have been given up to save memory: it must not pass for want of
    /// an answer. Nothing is remembered or raised anew; the windows already hold the event.
    ///
    /// WHY: whoever hears `hold` must find a hold that somebody can release and that ends. The one that the event has from its
    /// first time counts, also where it has ended; where it has none, the hold is placed now.
    fn judge_again(&mut self, standing: &Standing) {
        let mut verdict = self.judge(standing, None);
        let scene = Scene::new(self.setup, self.source, self.input, self.decoded, standing);
        let first = self.remembered.holds.under(scene.hold_key()).cloned();
        if let Some(first) = &first {
            let asked = verdict.resolution.outcome() == Outcome::StepUp;
            verdict.resolution.held_before = !(asked && first.challenge.is_some());
        }
        let outcome = verdict.resolution.outcome();
        self.remembered.counters.count_outcome(outcome);
        self.mark_outcome(outcome, verdict.resolution.score);
        let is_new = first.is_none();
        let hold = first.or_else(|| held::of_payment(&scene, &verdict, &[]));
        let hold = hold.filter(|_| matches!(outcome, Outcome::Hold | Outcome::StepUp));
        if self.setup.options.decisions != DecisionsWanted::None {
            let provenance = provenance(standing, &verdict.judgement);
            let hold_id = hold.as_ref().map(|hold| hold.hold_id.as_str());
            let Verdict { resolution, told, held, .. } = &verdict;
            let said = Said { resolution, told, held, hold_id };
            let mut answer = core::mem::take(&mut self.work.answer);
            emit::answer(&scene, &said, &self.work.sheet, &provenance, &mut answer);
            self.write(&scene, (true, outcome), &answer);
            self.work.answer = answer;
        }
        if let Some(hold) = hold.filter(|_| is_new) {
            self.place((scene.hold_key(), &hold), Some(&verdict));
        }
    }
}
