//! The reference of the rule language is true: every fenced example is compiled, and its tests are run.
//!
//! In `docs/LANGUAGE.md` and `docs/language/*.md`:
//!
//! - ```` ```risk schema ```` compiles, and stands beside every example of the document;
//! - ```` ```risk ```` compiles; a line with `# error[E0402]` or `# warning[W0301]` gives exactly that finding, and no
//!   line gives an error that it does not announce. Without errors its `test` blocks are run: they pass, except those
//!   that say `# fails`;
//! - ```` ```diagnostics ```` holds the rendered errors of the example before it (`UPDATE_GOLDEN=1` rewrites it);
//! - the artifact of a learned model says 0.9 of a feature that is much, 0.1 of one that is not, and their mean of all;
//! - each code in the second column of the table "The card" is a condition, clause or action that compiles.
#![expect(clippy::expect_used, reason = "helpers of tests; the lint spares test functions only")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use riskweir::diag::{Diagnostic, Severity, Source, Sources, render};
use riskweir::rule_tests::run_all;
use riskweir::rules::compile;
use riskweir::rules::program::Program;
use riskweir::rules::syntax::words;

mod support;

use support::artifacts::{plain, with_artifacts};

/// The lists and rates that the examples read.
const LISTS: &[(&str, &str)] = &[
    ("lists/high_risk.csv", "value,expires,note\nKP,,standing order\nIR,2027-01-01T00:00:00Z,\n"),
    ("lists/ip_country.csv", "value,gives\n192.0.2.0/24,DE\n192.0.2.128/25,AT\n"),
    ("lists/offices.csv", "192.0.2.248/29\n198.51.100.7\n"),
    (
        "rates.csv",
        "date,currency,rate\n2026-01-01,USD,0.8512\n2026-01-02,USD,0.8534\n2026-01-01,JPY,0.005435\n",
    ),
    (
        "lists/country_limits.csv",
        "value,gives,note\nFR,5000,\nTR,750.50,after the review of March\n",
    ),
];

/// The name under which an example is compiled.
const EXAMPLE: &str = "your.risk";

/// One fenced block.
#[derive(Clone, Debug)]
struct Fence {
    /// What stands behind the backticks.
    info: String,
    /// The content.
    text: String,
    /// Its first line in the document, from 1.
    line: usize,
}

fn documents() -> Vec<PathBuf> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut found = vec![docs.join("LANGUAGE.md")];
    if let Ok(entries) = fs::read_dir(docs.join("language")) {
        found.extend(entries.map(|entry| entry.expect("an entry of the folder").path()));
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a readable document")
}

fn fences(document: &str) -> Vec<Fence> {
    let mut found: Vec<Fence> = Vec::new();
    let mut open = false;
    for (number, line) in (1..).zip(document.lines()) {
        match line.strip_prefix("```") {
            Some(_) if open => open = false,
            Some(info) => {
                open = true;
                found.push(Fence { info: info.to_owned(), text: String::new(), line: number + 1 });
            }
            None if open => {
                let fence = found.last_mut().expect("an open fence");
                fence.text.push_str(line);
                fence.text.push('\n');
            }
            None => {}
        }
    }
    found
}

/// The schema that all examples of a document share.
fn schema(document: &str) -> String {
    let shared = fences(document).into_iter().filter(|fence| fence.info == "risk schema");
    shared.map(|fence| fence.text).collect()
}

fn compiled(schema: &str, text: &str) -> (Sources, Option<Program>, Vec<Diagnostic>) {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let mut files: Vec<Source> = LISTS.iter().map(|(path, text)| file(path, text)).collect();
    files.push(file("schema.risk", schema));
    files.push(file(EXAMPLE, text));
    let sources = with_artifacts(Sources::of(files), plain);
    let (program, diagnostics) = compile(&sources);
    (sources, program, diagnostics)
}

/// Codes announced in comments such as `# error[E0101]`, with their lines.
fn announced(text: &str) -> BTreeSet<(usize, String)> {
    let mut found = BTreeSet::new();
    for (number, line) in (1..).zip(text.lines()) {
        for part in line.split("# error[").skip(1).chain(line.split("# warning[").skip(1)) {
            let code = part.split(']').next().unwrap_or_default();
            found.insert((number, code.to_owned()));
        }
    }
    found
}

/// Codes that the compiler gave for the example itself: all errors, and the warnings that are announced.
fn given(
    sources: &Sources,
    diagnostics: &[Diagnostic],
    announced: &BTreeSet<(usize, String)>,
) -> BTreeSet<(usize, String)> {
    let place = |diagnostic: &Diagnostic| {
        let source = sources.get(diagnostic.span.file).expect("a known file");
        let line = if source.path == EXAMPLE {
            render::position(source, diagnostic.span.start).line
        } else {
            0
        };
        (line, diagnostic.code.0.to_owned())
    };
    let counts = |diagnostic: &&Diagnostic| {
        diagnostic.severity() == Severity::Error || announced.contains(&place(diagnostic))
    };
    diagnostics.iter().filter(counts).map(place).collect()
}

/// What is wrong with one example.
fn judge(schema: &str, fence: &Fence) -> Vec<String> {
    let at = |text: String| format!("line {}: {text}", fence.line);
    let (sources, program, diagnostics) = compiled(schema, &fence.text);
    let wanted = announced(&fence.text);
    let found = given(&sources, &diagnostics, &wanted);
    if found != wanted {
        let rendered = render::text(&sources, &diagnostics, render::Style::Plain);
        return vec![at(format!("expected {wanted:?}, found {found:?}\n{rendered}"))];
    }
    let Some(program) = program else { return Vec::new() };
    let results = run_all(&Arc::new(program)).expect("the engine takes a compiled program");
    let mut offences = Vec::new();
    for result in results {
        let start = result.span.start as usize;
        let line = fence.text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
        let (fails, name) =
            (line.contains("# fails"), format!("{}: {}", result.rule, result.title));
        if fails == result.failures.is_empty() {
            offences.push(at(format!("{name} (fails wanted: {fails}): {:?}", result.failures)));
        }
    }
    offences
}

