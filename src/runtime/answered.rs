//! What the output topics tell whoever goes on: the order in which records were decided, and what readers have seen already
//! of records that nobody committed.
//!
//! An engine over several partitions decided their records in the order in which they came, which no partition remembers.
//! Each output carries the number of its record in that order, so a replay takes it again; without, a hold that the first
//! reading placed might never be ended. Records without outputs follow the one before them in their partition. Outputs that
//! were on their way are lost with their process; so those of the next record name the one before it, where that is of
//! another partition.
//!
//! Without transactions outputs are written before the offset behind them is committed, so whoever goes on after a crash
//! decides some records again. What the topics show of these is not written twice, and until they are passed the rule set
//! stays that decided them: else one payment would be decided by two.
//!
//! Where to look: each commit notes the time, by the clock of its process, from which on outputs of records behind it may
//! have been written. Where the topics cannot be read in time, outputs may come twice, with the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use crate::base::planted::{Bug, is_planted};
use crate::config::Config;
use crate::runtime::delivery::{FOLLOWS, OutputTopics};
use crate::runtime::error::RunError;
use crate::runtime::log::{Fetched, Log, LogError, Partition, Read, Reader as _, Source as _};
use crate::runtime::note::Note;
use crate::runtime::port::Output;
use crate::runtime::recovery::{Start, Tools};
use crate::telemetry::happening;

/// How far the clocks of brokers and processes may lie apart, where a topic is stamped by its broker.
const SKEW_MS: i64 = 2_000;
/// How long the topics are read at most.
const LIMIT: Duration = Duration::from_secs(30);
/// How many outputs are read at most, the newest.
const MOST: i64 = 4_000_000;

/// One output: its topic and the hash of its body.
type Seen = (Arc<str>, u64);

/// See the module.
pub(crate) struct Answered {
    topics: OutputTopics,
    /// By partition of the input and offset.
    seen: BTreeMap<Partition, BTreeMap<i64, BTreeSet<Seen>>>,
    /// The last record of each partition that is known to have been decided before and is to be decided again. Its own
    /// answers may be lost, where those of the next one name it.
    reach: BTreeMap<Partition, i64>,
    order: Order,
}

/// In which order the records of several partitions were decided, as far as that is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Order {
    lanes: BTreeMap<Partition, Arc<Numbers>>,
    /// Of records whose own answers may be lost: what those of the next one say.
    guesses: BTreeMap<Partition, Numbers>,
}

/// The numbers of a partition's records, by offset.
pub(crate) type Numbers = BTreeMap<i64, u64>;

impl Order {
    /// What is known of a partition.
    pub(crate) fn of(&self, partition: &Partition) -> Arc<Numbers> {
        self.lanes.get(partition).cloned().unwrap_or_default()
    }

    /// The number of a record.
    pub(crate) fn number(&self, partition: &Partition, offset: i64) -> Option<u64> {
        let known = self.lanes.get(partition).and_then(|numbers| numbers.get(&offset));
        let guessed = || self.guesses.get(partition)?.get(&offset);
        known.or_else(guessed).copied()
    }

    /// Notes what an answer says of its record. WHY: of several processes the first one counts, whose answers were seen.
    fn note(&mut self, partition: &Partition, offset: i64, sequence: u64) {
        let numbers = self.lanes.entry(partition.clone()).or_default();
        Arc::make_mut(numbers).entry(offset).or_insert(sequence);
    }

    fn guess(&mut self, partition: &Partition, offset: i64, sequence: u64) {
        self.guesses.entry(partition.clone()).or_default().entry(offset).or_insert(sequence);
    }

    /// The largest number.
    pub(crate) fn last(&self) -> u64 {
        let all = self.lanes.values().flat_map(|numbers| numbers.values());
        all.copied().max().unwrap_or(0)
    }
}

