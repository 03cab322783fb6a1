//! The breaker: a rule that stops more payments per interval than the policy allows only watches from then on.
//!
//! It counts on the partition's clock, so a wrong date in one event cannot reset or trip it, in sixty-fourths of the
//! interval: what is counted reaches back over the interval and at most one part of it more. What trips stays tripped
//! until another rule set is active. Each instance counts what it decides itself.
//!
//! # Cost
//! At most 65 counters per rule; one look-up per hold or block.

use std::collections::BTreeMap;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::rules::program::{Program, RuleId};

/// Parts of the interval that are counted apart.
const PARTS: i64 = 64;

/// What is known about one rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Meter {
    /// Holds and blocks by part of the interval.
    parts: BTreeMap<i64, u32>,
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

    /// Counts a hold or block that the rule is about to make; says whether it is the one too many. It never is again
    /// once the rule has tripped.
    pub(super) fn count(&mut self, rule: RuleId, clock_ms: i64) -> bool {
        let Some((most, per_ms)) = self.terms else { return false };
        let meter = self.meters.entry(rule).or_default();
        if meter.tripped_ms.is_some() {
            return false;
        }
        let part = clock_ms.div_euclid((per_ms / PARTS).max(1));
        let newest = meter.parts.last_key_value().map_or(part, |(newest, _)| part.max(*newest));
        // One part more than the interval: the oldest is only partly within it.
        meter.parts.retain(|known, _| *known >= newest - PARTS);
        if part < newest - PARTS {
            return false;
        }
        let here = meter.parts.entry(part).or_default();
        *here = here.saturating_add(1);
        let counted = meter.parts.values().fold(0_u32, |sum, count| sum.saturating_add(*count));
        if counted > most {
            meter.tripped_ms = Some(clock_ms);
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
            for (part, count) in &meter.parts {
                code.int(*part);
                code.var(u64::from(*count));
            }
        }
    }

    /// Reads what was saved; it counts for the same rule set only.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(super) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "breaker of a rule";
        let mut meters = BTreeMap::new();
        for _ in 0..code.count(4, WHAT)? {
            let rule = u16::try_from(code.var(WHAT)?).map_err(|_| code.damaged(WHAT))?;
            let (tripped, tripped_ms) = (code.flag(WHAT)?, code.int(WHAT)?);
            let mut parts = BTreeMap::new();
            for _ in 0..code.count(2, WHAT)? {
                let part = code.int(WHAT)?;
                parts.insert(part, code.narrow(WHAT)?);
            }
            code.demand(parts.len() <= usize::try_from(PARTS).unwrap_or(0) + 1, WHAT)?;
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
    const HOUR_MS: i64 = 3_600_000;

    fn breakers(most: u32) -> Breakers {
        Breakers { terms: Some((most, HOUR_MS)), meters: BTreeMap::new() }
    }

    #[test]
    fn the_one_after_the_most_trips_and_it_stays_tripped() {
        let mut breakers = breakers(3);
        let trips: Vec<bool> = (0..6).map(|n| breakers.count(RULE, n * 60_000)).collect();
        assert_eq!(trips, [false, false, false, true, false, false]);
        assert!(breakers.is_tripped(RULE) && !breakers.is_tripped(RuleId(4)));
        assert!(!breakers.count(RULE, 100 * HOUR_MS));
        assert!(breakers.is_tripped(RULE));
    }

    #[test]
    fn what_is_older_than_the_interval_does_not_count() {
        let mut breakers = breakers(3);
        // Four an hour and a bit: never more than three within an hour and a sixty-fourth of it.
        let trips = (0..200).any(|n| breakers.count(RULE, n * 1_260_000));
        assert!(!trips);
        // Fifteen minutes apart there are five within it.
        assert!((200..210).any(|n| breakers.count(RULE, 200 * 1_260_000 + (n - 200) * 900_000)));
    }

    #[test]
    fn without_terms_nothing_trips() {
        let mut breakers = Breakers::default();
        assert!(!(0..10_000).any(|n| breakers.count(RULE, n)));
    }

    #[test]
    fn a_saved_breaker_goes_on_where_it_stood() {
        let mut breakers = breakers(5);
        for n in 0..5 {
            breakers.count(RULE, n * 60_000);
            breakers.count(RuleId(1), 0);
        }
        breakers.count(RuleId(1), 0);
        let mut bytes = Vec::new();
        breakers.save(&mut Encoder::new(&mut bytes));
        let loaded = Breakers::load(&mut Decoder::new(&bytes)).unwrap();
        let mut loaded = Breakers { terms: breakers.terms, ..loaded };
        assert_eq!(loaded, breakers);
        assert!(loaded.is_tripped(RuleId(1)));
        assert!(loaded.count(RULE, 300_000));
    }
}
