//! `riskweir snapshot inspect|verify`: what lies among the snapshots, and is it whole? Both only read, and need neither
//! brokers nor rules, so they may run beside a service that writes.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::base::time::format_rfc3339;
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::diag::Code;
use crate::durable::snapshots::{RULES_ENDING, examine, is_ours, misplaced, rules_name};
use crate::durable::{
    ContainerError, Header, Position, SnapshotError, Storage, StorageError, Totals, Trouble, open,
};

/// A snapshot whose rule set does not lie beside it.
const LACKS: Code = Code("S0007");
const LACKS_HELP: &str = "put the file back, from a copy of the folder: without it the state is carried over to the rule set that is active";

/// What is wrong with an entry that is named like a snapshot.
const NO_FILE: &str = "it is no plain file";

/// Positions that the table shows of one snapshot.
const SHOWN_POSITIONS: usize = 3;

/// Arguments of `riskweir snapshot`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand, Debug)]
enum Task {
    /// List snapshots with what they say about themselves, and whether they are whole.
    Inspect(Where),
    /// Read snapshots, and the rule sets beside them, to their end; fails when one is damaged, or when there is none.
    Verify(Where),
}

#[derive(Args, Debug)]
struct Where {
    /// A snapshot, the folder of `snapshot.dir`, or its URL; without it, `snapshot.dir` of the configuration.
    #[arg(value_name = "PLACE")]
    place: Option<String>,
    #[command(flatten)]
    settings: Settings,
}

/// One snapshot as it was found.
struct Examined {
    name: String,
    size_bytes: u64,
    header: Option<Header>,
    outcome: Result<Totals, SnapshotError>,
}

/// Runs the command.
///
/// # Errors
/// When no place is given and none is configured.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let (Task::Inspect(at) | Task::Verify(at)) = &arguments.task;
    let Some(place) = place(at, console)? else { return Ok(Exit::Invalid) };
    let all = match examine_all(&place) {
        Ok(all) => all,
        Err(error) => {
            let error = SnapshotError::from(error);
            console.problem(error.code().0, &error.to_string(), None, Some(error.help()));
            return Ok(Exit::Invalid);
        }
    };
    let is_empty = all.iter().all(Examined::is_rules);
    if is_empty {
        console.message(&format!("no snapshots in `{place}`"));
    }
    let verify = matches!(arguments.task, Task::Verify(_));
    match console.format {
        Format::Json => {
            let now_ms = now_ms();
            let line = |one: &Examined| format!("{}\n", as_json(one, lacking(one, &all), now_ms));
            console.data(&all.iter().map(line).collect::<String>());
        }
        Format::Text if verify => all.iter().for_each(|one| tell(one, lacking(one, &all), console)),
        Format::Text => console.data(&table(&all, now_ms())),
    }
    let is_sound = |one: &Examined| one.outcome.is_ok() && lacking(one, &all).is_none();
    let sound = !is_empty && all.iter().all(is_sound);
    Ok(if verify && !sound { Exit::Invalid } else { Exit::Ok })
}

fn place(at: &Where, console: &Console) -> Result<Option<String>, Failure> {
    if let Some(place) = &at.place {
        return Ok(Some(place.clone()));
    }
    let Some(loaded) = at.settings.load(console) else { return Ok(None) };
    let missing = "no snapshots to look at: name a folder, or set `snapshot.dir`";
    let place = loaded.config.snapshot.dir;
    place.map(Some).ok_or_else(|| Failure { message: missing.to_owned(), exit: Exit::Usage })
}

