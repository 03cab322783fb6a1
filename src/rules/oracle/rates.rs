//! Exchange rates, by walking every line of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::base::Currency;
use crate::rules::oracle::datum::ratio;
use crate::rules::oracle::packed;

/// The lines of a table: instant, currency, and a rate as a fraction.
#[derive(Clone, Debug)]
pub(super) struct Table {
    lines: Vec<(i64, Currency, (i128, i128))>,
    expires_ms: i64,
    base: Currency,
}

impl Table {
    pub(super) fn read(text: &str, base: Currency, zone: &TimeZone, expires_ms: i64) -> Self {
        let per_base = text.starts_with("date,currency,per_base");
        let lines = text.lines().skip(1).filter_map(|line| {
            let [date, code, rate] = line.split(',').collect::<Vec<_>>().try_into().ok()?;
            let day = date.parse::<Date>().ok()?.to_zoned(zone.clone()).ok()?;
            let (whole, part) = rate.split_once('.').unwrap_or((rate, ""));
            let value: i128 = format!("{whole}{part}").parse().ok()?;
            let unit = 10_i128.pow(u32::try_from(part.len()).ok()?);
            let fraction = if per_base { (unit, value) } else { (value, unit) };
            Some((day.timestamp().as_millisecond(), packed(code), fraction))
        });
        Self { lines: lines.collect(), expires_ms, base }
    }

    /// An amount in all currencies in which it can be told.
    pub(super) fn everywhere(
        &self,
        minor: i64,
        from: Currency,
        at_ms: i64,
    ) -> Rc<BTreeMap<Currency, i128>> {
        let mut others: BTreeSet<Currency> = self.lines.iter().map(|(_, code, _)| *code).collect();
        others.insert(self.base);
        others.remove(&from);
        let told = others.into_iter().filter_map(|to| {
            let ((sold, by), (bought, of)) = (self.worth(from, at_ms)?, self.worth(to, at_ms)?);
            let digits = |code: Currency| 10_i128.pow(u32::from(code.minor_digits()));
            let above = i128::from(minor) * digits(to) * sold * of;
            Some((to, ratio(above, digits(from) * by * bought)? * 1_000_000))
        });
        Rc::new(told.collect())
    }

    /// What a unit of a currency is worth in the base currency.
    fn worth(&self, code: Currency, at_ms: i64) -> Option<(i128, i128)> {
        if code == self.base {
            return Some((1, 1));
        }
        let known = self.lines.iter().filter(|(from, of, _)| *of == code && *from <= at_ms);
        let (from, _, rate) = known.max_by_key(|(from, ..)| *from)?;
        (at_ms - from < self.expires_ms).then_some(*rate)
    }
}
