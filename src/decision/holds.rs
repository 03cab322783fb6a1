//! Holds: placed by a decision, ended by a command or by their deadline on the clock of the stream that placed them.
//!
//! INVARIANT: one payment (event type, id and body) has at most one open hold; a second decision about it joins the hold
//! that is there.
//! INVARIANT: what is stopped is let go or refused once: a hold that has ended never changes again ([`HoldState::after`] is
//! the whole table).
//! Order of expiry is (deadline, key of the hold), so it never depends on the order of insertion.
//!
//! A hold that has ended is remembered for a while without its details, so that a command that comes too late hears what
//! became of it.
//!
//! # Cost
//! O(log n) in the number of holds, per hold or command; nothing per event while no deadline is due.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::rules::syntax::ast::Otherwise;
use crate::state::walk::Walk;

/// Identity of a hold: the key of the payment (event type, id and body).
pub type HoldKey = EntityKey;

/// Most holds that have ended and are remembered. Who would be asked of more than these within the time for which ids are
/// remembered answers that it does not know the oldest.
const MOST_ENDED: usize = 65_536;

/// How far a hold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// It stops the payment.
    Placed,
    /// The same, and its deadline was put off.
    Extended,
    /// A command let the payment go.
    Released,
    /// A command refused the payment.
    Confirmed,
    /// Nobody decided until the deadline; what comes then is its `otherwise`.
    Expired,
}

/// What happens to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldStep {
    /// Somebody puts its deadline off.
    Extend,
    /// Somebody lets the payment go.
    Release,
    /// Somebody refuses the payment.
    Confirm,
    /// Its deadline comes.
    Expire,
}

impl HoldState {
    /// Every state.
    pub const ALL: [Self; 5] =
        [Self::Placed, Self::Extended, Self::Released, Self::Confirmed, Self::Expired];

    /// As records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Extended => "extended",
            Self::Released => "released",
            Self::Confirmed => "confirmed",
            Self::Expired => "expired",
        }
    }

    /// The state of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether the payment is stopped and nobody has decided yet.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Placed | Self::Extended)
    }

    /// The state after a step; none where it is not possible.
    pub fn after(self, step: HoldStep) -> Option<Self> {
        if !self.is_open() {
            return None;
        }
        Some(match step {
            HoldStep::Extend => Self::Extended,
            HoldStep::Release => Self::Released,
            HoldStep::Confirm => Self::Confirmed,
            HoldStep::Expire => Self::Expired,
        })
    }
}

/// Why a hold does not take a step that a command asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No hold of this id is here, or it ended long ago.
    Unknown,
    /// It has ended, in this state.
    Ended(HoldState),
    /// It is open, but not as the command expects it.
    Changed(HoldState),
    /// The deadline that was asked for is not later than the one that it has.
    NotLater(HoldState),
    /// The hold would be open for longer than is allowed.
    TooLong(HoldState),
}

impl Refusal {
    /// As records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown_hold",
            Self::Ended(_) => "ended",
            Self::Changed(_) => "changed",
            Self::NotLater(_) => "not_later",
            Self::TooLong(_) => "too_long",
        }
    }

    /// The state of the hold, where there is one.
    pub fn state(self) -> Option<HoldState> {
        match self {
            Self::Unknown => None,
            Self::Ended(state)
            | Self::Changed(state)
            | Self::NotLater(state)
            | Self::TooLong(state) => Some(state),
        }
    }
}

/// What a command asks of a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The step.
    pub step: HoldStep,
    /// The new deadline of an extension, ms of event time.
    pub until_ms: i64,
    /// Refuse unless the hold is in this state.
    pub expected: Option<HoldState>,
}

/// The longest that commands may keep a hold open: 400 days.
///
/// WHY: a year and the days of a quarrel about it. A slip in a date may not stop somebody's wages for a century.
pub const LONGEST_HOLD_MS: i64 = 400 * 86_400_000;

/// One hold, with all that its records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How far it has come.
    pub state: HoldState,
    /// Written id.
    pub hold_id: String,
    /// Type of the held event.
    pub event_type: String,
    /// Its id.
    pub event_id: String,
    /// Its time in ms.
    pub event_ms: i64,
    /// When the hold was placed, ms: the event's time, but never beyond its partition's clock.
    pub placed_ms: i64,
    /// Its amount (decimal text) and currency.
    pub amount: Option<(String, String)>,
    /// Ids of the rules that placed it.
    pub placed_by: Vec<String>,
    /// In words.
    pub reasons: Vec<String>,
    /// When it ends, ms of event time.
    pub deadline_ms: i64,
    /// What happens then.
    pub otherwise: Otherwise,
    /// The decision that placed it.
    pub decision_id: String,
    /// The output key, so that all records of one hold share a partition.
    pub output_key: Vec<u8>,
    /// The clock of the state when it ended, ms; 0 while it is open.
    pub ended_ms: i64,
}

