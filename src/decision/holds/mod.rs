//! Holds: placed by a decision or a command, ended by a command, an answer or their deadline on the clock of the stream that
//! placed them. What one is and which steps it takes stand here; [`HoldBook`] keeps them.
//!
//! A hold is of one payment, or of a subject: every payment of a customer, an account, a card. A payment that comes while its
//! subject is held gets a hold of its own that follows the subject's ([`Hold::under`]), so whoever moves the money obeys the
//! holds of payments and nothing else.
//!
//! A hold may have two stages: when the first deadline comes, people are asked once more, or a challenge that nobody answered
//! becomes a plain hold ([`Stage`]). A payment's rail may leave less time than that ([`Limit`]). People may be asked before that,
//! too, and say that they work on it ([`AskedFor`]).

mod asked;
mod book;
mod limit;

pub use asked::{Ask, AskedFor, Asker, Claim, LONGEST_HOLD_MS, Refusal};
pub use book::{HoldBook, Placed, Stopping, Waiting};
pub use limit::Limit;

use crate::base::EntityKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::rules::syntax::ast::Otherwise;

/// Identity of a hold: the key of the payment (event type, id and body), or of the subject.
pub type HoldKey = EntityKey;

/// The key of the hold of a subject: the kind of entity, and its id.
pub fn subject_key(entity: &str, id: &[u8]) -> HoldKey {
    EntityKey::combine(&[b"subject", entity.as_bytes(), id].map(EntityKey::of_text))
}

/// What names a payment to whoever answers its challenge: its type and its id, whatever else is in it.
pub fn payment_key(event_type: &str, id: &[u8]) -> EntityKey {
    EntityKey::combine(&[event_type.as_bytes(), id].map(EntityKey::of_text))
}

/// An entity that a payment names: the field, and the key of the id in it.
pub type Party = (String, EntityKey);

/// A second factor that is awaited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// Its method.
    pub method: String,
    /// Whose payment it is: each field that names an entity, with the key of its id.
    pub parties: Vec<Party>,
}

impl Challenge {
    /// Whether an answer is by those whom it has to be by.
    fn is_by(&self, answer: Answer<'_>) -> bool {
        answer.of.is_some_and(|of| of.iter().all(|party| self.parties.contains(party)))
    }

    fn save(&self, code: &mut Encoder<'_>) {
        code.text(&self.method);
        code.count(self.parties.len());
        for (kind, key) in &self.parties {
            code.text(kind);
            code.wide(key.0);
        }
    }

    fn load(code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "challenge of a hold";
        let method = code.text(WHAT)?.to_owned();
        let n = code.count(17, WHAT)?;
        let party = |_| Ok((code.text(WHAT)?.to_owned(), EntityKey(code.wide(WHAT)?)));
        let parties = (0..n).map(party).collect::<Result<_, Damaged>>()?;
        Ok(Self { method, parties })
    }
}

/// What an answer says about the challenge of a payment.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// Whether it was passed; else it was failed.
    pub passed: bool,
    /// When, ms of event time by the clock of whoever answers.
    pub at_ms: i64,
    /// By how much that clock may be behind the payment's.
    pub behind_ms: i64,
    /// What the payment must name, too; absent: the answer does not say whose it is, though it must.
    pub of: Option<&'a [Party]>,
}

/// What came of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// What waited goes.
    Passed,
    /// What waited is stopped, or goes on to what was to come.
    Failed,
    /// No payment of the id waits for an answer.
    NothingWaits,
    /// The one that waits is somebody else's.
    OtherParty,
    /// It says that it was given before the payment, or after the time for it.
    OtherTime,
    /// It was passed, and more than one payment waits under the id: which one is not known.
    Ambiguous,
    /// It is dated further ahead of its arrival than is believed.
    FromFuture,
}

impl Heard {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Passed,
        Self::Failed,
        Self::NothingWaits,
        Self::OtherParty,
        Self::OtherTime,
        Self::Ambiguous,
        Self::FromFuture,
    ];

    /// As metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::NothingWaits => "nothing_waits",
            Self::OtherParty => "other_party",
            Self::OtherTime => "other_time",
            Self::Ambiguous => "ambiguous",
            Self::FromFuture => "from_future",
        }
    }
}

