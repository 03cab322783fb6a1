//! Rule texts through the compiler and what it accepts through the engine.
//!
//! The first byte says how the others are read: as a tape of choices for the writer of random rule sets, as rules on
//! that writer's schema, or as a whole file. Programs of the first two kinds are held against the reference
//! interpreter; all programs take a few records.

use std::sync::Arc;

use riskweir::diag::Severity;
use riskweir::engine::{Engine, EngineOptions, Input, Output, SnapshotStatus};
use riskweir::rules::program::Program;

use crate::support::artifacts::{plain, with_artifacts};
use crate::support::dice::Dice;
use crate::support::duel::duel;
use crate::support::fuzz::{events, rule_parse};
use crate::support::rule_text::{Author, SCHEMA, sources};
use crate::support::stream::Stream;

/// First byte of an input that is a tape of choices.
pub(crate) const TAPE: u8 = b't';
/// First byte of an input that is rules without a schema.
pub(crate) const RULES: u8 = b'r';
/// First byte of an input that is a whole file.
pub(crate) const WHOLE: u8 = b'w';

const DUEL_EVENTS: usize = 12;
const RECORDS: i64 = 12;
/// Rules beyond this are slow to judge and say nothing new.
const MAX_TEXT_BYTES: usize = 64 << 10;

pub(crate) fn run(data: &[u8]) {
    compiles(data);
}

/// Does it, and says whether there was a program.
pub(crate) fn compiles(data: &[u8]) -> bool {
    let Some((mode, rest)) = data.split_first().filter(|(_, rest)| rest.len() <= MAX_TEXT_BYTES)
    else {
        return false;
    };
    match *mode {
        TAPE => of_tape(rest),
        RULES => of_rules(rest),
        _ => of_file(rest),
    }
}

fn of_tape(tape: &[u8]) -> bool {
    let mut author = Author::new(Dice::from(tape));
    let text = author.file(3);
    let Some(program) = compiled(&text) else { return false };
    let mut stream = Stream::new(&program.schema, author.dice.clone());
    duel("a tape", &text, &program, (&mut stream, DUEL_EVENTS));
    through_the_engine(program, author.dice);
    true
}

fn of_rules(rules: &[u8]) -> bool {
    let Ok(rules) = core::str::from_utf8(rules) else { return false };
    let text = format!("{SCHEMA}{rules}");
    let Some(program) = compiled(&text) else { return false };
    // A schema that the rules add to has fields and events that the stream does not know.
    if program.schema.events.len() == 2 && program.lists.len() == 2 {
        let mut stream = Stream::new(&program.schema, Dice::new(7));
        duel("rules", &text, &program, (&mut stream, DUEL_EVENTS));
    }
    through_the_engine(program, Dice::new(7));
    true
}

fn of_file(text: &[u8]) -> bool {
    let Some(program) = core::str::from_utf8(text).ok().and_then(compiled) else { return false };
    through_the_engine(program, Dice::new(7));
    true
}

/// The program, if there is one; the report is looked at.
fn compiled(text: &str) -> Option<Program> {
    let mut sources = sources(text);
    if text.contains("learned") {
        sources = with_artifacts(sources, plain);
    }
    let (program, report) = riskweir::rules::compile(&sources);
    rule_parse::check_report(&sources, &report);
    let failed = report.iter().any(|found| found.severity() == Severity::Error);
    assert_eq!(program.is_none(), failed, "there is a program exactly without an error");
    program
}

/// Decides records of the program's schema; what comes out is JSON.
fn through_the_engine(program: Program, mut dice: Dice) {
    if program.schema.events.is_empty() {
        return;
    }
    let program = Arc::new(program);
    let mut engine = Engine::new(Arc::clone(&program), EngineOptions::default())
        .unwrap_or_else(|error| panic!("what compiles can be prepared: {error}"));
    let mut out: Vec<Output> = Vec::new();
    for offset in 0..RECORDS {
        let record = events::record(&program.schema, &mut dice);
        let stream = engine.open_stream("t", 0);
        let payload = Some(record.text.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut out);
    }
    for output in &out {
        let body: Result<serde_json::Value, _> = serde_json::from_slice(&output.body);
        assert!(body.is_ok(), "{}", String::from_utf8_lossy(&output.body));
    }
    engine.begin_snapshot();
    let mut bytes = Vec::new();
    while engine.snapshot_part(1 << 20, &mut bytes) == SnapshotStatus::More {}
}
