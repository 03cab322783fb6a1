//! Drives the engine over files. With more than one thread, decoding runs ahead on the others, block by block; the
//! engine takes the blocks in input order, so the number of threads cannot change a byte of the output.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::backtest::input::{Format, InputError, open, source_name};
use crate::backtest::lines::{Block, LineReader, Lines};
use crate::backtest::quotes::Quotes;
use crate::engine::{Decoded, Engine, Input, Sink, StreamId};
use crate::event::error::{DecodeError, Reason};
use crate::event::mapping::{DecodeScratch, Decoder, TopicIdx};
use crate::event::row::Row;

/// Blocks that may wait in front of and behind each decoding thread.
const BLOCKS_WAITING: usize = 2;

/// Records whose state is loaded together, before the first of them is decided.
const RECORDS_AHEAD: usize = 64;

/// What to read, and how.
#[derive(Clone, Debug, Default)]
pub struct Job {
    /// Files, read one after the other as one history.
    pub inputs: Vec<PathBuf>,
    /// Decode every record as one of this topic; `None`: any event type of the schema.
    pub topic: Option<String>,
    /// Threads in all; 0 counts as 1.
    pub threads: usize,
    /// When all records arrived, in ms since 1970: events beyond it are from the future, as in the service. `None`: files
    /// do not say when, and every event time is believed.
    pub arrived_ms: Option<i64>,
}

/// What a run saw of its files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// What became of the records of each file, in the order of the files.
    pub files: Vec<FileRan>,
    /// The furthest that one event moved the clock.
    pub leap: Option<Leap>,
}

/// What became of the records of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRan {
    /// The file.
    pub path: PathBuf,
    /// Records that were decided.
    pub decided: u64,
    /// Records in the dead letters.
    pub dead_lettered: u64,
}

/// An event that moved the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leap {
    /// How far, in ms.
    pub by_ms: i64,
    /// To when: its event time in ms since 1970.
    pub to_ms: i64,
    /// Where it stands: `line 17 of x.ndjson`.
    pub place: String,
}

/// Runs a job. `watch` is told the number of records so far, now and then; it may ask to stop by returning false.
///
/// # Errors
/// When an input cannot be read; what was decided before is emitted.
pub fn run<S: Sink>(
    engine: &mut Engine,
    job: &Job,
    sink: &mut S,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<Ran, InputError> {
    let mut deciding =
        Deciding { sink, ran: Ran::default(), format: Format::Ndjson, clock_ms: None };
    drive(engine, job, &mut deciding, watch)?;
    Ok(deciding.ran)
}

/// Takes decoded records, in order.
pub trait Taker {
    /// The records that follow are those of this file.
    fn begin(&mut self, path: &Path, format: Format);

    /// One record of a stream of the engine.
    fn take(
        &mut self,
        engine: &mut Engine,
        input: &Input<'_>,
        decoded: Result<Decoded<'_>, DecodeError>,
    );
}

/// Decides on every record.
struct Deciding<'s, S> {
    sink: &'s mut S,
    ran: Ran,
    format: Format,
    /// Where the clock stands.
    clock_ms: Option<i64>,
}

impl<S: Sink> Taker for Deciding<'_, S> {
    fn begin(&mut self, path: &Path, format: Format) {
        self.format = format;
        self.ran.files.push(FileRan { path: path.to_owned(), decided: 0, dead_lettered: 0 });
    }

    fn take(
        &mut self,
        engine: &mut Engine,
        input: &Input<'_>,
        decoded: Result<Decoded<'_>, DecodeError>,
    ) {
        let time_ms = decoded.as_ref().ok().map(|event| event.row.time_ms);
        let n_future = engine.counters().future;
        engine.announce(input, self.sink);
        engine.decide(input, decoded, self.sink);
        let Some(file) = self.ran.files.last_mut() else { return };
        let Some(time_ms) = time_ms else {
            file.dead_lettered += 1;
            return;
        };
        file.decided += 1;
        if engine.counters().future == n_future {
            self.follow(time_ms, input.offset);
        }
    }
}

impl<S> Deciding<'_, S> {
    /// Follows the clock, and remembers what moved it furthest.
    fn follow(&mut self, time_ms: i64, offset: i64) {
        let clock_ms = self.clock_ms.unwrap_or(time_ms);
        self.clock_ms = Some(clock_ms.max(time_ms));
        let by_ms = time_ms.saturating_sub(clock_ms);
        if by_ms <= self.ran.leap.as_ref().map_or(0, |leap| leap.by_ms) {
            return;
        }
        let Some(file) = self.ran.files.last() else { return };
        let unit = if self.format == Format::Csv { "record" } else { "line" };
        let place = format!("{unit} {} of {}", offset.saturating_add(1), source_name(&file.path));
        self.ran.leap = Some(Leap { by_ms, to_ms: time_ms, place });
    }
}

