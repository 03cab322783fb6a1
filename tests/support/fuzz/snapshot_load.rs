//! Any bytes as a snapshot: as a file, as a file whose checksums were mended (so that what lies behind them is reached),
//! and as the parts themselves. The answer is an engine or an error; an engine goes on, and is saved and restored again.
//!
//! That nothing large is allocated for a small input is for the fuzzer to see (`-malloc_limit_mb`).

use std::sync::{Arc, LazyLock};

use riskweir::diag::{Source, Sources};
use riskweir::durable::Header;
use riskweir::durable::container::{ContainerReader, ContainerWriter, Next};
use riskweir::engine::{Engine, EngineOptions, Input, Output, Restore, SnapshotStatus};
use riskweir::rules::program::Program;
use xxhash_rust::xxh3::{Xxh3, xxh3_64_with_seed};

use crate::support::dice::Dice;
use crate::support::fuzz::events;

static PROGRAM: LazyLock<Arc<Program>> = LazyLock::new(|| {
    let text = include_str!("snapshot.risk").to_owned();
    let files = vec![Source { path: "a.risk".to_owned(), text }];
    let (program, report) = riskweir::rules::compile(&Sources::of(files));
    Arc::new(program.unwrap_or_else(|| panic!("{report:#?}")))
});

const PRELUDE_BYTES: usize = 24;
/// Kind, two lengths and checksum of a frame.
const FRAME_HEAD_BYTES: usize = 17;
/// Kind, three counts, checksum and mark of the end.
const TRAILER_BYTES: usize = 41;
/// Frames that promise more are left as they are.
const MAX_RAW_BYTES: usize = 1 << 20;
/// Records that a restored engine takes.
const RECORDS: i64 = 8;

fn options() -> EngineOptions {
    EngineOptions { exact_events_per_key: 3, dedupe_max_ids: 100, ..EngineOptions::default() }
}

pub(crate) fn run(data: &[u8]) {
    restores(data);
}

/// Does it, and says whether there was an engine.
pub(crate) fn restores(data: &[u8]) -> bool {
    let whole = of_file(data);
    let mended = mended(data).is_some_and(|mended| of_file(&mended));
    let mut restore = Restore::new(Arc::clone(&PROGRAM), options());
    let parts = restore.part(data).is_ok() && go_on(restore);
    whole || mended || parts
}

fn of_file(data: &[u8]) -> bool {
    let Ok(mut reader) = ContainerReader::open(data) else { return false };
    let mut restore = Restore::new(Arc::clone(&PROGRAM), options());
    let mut part = Vec::new();
    loop {
        match reader.next_part(&mut part) {
            Ok(Next::Part) if restore.part(&part).is_ok() => {}
            Ok(Next::End) => return go_on(restore),
            Ok(Next::Part) | Err(_) => return false,
        }
    }
}

fn go_on(restore: Restore) -> bool {
    let Ok(mut engine) = restore.finish() else { return false };
    decide(&mut engine, Dice::new(11), RECORDS);
    let bytes = parts(&mut engine).concat();
    let mut again = Restore::new(Arc::clone(&PROGRAM), options());
    again.part(&bytes).expect("what an engine wrote can be read");
    let again = again.finish().expect("what an engine wrote is whole");
    assert_eq!(again.digest(), engine.digest());
    true
}

fn decide(engine: &mut Engine, mut dice: Dice, n: i64) {
    let mut out: Vec<Output> = Vec::new();
    for offset in 0..n {
        let record = events::record(&PROGRAM.schema, &mut dice);
        let partition = i32::from(dice.one_in(3));
        let stream = engine.open_stream("payments", partition);
        let payload = Some(record.text.as_bytes());
        engine.step(&Input { stream, offset, arrival_ms: None, payload }, &mut out);
    }
}

/// A snapshot in parts of about this many bytes.
fn parts(engine: &mut Engine) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    engine.begin_snapshot();
    loop {
        let mut part = Vec::new();
        let status = engine.snapshot_part(2_000, &mut part);
        parts.push(part);
        if status != SnapshotStatus::More {
            return parts;
        }
    }
}

/// A true snapshot: the bytes of its parts, and the file.
pub(crate) fn sound(n_records: i64) -> (Vec<u8>, Vec<u8>) {
    let mut engine = Engine::new(Arc::clone(&PROGRAM), options()).expect("the rules are prepared");
    decide(&mut engine, Dice::new(3), n_records);
    let parts = parts(&mut engine);
    let header = Header {
        product_version: "0".to_owned(),
        shard: "s".to_owned(),
        sequence: 1,
        epoch: 0,
        ruleset: PROGRAM.digest.to_string(),
        engine_digest: String::new(),
        positions: Vec::new(),
        event_time_ms: None,
        created_at_ms: 0,
    };
    let mut file = Vec::new();
    let mut writer = ContainerWriter::begin(&header, &mut file).expect("a small header");
    for part in &parts {
        writer.part(part, &mut file).expect("a small part");
    }
    writer.finish(&mut file);
    (parts.concat(), file)
}

/// The file with all checksums and counts as they should be, as far as its lengths lead.
fn mended(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    let word = |bytes: &[u8], at: usize| -> Option<usize> {
        let word = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?);
        usize::try_from(word).ok()
    };
    let put = |bytes: &mut [u8], at: usize, chain: u64| {
        bytes.get_mut(at..at + 8)?.copy_from_slice(&chain.to_le_bytes());
        Some(())
    };
    let mut chain = xxh3_64_with_seed(bytes.get(..16)?, 0);
    put(&mut bytes, 16, chain)?;
    let end = PRELUDE_BYTES + word(&bytes, 12)?;
    chain = xxh3_64_with_seed(bytes.get(PRELUDE_BYTES..end)?, chain);
    put(&mut bytes, end, chain)?;
    let mut at = end + 8;
    let (mut n_frames, mut n_raw) = (0_u64, 0_u64);
    while bytes.get(at) == Some(&1) {
        let stored = at + FRAME_HEAD_BYTES;
        // A part may unfold to as much as a part may have; that bound is tested where containers are.
        let small = word(&bytes, at + 1)? <= MAX_RAW_BYTES;
        let end = word(&bytes, at + 5).map(|n| stored + n).filter(|n| *n <= bytes.len());
        let Some(end) = end.filter(|_| small) else { return Some(bytes) };
        let mut hasher = Xxh3::with_seed(chain);
        hasher.update(bytes.get(at + 1..at + 9)?);
        hasher.update(bytes.get(stored..end)?);
        chain = hasher.digest();
        put(&mut bytes, at + 9, chain)?;
        n_frames += 1;
        n_raw += word(&bytes, at + 1)? as u64;
        at = end;
    }
    if bytes.get(at) == Some(&2) && bytes.len() >= at + TRAILER_BYTES {
        let counts = [n_frames, n_raw, at as u64];
        for (index, count) in counts.into_iter().enumerate() {
            put(&mut bytes, at + 1 + index * 8, count)?;
        }
        let checksum = xxh3_64_with_seed(bytes.get(at + 1..at + 25)?, chain);
        put(&mut bytes, at + 25, checksum)?;
    }
    Some(bytes)
}
