//! The checked program: what the compiler hands to the engine. Names are resolved, types are known, aggregates are
//! planned into shared tables. Nothing in it can fail at run time; what cannot be computed is `Missing`.
//!
//! Shape: one [`EventPlan`] per event type holds an arena of expression nodes in which equal expressions are one node
//! (whatever number of rules uses them), the state look-ups of that event type, and the bodies of the rules that are
//! `on` it. A node refers only to nodes before it.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::rates::Rates;
use crate::base::{Currency, Digest, Network, NeverStore, TokenKey};
use crate::diag::{Sources, Span};
use crate::event::schema::{EntityId, EventId, FieldId, Schema, SlotId};
pub use crate::rules::action::{ActionPlan, Escalation, Message, MessagePart, StepUpOtherwise};
pub use crate::rules::constant::Constant;
pub use crate::rules::expectation::{Expectation, WantedAction};
pub use crate::rules::filled::Filled;
pub use crate::rules::hold_bounds::{HoldBound, HoldBounds};
pub use crate::rules::model::{Aspect, LearnedFeature, LearnedSpec, MadeOf, ModelId, ModelPlan};
use crate::rules::syntax::ast::CompareOp;
use crate::window::spec::{MeasureId, TableSpec};

/// Index of a node in its [`EventPlan::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

/// Index of a rule in [`Program::rules`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(pub u16);

/// Index of a table in [`Program::tables`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub u16);

/// Index of a list in [`Program::lists`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListId(pub u16);

/// Index of a look-up in its [`EventPlan::lookups`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupId(pub u16);

/// A whole rule set, checked.
#[derive(Clone, Debug)]
pub struct Program {
    /// Digest over all sources (paths and texts): the identity of the rule set.
    pub digest: Digest,
    /// The texts, so that an explanation can show the author's words.
    pub sources: Sources,
    /// The input.
    pub schema: Schema,
    /// Lists with their initial members.
    pub lists: Vec<ListSpec>,
    /// State, shared by all rules.
    pub tables: Vec<TablePlan>,
    /// Rules, sorted by name.
    pub rules: Vec<RuleInfo>,
    /// One per event type, same index as [`Schema::events`].
    pub plans: Vec<EventPlan>,
    /// Score groups, sorted by name; `(name, cap)`.
    pub groups: Vec<ScoreGroup>,
    /// The decision policy (defaults when no file has one).
    pub policy: Policy,
    /// Exchange rates, where the policy names a table.
    pub rates: Option<Arc<Rates>>,
    /// What is snoozed, in the order of the files.
    pub snoozes: Vec<Snooze>,
    /// How long events may be held, one per event type, same index as [`Schema::events`].
    pub hold_bounds: Vec<HoldBounds>,
    /// The `test` blocks.
    pub tests: Vec<TestCase>,
    /// Models, sorted by name.
    pub models: Vec<ModelPlan>,
}

impl Program {
    /// The same with tokens of a key where fields are tokenized: in records to come, on lists and in snoozes. Give it what was
    /// compiled, not what has a key already.
    #[must_use]
    pub fn keyed(mut self, key: &TokenKey) -> Self {
        if self.schema.tokenized_field().is_none() {
            return self;
        }
        let schema = &self.schema;
        for list in &mut self.lists {
            if matches!(list.ty, Type::Entity(kind) if schema.is_tokenized(kind)) {
                list.members.iter_mut().for_each(|(text, _)| *text = key.token_of(text));
            }
        }
        for (event, plan) in schema.events.iter().zip(&mut self.plans) {
            let is_token = |slot: SlotId| {
                event.fields.iter().any(|field| field.slot == slot && field.tokenized)
            };
            let snoozes = plan.rules.iter_mut().flat_map(|body| &mut body.snoozes);
            for (_, values) in snoozes.filter(|(slot, _)| is_token(*slot)) {
                let tokens = core::mem::take(values).into_iter();
                *values = tokens.map(|(text, index)| (key.token_of(&text), index)).collect();
            }
        }
        self.schema.token_key = Some(key.clone());
        self
    }

    /// The same where values of these members are never stored.
    #[must_use]
    pub fn never_storing(mut self, names: &Arc<NeverStore>) -> Self {
        self.schema.never_store = Arc::clone(names);
        self
    }
}

