//! A model as its author writes it.

use crate::diag::Span;
use crate::rules::syntax::ast::{Decimal, Name, Path, Text};

/// `model NAME` and its clauses in the author's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// Its name.
    pub name: Name,
    /// Everything else.
    pub clauses: Vec<ModelClause>,
    /// The whole item.
    pub span: Span,
}

/// A clause of a model with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelClause {
    /// What it says.
    pub kind: ModelClauseKind,
    /// Where.
    pub span: Span,
}

/// What a clause of a model says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelClauseKind {
    /// `on card_payment`
    On(Name),
    /// `kind tail_sum`
    Kind(Name),
    /// `from "models/card-fraud.rwm"`
    From(Text),
    /// `reads high z_score, both amount`
    Reads(Vec<ModelFeature>),
    /// `segment by currency, channel`
    Segment(Vec<Path>),
    /// `over prior 14d`: in ms
    Over(i64),
    /// `allowance 1.5`
    Allowance(Decimal),
    /// `seed 7`
    Seed(Decimal),
    /// `frozen`
    Frozen,
}

/// A feature that a model reads: `high z_score`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFeature {
    /// `high`, `low` or `both`, where the author says so.
    pub direction: Option<Name>,
    /// A feature, or a field of the event.
    pub path: Path,
}
