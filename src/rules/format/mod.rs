//! The one style of rule files: the same words in the same order, laid out anew.
//!
//! What it knows: the tree says where items, clauses, fields and parts of conditions begin; the tokens and comments are
//! written as they stand. What it never does: change, drop or move a word or a comment. That is checked on the result
//! before anybody gets it, so a mistake in here cannot cost a rule.
//!
//! INVARIANTS
//! - The layout is a function of the tokens, of where comments stand among them, and of blank lines between clauses and
//!   items. All of that survives, so formatting twice is formatting once.
//! - A form of the language that this module does not know stays on the line of the clause that it belongs to.
//!
//! Cost: linear in the text but for deeply nested conditions. Start at [`format()`].

mod emit;
mod lines;
mod sheet;
mod spacing;
#[cfg(test)]
mod tests;

use crate::diag::{Diagnostic, FileId, Severity};
use crate::rules::syntax::lexer::{Lexed, lex};
use crate::rules::syntax::parse;
use crate::rules::syntax::token::TokenKind;

/// Widest line in characters; a condition, an entity or an action that is wider is broken at its parts. What has no
/// parts (an event of a test, a text, a comment) stays whole.
pub const MAX_WIDTH: usize = 120;

/// Why a text was not formatted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It cannot be read.
    Mistakes(Vec<Diagnostic>),
    /// The result would not say the same: a mistake in the formatter.
    NotTheSame,
}

/// Lays out one rule file.
///
/// # Errors
/// When the text has mistakes that the parser sees. What only the checker sees is no hindrance.
pub fn format(text: &str) -> Result<String, Refusal> {
    let file = FileId(0);
    let (tree, found) = parse(file, text);
    if found.iter().any(|diagnostic| diagnostic.severity() == Severity::Error) {
        return Err(Refusal::Mistakes(found));
    }
    let lexed = lex(file, text);
    let sheet = sheet::Sheet::new(text, &lexed);
    let lines = lines::Layout::of(&tree, &sheet);
    let laid_out = emit::emit(&sheet, &lines);
    if says_the_same(&lexed, &lex(file, &laid_out)) {
        Ok(laid_out)
    } else {
        Err(Refusal::NotTheSame)
    }
}

/// Whether two texts have the same tokens with the same comments between them.
fn says_the_same(one: &Lexed, other: &Lexed) -> bool {
    fn kinds(lexed: &Lexed) -> impl Iterator<Item = (&TokenKind, usize)> {
        lexed.tokens.iter().map(|token| {
            let before = lexed.comments.partition_point(|c| c.span.start < token.span.start);
            (&token.kind, before)
        })
    }
    let comments = |lexed: &Lexed| -> Vec<String> {
        lexed.comments.iter().map(|comment| comment.text.clone()).collect()
    };
    other.diagnostics.is_empty() && kinds(one).eq(kinds(other)) && comments(one) == comments(other)
}
