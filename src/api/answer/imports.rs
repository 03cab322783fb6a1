//! A file of labels: each line checked as the service would, then all of them written, or none.
//!
//! It is the import of the command line by another way: the same lines are taken, and a line makes the same record, so whoever is
//! not sure that an import came through sends the file again, on either way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use tokio::sync::oneshot;

use crate::api::acts::{self, By};
use crate::api::answer::rules::heavy;
use crate::api::call::{Call, Reply};
use crate::api::commands::{command_id, traceparent};
use crate::api::dispatch::media_type;
use crate::api::problem::{
    BAD_LINES, BAD_PARAMETER, LOG_UNAVAILABLE, NOT_CONFIGURED, NOT_READY, Problem,
};
use crate::api::state::{State, now_ms};
use crate::backtest::input::{Format, sent};
use crate::backtest::label_records::{Bad, Guards, Read, Reader, Record, Unusable};
use crate::base::text::counted;
use crate::decision::command::{Act, Deed};
use crate::runtime::{Fate, Letter, Unwritten};

/// One JSON object a line.
pub(crate) const NDJSON: &str = "application/x-ndjson";
/// A header line, then one record a line.
pub(crate) const CSV: &str = "text/csv";

/// Most bad lines that are told in words.
const MAX_TOLD: usize = 100;

/// Most records that wait for the brokers at once.
const MAX_WAITING: usize = 1_000;

/// Bytes that a record takes beside its own: its headers, and what the batch says of it.
const OVERHEAD: usize = 512;

/// By what name errors call the body.
const NAME: &str = "the body";

/// What a file holds and what became of it.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Imported {
    /// Events that the file holds, each once.
    labels: u64,
    /// How many say what.
    findings: BTreeMap<&'static str, u64>,
    /// Lines that say again what a line before said: left out.
    repeated: u64,
    /// Columns that no field reads: left out.
    columns_left_out: Vec<String>,
    /// How many events belong to each topic.
    topics: BTreeMap<String, u64>,
    /// How many are on the log now.
    written: u64,
    /// The digest by which the audit trail knows the file: of its records, in their order.
    digest: String,
}

impl Imported {
    fn of(read: &Read, written: u64) -> Self {
        let topics = read.by_topic().into_iter();
        Self {
            labels: read.records.len() as u64,
            findings: read.by_finding(),
            repeated: read.repeated,
            columns_left_out: read.unread.clone(),
            topics: topics.map(|(topic, n)| (topic.to_owned(), n)).collect(),
            written,
            digest: read.digest().hex(),
        }
    }
}

/// `POST /v1/labels:import`
pub(crate) async fn import(call: Call) -> Result<Reply, Problem> {
    let is_csv = media_type(&call.headers).is_some_and(|media| media.eq_ignore_ascii_case(CSV));
    let format = if is_csv { Format::Csv } else { Format::Ndjson };
    let (state, body) = (Arc::clone(&call.state), call.body.to_vec());
    let event = call.query.text("event").map(str::to_owned);
    let work = move || read(&state, (format, body), event.as_deref());
    let read = heavy(&call.state, work).await??;
    if call.query.text("dry_run") == Some("true") || read.records.is_empty() {
        return Reply::json(&Imported::of(&read, 0));
    }
    if !call.state.is_listening() {
        return Err(Problem::new(NOT_READY, "the service does not hear answers yet"));
    }
    tell(&call, &read).await?;
    let written = write(&call.state, &read.records).await?;
    Reply::json(&Imported::of(&read, written))
}

