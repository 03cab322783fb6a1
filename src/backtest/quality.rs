//! Findings as a table for people and as JSON for programs.

use serde_json::{Value as Json, json};

use crate::backtest::study::{CutOff, Findings, Known, Misfit, RuleStudy, day_text, until_text};
use crate::backtest::summary::align;

/// Findings as one JSON value.
///
/// # Shape
/// Ratios have six decimals and are null where nothing is known; money is decimal text by currency.
pub fn json(found: &Findings, cut_off: CutOff) -> Json {
    let rules = found.rules.iter().map(|rule| {
        json!({
            "rule": rule.rule, "name": rule.name, "mode": rule.mode, "stops": rule.stops,
            "hits": rule.hits, "alerts": rule.alerts, "only_this": rule.only_this,
            "precision": rule.hits.precision(), "recall": found.recall(rule.hits),
            "alert_precision": rule.alerts.precision(),
            "value_caught": rule.value_caught,
            "value_wrongly_stopped": rule.value_wrongly_stopped,
        })
    });
    let name = |at: usize| found.rules.get(at).map_or("", |rule| rule.rule.as_str());
    let overlap = found.overlap.iter().map(
        |((one, other), known)| json!({ "rules": [name(*one), name(*other)], "events": known }),
    );
    let days = found.days.iter().map(|(day, counts)| {
        let mut line = json!({ "day": day_text(*day) });
        if let (Json::Object(line), Ok(Json::Object(counts))) =
            (&mut line, serde_json::to_value(counts))
        {
            line.extend(counts);
        }
        line
    });
    let group = |known: Known| {
        json!({
            "events": known, "precision": known.precision(), "recall": found.recall(known),
        })
    };
    json!({
        "labels": found.labels_used,
        "labels_misfit": found.misfit,
        "labels_until": until_text(cut_off),
        "labels_mature_after_ms": cut_off.mature_after_ms,
        "events": found.events,
        "hit": group(found.hit), "alerted": group(found.alerted), "stopped": group(found.stopped),
        "value_fraud": found.value_fraud,
        "value_caught": found.value_caught,
        "value_stopped": found.value_stopped,
        "value_wrongly_stopped": found.value_wrongly_stopped,
        "rules": rules.collect::<Vec<_>>(),
        "overlap": overlap.collect::<Vec<_>>(),
        "days": days.collect::<Vec<_>>(),
    })
}

/// Findings against labels as a table.
pub fn table(found: &Findings) -> String {
    let header = [
        "rule",
        "name",
        "mode",
        "hits",
        "fraud",
        "genuine",
        "precision",
        "recall",
        "only this",
        "value caught",
        "wrongly stopped",
    ];
    let mut rows: Vec<[String; 11]> = vec![header.map(str::to_owned)];
    rows.extend(found.rules.iter().map(|rule| row(found, rule)));
    let mut text = align(&rows, 3);
    let Known { fraud, genuine, unknown } = found.events;
    text.push_str(&format!(
        "\n{fraud} fraud, {genuine} genuine, {unknown} too young to say; {} labels used\n",
        found.labels_used.unwrap_or_default()
    ));
    if let Some(Misfit { label, event, event_type }) = &found.misfit {
        text.push_str(&format!(
            "no label fits an event: labels name ids such as `{label}`, events have ids such as `{event}` (`{event_type}`); \
             `--label-id` names the column of labels that holds those\n"
        ));
    }
    let groups = [
        ("hit by a live rule", found.hit),
        ("alerted", found.alerted),
        ("held or refused", found.stopped),
    ];
    for (name, known) in groups {
        text.push_str(&format!(
            "{name}: {} events, {} fraud, precision {}, recall {}\n",
            known.all(),
            known.fraud,
            percent(known.precision()),
            percent(found.recall(known)),
        ));
    }
    text.push_str(&format!(
        "value of fraud {}; hit by a live rule {}; held or refused {}; genuine held or refused {}\n",
        found.value_fraud, found.value_caught, found.value_stopped, found.value_wrongly_stopped,
    ));
    text + &overlap_table(found)
}

/// How good a rule was, as all tables show it: precision, recall, hits that no other rule had, value caught, value wrongly
/// stopped.
pub(crate) fn figures(found: &Findings, rule: &RuleStudy) -> [String; 5] {
    [
        percent(rule.hits.precision()),
        percent(found.recall(rule.hits)),
        rule.only_this.all().to_string(),
        rule.value_caught.to_string(),
        if rule.stops { rule.value_wrongly_stopped.to_string() } else { "-".to_owned() },
    ]
}

fn row(found: &Findings, rule: &RuleStudy) -> [String; 11] {
    let [precision, recall, only_this, caught, wrongly] = figures(found, rule);
    [
        rule.rule.clone(),
        rule.name.clone(),
        rule.mode.to_owned(),
        rule.hits.all().to_string(),
        rule.hits.fraud.to_string(),
        rule.hits.genuine.to_string(),
        precision,
        recall,
        only_this,
        caught,
        wrongly,
    ]
}

/// Which rules hit the same events: one line for each pair that does.
pub fn overlap_table(found: &Findings) -> String {
    if found.overlap.is_empty() {
        return String::new();
    }
    let header = ["rule", "other rule", "both", "of the first", "of the other", "fraud"];
    let mut rows: Vec<[String; 6]> = vec![header.map(str::to_owned)];
    let mut pairs: Vec<_> = found.overlap.iter().collect();
    pairs.sort_by_key(|(pair, known)| (core::cmp::Reverse(known.all()), **pair));
    for ((one, other), known) in pairs {
        let (Some(one), Some(other)) = (found.rules.get(*one), found.rules.get(*other)) else {
            continue;
        };
        let part =
            |rule: &RuleStudy| percent(crate::backtest::study::share(known.all(), rule.hits.all()));
        rows.push([
            format!("{} {}", one.rule, one.name),
            format!("{} {}", other.rule, other.name),
            known.all().to_string(),
            part(one),
            part(other),
            if found.has_labels() { known.fraud.to_string() } else { "-".to_owned() },
        ]);
    }
    format!("\nrules that hit the same events\n{}", align(&rows, 2))
}

/// A ratio for people.
pub fn percent(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{:.1} %", ratio * 100.0))
}

/// How many hits each rule has, and how many that no other rule that acts has.
pub fn alone_table(found: &Findings) -> String {
    let mut rows: Vec<[String; 4]> = vec![["rule", "name", "hits", "only this"].map(str::to_owned)];
    rows.extend(found.rules.iter().map(|rule| {
        [
            rule.rule.clone(),
            rule.name.clone(),
            rule.hits.all().to_string(),
            rule.only_this.all().to_string(),
        ]
    }));
    align(&rows, 2)
}
