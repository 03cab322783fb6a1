//! Runs the `test` blocks of a rule set through the real engine: given these events, does the rule do what it says?
//!
//! Each test has an engine of its own, fresh state, and time that begins at [`EPOCH_MS`], midnight UTC. Fields that a
//! test does not name are absent, also required ones: a test says what it needs and no more. When the rule needs a
//! required one, the test fails and names it, whatever it expects (`left_out`): no real record is like that.

mod actions;
mod left_out;
#[cfg(test)]
mod tests;
mod words;

use std::sync::Arc;

use serde_json::Value as Json;

use crate::base::{MICRO_PER_MINOR, Value};
use crate::diag::Span;
use crate::engine::{Decoded, Engine, EngineOptions, Input, Output, OutputTopic, StreamId};
use crate::event::build::{BuildError, RowBuilder};
use crate::event::row::Row;
use crate::event::schema::{EventType, FieldId, FieldType, Schema};
use crate::rule_tests::actions::Said;
use crate::rules::eval::EvalError;
use crate::rules::program::{
    Constant, Expectation, Mode, NodeId, Program, RuleBody, TestCase, TestEvent, TestEvents,
    TestValue,
};

/// When a test begins: 2026-01-01T00:00:00Z, a Thursday.
pub const EPOCH_MS: i64 = crate::base::time::TESTS_BEGIN_MS;

/// How one test went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestResult {
    /// The rule under test.
    pub rule: String,
    /// What it shows.
    pub title: String,
    /// Where it stands.
    pub span: Span,
    /// What did not come out as expected; empty when it passed.
    pub failures: Vec<String>,
    /// Of a test that failed, what each condition of its rule was on the judged event.
    pub conditions: Vec<String>,
}

/// Runs every test of a rule set, in the order of the program.
///
/// # Errors
/// When the engine refuses the program.
pub fn run_all(program: &Arc<Program>) -> Result<Vec<TestResult>, EvalError> {
    program.tests.iter().map(|test| run_one(program, test)).collect()
}

/// Runs one test, which need not be one of the rule set.
///
/// # Errors
/// When the engine refuses the program.
pub fn run_one(program: &Arc<Program>, test: &TestCase) -> Result<TestResult, EvalError> {
    let info = &program.rules[usize::from(test.rule.0)];
    let mut result = TestResult {
        rule: info.name.clone(),
        title: test.title.clone(),
        span: test.span,
        failures: Vec::new(),
        conditions: Vec::new(),
    };
    if matches!(info.mode, Mode::Draft | Mode::Retired) {
        result.failures.push(format!("rule `{}` is not evaluated in its mode", info.name));
        return Ok(result);
    }
    let mut stage = Stage::new(program, test)?;
    match stage.play(test) {
        Ok(played) => {
            let wrong = |want| failure(program, test, &played, want);
            let undecided = entry(&played.decision, "undecided", &info.name);
            let left_out = left_out::by_judged(program, test, undecided);
            // WHY: whoever left out a field did not mean that the rule is undecided.
            let is_told =
                |want: &&Expectation| !left_out.is_empty() && matches!(want, Expectation::NoHit);
            let asked: Vec<&Expectation> =
                test.expect.iter().filter(|want| !is_told(want)).collect();
            result.failures.extend(left_out);
            let names = played.values.iter().map(|(_, node, _)| *node);
            let body = body_of(program, test);
            result.failures.extend(left_out::by_given(program, test, body, names));
            result.failures.extend(asked.into_iter().filter_map(wrong));
        }
        Err(error) => result.failures.push(error.to_string()),
    }
    if !result.failures.is_empty() {
        // WHY: anew, because laying out what a rule says leaves traces in an engine.
        result.conditions = Stage::new(program, test)?.conditions(test).unwrap_or_default();
    }
    Ok(result)
}

/// The engine of one test.
struct Stage {
    program: Arc<Program>,
    engine: Engine,
    stream: StreamId,
    next: i64,
}

