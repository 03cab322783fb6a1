//! How long the rail of a payment leaves for a hold: `hold at most 9s where rail [sct_inst] otherwise block`.
//!
//! INVARIANT: no deadline of a payment's hold lies beyond its limit, and none is put there: not by a rule, a score band, a
//! challenge, a second stage, the hold of a subject that lasts for days, nor a command. What the rule set says of rails when a
//! hold is placed counts for that hold; another rule set changes nothing about it.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::decision::holds::{Hold, HoldBook, HoldState, Stage, load_option, save_option};
use crate::rules::syntax::ast::Otherwise;

const WHAT: &str = "limit of a hold";

/// What the event of a payment says about how long it may be held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The last instant of a hold, ms of event time.
    pub until_ms: i64,
    /// What comes then where it comes before what the rules say; absent: what those say for the end.
    pub otherwise: Option<Otherwise>,
    /// The field by which it was chosen; absent where one holds for all.
    pub field: Option<String>,
    /// The value of the field, as records may show it; absent where the event has none.
    pub value: Option<String>,
    /// Whether the deadline would lie later without it.
    pub cuts: bool,
}

impl Hold {
    /// When it ends or goes on by itself, ms; none where it follows the hold of a subject and no rail ends it before.
    pub fn due_ms(&self) -> Option<i64> {
        let limit_ms = || self.limit.as_ref().map(|limit| limit.until_ms);
        if self.has_deadline { Some(self.deadline_ms) } else { limit_ms() }
    }

    /// The same with a deadline that its rail allows.
    #[must_use]
    pub fn within_limit(mut self) -> Self {
        if let Some(limit) = &mut self.limit {
            // At the limit itself it stays what it was: it may have been put there.
            limit.cuts = self.deadline_ms > limit.until_ms
                || limit.cuts && self.deadline_ms == limit.until_ms;
            self.deadline_ms = self.deadline_ms.min(limit.until_ms);
        }
        self
    }

    /// What comes at the deadline instead of the end, as far as its rail leaves time for it.
    pub fn stage(&self) -> Option<Stage> {
        let next = self.next.as_ref()?;
        let Some(limit) = self.limit.as_ref().filter(|_| self.has_deadline) else {
            return Some(next.clone());
        };
        let left_ms = limit.until_ms.saturating_sub(self.deadline_ms);
        let for_ms = next.for_ms.min(left_ms);
        (for_ms > 0).then(|| Stage { for_ms, queue: next.queue.clone() })
    }

    /// The limit, where it ends the hold before what placed it would.
    pub fn limited_by(&self) -> Option<&Limit> {
        let limit = self.limit.as_ref()?;
        let next = self.next.as_ref().filter(|_| self.has_deadline);
        let end_ms = next.map(|next| self.deadline_ms.saturating_add(next.for_ms));
        (limit.cuts || end_ms.is_some_and(|end_ms| end_ms > limit.until_ms)).then_some(limit)
    }

    /// What happens to the payment at the end.
    ///
    /// WHY: a payment that only follows its subject is refused when its rail leaves no more time: the subject is held still, and
    /// what was let go on a fast rail does not come back.
    pub fn at_the_end(&self) -> Otherwise {
        match self.limited_by().filter(|_| self.state != HoldState::Expired) {
            None => self.otherwise,
            Some(_) if !self.has_deadline => Otherwise::Block,
            Some(limit) => limit.otherwise.unwrap_or(self.otherwise),
        }
    }
}

impl HoldBook {
    /// What happens to a payment at its deadline, where its rail leaves no more time, and whether it would be held for longer.
    /// One whose subject stays held is refused.
    pub(super) fn at_its_limit(&self, hold: &Hold) -> Option<(Otherwise, bool)> {
        let limit = hold.limit.as_ref()?;
        if hold.due_ms()? < limit.until_ms {
            return None;
        }
        let subjects = hold.under.iter().filter_map(|id| self.find(id));
        let mut open = subjects.filter(|subject| subject.state.is_open());
        let lets_go = |subject: &Hold| {
            let ends = subject.deadline_ms <= limit.until_ms && subject.next.is_none();
            ends && subject.otherwise == Otherwise::Release
        };
        if open.all(lets_go) {
            return Some((hold.at_the_end(), hold.limited_by().is_some()));
        }
        Some((Otherwise::Block, true))
    }
}

impl Limit {
    pub(super) fn bytes(&self) -> usize {
        let texts = [&self.field, &self.value].into_iter().flatten();
        texts.map(String::len).sum::<usize>() + 48
    }

    pub(super) fn save(limit: Option<&Self>, code: &mut Encoder<'_>) {
        code.flag(limit.is_some());
        let Some(limit) = limit else { return };
        code.int(limit.until_ms);
        code.flag(limit.cuts);
        code.flag(limit.otherwise.is_some());
        if let Some(otherwise) = limit.otherwise {
            code.flag(otherwise == Otherwise::Block);
        }
        save_option(limit.field.as_deref(), code);
        save_option(limit.value.as_deref(), code);
    }

    pub(super) fn load(code: &mut Decoder<'_>) -> Result<Option<Self>, Damaged> {
        if !code.flag(WHAT)? {
            return Ok(None);
        }
        let (until_ms, cuts) = (code.int(WHAT)?, code.flag(WHAT)?);
        let otherwise = if code.flag(WHAT)? {
            Some(if code.flag(WHAT)? { Otherwise::Block } else { Otherwise::Release })
        } else {
            None
        };
        let (field, value) = (load_option(code)?, load_option(code)?);
        Ok(Some(Self { until_ms, otherwise, field, value, cuts }))
    }
}
