//! The worked examples of the language, and broken variants of them.

use proptest::prelude::*;

use super::*;
use crate::rules::check::arena::{Ir, operands};
use crate::rules::check::check;
use crate::rules::check::learned::Artifacts;
use crate::rules::syntax::words::is_reserved;

/// The events that the examples speak of.
const EVENTS: &str = r#"
event card_payment
  id payment_id : text
  time at : time
  key card : card
  key device : device?
  key user_id : text
  key merchant.id : merchant
  field amount : money currency "/currency"
  field status : one of [approved, declined]
  field entry_mode : one of [chip, online]
  field geo : geo?
event transfer from "bank.transfers" when "/type" = "transfer"
  id    transfer_id : text      from "/id"
  time  booked_at   : time      from "/booked_at"
  key   sender      : account   from "/debtor/account"
  key   receiver    : account   from "/creditor/account"
  key   customer_no : text
  field amount      : money     from "/amount/value" currency "/amount/currency"
  field direction   : one of [inbound, outbound]
  field device      : device?
  field receiver_country : country?
  field receiver_iban : text
  field account_age : integer
event login
  id i : text
  time at : time
  key user_id : text
  field device : device?
  field ip : ip
event cash_deposit
  id i : text
  time at : time
  key user_id : text
  field amount : money currency EUR
event wallet_payout
  id i : text
  time at : time
  key user_id : text
  field amount : money currency EUR
  field receiver_country : country?
  field receiver_iban : text
event card_topup
  id i : text
  time at : time
  key user_id : text
  field card : card
  field amount : money currency "/currency"
event refund
  id i : text
  time at : time
  key user_id : text
event step_up
  id i : text
  time at : time
  key user_id : text
  field outcome : one of [passed, failed]
entity customer = card_payment.user_id | transfer.customer_no | login.user_id | cash_deposit.user_id
  | wallet_payout.user_id | card_topup.user_id | refund.user_id | step_up.user_id
list blocked_devices : device expires 24h
list sanctioned_ibans : text
list verified_payees : account
list frozen_customers : customer
list trusted_merchants : merchant
"#;

/// The examples whose parts are all supported.
const SUPPORTED: &str = r#"
feature new_device = is_new(login.device) by customer over prior 180d

rule card_velocity "5 or more payments on one card in 10 minutes"
  id "R-0101"  owner cards_fraud  severity medium  typology card_testing
  on card_payment
  param n = 5 tune 3..12
  when count(card_payment) by card over last 10m >= n
  then score +35 in velocity cap 50
       alert queue cards_l1 once per card per 1h

rule card_testing "Many declined small payments with many cards from one device"
  id "R-0102"  owner cards_fraud  severity high  typology card_testing
  on card_payment
  let tries = count(card_payment where status = declined and amount < 5 EUR) by device over last 15m
  let cards = distinct(card_payment.card) by device over last 15m
  when tries >= 6 and cards >= 4
  if missing skip
  then block reason "card testing from one device"
       add device to blocked_devices for 24h
       alert queue cards_l1 once per device per 6h

rule impossible_travel mode shadow
  on card_payment where entry_mode = chip
  let place = last(card_payment.geo where entry_mode = chip) by card over prior 12h
  let gap   = time_since(card_payment where entry_mode = chip) by card over prior 12h
  when distance(place, geo) > 100 km and distance(place, geo) / gap > 900 km/h
  if missing skip
  then hold for 30m otherwise release reason "impossible travel"

rule mule_in_out "Many senders in, most of it out again" mode shadow
  typology mule_account  ref "FATF R.20"
  on transfer where direction = outbound
  let senders   = distinct(transfer.sender) by receiver = this.sender over prior 24h
  let money_in  = sum(transfer.amount in EUR) by receiver = this.sender over prior 24h
  let money_out = sum(transfer.amount in EUR) by sender over last 24h
  when senders >= 5 and money_in > 2_000 EUR and money_out >= 80% of money_in
  then hold for 4h otherwise release
       alert queue aml_l2 once per sender per 7d

