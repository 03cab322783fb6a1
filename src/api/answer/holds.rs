//! Holds: what is open, what became of it, and what people decide.

use std::sync::Arc;

use axum::http::{HeaderName, StatusCode, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::answer::reason::{SEEN, check_reason};
use crate::api::answer::requests::{self, RequestItem};
use crate::api::answer::standing::ask_second_person;
use crate::api::call::{Call, Reply};
use crate::api::commands::{
    Asked, CLAIM, CONFIRM, Done, ESCALATE, EXTEND, PLACE, RELEASE, To, UNCLAIM, Verb, command_id,
    expected_state, give,
};
use crate::api::fresh;
use crate::api::problem::{BAD_BODY, BAD_PARAMETER, ENDED, FORBIDDEN, Problem, STALE_STATE};
use crate::api::records::{PAGE, Page, logged_at, other_model, parsed};
use crate::api::roles::{Role, Scope};
use crate::api::state::State;
use crate::api::store::read::{self, Claimed, KeptHold};
use crate::api::store::requests::Request;
use crate::api::store::{Connection, Kind};
use crate::base::Currency;
use crate::base::amount::parse_minor;
use crate::base::time::{format_rfc3339, parse_rfc3339};
use crate::decision::holds::HoldState;
use crate::decision::wire::HoldRecord;

/// States of a hold, as records name them.
pub(crate) const STATES: [&str; 6] =
    ["placed", "extended", "escalated", "released", "confirmed", "expired"];

/// Most steps of a hold that are shown.
const MAX_STEPS: i64 = 200;

/// Longest text of a command beside its reason.
const MAX_TEXT_BYTES: usize = 256;

/// A hold as it stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HoldItem {
    /// Whether its release takes a second person.
    needs_four_eyes: bool,
    /// Its newest record.
    #[schemars(with = "HoldRecord<'static>")]
    hold: Value,
}

/// A hold with all that became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HoldWhole {
    /// Whether its release takes a second person.
    needs_four_eyes: bool,
    /// Its newest record.
    #[schemars(with = "HoldRecord<'static>")]
    hold: Value,
    /// All its records, oldest first; 200 at most.
    history: Vec<HoldStep>,
}

/// One step.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct HoldStep {
    /// When the log took it.
    #[schemars(extend("format" = "date-time"))]
    logged_at: String,
    /// The record.
    #[schemars(with = "HoldRecord<'static>")]
    hold: Value,
}

/// What is asked of a hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decide {
    /// Why; it stands in the records.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    pub(crate) reason: String,
}

/// Until when a hold is put off.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Extend {
    /// Why; it stands in the records.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The new deadline: later than the old one, at most 400 days after the hold was placed.
    #[schemars(extend("format" = "date-time"))]
    deadline_at: String,
}

/// Whom to ask about a hold now.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskOthers {
    /// Why; it stands in the records and in the alert.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// Whose queue is asked; without it the one that the hold would ask at its first deadline.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    escalate_to: Option<String>,
    /// The new last deadline: later than the one that it has, at most 400 days after the hold was placed.
    #[schemars(extend("format" = "date-time"))]
    deadline_at: Option<String>,
}

/// Who works on a hold.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Claim {
    /// Why; it stands in the records.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// Whose claim is taken over or given back, where that is somebody else: for `senior` and `admin`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    take_from: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Outcome {
    /// The hold.
    hold_id: String,
    /// Its state now.
    state: String,
    /// Whether this had been done before, by the same idempotency key.
    is_repeat: bool,
}

/// `GET /v1/holds`
pub(crate) async fn list(call: Call) -> Result<Reply, Problem> {
    let limit = call.query.count("limit").unwrap_or(PAGE);
    let wanted = call.query.words("state");
    let states: Vec<&'static str> = if wanted.is_empty() {
        let open = HoldState::ALL.into_iter().filter(|state| state.is_open());
        open.map(HoldState::as_str).collect()
    } else {
        STATES.into_iter().filter(|state| wanted.contains(state)).collect()
    };
    let claimed = match (call.query.owned("claimed_by"), call.query.text("claimed")) {
        (Some(_), Some(_)) => {
            return Err(Problem::new(BAD_PARAMETER, "`claimed` and `claimed_by` are one question"));
        }
        (Some(by), None) => Claimed::By(by),
        (None, Some("yes")) => Claimed::Yes,
        (None, Some(_)) => Claimed::No,
        (None, None) => Claimed::OrNot,
    };
    let after = call.query.text("cursor").map(read_cursor).transpose()?;
    let most = i64::try_from(limit).unwrap_or(0) + 1;
    let scope = call.person.scope.clone();
    let found = call
        .state
        .store
        .ask(move |connection| {
            read::holds(connection, (&states, &claimed, &scope), after.as_ref(), most)
        })
        .await?;
    let page = Page::of(found, limit, |it| format!("{}.{}", it.deadline_ms, it.hold_id));
    let item = |hold: &KeptHold| {
        let needs_four_eyes = needs_four_eyes(&call.state, hold);
        Ok(HoldItem { needs_four_eyes, hold: parsed(&hold.body)? })
    };
    let items: Result<Vec<HoldItem>, Problem> = page.items.iter().map(item).collect();
    Reply::json(&Page { items: items?, next: page.next })
}

