//! What is offered: names of the rule folder and words of the language, each once.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::event::schema::{EventId, FieldId, FieldType, Role};
use crate::lsp::advice;
use crate::lsp::folder::Folder;
use crate::rules::functions;
use crate::rules::program::ActionPlan;
use crate::rules::syntax::ast::{ClauseKind, Item};

/// Kinds of completions of the protocol.
pub(super) mod kind {
    pub(in crate::lsp::complete) const FUNCTION: u8 = 3;
    pub(in crate::lsp::complete) const FIELD: u8 = 5;
    pub(in crate::lsp::complete) const VARIABLE: u8 = 6;
    pub(in crate::lsp::complete) const CLASS: u8 = 7;
    pub(in crate::lsp::complete) const MODULE: u8 = 9;
    pub(in crate::lsp::complete) const KEYWORD: u8 = 14;
    pub(in crate::lsp::complete) const SNIPPET: u8 = 15;
    pub(in crate::lsp::complete) const MEMBER: u8 = 20;
    pub(in crate::lsp::complete) const CONSTANT: u8 = 21;
    pub(in crate::lsp::complete) const EVENT: u8 = 23;
}

/// Most answers; more are of no use to anybody.
const MAX_OFFERS: usize = 1000;

/// Items and how they are begun.
pub(super) const ITEMS: &[(&str, &str)] = &[
    (
        "rule",
        "rule ${1:name} \"${2:what it catches}\"\n  id \"${3:R-0001}\"  owner ${4:team}  severity ${5:medium}\n  on ${6:event}\n  when ${7:condition}\n  then alert queue ${8:l1} once per ${9:key} per 1h",
    ),
    (
        "test",
        "test ${1:rule} \"${2:what it shows}\"\n  when ${3:event}(${4:field}: ${5:value})\n  expect ${6:hit}",
    ),
    (
        "event",
        "event ${1:name} from \"${2:topic}\"\n  id    ${3:event_id} : text\n  time  ${4:at} : time\n  field ${5:amount} : money currency ${6:EUR}",
    ),
    ("entity", "entity ${1:name} = ${2:event}.${3:field}"),
    ("list", "list ${1:name} : ${2:text}"),
    ("feature", "feature ${1:name} = ${2:value}"),
    ("model", "model ${1:name}\n  on ${2:event}\n  kind ${3:tail_sum}\n  reads ${4:high amount}"),
    (
        "template",
        "template ${1:name}(${2:ev}: event, ${3:n}: integer)\n  on ${2:ev}\n  when ${4:condition}\n  then alert",
    ),
    (
        "use",
        "use ${1:template}(${2:arguments}) as ${3:rule}\n  id \"${4:R-0001}\"  owner ${5:team}",
    ),
    (
        "snooze",
        "snooze ${1:rule} for ${2:key} \"${3:value}\" until ${4:2026-12-31}\n  owner ${5:team}  reason \"${6:why}\"",
    ),
    (
        "policy",
        "policy ${1:decisions}\n  base currency ${2:EUR}\n  timezone \"${3:Europe/Berlin}\"",
    ),
];

/// Clauses of a rule.
pub(super) const CLAUSES: &[(&str, &str)] = &[
    ("id", "id \"${1:R-0001}\""),
    ("owner", "owner ${1:team}"),
    ("severity", "severity ${1:medium}"),
    ("typology", "typology ${1:pattern}"),
    ("ref", "ref \"${1:source}\""),
    ("tags", "tags [${1:tag}]"),
    ("effective", "effective ${1:2026-01-01} .. ${2:2026-12-31}"),
    ("review", "review by ${1:2026-12-31}"),
    ("mandatory", "mandatory"),
    ("mode", "mode ${1:shadow}"),
    ("on", "on ${1:event}"),
    ("param", "param ${1:n} = ${2:5} tune ${3:3}..${4:12}"),
    ("let", "let ${1:name} = ${2:value}"),
    ("when", "when ${1:condition}"),
    ("unless", "unless ${1:exemption}"),
    ("if", "if missing ${1:skip}"),
    ("then", "then ${1:alert}"),
];

/// Actions.
pub(super) const ACTIONS: &[(&str, &str)] = &[
    ("allow", "allow"),
    ("block", "block reason \"${1:why}\""),
    ("hold", "hold for ${1:2h} otherwise ${2:release} reason \"${3:why}\""),
    ("step_up", "step_up ${1:app_confirm} otherwise ${2:block}"),
    ("alert", "alert queue ${1:l1} once per ${2:key} per ${3:1h} message \"${4:text}\""),
    ("score", "score +${1:20} in ${2:group} cap ${3:50}"),
    ("add", "add ${1:field} to ${2:list} for ${3:24h}"),
    ("remove", "remove ${1:field} from ${2:list}"),
    ("tag", "tag ${1:word}"),
];

