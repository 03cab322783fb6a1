//! Four eyes: somebody asks, somebody else approves, and only then it is done. Who asked cannot approve, whatever their roles.

use axum::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::acts::{self, By};
use crate::api::answer::holds::{self, Decide, check_reason};
use crate::api::answer::{rules, standing};
use crate::api::call::{Call, MAX_KEY_BYTES, Reply};
use crate::api::problem::{FORBIDDEN, KEY_REUSED, NOT_FOUND, OWN_REQUEST, Problem, STALE_STATE};
use crate::api::records::{PAGE, Page, other_model, parsed};
use crate::api::roles::Role;
use crate::api::state::{now_ms, random_hex};
use crate::api::store::Connection;
use crate::api::store::requests::{self, Request};
use crate::base::Digest;
use crate::base::cards::mask_cards;
use crate::base::time::format_rfc3339;
use crate::decision::command::{Act, Deed};

/// States of a request.
pub(crate) const STATES: [&str; 5] = ["pending", "approved", "refused", "done", "failed"];

/// What can be asked for, and who may be the second person.
const KINDS: [(&str, &[Role]); 7] = [
    ("hold.release", SENIORS),
    ("hold.place", SENIORS),
    ("list.add", SENIORS),
    ("list.remove", SENIORS),
    ("snooze.set", APPROVERS),
    ("snooze.end", APPROVERS),
    ("rules.activate", &[Role::RuleApprover, Role::Admin]),
];

/// Those who could have asked.
const SENIORS: &[Role] = &[Role::Senior, Role::Admin];
/// The same, and who approves rules: a snooze is a rule that does not act.
const APPROVERS: &[Role] = &[Role::Senior, Role::RuleApprover, Role::Admin];

/// Something that waits for a second person, or did.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Request")]
pub(crate) struct RequestItem {
    /// Its id.
    pub(crate) request_id: String,
    /// What is asked for.
    #[schemars(extend("enum" = ["hold.release", "hold.place", "list.add", "list.remove", "snooze.set", "snooze.end", "rules.activate"]))]
    kind: String,
    /// The hold, the kind of subject, the list, the rule, or the digest of the rule set.
    about: String,
    /// Who asked.
    asked_by: String,
    /// Why.
    reason: String,
    /// When.
    #[schemars(extend("format" = "date-time"))]
    asked_at: String,
    /// `approved` and neither `done` nor `failed`: whoever approved was cut off, and may approve again.
    #[schemars(extend("enum" = ["pending", "approved", "refused", "done", "failed"]))]
    state: String,
    /// How many people must approve beside whoever asked.
    approvals_needed: u32,
    /// Who approved so far.
    approved_by: Vec<String>,
    /// Who approved last, or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    /// When they decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    decided_at: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// What came of it: a state, or why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// What is needed to judge it: of a rule set what would change, of a command its members, card numbers masked.
    details: Value,
}

fn item(it: &Request) -> Result<RequestItem, Problem> {
    // WHY: the engine must have the number that was given, to make its token; whoever approves knows it by its last digits.
    let details = parsed(&mask_cards(&it.payload))?;
    Ok(RequestItem {
        approvals_needed: needed(&details),
        approved_by: it.approved_by.clone(),
        request_id: it.id.clone(),
        kind: it.kind.clone(),
        about: it.about.clone(),
        asked_by: it.asked_by.clone(),
        reason: it.reason.clone(),
        asked_at: format_rfc3339(it.asked_ms),
        state: it.state.clone(),
        decided_by: it.decided_by.clone(),
        decided_at: it.decided_ms.map(format_rfc3339),
        note: it.note.clone(),
        outcome: it.outcome.clone(),
        details,
    })
}

/// How many people must approve.
fn needed(details: &Value) -> u32 {
    let said = details.get("approvals_needed").and_then(Value::as_u64);
    said.and_then(|people| u32::try_from(people).ok()).unwrap_or(1).max(1)
}

/// Keeps a request of the caller's. The same idempotency key means the same request.
///
/// # Errors
/// The key came before with other content.
pub(crate) async fn ask(
    call: &Call,
    kind: &'static str,
    about: &str,
    reason: &str,
    payload: &Value,
) -> Result<RequestItem, Problem> {
    let key = call.header("idempotency-key", MAX_KEY_BYTES)?;
    let name = call.person.name.as_str();
    let id = key.map_or_else(
        || random_hex(16),
        |key| Digest::of_parts(&[name.as_bytes(), key.as_bytes()]).short_hex(),
    );
    let request = Request {
        id,
        kind: kind.to_owned(),
        about: about.to_owned(),
        asked_by: name.to_owned(),
        reason: reason.to_owned(),
        asked_ms: now_ms(),
        payload: payload.to_string(),
        ..Request::waiting()
    };
    let id = request.id.clone();
    let there = call.state.store.ask(move |connection| requests::find(connection, &id)).await?;
    let kept = match there {
        Some(kept) => kept,
        None => keep(call, &request).await?,
    };
    if !is_same(&kept, &request)? {
        return Err(Problem::new(KEY_REUSED, "the idempotency key came before with other content"));
    }
    item(&kept)
}