fn read_cursor(text: &str) -> Result<(i64, String), Problem> {
    let parsed = text.split_once('.').and_then(|(ms, id)| Some((ms.parse().ok()?, id.to_owned())));
    parsed.ok_or_else(other_model)
}

/// `GET /v1/holds/{id}`
pub(crate) async fn one(call: Call) -> Result<Reply, Problem> {
    let hold = find(&call).await?;
    let id = hold.hold_id.clone();
    let steps =
        call.state.store.ask(move |connection| read::steps(connection, &id, MAX_STEPS)).await?;
    let step =
        |kept: &read::Kept| Ok(HoldStep { logged_at: logged_at(kept), hold: parsed(&kept.body)? });
    let history: Result<Vec<HoldStep>, Problem> = steps.iter().map(step).collect();
    let needs_four_eyes = needs_four_eyes(&call.state, &hold);
    let whole = HoldWhole { needs_four_eyes, hold: parsed(&hold.body)?, history: history? };
    Ok(tagged(Reply::json(&whole)?, &hold.state))
}

/// With the state as `ETag`, which `If-Match` takes.
fn tagged(reply: Reply, state: &str) -> Reply {
    reply.header(header::ETAG, &format!("\"{state}\""))
}

/// The hold that a call is about, where the caller may see it.
///
/// # Errors
/// There is none, or the read model is too far behind to tell.
pub(crate) async fn find(call: &Call) -> Result<KeptHold, Problem> {
    find_in(&call.state, call.name(), call.person.scope.clone()).await
}

/// The same for any id and view.
async fn find_in(state: &Arc<State>, id: &str, scope: Scope) -> Result<KeptHold, Problem> {
    let id = id.to_owned();
    let question = move |connection: &Connection| read::hold(connection, &id, &scope);
    fresh::find(state, Kind::Hold, "hold", question).await
}

/// Whether two people must release it: every one, or above the limit of its currency, or none can tell.
pub(crate) fn needs_four_eyes(state: &State, hold: &KeptHold) -> bool {
    if state.is_for_two(RELEASE) {
        return true;
    }
    if state.four_eyes_above.is_empty() {
        return false;
    }
    let above = hold.amount.as_ref().and_then(|(code, value)| {
        let currency = Currency::parse(code)?;
        let limit = state.four_eyes_above.get(&currency)?;
        Some(parse_minor(value.as_bytes(), currency.minor_digits()).ok()? > *limit)
    });
    above.unwrap_or(true)
}

/// A subject all of whose payments are to be held.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    /// Why; it stands in the records.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The kind of entity, as the rules' schema names it: `account`, `card`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    entity: String,
    /// Which one.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    value: String,
    /// Until when, at most 400 days.
    #[schemars(extend("format" = "date-time"))]
    deadline_at: String,
    /// What happens then, or at `escalate_until`; `release` where nobody says.
    #[schemars(extend("enum" = ["release", "block"]))]
    otherwise: Option<String>,
    /// Whose queue is asked at the deadline; with `escalate_until`.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    escalate_to: Option<String>,
    /// The last deadline, after the first; with `escalate_to`.
    #[schemars(extend("format" = "date-time"))]
    escalate_until: Option<String>,
}

/// `POST /v1/holds:place`
pub(crate) async fn place(call: Call) -> Result<Reply, Problem> {
    let body: Place = call.json()?;
    check_reason(&body.reason)?;
    let mut members = Map::new();
    members.insert("entity".to_owned(), json!(check_text("entity", body.entity)?));
    members.insert("value".to_owned(), json!(check_text("value", body.value)?));
    members.insert("deadline_at".to_owned(), json!(instant("deadline_at", &body.deadline_at)?));
    if let Some(otherwise) = body.otherwise {
        if !["release", "block"].contains(&otherwise.as_str()) {
            let what = "`otherwise` is `release` or `block`";
            return Err(Problem::new(BAD_BODY, what).with("member", "otherwise"));
        }
        members.insert("otherwise".to_owned(), json!(otherwise));
    }
    members.extend(escalation(body.escalate_to, body.escalate_until)?);
    if call.state.is_for_two(PLACE) {
        return ask_second_person(&call, PLACE, &body.reason, members).await;
    }
    let command_id = command_id(&call)?;
    let actor = call.person.name.clone();
    let asked = Asked { verb: PLACE, command_id, actor, reason: body.reason, members, to: To::All };
    let Done { hold_id, state, is_repeat } = give(&call.state, &asked).await?;
    let outcome = Outcome { hold_id, state: state.clone(), is_repeat };
    Ok(tagged(Reply::json(&outcome)?, &state))
}

