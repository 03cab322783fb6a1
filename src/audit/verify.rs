//! Checks chains of audit records against themselves and against signed checkpoints, and says where the first fault lies.
//!
//! Found are: a record that was changed, taken out, moved or added; a chain that was rebuilt behind a change; one that was
//! cut at its beginning or its end; a checkpoint that nobody signed. Not found is the loss of the newest records together
//! with their checkpoints: who fears that compares [`ChainReport::signed_at`] with what it saw before.
//!
//! # Cost
//! About 150 bytes of memory for each audit record; a signature takes some tens of microseconds.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::audit::checkpoint::Sealed;
use crate::audit::key::PublicKey;
use crate::audit::outputs::{At, Checked, Kind, Outputs, Says, Written};
use crate::base::Digest;

/// What the first record of a chain names as the one before it.
const NOTHING: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// An input partition.
type Place = (String, i32);

/// The members of an audit record that count here.
#[derive(Debug, Deserialize)]
struct Entry {
    chain: Chained,
    #[serde(flatten)]
    says: Says,
}

#[derive(Debug, Deserialize)]
struct Chained {
    topic: String,
    partition: i32,
    #[serde(default)]
    offset: i64,
    seq: u64,
    prev: String,
}

/// A link of a chain.
#[derive(Clone, Debug)]
struct Link {
    hash: Digest,
    prev: String,
    offset: i64,
}

/// What is known of a chain.
#[derive(Clone, Debug, Default)]
struct Chain {
    links: BTreeMap<u64, Link>,
    /// The largest number so far, in the order of reading.
    newest: u64,
    /// The largest number that must be signed by now.
    due: u64,
    repeats: u64,
    /// Digest by number, as somebody with a key said.
    signed: BTreeMap<u64, String>,
    signed_at: String,
}

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Topic of the input; empty where it is not known which chain it is.
    pub topic: String,
    /// Partition of the input.
    pub partition: i32,
    /// Number of the first record that is not as it was; 0 where it is not known.
    pub seq: u64,
    /// In words.
    pub what: String,
    /// The record of an output topic that it is about, where it is about one.
    pub record: Option<At>,
}

/// How a chain stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainReport {
    /// Topic of the input.
    pub topic: String,
    /// Partition of the input.
    pub partition: i32,
    /// Its records, each once.
    pub records: u64,
    /// Its last number.
    pub last_seq: u64,
    /// The last number that is signed.
    pub signed_seq: Option<u64>,
    /// When the newest checkpoint was signed; empty where there is none.
    pub signed_at: String,
    /// Records that were written more than once, alike.
    pub repeats: u64,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Each chain.
    pub chains: Vec<ChainReport>,
    /// What is wrong, by chain and number.
    pub problems: Vec<Problem>,
    /// What a retention may have taken, and nobody who signs says so; with [`Verifier::trimmed`] only.
    pub unproven: Vec<Problem>,
    /// Records of output topics, by kind; with [`Verifier::with_outputs`] only.
    pub outputs: BTreeMap<Kind, Checked>,
}

/// Takes audit records and checkpoints, in the order in which they stand in each partition of their topics.
#[derive(Debug)]
pub struct Verifier {
    keys: Vec<PublicKey>,
    chains: BTreeMap<Place, Chain>,
    problems: Vec<Problem>,
    /// The topic's retention may have taken the oldest records.
    trimmed: bool,
    /// Records of decisions and holds, where they are held against their entries.
    outputs: Option<Outputs>,
}

impl Verifier {
    /// One that trusts these keys. Without any, chains are held against themselves only.
    pub fn new(keys: Vec<PublicKey>) -> Self {
        Self { keys, chains: BTreeMap::new(), problems: Vec::new(), trimmed: false, outputs: None }
    }

    /// The oldest records of a chain may be gone, or all of them, as a retention takes them. Where a checkpoint says what the
    /// last of them was, the rest is proved to follow them; elsewhere it is told as unproven.
    #[must_use]
    pub fn trimmed(self) -> Self {
        Self { trimmed: true, ..self }
    }

    /// Holds records of decisions and holds against their entries, too.
    #[must_use]
    pub fn with_outputs(self) -> Self {
        Self { outputs: Some(Outputs::default()), ..self }
    }