/// Keeps a new request, and tells the audit trail of it.
async fn keep(call: &Call, request: &Request) -> Result<Request, Problem> {
    tell(call, request, Act::RequestMade, &request.reason).await?;
    let wanted = request.clone();
    let work = move |connection: &mut Connection| {
        requests::insert(connection, &wanted)?;
        requests::find(connection, &wanted.id)
    };
    Ok(call.state.store.change(work).await?.unwrap_or_else(|| request.clone()))
}

/// Tells the audit trail what the caller does about a request.
async fn tell(call: &Call, request: &Request, act: Act, reason: &str) -> Result<(), Problem> {
    let (actor, verb) = (call.person.name.clone(), act.as_str());
    // WHY: whoever was cut off and does the same again tells it once, and whoever gives another reason tells it anew.
    let why = Digest::of(reason.as_bytes()).short_hex();
    let Request { id, asked_ms, about, .. } = request;
    let by = By {
        command_id: format!("api-request:{id}:{asked_ms}:{verb}:{actor}:{why}"),
        actor,
        reason: reason.to_owned(),
        approval: None,
    };
    let (digest, about) = (Some(request.content()), about.clone());
    acts::tell(&call.state, &Deed { act, about, digest, request: Some(id.clone()) }, by).await
}

/// Whether two requests of one key ask for the same. WHY: of a rule set its digest says all, and the plan beside it is another
/// one when another rule set decides by now; of a hold it counts in which state it is expected.
fn is_same(kept: &Request, asked: &Request) -> Result<bool, Problem> {
    // What is done or refused is kept as it may be shown.
    let is_whole = ["pending", "approved"].contains(&kept.state.as_str());
    let said = |it: &Request| -> Result<[Value; 2], Problem> {
        let shown = mask_cards(&it.payload);
        let payload = parsed(if is_whole { &it.payload } else { &shown })?;
        let of = |name: &str| payload.get(name).cloned().unwrap_or_default();
        Ok([of("expected_state"), of("members")])
    };
    let words = |it: &Request| [it.kind.clone(), it.about.clone(), it.reason.clone()];
    Ok(words(kept) == words(asked) && said(kept)? == said(asked)?)
}

/// `GET /v1/requests`
pub(crate) async fn list(call: Call) -> Result<Reply, Problem> {
    let limit = call.query.count("limit").unwrap_or(PAGE);
    let state = call.query.owned("state");
    let before = call.query.text("cursor").map(read_cursor).transpose()?;
    let most = i64::try_from(limit).unwrap_or(0) + 1;
    let found = call
        .state
        .store
        .ask(move |connection| requests::page(connection, state.as_deref(), before.as_ref(), most))
        .await?;
    let page = Page::of(found, limit, |it| format!("{}.{}", it.asked_ms, it.id));
    let items: Result<Vec<RequestItem>, Problem> = page.items.iter().map(item).collect();
    Reply::json(&Page { items: items?, next: page.next })
}

fn read_cursor(text: &str) -> Result<(i64, String), Problem> {
    let parsed = text.split_once('.').and_then(|(ms, id)| Some((ms.parse().ok()?, id.to_owned())));
    parsed.ok_or_else(other_model)
}

/// `GET /v1/requests/{id}`
pub(crate) async fn one(call: Call) -> Result<Reply, Problem> {
    Reply::json(&item(&find(&call).await?)?)
}

async fn find(call: &Call) -> Result<Request, Problem> {
    let id = call.name().to_owned();
    let found = call.state.store.ask(move |connection| requests::find(connection, &id)).await?;
    found.ok_or_else(|| Problem::new(NOT_FOUND, "there is no request of this id"))
}

/// `POST /v1/requests/{id}:approve`
pub(crate) async fn approve(call: Call) -> Result<Reply, Problem> {
    let Decide { reason } = call.json()?;
    check_reason(&reason)?;
    let request = second_person(&call).await?;
    let by = call.person.name.clone();
    let is_again = request.state == "approved" && request.decided_by.as_ref() == Some(&by);
    // WHY: whoever was cut off and approves again gives the same command again.
    let note = request.note.clone().filter(|_| is_again).unwrap_or_else(|| reason.clone());
    if !is_again && !enough(&call, &request, &reason).await? {
        return Ok(Reply::json(&item(&find(&call).await?)?)?.status(StatusCode::ACCEPTED));
    }
    let came = match request.kind.as_str() {
        "hold.release" => holds::release_approved(&call.state, &request, (&by, &note)).await,
        "rules.activate" => rules::activate_approved(&call.state, &request, (&by, &note)).await,
        _ => standing::change_approved(&call.state, &request, (&by, &note)).await,
    };
    let (state, outcome) = match &came {
        Ok(state) => ("done", state.clone()),
        // WHY: what may still be done is neither done nor failed.
        Err(problem) if problem.kind.status >= 500 => {
            return Err(problem.clone().with("approved", request.id));
        }
        Err(problem) => ("failed", problem.kind.code.to_owned()),
    };
    let (id, shown) = (request.id.clone(), mask_cards(&request.payload).into_owned());
    let concluded = call
        .state
        .store
        .change(move |connection| {
            requests::conclude(connection, &id, (state, &outcome), &shown)?;
            requests::find(connection, &id)
        })
        .await?;
    came?;
    Reply::json(&item(&concluded.unwrap_or(request))?)
}

