//! Labels: what investigators found out about events, and when.
//!
//! A file of labels is CSV with a header or NDJSON, plain or compressed, one event a line: its id, a verdict (`fraud` or
//! `genuine`, also `1` and `0`, `true` and `false`), maybe when it was reported (RFC 3339), and maybe the type of the
//! event. Columns are called `event_id`, `verdict`, `reported_at` and `event_type` unless the caller names others, so a
//! data set that carries its labels can be its own file of labels. A CSV file has the column `#row` beside its own, as in
//! `backtest`. Further columns are ignored.
//!
//! All reports about an event are kept: which of them counts depends on the time at which somebody asks.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::backtest::input::{Format, InputError, Opened, open};
use crate::backtest::run::ROW_COLUMN;
use crate::base::EntityKey;
use crate::base::time::parse_rfc3339;

/// Most labels of a file: about 4 GB of memory.
const MAX_LABELS: usize = 50_000_000;

/// Most kinds of fraud.
const MAX_KINDS: usize = 64;

/// What came out about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// It was.
    Fraud,
    /// It was not.
    Genuine,
}

/// What is known about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label {
    /// What came out.
    pub verdict: Verdict,
    /// When it was reported, in ms; `None`: it was always known.
    pub reported_ms: Option<i64>,
}

/// The column of the time of a report, where no other is named, and that of the event's type.
const REPORTED: &str = "reported_at";
const EVENT_TYPE: &str = "event_type";

/// How the columns of a file of labels are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Id of the event.
    pub id: String,
    /// The verdict.
    pub verdict: String,
    /// When it was reported. Where none is named it is `reported_at`, which may be absent from the file.
    pub reported: Option<String>,
    /// Type of the event, which matters where events of two types have one id. Where none is named it is `event_type`, which
    /// may be absent from the file.
    pub event_type: Option<String>,
    /// What kind of fraud it was, where that is wanted.
    pub kind: Option<String>,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            id: "event_id".to_owned(),
            verdict: "verdict".to_owned(),
            reported: None,
            event_type: None,
            kind: None,
        }
    }
}

impl Columns {
    /// Columns that need not be there and were named all the same, with the flags that name them.
    fn named(&self) -> Vec<(&str, &'static str)> {
        let flags = ["--label-reported", "--label-type", "--scenario-column"];
        let columns = [&self.reported, &self.event_type, &self.kind];
        let named = columns.into_iter().zip(flags);
        named.filter_map(|(column, flag)| Some((column.as_deref()?, flag))).collect()
    }
}

/// A file of labels could not be used.
#[derive(Debug, thiserror::Error)]
pub enum LabelError {
    /// It could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A column is not there.
    #[error("`{}` has no column `{column}`: name it with `{flag}`", path.display())]
    NoColumn {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
        /// The flag that names another.
        flag: &'static str,
    },
    /// A line says nothing that could be understood.
    #[error("line {line} of `{}`: {message}", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: u64,
        /// What is wrong, without the value.
        message: String,
    },
    /// More kinds of fraud than anybody tells apart.
    #[error("`{}` has more than {MAX_KINDS} kinds of fraud in column `{column}`: name another with `--scenario-column`", path.display())]
    TooManyKinds {
        /// Which file.
        path: PathBuf,
        /// Which column.
        column: String,
    },
    /// More labels than memory is for.
    #[error("`{}` has more than {MAX_LABELS} labels", path.display())]
    TooMany {
        /// Which file.
        path: PathBuf,
    },
}

/// All labels by the event's type, where the file says it, and id.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    by_event: HashMap<EntityKey, Reports>,
    n_reports: usize,
    /// The id of the first one.
    example: Option<String>,
    /// The kind of fraud of events that have one, by its place among the names.
    kinds: HashMap<EntityKey, usize>,
    kind_names: Vec<String>,
}

/// What was reported about one event, in the order of the file.
#[derive(Clone, Debug)]
enum Reports {
    One(Label),
    Several(Vec<Label>),
}

impl Reports {
    fn add(&mut self, label: Label) {
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, label]),
            Self::Several(labels) => labels.push(label),
        }
    }

    /// The report that was the last at a time; of several of one time the last in the file.
    fn at(&self, until_ms: i64) -> Option<Label> {
        let labels = match self {
            Self::One(label) => core::slice::from_ref(label),
            Self::Several(labels) => labels,
        };
        let known = labels
            .iter()
            .filter(|label| label.reported_ms.is_none_or(|reported_ms| reported_ms <= until_ms));
        // Of equal ones `max_by_key` gives the last.
        known.max_by_key(|label| label.reported_ms).copied()
    }
}

/// What the labels say about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// What was known at the time, if anything was.
    pub verdict: Option<Verdict>,
    /// When that was reported, in ms, where the file says it.
    pub reported_ms: Option<i64>,
    /// The label names the type of its event.
    pub names_type: bool,
}

