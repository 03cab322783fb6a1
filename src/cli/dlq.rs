//! `riskweir dlq list|show|retry`: dead letters counted, looked at with their values masked, and put into their topic again.
//!
//! A retry leaves a mark in the dead-letter topic ([`MARK`]), so that `list` tells what was sent again.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::base::text::counted;
use crate::base::time::format_rfc3339;
use crate::cli::acts::{self, Done};
use crate::cli::backtest::time_ms;
use crate::cli::run::{exit, show};
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::config::Config;
use crate::decision::command::{Act, MAX_TEXT_BYTES};
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::rederive::{RecordAt, Stored};
use crate::runtime::{self, Feed, RunError, Stop};

/// How long the brokers may take to answer.
const LIMIT: Duration = Duration::from_secs(10);
/// The value of `schema` of the mark that a retry leaves.
const MARK: &str = "riskweir.dead_letter_retry.v1";
/// Most bytes of a record that `show` previews.
const PREVIEW_BYTES: usize = 4 << 10;

/// Arguments of `riskweir dlq`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// Count dead letters by reason and field, and list the newest.
    List(Box<List>),
    /// Show one dead letter; what stands in its record is masked.
    Show(Box<Show>),
    /// Put the records of dead letters into their topics again, as they were.
    Retry(Box<Retry>),
}

#[derive(Args, Debug)]
struct Which {
    #[command(flatten)]
    settings: Settings,
    /// Only those with this reason.
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
    /// Only those written since this time.
    #[arg(long, value_name = "TIME", value_parser = time_ms)]
    since: Option<i64>,
}

#[derive(Args, Debug)]
struct List {
    #[command(flatten)]
    which: Which,
    /// How many are listed.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
}

#[derive(Args, Debug)]
struct Show {
    #[command(flatten)]
    settings: Settings,
    /// Its place in the dead-letter topic, `PARTITION/OFFSET`, as `list` says it.
    #[arg(value_name = "PLACE", value_parser = place)]
    at: (i32, i64),
    /// Do not mask values: they may be payment data.
    #[arg(long)]
    reveal: bool,
}

#[derive(Args, Debug)]
struct Retry {
    #[command(flatten)]
    which: Which,
    /// Places in the dead-letter topic, `PARTITION/OFFSET`; without any, all that the other flags pick, and `--all`.
    #[arg(value_name = "PLACE", value_parser = place)]
    at: Vec<(i32, i64)>,
    /// All that the other flags pick.
    #[arg(long, conflicts_with = "at")]
    all: bool,
    /// Those that were retried already, too.
    #[arg(long)]
    again: bool,
    /// Say what would be sent, and send nothing.
    #[arg(long)]
    dry_run: bool,
}

fn place(text: &str) -> Result<(i32, i64), String> {
    let parse = || {
        let (partition, offset) = text.split_once('/')?;
        Some((partition.parse().ok()?, offset.parse().ok()?))
    };
    parse().ok_or_else(|| "write PARTITION/OFFSET, such as 0/42".to_owned())
}

/// Runs the command.
///
/// # Errors
/// When no such dead letter is there, or a record cannot be sent again.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let ended = match &arguments.task {
        Task::List(list) => with(&list.which, console, |_, all| {
            tell_all(&all, list.limit, console);
            Ok(Exit::Ok)
        }),
        Task::Show(one) => {
            let which = Which { settings: one.settings.clone(), reason: None, since: None };
            with(&which, console, |config, all| tell_one(&all, one, console, config))
        }
        Task::Retry(retry) => {
            with(&retry.which, console, |config, all| send(config, all, retry, console))
        }
    };
    match ended {
        Err(NotDone::Failure(failure)) => Err(failure),
        Err(NotDone::Run(error)) => {
            show(&error, *console);
            Ok(exit(&error))
        }
        Ok(exit) => Ok(exit),
    }
}

