//! `model` items: what they are made of, and what a condition that names one means.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::{EventId, SlotId};
use crate::models::online::{DetectorKind, Direction, FeatureSpec, ModelSpec};
use crate::rules::check::canonical::{Writer, slot_name};
use crate::rules::check::checker::{Build, Checker, Scope};
use crate::rules::check::limits::{
    MAX_LEARNED_FEATURES, MAX_MODEL_FEATURES, MAX_MODEL_WINDOW_MS, MAX_MODELS,
};
use crate::rules::check::lower::Draft;
use crate::rules::check::measures::duration;
use crate::rules::check::refusal::did_you_mean;
use crate::rules::check::schema::{dotted, twice, unknown_event};
use crate::rules::check::{learned, literals};
use crate::rules::origins;
use crate::rules::program::{
    Aspect, EventPlan, MadeOf, ModelId, ModelPlan, NodeId, Op, Program, Type,
};
use crate::rules::syntax::ast::{
    Decimal, Item, Model, ModelClause, ModelClauseKind, ModelFeature, Path,
};

/// The least window: an hour.
const MIN_WINDOW_MS: i64 = 3_600_000;

/// The window of a model that does not say one: 14 days.
const DEFAULT_WINDOW_MS: i64 = 14 * 86_400_000;

/// One nat.
const DEFAULT_ALLOWANCE_MICRO: i64 = 1_000_000;

/// Most surprise that may be called ordinary, in nats.
const MAX_ALLOWANCE: i64 = 10;

/// All models, sorted by name; each is asked by a node of its event's draft, so that it learns although no rule asks it.
/// One that was refused keeps its name, so that its uses are not reported as well.
pub(super) fn compile(
    items: &[&Item],
    build: &mut Build<'_>,
    drafts: &mut [Draft],
    report: &mut Vec<Diagnostic>,
) -> Vec<ModelPlan> {
    let mut named: BTreeMap<&str, &Model> = BTreeMap::new();
    for item in items {
        let Item::Model(model) = item else { continue };
        if let Some(first) = named.get(model.name.text.as_str()) {
            report.push(twice("model", &model.name, Some(first.name.span)));
        } else if named.len() == MAX_MODELS {
            let message = format!("more than {MAX_MODELS} models");
            report.push(Diagnostic::new(codes::E0513, model.name.span, message));
        } else {
            named.insert(&model.name.text, model);
        }
    }
    let mut known = BTreeMap::new();
    let mut plans: Vec<ModelPlan> = Vec::new();
    let mut spans: Vec<Span> = Vec::new();
    for (name, model) in &named {
        let plan = Reader { model, build, report }.read();
        known.insert((*name).to_owned(), plan.is_some().then_some(plans.len()));
        if let Some(plan) = plan {
            plans.push(plan);
            spans.push(model.name.span);
        }
    }
    for (id, (plan, span)) in (0_u16..).map(ModelId).zip(plans.iter().zip(spans)) {
        let scope = Scope::of(plan.event);
        let op = Op::Model(id, Aspect::Percentile, plan.features.clone());
        let mut checker = Checker { build, scope: &scope, report };
        let node = checker.node(op, Type::Number, span);
        if let (Some(draft), Some(node)) = (drafts.get_mut(usize::from(plan.event.0)), node) {
            draft.models.push((id, node));
        }
    }
    untaught(&named, &plans, report);
    build.models = Some((known, plans.clone()));
    plans
}

/// Tells of frozen models beside which none learns that is made alike: where no rule set before has taught one it never says
/// anything.
fn untaught(named: &BTreeMap<&str, &Model>, plans: &[ModelPlan], report: &mut Vec<Diagnostic>) {
    for plan in plans.iter().filter(|plan| !plan.learns) {
        if plans.iter().any(|other| other.learns && other.identity == plan.identity) {
            continue;
        }
        let clauses = named.get(plan.name.as_str()).map_or(&[][..], |model| &model.clauses);
        let clause = clauses.iter().find(|clause| clause.kind == ModelClauseKind::Frozen);
        let Some(clause) = clause else { continue };
        let message = format!(
            "model `{}` learns nothing here, and nor does one that is made alike",
            plan.name
        );
        report.push(Diagnostic::new(codes::W0606, clause.span, message).with_help(
            "it says what a rule set before this one has taught it, without one nothing: let a copy under another name learn, or leave `frozen` out",
        ));
    }
}