/// The members that say whom to ask at the first deadline, and until when.
fn escalation(to: Option<String>, until: Option<String>) -> Result<Map<String, Value>, Problem> {
    let (to, until) = match (to, until) {
        (None, None) => return Ok(Map::new()),
        (Some(to), Some(until)) => (to, until),
        (to, _) => {
            let lacks = if to.is_none() { "escalate_to" } else { "escalate_until" };
            let what = "`escalate_to` and `escalate_until` come together";
            return Err(Problem::new(BAD_BODY, what).with("member", lacks));
        }
    };
    let mut members = Map::new();
    members.insert("escalate_to".to_owned(), json!(check_text("escalate_to", to)?));
    members.insert("escalate_until".to_owned(), json!(instant("escalate_until", &until)?));
    Ok(members)
}

/// A text of a command.
///
/// # Errors
/// It says nothing, or is too long.
pub(crate) fn check_text(member: &'static str, text: String) -> Result<String, Problem> {
    if text.trim().is_empty() || text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
        let what = format!("`{member}` says something, in at most {MAX_TEXT_BYTES} bytes");
        return Err(Problem::new(BAD_BODY, what).with("member", member));
    }
    Ok(text)
}

/// An instant of a command.
///
/// # Errors
/// It is none.
pub(crate) fn instant(member: &'static str, text: &str) -> Result<String, Problem> {
    let parsed = parse_rfc3339(text.as_bytes()).map(format_rfc3339);
    parsed.ok_or_else(|| {
        let what = format!("`{member}` is an instant such as 2026-01-31T12:00:00Z");
        Problem::new(BAD_BODY, what).with("member", member)
    })
}

/// `POST /v1/holds/{id}:release`
pub(crate) async fn release(call: Call) -> Result<Reply, Problem> {
    let Decide { reason } = call.json()?;
    check_reason(&reason)?;
    let hold = find(&call).await?;
    let expected = expected_state(&call, &STATES)?;
    if !needs_four_eyes(&call.state, &hold) {
        return decide(&call, RELEASE, hold, reason, Map::new()).await;
    }
    let payload = json!({ "expected_state": expected });
    let possible = can_be_released(&hold, expected);
    let request =
        requests::ask(&call, RELEASE.kind, &hold.hold_id, &reason, &payload, possible).await?;
    let place = format!("/v1/requests/{}", request.request_id);
    let reply = Reply::json(&request)?.status(StatusCode::ACCEPTED);
    Ok(reply.header(HeaderName::from_static("location"), &place))
}

/// Whether a hold is open, and in the state that somebody looked at.
fn can_be_released(hold: &KeptHold, expected: Option<&str>) -> Result<(), Problem> {
    let refused = |kind, what: &str| Err(Problem::new(kind, what).with("state", &*hold.state));
    let is_it = |state: &HoldState| state.as_str() == hold.state;
    if !HoldState::ALL.iter().find(|state| is_it(state)).is_some_and(|state| state.is_open()) {
        return refused(ENDED, "somebody decided already, or its deadline came");
    }
    if expected.is_some_and(|expected| expected != hold.state) {
        return refused(STALE_STATE, "it is in another state than `If-Match` says");
    }
    Ok(())
}

/// `POST /v1/holds/{id}:confirm`
pub(crate) async fn confirm(call: Call) -> Result<Reply, Problem> {
    let Decide { reason } = call.json()?;
    check_reason(&reason)?;
    let hold = find(&call).await?;
    decide(&call, CONFIRM, hold, reason, Map::new()).await
}

/// `POST /v1/holds/{id}:extend`
pub(crate) async fn extend(call: Call) -> Result<Reply, Problem> {
    let Extend { reason, deadline_at } = call.json()?;
    check_reason(&reason)?;
    let deadline_at = instant("deadline_at", &deadline_at)?;
    let hold = find(&call).await?;
    let mut members = Map::new();
    members.insert("deadline_at".to_owned(), json!(deadline_at));
    decide(&call, EXTEND, hold, reason, members).await
}

