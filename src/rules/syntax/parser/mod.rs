//! Tokens to tree: recursive descent, one token of lookahead (two where a word is also a name).
//!
//! What this phase knows: the grammar of LANGUAGE.md, section 3. Names, types and units are the checker's business.
//!
//! INVARIANTS
//! - A reading function returns `None` only after a diagnostic; whoever owns a clause then skips to the next clause,
//!   whoever owns an item to the next item.
//! - At most one diagnostic per token, and none at a token that the lexer has already reported.
//! - What could not be read leaves a trace in the tree: [`ast::ExprKind::Error`], [`ast::ClauseKind::Error`].
//! - Nesting is bounded by [`MAX_DEPTH`], chains of operators by [`MAX_OPERATIONS`].
//!
//! Cost: linear in the number of tokens. Start at [`parse`].

#![expect(
    clippy::option_option,
    reason = "outside a mistake that has been reported, inside a part that does not stand there"
)]

mod actions;
mod aggregates;
mod clauses;
mod expressions;
mod items;
mod literals;
mod model;
mod names;
mod policy;
mod recovery;
mod scenario;

#[cfg(test)]
mod tests;

use crate::diag::{Code, Diagnostic, FileId, Span, codes};
use crate::rules::syntax::ast::{self, Expr};
use crate::rules::syntax::token::{Sign, Token, TokenKind};
use crate::rules::syntax::{
    MAX_DEPTH, MAX_DIAGNOSTICS, MAX_FILE_BYTES, MAX_OPERATIONS, lexer, words,
};

/// Reads one file.
///
/// # Shape
/// Diagnostics in order of position, at most [`MAX_DIAGNOSTICS`] and one that says so.
///
/// # Cost
/// Linear in the text, which may have at most [`MAX_FILE_BYTES`].
pub fn parse(file: FileId, text: &str) -> (ast::File, Vec<Diagnostic>) {
    if text.len() > MAX_FILE_BYTES {
        let message = format!(
            "this file has {} bytes, at most {MAX_FILE_BYTES} are allowed in one file",
            text.len()
        );
        let diagnostic = Diagnostic::new(codes::E0007, Span { file, start: 0, end: 0 }, message)
            .with_help("split it into several files; the folder is read as one");
        return (ast::File { file, items: Vec::new() }, vec![diagnostic]);
    }
    let lexed = lexer::lex(file, text);
    let mut parser = Parser::new(text, lexed, "the end of the file");
    let items = parser.items();
    (ast::File { file, items }, in_order(parser.diagnostics))
}

/// Reads a part of a file as one expression, as in the braces of a message. Spans count from the file's beginning.
pub fn parse_expression(
    file: FileId,
    text: &str,
    range: core::ops::Range<usize>,
) -> (Expr, Vec<Diagnostic>) {
    let lexed = lexer::lex_range(file, text, range);
    let mut parser = Parser::new(text, lexed, "the end of the braces");
    let start = parser.here();
    let expr = parser.expression().and_then(|expr| match parser.kind() {
        TokenKind::End => Some(expr),
        _ => parser.unexpected("the end of the expression"),
    });
    let expr = expr.unwrap_or_else(|| parser.error_expr(start));
    (expr, in_order(parser.diagnostics))
}

fn in_order(mut diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    diagnostics.sort_by_key(|diagnostic| (diagnostic.span.start, diagnostic.code));
    if let Some(last) = diagnostics.get(MAX_DIAGNOSTICS).map(|diagnostic| diagnostic.span) {
        diagnostics.truncate(MAX_DIAGNOSTICS);
        let message = format!("more than {MAX_DIAGNOSTICS} mistakes; the rest is not shown");
        diagnostics.push(Diagnostic::new(codes::E0008, last, message));
    }
    diagnostics
}

