//! An event is decided: written to its input topic like any other, and answered with the decision when that is on the log.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::acts::{self, By};
use crate::api::call::{Call, Reply};
use crate::api::commands::{command_id, traceparent, undecodable, write_and_wait};
use crate::api::problem::{
    BAD_BODY, BAD_PARAMETER, BUSY, FORBIDDEN, LOG_UNAVAILABLE, NOT_CONFIGURED, NOT_READY, Problem,
    TIMED_OUT,
};
use crate::api::records::{Decision, parsed};
use crate::api::state::State;
use crate::api::store::Kind;
use crate::api::waiters::Awaited;
use crate::base::Digest;
use crate::decision::command::{Act, Deed};
use crate::event::error::{DecodeError, Reason};
use crate::event::mapping::{DecodeScratch, Decoder};
use crate::event::row::Row;
use crate::rules::locality::record_key;
use crate::rules::program::Program;
use crate::runtime::Letter;

/// How long a decision may take where nobody says.
const DEADLINE: Duration = Duration::from_secs(2);

/// The bounds of `deadline`.
pub(crate) const LEAST_DEADLINE: Duration = Duration::from_millis(1);
pub(crate) const MOST_DEADLINE: Duration = Duration::from_secs(30);

/// The words of `otherwise`.
pub(crate) const OTHERWISE: &[&str] = &["pass", "hold", "flag"];

/// What to do with the payment.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Scored {
    /// Whether it was decided. False: no decision came in time, and `outcome` is what the request's `otherwise` says.
    decided: bool,
    /// What to do.
    #[schemars(extend("enum" = ["pass", "step_up", "hold", "block", "allow"]))]
    outcome: String,
    /// Whether somebody should look at it later: it was let pass for want of a decision.
    flagged: bool,
    /// Why it was not decided: the code of a problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    because: Option<&'static str>,
    /// The decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Decision>")]
    decision: Option<Value>,
}

/// `POST /v1/score`
pub(crate) async fn score(call: Call) -> Result<Reply, Problem> {
    let scored = decide(&call, Wanted::Any).await;
    let otherwise = call.query.text("otherwise");
    match (scored, otherwise) {
        (Err(problem), Some(otherwise)) if is_want_of_decision(&problem) => Reply::json(&Scored {
            decided: false,
            outcome: if otherwise == "hold" { "hold" } else { "pass" }.to_owned(),
            flagged: otherwise == "flag",
            because: Some(problem.kind.code),
            decision: None,
        }),
        (scored, _) => Reply::json(&scored?),
    }
}

/// `POST /v1/labels`
pub(crate) async fn label(call: Call) -> Result<Reply, Problem> {
    Reply::json(&decide(&call, Wanted::Label).await?)
}

/// What may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// Any event.
    Any,
    /// An event that says what came out about another one.
    Label,
}

/// Whether the failure policy of a request speaks of this: nothing was decided, for no fault of the event's.
fn is_want_of_decision(problem: &Problem) -> bool {
    [TIMED_OUT, LOG_UNAVAILABLE, NOT_READY, BUSY].contains(&problem.kind)
}

async fn decide(call: &Call, wanted: Wanted) -> Result<Scored, Problem> {
    let state = &call.state;
    if !state.tells_all {
        let what = "`delivery.decisions` is not `all`: not every decision is written";
        return Err(Problem::new(NOT_CONFIGURED, what));
    }
    let asked = call.query.text("topic");
    let scope = &call.person.scope;
    let inputs = state.inputs.iter().filter(|topic| scope.has(topic)).cloned();
    let inputs: Vec<String> = inputs.collect();
    if inputs.is_empty() {
        return Err(Problem::new(FORBIDDEN, "the token is for no topic of the input"));
    }
    check_topic(&inputs, asked)?;
    let (program, decoder) = state.schema();
    let schema = (&*program, &*decoder);
    // WHY: over HTTP the record is ours to write, and what nobody may store is not written.
    let (body, _) = state.privacy.never_store.blanked(&call.body);
    let placed = place((state, &inputs), schema, &body, asked)?;
    if wanted == Wanted::Label && !placed.is_label {
        return Err(no_label(placed.refusal.as_ref()));
    }
    if wanted == Wanted::Label {
        tell(call, &placed.topic, &body).await?;
    }
    let given = call.headers.get("traceparent").and_then(|value| value.to_str().ok());
    let letter = Letter {
        topic: placed.topic,
        partition: None,
        key: placed.key,
        body: body.to_vec(),
        traceparent: traceparent(given),
    };
    let limit = call.query.duration("deadline").unwrap_or(DEADLINE);
    let came = write_and_wait(state, letter, Awaited::Decision, limit).await?;
    if came.kind == Kind::DeadLetter {
        return Err(undecodable(&came.body));
    }
    let decision = parsed(&String::from_utf8_lossy(&came.body))?;
    let outcome = decision.get("outcome").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(Scored { decided: true, outcome, flagged: false, because: None, decision: Some(decision) })
}

