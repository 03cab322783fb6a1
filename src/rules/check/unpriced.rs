//! Amounts in any currency without a table of exchange rates: what is not in the currency that a rule asks for is missing
//! then, so the rule is undecided, mostly silently. Said once per rule set, where the table would be named.

use std::collections::BTreeMap;

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventId, FieldId};
use crate::rules::check::schema::dotted;
use crate::rules::program::Program;
use crate::rules::reads;
use crate::rules::syntax::ast::Item;

/// What is said of an amount that may not be converted, behind its name.
pub(super) const NO_RATE: &str = "may have no exchange rate";

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

/// Of the rules that are undecided where one amount has no exchange rate, and by nothing else, the first is told, with the number of
/// the others: with a dozen warnings of one cause nobody reads the thirteenth. Where there is no table the one about that tells it.
pub(super) fn once(report: &mut Vec<Diagnostic>) {
    let is_told = report.iter().any(|found| found.code == codes::W0204);
    let cause = |found: &Diagnostic| {
        let of_rate = found.code == codes::W0301
            && found.related.is_empty()
            && found.label.ends_with(NO_RATE);
        of_rate.then(|| found.label.clone())
    };
    let mut n_rules: BTreeMap<String, usize> = BTreeMap::new();
    report.retain(|found| {
        let Some(cause) = cause(found) else { return true };
        let n_before = n_rules.entry(cause).or_default();
        *n_before += 1;
        !is_told && *n_before == 1
    });
    for found in report {
        let more = cause(found).and_then(|cause| n_rules.get(&cause).copied()).unwrap_or(1) - 1;
        if let (1.., Some(help)) = (more, &mut found.help) {
            let rules = if more == 1 { "1 more rule" } else { &format!("{more} more rules") };
            help.push_str(&format!("; the same holds for {rules}"));
        }
    }
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

#[cfg(test)]
mod tests {
    use crate::diag::{Source, Sources};
    use crate::rules::check::compile;

    const RULES: &str = "event pay from \"p\"
        id n : text time at : time key card : card? field amount : money currency \"/currency\"
        rule a mode shadow on pay when amount > 1 EUR then alert
        rule b mode shadow on pay when amount > 2 EUR then alert
        rule c mode shadow on pay when amount > 3 EUR then alert
        rule d mode shadow on pay when card = \"c\" then alert";

    /// Codes and helps of what is said about the rules under a policy.
    fn said(policy: &str) -> Vec<(&'static str, String)> {
        let file = |path: &str, text: String| Source { path: path.to_owned(), text };
        let table = "date,currency,rate\n2026-01-01,USD,0.9\n".to_owned();
        let files =
            vec![file("p.risk", format!("{RULES} policy p {policy}")), file("r.csv", table)];
        let (program, found) = compile(&Sources::of(files));
        assert!(program.is_some(), "{found:?}");
        found.into_iter().map(|found| (found.code.0, found.help.unwrap_or_default())).collect()
    }

    #[test]
    fn what_many_rules_have_from_one_amount_is_said_once() {
        let found = said("base currency EUR rates from \"r.csv\" expires 7d");
        let codes: Vec<_> = found.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes, ["W0301", "W0301"]);
        assert!(found[0].1.ends_with("; the same holds for 2 more rules"), "{}", found[0].1);
        assert!(found[1].1.ends_with("without it `skip` holds"), "{}", found[1].1);
        // Without a table, that there is none.
        let codes: Vec<_> = said("base currency EUR").into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes.iter().filter(|code| **code == "W0204").count(), 1);
        assert_eq!(codes.iter().filter(|code| **code == "W0301").count(), 1);
    }
}
