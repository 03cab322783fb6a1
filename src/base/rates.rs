//! Exchange rates by day, and exact conversion of amounts.
//!
//! A rate counts from an instant until the next one of its currency, or until it expires. Amounts are whole minor units;
//! a conversion is worked out as a fraction and rounded once, halves away from zero, to minor units of the wanted
//! currency. Where there is no rate there is no amount: nothing is guessed.

use std::collections::BTreeMap;

use crate::base::Currency;

/// What one unit of a currency is worth in the base currency, as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// From when on it counts, ms.
    pub from_ms: i64,
    /// Above the line; positive.
    pub base_units: u64,
    /// Below the line; positive.
    pub units: u64,
}

/// A table of rates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rates {
    base: Currency,
    /// How long a rate counts that no other follows, ms.
    expires_ms: i64,
    /// Ascending by time.
    by_currency: BTreeMap<Currency, Vec<Rate>>,
    /// Digest of the file, as decisions show it.
    version: String,
}

impl Rates {
    /// An empty table.
    pub fn new(base: Currency, expires_ms: i64, version: String) -> Self {
        Self { base, expires_ms, by_currency: BTreeMap::new(), version }
    }

    /// Which table it is.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Takes a rate in; says whether its currency had none from this instant on.
    pub fn add(&mut self, currency: Currency, rate: Rate) -> bool {
        let rates = self.by_currency.entry(currency).or_default();
        let at = rates.partition_point(|held| held.from_ms < rate.from_ms);
        if rates.get(at).is_some_and(|held| held.from_ms == rate.from_ms) {
            return false;
        }
        rates.insert(at, rate);
        true
    }

    /// An amount in minor units of one currency in those of another, at an instant.
    ///
    /// `None` where a rate is not known then, or the numbers leave 128 bits.
    ///
    /// # Cost
    /// Two searches among the days, and one division of 128 bits.
    pub fn convert(&self, minor: i64, from: Currency, to: Currency, at_ms: i64) -> Option<i64> {
        if from == to {
            return Some(minor);
        }
        let (sold, bought) = (self.at(from, at_ms)?, self.at(to, at_ms)?);
        let shift = |currency: Currency| 10_i128.checked_pow(u32::from(currency.minor_digits()));
        let (above, below) = reduced(
            [shift(to)?, sold.base_units.into(), bought.units.into()],
            [shift(from)?, sold.units.into(), bought.base_units.into()],
        )?;
        let dividend = i128::from(minor).checked_mul(above)?;
        let (quotient, rest) = (dividend / below, (dividend % below).abs());
        let away = if rest >= below - rest { dividend.signum() } else { 0 };
        i64::try_from(quotient + away).ok()
    }

    /// Why an amount cannot be converted at an instant: of the first of the two currencies that has no rate then.
    pub fn lacks(&self, from: Currency, to: Currency, at_ms: i64) -> Option<NoRate> {
        let currency = [from, to].into_iter().find(|one| self.at(*one, at_ms).is_none())?;
        let rates = self.by_currency.get(&currency).map_or(&[][..], Vec::as_slice);
        let after = rates.partition_point(|rate| rate.from_ms <= at_ms);
        let last = after.checked_sub(1).and_then(|last| rates.get(last));
        Some(match (last, rates.first()) {
            (Some(last), _) => {
                NoRate::Expired { currency, from_ms: last.from_ms, expires_ms: self.expires_ms }
            }
            (None, Some(first)) => NoRate::NotYet { currency, from_ms: first.from_ms },
            (None, None) => NoRate::Unknown(currency),
        })
    }

    /// What one unit of a currency is worth.
    fn at(&self, currency: Currency, at_ms: i64) -> Option<Rate> {
        if currency == self.base {
            return Some(Rate { from_ms: i64::MIN, base_units: 1, units: 1 });
        }
        let rates = self.by_currency.get(&currency)?;
        let after = rates.partition_point(|rate| rate.from_ms <= at_ms);
        let rate = rates.get(after.checked_sub(1)?)?;
        (at_ms < rate.from_ms.saturating_add(self.expires_ms)).then_some(*rate)
    }
}

/// Why there is no rate of a currency at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRate {
    /// The table does not have the currency.
    Unknown(Currency),
    /// Its first rate is younger.
    NotYet {
        /// Which currency.
        currency: Currency,
        /// The first instant of that rate, ms.
        from_ms: i64,
    },
    /// Its last rate before is too old.
    Expired {
        /// Which currency.
        currency: Currency,
        /// The first instant of that rate, ms.
        from_ms: i64,
        /// For how long a rate holds that no other follows, ms.
        expires_ms: i64,
    },
}

/// Products above and below a line without common factors of their parts.
fn reduced(mut above: [i128; 3], mut below: [i128; 3]) -> Option<(i128, i128)> {
    for high in &mut above {
        for low in &mut below {
            let common = common_divisor(*high, *low);
            *high /= common;
            *low /= common;
        }
    }
    let product = |parts: [i128; 3]| parts[0].checked_mul(parts[1])?.checked_mul(parts[2]);
    Some((product(above)?, product(below)?))
}

