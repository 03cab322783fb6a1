//! Rules that are proposed over HTTP: nothing is written before a second person approves it, and then all of it.

use std::fs;

use riskweir::api::roles::Role;
use serde_json::{Value, json};

use crate::desk::{Answer, Desk, RULES};
use crate::support::broker::Broker;
use crate::support::wait;

const WATCHING: &str = "rule watching \"watches\"\n  id \"R-9\"  owner fraud  mode shadow  on pay\n  when amount > 1 EUR\n  then hold for 1h\n";

fn put(desk: &Desk<'_>, role: Role, body: &Value, headers: &[(&str, &str)]) -> Answer {
    desk.ask("PUT", "/v1/rules", Some(desk.token(role)), Some(body), headers)
}

fn proposal(files: &[(&str, Option<&str>)]) -> Value {
    let file = |(path, text): &(&str, Option<&str>)| json!({"path": path, "text": text});
    json!({"reason": "smaller frauds", "files": files.iter().map(file).collect::<Vec<_>>()})
}

fn text(desk: &Desk<'_>, path: &str) -> String {
    fs::read_to_string(desk.fleet.rules().join(path)).unwrap_or_default()
}

#[test]
fn what_an_author_proposes_is_written_and_decides_when_a_second_person_approves_it() {
    let settings = ["rules.approval=on", "api.write_rules=on"];
    let mut desk = Desk::open_with(Broker::shared(), "api-propose", &settings);
    desk.wait_listening();
    let first = desk.active();
    assert_eq!(desk.score("o1", "75.00")["outcome"], "pass");
    let lower = RULES.replace("> 100 EUR", "> 50 EUR");
    let better = proposal(&[("rules.risk", Some(&lower)), ("more/watching.risk", Some(WATCHING))]);
    let tag = format!("\"{first}\"");
    assert_eq!(desk.get("/v1/rules", Role::Viewer).header("etag"), Some(&*tag));

    // What is wrong is told, and kept nowhere.
    let wrong = put(&desk, Role::RuleAuthor, &proposal(&[("rules.risk", Some("rule"))]), &[]);
    assert_eq!((wrong.status, wrong.code()), (400, "bad_body"), "{wrong:?}");
    assert!(wrong.body["findings"][0].is_object(), "{wrong:?}");
    for path in ["../rules.risk", "/etc/x.risk", ".x.risk", "x.rwm", "a//x.risk"] {
        let refused = put(&desk, Role::RuleAuthor, &proposal(&[(path, Some(WATCHING))]), &[]);
        assert_eq!((refused.status, refused.code()), (400, "bad_body"), "{path}: {refused:?}");
    }
    let same = put(&desk, Role::RuleAuthor, &proposal(&[]), &[]);
    assert_eq!((same.status, same.code()), (409, "refused"), "{same:?}");
    let stale = put(&desk, Role::RuleAuthor, &better, &[("If-Match", "\"ffff\"")]);
    assert_eq!((stale.status, &stale.body["digest"]), (409, &json!(first)), "{stale:?}");

    // Two authors looked at the same rules.
    let asked = put(&desk, Role::RuleAuthor, &better, &[("If-Match", &tag)]);
    assert_eq!((asked.status, &asked.body["state"]), (202, &json!("pending")), "{asked:?}");
    let writes = &asked.body["details"]["writes"];
    assert_eq!(*writes, json!(["more/watching.risk", "rules.risk"]), "{asked:?}");
    let wanted = asked.body["about"].as_str().unwrap().to_owned();
    let other = proposal(&[("rules.risk", Some(&RULES.replace("> 900 EUR", "> 800 EUR")))]);
    let other = put(&desk, Role::Admin, &other, &[("If-Match", &tag)]);
    assert_eq!(other.status, 202, "{other:?}");
    assert_eq!((text(&desk, "rules.risk"), desk.active()), (RULES.to_owned(), first.clone()));
    // Whoever approves sees the text.
    let shown = desk.get(&format!("/v1/rules/history/{wanted}"), Role::RuleApprover).body;
    assert_eq!((&shown["decides"], &shown["files"][1]["text"]), (&json!(false), &json!(lower)));

    let place = asked.header("location").unwrap();
    let own = desk.post(&format!("{place}:approve"), Role::RuleAuthor, &json!({"reason": "x"}));
    assert_eq!(own.status, 403, "{own:?}");
    let done = desk.approve(place, Role::RuleApprover, "read it");
    assert_eq!(done.body["state"], "done", "{done:?}");
    wait::until(|| desk.active() == wanted, || desk.service.describe());
    assert_eq!([text(&desk, "rules.risk"), text(&desk, "more/watching.risk")], [&lower, WATCHING]);
    assert_eq!(desk.score("o2", "75.00")["outcome"], "hold");
    // The other one would take back what the first changed.
    let place = format!("{}:approve", other.header("location").unwrap());
    let late = desk.post(&place, Role::RuleApprover, &json!({"reason": "read it, too"}));
    assert_eq!((late.status, &late.body["digest"]), (409, &json!(wanted)), "{late:?}");
    // So nobody has approved it, and somebody may still refuse it.
    let place = other.header("location").unwrap();
    let waits = desk.get(place, Role::Viewer).body;
    assert_eq!((&waits["state"], &waits["approved_by"]), (&json!("pending"), &json!([])));
    assert_eq!(
        desk.post(&format!("{place}:refuse"), Role::RuleApprover, &json!({"reason": "late"}))
            .status,
        200
    );
    assert_eq!(text(&desk, "rules.risk"), lower);

    // It is what two people let in, so a start takes it; and it can be gone back on.
    desk.kill();
    desk.start_again(&settings, &[]);
    desk.wait_listening();
    assert_eq!(desk.active(), wanted);
}

