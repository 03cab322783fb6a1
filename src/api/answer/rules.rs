//! Rules: what is active, what a draft would change, and how it becomes active with two people.
//!
//! A draft is the active rule set with some files replaced, added or (by `null`) left out; it is compiled and thrown away. What
//! can become active lies in the rule folder alone, where its history is kept by whatever keeps text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use axum::http::{HeaderName, StatusCode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::api::acts::{self, By};
use crate::api::answer::holds::check_reason;
use crate::api::answer::requests;
use crate::api::answer::score::{check_topic, place};
use crate::api::call::{Call, Reply};
use crate::api::commands::undecodable;
use crate::api::problem::{
    BAD_BODY, BUSY, INTERNAL, NOT_CONFIGURED, Problem, REFUSED, STALE_STATE,
};
use crate::api::state::State;
use crate::api::store::requests::Request;
use crate::backtest::compare::{Changes, changes};
use crate::base::Digest;
use crate::decision::command::{Act, Deed};
use crate::diag::render;
use crate::diag::{Diagnostic, Severity, Source, Sources};
use crate::engine::{Engine, EngineOptions, Input, Output, OutputTopic, StreamId};
use crate::event::mapping::Decoder;
use crate::loader::load;
use crate::rules::program::{ActionPlan, Mode, Program};
use crate::rules::{compile, renewed};
use crate::runtime::Reload;

/// Most files of a draft.
const MAX_FILES: usize = 200;

/// Most events before the one that is tried.
const MAX_BEFORE: usize = 1_000;

/// Most memory of an engine that tries an event.
const TRIAL_BYTES: u64 = 64 << 20;

/// The active rule set.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RuleSetItem {
    /// Its digest, as decisions carry it.
    digest: String,
    /// Whether the rule folder is followed without being asked; then activation is not asked for here.
    is_followed: bool,
    /// Its rules.
    rules: Vec<RuleItem>,
    /// Its files.
    files: Vec<FileItem>,
}

/// A rule.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RuleItem {
    /// Stable id.
    rule: String,
    /// Its name.
    name: String,
    /// What it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// Who answers for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    /// Whether it acts; else it watches or is off.
    acts: bool,
    /// Whether it cannot be silenced.
    mandatory: bool,
}

/// A file of a rule set.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct FileItem {
    /// Relative to the rule folder.
    path: String,
    /// Digest of its bytes.
    digest: String,
    /// Its text; of `.risk` files only, because lists hold what they are lists of.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// `GET /v1/rules`
#[expect(
    clippy::unused_async,
    reason = "routes of the table are async, and this one waits for nothing"
)]
pub(crate) async fn active(call: Call) -> Result<Reply, Problem> {
    let program = call.state.rules.get();
    let is_rules = |path: &str| Path::new(path).extension().is_some_and(|kind| kind == "risk");
    let text = |file: &Source| FileItem {
        path: file.path.clone(),
        digest: Digest::of_parts(&[file.text.as_bytes()]).short_hex(),
        text: is_rules(&file.path).then(|| file.text.clone()),
    };
    let mut files: Vec<FileItem> = program.sources.files.iter().map(text).collect();
    files.extend(program.sources.artifacts.iter().map(|file| FileItem {
        path: file.path.clone(),
        digest: Digest::of_parts(&[&file.bytes]).short_hex(),
        text: None,
    }));
    let rule = |info: &crate::rules::program::RuleInfo| RuleItem {
        rule: info.id.clone(),
        name: info.name.clone(),
        title: info.title.clone(),
        owner: info.owner.clone(),
        acts: Mode::acts(info.mode),
        mandatory: info.mandatory,
    };
    Reply::json(&RuleSetItem {
        digest: program.digest.short_hex(),
        is_followed: call.state.is_followed,
        rules: program.rules.iter().map(rule).collect(),
        files,
    })
}

/// Files that take the place of those of the active rule set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// The files that differ.
    #[schemars(length(max = 200))]
    files: Vec<DraftFile>,
}

/// A file of a draft.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftFile {
    /// Relative to the rule folder, with `/`: `cards/velocity.risk`.
    #[schemars(
        length(min = 1, max = 256),
        regex(pattern = r"^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*\.(risk|csv)$")
    )]
    path: String,
    /// Its text; null where the draft does not have it.
    text: Option<String>,
}