/// How far a hold has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// It stops the payment.
    Placed,
    /// The same, and its deadline was put off.
    Extended,
    /// The same, and others were asked: by somebody, or because nobody decided until its first deadline.
    Escalated,
    /// The payment may go.
    Released,
    /// The payment is refused.
    Confirmed,
    /// Nobody decided until the deadline; what comes then is its `otherwise`.
    Expired,
}

/// What happens to a hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HoldStep {
    /// Its deadline is put off.
    Extend,
    /// Others are asked: its first deadline comes, and there is a second, or somebody wants it now.
    Escalate,
    /// Somebody works on it, or no longer.
    Claim,
    /// The payment is let go.
    Release,
    /// The payment is refused.
    Confirm,
    /// Its last deadline comes.
    Expire,
}

impl HoldState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Placed,
        Self::Extended,
        Self::Escalated,
        Self::Released,
        Self::Confirmed,
        Self::Expired,
    ];

    /// As records and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Placed => "placed",
            Self::Extended => "extended",
            Self::Escalated => "escalated",
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
        matches!(self, Self::Placed | Self::Extended | Self::Escalated)
    }

    /// The state after a step; none where it is not possible.
    pub fn after(self, step: HoldStep) -> Option<Self> {
        if !self.is_open() {
            return None;
        }
        Some(match step {
            HoldStep::Extend => Self::Extended,
            HoldStep::Escalate => Self::Escalated,
            HoldStep::Claim => self,
            HoldStep::Release => Self::Released,
            HoldStep::Confirm => Self::Confirmed,
            HoldStep::Expire => Self::Expired,
        })
    }
}

/// What comes at the first deadline of a hold that has two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// From the first deadline to the second, ms.
    pub for_ms: i64,
    /// Who is asked then; nobody where a challenge was not answered.
    pub queue: Option<String>,
}