/// Why a task was not done.
enum NotDone {
    Failure(Failure),
    Run(RunError),
}

impl From<RunError> for NotDone {
    fn from(error: RunError) -> Self {
        Self::Run(error)
    }
}

fn refuse(message: impl std::fmt::Display) -> NotDone {
    NotDone::Failure(Failure::invalid(message))
}

/// The members of a dead letter that count here.
#[derive(Clone, Debug, Deserialize)]
struct Letter {
    reason: String,
    #[serde(default)]
    field: Option<String>,
    message: String,
    source: Place,
    #[serde(default)]
    raw_base64: Option<String>,
    #[serde(default)]
    raw_cut_from: Option<u64>,
    #[serde(default)]
    raw_masked: Option<u64>,
    #[serde(default)]
    raw_blanked: Option<u64>,
}

#[derive(Clone, Debug, Deserialize)]
struct Place {
    topic: String,
    partition: i32,
    offset: i64,
}

/// A dead letter in its topic.
#[derive(Clone, Debug)]
struct Dead {
    at: (i32, i64),
    letter: Letter,
    is_retried: bool,
}

/// Reads the dead letters that are picked, with the configuration.
fn with(
    which: &Which,
    console: &Console,
    then: impl FnOnce(&Config, Vec<Dead>) -> Result<Exit, NotDone>,
) -> Result<Exit, NotDone> {
    let Some(loaded) = which.settings.load(console) else { return Ok(Exit::Invalid) };
    let config = &loaded.config;
    let topic = &config.topics.dead_letter;
    runtime::check_topics(config, &[topic.as_str()], LIMIT)?;
    let mut stored = Vec::new();
    runtime::read_topic(config, topic, which.since, &mut |it| stored.push(it))?;
    let mut all = letters(&stored);
    all.retain(|it| which.reason.as_ref().is_none_or(|reason| *reason == it.letter.reason));
    then(config, all)
}

/// The dead letters among these records, in order of their places, with what marks say of them.
fn letters(stored: &[Stored]) -> Vec<Dead> {
    let mut retried: BTreeSet<(i32, i64)> = BTreeSet::new();
    let mut all: BTreeMap<(i32, i64), Letter> = BTreeMap::new();
    for Stored { at: RecordAt { partition, offset, .. }, body, .. } in stored {
        let Ok(value) = serde_json::from_slice::<Value>(body) else { continue };
        if value.get("schema").and_then(Value::as_str) == Some(MARK) {
            let number = |name: &str| value.pointer(name).and_then(Value::as_i64);
            let of = number("/dead_letter/partition").zip(number("/dead_letter/offset"));
            retried.extend(of.and_then(|(at, offset)| Some((i32::try_from(at).ok()?, offset))));
        } else if let Ok(letter) = serde_json::from_value(value) {
            all.insert((*partition, *offset), letter);
        }
    }
    let dead = |(at, letter)| Dead { at, letter, is_retried: retried.contains(&at) };
    all.into_iter().map(dead).collect()
}

fn tell_all(all: &[Dead], limit: usize, console: &Console) {
    let newest = all.iter().skip(all.len().saturating_sub(limit));
    if console.format == Format::Json {
        for Dead { at: (partition, offset), letter, is_retried } in newest {
            let Letter { reason, field, message, source, .. } = letter;
            let line = json!({
                "at": format!("{partition}/{offset}"), "reason": reason, "field": field, "message": message,
                "source": {"topic": source.topic, "partition": source.partition, "offset": source.offset},
                "retried": is_retried,
            });
            console.data(&format!("{line}\n"));
        }
        return;
    }
    let mut counts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
    for Dead { letter, is_retried, .. } in all {
        let key = (letter.reason.as_str(), letter.field.as_deref().unwrap_or("-"));
        let (n, retried) = counts.entry(key).or_default();
        *n += 1;
        *retried += u64::from(*is_retried);
    }
    let mut text = String::new();
    for ((reason, field), (n, retried)) in counts {
        _ = writeln!(text, "{n:>8}  {reason:<20} {field:<20} {retried} retried");
    }
    for Dead { at: (partition, offset), letter, is_retried } in newest {
        let Place { topic, partition: of, offset: source } = &letter.source;
        let mark = if *is_retried { "  (retried)" } else { "" };
        _ = writeln!(
            text,
            "{partition}/{offset}  {}  from {topic}-{of}@{source}{mark}",
            letter.reason
        );
    }
    console.data(&text);
    if all.is_empty() && !console.is_quiet() {
        console.message("there are no such dead letters");
    }
}

