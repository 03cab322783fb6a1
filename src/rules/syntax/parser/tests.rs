//! Trees of texts, and what is told about broken ones.

use proptest::prelude::*;

use super::*;
use crate::rules::syntax::ast::{
    ActionKind, ClauseKind, ExprKind, Item, Literal, LiteralKind, Path, WindowKind, WindowLength,
};

/// The worked examples of the language's specification.
const EXAMPLES: &str = include_str!("../../../../tests/language/examples.risk");

fn codes_of(text: &str) -> Vec<&'static str> {
    parse(FileId(0), text).1.into_iter().map(|diagnostic| diagnostic.code.0).collect()
}

/// An expression with all its brackets.
fn shape(expr: &Expr) -> String {
    let all = |list: &[Expr], sep: &str| list.iter().map(shape).collect::<Vec<_>>().join(sep);
    match &expr.kind {
        ExprKind::Literal(literal) => literal_shape(literal),
        ExprKind::Path(path) => path_shape(path),
        ExprKind::Call(name, args) => format!("{}({})", name.text, all(args, ", ")),
        ExprKind::Aggregate(aggregate) => {
            let filter = aggregate.filter.as_ref().map(shape).unwrap_or_default();
            let path = path_shape(&aggregate.path);
            format!("{:?}<{path}|{filter}>", aggregate.function)
        }
        ExprKind::Sequence(sequence) => format!("seq{}", sequence.steps.len()),
        ExprKind::Not(inner) => format!("(not {})", shape(inner)),
        ExprKind::And(list) => format!("({})", all(list, " and ")),
        ExprKind::Or(list) => format!("({})", all(list, " or ")),
        ExprKind::Compare(op, a, b) => format!("({} {op:?} {})", shape(a), shape(b)),
        ExprKind::InSet { value, set, negated } => {
            format!("({} in{} [{}])", shape(value), u8::from(*negated), all(set, ", "))
        }
        ExprKind::InList { value, list, negated } => {
            format!("({} in{} {})", shape(value), u8::from(*negated), list.text)
        }
        ExprKind::Between(a, b, c) => format!("({} in {}..{})", shape(a), shape(b), shape(c)),
        ExprKind::IsMissing { value, missing } => format!("({} missing={missing})", shape(value)),
        ExprKind::Matches(a, text) => format!("({} ~ {})", shape(a), text.text),
        ExprKind::Contains(a, b) => format!("({} has {})", shape(a), shape(b)),
        ExprKind::StartsWith(a, b) => format!("({} starts {})", shape(a), shape(b)),
        ExprKind::Arithmetic(op, a, b) => format!("({} {op:?} {})", shape(a), shape(b)),
        ExprKind::Default(a, b) => format!("({} default {})", shape(a), shape(b)),
        ExprKind::PercentOf(a, b) => format!("({} of {})", literal_shape(a), shape(b)),
        ExprKind::Error => "ERROR".to_owned(),
    }
}

fn path_shape(path: &Path) -> String {
    let parts: Vec<&str> = path.parts.iter().map(|part| part.text.as_str()).collect();
    format!("{}{}", if path.this { "this." } else { "" }, parts.join("."))
}

fn literal_shape(literal: &Literal) -> String {
    match &literal.kind {
        LiteralKind::Number(d) => format!("{}e-{}", d.mantissa, d.scale),
        LiteralKind::Percent(d) => format!("{}e-{}%", d.mantissa, d.scale),
        LiteralKind::Money(d, currency) => format!("{}e-{}{currency}", d.mantissa, d.scale),
        LiteralKind::Duration(ms) => format!("{ms}ms"),
        LiteralKind::Text(text) => format!("'{text}'"),
        other => format!("{other:?}"),
    }
}

fn expression(text: &str) -> (Expr, Vec<Diagnostic>) {
    parse_expression(FileId(0), text, 0..text.len())
}

#[track_caller]
fn check(text: &str, expected: &str) {
    let (expr, diagnostics) = expression(text);
    assert_eq!((shape(&expr).as_str(), diagnostics), (expected, Vec::new()), "{text}");
}

