//! Quoted texts and their escapes.

use crate::diag::{Diagnostic, Span, codes};
use crate::rules::syntax::lexer::{Lexer, is_invisible, offset};
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
        } else {
            self.unterminated(start);
        }
        if close != '"' {
            let span = self.span(start);
            self.report(
                Diagnostic::new(codes::E0001, span, "not the quotes of this language")
                    .with_help("texts are written in plain double quotes: `\"text\"`")
                    .with_fix(span, format!("\"{content}\"")),
            );
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
        self.at += 1;
        let Some(c) = self.peek().filter(|&c| c != '\n') else { return };
        self.at += c.len_utf8();
        let resolved = match c {
            '"' | '\\' => Some(c),
            'n' => Some('\n'),
            'u' => self.unicode_escape(),
            _ => None,
        };
        if let Some(resolved) = resolved {
            content.push(resolved);
            return;
        }
        content.push(c);
        let span = self.span(start);
        let written = self.text.get(start..self.at).unwrap_or_default();
        let message = match c {
            'u' => "an escape `\\u` without a character".to_owned(),
            _ => format!("unknown escape `{written}`"),
        };
        let help = match c {
            'u' => "write the character's number in braces: `\\u{e9}`".to_owned(),
            _ => format!(
                "known are `\\\"`, `\\\\`, `\\n` and `\\u{{…}}`; a backslash itself is `\\\\`, as in `\"\\\\{}\"`",
                c
            ),
        };
        self.report(Diagnostic::new(codes::E0003, span, message).with_help(help));
    }

    /// Reads `{1f600}`; stays where it is when that does not stand there.
    fn unicode_escape(&mut self) -> Option<char> {
        let digits = self.rest().strip_prefix('{')?;
        let (digits, _) = digits.split_once('}')?;
        let length = digits.len();
        if length == 0 || length > 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        let c = char::from_u32(u32::from_str_radix(digits, 16).ok()?)?;
        self.at += length + 2;
        Some(c)
    }
}

/// Whether a character closes a text; `close` is the plain form of its kind of quote.
fn closes(c: char, close: char) -> bool {
    match close {
        '\'' => matches!(c, '\'' | '‘' | '’'),
        '”' => matches!(c, '"' | '“' | '”'),
        _ => c == close,
    }
}
