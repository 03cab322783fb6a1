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
    condition_refused("card_payment", "amount > 1.000 EUR", "E0231", "1.000 EUR");
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
fn a_part_of_the_language_that_waits_has_a_code() {
    let on = "card_payment";
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

/// What is wrong is told once, where it is, and not again at every value that a test asks for.
#[test]
fn a_let_that_cannot_be_read_is_not_unknown_to_the_tests_of_its_rule() {
    let test = "test r \"a\" when login() expect n = 3 ";
    let rule = "rule r mode shadow on login let n = nothing + 1 when n > 3 then alert ";
    let found = findings(&format!("{rule}{test}{test}"));
    assert_eq!(found, [("E0101".to_owned(), "nothing".to_owned())]);
}

/// 64 bits hold up to 9,223,372,036,854,775,807, and so much a record may say.
#[test]
fn what_may_be_too_large_to_be_reckoned_with_may_be_missing() {
    for (when, culprit) in [
        ("n_items * n_items > 5", "n_items * n_items"),
        ("n_items - 1 > 5", "n_items - 1"),
        ("abs(n_items) > 5", "abs(n_items)"),
        ("n_items * 1d > 5d", "n_items * 1d"),
        ("round(risk * risk * risk) > 5", "round(risk * risk * risk)"),
        (
            "sum(card_payment.n_items) by card over last 1h > 5",
            "sum(card_payment.n_items) by card over last 1h",
        ),
    ] {
        let rule = format!("rule r mode shadow on card_payment when {when} then block");
        refused(&rule, "E0301", culprit);
    }
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
    // Counts are far from what 64 bits hold.
    decided("3 * count(card_payment) by card over last 1h + 5 > n_items");
    decided("device is present and device = \"x\"");
    decided("device is missing or device = \"x\"");
    decided("device is present and count(card_payment) by device over last 1h > 5");
    decided("count(card_payment) by card over last 1h > 5");
    decided("(note default \"\") = \"x\"");
    decided("n_items > max(card_payment.n_items) by card over prior 1h default 5");
    decided("n_items >= max(card_payment.n_items) by card over last 1h");
    decided("n_items > avg(card_payment.n_items) by card over last 1h");
    decided("n_items / 2 > 1");
    let guarded = "rule r mode shadow on card_payment where device starts_with \"x\" when device = \"xy\" then block";
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
    let own = "feature a = count(card_payment where not b) by card over last 1h > 1 feature b = a";
    refused(own, "E0109", "over last 1h");
    let number = "feature a = 2 * avg(card_payment.risk where a > 1) by card over prior 1h";
    refused(number, "E0203", "a");
    let elsewhere = "feature a = risk > 1 and count(login where a) by customer over prior 1h > 2";
    refused(elsewhere, "E0108", "a");
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
fn one_word_never_means_two_things_in_a_rule() {
    let shadow = |on: &str, rest: &str| format!("rule r mode shadow on {on} {rest} then alert");
    let hides = |rules: &str, words: &str| refused(rules, "E0107", words);
    // A param beside a field of the rule's event, an entity, and a feature.
    hides(&shadow("transfer", "param amount = 5 EUR when amount > 5 EUR"), "amount");
    hides(&shadow("transfer", "param customer = 3 when customer > 2"), "customer");
    let feature = "feature small = amount < 5 EUR ";
    hides(&format!("{feature}{}", shadow("transfer", "param small = 7 when small > 5")), "small");
    hides(
        &format!("{feature}{}", shadow("transfer", "let small = amount > 3 EUR when small")),
        "small",
    );
    hides("feature amount = 5 EUR", "amount");
    hides("feature customer = 5", "customer");
    // Beside a field of an event that an aggregate or a step looks at, where the word stands.
    let counted = "param n_items = 5
        when count(card_payment where n_items > 3) by customer over last 1d >= 1";
    hides(&shadow("login", counted), "n_items");
    let stepped = "param n_items = 5
        when sequence by customer within 1h [ card_payment where n_items > 3, this ]";
    hides(&shadow("login", stepped), "n_items");
    let compared = "param n_items = 5 when sequence by customer within 1h
        [ card_payment as first, card_payment where n_items > first.n_items, this ]";
    hides(&shadow("login", compared), "n_items");
    let keyed = "param sender = 5 when count(transfer) by sender = this.user_id over last 1d > 1";
    let found = findings(&shadow("login", keyed));
    assert!(found.contains(&("E0107".to_owned(), "sender".to_owned())), "{found:?}");
    // A step whose fields would look like a field with a dot.
    let step = "when sequence by customer within 1h
        [ card_payment as merchant, this where risk > merchant.risk ]";
    let found = findings(&shadow("card_payment", step));
    assert!(found.contains(&("E0107".to_owned(), "merchant".to_owned())), "{found:?}");
    hides("list abs : country from \"lists/countries.csv\"", "abs");
    hides("list count : country", "count");
    // Where the word is not used for both, nothing is wrong.
    let other = "param n_items = 5
        when count(card_payment) by customer over last 1d >= n_items";
    assert_eq!(findings(&shadow("login", other)), []);
}

#[test]
fn what_says_nothing_or_contradicts_itself_is_out_of_its_range() {
    let rule = |rest: &str| format!("rule r mode shadow on card_payment {rest}");
    let then = |then: &str| rule(&format!("when n_items > 5 then {then}"));
    let param = |param: &str| rule(&format!("param {param} when n_items > q then alert"));
    refused(&then("score +0"), "E0511", "score +0");
    let once = "alert queue q once per card per 0s";
    refused(&then(once), "E0511", once);
    let step_up = "step_up sms otherwise hold for 0s";
    refused(&then(step_up), "E0511", step_up);
    refused("policy p breaker 5 per 0s", "E0511", "breaker 5 per 0s");
    refused(&param("q = 50 tune 3..12"), "E0511", "50");
    refused(&param("q = 2 tune 3..12"), "E0511", "2");
    refused(&param("q = 5 tune 12..3"), "E0511", "12..3");
    refused(&param("q = 5 tune 3..12 step 0"), "E0511", "0");
    for fine in ["q = 3 tune 3..12", "q = 12 tune 3..12 step 3", "q = 2.5 tune 2..3"] {
        assert_eq!(findings(&param(fine)), [], "{fine}");
    }
}

#[test]
fn what_was_before_this_event_is_not_asked_of_a_window_that_ends_with_it() {
    let on = "card_payment";
    for condition in [
        "is_new(card_payment.merchant.id) by card over last 1d",
        "time_since(card_payment) by card over last 1d > 1h",
        "status != last(card_payment.status) by card over last 1d",
    ] {
        condition_refused(on, condition, "E0409", "over last 1d");
    }
    // This event need not be among those that are looked at, or need not have a value.
    for condition in [
        "is_new(card_payment.merchant.id) by card over prior 1d",
        "is_new(card_payment.merchant.id where status = declined) by card over last 1d",
        "is_new(card_payment.merchant.id) by card over last 1d ending 1h ago",
        "time_since(login) by customer over last 1d > 1h",
        "last(card_payment.note) by card over last 1d = \"x\"",
    ] {
        let rule =
            format!("rule r mode shadow on {on} when {condition} if missing skip then alert");
        assert_eq!(findings(&rule), [], "{condition}");
    }
    let other_key = "rule r mode shadow on transfer
        when time_since(transfer) by receiver = this.sender over last 1d > 1h
        if missing skip then alert";
    assert_eq!(findings(other_key), []);
}

#[test]
fn no_aggregate_shows_what_a_sensitive_field_held() {
    let schema = "event pay id i : text time at : time key card : card
        field income : money currency EUR sensitive personal ";
    let told = |shown: &str| -> Vec<&'static str> {
        let rules = format!(
            "{schema} rule r mode shadow on pay when count(pay) by card over last 1h > 3
             then block reason \"{{{shown}}}\""
        );
        let files = vec![Source { path: "r.risk".to_owned(), text: rules }];
        compile(&Sources::of(files)).1.iter().map(|found| found.code.0).collect()
    };
    for function in
        ["sum(", "avg(", "min(", "max(", "stddev(", "median(", "percentile(100, ", "last("]
    {
        let shown = format!("{function}pay.income) by card over prior 1h");
        assert_eq!(told(&shown), ["E0506"], "{shown}");
    }
    assert_eq!(told("1 EUR + sum(pay.income) by card over last 1h"), ["E0506"]);
    for shown in ["count(pay) by card over last 1h", "distinct(pay.income) by card over last 1h"] {
        assert_eq!(told(shown), [""; 0], "{shown}");
    }
}

#[test]
fn the_value_of_a_snooze_is_read_as_the_type_of_its_key_like_a_text_in_a_condition() {
    let snooze = |value: &str| {
        format!(
            "rule r id \"R-1\" owner o on card_payment when n_items > 5 then block
             snooze r for address \"{value}\" until 2026-01-31 owner o reason \"why\""
        )
    };
    refused(&snooze("not an address"), "E0231", "\"not an address\"");
    // RFC 5952: no leading zeros, small letters, the longest row of zeros as `::`.
    let program = program(&snooze("2001:0DB8:0::1"));
    let body = &program.plans[0].rules[0];
    let values: Vec<&str> =
        body.snoozes.iter().flat_map(|(_, values)| values.keys()).map(String::as_str).collect();
    assert_eq!(values, ["2001:db8::1"]);
}

#[test]
fn a_list_file_that_says_two_things_of_one_value_is_refused_with_both_lines() {
    let told = |gives: &str, csv: &str| {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let files = vec![
            file("l.csv", csv),
            file("r.risk", &format!("list l : country {gives} from \"l.csv\"")),
        ];
        let sources = Sources::of(files);
        let (program, found) = compile(&sources);
        let lines = found.first().map(|found| {
            let first = found.related.first().map_or("", |(span, _)| sources.text(*span));
            (found.code.0, sources.text(found.span).to_owned(), first.to_owned())
        });
        (program.is_some(), lines)
    };
    let contradiction =
        |again: &str, first: &str| (false, Some(("E0512", again.to_owned(), first.to_owned())));
    assert_eq!(
        told("", "\u{feff}value,expires,note\nKP,,standing order\nIR,,\nKP,2025-01-01,older\n"),
        contradiction("KP,2025-01-01,older", "KP,,standing order")
    );
    assert_eq!(
        told("gives money EUR", "value,gives\nFR,5\nFR,5000\n"),
        contradiction("FR,5000", "FR,5")
    );
    // What says the same twice contradicts nobody.
    assert_eq!(told("", "value,expires,note\nKP,2027-01-01,a\nKP,2027-01-01,b\n"), (true, None));
    assert_eq!(told("gives money EUR", "value,gives\nFR,5\nFR,5.00\n"), (true, None));
}

#[test]
fn the_file_of_a_list_that_gives_values_says_what_each_member_gives() {
    let told = |csv: &str, gives: &str| {
        let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let rules = format!("list l : country gives {gives} from \"l.csv\"");
        let files = vec![file("l.csv", csv), file("r.risk", &rules)];
        let (program, found) = compile(&Sources::of(files));
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
        ("value,gives\nFR,5 000\n", "money EUR", "`5 000` is not an amount in EUR"),
        ("value,gives\nFR,5.001\n", "money EUR", "`5.001` has more decimals than EUR has"),
        // Thousands with a point are not the amount that they look like.
        ("value,gives\nFR,1.500\n", "money EUR", "`1.500` has more decimals than EUR has"),
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
