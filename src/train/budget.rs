//! What a bound on the place of a score alerts: a budget is a promise about every day, not about the mean of them.

use serde_json::{Value as Json, json};

use crate::backtest::study::day_text;
use crate::base::count::nearest_f64;

/// The bound: one event in 200.
pub const BUDGET_PLACE: f64 = 0.995;

/// A day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BudgetDay {
    /// Days since the epoch.
    pub day: i64,
    /// All its events.
    pub events: u64,
    /// Frauds among them.
    pub frauds: u64,
    /// Events at the bound or above.
    pub alerts: u64,
    /// Frauds among those.
    pub found: u64,
}

impl BudgetDay {
    /// Without events yet.
    pub fn new(day: i64) -> Self {
        Self { day, ..Self::default() }
    }

    /// Counts an event: its place, where it has one, and what turned out.
    pub fn count(&mut self, place: Option<f64>, is_fraud: bool) {
        let is_alerted = place.is_some_and(|place| place >= BUDGET_PLACE);
        self.events += 1;
        self.frauds += u64::from(is_fraud);
        self.alerts += u64::from(is_alerted);
        self.found += u64::from(is_alerted && is_fraud);
    }

    /// The share of events that is alerted.
    pub fn share(&self) -> f64 {
        nearest_f64(self.alerts) / nearest_f64(self.events.max(1))
    }

    /// As a JSON object.
    pub fn json(&self) -> Json {
        let Self { day, events, frauds, alerts, found } = self;
        json!({
            "day": day_text(*day), "events": events, "frauds": frauds, "alerts": alerts,
            "frauds_alerted": found,
        })
    }
}

/// Days together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget {
    /// How many.
    pub days: usize,
    /// Sums over them.
    pub all: BudgetDay,
    /// The least share of events alerted on a day.
    pub least: f64,
    /// The largest.
    pub most: f64,
}

impl Budget {
    /// That of some days; none of none.
    pub fn of<'d>(days: impl Iterator<Item = &'d BudgetDay>) -> Option<Self> {
        let start = Self { days: 0, all: BudgetDay::new(0), least: f64::INFINITY, most: 0.0 };
        let sum = days.fold(start, |sum, day| Self {
            days: sum.days + 1,
            all: BudgetDay {
                day: 0,
                events: sum.all.events + day.events,
                frauds: sum.all.frauds + day.frauds,
                alerts: sum.all.alerts + day.alerts,
                found: sum.all.found + day.found,
            },
            least: sum.least.min(day.share()),
            most: sum.most.max(day.share()),
        });
        (sum.days > 0).then_some(sum)
    }

    /// The share of alerts that are frauds; none without alerts.
    pub fn precision(&self) -> Option<f64> {
        let Self { all, .. } = self;
        (all.alerts > 0).then(|| nearest_f64(all.found) / nearest_f64(all.alerts))
    }

    /// The share of frauds that is alerted; none without frauds.
    pub fn recall(&self) -> Option<f64> {
        let Self { all, .. } = self;
        (all.frauds > 0).then(|| nearest_f64(all.found) / nearest_f64(all.frauds))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand: day 1 alerts one of four, day 2 two of five, one of them fraud; 0.995 itself is above the bound.
    #[test]
    fn days_are_counted_and_summed() {
        let mut days = [BudgetDay::new(1), BudgetDay::new(2)];
        for (place, is_fraud) in
            [(Some(0.995), true), (Some(0.994), true), (None, true), (Some(0.1), false)]
        {
            days[0].count(place, is_fraud);
        }
        for (place, is_fraud) in [
            (Some(1.0), true),
            (Some(0.999), false),
            (Some(0.5), false),
            (None, false),
            (Some(0.0), false),
        ] {
            days[1].count(place, is_fraud);
        }
        let sum = Budget::of(days.iter()).unwrap();
        assert_eq!((sum.days, sum.all.events, sum.all.alerts, sum.all.found), (2, 9, 3, 2));
        assert_eq!((sum.least, sum.most), (0.25, 0.4));
        assert_eq!(sum.precision(), Some(2.0 / 3.0));
        assert_eq!(sum.recall(), Some(2.0 / 4.0));
        assert_eq!(Budget::of([].iter()), None);
    }
}
