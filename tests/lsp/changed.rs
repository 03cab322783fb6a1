//! What an editor lets change: names, layout, mends.

use std::fs;
use std::path::Path;
use std::process::Command;

use gen_lsp_types as lsp;
use riskweir::loader::load;
use riskweir::rules::compile;
use serde_json::{Value, json};

use crate::editor::{Editor, SNOOZE, edited, fits, position};

#[test]
fn a_rule_is_renamed_wherever_it_is_named_and_keeps_its_state() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    let (before, _) = compile(&load(&editor.path("rules")).unwrap());
    let range = editor.at("prepareRename", name, (&text, "rule bu|sy"));
    assert_eq!(range["placeholder"], "busy");
    let mut params = editor.place(name, &text, "rule bu|sy");
    params["newName"] = json!("hasty");
    let edit = editor.ask("textDocument/rename", &params);
    fits::<lsp::WorkspaceEdit>(&edit);
    apply(&editor, &edit);
    let renamed = fs::read_to_string(editor.path(name)).unwrap();
    assert_eq!(renamed, text.replace("rule busy", "rule hasty").replace("test busy", "test hasty"));
    let snooze = fs::read_to_string(editor.path("rules/snoozes.risk")).unwrap();
    assert_eq!(snooze, SNOOZE.replace("busy", "hasty"));
    let (after, found) = compile(&load(&editor.path("rules")).unwrap());
    assert_eq!(found, []);
    let identities = |program: Option<riskweir::rules::program::Program>| {
        program
            .unwrap()
            .tables
            .into_iter()
            .map(|table| (table.name, table.identities))
            .collect::<Vec<_>>()
    };
    assert_eq!(identities(before), identities(after));
}

/// Writes what an edit says into the files.
fn apply(editor: &Editor, edit: &Value) {
    for (uri, edits) in edit["changes"].as_object().unwrap() {
        let path = uri.strip_prefix("file://").unwrap();
        assert!(Path::new(path).starts_with(editor.path("")));
        let text = fs::read_to_string(path).unwrap();
        fs::write(path, edited(&text, edits)).unwrap();
    }
}

#[test]
fn a_feature_and_a_let_are_renamed_in_messages_and_tests_too() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    for (place, to) in
        [("when pa|ce", "speed"), ("and spe|nt", "total"), ("pace >= lea|st", "floor")]
    {
        let mut params = editor.place(name, &text, place);
        params["newName"] = json!(to);
        let edit = editor.ask("textDocument/rename", &params);
        let old = place.replace('|', "");
        let old = old.rsplit(' ').next().unwrap();
        let edits = &edit["changes"][editor.uri(name)];
        let wanted = regex::Regex::new(&format!(r"\b{old}\b")).unwrap();
        assert_eq!(edited(&text, edits), wanted.replace_all(&text, to), "{place}");
    }
}

#[test]
fn a_rename_that_would_lose_state_or_meaning_is_refused_with_the_reason() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    let mut refused = |place: &str, to: &str| {
        let mut params = editor.place(name, &text, place);
        params["newName"] = json!(to);
        editor.refused("textDocument/rename", &params).1
    };
    assert!(refused("on pay|ment", "pays").contains("would begin empty"));
    assert!(refused("sum(payment.am|ount", "sum_").contains("would begin empty"));
    assert!(refused("card in tru|sted", "friends").contains("would begin empty"));
    assert!(refused("rule bu|sy", "when").contains("word of the language"));
    assert!(refused("rule bu|sy", "two words").contains("letters"));
    assert!(refused("rule bu|sy", "").contains("letters"));
    assert!(refused("rule bu|sy", &"x".repeat(65)).contains("letters"));
    assert!(refused("and spe|nt", "amount").contains("would not compile"));
    assert!(refused("and spe|nt", "least").contains("would not compile"));
    assert!(refused("  unl|ess", "x").contains("nothing with a name"));
    editor.change(name, 2, &text.replace("pace >= least", "pase >= least"));
    let mut params = editor.place(name, &text, "rule bu|sy");
    params["newName"] = json!("hasty");
    let (code, why) = editor.refused("textDocument/rename", &params);
    assert_eq!(code, -32_803);
    assert!(why.contains("mend the errors"), "{why}");
}

