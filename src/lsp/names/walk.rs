//! Through all items, clause by clause.

use std::sync::Arc;

use crate::diag::{Sources, Span};
use crate::lsp::names::scope::{Declared, Scope, dotted};
use crate::lsp::names::{Mention, Owner, Question, Symbol};
use crate::rules::syntax::ast::{
    self, Action, ActionKind, Aggregate, Clause, ClauseKind, Entity, Event, EventCount,
    EventLiteral, Expr, ExprKind, Item, Key, List, Mode, Model, ModelClauseKind, Name,
    PolicyClauseKind, Sequence, Test, Text, Type, TypeKind, Use, WantKind, Window, WindowKind,
    WindowLength, ZoneName,
};
use crate::rules::syntax::message;

/// Everything that is named, and everything that asks state.
pub(super) fn all(files: &[Arc<ast::File>], sources: &Sources) -> (Vec<Mention>, Vec<Question>) {
    let declared = Declared::of(files);
    let mut walker =
        Walker { declared: &declared, sources, mentions: Vec::new(), questions: Vec::new() };
    for item in files.iter().flat_map(|file| &file.items) {
        walker.item(item);
    }
    (walker.mentions, walker.questions)
}

struct Walker<'a> {
    declared: &'a Declared<'a>,
    sources: &'a Sources,
    mentions: Vec<Mention>,
    questions: Vec<Question>,
}

