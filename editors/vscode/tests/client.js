// The extension itself, activated in a host of this file: it starts the real server, hands it an open text and shows what it
// finds. The host has what VS Code gives an extension as far as the client's library asks for it at its start; everything else
// of it is empty. VS Code itself is in no test.
//   RISKWEIR=../../target/debug/riskweir node tests/client.js      (without it: `riskweir` on the path)
"use strict";

const assert = require("node:assert/strict");
const fs = require("node:fs");
const Module = require("node:module");
const os = require("node:os");
const path = require("node:path");
const { fileURLToPath, pathToFileURL } = require("node:url");

class Uri {
  constructor(text) {
    this.text = text;
    this.scheme = text.split(":")[0];
    this.fsPath = this.scheme === "file" ? fileURLToPath(text) : text;
    this.path = this.fsPath;
  }
  static parse(text) {
    return new Uri(text);
  }
  static file(file) {
    return new Uri(pathToFileURL(file).href);
  }
  toString() {
    return this.text;
  }
}
class Position {
  constructor(line, character) {
    Object.assign(this, { line, character });
  }
}
class Range {
  constructor(...ends) {
    const [a, b, c, d] = ends;
    Object.assign(this, ends.length === 4 ? { start: new Position(a, b), end: new Position(c, d) } : { start: a, end: b });
  }
}
class Diagnostic {
  constructor(range, message, severity) {
    Object.assign(this, { range, message, severity });
  }
}
class CodeActionKind {
  static Empty = new CodeActionKind("");
  constructor(value) {
    this.value = value;
  }
  append(part) {
    return new CodeActionKind(this.value ? `${this.value}.${part}` : part);
  }
}
class EventEmitter {
  listeners = new Set();
  event = (listener, self) => {
    const bound = listener.bind(self);
    this.listeners.add(bound);
    return { dispose: () => this.listeners.delete(bound) };
  };
  fire(value) {
    for (const listener of this.listeners) listener(value);
  }
  dispose() {
    this.listeners.clear();
  }
}
class Disposable {
  constructor(dispose) {
    this.dispose = dispose || (() => {});
  }
  static from(...all) {
    return new Disposable(() => all.forEach((one) => one.dispose()));
  }
}
class CancellationTokenSource {
  token = { isCancellationRequested: false, onCancellationRequested: () => new Disposable() };
  cancel() {}
  dispose() {}
}

/** Whatever is asked of it by a name: events that never come, things that can be disposed, classes that can be extended. */
function empty(known, base = class {}) {
  return new Proxy(known, {
    get(target, name) {
      if (name in target || typeof name === "symbol" || name === "then") return target[name];
      if (/^on(Did|Will)/.test(name)) return () => new Disposable();
      if (/^[A-Z]/.test(name)) return (target[name] = class extends base {});
      return (target[name] = () => new Disposable());
    },
  });
}

function host(folder, document, shown, settings) {
  const channel = () => empty({ appendLine() {}, append() {}, show() {}, info() {}, error: console.error, name: "x" });
  const collection = { set: (uri, found) => shown(uri, found), delete() {}, clear() {}, dispose() {}, forEach() {} };
  return empty({
    Uri, Position, Range, Diagnostic, CodeActionKind, EventEmitter, Disposable, CancellationTokenSource,
    version: "1.91.0",
    DiagnosticSeverity: { Error: 0, Warning: 1, Information: 2, Hint: 3 },
    env: { language: "en", appName: "host", clipboard: {} },
    window: empty({
      createOutputChannel: channel,
      showErrorMessage: (text) => assert.fail(text),
      visibleTextEditors: [],
      tabGroups: empty({ all: [] }),
    }),
    workspace: empty({
      textDocuments: [document],
      notebookDocuments: [],
      workspaceFolders: [{ uri: Uri.file(folder), name: "rules", index: 0 }],
      getConfiguration: () => ({ get: (name, other) => settings[name] ?? other, inspect: () => undefined }),
      getWorkspaceFolder: () => undefined,
      createFileSystemWatcher: () => empty({}),
      fs: empty({}),
    }),
    languages: empty({
      createDiagnosticCollection: () => collection,
      match: (selector, asked) => (asked.languageId === "riskweir" ? 10 : 0),
    }),
    commands: empty({ registerCommand: () => new Disposable(), executeCommand() {} }),
    extensions: empty({ all: [], getExtension: () => undefined }),
  });
}

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "riskweir-"));
  const file = path.join(folder, "a.risk");
  const text = "rule a mode shadow on nothing when 1 = 1 then alert\n";
  fs.writeFileSync(file, text);
  const uri = Uri.file(file);
  const document = { uri, fileName: file, languageId: "riskweir", version: 1, getText: () => text, isDirty: false };
  let tell;
  const told = new Promise((resolve) => (tell = resolve));
  const vscode = host(folder, document, (about, found) => tell([about, found]), { path: process.env.RISKWEIR || "riskweir" });
  const load = Module._load;
  Module._load = (name, ...rest) => (name === "vscode" ? vscode : load(name, ...rest));
  const extension = require("../extension.js");
  await extension.activate({ subscriptions: [] });
  const [about, found] = await told;
  assert.equal(about.toString(), uri.toString());
  assert.equal(found[0].message.split("\n")[0], "there is no event `nothing`: unknown");
  await extension.deactivate();
  fs.rmSync(folder, { recursive: true });
  console.log("the extension started the server and showed what it found");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
