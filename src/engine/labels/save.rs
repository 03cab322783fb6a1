//! The book of labels in a snapshot: all that is small in the head, then bucket by bucket.

use std::sync::Arc;

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::labels::bucket::Bucket;
use crate::engine::labels::{Day, Found, LabelBook, N_BUCKETS, Stance, Subject};
use crate::event::schema::Finding;

const WHAT: &str = "book of labels";

/// A save that is under way: the buckets with something in them as they were when it began.
#[derive(Debug)]
pub(super) struct Saving {
    buckets: Vec<(usize, Arc<Bucket>)>,
    next: usize,
}

impl Subject {
    /// Its kind as a number.
    fn code(self) -> (u8, EntityKey) {
        match self {
            Self::Events(found, key) => (found as u8, key),
            Self::Rule(stance, key) => (0x10 | stance as u8, key),
            Self::Model(key) => (0x20, key),
        }
    }

    fn of(kind: u8, key: EntityKey) -> Option<Self> {
        let low = usize::from(kind & 0xf);
        match kind >> 4 {
            0 => Some(Self::Events(*Found::ALL.get(low)?, key)),
            1 => Some(Self::Rule(*Stance::ALL.get(low)?, key)),
            2 if low == 0 => Some(Self::Model(key)),
            _ => None,
        }
    }
}

impl LabelBook {
    /// Begins a save; writes all but the events.
    pub(in crate::engine) fn begin_save(&mut self, code: &mut Encoder<'_>) {
        code.int(i64::from(self.since.0));
        code.var(self.advances);
        self.hands.iter().for_each(|hand| code.count(*hand));
        code.var(self.evicted);
        code.count(self.came.len());
        for ((event, finding, found), n) in &self.came {
            code.text(event);
            code.byte(*finding as u8);
            code.byte(*found as u8);
            code.var(*n);
        }
        code.count(self.subjects.len());
        for subject in &self.subjects {
            let (kind, key) = subject.code();
            code.byte(kind);
            code.wide(key.0);
        }
        let full = self.buckets.iter().enumerate().filter(|(_, bucket)| !bucket.is_empty());
        let buckets: Vec<_> = full.map(|(at, bucket)| (at, Arc::clone(bucket))).collect();
        code.count(buckets.len());
        self.saving = Some(Saving { buckets, next: 0 });
    }

    /// Writes the next buckets until about `budget` bytes are written; says whether all are.
    pub(in crate::engine) fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        let Some(saving) = &mut self.saving else { return true };
        let begin = code.len();
        while let Some((number, bucket)) = saving.buckets.get(saving.next) {
            saving.next += 1;
            code.count(*number);
            bucket.save(code);
            if code.len() - begin >= budget {
                break;
            }
        }
        saving.next >= saving.buckets.len()
    }

    /// Ends a save, complete or not.
    pub(in crate::engine) fn end_save(&mut self) {
        self.saving = None;
    }
}

/// Reads a saved book.
#[derive(Debug)]
pub(in crate::engine) struct LabelLoader {
    book: LabelBook,
    /// Buckets that are to come, and the least number that the next one may have.
    left: usize,
    next: usize,
}

impl LabelLoader {
    /// Reads what [`LabelBook::begin_save`] wrote.
    ///
    /// # Errors
    /// Where it is damaged.
    pub(in crate::engine) fn new(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        let since = Day(i32::try_from(code.int(WHAT)?).map_err(|_| code.damaged(WHAT))?);
        let advances = code.var(WHAT)?;
        let mut book = LabelBook { since, advances, ..LabelBook::default() };
        for hand in &mut book.hands {
            *hand = code.index(WHAT)?;
            code.demand(*hand < N_BUCKETS, WHAT)?;
        }
        book.evicted = count(code)?;
        for _ in 0..code.count(4, WHAT)? {
            let event = code.text(WHAT)?.to_owned();
            let finding = Finding::ALL.get(usize::from(code.byte(WHAT)?)).copied();
            let found = Found::ALL.get(usize::from(code.byte(WHAT)?)).copied();
            let (finding, found) = finding.zip(found).ok_or_else(|| code.damaged(WHAT))?;
            book.came.insert((event, finding, found), count(code)?);
        }
        for number in 0..code.count(17, WHAT)? {
            let subject = Subject::of(code.byte(WHAT)?, EntityKey(code.wide(WHAT)?));
            let subject = subject.ok_or_else(|| code.damaged(WHAT))?;
            code.demand(book.number(subject) as usize == number, WHAT)?;
        }
        Ok(Self { book, left: code.index(WHAT)?, next: 0 })
    }

    /// Reads the next buckets.
    ///
    /// # Errors
    /// Where they are damaged, or more than there were.
    pub(in crate::engine) fn run(&mut self, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        while code.rest() > 0 {
            let number = code.index(WHAT)?;
            code.demand(self.left > 0 && number >= self.next && number < N_BUCKETS, WHAT)?;
            (self.left, self.next) = (self.left - 1, number + 1);
            let bucket = Bucket::load(number, self.book.subjects.len(), code)?;
            self.book.n_quiet += bucket.quiet.len();
            for held in &bucket.held {
                self.book.held_bytes += held.bytes();
                self.book.recount(held, |n| n + 1);
            }
            self.book.place(number, bucket);
        }
        Ok(())
    }

    /// The book, once everything was read.
    ///
    /// # Errors
    /// Where buckets are missing.
    pub(in crate::engine) fn finish(self) -> Result<LabelBook, Damaged> {
        let complete = self.left == 0;
        if complete { Ok(self.book) } else { Err(Damaged { what: "labels are missing", at: 0 }) }
    }
}

/// A count that leaves room for counting on.
fn count(code: &mut Decoder<'_>) -> Result<u64, Damaged> {
    let count = code.var(WHAT)?;
    code.demand(count < u64::MAX >> 8, WHAT)?;
    Ok(count)
}
