//! What is refused, with its code and the words that it points at.

use super::*;
use crate::rules::program::Constant;

#[test]
fn unknown_names_are_found() {
    condition_refused("card_payment", "amunt > 5 EUR", "E0101", "amunt");
    condition_refused("card_payment", "this.amunt > 5 EUR", "E0101", "this.amunt");
    condition_refused("card_payment", "device in blocked_devics", "E0106", "blocked_devics");
    let unknown_event = "count(card_paymnt) by card over last 1h > 1";
    condition_refused("card_payment", unknown_event, "E0102", "card_paymnt");
    condition_refused("card_payment", "lenght(note) > 1", "E0103", "lenght");
    condition_refused("card_payment", "status = declind", "E0204", "declind");
    condition_refused("card_payment", "country = kp", "E0204", "kp");
    refused("rule r mode shadow on card_paymnt when 1 > 2 then alert", "E0102", "card_paymnt");
}

#[test]
fn types_that_never_meet_are_refused() {
    condition_refused("card_payment", "amount > 500", "E0211", "500");
    condition_refused("transfer", "sender = device", "E0214", "sender = device");
    condition_refused("card_payment", "note > \"a\"", "E0201", "note > \"a\"");
    condition_refused("card_payment", "status = \"declined\"", "E0201", "\"declined\"");
    condition_refused("card_payment", "status = entry_mode", "E0201", "status = entry_mode");
    condition_refused("card_payment", "note", "E0203", "note");
    condition_refused("card_payment", "n_items and risk > 0.5", "E0203", "n_items");
    condition_refused("card_payment", "amount > 5.001 EUR", "E0231", "5.001 EUR");
    condition_refused("card_payment", "amount > 5 EUX", "E0204", "5 EUX");
    condition_refused("card_payment", "note matches \"(\"", "E0230", "\"(\"");
    condition_refused("card_payment", "address = \"1.2.3\"", "E0231", "\"1.2.3\"");
    condition_refused("card_payment", "amount * amount > 5 EUR", "E0205", "amount * amount");
    let gap = "time_since(card_payment) by card over prior 1h";
    condition_refused("card_payment", &format!("{gap} > 5"), "E0205", &format!("{gap} > 5"));
    condition_refused("card_payment", "hour(amount) > 5", "E0202", "amount");
    condition_refused("card_payment", "device in countries", "E0201", "device");
}

#[test]
fn aggregates_say_what_they_need() {
    let on = "card_payment";
    condition_refused(on, "count(card_payment) by card over 10m > 5", "E0402", "10m");
    let mixed = "sum(card_payment.amount) by card over last 1h > 5 EUR";
    condition_refused(on, mixed, "E0220", "card_payment.amount");
    condition_refused(on, "count(login) by user_id, user_id over last 1h > 1", "E0104", "user_id");
    let of_which = "sum(n_items) by card over last 1h > 1";
    condition_refused(on, of_which, "E0404", "n_items");
    condition_refused(
        on,
        "count(card_payment.device) by card over last 1h > 1",
        "E0404",
        "card_payment.device",
    );
    condition_refused(
        on,
        "sum(card_payment.note) by card over last 1h > 1",
        "E0404",
        "card_payment.note",
    );
    condition_refused(on, "share(card_payment) by card over last 1h > 1%", "E0404", "card_payment");
    condition_refused(on, "count(card_payment) by country over last 1h > 1", "E0401", "country");
    condition_refused(on, "count(transfer) by sender over last 1h > 1", "E0401", "sender");
    condition_refused(
        on,
        "count(transfer) by sender = this.card over last 1h > 1",
        "E0214",
        "sender = this.card",
    );
    condition_refused(
        on,
        "count(card_payment) by card over last 4000d > 1",
        "E0403",
        "over last 4000d",
    );
    condition_refused(on, "count(card_payment) by card over last span > 1", "E0401", "span");
    let nested = "count(card_payment where count(login) by user_id over last 1h > 1) by card over last 1h > 1";
    let inner = "count(login) by user_id over last 1h";
    condition_refused(on, nested, "E0407", inner);
    let this = "count(card_payment where note = this.note) by card over last 1h > 1";
    condition_refused(on, this, "E0405", "this.note");
    refused(
        "rule r mode shadow on card_payment let x = 5 when count(card_payment where n_items = x) by card over last 1h > 1 then alert",
        "E0405",
        "x",
    );
    condition_refused(
        "login",
        "is_new(transfer.receiver) by customer over prior 1d",
        "E0401",
        "is_new(transfer.receiver) by customer over prior 1d",
    );
}

