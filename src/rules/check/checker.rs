//! Names, types and units of expressions, for one rule on one event type.
//!
//! What this phase knows: the schema, lists, features, and the `let` and `param` names of the rule. It builds nodes
//! in the arena of the event type; a `None` means that the mistake has been reported.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::EventId;
use crate::rules::check::arena::{Arena, Ir};
use crate::rules::check::literals;
use crate::rules::check::measures::Measures;
use crate::rules::check::mixed::mixed;
use crate::rules::check::refusal::Refusal;
use crate::rules::check::sequences::{StepRef, Steps};
use crate::rules::check::study::Notes;
use crate::rules::check::types;
use crate::rules::check::world::World;
use crate::rules::program::{Constant, ListId, ModelPlan, NodeId, Op, Type};
use crate::rules::syntax::ast::{CompareOp, Expr, ExprKind, Made, Name, Text};

/// What reading a part of a rule gives: none where it was refused, which is reported then.
pub(super) type Checked<T> = Option<T>;

/// Everything that grows while rules are checked.
#[derive(Debug)]
pub(super) struct Build<'a> {
    pub(super) world: &'a World<'a>,
    /// One per event type.
    pub(super) arenas: Vec<Arena>,
    pub(super) measures: Measures,
    /// Features that were asked for, by event and name.
    pub(super) features: BTreeMap<(EventId, String), FeatureState>,
    /// Features that were named in a condition on events of a type, and where first.
    pub(super) judged: BTreeMap<(EventId, String), Span>,
    /// How many sequences with named steps each event type has.
    pub(super) bindings: BTreeMap<EventId, u16>,
    /// The numbers of sequences by what their steps say.
    pub(super) sequences: BTreeMap<(EventId, String), u16>,
    /// Steps that the rule being read has named so far.
    pub(super) steps: BTreeMap<String, StepRef>,
    /// Where the expression that is being read wrote its nodes.
    words: Words,
    /// Models, once they are known.
    pub(super) models: Option<NamedModels>,
    /// What an editor wants to know beside the program.
    pub(super) notes: Option<Notes>,
}

/// Where one author wrote nodes, beside the span of the shared node; of several places the first.
pub(super) type Words = BTreeMap<NodeId, Span>;

/// By name the place of each model that is one, and all of those.
pub(super) type NamedModels = (BTreeMap<String, Option<usize>>, Vec<ModelPlan>);

/// How far a feature is on an event.
#[derive(Clone, Debug)]
pub(super) enum FeatureState {
    /// Its definition is being read: asking again is a cycle.
    InProgress,
    /// Its node, and where its definition wrote what.
    Known(NodeId, Words),
    /// Why it cannot be computed here.
    Refused(Vec<Diagnostic>),
}

impl<'a> Build<'a> {
    /// Nothing known yet.
    pub(super) fn new(world: &'a World<'a>) -> Self {
        let arenas = world.schema.events.iter().map(|_| Arena::default()).collect();
        Self {
            world,
            arenas,
            measures: Measures::default(),
            features: BTreeMap::new(),
            judged: BTreeMap::new(),
            bindings: BTreeMap::new(),
            sequences: BTreeMap::new(),
            steps: BTreeMap::new(),
            words: Words::new(),
            models: None,
            notes: None,
        }
    }

    /// Reads something whose words are kept apart from those of the expression around it.
    pub(super) fn apart<T>(&mut self, read: impl FnOnce(&mut Self) -> T) -> (T, Words) {
        let around = mem::take(&mut self.words);
        let result = read(self);
        (result, mem::replace(&mut self.words, around))
    }

    /// The expression names a `let` or a feature: its words stand for the nodes that are not written out here.
    pub(super) fn add_words(&mut self, named: &Words) {
        for (id, span) in named {
            self.words.entry(*id).or_insert(*span);
        }
    }

    /// The arena of an event.
    pub(super) fn arena(&self, event: EventId) -> &Arena {
        &self.arenas[usize::from(event.0)]
    }
}

/// The names that an expression may use besides those of the world.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    /// The event whose fields are meant.
    pub(super) event: EventId,
    /// Constants of the rule.
    pub(super) params: BTreeMap<String, Param>,
    /// `let` names with their words; `None` when their definition was refused.
    pub(super) lets: BTreeMap<String, Option<(NodeId, Words)>>,
    /// Inside an aggregate's `where`: `event` is the aggregated one.
    pub(super) in_filter: bool,
    /// Inside the `where` of a step: `event` is the step's.
    pub(super) in_step: bool,
    /// Inside a feature that is defined by its own past: what asks for that must not count the present event.
    pub(super) in_cycle: bool,
    /// Steps of a sequence that may be named.
    pub(super) steps: Steps,
    /// The template of a rule that a `use` made: its messages speak of parameters.
    pub(super) made: Option<Box<Made>>,
}

