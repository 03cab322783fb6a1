//! From a request to a command and back: one table of kinds, one way to write a command and to read what came of it.
//!
//! A command is a record of `topics.commands`, done once by its id. The id is made of the caller's name and idempotency key, so
//! nobody can spend another one's. The answer is the record on `risk.audit` that carries the same `traceparent`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::header;
use serde_json::{Map, Value, json};

use crate::api::call::{Call, MAX_KEY_BYTES};
use crate::api::fresh;
use crate::api::problem::{
    BAD_PARAMETER, BUSY, ENDED, INTERNAL, KEY_REUSED, Kind as ProblemKind, LOG_UNAVAILABLE,
    NOT_CONFIGURED, NOT_FOUND, NOT_READY, Problem, REFUSED, STALE_STATE, TIMED_OUT, TOO_LARGE,
    UNDECODABLE,
};
use crate::api::records::parsed;
use crate::api::state::{State, random_hex};
use crate::api::store::Kind as RecordKind;
use crate::api::store::read::Wanted;
use crate::api::waiters::{Awaited, Came};
use crate::decision::command::{Deed, record};
use crate::runtime::{Letter, Unwritten};

/// How long the answer to a command may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);

/// Most answers that one command has: one of each engine, and one of each other command that had its id.
const MOST_ANSWERS: i64 = 1_000;

/// What somebody asks for by a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verb {
    /// `kind` of the command.
    pub(crate) kind: &'static str,
}

/// The payment may go.
pub(crate) const RELEASE: Verb = Verb { kind: "hold.release" };
/// The payment is refused.
pub(crate) const CONFIRM: Verb = Verb { kind: "hold.confirm" };
/// The deadline is put off.
pub(crate) const EXTEND: Verb = Verb { kind: "hold.extend" };

/// Others are asked now.
pub(crate) const ESCALATE: Verb = Verb { kind: "hold.escalate" };
/// Whoever asks works on it.
pub(crate) const CLAIM: Verb = Verb { kind: "hold.claim" };
/// Whoever asks works on it no longer.
pub(crate) const UNCLAIM: Verb = Verb { kind: "hold.unclaim" };

/// Every payment of a subject is held.
pub(crate) const PLACE: Verb = Verb { kind: "hold.place" };
/// The alerts of an episode are dealt with.
pub(crate) const ALERT_CLOSE: Verb = Verb { kind: "alert.close" };
/// A value is put on a list.
pub(crate) const LIST_ADD: Verb = Verb { kind: "list.add" };
/// A value is taken off a list.
pub(crate) const LIST_REMOVE: Verb = Verb { kind: "list.remove" };
/// A rule does not act on the events of a key.
pub(crate) const SNOOZE_SET: Verb = Verb { kind: "snooze.set" };
/// A rule acts again.
pub(crate) const SNOOZE_END: Verb = Verb { kind: "snooze.end" };
/// The audit trail is to say what somebody did past the engine.
pub(crate) const ACT: Verb = Verb { kind: Deed::KIND };

/// Why a command was refused, as records name it, and as callers are told.
const CAUSES: [(&str, ProblemKind, &str); 24] = [
    ("unknown_hold", NOT_FOUND, "the engine knows no hold of this id, or it ended long ago"),
    ("ended", ENDED, "somebody decided already, or its deadline came"),
    ("changed", STALE_STATE, "it is in another state than `If-Match` says"),
    ("not_later", REFUSED, "the new deadline is not later than the old one"),
    ("too_long", REFUSED, "it would last too long: a hold at most 400 days, a snooze at most 180"),
    (
        "follows_subject",
        REFUSED,
        "the hold has the deadline of its subject's hold: put that one off, or ask others about it",
    ),
    ("beyond_rail", REFUSED, "the rail of the payment leaves no such time"),
    ("no_queue", REFUSED, "the hold asks nobody by itself: `escalate_to` says whom to ask"),
    ("claimed", REFUSED, "somebody else works on the hold: `take_from` takes it over"),
    ("not_claimed", REFUSED, "nobody works on the hold"),
    ("held", REFUSED, "the subject is held already"),
    ("unknown_entity", REFUSED, "no payment has an entity of this kind"),
    ("past", REFUSED, "it would end before it begins"),
    ("unknown_list", NOT_FOUND, "the rule set has no such list"),
    ("list_gives_values", REFUSED, "the file of the list alone fills it"),
    ("wrong_type", REFUSED, "the value cannot be a member of the list"),
    ("not_on_list", REFUSED, "the value is not on the list"),
    ("in_network", REFUSED, "a network in the file of the list holds the address: change the file"),
    ("unknown_rule", NOT_FOUND, "the rule set has no rule of this id"),
    ("unknown_key", REFUSED, "no event of the rule has this key, or it is no text"),
    ("mandatory", REFUSED, "the rule cannot be silenced"),
    ("not_snoozed", REFUSED, "the rule is not silenced for this value"),
    (
        "too_many",
        REFUSED,
        "there is no room for another one: too many rules are silenced, members were changed or payments are held",
    ),
    ("command_id_reused", KEY_REUSED, "the idempotency key came before with other content"),
];