/// A rule that does not act on the events of one key, for a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snooze {
    /// The rule.
    pub rule: RuleId,
    /// The key as its author names it: `card`.
    pub key: String,
    /// The value of the key.
    pub value: String,
    /// Its end in ms of event time, exclusive.
    pub until_ms: i64,
    /// Who answers for it.
    pub owner: String,
    /// Why.
    pub reason: String,
    /// Where its last day stands.
    pub span: Span,
}

/// A group of scores with its cap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScoreGroup {
    /// Its name; scores without `in` go to the group `default`.
    pub name: String,
    /// The most it may add; said by a rule that may act.
    pub cap: Option<i32>,
    /// The rules that say the cap, where none of them acts on every event: it holds on those on which one does. Empty
    /// where it always holds.
    pub cap_by: Vec<RuleId>,
    /// The cap as any rule says it that is not retired, whether it acts or not.
    pub said_cap: Option<i32>,
}

/// A list and the members that its file gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct ListSpec {
    /// Its name.
    pub name: String,
    /// Type of its members.
    pub ty: Type,
    /// Default lifetime of an entry in ms.
    pub expires_ms: Option<i64>,
    /// Members from the file: text and, where given, the instant (ms) at which they expire.
    pub members: Vec<(String, Option<i64>)>,
    /// What its members give, where it gives something.
    pub gives: Option<Gives>,
}

impl ListSpec {
    /// The network that a member of its file is, in a list of addresses.
    pub fn network(&self, member: &str) -> Option<Network> {
        if self.ty == Type::Ip { Network::parse(member).ok() } else { None }
    }
}

/// What the members of a list give: fixed by its file.
#[derive(Clone, Debug, PartialEq)]
pub struct Gives {
    /// The type of all of them.
    pub ty: Type,
    /// By member.
    pub values: BTreeMap<String, Constant>,
}

/// One state table and how an event of its type is written into it.
#[derive(Clone, Debug)]
pub struct TablePlan {
    /// Canonical identity, readable: ``card_payment by card``; a second table of the same keys gets a suffix.
    pub name: String,
    /// The event type that is remembered.
    pub event: EventId,
    /// The stored keys; when one is absent nothing is written.
    pub keys: Vec<SlotId>,
    /// What it keeps and answers. Measures are in canonical order.
    pub spec: TableSpec,
    /// Value of each column: a node of the plan of `event`. Money columns are in minor units of one currency.
    pub columns: Vec<NodeId>,
    /// Predicate of each filter bit: a node of the plan of `event`; the bit is set only when it is true.
    pub filters: Vec<NodeId>,
    /// Canonical text of each column and of each filter: what carries its state over to another rule set.
    pub column_texts: Vec<String>,
    /// See `column_texts`.
    pub filter_texts: Vec<String>,
    /// Canonical text of each measure (aggregate, event, value, filter, keys, window): the identity of its state.
    pub identities: Vec<String>,
}

/// What is known about a rule apart from its condition.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    /// Its name, unique.
    pub name: String,
    /// `id "R-0101"`; required when live, else the name.
    pub id: String,
    /// One line for people.
    pub title: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// `low`, `medium`, `high`, `critical`.
    pub severity: SeverityLevel,
    /// Fraud patterns.
    pub typologies: Vec<String>,
    /// Sources.
    pub refs: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// How far it acts.
    pub mode: Mode,
    /// Its block or hold beats an `allow`.
    pub mandatory: bool,
    /// From (inclusive) and to (exclusive) in ms of event time.
    pub effective: Option<(i64, Option<i64>)>,
    /// Where that stands.
    pub effective_span: Span,
    /// When its day of review has passed, in ms, and where that stands.
    pub review_by: Option<(i64, Span)>,
    /// What an undecided condition does.
    pub if_missing: IfMissing,
    /// Where it stands.
    pub span: Span,
    /// Where its name stands.
    pub name_span: Span,
}

impl RuleInfo {
    /// Whether its dates hold an event of this time, in ms.
    pub fn is_in_effect(&self, time_ms: i64) -> bool {
        self.effective.is_none_or(|(from_ms, to_ms)| {
            time_ms >= from_ms && to_ms.is_none_or(|to_ms| time_ms < to_ms)
        })
    }
}

