//! The properties, judged whenever something becomes visible to readers of committed data.
//!
//! Which rule set decides a record is what the committed notes say, and nothing else: from them the judge knows the
//! *history* of a lane, and its golden run is one engine that takes this lane alone and changes rule sets where the history
//! says so. So it also says that a lane's answers hang on nothing but the lane, however partitions were shared out and
//! interleaved.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use riskweir::base::Digest;
use riskweir::runtime::log::{Position, Wire};
use serde_json::Value;

use super::broker::Broker;
use super::commands::{COMMANDS, Judged};
use super::workload::Workload;

/// Name of an output topic, and a body.
pub(crate) type Answer = (String, Vec<u8>);

/// What each record of a lane has to bring about, by offset.
pub(crate) type Golden = BTreeMap<i64, Vec<Answer>>;

/// The topics of the outputs.
pub(crate) const AUDIT: &str = "risk.audit";
const DECISIONS: &str = "risk.decisions";
const HOLDS: &str = "risk.holds";
const ALERTS: &str = "risk.alerts";
const DEAD_LETTER: &str = "risk.dead_letter";
/// What only an answer to a command has.
const ANSWER: &[u8] = br#""kind":"command""#;
/// What only an entry of a hold or of a decision has.
const ENTRIES: [&[u8]; 2] = [br#""kind":"hold""#, br#""kind":"decision""#];

/// From which offset on a rule set of the shelf decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Epoch {
    number: u64,
    set: usize,
    from: i64,
}

/// One lane.
#[derive(Clone, Debug, Default)]
struct Lane {
    history: Vec<Epoch>,
    /// Golden runs under parts of the history, `first..end`.
    golden: BTreeMap<(usize, usize), Golden>,
    seen: BTreeMap<i64, BTreeMap<Answer, usize>>,
    /// Records whose decision says that records before it are missing; what else they brought about that a golden run
    /// lacks.
    marked: BTreeSet<i64>,
    strange: BTreeMap<i64, Answer>,
    committed: Option<i64>,
}

/// What happened that shows in the judgement only.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Changes of a lane's rule set.
    pub(crate) changes: u64,
    /// Of those, back to one that decided before.
    pub(crate) back: u64,
    /// Answers by a rule set that was active when whoever gave them last knew.
    pub(crate) stale: u64,
    /// Decisions that say that records are missing.
    pub(crate) marked: u64,
    /// Commands that were done, and others.
    pub(crate) done: u64,
    pub(crate) undone: u64,
}

/// What may be seen twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// Nothing: outputs become visible with their offsets.
    ExactlyOnce,
    /// Nothing: whoever goes on sees all outputs that were on their way; none is slow, nobody wakes up late, no clock jumps.
    Shown,
    /// Whatever was on its way.
    AtLeastOnce,
}

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Check {
    delivery: Delivery,
    workload: Arc<Workload>,
    lanes: Vec<Lane>,
    placed: BTreeMap<String, Vec<u8>>,
    /// Audit records by lane and number.
    chains: BTreeMap<(usize, u64), Vec<u8>>,
    commands: Judged,
    /// Snapshots were damaged: where all of a shard are, it begins with the oldest rule set that notes still name.
    pub(crate) damaged: bool,
    /// Somebody accepted that input is missing.
    pub(crate) gaps: bool,
    pub(crate) saw: Seen,
}

fn header<'a>(wire: &'a Wire, name: &str) -> &'a str {
    let found = wire.headers.iter().find(|(key, _)| key == name);
    found.and_then(|(_, value)| std::str::from_utf8(value).ok()).unwrap_or("")
}

fn text(body: &[u8]) -> String {
    String::from_utf8_lossy(body).into_owned()
}

/// An announcement without its place in the chain.
fn unchained(body: &[u8]) -> Option<Value> {
    let mut value: Value = serde_json::from_slice(body).ok()?;
    value.as_object_mut()?.remove("chain");
    Some(value)
}

