//! From the lines of a file to the records of a topic, each checked as the service checks it.
//!
//! A line of NDJSON goes as it is. A row of CSV becomes an object: a column is a field of the event by its name, or the member
//! that it reads. Where no id is given one is made of all that the line says, so that the same line has the same id.

use std::borrow::Cow;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::BufRead as _;
use std::path::Path;

use serde_json::{Map, Number, Value};

use crate::backtest::input::{Format, InputError, Opened, open};
use crate::base::{Digest, NeverStore, TextRef};
use crate::diag::suggest;
use crate::event::error::{DecodeError, Reason};
use crate::event::mapping::{DecodeScratch, Decoder, Limits};
use crate::event::row::Row;
use crate::event::schema::{
    EventId, EventType, Field, FieldType, Finding, LabelSpec, MoneyCurrency, Pointer, TimeUnit,
};
use crate::rules::locality::record_key;
use crate::rules::program::Program;

/// Most bytes of records that are held until all lines are checked.
const MAX_BYTES: usize = 1 << 30;

/// Most bad lines that are kept: a file with more is another file than was meant.
const MAX_BAD: usize = 10_000;

/// Digits of a made id, in hexadecimal.
const ID_DIGITS: usize = 32;

/// A record to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) topic: String,
    pub(crate) key: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

/// A line that is no label.
#[derive(Clone, Debug)]
pub(crate) struct Bad {
    /// From 1, the header of a table counted.
    pub(crate) line: u64,
    /// Of a record that cannot be decoded the code of the reason.
    pub(crate) code: Option<&'static str>,
    pub(crate) what: String,
    pub(crate) mend: String,
}

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) records: Vec<Record>,
    pub(crate) findings: BTreeMap<Finding, u64>,
    /// Lines that say again, byte for byte, what a line before said.
    pub(crate) repeated: u64,
    /// Columns that nothing reads.
    pub(crate) unread: Vec<String>,
    pub(crate) bad: Vec<Bad>,
    n_bytes: usize,
}

impl Read {
    /// Blanks what nobody may store: whoever writes these records stores it.
    pub(crate) fn blank(&mut self, names: &NeverStore) {
        for record in &mut self.records {
            if let (Cow::Owned(body), _) = names.blanked(&record.body) {
                record.body = body;
            }
        }
    }

    /// A digest of the records: the same file has the same, however it comes.
    pub(crate) fn digest(&self) -> Digest {
        let bodies: Vec<&[u8]> = self.records.iter().map(|record| record.body.as_slice()).collect();
        Digest::of_parts(&bodies)
    }

    /// How many labels say what.
    pub(crate) fn by_finding(&self) -> BTreeMap<&'static str, u64> {
        let of = |finding: Finding| self.findings.get(&finding).copied().unwrap_or(0);
        Finding::ALL.into_iter().map(|finding| (finding.as_str(), of(finding))).collect()
    }

    /// How many records go to each topic.
    pub(crate) fn by_topic(&self) -> BTreeMap<&str, u64> {
        let mut topics = BTreeMap::new();
        for record in &self.records {
            *topics.entry(record.topic.as_str()).or_default() += 1;
        }
        topics
    }
}

/// Why a file is not read at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It could not be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The schema and the flags do not fit.
    #[error("{0}")]
    Schema(String),
    /// The header of the table does not do.
    #[error("`{file}`: {what}")]
    Header {
        /// Which file.
        file: String,
        /// What is wrong, and the mend.
        what: String,
    },
    /// More than is held at once.
    #[error("`{file}` has more than {MAX_BYTES} bytes of records: import it in parts")]
    TooLarge {
        /// Which file.
        file: String,
    },
}

/// A kind of label, and where its records go.
#[derive(Clone, Copy, Debug)]
struct Kind<'p> {
    id: EventId,
    event: &'p EventType,
    labels: &'p LabelSpec,
    topic: &'p str,
}

