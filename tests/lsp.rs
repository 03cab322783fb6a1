//! The language server, spoken to over its standard input and output as an editor does it. What it answers is read by
//! types that are generated from the protocol's own description, places are counted by hand or by a count of this file,
//! and findings are held against those of `riskweir check`.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
#![expect(clippy::panic, reason = "a test says what it was about when it fails")]

#[path = "support/dice.rs"]
#[expect(dead_code, reason = "this test throws them in one way only")]
mod dice;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use gen_lsp_types as lsp;
use riskweir::loader::load;
use riskweir::lsp::{Ended, serve};
use riskweir::rules::syntax::words;
use riskweir::rules::{compile, functions};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::dice::Dice;

const SCHEMA: &str = r#"# A payment by card.
event payment from "payments"
  id    pay_id   : text
  time  at       : time
  key   card     : card
  key   device   : device?
  field amount   : money currency EUR
  field status   : one of [approved, declined]

event login from "logins"
  id    login_id : text
  time  at       : time
  key   holder   : person
  key   device   : device

list trusted : card
list limits  : card gives money EUR from "lists/limits.csv"
policy decisions
  base currency EUR
"#;

const LIMITS: &str = "value,gives\nc1,500\nc2,20\n";

const FEATURES: &str =
    "# How fast a card is used.\nfeature pace = count(payment) by card over last 10m\n";

const BUSY: &str = r#"rule busy "Several payments in ten minutes"
  id "R-1"  owner fraud  severity high
  on payment
  param least = 3 tune 2..5
  let spent = sum(payment.amount where status = approved) by card over last 1h
  when pace >= least and spent > 100 EUR
  unless card in trusted
  then hold for 1h reason "{spent} in an hour, {pace} payments"
       alert queue l1 once per card per 1h

test busy "the third"
  given 2 payment(card: "c1", amount: 60 EUR, status: approved) every 1m
  when payment(card: "c1", amount: 60 EUR, status: approved) at 3m
  expect hit, spent = 180 EUR, hold for 1h
"#;

const SNOOZE: &str =
    "snooze busy for card \"c9\" until 2026-12-31\n  owner fraud  reason \"a test card\"\n";

/// How long an answer may take before a test gives up: a machine may be busy.
const PATIENCE: Duration = Duration::from_secs(120);

/// An editor with a folder and a server.
struct Editor {
    folder: TempDir,
    server: Child,
    input: Option<ChildStdin>,
    output: Receiver<Value>,
    /// The latest findings by URI.
    found: BTreeMap<String, Value>,
    n: i64,
}

impl Editor {
    /// Greets a server over a folder with the shipped example of this file.
    fn new() -> Self {
        let mut editor = Self::silent();
        let root = editor.uri("");
        let answer = editor.ask("initialize", &json!({ "rootUri": root, "capabilities": {} }));
        fits::<lsp::InitializeResult>(&answer);
        editor.notify("initialized", &json!({}));
        editor
    }

