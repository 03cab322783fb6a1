//! Verdicts, reasons and entries worked out by hand.

use super::fixture::{
    CHANNEL, CHANNEL_TYPE, Canned, EURO, INT, NUMBER, PLACE, TEXT, TIME, empty_row, eur, node,
    program,
};
use crate::base::value::Place;
use crate::base::{Tag, TextRef, Value};
use crate::diag::{FileId, Source, Sources, Span};
use crate::event::row::Row;
use crate::event::schema::{EventId, FieldId};
use crate::rules::eval::render::{duration, neutralized};
use crate::rules::eval::trace::{Cause, Trace};
use crate::rules::eval::{EvalError, EvalPlan, Evaluator, Run, Truth, Verdict};
use crate::rules::program::{
    Constant, Function, LookupId, Message, MessagePart, Node, NodeId, Op, Program, RuleBody,
    RuleId, TableId, Type,
};
use crate::rules::syntax::ast::CompareOp;
use crate::window::spec::{ColumnKind, Coverage, FilterBit, ReadValue, Reading};

const TRUE: u64 = 1;

fn body(guard: Option<u32>, when: u32, unless: Option<u32>) -> RuleBody {
    let (guard, unless) = (guard.map(NodeId), unless.map(NodeId));
    RuleBody {
        filled: None,
        rule: RuleId(0),
        guard,
        when: NodeId(when),
        unless,
        actions: vec![],
        canary: None,
        snoozes: vec![],
        lets: vec![],
        words: vec![],
    }
}

fn readings(values: &[ReadValue; 9], coverage: Coverage) -> Canned {
    let readings = values.map(|value| Reading { value, coverage }).to_vec();
    Canned { readings, ..Canned::default() }
}

fn nothing() -> Canned {
    readings(&[ReadValue::Missing; 9], Coverage::Complete)
}

