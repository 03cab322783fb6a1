//! Which rule set decided when, and going back to a former one.

use riskweir::api::roles::Role;
use serde_json::{Value, json};

use crate::desk::{Desk, RULES};
use crate::support::broker::Broker;
use crate::support::wait;

/// Who let it in, as `by` of an item of the history tells it.
fn people(item: &Value) -> [Value; 4] {
    ["act", "actor", "reason", "approved_by"].map(|name| item["by"][name].clone())
}

#[test]
fn the_history_names_each_rule_set_who_let_it_in_and_what_was_different() {
    let store = std::env::temp_dir().join(format!("riskweir-history-{}", std::process::id()));
    let store = format!("api.store={}", store.display());
    let settings = ["rules.watch_interval=0s", &store];
    let mut desk = Desk::open_with(Broker::shared(), "api-history", &settings);
    desk.wait_listening();
    let history = |desk: &Desk<'_>, query: &str| {
        desk.get(&format!("/v1/rules/history{query}"), Role::Viewer).body
    };
    let digests = |desk: &Desk<'_>| -> Vec<String> {
        let items = history(desk, "")["items"].as_array().unwrap().clone();
        items.iter().map(|it| it["digest"].as_str().unwrap().to_owned()).collect()
    };
    desk.score("y1", "5.00");
    let first = desk.active();
    wait::until(|| digests(&desk) == [first.clone()], || format!("{:?}", digests(&desk)));
    let begun = history(&desk, "")["items"][0].clone();
    assert_eq!([&begun["by"], &begun["changes"], &begun["before"]], [&Value::Null; 3]);
    assert_eq!((&begun["live_rules"], &begun["has_files"]), (&json!(3), &json!(true)));

    let lower = RULES.replace("> 100 EUR", "> 50 EUR");
    let second = desk.write_rules(&lower);
    let asked = desk.request_activation(&second, "smaller frauds");
    desk.approve(&asked, Role::Admin, "read the plan");
    wait::until(|| desk.active() == second, || desk.service.describe());
    desk.score("y2", "75.00");
    let both = [second.clone(), first.clone()];
    wait::until(|| digests(&desk) == both, || format!("{:?}", digests(&desk)));
    let changed = || history(&desk, "")["items"][0]["changes"].clone();
    let expected = json!({"added": [], "removed": [], "changed": ["rule large"]});
    wait::until(|| changed() == expected, || changed().to_string());
    let item = history(&desk, "")["items"][0].clone();
    let who = ["rules.activated", "rule-author", "smaller frauds", "admin"].map(|it| json!(it));
    assert_eq!((people(&item), &item["before"]), (who, &json!(first)));

    // Pages hang together.
    let page = history(&desk, "?limit=1");
    assert_eq!(page["items"][0]["digest"], json!(second));
    let next = page["next"].as_str().unwrap();
    let rest = history(&desk, &format!("?limit=1&cursor={next}"));
    assert_eq!((&rest["items"][0]["digest"], &rest["next"]), (&json!(first), &Value::Null));

    // What decided before is known by its text, and a plan says what going back would change, also after a restart.
    desk.restart(&settings);
    desk.wait_listening();
    let former = desk.get(&format!("/v1/rules/history/{first}"), Role::Viewer).body;
    let file = &former["files"][0];
    assert_eq!((&file["path"], &file["text"]), (&json!("rules.risk"), &json!(RULES)));
    assert_eq!(former["decides"], json!(false));
    let back =
        desk.post("/v1/rules:plan", Role::RuleAuthor, &json!({"digest": first, "files": []}));
    assert_eq!((&back.body["from"], &back.body["to"]), (&json!(second), &json!(first)));
    let unknown = json!({"digest": "ffff", "files": []});
    assert_eq!(desk.post("/v1/rules:plan", Role::RuleAuthor, &unknown).status, 404);
    assert_eq!(desk.get("/v1/rules/history/ffff", Role::Viewer).status, 404);
    // The trail finds when it became active.
    let trail = desk.get(&format!("/v1/audit?kind=ruleset_active&about={first}"), Role::Auditor);
    assert_eq!(trail.body["items"][0]["entry"]["ruleset"], json!(first));
}