    /// Starts a server and says nothing.
    fn silent() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut server = Command::new(env!("CARGO_BIN_EXE_riskweir"))
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, output) = channel();
        let mut out = BufReader::new(server.stdout.take().unwrap());
        thread::spawn(move || {
            while let Some(message) = message(&mut out) {
                if sender.send(message).is_err() {
                    break;
                }
            }
        });
        let input = server.stdin.take();
        let editor = Self { folder, server, input, output, found: BTreeMap::new(), n: 0 };
        editor.write("rules/schema.risk", SCHEMA);
        editor.write("rules/lists/limits.csv", LIMITS);
        editor.write("rules/features.risk", FEATURES);
        editor.write("rules/cards/busy.risk", BUSY);
        editor.write("rules/snoozes.risk", SNOOZE);
        editor
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    fn uri(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    fn send(&mut self, message: &Value) {
        self.raw(&framed(message));
    }

    fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// The next message from the server; findings are kept aside too.
    #[track_caller]
    fn next(&mut self) -> Value {
        let message = self.output.recv_timeout(PATIENCE).unwrap();
        assert_eq!(message["jsonrpc"], "2.0");
        if message["method"] == "textDocument/publishDiagnostics" {
            fits::<lsp::PublishDiagnosticsParams>(&message["params"]);
            let uri = message["params"]["uri"].as_str().unwrap().to_owned();
            self.found.insert(uri, message["params"]["diagnostics"].clone());
        }
        message
    }

    #[track_caller]
    fn answer(&mut self, method: &str, params: &Value) -> Value {
        self.n += 1;
        let id = json!(self.n);
        let request = json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params });
        self.send(&request);
        loop {
            let message = self.next();
            if message["id"] == id && message.get("method").is_none() {
                return message;
            }
        }
    }

    /// Asks, and there must be a result.
    #[track_caller]
    fn ask(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// Asks what must be refused: code and message.
    #[track_caller]
    fn refused(&mut self, method: &str, params: &Value) -> (i64, String) {
        let answer = self.answer(method, params);
        let error = answer.get("error").unwrap_or_else(|| panic!("{answer}"));
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    fn open(&mut self, name: &str, text: &str) {
        let uri = self.uri(name);
        let document = json!({ "uri": uri, "languageId": "riskweir", "version": 1, "text": text });
        self.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    /// Opens a file as it lies on the disk.
    fn open_file(&mut self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap();
        self.open(name, &text);
        text
    }

    fn change(&mut self, name: &str, version: i64, text: &str) {
        let document = json!({ "uri": self.uri(name), "version": version });
        let params = json!({ "textDocument": document, "contentChanges": [{ "text": text }] });
        self.notify("textDocument/didChange", &params);
    }

    /// The findings of a file, once the server has told them.
    #[track_caller]
    fn wait_for(&mut self, name: &str) -> Value {
        let uri = self.uri(name);
        self.found.remove(&uri);
        while !self.found.contains_key(&uri) {
            self.next();
        }
        self.found[&uri].clone()
    }

    /// Asks about a place in an open text, which is named by the words before and behind a bar: `pa|ce`.
    #[track_caller]
    fn at(&mut self, method: &str, name: &str, (text, place): (&str, &str)) -> Value {
        let params = self.place(name, text, place);
        self.ask(&format!("textDocument/{method}"), &params)
    }

    #[track_caller]
    fn place(&self, name: &str, text: &str, place: &str) -> Value {
        let (before, behind) = place.split_once('|').unwrap();
        let at = text.find(&format!("{before}{behind}")).unwrap_or_else(|| panic!("{place}"));
        let position = position(text, at + before.len());
        json!({ "textDocument": { "uri": self.uri(name) }, "position": position })
    }

    /// The words of a hover.
    #[track_caller]
    fn hover(&mut self, name: &str, text: &str, place: &str) -> String {
        let hover = self.at("hover", name, (text, place));
        assert!(!hover.is_null(), "{place}");
        fits::<lsp::Hover>(&hover);
        hover["contents"]["value"].as_str().unwrap().to_owned()
    }

    /// The labels of a completion of an open text with a bar where the cursor is.
    #[track_caller]
    fn labels(&mut self, name: &str, text: &str) -> Vec<String> {
        let plain = text.replacen('|', "", 1);
        let version = self.n + 10;
        self.change(name, version, &plain);
        let place = position(&plain, text.find('|').unwrap());
        let params = json!({ "textDocument": { "uri": self.uri(name) }, "position": place });
        let list = self.ask("textDocument/completion", &params);
        fits::<Vec<lsp::CompletionItem>>(&list);
        let labels = list.as_array().unwrap().iter().map(|item| item["label"].as_str().unwrap());
        labels.map(str::to_owned).collect()
    }

    fn ended(mut self) -> i32 {
        self.input = None;
        self.server.wait().unwrap().code().unwrap()
    }
}

impl Drop for Editor {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn framed(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads one message of the server.
fn message(output: &mut impl BufRead) -> Option<Value> {
    let mut header = String::new();
    output.read_line(&mut header).ok()?;
    let length: usize = header.trim().strip_prefix("Content-Length: ")?.parse().unwrap();
    header.clear();
    output.read_line(&mut header).ok()?;
    assert_eq!(header, "\r\n");
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}

/// Whether a value is what the protocol says.
#[track_caller]
fn fits<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Line and column in UTF-16 units of a byte, counted character by character.
fn position(text: &str, byte: usize) -> Value {
    let (mut line, mut column) = (0, 0);
    for (at, c) in text.char_indices() {
        if at >= byte {
            break;
        }
        if c == '\n' {
            (line, column) = (line + 1, 0);
        } else {
            column += c.len_utf16();
        }
    }
    json!({ "line": line, "character": column })
}

/// The byte of a place that was counted so.
fn byte_of(text: &str, place: &Value) -> usize {
    let ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
    ends.clone().find(|at| position(text, *at) == *place).unwrap_or_else(|| panic!("{place}"))
}

/// A text with the edits of an answer.
fn edited(text: &str, edits: &Value) -> String {
    let mut list: Vec<(usize, usize, &str)> = edits
        .as_array()
        .unwrap()
        .iter()
        .map(|edit| {
            let [start, end] = ["start", "end"].map(|end| byte_of(text, &edit["range"][end]));
            (start, end, edit["newText"].as_str().unwrap())
        })
        .collect();
    list.sort_unstable();
    let mut text = text.to_owned();
    for (start, end, with) in list.into_iter().rev() {
        text.replace_range(start..end, with);
    }
    text
}

/// What `riskweir check` says of a folder: path, code, line, column and severity of each finding.
fn checked(folder: &Path) -> Vec<(String, String, u64, u64, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_riskweir"))
        .args(["--format", "json", "check"])
        .arg(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| {
        let found: Value = serde_json::from_str(line).unwrap();
        let word = |name: &str| found[name].as_str().unwrap().to_owned();
        let number = |name: &str| found[name].as_u64().unwrap();
        (word("path"), word("code"), number("line"), number("column"), word("severity"))
    });
    let mut list: Vec<_> = lines.collect();
    list.sort();
    list
}

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
    editor.open_file("rules/cards/busy.risk");
    editor.wait_for("rules/other.risk");
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
            let before = line.unwrap().chars().take_while(|c| {
                passed += c.len_utf16();
                passed <= units
            });
            let column = before.count() as u64 + 1;
            let code = found["code"].as_str().unwrap().to_owned();
            told.push((
                path,
                code,
                start["line"].as_u64().unwrap() + 1,
                column,
                severity.to_owned(),
            ));
        }
    }
    told.sort();
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
fn a_pointer_over_a_word_says_type_meaning_and_cost() {
    let mut editor = Editor::new();
    let text = editor.open_file("rules/cards/busy.risk");
    let name = "rules/cards/busy.risk";
    let rule = editor.hover(name, &text, "rule bu|sy");
    assert!(rule.contains("\"Several payments in ten minutes\""), "{rule}");
    assert!(rule.contains("`R-1` of `fraud`, live"), "{rule}");
    assert!(rule.contains("State `payment by card`"), "{rule}");
    assert!(rule.contains("bytes per key with 16 events, kept for 1h"), "{rule}");
    let feature = editor.hover(name, &text, "when pa|ce");
    assert!(feature.contains("feature pace = count(payment) by card over last 10m"), "{feature}");
    assert!(feature.contains("It is an integer."), "{feature}");
    assert!(feature.contains("How fast a card is used."), "{feature}");
    let local = editor.hover(name, &text, "and spe|nt");
    assert!(local.contains("It is money in EUR."), "{local}");
    let param = editor.hover(name, &text, ">= lea|st");
    assert!(param.contains("param least = 3 tune 2..5"), "{param}");
    let sum = editor.hover(name, &text, "spent = su|m");
    assert!(
        sum.contains("`sum(payment.amount in EUR where (status = approved)) by card over last 1h`"),
        "{sum}"
    );
    assert!(sum.contains("State `payment by card`"), "{sum}");
    let field = editor.hover(name, &text, "(payment.amou|nt");
    assert!(field.contains("field amount   : money currency EUR"), "{field}");
    let word = editor.hover(name, &text, "  unl|ess");
    assert!(word.starts_with("`unless`: "), "{word}");
    let in_message = editor.hover(name, &text, "reason \"{spe|nt}");
    assert!(in_message.contains("let spent"), "{in_message}");
    assert!(editor.at("hover", name, (&text, "R-|1\"")).is_null());
}

#[test]
fn the_bytes_of_a_hover_are_those_that_cost_prints() {
    let mut editor = Editor::new();
    let text = editor.open_file("rules/cards/busy.risk");
    let hover = editor.hover("rules/cards/busy.risk", &text, "spent = su|m");
    let output = Command::new(env!("CARGO_BIN_EXE_riskweir"))
        .args(["--format", "json", "cost"])
        .arg(editor.path("rules"))
        .output()
        .unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let table = &report["tables"][0];
    assert_eq!(table["table"], "payment by card");
    let bytes = format!("State `payment by card`: {} bytes per key", table["bytes_per_key"]);
    assert!(hover.contains(&bytes), "{hover}");
}

#[test]
fn a_folder_that_does_not_compile_still_tells_what_resolved() {
    let mut editor = Editor::new();
    editor.write("rules/unread.risk", "rule half on payment when ( and\n");
    let text = editor.open_file("rules/cards/busy.risk");
    let name = "rules/cards/busy.risk";
    editor.wait_for("rules/unread.risk");
    assert!(editor.hover(name, &text, "and spe|nt").contains("It is money in EUR."));
    assert!(editor.hover(name, &text, "when pa|ce").contains("It is an integer."));
    let places = editor.at("definition", name, (&text, "when pa|ce"));
    assert_eq!(places[0]["uri"], editor.uri("rules/features.risk"));
    let half = text.replace("then hold for 1h reason", "when\n  then hold fo 1h reason");
    editor.change(name, 2, &half);
    assert!(editor.hover(name, &half, "spent = su|m").contains("It is money in EUR."));
    let labels = editor.labels(name, &half.replace("and spent > 100 EUR", "and |"));
    assert!(labels.contains(&"spent".to_owned()), "{labels:?}");
}

#[test]
fn what_is_offered_fits_the_place() {
    let mut editor = Editor::new();
    let name = "rules/new.risk";
    editor.open(name, "");
    let rule = "rule a mode shadow\n  on payment\n  let spent = 5 EUR\n";
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("|", &["rule", "event", "test"], &["when", "amount"]),
        ("rule a\n  |", &["id", "owner", "on", "when"], &["amount"]),
        ("rule a\n  on |", &["payment", "login"], &["when"]),
        ("rule a\n  severity |", &["low", "critical"], &["when"]),
        ("rule a\n  mode |", &["shadow", "canary"], &["amount"]),
        ("rule a\n  if missing |", &["skip", "match", "review"], &["amount"]),
        (
            "RULE  when |",
            &["amount", "spent", "pace", "count", "lower", "limits"],
            &["hold", "holder"],
        ),
        ("RULE  when status = |", &["approved", "declined"], &[]),
        ("RULE  when status in [approved, |", &["declined"], &[]),
        ("RULE  when this.|", &["amount", "card"], &["holder", "pace"]),
        ("RULE  when count(|", &["payment", "login"], &["amount"]),
        ("RULE  when sum(payment.|", &["amount", "card"], &["holder"]),
        ("RULE  when count(login where |", &["holder"], &["amount"]),
        ("RULE  when count(login) by |", &["holder", "device"], &["amount", "card"]),
        ("RULE  when count(payment) by card over |", &["last", "prior", "today"], &["amount"]),
        ("RULE  when count(payment) by card over last |", &["10m", "24h"], &["amount"]),
        ("RULE  when card in |", &["trusted", "limits"], &["amount"]),
        ("RULE  when card is |", &["missing", "present"], &["amount"]),
        ("RULE  when sequence by device within 1h [ |", &["login", "this", "without"], &["amount"]),
        ("RULE  when amount > 5 EUR |", &["and", "or", "default"], &["spent"]),
        ("RULE  when amount > 5 EUR\n  then |", &["hold", "alert", "score"], &["amount"]),
        ("RULE  when amount > 5 EUR\n  then alert queue |", &["l1"], &["amount"]),
        ("RULE  when amount > 5 EUR\n  then add card to |", &["trusted"], &["amount"]),
        ("RULE  when amount > 5 EUR\n  then alert message \"{|", &["spent", "amount"], &[]),
        ("RULE  when amount > 5 EUR\n  then alert message \"|", &[], &["spent", "amount"]),
        ("RULE  # |", &[], &["when", "amount"]),
        ("event x from \"t\"\n  |", &["id", "time", "key", "field"], &["when"]),
        ("event x from \"t\"\n  field a : |", &["money", "text", "one of", "card"], &["when"]),
        ("test |", &["busy"], &["payment"]),
        ("test busy \"x\"\n  when |", &["payment", "login"], &["amount"]),
        ("test busy \"x\"\n  when payment(|", &["amount", "status"], &["holder"]),
        ("test busy \"x\"\n  when payment(status: |", &["approved", "missing"], &["amount"]),
        (
            "test busy \"x\"\n  when payment()\n  expect |",
            &["hit", "no hit", "spent", "hold"],
            &["amount"],
        ),
        ("policy p\n  |", &["base", "band", "breaker"], &["when"]),
        ("snooze |", &["busy"], &["amount"]),
        ("list l : |", &["text", "card"], &["amount"]),
        ("entity e = |", &["payment", "login"], &["amount"]),
        ("feature f = |", &["amount", "count", "lower"], &[]),
        ("feature |", &[], &["amount", "count"]),
    ];
    for (text, wanted, unwanted) in cases {
        let labels = editor.labels(name, &text.replacen("RULE", rule, 1));
        for word in *wanted {
            assert!(labels.iter().any(|label| label == word), "`{word}` at {text}: {labels:?}");
        }
        for word in *unwanted {
            assert!(!labels.iter().any(|label| label == word), "no `{word}` at {text}: {labels:?}");
        }
    }
}

#[test]
fn an_aggregate_is_a_snippet_for_editors_that_know_them() {
    for (snippets, wanted) in [
        (true, "count(${1:event}) by ${2:key} over last ${3:10m}"),
        (false, "count(event) by key over last 10m"),
    ] {
        let mut editor = Editor::silent();
        let item = json!({ "completionItem": { "snippetSupport": snippets } });
        let capabilities = json!({ "textDocument": { "completion": item } });
        let params = json!({ "rootUri": editor.uri(""), "capabilities": capabilities });
        editor.ask("initialize", &params);
        let text = "rule a mode shadow on payment when c";
        editor.open("rules/new.risk", text);
        let list = editor.at("completion", "rules/new.risk", (text, "when c|"));
        let count = list.as_array().unwrap().iter().find(|item| item["label"] == "count");
        assert_eq!(count.unwrap()["insertText"], wanted);
        // The word behind the colon is that of the example in the language's reference, so it compiles as it stands
        // once the names are those of the folder.
        assert_eq!(count.unwrap()["insertTextFormat"], if snippets { 2 } else { 1 });
    }
}

#[test]
fn a_name_leads_to_where_it_is_given_and_to_all_its_uses() {
    let mut editor = Editor::new();
    let name = "rules/cards/busy.risk";
    let text = editor.open_file(name);
    let cases = [
        ("when pa|ce", "rules/features.risk", FEATURES, "pace ="),
        ("on pay|ment", "rules/schema.risk", SCHEMA, "payment from"),
        ("sum(payment.am|ount", "rules/schema.risk", SCHEMA, "amount   :"),
        ("(card: \"c1\", amount: 60 EUR, sta|tus", "rules/schema.risk", SCHEMA, "status   :"),
        ("card in tru|sted", "rules/schema.risk", SCHEMA, "trusted :"),
        ("test bu|sy", name, BUSY, "busy \"Several"),
        ("and spe|nt", name, BUSY, "spent = sum"),
        ("expect hit, spe|nt", name, BUSY, "spent = sum"),
        ("pace >= lea|st", name, BUSY, "least = 3"),
    ];
    for (place, file, target, words) in cases {
        let places = editor.at("definition", name, (&text, place));
        fits::<Vec<lsp::Location>>(&places);
        assert_eq!(places.as_array().unwrap().len(), 1, "{place}");
        assert_eq!(places[0]["uri"], editor.uri(file), "{place}");
        let start = position(target, target.find(words).unwrap());
        assert_eq!(places[0]["range"]["start"], start, "{place}");
    }
    let schema = editor.open_file("rules/schema.risk");
    let places = editor.at("definition", "rules/schema.risk", (&schema, "\"lists/lim|its.csv"));
    assert_eq!(places[0]["uri"], editor.uri("rules/lists/limits.csv"));
    let mut params = editor.place(name, &text, "test bu|sy");
    params["context"] = json!({ "includeDeclaration": true });
    let uses = editor.ask("textDocument/references", &params);
    let uses: Vec<lsp::Location> = fits(&uses);
    // The rule, its test, its snooze.
    assert_eq!(uses.len(), 3);
}

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
fn an_outline_names_the_items_with_their_fields() {
    let mut editor = Editor::new();
    editor.open_file("rules/schema.risk");
    let params = json!({ "textDocument": { "uri": editor.uri("rules/schema.risk") } });
    let list = editor.ask("textDocument/documentSymbol", &params);
    let list: Vec<lsp::DocumentSymbol> = fits(&list);
    let names: Vec<&str> = list.iter().map(|symbol| symbol.name.as_str()).collect();
    assert_eq!(names, ["payment", "login", "trusted", "limits", "decisions"]);
    assert_eq!(list[0].children.as_ref().unwrap().len(), 6);
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

/// Rules that are cut off, torn and shaken, with questions at any place: every question is answered. In one process, so
/// that it is quick; the messages are those of the wire.
#[test]
fn no_text_and_no_place_ends_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().canonicalize().unwrap().join("rules");
    fs::create_dir_all(rules.join("lists")).unwrap();
    fs::write(rules.join("schema.risk"), SCHEMA).unwrap();
    fs::write(rules.join("lists/limits.csv"), LIMITS).unwrap();
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
