//! The conversation, and what is told unasked.

use std::fs;
use std::time::Instant;

use gen_lsp_types as lsp;
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::editor::{BUSY, Editor, FEATURES, PATIENCE, checked, fits, position};

#[test]
fn a_conversation_begins_and_ends_by_the_protocol() {
    let mut editor = Editor::silent();
    let hover = json!({ "textDocument": { "uri": "file:///x" }, "position": {} });
    assert_eq!(editor.refused("textDocument/hover", &hover).0, -32_002);
    let root = editor.uri("");
    let answer = editor.ask("initialize", &json!({ "rootUri": root, "capabilities": {} }));
    let answer: lsp::InitializeResult = fits(&answer);
    assert_eq!(answer.server_info.unwrap().name, "riskweir");
    assert_eq!(editor.refused("initialize", &json!({})).0, -32_600);
    assert_eq!(editor.refused("textDocument/moniker", &json!({})).0, -32_601);
    assert_eq!(editor.ask("shutdown", &Value::Null), Value::Null);
    assert_eq!(editor.refused("textDocument/hover", &hover).0, -32_600);
    editor.notify("exit", &Value::Null);
    assert_eq!(editor.ended(), 0);
}

#[test]
fn an_editor_that_leaves_without_a_word_ends_the_server_with_one() {
    assert_eq!(Editor::new().ended(), 1);
    let mut editor = Editor::new();
    editor.notify("exit", &Value::Null);
    assert_eq!(editor.ended(), 1);
}

#[test]
fn bytes_are_counted_when_the_client_can_and_utf16_when_not() {
    let mut editor = Editor::silent();
    let root = editor.uri("");
    let capabilities = json!({ "general": { "positionEncodings": ["utf-8", "utf-16"] } });
    let answer =
        editor.ask("initialize", &json!({ "rootUri": root, "capabilities": capabilities }));
    assert_eq!(answer["capabilities"]["positionEncoding"], "utf-8");
    editor.notify("initialized", &json!({}));
    let text = "rule a \"é😀\" mode shadow on payment when amout > 5 EUR then alert\n";
    editor.open("rules/cards/busy.risk", text);
    let found = editor.wait_for("rules/cards/busy.risk");
    // By hand: eight bytes up to the quote, two and four for the characters in it, thirty behind them.
    assert_eq!(found[0]["range"]["start"], json!({ "line": 0, "character": 44 }));
}

#[test]
fn findings_are_those_of_check_over_the_whole_folder() {
    let mut editor = Editor::new();
    editor.write(
        "rules/cards/wrong.risk",
        "rule wrong mode shadow\n  on payment\n  when \"😀\" = statu or pac > 3\n  then alert\n\
         rule live_one\n  on payment\n  when count(payment) by card over 10m > 5\n  then alert\n",
    );
    editor.write(
        "rules/other.risk",
        "rule other mode shadow on payment when amount > 5 then alert\n",
    );
    let text = editor.open_file("rules/cards/busy.risk");
    editor.wait_for("rules/other.risk");
    // The answer comes behind all that is told unasked.
    editor.hover("rules/cards/busy.risk", &text, "rule bu|sy");
    let told = told(&editor);
    assert_eq!(told, checked(&editor.path("rules")));
    let codes: Vec<&str> = told.iter().map(|(_, code, ..)| code.as_str()).collect();
    assert!(
        codes.contains(&"E0101") && codes.contains(&"E0402") && codes.contains(&"E0503"),
        "{codes:?}"
    );
}

#[test]
fn a_finding_carries_its_code_its_words_its_mend_and_what_it_is_related_to() {
    let mut editor = Editor::new();
    let text = "rule busy mode shadow on payment when amount > 5 EUR then alert\n";
    editor.open("rules/second.risk", text);
    let found = editor.wait_for("rules/second.risk");
    let golden = json!([{
        "range": { "start": { "line": 0, "character": 5 }, "end": { "line": 0, "character": 9 } },
        "severity": 1,
        "code": "E0104",
        "source": "riskweir",
        "message": "rule `busy` is given twice",
        "relatedInformation": [{
            "location": {
                "uri": editor.uri("rules/cards/busy.risk"),
                "range": { "start": { "line": 0, "character": 5 }, "end": { "line": 0, "character": 9 } },
            },
            "message": "first given here",
        }],
    }]);
    assert_eq!(found[0]["code"], golden[0]["code"]);
    assert_eq!(found[0]["range"], golden[0]["range"]);
    assert_eq!(found[0]["relatedInformation"], golden[0]["relatedInformation"]);
    let text = "rule second mode shadow on payment when amount > 500 then alert\n";
    editor.change("rules/second.risk", 2, text);
    let found = editor.wait_for("rules/second.risk");
    assert_eq!(found[0]["code"], "E0211");
    assert_eq!(
        found[0]["message"],
        "`amount` is money, `500` is a plain number\nhelp: write `500 EUR`"
    );
}

