//! What stands under the pointer: type, meaning, and what it costs in state and work.

use serde_json::{Value, json};

use crate::diag::{FileId, Span};
use crate::lsp::advice;
use crate::lsp::folder::Folder;
use crate::lsp::names::{Mention, Question, Symbol};
use crate::lsp::server::At;
use crate::models::offline::Scorer;
use crate::rules::cost;
use crate::rules::program::{LearnedSpec, MadeOf, Mode, ModelPlan, TableId};
use crate::rules::syntax::ast::{self, ClauseKind, Item};
use crate::rules::syntax::lexer::lex_range;
use crate::rules::syntax::token::TokenKind;
use crate::rules::{Study, functions};

/// Events of one key that bytes are reckoned with, as `riskweir cost` does without being told.
const EVENTS_PER_KEY: u32 = 16;

/// Most lines of a definition that are shown.
const MAX_LINES: usize = 12;

/// The answer to a hover.
pub(super) fn at(at: &At<'_>) -> Value {
    let (folder, place) = (at.folder, at.span());
    let (span, text) = if let Some(question) = folder.names().question_at(place) {
        (question.word, Some(asked(folder, question)))
    } else if let Some(mention) = folder.names().at(place) {
        (mention.span, named(folder, mention))
    } else if let Some((span, word)) = word_at(folder.text(at.file), place) {
        (
            span,
            function(word).or_else(|| advice::word(word).map(|text| format!("`{word}`: {text}"))),
        )
    } else {
        return Value::Null;
    };
    let Some(text) = text else { return Value::Null };
    json!({ "contents": { "kind": "markdown", "value": text }, "range": at.range(span) })
}

/// The word that a place is in or right behind.
pub(super) fn word_at(text: &str, place: Span) -> Option<(Span, &str)> {
    let is_part = |c: char| c == '_' || c.is_alphanumeric();
    let (before, behind) = text.split_at_checked(place.start as usize)?;
    let start = before.rfind(|c| !is_part(c)).map_or(0, |at| {
        at + before.get(at..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8)
    });
    let length = behind.find(|c| !is_part(c)).unwrap_or(behind.len());
    let end = place.start as usize + length;
    let line = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
    let lexed = lex_range(place.file, text, line..end.max(line));
    let [start, end] = [start, end].map(|at| u32::try_from(at).unwrap_or(u32::MAX));
    // In a text or a comment a word is just a word.
    let is_word = |token: &crate::rules::syntax::token::Token| {
        token.kind == TokenKind::Word && token.span.start == start
    };
    lexed.tokens.iter().find(|token| is_word(token))?;
    let span = Span { file: place.file, start, end };
    Some((span, text.get(start as usize..end as usize)?))
}

fn function(word: &str) -> Option<String> {
    functions()
        .find(|(name, _)| *name == word)
        .map(|(_, example)| format!("```risk\n{example}\n```"))
}

/// An aggregate or a sequence: what it says, its type, its state.
fn asked(folder: &Folder, question: &Question) -> String {
    let word = folder.sources.text(question.word);
    let about = advice::aggregate(word).filter(|_| question.function.is_some());
    let about = about.or_else(|| advice::word(word)).unwrap_or_default();
    let mut text = format!("`{word}`: {about}");
    let study = &folder.study;
    let types = study.types_at(question.span);
    if !types.is_empty() {
        text.push_str(&format!("\n\nIt is {}.", types.join(", or ")));
    }
    let places = question.steps.iter().chain([&question.span]);
    let mut asked: Vec<&str> = places.flat_map(|span| study.state_at(*span)).collect();
    asked.dedup();
    if asked.is_empty() {
        text.push_str("\n\nWhat it costs is known when it has no mistake.");
    }
    let mut tables: Vec<TableId> = Vec::new();
    for identity in asked {
        text.push_str(&format!("\n\n`{identity}`"));
        let table = (0_u16..)
            .zip(&study.program.tables)
            .find(|(_, table)| table.identities.iter().any(|known| known == identity));
        tables.extend(table.map(|(index, _)| TableId(index)));
    }
    tables.sort_unstable();
    tables.dedup();
    for table in tables {
        text.push_str(&state(study, table));
    }
    text
}

