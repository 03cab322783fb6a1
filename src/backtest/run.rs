//! Drives the engine over files. With more than one thread, decoding runs ahead on the others, block by block; the
//! engine takes the blocks in input order, so the number of threads cannot change a byte of the output.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::backtest::input::{Format, InputError, open, source_name};
use crate::backtest::lines::{Block, LineReader, Lines};
use crate::engine::{Decoded, Engine, Input, Sink, StreamId};
use crate::event::error::{DecodeError, Reason};
use crate::event::mapping::{DecodeScratch, Decoder, TopicIdx};
use crate::event::row::Row;

/// Blocks that may wait in front of and behind each decoding thread.
const BLOCKS_WAITING: usize = 2;

/// Records whose state is loaded together, before the first of them is decided.
const RECORDS_AHEAD: usize = 64;

/// What to read, and how.
#[derive(Clone, Debug)]
pub struct Job {
    /// Files, read one after the other as one history.
    pub inputs: Vec<PathBuf>,
    /// Decode every record as one of this topic; `None`: any event type of the schema.
    pub topic: Option<String>,
    /// Threads in all, at least 1.
    pub threads: usize,
}

/// Runs a job. `watch` is told the number of records so far, now and then; it may ask to stop by returning false.
///
/// # Errors
/// When an input cannot be read; what was decided before is emitted.
pub fn run(
    engine: &mut Engine,
    job: &Job,
    sink: &mut impl Sink,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<(), InputError> {
    engine.announce(sink);
    drive(engine, job, &mut Deciding(sink), watch)
}

/// Takes decoded records, in order.
pub trait Taker {
    /// One record of a stream of the engine.
    fn take(
        &mut self,
        engine: &mut Engine,
        input: &Input<'_>,
        decoded: Result<Decoded<'_>, DecodeError>,
    );
}

/// Decides on every record.
struct Deciding<'s, S>(&'s mut S);

impl<S: Sink> Taker for Deciding<'_, S> {
    fn take(
        &mut self,
        engine: &mut Engine,
        input: &Input<'_>,
        decoded: Result<Decoded<'_>, DecodeError>,
    ) {
        engine.decide(input, decoded, self.0);
    }
}

