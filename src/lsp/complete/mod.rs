//! What may stand at a place: the words of the language that fit there, and the names that are known.
//!
//! Where a rule is being written there is no tree, so the place is read off the tokens before it: the item, the clause,
//! the brackets that are open, and the last word or sign. Start at [`at`]; [`place`] reads the place, [`offer`] knows
//! the names.

mod offer;
mod place;

use serde_json::{Value, json};

use crate::lsp::advice;
use crate::lsp::server::At;
use crate::rules::syntax::words;
use offer::{Offers, kind};
use place::{Place, Section};

/// The answer to a completion.
pub(super) fn at(at: &At<'_>) -> Value {
    let Some(place) = Place::of(at.text(), at.file, at.offset) else { return json!([]) };
    let mut offers = Offers::new(at.folder, at.server.client.snippets);
    if place.after_dot() {
        members(&place, &mut offers);
    } else {
        match place.section {
            Section::None => items(&mut offers),
            Section::Rule => rule(&place, &mut offers),
            Section::Event => event(&place, &mut offers),
            Section::Test => test(&place, &mut offers),
            Section::Policy => policy(&place, &mut offers),
            Section::Entity => offers.events(),
            Section::Feature => expression(&place, &mut offers),
            Section::List => list(&place, &mut offers),
            Section::Model => model(&place, &mut offers),
            Section::Snooze => snooze(&place, &mut offers),
        }
        if place.on_new_line && place.depth == 0 {
            items(&mut offers);
        }
    }
    offers.answer()
}

/// Behind a dot: fields.
fn members(place: &Place<'_>, offers: &mut Offers<'_>) {
    let before = place.word_before_dot();
    match before {
        Some("this") => place.events().for_each(|event| offers.fields(event)),
        Some(word) => {
            let event = place.step_named(word).unwrap_or(word);
            offers.fields(event);
            // `merchant.` of a field `merchant.id`.
            place.events().for_each(|event| offers.rest_of_fields(event, word));
        }
        None => {}
    }
}

fn items(offers: &mut Offers<'_>) {
    for (word, snippet) in offer::ITEMS {
        offers.snippet(word, snippet, advice::word(word));
    }
}

fn rule(place: &Place<'_>, offers: &mut Offers<'_>) {
    let last = place.last_word();
    if place.depth == 0 && place.on_new_line && !place.wants_operand() {
        clauses(offers);
        if place.clause == Some("then") {
            actions(offers);
        }
    }
    match place.clause {
        None if last == Some("use") => offers.templates(),
        None if place.depth > 0 => {
            offers.events();
            offers.lists();
            offers.all_keys();
        }
        Some("on") if !place.clause_has("where") => {
            if matches!(last, Some("on")) || place.after_comma() {
                offers.events();
            } else {
                offers.words(&["where"]);
            }
        }
        Some("severity") if last == Some("severity") => {
            offers.words(&["low", "medium", "high", "critical"]);
        }
        Some("mode") => match last {
            Some("mode") => {
                offers.words(&["draft", "shadow", "live", "retired"]);
                offers.snippet("canary", "canary ${1:10}% by ${2:key}", None);
            }
            Some("by") => place.events().for_each(|event| offers.keys(event)),
            _ => clauses(offers),
        },
        Some("owner") if last == Some("owner") => offers.owners(),
        Some("typology") if last == Some("typology") || place.after_comma() => offers.typologies(),
        Some("review") if last == Some("review") => offers.words(&["by"]),
        Some("if") => match last {
            Some("if") => offers.words(&["missing"]),
            Some("missing") => offers.words(&["skip", "match", "review"]),
            _ => clauses(offers),
        },
        Some("then") => then(place, offers),
        Some("on" | "when" | "unless" | "let") => expression(place, offers),
        Some("param") => offers.words(&["tune", "step"]),
        None | Some(_) => clauses(offers),
    }
}

fn clauses(offers: &mut Offers<'_>) {
    for (word, snippet) in offer::CLAUSES {
        offers.snippet(word, snippet, advice::word(word));
    }
}

fn actions(offers: &mut Offers<'_>) {
    for (word, snippet) in offer::ACTIONS {
        offers.snippet(word, snippet, advice::word(word));
    }
}

fn then(place: &Place<'_>, offers: &mut Offers<'_>) {
    match place.last_word() {
        _ if place.in_text => operand_or_operator(place, None, offers),
        Some("then") => actions(offers),
        Some("queue") => offers.queues(),
        Some("per") => place.events().for_each(|event| offers.keys(event)),
        Some("add" | "remove") => place.events().for_each(|event| offers.fields(event)),
        Some("to" | "from") => offers.lists(),
        Some("in") => offers.groups(),
        Some("otherwise") => offers.words(&["release", "block", "escalate", "hold"]),
        _ => {
            offers.words(&["queue", "once", "per", "message", "reason", "otherwise", "for", "cap"]);
            actions(offers);
        }
    }
}

/// Where a value or a condition is written.
fn expression(place: &Place<'_>, offers: &mut Offers<'_>) {
    match place.last_word() {
        // A new name.
        Some("let" | "feature") => return,
        Some("by") => return keys(place, offers),
        Some("over") => {
            offers.words(&["last", "prior", "today", "this_week", "this_month", "lifetime"]);
            return;
        }
        Some("last" | "prior") if place.word_ago(1) == Some("over") => {
            offers.words(&["10m", "1h", "24h", "7d", "30d", "today", "this_week", "this_month"]);
            return;
        }
        Some("before") => return offers.words(&["today", "this_week", "this_month"]),
        Some("in") => return offers.lists(),
        Some("is") => return offers.words(&["missing", "present", "not"]),
        _ => {}
    }
    if let Some(aggregate) = place.open_call() {
        if words::AGGREGATES.contains(&aggregate.word) && aggregate.at_event {
            return offers.events();
        }
        if words::AGGREGATES.contains(&aggregate.word) {
            offers.words(&["where"]);
            return operand_or_operator(place, aggregate.event, offers);
        }
    }
    if place.in_sequence() && !place.clause_since_bracket_has("where") {
        offers.words(&["without", "this", "times", "as", "where"]);
        return offers.events();
    }
    operand_or_operator(place, None, offers);
}

