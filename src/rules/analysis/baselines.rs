//! Comparisons with what is usual that do not compare like with like: a value with an average of which it is a part, some
//! of the events with all of them, a value with itself, a first event with a history of nothing, a sum with what is usual of one
//! event; and bounds on scores of models that no score comes to.

use std::collections::BTreeSet;

use crate::diag::{Diagnostic, codes};
use crate::models::online::DetectorKind;
use crate::rules::analysis::Subject;
use crate::rules::program::{Aspect, Constant, MadeOf, NodeId, Op, Type};
use crate::rules::syntax::ast::CompareOp;

/// What is told of the comparisons of a rule.
pub(super) fn findings(subject: &Subject<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let body = subject.body;
    let mut open: Vec<NodeId> = body.guard.into_iter().chain([body.when]).collect();
    while let Some(id) = open.pop() {
        let Some(op) = subject.scene.op(id) else { continue };
        found.extend(includes_itself(subject, id, op));
        found.extend(filters_one_side(subject, id, op));
        found.extend(beyond_scores(subject, id, op));
        found.extend(with_itself(subject, id, op));
        found.extend(without_history(subject, id, op));
        found.extend(of_one_event(subject, id, op));
        found.extend(of_two_parties(subject, id, op));
        op.each_operand(&mut |operand| open.push(operand));
    }
    found
}

/// A value that is compared with an average of values that it is one of.
fn includes_itself(subject: &Subject<'_>, id: NodeId, op: &Op) -> Option<Diagnostic> {
    let within = |value: NodeId, other: NodeId| {
        averages(subject, other).into_iter().any(|of| subject.scene.includes(of, value))
    };
    let includes = match op {
        Op::Compare(_, a, b) => within(*a, *b) || within(*b, *a),
        Op::CompareDeviation { value, sum, .. } => subject.scene.includes(*sum, *value),
        _ => false,
    };
    let name = &subject.info.name;
    let message = format!("rule `{name}` compares a value with an average that includes it");
    includes.then(|| {
        Diagnostic::new(codes::W0604, subject.words(id), message)
            .with_help("`over prior ...` leaves the present event out")
    })
}

/// Two aggregates of one kind over two windows of which only one has a filter. Over one window it would be a share.
fn filters_one_side(subject: &Subject<'_>, id: NodeId, op: &Op) -> Option<Diagnostic> {
    let Op::Compare(_, a, b) = op else { return None };
    let (left, right) = (readings(subject, *a), readings(subject, *b));
    let pairs = || left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b)));
    let beside = |(a, b): &(NodeId, NodeId)| subject.scene.is_filtered_beside(*a, *b);
    let (narrow, wide) = pairs().chain(pairs().map(|(a, b)| (b, a))).find(beside)?;
    let said = |id: NodeId| subject.said(id);
    let message = format!(
        "rule `{}` compares `{}` with `{}`: only one of them is filtered",
        subject.info.name,
        said(narrow),
        said(wide)
    );
    Some(Diagnostic::new(codes::W0601, subject.words(id), message).with_help(
        "write the same `where` in both, or ask both over one window where a share is meant",
    ))
}

