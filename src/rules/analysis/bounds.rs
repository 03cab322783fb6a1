//! Numbers that lie between others: intervals and the order of terms, without arithmetic.

use core::cmp::Ordering;

use crate::base::Value;
use crate::rules::eval::number::compare;

/// One end of an interval; `strict` excludes the value itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct End {
    pub(super) value: Value,
    pub(super) strict: bool,
}

/// What a term lies between.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Interval {
    pub(super) low: Option<End>,
    pub(super) high: Option<End>,
    /// The values are whole, so that more than 5 is 6 at least.
    pub(super) whole: bool,
}

impl Interval {
    /// Raises the lower end.
    pub(super) fn at_least(&mut self, end: End) {
        let end = self.tightened(end, 1);
        if self.low.is_none_or(|held| is_tighter(end, held, Ordering::Greater)) {
            self.low = Some(end);
        }
    }

    /// Lowers the upper end.
    pub(super) fn at_most(&mut self, end: End) {
        let end = self.tightened(end, -1);
        if self.high.is_none_or(|held| is_tighter(end, held, Ordering::Less)) {
            self.high = Some(end);
        }
    }

    /// Whether nothing lies in it.
    pub(super) fn is_empty(&self) -> bool {
        let (Some(low), Some(high)) = (self.low, self.high) else { return false };
        match compare(low.value, high.value) {
            Some(Ordering::Greater) => true,
            Some(Ordering::Equal) => low.strict || high.strict,
            _ => false,
        }
    }

    /// Its only value, when it has but one.
    pub(super) fn only(&self) -> Option<Value> {
        let (low, high) = (self.low?, self.high?);
        let one = compare(low.value, high.value) == Some(Ordering::Equal);
        (one && !low.strict && !high.strict).then_some(low.value)
    }

    /// A whole value beyond a whole end is the next one.
    fn tightened(&self, end: End, step: i8) -> End {
        if !(self.whole && end.strict) {
            return end;
        }
        let value = match end.value {
            Value::Int(int) => int.checked_add(i64::from(step)).map(Value::Int),
            Value::Money(micro) => micro.checked_add(i128::from(step)).map(Value::Money),
            _ => None,
        };
        value.map_or(end, |value| End { value, strict: false })
    }
}

fn is_tighter(end: End, held: End, towards: Ordering) -> bool {
    match compare(end.value, held.value) {
        Some(Ordering::Equal) => end.strict && !held.strict,
        Some(ordering) => ordering == towards,
        None => false,
    }
}

/// Terms by index with what they lie between and which is at most which.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) terms: Vec<Interval>,
    /// `at_most[a][b]`: a is at most b, and whether less.
    at_most: Vec<Vec<Option<bool>>>,
}

impl Order {
    /// Terms of which only their intervals are known.
    pub(super) fn new(terms: Vec<Interval>) -> Self {
        let at_most = vec![vec![None; terms.len()]; terms.len()];
        Self { terms, at_most }
    }

    /// `a` is at most, or less than, `b`.
    pub(super) fn add(&mut self, a: usize, b: usize, strict: bool) {
        let held = &mut self.at_most[a][b];
        *held = Some(strict || *held == Some(true));
    }

    /// Draws all conclusions; says whether they contradict each other.
    ///
    /// # Cost
    /// The terms cubed.
    pub(super) fn contradicts(&mut self) -> bool {
        let n = self.terms.len();
        for via in 0..n {
            for a in 0..n {
                for b in 0..n {
                    if let (Some(first), Some(second)) =
                        (self.at_most[a][via], self.at_most[via][b])
                    {
                        self.add(a, b, first || second);
                    }
                }
            }
        }
        for a in 0..n {
            for b in 0..n {
                let Some(strict) = self.at_most[a][b] else { continue };
                if a == b {
                    if strict {
                        return true;
                    }
                    continue;
                }
                if let Some(high) = self.terms[b].high {
                    self.terms[a].at_most(End { strict: strict || high.strict, ..high });
                }
                if let Some(low) = self.terms[a].low {
                    self.terms[b].at_least(End { strict: strict || low.strict, ..low });
                }
            }
        }
        self.terms.iter().any(Interval::is_empty)
    }

    /// Whether two terms are certainly equal.
    pub(super) fn are_equal(&self, a: usize, b: usize) -> bool {
        let each_other = self.at_most[a][b].is_some() && self.at_most[b][a].is_some();
        let only = |term: usize| self.terms[term].only();
        let same = only(a).zip(only(b)).and_then(|(a, b)| compare(a, b));
        a == b || each_other || same == Some(Ordering::Equal)
    }
}
