//! Proofs over HTTP: decisions that are derived again, and chains of the audit trail that are verified.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;

use riskweir::api::roles::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, RULES, in_hours};
use crate::support::binary::command;
use crate::support::broker::Broker;
use crate::support::topics::{Isolation, NewRecord, Record};
use crate::support::wait;

fn post(desk: &Desk<'_>, path: &str, role: Role) -> Answer {
    desk.ask("POST", path, Some(desk.token(role)), None, &[])
}

/// Waits until the read model knows of a decision.
#[track_caller]
fn wait_known(desk: &Desk<'_>, id: &str) {
    let path = format!("/v1/decisions/{id}");
    wait::until(|| desk.get(&path, Role::Viewer).status == 200, || desk.service.describe());
}

fn decision_id(scored: &Value) -> String {
    scored["decision"]["decision_id"].as_str().unwrap().to_owned()
}

#[test]
fn a_decision_is_derived_again_over_http_and_a_forged_one_differs() {
    // WHY: each later snapshot has seen the record, and only a few are kept.
    let settings = ["snapshot.interval=1h"];
    let mut desk = Desk::open_with(Broker::shared(), "api-replay", &settings);
    desk.wait_listening();
    let first = decision_id(&desk.score("p1", "50.00"));
    let held = decision_id(&desk.score("p2", "950.00"));
    wait_known(&desk, &held);
    for id in [&first, &held] {
        let answer = post(&desk, &format!("/v1/decisions/{id}/replay"), Role::Auditor);
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = &answer.body;
        assert_eq!((&body["same"], &body["diff"]), (&json!(true), &json!([])), "{body:#}");
        assert!(body["records"].as_u64().unwrap() >= 1, "{body:#}");
        assert_eq!(body["stands_at"]["topic"], desk.fleet.topic("decisions").as_str());
        assert_eq!(body["source"]["topic"], desk.fleet.input().as_str());
    }
    // After a stop in order there is a snapshot, and what comes then is derived from it.
    desk.restart(&settings);
    desk.wait_listening();
    let later = decision_id(&desk.score("p3", "950.00"));
    wait_known(&desk, &later);
    let answer = post(&desk, &format!("/v1/decisions/{later}/replay"), Role::Senior);
    assert_eq!((answer.status, &answer.body["same"]), (200, &json!(true)), "{answer:?}");
    assert!(answer.body["from"].as_str().unwrap().starts_with("snapshot "), "{answer:?}");
    // Somebody writes a decision of their own about the same record.
    let written = desk.records("decisions");
    let (key, body) = written.iter().find(|(_, body)| body["decision_id"] == *later).unwrap();
    let score = body["score"].as_i64().unwrap();
    let forged = "f".repeat(32);
    let text = body.to_string().replace(&later, &forged);
    let text = text.replace(&format!("\"score\":{score},"), &format!("\"score\":{},", score + 7));
    let record = NewRecord::new(key.as_str(), text, 1_700_000_000_000);
    desk.fleet.broker.produce(&desk.fleet.topic("decisions"), &[record]);
    wait_known(&desk, &forged);
    let answer = post(&desk, &format!("/v1/decisions/{forged}/replay"), Role::Admin);
    assert_eq!((answer.status, &answer.body["same"]), (200, &json!(false)), "{answer:?}");
    let expected = json!([
        {"path": "/decision_id", "stored": forged, "derived": later},
        {"path": "/score", "stored": score + 7, "derived": score},
    ]);
    assert_eq!(answer.body["diff"], expected);
    // What takes more than may be asked for here is for the command line.
    for bound in ["records=1", "deadline=1ms"] {
        let answer =
            post(&desk, &format!("/v1/decisions/{later}/replay?{bound}"), Role::RuleApprover);
        assert_eq!((answer.status, answer.code()), (422, "too_much"), "{answer:?}");
        assert!(answer.text.contains("`riskweir replay --decision`"), "{answer:?}");
    }
    let nothing = post(&desk, "/v1/decisions/nothing/replay", Role::Auditor);
    assert_eq!((nothing.status, nothing.code()), (404, "not_found"), "{nothing:?}");
    a_caller_who_goes_away_leaves_room(&desk, &later);
    // The records are gone that it needs.
    let input = desk.fleet.input();
    for partition in 0..2 {
        let at = desk.fleet.broker.read(&input, Isolation::Committed);
        let end = at.iter().filter(|it| it.partition == partition).map(|it| it.offset + 1).max();
        if let Some(end) = end {
            desk.fleet.broker.delete_records(&input, partition, end);
        }
    }
    let answer = post(&desk, &format!("/v1/decisions/{first}/replay"), Role::Auditor);
    assert_eq!((answer.status, answer.code()), (409, "refused"), "{answer:?}");
    assert!(answer.text.contains("does not reach back"), "{answer:?}");
}

