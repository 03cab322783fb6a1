//! Who asks, and how the service stands.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use schemars::JsonSchema;
use serde::Serialize;

use crate::api::call::{Call, Reply};
use crate::api::openapi;
use crate::api::problem::Problem;
use crate::api::reach;
use crate::api::roles::{Person, Role, Scope};
use crate::api::table::ROUTES;

/// Who asks.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Me {
    /// The name that stands in records.
    name: String,
    /// What the token may do.
    roles: Vec<Role>,
    /// The input topics whose payments it is for; absent: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    topics: Option<BTreeSet<String>>,
    /// The routes that it may call, by `operationId`.
    may: Vec<&'static str>,
}

/// `GET /v1/me`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn me(call: Call) -> Result<Reply, Problem> {
    let Person { name, roles, scope } = call.person;
    let is_within = |id: &str| scope == Scope::All || reach::is_of_topics(id);
    let may_role = |of: &[Role]| roles.iter().any(|role| of.contains(role));
    let may = ROUTES.iter().filter(|route| may_role(route.roles) && is_within(route.id));
    let may = may.map(|route| route.id).collect();
    let topics = scope.topics().cloned();
    Reply::json(&Me { name, roles, topics, may })
}

/// How the service stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Status {
    /// Version of the program.
    version: &'static str,
    /// Digest of the rule set that decides.
    ruleset: String,
    /// Whether decisions and commands can be asked for: answers on topics are heard.
    is_listening: bool,
    /// Whether the read model holds what the topics held when it began to follow them.
    has_caught_up: bool,
    /// The name of the read model's numbers.
    epoch: String,
    /// Who waits for an answer now.
    waiting: usize,
}

/// `GET /v1/status`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn status(call: Call) -> Result<Reply, Problem> {
    let state = &call.state;
    Reply::json(&Status {
        version: env!("CARGO_PKG_VERSION"),
        ruleset: state.rules.get().digest.short_hex(),
        is_listening: state.is_listening(),
        has_caught_up: state.has_caught_up.load(Ordering::Acquire),
        epoch: state.store.epoch().to_owned(),
        waiting: state.waiters.len(),
    })
}

/// `GET /v1/openapi.json`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn document(_: Call) -> Result<Reply, Problem> {
    Reply::json(&openapi::document())
}
