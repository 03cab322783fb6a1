//! Four eyes and what people do past the engine: the audit trail names them, and a restart goes around nobody.

use riskweir::api::roles::Role;
use riskweir::base::Digest;
use serde_json::{Value, json};

use crate::desk::{Desk, RULES};
use crate::support::broker::Broker;
use crate::support::topics::Isolation;
use crate::support::wait;

/// What the audit trail says that people did, in the order of its chain: act, about, who, why, who approved.
fn acts(desk: &Desk<'_>) -> Vec<[Value; 5]> {
    let by_people = told_acts(desk).into_iter().filter(|it| it["by"]["actor"] != "riskweir");
    let of = |command: Value| {
        let by = &command["by"];
        let told = [&command["act"], &command["about"], &by["actor"], &by["reason"]];
        let [act, about, actor, reason] = told.map(Value::clone);
        [act, about, actor, reason, by["approved_by"].clone()]
    };
    by_people.map(of).collect()
}

/// What was done past the engine, in the order of the chain.
fn told_acts(desk: &Desk<'_>) -> Vec<Value> {
    let records = desk.records("audit").into_iter().map(|(_, record)| record["command"].clone());
    records.filter(|it| it["kind"] == "act" && it["result"] == "done").collect()
}

#[test]
fn the_audit_trail_names_tokens_that_were_there_came_and_went() {
    let mut desk = Desk::open(Broker::shared(), "api-access");
    let told = |desk: &Desk<'_>| -> Vec<(Value, Value, Value)> {
        let of = |it: Value| {
            let details: Value =
                serde_json::from_str(it["details"].as_str().unwrap_or("null")).unwrap();
            (it["act"].clone(), it["about"].clone(), details)
        };
        told_acts(desk).into_iter().map(of).collect()
    };
    let wait_for = |desk: &Desk<'_>, n: usize| {
        wait::until(|| told(desk).len() >= n, || desk.service.describe());
        assert_eq!(told(desk).len(), n);
        told(desk).pop().unwrap()
    };
    let (act, about, known) = wait_for(&desk, 1);
    assert_eq!((act, about), (json!("tokens.known"), json!("8 tokens")));
    let names: Vec<&str> =
        known.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, Role::ALL.map(Role::name));
    // A second one of the same rights is another token.
    let token = desk.let_in("bob", &["cards"]);
    let (act, about, came) = wait_for(&desk, 2);
    assert_eq!((act, about), (json!("tokens.added"), json!("1 token")));
    let digest = Digest::of(token.as_bytes()).hex();
    let roles = Role::ALL.map(Role::name);
    let bob = json!({"name": "bob", "roles": roles, "sha256": digest[..16], "topics": ["cards"]});
    assert_eq!(came, json!([bob]));
    desk.forget(Role::Viewer);
    // Whose lines are gone: bob's is none of those that the desk writes.
    let (act, about, went) = wait_for(&desk, 3);
    assert_eq!((act, about), (json!("tokens.withdrawn"), json!("2 tokens")));
    assert_eq!((&went[0]["name"], &went[1]), (&json!("viewer"), &bob));
    desk.reassign(Role::Viewer, Role::Viewer);
    let (act, about, came) = wait_for(&desk, 4);
    assert_eq!((act, about), (json!("tokens.added"), json!("1 token")));
    assert_eq!((&came[0]["name"], &came[0]["roles"]), (&json!("viewer"), &json!(["viewer"])));
    // Other rights of the same token are told of, too.
    desk.reassign(Role::Viewer, Role::Admin);
    let (act, _, came) = wait_for(&desk, 6);
    assert_eq!((act, &came[0]["roles"]), (json!("tokens.added"), &json!(["admin"])));
    let (act, _, went) = told(&desk).remove(4);
    assert_eq!((act, &went[0]["roles"]), (json!("tokens.withdrawn"), &json!(["viewer"])));
    // A file that cannot be used changes nothing; a start tells of what it finds.
    let written: Vec<String> =
        desk.records("audit").iter().map(|(_, record)| record.to_string()).collect();
    assert!(!written.iter().any(|it| it.contains(&token) || it.contains(&digest)));
    desk.restart(&[]);
    assert_eq!(wait_for(&desk, 7).0, json!("tokens.known"));
}