/// The rendered errors of an example, without its announcing comments.
fn rendered(schema: &str, fence: &Fence) -> String {
    let plain: Vec<&str> = fence
        .text
        .lines()
        .map(|line| line.split("# error[").next().unwrap_or_default().trim_end())
        .collect();
    let (sources, _, diagnostics) = compiled(schema, &(plain.join("\n") + "\n"));
    let errors: Vec<Diagnostic> =
        diagnostics.into_iter().filter(|d| d.severity() == Severity::Error).collect();
    render::text(&sources, &errors, render::Style::Plain).trim_end().to_owned() + "\n"
}

#[test]
fn every_example_of_the_reference_is_true() {
    let mut offences = Vec::new();
    let mut seen = 0;
    for path in documents() {
        let document = read(&path);
        let (schema, mut before) = (schema(&document), None);
        for fence in fences(&document) {
            match fence.info.as_str() {
                "risk schema" => {
                    offences.extend(judge("", &fence));
                    seen += 1;
                }
                "risk" => {
                    offences.extend(judge(&schema, &fence));
                    before = Some(fence);
                    seen += 1;
                }
                "diagnostics" => {
                    let example = before.clone().expect("an example before its diagnostics");
                    let expected = rendered(&schema, &example);
                    if std::env::var_os("UPDATE_GOLDEN").is_some() {
                        let old = format!("```diagnostics\n{}```", fence.text);
                        let new = format!("```diagnostics\n{expected}```");
                        let text = read(&path).replace(&old, &new);
                        fs::write(&path, text).expect("a writable document");
                    } else if fence.text != expected {
                        offences.push(format!("line {}: expected\n{expected}", fence.line));
                    }
                }
                "text" | "json" | "sh" | "yaml" => {}
                other => offences.push(format!("line {}: unknown fence `{other}`", fence.line)),
            }
        }
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
    assert!(seen > 20, "only {seen} examples were seen");
}

/// The code of the second column of the card.
fn card_entries(document: &str) -> Vec<String> {
    let section = document.split("## The card").nth(1).expect("the card");
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter(|line| line.starts_with("| ") && line.contains('`'));
    let code = |row: &str| row.split('`').nth(1).map(str::to_owned);
    rows.filter_map(code).collect()
}

/// A rule on an event in which the entry stands at its place.
fn rule_around(entry: &str, event: &str) -> String {
    let first = entry.split(' ').next().unwrap_or_default();
    let action = words::ACTIONS.contains(&first);
    let clause = ["unless", "if", "mode"].contains(&first);
    let mode = if first == "mode" { "" } else { "mode shadow" };
    let condition = if action || clause { "1 = 1" } else { entry };
    let missing = if first == "if" { "" } else { "if missing skip" };
    let clause = if clause { entry } else { "" };
    let action = if action { entry } else { "alert" };
    format!(
        "rule r id \"R\" owner o {mode} on {event} when {condition} {clause} {missing} then {action}\n"
    )
}

#[test]
fn every_entry_of_the_card_compiles() {
    let document = read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/LANGUAGE.md"));
    let schema = schema(&document);
    let entries = card_entries(&document);
    assert!(entries.len() > 25, "the card has {} entries", entries.len());
    let mut offences = Vec::new();
    for entry in &entries {
        let events = ["card_payment", "transfer", "login"];
        let traps = |event: &&str| {
            let found = compiled(&schema, &rule_around(entry, event)).2;
            found.iter().any(|found| matches!(found.code.0, "W0601" | "W0604" | "W0608" | "W0609"))
        };
        if let Some(event) = events.iter().find(|event| traps(event)) {
            offences.push(format!("`{entry}` does not say what people mean, on `{event}`"));
        }
        let fits = |event: &&str| compiled(&schema, &rule_around(entry, event)).1.is_some();
        if !events.iter().any(fits) {
            let (sources, _, found) = compiled(&schema, &rule_around(entry, events[0]));
            let text = render::text(&sources, &found, render::Style::Plain);
            offences.push(format!("`{entry}` compiles on no event, on the first:\n{text}"));
        }
    }
    assert!(offences.is_empty(), "\n{}\n", offences.join("\n"));
}

#[test]
fn every_word_of_the_language_is_shown_in_an_example() {
    let mut shown = BTreeSet::new();
    let mut calls = BTreeSet::new();
    for path in documents() {
        for fence in fences(&read(&path)).iter().filter(|fence| fence.info.starts_with("risk")) {
            for line in fence.text.lines() {
                let code = line.split('#').next().unwrap_or_default();
                let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
                shown.extend(words.map(str::to_owned));
                let called = code.split('(').map(|part| {
                    part.rsplit(|c: char| !c.is_alphanumeric() && c != '_')
                        .next()
                        .unwrap_or_default()
                });
                calls.extend(called.map(str::to_owned));
            }
        }
    }
    let of_language = [words::ITEMS, words::CLAUSES, words::ACTIONS, words::POLICY_CLAUSES];
    for word in of_language.into_iter().flatten().chain(words::FIELD_ROLES) {
        assert!(shown.contains(*word), "no example shows `{word}`");
    }
    let functions =
        ["abs", "distance", "hour", "is_multiple", "length", "ln", "lower", "round", "similarity"];
    for function in functions.iter().chain(words::AGGREGATES) {
        assert!(calls.contains(*function), "no example calls `{function}`");
    }
}
