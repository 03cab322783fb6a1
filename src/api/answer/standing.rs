//! What stands beside the stream: lists, snoozes and models of the active rule set, and how people change the first two.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::http::{HeaderName, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::api::answer::holds::{check_text, instant};
use crate::api::answer::reason::{SEEN, check_reason};
use crate::api::answer::requests;
use crate::api::call::{Call, Reply};
use crate::api::commands::{
    Asked, LIST_ADD, LIST_REMOVE, PLACE, SNOOZE_END, SNOOZE_SET, To, Verb, command_id, give,
};
use crate::api::problem::{NOT_FOUND, Problem};
use crate::api::records::parsed;
use crate::api::state::{State, now_ms};
use crate::api::store::read::Wanted;
use crate::api::store::requests::Request;
use crate::base::time::{format_rfc3339, parse_rfc3339};
use crate::rules::program::{MadeOf, Program};

/// Most commands that are looked through for snoozes.
const MOST_COMMANDS: i64 = 10_000;

/// All of them.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct All<T> {
    /// Digest of the rule set that decides.
    ruleset: String,
    /// They.
    items: Vec<T>,
}

fn all<T: Serialize>(program: &Program, items: Vec<T>) -> Result<Reply, Problem> {
    Reply::json(&All { ruleset: program.digest.short_hex(), items })
}

/// A list of the active rule set.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ListItem {
    /// Its name.
    name: String,
    /// Members that its file names.
    members_in_file: usize,
    /// How long what rules and people put on it stays, in ms, where the list says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_ms: Option<i64>,
    /// Whether its file gives each member a value; then the file alone fills it.
    gives_values: bool,
}

/// `GET /v1/lists`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn lists(call: Call) -> Result<Reply, Problem> {
    let program = call.state.rules.get();
    let items = program.lists.iter().map(|list| ListItem {
        name: list.name.clone(),
        members_in_file: list.members.len(),
        expires_ms: list.expires_ms,
        gives_values: list.gives.is_some(),
    });
    all(&program, items.collect())
}

/// A model of the active rule set.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ModelItem {
    /// Its name.
    name: String,
    /// The events that it scores.
    event: String,
    /// `online`: it learns what is usual; `learned`: it was trained on labelled history.
    #[schemars(extend("enum" = ["online", "learned"]))]
    kind: &'static str,
    /// Whether it learns as events pass.
    learns: bool,
    /// How many features it reads.
    features: usize,
    /// The file that it was trained into.
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact: Option<String>,
}

/// `GET /v1/models`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn models(call: Call) -> Result<Reply, Problem> {
    let program = call.state.rules.get();
    let items = program.models.iter().map(|model| {
        let (kind, artifact) = match &model.made_of {
            MadeOf::Online(_) => ("online", None),
            MadeOf::Learned(learned) => ("learned", Some(learned.path.clone())),
        };
        ModelItem {
            name: model.name.clone(),
            event: program.schema.event(model.event).name.clone(),
            kind,
            learns: model.learns,
            features: model.features.len(),
            artifact,
        }
    });
    all(&program, items.collect())
}

/// A rule that does not act on the events of a key.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct SnoozeItem {
    /// Stable id of the rule.
    rule: String,
    /// The key.
    key: String,
    /// Its value.
    value: String,
    /// Until when, event time.
    #[schemars(extend("format" = "date-time"))]
    until: String,
    /// Who answers for it.
    owner: String,
    /// Why.
    reason: String,
    /// Whether a rule file says so; else somebody asked for it.
    is_in_file: bool,
}

/// `GET /v1/snoozes`
pub(crate) async fn snoozes(call: Call) -> Result<Reply, Problem> {
    let program = call.state.rules.get();
    let mut items: Vec<SnoozeItem> = program
        .snoozes
        .iter()
        .map(|snooze| SnoozeItem {
            rule: rule_id(&program, usize::from(snooze.rule.0)),
            key: snooze.key.clone(),
            value: snooze.value.clone(),
            until: format_rfc3339(snooze.until_ms),
            owner: snooze.owner.clone(),
            reason: snooze.reason.clone(),
            is_in_file: true,
        })
        .collect();
    let wanted = Wanted::of("audits", None, MOST_COMMANDS)
        .only("audits.kind = ?", Some("command".to_owned()))
        .only("body LIKE ?", Some("%\"snooze.%".to_owned()));
    let found = call.state.store.ask(move |connection| wanted.ask(connection)).await?;
    let mut newest: BTreeMap<[String; 3], Option<SnoozeItem>> = BTreeMap::new();
    for kept in &found {
        let body = parsed(&kept.body)?;
        let of = |path: &str| body.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if of("/command/result") != "done" {
            continue;
        }
        let about =
            ["/command/rule", "/command/key", "/command/value"].map(|path| of(path).to_owned());
        let [rule, key, value] = about.clone();
        let until = of("/command/until").to_owned();
        let is_set = of("/command/kind") == SNOOZE_SET.kind
            && parse_rfc3339(until.as_bytes()).is_some_and(|until_ms| until_ms > now_ms());
        let (owner, reason) = (of("/command/by/actor"), of("/command/by/reason"));
        let (owner, reason) = (owner.to_owned(), reason.to_owned());
        let item = SnoozeItem { rule, key, value, until, owner, reason, is_in_file: false };
        newest.entry(about).or_insert(is_set.then_some(item));
    }
    items.extend(newest.into_values().flatten());
    all(&program, items)
}