/// Severity of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SeverityLevel {
    /// Take note.
    Low,
    /// Look at it today (default).
    Medium,
    /// Look at it now.
    High,
    /// Wake somebody.
    Critical,
}

/// How far a rule acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Never evaluated.
    Draft,
    /// Evaluated and recorded, never acts.
    Shadow,
    /// Acts on this share of its keys, in millionths; a shadow for the others.
    Canary(u32),
    /// Acts (default).
    Live,
    /// Never evaluated.
    Retired,
}

impl Mode {
    /// Whether the rule may stop money, on some events at least.
    pub fn acts(self) -> bool {
        matches!(self, Self::Live | Self::Canary(_))
    }

    /// Whether the rule is asked at all.
    pub fn is_evaluated(self) -> bool {
        self.acts() || self == Self::Shadow
    }
}

/// What an undecided condition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IfMissing {
    /// No hit; the missing fields are recorded.
    Skip,
    /// Counts as a hit.
    Match,
    /// An alert to a person and nothing else.
    Review,
}

/// Everything that happens on one event type.
#[derive(Clone, Debug, Default)]
pub struct EventPlan {
    /// Expressions; a node refers only to nodes before it.
    pub nodes: Vec<Node>,
    /// State that rules of this event type may read.
    pub lookups: Vec<Lookup>,
    /// Bodies of the rules on this event type that are evaluated in their mode, in rule order.
    pub rules: Vec<RuleBody>,
    /// Tables that remember events of this type.
    pub tables: Vec<TableId>,
    /// Named features that can be computed on this event type (name, node).
    pub features: Vec<(String, NodeId)>,
    /// Models of this event type, with a node that asks each.
    pub models: Vec<(ModelId, NodeId)>,
}

/// One read of one table: a key, and the measures that anything on this event type asks of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lookup {
    /// The table.
    pub table: TableId,
    /// Where this event has the key; when one is absent every reading is missing.
    pub keys: Vec<SlotId>,
    /// What is asked, ascending; a reading's index is its place here.
    pub measures: Vec<MeasureId>,
    /// For each measure of kind `CountOf`: the node whose word is looked for.
    pub probes: Vec<Option<NodeId>>,
    /// For each measure over a window by the calendar: the node that names the time zone; `None`: the policy's.
    pub zones: Vec<Option<NodeId>>,
    /// For each measure of amounts that may need an exchange rate: the reading that counts those which it leaves out for
    /// want of one.
    pub unpriced: Vec<Option<NodeId>>,
    /// Whether the present event is of the table's event type (then `Counting::Last` measures may include it; the
    /// engine still compares its stored key with the key that is asked for).
    pub same_event: bool,
}

/// One rule on one event type.
#[derive(Clone, Debug)]
pub struct RuleBody {
    /// Which rule.
    pub rule: RuleId,
    /// `on ... where`: the rule is not applicable unless this is true.
    pub guard: Option<NodeId>,
    /// The condition.
    pub when: NodeId,
    /// The exemption.
    pub unless: Option<NodeId>,
    /// What a hit does.
    pub actions: Vec<ActionPlan>,
    /// The key by which a canary picks its events.
    pub canary: Option<SlotId>,
    /// What is snoozed: the slot of a key, and by its values the index in [`Program::snoozes`].
    pub snoozes: Vec<(SlotId, BTreeMap<String, usize>)>,
    /// The rule's `let` names for explanation (name, node), in the author's order.
    pub lets: Vec<(String, NodeId)>,
    /// Where this rule wrote a node of its condition, when that is elsewhere than [`Node::span`]; by node. A node is
    /// shared by every rule that means the same, so its span may be another rule's, in other words.
    pub words: Vec<(NodeId, Span)>,
    /// What stands for the parameters of the template of which a `use` made the rule.
    pub filled: Option<Filled>,
}

impl RuleBody {
    /// Where this rule, or the `let` or feature that it names, wrote a node.
    pub fn words_of(&self, id: NodeId, node: &Node) -> Span {
        let own = self.words.binary_search_by_key(&id, |(known, _)| *known);
        own.ok().and_then(|index| self.words.get(index)).map_or(node.span, |(_, span)| *span)
    }
}

