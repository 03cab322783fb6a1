//! Messages and reasons: a text that may hold expressions in braces, as in `"{senders} senders"`.
//!
//! The lexer knows nothing of braces, because most texts are not messages. `{{` and `}}` stand for the braces
//! themselves. What stands in braces is an expression without texts (a text would need quotes inside of quotes).

use crate::diag::{Diagnostic, Span, codes};
use crate::rules::syntax::ast::{Expr, Text};
use crate::rules::syntax::lexer::text::resolve_escape;
use crate::rules::syntax::parse_expression;

/// One part of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessagePart {
    /// Said as it is.
    Text(String),
    /// Said with its value; a missing one as "unknown".
    Expr(Expr),
}

/// Splits a message into its parts.
///
/// # Shape
/// `source` is the whole text of the file in which the message stands; spans count from its beginning. Neighbouring
/// texts are joined.
pub fn parts(message: &Text, source: &str) -> (Vec<MessagePart>, Vec<Diagnostic>) {
    let (start, end) = (message.span.start as usize, message.span.end as usize);
    let written = source.get(start..end).unwrap_or_default();
    let inner = written.strip_prefix('"').unwrap_or_default();
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut splitter =
        Splitter { source, inner, begin: start + 1, span: message.span, ..Splitter::default() };
    splitter.run();
    (splitter.parts, splitter.diagnostics)
}

#[derive(Default)]
struct Splitter<'a> {
    source: &'a str,
    inner: &'a str,
    /// Where `inner` begins in `source`.
    begin: usize,
    span: Span,
    at: usize,
    text: String,
    parts: Vec<MessagePart>,
    diagnostics: Vec<Diagnostic>,
}

impl Splitter<'_> {
    fn run(&mut self) {
        loop {
            let rest = self.inner.get(self.at..).unwrap_or_default();
            let Some(c) = rest.chars().next() else { break };
            match c {
                '\\' => {
                    let (resolved, length) = resolve_escape(rest);
                    self.text.extend(resolved);
                    self.at += length;
                }
                '{' if rest.starts_with("{{") => self.brace('{'),
                '}' if rest.starts_with("}}") => self.brace('}'),
                '{' => self.expression(rest),
                '}' => {
                    self.report(1, "this `}` closes nothing", "a brace itself is written `}}`");
                    self.at += 1;
                }
                _ => {
                    self.text.push(c);
                    self.at += c.len_utf8();
                }
            }
        }
        self.end_text();
    }

    fn brace(&mut self, brace: char) {
        self.text.push(brace);
        self.at += 2;
    }

    fn end_text(&mut self) {
        if !self.text.is_empty() {
            self.parts.push(MessagePart::Text(core::mem::take(&mut self.text)));
        }
    }

    /// Reads `{expr}`. `rest` begins with the brace.
    fn expression(&mut self, rest: &str) {
        self.end_text();
        let Some(length) = rest.find('}') else {
            self.report(1, "this `{` is never closed", "a brace itself is written `{{`");
            self.at = self.inner.len();
            return;
        };
        let begin = self.begin + self.at;
        let range = begin + 1..begin + length;
        let (expr, diagnostics) = parse_expression(self.span.file, self.source, range);
        self.parts.push(MessagePart::Expr(expr));
        self.diagnostics.extend(diagnostics);
        self.at += length + 1;
    }

    fn report(&mut self, length: usize, message: &str, help: &str) {
        let start = self.begin + self.at;
        let offset = |at: usize| u32::try_from(at).unwrap_or(self.span.end);
        let span = Span { start: offset(start), end: offset(start + length), ..self.span };
        self.diagnostics.push(Diagnostic::new(codes::E0015, span, message).with_help(help));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::FileId;

    /// The parts with expressions shown as the words they cover, and the codes of what is wrong.
    fn split(source: &str) -> (Vec<String>, Vec<&'static str>) {
        let end = u32::try_from(source.len()).unwrap();
        let span = Span { file: FileId(0), start: 0, end };
        let (parts, diagnostics) = parts(&Text { text: String::new(), span }, source);
        let shown = parts.into_iter().map(|part| match part {
            MessagePart::Text(text) => text,
            MessagePart::Expr(expr) => {
                format!("<{}>", &source[expr.span.start as usize..expr.span.end as usize])
            }
        });
        (shown.collect(), diagnostics.iter().map(|d| d.code.0).collect())
    }

    #[track_caller]
    fn check(source: &str, expected: &[&str], codes: &[&str]) {
        let (parts, found) = split(source);
        assert_eq!(
            (parts, found),
            (expected.iter().map(|&s| s.to_owned()).collect(), codes.to_vec())
        );
    }

    #[test]
    fn expressions_stand_in_braces_and_keep_their_place() {
        check(
            r#""{n} senders, {a.b + 1} more""#,
            &["<n>", " senders, ", "<a.b + 1>", " more"],
            &[],
        );
    }

    #[test]
    fn doubled_braces_and_escapes_are_text() {
        check(r#""{{x}} caf\u{e9} \"{n}\"\n""#, &["{x} café \"", "<n>", "\"\n"], &[]);
    }

    #[test]
    fn broken_braces_are_reported_and_the_rest_is_read() {
        check(r#""a {n""#, &["a "], &["E0015"]);
        check(r#""a } b""#, &["a  b"], &["E0015"]);
        check(r#""a {} b {n m} c""#, &["a ", "<>", " b ", "<n>", " c"], &["E0013", "E0010"]);
    }
}
