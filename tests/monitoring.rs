//! The shipped dashboards, alert rules and runbooks: every metric that they name exists, every alert has a test and a
//! page, and what is provisioned is there. `promtool` judges the expressions themselves (docs/runbooks/README.md).
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The words of a text that are names of metrics: `riskweir_` and on, without those of recorded rules.
fn metrics(text: &str) -> BTreeSet<String> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let words = text.split(|c: char| !is_word(c));
    words.filter(|word| word.starts_with("riskweir_")).map(str::to_owned).collect()
}

/// The families that the program serves, with the series of histograms.
fn served() -> BTreeSet<String> {
    let source = read("src/telemetry/families.rs");
    let mut names = BTreeSet::new();
    for name in source.split('"').skip(1).step_by(2).filter(|it| it.starts_with("riskweir_")) {
        names.insert(name.to_owned());
        if name.ends_with("_seconds") {
            names.extend(["bucket", "sum", "count"].map(|part| format!("{name}_{part}")));
        }
    }
    names
}

fn dashboards() -> Vec<(String, Value)> {
    let folder = root().join("deploy/grafana/dashboards");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let parse = |path: PathBuf| {
        (name(&path), serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap())
    };
    paths.into_iter().map(parse).collect()
}

/// All expressions of a dashboard.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text)
                        if matches!(name.as_str(), "expr" | "query" | "definition") =>
                    {
                        found.push(text.clone());
                    }
                    member => expressions(member, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        _ => {}
    }
}

#[test]
fn every_metric_of_dashboards_and_alerts_is_served() {
    let served = served();
    assert!(served.len() > 50, "the families are found");
    let mut offences = Vec::new();
    for (name, dashboard) in dashboards() {
        let mut found = Vec::new();
        expressions(&dashboard, &mut found);
        assert!(found.len() > 5, "{name} asks for something");
        for expression in found {
            let unknown =
                metrics(&expression).into_iter().filter(|metric| !served.contains(metric));
            offences.extend(unknown.map(|metric| format!("{name}: `{metric}`")));
        }
    }
    for file in ["deploy/prometheus/alerts.yml", "deploy/prometheus/alerts_test.yml"] {
        let unknown = metrics(&read(file)).into_iter().filter(|metric| !served.contains(metric));
        offences.extend(unknown.map(|metric| format!("{file}: `{metric}`")));
    }
    assert!(offences.is_empty(), "no such metric:\n{}", offences.join("\n"));
}

#[test]
fn every_served_metric_is_documented() {
    let page = read("docs/OPERATIONS.md");
    let documented = metrics(&page);
    let families = served()
        .into_iter()
        .filter(|name| !["_bucket", "_sum", "_count"].iter().any(|part| name.ends_with(part)));
    let missing: Vec<String> = families.filter(|name| !documented.contains(name)).collect();
    assert!(missing.is_empty(), "docs/OPERATIONS.md lacks {missing:?}");
}

#[test]
fn dashboards_are_told_apart_and_belong_together() {
    let mut seen = BTreeMap::new();
    for (name, dashboard) in dashboards() {
        for member in ["uid", "title"] {
            let value = dashboard[member].as_str().unwrap().to_owned();
            assert_eq!(seen.insert((member, value), name.clone()), None, "{name}");
        }
        assert_eq!(dashboard["tags"][0], "riskweir", "{name}");
        let ids = dashboard["panels"].as_array().unwrap().iter().map(|panel| panel["id"].as_u64());
        let ids: Vec<u64> = ids.map(Option::unwrap).collect();
        assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{name}: ids of panels");
    }
    let uids: Vec<&str> =
        seen.keys().filter(|(member, _)| *member == "uid").map(|(_, uid)| uid.as_str()).collect();
    assert_eq!(
        uids,
        ["riskweir-holds", "riskweir-models", "riskweir-operations", "riskweir-rules"]
    );
    let compose = read("docker-compose.yml");
    assert!(compose.contains("./deploy/grafana/dashboards:/etc/grafana/dashboards"));
}

/// Names of the alerts, in their order.
fn alerts(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect()
}