/// Runs a question on one event.
fn ask<T>(
    program: &Program,
    row: &Row,
    raw: &[u8],
    host: &mut Canned,
    question: impl FnOnce(&mut Run<'_, Canned>) -> T,
) -> T {
    let plan = EvalPlan::new(program, EventId(0)).unwrap();
    let mut memo = Evaluator::new();
    memo.begin(&plan);
    question(&mut Run { plan: &plan, memo: &mut memo, row, raw, host })
}

/// Truths of three values of the same three fields: 0 false, 1 true, absent undecided.
fn three_truths() -> Vec<Node> {
    // The slots of truths are those of whole numbers here: only the type of the node counts.
    let field = |slot| node(Op::Field(slot), Type::Bool);
    vec![field(INT), field(CHANNEL), field(super::fixture::FLAG)]
}

fn row_of(truths: [Truth; 3]) -> Row {
    let mut row = empty_row();
    for (slot, truth) in [INT, CHANNEL, super::fixture::FLAG].into_iter().zip(truths) {
        match truth {
            Truth::True => row.set(slot, TRUE),
            Truth::False => row.set(slot, 0),
            Truth::Undecided => {}
        }
    }
    row
}

#[test]
fn and_or_and_not_follow_the_tables_of_three_truths() {
    use Truth::{False as F, True as T, Undecided as U};
    let and = [(T, T, T), (T, F, F), (T, U, U), (F, F, F), (F, U, F), (U, U, U)];
    let or = [(T, T, T), (T, F, T), (T, U, T), (F, F, F), (F, U, U), (U, U, U)];
    let mut nodes = three_truths();
    nodes.push(node(Op::And(vec![NodeId(0), NodeId(1)]), Type::Bool));
    nodes.push(node(Op::Or(vec![NodeId(0), NodeId(1)]), Type::Bool));
    nodes.push(node(Op::Not(NodeId(0)), Type::Bool));
    let program = program(nodes);
    for (table, at) in [(and, NodeId(3)), (or, NodeId(4))] {
        for (a, b, expected) in table {
            for pair in [[a, b, U], [b, a, U]] {
                let truth = ask(&program, &row_of(pair), b"", &mut nothing(), |run| run.truth(at));
                assert_eq!(truth, expected, "{pair:?}");
            }
        }
    }
    for (a, expected) in [(T, F), (F, T), (U, U)] {
        let row = row_of([a, U, U]);
        assert_eq!(ask(&program, &row, b"", &mut nothing(), |run| run.truth(NodeId(5))), expected);
    }
}

#[test]
fn a_verdict_needs_the_guard_the_condition_and_no_proven_exemption() {
    use Truth::{False as F, True as T, Undecided as U};
    let program = program(three_truths());
    let rule = body(Some(0), 1, Some(2));
    let table = [
        ([T, T, F], Verdict::Hit),
        ([T, T, U], Verdict::Hit),
        ([T, T, T], Verdict::Exempt),
        ([T, F, F], Verdict::NoHit),
        ([T, F, T], Verdict::NoHit),
        ([T, U, F], Verdict::Undecided),
        ([T, U, U], Verdict::Undecided),
        ([T, U, T], Verdict::Exempt),
        ([F, T, F], Verdict::NotApplicable),
        ([U, T, F], Verdict::NotApplicable),
        ([U, U, T], Verdict::NotApplicable),
    ];
    for (truths, expected) in table {
        let row = row_of(truths);
        let verdict = ask(&program, &row, b"", &mut nothing(), |run| run.verdict(&rule));
        assert_eq!(verdict, expected, "{truths:?}");
    }
}

#[test]
fn an_event_that_fails_on_its_own_field_never_touches_state() {
    let nodes = vec![
        node(Op::Field(TEXT), Type::Text),
        node(Op::Reading(LookupId(0), 0), Type::Integer),
        node(Op::Constant(Constant::Int(5)), Type::Integer),
        node(Op::Compare(CompareOp::Ge, NodeId(1), NodeId(2)), Type::Bool),
        node(Op::Field(INT), Type::Integer),
        node(Op::Compare(CompareOp::Gt, NodeId(4), NodeId(2)), Type::Bool),
        node(Op::And(vec![NodeId(3), NodeId(5)]), Type::Bool),
    ];
    let program = program(nodes);
    let mut row = empty_row();
    row.set(INT, 5);
    let mut host = nothing();
    assert_eq!(ask(&program, &row, b"", &mut host, |run| run.truth(NodeId(6))), Truth::False);
    assert_eq!(host.n_asked, 0);
}

/// Mean 20.00 and deviation 10.00 of 10.00 and 30.00; the bound of one deviation is 30.00 exactly.
fn spread_program(op: CompareOp) -> Program {
    let money = Type::Money(eur());
    program(vec![
        node(Op::Field(TEXT), Type::Text),
        node(Op::MoneyField { slot: EURO, currency: Ok(eur()) }, money),
        node(Op::Reading(LookupId(0), 0), Type::Integer),
        node(Op::Reading(LookupId(0), 1), money),
        node(Op::Reading(LookupId(0), 2), money),
        node(
            Op::CompareDeviation {
                op,
                value: NodeId(1),
                count: NodeId(2),
                sum: NodeId(3),
                squares: NodeId(4),
                factor_micro: 1_000_000,
            },
            Type::Bool,
        ),
        node(Op::Mean { sum: NodeId(3), count: NodeId(2) }, money),
        node(Op::Deviation { count: NodeId(2), sum: NodeId(3), squares: NodeId(4) }, money),
    ])
}

fn two_amounts(coverage: Coverage) -> Canned {
    let mut values = [ReadValue::Missing; 9];
    values[..3].copy_from_slice(&[
        ReadValue::Int(2),
        ReadValue::Int(4_000),
        ReadValue::Int(1_000 * 1_000 + 3_000 * 3_000),
    ]);
    readings(&values, coverage)
}

#[test]
fn a_value_on_the_bound_is_decided_by_the_operator() {
    for (op, minor, expected) in [
        (CompareOp::Gt, 3_000, Truth::False),
        (CompareOp::Ge, 3_000, Truth::True),
        (CompareOp::Gt, 3_001, Truth::True),
        (CompareOp::Lt, 2_999, Truth::True),
    ] {
        let mut row = empty_row();
        row.set(EURO, minor);
        let mut host = two_amounts(Coverage::Complete);
        let program = spread_program(op);
        let (truth, mean, deviation) = ask(&program, &row, b"", &mut host, |run| {
            (run.truth(NodeId(5)), run.value(NodeId(6)), run.value(NodeId(7)))
        });
        assert_eq!(truth, expected, "{op:?} {minor}");
        assert_eq!((mean, deviation), (Value::Money(2_000_000_000), Value::Money(1_000_000_000)));
    }
}

#[test]
fn reasons_show_actual_values_against_thresholds() {
    let text = "amount >= avg(...)\n    + stddev(...)";
    let mut program = spread_program(CompareOp::Ge);
    let end = u32::try_from(text.len()).unwrap();
    program.plans[0].nodes[5].span = Span { file: FileId(0), start: 0, end };
    let sources = Sources::of(vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }]);
    let mut row = empty_row();
    row.time_ms = 1_000_000;
    row.set(EURO, 3_500);
    let mut host = two_amounts(Coverage::Warming);
    let trace = Trace { program: &program, event: EventId(0) };
    let rule = body(None, 5, None);
    let (reasons, coverage) = ask(&program, &row, b"", &mut host, |run| {
        (trace.explain(run, &sources, &rule), trace.coverage(run, &rule))
    });
    let [reason] = reasons.as_slice() else { panic!("{reasons:?}") };
    assert_eq!(
        reason.to_string(),
        "amount >= avg(...) + stddev(...): 35.00 EUR >= 30.00 EUR (window 10m)"
    );
    assert_eq!(reason.window, Some((400_000, 1_000_000)));
    assert_eq!((reason.truth, coverage), (Truth::True, Coverage::Warming));
}

