//! What the evaluator runs: nodes with their operand types resolved, comparisons of a field with a constant fused.
//!
//! Node indices are those of the event's plan, so that a node and its instruction share a number.

use crate::base::{Currency, Tag, Value};
use crate::event::schema::SlotId;
use crate::rules::eval::field_test::{CurrencyCheck, FieldTest, Range};
use crate::rules::program::{Aspect, ListId, LookupId, ModelId};
use crate::rules::syntax::ast::CompareOp;

/// Index of a node and of its instruction.
pub(super) type At = u32;

/// One node, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Instruction {
    /// What it does.
    pub(super) code: Code,
    /// Whether its result is kept for the rest of the event: it is used more than once and costs more than keeping.
    pub(super) kept: bool,
    /// Rough cost, for the order of operands.
    pub(super) cost: u32,
    /// How its value can be known.
    pub(super) exactness: Exactness,
}

/// Whether a value is what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exactness {
    /// It is.
    Whole,
    /// It may be rounded, and [`super::exact`] says what it stands for.
    Rounded,
    /// It is made of what is never known better.
    Unknown,
}

/// Truths and other values apart, so that neither side needs the other's cases.
#[derive(Clone, Debug)]
pub(super) enum Code {
    /// Yields true, false or undecided.
    Truth(TruthCode),
    /// Yields a value.
    Value(ValueCode),
}

/// A run of entries in [`super::EvalPlan::operands`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Operands {
    /// First.
    pub(super) start: u32,
    /// One past the last.
    pub(super) end: u32,
}

/// A run of entries in [`super::EvalPlan::tests`]: copies of operands, side by side in memory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tests {
    /// First.
    pub(super) start: u32,
    /// One past the last.
    pub(super) end: u32,
}

/// Instructions that yield a truth.
#[derive(Clone, Debug)]
pub(super) enum TruthCode {
    /// A field against a constant.
    Field(FieldTest),
    /// Enum field against a set of members.
    CodeMask(SlotId, u64),
    /// Text field against a constant text.
    TextField { slot: SlotId, text: u32, negated: bool },
    /// Any integer against a constant.
    IntNode(At, Range),
    /// A reading of whole numbers or of minor units against a constant.
    Reading(ReadingTest),
    /// Two values of one type, texts excepted.
    Compare(CompareOp, At, At),
    /// The same by what they stand for, where a side may be rounded.
    CompareExact(CompareOp, At, At),
    /// Two texts.
    CompareText { left: At, right: At, negated: bool },
    /// A value against mean and deviations.
    CompareDeviation(Box<DeviationCheck>),
    /// A reading is zero.
    IsZero(At),
    /// Not.
    Not(At),
    /// And: tests of fields, then the other operands, cheap ones first.
    And(Tests, Operands),
    /// Or, in the same order.
    Or(Tests, Operands),
    /// Member of a closed set.
    InSet(At, u32),
    /// Member of a list.
    InList(At, ListId, Option<u32>),
    /// Missing or not.
    IsMissing(At),
    /// Fits the pattern.
    Matches(At, u32),
    /// Contains.
    Contains(At, At),
    /// Starts with.
    StartsWith(At, At),
    /// Whole multiple.
    IsMultiple(At, At),
    /// Index in [`super::EvalPlan::sequences`].
    Sequence(u32),
}

/// Operands of [`TruthCode::Reading`].
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadingTest {
    /// The node of the reading.
    pub(super) at: At,
    /// Index in [`super::EvalPlan::reads`].
    pub(super) read: u32,
    /// What the reading must be within, in its own unit.
    pub(super) range: Range,
    /// The same as a comparison of values, for money beyond 64 bits of minor units; beyond them there is no integer.
    pub(super) wide: Option<(CompareOp, At)>,
}

/// Operands of [`TruthCode::CompareDeviation`].
#[derive(Clone, Debug)]
pub(super) struct DeviationCheck {
    /// `value OP mean + factor * deviation`.
    pub(super) op: CompareOp,
    /// The value.
    pub(super) value: At,
    /// n, S, Q.
    pub(super) spread: SpreadAt,
    /// Factor in millionths.
    pub(super) factor_micro: i64,
}

