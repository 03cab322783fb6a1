//! Texts for people with values in braces: `"spent {spent} on {merchant.id}"`.

use crate::diag::{Diagnostic, codes};
use crate::event::schema::{FieldId, SlotId};
use crate::rules::check::arena::{Ir, operands};
use crate::rules::check::checker::Checker;
use crate::rules::check::measures::Kind;
use crate::rules::check::schema::dotted;
use crate::rules::program::{Message, MessagePart, NodeId, Op};
use crate::rules::syntax::ast::{Expr, ExprKind, Text};
use crate::rules::syntax::message;

impl Checker<'_, '_> {
    /// A text with its braces read as expressions.
    pub(super) fn message(&mut self, text: &Text) -> Option<Message> {
        let source = self.build.world.sources.get(text.span.file)?;
        let (pieces, found) = message::parts(text, &source.text);
        let mut complete = found.is_empty();
        self.report.extend(found);
        let mut parts: Vec<MessagePart> = Vec::new();
        for piece in pieces {
            let part = match piece {
                message::MessagePart::Text(text) => Some(MessagePart::Text(text)),
                message::MessagePart::Expr(expr) => self.value(&expr),
            };
            complete &= part.is_some();
            parts.extend(part);
        }
        complete.then_some(Message(parts))
    }

    fn value(&mut self, expr: &Expr) -> Option<MessagePart> {
        let id = self.expr(expr, None)?;
        if let Some(field) = self.sensitive(id) {
            let message = format!("`{field}` is sensitive and cannot be shown");
            return self.refuse(
                Diagnostic::new(codes::E0506, expr.span, message)
                    .with_label("sensitive")
                    .with_help("leave it out of the message; the alert carries the event's id"),
            );
        }
        Some(match self.own_field(expr) {
            Some(field) => MessagePart::Field(field),
            None => MessagePart::Value(id),
        })
    }

    /// The field of this event that an expression is and nothing more.
    fn own_field(&self, expr: &Expr) -> Option<FieldId> {
        let ExprKind::Path(path) = &expr.kind else { return None };
        let name = dotted(path);
        let hidden = !path.this
            && (self.scope.lets.contains_key(&name) || self.scope.params.contains_key(&name));
        let own = &self.build.world.schema.event(self.scope.event).name;
        let name = name.strip_prefix(&format!("{own}.")).unwrap_or(&name);
        if hidden { None } else { self.build.world.field(self.scope.event, name) }
    }

    /// The name of a sensitive field that an expression shows.
    fn sensitive(&self, id: NodeId) -> Option<String> {
        let arena = self.build.arena(self.scope.event);
        let schema = self.build.world.schema;
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            let node = arena.get(id);
            match &node.ir {
                Ir::Measure { request, .. } => {
                    let request = self.build.measures.get(*request);
                    let shows = request.kind == Kind::Last;
                    let field = request.column.as_ref().filter(|_| shows).and_then(|(named, _)| {
                        schema.event(request.event).field_named(&named.text)
                    });
                    let field = field.map(|field| schema.event(request.event).field(field));
                    if let Some(field) = field.filter(|field| field.sensitive.is_some()) {
                        return Some(field.name.clone());
                    }
                }
                Ir::Op(Op::Field(slot) | Op::GeoField(slot) | Op::MoneyField { slot, .. }) => {
                    if let Some(name) = self.sensitive_slot(*slot) {
                        return Some(name);
                    }
                }
                ir @ Ir::Op(_) => operands(ir, &mut |operand| open.push(operand)),
            }
        }
        None
    }

    fn sensitive_slot(&self, slot: SlotId) -> Option<String> {
        let event = self.build.world.schema.event(self.scope.event);
        let field = event.fields.iter().find(|field| field.slot == slot)?;
        field.sensitive.is_some().then(|| field.name.clone())
    }
}
