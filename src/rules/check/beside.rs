//! Two versions of rules in one program, so that they can be asked about the same event: the new rule set, and beside it
//! the rules of the old one that read otherwise, under other names.
//!
//! The old versions stand among the events, lists, rates and policy of the new set. Templates and features that changed
//! come with them. Of the clauses only those are kept that say which events a rule hits.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{FileId, Source, Sources, Span};
use crate::rules::check::learned::Artifacts;
use crate::rules::check::trees::Trees;
use crate::rules::check::{check, failed, is_rule_file, templates};
use crate::rules::program::{Program, RuleId};
use crate::rules::syntax::ast::{Action, ActionKind, Clause, ClauseKind, Item, Mode, Name, Rule};
use crate::rules::syntax::lexer::lex;
use crate::rules::syntax::parse;
use crate::rules::syntax::token::TokenKind;

/// Behind the name of the old version of a rule. No author can write such a name.
const BEFORE: &str = " before";

/// Most old versions that are tried one by one when they cannot be compiled together.
const MAX_ALONE: usize = 200;

/// The new rule set with old versions of its rules.
#[derive(Clone, Debug)]
pub struct Beside {
    /// It decides nothing: its old versions only watch.
    pub program: Program,
    /// The old version and the new one of each rule that reads otherwise.
    pub rules: Vec<(RuleId, RuleId)>,
    /// Rules whose old version has no meaning in the new set.
    pub refused: Vec<String>,
}

/// Puts the rules of one set that read otherwise in another one beside those. `None`: one of the sets does not compile.
///
/// # Cost
/// A compilation, and one per rule that reads otherwise where an old one has no meaning any more.
pub fn beside(before: &Sources, after: &Sources) -> Option<Beside> {
    let new = trees(after)?;
    let renamed = changed_features(before, after)?;
    let mut sources = after.clone();
    let first = u32::try_from(sources.files.len()).ok()?;
    for file in before.files.iter().filter(|file| is_rule_file(&file.path)) {
        let path = format!("~before/{}", file.path);
        sources.files.push(Source { path, text: rewritten(&file.text, &renamed) });
    }
    let mut old = Vec::new();
    for (index, file) in (0_u32..).zip(&sources.files).filter(|(index, _)| *index >= first) {
        old.extend(parse(FileId(index), &file.text).0.items);
    }
    let (rules, features) = versions(&sources, (&new, &old), &renamed);
    let compiled = |rules: &[&Rule]| {
        let added = rules.iter().map(|rule| Item::Rule((*rule).clone()));
        let added: Vec<Item> = added.chain(features.iter().cloned()).collect();
        let items: Vec<&Item> = new.iter().chain(&added).collect();
        let mut report = Vec::new();
        let program = check(&items, (&sources, Artifacts::Required), &mut report, None);
        (!failed(&report)).then_some(program)
    };
    let mut good: Vec<&Rule> = rules.iter().collect();
    let program = compiled(&good).or_else(|| {
        good = rules.iter().take(MAX_ALONE).filter(|rule| compiled(&[*rule]).is_some()).collect();
        compiled(&good)
    })?;
    let place = |name: &str| {
        let index = program.rules.iter().position(|info| info.name == name)?;
        u16::try_from(index).ok().map(RuleId)
    };
    let name_of = |rule: &Rule| rule.name.text.strip_suffix(BEFORE).unwrap_or_default().to_owned();
    let pairs =
        good.iter().filter_map(|rule| Some((place(&rule.name.text)?, place(&name_of(rule))?)));
    let is_good = |rule: &&Rule| good.iter().any(|good| good.name.text == rule.name.text);
    let refused = rules.iter().filter(|rule| !is_good(rule)).map(name_of).collect();
    Some(Beside { rules: pairs.collect(), refused, program })
}

/// All items of a rule set that can be read.
fn trees(sources: &Sources) -> Option<Vec<Item>> {
    let mut report = Vec::new();
    let files = Trees::default().read(sources, &mut report);
    (!failed(&report)).then(|| files.iter().flat_map(|file| file.items.clone()).collect())
}

