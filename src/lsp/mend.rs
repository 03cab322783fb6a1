//! Mends that are offered for what is wrong: the compiler's own replacement where it is certain of one, and the choices
//! where its help names several.

use serde_json::{Value, json};

use crate::diag::{Diagnostic, Span, codes};
use crate::lsp::folder::Folder;
use crate::lsp::server::Server;
use crate::rules::syntax::ast::{Clause, ClauseKind, Item};

/// A change of words, and what it is called.
struct Offer {
    title: String,
    span: Span,
    text: String,
    /// The compiler is certain of it.
    certain: bool,
}

/// The mends for what is wrong at a place.
pub(super) fn offers(server: &Server, folder: &Folder, place: Span) -> Value {
    let touches =
        |span: Span| span.file == place.file && span.start <= place.end && place.start <= span.end;
    let mut list = Vec::new();
    for found in folder.study.diagnostics.iter().filter(|found| touches(found.span)) {
        for offer in of(folder, found) {
            list.extend(action(server, folder, found, &offer));
        }
    }
    Value::Array(list)
}

fn of(folder: &Folder, found: &Diagnostic) -> Vec<Offer> {
    if let Some((span, text)) = &found.fix {
        let old = folder.sources.text(*span);
        let title = match (old.is_empty(), text.is_empty()) {
            (_, true) => format!("delete `{old}`"),
            (true, false) => format!("write `{}`", text.trim()),
            (false, false) => format!("write `{}` in place of `{old}`", text.trim()),
        };
        return vec![Offer { title, span: *span, text: text.clone(), certain: true }];
    }
    if found.code == codes::E0402 {
        return ["last", "prior"].map(|word| counting(word, found.span)).into();
    }
    if found.code == codes::E0301 || found.code == codes::W0301 {
        return if_missing(folder, found.span);
    }
    Vec::new()
}

fn counting(word: &str, span: Span) -> Offer {
    let counts = if word == "last" { "counts" } else { "does not count" };
    let title = format!("write `{word}`: the window {counts} this event");
    let span = Span { end: span.start, ..span };
    Offer { title, span, text: format!("{word} "), certain: false }
}

/// The three things that may happen when a condition cannot be decided, before `then`.
fn if_missing(folder: &Folder, span: Span) -> Vec<Offer> {
    let Some(place) = then_of(folder, span) else { return Vec::new() };
    let text = folder.text(place.file);
    let before = text.get(..place.start as usize).unwrap_or_default();
    let line = before.rfind('\n').map_or(0, |at| at + 1);
    let indent = before.get(line..).unwrap_or_default();
    let gap = if indent.trim().is_empty() { format!("\n{indent}") } else { " ".to_owned() };
    let gap = if text.contains("\r\n") { gap.replace('\n', "\r\n") } else { gap };
    let choices =
        [("skip", "do nothing"), ("match", "act all the same"), ("review", "ask a person")];
    let offer = |(word, meaning): (&str, &str)| Offer {
        title: format!("add `if missing {word}`: {meaning}"),
        span: Span { end: place.start, ..place },
        text: format!("if missing {word}{gap}"),
        certain: false,
    };
    choices.map(offer).into()
}

/// Where the `then` stands of the rule or template that a place is in.
fn then_of(folder: &Folder, span: Span) -> Option<Span> {
    let tree = folder.study.files.iter().find(|tree| tree.file == span.file)?;
    let clauses: &[Clause] = tree.items.iter().find_map(|item| match item {
        Item::Rule(rule) if span.is_within(rule.span) => Some(rule.clauses.as_slice()),
        Item::Template(template) if span.is_within(template.span) => {
            Some(template.clauses.as_slice())
        }
        _ => None,
    })?;
    let then = clauses.iter().find(|clause| matches!(clause.kind, ClauseKind::Then(_)))?;
    Some(then.span)
}

fn action(server: &Server, folder: &Folder, found: &Diagnostic, offer: &Offer) -> Option<Value> {
    let name = folder.name_of(offer.span)?;
    let edits = vec![(name.to_owned(), offer.span, offer.text.clone())];
    let code = found.code.0;
    Some(json!({
        "title": format!("{code}: {}", offer.title),
        "kind": "quickfix",
        "isPreferred": offer.certain,
        "edit": server.edit(folder, &edits),
    }))
}