#[test]
fn missing_causes_name_the_key_the_field_or_the_aggregate() {
    let mut program = spread_program(CompareOp::Gt);
    program.plans[0].nodes.push(node(Op::And(vec![NodeId(5), NodeId(5)]), Type::Bool));
    let trace = Trace { program: &program, event: EventId(0) };
    let rule = body(None, 8, None);
    let causes = |row: &Row, host: &mut Canned| {
        ask(&program, row, b"c1", host, |run| trace.missing(run, &rule))
    };
    let field = |name: &str| Cause::Field(name.to_owned());
    assert_eq!(causes(&empty_row(), &mut nothing()), [field("fee"), field("card")]);
    let mut row = empty_row();
    row.set(EURO, 5);
    row.set(TEXT, TextRef::new(Place::Raw, 0, 2).0);
    let mut none = nothing();
    for index in 0..3 {
        none.readings[index].value = ReadValue::Int(0);
    }
    assert_eq!(causes(&row, &mut none), [Cause::Aggregate("stddev(ColumnId(0))".to_owned())]);
    assert_eq!(causes(&row, &mut two_amounts(Coverage::Complete)), []);
}

#[test]
fn one_sure_alternative_is_enough_to_trust() {
    let nodes = vec![
        node(Op::Field(TEXT), Type::Text),
        node(Op::Field(super::fixture::FLAG), Type::Bool),
        node(Op::Reading(LookupId(0), 0), Type::Integer),
        node(Op::IsZero(NodeId(2)), Type::Bool),
        node(Op::Or(vec![NodeId(1), NodeId(3)]), Type::Bool),
        node(Op::And(vec![NodeId(1), NodeId(3)]), Type::Bool),
    ];
    let program = program(nodes);
    let trace = Trace { program: &program, event: EventId(0) };
    let mut row = empty_row();
    row.set(super::fixture::FLAG, TRUE);
    let mut host = nothing();
    host.readings[0] = Reading { value: ReadValue::Int(0), coverage: Coverage::Capped };
    let coverage = |at: u32, host: &mut Canned| {
        ask(&program, &row, b"", host, |run| trace.coverage_of(run, NodeId(at)))
    };
    assert_eq!(coverage(4, &mut host), Coverage::Complete);
    assert_eq!(coverage(5, &mut host), Coverage::Capped);
}

#[test]
fn messages_show_values_with_units_and_harmless_letters() {
    let nodes = vec![
        node(Op::Field(TEXT), Type::Text),
        node(Op::Field(INT), Type::Duration),
        node(Op::GeoField(PLACE), Type::Geo),
        node(Op::Field(CHANNEL), CHANNEL_TYPE),
    ];
    let program = program(nodes);
    let raw = "evil\u{202e}\nname".as_bytes();
    let mut row = empty_row();
    row.set(TEXT, TextRef::new(Place::Raw, 0, u32::try_from(raw.len()).unwrap()).0);
    row.set(INT, 200_000);
    row.set(CHANNEL, 1);
    row.set(EURO, 24_100);
    let part = |id| MessagePart::Value(NodeId(id));
    let text = |text: &str| MessagePart::Text(text.to_owned());
    let message = Message(vec![
        part(0),
        text(" paid "),
        MessagePart::Field(FieldId(4)),
        text(" by "),
        part(3),
        text(" after "),
        part(1),
        text(" at "),
        part(2),
    ]);
    let trace = Trace { program: &program, event: EventId(0) };
    let shown = ask(&program, &row, raw, &mut nothing(), |run| trace.render(run, &message));
    assert_eq!(shown, "evil\u{fffd}\u{fffd}name paid 241.00 EUR by ecom after 3m 20s at unknown");
    assert_eq!(neutralized("abcdef", 3), "abc…");
}

