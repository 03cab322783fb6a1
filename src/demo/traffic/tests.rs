//! What the traffic promises, checked on the length of the demonstration.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::demo::traffic::{Delivery, MAX_LATENESS_MS, Scenario, Traffic, TrafficConfig};

const DEMO_LENGTH: usize = 12_000;
const SCHEMAS: [&str; 2] = [
    include_str!("../../../rules/schema/wallet.risk"),
    include_str!("../../../rules/schema/bank.risk"),
];

fn demo(seed: u64) -> Traffic {
    Traffic::new(TrafficConfig { seed, ..TrafficConfig::default() })
}

/// One declared event type: topic, discriminator, fields.
#[derive(Debug, Default)]
struct Declared {
    topic: String,
    discriminator: (String, String),
    fields: Vec<DeclaredField>,
}

#[derive(Debug)]
struct DeclaredField {
    name: String,
    ty: String,
    optional: bool,
    pointers: Vec<String>,
    currency: Option<String>,
}

/// A naive reading of the schema files, line by line, apart from the compiler.
fn declared() -> BTreeMap<String, Declared> {
    let mut events = BTreeMap::new();
    let mut current = String::new();
    for line in SCHEMAS.iter().flat_map(|text| text.lines()) {
        let quoted: Vec<String> = line.split('"').skip(1).step_by(2).map(str::to_owned).collect();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("event") => {
                current = words.next().unwrap().to_owned();
                let [topic, pointer, value] = quoted.try_into().unwrap();
                let discriminator = (pointer, value);
                let fields = Vec::new();
                events.insert(current.clone(), Declared { topic, discriminator, fields });
            }
            Some("id" | "time" | "key" | "field") => {
                let name = words.next().unwrap().to_owned();
                let declared = line.split_once(':').unwrap().1;
                let ty = declared.split(" from ").next().unwrap().trim();
                let has_currency = declared.contains(" currency ");
                let mut pointers = quoted;
                let currency = if has_currency { pointers.pop() } else { None };
                events.get_mut(&current).unwrap().fields.push(DeclaredField {
                    name,
                    ty: ty.trim_end_matches('?').to_owned(),
                    optional: ty.ends_with('?'),
                    pointers,
                    currency,
                });
            }
            _ => {}
        }
    }
    events
}

fn is_decimal(text: &str) -> bool {
    let Some((whole, cents)) = text.split_once('.') else { return false };
    !whole.is_empty()
        && cents.len() == 2
        && whole.bytes().chain(cents.bytes()).all(|byte| byte.is_ascii_digit())
}

fn is_code(value: &Value, len: usize) -> bool {
    value
        .as_str()
        .is_some_and(|text| text.len() == len && text.bytes().all(|byte| byte.is_ascii_uppercase()))
}

/// Whether this JSON value can be of the declared type.
fn fits(ty: &str, value: &Value) -> bool {
    match ty {
        "money" => value.as_str().is_some_and(is_decimal),
        "integer" => value.is_i64(),
        "geo" => value.is_f64(),
        "bool" => value.is_boolean(),
        "country" => is_code(value, 2),
        "ip" => value.as_str().is_some_and(|text| text.parse::<std::net::IpAddr>().is_ok()),
        "time" => value.as_str().is_some_and(|text| text.len() == 24 && text.ends_with('Z')),
        _ if ty.starts_with("one of") => value
            .as_str()
            .is_some_and(|text| ty.split(['[', ']', ',', ' ']).any(|member| member == text)),
        _ => value.as_str().is_some_and(|text| !text.is_empty()),
    }
}

fn find<'a>(body: &'a Value, pointer: &str) -> Option<&'a Value> {
    body.pointer(pointer).filter(|value| !value.is_null())
}

fn check_field(event: &str, field: &DeclaredField, body: &Value) -> bool {
    let mut present = true;
    for pointer in &field.pointers {
        let Some(value) = find(body, pointer) else {
            assert!(field.optional, "{event}.{} is required and absent: {body}", field.name);
            present = false;
            continue;
        };
        assert!(fits(&field.ty, value), "{event}.{} is not {}: {value}", field.name, field.ty);
    }
    if let (true, Some(pointer)) = (present, &field.currency) {
        assert!(find(body, pointer).is_some_and(|value| is_code(value, 3)), "{event}: {body}");
    }
    present
}

