//! The pages as Markdown. They hold nothing of a clock, so the same rules give the same bytes.

use std::collections::BTreeMap;

use crate::cli::docs::words;
use crate::diag::render::position;
use crate::diag::{Sources, Span};
use crate::engine::EngineOptions;
use crate::event::schema::{EventId, FieldId};
use crate::rules::program::{Mode, Program, RuleId, RuleInfo, SeverityLevel, TableId};
use crate::rules::syntax::ast::{Clause, ClauseKind, Item, Literal, Name, Template, Test};
use crate::rules::{Study, cost, reads};

/// Events of one key that bytes are reckoned with, as `riskweir cost` does.
const EVENTS_PER_KEY: u32 = 16;

/// The pages: file name and text. The first is the index.
pub(super) fn all(study: &Study, sources: &Sources) -> Vec<(String, String)> {
    let book = Book::of(study, sources);
    let mut pages = vec![("README.md".to_owned(), book.index())];
    for (index, info) in (0_u16..).zip(&study.program.rules) {
        pages.push((format!("{}.md", info.name), book.page(RuleId(index), info)));
    }
    pages
}

/// The words of an author about a rule.
struct Written<'s> {
    /// Its own clauses, and those of the template that it is made of.
    clauses: Vec<&'s Clause>,
    /// The whole item.
    span: Span,
    template: Option<&'s Template>,
}

struct Book<'s> {
    study: &'s Study,
    program: &'s Program,
    sources: &'s Sources,
    rules: BTreeMap<&'s str, Written<'s>>,
    tests: BTreeMap<&'s str, Vec<&'s Test>>,
    /// Bytes of a key of each table.
    state: Vec<cost::TableCost>,
    work: Vec<cost::EventCost>,
}

impl<'s> Book<'s> {
    fn of(study: &'s Study, sources: &'s Sources) -> Self {
        let items = || study.files.iter().flat_map(|file| &file.items);
        let mut templates: BTreeMap<&str, &Template> = BTreeMap::new();
        for item in items() {
            if let Item::Template(template) = item {
                templates.insert(&template.name.text, template);
            }
        }
        let mut rules = BTreeMap::new();
        let mut tests: BTreeMap<&str, Vec<&Test>> = BTreeMap::new();
        for item in items() {
            match item {
                Item::Rule(rule) => {
                    let clauses = rule.clauses.iter().collect();
                    let written = Written { clauses, span: rule.span, template: None };
                    rules.insert(rule.name.text.as_str(), written);
                }
                Item::Use(made) => {
                    let template = templates.get(made.template.text.as_str()).copied();
                    let theirs = template.map(|template| template.clauses.as_slice());
                    let clauses = theirs.unwrap_or_default().iter().chain(&made.clauses).collect();
                    let written = Written { clauses, span: made.span, template };
                    rules.insert(made.name.text.as_str(), written);
                }
                Item::Test(test) => tests.entry(&test.rule.text).or_default().push(test),
                _ => {}
            }
        }
        let exact_cap = EngineOptions::default().exact_events_per_key;
        let state = cost::tables(&study.program, EVENTS_PER_KEY, exact_cap);
        let work = cost::events(&study.program);
        Self { study, program: &study.program, sources, rules, tests, state, work }
    }

    fn index(&self) -> String {
        let mut out = "# Rules\n\nWritten by `riskweir docs`.\n\n".to_owned();
        out.push_str("| Rule | Id | What | Owner | Severity | Mode |\n|---|---|---|---|---|---|\n");
        for info in &self.program.rules {
            let title = info.title.as_deref().unwrap_or_default();
            let owner = info.owner.as_deref().unwrap_or("nobody");
            out.push_str(&format!(
                "| [{name}]({name}.md) | `{}` | {} | {owner} | {} | {} |\n",
                info.id,
                cell(title),
                severity(info.severity),
                mode(info.mode),
                name = info.name,
            ));
        }
        out
    }

    fn page(&self, id: RuleId, info: &RuleInfo) -> String {
        let mut out = format!("# {}\n\n", info.name);
        if let Some(title) = &info.title {
            out.push_str(&format!("{title}.\n\n"));
        }
        let Some(written) = self.rules.get(info.name.as_str()) else { return out };
        out.push_str(&self.about(written.template.map_or(written.span, |template| template.span)));
        if written.template.is_some() {
            out.push_str(&self.about(written.span));
        }
        out.push_str(&self.head(info, written));
        out.push_str(&self.catches(written));
        out.push_str(&self.named(written));
        out.push_str(&self.reads(id));
        out.push_str(&self.shows(&info.name));
        out.push_str(&self.text(written));
        out
    }

