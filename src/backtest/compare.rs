//! Two rule sets beside each other: what an analyst would say has changed, what it changes in state, and in decisions.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::base::{Digest, EntityKey};
use crate::decision::lattice::Outcome;
use crate::diag::{FileId, Sources, Span};
use crate::engine::{Judged, OutputTopic, Sink};
use crate::event::schema::EventId;
use crate::rules::cost;
use crate::rules::program::{Constant, ListSpec, MadeOf, ModelPlan, Program};
use crate::rules::syntax::ast::{Clause, ClauseKind, Item};
use crate::rules::syntax::lexer::lex_range;
use crate::rules::syntax::parse;

/// Most events that are named for each change of outcome, and most members for each change of a list.
const MAX_EXAMPLES: usize = 5;

/// What is different between two rule sets, before any event is read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Rules and other items that only the second has.
    pub added: Vec<String>,
    /// Rules and other items that only the first has.
    pub removed: Vec<String>,
    /// What both have, with what is different.
    pub changed: Vec<Changed>,
    /// Aggregates that begin empty.
    pub state_new: Vec<String>,
    /// Aggregates that are forgotten.
    pub state_dropped: Vec<String>,
    /// Which rules ask for each of them.
    pub state_rules: BTreeMap<String, BTreeSet<String>>,
}

/// An item that both sets have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// `rule card_velocity`, `list blocked_devices`, ...
    pub what: String,
    /// Each difference in words.
    pub how: Vec<String>,
}

/// What two rule sets say in words.
pub fn changes(one: &Program, other: &Program) -> Changes {
    let (before, after) = (items(&one.sources), items(&other.sources));
    let only = |a: &BTreeMap<String, Parts>, b: &BTreeMap<String, Parts>| -> Vec<String> {
        a.keys().filter(|name| !b.contains_key(*name)).cloned().collect()
    };
    let mut files = files(one, other);
    let changed = before.iter().filter_map(|(what, parts)| {
        let mut how = differences(parts, after.get(what)?);
        how.extend(files.remove(what).unwrap_or_default());
        (!how.is_empty()).then(|| Changed { what: what.clone(), how })
    });
    let changed: Vec<Changed> = changed.collect();
    let changed =
        changed.into_iter().chain(files.into_iter().map(|(what, how)| Changed { what, how }));
    let state = |program: &Program| -> BTreeSet<String> {
        let all = program.tables.iter().flat_map(|table| &table.identities);
        all.filter(|identity| !is_kept_beside(identity)).cloned().collect()
    };
    let (held, wanted) = (state(one), state(other));
    let state_new: Vec<String> = wanted.difference(&held).cloned().collect();
    let state_dropped: Vec<String> = held.difference(&wanted).cloned().collect();
    let mut state_rules = cost::asked_by(one);
    for (identity, rules) in cost::asked_by(other) {
        state_rules.entry(identity).or_default().extend(rules);
    }
    state_rules
        .retain(|identity, _| state_new.contains(identity) || state_dropped.contains(identity));
    Changes {
        added: only(&after, &before),
        removed: only(&before, &after),
        changed: changed.collect(),
        state_new,
        state_dropped,
        state_rules,
    }
}

/// Whether an aggregate is kept beside one that an author wrote: the order of arrival of a step, and the amounts that a sum
/// left out.
fn is_kept_beside(identity: &str) -> bool {
    identity.contains(".#arrival)") || identity.contains(" by rates is missing and not ")
}

/// What is different in the files beside the rules: members of lists that both sets have, the table of
/// rates, and the artifacts of models.
fn files(one: &Program, other: &Program) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    for before in &one.lists {
        let Some(after) = other.lists.iter().find(|list| list.name == before.name) else {
            continue;
        };
        let how = members(before, after);
        if !how.is_empty() {
            found.insert(format!("list {}", before.name), how);
        }
    }
    if let (Some(before), Some(after)) = (&one.rates, &other.rates)
        && before.version() != after.version()
    {
        let how = format!("table {} → {}", before.version(), after.version());
        found.insert("rates".to_owned(), vec![how]);
    }
    for before in &one.models {
        let after = other.models.iter().find(|model| model.name == before.name);
        let file = |program: &Program, model: &ModelPlan| {
            let MadeOf::Learned(spec) = &model.made_of else { return None };
            let mut artifacts = program.sources.artifacts.iter();
            let file = artifacts.find(|file| file.path == spec.path)?;
            Some(Digest::of_parts(&[&file.bytes]).short_hex())
        };
        let files = (file(one, before), after.and_then(|after| file(other, after)));
        if let (Some(was), Some(is)) = files
            && was != is
        {
            found.insert(format!("model {}", before.name), vec![format!("artifact {was} → {is}")]);
        }
    }
    found
}