fn drafted(active: &Sources, draft: Draft) -> Result<Sources, Problem> {
    if draft.files.len() > MAX_FILES {
        return Err(Problem::new(BAD_BODY, format!("a draft has at most {MAX_FILES} files")));
    }
    let mut sources = active.clone();
    for DraftFile { path, text } in draft.files {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"_-/.".contains(&b);
        let is_kind = [".risk", ".csv"].iter().any(|kind| path.ends_with(kind));
        if !is_kind
            || !path.bytes().all(fits)
            || path.split('/').any(|part| part.is_empty() || part.starts_with('.'))
        {
            let what = "`path` is relative to the rule folder and ends in `.risk` or `.csv`";
            return Err(Problem::new(BAD_BODY, what).with("member", "path"));
        }
        sources.files.retain(|file| file.path != path);
        sources.files.extend(text.map(|text| Source { path, text }));
    }
    sources.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// What was found of a draft.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Validated {
    /// Whether it compiles.
    is_valid: bool,
    /// Its digest, where it compiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    /// What was found, as `riskweir check --format json` tells it.
    findings: Vec<Value>,
}

/// `POST /v1/rules:validate`
pub(crate) async fn validate(call: Call) -> Result<Reply, Problem> {
    let draft: Draft = call.json()?;
    let sources = drafted(&call.state.rules.get().sources, draft)?;
    let work = move || {
        let (program, found) = compile(&sources);
        Validated {
            is_valid: program.is_some(),
            digest: program.map(|program| program.digest.short_hex()),
            findings: render::json(&sources, &found),
        }
    };
    Reply::json(&heavy(&call.state, work).await?)
}

/// What would change.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Plan {
    /// The active rule set.
    from: String,
    /// The other one.
    to: String,
    /// What is added, removed and changed, and what state begins or is forgotten, as `riskweir diff` tells it.
    changes: Value,
    /// What somebody should look at.
    warnings: Vec<Value>,
}

fn plan_of(before: &Program, after: &Program) -> Plan {
    Plan {
        from: before.digest.short_hex(),
        to: after.digest.short_hex(),
        changes: serde_json::to_value(changes(before, after)).unwrap_or_default(),
        warnings: render::json(&after.sources, &renewed(before, after)),
    }
}

/// `POST /v1/rules:plan`
pub(crate) async fn plan(call: Call) -> Result<Reply, Problem> {
    let draft: Draft = call.json()?;
    let before = call.state.rules.get();
    let sources = drafted(&before.sources, draft)?;
    let plan = heavy(&call.state, move || compiled(&sources).map(|after| plan_of(&before, &after)));
    Reply::json(&plan.await??)
}

/// Compiles, or says what is wrong.
fn compiled(sources: &Sources) -> Result<Program, Problem> {
    let (program, found) = compile(sources);
    program.ok_or_else(|| {
        let errors: Vec<Diagnostic> =
            found.into_iter().filter(|it| it.severity() == Severity::Error).collect();
        Problem::new(BAD_BODY, "the rule set does not compile")
            .with("findings", render::json(sources, &errors))
    })
}

/// Which rule set is to become active.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activate {
    /// Why.
    #[schemars(length(min = 1, max = 1000), regex(pattern = r"\S"))]
    reason: String,
    /// The digest of the rule set in the rule folder, as `riskweir check` tells it: what is approved is what was looked at.
    #[schemars(length(min = 1, max = 64))]
    digest: String,
}

/// The kind of the request.
const ACTIVATE: &str = "rules.activate";

/// `POST /v1/rules:request-activation`
pub(crate) async fn request_activation(call: Call) -> Result<Reply, Problem> {
    let Activate { reason, digest } = call.json()?;
    check_reason(&reason)?;
    can_activate(&call.state)?;
    let (state, wanted) = (Arc::clone(&call.state), digest.clone());
    let plan = heavy(&call.state, move || {
        let (before, after) = (state.rules.get(), folder(&state, &wanted)?);
        Ok((plan_of(&before, &after), approvals_needed(&before, &after)))
    });
    let (plan, approvals_needed): (Plan, u8) = plan.await??;
    let payload = json!({ "plan": plan, "approvals_needed": approvals_needed });
    let request = requests::ask(&call, ACTIVATE, &digest, &reason, &payload).await?;
    let place = format!("/v1/requests/{}", request.request_id);
    let reply = Reply::json(&request)?.status(StatusCode::ACCEPTED);
    Ok(reply.header(HeaderName::from_static("location"), &place))
}