    /// Takes a record of an output topic; `is_due`: its entry was written by now.
    pub fn output(&mut self, written: Written<'_>, is_due: bool) {
        if let Some(outputs) = &mut self.outputs {
            outputs.record(written, is_due);
        }
    }

    /// The oldest records of a partition of an output topic are gone.
    pub fn output_trimmed(&mut self, kind: Kind, partition: i32) {
        if let Some(outputs) = &mut self.outputs {
            outputs.trimmed(kind, partition);
        }
    }

    fn tell(&mut self, (topic, partition): &Place, seq: u64, what: impl Into<String>) {
        let (topic, partition) = (topic.clone(), *partition);
        self.problems.push(Problem { topic, partition, seq, what: what.into(), record: None });
    }

    /// Takes an audit record.
    pub fn record(&mut self, body: &[u8]) {
        if let Some((place, seq)) = self.take(body, true) {
            let chain = self.chains.entry(place).or_default();
            chain.due = chain.due.max(seq);
        }
    }

    /// Takes an audit record that came while others were read: what signs it may not have been seen.
    pub fn newer(&mut self, body: &[u8]) {
        self.take(body, false);
    }

    /// Whether a record waits for what signs it, a checkpoint for its record, or one of an output and its entry for the other.
    pub fn is_behind(&mut self) -> bool {
        if self.outputs.as_mut().is_some_and(Outputs::is_behind) {
            return true;
        }
        let is_behind = |chain: &Chain| {
            let last = chain.links.last_key_value().map_or(0, |(seq, _)| *seq);
            let signed = chain.signed.last_key_value().map_or(0, |(seq, _)| *seq);
            signed < chain.due || last < signed
        };
        !self.keys.is_empty() && self.chains.values().any(is_behind)
    }

    fn take(&mut self, body: &[u8], is_due: bool) -> Option<(Place, u64)> {
        let Ok(Entry { chain: told, says }) = serde_json::from_slice(body) else {
            self.tell(&(String::new(), 0), 0, "a record of the audit topic is no audit record");
            return None;
        };
        let Chained { topic, partition, offset, seq, prev } = told;
        let place = (topic, partition);
        let chain = self.chains.entry(place.clone()).or_default();
        let hash = Digest::of(body);
        if let Some(known) = chain.links.get(&seq) {
            if known.hash == hash {
                chain.repeats += 1;
            } else {
                self.tell(&place, seq, "two different records have this number");
            }
            return Some((place, seq));
        }
        let newest = chain.newest;
        chain.newest = newest.max(seq);
        chain.links.insert(seq, Link { hash, prev, offset });
        if seq == 0 {
            self.tell(&place, 0, "numbers begin with 1");
        } else if seq <= newest {
            self.tell(&place, seq, format!("it stands behind record {newest}"));
        }
        if let Some(outputs) = &mut self.outputs {
            outputs.entry((&place, seq, offset), says, is_due);
        }
        Some((place, seq))
    }

    /// Takes a checkpoint.
    pub fn checkpoint(&mut self, body: &[u8]) {
        let Some(sealed) = Sealed::read(body) else {
            self.tell(&(String::new(), 0), 0, "a record of the topic of checkpoints is none");
            return;
        };
        let says = &sealed.says;
        let (place, seq) = ((says.topic.clone(), says.partition), says.seq);
        if !sealed.is_by(&self.keys) {
            if !self.keys.is_empty() {
                let key = &says.key;
                self.tell(
                    &place,
                    seq,
                    format!("a checkpoint is not signed by a known key: it names key {key}"),
                );
            }
            return;
        }
        let chain = self.chains.entry(place.clone()).or_default();
        let known = chain.signed.entry(seq).or_insert_with(|| says.hash.clone());
        let differs = *known != says.hash;
        if says.time > chain.signed_at {
            chain.signed_at.clone_from(&says.time);
        }
        if differs {
            self.tell(&place, seq, "two signed checkpoints name different records of this number");
        }
    }

