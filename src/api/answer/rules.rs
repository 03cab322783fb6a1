//! Rules: what is active, what a draft would change, and what it would say of an event.
//!
//! A draft is the active rule set, or a former one, with some files replaced, added or (by `null`) left out; it is compiled and thrown
//! away.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use axum::http::header;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::api::answer::score::{check_topic, place};
use crate::api::archive::{self, Files};
use crate::api::call::{Call, Reply};
use crate::api::commands::undecodable;
use crate::api::problem::{BAD_BODY, BUSY, INTERNAL, Problem};
use crate::api::state::State;
use crate::backtest::compare::changes;
use crate::base::Digest;
use crate::diag::render;
use crate::diag::{Diagnostic, Severity, Source, Sources};
use crate::engine::{Engine, EngineOptions, Input, Output, OutputTopic, StreamId};
use crate::event::mapping::Decoder;
use crate::loader::change::is_rule_path;
use crate::rules::program::{Mode, Program};
use crate::rules::{compile, renewed};

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
    let rule = |info: &crate::rules::program::RuleInfo| RuleItem {
        rule: info.id.clone(),
        name: info.name.clone(),
        title: info.title.clone(),
        owner: info.owner.clone(),
        acts: Mode::acts(info.mode),
        mandatory: info.mandatory,
    };
    let item = RuleSetItem {
        digest: program.digest.short_hex(),
        is_followed: call.state.is_followed,
        rules: program.rules.iter().map(rule).collect(),
        files: shown(Files::of(&program.sources)),
    };
    Ok(Reply::json(&item)?.header(header::ETAG, &format!("\"{}\"", item.digest)))
}

/// Files of a rule set as people see them.
pub(super) fn shown(found: Files) -> Vec<FileItem> {
    let is_rules = |path: &str| Path::new(path).extension().is_some_and(|kind| kind == "risk");
    let file = |(path, text): (String, String)| FileItem {
        digest: Digest::of_parts(&[text.as_bytes()]).short_hex(),
        text: is_rules(&path).then_some(text),
        path,
    };
    let artifact = |(path, digest)| FileItem { path, digest, text: None };
    let files = found.files.into_iter().map(file);
    files.chain(found.artifacts.into_iter().map(artifact)).collect()
}

/// Files that take the place of those of the active rule set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Draft {
    /// The rule set whose files these are put on, by its digest: the one that decides where nobody says, or one that decided
    /// before.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub(super) digest: Option<String>,
    /// The files that differ.
    #[schemars(length(max = 200))]
    pub(super) files: Vec<DraftFile>,
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

fn drafted(active: &Sources, draft: Vec<DraftFile>) -> Result<Sources, Problem> {
    if draft.len() > MAX_FILES {
        return Err(Problem::new(BAD_BODY, format!("a draft has at most {MAX_FILES} files")));
    }
    let mut sources = active.clone();
    for DraftFile { path, text } in draft {
        if !is_rule_path(&path) {
            let what = "`path` is relative to the rule folder and ends in `.risk` or `.csv`";
            return Err(Problem::new(BAD_BODY, what).with("member", "path"));
        }
        sources.files.retain(|file| file.path != path);
        sources.files.extend(text.map(|text| Source { path, text }));
    }
    sources.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(sources)
}

/// The files of a draft with those that it is put on.
pub(super) async fn of_draft(state: &State, draft: Draft) -> Result<Sources, Problem> {
    let Draft { digest, files } = draft;
    let sources = match digest {
        Some(digest) => archive::sources(state, &digest).await?,
        None => state.rules.get().sources.clone(),
    };
    drafted(&sources, files)
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
    let sources = of_draft(&call.state, draft).await?;
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

pub(super) fn plan_of(before: &Program, after: &Program) -> Plan {
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
    let sources = of_draft(&call.state, draft).await?;
    let plan = heavy(&call.state, move || compiled(&sources).map(|after| plan_of(&before, &after)));
    Reply::json(&plan.await??)
}

/// Compiles, or says what is wrong.
pub(super) fn compiled(sources: &Sources) -> Result<Program, Problem> {
    let (program, found) = compile(sources);
    program.ok_or_else(|| {
        let errors: Vec<Diagnostic> =
            found.into_iter().filter(|it| it.severity() == Severity::Error).collect();
        Problem::new(BAD_BODY, "the rule set does not compile")
            .with("findings", render::json(sources, &errors))
    })
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
        let sources = drafted(&active.sources, files)?;
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