/// Whoever hangs up is not worked for any longer: the one place is free again.
fn a_caller_who_goes_away_leaves_room(desk: &Desk<'_>, id: &str) {
    let path = format!("/v1/decisions/{id}/replay");
    for _ in 0..5 {
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 0\r\n\r\n",
            desk.token(Role::Auditor)
        );
        let mut stream = TcpStream::connect(&desk.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        drop(stream);
    }
    let answered = || post(desk, &path, Role::Auditor);
    let is_free = || {
        let answer = answered();
        assert!(answer.status == 200 || answer.code() == "busy", "{answer:?}");
        answer.status == 200
    };
    wait::until(is_free, || desk.service.describe());
}

/// A state of the hold that it never was in.
fn forge_a_hold(desk: &Desk<'_>) {
    let (at, hold) = desk.records("holds").pop().unwrap();
    let text = hold.to_string().replace("\"extended\"", "\"released\"");
    let record = NewRecord::new(at, text, 1_700_000_000_000);
    desk.fleet.broker.produce(&desk.fleet.topic("holds"), &[record]);
    let answer = post(desk, "/v1/audit:verify", Role::Admin);
    let [problem] = &answer.body["problems"].as_array().unwrap()[..] else { panic!("{answer:?}") };
    assert_eq!(problem["record"]["topic"], desk.fleet.topic("holds").as_str(), "{problem:#}");
    assert!(problem["what"].as_str().unwrap().contains("(released) has no entry"), "{problem:#}");
    let chains = post(desk, "/v1/audit:verify?outputs=false", Role::Admin);
    assert_eq!(chains.body["problems"], json!([]), "{chains:?}");
}

#[test]
fn the_audit_trail_is_verified_over_http_and_a_forged_record_is_named() {
    let mut desk = Desk::open(Broker::shared(), "api-verify");
    desk.wait_listening();
    // Where nothing is signed, chains are held against themselves.
    let answer = post(&desk, "/v1/audit:verify", Role::Auditor);
    let body = &answer.body;
    assert_eq!((answer.status, &body["signatures"]), (200, &json!(false)), "{answer:?}");
    let key = desk.fleet.folder.path().join("audit.pem");
    let made = command().args(["audit", "keygen"]).arg(&key).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    desk.fleet.broker.create_topic(&desk.fleet.topic("checkpoints"), 1);
    let settings = [
        format!("audit.key_file={}", key.display()),
        format!("topics.checkpoints={}", desk.fleet.topic("checkpoints")),
    ];
    desk.restart(&settings.each_ref().map(String::as_str));
    desk.wait_listening();
    let hold_id = desk.hold("p1", "150.00");
    let extend = json!({"deadline_at": in_hours(48), "reason": "asked the customer"});
    let path = format!("/v1/holds/{hold_id}:extend");
    let told = desk.ask("POST", &path, Some(desk.token(Role::Analyst)), Some(&extend), &[]);
    assert_eq!(told.status, 200, "{told:?}");
    let answer = post(&desk, "/v1/audit:verify", Role::Auditor);
    let body = &answer.body;
    assert_eq!((answer.status, &body["sound"]), (200, &json!(true)), "{body:#}");
    assert_eq!((&body["signatures"], &body["problems"]), (&json!(true), &json!([])));
    let chains = body["chains"].as_array().unwrap();
    // Two partitions of commands at most: that of the hold, and that in which the service tells who has tokens.
    let mut topics: Vec<&str> = chains.iter().map(|it| it["topic"].as_str().unwrap()).collect();
    topics.dedup();
    assert_eq!(topics, [desk.fleet.topic("commands"), desk.fleet.input()]);
    for chain in chains {
        assert_eq!(chain["signed_seq"], chain["last_seq"], "{chain:#}");
    }
    let proved = json!([
        {"kind": "decision", "records": 1, "proved": 1},
        {"kind": "hold", "records": 2, "proved": 2},
    ]);
    assert_eq!(body["outputs"], proved, "{body:#}");
    // The key is the one that `keygen` told.
    let public = fs::read_to_string(format!("{}.pub", key.display())).unwrap();
    let public = riskweir::audit::PublicKey::from_pem(&public).unwrap();
    assert_eq!(body["key"], public.id().as_str());
    // Somebody writes the command's record again, with another name.
    let audit = desk.fleet.broker.read(&desk.fleet.topic("audit"), Isolation::Committed);
    let body_of = |record: &Record| -> Value {
        serde_json::from_slice(record.payload.as_deref().unwrap()).unwrap()
    };
    let is_extension = |record: &&Record| body_of(record)["command"]["kind"] == "hold.extend";
    let known = audit.iter().find(is_extension).unwrap();
    let entry = body_of(known);
    let text = entry.to_string().replace("\"analyst\"", "\"nobody\"");
    // In the same partition: of two, nobody knows which one is read first.
    let key = known.key.clone().unwrap();
    let record = NewRecord::new(key, text, 1_700_000_000_000).at_partition(known.partition);
    desk.fleet.broker.produce(&desk.fleet.topic("audit"), &[record]);
    let answer = post(&desk, "/v1/audit:verify?trimmed=false", Role::Admin);
    let body = &answer.body;
    assert_eq!((answer.status, &body["sound"]), (200, &json!(false)), "{body:#}");
    for chain in body["chains"].as_array().unwrap() {
        let is_its = ["topic", "partition"].iter().all(|it| chain[it] == entry["chain"][it]);
        let expected = if is_its {
            (&json!(false), &entry["chain"]["seq"])
        } else {
            (&json!(true), &Value::Null)
        };
        assert_eq!((&chain["sound"], &chain["first_bad_seq"]), expected, "{body:#}");
    }
    forge_a_hold(&desk);
    let answer = post(&desk, "/v1/audit:verify?records=1", Role::Admin);
    assert_eq!((answer.status, answer.code()), (422, "too_much"), "{answer:?}");
    assert!(answer.text.contains("`riskweir audit verify`"), "{answer:?}");
}