/// Reads the files of a job and hands their records over; `watch` as in [`run()`].
///
/// # Errors
/// When an input cannot be read.
pub fn drive<T: Taker>(
    engine: &mut Engine,
    job: &Job,
    taker: &mut T,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<(), InputError> {
    let mut drive = Drive { engine, taker, watch, arrived_ms: job.arrived_ms };
    let mut first: Option<StreamId> = None;
    for path in &job.inputs {
        let name = job.topic.clone().unwrap_or_else(|| source_name(path));
        let partition = 0;
        let stream = match first {
            Some(first) => drive.engine.open_continuation(&name, partition, first),
            None => drive.engine.open_stream(&name, partition),
        };
        first = first.or(Some(stream));
        let opened = open(path)?;
        drive.taker.begin(path, opened.format);
        let more = match opened.format {
            Format::Csv => drive.csv_file(path, opened.bytes, stream)?,
            Format::Ndjson => {
                let reader = LineReader::new(path, opened.bytes);
                if job.threads > 1 {
                    drive.decode_ahead(reader, stream, job.threads - 1)?
                } else {
                    drive.one_by_one(reader, stream)?
                }
            }
        };
        if !more {
            break;
        }
    }
    Ok(())
}

/// What the records of all files go through.
struct Drive<'d, T> {
    engine: &'d mut Engine,
    taker: &'d mut T,
    watch: &'d mut dyn FnMut(u64) -> bool,
    arrived_ms: Option<i64>,
}