/// A comparison with a number that is never true of a score, where there is one.
fn beyond_scores(subject: &Subject<'_>, id: NodeId, op: &Op) -> Option<Diagnostic> {
    let Op::Compare(sign, a, b) = op else { return None };
    let model = |id: NodeId| match subject.scene.op(id)? {
        Op::Model(model, aspect, _) => Some((*model, *aspect)),
        _ => None,
    };
    let number = |id: NodeId| match subject.scene.op(id)? {
        Op::Constant(Constant::Number(number)) => Some(*number),
        #[expect(clippy::cast_precision_loss, reason = "far from 0 and 1 nothing depends on it")]
        Op::Constant(Constant::Int(int)) => Some(*int as f64),
        _ => None,
    };
    let (sign, (model, aspect), number) = match (model(*a), model(*b)) {
        (Some(model), None) => (*sign, model, number(*b)?),
        (None, Some(model)) => (turned(*sign), model, number(*a)?),
        _ => return None,
    };
    let plan = subject.scene.model(model)?;
    let (name, raw) = (&plan.name, if aspect == Aspect::Raw { ".raw" } else { "" });
    // What every score lies from and to; a place is less than 1.
    let (range, low, high) = match (&plan.made_of, aspect) {
        (_, Aspect::Percentile) => ("from 0 to less than 1", 0.0, 1.0),
        (MadeOf::Learned(_), Aspect::Raw) => ("from 0 to 1", 0.0, 1.0),
        (MadeOf::Online(spec), Aspect::Raw) => match spec.kind {
            DetectorKind::TailSum => ("from 0 on", 0.0, f64::INFINITY),
            DetectorKind::IsolationForest => ("up to 1", f64::NEG_INFINITY, 1.0),
        },
    };
    let never = match sign {
        CompareOp::Ge if aspect == Aspect::Raw => number > high,
        CompareOp::Ge | CompareOp::Gt => number >= high,
        CompareOp::Le => number < low,
        CompareOp::Lt => number <= low,
        CompareOp::Eq | CompareOp::Ne => false,
    };
    let message = format!(
        "rule `{}` asks for a score that no event has: `model.{name}{raw}` lies {range}",
        subject.info.name
    );
    let help = match aspect {
        Aspect::Percentile => {
            "a place is a share of the newest scores: write `>= 0.995`, or `>= 99.5%`"
        }
        Aspect::Raw => "choose a bound within it, or ask for its place among all, without `.raw`",
    };
    never.then(|| Diagnostic::new(codes::W0605, subject.words(id), message).with_help(help))
}

/// A value that is compared with itself, by the rule or by the `where` of an aggregate that it asks.
fn with_itself(subject: &Subject<'_>, id: NodeId, op: &Op) -> Option<Diagnostic> {
    let (sign, said, help) = match op {
        Op::Compare(sign, a, b) if a == b && !is_constant(subject, *a) => {
            (*sign, subject.said(id), "compare it with something else, or leave it out")
        }
        Op::Reading(..) => {
            let (sign, span) = subject.scene.filter_by_itself(id)?;
            let said = subject.scene.program.sources.text(span);
            let help = "both are fields of one and the same earlier event; the earlier events with the value of this one \
                are those of a key: write the field behind `by`";
            (sign, said.split_whitespace().collect::<Vec<_>>().join(" "), help)
        }
        _ => return None,
    };
    let holds = match sign {
        CompareOp::Eq | CompareOp::Le | CompareOp::Ge => "never false",
        CompareOp::Ne | CompareOp::Lt | CompareOp::Gt => "never true",
    };
    let message =
        format!("rule `{}` compares a value with itself: `{said}` is {holds}", subject.info.name);
    Some(Diagnostic::new(codes::W0608, subject.words(id), message).with_help(help))
}

/// What one party of the event did, compared with what its other party did: for one account both have to be asked of it.
fn of_two_parties(subject: &Subject<'_>, id: NodeId, op: &Op) -> Option<Diagnostic> {
    let Op::Compare(_, a, b) = op else { return None };
    let (left, right) = (readings(subject, *a), readings(subject, *b));
    let pairs = left.iter().flat_map(|a| right.iter().map(move |b| (*a, *b)));
    let (a, b) = pairs.into_iter().find_map(|(a, b)| subject.scene.two_parties(a, b))?;
    let message = format!(
        "rule `{}` compares what is known of the `{a}` with what is known of the `{b}` of this event, who are two",
        subject.info.name
    );
    let help = format!(
        "to ask both of the `{b}`, write `by {a} = this.{b}` in the first; of the `{a}`, `by {b} = this.{a}` in the second"
    );
    Some(Diagnostic::new(codes::W0610, subject.words(id), message).with_help(help))
}

