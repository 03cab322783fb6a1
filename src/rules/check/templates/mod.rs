//! `template` and `use`: every `use` becomes a rule, as if somebody had written it out.
//!
//! The tree is expanded before anything is named or typed, so what follows knows rules only, and a rule that a `use`
//! made shares state with one written by hand. A template holds clauses and no `use`: it cannot contain itself.
//!
//! Start at [`expand`]; [`fill`] writes the arguments into the clauses, [`merge`] joins the clauses of the two.

mod fill;
mod kinds;
mod merge;

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Sources, Span, codes, suggest};
use crate::rules::check::refusal::did_you_mean;
use crate::rules::check::schema::{dotted, twice};
use crate::rules::check::templates::kinds::ParamKind;
use crate::rules::program::Filled;
use crate::rules::syntax::ast::{
    Argument, ClauseKind, Expr, Item, Literal, Made, Name, Rule, Template, Use,
};
use crate::rules::syntax::lexer;
use crate::rules::syntax::token::TokenKind;

pub(super) use fill::expression as fill_expression;

/// A template whose parameters have kinds.
#[derive(Debug)]
struct Known<'i> {
    item: &'i Template,
    /// Per parameter; `None` where the kind is unknown, which is reported.
    kinds: Vec<Option<ParamKind>>,
}

/// The rules that the `use` items make. One that does not fit its template is reported and makes none.
///
/// # Cost
/// A copy of the template's clauses per `use`.
pub(super) fn expand(
    items: &[&Item],
    sources: &Sources,
    report: &mut Vec<Diagnostic>,
) -> Vec<Item> {
    let mut templates: BTreeMap<&str, Known<'_>> = BTreeMap::new();
    for item in items {
        let Item::Template(template) = item else { continue };
        if let Some(first) = templates.get(template.name.text.as_str()) {
            report.push(twice("template", &template.name, Some(first.item.name.span)));
            continue;
        }
        let kinds = declared(template, sources, report);
        templates.insert(&template.name.text, Known { item: template, kinds });
    }
    let uses = items.iter().filter_map(|item| match item {
        Item::Use(made) => Some(made),
        _ => None,
    });
    uses.filter_map(|made| made_rule(made, &templates, report)).map(Item::Rule).collect()
}

/// Checks a template by itself, and gives the kinds of its parameters.
fn declared(
    template: &Template,
    sources: &Sources,
    report: &mut Vec<Diagnostic>,
) -> Vec<Option<ParamKind>> {
    for clause in &template.clauses {
        if let ClauseKind::Id(id) = &clause.kind {
            let message = format!("template `{}` has an id", template.name.text);
            report.push(Diagnostic::new(codes::E0519, id.span, message).with_help(
                "an id belongs to one rule: give it in each `use`, after the name of the rule",
            ));
        }
    }
    let mut seen: BTreeMap<&str, &Name> = BTreeMap::new();
    let mut kinds = Vec::new();
    for (name, kind) in &template.params {
        match seen.get(name.text.as_str()) {
            Some(first) => report.push(twice("parameter", name, Some(first.span))),
            None => {
                seen.insert(&name.text, name);
            }
        }
        let known = ParamKind::named(&kind.text);
        if known.is_none() {
            let words = ParamKind::ALL.map(ParamKind::word);
            let message = format!("`{}` is not a kind of parameter", kind.text);
            report.push(did_you_mean(
                Diagnostic::new(codes::E0105, kind.span, message).with_label("unknown"),
                suggest::nearest(&kind.text, words),
                &format!("a parameter is one of {}", words.join(", ")),
            ));
        }
        kinds.push(known);
        if !is_used(template, name, sources) {
            let message = format!(
                "parameter `{}` of template `{}` is not used",
                name.text, template.name.text
            );
            report.push(
                Diagnostic::new(codes::W0102, name.span, message)
                    .with_help("use it in a clause, or take it out here and in every `use`"),
            );
        }
    }
    kinds
}

/// Whether a parameter's word stands in the template beside its declaration, comments aside.
fn is_used(template: &Template, name: &Name, sources: &Sources) -> bool {
    let Some(source) = sources.get(template.span.file) else { return true };
    let Some((first, last)) = template.clauses.first().zip(template.clauses.last()) else {
        return false;
    };
    let range = first.span.start as usize..last.span.end as usize;
    let lexed = lexer::lex_range(template.span.file, &source.text, range);
    lexed.tokens.iter().any(|token| match &token.kind {
        TokenKind::Word => sources.text(token.span) == name.text,
        TokenKind::Text(text) => {
            let is_part = |c: char| c.is_alphanumeric() || c == '_';
            let braces = text.split('{').skip(1).filter_map(|rest| rest.split('}').next());
            braces.flat_map(|inner| inner.split(|c| !is_part(c))).any(|word| word == name.text)
        }
        _ => false,
    })
}

