//! `riskweir cost`: what a rule folder costs before it runs: units of work per event and rule, bytes of state per key.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::cli::rules::compile_folder;
use crate::cli::{Console, Exit, Failure, Format};
use crate::diag::render::{self, Style};
use crate::diag::{Diagnostic, Span, codes};
use crate::engine::EngineOptions;
use crate::rules::cost::{self, TableCost, UNIT_NS};
use crate::rules::eval::render::duration;
use crate::rules::program::Program;

/// Arguments of `riskweir cost`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Rule folder (or one .risk file).
    #[arg(value_name = "PATH", default_value = "rules")]
    path: PathBuf,
    /// How many values the keys have, as in device=1000000; several with commas (a key of two: sender+receiver=5000000).
    #[arg(long, value_name = "KEY=N", value_delimiter = ',', value_parser = keys)]
    keys: Vec<(String, u64)>,
    /// How many events one key has within the longest window of its table.
    #[arg(long, value_name = "N", default_value_t = 16)]
    events_per_key: u32,
}

#[derive(Serialize)]
struct Report {
    unit_ns: i64,
    budget_ns: Option<i64>,
    events: Vec<EventLine>,
    events_per_key: u32,
    tables: Vec<TableLine>,
    state_bytes: Option<u64>,
    state_budget_bytes: u64,
}

#[derive(Serialize)]
struct EventLine {
    event: String,
    units: u64,
    rules: Vec<RuleLine>,
    models: Vec<ModelLine>,
}

#[derive(Serialize)]
struct ModelLine {
    model: String,
    units: u64,
}

#[derive(Serialize)]
struct RuleLine {
    rule: String,
    units: u64,
}

#[derive(Serialize)]
struct TableLine {
    table: String,
    reach_ms: i64,
    aggregates: usize,
    answers: &'static str,
    bytes_per_key: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    rules: Vec<String>,
}

/// Runs the command.
///
/// # Errors
/// When the folder cannot be read.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(program) = compile_folder(&arguments.path, console)? else { return Ok(Exit::Invalid) };
    let report = report(&program, arguments);
    known_keys(&report, arguments)?;
    match console.format {
        Format::Json => {
            console.data(&(serde_json::to_string_pretty(&report).unwrap_or_default() + "\n"));
        }
        Format::Text => console.data(&text(&report)),
    }
    let Some(bytes) = report.state_bytes.filter(|bytes| *bytes > report.state_budget_bytes) else {
        return Ok(Exit::Ok);
    };
    let message = format!(
        "the state needs {bytes} bytes, the policy gives {}: the oldest keys will be evicted",
        report.state_budget_bytes
    );
    let help = "raise `state` in the policy, shorten windows, or count with fewer keys";
    let found = Diagnostic::new(codes::W0701, Span::default(), message).with_help(help);
    let style = if console.color { Style::Color } else { Style::Plain };
    console.message(&render::text(&program.sources, &[found], style));
    Ok(Exit::Ok)
}

fn report(program: &Program, arguments: &Arguments) -> Report {
    let name = |rule: crate::rules::program::RuleId| {
        program.rules.get(usize::from(rule.0)).map_or_else(String::new, |rule| rule.name.clone())
    };
    let model_name = |model: crate::rules::program::ModelId| {
        let plan = program.models.get(usize::from(model.0));
        plan.map_or_else(String::new, |plan| plan.name.clone())
    };
    let events = cost::events(program).into_iter().map(|event| EventLine {
        event: program.schema.event(event.event).name.clone(),
        units: event.units,
        rules: event
            .rules
            .into_iter()
            .map(|(rule, units)| RuleLine { rule: name(rule), units })
            .collect(),
        models: event
            .models
            .into_iter()
            .map(|(model, units)| ModelLine { model: model_name(model), units })
            .collect(),
    });
    let exact_cap = EngineOptions::default().exact_events_per_key;
    let tables = cost::tables(program, arguments.events_per_key, exact_cap);
    let tables: Vec<TableLine> = tables.into_iter().map(|table| line(table, arguments)).collect();
    let known: Option<Vec<u64>> = tables.iter().map(|table| table.bytes).collect();
    Report {
        unit_ns: UNIT_NS,
        budget_ns: program.policy.budget_ns,
        events: events.collect(),
        events_per_key: arguments.events_per_key,
        state_bytes: known.map(|bytes| bytes.into_iter().fold(0, u64::saturating_add)),
        tables,
        state_budget_bytes: program.policy.state_bytes,
    }
}

