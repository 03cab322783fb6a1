//! Sequences: the steps walked over the entries of the key that lie in the window.
//!
//! For each step the latest chain of events that ends with it is kept (a register); an event goes on from the chain of
//! the step before. Later steps are tried first, so an event takes one place in a chain, and what a `without` forbids
//! ends the chain of the step before it, but not the one that the very event begins.
//!
//! The reference walks the other way, from the end back ([`crate::rules::oracle`]).
//!
//! Cost: nothing where some step has no event in the window; else a copy of the entries that fit any step, times the
//! steps.

use crate::base::Value;
use crate::rules::eval::code::{Code, FitCode, SequenceCode, StepCode, TruthCode};
use crate::rules::eval::reading::value_of;
use crate::rules::eval::{Host, Run, Truth};
use crate::rules::program::NodeId;
use crate::window::spec::{ColumnKind, Coverage, History, ReadValue};

/// An event that a chain has taken, or that is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Taken {
    /// Which of the author's steps.
    step: u16,
    time_ms: i64,
    filters: u64,
    words_at: usize,
    n_words: usize,
}

/// What is known about a sequence for the present event.
#[derive(Clone, Debug)]
pub(super) struct Matched {
    stamp: u32,
    truth: Truth,
    coverage: Coverage,
    /// The chain that matched; while it is sought, the one that is tried.
    chain: Vec<Taken>,
    words: Vec<u64>,
}

impl Default for Matched {
    fn default() -> Self {
        let (truth, coverage) = (Truth::Undecided, Coverage::Complete);
        Self { stamp: 0, truth, coverage, chain: Vec::new(), words: Vec::new() }
    }
}

impl Matched {
    /// Forgets every event.
    pub(super) fn reset(&mut self) {
        self.stamp = 0;
    }
}

/// Room for one walk, reused from walk to walk.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    history: History,
    events: Vec<Event>,
    /// Links of chains: an event, and the link before; 0 is before the first.
    links: Vec<(usize, usize)>,
    /// The last link of each step's chain; 0: none.
    registers: Vec<usize>,
}

/// An entry of one of the look-ups.
#[derive(Clone, Copy, Debug)]
struct Event {
    time_ms: i64,
    arrival: u64,
    /// Which look-up.
    walk: usize,
    filters: u64,
    words_at: usize,
}

