//! Verdicts on statements about rules are so. Whatever is proved withstands random streams, judged by the reference
//! interpreter, and a search that is after an event which refutes it. Whatever is refuted has tests that pass on the whole
//! rule set, and the reference interpreter says the same of their events.
#![expect(clippy::panic, reason = "helpers of tests fail where what they need is not there")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use riskweir::diag::{FileId, Source, Sources};
use riskweir::event::row::Row;
use riskweir::rule_tests::{in_order, row, run_all};
use riskweir::rules::eval::Verdict as Truth;
use riskweir::rules::oracle::Oracle;
use riskweir::rules::program::{IfMissing, Program, RuleId, TestCase};
use riskweir::rules::statements::{Statement, statements};
use riskweir::rules::syntax::ast::File;
use riskweir::rules::syntax::parse;
use riskweir::witness::{Compared, Differ, Effort, Verdict, analyze, compare, look_for};

use crate::support::claims::rules;
use crate::support::dice::Dice;
use crate::support::rule_text::{Author, LISTS, RATES, sources};
use crate::support::stream::Stream;

mod support;

/// A rule set that compiles, its tree for the reference interpreter, and its text.
struct Set {
    program: Arc<Program>,
    files: [File; 1],
    sources: Sources,
}

impl Set {
    fn of(sources: Sources) -> Self {
        let (program, report) = riskweir::rules::compile(&sources);
        let text = &sources.files[0].text;
        let program = program.unwrap_or_else(|| panic!("{report:#?}\n{text}"));
        let (file, _) = parse(FileId(0), text);
        Self { program: Arc::new(program), files: [file], sources }
    }

    /// Few conditions that exclude and cover each other.
    fn narrow(dice: &mut Dice) -> Self {
        Self::of(sources(&rules(dice)))
    }

    /// Everything that the language has.
    fn wide(author: &mut Author) -> Self {
        let text = author.file(4);
        Self::of(sources(&text))
    }

    fn text(&self) -> &str {
        &self.sources.files[0].text
    }

    fn name(&self, rule: RuleId) -> &str {
        &self.program.rules[usize::from(rule.0)].name
    }

    /// Without members of lists, as the engine has them: no list of these sets has a file.
    fn oracle(&self) -> Oracle<'_> {
        Oracle::new(&self.files, &self.program.schema, BTreeMap::new()).with_rates(RATES)
    }

    /// Whether an event refutes a statement, by the verdicts on it.
    fn refutes(&self, statement: Statement, verdicts: &BTreeMap<String, Truth>) -> bool {
        let verdict = |rule: RuleId| verdicts.get(self.name(rule)).copied();
        let hits = |rule: RuleId| match verdict(rule) {
            Some(Truth::Hit) => true,
            Some(Truth::Undecided) => {
                self.program.rules[usize::from(rule.0)].if_missing == IfMissing::Match
            }
            _ => false,
        };
        match statement {
            Statement::NeverHits(rule) => hits(rule),
            Statement::NeverFalse(rule) => verdict(rule) == Some(Truth::NoHit),
            Statement::NeverExempt(rule) => verdict(rule) == Some(Truth::Exempt),
            Statement::Within(rule, other) => hits(rule) && !hits(other),
            Statement::NeverBoth(rule, other) => hits(rule) && hits(other),
        }
    }

    /// No event of a stream refutes what is proved.
    fn withstands_a_stream(&self, proved: &[Statement], dice: Dice) {
        let lists = LISTS.iter().map(|(name, members)| {
            ((*name).to_owned(), members.iter().map(|member| (*member).to_owned()).collect())
        });
        let oracle = Oracle::new(&self.files, &self.program.schema, lists.collect());
        let mut oracle = oracle.with_rates(RATES);
        let mut stream = Stream::new(&self.program.schema, dice);
        for number in 0..40 {
            let row = stream.next_row();
            let verdicts = judged(&mut oracle, &row);
            for statement in proved {
                assert!(
                    !self.refutes(*statement, &verdicts),
                    "event {number} refutes {statement:?}\n{}\n{row:?}",
                    self.text()
                );
            }
        }
    }

    /// The tests of a witness pass, beside all that the rule set is, and say of the rules what the reference says.
    fn shows(&self, statement: Statement, tests: &[String]) {
        let mut sources = self.sources.clone();
        let text = tests.join("\n");
        sources.files.push(Source { path: "witness.risk".to_owned(), text: text.clone() });
        let (program, report) = riskweir::rules::compile(&sources);
        let program = program.unwrap_or_else(|| panic!("{report:#?}\n{text}"));
        let results = run_all(&Arc::new(program.clone()));
        let results = results.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(results.len(), statement.rules().len());
        let failures: Vec<_> = results.iter().flat_map(|result| &result.failures).collect();
        assert!(failures.is_empty(), "{failures:?}\n{}\n{text}", self.text());
        for test in &program.tests {
            let verdicts = self.judged_by_reference(test);
            assert!(
                self.refutes(statement, &verdicts),
                "{statement:?}: {verdicts:?}\n{}\n{text}",
                self.text()
            );
        }
    }

    fn judged_by_reference(&self, test: &TestCase) -> BTreeMap<String, Truth> {
        let mut oracle = self.oracle();
        let schema = &self.program.schema;
        let row =
            |event, number| row(schema, event, number).unwrap_or_else(|error| panic!("{error}"));
        for (number, (at_ms, event)) in (0..).zip(in_order(&test.given)) {
            oracle.judge(&row((event, at_ms), number), b"");
        }
        judged(&mut oracle, &row((&test.when, test.at_ms), i64::MAX))
    }
}

