//! The properties, judged whenever something becomes visible to readers of committed data.
//!
//! The golden run is the same input through one engine per partition, with nothing between. So it also says that a
//! partition's answers hang on nothing but the partition, however partitions were shared out and interleaved.

use std::collections::BTreeMap;

use riskweir::config::DeliveryMode;
use riskweir::runtime::log::Wire;
use serde_json::Value;

use super::broker::Broker;

/// Name of an output topic, and a body.
pub(crate) type Answer = (String, Vec<u8>);

/// What each record of a partition has to bring about, by offset.
pub(crate) type Golden = BTreeMap<i64, Vec<Answer>>;

/// The topics of the outputs.
pub(crate) const AUDIT: &str = "risk.audit";
const HOLDS: &str = "risk.holds";

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    exactly_once: bool,
    golden: Vec<Golden>,
    announcement: Vec<u8>,
    seen: BTreeMap<(usize, i64), BTreeMap<Answer, usize>>,
    committed: Vec<i64>,
    placed: BTreeMap<String, Vec<u8>>,
}

fn header<'a>(wire: &'a Wire, name: &str) -> &'a str {
    let found = wire.headers.iter().find(|(key, _)| key == name);
    found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or("")
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// How many first bytes two bodies share.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

impl Check {
    pub(crate) fn new(mode: DeliveryMode, golden: Vec<Golden>, announcement: Vec<u8>) -> Self {
        let committed = vec![0; golden.len()];
        let exactly_once = mode == DeliveryMode::Transactional;
        let (seen, placed) = (BTreeMap::new(), BTreeMap::new());
        Self { exactly_once, golden, announcement, seen, committed, placed }
    }

    pub(crate) fn n_records(&self) -> usize {
        self.golden.iter().map(BTreeMap::len).sum()
    }

    fn wanted(&self, partition: usize, offset: i64, answer: &Answer) -> usize {
        let golden = self.golden.get(partition).and_then(|golden| golden.get(&offset));
        golden.map_or(0, |answers| answers.iter().filter(|wanted| *wanted == answer).count())
    }

    /// An output is visible: P1, P2, P4, P7.
    pub(crate) fn sees(&mut self, wire: &Wire) -> Result<(), String> {
        if &*wire.topic == AUDIT {
            let same = wire.body == self.announcement;
            return if same { Ok(()) } else { Err("P4: another rule set is announced".to_owned()) };
        }
        let place =
            (header(wire, "source_partition").parse(), header(wire, "source_offset").parse());
        let (Ok(partition), Ok(offset)) = place else {
            return Err(format!("P1: an output of no record: {}", text(&wire.body)));
        };
        let answer = (wire.topic.to_string(), wire.body.clone());
        let wanted = self.wanted(partition, offset, &answer);
        let coordinates = format!("record {partition}@{offset}");
        if wanted == 0 {
            let golden = self.golden.get(partition).and_then(|golden| golden.get(&offset));
            let golden = golden.into_iter().flatten().filter(|(topic, _)| *topic == answer.0);
            let nearest = golden.max_by_key(|(_, body)| common(body, &answer.1));
            let nearest: &[u8] = nearest.map_or(&[], |(_, body)| body);
            let from = common(nearest, &answer.1).saturating_sub(60);
            let here = text(answer.1.get(from..).unwrap_or_default());
            let there = text(nearest.get(from..).unwrap_or_default());
            let topic = &answer.0;
            return Err(format!(
                "P4: {coordinates} is answered otherwise in {topic} than in the golden run, from byte {from} on\n  here:   {here}\n  golden: {there}"
            ));
        }
        self.judge_hold(&answer)?;
        let copies = self.seen.entry((partition, offset)).or_default().entry(answer).or_default();
        *copies += 1;
        if self.exactly_once && *copies > wanted {
            return Err(format!("P1: {coordinates} is answered twice: {}", text(&wire.body)));
        }
        Ok(())
    }

    fn judge_hold(&mut self, (topic, body): &Answer) -> Result<(), String> {
        if topic != HOLDS {
            return Ok(());
        }
        let hold: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if hold["state"] != "placed" {
            return Ok(());
        }
        // WHY: another body under a known id is another decision; it may hold the payment again after its hold ended.
        let id = format!("{} {}", hold["hold_id"], hold["decision_id"]);
        let first = self.placed.entry(id).or_insert_with(|| body.clone());
        if first != body {
            return Err(format!("P2: a payment is held twice: {} and {}", text(first), text(body)));
        }
        Ok(())
    }

    fn missing(&self, partition: usize, offset: i64) -> Option<&Answer> {
        let answers = self.golden.get(partition)?.get(&offset)?;
        let seen = self.seen.get(&(partition, offset));
        let n_seen = |answer: &Answer| seen.and_then(|seen| seen.get(answer)).copied().unwrap_or(0);
        answers.iter().find(|answer| n_seen(answer) < self.wanted(partition, offset, answer))
    }

    /// A position is committed: P1, P3, P5, P6.
    pub(crate) fn committed(&mut self, partition: i32, offset: i64) -> Result<(), String> {
        let partition = usize::try_from(partition).map_err(|error| error.to_string())?;
        let before = self.committed[partition];
        if offset < before {
            return Err(format!("P5: partition {partition} goes back from {before} to {offset}"));
        }
        if offset == before {
            return Ok(());
        }
        let golden = &self.golden[partition];
        if !golden.contains_key(&(offset - 1)) && !golden.contains_key(&offset) {
            return Err(format!("P5: {partition}@{offset} is no next record to read"));
        }
        for record in golden.range(before..offset).map(|(offset, _)| *offset) {
            if let Some((topic, body)) = self.missing(partition, record) {
                let what = if topic == HOLDS { "P3" } else { "P6" };
                let body = text(body);
                return Err(format!(
                    "{what}: {partition}@{offset} is committed but record {record} lacks {body}"
                ));
            }
        }
        self.committed[partition] = offset;
        Ok(())
    }

    /// Whether the positions stand behind the last record of every partition.
    pub(crate) fn is_decided(&self) -> bool {
        let end = |golden: &Golden| golden.last_key_value().map_or(0, |(offset, _)| offset + 1);
        self.golden.iter().zip(&self.committed).all(|(golden, committed)| end(golden) == *committed)
    }

    /// What is not decided, in words.
    pub(crate) fn open(&self, broker: &Broker) -> String {
        let highs: Vec<i64> = broker.inputs.iter().map(|log| log.high).collect();
        format!("positions {:?} of {highs:?}", self.committed)
    }

    /// The end: every record has exactly its answers.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        for (partition, golden) in self.golden.iter().enumerate() {
            for offset in golden.keys() {
                if let Some((_, body)) = self.missing(partition, *offset) {
                    return Err(format!("P1: {partition}@{offset} lacks {}", text(body)));
                }
            }
        }
        Ok(())
    }
}