fn tell_one(all: &[Dead], one: &Show, console: &Console, config: &Config) -> Result<Exit, NotDone> {
    let (partition, offset) = one.at;
    let Some(dead) = all.iter().find(|dead| dead.at == one.at) else {
        return Err(refuse(format!("there is no dead letter at {partition}/{offset}")));
    };
    let Letter { reason, field, message, source, raw_cut_from, .. } = &dead.letter;
    let raw = raw(&dead.letter).map_err(refuse)?;
    if one.reveal {
        let about = format!("{}/{partition}/{offset}", config.topics.dead_letter);
        tell_trail(config, (Act::DeadLetterShown, &about), "dlq show --reveal", console)?;
    }
    let preview = raw.map(|raw| {
        let shown = raw.get(..PREVIEW_BYTES).unwrap_or(&raw);
        let text = String::from_utf8_lossy(shown).into_owned();
        if one.reveal { text } else { masked(&text) }
    });
    if console.format == Format::Json {
        let line = json!({
            "at": format!("{partition}/{offset}"), "reason": reason, "field": field, "message": message,
            "source": {"topic": source.topic, "partition": source.partition, "offset": source.offset},
            "retried": dead.is_retried, "cut_from_bytes": raw_cut_from, "preview": preview,
        });
        console.data(&format!("{line}\n"));
        return Ok(Exit::Ok);
    }
    let field = field.as_deref().unwrap_or("-");
    console.data(&format!(
        "at       {partition}/{offset}\nreason   {reason}\nfield    {field}\nsource   {}-{}@{}\nretried  {}\n\n{message}\n\n{}\n",
        source.topic,
        source.partition,
        source.offset,
        if dead.is_retried { "yes" } else { "no" },
        preview.as_deref().unwrap_or("(a tombstone: it has no bytes)"),
    ));
    Ok(Exit::Ok)
}

/// Tells the audit trail what is about to be done, and by whom.
fn tell_trail(
    config: &Config,
    (act, about): (Act, &str),
    reason: &str,
    console: &Console,
) -> Result<(), NotDone> {
    acts::warn_untold(config, console);
    let actor = acts::operator();
    Ok(acts::tell(config, &Done { act, about, digest: None, actor: &actor, reason })?)
}

/// The bytes of the record; none of a tombstone.
fn raw(letter: &Letter) -> Result<Option<Vec<u8>>, String> {
    let decode = |text: &String| BASE64.decode(text);
    letter
        .raw_base64
        .as_ref()
        .map(decode)
        .transpose()
        .map_err(|error| format!("its `raw_base64` is none: {error}"))
}

/// A record as it looks, without what it says: names of members stay, of values each letter is `x` and each digit `0`.
fn masked(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('"') {
        let (before, from) = rest.split_at(at);
        out.extend(before.chars().map(mask_outside));
        let length = quoted(from);
        let (word, after) = from.split_at(length);
        let is_name = after.trim_start().starts_with(':');
        let mask = |c: char| if is_name { c } else { mask(c) };
        out.extend(word.chars().map(mask));
        rest = after;
    }
    out.extend(rest.chars().map(mask_outside));
    out
}

/// The length of the quoted text at the beginning, its quotes included; all of it where it does not end.
fn quoted(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            '"' if !is_escaped => return at + 1,
            '\\' => is_escaped = !is_escaped,
            _ => is_escaped = false,
        }
    }
    text.len()
}