impl Answered {
    /// Nothing is known of any record.
    pub(crate) fn nothing(config: &Config) -> Self {
        let (seen, reach, order) = (BTreeMap::new(), BTreeMap::new(), Order::default());
        Self { topics: OutputTopics::of(&config.topics), seen, reach, order }
    }

    /// Looks at the output topics for answers to records behind the committed offsets; and for the order since a time, in ms
    /// since 1970, where somebody needs that. A topic that cannot be read is told and left out.
    ///
    /// Cost: reads what was written since then, or since the oldest of the notes.
    pub(crate) fn look<L: Log, E>(
        starts: &[Start],
        ordered_since_ms: Option<i64>,
        tools: &Tools<'_, L, E>,
    ) -> Self {
        let mut answered = Self::nothing(tools.config);
        let since = |(_, position): &Start| Note::parse(&position.as_ref()?.note).outputs_since_ms;
        let noted = starts.iter().filter_map(since).min();
        let Some(since_ms) = noted.into_iter().chain(ordered_since_ms).min() else {
            return answered;
        };
        if is_planted(Bug::AnswersForgotten) {
            return answered;
        }
        let deadline = tools.clock.now() + LIMIT;
        for topic in answered.topics.distinct() {
            if let Err(error) = answered.read(&topic, since_ms - SKEW_MS, starts, tools, deadline) {
                happening::AnswersUnknown { topic: &topic, error: &error }.emit();
            }
        }
        let n_records: usize = answered.seen.values().map(BTreeMap::len).sum();
        if n_records > 0 {
            happening::AnswersFound { records: n_records }.emit();
        }
        answered
    }

    /// Forgets the order once no record is to be decided again by it: it may be large.
    pub(crate) fn forget_order(&mut self) {
        if self.is_passed() {
            self.order = Order::default();
        }
    }

    /// The order that was found.
    pub(crate) fn order(&self) -> &Order {
        &self.order
    }

    /// The partitions with records that were decided before and are to be decided again, and the last offset of each.
    pub(crate) fn ends(&self) -> impl Iterator<Item = (&Partition, i64)> {
        self.reach.iter().map(|(partition, last)| (partition, *last))
    }

    /// Whether no record that was decided before is to be decided again.
    pub(crate) fn is_passed(&self) -> bool {
        self.reach.is_empty()
    }

    /// Whether records of a partition from this offset on were decided before.
    pub(crate) fn is_ahead(&self, partition: &Partition, next: i64) -> bool {
        self.reach.get(partition).is_some_and(|last| *last >= next)
    }

    /// Leaves out of a record's outputs what is there already.
    pub(crate) fn leave_out(
        &mut self,
        (partition, offset): (&Partition, i64),
        outputs: &mut Vec<Output>,
    ) {
        if self.is_passed() {
            return;
        }
        let seen = self.seen.get_mut(partition).and_then(|seen| seen.remove(&offset));
        if let Some(known) = seen {
            let topics = &self.topics;
            outputs.retain(|output| {
                !known.contains(&(topics.name(output.topic), xxh3_64(&output.body)))
            });
        }
        if !self.is_ahead(partition, offset + 1) {
            self.seen.remove(partition);
            self.reach.remove(partition);
            self.forget_order();
        }
    }

