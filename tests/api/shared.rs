//! Requests for a second person in several instances, and in one whose read model is gone: the audit trail tells them all the same.

use std::thread;

use riskweir::api::roles::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, RULES, in_hours};
use crate::support::broker::Broker;
use crate::support::wait;

const CARD: &str = "4111111111111111";

fn settle(desk: &Desk<'_>, asked: &Answer, verb: &str, role: Role) -> Answer {
    let place = asked.header("location").unwrap();
    desk.post(&format!("{place}:{verb}"), role, &json!({"reason": "looked at it"}))
}

fn requests(desk: &Desk<'_>) -> Value {
    desk.get("/v1/requests", Role::Viewer).body["items"].clone()
}

fn wait_caught_up(desk: &Desk<'_>) {
    desk.wait_listening();
    let status = || desk.get("/v1/status", Role::Viewer).body;
    wait::until(|| status()["has_caught_up"] == true, || status().to_string());
}

#[test]
fn what_waits_for_a_second_person_is_known_again_where_the_read_model_is_gone() {
    // Without `api.store` nothing is left of it behind a kill.
    let settings = ["api.four_eyes_above.EUR=300", "api.four_eyes_for=list.add,hold.place"];
    let mut desk = Desk::open_with(Broker::shared(), "api-gone", &settings);
    desk.wait_listening();
    let large = desk.hold("g1", "500.00");
    let path = format!("/v1/holds/{large}:release");
    let release = desk.post(&path, Role::Analyst, &json!({"reason": "the customer called"}));
    let list = |value: &str| {
        let body = json!({"reason": "seen twice", "value": value});
        desk.post("/v1/lists/bad_accounts:add", Role::Senior, &body)
    };
    let (add, card, refused) = (list("a-7"), list(&format!("a-{CARD}")), list("a-8"));
    let statuses = [&release, &add, &card, &refused].map(|answer| answer.status);
    assert_eq!(statuses, [202; 4], "{release:?} {add:?}");
    assert_eq!(settle(&desk, &refused, "refuse", Role::Admin).body["state"], "refused");
    let before = requests(&desk);
    assert_eq!(before.as_array().unwrap().len(), 4);
    desk.kill();
    desk.start_again(&settings, &[]);
    wait_caught_up(&desk);
    assert_eq!(requests(&desk), before);

    let own = settle(&desk, &add, "approve", Role::Senior);
    assert_eq!((own.status, own.code()), (403, "own_request"), "{own:?}");
    for (asked, outcome) in [(&release, "released"), (&add, "done")] {
        let done = settle(&desk, asked, "approve", Role::Admin);
        let told = (&done.body["state"], &done.body["outcome"], &done.body["approved_by"]);
        assert_eq!(told, (&json!("done"), &json!(outcome), &json!(["admin"])), "{done:?}");
    }
    let (_, released) =
        desk.records("holds").into_iter().find(|(_, it)| it["state"] == "released").unwrap();
    let by = ["actor", "reason", "approved_by"].map(|name| released["by"][name].clone());
    assert_eq!(by, [json!("analyst"), json!("the customer called"), json!("admin")]);
    // A number that the trail has masked is known to whoever was asked, and to nobody else.
    let unknown = settle(&desk, &card, "approve", Role::Admin);
    let cause = &unknown.body["cause"];
    assert_eq!((unknown.status, cause), (409, &json!("number_is_elsewhere")), "{unknown:?}");
    assert_eq!(settle(&desk, &card, "refuse", Role::Admin).status, 200);
    let late = settle(&desk, &refused, "approve", Role::Admin);
    assert_eq!((late.status, &late.body["state"]), (409, &json!("refused")), "{late:?}");
    let trail = format!("{:?}", desk.records("audit"));
    assert!(trail.contains("request.made") && !trail.contains(CARD));

    // What came of each is told by the trail, too.
    let after = requests(&desk);
    desk.restart(&settings);
    wait_caught_up(&desk);
    assert_eq!(requests(&desk), after);
}

