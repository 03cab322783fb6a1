//! Another name for a rule, a feature, a template or a name inside of one, with all state kept.
//!
//! State is known by the meaning of aggregates, and that names events, fields and lists, never rules, features and
//! `let`s. So the latter can be renamed and the former cannot: their state would begin empty. This is not taken on
//! trust: the renamed rules are compiled, and their state must have the same identities as before.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::diag::{Sources, Span};
use crate::lsp::names::{Mention, Symbol};
use crate::lsp::server::{At, Refusal, invalid};
use crate::lsp::wire::ErrorCode;
use crate::rules::compile;
use crate::rules::program::Program;
use crate::rules::syntax::words;

/// Longest new name, in characters.
const MAX_NAME_CHARS: usize = 64;

/// What would be renamed, or why it cannot be.
pub(super) fn prepare(at: &At<'_>) -> Result<Value, Refusal> {
    let mention = renamable(at)?;
    Ok(json!({ "range": at.range(mention.span), "placeholder": mention.symbol.name() }))
}

/// The edits that rename what is named at a place.
pub(super) fn to(at: &At<'_>, name: &str) -> Result<Value, Refusal> {
    let mention = renamable(at)?;
    let first_is_letter = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !first_is_letter || !name.chars().all(fits) || name.len() > MAX_NAME_CHARS {
        return Err(invalid(
            "a name is made of the letters a to z, digits and `_`, begins with a letter, and has at most 64 of them",
        ));
    }
    if words::is_reserved(name) {
        return Err(invalid(&format!("`{name}` is a word of the language")));
    }
    let folder = at.folder;
    let places: Vec<Span> =
        folder.names().mentions_of(&mention.symbol).map(|mention| mention.span).collect();
    let mut renamed = folder.sources.clone();
    for span in places.iter().rev() {
        let Ok(file) = usize::try_from(span.file.0) else { continue };
        if let Some(source) = renamed.files.get_mut(file) {
            source.text.replace_range(span.start as usize..span.end as usize, name);
        }
    }
    keeps_state(&folder.study.program, &renamed)?;
    let edit =
        |span: &Span| folder.name_of(*span).map(|file| (file.to_owned(), *span, name.to_owned()));
    let edits: Vec<(String, Span, String)> = places.iter().filter_map(edit).collect();
    Ok(at.server.edit(folder, &edits))
}

/// What is named at a place, if its name holds no state and the rules compile.
fn renamable<'s>(at: &At<'s>) -> Result<&'s Mention, Refusal> {
    let refuse = |why: &str| Err((ErrorCode::RequestFailed, why.to_owned()));
    let Some(mention) = at.folder.names().at(at.span()) else {
        return refuse("nothing with a name of yours stands here");
    };
    let what = match &mention.symbol {
        Symbol::Rule(_)
        | Symbol::Feature(_)
        | Symbol::Model(_)
        | Symbol::Template(_)
        | Symbol::Local(..) => None,
        Symbol::Event(_) => Some("an event: its windows are known by its name"),
        Symbol::Field(..) => Some("a field: windows over it or by it are known by its name"),
        Symbol::List(_) => Some("a list: what rules put on it is known by its name"),
        Symbol::Entity(_) => Some("an entity: it names the same thing in several events"),
    };
    if let Some(what) = what {
        return refuse(&format!("this is {what}. Under another name the state would begin empty"));
    }
    if !at.folder.study.compiles {
        return refuse(
            "mend the errors in this rule folder first, so that no use of the name is missed",
        );
    }
    Ok(mention)
}

/// Whether the renamed rules compile and ask the same state.
fn keeps_state(before: &Program, renamed: &Sources) -> Result<(), Refusal> {
    let (after, found) = compile(renamed);
    let Some(after) = after else {
        let why = found.first().map_or("", |found| found.message.as_str());
        return Err((
            ErrorCode::RequestFailed,
            format!("with this name the rules would not compile: {why}"),
        ));
    };
    if state_of(before) != state_of(&after) || ids_of(before) != ids_of(&after) {
        return Err((
            ErrorCode::RequestFailed,
            "with this name state would begin empty".to_owned(),
        ));
    }
    Ok(())
}

/// Everything by which state is known.
fn state_of(program: &Program) -> BTreeSet<String> {
    let tables = program.tables.iter().flat_map(|table| {
        let own = [&table.identities, &table.column_texts, &table.filter_texts];
        let texts = own.into_iter().flatten();
        texts.map(|text| format!("{}: {text}", table.name)).collect::<Vec<_>>()
    });
    tables.chain(program.lists.iter().map(|list| list.name.clone())).collect()
}

/// The ids of rules that act, by which alerts are thinned and canaries picked. Others have their name for one.
fn ids_of(program: &Program) -> BTreeSet<&str> {
    let acting = program.rules.iter().filter(|rule| rule.mode.acts());
    acting.map(|rule| rule.id.as_str()).collect()
}