fn judged(oracle: &mut Oracle<'_>, row: &Row) -> BTreeMap<String, Truth> {
    let verdicts = oracle.judge(row, b"").into_iter();
    verdicts.map(|judgement| (judgement.rule, judgement.verdict)).collect()
}

/// Compiles, gives a verdict on every statement, and holds each against what it says. Returns how many were proved,
/// refuted and unknown.
fn check(set: &Set, dice: Dice, seed: u64) -> (usize, usize, usize) {
    let effort = Effort { seed, tries: 60 };
    let (all, left_out) = statements(&set.program, 1_000);
    assert_eq!(left_out, 0);
    let found = analyze(&set.program, &all, effort).unwrap_or_else(|error| panic!("{error}"));
    let (mut proved, mut n_refuted, mut n_unknown) = (Vec::new(), 0, 0);
    for found in found {
        match found.verdict {
            Verdict::Proved => proved.push(found.statement),
            Verdict::Refuted(tests) => {
                n_refuted += 1;
                set.shows(found.statement, &tests);
            }
            Verdict::Unknown => n_unknown += 1,
        }
    }
    set.withstands_a_stream(&proved, dice);
    for statement in &proved {
        let effort = Effort { seed, tries: 120 };
        let found = look_for(&set.program, *statement, effort);
        let found = found.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(found, None, "{statement:?} is proved, and refuted\n{}", set.text());
    }
    (proved.len(), n_refuted, n_unknown)
}

/// How many cases each property is tried on; `PROPTEST_CASES` may ask for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(12)
}

/// A search that found nothing, and proofs of nothing, would pass all the same.
#[test]
fn most_statements_get_a_verdict() {
    let (mut proved, mut refuted, mut unknown) = (0, 0, 0);
    for seed in 0..8 {
        let mut dice = Dice::new(seed);
        let set = Set::narrow(&mut dice);
        let (n_proved, n_refuted, n_unknown) = check(&set, dice, seed);
        (proved, refuted, unknown) = (proved + n_proved, refuted + n_refuted, unknown + n_unknown);
    }
    assert!(proved >= 10 && refuted >= 50, "{proved} proved, {refuted} refuted");
    assert!(unknown * 5 < proved + refuted, "{unknown} unknown of {}", proved + refuted + unknown);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn narrow_rules_are_proved_and_refuted_rightly(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let set = Set::narrow(&mut dice);
        check(&set, dice, seed);
    }

    #[test]
    fn rules_of_every_kind_are_proved_and_refuted_rightly(seed in any::<u64>()) {
        let mut author = Author::new(Dice::new(seed));
        let set = Set::wide(&mut author);
        check(&set, author.dice.clone(), seed);
    }
}

