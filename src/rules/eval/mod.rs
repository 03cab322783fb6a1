//! The fast evaluator: judges rules on one event, reading fields from its row and state through a [`Host`].
//!
//! What it knows: the nodes of one event type, prepared once into an [`EvalPlan`]. What it does not know: where state
//! lives, what a hit does. A node is evaluated only when something asks for it, and at most once per event where that
//! pays; every measure is asked of the host at most once per event, so an explanation shows the values that were judged.
//!
//! Start reading at [`Run::verdict`], then [`run`] (truths and values) and [`explain`] (the slow path on a hit). The
//! naive reference for all of it is [`crate::rules::oracle`].
//!
//! Cost: a test of a field is a few nanoseconds; nothing is allocated per event outside `explain` and `render`, except
//! by the caches of regular expressions when they first grow.

mod alike;
mod calendar;
mod code;
mod compile;
mod entry;
pub mod error;
mod exact;
pub mod explain;
mod field_test;
mod gates;
mod lowering;
mod model;
pub mod number;
pub mod outline;
pub(crate) mod ratio;
mod reading;
pub mod render;
pub mod run;
mod sequence;
mod steps;
mod text;
pub mod trace;
mod wide;
mod zone;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use regex::bytes::Regex;

use crate::base::rates::Rates;
use crate::base::{Networks, Tag, Value};
use crate::event::schema::EventId;
use crate::models::online::spec::Row;
use crate::models::online::{Part, Scored};
use crate::rules::early::EarlyBit;
use crate::rules::eval::calendar::Calendars;
use crate::rules::eval::code::{
    At, EntryCode, Instruction, LookupCode, Operands, Read, SequenceCode, Set, Tests,
};
pub use crate::rules::eval::error::EvalError;
use crate::rules::eval::field_test::FieldTest;
use crate::rules::eval::gates::Gates;
pub use crate::rules::eval::run::Run;
use crate::rules::eval::sequence::{Matched, Walk};
use crate::rules::eval::zone::{Offset, Zone};
use crate::rules::program::{ListId, LookupId, ModelId, Program, TableId};
use crate::window::spec::{Coverage, FilterBit, History, ReadValue, Reading};

/// What the evaluator needs from outside.
pub trait Host {
    /// The answer to the measure at `index` of a look-up of the present event's plan, as of this event.
    ///
    /// A host may answer a whole look-up at once; it is asked for each measure at most once per event.
    fn reading(&mut self, lookup: LookupId, index: u16, given: Given<'_>) -> Reading;

    /// Appends the entries of a look-up's key with one of these filter bits (none: all) in the window `(t - within, t]`
    /// before this event, oldest first; none where a key is absent.
    ///
    /// # Shape
    /// `asked` is the look-up and the bits. The answer says how complete they are, the reach of the window aside.
    fn history(&mut self, asked: (LookupId, u64), within_ms: i64, out: &mut History) -> Coverage;

    /// The present event passes this filter of a table of its type. Told before anything is read that counts by it.
    fn count_own(&mut self, table: TableId, filter: FilterBit);

    /// Whether the text is on the list at this event's time.
    fn list_contains(&mut self, list: ListId, text: &[u8]) -> bool;

    /// The same for a text that was read back from state.
    fn list_contains_tag(&mut self, list: ListId, tag: Tag) -> bool;

    /// What a model says of the present event, where it was asked already.
    fn scored(&self, _: ModelId) -> ModelAnswer {
        ModelAnswer::Says(None)
    }

    /// What a model says of the present event, given its features. Asked once per event and model.
    fn score(&mut self, _: ModelId, _: Row<'_>) -> Option<Scored> {
        None
    }

    /// What the features add to that.
    fn score_parts(&self, _: ModelId) -> Vec<Part> {
        Vec::new()
    }
}

/// What is known of a model's answer about the present event.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ModelAnswer {
    /// It was not asked.
    NotAsked,
    /// It was; none, where it says nothing yet.
    Says(Option<Scored>),
}

