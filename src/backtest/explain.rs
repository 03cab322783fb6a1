//! One event of a history, and what rules say about it: the history before it is run, then every part of the rule's
//! condition is laid out as the engine itself works it out.

use core::cell::Cell;
use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value as Json, json};

use crate::backtest::input::{Format, InputError};
use crate::backtest::run::{Job, Taker, drive};
use crate::base::time::format_rfc3339;
use crate::decision::wire::Moment;
use crate::engine::{Decoded, Engine, Input, Output, OutputTopic};
use crate::event::error::DecodeError;
use crate::event::schema::EventId;
use crate::rules::eval::Verdict;
use crate::rules::eval::outline::{Looked, Outline, Part, Step};
use crate::rules::eval::render::duration;
use crate::rules::program::{Mode, Program, RuleId};
use crate::window::spec::{Calendar, Coverage, Period};

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Id of the event; the first one with it is meant, of the types below.
    pub event_id: String,
    /// Which event types may be meant; empty: all.
    pub types: Vec<EventId>,
    /// Which rules.
    pub rules: Vec<RuleId>,
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Explanation {
    /// Id of the event.
    pub event_id: String,
    /// Name of its type.
    pub event_type: String,
    /// Event time in ms.
    pub time_ms: i64,
    /// The decision, as it is written.
    pub decision: Json,
    /// Per rule that was asked for: what it says, or that it is not evaluated on such events.
    pub rules: Vec<(RuleId, Option<Outline>)>,
    /// Names of other types of which the input has an event with this id.
    pub also: BTreeSet<String>,
}

/// Runs a history up to an event and explains it. `None`: no event has this id.
///
/// # Errors
/// When an input cannot be read.
pub fn explain(
    engine: &mut Engine,
    job: &Job,
    question: &Question,
) -> Result<Option<Explanation>, InputError> {
    let done = Cell::new(false);
    let (found, also) = (None, BTreeSet::new());
    let is_only_type = engine.program().schema.events.len() == 1;
    let mut finder = Finder { question, found, also, done: &done, is_only_type };
    let job = Job { threads: 1, ..job.clone() };
    drive(engine, &job, &mut finder, &mut |_| !done.get())?;
    let Finder { found, mut also, .. } = finder;
    Ok(found.map(|found| {
        also.remove(&found.event_type);
        Explanation { also, ..found }
    }))
}

struct Finder<'q> {
    question: &'q Question,
    found: Option<Explanation>,
    /// Types of events with the id.
    also: BTreeSet<String>,
    done: &'q Cell<bool>,
    /// No event of another type can have the id.
    is_only_type: bool,
}

impl Taker for Finder<'_> {
    fn begin(&mut self, _path: &Path, _format: Format) {}

    fn take(
        &mut self,
        engine: &mut Engine,
        input: &Input<'_>,
        decoded: Result<Decoded<'_>, DecodeError>,
    ) {
        if self.done.get() {
            return;
        }
        let mut outputs: Vec<Output> = Vec::new();
        let Ok(event) = &decoded else {
            engine.decide(input, decoded, &mut outputs);
            return;
        };
        let is_named = engine.event_id(*event) == self.question.event_id;
        let ty = event.row.event();
        if is_named {
            self.also.insert(engine.program().schema.event(ty).name.clone());
        }
        // After the event only ids matter: another type may have an event with this one.
        if self.found.is_some() {
            return;
        }
        let types = &self.question.types;
        if !is_named || !(types.is_empty() || types.contains(&ty)) {
            engine.decide(input, decoded, &mut outputs);
            return;
        }
        let event = *event;
        let rules = &self.question.rules;
        let outline = |rule: &RuleId| (*rule, engine.outline(input.stream, event, *rule));
        let rules: Vec<_> = rules.iter().map(outline).collect();
        engine.decide(input, decoded, &mut outputs);
        let decision = outputs.iter().find(|output| output.topic == OutputTopic::Decisions);
        let decision = decision.and_then(|output| serde_json::from_slice(&output.body).ok());
        self.found = Some(Explanation {
            event_id: self.question.event_id.clone(),
            event_type: engine.program().schema.event(event.row.event()).name.clone(),
            time_ms: event.row.time_ms,
            decision: decision.unwrap_or_default(),
            rules,
            also: BTreeSet::new(),
        });
        self.done.set(self.is_only_type || self.question.types.len() == 1);
    }
}