/// The members of a list file that only one of the sets has, and those that end, or give, something else.
fn members(before: &ListSpec, after: &ListSpec) -> Vec<String> {
    let of = |list: &ListSpec| -> BTreeMap<String, (Option<i64>, Option<Constant>)> {
        let given = |value: &str| list.gives.as_ref()?.values.get(value).cloned();
        let members = list.members.iter();
        members.map(|(value, end_ms)| (value.clone(), (*end_ms, given(value)))).collect()
    };
    let (old, new) = (of(before), of(after));
    let only = |a: &BTreeMap<String, _>, b: &BTreeMap<String, _>| -> Vec<String> {
        a.keys().filter(|value| !b.contains_key(*value)).cloned().collect()
    };
    let differ = |part: fn(&(Option<i64>, Option<Constant>)) -> String| -> Vec<String> {
        let both = old.iter().filter_map(|(value, known)| Some((value, known, new.get(value)?)));
        both.filter(|(_, a, b)| part(a) != part(b)).map(|(value, ..)| value.clone()).collect()
    };
    let kinds = [
        ("with", only(&new, &old)),
        ("without", only(&old, &new)),
        ("another end for", differ(|(end_ms, _)| format!("{end_ms:?}"))),
        ("another value for", differ(|(_, given)| format!("{given:?}"))),
    ];
    let told = kinds.into_iter().filter(|(_, values)| !values.is_empty());
    told.map(|(word, values)| {
        let shown = values.iter().take(MAX_EXAMPLES).cloned().collect::<Vec<_>>().join(", ");
        let more = values.len().saturating_sub(MAX_EXAMPLES);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("file {word} {shown}{more}")
    })
    .collect()
}

/// The words of each clause of an item, by the name of the clause.
type Parts = BTreeMap<String, Said>;

/// A stretch of a rule file.
#[derive(Clone, Debug, Default)]
struct Said {
    /// Its tokens as written, without comments.
    words: Vec<String>,
    /// All of it on one line.
    shown: String,
}

impl Said {
    fn add(&mut self, sources: &Sources, span: Span) {
        let words = words(sources, span);
        let written = sources.text(span);
        let shown = if written.contains('#') {
            words.join(" ")
        } else {
            written.split_whitespace().collect::<Vec<&str>>().join(" ")
        };
        self.shown.push_str(if self.shown.is_empty() { "" } else { "  " });
        self.shown.push_str(&shown);
        self.words.extend(words);
    }
}

/// Everything but tests: those change nothing.
fn items(sources: &Sources) -> BTreeMap<String, Parts> {
    let mut found = BTreeMap::new();
    for (index, source) in (0_u32..).zip(&sources.files) {
        if source.path.rsplit_once('.').is_none_or(|(_, kind)| kind != "risk") {
            continue;
        }
        for item in parse(FileId(index), &source.text).0.items {
            let (name, parts) = match &item {
                Item::Test(_) => continue,
                Item::Rule(rule) => {
                    (format!("rule {}", rule.name.text), clauses(sources, &rule.clauses))
                }
                Item::Template(template) => {
                    (format!("template {}", template.name.text), whole(sources, template.span))
                }
                Item::Use(used) => (format!("use {}", used.name.text), whole(sources, used.span)),
                Item::Event(event) => {
                    (format!("event {}", event.name.text), whole(sources, event.span))
                }
                Item::Entity(entity) => {
                    (format!("entity {}", entity.name.text), whole(sources, entity.span))
                }
                Item::List(list) => (format!("list {}", list.name.text), whole(sources, list.span)),
                Item::Feature(feature) => {
                    (format!("feature {}", feature.name.text), whole(sources, feature.span))
                }
                Item::Model(model) => {
                    (format!("model {}", model.name.text), whole(sources, model.span))
                }
                Item::Policy(policy) => {
                    (format!("policy {}", policy.name.text), whole(sources, policy.span))
                }
                Item::Snooze(snooze) => {
                    let words = words(sources, snooze.span);
                    (words.join(" "), whole(sources, snooze.span))
                }
            };
            found.insert(name, parts);
        }
    }
    found
}