impl<T: Taker> Drive<'_, T> {
    /// Whether to go on.
    fn goes_on(&mut self) -> bool {
        (self.watch)(self.engine.counters().read)
    }

    fn one_by_one(
        &mut self,
        mut reader: LineReader<'_>,
        stream: StreamId,
    ) -> Result<bool, InputError> {
        let decoder = std::sync::Arc::clone(self.engine.decoder());
        let topic = self.engine.topic_of(stream);
        let (mut block, mut records) = (Block::default(), Records::default());
        let mut scratch = DecodeScratch::default();
        while reader.fill(&mut block)? {
            // WHY: a few records at a time, so that what decoding wrote is still close when it is decided on.
            for lines in block.lines().chunks(RECORDS_AHEAD) {
                records.decode(lines, &decoder, topic, &mut scratch);
                self.decide(&mut records, lines, stream);
            }
            if !self.goes_on() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Decides on the lines that were decoded.
    fn decide(&mut self, records: &mut Records, lines: Lines<'_>, stream: StreamId) {
        let Records { rows, results } = records;
        let mut results = results.drain(..);
        for (lines, rows) in lines.chunks(RECORDS_AHEAD).zip(rows.chunks(RECORDS_AHEAD)) {
            let records = || lines.iter().zip(rows);
            let decoded = records().zip(results.as_slice()).filter(|(_, result)| result.is_ok());
            self.engine.anticipate(decoded.map(|(((_, raw), row), _)| Decoded { raw, row }));
            for (((offset, raw), row), result) in records().zip(&mut results) {
                let arrival_ms = self.arrived_ms;
                let input = Input { stream, offset, arrival_ms, payload: Some(raw) };
                self.taker.take(self.engine, &input, result.map(|()| Decoded { raw, row }));
            }
        }
    }

    fn decode_ahead(
        &mut self,
        mut reader: LineReader<'_>,
        stream: StreamId,
        helpers: usize,
    ) -> Result<bool, InputError> {
        let decoder = std::sync::Arc::clone(self.engine.decoder());
        let topic = self.engine.topic_of(stream);
        thread::scope(|scope| {
            let lanes: Vec<Lane> = (0..helpers)
                .map(|_| {
                    let (give, take) = sync_channel::<DecodedBlock>(BLOCKS_WAITING);
                    let (done, ready) = sync_channel::<DecodedBlock>(BLOCKS_WAITING);
                    let decoder = &decoder;
                    scope.spawn(move || decode_lane(decoder, topic, &take, &done));
                    Lane { give, ready, waiting: 0 }
                })
                .collect();
            self.feed(&mut reader, stream, lanes)
        })
    }

    /// Gives blocks to the lanes in turn and takes them back in the same turn.
    fn feed(
        &mut self,
        reader: &mut LineReader<'_>,
        stream: StreamId,
        mut lanes: Vec<Lane>,
    ) -> Result<bool, InputError> {
        let (mut next_give, mut next_take) = (0, 0);
        let mut spare: Vec<DecodedBlock> = Vec::new();
        let n_lanes = lanes.len();
        let mut reading = true;
        loop {
            while reading && lanes[next_give].waiting < BLOCKS_WAITING {
                let mut block = spare.pop().unwrap_or_default();
                reading = reader.fill(&mut block.block)?;
                if !reading || lanes[next_give].give.send(block).is_err() {
                    break;
                }
                lanes[next_give].waiting += 1;
                next_give = (next_give + 1) % n_lanes;
            }
            let lane = &mut lanes[next_take];
            if lane.waiting == 0 {
                return Ok(true);
            }
            let Ok(mut block) = lane.ready.recv() else { return Ok(true) };
            lane.waiting -= 1;
            next_take = (next_take + 1) % n_lanes;
            self.decide(&mut block.records, block.block.lines(), stream);
            spare.push(block);
            if !self.goes_on() {
                return Ok(false);
            }
        }
    }

    fn csv_file(
        &mut self,
        path: &Path,
        bytes: Box<dyn std::io::Read + Send>,
        stream: StreamId,
    ) -> Result<bool, InputError> {
        let broken = |error: csv::Error| InputError::csv(path, &error);
        // WHY: rows of another width are judged one by one below, not an error that ends the file.
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(Quotes::new(bytes));
        let header = reader.headers().map_err(broken)?.clone();
        let decoder = std::sync::Arc::clone(self.engine.decoder());
        let topic = self.engine.topic_of(stream);
        let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
        let mut record = csv::ByteRecord::new();
        let mut offset = 0_i64;
        while reader.read_byte_record(&mut record).map_err(broken)? {
            let number = offset.to_string();
            let result = pairs(&header, &record, &number)
                .and_then(|pairs| decoder.decode_pairs(topic, &pairs, &mut scratch, &mut row));
            // Only a dead letter shows the record itself.
            let line = if result.is_err() { joined(&record) } else { Vec::new() };
            let input = Input { stream, offset, arrival_ms: self.arrived_ms, payload: Some(&line) };
            self.taker.take(self.engine, &input, result.map(|()| Decoded { raw: &[], row: &row }));
            offset += 1;
            if offset % CSV_WATCH_RECORDS == 0 && !self.goes_on() {
                return Ok(false);
            }
        }
        Ok(self.goes_on())
    }
}

/// A block with its records, on its way from a decoding thread to the engine.
#[derive(Debug, Default)]
struct DecodedBlock {
    block: Block,
    records: Records,
}

/// Decoded lines.
#[derive(Debug, Default)]
struct Records {
    rows: Vec<Row>,
    results: Vec<Result<(), DecodeError>>,
}

impl Records {
    fn decode(
        &mut self,
        lines: Lines<'_>,
        decoder: &Decoder,
        topic: Option<TopicIdx>,
        scratch: &mut DecodeScratch,
    ) {
        self.results.clear();
        for (index, (_, line)) in lines.iter().enumerate() {
            if self.rows.len() == index {
                self.rows.push(Row::default());
            }
            let row = &mut self.rows[index];
            self.results.push(match topic {
                Some(topic) => decoder.decode(topic, line, scratch, row),
                None => decoder.decode_any(line, scratch, row),
            });
        }
    }
}

/// One decoding thread as the engine's thread sees it.
#[derive(Debug)]
struct Lane {
    give: SyncSender<DecodedBlock>,
    ready: Receiver<DecodedBlock>,
    waiting: usize,
}

fn decode_lane(
    decoder: &Decoder,
    topic: Option<TopicIdx>,
    take: &Receiver<DecodedBlock>,
    done: &SyncSender<DecodedBlock>,
) {
    let mut scratch = DecodeScratch::default();
    while let Ok(mut block) = take.recv() {
        block.records.decode(block.block.lines(), decoder, topic, &mut scratch);
        if done.send(block).is_err() {
            return;
        }
    }
}

/// Records between two calls of the watcher in a CSV file.
const CSV_WATCH_RECORDS: i64 = 4096;

/// The column that every record of a table has beside those of its file: the index of the record, from 0. A schema
/// reads it as `from "/#row"`, for instance as the id of records that have none.
pub(super) const ROW_COLUMN: &str = "#row";

/// The cells of a record by column. A blank record has none, so that it is refused as empty.
fn pairs<'a>(
    header: &'a csv::StringRecord,
    record: &'a csv::ByteRecord,
    number: &'a str,
) -> Result<Vec<(&'a str, &'a str)>, DecodeError> {
    let cells = header.iter().zip(record.iter());
    let pair = |(name, cell)| core::str::from_utf8(cell).ok().map(|text| (name, text));
    let pairs: Option<Vec<(&str, &str)>> = cells.map(pair).collect();
    let mut pairs = pairs.ok_or_else(|| DecodeError::record(Reason::InvalidUtf8))?;
    let blank = record.iter().all(<[u8]>::is_empty);
    if !blank && record.len() != header.len() {
        return Err(DecodeError::record(Reason::WrongWidth));
    }
    if !blank && !header.iter().any(|name| name == ROW_COLUMN) {
        pairs.push((ROW_COLUMN, number));
    }
    Ok(pairs)
}

/// The record as a line of CSV again, for the dead letters.
fn joined(record: &csv::ByteRecord) -> Vec<u8> {
    let mut line = Vec::new();
    for (index, cell) in record.iter().enumerate() {
        if index > 0 {
            line.push(b',');
        }
        let quote = cell.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
        if quote {
            line.push(b'"');
        }
        for byte in cell {
            if quote && *byte == b'"' {
                line.push(b'"');
            }
            line.push(*byte);
        }
        if quote {
            line.push(b'"');
        }
    }
    line
}