/// The words for a verdict.
fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Hit => "HIT",
        Verdict::NoHit => "NO HIT",
        Verdict::NotApplicable => "NOT APPLICABLE",
        Verdict::Undecided => "UNDECIDED",
        Verdict::Exempt => "EXEMPT",
    }
}

impl Explanation {
    /// For people.
    pub fn text(&self, program: &Program) -> String {
        let mut out = String::new();
        let set = program.digest.short_hex();
        for (id, outline) in &self.rules {
            let info = &program.rules[usize::from(id.0)];
            let word = match outline {
                Some(outline) => verdict_word(outline.verdict),
                None if matches!(info.mode, Mode::Draft | Mode::Retired) => {
                    "NOT EVALUATED in its mode"
                }
                None => "NOT ON this type of event",
            };
            out.push_str(&format!(
                "{} {}  {word}   set {}  event {} ({}) {}\n",
                info.id,
                info.name,
                set.get(..8).unwrap_or(&set),
                self.event_id,
                self.event_type,
                format_rfc3339(self.time_ms)
            ));
            let Some(outline) = outline else { continue };
            let clauses = [
                ("where", &outline.guard),
                ("when", &Some(outline.when.clone())),
                ("unless", &outline.unless),
            ];
            for (word, part) in clauses {
                if let Some(part) = part {
                    out.push_str(&format!("  {word}  {}\n", part.value));
                    // The value of a whole `and` or `or` stands beside the word already.
                    let whole = core::slice::from_ref(part);
                    let joined = part.compared.is_none() && !part.parts.is_empty();
                    for part in if joined { &part.parts } else { whole } {
                        tell(part, 4, &mut out);
                    }
                }
            }
            if !outline.missing.is_empty() {
                out.push_str(&format!("  missing  {}\n", outline.missing.join(", ")));
            }
        }
        out
    }

    /// For programs.
    pub fn json(&self, program: &Program) -> Json {
        let rules = self.rules.iter().map(|(id, outline)| {
            let info = &program.rules[usize::from(id.0)];
            let mut rule =
                json!({ "rule": info.id, "name": info.name, "verdict": "not_evaluated" });
            if let Some(outline) = outline {
                let word = verdict_word(outline.verdict).to_lowercase().replace(' ', "_");
                rule["verdict"] = json!(word);
                rule["where"] = outline.guard.as_ref().map_or(Json::Null, part_json);
                rule["when"] = part_json(&outline.when);
                rule["unless"] = outline.unless.as_ref().map_or(Json::Null, part_json);
                rule["missing"] = json!(outline.missing);
            }
            rule
        });
        json!({
            "event": {
                "id": self.event_id, "type": self.event_type, "time": format_rfc3339(self.time_ms),
            },
            "ruleset": program.digest.short_hex(),
            "rules": rules.collect::<Vec<_>>(),
            "decision": self.decision,
        })
    }
}

fn tell(part: &Part, indent: usize, out: &mut String) {
    let space = " ".repeat(indent);
    let is_condition = part.compared.is_some() || matches!(part.value.as_str(), "true" | "false");
    let mut line = if is_condition {
        format!("{space}{}  {}", part.text, part.value)
    } else {
        format!("{space}{} = {}", part.text, part.value)
    };
    if let Some((left, op, right)) = &part.compared {
        line.push_str(&format!("  {left} {op} {right}"));
    }
    if let Some(short_by) = &part.short_by {
        line.push_str(&format!("  short by {short_by}"));
    }
    out.push_str(&line);
    out.push('\n');
    for step in &part.steps {
        out.push_str(&format!("{space}  {}\n", step_text(step)));
    }
    let mut looked: Vec<String> =
        part.readings.iter().map(|looked| looked_text(looked, part.coverage)).collect();
    // Both counts of a share may say the same.
    looked.dedup();
    for looked in looked {
        out.push_str(&format!("{space}  {looked}\n"));
    }
    for part in &part.parts {
        tell(part, indent + 2, out);
    }
}

/// `step reset (password_reset): 2026-03-02T08:00:00Z`.
fn step_text(step: &Step) -> String {
    let Step { name, event, times, taken_ms } = step;
    let named = if name == event { name.clone() } else { format!("{name} ({event})") };
    let wanted = if *times == 1 { String::new() } else { format!(", {times} times") };
    let taken: Vec<String> = taken_ms.iter().map(|time_ms| format_rfc3339(*time_ms)).collect();
    match taken.len() {
        0 => format!("step {named}{wanted}: not taken"),
        n if n < usize::from(*times) => {
            format!("step {named}{wanted}: taken {n} of {times} times, {}", taken.join(", "))
        }
        _ => format!("step {named}{wanted}: {}", taken.join(", ")),
    }
}