#[test]
fn a_buffer_counts_instead_of_its_file_until_it_is_closed() {
    let mut editor = Editor::new();
    let text = editor.open_file("rules/cards/busy.risk");
    let broken = text.replace("pace >= least", "pase >= least");
    editor.change("rules/cards/busy.risk", 2, &broken);
    let found = editor.wait_for("rules/cards/busy.risk");
    assert_eq!(found[0]["code"], "E0101");
    assert_eq!(fs::read_to_string(editor.path("rules/cards/busy.risk")).unwrap(), text);
    let document = json!({ "textDocument": { "uri": editor.uri("rules/cards/busy.risk") } });
    editor.notify("textDocument/didClose", &document);
    assert_eq!(editor.wait_for("rules/cards/busy.risk"), json!([]));
}

#[test]
fn a_change_of_a_range_is_counted_in_utf16_units() {
    let mut editor = Editor::new();
    let text = "rule a \"é😀\" mode shadow on payment when amount > 5 EUR then alert\n";
    editor.open("rules/a.risk", text);
    let place = position(text, text.find("amount").unwrap());
    let end = position(text, text.find(" > 5").unwrap());
    let document = json!({ "uri": editor.uri("rules/a.risk"), "version": 2 });
    let change = json!({ "range": { "start": place, "end": end }, "text": "amout" });
    let params = json!({ "textDocument": document, "contentChanges": [change] });
    editor.notify("textDocument/didChange", &params);
    let found = editor.wait_for("rules/a.risk");
    assert_eq!(found[0]["range"]["start"], place);
    assert!(found[0]["message"].as_str().unwrap().contains("`amout`"), "{found}");
}

#[test]
fn files_that_come_change_and_vanish_are_followed() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    let watched = json!({ "changes": [] });
    fs::remove_file(editor.path("rules/features.risk")).unwrap();
    editor.notify("workspace/didChangeWatchedFiles", &watched);
    let found = editor.wait_for(name);
    assert_eq!(found[0]["code"], "E0101");
    editor.write("rules/features.risk", FEATURES);
    editor.notify("workspace/didChangeWatchedFiles", &watched);
    assert_eq!(editor.wait_for(name), json!([]));
    fs::write(editor.path("rules/broken.risk"), b"rule \xff").unwrap();
    editor.notify("workspace/didChangeWatchedFiles", &watched);
    let found = editor.wait_for("rules/broken.risk");
    assert!(found[0]["message"].as_str().unwrap().contains("is not UTF-8"), "{found}");
    assert!(editor.hover(name, &text, "rule bu|sy").contains("busy"));
    fs::remove_dir_all(editor.path("rules")).unwrap();
    editor.notify("workspace/didChangeWatchedFiles", &watched);
    assert_eq!(editor.wait_for("rules/broken.risk"), json!([]));
    // What is open is still there, alone.
    assert!(editor.hover(name, &text, "param lea|st").contains("param least"));
}

#[test]
fn a_text_that_was_never_saved_is_looked_at_alone() {
    let mut editor = Editor::new();
    let text = "rule lonely mode shadow on nothing when true then alert\n";
    let document = json!({ "uri": "untitled:Untitled-1", "languageId": "riskweir", "version": 1, "text": text });
    editor.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    while !editor.found.contains_key("untitled:Untitled-1") {
        editor.next();
    }
    assert_eq!(editor.found["untitled:Untitled-1"][0]["code"], "E0102");
    let document = json!({ "textDocument": { "uri": "untitled:Untitled-1" } });
    editor.notify("textDocument/didClose", &document);
    while editor.found["untitled:Untitled-1"] != json!([]) {
        editor.next();
    }
}

