//! What the compiler proves about rules is so: random rules of a few conditions that often exclude or cover each other,
//! on random streams, judged by the reference interpreter. A rule that "never hits" must not hit, an exemption that
//! "never applies" must not apply, what is "never false" must not be, and a covered rule must not hit alone.
#![expect(
    clippy::panic,
    clippy::format_push_string,
    reason = "helpers of tests fail where what they need is not there, and speed is nothing here"
)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use riskweir::diag::{Diagnostic, FileId, Severity, Source, Sources};
use riskweir::rules::eval::Verdict;
use riskweir::rules::oracle::Oracle;
use riskweir::rules::syntax::parse;

use crate::support::dice::Dice;
use crate::support::rule_text::{LISTS, SCHEMA};
use crate::support::stream::Stream;

mod support;

/// Conditions that say much about few things.
const ATOMS: &[&str] = &[
    "amount > 1 EUR",
    "amount >= 2 EUR",
    "amount < 2 EUR",
    "amount <= 1 EUR",
    "amount = 1 EUR",
    "amount between 1 EUR and 2 EUR",
    "amount <= max(pay.amount) by card over last 10s",
    "amount > max(pay.amount) by card over last 10s",
    "amount < min(pay.amount) by card over last 10s",
    "amount > max(pay.amount) by card over prior 10s",
    "channel = pos",
    "channel != pos",
    "channel in [pos, atm]",
    "channel not in [atm, ecom]",
    "home = DE",
    "home not in [DE, FR]",
    "home is missing",
    "home is present",
    "tries > 2",
    "tries <= 2",
    "tries != 3",
    "tries in [1, 2]",
    "tries is missing",
    "chip",
    "not chip",
    "chip = true",
    "card in stolen",
    "card not in stolen",
    "note = \"b\"",
    "note = \"note one\"",
    "length(note) < 0",
    "count(pay) by card over last 2s >= 2",
    "count(pay) by card over last 10s >= 2",
    "count(pay) by card over last 10s < 2",
    "count(pay) by card over prior 10s >= 2",
    "count(pay) by card over prior 10s = 0",
    "count(pay) by card over last 10s = 0",
    "count(pay where channel = pos) by card over last 10s >= 2",
    "count(pay) by device over last 10s >= 2",
    "count(pay) by device over last 2s > 2",
    "count(pay) by device over last 10s < 2",
    "distinct(pay.merchant) by card over last 10s >= 3",
    "distinct(pay.merchant) by card over last 10s > count(pay) by card over last 10s",
    "count(pay) by card over last 10s > count(pay) by card over last 1m",
    "is_new(pay.merchant) by card over prior 10s",
    "not (is_new(pay.merchant) by card over prior 10s)",
    "time_since(pay) by card over prior 5s > 3s",
    "time_since(pay) by card over prior 5s > 6s",
    "share(pay where chip) by card over last 10s > 100%",
    "share(pay where chip) by card over last 10s >= 0",
    "min(pay.amount) by card over prior 10s > max(pay.amount) by card over prior 10s",
    "hour(at) > 23",
    "1 = 1",
];

fn condition(dice: &mut Dice, depth: u32) -> String {
    match dice.below(if depth == 0 { 1 } else { 4 }) {
        0 => format!("({})", dice.pick(ATOMS)),
        1 => format!("(not {})", condition(dice, depth - 1)),
        2 => format!("({} and {})", condition(dice, depth - 1), condition(dice, depth - 1)),
        _ => format!("({} or {})", condition(dice, depth - 1), condition(dice, depth - 1)),
    }
}

fn rules(dice: &mut Dice) -> String {
    let mut text = SCHEMA.to_owned();
    for index in 0..4 {
        text.push_str(&format!("rule r{index}\n  id \"R{index}\" owner o\n  on pay"));
        if dice.one_in(4) {
            text.push_str(&format!(" where {}", condition(dice, 0)));
        }
        text.push_str(&format!("\n  when {}\n", condition(dice, 2)));
        if dice.one_in(3) {
            text.push_str(&format!("  unless {}\n", condition(dice, 1)));
        }
        let missing = dice.pick(&["skip", "match", "review"]);
        text.push_str(&format!("  if missing {missing}\n  then block\n"));
    }
    text
}

/// What is proved, by code and rule; of a pair also the other rule.
type Proved = Vec<(&'static str, String, Option<String>)>;

fn proved(report: &[Diagnostic]) -> Proved {
    let of = |found: &Diagnostic| {
        let mut names = found.message.split('`').skip(1).step_by(2);
        let name = names.next().unwrap_or_default().to_owned();
        let other = (found.code.0 == "W0503").then(|| names.next().unwrap_or_default().to_owned());
        (found.code.0, name, other)
    };
    report.iter().filter(|found| found.severity() == Severity::Warning).map(of).collect()
}

/// Compiles, and looks for counter-examples; returns how often each code was proved.
fn check(seed: u64, n_events: usize) -> BTreeMap<&'static str, usize> {
    let mut dice = Dice::new(seed);
    let text = rules(&mut dice);
    let file = Source { path: "all.risk".to_owned(), text: text.clone() };
    let (program, report) = riskweir::rules::compile(&Sources { files: vec![file] });
    let program = program.unwrap_or_else(|| panic!("seed {seed}: {report:#?}\n{text}"));
    let proved = proved(&report);
    let (file, _) = parse(FileId(0), &text);
    let files = [file];
    let lists = LISTS.iter().map(|(name, members)| {
        ((*name).to_owned(), members.iter().map(|member| (*member).to_owned()).collect())
    });
    let mut oracle = Oracle::new(&files, &program.schema, lists.collect());
    let mut stream = Stream::new(&program.schema, dice.clone());
    for number in 0..n_events {
        let row = stream.next_row();
        let judged: BTreeMap<String, Verdict> = oracle
            .judge(&row, b"")
            .into_iter()
            .map(|judgement| (judgement.rule, judgement.verdict))
            .collect();
        let matches = |name: &str| {
            text.split(&format!("rule {name}\n")).nth(1).is_some_and(|rule| {
                rule.split("\nrule ").next().is_some_and(|rule| rule.contains("if missing match"))
            })
        };
        let hits = |name: &str| match judged.get(name) {
            Some(Verdict::Hit) => true,
            Some(Verdict::Undecided) => matches(name),
            _ => false,
        };
        for (code, name, other) in &proved {
            let Some(verdict) = judged.get(name) else { continue };
            let refuted = match *code {
                "W0501" | "W0507" => hits(name),
                "W0502" => *verdict == Verdict::NoHit,
                "W0505" => *verdict == Verdict::Exempt,
                "W0503" => hits(name) && !hits(other.as_deref().unwrap_or_default()),
                _ => false,
            };
            assert!(
                !refuted,
                "seed {seed}, event {number}: {code} of {name} {other:?}\n{text}\n{row:?}"
            );
        }
    }
    let mut counts = BTreeMap::new();
    for (code, ..) in proved {
        *counts.entry(code).or_default() += 1;
    }
    counts
}

/// A generator that proved nothing would prove nothing.
#[test]
fn random_rules_prove_every_kind_of_finding() {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for seed in 0..400 {
        for (code, n) in check(seed, 10) {
            *counts.entry(code).or_default() += n;
        }
    }
    for code in ["W0501", "W0502", "W0503", "W0505", "W0507"] {
        assert!(counts.get(code).is_some_and(|n| *n >= 5), "{code}: {counts:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_stream_refutes_what_is_proved(seed in any::<u64>()) {
        check(seed, 60);
    }
}