#[test]
fn windows_by_the_calendar_and_lifetimes_say_what_they_can_be_asked() {
    let on = "card_payment";
    for window in ["today", "this_week", "this_month", "lifetime"] {
        let over = format!("over {window}");
        let new = format!("is_new(card_payment.device) by card {over}");
        condition_refused(on, &new, "E0402", &over);
        let since = format!("time_since(card_payment) by card {over} > 1d");
        condition_refused(on, &since, "E0402", &over);
    }
    let distinct = "distinct(card_payment.device) by card over lifetime > 1";
    condition_refused(on, distinct, "E0420", "over lifetime");
    let nowhere = "count(card_payment) by card over today in timezone \"Europe/Bärlin\" > 1";
    condition_refused(on, nowhere, "E0511", "\"Europe/Bärlin\"");
    let no_text = "count(card_payment) by card over today in timezone amount > 1";
    condition_refused(on, no_text, "E0205", "amount");
}

#[test]
fn parts_of_the_language_that_wait_have_a_code_each() {
    let on = "card_payment";
    condition_refused(on, "model.anomaly > 0.9", "E0907", "model.anomaly");
    condition_refused(on, "ip.country = DE", "E0907", "ip.country");
}

#[test]
fn a_rule_that_stops_money_says_what_missing_data_means() {
    let rule = |when: &str, then: &str| {
        format!("rule r mode shadow on card_payment when {when} then {then}")
    };
    refused(&rule("device = \"x\"", "block"), "E0301", "device");
    refused(&rule("amount > 5 EUR", "hold for 1h"), "E0301", "amount");
    let by_device = "count(card_payment) by device over last 1h";
    refused(&rule(&format!("{by_device} > 1"), "step_up sms"), "E0301", by_device);
    let average = "avg(card_payment.risk) by card over prior 1h";
    refused(&rule(&format!("risk > {average}"), "block"), "E0301", average);
    let warned = findings(&rule("device = \"x\"", "score +5"));
    assert_eq!(warned, [("W0301".to_owned(), "device".to_owned())]);
}

#[test]
fn a_condition_that_is_always_decided_needs_no_answer() {
    let decided = |when: &str| {
        let source = format!("rule r mode shadow on card_payment when {when} then block");
        let mut found = findings(&source);
        // An average that includes the value is another matter.
        found.retain(|(code, _)| code != "W0604");
        assert_eq!(found, [], "{when}");
    };
    decided("risk > 0.5");
    decided("device is present and device = \"x\"");
    decided("device is missing or device = \"x\"");
    decided("device is present and count(card_payment) by device over last 1h > 5");
    decided("count(card_payment) by card over last 1h > 5");
    decided("(note default \"\") = \"x\"");
    decided("n_items > max(card_payment.n_items) by card over prior 1h default 5");
    decided("n_items >= max(card_payment.n_items) by card over last 1h");
    decided("n_items > avg(card_payment.n_items) by card over last 1h");
    decided("n_items / 2 > 1");
    let guarded = "rule r mode shadow on card_payment where device = \"x\" when device starts_with \"x\" then block";
    assert_eq!(findings(guarded), []);
}

#[test]
fn the_shape_of_rules_is_checked() {
    refused("rule r mode shadow when 1 > 2 then alert", "E0501", "r");
    refused("rule r on login when 1 > 2 then alert", "E0503", "r");
    refused("rule r id \"R\" owner o on login when 1 > 2 then allow", "E0302", "allow");
    refused("rule r mode shadow on login when 1 > 2 when 2 > 3 then alert", "E0502", "when 2 > 3");
    refused("rule r mode shadow on login when 1 > 2 then block allow", "E0502", "allow");
    refused("rule r mode shadow severity hihg on login when 1 > 2 then alert", "E0204", "hihg");
    refused("rule r mode shadow on login let device = 5 when 1 > 2 then alert", "E0107", "device");
    refused("rule r mode shadow on login when 1 > 2 then score +101", "E0511", "score +101");
    refused(
        "rule r mode shadow on login when 1 > 2 then add user_id to blocked_devices for 1h",
        "E0214",
        "user_id",
    );
    refused(
        "rule r mode shadow on card_payment when 1 > 2 then alert message \"card {pan}\"",
        "E0506",
        "pan",
    );
    refused(
        "rule r mode shadow on card_payment when 1 > 2 then score +1 in g cap 5 score +2 in g cap 6",
        "E0515",
        "score +2 in g cap 6",
    );
    refused(
        "rule r mode shadow on login when 1 > 2 then alert rule r mode shadow on login when 1 > 2 then alert",
        "E0104",
        "r",
    );
}

