//! Tokens of texts, good and bad, by hand.

use super::*;
use crate::rules::syntax::ast::Decimal;

fn lexed(text: &str) -> Lexed {
    lex(FileId(0), text)
}

fn decimal(mantissa: i128, scale: u32) -> Decimal {
    Decimal { mantissa, scale }
}

/// The one token of a text without mistakes.
#[track_caller]
fn one(text: &str) -> TokenKind {
    let lexed = lexed(text);
    assert_eq!(lexed.diagnostics, Vec::new(), "{text}");
    assert_eq!(lexed.tokens.len(), 2, "{text}: {:?}", lexed.tokens);
    let token = lexed.tokens.into_iter().next().unwrap();
    assert_eq!((token.span.start as usize, token.span.end as usize), (0, text.len()), "{text}");
    token.kind
}

/// Tokens as the words they cover.
fn words_of(text: &str) -> Vec<&str> {
    let tokens = lexed(text).tokens;
    let spans = tokens.iter().map(|token| token.span.start as usize..token.span.end as usize);
    spans.map(|range| &text[range]).filter(|word| !word.is_empty()).collect()
}

fn codes_of(text: &str) -> Vec<&'static str> {
    lexed(text).diagnostics.iter().map(|diagnostic| diagnostic.code.0).collect()
}

#[test]
fn numbers_are_exact() {
    assert_eq!(one("12"), TokenKind::Number(decimal(12, 0)));
    assert_eq!(one("12.50"), TokenKind::Number(decimal(1250, 2)));
    assert_eq!(one("2_000"), TokenKind::Number(decimal(2000, 0)));
    assert_eq!(one("9_999.9_9"), TokenKind::Number(decimal(999_999, 2)));
    assert_eq!(one("007"), TokenKind::Number(decimal(7, 0)));
    let most = 9_999_999_999_999_999_999_999_999_999_i128;
    assert_eq!(one("9999999999999999999999999999"), TokenKind::Number(decimal(most, 0)));
}

#[test]
fn units_stand_behind_numbers() {
    assert_eq!(one("20%"), TokenKind::Percent(decimal(20, 0)));
    assert_eq!(one("0.5%"), TokenKind::Percent(decimal(5, 1)));
    assert_eq!(one("500 EUR"), TokenKind::Money(decimal(500, 0), "EUR".to_owned()));
    assert_eq!(one("9_999.99 EUR"), TokenKind::Money(decimal(999_999, 2), "EUR".to_owned()));
    assert_eq!(one("100 km"), TokenKind::Distance(decimal(100_000, 0)));
    assert_eq!(one("1.5 km"), TokenKind::Distance(decimal(15_000, 1)));
    assert_eq!(one("250 m"), TokenKind::Distance(decimal(250, 0)));
    assert_eq!(one("900 km/h"), TokenKind::Speed(decimal(900, 0)));
    assert_eq!(one("2026-01-31"), TokenKind::Date(2026, 1, 31));
    assert_eq!(one("2024-02-29"), TokenKind::Date(2024, 2, 29));
    assert_eq!(one("64MiB"), TokenKind::Size(67_108_864));
    assert_eq!(one("1.5GiB"), TokenKind::Size(1_610_612_736));
}

#[test]
fn durations_are_whole_nanoseconds() {
    for (text, nanos) in [
        ("20us", 20_000),
        ("250ms", 250_000_000),
        ("30s", 30_000_000_000),
        ("10m", 600_000_000_000),
        ("2h", 7_200_000_000_000),
        ("1.5h", 5_400_000_000_000),
        ("7d", 604_800_000_000_000),
        ("1w", 604_800_000_000_000),
        ("400d", 34_560_000_000_000_000),
    ] {
        assert_eq!(one(text), TokenKind::Duration(nanos), "{text}");
    }
}

