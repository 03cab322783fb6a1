//! Plain counters that the engine keeps for metrics and summaries. No shared memory: whoever wants them copies them.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::decision::episodes::Closed;
use crate::decision::holds::{Heard, HoldState};
use crate::decision::lattice::Outcome;
use crate::engine::amounts::Amounts;
use crate::event::error::DecodeError;

/// What one rule did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleCounters {
    /// Hits (shadow hits included).
    pub hits: u64,
    /// Alerts raised.
    pub alerts: u64,
    /// Alerts thinned by `once per`.
    pub thinned: u64,
    /// Times its condition was undecided.
    pub undecided: u64,
    /// Times its exemption applied.
    pub exempt: u64,
    /// Times it would have hit but was snoozed.
    pub snoozed: u64,
    /// Holds that it placed or helped to place.
    pub holds: u64,
    /// Events that it blocked, alone or with others; those where an `allow` overrode it are none.
    pub blocks: u64,
    /// Amounts of the events that it hit, by day.
    pub amounts: Amounts,
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandResult {
    /// It was done.
    Done,
    /// It had been done or refused before; nothing happened.
    Repeated,
    /// It was refused.
    Refused,
    /// It said how late it is.
    Clock,
}

impl CommandResult {
    /// Every result.
    pub const ALL: [Self; 4] = [Self::Done, Self::Repeated, Self::Refused, Self::Clock];

    /// As records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Repeated => "repeated",
            Self::Refused => "refused",
            Self::Clock => "clock",
        }
    }
}

/// Upper bounds of the ages of holds, in seconds: a minute to a month.
pub const HOLD_AGE_BOUNDS_S: [f64; 14] = [
    60.0,
    300.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    14_400.0,
    28_800.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    1_209_600.0,
    2_592_000.0,
];

/// The states in which holds end.
pub const ENDS: [HoldState; 3] = [HoldState::Released, HoldState::Confirmed, HoldState::Expired];

/// How long holds were open that ended in one state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HoldAges {
    /// By the bounds of [`HOLD_AGE_BOUNDS_S`]; the last is beyond them.
    pub counts: [u64; HOLD_AGE_BOUNDS_S.len() + 1],
    /// All of them together, ms.
    pub sum_ms: u64,
}

/// Everything counted so far. `read == decided() + dead_lettered() + commanded()` after every step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records taken.
    pub read: u64,
    /// Decisions by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 5],
    /// Dead letters by reason code.
    pub dead_letters: BTreeMap<&'static str, u64>,
    /// Dead letters by declared field at fault.
    pub mapping_errors: BTreeMap<String, u64>,
    /// Members whose values are never stored, by the topic of their records.
    pub never_stored: BTreeMap<String, u64>,
    /// Per rule, in the order of the program.
    pub rules: Vec<RuleCounters>,
    /// Events behind the clock within the allowed lateness.
    pub late: u64,
    /// Events behind by more.
    pub too_late: u64,
    /// Events from the future.
    pub future: u64,
    /// Repeated events.
    pub duplicates: u64,
    /// Event ids that came again with another body.
    pub id_reuse: u64,
    /// Alerts raised, by rules, bands and id reuse.
    pub alerts: u64,
    /// Holds that came into a state, in the order of [`HoldState::ALL`].
    pub holds: [u64; 6],
    /// How long holds were open, by how they ended, in the order of [`ENDS`].
    pub hold_ages: [HoldAges; 3],
    /// Episodes of alerts that ended, in the order of [`Closed::ALL`].
    pub episode_ends: [u64; Closed::ALL.len()],
    /// Commands by what came of them, in the order of [`CommandResult::ALL`].
    pub commands: [u64; 4],
    /// Answers to challenges by what came of them, in the order of [`Heard::ALL`].
    pub answers: [u64; Heard::ALL.len()],
    /// Keys evicted to stay under the byte budget.
    pub evictions: u64,
    /// Rules whose breaker tripped.
    pub breaker_trips: u64,
    /// Times that the older half of the remembered ids was forgotten before its time, for want of room.
    pub ids_cut_short: u64,
    /// Alert episodes that were forgotten before their time, for want of room.
    pub episodes_cut_short: u64,
    /// Changes of lists by rules that were not done, for want of room.
    pub list_changes_refused: u64,
    /// Events of which something was asked that is more than its type holds.
    pub overflows: u64,
}

