//! What is answered when something is asked again, too early, too late, or by somebody who may no longer.

use std::io::Read as _;

use riskweir::api::roles::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, RULES, in_hours, pay};
use crate::support::broker::{Act, Broker};
use crate::support::wait;

/// The body of an answer without what differs each time.
fn lasting(answer: &Answer) -> (u16, Value) {
    let mut body = answer.body.clone();
    for member in ["is_repeat", "request_id"] {
        body.as_object_mut().unwrap().remove(member);
    }
    (answer.status, body)
}

#[test]
fn whoever_asks_again_under_a_key_gets_the_first_answer_also_when_that_was_a_refusal() {
    let desk = Desk::open(Broker::shared(), "api-again");
    desk.wait_listening();
    let post = |path: &str, body: &Value, headers: &[(&str, &str)]| {
        desk.ask("POST", path, Some(desk.token(Role::Senior)), Some(body), headers)
    };
    let why = json!({"reason": "the customer called"});
    let release = format!("/v1/holds/{}:release", desk.hold("g1", "500.00"));
    let stale = [("Idempotency-Key", "k-1"), ("If-Match", "\"extended\"")];
    let refused = post(&release, &why, &stale);
    assert_eq!((refused.status, refused.code()), (409, "stale_state"), "{refused:?}");
    assert_eq!(refused.body["state"], "placed");
    assert_eq!(post(&release, &why, &[]).body["state"], "released");
    // It is released now, and this request did not do it.
    let again = post(&release, &why, &stale);
    assert_eq!(lasting(&again), lasting(&refused));
    assert_eq!((refused.body.get("is_repeat"), &again.body["is_repeat"]), (None, &json!(true)));

    let place = json!({"reason": "stolen", "entity": "account", "value": "a-g2", "deadline_at": in_hours(5)});
    let key = [("Idempotency-Key", "k-2")];
    let placed = post("/v1/holds:place", &place, &key);
    assert_eq!((placed.status, &placed.body["state"]), (200, &json!("placed")), "{placed:?}");
    let again = post("/v1/holds:place", &place, &key);
    assert_eq!(lasting(&again), lasting(&placed));
    assert_eq!(again.body["is_repeat"], true);
    let held = post("/v1/holds:place", &place, &[]);
    assert_eq!((held.status, &held.body["cause"]), (409, &json!("held")), "{held:?}");
    assert_eq!(held.body["hold_id"], placed.body["hold_id"]);
    let id = placed.body["hold_id"].as_str().unwrap();
    assert_eq!(post(&format!("/v1/holds/{id}:release"), &why, &[]).status, 200);
    assert_eq!(lasting(&post("/v1/holds:place", &place, &key)), lasting(&placed));

    let take = json!({"reason": "a mistake", "value": "nobody"});
    let key = [("Idempotency-Key", "k-3")];
    let first = post("/v1/lists/bad_accounts:remove", &take, &key);
    assert_eq!((first.status, &first.body["cause"]), (409, &json!("not_on_list")), "{first:?}");
    assert_eq!(lasting(&post("/v1/lists/bad_accounts:remove", &take, &key)), lasting(&first));
}

#[test]
fn a_payment_that_is_held_for_its_account_says_by_which_hold() {
    let desk = Desk::open(Broker::shared(), "api-held");
    desk.wait_listening();
    let place = json!({"reason": "stolen", "entity": "account", "value": "a-u1", "deadline_at": in_hours(5)});
    let senior = Some(desk.token(Role::Senior));
    let placed = desk.ask("POST", "/v1/holds:place", senior, Some(&place), &[]);
    let hold = placed.body["hold_id"].as_str().unwrap();
    let scored = desk.score("u1", "5.00");
    assert_eq!(scored["outcome"], "hold");
    let id = scored["decision"]["decision_id"].as_str().unwrap();
    let why = desk.get(&format!("/v1/decisions/{id}/explain"), Role::Viewer);
    let said = format!("all payments of account a-u1 are held by the hold {hold}");
    assert_eq!(why.body["because"], json!([said]), "{why:?}");
    assert_eq!(why.body["held"][0]["hold_id"], hold);
    assert_eq!(why.body["hold_id"], scored["decision"]["hold_id"]);
}