impl<H: Host> Run<'_, H> {
    /// Whether the steps came before this event.
    pub(super) fn sequence(&mut self, index: u32) -> Truth {
        let (plan, at) = (self.plan, index as usize);
        let Some(code) = plan.sequences.get(at) else { return Truth::Undecided };
        let stamp = self.memo.stamp;
        let Some(held) = self.memo.sequences.get_mut(at) else { return Truth::Undecided };
        if held.stamp == stamp {
            return held.truth;
        }
        (held.stamp, held.truth) = (stamp, Truth::Undecided);
        held.chain.clear();
        held.words.clear();
        let (truth, coverage) = self.matched(at, code);
        if let Some(held) = self.memo.sequences.get_mut(at) {
            (held.truth, held.coverage) = (truth, coverage);
        }
        truth
    }

    /// How far the answer of a sequence can be trusted.
    pub(super) fn sequence_coverage(&mut self, index: u32) -> Coverage {
        self.sequence(index);
        let held = self.memo.sequences.get(index as usize);
        held.map_or(Coverage::Complete, |held| held.coverage)
    }

    /// The steps that a sequence took, in order, and when their events happened (ms); none where it did not match.
    pub(super) fn steps_taken(&mut self, node: NodeId) -> Vec<(u16, i64)> {
        let Some(index) = self.sequence_of(node) else { return Vec::new() };
        self.sequence(index);
        let held = self.memo.sequences.get(index as usize);
        held.map(|held| steps(&held.chain)).unwrap_or_default()
    }

    /// The steps that were taken as far as a sequence came: all of them where it matched, else the longest chain that
    /// stands before this event. The answer of the sequence stays what it is.
    pub(super) fn steps_reached(&mut self, node: NodeId) -> Vec<(u16, i64)> {
        let Some(index) = self.sequence_of(node) else { return Vec::new() };
        if self.sequence(index) != Truth::False {
            return self.steps_taken(node);
        }
        let (plan, at) = (self.plan, index as usize);
        let (Some(code), Some(judged)) =
            (plan.sequences.get(at), self.memo.sequences.get(at).cloned())
        else {
            return Vec::new();
        };
        let mut walk = Walk::default();
        self.collect(code, &mut walk);
        self.run_through(at, code, &mut walk);
        let furthest = walk.registers.iter().rev().find(|link| **link != 0).copied();
        self.bind(at, code, &walk, furthest.unwrap_or(0), None);
        let Some(held) = self.memo.sequences.get_mut(at) else { return Vec::new() };
        let reached = steps(&held.chain);
        *held = judged;
        reached
    }

    /// Which sequence a node is.
    fn sequence_of(&self, node: NodeId) -> Option<u32> {
        match self.plan.instructions.get(node.0 as usize).map(|known| &known.code) {
            Some(Code::Truth(TruthCode::Sequence(index))) => Some(*index),
            _ => None,
        }
    }

    fn matched(&mut self, at: usize, code: &SequenceCode) -> (Truth, Coverage) {
        if code.keys.iter().any(|slot| !self.row.has(*slot)) {
            return (Truth::Undecided, Coverage::Complete);
        }
        let (mut coverage, mut possible) = (Coverage::Complete, true);
        for take in &code.takes {
            let reading = self.reading(take.fit.read);
            possible &= reading.value != ReadValue::Missing;
            coverage = coverage.max(reading.coverage);
            for forbidden in &take.without {
                coverage = coverage.max(self.reading(forbidden.read).coverage);
            }
        }
        if !possible {
            return (Truth::False, coverage);
        }
        let mut walk = core::mem::take(&mut self.memo.walk);
        coverage = coverage.max(self.collect(code, &mut walk));
        self.run_through(at, code, &mut walk);
        let last = walk.registers.last().copied().unwrap_or(0);
        self.bind(at, code, &walk, last, None);
        self.memo.walk = walk;
        (Truth::decided(Some(last != 0)), coverage)
    }

    /// The entries of all look-ups, in the order of time and arrival.
    fn collect(&mut self, code: &SequenceCode, walk: &mut Walk) -> Coverage {
        walk.history.entries.clear();
        walk.history.words.clear();
        walk.events.clear();
        let mut coverage = Coverage::Complete;
        for (number, asked) in code.walks.iter().enumerate() {
            let first = walk.history.entries.len();
            let asked_of = (asked.lookup, asked.mask);
            coverage = coverage.max(self.host.history(asked_of, code.within_ms, &mut walk.history));
            for entry in walk.history.entries.iter().skip(first) {
                let arrival_at = entry.words_at + asked.arrival_at;
                walk.events.push(Event {
                    time_ms: entry.time_ms,
                    arrival: walk.history.words.get(arrival_at).copied().unwrap_or(0),
                    walk: number,
                    filters: entry.filters,
                    words_at: entry.words_at,
                });
            }
        }
        if code.walks.len() > 1 {
            walk.events.sort_by_key(|event| (event.time_ms, event.arrival));
        }
        coverage
    }

    fn run_through(&mut self, at: usize, code: &SequenceCode, walk: &mut Walk) {
        walk.links.clear();
        walk.links.push((0, 0));
        walk.registers.clear();
        walk.registers.resize(code.takes.len(), 0);
        let mut from = 0;
        while let Some(first) = walk.events.get(from) {
            // One event lies in two tables where its filters did not fit into one.
            let same = |event: &&Event| {
                first.arrival != 0
                    && (event.time_ms, event.arrival) == (first.time_ms, first.arrival)
                    && event.walk != first.walk
            };
            let more = walk.events.iter().skip(from + 1).take_while(same).count();
            let event = (from, from + 1 + more);
            for number in (0..code.takes.len()).rev() {
                self.try_step(at, code, walk, number, event);
            }
            from = event.1;
        }
    }

    /// What an event does to the chain of one step.
    fn try_step(
        &mut self,
        at: usize,
        code: &SequenceCode,
        walk: &mut Walk,
        number: usize,
        event: (usize, usize),
    ) {
        let Some(take) = code.takes.get(number) else { return };
        let before = number.checked_sub(1).map(|before| walk.registers[before]);
        let taken = match before {
            Some(0) => None,
            before => self.fits(at, code, walk, (&take.fit, before.unwrap_or(0)), event),
        };
        let held = walk.registers[number];
        let ended = held != 0
            && take
                .without
                .iter()
                .any(|forbidden| self.fits(at, code, walk, (forbidden, held), event).is_some());
        if ended {
            walk.registers[number] = 0;
        }
        if let Some(taken) = taken {
            walk.registers[number] = walk.links.len();
            walk.links.push((taken, before.unwrap_or(0)));
        }
    }

    /// The entry of an event that fits a step, given the chain before it.
    fn fits(
        &mut self,
        at: usize,
        code: &SequenceCode,
        walk: &Walk,
        (fit, before): (&FitCode, usize),
        (from, to): (usize, usize),
    ) -> Option<usize> {
        let entry = (from..to).find(|entry| {
            walk.events.get(*entry).is_some_and(|event| {
                event.walk == fit.walk && (fit.mask == 0 || event.filters & fit.mask != 0)
            })
        })?;
        if let Some(condition) = fit.condition {
            self.bind(at, code, walk, before, Some((entry, fit.step)));
            if self.truth_at(condition) != Truth::True {
                return None;
            }
        }
        Some(entry)
    }

    /// Makes a chain, and an event that is tried after it, the one whose fields are read.
    fn bind(
        &mut self,
        at: usize,
        code: &SequenceCode,
        walk: &Walk,
        last: usize,
        tried: Option<(usize, u16)>,
    ) {
        let Some(held) = self.memo.sequences.get_mut(at) else { return };
        held.chain.clear();
        held.words.clear();
        let mut take = |entry: usize, step: u16| {
            let Some(event) = walk.events.get(entry) else { return };
            let n_words = code.walks.get(event.walk).map_or(0, |asked| asked.n_words);
            let words = walk.history.words.get(event.words_at..event.words_at + n_words);
            let words_at = held.words.len();
            held.words.extend_from_slice(words.unwrap_or_default());
            let (time_ms, filters) = (event.time_ms, event.filters);
            held.chain.push(Taken { step, time_ms, filters, words_at, n_words });
        };
        if let Some((entry, step)) = tried {
            take(entry, step);
        }
        // A chain has as many links as there are steps up to its last.
        let (mut link, mut number) = (last, depth(walk, last));
        while link != 0 {
            let Some((entry, before)) = walk.links.get(link).copied() else { break };
            number = number.saturating_sub(1);
            take(entry, code.takes.get(number).map_or(0, |take| take.fit.step));
            link = before;
        }
        held.chain.reverse();
    }

    /// A field of an event of the chain that is tried or matched.
    pub(super) fn step_value(&mut self, code: &StepCode) -> Value {
        let plan = self.plan;
        let Some(index) = plan.bindings.get(usize::from(code.binding)).copied() else {
            return Value::Missing;
        };
        self.sequence(index);
        let Some(held) = self.memo.sequences.get(index as usize) else { return Value::Missing };
        let taken = held.chain.iter().rev().find(|taken| taken.step == code.step);
        let Some(taken) = taken.filter(|taken| code.mask == 0 || taken.filters & code.mask != 0)
        else {
            return Value::Missing;
        };
        let words = held.words.get(taken.words_at..taken.words_at + taken.n_words);
        let words = words.and_then(|words| words.get(code.at..)).unwrap_or_default();
        let read = match (code.kind, words) {
            (ColumnKind::Int | ColumnKind::Micro, [word, ..]) => {
                ReadValue::Int(word.cast_signed().into())
            }
            (ColumnKind::Word, [word, ..]) => ReadValue::Word(*word),
            (ColumnKind::Geo, [lat, lon, ..]) => {
                ReadValue::Geo(f64::from_bits(*lat), f64::from_bits(*lon))
            }
            _ => ReadValue::Missing,
        };
        value_of(read, code.read_as)
    }
}

/// The steps of a chain with the times of their events.
fn steps(chain: &[Taken]) -> Vec<(u16, i64)> {
    chain.iter().map(|taken| (taken.step, taken.time_ms)).collect()
}

/// How many links a chain has.
fn depth(walk: &Walk, mut link: usize) -> usize {
    let mut depth = 0;
    while link != 0 {
        depth += 1;
        link = walk.links.get(link).map_or(0, |(_, before)| *before);
    }
    depth
}
