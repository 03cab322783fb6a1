//! Rendering of diagnostics: text with carets for people, JSON for tools.
//!
//! What is shown of a source line is laid out in columns first (`layout`): tabs reach to the next multiple of
//! four, wide characters take two columns, and characters that would move the cursor, hide or reorder what is shown
//! are escaped, so a rule file cannot write to the terminal. Lines and columns count from 1, columns in characters.

mod layout;

use serde_json::{Value, json};

use crate::diag::{Diagnostic, FileId, Severity, Source, Sources, Span};
use layout::{Layout, escaped};

/// Whether the text carries colors for a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Plain text.
    Plain,
    /// With ANSI colors.
    Color,
}

/// Renders diagnostics for people, sorted by file and position, an empty line behind each.
pub fn text(sources: &Sources, diagnostics: &[Diagnostic], style: Style) -> String {
    let mut out = String::new();
    for diagnostic in sorted(diagnostics) {
        Text { sources, style, out: &mut out }.diagnostic(diagnostic);
        out.push('\n');
    }
    out
}

/// Renders diagnostics for tools: one JSON object per line, sorted by file and position.
///
/// # Shape
/// `code`, `severity`, `message`, `path`, `line`, `column`, `end_line`, `end_column` (null when the diagnostic has
/// no place), `label`, `related`, `help`, `fix`, `doc`. `fix` is null or has `start` and `end` in bytes, lines and
/// columns like the diagnostic, and the new `text`.
pub fn json_lines(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let mut out = String::new();
    for object in json(sources, diagnostics) {
        out.push_str(&object.to_string());
        out.push('\n');
    }
    out
}

/// The objects of [`json_lines`].
pub fn json(sources: &Sources, diagnostics: &[Diagnostic]) -> Vec<serde_json::Value> {
    sorted(diagnostics).into_iter().map(|diagnostic| json_object(sources, diagnostic)).collect()
}

