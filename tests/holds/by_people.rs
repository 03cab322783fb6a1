//! What people do about a hold before it ends: they ask others, and say that they work on it.

use std::sync::Arc;

use riskweir::decision::episodes::Closed;
use riskweir::decision::holds::HoldState;
use riskweir::engine::OutputTopic;
use riskweir::engine::counters::{ENDS, HOLD_AGE_BOUNDS_S};
use riskweir::rules::program::Program;
use serde_json::{Value, json};

use super::{Desk, MINUTE_MS, START_MS, command, compiled, random, time};

/// An alert that nobody holds money for.
const SAID: &str = r#"
rule said
  id "R-3"
  owner fraud
  severity low
  on pay
  when amount = 5 EUR
  then alert queue l1 once per card per 30m message "five"
"#;

fn program() -> Arc<Program> {
    compiled(&format!("{}{SAID}", random::rules()))
}

fn at(minutes: i64) -> i64 {
    START_MS + minutes * MINUTE_MS
}

/// The hold that a payment gets.
fn held(desk: &mut Desk, id: &str, amount: &str) -> String {
    let out = desk.pay(id, START_MS, amount);
    let hold = out.iter().find(|(topic, _)| *topic == OutputTopic::Holds).unwrap();
    hold.1["hold_id"].as_str().unwrap().to_owned()
}

fn of(out: &[(OutputTopic, Value)], wanted: OutputTopic) -> &Value {
    &out.iter().find(|(topic, _)| *topic == wanted).unwrap().1
}

fn answer(out: &[(OutputTopic, Value)]) -> &Value {
    &of(out, OutputTopic::Audit)["command"]
}

#[test]
fn others_are_asked_now_until_the_last_deadline_that_was_promised() {
    let mut desk = Desk::over(program());
    let hold_id = held(&mut desk, "p1", "950.00");
    let escalate = command("c1", "hold.escalate", &hold_id);
    let out = desk.command(at(10), &escalate);
    let hold = of(&out, OutputTopic::Holds);
    // An hour and four hours: who asks early gives the seniors the time until then, and moves no end.
    let facts = ["state", "deadline_at", "otherwise"].map(|name| hold[name].clone());
    assert_eq!(facts, [json!("escalated"), json!(time(at(300))), json!("release")]);
    assert_eq!((hold.get("then"), &hold["by"]["actor"]), (None, &json!("ann")));
    let alert = of(&out, OutputTopic::Alerts);
    let facts = ["rule", "queue", "severity"].map(|name| alert[name].as_str().unwrap());
    assert_eq!(facts, ["hold_escalation", "seniors", "high"]);
    assert_eq!(
        alert["message"].as_str().unwrap(),
        "ann asks about the hold of `pay` p1 (the customer called): without a decision until \
         2026-03-02T15:00:00Z it is let go"
    );
    let told = answer(&out);
    let facts = ["kind", "result", "state", "queue"].map(|name| told[name].as_str().unwrap());
    assert_eq!(facts, ["hold.escalate", "done", "escalated", "seniors"]);
    // The first deadline comes to nothing, and the last one ends it.
    let clock = |ms: i64| json!({"schema": "riskweir.command.v1", "kind": "clock", "at": time(ms)});
    assert_eq!(desk.command(at(299), &clock(at(299))), []);
    let again = desk.command(at(299), &escalate);
    assert_eq!((answer(&again)["result"].as_str(), again.len()), (Some("repeated"), 1));
    let ended = desk.command(at(300), &clock(at(300)));
    assert_eq!(of(&ended, OutputTopic::Holds)["state"], "expired");
}

#[test]
fn where_the_rule_names_nobody_the_command_does_and_the_end_stays() {
    let mut desk = Desk::over(program());
    let hold_id = held(&mut desk, "p1", "500.00");
    let mut asks = command("c1", "hold.escalate", &hold_id);
    let out = desk.command(at(10), &asks);
    assert_eq!((answer(&out)["cause"].as_str(), out.len()), (Some("no_queue"), 1));
    asks["command_id"] = json!("c2");
    asks["escalate_to"] = json!("law");
    let out = desk.command(at(10), &asks);
    let hold = of(&out, OutputTopic::Holds);
    let facts = ["state", "deadline_at", "otherwise"].map(|name| hold[name].clone());
    assert_eq!(facts, [json!("escalated"), json!(time(at(60))), json!("block")]);
    let first = of(&out, OutputTopic::Alerts)["alert_id"].clone();
    // Further, with more time; each asks by an alert of its own. An earlier end would be a release by another name.
    for (id, until, cause) in [("c3", at(60), "not_later"), ("c4", at(401 * 24 * 60), "too_long")] {
        let mut asks = asks.clone();
        asks["command_id"] = json!(id);
        asks["deadline_at"] = json!(time(until));
        assert_eq!(answer(&desk.command(at(11), &asks))["cause"], cause);
    }
    asks["command_id"] = json!("c5");
    asks["escalate_to"] = json!("board");
    asks["deadline_at"] = json!(time(at(90)));
    let out = desk.command(at(12), &asks);
    let alert = of(&out, OutputTopic::Alerts);
    assert_eq!(alert["queue"], "board");
    assert_ne!(alert["alert_id"], first);
    assert_eq!(of(&out, OutputTopic::Holds)["deadline_at"], json!(time(at(90))));
}

