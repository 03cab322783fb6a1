//! Holds the records of decisions and holds against their entries in the audit chains.
//!
//! Found are: a record that was changed, added or taken out, with its place; of decisions those that have entries, as each chain says
//! for the offsets from which on (`decisions` of its `ruleset_active`). An entry counts as the chain has it: whoever changes both is
//! found by the chain.
//!
//! # Cost
//! About 300 bytes of memory for each entry, and for each record that lacks its entry.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::audit::verify::Problem;
use crate::base::Digest;

/// States that end a hold.
const ENDED: [&str; 3] = ["released", "confirmed", "expired"];

/// An input partition.
type Place = (String, i32);

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Of the topic of decisions.
    Decision,
    /// Of the topic of holds.
    Hold,
}

impl Kind {
    /// In words.
    pub fn word(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Hold => "hold",
        }
    }
}

/// Where a record of an output topic stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    /// Topic, or file.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset, or number of the line from 0.
    pub offset: i64,
}

/// A record of an output topic.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// What it is.
    pub kind: Kind,
    /// Where it stands.
    pub at: At,
    /// The input record at which it was written, as its headers say it.
    pub answers: Option<(String, i32, i64)>,
    /// Its body.
    pub body: &'a [u8],
}

/// How many records of a kind there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Checked {
    /// Records that were read.
    pub records: u64,
    /// Of these, those that are as their entry says.
    pub proved: u64,
}

/// What an audit record says of outputs.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Says {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    decisions: Option<String>,
    #[serde(default)]
    decision: Option<Of>,
    #[serde(default)]
    hold: Option<Of>,
    #[serde(default)]
    command: Option<OfCommand>,
}

#[derive(Debug, Deserialize)]
struct Of {
    #[serde(alias = "decision_id", alias = "hold_id")]
    id: String,
    #[serde(alias = "outcome")]
    state: String,
    sha256: String,
}

#[derive(Debug, Deserialize)]
struct OfCommand {
    hold_id: Option<String>,
    state: Option<String>,
    hold_sha256: Option<String>,
}

/// An entry of a chain.
#[derive(Debug)]
struct Entry {
    place: Place,
    seq: u64,
    kind: Kind,
    id: String,
    state: String,
    is_due: bool,
    is_found: bool,
}

/// A record without its entry.
#[derive(Debug)]
struct Lost {
    kind: Kind,
    at: At,
    hash: String,
    is_due: bool,
    /// None where it is no record of its kind.
    said: Option<Said>,
}

/// What a record says of itself.
#[derive(Debug)]
struct Said {
    id: String,
    state: String,
    source: Option<(Place, i64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    entries: Vec<Entry>,
    by_hash: BTreeMap<String, Vec<usize>>,
    /// The entry of the decision about a record.
    by_record: BTreeMap<(Place, i64), usize>,
    /// From which offset on which decisions have entries.
    covered: BTreeMap<Place, BTreeMap<i64, String>>,
    lost: Vec<Lost>,
    checked: BTreeMap<Kind, Checked>,
    /// The number of the first entry of each chain whose record was found in a partition of an output topic.
    first_found: BTreeMap<(Kind, i32), BTreeMap<Place, u64>>,
    /// The entry of the last record of each hold.
    last_of_hold: BTreeMap<String, (usize, At)>,
    /// Partitions of output topics whose oldest records may be gone.
    trimmed: BTreeSet<(Kind, i32)>,
}

/// Where a chain begins: number and offset of its first record.
pub(super) type Begins = BTreeMap<Place, (u64, i64)>;

impl Outputs {
    /// Takes an audit record of a chain.
    pub(super) fn entry(
        &mut self,
        (place, seq, offset): (&Place, u64, i64),
        says: Says,
        is_due: bool,
    ) {
        if says.kind == "ruleset_active" {
            // WHY: a version that says nothing of it wrote none.
            let decisions = says.decisions.unwrap_or_else(|| "none".to_owned());
            self.covered.entry(place.clone()).or_default().insert(offset, decisions);
        }
        let of_command = says
            .command
            .and_then(|it| Some(Of { id: it.hold_id?, state: it.state?, sha256: it.hold_sha256? }));
        let all = [(Kind::Decision, says.decision), (Kind::Hold, says.hold.or(of_command))];
        for (kind, of) in all {
            let Some(Of { id, state, sha256 }) = of else { continue };
            let at = self.entries.len();
            let (place, is_found) = (place.clone(), false);
            if kind == Kind::Decision {
                self.by_record.insert((place.clone(), offset), at);
            }
            self.by_hash.entry(sha256).or_default().push(at);
            self.entries.push(Entry { place, seq, kind, id, state, is_due, is_found });
        }
    }