/// Fields of an event, and its clause.
pub(super) const FIELDS: &[(&str, &str)] = &[
    ("id", "id    ${1:name} : text from \"/${2:id}\""),
    ("time", "time  ${1:at} : time from \"/${2:at}\""),
    ("key", "key   ${1:name} : ${2:kind} from \"/${3:name}\""),
    ("field", "field ${1:name} : ${2:text} from \"/${3:name}\""),
    ("labels", "labels ${1:event} by ${2:field} verdict ${3:field}"),
    ("answers", "answers ${1:event} by ${2:field} verdict ${3:field}"),
    ("hold", "hold at most ${1:9s} where ${2:rail} [${3:instant}] otherwise ${4:block}"),
];

/// What goes on behind a value.
pub(super) const OPERATORS: &[&str] = &[
    "and",
    "or",
    "not in",
    "in",
    "between",
    "is missing",
    "is present",
    "matches",
    "contains",
    "starts_with",
    "default",
    "by",
    "over",
    "where",
    "ending",
    "before",
    "in timezone",
];

/// What is offered, in the order in which it was found.
#[derive(Debug)]
pub(super) struct Offers<'f> {
    folder: &'f Folder,
    snippets: bool,
    list: Vec<Value>,
    known: BTreeSet<String>,
}

impl<'f> Offers<'f> {
    pub(super) fn new(folder: &'f Folder, snippets: bool) -> Self {
        Self { folder, snippets, list: Vec::new(), known: BTreeSet::new() }
    }

    pub(super) fn answer(self) -> Value {
        Value::Array(self.list)
    }

    fn push(&mut self, label: &str, item: Value) {
        let is_new = self.known.insert(label.to_owned());
        if is_new && self.list.len() < MAX_OFFERS {
            self.list.push(item);
        }
    }

    /// A name, and what it is.
    pub(super) fn add(&mut self, label: &str, kind: u8, detail: &str) {
        self.push(label, json!({ "label": label, "kind": kind, "detail": detail }));
    }

    pub(super) fn words(&mut self, words: &[&str]) {
        for word in words {
            self.add(word, kind::KEYWORD, advice::word(word).unwrap_or_default());
        }
    }

    /// A word with what usually follows it.
    pub(super) fn snippet(&mut self, label: &str, snippet: &str, about: Option<&str>) {
        let (text, format) =
            if self.snippets { (snippet.to_owned(), 2) } else { (advice::plain(snippet), 1) };
        let item = json!({
            "label": label,
            "kind": kind::SNIPPET,
            "detail": about.unwrap_or_default(),
            "insertText": text,
            "insertTextFormat": format,
        });
        self.push(label, item);
    }

    pub(super) fn aggregates(&mut self) {
        for (word, snippet, about) in advice::AGGREGATES {
            self.snippet(word, snippet, Some(about));
        }
    }

    pub(super) fn functions(&mut self) {
        for (name, example) in functions() {
            self.add(name, kind::FUNCTION, example);
        }
        for list in &self.folder.study.program.lists {
            if list.gives.is_some() {
                self.add(&list.name, kind::FUNCTION, "what a member of the list gives");
            }
        }
    }

    pub(super) fn events(&mut self) {
        for event in &self.folder.study.program.schema.events {
            self.add(&event.name, kind::EVENT, "event");
        }
    }

    fn event_named(&self, event: &str) -> Option<EventId> {
        self.folder.study.program.schema.event_named(event)
    }

    /// The fields of an event, and the entities that it carries.
    pub(super) fn fields(&mut self, event: &str) {
        self.fields_that(event, |_, _| true);
        self.entities(event);
    }

    fn fields_that(&mut self, event: &str, wanted: impl Fn(Role, &FieldType) -> bool) {
        let Some(id) = self.event_named(event) else { return };
        let study = &self.folder.study;
        for (index, field) in (0_u16..).zip(&study.program.schema.event(id).fields) {
            if wanted(field.role, &field.ty) {
                let optional = if field.optional { ", may be absent" } else { "" };
                let detail = format!("{}{optional}", study.field_type(id, FieldId(index)));
                self.add(&field.name, kind::FIELD, &detail);
            }
        }
    }

    fn entities(&mut self, event: &str) {
        let Some(id) = self.event_named(event) else { return };
        for role in &self.folder.study.program.schema.roles {
            if role.fields.iter().any(|(of, _)| *of == id) {
                self.add(&role.name, kind::CLASS, "entity");
            }
        }
    }

    /// What an event can be grouped by.
    pub(super) fn keys(&mut self, event: &str) {
        let groups = |role: Role, ty: &FieldType| {
            role == Role::Key || matches!(ty, FieldType::Entity(_) | FieldType::Ip)
        };
        self.fields_that(event, groups);
        self.entities(event);
    }

    /// What may stand beside a key.
    pub(super) fn parts_of_keys(&mut self, event: &str) {
        self.keys(event);
        self.fields_that(event, |_, ty| {
            matches!(
                ty,
                FieldType::Money { .. }
                    | FieldType::Integer
                    | FieldType::Country
                    | FieldType::CurrencyCode
                    | FieldType::OneOf(_)
                    | FieldType::Bool
            )
        });
    }

