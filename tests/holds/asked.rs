//! Lists and snoozes that people change while the stream runs, held against what the handbook says and a naive model.

use std::collections::BTreeMap;
use std::sync::Arc;

use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, OutputTopic, Restore, SnapshotStatus};
use riskweir::rules::program::Program;
use serde_json::{Value, json};

use super::support::dice::Dice;
use super::{DAY_MS, Desk, MINUTE_MS, START_MS, time};

const RULES: &str = r#"
event pay from "t"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  key   ip     : ip?
  field amount : money currency EUR
entity holder = pay.card
list blocked : card expires 1d
list noted   : card
list nets    : ip from "nets.csv"
list limits  : card gives integer from "limits.csv"
rule is_blocked
  id "R-1"
  owner fraud
  severity high
  on pay
  when card in blocked or card in noted or ip in nets
  if missing skip
  then block
rule large
  id "R-2"
  owner fraud
  severity high
  on pay
  when amount > 100 EUR
  then hold for 1h
rule larger
  id "R-3"
  owner fraud
  severity high
  mandatory
  on pay
  when amount > 900 EUR
  then hold for 1h
"#;

fn program(rules: &str) -> Arc<Program> {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let files = vec![
        source("a.risk", rules),
        source("limits.csv", "value,gives\nc1,3\n"),
        source("nets.csv", "value\n10.0.0.0/8\n10.1.0.0/16\n192.0.2.1\n"),
    ];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
}

fn desk() -> Desk {
    Desk::of(Engine::new(program(RULES), EngineOptions::default()).unwrap(), 0)
}

fn command(id: &str, kind: &str, more: &Value) -> Value {
    let mut command = json!({
        "schema": "riskweir.command.v1", "command_id": id, "kind": kind, "actor": "ann", "reason": "asked",
    });
    command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    command
}

/// Result and cause of the one answer that a command has.
fn told(desk: &mut Desk, now_ms: i64, command: &Value) -> String {
    let out = desk.command(now_ms, command);
    let [(OutputTopic::Audit, audit)] = &out[..] else { panic!("{out:#?}") };
    let answer = &audit["command"];
    let text = |name: &str| answer[name].as_str().unwrap_or("");
    assert_eq!(text("kind"), command["kind"]);
    for member in ["list", "value", "rule", "key", "until"] {
        assert_eq!(answer.get(member), command.get(member), "{answer:#}");
    }
    format!("{} {}", text("result"), text("cause")).trim().to_owned()
}

