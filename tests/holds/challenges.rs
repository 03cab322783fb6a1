//! A second factor that is asked for, answered or not.

use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, OutputTopic};
use riskweir::rules::program::Program;
use serde_json::{Value, json};

use super::{Desk, MINUTE_MS, START_MS, command, time};

const RULES: &str = r#"
event pay from "t" when "/type" = "pay"
  id    id     : text from "/id"
  time  at     : time unit ms from "/at"
  key   card   : card from "/card"
  field amount : money currency EUR from "/amount"
event answer from "t" when "/type" = "answer"
  id    id      : text from "/id"
  time  at      : time unit ms from "/at"
  field payment : text from "/payment"
  field outcome : one of [ok, wrong, asked_again] from "/outcome"
  answers pay by payment verdict outcome passed [ok] failed [wrong]
rule ask
  id "R-1"
  owner fraud
  severity medium
  on pay
  when amount > 50 EUR
  then step_up sms within 5m otherwise block
rule ask_and_hold
  id "R-2"
  owner fraud
  severity medium
  on pay
  when amount = 40 EUR
  then step_up app otherwise hold for 30m
rule ask_only
  id "R-3"
  owner fraud
  severity medium
  on pay
  when amount = 30 EUR
  then step_up app
"#;

fn program(rules: &str) -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: rules.to_owned() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn desk(rules: &str) -> Desk {
    Desk::of(Engine::new(program(rules), EngineOptions::default()).unwrap(), 0)
}

type Records = Vec<(OutputTopic, Value)>;

fn pay(desk: &mut Desk, id: &str, amount: i64) -> Records {
    let body = json!({"type": "pay", "id": id, "at": START_MS, "card": "c1", "amount": format!("{amount}.00")});
    desk.step("t", START_MS, &body.to_string())
}

fn answer(desk: &mut Desk, id: &str, now_ms: i64, (payment, outcome): (&str, &str)) -> Records {
    let body =
        json!({"type": "answer", "id": id, "at": now_ms, "payment": payment, "outcome": outcome});
    desk.step("t", now_ms, &body.to_string())
}

fn clock(desk: &mut Desk, now_ms: i64) -> Records {
    let clock = json!({"schema": "riskweir.command.v1", "kind": "clock", "at": time(now_ms)});
    desk.command(now_ms, &clock)
}

fn decision(records: &Records) -> &Value {
    &records.iter().find(|(topic, _)| *topic == OutputTopic::Decisions).unwrap().1
}

/// The holds of records, each with its state, what comes at its deadline, and that.
fn told(records: &Records) -> Vec<(String, String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let holds = records.iter().filter(|(topic, _)| *topic == OutputTopic::Holds);
    let told =
        |hold: &Value| (text(&hold["state"]), text(&hold["otherwise"]), text(&hold["deadline_at"]));
    holds.map(|(_, hold)| told(hold)).collect()
}

fn one(state: &str, otherwise: &str, minutes: i64) -> Vec<(String, String, String)> {
    vec![(state.to_owned(), otherwise.to_owned(), time(START_MS + minutes * MINUTE_MS))]
}