#[test]
fn who_works_on_a_hold_is_told_and_keeps_nobody_from_deciding_it() {
    let mut desk = Desk::over(program());
    let hold_id = held(&mut desk, "p1", "950.00");
    let by = |id: &str, actor: &str, kind: &str, take_from: Option<&str>| {
        let mut command = command(id, kind, &hold_id);
        command["actor"] = json!(actor);
        if let Some(take_from) = take_from {
            command["take_from"] = json!(take_from);
        }
        command
    };
    let out = desk.command(at(1), &by("c1", "ann", "hold.claim", None));
    let hold = of(&out, OutputTopic::Holds);
    assert_eq!(hold["claimed_by"], json!({"actor": "ann", "at": time(at(1))}));
    let same = ["state", "deadline_at", "otherwise"].map(|name| hold[name].clone());
    assert_eq!(same, [json!("placed"), json!(time(at(60))), json!("escalate")]);
    let told = desk.command(at(2), &by("c2", "bob", "hold.claim", None));
    assert_eq!(
        ["result", "cause", "claimed_by"].map(|name| answer(&told)[name].as_str().unwrap()),
        ["refused", "claimed", "ann"]
    );
    let taken = desk.command(at(3), &by("c3", "bob", "hold.claim", Some("ann")));
    assert_eq!(
        of(&taken, OutputTopic::Holds)["claimed_by"],
        json!({"actor": "bob", "at": time(at(3))})
    );
    // A claim is part of the state.
    desk = desk.restored(program());
    let told = desk.command(at(4), &by("c4", "ann", "hold.unclaim", None));
    assert_eq!(answer(&told)["claimed_by"], "bob");
    let back = desk.command(at(5), &by("c5", "bob", "hold.unclaim", None));
    assert_eq!(of(&back, OutputTopic::Holds).get("claimed_by"), None);
    let told = desk.command(at(5), &by("c6", "bob", "hold.unclaim", None));
    assert_eq!(answer(&told)["cause"], "not_claimed");
    // Nobody counts these as states that it came into.
    assert_eq!(desk.engine.counters().holds_in(HoldState::Placed), 1);
    // Claimed once more: the first deadline asks others, who find it free.
    desk.command(at(6), &by("c7", "ann", "hold.claim", None));
    let clock = json!({"schema": "riskweir.command.v1", "kind": "clock", "at": time(at(60))});
    let asked = desk.command(at(60), &clock);
    let hold = of(&asked, OutputTopic::Holds);
    assert_eq!((&hold["state"], hold.get("claimed_by")), (&json!("escalated"), None));
    desk.command(at(61), &by("c8", "eve", "hold.claim", None));
    // Somebody else decides it all the same, and its last record says who worked on it.
    let ended = desk.command(at(62), &by("c9", "ann", "hold.release", None));
    let hold = of(&ended, OutputTopic::Holds);
    assert_eq!((&hold["state"], &hold["claimed_by"]["actor"]), (&json!("released"), &json!("eve")));
    let told = desk.command(at(63), &by("c10", "eve", "hold.claim", None));
    assert_eq!(answer(&told)["cause"], "ended");
}

/// By hand: released after 10 minutes, expired after an hour, refused after 20.
#[test]
fn how_long_holds_were_open_is_counted_by_how_they_ended_and_episodes_by_what_ended_them() {
    let mut desk = Desk::over(program());
    let [one, _, three] = ["p1", "p2", "p3"].map(|id| held(&mut desk, id, "500.00"));
    desk.command(at(10), &command("c1", "hold.release", &one));
    desk.command(at(20), &command("c2", "hold.confirm", &three));
    let clock = json!({"schema": "riskweir.command.v1", "kind": "clock", "at": time(at(70))});
    desk.command(at(70), &clock);
    let ages = desk.engine.counters().hold_ages;
    for (state, minutes) in
        [(HoldState::Released, 10), (HoldState::Confirmed, 20), (HoldState::Expired, 60)]
    {
        let ages = ages[ENDS.iter().position(|end| *end == state).unwrap()];
        assert_eq!(ages.sum_ms, minutes * 60_000, "{state:?}");
        let seconds = f64::from(u32::try_from(minutes * 60).unwrap());
        let bucket = HOLD_AGE_BOUNDS_S.iter().position(|bound| seconds <= *bound).unwrap();
        assert_eq!((ages.counts[bucket], ages.counts.iter().sum::<u64>()), (1, 1), "{state:?}");
    }
    // One episode ends by itself, one by somebody.
    let ends = |desk: &Desk, closed: Closed| desk.engine.counters().episode_ends[closed as usize];
    let alerted = desk.pay("q1", at(70), "5.00");
    assert_eq!(of(&alerted, OutputTopic::Alerts)["queue"], "l1");
    desk.pay("q2", at(180), "1.00");
    assert_eq!((ends(&desk, Closed::Quiet), ends(&desk, Closed::Command)), (1, 0));
    let alerted = desk.pay("q3", at(181), "5.00");
    let episode = of(&alerted, OutputTopic::Alerts)["episode"]["id"].clone();
    let close = json!({
        "schema": "riskweir.command.v1", "command_id": "c9", "kind": "alert.close", "episode": episode,
        "actor": "ann", "reason": "seen",
    });
    desk.command(at(182), &close);
    assert_eq!((ends(&desk, Closed::Quiet), ends(&desk, Closed::Command)), (1, 1));
    let again = desk.restored(program());
    assert_eq!((ends(&again, Closed::Quiet), ends(&again, Closed::Command)), (1, 1));
}
