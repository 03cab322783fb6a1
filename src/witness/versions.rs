//! Two versions of a rule: whether the new one hits more than the old one did, less, or the same.

use std::sync::Arc;

use serde::Serialize;

use crate::diag::{FileId, Source};
use crate::event::schema::EventId;
use crate::rule_tests::run_one;
use crate::rules::eval::EvalError;
use crate::rules::program::{Expectation, Program, RuleId};
use crate::rules::statements::{Statement, is_proved, refutations};
use crate::rules::{beside, compile};
use crate::witness::goal::Goal;
use crate::witness::search::Lab;
use crate::witness::story::Story;
use crate::witness::{Effort, text, ways};

/// What is known of the events on which two versions of a rule differ, in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Differ {
    /// It is proved that there are none.
    None,
    /// There are: a test that passes with the new rule set, and not with the old one.
    Some {
        /// The `test` block.
        test: String,
    },
    /// Neither a proof nor such an event was found.
    Unknown,
}

/// Two versions of a rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// Its name.
    pub rule: String,
    /// Events that the new version hits and the old one did not.
    pub gains: Differ,
    /// Events that the old version hit and the new one does not.
    pub loses: Differ,
}

/// Compares the rules of two sets that say otherwise when they hit, those that are evaluated in both; and the names of
/// those whose old version has no meaning in the new set.
///
/// The proof is about conditions among the events, lists, rates and policy of the new set; a witness is about the sets as
/// they are: its test passes with the new one, and what it shows is otherwise with the old one.
///
/// # Errors
/// When the engine refuses a program.
pub fn compare(
    before: &Arc<Program>,
    after: &Arc<Program>,
    effort: Effort,
) -> Result<(Vec<Compared>, Vec<String>), EvalError> {
    let Some(both) = beside(&before.sources, &after.sources) else {
        return Ok((Vec::new(), Vec::new()));
    };
    let mut lab = Lab::new(&both.program)?;
    let mut found = Vec::new();
    for (old, new) in &both.rules {
        let name = &both.program.rules[usize::from(new.0)].name;
        let is_evaluated = |program: &Program| {
            program.rules.iter().any(|info| info.name == *name && info.mode.is_evaluated())
        };
        let differ = [Statement::Within(*new, *old), Statement::Within(*old, *new)];
        if !is_evaluated(before)
            || !is_evaluated(after)
            || differ.iter().all(|way| is_same(&both.program, *way))
        {
            continue;
        }
        let mut pair = Pair { before, after, both: &both.program, lab: &mut lab, rule: *new };
        let [gains, loses] = differ;
        found.push(Compared {
            rule: name.clone(),
            gains: pair.differ(gains, &Expectation::Hit, effort)?,
            loses: pair.differ(loses, &Expectation::NoHit, effort)?,
        });
    }
    Ok((found, both.refused))
}

/// Whether one rule is within another because it says the same.
fn is_same(program: &Program, statement: Statement) -> bool {
    events(program).all(|event| refutations(program, statement, event).is_empty())
}

fn events(program: &Program) -> impl Iterator<Item = EventId> + use<> {
    (0..u16::try_from(program.plans.len()).unwrap_or(u16::MAX)).map(EventId)
}

/// Two versions of a rule, beside each other and each in its set.
struct Pair<'p, 'l> {
    before: &'p Program,
    after: &'p Program,
    both: &'p Program,
    lab: &'l mut Lab<'p>,
    /// The new version.
    rule: RuleId,
}

impl Pair<'_, '_> {
    /// Whether there are events that refute a statement; `new` is what the new version does then.
    fn differ(
        &mut self,
        statement: Statement,
        new: &Expectation,
        effort: Effort,
    ) -> Result<Differ, EvalError> {
        if is_proved(self.both, statement) {
            return Ok(Differ::None);
        }
        let rules = statement.rules();
        let days = rules.iter().filter_map(|rule| self.both.rules[usize::from(rule.0)].effective);
        let days: Vec<(i64, Option<i64>)> = days.collect();
        let tests = self.both.tests.iter().filter(|test| test.rule == self.rule);
        let seeds: Vec<Story> = tests.map(Story::of).collect();
        let mut seed = effort.seed;
        for event in events(self.both) {
            for claims in refutations(self.both, statement, event) {
                seed = seed.wrapping_add(1);
                let goal = Goal::new(self.both, event, claims, days.clone());
                if let Some(story) = self.lab.find(&goal, &seeds, (seed, effort.tries))
                    && let Some(test) = self.shown(&story, new)?
                {
                    return Ok(Differ::Some { test });
                }
            }
        }
        Ok(Differ::Unknown)
    }

    /// The text of a test that passes with the new rule set, if with the old one the contrary does.
    fn shown(&self, story: &Story, new: &Expectation) -> Result<Option<String>, EvalError> {
        let (title, contrary) = match new {
            Expectation::Hit => ("witness: it hits, and did not before", Expectation::NoHit),
            _ => ("witness: it does not hit, and did before", Expectation::Hit),
        };
        let block = |expect: Expectation| {
            let test = story.clone().into_test(self.rule, title.to_owned(), expect);
            text::block(self.both, &test)
        };
        let first = |program: &Program, expect: Expectation| -> Result<Option<String>, EvalError> {
            for test in ways(expect).into_iter().map(block) {
                if passes(program, &test)? {
                    return Ok(Some(test));
                }
            }
            Ok(None)
        };
        let Some(test) = first(self.after, new.clone())? else { return Ok(None) };
        Ok(first(self.before, contrary)?.map(|_| test))
    }
}

/// Whether a text is a test that passes with a rule set.
fn passes(program: &Program, block: &str) -> Result<bool, EvalError> {
    let mut sources = program.sources.clone();
    let file = FileId(u32::try_from(sources.files.len()).unwrap_or(u32::MAX));
    sources.files.push(Source { path: "~witness.risk".to_owned(), text: block.to_owned() });
    let (Some(whole), _) = compile(&sources) else { return Ok(false) };
    let whole = Arc::new(whole);
    let Some(test) = whole.tests.iter().find(|test| test.span.file == file) else {
        return Ok(false);
    };
    Ok(run_one(&whole, test)?.failures.is_empty())
}
