//! The HTTP service from outside: the built binary on a real Kafka, asked over HTTP.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use crate::desk::{Answer, Desk, in_hours, pay};
use crate::support::broker::Broker;
use crate::support::wait;
use riskweir::api::roles::Role;
use serde_json::{Value, json};

#[path = "api/again.rs"]
mod again;
#[path = "api/claims.rs"]
mod claims;
#[path = "api/connections.rs"]
mod connections;
#[path = "api/desk.rs"]
mod desk;
#[path = "api/eyes.rs"]
mod eyes;
#[path = "api/history.rs"]
mod history;
#[path = "api/hostile.rs"]
mod hostile;
#[path = "api/imports.rs"]
mod imports;
#[path = "api/never_stored.rs"]
mod never_stored;
#[path = "api/proof.rs"]
mod proof;
#[path = "api/propose.rs"]
mod propose;
#[path = "api/shared.rs"]
mod shared;
mod support;
#[path = "api/topics.rs"]
mod topics;

/// Every route, for every role, and for nobody: who has none of the roles that the table names gets no further.
#[test]
fn the_table_of_routes_lets_in_whom_it_names_and_nobody_else() {
    let desk = Desk::open(Broker::shared(), "api-roles");
    desk.wait_listening();
    let listed = riskweir::api::listed();
    assert!(listed.len() > 10);
    for route in &listed {
        // Nothing that is named here exists, so whoever is let in is told so, or that the body is wrong.
        let path = route.path.replace('{', "no-such-").replace('}', "");
        let body = route.takes_body.then(|| json!({"no such member": 1}));
        let asked = |token: Option<&str>| desk.ask(route.method, &path, token, body.as_ref(), &[]);
        for role in Role::ALL {
            let answer = asked(Some(desk.token(role)));
            let is_let_in = route.roles.contains(&role);
            let what = format!("{} {path} as {}: {answer:?}", route.method, role.name());
            assert_eq!(answer.status != 403, is_let_in, "{what}");
            assert_ne!(answer.status, 401, "{what}");
            assert!(answer.status < 500 || answer.status == 501, "{what}");
        }
        for nobody in [None, Some("rw_nobody"), Some("")] {
            let answer = asked(nobody);
            assert_eq!((answer.status, answer.code()), (401, "unauthenticated"), "{path}");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"riskweir\""));
        }
    }
    // What the table does not have.
    let admin = desk.token(Role::Admin);
    let status = |method: &str, path: &str, token: Option<&str>| {
        desk.ask(method, path, token, None, &[]).status
    };
    assert_eq!(status("GET", "/", None), 401);
    assert_eq!(status("GET", "/", Some(admin)), 404);
    assert_eq!(status("GET", "/metrics", Some(admin)), 404);
    let wrong = desk.ask("DELETE", "/v1/holds", Some(admin), None, &[]);
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
}

/// `UPDATE_GOLDEN=1` writes it.
#[test]
fn the_published_document_is_the_one_that_is_served() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/openapi.json");
    let text = format!("{:#}\n", riskweir::api::openapi::document());
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(known == text, "docs/openapi.json differs: UPDATE_GOLDEN=1 rewrites it");
}

/// The handbook has a row for every route with its roles, and one for every code of a problem.
#[test]
fn the_handbook_of_the_api_has_every_route_and_every_problem() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/API.md");
    let text = std::fs::read_to_string(path).unwrap();
    for route in riskweir::api::listed() {
        let roles: Vec<&str> = route.roles.iter().map(|role| role.name()).collect();
        let roles = match roles.len() {
            8 => "everybody".to_owned(),
            7 if !route.roles.contains(&Role::Service) => "people".to_owned(),
            _ => roles.join(", "),
        };
        let row = format!("| `{} {}` | {roles} |", route.method, route.path);
        assert!(text.contains(&row), "docs/API.md lacks {row}");
    }
    for kind in riskweir::api::problem::KINDS {
        let row = format!("| `{}` | {} | {} |", kind.code, kind.status, kind.title);
        assert!(text.contains(&row), "docs/API.md lacks {row}");
    }
}

#[test]
fn every_answer_says_what_browsers_and_caches_may_do_with_it() {
    let desk = Desk::open(Broker::shared(), "api-headers");
    let viewer = desk.token(Role::Viewer);
    for (path, token) in [("/v1/me", Some(viewer)), ("/v1/me", None), ("/v1/nowhere", Some(viewer))]
    {
        let answer = desk.ask("GET", path, token, None, &[("X-Request-Id", "abc.1")]);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
            ("referrer-policy", "no-referrer"),
            ("x-request-id", "abc.1"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path} {answer:?}");
        }
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"));
    }
    let me = desk.get("/v1/me", Role::Viewer);
    assert_eq!(me.body["name"], "viewer");
    assert_eq!(me.body["roles"], json!(["viewer"]));
    let left: u64 = me.header("ratelimit-remaining").unwrap().parse().unwrap();
    assert!(left < me.header("ratelimit-limit").unwrap().parse().unwrap());
    // A problem is one by the standard, and an id that is no id is not taken.
    let refused = desk.ask("GET", "/v1/me", None, None, &[("X-Request-Id", "a b\t")]);
    assert_eq!(refused.header("content-type"), Some("application/problem+json"));
    assert_eq!(refused.body["type"], "urn:riskweir:problem:unauthenticated");
    assert_eq!(refused.body["status"], 401);
    assert_eq!(refused.header("x-request-id"), refused.body["request_id"].as_str());
    assert_ne!(refused.header("x-request-id"), Some("a b\t"));
}

