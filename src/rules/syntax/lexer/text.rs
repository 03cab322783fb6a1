//! Quoted texts and their escapes.

use crate::diag::{Diagnostic, Span, codes};
use crate::rules::syntax::lexer::{Lexer, is_invisible, offset};
use crate::rules::syntax::token::TokenKind;

impl Lexer<'_> {
    /// Reads a text. `close` is `"`, or `”` for quotes out of a word processor, which are reported and read.
    pub(super) fn text_literal(&mut self, close: char) {
        let start = self.at;
        self.bump();
        let mut content = String::new();
        let closed = loop {
            match self.peek() {
                None | Some('\n') => break false,
                Some('"') => break true,
                Some('”' | '“') if close != '"' => break true,
                Some('\\') => self.escape(&mut content),
                Some(c) => {
                    if is_invisible(c) && !self.already_reported(start) {
                        self.report_invisible(self.at, self.at + c.len_utf8());
                    }
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
                Diagnostic::new(codes::E0001, span, "typographic quotes")
                    .with_help("texts are written in plain double quotes: `\"text\"`")
                    .with_fix(span, format!("\"{content}\"")),
            );
        }
        self.push(TokenKind::Text(content), start);
    }

    fn already_reported(&self, start: usize) -> bool {
        self.out.diagnostics.last().is_some_and(|last| last.span.start > offset(start))
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
        let written = self.text.get(start..self.at).unwrap_or_default().escape_debug().to_string();
        let message = match c {
            'u' => "an escape `\\u` without a character".to_owned(),
            _ => format!("unknown escape `{}`", written.replace("\\\\", "\\")),
        };
        let help = match c {
            'u' => "write the character's number in braces: `\\u{e9}`".to_owned(),
            _ => format!(
                "known are `\\\"`, `\\\\`, `\\n` and `\\u{{…}}`; a backslash itself is `\\\\`, as in `\"\\\\{}\"`",
                c.escape_debug()
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