/// One hold, with all that its records say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// How far it has come.
    pub state: HoldState,
    /// Written id.
    pub hold_id: String,
    /// Type of the held event, or the kind of the subject.
    pub event_type: String,
    /// Its id.
    pub event_id: String,
    /// The event's time in ms; of a subject's hold that of its placing.
    pub event_ms: i64,
    /// Whether every payment of the subject is held.
    pub all_payments: bool,
    /// When the hold was placed, ms: the event's time, but never beyond its partition's clock.
    pub placed_ms: i64,
    /// Its amount (decimal text) and currency.
    pub amount: Option<(String, String)>,
    /// Risk points of the decision.
    pub score: i32,
    /// Ids of the rules that placed it; `subject` where the hold of a subject did, `command` where somebody did by hand.
    pub placed_by: Vec<String>,
    /// In words.
    pub reasons: Vec<String>,
    /// Ids of the holds of subjects that it follows.
    pub under: Vec<String>,
    /// Whether its own deadline counts; one that only follows has none.
    pub has_deadline: bool,
    /// When it ends, ms of event time.
    pub deadline_ms: i64,
    /// What comes at the deadline instead of the end.
    pub next: Option<Stage>,
    /// What happens at the end, where its rail leaves time until then ([`Hold::at_the_end`]).
    pub otherwise: Otherwise,
    /// How long its rail leaves; none of a subject's.
    pub limit: Option<Limit>,
    /// The second factor that was asked for, while it is awaited.
    pub challenge: Option<Challenge>,
    /// Who works on it.
    pub claim: Option<Claim>,
    /// The decision that placed it.
    pub decision_id: String,
    /// The output key, so that all records of one hold share a partition.
    pub output_key: Vec<u8>,
    /// The clock of the state when it ended, ms; 0 while it is open.
    pub ended_ms: i64,
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
        code.flag(hold.all_payments);
        code.int(hold.placed_ms);
        code.int(hold.deadline_ms);
        code.flag(hold.has_deadline);
        code.int(i64::from(hold.score));
        code.flag(hold.amount.is_some());
        if let Some((value, currency)) = &hold.amount {
            code.text(value);
            code.text(currency);
        }
        for texts in [&hold.placed_by, &hold.reasons, &hold.under] {
            code.count(texts.len());
            for text in texts {
                code.text(text);
            }
        }
        code.flag(hold.next.is_some());
        if let Some(Stage { for_ms, queue }) = &hold.next {
            code.int(*for_ms);
            save_option(queue.as_deref(), code);
        }
        code.flag(hold.otherwise == Otherwise::Block);
        Limit::save(hold.limit.as_ref(), code);
        code.flag(hold.challenge.is_some());
        if let Some(challenge) = &hold.challenge {
            challenge.save(code);
        }
        code.flag(hold.claim.is_some());
        if let Some(Claim { by, at_ms }) = &hold.claim {
            code.text(by);
            code.int(*at_ms);
        }
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
        let (event_ms, all_payments) = (code.int(WHAT)?, code.flag(WHAT)?);
        let (placed_ms, deadline_ms) = (code.int(WHAT)?, code.int(WHAT)?);
        let has_deadline = code.flag(WHAT)?;
        let score = i32::try_from(code.int(WHAT)?).map_err(|_| code.damaged(WHAT))?;
        let amount = if code.flag(WHAT)? {
            Some((code.text(WHAT)?.to_owned(), code.text(WHAT)?.to_owned()))
        } else {
            None
        };
        let (placed_by, reasons) = (load_texts(code)?, load_texts(code)?);
        let under = load_texts(code)?;
        let next = if code.flag(WHAT)? {
            Some(Stage { for_ms: code.int(WHAT)?, queue: load_option(code)? })
        } else {
            None
        };
        let otherwise = if code.flag(WHAT)? { Otherwise::Block } else { Otherwise::Release };
        let limit = Limit::load(code)?;
        let there = code.flag(WHAT)?;
        let challenge = there.then(|| Challenge::load(code)).transpose()?;
        let claim = if code.flag(WHAT)? {
            Some(Claim { by: code.text(WHAT)?.to_owned(), at_ms: code.int(WHAT)? })
        } else {
            None
        };
        let output_key = code.bytes(WHAT)?.to_vec();
        let hold = Self {
            state,
            hold_id,
            event_type,
            event_id,
            event_ms,
            all_payments,
            placed_ms,
            amount,
            score,
            placed_by,
            reasons,
            under,
            has_deadline,
            deadline_ms,
            next,
            otherwise,
            limit,
            challenge,
            claim,
            decision_id,
            output_key,
            ended_ms,
        };
        Ok((stream, key, hold))
    }

    fn bytes(&self) -> usize {
        let texts = [&self.placed_by, &self.reasons, &self.under].into_iter().flatten();
        let texts = texts.map(String::len).sum::<usize>();
        let parties = self.challenge.iter().flat_map(|challenge| &challenge.parties);
        let parties = parties.map(|(kind, _)| kind.len() + 40).sum::<usize>();
        let limit = self.limit.as_ref().map_or(0, Limit::bytes);
        let claim = self.claim.as_ref().map_or(0, |claim| claim.by.len());
        texts
            + parties
            + limit
            + claim
            + self.event_id.len()
            + self.event_type.len()
            + self.output_key.len()
            + 640
    }
}

fn save_option(text: Option<&str>, code: &mut Encoder<'_>) {
    code.flag(text.is_some());
    if let Some(text) = text {
        code.text(text);
    }
}

fn load_option(code: &mut Decoder<'_>) -> Result<Option<String>, Damaged> {
    const WHAT: &str = "text of a hold";
    let there = code.flag(WHAT)?;
    there.then(|| code.text(WHAT).map(str::to_owned)).transpose()
}

fn load_texts(code: &mut Decoder<'_>) -> Result<Vec<String>, Damaged> {
    const WHAT: &str = "texts of a hold";
    let n = code.count(1, WHAT)?;
    (0..n).map(|_| code.text(WHAT).map(str::to_owned)).collect()
}