    /// The comment above an item. A line of a heading, two spaces and text becomes a point.
    fn about(&self, span: Span) -> String {
        let text = self.sources.get(span.file).map_or("", |source| source.text.as_str());
        let before = text.get(..span.start as usize).unwrap_or_default();
        let lines = before.lines().rev().map_while(|line| line.trim().strip_prefix('#'));
        let mut lines: Vec<&str> = lines.map(str::trim).collect();
        lines.reverse();
        let mut out = String::new();
        for line in &lines {
            match line.split_once("  ") {
                Some((head, rest)) => out.push_str(&format!("- **{head}**: {}\n", rest.trim())),
                None => out.push_str(&format!("{line}\n")),
            }
        }
        if !out.is_empty() {
            out.push('\n');
        }
        out
    }

    fn head(&self, info: &RuleInfo, written: &Written<'_>) -> String {
        let mut rows = vec![
            ("Id", format!("`{}`", info.id)),
            ("Owner", info.owner.clone().unwrap_or_else(|| "nobody".to_owned())),
            ("Severity", severity(info.severity).to_owned()),
            ("Mode", mode(info.mode)),
        ];
        let joined = |list: &[String]| list.join(", ");
        let lists = [("Patterns", &info.typologies), ("Sources", &info.refs), ("Tags", &info.tags)];
        for (name, list) in lists {
            if !list.is_empty() {
                rows.push((name, joined(list)));
            }
        }
        for clause in &written.clauses {
            let words = |literal: &Literal| self.sources.text(literal.span).to_owned();
            match &clause.kind {
                ClauseKind::Effective(from, to) => {
                    rows.push(("Since", words(from)));
                    rows.extend(to.as_ref().map(|to| ("Until", words(to))));
                }
                ClauseKind::ReviewBy(day) => rows.push(("Review by", words(day))),
                ClauseKind::Mandatory => {
                    rows.push((
                        "Mandatory",
                        "no `allow` overrides it, nobody snoozes it".to_owned(),
                    ));
                }
                _ => {}
            }
        }
        if let Some(source) = self.sources.get(written.span.file) {
            let line = position(source, written.span.start).line;
            rows.push(("File", format!("`{}`, line {line}", source.path)));
        }
        let rows: Vec<String> =
            rows.iter().map(|(name, value)| format!("| {name} | {} |\n", cell(value))).collect();
        format!("| | |\n|---|---|\n{}\n", rows.concat())
    }

    fn catches(&self, written: &Written<'_>) -> String {
        let mut out = "## What it does\n\n".to_owned();
        let code = |span: Span| format!("```risk\n{}\n```\n\n", self.sources.text(span));
        let mut missing = None;
        for clause in &written.clauses {
            match &clause.kind {
                ClauseKind::On(events, guard) => {
                    let events: Vec<String> =
                        events.iter().map(|Name { text, .. }| format!("`{text}`")).collect();
                    out.push_str(&format!("It is asked on {}", events.join(" and ")));
                    match guard {
                        Some(guard) => out.push_str(&format!(" where\n\n{}", code(guard.span))),
                        None => out.push_str(".\n\n"),
                    }
                }
                ClauseKind::When(expr) => {
                    out.push_str(&format!("It hits when\n\n{}", code(expr.span)));
                }
                ClauseKind::Unless(expr) => {
                    out.push_str(&format!("It does not when\n\n{}", code(expr.span)));
                }
                ClauseKind::IfMissing(what) => missing = Some(*what),
                _ => {}
            }
        }
        out.push_str(words::if_missing(missing));
        out.push_str("\n\nA hit\n\n");
        let then = written.clauses.iter().rev().find_map(|clause| match &clause.kind {
            ClauseKind::Then(actions) => Some(actions),
            _ => None,
        });
        for action in then.into_iter().flatten() {
            out.push_str(&format!("- {}\n", words::action(action)));
        }
        out.push('\n');
        out
    }

