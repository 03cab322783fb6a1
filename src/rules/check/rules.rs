//! Rules: the conditions and actions of each rule on each of its event types, and the contract about missing data.

use core::cmp::Ordering;
use std::collections::BTreeMap;

use crate::base::Value;
use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::EventId;
use crate::rules::check::checker::{Build, Checker, Param, Scope, Words};
use crate::rules::check::clauses::{self, Clauses};
use crate::rules::check::limits::MAX_RULES;
use crate::rules::check::literals;
use crate::rules::check::lower::Draft;
use crate::rules::check::missing;
use crate::rules::check::refusal::{Refusal, did_you_mean};
use crate::rules::check::schema::{twice, unknown_event};
use crate::rules::check::templates::{self, Said};
use crate::rules::check::types;
use crate::rules::check::world::World;
use crate::rules::eval::number::compare;
use crate::rules::program::{
    ActionPlan, Constant, NodeId, RuleBody, RuleId, RuleInfo, ScoreGroup, Type,
};
use crate::rules::syntax::ast::{self, ActionKind, Expr, Item, Literal, Name, Rule};

/// Compiles all rules, sorted by name; their bodies are added to the draft of each event type.
pub(super) fn compile(
    items: &[&Item],
    groups: &[ScoreGroup],
    build: &mut Build<'_>,
    drafts: &mut [Draft],
    report: &mut Vec<Diagnostic>,
) -> Vec<RuleInfo> {
    let mut infos: Vec<RuleInfo> = Vec::new();
    let mut ids: BTreeMap<String, Span> = BTreeMap::new();
    let mut said = Said::new();
    for rule in sorted(items, report) {
        let before = report.len();
        let clauses = clauses::collect(rule, report);
        let info = clauses.info(rule, build.world, report);
        if let Some(id) = clauses.id {
            if let Some(first) = ids.get(&id.text) {
                let message = format!("rule id `{}` is given twice", id.text);
                report.push(
                    Diagnostic::new(codes::E0104, id.span, message)
                        .with_related(*first, "first given here")
                        .with_help("an id is never reused: give this rule its own"),
                );
            }
            ids.insert(id.text.clone(), id.span);
        }
        let id = RuleId(u16::try_from(infos.len()).unwrap_or(u16::MAX));
        let params = params(&clauses, build.world, report);
        let context = Context { rule, id, clauses: &clauses, params: &params, groups };
        for event in events(&clauses, build.world, report) {
            let body = context.body(event, build, report);
            if let (Some(body), true) = (body, info.mode.is_evaluated()) {
                drafts[usize::from(event.0)].bodies.push(body);
            }
        }
        infos.push(info);
        let found = report.split_off(before);
        report.extend(templates::place(rule, found, &mut said));
    }
    infos
}

/// Rules by name, each name once.
fn sorted<'i>(items: &[&'i Item], report: &mut Vec<Diagnostic>) -> Vec<&'i Rule> {
    let mut rules: BTreeMap<&str, &Rule> = BTreeMap::new();
    for item in items {
        let Item::Rule(rule) = item else { continue };
        if let Some(first) = rules.get(rule.name.text.as_str()) {
            report.push(twice("rule", &rule.name, Some(first.name.span)));
        } else {
            rules.insert(&rule.name.text, rule);
        }
    }
    let list: Vec<&Rule> = rules.into_values().collect();
    if let Some(one_too_many) = list.get(MAX_RULES) {
        let message = format!("{} rules, at most {MAX_RULES} are possible", list.len());
        report.push(Diagnostic::new(codes::E0513, one_too_many.name.span, message));
    }
    list.into_iter().take(MAX_RULES).collect()
}

/// The events that a rule is `on`, each once.
fn events(clauses: &Clauses<'_>, world: &World<'_>, report: &mut Vec<Diagnostic>) -> Vec<EventId> {
    let mut list = Vec::new();
    for name in clauses.on.map(|(names, _)| names).unwrap_or_default() {
        match world.schema.event_named(&name.text) {
            Some(event) if list.contains(&event) => report.push(twice("event", name, None)),
            Some(event) => list.push(event),
            None => {
                let known = world.schema.events.iter().map(|event| event.name.as_str());
                report.push(unknown_event(name, known));
            }
        }
    }
    list
}

