//! Which rule set decided when, who let it in, what was different, and what it said.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::answer::rules::{FileItem, shown};
use crate::api::archive::{self, Differences};
use crate::api::call::{Call, Reply};
use crate::api::problem::Problem;
use crate::api::records::{PAGE, Page, parsed, read_cursor};
use crate::api::store::Store;
use crate::api::store::rulesets::{self, Activation};
use crate::base::time::format_rfc3339;

/// A rule set that began to decide.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Activation")]
pub(crate) struct ActivationItem {
    /// Its digest.
    digest: String,
    /// When the log took the first record that says so.
    #[schemars(extend("format" = "date-time"))]
    active_at: String,
    /// Which rule set decided before, as far back as the read model reaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// Rules that act.
    live_rules: u64,
    /// Rules that watch.
    shadow_rules: u64,
    /// Who let it in; absent where it was taken from the folder without being asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<LetIn>,
    /// What is different from the one before, where this instance knew both.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Differences>,
    /// Whether its files are kept: `/v1/rules/history/{digest}` shows them, and it can be gone back to.
    has_files: bool,
}

/// Who let a rule set in.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LetIn {
    /// `rules.activated`: over HTTP, with a second person; `rules.accepted`: at a start, by one.
    #[schemars(extend("enum" = ["rules.activated", "rules.accepted"]))]
    act: String,
    /// Who asked for it, or accepted it.
    actor: String,
    /// Why.
    reason: String,
    /// All who approved.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    /// Why the last of them did.
    #[serde(skip_serializing_if = "Option::is_none")]
    approval_reason: Option<String>,
    /// The request.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
}

/// `GET /v1/rules/history`
pub(crate) async fn list(call: Call) -> Result<Reply, Problem> {
    let limit = call.query.count("limit").unwrap_or(PAGE);
    let store = &call.state.store;
    let before = call.query.text("cursor").map(|text| read_cursor(store, text)).transpose()?;
    let most = i64::try_from(limit).unwrap_or(0) + 1;
    let found = store.ask(move |connection| rulesets::history(connection, before, most)).await?;
    let page = Page::of(found, limit, |it| cursor(store, it));
    let items: Result<Vec<ActivationItem>, Problem> = page.items.iter().map(item).collect();
    Reply::json(&Page { items: items?, next: page.next })
}

fn cursor(store: &Store, it: &Activation) -> String {
    format!("{}-{}.{}", store.epoch(), it.logged_ms, it.seq)
}

fn item(it: &Activation) -> Result<ActivationItem, Problem> {
    let body = parsed(&it.body)?;
    let count = |name: &str| body.get(name).and_then(Value::as_u64).unwrap_or(0);
    let changes = it.changes.as_deref().and_then(|text| serde_json::from_str(text).ok());
    Ok(ActivationItem {
        digest: it.digest.clone(),
        active_at: format_rfc3339(it.logged_ms),
        before: it.before.clone(),
        live_rules: count("live_rules"),
        shadow_rules: count("shadow_rules"),
        by: it.told.as_deref().map(let_in).transpose()?,
        changes,
        has_files: it.has_files,
    })
}

fn let_in(told: &str) -> Result<LetIn, Problem> {
    let told = parsed(told)?;
    let of = |path: &str| told.pointer(path).and_then(Value::as_str).map(str::to_owned);
    Ok(LetIn {
        act: of("/command/act").unwrap_or_default(),
        actor: of("/command/by/actor").unwrap_or_default(),
        reason: of("/command/by/reason").unwrap_or_default(),
        approved_by: of("/command/by/approved_by"),
        approval_reason: of("/command/by/approval_reason"),
        request_id: of("/command/request"),
    })
}

/// A rule set by its files.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RuleSetFiles {
    /// Its digest.
    digest: String,
    /// Whether it decides now.
    decides: bool,
    /// Its files.
    files: Vec<FileItem>,
}

/// `GET /v1/rules/history/{digest}`
pub(crate) async fn one(call: Call) -> Result<Reply, Problem> {
    let digest = call.name().to_owned();
    let found = archive::files(&call.state, &digest).await?;
    let files = shown(found);
    let decides = call.state.rules.get().digest.short_hex() == digest;
    Reply::json(&RuleSetFiles { digest, decides, files })
}