/// Checks every line.
fn read(
    state: &State,
    (format, body): (Format, Vec<u8>),
    event: Option<&str>,
) -> Result<Read, Problem> {
    let program = state.rules.get();
    let guards = Guards {
        limits: state.options.limits(),
        future_ms: state.options.future_guard_ms,
        partitioned_by: state.partitioned_by.as_deref(),
    };
    let unusable = |unusable: Unusable| {
        let kind = match (&unusable, event) {
            (Unusable::Schema(_), Some(_)) => BAD_PARAMETER,
            (Unusable::Schema(_), None) => NOT_CONFIGURED,
            _ => BAD_LINES,
        };
        Problem::new(kind, unusable.to_string())
    };
    let reader = Reader::new(&program, (&state.inputs, event), guards).map_err(unusable)?;
    let opened = sent(format, body, Path::new(NAME)).map_err(|error| unusable(error.into()))?;
    let read = reader.read_opened(opened, Path::new(NAME), now_ms()).map_err(unusable)?;
    let most = state.post.max_bytes();
    let too_large =
        read.records.iter().filter(|it| it.body.len() + it.key.len() + OVERHEAD > most).count();
    if too_large > 0 {
        let records = counted(too_large as u64, "line");
        let what = format!(
            "{records} larger than a record of the log, {most} bytes (`message.max.bytes`)"
        );
        return Err(Problem::new(BAD_LINES, what).with("limit_bytes", most));
    }
    if !read.bad.is_empty() {
        return Err(bad_lines(&read.bad));
    }
    let mut read = read;
    read.blank(&state.privacy.never_store);
    Ok(read)
}

/// What is wrong, by line; never what stands there.
fn bad_lines(bad: &[Bad]) -> Problem {
    let told: Vec<_> = bad
        .iter()
        .take(MAX_TOLD)
        .map(|Bad { line, code, what, mend }| {
            json!({"line": line, "code": code, "message": what, "mend": mend})
        })
        .collect();
    let what = format!("{}: nothing was written", counted(bad.len() as u64, "bad line"));
    Problem::new(BAD_LINES, what).with("n_bad", bad.len()).with("lines", told)
}

/// Tells the audit trail who imports what.
async fn tell(call: &Call, read: &Read) -> Result<(), Problem> {
    let labels = counted(read.records.len() as u64, "label");
    let about = format!("{labels} of {NAME} of a request");
    let digest = Some(read.digest().hex());
    let deed = Deed { act: Act::LabelsImported, about, digest, request: None, details: None };
    let (command_id, actor) = (command_id(call)?, call.person.name.clone());
    let reason = "imported over HTTP".to_owned();
    acts::tell(&call.state, &deed, By { command_id, actor, reason, approval: None }).await
}

/// Writes the records; how many.
///
/// # Errors
/// The brokers did not take one: how many they took stands in the problem.
async fn write(state: &Arc<State>, records: &[Record]) -> Result<u64, Problem> {
    let mut written = 0;
    for some in records.chunks(MAX_WAITING) {
        let fates: Vec<oneshot::Receiver<Fate>> =
            some.iter().map(|record| send(state, record)).collect();
        let mut failed = None;
        for fate in fates {
            match fate.await {
                Ok(Ok(_)) => written += 1,
                Ok(Err(Unwritten::TooLarge)) => {
                    failed = failed.or(Some("a record is larger than its topic takes"));
                }
                Ok(Err(Unwritten::Failed(_))) | Err(_) => {
                    failed = failed.or(Some("the brokers did not take a record"));
                }
            }
        }
        if let Some(why) = failed {
            let what =
                format!("{why}: send the file again, what came through is not counted twice");
            return Err(Problem::new(LOG_UNAVAILABLE, what).with("written", written));
        }
    }
    Ok(written)
}

/// Sends a record, and where its fate will be told.
fn send(state: &State, record: &Record) -> oneshot::Receiver<Fate> {
    let (told, fate) = oneshot::channel();
    let letter = Letter {
        topic: record.topic.clone(),
        partition: None,
        key: Some(record.key.clone()),
        body: record.body.clone(),
        traceparent: traceparent(None),
    };
    state.post.send(&letter, move |fate| {
        // WHY: whoever asked may have gone.
        _ = told.send(fate);
    });
    fate
}
