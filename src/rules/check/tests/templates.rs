//! A `use` against the rule written out by hand.

use super::*;
use crate::rules::program::{ActionPlan, Mode, RuleInfo, SeverityLevel};

const VELOCITY: &str = "template velocity(ev: event, k: key, f: field, l: list, st: word, n: integer, w: duration)
  owner base  severity low  typology testing
  on ev
  param more = 1
  when count(ev where status = st and not (device in l)) by k over last w >= n + more and distinct(ev.f) by k over prior w > 2
  unless f is missing
  if missing skip
  then score +20 in g
       alert queue st once per k per 1h message \"{k}: {n} in {w}, {f}\"
";

const BY_HAND: &str = "rule by_hand mode shadow
  owner base  severity low  typology testing
  on card_payment
  param more = 1
  param n = 5
  param w = 10m
  when count(card_payment where status = declined and not (device in blocked_devices)) by user_id over last w >= n + more and distinct(card_payment.merchant.id) by user_id over prior w > 2
  unless merchant.id is missing
  if missing skip
  then score +20 in g
       alert queue declined once per user_id per 1h message \"{user_id}: {n} in {w}, {merchant.id}\"
";

const USE: &str =
    "use velocity(card_payment, user_id, merchant.id, blocked_devices, declined, 5, 10m) as made";

fn info<'p>(program: &'p Program, name: &str) -> &'p RuleInfo {
    program.rules.iter().find(|rule| rule.name == name).expect("a rule of this name")
}

#[test]
fn a_use_is_the_rule_written_out_and_shares_its_state() {
    let program = program(&format!("{VELOCITY}{BY_HAND}{USE} mode shadow"));
    let payment = program.schema.event_named("card_payment").expect("declared");
    let plan = &program.plans[usize::from(payment.0)];
    let [a, b] = plan.rules.as_slice() else { panic!("two rules") };
    assert_eq!((a.when, a.unless, &a.actions), (b.when, b.unless, &b.actions));
    let by_hand = super::program(BY_HAND);
    let names = |program: &Program| -> Vec<Vec<String>> {
        program.tables.iter().map(|table| table.identities.clone()).collect()
    };
    assert_eq!(names(&program), names(&by_hand));
    let (made, hand) = (info(&program, "made"), info(&program, "by_hand"));
    assert_eq!(made.typologies, hand.typologies);
    assert_eq!((&made.owner, made.severity), (&hand.owner, hand.severity));
}

#[test]
fn what_a_use_says_replaces_or_joins_what_its_template_says() {
    let program = program(&format!(
        "{VELOCITY}{USE} \"Made\"
  id \"R-7\"  owner cards  severity high  typology more  tags [x]  mandatory
  param more = 2
  unless country = DE
  then tag seen"
    ));
    let made = info(&program, "made");
    assert_eq!((made.id.as_str(), made.title.as_deref()), ("R-7", Some("Made")));
    assert_eq!((made.owner.as_deref(), made.severity), (Some("cards"), SeverityLevel::High));
    assert_eq!(
        (&made.typologies, &made.tags),
        (&vec!["testing".to_owned(), "more".to_owned()], &vec!["x".to_owned()])
    );
    assert!(made.mandatory && made.mode == Mode::Live);
    let plan = program.plans.iter().find(|plan| !plan.rules.is_empty()).expect("a rule");
    let body = &plan.rules[0];
    assert_eq!(body.actions, [ActionPlan::Tag("seen".to_owned())]);
    let unless = &plan.nodes[body.unless.expect("an exemption").0 as usize].op;
    assert!(matches!(unless, Op::Or(parts) if parts.len() == 2), "{unless:?}");
    let filled = body.filled.as_ref().expect("made by a use");
    assert_eq!(
        filled.write_out("count(ev) by k over last w >= n and f != \"n\""),
        "count(card_payment) by user_id over last 10m >= 5 and merchant.id != \"n\""
    );
}

#[test]
fn what_is_wrong_in_a_template_is_said_once_and_points_at_the_use() {
    let text = "template t(ev: event, n: integer)
  on ev
  when count(ev) by crad over last 1h > n
  then alert
use t(card_payment, 5) as a mode shadow
use t(card_payment, 6) as b mode shadow";
    let sources = sources(text);
    let errors = compile(&sources).1;
    let errors: Vec<&Diagnostic> =
        errors.iter().filter(|found| found.severity() == Severity::Error).collect();
    let [found] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((found.code.0, sources.text(found.span)), ("E0401", "crad"));
    let places: Vec<&str> = found.related.iter().map(|(span, _)| sources.text(*span)).collect();
    assert_eq!(places, ["a"]);
}

#[test]
fn templates_that_cannot_be_used_are_refused() {
    let large = "template large(least: money) on transfer when amount > least then alert\n";
    refused(&format!("{large}use larg(5 EUR) as a mode shadow"), "E0110", "larg");
    refused(&format!("{large}use large(5) as a mode shadow"), "E0111", "5");
    refused(&format!("{large}use large(5 EUR, 6 EUR) as a mode shadow"), "E0111", "large");
    refused(&format!("{large}use large(5 EUR + 6 EUR) as a mode shadow"), "E0111", "5 EUR + 6 EUR");
    refused(&format!("{large}{large}"), "E0104", "large");
    let twice =
        format!("{large}use large(5 EUR) as a mode shadow\nuse large(6 EUR) as a mode shadow");
    refused(&twice, "E0104", "a");
    let same_id = format!(
        "{large}use large(5 EUR) as a id \"R-1\" owner o\nuse large(6 EUR) as b id \"R-1\" owner o"
    );
    refused(&same_id, "E0104", "\"R-1\"");
    refused(&format!("{large}use large(5 EUR) as a"), "E0503", "a");
    refused(&format!("{large}use large(5 EUR) as a mode shadow on login"), "E0502", "on login");
    refused(&format!("{large}use large(5 EUR) as a mode shadow mode live"), "E0502", "mode live");
    refused(&large.replace("least: money", "least: cash"), "E0105", "cash");
    refused(&large.replace("least: money", "least: money, least: money"), "E0104", "least");
    refused(&large.replace("on transfer", "id \"R-1\" on transfer"), "E0519", "\"R-1\"");
    let unused = large.replace("least: money", "least: money, n: integer");
    assert_eq!(findings(&unused), [("W0102".to_owned(), "n".to_owned())]);
}

#[test]
fn a_parameter_stands_for_the_field_of_a_time_zone_and_for_a_list_that_is_asked() {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let rules = "list limit : country gives number from \"l.csv\"
        template day(z: field, n: integer) on card_payment
          when count(card_payment) by card over today in timezone z >= n
          if missing skip then alert queue q
        use day(note, 2) as by_note mode shadow
        template above(l: list) on card_payment
          when risk > l(country)
          if missing skip then alert queue q
        use above(limit) as above_limit mode shadow";
    let mut sources = sources(rules);
    sources.files.push(file("l.csv", "value,gives\nFR,5\n"));
    let (program, found) = compile(&sources);
    assert_eq!(found, []);
    let program = program.expect("no mistake");
    let event = &program.schema.events[0];
    let note = event.field(event.field_named("note").expect("declared")).slot;
    let plan = &program.plans[0];
    let zone = plan.lookups.iter().flat_map(|lookup| &lookup.zones).flatten().next();
    let zone = zone.map(|id| &plan.nodes[id.0 as usize].op);
    assert_eq!(zone, Some(&Op::Field(note)));
    assert!(plan.nodes.iter().any(|node| matches!(node.op, Op::Given(..))));
}