/// A comparison that a first event passes, since counts and sums of nothing are 0 and anything is more.
fn without_history(subject: &Subject<'_>, id: NodeId, op: &Op) -> Option<Diagnostic> {
    let (value, usual) = greater(op)?;
    let past: Vec<NodeId> = readings(subject, usual)
        .into_iter()
        .filter(|id| subject.scene.is_tally_of_before(*id))
        .collect();
    if !is_nought(subject, usual) || !rises(subject, value, &past) {
        return None;
    }
    if asks_for_more(subject, (id, value), &past) {
        return None;
    }
    let base = *past.first()?;
    let (name, said) = (&subject.info.name, subject.said(base));
    let message = format!(
        "rule `{name}` hits where there is no history: `{said}` is 0 then, and anything is more"
    );
    let most = subject.scene.newest(base).map_or(100, |newest| newest.min(100));
    let least = match subject.scene.node(base)?.ty {
        Type::Money(currency) => format!("100 {currency}"),
        _ => most.to_string(),
    };
    let help =
        format!("ask for a history as well, as in `and {said} >= {least}`, or for a least value");
    Some(Diagnostic::new(codes::W0609, subject.words(id), message).with_help(help))
}

/// A sum over several events that is compared with what is usual of one, where that may be known of a single event.
fn of_one_event(subject: &Subject<'_>, id: NodeId, op: &Op) -> Option<Diagnostic> {
    let (value, usual) = greater(op)?;
    let is_sum = |part: &NodeId| subject.scene.is_sum(*part);
    if !parts(subject, value).iter().any(is_sum) {
        return None;
    }
    let past = averages(subject, usual);
    let base = *past.first()?;
    if asks_for_more(subject, (id, value), &past) {
        return None;
    }
    let (name, said) = (&subject.info.name, subject.said(base));
    let message = format!(
        "rule `{name}` compares a sum with what is usual of one event, and `{said}` may be known of one event only"
    );
    let help = "ask for a history as well, as in `and count(transfer) by sender over prior 30d >= 10`, or for a least value";
    Some(Diagnostic::new(codes::W0611, subject.words(id), message).with_help(help))
}

/// What must be at least, or more than, the other side of a comparison, and that.
fn greater(op: &Op) -> Option<(NodeId, NodeId)> {
    let Op::Compare(sign, a, b) = op else { return None };
    match sign {
        CompareOp::Gt | CompareOp::Ge => Some((*a, *b)),
        CompareOp::Lt | CompareOp::Le => Some((*b, *a)),
        CompareOp::Eq | CompareOp::Ne => None,
    }
}

/// Whether another condition than `id` asks for a history of the same key as `past`, or for a least of the value.
fn asks_for_more(subject: &Subject<'_>, (id, value): (NodeId, NodeId), past: &[NodeId]) -> bool {
    let asks_for_past = |atom: NodeId| {
        leaves(subject, atom).iter().any(|leaf| {
            subject.scene.is_tally_of_before(*leaf)
                && past.iter().any(|past| subject.scene.is_of_same_key(*leaf, *past))
        })
    };
    let of_value = leaves(subject, value);
    let has_least = |atom: NodeId| {
        let Some(Op::Compare(_, a, b)) = subject.scene.op(atom) else { return false };
        [a, b].into_iter().any(|side| is_constant(subject, *side))
            && leaves(subject, atom).iter().any(|leaf| of_value.contains(leaf))
    };
    let mut others = atoms(subject).into_iter().filter(|atom| *atom != id);
    others.any(|atom| asks_for_past(atom) || has_least(atom))
}

fn is_constant(subject: &Subject<'_>, term: NodeId) -> bool {
    matches!(subject.scene.op(term), Some(Op::Constant(_)))
}