fn mask(c: char) -> char {
    if c.is_numeric() {
        '0'
    } else if c.is_alphabetic() {
        'x'
    } else {
        c
    }
}

/// Outside of quotes the words of JSON stay readable by their length alone.
fn mask_outside(c: char) -> char {
    mask(c)
}

fn send(
    config: &Config,
    all: Vec<Dead>,
    retry: &Retry,
    console: &Console,
) -> Result<Exit, NotDone> {
    if retry.at.is_empty() && !retry.all {
        return Err(NotDone::Failure(Failure {
            message: "name places such as 0/42, or give `--all`".to_owned(),
            exit: Exit::Usage,
        }));
    }
    if let Some((partition, offset)) =
        retry.at.iter().find(|at| !all.iter().any(|dead| dead.at == **at))
    {
        return Err(refuse(format!("there is no such dead letter at {partition}/{offset}")));
    }
    let is_asked = |dead: &Dead| {
        (retry.all || retry.at.contains(&dead.at)) && (retry.again || !dead.is_retried)
    };
    let (asked, left): (Vec<Dead>, Vec<Dead>) = all.into_iter().partition(is_asked);
    let known = left.iter().filter(|dead| dead.is_retried).count();
    let (mut sent, mut skipped) = (0_u64, 0_u64);
    let topics: BTreeSet<&str> =
        asked.iter().map(|dead| dead.letter.source.topic.as_str()).collect();
    let names: Vec<&str> = topics.into_iter().chain([config.topics.dead_letter.as_str()]).collect();
    if !retry.dry_run && !asked.is_empty() {
        let about = format!("{} of {}", counted(asked.len() as u64, "record"), names.join(", "));
        let about = about.get(..MAX_TEXT_BYTES).unwrap_or(&about);
        tell_trail(config, (Act::DeadLettersRetried, about), "dlq retry", console)?;
    }
    let feed = Feed::open(config, &names, &Stop::new(LIMIT))?;
    for dead in &asked {
        match record(dead, &|at| {
            runtime::read_record(config, at).map_err(|error| error.to_string())
        }) {
            Ok(raw) if retry.dry_run => {
                sent += 1;
                console.message(&format!("would send {} bytes: {}", raw.len(), whither(dead)));
            }
            Ok(raw) => {
                let Place { topic, partition, .. } = &dead.letter.source;
                feed.send_to((topic, *partition), &raw)?;
                // WHY: a mark without its record would hide that the record is lacking.
                feed.flush(LIMIT)?;
                let (key, mark) = mark(dead);
                feed.send(&config.topics.dead_letter, key.as_bytes(), mark.to_string().as_bytes())?;
                sent += 1;
            }
            Err(reason) => {
                skipped += 1;
                console.message(&format!("left out {}: {reason}", whither(dead)));
            }
        }
    }
    feed.finish(LIMIT)?;
    let word = if retry.dry_run { "would be sent" } else { "sent" };
    match console.format {
        Format::Json => console.data(&format!(
            "{}\n",
            json!({"sent": sent, "left_out": skipped, "retried_before": known, "dry_run": retry.dry_run})
        )),
        Format::Text => console.data(&format!(
            "{} {word} again, {skipped} left out, {known} were retried before\n",
            counted(sent, "record")
        )),
    }
    Ok(if skipped == 0 { Exit::Ok } else { Exit::Invalid })
}

fn whither(dead: &Dead) -> String {
    let ((partition, offset), source) = (dead.at, &dead.letter.source);
    format!("{partition}/{offset} to {}-{}", source.topic, source.partition)
}

/// Gives a record of the input as it came, as long as it is there.
type Fetch<'f> = &'f dyn Fn(&RecordAt) -> Result<Option<Vec<u8>>, String>;

