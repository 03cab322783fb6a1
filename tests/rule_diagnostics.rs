//! Golden diagnostics: what the author of a rule file is told, word for word.
//!
//! Every `tests/rule_diagnostics/<code>_<what>.risk` has a `.stderr` beside it with the rendered text. Its name says
//! which code it is about, and the text must hold that code. A first line `# as of DATE` asks what is due on that day; a
//! `.before` beside it is the rule set that it takes over from. `UPDATE_GOLDEN=1` rewrites the texts; read the diff.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::format_push_string,
    reason = "helpers of tests; the lints spare test functions only, and speed is nothing here"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use riskweir::base::Currency;
use riskweir::diag::{Binary, Diagnostic, FileId, Source, Sources, codes, render};
use riskweir::models::offline::{FieldSource, Unit};
use riskweir::rules::program::{LearnedFeature, Program};
use riskweir::rules::{Day, due, renewed, syntax};

mod support;

use support::artifacts::{Tree, artifact, forest, plain};

/// What is under test: a file beside the common schema in, diagnostics out.
fn compile(name: &str, text: String, before: Option<String>) -> (Sources, Vec<Diagnostic>) {
    let (sources, program, mut diagnostics) = program(name, text);
    let first_line = sources.files[0].text.lines().next().unwrap_or_default();
    if let (Some(program), Some(day)) = (&program, first_line.strip_prefix("# as of ")) {
        diagnostics.extend(due(program, Day::parse(day).expect("a day")));
    }
    if let (Some(after), Some(before)) = (&program, before) {
        let (_, before, found) = self::program(name, before);
        diagnostics.extend(renewed(&before.unwrap_or_else(|| panic!("{found:?}")), after));
    }
    (sources, diagnostics)
}

fn program(name: &str, text: String) -> (Sources, Option<Program>, Vec<Diagnostic>) {
    let schema =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rule_diagnostics/common/schema.risk");
    let schema = fs::read_to_string(schema).expect("the common schema");
    let files = vec![
        Source { path: name.to_owned(), text },
        Source { path: "schema.risk".to_owned(), text: schema },
    ];
    let sources = Sources { files, artifacts: artifacts() };
    let (program, mut diagnostics) = riskweir::rules::compile(&sources);
    // The amounts of the common schema may be in any currency, which is told of every rule set once.
    if !name.starts_with("w0204") {
        diagnostics.retain(|found| found.code != codes::W0204);
    }
    (sources, program, diagnostics)
}

/// Artifacts of other times and events than the common schema's, and one that is none.
fn artifacts() -> Vec<Binary> {
    let feature = |name: &str, identity: &str, unit| LearnedFeature {
        name: name.to_owned(),
        identity: identity.to_owned(),
        unit,
    };
    let eur = Unit::Minor(Currency::parse("EUR").expect("a currency"));
    let old = [
        feature("amount", "card_payment: amount in CHF", eur),
        feature("pace", "card_payment: [count over last 1h for card]", Unit::Whole),
        feature("risk_score", "card_payment: risk_score", Unit::Whole),
    ];
    let bytes = |event: &str, features: &[LearnedFeature]| {
        artifact(event, features, plain(features)).encode()
    };
    // Read from elsewhere and in another unit than the common schema says; of the time nothing has changed.
    let source =
        |(name, read): (&str, &str)| FieldSource { name: name.to_owned(), read: read.to_owned() };
    let moved = [feature(
        "pace",
        "card_payment: [count(card_payment) by card over last 1h for card]",
        Unit::Whole,
    )];
    let mut moved = artifact("card_payment", &moved, plain(&moved));
    let sources = [
        ("card_payment.at", "time in seconds at /time"),
        ("card_payment.card", "key at /card"),
        ("card_payment.gone", "text at /gone"),
    ];
    moved.fields = sources.map(source).into();
    let damaged = bytes("card_payment", &old).split_last().expect("bytes").1.to_vec();
    let file = |path: &str, bytes: Vec<u8>| Binary { path: path.to_owned(), bytes: bytes.into() };
    vec![
        file("models/cut-off.rwm", damaged),
        file("models/moved.rwm", moved.encode()),
        file("models/no-model.rwm", b"value,expires,note".to_vec()),
        file("models/old.rwm", bytes("card_payment", &old)),
        file("models/slow.rwm", slow(feature("amount", "card_payment: amount in EUR", eur))),
        file("models/transfers.rwm", bytes("transfer", &old)),
    ]
}

