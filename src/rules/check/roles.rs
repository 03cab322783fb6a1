//! `entity customer = card_payment.user_id | login.user_id`: one name for the key of several events.

use crate::diag::{Diagnostic, codes, suggest};
use crate::event::schema::{EntityRole, EventId, FieldId, FieldType};
use crate::rules::check::schema::{BUILTIN_TYPES, Builder, twice, unknown_event};
use crate::rules::syntax::ast;

impl Builder<'_> {
    /// One `entity` item.
    pub(super) fn entity(&mut self, entity: &ast::Entity) {
        if self.out.schema.roles.iter().any(|role| role.name == entity.name.text) {
            self.report.push(twice("entity", &entity.name, None));
            return;
        }
        if BUILTIN_TYPES.contains(&entity.name.text.as_str()) {
            let message = format!("`{}` is a type of the language", entity.name.text);
            self.report.push(Diagnostic::new(codes::E0107, entity.name.span, message));
            return;
        }
        let kind = self.kinds.declared(&entity.name.text, entity.name.span);
        let mut fields: Vec<(EventId, FieldId)> = Vec::new();
        for path in &entity.paths {
            let Some((event, field)) = self.role_field(path) else { continue };
            if fields.iter().any(|(known, _)| *known == event) {
                let message = format!("`{}` has two fields of one event", entity.name.text);
                self.report.push(Diagnostic::new(codes::E0104, path.span, message).with_help(
                    "keep the one that identifies it; make a second `entity` for the other",
                ));
                continue;
            }
            let own = self.out.schema.event(event).field_named(&entity.name.text);
            if own.is_some_and(|own| own != field) {
                let message =
                    format!("`{}` is already another field of this event", entity.name.text);
                self.report
                    .push(Diagnostic::new(codes::E0107, path.span, message).with_help(
                        "rename one of the two: the field would always hide the entity",
                    ));
            }
            let of_field = *self.kind_of.entry((event, field)).or_insert(kind);
            if let Err(found) = self.kinds.merge(kind, of_field, path.span) {
                self.report.push(*found);
            }
            fields.push((event, field));
        }
        self.out.schema.roles.push(EntityRole { name: entity.name.text.clone(), fields });
    }

    /// The field of `event.field`, of a type that can identify something.
    fn role_field(&mut self, path: &ast::Path) -> Option<(EventId, FieldId)> {
        let schema = &self.out.schema;
        let first = path.parts.first()?;
        let Some(event) = schema.event_named(&first.text) else {
            let names = schema.events.iter().map(|event| event.name.as_str());
            self.report.push(unknown_event(first, names));
            return None;
        };
        let rest: Vec<&str> = path.parts.iter().skip(1).map(|part| part.text.as_str()).collect();
        let name = rest.join(".");
        let Some(field) = schema.event(event).field_named(&name) else {
            let known = schema.event(event).fields.iter().map(|field| field.name.as_str());
            let near = suggest::nearest(&name, known).map(str::to_owned);
            let message = if name.is_empty() {
                format!("say which field of `{}` carries this entity", first.text)
            } else {
                format!("event `{}` has no field `{name}`", first.text)
            };
            let mut diagnostic =
                Diagnostic::new(codes::E0101, path.span, message).with_label("unknown");
            if let Some(near) = near {
                diagnostic = diagnostic
                    .with_help(format!("did you mean `{}.{near}`?", first.text))
                    .with_fix(path.span, format!("{}.{near}", first.text));
            }
            self.report.push(diagnostic);
            return None;
        };
        if !matches!(schema.event(event).field(field).ty, FieldType::Text | FieldType::Entity(_)) {
            let message = format!("`{}.{name}` cannot identify an entity", first.text);
            self.report.push(
                Diagnostic::new(codes::E0202, path.span, message)
                    .with_help("declare the field as `text` or as an entity"),
            );
            return None;
        }
        Some((event, field))
    }
}