/// The models with the nodes of the plans in place of those of the arenas.
pub(super) fn placed(models: Vec<ModelPlan>, plans: &[EventPlan]) -> Vec<ModelPlan> {
    let placed = |(id, model): (ModelId, ModelPlan)| {
        let plan = plans.get(usize::from(model.event.0));
        let features = plan.and_then(|plan| {
            let (_, node) = plan.models.iter().find(|(known, _)| *known == id)?;
            match &plan.nodes.get(node.0 as usize)?.op {
                Op::Model(.., features) => Some(features.clone()),
                _ => None,
            }
        });
        ModelPlan { features: features.unwrap_or_default(), ..model }
    };
    (0_u16..).map(ModelId).zip(models).map(placed).collect()
}

/// Adds to what makes models the same from where the fields behind their features are read: a moved field is another one.
pub(super) fn name_origins(program: &mut Program) {
    let mut models = core::mem::take(&mut program.models);
    for model in &mut models {
        let mut lines = origins::of_values(program, model.event, &model.features);
        let event = program.schema.event(model.event);
        let divides = event.fields.iter().filter(|field| model.segments.contains(&field.slot));
        lines.extend(
            divides.map(|field| format!("{}.{}: {}", event.name, field.name, field.read())),
        );
        model.identity.push_str(&format!(" read by {}", origins::short(&lines)));
    }
    program.models = models;
}

/// Reads one model.
struct Reader<'r, 'b, 'a> {
    model: &'r Model,
    build: &'b mut Build<'a>,
    report: &'b mut Vec<Diagnostic>,
}

impl Reader<'_, '_, '_> {
    fn read(self) -> Option<ModelPlan> {
        let Self { model, build, report } = self;
        let before = report.len();
        once(&model.clauses, report);
        let event = event(model, build, report)?;
        let kind = kind(model, report);
        for clause in &model.clauses {
            foreign(clause, kind, report);
        }
        let features = features(model, kind, (&mut *build, event), report);
        let ModelKind::Detector(kind) = kind else {
            return learned::read(model, (build, event), (&features, before), report);
        };
        let segments = segments(model, (&mut *build, event), report);
        let spec = ModelSpec {
            kind,
            features: features.iter().map(|read| read.spec.clone()).collect(),
            window_ms: window_ms(model, report),
            allowance_micro: allowance_micro(model, report),
            seed: seed(model, report),
        };
        if report.len() > before {
            return None;
        }
        let features: Vec<NodeId> = features.into_iter().map(|read| read.node).collect();
        let identity = identity(build, event, (&spec, &features), &segments);
        let learns = !model.clauses.iter().any(|it| it.kind == ModelClauseKind::Frozen);
        let (name, made_of) = (model.name.text.clone(), MadeOf::Online(spec));
        Some(ModelPlan { name, event, made_of, features, segments, learns, identity })
    }
}

/// What an author may call a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModelKind {
    Detector(DetectorKind),
    Learned,
}

impl ModelKind {
    const ALL: [Self; 3] = [
        Self::Detector(DetectorKind::TailSum),
        Self::Detector(DetectorKind::IsolationForest),
        Self::Learned,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Detector(kind) => kind.word(),
            Self::Learned => "learned",
        }
    }

    fn max_features(self) -> usize {
        match self {
            Self::Detector(_) => MAX_MODEL_FEATURES,
            Self::Learned => MAX_LEARNED_FEATURES,
        }
    }
}

/// A feature that a model reads.
pub(super) struct ReadFeature {
    pub(super) spec: FeatureSpec,
    pub(super) node: NodeId,
    /// Where it is named.
    pub(super) span: Span,
}

/// Reports every clause that stands twice.
fn once(clauses: &[ModelClause], report: &mut Vec<Diagnostic>) {
    let mut seen: Vec<&str> = Vec::new();
    for clause in clauses {
        let word = word(&clause.kind);
        if seen.contains(&word) {
            let message = format!("`{word}` is given twice");
            report.push(
                Diagnostic::new(codes::E0502, clause.span, message).with_help("keep one of them"),
            );
        }
        seen.push(word);
    }
}

fn word(kind: &ModelClauseKind) -> &'static str {
    match kind {
        ModelClauseKind::On(_) => "on",
        ModelClauseKind::Kind(_) => "kind",
        ModelClauseKind::From(_) => "from",
        ModelClauseKind::Reads(_) => "reads",
        ModelClauseKind::Segment(_) => "segment by",
        ModelClauseKind::Over(_) => "over prior",
        ModelClauseKind::Allowance(_) => "allowance",
        ModelClauseKind::Seed(_) => "seed",
        ModelClauseKind::Frozen => "frozen",
    }
}

