//! All holds of an engine: which are open, which deadline comes next, and what follows from each step.
//!
//! INVARIANT: one payment (event type, id and body) has at most one open hold, and so has a subject; a second decision about
//! it joins the hold that is there.
//! INVARIANT: what is stopped is let go or refused once: a hold that has ended never changes again ([`HoldState::after`] is
//! the whole table).
//! Order of expiry is (deadline, key of the hold), so it never depends on the order of insertion.
//!
//! A hold that has ended is remembered for a while without its details, so that a command that comes too late hears what
//! became of it.
//!
//! # Cost
//! O(log n) in the number of holds, per hold or command, and per payment that follows the hold of a subject; nothing per event
//! while no deadline is due and no subject is held.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::decision::holds::{
    Answer, Ask, Asker, Heard, Hold, HoldKey, HoldStep, Refusal, Stage, payment_key,
};
use crate::rules::syntax::ast::Otherwise;
use crate::state::walk::Walk;

/// Most holds that have ended and are remembered. Who would be asked of more than these within the time for which ids are
/// remembered answers that it does not know the oldest.
const MOST_ENDED: usize = 65_536;

/// What became of a wish to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// A new hold.
    New,
    /// The payment or the subject was held already; nothing changes.
    Joined,
}

/// The hold of a subject, as a payment that it stops sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stopping {
    /// Its id.
    pub hold_id: String,
    /// When it ends, ms of event time.
    pub deadline_ms: i64,
    /// What happens then.
    pub otherwise: Otherwise,
    /// Why, in words.
    pub reasons: Vec<String>,
}

/// How open holds wait that have a deadline of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// When the oldest was placed, ms of event time.
    pub oldest_ms: Option<i64>,
    /// Those that somebody works on and that have less than a fifth of their time left.
    pub due_soon_claimed: usize,
    /// Those that nobody works on and that have less.
    pub due_soon_unclaimed: usize,
}

/// All holds of an engine: the open ones, and those that ended lately.
#[derive(Clone, Debug, Default)]
pub struct HoldBook {
    holds: BTreeMap<HoldKey, (u32, Hold)>,
    by_id: BTreeMap<String, HoldKey>,
    deadlines: BTreeSet<(u32, i64, HoldKey)>,
    /// Those that ended, by the clock of the state then.
    ended: BTreeSet<(i64, HoldKey)>,
    /// Open holds of payments that follow that of a subject, by its id.
    followers: BTreeSet<(String, HoldKey)>,
    /// Open holds that wait for a second factor, by what names their payments.
    waiting: BTreeSet<(EntityKey, HoldKey)>,
    n_open: usize,
    /// Subjects that are held.
    n_subjects: usize,
    bytes: usize,
    /// Of these, those of open ones.
    open_bytes: usize,
    saving: Option<Walk<HoldKey>>,
}

impl HoldBook {
    /// Places a hold on the clock of a stream, unless the payment is held already.
    pub fn place(&mut self, stream: u32, key: HoldKey, hold: Hold) -> Placed {
        if self.holds.get(&key).is_some_and(|(_, hold)| hold.state.is_open()) {
            return Placed::Joined;
        }
        self.touch(key);
        self.drop_hold(key);
        self.add(stream, key, hold);
        Placed::New
    }

    fn add(&mut self, stream: u32, key: HoldKey, hold: Hold) {
        if hold.state.is_open() {
            self.n_open += 1;
            self.open_bytes += hold.bytes();
            self.n_subjects += usize::from(hold.all_payments);
            if let Some(due_ms) = hold.due_ms() {
                self.deadlines.insert((stream, due_ms, key));
            }
            self.followers.extend(hold.under.iter().map(|subject| (subject.clone(), key)));
            if hold.challenge.is_some() {
                self.waiting.insert((payment(&hold), key));
            }
        } else {
            self.ended.insert((hold.ended_ms, key));
        }
        self.bytes += hold.bytes();
        self.by_id.insert(hold.hold_id.clone(), key);
        self.holds.insert(key, (stream, hold));
    }

