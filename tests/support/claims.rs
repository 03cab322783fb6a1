//! Random rule sets of few conditions that often exclude or cover each other: on several events, in several modes, with
//! dates, snoozes and every `if missing`.
#![expect(clippy::format_push_string, reason = "a writer of texts, and speed is nothing here")]

use crate::support::dice::Dice;
use crate::support::rule_text::SCHEMA;

/// Conditions that say much about few things.
const ATOMS: &[&str] = &[
    "amount > 1 EUR",
    "amount >= 2 EUR",
    "amount < 2 EUR",
    "amount <= 1 EUR",
    "amount = 1 EUR",
    "amount between 1 EUR and 2 EUR",
    "amount <= max(pay.amount) by card over last 10s",
    "amount > max(pay.amount) by card over last 10s",
    "amount < min(pay.amount) by card over last 10s",
    "amount > max(pay.amount) by card over prior 10s",
    "channel = pos",
    "channel != pos",
    "channel in [pos, atm]",
    "channel not in [atm, ecom]",
    "home = DE",
    "home not in [DE, FR]",
    "home is missing",
    "home is present",
    "tries > 2",
    "tries <= 2",
    "tries != 3",
    "tries in [1, 2]",
    "tries is missing",
    "chip",
    "not chip",
    "chip = true",
    "card in stolen",
    "card not in stolen",
    "note = \"b\"",
    "note = \"note one\"",
    "length(note) < 0",
    "length(note) < 2",
    "length(note) > 3",
    "length(lower(note)) = 1",
    "note contains \"note\"",
    "note contains \"one\"",
    "note starts_with \"note\"",
    "note starts_with \"a\"",
    "note in [\"b\", \"B\"]",
    "lower(note) = \"b\"",
    "lower(note) contains \"b\"",
    "lower(note) contains \"B\"",
    "lower(note) starts_with \"no\"",
    "lower(note) matches \"[A-Z]\"",
    "note matches \"^n\"",
    "similarity(note, note) < 100%",
    "distance(place, place) > 1 km",
    "distance(place, place) < 1 km",
    "count(pay) by card over last 2s >= 2",
    "count(pay) by card over last 10s >= 2",
    "count(pay) by card over last 10s < 2",
    "count(pay) by card over prior 10s >= 2",
    "count(pay) by card over prior 10s = 0",
    "count(pay) by card over last 10s = 0",
    "count(pay where channel = pos) by card over last 10s >= 2",
    "count(pay) by device over last 10s >= 2",
    "count(pay) by device over last 2s > 2",
    "count(pay) by device over last 10s < 2",
    "count(pay) by card over today >= 2",
    "count(pay) by card over today < 2",
    "count(pay) by card over prior today = 0",
    "count(pay) by card over today in timezone note < 2",
    "count(pay) by card over today in timezone note is present",
    "count(pay) by card over this_week < 2",
    "count(pay) by card over this_month in timezone \"Asia/Kolkata\" < 2",
    "count(pay) by card over last 1h >= 2",
    "count(pay) by card over lifetime < 2",
    "time_since(pay) by card over prior today > 3s",
    "count(pay) by card over prior 10s before today >= 2",
    "count(pay) by card over prior 1h before today < 2",
    "count(pay) by card over prior 10s before today in timezone note < 2",
    "count(pay) by card over prior 3 events within 1h before today >= 2",
    "count(pay) by card over prior 10s before this_month < 2",
    "time_since(pay) by card over prior 1h before today > 3s",
    "time_since(pay) by card over prior 1h before today < 1s",
    "amount > max(pay.amount) by card over prior 10s before today",
    "amount > max(pay.amount) by card over today",
    "amount < percentile(50, pay.amount) by card over last 10s",
    "sum(pay.amount where amount > 0 EUR) by card over last 2s > 2 EUR",
    "sum(pay.amount where amount > 0 EUR) by card over last 10s < 2 EUR",
    "sum(pay.amount where amount >= 1 EUR and chip) by card over last 2s >= 2 EUR",
    "sum(pay.amount where amount > 0 EUR) by card over last 10s < 0 EUR",
    "max(pay.amount where amount > 0 EUR) by card over last 2s > 2 EUR",
    "sum(pay.amount) by card over last 2s > 2 EUR",
    "sum(pay.amount) by card over last 10s < 2 EUR",
    "sum(pay.tries where tries > 0) by card over last 2s > 6",
    "sum(pay.tries where tries > 0) by card over last 10s < 5",
    "distinct(pay.merchant) by card over last 10s >= 3",
    "distinct(pay.merchant) by card over last 10s > count(pay) by card over last 10s",
    "count(pay) by card over last 10s > count(pay) by card over last 1m",
    "is_new(pay.merchant) by card over prior 10s",
    "not (is_new(pay.merchant) by card over prior 10s)",
    "time_since(pay) by card over prior 5s > 3s",
    "time_since(pay) by card over prior 5s > 6s",
    "share(pay where chip) by card over last 10s > 100%",
    "share(pay where chip) by card over last 10s >= 0",
    "min(pay.amount) by card over prior 10s > max(pay.amount) by card over prior 10s",
    "hour(at) > 23",
    "1 = 1",
];