#[test]
fn a_unit_that_is_part_of_more_words_is_not_swallowed() {
    for (text, words) in [
        ("3..12", vec!["3", "..", "12"]),
        ("40..69 -> alert", vec!["40", "..", "69", "->", "alert"]),
        ("distance / 3h", vec!["distance", "/", "3h"]),
        ("1 km/hours", vec!["1 km", "/", "hours"]),
        ("1 km / h", vec!["1 km", "/", "h"]),
        ("5 EURX", vec!["5", "EURX"]),
        ("5 AND x", vec!["5", "AND", "x"]),
        ("5\nEUR", vec!["5", "EUR"]),
        ("score +35", vec!["score", "+", "35"]),
        ("a-3", vec!["a", "-", "3"]),
        ("2026-1-5", vec!["2026", "-", "1", "-", "5"]),
        ("2026-01-31..", vec!["2026-01-31", ".."]),
        ("a.b", vec!["a", ".", "b"]),
        ("3.b", vec!["3", ".", "b"]),
        ("device?", vec!["device", "?"]),
        ("a<=b>=c!=d", vec!["a", "<=", "b", ">=", "c", "!=", "d"]),
        ("5 or more", vec!["5", "or", "more"]),
        ("hold for 2h", vec!["hold", "for", "2h"]),
    ] {
        assert_eq!(words_of(text), words);
        assert_eq!(codes_of(text), Vec::<&str>::new(), "{text}");
    }
}

#[test]
fn texts_resolve_their_escapes() {
    let text = |content: &str| TokenKind::Text(content.to_owned());
    assert_eq!(one(r#""5 or more""#), text("5 or more"));
    assert_eq!(one(r#""a \"b\" \\ \n \u{e9}\u{1F600}""#), text("a \"b\" \\ \n é😀"));
    assert_eq!(one("\"# no comment\""), text("# no comment"));
    assert_eq!(one("\"\""), text(""));
}

#[test]
fn comments_are_kept_beside_the_tokens() {
    let text = "# first  \r\nrule a # second\n#";
    let found = lexed(text);
    let comments: Vec<_> =
        found.comments.iter().map(|c| (c.span.start, c.span.end, c.text.as_str())).collect();
    assert_eq!(comments, [(0, 7, " first"), (18, 26, " second"), (27, 28, "")]);
    assert_eq!(words_of(text), ["rule", "a"]);
    assert!(found.tokens[0].first_on_line && !found.tokens[1].first_on_line);
}

#[test]
fn what_cannot_be_read_is_reported_and_lexing_goes_on() {
    for (text, codes) in [
        ("a § b", vec!["E0001"]),
        ("a @@@ b", vec!["E0001"]),
        ("\u{feff}a", vec![]),
        ("a \u{feff} b", vec!["E0001"]),
        ("a\u{a0}b", vec!["E0001"]),
        ("\u{0}\u{1b}[J", vec!["E0001"]),
        ("straße", vec!["E0001"]),
        ("\"open", vec!["E0002"]),
        ("\"open\nb", vec!["E0002"]),
        ("\"open\\", vec!["E0002"]),
        ("“open", vec!["E0002"]),
        ("“closed”", vec!["E0001"]),
        ("'closed'", vec!["E0001"]),
        ("a ' b", vec!["E0001"]),
        ("\"\\q\"", vec!["E0003"]),
        ("\"\\u{d800}\"", vec!["E0003"]),
        ("\"\\u{1234567}\"", vec!["E0003"]),
        ("\"a\u{202e}b\"", vec!["E0001"]),
        ("12345678901234567890123456789", vec!["E0004"]),
        ("0.12345678901234567890123456789", vec!["E0004"]),
        ("1_", vec!["E0004"]),
        ("999999999w", vec!["E0004"]),
        ("0.0000001us", vec!["E0004"]),
        ("99999999999TiB", vec!["E0004"]),
        ("10min", vec!["E0005"]),
        ("500EUR", vec!["E0005"]),
        ("100km", vec!["E0005"]),
        ("2026-02-30", vec!["E0006"]),
        ("0000-01-01", vec!["E0006"]),
        ("a == b && c", vec!["E0018", "E0018"]),
        ("# hidden \u{202e}", vec!["E0001"]),
    ] {
        assert_eq!(codes_of(text), codes, "{text:?}");
        assert_eq!(lexed(text).tokens.last().map(|t| t.kind.clone()), Some(TokenKind::End));
    }
}

#[test]
fn a_part_of_a_file_keeps_its_places() {
    let text = "rule a # x\nwhen b > 5 EUR";
    let found = lex_range(FileId(3), text, 16..25);
    let spans: Vec<_> = found.tokens.iter().map(|t| (t.span.start, t.span.end)).collect();
    assert_eq!(spans, [(16, 17), (18, 19), (20, 25), (25, 25)]);
    assert_eq!(lex_range(FileId(3), text, 7..999).tokens.len(), 1);
}
