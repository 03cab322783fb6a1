//! What a failed test says: actions and values as the author would write them.

use crate::base::Value;
use crate::event::schema::{EventId, SlotId};
use crate::rule_tests::actions::Said;
use crate::rules::eval::outline::{Outline, Part};
use crate::rules::eval::render::duration;
use crate::rules::eval::trace::Trace;
use crate::rules::program::{
    ActionPlan, Constant, Escalation, ListId, NodeId, Program, StepUpOtherwise,
};
use crate::rules::syntax::ast::Otherwise;

/// An action as a rule says it, its text with the values of the judged event.
pub(super) fn said(program: &Program, event: EventId, (action, text): &Said<'_>) -> String {
    let trace = Trace { program, event };
    let list = |list: ListId| {
        program.lists.get(usize::from(list.0)).map_or("a list", |list| list.name.as_str())
    };
    let field = |slot: SlotId| trace.field_name(slot);
    match action {
        ActionPlan::Allow => "allow".to_owned(),
        ActionPlan::Block { .. } => format!("block{}", told(text.as_ref(), "reason")),
        ActionPlan::Hold { of, for_ms, escalate, otherwise, .. } => format!(
            "hold{} for {}{} otherwise {}{}",
            of.map_or_else(String::new, |slot| format!(" {}", field(slot))),
            length(*for_ms),
            escalate.as_ref().map_or_else(String::new, |Escalation { queue, for_ms }| {
                format!(" otherwise escalate to {queue} for {}", length(*for_ms))
            }),
            match otherwise {
                Otherwise::Release => "release",
                Otherwise::Block => "block",
            },
            told(text.as_ref(), "reason")
        ),
        ActionPlan::StepUp { method, within_ms, otherwise } => {
            let within = length(*within_ms);
            match otherwise {
                None => format!("step_up {method}"),
                Some(StepUpOtherwise::Block) => {
                    format!("step_up {method} within {within} otherwise block")
                }
                Some(StepUpOtherwise::Hold(ms)) => {
                    let more = length(*ms);
                    format!("step_up {method} within {within} otherwise hold for {more}")
                }
            }
        }
        ActionPlan::Alert { queue, once, .. } => {
            let queue = queue.as_ref().map_or_else(String::new, |queue| format!(" queue {queue}"));
            let once = once.as_ref().map_or_else(String::new, |(keys, per_ms)| {
                let keys: Vec<String> = keys.iter().map(|slot| field(*slot)).collect();
                format!(" once per {} per {}", keys.join(", "), length(*per_ms))
            });
            format!("alert{queue}{once}{}", told(text.as_ref(), "message"))
        }
        ActionPlan::Score { points, group } => {
            let group = program.groups.get(usize::from(*group)).map(|group| group.name.as_str());
            let group = group.filter(|name| *name != "default");
            let group = group.map_or_else(String::new, |name| format!(" in {name}"));
            format!("score {points:+}{group}")
        }
        ActionPlan::Add { slot, list: to, for_ms } => {
            format!("add {} to {} for {}", field(*slot), list(*to), length(*for_ms))
        }
        ActionPlan::Remove { slot, list: from } => {
            format!("remove {} from {}", field(*slot), list(*from))
        }
        ActionPlan::Tag(tag) => format!("tag {tag}"),
    }
}

/// A value that a test expects of a name.
pub(super) fn wanted(program: &Program, event: EventId, node: NodeId, value: &Constant) -> String {
    let plan = program.plans.get(usize::from(event.0));
    let node = plan.and_then(|plan| plan.nodes.get(node.0 as usize));
    let trace = Trace { program, event };
    node.map_or_else(|| "unknown".to_owned(), |node| trace.render_constant(value, node.ty))
}

/// A value that came out.
pub(super) fn found(program: &Program, event: EventId, node: NodeId, value: Value) -> String {
    let constant = match value {
        Value::Missing => return "missing".to_owned(),
        Value::Bool(value) => Constant::Bool(value),
        Value::Int(value) => Constant::Int(value),
        Value::Number(value) => Constant::Number(value),
        Value::Money(value) => Constant::Money(value),
        Value::Code(value) => Constant::Code(value),
        Value::Tag(tag) => match tag.text() {
            Some(text) => Constant::Text(text),
            None => return "a long text".to_owned(),
        },
        Value::Text(_) => return "a text".to_owned(),
        Value::Geo(latitude, longitude) => return format!("{latitude}, {longitude}"),
    };
    wanted(program, event, node, &constant)
}

/// What each condition of a rule was: ``when `amount > limit` does not hold: 99.00 EUR is not more than 100.00 EUR``.
pub(super) fn conditions(outline: &Outline) -> Vec<String> {
    let mut lines = Vec::new();
    let clauses = [
        ("where", outline.guard.as_ref()),
        ("when", Some(&outline.when)),
        ("unless", outline.unless.as_ref()),
    ];
    for (clause, part) in clauses {
        let mut open: Vec<&Part> = part.into_iter().collect();
        while let Some(part) = open.pop() {
            let Part { text, value, compared, parts, .. } = part;
            match compared {
                Some((left, op, right)) => {
                    let said = compared_in_words(value, op);
                    lines.push(format!(
                        "{clause} `{text}` {}: {left} {said} {right}",
                        told_of(value)
                    ));
                }
                None if parts.is_empty() => {
                    lines.push(format!("{clause} `{text}` {}", told_of(value)));
                }
                None => open.extend(parts.iter().rev()),
            }
        }
    }
    lines
}

/// What came of a condition.
fn told_of(value: &str) -> &'static str {
    match value {
        "true" => "holds",
        "false" => "does not hold",
        _ => "cannot be decided",
    }
}

/// How the value that was found stands to the one that was asked for.
fn compared_in_words<'w>(value: &str, op: &'w str) -> &'w str {
    match (op, value) {
        (">", "true") | ("<=", "false") => "is more than",
        (">", "false") => "is not more than",
        (">=", "true") => "is at least",
        (">=", "false") | ("<", "true") => "is less than",
        ("<", "false") => "is not less than",
        ("<=", "true") => "is at most",
        ("=", "true") | ("!=", "false") => "is",
        ("=", "false") | ("!=", "true") => "is not",
        _ => op,
    }
}

/// A duration as a literal of the language: without spaces.
fn length(ms: i64) -> String {
    duration(ms).replace(' ', "")
}

fn told(text: Option<&String>, word: &str) -> String {
    text.map_or_else(String::new, |text| format!(" {word} \"{}\"", text.replace('\n', "\\n")))
}
