//! A rule set becomes active with two people: one names what lies in the rule folder, or proposes another text, and somebody else
//! approves it.
//!
//! What is proposed is kept under its digest and touches nothing. Only when it is approved it is written into the rule folder, whole
//! or not at all, and the next moment it decides; a folder that changed meanwhile is somebody else's and stays as it is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::http::{HeaderName, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api::acts::{self, By};
use crate::api::answer::reason::{SEEN, check_reason};
use crate::api::answer::requests;
use crate::api::answer::rules::{Draft, DraftFile, Plan, compiled, heavy, of_draft, plan_of};
use crate::api::archive::{self, Files};
use crate::api::call::{Call, Reply};
use crate::api::problem::{
    BAD_PARAMETER, NOT_CONFIGURED, NOT_FOUND, Problem, REFUSED, STALE_STATE,
};
use crate::api::records::parsed;
use crate::api::state::State;
use crate::api::store::requests::Request;
use crate::backtest::compare::{Changes, changes};
use crate::base::cards::mask_cards;
use crate::decision::command::{Act, Deed};
use crate::diag::Sources;
use crate::loader::change::{self, Edits};
use crate::loader::{LoadError, load};
use crate::rules::program::{ActionPlan, Program};
use crate::runtime::Reload;
use crate::telemetry::api::ApiFailed;

/// Longest `ETag` of a rule set.
const MAX_TAG_BYTES: usize = 66;

/// Which rule set is to become active.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Activate {
    /// Why.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The digest of the rule set in the rule folder, as `riskweir check` tells it: what is approved is what was looked at. With
    /// `api.write_rules: on` also that of a former one whose files are known.
    #[schemars(length(min = 1, max = 64))]
    digest: String,
}

/// Another text of the rules.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Proposal {
    /// Why.
    #[schemars(length(min = 1, max = 1000), regex(pattern = SEEN))]
    reason: String,
    /// The rule set whose files these are put on, by its digest: the one that decides where nobody says, or one that decided
    /// before.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    digest: Option<String>,
    /// The files that differ.
    #[schemars(length(max = 200))]
    files: Vec<DraftFile>,
}

/// The kind of the request.
pub(crate) const ACTIVATE: &str = "rules.activate";

/// `POST /v1/rules:request-activation`
pub(crate) async fn request_activation(call: Call) -> Result<Reply, Problem> {
    let Activate { reason, digest } = call.json()?;
    check_reason(&reason)?;
    can_activate(&call.state)?;
    let kept = kept(&call.state, &digest).await?;
    ask(&call, &reason, digest, kept).await
}

/// `PUT /v1/rules`
pub(crate) async fn propose(call: Call) -> Result<Reply, Problem> {
    let Proposal { reason, digest, files } = call.json()?;
    check_reason(&reason)?;
    can_activate(&call.state)?;
    if !call.state.writes_rules() {
        let what = "rules are not written over HTTP here: put them where the text of `rules.path` is kept and ask for activation of their digest, or set `api.write_rules: on`";
        return Err(Problem::new(NOT_CONFIGURED, what));
    }
    let active = call.state.rules.get().digest.short_hex();
    expect(&call, &active)?;
    let sources = of_draft(&call.state, Draft { digest, files }).await?;
    let program = heavy(&call.state, move || compiled(&sources)).await??;
    let proposed = program.digest.short_hex();
    if proposed == active {
        return Err(Problem::new(REFUSED, "this is the rule set that decides"));
    }
    archive::keep(&call.state, &program).await?;
    let kept = Some(Files::of(&program.sources));
    ask(&call, &reason, proposed, kept).await
}

