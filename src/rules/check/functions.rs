//! The words of aggregates, and a walk over what an author wrote.

use crate::rules::syntax::ast::{AggregateFunction as Function, Expr, ExprKind};

/// The word of an aggregate.
pub(super) fn word(function: Function) -> &'static str {
    match function {
        Function::Count => "count",
        Function::Sum => "sum",
        Function::Avg => "avg",
        Function::Min => "min",
        Function::Max => "max",
        Function::Stddev => "stddev",
        Function::Median => "median",
        Function::Percentile => "percentile",
        Function::Distinct => "distinct",
        Function::Last => "last",
        Function::IsNew => "is_new",
        Function::TimeSince => "time_since",
        Function::Share => "share",
        Function::Run => "run",
    }
}

/// How it is written.
pub(super) fn example(function: Function) -> &'static str {
    match function {
        Function::Count => "count(card_payment)",
        Function::TimeSince => "time_since(card_payment)",
        Function::Share => "share(card_payment where status = declined)",
        Function::Run => "run(card_payment where status = declined)",
        Function::Distinct => "distinct(card_payment.card)",
        Function::IsNew => "is_new(login.device)",
        Function::Last => "last(card_payment.geo)",
        Function::Sum => "sum(card_payment.amount)",
        Function::Avg => "avg(card_payment.amount)",
        Function::Min => "min(card_payment.amount)",
        Function::Max => "max(card_payment.amount)",
        Function::Median => "median(card_payment.amount)",
        Function::Percentile => "percentile(95, card_payment.amount)",
        Function::Stddev => "stddev(card_payment.amount)",
    }
}

/// Visits an expression and what it is made of.
pub(super) fn walk(expr: &Expr, visit: &mut dyn FnMut(&Expr)) {
    visit(expr);
    match &expr.kind {
        ExprKind::Call(_, list) | ExprKind::And(list) | ExprKind::Or(list) => {
            for inner in list {
                walk(inner, visit);
            }
        }
        ExprKind::Not(a)
        | ExprKind::Matches(a, _)
        | ExprKind::PercentOf(_, a)
        | ExprKind::IsMissing { value: a, .. }
        | ExprKind::InList { value: a, .. } => walk(a, visit),
        ExprKind::InSet { value, set, .. } => {
            walk(value, visit);
            for inner in set {
                walk(inner, visit);
            }
        }
        ExprKind::Between(a, b, c) => [a, b, c].into_iter().for_each(|inner| walk(inner, visit)),
        ExprKind::Compare(_, a, b)
        | ExprKind::Contains(a, b)
        | ExprKind::StartsWith(a, b)
        | ExprKind::Arithmetic(_, a, b)
        | ExprKind::Default(a, b) => [a, b].into_iter().for_each(|inner| walk(inner, visit)),
        ExprKind::Literal(_)
        | ExprKind::Path(_)
        | ExprKind::Aggregate(_)
        | ExprKind::Sequence(_)
        | ExprKind::Error => {}
    }
}

/// The same, the conditions on other events in it included.
pub(super) fn walk_through(expr: &Expr, visit: &mut dyn FnMut(&Expr)) {
    walk(expr, &mut |part| {
        visit(part);
        match &part.kind {
            ExprKind::Aggregate(aggregate) => {
                aggregate.filter.iter().for_each(|filter| walk_through(filter, visit));
            }
            ExprKind::Sequence(sequence) => {
                let filters = sequence.steps.iter().filter_map(|step| step.filter.as_ref());
                filters.for_each(|filter| walk_through(filter, visit));
            }
            _ => {}
        }
    });
}