impl Counters {
    /// Records with a decision.
    pub fn decided(&self) -> u64 {
        self.outcomes.iter().sum()
    }

    /// Records in the dead letters.
    pub fn dead_lettered(&self) -> u64 {
        self.dead_letters.values().sum()
    }

    /// Records that were commands.
    pub fn commanded(&self) -> u64 {
        self.commands.iter().sum()
    }

    /// Counts a command.
    pub fn count_command(&mut self, result: CommandResult) {
        self.commands[result as usize] += 1;
    }

    /// Counts an answer to a challenge.
    pub fn count_answer(&mut self, heard: Heard) {
        self.answers[heard as usize] += 1;
    }

    /// Counts a hold that came into a state.
    pub fn count_hold(&mut self, state: HoldState) {
        self.holds[state as usize] += 1;
    }

    /// Counts how long a hold was open that has ended, ms.
    pub fn count_hold_age(&mut self, state: HoldState, age_ms: i64) {
        let Some(ages) = ENDS.iter().position(|end| *end == state) else { return };
        let ages = &mut self.hold_ages[ages];
        let age_ms = u64::try_from(age_ms).unwrap_or(0);
        let seconds = Duration::from_millis(age_ms).as_secs_f64();
        ages.counts[HOLD_AGE_BOUNDS_S.partition_point(|bound| *bound < seconds)] += 1;
        ages.sum_ms = ages.sum_ms.saturating_add(age_ms);
    }

    /// Counts the end of an episode.
    pub fn count_episode_end(&mut self, closed: Closed) {
        self.episode_ends[closed as usize] += 1;
    }

    /// Answers to challenges of which this came.
    pub fn answers_that(&self, heard: Heard) -> u64 {
        self.answers[heard as usize]
    }

    /// Holds that came into a state.
    pub fn holds_in(&self, state: HoldState) -> u64 {
        self.holds[state as usize]
    }

    /// Counts a record that could not be decoded.
    pub fn count_dead_letter(&mut self, error: &DecodeError) {
        *self.dead_letters.entry(error.reason.as_str()).or_default() += 1;
        if let Some(field) = &error.field {
            *self.mapping_errors.entry(field.to_string()).or_default() += 1;
        }
    }

    /// Counts members of a record of a topic whose values are never stored.
    pub fn count_never_stored(&mut self, topic: &str, n: u64) {
        match self.never_stored.get_mut(topic) {
            _ if n == 0 => {}
            Some(known) => *known += n,
            None => _ = self.never_stored.insert(topic.to_owned(), n),
        }
    }

    /// Counts a decision.
    pub fn count_outcome(&mut self, outcome: Outcome) {
        let index = Outcome::ALL.iter().position(|known| *known == outcome).unwrap_or(0);
        self.outcomes[index] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_of_holds_lie_in_closed_buckets_by_how_they_ended() {
        let mut counters = Counters::default();
        for age_ms in [-1, 60_000, 60_001, 2_592_000_000, 2_592_000_001] {
            counters.count_hold_age(HoldState::Confirmed, age_ms);
        }
        counters.count_hold_age(HoldState::Placed, 60_000);
        let mut ages = HoldAges {
            sum_ms: 60_000 + 60_001 + 2_592_000_000 + 2_592_000_001,
            ..HoldAges::default()
        };
        for (bucket, n) in [(0, 2), (1, 1), (13, 1), (14, 1)] {
            ages.counts[bucket] = n;
        }
        assert_eq!(counters.hold_ages, [HoldAges::default(), ages, HoldAges::default()]);
    }
}
