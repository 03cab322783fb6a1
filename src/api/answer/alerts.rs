//! Alerts, and how people close them.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::answer::page::{page, shown};
use crate::api::answer::reason::{SEEN, check_reason};
use crate::api::answer::standing::change;
use crate::api::call::{Call, Reply};
use crate::api::commands::ALERT_CLOSE;
use crate::api::fresh;
use crate::api::problem::Problem;
use crate::api::records::{logged_at, parsed};
use crate::api::roles::Scope;
use crate::api::store::read::{Kept, Wanted};
use crate::api::store::{Connection, Kind};
use crate::decision::command::Closing;
use crate::decision::wire::{AlertRecord, EpisodeRecord};

/// Most alerts of an episode that are looked through.
const MOST_ALERTS: i64 = 10_000;

/// An alert, when it was written, and who closed it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct AlertItem {
    /// When the log took it.
    #[schemars(extend("format" = "date-time"))]
    logged_at: String,
    /// The record.
    #[schemars(with = "AlertRecord<'static>")]
    alert: Value,
    /// How its episode was closed last; absent until somebody deals with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed: Option<ClosedBy>,
    /// The end of its episode: no more hits join it. What ended by itself nobody has dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<EpisodeRecord<'static>>")]
    ended: Option<Value>,
}

/// Who closed the alerts of an episode.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct ClosedBy {
    /// When the log took the answer.
    #[schemars(extend("format" = "date-time"))]
    at: String,
    /// Who.
    actor: String,
    /// Why.
    reason: String,
    /// What came out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = ["confirmed", "useful", "false_positive"]))]
    finding: Option<String>,
}

/// Alerts that are dealt with.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Close {
    /// Why; it stands in the audit trail.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// What came out: it was what the alert says; it was not, and yet worth a look; neither.
    finding: Option<Finding>,
}

/// What came out about an alert.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Finding {
    Confirmed,
    Useful,
    FalsePositive,
}

impl From<Finding> for Closing {
    fn from(finding: Finding) -> Self {
        match finding {
            Finding::Confirmed => Self::Confirmed,
            Finding::Useful => Self::Useful,
            Finding::FalsePositive => Self::FalsePositive,
        }
    }
}

/// Whether the episode of an alert was closed by somebody, and else whether it ended by itself.
///
/// WHY: what went quiet is open still. An alert leaves the work of analysts only when one of them has dealt with it.
const STATE: &str = "instr(CASE WHEN EXISTS (SELECT 1 FROM audits AS told JOIN records AS said ON said.seq = told.seq
    WHERE told.about = episode_id AND json_extract(said.body, '$.command.kind') = 'alert.close'
    AND json_extract(said.body, '$.command.result') = 'done') THEN 'closed'
    WHEN EXISTS (SELECT 1 FROM episodes WHERE episodes.episode_id = alerts.episode_id AND closed <> 'command')
    THEN 'open quiet' ELSE 'open' END, ?) > 0";

/// `GET /v1/alerts`
pub(crate) async fn list(call: Call) -> Result<Reply, Problem> {
    let query = &call.query;
    let found = page(&call, "alerts", |wanted| {
        wanted
            .only("rule = ?", query.owned("rule"))
            .only("severity = ?", query.owned("severity"))
            .only("queue = ?", query.owned("queue"))
            .only("entity = ?", query.owned("entity"))
            .only("event_id = ?", query.owned("event_id"))
            .only("decision_id = ?", query.owned("decision_id"))
            .only("episode_id = ?", query.owned("episode_id"))
            .only(STATE, query.owned("state"))
    });
    let page = found.await?;
    let alerts: Result<Vec<Value>, Problem> =
        page.items.iter().map(|kept| parsed(&kept.body)).collect();
    let episodes: BTreeSet<String> = alerts?.iter().map(episode).map(str::to_owned).collect();
    let closed = closings(&call, episodes.clone()).await?;
    let ended = ends(&call, episodes).await?;
    shown(page, |kept| {
        let alert = parsed(&kept.body)?;
        let closed = closed.get(episode(&alert)).cloned();
        let ended = ended.get(episode(&alert)).cloned();
        Ok(AlertItem { logged_at: logged_at(kept), alert, closed, ended })
    })
}

