//! The answers that were given to notable events, so that a repeated event gets the same answer again.
//!
//! Only answers with something in them are kept: an event without an entry was let pass without remark.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::decision::lattice::Outcome;

/// One answer: the outcome, and the second part of the decision record as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was decided.
    pub outcome: Outcome,
    /// The JSON object of [`crate::decision::wire::DecisionBody`].
    ///
    /// Shared: all events with nothing but the same remark have the same answer.
    pub body: Arc<[u8]>,
}

/// Answers by event id digest, kept as long as the ids: each goes with the generation of its id
/// ([`crate::state::SeenIds::generations`]).
///
/// They stand in a row, oldest first, and never change: a save copies the row in slices, and what leaves the row before
/// it was copied waits for it.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    kept: VecDeque<Kept>,
    /// Number of the first answer of the row; they are numbered in the order in which they came.
    first: u64,
    /// Id digest, which is its own hash, and number.
    index: HashTable<(u64, u64)>,
    bytes: usize,
    lost: bool,
    saving: Option<Saving>,
}

#[derive(Clone, Debug)]
struct Kept {
    /// The generation of its id.
    generation: u64,
    id_digest: u64,
    answer: Answer,
}

/// A save that is under way.
#[derive(Clone, Debug)]
struct Saving {
    /// The next number to write, and the first that was not there at the beginning.
    next: u64,
    end: u64,
    leaving: VecDeque<Kept>,
}

/// Heap bytes of an answer beside its body, about.
const ANSWER_BYTES: usize = 96;

impl Repeats {
    /// The answer that was given.
    pub fn get(&self, id_digest: u64) -> Option<&Answer> {
        let (_, number) = self.index.find(id_digest, |(id, _)| *id == id_digest)?;
        let at = usize::try_from(number - self.first).ok()?;
        self.kept.get(at).map(|kept| &kept.answer)
    }

    /// Keeps an answer for an id of the present generation; the first one stays.
    pub fn put(&mut self, id_digest: u64, answer: Answer, generation: u64) {
        if self.get(id_digest).is_none() {
            self.push(Kept { generation, id_digest, answer });
        }
    }

    /// Forgets the answers for ids of generations before `oldest`.
    pub fn expire(&mut self, oldest: u64) {
        while self.kept.front().is_some_and(|kept| kept.generation < oldest) {
            self.drop_oldest();
        }
    }

    /// Forgets the oldest answers until at most `max_bytes` are held.
    pub fn shrink(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes && !self.kept.is_empty() {
            self.lost = true;
            self.drop_oldest();
        }
    }

    /// Whether an answer was ever given up before its id: then a missing answer proves nothing.
    pub fn lost_answers(&self) -> bool {
        self.lost
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn push(&mut self, kept: Kept) {
        self.bytes += kept.bytes();
        let number = self.first + self.kept.len() as u64;
        self.index.insert_unique(kept.id_digest, (kept.id_digest, number), |(id, _)| *id);
        self.kept.push_back(kept);
    }

    fn drop_oldest(&mut self) {
        let Some(kept) = self.kept.pop_front() else { return };
        let number = self.first;
        self.first += 1;
        if let Ok(held) = self.index.find_entry(kept.id_digest, |(_, held)| *held == number) {
            held.remove();
        }
        self.bytes = self.bytes.saturating_sub(kept.bytes());
        if let Some(saving) = &mut self.saving
            && (saving.next..saving.end).contains(&number)
        {
            saving.leaving.push_back(kept);
        }
    }
}

impl Repeats {
    /// Begins a save of what is kept now.
    pub fn begin_save(&mut self) {
        let (next, end) = (self.first, self.first + self.kept.len() as u64);
        self.saving = Some(Saving { next, end, leaving: VecDeque::new() });
    }