fn condition(dice: &mut Dice, atoms: &[&str], depth: u32) -> String {
    match dice.below(if depth == 0 { 1 } else { 4 }) {
        0 => format!("({})", dice.pick(atoms)),
        1 => format!("(not {})", condition(dice, atoms, depth - 1)),
        kind => {
            let (a, b) = (condition(dice, atoms, depth - 1), condition(dice, atoms, depth - 1));
            format!("({a} {} {b})", if kind == 2 { "and" } else { "or" })
        }
    }
}

/// Conditions that both event types have; of `login` the tries and the device are always there.
const COMMON: &[&str] = &[
    "tries > 2",
    "tries <= 2",
    "tries != 3",
    "tries in [1, 2]",
    "tries is missing",
    "device is missing",
    "device is present",
    "chip",
    "not chip",
    "card in stolen",
    "ratio > 0.5",
    "ratio <= 0.5",
    "note = \"b\"",
    "length(note) < 0",
    "count(login) by customer over last 10s >= 1",
    "count(login) by customer over last 10s >= 2",
    "count(login) by customer over last 2s >= 2",
    "count(login) by customer over last 10s < 1",
    "count(login) by device over last 10s >= 1",
    "time_since(login) by customer over prior 5s > 6s",
    "hour(at) > 23",
    "1 = 1",
];

/// All or some of the days on which streams take place, or none of them.
const DATES: &[&str] = &[
    "2026-01-01 .. 2026-12-31",
    "2020-01-01 .. 2020-12-31",
    "2026-03-29 .. 2026-03-29",
    "2026-01-01 .. 2026-03-29",
    "2026-03-30 .. 2026-12-31",
];

/// A rule set of four rules, half of them with a snooze or so.
pub(crate) fn rules(dice: &mut Dice) -> String {
    let mut text = SCHEMA.to_owned();
    // Half of the sets are about one event, with conditions of its own.
    let several = dice.one_in(2);
    let atoms = if several { COMMON } else { ATOMS };
    for index in 0..4 {
        let on =
            if several { dice.pick(&["pay", "login", "pay, login", "login, pay"]) } else { "pay" };
        let then = dice.pick(&[
            "block",
            "block",
            "block",
            "block",
            "hold for 1h",
            "allow",
            "alert queue q",
        ]);
        let dates = match then {
            "allow" => format!(" effective {}", dice.pick(DATES)),
            _ if dice.one_in(6) => format!(" effective {}", dice.pick(DATES)),
            _ => String::new(),
        };
        let mode = match dice.below(12) {
            0 => " mode shadow",
            1 => " mode canary 50% by note",
            _ => "",
        };
        text.push_str(&format!("rule r{index}\n  id \"R{index}\" owner o{dates}{mode}\n  on {on}"));
        if dice.one_in(4) {
            text.push_str(&format!(" where {}", condition(dice, atoms, 0)));
        }
        text.push_str(&format!("\n  when {}\n", condition(dice, atoms, 2)));
        if dice.one_in(3) {
            text.push_str(&format!("  unless {}\n", condition(dice, atoms, 1)));
        }
        let missing = dice.pick(&["skip", "match", "review"]);
        text.push_str(&format!("  if missing {missing}\n  then {then}\n"));
    }
    if dice.one_in(4) {
        let rule = dice.below(4);
        text.push_str(&format!(
            "snooze r{rule} for card \"c1\" until 2026-12-31 owner o reason \"a test\"\n"
        ));
    }
    text
}
