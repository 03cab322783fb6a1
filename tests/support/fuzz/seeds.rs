//! The seeds of the corpus that are made, not found: shipped rules, examples, made-up traffic, hostile records, true
//! snapshots. `UPDATE_GOLDEN=1 cargo test --test fuzz_smoke` writes them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use riskweir::demo::traffic::{Traffic, TrafficConfig};

use crate::support::dice::Dice;
use crate::support::fuzz::{rule_compile_eval, snapshot_load};
use crate::support::rule_text::{Author, SCHEMA};

/// One file of the corpus.
pub(crate) struct Seed {
    pub(crate) target: &'static str,
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
}

/// Kinds of made-up records that are looked for among so many.
const TRAFFIC_RECORDS: usize = 3_000;
const TAPES: u64 = 8;

pub(crate) fn all() -> Vec<Seed> {
    let mut seeds = Vec::new();
    records(&mut seeds);
    rules(&mut seeds);
    configurations(&mut seeds);
    for (name, n_records) in [("empty", 0), ("small", 4), ("full", 16)] {
        let (parts, file) = snapshot_load::sound(n_records);
        seeds.push(seed("snapshot_load", &format!("{name}.parts"), parts));
        seeds.push(seed("snapshot_load", &format!("{name}.rws"), file));
    }
    for number in 0..TAPES {
        let mut dice = Dice::new(number);
        let tape: Vec<u8> = (0..120).map(|_| dice.word().to_le_bytes()[3]).collect();
        seeds.push(seed("mapping", &format!("tape-{number}"), tape.clone()));
        let marked = [&[rule_compile_eval::TAPE], &tape[..]].concat();
        seeds.push(seed("rule_compile_eval", &format!("tape-{number}"), marked));
        let text = Author::new(Dice::new(number)).file(2);
        let rules = text.strip_prefix(SCHEMA).expect("the schema comes first");
        let marked = [&[rule_compile_eval::RULES], rules.as_bytes()].concat();
        seeds.push(seed("rule_compile_eval", &format!("rules-{number}"), marked));
    }
    seeds
}

fn seed(target: &'static str, name: &str, bytes: impl Into<Vec<u8>>) -> Seed {
    Seed { target, name: name.to_owned(), bytes: bytes.into() }
}

/// One record of each kind of made-up traffic, and rows H1 to H10 and H14 of the list of input faults.
fn records(seeds: &mut Vec<Seed>) {
    let mut kinds = BTreeSet::new();
    let mut whole = String::new();
    for event in Traffic::new(TrafficConfig::default()).take(TRAFFIC_RECORDS) {
        let Ok(body) = serde_json::from_slice::<serde_json::Value>(&event.body) else { continue };
        let kind = body.pointer("/type").or(body.pointer("/header/type"));
        let Some(kind) = kind.and_then(|kind| kind.as_str()) else { continue };
        if kinds.insert(kind.to_owned()) {
            seeds.push(seed("record_decode", &format!("{kind}.json"), event.body.clone()));
            if kind == "card_payment" {
                whole = body.to_string();
            }
        }
    }
    assert!(kinds.len() > 5 && !whole.is_empty(), "{kinds:?}");
    let with = |members: &str| format!("{{{members},{}", &whole[1..]);
    let hostile: [(&str, Vec<u8>); 16] = [
        ("h1-not-utf8", b"{\"id\":\"\xff\xed\xa0\x80\"}".to_vec()),
        ("h1-mark", [b"\xef\xbb\xbf", whole.as_bytes()].concat()),
        ("h1-nul", with("\"x\":\"a\0b\"").into()),
        ("h1-empty", b" \n\t ".to_vec()),
        ("h2-long-text", with(&format!("\"x\":\"{}\"", "x".repeat(4_100))).into()),
        ("h2-long-array", with(&format!("\"x\":[{}1]", "1,".repeat(2_000))).into()),
        ("h3-deep", "[".repeat(300).into()),
        ("h3-deep-inside", with(&format!("\"x\":{}{}", "[".repeat(60), "]".repeat(60))).into()),
        ("h4-twice", with("\"type\":\"login\"").into()),
        ("h4-twice-escaped", with("\"\\u0074ype\":\"login\"").into()),
        (
            "h5-numbers",
            with("\"x\":[1e999,-0,-0.0,0.1,9999999999999999999999999999999999999999]").into(),
        ),
        ("h5-nan", with("\"x\":NaN").into()),
        (
            "h6-negative",
            whole.replace("\"amount\":{\"value\":\"", "\"amount\":{\"value\":\"-").into(),
        ),
        ("h7-currency", whole.replace("EUR", "XXX").into()),
        ("h8-future", whole.replace("\"2026", "\"9026").into()),
        (
            "h14-keys",
            with(&(0..400).map(|n| format!("\"k{n}\":{n}")).collect::<Vec<_>>().join(",")).into(),
        ),
    ];
    for (name, bytes) in hostile {
        seeds.push(seed("record_decode", &format!("{name}.json"), bytes));
    }
    seeds.push(seed(
        "record_decode",
        "cells.csv",
        "/type,login\n/id,1\n/created_at,2026-01-01T00:00:00Z\n",
    ));
}