/// Each verdict on rules of which a person knows the answer: with what the smallest witness must be.
#[test]
fn a_witness_holds_what_is_needed_and_no_more() {
    let text = r#"
event pay from "t"
  id    pay_id : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
  field note   : text?
rule busy
  id "R1" owner o
  on pay
  when count(pay where amount > 20 EUR) by card over last 10m >= 3
  unless note = "known"
  then block
rule narrow
  id "R2" owner o
  on pay
  when amount > 5 EUR and amount < 2 EUR
  then alert queue q
rule friend
  id "R3" owner o effective 2026-01-01 .. 2026-12-31
  on pay
  when card = "c7"
  then allow
"#;
    let file = Source { path: "a.risk".to_owned(), text: text.to_owned() };
    let set = Set::of(Sources::of(vec![file]));
    let (all, _) = statements(&set.program, 100);
    let rule = |name: &str| {
        let known = set.program.rules.iter().position(|info| info.name == name);
        RuleId(
            known.and_then(|index| u16::try_from(index).ok()).unwrap_or_else(|| panic!("{name}")),
        )
    };
    let (busy, friend, narrow) = (rule("busy"), rule("friend"), rule("narrow"));
    let wanted = [
        Statement::NeverHits(busy),
        Statement::NeverFalse(busy),
        Statement::NeverExempt(busy),
        Statement::Within(busy, friend),
        Statement::NeverBoth(busy, friend),
        Statement::NeverHits(friend),
        Statement::NeverFalse(friend),
        Statement::NeverHits(narrow),
        Statement::NeverFalse(narrow),
    ];
    assert_eq!(all, wanted);
    let found = analyze(&set.program, &all, Effort::default());
    let found = found.unwrap_or_else(|error| panic!("{error}"));
    let all_proved = found.iter().filter(|found| found.verdict == Verdict::Proved);
    let proved: Vec<Statement> = all_proved.map(|found| found.statement).collect();
    assert_eq!(proved, [Statement::NeverHits(narrow)]);
    let told = |statement: Statement| {
        let found = found.iter().find(|found| found.statement == statement);
        match found.map(|found| &found.verdict) {
            Some(Verdict::Refuted(tests)) => tests.concat(),
            other => panic!("{statement:?}: {other:?}"),
        }
    };
    // Three payments above 20 euros on one card are needed, so two before and the one that is judged.
    for statement in [Statement::NeverHits(busy), Statement::Within(busy, friend)] {
        let (file, _) = parse(FileId(0), &told(statement));
        for item in &file.items {
            let riskweir::rules::syntax::ast::Item::Test(shown) = item else { panic!("a test") };
            let given: u32 = shown.given.iter().map(|given| given.times).sum();
            assert_eq!(given, 2, "{}", told(statement));
            assert!(shown.when.fields.iter().all(|(path, _)| path.parts[0].text != "note"));
        }
    }
    // The exemption speaks of a note, and the allow of one card.
    assert!(told(Statement::NeverExempt(busy)).contains("note: \"known\""));
    assert!(told(Statement::NeverBoth(busy, friend)).contains("card: \"c7\""));
    assert!(!told(Statement::NeverFalse(narrow)).contains("given"));
}

