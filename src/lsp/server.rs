//! The conversation: what state it is in, which buffers are open, and who answers what.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::diag::{FileId, Span};
use crate::lsp::folder::{Behind, Folder, root_of};
use crate::lsp::text::{Columns, Lines, Position, replacement};
use crate::lsp::wire::{self, ErrorCode, Incoming};
use crate::lsp::{Ended, complete, findings, hover, mend, outline, rename, uri};
use crate::rules::format::format;

/// Most buffers that are open at once.
const MAX_OPEN: usize = 1000;

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    End(Ended),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Before `initialize`.
    New,
    Open,
    /// After `shutdown`.
    Closing,
}

/// An open text.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub(super) uri: String,
    pub(super) version: Option<i64>,
    pub(super) text: String,
    /// Its rule folder.
    pub(super) root: PathBuf,
    /// Its path in there.
    pub(super) name: String,
}

/// What the client can do and wants.
#[derive(Clone, Debug)]
pub(super) struct Client {
    pub(super) columns: Columns,
    /// Takes edits with the versions of the texts that they are for.
    pub(super) versioned_edits: bool,
    pub(super) snippets: bool,
    watches: bool,
}

/// Why a request has no answer.
pub(super) type Refusal = (ErrorCode, String);

/// A place in a folder that a client asks about.
pub(super) struct At<'s> {
    pub(super) server: &'s Server,
    pub(super) folder: &'s Folder,
    pub(super) file: FileId,
    pub(super) offset: u32,
}

impl At<'_> {
    /// The empty span of the place.
    pub(super) fn span(&self) -> Span {
        Span { file: self.file, start: self.offset, end: self.offset }
    }

    pub(super) fn text(&self) -> &str {
        self.folder.text(self.file)
    }

    pub(super) fn range(&self, span: Span) -> Value {
        self.server.range(self.folder, span)
    }
}

/// All that is known in a conversation.
#[derive(Debug)]
pub(super) struct Server {
    phase: Phase,
    pub(super) client: Client,
    rules: Option<PathBuf>,
    workspaces: Vec<PathBuf>,
    /// By their URIs.
    buffers: BTreeMap<String, Buffer>,
    /// By their roots.
    folders: BTreeMap<PathBuf, Folder>,
    /// What the client was told of each file, where that is anything.
    told: BTreeMap<String, Value>,
    /// A folder is no longer looked at.
    forgot: bool,
}

impl Server {
    pub(super) fn new(rules: Option<PathBuf>) -> Self {
        let client = Client {
            columns: Columns::Utf16,
            versioned_edits: false,
            snippets: false,
            watches: false,
        };
        Self {
            phase: Phase::New,
            client,
            rules: rules.map(|path| fs::canonicalize(&path).unwrap_or(path)),
            workspaces: Vec::new(),
            buffers: BTreeMap::new(),
            folders: BTreeMap::new(),
            told: BTreeMap::new(),
            forgot: false,
        }
    }

    /// Takes one message.
    ///
    /// # Errors
    /// When the output fails.
    pub(super) fn take(&mut self, message: Incoming, out: &mut impl Write) -> io::Result<Then> {
        match message {
            Incoming::Response => {}
            Incoming::Malformed(code, why) => wire::refuse(out, &Value::Null, code, &why)?,
            Incoming::Notification { method, .. } if method == "exit" => {
                let orderly = self.phase == Phase::Closing;
                return Ok(Then::End(if orderly { Ended::Orderly } else { Ended::Abrupt }));
            }
            Incoming::Notification { method, params } => {
                if self.phase == Phase::Open {
                    self.notified(&method, &params, out)?;
                }
            }
            Incoming::Request { id, method, params } => match self.asked(&method, &params) {
                Ok(result) => wire::answer(out, &id, &result)?,
                Err((code, why)) => wire::refuse(out, &id, code, &why)?,
            },
        }
        Ok(Then::GoOn)
    }