    /// Takes a record of an output topic.
    pub(super) fn record(&mut self, written: Written<'_>, is_due: bool) {
        let Written { kind, at, answers, body } = written;
        self.checked.entry(kind).or_default().records += 1;
        let hash = Digest::of(body).hex();
        if self.prove(kind, &at, &hash) {
            return;
        }
        let said = said(kind, answers, body);
        // WHY: most decisions let money pass, and where those have no entries nothing is kept of them.
        if said.as_ref().is_some_and(|said| kind == Kind::Decision && !self.needs_entry(said)) {
            return;
        }
        self.lost.push(Lost { kind, at, hash, is_due, said });
    }

    /// The oldest records of a partition of an output topic may be gone.
    pub(super) fn trimmed(&mut self, kind: Kind, partition: i32) {
        self.trimmed.insert((kind, partition));
    }

    /// Whether a record has an entry; it has been found then.
    fn prove(&mut self, kind: Kind, at: &At, hash: &str) -> bool {
        let Some(known) = self.by_hash.get(hash) else { return false };
        let mut is_proved = false;
        for index in known {
            let Some(entry) = self.entries.get_mut(*index).filter(|it| it.kind == kind) else {
                continue;
            };
            (is_proved, entry.is_found) = (true, true);
            // WHY: a record may be proven after one that stands behind it, whose entry was seen before.
            let is_last = self.last_of_hold.get(&entry.id).is_none_or(|(_, known)| {
                known.partition != at.partition || known.offset <= at.offset
            });
            if kind == Kind::Hold && is_last {
                self.last_of_hold.insert(entry.id.clone(), (*index, at.clone()));
            }
            let first = self.first_found.entry((kind, at.partition)).or_default();
            let first = first.entry(entry.place.clone()).or_insert(entry.seq);
            *first = entry.seq.min(*first);
        }
        self.checked.entry(kind).or_default().proved += u64::from(is_proved);
        is_proved
    }

    /// Whether a decision should have an entry, as far as is known, or its record has one that says something else.
    fn needs_entry(&self, said: &Said) -> bool {
        let Some((place, offset)) = &said.source else { return true };
        let Some(covered) = self.covered.get(place) else { return true };
        let Some((_, covered)) = covered.range(..=*offset).next_back() else { return true };
        let stops = ["step_up", "hold", "block"].contains(&&*said.state);
        match covered.as_str() {
            "none" => false,
            "stopped" if !stops => self.by_record.contains_key(&(place.clone(), *offset)),
            _ => true,
        }
    }

    /// Whether something may only not have been seen yet.
    pub(super) fn is_behind(&mut self) -> bool {
        let lost = core::mem::take(&mut self.lost);
        self.lost = lost.into_iter().filter(|it| !self.prove(it.kind, &it.at, &it.hash)).collect();
        let entries = self.entries.iter().any(|entry| entry.is_due && !entry.is_found);
        let is_lost = |lost: &Lost| {
            let said = lost.said.as_ref();
            lost.is_due && said.is_some_and(|it| lost.kind == Kind::Hold || self.needs_entry(it))
        };
        entries || self.lost.iter().any(is_lost)
    }

    /// How many records of each kind there are.
    pub(super) fn checked(&self) -> BTreeMap<Kind, Checked> {
        self.checked.clone()
    }

    /// What is wrong, and what a retention may have taken.
    pub(super) fn finish(mut self, begins: &Begins, is_trimmed: bool) -> Findings {
        _ = self.is_behind();
        let mut findings = Findings::default();
        self.judge_order(&mut findings);
        for lost in core::mem::take(&mut self.lost) {
            self.judge(&lost, (begins, is_trimmed), &mut findings);
        }
        let mut gone: BTreeMap<(&Place, Kind), (u64, u64)> = BTreeMap::new();
        for entry in self.entries.iter().filter(|entry| entry.is_due && !entry.is_found) {
            let Entry { place, seq, kind, id, state, .. } = entry;
            if self.may_be_trimmed(entry) {
                let (n, last) = gone.entry((place, *kind)).or_insert((0, *seq));
                (*n, *last) = (*n + 1, (*last).max(*seq));
                continue;
            }
            let what = format!(
                "no record is as the entry of the {} {id} ({state}) says: it was changed or taken out",
                kind.word()
            );
            findings.problems.push(problem(place, *seq, what, None));
        }
        for ((place, kind), (n, last)) in gone {
            let what = format!(
                "{n} records of {}s up to entry {last} are gone with the oldest of their topic: it is not proven that retention took them",
                kind.word()
            );
            findings.unproven.push(problem(place, last, what, None));
        }
        findings
    }