#[test]
fn the_audit_trail_names_who_asked_for_a_rule_set_and_who_approved_or_refused_it() {
    let desk = Desk::open_with(Broker::shared(), "api-named", &["rules.watch_interval=0s"]);
    desk.wait_listening();
    let wanted = desk.write_rules(&RULES.replace("> 100 EUR", "> 50 EUR"));
    let ask = |reason: &str| {
        let body = json!({"reason": reason, "digest": wanted});
        let asked = desk.post("/v1/rules:request-activation", Role::RuleAuthor, &body);
        assert_eq!(asked.status, 202, "{asked:?}");
        asked.header("location").unwrap().to_owned()
    };
    let settle = |place: &str, verb: &str, role: Role, reason: &str| {
        desk.post(&format!("{place}:{verb}"), role, &json!({"reason": reason}))
    };
    let first = ask("too early");
    assert_eq!(settle(&first, "refuse", Role::RuleApprover, "no tests").status, 200);
    let second = ask("smaller frauds");
    let done = settle(&second, "approve", Role::Admin, "read the plan");
    assert_eq!((done.status, &done.body["state"]), (200, &json!("done")), "{done:?}");
    let row = |act: &str, who: &str, why: &str, approved: Value| {
        [json!(act), json!(wanted), json!(who), json!(why), approved]
    };
    let expected = [
        row("request.made", "rule-author", "too early", Value::Null),
        row("request.refused", "rule-approver", "no tests", Value::Null),
        row("request.made", "rule-author", "smaller frauds", Value::Null),
        row("request.approved", "admin", "read the plan", Value::Null),
        row("rules.activated", "rule-author", "smaller frauds", json!("admin")),
    ];
    assert_eq!(acts(&desk), expected);
    // So does who reads the trail here.
    let path = format!("/v1/audit?about={wanted}&actor=admin");
    let told = || desk.get(&path, Role::Auditor).body["items"].clone();
    wait::until(
        || told()[0]["entry"]["command"]["act"] == "request.approved",
        || told().to_string(),
    );
}

#[test]
fn a_rule_set_that_nobody_approved_does_not_decide_after_a_kill_and_a_start() {
    let settings = ["rules.approval=on"];
    let mut desk = Desk::open_with(Broker::shared(), "api-start", &settings);
    desk.wait_listening();
    assert_eq!(desk.score("s1", "75.00")["outcome"], "pass");
    let before = desk.active();
    let lower = RULES.replace("> 100 EUR", "> 50 EUR");
    let edited = desk.write_rules(&lower);
    // Neither a signal nor a request lets it in while the service runs.
    desk.service.signal("-HUP");
    let said = || desk.service.said();
    wait::until(|| said().contains("nobody approved it"), said);
    assert_eq!(desk.active(), before);
    desk.kill();
    let (code, said) = desk.start_in_vain(&settings, &[]);
    assert_eq!(code, Some(1), "{said}");
    for part in [&format!("`{edited}`"), &format!("`{before}` decided last"), "--accept-rules"] {
        assert!(said.contains(part), "{said}");
    }
    let other = ["--accept-rules", "ffff", "--as", "olga", "--reason", "night"];
    assert_eq!(desk.start_in_vain(&settings, &other).0, Some(1));
    // What decided last may go on.
    std::fs::write(desk.fleet.rules().join("rules.risk"), RULES).unwrap();
    desk.start_again(&settings, &[]);
    desk.wait_listening();
    assert_eq!(desk.score("s2", "75.00")["outcome"], "pass");
    assert_eq!(desk.write_rules(&lower), edited);
    desk.kill();
    let flags = ["--accept-rules", &edited, "--as", "olga", "--reason", "the approvers sleep"];
    desk.start_again(&settings, &flags);
    desk.wait_listening();
    assert_eq!(
        (desk.score("s3", "75.00")["outcome"].as_str(), desk.active()),
        (Some("hold"), edited.clone())
    );
    let row = ["rules.accepted", &edited, "olga", "the approvers sleep"];
    let told = || acts(&desk);
    let is_told = || told().iter().any(|it| it[..4] == row.map(|text| json!(text)));
    wait::until(is_told, || format!("{:?}", told()));
    // Now it is what decided last.
    desk.restart(&settings);
    desk.wait_listening();
    assert_eq!(desk.active(), edited);
    // A trail that was emptied is not that of a new deployment: nothing tells what two people let in.
    desk.kill();
    let audit = desk.fleet.topic("audit");
    for record in Broker::shared().read(&audit, Isolation::Committed) {
        Broker::shared().delete_records(&audit, record.partition, record.offset + 1);
    }
    assert_eq!(Broker::shared().read(&audit, Isolation::Committed).len(), 0);
    let (code, said) = desk.start_in_vain(&settings, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("none decided last, none was approved last"), "{said}");
}

