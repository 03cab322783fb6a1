//! Sequences: `sequence by customer within 2h [ password_reset, login where new_device, this ]`.
//!
//! Every step is a filter on the entries of a table, as that of an aggregate, and may ask state itself: it is decided
//! when its event is. What compares a step with one before is decided by the closing event, over columns. The last step
//! is the closing event itself, and so a plain condition beside the rest.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventId, FieldId};
use crate::rules::check::aggregates::{Column, Frame};
use crate::rules::check::checker::{Checked, Checker, Scope};
use crate::rules::check::functions::walk;
use crate::rules::check::limits::{MAX_SEQUENCE_STEPS, MAX_WINDOW_MS};
use crate::rules::check::literals;
use crate::rules::check::measures::{Kind, Named};
use crate::rules::check::rules::hidden;
use crate::rules::check::schema::{dotted, twice, unknown_event};
use crate::rules::check::types;
use crate::rules::check::world::World;
use crate::rules::program::{NodeId, Op, SequencePlan, SequenceStep, StepRole, Type};
use crate::rules::syntax::ast::{Expr, ExprKind, Name, Path, Sequence, Step, WindowLength};
use crate::window::spec::{ColumnKind, Counting, Span as WindowSpan};

/// A step whose fields can be named.
#[derive(Clone, Debug)]
pub(super) struct StepRef {
    binding: u16,
    step: u16,
    frame: Frame,
}

/// The steps that an expression may name.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    /// By their `as` names.
    pub(super) named: BTreeMap<String, StepRef>,
    /// The step whose fields bare names mean, in a condition that compares it with another.
    pub(super) own: Option<StepRef>,
}

impl Steps {
    /// The event whose fields bare names mean, where that is not the scope's.
    pub(super) fn own_event(&self) -> Option<EventId> {
        self.own.as_ref().map(|own| own.frame.event)
    }
}

const STEP_HELP: &str =
    "in a step's `where` only fields of its event, aggregates on it, params and features may stand";

impl Checker<'_, '_> {
    /// A sequence as a condition of this scope's event.
    pub(super) fn sequence(&mut self, sequence: &Sequence, span: Span) -> Option<NodeId> {
        self.may_ask_state("a sequence", span)?;
        let (last, past) = self.shape(sequence, span)?;
        let within = self.within(&sequence.within)?;
        let said = self.report.len();
        let mut binding = self.binding(sequence);
        let mut inner = self.scope.clone();
        let mut steps = self.steps(sequence, past, (within, binding), &mut inner.steps);
        if let (Some(own), Some(planned)) = (binding, &steps)
            && let Some(known) = self.known_binding(within, planned, own)
        {
            // The same steps once more, so that they are the same nodes.
            self.report.truncate(said);
            (binding, inner) = (Some(known), self.scope.clone());
            steps = self.steps(sequence, past, (within, binding), &mut inner.steps);
        }
        let named = inner.steps.named.clone();
        let report = &mut *self.report;
        let this = last.filter.as_ref().map(|filter| {
            Checker { build: &mut *self.build, scope: &inner, report }.condition(filter)
        });
        for (name, step) in named {
            if !self.scope.steps.named.contains_key(&name) {
                self.build.steps.insert(name, step);
            }
        }
        let plan = SequencePlan { within_ms: within.length_ms, steps: steps?, binding };
        let before = self.node(Op::Sequence(Box::new(plan)), Type::Bool, span)?;
        match this {
            None => Some(before),
            Some(this) => self.join(vec![before, this?], true, span),
        }
    }