    fn asked(&mut self, method: &str, params: &Value) -> Result<Value, Refusal> {
        match (self.phase, method) {
            (Phase::New, "initialize") => {
                self.phase = Phase::Open;
                Ok(self.initialize(params))
            }
            (Phase::New, _) => {
                Err((ErrorCode::NotInitialized, "say `initialize` first".to_owned()))
            }
            (Phase::Closing, _) | (Phase::Open, "initialize") => {
                let why = format!("`{method}` does not belong here");
                Err((ErrorCode::InvalidRequest, why))
            }
            (Phase::Open, "shutdown") => {
                self.phase = Phase::Closing;
                Ok(Value::Null)
            }
            (Phase::Open, method) => self.answer(method, params),
        }
    }

    fn answer(&mut self, method: &str, params: &Value) -> Result<Value, Refusal> {
        let known = matches!(
            method,
            "textDocument/hover"
                | "textDocument/completion"
                | "textDocument/definition"
                | "textDocument/references"
                | "textDocument/prepareRename"
                | "textDocument/rename"
                | "textDocument/codeAction"
                | "textDocument/formatting"
                | "textDocument/documentSymbol"
        );
        if !known {
            return Err((ErrorCode::MethodNotFound, format!("`{method}` is not known here")));
        }
        let uri = uri_in(params).ok_or_else(|| invalid("`textDocument.uri` is needed"))?;
        let Some(buffer) = self.buffers.get(uri) else {
            return Err(invalid("this text is not open: say `didOpen` first"));
        };
        let (root, name) = (buffer.root.clone(), buffer.name.clone());
        self.catch_up(&root);
        let Some(folder) = self.folders.get(&root) else { return Ok(Value::Null) };
        let Some(file) = folder.file(&name) else { return Ok(Value::Null) };
        match method {
            "textDocument/formatting" => return Ok(self.formatted(folder, file)),
            "textDocument/documentSymbol" => return Ok(outline::of(self, folder, file)),
            "textDocument/codeAction" => {
                let span = self.span_in(folder, file, params.get("range"));
                let span = span.ok_or_else(|| invalid("`range` is needed"))?;
                return Ok(mend::offers(self, folder, span));
            }
            _ => {}
        }
        let place = params.get("position").and_then(Position::read);
        let place = place.ok_or_else(|| invalid("`position` is needed"))?;
        let offset = self.offset(folder, file, place);
        let at = At { server: self, folder, file, offset };
        match method {
            "textDocument/hover" => Ok(hover::at(&at)),
            "textDocument/completion" => Ok(complete::at(&at)),
            "textDocument/definition" => Ok(self.definition(&at)),
            "textDocument/references" => {
                let all = params.pointer("/context/includeDeclaration");
                Ok(self.references(&at, all.and_then(Value::as_bool).unwrap_or(true)))
            }
            "textDocument/prepareRename" => rename::prepare(&at),
            _ => {
                let name = params.get("newName").and_then(Value::as_str);
                rename::to(&at, name.ok_or_else(|| invalid("`newName` is needed"))?)
            }
        }
    }

    fn initialize(&mut self, params: &Value) -> Value {
        let can = |path: &str| params.pointer(path).and_then(Value::as_bool).unwrap_or(false);
        let encodings = params.pointer("/capabilities/general/positionEncodings");
        let bytes = encodings.and_then(Value::as_array);
        let bytes = bytes.is_some_and(|list| list.iter().any(|name| name == "utf-8"));
        self.client = Client {
            columns: if bytes { Columns::Bytes } else { Columns::Utf16 },
            versioned_edits: can("/capabilities/workspace/workspaceEdit/documentChanges"),
            snippets: can("/capabilities/textDocument/completion/completionItem/snippetSupport"),
            watches: can("/capabilities/workspace/didChangeWatchedFiles/dynamicRegistration"),
        };
        let folders = params.get("workspaceFolders").and_then(Value::as_array);
        let folders = folders.into_iter().flatten().filter_map(|folder| folder.get("uri"));
        let roots = folders.chain(params.get("rootUri")).filter_map(Value::as_str);
        let roots = roots.filter_map(uri::path_of);
        self.workspaces = roots.map(|path| fs::canonicalize(&path).unwrap_or(path)).collect();
        if let Some(rules) = params.pointer("/initializationOptions/rules").and_then(Value::as_str)
            && !rules.is_empty()
            && self.rules.is_none()
        {
            let base = self.workspaces.first().cloned().unwrap_or_default();
            let path = base.join(rules);
            self.rules = Some(fs::canonicalize(&path).unwrap_or(path));
        }
        json!({
            "capabilities": capabilities(self.client.columns),
            "serverInfo": { "name": "riskweir", "version": env!("CARGO_PKG_VERSION") },
        })
    }

