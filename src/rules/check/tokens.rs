//! What tokens cannot do: be compared with texts of the rules, be searched, or be tokens in one event and plain in another.

use std::collections::BTreeSet;

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EntityId, FieldType, Schema};
use crate::rules::constant::Constant;
use crate::rules::program::{EventPlan, Node, Op, Type};

/// Looks at all fields of tokenized entities, and at all expressions. `spans`: where each event is declared.
pub(super) fn check(
    schema: &Schema,
    spans: &[Span],
    plans: &[EventPlan],
    report: &mut Vec<Diagnostic>,
) {
    let fields =
        || {
            schema.events.iter().zip(spans).flat_map(|(event, span)| {
                event.fields.iter().map(move |field| (event, span, field))
            })
        };
    let kind = |ty: &FieldType| match ty {
        FieldType::Entity(kind) => Some(*kind),
        _ => None,
    };
    let tokenized: BTreeSet<EntityId> = fields()
        .filter(|(_, _, field)| field.tokenized)
        .filter_map(|(_, _, field)| kind(&field.ty))
        .collect();
    for (event, span, field) in fields() {
        let Some(kind) = kind(&field.ty).filter(|kind| tokenized.contains(kind)) else { continue };
        if field.tokenized {
            continue;
        }
        let entity = schema.entities.get(usize::from(kind.0)).map_or("?", String::as_str);
        let message = format!(
            "`{}.{}` is a `{entity}` that is not tokenized, and another field of that kind is: they are never equal",
            event.name, field.name
        );
        let help = "write `tokenized` behind every field of this kind";
        report.push(Diagnostic::new(codes::E0202, *span, message).with_help(help));
    }
    for plan in plans {
        let is_token =
            |node: &Node| matches!(node.ty, Type::Entity(kind) if tokenized.contains(&kind));
        let at = |id: &crate::rules::program::NodeId| {
            plan.nodes.get(id.0 as usize).is_some_and(is_token)
        };
        for node in &plan.nodes {
            let what = match &node.op {
                Op::Constant(Constant::Text(_)) if is_token(node) => {
                    "compared with a text of the rules"
                }
                Op::InSet(of, _) if at(of) => "compared with texts of the rules",
                Op::Matches(of, _) | Op::Contains(of, _) | Op::StartsWith(of, _) if at(of) => {
                    "searched"
                }
                _ => continue,
            };
            let message = format!("what is tokenized cannot be {what}");
            let help = "put the values on a list, as in `card in stolen_cards`: its file holds them plain or as tokens";
            report.push(Diagnostic::new(codes::E0202, node.span, message).with_help(help));
        }
    }
}
