//! The kinds of parameters that a template may have.

use crate::rules::syntax::ast::{Argument, Expr, ExprKind, LiteralKind};

/// What may stand for a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ParamKind {
    /// An event type.
    Event,
    /// A key or entity: `ip`, `merchant.id`.
    Key,
    /// A field.
    Field,
    /// A list.
    List,
    /// Another word: a member of a set, a queue, a score group.
    Word,
    Integer,
    Number,
    Money,
    Duration,
    Distance,
    Speed,
    Day,
    Text,
    Bool,
}

impl ParamKind {
    pub(super) const ALL: [Self; 14] = [
        Self::Event,
        Self::Key,
        Self::Field,
        Self::List,
        Self::Word,
        Self::Integer,
        Self::Number,
        Self::Money,
        Self::Duration,
        Self::Distance,
        Self::Speed,
        Self::Day,
        Self::Text,
        Self::Bool,
    ];

    pub(super) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// How the author writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Key => "key",
            Self::Field => "field",
            Self::List => "list",
            Self::Word => "word",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Money => "money",
            Self::Duration => "duration",
            Self::Distance => "distance",
            Self::Speed => "speed",
            Self::Day => "day",
            Self::Text => "text",
            Self::Bool => "bool",
        }
    }

    /// In words, with its article.
    pub(super) fn described(self) -> &'static str {
        match self {
            Self::Event => "the name of an event",
            Self::Key => "the name of a key",
            Self::Field => "the name of a field",
            Self::List => "the name of a list",
            Self::Word => "a word",
            Self::Integer => "a whole number",
            Self::Number => "a number",
            Self::Money => "an amount of money",
            Self::Duration => "a duration",
            Self::Distance => "a distance",
            Self::Speed => "a speed",
            Self::Day => "a day",
            Self::Text => "a text",
            Self::Bool => "`true` or `false`",
        }
    }

    /// How an argument of this kind is written.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Event => "the name alone, as in `card_payment`",
            Self::Key | Self::Field => "the name alone, as in `card` or `merchant.id`",
            Self::List => "the name alone, as in `trusted_merchants`",
            Self::Word => "the word alone, as in `declined`",
            Self::Integer => "it as in `5`",
            Self::Number => "it as in `12.5` or `20%`",
            Self::Money => "it with its currency, as in `500 EUR`",
            Self::Duration => "it with its unit, as in `10m`",
            Self::Distance => "it with its unit, as in `100 km`",
            Self::Speed => "it with its unit, as in `900 km/h`",
            Self::Day => "it as in `2026-01-31`",
            Self::Text => "it in double quotes",
            Self::Bool => "`true` or `false`",
        }
    }

    /// The argument that an expression is, when it is one of this kind.
    pub(super) fn argument(self, expr: &Expr) -> Option<Argument> {
        match &expr.kind {
            ExprKind::Path(path) if !path.this => {
                let fits = match self {
                    Self::Event | Self::List | Self::Word => path.parts.len() == 1,
                    Self::Key | Self::Field => true,
                    _ => false,
                };
                fits.then(|| Argument::Name(path.clone()))
            }
            ExprKind::Literal(literal) => {
                let fits = match (&literal.kind, self) {
                    (LiteralKind::Number(decimal), Self::Integer) => decimal.scale == 0,
                    (LiteralKind::Number(_) | LiteralKind::Percent(_), Self::Number)
                    | (LiteralKind::Money(..), Self::Money)
                    | (LiteralKind::Duration(_), Self::Duration)
                    | (LiteralKind::Distance(_), Self::Distance)
                    | (LiteralKind::Speed(_), Self::Speed)
                    | (LiteralKind::Date(..), Self::Day)
                    | (LiteralKind::Text(_), Self::Text)
                    | (LiteralKind::Bool(_), Self::Bool) => true,
                    _ => false,
                };
                fits.then(|| Argument::Value(literal.clone()))
            }
            _ => None,
        }
    }
}
