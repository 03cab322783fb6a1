//! A decision as it was written down and as the log gives it now: which of several is meant, and where both differ.

use serde_json::{Map, Value};

use crate::runtime::rederive::{RecordAt, Stored};

/// Whether a decision is that of a record that came before.
pub fn is_repeat(decision: &Value) -> bool {
    decision.get("duplicate") == Some(&Value::Bool(true))
}

/// The record that a decision says it answers.
pub fn source_of(decision: &Value) -> Option<RecordAt> {
    let source = decision.get("source")?;
    Some(RecordAt {
        topic: source.get("topic")?.as_str()?.to_owned(),
        partition: source.get("partition")?.as_i64()?.try_into().ok()?,
        offset: source.get("offset")?.as_i64()?,
    })
}

/// The decision to derive and the record that it answers: of several with one id the first that is no repeat.
///
/// # Errors
/// There is none, or it names no record.
pub fn choose(all: Vec<Stored>) -> Result<(Stored, RecordAt), String> {
    let is_repeat = |stored: &Stored| {
        let value: Option<Value> = serde_json::from_slice(&stored.body).ok();
        value.is_some_and(|value| is_repeat(&value))
    };
    let (repeats, firsts): (Vec<Stored>, Vec<Stored>) = all.into_iter().partition(is_repeat);
    let chosen = firsts.into_iter().chain(repeats).next();
    let stored = chosen.ok_or("there is no decision to derive")?;
    let Some(at) = stored.source() else {
        let at = &stored.at.topic;
        return Err(format!(
            "the record of `{at}` names no input record: it is no decision of riskweir"
        ));
    };
    Ok((stored, at))
}

/// A member by its JSON pointer, as it was written and as it was derived.
pub type Difference = (String, Option<Value>, Option<Value>);

/// The members in which two records differ. A record that is no JSON differs as a whole, in no member.
pub fn differences(stored: &[u8], derived: &[u8]) -> Vec<Difference> {
    let mut found = Vec::new();
    if let (Ok(stored), Ok(derived)) =
        (serde_json::from_slice(stored), serde_json::from_slice(derived))
    {
        compare(String::new(), Some(&stored), Some(&derived), &mut found);
    }
    found
}

fn compare(
    path: String,
    stored: Option<&Value>,
    derived: Option<&Value>,
    found: &mut Vec<Difference>,
) {
    match (stored, derived) {
        (Some(Value::Object(stored)), Some(Value::Object(derived))) => {
            compare_members(&path, stored, derived, found);
        }
        (Some(Value::Array(stored)), Some(Value::Array(derived))) => {
            for index in 0..stored.len().max(derived.len()) {
                let path = format!("{path}/{index}");
                compare(path, stored.get(index), derived.get(index), found);
            }
        }
        (stored, derived) if stored != derived => {
            found.push((path, stored.cloned(), derived.cloned()));
        }
        _ => {}
    }
}

fn compare_members(
    path: &str,
    stored: &Map<String, Value>,
    derived: &Map<String, Value>,
    found: &mut Vec<Difference>,
) {
    let mut names: Vec<&String> = stored.keys().chain(derived.keys()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let escaped = name.replace('~', "~0").replace('/', "~1");
        compare(format!("{path}/{escaped}"), stored.get(name), derived.get(name), found);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_compared_member_by_member() {
        let stored = br#"{"a":1,"b":[1,2],"c":{"d/e":"x"}}"#;
        let derived = br#"{"a":1,"b":[1,3,4],"c":{"d/e":"y"},"f":null}"#;
        let found = differences(stored, derived);
        let expected: Vec<Difference> = vec![
            ("/b/1".to_owned(), Some(json!(2)), Some(json!(3))),
            ("/b/2".to_owned(), None, Some(json!(4))),
            ("/c/d~1e".to_owned(), Some(json!("x")), Some(json!("y"))),
            ("/f".to_owned(), None, Some(Value::Null)),
        ];
        assert_eq!(found, expected);
        assert_eq!(differences(stored, stored), []);
    }
}