/// What a table costs, in words.
fn state(study: &Study, table: TableId) -> String {
    let exact_cap = crate::engine::EngineOptions::default().exact_events_per_key;
    let Some(cost) = cost::table(&study.program, table, EVENTS_PER_KEY, exact_cap) else {
        return String::new();
    };
    let readers = match cost.readers.len() {
        0 => "no rule".to_owned(),
        1 => "1 rule".to_owned(),
        n => format!("{n} rules"),
    };
    let reach = if cost.reach_ms == i64::MAX {
        "for ever".to_owned()
    } else {
        format!("for {}", span_of_time(cost.reach_ms))
    };
    format!(
        "\n\nState `{}`: {} bytes per key with {EVENTS_PER_KEY} events, kept {reach}; read by {readers}, exact up to {exact_cap} events of a key.",
        cost.name, cost.bytes_per_key
    )
}

fn span_of_time(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let fits = units.iter().find(|(size, _)| ms >= *size && ms % size == 0);
    fits.map_or_else(|| format!("{ms}ms"), |(size, unit)| format!("{}{unit}", ms / size))
}

/// Something with a name: how it is declared, its type, what stands in the comment above it.
fn named(folder: &Folder, mention: &Mention) -> Option<String> {
    let symbol = &mention.symbol;
    let definition = folder.names().definitions(symbol).into_iter().next();
    let mut text = match symbol {
        Symbol::Rule(name) => rule(folder, name)?,
        _ => declared(folder, definition?),
    };
    if let Symbol::Field(event, _) = symbol {
        text.push_str(&format!("\n\nA field of event `{event}`."));
    }
    if let Symbol::List(name) = symbol {
        let list = folder.study.program.lists.iter().find(|list| list.name == *name);
        if let Some(list) = list {
            text.push_str(&format!("\n\nIts file gives it {} members.", list.members.len()));
        }
    }
    if let Symbol::Model(name) = symbol {
        let model = folder.study.program.models.iter().find(|model| model.name == *name);
        text.push_str(&model.and_then(learned).unwrap_or_default());
    }
    let value = definition.and_then(|span| value_of(folder, symbol, span));
    let types = value.map(|span| folder.study.types_at(span)).unwrap_or_default();
    let types = if types.is_empty() { folder.study.types_at(mention.span) } else { types };
    if !types.is_empty() {
        text.push_str(&format!("\n\nIt is {}.", types.join(", or ")));
    }
    if let Some(comment) = definition.and_then(|span| comment_above(folder, span)) {
        text.push_str(&format!("\n\n{comment}"));
    }
    Some(text)
}

/// What a learned model's artifact holds.
fn learned(model: &ModelPlan) -> Option<String> {
    let MadeOf::Learned(LearnedSpec { path, artifact: Some(artifact), .. }) = &model.made_of else {
        return None;
    };
    let what = match &artifact.scorer {
        Scorer::Forest(forest) => {
            format!("{} trees with {} nodes", forest.n_trees(), forest.n_nodes())
        }
        Scorer::Logistic(_) => "a logistic regression".to_owned(),
    };
    Some(format!("\n\n`{path}` holds {what}, trained on `{}`.", artifact.event))
}

/// The items of a file.
fn items(folder: &Folder, file: FileId) -> &[Item] {
    let tree = folder.study.files.iter().find(|tree| tree.file == file);
    tree.map_or(&[], |tree| tree.items.as_slice())
}

/// The clauses of an item and its place.
fn clauses(item: &Item) -> (&[ast::Clause], Span) {
    match item {
        Item::Rule(rule) => (&rule.clauses, rule.span),
        Item::Template(template) => (&template.clauses, template.span),
        Item::Use(made) => (&made.clauses, made.span),
        _ => (&[], Span::default()),
    }
}