/// An event of this type and id; of no type where the file does not say it.
fn key(event_type: &str, event_id: &str) -> EntityKey {
    EntityKey::of_text(format!("{event_type}\u{0}{event_id}").as_bytes())
}

/// An opened file of labels.
struct LabelFile<'f> {
    path: &'f Path,
    bytes: Box<dyn std::io::Read + Send>,
    columns: &'f Columns,
}

impl Labels {
    /// Reads a file.
    ///
    /// # Errors
    /// When the file cannot be read, lacks a column, or a line cannot be understood.
    pub fn read(path: &Path, columns: &Columns) -> Result<Self, LabelError> {
        let Opened { format, bytes } = open(path)?;
        let mut labels = Self::default();
        let file = LabelFile { path, bytes, columns };
        match format {
            Format::Csv => labels.read_csv(file)?,
            Format::Ndjson => labels.read_ndjson(file)?,
        }
        Ok(labels)
    }

    /// What was known about an event at a time, by the report that was the last then; `None`: it has no label. A label
    /// that names the type comes before one that does not.
    pub fn get(&self, event_type: &str, event_id: &str, until_ms: i64) -> Option<Found> {
        let typed = self.by_event.get(&key(event_type, event_id));
        let found = typed.map(|reports| (reports, true));
        let found = found.or_else(|| Some((self.by_event.get(&key("", event_id))?, false)));
        found.map(|(reports, names_type)| {
            let known = reports.at(until_ms);
            let (verdict, reported_ms) =
                (known.map(|label| label.verdict), known.and_then(|label| label.reported_ms));
            Found { verdict, reported_ms, names_type }
        })
    }

    /// What kind of fraud an event is, where the file says it.
    pub fn kind(&self, event_type: &str, event_id: &str) -> Option<&str> {
        let found = self.kinds.get(&key(event_type, event_id));
        let place = found.or_else(|| self.kinds.get(&key("", event_id)))?;
        self.kind_names.get(*place).map(String::as_str)
    }

    /// The id that the first label names.
    pub fn example(&self) -> Option<&str> {
        self.example.as_deref()
    }

    /// How many events have a label.
    pub fn len(&self) -> usize {
        self.by_event.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_event.is_empty()
    }