#[test]
fn a_former_rule_set_is_gone_back_to_by_its_digest() {
    let settings = ["rules.watch_interval=0s", "api.write_rules=on"];
    let desk = Desk::open_with(Broker::shared(), "api-back", &settings);
    desk.wait_listening();
    let first = desk.active();
    let lower = RULES.replace("> 100 EUR", "> 50 EUR");
    let second = desk.write_rules(&lower);
    let asked = desk.request_activation(&second, "smaller frauds");
    desk.approve(&asked, Role::RuleApprover, "read it");
    wait::until(|| desk.active() == second, || desk.service.describe());
    let back = desk.request_activation(&first, "too many holds");
    assert_eq!(text(&desk, "rules.risk"), lower);
    desk.approve(&back, Role::RuleApprover, "yes");
    wait::until(|| desk.active() == first, || desk.service.describe());
    assert_eq!(text(&desk, "rules.risk"), RULES);
    // A folder that somebody else changed meanwhile stays as it is.
    let again = desk.request_activation(&second, "no, smaller frauds");
    desk.write_rules(&format!("{RULES}{WATCHING}"));
    let refused = desk.post(&format!("{again}:approve"), Role::Admin, &json!({"reason": "yes"}));
    assert_eq!((refused.status, refused.code()), (409, "stale_state"), "{refused:?}");
    assert_eq!((text(&desk, "rules.risk"), desk.active()), (format!("{RULES}{WATCHING}"), first));
}

#[test]
fn rules_whose_text_is_kept_elsewhere_are_not_written() {
    let mut desk = Desk::open(Broker::shared(), "api-elsewhere");
    desk.wait_listening();
    let more = proposal(&[("more.risk", Some(WATCHING))]);
    let code = |desk: &Desk<'_>, body: &Value| {
        let answer = put(desk, Role::RuleAuthor, body, &[]);
        (answer.status, answer.code().to_owned(), answer.body["detail"].to_string())
    };
    // Where the folder is followed everything in it decides at once, so nothing may be written for one person.
    let (status, name, detail) = code(&desk, &more);
    assert_eq!((status, &*name), (501, "not_configured"), "{detail}");
    assert!(detail.contains("rules.watch_interval"), "{detail}");
    desk.restart(&["rules.watch_interval=0s"]);
    desk.wait_listening();
    let (status, name, detail) = code(&desk, &more);
    assert_eq!((status, &*name), (501, "not_configured"), "{detail}");
    assert!(detail.contains("api.write_rules"), "{detail}");

    // As Kubernetes lays a ConfigMap: the files are links.
    let folder = desk.fleet.rules();
    fs::create_dir(folder.join("..2026")).unwrap();
    fs::rename(folder.join("rules.risk"), folder.join("..2026/rules.risk")).unwrap();
    std::os::unix::fs::symlink("..2026/rules.risk", folder.join("rules.risk")).unwrap();
    desk.restart(&["rules.watch_interval=0s", "api.write_rules=on"]);
    desk.wait_listening();
    let lower = RULES.replace("> 100 EUR", "> 50 EUR");
    let (status, name, detail) = code(&desk, &proposal(&[("rules.risk", Some(&lower))]));
    assert_eq!((status, &*name), (501, "not_configured"), "{detail}");
    assert!(detail.contains("ConfigMap"), "{detail}");
    assert_eq!(text(&desk, "..2026/rules.risk"), RULES);
}

#[test]
fn a_change_of_the_folder_that_a_crash_cut_off_is_done_at_the_next_start() {
    let desk = Desk::open(Broker::shared(), "api-cut");
    desk.wait_listening();
    let first = desk.active();
    desk.kill();
    // Decided, and nothing of it done yet.
    let folder = desk.fleet.rules();
    let pending = folder.join(".riskweir-change");
    fs::create_dir(&pending).unwrap();
    fs::write(pending.join("0"), RULES.replace("> 100 EUR", "> 50 EUR")).unwrap();
    fs::write(pending.join("manifest.json"), r#"{"put":["rules.risk"],"drop":[]}"#).unwrap();
    let mut desk = desk;
    desk.start_again(&[], &[]);
    desk.wait_listening();
    assert_ne!(desk.active(), first);
    assert_eq!(desk.score("u1", "75.00")["outcome"], "hold");
    assert!(!pending.exists() && text(&desk, "rules.risk").contains("> 50 EUR"));
}