    fn drop_hold(&mut self, key: HoldKey) {
        let Some((stream, hold)) = self.holds.remove(&key) else { return };
        if hold.state.is_open() {
            self.n_open -= 1;
            self.open_bytes = self.open_bytes.saturating_sub(hold.bytes());
            self.n_subjects -= usize::from(hold.all_payments);
        }
        if let Some(due_ms) = hold.due_ms() {
            self.deadlines.remove(&(stream, due_ms, key));
        }
        self.waiting.remove(&(payment(&hold), key));
        for subject in &hold.under {
            self.followers.remove(&(subject.clone(), key));
        }
        self.ended.remove(&(hold.ended_ms, key));
        self.bytes = self.bytes.saturating_sub(hold.bytes());
        // WHY: two payments have one id of a hold only where a digest meets another; the later one is found then.
        if self.by_id.get(&hold.hold_id) == Some(&key) {
            self.by_id.remove(&hold.hold_id);
        }
    }

    fn touch(&mut self, key: HoldKey) {
        if let Some(walk) = &mut self.saving {
            walk.touch(key, self.holds.get(&key), Hold::save);
        }
    }

    /// Takes a step with a hold and gives it as it is now, with its details. `change` says what else is different then;
    /// `state_ms` is the clock that state is forgotten by.
    fn advance(
        &mut self,
        key: HoldKey,
        step: HoldStep,
        state_ms: i64,
        change: impl FnOnce(&mut Hold),
    ) -> Option<Hold> {
        let (stream, hold) = self.holds.get(&key)?;
        let (stream, after) = (*stream, hold.state.after(step)?);
        let mut hold = hold.clone();
        self.touch(key);
        self.drop_hold(key);
        hold.state = after;
        change(&mut hold);
        if after.is_open() {
            hold = hold.within_limit();
            self.add(stream, key, hold.clone());
            return Some(hold);
        }
        hold.ended_ms = state_ms;
        let kept = Hold {
            placed_by: Vec::new(),
            reasons: Vec::new(),
            under: Vec::new(),
            amount: None,
            limit: None,
            claim: None,
            ..hold.clone()
        };
        self.add(stream, key, kept);
        if self.ended.len() > MOST_ENDED
            && let Some((_, oldest)) = self.ended.first().copied()
        {
            self.touch(oldest);
            self.drop_hold(oldest);
        }
        Some(hold)
    }

    /// Takes one hold over its deadline, if one has come on the clock of the stream, earliest first: it as it is then, and those
    /// that follow it. Empty: no deadline has come.
    pub fn take_expired(&mut self, stream: u32, clock_ms: i64, state_ms: i64) -> Vec<Hold> {
        let first = self.deadlines.range((stream, i64::MIN, EntityKey(0))..).next().copied();
        match first {
            Some((of, deadline_ms, key)) if of == stream && deadline_ms <= clock_ms => {
                self.over_deadline(key, state_ms)
            }
            _ => Vec::new(),
        }
    }

    /// The deadline of a hold has come.
    fn over_deadline(&mut self, key: HoldKey, state_ms: i64) -> Vec<Hold> {
        let Some((_, hold)) = self.holds.get(&key) else { return Vec::new() };
        let next = hold.stage().filter(|_| hold.has_deadline);
        if let (Some(_), Some(Stage { for_ms, .. })) = (&next, &hold.next) {
            // Its rail may cut that; then it is known that it did.
            let until_ms = hold.deadline_ms.saturating_add(*for_ms);
            let asks = next.as_ref().is_some_and(|stage| stage.queue.is_some());
            let escalated = self.advance(key, HoldStep::Escalate, state_ms, |hold| {
                (hold.next, hold.challenge, hold.deadline_ms) = (None, None, until_ms);
                // Whoever worked on it did not decide; others may take it now.
                hold.claim = hold.claim.take().filter(|_| !asks);
            });
            // Who is told of it hears who is asked.
            let escalated = escalated.map(|hold| Hold { next, ..hold });
            return self.with_followers(escalated, HoldStep::Escalate, state_ms);
        }
        if let Some((otherwise, cuts)) = self.at_its_limit(hold) {
            let expired = self.advance(key, HoldStep::Expire, state_ms, |hold| {
                hold.otherwise = otherwise;
                hold.limit.iter_mut().for_each(|limit| limit.cuts |= cuts);
            });
            return expired.into_iter().collect();
        }
        // WHY: its own reasons are over, but the hold of its subject still stops it.
        let followed = hold.under.iter().filter_map(|id| self.open_deadline(id)).max();
        if let Some(until_ms) = followed.filter(|_| hold.otherwise == Otherwise::Release) {
            let follows = self.advance(key, HoldStep::Extend, state_ms, |hold| {
                (hold.has_deadline, hold.deadline_ms) = (false, hold.deadline_ms.max(until_ms));
            });
            return follows.into_iter().collect();
        }
        let expired = self.advance(key, HoldStep::Expire, state_ms, |_| {});
        self.with_followers(expired, HoldStep::Expire, state_ms)
    }