impl Walker<'_> {
    fn define(&mut self, name: &Name, symbol: Symbol) {
        self.mentions.push(Mention { span: name.span, symbol, defines: true });
    }

    fn mention(&mut self, span: Span, symbol: Symbol) {
        self.mentions.push(Mention { span, symbol, defines: false });
    }

    fn item(&mut self, item: &Item) {
        match item {
            Item::Event(event) => self.event(event),
            Item::Entity(entity) => self.entity(entity),
            Item::List(list) => self.list(list),
            Item::Feature(feature) => {
                self.define(&feature.name, Symbol::Feature(feature.name.text.clone()));
                let events = self.declared.events.keys().map(|event| (*event).to_owned());
                let scope = Scope::of(self.declared, events.collect());
                self.expr(&feature.expr, &scope);
            }
            Item::Model(model) => self.model(model),
            Item::Rule(rule) => {
                self.define(&rule.name, Symbol::Rule(rule.name.text.clone()));
                let mut scope = Scope::of(self.declared, on(&rule.clauses));
                scope.owner = Some(Owner::Rule(rule.name.text.clone()));
                self.clauses(&rule.clauses, scope);
            }
            Item::Template(template) => {
                self.define(&template.name, Symbol::Template(template.name.text.clone()));
                let mut scope = Scope::of(self.declared, on(&template.clauses));
                let owner = Owner::Template(template.name.text.clone());
                for (name, _) in &template.params {
                    self.define(name, Symbol::Local(owner.clone(), name.text.clone()));
                    scope.locals.insert(name.text.clone(), owner.clone());
                }
                scope.owner = Some(owner);
                self.clauses(&template.clauses, scope);
            }
            Item::Use(made) => self.made(made),
            Item::Snooze(snooze) => {
                self.mention(snooze.rule.span, Symbol::Rule(snooze.rule.text.clone()));
                let events = self.declared.events.keys().map(|event| (*event).to_owned());
                Scope::of(self.declared, events.collect()).path(&snooze.key, &mut self.mentions);
            }
            Item::Policy(policy) => {
                let scope = Scope::of(self.declared, Vec::new());
                for clause in &policy.clauses {
                    if let PolicyClauseKind::Band(_, _, action) = &clause.kind {
                        self.action(action, &scope);
                    }
                }
            }
            Item::Test(test) => self.test(test),
        }
    }

    fn model(&mut self, model: &Model) {
        self.define(&model.name, Symbol::Model(model.name.text.clone()));
        let named = model.clauses.iter().filter_map(|clause| match &clause.kind {
            ModelClauseKind::On(name) => Some(name),
            _ => None,
        });
        let events: Vec<String> = named.map(|name| name.text.clone()).collect();
        let scope = Scope::of(self.declared, events);
        for clause in &model.clauses {
            match &clause.kind {
                ModelClauseKind::On(name) => {
                    self.mention(name.span, Symbol::Event(name.text.clone()));
                }
                ModelClauseKind::Reads(features) => {
                    let paths = features.iter().map(|feature| &feature.path);
                    paths.for_each(|path| scope.path(path, &mut self.mentions));
                }
                ModelClauseKind::Segment(paths) => {
                    for path in paths {
                        scope.path(path, &mut self.mentions);
                    }
                }
                _ => {}
            }
        }
    }

    fn event(&mut self, event: &Event) {
        let name = &event.name.text;
        self.define(&event.name, Symbol::Event(name.clone()));
        for field in &event.fields {
            if let (Some(first), Some(last)) = (field.path.parts.first(), field.path.parts.last()) {
                let symbol = Symbol::Field(name.clone(), dotted(&field.path.parts));
                let span = first.span.to(last.span);
                self.mentions.push(Mention { span, symbol, defines: true });
            }
            self.ty(&field.ty);
        }
        for labels in [&event.labels, &event.answers].into_iter().flatten() {
            for event in &labels.events {
                self.mention(event.span, Symbol::Event(event.text.clone()));
            }
            let scope = Scope::of(self.declared, vec![name.clone()]);
            for path in [&labels.by].into_iter().chain(&labels.agreeing) {
                scope.path(path, &mut self.mentions);
            }
            scope.path(&labels.verdict, &mut self.mentions);
        }
        let scope = Scope::of(self.declared, vec![name.clone()]);
        for (field, _) in event.holds.iter().filter_map(|bound| bound.of.as_ref()) {
            scope.path(field, &mut self.mentions);
        }
    }

    /// A type that is no word of the language is a kind of entity.
    fn ty(&mut self, ty: &Type) {
        const PLAIN: [&str; 10] = [
            "money", "number", "integer", "text", "bool", "country", "currency", "ip", "geo",
            "time",
        ];
        if let TypeKind::Named(name) = &ty.kind
            && !PLAIN.contains(&name.text.as_str())
        {
            self.mention(name.span, Symbol::Entity(name.text.clone()));
        }
    }

    fn entity(&mut self, entity: &Entity) {
        self.define(&entity.name, Symbol::Entity(entity.name.text.clone()));
        let scope = Scope::of(self.declared, Vec::new());
        for path in &entity.paths {
            scope.path(path, &mut self.mentions);
        }
    }

    fn list(&mut self, list: &List) {
        self.define(&list.name, Symbol::List(list.name.text.clone()));
        self.ty(&list.ty);
    }

    fn made(&mut self, made: &Use) {
        let name = made.name.text.clone();
        self.define(&made.name, Symbol::Rule(name.clone()));
        self.mention(made.template.span, Symbol::Template(made.template.text.clone()));
        let args = made.args.iter().filter_map(|arg| match &arg.kind {
            ExprKind::Path(path) => Some(path),
            _ => None,
        });
        let template = self.declared.templates.get(made.template.text.as_str());
        let fixed = template.map(|template| on(&template.clauses)).unwrap_or_default();
        let mut events: Vec<String> =
            fixed.into_iter().filter(|event| self.is_event(event)).collect();
        events.extend(args.clone().map(|path| dotted(&path.parts)).filter(|n| self.is_event(n)));
        let mut scope = Scope::of(self.declared, events);
        for path in args {
            let word = dotted(&path.parts);
            if self.is_event(&word) {
                self.mention(path.span, Symbol::Event(word));
            } else if self.declared.lists.contains(word.as_str()) {
                self.mention(path.span, Symbol::List(word));
            } else {
                scope.path(path, &mut self.mentions);
            }
        }
        scope.owner = Some(Owner::Rule(name));
        let owner = Owner::Template(made.template.text.clone());
        for name in self.declared.lets.get(&owner).into_iter().flatten() {
            scope.locals.insert((*name).to_owned(), owner.clone());
        }
        self.clauses(&made.clauses, scope);
    }

    fn is_event(&self, word: &str) -> bool {
        self.declared.events.contains_key(word)
    }

    /// A word that stands for an event: its name, or the parameter of a template.
    fn event_word(&mut self, name: &Name, scope: &Scope<'_>) {
        let local = scope.local(&name.text);
        let event = self.is_event(&name.text).then(|| Symbol::Event(name.text.clone()));
        if let Some(symbol) = local.or(event) {
            self.mention(name.span, symbol);
        }
    }

    fn list_word(&mut self, name: &Name, scope: &Scope<'_>) {
        let list = self.declared.lists.contains(name.text.as_str());
        let list = list.then(|| Symbol::List(name.text.clone()));
        if let Some(symbol) = scope.local(&name.text).or(list) {
            self.mention(name.span, symbol);
        }
    }

    /// A word of a template that may be a parameter.
    fn free_word(&mut self, name: &Name, scope: &Scope<'_>) {
        if let (Some(symbol), Some(Owner::Template(_))) = (scope.local(&name.text), &scope.owner) {
            self.mention(name.span, symbol);
        }
    }

    fn clauses(&mut self, clauses: &[Clause], mut scope: Scope<'_>) {
        let Some(owner) = scope.owner.clone() else { return };
        for clause in clauses {
            let name = match &clause.kind {
                ClauseKind::Param(param) => &param.name,
                ClauseKind::Let(name, _) => name,
                _ => continue,
            };
            scope.locals.insert(name.text.clone(), owner.clone());
            self.define(name, Symbol::Local(owner.clone(), name.text.clone()));
        }
        for clause in clauses {
            steps_of(clause, &owner, &mut scope);
        }
        for clause in clauses {
            self.clause(clause, &scope);
        }
    }

    fn clause(&mut self, clause: &Clause, scope: &Scope<'_>) {
        match &clause.kind {
            ClauseKind::Owner(word) | ClauseKind::Severity(word) => self.free_word(word, scope),
            ClauseKind::Typology(words) | ClauseKind::Tags(words) => {
                for word in words {
                    self.free_word(word, scope);
                }
            }
            ClauseKind::Mode(Mode::Canary(_, key)) => scope.path(key, &mut self.mentions),
            ClauseKind::On(events, guard) => {
                for event in events {
                    self.event_word(event, scope);
                }
                if let Some(guard) = guard {
                    self.expr(guard, scope);
                }
            }
            ClauseKind::Let(_, expr) | ClauseKind::When(expr) | ClauseKind::Unless(expr) => {
                self.expr(expr, scope);
            }
            ClauseKind::Then(actions) => {
                for action in actions {
                    self.action(action, scope);
                }
            }
            _ => {}
        }
    }

    fn action(&mut self, action: &Action, scope: &Scope<'_>) {
        match &action.kind {
            ActionKind::Block(reason) => self.message(reason.as_ref(), scope),
            ActionKind::Hold { of, escalate, reason, .. } => {
                if let Some(of) = of {
                    scope.path(of, &mut self.mentions);
                }
                if let Some(queue) = escalate.as_ref().and_then(|it| it.queue.as_ref()) {
                    self.free_word(queue, scope);
                }
                self.message(reason.as_ref(), scope);
            }
            ActionKind::Alert { queue, once, message } => {
                if let Some(queue) = queue {
                    self.free_word(queue, scope);
                }
                for key in once.iter().flat_map(|(keys, _)| keys) {
                    scope.path(key, &mut self.mentions);
                }
                self.message(message.as_ref(), scope);
            }
            ActionKind::Add { path, list, .. } | ActionKind::Remove { path, list } => {
                scope.path(path, &mut self.mentions);
                self.list_word(list, scope);
            }
            ActionKind::StepUp { method: word, .. }
            | ActionKind::Score { group: Some(word), .. }
            | ActionKind::Tag(word) => self.free_word(word, scope),
            ActionKind::Allow | ActionKind::Score { .. } => {}
        }
    }

    fn message(&mut self, text: Option<&Text>, scope: &Scope<'_>) {
        let Some(text) = text else { return };
        let Some(source) = self.sources.get(text.span.file) else { return };
        for part in message::parts(text, &source.text).0 {
            if let message::MessagePart::Expr(expr) = part {
                self.expr(&expr, scope);
            }
        }
    }

    fn expr(&mut self, expr: &Expr, scope: &Scope<'_>) {
        let mut all = |list: &[&Expr]| list.iter().for_each(|expr| self.expr(expr, scope));
        match &expr.kind {
            ExprKind::Literal(_) | ExprKind::Error => {}
            ExprKind::Path(path) => scope.path(path, &mut self.mentions),
            ExprKind::Aggregate(aggregate) => self.aggregate(aggregate, expr.span, scope),
            ExprKind::Sequence(sequence) => self.sequence(sequence, expr.span, scope),
            ExprKind::Call(name, args) => {
                if self.declared.lists.contains(name.text.as_str()) {
                    self.mention(name.span, Symbol::List(name.text.clone()));
                }
                for arg in args {
                    self.expr(arg, scope);
                }
            }
            ExprKind::And(list) | ExprKind::Or(list) => {
                for part in list {
                    self.expr(part, scope);
                }
            }
            ExprKind::InSet { value, set, .. } => {
                self.expr(value, scope);
                for member in set {
                    self.expr(member, scope);
                }
            }
            ExprKind::InList { value, list, .. } => {
                self.expr(value, scope);
                self.list_word(list, scope);
            }
            ExprKind::Not(a)
            | ExprKind::IsMissing { value: a, .. }
            | ExprKind::Matches(a, _)
            | ExprKind::PercentOf(_, a) => all(&[a]),
            ExprKind::Between(a, b, c) => all(&[a, b, c]),
            ExprKind::Compare(_, a, b)
            | ExprKind::Contains(a, b)
            | ExprKind::StartsWith(a, b)
            | ExprKind::Arithmetic(_, a, b)
            | ExprKind::Default(a, b) => all(&[a, b]),
        }
    }

    fn aggregate(&mut self, aggregate: &Aggregate, span: Span, scope: &Scope<'_>) {
        let word = aggregate.function_span;
        let function = Some(aggregate.function);
        self.questions.push(Question { word, span, function, steps: Vec::new() });
        let Some((event, field)) = aggregate.path.parts.split_first() else { return };
        self.event_word(event, scope);
        let inner = scope.on(&event.text);
        if let (Some(first), Some(last)) = (field.first(), field.last()) {
            match inner.field(&event.text, &dotted(field)) {
                Some(symbol) => self.mention(first.span.to(last.span), symbol),
                None => field.iter().for_each(|part| self.free_word(part, scope)),
            }
        }
        if let Some(filter) = &aggregate.filter {
            self.expr(filter, &inner);
        }
        self.keys(&aggregate.keys, &event.text, scope);
        self.window(&aggregate.window, scope);
    }

    fn keys(&mut self, keys: &[Key], event: &str, scope: &Scope<'_>) {
        // Locals hide no field here: only parameters of a template may stand for a key.
        let mut inner = scope.on(event);
        if !matches!(scope.owner, Some(Owner::Template(_))) {
            inner.locals.clear();
        }
        for key in keys {
            inner.path(&key.stored, &mut self.mentions);
            if let Some(this) = &key.this {
                scope.path(this, &mut self.mentions);
            }
        }
    }

    fn window(&mut self, window: &Window, scope: &Scope<'_>) {
        if let WindowKind::Sliding { newest, length, .. } = &window.kind {
            if let Some(EventCount::Named(name)) = newest
                && let Some(symbol) = scope.local(&name.text)
            {
                self.mention(name.span, symbol);
            }
            self.length(length, scope);
        }
        if let Some(ZoneName::Field(path)) = window.kind.zone() {
            scope.path(path, &mut self.mentions);
        }
    }

    fn length(&mut self, length: &WindowLength, scope: &Scope<'_>) {
        if let WindowLength::Named(name) = length
            && let Some(symbol) = scope.local(&name.text)
        {
            self.mention(name.span, symbol);
        }
    }

    fn sequence(&mut self, sequence: &Sequence, span: Span, scope: &Scope<'_>) {
        let end = span.start + u32::try_from("sequence".len()).unwrap_or(0);
        let word = Span { end: end.min(span.end), ..span };
        let steps = sequence.steps.iter().map(|step| step.span).collect();
        self.questions.push(Question { word, span, function: None, steps });
        self.length(&sequence.within, scope);
        for step in &sequence.steps {
            let is_this = step.event.text == "this";
            let inner = if is_this { scope.clone() } else { scope.on(&step.event.text) };
            if !is_this {
                self.event_word(&step.event, scope);
                self.keys(&sequence.keys, &step.event.text, scope);
            }
            if let (Some(alias), Some(owner)) = (&step.alias, &scope.owner) {
                self.define(alias, Symbol::Local(owner.clone(), alias.text.clone()));
            }
            if let Some(filter) = &step.filter {
                self.expr(filter, &inner);
            }
        }
    }

    fn test(&mut self, test: &Test) {
        self.mention(test.rule.span, Symbol::Rule(test.rule.text.clone()));
        let literals = test.given.iter().map(|given| &given.event).chain([&test.when]);
        literals.for_each(|literal| self.literal(literal));
        let scope = Scope::of(self.declared, vec![test.when.event.text.clone()]);
        for want in &test.expect {
            match &want.kind {
                WantKind::Undecided(Some(path)) => scope.path(path, &mut self.mentions),
                WantKind::Action(action) => self.action(action, &scope),
                WantKind::Value(name, _) => self.wanted(&test.rule.text, name),
                _ => {}
            }
        }
    }

    fn literal(&mut self, literal: &EventLiteral) {
        let scope = Scope::of(self.declared, vec![literal.event.text.clone()]);
        self.event_word(&literal.event, &scope);
        for (path, _) in &literal.fields {
            scope.path(path, &mut self.mentions);
        }
    }

    /// The `let` of a rule or of its template, or a feature, whose value a test asks for.
    fn wanted(&mut self, rule: &str, name: &Name) {
        let own = Owner::Rule(rule.to_owned());
        let template = self.declared.uses.get(rule).map(|name| Owner::Template((*name).to_owned()));
        let has = |owner: &Owner| {
            self.declared.lets.get(owner).is_some_and(|lets| lets.contains(name.text.as_str()))
        };
        let owner = Some(own).filter(has).or(template.filter(has));
        let symbol = match owner {
            Some(owner) => Symbol::Local(owner, name.text.clone()),
            None if self.declared.features.contains(name.text.as_str()) => {
                Symbol::Feature(name.text.clone())
            }
            None => return,
        };
        self.mention(name.span, symbol);
    }
}

/// The events that clauses are on.
fn on(clauses: &[Clause]) -> Vec<String> {
    let names = clauses.iter().filter_map(|clause| match &clause.kind {
        ClauseKind::On(events, _) => Some(events),
        _ => None,
    });
    names.flatten().map(|event| event.text.clone()).collect()
}

/// Adds the steps that a clause names.
fn steps_of(clause: &Clause, owner: &Owner, scope: &mut Scope<'_>) {
    let (ClauseKind::Let(_, expr) | ClauseKind::When(expr) | ClauseKind::Unless(expr)) =
        &clause.kind
    else {
        return;
    };
    let mut open: Vec<&Expr> = vec![expr];
    while let Some(expr) = open.pop() {
        match &expr.kind {
            ExprKind::Sequence(sequence) => {
                for step in &sequence.steps {
                    let Some(alias) = &step.alias else { continue };
                    scope.locals.insert(alias.text.clone(), owner.clone());
                    scope.steps.insert(alias.text.clone(), step.event.text.clone());
                }
            }
            ExprKind::And(list) | ExprKind::Or(list) => open.extend(list),
            ExprKind::Not(inner) => open.push(inner),
            _ => {}
        }
    }
}