/// What came of the judged event.
struct Played {
    decision: Json,
    /// The names that the test asks for, with their nodes and values.
    values: Vec<(String, NodeId, Value)>,
    /// The texts of the rule's actions on this event, in the order of the actions.
    texts: Vec<Option<String>>,
}

impl Stage {
    fn new(program: &Arc<Program>, test: &TestCase) -> Result<Self, EvalError> {
        let options = EngineOptions { allowed_lateness_ms: i64::MAX / 4, ..Default::default() };
        let mut engine = Engine::new(Arc::clone(program), options)?;
        let stream = engine.open_stream(&format!("test {}", test.title), 0);
        Ok(Self { program: Arc::clone(program), engine, stream, next: 0 })
    }

    /// Decides what comes before; gives the event that is judged.
    fn prepare(&mut self, test: &TestCase) -> Result<Row, BuildError> {
        for (at_ms, event) in in_order(&test.given) {
            let row = self.row(event, at_ms)?;
            self.decide(&row);
        }
        self.row(&test.when, test.at_ms)
    }

    /// What each condition of the rule is on the judged event.
    fn conditions(&mut self, test: &TestCase) -> Result<Vec<String>, BuildError> {
        let row = self.prepare(test)?;
        let decoded = Decoded { raw: &[], row: &row };
        let outline = self.engine.outline(self.stream, decoded, test.rule);
        Ok(outline.map_or_else(Vec::new, |outline| words::conditions(&outline)))
    }

    fn play(&mut self, test: &TestCase) -> Result<Played, BuildError> {
        let row = self.prepare(test)?;
        let names = asked_names(&self.program, test);
        let nodes: Vec<NodeId> = names.iter().map(|(_, node)| *node).collect();
        let values = self.engine.peek(self.stream, Decoded { raw: &[], row: &row }, &nodes);
        let values = names.into_iter().zip(values);
        let values = values.map(|((name, node), value)| (name, node, value)).collect();
        let program = Arc::clone(&self.program);
        let actions = body_of(&program, test).map_or(&[][..], |body| &body.actions);
        let texts = actions.iter().map(|action| {
            let decoded = Decoded { raw: &[], row: &row };
            action.message().map(|message| self.engine.say(self.stream, decoded, message))
        });
        let texts = texts.collect();
        Ok(Played { decision: self.decide(&row), values, texts })
    }

    fn decide(&mut self, row: &Row) -> Json {
        let input =
            Input { stream: self.stream, offset: self.next, arrival_ms: None, payload: None };
        let mut outputs: Vec<Output> = Vec::new();
        self.engine.decide(&input, Ok(Decoded { raw: &[], row }), &mut outputs);
        let decision = outputs.iter().find(|output| output.topic == OutputTopic::Decisions);
        decision.and_then(|output| serde_json::from_slice(&output.body).ok()).unwrap_or_default()
    }

    fn row(&mut self, event: &TestEvent, at_ms: i64) -> Result<Row, BuildError> {
        self.next += 1;
        row(&self.program.schema, (event, at_ms), self.next - 1)
    }
}

/// The events before the judged one as they arrive: by time, of one time in the author's order.
pub fn in_order(given: &[TestEvents]) -> Vec<(i64, &TestEvent)> {
    let moments =
        given.iter().flat_map(|events| events.moments().map(move |at_ms| (at_ms, &events.event)));
    let mut moments: Vec<(i64, &TestEvent)> = moments.collect();
    moments.sort_by_key(|(at_ms, _)| *at_ms);
    moments
}

/// The record of an event of a test, at a time in ms from the start of the test; its id is made of a number.
///
/// # Errors
/// When a value does not fit its field.
pub fn row(
    schema: &Schema,
    (event, at_ms): (&TestEvent, i64),
    number: i64,
) -> Result<Row, BuildError> {
    let event_type = schema.event(event.event);
    let mut builder = RowBuilder::new(schema, event.event);
    builder.id(&format!("test-{number}"))?;
    builder.event_time(EPOCH_MS + at_ms);
    for (field, value) in &event.fields {
        set(&mut builder, event_type, *field, value)?;
    }
    Ok(builder.build())
}