/// Reads files of labels.
#[derive(Debug)]
pub(crate) struct Reader<'p> {
    program: &'p Program,
    decoder: Decoder,
    kinds: Vec<Kind<'p>>,
    guards: Guards<'p>,
}

/// What of the configuration decides about a record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Guards<'c> {
    /// The bounds of decoding.
    pub(crate) limits: Limits,
    /// How far ahead of the present a time may be, in ms.
    pub(crate) future_ms: i64,
    /// The entity by which records are spread over partitions.
    pub(crate) partitioned_by: Option<&'c str>,
}

/// What was read of lines so far.
#[derive(Debug, Default)]
struct Known {
    /// The line and body of each id, by event type and id.
    ids: BTreeMap<(EventId, Vec<u8>), (u64, Digest)>,
    scratch: DecodeScratch,
    row: Row,
}

impl<'p> Reader<'p> {
    /// A reader of the label events of a schema that the service reads, or of the one that is named.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn new(
        program: &'p Program,
        (inputs, named): (&[String], Option<&str>),
        guards: Guards<'p>,
    ) -> Result<Self, Unusable> {
        let events = (0_u16..).map(EventId).zip(&program.schema.events);
        let all: Vec<Kind<'p>> = events
            .filter_map(|(id, event)| {
                let (labels, topic) = (event.labels.as_ref()?, event.topic.as_deref()?);
                Some(Kind { id, event, labels, topic })
            })
            .collect();
        let kinds: Vec<Kind<'p>> = all
            .iter()
            .filter(|kind| named.is_none_or(|named| kind.event.name == named))
            .copied()
            .collect();
        let all_names = || all.iter().map(|kind| kind.event.name.as_str());
        if kinds.is_empty() {
            let what = match named {
                _ if all.is_empty() => "no event of the schema says what came out about others: declare one with \
                    `labels EVENT by FIELD verdict FIELD` and a topic (docs/LANGUAGE.md, Labels and precision)".to_owned(),
                Some(named) => {
                    let near = suggest::nearest(named, all_names());
                    let help = near.map_or_else(
                        || all_names().collect::<Vec<_>>().join(", "),
                        |near| format!("did you mean `{near}`?"),
                    );
                    format!("`{named}` is no event that says what came out about others: {help}")
                }
                None => String::new(),
            };
            return Err(Unusable::Schema(what));
        }
        if let Some(kind) = kinds.iter().find(|kind| !inputs.iter().any(|it| it == kind.topic)) {
            return Err(Unusable::Schema(format!(
                "the service does not read `{}`, the topic of `{}`: add it to `topics.inputs`",
                kind.topic, kind.event.name
            )));
        }
        Ok(Self { program, decoder: Decoder::new(&program.schema, guards.limits), kinds, guards })
    }

    /// Reads a file, as of a time on the wall in ms.
    ///
    /// # Errors
    /// It cannot be read, has a header that does not do, or is larger than what is held at once.
    pub(crate) fn read(&self, path: &Path, now_ms: i64) -> Result<Read, Unusable> {
        self.read_opened(open(path)?, path, now_ms)
    }

    /// Reads what is open, under the name by which errors call it.
    ///
    /// # Errors
    /// As [`Reader::read`].
    pub(crate) fn read_opened(
        &self,
        Opened { format, bytes }: Opened,
        path: &Path,
        now_ms: i64,
    ) -> Result<Read, Unusable> {
        let mut read = Read::default();
        let mut known = Known::default();
        let mut take = |line: u64, body: Result<Vec<u8>, Bad>, read: &mut Read| {
            let taken = body.and_then(|body| self.take((line, now_ms), body, &mut known));
            match taken {
                Ok(Some((record, finding))) => {
                    *read.findings.entry(finding).or_default() += 1;
                    read.n_bytes =
                        read.n_bytes.saturating_add(record.body.len() + record.key.len());
                    read.records.push(record);
                }
                Ok(None) => read.repeated += 1,
                Err(bad) => read.bad.push(bad),
            }
            if read.n_bytes > MAX_BYTES {
                return Err(Unusable::TooLarge { file: path.display().to_string() });
            }
            Ok(read.bad.len() < MAX_BAD)
        };
        match format {
            Format::Ndjson => {
                let mut lines = std::io::BufReader::new(bytes);
                let mut line = 0;
                loop {
                    let mut body = Vec::new();
                    let n = lines.read_until(b'\n', &mut body);
                    if n.map_err(|source| InputError::io(path, source))? == 0 {
                        break;
                    }
                    line += 1;
                    body.truncate(body.trim_ascii_end().len());
                    if !body.is_empty() && !take(line, Ok(body), &mut read)? {
                        break;
                    }
                }
            }
            Format::Csv => {
                let broken = |error: csv::Error| InputError::csv(path, &error);
                let mut rows = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
                let header = rows.headers().map_err(broken)?.clone();
                let table = self.table(path, &header)?;
                read.unread.clone_from(&table.unread);
                let mut row = csv::StringRecord::new();
                while rows.read_record(&mut row).map_err(broken)? {
                    let line = row.position().map_or(0, csv::Position::line);
                    if !take(line, table.body(line, &row), &mut read)? {
                        break;
                    }
                }
            }
        }
        Ok(read)
    }

    /// Checks one record. `None`: a line before said the same.
    fn take(
        &self,
        (line, now_ms): (u64, i64),
        body: Vec<u8>,
        known: &mut Known,
    ) -> Result<Option<(Record, Finding)>, Bad> {
        let bad = |what: String, mend: String| Bad { line, code: None, what, mend };
        let (kind, body) = self.decoded(line, body, known)?;
        let row = &known.row;
        let event = kind.event;
        let about = &event.name;
        if row.get(kind.labels.id).is_none() {
            let field = name_of(event, kind.labels.id).map_or("", |field| &field.name);
            let what =
                format!("it says about no event what came out: field `{about}.{field}` is absent");
            return Err(bad(what, "name the id of the event".to_owned()));
        }
        if row.time_ms > now_ms.saturating_add(self.guards.future_ms) {
            let what = format!(
                "its time, field `{about}.{}`, lies in the future",
                event.field(event.time).name
            );
            let mend = "write when it became known; a label of the future says nothing".to_owned();
            return Err(bad(what, mend));
        }
        let finding = kind.labels.finding(row.get(kind.labels.verdict));
        let key =
            record_key(self.program, row, &body, self.guards.partitioned_by).unwrap_or_default();
        let id = id_of(event, row, &body);
        match known.ids.entry((kind.id, id)) {
            Entry::Vacant(free) => {
                free.insert((line, Digest::of(&body)));
                Ok(Some((Record { topic: kind.topic.to_owned(), key, body }, finding)))
            }
            Entry::Occupied(first) if first.get().1 == Digest::of(&body) => Ok(None),
            Entry::Occupied(first) => {
                let field = &event.field(event.id).name;
                let what = format!(
                    "it has the id (`{about}.{field}`) of line {}, which says something else",
                    first.get().0
                );
                let mend = "each label has an id of its own, also where a later one says otherwise about the same event".to_owned();
                Err(bad(what, mend))
            }
        }
    }

    /// What kind of label a record is; `known.row` holds it then. A record without an id gets one.
    fn decoded(
        &self,
        line: u64,
        body: Vec<u8>,
        known: &mut Known,
    ) -> Result<(&Kind<'p>, Vec<u8>), Bad> {
        let mut takers = Vec::new();
        let mut refused = None;
        for kind in &self.kinds {
            match self.decode(kind, &body, known) {
                Ok(()) => takers.push((kind, None)),
                Err(Refused::Field(error)) if lacks_id(kind.event, &error) => {
                    let made = with_id(kind.event, &body);
                    // WHY: with an id, what else is wrong with the record shows.
                    match made.map(|made| (self.decode(kind, &made, known), made)) {
                        Some((Ok(()), made)) => takers.push((kind, Some(made))),
                        Some((Err(found), _)) => refused = Some((kind, found)),
                        None => refused = Some((kind, Refused::Field(error))),
                    }
                }
                // WHY: of several kinds the one whose record it is has the reason that helps.
                Err(found @ Refused::Field(_)) => refused = Some((kind, found)),
                Err(Refused::OtherEvent) => {
                    refused = refused.or(Some((kind, Refused::OtherEvent)));
                }
            }
        }
        match (takers.pop(), takers.pop()) {
            (Some((kind, with_id)), None) => {
                let body = with_id.unwrap_or(body);
                // The row may be that of another kind that was tried.
                match self.decode(kind, &body, known) {
                    Ok(()) => Ok((kind, body)),
                    Err(refused) => Err(told(line, kind, refused)),
                }
            }
            (Some(_), Some(_)) => {
                let names: Vec<&str> =
                    self.kinds.iter().map(|kind| kind.event.name.as_str()).collect();
                Err(Bad {
                    line,
                    code: None,
                    what: "it may be an event of several types".to_owned(),
                    mend: format!("name one by `--event` or `event=`: {}", names.join(", ")),
                })
            }
            (None, _) => Err(refused.map_or_else(
                || Bad { line, code: None, what: "it is no label".to_owned(), mend: String::new() },
                |(kind, refused)| told(line, kind, refused),
            )),
        }
    }

    fn decode(&self, kind: &Kind<'p>, body: &[u8], known: &mut Known) -> Result<(), Refused> {
        let Known { scratch, row, .. } = known;
        let decoded = match self.decoder.topic(kind.topic) {
            Some(topic) => self.decoder.decode(topic, body, scratch, row),
            None => self.decoder.decode_any(body, scratch, row),
        };
        decoded.map_err(Refused::Field)?;
        if row.event() == kind.id { Ok(()) } else { Err(Refused::OtherEvent) }
    }

    /// How the rows of a table become records.
    fn table(&self, path: &Path, header: &csv::StringRecord) -> Result<Table, Unusable> {
        let wrong = |what: String| Unusable::Header { file: path.display().to_string(), what };
        let [kind] = self.kinds.as_slice() else {
            let names: Vec<&str> = self.kinds.iter().map(|kind| kind.event.name.as_str()).collect();
            return Err(wrong(format!(
                "the schema has several events that say what came out: name one by `--event` or `event=`: {}",
                names.join(", ")
            )));
        };
        let event = kind.event;
        let mut columns = Vec::new();
        let (mut unread, mut taken) = (Vec::new(), BTreeSet::new());
        for name in header {
            let column = column(event, name);
            if column.is_none() {
                unread.push(name.to_owned());
            }
            if let Some((at, _)) = &column
                && !taken.insert(at.clone())
            {
                return Err(wrong(format!(
                    "column `{name}` gives again what another column gives: keep one"
                )));
            }
            columns.push(column);
        }
        let id = event.field(event.id);
        let needed = event.fields.iter().filter(|field| !field.optional && field.name != id.name);
        for field in needed {
            let is_given = |at: &Pointer| taken.contains(at);
            if !field.from.iter().any(is_given) {
                let near = suggest::nearest(&field.name, unread.iter().map(String::as_str));
                let near = near.map_or_else(String::new, |near| format!("; is it `{near}`?"));
                return Err(wrong(format!(
                    "no column gives `{}.{}`: add one of that name{near}",
                    event.name, field.name
                )));
            }
        }
        let constant = event.discriminator.clone().filter(|(at, _)| !taken.contains(at));
        Ok(Table { n_columns: header.len(), columns, constant, unread })
    }
}

