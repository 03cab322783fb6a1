//! What nobody may store goes in, in good records and in broken ones, and none of it comes out: by no output, log, metric, answer,
//! snapshot, nor in the read model.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use riskweir::api::roles::Role;
use riskweir::base::NeverStore;
use riskweir::diag::{Source, Sources};
use riskweir::engine::{Engine, EngineOptions, Input, Output, SnapshotStatus};
use riskweir::rules::compile;
use serde_json::Value;

use crate::desk::{Desk, RULES, now_ms};
use crate::support::broker::Broker;
use crate::support::dice::Dice;
use crate::support::topics::{Isolation, NewRecord};
use crate::support::wait;

/// A record, what of it nobody may store, and how many members that is; `None`: it ends somewhere among them.
struct Made {
    body: Vec<u8>,
    secrets: Vec<String>,
    n_members: Option<u64>,
}

/// Members with secrets, wherever one can stand and however its name is written.
const PLACES: [&str; 8] = [
    r##""cvv":"#""##,
    r##""card":{"CVC2" : "#","brand":"x"}"##,
    r##""pin_block":{"format":"#","data":["#"]}"##,
    r##""Track-2":"\"#\\""##,
    r#""\u0070in":#"#,
    r##""extra":[1,{"security_code":"#","x":null}]"##,
    r#""magStripe":"%B1^A/B^#?;1=#?""#,
    r#""cvv_result":"M""#,
];

/// How many members of each place are none to be stored: one, but for the result of a check.
fn n_members(place: usize) -> u64 {
    u64::from(place + 1 < PLACES.len())
}

