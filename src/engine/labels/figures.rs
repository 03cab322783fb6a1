//! What labels say of the event types, rules and models of a rule set.

use crate::base::EntityKey;
use crate::engine::labels::{Found, LabelBook, Labelled, Stance, Subject};
use crate::event::schema::{EventId, Finding};
use crate::rules::program::{ModelId, ModelPlan, Program, RuleId, RuleInfo};

/// What labels say, of events that are remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelFigures<'a> {
    /// Labels that came, ever: by their event type, what they said, and what was known of their event.
    pub came: Vec<(&'a str, Finding, Found, u64)>,
    /// Events with a label, by type and what is known of them.
    pub events: Vec<(EventId, Found, Labelled)>,
    /// Events with a label that a rule hit, by how it stood to them.
    pub rules: Vec<(RuleId, Stance, Labelled)>,
    /// Events with a label that a model scored high.
    pub models: Vec<(ModelId, Labelled)>,
    /// Events that were forgotten for want of room.
    pub evicted: u64,
}

impl Subject {
    /// All events of a type of which this is known.
    pub(in crate::engine) fn events(found: Found, name: &str) -> Self {
        Self::Events(found, EntityKey::of_text(name.as_bytes()))
    }

    /// A rule as it stands to an event. WHY: by its id, so that a rule with another name goes on.
    pub(in crate::engine) fn rule(stance: Stance, rule: &RuleInfo) -> Self {
        Self::Rule(stance, EntityKey::of_text(rule.id.as_bytes()))
    }

    /// A model. WHY: by its name too, because a frozen copy of a model is made of the same.
    pub(in crate::engine) fn model(model: &ModelPlan) -> Self {
        let parts = [&model.name, &model.identity].map(|text| EntityKey::of_text(text.as_bytes()));
        Self::Model(EntityKey::combine(&parts))
    }
}

/// The figures of a rule set: of those of whom there are any.
pub(in crate::engine) fn tally<'b>(program: &Program, book: &'b LabelBook) -> LabelFigures<'b> {
    let sums = book.labelled();
    let of = |subject: Subject| sums.get(&subject).copied();
    let events = (0_u16..).zip(&program.schema.events).flat_map(|(id, event)| {
        let known = Found::ALL.map(|found| (found, of(Subject::events(found, &event.name))));
        known.into_iter().filter_map(move |(found, sum)| Some((EventId(id), found, sum?)))
    });
    let rules = (0_u16..).zip(&program.rules).flat_map(|(id, rule)| {
        let known = Stance::ALL.map(|stance| (stance, of(Subject::rule(stance, rule))));
        known.into_iter().filter_map(move |(stance, sum)| Some((RuleId(id), stance, sum?)))
    });
    let models = (0_u16..).zip(&program.models);
    LabelFigures {
        came: book.came().collect(),
        events: events.collect(),
        rules: rules.collect(),
        models: models
            .filter_map(|(id, it)| Some((ModelId(id), of(Subject::model(it))?)))
            .collect(),
        evicted: book.evicted(),
    }
}