/// Whether the rule set that decides is the one that the caller looked at, where they say so.
fn expect(call: &Call, active: &str) -> Result<(), Problem> {
    let Some(text) = call.header(header::IF_MATCH.as_str(), MAX_TAG_BYTES)? else { return Ok(()) };
    if text == "*" {
        return Ok(());
    }
    let tag = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
    let Some(tag) = tag else {
        let what = "`If-Match` is the `ETag` of the rule set that decides, or `*`";
        return Err(Problem::new(BAD_PARAMETER, what).with("header", "if-match"));
    };
    if tag == active {
        return Ok(());
    }
    let what = "another rule set decides by now: look at what it says first";
    Err(Problem::new(STALE_STATE, what).with("digest", active))
}

/// Asks for a second person.
async fn ask(
    call: &Call,
    reason: &str,
    digest: String,
    kept: Option<Files>,
) -> Result<Reply, Problem> {
    let (state, wanted) = (Arc::clone(&call.state), digest.clone());
    let plan = heavy(&call.state, move || {
        let before = state.rules.get();
        let base = before.digest.short_hex();
        let Ready { program, edits, .. } = ready(&state, &wanted, kept, &base)?;
        let needed = approvals_needed(&before, &program);
        let writes: Vec<String> = edits.into_keys().collect();
        Ok((plan_of(&before, &program), needed, writes, program))
    });
    let (plan, approvals_needed, writes, program): (Plan, u8, Vec<String>, Program) =
        plan.await??;
    archive::keep(&call.state, &program).await?;
    let mut payload = json!({ "plan": plan, "approvals_needed": approvals_needed });
    if let Some(payload) = payload.as_object_mut().filter(|_| !writes.is_empty()) {
        payload.insert("writes".to_owned(), json!(writes));
    }
    let request = requests::ask(call, ACTIVATE, &digest, reason, &payload, Ok(())).await?;
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

/// The files of a rule set, where they may be written and are known.
async fn kept(state: &State, digest: &str) -> Result<Option<Files>, Problem> {
    if !state.writes_rules() {
        return Ok(None);
    }
    match archive::files(state, digest).await {
        Ok(files) => Ok(Some(files)),
        Err(problem) if problem.kind == NOT_FOUND => Ok(None),
        Err(problem) => Err(problem),
    }
}

/// A rule set that can become active, and what it takes.
pub(crate) struct Ready {
    program: Program,
    /// What lies in the folder.
    there: Sources,
    /// What is to be written there; nothing where it lies there already.
    edits: Edits,
}

/// The rule set of a digest: the one of the folder, or one whose files are kept and may be written there in the place of `base`.
fn ready(state: &State, digest: &str, kept: Option<Files>, base: &str) -> Result<Ready, Problem> {
    let there = load(&state.folder)
        .map_err(|_| Problem::new(REFUSED, "the rule folder could not be read"))?;
    let refused = |problem: Problem| Problem { kind: REFUSED, ..problem };
    let lies_there = compiled(&there).map_err(refused)?;
    let found = lies_there.digest.short_hex();
    if found == digest {
        return Ok(Ready { program: lies_there, there, edits: Edits::new() });
    }
    let other = |what: &str| Problem::new(STALE_STATE, what).with("digest", found.clone());
    let kept = kept.ok_or_else(|| other("the rule folder holds another rule set"))?;
    // WHY: a request may be known by the trail alone, where what looks like a card number is masked.
    if mask_cards(&found) != base {
        return Err(other(
            "the rule folder holds another rule set than the one that this was made of",
        ));
    }
    let sources = kept.sources(there.artifacts.clone());
    let program = compiled(&sources).map_err(refused)?;
    if program.digest.short_hex() != digest {
        let what = "it needs artifacts of models that do not lie in the rule folder";
        return Err(Problem::new(REFUSED, what));
    }
    let edits = edits(&there, &sources);
    change::check(&state.folder, &edits).map_err(|error| unwritable(&error))?;
    Ok(Ready { program, there, edits })
}

/// What makes the texts of one rule set those of another.
fn edits(there: &Sources, wanted: &Sources) -> Edits {
    let texts = |sources: &Sources| -> BTreeMap<String, String> {
        sources.files.iter().map(|file| (file.path.clone(), file.text.clone())).collect()
    };
    let (there, wanted) = (texts(there), texts(wanted));
    let gone = there.keys().filter(|path| !wanted.contains_key(*path));
    let mut edits: Edits = gone.map(|path| (path.clone(), None)).collect();
    let differs = |(path, text): &(String, String)| there.get(path) != Some(text);
    edits.extend(wanted.into_iter().filter(differs).map(|(path, text)| (path, Some(text))));
    edits
}

fn unwritable(error: &LoadError) -> Problem {
    ApiFailed { attempted: "write the rule folder", error: &error.to_string() }.emit();
    let what = "the rule folder cannot be written here, because its text is kept elsewhere, say in a repository or a ConfigMap: change it there and ask for activation of its digest";
    Problem::new(NOT_CONFIGURED, what)
}

/// What a request asks for, if it can be made active here and now.
///
/// # Errors
/// The folder holds something else by now, or the files are not known here.
pub(crate) async fn possible(state: &Arc<State>, request: &Request) -> Result<Ready, Problem> {
    can_activate(state)?;
    let payload = parsed(&request.payload)?;
    let base = payload.pointer("/plan/from").and_then(Value::as_str).unwrap_or_default();
    let (shared, wanted, base) = (Arc::clone(state), request.about.clone(), base.to_owned());
    let kept = kept(state, &wanted).await?;
    heavy(state, move || ready(&shared, &wanted, kept, &base)).await?
}

/// Makes active what a second person approved.
///
/// # Errors
/// As for [`possible`], or the service refuses it.
pub(crate) async fn activate_approved(
    state: &Arc<State>,
    request: &Request,
    (approver, note): (&str, &str),
) -> Result<String, Problem> {
    let ready = possible(state, request).await?;
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
        details: None,
    };
    acts::tell(state, &deed, by).await?;
    let shared = Arc::clone(state);
    heavy(state, move || take(&shared, ready)).await?
}

