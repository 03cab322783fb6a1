//! Topics read from a time or an offset on up to their present end, by nobody's group: what was written down.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::runtime::answered::{header, source};
use crate::runtime::delivery::EPOCH;
use crate::runtime::error::{RunError, Stage};
use crate::runtime::kafka::Kafka;
use crate::runtime::log::{
    Fetched as _, Log, LogError, Partition, Read, Reader as _, Source as _, Trouble,
};
use crate::runtime::rederive::bounds::{Bounded, Bounds};
use crate::runtime::rederive::compare::source_of;
use crate::telemetry::happening;

/// Most records of one decision that are looked at: those of repeats have its id, too.
const MOST_FOUND: usize = 1_000;

/// A record of the input.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordAt {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// An output as it was written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Where it stands.
    pub at: RecordAt,
    /// The record that its headers say it answers.
    pub answers: Option<RecordAt>,
    /// The epoch that it announces, as its header tells it.
    pub epoch: Option<String>,
    /// The log's own time of it, ms since 1970, where there is one.
    pub logged_ms: Option<i64>,
    /// Its bytes.
    pub body: Vec<u8>,
}

impl Stored {
    /// The record that it answers, by its headers; else by what it says.
    pub fn source(&self) -> Option<RecordAt> {
        let told = || source_of(&serde_json::from_slice(&self.body).ok()?);
        self.answers.clone().or_else(told)
    }
}

/// Reads the decisions and returns those of an id, oldest first within a partition. `since_ms`: only what was written
/// since then, in ms since 1970.
///
/// # Errors
/// The brokers do not answer, or refuse.
pub fn find_decision(
    config: &Config,
    id: &str,
    since_ms: Option<i64>,
) -> Result<Vec<Stored>, RunError> {
    let begin = begin(id);
    let mut found = Vec::new();
    let topic = &config.topics.decisions;
    read_topic(config, topic, since_ms, &mut |stored| {
        if stored.body.starts_with(begin.as_bytes()) && found.len() < MOST_FOUND {
            found.push(stored);
        }
    })?;
    Ok(found)
}

/// How the record of a decision begins.
fn begin(id: &str) -> String {
    format!("{{\"schema\":\"riskweir.decision.v1\",\"decision_id\":\"{id}\"")
}

/// The first record of a decision that was written at a time or later, in ms since 1970, and answers this record; none where
/// the log does not hold it any more.
///
/// # Errors
/// The brokers do not answer, or refuse; a bound is reached.
pub fn find_written(
    config: &Config,
    (id, answers): (&str, &RecordAt),
    since_ms: i64,
    bounds: &Bounds,
) -> Result<Option<Stored>, RunError> {
    let (begin, mut found) = (begin(id), None);
    let log = Kafka::new(config);
    let log = Bounded { log: &log, bounds };
    let of = (&*config.topics.decisions, Some(since_ms));
    read_until(&log, of, config.call_timeout(), &mut |stored| {
        let is_of_it = stored.body.starts_with(begin.as_bytes());
        if !is_of_it || stored.source().as_ref() != Some(answers) {
            return ControlFlow::Continue(());
        }
        found = Some(stored);
        ControlFlow::Break(())
    })?;
    Ok(found)
}

/// Reads a topic, from its oldest record or from a time on (ms since 1970), up to its present end. Records without a body
/// are left out.
///
/// # Errors
/// The brokers do not answer, or refuse.
pub fn read_topic(
    config: &Config,
    topic: &str,
    since_ms: Option<i64>,
    take: &mut dyn FnMut(Stored),
) -> Result<(), RunError> {
    read_log(&Kafka::new(config), (topic, since_ms), config.call_timeout(), take)
}

/// The same on any log.
pub(crate) fn read_log<L: Log>(
    log: &L,
    of: (&str, Option<i64>),
    timeout: Duration,
    take: &mut dyn FnMut(Stored),
) -> Result<(), RunError> {
    read_until(log, of, timeout, &mut |stored| {
        take(stored);
        ControlFlow::Continue(())
    })
}

/// The same until somebody has seen enough.
fn read_until<L: Log>(
    log: &L,
    (topic, since_ms): (&str, Option<i64>),
    timeout: Duration,
    take: Take<'_>,
) -> Result<(), RunError> {
    let asking = log.source(&[])?;
    let all = partitions(&asking, topic, timeout)?;
    let since = match since_ms {
        Some(since_ms) => asking.offsets_at(&all, since_ms, timeout).map_err(failed)?,
        None => vec![Some(0); all.len()],
    };
    read_from(log, &asking, (all, since), timeout, take)
}

/// A topic that is read up to its present end several times, each time from where the time before ended.
#[derive(Debug)]
pub struct Tail {
    topic: String,
    next: BTreeMap<i32, i64>,
}

impl Tail {
    /// From its oldest record on.
    pub fn new(topic: &str) -> Self {
        Self { topic: topic.to_owned(), next: BTreeMap::new() }
    }

