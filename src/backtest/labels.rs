//! Labels: what investigators found out about events, and when.
//!
//! A file of labels is CSV with a header or NDJSON, plain or compressed, one event a line: its id, a verdict (`fraud` or
//! `genuine`, also `1` and `0`, `true` and `false`), and maybe when it was reported (RFC 3339). Columns are called
//! `event_id`, `verdict` and `reported_at` unless the caller names others, so a data set that carries its labels can be
//! its own file of labels. Further columns are ignored.

use std::collections::HashMap;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use crate::backtest::input::{Format, InputError, Opened, open};
use crate::base::EntityKey;
use crate::base::time::parse_rfc3339;

/// Most labels of a file: about 4 GB of memory.
const MAX_LABELS: usize = 50_000_000;

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

/// How the columns of a file of labels are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Columns {
    /// Id of the event.
    pub id: String,
    /// The verdict.
    pub verdict: String,
    /// When it was reported; may be absent from the file.
    pub reported: String,
}

impl Default for Columns {
    fn default() -> Self {
        Self {
            id: "event_id".to_owned(),
            verdict: "verdict".to_owned(),
            reported: "reported_at".to_owned(),
        }
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
    /// More labels than memory is for.
    #[error("`{}` has more than {MAX_LABELS} labels", path.display())]
    TooMany {
        /// Which file.
        path: PathBuf,
    },
}

/// All labels by event id.
#[derive(Clone, Debug, Default)]
pub struct Labels {
    by_id: HashMap<EntityKey, Label>,
}

/// An opened file of labels.
struct LabelFile<'f> {
    path: &'f Path,
    bytes: Box<dyn std::io::Read + Send>,
    columns: &'f Columns,
}

impl Labels {
    /// Reads a file. Of several labels for one event the one reported last counts, of those the last in the file.
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

    /// What was known about an event at a time.
    pub fn get(&self, event_id: &str, until_ms: i64) -> Option<Verdict> {
        let label = self.by_id.get(&EntityKey::of_text(event_id.as_bytes()))?;
        let known = label.reported_ms.is_none_or(|reported_ms| reported_ms <= until_ms);
        known.then_some(label.verdict)
    }

    /// How many events have a label.
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    fn read_csv(&mut self, file: LabelFile<'_>) -> Result<(), LabelError> {
        let LabelFile { path, bytes, columns } = file;
        let broken = |error: csv::Error| InputError::csv(path, &error);
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let header = reader.headers().map_err(broken)?.clone();
        let find = |column: &str| header.iter().position(|name| name == column);
        let needed = |column: &str, flag: &'static str| {
            let (path, column) = (path.to_owned(), column.to_owned());
            find(&column).ok_or(LabelError::NoColumn { path, column, flag })
        };
        let id = needed(&columns.id, "--label-id")?;
        let verdict = needed(&columns.verdict, "--label-verdict")?;
        let reported = find(&columns.reported);
        let mut record = csv::StringRecord::new();
        let mut line = 1_u64;
        while reader.read_record(&mut record).map_err(broken)? {
            line += 1;
            let cell = |at: usize| record.get(at).unwrap_or_default();
            let reported = reported.map(cell).filter(|cell| !cell.is_empty());
            let label = label(cell(verdict), reported);
            self.add(path, line, cell(id), label)?;
        }
        Ok(())
    }

    fn read_ndjson(&mut self, file: LabelFile<'_>) -> Result<(), LabelError> {
        let LabelFile { path, bytes, columns } = file;
        let mut reader = std::io::BufReader::new(bytes);
        let (mut text, mut line) = (String::new(), 0_u64);
        loop {
            text.clear();
            let read = reader.read_line(&mut text);
            if read.map_err(|source| InputError::io(path, source))? == 0 {
                return Ok(());
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
            let verdict = text_of(&columns.verdict).unwrap_or_default();
            let label = label(&verdict, text_of(&columns.reported).as_deref());
            self.add(path, line, &text_of(&columns.id).unwrap_or_default(), label)?;
        }
    }

    fn add(
        &mut self,
        path: &Path,
        line: u64,
        id: &str,
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
        let known = self.by_id.entry(EntityKey::of_text(id.as_bytes())).or_insert(label);
        if label.reported_ms >= known.reported_ms {
            *known = label;
        }
        if self.by_id.len() > MAX_LABELS {
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