    /// The deadline of the open hold of this id.
    fn open_deadline(&self, hold_id: &str) -> Option<i64> {
        let hold = self.find(hold_id)?;
        hold.state.is_open().then_some(hold.deadline_ms)
    }

    /// A hold that took a step, and what that makes of the holds that follow it.
    fn with_followers(&mut self, taken: Option<Hold>, step: HoldStep, state_ms: i64) -> Vec<Hold> {
        let Some(hold) = taken else { return Vec::new() };
        let from = (hold.hold_id.clone(), EntityKey(0));
        let followers = self.followers.range(from..);
        let own = followers.take_while(|(subject, _)| *subject == hold.hold_id);
        let own: Vec<HoldKey> = own.map(|(_, key)| *key).collect();
        let (deadline_ms, otherwise) = (hold.deadline_ms, hold.otherwise);
        let goes = step == HoldStep::Release
            || step == HoldStep::Expire && otherwise == Otherwise::Release;
        let mut taken = vec![hold];
        // Who works on the subject's hold works on no other one by that.
        let own = if step == HoldStep::Claim { Vec::new() } else { own };
        for key in own {
            let Some((_, follower)) = self.holds.get(&key) else { continue };
            if goes {
                if self.is_stopped(follower) || follower.has_deadline {
                    continue;
                }
                // WHY: its rules ask for a second factor, which nobody gave; a hold of its customer must not be the easier way.
                if follower.challenge.is_some() {
                    taken.extend(self.unanswered(key, state_ms.max(follower.placed_ms), state_ms));
                    continue;
                }
            }
            let most_ms = follower.limit.as_ref().map_or(i64::MAX, |limit| limit.until_ms);
            let waits = follower.has_deadline || follower.deadline_ms >= deadline_ms.min(most_ms);
            if !step_ends(step) && waits {
                continue;
            }
            taken.extend(self.advance(key, step, state_ms, |follower| match step {
                // It ends with its subject and not by its rail.
                HoldStep::Expire => (follower.otherwise, follower.limit) = (otherwise, None),
                HoldStep::Extend | HoldStep::Escalate => follower.deadline_ms = deadline_ms,
                HoldStep::Release | HoldStep::Confirm | HoldStep::Claim => {}
            }));
        }
        taken
    }

    /// The hold of this id, open or ended lately.
    pub fn find(&self, hold_id: &str) -> Option<&Hold> {
        self.holds.get(self.by_id.get(hold_id)?).map(|(_, hold)| hold)
    }

    /// The hold under this key, open or ended lately.
    pub fn under(&self, key: HoldKey) -> Option<&Hold> {
        self.holds.get(&key).map(|(_, hold)| hold)
    }

    /// Whether some subject is held.
    pub fn holds_subjects(&self) -> bool {
        self.n_subjects > 0
    }

    /// The open hold of a subject.
    pub fn stopping(&self, key: HoldKey) -> Option<Stopping> {
        let (_, hold) = self.holds.get(&key).filter(|(_, hold)| hold.state.is_open())?;
        let (hold_id, reasons) = (hold.hold_id.clone(), hold.reasons.clone());
        let (deadline_ms, otherwise) = (hold.deadline_ms, hold.otherwise);
        Some(Stopping { hold_id, deadline_ms, otherwise, reasons })
    }

    /// Takes one open hold, and those of subjects that it follows, over the deadlines that have passed by another clock than
    /// their streams', earliest first.
    pub fn expire(&mut self, hold_id: &str, now_ms: i64, state_ms: i64) -> Vec<Hold> {
        let mut taken = Vec::new();
        while let Some(key) = self.first_due(hold_id, now_ms) {
            taken.extend(self.over_deadline(key, state_ms));
        }
        taken
    }

    /// Of an open hold and those of subjects that it follows, the one whose deadline has passed first.
    fn first_due(&self, hold_id: &str, now_ms: i64) -> Option<HoldKey> {
        let hold = self.find(hold_id).filter(|hold| hold.state.is_open())?;
        let ids = hold.under.iter().map(String::as_str).chain([hold_id]);
        let due = ids.filter_map(|id| {
            let key = *self.by_id.get(id)?;
            let (_, hold) = self.holds.get(&key)?;
            let due_ms = hold.due_ms().filter(|due_ms| *due_ms <= now_ms)?;
            hold.state.is_open().then_some((due_ms, key))
        });
        due.min().map(|(_, key)| key)
    }