    /// Parameters and named values.
    fn named(&self, written: &Written<'_>) -> String {
        let words = |span: Span| {
            let words: Vec<&str> = self.sources.text(span).split_whitespace().collect();
            cell(&words.join(" "))
        };
        let (mut params, mut lets) = (String::new(), String::new());
        for clause in &written.clauses {
            match &clause.kind {
                ClauseKind::Param(param) => {
                    let tune = param.tune.as_ref().map_or_else(String::new, |tune| {
                        let step = tune.step.as_ref();
                        let step = step
                            .map_or_else(String::new, |step| format!(" by {}", words(step.span)));
                        format!("{} to {}{step}", words(tune.from.span), words(tune.to.span))
                    });
                    let (name, value) = (&param.name.text, words(param.value.span));
                    params.push_str(&format!("| `{name}` | {value} | {tune} |\n"));
                }
                ClauseKind::Let(name, expr) => {
                    let ty = self.study.types_at(expr.span).join(", or ");
                    lets.push_str(&format!(
                        "| `{}` | `{}` | {} |\n",
                        name.text,
                        words(expr.span),
                        cell(&ty)
                    ));
                }
                _ => {}
            }
        }
        let mut out = String::new();
        if !params.is_empty() {
            out.push_str(&format!(
                "## Parameters\n\n| Name | Value | May be tuned |\n|---|---|---|\n{params}\n"
            ));
        }
        if !lets.is_empty() {
            out.push_str(&format!("## Values\n\n| Name | Is | Type |\n|---|---|---|\n{lets}\n"));
        }
        out
    }

    /// Fields, windows and what they cost.
    fn reads(&self, id: RuleId) -> String {
        let reads = reads::of(self.program, id);
        let mut out =
            "## What it reads\n\n| Field | Type | May be absent |\n|---|---|---|\n".to_owned();
        for (event, field) in &reads.fields {
            out.push_str(&self.field(*event, *field));
        }
        out.push('\n');
        if !reads.state.is_empty() {
            out.push_str("| Window | State | Kept | Bytes per key |\n|---|---|---|---|\n");
        }
        for (table, at) in &reads.state {
            out.push_str(&self.window(*table, *at));
        }
        if !reads.state.is_empty() {
            out.push_str(&format!(
                "\nBytes are reckoned with {EVENTS_PER_KEY} events of a key and are shared with all rules that read the same state.\n\n"
            ));
        }
        for event in &self.work {
            if let Some((_, units)) = event.rules.iter().find(|(rule, _)| *rule == id) {
                let name = &self.program.schema.event(event.event).name;
                out.push_str(&format!("Work: at most {units} units on `{name}`.\n"));
            }
        }
        out.push('\n');
        out
    }

    fn field(&self, event: EventId, field: FieldId) -> String {
        let ty = cell(&self.study.field_type(event, field));
        let of = self.program.schema.event(event);
        let field = of.field(field);
        let absent = if field.optional { "yes" } else { "" };
        format!("| `{}.{}` | {ty} | {absent} |\n", of.name, field.name)
    }

    fn window(&self, table: TableId, at: usize) -> String {
        let plan = self.program.tables.get(usize::from(table.0));
        let identity = plan.and_then(|plan| plan.identities.get(at));
        let cost = self.state.iter().find(|cost| cost.table == table);
        let Some((identity, cost)) = identity.zip(cost) else { return String::new() };
        format!(
            "| `{}` | `{}` | {} | {} |\n",
            cell(identity),
            cost.name,
            words::time(cost.reach_ms),
            cost.bytes_per_key
        )
    }

    fn shows(&self, rule: &str) -> String {
        let Some(tests) = self.tests.get(rule) else {
            return "## Tests\n\nIt has none.\n\n".to_owned();
        };
        let mut out = "## Tests\n\n".to_owned();
        for test in tests {
            let title = test.title.as_ref().map_or("without a title", |title| title.text.as_str());
            let wants: Vec<&str> =
                test.expect.iter().map(|want| self.sources.text(want.span)).collect();
            out.push_str(&format!("- {title}: `{}`\n", wants.join(", ")));
        }
        out.push('\n');
        out
    }

    fn text(&self, written: &Written<'_>) -> String {
        let spans =
            written.template.map(|template| template.span).into_iter().chain([written.span]);
        let texts: Vec<&str> = spans.map(|span| self.sources.text(span).trim_end()).collect();
        format!("## The rule\n\n```risk\n{}\n```\n", texts.join("\n\n"))
    }
}

/// A text that breaks no table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

fn severity(level: SeverityLevel) -> &'static str {
    match level {
        SeverityLevel::Low => "low",
        SeverityLevel::Medium => "medium",
        SeverityLevel::High => "high",
        SeverityLevel::Critical => "critical",
    }
}

fn mode(mode: Mode) -> String {
    match mode {
        Mode::Draft => "draft: it is not asked".to_owned(),
        Mode::Shadow => "shadow: it only watches".to_owned(),
        Mode::Canary(ppm) => {
            format!("canary: it acts on {} % of its keys", f64::from(ppm) / 10_000.0)
        }
        Mode::Live => "live".to_owned(),
        Mode::Retired => "retired: it is not asked".to_owned(),
    }
}
