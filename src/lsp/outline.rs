//! What a file holds, and the files that it names.

use serde_json::{Value, json};

use crate::diag::{FileId, Span};
use crate::lsp::folder::Folder;
use crate::lsp::server::{At, Server};
use crate::rules::syntax::ast::{Item, Name, PolicyClauseKind, Text};

/// Kinds of symbols of the protocol.
mod kind {
    pub(super) const MODULE: u8 = 2;
    pub(super) const FIELD: u8 = 8;
    pub(super) const FUNCTION: u8 = 12;
    pub(super) const CONSTANT: u8 = 14;
    pub(super) const OBJECT: u8 = 19;
    pub(super) const STRUCT: u8 = 23;
    pub(super) const EVENT: u8 = 24;
    pub(super) const OPERATOR: u8 = 25;
}

/// The items of a file.
pub(super) fn of(server: &Server, folder: &Folder, file: FileId) -> Value {
    let tree = folder.study.files.iter().find(|tree| tree.file == file);
    let items = tree.map_or(&[][..], |tree| tree.items.as_slice());
    Value::Array(items.iter().map(|item| entry(server, folder, item)).collect())
}

fn entry(server: &Server, folder: &Folder, item: &Item) -> Value {
    let titled = |name: &Name, title: Option<&Text>| {
        (name.clone(), title.map(|title| title.text.clone()).unwrap_or_default())
    };
    let plain = |name: &Name, what: &str| (name.clone(), what.to_owned());
    let ((name, detail), kind, span) = match item {
        Item::Event(event) => (plain(&event.name, "event"), kind::EVENT, event.span),
        Item::Entity(entity) => (plain(&entity.name, "entity"), kind::STRUCT, entity.span),
        Item::List(list) => (plain(&list.name, "list"), kind::OBJECT, list.span),
        Item::Feature(feature) => (plain(&feature.name, "feature"), kind::CONSTANT, feature.span),
        Item::Model(model) => (plain(&model.name, "model"), kind::OBJECT, model.span),
        Item::Rule(rule) => (titled(&rule.name, rule.title.as_ref()), kind::FUNCTION, rule.span),
        Item::Template(template) => {
            (plain(&template.name, "template"), kind::MODULE, template.span)
        }
        Item::Use(made) => (titled(&made.name, made.title.as_ref()), kind::FUNCTION, made.span),
        Item::Snooze(snooze) => (plain(&snooze.rule, "snooze"), kind::OPERATOR, snooze.span),
        Item::Policy(policy) => (plain(&policy.name, "policy"), kind::MODULE, policy.span),
        Item::Test(test) => {
            let title = test.title.as_ref().map(|title| title.text.as_str()).unwrap_or_default();
            (plain(&test.rule, &format!("test: {title}")), kind::OPERATOR, test.span)
        }
    };
    let mut symbol = one(server, folder, (&name.text, name.span), kind, span);
    symbol["detail"] = json!(detail);
    if let Item::Event(event) = item {
        let fields = event.fields.iter().filter_map(|field| {
            let words = folder.sources.text(field.path.span);
            (!words.is_empty())
                .then(|| one(server, folder, (words, field.path.span), kind::FIELD, field.span))
        });
        symbol["children"] = Value::Array(fields.collect());
    }
    symbol
}

fn one(
    server: &Server,
    folder: &Folder,
    (name, selection): (&str, Span),
    kind: u8,
    span: Span,
) -> Value {
    json!({
        "name": name,
        "kind": kind,
        "range": server.range(folder, span.to(selection)),
        "selectionRange": server.range(folder, selection),
    })
}

/// The file that is named at a place: of a list or of exchange rates.
pub(super) fn named_file(at: &At<'_>) -> Option<String> {
    let tree = at.folder.study.files.iter().find(|tree| tree.file == at.file)?;
    let mut texts = tree.items.iter().flat_map(|item| match item {
        Item::List(list) => list.from.iter().collect::<Vec<&Text>>(),
        Item::Policy(policy) => {
            let rates = policy.clauses.iter().filter_map(|clause| match &clause.kind {
                PolicyClauseKind::Rates { from, .. } => Some(from),
                _ => None,
            });
            rates.collect()
        }
        _ => Vec::new(),
    });
    let named = texts.find(|text| at.span().is_within(text.span))?;
    at.folder.file(&named.text).map(|_| named.text.clone())
}
