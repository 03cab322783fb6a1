//! How much money the events of a rule moved, by day: of what was paid and of what was lost, a fraud rate by value.
//!
//! # Cost
//! Of a rule that hits: a look-up among its days, [`AMOUNT_DAYS`] at most. Nothing of the others.

use std::collections::BTreeMap;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::judge::Judgement;
use crate::engine::port::Sink;
use crate::engine::turn::{Standing, Turn};

/// The days over which amounts are added up: the last quarter, as the fraud rates of payment services are reckoned
/// (Delegated Regulation (EU) 2018/389, Article 19).
pub const AMOUNT_DAYS: i32 = 90;

const DAY_MS: i64 = 86_400_000;

/// A sum of amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// Minor units of the policy's base currency; amounts below zero add nothing.
    pub minor: u64,
    /// Events left out: without an amount, or in a currency without a rate.
    pub left_out: u64,
}

/// Amounts of the newest days of event time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    days: BTreeMap<i32, Amount>,
}

impl Amounts {
    /// Adds an event of a time in ms; what lies a quarter behind the newest day is forgotten.
    pub(super) fn add(&mut self, time_ms: i64, minor: Option<u64>) {
        let day = day_of(time_ms);
        let newest = self.days.last_key_value().map_or(day, |(newest, _)| day.max(*newest));
        if day <= newest.saturating_sub(AMOUNT_DAYS) {
            return;
        }
        let sum = self.days.entry(day).or_default();
        match minor {
            Some(minor) => sum.minor = sum.minor.saturating_add(minor),
            None => sum.left_out = sum.left_out.saturating_add(1),
        }
        while self
            .days
            .first_key_value()
            .is_some_and(|(day, _)| *day <= newest.saturating_sub(AMOUNT_DAYS))
        {
            self.days.pop_first();
        }
    }

    /// The sum of the day of a time in ms and the [`AMOUNT_DAYS`] - 1 before it.
    pub fn until(&self, time_ms: i64) -> Amount {
        let today = day_of(time_ms);
        let mut all = Amount::default();
        for (_, sum) in self.days.range(today.saturating_sub(AMOUNT_DAYS - 1)..=today) {
            all.minor = all.minor.saturating_add(sum.minor);
            all.left_out = all.left_out.saturating_add(sum.left_out);
        }
        all
    }

    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.days.len());
        for (day, sum) in &self.days {
            code.int(i64::from(*day));
            code.var(sum.minor);
            code.var(sum.left_out);
        }
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(super) fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "amounts of a rule";
        let mut days = BTreeMap::new();
        for _ in 0..code.count(3, WHAT)? {
            let day = i32::try_from(code.int(WHAT)?).map_err(|_| code.damaged(WHAT))?;
            let is_next = days.last_key_value().is_none_or(|(before, _)| *before < day);
            code.demand(is_next, WHAT)?;
            days.insert(day, Amount { minor: code.var(WHAT)?, left_out: code.var(WHAT)? });
        }
        Ok(Self { days })
    }
}

/// The day of event time, in UTC, from 1970.
fn day_of(time_ms: i64) -> i32 {
    let day = time_ms.div_euclid(DAY_MS);
    i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX })
}

impl<S: Sink> Turn<'_, S> {
    /// Adds the amount of this event to those of the rules that it hit, acting or watching.
    pub(super) fn add_amounts(&mut self, standing: &Standing, judgement: &Judgement<'_>) {
        let hits = || judgement.hits.iter().chain(&judgement.shadow);
        if hits().next().is_none() {
            return;
        }
        let time_ms = standing.now_ms(self.decoded);
        let minor = self.base_minor(time_ms);
        for hit in hits() {
            let rules = &mut self.remembered.counters.rules;
            if let Some(counters) = rules.get_mut(usize::from(hit.body.rule.0)) {
                counters.amounts.add(time_ms, minor);
            }
        }
    }

    /// The event's amount in minor units of the base currency.
    fn base_minor(&self, time_ms: i64) -> Option<u64> {
        let row = self.decoded.row;
        let shape = self.setup.shapes.get(usize::from(row.event))?;
        let (minor, currency) = shape.amount_of(row)?;
        let program = &self.setup.program;
        let base = program.policy.base_currency;
        let minor = if currency == base {
            minor
        } else {
            program.rates.as_ref()?.convert(minor, currency, base, time_ms)?
        };
        Some(u64::try_from(minor).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_is_ninety_days_with_today() {
        let day = |n: i64| n * DAY_MS + 5;
        let mut amounts = Amounts::default();
        for n in 0..200 {
            amounts.add(day(n), Some(1));
            // By hand: all days until there are ninety.
            let expected = u64::try_from(n + 1).unwrap().min(90);
            assert_eq!(amounts.until(day(n)).minor, expected, "day {n}");
        }
        assert_eq!(amounts.days.len(), 90);
        // What comes late counts on its day, or not at all where that is forgotten.
        amounts.add(day(110), Some(1_000));
        amounts.add(day(109), Some(1_000));
        amounts.add(day(199), None);
        assert_eq!(amounts.until(day(199)), Amount { minor: 1_090, left_out: 1 });
        assert_eq!(amounts.until(day(200)), Amount { minor: 89, left_out: 1 });
    }
}