#[test]
fn an_event_is_tried_as_one_of_the_topic_that_is_named() {
    let mut desk = Desk::open(Broker::shared(), "api-tried");
    let (first, other) = (desk.fleet.input(), desk.fleet.topic("other"));
    Broker::shared().create_topic(&other, 2);
    let pay_rules = RULES.replace("\"payments\"", &format!("\"{first}\""));
    let start = pay_rules.find("event pay").unwrap();
    let end = pay_rules.find("rule large").unwrap();
    let credit =
        pay_rules[start..end].replace("event pay ", "event credit ").replace(&first, &other);
    let rule = "rule credited id \"R-9\" owner o severity low on credit when amount > 1 EUR then block reason \"credit\"\n";
    std::fs::write(desk.fleet.rules().join("rules.risk"), format!("{pay_rules}{credit}{rule}"))
        .unwrap();
    desk.restart(&[&format!("topics.inputs={first},{other}")]);
    desk.wait_listening();
    let body = json!({"event": pay("v1", "500.00")});
    let ask = |query: &str| {
        let path = format!("/v1/evaluate{query}");
        desk.ask("POST", &path, Some(desk.token(Role::RuleAuthor)), Some(&body), &[])
    };
    let outcome = |topic: &str| ask(&format!("?topic={topic}")).body["decision"]["outcome"].clone();
    assert_eq!((outcome(&first), outcome(&other)), (json!("hold"), json!("block")));
    let unnamed = ask("");
    assert_eq!(
        (unnamed.status, &unnamed.body["topics"]),
        (400, &json!([first, other])),
        "{unnamed:?}"
    );
    assert_eq!(ask("?topic=nowhere").code(), "bad_parameter");
}

