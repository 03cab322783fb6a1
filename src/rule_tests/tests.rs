//! What a test of a rule expects is compared in every part that its author wrote.

use std::sync::Arc;

use crate::diag::{Source, Sources};
use crate::rule_tests::run_all;

const RULES: &str = r#"
event pay from "payments"
  id    pid    : text
  time  at     : time
  key   card   : card
  key   user   : customer
  field amount : money currency EUR
rule h
  id "R-1"  owner o
  on pay
  when amount > 1 EUR
  then hold for 2h otherwise block reason "{amount} is too much"
       score +20 in velocity cap 50
       alert queue q once per card per 1h message "{amount} held"
       tag t
rule s  mode shadow
  on pay
  when amount > 1 EUR
  then step_up app otherwise hold for 30m
       score +5 in other cap 10
rule b
  id "R-3"  owner o
  on pay
  when amount > 1 EUR
  then block reason "stolen"
rule z
  id "R-4"  owner o
  on pay
  when amount > 1 EUR
  then score +20 in trust
"#;

/// What is told of a test of a rule with this expectation; empty when it passes.
fn told(rule: &str, expect: &str) -> Vec<String> {
    let test = format!(
        "test {rule} \"t\" when pay(card: \"c\", user: \"u\", amount: 2 EUR) expect hit, {expect}"
    );
    let files = vec![Source { path: "r.risk".to_owned(), text: format!("{RULES}{test}") }];
    let (program, report) = crate::rules::compile(&Sources::of(files));
    let program = Arc::new(program.unwrap_or_else(|| panic!("{expect}: {report:?}")));
    run_all(&program).expect("a program that runs").remove(0).failures
}

#[test]
fn an_action_is_compared_in_every_part_that_the_test_names() {
    for (rule, right) in [
        ("h", "hold for 2h"),
        ("h", "hold for 2h otherwise block"),
        ("h", "hold for 2h otherwise block reason \"2.00 EUR is too much\""),
        ("h", "hold for 2h reason \"2.00 EUR is too much\""),
        ("h", "score +20"),
        ("h", "score +20 in velocity"),
        ("h", "score +20 in velocity cap 50"),
        ("h", "alert"),
        ("h", "alert queue q"),
        ("h", "alert queue q once per card per 1h message \"2.00 EUR held\""),
        ("h", "tag t"),
        ("s", "step_up app"),
        ("s", "step_up app otherwise hold for 30m"),
        ("s", "score +5 in other cap 10"),
        ("b", "block"),
        ("b", "block reason \"stolen\""),
    ] {
        assert_eq!(told(rule, right), [""; 0], "{right}");
    }
    for (rule, wrong) in [
        ("h", "hold for 1h"),
        ("h", "hold for 2h otherwise release"),
        ("h", "hold for 2h otherwise release reason \"2.00 EUR is too much\""),
        ("h", "hold for 2h otherwise block reason \"{amount} is too much\""),
        ("h", "hold for 2h otherwise block reason \"2.01 EUR is too much\""),
        ("h", "score +21"),
        ("h", "score +20 in trust"),
        ("h", "score +20 in nowhere"),
        ("h", "score +20 in velocity cap 60"),
        ("h", "alert queue p"),
        ("h", "alert queue q once per user per 1h"),
        ("h", "alert queue q once per card per 2h"),
        ("h", "alert queue q message \"held\""),
        ("h", "tag u"),
        ("s", "step_up sms"),
        ("s", "step_up app otherwise block"),
        ("s", "step_up app otherwise hold for 31m"),
        ("b", "block reason \"something else\""),
        ("b", "hold for 2h"),
        ("z", "score +20 in velocity"),
    ] {
        assert_eq!(told(rule, wrong).len(), 1, "{rule} {wrong}");
    }
    assert_eq!(
        told("b", "block reason \"something else\""),
        [
            "expected the action `block reason \"something else\"`, but it hits and does `block reason \"stolen\"`"
        ]
    );
}

/// Alerts are thinned by somebody, and by values beside.
#[test]
fn an_alert_may_be_thinned_by_an_amount_beside_somebody() {
    let rule = "rule t  id \"R-9\"  owner o  on pay  when amount > 1 EUR\n  then alert queue q once per card, amount per 1h\n";
    let test = "test t \"t\" when pay(card: \"c\", amount: 2 EUR) expect alert queue q once per card, amount per 1h\n";
    let files = vec![Source { path: "r.risk".to_owned(), text: format!("{RULES}{rule}{test}") }];
    let (program, report) = crate::rules::compile(&Sources::of(files));
    let program = Arc::new(program.unwrap_or_else(|| panic!("{report:?}")));
    assert_eq!(run_all(&program).expect("a program that runs").remove(0).failures, [""; 0]);
    let nobody = rule.replace("card, amount", "amount");
    let files = vec![Source { path: "r.risk".to_owned(), text: format!("{RULES}{nobody}") }];
    let (_, report) = crate::rules::compile(&Sources::of(files));
    assert!(
        report.iter().any(|found| found.message.starts_with("`amount` is nobody's")),
        "{report:?}"
    );
}

/// A line end that the author of a rule wrote stays one, and is told as it is written.
#[test]
fn a_message_of_two_lines_is_compared_and_told_as_it_is_written() {
    let told = |message: &str| {
        let rule = "rule n  id \"R-9\"  owner o  on pay  when amount > 1 EUR\n  then alert queue q message \"one\\ntwo {amount}\"\n";
        let test = format!(
            "test n \"t\" when pay(card: \"c\", amount: 2 EUR) expect alert queue q message \"{message}\"\n"
        );
        let all = format!("{RULES}{rule}{test}");
        let files = vec![Source { path: "r.risk".to_owned(), text: all }];
        let (program, report) = crate::rules::compile(&Sources::of(files));
        let program = Arc::new(program.unwrap_or_else(|| panic!("{report:?}")));
        run_all(&program).expect("a program that runs").remove(0).failures
    };
    assert_eq!(told("one\\ntwo 2.00 EUR"), [""; 0]);
    let said = told("one two 2.00 EUR").concat();
    assert!(said.contains("message \"one\\ntwo 2.00 EUR\""), "{said}");
}
