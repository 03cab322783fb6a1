//! Quoted texts and their escapes.

use crate::base::text::is_invisible;
use crate::diag::{Diagnostic, Span, codes};
use crate::rules::syntax::lexer::{Lexer, offset};
use crate::rules::syntax::token::TokenKind;

impl Lexer<'_> {
    /// Whether a single quote has a partner on this line.
    pub(super) fn closes_on_line(&self, close: char) -> bool {
        let line = self.rest().split('\n').next().unwrap_or_default();
        line.chars().skip(1).any(|c| closes(c, close))
    }

    /// Reads a text. `close` is `"`, or `'` or `”` for quotes of another language or out of a word processor, which
    /// are reported and read.
    pub(super) fn text_literal(&mut self, close: char) {
        let start = self.at;
        self.bump();
        let mut content = String::new();
        let closed = loop {
            match self.peek() {
                None | Some('\n') => break false,
                Some(c) if closes(c, close) => break true,
                Some('\\') => self.escape(&mut content),
                Some(c) => {
                    self.report_if_invisible(c, start);
                    content.push(c);
                    self.at += c.len_utf8();
                }
            }
        };
        if closed {
            self.bump();
        }
        if !closed {
            self.unterminated(start);
        } else if close != '"' {
            self.foreign_quotes(start, &content);
        }
        self.push(TokenKind::Text(content), start);
    }

    /// Reports an invisible character unless something in this text is reported already.
    fn report_if_invisible(&mut self, c: char, text_start: usize) {
        let last = self.out.diagnostics.last();
        let reported = last.is_some_and(|last| last.span.start > offset(text_start));
        if is_invisible(c) && !reported {
            self.report_invisible(self.at, self.at + c.len_utf8());
        }
    }

    fn foreign_quotes(&mut self, start: usize, content: &str) {
        let span = self.span(start);
        let escaped = content.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        self.report(
            Diagnostic::new(codes::E0001, span, "not the quotes of this language")
                .with_help("texts are written in plain double quotes: `\"text\"`")
                .with_fix(span, format!("\"{escaped}\"")),
        );
    }

    fn unterminated(&mut self, start: usize) {
        let end = self.text.get(start..self.at).unwrap_or_default().trim_end().len() + start;
        let span = Span { file: self.file, start: offset(start), end: offset(end) };
        let diagnostic = Diagnostic::new(codes::E0002, span, "this text has no closing quote")
            .with_label("begins here")
            .with_help("close it with `\"` on the same line");
        self.report(diagnostic);
    }

    /// Reads one escape. At `\`; afterwards behind the escape.
    fn escape(&mut self, content: &mut String) {
        let start = self.at;
        let (resolved, length) = resolve_escape(self.rest());
        self.at += length;
        if let Some(resolved) = resolved {
            content.push(resolved);
            return;
        }
        let written = self.text.get(start + 1..self.at).unwrap_or_default();
        if written.is_empty() {
            return;
        }
        content.push_str(written);
        let (message, help) = if written == "u" {
            let message = "an escape `\\u` without a character".to_owned();
            (message, "write the character's number in braces: `\\u{e9}`".to_owned())
        } else {
            let known = "known are `\\\"`, `\\\\`, `\\n` and `\\u{…}`";
            let help = format!("{known}; a backslash itself is `\\\\`, as in `\"\\\\{written}\"`");
            (format!("unknown escape `\\{written}`"), help)
        };
        let diagnostic = Diagnostic::new(codes::E0003, self.span(start), message).with_help(help);
        self.report(diagnostic);
    }
}

/// The character that an escape stands for, if it stands for one, and the length of the escape in bytes.
///
/// # Shape
/// `text` begins with a backslash. A backslash at the end of a line or of the text has length 1.
pub(in crate::rules::syntax) fn resolve_escape(text: &str) -> (Option<char>, usize) {
    let rest = text.strip_prefix('\\').unwrap_or(text);
    match rest.chars().next() {
        Some(c @ ('"' | '\\')) => (Some(c), 2),
        Some('n') => (Some('\n'), 2),
        Some('u') => match unicode_escape(rest) {
            Some((c, length)) => (Some(c), 1 + length),
            None => (None, 2),
        },
        None | Some('\n') => (None, 1),
        Some(c) => (None, 1 + c.len_utf8()),
    }
}

/// Reads `u{1f600}`: the character and the length.
fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let (digits, _) = text.strip_prefix("u{")?.split_once('}')?;
    let length = digits.len();
    if length == 0 || length > 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
    Some((c, length + "u{}".len()))
}

/// Whether a character closes a text; `close` is the plain form of its kind of quote.
fn closes(c: char, close: char) -> bool {
    match close {
        '\'' => matches!(c, '\'' | '‘' | '’'),
        '”' => matches!(c, '"' | '“' | '”'),
        _ => c == close,
    }
}
