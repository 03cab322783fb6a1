//! Text to tokens.
//!
//! What this phase knows: characters, numbers with their units, texts, comments. It never stops: what it cannot read
//! becomes a diagnostic and a [`TokenKind::Bad`], and a sign of another language (`==`, `&&`) becomes the sign that
//! was meant. Newlines are plain space, except that a number and the unit behind a space (`500 EUR`, `100 km`) stand
//! on one line. Linear in the length of the text.

pub(in crate::rules::syntax) mod number;
pub(in crate::rules::syntax) mod text;

#[cfg(test)]
mod tests;

use crate::base::text::is_invisible;
use crate::diag::{Diagnostic, FileId, Span, codes};
use crate::rules::syntax::token::{Comment, Sign, Token, TokenKind};

/// What the lexer makes of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lexed {
    /// All tokens in order; the last one is always [`TokenKind::End`].
    pub tokens: Vec<Token>,
    /// All comments in order.
    pub comments: Vec<Comment>,
    /// What could not be read.
    pub diagnostics: Vec<Diagnostic>,
}

/// Splits a whole file into tokens.
pub fn lex(file: FileId, text: &str) -> Lexed {
    lex_range(file, text, 0..text.len())
}

/// Splits a part of a file into tokens whose spans count from the beginning of the file.
///
/// # Shape
/// A range that is out of bounds or cuts a character in two is read as empty.
pub fn lex_range(file: FileId, text: &str, range: core::ops::Range<usize>) -> Lexed {
    let valid = text.get(range.clone()).is_some();
    let (start, end) = if valid { (range.start, range.end) } else { (text.len(), text.len()) };
    let text = text.get(..end).unwrap_or_default();
    let mut lexer = Lexer { file, text, at: start, line_is_blank: true, out: Lexed::default() };
    lexer.run();
    lexer.out
}

struct Lexer<'a> {
    file: FileId,
    text: &'a str,
    /// INVARIANT: on a character boundary, at most `text.len()`.
    at: usize,
    line_is_blank: bool,
    out: Lexed,
}

/// An offset as spans carry it. Files are capped far below 4 GiB, so nothing is ever cut off.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

