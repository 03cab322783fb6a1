//! What is known of a rule set: of each statement about its rules a proof, an event that refutes it, or neither.
//!
//! [`rules::statements`](crate::rules::statements) proves, and says what an event must be to refute. A witness is looked
//! for among events that are ever nearer to that (`search`, `goal`), made of values that the rules compare with (`pool`),
//! by small changes (`change`), through the real engine.
//!
//! INVARIANT: a witness is never wrong. It is told only as `test` blocks that, compiled together with the whole rule
//! set, pass. Where none is found and nothing is proved the verdict is unknown.
//!
//! Cost: bounded by [`Effort`]; a try is one run of an engine over a few events. Start reading at [`analyze`].

mod change;
mod dice;
mod goal;
mod pool;
mod search;
mod story;
mod text;
mod texts;
mod versions;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::diag::{FileId, Source};
use crate::event::schema::EventId;
use crate::rule_tests::run_one;
use crate::rules::compile;
use crate::rules::eval::EvalError;
use crate::rules::program::{Expectation, Program, RuleId, TestCase};
use crate::rules::statements::{Statement, is_proved, refutations};
use crate::witness::goal::Goal;
use crate::witness::search::Lab;
use crate::witness::story::Story;
pub use crate::witness::versions::{Compared, Differ, compare};

/// How hard a witness is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Another seed tries other events.
    pub seed: u64,
    /// Events that are tried for a statement, for each way in which it may fail.
    pub tries: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { seed: 0, tries: 2_000 }
    }
}

/// What is known of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// No event refutes it.
    Proved,
    /// These `test` blocks pass on the rule set and show an event that refutes it.
    Refuted(Vec<String>),
    /// Neither a proof nor such an event was found.
    Unknown,
}

/// A statement with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What may be true.
    pub statement: Statement,
    /// Whether it is.
    pub verdict: Verdict,
}

/// The verdicts on statements about the rules of a program, in their order.
///
/// # Errors
/// When the engine refuses the program.
///
/// # Cost
/// The tries of the effort for each statement that is neither proved nor refuted soon.
pub fn analyze(
    program: &Arc<Program>,
    statements: &[Statement],
    effort: Effort,
) -> Result<Vec<Finding>, EvalError> {
    let mut analyst = Analyst { program, lab: Lab::new(program)?, stories: BTreeMap::new() };
    let mut idle = BTreeSet::new();
    let mut found = Vec::new();
    for statement in statements {
        let is_proved = idle.iter().any(|rule| statement.is_idle_without(*rule))
            || is_proved(program, *statement);
        if let (true, Statement::NeverHits(rule)) = (is_proved, *statement) {
            idle.insert(rule);
        }
        let tests = if is_proved { Vec::new() } else { analyst.refute(*statement, effort)? };
        found.push((*statement, is_proved, tests));
    }
    let told: Vec<Told> = found.iter().flat_map(|(.., tests)| tests).cloned().collect();
    let shown = shown(program, &told)?;
    let verdicts = found.into_iter().map(|(statement, is_proved, tests)| {
        let verdict = match &tests[..] {
            [] if is_proved => Verdict::Proved,
            [] => Verdict::Unknown,
            tests if tests.iter().all(|(_, text)| shown.contains(text)) => {
                Verdict::Refuted(tests.iter().map(|(_, text)| text.clone()).collect())
            }
            _ => Verdict::Unknown,
        };
        Finding { statement, verdict }
    });
    Ok(verdicts.collect())
}

/// Tests that show an event which refutes a statement, if one is found, whatever may be proved of it.
///
/// # Errors
/// When the engine refuses the program.
///
/// # Cost
/// As [`analyze`].
pub fn look_for(
    program: &Arc<Program>,
    statement: Statement,
    effort: Effort,
) -> Result<Option<Vec<String>>, EvalError> {
    let mut analyst = Analyst { program, lab: Lab::new(program)?, stories: BTreeMap::new() };
    let told = analyst.refute(statement, effort)?;
    let texts: Vec<String> = told.into_iter().map(|(_, text)| text).collect();
    Ok((!texts.is_empty()).then_some(texts))
}

/// A test with its text.
type Told = (TestCase, String);

struct Analyst<'p> {
    program: &'p Arc<Program>,
    lab: Lab<'p>,
    /// What was found of each rule, and its tests: places to begin.
    stories: BTreeMap<RuleId, Vec<Story>>,
}