#[test]
fn a_challenge_that_is_passed_lets_the_payment_go_and_a_failed_one_stops_it() {
    let mut desk = desk(RULES);
    let asked = pay(&mut desk, "p1", 60);
    let step_up = json!({"method": "sms", "within_ms": 5 * MINUTE_MS, "otherwise": "block"});
    assert_eq!(
        (&decision(&asked)["outcome"], &decision(&asked)["step_up"]),
        (&json!("step_up"), &step_up)
    );
    assert_eq!(told(&asked), one("placed", "block", 5));
    let hold = &asked.last().unwrap().1;
    assert_eq!((&hold["challenge"], &hold["placed_by"]), (&json!("sms"), &json!(["R-1"])));
    assert_eq!(hold["hold_id"], decision(&asked)["hold_id"]);
    // Nothing is known yet; then it is passed, and once.
    let minute = START_MS + MINUTE_MS;
    assert_eq!(told(&answer(&mut desk, "a1", minute, ("p1", "asked_again"))), []);
    let passed = answer(&mut desk, "a2", minute, ("p1", "ok"));
    assert_eq!(told(&passed), one("released", "block", 5));
    let by = json!({"id": "a2", "type": "answer", "time": time(minute)});
    let released = &passed.last().unwrap().1;
    assert_eq!((&released["answered_by"], &released["challenge"]), (&by, &json!("sms")));
    assert_eq!(told(&answer(&mut desk, "a3", minute, ("p1", "wrong"))), []);
    assert_eq!(told(&clock(&mut desk, START_MS + 60 * MINUTE_MS)), []);

    // Failed: refused at once where nothing else was to come, held from then on where that was.
    pay(&mut desk, "p2", 60);
    assert_eq!(
        told(&answer(&mut desk, "a4", minute, ("p2", "wrong"))),
        one("confirmed", "block", 5)
    );
    assert_eq!(told(&pay(&mut desk, "p3", 40)), one("placed", "hold", 10));
    assert_eq!(
        told(&answer(&mut desk, "a5", minute, ("p3", "wrong"))),
        one("escalated", "release", 31)
    );
    assert_eq!(told(&answer(&mut desk, "a6", minute, ("p3", "ok"))), [], "it is held now");
    assert_eq!(told(&clock(&mut desk, START_MS + 31 * MINUTE_MS)), one("expired", "release", 31));
    // Of an id that nobody knows, and of a payment that waits for nothing.
    assert_eq!(told(&answer(&mut desk, "a7", minute, ("nobody", "ok"))), []);
}

#[test]
fn a_challenge_that_nobody_answers_does_what_otherwise_says() {
    let mut desk = desk(RULES);
    pay(&mut desk, "p1", 60);
    pay(&mut desk, "p2", 40);
    let at = |minutes: i64| START_MS + minutes * MINUTE_MS;
    assert_eq!(told(&clock(&mut desk, at(5) - 1)), []);
    assert_eq!(told(&clock(&mut desk, at(5))), one("expired", "block", 5));
    let held = clock(&mut desk, at(10));
    assert_eq!(told(&held), one("escalated", "release", 40));
    assert!(
        held.iter().all(|(topic, _)| *topic == OutputTopic::Holds),
        "nobody is asked: {held:#?}"
    );
    assert_eq!(told(&clock(&mut desk, at(40))), one("expired", "release", 40));
    // People may decide meanwhile, as about any hold.
    let asked = pay(&mut desk, "p3", 60);
    let hold_id = decision(&asked)["hold_id"].as_str().unwrap();
    let released = desk.command(at(1), &command("c1", "hold.release", hold_id));
    assert_eq!(told(&released), one("released", "block", 5));
}

/// Holding a customer must not be the way round a second factor.
#[test]
fn a_payment_that_needs_a_second_factor_is_not_let_go_with_its_subject() {
    let mut desk = desk(RULES);
    let at = |minutes: i64| START_MS + minutes * MINUTE_MS;
    let place = json!({
        "schema": "riskweir.command.v1", "command_id": "c0", "kind": "hold.place", "actor": "ann", "reason": "x",
        "entity": "card", "value": "c1", "deadline_at": time(at(60)),
    });
    let placed = desk.command(START_MS, &place);
    let card = placed[0].1["hold_id"].as_str().unwrap().to_owned();
    let state_of = |records: &Records, id: &str| -> Vec<String> {
        let of = records.iter().filter(|(_, hold)| hold["subject"]["id"] == id);
        of.map(|(_, hold)| hold["state"].as_str().unwrap().to_owned()).collect()
    };
    // Of p1 nothing else is wanted; p2 to p5 need a second factor: refused without it, or held for half an hour.
    for (id, amount) in [("p1", 1), ("p2", 60), ("p3", 40), ("p4", 60), ("p5", 60)] {
        let asked = pay(&mut desk, id, amount);
        assert_eq!(
            (&decision(&asked)["outcome"], decision(&asked).get("step_up")),
            (&json!("hold"), None)
        );
    }
    assert_eq!(state_of(&answer(&mut desk, "a4", at(1), ("p4", "wrong")), "p4"), ["confirmed"]);
    // Passed, it goes on with the subject alone.
    assert_eq!(state_of(&answer(&mut desk, "a5", at(1), ("p5", "ok")), "p5"), ["extended"]);
    let released = desk.command(at(2), &command("c1", "hold.release", &card));
    let expected = [
        ("p1", vec!["released"]),
        ("p2", vec!["confirmed"]),
        ("p3", vec!["escalated"]),
        ("p4", vec![]),
        ("p5", vec!["released"]),
    ];
    for (id, states) in expected {
        assert_eq!(state_of(&released, id), states, "{id}");
    }
    assert_eq!(state_of(&clock(&mut desk, at(40)), "p3"), ["expired"]);
    assert_eq!(desk.engine.holds_open(), 0);
}

