//! The events of one bucket, oldest first, and how they are written.

use std::collections::VecDeque;

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::engine::labels::{Day, bucket_of};
use crate::event::schema::Finding;

/// Events whose ids begin alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bucket {
    pub(super) quiet: VecDeque<Quiet>,
    /// Each id once.
    pub(super) held: VecDeque<Held>,
}

/// An event about which nobody said anything. Of its digest 42 bits are known: beside 16 million of them, one in 250,000
/// ids that never came passes for one that did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Quiet {
    print: u32,
    pub(super) day: Day,
}

/// An event about which something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Held {
    /// Digest of its id.
    pub(super) id: u64,
    pub(super) day: Day,
    /// Numbers of subjects: that of all events of the type, then the others, ascending.
    pub(super) subjects: Box<[u32]>,
    /// What came out, and when that was said.
    pub(super) finding: Option<(Finding, i64)>,
}

impl Quiet {
    pub(super) fn of(id: u64, day: Day) -> Self {
        Self { print: print(id), day }
    }

    pub(super) fn is_of(self, id: u64) -> bool {
        self.print == print(id)
    }

    fn word(self) -> u64 {
        u64::from(self.print) | u64::from(self.day.0.cast_unsigned()) << 32
    }

    fn of_word(word: u64) -> Self {
        Self { print: print(word), day: Day(print(word >> 32).cast_signed()) }
    }
}

/// The low half.
fn print(id: u64) -> u32 {
    u32::try_from(id & u64::from(u32::MAX)).unwrap_or(0)
}

impl Held {
    /// Heap bytes, about.
    pub(super) fn bytes(&self) -> usize {
        const ALLOCATION: usize = 16;
        size_of::<Self>() + ALLOCATION + size_of_val(&*self.subjects)
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.word(self.id);
        code.int(i64::from(self.day.0));
        code.count(self.subjects.len());
        self.subjects.iter().for_each(|subject| code.var(u64::from(*subject)));
        code.flag(self.finding.is_some());
        if let Some((finding, at_ms)) = self.finding {
            code.byte(finding as u8);
            code.int(at_ms);
        }
    }

    fn load(n_subjects: usize, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "an event that labels may be about";
        let id = code.word(WHAT)?;
        let day = i32::try_from(code.int(WHAT)?).map_err(|_| code.damaged(WHAT))?;
        let mut subjects = Vec::new();
        for _ in 0..code.count(1, WHAT)? {
            let subject = code.narrow(WHAT)?;
            code.demand((subject as usize) < n_subjects, WHAT)?;
            subjects.push(subject);
        }
        code.demand(!subjects.is_empty(), WHAT)?;
        code.demand(subjects[1..].is_sorted_by(|one, next| one < next), WHAT)?;
        let finding = if code.flag(WHAT)? {
            let finding = Finding::ALL.get(usize::from(code.byte(WHAT)?)).copied();
            Some((finding.ok_or_else(|| code.damaged(WHAT))?, code.int(WHAT)?))
        } else {
            None
        };
        Ok(Self { id, day: Day(day), subjects: subjects.into(), finding })
    }
}

impl Bucket {
    pub(super) fn is_empty(&self) -> bool {
        self.quiet.is_empty() && self.held.is_empty()
    }

    pub(super) fn save(&self, code: &mut Encoder<'_>) {
        code.count(self.quiet.len());
        self.quiet.iter().for_each(|quiet| code.word(quiet.word()));
        code.count(self.held.len());
        self.held.iter().for_each(|held| held.save(code));
    }

    /// Reads the bucket of a number.
    ///
    /// # Errors
    /// Where it is damaged, or holds what does not belong into it.
    pub(super) fn load(
        number: usize,
        n_subjects: usize,
        code: &mut Decoder<'_>,
    ) -> Result<Self, Damaged> {
        const WHAT: &str = "events that labels may be about";
        let mut bucket = Self::default();
        let n_quiet = code.count(size_of::<Quiet>(), WHAT)?;
        bucket.quiet.extend(code.words(n_quiet, WHAT)?.map(Quiet::of_word));
        let mut ids = std::collections::BTreeSet::new();
        for _ in 0..code.count(19, WHAT)? {
            let held = Held::load(n_subjects, code)?;
            code.demand(bucket_of(held.id) == number && ids.insert(held.id), WHAT)?;
            bucket.held.push_back(held);
        }
        Ok(bucket)
    }
}
