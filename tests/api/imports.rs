//! A file of labels over HTTP: all of it or nothing, once however often it comes, under the name of who sent it.

use riskweir::api::roles::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, RULES, now_ms};
use crate::support::broker::Broker;
use crate::support::wait;

/// Payments as elsewhere, and what came out about them.
fn rules() -> String {
    let label = "event outcome from \"outcomes\"\n  id    case_id : text from \"/case\"\n  time  at : time from \"/at\" unit ms\n  \
        field about : text from \"/about\"\n  field fraud : bool from \"/fraud\"\n  labels pay by about verdict fraud\n";
    format!("{RULES}{label}")
}

pub(crate) fn open(test: &str, settings: &[&str]) -> (Desk<'static>, String) {
    let broker = Broker::shared();
    let outcomes = crate::support::topics::prefix("outcomes");
    broker.create_topic(&outcomes, 2);
    let rules = rules().replace("\"outcomes\"", &format!("\"{outcomes}\""));
    let probe = crate::support::topics::prefix("payments");
    broker.create_topic(&probe, 1);
    let inputs = format!("topics.inputs={probe},{outcomes}");
    let rules = rules.replace("\"payments\"", &format!("\"{probe}\""));
    let desk = Desk::open_ruled(broker, test, &rules, &[&[inputs.as_str()], settings].concat());
    desk.wait_listening();
    (desk, outcomes)
}

const NDJSON: &str = "application/x-ndjson";
const CSV: &str = "text/csv; charset=utf-8";

fn import(
    desk: &Desk<'_>,
    role: Role,
    query: &str,
    (media, body): (&str, &str),
    key: &str,
) -> Answer {
    let headers = [("Content-Type", media), ("Idempotency-Key", key)];
    let path = format!("/v1/labels:import{query}");
    desk.raw("POST", &path, Some(desk.token(role)), body.as_bytes(), &headers)
}

/// Bodies of a topic.
fn bodies(desk: &Desk<'_>, topic: &str) -> Vec<Value> {
    let records = desk.fleet.broker.read(topic, crate::support::topics::Isolation::Committed);
    let body = |bytes: Vec<u8>| serde_json::from_slice(&bytes).unwrap();
    records.into_iter().map(|it| body(it.payload.unwrap())).collect()
}

pub(crate) fn table(at: i64) -> String {
    format!(
        "about,at,fraud,agent\np1,{at},true,Ann\np2,{at},false,\np1,{at},true,Bo\np3,{at},true,\n"
    )
}

