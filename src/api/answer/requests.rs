//! Four eyes: somebody asks, somebody else approves, and only then it is done. Who asked cannot approve, whatever their roles.
//!
//! Nothing is decided here. What people say becomes a deed of the audit trail, and the read model tells what all deeds together come to
//! ([`crate::api::store::requests`]); whoever's approval was the one that sufficed does it. So any instance can be asked, and two who
//! decide at once in different ones are the first and the second.

use axum::http::{StatusCode, header};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::api::acts::{self, By};
use crate::api::answer::holds::{self, Decide};
use crate::api::answer::reason::check_reason;
use crate::api::answer::{activation, standing};
use crate::api::call::{Call, MAX_KEY_BYTES, Reply};
use crate::api::fresh;
use crate::api::problem::{
    FORBIDDEN, KEY_REUSED, NOT_CONFIGURED, NOT_FOUND, NOT_READY, OWN_REQUEST, Problem, REFUSED,
    STALE_STATE,
};
use crate::api::records::{PAGE, Page, other_model, parsed};
use crate::api::roles::Role;
use crate::api::state::{now_ms, random_hex};
use crate::api::store::requests::{self, COMMAND, MASKED, Request, needed};
use crate::api::store::{Connection, Kind};
use crate::base::Digest;
use crate::base::cards::mask_cards;
use crate::base::time::format_rfc3339;
use crate::decision::command::{Act, Deed, MAX_DETAILS_BYTES};
use crate::telemetry::api::ApiOverridden;

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

/// Most bytes of what is needed to do it. WHY: beside it an entry of the trail has the kind and the time.
const MOST_PAYLOAD_BYTES: usize = MAX_DETAILS_BYTES - 512;

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
    /// `approved` and neither `done` nor `failed`: whoever approved last was cut off, and may approve again.
    #[schemars(extend("enum" = ["pending", "approved", "refused", "done", "failed"]))]
    state: String,
    /// How many people must approve beside whoever asked.
    approvals_needed: u32,
    /// Who approved so far.
    approved_by: Vec<String>,
    /// Whether one person did it alone, past those who had to approve.
    is_overridden: bool,
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
    /// What is needed to judge it: of a rule set what would change, of a command its members, card numbers masked. `masked`: some are,
    /// and only the instance that was asked can do it.
    details: Value,
}

