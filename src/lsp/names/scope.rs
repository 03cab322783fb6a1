//! What a path means where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::slice;
use std::sync::Arc;

use crate::diag::Span;
use crate::lsp::names::{Mention, Owner, Symbol};
use crate::rules::syntax::ast::{self, ClauseKind, Field, Item, Name, Path};

/// What the whole rule set declares.
#[derive(Debug, Default)]
pub(super) struct Declared<'a> {
    /// Fields by event.
    pub(super) events: BTreeMap<&'a str, BTreeSet<String>>,
    /// Events that carry an entity.
    pub(super) entities: BTreeMap<&'a str, BTreeSet<&'a str>>,
    pub(super) features: BTreeSet<&'a str>,
    pub(super) lists: BTreeSet<&'a str>,
    pub(super) templates: BTreeMap<&'a str, &'a ast::Template>,
    /// The template of each rule that a `use` makes.
    pub(super) uses: BTreeMap<&'a str, &'a str>,
    /// The `let`s of each rule and template.
    pub(super) lets: BTreeMap<Owner, BTreeSet<&'a str>>,
}

impl<'a> Declared<'a> {
    pub(super) fn of(files: &'a [Arc<ast::File>]) -> Self {
        let mut found = Self::default();
        for item in files.iter().flat_map(|file| &file.items) {
            found.add(item);
        }
        found
    }

    fn add(&mut self, item: &'a Item) {
        match item {
            Item::Event(event) => {
                let fields = event.fields.iter().map(|field: &Field| dotted(&field.path.parts));
                self.events.entry(&event.name.text).or_default().extend(fields);
            }
            Item::Entity(entity) => {
                let events = entity.paths.iter().filter_map(|path| path.parts.first());
                let events = events.map(|event| event.text.as_str());
                self.entities.entry(&entity.name.text).or_default().extend(events);
            }
            Item::List(list) => drop(self.lists.insert(&list.name.text)),
            Item::Feature(feature) => drop(self.features.insert(&feature.name.text)),
            Item::Template(template) => {
                self.templates.insert(&template.name.text, template);
                self.lets(Owner::Template(template.name.text.clone()), &template.clauses);
            }
            Item::Rule(rule) => self.lets(Owner::Rule(rule.name.text.clone()), &rule.clauses),
            Item::Use(made) => {
                self.uses.insert(&made.name.text, &made.template.text);
                self.lets(Owner::Rule(made.name.text.clone()), &made.clauses);
            }
            Item::Model(_) | Item::Snooze(_) | Item::Policy(_) | Item::Test(_) => {}
        }
    }

    fn lets(&mut self, owner: Owner, clauses: &'a [ast::Clause]) {
        let names = clauses.iter().filter_map(|clause| match &clause.kind {
            ClauseKind::Let(name, _) => Some(name.text.as_str()),
            _ => None,
        });
        self.lets.entry(owner).or_default().extend(names);
    }
}

/// Names joined by dots.
pub(super) fn dotted(parts: &[Name]) -> String {
    let words: Vec<&str> = parts.iter().map(|part| part.text.as_str()).collect();
    words.join(".")
}

fn span_of(parts: &[Name]) -> Option<Span> {
    Some(parts.first()?.span.to(parts.last()?.span))
}

/// Where an expression stands.
#[derive(Clone, Debug)]
pub(super) struct Scope<'a> {
    /// The events whose fields are meant.
    pub(super) events: Vec<String>,
    /// The item.
    pub(super) owner: Option<Owner>,
    /// Names of the item, and of the template that it is made of: params, lets, steps, parameters of a template.
    pub(super) locals: BTreeMap<String, Owner>,
    /// Events of named steps.
    pub(super) steps: BTreeMap<String, String>,
    pub(super) declared: &'a Declared<'a>,
}

impl<'a> Scope<'a> {
    pub(super) fn of(declared: &'a Declared<'a>, events: Vec<String>) -> Self {
        let (locals, steps) = (BTreeMap::new(), BTreeMap::new());
        Self { events, owner: None, locals, steps, declared }
    }

    /// The same names over the fields of other events.
    pub(super) fn on(&self, event: &str) -> Self {
        Self { events: vec![event.to_owned()], ..self.clone() }
    }

    pub(super) fn local(&self, name: &str) -> Option<Symbol> {
        let owner = self.locals.get(name)?;
        Some(Symbol::Local(owner.clone(), name.to_owned()))
    }

    /// What is named by the field of an event, or by an entity that it carries.
    pub(super) fn field(&self, event: &str, name: &str) -> Option<Symbol> {
        if self.declared.events.get(event).is_some_and(|fields| fields.contains(name)) {
            return Some(Symbol::Field(event.to_owned(), name.to_owned()));
        }
        let carries = self.declared.entities.get(name).is_some_and(|list| list.contains(event));
        carries.then(|| Symbol::Entity(name.to_owned()))
    }

    fn own_field(&self, name: &str) -> Option<Symbol> {
        self.events.iter().find_map(|event| self.field(event, name))
    }

    /// Adds what a path names.
    pub(super) fn path(&self, path: &Path, out: &mut Vec<Mention>) {
        let mut add = |parts: &[Name], symbol: Option<Symbol>| {
            let found = symbol.zip(span_of(parts));
            let named = found.map(|(symbol, span)| Mention { span, symbol, defines: false });
            let is_named = named.is_some();
            out.extend(named);
            is_named
        };
        let (parts, name) = (path.parts.as_slice(), dotted(&path.parts));
        let [first, rest @ ..] = parts else { return };
        if path.this {
            add(parts, self.own_field(&name));
        } else if rest.is_empty() {
            let known = self.local(&name).or_else(|| self.own_field(&name));
            let feature = || {
                let is_feature = self.declared.features.contains(name.as_str());
                is_feature.then(|| Symbol::Feature(name.clone()))
            };
            add(parts, known.or_else(feature));
        } else if let Some(event) = self.steps.get(&first.text) {
            add(slice::from_ref(first), self.local(&first.text));
            add(rest, self.field(event, &dotted(rest)));
        } else if !add(parts, self.own_field(&name)) {
            if self.declared.events.contains_key(first.text.as_str()) {
                add(slice::from_ref(first), Some(Symbol::Event(first.text.clone())));
                add(rest, self.field(&first.text, &dotted(rest)));
            } else if let ("model", Some(name)) = (first.text.as_str(), rest.first()) {
                add(slice::from_ref(name), Some(Symbol::Model(name.text.clone())));
            } else {
                // A template's parameter may stand anywhere in a path.
                for part in parts {
                    add(slice::from_ref(part), self.local(&part.text));
                }
            }
        }
    }
}