/// How many first bytes two bodies share.
fn common(one: &[u8], other: &[u8]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

/// Whether a hold is placed by it.
fn is_placed((_, body): &Answer) -> bool {
    let has = |what: &[u8]| body.windows(what.len()).any(|part| part == what);
    // Somebody who claims one, or gives it back, places none.
    has(br#""state":"placed""#) && !has(br#""by":{"#)
}

fn count(answers: &[Answer], answer: &Answer) -> usize {
    answers.iter().filter(|wanted| *wanted == answer).count()
}

/// The epochs of a note, `1;…;e=NUMBER:SET@FROM,…`: number, rule set, first offset.
fn epochs_of(note: &str) -> Option<Vec<(u64, &str, i64)>> {
    let mut parts = note.split(';');
    let listed = parts.find_map(|part| part.strip_prefix("e=")).unwrap_or("");
    let epoch = |text| {
        let (number, rest) = str::split_once(text, ':')?;
        let (set, from) = rest.split_once('@')?;
        Some((number.parse().ok()?, set, from.parse().ok()?))
    };
    listed.split(',').filter(|text| !text.is_empty()).map(epoch).collect()
}

impl Check {
    /// Whether a state of this epoch that has seen so much holds records that a later epoch decided.
    pub(crate) fn outran(&self, lane: usize, epoch: u64, seen: i64) -> bool {
        let mut later = self.lanes[lane].history.iter().filter(|it| it.number > epoch);
        later.any(|it| it.from < seen)
    }
}

impl Lane {
    fn run(&mut self, (workload, lane): (&Workload, usize), part: (usize, usize)) -> &Golden {
        self.golden.entry(part).or_insert_with(|| {
            let epochs = self.history[part.0..part.1].iter();
            let history: Vec<(usize, i64)> = epochs.map(|epoch| (epoch.set, epoch.from)).collect();
            workload.golden(lane, &history)
        })
    }

    /// The part of the history that decides a record in a golden run under `part`.
    fn set_at(&self, (first, end): (usize, usize), offset: i64) -> Option<usize> {
        let known = &self.history[first..end];
        let last = known.iter().rev().find(|epoch| epoch.from <= offset);
        last.or(known.first()).map(|epoch| epoch.set)
    }

    /// Parts of the history under which an answer may have been given, that which counts first.
    fn parts(&self, delivery: Delivery, damaged: bool) -> Vec<(usize, usize)> {
        let n = self.history.len();
        let ends = if delivery == Delivery::ExactlyOnce { n.min(1)..1 } else { 1..n };
        let ends = [n].into_iter().chain(ends.rev()).filter(|end| *end > 0 && *end <= n);
        let firsts = |end: usize| if damaged { 0..end } else { 0..end.min(1) };
        let mut parts: Vec<(usize, usize)> =
            ends.flat_map(|end| firsts(end).map(move |first| (first, end))).collect();
        parts.dedup();
        parts
    }
}

impl Check {
    pub(crate) fn new(delivery: Delivery, workload: Arc<Workload>) -> Self {
        let lanes = vec![Lane::default(); workload.layout.n_lanes()];
        let (placed, chains, saw) = (BTreeMap::new(), BTreeMap::new(), Seen::default());
        let commands = Judged::default();
        Self {
            delivery,
            workload,
            lanes,
            placed,
            chains,
            commands,
            damaged: false,
            gaps: false,
            saw,
        }
    }

    pub(crate) fn n_records(&self) -> usize {
        self.workload.inputs.iter().map(Vec::len).sum()
    }

    fn is_command(&self, lane: usize) -> bool {
        &*self.workload.layout.place(lane).topic == COMMANDS
    }

    fn place(&self, lane: usize) -> String {
        let partition = self.workload.layout.place(lane);
        format!("{}-{}", partition.topic, partition.number)
    }

    /// A position is committed: what its note says about rule sets. P14.
    pub(crate) fn learns(&mut self, lane: usize, position: &Position) -> Result<(), String> {
        let (at, note) = (self.place(lane), &position.note);
        let Some(told) = epochs_of(note) else { return Err(format!("P14: no note: {note}")) };
        let shown = self.delivery == Delivery::Shown;
        let Lane { history, committed, golden, seen, .. } = &mut self.lanes[lane];
        if told.last().map_or(0, |it| it.0) < history.last().map_or(0, |it| it.number) {
            return Err(format!(
                "P14: {at}@{} goes back to an earlier epoch: {note}",
                position.offset
            ));
        }
        for (number, id, from) in told {
            let Some(set) = self.workload.find(id) else {
                return Err(format!("P14: {at} is decided by a rule set that nobody gave: {note}"));
            };
            let epoch = Epoch { number, set, from };
            let known = history.iter().find(|known| known.number == number);
            if known.is_some_and(|known| *known != epoch) {
                return Err(format!("P14: {at} has two epochs {number}: {known:?}, {epoch:?}"));
            }
            if known.is_some() || number < history.last().map_or(0, |it| it.number) {
                continue;
            }
            let right = committed.map_or(from <= position.offset, |committed| from == committed);
            if !right {
                return Err(format!(
                    "P14: epoch {number} of {at} begins at {from}, committed is {committed:?}: {note}"
                ));
            }
            let answered = seen.last_key_value().filter(|(last, _)| **last >= from);
            if let Some((answered, _)) = answered.filter(|_| shown && !history.is_empty()) {
                return Err(format!(
                    "P14: epoch {number} of {at} begins at {from}, but {answered} is answered already"
                ));
            }
            if let Some(last) = history.last() {
                self.saw.changes += 1;
                self.saw.back += u64::from(history.iter().any(|known| known.set == set));
                debug_assert!(last.from <= from);
            }
            history.push(epoch);
            golden.clear();
        }
        Ok(())
    }

    /// An output is visible: P1, P2, P4, P7, P14.
    pub(crate) fn sees(&mut self, wire: &Wire) -> Result<(), String> {
        let number = header(wire, "source_partition").parse();
        let lane = number
            .ok()
            .and_then(|number| self.workload.layout.lane_of(header(wire, "source_topic"), number));
        let (Some(lane), Ok(offset)) = (lane, header(wire, "source_offset").parse::<i64>()) else {
            return Err(format!("P1: an output of no record: {}", text(&wire.body)));
        };
        if &*wire.topic == AUDIT {
            self.judge_chain((lane, offset), &wire.body)?;
        }
        let once = self.delivery != Delivery::AtLeastOnce;
        let is_answer = wire.body.windows(ANSWER.len()).any(|part| part == ANSWER);
        if &*wire.topic == AUDIT && is_answer {
            self.commands.answer((lane, offset), &wire.body, once)?;
            (self.saw.done, self.saw.undone) = (self.commands.done, self.commands.refused);
            return Ok(());
        }
        let is_entry = |kind: &[u8]| wire.body.windows(kind.len()).any(|part| part == kind);
        if &*wire.topic == AUDIT && ENTRIES.into_iter().any(is_entry) {
            // Its chain was judged; the record that it is of is judged for itself.
            return Ok(());
        }
        if &*wire.topic == AUDIT {
            return self.judge_announcement((lane, offset), &wire.body);
        }
        let answer: Answer = (wire.topic.to_string(), wire.body.clone());
        if self.is_command(lane) && answer.0 == ALERTS {
            // Who is asked about a hold by a command stands in its record, which is judged for itself.
            return Ok(());
        }
        self.judge_hold(&answer)?;
        if self.workload.config.topics.commands.is_some() && answer.0 == HOLDS {
            self.commands.state((lane, offset), &answer.1, once)?;
            // When it ends hangs on commands, of which a golden run of one lane knows nothing.
            if !is_placed(&answer) {
                return Ok(());
            }
        }
        let workload = Arc::clone(&self.workload);
        let state = &mut self.lanes[lane];
        let mut wanted = 0;
        for (rank, part) in state.parts(self.delivery, self.damaged).into_iter().enumerate() {
            let golden = state.run((&workload, lane), part);
            wanted = golden.get(&offset).map_or(0, |answers| count(answers, &answer));
            if wanted > 0 {
                self.saw.stale += u64::from(rank > 0 && part.0 == 0);
                break;
            }
        }
        if wanted == 0 {
            self.judge_strange((lane, offset), &answer)?;
            wanted = 1;
        }
        let seen = self.lanes[lane].seen.entry(offset).or_default();
        let copies = seen.entry(answer).or_default();
        *copies += 1;
        if self.delivery != Delivery::AtLeastOnce && *copies > wanted {
            let at = self.place(lane);
            return Err(format!("P1: {at}@{offset} is answered twice: {}", text(&wire.body)));
        }
        Ok(())
    }

    /// Audit records of a lane are one chain, and a number is given once: P18.
    fn judge_chain(&mut self, (lane, offset): (usize, i64), body: &[u8]) -> Result<(), String> {
        let at = self.place(lane);
        let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let chain = &value["chain"];
        let named =
            (chain["topic"].as_str(), chain["partition"].as_i64(), chain["offset"].as_i64());
        let place = self.workload.layout.place(lane);
        if named != (Some(&*place.topic), Some(place.number.into()), Some(offset)) {
            return Err(format!("P18: {at}@{offset} is chained elsewhere: {}", text(body)));
        }
        let seq = chain["seq"].as_u64().unwrap_or(0);
        let known = self.chains.insert((lane, seq), body.to_vec());
        // WHY: who accepts that records are missing, or lost its snapshots, has another past.
        if self.gaps || self.damaged || self.delivery == Delivery::AtLeastOnce {
            return Ok(());
        }
        if known.is_some_and(|known| known != body) {
            return Err(format!("P18: {at} has two audit records {seq}: {}", text(body)));
        }
        let before = self.chains.get(&(lane, seq.saturating_sub(1)));
        let hash = before.map_or_else(|| "0".repeat(64), |before| Digest::of(before).hex());
        if seq == 0 || (seq > 1) != before.is_some() || chain["prev"].as_str() != Some(&*hash) {
            return Err(format!("P18: audit record {seq} of {at} follows none: {}", text(body)));
        }
        Ok(())
    }

    fn judge_announcement(
        &mut self,
        (lane, offset): (usize, i64),
        body: &[u8],
    ) -> Result<(), String> {
        let state = &self.lanes[lane];
        let parts = state.parts(self.delivery, self.damaged).into_iter();
        let sets: BTreeSet<usize> = parts.filter_map(|part| state.set_at(part, offset)).collect();
        let announced = unchained(body);
        if sets.iter().any(|set| unchained(&self.workload.announcement(*set)) == announced) {
            return Ok(());
        }
        let (at, body) = (self.place(lane), text(body));
        Err(format!("P14: {at}@{offset} announces another rule set than decides: {body}"))
    }

    /// An answer that no golden run gives: right only where somebody accepted that records are missing, and it says so.
    fn judge_strange(
        &mut self,
        (lane, offset): (usize, i64),
        answer: &Answer,
    ) -> Result<(), String> {
        let (topic, body) = answer;
        if self.gaps && topic == DECISIONS {
            let decision: Value =
                serde_json::from_slice(body).map_err(|error| error.to_string())?;
            let words = decision["provenance"].as_array().cloned().unwrap_or_default();
            if words.iter().any(|word| word == "state_gap") {
                self.saw.marked += 1;
                self.lanes[lane].marked.insert(offset);
                return Ok(());
            }
        } else if self.gaps && topic != DEAD_LETTER {
            // Judged with its decision, which may become visible after it.
            self.lanes[lane].strange.insert(offset, answer.clone());
            return Ok(());
        }
        Err(self.otherwise((lane, offset), answer))
    }

    fn otherwise(&self, (lane, offset): (usize, i64), (topic, body): &Answer) -> String {
        let state = &self.lanes[lane];
        if state.history.is_empty() {
            let at = self.place(lane);
            return format!("P14: {at}@{offset} is answered, and no commit says by which rule set");
        }
        let golden = state.golden.get(&(0, state.history.len()));
        let golden = golden.and_then(|golden| golden.get(&offset));
        let golden = golden.into_iter().flatten().filter(|(known, _)| known == topic);
        let nearest = golden.max_by_key(|(_, golden)| common(golden, body));
        let nearest: &[u8] = nearest.map_or(&[], |(_, golden)| golden);
        let from = common(nearest, body).saturating_sub(60);
        let here = text(body.get(from..).unwrap_or_default());
        let there = text(nearest.get(from..).unwrap_or_default());
        let (at, history) = (self.place(lane), &state.history);
        format!(
            "P4: {at}@{offset} is answered otherwise in {topic} than in the golden run, from byte {from} on\n  here:   {here}\n  golden: {there}\n  rule sets: {history:?}"
        )
    }

    fn judge_hold(&mut self, (topic, body): &Answer) -> Result<(), String> {
        if topic != HOLDS {
            return Ok(());
        }
        let hold: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        // Somebody who claims one, or gives it back, places none.
        if hold["state"] != "placed" || hold.get("by").is_some() {
            return Ok(());
        }
        // WHY: another body under a known id is another decision; it may hold the payment again after its hold ended.
        let id = format!("{} {}", hold["hold_id"], hold["decision_id"]);
        let first = self.placed.entry(id).or_insert_with(|| body.clone());
        if first != body && !self.gaps {
            return Err(format!("P2: a payment is held twice: {} and {}", text(first), text(body)));
        }
        Ok(())
    }

    /// What a record still lacks; none when it has all answers of one golden run, or says that records are missing.
    fn missing(&mut self, lane: usize, offset: i64) -> Option<Answer> {
        let workload = Arc::clone(&self.workload);
        let state = &mut self.lanes[lane];
        let mut first = None;
        for part in state.parts(self.delivery, self.damaged) {
            // WHY: an earlier rule set's answers alone are not enough for what is committed under a later one.
            if part.1 < state.history.len() {
                break;
            }
            let answers = state.run((&workload, lane), part).get(&offset).cloned();
            let answers = answers.unwrap_or_default();
            let seen = state.seen.get(&offset);
            let n_seen =
                |answer: &Answer| seen.and_then(|seen| seen.get(answer)).copied().unwrap_or(0);
            // WHY: an accepted gap takes the open holds along that the missing records placed, and nobody ends them.
            // Commands end some before their deadline.
            let may_lack = self.gaps || self.workload.config.topics.commands.is_some();
            let lost = |answer: &Answer| may_lack && answer.0 == HOLDS && !is_placed(answer);
            let lacks = answers
                .iter()
                .find(|answer| !lost(answer) && n_seen(answer) < count(&answers, answer));
            let lacks = lacks?;
            first.get_or_insert_with(|| lacks.clone());
        }
        first.filter(|_| !state.marked.contains(&offset))
    }

    /// A position is committed: P1, P3, P5, P6.
    pub(crate) fn committed(&mut self, lane: usize, offset: i64) -> Result<(), String> {
        let before = self.lanes[lane].committed.unwrap_or(0);
        let at = self.place(lane);
        if offset < before {
            return Err(format!("P5: {at} goes back from {before} to {offset}"));
        }
        self.lanes[lane].committed = Some(offset);
        if offset == before {
            return Ok(());
        }
        let mut records = self.workload.inputs[lane].iter().map(|(_, record)| record.offset);
        let first = records.clone().next().unwrap_or(0);
        if offset > first && !records.any(|record| record == offset || record + 1 == offset) {
            return Err(format!("P5: {at}@{offset} is no next record to read"));
        }
        let workload = Arc::clone(&self.workload);
        let records = workload.inputs[lane].iter().map(|(_, record)| record.offset);
        for record in records.filter(|record| (before..offset).contains(record)) {
            if self.is_command(lane) {
                self.commands.committed((lane, record))?;
                continue;
            }
            if let Some((topic, body)) = self.missing(lane, record) {
                let (what, body) = (if topic == HOLDS { "P3" } else { "P6" }, text(&body));
                return Err(format!(
                    "{what}: {at}@{offset} is committed but {record} lacks {body}"
                ));
            }
            let state = &self.lanes[lane];
            if let Some(strange) = state.strange.get(&record)
                && !state.marked.contains(&record)
            {
                return Err(self.otherwise((lane, record), strange));
            }
        }
        Ok(())
    }

    /// Whether the positions stand behind the last record of every lane.
    pub(crate) fn is_decided(&self) -> bool {
        let last = |records: &Vec<(u64, super::broker::Record)>| {
            records.last().map_or(0, |(_, record)| record.offset + 1)
        };
        let mut pairs = self.workload.inputs.iter().zip(&self.lanes);
        pairs.all(|(records, lane)| last(records) == lane.committed.unwrap_or(0))
    }

    /// What is not decided, in words.
    pub(crate) fn open(&self, broker: &Broker) -> String {
        let highs: Vec<i64> = broker.inputs.iter().map(|log| log.high).collect();
        let committed: Vec<Option<i64>> = self.lanes.iter().map(|lane| lane.committed).collect();
        format!("positions {committed:?} of {highs:?}")
    }

    /// The end: every record has exactly its answers.
    pub(crate) fn verdict(&mut self) -> Result<(), String> {
        let workload = Arc::clone(&self.workload);
        for (lane, records) in workload.inputs.iter().enumerate() {
            for (_, record) in records {
                if self.is_command(lane) {
                    self.commands.committed((lane, record.offset))?;
                    continue;
                }
                if let Some((_, body)) = self.missing(lane, record.offset) {
                    let (at, offset) = (self.place(lane), record.offset);
                    return Err(format!("P1: {at}@{offset} lacks {}", text(&body)));
                }
            }
        }
        Ok(())
    }
}
