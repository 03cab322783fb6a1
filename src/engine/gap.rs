//! A hole in the input: records that nobody has any more are missing from the windows.
//!
//! From the first event after the hole until the longest window of the rule set has passed, and the time for which ids are
//! remembered, decisions say so.
//!
//! Several partitions may lack records, and each goes on at a time of its own. So the first event after the hole is one per
//! partition; decisions of all say so until that has passed the latest of these, because a key may have
//! events in any; and it is over when the partition furthest behind has passed that.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::streams::{ClockId, Placement, Timeliness};
use crate::rules::program::Program;

/// Whether windows reach into a hole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Gap {
    /// By the number of the clock.
    ends: Vec<End>,
    /// The same for clocks that come: their records may be missing as well.
    others: bool,
}

/// What a partition knows of the hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Nothing is missing.
    None,
    /// Its next event is the first after the hole.
    Here,
    /// Events before this time have windows that reach into the hole, ms.
    Until(i64),
}

impl Gap {
    /// Records of any partition may be missing before its next one; `n` clocks are known.
    pub(super) fn note(&mut self, n: usize) {
        self.ends.clear();
        self.ends.resize(n, End::Here);
        self.others = true;
    }

    /// Whether an event's windows reach into the hole. `late_ms`: the time of the latest event that may
    /// still come late, by the clock of the partition furthest behind.
    pub(super) fn touches(
        &mut self,
        (time_ms, clock): (i64, ClockId),
        placement: &Placement,
        late_ms: i64,
        (program, dedupe_window_ms): (&Program, i64),
    ) -> bool {
        if self.ends.is_empty() && !self.others {
            return false;
        }
        let at = clock.0 as usize;
        if self.others && at >= self.ends.len() {
            self.ends.resize(at + 1, End::Here);
        }
        if let Some(end @ End::Here) = self.ends.get_mut(at) {
            // WHY: an event from the future says nothing about where its partition goes on.
            if placement.timeliness != Timeliness::Future {
                let reach_ms = longest_reach_ms(program).max(dedupe_window_ms);
                *end = End::Until(placement.clock_ms.saturating_add(reach_ms));
            }
            return true;
        }
        let until = |end: &End| if let End::Until(end_ms) = end { Some(*end_ms) } else { None };
        let Some(end_ms) = self.ends.iter().filter_map(until).max() else { return false };
        if late_ms >= end_ms {
            self.pass();
        }
        time_ms < end_ms
    }

    /// The hole is behind all that were heard since; one that was not may still come with a hole of its own.
    fn pass(&mut self) {
        for end in &mut self.ends {
            if matches!(end, End::Until(_)) {
                *end = End::None;
            }
        }
        if self.ends.iter().all(|end| *end == End::None) {
            self.ends.clear();
        }
        self.others = false;
    }

    /// Writes it.
    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.flag(self.others);
        code.count(self.ends.len());
        for end in &self.ends {
            let (kind, end_ms) = match *end {
                End::None => (0, 0),
                End::Here => (1, 0),
                End::Until(end_ms) => (2, end_ms),
            };
            code.byte(kind);
            code.int(end_ms);
        }
    }

    /// Reads what was written.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(super) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "hole in the input";
        let others = code.flag(WHAT)?;
        let n = code.count(2, WHAT)?;
        let mut ends = Vec::with_capacity(n);
        for _ in 0..n {
            let (kind, end_ms) = (code.byte(WHAT)?, code.int(WHAT)?);
            ends.push(match kind {
                0 => End::None,
                1 => End::Here,
                2 => End::Until(end_ms),
                _ => return Err(code.damaged(WHAT)),
            });
        }
        Ok(Self { ends, others })
    }
}

/// How far back the longest window of a rule set reaches.
fn longest_reach_ms(program: &Program) -> i64 {
    let measures = program.tables.iter().flat_map(|table| &table.spec.measures);
    let reach = |span: crate::window::spec::Span| span.length_ms.saturating_add(span.ending_ago_ms);
    measures.map(|measure| reach(measure.window)).max().unwrap_or(0)
}