/// What is sent again, or why nothing can be. A dead letter that does not hold the record as it came says where that stands.
fn record(dead: &Dead, fetch: Fetch<'_>) -> Result<Vec<u8>, String> {
    let Letter { raw_cut_from, raw_masked, raw_blanked, source, .. } = &dead.letter;
    if raw_cut_from.is_some() || raw_masked.is_some() || raw_blanked.is_some() {
        let Place { topic, partition, offset } = source;
        let at = RecordAt { topic: topic.clone(), partition: *partition, offset: *offset };
        return fetch(&at)?.ok_or_else(|| {
            let why = if raw_masked.is_some() {
                "card numbers in its dead letter are masked"
            } else if raw_blanked.is_some() {
                "values that nobody may store are not in its dead letter"
            } else {
                "its dead letter holds the beginning only"
            };
            format!("{why}, and the record {offset} of `{topic}`-{partition} is not there any more")
        });
    }
    raw(&dead.letter)?
        .ok_or_else(|| "it is a tombstone, which nothing can be decided of".to_owned())
}

/// The key and the body of what marks a dead letter as retried.
fn mark(dead: &Dead) -> (String, Value) {
    let ((partition, offset), source) = (dead.at, &dead.letter.source);
    let at = format_rfc3339(SystemClock::start().wall_ms());
    let mark = json!({
        "schema": MARK,
        "dead_letter": {"partition": partition, "offset": offset},
        "source": {"topic": source.topic, "partition": source.partition, "offset": source.offset},
        "time": at,
    });
    (format!("{}-{}", source.topic, source.partition), mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_keeps_names_and_shows_no_value() {
        let record = r#"{"pan":"4111 1111","name":"Ann \"Bo\" Ü","n":-12.5e3,"ok":true,"in":{"iban" : "DE89"},"l":["a1"]"#;
        assert_eq!(
            masked(record),
            r#"{"pan":"0000 0000","name":"xxx \"xx\" x","n":-00.0x0,"ok":xxxx,"in":{"iban" : "xx00"},"l":["x0"]"#
        );
        // What is no JSON has no names: all of it is masked, an open quote to its end.
        assert_eq!(masked("card 4111, \"open"), "xxxx 0000, \"xxxx");
    }

    #[test]
    fn marks_tell_which_letters_were_retried() {
        let stored = |offset, body: Value| Stored {
            at: RecordAt { topic: "d".to_owned(), partition: 2, offset },
            answers: None,
            epoch: None,
            logged_ms: None,
            body: body.to_string().into_bytes(),
        };
        let letter = |offset: i64| {
            json!({"schema": "riskweir.dead_letter.v1", "reason": "not_json", "message": "m",
                   "source": {"topic": "t", "partition": 1, "offset": offset}, "raw_base64": "YQ=="})
        };
        let first = letters(&[stored(5, letter(50)), stored(6, letter(60))]);
        let (_, mark) = mark(&first[1]);
        let all = letters(&[stored(5, letter(50)), stored(6, letter(60)), stored(7, mark)]);
        let found: Vec<_> = all.iter().map(|dead| (dead.at, dead.is_retried)).collect();
        assert_eq!(found, [((2, 5), false), ((2, 6), true)]);
        let gone = |_: &RecordAt| Ok(None);
        assert_eq!(record(&all[0], &gone), Ok(b"a".to_vec()));
        // What is masked or cut is read where it came from.
        for member in ["raw_masked", "raw_blanked", "raw_cut_from"] {
            let mut changed = letter(70);
            changed[member] = json!(1);
            let all = letters(&[stored(5, changed)]);
            let there =
                |at: &RecordAt| Ok(Some(format!("{}@{}", at.topic, at.offset).into_bytes()));
            assert_eq!(record(&all[0], &there), Ok(b"t@70".to_vec()));
            assert!(record(&all[0], &gone).is_err_and(|told| told.contains("not there any more")));
        }
    }
}