/// A command to give.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// What.
    pub(crate) verb: Verb,
    /// Its id: what has one id is done once.
    pub(crate) command_id: String,
    /// Who asks.
    pub(crate) actor: String,
    /// Why.
    pub(crate) reason: String,
    /// Members beside those that every command has.
    pub(crate) members: Map<String, Value>,
    /// Who must hear of it.
    pub(crate) to: To,
}

/// Who must hear of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum To {
    /// Who knows a hold: the key of its records, and the number of their partition.
    Keeper(Vec<u8>, Option<i32>),
    /// Every instance: it is written to each partition under one id.
    All,
}

/// What came of a command that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Done {
    /// Whether it had been done before.
    pub(crate) is_repeat: bool,
    /// The state of the hold afterwards; empty where it is about none.
    pub(crate) state: String,
    /// The hold that it is about or that it placed; empty where there is none.
    pub(crate) hold_id: String,
}

/// The id of a command by who asks and the header `Idempotency-Key`; without one it is asked anew each time.
///
/// # Errors
/// The header is not what it must be.
pub(crate) fn command_id(call: &Call) -> Result<String, Problem> {
    let key = call.header("idempotency-key", MAX_KEY_BYTES)?;
    let name = &call.person.name;
    Ok(match key {
        Some(key) => format!("api:{name}:{key}"),
        None => format!("api:{name}::{}", random_hex(16)),
    })
}

/// The state that the header `If-Match` says, as `ETag` gave it.
///
/// # Errors
/// It names no state.
pub(crate) fn expected_state(
    call: &Call,
    states: &[&'static str],
) -> Result<Option<&'static str>, Problem> {
    let Some(text) = call.header(header::IF_MATCH.as_str(), 64)? else { return Ok(None) };
    if text == "*" {
        return Ok(None);
    }
    let bare = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let found = states.iter().find(|state| Some(**state) == bare);
    found.map(|state| Some(*state)).ok_or_else(|| {
        Problem::new(BAD_PARAMETER, "`If-Match` is the `ETag` of the hold, or `*`")
            .with("header", "if-match")
    })
}

/// Gives a command and waits for what comes of it.
///
/// # Errors
/// It cannot be given, is refused, or nothing comes of it in time.
pub(crate) async fn give(state: &Arc<State>, asked: &Asked) -> Result<Done, Problem> {
    let Some(topic) = &state.topics.commands else {
        return Err(Problem::new(NOT_CONFIGURED, "`topics.commands` is not set"));
    };
    let said = (asked.actor.as_str(), asked.reason.as_str());
    let body = record(asked.verb.kind, &asked.command_id, said, asked.members.clone());
    let letter = |key: Option<&[u8]>, partition| Letter {
        topic: topic.clone(),
        partition,
        key: key.map(<[u8]>::to_vec),
        body: body.clone(),
        traceparent: traceparent(None),
    };
    let letters: Vec<Letter> = match &asked.to {
        To::Keeper(key, number) => {
            let number = tokio::task::block_in_place(|| state.command_partition(topic, *number));
            vec![letter(Some(key), number)]
        }
        To::All => {
            let n = tokio::task::block_in_place(|| state.n_command_partitions(topic));
            let unknown = || Problem::new(LOG_UNAVAILABLE, "the brokers do not answer");
            let n = n.and_then(|n| i32::try_from(n).ok()).ok_or_else(unknown)?;
            (0..n).map(|number| letter(None, Some(number))).collect()
        }
    };
    let began = Instant::now();
    let answers: Vec<_> = letters
        .into_iter()
        .map(|letter| {
            let state = Arc::clone(state);
            tokio::spawn(async move {
                write_and_wait(&state, letter, Awaited::Answer, ANSWER_LIMIT).await
            })
        })
        .collect();
    let mut told = Vec::new();
    for answer in answers {
        let gone = |_| Problem::new(INTERNAL, "whoever waited for the answer is gone");
        let came = answer.await.map_err(gone)??;
        if came.kind == RecordKind::DeadLetter {
            return Err(undecodable(&came.body));
        }
        told.push(serde_json::from_slice(&came.body).unwrap_or_default());
    }
    match telling(&told) {
        Some(told) => read_answer(told),
        None => {
            first_answer(state, &asked.command_id, ANSWER_LIMIT.saturating_sub(began.elapsed()))
                .await
        }
    }
}