/// What became of a wish to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// A new hold.
    New,
    /// The payment was held already; nothing changes.
    Joined,
}

/// All holds of an engine: the open ones, and those that ended lately.
#[derive(Clone, Debug, Default)]
pub struct HoldBook {
    holds: BTreeMap<HoldKey, (u32, Hold)>,
    by_id: BTreeMap<String, HoldKey>,
    deadlines: BTreeSet<(u32, i64, HoldKey)>,
    /// Those that ended, by the clock of the state then.
    ended: BTreeSet<(i64, HoldKey)>,
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
            self.deadlines.insert((stream, hold.deadline_ms, key));
        } else {
            self.ended.insert((hold.ended_ms, key));
        }
        self.bytes += hold_bytes(&hold);
        self.by_id.insert(hold.hold_id.clone(), key);
        self.holds.insert(key, (stream, hold));
    }

    fn drop_hold(&mut self, key: HoldKey) {
        let Some((stream, hold)) = self.holds.remove(&key) else { return };
        self.deadlines.remove(&(stream, hold.deadline_ms, key));
        self.ended.remove(&(hold.ended_ms, key));
        self.bytes = self.bytes.saturating_sub(hold_bytes(&hold));
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

    /// Takes a step with a hold and gives it as it is now, with its details. `state_ms` is the clock that state is forgotten
    /// by.
    fn advance(
        &mut self,
        key: HoldKey,
        (step, until_ms): (HoldStep, i64),
        state_ms: i64,
    ) -> Option<Hold> {
        let (_, hold) = self.holds.get(&key)?;
        let after = hold.state.after(step)?;
        self.touch(key);
        let (stream, mut hold) = (self.holds.get(&key)?.0, self.holds.get(&key)?.1.clone());
        self.drop_hold(key);
        hold.state = after;
        if after.is_open() {
            hold.deadline_ms = until_ms;
            self.add(stream, key, hold.clone());
            return Some(hold);
        }
        hold.ended_ms = state_ms;
        let kept =
            Hold { placed_by: Vec::new(), reasons: Vec::new(), amount: None, ..hold.clone() };
        self.add(stream, key, kept);
        if self.ended.len() > MOST_ENDED
            && let Some((_, oldest)) = self.ended.first().copied()
        {
            self.touch(oldest);
            self.drop_hold(oldest);
        }
        Some(hold)
    }

    /// Takes one hold to its end whose deadline has come on the clock of the stream, earliest first.
    pub fn take_expired(&mut self, stream: u32, clock_ms: i64, state_ms: i64) -> Option<Hold> {
        let first = *self.deadlines.range((stream, i64::MIN, EntityKey(0))..).next()?;
        if first.0 != stream || first.1 > clock_ms {
            return None;
        }
        self.advance(first.2, (HoldStep::Expire, 0), state_ms)
    }

    /// The hold of this id, open or ended lately.
    pub fn find(&self, hold_id: &str) -> Option<&Hold> {
        self.holds.get(self.by_id.get(hold_id)?).map(|(_, hold)| hold)
    }

    /// Ends one open hold whose deadline has passed by another clock than its stream's.
    pub fn expire(&mut self, hold_id: &str, now_ms: i64, state_ms: i64) -> Option<Hold> {
        let key = *self.by_id.get(hold_id)?;
        let (_, hold) = self.holds.get(&key)?;
        if hold.deadline_ms > now_ms {
            return None;
        }
        self.advance(key, (HoldStep::Expire, 0), state_ms)
    }

    /// Does what a command asks, and gives the hold as it is then.
    ///
    /// # Errors
    /// Why it is not done.
    pub fn act(&mut self, hold_id: &str, ask: Ask, state_ms: i64) -> Result<Hold, Refusal> {
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
            if ask.until_ms <= hold.deadline_ms {
                return Err(Refusal::NotLater(state));
            }
            if ask.until_ms > hold.placed_ms.saturating_add(LONGEST_HOLD_MS) {
                return Err(Refusal::TooLong(state));
            }
        }
        self.advance(key, (ask.step, ask.until_ms), state_ms).ok_or(Refusal::Unknown)
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
        self.deadlines.len()
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

    /// Heap bytes, about.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Hold {
    fn save(key: &HoldKey, (stream, hold): &(u32, Self), code: &mut Encoder<'_>) {
        code.var(u64::from(*stream));
        code.wide(key.0);
        let state = HoldState::ALL.iter().position(|state| *state == hold.state);
        code.count(state.unwrap_or(0));
        code.int(hold.ended_ms);
        for text in [&hold.hold_id, &hold.event_type, &hold.event_id, &hold.decision_id] {
            code.text(text);
        }
        code.int(hold.event_ms);
        code.int(hold.placed_ms);
        code.int(hold.deadline_ms);
        code.flag(hold.amount.is_some());
        if let Some((value, currency)) = &hold.amount {
            code.text(value);
            code.text(currency);
        }
        for texts in [&hold.placed_by, &hold.reasons] {
            code.count(texts.len());
            for text in texts {
                code.text(text);
            }
        }
        code.flag(hold.otherwise == Otherwise::Block);
        code.bytes(&hold.output_key);
    }

    fn load(code: &mut Decoder<'_>) -> Result<(u32, HoldKey, Self), Damaged> {
        const WHAT: &str = "hold";
        let (stream, key) = (code.narrow(WHAT)?, EntityKey(code.wide(WHAT)?));
        let state = code.index(WHAT)?;
        let state = HoldState::ALL.get(state).copied();
        let state = state.ok_or_else(|| code.damaged("state of a hold"))?;
        let ended_ms = code.int(WHAT)?;
        let mut text = || code.text(WHAT).map(str::to_owned);
        let (hold_id, event_type, event_id, decision_id) = (text()?, text()?, text()?, text()?);
        let (event_ms, placed_ms, deadline_ms) =
            (code.int(WHAT)?, code.int(WHAT)?, code.int(WHAT)?);
        let amount = if code.flag(WHAT)? {
            Some((code.text(WHAT)?.to_owned(), code.text(WHAT)?.to_owned()))
        } else {
            None
        };
        let (placed_by, reasons) = (load_texts(code)?, load_texts(code)?);
        let otherwise = if code.flag(WHAT)? { Otherwise::Block } else { Otherwise::Release };
        let output_key = code.bytes(WHAT)?.to_vec();
        let hold = Self {
            state,
            hold_id,
            event_type,
            event_id,
            event_ms,
            placed_ms,
            amount,
            placed_by,
            reasons,
            deadline_ms,
            otherwise,
            decision_id,
            output_key,
            ended_ms,
        };
        Ok((stream, key, hold))
    }
}

