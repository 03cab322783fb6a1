//! Tokens: what the lexer makes of the text and the parser reads.

use crate::diag::Span;
use crate::rules::syntax::ast::Decimal;

/// One token with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: TokenKind,
    /// Where.
    pub span: Span,
    /// Whether nothing but space stands before it on its line. Only error recovery looks at this: in the language
    /// itself newlines are plain space.
    pub first_on_line: bool,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A word; its text is the text of its span.
    Word,
    /// A sign of another language in place of a word: `&&` for `and`. Already reported.
    Meant(&'static str),
    /// `12`, `12.5`, `2_000`.
    Number(Decimal),
    /// `20%`.
    Percent(Decimal),
    /// `500 EUR`.
    Money(Decimal, String),
    /// `10m`, `250ms`: in nanoseconds.
    Duration(i64),
    /// `100 km`, `250 m`: in metres.
    Distance(Decimal),
    /// `900 km/h`: in kilometres per hour.
    Speed(Decimal),
    /// `2026-01-31`: year, month, day.
    Date(i16, i8, i8),
    /// `2GiB`: in bytes.
    Size(u64),
    /// A quoted text, escapes resolved.
    Text(String),
    /// Punctuation or an operator.
    Sign(Sign),
    /// Something unreadable that the lexer has reported.
    Bad,
    /// The end of the text.
    End,
}

/// Punctuation and operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sign {
    /// `(`
    LeftParen,
    /// `)`
    RightParen,
    /// `[`
    LeftBracket,
    /// `]`
    RightBracket,
    /// `,`
    Comma,
    /// `:`
    Colon,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// `?`
    Question,
    /// `|`
    Bar,
    /// `+`
    Plus,
    /// `-`
    Minus,
    /// `*`
    Star,
    /// `/`
    Slash,
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
    /// `->`
    Arrow,
}

impl Sign {
    /// The sign as it is written.
    pub fn text(self) -> &'static str {
        match self {
            Self::LeftParen => "(",
            Self::RightParen => ")",
            Self::LeftBracket => "[",
            Self::RightBracket => "]",
            Self::Comma => ",",
            Self::Colon => ":",
            Self::Dot => ".",
            Self::DotDot => "..",
            Self::Question => "?",
            Self::Bar => "|",
            Self::Plus => "+",
            Self::Minus => "-",
            Self::Star => "*",
            Self::Slash => "/",
            Self::Eq => "=",
            Self::Ne => "!=",
            Self::Lt => "<",
            Self::Le => "<=",
            Self::Gt => ">",
            Self::Ge => ">=",
            Self::Arrow => "->",
        }
    }
}

/// A comment, kept beside the tree for the formatter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comment {
    /// Where, `#` included, end of line excluded.
    pub span: Span,
    /// What stands after the `#`, space at the end removed.
    pub text: String,
}
