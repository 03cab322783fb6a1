//! Texts for people with values in braces: `"spent {spent} on {merchant.id}"`.

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventId, FieldId};
use crate::rules::check::arena::{Ir, RequestId, operands};
use crate::rules::check::checker::Checker;
use crate::rules::check::measures::Kind;
use crate::rules::check::schema::dotted;
use crate::rules::check::templates;
use crate::rules::program::{Message, MessagePart, NodeId, Op};
use crate::rules::syntax::ast::{Expr, ExprKind, Made, Text};
use crate::rules::syntax::message;

/// The template that a text stands in.
fn within(made: Option<&Made>, span: Span) -> Option<&Made> {
    made.filter(|made| span.is_within(made.template))
}

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
                message::MessagePart::Expr(mut expr) => {
                    if let Some(made) = within(self.scope.made.as_deref(), text.span) {
                        templates::fill_expression(&mut expr, &made.arguments);
                    }
                    self.value(&expr)
                }
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
        self.sensitive_on(self.scope.event, id)
    }

    fn sensitive_on(&self, event: EventId, id: NodeId) -> Option<String> {
        let node = self.build.arena(event).get(id);
        match &node.ir {
            Ir::Measure { request, .. } => self.sensitive_column(*request),
            Ir::Op(Op::Field(slot) | Op::GeoField(slot) | Op::MoneyField { slot, .. }) => {
                let event = self.build.world.schema.event(event);
                let field = event.fields.iter().find(|field| field.slot == *slot)?;
                field.sensitive.is_some().then(|| field.name.clone())
            }
            // A score tells nothing of a single value.
            Ir::Op(Op::Model(..)) => None,
            ir @ (Ir::Op(_) | Ir::Judged(_)) => {
                let mut parts = Vec::new();
                operands(ir, &mut |operand| parts.push(operand));
                parts.into_iter().find_map(|part| self.sensitive_on(event, part))
            }
        }
    }

    /// The sensitive field whose value a reading of state shows.
    fn sensitive_column(&self, request: RequestId) -> Option<String> {
        let request = self.build.measures.get(request);
        // How many there are, and when, says nothing of what they are; sums and means of one event are its value.
        if matches!(request.kind, Kind::Count | Kind::CountOf | Kind::Distinct | Kind::LastTime) {
            return None;
        }
        let Some(column) = request.field else {
            let (feature, _) = request.column.as_ref()?;
            return self.sensitive_on(request.event, feature.node);
        };
        let field = self.build.world.schema.event(request.event).field(column);
        field.sensitive.is_some().then(|| field.name.clone())
    }
}