/// One line such as `2 errors, 1 warning`; empty when there is nothing.
pub fn summary(diagnostics: &[Diagnostic]) -> String {
    let count = |severity| diagnostics.iter().filter(|d| d.severity() == severity).count();
    let part = |n: usize, word: &str| match n {
        0 => None,
        1 => Some(format!("1 {word}")),
        _ => Some(format!("{n} {word}s")),
    };
    let parts = [part(count(Severity::Error), "error"), part(count(Severity::Warning), "warning")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn sorted(diagnostics: &[Diagnostic]) -> Vec<&Diagnostic> {
    let mut sorted: Vec<&Diagnostic> = diagnostics.iter().collect();
    sorted.sort_by_key(|d| (d.span.file, d.span.start, d.span.end, d.code));
    sorted
}

fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// A place for people: line and column from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The character in it.
    pub column: usize,
}

/// The place of a byte of a source. Bytes inside of a character count as its beginning.
pub fn position(source: &Source, byte: u32) -> Position {
    let (line_start, line) = line_start(&source.text, byte as usize);
    let before = source.text.get(line_start..floor(&source.text, byte as usize));
    Position { line, column: before.unwrap_or_default().chars().count() + 1 }
}

/// First byte and number of the line that holds a byte.
fn line_start(text: &str, byte: usize) -> (usize, usize) {
    let before = text.get(..floor(text, byte)).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (start, before.matches('\n').count() + 1)
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, byte: usize) -> usize {
    let mut at = byte.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

struct Text<'a> {
    sources: &'a Sources,
    style: Style,
    out: &'a mut String,
}

/// ANSI codes by what is colored.
const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const CYAN: &str = "1;36";
const BOLD: &str = "1";

impl Text<'_> {
    fn diagnostic(&mut self, diagnostic: &Diagnostic) {
        let severity = diagnostic.severity();
        let color = match severity {
            Severity::Error => RED,
            Severity::Warning => YELLOW,
        };
        let code = format!("{}[{}]", severity_word(severity), diagnostic.code.0);
        self.paint(color, &code);
        self.paint(BOLD, &format!(": {}", escaped(&diagnostic.message)));
        self.out.push('\n');
        let gutter = self.gutter_width(diagnostic);
        let mark = Mark { sign: '^', color };
        let mut shown = self.snippet(gutter, None, (diagnostic.span, &diagnostic.label), mark);
        for (span, text) in &diagnostic.related {
            let mark = Mark { sign: '-', color: BLUE };
            shown = self.snippet(gutter, shown, (*span, text), mark);
        }
        if let Some(help) = &diagnostic.help {
            self.note(gutter, "help", help);
        }
        if let Some((span, replacement)) = &diagnostic.fix
            && !diagnostic.help.as_ref().is_some_and(|help| help.contains(replacement.trim()))
        {
            let old = self.sources.text(*span);
            self.note(gutter, "fix", &format!("write `{replacement}` in place of `{old}`"));
        }
    }

    fn paint(&mut self, color: &str, text: &str) {
        match self.style {
            Style::Plain => self.out.push_str(text),
            Style::Color => {
                let painted = format!("\u{1b}[{color}m{text}\u{1b}[0m");
                self.out.push_str(&painted);
            }
        }
    }

    /// The rest of a line.
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// Digits of the greatest line number shown.
    fn gutter_width(&self, diagnostic: &Diagnostic) -> usize {
        let spans = diagnostic.related.iter().map(|(span, _)| span).chain([&diagnostic.span]);
        let lines = spans.filter_map(|span| {
            self.sources.get(span.file).map(|source| position(source, span.start).line)
        });
        lines.max().unwrap_or(1).to_string().len()
    }

    /// The place and its line with the words marked; only the marks when `above` is that very line.
    fn snippet(
        &mut self,
        gutter: usize,
        above: Option<Shown>,
        (span, label): (Span, &str),
        mark: Mark,
    ) -> Option<Shown> {
        let source = self.sources.get(span.file)?;
        let place = position(source, span.start);
        let pad = " ".repeat(gutter);
        let layout = Layout::of(source, span);
        let shown = Shown { file: span.file, line: place.line, cut: layout.cut };
        if above != Some(shown) {
            self.paint(BLUE, &format!("{pad}--> "));
            let path = escaped(&source.path);
            self.line(&format!("{path}:{}:{}", place.line, place.column));
            self.paint(BLUE, &format!("{:>gutter$} |", place.line));
            self.line(&format!(" {}", layout.line));
        }
        self.paint(BLUE, &format!("{pad} |"));
        self.out.push_str(&" ".repeat(layout.indent + 1));
        let marks: String = core::iter::repeat_n(mark.sign, layout.width).collect();
        let marked = format!("{marks} {}", escaped(label));
        self.paint(mark.color, marked.trim_end());
        self.out.push('\n');
        Some(shown)
    }

    fn note(&mut self, gutter: usize, kind: &str, text: &str) {
        let pad = " ".repeat(gutter);
        self.paint(BLUE, &format!("{pad} = "));
        self.paint(CYAN, kind);
        self.line(&format!(": {}", escaped(text)));
    }
}

/// A source line as it was shown.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Shown {
    file: FileId,
    line: usize,
    cut: usize,
}

/// How words are marked.
#[derive(Clone, Copy)]
struct Mark {
    sign: char,
    color: &'static str,
}

fn json_object(sources: &Sources, diagnostic: &Diagnostic) -> Value {
    let related: Vec<Value> = diagnostic
        .related
        .iter()
        .map(|(span, text)| with_place(sources, *span, json!({ "text": text })))
        .collect();
    let fix = diagnostic.fix.as_ref().map(|(span, text)| {
        let bytes = json!({ "start": span.start, "end": span.end, "text": text });
        with_place(sources, *span, bytes)
    });
    let head = json!({
        "code": diagnostic.code.0,
        "severity": severity_word(diagnostic.severity()),
        "message": diagnostic.message,
    });
    let mut object = with_place(sources, diagnostic.span, head);
    object["label"] = json!(diagnostic.label);
    object["related"] = json!(related);
    object["help"] = json!(diagnostic.help);
    object["fix"] = json!(fix);
    object["doc"] = json!(format!("docs/errors/{}.md", diagnostic.code.0));
    object
}

/// Adds path, lines and columns to an object; null when the span has no source.
fn with_place(sources: &Sources, span: Span, mut object: Value) -> Value {
    let source = sources.get(span.file);
    let start = source.map(|source| position(source, span.start));
    let end = source.map(|source| position(source, span.end));
    object["path"] = json!(source.map(|source| source.path.as_str()));
    object["line"] = json!(start.map(|place| place.line));
    object["column"] = json!(start.map(|place| place.column));
    object["end_line"] = json!(end.map(|place| place.line));
    object["end_column"] = json!(end.map(|place| place.column));
    object
}

#[cfg(test)]
mod tests;
