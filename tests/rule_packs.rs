//! The tests inside the shipped rule folders pass, and what once made them fail stays mended.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a test fails where it stands")]

use std::path::Path;
use std::sync::Arc;

use riskweir::diag::{Severity, Source, Sources};
use riskweir::loader::{LoadError, load};
use riskweir::rule_tests::run_all;

/// Compiles and runs; gives the number of tests.
#[track_caller]
fn check(sources: &Sources) -> usize {
    let (program, report) = riskweir::rules::compile(sources);
    let errors: Vec<_> =
        report.iter().filter(|found| found.severity() == Severity::Error).collect();
    let program = program.unwrap_or_else(|| panic!("{errors:#?}"));
    let results = run_all(&Arc::new(program)).unwrap();
    let failed: Vec<_> = results.iter().filter(|result| !result.failures.is_empty()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    results.len()
}

#[track_caller]
fn check_text(text: &str) {
    let file = Source { path: "a.risk".to_owned(), text: text.to_owned() };
    assert!(check(&Sources::of(vec![file])) > 0);
}

fn folder(name: &str) -> Sources {
    load(&Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

#[test]
fn the_shipped_rules_do_what_their_tests_say() {
    assert!(check(&folder("rules")) >= 100);
}

/// Also where the working directory has no rules: rules, lists, and the models that lie beside them.
#[test]
fn the_program_carries_the_shipped_rules_as_the_loader_reads_them() {
    let carried = riskweir::demo::shipped::sources();
    let loaded = folder("rules");
    let paths = |sources: &Sources| -> Vec<String> {
        sources.files.iter().map(|file| file.path.clone()).collect()
    };
    assert_eq!(paths(&carried), paths(&loaded));
    assert!(carried == loaded, "the program is of other rules than these");
    let models: Vec<&str> = carried.artifacts.iter().map(|it| it.path.as_str()).collect();
    assert_eq!(models, ["../models/card-fraud-challenger.rwm", "../models/card-fraud.rwm"]);
    assert!(carried.artifacts.iter().all(|it| it.bytes.len() < 400_000), "{carried:?}");
}

#[test]
fn the_shipped_rules_give_no_warning_but_those_that_they_accept_with_a_reason() {
    let (_, report) = riskweir::rules::compile(&folder("rules"));
    assert!(report.is_empty(), "{report:#?}");
}

#[test]
fn the_examples_do_what_their_tests_say() {
    for name in ["cards-2018", "cards-2018-learned", "fraud-rate", "paysim", "sparkov"] {
        assert!(check(&folder(&format!("examples/{name}"))) >= 2, "{name}");
    }
    check(&folder("examples/workload"));
}

/// One filter, two columns: an event of a rule test that leaves one of the fields out counts for the other.
#[test]
fn a_field_that_a_test_leaves_out_does_not_hide_the_event_from_aggregates_over_other_fields() {
    check_text(
        r#"
event transfer
  id    transfer_id : text
  time  at          : time
  key   sender      : account
  key   receiver    : account
  field country     : country
  field direction   : one of [inbound, outbound]
rule fan_out
  mode shadow
  on transfer
  let payees = distinct(transfer.receiver where direction = outbound) by sender over last 24h
  let sent   = count(transfer where direction = outbound) by sender over last 24h
  when payees >= 3
  then score +25 in mule
rule new_country
  mode shadow
  on transfer
  when is_new(transfer.country where direction = outbound) by sender over prior 30d
  then score +5 in places
test fan_out "the country is not what this is about"
  given transfer(sender: "s", receiver: "a", direction: outbound) at 1m
  given transfer(sender: "s", receiver: "b", direction: outbound) at 2m
  when transfer(sender: "s", receiver: "c", direction: outbound) at 3m
  expect hit, payees = 3, sent = 3
test new_country "the second time it is known"
  given transfer(sender: "s", receiver: "a", direction: outbound, country: DE) at 1m
  when transfer(sender: "s", receiver: "b", direction: outbound, country: DE) at 2m
  expect no hit
"#,
    );
}

#[test]
fn a_key_that_is_missing_is_named_as_what_a_rule_lacks() {
    check_text(
        r#"
event payment
  id    payment_id : text
  time  at         : time
  key   card       : card
  key   device     : device?
  field amount     : money currency EUR
rule testing
  mode shadow
  on payment
  let tries = count(payment) by device over last 10m
  let cards = distinct(payment.card) by device over last 10m
  when amount <= 25 EUR and tries >= 8 and cards >= 4
  if missing skip
  then block
test testing "unknown devices are not one big device"
  given 50 payment(device: missing, card: "c1", amount: 1 EUR) every 1s at 1s
  when payment(device: missing, card: "c2", amount: 1 EUR) at 60s
  expect no hit, undecided on device
"#,
    );
}

#[test]
fn a_test_that_leaves_out_a_required_field_which_its_rule_needs_fails_and_names_it() {
    let text = r#"
event payment
  id    id       : text
  time  at       : time
  key   card     : card
  field amount   : money currency EUR
  field attempts : integer
  field note     : text?
rule large mode shadow on payment when amount > 5 EUR if missing skip then alert
rule noted mode shadow on payment when note = "x" if missing skip then alert
rule either mode shadow on payment when amount > 5 EUR or attempts > 3 if missing skip then alert
test large "nothing given: the rule cannot be false" when payment(card: "c") expect no hit
test noted "an optional field may be absent" when payment(card: "c") expect undecided on note
test either "one of two suffices" when payment(amount: 6 EUR) expect hit
"#;
    let sources = Sources::of(vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }]);
    let program = riskweir::rules::compile(&sources).0.unwrap();
    let results = run_all(&Arc::new(program)).unwrap();
    let failures: Vec<(&str, &[String])> =
        results.iter().map(|result| (result.rule.as_str(), result.failures.as_slice())).collect();
    let said = "the rule reads `amount`, every `payment` has it, and this test leaves it out: give it a value";
    let expected: [(&str, &[String]); 3] =
        [("large", &[said.to_owned()]), ("noted", &[]), ("either", &[])];
    assert_eq!(failures, expected);
}

/// What the compiler proves about the shipped rules and examples is nothing, or accepted with a reason.
#[test]
fn nothing_is_proved_against_the_shipped_rules() {
    for name in
        ["rules", "examples/cards-2018", "examples/paysim", "examples/sparkov", "examples/workload"]
    {
        let (_, report) = riskweir::rules::compile(&folder(name));
        let proved = report
            .iter()
            .filter(|found| ["W05", "W06"].iter().any(|class| found.code.0.starts_with(class)));
        let told: Vec<String> = proved.map(|found| format!("{found:?}")).collect();
        assert!(told.is_empty(), "{name}: {told:#?}");
    }
}

/// Earlier events that lack what an aggregate remembers do not count as real ones would: `expect no hit` would pass.
#[test]
fn a_test_whose_earlier_events_leave_out_what_an_aggregate_remembers_fails_and_names_it() {
    let text = r#"
event payment
  id    id      : text
  time  at      : time
  key   card    : card
  field amount  : money currency EUR
  field channel : one of [web, shop]
  field note    : text?
rule spent mode shadow on payment
  when sum(payment.amount where channel = web) by card over last 1h > 500 EUR
  if missing skip
  then alert
test spent "no key" given 3 payment(amount: 400 EUR, channel: web) every 1m at 1m when payment(card: "c", amount: 1 EUR, channel: web) at 9m expect no hit
test spent "no column" given payment(card: "c", channel: web) at 1m when payment(card: "c", amount: 1 EUR, channel: web) at 9m expect no hit
test spent "no word for the filter" given payment(card: "c", amount: 900 EUR) at 1m when payment(card: "c", amount: 1 EUR, channel: web) at 9m expect no hit
test spent "all that counts" given payment(card: "c", amount: 900 EUR, channel: web) at 1m when payment(card: "c", amount: 1 EUR, channel: web) at 9m expect hit
"#;
    let sources = Sources::of(vec![Source { path: "a.risk".to_owned(), text: text.to_owned() }]);
    let (program, report) = riskweir::rules::compile(&sources);
    let results = run_all(&Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))).unwrap();
    let complaints = |at: usize| {
        let of = |failure: &String| failure.split('`').nth(3).map(str::to_owned);
        results[at].failures.iter().filter_map(of).collect::<Vec<_>>()
    };
    assert_eq!(complaints(0), ["card"]);
    assert_eq!(complaints(1), ["amount"]);
    assert_eq!(complaints(2), ["channel"]);
    let said = " a `given` leaves it out: give it a value";
    assert!(results[..3].iter().all(|it| it.failures.len() == 1 && it.failures[0].contains(said)));
    assert!(results[3..].iter().all(|it| it.failures.is_empty()), "{results:?}");
}

#[test]
fn a_link_that_leads_out_of_the_rule_folder_is_refused_and_one_within_is_followed() {
    let place = tempfile::tempdir().unwrap();
    let (rules, outside) = (place.path().join("rules"), place.path().join("outside.risk"));
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(&outside, "").unwrap();
    std::fs::write(rules.join("a.risk"), "").unwrap();
    std::os::unix::fs::symlink(rules.join("a.risk"), rules.join("b.risk")).unwrap();
    assert_eq!(load(&rules).unwrap().files.len(), 2);
    std::os::unix::fs::symlink(&outside, rules.join("c.risk")).unwrap();
    assert!(matches!(load(&rules), Err(LoadError::LinkOutside { .. })));
}