rule structuring "Cash just under the reporting line" mode shadow
  on cash_deposit
  when count(cash_deposit where amount between 8_000 EUR and 9_999.99 EUR) by customer over last 7d >= 3
   and sum(cash_deposit.amount in EUR) by customer over last 7d > 10_000 EUR
  then alert queue aml_l2 once per customer per 30d

rule dormant_wakes mode shadow
  on transfer where direction = outbound
  let quiet = time_since(transfer) by sender over prior 400d default 400d
  when quiet > 180d and account_age > 180 and amount > 1_000 EUR
  then score +30 in behaviour

rule topup_cashout "Fresh cards topped up, wallet cashed out" mode shadow
  on wallet_payout
  let topped = sum(card_topup.amount in EUR) by customer over prior 2h
  let cards  = distinct(card_topup.card) by customer over prior 24h
  when topped >= 200 EUR and amount >= 80% of topped and cards >= 2
  if missing review
  then hold for 24h otherwise block reason "top-up then cash-out"

rule refund_abuse mode shadow
  on refund
  let refunds   = count(refund) by customer over last 30d
  let purchases = count(card_payment where status = approved) by customer over last 30d
  when refunds >= 4 and refunds / purchases > 30%
  if missing match
  then score +20 in abuse

rule sanctions_hit  typology sanctions  ref "EU 833/2014"  mandatory mode shadow
  on transfer, wallet_payout
  when receiver_iban in sanctioned_ibans or receiver_country in [KP, IR]
  if missing match
  then hold for 3d otherwise block
       alert queue sanctions

rule step_up_failures "Three failed challenges freeze the customer" mode shadow
  on step_up where outcome = failed
  when count(step_up where outcome = failed) by customer over last 30m >= 3
  then block reason "challenge failed three times"
       add customer to frozen_customers for 24h

rule far_from_habit mode shadow
  on transfer
  let usual = avg(transfer.amount in EUR) by sender over prior 90d default 300 EUR
  when is_new(transfer.receiver) by sender over prior 365d and amount > 500 EUR and amount > 3 * usual
  unless receiver in verified_payees
  if missing review
  then step_up app_confirm otherwise hold for 30m

policy decisions
  base currency EUR  timezone "Europe/Berlin"
  band 40..69 -> alert queue l1   band 70..84 -> step_up sms   band 85..100 -> hold for 2h

test card_velocity "the fifth payment fires"
  given 4 card_payment(card: "c1", amount: 20 EUR) every 1m
  when card_payment(card: "c1", amount: 20 EUR) at 5m
  expect hit, score +35
test card_testing "unknown devices are not one big device"
  given 50 card_payment(device: missing, status: declined, amount: 1 EUR) every 1s
  when card_payment(device: missing, status: declined, amount: 1 EUR) at 60s
  expect no hit, undecided on device
"#;

fn compiled(rules: &str) -> (Sources, Option<Program>, Vec<Diagnostic>) {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let sources = Sources::of(vec![file("a.risk", rules), file("schema.risk", EVENTS)]);
    let (program, diagnostics) = compile(&sources);
    (sources, program, diagnostics)
}

#[test]
fn the_worked_examples_compile() {
    let (sources, program, diagnostics) = compiled(SUPPORTED);
    let errors: Vec<Diagnostic> =
        diagnostics.into_iter().filter(|d| d.severity() == Severity::Error).collect();
    assert!(errors.is_empty(), "{}", render(&sources, &errors));
    let program = program.expect("no error");
    assert_eq!(program.rules.len(), 11);
    assert_eq!(program.tests.len(), 2);
    // card: count; device: count, distinct; card: last, last_time; receiver, sender: transfer; cash; topup; refund;
    // purchases; step_up; login.
    let names: Vec<&str> = program.tables.iter().map(|table| table.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "card_payment by card",
            "card_payment by device",
            "card_payment by user_id",
            "card_topup by user_id",
            "cash_deposit by user_id",
            "login by user_id",
            "refund by user_id",
            "step_up by user_id",
            "transfer by receiver",
            "transfer by sender",
        ]
    );
}