/// Nothing that a label could be written as.
fn no_label(refusal: Option<&DecodeError>) -> Problem {
    const WHAT: &str =
        "the body is no event that says what came out about another one: the schema's `labels`";
    refusal.map_or_else(|| Problem::new(BAD_BODY, WHAT), unread)
}

/// A body that no topic takes, in the words of a dead letter.
fn unread(error: &DecodeError) -> Problem {
    let what = format!("the body is no event: {error}");
    let mut problem = Problem::new(BAD_BODY, what).with("reason", error.reason.as_str());
    if let Some(field) = &error.field {
        problem = problem.with("field", &**field);
    }
    problem
}

/// Whether the body is no event at all, whatever the schema says: the caller is told, and there is nothing to keep.
fn is_no_object(error: &DecodeError) -> bool {
    matches!(
        error.reason,
        Reason::Empty
            | Reason::InvalidUtf8
            | Reason::Bom
            | Reason::InvalidJson
            | Reason::NotAnObject
    )
}

/// Tells the audit trail who says what came out, by the digest of the record.
async fn tell(call: &Call, topic: &str, body: &[u8]) -> Result<(), Problem> {
    let digest = Some(Digest::of(body).hex());
    let deed = Deed {
        act: Act::LabelPosted,
        about: topic.to_owned(),
        digest,
        request: None,
        details: None,
    };
    let (command_id, actor) = (command_id(call)?, call.person.name.clone());
    let reason = "posted over HTTP".to_owned();
    acts::tell(&call.state, &deed, By { command_id, actor, reason, approval: None }).await
}

/// Where an event belongs.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    /// The topic that takes it.
    pub(crate) topic: String,
    key: Option<Vec<u8>>,
    is_label: bool,
    /// Why no topic takes it.
    refusal: Option<DecodeError>,
}

/// The topic of these that takes the event, and the key that spreads such records: of `kafka.partitioned_by` the entity's, else the
/// first key of the event, which is the key of its outputs. What the topic does not take becomes a dead letter with its
/// reason, as from any producer.
///
/// # Errors
/// It is no JSON object. Several topics would take it, and nobody says which is meant: a payment that some other event's form
/// fits, too, must not be decided as that.
pub(crate) fn place(
    (state, inputs): (&State, &[String]),
    (program, decoder): (&Program, &Decoder),
    body: &[u8],
    asked: Option<&str>,
) -> Result<Placed, Problem> {
    let entity = state.partitioned_by.as_deref();
    let (mut takers, mut refusal) = (Vec::new(), None);
    for topic in inputs.iter().filter(|topic| asked.is_none_or(|asked| asked == *topic)) {
        match key_of((program, decoder), topic, entity, body) {
            Ok((key, is_label)) => {
                takers.push(Placed { topic: topic.clone(), key, is_label, refusal: None });
            }
            Err(error) if is_no_object(&error) => return Err(unread(&error)),
            Err(error) => refusal = refusal.or(Some(error)),
        }
    }
    if takers.len() > 1 {
        let what = "several topics of the input would take this event: name one, `?topic=...`";
        let names: Vec<String> = takers.into_iter().map(|taker| taker.topic).collect();
        return Err(Problem::new(BAD_BODY, what).with("topics", names));
    }
    let first = asked.map(str::to_owned).or_else(|| inputs.first().cloned());
    let nobody = Placed { topic: first.unwrap_or_default(), key: None, is_label: false, refusal };
    Ok(takers.pop().unwrap_or(nobody))
}

/// A topic that somebody names is one of the input.
///
/// # Errors
/// It is not.
pub(crate) fn check_topic(inputs: &[String], asked: Option<&str>) -> Result<(), Problem> {
    if asked.is_none_or(|asked| inputs.iter().any(|topic| topic == asked)) {
        return Ok(());
    }
    let what = "`topic` is no topic of the input";
    Err(Problem::new(BAD_PARAMETER, what).with("topics", inputs.to_vec()))
}

/// The key of an event's record, and whether the event is a label.
fn key_of(
    (program, decoder): (&Program, &Decoder),
    topic: &str,
    entity: Option<&str>,
    body: &[u8],
) -> Result<(Option<Vec<u8>>, bool), DecodeError> {
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    match decoder.topic(topic) {
        Some(topic) => decoder.decode(topic, body, &mut scratch, &mut row)?,
        None => decoder.decode_any(body, &mut scratch, &mut row)?,
    }
    let key = record_key(program, &row, body, entity);
    Ok((key, program.schema.event(row.event()).labels.is_some()))
}
