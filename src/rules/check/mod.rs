//! From the parsed trees to the checked program: templates → schema and lists → policy → names and types → shared tables → plans.
//!
//! Each phase has its own file and hands its result on; none looks back. Mistakes are collected, not thrown: one
//! compilation shows as many of them as it can. The program exists only when there was no error.
//!
//! Start at [`compile`]; expressions are read by [`checker`], state is planned by [`plan`].

pub(super) mod accepted;
mod actions;
mod aggregates;
mod arena;
mod beside;
mod budget;
mod calls;
mod canonical;
mod checker;
mod clauses;
mod cycles;
mod days;
pub(super) mod due;
mod ends;
mod fields;
mod functions;
mod hold_bounds;
mod kinds;
mod labels;
mod learned;
mod limits;
mod lists;
mod literals;
mod lower;
mod meant;
mod measures;
mod messages;
mod missing;
mod mixed;
mod models;
mod names;
mod operators;
mod patterns;
mod plan;
mod pointer;
mod policy;
mod rates;
mod refusal;
mod remembered;
mod roles;
mod rules;
mod scenarios;
mod schema;
mod sequences;
mod sizes;
mod snoozes;
mod study;
mod templates;
#[cfg(test)]
mod tests;
mod tokens;
mod trees;
mod types;
mod unpriced;
mod windows;
mod world;
mod written;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::base::Digest;
use crate::diag::{Diagnostic, Severity, Sources, Span, codes};
use crate::event::schema::{EventId, EventType, Schema};
use crate::rules::analysis;
use crate::rules::check::checker::{Build, Checker, FeatureState, Scope};
use crate::rules::check::learned::Artifacts;
use crate::rules::check::lower::Draft;
use crate::rules::check::study::Notes;
use crate::rules::check::world::World;
use crate::rules::program::Program;
use crate::rules::syntax::ast::{Feature, Item};

pub use beside::{Beside, beside};
pub use calls::functions;
pub use lists::list_member;
pub use study::{Study, study};
pub use trees::Trees;

/// Compiles a whole rule set: `.risk` files, and the lists and artifacts that they name.
///
/// # Shape
/// Diagnostics are sorted by place and each is there once. The program is there exactly when none of them is an error.
///
/// # Cost
/// Linear in the text, times the event types that a rule is `on`.
pub fn compile(sources: &Sources) -> (Option<Program>, Vec<Diagnostic>) {
    compiled(sources, Artifacts::Required)
}

/// Compiles as [`compile`] does, but looks for no artifacts: learned models say nothing. For who trains them.
pub fn compile_untrained(sources: &Sources) -> (Option<Program>, Vec<Diagnostic>) {
    compiled(sources, Artifacts::Ignored)
}

fn compiled(sources: &Sources, artifacts: Artifacts) -> (Option<Program>, Vec<Diagnostic>) {
    let mut report = Vec::new();
    if sources.files.len() > limits::MAX_FILES {
        let message =
            format!("{} files, at most {} are possible", sources.files.len(), limits::MAX_FILES);
        report.push(Diagnostic::new(codes::E0513, Span::default(), message));
        return (None, report);
    }
    let files = Trees::default().read(sources, &mut report);
    if failed(&report) {
        // What cannot be read cannot be checked: half an event would make every rule on it look wrong.
        return (None, in_order(report));
    }
    let items: Vec<&Item> = files.iter().flat_map(|file| &file.items).collect();
    let program = check(&items, (sources, artifacts), &mut report, None);
    let report = finish(&items, &program, report);
    ((!failed(&report)).then_some(program), report)
}

/// What is found only where there is no error yet, without what is accepted, and all of it in order.
fn finish(items: &[&Item], program: &Program, mut report: Vec<Diagnostic>) -> Vec<Diagnostic> {
    if !failed(&report) {
        budget::check(items, program, &mut report);
        unpriced::warn(items, program, &mut report);
        report.extend(analysis::findings(program));
    }
    accepted::settle(program, items.iter().copied(), &mut report);
    let mut report = in_order(report);
    unpriced::once(&mut report);
    report
}

fn failed(report: &[Diagnostic]) -> bool {
    report.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
}

/// Whether a file holds rules, and no list or table of rates.
fn is_rule_file(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, extension)| extension == "risk")
}