/// What a look-up needs of the present event, parallel to [`crate::rules::program::Lookup::measures`].
#[derive(Clone, Copy, Debug, Default)]
pub struct Given<'a> {
    /// The word that each `CountOf` looks for, `None` where it is missing or not asked for. Empty where none looks.
    pub probes: &'a [Option<u64>],
    /// The instant before each window by the calendar, in ms; `None` where nobody knows it. Empty where none is asked.
    pub starts: &'a [Option<i64>],
}

/// A truth of three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Truth {
    /// It does not hold.
    False,
    /// Something that it needs is missing.
    Undecided,
    /// It holds.
    True,
}

impl Truth {
    /// From a value: missing is undecided.
    #[inline]
    pub fn of(value: Value) -> Self {
        match value {
            Value::Bool(true) => Self::True,
            Value::Bool(false) => Self::False,
            _ => Self::Undecided,
        }
    }

    /// As a value: undecided is missing.
    #[inline]
    pub fn value(self) -> Value {
        match self {
            Self::False => Value::Bool(false),
            Self::Undecided => Value::Missing,
            Self::True => Value::Bool(true),
        }
    }

    /// From a decided truth, or undecided.
    #[inline]
    pub fn decided(holds: Option<bool>) -> Self {
        match holds {
            Some(true) => Self::True,
            Some(false) => Self::False,
            None => Self::Undecided,
        }
    }

    /// Three-valued not.
    #[must_use]
    #[inline]
    pub fn negated(self) -> Self {
        match self {
            Self::False => Self::True,
            Self::Undecided => Self::Undecided,
            Self::True => Self::False,
        }
    }
}

/// What a rule says about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The condition holds and no exemption is proven.
    Hit,
    /// The condition does not hold.
    NoHit,
    /// `on ... where` is not true.
    NotApplicable,
    /// The condition cannot be decided and no exemption is proven; `if missing` says what follows.
    Undecided,
    /// An exemption is proven, and the condition holds or cannot be decided.
    Exempt,
}

/// Everything about one event type that can be prepared before the first event. Immutable; shared between threads.
#[derive(Clone, Debug, Default)]
pub struct EvalPlan {
    instructions: Vec<Instruction>,
    tests: Vec<FieldTest>,
    /// The tests of fields that the rules stand or fall with, by the place of the rule.
    gates: Gates,
    operands: Vec<At>,
    constants: Vec<Value>,
    texts: Vec<Box<[u8]>>,
    sets: Vec<Set>,
    patterns: Vec<Regex>,
    /// What members of lists give.
    givens: Vec<(ListId, Givens)>,
    reads: Vec<Read>,
    lookups: Vec<LookupCode>,
    n_readings: u32,
    sequences: Vec<SequenceCode>,
    /// By [`crate::rules::program::SequencePlan::binding`]: the sequence.
    bindings: Vec<u32>,
    entries: Vec<(TableId, EntryCode)>,
    /// Filters that are decided before the windows are read that count by them.
    early: Vec<(EarlyBit, At)>,
    /// Exchange rates.
    rates: Option<Arc<Rates>>,
    /// The policy's time zone, where `hour` needs it.
    zone: Option<Zone>,
    /// Time zones of windows by the calendar.
    zones: Vec<Zone>,
}

/// What the members of a list give, and the instant (ms) from which on they do not.
#[derive(Clone, Debug, Default)]
struct Givens {
    members: BTreeMap<Box<[u8]>, (Value, i64)>,
    networks: Networks<(Value, i64)>,
}

impl Givens {
    /// What a member gives at an instant: an address that is none as its narrowest network does.
    fn find(&self, member: &[u8], now_ms: i64) -> Value {
        let holds = |(value, end_ms): &(Value, i64)| (*end_ms > now_ms).then_some(*value);
        if let Some(value) = self.members.get(member).and_then(holds) {
            return value;
        }
        if self.networks.is_empty() {
            return Value::Missing;
        }
        let address = core::str::from_utf8(member).ok().and_then(|text| text.parse().ok());
        let found = address.and_then(|address| self.networks.around(address).find_map(holds));
        found.unwrap_or(Value::Missing)
    }
}

