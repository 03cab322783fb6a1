//! The breaker: a rule that stops more payments per interval than the policy allows only watches from then on.
//!
//! It counts on the clock of the event's partition, so a wrong date in one event cannot reset or trip it, in parts of a
//! sixty-fourth of the interval, a millisecond at least: what is counted reaches back over the interval and at most one
//! part of it more, and up to 64 ms it is exact. Each partition's stops are kept by its own clock, so one that lags is
//! counted like any other: what counts is what all partitions stopped in the interval that ends where this one stands.
//! What trips stays tripped until another rule set is active. Each instance counts what it decides itself.
//!
//! # Cost
//! At most 65 counters per rule and partition; those of the rule are added up per hold or block.

use std::collections::BTreeMap;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::streams::ClockId;
use crate::rules::program::{Program, RuleId};

/// Parts of the interval that are counted apart, at most.
const PARTS: i64 = 64;

/// Stops by partition and part of the interval.
type Parts = BTreeMap<(ClockId, i64), u32>;

/// What is known about one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Meter {
    /// Holds and blocks. Of one partition at most those of the interval before its newest.
    parts: Parts,
    /// When it tripped, by the partition's clock.
    tripped_ms: Option<i64>,
}

/// The breakers of all rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Breakers {
    /// Most holds and blocks, and the interval in ms.
    terms: Option<(u32, i64)>,
    /// Of the rules that stopped anything.
    meters: BTreeMap<RuleId, Meter>,
}

impl Breakers {
    /// Breakers that have counted nothing.
    pub(super) fn new(program: &Program) -> Self {
        Self { terms: program.policy.breaker, meters: BTreeMap::new() }
    }

    /// Whether the rule has tripped.
    pub(super) fn is_tripped(&self, rule: RuleId) -> bool {
        self.meters.get(&rule).is_some_and(|meter| meter.tripped_ms.is_some())
    }

    /// Counts a hold or block that the rule is about to make, at a time of its partition's clock; says whether it is the
    /// one too many. It never is again once the rule has tripped.
    pub(super) fn count(&mut self, rule: RuleId, (clock, at_ms): (ClockId, i64)) -> bool {
        let Some((most, per_ms)) = self.terms else { return false };
        let meter = self.meters.entry(rule).or_default();
        if meter.tripped_ms.is_some() {
            return false;
        }
        let part_ms = per_ms.saturating_add(PARTS - 1).div_euclid(PARTS).max(1);
        let part = at_ms.div_euclid(part_ms);
        let first = at_ms.saturating_sub(per_ms).saturating_add(1).div_euclid(part_ms);
        meter.parts.retain(|(of, known), _| *of != clock || *known >= first);
        let here = meter.parts.entry((clock, part)).or_default();
        *here = here.saturating_add(1);
        let within = meter.parts.iter().filter(|((_, known), _)| (first..=part).contains(known));
        let counted = within.fold(0_u32, |sum, (_, count)| sum.saturating_add(*count));
        if counted > most {
            meter.tripped_ms = Some(at_ms);
            meter.parts.clear();
        }
        counted > most
    }

    /// Rules that have tripped.
    pub(super) fn tripped(&self) -> usize {
        self.meters.values().filter(|meter| meter.tripped_ms.is_some()).count()
    }

