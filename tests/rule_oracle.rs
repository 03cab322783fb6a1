//! Random rule sets on random streams: parser, checker, state tables and evaluator together against the reference
//! interpreter, verdict by verdict and `let` by `let`.

#![expect(
    clippy::panic,
    reason = "helpers of tests fail the test where what they need is not there"
)]

use proptest::prelude::*;
use riskweir::diag::Severity;
use riskweir::rules::eval::Verdict;

use crate::support::dice::Dice;
use crate::support::duel::duel;
use crate::support::rule_text::{Author, sources};
use crate::support::stream::Stream;

mod support;

/// Returns the verdicts.
fn check(seed: u64, n_rules: u32, n_events: usize) -> Vec<Verdict> {
    let mut author = Author::new(Dice::new(seed)).giving();
    let text = author.file(n_rules);
    let sources = sources(&text);
    let (program, report) = riskweir::rules::compile(&sources);
    let errors: Vec<String> = report
        .iter()
        .filter(|diagnostic| diagnostic.severity() == Severity::Error)
        .map(|diagnostic| format!("{} `{}`", diagnostic.message, sources.text(diagnostic.span)))
        .collect();
    let program = program.unwrap_or_else(|| panic!("seed {seed}: {errors:#?}\n{text}"));
    let mut stream = Stream::new(&program.schema, author.dice.clone());
    duel(&format!("seed {seed}"), &text, &program, (&mut stream, n_events))
}

/// A generator that only ever made rules which do not apply would prove nothing.
#[test]
fn random_rules_reach_every_verdict() {
    let verdicts: Vec<Verdict> = (0..60).flat_map(|seed| check(seed, 5, 40)).collect();
    for wanted in
        [Verdict::Hit, Verdict::NoHit, Verdict::NotApplicable, Verdict::Undecided, Verdict::Exempt]
    {
        let n_times = verdicts.iter().filter(|verdict| **verdict == wanted).count();
        assert!(n_times * 50 > verdicts.len(), "{wanted:?}: {n_times} of {}", verdicts.len());
    }
}

/// The first rule of a file as a template and its `use`: the event and the params are left blank.
fn with_template(text: &str) -> String {
    let (head, rule) = text.split_once("\nrule r0\n").unwrap_or_else(|| panic!("a rule r0"));
    let (body, rest) = match rule.split_once("\nrule ") {
        Some((body, rest)) => (body, format!("\nrule {rest}")),
        None => (rule, String::new()),
    };
    let event = if body.contains("\n  on pay") { "pay" } else { "login" };
    let body = body.replace("\n  param n = 2\n  param span = 10s\n", "\n");
    // WHY: behind a quote or another letter it is part of a text or of another word.
    let mut blank = String::new();
    for (at, piece) in body.split(event).enumerate() {
        let is_part = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        if at > 0 {
            let whole = !is_part(blank.chars().last()) && !is_part(piece.chars().next());
            blank.push_str(if whole { "ev" } else { event });
        }
        blank.push_str(piece);
    }
    format!(
        "{head}\ntemplate t0(ev: event, n: integer, span: duration)\n{blank}\nuse t0({event}, 2, 10s) as r0\n{rest}"
    )
}

#[test]
fn a_rule_made_of_a_template_is_the_rule_written_out() {
    for seed in 0..80 {
        let mut author = Author::new(Dice::new(seed)).giving();
        let text = author.file(2);
        let blank = with_template(&text);
        let (program, report) = riskweir::rules::compile(&sources(&blank));
        let program = program.unwrap_or_else(|| panic!("seed {seed}: {report:#?}\n{blank}"));
        let mut stream = Stream::new(&program.schema, author.dice.clone());
        duel(&format!("seed {seed}"), &text, &program, (&mut stream, 40));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_verdict_and_every_let_is_what_the_reference_says(
        seed in any::<u64>(),
        n_rules in 1_u32..6,
        n_events in 1_usize..60,
    ) {
        check(seed, n_rules, n_events);
    }
}