/// One expression.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What it computes.
    pub op: Op,
    /// The static type of the result.
    pub ty: Type,
    /// Where the author wrote it first.
    pub span: Span,
}

/// The type of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Type {
    /// True, false (or undecided).
    Bool,
    /// 64-bit integer. Run-time: `Value::Int`.
    Integer,
    /// Number or ratio. Run-time: `Value::Number`.
    Number,
    /// Money in this currency. Run-time: `Value::Money` (micro-minor).
    Money(Currency),
    /// Run-time: `Value::Int` ms.
    Duration,
    /// Run-time: `Value::Int` ms since 1970.
    Time,
    /// Run-time: `Value::Number` metres.
    Distance,
    /// Run-time: `Value::Number` metres per second.
    Speed,
    /// Run-time: `Value::Text` or `Value::Tag`.
    Text,
    /// Run-time: `Value::Text` or `Value::Tag`.
    Entity(EntityId),
    /// Closed set of this field. Run-time: `Value::Code` index. Two sets with the same members are one type: the
    /// first field in schema order stands for all.
    Enum(EventId, FieldId),
    /// Run-time: `Value::Code`.
    Country,
    /// Run-time: `Value::Code`.
    Currency,
    /// Run-time: `Value::Text` or `Value::Tag`.
    Ip,
    /// Run-time: `Value::Geo`.
    Geo,
}

/// What a node computes. Every operand is `Missing`-aware: unless stated, one missing operand makes the result missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// A constant.
    Constant(Constant),
    /// A field that is not money and not geo, by its slot and the node's type.
    Field(SlotId),
    /// A geo field: its first slot.
    GeoField(SlotId),
    /// A money field in the currency of the node's type. Where the record's currency is another one, it is converted by
    /// the rate at the event's time, to whole minor units; missing when no exchange rate is known.
    MoneyField {
        /// Amount.
        slot: SlotId,
        /// Its currency: fixed, or the slot of its code.
        currency: Result<Currency, SlotId>,
    },
    /// A measure: look-up and the index of the measure in [`Lookup::measures`]. Money is given in minor units by the
    /// table and becomes micro-minor here; `Micro` columns become numbers.
    Reading(LookupId, u16),
    /// `is_new`: the reading (a `CountOf`) is zero. Missing when the probe is missing.
    IsZero(NodeId),
    /// Mean of sum and count (both readings): sum / count; money rounded to the micro-minor unit. Missing for count 0.
    Mean {
        /// The sum.
        sum: NodeId,
        /// The count.
        count: NodeId,
    },
    /// Population standard deviation of count, sum and sum of squares (readings). Missing for count 0.
    Deviation {
        /// n.
        count: NodeId,
        /// S.
        sum: NodeId,
        /// Q.
        squares: NodeId,
    },
    /// Exact comparison of `value` with `mean + factor * deviation` of the same readings, in integers:
    /// with n, S, Q: D = n*value - S against `factor * sqrt(n*Q - S*S)`. `factor` is `factor_micro / 10^6`.
    CompareDeviation {
        /// `value OP mean + factor * deviation`.
        op: CompareOp,
        /// The left side.
        value: NodeId,
        /// n.
        count: NodeId,
        /// S.
        sum: NodeId,
        /// Q.
        squares: NodeId,
        /// Factor in millionths.
        factor_micro: i64,
    },
    /// Time of this event minus the reading (a `LastTime`), in ms.
    Since(NodeId),
    /// Three-valued not.
    Not(NodeId),
    /// Three-valued and: false as soon as one is false.
    And(Vec<NodeId>),
    /// Three-valued or: true as soon as one is true.
    Or(Vec<NodeId>),
    /// Comparison of two values of one type (integers and numbers may mix; money of one currency; texts may be tags).
    /// Values that are rounded compare by the fractions that they stand for, where those are known.
    Compare(CompareOp, NodeId, NodeId),
    /// Membership in a closed set of constants of the same type.
    InSet(NodeId, Vec<Constant>),
    /// Membership in a list at this event's time.
    InList(NodeId, ListId),
    /// What a member of a list gives; missing for what is not on it at this event's time.
    Given(NodeId, ListId),
    /// Never missing itself.
    IsMissing(NodeId),
    /// First operand, or the second where the first is missing.
    Default(NodeId, NodeId),
    /// Sum of two values of one type (integer, number, money, duration; time + duration).
    Add(NodeId, NodeId),
    /// Difference (also time - time = duration, time - duration = time).
    Sub(NodeId, NodeId),
    /// Product by a plain number or integer: integer * integer, number * number, money * number (rounded to the
    /// micro-minor unit), duration * number, percent included.
    Mul(NodeId, NodeId),
    /// Quotient: integers and numbers give a number; money / money (same currency), duration / duration, distance /
    /// distance a number; money / number money; distance / duration a speed. Division by zero is missing, but
    /// for a speed: 0 for one place, that of light for two.
    Div(NodeId, NodeId),
    /// `constant of operand`: exact `operand * ppm / 10^6` for money, else number product.
    Percent {
        /// Parts per million.
        ppm: i64,
        /// Of what.
        of: NodeId,
    },
    /// A function of the closed list.
    Call(Function, Vec<NodeId>),
    /// Linear-time regular expression.
    Matches(NodeId, String),
    /// Text contains text.
    Contains(NodeId, NodeId),
    /// Text starts with text.
    StartsWith(NodeId, NodeId),
    /// Whether the steps of a sequence came before this event. Missing only where a key is absent.
    Sequence(Box<SequencePlan>),
    /// The field of an event that a sequence has taken: of the event that is tried and those before it while the
    /// sequence is matched, of the match afterwards, and missing where there is none.
    StepField {
        /// Which sequence: its [`SequencePlan::binding`].
        binding: u16,
        /// Which of its steps.
        step: u16,
        /// A reading of the column, which says where the value stands in an entry.
        value: NodeId,
    },
    /// The place of this event in the order of arrival, as an integer.
    Arrival,
    /// What a model says of this event, by its features. Missing while it warms up, and where all of them are missing.
    Model(ModelId, Aspect, Vec<NodeId>),
}