#[test]
fn bodies_and_parameters_are_what_the_document_says_or_refused() {
    let desk = Desk::open(Broker::shared(), "api-input");
    desk.wait_listening();
    let analyst = desk.token(Role::Analyst);
    let post = |body: &[u8], media: &str| {
        desk.raw("POST", "/v1/holds/x:release", Some(analyst), body, &[("Content-Type", media)])
    };
    let code = |answer: &Answer| (answer.status, answer.code().to_owned());
    let is = |answer: Answer, status: u16, name: &str| {
        assert_eq!(code(&answer), (status, name.to_owned()), "{answer:?}");
    };
    is(post(b"{}", "text/plain"), 415, "unsupported_media_type");
    is(post(b"{", "application/json"), 400, "bad_body");
    is(post(b"{}", "application/json"), 400, "bad_body");
    is(post(br#"{"reason":"x","extra":1}"#, "application/json"), 400, "bad_body");
    is(post(br#"{"reason":"  "}"#, "application/json"), 400, "bad_body");
    // Nothing that a second person would not see, or would see in another order.
    for unseen in [r"\u200b", r"paid\u202etner", r"paid\u0007"] {
        let body = format!(r#"{{"reason":"{unseen}"}}"#);
        is(post(body.as_bytes(), "application/json"), 400, "bad_body");
    }
    is(
        post(br#"{"reason":"paid\n\u0645\u06cc\u200c\u062e"}"#, "application/json"),
        404,
        "not_found",
    );
    is(post(br#"{"reason":"x"}"#, "application/json; charset=utf-8"), 404, "not_found");
    let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(2 << 20));
    is(post(long.as_bytes(), "application/json"), 413, "too_large");
    for query in ["limit=0", "limit=x", "limit=1&limit=2", "lmit=1", "state=open", "cursor=zzz"] {
        let answer = desk.get(&format!("/v1/holds?{query}"), Role::Viewer);
        is(answer, 400, "bad_parameter");
    }
    // A secret that stood in a request stands in no answer.
    let leak = desk.ask("GET", "/v1/holds?token=s3cret", Some(analyst), None, &[]);
    assert!(leak.status == 400 && !leak.text.contains("s3cret"), "{leak:?}");
}

#[test]
fn a_token_is_withdrawn_by_taking_its_line_out_of_the_file() {
    let desk = Desk::open(Broker::shared(), "api-tokens");
    let status = |role: Role| desk.get("/v1/me", role).status;
    assert_eq!(status(Role::Viewer), 200);
    desk.forget(Role::Viewer);
    wait::until(|| status(Role::Viewer) == 401, || "the token is still known".to_owned());
    assert_eq!(status(Role::Analyst), 200);
    // A file that cannot be used leaves the others in, and the log says so.
    desk.spoil_tokens();
    let said = || desk.service.said();
    wait::until(
        || status(Role::Analyst) == 200 && said().contains("file of tokens is not used"),
        said,
    );
}

#[test]
fn asking_too_often_is_refused_and_so_is_an_address_that_does_not_say_who_it_is() {
    let desk = Desk::open_with(Broker::shared(), "api-rates", &["api.rate_limit=20/h"]);
    let statuses: Vec<u16> = (0..21).map(|_| desk.get("/v1/me", Role::Viewer).status).collect();
    assert_eq!((&statuses[..20], statuses[20]), (&[200; 20][..], 429));
    let refused = desk.get("/v1/me", Role::Viewer);
    assert_eq!(refused.code(), "rate_limited");
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
    // Somebody else has a share of their own; an address that fails has a tenth, and that of its people is theirs.
    assert_eq!(desk.get("/v1/me", Role::Analyst).status, 200);
    let nobody = || desk.ask("GET", "/v1/me", Some("rw_x"), None, &[]).status;
    assert_eq!([nobody(), nobody(), nobody()], [401, 401, 429]);
    assert_eq!(desk.get("/v1/me", Role::Analyst).status, 200);
    let metric = |name: &str| desk.service.metric(name).unwrap_or_default().to_string();
    for (name, expected) in [
        (r#"requests_total{method="GET",route="/v1/me",status="200"}"#, "22"),
        (r#"requests_total{method="other",route="other",status="401"}"#, "2"),
        (r#"request_duration_seconds_count{method="GET",route="/v1/me"}"#, "22"),
        (r#"rate_limited_total{whose="person"}"#, "2"),
        (r#"rate_limited_total{whose="address"}"#, "1"),
        ("unauthenticated_total", "2"),
        ("streams", "0"),
    ] {
        assert_eq!(metric(&format!("riskweir_api_{name}")), expected, "{name}");
    }
}

#[test]
fn an_event_is_decided_over_http_like_any_other() {
    let desk = Desk::open(Broker::shared(), "api-score");
    desk.wait_listening();
    let score = |body: &Value, query: &str| {
        let path = format!("/v1/score{query}");
        desk.ask("POST", &path, Some(desk.token(Role::Service)), Some(body), &[])
    };
    let small = score(&pay("p1", "5.00"), "");
    assert_eq!((small.status, &small.body["outcome"]), (200, &json!("pass")), "{small:?}");
    assert_eq!(small.body["decided"], true);
    assert_eq!(small.body["decision"]["event"]["id"], "p1");
    let payment = pay("p2", "500.00");
    let large = score(&payment, "?deadline=30s");
    assert_eq!(large.body["outcome"], "hold", "{large:?}");
    // The same event again is a repeat, as it is over Kafka.
    let again = score(&payment, "");
    assert_eq!(again.body["decision"]["duplicate"], true, "{again:?}");
    assert_eq!(again.body["decision"]["decision_id"], large.body["decision"]["decision_id"]);
    // The record has the key by which producers spread such events.
    let records = desk.records("in.ndjson");
    let keys: Vec<&str> = records.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["a-p1", "a-p2", "a-p2"]);
    // What cannot be decided is told with the reason of its dead letter, and lies there.
    let bad = score(&json!({"id": "p3", "account": "a", "amount": "1.00"}), "?otherwise=pass");
    assert_eq!((bad.status, bad.code()), (422, "undecodable"), "{bad:?}");
    assert_eq!(
        (&bad.body["reason"], &bad.body["field"]),
        (&json!("missing_field"), &json!("pay.made_at"))
    );
    assert_eq!(desk.records("dead_letter").len(), 1);
}

#[test]
fn without_a_decision_in_time_the_answer_is_what_the_request_says() {
    let desk = Desk::open(Broker::shared(), "api-deadline");
    desk.wait_listening();
    let score = |query: &str| {
        let path = format!("/v1/score?deadline=1ms{query}");
        let token = desk.token(Role::Service);
        desk.ask("POST", &path, Some(token), Some(&pay("p1", "500.00")), &[])
    };
    let problem = score("");
    assert_eq!((problem.status, problem.code()), (504, "timed_out"), "{problem:?}");
    for (word, outcome, flagged) in
        [("pass", "pass", false), ("hold", "hold", false), ("flag", "pass", true)]
    {
        let answer = score(&format!("&otherwise={word}"));
        let told = [
            &answer.body["decided"],
            &answer.body["outcome"],
            &answer.body["flagged"],
            &answer.body["because"],
        ];
        assert_eq!(told, [&json!(false), &json!(outcome), &json!(flagged), &json!("timed_out")]);
    }
}

#[test]
fn a_hold_is_decided_by_people_who_are_named_in_its_records() {
    let desk = Desk::open(Broker::shared(), "api-holds");
    desk.wait_listening();
    let ids: Vec<String> = ["h1", "h2", "h3"].iter().map(|id| desk.hold(id, "500.00")).collect();
    let page = desk.get("/v1/holds?limit=2", Role::Viewer);
    assert_eq!(page.body["items"].as_array().unwrap().len(), 2, "{page:?}");
    let next = page.body["next"].as_str().unwrap();
    let rest = desk.get(&format!("/v1/holds?limit=2&cursor={next}"), Role::Viewer);
    assert_eq!(rest.body["items"].as_array().unwrap().len(), 1);
    assert_eq!(rest.body.get("next"), None);

    let act = |id: &str, verb: &str, body: &Value, headers: &[(&str, &str)]| {
        let path = format!("/v1/holds/{id}:{verb}");
        desk.ask("POST", &path, Some(desk.token(Role::Analyst)), Some(body), headers)
    };
    let why = json!({"reason": "the customer called"});
    let shown = desk.get(&format!("/v1/holds/{}", ids[0]), Role::Viewer);
    assert_eq!(shown.header("etag"), Some("\"placed\""));
    let until = json!({"reason": "asked the bank", "deadline_at": in_hours(30)});
    let extended = act(&ids[0], "extend", &until, &[("If-Match", "\"placed\"")]);
    assert_eq!(
        (extended.status, &extended.body["state"]),
        (200, &json!("extended")),
        "{extended:?}"
    );
    // Somebody who looked at it before that does not know what they decide about.
    let stale = act(&ids[0], "release", &why, &[("If-Match", "\"placed\"")]);
    assert_eq!((stale.status, stale.code()), (409, "stale_state"), "{stale:?}");
    assert_eq!(stale.body["state"], "extended");
    let key = [("Idempotency-Key", "k-1")];
    let released = act(&ids[0], "release", &why, &key);
    assert_eq!(
        (&released.body["state"], &released.body["is_repeat"]),
        (&json!("released"), &json!(false)),
        "{released:?}"
    );
    let repeated = act(&ids[0], "release", &why, &key);
    assert_eq!((repeated.status, &repeated.body["is_repeat"]), (200, &json!(true)));
    // However often.
    for _ in 0..3 {
        let other = act(&ids[0], "release", &json!({"reason": "another"}), &key);
        assert_eq!((other.status, other.code()), (409, "idempotency_key_reused"), "{other:?}");
    }
    // What is no key, or two, and what is no `ETag`.
    let twice = [("Idempotency-Key", "k-8"), ("Idempotency-Key", "k-9")];
    let bare = [("If-Match", "placed")];
    for headers in [&twice[..], &[("Idempotency-Key", "k 8")], &bare] {
        let wrong = act(&ids[1], "confirm", &why, headers);
        assert_eq!((wrong.status, wrong.code()), (400, "bad_parameter"), "{headers:?} {wrong:?}");
    }
    let late = act(&ids[0], "confirm", &why, &[]);
    assert_eq!((late.status, late.code()), (409, "ended"), "{late:?}");
    let confirmed = act(&ids[1], "confirm", &why, &[]);
    assert_eq!(confirmed.body["state"], "confirmed", "{confirmed:?}");

    // The topic says the same, with the name of who did it.
    let by: Vec<Value> = desk
        .records("holds")
        .into_iter()
        .filter(|(_, hold)| hold["state"] == "released")
        .map(|(_, hold)| hold["by"].clone())
        .collect();
    let [by] = &by[..] else { panic!("{by:?}") };
    assert_eq!((&by["actor"], &by["command_id"]), (&json!("analyst"), &json!("api:analyst:k-1")));
    // So does the read model, soon after.
    let states = || {
        let hold = desk.get(&format!("/v1/holds/{}", ids[0]), Role::Viewer).body;
        let steps = hold["history"].as_array().unwrap().iter();
        steps.map(|it| it["hold"]["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait::until(|| states() == ["placed", "extended", "released"], || format!("{:?}", states()));
    let open = || desk.get("/v1/holds", Role::Viewer).body["items"].clone();
    wait::until(|| open().as_array().unwrap().len() == 1, || open().to_string());
    assert_eq!(open()[0]["hold"]["hold_id"], ids[2].as_str());
}

#[test]
fn above_the_limit_two_people_release_and_who_asked_is_not_the_second() {
    let desk = Desk::open_with(Broker::shared(), "api-eyes", &["api.four_eyes_above.EUR=300"]);
    desk.wait_listening();
    let (small, large) = (desk.hold("e1", "300.00"), desk.hold("e2", "300.01"));
    let why = json!({"reason": "the customer called"});
    let given = |id: &str, role: Role, headers: &[(&str, &str)]| {
        let path = format!("/v1/holds/{id}:release");
        desk.ask("POST", &path, Some(desk.token(role)), Some(&why), headers)
    };
    let release = |id: &str, role: Role| given(id, role, &[]);
    // Nobody else is asked about what can only be refused.
    let stale = given(&large, Role::Senior, &[("If-Match", "\"extended\"")]);
    assert_eq!((stale.status, stale.code()), (409, "stale_state"), "{stale:?}");
    let at_once = release(&small, Role::Analyst);
    assert_eq!((at_once.status, &at_once.body["state"]), (200, &json!("released")), "{at_once:?}");

    let asked = release(&large, Role::Senior);
    assert_eq!((asked.status, &asked.body["state"]), (202, &json!("pending")), "{asked:?}");
    let place = asked.header("location").unwrap().to_owned();
    let settle = |verb: &str, role: Role| {
        let why = json!({"reason": "looked at it"});
        desk.ask("POST", &format!("{place}:{verb}"), Some(desk.token(role)), Some(&why), &[])
    };
    let path = format!("{place}:approve");
    let condition = [("If-Match", "\"approved\"")];
    let seen = desk.ask("POST", &path, Some(desk.token(Role::Admin)), Some(&why), &condition);
    assert_eq!((seen.status, seen.code()), (400, "bad_parameter"), "{seen:?}");
    let own = settle("approve", Role::Senior);
    assert_eq!((own.status, own.code()), (403, "own_request"), "{own:?}");
    let other = settle("approve", Role::RuleApprover);
    assert_eq!((other.status, other.code()), (403, "forbidden"), "{other:?}");
    assert!(
        desk.records("holds")
            .iter()
            .all(|(_, it)| it["hold_id"] != *large || it["state"] == "placed")
    );

    let approved = settle("approve", Role::Admin);
    assert_eq!((approved.status, &approved.body["state"]), (200, &json!("done")), "{approved:?}");
    let people =
        [&approved.body["asked_by"], &approved.body["decided_by"], &approved.body["outcome"]];
    assert_eq!(people, [&json!("senior"), &json!("admin"), &json!("released")]);
    let released = desk.records("holds");
    let (_, released) = released
        .iter()
        .find(|(_, it)| it["hold_id"] == *large && it["state"] == "released")
        .unwrap();
    let by = json!({
        "command_id": released["by"]["command_id"], "actor": "senior", "reason": "the customer called",
        "approved_by": "admin", "approval_reason": "looked at it",
    });
    assert_eq!(released["by"], by);
    let twice = settle("approve", Role::Admin);
    assert_eq!((twice.status, twice.code()), (409, "stale_state"), "{twice:?}");
    let late = release(&large, Role::Senior);
    assert_eq!((late.status, late.code()), (409, "ended"), "{late:?}");
    assert_eq!(desk.get("/v1/requests?state=pending", Role::Viewer).body["items"], json!([]));
}

/// What takes two people by `api.four_eyes_for`, and who may be the second beside an administrator.
fn for_two() -> [(&'static str, &'static str, Value, Role); 5] {
    let until = in_hours(1);
    let snooze = json!({"key": "account", "value": "a-1", "until": until});
    [
        ("list.add", "/v1/lists/bad_accounts:add", json!({"value": "a-1"}), Role::Senior),
        ("list.remove", "/v1/lists/bad_accounts:remove", json!({"value": "a-1"}), Role::Senior),
        ("snooze.set", "/v1/rules/R-2:snooze", snooze, Role::RuleApprover),
        (
            "snooze.end",
            "/v1/rules/R-2:wake",
            json!({"key": "account", "value": "a-1"}),
            Role::RuleApprover,
        ),
        (
            "hold.place",
            "/v1/holds:place",
            json!({"entity": "account", "value": "a-4111111111111111", "deadline_at": in_hours(2)}),
            Role::Senior,
        ),
    ]
}

#[test]
fn what_takes_two_people_is_done_when_another_one_approves_it_and_not_before() {
    let words = for_two().map(|(kind, ..)| kind).join(",");
    let settings = [format!("api.four_eyes_for={words}")];
    let desk = Desk::open_with(Broker::shared(), "api-two", &settings.each_ref().map(|it| &**it));
    desk.wait_listening();
    let asked_of = |role: Role, path: &str, body: &Value, key: &str| {
        desk.ask("POST", path, Some(desk.token(role)), Some(body), &[("idempotency-key", key)])
    };
    let commands = || -> Vec<Value> {
        let audit = desk.records("audit").into_iter().map(|(_, record)| record["command"].clone());
        // What people say about it stands there, too.
        let is_told = |command: &Value| command["result"] == "done" && command["kind"] != "act";
        audit.filter(is_told).collect()
    };
    for (n, (kind, path, mut body, second)) in for_two().into_iter().enumerate() {
        body["reason"] = json!("seen twice");
        let key = format!("k-{n}");
        let first = if second == Role::Senior { Role::Admin } else { Role::Senior };
        assert_eq!(asked_of(Role::Analyst, path, &body, &key).status, 403, "{kind}");
        let asked = asked_of(first, path, &body, &key);
        assert_eq!((asked.status, &asked.body["kind"]), (202, &json!(kind)), "{asked:?}");
        assert!(!asked.text.contains("4111111111111111"), "{asked:?}");
        // The same again is the same request, another value under its key is none.
        let again = asked_of(first, path, &body, &key);
        assert_eq!(again.body["request_id"], asked.body["request_id"], "{again:?}");
        let mut other = body.clone();
        other["value"] = json!("a-2");
        let other = asked_of(first, path, &other, &key);
        assert_eq!((other.status, other.code()), (409, "idempotency_key_reused"), "{other:?}");
        let place = asked.header("location").unwrap().to_owned();
        let settle = |role: Role| {
            let why = json!({"reason": "looked at it"});
            desk.ask("POST", &format!("{place}:approve"), Some(desk.token(role)), Some(&why), &[])
        };
        let own = settle(first);
        assert_eq!((own.status, own.code()), (403, "own_request"), "{own:?}");
        for role in [Role::Analyst, Role::Viewer, Role::RuleAuthor, Role::Service, Role::Auditor] {
            assert_eq!(settle(role).status, 403, "{kind}: {role:?}");
        }
        if second == Role::Senior {
            assert_eq!(settle(Role::RuleApprover).status, 403, "{kind}: approves rules, not this");
        }
        assert_eq!(commands().len(), n, "{kind}: nothing is done by one");
        let done = settle(second);
        assert_eq!((done.status, &done.body["state"]), (200, &json!("done")), "{done:?}");
        // In each of the two partitions; one of them does it.
        wait::until(
            || commands().iter().any(|command| command["kind"] == kind),
            || format!("{:#?}", commands()),
        );
        let all = commands();
        let by = &all.iter().find(|command| command["kind"] == kind).unwrap()["by"];
        assert_eq!(by["actor"], first.name(), "{by:#}");
        assert_eq!(
            (&by["approved_by"], &by["approval_reason"]),
            (&json!(second.name()), &json!("looked at it"))
        );
    }
    // What stops money does not wait for anybody.
    let hold = desk.hold("t1", "300.00");
    let confirm = json!({"reason": "fraud"});
    let confirmed = asked_of(Role::Analyst, &format!("/v1/holds/{hold}:confirm"), &confirm, "c");
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
}

/// An alert that somebody closed is found as such, with who closed it and why.
fn close_the_alert(desk: &Desk, episode: &Value) {
    let path = format!("/v1/alerts/{}:close", episode.as_str().unwrap());
    let close = |role: Role, finding: &str| {
        let body = json!({"reason": "travels", "finding": finding});
        desk.ask("POST", &path, Some(desk.token(role)), Some(&body), &[])
    };
    assert_eq!(close(Role::Viewer, "useful").status, 403);
    assert_eq!(close(Role::Analyst, "fraud").status, 400);
    let ids = |state: &str| -> Vec<Value> {
        let found = desk.get(&format!("/v1/alerts?state={state}"), Role::Viewer).body;
        let items = found["items"].as_array().unwrap();
        items.iter().map(|item| item["alert"]["episode"]["id"].clone()).collect()
    };
    assert!(ids("open").contains(episode) && !ids("closed").contains(episode));
    let closed = close(Role::Analyst, "false_positive");
    assert_eq!((closed.status, &closed.body["is_repeat"]), (200, &json!(false)), "{closed:?}");
    wait::until(|| ids("closed").contains(episode), || desk.service.describe());
    assert!(!ids("open").contains(episode));
    let path = format!("/v1/alerts?episode_id={}", episode.as_str().unwrap());
    let found = || desk.get(&path, Role::Viewer).body["items"][0].clone();
    wait::until(|| found()["ended"]["closed"] == "command", || found().to_string());
    assert!(!ids("quiet").contains(episode), "somebody dealt with it");
    let by = &found()["closed"];
    assert_eq!(
        (&by["reason"], &by["finding"]),
        (&json!("travels"), &json!("false_positive")),
        "{by:#}"
    );
    assert!(by["actor"].is_string() && by["at"].is_string(), "{by:#}");
}

#[test]
fn an_alert_whose_episode_went_quiet_is_open_until_somebody_closes_it() {
    let desk = Desk::open(Broker::shared(), "api-quiet");
    desk.wait_listening();
    let score = |id: &str, amount: &str, hours_ago: i64| {
        let mut body = pay(id, amount);
        body["at"] = json!(body["at"].as_i64().unwrap() - hours_ago * 3_600_000);
        body["account"] = json!("a-quiet");
        let token = desk.token(Role::Service);
        let answer = desk.ask("POST", "/v1/score?deadline=30s", Some(token), Some(&body), &[]);
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    let of = |state: &str| {
        let found = desk.get(&format!("/v1/alerts?state={state}"), Role::Viewer).body;
        found["items"].as_array().unwrap().clone()
    };
    // Two payments within the hour, and one much later: by then the first two are an episode that has ended.
    score("q1", "5000.00", 5);
    score("q2", "6000.00", 5);
    assert_eq!(of("quiet"), [Value::Null; 0]);
    score("q3", "7000.00", 0);
    wait::until(
        || of("quiet").len() == 1 && of("open").len() == 2,
        || format!("{:#?}", of("open")),
    );
    let quiet = &of("quiet")[0];
    assert_eq!(quiet["alert"]["event"]["id"], "q1");
    let ended = ["closed", "alerts", "hits", "thinned"].map(|name| quiet["ended"][name].clone());
    assert_eq!(ended, [json!("quiet"), json!(1), json!(2), json!(1)]);
    assert_eq!(quiet["closed"], Value::Null, "nobody has dealt with it");
    let path = format!("/v1/alerts/{}:close", quiet["ended"]["episode_id"].as_str().unwrap());
    let token = Some(desk.token(Role::Analyst));
    let closed = desk.ask("POST", &path, token, Some(&json!({"reason": "paid rent"})), &[]);
    assert_eq!(closed.status, 200, "{closed:?}");
    wait::until(|| of("closed").len() == 1, || format!("{:#?}", of("closed")));
    assert_eq!((of("open").len(), of("quiet").len()), (1, 0));
    // It ended once, and not by whoever closed it.
    assert_eq!(of("closed")[0]["ended"]["closed"], "quiet");
}

/// A dead letter shows its shape to everybody, and itself to few, who are named in the log and in the audit trail.
fn look_at_the_dead_letter(desk: &Desk) {
    let letters = || desk.get("/v1/dlq?reason=missing_field", Role::Viewer).body;
    wait::until(|| letters()["items"][0].is_object(), || letters().to_string());
    let letter = letters()["items"][0].clone();
    assert!(!letter.to_string().contains("4111"), "{letter:#}");
    assert!(letter["preview"].as_str().unwrap().contains(r#""x-************0000""#), "{letter:#}");
    let path = format!("/v1/dlq/{}", letter["number"].as_str().unwrap());
    assert_eq!(desk.get(&path, Role::Viewer).status, 403);
    let whole = desk.get(&path, Role::Auditor).body;
    assert!(whole["letter"]["raw_base64"].as_str().is_some_and(|raw| raw.len() > 50), "{whole:#}");
    let said = || desk.service.said();
    wait::until(|| said().contains("Hidden data was shown") && said().contains("auditor"), said);
    // In each of the two partitions, and in that of commands, which told of the look at the dead
    // letter, when the read model has heard of it.
    let audit = || desk.get("/v1/audit?kind=ruleset_active", Role::Auditor).body;
    let entries = || audit()["items"].as_array().unwrap().len();
    wait::until(|| entries() >= 3, || format!("{:#}", audit()));
    assert_eq!(entries(), 3, "{:#}", audit());
}

#[test]
fn decisions_alerts_and_dead_letters_are_found_by_what_they_say() {
    let desk = Desk::open(Broker::shared(), "api-reads");
    desk.wait_listening();
    for (id, amount) in [("r1", "5.00"), ("r2", "500.00"), ("r3", "5000.00")] {
        desk.score(id, amount);
    }
    let bad = json!({"id": "r4", "at": 0, "account": "a-4111111111111111"});
    let token = desk.token(Role::Service);
    assert_eq!(desk.ask("POST", "/v1/score", Some(token), Some(&bad), &[]).status, 422);
    let ids = |path: &str| -> Vec<String> {
        let answer = desk.get(path, Role::Viewer);
        let items = answer.body["items"].as_array().unwrap_or_else(|| panic!("{answer:?}"));
        items.iter().map(|it| it["decision"]["event"]["id"].as_str().unwrap().to_owned()).collect()
    };
    wait::until(|| ids("/v1/decisions").len() == 3, || format!("{:?}", ids("/v1/decisions")));
    for (query, expected) in [
        ("", &["r1", "r2", "r3"][..]),
        ("?outcome=pass", &["r1"]),
        ("?rule=R-1", &["r2", "r3"]),
        ("?rule=R-2&outcome=hold", &["r3"]),
        ("?event_id=r2", &["r2"]),
        ("?entity=a-r3&event_type=pay", &["r3"]),
        ("?until=2020-01-01T00:00:00Z", &[]),
        ("?from=2020-01-01T00:00:00Z", &["r1", "r2", "r3"]),
        ("?event_id=%27%20OR%201=1", &[]),
    ] {
        let mut found = ids(&format!("/v1/decisions{query}"));
        found.sort();
        assert_eq!(found, expected, "{query}");
    }
    // Pages hang together, and nothing is twice.
    let mut walked = Vec::new();
    let mut path = "/v1/decisions?limit=1".to_owned();
    while let Some(next) = {
        walked.extend(ids(&path));
        desk.get(&path, Role::Viewer).body["next"].as_str().map(str::to_owned)
    } {
        path = format!("/v1/decisions?limit=1&cursor={next}");
    }
    assert_eq!(walked, ids("/v1/decisions"));

    let decision =
        &desk.get("/v1/decisions?event_id=r3", Role::Viewer).body["items"][0]["decision"];
    let id = decision["decision_id"].as_str().unwrap();
    let one = desk.get(&format!("/v1/decisions/{id}"), Role::Viewer);
    assert_eq!(&one.body["decision"], decision);
    let why = desk.get(&format!("/v1/decisions/{id}/explain"), Role::Viewer).body;
    let said = why["because"].as_array().unwrap();
    let says = |text: &str| said.iter().any(|it| it.as_str().unwrap().contains(text));
    assert!(says("`amount > 900 EUR`: 5000.00 EUR > 900.00 EUR"), "{why:#}");
    assert_eq!(
        (&why["is_active_ruleset"], &why["rules"][0]["owner"]),
        (&json!(true), &json!("fraud"))
    );
    let text = why["rules"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("rule ") && text.contains("then "), "{text}");

    let alerts = desk.get("/v1/alerts?queue=l1&severity=critical", Role::Viewer).body;
    assert_eq!(alerts["items"].as_array().unwrap().len(), 1, "{alerts:#}");
    assert_eq!(alerts["items"][0]["alert"]["decision_id"], id);

    look_at_the_dead_letter(&desk);
    close_the_alert(&desk, &alerts["items"][0]["alert"]["episode"]["id"]);
}

/// Reads a stream until it has so many events of these kinds; their ids and data.
fn heard(stream: &mut std::net::TcpStream, count: usize) -> Vec<(String, String)> {
    use std::io::{BufRead, BufReader};
    let mut found = Vec::new();
    let mut id = String::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(text) = line.strip_prefix("id: ") {
            text.clone_into(&mut id);
        }
        if let Some(text) = line.strip_prefix("event: reset") {
            found.push((String::new(), format!("reset{text}")));
        }
        if let Some(data) = line.strip_prefix("data: {\"") {
            found.push((id.clone(), data.to_owned()));
        }
        if found.len() == count {
            break;
        }
    }
    found
}

#[test]
fn a_stream_of_events_goes_on_where_it_broke() {
    let desk = Desk::open(Broker::shared(), "api-events");
    desk.wait_listening();
    let mut stream = desk.stream("/v1/events?kinds=decision", Role::Viewer, &[]);
    desk.score("s0", "1.00");
    let first = heard(&mut stream, 1);
    drop(stream);
    for id in ["s1", "s2", "s3"] {
        desk.score(id, "500.00");
    }
    let last = [("Last-Event-ID", first[0].0.as_str())];
    let mut stream = desk.stream("/v1/events?kinds=decision", Role::Viewer, &last);
    let rest = heard(&mut stream, 3);
    let names: Vec<bool> = ["s1", "s2", "s3"]
        .iter()
        .zip(&rest)
        .map(|(id, (_, data))| data.contains(&format!("\"id\":\"{id}\"")))
        .collect();
    assert_eq!(names, [true; 3], "{rest:#?}");
    let mut stream = desk.stream("/v1/events?kinds=hold", Role::Viewer, &last);
    let holds = heard(&mut stream, 3);
    assert!(holds.iter().all(|(_, data)| data.contains("riskweir.hold.v1")), "{holds:#?}");
    // Of another read model: nothing can be said of what was missed.
    let other = [("Last-Event-ID", "000000000000-1")];
    let mut stream = desk.stream("/v1/events", Role::Viewer, &other);
    assert_eq!(heard(&mut stream, 1)[0].1, "reset");
}

#[test]
fn the_read_model_goes_on_after_a_restart_and_is_made_anew_from_the_topics() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.sqlite");
    let store = format!("api.store={}", file.display());
    let mut desk = Desk::open_with(Broker::shared(), "api-model", &[&store]);
    desk.wait_listening();
    let hold = desk.hold("m1", "500.00");
    let seen = |desk: &Desk<'_>| desk.get("/v1/decisions", Role::Viewer).body["items"].clone();
    let (before, epoch) = (seen(&desk), desk.get("/v1/status", Role::Viewer).body["epoch"].clone());
    desk.restart(&[&store]);
    desk.wait_listening();
    assert_eq!(seen(&desk), before);
    assert_eq!(desk.get("/v1/status", Role::Viewer).body["epoch"], epoch);
    desk.score("m2", "1.00");
    let n = |desk: &Desk<'_>| seen(desk).as_array().unwrap().len();
    wait::until(|| n(&desk) == 2, || seen(&desk).to_string());
    let all = seen(&desk);
    // Gone, and there again: by the topics, under new numbers.
    for path in std::fs::read_dir(folder.path()).unwrap() {
        std::fs::remove_file(path.unwrap().path()).unwrap();
    }
    desk.restart(&[&store]);
    wait::until(|| n(&desk) == 2, || seen(&desk).to_string());
    assert_eq!(seen(&desk), all);
    assert_eq!(desk.get(&format!("/v1/holds/{hold}"), Role::Viewer).status, 200);
    assert_ne!(desk.get("/v1/status", Role::Viewer).body["epoch"], epoch);
}

#[test]
fn a_draft_is_compiled_compared_and_tried_and_changes_nothing() {
    let desk = Desk::open(Broker::shared(), "api-draft");
    desk.wait_listening();
    let ask = |path: &str, body: &Value| {
        desk.ask("POST", path, Some(desk.token(Role::RuleAuthor)), Some(body), &[])
    };
    let active = desk.get("/v1/rules", Role::Viewer).body;
    assert_eq!(active["files"][0]["text"], crate::desk::RULES);
    assert_eq!(active["rules"].as_array().unwrap().len(), 3);
    let with = |text: &str| json!({"files": [{"path": "rules.risk", "text": text}]});
    let lower = with(&crate::desk::RULES.replace("> 100 EUR", "> 50 EUR"));
    let broken = with(&crate::desk::RULES.replace("amount > 100 EUR", "amont > 100 EUR"));

    let same = ask("/v1/rules:validate", &json!({"files": []})).body;
    assert_eq!((&same["is_valid"], &same["digest"]), (&json!(true), &active["digest"]));
    let wrong = ask("/v1/rules:validate", &broken).body;
    assert_eq!(wrong["is_valid"], false);
    let found = &wrong["findings"][0];
    assert_eq!(
        (&found["code"], &found["path"]),
        (&json!("E0101"), &json!("rules.risk")),
        "{wrong:#}"
    );
    let refused = ask("/v1/rules:plan", &broken);
    assert_eq!((refused.status, refused.code()), (400, "bad_body"));
    let plan = ask("/v1/rules:plan", &lower).body;
    assert_eq!(
        (&plan["from"], &plan["changes"]["changed"][0]["what"]),
        (&active["digest"], &json!("rule large")),
        "{plan:#}"
    );
    for path in ["../x.risk", "/etc/x.risk", "x.txt", "a//b.risk", "a/.x.risk", ""] {
        let answer = ask("/v1/rules:validate", &json!({"files": [{"path": path, "text": ""}]}));
        assert_eq!(answer.status, 400, "{path}");
    }

    let try_it = |body: &Value| ask("/v1/evaluate", body);
    let event = pay("t1", "75.00");
    let now = try_it(&json!({"event": event})).body;
    assert_eq!(
        (&now["decision"]["outcome"], &now["holds"]),
        (&json!("pass"), &json!([])),
        "{now:#}"
    );
    let then = try_it(&json!({"event": event, "files": lower["files"]})).body;
    assert_eq!(
        (&then["decision"]["outcome"], &then["holds"][0]["state"]),
        (&json!("hold"), &json!("placed"))
    );
    let again = try_it(&json!({"event": event, "before": [event]})).body;
    assert_eq!(again["decision"]["duplicate"], true);
    let bad = try_it(&json!({"event": {"id": "x"}}));
    assert_eq!((bad.status, &bad.body["reason"]), (422, &json!("missing_field")), "{bad:?}");
    // Nothing of it was written, and the same rules decide.
    assert_eq!((desk.records("in.ndjson").len(), desk.records("decisions").len()), (0, 0));
    assert_eq!(desk.get("/v1/rules", Role::Viewer).body["digest"], active["digest"]);
}

#[test]
fn a_rule_set_becomes_active_when_a_second_person_approves_what_the_first_looked_at() {
    let desk = Desk::open_with(Broker::shared(), "api-activate", &["rules.watch_interval=0s"]);
    desk.wait_listening();
    let post = |path: &str, role: Role, body: &Value| {
        desk.ask("POST", path, Some(desk.token(role)), Some(body), &[])
    };
    let digest = |answer: &Value| answer["digest"].as_str().unwrap().to_owned();
    let before = digest(&desk.get("/v1/rules", Role::Viewer).body);
    let lower = crate::desk::RULES.replace("> 100 EUR", "> 50 EUR");
    std::fs::write(desk.fleet.rules().join("rules.risk"), &lower).unwrap();
    let draft = json!({"files": [{"path": "rules.risk", "text": lower}]});
    let wanted = digest(&post("/v1/rules:validate", Role::RuleAuthor, &draft).body);
    let ask = |role: Role, digest: &str| {
        let body = json!({"reason": "smaller frauds", "digest": digest});
        post("/v1/rules:request-activation", role, &body)
    };
    let other = ask(Role::RuleAuthor, "ffff");
    assert_eq!(
        (other.status, other.code(), &other.body["digest"]),
        (409, "stale_state", &json!(wanted))
    );
    let asked = ask(Role::RuleApprover, &wanted);
    assert_eq!(
        (asked.status, &asked.body["details"]["plan"]["to"]),
        (202, &json!(wanted)),
        "{asked:?}"
    );
    let place = format!("{}:approve", asked.header("location").unwrap());
    let why = json!({"reason": "read the plan"});
    let own = post(&place, Role::RuleApprover, &why);
    assert_eq!((own.status, own.code()), (403, "own_request"));
    let senior = post(&place, Role::Senior, &why);
    assert_eq!((senior.status, senior.code()), (403, "forbidden"));
    assert_eq!(digest(&desk.get("/v1/rules", Role::Viewer).body), before);
    let done = post(&place, Role::Admin, &why);
    assert_eq!((done.status, &done.body["state"]), (200, &json!("done")), "{done:?}");
    let active = || digest(&desk.get("/v1/rules", Role::Viewer).body);
    wait::until(|| active() == wanted, || desk.service.describe());
    assert_eq!(desk.score("n1", "75.00")["outcome"], "hold");
}

/// The policy says how many people approve, by what the rules do that are changed.
#[test]
fn as_many_people_approve_a_rule_set_as_the_policy_says() {
    let desk = Desk::open_with(Broker::shared(), "api-approvals", &["rules.watch_interval=0s"]);
    desk.wait_listening();
    let post = |path: &str, role: Role, body: &Value| {
        desk.ask("POST", path, Some(desk.token(role)), Some(body), &[])
    };
    let digest = |answer: &Value| answer["digest"].as_str().unwrap().to_owned();
    let ask = |text: &str| {
        std::fs::write(desk.fleet.rules().join("rules.risk"), text).unwrap();
        let draft = json!({"files": [{"path": "rules.risk", "text": text}]});
        let wanted = digest(&post("/v1/rules:validate", Role::RuleAuthor, &draft).body);
        let body = json!({"reason": "as discussed", "digest": wanted});
        let asked = post("/v1/rules:request-activation", Role::RuleAuthor, &body);
        assert_eq!(asked.status, 202, "{asked:?}");
        (wanted, asked)
    };
    let why = json!({"reason": "read the plan"});
    let approve = |asked: &Answer, role: Role| {
        let place = format!("{}:approve", asked.header("location").unwrap());
        let answer = post(&place, role, &why);
        (answer.status, answer.body["state"].clone(), answer.body["approved_by"].clone())
    };
    let active = || digest(&desk.get("/v1/rules", Role::Viewer).body);

    // A policy that asks for two is a change of everything, and asks for itself.
    let policy = "policy p\n  approvals 2 for [hold]\n";
    let strict = format!("{}{policy}", crate::desk::RULES);
    let (wanted, asked) = ask(&strict);
    assert_eq!(asked.body["approvals_needed"], 2, "{asked:?}");
    let first = (202, json!("pending"), json!(["rule-approver"]));
    assert_eq!(approve(&asked, Role::RuleApprover), first);
    assert_eq!(approve(&asked, Role::RuleApprover), first, "one person counts once");
    assert_ne!(active(), wanted);
    let both = json!(["admin", "rule-approver"]);
    assert_eq!(approve(&asked, Role::Admin), (200, json!("done"), both));
    wait::until(|| active() == wanted, || desk.service.describe());

    // A rule that holds takes two, one that watches takes one.
    let lower = strict.replace("> 100 EUR", "> 50 EUR");
    assert_eq!(ask(&lower).1.body["approvals_needed"], 2);
    let watching = "rule watching id \"R-77\" owner o mode shadow on pay when amount > 1 EUR then hold for 1h\n";
    let (wanted, asked) = ask(&format!("{strict}{watching}"));
    assert_eq!(asked.body["approvals_needed"], 1, "{asked:?}");
    let done = (200, json!("done"), json!(["rule-approver"]));
    assert_eq!(approve(&asked, Role::RuleApprover), done);
    wait::until(|| active() == wanted, || desk.service.describe());
}

/// What the form of another event fits, too, is not decided as that.
#[test]
fn an_event_that_several_topics_would_take_is_refused_until_one_is_named() {
    let mut desk = Desk::open(Broker::shared(), "api-topics");
    desk.wait_listening();
    let (first, other) = (desk.fleet.input(), desk.fleet.topic("other"));
    Broker::shared().create_topic(&other, 2);
    desk.restart(&[&format!("topics.inputs={first},{other}")]);
    desk.wait_listening();
    let event =
        json!({"id": "t1", "at": 1_772_445_600_000_i64, "account": "a-t1", "amount": "500.00"});
    let post =
        |path: &str| desk.ask("POST", path, Some(desk.token(Role::Service)), Some(&event), &[]);
    let refused = post("/v1/score");
    let topics = json!([first, other]);
    assert_eq!((refused.status, &refused.body["topics"]), (400, &topics), "{refused:?}");
    assert_eq!(post("/v1/score?topic=nowhere").status, 400);
    let named = post(&format!("/v1/score?topic={other}&deadline=10s"));
    assert_eq!((named.status, &named.body["outcome"]), (200, &json!("hold")), "{named:?}");
    assert_eq!(named.body["decision"]["source"]["topic"], json!(other));
}

#[test]
fn lists_snoozes_and_subjects_are_changed_under_the_name_of_who_asks() {
    let desk = Desk::open(Broker::shared(), "api-change");
    desk.wait_listening();
    let post = |path: &str, body: &Value, headers: &[(&str, &str)]| {
        desk.ask("POST", path, Some(desk.token(Role::Senior)), Some(body), headers)
    };
    let lists = desk.get("/v1/lists", Role::Viewer).body;
    assert_eq!(lists["items"][0]["name"], "bad_accounts", "{lists:#}");
    assert_eq!(desk.score("l1", "5.00")["outcome"], "pass");
    let put = json!({"reason": "police report", "value": "a-l2"});
    let key = [("Idempotency-Key", "k1")];
    let first = post("/v1/lists/bad_accounts:add", &put, &key);
    assert_eq!((first.status, &first.body["is_repeat"]), (200, &json!(false)), "{first:?}");
    let again = post("/v1/lists/bad_accounts:add", &put, &key);
    assert_eq!((again.status, &again.body["is_repeat"]), (200, &json!(true)), "{again:?}");
    assert_eq!(desk.score("l2", "5.00")["outcome"], "block");
    let members =
        |query: &str| desk.get(&format!("/v1/lists/bad_accounts{query}"), Role::Auditor).body;
    wait::until(|| members("")["items"][0].is_object(), || members("").to_string());
    let put_by =
        json!({"value": "a-l2", "is_in_file": false, "actor": "senior", "reason": "police report"});
    assert_eq!(members(""), json!({"items": [put_by]}));
    let more = json!({"reason": "the same ring", "value": "a-a0", "until": in_hours(5)});
    assert_eq!(post("/v1/lists/bad_accounts:add", &more, &[]).status, 200);
    wait::until(|| members("")["items"][1].is_object(), || members("").to_string());
    assert_eq!(members("?limit=1")["items"][0]["value"], "a-a0");
    let next = members("?limit=1")["next"].as_str().unwrap().to_owned();
    assert_eq!(members(&format!("?limit=1&cursor={next}")), json!({"items": [put_by]}));
    let off = json!({"reason": "a mistake", "value": "a-a0"});
    assert_eq!(post("/v1/lists/bad_accounts:remove", &off, &[]).status, 200);
    wait::until(|| members("") == json!({"items": [put_by]}), || members("").to_string());
    assert_eq!(desk.get("/v1/lists/bad_accounts", Role::Viewer).status, 403);
    let none = post("/v1/lists/nowhere:add", &put, &[]);
    assert_eq!((none.status, &none.body["cause"]), (404, &json!("unknown_list")), "{none:?}");
    let twice = post("/v1/lists/bad_accounts:remove", &json!({"reason": "x", "value": "z"}), &[]);
    assert_eq!((twice.status, twice.code()), (409, "refused"), "{twice:?}");

    let snooze =
        json!({"reason": "a journey", "key": "account", "value": "a-l3", "until": in_hours(5)});
    let silent = post("/v1/rules/R-1:snooze", &snooze, &[]);
    assert_eq!(silent.status, 200, "{silent:?}");
    assert_eq!(desk.score("l3", "500.00")["outcome"], "pass");
    let shown = || desk.get("/v1/snoozes", Role::Viewer).body["items"].clone();
    wait::until(|| shown()[0]["value"] == "a-l3", || shown().to_string());
    assert_eq!(
        (&shown()[0]["owner"], &shown()[0]["is_in_file"]),
        (&json!("senior"), &json!(false))
    );
    let wake = json!({"reason": "back", "key": "account", "value": "a-l3"});
    assert_eq!(post("/v1/rules/R-1:wake", &wake, &[]).status, 200);
    wait::until(|| shown() == json!([]), || shown().to_string());

    let place = json!({"reason": "stolen", "entity": "account", "value": "a-l4", "deadline_at": in_hours(5)});
    let placed = post("/v1/holds:place", &place, &[]);
    assert_eq!((placed.status, &placed.body["state"]), (200, &json!("placed")), "{placed:?}");
    assert_eq!(desk.score("l4", "5.00")["outcome"], "hold");
    let id = placed.body["hold_id"].as_str().unwrap();
    let path = format!("/v1/holds/{id}");
    wait::until(|| desk.get(&path, Role::Viewer).status == 200, || desk.service.describe());
    let released = post(&format!("{path}:release"), &json!({"reason": "found"}), &[]);
    assert_eq!(
        (released.status, &released.body["state"]),
        (200, &json!("released")),
        "{released:?}"
    );
}
