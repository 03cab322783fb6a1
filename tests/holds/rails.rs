//! How long the rail of a payment leaves for a hold: `hold at most 9s where rail [instant] otherwise block`.

use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, OutputTopic, Restore};
use riskweir::rules::program::Program;
use serde_json::{Value, json};

use super::{Desk, START_MS, command, time};

const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// Nine seconds for instant payments, a day for batches, no bound for wires.
const RULES: &str = r#"
event pay from "t" when "/type" = "pay"
  id    id     : text from "/id"
  time  at     : time unit ms from "/at"
  key   card   : card from "/card"
  field rail   : one of [instant, batch, wire]? from "/rail"
  field amount : money currency EUR from "/amount"
  hold at most 9s where rail [instant] otherwise block
  hold at most 24h where rail [batch]
event answer from "t" when "/type" = "answer"
  id    id      : text from "/id"
  time  at      : time unit ms from "/at"
  field payment : text from "/payment"
  field outcome : one of [ok, wrong] from "/outcome"
  answers pay by payment verdict outcome passed [ok] failed [wrong]
policy main
  band 90..100 -> hold for 1h otherwise release
rule plain
  id "R-1"  owner fraud  severity high
  on pay
  when amount = 10 EUR
  then hold for 2h otherwise release
rule staged
  id "R-2"  owner fraud  severity high
  on pay
  when amount = 20 EUR
  then hold for 2h otherwise escalate to seniors for 30h otherwise release
rule short_stage
  id "R-3"  owner fraud  severity high
  on pay
  when amount = 30 EUR
  then hold for 5s otherwise escalate to seniors for 1h otherwise release
rule ask
  id "R-4"  owner fraud  severity high
  on pay
  when amount = 40 EUR
  then step_up sms within 5m otherwise block
rule ask_and_hold
  id "R-5"  owner fraud  severity high
  on pay
  when amount = 50 EUR
  then step_up sms within 5s otherwise hold for 30m
rule whole_card
  id "R-6"  owner fraud  severity high
  on pay
  when amount = 60 EUR
  then hold card for 3d otherwise release
rule points
  id "R-7"  owner fraud  severity high
  on pay
  when amount = 70 EUR
  then score +95
rule exactly
  id "R-8"  owner fraud  severity high
  on pay
  when amount = 80 EUR
  then hold for 9s otherwise release
"#;