    pub(super) fn all_keys(&mut self) {
        for event in &self.folder.study.program.schema.events {
            self.keys(&event.name);
        }
    }

    pub(super) fn all_fields(&mut self) {
        for event in &self.folder.study.program.schema.events {
            self.fields(&event.name);
        }
    }

    /// `id` behind `merchant.` of a field `merchant.id`.
    pub(super) fn rest_of_fields(&mut self, event: &str, head: &str) {
        let Some(id) = self.event_named(event) else { return };
        for field in &self.folder.study.program.schema.event(id).fields {
            let rest = field.name.strip_prefix(head).and_then(|rest| rest.strip_prefix('.'));
            if let Some(rest) = rest {
                self.add(rest, kind::FIELD, "field");
            }
        }
    }

    /// The words of the closed set that a field is of.
    pub(super) fn members(&mut self, event: &str, field: &str) {
        let Some(id) = self.event_named(event) else { return };
        let event = self.folder.study.program.schema.event(id);
        let Some(found) = event.field_named(field) else { return };
        if let FieldType::OneOf(members) = &event.field(found).ty {
            for member in members {
                self.add(member, kind::MEMBER, &format!("of `{field}`"));
            }
        }
    }

    pub(super) fn types(&mut self) {
        let plain = [
            "money", "integer", "number", "text", "bool", "time", "country", "currency", "ip",
            "geo",
        ];
        self.words(&plain);
        self.snippet("one of", "one of [${1:a}, ${2:b}]", Some("a closed set of words"));
        for kind in &self.folder.study.program.schema.entities {
            self.add(kind, kind::CLASS, "a kind of thing");
        }
    }

    pub(super) fn lists(&mut self) {
        for list in &self.folder.study.program.lists {
            self.add(&list.name, kind::CONSTANT, "list");
        }
    }

    pub(super) fn rules(&mut self) {
        for rule in &self.folder.study.program.rules {
            self.add(&rule.name, kind::MODULE, rule.title.as_deref().unwrap_or("rule"));
        }
    }

    pub(super) fn owners(&mut self) {
        let owners = self.folder.study.program.rules.iter().filter_map(|rule| rule.owner.as_ref());
        for owner in owners {
            self.add(owner, kind::CONSTANT, "owner");
        }
    }

    pub(super) fn typologies(&mut self) {
        for name in self.folder.study.program.rules.iter().flat_map(|rule| &rule.typologies) {
            self.add(name, kind::CONSTANT, "typology");
        }
    }

    pub(super) fn groups(&mut self) {
        for group in &self.folder.study.program.groups {
            self.add(&group.name, kind::CONSTANT, "score group");
        }
    }

    pub(super) fn queues(&mut self) {
        let plans = self.folder.study.program.plans.iter().flat_map(|plan| &plan.rules);
        let queues = plans.flat_map(|body| &body.actions).filter_map(|action| match action {
            ActionPlan::Alert { queue: Some(queue), .. } => Some(queue),
            _ => None,
        });
        for queue in queues {
            self.add(queue, kind::CONSTANT, "queue");
        }
    }

    pub(super) fn features(&mut self) {
        for item in self.folder.study.files.iter().flat_map(|file| &file.items) {
            if let Item::Feature(feature) = item {
                let words = self.folder.sources.text(feature.expr.span);
                let words: Vec<&str> = words.split_whitespace().collect();
                self.add(&feature.name.text, kind::CONSTANT, &words.join(" "));
            }
        }
    }

    pub(super) fn models(&mut self) {
        for item in self.folder.study.files.iter().flat_map(|file| &file.items) {
            if let Item::Model(model) = item {
                let name = format!("model.{}", model.name.text);
                self.add(&name, kind::CONSTANT, "place of the score among all, 0 to 1");
            }
        }
    }

    pub(super) fn templates(&mut self) {
        for item in self.folder.study.files.iter().flat_map(|file| &file.items) {
            if let Item::Template(template) = item {
                let params = template
                    .params
                    .iter()
                    .map(|(name, kind)| format!("{}: {}", name.text, kind.text));
                let params: Vec<String> = params.collect();
                self.add(&template.name.text, kind::MODULE, &format!("({})", params.join(", ")));
            }
        }
    }

    /// The `let`s of a rule, whose values a test may ask for.
    pub(super) fn lets_of(&mut self, rule: &str) {
        for item in self.folder.study.files.iter().flat_map(|file| &file.items) {
            let Item::Rule(found) = item else { continue };
            if found.name.text != rule {
                continue;
            }
            for clause in &found.clauses {
                if let ClauseKind::Let(name, _) = &clause.kind {
                    self.add(&name.text, kind::VARIABLE, "let");
                }
            }
        }
    }
}