#[test]
fn durations_read_as_their_two_largest_units() {
    for (ms, expected) in [
        (0, "0s"),
        (250, "250ms"),
        (60_000, "1m"),
        (200_000, "3m 20s"),
        (187_200_000, "2d 4h"),
        (86_400_001, "1d"),
        (-5_000, "-5s"),
    ] {
        assert_eq!(duration(ms), expected);
    }
}

/// Berlin changes to summer time on 2026-03-29 at 01:00 UTC and back on 2026-10-25 at 01:00 UTC.
#[test]
fn hours_are_local_and_follow_summer_time() {
    let nodes = vec![
        node(Op::Field(TIME), Type::Time),
        node(Op::Call(Function::Hour, vec![NodeId(0)]), Type::Integer),
    ];
    let program = program(nodes);
    let plan = EvalPlan::new(&program, EventId(0)).unwrap();
    let mut memo = Evaluator::new();
    let mut host = nothing();
    for (instant, hour) in [
        ("2026-03-29T00:59:59Z", 1),
        ("2026-03-29T01:00:00Z", 3),
        ("2026-03-29T00:00:00Z", 1),
        ("2026-10-25T00:59:59Z", 2),
        ("2026-10-25T01:00:00Z", 2),
        ("2026-12-31T23:00:00Z", 0),
    ] {
        let ms = instant.parse::<jiff::Timestamp>().unwrap().as_millisecond();
        let mut row = empty_row();
        row.set(TIME, ms.cast_unsigned());
        memo.begin(&plan);
        let mut run = Run { plan: &plan, memo: &mut memo, row: &row, raw: b"", host: &mut host };
        assert_eq!(run.value(NodeId(1)), Value::Int(hour), "{instant}");
    }
}

#[test]
fn a_program_with_an_unknown_zone_or_a_huge_pattern_is_refused() {
    let mut zone = program(vec![
        node(Op::Field(TIME), Type::Time),
        node(Op::Call(Function::Hour, vec![NodeId(0)]), Type::Integer),
    ]);
    zone.policy.timezone = "Mars/Olympus".to_owned();
    let error = EvalPlan::new(&zone, EventId(0)).unwrap_err();
    assert_eq!(error, EvalError::UnknownZone("Mars/Olympus".to_owned()));
    let huge = program(vec![
        node(Op::Field(TEXT), Type::Text),
        node(Op::Matches(NodeId(0), r"(\w{1000}){1000}".to_owned()), Type::Bool),
    ]);
    assert!(matches!(EvalPlan::new(&huge, EventId(0)), Err(EvalError::Regex { .. })));
}

#[test]
fn an_entry_holds_the_words_of_its_columns_and_drops_what_does_not_fit() {
    let nodes = vec![
        node(Op::MoneyField { slot: EURO, currency: Ok(eur()) }, Type::Money(eur())),
        node(Op::Field(NUMBER), Type::Number),
        node(Op::Field(TEXT), Type::Text),
        node(Op::GeoField(PLACE), Type::Geo),
        node(Op::Constant(Constant::Bool(true)), Type::Bool),
        node(Op::Field(super::fixture::FLAG), Type::Bool),
    ];
    let mut program = program(nodes);
    let table = &mut program.tables[0];
    table.columns = (0..4).map(NodeId).collect();
    table.filters = vec![NodeId(4), NodeId(5)];
    // The sum of numbers asks for the first filter.
    table.spec.measures[3].filter = Some(FilterBit(0));
    assert_eq!(table.spec.columns[1], ColumnKind::Micro);
    program.plans[0].tables = vec![TableId(0)];
    program.plans[0].lookups.clear();
    let mut row = empty_row();
    row.set(EURO, 24_100);
    row.set(NUMBER, 1.5_f64.to_bits());
    row.set(TEXT, TextRef::new(Place::Raw, 0, 2).0);
    row.set(PLACE, 52.5_f64.to_bits());
    row.set(crate::event::schema::SlotId(PLACE.0 + 1), 13.4_f64.to_bits());
    let entry = |row: &Row| {
        let mut words = vec![7];
        let bits =
            ask(&program, row, b"c1", &mut nothing(), |run| run.entry(TableId(0), &mut words));
        (bits, words)
    };
    let place = [52.5_f64.to_bits(), 13.4_f64.to_bits()];
    let expected = vec![24_100, 1_500_000, Tag::of_text(b"c1").0, place[0], place[1]];
    assert_eq!(entry(&row), (1, expected));
    row.set(super::fixture::FLAG, TRUE);
    row.set(NUMBER, 1e300_f64.to_bits());
    let (bits, words) = entry(&row);
    assert_eq!((bits, words[1]), (2, 0));
}

