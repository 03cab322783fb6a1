//! The formatter on random rule sets, on files whose space and comments were shaken, and on everything that is shipped:
//! the same words, the same comments, the same program, and nothing left to do the second time.
#![expect(clippy::unwrap_used, reason = "a test fails where it stands")]
#![expect(clippy::panic, reason = "a test says what it was about when it fails")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;
use riskweir::diag::{FileId, Source, Sources};
use riskweir::loader::load;
use riskweir::rules::compile;
use riskweir::rules::format::format;
use riskweir::rules::program::Program;
use riskweir::rules::syntax::lexer::lex;

use crate::support::dice::Dice;
use crate::support::rule_text::{Author, LISTS};

/// What a text says: its tokens, and its comments with the token that each stands before.
fn said(text: &str) -> (Vec<String>, Vec<(usize, String)>) {
    let lexed = lex(FileId(0), text);
    assert!(lexed.diagnostics.is_empty(), "{text}");
    let place = |start| lexed.tokens.partition_point(|token| token.span.start < start);
    let comments =
        lexed.comments.iter().map(|comment| (place(comment.span.start), comment.text.clone()));
    let tokens = lexed.tokens.iter().map(|token| format!("{:?}", token.kind));
    (tokens.collect(), comments.collect())
}

#[track_caller]
fn check(text: &str) -> String {
    let once = format(text).unwrap_or_else(|refusal| panic!("{refusal:?}\n{text}"));
    assert_eq!(said(text), said(&once), "it says the same:\n{text}\n=>\n{once}");
    let twice = format(&once).unwrap_or_else(|refusal| panic!("{refusal:?}\n{once}"));
    assert_eq!(once, twice, "formatting twice is formatting once");
    once
}

fn is_rules(source: &Source) -> bool {
    Path::new(&source.path).extension().is_some_and(|kind| kind == "risk")
}

/// Everything that a program does, without where it was written.
fn meaning(program: &Program) -> String {
    let Program {
        schema,
        lists,
        models,
        tables,
        rules,
        plans,
        groups,
        policy,
        hold_bounds,
        tests,
        ..
    } = program;
    let all = format!(
        "{schema:#?}{lists:#?}{models:#?}{tables:#?}{rules:#?}{plans:#?}{groups:#?}{policy:#?}{hold_bounds:#?}{tests:#?}"
    );
    let span =
        Regex::new(r"Span \{\s*file: FileId\(\s*\d+,?\s*\),\s*start: \d+,\s*end: \d+,?\s*\}");
    span.unwrap().replace_all(&all, "Span").into_owned()
}

#[track_caller]
fn check_program(sources: &Sources) {
    let formatted = sources.files.iter().map(|source| {
        let text = if is_rules(source) { check(&source.text) } else { source.text.clone() };
        Source { path: source.path.clone(), text }
    });
    let formatted = Sources { files: formatted.collect(), artifacts: sources.artifacts.clone() };
    let (before, found) = compile(sources);
    let (after, found_after) = compile(&formatted);
    assert_eq!(found.len(), found_after.len());
    match (before, after) {
        (Some(before), Some(after)) => assert_eq!(meaning(&before), meaning(&after)),
        (before, after) => assert_eq!(before.is_some(), after.is_some()),
    }
}

/// The text with other space between its tokens, and comments strewn in.
fn shaken(text: &str, dice: &mut Dice) -> String {
    let lexed = lex(FileId(0), text);
    let mut out = String::new();
    for (n, token) in lexed.tokens.iter().enumerate() {
        let own = format!("\n# own {n}\n\n");
        let (behind, inside) = (format!(" # c {n}\n"), format!("\n  # in {n}\n"));
        let gaps = [" ", "  ", "\n", "\n\n\n", "\t", "\r\n", &own, &behind, &inside];
        out.push_str(dice.pick(&gaps));
        out.push_str(&text[token.span.start as usize..token.span.end as usize]);
    }
    out
}

fn random_files(text: String) -> Sources {
    let list = |(name, members): &(&str, &[&str])| Source {
        path: format!("{name}.csv"),
        text: members.join("\n"),
    };
    let mut files = vec![Source { path: "random.risk".to_owned(), text }];
    files.extend(LISTS.iter().map(list));
    Sources::of(files)
}

#[test]
fn random_rule_sets_keep_their_words_and_their_program() {
    for seed in 0..150 {
        let text = Author::new(Dice::new(seed)).file(4);
        check_program(&random_files(text));
    }
}

#[test]
fn files_with_shaken_space_and_strewn_comments_come_out_stable() {
    for seed in 0..150 {
        let text = Author::new(Dice::new(seed)).file(3);
        let shaken = shaken(&text, &mut Dice::new(seed ^ 0x5eed));
        check_program(&random_files(shaken));
    }
}

fn rule_folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders = vec![root.join("rules")];
    for parent in ["examples", "starters"] {
        for entry in fs::read_dir(root.join(parent)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    folders.sort();
    folders
}

#[test]
fn shipped_rules_keep_their_words_and_their_program() {
    for folder in rule_folders() {
        check_program(&load(&folder).unwrap());
    }
}

#[test]
fn shipped_rules_shaken_keep_their_words() {
    let mut dice = Dice::new(7);
    for folder in rule_folders() {
        for source in load(&folder).unwrap().files {
            if is_rules(&source) {
                check(&shaken(&source.text, &mut dice));
            }
        }
    }
}

#[test]
fn shipped_rules_are_in_the_style() {
    for folder in rule_folders() {
        for source in load(&folder).unwrap().files {
            if is_rules(&source) {
                assert_eq!(
                    format(&source.text).unwrap(),
                    source.text,
                    "{}: run `riskweir fmt`",
                    source.path
                );
            }
        }
    }
}