    /// Whether the topic ever held a record, one that retention took away among them.
    ///
    /// # Errors
    /// The brokers do not answer, or refuse.
    pub fn ever_held(&self, config: &Config) -> Result<bool, RunError> {
        let timeout = config.call_timeout();
        let asking = Kafka::new(config).source(&[])?;
        for partition in partitions(&asking, &self.topic, timeout)? {
            let bounds = asking.bounds(&partition, timeout);
            if bounds.map_err(failed)?.1 > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Its partitions whose oldest records are gone.
    ///
    /// # Errors
    /// The brokers do not answer, or refuse.
    pub fn trimmed(&self, config: &Config) -> Result<Vec<i32>, RunError> {
        let timeout = config.call_timeout();
        let asking = Kafka::new(config).source(&[])?;
        let mut trimmed = Vec::new();
        for partition in partitions(&asking, &self.topic, timeout)? {
            if asking.bounds(&partition, timeout).map_err(failed)?.0 > 0 {
                trimmed.push(partition.number);
            }
        }
        Ok(trimmed)
    }

    /// What came since. Records without a body are left out.
    ///
    /// # Errors
    /// The brokers do not answer, or refuse.
    pub fn read(&mut self, config: &Config, take: &mut dyn FnMut(Stored)) -> Result<(), RunError> {
        self.read_within(config, &Bounds::none(), take)
    }

    /// The same within bounds.
    ///
    /// # Errors
    /// As there, and where a bound is reached.
    pub fn read_within(
        &mut self,
        config: &Config,
        bounds: &Bounds,
        take: &mut dyn FnMut(Stored),
    ) -> Result<(), RunError> {
        let (log, timeout) = (Kafka::new(config), config.call_timeout());
        let log = Bounded { log: &log, bounds };
        let asking = log.source(&[])?;
        let all = partitions(&asking, &self.topic, timeout)?;
        let next = &mut self.next;
        let since = all.iter().map(|it| Some(next.get(&it.number).copied().unwrap_or(0))).collect();
        // WHY: by the records that came, because an open Kafka transaction may hide some before the end.
        read_from(&log, &asking, (all, since), timeout, &mut |stored| {
            next.insert(stored.at.partition, stored.at.offset + 1);
            take(stored);
            ControlFlow::Continue(())
        })
    }
}

/// Takes a record, and says whether to go on.
type Take<'t> = &'t mut dyn FnMut(Stored) -> ControlFlow<()>;

/// The log does not answer, or refuses.
pub(super) fn failed(error: LogError) -> RunError {
    RunError::Fatal { reason: error.text, stage: Stage::Receive }
}

/// The same from an offset of each partition on; none of those without one.
fn read_from<L: Log>(
    log: &L,
    asking: &L::Source,
    (all, since): (Vec<Partition>, Vec<Option<i64>>),
    timeout: Duration,
    take: Take<'_>,
) -> Result<(), RunError> {
    let (mut ends, mut starts) = (BTreeMap::new(), Vec::new());
    for (partition, since) in all.into_iter().zip(since) {
        let (low, high) = asking.bounds(&partition, timeout).map_err(failed)?;
        let Some(from) = since.map(|since| since.max(low)).filter(|from| *from < high) else {
            continue;
        };
        ends.insert(partition.number, high);
        starts.push((partition, Some(from)));
    }
    if starts.is_empty() {
        return Ok(());
    }
    let reader = log.reader(&starts)?;
    while !ends.is_empty() {
        match reader.poll(Duration::from_millis(100))? {
            Read::Nothing => {}
            Read::End(number) => _ = ends.remove(&number),
            Read::Trouble(trouble) if trouble.offset_gone => {
                return Err(RunError::Fatal { reason: trouble.error, stage: Stage::Receive });
            }
            Read::Trouble(Trouble { code, error, .. }) => {
                let attempted = "read a topic";
                happening::KafkaTrouble { attempted, code: &code, error: &error }.emit();
            }
            Read::Record(record) => {
                let input = record.input();
                let (partition, offset) = (input.partition, input.offset);
                if ends.get(&partition).is_some_and(|end| offset + 1 >= *end) {
                    ends.remove(&partition);
                }
                let Some(body) = input.payload.map(<[u8]>::to_vec) else { continue };
                let answers = source(&record).map(|(topic, partition, offset)| RecordAt {
                    topic: topic.to_owned(),
                    partition,
                    offset,
                });
                let epoch = header(&record, EPOCH).map(str::to_owned);
                let logged_ms = input.arrival_ms;
                let at = RecordAt { topic: input.topic.to_owned(), partition, offset };
                if take(Stored { at, answers, epoch, logged_ms, body }).is_break() {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Reads one record; none where it is not there any more, or has no body.
///
/// # Errors
/// The brokers do not answer, or refuse.
pub fn read_record(config: &Config, at: &RecordAt) -> Result<Option<Vec<u8>>, RunError> {
    let log = Kafka::new(config);
    let partition = Partition { topic: at.topic.as_str().into(), number: at.partition };
    let (low, high) = log.source(&[])?.bounds(&partition, config.call_timeout()).map_err(failed)?;
    if !(low..high).contains(&at.offset) {
        return Ok(None);
    }
    let reader = log.reader(&[(partition, Some(at.offset))])?;
    loop {
        match reader.poll(Duration::from_millis(100))? {
            Read::Nothing => {}
            Read::End(_) => return Ok(None),
            Read::Trouble(trouble) if trouble.offset_gone => return Ok(None),
            Read::Trouble(Trouble { code, error, .. }) => {
                let attempted = "read a record";
                happening::KafkaTrouble { attempted, code: &code, error: &error }.emit();
            }
            Read::Record(record) => {
                let input = record.input();
                let is_it = input.offset == at.offset;
                return Ok(input.payload.filter(|_| is_it).map(<[u8]>::to_vec));
            }
        }
    }
}

/// All partitions of a topic.
pub(crate) fn partitions<S: crate::runtime::log::Source>(
    source: &S,
    topic: &str,
    timeout: Duration,
) -> Result<Vec<Partition>, RunError> {
    let n = i32::try_from(source.n_partitions(topic, timeout).map_err(failed)?).unwrap_or(i32::MAX);
    let topic: Arc<str> = topic.into();
    Ok((0..n).map(|number| Partition { topic: Arc::clone(&topic), number }).collect())
}
