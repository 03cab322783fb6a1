//! Whole compilations of small sources: expected shapes are counted by hand.

use crate::diag::{Diagnostic, Severity, Source, Sources};
use crate::rules::check::compile;
use crate::rules::program::{Op, Program, Type};
use crate::window::spec::{ColumnId, ColumnKind, Counting, MeasureKind};

mod again;
mod examples;
mod programs;
mod refusals;
mod templates;

/// A schema with everything in it.
const SCHEMA: &str = r#"
event card_payment from "cards" when "/type" = "payment"
  id    payment_id : text
  time  at         : time from "/ts" unit ms
  key   card       : card
  key   device     : device?
  key   user_id    : text
  field amount     : money from "/amount/value" currency "/amount/currency"
  field status     : one of [approved, declined]
  field entry_mode : one of [chip, online]
  field merchant.id : merchant
  field country    : country?
  field geo        : geo?
  field pan        : text? sensitive pan
  field note       : text?
  field risk       : number
  field n_items    : integer
  field address    : ip?
event transfer from "bank.transfers" when "/type" = "transfer"
  id    transfer_id : text from "/id"
  time  booked_at   : time
  key   sender      : account from "/debtor/account"
  key   receiver    : account from "/creditor/account"
  field amount      : money from "/amount" currency EUR
  field direction   : one of [inbound, outbound]
  field device      : device?
  field customer_no : text
  field receiver_country : country?
event login
  id   login_id : text
  time at : time
  key  user_id : text
  key  device : device
entity customer = card_payment.user_id | transfer.customer_no | login.user_id
list blocked_devices : device expires 24h
list countries : country from "lists/countries.csv"
"#;

fn sources(rules: &str) -> Sources {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    Sources::of(vec![
        file(
            "lists/countries.csv",
            "value,expires,note\nKP,,\nIR,2030-01-01T00:00:00Z,x\nRU,2029-12-31,\n",
        ),
        file("rules.risk", rules),
        file("schema.risk", SCHEMA),
    ])
}

fn render(sources: &Sources, diagnostics: &[Diagnostic]) -> String {
    let lines = diagnostics.iter().map(|d| {
        let words = sources.text(d.span);
        format!("{} `{words}`: {} | {} | {:?}", d.code.0, d.message, d.label, d.help)
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn program(rules: &str) -> Program {
    let sources = sources(rules);
    let (program, diagnostics) = compile(&sources);
    let errors: Vec<Diagnostic> =
        diagnostics.into_iter().filter(|d| d.severity() == Severity::Error).collect();
    assert!(errors.is_empty(), "{}", render(&sources, &errors));
    program.expect("no error, so there is a program")
}

/// A shadow rule on an event with this condition.
#[track_caller]
fn rule(event: &str, condition: &str) -> Program {
    program(&format!("rule r mode shadow on {event} {condition} then alert"))
}

/// The operation of the only rule's condition on the only event type that has one.
#[track_caller]
fn when(program: &Program) -> (&crate::rules::program::EventPlan, &Op) {
    let plan =
        program.plans.iter().find(|plan| !plan.rules.is_empty()).expect("one plan has a rule");
    (plan, &plan.nodes[plan.rules[0].when.0 as usize].op)
}

/// All diagnostics of a rule file, as `code words`.
fn findings(rules: &str) -> Vec<(String, String)> {
    let sources = sources(rules);
    let (_, diagnostics) = compile(&sources);
    diagnostics.iter().map(|d| (d.code.0.to_owned(), sources.text(d.span).to_owned())).collect()
}

/// Exactly one finding with this code at these words.
#[track_caller]
fn refused(rules: &str, code: &str, words: &str) {
    let sources = sources(rules);
    let (program, diagnostics) = compile(&sources);
    let errors: Vec<Diagnostic> =
        diagnostics.into_iter().filter(|d| d.severity() == Severity::Error).collect();
    let text = render(&sources, &errors);
    assert_eq!(errors.len(), 1, "{text}");
    assert_eq!((errors[0].code.0, sources.text(errors[0].span)), (code, words), "{text}");
    assert!(program.is_none());
}

/// The same for one condition of a shadow rule.
#[track_caller]
fn condition_refused(event: &str, condition: &str, code: &str, words: &str) {
    refused(&format!("rule r mode shadow on {event} when {condition} then alert"), code, words);
}