/// The decision about a payment.
fn decided(desk: &mut Desk, (id, now_ms): (&str, i64), card: &str, amount: &str) -> Value {
    let ip = "2001:db8::1";
    let body =
        format!(r#"{{"id":"{id}","at":{now_ms},"card":"{card}","ip":"{ip}","amount":"{amount}"}}"#);
    let out = desk.step("t", now_ms, &body);
    let decision = out.iter().find(|(topic, _)| *topic == OutputTopic::Decisions);
    decision.unwrap().1.clone()
}

fn outcome(desk: &mut Desk, at: (&str, i64), card: &str, amount: &str) -> String {
    decided(desk, at, card, amount)["outcome"].as_str().unwrap().to_owned()
}

#[test]
fn a_value_is_on_a_list_from_the_command_until_its_end() {
    let mut desk = desk();
    let add = |id: &str, list: &str, more: Value| {
        let mut command = command(id, "list.add", &json!({"list": list, "value": "c1"}));
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        command
    };
    let at = |minutes: i64| START_MS + minutes * MINUTE_MS;
    assert_eq!(outcome(&mut desk, ("p1", at(0)), "c1", "1.00"), "pass");
    // As long as the list says: a day.
    assert_eq!(told(&mut desk, at(1), &add("a", "blocked", json!({}))), "done");
    assert_eq!(outcome(&mut desk, ("p2", at(2)), "c1", "1.00"), "block");
    assert_eq!(outcome(&mut desk, ("p3", at(2)), "c2", "1.00"), "pass");
    let day = at(1) + DAY_MS;
    assert_eq!(outcome(&mut desk, ("p4", day - 1), "c1", "1.00"), "block");
    assert_eq!(outcome(&mut desk, ("p5", day), "c1", "1.00"), "pass");
    // Until the command's own end, which may be nearer than what was said before; for ever where nobody says one.
    let until = |ms: i64| json!({"until": time(ms)});
    assert_eq!(told(&mut desk, day, &add("b", "blocked", json!({}))), "done");
    assert_eq!(told(&mut desk, day, &add("c", "blocked", until(day + MINUTE_MS))), "done");
    assert_eq!(outcome(&mut desk, ("p6", day + MINUTE_MS - 1), "c1", "1.00"), "block");
    assert_eq!(outcome(&mut desk, ("p7", day + MINUTE_MS), "c1", "1.00"), "pass");
    let year = day + 365 * DAY_MS;
    for expected in ["done", "repeated"] {
        assert_eq!(told(&mut desk, day + MINUTE_MS, &add("d", "noted", json!({}))), expected);
    }
    assert_eq!(outcome(&mut desk, ("p8", year), "c1", "1.00"), "block");
    // Taken off it is off, and only once.
    let off = |id: &str| command(id, "list.remove", &json!({"list": "noted", "value": "c1"}));
    assert_eq!(told(&mut desk, year, &off("e")), "done");
    assert_eq!(outcome(&mut desk, ("p9", year), "c1", "1.00"), "pass");
    assert_eq!(told(&mut desk, year, &off("f")), "refused not_on_list");
    for (id, list, more, expected) in [
        ("g", "nobody", json!({}), "refused unknown_list"),
        ("h", "limits", json!({}), "refused list_gives_values"),
        ("i", "blocked", until(year), "refused past"),
        ("j", "nets", json!({}), "refused wrong_type"),
    ] {
        assert_eq!(told(&mut desk, year, &add(id, list, more)), expected);
    }
    // An address is meant however it is written.
    let net = json!({"list": "nets", "value": "2001:0DB8:0::0001"});
    assert_eq!(told(&mut desk, year, &command("k", "list.add", &net)), "done");
    assert_eq!(outcome(&mut desk, ("p10", year), "c7", "1.00"), "block");
}

/// By hand: 10.1.2.3 lies in 10.1.0.0/16 and in 10.0.0.0/8, 10.200.0.1 in the second alone, 192.0.2.1 is named by itself.
#[test]
fn an_address_that_a_network_of_the_file_holds_is_not_taken_off_and_the_answer_says_so() {
    let mut desk = desk();
    let blocked = |desk: &mut Desk, id: &str, ip: &str| {
        let body = json!({"id": id, "at": START_MS, "card": "c1", "ip": ip, "amount": "1.00"});
        let out = desk.step("t", START_MS, &body.to_string());
        out[0].1["outcome"] == "block"
    };
    let mut n_commands = 0;
    let mut asked = |desk: &mut Desk, kind: &str, ip: &str| {
        n_commands += 1;
        let id = format!("c{n_commands}");
        let out =
            desk.command(START_MS, &command(&id, kind, &json!({"list": "nets", "value": ip})));
        let told = &out.last().unwrap().1["command"];
        let text = |name: &str| told[name].as_str().unwrap_or("").to_owned();
        [text("result"), text("cause"), text("covered_by")]
    };
    let refused = |network: &str| ["refused", "in_network", network].map(str::to_owned);
    assert_eq!(asked(&mut desk, "list.remove", "10.1.2.3"), refused("10.1.0.0/16"));
    assert_eq!(asked(&mut desk, "list.remove", "::ffff:10.200.0.1"), refused("10.0.0.0/8"));
    assert!(blocked(&mut desk, "p1", "10.1.2.3") && blocked(&mut desk, "p2", "10.200.0.1"));
    // Also where somebody put it there by itself: it would stay on the list.
    assert_eq!(asked(&mut desk, "list.add", "10.1.2.3"), ["done", "", ""]);
    assert_eq!(asked(&mut desk, "list.remove", "10.1.2.3"), refused("10.1.0.0/16"));
    // One that the file names by itself goes.
    assert!(blocked(&mut desk, "p3", "192.0.2.1"));
    assert_eq!(asked(&mut desk, "list.remove", "192.0.2.1"), ["done", "", ""]);
    assert!(!blocked(&mut desk, "p4", "192.0.2.1"));
    assert_eq!(asked(&mut desk, "list.remove", "192.0.2.1"), ["refused", "not_on_list", ""]);
}

#[test]
fn a_rule_is_silent_about_one_key_until_the_snooze_ends() {
    let mut desk = desk();
    let snooze = |id: &str, (rule, key, value): (&str, &str, &str), until_ms: i64| {
        let about = json!({"rule": rule, "key": key, "value": value, "until": time(until_ms)});
        command(id, "snooze.set", &about)
    };
    let hour = START_MS + 60 * MINUTE_MS;
    let own = ("R-2", "card", "c1");
    assert_eq!(outcome(&mut desk, ("p1", START_MS), "c1", "500.00"), "hold");
    assert_eq!(told(&mut desk, START_MS, &snooze("a", own, hour)), "done");
    let decision = decided(&mut desk, ("p2", START_MS), "c1", "500.00");
    let expected = json!([{"rule": "R-2", "name": "large", "key": "card", "until": time(hour), "owner": "ann",
        "reason": "asked"}]);
    assert_eq!((&decision["outcome"], &decision["snoozed"]), (&json!("pass"), &expected));
    assert_eq!(outcome(&mut desk, ("p3", START_MS), "c2", "500.00"), "hold");
    // The mandatory rule speaks as ever, and cannot be silenced.
    assert_eq!(outcome(&mut desk, ("p4", START_MS), "c1", "950.00"), "hold");
    // By the name of an entity, too, and it ends by a command or by itself.
    let holder = ("R-2", "holder", "c3");
    assert_eq!(told(&mut desk, START_MS, &snooze("b", holder, hour)), "done");
    assert_eq!(outcome(&mut desk, ("p5", hour - 1), "c3", "500.00"), "pass");
    let end = json!({"rule": "R-2", "key": "holder", "value": "c3"});
    assert_eq!(told(&mut desk, hour - 1, &command("c", "snooze.end", &end)), "done");
    assert_eq!(outcome(&mut desk, ("p6", hour - 1), "c3", "500.00"), "hold");
    assert_eq!(told(&mut desk, hour, &command("d", "snooze.end", &end)), "refused not_snoozed");
    assert_eq!(outcome(&mut desk, ("p7", hour), "c1", "500.00"), "hold");
    for (id, about, until_ms, expected) in [
        ("e", ("R-9", "card", "c1"), hour + DAY_MS, "refused unknown_rule"),
        ("f", ("R-2", "device", "c1"), hour + DAY_MS, "refused unknown_key"),
        ("g", ("R-2", "amount", "c1"), hour + DAY_MS, "refused unknown_key"),
        ("h", ("R-3", "card", "c1"), hour + DAY_MS, "refused mandatory"),
        ("i", own, hour, "refused past"),
        ("j", own, hour + 180 * DAY_MS + 1, "refused too_long"),
        ("k", own, hour + 180 * DAY_MS, "done"),
    ] {
        assert_eq!(told(&mut desk, hour, &snooze(id, about, until_ms)), expected, "{id}");
    }
}

/// It is known by the rule's id and the key's name. A rule that becomes mandatory acts.
#[test]
fn another_rule_set_keeps_what_was_snoozed() {
    let mut desk = desk();
    let about =
        json!({"rule": "R-2", "key": "card", "value": "c1", "until": time(START_MS + DAY_MS)});
    assert_eq!(told(&mut desk, START_MS, &command("a", "snooze.set", &about)), "done");
    let renamed = RULES.replace("rule large\n", "rule very_large\n").replace("> 100", "> 50");
    desk.engine.activate(program(&renamed)).unwrap();
    let decision = decided(&mut desk, ("p1", START_MS), "c1", "60.00");
    assert_eq!(decision["snoozed"][0]["name"], "very_large");
    let mandatory = RULES.replace("id \"R-2\"", "id \"R-2\"\n  mandatory");
    desk.engine.activate(program(&mandatory)).unwrap();
    assert_eq!(outcome(&mut desk, ("p2", START_MS), "c1", "500.00"), "hold");
}

/// What is on the list and what is silent, by when it ends.
#[derive(Default)]
struct Naive {
    listed: BTreeMap<String, i64>,
    silent: BTreeMap<String, i64>,
}

impl Naive {
    fn outcome(&self, card: &str, now_ms: i64) -> &'static str {
        let holds = |book: &BTreeMap<String, i64>| book.get(card).is_some_and(|end| *end > now_ms);
        match (holds(&self.listed), holds(&self.silent)) {
            (true, _) => "block",
            (false, true) => "pass",
            (false, false) => "hold",
        }
    }
}

