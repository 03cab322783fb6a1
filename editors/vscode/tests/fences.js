// The colors over every example of the language's reference: what is opened is closed, and every word of the language that
// begins an item has the color of one.
const fs = require("node:fs");
const path = require("node:path");
const oniguruma = require("vscode-oniguruma");
const textmate = require("vscode-textmate");

const extension = path.join(__dirname, "..");
const reference = process.argv[2] || path.join(extension, "../../docs/LANGUAGE.md");

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
  const fences = [...fs.readFileSync(reference, "utf8").matchAll(/^```risk[^\n]*\n([\s\S]*?)^```/gm)];
  const offences = [];
  let lines = 0;
  for (const [number, fence] of fences.entries()) {
    let stack = textmate.INITIAL;
    for (const line of fence[1].split("\n")) {
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
  console.log(`${fences.length} examples, ${lines} lines, ${offences.length} offences`);
  offences.forEach((offence) => console.log(offence));
  process.exit(fences.length > 30 && offences.length === 0 ? 0 : 1);
}

main();