fn made_rule(
    made: &Use,
    templates: &BTreeMap<&str, Known<'_>>,
    report: &mut Vec<Diagnostic>,
) -> Option<Rule> {
    let Some(known) = templates.get(made.template.text.as_str()) else {
        let message = format!("there is no template `{}`", made.template.text);
        report.push(did_you_mean(
            Diagnostic::new(codes::E0110, made.template.span, message).with_label("unknown"),
            suggest::nearest(&made.template.text, templates.keys().copied()),
            "declare it: `template NAME(n: integer) on ... when ... then ...`",
        ));
        return None;
    };
    let arguments = arguments(made, known, report)?;
    let mut clauses = known.item.clauses.clone();
    for clause in &mut clauses {
        fill::clause(&mut clause.kind, &arguments);
    }
    let mut clauses = merge::clauses(clauses, made, known.item, report);
    clauses.extend(fill::params(&arguments, known.item.span));
    Some(Rule {
        name: made.name.clone(),
        title: made.title.clone(),
        clauses,
        span: made.span,
        made: Some(Box::new(Made {
            template: known.item.span,
            name: known.item.name.span,
            arguments,
        })),
    })
}

/// What stands for each parameter; nothing when the arguments do not fit.
fn arguments(
    made: &Use,
    known: &Known<'_>,
    report: &mut Vec<Diagnostic>,
) -> Option<Vec<(String, Argument)>> {
    let (template, params) = (known.item, &known.item.params);
    if made.args.len() != params.len() {
        let plural = if params.len() == 1 { "argument" } else { "arguments" };
        let message = format!(
            "template `{}` takes {} {plural}, {} given",
            template.name.text,
            params.len(),
            match made.args.len() {
                1 => "1 is".to_owned(),
                n => format!("{n} are"),
            }
        );
        let shape: Vec<String> =
            params.iter().map(|(name, kind)| format!("{}: {}", name.text, kind.text)).collect();
        report.push(
            Diagnostic::new(codes::E0111, made.template.span, message)
                .with_related(template.name.span, "declared here")
                .with_help(format!("it is `{}({})`", template.name.text, shape.join(", "))),
        );
        return None;
    }
    let mut list = Vec::new();
    let mut complete = true;
    for (((name, _), kind), arg) in params.iter().zip(&known.kinds).zip(&made.args) {
        match kind.map(|kind| (kind, kind.argument(arg))) {
            Some((_, Some(argument))) => list.push((name.text.clone(), argument)),
            Some((kind, None)) => {
                report.push(wrong_kind(name, kind, arg));
                complete = false;
            }
            None => complete = false,
        }
    }
    complete.then_some(list)
}

fn wrong_kind(name: &Name, kind: ParamKind, arg: &Expr) -> Diagnostic {
    let message = format!("`{}` is {}", name.text, kind.described());
    Diagnostic::new(codes::E0111, arg.span, message)
        .with_label("this is not")
        .with_related(name.span, "the parameter")
        .with_help(format!("write {}", kind.example()))
}

/// What was said of templates: where, the code, the message.
pub(super) type Said = BTreeSet<(Span, &'static str, String)>;

/// Says of what was found in a rule that a `use` made where the other half stands, and says what all rules of one
/// template have in common once.
pub(super) fn place(rule: &Rule, found: Vec<Diagnostic>, said: &mut Said) -> Vec<Diagnostic> {
    let Some(made) = &rule.made else { return found };
    let placed = found.into_iter().filter_map(|found| {
        if found.span.is_within(made.template) {
            let key = (found.span, found.code.0, found.message.clone());
            let text = format!("in rule `{}`, made here", rule.name.text);
            return said.insert(key).then(|| found.with_related(rule.name.span, text));
        }
        let alone = found.span.is_within(rule.span) && found.related.is_empty();
        Some(if alone { found.with_related(made.name, "of this template") } else { found })
    });
    placed.collect()
}

/// What the explanation of a rule that a `use` made needs: the words for which others stand.
pub(super) fn filled(rule: &Rule, sources: &Sources) -> Option<Filled> {
    let made = rule.made.as_ref()?;
    let text = |argument: &Argument| match argument {
        Argument::Name(path) => dotted(path),
        Argument::Value(Literal { span, .. }) => sources.text(*span).to_owned(),
    };
    let words = made.arguments.iter().map(|(name, argument)| (name.clone(), text(argument)));
    Some(Filled { template: made.template, words: words.collect() })
}