#[test]
fn a_reading_compares_with_a_constant_in_any_size() {
    let eur = Type::Money(eur());
    let reading = |index, ty| node(Op::Reading(LookupId(0), index), ty);
    let nodes = vec![
        node(Op::Field(TEXT), Type::Text),
        reading(0, Type::Integer),
        node(Op::Constant(Constant::Int(3)), Type::Integer),
        reading(1, eur),
        // 12.50 EUR and half a cent.
        node(Op::Constant(Constant::Money(1_250_500_000)), eur),
        node(Op::Compare(CompareOp::Ge, NodeId(1), NodeId(2)), Type::Bool),
        node(Op::Compare(CompareOp::Gt, NodeId(3), NodeId(4)), Type::Bool),
        node(Op::Compare(CompareOp::Gt, NodeId(4), NodeId(3)), Type::Bool),
        node(Op::Compare(CompareOp::Eq, NodeId(3), NodeId(4)), Type::Bool),
    ];
    let program = program(nodes);
    let row = empty_row();
    let beyond = i128::from(i64::MAX) + 1;
    let cases = [
        (ReadValue::Int(2), 5, Truth::False),
        (ReadValue::Int(3), 5, Truth::True),
        (ReadValue::Int(beyond), 5, Truth::Undecided),
        (ReadValue::Missing, 5, Truth::Undecided),
        (ReadValue::Int(1_250), 6, Truth::False),
        (ReadValue::Int(1_251), 6, Truth::True),
        (ReadValue::Int(beyond), 6, Truth::True),
        (ReadValue::Int(-beyond - 1), 6, Truth::False),
        // As an amount it does not fit 128 bits.
        (ReadValue::Int(i128::MAX), 6, Truth::Undecided),
        (ReadValue::Missing, 6, Truth::Undecided),
        (ReadValue::Int(1_250), 7, Truth::True),
        (ReadValue::Int(1_251), 7, Truth::False),
        (ReadValue::Int(beyond), 7, Truth::False),
        (ReadValue::Int(1_250), 8, Truth::False),
        (ReadValue::Int(beyond), 8, Truth::False),
    ];
    for (value, at, expected) in cases {
        let mut host = readings(&[value; 9], Coverage::Complete);
        let truth = ask(&program, &row, b"", &mut host, |run| run.truth(NodeId(at)));
        assert_eq!(truth, expected, "node {at} of {value:?}");
    }
}

#[test]
fn a_rule_is_ruled_out_only_where_its_verdict_is_silence() {
    let flag = super::fixture::FLAG;
    let nodes = vec![
        node(Op::Field(flag), Type::Bool),
        node(Op::Field(INT), Type::Integer),
        node(Op::Constant(Constant::Int(3)), Type::Integer),
        node(Op::Compare(CompareOp::Ge, NodeId(1), NodeId(2)), Type::Bool),
        node(Op::And(vec![NodeId(0), NodeId(3)]), Type::Bool),
        node(Op::Or(vec![NodeId(0), NodeId(3)]), Type::Bool),
    ];
    let mut program = program(nodes);
    program.plans[0].rules = vec![
        body(None, 4, None),
        body(None, 5, None),
        body(Some(0), 3, None),
        body(Some(3), 5, Some(0)),
        body(Some(5), 0, None),
    ];
    let rules = program.plans[0].rules.clone();
    let mut n_ruled_out = 0;
    for (flag_word, int) in [None, Some(0), Some(1)]
        .into_iter()
        .flat_map(|flag_word| [None, Some(2), Some(3)].map(|int| (flag_word, int)))
    {
        let mut row = empty_row();
        if let Some(word) = flag_word {
            row.set(flag, word);
        }
        if let Some(word) = int {
            row.set(INT, word);
        }
        for (place, rule) in rules.iter().enumerate() {
            let (ruled_out, verdict) = ask(&program, &row, b"", &mut nothing(), |run| {
                run.sift();
                (run.open(0) >> place & 1 == 0, run.verdict(rule))
            });
            n_ruled_out += usize::from(ruled_out);
            let silent = matches!(verdict, Verdict::NoHit | Verdict::NotApplicable);
            assert!(silent || !ruled_out, "rule {place}: {flag_word:?}, {int:?}: {verdict:?}");
        }
    }
    // By hand: rule 0 on five events, rule 2 on five, rules 3 and 4 on three each; never rule 1.
    assert_eq!(n_ruled_out, 16);
}