fn examine_all(place: &str) -> Result<Vec<Examined>, StorageError> {
    if Path::new(place).is_file() {
        let failed = |error| StorageError::of_io("open", place, ".", &error);
        let file = File::open(place).map_err(failed)?;
        let size_bytes = file.metadata().map_err(failed)?.len();
        return Ok(vec![examine_one(place.to_owned(), size_bytes, Ok(Box::new(file)))]);
    }
    let storage: Box<dyn Storage + Send> = open(place)?;
    let stored = storage.list(None)?;
    let snapshots = stored.into_iter().filter(|stored| is_ours(&stored.name));
    let examined = snapshots.filter_map(|stored| {
        let input = storage.open(&stored.name);
        // WHY: a service that writes there may have pruned it since it was listed.
        let is_gone = input.as_ref().is_err_and(|error| error.trouble == Trouble::NotFound);
        (!is_gone).then(|| in_place(examine_one(stored.name, stored.size_bytes, input)))
    });
    let strange = storage.strange(None)?.into_iter().filter(|name| is_ours(name)).map(|name| {
        let reason = NO_FILE.to_owned();
        let outcome = Err(SnapshotError::Misplaced { name: name.clone(), reason });
        Examined { name, size_bytes: 0, header: None, outcome }
    });
    let mut all: Vec<Examined> = examined.chain(strange).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// A file that is whole and lies where it belongs.
fn in_place(mut one: Examined) -> Examined {
    let reason = one.header.as_ref().and_then(|header| misplaced(&one.name, header));
    if let Some(reason) = reason.filter(|_| one.outcome.is_ok()) {
        one.outcome = Err(SnapshotError::Misplaced { name: one.name.clone(), reason });
    }
    one
}

impl Examined {
    /// Whether it is a rule set, by its name.
    fn is_rules(&self) -> bool {
        self.name.ends_with(RULES_ENDING)
    }
}

/// The rule set that a whole snapshot needs and that does not lie beside it; of a file alone nobody looked beside it.
fn lacking<'e>(one: &'e Examined, all: &[Examined]) -> Option<&'e str> {
    let header = one.header.as_ref().filter(|_| one.outcome.is_ok() && !one.is_rules())?;
    let (folder, _) = one.name.rsplit_once('/').filter(|(folder, _)| *folder == header.shard)?;
    let wanted = rules_name(folder, &header.ruleset);
    all.iter().all(|other| other.name != wanted).then_some(&*header.ruleset)
}

fn examine_one(
    name: String,
    size_bytes: u64,
    input: Result<Box<dyn Read + '_>, StorageError>,
) -> Examined {
    let (header, outcome) = match input {
        Ok(input) => examine(input),
        Err(error) => {
            let outcome = Err(SnapshotError::Storage(error));
            return Examined { name, size_bytes, header: None, outcome };
        }
    };
    let named = |error: ContainerError| SnapshotError::Container { name: name.clone(), error };
    let outcome = outcome.map_err(named);
    Examined { name, size_bytes, header, outcome }
}

fn tell(one: &Examined, lacks: Option<&str>, console: &Console) {
    match &one.outcome {
        Ok(totals) => {
            if let Some(ruleset) = lacks {
                let name = &one.name;
                let message =
                    format!("snapshot `{name}`: its rule set `{ruleset}` does not lie beside it");
                console.problem(LACKS.0, &message, None, Some(LACKS_HELP));
            }
            if !console.is_quiet() {
                let Totals { frames, raw_bytes, file_bytes } = totals;
                console.data(&format!(
                    "{}: valid, {frames} frames, {file_bytes} bytes ({raw_bytes} before compression)\n",
                    one.name
                ));
            }
        }
        Err(error) => {
            console.problem(error.code().0, &error.to_string(), None, Some(error.help()));
        }
    }
}