/// A constant with a name.
#[derive(Clone, Debug)]
pub(super) struct Param {
    pub(super) constant: Constant,
    pub(super) ty: Type,
    /// Where its value stands: in the rule, or in the `use` that gives it.
    pub(super) value: Span,
    /// Its name was refused already, for it hides another.
    pub(super) refused: bool,
}

impl Scope {
    /// A scope with the fields of an event only.
    pub(super) fn of(event: EventId) -> Self {
        let (params, lets) = (BTreeMap::new(), BTreeMap::new());
        let (steps, made) = (Steps::default(), None);
        let (in_filter, in_step, in_cycle) = (false, false, false);
        Self { event, params, lets, in_filter, in_step, in_cycle, steps, made }
    }
}

/// Checks expressions in one scope.
#[derive(Debug)]
pub(super) struct Checker<'c, 'a> {
    pub(super) build: &'c mut Build<'a>,
    pub(super) scope: &'c Scope,
    pub(super) report: &'c mut Vec<Diagnostic>,
}

impl Checker<'_, '_> {
    /// An expression that must be true or false.
    pub(super) fn condition(&mut self, expr: &Expr) -> Option<NodeId> {
        let id = self.expr(expr, Some(Type::Bool))?;
        let ty = self.ty(id);
        if ty == Type::Bool {
            return Some(id);
        }
        let message =
            format!("`{}` is {}, not a condition", self.quote(expr.span), self.describe(ty));
        let diagnostic = Diagnostic::new(codes::E0203, expr.span, message).with_help(
            "compare it with something, as in `... > 5`, or ask whether it `is present`",
        );
        self.refuse(diagnostic)
    }

    /// Any expression. The hint is the type that the place asks for: it gives bare words, texts and money of a varying
    /// currency their type, and is not enforced here.
    pub(super) fn expr(&mut self, expr: &Expr, hint: Option<Type>) -> Option<NodeId> {
        let id = self.read(expr, hint)?;
        let ty = self.ty(id);
        if let Some(notes) = &mut self.build.notes {
            notes.types.insert((expr.span, ty));
        }
        Some(id)
    }

