// Starts `riskweir lsp` and lets the editor speak with it. Everything that is known of rules is known by the server.
"use strict";

const vscode = require("vscode");
const { LanguageClient, TransportKind } = require("vscode-languageclient/node");

/** @type {LanguageClient | undefined} */
let client;

function start() {
  const settings = vscode.workspace.getConfiguration("riskweir");
  const command = settings.get("path") || "riskweir";
  const run = { command, args: ["lsp"], transport: TransportKind.stdio };
  client = new LanguageClient(
    "riskweir",
    "Riskweir rules",
    { run, debug: run },
    {
      documentSelector: [{ language: "riskweir" }],
      initializationOptions: { rules: settings.get("rules") || "" },
    },
  );
  return client.start().catch((error) => {
    vscode.window.showErrorMessage(
      `\`${command} lsp\` did not start: ${error}. Set \`riskweir.path\` to the riskweir command.`,
    );
  });
}

async function stop() {
  const old = client;
  client = undefined;
  if (old) {
    await old.stop();
  }
}

async function activate(context) {
  const restart = async () => {
    await stop();
    await start();
  };
  context.subscriptions.push(
    vscode.commands.registerCommand("riskweir.restart", restart),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("riskweir.path") || event.affectsConfiguration("riskweir.rules")) {
        return restart();
      }
    }),
  );
  await start();
}

module.exports = { activate, deactivate: stop };
