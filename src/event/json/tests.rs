//! The scanner against the grammar and against `serde_json`.

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const LIMITS: ScanLimits = ScanLimits { max_depth: 127, max_keys: 100_000 };

#[track_caller]
fn check(text: &str, expected: core::result::Result<(), (Reason, u32)>) {
    let found = validate(text.as_bytes(), LIMITS, &mut KeyLog::default());
    assert_eq!(found.map_err(|error| (error.reason, error.offset)), expected, "{text}");
}

#[test]
fn the_grammar_is_accepted() {
    for text in [
        "null",
        " true ",
        "\tfalse\r\n",
        "0",
        "-0",
        "-0.0e+00",
        "1E5",
        "123456789012345678901234567890",
        "\"\"",
        r#""\"\\\/\b\f\n\r\t\u0041\ud83d\ude00""#,
        "\"a long text without any escape, beyond eight bytes: äöü\"",
        "[]",
        "[ ]",
        "{}",
        "{ }",
        "[1,[2,[3]],{}]",
        r#" { "a" : 1 , "b" : { "a" : [ ] } } "#,
    ] {
        check(text, Ok(()));
    }
}

#[test]
fn what_breaks_the_grammar_is_refused_where_it_breaks() {
    for (text, offset) in [
        ("", 0),
        (" ", 1),
        ("nul", 0),
        ("True", 0),
        ("NaN", 0),
        ("Infinity", 0),
        ("-Infinity", 1),
        ("+1", 0),
        (".5", 0),
        ("5.", 2),
        ("1.e5", 2),
        ("1e", 2),
        ("1e+", 3),
        ("-", 1),
        ("01", 0),
        ("-01", 1),
        ("0x1", 1),
        ("1 2", 2),
        ("'a'", 0),
        ("\"a", 2),
        ("\"a\nb\"", 2),
        ("\"\0\"", 1),
        (r#""\x""#, 1),
        (r#""\u12""#, 1),
        (r#""\u12g4""#, 1),
        (r#""\ud800""#, 1),
        (r#""\ud800\u0041""#, 1),
        (r#""\udc00""#, 1),
        ("[1,]", 3),
        ("[,1]", 1),
        ("[1 2]", 3),
        ("[1", 2),
        ("[", 1),
        ("{", 1),
        ("{\"a\"}", 4),
        ("{\"a\":}", 5),
        ("{\"a\":1,}", 7),
        ("{,}", 1),
        ("{a:1}", 1),
        ("{\"a\":1 \"b\":2}", 7),
        ("[1}", 2),
        ("{\"a\":1]", 6),
        ("]", 0),
        ("/* */ 1", 0),
    ] {
        check(text, Err((Reason::InvalidJson, offset)));
    }
}

#[test]
fn depth_and_keys_are_bounded() {
    let limits = ScanLimits { max_depth: 3, max_keys: 3 };
    let mut log = KeyLog::default();
    let mut reason = |text: &str| validate(text.as_bytes(), limits, &mut log).map_err(|e| e.reason);
    assert_eq!(reason("[[[]]]"), Ok(()));
    assert_eq!(reason("[[[[]]]]"), Err(Reason::TooDeep));
    assert_eq!(reason("[[[{}]]]"), Err(Reason::TooDeep));
    assert_eq!(reason("[[],[],[],[[]]]"), Ok(()));
    assert_eq!(reason(r#"{"a":1,"b":2,"c":3}"#), Ok(()));
    assert_eq!(reason(r#"[{"a":1},{"a":1},{"a":1},{"a":1}]"#), Err(Reason::TooManyKeys));
}

#[test]
fn a_depth_bomb_neither_overflows_the_stack_nor_passes() {
    for bracket in ["[", "{\"a\":"] {
        let bomb = bracket.repeat(1_000_000);
        let limits = ScanLimits { max_depth: 10_000_000, max_keys: 10_000_000 };
        let found = validate(bomb.as_bytes(), limits, &mut KeyLog::default());
        assert_eq!(found.map_err(|error| error.reason), Err(Reason::InvalidJson));
        let found = validate(bomb.as_bytes(), LIMITS, &mut KeyLog::default());
        assert_eq!(found.map_err(|error| error.reason), Err(Reason::TooDeep));
    }
}

#[test]
fn a_key_twice_in_one_object_is_refused_also_when_escaped() {
    check(r#"{"a":1,"a":1}"#, Err((Reason::DuplicateKey, 8)));
    check(r#"{"a":1,"b":2,"c":[{"x":1,"x":2}]}"#, Err((Reason::DuplicateKey, 26)));
    check(r#"{"a":1,"\u0061":1}"#, Err((Reason::DuplicateKey, 8)));
    check(r#"{"\u0061":1,"a":1}"#, Err((Reason::DuplicateKey, 13)));
    check(r#"{"\u0061":1,"\u0061":1}"#, Err((Reason::DuplicateKey, 13)));
    check(r#"{"":1,"":1}"#, Err((Reason::DuplicateKey, 7)));
    check(r#"{"a":{"a":{"a":1}},"b":{"a":1}}"#, Ok(()));
}

#[test]
fn a_thousand_different_keys_are_no_duplicates() {
    let members: Vec<String> = (0..1000).map(|n| format!("\"key_{n}\":{n}")).collect();
    check(&format!("{{{}}}", members.join(",")), Ok(()));
    let text = format!("{{{},\"key_500\":0}}", members.join(","));
    let found = validate(text.as_bytes(), LIMITS, &mut KeyLog::default());
    assert_eq!(found.map_err(|error| error.reason), Err(Reason::DuplicateKey));
}

#[test]
fn numbers_say_whether_they_are_integers() {
    assert_eq!(number_kind(b"-12"), Some(NumberKind::Integer));
    assert_eq!(number_kind(b"12.0"), Some(NumberKind::Decimal));
    assert_eq!(number_kind(b"1e2"), Some(NumberKind::Decimal));
    assert_eq!(number_kind(b"12 "), None);
    assert_eq!(number_kind(b""), None);
    assert_eq!(number_kind(b"123456789012345678x"), None);
}

/// Builds a tree with the pull scanner: `None` for what is invalid.
fn tree(text: &str) -> core::result::Result<Value, ScanError> {
    let mut scanner = Scanner::new(text.as_bytes(), LIMITS);
    let token = scanner.value()?;
    let value = build(&mut scanner, token)?;
    scanner.end()?;
    Ok(value)
}

fn build(scanner: &mut Scanner<'_>, token: Token) -> core::result::Result<Value, ScanError> {
    Ok(match token {
        Token::Object => {
            let mut map = serde_json::Map::new();
            while let Some(key) = scanner.next_key(map.is_empty())? {
                let token = scanner.value()?;
                let value = build(scanner, token)?;
                if map.insert(string(scanner, key), value).is_some() {
                    return Err(duplicate_key(key));
                }
            }
            Value::Object(map)
        }
        Token::Array => {
            let mut items = Vec::new();
            while scanner.next_item(items.is_empty())? {
                let token = scanner.value()?;
                items.push(build(scanner, token)?);
            }
            Value::Array(items)
        }
        Token::Text(text) => Value::String(string(scanner, text)),
        Token::Number(number) => {
            let bytes = &scanner.raw()[number.start as usize..number.end as usize];
            serde_json::from_slice(bytes).unwrap_or(Value::Null)
        }
        Token::True => Value::Bool(true),
        Token::False => Value::Bool(false),
        Token::Null => Value::Null,
    })
}

fn string(scanner: &Scanner<'_>, text: Text) -> String {
    let mut out = Vec::new();
    unescape_into(slice(scanner.raw(), text), &mut out);
    String::from_utf8(out).unwrap()
}

/// Our verdict and tree against `serde_json`, which keeps the last of two equal keys.
fn agrees_with_serde(text: &str) -> core::result::Result<(), TestCaseError> {
    let ours = tree(text);
    let verdict = validate(text.as_bytes(), LIMITS, &mut KeyLog::default());
    prop_assert_eq!(ours.is_ok(), verdict.is_ok());
    match (serde_json::from_str::<Value>(text), ours) {
        (Ok(theirs), Ok(ours)) => prop_assert_eq!(theirs, ours),
        (Ok(_), Err(error)) => prop_assert_eq!(error.reason, Reason::DuplicateKey, "{}", text),
        (Err(error), Ok(_)) => {
            prop_assert!(
                error.to_string().starts_with("number out of range"),
                "{} {}",
                text,
                error
            );
        }
        (Err(_), Err(_)) => {}
    }
    Ok(())
}

fn json_text() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "\"[a-c]{0,3}\"",
        "\"[ -!#-\\[\\]-~äß€😀]{0,20}\"",
        r#""(\\[\\"/bfnrt]|\\u00[0-9a-fA-F]{2}|\\ud83d\\ude0[0-9]|x|ab){0,6}""#,
    ];
    let number = "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,10})?([eE][+-]?[0-9]{1,3})?";
    let literal = "(true|false|null)";
    let scalar = prop_oneof![text.clone(), number, literal];
    scalar.prop_recursive(5, 40, 6, move |inner| {
        let member = (text.clone(), "[ \n]?", inner.clone())
            .prop_map(|(key, space, value)| format!("{key}{space}:{space}{value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            proptest::collection::vec(member, 0..6)
                .prop_map(|members| format!("{{{}}}", members.join(" , "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn valid_json_reads_as_serde_json_reads_it(text in json_text()) {
        agrees_with_serde(&text)?;
    }

    #[test]
    fn mutated_json_is_judged_as_serde_json_judges_it(
        text in json_text(),
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), "[\\[\\]{}\",:\\\\0-9.eE+-ntu\n \u{1}d]{0,2}", 0..3_usize), 1..4),
    ) {
        let mut characters: Vec<char> = text.chars().collect();
        for (at, insert, n_removed) in cuts {
            let at = at.index(characters.len() + 1);
            let end = (at + n_removed).min(characters.len());
            characters.splice(at..end, insert.chars());
        }
        agrees_with_serde(&characters.into_iter().collect::<String>())?;
    }

    #[test]
    fn any_text_is_judged_as_serde_json_judges_it(text in ".{0,40}") {
        agrees_with_serde(&text)?;
    }

    #[test]
    fn texts_of_every_length_and_content_end_where_they_end(text in "[^\"\\\\\u{0}-\u{1f}]{0,40}", tail in ".{0,12}") {
        let raw = format!("\"{text}\"{tail}");
        let mut scanner = Scanner::new(raw.as_bytes(), LIMITS);
        let token = scanner.value().unwrap();
        let end = u32::try_from(text.len() + 1).unwrap();
        prop_assert_eq!(token, Token::Text(Text { start: 1, end, escaped: false }));
    }
}