/// Why a record is not of a kind.
#[derive(Debug)]
enum Refused {
    Field(DecodeError),
    /// It is an event of another type.
    OtherEvent,
}

fn told(line: u64, kind: &Kind<'_>, refused: Refused) -> Bad {
    let event = kind.event;
    match refused {
        Refused::OtherEvent => Bad {
            line,
            code: None,
            what: format!("it is no event of type `{}`", event.name),
            mend: "a file of labels holds events that say what came out about others, nothing else"
                .to_owned(),
        },
        Refused::Field(error) => {
            let name = error
                .field
                .as_deref()
                .and_then(|field| field.strip_prefix(&format!("{}.", event.name)));
            let field = name.and_then(|name| event.fields.iter().find(|field| field.name == name));
            let code = error.reason.info().code;
            // WHY: the byte is one of the record, which is made from a row of a table or given an id; the field says where to look.
            let offset = error.offset.filter(|_| error.field.is_none());
            let error = DecodeError { offset, ..error };
            Bad {
                line,
                code: Some(code),
                what: format!("{error} [{code}]"),
                mend: mend(error.reason, event, field),
            }
        }
    }
}

/// What to do about a record that cannot be decoded.
fn mend(reason: Reason, event: &EventType, field: Option<&Field>) -> String {
    let read = field.map_or_else(String::new, Field::read);
    match (reason, field.map(|field| &field.ty)) {
        (Reason::UnknownMember, Some(FieldType::OneOf(members))) => {
            format!("write one of {}", members.join(", "))
        }
        (Reason::BadTime, Some(FieldType::Time { unit: TimeUnit::Iso })) => {
            "write an instant with its offset, as in 2026-01-31T10:00:00Z".to_owned()
        }
        (Reason::MissingField | Reason::EmptyKey, Some(_)) => format!("give it: {read}"),
        (Reason::MissingCurrency | Reason::UnknownCurrency, _) => {
            "write the currency as three letters of ISO 4217, as in EUR".to_owned()
        }
        (Reason::UnknownEvent, _) => {
            let required = event.fields.iter().filter(|field| !field.optional);
            let fields: Vec<String> =
                required.map(|field| format!("{} ({})", field.name, field.read())).collect();
            format!("an event of type `{}` has {}", event.name, fields.join(", "))
        }
        (Reason::InvalidJson | Reason::NotAnObject | Reason::DuplicateKey, _) => {
            "a line is one JSON object, with each key once".to_owned()
        }
        (_, Some(_)) => format!("the schema reads {read}"),
        (_, None) => format!("see docs/errors/{}.md", reason.info().code),
    }
}

