//! Any bytes as a rule file: lexer, parser and renderers answer, and every place that they name lies in the file.

use riskweir::diag::render::{self, Style};
use riskweir::diag::{Diagnostic, FileId, Source, Sources, Span};
use riskweir::rules::syntax::lexer::lex;
use riskweir::rules::syntax::{parse, parse_expression};

pub(crate) fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    let lexed = lex(FileId(0), &text);
    let mut last_end = 0;
    for token in &lexed.tokens {
        inside(token.span, &text);
        assert!(token.span.start >= last_end, "tokens stand in order: {token:?}");
        last_end = token.span.end;
    }
    let (_, mut found) = parse(FileId(0), &text);
    found.extend(parse_expression(FileId(0), &text, 0..text.len()).1);
    let source = Source { path: "fuzz.risk".to_owned(), text };
    check_report(&Sources::of(vec![source]), &found);
}

/// Renders a report in all forms, and looks at every place in it.
pub(crate) fn check_report(sources: &Sources, report: &[Diagnostic]) {
    for diagnostic in report {
        let fix = diagnostic.fix.iter().map(|(span, _)| *span);
        let related = diagnostic.related.iter().map(|(span, _)| *span);
        for span in [diagnostic.span].into_iter().chain(related).chain(fix) {
            let source = sources.get(span.file).unwrap_or_else(|| panic!("{diagnostic:?}"));
            inside(span, &source.text);
        }
    }
    let plain = render::text(sources, report, Style::Plain);
    let control = |c: char| c.is_control() && c != '\n';
    assert!(!plain.contains(control), "a rule file writes to the terminal: {plain:?}");
    render::text(sources, report, Style::Color);
    for line in render::json_lines(sources, report).lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok(), "{line}");
    }
}

#[track_caller]
fn inside(span: Span, text: &str) {
    let range = span.start as usize..span.end as usize;
    assert!(text.get(range).is_some(), "{span:?} is not in the {} bytes", text.len());
}
