//! Messages, places and texts of any kind: each is answered, and the conversation goes on.

use std::fs;
use std::io::Cursor;

use riskweir::lsp::{Ended, serve};
use serde_json::{Value, json};

use crate::dice::Dice;
use crate::editor::{BUSY, Editor, FEATURES, LIMITS, SCHEMA, SNOOZE, framed, message};

#[test]
fn what_cannot_be_read_is_answered_and_the_conversation_goes_on() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    let mut broken: Vec<Vec<u8>> = vec![
        b"Content-Length: x\r\n\r\n".to_vec(),
        b"Content-Length: 1\r\n\r\n{".to_vec(),
        b"Content-Length: 2\r\n\r\n[]".to_vec(),
        b"Content-Length: 4\r\n\r\nnull".to_vec(),
        b"Content-Length: 3\r\n\r\n\xff\xfe\xfd".to_vec(),
        framed(&json!({ "params": {} })),
        framed(&json!({ "id": {}, "method": "textDocument/hover" })),
    ];
    broken.push([b"Content-Length: 50000\r\n\r\n".to_vec(), b"[".repeat(50_000)].concat());
    for bytes in &broken {
        editor.raw(bytes);
    }
    for _ in &broken {
        let message = loop {
            let message = editor.next();
            if message.get("error").is_some() {
                break message;
            }
        };
        assert!(message["id"].is_null(), "{message}");
        let code = message["error"]["code"].as_i64().unwrap();
        assert!(code == -32_700 || code == -32_600, "{message}");
    }
    // An answer to a question that nobody asked, and noise between two messages.
    editor.send(&json!({ "jsonrpc": "2.0", "id": 1.5, "result": null }));
    editor.raw(b"noise\r\n");
    assert!(editor.hover(name, &text, "rule bu|sy").contains("busy"));
}

#[test]
fn parameters_of_any_shape_are_refused_or_passed_over() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    let uri = editor.uri(name);
    let shapes = [
        Value::Null,
        json!([]),
        json!({ "textDocument": 5 }),
        json!({ "textDocument": { "uri": 5 } }),
        json!({ "textDocument": { "uri": "file:///not/open.risk" } }),
        json!({ "textDocument": { "uri": uri } }),
        json!({ "textDocument": { "uri": uri }, "position": { "line": -1, "character": 0 } }),
        json!({ "textDocument": { "uri": uri }, "position": { "line": "1", "character": 0.5 } }),
        json!({ "textDocument": { "uri": uri }, "range": { "start": null } }),
    ];
    for method in
        ["hover", "completion", "definition", "references", "prepareRename", "rename", "codeAction"]
    {
        for params in &shapes {
            let (code, _) = editor.refused(&format!("textDocument/{method}"), params);
            assert_eq!(code, -32_602, "{method} {params}");
        }
    }
    for method in ["didOpen", "didChange", "didSave", "didClose"] {
        for params in shapes
            .iter()
            .filter(|params| params.get("textDocument") != Some(&json!({ "uri": uri })))
        {
            editor.notify(&format!("textDocument/{method}"), params);
        }
    }
    assert!(editor.hover(name, &text, "rule bu|sy").contains("busy"));
}

#[test]
fn places_that_are_not_there_are_answered_like_the_nearest() {
    let mut editor = Editor::new();
    let name = "rules/emoji.risk";
    let text = "# 😀😀\nrule emoji \"😀\" mode shadow on payment when amount > 5 EUR then alert\n";
    editor.open(name, text);
    let uri = editor.uri(name);
    for (line, character) in [
        (0, 3),
        (0, 5),
        (1, 13),
        (1, 99_999),
        (99, 0),
        (4_000_000_000_u64, 4_000_000_000_u64),
        (u64::MAX, u64::MAX),
    ] {
        let place = json!({ "line": line, "character": character });
        let params = json!({ "textDocument": { "uri": uri }, "position": place });
        for method in ["hover", "completion", "definition", "references"] {
            editor.ask(&format!("textDocument/{method}"), &params);
        }
        let change = json!({ "range": { "start": place, "end": { "line": 0, "character": 0 } }, "text": text });
        let document = json!({ "uri": uri, "version": 2 });
        let params = json!({ "textDocument": document, "contentChanges": [change] });
        editor.notify("textDocument/didChange", &params);
        editor.change(name, 3, text);
    }
    assert!(editor.hover(name, text, "rule emo|ji").contains("emoji"));
}

