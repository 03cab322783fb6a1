//! Decisions: by time, event, entity, outcome and rule; one of them; and why it came out so.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::api::answer::page::{page, shown};
use crate::api::call::{Call, Reply};
use crate::api::fresh;
use crate::api::problem::Problem;
use crate::api::records::{Decision, logged_at, parsed};
use crate::api::store::read::{Kept, Wanted};
use crate::api::store::{Connection, Kind};
use crate::decision::wire::HeldWith;
use crate::rules::program::Program;
use crate::runtime::rederive::compare::is_repeat;

/// Most decisions of one id that are looked at.
const MAX_REPEATS: i64 = 1_000;

/// A decision and when it was written.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct DecisionItem {
    /// When the log took it.
    #[schemars(extend("format" = "date-time"))]
    logged_at: String,
    /// The record.
    #[schemars(with = "Decision")]
    decision: Value,
}

/// `GET /v1/decisions`
pub(crate) async fn list(call: Call) -> Result<Reply, Problem> {
    let query = &call.query;
    let found = page(&call, "decisions", |wanted| {
        wanted
            .only("event_ms >= ?", query.time("from"))
            .only("event_ms < ?", query.time("until"))
            .only("event_id = ?", query.owned("event_id"))
            .only("event_type = ?", query.owned("event_type"))
            .only("entity = ?", query.owned("entity"))
            .only("outcome = ?", query.owned("outcome"))
            .only("seq IN (SELECT seq FROM hits WHERE rule = ?)", query.owned("rule"))
    });
    shown(found.await?, item)
}

fn item(kept: &Kept) -> Result<DecisionItem, Problem> {
    Ok(DecisionItem { logged_at: logged_at(kept), decision: parsed(&kept.body)? })
}

/// The newest decision of an id: one that was repeated is there several times.
async fn find(call: &Call) -> Result<Kept, Problem> {
    let id = call.name().to_owned();
    let wanted = Wanted::of("decisions", None, 1)
        .within(&call.person.scope)
        .only("decision_id = ?", Some(id));
    let question = move |connection: &Connection| Ok(wanted.ask(connection)?.into_iter().next());
    fresh::find(&call.state, Kind::Decision, "decision", question).await
}

/// The first decision of an id, of those that the read model holds: the others are of repeats of its record.
pub(crate) async fn first(call: &Call) -> Result<Kept, Problem> {
    let id = call.name().to_owned();
    let wanted = Wanted::of("decisions", None, MAX_REPEATS).only("decision_id = ?", Some(id));
    let question = move |connection: &Connection| {
        let mut all = wanted.ask(connection)?;
        let is_first = |kept: &Kept| !parsed(&kept.body).is_ok_and(|body| is_repeat(&body));
        let at = all.iter().position(is_first).or(all.len().checked_sub(1));
        Ok(at.map(|at| all.swap_remove(at)))
    };
    fresh::find(&call.state, Kind::Decision, "decision", question).await
}

/// `GET /v1/decisions/{id}`
pub(crate) async fn one(call: Call) -> Result<Reply, Problem> {
    Reply::json(&item(&find(&call).await?)?)
}

/// Why an event was decided so.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Explained {
    /// The decision.
    decision_id: String,
    /// What came out.
    outcome: String,
    /// Risk points.
    score: i64,
    /// The hold that it placed or joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    hold_id: Option<String>,
    /// Holds of its subjects that stop it: whose customer, account or card is held.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<HeldWith<'static>>")]
    held: Vec<Value>,
    /// In words, one sentence a fact.
    because: Vec<String>,
    /// The rules that hit, with their words where they are still the active ones.
    rules: Vec<ExplainedRule>,
    /// Digest of the rule set that decided.
    ruleset: String,
    /// Whether that rule set is the active one.
    is_active_ruleset: bool,
}

/// A rule that hit.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ExplainedRule {
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
    /// Its words, where the rule set that decided is the active one.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// `GET /v1/decisions/{id}/explain`