#[test]
fn the_worked_examples_parse() {
    let (file, diagnostics) = parse(FileId(0), EXAMPLES);
    assert_eq!(diagnostics, Vec::new());
    let rules = file.items.iter().filter(|item| matches!(item, Item::Rule(_))).count();
    assert_eq!((file.items.len(), rules), (24, 14));
}

#[test]
fn operators_bind_as_the_grammar_says() {
    check("a or b and not c = d", "(a or (b and (not (c Eq d))))");
    check("a or b or c", "(a or b or c)");
    check("(a or b) and c", "((a or b) and c)");
    check("a + b * c - d", "((a Add (b Mul c)) Sub d)");
    check("a / b / c", "((a Div b) Div c)");
    check("3 * usual default 300 EUR", "(3e-0 Mul (usual default 300e-0EUR))");
    check("x >= 80% of money_in + 1", "(x Ge ((80e-0% of money_in) Add 1e-0))");
    check("a default b default c", "((a default b) default c)");
    check("not not a", "(not (not a))");
    check("a between 1 and 2 and b", "((a in 1e-0..2e-0) and b)");
}

#[test]
fn comparisons_of_every_kind_are_read() {
    check("a in [KP, IR] and b not in c", "((a in0 [KP, IR]) and (b in1 c))");
    check("a is missing or b is not missing", "((a missing=true) or (b missing=false))");
    check("a is present or b is not present", "((a missing=false) or (b missing=true))");
    check("a matches \"x+\" and b contains \"y\"", "((a ~ x+) and (b has 'y'))");
    check("a starts_with b", "(a starts b)");
    check("a != -5 EUR", "(a Ne -5e-0EUR)");
    check("a - 5", "(a Sub 5e-0)");
    check("a = +5%", "(a Eq 5e-0%)");
    check("distance(place, geo) / gap", "(distance(place, geo) Div gap)");
    check("now()", "now()");
}

#[test]
fn words_of_the_language_name_data_where_a_value_is_expected() {
    check("direction = in and action = block", "((direction Eq in) and (action Eq block))");
    check("id = this.list", "(id Eq this.list)");
    check("a in [hold, list, test, in]", "(a in0 [hold, list, test, in])");
    check("transfer.when.by = count", "(transfer.when.by Eq count)");
    check("last > 5 and today", "((last Gt 5e-0) and today)");
    check("sequence = 5", "(sequence Eq 5e-0)");
    check(
        "count(step_up where outcome = failed) by id over last 1h > 3",
        "(Count<step_up|(outcome Eq failed)> Gt 3e-0)",
    );
}

#[test]
fn aggregates_hold_their_keys_and_windows() {
    let text = "percentile(95, a.b in EUR where c) by d.e, f = this.g over prior 90d ending 1d ago";
    let (expr, diagnostics) = expression(text);
    assert_eq!(diagnostics, Vec::new());
    let ExprKind::Aggregate(aggregate) = expr.kind else { panic!("{expr:?}") };
    assert_eq!(aggregate.argument.map(|d| d.mantissa), Some(95));
    assert_eq!(aggregate.currency.as_ref().map(|name| name.text.as_str()), Some("EUR"));
    let keys: Vec<_> = aggregate
        .keys
        .iter()
        .map(|key| (path_shape(&key.stored), key.this.as_ref().map(path_shape)))
        .collect();
    assert_eq!(keys, [("d.e".to_owned(), None), ("f".to_owned(), Some("this.g".to_owned()))]);
    let WindowKind::Sliding { counting, length, ending, newest: None } = aggregate.window.kind
    else {
        panic!("not sliding")
    };
    assert_eq!(
        (counting, ending),
        (Some(ast::Counting::Prior), Some(ast::Ending::Ago(86_400_000)))
    );
    assert!(matches!(length, WindowLength::Millis(7_776_000_000, _)));
}