#[test]
fn every_alert_has_a_test_and_a_runbook_and_every_runbook_an_alert() {
    let (rules, tests) =
        (read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts_test.yml"));
    let index = read("docs/runbooks/README.md");
    let known: BTreeSet<&str> = alerts(&rules).into_iter().collect();
    assert_eq!(known.len(), alerts(&rules).len(), "a name twice");
    let mut offences = Vec::new();
    for alert in &known {
        let page = format!("docs/runbooks/{alert}.md");
        if !root().join(&page).exists() {
            offences.push(format!("{alert}: no {page}"));
        }
        if !rules.contains(&format!("runbook_url: {page}\n")) {
            offences.push(format!("{alert}: no `runbook_url: {page}`"));
        }
        if !index.contains(&format!("[{alert}]({alert}.md)")) {
            offences.push(format!("{alert}: not in docs/runbooks/README.md"));
        }
        // By its whole name, or by how a family of them begins.
        let named = tests.contains(&format!("{alert}\""))
            || tests.contains(&format!("alertname: {alert},"))
            || tests.contains(&format!("alertname: {alert}\n"));
        if !named {
            offences.push(format!("{alert}: no test in alerts_test.yml"));
        }
    }
    for entry in fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if name != "README" && !known.contains(name.as_str()) {
            offences.push(format!("docs/runbooks/{name}.md: no such alert"));
        }
    }
    assert!(offences.is_empty(), "\n{}", offences.join("\n"));
}
/// The commands of riskweir that a text shows.
fn commands(text: &str) -> BTreeSet<String> {
    let after = text.split("`riskweir ").skip(1);
    let word =
        |rest: &str| -> String { rest.chars().take_while(char::is_ascii_lowercase).collect() };
    after.map(word).filter(|word| !word.is_empty()).collect()
}

#[test]
fn runbooks_name_commands_that_exist() {
    let help = std::process::Command::new(env!("CARGO_BIN_EXE_riskweir")).arg("--help").output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let known: BTreeSet<&str> =
        help.lines().filter_map(|line| line.strip_prefix("  ")?.split(' ').next()).collect();
    for entry in fs::read_dir(root().join("docs/runbooks")).unwrap() {
        let path = entry.unwrap().path();
        for command in commands(&fs::read_to_string(&path).unwrap()) {
            assert!(known.contains(command.as_str()), "{}: `riskweir {command}`", path.display());
        }
    }
}

#[test]
fn the_chart_ships_the_alert_rules_and_waits_longer_than_a_stop_takes() {
    assert_eq!(read("deploy/helm/riskweir/files/alerts.yml"), read("deploy/prometheus/alerts.yml"));
    let values = read("deploy/helm/riskweir/values.yaml");
    let number = |name: &str| -> u64 {
        let line = values.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_start_matches(':').trim().parse().unwrap()
    };
    assert!(number("graceAfterShutdownSeconds") >= 5);
    let helpers = read("deploy/helm/riskweir/templates/_helpers.tpl");
    assert!(helpers.contains(r#"(printf "%ds" (int .Values.shutdownTimeoutSeconds))"#));
    let unit = read("deploy/systemd/riskweir.service");
    let stop = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(stop.parse::<u64>().unwrap() >= number("shutdownTimeoutSeconds") + 5);
}

/// The paths of a file of values, two levels deep, with those that have no others below them.
fn values() -> BTreeMap<String, bool> {
    let text = read("deploy/helm/riskweir/values.yaml");
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    let mut top = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        let depth = line.len() - line.trim_start().len();
        let Some((name, _)) = line.trim_start().split_once(':') else { continue };
        match depth {
            0 => {
                name.clone_into(&mut top);
                found.insert(top.clone(), true);
            }
            2 => {
                found.insert(top.clone(), false);
                found.insert(format!("{top}.{name}"), true);
            }
            _ => {}
        }
    }
    found
}

/// What templates read, two levels deep.
fn read_by_templates() -> BTreeSet<String> {
    let folder = root().join("deploy/helm/riskweir/templates");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let text: String = files.map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_path = |c: &char| c.is_ascii_alphanumeric() || *c == '.';
    let after = text.split(".Values.").skip(1);
    let path = |rest: &str| -> String { rest.chars().take_while(is_path).collect() };
    let short = |path: String| path.split('.').take(2).collect::<Vec<_>>().join(".");
    after.map(path).map(short).collect()
}

#[test]
fn the_chart_reads_the_values_that_it_has_and_has_those_that_it_reads() {
    let (values, used) = (values(), read_by_templates());
    for path in &used {
        // What is under `config` is riskweir's own.
        let known = path.starts_with("config.") || values.contains_key(path);
        assert!(known, "a template reads `{path}`, which values.yaml lacks");
    }
    for (path, _) in values.iter().filter(|(_, is_leaf)| **is_leaf) {
        let top = path.split('.').next().unwrap();
        assert!(used.contains(path) || used.contains(top), "no template reads `{path}`");
    }
}

#[test]
fn what_compose_publishes_is_bound_to_this_machine() {
    let text = read("docker-compose.yml");
    let ports: Vec<&str> = text.lines().filter(|it| it.trim().starts_with("ports:")).collect();
    assert!(ports.len() >= 4, "{ports:?}");
    for line in ports {
        assert!(line.contains("[\"127.0.0.1:"), "{line}");
    }
}