    fn read_csv(&mut self, file: LabelFile<'_>) -> Result<(), LabelError> {
        let LabelFile { path, bytes, columns } = file;
        let file = (path, columns);
        let broken = |error: csv::Error| InputError::csv(path, &error);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let mut header = reader.headers().map_err(broken)?.clone();
        let n_columns = header.len();
        header.push_field(ROW_COLUMN);
        let find = |column: &str| header.iter().position(|name| name == column);
        let needed = |column: &str, flag: &'static str| {
            let (path, column) = (path.to_owned(), column.to_owned());
            find(&column).ok_or(LabelError::NoColumn { path, column, flag })
        };
        let id = needed(&columns.id, "--label-id")?;
        let verdict = needed(&columns.verdict, "--label-verdict")?;
        // WHY: a misspelt column would make all labels known from the beginning, and training would see the future.
        let named = |column: &Option<String>, usual: &str, flag| match column {
            Some(column) => needed(column, flag).map(Some),
            None => Ok(find(usual)),
        };
        let reported = named(&columns.reported, REPORTED, "--label-reported")?;
        let event_type = named(&columns.event_type, EVENT_TYPE, "--label-type")?;
        let kind = columns.kind.as_deref().map(|kind| needed(kind, "--scenario-column"));
        let kind = kind.transpose()?;
        let mut record = csv::StringRecord::new();
        let mut line = 1_u64;
        while reader.read_record(&mut record).map_err(broken)? {
            let row = (line - 1).to_string();
            line += 1;
            let cell = |at: usize| match record.get(at) {
                _ if at == n_columns => row.as_str(),
                cell => cell.unwrap_or_default(),
            };
            let reported = reported.map(cell).filter(|cell| !cell.is_empty());
            let label = label(cell(verdict), reported);
            let event = (event_type.map_or("", cell), cell(id));
            self.add((path, line), event, label)?;
            self.add_kind(&file, event, kind.map_or("", cell))?;
        }
        Ok(())
    }

    fn read_ndjson(&mut self, file: LabelFile<'_>) -> Result<(), LabelError> {
        let LabelFile { path, bytes, columns } = file;
        let file = (path, columns);
        let mut reader = std::io::BufReader::new(bytes);
        let (mut text, mut line) = (String::new(), 0_u64);
        let mut absent = columns.named();
        loop {
            text.clear();
            let read = reader.read_line(&mut text);
            if read.map_err(|source| InputError::io(path, source))? == 0 {
                let Some((column, flag)) = absent.pop().filter(|_| line > 0) else { return Ok(()) };
                let (path, column) = (path.to_owned(), column.to_owned());
                return Err(LabelError::NoColumn { path, column, flag });
            }
            line += 1;
            if text.trim().is_empty() {
                continue;
            }
            let parsed: Result<Json, _> = serde_json::from_str(&text);
            let record = parsed.map_err(|_| LabelError::Line {
                path: path.to_owned(),
                line,
                message: "it is not a JSON object".to_owned(),
            })?;
            let text_of = |name: &str| match record.get(name) {
                Some(Json::String(text)) => Some(text.clone()),
                Some(other @ (Json::Bool(_) | Json::Number(_))) => Some(other.to_string()),
                _ => None,
            };
            absent.retain(|(column, _)| record.get(column).is_none());
            let verdict = text_of(&columns.verdict).unwrap_or_default();
            let reported = text_of(columns.reported.as_deref().unwrap_or(REPORTED));
            let label = label(&verdict, reported.as_deref());
            let id = text_of(&columns.id).unwrap_or_default();
            let event_type = text_of(columns.event_type.as_deref().unwrap_or(EVENT_TYPE));
            let event_type = event_type.unwrap_or_default();
            self.add((path, line), (&event_type, &id), label)?;
            let kind = columns.kind.as_deref().and_then(text_of).unwrap_or_default();
            self.add_kind(&file, (&event_type, &id), &kind)?;
        }
    }

    fn add_kind(
        &mut self,
        (path, columns): &(&Path, &Columns),
        (event_type, id): (&str, &str),
        kind: &str,
    ) -> Result<(), LabelError> {
        if kind.is_empty() {
            return Ok(());
        }
        let known = self.kind_names.iter().position(|name| name == kind);
        let place = known.unwrap_or(self.kind_names.len());
        if place >= MAX_KINDS {
            let column = columns.kind.clone().unwrap_or_default();
            return Err(LabelError::TooManyKinds { path: (*path).to_owned(), column });
        }
        if known.is_none() {
            self.kind_names.push(kind.to_owned());
        }
        self.kinds.insert(key(event_type, id), place);
        Ok(())
    }

    fn add(
        &mut self,
        (path, line): (&Path, u64),
        (event_type, id): (&str, &str),
        label: Result<Label, &'static str>,
    ) -> Result<(), LabelError> {
        let wrong = |message: &str| LabelError::Line {
            path: path.to_owned(),
            line,
            message: message.to_owned(),
        };
        if id.is_empty() {
            return Err(wrong("it names no event"));
        }
        let label = label.map_err(wrong)?;
        self.example.get_or_insert_with(|| id.to_owned());
        match self.by_event.entry(key(event_type, id)) {
            Entry::Vacant(vacant) => {
                vacant.insert(Reports::One(label));
            }
            Entry::Occupied(mut known) => known.get_mut().add(label),
        }
        self.n_reports += 1;
        if self.n_reports > MAX_LABELS {
            return Err(LabelError::TooMany { path: path.to_owned() });
        }
        Ok(())
    }
}

fn label(verdict: &str, reported: Option<&str>) -> Result<Label, &'static str> {
    let verdict = match verdict {
        "fraud" | "1" | "true" => Verdict::Fraud,
        "genuine" | "0" | "false" => Verdict::Genuine,
        _ => return Err("the verdict is neither `fraud` nor `genuine` (nor 1, 0, true, false)"),
    };
    let time = |text: &str| {
        parse_rfc3339(text.as_bytes()).ok_or("the time is not like `2026-01-31T10:00:00Z`")
    };
    Ok(Label { verdict, reported_ms: reported.map(time).transpose()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the records of such a file are counted by `backtest`: from 0.
    #[test]
    fn a_table_without_ids_is_labeled_by_its_rows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.csv");
        std::fs::write(&path, "amount,is_fraud,kind\n5,0,\n7,1,stolen\n9\n").unwrap();
        let id = "#row".to_owned();
        let columns = |kind: &str| Columns {
            id: id.clone(),
            verdict: "is_fraud".to_owned(),
            kind: Some(kind.to_owned()),
            ..Columns::default()
        };
        assert!(Labels::read(&path, &columns("kind")).is_err(), "the third row has no verdict");
        std::fs::write(&path, "amount,is_fraud,kind\n5,0,\n7,1,stolen\n").unwrap();
        let labels = Labels::read(&path, &columns("kind")).unwrap();
        let fraud = |row: &str| labels.get("", row, 0).unwrap().verdict == Some(Verdict::Fraud);
        assert_eq!((labels.len(), fraud("0"), fraud("1")), (2, false, true));
        assert_eq!(labels.kind("", "1"), Some("stolen"));
    }
}