#[test]
fn a_window_without_last_or_prior_is_left_to_the_checker() {
    let (expr, diagnostics) = expression("count(a) by b over 10m");
    assert_eq!(diagnostics, Vec::new());
    let ExprKind::Aggregate(aggregate) = expr.kind else { panic!("{expr:?}") };
    assert!(matches!(aggregate.window.kind, WindowKind::Sliding { counting: None, .. }));
}

#[test]
fn every_clause_and_action_is_read() {
    let text = "rule r \"title\" id \"R-1\" owner o severity high typology a, b ref \"x\" tags [a, b]
        effective 2026-01-01 .. review by 2026-12-31 mandatory mode canary 10% by customer
        on a, step_up where x param n = 5 EUR tune 3 EUR..12 EUR step 1 EUR let y = n when y unless z
        if missing review
        then allow block reason \"r\" hold for 2h otherwise block reason \"s\"
             step_up sms otherwise hold for 30m alert message \"m\" once per a, b.c per 1h queue q
             score -30 in g cap 40 add this.a to l for 24h remove b from l tag t";
    let (file, diagnostics) = parse(FileId(0), text);
    assert_eq!(diagnostics, Vec::new());
    let [Item::Rule(rule)] = file.items.as_slice() else { panic!("{file:?}") };
    assert_eq!(rule.clauses.len(), 17);
    let Some(ClauseKind::Then(actions)) = rule.clauses.last().map(|clause| &clause.kind) else {
        panic!("no actions")
    };
    assert_eq!(actions.len(), 9);
    let ActionKind::Score { points, .. } = &actions[5].kind else { panic!("{actions:?}") };
    assert_eq!(points.mantissa, -30);
}

#[test]
fn one_file_yields_all_its_mistakes_and_keeps_what_is_right() {
    let text = "rule a on t when x > then alert rule
        rule b on t when then alert queue
        rule c on t when x > 5 then alert";
    let (file, diagnostics) = parse(FileId(0), text);
    let codes: Vec<_> = diagnostics.iter().map(|d| d.code.0).collect();
    assert_eq!(codes, ["E0013", "E0010", "E0013", "E0010"]);
    let names: Vec<_> = file
        .items
        .iter()
        .map(|item| match item {
            Item::Rule(rule) => (rule.name.text.as_str(), rule.clauses.len()),
            _ => panic!("{item:?}"),
        })
        .collect();
    assert_eq!(names, [("a", 3), ("b", 3), ("c", 3)]);
}

#[test]
fn hostile_depth_and_length_are_refused_without_harm() {
    for (open, close) in [("(", ")"), ("not ", ""), ("f(", ")"), ("a in [", "]"), ("80% of (", ")")]
    {
        let text = format!("{}a{}", open.repeat(20_000), close.repeat(20_000));
        let (_, diagnostics) = expression(&text);
        assert_eq!(diagnostics.first().map(|d| d.code.0), Some("E0009"), "{open}");
    }
    let filters = "count(a where ".repeat(5_000);
    assert_eq!(expression(&filters).1.first().map(|d| d.code.0), Some("E0009"));
    for operator in [" + a", " / a", " default a"] {
        let text = format!("a{}", operator.repeat(100_000));
        let codes: Vec<_> = expression(&text).1.iter().map(|d| d.code.0).collect();
        assert_eq!(codes, ["E0009"], "{operator}");
    }
    let (expr, diagnostics) = expression(&format!("a{}", " and a".repeat(50_000)));
    assert_eq!(diagnostics, Vec::new());
    assert!(matches!(expr.kind, ExprKind::And(list) if list.len() == 50_001));
}

#[test]
fn nesting_up_to_the_bound_is_read() {
    let text = format!("{}a{}", "(".repeat(60), ")".repeat(60));
    assert_eq!(expression(&text).1, Vec::new());
}

#[test]
fn a_file_that_is_too_large_is_refused_and_many_mistakes_are_cut() {
    assert_eq!(codes_of(&" ".repeat(MAX_FILE_BYTES + 1)), ["E0007"]);
    assert_eq!(codes_of(&" ".repeat(MAX_FILE_BYTES)), Vec::<&str>::new());
    let codes = codes_of(&"rule a when > \n".repeat(500));
    assert_eq!((codes.len(), codes.last()), (MAX_DIAGNOSTICS + 1, Some(&"E0008")));
}