/// Whether a term is 0 where nothing was before.
fn is_nought(subject: &Subject<'_>, term: NodeId) -> bool {
    let is = |id: &NodeId| is_nought(subject, *id);
    match subject.scene.op(term) {
        Some(Op::Reading(..)) => subject.scene.is_tally_of_before(term),
        Some(Op::Mul(a, b)) => is(a) || is(b),
        Some(Op::Div(a, b)) => is(a) && !is(b),
        Some(Op::Add(a, b)) => is(a) && is(b),
        Some(Op::Percent { of, .. } | Op::Default(of, _)) => is(of),
        _ => false,
    }
}

/// Whether a term is known where none of `past` was, and may be above 0.
fn rises(subject: &Subject<'_>, term: NodeId, past: &[NodeId]) -> bool {
    let scene = subject.scene;
    let does = |id: &NodeId| rises(subject, *id, past);
    match scene.op(term) {
        Some(Op::Reading(..)) => {
            let was_before = scene.is_tally_of_before(term)
                && past.iter().any(|past| scene.is_of_same_key(term, *past));
            scene.is_tally(term) && !was_before
        }
        Some(Op::Field(_) | Op::MoneyField { .. }) => true,
        Some(Op::Add(a, b) | Op::Mul(a, b)) => does(a) || does(b),
        Some(Op::Div(of, _) | Op::Percent { of, .. } | Op::Default(of, _)) => does(of),
        _ => false,
    }
}

/// The conditions that a rule joins.
fn atoms(subject: &Subject<'_>) -> Vec<NodeId> {
    let body = subject.body;
    let mut open: Vec<NodeId> =
        [body.guard, Some(body.when), body.unless].into_iter().flatten().collect();
    let mut found = Vec::new();
    while let Some(id) = open.pop() {
        match subject.scene.op(id) {
            Some(op @ (Op::And(_) | Op::Or(_) | Op::Not(_))) => {
                op.each_operand(&mut |operand| open.push(operand));
            }
            _ => found.push(id),
        }
    }
    found
}

/// The fields and readings that a term rests on.
fn leaves(subject: &Subject<'_>, term: NodeId) -> BTreeSet<NodeId> {
    let (mut found, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![term]);
    while let Some(id) = open.pop() {
        match subject.scene.op(id) {
            Some(Op::Reading(..) | Op::Field(_) | Op::MoneyField { .. }) => drop(found.insert(id)),
            Some(op) if seen.insert(id) => op.each_operand(&mut |operand| open.push(operand)),
            _ => {}
        }
    }
    found
}

/// The comparison with its sides exchanged.
fn turned(sign: CompareOp) -> CompareOp {
    match sign {
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
        CompareOp::Eq | CompareOp::Ne => sign,
    }
}

/// The sums of the means, and the ranks, of which a term is made.
fn averages(subject: &Subject<'_>, term: NodeId) -> Vec<NodeId> {
    let means = parts(subject, term).into_iter().filter_map(|id| match subject.scene.op(id)? {
        Op::Mean { sum, .. } => Some(*sum),
        _ => subject.scene.is_rank(id).then_some(id),
    });
    means.collect()
}

/// The readings of which a term is made, of a mean its sum.
fn readings(subject: &Subject<'_>, term: NodeId) -> Vec<NodeId> {
    let asked = parts(subject, term).into_iter().map(|id| match subject.scene.op(id) {
        Some(Op::Mean { sum, .. }) => *sum,
        _ => id,
    });
    asked.collect()
}

/// The means and readings in a term.
fn parts(subject: &Subject<'_>, term: NodeId) -> Vec<NodeId> {
    let (mut found, mut open) = (Vec::new(), vec![term]);
    while let Some(id) = open.pop() {
        match subject.scene.op(id) {
            Some(Op::Mean { .. } | Op::Reading(..)) => found.push(id),
            Some(
                op @ (Op::Add(..)
                | Op::Sub(..)
                | Op::Mul(..)
                | Op::Div(..)
                | Op::Percent { .. }
                | Op::Default(..)),
            ) => op.each_operand(&mut |operand| open.push(operand)),
            _ => {}
        }
    }
    found
}