fn load_texts(code: &mut Decoder<'_>) -> Result<Vec<String>, Damaged> {
    const WHAT: &str = "texts of a hold";
    let n = code.count(1, WHAT)?;
    (0..n).map(|_| code.text(WHAT).map(str::to_owned)).collect()
}

fn hold_bytes(hold: &Hold) -> usize {
    let texts = hold.placed_by.iter().chain(&hold.reasons).map(String::len).sum::<usize>();
    texts + hold.event_id.len() + hold.event_type.len() + hold.output_key.len() + 512
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(id: &str, deadline_ms: i64) -> Hold {
        Hold {
            state: HoldState::Placed,
            hold_id: id.to_owned(),
            event_type: "transfer".to_owned(),
            event_id: id.to_owned(),
            event_ms: 0,
            placed_ms: 0,
            amount: None,
            placed_by: vec!["R-1".to_owned()],
            reasons: Vec::new(),
            deadline_ms,
            otherwise: Otherwise::Release,
            decision_id: String::new(),
            output_key: Vec::new(),
            ended_ms: 0,
        }
    }

    #[test]
    fn holds_expire_in_deadline_order_on_the_clock_of_their_own_stream() {
        let mut book = HoldBook::default();
        for (stream, id, deadline) in [(0, "b", 20), (0, "a", 10), (1, "c", 5)] {
            let key = EntityKey::of_text(id.as_bytes());
            assert_eq!(book.place(stream, key, hold(id, deadline)), Placed::New);
        }
        assert_eq!(book.take_expired(0, 9, 0), None);
        assert_eq!(book.take_expired(0, 20, 0).map(|h| h.hold_id), Some("a".to_owned()));
        assert_eq!(book.take_expired(0, 20, 0).map(|h| h.hold_id), Some("b".to_owned()));
        assert_eq!(book.take_expired(0, 20, 0), None);
        assert_eq!(book.n_open(), 1);
        assert_eq!(book.take_expired(1, 5, 0).map(|h| h.hold_id), Some("c".to_owned()));
        book.forget(1);
        assert_eq!((book.n_saved(), book.bytes()), (0, 0));
    }

    #[test]
    fn one_payment_has_one_hold() {
        let mut book = HoldBook::default();
        let key = EntityKey::of_text(b"t1");
        assert_eq!(book.place(0, key, hold("t1", 10)), Placed::New);
        assert_eq!(book.place(0, key, hold("t1", 99)), Placed::Joined);
        assert_eq!(book.take_expired(0, 50, 0).map(|h| h.deadline_ms), Some(10));
    }
}