/// Which of the records on `risk.audit` says what came of a command, one from each partition: one engine does it once and calls
/// it repeated for its other partitions. None: all of them say that it came before.
fn telling(told: &[Value]) -> Option<&Value> {
    let is = |told: &&Value, result: &str| told.pointer("/command/result") == Some(&json!(result));
    let refused = told.iter().find(|told| !is(told, "done") && !is(told, "repeated"));
    refused.or_else(|| told.iter().find(|told| is(told, "done")))
}

/// What was answered when a command came first, from the read model: the engine says only that it came before.
///
/// # Errors
/// As it was answered then; or the read model does not hold it, not yet or no longer.
async fn first_answer(state: &Arc<State>, id: &str, limit: Duration) -> Result<Done, Problem> {
    fresh::catch_up(state, RecordKind::Audit, limit).await?;
    let wanted = Wanted::of("audits", None, MOST_ANSWERS)
        .only("command_id = ?", Some(id.to_owned()))
        .only("json_extract(body, '$.command.result') <> ?", Some("repeated".to_owned()));
    let kept = state.store.ask(move |connection| wanted.ask(connection)).await?;
    let told = kept.iter().map(|kept| parsed(&kept.body)).collect::<Result<Vec<Value>, _>>()?;
    let is_first =
        |told: &Value| told.pointer("/command/cause") != Some(&json!("command_id_reused"));
    let told: Vec<Value> = told.into_iter().filter(is_first).collect();
    let Some(first) = telling(&told) else {
        let what = "the command came before, and what came of it then is no longer known; it is not done again";
        return Err(Problem::new(REFUSED, what).with("cause", "answer_forgotten"));
    };
    match read_answer(first) {
        Ok(done) => Ok(Done { is_repeat: true, ..done }),
        Err(problem) => Err(problem.with("is_repeat", true)),
    }
}

/// What one of them says.
pub(crate) fn read_answer(told: &Value) -> Result<Done, Problem> {
    let of = |path: &str| told.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let (state, hold_id) = (of("/command/state").to_owned(), of("/command/hold_id").to_owned());
    if of("/command/result") == "done" {
        return Ok(Done { is_repeat: false, state, hold_id });
    }
    let cause = of("/command/cause");
    let known = CAUSES.into_iter().find(|(name, ..)| *name == cause);
    let (_, kind, what) = known.unwrap_or(("", REFUSED, "the engine refused it"));
    let mut problem = Problem::new(kind, what).with("cause", cause);
    if !state.is_empty() {
        problem = problem.with("state", state);
    }
    // WHY: whoever asked for a hold of the subject knows it by the subject alone.
    if cause == "held" {
        problem = problem.with("hold_id", hold_id);
    }
    if let Some(person) = told.pointer("/command/claimed_by").and_then(Value::as_str) {
        problem = problem.with("claimed_by", person);
    }
    if let Some(network) = told.pointer("/command/covered_by").and_then(Value::as_str) {
        problem = problem.with("covered_by", network);
    }
    Err(problem)
}

/// The problem of a dead letter.
pub(crate) fn undecodable(body: &[u8]) -> Problem {
    let letter: Value = serde_json::from_slice(body).unwrap_or_default();
    let of = |name: &str| letter.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut problem = Problem::new(UNDECODABLE, of("message")).with("reason", of("reason"));
    if let Some(field) = letter.get("field").and_then(Value::as_str) {
        problem = problem.with("field", field);
    }
    problem
}

/// More than a record of the log may have.
fn too_large(state: &State) -> Problem {
    let most = state.post.max_bytes();
    let what = format!(
        "a record has at most {most} bytes with its key and headers (`message.max.bytes`), or less where its topic says so"
    );
    Problem::new(TOO_LARGE, what).with("limit_bytes", most)
}