/// The constants of a rule.
fn params(
    clauses: &Clauses<'_>,
    world: &World<'_>,
    report: &mut Vec<Diagnostic>,
) -> BTreeMap<String, Param> {
    let mut list: BTreeMap<String, Param> = BTreeMap::new();
    for param in &clauses.params {
        if list.contains_key(&param.name.text) {
            report.push(twice("param", &param.name, None));
            continue;
        }
        let Some((constant, ty)) = read(&param.value, world, report) else { continue };
        for bound in param.tune.iter().flat_map(|t| [Some(&t.from), Some(&t.to), t.step.as_ref()]) {
            let Some(bound) = bound else { continue };
            let found = read(bound, world, report).map(|(_, ty)| ty);
            if found.is_none_or(|found| found == ty || both_plain(found, ty)) {
                continue;
            }
            let message = format!("`{}` is tuned in another unit than it has", param.name.text);
            report.push(
                Diagnostic::new(codes::E0205, bound.span, message)
                    .with_help("give the range in the unit of the value"),
            );
            break;
        }
        report.extend(out_of_range(param, world));
        list.insert(
            param.name.text.clone(),
            Param { constant, ty, value: param.value.span, refused: false },
        );
    }
    list
}

/// Why a range is none, or does not hold the value that is tuned.
fn out_of_range(param: &ast::Param, world: &World<'_>) -> Option<Diagnostic> {
    let tune = param.tune.as_ref()?;
    let number = |literal: &Literal| match literals::constant(literal, None, world).ok()?.0 {
        Constant::Int(int) => Some(Value::Int(int)),
        Constant::Number(number) => Some(Value::Number(number)),
        Constant::Money(micro) => Some(Value::Money(micro)),
        _ => None,
    };
    let (from, to, value) = (number(&tune.from)?, number(&tune.to)?, number(&param.value)?);
    let is_less = |a, b| compare(a, b) == Some(Ordering::Less);
    let refuse = |span, message: String, help: &str| {
        Some(Diagnostic::new(codes::E0511, span, message).with_help(help))
    };
    if is_less(to, from) {
        let message = "this range ends before it begins".to_owned();
        return refuse(tune.from.span.to(tune.to.span), message, "write the lower value first");
    }
    if let Some(step) = &tune.step
        && !matches!(
            number(step)?,
            Value::Int(1..) | Value::Money(1..) | Value::Number(f64::MIN_POSITIVE..)
        )
    {
        return refuse(step.span, "a step goes upwards".to_owned(), "give it a positive length");
    }
    if is_less(value, from) || is_less(to, value) {
        let message =
            format!("`{}` lies outside of the range in which it is tuned", param.name.text);
        return refuse(param.value.span, message, "widen the range, or choose a value in it");
    }
    None
}

/// A literal and its type.
fn read(
    literal: &Literal,
    world: &World<'_>,
    report: &mut Vec<Diagnostic>,
) -> Option<(Constant, Type)> {
    literals::constant(literal, None, world).map_err(|found| report.push(*found)).ok()
}

fn both_plain(a: Type, b: Type) -> bool {
    types::is_numeric(a) && types::is_numeric(b)
}

/// One rule while its bodies are made.
struct Context<'c> {
    rule: &'c Rule,
    id: RuleId,
    clauses: &'c Clauses<'c>,
    params: &'c BTreeMap<String, Param>,
    groups: &'c [ScoreGroup],
}

