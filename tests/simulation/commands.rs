//! What people ask of holds, and what may come of it.
//!
//! Which answer a command has hangs on the order across partitions, which is nobody's to choose; so no golden run says it.
//! What is judged is that whatever happened is one thing: a command has one answer, a hold ends once, and an answer that says
//! that something was done stands beside the record of the hold that shows it.

use std::collections::{BTreeMap, BTreeSet};

use riskweir::base::time::{format_rfc3339, parse_rfc3339};
use serde_json::{Value, json};

use super::broker::Record;
use super::dice::Dice;
use super::profile::Profile;
use super::workload::Workload;

/// The topic of commands.
pub(crate) const COMMANDS: &str = "commands";

const MINUTE_MS: i64 = 60_000;

const KINDS: [&str; 6] =
    ["hold.release", "hold.confirm", "hold.extend", "hold.escalate", "hold.claim", "hold.unclaim"];

/// The records of the lanes of commands, and when they come: about holds that the first rule set would place, some before they
/// are placed, some twice.
pub(crate) fn draw(
    dice: &mut Dice,
    profile: &Profile,
    workload: &Workload,
) -> Vec<Vec<(u64, Record)>> {
    let mut lanes: Vec<Vec<(u64, i64, String)>> = vec![Vec::new(); profile.n_partitions];
    for (lane, records) in workload.inputs.iter().enumerate() {
        let golden = workload.golden(lane, &[(0, 0)]);
        for (time, record) in records {
            let answers = golden.get(&record.offset).into_iter().flatten();
            let bodies = answers.filter(|(topic, _)| topic == "risk.holds");
            let holds = bodies.map(|(_, body)| serde_json::from_slice::<Value>(body).unwrap());
            for hold in holds.filter(|hold| hold["state"] == "placed") {
                let same = lane % profile.n_partitions;
                let any = usize::try_from(dice.below(profile.n_partitions as u64)).unwrap();
                let to = if profile.by_partition { same } else { any };
                let number = lanes.iter().map(Vec::len).sum();
                about(dice, (number, &hold), (*time, record.arrival_ms), &mut lanes[to]);
            }
        }
    }
    lanes.into_iter().map(written).collect()
}

/// No, one or two commands about a hold.
fn about(
    dice: &mut Dice,
    (number, hold): (usize, &Value),
    (time, arrival_ms): (u64, i64),
    into: &mut Vec<(u64, i64, String)>,
) {
    let deadline = hold["deadline_at"].as_str().unwrap();
    let deadline_ms = parse_rfc3339(deadline.as_bytes()).unwrap();
    for nth in 0..dice.below(3) {
        let kind = dice.pick(&KINDS);
        let mut command = json!({
            "schema": "riskweir.command.v1", "command_id": format!("c{number}-{nth}"), "kind": kind,
            "hold_id": hold["hold_id"], "actor": "ann", "reason": "asked",
        });
        if kind == "hold.escalate" {
            command["escalate_to"] = json!("seniors");
        }
        if kind == "hold.claim" {
            command["actor"] = json!(dice.pick(&["ann", "bob"]));
        }
        if kind == "hold.extend" {
            command["deadline_at"] = json!(format_rfc3339(deadline_ms + 10 * MINUTE_MS));
        }
        for _ in 0..dice.pick(&[1, 1, 1, 2]) {
            let later = dice.pick(&[0, 0, 1_000, 20_000, 300_000]);
            let at_ms = arrival_ms + dice.pick(&[0, MINUTE_MS, 30 * MINUTE_MS]);
            into.push((time + later, at_ms, command.to_string()));
        }
    }
}

fn written(mut lane: Vec<(u64, i64, String)>) -> Vec<(u64, Record)> {
    lane.sort();
    let record = |(offset, (time, arrival_ms, text)): (i64, (u64, i64, String))| {
        let payload = Some(text.into_bytes().into());
        (time, Record { offset, arrival_ms, payload })
    };
    (0..).zip(lane).map(record).collect()
}

/// What was seen of commands and of the holds that they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Judged {
    /// By place of the command: each answer, and how often.
    answers: BTreeMap<(usize, i64), BTreeMap<Vec<u8>, usize>>,
    /// By hold: the records in which it ended.
    ends: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// By place of the record that brought it about: states of holds.
    states: BTreeMap<(usize, i64), BTreeSet<String>>,
    pub(crate) done: u64,
    pub(crate) refused: u64,
}

impl Judged {
    /// An answer to a command. `once`: nothing may be seen twice.
    pub(crate) fn answer(
        &mut self,
        place: (usize, i64),
        body: &[u8],
        once: bool,
    ) -> Result<(), String> {
        let text = String::from_utf8_lossy(body).into_owned();
        let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        match value["command"]["result"].as_str() {
            Some("done") => self.done += 1,
            Some("refused" | "repeated") => self.refused += 1,
            _ => return Err(format!("P1: no answer to a command: {text}")),
        }
        let seen = self.answers.entry(place).or_default();
        let copies = seen.entry(body.to_vec()).or_default();
        *copies += 1;
        let copies = *copies;
        if once && (copies > 1 || seen.len() > 1) {
            let all: Vec<_> = seen.keys().map(|body| String::from_utf8_lossy(body)).collect();
            return Err(format!("P1: a command is answered twice: {all:#?}"));
        }
        Ok(())
    }

    /// A state of a hold.
    pub(crate) fn state(
        &mut self,
        place: (usize, i64),
        body: &[u8],
        once: bool,
    ) -> Result<(), String> {
        let hold: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let state = hold["state"].as_str().unwrap_or("").to_owned();
        // WHY: another body under a known id is another decision; it may hold the payment again after its hold ended.
        let id = format!("{} {}", hold["hold_id"], hold["decision_id"]);
        let is_end = ["released", "confirmed", "expired"].contains(&state.as_str());
        self.states.entry(place).or_default().insert(state);
        if is_end {
            let ends = self.ends.entry(id).or_default();
            ends.insert(body.to_vec());
            if once && ends.len() > 1 {
                let all: Vec<_> = ends.iter().map(|body| String::from_utf8_lossy(body)).collect();
                return Err(format!("P2: a hold ends twice: {all:#?}"));
            }
        }
        Ok(())
    }

    /// A command is committed: it is answered, and what was done shows in the record of the hold.
    pub(crate) fn committed(&self, place: (usize, i64)) -> Result<(), String> {
        let Some(answers) = self.answers.get(&place) else {
            return Err(format!("P6: the command at {place:?} is committed and not answered"));
        };
        for body in answers.keys() {
            let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
            let command = &value["command"];
            let state = command["state"].as_str().unwrap_or("");
            let shows = self.states.get(&place).is_some_and(|states| states.contains(state));
            if command["result"] == "done" && !shows {
                return Err(format!("P3: no hold shows what was done at {place:?}: {command}"));
            }
        }
        Ok(())
    }
}