fn rule_id(program: &Program, index: usize) -> String {
    program.rules.get(index).map(|info| info.id.clone()).unwrap_or_default()
}

/// A value for a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Put {
    /// Why; it stands in the audit trail.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The value.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    value: String,
    /// Until when; as long as the list says where nobody says.
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

/// A value to take off a list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Take {
    /// Why; it stands in the audit trail.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The value.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    value: String,
}

/// A rule to silence.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Snooze {
    /// Why; it stands in the audit trail and in the decisions that it changes.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The key.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    key: String,
    /// Its value.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    value: String,
    /// Until when, at most 180 days.
    #[schemars(extend("format" = "date-time"))]
    until: String,
}

/// A rule to wake.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wake {
    /// Why; it stands in the audit trail.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The key.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    key: String,
    /// Its value.
    #[schemars(length(min = 1, max = 256), regex(pattern = r"\S"))]
    value: String,
}

/// What came of it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Changed")]
pub(crate) struct ChangeDone {
    /// Whether it had been asked before, by the same idempotency key.
    is_repeat: bool,
}

/// `POST /v1/lists/{list}:add`
pub(crate) async fn list_add(call: Call) -> Result<Reply, Problem> {
    let Put { reason, value, until } = call.json()?;
    let until = until.map(|until| instant("until", &until)).transpose()?;
    let list = Some(call.name().to_owned());
    change(&call, LIST_ADD, reason, [("list", list), ("value", Some(value)), ("until", until)])
        .await
}

/// `POST /v1/lists/{list}:remove`
pub(crate) async fn list_remove(call: Call) -> Result<Reply, Problem> {
    let Take { reason, value } = call.json()?;
    let list = Some(call.name().to_owned());
    change(&call, LIST_REMOVE, reason, [("list", list), ("value", Some(value))]).await
}

/// `POST /v1/rules/{rule}:snooze`
pub(crate) async fn snooze(call: Call) -> Result<Reply, Problem> {
    let Snooze { reason, key, value, until } = call.json()?;
    let (rule, until) = (Some(call.name().to_owned()), Some(instant("until", &until)?));
    let members = [("rule", rule), ("key", Some(key)), ("value", Some(value)), ("until", until)];
    change(&call, SNOOZE_SET, reason, members).await
}

/// `POST /v1/rules/{rule}:wake`
pub(crate) async fn wake(call: Call) -> Result<Reply, Problem> {
    let Wake { reason, key, value } = call.json()?;
    let rule = Some(call.name().to_owned());
    change(&call, SNOOZE_END, reason, [("rule", rule), ("key", Some(key)), ("value", Some(value))])
        .await
}

/// Gives a command that every instance must hear of.
pub(super) async fn change<const N: usize>(
    call: &Call,
    verb: Verb,
    reason: String,
    texts: [(&'static str, Option<String>); N],
) -> Result<Reply, Problem> {
    check_reason(&reason)?;
    let mut members = Map::new();
    for (name, text) in texts {
        if let Some(text) = text {
            members.insert(name.to_owned(), json!(check_text(name, text)?));
        }
    }
    if call.state.is_for_two(verb) {
        return ask_second_person(call, verb, &reason, members).await;
    }
    let (command_id, actor) = (command_id(call)?, call.person.name.clone());
    let asked = Asked { verb, command_id, actor, reason, members, to: To::All };
    let done = give(&call.state, &asked).await?;
    Reply::json(&ChangeDone { is_repeat: done.is_repeat })
}

/// Keeps a command until a second person approves it.
pub(super) async fn ask_second_person(
    call: &Call,
    verb: Verb,
    reason: &str,
    members: Map<String, Value>,
) -> Result<Reply, Problem> {
    let named = ["list", "rule", "entity"].into_iter().find_map(|name| members.get(name));
    let about = named.and_then(Value::as_str).unwrap_or_default().to_owned();
    let payload = json!({ "members": members });
    let request = requests::ask(call, verb.kind, &about, reason, &payload, Ok(())).await?;
    let place = format!("/v1/requests/{}", request.request_id);
    let reply = Reply::json(&request)?.status(StatusCode::ACCEPTED);
    Ok(reply.header(HeaderName::from_static("location"), &place))
}

/// Gives a command that every instance must hear of and that a second person approved. Both names stand in the records.
///
/// # Errors
/// As for any command.
pub(crate) async fn change_approved(
    state: &Arc<State>,
    request: &Request,
    (approver, note): (&str, &str),
) -> Result<String, Problem> {
    let known = [PLACE, LIST_ADD, LIST_REMOVE, SNOOZE_SET, SNOOZE_END];
    let verb = known.into_iter().find(|verb| verb.kind == request.kind);
    // WHY: what this build does not know is not done.
    let verb = verb.ok_or_else(|| Problem::new(NOT_FOUND, "there is no such command"))?;
    let payload = parsed(&request.payload)?;
    let mut members =
        payload.get("members").and_then(Value::as_object).cloned().unwrap_or_default();
    members.insert("approved_by".to_owned(), json!(approver));
    members.insert("approval_reason".to_owned(), json!(note));
    let asked = Asked {
        verb,
        command_id: format!("api-request:{}", request.id),
        actor: request.asked_by.clone(),
        reason: request.reason.clone(),
        members,
        to: To::All,
    };
    let done = give(state, &asked).await?;
    Ok(if done.state.is_empty() { "done".to_owned() } else { done.state })
}