/// `POST /v1/holds/{id}:escalate`
pub(crate) async fn escalate(call: Call) -> Result<Reply, Problem> {
    let AskOthers { reason, escalate_to, deadline_at } = call.json()?;
    check_reason(&reason)?;
    let mut members = Map::new();
    if let Some(queue) = escalate_to {
        members.insert("escalate_to".to_owned(), json!(check_text("escalate_to", queue)?));
    }
    if let Some(deadline_at) = deadline_at {
        members.insert("deadline_at".to_owned(), json!(instant("deadline_at", &deadline_at)?));
    }
    let hold = find(&call).await?;
    decide(&call, ESCALATE, hold, reason, members).await
}

/// `POST /v1/holds/{id}:claim`
pub(crate) async fn claim(call: Call) -> Result<Reply, Problem> {
    work_on(call, CLAIM).await
}

/// `POST /v1/holds/{id}:unclaim`
pub(crate) async fn unclaim(call: Call) -> Result<Reply, Problem> {
    work_on(call, UNCLAIM).await
}

async fn work_on(call: Call, verb: Verb) -> Result<Reply, Problem> {
    let Claim { reason, take_from } = call.json()?;
    check_reason(&reason)?;
    let mut members = Map::new();
    if let Some(other) = take_from {
        let other = check_text("take_from", other)?;
        if other != call.person.name && !call.person.may(&[Role::Senior, Role::Admin]) {
            let what =
                "somebody else's claim is taken over, or given back, by `senior` and `admin`";
            return Err(Problem::new(FORBIDDEN, what).with("member", "take_from"));
        }
        members.insert("take_from".to_owned(), json!(other));
    }
    let hold = find(&call).await?;
    decide(&call, verb, hold, reason, members).await
}

/// Gives a command about a hold in the caller's own name.
async fn decide(
    call: &Call,
    verb: Verb,
    hold: KeptHold,
    reason: String,
    mut members: Map<String, Value>,
) -> Result<Reply, Problem> {
    if let Some(state) = expected_state(call, &STATES)? {
        members.insert("expected_state".to_owned(), json!(state));
    }
    let command_id = command_id(call)?;
    let actor = call.person.name.clone();
    let asked = about(&hold, Asked { verb, command_id, actor, reason, members, to: To::All });
    let done = give(&call.state, &asked).await?;
    let outcome =
        Outcome { hold_id: hold.hold_id, state: done.state.clone(), is_repeat: done.is_repeat };
    Ok(tagged(Reply::json(&outcome)?, &done.state))
}

/// A command goes to where its hold is known.
fn about(hold: &KeptHold, mut asked: Asked) -> Asked {
    asked.members.insert("hold_id".to_owned(), json!(hold.hold_id));
    // A hold that was placed by command is known to every instance.
    let body: Value = serde_json::from_str(&hold.body).unwrap_or_default();
    let is_everywhere = body.pointer("/placed_by/0").and_then(Value::as_str) == Some("command");
    let to = if is_everywhere { To::All } else { To::Keeper(hold.key.clone(), hold.number) };
    Asked { to, ..asked }
}

/// Does what a second person approved. Both names stand in the records.
///
/// # Errors
/// As for any command.
pub(crate) async fn release_approved(
    state: &Arc<State>,
    request: &Request,
    (approver, note): (&str, &str),
) -> Result<String, Problem> {
    let hold = find_in(state, &request.about, Scope::All).await?;
    let payload = parsed(&request.payload)?;
    let mut members = Map::new();
    if let Some(expected) = payload.get("expected_state").filter(|state| state.is_string()) {
        members.insert("expected_state".to_owned(), expected.clone());
    }
    // WHY: members of their own, because a reason is anybody's words and proves nothing of who said them.
    members.insert("approved_by".to_owned(), json!(approver));
    members.insert("approval_reason".to_owned(), json!(note));
    let asked = about(
        &hold,
        Asked {
            verb: RELEASE,
            command_id: format!("api-request:{}", request.id),
            actor: request.asked_by.clone(),
            reason: request.reason.clone(),
            members,
            to: To::All,
        },
    );
    give(state, &asked).await.map(|done| done.state)
}

/// What `:release` answers where it takes a second person.
pub(crate) type Waiting = RequestItem;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_of_a_hold_may_be_asked_for() {
        assert_eq!(STATES, HoldState::ALL.map(HoldState::as_str));
        let pattern = format!("^(\\*|\"({})\")$", STATES.join("|"));
        assert_eq!(
            crate::api::table::IF_MATCH.pattern,
            pattern,
            "and may be what somebody looked at"
        );
    }
}