impl Op {
    /// Calls `visit` with every operand.
    pub(crate) fn each_operand(&self, visit: &mut dyn FnMut(NodeId)) {
        match self {
            Op::Constant(_)
            | Op::Field(_)
            | Op::GeoField(_)
            | Op::MoneyField { .. }
            | Op::Arrival
            | Op::Reading(..) => {}
            Op::Sequence(plan) => plan.steps.iter().for_each(|step| {
                visit(step.latest);
                step.condition.iter().copied().for_each(&mut *visit);
            }),
            Op::StepField { value, .. } => visit(*value),
            Op::IsZero(a)
            | Op::Since(a)
            | Op::Not(a)
            | Op::InSet(a, _)
            | Op::InList(a, _)
            | Op::Given(a, _)
            | Op::IsMissing(a)
            | Op::Matches(a, _)
            | Op::Percent { of: a, .. } => visit(*a),
            Op::Mean { sum, count } => [*sum, *count].into_iter().for_each(visit),
            Op::Deviation { count, sum, squares } => {
                [*count, *sum, *squares].into_iter().for_each(visit);
            }
            Op::CompareDeviation { value, count, sum, squares, .. } => {
                [*value, *count, *sum, *squares].into_iter().for_each(visit);
            }
            Op::And(list) | Op::Or(list) | Op::Call(_, list) | Op::Model(.., list) => {
                list.iter().copied().for_each(visit);
            }
            Op::Compare(_, a, b)
            | Op::Default(a, b)
            | Op::Add(a, b)
            | Op::Sub(a, b)
            | Op::Mul(a, b)
            | Op::Div(a, b)
            | Op::Contains(a, b)
            | Op::StartsWith(a, b) => [*a, *b].into_iter().for_each(visit),
        }
    }
}