impl EvalPlan {
    /// Prepares the plan of one event type.
    ///
    /// # Errors
    /// When a pattern or the time zone is refused; the checker reports both with their place before.
    ///
    /// # Cost
    /// Linear in the nodes, plus compiling the patterns (1 MiB each at most).
    pub fn new(program: &Program, event: EventId) -> Result<Self, EvalError> {
        compile::compile(program, event)
    }

    fn tests(&self, tests: Tests) -> &[FieldTest] {
        self.tests.get(tests.start as usize..tests.end as usize).unwrap_or_default()
    }

    fn operands(&self, operands: Operands) -> &[At] {
        self.operands.get(operands.start as usize..operands.end as usize).unwrap_or_default()
    }
}

/// The memory of the evaluator for the present event. Reused from event to event; grows to the largest plan.
#[derive(Clone, Debug, Default)]
pub struct Evaluator {
    /// Stamp of the present event: what carries another stamp is stale.
    stamp: u32,
    value_stamps: Vec<u32>,
    values: Vec<Value>,
    reading_stamps: Vec<u32>,
    readings: Vec<Reading>,
    probes: Vec<Option<u64>>,
    starts: Vec<Option<i64>>,
    /// One bit per rule, by its place: what the fields of the present event leave open.
    open: Vec<u64>,
    calendars: Calendars,
    sequences: Vec<Matched>,
    walk: Walk,
    /// The place of the present event in the order of arrival.
    arrival: i64,
    /// Something that was asked leaves out amounts for want of an exchange rate.
    unpriced: bool,
    /// Something that was asked is more than its type holds.
    overflowed: bool,
    /// The features of a model that is being asked.
    features: Vec<Option<i64>>,
    /// Texts made for this event (lower case).
    scratch: Vec<u8>,
    offset: Offset,
}

impl Evaluator {
    /// An evaluator for any plan.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the event before. Call once per event, then make as many [`Run`]s on it as needed.
    ///
    /// # Cost
    /// Constant, except when a larger plan than ever comes along.
    pub fn begin(&mut self, plan: &EvalPlan) {
        if let Some(stamp) = self.stamp.checked_add(1) {
            self.stamp = stamp;
        } else {
            self.value_stamps.fill(0);
            self.reading_stamps.fill(0);
            self.sequences.iter_mut().for_each(Matched::reset);
            self.stamp = 1;
        }
        if self.values.len() < plan.instructions.len() {
            self.values.resize(plan.instructions.len(), Value::Missing);
            self.value_stamps.resize(plan.instructions.len(), 0);
        }
        let n_readings = plan.n_readings as usize;
        if self.readings.len() < n_readings {
            self.readings.resize(n_readings, NO_READING);
            self.reading_stamps.resize(n_readings, 0);
        }
        if self.sequences.len() < plan.sequences.len() {
            self.sequences.resize_with(plan.sequences.len(), Matched::default);
        }
        self.scratch.clear();
        self.unpriced = false;
        self.overflowed = false;
    }

    /// Whether something that was asked of the event is more than its type holds, and was missing for it.
    pub fn overflowed(&self) -> bool {
        self.overflowed
    }

    /// The worst that is worth saying of an event although no rule hit: amounts that were left out may be why.
    pub fn shortfall(&self) -> Coverage {
        if self.unpriced { Coverage::Unpriced } else { Coverage::Complete }
    }

    /// Says which place the present event has in the order of arrival; more than any event had before.
    pub fn arrive(&mut self, arrival: u64) {
        self.arrival = i64::try_from(arrival).unwrap_or(i64::MAX);
    }
}

/// The answer where nothing could be asked.
const NO_READING: Reading = Reading { value: ReadValue::Missing, coverage: Coverage::Complete };