#[test]
fn a_request_is_decided_once_whichever_instance_is_asked() {
    let mut settings = vec!["api.four_eyes_above.EUR=300", "kafka.partitioned_by=account"];
    let mut desk = Desk::open_with(Broker::shared(), "api-both", &settings);
    let shared = format!("snapshot.dir={}", desk.fleet.snapshots("all").display());
    settings.push(&shared);
    desk.restart(&settings);
    desk.wait_listening();
    let (service, mut address) = desk.beside_as("two", &settings);
    std::mem::swap(&mut desk.address, &mut address);
    desk.wait_listening();
    wait::until(|| service.get("/readyz").0 == 200, || service.describe());
    let mut n_approved = 0;
    for n in 0..4 {
        let hold = desk.hold(&format!("b{n}"), "500.00");
        let path = format!("/v1/holds/{hold}:release");
        let key = format!("k{n}");
        let why = json!({"reason": "called"});
        let ask = |address: &str| {
            let token = Some(desk.token(Role::Analyst));
            desk.ask_at(address, ("POST", &path), token, Some(&why), &[("Idempotency-Key", &key)])
        };
        let asked = ask(&desk.address);
        assert_eq!(asked.status, 202, "{asked:?}");
        // The same is the same request at the other one.
        let again = ask(&address);
        assert_eq!(again.body["request_id"], asked.body["request_id"], "{again:?}");
        let place = asked.header("location").unwrap();
        let settle = |address: &str, verb: &str, role: Role| {
            let token = Some(desk.token(role));
            let why = json!({"reason": "looked at it"});
            desk.ask_at(address, ("POST", &format!("{place}:{verb}")), token, Some(&why), &[])
        };
        let verb = if n % 2 == 0 { "approve" } else { "refuse" };
        let (one, other) = thread::scope(|scope| {
            let one = scope.spawn(|| settle(&desk.address, "approve", Role::Senior));
            let other = settle(&address, verb, Role::Admin);
            (one.join().unwrap(), other)
        });
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{one:?} {other:?}");
        let is_released = one.status == 200 || verb == "approve";
        n_approved += usize::from(is_released);
        let who = if one.status == 200 { "senior" } else { "admin" };
        let state = if is_released { "done" } else { "refused" };
        let shown = |address: &str| {
            let token = Some(desk.token(Role::Viewer));
            let body = desk.ask_at(address, ("GET", place), token, None, &[]).body;
            [body["state"].clone(), body["decided_by"].clone()]
        };
        for address in [&desk.address, &address] {
            let expected = [json!(state), json!(who)];
            wait::until(|| shown(address) == expected, || format!("{:?}", shown(address)));
        }
    }
    let released = desk.records("holds").into_iter().filter(|(_, it)| it["state"] == "released");
    assert_eq!(released.count(), n_approved);
    drop(service);
}

