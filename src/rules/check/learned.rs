//! Models of kind `learned`: the artifact that training left, and whether it was trained on what the model reads.

use std::sync::Arc;

use crate::base::Digest;
use crate::diag::{Binary, Diagnostic, codes, suggest};
use crate::event::schema::EventId;
use crate::models::offline::{Artifact, FieldSource, Unit};
use crate::rules::check::checker::Build;
use crate::rules::check::fields;
use crate::rules::check::models::{ReadFeature, lacks, writer};
use crate::rules::program::{LearnedFeature, LearnedSpec, MadeOf, ModelPlan, NodeId, Type};
use crate::rules::syntax::ast::{Model, ModelClauseKind, Text};

/// The ending of artifacts.
const ENDING: &str = ".rwm";

/// How an artifact is named that lies beside the rule folder.
const BESIDE: &str = "../models/";

/// Most characters of a meaning that are told.
const MAX_MEANING: usize = 400;

/// Whether artifacts must be there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Artifacts {
    /// A learned model without its own is refused.
    #[default]
    Required,
    /// They are not looked for: learned models say nothing.
    Ignored,
}

/// Reads the rest of a learned model: its features are known, and before them the report had so many findings.
pub(super) fn read(
    model: &Model,
    (build, event): (&mut Build<'_>, EventId),
    (features, before): (&[ReadFeature], usize),
    report: &mut Vec<Diagnostic>,
) -> Option<ModelPlan> {
    let from = model.clauses.iter().find_map(|clause| match &clause.kind {
        ModelClauseKind::From(text) => Some(text),
        _ => None,
    });
    let Some(from) = from else {
        let help =
            format!("add `from` and its artifact, as in `from \"models/{}.rwm\"`", model.name.text);
        report.push(lacks(model, "from", &help));
        return None;
    };
    if report.len() > before {
        return None;
    }
    let declared = declared(build, event, features);
    let world = build.world;
    let event_name = &world.schema.event(event).name;
    let fields = fields::of(build, event, &declared);
    let (artifact, digest) = match world.artifacts {
        Artifacts::Ignored => (None, String::new()),
        Artifacts::Required => {
            let file = find(&world.sources.artifacts, (model, from), report)?;
            let artifact = decode(file, (model, from), report)?;
            let asked = (model, from, event_name.as_str());
            if !fits(&artifact, (&declared, features), asked, report) {
                return None;
            }
            report.extend(moved(&artifact, &fields, from));
            (Some(Arc::new(artifact)), Digest::of_parts(&[&file.bytes]).hex())
        }
    };
    let meanings: Vec<&str> = declared.iter().map(|feature| feature.identity.as_str()).collect();
    let identity = format!("learned on {event_name} reads {} from {digest}", meanings.join(", "));
    let spec = LearnedSpec { path: from.text.clone(), features: declared, fields, artifact };
    Some(ModelPlan {
        name: model.name.text.clone(),
        event,
        made_of: MadeOf::Learned(spec),
        features: features.iter().map(|read| read.node).collect::<Vec<NodeId>>(),
        segments: Vec::new(),
        learns: true,
        identity,
    })
}

/// What the model reads, as an artifact says it.
fn declared(build: &Build<'_>, event: EventId, features: &[ReadFeature]) -> Vec<LearnedFeature> {
    let writer = writer(build, event);
    let event_name = &build.world.schema.event(event).name;
    let feature = |read: &ReadFeature| LearnedFeature {
        name: read.spec.name.clone(),
        identity: format!("{event_name}: {}", writer.text(read.node)),
        unit: unit(build.arena(event).ty(read.node)),
    };
    features.iter().map(feature).collect()
}

/// What the whole numbers of a type count: see [`model_input`](crate::rules::model_input).
fn unit(ty: Type) -> Unit {
    match ty {
        Type::Money(currency) => Unit::Minor(currency),
        Type::Bool => Unit::Truth,
        Type::Integer => Unit::Whole,
        Type::Duration => Unit::Millis,
        _ => Unit::Micro,
    }
}

fn find<'s>(
    artifacts: &'s [Binary],
    (model, from): (&Model, &Text),
    report: &mut Vec<Diagnostic>,
) -> Option<&'s Binary> {
    if let Some(file) = artifacts.iter().find(|file| file.path == from.text) {
        return Some(file);
    }
    let refused = |message: String| Diagnostic::new(codes::E0604, from.span, message);
    if !from.text.to_ascii_lowercase().ends_with(ENDING) {
        let message = format!("`{}` is no `{ENDING}` file", from.text);
        let help = "`riskweir train` and `riskweir import` write the artifacts that models are read from: name that file";
        report.push(refused(message).with_help(help));
        return None;
    }
    let diagnostic = refused(format!("there is no artifact `{}`", from.text));
    let leads_out = from.text.starts_with('/') || from.text.split('/').any(|part| part == "..");
    if leads_out && !from.text.starts_with(BESIDE) {
        let help =
            format!("an artifact lies in the rule folder, or beside it as `{BESIDE}NAME{ENDING}`");
        report.push(diagnostic.with_help(help));
        return None;
    }
    let ending = format!("/{}", from.text);
    let folder = artifacts.iter().find_map(|file| file.path.strip_suffix(&ending));
    let near = suggest::nearest(&from.text, artifacts.iter().map(|file| file.path.as_str()));
    report.push(match (folder, near) {
        (Some(folder), _) => diagnostic.with_help(format!(
            "paths count from the rule folder, which seems to be `{folder}`: name that folder instead"
        )),
        (None, Some(near)) => diagnostic
            .with_help(format!("did you mean `{near}`?"))
            .with_fix(from.span, format!("\"{near}\"")),
        (None, None) => diagnostic.with_help(train(model, "train it")),
    });
    None
}

