// The colors over every example of the language's reference and every rule file of the project: what is opened is closed, and
// every word of the language that begins an item has the color of one.
const fs = require("node:fs");
const path = require("node:path");
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const extension = path.join(__dirname, "..");
const project = path.join(extension, "../..");

/** Every text with its name. */
function texts() {
  const reference = fs.readFileSync(path.join(project, "docs/LANGUAGE.md"), "utf8");
  const fences = [...reference.matchAll(/^```risk[^\n]*\n([\s\S]*?)^```/gm)];
  const found = fences.map((fence, number) => [`example ${number}`, fence[1]]);
  for (const folder of ["rules", "examples", "starters"]) {
    for (const name of fs.readdirSync(path.join(project, folder), { recursive: true })) {
      if (name.endsWith(".risk")) found.push([name, fs.readFileSync(path.join(project, folder, name), "utf8")]);
    }
  }
  return found;
}

async function main() {
  const wasm = fs.readFileSync(require.resolve("vscode-oniguruma/release/onig.wasm"));
  await oniguruma.loadWASM(wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.byteLength));
  const registry = new textmate.Registry({
    onigLib: Promise.resolve({
      createOnigScanner: (patterns) => new oniguruma.OnigScanner(patterns),
      createOnigString: (text) => new oniguruma.OnigString(text),
    }),
    loadGrammar: async () => {
      const file = path.join(extension, "syntaxes/riskweir.tmLanguage.json");
      return textmate.parseRawGrammar(fs.readFileSync(file, "utf8"), file);
    },
  });
  const grammar = await registry.loadGrammar("source.riskweir");
  const all = texts();
  const offences = [];
  let lines = 0;
  for (const [number, text] of all) {
    let stack = textmate.INITIAL;
    for (const line of text.split("\n")) {
      lines += 1;
      const result = grammar.tokenizeLine(line, stack);
      stack = result.ruleStack;
      for (const token of result.tokens) {
        if (token.scopes.some((scope) => scope.startsWith("invalid"))) offences.push(`${number}: ${line}`);
      }
      const item = /^(rule|event|feature|list|model|test|policy|template|snooze|entity)\b/.exec(line);
      const first = result.tokens[0];
      if (item && !(first.endIndex <= line.length && first.scopes.some((scope) => scope.includes("keyword") || scope.includes("storage"))))
        offences.push(`${number}: no color: ${line} ${first.scopes}`);
    }
    // A depth of one: nothing is open.
    if (stack.depth !== 1) offences.push(`${number}: left open (${stack.depth})`);
  }
  console.log(`${all.length} texts, ${lines} lines, ${offences.length} offences`);
  offences.forEach((offence) => console.log(offence));
  process.exit(all.length > 90 && offences.length === 0 ? 0 : 1);
}

main();