fn whole(sources: &Sources, span: Span) -> Parts {
    let mut said = Said::default();
    said.add(sources, span);
    BTreeMap::from([(String::new(), said)])
}

fn clauses(sources: &Sources, clauses: &[Clause]) -> Parts {
    let mut parts = Parts::new();
    for clause in clauses {
        let name = match &clause.kind {
            ClauseKind::Param(param) => format!("param {}", param.name.text),
            ClauseKind::Let(name, _) => format!("let {}", name.text),
            _ => words(sources, clause.span).into_iter().next().unwrap_or_default(),
        };
        parts.entry(name).or_default().add(sources, clause.span);
    }
    parts
}

/// The tokens of a stretch as written, without comments.
fn words(sources: &Sources, span: Span) -> Vec<String> {
    let Some(source) = sources.get(span.file) else { return Vec::new() };
    let range = span.start as usize..span.end as usize;
    let tokens = lex_range(span.file, &source.text, range).tokens;
    let texts = tokens.iter().map(|token| {
        let words: Vec<&str> = sources.text(token.span).split_whitespace().collect();
        words.join(" ")
    });
    texts.filter(|text| !text.is_empty()).collect()
}

fn differences(before: &Parts, after: &Parts) -> Vec<String> {
    let mut how = Vec::new();
    for (name, said) in before {
        match after.get(name) {
            None => how.push(format!("without `{}`", said.shown)),
            Some(new) if new.words == said.words => {}
            Some(new) => how.extend(reworded(name, said, new)),
        }
    }
    for (name, said) in after {
        if !before.contains_key(name) {
            how.push(format!("with `{}`", said.shown));
        }
    }
    how
}

/// A clause that says something else: the words that are different, when they stand at the same places.
fn reworded(name: &str, one: &Said, other: &Said) -> Vec<String> {
    let (before, after) = (&one.words, &other.words);
    let differ = || before.iter().zip(after).enumerate().filter(|(_, (a, b))| a != b);
    if before.len() != after.len() || differ().count() > 3 {
        return vec![format!("`{}` → `{}`", one.shown, other.shown)];
    }
    let place = |at: usize| {
        let word = at.checked_sub(1).and_then(|at| before.get(at)).map_or("", String::as_str);
        match word {
            "last" | "prior" => format!("window in {name}").trim_end_matches(" in ").to_owned(),
            ">" | ">=" | "<" | "<=" => {
                format!("threshold in {name}").trim_end_matches(" in ").to_owned()
            }
            _ => name.to_owned(),
        }
    };
    differ()
        .map(|(at, (a, b))| format!("{} {a} → {b}", place(at)).trim_start().to_owned())
        .collect()
}

/// What one rule set decided on a history.
#[derive(Debug)]
pub struct Decided {
    /// Names of the event types, by their ids.
    types: Vec<String>,
    /// By the event, in order of the history beside it.
    by_event: HashMap<EntityKey, (Outcome, u32)>,
    order: Vec<(EventId, String, u32)>,
    /// Alerts by the name of the rule, `policy` for those of score bands.
    alerts: BTreeMap<String, u64>,
}

/// The part of an alert's record that is counted.
#[derive(Deserialize)]
struct Alert {
    name: String,
}

impl Decided {
    /// Nothing decided yet.
    pub fn new(program: &Program) -> Self {
        let types = program.schema.events.iter().map(|event| event.name.clone()).collect();
        Self { types, by_event: HashMap::new(), order: Vec::new(), alerts: BTreeMap::new() }
    }

    fn type_name(&self, event: EventId) -> &str {
        self.types.get(usize::from(event.0)).map_or("", String::as_str)
    }

