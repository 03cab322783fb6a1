//! Layouts by hand, each formatted twice.

use crate::rules::format::{MAX_WIDTH, Refusal, format};

/// Formats, and formats the result again, which must change nothing.
#[track_caller]
fn formatted(text: &str) -> String {
    let once = format(text).unwrap_or_else(|refusal| panic!("{refusal:?}\n{text}"));
    let twice = format(&once).unwrap_or_else(|refusal| panic!("{refusal:?}\n{once}"));
    assert_eq!(once, twice, "formatting twice is formatting once");
    once
}

#[test]
fn a_long_sum_is_broken_between_its_terms_and_not_within_them() {
    let text = "feature all = count(pay where how = chip) by card over last 24h + 3 * count(pay where how = online) by card over last 24h - 2 * (count(login) by customer over prior 30d + count(refund where how = online and amount > 5 EUR) by customer over prior 30d) + (a - b)\n";
    let wanted = "feature all = count(pay where how = chip) by card over last 24h
    + 3 * count(pay where how = online) by card over last 24h
    - 2 * (count(login) by customer over prior 30d
      + count(refund where how = online and amount > 5 EUR) by customer over prior 30d)
    + (a - b)
";
    assert_eq!(formatted(text), wanted);
}

#[test]
fn a_clause_of_labels_has_a_line_of_its_own_and_is_broken_before_the_verdict() {
    let text = r#"event case from "cases" id n:text  labels pay,transfer by n verdict what fraud[confirmed,chargeback] genuine [cleared]
time at:time
  field what : one of [confirmed, chargeback, cleared]
event other id n:text time at:time field the_payment : text field found_out : one of [confirmed_by_the_bank, cleared_by_the_bank]

labels pay by the_payment verdict found_out fraud [confirmed_by_the_bank,claimed_by_the_customer] genuine [cleared_by_the_bank]
"#;
    let wanted = r#"event case from "cases"
  id    n    : text
  labels pay, transfer by n verdict what fraud [confirmed, chargeback] genuine [cleared]
  time  at   : time
  field what : one of [confirmed, chargeback, cleared]

event other
  id    n           : text
  time  at          : time
  field the_payment : text
  field found_out   : one of [confirmed_by_the_bank, cleared_by_the_bank]

  labels pay by the_payment
      verdict found_out
      fraud [confirmed_by_the_bank, claimed_by_the_customer]
      genuine [cleared_by_the_bank]
"#;
    assert_eq!(formatted(text), wanted);
}

const UNTIDY: &str = r#"# Head of the file.


event  pay from "t"   when "/k"="pay"  # the kind
id i:text   from "/id"
    time at : time
  key  card:card?   from "/card/token","/pan"
  field amount:money currency   EUR unit minor
  field how : one of [chip,  online]
list trusted:card
list blocked_cards : card from "lists/b.csv" expires   24h
feature a=count( pay ) by card over last 10m
feature longer = amount<5   EUR
rule r "Title" mode shadow id "R-1" owner x
ref "one" ref "two"
 on pay where how=chip
  param n=5 tune 3..12
  param m = 5 EUR tune 1 EUR..9 EUR
  let x=  sum(pay.amount in EUR where amount>5 EUR and how = chip) by card over last 10m
  let longest = - 3 + x / 2   # why
  # above when
  when a>=n and(x > m or not (longer)) and amount not in[1 EUR,2 EUR]
  if missing skip then score + 35 in g cap 50 alert queue q once per card per 1h message "{x}"
  # behind the last action
test r "t" given 4 pay(card:"c",amount:20 EUR,how:chip) every 1m
 when pay ( card : "c" ) at 5m expect hit,score +35

# about the policy
policy p base currency EUR band 40..69->alert queue t
 band 70..100 -> hold for 2h otherwise release
# the end
"#;

const TIDY: &str = r#"# Head of the file.

event pay from "t" when "/k" = "pay"  # the kind
  id    i      : text                   from "/id"
  time  at     : time
  key   card   : card?                  from "/card/token", "/pan"
  field amount : money                  currency EUR unit minor
  field how    : one of [chip, online]