/// Takes the caller's approval down. False: more people must approve.
async fn enough(call: &Call, request: &Request, note: &str) -> Result<bool, Problem> {
    if request.state != "pending" {
        return settle(call, request, "approved", note).await.map(|()| true);
    }
    let needed = needed(&parsed(&request.payload)?);
    if !request.approved_by.contains(&call.person.name) {
        tell(call, request, Act::RequestApproved, note).await?;
    }
    let (wanted, by, said) = (request.clone(), call.person.name.clone(), note.to_owned());
    let people = call
        .state
        .store
        .change(move |connection| requests::approve(connection, &wanted, (&by, &said), now_ms()))
        .await?;
    if people < needed {
        return Ok(false);
    }
    settle(call, request, "approved", note).await.map(|()| true)
}

/// `POST /v1/requests/{id}:refuse`
pub(crate) async fn refuse(call: Call) -> Result<Reply, Problem> {
    let Decide { reason } = call.json()?;
    check_reason(&reason)?;
    let request = find(&call).await?;
    // Whoever asked may take it back; else it takes somebody who could have approved.
    if request.asked_by != call.person.name {
        second_person(&call).await?;
    }
    if request.state == "pending" {
        tell(&call, &request, Act::RequestRefused, &reason).await?;
    }
    settle(&call, &request, "refused", &reason).await?;
    let (id, shown) = (request.id.clone(), mask_cards(&request.payload).into_owned());
    let hide = call.state.store.change(move |connection| requests::hide(connection, &id, &shown));
    hide.await?;
    let refused = find(&call).await?;
    Ok(Reply::json(&item(&refused)?)?.header(header::CACHE_CONTROL, "no-store"))
}

/// The request, if the caller may be its second person.
async fn second_person(call: &Call) -> Result<Request, Problem> {
    let request = find(call).await?;
    let roles = KINDS.iter().find(|(kind, _)| *kind == request.kind).map(|(_, roles)| *roles);
    let roles = roles.unwrap_or_default();
    if !call.person.may(roles) {
        let needs: Vec<&str> = roles.iter().map(|role| role.name()).collect();
        let what = "the token has none of the roles that approve this";
        return Err(Problem::new(FORBIDDEN, what).with("roles", needs));
    }
    if request.asked_by == call.person.name {
        return Err(Problem::new(OWN_REQUEST, "somebody else must approve what you asked for"));
    }
    Ok(request)
}

async fn settle(
    call: &Call,
    request: &Request,
    state: &'static str,
    note: &str,
) -> Result<(), Problem> {
    let (wanted, by, note) = (request.clone(), call.person.name.clone(), note.to_owned());
    let work = move |connection: &mut Connection| {
        requests::decide(connection, &wanted, (state, &by, &note), now_ms())
    };
    let is_first = call.state.store.change(work).await?;
    if is_first {
        return Ok(());
    }
    Err(Problem::new(STALE_STATE, "somebody decided about it already")
        .with("state", request.state.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::FOR_TWO;

    #[test]
    fn whatever_may_take_two_people_has_a_second_person() {
        let of =
            |kind: &str| KINDS.iter().find(|(known, _)| *known == kind).map(|(_, roles)| roles);
        for kind in FOR_TWO {
            assert!(of(kind).is_some_and(|roles| roles.contains(&Role::Admin) && roles.len() > 1));
        }
        // The others are rule sets.
        assert_eq!(KINDS.len(), FOR_TWO.len() + 1);
    }

    #[test]
    fn who_looked_at_another_state_of_the_hold_asks_for_something_else() {
        let asked = |payload: &str| Request {
            id: "r".to_owned(),
            kind: "hold.release".to_owned(),
            about: "h".to_owned(),
            asked_by: "ann".to_owned(),
            reason: "called".to_owned(),
            asked_ms: 0,
            payload: payload.to_owned(),
            ..Request::waiting()
        };
        let placed = asked(r#"{"expected_state":"placed"}"#);
        let same = |other: &Request| is_same(&placed, other).unwrap();
        assert!(same(&placed.clone()));
        for other in [r#"{"expected_state":"extended"}"#, r#"{"expected_state":null}"#, "{}"] {
            assert!(!same(&asked(other)), "{other}");
        }
        assert!(is_same(&asked(r#"{"plan":1}"#), &asked(r#"{"plan":2}"#)).unwrap());
        assert!(!same(&Request { about: "i".to_owned(), ..placed.clone() }));
    }
}
