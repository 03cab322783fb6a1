//! The answers that were given to notable events, so that a repeated event gets the same answer again.
//!
//! Only answers with something in them are kept: an event without an entry was let pass without remark.

use std::collections::VecDeque;

use hashbrown::HashTable;

use crate::decision::lattice::Outcome;

/// One answer: the outcome, and the second part of the decision record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was decided.
    pub outcome: Outcome,
    /// The JSON object of [`crate::decision::wire::DecisionBody`].
    pub body: Vec<u8>,
}

/// Answers by event id digest, kept for a span of the clock.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    span_ms: i64,
    /// By id digest, which is its own hash.
    answers: HashTable<(u64, Answer)>,
    ends: VecDeque<(i64, u64)>,
    bytes: usize,
}

impl Repeats {
    /// Keeps answers for this span.
    pub fn new(span_ms: i64) -> Self {
        Self { span_ms, ..Self::default() }
    }

    /// The answer that was given.
    pub fn get(&self, id_digest: u64) -> Option<&Answer> {
        self.answers.find(id_digest, |(id, _)| *id == id_digest).map(|(_, answer)| answer)
    }

    /// Keeps an answer; the first one stays.
    pub fn put(&mut self, id_digest: u64, answer: Answer, clock_ms: i64) {
        if self.get(id_digest).is_some() {
            return;
        }
        self.bytes += answer.body.capacity() + 96;
        self.answers.insert_unique(id_digest, (id_digest, answer), |(id, _)| *id);
        self.ends.push_back((clock_ms.saturating_add(self.span_ms), id_digest));
    }

    /// Forgets answers whose span is over.
    pub fn expire(&mut self, clock_ms: i64) {
        while self.ends.front().is_some_and(|(end_ms, _)| *end_ms <= clock_ms) {
            self.drop_oldest();
        }
    }

    /// Forgets the oldest answers until at most `max_bytes` are held.
    pub fn shrink(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes && !self.ends.is_empty() {
            self.drop_oldest();
        }
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn drop_oldest(&mut self) {
        let Some((_, id_digest)) = self.ends.pop_front() else { return };
        if let Ok(held) = self.answers.find_entry(id_digest, |(id, _)| *id == id_digest) {
            let ((_, answer), _) = held.remove();
            self.bytes = self.bytes.saturating_sub(answer.body.capacity() + 96);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Answer { outcome: Outcome::Hold, body: text.as_bytes().to_vec() }
    }

    #[test]
    fn the_first_answer_stays_until_its_span_is_over() {
        let mut repeats = Repeats::new(100);
        repeats.put(1, answer("first"), 0);
        repeats.put(1, answer("second"), 50);
        assert_eq!(repeats.get(1), Some(&answer("first")));
        repeats.expire(99);
        assert!(repeats.get(1).is_some());
        repeats.expire(100);
        assert_eq!((repeats.get(1), repeats.bytes()), (None, 0));
    }
}
