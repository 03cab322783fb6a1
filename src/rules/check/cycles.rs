//! Features that are defined by their own past: `odd` looks at earlier events `where not odd`.
//!
//! In the `where` of an aggregate or a step such a feature stands for what it was when that event was judged. It is not
//! written out there, which would never end, but named, and its node is looked up when everything has been read. Its
//! identity is its name with a digest of all words that it is made of, so that another definition is another state.
//!
//! INVARIANT: an event never counts for what it is asked itself: see [`Scope::in_cycle`](super::checker::Scope).

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Digest;
use crate::diag::{Diagnostic, Sources, Span, codes};
use crate::event::schema::EventId;
use crate::rules::check::arena::{Arena, Ir, operands};
use crate::rules::check::checker::{Build, Checker, FeatureState, Scope};
use crate::rules::check::functions::walk_through;
use crate::rules::program::{NodeId, Type};
use crate::rules::syntax::ast::{ExprKind, Feature};
use crate::rules::syntax::lexer::lex;

/// Bytes of the digest that an identity shows, in hexadecimal digits.
const DIGEST_DIGITS: usize = 12;

/// The features that are defined by themselves, with their identities.
pub(super) fn find<'i>(
    features: &BTreeMap<&'i str, &'i Feature>,
    sources: &Sources,
) -> BTreeMap<&'i str, String> {
    let used = features.iter().map(|(name, feature)| (*name, named(feature, features)));
    let used: BTreeMap<&str, BTreeSet<&str>> = used.collect();
    let mut found = BTreeMap::new();
    for name in features.keys() {
        let reached = reach(name, &used);
        if reached.contains(name) {
            found.insert(*name, identity(name, &reached, features, sources));
        }
    }
    found
}

/// The features that one names, also in conditions on other events.
fn named<'i>(feature: &Feature, features: &BTreeMap<&'i str, &'i Feature>) -> BTreeSet<&'i str> {
    let mut found = BTreeSet::new();
    walk_through(&feature.expr, &mut |expr| {
        if let ExprKind::Path(path) = &expr.kind
            && let ([name], false) = (path.parts.as_slice(), path.this)
            && let Some((known, _)) = features.get_key_value(name.text.as_str())
        {
            found.insert(*known);
        }
    });
    found
}

fn reach<'i>(from: &str, used: &BTreeMap<&'i str, BTreeSet<&'i str>>) -> BTreeSet<&'i str> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = used.get(from).into_iter().flatten().copied().collect();
    while let Some(name) = open.pop() {
        if let Some((known, next)) = used.get_key_value(name)
            && reached.insert(*known)
        {
            open.extend(next);
        }
    }
    reached
}

/// WHY: the words and not their meaning, because the meaning is what is being read. Spaces and comments are no words.
fn identity(
    name: &str,
    reached: &BTreeSet<&str>,
    features: &BTreeMap<&str, &Feature>,
    sources: &Sources,
) -> String {
    let mut words = String::new();
    for part in reached {
        let Some(feature) = features.get(part) else { continue };
        words.push_str(part);
        let text = sources.text(feature.expr.span);
        for token in lex(feature.expr.span.file, text).tokens {
            let word = usize::try_from(token.span.start).ok();
            let end = usize::try_from(token.span.end).ok();
            let word = word.zip(end).and_then(|(start, end)| text.get(start..end));
            words.push(' ');
            words.push_str(word.unwrap_or_default());
        }
        words.push('\n');
    }
    let digest = Digest::of_parts(&[words.as_bytes()]).hex();
    let digest: String = digest.chars().take(DIGEST_DIGITS).collect();
    format!("{name}#{digest}")
}

/// Whether an expression asks what a feature was when an event was judged.
pub(super) fn looks_at_itself(arena: &Arena, id: NodeId) -> bool {
    let ir = &arena.get(id).ir;
    let mut found = matches!(ir, Ir::Judged(_));
    operands(ir, &mut |operand| found = found || looks_at_itself(arena, operand));
    found
}

/// Finds the nodes of the features that were named in conditions on other events.
pub(super) fn resolve(build: &mut Build<'_>, report: &mut Vec<Diagnostic>) {
    let mut done: BTreeSet<(EventId, String)> = BTreeSet::new();
    loop {
        let next = build.judged.iter().find(|(asked, _)| !done.contains(*asked));
        let Some((asked, &span)) = next else { return };
        let asked = asked.clone();
        resolve_one(build, &asked, span, report);
        done.insert(asked);
    }
}

fn resolve_one(
    build: &mut Build<'_>,
    (event, name): &(EventId, String),
    span: Span,
    report: &mut Vec<Diagnostic>,
) {
    let scope = Scope::of(*event);
    let state = Checker { build, scope: &scope, report }.feature_state(name);
    let event_name = &build.world.schema.event(*event).name;
    match state {
        FeatureState::Known(id, _) if build.arena(*event).ty(id) == Type::Bool => {
            build.arenas[usize::from(event.0)].judged(name, id);
        }
        FeatureState::Known(..) => report.push(no_condition(name, span)),
        FeatureState::InProgress => {}
        FeatureState::Refused(reasons) if reasons.iter().any(is_circular) => {
            // It was found to be circular on the event that it looks at, whatever event it is asked on.
            let told = |reason: &Diagnostic| {
                report.iter().any(|known| (known.code, known.span) == (reason.code, reason.span))
            };
            let new: Vec<Diagnostic> =
                reasons.into_iter().filter(|reason| is_circular(reason) && !told(reason)).collect();
            report.extend(new);
        }
        FeatureState::Refused(reasons) => {
            let message = format!("feature `{name}` cannot be computed on event `{event_name}`");
            let mut diagnostic = Diagnostic::new(codes::E0108, span, message);
            if let Some(first) = reasons.first() {
                diagnostic = diagnostic.with_related(first.span, first.message.clone());
            }
            report.push(
                diagnostic.with_help("look at events that have the fields and keys it needs"),
            );
        }
    }
}

fn is_circular(reason: &Diagnostic) -> bool {
    reason.code == codes::E0109
}

/// Why a feature cannot be remembered.
pub(super) fn no_condition(name: &str, span: Span) -> Diagnostic {
    let message =
        format!("`{name}` is defined by its own past, and only a condition is remembered");
    Diagnostic::new(codes::E0203, span, message).with_help(
        "give the whole condition a name, as in `feature odd = score > 4`, and write `where not odd`",
    )
}
