//! Open holds: placed by a decision, ended by their deadline on the clock of the stream that placed them.
//!
//! INVARIANT: one payment (event type, id and body) has at most one open hold; a second decision about it joins the hold
//! that is there.
//! Order of expiry is (deadline, hold id), so it never depends on the order of insertion.
//!
//! # Cost
//! O(log n) in the number of open holds, per hold; nothing per event while no deadline is due.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::rules::syntax::ast::Otherwise;
use crate::state::walk::Walk;

/// Identity of a hold: the key of the payment (event type, id and body).
pub type HoldKey = EntityKey;

/// One open hold, with all that its records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
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
}

/// What became of a wish to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// A new hold.
    New,
    /// The payment was held already; nothing changes.
    Joined,
}

/// All open holds of an engine.
#[derive(Clone, Debug, Default)]
pub struct HoldBook {
    open: BTreeMap<HoldKey, (u32, Hold)>,
    deadlines: BTreeSet<(u32, i64, HoldKey)>,
    bytes: usize,
    saving: Option<Walk<HoldKey>>,
}

impl HoldBook {
    /// Places a hold on the clock of a stream, unless the payment is held already.
    pub fn place(&mut self, stream: u32, key: HoldKey, hold: Hold) -> Placed {
        if self.open.contains_key(&key) {
            return Placed::Joined;
        }
        self.touch(key);
        self.add(stream, key, hold);
        Placed::New
    }

    fn add(&mut self, stream: u32, key: HoldKey, hold: Hold) {
        self.deadlines.insert((stream, hold.deadline_ms, key));
        self.bytes += hold_bytes(&hold);
        self.open.insert(key, (stream, hold));
    }

    fn touch(&mut self, key: HoldKey) {
        if let Some(walk) = &mut self.saving {
            walk.touch(key, self.open.get(&key), Hold::save);
        }
    }

    /// The open hold of a payment.
    pub fn get(&self, key: HoldKey) -> Option<&Hold> {
        self.open.get(&key).map(|(_, hold)| hold)
    }

    /// Takes one hold whose deadline has come on the clock of the stream, earliest first.
    pub fn take_expired(&mut self, stream: u32, clock_ms: i64) -> Option<Hold> {
        let first = *self.deadlines.range((stream, i64::MIN, EntityKey(0))..).next()?;
        if first.0 != stream || first.1 > clock_ms {
            return None;
        }
        self.deadlines.remove(&first);
        self.touch(first.2);
        let (_, hold) = self.open.remove(&first.2)?;
        self.bytes = self.bytes.saturating_sub(hold_bytes(&hold));
        Some(hold)
    }

    /// Begins a save of what is open now.
    pub fn begin_save(&mut self) {
        self.saving = Some(Walk::default());
    }

    /// Writes the next holds until about `budget` bytes are written; says whether all are.
    pub fn save_part(&mut self, budget: usize, code: &mut Encoder<'_>) -> bool {
        self.saving.as_mut().is_none_or(|walk| walk.part(&self.open, budget, code, Hold::save))
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
            code.demand(!self.open.contains_key(&key), "a hold comes twice")?;
            self.add(stream, key, hold);
        }
        Ok(())
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
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
        }
    }

    #[test]
    fn holds_expire_in_deadline_order_on_the_clock_of_their_own_stream() {
        let mut book = HoldBook::default();
        for (stream, id, deadline) in [(0, "b", 20), (0, "a", 10), (1, "c", 5)] {
            let key = EntityKey::of_text(id.as_bytes());
            assert_eq!(book.place(stream, key, hold(id, deadline)), Placed::New);
        }
        assert_eq!(book.take_expired(0, 9), None);
        assert_eq!(book.take_expired(0, 20).map(|h| h.hold_id), Some("a".to_owned()));
        assert_eq!(book.take_expired(0, 20).map(|h| h.hold_id), Some("b".to_owned()));
        assert_eq!(book.take_expired(0, 20), None);
        assert_eq!(book.len(), 1);
        assert_eq!(book.take_expired(1, 5).map(|h| h.hold_id), Some("c".to_owned()));
        assert_eq!(book.bytes(), 0);
    }

    #[test]
    fn one_payment_has_one_hold() {
        let mut book = HoldBook::default();
        let key = EntityKey::of_text(b"t1");
        assert_eq!(book.place(0, key, hold("t1", 10)), Placed::New);
        assert_eq!(book.place(0, key, hold("t1", 99)), Placed::Joined);
        assert_eq!(book.take_expired(0, 50).map(|h| h.deadline_ms), Some(10));
    }
}
