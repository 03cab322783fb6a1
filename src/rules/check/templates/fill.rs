//! Arguments in place of parameters. A parameter's word means the parameter wherever it stands in the template, also
//! behind a dot; parameters with a value become `param` clauses, and their words stay.

use crate::diag::Span;
use crate::rules::syntax::ast::{
    Action, ActionKind, Aggregate, Argument, Clause, ClauseKind, Expr, ExprKind, Key, Mode, Name,
    Param, Path, Sequence, ZoneName,
};

type Arguments = [(String, Argument)];

/// The `param` clauses of the parameters that have a value.
pub(super) fn params(arguments: &Arguments, template: Span) -> Vec<Clause> {
    let value = |(name, argument): &(String, Argument)| {
        let Argument::Value(value) = argument else { return None };
        let name = Name { text: name.clone(), span: value.span };
        let param = Param { name, value: value.clone(), tune: None };
        Some(Clause { kind: ClauseKind::Param(Box::new(param)), span: template })
    };
    arguments.iter().filter_map(value).collect()
}

/// Fills in a clause.
pub(super) fn clause(kind: &mut ClauseKind, arguments: &Arguments) {
    match kind {
        ClauseKind::Owner(word) | ClauseKind::Severity(word) => name(word, arguments),
        ClauseKind::Typology(words) | ClauseKind::Tags(words) => {
            for word in words {
                name(word, arguments);
            }
        }
        ClauseKind::Mode(Mode::Canary(_, key)) => path(key, arguments),
        ClauseKind::On(events, guard) => {
            for event in events {
                name(event, arguments);
            }
            if let Some(guard) = guard {
                expression(guard, arguments);
            }
        }
        ClauseKind::Let(_, expr) | ClauseKind::When(expr) | ClauseKind::Unless(expr) => {
            expression(expr, arguments);
        }
        ClauseKind::Then(actions) => {
            for one in actions {
                action(one, arguments);
            }
        }
        ClauseKind::Id(_)
        | ClauseKind::Ref(_)
        | ClauseKind::Effective(..)
        | ClauseKind::ReviewBy(_)
        | ClauseKind::Mandatory
        | ClauseKind::Mode(_)
        | ClauseKind::Param(_)
        | ClauseKind::IfMissing(_)
        | ClauseKind::Error => {}
    }
}

fn action(action: &mut Action, arguments: &Arguments) {
    match &mut action.kind {
        ActionKind::StepUp { method, .. } => name(method, arguments),
        ActionKind::Alert { queue, once, .. } => {
            if let Some(queue) = queue {
                name(queue, arguments);
            }
            for key in once.iter_mut().flat_map(|(keys, _)| keys) {
                path(key, arguments);
            }
        }
        ActionKind::Score { group, .. } => {
            if let Some(group) = group {
                name(group, arguments);
            }
        }
        ActionKind::Add { path: value, list, .. } | ActionKind::Remove { path: value, list } => {
            path(value, arguments);
            name(list, arguments);
        }
        ActionKind::Tag(tag) => name(tag, arguments),
        ActionKind::Hold { of, escalate, .. } => {
            if let Some(of) = of {
                path(of, arguments);
            }
            if let Some(queue) = escalate.as_mut().and_then(|escalate| escalate.queue.as_mut()) {
                name(queue, arguments);
            }
        }
        ActionKind::Allow | ActionKind::Block(_) => {}
    }
}

/// Fills in an expression.
pub(crate) fn expression(expr: &mut Expr, arguments: &Arguments) {
    match &mut expr.kind {
        ExprKind::Path(inner) => {
            path(inner, arguments);
            expr.span = inner.span;
        }
        ExprKind::Aggregate(inner) => aggregate(inner, arguments),
        ExprKind::Sequence(inner) => sequence(inner, arguments),
        ExprKind::Call(called, list) => {
            name(called, arguments);
            for part in list {
                expression(part, arguments);
            }
        }
        ExprKind::And(list) | ExprKind::Or(list) => {
            for part in list {
                expression(part, arguments);
            }
        }
        ExprKind::Not(a)
        | ExprKind::IsMissing { value: a, .. }
        | ExprKind::Matches(a, _)
        | ExprKind::PercentOf(_, a) => expression(a, arguments),
        ExprKind::InSet { value, set, .. } => {
            expression(value, arguments);
            for member in set {
                expression(member, arguments);
            }
        }
        ExprKind::InList { value, list, .. } => {
            expression(value, arguments);
            name(list, arguments);
        }
        ExprKind::Between(a, b, c) => {
            for part in [a, b, c] {
                expression(part, arguments);
            }
        }
        ExprKind::Compare(_, a, b)
        | ExprKind::Contains(a, b)
        | ExprKind::StartsWith(a, b)
        | ExprKind::Arithmetic(_, a, b)
        | ExprKind::Default(a, b) => {
            for part in [a, b] {
                expression(part, arguments);
            }
        }
        ExprKind::Literal(_) | ExprKind::Error => {}
    }
}

fn aggregate(aggregate: &mut Aggregate, arguments: &Arguments) {
    path(&mut aggregate.path, arguments);
    if let Some(currency) = &mut aggregate.currency {
        name(currency, arguments);
    }
    if let Some(filter) = &mut aggregate.filter {
        expression(filter, arguments);
    }
    for one in &mut aggregate.keys {
        key(one, arguments);
    }
    if let Some(ZoneName::Field(zone)) = aggregate.window.kind.zone_mut() {
        path(zone, arguments);
    }
}

fn sequence(sequence: &mut Sequence, arguments: &Arguments) {
    for one in &mut sequence.keys {
        key(one, arguments);
    }
    for step in &mut sequence.steps {
        name(&mut step.event, arguments);
        if let Some(filter) = &mut step.filter {
            expression(filter, arguments);
        }
    }
}

fn key(key: &mut Key, arguments: &Arguments) {
    path(&mut key.stored, arguments);
    if let Some(this) = &mut key.this {
        path(this, arguments);
    }
}

fn argument<'a>(word: &str, arguments: &'a Arguments) -> Option<&'a Path> {
    arguments.iter().find_map(|(name, argument)| match argument {
        Argument::Name(path) if name == word => Some(path),
        _ => None,
    })
}

/// A word that stands alone.
fn name(name: &mut Name, arguments: &Arguments) {
    if let Some([word]) = argument(&name.text, arguments).map(|path| path.parts.as_slice()) {
        *name = word.clone();
    }
}

/// The parts of a path, one by one. A path that is a parameter and nothing else is found where the argument stands.
fn path(path: &mut Path, arguments: &Arguments) {
    let alone = path.parts.len() == 1 && !path.this;
    let mut parts = Vec::with_capacity(path.parts.len());
    for part in path.parts.drain(..) {
        match argument(&part.text, arguments) {
            Some(named) => {
                if alone {
                    path.span = named.span;
                }
                parts.extend(named.parts.iter().cloned());
            }
            None => parts.push(part),
        }
    }
    path.parts = parts;
}