/// Whether all that is wrong is that the record has no id.
fn lacks_id(event: &EventType, error: &DecodeError) -> bool {
    let id = event.field(event.id);
    error.reason == Reason::MissingField
        && matches!(id.ty, FieldType::Text)
        && error.field.as_deref() == Some(format!("{}.{}", event.name, id.name).as_str())
}

/// The record with an id that is made of all that it says.
fn with_id(event: &EventType, body: &[u8]) -> Option<Vec<u8>> {
    let digest = Digest::of_parts(&[event.name.as_bytes(), body]).hex();
    let id: String = digest.chars().take(ID_DIGITS).collect();
    let mut record: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let at = event.field(event.id).from.first()?;
    put(&mut record, at, Value::String(format!("import-{id}")))?;
    serde_json::to_vec(&record).ok()
}

/// Puts a value into a record. `None`: something else stands in the way.
fn put(record: &mut Map<String, Value>, Pointer(parts): &Pointer, value: Value) -> Option<()> {
    let (last, way) = parts.split_last()?;
    let mut within = record;
    for part in way {
        let next = within.entry(part.clone()).or_insert_with(|| Value::Object(Map::new()));
        within = next.as_object_mut()?;
    }
    within.insert(last.clone(), value);
    Some(())
}

fn name_of(event: &EventType, slot: crate::event::schema::SlotId) -> Option<&Field> {
    event.fields.iter().find(|field| field.slot == slot)
}

