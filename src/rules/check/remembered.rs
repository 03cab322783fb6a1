//! Features that are remembered: `max(card_payment.spent_today) by card over prior 30d` looks at what the feature was on
//! each event when that event was judged.
//!
//! A column holds it, written after the event is judged like the filter bits that ask state. So a window that counts the
//! present event cannot have it yet, unless the feature is made of the event's own fields.

use crate::diag::{Diagnostic, codes};
use crate::event::schema::EventId;
use crate::rules::check::aggregates::Column;
use crate::rules::check::arena::{Arena, Ir, operands};
use crate::rules::check::checker::{Checker, Scope};
use crate::rules::check::functions::word;
use crate::rules::check::measures::Named;
use crate::rules::program::{NodeId, Type};
use crate::rules::syntax::ast::{Aggregate, AggregateFunction as Function};
use crate::window::spec::ColumnKind;

impl<'a> Checker<'_, 'a> {
    /// The event and the feature that an aggregate names: `card_payment.spent_today`.
    pub(super) fn named_feature(&self, aggregate: &Aggregate) -> Option<(EventId, &'a str)> {
        let ([event, name], false) = (aggregate.path.parts.as_slice(), aggregate.path.this) else {
            return None;
        };
        let world = self.build.world;
        let event = world.schema.event_named(&event.text)?;
        let (name, _) = world.features.get_key_value(name.text.as_str())?;
        let of_event = matches!(
            aggregate.function,
            Function::Count | Function::TimeSince | Function::Share | Function::Run
        );
        (!of_event && world.field(event, name).is_none()).then_some((event, *name))
    }

    /// The remembered value of a feature.
    pub(super) fn feature_column(
        &mut self,
        aggregate: &Aggregate,
        event: EventId,
        name: &str,
    ) -> Option<Column> {
        let span = aggregate.path.span;
        if let Some(currency) = &aggregate.currency {
            let message = format!("`{name}` is a feature, which has a currency of its own");
            return self.refuse(
                Diagnostic::new(codes::E0205, currency.span, message)
                    .with_help("leave `in` and the currency out"),
            );
        }
        let scope = Scope { in_cycle: self.scope.in_cycle, ..Scope::of(event) };
        let report = &mut *self.report;
        let read = |build: &mut _| Checker { build, scope: &scope, report }.feature(name, span);
        let node = self.build.apart(read).0?;
        let ty = self.build.arena(event).ty(node);
        let kind = match ty {
            Type::Money(_) | Type::Integer => ColumnKind::Int,
            Type::Number => ColumnKind::Micro,
            _ => {
                let message = format!("`{name}` is {}", self.describe(ty));
                return self.refuse(
                    Diagnostic::new(codes::E0404, span, message)
                        .with_label("wrong type")
                        .with_help(
                            "amounts and numbers are remembered; ask for truths in a `where`",
                        ),
                );
            }
        };
        if matches!(aggregate.function, Function::Distinct | Function::IsNew) {
            let message = format!("`{}` of a feature", word(aggregate.function));
            return self.refuse(
                Diagnostic::new(codes::E0404, span, message)
                    .with_help("different values are counted of fields"),
            );
        }
        let text = self.writer(event).text(node);
        Some(Column { field: None, named: Named { node, text }, kind, ty, unpriced: None })
    }

    /// Refuses a window that counts this event, of which the feature is not known before the window is asked.
    pub(super) fn is_known_early(
        &mut self,
        aggregate: &Aggregate,
        (event, name): (EventId, &str),
        column: &Column,
    ) -> Option<()> {
        if !asks_state(self.build.arena(event), column.named.node) {
            return Some(());
        }
        let span = aggregate.window.span;
        let prior = self.quote(span).replacen("last", "prior", 1);
        let message = format!("what `{name}` is on this event is not known yet");
        self.refuse(
            Diagnostic::new(codes::E0422, span, message)
                .with_label("counts this event")
                .with_help(format!(
                    "write `{prior}`, and ask `{name}` of this event by its name alone"
                ))
                .with_fix(span, prior),
        )
    }
}

/// Whether an expression asks state.
fn asks_state(arena: &Arena, id: NodeId) -> bool {
    let ir = &arena.get(id).ir;
    let mut found = matches!(ir, Ir::Measure { .. } | Ir::Judged(_));
    operands(ir, &mut |operand| found = found || asks_state(arena, operand));
    found
}