fn check(
    items: &[&Item],
    (sources, artifacts): (&Sources, Artifacts),
    report: &mut Vec<Diagnostic>,
    notes: Option<&mut Notes>,
) -> Program {
    let made = templates::expand(items, sources, report);
    let items: Vec<&Item> = items.iter().copied().chain(&made).collect();
    let items = items.as_slice();
    let compiled = schema::compile(items, report);
    let (policy, timezone) = policy::compile(items, report);
    let lists = lists::compile(items, &compiled.kinds, (sources, &timezone), report);
    let rates =
        rates::compile(items, (policy.base_currency, &timezone), sources, report).map(Arc::new);
    let features = features(items, &compiled.schema, report);
    let world = World {
        cycles: cycles::find(&features, sources),
        converts: rates.is_some(),
        sources,
        artifacts,
        schema: &compiled.schema,
        lists: &lists,
        base_currency: policy.base_currency,
        timezone,
        features,
    };
    let mut build = Build::new(&world);
    build.notes = notes.is_some().then(Notes::default);
    let mut drafts: Vec<Draft> = compiled.schema.events.iter().map(|_| Draft::default()).collect();
    let broken = check_features(&mut build, &mut drafts, report);
    let models = models::compile(items, &mut build, &mut drafts, report);
    let mut groups = actions::groups(items, report);
    let rules = rules::compile(items, &groups, &mut build, &mut drafts, report);
    actions::caps(items, &rules, &mut groups);
    let snoozes = snoozes::compile(items, &rules, &mut build, &mut drafts, report);
    let context =
        scenarios::Context { build: &build, drafts: &drafts, infos: &rules, groups: &groups };
    let tests = scenarios::compile(items, context, report);
    cycles::resolve(&mut build, report);
    // What is wrong with a feature is said at its definition, not at every use.
    report.retain(|found| found.code != codes::E0108 || !broken.contains(sources.text(found.span)));
    let (tables, plans) = lower::lower(&build, drafts, report);
    let models = models::placed(models, &plans);
    tokens::check(&compiled.schema, &compiled.event_spans, &plans, report);
    lists::warn_of_unfilled(items, (&lists, &plans), report);
    let schema: Schema = compiled.schema.clone();
    let hold_bounds = compiled.hold_bounds.clone();
    if let (Some(notes), Some(taken)) = (notes, build.notes.take()) {
        *notes = taken;
    }
    drop(build);
    let mut program = Program {
        sources: sources.clone(),
        digest: digest(sources),
        schema,
        lists: lists.clone(),
        tables,
        rules,
        plans,
        groups,
        policy,
        rates,
        snoozes,
        hold_bounds,
        tests,
        models,
    };
    models::name_origins(&mut program);
    program
}

/// Features by name, each once. One that has the name of a field would mean something else on that event.
fn features<'i>(
    items: &[&'i Item],
    schema: &Schema,
    report: &mut Vec<Diagnostic>,
) -> BTreeMap<&'i str, &'i Feature> {
    let mut list: BTreeMap<&str, &Feature> = BTreeMap::new();
    for item in items {
        let Item::Feature(feature) = item else { continue };
        let name = feature.name.text.as_str();
        let has_field = |event: &&EventType| event.field_named(name).is_some();
        if let Some(event) = schema.events.iter().find(has_field) {
            let what = format!("a field of `{}`", event.name);
            report.push(rules::hidden("`feature`", &feature.name, &what));
            continue;
        }
        if schema.roles.iter().any(|role| role.name == name) {
            report.push(rules::hidden("`feature`", &feature.name, "an entity"));
            continue;
        }
        match list.get(feature.name.text.as_str()) {
            Some(first) => {
                report.push(schema::twice("feature", &feature.name, Some(first.name.span)));
            }
            None => {
                list.insert(&feature.name.text, feature);
            }
        }
    }
    list
}

/// Computes every feature on every event type that can. One that no event type can is reported with the reasons of
/// the event type that came nearest, and returned.
fn check_features<'i>(
    build: &mut Build<'i>,
    drafts: &mut [Draft],
    report: &mut Vec<Diagnostic>,
) -> BTreeSet<&'i str> {
    let world = build.world;
    let mut broken = BTreeSet::new();
    for &name in world.features.keys() {
        let mut nearest: Option<Vec<Diagnostic>> = None;
        let mut known = false;
        for (index, draft) in (0_u16..).zip(drafts.iter_mut()) {
            let scope = Scope::of(EventId(index));
            let mut ignored = Vec::new();
            let state = Checker { build, scope: &scope, report: &mut ignored }.feature_state(name);
            match state {
                FeatureState::Known(id, _) => {
                    known = true;
                    draft.features.push((name.to_owned(), id));
                }
                FeatureState::Refused(reasons) => {
                    let best = nearest.take().filter(|best| best.len() <= reasons.len());
                    nearest = Some(best.unwrap_or(reasons));
                }
                FeatureState::InProgress => {}
            }
        }
        if !known {
            broken.insert(name);
            report.extend(nearest.unwrap_or_default());
        }
    }
    broken
}

/// The identity of the rule set: all paths and contents, sorted by path.
fn digest(sources: &Sources) -> Digest {
    let texts = sources.files.iter().map(|file| (file.path.as_str(), file.text.as_bytes()));
    let artifacts = sources.artifacts.iter().map(|file| (file.path.as_str(), &*file.bytes));
    let mut files: Vec<(&str, &[u8])> = texts.chain(artifacts).collect();
    files.sort_unstable();
    let parts: Vec<&[u8]> =
        files.iter().flat_map(|(path, bytes)| [path.as_bytes(), bytes]).collect();
    Digest::of_parts(&parts)
}

/// By place; what several event types of one rule have in common is said once.
fn in_order(mut report: Vec<Diagnostic>) -> Vec<Diagnostic> {
    report.sort_by(|a, b| {
        (a.span, a.code, &a.message, &a.label).cmp(&(b.span, b.code, &b.message, &b.label))
    });
    report.dedup();
    if report.len() > limits::MAX_DIAGNOSTICS {
        // WHY: warnings give way to errors, and without any error a rule set is good, however many warnings it has.
        if report.iter().all(|found| found.severity() != Severity::Error) {
            report.truncate(limits::MAX_DIAGNOSTICS);
            return report;
        }
        report.retain(|found| found.severity() == Severity::Error);
    }
    if let Some(span) = report.get(limits::MAX_DIAGNOSTICS).map(|diagnostic| diagnostic.span) {
        report.truncate(limits::MAX_DIAGNOSTICS);
        let message =
            format!("more than {} mistakes; the rest is not shown", limits::MAX_DIAGNOSTICS);
        report.push(Diagnostic::new(codes::E0008, span, message));
    }
    report
}