fn program(rules: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: rules.to_owned() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn desk() -> Desk {
    Desk::of(Engine::new(program(RULES), EngineOptions::default()).unwrap(), 0)
}

type Records = Vec<(OutputTopic, Value)>;

/// A payment at the beginning; without a rail where the text is empty.
fn pay(desk: &mut Desk, id: &str, rail: &str, amount: i64) -> Records {
    pay_by(desk, (id, "c1"), rail, amount)
}

fn pay_by(desk: &mut Desk, (id, card): (&str, &str), rail: &str, amount: i64) -> Records {
    let rail = if rail.is_empty() { Value::Null } else { json!(rail) };
    let body = json!({
        "type": "pay", "id": id, "at": START_MS, "card": card, "rail": rail, "amount": format!("{amount}.00"),
    });
    desk.step("t", START_MS, &body.to_string())
}

fn answer(desk: &mut Desk, id: &str, at_s: i64, (payment, outcome): (&str, &str)) -> Records {
    let now_ms = START_MS + at_s * 1_000;
    let body =
        json!({"type": "answer", "id": id, "at": now_ms, "payment": payment, "outcome": outcome});
    desk.step("t", now_ms, &body.to_string())
}

fn clock_ms(desk: &mut Desk, after_ms: i64) -> Records {
    let now_ms = START_MS + after_ms;
    let clock = json!({"schema": "riskweir.command.v1", "kind": "clock", "at": time(now_ms)});
    desk.command(now_ms, &clock)
}

fn clock(desk: &mut Desk, after_s: i64) -> Records {
    clock_ms(desk, after_s * 1_000)
}

/// The holds of records: id, state, seconds to the deadline, what comes then, what comes after that, and what limits it.
fn told(records: &Records) -> Vec<String> {
    let holds = records.iter().filter(|(topic, _)| *topic == OutputTopic::Holds);
    let mut told: Vec<String> = holds.map(|(_, hold)| said(hold)).collect();
    told.sort();
    told
}

fn said(hold: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let deadline_ms =
        riskweir::base::time::parse_rfc3339(text(&hold["deadline_at"]).as_bytes()).unwrap();
    let mut said = format!(
        "{} {} {}s {}",
        text(&hold["subject"]["id"]),
        text(&hold["state"]),
        (deadline_ms - START_MS) / 1_000,
        text(&hold["otherwise"]),
    );
    if let Some(then) = hold.get("then") {
        let for_s = then["for_ms"].as_i64().unwrap() / 1_000;
        said.push_str(&format!(", {for_s}s {}", text(&then["otherwise"])));
    }
    if let Some(limit) = hold.get("limited_by") {
        let schema = include_str!("../../docs/schemas/hold.v1.json");
        let schema = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
        assert!(schema.is_valid(hold), "{hold:#}");
        assert_eq!(limit["field"], "rail");
        let value = limit.get("value").map_or_else(|| "unknown".to_owned(), &text);
        let at_most_s = limit["at_most_ms"].as_i64().unwrap() / 1_000;
        said.push_str(&format!(" ({value}: {at_most_s}s)"));
    }
    said
}

fn decision(records: &Records) -> &Value {
    &records.iter().find(|(topic, _)| *topic == OutputTopic::Decisions).unwrap().1
}

/// The id of the hold in the first record of one.
fn hold_id(records: &Records) -> String {
    let mut holds = records.iter().filter(|(topic, _)| *topic == OutputTopic::Holds);
    holds.next().unwrap().1["hold_id"].as_str().unwrap().to_owned()
}

fn place(desk: &mut Desk, id: &str, card: &str, (until_s, otherwise): (i64, &str)) -> String {
    let place = json!({
        "schema": "riskweir.command.v1", "command_id": id, "kind": "hold.place", "actor": "ann", "reason": "x",
        "entity": "card", "value": card, "deadline_at": time(START_MS + until_s * 1_000), "otherwise": otherwise,
    });
    hold_id(&desk.command(START_MS, &place))
}

fn extend(desk: &mut Desk, id: &str, hold_id: &str, until_s: i64) -> Records {
    let mut extend = command(id, "hold.extend", hold_id);
    extend["deadline_at"] = json!(time(START_MS + until_s * 1_000));
    desk.command(START_MS, &extend)
}

/// Why a command was refused.
fn cause(records: &Records) -> String {
    let answer = records.iter().find(|(topic, _)| *topic == OutputTopic::Audit);
    answer.unwrap().1["command"]["cause"].as_str().unwrap_or("done").to_owned()
}

#[test]
fn no_hold_of_a_rule_or_a_band_lasts_longer_than_the_rail_leaves() {
    let mut desk = desk();
    let by_rail = [
        ("instant", "p placed 9s block (instant: 9s)"),
        ("batch", "p placed 7200s release"),
        ("wire", "p placed 7200s release"),
        // It may be instant, so nine seconds are what is certain.
        ("", "p placed 9s block (unknown: 9s)"),
    ];
    for (rail, expected) in by_rail {
        let mut desk = self::desk();
        assert_eq!(told(&pay(&mut desk, "p", rail, 10)), [expected], "{rail}");
    }
    let placed = pay(&mut desk, "p1", "instant", 10);
    assert_eq!(decision(&placed)["outcome"], "hold");
    assert_eq!(told(&clock_ms(&mut desk, 8_999)), [""; 0]);
    assert_eq!(told(&clock(&mut desk, 9)), ["p1 expired 9s block (instant: 9s)"]);
    // A band holds for an hour. Nine seconds that a rule says itself are no more than what is left, and end as it says.
    assert_eq!(told(&pay(&mut desk, "p2", "instant", 70)), ["p2 placed 9s block (instant: 9s)"]);
    assert_eq!(told(&pay(&mut desk, "p3", "batch", 70)), ["p3 placed 3600s release"]);
    assert_eq!(told(&pay(&mut desk, "p4", "instant", 80)), ["p4 placed 9s release"]);
    let ended = ["p2 expired 9s block (instant: 9s)", "p4 expired 9s release"];
    assert_eq!(told(&clock(&mut desk, 9)), ended);
}

#[test]
fn a_second_stage_has_what_the_rail_leaves_after_the_first() {
    let mut desk = desk();
    // 2 h and 30 h: of a day 22 h are left. The clause says nothing of the end, so the rule does.
    assert_eq!(
        told(&pay(&mut desk, "b", "batch", 20)),
        ["b placed 7200s escalate, 79200s release (batch: 86400s)"]
    );
    assert_eq!(
        told(&pay(&mut desk, "w", "wire", 20)),
        ["w placed 7200s escalate, 108000s release"]
    );
    // The first stage alone is longer than what the rail leaves: nobody is asked any more.
    assert_eq!(told(&pay(&mut desk, "i", "instant", 20)), ["i placed 9s block (instant: 9s)"]);
    // 5 s and an hour: four seconds are left.
    assert_eq!(
        told(&pay(&mut desk, "s", "instant", 30)),
        ["s placed 5s escalate, 4s block (instant: 9s)"]
    );
    assert_eq!(told(&clock(&mut desk, 5)), ["s escalated 9s block (instant: 9s)"]);
    let ended = ["i expired 9s block (instant: 9s)", "s expired 9s block (instant: 9s)"];
    assert_eq!(told(&clock(&mut desk, 9)), ended);
    let asked = clock(&mut desk, 2 * HOUR_S);
    let second = ["b escalated 86400s release (batch: 86400s)", "w escalated 115200s release"];
    assert_eq!(told(&asked), second);
    let alerts = asked.iter().filter(|(topic, _)| *topic == OutputTopic::Alerts);
    assert_eq!(alerts.count(), 2, "people are asked about both");
    assert_eq!(told(&clock(&mut desk, DAY_S)), ["b expired 86400s release (batch: 86400s)"]);
    assert_eq!(told(&clock(&mut desk, 32 * HOUR_S)), ["w expired 115200s release"]);
}

#[test]
fn a_challenge_is_answered_within_what_the_rail_leaves_or_the_payment_is_refused() {
    let mut desk = desk();
    let asked = pay(&mut desk, "a", "instant", 40);
    let within = json!({"method": "sms", "within_ms": 9_000, "otherwise": "block"});
    assert_eq!(decision(&asked)["step_up"], within);
    assert_eq!(told(&asked), ["a placed 9s block (instant: 9s)"]);
    assert_eq!(
        told(&answer(&mut desk, "x1", 8, ("a", "ok"))),
        ["a released 9s block (instant: 9s)"]
    );
    // 5 s for the answer and half an hour of a hold: four seconds are left of that.
    let mut desk = self::desk();
    let asked = pay(&mut desk, "b", "instant", 50);
    let within =
        json!({"method": "sms", "within_ms": 5_000, "otherwise": "hold", "hold_for_ms": 4_000});
    assert_eq!(decision(&asked)["step_up"], within);
    assert_eq!(told(&asked), ["b placed 5s hold, 4s block (instant: 9s)"]);
    // Failed at once: what otherwise says comes at once, and lasts as long as there is time.
    pay(&mut desk, "c", "instant", 50);
    assert_eq!(
        told(&answer(&mut desk, "x2", 0, ("c", "wrong"))),
        ["c escalated 9s block (instant: 9s)"]
    );
    assert_eq!(told(&clock(&mut desk, 5)), ["b escalated 9s block (instant: 9s)"]);
    let ended = ["b expired 9s block (instant: 9s)", "c expired 9s block (instant: 9s)"];
    assert_eq!(told(&clock(&mut desk, 9)), ended);
    // A rail that has time changes nothing: half an hour, then it goes.
    assert_eq!(told(&pay(&mut desk, "d", "batch", 50)), ["d placed 5s hold, 1800s release"]);
}

/// Whose clause lets go at the end, too: no second factor is no way through.
#[test]
fn a_challenge_that_is_cut_is_never_let_go() {
    let rules = RULES.replace("[instant] otherwise block", "[instant] otherwise release");
    let mut desk = Desk::of(Engine::new(program(&rules), EngineOptions::default()).unwrap(), 0);
    assert_eq!(told(&pay(&mut desk, "a", "instant", 10)), ["a placed 9s release (instant: 9s)"]);
    assert_eq!(told(&pay(&mut desk, "b", "instant", 40)), ["b placed 9s block (instant: 9s)"]);
    assert_eq!(
        told(&pay(&mut desk, "c", "instant", 50)),
        ["c placed 5s hold, 4s block (instant: 9s)"]
    );
    // Nor is a payment of a card that is held: it would be the way round that.
    place(&mut desk, "k1", "c2", (3 * DAY_S, "release"));
    assert_eq!(
        told(&pay_by(&mut desk, ("d", "c2"), "instant", 1)),
        ["d placed 9s block (instant: 9s)"]
    );
    assert_eq!(
        told(&pay_by(&mut desk, ("e", "c2"), "instant", 10)),
        ["e placed 9s release (instant: 9s)"]
    );
    clock(&mut desk, 5);
    let ended = [
        "a expired 9s release (instant: 9s)",
        "b expired 9s block (instant: 9s)",
        "c expired 9s block (instant: 9s)",
        "d expired 9s block (instant: 9s)",
        "e expired 9s block (instant: 9s)",
    ];
    assert_eq!(told(&clock(&mut desk, 9)), ended);
}

#[test]
fn a_payment_of_a_held_card_waits_no_longer_than_its_rail_leaves() {
    let mut desk = desk();
    let card = place(&mut desk, "k1", "c1", (3 * DAY_S, "release"));
    assert_eq!(told(&pay(&mut desk, "i", "instant", 1)), ["i placed 9s block (instant: 9s)"]);
    assert_eq!(told(&pay(&mut desk, "b", "batch", 1)), ["b placed 86400s block (batch: 86400s)"]);
    assert_eq!(told(&pay(&mut desk, "w", "wire", 1)), ["w placed 259200s release"]);
    // What has reasons of its own for two hours follows the card then.
    assert_eq!(told(&pay(&mut desk, "o", "batch", 10)), ["o placed 7200s release"]);
    assert_eq!(told(&clock(&mut desk, 9)), ["i expired 9s block (instant: 9s)"]);
    assert_eq!(told(&clock(&mut desk, 2 * HOUR_S)), ["o extended 86400s block (batch: 86400s)"]);
    // A card that is held for longer leaves batches where they are.
    let extended = extend(&mut desk, "k2", &card, 4 * DAY_S);
    assert_eq!(told(&extended), ["c1 extended 345600s release", "w extended 345600s release"]);
    assert_eq!(
        told(&clock(&mut desk, DAY_S)),
        ["b expired 86400s block (batch: 86400s)", "o expired 86400s block (batch: 86400s)"]
    );
    let released = desk.command(START_MS + DAY_S * 1_000, &command("k3", "hold.release", &card));
    assert_eq!(told(&released), ["c1 released 345600s release", "w released 345600s release"]);
    assert_eq!(desk.engine.holds_open(), 0);
}

#[test]
fn a_card_that_is_let_go_in_time_lets_its_payments_go() {
    let mut desk = desk();
    // Released, or its end comes within what the rail leaves.
    let card = place(&mut desk, "k1", "c1", (DAY_S, "release"));
    pay(&mut desk, "i", "instant", 1);
    let released = desk.command(START_MS + 4_000, &command("k2", "hold.release", &card));
    assert_eq!(
        told(&released),
        ["c1 released 86400s release", "i released 9s block (instant: 9s)"]
    );
    place(&mut desk, "k3", "c2", (5, "release"));
    assert_eq!(told(&pay_by(&mut desk, ("j", "c2"), "instant", 1)), ["j placed 5s release"]);
    assert_eq!(told(&clock(&mut desk, 5)), ["c2 expired 5s release", "j expired 5s release"]);
    // Both at one instant: the card's end decides. With a card that goes on to be held it is the rail's.
    for (id, card, otherwise) in [("k4", "c3", "release"), ("k5", "c4", "block")] {
        place(&mut desk, id, card, (9, otherwise));
    }
    pay_by(&mut desk, ("k", "c3"), "instant", 1);
    pay_by(&mut desk, ("l", "c4"), "instant", 1);
    let ended = [
        "c3 expired 9s release",
        "c4 expired 9s block",
        "k expired 9s release",
        "l expired 9s block",
    ];
    assert_eq!(told(&clock(&mut desk, 9)), ended);
    // Held for longer while payments wait: those of fast rails have no more than theirs.
    let card = place(&mut desk, "k6", "c5", (6, "release"));
    pay_by(&mut desk, ("m", "c5"), "instant", 1);
    let extended = extend(&mut desk, "k7", &card, 600);
    assert_eq!(told(&extended), ["c5 extended 600s release", "m extended 9s block (instant: 9s)"]);
    assert_eq!(told(&clock(&mut desk, 9)), ["m expired 9s block (instant: 9s)"]);
}

#[test]
fn a_rule_that_holds_the_card_holds_the_payment_as_long_as_its_rail_leaves() {
    let mut desk = desk();
    assert_eq!(
        told(&pay(&mut desk, "i", "instant", 60)),
        ["c1 placed 259200s release", "i placed 9s block (instant: 9s)"]
    );
    assert_eq!(told(&clock(&mut desk, 9)), ["i expired 9s block (instant: 9s)"]);
    assert_eq!(desk.engine.holds_open(), 1, "the card is held still");
}

#[test]
fn nobody_puts_a_deadline_beyond_the_rail() {
    let mut desk = desk();
    let instant = hold_id(&pay(&mut desk, "i", "instant", 10));
    let batch = hold_id(&pay(&mut desk, "b", "batch", 10));
    assert_eq!(cause(&extend(&mut desk, "k1", &instant, 10)), "beyond_rail");
    assert_eq!(cause(&extend(&mut desk, "k2", &instant, 9)), "not_later");
    assert_eq!(cause(&extend(&mut desk, "k3", &batch, DAY_S + 1)), "beyond_rail");
    assert_eq!(told(&extend(&mut desk, "k4", &batch, DAY_S)), ["b extended 86400s release"]);
    assert_eq!(cause(&extend(&mut desk, "k5", &batch, DAY_S + 1)), "beyond_rail");
    // A second stage gives way to the first.
    let staged = hold_id(&pay(&mut desk, "s", "batch", 20));
    assert_eq!(
        told(&extend(&mut desk, "k6", &staged, 23 * HOUR_S)),
        ["s extended 82800s escalate, 3600s release (batch: 86400s)"]
    );
    assert_eq!(
        told(&extend(&mut desk, "k7", &staged, DAY_S)),
        ["s extended 86400s release (batch: 86400s)"]
    );
    // The card itself may be held for as long as anybody likes.
    let card = place(&mut desk, "k8", "c9", (DAY_S, "release"));
    assert_eq!(cause(&extend(&mut desk, "k9", &card, 30 * DAY_S)), "done");
}

/// What was promised when a hold was placed stays; a snapshot keeps it.
#[test]
fn another_rule_set_changes_nothing_about_open_holds() {
    let bounds = [
        "  hold at most 9s where rail [instant] otherwise block\n",
        "  hold at most 24h where rail [batch]\n",
    ];
    let without = RULES.replace(bounds[0], "").replace(bounds[1], "");
    let mut desk = desk();
    place(&mut desk, "k1", "c2", (3 * DAY_S, "release"));
    pay(&mut desk, "a", "instant", 10);
    pay(&mut desk, "b", "batch", 20);
    pay_by(&mut desk, ("c", "c2"), "batch", 1);
    let bytes = desk.snapshot();
    desk.engine.activate(program(&without)).unwrap();
    let mut restore = Restore::new(program(RULES), EngineOptions::default());
    restore.part(&bytes).unwrap();
    let mut restored = Desk::of(restore.finish().unwrap(), desk.offset);
    assert_eq!(told(&pay(&mut desk, "d", "instant", 10)), ["d placed 7200s release"]);
    for desk in [&mut desk, &mut restored] {
        assert_eq!(told(&clock(desk, 9)), ["a expired 9s block (instant: 9s)"]);
        let staged = clock(desk, 2 * HOUR_S);
        assert!(told(&staged).contains(&"b escalated 86400s release (batch: 86400s)".to_owned()));
        assert_eq!(
            told(&clock(desk, DAY_S)),
            ["b expired 86400s release (batch: 86400s)", "c expired 86400s block (batch: 86400s)"]
        );
    }
}