pub(super) struct Parser<'a> {
    text: &'a str,
    /// What a message calls the end of the text.
    end: &'static str,
    tokens: Vec<Token>,
    /// INVARIANT: an index of `tokens`; the last token is `End` and is never passed.
    at: usize,
    diagnostics: Vec<Diagnostic>,
    /// How many of them are the lexer's; those come first, in order.
    n_lexical: usize,
    /// The token of the last diagnostic.
    reported_at: Option<usize>,
    depth: u32,
    operations: u32,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, mut lexed: lexer::Lexed, end: &'static str) -> Self {
        if lexed.tokens.is_empty() {
            let kind = TokenKind::End;
            lexed.tokens.push(Token { kind, span: Span::default(), first_on_line: true });
        }
        lexed.diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
        Self {
            text,
            end,
            tokens: lexed.tokens,
            at: 0,
            n_lexical: lexed.diagnostics.len(),
            diagnostics: lexed.diagnostics,
            reported_at: None,
            depth: 0,
            operations: 0,
        }
    }

    fn token_at(&self, ahead: usize) -> &Token {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.at + ahead).min(last)]
    }

    fn kind(&self) -> &TokenKind {
        &self.token_at(0).kind
    }

    fn kind_ahead(&self, ahead: usize) -> &TokenKind {
        &self.token_at(ahead).kind
    }

    /// What is written there.
    fn text_at(&self, span: Span) -> &'a str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Whether a bracket opens at this distance.
    fn opens(&self, ahead: usize) -> bool {
        matches!(self.kind_ahead(ahead), TokenKind::Sign(Sign::LeftParen))
    }

    /// Where the next token stands.
    fn here(&self) -> Span {
        self.token_at(0).span
    }

    /// From `start` to the end of the last token that was read.
    fn since(&self, start: Span) -> Span {
        let last = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        match last {
            Some(token) if token.span.end > start.start => start.to(token.span),
            _ => Span { end: start.start, ..start },
        }
    }

    fn bump(&mut self) -> Span {
        let span = self.here();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        span
    }

    fn at_end(&self) -> bool {
        *self.kind() == TokenKind::End
    }

    /// The word that stands at a distance, if it is one.
    fn word_ahead(&self, ahead: usize) -> Option<&'a str> {
        let token = self.token_at(ahead);
        match token.kind {
            TokenKind::Word => self.text.get(token.span.start as usize..token.span.end as usize),
            TokenKind::Meant(word) => Some(word),
            _ => None,
        }
    }

    fn word(&self) -> Option<&'a str> {
        self.word_ahead(0)
    }

    fn at_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.bump();
        }
        found
    }

    /// Reads this word; `after` says what it is needed for, as in "after `10m`".
    fn expect_word(&mut self, word: &str, purpose: &str) -> Option<()> {
        if self.eat_word(word) {
            return Some(());
        }
        self.unexpected(&format!("`{word}` {purpose}"))
    }

    fn at_sign(&self, sign: Sign) -> bool {
        *self.kind() == TokenKind::Sign(sign)
    }

    fn eat_sign(&mut self, sign: Sign) -> bool {
        let found = self.at_sign(sign);
        if found {
            self.bump();
        }
        found
    }

    fn expect_sign(&mut self, sign: Sign, purpose: &str) -> Option<()> {
        if self.eat_sign(sign) {
            return Some(());
        }
        self.unexpected(&format!("`{}` {purpose}", sign.text()))
    }

    /// Reads the bracket that closes the one at `open`.
    fn expect_close(&mut self, sign: Sign, open: Span) -> Option<()> {
        if self.eat_sign(sign) {
            return Some(());
        }
        let (span, found) = self.gap();
        let message = format!("expected `{}`{found}", sign.text());
        let mut diagnostic =
            Diagnostic::new(codes::E0015, span, message).with_related(open, "opened here");
        let hint = self.hint().or_else(|| self.phrase()).or_else(|| self.unjoined_hint(sign));
        if let Some((help, fix)) = hint {
            diagnostic.help = Some(help);
            diagnostic.fix = fix;
        }
        self.report(diagnostic);
        None
    }

    /// What may lack where a bracket should close and a word stands.
    fn unjoined_hint(&self, sign: Sign) -> Option<(String, Option<(Span, String)>)> {
        let help = match (sign, self.word()?) {
            (Sign::RightBracket, "then") if !self.token_at(0).first_on_line => {
                "steps and members are separated by commas: `[ login, this ]`"
            }
            (Sign::RightParen, word) if !words::is_known(word) => {
                "between two words stands what joins them: `=`, `>`, `and`, `where`"
            }
            _ => return None,
        };
        Some((help.to_owned(), None))
    }

    /// Reads `item {, item}`.
    fn comma_list<T>(&mut self, mut item: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut list = vec![item(self)?];
        while self.eat_sign(Sign::Comma) {
            list.push(item(self)?);
        }
        Some(list)
    }

    /// Reads `[ item {, item} ]`.
    fn bracket_list<T>(
        &mut self,
        purpose: &str,
        item: impl FnMut(&mut Self) -> Option<T>,
    ) -> Option<Vec<T>> {
        let open = self.here();
        self.expect_sign(Sign::LeftBracket, purpose)?;
        let list = self.comma_list(item)?;
        self.expect_close(Sign::RightBracket, open)?;
        Some(list)
    }

    /// Adds a diagnostic unless one stands at this token already.
    fn report(&mut self, diagnostic: Diagnostic) {
        let silent = *self.kind() == TokenKind::Bad || self.reported_at == Some(self.at);
        if !silent && !self.is_lexical(diagnostic.span) {
            self.reported_at = Some(self.at);
            self.diagnostics.push(diagnostic);
        }
    }

    /// Whether the lexer has reported something in these words.
    fn is_lexical(&self, span: Span) -> bool {
        let lexical = self.diagnostics.get(..self.n_lexical).unwrap_or_default();
        let after = lexical.partition_point(|diagnostic| diagnostic.span.start < span.end);
        after.checked_sub(1).is_some_and(|last| lexical[last].span.end > span.start)
    }

    /// Reports with a code, a message and a help at the next token.
    fn fail<T>(&mut self, code: Code, message: impl Into<String>, help: &str) -> Option<T> {
        let diagnostic = Diagnostic::new(code, self.report_span(), message).with_help(help);
        self.report(diagnostic);
        None
    }

    /// Reports that something else stands where `expected` should.
    fn unexpected<T>(&mut self, expected: &str) -> Option<T> {
        self.unexpected_as(codes::E0010, expected)
    }

    fn unexpected_as<T>(&mut self, code: Code, expected: &str) -> Option<T> {
        let (span, found) = self.gap();
        // One `after` is enough.
        let found = if expected.contains(" after ") && found.starts_with(" after ") {
            String::new()
        } else {
            found
        };
        let mut diagnostic = Diagnostic::new(code, span, format!("expected {expected}{found}"));
        if let Some((help, fix)) = self.hint() {
            diagnostic.help = Some(help);
            diagnostic.fix = fix;
        }
        self.report(diagnostic);
        None
    }

    /// Runs a deeper level of an expression, or reports that there are too many.
    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MAX_DEPTH {
            let message = format!("nested more than {MAX_DEPTH} levels deep");
            return self.fail(codes::E0009, message, "name a part of it with `let`");
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// Counts one more operator of the expression at hand.
    fn one_more_operation(&mut self) -> Option<()> {
        if self.operations >= MAX_OPERATIONS {
            let message = format!("more than {MAX_OPERATIONS} operations in one expression");
            return self.fail(codes::E0009, message, "name a part of it with `let`");
        }
        self.operations += 1;
        Some(())
    }
}
