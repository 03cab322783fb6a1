//! What an editor asks about a place: meaning, cost, offers, definitions.

use std::process::Command;

use gen_lsp_types as lsp;
use serde_json::{Value, json};

use crate::editor::{BUSY, Editor, FEATURES, SCHEMA, fits, position};

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
fn a_pointer_over_a_learned_model_says_what_its_artifact_holds() {
    let mut editor = Editor::new();
    let text = r#"event use_of_card from "uses"
  id    use_id : text
  time  at     : time
  field amount : money currency EUR
  field fresh  : bool
  field items  : integer
  field rate   : number
model fraud
  on use_of_card
  kind learned
  from "models/fraud.rwm"
  reads amount, fresh, items, rate
"#;
    editor.write("rules/fraud.risk", text);
    std::fs::create_dir_all(editor.path("rules/models")).unwrap();
    let foreign = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/import/xgboost.json");
    let imported = Command::new(env!("CARGO_BIN_EXE_riskweir"))
        .args(["import", "--name", "fraud", "--model", foreign, "--rules"])
        .arg(editor.path("rules"))
        .arg("--out")
        .arg(editor.path("rules/models/fraud.rwm"))
        .output()
        .unwrap();
    assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    let text = editor.open_file("rules/fraud.risk");
    let model = editor.hover("rules/fraud.risk", &text, "model fr|aud");
    assert!(model.contains("kind learned"), "{model}");
    let holds = "`models/fraud.rwm` holds 12 trees with ";
    assert!(model.contains(holds) && model.contains("on `use_of_card`"), "{model}");
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

const EVENT: &str =
    "event x from \"t\"\n  id about : text\n  time at : time\n  field what : bool\n";

#[test]
fn what_is_offered_fits_the_place() {
    let mut editor = Editor::new();
    let name = "rules/new.risk";
    editor.open(name, "");
    let cases: &[Offered] = &[
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
        ("event x from \"t\"\n  |", &["id", "time", "key", "field", "labels"], &["when"]),
        ("event x from \"t\"\n  labels |", &["payment", "login"], &["when", "amount"]),
        ("EVENT  labels payment by |", &["about", "what"], &["amount"]),
        ("EVENT  labels payment by about verdict what |", &["fraud", "genuine"], &["amount"]),
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
        ("model m\n  |", &["on", "kind", "from", "reads"], &["amount"]),
        ("model m\n  on |", &["payment", "login"], &["amount"]),
        ("model m\n  on payment\n  kind |", &["learned", "tail_sum"], &["amount"]),
        ("model m\n  on payment\n  kind learned\n  reads |", &["amount", "pace"], &["when"]),
    ];
    offered(&mut editor, name, cases);
}

#[test]
fn what_is_offered_of_a_bound_of_holds_fits_the_place() {
    let mut editor = Editor::new();
    let name = "rules/new.risk";
    editor.open(name, "");
    let cases: &[Offered] = &[
        ("event x from \"t\"\n  hold |", &["at", "most", "where"], &["when", "for"]),
        ("EVENT  hold at most 9s where |", &["about", "what"], &["amount"]),
        ("EVENT  hold at most 9s otherwise |", &["block", "release"], &["escalate"]),
    ];
    offered(&mut editor, name, cases);
}

/// A text with a bar where the cursor is, what is offered there, and what is not.
type Offered = (&'static str, &'static [&'static str], &'static [&'static str]);

fn offered(editor: &mut Editor, name: &str, cases: &[Offered]) {
    let rule = "rule a mode shadow\n  on payment\n  let spent = 5 EUR\n";
    for (text, wanted, unwanted) in cases {
        let text = text.replacen("RULE", rule, 1).replacen("EVENT", EVENT, 1);
        let labels = editor.labels(name, &text);
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
