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
    Answer, Ask, Heard, Hold, HoldKey, HoldStep, LONGEST_HOLD_MS, Refusal, Stage, payment_key,
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
            let escalated = self.advance(key, HoldStep::Escalate, state_ms, |hold| {
                (hold.next, hold.challenge, hold.deadline_ms) = (None, None, until_ms);
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
                HoldStep::Release | HoldStep::Confirm => {}
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

    /// Does what a command asks, and gives the hold as it is then, and those that follow it.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn act(&mut self, hold_id: &str, ask: Ask, state_ms: i64) -> Result<Vec<Hold>, Refusal> {
        let key = *self.by_id.get(hold_id).ok_or(Refusal::Unknown)?;
        let (_, hold) = self.holds.get(&key).ok_or(Refusal::Unknown)?;
        let state = hold.state;
        if state.after(ask.step).is_none() {
            return Err(Refusal::Ended(state));
        }
        if ask.expected.is_some_and(|expected| expected != state) {
            return Err(Refusal::Changed(state));
        }
        if ask.step == HoldStep::Extend {
            if !hold.has_deadline {
                return Err(Refusal::Follows(state));
            }
            if ask.until_ms <= hold.deadline_ms {
                return Err(Refusal::NotLater(state));
            }
            if hold.limit.as_ref().is_some_and(|limit| ask.until_ms > limit.until_ms) {
                return Err(Refusal::BeyondRail(state));
            }
            if ask.until_ms > hold.placed_ms.saturating_add(LONGEST_HOLD_MS) {
                return Err(Refusal::TooLong(state));
            }
        }
        let acted = self.advance(key, ask.step, state_ms, |hold| {
            if ask.step == HoldStep::Extend {
                hold.deadline_ms = ask.until_ms;
            }
        });
        Ok(self.with_followers(acted, ask.step, state_ms))
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

    /// How the open holds wait that have a deadline of their own: when the oldest was placed, in ms of event time, and how many
    /// have less than a fifth of their time left. `now_ms`: how late it is for the holds of each partition.
    ///
    /// # Cost
    /// A look at each of them.
    pub fn waiting(&self, now_ms: impl Fn(u32) -> i64) -> (Option<i64>, usize) {
        let open = self.deadlines.iter().filter_map(|(clock, deadline_ms, key)| {
            Some((*clock, *deadline_ms, self.holds.get(key)?.1.placed_ms))
        });
        let (mut oldest_ms, mut due_soon) = (None, 0);
        for (clock, deadline_ms, placed_ms) in open {
            oldest_ms =
                Some(oldest_ms.map_or(placed_ms, |oldest_ms: i64| oldest_ms.min(placed_ms)));
            let fifth_ms = deadline_ms.saturating_sub(placed_ms) / 5;
            due_soon += usize::from(deadline_ms.saturating_sub(now_ms(clock)) < fifth_ms);
        }
        (oldest_ms, due_soon)
    }

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
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
mod tests {
    use super::*;
    use crate::decision::holds::{Challenge, HoldState};

    fn asked(method: &str) -> Challenge {
        Challenge { method: method.to_owned(), parties: Vec::new() }
    }

    fn hold(id: &str, deadline_ms: i64) -> Hold {
        Hold {
            state: HoldState::Placed,
            hold_id: id.to_owned(),
            event_type: "transfer".to_owned(),
            event_id: id.to_owned(),
            event_ms: 0,
            placed_ms: 0,
            all_payments: false,
            amount: None,
            score: 0,
            placed_by: vec!["R-1".to_owned()],
            reasons: Vec::new(),
            under: Vec::new(),
            has_deadline: true,
            deadline_ms,
            next: None,
            otherwise: Otherwise::Release,
            limit: None,
            challenge: None,
            decision_id: String::new(),
            output_key: Vec::new(),
            ended_ms: 0,
        }
    }

    /// What became of the holds that were taken: id, state and deadline.
    fn told(taken: &[Hold]) -> Vec<(String, HoldState, i64)> {
        taken.iter().map(|hold| (hold.hold_id.clone(), hold.state, hold.deadline_ms)).collect()
    }

    fn expired(book: &mut HoldBook, stream: u32, clock_ms: i64) -> Vec<(String, HoldState, i64)> {
        told(&book.take_expired(stream, clock_ms, 0))
    }

    #[test]
    fn holds_expire_in_deadline_order_on_the_clock_of_their_own_stream() {
        let mut book = HoldBook::default();
        for (stream, id, deadline) in [(0, "b", 20), (0, "a", 10), (1, "c", 5)] {
            let key = EntityKey::of_text(id.as_bytes());
            assert_eq!(book.place(stream, key, hold(id, deadline)), Placed::New);
        }
        assert_eq!(expired(&mut book, 0, 9), []);
        assert_eq!(expired(&mut book, 0, 20), [("a".to_owned(), HoldState::Expired, 10)]);
        assert_eq!(expired(&mut book, 0, 20), [("b".to_owned(), HoldState::Expired, 20)]);
        assert_eq!(expired(&mut book, 0, 20), []);
        assert_eq!(book.n_open(), 1);
        assert_eq!(expired(&mut book, 1, 5), [("c".to_owned(), HoldState::Expired, 5)]);
        book.forget(1);
        assert_eq!((book.n_saved(), book.bytes()), (0, 0));
    }

    #[test]
    fn how_open_holds_wait_is_told_by_the_clock_of_their_own_stream() {
        let mut book = HoldBook::default();
        assert_eq!(book.waiting(|_| 0), (None, 0));
        // Placed at 100, 200 and 300; a fifth of the time of the first is 20, of the others 40.
        for (stream, id, placed_ms, deadline) in
            [(0, "a", 100, 200), (0, "b", 200, 400), (1, "c", 300, 500)]
        {
            let held = Hold { placed_ms, ..hold(id, deadline) };
            book.place(stream, EntityKey::of_text(id.as_bytes()), held);
        }
        let at = |book: &HoldBook, first: i64, second: i64| {
            book.waiting(|stream| if stream == 0 { first } else { second })
        };
        assert_eq!(at(&book, 180, 460), (Some(100), 0));
        assert_eq!(at(&book, 181, 461), (Some(100), 2));
        expired(&mut book, 0, 200);
        assert_eq!(at(&book, 360, 0), (Some(200), 0));
        assert_eq!(at(&book, 361, 0), (Some(200), 1));
    }

    #[test]
    fn one_payment_has_one_hold() {
        let mut book = HoldBook::default();
        let key = EntityKey::of_text(b"t1");
        assert_eq!(book.place(0, key, hold("t1", 10)), Placed::New);
        assert_eq!(book.place(0, key, hold("t1", 99)), Placed::Joined);
        assert_eq!(expired(&mut book, 0, 50), [("t1".to_owned(), HoldState::Expired, 10)]);
    }

    /// A subject that is held until 100, and payments: `a` and `b` follow it alone, `c` has its own deadline at 50 and `d` at 150.
    fn with_subject(otherwise: Otherwise) -> HoldBook {
        let mut book = HoldBook::default();
        let subject = Hold { all_payments: true, otherwise, ..hold("s", 100) };
        let under = vec!["s".to_owned()];
        let own = |id: &str, deadline_ms| Hold { under: under.clone(), ..hold(id, deadline_ms) };
        let follows = |id: &str| Hold { has_deadline: false, ..own(id, 100) };
        let payments = [follows("a"), follows("b"), own("c", 50), own("d", 150)];
        for held in payments.into_iter().chain([subject]) {
            let key = EntityKey::of_text(held.hold_id.as_bytes());
            assert_eq!(book.place(0, key, held), Placed::New);
        }
        book
    }

    fn ask(step: HoldStep, until_ms: i64) -> Ask {
        Ask { step, until_ms, expected: None }
    }

    fn sorted(mut told: Vec<(String, HoldState, i64)>) -> Vec<(String, HoldState, i64)> {
        told.sort_by(|one, other| one.0.cmp(&other.0));
        told
    }

    fn all(told: &[(&str, HoldState, i64)]) -> Vec<(String, HoldState, i64)> {
        told.iter().map(|(id, state, at)| ((*id).to_owned(), *state, *at)).collect()
    }

    #[test]
    fn what_follows_a_subject_goes_with_it_and_what_has_reasons_of_its_own_stays() {
        use HoldState::{Confirmed, Expired, Extended, Released};
        let mut book = with_subject(Otherwise::Release);
        assert!(book.holds_subjects() && book.n_open() == 5);
        let released = book.act("s", ask(HoldStep::Release, 0), 0).unwrap();
        let expected = all(&[("a", Released, 100), ("b", Released, 100), ("s", Released, 100)]);
        assert_eq!(sorted(told(&released)), expected);
        assert!(!book.holds_subjects() && book.n_open() == 2);
        assert_eq!(expired(&mut book, 0, 50), all(&[("c", Expired, 50)]));

        // While the subject is held, a payment whose own reasons are over goes on with it.
        let mut book = with_subject(Otherwise::Release);
        assert_eq!(expired(&mut book, 0, 50), all(&[("c", Extended, 100)]));
        let by_then = sorted(expired(&mut book, 0, 100));
        let expected = all(&[
            ("a", Expired, 100),
            ("b", Expired, 100),
            ("c", Expired, 100),
            ("s", Expired, 100),
        ]);
        assert_eq!(by_then, expected);
        assert_eq!(expired(&mut book, 0, 150), all(&[("d", Expired, 150)]));

        // Refused with the subject, whatever they wait for; and so at its end where that blocks.
        let mut book = with_subject(Otherwise::Release);
        let confirmed = book.act("s", ask(HoldStep::Confirm, 0), 0).unwrap();
        assert!(confirmed.len() == 5 && confirmed.iter().all(|hold| hold.state == Confirmed));
        let mut book = with_subject(Otherwise::Block);
        expired(&mut book, 0, 50);
        let ended = book.take_expired(0, 100, 0);
        let blocked = ended.iter().filter(|hold| hold.otherwise == Otherwise::Block);
        assert_eq!((ended.len(), blocked.count(), book.n_open()), (5, 5, 0));
    }

    #[test]
    fn a_later_deadline_of_the_subject_is_that_of_what_follows() {
        use HoldState::Extended;
        let mut book = with_subject(Otherwise::Release);
        assert_eq!(
            book.act("a", ask(HoldStep::Extend, 500), 0),
            Err(Refusal::Follows(HoldState::Placed))
        );
        let extended = book.act("s", ask(HoldStep::Extend, 120), 0).unwrap();
        let expected = all(&[("a", Extended, 120), ("b", Extended, 120), ("s", Extended, 120)]);
        assert_eq!(sorted(told(&extended)), expected);
        // One payment may go before the others.
        assert_eq!(book.act("a", ask(HoldStep::Release, 0), 0).unwrap().len(), 1);
        assert_eq!(book.n_open(), 4);
    }

    #[test]
    fn a_first_deadline_escalates_and_the_second_ends() {
        use HoldState::{Confirmed, Escalated, Expired, Released};
        let key = EntityKey::of_text(b"t");
        let staged = |queue: Option<&str>, challenge: Option<&str>| {
            let mut book = HoldBook::default();
            let next = Some(Stage { for_ms: 40, queue: queue.map(str::to_owned) });
            let challenge = challenge.map(asked);
            book.place(0, key, Hold { next, challenge, ..hold("t", 10) });
            book
        };
        let mut book = staged(Some("seniors"), None);
        assert_eq!(expired(&mut book, 0, 30), all(&[("t", Escalated, 50)]));
        assert_eq!((expired(&mut book, 0, 49), book.n_open()), (vec![], 1));
        assert_eq!(expired(&mut book, 0, 50), all(&[("t", Expired, 50)]));
        // Both deadlines may have come by a clock that stood still.
        let mut book = staged(None, None);
        let both = told(&book.expire("t", 60, 0));
        assert_eq!(both, all(&[("t", Escalated, 50), ("t", Expired, 50)]));
        // A challenge: passed it goes, failed it is held from then on, or refused where nothing else was to come.
        let payment = payment_key("transfer", b"t");
        let answer = |book: &mut HoldBook, passed| {
            let answer = Answer { passed, at_ms: 5, behind_ms: 0, of: Some(&[]) };
            told(&book.answer(payment, answer, 5, 0).1)
        };
        let sms = || staged(None, Some("sms"));
        assert_eq!(answer(&mut sms(), true), all(&[("t", Released, 10)]));
        assert_eq!(answer(&mut sms(), false), all(&[("t", Escalated, 45)]));
        assert_eq!(answer(&mut staged(None, None), true), []);
        let mut book = HoldBook::default();
        book.place(0, key, Hold { challenge: Some(asked("sms")), ..hold("t", 10) });
        assert_eq!(answer(&mut book, false), all(&[("t", Confirmed, 10)]));
        assert_eq!(answer(&mut book, true), []);
        // Two payments under one id: nobody knows which was passed, and both are failed.
        let mut book = sms();
        let other = EntityKey::of_text(b"t with another amount");
        book.place(0, other, Hold { challenge: Some(asked("sms")), ..hold("t", 10) });
        assert_eq!((answer(&mut book, true), book.n_open()), (vec![], 2));
        assert_eq!(answer(&mut book, false).len(), 2);
    }

    #[test]
    fn saved_holds_read_back_with_all_that_they_say() {
        let mut book = with_subject(Otherwise::Block);
        let next = Some(Stage { for_ms: 40, queue: Some("seniors".to_owned()) });
        let parties = vec![("customer".to_owned(), EntityKey(7))];
        let challenge = Some(Challenge { parties, ..asked("sms") });
        let amount = Some(("1.00".to_owned(), "EUR".to_owned()));
        let full = Hold { next, challenge, amount, score: 70, ..hold("full", 10) };
        book.place(1, EntityKey::of_text(b"full"), full);
        let mut bytes = Vec::new();
        book.begin_save();
        assert!(book.save_part(1 << 20, &mut Encoder::new(&mut bytes)));
        let mut loaded = HoldBook::default();
        loaded.load(2, &mut Decoder::new(&bytes)).unwrap();
        assert_eq!(loaded.holds, book.holds);
        assert_eq!((loaded.n_open(), loaded.bytes()), (book.n_open(), book.bytes()));
        assert_eq!((loaded.deadlines, loaded.followers), (book.deadlines, book.followers));
        assert_eq!((loaded.waiting.len(), loaded.waiting), (1, book.waiting));
    }
}
