//! Snoozes that people set while the stream runs: rules that do not act on the events of one key, for a time. Those of the
//! rule files are part of the program; these are part of the state.
//!
//! INVARIANT: they are known by the rule's id and the key's name, so they outlive the rule set; one whose rule or key is gone
//! says nothing until it ends.
//!
//! # Cost
//! Nothing while there is none; else O(log n) per rule that would hit, and the snoozes of that rule.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::decision::command::SnoozeKey;

/// Most snoozes that are set at one time.
///
/// WHY: they are saved at once. Who termss more than that wants another rule.
pub const MOST_SNOOZES: usize = 4_096;

/// The longest that a command may terms a rule: 180 days. What must be silent for longer belongs into a rule file, where
/// a review sees it.
pub const LONGEST_SNOOZE_MS: i64 = 180 * 86_400_000;

/// Until when, who answers for it, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnoozeTerms {
    /// Its end in ms of event time, exclusive.
    pub until_ms: i64,
    /// Who set it.
    pub owner: String,
    /// Why.
    pub reason: String,
}

/// All snoozes that were set by commands and have not ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnoozeBook {
    set: BTreeMap<SnoozeKey, SnoozeTerms>,
    bytes: usize,
}

impl SnoozeBook {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.set.len()
    }

    /// Those of a rule.
    pub fn of<'b>(&'b self, rule: &str) -> impl Iterator<Item = (&'b SnoozeKey, &'b SnoozeTerms)> {
        let (key, value) = (String::new(), String::new());
        let first = SnoozeKey { rule: rule.to_owned(), key, value };
        let rule = first.rule.clone();
        let from = (Bound::Included(first), Bound::Unbounded);
        self.set.range(from).take_while(move |(about, _)| about.rule == rule)
    }

    /// Sets one; the last word about a key holds. Says whether there was room.
    pub fn set(&mut self, about: SnoozeKey, terms: SnoozeTerms) -> bool {
        self.end(&about);
        if self.set.len() >= MOST_SNOOZES {
            return false;
        }
        self.bytes += bytes(&about, &terms);
        self.set.insert(about, terms);
        true
    }

    /// Takes one away and says until when it would have held.
    pub fn end(&mut self, about: &SnoozeKey) -> Option<i64> {
        let (about, terms) = self.set.remove_entry(about)?;
        self.bytes = self.bytes.saturating_sub(bytes(&about, &terms));
        Some(terms.until_ms)
    }

    /// Forgets those that ended at or before an instant.
    ///
    /// # Cost
    /// O(n), of which there are few.
    pub fn expire(&mut self, horizon_ms: i64) {
        if self.set.is_empty() {
            return;
        }
        let ended = |_: &SnoozeKey, terms: &mut SnoozeTerms| terms.until_ms <= horizon_ms;
        for (about, terms) in self.set.extract_if(.., ended) {
            self.bytes = self.bytes.saturating_sub(bytes(&about, &terms));
        }
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes all of them.
    pub fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.set.len());
        for (SnoozeKey { rule, key, value }, SnoozeTerms { until_ms, owner, reason }) in &self.set {
            for text in [rule, key, value, owner, reason] {
                code.text(text);
            }
            code.int(*until_ms);
        }
    }

    /// Reads what was saved.
    ///
    /// # Errors
    /// Where it is damaged, or one comes twice.
    pub fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "snooze";
        let mut book = Self::default();
        for _ in 0..code.count(6, WHAT)? {
            let mut text = || code.text(WHAT).map(str::to_owned);
            let (rule, key, value) = (text()?, text()?, text()?);
            let (owner, reason) = (text()?, text()?);
            let (about, until_ms) = (SnoozeKey { rule, key, value }, code.int(WHAT)?);
            code.demand(!book.set.contains_key(&about), "a snooze comes twice")?;
            let room = book.set(about, SnoozeTerms { until_ms, owner, reason });
            code.demand(room, "too many snoozes")?;
        }
        Ok(book)
    }
}

fn bytes(about: &SnoozeKey, terms: &SnoozeTerms) -> usize {
    let texts = [&about.rule, &about.key, &about.value, &terms.owner, &terms.reason];
    texts.iter().map(|text| text.len()).sum::<usize>() + 256
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(rule: &str, value: &str) -> SnoozeKey {
        let (rule, key) = (rule.to_owned(), "card".to_owned());
        SnoozeKey { rule, key, value: value.to_owned() }
    }

    fn terms(until_ms: i64) -> SnoozeTerms {
        SnoozeTerms { until_ms, owner: "ann".to_owned(), reason: "travels".to_owned() }
    }

    #[test]
    fn a_rule_has_its_own_snoozes_until_they_end() {
        let mut book = SnoozeBook::default();
        for (rule, value, until_ms) in [("R-1", "b", 30), ("R-1", "a", 10), ("R-10", "c", 20)] {
            assert!(book.set(about(rule, value), terms(until_ms)));
        }
        let of = |book: &SnoozeBook, rule: &str| -> Vec<(String, i64)> {
            book.of(rule).map(|(about, it)| (about.value.clone(), it.until_ms)).collect()
        };
        assert_eq!(of(&book, "R-1"), [("a".to_owned(), 10), ("b".to_owned(), 30)]);
        assert_eq!(of(&book, "R-10"), [("c".to_owned(), 20)]);
        book.set(about("R-1", "a"), terms(40));
        book.expire(30);
        assert_eq!((of(&book, "R-1"), book.len()), (vec![("a".to_owned(), 40)], 1));
        assert_eq!(book.end(&about("R-1", "a")), Some(40));
        assert_eq!(book.end(&about("R-1", "a")), None);
        assert_eq!((book.is_empty(), book.bytes()), (true, 0));
    }

    #[test]
    fn what_is_saved_reads_back_and_there_is_a_bound() {
        let mut book = SnoozeBook::default();
        for n in 0..MOST_SNOOZES {
            assert!(book.set(about("R-1", &n.to_string()), terms(1)));
        }
        assert!(!book.set(about("R-1", "one more"), terms(1)));
        assert!(book.set(about("R-1", "7"), terms(2)), "one that is there may change");
        let mut bytes = Vec::new();
        book.save(&mut Encoder::new(&mut bytes));
        assert_eq!(SnoozeBook::load(&mut Decoder::new(&bytes)).unwrap(), book);
    }
}