/// An artifact of a thousand trees.
fn slow(feature: LearnedFeature) -> Vec<u8> {
    artifact("card_payment", &[feature], forest(&vec![Tree::Leaf(0); 1_000], 1)).encode()
}

fn goldens() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rule_diagnostics");
    let entries = fs::read_dir(folder).expect("the folder of goldens");
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.expect("an entry of the folder").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "risk"));
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    path.file_name().expect("a file name").to_string_lossy().into_owned()
}

/// The rendered diagnostics of one file, and whether they are as expected.
fn check(path: &Path) -> Result<(), String> {
    let name = file_name(path);
    let text = fs::read_to_string(path).expect("a readable rule file");
    let before = fs::read_to_string(path.with_extension("before")).ok();
    let (sources, diagnostics) = compile(&name, text, before);
    let rendered = render::text(&sources, &diagnostics, render::Style::Plain);
    let code = name.split('_').next().unwrap_or_default().to_uppercase();
    if !diagnostics.iter().any(|diagnostic| diagnostic.code.0 == code) {
        return Err(format!("{name} does not show {code}, but:\n{rendered}"));
    }
    let golden = path.with_extension("stderr");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(golden, rendered).expect("a writable golden");
        return Ok(());
    }
    let expected = fs::read_to_string(&golden).unwrap_or_default();
    if expected == rendered {
        return Ok(());
    }
    Err(format!("{name}: expected\n{expected}\nbut it is\n{rendered}"))
}