    fn notified(&mut self, method: &str, params: &Value, out: &mut impl Write) -> io::Result<()> {
        match method {
            "initialized" if self.client.watches => {
                let globs = ["**/*.risk", "**/*.csv", "**/*.rwm"]
                    .map(|glob| json!({ "globPattern": glob }));
                let method = "workspace/didChangeWatchedFiles";
                let options = json!({ "watchers": globs });
                let one = json!({ "id": "files", "method": method, "registerOptions": options });
                let params = json!({ "registrations": [one] });
                wire::ask(out, "watch", "client/registerCapability", &params)?;
            }
            "textDocument/didOpen" => self.opened(params),
            "textDocument/didChange" => self.changed(params),
            "textDocument/didSave" => {
                self.touched(params, Behind::Disk);
            }
            "textDocument/didClose" => {
                self.touched(params, Behind::Disk);
                if let Some(buffer) = uri_in(params).and_then(|uri| self.buffers.remove(uri)) {
                    self.forget(&buffer.root);
                }
            }
            "workspace/didChangeWatchedFiles" => {
                self.folders.values_mut().for_each(|folder| folder.is_behind(Behind::Disk));
            }
            _ => {}
        }
        Ok(())
    }

    fn opened(&mut self, params: &Value) {
        let document = params.get("textDocument");
        let text = document.and_then(|document| document.get("text")).and_then(Value::as_str);
        let (Some(uri), Some(text)) = (uri_in(params), text) else { return };
        if self.buffers.len() >= MAX_OPEN {
            return;
        }
        let (root, name, on_disk) = self.place_of(uri);
        self.folders.entry(root.clone()).or_insert_with(|| Folder::new(root.clone(), on_disk));
        let version = document.and_then(|document| document.get("version")).and_then(Value::as_i64);
        let (uri, text) = (uri.to_owned(), text.to_owned());
        self.buffers.insert(uri.clone(), Buffer { uri, version, text, root: root.clone(), name });
        if let Some(folder) = self.folders.get_mut(&root) {
            folder.is_behind(Behind::Disk);
        }
    }

    /// The rule folder of a text, its path in there, and whether that is on the disk.
    fn place_of(&self, uri: &str) -> (PathBuf, String, bool) {
        let Some(path) = uri::path_of(uri) else {
            return (PathBuf::from(uri), "unsaved.risk".to_owned(), false);
        };
        let path = match (path.parent().and_then(|above| fs::canonicalize(above).ok()), &path) {
            (Some(above), path) => above.join(path.file_name().unwrap_or_default()),
            (None, path) => path.clone(),
        };
        let root = root_of(&path, &self.workspaces, self.rules.as_deref());
        let inside = path.strip_prefix(&root).unwrap_or(&path);
        let parts: Vec<_> = inside.iter().map(|part| part.to_string_lossy()).collect();
        let name = if parts.is_empty() {
            path.file_name().unwrap_or_default().to_string_lossy().into_owned()
        } else {
            parts.join("/")
        };
        (root, name, true)
    }

    fn changed(&mut self, params: &Value) {
        let columns = self.client.columns;
        let version = params.pointer("/textDocument/version").and_then(Value::as_i64);
        let Some(buffer) = uri_in(params).and_then(|uri| self.buffers.get_mut(uri)) else { return };
        let changes = params.get("contentChanges").and_then(Value::as_array);
        for change in changes.into_iter().flatten() {
            let Some(text) = change.get("text").and_then(Value::as_str) else { continue };
            match change.get("range") {
                None => text.clone_into(&mut buffer.text),
                Some(range) => splice(&mut buffer.text, range, text, columns),
            }
        }
        buffer.version = version;
        self.touched(params, Behind::Buffers);
    }