/// Without `otherwise`, or without an event that answers, the payment service does what the decision says.
#[test]
fn a_challenge_is_awaited_only_where_something_answers_it_and_something_follows() {
    let mut desk_with = desk(RULES);
    let asked = pay(&mut desk_with, "p1", 30);
    assert_eq!((told(&asked), decision(&asked).get("hold_id")), (vec![], None));
    let mut without = desk(
        &RULES.replace("answers pay by payment verdict outcome passed [ok] failed [wrong]", ""),
    );
    let asked = pay(&mut without, "p1", 60);
    let step_up = json!({"method": "sms", "otherwise": "block"});
    assert_eq!((told(&asked), &decision(&asked)["step_up"]), (vec![], &step_up));
}

/// Whoever sends the id of a small payment again with a large amount must not have it freed by the answer about the small one.
#[test]
fn a_passed_challenge_frees_nothing_where_two_payments_wait_under_one_id() {
    let mut desk = desk(RULES);
    pay(&mut desk, "p1", 60);
    assert_eq!(told(&pay(&mut desk, "p1", 900)), one("placed", "block", 5));
    let minute = START_MS + MINUTE_MS;
    assert_eq!(told(&answer(&mut desk, "a1", minute, ("p1", "ok"))), []);
    assert_eq!((desk.engine.holds_open(), heard(&desk)), (2, [0, 0, 0, 0, 0, 1, 0]));
    assert_eq!(told(&clock(&mut desk, START_MS + 5 * MINUTE_MS)).len(), 2);
}

/// What came of answers so far, by the engine's own count.
fn heard(desk: &Desk) -> [u64; 7] {
    desk.engine.counters().answers
}

/// The payment of `c1` at the start, asked for until five minutes later, and answers about it which are not its own.
#[test]
fn an_answer_counts_for_the_same_party_and_in_the_time_for_it() {
    let rules = RULES
        .replace("  field payment", "  key   card    : card? from \"/card\"\n  field payment")
        .replace("by payment verdict", "by payment, card verdict");
    let guard_ms = EngineOptions::default().future_guard_ms;
    // (card, when by its own time, result that is counted)
    let answers = [
        (Some("c2"), START_MS + MINUTE_MS, 3),
        (None, START_MS + MINUTE_MS, 3),
        (Some("c1"), START_MS - guard_ms - 1, 4),
        (Some("c1"), START_MS + 5 * MINUTE_MS + 1, 4),
        (Some("c1"), START_MS + 5 * MINUTE_MS, 0),
        (Some("c1"), START_MS - guard_ms, 0),
        (Some("c1"), START_MS, 0),
    ];
    for (place, (card, at_ms, result)) in answers.into_iter().enumerate() {
        for (word, shift) in [("ok", 0), ("wrong", 1)] {
            let mut desk = desk(&rules);
            pay(&mut desk, "p1", 60);
            let body = json!({
                "type": "answer", "id": "a1", "at": at_ms, "payment": "p1", "outcome": word, "card": card,
            });
            // It comes by another partition, whose clock says nothing about the payment's deadline.
            let records = desk.step_in(("t", 1), at_ms, &body.to_string());
            let result = if result == 0 { shift } else { result };
            let mut expected = [0; 7];
            expected[result] = 1;
            assert_eq!(heard(&desk), expected, "{place} {word}");
            let state = [("released", 0), ("confirmed", 1)].into_iter().find(|it| it.1 == result);
            let states: Vec<String> = told(&records).into_iter().map(|(state, ..)| state).collect();
            let expected: Vec<&str> = state.iter().map(|(state, _)| *state).collect();
            assert_eq!(states, expected, "{place} {word}");
            assert_eq!(desk.engine.holds_open(), usize::from(result > 1), "{place} {word}");
        }
    }
    let mut desk = desk(&rules);
    let early = json!({"type": "answer", "id": "a1", "at": START_MS, "payment": "p1", "outcome": "ok", "card": "c1"});
    desk.step("t", START_MS, &early.to_string());
    assert_eq!(heard(&desk), [0, 0, 1, 0, 0, 0, 0], "nothing waited");
    pay(&mut desk, "p1", 60);
    assert_eq!(desk.engine.holds_open(), 1, "an answer before the question says nothing");
}