#[test]
fn every_broken_file_is_told_what_its_golden_says() {
    let paths = goldens();
    assert!(!paths.is_empty(), "there are goldens");
    let failures: Vec<String> = paths.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The text with a comment above every line on which something with this code is told.
fn accepted(sources: &Sources, found: &[Diagnostic], code: &str) -> String {
    let source = &sources.files[0];
    let told = found.iter().filter(|found| found.code.0 == code);
    let lines: BTreeSet<usize> =
        told.map(|found| render::position(source, found.span.start).line).collect();
    let mut text = String::new();
    for (number, line) in (1..).zip(source.text.lines()) {
        if lines.contains(&number) {
            text.push_str(&format!("# accept {code}: it is meant\n"));
        }
        text.push_str(&format!("{line}\n"));
    }
    text
}

#[test]
fn every_warning_can_be_accepted_where_it_is_told() {
    let goldens = goldens();
    let paths = goldens.iter().filter(|path| file_name(path).starts_with('w'));
    let mut codes = BTreeSet::new();
    for path in paths {
        let name = file_name(path);
        let code = name.split('_').next().unwrap_or_default().to_uppercase();
        if code == "W0002" {
            continue;
        }
        let text = fs::read_to_string(path).expect("a readable rule file");
        let before = fs::read_to_string(path.with_extension("before")).ok();
        let (sources, found) = compile(&name, text, before.clone());
        let (_, left) = compile(&name, accepted(&sources, &found, &code), before);
        let told = |code: &str| left.iter().filter(|found| found.code.0 == code).count();
        assert_eq!((told(&code), told("W0002")), (0, 0), "{name}: {left:#?}");
        // What else is told stays.
        let others = found.iter().filter(|found| found.code.0 != code).count();
        assert_eq!(left.len(), others, "{name}: {left:#?}");
        codes.insert(code);
    }
    let all = codes::REGISTRY.iter().map(|info| info.code.0).filter(|code| code.starts_with('W'));
    let missing: Vec<&str> = all.filter(|code| !codes.contains(*code)).collect();
    // W0701 is of the whole rule set.
    assert_eq!(missing, ["W0002", "W0701"]);
}

#[test]
fn every_code_that_is_given_has_a_golden() {
    // Too large to be kept as a file, or many times the same mistake: see the test below, which writes them.
    // W0701 is of a command that is told how many keys there are: see `tests/cli.rs`.
    let elsewhere = ["E0007", "E0008", "E0009", "E0406", "E0513", "W0701"];
    let names: Vec<String> = goldens().iter().map(|path| file_name(path).to_uppercase()).collect();
    for info in codes::REGISTRY {
        let shown = names.iter().any(|name| name.starts_with(info.code.0));
        assert!(shown || elsewhere.contains(&info.code.0), "{} has no golden", info.code.0);
    }
}

/// What the author of a folder with this one file is told, through the loader as `riskweir check` does.
fn codes_of_folder(text: &str) -> Vec<(&'static str, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("large.risk"), text).expect("a file");
    let sources = riskweir::loader::load(folder.path()).expect("a rule folder");
    let found = riskweir::rules::compile(&sources).1;
    found.into_iter().map(|found| (found.code.0, found.message)).collect()
}

#[test]
fn what_is_too_large_or_too_much_is_told_with_the_bound() {
    // One byte more than 1 MiB.
    let comment = format!("#{}", "x".repeat(1 << 20));
    let large = "this file has 1048577 bytes, at most 1048576 are allowed in one file";
    assert_eq!(codes_of_folder(&comment), [("E0007", large.to_owned())]);
    let fits = codes_of_folder(&comment[1..]);
    assert!(fits.iter().all(|(code, _)| *code != "E0007"), "{fits:?}");

    let mistakes = codes_of_folder(&"rule r on e when 1 < f < 3 then alert\n".repeat(101));
    assert_eq!(mistakes.iter().filter(|(code, _)| *code == "E0008").count(), 1, "{mistakes:?}");

    let nested = |n: usize| {
        let (open, close) = ("(".repeat(n), ")".repeat(n));
        let event = "event e from \"t\" id i : text time at : time field f : bool ";
        format!("{event} rule r mode shadow on e when {open}f{close} then alert")
    };
    let deep = codes_of_folder(&nested(100));
    assert_eq!(deep.iter().map(|found| found.0).collect::<Vec<_>>(), ["E0009"], "{deep:?}");
    let flat = codes_of_folder(&nested(10));
    assert!(flat.iter().all(|(code, _)| *code != "E0009"), "{flat:?}");
}

#[test]
fn an_event_with_more_slots_than_a_row_holds_and_a_rule_too_many_are_told() {
    let event = |n: usize| {
        let fields: Vec<String> = (0..n).map(|n| format!("  field f{n} : integer\n")).collect();
        let fields = fields.concat();
        format!("event e from \"t\"\n  id i : text\n  time at : time\n{fields}")
    };
    let wide = codes_of_folder(&event(200));
    assert!(wide.iter().any(|(code, _)| *code == "E0513"), "{wide:?}");
    let rules: Vec<String> = (0..10_001)
        .map(|n| format!("rule r{n} mode shadow on e when f0 = 1 then alert\n"))
        .collect();
    let many = codes_of_folder(&format!("{}{}", event(1), rules.concat()));
    let message = "10001 rules, at most 10000 are possible".to_owned();
    assert!(many.contains(&("E0513", message)), "{:?}", many.iter().take(3).collect::<Vec<_>>());
}

#[test]
fn more_questions_of_one_table_than_ids_are_told() {
    let event = "event e from \"t\" id i : text time at : time key k : text\n";
    let one = Source { path: "event.risk".to_owned(), text: event.to_owned() };
    // 66 rules of 1,000 windows, each another one: more than the 65,000 that one table can be asked.
    let rules = (0..66).map(|rule| {
        let windows =
            (1..=1_000).map(|n| format!("count(e) by k over last {}s>9", rule * 1_000 + n));
        let windows = windows.collect::<Vec<_>>().join(" or ");
        let text = format!("rule r{rule} mode shadow on e when {windows} then alert\n");
        Source { path: format!("r{rule}.risk"), text }
    });
    let sources = Sources::of(std::iter::once(one).chain(rules).collect());
    let (program, found) = riskweir::rules::compile(&sources);
    assert!(program.is_none(), "it has no program");
    let found: Vec<_> = found.iter().map(|found| (found.code.0, found.message.as_str())).collect();
    let message = "the rules need more than 65000 state tables or questions of one table";
    assert_eq!(found, [("E0406", message)]);
}

#[test]
fn any_number_of_warnings_refuses_no_rule_set_and_hides_no_error() {
    let event =
        "event e from \"t\" id i : text time at : time field f : integer? field g : integer\n";
    let rules: Vec<String> = (0..1_200)
        .map(|n| format!("rule r{n} mode shadow on e when f = {n} then alert\n"))
        .collect();
    let text = format!("{event}{}", rules.concat());
    let warned = codes_of_folder(&text);
    assert!(warned.len() == 1_000 && warned.iter().all(|(code, _)| code.starts_with('W')));
    let broken = codes_of_folder(&format!("{text}rule z mode shadow on e when h = 1 then alert\n"));
    assert_eq!(broken.iter().map(|found| found.0).collect::<Vec<_>>(), ["E0101"], "{broken:?}");
}

#[test]
fn every_code_has_a_page_and_every_page_a_code() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    for info in codes::REGISTRY {
        let page = folder.join(format!("{}.md", info.code.0));
        let text = fs::read_to_string(&page).unwrap_or_default();
        let heading = format!("# {}: {}\n", info.code.0, info.title);
        assert!(text.starts_with(&heading), "{} begins with {heading:?}", page.display());
        for part in ["```risk\n", "**Cause.**", "**Mend.**"] {
            assert!(text.contains(part), "{} has {part:?}", page.display());
        }
    }
    for entry in fs::read_dir(folder).expect("the folder of pages") {
        let name = file_name(&entry.expect("an entry of the folder").path());
        let code = name.trim_end_matches(".md");
        // Pages of `D...` codes are about records: see the tests of decoding.
        let of_rules = code.starts_with(['E', 'W']);
        assert!(!of_rules || codes::find(code).is_some(), "{name} has no code");
    }
}