#[test]
fn a_window_is_the_same_however_its_length_is_written() {
    let (_, program, _) = compiled(SUPPORTED);
    let again = SUPPORTED.replace("over last 10m", "over last 600s");
    let (_, other, _) = compiled(&again);
    let identities = |program: Option<Program>| {
        let tables = program.expect("compiles").tables;
        tables.into_iter().map(|table| table.identities).collect::<Vec<_>>()
    };
    assert_eq!(identities(program), identities(other));
}

/// The words of a source with the space before them.
fn words(text: &str) -> Vec<&str> {
    let mut list = Vec::new();
    let mut start = 0;
    for (index, c) in text.char_indices() {
        if index > start && (c.is_whitespace() || "()[],=<>+\"".contains(c)) {
            list.push(&text[start..index]);
            start = index;
        }
    }
    list.push(&text[start..]);
    list
}

/// What was compiled is whole: nodes look back only, and there is a program exactly when there is no error.
fn whole(program: Option<&Program>, diagnostics: &[Diagnostic]) -> bool {
    let failed = diagnostics.iter().any(|d| d.severity() == Severity::Error);
    let plans = program.map(|program| program.plans.as_slice()).unwrap_or_default();
    let backward = plans.iter().all(|plan| {
        plan.nodes.iter().enumerate().all(|(index, node)| {
            let mut backward = true;
            operands(&Ir::Op(node.op.clone()), &mut |operand| {
                backward &= (operand.0 as usize) < index;
            });
            backward
        })
    });
    backward && program.is_none() == failed
}

fn is_name(word: &str) -> bool {
    let word = word.trim_start_matches(|c: char| !c.is_alphanumeric() && c != '_');
    word.starts_with(|c: char| c.is_ascii_lowercase()) && !is_reserved(word)
}

type Edits = Vec<(prop::sample::Index, prop::sample::Index, bool)>;

fn edits() -> impl Strategy<Value = Edits> {
    prop::collection::vec(
        (any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<bool>()),
        1..6,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever words are lost or swapped: an answer, and no panic; also where the checker goes on behind mistakes
    /// of the grammar.
    #[test]
    fn sources_with_lost_and_swapped_words_never_panic(edits in edits()) {
        let both = format!("{SUPPORTED}{EVENTS}");
        let mut list = words(&both);
        for (one, two, swap) in edits {
            let (one, two) = (one.index(list.len()), two.index(list.len()));
            if swap {
                list.swap(one, two);
            } else {
                list.remove(one);
            }
        }
        let sources = Sources::of(vec![Source { path: "a.risk".into(), text: list.concat() }]);
        let (program, diagnostics) = compile(&sources);
        prop_assert!(whole(program.as_ref(), &diagnostics));
        let (file, _) = crate::rules::syntax::parse(crate::diag::FileId(0), &sources.files[0].text);
        let items: Vec<_> = file.items.iter().collect();
        check(&items, (&sources, Artifacts::Required), &mut Vec::new(), None);
    }

    /// Names in the wrong places read well and mean nothing: the checker's own fare.
    #[test]
    fn sources_with_names_in_wrong_places_never_panic(edits in edits()) {
        let both = format!("{SUPPORTED}{EVENTS}");
        let mut list: Vec<String> = words(&both).into_iter().map(str::to_owned).collect();
        let names: Vec<usize> = (0..list.len()).filter(|&index| is_name(&list[index])).collect();
        for (one, two, swap) in edits {
            let (one, two) = (names[one.index(names.len())], names[two.index(names.len())]);
            if swap {
                list.swap(one, two);
            } else {
                list[one] = list[two].clone();
            }
        }
        let sources = Sources::of(vec![Source { path: "a.risk".into(), text: list.concat() }]);
        let (program, diagnostics) = compile(&sources);
        prop_assert!(whole(program.as_ref(), &diagnostics));
    }
}