#[test]
fn a_file_of_labels_is_written_once_under_the_name_of_who_sent_it() {
    let (desk, outcomes) = open("api-import", &[]);
    let at = now_ms() - 1_000;
    for role in [Role::Analyst, Role::Viewer, Role::Service, Role::Auditor, Role::RuleAuthor] {
        assert_eq!(import(&desk, role, "", (CSV, &table(at)), "k").status, 403, "{role:?}");
    }
    let looked = import(&desk, Role::Senior, "?dry_run=true", (CSV, &table(at)), "k-0");
    assert_eq!((looked.status, &looked.body["written"]), (200, &json!(0)), "{looked:?}");
    assert_eq!(bodies(&desk, &outcomes).len(), 0);

    // The same row twice, but for a column that nothing reads, is one label.
    let sent = import(&desk, Role::Senior, "", (CSV, &table(at)), "k-1");
    assert_eq!(sent.status, 200, "{sent:?}");
    let wanted = json!({
        "labels": 3, "findings": {"fraud": 2, "genuine": 1, "open": 0}, "repeated": 1,
        "columns_left_out": ["agent"], "topics": {outcomes.clone(): 3}, "written": 3,
        "digest": looked.body["digest"],
    });
    assert_eq!(sent.body, wanted);
    let about = |label: &Value| label["about"].as_str().unwrap().to_owned();
    let written = || {
        let mut all: Vec<String> = bodies(&desk, &outcomes).iter().map(about).collect();
        all.sort();
        all
    };
    assert_eq!(written(), ["p1", "p2", "p3"]);
    let labels = |found: &str| {
        let name = format!(
            "riskweir_labels_total{{event=\"outcome\",found=\"unknown\",verdict=\"{found}\"}}"
        );
        desk.service.metric(&name).unwrap_or_default().to_string()
    };
    let counted = || (labels("fraud"), labels("genuine"));
    let wanted = ("2".to_owned(), "1".to_owned());
    wait::until(|| counted() == wanted, || format!("{:?}", counted()));

    // The trail names who, how many and the digest; the same again is a repeat for whoever counts.
    let told =
        desk.records("audit").into_iter().find(|(_, it)| it["command"]["act"] == "labels.imported");
    let (_, told) = told.unwrap();
    let command = &told["command"];
    assert_eq!(
        (&command["by"]["actor"], &command["about"], &command["digest"]),
        (&json!("senior"), &json!("3 labels of the body of a request"), &sent.body["digest"])
    );
    let again = import(&desk, Role::Admin, "", (CSV, &table(at)), "k-2");
    assert_eq!((again.status, &again.body["digest"]), (200, &sent.body["digest"]), "{again:?}");
    let repeats = || desk.service.metric("riskweir_duplicate_records_total").unwrap_or_default();
    wait::until(|| repeats() >= 3.0, || desk.service.describe());
    assert_eq!(counted(), wanted, "each counts once");
    for _ in 0..3 {
        let other = import(&desk, Role::Senior, "", (CSV, "about,at,fraud\np9,1,true\n"), "k-1");
        assert_eq!((other.status, other.code()), (409, "idempotency_key_reused"), "{other:?}");
    }
    assert_eq!(written().len(), 6, "nothing of it was written");
}

#[test]
fn one_bad_line_keeps_all_of_a_file_back_and_every_bad_line_is_told() {
    let (desk, outcomes) = open("api-import-bad", &["api.max_body=64KiB"]);
    let at = now_ms() - 1_000;
    let line =
        |case: &str, at: i64| format!(r#"{{"case":"{case}","at":{at},"about":"p","fraud":true}}"#);
    let file = [
        line("c1", at),
        "{\"case\":\"c2\"".to_owned(),
        line("the-third", at + 86_400_000),
        line("c4", at).replace(",\"fraud\":true", ""),
        line("c1", at - 1),
    ]
    .join("\n");
    let bad = import(&desk, Role::Admin, "", (NDJSON, &file), "b-1");
    assert_eq!(
        (bad.status, bad.code(), &bad.body["n_bad"]),
        (422, "bad_lines", &json!(4)),
        "{bad:?}"
    );
    let lines: Vec<(u64, &str)> = bad.body["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (it["line"].as_u64().unwrap(), it["code"].as_str().unwrap_or("-")))
        .collect();
    // No JSON, a time to come, a field that is not there, an id of two labels.
    assert_eq!(lines, [(2, "D0006"), (3, "-"), (4, "D0012"), (5, "-")]);
    assert!(!bad.text.contains("the-third"), "no value of a line is shown: {bad:?}");
    for (media, body, query, status, code) in [
        ("application/json", "{}", "", 415, "unsupported_media_type"),
        (CSV, "about,fraud\np1,true\n", "", 422, "bad_lines"),
        (NDJSON, &line("c1", at), "?event=pay", 400, "bad_parameter"),
        (NDJSON, &line("c1", at), "?dry_run=perhaps", 400, "bad_parameter"),
        (NDJSON, &format!("{}\n", line("c", at)).repeat(2_000), "", 413, "too_large"),
        (NDJSON, "", "", 200, ""),
    ] {
        let answer = import(&desk, Role::Admin, query, (media, body), "b-2");
        assert_eq!((answer.status, answer.code()), (status, code), "{answer:?}");
    }
    assert_eq!(bodies(&desk, &outcomes).len(), 0);
    let acts = |it: &(String, Value)| it.1["command"]["act"] == "labels.imported";
    assert!(!desk.records("audit").iter().any(acts), "nothing was done, and nothing is told");
}