/// Where n, S and Q stand, and what their unit is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SpreadAt {
    /// n.
    pub(super) count: At,
    /// S.
    pub(super) sum: At,
    /// Q; equal to `sum` where only the mean is asked for.
    pub(super) squares: At,
    /// Whether S is in millionths.
    pub(super) micro: bool,
}

/// What a division yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quotient {
    /// A ratio, or money divided by a number.
    Plain,
    /// Metres by milliseconds: metres per second.
    Speed,
    /// A duration divided by a number.
    Duration,
}

/// What kind of value a statistic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// Micro-minor money.
    Money,
    /// Whole numbers: durations, times.
    Int,
    /// Plain numbers.
    Number,
}

/// How a reading becomes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadAs {
    /// As it is.
    Int,
    /// Minor units become micro-minor.
    Money,
    /// As it is, as a number.
    Number,
    /// Millionths become a number.
    Micro,
    /// A text's tag.
    Tag,
    /// A code.
    Code,
    /// A truth.
    Bool,
    /// A place.
    Geo,
}

/// Instructions that yield a value.
#[derive(Clone, Debug)]
pub(super) enum ValueCode {
    /// Never there.
    Missing,
    /// Index in [`super::EvalPlan::constants`].
    Constant(u32),
    /// A constant text and its tag.
    Text(u32, Tag),
    /// A field of this kind.
    Int(SlotId),
    /// A number field.
    Number(SlotId),
    /// A text field.
    TextField(SlotId),
    /// A code field.
    Code(SlotId),
    /// A place.
    Geo(SlotId),
    /// A money field.
    Money(SlotId, CurrencyCheck),
    /// A money field in another currency than the record's may be.
    Converted(Conversion),
    /// Index in [`super::EvalPlan::reads`].
    Reading(u32, ReadAs),
    /// S / n.
    Mean(SpreadAt, Scale),
    /// Population standard deviation.
    Deviation(SpreadAt, Scale),
    /// Time of this event minus the operand.
    Since(At),
    /// First, else second.
    Default(At, At),
    /// Sum.
    Add(At, At),
    /// Difference.
    Sub(At, At),
    /// Product; whether the result is a duration.
    Mul(At, At, bool),
    /// Quotient.
    Div(At, At, Quotient),
    /// Share in parts per million.
    Percent(At, i64, Scale),
    /// Great-circle distance.
    Distance(At, At),
    /// Absolute value.
    Abs(At),
    /// Nearest integer.
    Round(At),
    /// Natural logarithm.
    Ln(At),
    /// Hour of day.
    Hour(At),
    /// Lower case.
    Lower(At),
    /// Characters.
    Length(At),
    /// How alike two texts are.
    Similarity(At, At),
    /// What a member of a list gives: the list's place in [`super::EvalPlan::givens`], and the names of a closed set.
    Given(At, u32, Option<u32>),
    /// A field of a step.
    Step(Box<StepCode>),
    /// Order of arrival.
    Arrival,
    /// A model: its features.
    Model(Box<ModelCode>),
}

/// A model that is asked.
#[derive(Clone, Debug)]
pub(super) struct ModelCode {
    pub(super) model: ModelId,
    pub(super) aspect: Aspect,
    pub(super) features: Vec<At>,
}

/// A sequence, ready to run.
#[derive(Clone, Debug)]
pub(super) struct SequenceCode {
    /// Where this event has its keys.
    pub(super) keys: Vec<SlotId>,
    pub(super) within_ms: i64,
    /// The look-ups that hold its steps, each once.
    pub(super) walks: Vec<WalkCode>,
    /// The steps that are taken, those of `3 times` one by one.
    pub(super) takes: Vec<TakeCode>,
}

/// A look-up whose entries are walked.
#[derive(Clone, Copy, Debug)]
pub(super) struct WalkCode {
    pub(super) lookup: LookupId,
    /// The bits of all steps in it; none: every entry may fit.
    pub(super) mask: u64,
    /// Place of the order of arrival among the words of an entry, and how many words it has.
    pub(super) arrival_at: usize,
    pub(super) n_words: usize,
}

