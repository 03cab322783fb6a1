//! Texts for people with values in braces: `"spent {spent} on {merchant.id}"`.

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{FieldId, SlotId};
use crate::rules::check::arena::{Ir, operands};
use crate::rules::check::checker::Checker;
use crate::rules::check::schema::dotted;
use crate::rules::program::{Message, MessagePart, NodeId, Op};
use crate::rules::syntax::ast::{Expr, ExprKind, Text};
use crate::rules::syntax::parse_expression;

/// A piece of a text as it stands in the file.
enum Piece {
    /// Plain, escapes resolved.
    Plain(String),
    /// The bytes of the file between two braces.
    Braced(core::ops::Range<usize>),
}

impl Checker<'_, '_> {
    /// A text with its braces read as expressions.
    pub(super) fn message(&mut self, text: &Text) -> Option<Message> {
        let source = self.build.world.sources.get(text.span.file)?;
        let raw = self.build.world.sources.text(text.span);
        if !raw.starts_with('"') || raw.len() < 2 {
            return Some(Message(vec![MessagePart::Text(text.text.clone())]));
        }
        let pieces = match pieces(raw, text.span.start as usize) {
            Ok(pieces) => pieces,
            Err(at) => {
                let narrow = u32::try_from(at).unwrap_or(text.span.start);
                let span =
                    Span { file: text.span.file, start: narrow, end: narrow.saturating_add(1) };
                return self.refuse(
                    Diagnostic::new(codes::E0015, span, "this brace has no partner")
                        .with_help("a value is written `{name}`"),
                );
            }
        };
        let mut parts: Vec<MessagePart> = Vec::new();
        let mut complete = true;
        for piece in pieces {
            match piece {
                Piece::Plain(text) => parts.push(MessagePart::Text(text)),
                Piece::Braced(range) => {
                    let (expr, found) = parse_expression(text.span.file, &source.text, range);
                    complete &= found.is_empty();
                    self.report.extend(found);
                    let part = self.value(&expr);
                    complete &= part.is_some();
                    parts.extend(part);
                }
            }
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
                    let shows = request.kind == crate::rules::check::measures::Kind::Last;
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

/// Splits a quoted text; `start` is where it begins in its file. An error is the place of a lonely brace.
fn pieces(raw: &str, start: usize) -> Result<Vec<Piece>, usize> {
    let mut list = Vec::new();
    let mut plain = String::new();
    let mut opened: Option<usize> = None;
    let inner = raw.get(1..raw.len() - 1).unwrap_or_default();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        let place = start + 1 + at;
        match (c, opened) {
            ('{', None) => {
                if !plain.is_empty() {
                    list.push(Piece::Plain(core::mem::take(&mut plain)));
                }
                opened = Some(place);
            }
            ('}', Some(open)) => {
                list.push(Piece::Braced(open + 1..place));
                opened = None;
            }
            ('{', Some(_)) | ('}', None) => return Err(place),
            ('\\', _) => {
                let escaped = chars.next().map_or('\\', |(_, escaped)| match escaped {
                    'n' => '\n',
                    't' => '\t',
                    other => other,
                });
                if opened.is_none() {
                    plain.push(escaped);
                }
            }
            (_, Some(_)) => {}
            (c, None) => plain.push(c),
        }
    }
    if let Some(open) = opened {
        return Err(open);
    }
    if !plain.is_empty() {
        list.push(Piece::Plain(plain));
    }
    Ok(list)
}