#[test]
fn a_text_that_is_too_large_is_told_so_and_a_message_that_is_refused() {
    let mut editor = Editor::new();
    let name = "rules/large.risk";
    editor.open(name, &"# x\n".repeat(300_000));
    let found = editor.wait_for(name);
    assert_eq!(found[0]["code"], "E0007");
    editor.open("rules/larger.risk", &"x".repeat(17 << 20));
    let message = loop {
        let message = editor.next();
        if message.get("error").is_some() {
            break message;
        }
    };
    assert_eq!(message["error"]["code"], -32_600);
    editor.change(name, 2, "");
    assert_eq!(editor.wait_for(name), json!([]));
}

/// Rules that are cut off, torn and shaken, with questions at any place: every question is answered. In one process, so
/// that it is quick; the messages are those of the wire.
#[test]
fn no_text_and_no_place_ends_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().canonicalize().unwrap().join("rules");
    fs::create_dir_all(rules.join("lists")).unwrap();
    fs::write(rules.join("schema.risk"), SCHEMA).unwrap();
    fs::write(rules.join("lists/limits.csv"), LIMITS).unwrap();
    fs::write(rules.join("lists/trusted.csv"), "value\nc8\n").unwrap();
    let language = fs::read_to_string("tests/language/examples.risk").unwrap();
    let texts = [BUSY, SNOOZE, FEATURES, SCHEMA, &language];
    let mut dice = Dice::new(20_261_128);
    let uri = format!("file://{}", rules.join("torn.risk").display());
    let mut input = Vec::new();
    let mut id = 0;
    let mut ask = |input: &mut Vec<u8>, method: &str, params: &Value| {
        id += 1;
        input.extend(framed(&json!({ "id": id, "method": method, "params": params })));
    };
    ask(&mut input, "initialize", &json!({ "capabilities": {} }));
    let document = json!({ "uri": uri, "languageId": "riskweir", "version": 0, "text": "" });
    let open = json!({ "textDocument": document });
    input.extend(framed(&json!({ "method": "textDocument/didOpen", "params": open })));
    for version in 1..250_u64 {
        let text = torn(dice.pick(&texts), &mut dice);
        let document = json!({ "uri": uri, "version": version });
        let params = json!({ "textDocument": document, "contentChanges": [{ "text": text }] });
        input.extend(framed(&json!({ "method": "textDocument/didChange", "params": params })));
        let place = json!({ "line": dice.below(20), "character": dice.below(80) });
        let mut params =
            json!({ "textDocument": { "uri": uri }, "position": place, "newName": "x" });
        params["range"] = json!({ "start": { "line": 0, "character": 0 }, "end": place });
        for method in [
            "hover",
            "completion",
            "definition",
            "references",
            "rename",
            "codeAction",
            "formatting",
            "documentSymbol",
        ] {
            ask(&mut input, &format!("textDocument/{method}"), &params);
        }
    }
    ask(&mut input, "shutdown", &Value::Null);
    input.extend(framed(&json!({ "method": "exit" })));
    let mut output = Vec::new();
    assert_eq!(serve(Cursor::new(input), &mut output, None).unwrap(), Ended::Orderly);
    let mut output = Cursor::new(output);
    let messages = std::iter::from_fn(|| message(&mut output));
    let answers = messages.filter(|message| message.get("id").is_some());
    assert_eq!(answers.count(), id);
}

/// A text that is cut off, lacks a piece, has one twice, or has something strange in it.
fn torn(text: &str, dice: &mut Dice) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut place = || usize::try_from(dice.below(chars.len() as u64 + 1)).unwrap();
    let (a, b) = (place(), place());
    let (a, b) = (a.min(b), a.max(b));
    let (head, piece, tail) = (&chars[..a], &chars[a..b], &chars[b..]);
    let parts = match dice.below(4) {
        0 => head.to_vec(),
        1 => [head, tail].concat(),
        2 => [head, piece, piece, tail].concat(),
        _ => [head, &['😀', '"', '('], tail].concat(),
    };
    parts.into_iter().collect()
}
