//! The report of a backtest: one page that opens anywhere and asks nothing of a network.

use crate::backtest::page;
use crate::backtest::quality::{figures, percent};
use crate::backtest::study::{Findings, Known, RuleStudy, day_text, share};
use crate::backtest::summary::Summary;

/// Most rules in the square of overlaps; of more those with the most hits.
const MAX_HEAT: usize = 40;

/// The whole page.
pub fn html(summary: &Summary, found: &Findings, inputs: &[String]) -> String {
    let mut body = head(summary, found, inputs);
    let alerts: Vec<(String, u64)> =
        every_day(found).map(|(day, alerts)| (day_text(day), alerts)).collect();
    body.push_str(&page::section(
        "Alerts per day",
        "By event time, UTC; alerts of rules, of score bands and of reused ids.",
        &page::days("alerts per day", &alerts),
    ));
    let bars: Vec<(String, [u64; 3])> =
        found.rules.iter().map(|rule| (title(rule), parts(rule, found.has_labels()))).collect();
    let note = if found.has_labels() {
        "Red is fraud, blue genuine, grey too young to say."
    } else {
        "Without labels nothing is known about the hits."
    };
    body.push_str(&page::section("Hits by rule", note, &page::bars("hits by rule", &bars)));
    if found.has_labels() {
        body.push_str(&quality(found));
    }
    body.push_str(&overlap(found));
    page::page("Backtest", &body)
}

fn head(summary: &Summary, found: &Findings, inputs: &[String]) -> String {
    let days = match (found.days.keys().next(), found.days.keys().next_back()) {
        (Some(first), Some(last)) => format!("{} to {}", day_text(*first), day_text(*last)),
        _ => "no events".to_owned(),
    };
    let lines = [
        format!("Rule set {}; {}; {days}.", summary.ruleset, inputs.join(", ")),
        format!("{}.", summary.totals("")),
    ];
    lines.map(|line| format!("<p>{}</p>\n", page::escape(&line))).concat()
}

/// Every day from the first to the last, those without events too, as long as that is a sensible number.
fn every_day(found: &Findings) -> impl Iterator<Item = (i64, u64)> {
    const MOST: i64 = 2_000;
    let first = found.days.keys().next().copied().unwrap_or(0);
    let last = found.days.keys().next_back().copied().unwrap_or(-1).min(first.saturating_add(MOST));
    (first..=last).map(|day| (day, found.days.get(&day).map_or(0, |counts| counts.alerts)))
}

fn title(rule: &RuleStudy) -> String {
    if rule.rule == rule.name { rule.name.clone() } else { format!("{} {}", rule.rule, rule.name) }
}

fn parts(rule: &RuleStudy, labelled: bool) -> [u64; 3] {
    let Known { fraud, genuine, unknown } = rule.hits;
    if labelled { [fraud, genuine, unknown] } else { [0, 0, rule.hits.all()] }
}

fn quality(found: &Findings) -> String {
    let header = [
        "rule",
        "mode",
        "hits",
        "alerts",
        "fraud",
        "genuine",
        "too young",
        "precision",
        "recall",
        "only this rule",
        "value caught",
        "wrongly stopped",
    ];
    let row = |rule: &RuleStudy| {
        let Known { fraud, genuine, unknown } = rule.hits;
        let counts = [rule.hits.all(), rule.alerts.all(), fraud, genuine, unknown];
        let words = [title(rule), rule.mode.to_owned()].into_iter();
        let counts = counts.into_iter().map(|count| count.to_string());
        words.chain(counts).chain(figures(found, rule)).collect::<Vec<String>>()
    };
    let rows: Vec<Vec<String>> = found.rules.iter().map(row).collect();
    let groups = [
        ("hit by a live rule", found.hit),
        ("alerted", found.alerted),
        ("held or refused", found.stopped),
    ];
    let totals = groups.map(|(name, known)| {
        vec![
            name.to_owned(),
            known.all().to_string(),
            known.fraud.to_string(),
            known.genuine.to_string(),
            percent(known.precision()),
            percent(found.recall(known)),
        ]
    });
    let total_header = ["events", "number", "fraud", "genuine", "precision", "recall"];
    let money = format!(
        "Value of fraud {}; hit by a live rule {}; held or refused {}; genuine held or refused {}.",
        found.value_fraud, found.value_caught, found.value_stopped, found.value_wrongly_stopped
    );
    let points: Vec<(String, f64, f64)> = found
        .rules
        .iter()
        .filter_map(|rule| Some((title(rule), found.recall(rule.hits)?, rule.hits.precision()?)))
        .collect();
    let Known { fraud, genuine, unknown } = found.events;
    page::section(
        "Against the labels",
        &format!("{fraud} fraud, {genuine} genuine, {unknown} too young to say. {money}"),
        &page::table(&total_header, &totals, 1),
    ) + &page::section("Rules", "", &page::table(&header, &rows, 2))
        + &page::section(
            "Precision and recall",
            "One point for each rule that hit something known.",
            &page::scatter("precision and recall of each rule", &points),
        )
}

fn overlap(found: &Findings) -> String {
    let mut shown: Vec<usize> = (0..found.rules.len()).collect();
    let hits = |at: usize| found.rules.get(at).map_or(0, |rule| rule.hits.all());
    shown.retain(|at| hits(*at) > 0);
    shown.sort_by_key(|at| (core::cmp::Reverse(hits(*at)), *at));
    shown.truncate(MAX_HEAT);
    if shown.is_empty() {
        return String::new();
    }
    let names: Vec<String> = shown
        .iter()
        .enumerate()
        .filter_map(|(place, at)| Some(format!("{} {}", title(found.rules.get(*at)?), place + 1)))
        .collect();
    let part = |row: usize, column: usize| {
        let (one, other) = (*shown.get(row)?, *shown.get(column)?);
        let pair = (one.min(other), one.max(other));
        let both = if one == other {
            hits(one)
        } else {
            found.overlap.get(&pair).map_or(0, |known| known.all())
        };
        share(both, hits(one))
    };
    page::section(
        "Overlap",
        "How much of a row's hits the column's rule has too; the darker the more.",
        &page::heat("overlap of rules", &names, part),
    )
}