    /// Holds everything against each other.
    pub fn finish(self) -> Report {
        let Self { keys, chains, mut problems, trimmed, outputs } = self;
        let mut report = Report::default();
        if let Some(outputs) = outputs {
            let begin = |(place, chain): (&Place, &Chain)| {
                let (seq, link) = chain.links.first_key_value()?;
                Some((place.clone(), (*seq, link.offset)))
            };
            let begins = chains.iter().filter_map(begin).collect();
            report.outputs = outputs.checked();
            let found = outputs.finish(&begins, trimmed);
            problems.extend(found.problems);
            report.unproven.extend(found.unproven);
        }
        for ((topic, partition), chain) in chains {
            let problem = |seq: u64, what: String| Problem {
                topic: topic.clone(),
                partition,
                seq,
                what,
                record: None,
            };
            let mut tell = |seq: u64, what: String| problems.push(problem(seq, what));
            if trimmed && let Some((seq, what)) = unproven(&chain) {
                report.unproven.push(problem(seq, what));
            }
            check(&chain, trimmed, &mut tell);
            let may_be_gone = trimmed && chain.links.is_empty();
            if !keys.is_empty() && !may_be_gone {
                check_end(&chain, &mut tell);
            }
            report.chains.push(ChainReport {
                partition,
                records: chain.links.len() as u64,
                last_seq: chain.links.last_key_value().map_or(0, |(seq, _)| *seq),
                signed_seq: chain.signed.last_key_value().map(|(seq, _)| *seq),
                signed_at: chain.signed_at,
                repeats: chain.repeats,
                topic,
            });
        }
        problems.sort();
        problems.dedup();
        report.problems = problems;
        report
    }
}

/// What is said of a number of a chain that is not as it was.
type Tell<'t> = &'t mut dyn FnMut(u64, String);

/// Holds a chain against itself and against what was signed of it.
fn check(chain: &Chain, trimmed: bool, tell: Tell<'_>) {
    let vouched = |seq: u64, hash: &str| chain.signed.get(&seq).map(|signed| signed == hash);
    for (seq, link) in &chain.links {
        if vouched(*seq, &link.hash.hex()) == Some(false) {
            tell(*seq, "it is not the record that was signed".to_owned());
        }
    }
    let mut before: Option<(u64, &Link)> = None;
    for (seq, link) in &chain.links {
        match before {
            None if *seq == 1 && link.prev != NOTHING => {
                tell(1, "the first record follows another one".to_owned());
            }
            None if *seq > 1 && trimmed && vouched(*seq - 1, &link.prev) == Some(false) => {
                let last = seq - 1;
                tell(
                    *seq,
                    format!("it follows another record {last} than the one that was signed"),
                );
            }
            None if *seq > 1 && !trimmed => {
                tell(1, format!("records 1 to {} are missing", seq - 1));
            }
            Some((last, _)) if last + 1 < *seq => {
                tell(last + 1, format!("records {} to {} are missing", last + 1, seq - 1));
            }
            Some((last, known)) if last + 1 == *seq && known.hash.hex() != link.prev => {
                // WHY: one of both was changed; where one of them is vouched for it was the other.
                let is_sound = vouched(last, &known.hash.hex()) == Some(true);
                let at = if is_sound { *seq } else { last };
                tell(at, format!("record {seq} follows another record {last} than this one"));
            }
            _ => {}
        }
        before = Some((*seq, link));
    }
}

/// What a retention may have taken of a chain, or somebody else.
fn unproven(chain: &Chain) -> Option<(u64, String)> {
    let Some((first, _)) = chain.links.first_key_value() else {
        let (signed, _) = chain.signed.last_key_value().filter(|(seq, _)| **seq > 0)?;
        let what = format!(
            "records 1 to {signed} were signed and none of them is left: it is not proven that retention took them"
        );
        return Some((1, what));
    };
    let last = first.checked_sub(1).filter(|last| *last > 0 && !chain.signed.contains_key(last))?;
    let what = format!(
        "records 1 to {last} are not there, and no checkpoint says what record {last} was: it is not proven that retention took them, nor that record {first} is as it was before it was signed"
    );
    Some((*first, what))
}

