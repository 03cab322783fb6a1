// A conversation with the real server by the protocol's own library: what an editor asks of it is answered in the forms that
// the library types, and changes that it proposes can be applied.
//   RISKWEIR=../../target/debug/riskweir node tests/server.js      (without it: `riskweir` on the path)
"use strict";

const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const rpc = require("vscode-jsonrpc/node");
const lsp = require("vscode-languageserver-protocol");
const { TextDocument } = require("vscode-languageserver-textdocument");

const RULE = `rule busy "Several payments in ten minutes"
  id "R-1"  owner fraud
  on payment
  when pace >= 3 and amount > 100 EUR
  then block
test busy "the third"
  given 2 payment(card: "c1", amount: 60 EUR) every 1m
  when payment(card: "c1", amount: 160 EUR)
  expect hit
`;
const SCHEMA = `event payment
  id    pay_id : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR

feature pace = count(payment) by card over last 10m

policy decisions
  base currency EUR
`;

async function main() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "riskweir-"));
  const rules = path.join(folder, "rules");
  fs.mkdirSync(rules);
  fs.writeFileSync(path.join(rules, "schema.risk"), SCHEMA);
  const uri = pathToFileURL(path.join(rules, "busy.risk")).href;
  const root = pathToFileURL(folder).href;

  const server = spawn(process.env.RISKWEIR || "riskweir", ["lsp"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => server.on("exit", resolve));
  const connection = rpc.createMessageConnection(
    new rpc.StreamMessageReader(server.stdout),
    new rpc.StreamMessageWriter(server.stdin),
  );
  const told = [];
  let wake = () => {};
  connection.onNotification(lsp.PublishDiagnosticsNotification.type, (params) => {
    told.push(params);
    wake();
  });
  connection.onRequest(lsp.RegistrationRequest.type, () => {});
  connection.listen();
  /** The findings of a version of the text, once they are told. */
  const findings = async (version) => {
    for (;;) {
      const found = told.find((params) => params.uri === uri && params.version === version);
      if (found) return found.diagnostics;
      await new Promise((resolve) => (wake = resolve));
    }
  };
  const ask = (request, params) => connection.sendRequest(request.type, params);

  const capabilities = { textDocument: { completion: { completionItem: { snippetSupport: true } } } };
  const greeting = { processId: process.pid, rootUri: root, capabilities, workspaceFolders: [{ uri: root, name: "x" }] };
  const { capabilities: can } = await ask(lsp.InitializeRequest, greeting);
  assert.equal(can.textDocumentSync.change, lsp.TextDocumentSyncKind.Incremental);
  await connection.sendNotification(lsp.InitializedNotification.type, {});

  let text = TextDocument.create(uri, "riskweir", 1, RULE.replace("pace", "pase"));
  const opened = { uri, languageId: "riskweir", version: 1, text: text.getText() };
  await connection.sendNotification(lsp.DidOpenTextDocumentNotification.type, { textDocument: opened });
  const [finding] = await findings(1);
  assert.equal(finding.code, "E0101");
  assert.equal(text.getText(finding.range), "pase");

  const change = async (edits) => {
    const next = TextDocument.update(text, edits, text.version + 1);
    const textDocument = { uri, version: next.version };
    text = next;
    await connection.sendNotification(lsp.DidChangeTextDocumentNotification.type, { textDocument, contentChanges: edits });
  };
  // The mend of the finding makes it right.
  const actions = await ask(lsp.CodeActionRequest, {
    textDocument: { uri },
    range: finding.range,
    context: { diagnostics: [finding] },
  });
  const [edit] = actions[0].edit.changes[uri];
  await change([{ range: edit.range, text: edit.newText }]);
  assert.deepEqual(await findings(2), []);

  const at = (words) => ({ textDocument: { uri }, position: text.positionAt(text.getText().indexOf(words)) });
  const hover = await ask(lsp.HoverRequest, at("pace >="));
  assert.match(hover.contents.value, /by card over last 10m/);
  const completion = await ask(lsp.CompletionRequest, at("amount > 100"));
  const items = Array.isArray(completion) ? completion : completion.items;
  assert.ok(items.some((item) => item.label === "amount"));
  const definition = await ask(lsp.DefinitionRequest, at("pace >="));
  assert.ok(definition[0].uri.endsWith("schema.risk"));
  const references = await ask(lsp.ReferencesRequest, { ...at("busy"), context: { includeDeclaration: true } });
  assert.equal(references.length, 2);
  const symbols = await ask(lsp.DocumentSymbolRequest, { textDocument: { uri } });
  assert.ok(symbols.some((symbol) => symbol.name === "busy"));

  const renamed = await ask(lsp.RenameRequest, { ...at("busy"), newName: "hurried" });
  const applied = TextDocument.applyEdits(text, renamed.changes[uri]);
  assert.match(applied, /rule hurried[\s\S]*test hurried/);

  await change([{ range: { start: { line: 3, character: 2 }, end: { line: 3, character: 2 } }, text: "      " }]);
  const options = { tabSize: 2, insertSpaces: true };
  const formatted = await ask(lsp.DocumentFormattingRequest, { textDocument: { uri }, options });
  assert.equal(TextDocument.applyEdits(text, formatted).split("\n")[3], "  when pace >= 3 and amount > 100 EUR");

  await ask(lsp.ShutdownRequest);
  await connection.sendNotification(lsp.ExitNotification.type);
  assert.equal(await ended, 0);
  connection.dispose();
  fs.rmSync(folder, { recursive: true });
  console.log("the server answered as the protocol's library asks");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