/// What people ask of texts is put together where it can be, and proved to be nothing where it cannot.
#[test]
fn texts_that_conditions_ask_for_are_found() {
    let conditions = [
        "lower(note) contains \"bitcoin\" and not (note contains \"bitcoin\")",
        "note starts_with \"inv\" and note contains \"2026\" and length(note) > 20",
        "note matches \"^[A-Z]{2}[0-9]{4}$\"",
        "note starts_with \"pay \" and note matches \"[0-9]{3,}$\"",
        "similarity(note, \"invoice\") >= 85% and note != \"invoice\"",
        "length(note) between 3 and 5",
        "count(pay) by card, amount over last 1d >= 3",
    ];
    let event = "event pay from \"t\" id pay_id : text time at : time key card : card \
                 field amount : money currency EUR field note : text?\n";
    let rules = conditions.iter().enumerate().map(|(n, condition)| {
        format!(
            "rule r{n} id \"R{n}\" owner o on pay when {condition} if missing skip then alert queue q\n"
        )
    });
    let text = rules.fold(event.to_owned(), |text, rule| text + &rule);
    let set = Set::of(Sources::of(vec![Source { path: "a.risk".to_owned(), text }]));
    for (rule, condition) in (0..).map(RuleId).zip(conditions) {
        let found = analyze(&set.program, &[Statement::NeverHits(rule)], Effort::default());
        let found = found.unwrap_or_else(|error| panic!("{error}"));
        let [found] = &found[..] else { panic!("{found:?}") };
        match &found.verdict {
            Verdict::Refuted(tests) => set.shows(found.statement, tests),
            other => panic!("{condition}: {other:?}"),
        }
    }
}

/// The same seed and tries say the same.
#[test]
fn a_search_is_repeated_word_for_word() {
    let set = Set::narrow(&mut Dice::new(3));
    let (all, _) = statements(&set.program, 1_000);
    let effort = Effort { seed: 7, tries: 100 };
    let again = || analyze(&set.program, &all, effort).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again(), again());
}

#[test]
fn nothing_is_claimed_of_rules_that_are_not_evaluated() {
    let text = r#"
event pay from "t"
  id    pay_id : text
  time  at     : time
  key   card   : card
rule later mode draft
  on pay
  when card = "c"
  then alert queue q
rule gone mode retired
  on pay
  when card = "c"
  then alert queue q
"#;
    let file = Source { path: "a.risk".to_owned(), text: text.to_owned() };
    let set = Set::of(Sources::of(vec![file]));
    assert_eq!(statements(&set.program, 100), (Vec::new(), 0));
}

/// A text with some other number, window or word in some places, as whoever tunes a rule would write it.
fn tuned(text: &str, dice: &mut Dice) -> String {
    let changes = [
        ("1 EUR", "2 EUR"),
        ("last 10s", "last 1m"),
        ("last 2s", "last 10s"),
        (">= 2", ">= 3"),
        ("< 2", "< 3"),
        ("> 2", "> 3"),
        ("[pos, atm]", "[pos]"),
        ("skip", "match"),
        (") and (", ") or ("),
        ("prior 10s", "prior 5s"),
    ];
    let (schema, rules) = text.split_once("\nrule r0").unwrap_or_else(|| panic!("a rule r0"));
    let mut rules = rules.to_owned();
    for _ in 0..3 {
        let (from, to) = dice.pick(&changes);
        rules = rules.replace(from, to);
    }
    format!("{schema}\nrule r0{rules}")
}