#[test]
fn an_expression_of_a_part_keeps_its_places() {
    let text = "rule r then block reason \"{a > 5}\"";
    let (expr, diagnostics) = parse_expression(FileId(7), text, 27..32);
    assert_eq!((shape(&expr).as_str(), diagnostics), ("(a Gt 5e-0)", Vec::new()));
    assert_eq!(expr.span, Span { file: FileId(7), start: 27, end: 32 });
    assert_eq!(parse_expression(FileId(0), "a b", 0..3).1.len(), 1);
    assert_eq!(parse_expression(FileId(0), "a b", 9..10).1.len(), 1);
}

/// Whether the tree holds an error node, found in its printed form.
fn is_broken(file: &ast::File) -> bool {
    format!("{file:?}").contains("Error")
}

/// INVARIANT of every input: spans lie inside of the text on character boundaries, tokens are told at most once, and
/// a broken tree has a diagnostic.
fn check_invariants(text: &str) {
    let (file, diagnostics) = parse(FileId(0), text);
    for diagnostic in &diagnostics {
        let fix = diagnostic.fix.iter().map(|(span, _)| span);
        let related = diagnostic.related.iter().map(|(span, _)| span);
        for span in [&diagnostic.span].into_iter().chain(fix).chain(related) {
            assert!(text.get(span.start as usize..span.end as usize).is_some(), "{diagnostic:?}");
        }
        assert!(crate::diag::codes::find(diagnostic.code.0).is_some(), "{diagnostic:?}");
    }
    let mut places: Vec<_> = diagnostics.iter().map(|d| (d.span.start, d.span.end)).collect();
    places.dedup();
    assert_eq!(places.len(), diagnostics.len(), "one diagnostic per place: {diagnostics:?}");
    assert!(!is_broken(&file) || !diagnostics.is_empty(), "{file:?}");
    for span in spans_of(&format!("{file:?}")) {
        assert!(text.get(span.0..span.1).is_some(), "{span:?}");
    }
}

/// All spans of a tree, out of its printed form.
fn spans_of(printed: &str) -> Vec<(usize, usize)> {
    let number = |text: &str| {
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        text[..digits].parse::<usize>().ok()
    };
    let spans = printed.split("Span { file: FileId(0), start: ").skip(1);
    let ends = |rest: &str| Some((number(rest)?, number(rest.split_once("end: ")?.1)?));
    spans.filter_map(ends).collect()
}

/// A word, sign or literal of the language, or something near it.
fn soup() -> impl Strategy<Value = String> {
    let words: Vec<&'static str> = EXAMPLES.split_whitespace().collect();
    let signs = "( ) [ ] , : . .. ? | + - * / = != < <= > >= -> \" \\ # { } ; é 日 1_0 9d 5 EUR";
    let signs: Vec<&'static str> = signs.split(' ').collect();
    prop_oneof![
        5 => proptest::sample::select(words).prop_map(str::to_owned),
        3 => proptest::sample::select(signs).prop_map(str::to_owned),
        1 => Just("\n".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        check_invariants(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn random_characters_never_panic(text in "\\PC{0,200}") {
        check_invariants(&text);
    }

    #[test]
    fn token_soup_never_panics(tokens in proptest::collection::vec(soup(), 0..120)) {
        check_invariants(&tokens.join(" "));
    }

    #[test]
    fn damaged_programs_never_panic(
        from in 0..EXAMPLES.len(),
        length in 0_usize..40,
        insert in soup(),
    ) {
        let mut damaged = EXAMPLES.to_owned();
        let (mut start, mut end) = (from, (from + length).min(EXAMPLES.len()));
        while !damaged.is_char_boundary(start) { start -= 1; }
        while !damaged.is_char_boundary(end) { end += 1; }
        damaged.replace_range(start..end, &insert);
        check_invariants(&damaged);
    }
}