/// Reads the files of a job and hands their records over; `watch` as in [`run()`].
///
/// # Errors
/// When an input cannot be read.
pub fn drive(
    engine: &mut Engine,
    job: &Job,
    taker: &mut impl Taker,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<(), InputError> {
    let mut first: Option<StreamId> = None;
    for path in &job.inputs {
        let name = job.topic.clone().unwrap_or_else(|| source_name(path));
        let partition = 0;
        let stream = match first {
            Some(first) => engine.open_continuation(&name, partition, first),
            None => engine.open_stream(&name, partition),
        };
        first = first.or(Some(stream));
        let opened = open(path)?;
        let more = match opened.format {
            Format::Csv => csv_file(engine, path, opened.bytes, stream, taker, watch)?,
            Format::Ndjson => {
                let reader = LineReader::new(path, opened.bytes);
                if job.threads > 1 {
                    let helpers = job.threads - 1;
                    decode_ahead(engine, reader, stream, helpers, taker, watch)?
                } else {
                    one_by_one(engine, reader, stream, taker, watch)?
                }
            }
        };
        if !more {
            break;
        }
    }
    Ok(())
}

fn one_by_one(
    engine: &mut Engine,
    mut reader: LineReader<'_>,
    stream: StreamId,
    taker: &mut impl Taker,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, InputError> {
    let decoder = std::sync::Arc::clone(engine.decoder());
    let topic = engine.topic_of(stream);
    let (mut block, mut records) = (Block::default(), Records::default());
    let mut scratch = DecodeScratch::default();
    while reader.fill(&mut block)? {
        // WHY: a few records at a time, so that what decoding wrote is still close when it is decided on.
        for lines in block.lines().chunks(RECORDS_AHEAD) {
            records.decode(lines, &decoder, topic, &mut scratch);
            records.decide(lines, engine, stream, taker);
        }
        if !watch(engine.counters().read) {
            return Ok(false);
        }
    }
    Ok(true)
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

    /// Decides on the lines that were decoded.
    fn decide(
        &mut self,
        lines: Lines<'_>,
        engine: &mut Engine,
        stream: StreamId,
        taker: &mut impl Taker,
    ) {
        let mut results = self.results.drain(..);
        for (lines, rows) in lines.chunks(RECORDS_AHEAD).zip(self.rows.chunks(RECORDS_AHEAD)) {
            let records = || lines.iter().zip(rows);
            let decoded = records().zip(results.as_slice()).filter(|(_, result)| result.is_ok());
            engine.anticipate(decoded.map(|(((_, raw), row), _)| Decoded { raw, row }));
            for (((offset, raw), row), result) in records().zip(&mut results) {
                let input = Input { stream, offset, arrival_ms: None, payload: Some(raw) };
                taker.take(engine, &input, result.map(|()| Decoded { raw, row }));
            }
        }
    }
}

fn decode_ahead(
    engine: &mut Engine,
    mut reader: LineReader<'_>,
    stream: StreamId,
    helpers: usize,
    taker: &mut impl Taker,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, InputError> {
    let decoder = std::sync::Arc::clone(engine.decoder());
    let topic = engine.topic_of(stream);
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
        feed(engine, &mut reader, stream, lanes, taker, watch)
    })
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

/// Gives blocks to the lanes in turn and takes them back in the same turn.
fn feed(
    engine: &mut Engine,
    reader: &mut LineReader<'_>,
    stream: StreamId,
    mut lanes: Vec<Lane>,
    taker: &mut impl Taker,
    watch: &mut dyn FnMut(u64) -> bool,
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
        block.records.decide(block.block.lines(), engine, stream, taker);
        spare.push(block);
        if !watch(engine.counters().read) {
            return Ok(false);
        }
    }
}

/// Records between two calls of the watcher in a CSV file.
const CSV_WATCH_RECORDS: i64 = 4096;

fn csv_file(
    engine: &mut Engine,
    path: &Path,
    bytes: Box<dyn std::io::Read + Send>,
    stream: StreamId,
    taker: &mut impl Taker,
    watch: &mut dyn FnMut(u64) -> bool,
) -> Result<bool, InputError> {
    let broken =
        |error: csv::Error| InputError::Csv { path: path.to_owned(), message: error.to_string() };
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
    let header = reader.headers().map_err(broken)?.clone();
    let decoder = std::sync::Arc::clone(engine.decoder());
    let topic = engine.topic_of(stream);
    let (mut scratch, mut row) = (DecodeScratch::default(), Row::default());
    let mut record = csv::ByteRecord::new();
    let mut offset = 0_i64;
    while reader.read_byte_record(&mut record).map_err(broken)? {
        let number = offset.to_string();
        let result = pairs(&header, &record, &number)
            .and_then(|pairs| decoder.decode_pairs(topic, &pairs, &mut scratch, &mut row));
        // Only a dead letter shows the record itself.
        let line = if result.is_err() { joined(&record) } else { Vec::new() };
        let input = Input { stream, offset, arrival_ms: None, payload: Some(&line) };
        taker.take(engine, &input, result.map(|()| Decoded { raw: &[], row: &row }));
        offset += 1;
        if offset % CSV_WATCH_RECORDS == 0 && !watch(engine.counters().read) {
            return Ok(false);
        }
    }
    Ok(watch(engine.counters().read))
}

/// The column that every record of a table has beside those of its file: the index of the record, from 0. A schema
/// reads it as `from "/#row"`, for instance as the id of records that have none.
const ROW_COLUMN: &str = "#row";

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
    let blank = pairs.iter().all(|(_, cell)| cell.is_empty());
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