/// A clock that is ahead must not answer, and whoever looks why must find it counted.
#[test]
fn an_answer_from_the_future_changes_nothing_and_is_counted() {
    let ahead_ms = START_MS + EngineOptions::default().future_guard_ms + 1;
    for word in ["ok", "wrong"] {
        let mut desk = desk(RULES);
        pay(&mut desk, "p1", 60);
        let body =
            json!({"type": "answer", "id": "a1", "at": ahead_ms, "payment": "p1", "outcome": word});
        assert_eq!(told(&desk.step("t", START_MS, &body.to_string())), []);
        assert_eq!((heard(&desk), desk.engine.holds_open()), ([0, 0, 0, 0, 0, 0, 1], 1));
        // What says nothing yet is no answer.
        let body = json!({"type": "answer", "id": "a2", "at": ahead_ms, "payment": "p1", "outcome": "asked_again"});
        desk.step("t", START_MS, &body.to_string());
        assert_eq!(heard(&desk), [0, 0, 0, 0, 0, 0, 1]);
        // Once its clock is right the same answer counts.
        let state = if word == "ok" { "released" } else { "confirmed" };
        assert_eq!(told(&answer(&mut desk, "a3", START_MS, ("p1", word))), one(state, "block", 5));
    }
}

#[test]
fn an_answer_must_fit_what_it_answers() {
    let refused = |from: &str, to: &str| -> Vec<(&str, String)> {
        let files = vec![Source { path: "a.risk".to_owned(), text: RULES.replace(from, to) }];
        let (program, report) = riskweir::rules::compile(&Sources::of(files));
        assert!(program.is_none());
        report.into_iter().map(|found| (found.code.0, found.message)).collect()
    };
    let words = "say which words of `outcome` mean what".to_owned();
    assert_eq!(refused(" failed [wrong]", ""), [("E0520", words)]);
    let itself = "`answer` answers itself".to_owned();
    assert_eq!(refused("answers pay by", "answers answer by"), [("E0520", itself)]);
    let no_entity = "`outcome` says nothing of whose event it is".to_owned();
    assert_eq!(
        refused("by payment verdict", "by payment, outcome verdict"),
        [("E0520", no_entity)]
    );
    let keyed = ("  field payment", "  key   who     : device from \"/who\"\n  field payment");
    let foreign = RULES.replace(keyed.0, keyed.1);
    let foreign = foreign.replace("by payment verdict", "by payment, who verdict");
    let no_device = "`pay` has no field of the kind `device`".to_owned();
    assert_eq!(refused(RULES, &foreign), [("E0520", no_device)]);
    let two = RULES
        .replace("  field amount", "  key   payee   : card from \"/payee\"\n  field amount")
        .replace("  field payment", "  key   who     : card from \"/who\"\n  field payment")
        .replace("by payment verdict", "by payment, who verdict");
    let several = "`pay` has several fields of the kind `card`".to_owned();
    assert_eq!(refused(RULES, &two), [("E0520", several)]);
}

/// Whoever receives the money must not confirm it in the place of whoever sends it.
#[test]
fn of_several_parties_of_one_kind_the_answer_is_by_the_one_of_its_name() {
    let rules = RULES
        .replace("  field amount", "  key   payee   : card? from \"/payee\"\n  field amount")
        .replace("  field payment", "  key   card    : card from \"/card\"\n  field payment")
        .replace("by payment verdict", "by payment, card verdict");
    let mut desk = desk(&rules);
    let body = json!({"type": "pay", "id": "p1", "at": START_MS, "card": "c1", "payee": "c2", "amount": "60.00"});
    assert_eq!(told(&desk.step("t", START_MS, &body.to_string())), one("placed", "block", 5));
    let mut answer = |id: &str, card: &str| {
        let body = json!({"type": "answer", "id": id, "at": START_MS, "payment": "p1", "outcome": "ok", "card": card});
        told(&desk.step("t", START_MS, &body.to_string()))
    };
    assert_eq!(answer("a1", "c2"), []);
    assert_eq!(answer("a2", "c1"), one("released", "block", 5));
}