/// Euclid's algorithm; both are positive.
fn common_divisor(mut a: i128, mut b: i128) -> i128 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn currency(code: &str) -> Currency {
        Currency::parse(code).unwrap()
    }

    fn table() -> Rates {
        let mut rates = Rates::new(currency("EUR"), 7 * DAY_MS, String::new());
        // 1 USD = 0.9234 EUR, later 0.5; 1 EUR = 160.25 JPY; 1 KWD = 3 EUR.
        let rate = |from_ms, base_units, units| Rate { from_ms, base_units, units };
        assert!(rates.add(currency("USD"), rate(20 * DAY_MS, 1, 2)));
        assert!(rates.add(currency("USD"), rate(10 * DAY_MS, 9_234, 10_000)));
        assert!(!rates.add(currency("USD"), rate(10 * DAY_MS, 1, 1)));
        assert!(rates.add(currency("JPY"), rate(0, 100, 16_025)));
        assert!(rates.add(currency("KWD"), rate(0, 3, 1)));
        rates
    }

    #[track_caller]
    fn check((minor, from): (i64, &str), to: &str, at_ms: i64, expected: Option<i64>) {
        let found = table().convert(minor, currency(from), currency(to), at_ms);
        assert_eq!(found, expected, "{minor} {from} in {to}");
    }

    #[test]
    fn conversions_are_those_of_a_hand_calculation() {
        // 100.00 USD * 0.9234 = 92.34 EUR; 0.55 USD = 0.50787 EUR; 0.50 EUR / 0.9234 = 0.54147 USD.
        check((10_000, "USD"), "EUR", 10 * DAY_MS, Some(9_234));
        check((55, "USD"), "EUR", 10 * DAY_MS, Some(51));
        check((50, "EUR"), "USD", 10 * DAY_MS, Some(54));
        // 16,025 JPY = 100 EUR; 1,000 JPY = 6.2402 EUR; 1.00 EUR = 160.25 JPY; 1.234 KWD = 3.702 EUR.
        check((16_025, "JPY"), "EUR", DAY_MS, Some(10_000));
        check((1_000, "JPY"), "EUR", DAY_MS, Some(624));
        check((100, "EUR"), "JPY", DAY_MS, Some(160));
        check((1_234, "KWD"), "EUR", DAY_MS, Some(370));
        // 10,000 JPY = 62.402 EUR = 20.801 KWD.
        check((10_000, "JPY"), "KWD", DAY_MS, Some(20_801));
    }

    #[test]
    fn halves_go_away_from_zero() {
        // From day 20 on 1 USD = 0.50 EUR: 0.01, 0.03 and -0.03 USD are 0.005, 0.015 and -0.015 EUR.
        check((1, "USD"), "EUR", 20 * DAY_MS, Some(1));
        check((3, "USD"), "EUR", 20 * DAY_MS, Some(2));
        check((-3, "USD"), "EUR", 20 * DAY_MS, Some(-2));
        check((-1, "USD"), "EUR", 20 * DAY_MS, Some(-1));
    }

    #[test]
    fn a_rate_counts_from_its_day_until_the_next_or_until_it_expires() {
        check((100, "USD"), "EUR", 10 * DAY_MS - 1, None);
        check((100, "USD"), "EUR", 17 * DAY_MS - 1, Some(92));
        check((100, "USD"), "EUR", 17 * DAY_MS, None);
        check((100, "USD"), "EUR", 20 * DAY_MS - 1, None);
        check((100, "USD"), "EUR", 20 * DAY_MS, Some(50));
        check((100, "GBP"), "EUR", 20 * DAY_MS, None);
        check((100, "EUR"), "GBP", 20 * DAY_MS, None);
        check((100, "GBP"), "GBP", 0, Some(100));
    }

    #[test]
    fn why_an_amount_has_no_rate_is_told_of_the_first_currency_that_lacks_one() {
        let lacks = |from, to, at_ms| table().lacks(currency(from), currency(to), at_ms);
        let usd = currency("USD");
        let not_yet = NoRate::NotYet { currency: usd, from_ms: 10 * DAY_MS };
        assert_eq!(lacks("USD", "EUR", 10 * DAY_MS - 1), Some(not_yet));
        assert_eq!(lacks("USD", "EUR", 10 * DAY_MS), None);
        let expired =
            NoRate::Expired { currency: usd, from_ms: 10 * DAY_MS, expires_ms: 7 * DAY_MS };
        assert_eq!(lacks("EUR", "USD", 17 * DAY_MS), Some(expired));
        assert_eq!(lacks("GBP", "USD", 17 * DAY_MS), Some(NoRate::Unknown(currency("GBP"))));
        assert_eq!(lacks("EUR", "EUR", 0), None);
    }

    #[test]
    fn what_leaves_the_range_is_no_amount() {
        check((i64::MAX, "KWD"), "JPY", DAY_MS, Some(4_434_136_106_717_933_469));
        check((i64::MAX, "KWD"), "EUR", DAY_MS, Some(2_767_011_611_056_432_742));
        check((i64::MAX, "EUR"), "JPY", DAY_MS, None);
    }
}
