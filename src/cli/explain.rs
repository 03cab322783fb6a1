//! `riskweir explain`: one event, one rule: every part of the condition with its value.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::Value as Json;

use crate::backtest::explain::{Question, explain};
use crate::cli::history::{Reading, TokenFlag};
use crate::cli::rules::compile_folder;
use crate::cli::{Console, Exit, Failure, Format};
use crate::engine::{DecisionsWanted, Engine};
use crate::event::schema::EventId;
use crate::rules::program::{Program, RuleId};

/// Arguments of `riskweir explain`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(long, value_name = "DIR", default_value = "rules")]
    rules: PathBuf,
    /// Input files, in this order: the history in which the event stands.
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    input: Vec<PathBuf>,
    /// Id of the event.
    #[arg(long, value_name = "ID", required_unless_present = "decision")]
    event: Option<String>,
    /// Type of the event, where events of several types have the id (default: the first event with it, of those that the
    /// rule is on).
    #[arg(long = "type", value_name = "TYPE", requires = "event")]
    event_type: Option<String>,
    /// Id or name of the rule (default: every rule on the event's type, or those that the decision names).
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// A decision instead of an event: its id, or a file that holds its record.
    #[arg(long, value_name = "ID|FILE", conflicts_with = "event")]
    decision: Option<String>,
    /// Where a decision is looked for by its id.
    #[arg(long, value_name = "FILE", default_value = "out/decisions.ndjson")]
    decisions: PathBuf,
    #[command(flatten)]
    reading: Reading,
    #[command(flatten)]
    token_key: TokenFlag,
}

/// Runs the command.
///
/// # Errors
/// When the rules do not compile, a file cannot be read, or there is no such event, rule or decision.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(program) = compile_folder(&arguments.rules, console)? else {
        return Ok(Exit::Invalid);
    };
    arguments.reading.check_topic(&program)?;
    let asked = asked(arguments, &program, console)?;
    let program = Arc::new(arguments.token_key.keyed(program, console)?);
    let options = arguments.reading.options(DecisionsWanted::All);
    let mut engine = Engine::new(Arc::clone(&program), options).map_err(Failure::invalid)?;
    let job = arguments.reading.job(&arguments.input, 1);
    let found = explain(&mut engine, &job, &asked).map_err(Failure::invalid)?;
    let Some(mut found) = found else {
        let names = asked.types.iter().map(|id| program.schema.event(*id).name.as_str());
        let names = names.collect::<Vec<&str>>().join("` or `");
        let kind = if names.is_empty() { String::new() } else { format!(" and type `{names}`") };
        let message = format!("no event of the input has the id `{}`{kind}", asked.event_id);
        return Err(Failure::invalid(message));
    };
    for other in &found.also {
        let message = format!(
            "note: an event of type `{other}` has the id `{}` too: `--type {other}` explains that one",
            asked.event_id
        );
        console.message(&message);
    }
    if arguments.rule.is_none() && found.rules.iter().any(|(_, outline)| outline.is_some()) {
        found.rules.retain(|(_, outline)| outline.is_some());
    }
    match console.format {
        Format::Json => console.data(&format!("{}\n", found.json(&program))),
        Format::Text => console.data(&found.text(&program)),
    }
    Ok(Exit::Ok)
}

/// Which event and which rules are meant.
fn asked(arguments: &Arguments, program: &Program, console: &Console) -> Result<Question, Failure> {
    let every = || program.rules.iter().map(|rule| rule.name.clone()).collect::<Vec<String>>();
    let (event_id, named, ty) = match (&arguments.event, &arguments.decision) {
        (Some(event), _) => (event.clone(), every(), arguments.event_type.clone()),
        (None, Some(decision)) => {
            let record = decision_record(decision, &arguments.decisions)?;
            if record["ruleset"] != program.digest.short_hex() {
                console.message("note: the decision was made by another rule set than this one");
            }
            let lists = ["contributions", "shadow", "undecided"].iter();
            let entries = lists.flat_map(|list| record[*list].as_array().into_iter().flatten());
            let mut named: Vec<String> =
                entries.filter_map(|entry| entry["name"].as_str().map(str::to_owned)).collect();
            named.extend(
                record["exempt"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|name| name.as_str().map(str::to_owned)),
            );
            let named = if named.is_empty() { every() } else { named };
            let text = |member: &str| record["event"][member].as_str().map(str::to_owned);
            (text("id").unwrap_or_default(), named, text("type"))
        }
        (None, None) => return Err(Failure::invalid("name an event or a decision")),
    };
    let rules = match &arguments.rule {
        Some(rule) => vec![find_rule(program, rule)?],
        None => named.iter().map(|rule| find_rule(program, rule)).collect::<Result<_, _>>()?,
    };
    let types = match (ty, &arguments.rule) {
        (Some(name), _) => {
            let known = program.schema.event_named(&name);
            vec![
                known
                    .ok_or_else(|| Failure::invalid(format!("there is no event type `{name}`")))?,
            ]
        }
        (None, Some(_)) => (0_u16..)
            .zip(&program.plans)
            .filter(|(_, plan)| plan.rules.iter().any(|body| rules.contains(&body.rule)))
            .map(|(event, _)| EventId(event))
            .collect(),
        (None, None) => Vec::new(),
    };
    Ok(Question { event_id, types, rules })
}

/// The rule of an id or a name.
pub(crate) fn find_rule(program: &Program, wanted: &str) -> Result<RuleId, Failure> {
    let mut rules = (0_u16..).zip(&program.rules);
    let found = rules.find(|(_, info)| info.id == wanted || info.name == wanted);
    found.map(|(id, _)| RuleId(id)).ok_or_else(|| {
        Failure::invalid(format!("the rule set has no rule with the id or name `{wanted}`"))
    })
}

/// The record of a decision: the first of a file, or the one with this id.
fn decision_record(wanted: &str, decisions: &Path) -> Result<Json, Failure> {
    let is_file = Path::new(wanted).is_file();
    let path = if is_file { Path::new(wanted) } else { decisions };
    let unread = |error: std::io::Error| {
        Failure::invalid(format!("could not read `{}`: {error}", path.display()))
    };
    let file = File::open(path).map_err(unread)?;
    for line in BufReader::new(file).lines() {
        let line = line.map_err(unread)?;
        if !is_file && !line.contains(wanted) {
            continue;
        }
        let record: Json = serde_json::from_str(&line).map_err(|_| {
            Failure::invalid(format!("`{}` holds a line that is no decision", path.display()))
        })?;
        if is_file || record["decision_id"] == wanted {
            return Ok(record);
        }
    }
    Err(Failure::invalid(format!("`{}` holds no decision `{wanted}`", path.display())))
}