    /// The folder of a text is behind.
    fn touched(&mut self, params: &Value, behind: Behind) {
        let Some(buffer) = uri_in(params).and_then(|uri| self.buffers.get(uri)) else { return };
        if let Some(folder) = self.folders.get_mut(&buffer.root) {
            folder.is_behind(behind);
        }
    }

    /// A folder of which nothing is open is forgotten, unless it is on the disk: its findings stay.
    fn forget(&mut self, root: &Path) {
        let in_use = self.buffers.values().any(|buffer| buffer.root == root);
        if !in_use && !root.is_absolute() {
            self.folders.remove(root);
            self.forgot = true;
        }
    }

    fn catch_up(&mut self, root: &Path) {
        let Some(folder) = self.folders.get_mut(root) else { return };
        let own = self.buffers.values().filter(|buffer| buffer.root == root);
        let texts = own.map(|buffer| (buffer.name.as_str(), buffer.text.as_str())).collect();
        folder.catch_up(&texts);
    }

    /// Tells the client what is wrong, when nobody is waiting for anything.
    ///
    /// # Errors
    /// When the output fails.
    pub(super) fn settle(&mut self, out: &mut impl Write) -> io::Result<()> {
        if self.phase != Phase::Open {
            return Ok(());
        }
        let roots: Vec<PathBuf> = self.folders.keys().cloned().collect();
        for root in &roots {
            self.catch_up(root);
        }
        if !self.forgot && self.folders.values().all(|folder| !folder.is_news) {
            return Ok(());
        }
        let mut now: BTreeMap<String, Value> = BTreeMap::new();
        for (root, folder) in &self.folders {
            findings::of(self, root, folder, &mut now);
        }
        for (uri, found) in &now {
            if self.told.get(uri) != Some(found) {
                self.publish(uri, found, out)?;
            }
        }
        for uri in self.told.keys().filter(|uri| !now.contains_key(*uri)) {
            self.publish(uri, &json!([]), out)?;
        }
        (self.told, self.forgot) = (now, false);
        self.folders.values_mut().for_each(|folder| folder.is_news = false);
        Ok(())
    }

    fn publish(&self, uri: &str, found: &Value, out: &mut impl Write) -> io::Result<()> {
        let mut params = json!({ "uri": uri, "diagnostics": found });
        if let Some(version) = self.buffers.get(uri).and_then(|buffer| buffer.version) {
            params["version"] = json!(version);
        }
        wire::notify(out, "textDocument/publishDiagnostics", &params)
    }

    /// The open text of a file in a folder.
    pub(super) fn buffer(&self, root: &Path, name: &str) -> Option<&Buffer> {
        self.buffers.values().find(|buffer| buffer.root == root && buffer.name == name)
    }

    /// How the client knows a file: by the name that it gave an open text, else by its path.
    pub(super) fn uri_of(&self, folder: &Folder, name: &str) -> String {
        let open = self.buffer(folder.root(), name);
        open.map_or_else(|| uri::of_path(&folder.path_of(name)), |buffer| buffer.uri.clone())
    }

    fn offset(&self, folder: &Folder, file: FileId, place: Position) -> u32 {
        let text = folder.text(file);
        let offset = folder.lines(file).map(|lines| lines.offset(text, place, self.client.columns));
        offset.and_then(|offset| u32::try_from(offset).ok()).unwrap_or(0)
    }

    fn span_in(&self, folder: &Folder, file: FileId, range: Option<&Value>) -> Option<Span> {
        let [a, b] = ["start", "end"].map(|end| range?.get(end).and_then(Position::read));
        let [a, b] = [a?, b?].map(|place| self.offset(folder, file, place));
        Some(Span { file, start: a.min(b), end: a.max(b) })
    }

    /// A span as the protocol writes it.
    pub(super) fn range(&self, folder: &Folder, span: Span) -> Value {
        let text = folder.text(span.file);
        let lines = folder.lines(span.file);
        lines.map_or(Value::Null, |lines| lines.range(text, span, self.client.columns))
    }

    /// A span with its file.
    pub(super) fn location(&self, folder: &Folder, span: Span) -> Option<Value> {
        let uri = self.uri_of(folder, folder.name_of(span)?);
        Some(json!({ "uri": uri, "range": self.range(folder, span) }))
    }

