//! Which tokens are let in, told to the audit trail: at the start, and whenever the file of tokens changes.
//!
//! Whoever shows a token reads at once, because the file holds when no broker answers, and changes nothing before the token was told
//! of: who gives a second person's token to themselves and takes it out again is in the trail before what they approve.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::time::sleep;

use crate::api::acts::{self, By};
use crate::api::problem::{BUSY, LOG_UNAVAILABLE, NOT_READY, Problem, TIMED_OUT};
use crate::api::state::{State, random_hex};
use crate::api::tokens::{Became, Entry, News, OWN_NAME};
use crate::base::digest::hex;
use crate::base::text::counted;
use crate::base::time::format_rfc3339;
use crate::decision::command::{Act, Deed, MAX_DETAILS_BYTES};
use crate::telemetry::api as happening;

/// How often it is looked whether there is something to tell.
const EVERY: Duration = Duration::from_millis(100);

/// How long whoever wants to change something waits until their token was told of.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long to wait where the audit trail cannot be told.
const AGAIN: Duration = Duration::from_secs(5);

/// Digits of a token's digest that stand in a record: enough to find its line.
const SHOWN_DIGITS: usize = 16;

/// Longest list of a token's topics; where it is longer, a record says how many.
const MAX_TOPICS_BYTES: usize = 2 << 10;

/// Tells for ever.
pub(crate) async fn keep_telling(state: Arc<State>) {
    // WHY: without the topic nobody can be told, as docs/OPERATIONS.md says of all that people do.
    if state.topics.commands.is_none() {
        return;
    }
    loop {
        let Some(news) = state.tokens.untold().filter(|_| state.is_listening()) else {
            sleep(EVERY).await;
            continue;
        };
        for deed in deeds(&news) {
            tell(&state, &deed).await;
        }
        state.tokens.told();
    }
}

/// Whoever shows this token may change something: it was told of.
///
/// # Errors
/// It was not, nor could it be in a while.
pub(crate) async fn wait_told(state: &State, token: &str) -> Result<(), Problem> {
    if state.topics.commands.is_none() {
        return Ok(());
    }
    let until = Instant::now() + PATIENCE;
    while state.tokens.is_untold(token) {
        if Instant::now() >= until {
            let what = "the audit trail was not told of this token yet, so it only reads";
            return Err(Problem::new(NOT_READY, what));
        }
        sleep(EVERY).await;
    }
    Ok(())
}