    /// Reads a topic from this time on to its present end.
    fn read<L: Log, E>(
        &mut self,
        topic: &Arc<str>,
        since_ms: i64,
        starts: &[Start],
        tools: &Tools<'_, L, E>,
        deadline: Duration,
    ) -> Result<(), String> {
        let (log_error, run_error) =
            (|error: LogError| error.text, |error: RunError| error.to_string());
        let timeout = tools.config.call_timeout();
        tools.health.tick();
        let n = tools.source.n_partitions(topic, timeout).map_err(log_error)?;
        let number = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
        let all = (0..n).map(|it| Partition { topic: Arc::clone(topic), number: number(it) });
        let all: Vec<Partition> = all.collect();
        let found = tools.source.offsets_at(&all, since_ms, timeout).map_err(log_error)?;
        let mut left: BTreeMap<i32, i64> = BTreeMap::new();
        let mut froms = Vec::new();
        for (partition, from) in all.into_iter().zip(found) {
            let Some(from) = from else { continue };
            let (_, high) = tools.source.bounds(&partition, timeout).map_err(log_error)?;
            let from = from.max(high - MOST / i64::from(n.max(1)));
            if from < high {
                left.insert(partition.number, high);
                froms.push((partition, Some(from)));
            }
        }
        if froms.is_empty() {
            return Ok(());
        }
        let reader = tools.log.reader(&froms).map_err(run_error)?;
        while !left.is_empty() {
            tools.health.tick();
            if tools.clock.now() > deadline {
                return Err("it takes too long to read it".to_owned());
            }
            match reader.poll(Duration::from_millis(50)).map_err(run_error)? {
                Read::Nothing => {}
                Read::End(number) => _ = left.remove(&number),
                Read::Trouble(trouble) if trouble.offset_gone => return Err(trouble.error),
                Read::Trouble(trouble) => {
                    let attempted = "look for answers that are written already";
                    let (code, error) = (trouble.code.as_str(), trouble.error.as_str());
                    happening::KafkaTrouble { attempted, code, error }.emit();
                }
                Read::Record(record) => {
                    self.note(topic, &record, starts);
                    let input = record.input();
                    if left.get(&input.partition).is_some_and(|high| input.offset + 1 >= *high) {
                        left.remove(&input.partition);
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes an output if it answers a record that is still to be decided.
    fn note(&mut self, topic: &Arc<str>, record: &impl Fetched, starts: &[Start]) {
        let Some((of, number, offset)) = source(record) else { return };
        let is_it = |(partition, _): &&Start| *partition.topic == *of && partition.number == number;
        let Some((partition, position)) = starts.iter().find(is_it) else { return };
        if let Some(sequence) = header(record, "sequence").and_then(|text| text.parse().ok()) {
            self.order.note(partition, offset, sequence);
            if let Some(before) = header(record, FOLLOWS).and_then(place) {
                self.note_before(before, sequence, starts);
            }
        }
        if position.as_ref().is_none_or(|position| position.offset > offset) {
            return;
        }
        let body = xxh3_64(record.input().payload.unwrap_or_default());
        let seen = self.seen.entry(partition.clone()).or_default();
        seen.entry(offset).or_default().insert((Arc::clone(topic), body));
        self.reach(partition, offset);
    }

    /// Notes a record that was decided just before another one, of this number.
    fn note_before(&mut self, before: (&str, i32, i64), sequence: u64, starts: &[Start]) {
        let (topic, number, offset) = before;
        let is_it = |(at, _): &&Start| *at.topic == *topic && at.number == number;
        let Some((partition, position)) = starts.iter().find(is_it) else { return };
        self.order.guess(partition, offset, sequence.saturating_sub(1));
        if position.as_ref().is_some_and(|position| position.offset <= offset) {
            self.reach(partition, offset);
        }
    }

    fn reach(&mut self, partition: &Partition, offset: i64) {
        let last = self.reach.entry(partition.clone()).or_insert(offset);
        *last = offset.max(*last);
    }
}

/// The record that is meant by `TOPIC/PARTITION/OFFSET`.
fn place(text: &str) -> Option<(&str, i32, i64)> {
    let mut parts = text.rsplitn(3, '/');
    let (offset, number) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some((parts.next()?, number, offset))
}

/// Which record an output answers, by its headers.
pub(crate) fn source(record: &impl Fetched) -> Option<(&str, i32, i64)> {
    let (number, offset) = (header(record, "source_partition")?, header(record, "source_offset")?);
    Some((header(record, "source_topic")?, number.parse().ok()?, offset.parse().ok()?))
}

/// A header's text.
pub(crate) fn header<'r>(record: &'r impl Fetched, name: &str) -> Option<&'r str> {
    core::str::from_utf8(record.header(name)?).ok()
}