/// A step that is taken, and what must not come after it.
#[derive(Clone, Debug)]
pub(super) struct TakeCode {
    pub(super) fit: FitCode,
    pub(super) without: Vec<FitCode>,
}

/// Which entries fit a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct FitCode {
    /// Index in [`SequenceCode::walks`].
    pub(super) walk: usize,
    /// The filter bit; none: every entry.
    pub(super) mask: u64,
    /// The reading of the latest such entry, in [`super::EvalPlan::reads`].
    pub(super) read: u32,
    /// Which of the author's steps.
    pub(super) step: u16,
    /// What compares it with the steps before.
    pub(super) condition: Option<At>,
}

/// Where the field of a step stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct StepCode {
    pub(super) binding: u16,
    pub(super) step: u16,
    /// The filter bit of entries that have it; none: all.
    pub(super) mask: u64,
    /// Place among the words of an entry.
    pub(super) at: usize,
    pub(super) kind: crate::window::spec::ColumnKind,
    pub(super) read_as: ReadAs,
}

/// A money field that is converted by the exchange rates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conversion {
    /// The amount.
    pub(super) slot: SlotId,
    /// Its currency, or where the record says it.
    pub(super) from: Result<Currency, SlotId>,
    /// The wanted one.
    pub(super) to: Currency,
}

/// One measure of one look-up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read {
    /// The look-up.
    pub(super) lookup: LookupId,
    /// Its place in the look-up.
    pub(super) index: u16,
    /// Its place among all readings of the event.
    pub(super) place: u32,
    /// The reading that counts what this one leaves out for want of an exchange rate.
    pub(super) unpriced: Option<u32>,
}

/// What a `CountOf` measure looks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// Its value.
    pub(super) node: At,
    /// How the column keeps it.
    pub(super) kind: crate::window::spec::ColumnKind,
}

/// A look-up as the evaluator asks it.
#[derive(Clone, Debug)]
pub(super) struct LookupCode {
    /// Place of its first reading.
    pub(super) base: u32,
    /// What its measures look for; empty where none looks for a word.
    pub(super) probes: Vec<Option<Probe>>,
    /// Where the windows of its measures have an end by the calendar; empty where none does.
    pub(super) starts: Vec<Option<Start>>,
}

/// Where a window by the calendar has an end: where this part of it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start {
    /// Which part of the calendar.
    pub(super) period: crate::window::spec::Period,
    /// In which time zone.
    pub(super) zone: ZoneAt,
}

/// Where a time zone comes from.
#[derive(Clone, Copy, Debug)]
pub(super) enum ZoneAt {
    /// Index in [`super::EvalPlan::zones`].
    Known(u32),
    /// A text of the event that may name one.
    Named(At),
}

/// A closed set.
#[derive(Clone, Debug)]
pub(super) enum Set {
    /// Integers, money and truths, sorted.
    Whole(Vec<i128>),
    /// Numbers and integers mixed.
    Numbers(Vec<Value>),
    /// Codes, sorted.
    Codes(Vec<u32>),
    /// Texts and their tags, each sorted.
    Texts(Vec<Box<[u8]>>, Vec<Tag>),
}

/// A state table's entry as the evaluator fills it.
#[derive(Clone, Debug)]
pub(super) struct EntryCode {
    /// Column nodes and how they are written.
    pub(super) columns: Vec<ColumnCode>,
    /// Filter nodes by bit.
    pub(super) filters: Vec<At>,
    /// The bits of filters that ask state: they are decided after the event is judged.
    pub(super) late: u64,
    /// Some column asks state.
    pub(super) late_columns: bool,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnCode {
    /// Its value.
    pub(super) node: At,
    /// How it is written.
    pub(super) kind: crate::window::spec::ColumnKind,
    /// It asks state: it is worked out after the event is judged.
    pub(super) late: bool,
    /// Filter bits that must not be set when the value cannot be written.
    pub(super) needed_by: u64,
}