fn looked_text(looked: &Looked, coverage: Coverage) -> String {
    let (from, to) = looked.window;
    let counting = if looked.with_this { "last" } else { "prior" };
    let mut words = if from == i64::MIN && looked.calendar.is_some() {
        "nobody knows the time zone, so no event is in the window".to_owned()
    } else if from == i64::MIN {
        format!("{counting}, up to {}", format_rfc3339(to))
    } else {
        // The instants that bound it, where the calendar says one of them, so that it is midnight on the clock.
        let (from, to) = match looked.calendar {
            Some(Calendar::Since(_)) => (from.saturating_add(1), to),
            Some(Calendar::Before(_)) => (from.saturating_add(1), to.saturating_add(1)),
            None => (from, to),
        };
        let span = match (looked.calendar, looked.with_this) {
            (None, _) => format!("{counting} {}", duration(to.saturating_sub(from))),
            (Some(Calendar::Since(period)), true) => calendar_word(period).to_owned(),
            (Some(Calendar::Since(period)), false) => {
                format!("{counting} {}", calendar_word(period))
            }
            (Some(Calendar::Before(period)), _) => {
                let length = duration(to.saturating_sub(from));
                format!("{counting} {length} before {}", calendar_word(period))
            }
        };
        format!("{span} from {} to {}", format_rfc3339(from), format_rfc3339(to))
    };
    match looked.counted {
        Some((counted, all)) if counted == all => words.push_str(&format!(", {counted} events")),
        Some((counted, all)) => words.push_str(&format!(
            ", {counted} of {all} events ({} skipped by the filter or for want of a value)",
            all.saturating_sub(counted)
        )),
        None => {}
    }
    if let Some(unpriced) = looked.unpriced.filter(|unpriced| *unpriced > 0) {
        words.push_str(&format!(", {unpriced} of the skipped have no exchange rate"));
    }
    words.push_str(&format!(", {}", coverage_word(coverage)));
    if coverage == Coverage::Warming {
        words.push_str(" (the records begin inside of it)");
    }
    if !looked.asked {
        words.push_str(", not read: the rule was decided without it");
    }
    words
}

fn calendar_word(period: Period) -> &'static str {
    match period {
        Period::Day => "today",
        Period::Week => "this_week",
        Period::Month => "this_month",
    }
}

fn coverage_word(coverage: Coverage) -> &'static str {
    match coverage {
        Coverage::Complete => "exact",
        Coverage::Warming => "warming",
        Coverage::Approximate(_) => "approximate",
        Coverage::Unpriced => "unpriced",
        Coverage::Capped => "capped",
    }
}

fn part_json(part: &Part) -> Json {
    let readings = part.readings.iter().map(|looked| {
        json!({
            "measure": looked.identity,
            "from": (looked.window.0 > i64::MIN).then_some(Moment(looked.window.0)),
            "to": Moment(looked.window.1),
            "counts_this_event": looked.with_this,
            "events_counted": looked.counted.map(|(counted, _)| counted),
            "events_in_window": looked.counted.map(|(_, all)| all),
            "events_without_rate": looked.unpriced,
            "read": looked.asked,
        })
    });
    let mut line = json!({ "text": part.text, "value": part.value });
    if let Some((left, op, right)) = &part.compared {
        line["compared"] = json!({ "value": left, "op": op, "threshold": right });
    }
    if let Some(short_by) = &part.short_by {
        line["short_by"] = json!(short_by);
    }
    if !part.steps.is_empty() {
        let steps = part.steps.iter().map(|step| {
            let taken: Vec<Moment> = step.taken_ms.iter().map(|time_ms| Moment(*time_ms)).collect();
            json!({ "step": step.name, "event": step.event, "times": step.times, "taken": taken })
        });
        line["coverage"] = json!(coverage_word(part.coverage));
        line["steps"] = steps.collect();
    }
    if !part.readings.is_empty() {
        line["coverage"] = json!(coverage_word(part.coverage));
        line["readings"] = readings.collect();
    }
    if !part.parts.is_empty() {
        line["parts"] = part.parts.iter().map(part_json).collect();
    }
    line
}