    /// Whoever moves money obeys the last record of a hold: that must be the one that came last.
    fn judge_order(&self, to: &mut Findings) {
        let has_ended = |entry: &Entry| ENDED.contains(&&*entry.state);
        let mut told: BTreeSet<&str> = BTreeSet::new();
        let holds = self.entries.iter().filter(|it| it.kind == Kind::Hold && it.is_found);
        for later in holds.rev() {
            let Some((index, at)) = self.last_of_hold.get(&later.id) else { continue };
            let Some(last) = self.entries.get(*index) else { continue };
            let is_later = later.place == last.place && later.seq > last.seq;
            let is_over = has_ended(later) && !has_ended(last);
            if !(is_later || is_over) || !told.insert(&later.id) {
                continue;
            }
            let what = format!(
                "`{}`-{}, offset {}: the last record of the hold {} says {}, but entry {} came later and says {}: it was moved or written again",
                at.topic, at.partition, at.offset, later.id, last.state, later.seq, later.state
            );
            to.problems.push(problem(&later.place, later.seq, what, Some(at.clone())));
        }
    }

    /// What a record without its entry is.
    fn judge(&mut self, lost: &Lost, (begins, is_trimmed): (&Begins, bool), to: &mut Findings) {
        let nowhere = (String::new(), 0);
        let At { topic, partition, offset } = &lost.at;
        let at = format!("`{topic}`-{partition}, offset {offset}");
        let Some(said) = &lost.said else {
            let what = format!("{at}: it is no record of a {}", lost.kind.word());
            to.problems.push(problem(&nowhere, 0, what, Some(lost.at.clone())));
            return;
        };
        // WHY: what came while others were read may have an entry that was not seen.
        let needs_entry = lost.kind == Kind::Hold || self.needs_entry(said);
        if !lost.is_due || !needs_entry {
            return;
        }
        let place = said.source.as_ref().map_or(&nowhere, |(place, _)| place);
        let begin = begins.get(place);
        let is_before = match (&said.source, begin) {
            (Some((_, offset)), Some((seq, first))) => *seq > 1 && offset <= first,
            (Some(_), None) => true,
            (None, _) => begins.values().any(|(seq, _)| *seq > 1),
        };
        let (kind, id, state) = (lost.kind.word(), &said.id, &said.state);
        if is_trimmed && is_before {
            let what = format!(
                "{at}: the {kind} {id} ({state}) is older than what is left of the chain that has its entry"
            );
            to.unproven.push(problem(place, 0, what, Some(lost.at.clone())));
            return;
        }
        let (seq, what) = match self.meant(lost.kind, said) {
            Some(entry) => {
                entry.is_found = true;
                let what = format!(
                    "{at}: the {kind} {id} ({state}) is not what entry {} says ({}): it was changed",
                    entry.seq, entry.state
                );
                (entry.seq, what)
            }
            None => (
                0,
                format!("{at}: the {kind} {id} ({state}) has no entry: it was added or changed"),
            ),
        };
        to.problems.push(problem(place, seq, what, Some(lost.at.clone())));
    }

    /// The entry that a changed record had: that of the decision about its input record, or of the hold in its state, else of the
    /// hold.
    fn meant(&mut self, kind: Kind, said: &Said) -> Option<&mut Entry> {
        let found = if kind == Kind::Decision {
            self.by_record.get(said.source.as_ref()?).copied()
        } else {
            let mut open = self
                .entries
                .iter()
                .enumerate()
                .filter(|(_, it)| it.kind == kind && !it.is_found && it.id == said.id);
            let first = open.next()?;
            let mut all = core::iter::once(first).chain(open);
            all.find(|(_, it)| it.state == said.state).or(Some(first)).map(|(index, _)| index)
        };
        self.entries.get_mut(found?).filter(|entry| !entry.is_found)
    }

    fn may_be_trimmed(&self, entry: &Entry) -> bool {
        self.trimmed.iter().filter(|(kind, _)| *kind == entry.kind).any(|of| {
            let first = self.first_found.get(of).and_then(|chains| chains.get(&entry.place));
            first.is_none_or(|first| entry.seq < *first)
        })
    }
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) problems: Vec<Problem>,
    pub(super) unproven: Vec<Problem>,
}

fn problem((topic, partition): &Place, seq: u64, what: String, record: Option<At>) -> Problem {
    Problem { topic: topic.clone(), partition: *partition, seq, what, record }
}

/// What a record says of itself; its headers say better where it comes from.
fn said(kind: Kind, answers: Option<(String, i32, i64)>, body: &[u8]) -> Option<Said> {
    #[derive(Deserialize)]
    struct Source {
        topic: String,
        partition: i32,
        offset: i64,
    }
    #[derive(Deserialize)]
    struct Body {
        decision_id: Option<String>,
        hold_id: Option<String>,
        outcome: Option<String>,
        state: Option<String>,
        source: Option<Source>,
    }
    let body: Body = serde_json::from_slice(body).ok()?;
    let (id, state) = match kind {
        Kind::Decision => (body.decision_id?, body.outcome?),
        Kind::Hold => (body.hold_id?, body.state?),
    };
    let of_body = |it: Source| ((it.topic, it.partition), it.offset);
    let of_headers = |(topic, partition, offset)| ((topic, partition), offset);
    let source = body.source.map(of_body).or_else(|| answers.map(of_headers));
    Some(Said { id, state, source })
}