    /// The last step and those before it, when together they make a sequence.
    fn shape<'s>(&mut self, sequence: &'s Sequence, span: Span) -> Option<(&'s Step, &'s [Step])> {
        let (last, past) = sequence.steps.split_last()?;
        let before = self.report.len();
        let mut wrong = |span: Span, message: &str, help: &str| {
            self.report.push(Diagnostic::new(codes::E0408, span, message).with_help(help));
        };
        let is_this = |step: &Step| step.event.text == "this";
        if !is_this(last) {
            wrong(
                last.span,
                "the last step of a sequence is the present event",
                "end with `this`: `[ login, this ]`",
            );
        } else if last.without || last.times.is_some() || last.alias.is_some() {
            wrong(
                last.span,
                "the last step is this event, once and by no other name",
                "write `this`, or `this where ...`",
            );
        }
        for step in past {
            if is_this(step) {
                let help = "name its event: the present event is the last step";
                wrong(step.span, "`this` stands before the end", help);
            }
            if step.without && (step.times.is_some() || step.alias.is_some()) {
                let help = "`without` forbids every such event; it takes neither `times` nor `as`";
                wrong(step.span, "an event that must not be there has no number and no name", help);
            }
        }
        match past.first() {
            None => wrong(
                span,
                "nothing comes before this event",
                "name a step before `this`: `[ login, this ]`",
            ),
            Some(first) if first.without => wrong(
                first.span,
                "`without` forbids an event between two steps, and no step stands before it",
                "begin with the step that it follows, or ask `count(...) by ... over prior ... = 0`",
            ),
            Some(_) => {}
        }
        let most = usize::from(MAX_SEQUENCE_STEPS);
        let n_steps: usize = past.iter().map(|step| usize::from(times(step).unwrap_or(1))).sum();
        if n_steps > most || past.len() > most {
            let message = format!("this sequence has more than {most} steps");
            let help = "each of `3 times` is a step; for many equal events ask `count(...)`";
            wrong(span, &message, help);
        }
        for step in past.iter().filter(|step| times(step).is_none()) {
            let message = format!("a step comes 1 to {MAX_SEQUENCE_STEPS} times");
            wrong(step.span, &message, "write a whole number, as in `3 times login`");
        }
        (self.report.len() == before).then_some((last, past))
    }

    fn within(&mut self, length: &WindowLength) -> Option<WindowSpan> {
        let (length_ms, span) = self.length(length)?;
        if length_ms <= 0 || length_ms > MAX_WINDOW_MS {
            let message = "a sequence takes longer than nothing and at most ten years";
            return self.refuse(
                Diagnostic::new(codes::E0403, span, message).with_help("write `within 2h`"),
            );
        }
        Some(WindowSpan::sliding(length_ms, 0))
    }

    /// The steps before this event; `None` where one of them was refused.
    fn steps(
        &mut self,
        sequence: &Sequence,
        past: &[Step],
        by: (WindowSpan, Option<u16>),
        named: &mut Steps,
    ) -> Option<Vec<SequenceStep>> {
        let steps: Vec<Option<SequenceStep>> = (0_u16..)
            .zip(past)
            .map(|(index, step)| self.step(sequence, (step, index), by, named))
            .collect();
        steps.into_iter().collect()
    }

    /// The number of a sequence of the same steps that stood before; else this one is known by its own.
    fn known_binding(
        &mut self,
        within: WindowSpan,
        steps: &[SequenceStep],
        own: u16,
    ) -> Option<u16> {
        let writer = self.writer(self.scope.event);
        let texts = steps.iter().map(|step| {
            let condition = step.condition.map_or_else(String::new, |id| writer.text(id));
            format!("{:?} {} {} {condition}", step.role, step.name, writer.text(step.latest))
        });
        let text = format!("{} {}", within.length_ms, texts.collect::<Vec<_>>().join(", "));
        let known = *self.build.sequences.entry((self.scope.event, text)).or_insert(own);
        (known != own).then_some(known)
    }

    /// A number for a sequence whose steps have names.
    fn binding(&mut self, sequence: &Sequence) -> Option<u16> {
        sequence.steps.iter().find(|step| step.alias.is_some())?;
        let next = self.build.bindings.entry(self.scope.event).or_insert(0);
        let binding = *next;
        *next = next.saturating_add(1);
        Some(binding)
    }

    fn step(
        &mut self,
        sequence: &Sequence,
        (step, index): (&Step, u16),
        (window, binding): (WindowSpan, Option<u16>),
        steps: &mut Steps,
    ) -> Option<SequenceStep> {
        let schema = self.build.world.schema;
        let Some(event) = schema.event_named(&step.event.text) else {
            let names = schema.events.iter().map(|event| event.name.as_str());
            let diagnostic = unknown_event(&step.event, names);
            return self.refuse(diagnostic);
        };
        let keys = self.keys(event, &sequence.keys)?;
        let (counting, zone, span) = (Counting::Prior, None, step.span);
        let frame = Frame { event, keys, window, counting, zone, span };
        let own = binding.map(|binding| StepRef { binding, step: index, frame: frame.clone() });
        let (alone, compared) = parts(step.filter.as_ref(), steps);
        let filter = self.alone(event, &alone);
        let condition = if compared.is_empty() {
            Some(None)
        } else {
            self.compared(&compared, Steps { own: own.clone(), ..steps.clone() }).map(Some)
        };
        if let (Some(name), Some(own)) = (&step.alias, own) {
            self.name_step(name, own, steps);
        }
        let arrival = self.arrival(event, step.span)?;
        let latest = self.reading(&frame, Kind::Last, Some(&arrival), filter?)?;
        let role = if step.without { StepRole::Without } else { StepRole::Take(times(step)?) };
        let name = step.alias.as_ref().unwrap_or(&step.event).text.clone();
        Some(SequenceStep { role, event, name, latest, condition: condition? })
    }

    fn name_step(&mut self, name: &Name, own: StepRef, steps: &mut Steps) {
        let (world, scope) = (self.build.world, self.scope);
        let taken = if scope.params.contains_key(&name.text) {
            "a param of this rule"
        } else if scope.lets.contains_key(&name.text) {
            "a `let` of this rule"
        } else if world.field(scope.event, &name.text).is_some() {
            "a field of this event"
        } else if world.schema.event_named(&name.text).is_some() {
            "an event"
        } else if begins_a_field(&name.text, [scope.event, own.frame.event], world) {
            "the first part of a field"
        } else if world.features.contains_key(name.text.as_str()) {
            "a feature"
        } else if steps.named.contains_key(&name.text) || self.build.steps.contains_key(&name.text)
        {
            self.report.push(twice("step", name, None));
            return;
        } else {
            steps.named.insert(name.text.clone(), own);
            return;
        };
        self.report.push(hidden("step", name, taken));
    }

    /// What a step asks of its event alone, decided when that event is.
    fn alone(&mut self, event: EventId, conditions: &[&Expr]) -> Checked<Option<NodeId>> {
        let mut scope = Scope::of(event);
        scope.params.clone_from(&self.scope.params);
        scope.in_step = true;
        scope.in_cycle = self.scope.in_cycle;
        let mut ids = Vec::new();
        for condition in conditions {
            if let Some(diagnostic) = self.let_in_filter(condition, event, STEP_HELP) {
                return self.refuse(diagnostic);
            }
            let report = &mut *self.report;
            let read =
                |build: &mut _| Checker { build, scope: &scope, report }.condition(condition);
            ids.push(self.build.apart(read).0);
        }
        let ids: Vec<NodeId> = ids.into_iter().collect::<Option<_>>()?;
        let Some(first) = conditions.first() else { return Some(None) };
        let report = &mut *self.report;
        let join =
            |build: &mut _| Checker { build, scope: &scope, report }.join(ids, true, first.span);
        self.build.apart(join).0.map(Some)
    }

    /// What compares a step with those before it, over what state remembers of them.
    fn compared(&mut self, conditions: &[&Expr], steps: Steps) -> Option<NodeId> {
        let own = steps.own.as_ref()?.frame.event;
        let mut scope = Scope::of(self.scope.event);
        scope.params.clone_from(&self.scope.params);
        scope.steps = steps;
        let mut ids = Vec::new();
        for condition in conditions {
            if let Some(diagnostic) = self.let_in_filter(condition, own, STEP_HELP) {
                return self.refuse(diagnostic);
            }
            let report = &mut *self.report;
            let mut inner = Checker { build: &mut *self.build, scope: &scope, report };
            ids.push(inner.condition(condition));
        }
        let ids: Vec<NodeId> = ids.into_iter().collect::<Option<_>>()?;
        let span = conditions.first()?.span;
        self.join(ids, true, span)
    }

    /// The column in which entries remember the order of their arrival.
    fn arrival(&mut self, event: EventId, span: Span) -> Option<Column> {
        let scope = Scope { in_filter: true, ..Scope::of(event) };
        let report = &mut *self.report;
        let read = |build: &mut _| {
            Checker { build, scope: &scope, report }.node(Op::Arrival, Type::Integer, span)
        };
        let node = self.build.apart(read).0?;
        let text = self.writer(event).text(node);
        let (kind, ty) = (ColumnKind::Int, Type::Integer);
        Some(Column { field: None, named: Named { node, text }, kind, ty, unpriced: None })
    }

    /// The meaning of a path that names a step, or that stands where bare names mean a step's fields. Outer `None`: it
    /// is neither.
    pub(super) fn step_path(
        &mut self,
        path: &Path,
        name: &str,
        hint: Option<Type>,
    ) -> Option<Checked<NodeId>> {
        if let Some((step, field)) = self.named_step(path, name) {
            let (step, field) = (step.clone(), field.to_owned());
            return Some(self.step_field(&step, &field, path, hint));
        }
        let own = self.scope.steps.own.clone()?;
        let event = &self.build.world.schema.event(own.frame.event).name;
        let field = name.strip_prefix(&format!("{event}.")).unwrap_or(name).to_owned();
        if path.this {
            return Some(self.refuse(no_this(path.span)));
        }
        if self.build.world.field(own.frame.event, &field).is_some() {
            return Some(self.step_field(&own, &field, path, hint));
        }
        if self.build.world.features.contains_key(name) {
            let message = format!("feature `{name}` beside a field of another step");
            let diagnostic = Diagnostic::new(codes::E0405, path.span, message)
                .with_help("ask it in a condition of its own, joined with `and`");
            return Some(self.refuse(diagnostic));
        }
        None
    }

    fn named_step<'n>(&self, path: &Path, name: &'n str) -> Option<(&StepRef, &'n str)> {
        let (head, field) = name.split_once('.').filter(|_| !path.this)?;
        let step = self.scope.steps.named.get(head)?;
        Some((step, field))
    }

    fn step_field(
        &mut self,
        step: &StepRef,
        name: &str,
        path: &Path,
        hint: Option<Type>,
    ) -> Option<NodeId> {
        let world = self.build.world;
        let event = step.frame.event;
        let Some(field) = world.field(event, name) else {
            let diagnostic = self.unknown_field(event, name, path);
            // The field is offered by the author's word for the step.
            let head = path.parts.first().map_or("", |part| part.text.as_str());
            let own = format!("{}.", world.schema.event(event).name);
            let help = diagnostic.help.map(|help| help.replace(&own, &format!("{head}.")));
            return self.refuse(Diagnostic { fix: None, help, ..diagnostic });
        };
        let declared = world.schema.event(event).field(field);
        let is_money = matches!(declared.ty, crate::event::schema::FieldType::Money { .. });
        let currency = match hint {
            Some(Type::Money(currency)) => Some(currency),
            _ => types::fixed_currency(declared),
        };
        let currency = is_money.then(|| currency.unwrap_or(world.base_currency));
        let column = self.column_of(event, field, currency, path.span)?;
        let filter = self.with_presence(event, None, &column)?;
        let value = self.reading(&step.frame, Kind::Last, Some(&column), filter)?;
        let op = Op::StepField { binding: step.binding, step: step.step, value };
        self.node(op, column.ty, path.span)
    }

    /// The event and field of a path that names a step or means the step at hand.
    pub(super) fn field_of_step(&self, path: &Path, name: &str) -> Option<(EventId, FieldId)> {
        let world = self.build.world;
        if let Some((step, field)) = self.named_step(path, name) {
            return world.field(step.frame.event, field).map(|field| (step.frame.event, field));
        }
        let own = self.scope.steps.own.as_ref()?.frame.event;
        let event = &world.schema.event(own).name;
        let name = name.strip_prefix(&format!("{event}.")).unwrap_or(name);
        world.field(own, name).map(|field| (own, field))
    }
}

