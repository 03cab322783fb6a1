//! A few events and the one that is judged: what a search changes, and what becomes a `test` block.

use crate::diag::Span;
use crate::event::schema::FieldId;
use crate::rules::program::{Expectation, RuleId, TestCase, TestEvent, TestEvents, TestValue};

const DAY_MS: i64 = 86_400_000;

/// Most events before the judged one: more would show nothing to a reader.
pub(super) const MAX_EVENTS: u32 = 300;

/// Most different ones among them.
const MAX_GROUPS: usize = 40;

/// Latest time of the judged event: some ten years after tests begin.
const MAX_AT_MS: i64 = 3_700 * DAY_MS;

/// Events before, the judged event and its time in ms from the start of a test.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Story {
    pub(super) given: Vec<TestEvents>,
    pub(super) when: TestEvent,
    pub(super) at_ms: i64,
}

impl Story {
    pub(super) fn of(test: &TestCase) -> Self {
        Self { given: test.given.clone(), when: test.when.clone(), at_ms: test.at_ms }
    }

    /// Puts all in the order in which it is told, moves it by whole days until nothing happens before the start, and drops
    /// what comes after the judged event. Says whether it is a story that may be told.
    pub(super) fn settle(&mut self) -> bool {
        let at_ms = self.at_ms;
        self.given.retain(|events| {
            events.times > 0
                && events.every_ms >= 0
                && events.moments().last().is_none_or(|last_ms| last_ms <= at_ms)
        });
        // WHY: of events at one time the order of the groups decides which comes first.
        self.given.sort_by_key(|events| events.at_ms);
        let first_ms = self.given.iter().map(|events| events.at_ms).min();
        let first_ms = first_ms.unwrap_or(self.at_ms).min(self.at_ms);
        if first_ms < 0 {
            self.shift(first_ms.saturating_neg().saturating_add(DAY_MS - 1) / DAY_MS * DAY_MS);
        }
        let n_events: u32 = self.given.iter().map(|events| events.times).sum();
        n_events <= MAX_EVENTS && self.given.len() <= MAX_GROUPS && self.at_ms <= MAX_AT_MS
    }

    pub(super) fn shift(&mut self, by_ms: i64) {
        self.at_ms = self.at_ms.saturating_add(by_ms);
        for events in &mut self.given {
            events.at_ms = events.at_ms.saturating_add(by_ms);
        }
    }

    pub(super) fn into_test(self, rule: RuleId, title: String, expect: Expectation) -> TestCase {
        let Self { given, when, at_ms } = self;
        TestCase { rule, title, given, when, at_ms, expect: vec![expect], span: Span::default() }
    }
}

/// The value of a field, where the event has it.
pub(super) fn get(event: &TestEvent, field: FieldId) -> Option<&TestValue> {
    let (_, value) = event.fields.iter().find(|(known, _)| *known == field)?;
    (*value != TestValue::Missing).then_some(value)
}

/// Gives a field a value, or takes it away.
pub(super) fn set(event: &mut TestEvent, field: FieldId, value: Option<TestValue>) {
    event.fields.retain(|(known, _)| *known != field);
    if let Some(value) = value.filter(|value| *value != TestValue::Missing) {
        let place = event.fields.partition_point(|(known, _)| *known < field);
        event.fields.insert(place, (field, value));
    }
}