    fn read(&mut self, expr: &Expr, hint: Option<Type>) -> Option<NodeId> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Literal(literal) => {
                let result = literals::constant(literal, hint, self.build.world);
                let (constant, ty) = self.keep(result)?;
                self.node(Op::Constant(constant), ty, span)
            }
            ExprKind::Path(path) => self.path(path, hint),
            ExprKind::Call(name, args) => self.call(name, args, hint, span),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, span),
            ExprKind::Sequence(sequence) => self.sequence(sequence, span),
            ExprKind::Not(inner) => {
                let inner = self.condition(inner)?;
                self.not(inner, span)
            }
            ExprKind::And(list) => self.all_of(list, span),
            ExprKind::Or(list) => {
                self.report.extend(mixed(self.build.world.sources, list, span));
                self.any_of(list, span)
            }
            ExprKind::Compare(op, a, b) => {
                self.whole_days(*op, a, b);
                self.compare(*op, a, b, span)
            }
            ExprKind::InSet { value, set, negated } => {
                let id = self.in_set(value, set, span)?;
                if *negated { self.not(id, span) } else { Some(id) }
            }
            ExprKind::InList { value, list, negated } => {
                let id = self.in_list(value, list, span)?;
                if *negated { self.not(id, span) } else { Some(id) }
            }
            ExprKind::Between(value, low, high) => {
                self.whole_days(CompareOp::Le, value, high);
                let from = self.compare(CompareOp::Ge, value, low, span);
                let to = self.compare(CompareOp::Le, value, high, span);
                self.ends_in_order((from, to), (value, low, high));
                self.join(vec![from?, to?], true, span)
            }
            ExprKind::IsMissing { value, missing } => {
                let value = self.expr(value, None)?;
                let id = self.node(Op::IsMissing(value), Type::Bool, span)?;
                if *missing { Some(id) } else { self.not(id, span) }
            }
            ExprKind::Matches(value, pattern) => self.matches(value, pattern, span),
            ExprKind::Contains(a, b) => self.text_pair(a, b, Op::Contains, span),
            ExprKind::StartsWith(a, b) => self.text_pair(a, b, Op::StartsWith, span),
            ExprKind::Arithmetic(op, a, b) => self.arithmetic(*op, a, b, hint, span),
            ExprKind::Default(a, b) => self.default_of(a, b, hint, span),
            ExprKind::PercentOf(percent, of) => self.percent_of(percent, of, hint, span),
            ExprKind::Error => None,
        }
    }

    fn all_of(&mut self, list: &[Expr], span: Span) -> Option<NodeId> {
        let ids: Vec<Option<NodeId>> = list.iter().map(|expr| self.condition(expr)).collect();
        let ids: Option<Vec<NodeId>> = ids.into_iter().collect();
        self.join(ids?, true, span)
    }

    fn any_of(&mut self, list: &[Expr], span: Span) -> Option<NodeId> {
        let ids: Vec<Option<NodeId>> = list.iter().map(|expr| self.condition(expr)).collect();
        let ids: Option<Vec<NodeId>> = ids.into_iter().collect();
        self.join(ids?, false, span)
    }

    /// `and` or `or` of conditions: flat, each operand once.
    pub(super) fn join(&mut self, ids: Vec<NodeId>, all: bool, span: Span) -> Option<NodeId> {
        let mut flat: Vec<NodeId> = Vec::new();
        for id in ids {
            let inner = match self.op(id) {
                Some(Op::And(list)) if all => list.clone(),
                Some(Op::Or(list)) if !all => list.clone(),
                _ => vec![id],
            };
            flat.extend(inner);
        }
        let mut seen = BTreeSet::new();
        flat.retain(|id| seen.insert(*id));
        if let [one] = flat[..] {
            return Some(one);
        }
        self.node(if all { Op::And(flat) } else { Op::Or(flat) }, Type::Bool, span)
    }

    /// Three-valued not; twice is nothing.
    pub(super) fn not(&mut self, id: NodeId, span: Span) -> Option<NodeId> {
        match self.op(id) {
            Some(Op::Not(inner)) => Some(*inner),
            _ => self.node(Op::Not(id), Type::Bool, span),
        }
    }

    fn in_set(&mut self, value: &Expr, set: &[Expr], span: Span) -> Option<NodeId> {
        let money = set.iter().chain([value]).filter_map(|e| self.currency_of(e)).max();
        let hint = money.map(|(_, currency)| Type::Money(currency));
        let id = self.expr(value, hint)?;
        let ty = self.ty(id);
        let members: Vec<Option<NodeId>> = set
            .iter()
            .map(|member| {
                let other = self.expr(member, Some(ty))?;
                Some(self.unify((id, value.span), (other, member.span))?.1)
            })
            .collect();
        let members: Vec<NodeId> = members.into_iter().collect::<Option<_>>()?;
        let mut constants: Vec<Constant> = Vec::new();
        for &member in &members {
            if let Some(Op::Constant(constant)) = self.op(member) {
                constants.push(constant.clone());
            }
        }
        if constants.len() == members.len() && !constants.is_empty() {
            constants.sort_by_key(|constant| format!("{constant:?}"));
            constants.dedup();
            return self.node(Op::InSet(id, constants), Type::Bool, span);
        }
        let mut equal = Vec::new();
        for member in members {
            equal.push(self.node(Op::Compare(CompareOp::Eq, id, member), Type::Bool, span)?);
        }
        self.join(equal, false, span)
    }

    fn in_list(&mut self, value: &Expr, name: &Name, span: Span) -> Option<NodeId> {
        let (id, list) = self.looked_up(value, name)?;
        self.node(Op::InList(id, list), Type::Bool, span)
    }

    /// A value that is looked up in a list of its type.
    pub(super) fn looked_up(&mut self, value: &Expr, name: &Name) -> Option<(NodeId, ListId)> {
        let Some((list, ty)) = self.list(name) else {
            self.expr(value, None);
            return None;
        };
        let id = self.expr(value, Some(ty))?;
        let found = self.ty(id);
        if found != ty {
            let code = match (found, ty) {
                (Type::Entity(_), Type::Entity(_)) => codes::E0214,
                _ => codes::E0201,
            };
            let message = format!(
                "`{}` is {}, list `{}` holds {}",
                self.quote(value.span),
                self.describe(found),
                name.text,
                self.describe(ty)
            );
            let diagnostic = Diagnostic::new(code, value.span, message)
                .with_help("use a list of this type, or declare the field with the list's type");
            return self.refuse(diagnostic);
        }
        self.text_of_event(id, value.span, "looked up in a list")?;
        Some((id, list))
    }

    fn matches(&mut self, value: &Expr, pattern: &Text, span: Span) -> Option<NodeId> {
        let id = self.text(value, "matched with a pattern")?;
        if let Some(message) = crate::rules::check::patterns::too_much(&pattern.text) {
            let help = "write a shorter pattern, or several conditions joined with `or`";
            let found = Diagnostic::new(codes::E0511, pattern.span, message).with_help(help);
            return self.refuse(found);
        }
        let built = regex::RegexBuilder::new(&pattern.text)
            .size_limit(crate::rules::check::limits::MAX_PATTERN_BYTES)
            .build();
        if let Err(error) = built {
            let reason = error.to_string();
            let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
            let diagnostic = Diagnostic::new(
                codes::E0230,
                pattern.span,
                format!("this pattern cannot be read: {reason}"),
            )
            .with_help("patterns are regular expressions without look-around and back-references");
            return self.refuse(diagnostic);
        }
        self.node(Op::Matches(id, pattern.text.clone()), Type::Bool, span)
    }

    fn text_pair(
        &mut self,
        a: &Expr,
        b: &Expr,
        make: fn(NodeId, NodeId) -> Op,
        span: Span,
    ) -> Option<NodeId> {
        let left = self.text(a, "searched");
        let right = self.text(b, "searched for");
        self.node(make(left?, right?), Type::Bool, span)
    }

    /// A text, an entity or an address whose characters are at hand.
    pub(super) fn text(&mut self, expr: &Expr, verb: &str) -> Option<NodeId> {
        let id = self.expr(expr, Some(Type::Text))?;
        let ty = self.ty(id);
        if !types::is_textual(ty) {
            let message = format!(
                "`{}` is {}, it cannot be {verb}",
                self.quote(expr.span),
                self.describe(ty)
            );
            return self.refuse(
                Diagnostic::new(codes::E0202, expr.span, message).with_label("not a text"),
            );
        }
        self.text_of_event(id, expr.span, verb)?;
        Some(id)
    }

    /// Refuses texts that come out of state: only their equality is known there.
    fn text_of_event(&mut self, id: NodeId, span: Span, verb: &str) -> Option<()> {
        if !self.remembered(id) {
            return Some(());
        }
        let message = format!("`{}` is a remembered text and cannot be {verb}", self.quote(span));
        self.refuse(
            Diagnostic::new(codes::E0202, span, message)
                .with_help("a remembered text can be compared with `=` and `!=` only"),
        )
    }

    fn remembered(&self, id: NodeId) -> bool {
        if !types::is_textual(self.ty(id)) {
            return false;
        }
        match &self.build.arena(self.scope.event).get(id).ir {
            Ir::Measure { .. } | Ir::Op(Op::StepField { .. }) => true,
            Ir::Op(Op::Default(a, b)) => self.remembered(*a) || self.remembered(*b),
            Ir::Op(_) | Ir::Judged(_) => false,
        }
    }

    /// A node of this scope's event.
    pub(super) fn node(&mut self, op: Op, ty: Type, span: Span) -> Option<NodeId> {
        self.intern(Ir::Op(op), ty, span)
    }

    pub(super) fn intern(&mut self, ir: Ir, ty: Type, span: Span) -> Option<NodeId> {
        match self.build.arenas[usize::from(self.scope.event.0)].intern(ir, ty, span) {
            Ok(id) => {
                self.build.words.entry(id).or_insert(span);
                Some(id)
            }
            Err(_) => self.refuse(
                Diagnostic::new(
                    codes::E0009,
                    span,
                    "this expression is too large once its names are written out",
                )
                .with_help("use fewer nested `let` and `feature` names"),
            ),
        }
    }

    pub(super) fn op(&self, id: NodeId) -> Option<&Op> {
        self.build.arena(self.scope.event).op(id)
    }

    pub(super) fn ty(&self, id: NodeId) -> Type {
        self.build.arena(self.scope.event).ty(id)
    }

    pub(super) fn describe(&self, ty: Type) -> String {
        types::describe(self.build.world.schema, ty)
    }

    /// The author's words, shortened.
    pub(super) fn quote(&self, span: Span) -> String {
        quote(self.build.world, span)
    }

    pub(super) fn keep<T>(&mut self, result: Result<T, Refusal>) -> Option<T> {
        result.map_err(|found| self.report.push(*found)).ok()
    }

    pub(super) fn refuse<T>(&mut self, diagnostic: Diagnostic) -> Option<T> {
        self.report.push(diagnostic);
        None
    }
}

/// The author's words on one line, shortened.
pub(super) fn quote(world: &World<'_>, span: Span) -> String {
    let words: Vec<&str> = world.sources.text(span).split_whitespace().collect();
    let text = words.join(" ");
    if text.chars().count() <= 60 {
        return text;
    }
    let mut short: String = text.chars().take(57).collect();
    short.push_str("...");
    short
}
