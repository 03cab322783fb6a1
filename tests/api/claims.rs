//! People work on holds over HTTP: they claim them, give them back, take them over, and ask others.

use riskweir::api::roles::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, in_hours};
use crate::support::broker::Broker;
use crate::support::wait;

fn act(desk: &Desk, (role, id, verb): (Role, &str, &str), body: &Value) -> Answer {
    with(desk, (role, id, verb), body, &[])
}

fn with(
    desk: &Desk,
    (role, id, verb): (Role, &str, &str),
    body: &Value,
    headers: &[(&str, &str)],
) -> Answer {
    let mut body = body.clone();
    body["reason"] = json!("looking at it");
    let path = format!("/v1/holds/{id}:{verb}");
    desk.ask("POST", &path, Some(desk.token(role)), Some(&body), headers)
}

/// The open holds that a filter shows.
fn listed(desk: &Desk, query: &str) -> Vec<String> {
    let page = desk.get(&format!("/v1/holds?{query}"), Role::Viewer);
    let items = page.body["items"].as_array().unwrap_or_else(|| panic!("{page:?}")).iter();
    items.map(|item| item["hold"]["hold_id"].as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn shows(desk: &Desk, query: &str, expected: &[&str]) {
    let is_so = || listed(desk, query) == expected;
    wait::until(is_so, || format!("{query}: {:?}, not {expected:?}", listed(desk, query)));
}

#[test]
fn a_hold_is_one_persons_work_until_it_is_given_back_or_taken_over_by_name() {
    let desk = Desk::open(Broker::shared(), "api-claims");
    desk.wait_listening();
    let (one, two) = (desk.hold("k1", "500.00"), desk.hold("k2", "500.00"));
    let bare = json!({});
    let claimed = act(&desk, (Role::Analyst, &one, "claim"), &bare);
    assert_eq!((claimed.status, &claimed.body["state"]), (200, &json!("placed")), "{claimed:?}");
    shows(&desk, "claimed=yes", &[&one]);
    shows(&desk, "claimed=no", &[&two]);
    shows(&desk, "claimed_by=analyst", &[&one]);
    shows(&desk, "claimed_by=senior", &[]);
    let both = desk.get("/v1/holds?claimed=no&claimed_by=analyst", Role::Viewer);
    assert_eq!((both.status, both.code()), (400, "bad_parameter"));

    // A second person hears who works on it, whatever their role.
    for role in [Role::Senior, Role::Admin] {
        let other = act(&desk, (role, &one, "claim"), &bare);
        let facts = ["code", "cause", "claimed_by"].map(|name| other.body[name].as_str().unwrap());
        assert_eq!((other.status, facts), (409, ["refused", "claimed", "analyst"]), "{other:?}");
    }
    // An analyst takes nothing over; a senior does, from the one that is named.
    let from = |name: &str| json!({"take_from": name});
    for verb in ["claim", "unclaim"] {
        let taken = act(&desk, (Role::Analyst, &two, verb), &from("senior"));
        assert_eq!((taken.status, taken.code()), (403, "forbidden"), "{taken:?}");
    }
    let wrong = act(&desk, (Role::Senior, &one, "claim"), &from("admin"));
    assert_eq!((wrong.status, &wrong.body["cause"]), (409, &json!("claimed")), "{wrong:?}");
    let taken = act(&desk, (Role::Senior, &one, "claim"), &from("analyst"));
    assert_eq!(taken.status, 200, "{taken:?}");
    shows(&desk, "claimed_by=senior", &[&one]);
    let back = act(&desk, (Role::Admin, &one, "unclaim"), &from("senior"));
    assert_eq!(back.status, 200, "{back:?}");
    shows(&desk, "claimed=yes", &[]);
    let nobody = act(&desk, (Role::Admin, &one, "unclaim"), &bare);
    assert_eq!((nobody.status, &nobody.body["cause"]), (409, &json!("not_claimed")));

    // The topic says the same, in the order in which it was.
    let records = desk.records("holds");
    let of_it = records.iter().filter(|(_, hold)| hold["hold_id"] == *one);
    let claims: Vec<Value> = of_it.map(|(_, hold)| hold["claimed_by"]["actor"].clone()).collect();
    assert_eq!(claims, [Value::Null, json!("analyst"), json!("senior"), Value::Null]);
}

#[test]
fn others_are_asked_about_a_hold_and_what_is_asked_once_is_asked_once() {
    let desk = Desk::open(Broker::shared(), "api-escalate");
    desk.wait_listening();
    let id = desk.hold("e1", "500.00");
    let deadline =
        desk.get(&format!("/v1/holds/{id}"), Role::Viewer).body["hold"]["deadline_at"].clone();
    let analyst = (Role::Analyst, &*id, "escalate");
    act(&desk, (Role::Analyst, &id, "claim"), &json!({}));
    // The rule asks nobody by itself, and an earlier end is no way to let a payment go.
    let nobody = act(&desk, analyst, &json!({}));
    assert_eq!((nobody.status, &nobody.body["cause"]), (409, &json!("no_queue")), "{nobody:?}");
    let early =
        act(&desk, analyst, &json!({"escalate_to": "law", "deadline_at": "2026-01-01T00:00:00Z"}));
    assert_eq!((early.status, &early.body["cause"]), (409, &json!("not_later")), "{early:?}");
    for body in
        [json!({"escalate_to": " "}), json!({"deadline_at": "noon"}), json!({"queue": "law"})]
    {
        assert_eq!(act(&desk, analyst, &body).code(), "bad_body", "{body}");
    }
    let law = json!({"escalate_to": "law"});
    let key = [("If-Match", "\"placed\""), ("Idempotency-Key", "k-1")];
    let asked = with(&desk, analyst, &law, &key);
    assert_eq!((asked.status, &asked.body["state"]), (200, &json!("escalated")), "{asked:?}");
    assert_eq!(asked.header("etag"), Some("\"escalated\""));
    let again = with(&desk, analyst, &law, &key);
    assert_eq!((again.status, &again.body["is_repeat"]), (200, &json!(true)), "{again:?}");
    let stale = with(&desk, (Role::Senior, &id, "escalate"), &law, &[("If-Match", "\"placed\"")]);
    assert_eq!((stale.status, stale.code()), (409, "stale_state"), "{stale:?}");
    let alerts = desk.records("alerts");
    let queues = alerts.iter().filter(|(_, alert)| alert["rule"] == "hold_escalation");
    let queues: Vec<&Value> = queues.map(|(_, alert)| &alert["queue"]).collect();
    assert_eq!(queues, [&json!("law")]);
    let hold = || desk.get(&format!("/v1/holds/{id}"), Role::Viewer).body["hold"].clone();
    wait::until(|| hold()["state"] == "escalated", || hold().to_string());
    // It ends when it would have, and whoever is asked may take it.
    assert_eq!((hold()["deadline_at"].clone(), hold().get("claimed_by")), (deadline, None));
    let later = in_hours(60);
    let law = json!({"escalate_to": "law", "deadline_at": later});
    let asked = act(&desk, (Role::Senior, &id, "escalate"), &law);
    assert_eq!(asked.status, 200, "{asked:?}");
    wait::until(|| hold()["deadline_at"] == later, || hold().to_string());
}