    /// Does what a command asks, and gives the hold as it is then, and those that follow it. One that was escalated says whom it
    /// asks.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn act(
        &mut self,
        hold_id: &str,
        ask: &Ask,
        by: Asker<'_>,
        state_ms: i64,
    ) -> Result<Vec<Hold>, Refusal> {
        let key = *self.by_id.get(hold_id).ok_or(Refusal::Unknown)?;
        let (_, hold) = self.holds.get(&key).ok_or(Refusal::Unknown)?;
        let (state, step) = (hold.state, ask.what.step());
        if state.after(step).is_none() {
            return Err(Refusal::Ended(state));
        }
        if ask.expected.is_some_and(|expected| expected != state) {
            return Err(Refusal::Changed(state));
        }
        let mut heeding = hold.clone();
        let asked = heeding.heed(&ask.what, by)?;
        let acted = self.advance(key, step, state_ms, |hold| {
            *hold = Hold { state: hold.state, ..heeding };
        });
        // Who is told of it hears who is asked.
        let next = asked.map(|queue| Stage { for_ms: 0, queue: Some(queue) });
        let acted = acted.map(|hold| Hold { next: next.or_else(|| hold.next.clone()), ..hold });
        Ok(self.with_followers(acted, step, state_ms))
    }

    /// The second factor that a payment ([`payment_key`]) waits for was passed or failed, at a time of its clock: it goes, or
    /// what was to come at the deadline comes at once. Nothing is taken where the answer counts for none that waits.
    pub fn answer(
        &mut self,
        payment: EntityKey,
        answer: Answer<'_>,
        now_ms: i64,
        state_ms: i64,
    ) -> (Heard, Vec<Hold>) {
        let from = (payment, EntityKey(0));
        let waiting = self.waiting.range(from..).take_while(|(of, _)| *of == payment);
        let mut waiting: Vec<HoldKey> = waiting.map(|(_, key)| *key).collect();
        if waiting.is_empty() {
            return (Heard::NothingWaits, Vec::new());
        }
        let hold = |key: &HoldKey| self.holds.get(key).map(|(_, hold)| hold);
        let is_theirs = |hold: &Hold| hold.challenge.as_ref().is_some_and(|it| it.is_by(answer));
        waiting.retain(|key| hold(key).is_some_and(is_theirs));
        if waiting.is_empty() {
            return (Heard::OtherParty, Vec::new());
        }
        waiting.retain(|key| hold(key).is_some_and(|hold| is_in_time(hold, answer)));
        if waiting.is_empty() {
            return (Heard::OtherTime, Vec::new());
        }
        // WHY: whoever sends the id of a small payment again with a large amount must not have it freed by the small one.
        if answer.passed && waiting.len() > 1 {
            return (Heard::Ambiguous, Vec::new());
        }
        let answered = |key| self.answered(key, answer.passed, now_ms, state_ms);
        let taken = waiting.into_iter().filter_map(answered).collect();
        (if answer.passed { Heard::Passed } else { Heard::Failed }, taken)
    }

    fn answered(&mut self, key: HoldKey, passed: bool, now_ms: i64, state_ms: i64) -> Option<Hold> {
        let (_, hold) = self.holds.get(&key)?;
        let challenge = hold.challenge.clone();
        let answered = if !passed {
            self.unanswered(key, now_ms, state_ms)
        } else if self.is_stopped(hold) {
            // It goes with its subject now.
            self.advance(key, HoldStep::Extend, state_ms, |hold| {
                (hold.next, hold.challenge, hold.has_deadline) = (None, None, false);
            })
        } else {
            self.advance(key, HoldStep::Release, state_ms, |hold| {
                (hold.next, hold.challenge) = (None, None);
            })
        };
        answered.map(|hold| Hold { challenge, ..hold })
    }

    /// What comes of a payment whose challenge was failed, or will not be answered any more.
    fn unanswered(&mut self, key: HoldKey, now_ms: i64, state_ms: i64) -> Option<Hold> {
        let (_, hold) = self.holds.get(&key)?;
        let (step, until_ms) = match &hold.next {
            Some(Stage { for_ms, .. }) => (HoldStep::Escalate, now_ms.saturating_add(*for_ms)),
            None => (HoldStep::Confirm, hold.deadline_ms),
        };
        self.advance(key, step, state_ms, |hold| {
            (hold.next, hold.challenge) = (None, None);
            (hold.deadline_ms, hold.has_deadline) = (until_ms, true);
        })
    }

    /// Whether the hold of a subject of its stops a payment.
    fn is_stopped(&self, hold: &Hold) -> bool {
        hold.under.iter().any(|id| self.open_deadline(id).is_some())
    }

    /// Forgets those that ended before this clock of the state.
    pub fn forget(&mut self, before_ms: i64) {
        while let Some((ended_ms, key)) = self.ended.first().copied()
            && ended_ms < before_ms
        {
            self.touch(key);
            self.drop_hold(key);
        }
    }

    /// Forgets those that ended, oldest first, until at most `max_bytes` are held or only open ones are left.
    pub fn shrink(&mut self, max_bytes: usize) {
        while self.bytes > max_bytes
            && let Some((_, oldest)) = self.ended.first().copied()
        {
            self.touch(oldest);
            self.drop_hold(oldest);
        }
    }

    /// Begins a save of what is there now.
    pub fn begin_save(&mut self) {
        self.saving = Some(Walk::default());
    }

    /// Writes the next holds until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        self.saving.as_mut().is_none_or(|walk| walk.part(&self.holds, budget, code, Hold::save))
    }

    /// Writes what changed ahead of its turn since the last part.
    pub fn save_side(&mut self, code: &mut Encoder<'_>) {
        if let Some(walk) = &mut self.saving {
            walk.side(code);
        }
    }

    /// Ends a save, complete or not.
    pub fn end_save(&mut self) {
        self.saving = None;
    }

    /// Reads saved holds into these; their clocks are numbered below `n_clocks`.
    ///
    /// # Errors
    /// Where they are damaged, or come twice.
    pub fn load(&mut self, n_clocks: usize, code: &mut Decoder<'_>) -> Result<(), Damaged> {
        while code.rest() > 0 {
            let (stream, key, hold) = Hold::load(code)?;
            code.demand((stream as usize) < n_clocks, "clock of a hold")?;
            code.demand(!self.holds.contains_key(&key), "a hold comes twice")?;
            self.add(stream, key, hold);
        }
        Ok(())
    }

    /// How many are open.
    pub fn n_open(&self) -> usize {
        self.n_open
    }

    /// How many are saved: open ones and those that ended lately.
    pub fn n_saved(&self) -> usize {
        self.holds.len()
    }

    /// The deadline that comes first on the clock of a stream, ms.
    pub fn next_deadline_ms(&self, stream: u32) -> Option<i64> {
        let first = self.deadlines.range((stream, i64::MIN, EntityKey(0))..).next()?;
        (first.0 == stream).then_some(first.1)
    }

    /// How the open holds wait that have a deadline of their own. `now_ms`: how late it is for the holds of each partition.
    ///
    /// # Cost
    /// A look at each of them.
    pub fn waiting(&self, now_ms: impl Fn(u32) -> i64) -> Waiting {
        let mut waiting = Waiting::default();
        for (clock, deadline_ms, key) in &self.deadlines {
            let Some((_, hold)) = self.holds.get(key) else { continue };
            let oldest_ms = waiting.oldest_ms.unwrap_or(hold.placed_ms);
            waiting.oldest_ms = Some(oldest_ms.min(hold.placed_ms));
            let fifth_ms = deadline_ms.saturating_sub(hold.placed_ms) / 5;
            if deadline_ms.saturating_sub(now_ms(*clock)) < fifth_ms {
                let of = if hold.claim.is_some() {
                    &mut waiting.due_soon_claimed
                } else {
                    &mut waiting.due_soon_unclaimed
                };
                *of += 1;
            }
        }
        waiting
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Heap bytes of open holds, about.
    pub fn open_bytes(&self) -> usize {
        self.open_bytes
    }
}

fn payment(hold: &Hold) -> EntityKey {
    payment_key(&hold.event_type, hold.event_id.as_bytes())
}

/// Whether an answer was given when one could be: after the payment, and where its time runs, before that is over.
///
/// WHY: an answer about yesterday's payment of this id, or one that was written in advance, says nothing about this one.
fn is_in_time(hold: &Hold, Answer { at_ms, behind_ms, .. }: Answer<'_>) -> bool {
    let is_over = hold.due_ms().is_some_and(|due_ms| at_ms > due_ms);
    at_ms >= hold.event_ms.saturating_sub(behind_ms) && !is_over
}

fn step_ends(step: HoldStep) -> bool {
    matches!(step, HoldStep::Release | HoldStep::Confirm | HoldStep::Expire)
}

#[cfg(test)]
mod tests;