fn event(model: &Model, build: &Build<'_>, report: &mut Vec<Diagnostic>) -> Option<EventId> {
    let schema = build.world.schema;
    let named = model.clauses.iter().find_map(|clause| match &clause.kind {
        ModelClauseKind::On(name) => Some(name),
        _ => None,
    });
    let Some(name) = named else {
        report.push(lacks(model, "on", "add `on` and the event that it scores"));
        return None;
    };
    let found = schema.event_named(&name.text);
    if found.is_none() {
        report.push(unknown_event(name, schema.events.iter().map(|event| event.name.as_str())));
    }
    found
}

pub(super) fn lacks(model: &Model, word: &str, help: &str) -> Diagnostic {
    let message = format!("model `{}` has no `{word}`", model.name.text);
    Diagnostic::new(codes::E0501, model.name.span, message).with_help(help)
}

fn kind(model: &Model, report: &mut Vec<Diagnostic>) -> ModelKind {
    for clause in &model.clauses {
        let ModelClauseKind::Kind(name) = &clause.kind else { continue };
        if let Some(kind) = ModelKind::ALL.into_iter().find(|kind| kind.word() == name.text) {
            return kind;
        }
        let message = format!("there is no kind of model `{}`", name.text);
        let diagnostic = Diagnostic::new(codes::E0602, name.span, message);
        let near = suggest::nearest(&name.text, ModelKind::ALL.map(ModelKind::word));
        report.push(did_you_mean(
            diagnostic,
            near,
            "the kinds are `tail_sum`, `isolation_forest` and `learned`",
        ));
    }
    ModelKind::Detector(DetectorKind::TailSum)
}

/// What a model of another kind has.
fn foreign(clause: &ModelClause, kind: ModelKind, report: &mut Vec<Diagnostic>) {
    let is_detector = |wanted| kind == ModelKind::Detector(wanted);
    let wrong = match clause.kind {
        ModelClauseKind::From(_) => kind != ModelKind::Learned,
        ModelClauseKind::Allowance(_) => !is_detector(DetectorKind::TailSum),
        ModelClauseKind::Seed(_) => !is_detector(DetectorKind::IsolationForest),
        ModelClauseKind::Over(_) | ModelClauseKind::Segment(_) | ModelClauseKind::Frozen => {
            kind == ModelKind::Learned
        }
        _ => false,
    };
    if wrong {
        let message = format!("a model of kind `{}` has no `{}`", kind.word(), word(&clause.kind));
        let diagnostic = Diagnostic::new(codes::E0602, clause.span, message);
        let help = match (&clause.kind, kind) {
            (ModelClauseKind::From(_), _) => "remove it, or write `kind learned`",
            (_, ModelKind::Learned) => "remove it: what it knows was settled by training",
            _ => "remove it, or choose the other `kind`",
        };
        report.push(diagnostic.with_help(help));
    }
}