    /// Writes the next answers until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        let Some(saving) = &mut self.saving else { return true };
        let begin = code.len();
        while saving.next < saving.end {
            if let Some(kept) = saving.leaving.pop_front() {
                kept.save(code);
            } else if let Ok(at) = usize::try_from(saving.next - self.first) {
                self.kept[at].save(code);
            }
            saving.next += 1;
            if code.len() - begin >= budget {
                break;
            }
        }
        saving.next == saving.end
    }

    /// Ends a save, complete or not.
    pub fn end_save(&mut self) {
        self.saving = None;
    }

    /// Says that answers were given up before, as a saved memory did.
    pub fn set_lost(&mut self, lost: bool) {
        self.lost = lost;
    }

    /// Reads saved answers into these.
    ///
    /// # Errors
    /// Where they are damaged, or come twice.
    pub fn load(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        while code.rest() > 0 {
            let kept = Kept::load(code)?;
            code.demand(self.get(kept.id_digest).is_none(), "an answer comes twice")?;
            let newest = self.kept.back().map_or(0, |kept| kept.generation);
            code.demand(newest <= kept.generation, "answers come in their order")?;
            self.push(kept);
        }
        Ok(())
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        self.answer.body.len() + ANSWER_BYTES
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.var(self.generation);
        code.word(self.id_digest);
        let outcome = Outcome::ALL.iter().position(|known| *known == self.answer.outcome);
        code.count(outcome.unwrap_or(0));
        code.bytes(&self.answer.body);
    }

    fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "answer to an event";
        let (generation, id_digest) = (code.var(WHAT)?, code.word(WHAT)?);
        let outcome = Outcome::ALL.get(code.index(WHAT)?).copied();
        let outcome = outcome.ok_or_else(|| code.damaged(WHAT))?;
        let body: Arc<[u8]> = code.bytes(WHAT)?.into();
        code.demand(core::str::from_utf8(&body).is_ok(), WHAT)?;
        Ok(Self { generation, id_digest, answer: Answer { outcome, body } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Answer {
        Answer { outcome: Outcome::Hold, body: text.as_bytes().into() }
    }

    #[test]
    fn an_answer_given_up_early_is_owned_up_to() {
        let mut repeats = Repeats::default();
        repeats.put(1, answer("held"), 1);
        repeats.shrink(1_000_000);
        assert!(!repeats.lost_answers());
        repeats.shrink(0);
        assert_eq!((repeats.get(1), repeats.lost_answers(), repeats.bytes()), (None, true, 0));
    }

    #[test]
    fn what_is_saved_is_what_was_there_at_the_beginning() {
        for budget in [1, 100, 10_000] {
            let mut repeats = Repeats::default();
            (0..50).for_each(|id| repeats.put(id, answer(&format!("answer {id}")), 1 + id / 30));
            repeats.shrink(repeats.bytes() - 500);
            let golden = repeats.clone();
            repeats.begin_save();
            let mut restored = Repeats::default();
            restored.set_lost(repeats.lost_answers());
            for id in 100.. {
                repeats.put(id, answer("later"), 2);
                repeats.shrink(repeats.bytes().saturating_sub(400));
                let mut part = Vec::new();
                let complete = repeats.save_part(budget, &mut Encoder::new(&mut part));
                restored.load(&mut Decoder::new(&part)).unwrap();
                if complete {
                    break;
                }
            }
            assert_eq!((restored.len(), restored.bytes()), (golden.len(), golden.bytes()));
            assert!((0..200).all(|id| restored.get(id) == golden.get(id)));
            restored.expire(2);
            assert_eq!(restored.len(), 20, "those of the second generation");
            restored.expire(3);
            assert!(restored.is_empty());
        }
    }

    #[test]
    fn the_first_answer_stays_as_long_as_the_generation_of_its_id() {
        let mut repeats = Repeats::default();
        repeats.put(1, answer("first"), 4);
        repeats.put(1, answer("second"), 5);
        assert_eq!(repeats.get(1), Some(&answer("first")));
        repeats.expire(4);
        assert!(repeats.get(1).is_some());
        repeats.expire(5);
        assert_eq!((repeats.get(1), repeats.bytes()), (None, 0));
    }
}