/// Holds the end of a chain against what was signed.
fn check_end(chain: &Chain, tell: Tell<'_>) {
    let last = chain.links.last_key_value().map_or(0, |(seq, _)| *seq);
    match chain.signed.last_key_value() {
        Some((signed, _)) if *signed > last => {
            tell(last + 1, format!("the chain is cut: records up to {signed} were signed"));
        }
        Some((signed, _)) if *signed < chain.due => {
            tell(signed + 1, format!("nobody signed the records after {signed}"));
        }
        None if chain.due > 0 => tell(1, "nobody signed any record".to_owned()),
        _ => {}
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::audit::checkpoint::{Checkpoint, SCHEMA};
    use crate::audit::key::SigningKey;

    fn entry(seq: usize, prev: &str, says: &str) -> String {
        format!(
            r#"{{"schema":"riskweir.audit.v1","kind":"command","says":"{says}","engine":"x","chain":{{"topic":"t","partition":3,"offset":{},"seq":{seq},"prev":"{prev}"}}}}"#,
            seq * 10
        )
    }

    /// A chain of some length, rebuilt by anybody who likes.
    pub(crate) fn chain(says: &[&str]) -> Vec<String> {
        let mut all = Vec::new();
        let mut prev = NOTHING.to_owned();
        for (at, says) in says.iter().enumerate() {
            let body = entry(at + 1, &prev, says);
            prev = Digest::of(body.as_bytes()).hex();
            all.push(body);
        }
        all
    }

    pub(crate) fn key(seed: u8) -> SigningKey {
        SigningKey::of_seed(&[seed; 32])
    }

    pub(crate) fn sign(all: &[String], key: &SigningKey) -> Vec<Vec<u8>> {
        let checkpoint = |(at, body): (usize, &String)| {
            let at = at as u64 + 1;
            Checkpoint {
                schema: SCHEMA.to_owned(),
                topic: "t".to_owned(),
                partition: 3,
                offset: 5,
                seq: at,
                hash: Digest::of(body.as_bytes()).hex(),
                decisions: "00".to_owned(),
                time: format!("2026-11-29T10:00:0{at}Z"),
                key: key.public().id(),
            }
            .seal(key)
        };
        all.iter().enumerate().map(checkpoint).collect()
    }

    fn verify(records: &[String], checkpoints: &[Vec<u8>]) -> Report {
        let mut verifier = Verifier::new(vec![key(1).public()]);
        for body in records {
            verifier.record(body.as_bytes());
        }
        for body in checkpoints {
            verifier.checkpoint(body);
        }
        verifier.finish()
    }

    /// The number of the first fault; none where all is well.
    fn first_fault(records: &[String], checkpoints: &[Vec<u8>]) -> Option<u64> {
        let report = verify(records, checkpoints);
        let of_chain = |it: &&Problem| it.topic == "t" && it.partition == 3 || it.topic.is_empty();
        report.problems.iter().filter(of_chain).map(|problem| problem.seq).min()
    }

    const WORDS: [&str; 5] = ["ann", "bob", "cyd", "dan", "eve"];

    #[test]
    fn every_change_of_every_record_is_found_with_its_number() {
        let sound = chain(&WORDS);
        let signed = sign(&sound, &key(1));
        let report = verify(&sound, &signed);
        assert_eq!(report.problems, []);
        let [only] = &report.chains[..] else { panic!("{report:?}") };
        assert_eq!((only.records, only.last_seq, only.signed_seq), (5, 5, Some(5)));
        assert_eq!(only.signed_at, "2026-11-29T10:00:05Z");
        for at in 0..5 {
            let seq = at as u64 + 1;
            // Any byte of any member, one after the other.
            for byte in 0..sound[at].len() {
                let mut changed = sound.clone();
                let mut bytes = changed[at].clone().into_bytes();
                bytes[byte] = if bytes[byte] == b'7' { b'8' } else { b'7' };
                changed[at] = String::from_utf8(bytes).unwrap();
                let found = first_fault(&changed, &signed).unwrap();
                // Where its number or place is changed, or it is no JSON any more, the hole that it leaves is told.
                let whole = verify(&changed, &signed).problems.iter().any(|it| it.seq == seq);
                assert!(whole && (found == seq || found == 0), "{seq}, byte {byte}: {found}");
            }
            let mut dropped = sound.clone();
            dropped.remove(at);
            assert_eq!(first_fault(&dropped, &signed), Some(if at == 0 { 1 } else { seq }));
            let cut = &sound[..at];
            assert_eq!(first_fault(cut, &signed), Some(seq), "cut");
            for other in at + 1..5 {
                let mut swapped = sound.clone();
                swapped.swap(at, other);
                let found = first_fault(&swapped, &signed).unwrap();
                assert!(found == seq, "{at} and {other}: {found}");
            }
            // A forger who rebuilds the chain behind the change cannot sign it.
            let mut words = WORDS;
            words[at] = "mal";
            let rebuilt = chain(&words);
            assert_eq!(first_fault(&rebuilt, &signed), Some(seq));
            let forged = sign(&rebuilt, &key(2));
            assert_eq!(first_fault(&rebuilt, &[signed.clone(), forged].concat()), Some(1));
            let mut doubled = sound.clone();
            doubled.insert(at, rebuilt[at].clone());
            assert_eq!(first_fault(&doubled, &signed), Some(seq));
            // Written once more, byte for byte, nothing is changed.
            let repeated = [&sound[..], &sound[at..=at]].concat();
            assert_eq!(first_fault(&repeated, &signed), None);
        }
        let longer = chain(&["ann", "bob", "cyd", "dan", "eve", "mal"]);
        assert_eq!(first_fault(&longer, &signed), Some(6), "a record more than was signed");
    }

    #[test]
    fn every_change_of_a_checkpoint_is_found() {
        let sound = chain(&WORDS);
        let signed = sign(&sound, &key(1));
        for byte in 0..signed[2].len() {
            let mut changed = signed.clone();
            changed[2][byte] = if changed[2][byte] == b'7' { b'8' } else { b'7' };
            let base64_tail = byte + 5 > changed[2].len();
            assert!(base64_tail || !verify(&sound, &changed).problems.is_empty(), "byte {byte}");
        }
        assert_eq!(first_fault(&sound, &signed[4..]), None, "the newest one speaks for all");
        assert_eq!(first_fault(&sound, &[]), Some(1));
        assert_eq!(first_fault(&sound[2..], &signed), Some(1));
        // What retention took, checkpoints know.
        for (from, unproven) in [(1, 0), (2, 1)] {
            let report = trimmed(&sound[2..], &signed[from..]);
            assert_eq!(report.problems, [], "checkpoints from {}", from + 1);
            assert_eq!(report.unproven.len(), unproven, "checkpoints from {}", from + 1);
        }
    }

    fn trimmed(records: &[String], checkpoints: &[Vec<u8>]) -> Report {
        let mut verifier = Verifier::new(vec![key(1).public()]).trimmed();
        for body in records {
            verifier.record(body.as_bytes());
        }
        for body in checkpoints {
            verifier.checkpoint(body);
        }
        verifier.finish()
    }

    #[test]
    fn a_chain_of_which_retention_took_all_is_told_and_no_fault() {
        let sound = chain(&WORDS);
        let signed = sign(&sound, &key(1));
        let numbers = |report: &Report| {
            let seq = |all: &[Problem]| all.iter().map(|it| it.seq).collect::<Vec<u64>>();
            (seq(&report.problems), seq(&report.unproven))
        };
        // Nothing of it is left; its checkpoints have a longer retention.
        let report = trimmed(&[], &signed);
        assert_eq!(numbers(&report), (vec![], vec![1]));
        assert!(report.unproven[0].what.contains("1 to 5"), "{report:?}");
        assert_eq!((report.chains[0].records, report.chains[0].signed_seq), (0, Some(5)));
        assert_eq!(first_fault(&[], &signed), Some(1), "without `--trimmed` it is cut");
        // Only later ones: the one before them is signed, or its checkpoint is gone.
        assert_eq!(numbers(&trimmed(&sound[4..], &signed)), (vec![], vec![]));
        assert_eq!(numbers(&trimmed(&sound[4..], &signed[4..])), (vec![], vec![5]));
        // Retention takes the oldest: one that keeps those is no retention.
        assert_eq!(numbers(&trimmed(&sound[1..4], &signed)), (vec![5], vec![]));
        // A beginning of somebody else's is found where it is signed what came before.
        let mut other = chain(&["ann", "bob", "cyd", "mal", "eve"]).split_off(4);
        assert_eq!(numbers(&trimmed(&other, &signed)).0, [5, 5]);
        other[0] = other[0].replace("eve", "mal");
        assert_eq!(numbers(&trimmed(&other, &signed[..4])).0, [5, 5]);
    }

    #[test]
    fn without_a_key_a_chain_is_held_against_itself() {
        let mut verifier = Verifier::new(Vec::new());
        let mut changed = chain(&WORDS);
        changed[2] = changed[2].replace("cyd", "mal");
        for body in &changed {
            verifier.record(body.as_bytes());
        }
        let problems = verifier.finish().problems;
        assert_eq!(problems.iter().map(|problem| problem.seq).collect::<Vec<_>>(), [3]);
    }
}