/// How many people must approve that one rule set follows another: what the policies of both say of the actions of acting rules
/// that are added, changed or removed.
fn approvals_needed(before: &Program, after: &Program) -> u8 {
    let Changes { added, removed, changed, .. } = changes(before, after);
    let items = || added.iter().chain(&removed).chain(changed.iter().map(|it| &it.what));
    // WHY: a feature, a list or a template changes what rules do that are not changed themselves.
    let is_rule = |what: &String| what.starts_with("rule ") || what.starts_with("test ");
    let rules: BTreeSet<&str> = items().filter_map(|what| what.strip_prefix("rule ")).collect();
    let touched: BTreeSet<&str> =
        [before, after].into_iter().flat_map(|program| acts(program, &rules)).collect();
    let everything = !items().all(is_rule);
    let clauses = before.policy.approvals.iter().chain(&after.policy.approvals);
    let counts = clauses.filter(|clause| {
        everything || clause.actions.iter().any(|action| touched.contains(action.as_str()))
    });
    counts.map(|clause| clause.people).max().unwrap_or(1)
}

/// What those of these rules do that act.
fn acts(program: &Program, rules: &BTreeSet<&str>) -> Vec<&'static str> {
    let bodies = program.plans.iter().flat_map(|plan| &plan.rules);
    let acting = bodies.filter(|body| {
        let info = program.rules.get(usize::from(body.rule.0));
        info.is_some_and(|info| info.mode.acts() && rules.contains(info.name.as_str()))
    });
    acting.flat_map(|body| body.actions.iter().map(ActionPlan::word)).collect()
}

fn can_activate(state: &State) -> Result<(), Problem> {
    if state.is_followed || state.reloader.is_none() {
        let what = "the rule folder is followed by itself: set `rules.watch_interval: 0s` to have rule sets activated by two people";
        return Err(Problem::new(NOT_CONFIGURED, what));
    }
    Ok(())
}

/// The rule set of the folder, if it is this one.
fn folder(state: &State, digest: &str) -> Result<Program, Problem> {
    let sources = load(&state.folder)
        .map_err(|_| Problem::new(REFUSED, "the rule folder could not be read"))?;
    let program = compiled(&sources).map_err(|problem| Problem { kind: REFUSED, ..problem })?;
    let found = program.digest.short_hex();
    if found == digest {
        return Ok(program);
    }
    Err(Problem::new(STALE_STATE, "the rule folder holds another rule set").with("digest", found))
}

/// Makes active what a second person approved.
///
/// # Errors
/// The folder holds something else by now, or the service refuses it.
pub(crate) async fn activate_approved(
    state: &Arc<State>,
    request: &Request,
    (approver, note): (&str, &str),
) -> Result<String, Problem> {
    can_activate(state)?;
    let (shared, digest) = (Arc::clone(state), request.about.clone());
    let program = heavy(state, move || folder(&shared, &digest).map(Arc::new)).await??;
    let mut approvers: BTreeSet<&str> = request.approved_by.iter().map(String::as_str).collect();
    approvers.insert(approver);
    let approvers: Vec<&str> = approvers.into_iter().collect();
    let by = By {
        command_id: format!("api-request:{}:{}", request.id, request.asked_ms),
        actor: request.asked_by.clone(),
        reason: request.reason.clone(),
        approval: Some((approvers.join(", "), note.to_owned())),
    };
    let deed = Deed {
        act: Act::RulesActivated,
        about: request.about.clone(),
        digest: Some(request.content()),
        request: Some(request.id.clone()),
    };
    acts::tell(state, &deed, by).await?;
    let shared = Arc::clone(state);
    let work = move || {
        let Some(reloader) = &shared.reloader else {
            return Err(Problem::new(NOT_CONFIGURED, "rule sets are not activated here"));
        };
        match reloader.take(|| Ok(program), None) {
            Reload::Taken { .. } => Ok("taken".to_owned()),
            Reload::Waiting { .. } => Ok("waiting".to_owned()),
            Reload::Unchanged { .. } => Ok("unchanged".to_owned()),
            Reload::Refused { reason } => {
                let first = reason.lines().next().unwrap_or_default();
                Err(Problem::new(REFUSED, first))
            }
        }
    };
    heavy(state, work).await?
}

