//! The fields of which features are made, and how each is read from a record: what a name in the rules cannot say.

use std::collections::BTreeSet;

use crate::event::schema::{EventId, EventType, Field, Role};
use crate::models::offline::FieldSource;
use crate::rules::check::checker::{Build, FeatureState};
use crate::rules::check::models::writer;
use crate::rules::program::LearnedFeature;

/// The fields that the meanings of features name, ascending: of the event itself, and of those that aggregates look at, there
/// the time too, because windows are cut by it; and those of features that such a meaning names. A text among the constants of
/// a condition that is the name of a field counts as that field, too.
pub(super) fn of(
    build: &Build<'_>,
    event: EventId,
    features: &[LearnedFeature],
) -> Vec<FieldSource> {
    let schema = build.world.schema;
    let own = &schema.event(event).name;
    let meanings = features.iter().map(|feature| {
        let meaning = feature.identity.strip_prefix(own.as_str());
        meaning.and_then(|meaning| meaning.strip_prefix(": ")).unwrap_or(&feature.identity)
    });
    let words = all_words(build, meanings.map(str::to_owned).collect());
    let mut found = Vec::new();
    for known in &schema.events {
        let inside = format!("{}.", known.name);
        let is_looked_at = words.contains(known.name.as_str())
            || words.iter().any(|word| word.starts_with(&inside));
        if !is_looked_at && known.name != *own {
            continue;
        }
        let is_named = |field: &&Field| {
            let full = format!("{inside}{}", field.name);
            let by_time = is_looked_at && field.role == Role::Time;
            by_time || words.contains(field.name.as_str()) || words.contains(full.as_str())
        };
        found.extend(known.fields.iter().filter(is_named).map(|field| source(known, field)));
    }
    found.sort();
    found
}

/// The words of texts, and of the features that they name, which may name others.
fn all_words(build: &Build<'_>, mut open: Vec<String>) -> BTreeSet<String> {
    let is_between = |c: char| !(c.is_alphanumeric() || c == '_' || c == '.');
    let mut words: BTreeSet<String> = BTreeSet::new();
    while let Some(text) = open.pop() {
        for word in text.split(is_between) {
            if !words.insert(word.to_owned()) {
                continue;
            }
            let named = build.features.iter().filter(|((_, name), _)| name == word);
            open.extend(named.filter_map(|((event, _), state)| match state {
                FeatureState::Known(node, _) => Some(writer(build, *event).text(*node)),
                FeatureState::InProgress | FeatureState::Refused(_) => None,
            }));
        }
    }
    words
}

fn source(event: &EventType, field: &Field) -> FieldSource {
    FieldSource { name: format!("{}.{}", event.name, field.name), read: field.read() }
}