list trusted       : card
list blocked_cards : card from "lists/b.csv" expires 24h

feature a      = count(pay) by card over last 10m
feature longer = amount < 5 EUR

rule r "Title"
  mode shadow  id "R-1"  owner x
  ref "one"  ref "two"
  on pay where how = chip
  param n = 5 tune 3..12
  param m = 5 EUR tune 1 EUR .. 9 EUR
  let x       = sum(pay.amount in EUR where amount > 5 EUR and how = chip) by card over last 10m
  let longest = -3 + x / 2  # why
  # above when
  when a >= n and (x > m or not (longer)) and amount not in [1 EUR, 2 EUR]
  if missing skip
  then score +35 in g cap 50
       alert queue q once per card per 1h message "{x}"
  # behind the last action

test r "t"
  given 4 pay(card: "c", amount: 20 EUR, how: chip) every 1m
  when pay(card: "c") at 5m
  expect hit, score +35

# about the policy
policy p
  base currency EUR
  band 40..69  -> alert queue t
  band 70..100 -> hold for 2h otherwise release
# the end
"#;

#[test]
fn an_untidy_file_becomes_tidy() {
    // The types that have something behind them make the column: `card?` and `money`.
    let tidy = TIDY
        .replace(": text                   from", ": text  from")
        .replace(": card?                  from", ": card? from")
        .replace(": money                  currency", ": money currency");
    assert_eq!(formatted(UNTIDY), tidy);
}

#[test]
fn a_wide_condition_is_broken_at_its_least_deep_parts() {
    let parts: Vec<String> =
        (0..8).map(|n| format!("(some_name_{n} = 1 or other_{n} > 2)")).collect();
    let text = format!("rule r on pay when {} then alert", parts.join(" and "));
    let out = formatted(&text);
    let broken = parts.join("\n      and ");
    assert_eq!(out, format!("rule r\n  on pay\n  when {broken}\n  then alert\n"));
}

#[test]
fn comments_inside_of_a_condition_stay_with_their_words() {
    let out = formatted("rule r on pay when a # one\n and b\n # two\n and c then alert # three\n");
    assert_eq!(
        out,
        "rule r\n  on pay\n  when a  # one\n      and b\n      # two\n      and c\n  then alert  # three\n"
    );
}

#[test]
fn a_comment_below_an_item_stays_with_it_and_one_at_the_edge_goes_with_the_next() {
    let out = formatted(
        "rule a on x when y then alert\n  # of a\n# of b\nrule b on x when y then alert\n",
    );
    assert_eq!(
        out,
        "rule a\n  on x\n  when y\n  then alert\n  # of a\n\n# of b\nrule b\n  on x\n  when y\n  then alert\n"
    );
}

#[test]
fn an_entity_of_many_fields_has_one_on_each_line() {
    let paths: Vec<String> = (0..12).map(|n| format!("event_{n}.customer")).collect();
    let out = formatted(&format!("entity customer = {}", paths.join("|")));
    let below = paths.join("\n                | ");
    assert_eq!(out, format!("entity customer = {below}\n"));
}

#[test]
fn only_what_has_parts_is_wider_than_the_page() {
    let message = "m".repeat(90);
    let out = formatted(&format!(
        "rule r on x when y then alert queue quite_a_long_name message \"{message}\""
    ));
    assert!(
        out.contains("\n  then alert queue quite_a_long_name\n           message \"mm"),
        "{out}"
    );
    assert!(out.lines().all(|line| line.chars().count() <= MAX_WIDTH), "{out}");
}

#[test]
fn a_file_with_a_mistake_is_refused_with_what_is_wrong() {
    let Err(Refusal::Mistakes(found)) = format("rule r on x wehn y then alert") else {
        panic!("it has a mistake")
    };
    assert!(!found.is_empty());
}

#[test]
fn an_empty_file_and_one_of_comments_stay() {
    assert_eq!(formatted(""), "");
    assert_eq!(formatted("\n\n# only\n\n\n# comments\n\n"), "# only\n\n# comments\n");
}
