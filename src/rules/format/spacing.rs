//! How many spaces stand between two tokens of one line.

use crate::rules::format::sheet::Word;
use crate::rules::syntax::token::{Sign, TokenKind};

/// Words of the language before which a value ends and behind which one begins: a bracket behind them is no call, and a
/// sign behind them belongs to its number.
const BEFORE_A_VALUE: &[&str] = &[
    "and",
    "or",
    "not",
    "when",
    "unless",
    "where",
    "by",
    "over",
    "if",
    "then",
    "default",
    "of",
    "between",
    "in",
    "is",
    "contains",
    "starts_with",
    "matches",
    "score",
    "tune",
    "step",
    "band",
    "expect",
];

/// Spaces between a token and the next one. `before` is the token in front of both.
///
/// # Shape
/// `brackets` says how many brackets are open between the two.
pub(super) fn spaces(
    before: Option<&Word<'_>>,
    left: &Word<'_>,
    right: &Word<'_>,
    brackets: usize,
) -> usize {
    use Sign::{
        Colon, Comma, Dot, DotDot, LeftBracket, LeftParen, Question, RightBracket, RightParen,
    };
    let tight = match (left.kind, right.kind) {
        (TokenKind::Sign(LeftParen | LeftBracket | Dot), _)
        | (_, TokenKind::Sign(RightParen | RightBracket | Comma | Dot | Question)) => true,
        (_, TokenKind::Sign(Colon)) => brackets > 0,
        (_, TokenKind::Sign(LeftParen)) => is_name(left),
        (_, TokenKind::Sign(DotDot)) => is_plain(left),
        (TokenKind::Sign(DotDot), _) => before.is_some_and(is_plain) && is_plain(right),
        (TokenKind::Sign(Sign::Minus | Sign::Plus), _) => before.is_none_or(|b| !ends_a_value(b)),
        _ => false,
    };
    usize::from(!tight)
}

fn is_name(word: &Word<'_>) -> bool {
    *word.kind == TokenKind::Word && !BEFORE_A_VALUE.contains(&word.text.as_ref())
}

/// Whether a range with this end is written without spaces: `3..12`, `1..100`.
fn is_plain(word: &Word<'_>) -> bool {
    matches!(word.kind, TokenKind::Number(_)) && word.text.bytes().all(|byte| byte.is_ascii_digit())
}

fn ends_a_value(word: &Word<'_>) -> bool {
    match word.kind {
        TokenKind::Sign(sign) => matches!(sign, Sign::RightParen | Sign::RightBracket),
        TokenKind::Word => is_name(word),
        _ => true,
    }
}
