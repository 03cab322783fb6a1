//! The members of a list: those of its file, and those that people put on it or took off.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::call::{Call, Reply};
use crate::api::commands::LIST_ADD;
use crate::api::problem::{NOT_FOUND, Problem};
use crate::api::records::{PAGE, Page, other_model, parsed};
use crate::api::state::now_ms;
use crate::api::store::read::Wanted;
use crate::base::time::parse_rfc3339;
use crate::rules::list_member;
use crate::rules::program::ListSpec;

/// Most commands about one list that are looked through.
const MOST_COMMANDS: i64 = 10_000;

/// A member of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct MemberItem {
    /// The value.
    value: String,
    /// Whether the list's file names it; else somebody put it there.
    is_in_file: bool,
    /// Who put it there last.
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Until when, where it was said.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("format" = "date-time"))]
    until: Option<String>,
}

/// `GET /v1/lists/{list}`
pub(crate) async fn members(call: Call) -> Result<Reply, Problem> {
    let program = call.state.rules.get();
    let spec = program.lists.iter().find(|list| list.name == call.name());
    let spec = spec.ok_or_else(|| Problem::new(NOT_FOUND, "the rule set has no such list"))?;
    let wanted = Wanted::of("audits", None, MOST_COMMANDS)
        .only("audits.kind = ?", Some("command".to_owned()))
        .only("about = ?", Some(spec.name.clone()))
        .only("json_extract(body, '$.command.result') = ?", Some("done".to_owned()));
    let found = call.state.store.ask(move |connection| wanted.ask(connection)).await?;
    let commands = found.iter().map(|kept| parsed(&kept.body)).collect::<Result<Vec<_>, _>>()?;
    let all = joined(spec, &commands, now_ms());
    let limit = call.query.count("limit").unwrap_or(PAGE);
    let begin: usize = match call.query.text("cursor") {
        Some(text) => text.parse().map_err(|_| other_model())?,
        None => 0,
    };
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let items: Vec<MemberItem> = all.into_iter().skip(begin).take(most.saturating_add(1)).collect();
    Reply::json(&Page::of(items, limit, |_| begin.saturating_add(most).to_string()))
}

/// What is on a list by its file and by commands, newest first: of each value the newest command holds. By value.
fn joined(spec: &ListSpec, commands: &[Value], now_ms: i64) -> Vec<MemberItem> {
    let of_file = |(value, _): &(String, Option<i64>)| {
        let (actor, reason, until) = (None, None, None);
        (
            value.clone(),
            Some(MemberItem { value: value.clone(), is_in_file: true, actor, reason, until }),
        )
    };
    let mut all: BTreeMap<String, Option<MemberItem>> = spec.members.iter().map(of_file).collect();
    for command in commands.iter().rev() {
        let of = |path: &str| command.pointer(path).and_then(Value::as_str);
        let value = of("/command/value").and_then(|value| list_member(value, spec.ty).ok());
        let (Some(kind), Some(value)) = (of("/command/kind"), value) else { continue };
        let until = of("/command/until").map(str::to_owned);
        let has_ended = until
            .as_ref()
            .and_then(|until| parse_rfc3339(until.as_bytes()))
            .is_some_and(|until_ms| until_ms <= now_ms);
        let is_in_file = spec.members.iter().any(|(it, _)| *it == value);
        let item = (kind == LIST_ADD.kind && !has_ended).then(|| MemberItem {
            value: value.clone(),
            is_in_file,
            actor: of("/command/by/actor").map(str::to_owned),
            reason: of("/command/by/reason").map(str::to_owned),
            until,
        });
        all.insert(value, item);
    }
    all.into_values().flatten().collect()
}