/// The text of a record's id.
fn id_of(event: &EventType, row: &Row, body: &[u8]) -> Vec<u8> {
    let id = event.field(event.id);
    let Some(word) = row.get(id.slot) else { return Vec::new() };
    if id.ty.is_text() {
        row.text(body, TextRef(word)).to_vec()
    } else {
        word.cast_signed().to_string().into_bytes()
    }
}

/// How a cell is written in a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    Text,
    Number,
    Truth,
}

/// How the rows of a table become records.
#[derive(Debug)]
struct Table {
    n_columns: usize,
    /// The place of each column in a record; `None`: nothing reads it.
    columns: Vec<Option<(Pointer, Cell)>>,
    /// What tells the event from others, where no column does.
    constant: Option<(Pointer, String)>,
    unread: Vec<String>,
}

/// Where a column goes: it is called like a field, or like the member that a field reads, as a name or as a JSON pointer.
fn column(event: &EventType, name: &str) -> Option<(Pointer, Cell)> {
    if let Some(field) = event.fields.iter().find(|field| field.name == name) {
        return Some((field.from.first()?.clone(), cell(&field.ty)));
    }
    let is_it = |at: &Pointer| at.to_string() == name || at.0 == [name];
    for field in &event.fields {
        if let Some(at) = field.from.iter().find(|at| is_it(at)) {
            return Some((at.clone(), cell(&field.ty)));
        }
        if let FieldType::Money { currency: MoneyCurrency::At(at, _), .. } = &field.ty
            && is_it(at)
        {
            return Some((at.clone(), Cell::Text));
        }
    }
    let (at, _) = event.discriminator.as_ref().filter(|(at, _)| is_it(at))?;
    Some((at.clone(), Cell::Text))
}