/// The first rule file of each shipped folder as it is; with everything that it needs for the compiler.
fn rules(seeds: &mut Vec<Seed>) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &Path| fs::read_to_string(path).expect("a file of the repository");
    let mut basis = String::new();
    for path in ["policy.risk", "lists.risk", "schema/wallet.risk", "schema/bank.risk"] {
        basis.push_str(&read(&root.join("rules").join(path)));
    }
    let mut paths = Vec::new();
    for folder in ["rules", "examples"] {
        let mut folders: Vec<PathBuf> = entries(&root.join(folder));
        folders.retain(|path| path.is_dir());
        for inner in folders {
            paths.extend(
                entries(&inner)
                    .into_iter()
                    .find(|path| path.extension().is_some_and(|e| e == "risk")),
            );
        }
    }
    for path in paths {
        let is_example = path.starts_with(root.join("examples"));
        // WHY: several examples have files of one name.
        let named = if is_example { path.parent().expect("a folder") } else { &path };
        let name = named.file_stem().expect("a name").to_string_lossy() + ".risk";
        let text = read(&path);
        seeds.push(seed("rule_parse", &name, text.clone()));
        let whole =
            if text.starts_with("event ") || is_example { text } else { format!("{basis}{text}") };
        let marked = [&[rule_compile_eval::WHOLE], whole.as_bytes()].concat();
        if marked.len() < 16_000 {
            seeds.push(seed("rule_compile_eval", &name, marked));
        }
    }
    let broken = "rule r\n on (((((((((((((( \"\\u{1f600}\n\t# \u{202e}\u{0}ä\n when 9999999999999999999999 EUR < 1.5.5 \
                  and not not not x in [1, \n then hold for 99999999999999h message \"{{{a}\"\nevent e\n list l";
    seeds.push(seed("rule_parse", "broken", broken));
    seeds.push(seed("rule_parse", "deep", format!("rule r when {}", "not (".repeat(200))));
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of the repository");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn configurations(seeds: &mut Vec<Seed>) {
    const SMALL: &str = "kafka: {brokers: [k:9092]}\n";
    let all = riskweir::config::example::text();
    let env = format!(
        "{SMALL}\0RISKWEIR__RULES__PATH=r\nRISKWEIR__KAFKA__RDKAFKA__FETCH_MIN_BYTES=9\nX=1"
    );
    let flags =
        format!("{SMALL}\0\0state.max_bytes=1GiB\ntime.allowed_lateness=5m\nkafka.brokers=[a,b]");
    let fill = "kafka: {brokers: ['${env:A}:1'], group_id: '$${x} ${env:B'}\0A=b\nB=c".to_owned();
    let aliases = "a: &a [1,2,3]\nb: &b [*a,*a,*a]\nkafka: {brokers: *b}\n".to_owned();
    let odd = "%YAML 1.2\n---\nkafka: !!map\n  ? [a]\n  : |\n    x\n  brokers: !t 5\n---\n...\n"
        .to_owned();
    let deep = format!("kafka: {}", "[".repeat(200));
    let deep_block = "- ".repeat(6_000);
    let twice = format!("{SMALL}{SMALL}delivry: {{mode: 1.5e400}}\n");
    for (name, text) in [
        ("all", all),
        ("small", SMALL.to_owned()),
        ("environment", env),
        ("flags", flags),
        ("references", fill),
        ("aliases", aliases),
        ("odd", odd),
        ("deep", deep),
        ("deep-block", deep_block),
        ("twice", twice),
    ] {
        seeds.push(seed("config", name, text));
    }
}