#[test]
fn line_ends_of_another_system_move_nothing() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = BUSY.replace('\n', "\r\n");
    editor.write(name, &text);
    editor.open_file(name);
    let plain = editor.place(name, BUSY, "when pa|ce");
    let hover = editor.ask("textDocument/hover", &plain);
    assert!(hover["contents"]["value"].as_str().unwrap().contains("feature pace"), "{hover}");
    editor.change(name, 2, &text.replace("pace >= least", "pase >= least"));
    let found = editor.wait_for(name);
    let at = position(BUSY, BUSY.find("pace >= least").unwrap());
    assert_eq!(found[0]["range"]["start"], at);
}

/// A conversation in which texts are torn, mended, left and opened again, and files come and go: what the editor shows is
/// what a first look at the same folder finds.
#[test]
fn findings_after_many_changes_are_those_of_a_fresh_check() {
    let mut editor = Editor::new();
    let names = ["rules/cards/busy.risk", "rules/features.risk", "rules/more.risk"];
    let good = [
        BUSY,
        FEATURES,
        "rule more\n  id \"R-2\"  owner o\n  on payment\n  when pace >= 9\n  then block\n",
    ];
    let pieces = ["", "(", "\n", " and pace >= 2", "# accept W0503: both are wanted\n", "é"];
    let mut dice = Dice::new(20_261_129);
    let mut texts = good.map(str::to_owned);
    for (name, text) in names.iter().zip(&texts) {
        editor.write(name, text);
        editor.open(name, text);
    }
    for version in 2..40 {
        let file = usize::try_from(dice.below(3)).unwrap();
        if dice.one_in(3) {
            texts[file] = good[file].to_owned();
        } else {
            let mut at = usize::try_from(dice.below(texts[file].len() as u64 + 1)).unwrap();
            while !texts[file].is_char_boundary(at) {
                at -= 1;
            }
            texts[file].insert_str(at, dice.pick(&pieces));
        }
        if dice.one_in(4) {
            let other = "rule beside\n  id \"R-3\"  owner o\n  on payment\n  when pace >= 4\n  then block\n";
            editor.write("rules/beside.risk", if dice.one_in(2) { other } else { "" });
            let changes =
                json!({ "changes": [{ "uri": editor.uri("rules/beside.risk"), "type": 2 }] });
            editor.notify("workspace/didChangeWatchedFiles", &changes);
        }
        editor.write(names[file], &texts[file]);
        editor.change(names[file], version, &texts[file]);
        let wanted = checked(&editor.path("rules"));
        // What is told comes when nobody asks for anything, so between two answers there may be nothing yet.
        let began = Instant::now();
        while told(&editor) != wanted {
            assert!(began.elapsed() < PATIENCE, "{:?}\n{wanted:?}\n{texts:?}", told(&editor));
            let document = json!({ "textDocument": { "uri": editor.uri(names[0]) } });
            editor.ask("textDocument/documentSymbol", &document);
        }
    }
}

/// All findings that the editor shows, as `check` names them.
fn told(editor: &Editor) -> Vec<(String, String, u64, u64, String)> {
    let root = editor.uri("rules/");
    let mut told: Vec<(String, String, u64, u64, String)> = Vec::new();
    for (uri, list) in &editor.found {
        for found in list.as_array().unwrap() {
            let start = &found["range"]["start"];
            let severity = if found["severity"] == 1 { "error" } else { "warning" };
            let path = uri.strip_prefix(&root).unwrap().to_owned();
            let text = fs::read_to_string(editor.path("rules").join(&path)).unwrap();
            let line = text.lines().nth(usize::try_from(start["line"].as_u64().unwrap()).unwrap());
            // `check` counts characters, the protocol counts UTF-16 units: the smiley is two.
            let units = usize::try_from(start["character"].as_u64().unwrap()).unwrap();
            let mut passed = 0;
            let before = line.unwrap_or_default().chars().take_while(|c| {
                passed += c.len_utf16();
                passed <= units
            });
            let column = before.count() as u64 + 1;
            let code = found["code"].as_str().unwrap().to_owned();
            let line = start["line"].as_u64().unwrap() + 1;
            told.push((path, code, line, column, severity.to_owned()));
        }
    }
    told.sort();
    told
}