#[test]
fn a_text_is_laid_out_as_fmt_does_it_and_keeps_its_line_ends() {
    let mut editor = Editor::new();
    let name = "rules/cards/ugly.risk";
    let ugly = "rule ugly   mode shadow\non payment when amount>5 EUR # why\nthen alert\n";
    editor.write(name, ugly);
    editor.open_file(name);
    let options = json!({ "tabSize": 2, "insertSpaces": true });
    let params = json!({ "textDocument": { "uri": editor.uri(name) }, "options": options });
    let edits = editor.ask("textDocument/formatting", &params);
    fits::<Vec<lsp::TextEdit>>(&edits);
    let formatted = edited(ugly, &edits);
    let path = editor.path(name);
    let status =
        Command::new(env!("CARGO_BIN_EXE_riskweir")).args(["-q", "fmt"]).arg(&path).status();
    assert!(status.unwrap().success());
    assert_eq!(formatted, fs::read_to_string(&path).unwrap());
    assert_ne!(formatted, ugly);
    editor.change(name, 2, &formatted);
    assert_eq!(editor.ask("textDocument/formatting", &params), json!([]));
    editor.change(name, 3, &ugly.replace('\n', "\r\n"));
    let edits = editor.ask("textDocument/formatting", &params);
    let new = edits[0]["newText"].as_str().unwrap();
    assert_eq!(new.replace("\r\n", "\n"), formatted);
    assert_eq!(new.matches('\n').count(), new.matches("\r\n").count());
    editor.change(name, 4, &formatted.replace('\n', "\r\n"));
    assert_eq!(editor.ask("textDocument/formatting", &params), json!([]));
    editor.change(name, 5, "rule (");
    assert_eq!(editor.ask("textDocument/formatting", &params), Value::Null);
}

/// The mends at a place: title and the text with each of them.
fn mends(editor: &mut Editor, name: &str, text: &str, word: &str) -> Vec<(String, String)> {
    let at = text.find(word).unwrap();
    let range = json!({ "start": position(text, at), "end": position(text, at + word.len()) });
    let params = json!({
        "textDocument": { "uri": editor.uri(name) },
        "range": range,
        "context": { "diagnostics": [] },
    });
    let list = editor.ask("textDocument/codeAction", &params);
    fits::<Vec<lsp::CodeAction>>(&list);
    let uri = editor.uri(name);
    let list = list.as_array().unwrap().iter().map(|action| {
        let title = action["title"].as_str().unwrap().to_owned();
        (title, edited(text, &action["edit"]["changes"][&uri]))
    });
    list.collect()
}

#[test]
fn a_mend_is_the_compilers_own_and_choices_are_offered_where_it_names_some() {
    let mut editor = Editor::new();
    let name = "rules/new.risk";
    let rule =
        |when: &str| format!("rule new mode shadow\n  on payment\n  when {when}\n  then alert\n");
    let text = rule("amout > 5 EUR");
    editor.open(name, &text);
    let wanted = ("E0101: write `amount` in place of `amout`".to_owned(), rule("amount > 5 EUR"));
    assert_eq!(mends(&mut editor, name, &text, "amout"), [wanted]);
    let text = rule("amount > 500");
    editor.change(name, 2, &text);
    assert_eq!(mends(&mut editor, name, &text, "500")[0].1, rule("amount > 500 EUR"));
    let text = rule("count(payment) by card over 10m > 5");
    editor.change(name, 3, &text);
    let found = mends(&mut editor, name, &text, "10m");
    assert_eq!(found[0].1, rule("count(payment) by card over last 10m > 5"));
    assert_eq!(found[1].1, rule("count(payment) by card over prior 10m > 5"));
    let text = rule("device = \"d\"").replace("alert", "block");
    editor.change(name, 4, &text);
    let found = mends(&mut editor, name, &text, "device");
    let words: Vec<String> = ["skip", "match", "review"]
        .iter()
        .map(|word| text.replace("  then", &format!("  if missing {word}\n  then")))
        .collect();
    let texts: Vec<&String> = found.iter().map(|(_, text)| text).collect();
    assert_eq!(texts, words.iter().collect::<Vec<_>>());
    assert_eq!(mends(&mut editor, name, &text, "payment"), []);
}

#[test]
fn edits_carry_versions_for_clients_that_want_them() {
    let mut editor = Editor::silent();
    let capabilities = json!({ "workspace": { "workspaceEdit": { "documentChanges": true } } });
    let params = json!({ "rootUri": editor.uri(""), "capabilities": capabilities });
    editor.ask("initialize", &params);
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    editor.change(name, 7, &text);
    let mut params = editor.place(name, &text, "rule bu|sy");
    params["newName"] = json!("hasty");
    let edit = editor.ask("textDocument/rename", &params);
    fits::<lsp::WorkspaceEdit>(&edit);
    let changes = edit["documentChanges"].as_array().unwrap();
    let version = |file: &str| {
        let uri = editor.uri(file);
        let change = changes.iter().find(|change| change["textDocument"]["uri"] == uri);
        change.unwrap()["textDocument"]["version"].clone()
    };
    assert_eq!(version(name), 7);
    assert_eq!(version("rules/snoozes.risk"), Value::Null);
}
