//! A hole in the input: records that nobody has any more are missing from the windows.
//!
//! From the first event after the hole until the longest window of the rule set has passed, and the time for which ids are
//! remembered, decisions say so.

use crate::rules::program::Program;

/// Whether windows reach into a hole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Gap {
    /// They do not.
    #[default]
    None,
    /// The next event is the first after the hole.
    Here,
    /// Events before this time have windows that reach into the hole, ms.
    Until(i64),
}

impl Gap {
    /// Whether an event's windows reach into the hole. `clock_ms`: its partition's clock after it.
    pub(super) fn touches(
        &mut self,
        time_ms: i64,
        clock_ms: i64,
        (program, dedupe_window_ms): (&Program, i64),
    ) -> bool {
        match *self {
            Self::None => false,
            Self::Here => {
                let reach_ms = longest_reach_ms(program).max(dedupe_window_ms);
                *self = Self::Until(clock_ms.saturating_add(reach_ms));
                true
            }
            Self::Until(end_ms) => {
                if clock_ms >= end_ms {
                    *self = Self::None;
                }
                time_ms < end_ms
            }
        }
    }

    /// As two words, for a snapshot.
    pub(super) fn words(self) -> (u8, i64) {
        match self {
            Self::None => (0, 0),
            Self::Here => (1, 0),
            Self::Until(end_ms) => (2, end_ms),
        }
    }

    /// Back from two words.
    pub(super) fn of_words(kind: u8, end_ms: i64) -> Option<Self> {
        match kind {
            0 => Some(Self::None),
            1 => Some(Self::Here),
            2 => Some(Self::Until(end_ms)),
            _ => None,
        }
    }
}

/// How far back the longest window of a rule set reaches.
fn longest_reach_ms(program: &Program) -> i64 {
    let measures = program.tables.iter().flat_map(|table| &table.spec.measures);
    let reach = |span: crate::window::spec::Span| span.length_ms.saturating_add(span.ending_ago_ms);
    measures.map(|measure| reach(measure.window)).max().unwrap_or(0)
}