/// The features with their nodes, by name.
fn features(
    model: &Model,
    kind: ModelKind,
    (build, event): (&mut Build<'_>, EventId),
    report: &mut Vec<Diagnostic>,
) -> Vec<ReadFeature> {
    let read = model.clauses.iter().filter_map(|clause| match &clause.kind {
        ModelClauseKind::Reads(features) => Some((features, clause.span)),
        _ => None,
    });
    let most = kind.max_features();
    let mut found: Vec<ReadFeature> = Vec::new();
    let mut none = true;
    for (features, span) in read {
        none = false;
        if features.len() > most {
            let message = format!("a model reads at most {most} features");
            report.push(Diagnostic::new(codes::E0511, span, message).with_help(
                "choose the few that matter: more of them make a score blunter, not sharper",
            ));
        }
        for feature in features.iter().take(most) {
            let spec = feature_spec(feature, kind, report);
            if found.iter().any(|known| known.spec.name == spec.name) {
                let message = format!("`{}` is read twice", spec.name);
                let diagnostic = Diagnostic::new(codes::E0104, feature.path.span, message);
                report.push(diagnostic.with_help("keep one of them"));
                continue;
            }
            let scope = Scope::of(event);
            let mut checker = Checker { build: &mut *build, scope: &scope, report };
            let span = feature.path.span;
            let value = checker.model_input(&feature.path);
            found.extend(value.map(|node| ReadFeature { spec, node, span }));
        }
    }
    if none {
        let help = match kind {
            ModelKind::Learned => "add `reads` and features, as in `reads amount, z_score`",
            ModelKind::Detector(_) => "add `reads` and features, as in `reads high z_score`",
        };
        report.push(lacks(model, "reads", help));
    }
    found.sort_by(|left, right| left.spec.name.cmp(&right.spec.name));
    found
}

fn feature_spec(
    feature: &ModelFeature,
    kind: ModelKind,
    report: &mut Vec<Diagnostic>,
) -> FeatureSpec {
    let name = dotted(&feature.path);
    let direction = feature.direction.as_ref();
    match (kind, direction) {
        (ModelKind::Detector(DetectorKind::TailSum), None) => {
            let message = format!("say on which side `{name}` is suspicious");
            report.push(
                Diagnostic::new(codes::E0602, feature.path.span, message)
                    .with_help(format!("write `high {name}`, `low {name}` or `both {name}`")),
            );
        }
        (ModelKind::Detector(DetectorKind::IsolationForest) | ModelKind::Learned, Some(word)) => {
            let message = match kind {
                ModelKind::Learned => "a learned model knows by itself what each feature says",
                ModelKind::Detector(_) => {
                    "an isolation forest looks on both sides of every feature"
                }
            };
            let diagnostic = Diagnostic::new(codes::E0602, word.span, message);
            report.push(diagnostic.with_help(format!("write `{name}` alone")));
        }
        _ => {}
    }
    let direction = match direction.map(|word| word.text.as_str()) {
        Some("high") => Direction::High,
        Some("low") => Direction::Low,
        _ => Direction::Both,
    };
    FeatureSpec { name, direction }
}

fn segments(
    model: &Model,
    (build, event): (&mut Build<'_>, EventId),
    report: &mut Vec<Diagnostic>,
) -> Vec<SlotId> {
    let mut slots = Vec::new();
    for clause in &model.clauses {
        let ModelClauseKind::Segment(paths) = &clause.kind else { continue };
        for path in paths {
            let scope = Scope::of(event);
            let checker = Checker { build: &mut *build, scope: &scope, report };
            slots.extend(checker.segment(path));
        }
    }
    slots
}

fn window_ms(model: &Model, report: &mut Vec<Diagnostic>) -> i64 {
    for clause in &model.clauses {
        let ModelClauseKind::Over(ms) = clause.kind else { continue };
        if (MIN_WINDOW_MS..=MAX_MODEL_WINDOW_MS).contains(&ms) {
            return ms;
        }
        let (least, most) = (duration(MIN_WINDOW_MS), duration(MAX_MODEL_WINDOW_MS));
        let message = format!("a model looks back from {least} to {most}");
        let diagnostic = Diagnostic::new(codes::E0511, clause.span, message);
        report.push(diagnostic.with_help("write `over prior 14d`"));
    }
    DEFAULT_WINDOW_MS
}

fn allowance_micro(model: &Model, report: &mut Vec<Diagnostic>) -> i64 {
    for clause in &model.clauses {
        let ModelClauseKind::Allowance(decimal) = clause.kind else { continue };
        let micro = literals::scaled(decimal, 6).and_then(|micro| i64::try_from(micro).ok());
        if let Some(micro) = micro.filter(|it| (0..=MAX_ALLOWANCE * 1_000_000).contains(it)) {
            return micro;
        }
        let message = format!("an allowance lies between 0 and {MAX_ALLOWANCE}");
        let diagnostic = Diagnostic::new(codes::E0511, clause.span, message);
        report.push(diagnostic.with_help("1 is usual, up to 3 for few sharp features"));
    }
    DEFAULT_ALLOWANCE_MICRO
}

fn seed(model: &Model, report: &mut Vec<Diagnostic>) -> u64 {
    for clause in &model.clauses {
        let ModelClauseKind::Seed(decimal) = clause.kind else { continue };
        if let Some(seed) = whole_seed(decimal) {
            return seed;
        }
        let diagnostic = Diagnostic::new(codes::E0511, clause.span, "a seed is a whole number");
        report.push(diagnostic.with_help("write `seed 7`"));
    }
    0
}

fn whole_seed(decimal: Decimal) -> Option<u64> {
    literals::scaled(decimal, 0).and_then(|seed| u64::try_from(seed).ok())
}

/// Writes what features mean.
pub(super) fn writer<'b>(build: &'b Build<'_>, event: EventId) -> Writer<'b> {
    let world = build.world;
    Writer {
        arena: build.arena(event),
        schema: world.schema,
        lists: world.lists,
        measures: &build.measures,
        event,
        converts: world.converts,
    }
}

/// What makes it the same model in another rule set: all that its state depends on, and not its name.
fn identity(
    build: &Build<'_>,
    event: EventId,
    (spec, features): (&ModelSpec, &[NodeId]),
    segments: &[SlotId],
) -> String {
    let world = build.world;
    let writer = writer(build, event);
    let feature = |(spec, node): (&FeatureSpec, &NodeId)| {
        format!("{} {}", spec.direction.word(), writer.text(*node))
    };
    let features: Vec<String> = spec.features.iter().zip(features).map(feature).collect();
    let slots = segments.iter().filter_map(|slot| slot_name(world.schema, event, *slot));
    format!(
        "{} on {} reads {} by [{}] over prior {} allowance {} seed {}",
        spec.kind.word(),
        world.schema.event(event).name,
        features.join(", "),
        slots.collect::<Vec<_>>().join(", "),
        duration(spec.window_ms),
        spec.allowance_micro,
        spec.seed
    )
}

impl Checker<'_, '_> {
    /// A feature or a field, of a type that has an order.
    fn model_input(&mut self, path: &Path) -> Option<NodeId> {
        let node = self.path(path, None)?;
        let ty = self.ty(node);
        let counts = matches!(
            ty,
            Type::Bool
                | Type::Integer
                | Type::Number
                | Type::Money(_)
                | Type::Duration
                | Type::Distance
                | Type::Speed
        );
        if counts {
            return Some(node);
        }
        let message = format!("`{}` is {}: a model reads numbers", dotted(path), self.describe(ty));
        self.refuse(
            Diagnostic::new(codes::E0602, path.span, message)
                .with_help("read an amount, a count, a ratio, a duration or a truth"),
        )
    }

    /// A field by which traffic is divided.
    fn segment(mut self, path: &Path) -> Option<SlotId> {
        let (slot, ty) = self.slot(path)?;
        let divides = matches!(
            ty,
            Type::Text
                | Type::Entity(_)
                | Type::Enum(..)
                | Type::Country
                | Type::Currency
                | Type::Bool
        );
        if divides {
            return Some(slot);
        }
        let message = format!("`{}` is {}: it divides no traffic", dotted(path), self.describe(ty));
        self.refuse(
            Diagnostic::new(codes::E0602, path.span, message)
                .with_help("divide by a currency, a country, a channel or another closed set"),
        )
    }

    /// `model.NAME` and `model.NAME.raw` in a condition.
    pub(super) fn asked_model(&mut self, path: &Path) -> Option<NodeId> {
        let name = path.parts.get(1)?;
        let aspect = match path.parts.get(2).map(|part| part.text.as_str()) {
            None => Aspect::Percentile,
            Some("raw") if path.parts.len() == 3 => Aspect::Raw,
            Some(_) => return self.refuse(no_aspect(path)),
        };
        let inside = self.scope.in_filter || self.scope.in_step;
        let Some((known, plans)) = self.build.models.as_ref().filter(|_| !inside) else {
            return self.refuse(not_here(
                path.span,
                "a model can be asked in the condition of a rule only",
            ));
        };
        let Some(place) = known.get(&name.text) else {
            let message = format!("there is no model `{}`", name.text);
            let diagnostic =
                Diagnostic::new(codes::E0601, name.span, message).with_label("unknown");
            let near = suggest::nearest(&name.text, known.keys().map(String::as_str));
            let diagnostic = did_you_mean(diagnostic, near, "declare it with `model`");
            return self.refuse(diagnostic);
        };
        // One that was refused has been reported.
        let place = (*place)?;
        let plan = plans.get(place)?;
        if plan.event != self.scope.event {
            let event = &self.build.world.schema.event(plan.event).name;
            let message = format!("model `{}` scores events of `{event}` only", plan.name);
            let diagnostic = Diagnostic::new(codes::E0603, path.span, message);
            return self.refuse(diagnostic.with_help(format!("ask it in rules on `{event}`")));
        }
        let id = ModelId(u16::try_from(place).ok()?);
        let op = Op::Model(id, aspect, plan.features.clone());
        self.node(op, Type::Number, path.span)
    }
}

fn no_aspect(path: &Path) -> Diagnostic {
    let part = |at: usize| path.parts.get(at).map_or("", |part| part.text.as_str());
    let name = part(1);
    let message = format!("a model has no `{}`", part(2));
    Diagnostic::new(codes::E0601, path.span, message).with_help(format!(
        "`model.{name}` is the place of the score among all, 0 to 1; `model.{name}.raw` is the score itself"
    ))
}

fn not_here(span: Span, message: &str) -> Diagnostic {
    Diagnostic::new(codes::E0603, span, message).with_help(
        "features, filters of aggregates and steps of sequences are remembered or learned; a score is not",
    )
}
