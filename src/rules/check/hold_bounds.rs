//! `hold at most 9s where rail [sct_inst] otherwise block`: how long the events of a type may be held.

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventType, FieldId, FieldType};
use crate::rules::check::labels::places;
use crate::rules::check::limits::MAX_HOLD_BOUND_MS;
use crate::rules::check::schema::{Builder, twice};
use crate::rules::program::{HoldBound, HoldBounds};
use crate::rules::syntax::ast;

impl Builder<'_> {
    /// The clauses of all events.
    pub(super) fn hold_bounds(&mut self, items: &[&ast::Item]) {
        self.out.hold_bounds = vec![HoldBounds::default(); self.out.schema.events.len()];
        for item in items {
            let ast::Item::Event(event) = item else { continue };
            // One that was refused as a whole was told of.
            let Some(id) = self.out.schema.event_named(&event.name.text) else { continue };
            let own = self.out.schema.event(id).clone();
            let bounds = self.bounds_of(&own, &event.holds);
            if let Some(place) = self.out.hold_bounds.get_mut(usize::from(id.0))
                && !bounds.bounds.is_empty()
            {
                *place = bounds;
            }
        }
    }

    fn bounds_of(&mut self, own: &EventType, clauses: &[ast::HoldBound]) -> HoldBounds {
        let mut out = HoldBounds::default();
        let mut others: Option<Span> = None;
        let mut known: Vec<&ast::Name> = Vec::new();
        for ast::HoldBound { at_most_ms, of, otherwise, span } in clauses {
            if !(1..=MAX_HOLD_BOUND_MS).contains(at_most_ms) {
                let message = "a hold lasts longer than no time, and at most 400 days";
                let help = "write how long the rail leaves, as in `hold at most 9s`";
                self.refuse(codes::E0511, *span, message, help);
                continue;
            }
            let mut bound =
                HoldBound { at_most_ms: *at_most_ms, otherwise: *otherwise, members: Vec::new() };
            if let Some((path, names)) = of {
                let members = self.members(own, (path, names), &mut out.by);
                let Some(members) = members else { continue };
                bound.members = members;
                for name in names {
                    match known.iter().find(|first| first.text == name.text) {
                        Some(first) => self.report.push(twice("member", name, Some(first.span))),
                        None => known.push(name),
                    }
                }
            } else if let Some(first) = others.replace(*span) {
                let message = format!("`{}` has two bounds for all other events", own.name);
                self.report.push(
                    Diagnostic::new(codes::E0502, *span, message)
                        .with_related(first, "the first one")
                        .with_help("keep one, or say of which events with `where`"),
                );
            }
            out.bounds.push(bound);
        }
        out
    }

    /// The places of members in the set of the field that all clauses of an event go by.
    fn members(
        &mut self,
        own: &EventType,
        (path, names): (&ast::Path, &[ast::Name]),
        by: &mut Option<FieldId>,
    ) -> Option<Vec<u64>> {
        let field = self.own_field(own, path)?;
        let FieldType::OneOf(members) = &field.ty else {
            let message = format!("`{}` cannot say how long a payment may be held", field.name);
            let help = "name a field that is `one of [...]`, such as the rail of the payment";
            self.refuse(codes::E0202, path.span, &message, help);
            return None;
        };
        let id = own.field_named(&field.name)?;
        if by.is_some_and(|by| by != id) {
            let message = format!("the bounds of `{}` go by two fields", own.name);
            let help =
                "one field says how long payments of a type may be held: name it in all of them";
            self.refuse(codes::E0202, path.span, &message, help);
            return None;
        }
        *by = Some(id);
        places(members, &field.name, names).map_err(|found| self.report.push(*found)).ok()
    }

    fn refuse(&mut self, code: crate::diag::codes::Code, span: Span, message: &str, help: &str) {
        self.report.push(Diagnostic::new(code, span, message).with_help(help));
    }
}