fn decode(
    file: &Binary,
    (model, from): (&Model, &Text),
    report: &mut Vec<Diagnostic>,
) -> Option<Artifact> {
    let decoded = Artifact::decode(&file.bytes);
    decoded
        .map_err(|error| {
            let message = format!("artifact `{}`: {error}", from.text);
            report.push(
                Diagnostic::new(codes::E0604, from.span, message)
                    .with_help(train(model, "copy it again, or train it anew")),
            );
        })
        .ok()
}

/// Whether the artifact was trained on exactly what the model reads, and all that is different if not.
fn fits(
    artifact: &Artifact,
    (declared, read): (&[LearnedFeature], &[ReadFeature]),
    (model, from, event): (&Model, &Text, &str),
    report: &mut Vec<Diagnostic>,
) -> bool {
    let before = report.len();
    let path = &from.text;
    if artifact.event != event {
        let message = format!("artifact `{path}` scores events of `{}`", artifact.event);
        let diagnostic = Diagnostic::new(codes::E0605, from.span, message);
        let why = format!("the model is on `{event}`: name the artifact of that, or train it");
        report.push(diagnostic.with_help(train(model, &why)));
        return false;
    }
    for (feature, read) in declared.iter().zip(read) {
        let name = &feature.name;
        let differs = |message: String| Diagnostic::new(codes::E0605, read.span, message);
        let Some(trained) = artifact.features.iter().find(|known| known.name == *name) else {
            let known: Vec<&str> = artifact.features.iter().map(|it| it.name.as_str()).collect();
            let why =
                format!("it was trained on {}: read those, or train it anew", known.join(", "));
            let message = format!("artifact `{path}` knows no feature `{name}`");
            report.push(differs(message).with_help(train(model, &why)));
            continue;
        };
        let (was, is) = if trained.identity != feature.identity {
            (trained.identity.clone(), feature.identity.clone())
        } else if trained.unit != feature.unit {
            let told = |unit: Unit| format!("{} as {}", feature.identity, unit.natural());
            (told(trained.unit), told(feature.unit))
        } else {
            continue;
        };
        let message = format!("artifact `{path}` was trained on another `{name}`");
        let why = format!(
            "trained on `{}`, here it is `{}`: write it as it was, or train it anew",
            shortened(&was),
            shortened(&is)
        );
        report.push(differs(message).with_help(train(model, &why)));
    }
    for trained in &artifact.features {
        if declared.iter().any(|feature| feature.name == trained.name) {
            continue;
        }
        let message =
            format!("artifact `{path}` was trained on `{}`, which is not read", trained.name);
        let why = format!(
            "it was `{}`: add it to `reads`, or train it anew",
            shortened(&trained.identity)
        );
        let diagnostic = Diagnostic::new(codes::E0605, from.span, message);
        report.push(diagnostic.with_help(train(model, &why)));
    }
    report.len() == before
}

/// The fields that are read from elsewhere, or as something else, than in the training. It is no error: where a producer has
/// only renamed its fields the model is as good as it was.
fn moved<'m>(
    artifact: &'m Artifact,
    fields: &'m [FieldSource],
    from: &'m Text,
) -> impl Iterator<Item = Diagnostic> {
    artifact.fields.iter().filter_map(move |trained| {
        let now = fields.iter().find(|field| field.name == trained.name)?;
        let FieldSource { name, read } = now;
        (*read != trained.read).then(|| {
            let message = format!("artifact `{}` was trained on another `{name}`", from.text);
            let help = format!(
                "trained on `{}`, here it is `{}`: where it does not mean the same, train it anew",
                shortened(&trained.read),
                shortened(read)
            );
            Diagnostic::new(codes::W0607, from.span, message).with_help(help)
        })
    })
}

/// What to do, with the command.
fn train(model: &Model, what: &str) -> String {
    format!("{what}: `riskweir train --name {} ...` writes the file", model.name.text)
}

fn shortened(meaning: &str) -> String {
    if meaning.chars().count() <= MAX_MEANING {
        return meaning.to_owned();
    }
    let short: String = meaning.chars().take(MAX_MEANING - 3).collect();
    format!("{short}...")
}