    /// Two rule sets may number their event types differently, so the name is what counts. An id may have been used again
    /// for another event: each of them is known by how many came before it.
    fn key(&self, event: EventId, id: &str, n_before: u32) -> EntityKey {
        let name = self.type_name(event);
        EntityKey::of_text(format!("{name}\u{0}{id}\u{0}{n_before}").as_bytes())
    }

    /// The ids that events of several types have.
    fn shared_ids(&self) -> HashSet<&str> {
        let mut first: HashMap<&str, EventId> = HashMap::new();
        let order = self.order.iter();
        order
            .filter(|(event, id, _)| *first.entry(id).or_insert(*event) != *event)
            .map(|(_, id, _)| id.as_str())
            .collect()
    }
}

impl Sink for Decided {
    fn emit(&mut self, topic: OutputTopic, _: &[u8], record: &[u8]) {
        if topic == OutputTopic::Alerts
            && let Ok(Alert { name }) = serde_json::from_slice(record)
        {
            *self.alerts.entry(name).or_default() += 1;
        }
    }

    fn watches(&self) -> bool {
        true
    }

    fn judged(&mut self, judged: &Judged<'_>) {
        let mut n_before = 0;
        let mut key = self.key(judged.event, judged.id, n_before);
        while self.by_event.contains_key(&key) {
            n_before += 1;
            key = self.key(judged.event, judged.id, n_before);
        }
        self.by_event.insert(key, (judged.outcome, judged.n_alerts));
        self.order.push((judged.event, judged.id.to_owned(), n_before));
    }
}

/// Events whose outcome went from one to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// Outcome by the first set.
    pub from: &'static str,
    /// Outcome by the second.
    pub to: &'static str,
    /// How many.
    pub events: u64,
    /// Ids of the first of them, with the type where several have that id; none where nothing moved.
    pub examples: Vec<String>,
}

/// How the decisions of two sets differ.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecisionChanges {
    /// Per pair of outcomes.
    pub outcomes: Vec<Moved>,
    /// Alerts by the first and by the second set.
    pub alerts: (u64, u64),
    /// Alerts of each rule with other numbers of them, by the first and by the second set; `policy` is a score band.
    pub alerts_by_rule: BTreeMap<String, (u64, u64)>,
    /// Events that only one of the sets could decide.
    pub only_one: u64,
}

/// Compares what two rule sets decided on the same history.
pub fn decisions(one: &Decided, other: &Decided) -> DecisionChanges {
    let mut pairs: BTreeMap<(Outcome, Outcome), (u64, Vec<String>)> = BTreeMap::new();
    let mut out = DecisionChanges::default();
    let shared = one.shared_ids();
    for (event, id, n_before) in &one.order {
        let key = one.key(*event, id, *n_before);
        let Some((before, alerts)) = one.by_event.get(&key) else { continue };
        out.alerts.0 += u64::from(*alerts);
        let Some((after, _)) = other.by_event.get(&key) else {
            out.only_one += 1;
            continue;
        };
        let (events, examples) = pairs.entry((*before, *after)).or_default();
        *events += 1;
        if before != after && examples.len() < MAX_EXAMPLES {
            let is_shared = shared.contains(id.as_str());
            let place =
                if is_shared { format!(" ({})", one.type_name(*event)) } else { String::new() };
            examples.push(format!("{id}{place}"));
        }
    }
    for (event, id, n_before) in &other.order {
        let key = other.key(*event, id, *n_before);
        out.alerts.1 += other.by_event.get(&key).map_or(0, |(_, alerts)| u64::from(*alerts));
        out.only_one += u64::from(!one.by_event.contains_key(&key));
    }
    let moved = pairs.into_iter().map(|((from, to), (events, examples))| Moved {
        from: from.as_str(),
        to: to.as_str(),
        events,
        examples,
    });
    out.outcomes = moved.collect();
    for rule in one.alerts.keys().chain(other.alerts.keys()) {
        let of = |set: &Decided| set.alerts.get(rule).copied().unwrap_or(0);
        if of(one) != of(other) {
            out.alerts_by_rule.insert(rule.clone(), (of(one), of(other)));
        }
    }
    out
}
