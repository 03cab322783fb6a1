//! The fuzz targets without a fuzzer: every body over the corpus and over a bounded number of seeded changes to it. The
//! same inputs on every run. How to fuzz in earnest stands in `docs/RELIABILITY.md`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails where it stands")]

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use crate::support::dice::Dice;
use crate::support::fuzz::{TARGETS, mapping, rule_compile_eval, seeds, snapshot_load};

mod support;

/// Largest file of a corpus, and largest corpus.
const MAX_SEED_BYTES: u64 = 16 << 10;
const MAX_CORPUS_BYTES: u64 = 1 << 20;

/// What grammars are made of.
const WORDS: [&[u8]; 40] = [
    b"rule",
    b"when",
    b"over last 10s",
    b"by card",
    b"count(pay)",
    b"if missing",
    b"then",
    b"hold for ",
    b"99999999999",
    b"-9223372036854775808",
    b"1e999",
    b"0.0000001",
    b"EUR",
    b"%",
    b" of ",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"{",
    b"}",
    b"[",
    b"]",
    b"(",
    b")",
    b"null",
    b"true",
    b"\n",
    b"\0",
    b"\xff",
    b"\xef\xbb\xbf",
    b"${env:",
    b": ",
    b"&a ",
    b"*a",
    b"- ",
    b"event ",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x80\x80\x80\x01",
    b"distinct(",
    b" and not ",
];

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// Files of a corpus by name.
fn corpus(target: &str) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder(target)).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(&path).unwrap())
    };
    paths.map(read).collect()
}

/// Runs one input; one that fails is kept, so that it can be looked at and run again.
fn attempt(target: &str, body: fn(&[u8]), origin: &str, input: &[u8]) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{target}-{origin}"));
        fs::write(&kept, input).unwrap();
        let text = cause.downcast_ref::<String>().map(String::as_str);
        let text = text.or(cause.downcast_ref::<&str>().copied()).unwrap_or_default();
        panic!("{target} over {origin}: {text}\nthe input is kept as {}", kept.display());
    }
}

/// Changes an input in one to four places: flipped bits, cut ends, repeated pieces, pieces of another, words.
fn change(dice: &mut Dice, input: &mut Vec<u8>, other: &[u8]) {
    let below = |dice: &mut Dice, n: usize| usize::try_from(dice.below(n as u64 + 1)).unwrap();
    for _ in 0..=dice.below(4) {
        let at = below(dice, input.len());
        match dice.below(7) {
            0 | 1 if at < input.len() => input[at] ^= 1 << dice.below(8),
            2 => input.truncate(at),
            3 => {
                let end = (at + below(dice, 32)).min(input.len());
                input.drain(at..end);
            }
            4 => {
                let piece = input[at..(at + below(dice, 64)).min(input.len())].to_vec();
                input.splice(at..at, piece);
            }
            5 => {
                let from = below(dice, other.len());
                let piece = &other[from..(from + below(dice, 200)).min(other.len())];
                input.splice(at..at, piece.iter().copied());
            }
            _ => {
                let word = dice.pick(&WORDS);
                let end = if dice.one_in(2) { at } else { (at + word.len()).min(input.len()) };
                input.splice(at..end, word.iter().copied());
            }
        }
    }
}

fn smoke(target: &str, n_changes: u64) {
    let (_, body) = *TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let corpus = corpus(target);
    assert!(!corpus.is_empty(), "no seeds for {target}");
    let all: Vec<(&String, &Vec<u8>)> = corpus.iter().collect();
    for (name, bytes) in &corpus {
        attempt(target, body, name, bytes);
    }
    let mut dice = Dice::new(n_changes);
    for number in 0..n_changes {
        let (name, mut input) = (dice.pick(&all).0, dice.pick(&all).1.clone());
        let other = dice.pick(&all).1;
        change(&mut dice, &mut input, other);
        attempt(target, body, &format!("change-{number}-{name}"), &input);
    }
}

#[test]
fn any_record_is_decoded_or_refused() {
    smoke("record_decode", 8_000);
}

#[test]
fn any_value_in_any_field_is_mapped_as_declared_or_refused() {
    smoke("mapping", 6_000);
}

#[test]
fn any_text_is_parsed_with_places_inside_of_it() {
    smoke("rule_parse", 4_000);
}

#[test]
fn any_rules_that_compile_are_judged_as_the_reference_judges_them() {
    smoke("rule_compile_eval", 1_500);
}

#[test]
fn any_snapshot_is_restored_or_refused() {
    smoke("snapshot_load", 6_000);
}

#[test]
fn any_configuration_is_loaded_or_refused() {
    smoke("config", 4_000);
}

#[test]
fn the_made_seeds_are_in_the_corpus_and_all_of_it_is_small() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    for seed in seeds::all() {
        let path = folder(seed.target).join(&seed.name);
        if update {
            fs::create_dir_all(folder(seed.target)).unwrap();
            fs::write(&path, &seed.bytes).unwrap();
        }
        assert!(path.exists(), "{} is missing: UPDATE_GOLDEN=1 writes it", path.display());
    }
    let mut total = 0;
    for (target, _) in TARGETS {
        for (name, bytes) in corpus(target) {
            let size = bytes.len() as u64;
            assert!(size <= MAX_SEED_BYTES, "{target}/{name} has {size} bytes");
            total += size;
        }
    }
    assert!(total <= MAX_CORPUS_BYTES, "{total} bytes of corpus");
}

/// Targets that were given nothing but what is refused would prove nothing.
#[test]
fn the_made_seeds_reach_what_lies_behind_the_refusals() {
    for seed in seeds::all() {
        let reached = match seed.target {
            "rule_compile_eval" => rule_compile_eval::compiles(&seed.bytes),
            "snapshot_load" => snapshot_load::restores(&seed.bytes),
            _ => continue,
        };
        assert!(reached, "{}/{} is refused", seed.target, seed.name);
    }
    let mut dice = Dice::new(5);
    let tapes =
        (0..200).map(|_| (0..120).map(|_| dice.word().to_le_bytes()[0]).collect::<Vec<u8>>());
    let n_taken: usize = tapes.map(|tape| mapping::taken(&tape)).sum();
    assert!((200..600).contains(&n_taken), "{n_taken} of 800 records of random schemas are taken");
}