#[test]
fn the_schema_is_checked() {
    let event = |fields: &str| format!("event e id i : text time t : time {fields}");
    refused("event e id i : text", "E0508", "e");
    refused(&event("field f : money"), "E0501", "field f : money");
    refused(&event("field f : text from \"a\""), "E0509", "\"a\"");
    refused(&event("field f : text field f : ip"), "E0104", "f");
    refused(&event("field f : text unit ms"), "E0202", "ms");
    refused(&event("field f : time unit days"), "E0205", "days");
    refused(&event("field f : money currency EUR unit hours"), "E0205", "hours");
    refused("event e id i : text? time t : time", "E0221", "text?");
    refused(&event("key f : number"), "E0202", "number");
    refused(
        &format!("{} entity x = e.f | card_payment.device", event("field f : card")),
        "E0214",
        "card_payment.device",
    );
    refused("event e from \"cards\" id i : text time t : time", "E0514", "card_payment");
    refused("list l : devise", "E0105", "devise");
    refused("list l : text from \"lists/none.csv\"", "E0512", "\"lists/none.csv\"");
    let misspelt = findings(&event("field f : mony"));
    assert_eq!(misspelt, [("W0101".to_owned(), "mony".to_owned())]);
}

#[test]
fn features_are_checked_where_they_are_defined() {
    refused("feature a = b > 1 feature b = 5 + a", "E0109", "a");
    refused("feature a = risc > 1 rule r mode shadow on login when a then alert", "E0101", "risc");
    let elsewhere = "feature a = risk > 1 rule r mode shadow on login when a then alert";
    let found = findings(elsewhere);
    assert!(found.contains(&("E0108".to_owned(), "a".to_owned())), "{found:?}");
}

#[test]
fn policies_and_tests_are_checked() {
    refused("policy p band 10..20 -> alert band 20..30 -> alert", "E0504", "band 20..30 -> alert");
    refused("policy p timezone \"Europe/Berln\"", "E0511", "\"Europe/Berln\"");
    refused("policy p breaker 5 per 0s", "E0511", "breaker 5 per 0s");
    refused("policy p band 10..20 -> hold for 0s", "E0511", "hold for 0s");
    let factor = "step_up sms otherwise hold for 0s";
    refused(&format!("policy p band 10..20 -> {factor}"), "E0511", factor);
    refused(&format!("rule r mode shadow on login when 1 > 2 then {factor}"), "E0511", factor);
    refused("policy p policy q", "E0510", "q");
    let rule = "rule r mode shadow on login when 1 > 2 then alert";
    let test =
        |when: &str, expect: &str| format!("{rule} test r \"t\" when {when} expect {expect}");
    refused(&format!("{rule} test s \"t\" when login() expect hit"), "E0505", "s");
    refused(&test("login(usr_id: \"x\")", "hit"), "E0507", "usr_id");
    refused(&test("login(user_id: missing)", "hit"), "E0507", "missing");
    refused(&test("transfer(amount: 5 USD)", "hit"), "E0507", "5 USD");
    refused(&test("transfer(direction: sideways)", "hit"), "E0507", "sideways");
    refused(&test("login()", "nothing = 5"), "E0101", "nothing");
}

#[test]
fn an_undecided_rule_is_told_at_its_own_words_when_another_rule_has_the_same() {
    let rules = "rule a mode shadow on card_payment when device is present and device in blocked_devices then block\n\
                 rule b mode shadow on card_payment when device in blocked_devices then block\n";
    let sources = sources(rules);
    let (_, diagnostics) = compile(&sources);
    let told = diagnostics.iter().find(|d| d.code.0 == "E0301").expect("one rule can be undecided");
    let expected = rules.rfind("device in").expect("the words of the second rule");
    assert_eq!(told.span.start as usize, expected);
}

