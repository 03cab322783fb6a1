//! How much memory holds, lists and alert episodes may take, and what comes when it is used up. The bounds are reckoned by hand
//! from the parts of the budget that the handbook gives.

use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, OutputTopic, Restore};
use riskweir::rules::program::Program;
use serde_json::{Value, json};

use super::{Desk, MINUTE_MS, START_MS, command, time};

const BUDGET_BYTES: usize = 1 << 20;

const RULES: &str = r#"
event pay from "t"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money currency EUR
list seen : card
list noted : card
rule large
  id "R-1"
  owner fraud
  severity high
  on pay
  when amount > 100 EUR
  then hold for 1h otherwise block reason "{amount}"
rule often
  id "R-2"
  owner fraud
  severity high
  on pay
  when count(pay) by card over last 10h >= 2 and amount = 3 EUR
  then block
rule tell
  id "R-3"
  owner fraud
  severity low
  on pay
  when amount = 5 EUR
  then alert queue q once per card per 1h
rule note
  id "R-4"
  owner fraud
  severity low
  on pay
  when amount = 7 EUR
  then add card to seen for 1h
rule noted_before
  id "R-5"
  owner fraud
  severity low
  on pay
  when amount = 8 EUR and card in seen
  then block
"#;

fn program() -> Arc<Program> {
    let files = vec![Source { path: "a.risk".to_owned(), text: RULES.to_owned() }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn options() -> EngineOptions {
    EngineOptions { state_bytes: Some(BUDGET_BYTES as u64), ..EngineOptions::default() }
}

fn desk() -> Desk {
    Desk::of(Engine::new(program(), options()).unwrap(), 0)
}

type Records = Vec<(OutputTopic, Value)>;

/// A payment of the card `c-ID`.
fn outcome(desk: &mut Desk, id: &str, now_ms: i64, amount: &str) -> String {
    desk.pay(id, now_ms, amount)[0].1["outcome"].as_str().unwrap().to_owned()
}

fn answer(out: &Records) -> [String; 3] {
    let told = &out.last().unwrap().1["command"];
    ["result", "cause", "state"].map(|name| told[name].as_str().unwrap_or("").to_owned())
}

fn place(id: &str, card: &str, until_ms: i64) -> Value {
    json!({
        "schema": "riskweir.command.v1", "command_id": id, "kind": "hold.place", "actor": "ann", "reason": "r",
        "entity": "card", "value": card, "deadline_at": time(until_ms),
    })
}

/// Two thousand holds take more than the whole budget: a hold has 640 bytes and its texts.
#[test]
fn open_holds_are_kept_whatever_they_take_and_leave_windows_their_part() {
    let mut desk = desk();
    for n in 0..2_000 {
        assert_eq!(outcome(&mut desk, &format!("p{n}"), START_MS, "500.00"), "hold");
    }
    assert_eq!(desk.engine.holds_open(), 2_000);
    assert!(desk.engine.holds_bytes() > BUDGET_BYTES, "{}", desk.engine.holds_bytes());
    let of_tables: usize =
        desk.engine.tables().iter().map(riskweir::state::Table::held_bytes).sum();
    // Since it was looked last, sixteen records came.
    let most = BUDGET_BYTES / 16 + 16 * 1_024;
    assert!((BUDGET_BYTES / 20..=most).contains(&of_tables), "{of_tables}");
    // Windows still see: the second of two payments of a card is blocked.
    let twice = |desk: &mut Desk, card: &str, at_ms: i64| {
        let pay = |desk: &mut Desk, id: String| {
            let body = json!({"id": id, "at": at_ms, "card": card, "amount": "3.00"});
            desk.step("t", at_ms, &body.to_string())[0].1["outcome"].clone()
        };
        [pay(desk, format!("{card}-1")), pay(desk, format!("{card}-2"))]
    };
    assert_eq!(twice(&mut desk, "a", START_MS), ["pass", "block"]);
    // By hand none is added, and whoever asks is told.
    let hour = START_MS + 60 * MINUTE_MS;
    let refused = ["refused", "too_many", ""].map(str::to_owned);
    assert_eq!(answer(&desk.command(START_MS, &place("a", "c1", hour))), refused);

    // A restored engine goes the same way, and when deadlines come each is told.
    let bytes = desk.snapshot();
    let mut restore = Restore::new(program(), options());
    restore.part(&bytes).unwrap();
    let mut other = Desk::of(restore.finish().unwrap(), desk.offset);
    for desk in [&mut desk, &mut other] {
        let out = desk.pay("later", hour, "1.00");
        let ended = out.iter().filter(|(topic, hold)| {
            *topic == OutputTopic::Holds
                && (&hold["state"], &hold["otherwise"]) == (&json!("expired"), &json!("block"))
        });
        assert_eq!((ended.count(), desk.engine.holds_open()), (2_000, 0));
        // Those that ended are forgotten down to an eighth of the budget, oldest first, and then there is room.
        assert_eq!(answer(&desk.command(hour, &place("b", "c1", hour + MINUTE_MS)))[0], "done");
        let most = BUDGET_BYTES / 8 + 1_000;
        assert!((BUDGET_BYTES / 9..most).contains(&desk.engine.holds_bytes()));
    }
    assert_eq!(desk.engine.digest(), other.engine.digest());
}

/// A sixteenth of the budget at 256 bytes is 256 members.
#[test]
fn a_list_takes_as_many_members_as_there_is_room_for_and_says_when_there_is_none() {
    const MOST: usize = BUDGET_BYTES / 16 / 256;
    let mut desk = desk();
    let mut n_commands = 0;
    let mut list = |desk: &mut Desk, kind: &str, card: &str| {
        n_commands += 1;
        let asked = json!({
            "schema": "riskweir.command.v1", "command_id": format!("c{n_commands}"), "kind": kind, "actor": "ann", "reason": "r",
            "list": "noted", "value": card,
        });
        let [result, cause, _] = answer(&desk.command(START_MS, &asked));
        format!("{result} {cause}")
    };
    for n in 0..MOST {
        assert_eq!(list(&mut desk, "list.add", &format!("n{n}")), "done ", "{n}");
    }
    assert_eq!(list(&mut desk, "list.add", "more"), "refused too_many");
    // What is there may change, and who goes makes room; for a rule, too.
    assert_eq!(list(&mut desk, "list.add", "n7"), "done ");
    assert_eq!(desk.engine.counters().list_changes_refused, 0);
    outcome(&mut desk, "x1", START_MS, "7.00");
    assert_eq!(desk.engine.counters().list_changes_refused, 1);
    let seen = |desk: &mut Desk, id: &str| {
        let body = json!({"id": id, "at": START_MS, "card": "c-x1", "amount": "8.00"});
        desk.step("t", START_MS, &body.to_string())[0].1["outcome"].clone()
    };
    assert_eq!(seen(&mut desk, "y1"), "pass");
    assert_eq!(list(&mut desk, "list.remove", "n7"), "done ");
    let again = json!({"id": "x2", "at": START_MS, "card": "c-x1", "amount": "7.00"});
    desk.step("t", START_MS, &again.to_string());
    assert_eq!(
        (seen(&mut desk, "y2"), desk.engine.counters().list_changes_refused),
        (json!("block"), 1)
    );
    assert_eq!(list(&mut desk, "list.add", "more"), "refused too_many");
}

/// A part in 32 at 448 bytes is 73 episodes. Every 64 records it is looked; so of 128 episodes 55 end, and twice 64 more.
#[test]
fn alert_episodes_beyond_their_room_are_forgotten_and_counted_and_alert_again() {
    let mut desk = desk();
    let alerts = |desk: &mut Desk, id: &str, card: &str| {
        let body = json!({"id": id, "at": START_MS, "card": card, "amount": "5.00"});
        let out = desk.step("t", START_MS, &body.to_string());
        out.iter().filter(|(topic, _)| *topic == OutputTopic::Alerts).count()
    };
    for n in 0..256 {
        assert_eq!(alerts(&mut desk, &format!("p{n}"), &format!("c{n}")), 1);
    }
    assert_eq!(desk.engine.counters().episodes_cut_short, 55 + 64 + 64);
    let again: usize =
        (0..256).map(|n| alerts(&mut desk, &format!("q{n}"), &format!("c{n}"))).sum();
    assert!((183..256).contains(&again), "{again} of 256 raised again");
}

/// By hand: a fifth of twenty minutes is four, of the hour of the other hold twelve.
#[test]
fn holds_by_hand_and_in_quiet_partitions_are_due_soon_by_the_time_on_the_wall() {
    let mut desk = desk();
    let at = |minutes: i64| START_MS + minutes * MINUTE_MS;
    desk.command(START_MS, &place("a", "c1", at(20)));
    desk.pay("p1", START_MS, "500.00");
    let waiting = |desk: &Desk, wall_ms: i64| {
        let waiting = desk.engine.holds_waiting(wall_ms);
        (waiting.oldest_ms, waiting.due_soon_unclaimed)
    };
    assert_eq!(waiting(&desk, START_MS), (Some(START_MS), 0));
    assert_eq!(waiting(&desk, at(16)), (Some(START_MS), 0));
    assert_eq!(waiting(&desk, at(16) + 1), (Some(START_MS), 1));
    assert_eq!(waiting(&desk, at(48) + 1), (Some(START_MS), 2));
    // A partition whose events are ahead of the wall says more of its own holds.
    desk.pay("p2", at(49), "1.00");
    assert_eq!(waiting(&desk, START_MS), (Some(START_MS), 1));
    let hold_id =
        desk.command(at(16), &place("b", "c1", at(30)))[0].1["command"]["hold_id"].clone();
    desk.command(at(17), &command("c", "hold.release", hold_id.as_str().unwrap()));
    assert_eq!(waiting(&desk, at(17)), (Some(START_MS), 1));
}