pub(crate) async fn explain(call: Call) -> Result<Reply, Problem> {
    let kept = find(&call).await?;
    let decision = parsed(&kept.body)?;
    let program = call.state.rules.get();
    let ruleset = text(&decision, "ruleset").to_owned();
    let is_active_ruleset = ruleset == program.digest.short_hex();
    let active = is_active_ruleset.then_some(&*program);
    let rules = list_of(&decision, "contributions").map(|hit| explained(hit, active)).collect();
    Reply::json(&Explained {
        decision_id: text(&decision, "decision_id").to_owned(),
        outcome: text(&decision, "outcome").to_owned(),
        score: decision.get("score").and_then(Value::as_i64).unwrap_or(0),
        hold_id: decision.get("hold_id").and_then(Value::as_str).map(str::to_owned),
        held: list_of(&decision, "held").cloned().collect(),
        because: because(&decision),
        rules,
        ruleset,
        is_active_ruleset,
    })
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn list_of<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn explained(hit: &Value, active: Option<&Program>) -> ExplainedRule {
    let id = text(hit, "rule");
    let info = active.and_then(|program| {
        program.rules.iter().find(|info| info.id == id).map(|info| (program, info))
    });
    ExplainedRule {
        rule: id.to_owned(),
        name: text(hit, "name").to_owned(),
        title: info.and_then(|(_, info)| info.title.clone()),
        owner: info.and_then(|(_, info)| info.owner.clone()),
        text: info.map(|(program, info)| program.sources.text(info.span).to_owned()),
    }
}

/// One sentence a fact: what each rule found against what it asks, what was missing, what only watched.
fn because(decision: &Value) -> Vec<String> {
    let mut out = Vec::new();
    for hit in list_of(decision, "contributions") {
        let who = format!("rule {} ({})", text(hit, "rule"), text(hit, "name"));
        let actions: Vec<&str> = list_of(hit, "actions").filter_map(Value::as_str).collect();
        out.push(format!("{who} hit and asks for {}", actions.join(", ")));
        for condition in list_of(hit, "conditions") {
            out.push(format!("{who}: {}", compared(condition)));
        }
        for reason in list_of(hit, "reasons").filter_map(Value::as_str) {
            out.push(format!("{who} says: {reason}"));
        }
    }
    for rule in list_of(decision, "undecided") {
        let missing: Vec<&str> = list_of(rule, "missing").filter_map(Value::as_str).collect();
        out.push(format!(
            "rule {} could not be decided for want of {}, and then says {}",
            text(rule, "rule"),
            missing.join(", "),
            text(rule, "then")
        ));
    }
    for rule in list_of(decision, "shadow") {
        out.push(format!("rule {} would have hit but only watches", text(rule, "rule")));
    }
    for rule in list_of(decision, "snoozed") {
        out.push(format!("rule {} would have hit but is snoozed", text(rule, "rule")));
    }
    for held in list_of(decision, "held") {
        let of = |path: &str| held.pointer(path).and_then(Value::as_str).unwrap_or_default();
        out.push(format!(
            "all payments of {} {} are held by the hold {}",
            of("/subject/name"),
            of("/subject/value"),
            of("/hold_id")
        ));
    }
    for rule in list_of(decision, "exempt").filter_map(Value::as_str) {
        out.push(format!("rule {rule} was exempt by its `unless`"));
    }
    if let Some(band) = decision.get("band") {
        let edge = |name: &str| band.get(name).and_then(Value::as_i64).unwrap_or(0);
        out.push(format!("the score lies in the band {} to {}", edge("from"), edge("to")));
    }
    if out.is_empty() {
        out.push("no rule hit".to_owned());
    }
    out
}

fn compared(condition: &Value) -> String {
    let of = |name: &str| text(condition, name);
    let word = if condition.get("holds").and_then(Value::as_bool) == Some(false) {
        " does not hold"
    } else {
        ""
    };
    format!("`{}`: {} {} {}{word}", of("text"), of("value"), of("op"), of("threshold"))
}
