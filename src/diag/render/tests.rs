//! Rendered findings against texts written by hand.

use super::*;
use crate::diag::{FileId, codes};

fn sources(text: &str) -> Sources {
    Sources::of(vec![Source { path: "a/b.risk".to_owned(), text: text.to_owned() }])
}

/// A diagnostic at the only place where `words` stand.
fn at(text: &str, words: &str) -> Span {
    let start = text.find(words).unwrap();
    let offset = |at: usize| u32::try_from(at).unwrap();
    Span { file: FileId(0), start: offset(start), end: offset(start + words.len()) }
}

#[track_caller]
fn check(text: &str, diagnostic: Diagnostic, expected: &[&str]) {
    let rendered = super::text(&sources(text), &[diagnostic], Style::Plain);
    assert_eq!(rendered.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn all_parts_of_a_diagnostic_are_shown() {
    let text = "rule r\n  on transfer\n  when recever > 5\n";
    let diagnostic = Diagnostic::new(codes::E0101, at(text, "recever"), "no field `recever`")
        .with_label("unknown")
        .with_related(at(text, "transfer"), "this event")
        .with_help("did you mean `receiver`?")
        .with_fix(at(text, "recever"), "sender");
    check(
        text,
        diagnostic,
        &[
            "error[E0101]: no field `recever`",
            " --> a/b.risk:3:8",
            "3 |   when recever > 5",
            "  |        ^^^^^^^ unknown",
            " --> a/b.risk:2:6",
            "2 |   on transfer",
            "  |      -------- this event",
            "  = help: did you mean `receiver`?",
            "  = fix: write `sender` in place of `recever`",
            "",
        ],
    );
}

#[test]
fn a_second_place_on_the_same_line_shares_the_line() {
    let text = "when (a";
    let diagnostic = Diagnostic::new(codes::E0015, at(text, "a"), "expected `)`")
        .with_related(at(text, "("), "opened here");
    check(
        text,
        diagnostic,
        &[
            "error[E0015]: expected `)`",
            " --> a/b.risk:1:7",
            "1 | when (a",
            "  |       ^",
            "  |      - opened here",
            "",
        ],
    );
}

#[test]
fn tabs_and_wide_characters_keep_the_marks_below_the_words() {
    let text = "\ta\t\"日本\" x = y";
    check(
        text,
        Diagnostic::new(codes::W0301, at(text, "x"), "m"),
        &[
            "warning[W0301]: m",
            " --> a/b.risk:1:9",
            "1 |     a   \"日本\" x = y",
            "  |                ^",
            "",
        ],
    );
}

#[test]
fn nothing_reaches_the_terminal_as_a_command() {
    let text = "a \u{1b}[2J\u{202e} b\r\nc";
    let diagnostic = Diagnostic::new(codes::E0001, at(text, "b"), "bad\u{1b}[0m\nthing");
    check(
        text,
        diagnostic,
        &[
            "error[E0001]: bad\\u{1b}[0m\\nthing",
            " --> a/b.risk:1:9",
            "1 | a \\u{1b}[2J\\u{202e} b",
            "  |                     ^",
            "",
        ],
    );
}

#[test]
fn a_long_line_is_cut_around_the_words() {
    let text = format!("{} here {}", "a".repeat(500), "b".repeat(500));
    let rendered = super::text(
        &sources(&text),
        &[Diagnostic::new(codes::E0010, at(&text, "here"), "m")],
        Style::Plain,
    );
    let lines: Vec<&str> = rendered.lines().collect();
    assert!(lines[2].chars().count() < 130, "{}", lines[2]);
    let mark = lines[3].find("^^^^").map(|at| lines[3][..at].chars().count());
    let words = lines[2].find("here").map(|at| lines[2][..at].chars().count());
    assert_eq!(mark, words);
}

#[test]
fn a_place_that_does_not_exist_is_left_out() {
    let nowhere = Span { file: FileId(9), start: 5, end: 7 };
    let diagnostic = Diagnostic::new(codes::E0510, nowhere, "no policy");
    check("", diagnostic.clone(), &["error[E0510]: no policy", ""]);
    let json: Value = serde_json::from_str(&json_lines(&sources(""), &[diagnostic])).unwrap();
    assert_eq!((&json["path"], &json["line"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_span_behind_the_end_or_inside_of_a_character_does_no_harm() {
    for (start, end) in [(0, 99), (50, 60), (1, 1), (2, 1)] {
        let span = Span { file: FileId(0), start, end };
        let rendered = super::text(
            &sources("é\nx"),
            &[Diagnostic::new(codes::E0010, span, "m")],
            Style::Color,
        );
        assert!(rendered.contains('^'), "{rendered}");
    }
}

#[test]
fn diagnostics_are_sorted_and_counted() {
    let text = "a b";
    let diagnostics = [
        Diagnostic::new(codes::W0301, at(text, "b"), "second"),
        Diagnostic::new(codes::E0101, at(text, "a"), "first"),
    ];
    let rendered = super::text(&sources(text), &diagnostics, Style::Plain);
    assert!(rendered.find("first") < rendered.find("second"));
    assert_eq!(summary(&diagnostics), "1 error, 1 warning");
    assert_eq!(summary(&[]), "");
}

#[test]
fn json_has_places_for_people_and_bytes_for_fixes() {
    let text = "ä\nwhen x";
    let diagnostic = Diagnostic::new(codes::E0101, at(text, "x"), "m")
        .with_label("l")
        .with_fix(at(text, "x"), "y");
    let json: Value = serde_json::from_str(&json_lines(&sources(text), &[diagnostic])).unwrap();
    let expected = json!({
        "code": "E0101", "severity": "error", "message": "m", "path": "a/b.risk",
        "line": 2, "column": 6, "end_line": 2, "end_column": 7, "label": "l",
        "related": [], "help": null,
        "fix": {
            "start": 8, "end": 9, "text": "y", "path": "a/b.risk",
            "line": 2, "column": 6, "end_line": 2, "end_column": 7,
        },
        "doc": "docs/errors/E0101.md",
    });
    assert_eq!(json, expected);
}