#[test]
fn a_canary_acts_on_a_share_of_a_key_that_its_events_have() {
    let rule = |mode: &str| {
        format!("rule r {mode} id \"R\" owner o on card_payment when risk > 0.5 then alert")
    };
    refused(&rule("mode canary 0% by card"), "E0511", "mode canary 0% by card");
    refused(&rule("mode canary 101% by card"), "E0511", "mode canary 101% by card");
    refused(&rule("mode canary 0.00001% by card"), "E0511", "mode canary 0.00001% by card");
    refused(&rule("mode canary 10% by sender"), "E0101", "sender");
    refused(&rule("mode canary 10% by amount"), "E0401", "amount");
    let no_owner = "rule r mode canary 10% by card on card_payment when risk > 0.5 then alert";
    refused(no_owner, "E0503", "r");
    let endless = "rule r mode canary 10% by card id \"R\" owner o on card_payment when risk > 0.5 then allow";
    refused(endless, "E0302", "allow");
}

#[test]
fn a_snooze_is_of_a_rule_that_may_rest_and_a_key_of_its_events() {
    let rules = "rule r mode shadow on card_payment, login when user_id != \"u\" then alert
        rule m mode shadow mandatory on card_payment when n_items > 1 then alert ";
    let snooze = |rule: &str, key: &str| {
        format!("{rules} snooze {rule} for {key} \"v\" until 2026-01-31 owner o reason \"why\"")
    };
    refused(&snooze("q", "card"), "E0516", "q");
    refused(&snooze("m", "card"), "E0517", "m");
    refused(&snooze("r", "sender"), "E0101", "sender");
    refused(&snooze("r", "n_items"), "E0401", "n_items");
    // A key that one of the events has is enough.
    assert_eq!(findings(&snooze("r", "card")), []);
    assert_eq!(findings(&snooze("r", "customer")), []);
}

#[test]
fn the_file_of_a_list_that_gives_values_says_what_each_member_gives() {
    let told = |csv: &str, gives: &str| {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let rules = format!("list l : country gives {gives} from \"l.csv\"");
        let files = vec![file("l.csv", csv), file("r.risk", &rules)];
        let (program, found) = compile(&Sources { files });
        let gives = program.and_then(|program| program.lists[0].gives.clone());
        (gives.map(|gives| gives.values), found.into_iter().map(|found| found.message).next())
    };
    let (values, _) = told("value,gives,note\nFR,5000,x\nTR,0.50,\n", "money EUR");
    let money = |minor: i128| Constant::Money(minor * crate::base::MICRO_PER_MINOR);
    let expected = [("FR".to_owned(), money(500_000)), ("TR".to_owned(), money(50))];
    assert_eq!(values, Some(expected.into()));
    let (values, _) = told("value,gives\nFR,-3\n", "integer");
    assert_eq!(values, Some([("FR".to_owned(), Constant::Int(-3))].into()));
    for (csv, gives, words) in [
        ("FR\n", "money EUR", "a member gives nothing"),
        ("value,gives\nFR,\n", "integer", "a member gives nothing"),
        ("value,gives\nFR,5.001\n", "money EUR", "`5.001` is not an amount in EUR"),
        ("value,gives\nFR,5.5\n", "integer", "`5.5` is not a whole number"),
        ("value,gives\nFR,inf\n", "number", "`inf` is not a number"),
    ] {
        let (_, message) = told(csv, gives);
        assert!(message.as_ref().is_some_and(|told| told.contains(words)), "{csv}: {message:?}");
    }
}

#[test]
fn a_list_that_gives_values_is_filled_by_its_file_alone() {
    let list = "list limit : country gives integer from \"lists/limits.csv\" ";
    let rule = |when: &str, then: &str| {
        format!("{list} rule r mode shadow on card_payment when {when} if missing skip then {then}")
    };
    let found = |text: &str| -> Vec<(String, String)> {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let mut sources = sources(text);
        sources.files.push(file("lists/limits.csv", "value,gives\nFR,3\n"));
        let found = compile(&sources).1;
        found.iter().map(|d| (d.code.0.to_owned(), sources.text(d.span).to_owned())).collect()
    };
    assert_eq!(found(&rule("n_items > limit(country)", "alert")), []);
    let told = |code: &str, words: &str| vec![(code.to_owned(), words.to_owned())];
    let add = rule("n_items > 3", "add country to limit for 1h");
    assert_eq!(found(&add), told("E0202", "limit"));
    assert_eq!(found(&rule("n_items > limit(card)", "alert")), told("E0201", "card"));
    assert_eq!(
        found(&rule("n_items > limit(country, card)", "alert")),
        told("E0202", "limit(country, card)")
    );
    assert_eq!(found(&rule("n_items > countries(country)", "alert")), told("E0103", "countries"));
}