fn cell(ty: &FieldType) -> Cell {
    match ty {
        FieldType::Number | FieldType::Integer | FieldType::Geo => Cell::Number,
        FieldType::Time { unit } if *unit != TimeUnit::Iso => Cell::Number,
        FieldType::Bool => Cell::Truth,
        _ => Cell::Text,
    }
}

impl Table {
    /// The record of a row. An empty cell is an absent value. What is no number or truth stays a text, which decoding refuses.
    fn body(&self, line: u64, row: &csv::StringRecord) -> Result<Vec<u8>, Bad> {
        let bad = |what: String, mend: &str| Bad { line, code: None, what, mend: mend.to_owned() };
        if row.len() != self.n_columns {
            let what = format!("it has {} cells, the header {}", row.len(), self.n_columns);
            return Err(bad(what, "put cells with commas or line ends into quotes"));
        }
        let mut record = Map::new();
        let constant = self.constant.iter().map(|(at, is)| (at, Value::String(is.clone())));
        let cells = self.columns.iter().zip(row).filter_map(|(column, text)| {
            let (at, cell) = column.as_ref()?;
            (!text.is_empty()).then(|| (at, cell.value(text)))
        });
        for (at, value) in constant.chain(cells) {
            if put(&mut record, at, value).is_none() {
                let what = format!("`{at}` stands within another column's value");
                return Err(bad(what, "keep one of the two columns"));
            }
        }
        serde_json::to_vec(&record).map_err(|error| bad(error.to_string(), "write it as NDJSON"))
    }
}