    /// Changes of words, by the path of their file in the folder, as the protocol writes them.
    pub(super) fn edit(&self, folder: &Folder, edits: &[(String, Span, String)]) -> Value {
        let mut by_file: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
        for (name, span, text) in edits {
            let one = json!({ "range": self.range(folder, *span), "newText": text });
            by_file.entry(name).or_default().push(one);
        }
        if self.client.versioned_edits {
            let changes = by_file.into_iter().map(|(name, edits)| {
                let version = self.buffer(folder.root(), name).and_then(|buffer| buffer.version);
                let uri = self.uri_of(folder, name);
                json!({ "textDocument": { "uri": uri, "version": version }, "edits": edits })
            });
            return json!({ "documentChanges": changes.collect::<Vec<_>>() });
        }
        let changes: serde_json::Map<String, Value> = by_file
            .into_iter()
            .map(|(name, edits)| (self.uri_of(folder, name), Value::Array(edits)))
            .collect();
        json!({ "changes": changes })
    }

    fn definition(&self, at: &At<'_>) -> Value {
        let folder = at.folder;
        if let Some(file) = outline::named_file(at) {
            let start = json!({ "line": 0, "character": 0 });
            let uri = self.uri_of(folder, &file);
            return json!([{ "uri": uri, "range": { "start": start, "end": start } }]);
        }
        let Some(mention) = folder.names().at(at.span()) else { return Value::Null };
        let spans = folder.names().definitions(&mention.symbol);
        let places = spans.into_iter().filter_map(|span| self.location(folder, span));
        Value::Array(places.collect())
    }

    fn references(&self, at: &At<'_>, with_definition: bool) -> Value {
        let names = at.folder.names();
        let Some(mention) = names.at(at.span()) else { return Value::Null };
        let all = names.mentions_of(&mention.symbol);
        let all = all.filter(|mention| with_definition || !mention.defines);
        let places = all.filter_map(|mention| self.location(at.folder, mention.span));
        Value::Array(places.collect())
    }

    /// The edits that lay a text out; none where it has mistakes, which are shown anyway.
    fn formatted(&self, folder: &Folder, file: FileId) -> Value {
        let text = folder.text(file);
        let Ok(new) = format(text) else { return Value::Null };
        // A text with the line ends of another system keeps them.
        let new = if text.contains("\r\n") { new.replace('\n', "\r\n") } else { new };
        let Some((start, end, with)) = replacement(text, &new) else { return json!([]) };
        let [start, end] = [start, end].map(|byte| u32::try_from(byte).unwrap_or(u32::MAX));
        let range = self.range(folder, Span { file, start, end });
        json!([{ "range": range, "newText": with }])
    }
}

pub(super) fn invalid(why: &str) -> Refusal {
    (ErrorCode::InvalidParams, why.to_owned())
}

fn uri_in(params: &Value) -> Option<&str> {
    params.pointer("/textDocument/uri").and_then(Value::as_str)
}

/// Puts a text in place of a range; a range that ends before it begins is turned around.
fn splice(text: &mut String, range: &Value, with: &str, columns: Columns) {
    let lines = Lines::of(text);
    let ends = ["start", "end"].map(|end| range.get(end).and_then(Position::read));
    let [Some(a), Some(b)] = ends else { return };
    let [a, b] = [a, b].map(|place| lines.offset(text, place, columns));
    text.replace_range(a.min(b)..a.max(b), with);
}

fn capabilities(columns: Columns) -> Value {
    let encoding = if columns == Columns::Bytes { "utf-8" } else { "utf-16" };
    json!({
        "positionEncoding": encoding,
        "textDocumentSync": { "openClose": true, "change": 2, "save": { "includeText": false } },
        "hoverProvider": true,
        "completionProvider": { "triggerCharacters": [".", "(", "[", ":"] },
        "definitionProvider": true,
        "referencesProvider": true,
        "documentSymbolProvider": true,
        "documentFormattingProvider": true,
        "codeActionProvider": { "codeActionKinds": ["quickfix"] },
        "renameProvider": { "prepareProvider": true },
    })
}
