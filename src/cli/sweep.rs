//! `riskweir sweep`: a rule with every value of its parameters, against a history.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value as Json, json};

use crate::backtest::page;
use crate::backtest::quality::percent;
use crate::backtest::study::{Findings, RuleStudy};
use crate::backtest::summary::align;
use crate::backtest::sweep::{Knob, knobs, turned};
use crate::cli::backtest::write;
use crate::cli::explain::find_rule;
use crate::cli::history::{History, check_output};
use crate::cli::rules::{compile_folder, compile_sources};
use crate::cli::{Console, Exit, Failure, Format};
use crate::diag::Sources;

/// Arguments of `riskweir sweep`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Id or name of the rule.
    #[arg(value_name = "RULE")]
    rule: String,
    /// Only this parameter (default: each that has a `tune` range, one at a time).
    #[arg(long, value_name = "NAME")]
    param: Option<String>,
    #[command(flatten)]
    history: History,
    /// Also write a report as one HTML file that opens anywhere.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// The rule with one value.
struct Point {
    value: String,
    present: bool,
    rule: RuleStudy,
    recall: Option<f64>,
}

/// Runs the command.
///
/// # Errors
/// When the rules do not compile, a file cannot be read, or the rule has nothing to tune.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Arguments { history, .. } = arguments;
    if let Some(report) = &arguments.report {
        check_output("--report", report, &history.files())?;
    }
    let Some(program) = compile_folder(&history.rules, console)? else {
        return Ok(Exit::Invalid);
    };
    let id = find_rule(&program, &arguments.rule)?;
    let name = program.rules[usize::from(id.0)].name.clone();
    let mut knobs = knobs(&program.sources, &name).unwrap_or_default();
    if let Some(wanted) = &arguments.param {
        knobs.retain(|knob| knob.name == *wanted);
    }
    if knobs.is_empty() {
        let message = format!("rule `{name}` has no such parameter with a `tune` range");
        return Err(Failure::invalid(message));
    }
    let labels = history.labels.read()?;
    let labelled = labels.is_some();
    let mut swept: Vec<(Knob, Vec<Point>)> = Vec::new();
    for knob in knobs {
        let mut points = Vec::new();
        for value in &knob.values {
            let sources = turned(&program.sources, &knob, value);
            let Some(found) = one(history, &sources, labels.clone(), console)? else {
                return Ok(Exit::Invalid);
            };
            points.extend(point(&found, &name, value, &knob));
        }
        swept.push((knob, points));
    }
    if let Some(path) = &arguments.report {
        write(path, &html(&name, &swept, labelled))?;
    }
    match console.format {
        Format::Json => console.data(&format!("{}\n", as_json(&name, &swept))),
        Format::Text => console.data(&text(&swept, labelled)),
    }
    Ok(Exit::Ok)
}

fn one(
    history: &History,
    sources: &Sources,
    labels: Option<crate::backtest::labels::Labels>,
    console: &Console,
) -> Result<Option<Findings>, Failure> {
    let Some(program) = compile_sources(sources, console) else { return Ok(None) };
    history.study(&Arc::new(program), labels).map(Some)
}

fn point(found: &Findings, name: &str, value: &str, knob: &Knob) -> Option<Point> {
    let rule = found.rules.iter().find(|rule| rule.name == name)?.clone();
    let recall = found.recall(rule.hits).filter(|_| found.has_labels());
    Some(Point { value: value.to_owned(), present: *value == knob.present, rule, recall })
}

fn cells(point: &Point, labelled: bool) -> [String; 8] {
    let RuleStudy { hits, alerts, value_caught, value_wrongly_stopped, stops, .. } = &point.rule;
    let known = |words: String| if labelled { words } else { "-".to_owned() };
    [
        format!("{}{}", point.value, if point.present { " *" } else { "" }),
        hits.all().to_string(),
        alerts.all().to_string(),
        known(hits.fraud.to_string()),
        known(percent(hits.precision())),
        known(percent(point.recall)),
        known(value_caught.to_string()),
        known(if *stops { value_wrongly_stopped.to_string() } else { "-".to_owned() }),
    ]
}

const HEADER: [&str; 8] =
    ["value", "hits", "alerts", "fraud", "precision", "recall", "value caught", "wrongly stopped"];

fn text(swept: &[(Knob, Vec<Point>)], labelled: bool) -> String {
    let tables = swept.iter().map(|(knob, points)| {
        let mut rows = vec![HEADER.map(str::to_owned)];
        rows.extend(points.iter().map(|point| cells(point, labelled)));
        format!("param {} (* as it is now)\n{}", knob.name, align(&rows, 1))
    });
    tables.collect::<Vec<String>>().join("\n")
}

fn as_json(name: &str, swept: &[(Knob, Vec<Point>)]) -> Json {
    let params = swept.iter().map(|(knob, points)| {
        let points = points.iter().map(|point| {
            json!({
                "value": point.value, "present": point.present,
                "hits": point.rule.hits, "alerts": point.rule.alerts,
                "precision": point.rule.hits.precision().filter(|_| point.recall.is_some()),
                "recall": point.recall,
                "value_caught": point.rule.value_caught,
                "value_wrongly_stopped": point.rule.value_wrongly_stopped,
            })
        });
        json!({ "param": knob.name, "present": knob.present, "points": points.collect::<Vec<_>>() })
    });
    json!({ "rule": name, "params": params.collect::<Vec<_>>() })
}

fn html(name: &str, swept: &[(Knob, Vec<Point>)], labelled: bool) -> String {
    let sections = swept.iter().map(|(knob, points)| {
        let rows: Vec<Vec<String>> =
            points.iter().map(|point| cells(point, labelled).to_vec()).collect();
        let curve: Vec<(u64, f64, String)> = points
            .iter()
            .filter_map(|point| Some((point.rule.alerts.all(), point.recall?, point.value.clone())))
            .collect();
        let plot = if curve.is_empty() {
            String::new()
        } else {
            page::curve("alerts against recall", "alerts", &curve)
        };
        let note = "A star marks the present value. Upwards recall, to the right alerts.";
        page::section(
            &format!("param {}", knob.name),
            note,
            &(plot + &page::table(&HEADER, &rows, 1)),
        )
    });
    page::page(&format!("Sweep of {name}"), &sections.collect::<String>())
}