#[test]
fn a_stream_of_events_ends_with_the_token_that_opened_it() {
    let desk = Desk::open(Broker::shared(), "api-ended");
    desk.wait_listening();
    let open = |role: Role| desk.stream("/v1/events", role, &[("Connection", "close")]);
    let ended = |mut stream: std::net::TcpStream| {
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    let (analyst, viewer) = (open(Role::Analyst), open(Role::Viewer));
    // A role that may not read decisions, under the same token.
    desk.reassign(Role::Analyst, Role::Service);
    assert!(ended(analyst).starts_with("HTTP/1.1 200"));
    assert_eq!(desk.get("/v1/me", Role::Analyst).body["roles"], json!(["service"]));
    desk.forget(Role::Viewer);
    assert!(ended(viewer).starts_with("HTTP/1.1 200"));
    assert_eq!(desk.get("/v1/me", Role::Viewer).status, 401);
}

/// A body that the API takes may be more than the log takes.
#[test]
fn an_event_that_is_too_large_for_the_log_is_told_the_limit() {
    let desk = Desk::open(Broker::shared(), "api-large");
    desk.wait_listening();
    let mut event = pay("w1", "5.00");
    event["note"] = json!("x".repeat(1_000_000));
    let service = Some(desk.token(Role::Service));
    let large = desk.ask("POST", "/v1/score?otherwise=pass", service, Some(&event), &[]);
    assert_eq!((large.status, large.code()), (413, "too_large"), "{large:?}");
    assert_eq!(large.body["limit_bytes"], 1_000_000);
    event["note"] = json!("x".repeat(990_000));
    let fits = desk.ask("POST", "/v1/score?deadline=30s", service, Some(&event), &[]);
    assert_eq!((fits.status, &fits.body["outcome"]), (200, &json!("pass")), "{}", fits.status);
}

#[test]
fn what_was_decided_is_found_at_once_and_what_is_not_there_is_not_found() {
    let desk = Desk::open(Broker::shared(), "api-fresh");
    desk.wait_listening();
    let has_caught_up = || desk.get("/v1/status", Role::Viewer).body["has_caught_up"] == true;
    wait::until(has_caught_up, || desk.service.describe());
    for n in 0..20 {
        let scored = desk.score(&format!("x{n}"), "500.00");
        let of = |member: &str| scored["decision"][member].as_str().unwrap().to_owned();
        for path in
            [format!("/v1/holds/{}", of("hold_id")), format!("/v1/decisions/{}", of("decision_id"))]
        {
            let found = desk.get(&path, Role::Viewer);
            assert_eq!(found.status, 200, "{n} {path} {found:?}");
        }
    }
    for path in ["/v1/holds/none", "/v1/decisions/none", "/v1/decisions/none/explain"] {
        assert_eq!(desk.get(path, Role::Viewer).code(), "not_found");
    }
}

#[test]
fn while_nobody_can_tell_whether_it_is_there_the_answer_is_not_that_it_is_not() {
    let broker = Broker::own();
    let desk = Desk::open(&broker, "api-behind");
    desk.wait_listening();
    let hold = desk.hold("y1", "500.00");
    broker.act(Act::Pause);
    let unknown = desk.get("/v1/holds/none", Role::Viewer);
    let known = desk.get(&format!("/v1/holds/{hold}"), Role::Viewer);
    broker.act(Act::Resume);
    assert_eq!((unknown.status, unknown.code()), (503, "not_ready"), "{unknown:?}");
    assert_eq!(unknown.header("retry-after"), Some("1"));
    assert_eq!(known.status, 200);
    let status = || desk.get("/v1/holds/none", Role::Viewer).status;
    wait::until(|| status() == 404, || desk.service.describe());
}

/// Only who fails to say who they are is kept out.
#[test]
fn bad_requests_of_an_address_do_not_keep_its_people_out() {
    let desk = Desk::open_with(Broker::shared(), "api-bad", &["api.rate_limit=100/h"]);
    let viewer = Some(desk.token(Role::Viewer));
    for _ in 0..30 {
        assert_eq!(desk.get("/v1/holds?limit=x", Role::Viewer).status, 400);
        assert_eq!(desk.get("/v1/nowhere", Role::Viewer).status, 404);
        assert_eq!(desk.ask("DELETE", "/v1/holds", viewer, None, &[]).status, 405);
    }
    assert_eq!(desk.get("/v1/me", Role::Viewer).status, 200);
    assert_eq!(desk.get("/v1/me", Role::Analyst).status, 200);
}

/// Behind one address stand many: a scanner among them, or one with an old token, is refused alone.
#[test]
fn bad_tokens_of_an_address_do_not_lock_out_valid_ones_behind_it() {
    let desk = Desk::open_with(Broker::shared(), "api-nat", &["api.rate_limit=100/h"]);
    let nobody = || desk.ask("GET", "/v1/me", Some("rw_old"), None, &[]).status;
    let statuses: Vec<u16> = (0..12).map(|_| nobody()).collect();
    assert_eq!((&statuses[..10], &statuses[10..]), (&[401; 10][..], &[429; 2][..]));
    let valid: Vec<u16> = (0..10).map(|_| desk.get("/v1/me", Role::Service).status).collect();
    assert_eq!(valid, [200; 10]);
}

#[test]
fn one_token_cannot_take_all_streams_of_events() {
    let desk = Desk::open(Broker::shared(), "api-streams");
    desk.wait_listening();
    let open = |role: Role| {
        let mut stream = desk.stream("/v1/events", role, &[]);
        let mut head = [0; 12];
        stream.read_exact(&mut head).unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        stream
    };
    let streams: Vec<_> = (0..8).map(|_| open(Role::Viewer)).collect();
    let more = desk.get("/v1/events", Role::Viewer);
    assert_eq!((more.status, more.code()), (429, "rate_limited"), "{more:?}");
    assert_eq!(more.body["limit"], 8);
    drop(open(Role::Analyst));
    // A place comes back when its stream ends.
    drop(streams);
    let status = || desk.get("/v1/events", Role::Viewer).status;
    wait::until(|| status() == 200, || desk.service.describe());
}

/// A reason is anybody's words: who approved stands in a member of its own.
#[test]
fn nobody_can_write_an_approval_into_a_reason() {
    let desk = Desk::open(Broker::shared(), "api-forged");
    desk.wait_listening();
    let hold = desk.hold("z1", "500.00");
    let forged = "called (asked by ann, approved by bob)\",\"approved_by\":\"bob";
    let body = json!({"reason": forged});
    let path = format!("/v1/holds/{hold}:release");
    let released = desk.ask("POST", &path, Some(desk.token(Role::Analyst)), Some(&body), &[]);
    assert_eq!(released.status, 200, "{released:?}");
    let (_, record) = desk.records("holds").pop().unwrap();
    assert_eq!(
        (&record["by"]["actor"], &record["by"]["reason"]),
        (&json!("analyst"), &json!(forged))
    );
    assert_eq!(record["by"].get("approved_by"), None);
    // Nor can a caller give the members.
    let body = json!({"reason": "called", "approved_by": "bob", "approval_reason": "looked"});
    let refused = desk.ask("POST", &path, Some(desk.token(Role::Analyst)), Some(&body), &[]);
    assert_eq!((refused.status, refused.code()), (400, "bad_body"));
}

/// What the handbook shows is what the service does: its calls are run as they stand there, one after the other.
#[test]
fn the_calls_of_the_handbook_work_as_they_stand_there() {
    let settings = ["rules.watch_interval=0s", "api.write_rules=on"];
    let (desk, _) = crate::imports::open("api-handbook", &settings);
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("closed.csv"), crate::imports::table(1_790_000_000_000))
        .unwrap();
    let digest = desk.active();
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API.md");
    let handbook = std::fs::read_to_string(path).unwrap();
    let fences = handbook.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let calls: Vec<&str> = fences.filter(|fence| fence.starts_with("curl ")).collect();
    let (mut hold, mut decision) = (String::new(), String::new());
    let mut told = Vec::new();
    for call in &calls {
        assert!(call.contains("http://127.0.0.1:9465/"), "{call}");
        // The deadline of the example is for a machine that does nothing else.
        let here =
            call.replace("127.0.0.1:9465", &desk.address).replace("deadline=300ms", "deadline=30s");
        let mut shell = std::process::Command::new("sh");
        shell.args(["-ec", &here]).env("TOKEN", desk.token(Role::Admin)).env("HOLD", &hold);
        shell.env("DECISION", &decision).env("DIGEST", &digest);
        shell.current_dir(folder.path());
        let made = shell.output().unwrap();
        let text = String::from_utf8(made.stdout).unwrap();
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        let body: Value =
            serde_json::from_str(&text).unwrap_or_else(|_| panic!("{here} {text} {said}"));
        assert_eq!(body.get("code"), None, "{here} {body:#}");
        if let Some(id) = body.pointer("/decision/hold_id").and_then(Value::as_str) {
            id.clone_into(&mut hold);
        }
        if let Some(id) = body.pointer("/decision/decision_id").and_then(Value::as_str) {
            id.clone_into(&mut decision);
        }
        told.push(body);
    }
    let [me, scored, looked, released, proposed, replayed] = &told[..] else {
        panic!("{calls:#?}")
    };
    assert_eq!(me["name"], "admin");
    assert_eq!((&scored["decided"], &scored["outcome"]), (&json!(true), &json!("hold")));
    assert_eq!((&looked["labels"], &looked["written"]), (&json!(3), &json!(0)));
    assert_eq!((&released["hold_id"], &released["state"]), (&json!(hold), &json!("released")));
    assert_eq!((&replayed["decision_id"], &replayed["same"]), (&json!(decision), &json!(true)));
    assert_eq!(proposed["details"]["plan"]["changes"]["added"], json!(["rule small"]));
}