impl Analyst<'_> {
    /// Tests that refute a statement; none where none were found.
    fn refute(&mut self, statement: Statement, effort: Effort) -> Result<Vec<Told>, EvalError> {
        let info = &self.program.rules[usize::from(statement.rule().0)];
        let days: Vec<(i64, Option<i64>)> = info.effective.into_iter().collect();
        let seeds: Vec<Story> =
            statement.rules().into_iter().flat_map(|rule| self.seeds(rule)).collect();
        let n_events = u16::try_from(self.program.plans.len()).unwrap_or(u16::MAX);
        let mut seed = effort.seed;
        for event in (0..n_events).map(EventId) {
            for claims in refutations(self.program, statement, event) {
                seed = seed.wrapping_add(1);
                let goal = Goal::new(self.program, event, claims, days.clone());
                let Some(story) = self.lab.find(&goal, &seeds, (seed, effort.tries)) else {
                    continue;
                };
                let asked = self.tests(statement, &story);
                let mut tests = Vec::new();
                for test in &asked {
                    tests.extend(as_it_passes(self.program, test)?);
                }
                if tests.len() == asked.len() {
                    let known = self.stories.entry(statement.rule()).or_default();
                    known.push(story);
                    let told = |test| {
                        let text = text::block(self.program, &test);
                        (test, text)
                    };
                    return Ok(tests.into_iter().map(told).collect());
                }
            }
        }
        Ok(Vec::new())
    }

    fn seeds(&self, rule: RuleId) -> Vec<Story> {
        let found = self.stories.get(&rule).into_iter().flatten().cloned();
        let tests = self.program.tests.iter().filter(|test| test.rule == rule).map(Story::of);
        found.chain(tests).collect()
    }

    /// A story as tests: what the event shows of each rule that the statement is about.
    fn tests(&self, statement: Statement, story: &Story) -> Vec<TestCase> {
        let name = |rule: RuleId| &self.program.rules[usize::from(rule.0)].name;
        let shows = match statement {
            Statement::NeverHits(rule) => {
                vec![(rule, "witness: it can hit".to_owned(), Expectation::Hit)]
            }
            Statement::NeverFalse(rule) => {
                let title = "witness: its condition can be false".to_owned();
                vec![(rule, title, Expectation::NoHit)]
            }
            Statement::NeverExempt(rule) => {
                let title = "witness: its exemption can apply".to_owned();
                vec![(rule, title, Expectation::NoHit)]
            }
            Statement::Within(rule, other) => vec![
                (
                    rule,
                    format!("witness: it hits where {} does not", name(other)),
                    Expectation::Hit,
                ),
                (
                    other,
                    format!("witness: {} hits and it does not", name(rule)),
                    Expectation::NoHit,
                ),
            ],
            Statement::NeverBoth(rule, other) => vec![
                (rule, format!("witness: it hits where {} does", name(other)), Expectation::Hit),
                (other, format!("witness: it hits where {} does", name(rule)), Expectation::Hit),
            ],
        };
        let test = |(rule, title, expect)| story.clone().into_test(rule, title, expect);
        shows.into_iter().map(test).collect()
    }
}

/// The ways in which a rule may be what is expected of it: one that does not hit may be undecided.
fn ways(expect: Expectation) -> Vec<Expectation> {
    match expect {
        Expectation::NoHit => vec![expect, Expectation::Undecided(None)],
        _ => vec![expect],
    }
}

/// A test with the first way of its expectation with which it passes, if there is one.
fn as_it_passes(program: &Arc<Program>, test: &TestCase) -> Result<Option<TestCase>, EvalError> {
    for way in test.expect.iter().cloned().flat_map(ways) {
        let test = TestCase { expect: vec![way], ..test.clone() };
        if run_one(program, &test)?.failures.is_empty() {
            return Ok(Some(test));
        }
    }
    Ok(None)
}

/// The texts of those tests that, compiled from their texts with the whole rule set, are the same and pass.
fn shown(program: &Program, told: &[Told]) -> Result<BTreeSet<String>, EvalError> {
    let mut sources = program.sources.clone();
    // Behind all others, so that the places of those stay what they are.
    let file = FileId(u32::try_from(sources.files.len()).unwrap_or(u32::MAX));
    let text = told.iter().map(|(_, text)| text.as_str()).collect::<Vec<&str>>().join("\n");
    sources.files.push(Source { path: "~witnesses.risk".to_owned(), text });
    let mut passed = BTreeSet::new();
    let (Some(whole), _) = compile(&sources) else {
        // One that cannot be read must not take the others with it.
        let (left, right) = told.split_at(told.len() / 2);
        if !left.is_empty() {
            passed.extend(shown(program, left)?);
            passed.extend(shown(program, right)?);
        }
        return Ok(passed);
    };
    let whole = Arc::new(whole);
    let read = whole.tests.iter().filter(|test| test.span.file == file);
    for (test, (meant, text)) in read.zip(told) {
        let same =
            (&test.given, &test.when, test.at_ms) == (&meant.given, &meant.when, meant.at_ms);
        if same && test.rule == meant.rule && run_one(&whole, test)?.failures.is_empty() {
            passed.insert(text.clone());
        }
    }
    Ok(passed)
}