/// Tells of one, again and again where it is the moment that is wrong.
async fn tell(state: &Arc<State>, deed: &Deed) {
    let by = By {
        command_id: format!("{OWN_NAME}:{}", random_hex(16)),
        // Nobody knows who changed a file.
        actor: OWN_NAME.to_owned(),
        reason: reason(deed.act).to_owned(),
        approval: None,
    };
    while let Err(problem) = acts::tell(state, deed, by.clone()).await {
        let attempted = "tell the audit trail of tokens";
        happening::ApiFailed { attempted, error: &problem.detail }.emit();
        if !may_pass(&problem) {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// Whether it may be taken later. WHY: what an engine of an older version refuses, it refuses for ever.
fn may_pass(problem: &Problem) -> bool {
    [BUSY, LOG_UNAVAILABLE, NOT_READY, TIMED_OUT].contains(&problem.kind)
}

fn reason(act: Act) -> &'static str {
    match act {
        Act::TokensKnown => "the service started",
        _ => "the file of tokens changed",
    }
}

/// As many as its lines take.
fn deeds(news: &News) -> Vec<Deed> {
    let act = match news.became {
        Became::Known => Act::TokensKnown,
        Became::Added => Act::TokensAdded,
        Became::Withdrawn => Act::TokensWithdrawn,
    };
    let mut parts: Vec<(usize, Vec<&Entry>, Vec<Value>)> = vec![(2, Vec::new(), Vec::new())];
    for entry in news.entries.iter() {
        let told = described(entry);
        let size = told.to_string().len() + 1;
        if parts.last().is_none_or(|(used, ..)| used + size > MAX_DETAILS_BYTES) {
            parts.push((2, Vec::new(), Vec::new()));
        }
        if let Some((used, entries, all)) = parts.last_mut() {
            *used += size;
            entries.push(entry);
            all.push(told);
        }
    }
    let n_parts = parts.len();
    let part =
        |at: usize| if n_parts == 1 { String::new() } else { format!(", part {at} of {n_parts}") };
    let deed = |(at, (_, entries, told)): (usize, (usize, Vec<&Entry>, Vec<Value>))| Deed {
        act,
        about: format!("{}{}", counted(told.len() as u64, "token"), part(at + 1)),
        digest: Some(digest(&entries)),
        request: None,
        details: Some(Value::Array(told).to_string()),
    };
    parts.into_iter().enumerate().map(deed).collect()
}

/// A token as the trail has it: never what would let anybody in.
fn described(entry: &Entry) -> Value {
    let roles: Vec<&str> = entry.person.roles.iter().map(|role| role.name()).collect();
    let shown: String = hex(&entry.digest).chars().take(SHOWN_DIGITS).collect();
    let mut told = json!({"name": entry.person.name, "roles": roles, "sha256": shown});
    if let Some(expires_ms) = entry.expires_ms {
        told["expires_at"] = format_rfc3339(expires_ms).into();
    }
    if let Some(topics) = entry.person.scope.topics() {
        let is_short =
            topics.iter().map(|topic| topic.len() + 3).sum::<usize>() <= MAX_TOPICS_BYTES;
        let (name, value) =
            if is_short { ("topics", json!(topics)) } else { ("n_topics", json!(topics.len())) };
        told[name] = value;
    }
    told
}

/// SHA-256 over the digests of the tokens, in the order of the file.
fn digest(entries: &[&Entry]) -> String {
    let all = entries.iter().fold(Sha256::new(), |all, entry| all.chain_update(entry.digest));
    hex(&<[u8; 32]>::from(all.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::roles::{Person, Role, Scope};

    fn entry(n: u8, scope: Scope) -> Entry {
        let person = Person { name: format!("p{n}"), roles: vec![Role::Analyst], scope };
        Entry { person, digest: [n; 32], expires_ms: Some(2_000) }
    }

    #[test]
    fn a_large_file_takes_several_records_that_name_each_token_once() {
        let entries: Vec<Entry> = (0..200).map(|n| entry(n, Scope::All)).collect();
        let told = deeds(&News { became: Became::Known, entries: Arc::new(entries) });
        let lists: Vec<Vec<Value>> = told
            .iter()
            .map(|deed| {
                let details = deed.details.as_deref().unwrap();
                assert!(details.len() <= MAX_DETAILS_BYTES, "{}", details.len());
                serde_json::from_str(details).unwrap()
            })
            .collect();
        assert_eq!(lists.len(), 4);
        let names: Vec<Value> = lists.iter().flatten().map(|it| it["name"].clone()).collect();
        assert_eq!(names, (0..200).map(|n| json!(format!("p{n}"))).collect::<Vec<_>>());
        let last = lists.last().unwrap();
        let bob = json!({
            "name": "p199", "roles": ["analyst"], "sha256": "c7c7c7c7c7c7c7c7", "expires_at": "1970-01-01T00:00:02Z",
        });
        assert_eq!(
            (last.last().unwrap(), &told.last().unwrap().about),
            (&bob, &format!("{} tokens, part 4 of 4", last.len()))
        );
    }

    /// The digest is that of 32 zeros and 32 ones, by `sha256sum`.
    #[test]
    fn no_token_is_told_of_too_and_many_topics_are_counted() {
        let of = |entries: Vec<Entry>| {
            deeds(&News { became: Became::Added, entries: Arc::new(entries) })
        };
        let none = of(Vec::new());
        assert_eq!((none.len(), none[0].details.as_deref()), (1, Some("[]")));
        let topics: Vec<String> = (0..300).map(|n| format!("payments-{n}")).collect();
        let scope = Scope::of(topics.iter().map(String::as_str)).unwrap();
        let told = of(vec![entry(0, scope), entry(1, Scope::of(["cards"]).unwrap())]);
        let details: Value = serde_json::from_str(told[0].details.as_deref().unwrap()).unwrap();
        assert_eq!((&details[0]["n_topics"], details[0].get("topics")), (&json!(300), None));
        assert_eq!(details[1]["topics"], json!(["cards"]));
        assert_eq!(
            told[0].digest.as_deref(),
            Some("5c85955f709283ecce2b74f1b1552918819f390911816e7bb466805a38ab87f3")
        );
    }
}