/// Compares two versions of a rule set, and holds what is said of each rule against what both do on a stream, and each
/// witness against both sets. Returns how often nothing is gained or lost, something is, and neither is known.
fn check_versions(before: &Set, after: &Set, dice: Dice) -> [usize; 3] {
    let effort = Effort { seed: 0, tries: 100 };
    let found = compare(&before.program, &after.program, effort);
    let (compared, refused) = found.unwrap_or_else(|error| panic!("{error}"));
    assert!(refused.is_empty(), "{refused:?}");
    let mut counts = [0; 3];
    for Compared { rule, gains, loses } in &compared {
        for (differ, by_new) in [(gains, true), (loses, false)] {
            match differ {
                Differ::None => counts[0] += 1,
                Differ::Unknown => counts[2] += 1,
                Differ::Some { test } => {
                    counts[1] += 1;
                    assert!(after.passes(test), "{}\n{test}", after.text());
                    assert!(!before.passes(test), "{}\n{test}", before.text());
                    let (new, old) = (after.hits_in(test, rule), before.hits_in(test, rule));
                    assert_eq!((new, old), (by_new, !by_new), "{rule}\n{test}");
                }
            }
        }
    }
    let (mut old, mut new) = (before.oracle(), after.oracle());
    let mut stream = Stream::new(&after.program.schema, dice);
    for number in 0..40 {
        let row = stream.next_row();
        let (was, is) = (judged(&mut old, &row), judged(&mut new, &row));
        for Compared { rule, gains, loses } in &compared {
            let hits = (before.hits(rule, &was), after.hits(rule, &is));
            let place = || format!("event {number}, {rule}\n{}\n{}", before.text(), after.text());
            assert!(*gains != Differ::None || hits != (false, true), "gained: {}", place());
            assert!(*loses != Differ::None || hits != (true, false), "lost: {}", place());
        }
        // What is not compared says the same.
        for rule in after.program.rules.iter().map(|info| &info.name) {
            if compared.iter().all(|compared| compared.rule != *rule) {
                assert_eq!(before.hits(rule, &was), after.hits(rule, &is), "{rule}");
            }
        }
    }
    counts
}

impl Set {
    fn hits(&self, rule: &str, verdicts: &BTreeMap<String, Truth>) -> bool {
        let info = self.program.rules.iter().find(|info| info.name == rule);
        match verdicts.get(rule) {
            Some(Truth::Hit) => true,
            Some(Truth::Undecided) => info.is_some_and(|info| info.if_missing == IfMissing::Match),
            _ => false,
        }
    }

    fn with_test(&self, test: &str) -> Program {
        let mut sources = self.sources.clone();
        sources.files.push(Source { path: "witness.risk".to_owned(), text: test.to_owned() });
        let (program, report) = riskweir::rules::compile(&sources);
        program.unwrap_or_else(|| panic!("{report:#?}\n{test}"))
    }

    fn passes(&self, test: &str) -> bool {
        let results = run_all(&Arc::new(self.with_test(test)));
        let results = results.unwrap_or_else(|error| panic!("{error}"));
        results.iter().all(|result| result.failures.is_empty())
    }

    /// Whether the reference interpreter says that a rule hits the event of a test.
    fn hits_in(&self, test: &str, rule: &str) -> bool {
        let program = self.with_test(test);
        self.hits(rule, &self.judged_by_reference(&program.tests[0]))
    }
}

#[test]
fn most_changed_rules_are_compared() {
    let mut counts = [0; 3];
    for seed in 0..10 {
        let mut dice = Dice::new(seed);
        let before = Set::narrow(&mut dice);
        let after = Set::of(sources(&tuned(before.text(), &mut dice)));
        for (sum, n) in counts.iter_mut().zip(check_versions(&before, &after, dice)) {
            *sum += n;
        }
    }
    let [none, some, unknown] = counts;
    assert!(none >= 8 && some >= 8 && unknown < none + some, "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_rules_are_compared_rightly(seed in any::<u64>()) {
        let mut dice = Dice::new(seed);
        let before = Set::narrow(&mut dice);
        let after = Set::of(sources(&tuned(before.text(), &mut dice)));
        check_versions(&before, &after, dice);
    }

    /// Features change as well, and what names them.
    #[test]
    fn rules_of_every_kind_are_compared_rightly(seed in any::<u64>()) {
        let mut author = Author::new(Dice::new(seed));
        let before = Set::wide(&mut author);
        let after = before.text().replace(">= 2\n", ">= 1\n").replace("over last 2s", "over last 1m");
        let after = Set::of(sources(&after));
        check_versions(&before, &after, author.dice.clone());
    }
}