fn item(it: &Request) -> Result<RequestItem, Problem> {
    // WHY: the engine must have the number that was given, to make its token; whoever approves knows it by its last digits.
    let details = parsed(&mask_cards(&it.payload))?;
    Ok(RequestItem {
        approvals_needed: needed(&details),
        approved_by: it.approved_by.clone(),
        is_overridden: it.is_overridden(),
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

/// Keeps a request of the caller's. The same idempotency key means the same request; a new one is made where it is `possible`: nobody
/// else is asked about what can only be refused.
///
/// # Errors
/// The key came before with other content, or it is not possible.
pub(crate) async fn ask(
    call: &Call,
    kind: &'static str,
    about: &str,
    reason: &str,
    payload: &Value,
    possible: Result<(), Problem>,
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
        reason: mask_cards(reason).into_owned(),
        asked_ms: now_ms(),
        payload: tellable(payload.clone()).to_string(),
        ..Request::waiting()
    };
    if key.is_some() && call.state.topics.commands.is_some() {
        // WHY: another instance may have been asked the same.
        fresh::catch_up(&call.state, Kind::Audit, fresh::PATIENCE).await?;
    }
    let kept = if let Some(kept) = known(call, &request.id).await? {
        kept
    } else {
        possible?;
        make(call, &request).await?
    };
    if !is_same(&kept, &request)? {
        return Err(Problem::new(KEY_REUSED, "the idempotency key came before with other content"));
    }
    item(&kept)
}

/// What is needed, as far as an entry of the trail has room for it, and whether the entry has a part of it masked.
fn tellable(mut payload: Value) -> Value {
    for part in ["/plan/changes", "/plan/warnings", "/writes"] {
        if payload.to_string().len() > MOST_PAYLOAD_BYTES
            && let Some(part) = payload.pointer_mut(part)
        {
            *part = json!("too long to be told: POST /v1/rules:plan says it");
        }
    }
    let text = payload.to_string();
    if let Some(members) = payload.as_object_mut().filter(|_| mask_cards(&text) != text) {
        members.insert(MASKED.to_owned(), json!(true));
    }
    payload
}

/// Tells the audit trail of a new request, and waits until it is known by that.
async fn make(call: &Call, request: &Request) -> Result<Request, Problem> {
    if mask_cards(&request.payload) != request.payload {
        let given = request.clone();
        let keep = move |connection: &mut Connection| requests::keep_given(connection, &given);
        call.state.store.change(keep).await?;
    }
    let details = json!({
        "kind": request.kind,
        "asked_at": format_rfc3339(request.asked_ms),
        "payload": parsed(&mask_cards(&request.payload))?,
    });
    tell(call, request, (Act::RequestMade, &request.reason), Some(details.to_string())).await?;
    let behind = || Problem::new(NOT_READY, "the request was made, and is not known here yet");
    known(call, &request.id).await?.ok_or_else(behind)
}

/// Tells the audit trail what the caller does about a request, and waits until the read model knows what that comes to.
async fn tell(
    call: &Call,
    request: &Request,
    (act, reason): (Act, &str),
    details: Option<String>,
) -> Result<(), Problem> {
    let (actor, verb) = (call.person.name.clone(), act.as_str());
    // WHY: whoever was cut off and does the same again tells it once, and whoever gives another reason tells it anew.
    let why = Digest::of(reason.as_bytes()).short_hex();
    let Request { id, asked_ms, about, .. } = request;
    let by = By {
        command_id: format!("{COMMAND}{id}:{asked_ms}:{verb}:{actor}:{why}"),
        actor,
        reason: reason.to_owned(),
        approval: None,
    };
    let (digest, about) = (Some(request.content()), about.clone());
    let deed = Deed { act, about, digest, request: Some(id.clone()), details };
    acts::tell(&call.state, &deed, by).await?;
    fresh::catch_up(&call.state, Kind::Audit, fresh::PATIENCE).await
}

/// Whether two requests of one key ask for the same. WHY: of a rule set its digest says all, and the plan beside it is another
/// one when another rule set decides by now; of a hold it counts in which state it is expected.
fn is_same(kept: &Request, asked: &Request) -> Result<bool, Problem> {
    // What is done, or was asked of another instance, is known as it may be shown.
    let said = |it: &Request| -> Result<[Value; 2], Problem> {
        let shown = mask_cards(&it.payload);
        let payload = parsed(if kept.is_whole() { &it.payload } else { &shown })?;
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

async fn known(call: &Call, id: &str) -> Result<Option<Request>, Problem> {
    let id = id.to_owned();
    call.state.store.ask(move |connection| requests::find(connection, &id)).await
}

async fn find(call: &Call) -> Result<Request, Problem> {
    let none = || Problem::new(NOT_FOUND, "there is no request of this id");
    known(call, call.name()).await?.ok_or_else(none)
}

/// The request as it stands now, whichever instance was asked last.
async fn find_now(call: &Call) -> Result<Request, Problem> {
    if call.state.topics.commands.is_some() {
        fresh::catch_up(&call.state, Kind::Audit, fresh::PATIENCE).await?;
    }
    find(call).await
}

/// `POST /v1/requests/{id}:approve`
pub(crate) async fn approve(call: Call) -> Result<Reply, Problem> {
    let Decide { reason } = call.json()?;
    check_reason(&reason)?;
    let request = second_person(&call, find_now(&call).await?)?;
    if request.state == "pending" && !request.approved_by.contains(&call.person.name) {
        check_possible(&call, &request).await?;
        tell(&call, &request, (Act::RequestApproved, &reason), None).await?;
    }
    let request = find(&call).await?;
    if request.state == "pending" {
        return Ok(Reply::json(&item(&request)?)?.status(StatusCode::ACCEPTED));
    }
    perform(&call, request).await
}

/// `POST /v1/requests/{id}:override`
pub(crate) async fn override_alone(call: Call) -> Result<Reply, Problem> {
    let Decide { reason } = call.json()?;
    check_reason(&reason)?;
    if !call.state.lets_override() {
        let what = "nobody overrides a second person here: `api.override` is off";
        return Err(Problem::new(NOT_CONFIGURED, what));
    }
    let request = find_now(&call).await?;
    if request.state == "pending" {
        check_possible(&call, &request).await?;
        let (person, kind) = (&*call.person.name, &*request.kind);
        call.state.books.overridden();
        ApiOverridden { request_id: &call.request_id, person, kind, about: &request.about }.emit();
        tell(&call, &request, (Act::RequestOverridden, &reason), None).await?;
    }
    let request = find(&call).await?;
    perform(&call, request).await
}

/// Does what was approved, if the caller is who decided that.
async fn perform(call: &Call, request: Request) -> Result<Reply, Problem> {
    let name = &call.person.name;
    // WHY: no name has a colon, so no second person can be taken for one who acted alone, or the other way round.
    let by = if request.is_overridden() { format!("override:{name}") } else { name.clone() };
    if request.state != "approved" || request.decided_by.as_ref() != Some(name) {
        return Err(settled(&request));
    }
    check_whole(&request)?;
    // WHY: whoever was cut off and approves again gives the same command again.
    let note = request.note.clone().unwrap_or_default();
    let came = match request.kind.as_str() {
        "hold.release" => holds::release_approved(&call.state, &request, (&by, &note)).await,
        activation::ACTIVATE => {
            activation::activate_approved(&call.state, &request, (&by, &note)).await
        }
        _ => standing::change_approved(&call.state, &request, (&by, &note)).await,
    };
    match came {
        Ok(_) => Reply::json(&item(&find_now(call).await?)?),
        // WHY: what may still be done is neither done nor failed.
        Err(problem) if problem.kind.status >= 500 => Err(problem.with("approved", request.id)),
        Err(problem) => {
            tell(call, &request, (Act::RequestFailed, problem.kind.code), None).await?;
            Err(problem)
        }
    }
}

/// Somebody decided already.
fn settled(request: &Request) -> Problem {
    let what = "somebody decided about it already";
    Problem::new(STALE_STATE, what).with("state", request.state.clone())
}

/// Whether it can be done here. WHY: what cannot is not approved either; elsewhere, or later, it may be.
async fn check_possible(call: &Call, request: &Request) -> Result<(), Problem> {
    check_whole(request)?;
    if request.kind == activation::ACTIVATE {
        activation::possible(&call.state, request).await?;
    }
    Ok(())
}

/// Whether what is needed to do it is known here.
fn check_whole(request: &Request) -> Result<(), Problem> {
    if request.is_whole() {
        return Ok(());
    }
    let what = "it names a card number, which the instance that was asked alone knows: approve it there, or ask anew";
    Err(Problem::new(REFUSED, what).with("cause", "number_is_elsewhere"))
}

/// `POST /v1/requests/{id}:refuse`
pub(crate) async fn refuse(call: Call) -> Result<Reply, Problem> {
    let Decide { reason } = call.json()?;
    check_reason(&reason)?;
    let mut request = find_now(&call).await?;
    // Whoever asked may take it back; else it takes somebody who could have approved.
    if request.asked_by != call.person.name {
        request = second_person(&call, request)?;
    }
    if request.state != "pending" {
        return Err(settled(&request));
    }
    tell(&call, &request, (Act::RequestRefused, &reason), None).await?;
    let refused = find(&call).await?;
    if refused.state != "refused" || refused.decided_by.as_ref() != Some(&call.person.name) {
        return Err(settled(&refused));
    }
    Ok(Reply::json(&item(&refused)?)?.header(header::CACHE_CONTROL, "no-store"))
}

/// The request, if the caller may be its second person.
fn second_person(call: &Call, request: Request) -> Result<Request, Problem> {
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