#[test]
fn random_changes_of_lists_and_snoozes_do_what_a_naive_model_says_across_a_restore() {
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for seed in 0..60 {
        let dice = &mut Dice::new(seed);
        let (mut desk, mut naive, mut now_ms) = (desk(), Naive::default(), START_MS);
        for n in 0..120 {
            now_ms += dice.pick(&[0, 1, 1_000, MINUTE_MS, 20 * MINUTE_MS]);
            let card = format!("c{}", dice.below(3));
            let until_ms = now_ms + dice.pick(&[1, MINUTE_MS, 60 * MINUTE_MS, DAY_MS]);
            let id = format!("n{n}");
            let list = json!({"list": "noted", "value": card});
            let rule = json!({"rule": "R-2", "key": "card", "value": card});
            let with_end = |about: &Value| {
                let mut about = about.clone();
                about["until"] = json!(time(until_ms));
                about
            };
            let is_on =
                |book: &BTreeMap<String, i64>| book.get(&card).is_some_and(|end| *end > now_ms);
            match dice.below(8) {
                0 => {
                    assert_eq!(
                        told(&mut desk, now_ms, &command(&id, "list.add", &with_end(&list))),
                        "done"
                    );
                    naive.listed.insert(card, until_ms);
                }
                1 => {
                    assert_eq!(
                        told(&mut desk, now_ms, &command(&id, "snooze.set", &with_end(&rule))),
                        "done"
                    );
                    naive.silent.insert(card, until_ms);
                }
                2 => {
                    let answer = told(&mut desk, now_ms, &command(&id, "list.remove", &list));
                    let expected =
                        if is_on(&naive.listed) { "done" } else { "refused not_on_list" };
                    assert_eq!(answer, expected, "seed {seed}, step {n}");
                    naive.listed.remove(&card);
                }
                3 => {
                    let answer = told(&mut desk, now_ms, &command(&id, "snooze.end", &rule));
                    let expected =
                        if is_on(&naive.silent) { "done" } else { "refused not_snoozed" };
                    assert_eq!(answer, expected, "seed {seed}, step {n}");
                    naive.silent.remove(&card);
                }
                _ => {
                    let expected = naive.outcome(&card, now_ms);
                    let found = outcome(&mut desk, (&id, now_ms), &card, "500.00");
                    assert_eq!(found, expected, "seed {seed}, step {n}");
                    *seen.entry(found).or_default() += 1;
                }
            }
            if n == 60 {
                let mut bytes = Vec::new();
                desk.engine.begin_snapshot();
                while desk.engine.snapshot_part(256, &mut bytes) == SnapshotStatus::More {}
                let mut restore = Restore::new(program(RULES), EngineOptions::default());
                restore.part(&bytes).unwrap();
                desk = Desk::of(restore.finish().unwrap(), desk.offset);
            }
        }
    }
    assert!(["block", "pass", "hold"].iter().all(|word| seen[*word] > 300), "{seen:?}");
}