impl Cell {
    fn value(self, text: &str) -> Value {
        let parsed = match self {
            Self::Text => None,
            Self::Number => serde_json::from_str::<Number>(text).ok().map(Value::Number),
            Self::Truth => text.parse().ok().map(Value::Bool),
        };
        parsed.unwrap_or_else(|| Value::String(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Source, Sources};

    const NOW_MS: i64 = 1_772_445_600_000;

    const SCHEMA: &str = r#"
event pay from "payments"
  id    pay_id : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
event case from "desk" when "/header/type" = "case"
  id    case_id  : text                             from "/header/id"
  time  known_at : time                             from "/closed"
  key   card     : card?
  field about    : text                             from "/payment/id"
  field outcome  : one of [confirmed, cleared, open] from "/payment/outcome"
  field lost     : money?                           from "/lost/value" currency "/lost/currency"
  field pages    : integer?
  field appeal   : bool?
  labels pay by about verdict outcome fraud [confirmed] genuine [cleared]
event note from "desk" when "/header/type" = "note"
  id    note_id : text from "/header/id"
  time  at      : time
"#;

    /// Reads a file of this name and text by this schema and maybe more of it.
    fn read(more: &str, (name, text): (&str, &str), named: Option<&str>) -> Result<Read, Unusable> {
        let file = Source { path: "a.risk".to_owned(), text: format!("{SCHEMA}{more}") };
        let (program, found) = crate::rules::compile(&Sources::of(vec![file]));
        let program = program.expect("a good schema");
        assert!(found.iter().all(|it| it.severity() != crate::diag::Severity::Error));
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(name);
        std::fs::write(&path, text).unwrap();
        let inputs = program.schema.topics();
        let guards = Guards { limits: Limits::default(), future_ms: 300_000, partitioned_by: None };
        Reader::new(&program, (&inputs, named), guards)?.read(&path, NOW_MS)
    }

    fn bodies(read: &Read) -> Vec<Value> {
        assert!(read.bad.is_empty(), "{:?}", read.bad);
        read.records.iter().map(|it| serde_json::from_slice(&it.body).unwrap()).collect()
    }

    #[test]
    fn a_row_becomes_the_record_that_a_hand_would_write() {
        // By the names of fields, of members, and by pointers; what nothing reads is left out, and an empty cell is absent.
        let text = "case_id,closed,about,outcome,/lost/value,/lost/currency,pages,appeal,clerk,card\n\
            k1,2026-03-01T10:00:00Z,p1,confirmed,12.50,EUR,3,true,Ann,c1\n\
            k2,2026-03-01T11:00:00Z,p2,cleared,,,,,,\n";
        let read = read("", ("l.csv", text), None).unwrap();
        let expected = [
            serde_json::json!({"header": {"type": "case", "id": "k1"}, "closed": "2026-03-01T10:00:00Z",
                "payment": {"id": "p1", "outcome": "confirmed"}, "lost": {"value": "12.50", "currency": "EUR"},
                "pages": 3, "appeal": true, "card": "c1"}),
            serde_json::json!({"header": {"type": "case", "id": "k2"}, "closed": "2026-03-01T11:00:00Z",
                "payment": {"id": "p2", "outcome": "cleared"}}),
        ];
        assert_eq!(bodies(&read), expected);
        assert_eq!(read.unread, ["clerk"]);
        // The key of the event, where it has one.
        let keys: Vec<&[u8]> = read.records.iter().map(|it| it.key.as_slice()).collect();
        assert_eq!(keys, [b"c1".as_slice(), b""]);
        assert!(read.records.iter().all(|it| it.topic == "desk"));
        let of = |finding| read.findings.get(&finding).copied();
        assert_eq!(
            (of(Finding::Fraud), of(Finding::Genuine), of(Finding::Open)),
            (Some(1), Some(1), None)
        );
    }

    #[test]
    fn lines_of_json_go_as_they_are_and_what_has_no_id_gets_the_same_one_each_time() {
        let one = r#"{ "header":{"type":"case","id":"k1"}, "closed":"2026-03-01T10:00:00Z","payment":{"id":"p1","outcome":"open"},"more":1 }"#;
        let bare = r#"{"header":{"type":"case"},"closed":"2026-03-01T10:00:00Z","payment":{"id":"p1","outcome":"cleared"}}"#;
        let other = bare.replace("p1", "p2");
        let text = format!("{one}\n\n{bare}\n{other}\n{bare}\n{one}\n");
        let read_it = || read("", ("l.ndjson", &text), None).unwrap();
        let (first, again) = (read_it(), read_it());
        assert_eq!(first.records[0].body, one.as_bytes());
        assert_eq!((first.records.len(), first.repeated), (3, 2));
        let ids: Vec<String> =
            bodies(&first).iter().map(|it| it["header"]["id"].to_string()).collect();
        assert!(ids[1].starts_with("\"import-") && ids[1] != ids[2], "{ids:?}");
        let all = |read: &Read| read.records.iter().map(|it| it.body.clone()).collect::<Vec<_>>();
        assert_eq!(all(&first), all(&again));
    }

    #[test]
    fn what_is_wrong_with_a_line_is_told_with_its_number_and_a_mend() {
        let case = |id: &str, closed: &str, outcome: &str| {
            format!(
                r#"{{"header":{{"type":"case","id":"{id}"}},"closed":"{closed}","payment":{{"id":"p1","outcome":"{outcome}"}}}}"#
            )
        };
        let day = "2026-03-01T10:00:00Z";
        let lines = [
            case("k1", day, "open"),
            case("k2", day, "fraud"),
            case("k3", "yesterday", "open"),
            case("k4", "2026-03-09T10:00:00Z", "open"),
            case("k1", day, "cleared"),
            r#"{"header":{"type":"note","id":"n"},"at":"2026-03-01T10:00:00Z"}"#.to_owned(),
            "no json".to_owned(),
            r#"{"header":{"type":"case","id":"k5"},"closed":"2026-03-01T10:00:00Z","payment":{"outcome":"open"}}"#.to_owned(),
            case("k6", day, "open"),
        ];
        let read = read("", ("l.ndjson", &lines.join("\n")), None).unwrap();
        let told: Vec<(u64, Option<&str>)> = read.bad.iter().map(|it| (it.line, it.code)).collect();
        let of = |reason: Reason| Some(reason.info().code);
        let expected = [
            (2, of(Reason::UnknownMember)),
            (3, of(Reason::BadTime)),
            (4, None),
            (5, None),
            (6, None),
            (7, of(Reason::InvalidJson)),
            (8, of(Reason::MissingField)),
        ];
        assert_eq!(told, expected);
        let says = |at: usize, what: &str, mend: &str| {
            let bad = &read.bad[at];
            assert!(bad.what.contains(what) && bad.mend.contains(mend), "{bad:?}");
        };
        says(0, "case.outcome", "confirmed, cleared, open");
        says(1, "case.known_at", "2026-01-31T10:00:00Z");
        says(2, "future", "when it became known");
        says(3, "of line 1", "an id of its own");
        says(4, "no event of type `case`", "nothing else");
        says(6, "case.about", "text at /payment/id");
        assert_eq!(read.records.len(), 2, "the good ones are k1 and k6");
    }

    #[test]
    fn a_header_that_does_not_do_is_told_before_any_line() {
        let refused = |more: &str, header: &str, named: Option<&str>| {
            read(more, ("l.csv", &format!("{header}\n")), named).unwrap_err().to_string()
        };
        let said = refused("", "case_id,known_at,abuot,outcome", None);
        assert!(
            said.contains("no column gives `case.about`") && said.contains("is it `abuot`?"),
            "{said}"
        );
        let said = refused("", "known_at,closed,about,outcome", None);
        assert!(said.contains("`closed` gives again"), "{said}");
        let said = refused("", "x", Some("cases"));
        assert!(said.contains("did you mean `case`?"), "{said}");
        let second = "event dispute from \"disputes\"\n  id id : text\n  time at : time\n  field about : text\n  \
            field fraud : bool\n  labels pay by about verdict fraud\n";
        let said = refused(second, "id,at,about,fraud", None);
        assert!(said.contains("--event") && said.contains("case, dispute"), "{said}");
        let text = "id,at,about,fraud\nd1,2026-03-01T10:00:00Z,p1,true\nd2,2026-03-01T10:00:00Z,p1,yes\nd3,x\n";
        let read = read(second, ("l.csv", text), Some("dispute")).unwrap();
        let lines: Vec<u64> = read.bad.iter().map(|it| it.line).collect();
        assert_eq!((read.records.len(), lines), (1, vec![3, 4]));
        // The byte would be one of the record that the row became.
        assert!(read.bad.iter().all(|bad| !bad.what.contains("byte")), "{:?}", read.bad);
    }
}