/// A label changes what is learned and measured, so somebody stands for it.
#[test]
fn the_audit_trail_names_who_posted_a_label_and_who_looked_at_a_dead_letter() {
    let mut desk = Desk::open(Broker::shared(), "api-labels");
    let (first, other) = (desk.fleet.input(), desk.fleet.topic("labels"));
    Broker::shared().create_topic(&other, 1);
    let rules = RULES.replace("\"payments\"", &format!("\"{first}\""));
    let label = format!(
        "event told from \"{other}\"\n  id told_id : text from \"/id\"\n  time told_at : time from \"/at\" unit ms\n  field about : text from \"/about\"\n  field fraud : bool from \"/fraud\"\n  labels pay by about verdict fraud\n"
    );
    std::fs::write(desk.fleet.rules().join("rules.risk"), format!("{rules}{label}")).unwrap();
    desk.restart(&[&format!("topics.inputs={first},{other}")]);
    desk.wait_listening();
    desk.score("l1", "5.00");
    let told = json!({"id": "t1", "at": 1_772_445_600_000_i64, "about": "l1", "fraud": true});
    let path = format!("/v1/labels?topic={other}");
    let posted = desk.post(&path, Role::Analyst, &told);
    assert_eq!((posted.status, &posted.body["decided"]), (200, &json!(true)), "{posted:?}");
    let digest = Digest::of(told.to_string().as_bytes()).hex();
    let records = desk.records("audit");
    let command =
        records.iter().map(|(_, it)| &it["command"]).find(|it| it["act"] == "label.posted");
    let command = command.unwrap();
    let named = [&command["by"]["actor"], &command["about"], &command["digest"]];
    assert_eq!(named, [&json!("analyst"), &json!(other), &json!(digest)]);

    let bad = json!({"id": "l2", "at": 0, "account": "a"});
    let token = desk.token(Role::Service);
    let path = format!("/v1/score?topic={first}");
    assert_eq!(desk.ask("POST", &path, Some(token), Some(&bad), &[]).status, 422);
    let letters = || desk.get("/v1/dlq", Role::Viewer).body["items"].clone();
    wait::until(|| letters()[0].is_object(), || letters().to_string());
    let letter = letters()[0].clone();
    let whole = desk.get(&format!("/v1/dlq/{}", letter["number"].as_str().unwrap()), Role::Auditor);
    assert_eq!(whole.status, 200, "{whole:?}");
    let of = |name: &str| letter["source"][name].clone();
    let place = format!("{}/{}/{}", of("topic").as_str().unwrap(), of("partition"), of("offset"));
    let shown = acts(&desk).pop().unwrap();
    assert_eq!(shown[..3], [json!("dead_letter.shown"), json!(place), json!("auditor")]);
}
