//! An editor with a folder and a server, and counts of places that are not those of the server.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use gen_lsp_types as lsp;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SCHEMA: &str = r#"# A payment by card.
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

list trusted : card from "lists/trusted.csv"
list limits  : card gives money EUR from "lists/limits.csv"
policy decisions
  base currency EUR
"#;

pub(crate) const LIMITS: &str = "value,gives\nc1,500\nc2,20\n";

pub(crate) const FEATURES: &str =
    "# How fast a card is used.\nfeature pace = count(payment) by card over last 10m\n";

pub(crate) const BUSY: &str = r#"rule busy "Several payments in ten minutes"
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

pub(crate) const SNOOZE: &str =
    "snooze busy for card \"c9\" until 2026-12-31\n  owner fraud  reason \"a test card\"\n";

/// How long an answer may take before a test gives up: a machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// An editor with a folder and a server.
pub(crate) struct Editor {
    pub(crate) folder: TempDir,
    pub(crate) server: Child,
    pub(crate) input: Option<ChildStdin>,
    pub(crate) output: Receiver<Value>,
    /// The latest findings by URI.
    pub(crate) found: BTreeMap<String, Value>,
    pub(crate) n: i64,
}

impl Editor {
    /// Greets a server over a folder with the shipped example of this file.
    pub(crate) fn new() -> Self {
        let mut editor = Self::silent();
        let root = editor.uri("");
        let answer = editor.ask("initialize", &json!({ "rootUri": root, "capabilities": {} }));
        fits::<lsp::InitializeResult>(&answer);
        editor.notify("initialized", &json!({}));
        editor
    }

    /// Starts a server and says nothing.
    pub(crate) fn silent() -> Self {
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
        editor.write("rules/lists/trusted.csv", "value\nc8\n");
        editor.write("rules/features.risk", FEATURES);
        editor.write("rules/cards/busy.risk", BUSY);
        editor.write("rules/snoozes.risk", SNOOZE);
        editor
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join(name)
    }

    pub(crate) fn uri(&self, name: &str) -> String {
        format!("file://{}", self.path(name).display())
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    pub(crate) fn send(&mut self, message: &Value) {
        self.raw(&framed(message));
    }

    pub(crate) fn notify(&mut self, method: &str, params: &Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    /// The next message from the server; findings are kept aside too.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Value {
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
    pub(crate) fn answer(&mut self, method: &str, params: &Value) -> Value {
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
    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        let answer = self.answer(method, params);
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// Asks what must be refused: code and message.
    #[track_caller]
    pub(crate) fn refused(&mut self, method: &str, params: &Value) -> (i64, String) {
        let answer = self.answer(method, params);
        let error = answer.get("error").unwrap_or_else(|| panic!("{answer}"));
        (error["code"].as_i64().unwrap(), error["message"].as_str().unwrap().to_owned())
    }

    pub(crate) fn open(&mut self, name: &str, text: &str) {
        let uri = self.uri(name);
        let document = json!({ "uri": uri, "languageId": "riskweir", "version": 1, "text": text });
        self.notify("textDocument/didOpen", &json!({ "textDocument": document }));
    }

    /// Opens a file as it lies on the disk.
    pub(crate) fn open_file(&mut self, name: &str) -> String {
        let text = fs::read_to_string(self.path(name)).unwrap();
        self.open(name, &text);
        text
    }

    pub(crate) fn change(&mut self, name: &str, version: i64, text: &str) {
        let document = json!({ "uri": self.uri(name), "version": version });
        let params = json!({ "textDocument": document, "contentChanges": [{ "text": text }] });
        self.notify("textDocument/didChange", &params);
    }

    /// The findings of a file, once the server has told them.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, name: &str) -> Value {
        let uri = self.uri(name);
        self.found.remove(&uri);
        while !self.found.contains_key(&uri) {
            self.next();
        }
        self.found[&uri].clone()
    }

    /// Asks about a place in an open text, which is named by the words before and behind a bar: `pa|ce`.
    #[track_caller]
    pub(crate) fn at(&mut self, method: &str, name: &str, (text, place): (&str, &str)) -> Value {
        let params = self.place(name, text, place);
        self.ask(&format!("textDocument/{method}"), &params)
    }

    #[track_caller]
    pub(crate) fn place(&self, name: &str, text: &str, place: &str) -> Value {
        let (before, behind) = place.split_once('|').unwrap();
        let at = text.find(&format!("{before}{behind}")).unwrap_or_else(|| panic!("{place}"));
        let position = position(text, at + before.len());
        json!({ "textDocument": { "uri": self.uri(name) }, "position": position })
    }

    /// The words of a hover.
    #[track_caller]
    pub(crate) fn hover(&mut self, name: &str, text: &str, place: &str) -> String {
        let hover = self.at("hover", name, (text, place));
        assert!(!hover.is_null(), "{place}");
        fits::<lsp::Hover>(&hover);
        hover["contents"]["value"].as_str().unwrap().to_owned()
    }

    /// The labels of a completion of an open text with a bar where the cursor is.
    #[track_caller]
    pub(crate) fn labels(&mut self, name: &str, text: &str) -> Vec<String> {
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

    pub(crate) fn ended(mut self) -> i32 {
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

pub(crate) fn framed(message: &Value) -> Vec<u8> {
    let body = message.to_string();
    format!("Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Reads one message of the server.
pub(crate) fn message(output: &mut impl BufRead) -> Option<Value> {
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
pub(crate) fn fits<T: DeserializeOwned>(value: &Value) -> T {
    serde_json::from_value(value.clone()).unwrap_or_else(|error| panic!("{error}: {value}"))
}

/// Line and column in UTF-16 units of a byte, counted character by character.
pub(crate) fn position(text: &str, byte: usize) -> Value {
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
pub(crate) fn byte_of(text: &str, place: &Value) -> usize {
    let ends = (0..=text.len()).filter(|at| text.is_char_boundary(*at));
    ends.clone().find(|at| position(text, *at) == *place).unwrap_or_else(|| panic!("{place}"))
}

/// A text with the edits of an answer.
pub(crate) fn edited(text: &str, edits: &Value) -> String {
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
pub(crate) fn checked(folder: &Path) -> Vec<(String, String, u64, u64, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_riskweir"))
        .args(["--format", "json", "check"])
        .arg(folder)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    // The last line sums up and names no code.
    let lines = lines.filter(|found| found.get("code").is_some()).map(|found| {
        let word = |name: &str| found[name].as_str().unwrap().to_owned();
        let number = |name: &str| found[name].as_u64().unwrap();
        (word("path"), word("code"), number("line"), number("column"), word("severity"))
    });
    let mut list: Vec<_> = lines.collect();
    list.sort();
    list
}