/// Hands a rule set over; what is to be written is written before.
fn take(state: &State, ready: Ready) -> Result<String, Problem> {
    let Some(reloader) = &state.reloader else {
        return Err(Problem::new(NOT_CONFIGURED, "rule sets are not activated here"));
    };
    let Ready { program, there, edits } = ready;
    let program = Arc::new(program);
    let wanted = program.sources.clone();
    let write = || {
        if edits.is_empty() {
            return Ok(());
        }
        let read = || load(&state.folder).map_err(|error| error.to_string());
        let changed = || "the rule folder changed while it was to be written".to_owned();
        if read()? != there {
            return Err(changed());
        }
        change::apply(&state.folder, &edits).map_err(|error| error.to_string())?;
        if read()? == wanted { Ok(()) } else { Err(changed()) }
    };
    match reloader.activate(program, write) {
        Reload::Taken { .. } => Ok("taken".to_owned()),
        Reload::Waiting { .. } => Ok("waiting".to_owned()),
        Reload::Unchanged { .. } => Ok("unchanged".to_owned()),
        Reload::Refused { reason } => {
            let first = reason.lines().next().unwrap_or_default();
            Err(Problem::new(REFUSED, first))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Source;

    #[test]
    fn edits_name_what_comes_what_changes_and_what_goes() {
        let of = |files: &[(&str, &str)]| {
            let file = |(path, text): &(&str, &str)| {
                let (path, text) = ((*path).to_owned(), (*text).to_owned());
                Source { path, text }
            };
            Sources::of(files.iter().map(file).collect())
        };
        let found = edits(
            &of(&[("a.risk", "a"), ("b.csv", "b"), ("c.risk", "c")]),
            &of(&[("a.risk", "a"), ("c.risk", "C"), ("d/e.risk", "e")]),
        );
        let text = |text: &str| Some(text.to_owned());
        let expected = [("b.csv", None), ("c.risk", text("C")), ("d/e.risk", text("e"))];
        assert_eq!(found, expected.map(|(path, text)| (path.to_owned(), text)).into());
    }
}