fn as_json(one: &Examined, lacks: Option<&str>, now_ms: i64) -> Value {
    let mut line = json!({
        "name": one.name,
        "valid": one.outcome.is_ok(),
        "bytes": one.size_bytes,
    });
    if let Ok(totals) = &one.outcome {
        line["frames"] = totals.frames.into();
        line["raw_bytes"] = totals.raw_bytes.into();
    }
    if lacks.is_some() {
        line["code"] = LACKS.0.into();
        line["help"] = LACKS_HELP.into();
    }
    if let Err(error) = &one.outcome {
        line["code"] = error.code().0.into();
        line["problem"] = error.to_string().into();
        line["help"] = error.help().into();
    }
    if let Some(header) = one.header.as_ref().filter(|_| one.is_rules()) {
        line["shard"] = header.shard.as_str().into();
        line["ruleset"] = header.ruleset.as_str().into();
        line["product_version"] = header.product_version.as_str().into();
    } else if let Some(header) = &one.header {
        let created_at = header.created_at_ms;
        line["shard"] = header.shard.as_str().into();
        line["sequence"] = header.sequence.into();
        line["epoch"] = header.epoch.into();
        line["positions"] = json!(header.positions);
        line["event_time"] = header.event_time_ms.map(format_rfc3339).into();
        line["created_at"] = format_rfc3339(created_at).into();
        line["age_s"] = (now_ms.saturating_sub(created_at).max(0) / 1_000).into();
        line["ruleset"] = header.ruleset.as_str().into();
        line["engine_digest"] = header.engine_digest.as_str().into();
        line["product_version"] = header.product_version.as_str().into();
    }
    line
}

fn table(all: &[Examined], now_ms: i64) -> String {
    const HEADS: [&str; 9] =
        ["SNAPSHOT", "SHARD", "EPOCH", "POSITIONS", "AGE", "BYTES", "FRAMES", "RULE SET", "VALID"];
    if all.is_empty() {
        return String::new();
    }
    let mut rows = vec![HEADS.map(str::to_owned)];
    rows.extend(all.iter().map(|one| row(one, now_ms)));
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max()
    };
    let widths: Vec<usize> = (0..HEADS.len()).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}

fn row(one: &Examined, now_ms: i64) -> [String; 9] {
    let absent = || "-".to_owned();
    let of_header =
        |show: &dyn Fn(&Header) -> String| one.header.as_ref().map_or_else(absent, show);
    let of_snapshot = |show: &dyn Fn(&Header) -> String| {
        if one.is_rules() { absent() } else { of_header(show) }
    };
    let frames = one.outcome.as_ref().map_or_else(|_| absent(), |totals| totals.frames.to_string());
    let valid = match &one.outcome {
        Ok(_) => "yes".to_owned(),
        Err(SnapshotError::Container { error, .. }) => format!("NO [{}]: {error}", error.code().0),
        Err(error) => format!("NO [{}]: {error}", error.code().0),
    };
    [
        one.name.clone(),
        of_header(&|header| header.shard.clone()),
        of_snapshot(&|header| header.epoch.to_string()),
        of_snapshot(&|header| positions(&header.positions)),
        of_snapshot(&|header| age(now_ms.saturating_sub(header.created_at_ms))),
        one.size_bytes.to_string(),
        frames,
        of_header(&|header| header.ruleset.chars().take(12).collect()),
        valid,
    ]
}

fn positions(all: &[Position]) -> String {
    let show = |at: &Position| format!("{}-{}@{}", at.topic, at.partition, at.next_offset);
    let mut shown: Vec<String> = all.iter().take(SHOWN_POSITIONS).map(show).collect();
    if all.len() > SHOWN_POSITIONS {
        shown.push(format!("and {} more", all.len() - SHOWN_POSITIONS));
    }
    if shown.is_empty() { "none".to_owned() } else { shown.join(" ") }
}

/// An age in its two largest units.
fn age(age_ms: i64) -> String {
    let seconds = age_ms.max(0) / 1_000;
    match (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s}s"),
        (0, h, m, _) => format!("{h}h{m}m"),
        (d, h, _, _) => format!("{d}d{h}h"),
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_has_its_two_largest_units() {
        for (ms, expected) in [
            (-5, "0s"),
            (59_999, "59s"),
            (61_000, "1m1s"),
            (3_600_000, "1h0m"),
            (90_000_000, "1d1h"),
        ] {
            assert_eq!(age(ms), expected);
        }
    }
}