/// What came before this event, in order: the steps of a `sequence` without the last, which is this event.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SequencePlan {
    /// All steps lie in `(t - within, t]`, ms.
    pub within_ms: i64,
    /// At least one that is taken; the first one is.
    pub steps: Vec<SequenceStep>,
    /// The number by which [`Op::StepField`]s know it, where there are any; unique in its event plan.
    pub binding: Option<u16>,
}

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SequenceStep {
    /// Taken or forbidden.
    pub role: StepRole,
    /// Events of this type.
    pub event: EventId,
    /// Its `as` name, else the event's.
    pub name: String,
    /// A reading of the arrival of the latest event that fits: table, filter and window of the step.
    pub latest: NodeId,
    /// What compares it with the steps before: over [`Op::StepField`]s.
    pub condition: Option<NodeId>,
}

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StepRole {
    /// So many events fit it, one after the other.
    Take(u16),
    /// No event between its neighbours fits it.
    Without,
}

/// The functions of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Function {
    /// Great-circle distance of two places (haversine, mean Earth radius 6,371,008.8 m).
    Distance,
    /// Absolute value of integer, number, money, duration.
    Abs,
    /// Number rounded half away from zero to an integer, by the fraction that it stands for where that is known.
    Round,
    /// Hour of day 0..23 of a time in the policy's time zone.
    Hour,
    /// Whether money is a whole multiple of money.
    IsMultiple,
    /// Text in lower case.
    Lower,
    /// Characters in a text.
    Length,
    /// Natural logarithm of a number above zero; missing for others.
    Ln,
    /// How alike two texts are: one minus their Levenshtein distance by the longer length, of 64 characters each.
    Similarity,
}

/// How a score and the candidates of rules become an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// Money of several currencies meets in this one.
    pub base_currency: Currency,
    /// IANA name.
    pub timezone: String,
    /// Score bands: from, to (inclusive), what the band adds as a candidate. Sorted, not overlapping.
    pub bands: Vec<(i32, i32, ActionPlan)>,
    /// Byte budget for all state.
    pub state_bytes: u64,
    /// More holds or blocks of one rule per interval (count, ms) than this make the rule a shadow.
    pub breaker: Option<(u32, i64)>,
    /// What the rules on one event may cost at most, in ns as [`crate::rules::cost`] reckons.
    pub budget_ns: Option<i64>,
    /// How many people must approve a change of what rules do.
    pub approvals: Vec<Approvals>,
}

/// `approvals 2 for [block, hold]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvals {
    /// How many people beside whoever asked.
    pub people: u8,
    /// The actions of the rules that are changed, as rules name them.
    pub actions: Vec<String>,
}

/// A `test` block, resolved.
#[derive(Clone, Debug)]
pub struct TestCase {
    /// The rule under test.
    pub rule: RuleId,
    /// What it shows.
    pub title: String,
    /// Events before, in the author's order.
    pub given: Vec<TestEvents>,
    /// The event that is judged; its time in ms from the start of the test.
    pub when: TestEvent,
    /// Its time in ms from the start of the test.
    pub at_ms: i64,
    /// What must come out.
    pub expect: Vec<Expectation>,
    /// Where it stands.
    pub span: Span,
}

/// Several equal events of a test.
#[derive(Clone, Debug, PartialEq)]
pub struct TestEvents {
    /// How many.
    pub times: u32,
    /// The event.
    pub event: TestEvent,
    /// Time of the first in ms from the start of the test.
    pub at_ms: i64,
    /// Distance in ms.
    pub every_ms: i64,
}

impl TestEvents {
    /// When each of them happens, in ms from the start of the test.
    pub fn moments(&self) -> impl Iterator<Item = i64> + use<> {
        let (at_ms, every_ms) = (self.at_ms, self.every_ms);
        (0..i64::from(self.times)).map(move |n| at_ms.saturating_add(n.saturating_mul(every_ms)))
    }
}

/// One event of a test: only the fields that the author gave are present (and id and time).
#[derive(Clone, Debug, PartialEq)]
pub struct TestEvent {
    /// Its type.
    pub event: EventId,
    /// Values by field.
    pub fields: Vec<(FieldId, TestValue)>,
}

/// A field value of a test.
#[derive(Clone, Debug, PartialEq)]
pub enum TestValue {
    /// Absent.
    Missing,
    /// Money: minor units and currency.
    Money(i64, Currency),
    /// Any other type.
    Constant(Constant),
    /// Latitude and longitude (written as text `"52.5,13.4"`).
    Geo(f64, f64),
}