/// The old versions of rules that read otherwise, and the features that they need.
fn versions(
    sources: &Sources,
    (new, old): (&[Item], &[Item]),
    renamed: &BTreeMap<String, String>,
) -> (Vec<Rule>, Vec<Item>) {
    let all = |items: &[Item]| -> BTreeMap<String, Rule> {
        let items: Vec<&Item> = items.iter().collect();
        let made = templates::expand(&items, sources, &mut Vec::new());
        let rules = items.into_iter().chain(&made).filter_map(|item| match item {
            Item::Rule(rule) => Some((rule.name.text.clone(), rule.clone())),
            _ => None,
        });
        rules.collect()
    };
    let (new, known) = (all(new), all(old));
    let rules = known.into_iter().filter_map(|(name, rule)| {
        let other = new.get(&name)?;
        (said(sources, &rule) != said(sources, other)).then(|| watching(rule))
    });
    let features = old.iter().filter(|item| match item {
        Item::Feature(feature) => renamed.values().any(|name| *name == feature.name.text),
        _ => false,
    });
    (rules.collect(), features.cloned().collect())
}

/// The words of a rule, and of the template of which it was made.
fn said(sources: &Sources, rule: &Rule) -> Vec<String> {
    let template = rule.made.as_ref().map(|made| made.template);
    let spans = [Some(rule.span), template].into_iter().flatten();
    spans
        .flat_map(|span| words(sources.text(span)).map(str::to_owned).collect::<Vec<_>>())
        .collect()
}

/// An old version as a rule that watches, with what says which events it hits.
fn watching(mut rule: Rule) -> Rule {
    rule.name.text.push_str(BEFORE);
    rule.clauses.retain(|clause| {
        matches!(
            clause.kind,
            ClauseKind::On(..)
                | ClauseKind::Param(_)
                | ClauseKind::Let(..)
                | ClauseKind::When(_)
                | ClauseKind::Unless(_)
                | ClauseKind::IfMissing(_)
                | ClauseKind::Effective(..)
        )
    });
    let span = rule.span;
    let tag = Name { text: "before".to_owned(), span };
    let actions = vec![Action { kind: ActionKind::Tag(tag), span }];
    for kind in [ClauseKind::Mode(Mode::Shadow), ClauseKind::Then(actions)] {
        rule.clauses.push(Clause { kind, span });
    }
    rule
}

/// The features of the old set that mean something else in the new one, or nothing, each with another name.
fn changed_features(before: &Sources, after: &Sources) -> Option<BTreeMap<String, String>> {
    let of = |sources: &Sources| -> Option<BTreeMap<String, Vec<String>>> {
        let features = trees(sources)?.into_iter().filter_map(|item| match item {
            Item::Feature(feature) => {
                let said = words(sources.text(feature.span)).map(str::to_owned).collect();
                Some((feature.name.text, said))
            }
            _ => None,
        });
        Some(features.collect())
    };
    let (old, new) = (of(before)?, of(after)?);
    let mut changed: BTreeSet<&String> = old
        .iter()
        .filter(|(name, said)| new.get(*name) != Some(*said))
        .map(|(name, _)| name)
        .collect();
    // What names one that changed has changed itself.
    loop {
        let names_one = |said: &Vec<String>| said.iter().any(|word| changed.contains(word));
        let further: Vec<&String> = old
            .iter()
            .filter(|(name, said)| !changed.contains(name) && names_one(said))
            .map(|(name, _)| name)
            .collect();
        if further.is_empty() {
            break;
        }
        changed.extend(further);
    }
    let renamed = changed.into_iter().map(|name| {
        let mut other = format!("{name}_before");
        while new.contains_key(&other) || old.contains_key(&other) {
            other.push('_');
        }
        (name.clone(), other)
    });
    Some(renamed.collect())
}

/// The text with other words for some words.
fn rewritten(text: &str, renamed: &BTreeMap<String, String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut from = 0;
    for token in lex(FileId(0), text).tokens {
        let range = range(token.span);
        let word = text.get(range.clone()).filter(|_| token.kind == TokenKind::Word);
        if let Some(other) = word.and_then(|word| renamed.get(word)) {
            out.push_str(text.get(from..range.start).unwrap_or_default());
            out.push_str(other);
            from = range.end;
        }
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out
}

/// The tokens of a text, without comments.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let tokens = lex(FileId(0), text).tokens.into_iter();
    let words = tokens.filter_map(|token| text.get(range(token.span)));
    words.map(str::trim).filter(|word| !word.is_empty())
}

fn range(span: Span) -> core::ops::Range<usize> {
    span.start as usize..span.end as usize
}