    /// Writes everything.
    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.meters.len());
        for (rule, meter) in &self.meters {
            code.var(u64::from(rule.0));
            code.flag(meter.tripped_ms.is_some());
            code.int(meter.tripped_ms.unwrap_or(0));
            code.count(meter.parts.len());
            for ((clock, part), count) in &meter.parts {
                code.var(u64::from(clock.0));
                code.int(*part);
                code.var(u64::from(*count));
            }
        }
    }

    /// Reads what was saved; it counts for the same rule set only. Its clocks are numbered below `n_clocks`.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(super) fn load(n_clocks: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "breaker of a rule";
        let mut meters = BTreeMap::new();
        for _ in 0..code.count(4, WHAT)? {
            let rule = u16::try_from(code.var(WHAT)?).map_err(|_| code.damaged(WHAT))?;
            let (tripped, tripped_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
            let mut parts = Parts::new();
            for _ in 0..code.count(3, WHAT)? {
                let clock = ClockId(code.narrow(WHAT)?);
                code.demand((clock.0 as usize) < n_clocks, "clock of a breaker")?;
                let part = code.int(WHAT)?;
                parts.insert((clock, part), code.narrow(WHAT)?);
            }
            let meter = Meter { parts, tripped_ms: tripped.then_some(tripped_ms) };
            code.demand(meters.insert(RuleId(rule), meter).is_none(), WHAT)?;
        }
        Ok(Self { terms: None, meters })
    }

    /// These counts in a program whose rules they are.
    pub(super) fn of(self, program: &Program) -> Self {
        let n_rules = program.rules.len();
        let meters = self.meters.into_iter().filter(|(rule, _)| usize::from(rule.0) < n_rules);
        Self { terms: program.policy.breaker, meters: meters.collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: RuleId = RuleId(3);
    const CLOCK: ClockId = ClockId(0);
    const HOUR_MS: i64 = 3_600_000;

    fn breakers(most: u32, per_ms: i64) -> Breakers {
        Breakers { terms: Some((most, per_ms)), meters: BTreeMap::new() }
    }

    #[test]
    fn the_one_after_the_most_trips_and_it_stays_tripped() {
        let mut breakers = breakers(3, HOUR_MS);
        let trips: Vec<bool> = (0..6).map(|n| breakers.count(RULE, (CLOCK, n * 60_000))).collect();
        assert_eq!(trips, [false, false, false, true, false, false]);
        assert!(breakers.is_tripped(RULE) && !breakers.is_tripped(RuleId(4)));
        assert!(!breakers.count(RULE, (CLOCK, 100 * HOUR_MS)));
        assert!(breakers.is_tripped(RULE));
    }

    #[test]
    fn what_is_older_than_the_interval_does_not_count() {
        let mut breakers = breakers(3, HOUR_MS);
        // Four an hour and a bit: never more than three within an hour and a sixty-fourth of it.
        let trips = (0..200).any(|n| breakers.count(RULE, (CLOCK, n * 1_260_000)));
        assert!(!trips);
        // Fifteen minutes apart there are five within it.
        let mut later = (200..210).map(|n| 200 * 1_260_000 + (n - 200) * 900_000);
        assert!(later.any(|at_ms| breakers.count(RULE, (CLOCK, at_ms))));
    }

    #[test]
    fn intervals_of_a_few_milliseconds_are_exact() {
        // (interval, distance): two at most; the third of three at this distance is one too many or is not.
        for (per_ms, apart_ms, trips) in [
            (10, 5, false),
            (10, 4, true),
            (1, 1, false),
            (1, 0, true),
            (64, 32, false),
            (64, 31, true),
        ] {
            let mut breakers = breakers(2, per_ms);
            let found: Vec<bool> =
                (0..3).map(|n| breakers.count(RULE, (CLOCK, 1_000 + n * apart_ms))).collect();
            assert_eq!(found, [false, false, trips], "{apart_ms} ms apart, 2 per {per_ms}ms");
        }
    }

    #[test]
    fn an_interval_that_sixty_four_does_not_divide_is_counted_whole() {
        // 127 ms in 64 parts of 2 ms: the first is 126 ms back, within the interval.
        let mut breakers = breakers(1, 127);
        assert!(!breakers.count(RULE, (CLOCK, 1_000)));
        assert!(breakers.count(RULE, (CLOCK, 1_126)));
    }

    #[test]
    fn a_partition_that_lags_by_days_is_counted_by_its_own_clock() {
        let (ahead, behind) = (ClockId(0), ClockId(1));
        let mut breakers = breakers(3, HOUR_MS);
        assert!(!breakers.count(RULE, (ahead, 100 * HOUR_MS)));
        // One an hour and a bit: what it stopped within a day is not within an hour.
        assert!(!(0..20).any(|n| breakers.count(RULE, (behind, n * (HOUR_MS + 60_000)))));
        // The other one's hour has only one in it, whatever came in between.
        assert!(!breakers.count(RULE, (ahead, 100 * HOUR_MS + 1)));
        let trips: Vec<bool> =
            (0..4).map(|n| breakers.count(RULE, (behind, 50 * HOUR_MS + n))).collect();
        assert_eq!(trips, [false, false, false, true]);
    }

    #[test]
    fn what_two_partitions_stop_in_one_hour_is_added() {
        let mut breakers = breakers(3, HOUR_MS);
        let stops = [(0, 0), (1, 60_000), (0, 120_000), (1, 90_000)];
        let trips = stops.map(|(clock, at_ms)| breakers.count(RULE, (ClockId(clock), at_ms)));
        // The last one stands at 90 s: of the three before it two lie in the hour that ends there.
        assert_eq!(trips, [false, false, false, false]);
        assert!(breakers.count(RULE, (ClockId(1), 130_000)));
    }

    #[test]
    fn without_terms_nothing_trips() {
        let mut breakers = Breakers::default();
        assert!(!(0..10_000).any(|n| breakers.count(RULE, (CLOCK, n))));
    }

    #[test]
    fn a_saved_breaker_goes_on_where_it_stood() {
        let mut breakers = breakers(5, HOUR_MS);
        for n in 0..5 {
            breakers.count(RULE, (CLOCK, n * 60_000));
            breakers.count(RuleId(1), (CLOCK, 0));
        }
        breakers.count(RuleId(1), (CLOCK, 0));
        let mut bytes = Vec::new();
        breakers.save(&mut Encoder::new(&mut bytes));
        assert!(Breakers::load(0, &mut Decoder::new(&bytes)).is_err(), "a clock that is not there");
        let loaded = Breakers::load(1, &mut Decoder::new(&bytes)).unwrap();
        let mut loaded = Breakers { terms: breakers.terms, ..loaded };
        assert_eq!(loaded, breakers);
        assert!(loaded.is_tripped(RuleId(1)));
        assert!(loaded.count(RULE, (CLOCK, 300_000)));
    }
}