impl Context<'_> {
    fn body(
        &self,
        event: EventId,
        build: &mut Build<'_>,
        report: &mut Vec<Diagnostic>,
    ) -> Option<RuleBody> {
        let mut scope = Scope::of(event);
        scope.params.clone_from(self.params);
        for param in &self.clauses.params {
            if let Some(diagnostic) = hides("`param`", &param.name, event, build.world) {
                report.push(diagnostic);
                if let Some(known) = scope.params.get_mut(&param.name.text) {
                    known.refused = true;
                }
            } else if !scope.params.contains_key(&param.name.text) {
                // Its value was refused; what is said of it would be told once more at each use.
                scope.lets.insert(param.name.text.clone(), None);
            }
        }
        scope.made.clone_from(&self.rule.made);
        build.steps.clear();
        let mut lets: Vec<(String, NodeId)> = Vec::new();
        for (name, expr) in &self.clauses.lets {
            if let Some(diagnostic) = Self::taken(name, &scope, build.world) {
                report.push(diagnostic);
                scope.lets.insert(name.text.clone(), None);
                continue;
            }
            let read = |build: &mut _| Checker { build, scope: &scope, report }.expr(expr, None);
            let (node, words) = build.apart(read);
            lets.extend(node.map(|id| (name.text.clone(), id)));
            scope.lets.insert(name.text.clone(), node.map(|id| (id, words)));
        }
        let mut condition = |expr: Option<&Expr>| {
            let read = |build: &mut _| Checker { build, scope: &scope, report }.condition(expr?);
            build.apart(read)
        };
        let (guard, guard_words) = condition(self.clauses.on.and_then(|(_, guard)| guard));
        let (when, mut words) = condition(self.clauses.when);
        for (id, span) in guard_words {
            words.entry(id).or_insert(span);
        }
        scope.steps.named.clone_from(&build.steps);
        let mut checker = Checker { build, scope: &scope, report };
        let unless = self.clauses.unless.map(|expr| checker.condition(expr));
        let actions = self.clauses.then.unwrap_or_default().iter();
        let actions: Vec<Option<ActionPlan>> =
            actions.map(|action| checker.action(action, self.groups)).collect();
        let canary = self.clauses.canary().map(|key| checker.key_slot(key));
        let when = when?;
        self.contract(event, (guard, when), &words, build, report);
        Some(RuleBody {
            rule: self.id,
            guard,
            when,
            unless: unless.flatten(),
            actions: actions.into_iter().collect::<Option<_>>()?,
            canary: canary.flatten(),
            snoozes: Vec::new(),
            lets,
            words: words.into_iter().collect(),
            filled: templates::filled(self.rule, build.world.sources),
        })
    }

    /// A `let` may not be given twice, nor hide anything: the same word would mean two things.
    fn taken(name: &Name, scope: &Scope, world: &World<'_>) -> Option<Diagnostic> {
        if scope.lets.contains_key(&name.text) {
            return Some(twice("let", name, None));
        }
        if scope.params.contains_key(&name.text) {
            return Some(hidden("`let`", name, "a param of this rule"));
        }
        hides("`let`", name, scope.event, world)
    }

    /// A place in this rule; for words of a feature, which stands elsewhere, the rule's whole condition.
    fn own_span(&self, span: Span) -> Span {
        let own = self.rule.span;
        let made = self.rule.made.as_ref();
        if span.is_within(own) || made.is_some_and(|made| span.is_within(made.template)) {
            return span;
        }
        self.clauses.when.map_or(own, |when| when.span)
    }

    /// A condition that can be undecided must say what happens then.
    fn contract(
        &self,
        event: EventId,
        (guard, when): (Option<NodeId>, NodeId),
        words: &Words,
        build: &Build<'_>,
        report: &mut Vec<Diagnostic>,
    ) {
        if self.clauses.says_if_missing() {
            return;
        }
        let causes = missing::causes(build, event, guard, when, words);
        let Some((cause, others)) = causes.split_first() else { return };
        let span = self.own_span(cause.at.span);
        let help = "add `if missing skip`, `if missing match` or `if missing review`";
        let verb =
            self.clauses.then.unwrap_or_default().iter().find_map(|action| match action.kind {
                ActionKind::Block(_) => Some("blocks"),
                ActionKind::Hold { .. } => Some("holds money"),
                ActionKind::StepUp { .. } => Some("steps up"),
                ActionKind::Allow => Some("allows"),
                _ => None,
            });
        let name = &self.rule.name.text;
        let diagnostic = if let Some(verb) = verb {
            let message = format!("rule `{name}` {verb} but can be undecided");
            Diagnostic::new(codes::E0301, span, message).with_help(help)
        } else {
            let message = format!("rule `{name}` can be undecided; then it does nothing");
            Diagnostic::new(codes::W0301, span, message)
                .with_help(format!("{help}; without it `skip` holds"))
        };
        let diagnostic = diagnostic.with_label(&cause.text);
        report.push(others.iter().fold(diagnostic, |told, other| {
            told.with_related(
                self.own_span(other.at.span),
                format!("so it can be by this: {}", other.text),
            )
        }));
    }
}

/// Why a `let` or `param` may not have this name on an event: it would hide a field, an entity or a feature.
fn hides(kind: &str, name: &Name, event: EventId, world: &World<'_>) -> Option<Diagnostic> {
    if world.field(event, &name.text).is_some() {
        return Some(hidden(kind, name, "a field of this event"));
    }
    let feature = world.features.contains_key(name.text.as_str());
    feature.then(|| hidden(kind, name, "a feature"))
}

/// A name that means something else already.
pub(super) fn hidden(kind: &str, name: &Name, what: &str) -> Diagnostic {
    let message = format!("`{}` is already {what}", name.text);
    Diagnostic::new(codes::E0107, name.span, message)
        .with_help(format!("give the {kind} another name"))
}

/// The name of a rule that a test means, or why there is none.
pub(super) fn find(infos: &[RuleInfo], name: &Name) -> Result<RuleId, Refusal> {
    if let Some(index) = infos.iter().position(|info| info.name == name.text) {
        return Ok(RuleId(u16::try_from(index).unwrap_or(u16::MAX)));
    }
    let diagnostic =
        Diagnostic::new(codes::E0505, name.span, format!("there is no rule `{}`", name.text))
            .with_label("unknown");
    let known = infos.iter().map(|info| info.name.as_str());
    Err(Box::new(did_you_mean(
        diagnostic,
        suggest::nearest(&name.text, known),
        "a test names the rule that it is about",
    )))
}