#[test]
fn every_whole_record_fits_the_shipped_schema_and_every_field_is_seen() {
    let schema = declared();
    let mut seen = BTreeSet::new();
    for event in demo(3).take(40_000).filter(|event| event.delivery != Delivery::Malformed) {
        let body: Value = serde_json::from_slice(&event.body).expect("valid JSON");
        let (name, declared) = schema
            .iter()
            .find(|(_, declared)| {
                let (pointer, value) = &declared.discriminator;
                declared.topic == event.topic
                    && find(&body, pointer).and_then(Value::as_str) == Some(value)
            })
            .unwrap_or_else(|| panic!("no event type for {body}"));
        for field in &declared.fields {
            if check_field(name, field, &body) {
                seen.insert((name.clone(), field.name.clone()));
            }
        }
    }
    let never: Vec<_> = schema
        .iter()
        .flat_map(|(name, declared)| {
            declared.fields.iter().map(move |field| (name.clone(), field.name.clone()))
        })
        .filter(|field| !seen.contains(field))
        .collect();
    // What answers a decision: the traffic is drawn before anything is decided.
    let answers = [("step_up".to_owned(), "about".to_owned())];
    assert_eq!(never, answers, "declared, but in no record");
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_gives_others() {
    let first: Vec<_> = demo(11).take(3_000).collect();
    let second: Vec<_> = demo(11).take(3_000).collect();
    assert!(first == second);
    let other: Vec<_> = demo(12).take(3_000).collect();
    assert!(first != other);
}

#[test]
fn records_come_in_event_time_order_but_for_a_few_that_are_late_within_the_bound() {
    let mut newest = i64::MIN;
    let mut late = 0;
    for event in demo(5).take(DEMO_LENGTH) {
        let lag = newest.saturating_sub(event.time_ms);
        assert!(lag <= MAX_LATENESS_MS, "{lag} ms late");
        match event.delivery {
            Delivery::InOrder => assert!(lag <= 0),
            Delivery::Late => {
                assert!(lag > 0);
                late += 1;
            }
            Delivery::Duplicate | Delivery::Malformed => {}
        }
        newest = newest.max(event.time_ms);
    }
    assert!((10..=200).contains(&late), "{late} late records");
}

#[test]
fn the_time_in_the_body_is_the_time_of_the_event() {
    for event in demo(6).take(500).filter(|event| event.delivery != Delivery::Malformed) {
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        let text = find(&body, "/created_at").or_else(|| find(&body, "/header/created_at"));
        let time: jiff::Timestamp = text.unwrap().as_str().unwrap().parse().unwrap();
        assert_eq!(time.as_millisecond(), event.time_ms);
    }
}

#[test]
fn every_scenario_occurs_within_the_demonstration_whatever_the_seed() {
    for seed in 0..10 {
        let mut labels: BTreeMap<Scenario, usize> = BTreeMap::new();
        for event in demo(seed).take(DEMO_LENGTH) {
            if let Some(label) = event.label {
                *labels.entry(label).or_default() += 1;
            }
        }
        for scenario in Scenario::ALL {
            assert!(labels.contains_key(&scenario), "seed {seed} has no {}", scenario.name());
        }
    }
}

#[test]
fn fraud_has_the_share_that_was_asked_for() {
    for share in [0.0, 0.01, 0.03, 0.2] {
        let config = TrafficConfig { seed: 9, fraud_share: share, ..TrafficConfig::default() };
        let fraud = Traffic::new(config)
            .take(DEMO_LENGTH)
            .filter(|event| event.label.is_some())
            .map(|_| 1.0)
            .sum::<f64>();
        let measured = fraud / 12_000.0;
        assert!((measured - share).abs() <= 0.15 * share + 1e-9, "asked {share}, got {measured}");
    }
}

#[test]
fn the_demonstration_covers_one_to_two_days() {
    for seed in 0..4 {
        let events: Vec<_> = demo(seed).take(DEMO_LENGTH).collect();
        let span_ms = events[DEMO_LENGTH - 1].time_ms - events[0].time_ms;
        let span_h = span_ms / 3_600_000;
        assert!((24..=48).contains(&span_h), "seed {seed}: {span_h} h");
    }
}

#[test]
fn ids_are_unique_but_for_duplicates_which_repeat_the_bytes() {
    let mut bodies = BTreeMap::new();
    let mut duplicates = 0;
    let mut malformed = 0;
    for event in demo(8).take(30_000) {
        malformed += usize::from(event.delivery == Delivery::Malformed);
        let before = bodies.insert(event.event_id.clone(), event.body.clone());
        if event.delivery == Delivery::Duplicate {
            assert_eq!(before.as_ref(), Some(&event.body), "{} is no repeat", event.event_id);
            duplicates += 1;
        } else {
            assert!(before.is_none(), "{} came before", event.event_id);
        }
    }
    assert!((20..=120).contains(&duplicates), "{duplicates} duplicates");
    assert!((10..=70).contains(&malformed), "{malformed} malformed");
}

#[test]
fn malformed_records_are_not_json_or_lack_what_the_schema_requires() {
    let mut n_seen = 0;
    for event in demo(8).take(60_000).filter(|event| event.delivery == Delivery::Malformed) {
        n_seen += 1;
        assert!(event.label.is_none());
        if let Ok(body) = serde_json::from_slice::<Value>(&event.body) {
            assert!(find(&body, "/user/id").is_none() && find(&body, "/header/id").is_none());
        }
    }
    assert!(n_seen > 20);
}

#[test]
fn honest_people_do_what_looks_odd_too() {
    let mut odd: BTreeMap<&str, usize> = BTreeMap::new();
    let honest = |event: &crate::demo::traffic::TrafficEvent| {
        event.label.is_none() && event.delivery != Delivery::Malformed
    };
    for event in demo(4).take(DEMO_LENGTH).filter(honest) {
        let body = String::from_utf8(event.body).unwrap();
        for (what, sign) in [
            ("new phone", "\"type\":\"device_change\""),
            ("changed number", "\"kind\":\"phone\""),
            ("new payee", "\"type\":\"payee_change\""),
            ("call during a payment", "\"active_call\":true"),
            ("payroll", "\"remittance\":\"Lohn\""),
            ("foreign money", "\"currency\":\"USD\""),
            ("declined", "\"status\":\"declined\""),
        ] {
            if body.contains(sign) {
                *odd.entry(what).or_default() += 1;
            }
        }
    }
    assert_eq!(odd.len(), 7, "{odd:?}");
}

#[test]
fn a_tiny_world_and_odd_settings_still_flow() {
    let config = TrafficConfig {
        seed: u64::MAX,
        start_ms: -1,
        events_per_second: 0.0,
        customers: 0,
        fraud_share: f64::NAN,
    };
    assert_eq!(Traffic::new(config).take(200).count(), 200);
    let config = TrafficConfig { events_per_second: 1e12, ..TrafficConfig::default() };
    assert_eq!(Traffic::new(config).take(200).count(), 200);
}