fn set(
    builder: &mut RowBuilder<'_>,
    event: &EventType,
    field: FieldId,
    value: &TestValue,
) -> Result<(), BuildError> {
    match (value, &event.field(field).ty) {
        (TestValue::Missing | TestValue::Constant(Constant::Money(_)), _) => Ok(()),
        (TestValue::Money(minor, currency), _) => builder.money(field, *minor, *currency),
        (TestValue::Geo(latitude, longitude), _) => builder.geo(field, *latitude, *longitude),
        (TestValue::Constant(Constant::Bool(truth)), _) => builder.boolean(field, *truth),
        (TestValue::Constant(Constant::Int(ms)), FieldType::Time { .. }) => {
            builder.time(field, *ms)
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "the nearest number is what the field would hold"
        )]
        (TestValue::Constant(Constant::Int(int)), FieldType::Number) => {
            builder.number(field, *int as f64)
        }
        (TestValue::Constant(Constant::Int(int)), _) => builder.integer(field, *int),
        (TestValue::Constant(Constant::Number(number)), _) => builder.number(field, *number),
        (TestValue::Constant(Constant::Text(text)), _) => builder.text(field, text),
        (TestValue::Constant(Constant::Code(code)), ty) => {
            builder.text(field, &code_text(ty, *code))
        }
    }
}

/// The text of a code, as the field's type writes it.
pub fn code_text(ty: &FieldType, code: u32) -> String {
    match ty {
        FieldType::OneOf(members) => members.get(code as usize).cloned().unwrap_or_default(),
        _ => code
            .to_be_bytes()
            .iter()
            .filter(|byte| **byte != 0)
            .map(|byte| char::from(*byte))
            .collect(),
    }
}

fn body_of<'p>(program: &'p Program, test: &TestCase) -> Option<&'p RuleBody> {
    let plan = &program.plans[usize::from(test.when.event.0)];
    plan.rules.iter().find(|body| body.rule == test.rule)
}

/// The names that the test expects values of, with their nodes.
fn asked_names(program: &Program, test: &TestCase) -> Vec<(String, NodeId)> {
    let features = &program.plans[usize::from(test.when.event.0)].features;
    let lets = body_of(program, test).map_or(&[][..], |body| &body.lets);
    let asked = test.expect.iter().filter_map(|want| match want {
        Expectation::Value(name, _) => Some(name),
        _ => None,
    });
    let known =
        |name: &String| lets.iter().chain(features).find(|(known, _)| known == name).cloned();
    asked.filter_map(known).collect()
}