/// Refuses a key by which nothing is counted: its number would be left out of the sum.
fn known_keys(report: &Report, arguments: &Arguments) -> Result<(), Failure> {
    let mut known: Vec<String> = report.tables.iter().map(|table| keys_of(&table.table)).collect();
    known.sort();
    known.dedup();
    let is_known = |name: &str| known.iter().any(|keys| same_keys(keys, name));
    let Some((unknown, _)) = arguments.keys.iter().find(|(name, _)| !is_known(name)) else {
        return Ok(());
    };
    let keys = if known.is_empty() { "nothing".to_owned() } else { known.join(", ") };
    Err(Failure::invalid(format!("no rule counts by `{unknown}`: these rules count by {keys}")))
}

/// Whether two texts name the same keys, in whatever order.
fn same_keys(a: &str, b: &str) -> bool {
    let parts = |text: &str| {
        let mut parts: Vec<String> = text.split('+').map(str::to_owned).collect();
        parts.sort();
        parts
    };
    parts(a) == parts(b)
}

/// The keys of a table as `--keys` names them: `sender+receiver`.
fn keys_of(table: &str) -> String {
    let by = table.split_once(" by ").map_or("", |(_, keys)| keys);
    let by = by.split(" #").next().unwrap_or_default();
    by.split(" over ").next().unwrap_or_default().replace(", ", "+")
}

fn line(table: TableCost, arguments: &Arguments) -> TableLine {
    let by = keys_of(&table.name);
    let keys = arguments.keys.iter().find(|(name, _)| same_keys(name, &by)).map(|(_, n)| *n);
    TableLine {
        bytes: keys.map(|keys| keys.saturating_mul(table.bytes_per_key)),
        keys,
        table: table.name,
        reach_ms: table.reach_ms,
        aggregates: table.aggregates,
        answers: if table.exact { "exact" } else { "sliced" },
        bytes_per_key: table.bytes_per_key,
        rules: table.readers,
    }
}

fn text(report: &Report) -> String {
    let mut out = String::new();
    let mut rows = vec![["event", "units", "rule", "units"].map(str::to_owned)];
    for event in &report.events {
        let mut head = (event.event.clone(), event.units.to_string());
        for rule in &event.rules {
            let (name, units) = core::mem::take(&mut head);
            rows.push([name, units, rule.rule.clone(), rule.units.to_string()]);
        }
        for model in &event.models {
            let (name, units) = core::mem::take(&mut head);
            rows.push([name, units, format!("model {}", model.model), model.units.to_string()]);
        }
        if event.rules.is_empty() && event.models.is_empty() {
            rows.push([head.0, head.1, String::new(), String::new()]);
        }
    }
    out.push_str(&aligned(&rows));
    let ns = |units: u64| i64::try_from(units).unwrap_or(i64::MAX).saturating_mul(report.unit_ns);
    let most = report.events.iter().map(|event| event.units).max().unwrap_or(0);
    out.push_str(&format!("\nat most {most} units an event, reckoned as {} ns", ns(most)));
    match report.budget_ns {
        Some(budget_ns) => out.push_str(&format!("; the policy allows {budget_ns} ns\n\n")),
        None => out.push_str("; the policy has no `budget`\n\n"),
    }
    let heads = [
        "table",
        "reaches back",
        "aggregates",
        "answers",
        "bytes per key",
        "keys",
        "bytes",
        "rules",
    ];
    let mut rows = vec![heads.map(str::to_owned)];
    let known = |n: Option<u64>| n.map_or_else(|| "?".to_owned(), |n| n.to_string());
    for table in &report.tables {
        rows.push([
            table.table.clone(),
            if table.reach_ms == i64::MAX { "ever".to_owned() } else { duration(table.reach_ms) },
            table.aggregates.to_string(),
            table.answers.to_owned(),
            table.bytes_per_key.to_string(),
            known(table.keys),
            known(table.bytes),
            table.rules.join(", "),
        ]);
    }
    out.push_str(&aligned(&rows));
    out.push_str(&format!("\n{} events per key; ", report.events_per_key));
    match report.state_bytes {
        Some(bytes) => out
            .push_str(&format!("{bytes} bytes, the policy gives {}\n", report.state_budget_bytes)),
        None => {
            out.push_str("say how many keys there are with --keys, as in --keys card=1000000\n");
        }
    }
    out
}

/// Columns padded to their widest cell.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut table = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        table.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        table.push('\n');
    }
    table
}

fn keys(text: &str) -> Result<(String, u64), String> {
    let wrong = || "write a key and a number, as in device=1000000".to_owned();
    let (name, n) = text.split_once('=').ok_or_else(wrong)?;
    Ok((name.to_owned(), n.parse().map_err(|_| wrong())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_several_parts_may_be_named_in_any_order() {
        assert_eq!(keys_of("transfer by amount, receiver, sender #2"), "amount+receiver+sender");
        assert_eq!(keys_of("transfer by sender over lifetime"), "sender");
        assert!(same_keys("sender+amount", "amount+sender"));
        assert!(!same_keys("sender", "amount+sender") && !same_keys("sender+sender", "sender"));
    }
}
