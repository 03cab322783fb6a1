//! Amounts in any currency without a table of exchange rates: what is not in the currency that a rule asks for is missing
//! then, so the rule is undecided, mostly silently. Said once per rule set, where the table would be named.

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventId, FieldId};
use crate::rules::check::schema::dotted;
use crate::rules::program::Program;
use crate::rules::reads;
use crate::rules::syntax::ast::Item;

/// Most amounts that a message names.
const MAX_NAMED: usize = 3;

/// A warning where rules compare or add up amounts that may be in a currency for which nobody knows a rate.
pub(super) fn warn(items: &[&Item], program: &Program, report: &mut Vec<Diagnostic>) {
    if program.rates.is_some() {
        return;
    }
    let amounts: Vec<(EventId, FieldId)> = reads::converted(program).into_iter().collect();
    let Some(place) = place(items, program, &amounts) else { return };
    let named = amounts.iter().take(MAX_NAMED).map(|(event, field)| {
        let event = program.schema.event(*event);
        format!("`{}.{}`", event.name, event.field(*field).name)
    });
    let mut named = named.collect::<Vec<_>>().join(", ");
    if let Some(more @ 1..) = amounts.len().checked_sub(MAX_NAMED) {
        named.push_str(&format!(" and {more} more"));
    }
    let message = format!(
        "{named} may be in another currency than rules ask for, and there are no exchange rates"
    );
    let base = program.policy.base_currency;
    let help = format!(
        "what is not in the currency that a rule asks for is missing: the rule is undecided and sums leave it out; \
         name a table in the policy, `rates from \"rates.csv\"`, or say in the schema that all are `currency {base}`"
    );
    report.push(Diagnostic::new(codes::W0204, place, message).with_help(help));
}

/// Where the policy has its name; without one, where the first of the amounts is declared.
fn place(items: &[&Item], program: &Program, amounts: &[(EventId, FieldId)]) -> Option<Span> {
    let (event, field) = amounts.first()?;
    let event = program.schema.event(*event);
    let field = &event.field(*field).name;
    let policy = items.iter().find_map(|item| match item {
        Item::Policy(policy) => Some(policy.name.span),
        _ => None,
    });
    policy.or_else(|| {
        items.iter().find_map(|item| match item {
            Item::Event(declared) if declared.name.text == event.name => {
                let own = declared.fields.iter().find(|of| dotted(&of.path) == *field);
                own.map(|of| of.path.span)
            }
            _ => None,
        })
    })
}