/// A value of the fields at hand, or what goes on behind one.
fn operand_or_operator(place: &Place<'_>, event: Option<&str>, offers: &mut Offers<'_>) {
    if !place.wants_operand() {
        offers.words(offer::OPERATORS);
        return;
    }
    let events: Vec<&str> = event.map_or_else(|| place.events().collect(), |event| vec![event]);
    if let Some(field) = place.compared_with() {
        for event in &events {
            offers.members(event, field);
        }
    }
    for event in &events {
        offers.fields(event);
    }
    if place.section == Section::Feature && event.is_none() {
        offers.all_fields();
    }
    for (name, what) in place.locals() {
        offers.add(name, kind::VARIABLE, what);
    }
    offers.features();
    if place.section != Section::Feature {
        offers.models();
    }
    offers.functions();
    if event.is_none() {
        offers.aggregates();
        offers.snippet(
            "sequence",
            "sequence by ${1:key} within ${2:1h} [ ${3:event}, this ]",
            advice::word("sequence"),
        );
    }
    offers.words(&["not", "this"]);
}

fn keys(place: &Place<'_>, offers: &mut Offers<'_>) {
    match place.aggregated() {
        Some(event) if place.after_comma() => offers.parts_of_keys(event),
        Some(event) => offers.keys(event),
        None => place.events().for_each(|event| offers.keys(event)),
    }
}

fn event(place: &Place<'_>, offers: &mut Offers<'_>) {
    if place.after_colon() {
        return offers.types();
    }
    if place.on_new_line {
        for (word, snippet) in offer::FIELDS {
            offers.snippet(word, snippet, advice::word(word));
        }
        return;
    }
    match place.last_word() {
        Some("unit") => offers.words(&["minor", "s", "ms", "minutes", "hours"]),
        Some("currency") => offers.words(&["EUR", "USD", "GBP"]),
        Some("labels" | "answers") => offers.events(),
        Some("by" | "verdict") if matches!(place.clause, Some("labels" | "answers")) => {
            offers.fields(place.name());
        }
        Some("where") if place.clause == Some("hold") => offers.fields(place.name()),
        Some("otherwise") if place.clause == Some("hold") => offers.words(&["block", "release"]),
        _ if place.clause == Some("hold") => offers.words(&["at", "most", "where", "otherwise"]),
        _ if place.clause == Some("labels") => {
            offers.words(&["by", "verdict", "fraud", "genuine"]);
        }
        _ if place.clause == Some("answers") => {
            offers.words(&["by", "verdict", "passed", "failed"]);
        }
        _ => offers.words(&["from", "currency", "unit", "sensitive", "tokenized", "when"]),
    }
}

fn list(place: &Place<'_>, offers: &mut Offers<'_>) {
    if place.after_colon() {
        offers.types();
    } else {
        offers.words(&["from", "expires", "gives"]);
    }
}

fn model(place: &Place<'_>, offers: &mut Offers<'_>) {
    match place.last_word() {
        // A new name.
        Some("model") => {}
        Some("on") => offers.events(),
        Some("kind") => offers.words(&["tail_sum", "isolation_forest", "learned"]),
        Some("segment") => offers.words(&["by"]),
        Some("over") => offers.words(&["prior"]),
        _ if place.clause == Some("segment") && !place.on_new_line => {
            place.events().for_each(|event| offers.fields(event));
        }
        _ if place.clause == Some("reads") && !place.on_new_line => {
            place.events().for_each(|event| offers.fields(event));
            offers.features();
            offers.words(words::DIRECTIONS);
        }
        _ => offers.words(words::MODEL_CLAUSES),
    }
}

fn snooze(place: &Place<'_>, offers: &mut Offers<'_>) {
    match place.last_word() {
        Some("snooze") => offers.rules(),
        Some("for") => offers.all_keys(),
        Some("owner") => offers.owners(),
        _ => offers.words(&["for", "until", "owner", "reason"]),
    }
}

fn policy(place: &Place<'_>, offers: &mut Offers<'_>) {
    if place.after_arrow() {
        return actions(offers);
    }
    for word in words::POLICY_CLAUSES {
        offers.add(word, kind::KEYWORD, advice::word(word).unwrap_or_default());
    }
}

fn test(place: &Place<'_>, offers: &mut Offers<'_>) {
    if let Some(call) = place.open_call() {
        if place.after_colon() {
            offers.words(&["missing"]);
            if let Some(field) = place.field_before_colon() {
                offers.members(call.word, &field);
            }
        } else {
            offers.fields(call.word);
        }
        return;
    }
    match place.last_word() {
        Some("test") => return offers.rules(),
        Some("given" | "when") => return offers.events(),
        Some("no") => return offers.words(&["hit"]),
        _ => {}
    }
    if place.last_word() == Some("expect")
        || (place.clause == Some("expect") && place.after_comma())
    {
        offers.words(&["hit", "no hit", "undecided", "undecided on", "snoozed"]);
        offers.lets_of(place.name());
        offers.features();
        actions(offers);
        return;
    }
    offers.words(&["given", "when", "expect", "every", "at"]);
}