/// A payment with some of them; every third one is broken in one of several ways.
fn payment(way: char, n: u64, dice: &mut Dice) -> Made {
    let (mut text, mut secrets, mut count) = (String::new(), Vec::new(), 0);
    for (place, member) in PLACES.iter().enumerate() {
        if dice.one_in(2) {
            continue;
        }
        count += n_members(place);
        for (at, part) in member.split('#').enumerate() {
            if at > 0 {
                let secret = format!("7{:011}", dice.below(100_000_000_000));
                text.push_str(&secret);
                secrets.push(secret);
            } else {
                text.push(',');
            }
            text.push_str(part);
        }
    }
    let head =
        format!(r#"{{"id":"{way}{n}","at":{},"account":"a-{way}{n}","amount":"5.00""#, now_ms());
    let whole = format!("{head}{text}}}");
    let (body, n_members) = match dice.below(9) {
        0 => (whole.replace(r#""amount":"5.00""#, r#""amount":"x""#), Some(count)),
        1 => {
            let mut cut = whole.into_bytes();
            cut.truncate(head.len() + usize::try_from(dice.below(text.len() as u64 + 1)).unwrap());
            return Made { body: cut, secrets, n_members: None };
        }
        2 => (format!("<payment>{}</payment>", tags(&mut secrets, dice)), Some(2)),
        _ => (whole, Some(count)),
    };
    Made { body: body.into_bytes(), secrets, n_members }
}

/// Two of them as another form writes them.
fn tags(secrets: &mut Vec<String>, dice: &mut Dice) -> String {
    let mut secret = || {
        let secret = format!("8{:011}", dice.below(100_000_000_000));
        secrets.push(secret.clone());
        secret
    };
    format!("<cvv>{}</cvv><card pin='{}'/>", secret(), secret())
}

/// A text with the bytes of a dead letter as who reads it sees them.
fn seen(body: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(body).into_owned();
    let value: Option<Value> = serde_json::from_slice(body).ok();
    if let Some(raw) = value.as_ref().and_then(|value| value["raw_base64"].as_str()) {
        text.push_str(&String::from_utf8_lossy(&BASE64.decode(raw).unwrap()));
    }
    text
}

/// None of them stands there, nor a part that would do.
#[track_caller]
fn assert_clean(text: &str, secrets: &BTreeSet<String>, what: &str) {
    for secret in secrets {
        // A record may be cut within one: its first eight digits are enough to know it by.
        let beginning = format!("\"{}", &secret[..8]);
        assert!(!text.contains(secret) && !text.contains(&beginning), "{what}: {secret} in {text}");
    }
}

#[test]
fn nothing_that_nobody_may_store_is_in_any_output_nor_in_the_state_and_it_is_counted() {
    let files = vec![Source { path: "rules.risk".to_owned(), text: RULES.to_owned() }];
    let (program, found) = compile(&Sources::of(files));
    let program = Arc::new(program.unwrap_or_else(|| panic!("{found:#?}")));
    for seed in 0..40 {
        let mut dice = Dice::new(seed);
        let mut engine = Engine::new(Arc::clone(&program), EngineOptions::default()).unwrap();
        let stream = engine.open_stream("payments", 0);
        let (mut secrets, mut outputs) = (BTreeSet::new(), Vec::<Output>::new());
        for n in 0..60 {
            let made = payment('e', n, &mut dice);
            let counted = |engine: &Engine| {
                engine.counters().never_stored.get("payments").copied().unwrap_or(0)
            };
            let before = counted(&engine);
            let (offset, payload) = (i64::try_from(n).unwrap(), Some(&made.body[..]));
            engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut outputs);
            let text = String::from_utf8_lossy(&made.body);
            if let Some(n_members) = made.n_members {
                assert_eq!(counted(&engine) - before, n_members, "seed {seed}: {text}");
            }
            secrets.extend(made.secrets);
        }
        for output in &outputs {
            assert_clean(&seen(&output.body), &secrets, &format!("seed {seed}"));
        }
        let mut state = Vec::new();
        engine.begin_snapshot();
        while engine.snapshot_part(1 << 20, &mut state) == SnapshotStatus::More {}
        assert_clean(&String::from_utf8_lossy(&state), &secrets, &format!("seed {seed}"));
    }
}

#[test]
fn nothing_that_nobody_may_store_leaves_the_service_or_stays_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("api.store={}", folder.path().join("model.sqlite").display());
    let settings = [store.as_str(), "log.level=debug"];
    let desk = Desk::open_with(Broker::shared(), "api-never", &settings);
    desk.wait_listening();
    let mut dice = Dice::new(11);
    let payments: Vec<Made> = (0..120).map(|n| payment('k', n, &mut dice)).collect();
    let asked: Vec<Made> = (0..30).map(|n| payment('h', n, &mut dice)).collect();
    let secrets: BTreeSet<String> =
        payments.iter().chain(&asked).flat_map(|made| made.secrets.clone()).collect();
    let record =
        |made: &Made| NewRecord { timestamp_ms: None, ..NewRecord::new("k", made.body.clone(), 0) };
    let records: Vec<NewRecord> = payments.iter().map(record).collect();
    desk.fleet.broker.produce(&desk.fleet.input(), &records);
    let token = Some(desk.token(Role::Service));
    let json = [("Content-Type", "application/json")];
    let mut told: Vec<String> = asked
        .iter()
        .map(|made| desk.raw("POST", "/v1/score?deadline=30s", token, &made.body, &json).text)
        .collect();
    desk.service.wait_done(120);
    told.extend(written_over_http(&desk, &payments));
    let letters = || desk.get("/v1/dlq?limit=200", Role::Auditor);
    let n_letters = desk.records("dead_letter").len();
    let known = || letters().body["items"].as_array().map_or(0, Vec::len);
    wait::until(|| known() == n_letters, || letters().text);
    for letter in letters().body["items"].as_array().unwrap() {
        let path = format!("/v1/dlq/{}", letter["number"].as_str().unwrap());
        told.push(seen(desk.get(&path, Role::Admin).text.as_bytes()));
    }
    told.extend([letters().text, desk.get("/v1/decisions?limit=200", Role::Viewer).text]);
    for name in ["decisions", "alerts", "holds", "audit", "dead_letter"] {
        told.extend(desk.records(name).iter().map(|(_, it)| seen(it.to_string().as_bytes())));
    }
    assert!(told.iter().any(|text| text.contains("raw_blanked")), "some of them were broken");
    let counted = desk.service.metric("riskweir_sad_dropped_total").unwrap();
    let whole: u64 = payments.iter().filter_map(|made| made.n_members).sum();
    assert!(counted >= f64::from(u32::try_from(whole).unwrap()), "{counted} of {whole}");
    told.push(desk.service.get("/metrics").1);
    let snapshots = desk.fleet.snapshots("one");
    told.push(desk.service.stop_in_order());
    let files = [folder.path(), &snapshots.join("all")].map(|at| std::fs::read_dir(at).unwrap());
    let files: Vec<_> = files.into_iter().flatten().map(|file| file.unwrap().path()).collect();
    assert!(files.iter().any(|file| file.extension().is_some_and(|it| it == "rws")), "{files:?}");
    assert!(files.iter().any(|file| file.ends_with("model.sqlite")), "{files:?}");
    told.extend(
        files
            .iter()
            .map(|file| String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned()),
    );
    for text in &told {
        assert_clean(text, &secrets, "the service");
    }
}

/// What lies in the input topic beside these records of a producer's: the service wrote it.
fn written_over_http(desk: &Desk<'_>, produced: &[Made]) -> Vec<String> {
    let bodies: BTreeSet<&[u8]> = produced.iter().map(|made| made.body.as_slice()).collect();
    let all = desk.fleet.broker.read(&desk.fleet.input(), Isolation::Committed);
    let bodies_of_all = all.into_iter().filter_map(|record| record.payload);
    let ours: Vec<Vec<u8>> = bodies_of_all.filter(|body| !bodies.contains(&**body)).collect();
    assert!(!ours.is_empty());
    ours.iter().map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

/// Names of the configuration replace those that are known, and rules that read one are not taken.
#[test]
fn a_field_that_reads_what_the_configuration_says_is_never_stored_is_refused() {
    let own = "privacy.never_store=door_code,Account-Key";
    let desk = Desk::open_with(Broker::shared(), "api-never-own", &[own]);
    desk.wait_listening();
    let body = format!(
        r#"{{"id":"o1","at":{},"account":"a","amount":"x","doorCode":"7001","pin":"1234"}}"#,
        now_ms()
    );
    let json = [("Content-Type", "application/json")];
    let token = Some(desk.token(Role::Service));
    let refused = desk.raw("POST", "/v1/score?deadline=30s", token, body.as_bytes(), &json);
    assert_eq!(refused.status, 422, "{refused:?}");
    let letters = desk.records("dead_letter");
    let raw = BASE64.decode(letters[0].1["raw_base64"].as_str().unwrap()).unwrap();
    let raw = String::from_utf8(raw).unwrap();
    assert!(raw.contains(r#""doorCode":"****","pin":"1234"}"#), "{raw}");
    // The rules of a start, and those of a reload, are held to it.
    let rules = RULES.replace(r#"from "/account""#, r#"from "/account_key""#);
    std::fs::write(desk.fleet.rules().join("rules.risk"), rules).unwrap();
    desk.service.signal("-HUP");
    let said = || desk.service.said();
    let words = "`pay.account` reads `account_key`, whose values are never stored";
    wait::until(|| said().contains(words), said);
    assert_eq!(desk.score("o2", "5.00")["outcome"], "pass", "the rules before decide");
    let (code, said) = desk.start_in_vain(&[own], &[]);
    assert!(code != Some(0) && said.contains(words) && said.contains("E0521"), "{code:?} {said}");
}

/// What the names are, and that no shipped field reads one.
#[test]
fn the_names_are_those_of_the_standard_and_the_page_lists_them() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("SECURITY.md")).unwrap();
    for name in NeverStore::names_by_default() {
        assert!(page.contains(&format!("`{name}`")), "SECURITY.md lacks `{name}`");
    }
}