/// Writes a record and waits for what it brings about.
///
/// # Errors
/// Nobody listens yet, the log does not take it, or nothing comes within `limit`.
pub(crate) async fn write_and_wait(
    state: &State,
    letter: Letter,
    awaited: Awaited,
    limit: Duration,
) -> Result<Came, Problem> {
    if !state.is_listening() {
        return Err(Problem::new(NOT_READY, "the service does not hear answers yet"));
    }
    let Some(mut waiter) = state.waiters.wait(&letter.traceparent, awaited) else {
        return Err(Problem::new(BUSY, "too many wait for answers"));
    };
    let (told, fate) = tokio::sync::oneshot::channel();
    state.post.send(&letter, move |fate| {
        // WHY: whoever asked may have gone.
        _ = told.send(fate);
    });
    let work = async {
        match fate.await {
            Ok(Ok(_)) => {}
            Ok(Err(Unwritten::TooLarge)) => return Err(too_large(state)),
            Ok(Err(Unwritten::Failed(reason))) => {
                crate::telemetry::api::ApiFailed { attempted: "write a record", error: &reason }
                    .emit();
                return Err(Problem::new(LOG_UNAVAILABLE, "the brokers did not take the record"));
            }
            Err(_) => return Err(Problem::new(LOG_UNAVAILABLE, "the service is stopping")),
        }
        let stopping = || Problem::new(NOT_READY, "the service is stopping");
        waiter.came().await.ok_or_else(stopping)
    };
    match tokio::time::timeout(limit, work).await {
        Ok(came) => came,
        Err(_) => Err(Problem::new(
            TIMED_OUT,
            "the record was written or is on its way, and no answer came in time: it may still be done",
        )),
    }
}

/// A `traceparent` of its own for each record, in the caller's trace if that gave a valid one.
pub(crate) fn traceparent(given: Option<&str>) -> String {
    let trace = given.and_then(|text| {
        let parts: Vec<&str> = text.split('-').collect();
        let [version, trace, parent, flags] = *parts else { return None };
        let is_hex = |part: &str, length: usize| {
            let digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
            part.len() == length && part.bytes().all(digit)
        };
        let is_id =
            |part: &str, length: usize| is_hex(part, length) && part.bytes().any(|b| b != b'0');
        let is_valid = version == "00" && is_id(trace, 32) && is_id(parent, 16) && is_hex(flags, 2);
        is_valid.then(|| trace.to_owned())
    });
    let trace = trace.unwrap_or_else(|| random_hex(16));
    format!("00-{trace}-{}-01", random_hex(8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_a_command_is_a_state_or_a_problem() {
        let read = |told: Value| read_answer(&json!({ "command": told }));
        let done = {
            let (state, hold_id) = ("released".to_owned(), String::new());
            Done { is_repeat: false, state, hold_id }
        };
        assert_eq!(read(json!({"result": "done", "state": "released"})), Ok(done));
        for (told, kind) in [
            (json!({"result": "refused", "cause": "changed", "state": "extended"}), STALE_STATE),
            (json!({"result": "refused", "cause": "ended", "state": "expired"}), ENDED),
            (json!({"result": "refused", "cause": "unknown_hold"}), NOT_FOUND),
            (json!({"result": "refused", "cause": "command_id_reused"}), KEY_REUSED),
            (json!({"result": "refused", "cause": "something new"}), REFUSED),
        ] {
            let problem = read(told.clone()).unwrap_err();
            assert_eq!(problem.kind, kind, "{told}");
            assert_eq!(problem.more.get("state"), told.get("state"), "{told}");
            assert_eq!(problem.more.get("hold_id"), None, "{told}");
        }
        let claimed = json!({"result": "refused", "cause": "claimed", "claimed_by": "bob"});
        let claimed = read(claimed).unwrap_err();
        assert_eq!((claimed.kind, &claimed.more["claimed_by"]), (REFUSED, &json!("bob")));
        let held = read(json!({"result": "refused", "cause": "held", "hold_id": "h"})).unwrap_err();
        assert_eq!(held.more.get("hold_id"), Some(&json!("h")));
    }

    #[test]
    fn of_several_partitions_one_does_it_and_a_refusal_counts_most() {
        let all = |results: &[&str]| {
            let told: Vec<Value> =
                results.iter().map(|it| json!({"command": {"result": it}})).collect();
            telling(&told).map(|told| told["command"]["result"].as_str().unwrap().to_owned())
        };
        assert_eq!(all(&["repeated", "done", "repeated"]).as_deref(), Some("done"));
        assert_eq!(all(&["repeated", "repeated"]), None);
        assert_eq!(all(&["done", "refused"]).as_deref(), Some("refused"));
        assert_eq!(all(&[]), None);
    }

    /// The example of the standard (W3C Trace Context, 3.2).
    #[test]
    fn a_record_is_in_the_trace_of_its_caller_and_has_a_name_of_its_own() {
        let given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let (one, other) = (traceparent(Some(given)), traceparent(Some(given)));
        assert!(one.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && one != other);
        assert_eq!(one.len(), given.len());
        for bad in
            ["", "00-4bf9-00f0-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]
        {
            assert!(!traceparent(Some(bad)).contains("4bf9"), "{bad}");
        }
    }
}