/// `POST /v1/alerts/{episode_id}:close`
pub(crate) async fn close(call: Call) -> Result<Reply, Problem> {
    let Close { reason, finding } = call.json()?;
    if call.person.scope != Scope::All {
        check_reason(&reason)?;
        find_all(&call).await?;
    }
    let episode = Some(call.name().to_owned());
    let finding = finding.map(|finding| Closing::from(finding).as_str().to_owned());
    change(&call, ALERT_CLOSE, reason, [("episode", episode), ("finding", finding)]).await
}

/// Whether all alerts of an episode are the caller's to close; there must be one.
///
/// # Errors
/// There is none, or one is not, which is the same to whoever asks.
async fn find_all(call: &Call) -> Result<(), Problem> {
    let (id, scope) = (call.name().to_owned(), call.person.scope.clone());
    let question = move |connection: &Connection| {
        let of =
            || Wanted::of("alerts", None, MOST_ALERTS).only("episode_id = ?", Some(id.clone()));
        let seen = of().within(&scope).ask(connection)?.len();
        Ok((seen > 0 && seen == of().ask(connection)?.len()).then_some(()))
    };
    fresh::find(&call.state, Kind::Alert, "episode", question).await
}

fn episode(alert: &Value) -> &str {
    alert.pointer("/episode/id").and_then(Value::as_str).unwrap_or_default()
}

/// How each of these episodes was closed last, of those that were.
async fn closings(
    call: &Call,
    episodes: BTreeSet<String>,
) -> Result<BTreeMap<String, ClosedBy>, Problem> {
    let done = "json_extract(body, '$.command.kind') || json_extract(body, '$.command.result') = ?";
    let question = move |connection: &Connection| {
        let last = |episode: String| {
            let wanted = Wanted::of("audits", None, 1)
                .only("about = ?", Some(episode.clone()))
                .only(done, Some(format!("{}done", ALERT_CLOSE.kind)));
            Ok((episode, wanted.ask(connection)?.into_iter().next()))
        };
        episodes.into_iter().map(last).collect::<Result<Vec<_>, _>>()
    };
    let found = call.state.store.ask(question).await?;
    let closed = found.into_iter().filter_map(|(episode, kept)| Some((episode, kept?)));
    closed.map(|(episode, kept)| Ok((episode, closed_by(&kept)?))).collect()
}

/// The ends of these episodes, of those that have ended.
async fn ends(call: &Call, episodes: BTreeSet<String>) -> Result<BTreeMap<String, Value>, Problem> {
    let scope = call.person.scope.clone();
    let question = move |connection: &Connection| {
        let end = |episode: String| {
            let wanted = Wanted::of("episodes", None, 1)
                .within(&scope)
                .only("episode_id = ?", Some(episode.clone()));
            Ok((episode, wanted.ask(connection)?.into_iter().next()))
        };
        episodes.into_iter().map(end).collect::<Result<Vec<_>, _>>()
    };
    let found = call.state.store.ask(question).await?.into_iter();
    let ended = found.filter_map(|(episode, kept)| Some((episode, kept?)));
    ended.map(|(episode, kept)| Ok((episode, parsed(&kept.body)?))).collect()
}

fn closed_by(kept: &Kept) -> Result<ClosedBy, Problem> {
    let body = parsed(&kept.body)?;
    let of = |path: &str| body.pointer(path).and_then(Value::as_str).map(str::to_owned);
    Ok(ClosedBy {
        at: logged_at(kept),
        actor: of("/command/by/actor").unwrap_or_default(),
        reason: of("/command/by/reason").unwrap_or_default(),
        finding: of("/command/finding"),
    })
}
