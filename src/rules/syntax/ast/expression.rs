//! Expressions: conditions, arithmetic, aggregates with their windows, sequences.

use crate::diag::Span;
use crate::rules::syntax::ast::{Decimal, Literal, Name, Path, Text};
use crate::window::spec::Period;

/// An expression with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expr {
    /// What it says.
    pub kind: ExprKind,
    /// Where, parentheses excluded.
    pub span: Span,
}

/// What an expression says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExprKind {
    /// A literal.
    Literal(Literal),
    /// A field, feature, let, param, or enum member: the checker decides.
    Path(Path),
    /// `name(arg, ...)`: a function.
    Call(Name, Vec<Expr>),
    /// An aggregate over a window.
    Aggregate(Box<Aggregate>),
    /// A sequence of events, the last of which is the present one.
    Sequence(Box<Sequence>),
    /// `not e`
    Not(Box<Expr>),
    /// `a and b and c`
    And(Vec<Expr>),
    /// `a or b`
    Or(Vec<Expr>),
    /// `a < b`
    Compare(CompareOp, Box<Expr>, Box<Expr>),
    /// `a in [x, y]` or `a not in [x, y]`
    InSet {
        /// `a`
        value: Box<Expr>,
        /// The members, at least one.
        set: Vec<Expr>,
        /// Whether `not in` was said.
        negated: bool,
    },
    /// `a in list_name`
    InList {
        /// `a`
        value: Box<Expr>,
        /// The list.
        list: Name,
        /// Whether `not in` was said.
        negated: bool,
    },
    /// `a between x and y`, both ends included
    Between(Box<Expr>, Box<Expr>, Box<Expr>),
    /// `a is missing`, `a is present`, `a is not missing`: `missing` says which is asked for after negation.
    IsMissing {
        /// `a`
        value: Box<Expr>,
        /// Whether it must be missing; false: it must be present.
        missing: bool,
    },
    /// `a matches "regex"`
    Matches(Box<Expr>, Text),
    /// `a contains b`
    Contains(Box<Expr>, Box<Expr>),
    /// `a starts_with b`
    StartsWith(Box<Expr>, Box<Expr>),
    /// `a + b`, `a - b`, `a * b`, `a / b`
    Arithmetic(ArithmeticOp, Box<Expr>, Box<Expr>),
    /// `a default b`
    Default(Box<Expr>, Box<Expr>),
    /// `80% of a`
    PercentOf(Literal, Box<Expr>),
    /// Could not be read; already reported.
    Error,
}

/// Comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CompareOp {
    /// `=`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
}

impl CompareOp {
    /// Its sign in the language.
    pub(crate) fn sign(self) -> &'static str {
        match self {
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
        }
    }
}

/// Arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ArithmeticOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
}

/// `sum(transfer.amount in EUR where ...) by receiver = this.sender over prior 24h`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// Which.
    pub function: AggregateFunction,
    /// Where the function's name stands.
    pub function_span: Span,
    /// The number before the path: `percentile(95, ...)`.
    pub argument: Option<Decimal>,
    /// Event, or event and field.
    pub path: Path,
    /// `in EUR`.
    pub currency: Option<Name>,
    /// `where expr`, names resolved in the aggregated event.
    pub filter: Option<Expr>,
    /// `by key, key`.
    pub keys: Vec<Key>,
    /// `over ...`.
    pub window: Window,
}

/// Aggregate functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the words of the language, explained in docs/LANGUAGE.md")]
pub enum AggregateFunction {
    Count,
    Sum,
    Avg,
    Min,
    Max,
    Stddev,
    Median,
    Percentile,
    Distinct,
    Last,
    IsNew,
    TimeSince,
    Share,
    Run,
}

/// `receiver = this.sender`: the stored key, and where this event has its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Field of the aggregated event.
    pub stored: Path,
    /// Field of this event, when it differs.
    pub this: Option<Path>,
    /// The whole.
    pub span: Span,
}

/// The span of time an aggregate looks at, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// What it says.
    pub kind: WindowKind,
    /// Where, `over` included.
    pub span: Span,
}

/// What a window says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowKind {
    /// `last D` or `prior D`, maybe `ending D ago` or `before today`; `last N events within D`.
    Sliding {
        /// `last` (counts this event), `prior` (does not), or neither was said (an error for the checker).
        counting: Option<Counting>,
        /// `N events within`: only so many, the newest.
        newest: Option<EventCount>,
        /// Its length.
        length: WindowLength,
        /// Where it ends, if not with this event.
        ending: Option<Ending>,
    },
    /// `today`, `this_week`, `this_month`, maybe with `prior` before it and `in timezone ...` behind it.
    Calendar {
        /// `prior` (does not count this event), `last` (does), or neither: most functions count it then.
        counting: Option<Counting>,
        /// Which part of the calendar.
        period: Period,
        /// Where days begin, if not in the policy's time zone.
        zone: Option<ZoneName>,
    },
    /// `lifetime`, maybe with `prior` before it.
    Lifetime(Option<Counting>),
}

/// Where a window ends that does not reach up to this event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// `ending D ago`, in ms.
    Ago(i64),
    /// `before today`, `before this_week`, `before this_month`, maybe with `in timezone ...` behind it.
    Before {
        /// The part of the calendar of which nothing is inside.
        period: Period,
        /// Where days begin, if not in the policy's time zone.
        zone: Option<ZoneName>,
    },
}

impl WindowKind {
    /// The time zone that it names.
    pub fn zone(&self) -> Option<&ZoneName> {
        match self {
            Self::Calendar { zone, .. }
            | Self::Sliding { ending: Some(Ending::Before { zone, .. }), .. } => zone.as_ref(),
            Self::Sliding { .. } | Self::Lifetime(_) => None,
        }
    }

    /// The same, to be filled in.
    pub fn zone_mut(&mut self) -> Option<&mut ZoneName> {
        match self {
            Self::Calendar { zone, .. }
            | Self::Sliding { ending: Some(Ending::Before { zone, .. }), .. } => zone.as_mut(),
            Self::Sliding { .. } | Self::Lifetime(_) => None,
        }
    }
}

/// A time zone: its name, or the field of this event that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneName {
    /// `in timezone "Asia/Tokyo"`
    Named(Text),
    /// `in timezone home_zone`
    Field(Path),
}

/// Whether the present event counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counting {
    /// `last`: it does.
    Last,
    /// `prior`: it does not.
    Prior,
}

/// A number of events written out or by the name of a param.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventCount {
    /// With its place.
    Written(Decimal, Span),
    /// The name of a `param` of type integer.
    Named(Name),
}

/// A length written out or by the name of a param.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WindowLength {
    /// In ms, with the place of the words.
    Millis(i64, Span),
    /// The name of a `param` of type duration.
    Named(Name),
}

/// `sequence by customer within 2h [ ... ]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Keys.
    pub keys: Vec<Key>,
    /// From the first step to the last.
    pub within: WindowLength,
    /// Steps in order.
    pub steps: Vec<Step>,
}

/// One step of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// `without`.
    pub without: bool,
    /// `3 times`.
    pub times: Option<Decimal>,
    /// The event, or `this`.
    pub event: Name,
    /// `as name`.
    pub alias: Option<Name>,
    /// `where expr`.
    pub filter: Option<Expr>,
    /// The whole.
    pub span: Span,
}