/// Where the expression of a `let` or a feature stands.
fn value_of(folder: &Folder, symbol: &Symbol, definition: Span) -> Option<Span> {
    for item in items(folder, definition.file) {
        if let (Item::Feature(feature), Symbol::Feature(_)) = (item, symbol)
            && feature.name.span == definition
        {
            return Some(feature.expr.span);
        }
        for clause in clauses(item).0 {
            if let ClauseKind::Let(name, expr) = &clause.kind
                && name.span == definition
            {
                return Some(expr.span);
            }
        }
    }
    None
}

/// The author's words around a definition: the clause, field or item that it belongs to.
fn declared(folder: &Folder, definition: Span) -> String {
    let mut around = definition;
    for item in items(folder, definition.file) {
        let whole = match item {
            Item::Event(event) => {
                let field = event.fields.iter().find(|field| definition.is_within(field.span));
                field.map_or(event.span, |field| field.span)
            }
            Item::Entity(entity) => entity.span,
            Item::List(list) => list.span,
            Item::Feature(feature) => feature.span,
            Item::Model(model) => model.span,
            Item::Rule(_) | Item::Template(_) | Item::Use(_) => {
                let (clauses, span) = clauses(item);
                let clause = clauses.iter().find(|clause| definition.is_within(clause.span));
                clause.map_or(span, |clause| clause.span)
            }
            _ => continue,
        };
        if definition.is_within(whole) {
            around = whole;
        }
    }
    let words = folder.sources.text(around);
    let mut lines: Vec<&str> = words.lines().take(MAX_LINES).map(str::trim_end).collect();
    if words.lines().count() > MAX_LINES {
        lines.push("  ...");
    }
    format!("```risk\n{}\n```", lines.join("\n"))
}

/// Comment lines right above the line of a definition.
fn comment_above(folder: &Folder, definition: Span) -> Option<String> {
    let text = folder.text(definition.file);
    let before = text.get(..definition.start as usize)?;
    let mut lines: Vec<&str> = before.lines().collect();
    if !before.ends_with('\n') {
        lines.pop();
    }
    let comments = lines.iter().rev().map_while(|line| line.trim().strip_prefix('#'));
    let mut comments: Vec<&str> = comments.map(str::trim).collect();
    comments.reverse();
    (!comments.is_empty()).then(|| comments.join("  \n"))
}

/// A rule: who, how far, what it costs.
fn rule(folder: &Folder, name: &str) -> Option<String> {
    let program = &folder.study.program;
    let (index, info) = (0_u16..).zip(&program.rules).find(|(_, info)| info.name == name)?;
    let title = info.title.as_ref().map_or_else(String::new, |title| format!(" \"{title}\""));
    let mut text = format!("```risk\nrule {name}{title}\n```");
    let mode = match info.mode {
        Mode::Draft => "a draft",
        Mode::Shadow => "a shadow: it only watches",
        Mode::Canary(_) => "a canary: it acts on a share",
        Mode::Live => "live",
        Mode::Retired => "retired",
    };
    let owner = info.owner.as_ref().map_or("nobody", String::as_str);
    text.push_str(&format!("\n\n`{}` of `{owner}`, {mode}.", info.id));
    for event in cost::events(program) {
        let own = event.rules.iter().find(|(rule, _)| rule.0 == index);
        if let Some((_, units)) = own {
            let event = &program.schema.event(event.event).name;
            text.push_str(&format!("\n\nOn `{event}`: at most {units} units of work of an event."));
        }
    }
    let n_tests = program.tests.iter().filter(|test| test.rule.0 == index).count();
    text.push_str(&format!("\n\nTests: {n_tests}."));
    for table in tables_of(folder, name) {
        text.push_str(&state(&folder.study, table));
    }
    Some(text)
}

/// The tables that a rule reads.
fn tables_of(folder: &Folder, name: &str) -> Vec<TableId> {
    let program = &folder.study.program;
    let ids = (0_u16..).zip(&program.tables).map(|(index, _)| TableId(index));
    ids.filter(|id| cost::readers(program, *id).iter().any(|reader| reader == name)).collect()
}