/// How often a step is taken; `None` when that is no number of steps.
fn times(step: &Step) -> Option<u16> {
    let Some(times) = step.times else { return Some(1) };
    let most = i32::from(MAX_SEQUENCE_STEPS);
    literals::whole(times, 1..=most).and_then(|times| u16::try_from(times).ok())
}

/// The conditions that a step's event decides alone, and those that name a step before.
fn parts<'e>(filter: Option<&'e Expr>, steps: &Steps) -> (Vec<&'e Expr>, Vec<&'e Expr>) {
    let Some(filter) = filter else { return (Vec::new(), Vec::new()) };
    let all = match &filter.kind {
        ExprKind::And(parts) => parts.iter().collect(),
        _ => vec![filter],
    };
    all.into_iter().partition(|part| !names_step(part, steps))
}

fn names_step(expr: &Expr, steps: &Steps) -> bool {
    let mut found = false;
    walk(expr, &mut |inner| {
        if let ExprKind::Path(path) = &inner.kind
            && let Some((head, _)) = dotted(path).split_once('.')
        {
            found |= !path.this && steps.named.contains_key(head);
        }
    });
    found
}

/// Why `this` does not stand in the condition of another event.
pub(super) fn no_this(span: Span) -> Diagnostic {
    let message = "`this` cannot be used in the `where` of a step before it";
    Diagnostic::new(codes::E0405, span, message)
        .with_help("name the step with `as`, and compare in `this where ...`")
}

/// Whether a field of one of the events is written with this word before a dot.
fn begins_a_field(name: &str, events: [EventId; 2], world: &World<'_>) -> bool {
    let begins = |field: &str| field.split_once('.').is_some_and(|(first, _)| first == name);
    let fields = events.iter().flat_map(|event| &world.schema.event(*event).fields);
    fields.into_iter().any(|field| begins(&field.name))
}