/// The `risk` fences of a page: the mistake, then the mended rule.
fn fences(page: &str) -> Vec<&str> {
    let begins = page.split("```risk\n").skip(1);
    begins.map(|rest| rest.split("```").next().unwrap_or_default()).collect()
}

/// The codes that the grammar finds in a text.
fn grammar_codes(text: &str) -> Vec<&'static str> {
    let (_, diagnostics) = syntax::parse(FileId(0), text);
    diagnostics.iter().map(|diagnostic| diagnostic.code.0).collect()
}

#[test]
fn the_examples_of_the_pages_are_what_they_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    let too_large_for_a_page = ["E0007", "E0008", "E0009"];
    for info in codes::REGISTRY {
        let code = info.code.0;
        let page = fs::read_to_string(folder.join(format!("{code}.md"))).expect("a page");
        let fences = fences(&page);
        assert_eq!(fences.len(), 2, "{code}: a mistake and its mend");
        assert_eq!(grammar_codes(fences[1]), Vec::<&str>::new(), "{code}: the mended rule");
        let of_grammar = code.starts_with("E00") || ["E0501", "E0502"].contains(&code);
        if of_grammar && !too_large_for_a_page.contains(&code) {
            assert!(grammar_codes(fences[0]).contains(&code), "{code}: the mistake");
        }
        if !of_grammar {
            assert_eq!(
                grammar_codes(fences[0]),
                Vec::<&str>::new(),
                "{code}: the grammar of the mistake"
            );
        }
    }
}