const ALERTS: &str = r#"
event pay from "t"
  id    id     : text
  time  at     : time unit ms
  key   card   : card
  field amount : money currency EUR
rule any
  id "R-1"
  owner fraud
  severity low
  on pay
  when amount > 0 EUR
  then alert queue l1 once per card per 1h
rule each
  id "R-2"
  owner fraud
  severity low
  on pay
  when amount > 50 EUR
  then alert queue l1
"#;

/// The alerts of a payment: rule, id of the episode, and where in it.
fn alerts(desk: &mut Desk, id: &str, at_ms: i64, amount: &str) -> Vec<(String, String, Value)> {
    let body = format!(r#"{{"id":"{id}","at":{at_ms},"card":"c1","amount":"{amount}"}}"#);
    let records = desk.step("t", at_ms, &body);
    let alerts = records.into_iter().filter(|(topic, _)| *topic == OutputTopic::Alerts);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    alerts
        .map(|(_, alert)| {
            let episode = &alert["episode"];
            let standing = json!([episode["seq"], episode["count"], episode["thinned"]]);
            (text(&alert["rule"]), text(&episode["id"]), standing)
        })
        .collect()
}

#[test]
fn a_closed_episode_is_told_with_its_hits_and_what_comes_raises_a_new_one() {
    let mut desk = Desk::of(Engine::new(program(ALERTS), EngineOptions::default()).unwrap(), 0);
    let at = |minutes: i64| START_MS + minutes * MINUTE_MS;
    let first_at = riskweir::base::time::format_rfc3339(START_MS);
    let first = alerts(&mut desk, "p1", at(0), "10.00");
    let [(_, episode, standing)] = &first[..] else { panic!("{first:#?}") };
    assert_eq!(*standing, json!([1, 1, 0]));
    assert_eq!(alerts(&mut desk, "p2", at(1), "10.00"), []);
    assert_eq!(alerts(&mut desk, "p3", at(2), "11.00"), []);
    // It is known after a restart, too.
    let bytes = desk.snapshot();
    let mut restore = Restore::new(program(ALERTS), EngineOptions::default());
    restore.part(&bytes).unwrap();
    let mut desk = Desk::of(restore.finish().unwrap(), desk.offset);
    let close = json!({"episode": episode, "finding": "false_positive"});
    let close = |id: &str| command(id, "alert.close", &close);
    let answer = |records: &[(OutputTopic, Value)]| {
        let Some((OutputTopic::Audit, record)) = records.last() else { panic!("{records:#?}") };
        let said = &record["command"];
        ["result", "episode", "finding", "count", "thinned"].map(|member| said[member].clone())
    };
    let (done, finding) = (json!("done"), json!("false_positive"));
    let expected = [done.clone(), json!(episode), finding.clone(), json!(3), json!(2)];
    let closed = desk.command(at(3), &close("k1"));
    assert_eq!(answer(&closed), expected);
    // The end is told beside the alerts, once, with the hits it stood for and who closed it.
    let [(OutputTopic::Episodes, end), _] = &closed[..] else { panic!("{closed:#?}") };
    let members = ["episode_id", "rule", "closed", "alerts", "hits", "thinned"];
    let told = members.map(|member| end[member].clone());
    let expected = [episode.as_str(), "R-1", "command"].map(Value::from);
    assert_eq!((&told[..3], &told[3..]), (&expected[..], &[json!(1), json!(3), json!(2)][..]));
    assert_eq!(end["by"]["command_id"], "k1");
    assert_eq!(end["last_alert_at"], first_at);
    let ends = |records: &[(OutputTopic, Value)]| {
        records.iter().filter(|(topic, _)| *topic == OutputTopic::Episodes).count()
    };
    // The same command again; another one about what has ended.
    let again = [json!("repeated"), json!(episode), finding.clone(), Value::Null, Value::Null];
    let repeated = desk.command(at(3), &close("k1"));
    assert_eq!((answer(&repeated), ends(&repeated)), (again, 0));
    let ended = [done, json!(episode), finding, Value::Null, Value::Null];
    let later = desk.command(at(3), &close("k2"));
    assert_eq!((answer(&later), ends(&later)), (ended, 0));
    // What comes near it is a new one.
    let next = alerts(&mut desk, "p4", at(4), "60.00");
    let rules: Vec<&str> = next.iter().map(|(rule, ..)| rule.as_str()).collect();
    assert_eq!(rules, ["R-1", "R-2"]);
    assert_eq!((&next[0].2, next[0].1 == *episode), (&json!([1, 1, 0]), false));
    // An alert that stands alone is closed by what stands in the audit.
    let alone = json!({"episode": next[1].1});
    let closed = answer(&desk.command(at(5), &command("k3", "alert.close", &alone)));
    assert_eq!((&closed[0], &closed[2], &closed[3]), (&json!("done"), &Value::Null, &Value::Null));
    assert_eq!(alerts(&mut desk, "p5", at(5), "61.00").len(), 1, "R-1 is thinned still");
}
