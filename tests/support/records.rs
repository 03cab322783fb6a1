//! Input records of end-to-end tests: generated traffic, and records that are broken by hand, each in one known way.

use riskweir::demo::traffic::{Delivery, Traffic, TrafficConfig};
use serde_json::Value;

/// A record to produce.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) key: String,
    /// None is a tombstone.
    pub(crate) payload: Option<Vec<u8>>,
    /// Why it must be refused; none where the traffic says.
    pub(crate) reason: Option<&'static str>,
}

impl Made {
    /// The record as a line of a file, if it can be one.
    pub(crate) fn line(&self) -> Option<&[u8]> {
        let payload = self.payload.as_deref()?;
        (!payload.is_empty() && !payload.contains(&b'\n')).then_some(payload)
    }
}

/// The first records of a seeded stream with duplicates, late and malformed ones.
pub(crate) fn traffic(count: usize) -> Vec<Made> {
    // Monday, 3 March 2025, 05:00 UTC: in the past of every machine, so that no event comes from the future.
    let config =
        TrafficConfig { seed: 11, start_ms: 1_740_978_000_000, ..TrafficConfig::default() };
    let events: Vec<_> = Traffic::new(config).take(count).collect();
    for wanted in [Delivery::Duplicate, Delivery::Late, Delivery::Malformed] {
        assert!(events.iter().any(|event| event.delivery == wanted), "no record is {wanted:?}");
    }
    let made = |event: riskweir::demo::traffic::TrafficEvent| Made {
        key: event.key,
        payload: Some(event.body),
        reason: None,
    };
    events.into_iter().map(made).collect()
}

/// Records that must be refused, made from a good transfer of the traffic.
pub(crate) fn broken_records(traffic: &[Made]) -> Vec<Made> {
    let good = traffic
        .iter()
        .filter_map(|made| made.payload.as_deref())
        .find(|body| {
            let value: Option<Value> = serde_json::from_slice(body).ok();
            value.is_some_and(|value| {
                let has = |pointer| value.pointer(pointer).is_some();
                value["type"] == "transfer" && has("/user/id") && has("/amount/value")
            })
        })
        .expect("a transfer in the traffic");
    let broken = |reason, payload: Option<Vec<u8>>| Made {
        key: "broken".to_owned(),
        payload,
        reason: Some(reason),
    };
    let mut records: Vec<Made> =
        bytes(good).into_iter().map(|(reason, body)| broken(reason, Some(body))).collect();
    records.extend(values(good).into_iter().map(|(reason, body)| broken(reason, Some(body))));
    records.push(broken("tombstone", None));
    records
}

/// Broken below the level of JSON values.
fn bytes(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let replace = |at: usize, byte: u8| {
        let mut body = good.to_vec();
        body[at] = byte;
        body
    };
    let in_text = good.windows(6).position(|part| part == br#""id":""#).expect("an id") + 7;
    let mut twice = br#"{"type":"transfer","#.to_vec();
    twice.extend_from_slice(&good[1..]);
    let many: Vec<String> = (0..2_000).map(|n| format!(r#""k{n}":1"#)).collect();
    let pad = |length: usize| {
        let mut body = good[..good.len() - 1].to_vec();
        body.extend_from_slice(br#","pad":"#);
        body.resize(length, b'x');
        body
    };
    vec![
        ("empty", Vec::new()),
        ("invalid_utf8", replace(in_text, 0xFF)),
        ("invalid_json", replace(in_text, 0)),
        ("invalid_json", good[..good.len() / 2].to_vec()),
        ("invalid_json", b"502 Bad Gateway".to_vec()),
        ("invalid_json", [good, b"{}"].concat()),
        // Fits Kafka, but a dead letter with all of it in base64 would not.
        ("invalid_json", pad(950_000)),
        ("too_large", pad(1_200_000)),
        ("bom", ["\u{feff}".as_bytes(), good].concat()),
        ("too_deep", [br#"{"a":"#.to_vec(), vec![b'['; 100_000]].concat()),
        ("too_many_keys", format!("{{{}}}", many.join(",")).into_bytes()),
        ("duplicate_key", twice),
        ("not_an_object", b"[1,2,3]".to_vec()),
        ("not_an_object", b"null".to_vec()),
        ("unknown_event", b"{\"type\":\n\"nonsense\"}".to_vec()),
        ("unknown_event", b"{}".to_vec()),
    ]
}

/// A good record but for one value.
fn values(good: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let good: Value = serde_json::from_slice(good).expect("a good record");
    let with = |pointer: &str, value: Value| {
        let mut changed = good.clone();
        *changed.pointer_mut(pointer).unwrap_or_else(|| panic!("`{pointer}` in {good}")) = value;
        changed.to_string().into_bytes()
    };
    vec![
        ("missing_field", with("/user/id", Value::Null)),
        ("wrong_type", with("/user/id", serde_json::json!({"id": 1}))),
        ("empty_key", with("/user/id", "".into())),
        ("bad_amount", with("/amount/value", "12,50".into())),
        ("amount_too_precise", with("/amount/value", "12.505".into())),
        ("amount_too_large", with("/amount/value", "99999999999999999999".into())),
        ("missing_currency", with("/amount/currency", Value::Null)),
        ("unknown_currency", with("/amount/currency", "XQX".into())),
        ("bad_time", with("/created_at", "yesterday".into())),
        ("unknown_member", with("/user/segment", "alien".into())),
        ("bad_country", with("/user/home_country", "Germany".into())),
    ]
}
