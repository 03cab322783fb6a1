//! The extension for an editor: its colors know the words of the language, its parts are there.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use riskweir::rules::functions;
use riskweir::rules::syntax::words;
use serde_json::{Value, json};

/// The words that a grammar of colors names, by scope: those of patterns that are a list of words.
fn words_of_grammar(grammar: &Value) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut open = vec![grammar];
    while let Some(value) = open.pop() {
        match value {
            Value::Array(list) => open.extend(list),
            Value::Object(object) => {
                open.extend(object.values());
                let text = |name: &str| object.get(name).and_then(Value::as_str);
                let (Some(name), Some(pattern)) = (text("name"), text("match")) else { continue };
                let list =
                    pattern.split_once(r"(?<![.\w])(").and_then(|(_, rest)| rest.split_once(')'));
                let Some((list, _)) = list else { continue };
                let words = list.split('|').map(str::to_owned);
                found.entry(name.to_owned()).or_default().extend(words);
            }
            _ => {}
        }
    }
    found
}

#[test]
fn the_colors_know_exactly_the_words_of_the_language() {
    let text = fs::read_to_string("editors/vscode/syntaxes/riskweir.tmLanguage.json").unwrap();
    let grammar: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(grammar["scopeName"], "source.riskweir");
    let found = words_of_grammar(&grammar);
    let sorted = |scopes: &[&str]| {
        let words = scopes.iter().flat_map(|scope| found[&format!("{scope}.riskweir")].clone());
        let mut words: Vec<String> = words.collect();
        words.sort();
        words.dedup();
        words
    };
    let functions = functions().map(|(name, _)| name.to_owned());
    assert_eq!(sorted(&["support.function"]), functions.collect::<Vec<_>>());
    let mut aggregates: Vec<&str> = words::AGGREGATES.to_vec();
    aggregates.sort_unstable();
    assert_eq!(sorted(&["support.function.aggregate"]), aggregates);
    for (scope, class) in [
        ("keyword.declaration.item", words::ITEMS),
        ("keyword.control.clause", words::CLAUSES),
        ("keyword.control.action", words::ACTIONS),
        ("keyword.control.policy", words::POLICY_CLAUSES),
    ] {
        let mut class = class.to_vec();
        class.sort_unstable();
        assert_eq!(sorted(&[scope]), class, "{scope}");
    }
    let all: Vec<String> = found
        .keys()
        .filter(|scope| *scope != "support.function.riskweir")
        .map(|scope| scope.trim_end_matches(".riskweir"))
        .map(str::to_owned)
        .collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(sorted(&all), words::all());
}

#[test]
fn the_parts_of_the_extension_are_there_and_can_be_read() {
    let folder = Path::new("editors/vscode");
    let read = |name: &str| -> Value {
        serde_json::from_str(&fs::read_to_string(folder.join(name)).unwrap()).unwrap()
    };
    let package = read("package.json");
    assert_eq!(package["version"], env!("CARGO_PKG_VERSION"));
    let language = &package["contributes"]["languages"][0];
    assert_eq!(language["extensions"], json!([".risk"]));
    read(language["configuration"].as_str().unwrap());
    read(package["contributes"]["grammars"][0]["path"].as_str().unwrap());
    let client = fs::read_to_string(folder.join(package["main"].as_str().unwrap())).unwrap();
    // The settings and the command that the client reads are those that the editor shows.
    for name in ["path", "rules"] {
        let setting = format!("riskweir.{name}");
        assert!(package["contributes"]["configuration"]["properties"].get(&setting).is_some());
        assert!(client.contains(&format!("settings.get(\"{name}\")")), "{setting}");
    }
    let command = package["contributes"]["commands"][0]["command"].as_str().unwrap();
    assert!(client.contains(&format!("\"{command}\"")) && client.contains("args: [\"lsp\"]"));
}