fn failure(
    program: &Program,
    test: &TestCase,
    played: &Played,
    want: &Expectation,
) -> Option<String> {
    let name = &program.rules[usize::from(test.rule.0)].name;
    // A shadow rule and a canary are tested like any other; outside of its dates a rule does not hit.
    let watching = entry(&played.decision, "shadow", name)
        .is_some_and(|entry| matches!(entry["because"].as_str(), None | Some("canary")));
    let hit = watching || entry(&played.decision, "contributions", name).is_some();
    let snoozed = entry(&played.decision, "snoozed", name).is_some();
    let undecided = entry(&played.decision, "undecided", name);
    let outcome = match (hit, &undecided) {
        (true, _) => "it hits".to_owned(),
        (false, _) if snoozed => "it is snoozed".to_owned(),
        (false, Some(entry)) => {
            let missing = entry["missing"].as_array().into_iter().flatten();
            let missing: Vec<&str> = missing.filter_map(Json::as_str).collect();
            format!("it is undecided on {}", missing.join(", "))
        }
        (false, None) => "it does not hit".to_owned(),
    };
    let wrong = |wanted: String| Some(format!("expected {wanted}, but {outcome}"));
    match want {
        Expectation::Hit if !hit => wrong("a hit".to_owned()),
        Expectation::NoHit if hit => wrong("no hit".to_owned()),
        Expectation::NoHit if undecided.is_some() && !expects_undecided(test) => {
            wrong("no hit".to_owned())
                .map(|told| format!("{told}; write `expect undecided` if that is meant"))
        }
        Expectation::Snoozed if !snoozed => wrong("it to be snoozed".to_owned()),
        Expectation::Undecided(None) if undecided.is_none() => {
            wrong("it to be undecided".to_owned())
        }
        Expectation::Undecided(Some(field)) => {
            let missing = undecided.and_then(|entry| entry["missing"].as_array());
            let named =
                missing.is_some_and(|missing| missing.iter().any(|name| is_about(name, field)));
            if named { None } else { wrong(format!("it to be undecided on `{field}`")) }
        }
        Expectation::Action(wanted, span) => {
            let body = body_of(program, test).filter(|_| hit);
            let actions = body.map_or(&[][..], |body| &body.actions);
            let said: Vec<Said<'_>> = actions.iter().zip(played.texts.iter().cloned()).collect();
            if said.iter().any(|said| actions::is_wanted(program, said, wanted)) {
                return None;
            }
            let words = program.sources.text(*span).split_whitespace().collect::<Vec<&str>>();
            let wanted = format!("the action `{}`", words.join(" "));
            if !hit {
                return wrong(wanted);
            }
            let does = said.iter().map(|said| words::said(program, test.when.event, said));
            let does = does.collect::<Vec<String>>().join(", ");
            Some(format!("expected {wanted}, but it hits and does `{does}`"))
        }
        Expectation::Value(name, wanted) => {
            let (_, node, found) = played.values.iter().find(|(known, ..)| known == name)?;
            let event = test.when.event;
            (!same_value(*found, wanted)).then(|| {
                format!(
                    "expected `{name}` to be {}, but it is {}",
                    words::wanted(program, event, *node, wanted),
                    words::found(program, event, *node, *found)
                )
            })
        }
        _ => None,
    }
}

/// Whether a test says itself that the rule cannot know.
fn expects_undecided(test: &TestCase) -> bool {
    test.expect.iter().any(|want| matches!(want, Expectation::Undecided(_)))
}

/// The entry of a rule in a list of a decision record.
fn entry<'a>(decision: &'a Json, list: &str, rule: &str) -> Option<&'a Json> {
    decision[list].as_array()?.iter().find(|entry| entry["name"] == rule)
}

/// Whether a missing thing, a field or an aggregate by its text, is about this field.
fn is_about(missing: &Json, field: &str) -> bool {
    let words = missing.as_str().unwrap_or_default();
    words
        .split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.')
        .any(|word| word == field || word.rsplit('.').next() == Some(field))
}

fn same_value(found: Value, wanted: &Constant) -> bool {
    match (found, wanted) {
        (Value::Bool(found), Constant::Bool(wanted)) => found == *wanted,
        (Value::Int(found), Constant::Int(wanted)) => found == *wanted,
        (Value::Number(found), Constant::Number(wanted)) => {
            (found - wanted).abs() <= 1e-9 * wanted.abs().max(1.0)
        }
        #[expect(clippy::cast_precision_loss, reason = "compared to nine decimals, as numbers are")]
        (Value::Number(found), Constant::Int(wanted)) => (found - *wanted as f64).abs() <= 1e-9,
        // A test writes money in whole minor units; an average is compared at that precision.
        (Value::Money(found), Constant::Money(wanted)) => {
            (found - wanted).abs() * 2 <= MICRO_PER_MINOR
        }
        (Value::Code(found), Constant::Code(wanted)) => found == *wanted,
        _ => false,
    }
}