#[test]
fn one_person_does_alone_what_takes_two_only_where_that_is_allowed_and_everybody_sees_it() {
    let settings = ["rules.watch_interval=0s", "api.four_eyes_for=hold.place"];
    let mut desk = Desk::open_with(Broker::shared(), "api-alone", &settings);
    desk.wait_listening();
    let body = json!({
        "reason": "it is stolen", "entity": "account", "value": "a-1", "deadline_at": in_hours(2),
    });
    let asked = desk.post("/v1/holds:place", Role::Admin, &body);
    assert_eq!(asked.status, 202, "{asked:?}");
    let off = settle(&desk, &asked, "override", Role::Admin);
    assert_eq!((off.status, off.code()), (501, "not_configured"), "{off:?}");
    let settings = [&settings[..], &["api.override=on"]].concat();
    desk.restart(&settings);
    wait_caught_up(&desk);
    let senior = settle(&desk, &asked, "override", Role::Senior);
    assert_eq!((senior.status, senior.code()), (403, "forbidden"), "{senior:?}");
    let alone = settle(&desk, &asked, "override", Role::Admin);
    let told = [&alone.body["state"], &alone.body["outcome"], &alone.body["is_overridden"]];
    assert_eq!(told, [&json!("done"), &json!("placed"), &json!(true)], "{alone:?}");
    let (_, placed) = desk.records("holds").pop().unwrap();
    let by = ["actor", "approved_by", "approval_reason"].map(|name| placed["by"][name].clone());
    assert_eq!(by, [json!("admin"), json!("override:admin"), json!("looked at it")]);

    // A rule set, where the policy asks for two more.
    let strict = format!("{RULES}policy p\n  approvals 2 for [hold]\n");
    let wanted = desk.write_rules(&strict);
    let place = desk.request_activation(&wanted, "tonight");
    let early =
        desk.post(&format!("{place}:approve"), Role::RuleApprover, &json!({"reason": "ok"}));
    assert_eq!(early.status, 202, "{early:?}");
    let why = json!({"reason": "the others sleep"});
    let done = desk.post(&format!("{place}:override"), Role::Admin, &why);
    assert_eq!((done.status, &done.body["is_overridden"]), (200, &json!(true)), "{done:?}");
    wait::until(|| desk.active() == wanted, || desk.service.describe());
    let deeds = desk.records("audit").into_iter().map(|(_, record)| record["command"].clone());
    let deeds: Vec<Value> = deeds.filter(|it| it["kind"] == "act").collect();
    let of = |act: &str| deeds.iter().filter(|it| it["act"] == act).collect::<Vec<_>>();
    let overridden = of("request.overridden");
    assert_eq!(overridden.len(), 2, "{deeds:#?}");
    assert_eq!(overridden[1]["by"]["reason"], "the others sleep");
    let active = &of("rules.activated")[0]["by"]["approved_by"];
    assert_eq!(*active, json!("override:admin, rule-approver"));
    assert_eq!(desk.service.metric("riskweir_api_overridden_total"), Some(2.0));
    assert!(desk.service.said().contains("One person does alone what takes two."));
}

#[test]
fn an_approval_lets_a_rule_set_in_to_every_instance_whose_folder_holds_it() {
    let mut settings = vec!["rules.approval=on", "kafka.partitioned_by=account"];
    let mut desk = Desk::open_with(Broker::shared(), "api-every", &settings);
    let shared = format!("snapshot.dir={}", desk.fleet.snapshots("all").display());
    settings.push(&shared);
    desk.restart(&settings);
    desk.wait_listening();
    // The other instance has a folder of its own.
    let own = desk.fleet.folder.path().join("own");
    std::fs::create_dir(&own).unwrap();
    let put = |text: &str| std::fs::write(own.join("rules.risk"), text).unwrap();
    put(RULES);
    let place = format!("rules.path={}", own.display());
    let (other, address) = desk.beside_as("two", &[&settings[..], &[&place]].concat());
    let shown = |path: &str| {
        desk.ask_at(&address, ("GET", path), Some(desk.token(Role::Viewer)), None, &[]).body
    };
    let is_ready = || shown("/v1/status")["has_caught_up"] == true && other.get("/readyz").0 == 200;
    wait::until(is_ready, || other.describe());
    desk.wait_listening();
    let active = || shown("/v1/rules")["digest"].as_str().unwrap_or_default().to_owned();
    let let_in = |text: &str| {
        let wanted = desk.write_rules(text);
        let asked = desk.request_activation(&wanted, "smaller frauds");
        desk.approve(&asked, Role::RuleApprover, "read it");
        wait::until(|| desk.active() == wanted, || desk.service.describe());
        wanted
    };
    let over = |euros: &str| RULES.replace("> 100 EUR", &format!("> {euros} EUR"));
    put(&over("50"));
    let first = let_in(&over("50"));
    wait::until(|| active() == first, || other.describe());
    // Where it does not lie yet nothing changes, and what nobody approved stays out.
    let second = let_in(&over("40"));
    put(&over("1"));
    other.signal("-HUP");
    wait::until(|| other.said().contains("nobody approved it"), || other.describe());
    assert_eq!(active(), first);
    put(&over("40"));
    other.signal("-HUP");
    wait::until(|| active() == second, || other.describe());
}
