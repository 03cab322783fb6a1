//! Sequences, from the end back: which event took the last step, which the one before that, and so on.

use crate::event::schema::EventId;
use crate::rules::eval::Truth;
use crate::rules::oracle::datum::Datum;
use crate::rules::oracle::interpret::Scope;
use crate::rules::oracle::{Oracle, Past};
use crate::rules::syntax::ast::{LiteralKind, Sequence, Step, WindowLength};

/// A step that an event takes, and the steps that none may take after it.
struct Taking<'b> {
    step: &'b Step,
    without: Vec<&'b Step>,
}

/// An event of the keys and the window, and how many had arrived before it.
#[derive(Clone, Copy)]
struct Candidate<'b> {
    past: &'b Past,
    arrival: usize,
}

impl Oracle<'_> {
    /// The truth of a sequence, its last step included.
    pub(super) fn sequence(&self, scope: &Scope<'_>, sequence: &Sequence) -> Datum {
        let Some((last, before)) = sequence.steps.split_last() else { return Datum::Missing };
        let mut taking: Vec<Taking<'_>> = Vec::new();
        for step in before {
            match (step.without, taking.last_mut()) {
                (true, Some(after)) => after.without.push(step),
                (true, None) => {}
                (false, _) => {
                    let times = step.times.map_or(1, |times| times.mantissa);
                    for _ in 0..times {
                        taking.push(Taking { step, without: Vec::new() });
                    }
                }
            }
        }
        let Some(candidates) = self.candidates(scope, sequence) else {
            return self.with_last(scope, Datum::Missing, last, Vec::new());
        };
        let chain = self.chain(scope, &taking, &candidates, candidates.len());
        let steps = chain.iter().flatten().zip(&taking).filter_map(|(candidate, taking)| {
            let name = taking.step.alias.as_ref()?;
            Some((name.text.as_str(), candidate.past))
        });
        self.with_last(scope, Datum::Bool(chain.is_some()), last, steps.collect())
    }

    /// The steps before, and the condition of the last one.
    fn with_last<'b>(
        &'b self,
        scope: &Scope<'b>,
        before: Datum,
        last: &'b Step,
        steps: Vec<(&'b str, &'b Past)>,
    ) -> Datum {
        let Some(filter) = &last.filter else { return before };
        let scope = Scope { steps, ..scope.clone() };
        match (before, self.value(&scope, filter)) {
            (Datum::Bool(false), _) | (_, Datum::Bool(false)) => Datum::Bool(false),
            (Datum::Bool(true), Datum::Bool(true)) => Datum::Bool(true),
            _ => Datum::Missing,
        }
    }

    /// The events of the steps' types with the keys of this one, in the window, by time and arrival. `None`: a key is
    /// absent.
    fn candidates<'b>(
        &'b self,
        scope: &Scope<'b>,
        sequence: &Sequence,
    ) -> Option<Vec<Candidate<'b>>> {
        let within_ms = match &sequence.within {
            WindowLength::Millis(ms, _) => *ms,
            WindowLength::Named(name) => match scope.params.get(name.text.as_str())?.kind {
                LiteralKind::Duration(ms) => ms,
                _ => return None,
            },
        };
        let present = scope.event.row.event();
        let mut wanted = Vec::new();
        for key in &sequence.keys {
            let own = key.this.as_ref().unwrap_or(&key.stored);
            let own = self.key_field(present, &own.parts)?;
            let value = self.load(scope.event, present, own);
            if value.is_missing() {
                return None;
            }
            wanted.push((key, value));
        }
        let has_keys = |past: &Past, event: EventId| {
            wanted.iter().all(|(key, value)| {
                let stored = self.key_field(event, &key.stored.parts);
                stored.is_some_and(|stored| self.load(past, event, stored).is_key(value))
            })
        };
        let now_ms = scope.event.row.time_ms;
        let mut found: Vec<Candidate<'b>> = Vec::new();
        for (arrival, past) in self.history.iter().enumerate().take(scope.arrived) {
            let event = past.row.event();
            let name = &self.schema.event(event).name;
            let in_window = now_ms - within_ms < past.row.time_ms && past.row.time_ms <= now_ms;
            let of_steps = sequence.steps.iter().any(|step| step.event.text == *name);
            if in_window && of_steps && has_keys(past, event) {
                found.push(Candidate { past, arrival });
            }
        }
        found.sort_by_key(|candidate| (candidate.past.row.time_ms, candidate.arrival));
        Some(found)
    }

    /// The latest events that took these steps before the candidate at `end`, one for each.
    fn chain<'b>(
        &'b self,
        scope: &Scope<'b>,
        taking: &[Taking<'b>],
        candidates: &[Candidate<'b>],
        end: usize,
    ) -> Option<Vec<Candidate<'b>>> {
        let Some((last, before)) = taking.split_last() else { return Some(Vec::new()) };
        let named = |chain: &[Candidate<'b>]| {
            let steps = chain.iter().zip(taking).filter_map(|(candidate, taking)| {
                let name = taking.step.alias.as_ref()?;
                Some((name.text.as_str(), candidate.past))
            });
            steps.collect::<Vec<_>>()
        };
        for at in (0..end).rev() {
            let Some(mut chain) = self.chain(scope, before, candidates, at) else { continue };
            if !self.takes(scope, last.step, candidates[at], named(&chain)) {
                continue;
            }
            chain.push(candidates[at]);
            let steps = named(&chain);
            let forbidden = candidates[at + 1..end].iter().any(|later| {
                last.without.iter().any(|step| self.takes(scope, step, *later, steps.clone()))
            });
            return if forbidden { None } else { Some(chain) };
        }
        None
    }

    /// Whether an event fits a step: as of its own arrival.
    fn takes<'b>(
        &'b self,
        scope: &Scope<'b>,
        step: &'b Step,
        candidate: Candidate<'b>,
        steps: Vec<(&'b str, &'b Past)>,
    ) -> bool {
        if step.event.text != self.schema.event(candidate.past.row.event()).name {
            return false;
        }
        let Some(filter) = &step.filter else { return true };
        let inside = Scope { steps, ..scope.inside(candidate.past, candidate.arrival) };
        self.truth(&inside, filter) == Truth::True
    }
}