/// Where the snapshots are gone, nothing keeps the rule sets of the past: another one derives the state anew, and its chain would be one
/// that nobody wrote.
#[test]
fn the_chain_goes_on_as_it_was_written_where_other_rules_derived_the_past() {
    let mut desk = Desk::open(Broker::shared(), "api-goes-on");
    desk.wait_listening();
    desk.hold("p1", "150.00");
    let announced = |desk: &Desk<'_>| -> Vec<Value> {
        let records = desk.records("audit").into_iter().map(|(_, record)| record);
        let of_input = records.filter(|it| {
            it["kind"] == "ruleset_active" && it["chain"]["topic"] == desk.fleet.input().as_str()
        });
        of_input.map(|it| it["ruleset"].clone()).collect()
    };
    let start_anew = |desk: &mut Desk<'_>| {
        desk.service.signal("-TERM");
        wait::until(|| desk.service.has_ended(), || desk.service.describe());
        fs::remove_dir_all(desk.fleet.snapshots("one")).unwrap();
        desk.start_again(&[], &[]);
        desk.wait_listening();
    };
    let is_sound = |desk: &Desk<'_>| {
        let answer = post(desk, "/v1/audit:verify", Role::Auditor);
        assert_eq!((answer.status, &answer.body["sound"]), (200, &json!(true)), "{answer:?}");
        assert_eq!(answer.body["problems"], json!([]), "{answer:?}");
    };
    let first = desk.active();
    // Other rules while it stands still, and then while it runs.
    let second = desk.write_rules(&RULES.replace("> 100 EUR", "> 120 EUR"));
    start_anew(&mut desk);
    desk.hold("p2", "150.00");
    is_sound(&desk);
    let third = desk.write_rules(&RULES.replace("> 100 EUR", "> 130 EUR"));
    wait::until(|| desk.active() == third, || desk.service.describe());
    desk.hold("p3", "150.00");
    is_sound(&desk);
    start_anew(&mut desk);
    for n in 4..8 {
        desk.hold(&format!("p{n}"), "150.00");
    }
    is_sound(&desk);
    // In each partition once, and none that did not decide there.
    let told = announced(&desk);
    for ruleset in [&first, &second, &third] {
        let times = told.iter().filter(|it| *it == ruleset.as_str()).count();
        assert!((1..=2).contains(&times), "{ruleset}: {told:?}");
    }
}