fn is_word_char(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

impl Lexer<'_> {
    fn run(&mut self) {
        if self.at == 0 && self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
        }
        while let Some(c) = self.peek() {
            match c {
                '\n' => {
                    self.at += 1;
                    self.line_is_blank = true;
                }
                ' ' | '\t' | '\r' => self.at += 1,
                '#' => self.comment(),
                '"' => self.text_literal('"'),
                '“' | '”' | '„' => self.text_literal('”'),
                '\'' | '‘' | '’' if self.closes_on_line('\'') => self.text_literal('\''),
                '0'..='9' => self.number(),
                _ if is_word_char(c) => self.word(),
                _ => self.sign(c),
            }
        }
        let end = self.text.len();
        self.push(TokenKind::End, end);
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The byte at a distance from here, 0 behind the end.
    fn byte(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.at + ahead).copied().unwrap_or(0)
    }

    fn bump(&mut self) {
        self.at += self.peek().map_or(0, char::len_utf8);
    }

    /// Length in bytes of the run of characters at `at` that fulfil the condition.
    fn run_length(&self, at: usize, mut condition: impl FnMut(char) -> bool) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        rest.find(|c| !condition(c)).unwrap_or(rest.len())
    }

    fn span(&self, start: usize) -> Span {
        Span { file: self.file, start: offset(start), end: offset(self.at) }
    }

    /// Adds the token from `start` to here.
    fn push(&mut self, kind: TokenKind, start: usize) {
        let first_on_line = core::mem::take(&mut self.line_is_blank);
        self.out.tokens.push(Token { kind, span: self.span(start), first_on_line });
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.out.diagnostics.push(diagnostic);
    }

    fn comment(&mut self) {
        let start = self.at;
        let length = self.run_length(start, |c| c != '\n');
        self.at += length;
        let raw = self.text.get(start + 1..self.at).unwrap_or_default();
        let text = raw.trim_end().to_owned();
        self.at = start + 1 + text.len();
        self.report_invisible(start, self.at);
        self.out.comments.push(Comment { span: self.span(start), text });
    }

    /// Reports the first invisible character of a stretch.
    fn report_invisible(&mut self, start: usize, end: usize) {
        let stretch = self.text.get(start..end).unwrap_or_default();
        let Some((at, c)) = stretch.char_indices().find(|&(_, c)| is_invisible(c)) else { return };
        let span = Span {
            file: self.file,
            start: offset(start + at),
            end: offset(start + at + c.len_utf8()),
        };
        let message = format!("invisible character U+{:04X}", u32::from(c));
        self.report(
            Diagnostic::new(codes::E0001, span, message)
                .with_help("delete it and type the words again by hand")
                .with_fix(span, ""),
        );
    }

    fn word(&mut self) {
        let start = self.at;
        self.at += self.run_length(start, is_word_char);
        if self.currency_before(start, self.at) {
            return;
        }
        let word = self.text.get(start..self.at).unwrap_or_default();
        if !word.is_ascii() {
            let message = "a name may hold only the letters a to z, digits and `_`";
            let diagnostic = Diagnostic::new(codes::E0001, self.span(start), message)
                .with_help("spell it without accents, or put it in double quotes if it is a text");
            self.report(diagnostic);
        }
        self.push(TokenKind::Word, start);
    }

    fn sign(&mut self, first: char) {
        use Sign::{
            Arrow, Bar, Colon, Comma, Dot, DotDot, Eq, Ge, Gt, Le, LeftBracket, LeftParen, Lt,
            Minus, Ne, Plus, Question, RightBracket, RightParen, Slash, Star,
        };
        let second = self.byte(1);
        if self.foreign_sign(first, second) {
            return;
        }
        let (sign, length) = match (first, second) {
            ('.', b'.') => (DotDot, 2),
            ('-', b'>') => (Arrow, 2),
            ('!', b'=') => (Ne, 2),
            ('<', b'=') => (Le, 2),
            ('>', b'=') => (Ge, 2),
            ('(', _) => (LeftParen, 1),
            (')', _) => (RightParen, 1),
            ('[', _) => (LeftBracket, 1),
            (']', _) => (RightBracket, 1),
            (',', _) => (Comma, 1),
            (':', _) => (Colon, 1),
            ('.', _) => (Dot, 1),
            ('?', _) => (Question, 1),
            ('|', _) => (Bar, 1),
            ('+', _) => (Plus, 1),
            ('-', _) => (Minus, 1),
            ('*', _) => (Star, 1),
            ('/', _) => (Slash, 1),
            ('=', _) => (Eq, 1),
            ('<', _) => (Lt, 1),
            ('>', _) => (Gt, 1),
            _ => return self.bad_characters(),
        };
        let start = self.at;
        self.at += length;
        self.push(TokenKind::Sign(sign), start);
    }

    /// Reads an operator of another language as the one that was meant, and says so.
    fn foreign_sign(&mut self, first: char, second: u8) -> bool {
        let (length, meant, kind) = match (first, second) {
            ('=', b'=') => (2, "=", TokenKind::Sign(Sign::Eq)),
            ('<', b'>') => (2, "!=", TokenKind::Sign(Sign::Ne)),
            ('=', b'>') => (2, ">=", TokenKind::Sign(Sign::Ge)),
            ('=', b'<') => (2, "<=", TokenKind::Sign(Sign::Le)),
            ('&', b'&') => (2, "and", TokenKind::Meant("and")),
            ('|', b'|') => (2, "or", TokenKind::Meant("or")),
            ('&', _) => (1, "and", TokenKind::Meant("and")),
            ('!', next) if next != b'=' => (1, "not ", TokenKind::Meant("not")),
            ('≥', _) => ('≥'.len_utf8(), ">=", TokenKind::Sign(Sign::Ge)),
            ('≤', _) => ('≤'.len_utf8(), "<=", TokenKind::Sign(Sign::Le)),
            ('≠', _) => ('≠'.len_utf8(), "!=", TokenKind::Sign(Sign::Ne)),
            ('→', _) => ('→'.len_utf8(), "->", TokenKind::Sign(Sign::Arrow)),
            ('–' | '—' | '−', _) => (first.len_utf8(), "-", TokenKind::Sign(Sign::Minus)),
            ('×', _) => ('×'.len_utf8(), "*", TokenKind::Sign(Sign::Star)),
            _ => return false,
        };
        let start = self.at;
        self.at += length;
        let span = self.span(start);
        let written = self.text.get(start..self.at).unwrap_or_default();
        let message = format!("`{written}` is not a sign of this language");
        self.report(
            Diagnostic::new(codes::E0018, span, message)
                .with_help(format!("write `{}`", meant.trim_end()))
                .with_fix(span, meant),
        );
        self.push(kind, start);
        true
    }

    /// Reports a run of characters that begin nothing as one mistake.
    fn bad_characters(&mut self) {
        let start = self.at;
        let length = self.peek().map_or(0, char::len_utf8);
        if self.currency_before(start, start + length) {
            return;
        }
        let begins_nothing = |c: char| {
            !(c.is_ascii_whitespace() || is_word_char(c) || "\"#()[],:.?|+-*/=<>!&".contains(c))
        };
        self.at += self.run_length(start, begins_nothing).max(1);
        while !self.text.is_char_boundary(self.at) {
            self.at += 1;
        }
        let written = self.text.get(start..self.at).unwrap_or_default();
        let span = self.span(start);
        let first = written.chars().next().unwrap_or_default();
        let diagnostic = match first {
            _ if written.chars().all(char::is_whitespace) => {
                let message = format!("U+{:04X} instead of a plain space", u32::from(first));
                self.report(
                    Diagnostic::new(codes::E0001, span, message)
                        .with_help(
                            "such spaces come with text copied from a document; type a plain one",
                        )
                        .with_fix(span, " "),
                );
                return;
            }
            _ if is_invisible(first) => return self.bad_invisible(start),
            '\'' | '‘' | '’' | '`' => {
                Diagnostic::new(codes::E0001, span, "this quote does not belong here")
                    .with_help("texts are written in double quotes: `\"text\"`")
            }
            '%' => Diagnostic::new(codes::E0001, span, "a `%` without its number")
                .with_help("write it directly behind the number: `20%`"),
            ';' => Diagnostic::new(codes::E0001, span, "`;` does not belong here")
                .with_help("nothing ends a clause but the next one; delete it")
                .with_fix(span, ""),
            '{' | '}' => Diagnostic::new(codes::E0001, span, "braces do not belong here")
                .with_help("a rule is a list of clauses without braces"),
            _ => Diagnostic::new(
                codes::E0001,
                span,
                format!("`{}` does not belong here", shown(written)),
            ),
        };
        self.report(diagnostic);
        self.push(TokenKind::Bad, start);
    }

    fn bad_invisible(&mut self, start: usize) {
        self.report_invisible(start, self.at);
        self.push(TokenKind::Bad, start);
    }
}

/// The beginning of some words, fit to be put into a message.
fn shown(text: &str) -> String {
    let short: String = text.chars().take(20).collect();
    if short.len() < text.len() { format!("{short}…") } else { short }
}