/// An event to try.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Try {
    /// The event, as the rules' schema describes it.
    #[schemars(with = "std::collections::BTreeMap<String, Value>")]
    event: Value,
    /// Events that came before it, oldest first; at most 1,000. The windows hold nothing else.
    #[serde(default)]
    #[schemars(with = "Vec<std::collections::BTreeMap<String, Value>>", length(max = 1000))]
    before: Vec<Value>,
    /// Files that take the place of those of the active rule set.
    #[serde(default)]
    #[schemars(length(max = 200))]
    files: Vec<DraftFile>,
}

/// What would come out.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Tried {
    /// The decision, as `risk.decisions` would have it.
    #[schemars(with = "crate::api::records::Decision")]
    decision: Value,
    /// The alerts.
    #[schemars(with = "Vec<crate::decision::wire::AlertRecord<'static>>")]
    alerts: Vec<Value>,
    /// The holds.
    #[schemars(with = "Vec<crate::decision::wire::HoldRecord<'static>>")]
    holds: Vec<Value>,
}

/// `POST /v1/evaluate`
pub(crate) async fn evaluate(call: Call) -> Result<Reply, Problem> {
    let Try { event, before, files } = call.json()?;
    let topic = call.query.owned("topic");
    check_topic(&call.state.inputs, topic.as_deref())?;
    if before.len() > MAX_BEFORE {
        return Err(Problem::new(BAD_BODY, format!("`before` has at most {MAX_BEFORE} events")));
    }
    let active = call.state.rules.get();
    let program = if files.is_empty() {
        Ok(active)
    } else {
        let sources = drafted(&active.sources, Draft { files })?;
        heavy(&call.state, move || compiled(&sources).map(Arc::new)).await?
    };
    let (program, shared) = (program?, Arc::clone(&call.state));
    let tried = heavy(&call.state, move || {
        try_event(&shared, &program, &before, (&event, topic.as_deref()))
    });
    Reply::json(&tried.await??)
}

/// Decides in an engine of its own, which is thrown away.
fn try_event(
    state: &State,
    program: &Arc<Program>,
    before: &[Value],
    (event, topic): (&Value, Option<&str>),
) -> Result<Tried, Problem> {
    let options = state.options;
    let decoder = Decoder::new(&program.schema, options.limits());
    let options = EngineOptions {
        state_bytes: Some(TRIAL_BYTES),
        dedupe_max_ids: options.dedupe_max_ids.min(100_000),
        ..options
    };
    let refused = |_| Problem::new(INTERNAL, "the engine refuses the rule set");
    let mut engine = Engine::new(Arc::clone(program), options).map_err(refused)?;
    let mut streams: BTreeMap<String, StreamId> = BTreeMap::new();
    let mut out: Vec<Output> = Vec::new();
    let events = before.iter().map(|event| (event, None)).chain([(event, topic)]);
    for (offset, (event, asked)) in (0..).zip(events) {
        out.clear();
        let payload = event.to_string();
        let schema = (&**program, &decoder);
        let inputs: (&State, &[String]) = (state, &state.inputs);
        let placed = place(inputs, schema, payload.as_bytes(), asked).or_else(|problem| {
            place(inputs, schema, payload.as_bytes(), Some(topic.ok_or(problem)?))
        })?;
        let open = || engine.open_stream(&placed.topic, 0);
        let stream = *streams.entry(placed.topic.clone()).or_insert_with(open);
        let payload = Some(payload.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut out);
    }
    let of = |topic: OutputTopic| out.iter().filter(move |output| output.topic == topic);
    if let Some(letter) = of(OutputTopic::DeadLetter).next() {
        return Err(undecodable(&letter.body));
    }
    let read = |output: &Output| serde_json::from_slice(&output.body).unwrap_or_default();
    Ok(Tried {
        decision: of(OutputTopic::Decisions).map(read).next().unwrap_or_default(),
        alerts: of(OutputTopic::Alerts).map(read).collect(),
        holds: of(OutputTopic::Holds).map(read).collect(),
    })
}

/// Does what may take a while on a thread for that; few at once.
pub(crate) async fn heavy<T: Send + 'static>(
    state: &State,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let busy = |_| Problem::new(BUSY, "too much is compiled or tried at once");
    let place = Arc::clone(&state.heavy).try_acquire_owned().map_err(busy)?;
    let work = move || {
        let done = work();
        drop(place);
        done
    };
    let failed = |_| Problem::new(INTERNAL, "what was asked for ended by a broken promise");
    tokio::task::spawn_blocking(work).await.map_err(failed)
}
