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
    let mut author = Author::new(Dice::new(seed));
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
