//! What each rule did over a run, as a table and as JSON.

use serde::Serialize;

use crate::backtest::run::Ran;
use crate::base::text::counted;
use crate::base::time::format_rfc3339;
use crate::decision::holds::HoldState;
use crate::decision::lattice::Outcome;
use crate::decision::wire::Moment;
use crate::engine::Engine;
use crate::rules::eval::render::duration;
use crate::rules::program::Mode;

/// A step of the clock that is told where events came too late: a day, longer than most histories pause.
const LEAP_MS: i64 = 86_400_000;

/// The summary of a run.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Summary {
    /// Digest of the rule set.
    pub ruleset: String,
    /// Records read.
    pub records: u64,
    /// Records decided.
    pub decided: u64,
    /// Records in the dead letters.
    pub dead_lettered: u64,
    /// Repeated events among the decided.
    pub duplicates: u64,
    /// Events behind the clock.
    pub late: u64,
    /// Those of them that were so far behind that they could stop no money.
    pub too_late: u64,
    /// Events from the future: the clock did not follow them, and they are not remembered.
    pub future: u64,
    /// What may have made events too late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_leap: Option<ClockLeap>,
    /// Alerts raised, bands and id reuse included.
    pub alerts: u64,
    /// Holds placed.
    pub holds: u64,
    /// Decisions by outcome.
    pub outcomes: Vec<OutcomeCount>,
    /// Dead letters by reason.
    pub dead_letters: Vec<ReasonCount>,
    /// Per rule, by name.
    pub rules: Vec<RuleSummary>,
    /// Keys evicted to stay under the byte budget: above 0 the run is not exact.
    pub evictions: u64,
    /// Heap bytes of all state at the end.
    pub state_bytes: usize,
}

/// An event that moved the clock far, with events too late somewhere in the run: its time may be wrong.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct ClockLeap {
    /// How far, in ms.
    pub by_ms: i64,
    /// To when.
    pub to: Moment,
    /// Where it stands: `line 17 of x.ndjson`.
    pub place: String,
}

/// Decisions with one outcome.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct OutcomeCount {
    /// The outcome.
    pub outcome: &'static str,
    /// How many.
    pub count: u64,
}

/// Dead letters with one reason.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct ReasonCount {
    /// The reason code.
    pub reason: &'static str,
    /// How many.
    pub count: u64,
}

/// What one rule did.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct RuleSummary {
    /// Its id.
    pub rule: String,
    /// Its name.
    pub name: String,
    /// `live`, `shadow`, `draft` or `retired`.
    pub mode: &'static str,
    /// Events that hit it.
    pub hits: u64,
    /// Alerts raised after thinning.
    pub alerts: u64,
    /// Alerts thinned by `once per`.
    pub thinned: u64,
    /// Events on which it could not be decided.
    pub undecided: u64,
    /// Events exempt by its `unless`.
    pub exempt: u64,
    /// Events on which it would have hit but was snoozed.
    pub snoozed: u64,
    /// Holds that it placed or helped to place.
    pub holds: u64,
    /// Events that it wanted blocked.
    pub blocks: u64,
}

impl Summary {
    /// Reads the summary off an engine and what it ran.
    pub fn of(engine: &Engine, ran: &Ran) -> Self {
        let (program, counters) = (engine.program(), engine.counters());
        let rules = program.rules.iter().zip(&counters.rules).map(|(info, rule)| RuleSummary {
            rule: info.id.clone(),
            name: info.name.clone(),
            mode: mode_word(info.mode),
            hits: rule.hits,
            alerts: rule.alerts,
            thinned: rule.thinned,
            undecided: rule.undecided,
            exempt: rule.exempt,
            snoozed: rule.snoozed,
            holds: rule.holds,
            blocks: rule.blocks,
        });
        let outcomes = Outcome::ALL.iter().zip(counters.outcomes);
        let reasons = counters.dead_letters.iter();
        Self {
            ruleset: program.digest.short_hex(),
            records: counters.read,
            decided: counters.decided(),
            dead_lettered: counters.dead_lettered(),
            duplicates: counters.duplicates,
            late: counters.late + counters.too_late,
            too_late: counters.too_late,
            future: counters.future,
            clock_leap: ran
                .leap
                .as_ref()
                .filter(|leap| counters.too_late > 0 && leap.by_ms >= LEAP_MS)
                .map(|leap| ClockLeap {
                    by_ms: leap.by_ms,
                    to: Moment(leap.to_ms),
                    place: leap.place.clone(),
                }),
            alerts: counters.alerts,
            holds: counters.holds_in(HoldState::Placed),
            outcomes: outcomes
                .map(|(outcome, count)| OutcomeCount { outcome: outcome.as_str(), count })
                .collect(),
            dead_letters: reasons
                .map(|(reason, count)| ReasonCount { reason, count: *count })
                .collect(),
            rules: rules.collect(),
            evictions: counters.evictions,
            state_bytes: engine.state_bytes(),
        }
    }

    /// The summary as one JSON object, with a line end.
    pub fn json(&self) -> String {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        text + "\n"
    }

    /// The same with what came out against labels, if there were any, under `quality`.
    pub fn json_with(&self, quality: Option<serde_json::Value>) -> String {
        let Some(quality) = quality else { return self.json() };
        let mut whole = serde_json::to_value(self).unwrap_or_default();
        if let serde_json::Value::Object(whole) = &mut whole {
            whole.insert("quality".to_owned(), quality);
        }
        serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
    }

    /// The summary as a table for people.
    pub fn table(&self) -> String {
        let mut rows: Vec<[String; 9]> = vec![
            ["rule", "name", "mode", "hits", "alerts", "thinned", "undecided", "holds", "blocks"]
                .map(str::to_owned),
        ];
        rows.extend(self.rules.iter().map(|rule| {
            [
                rule.rule.clone(),
                rule.name.clone(),
                rule.mode.to_owned(),
                rule.hits.to_string(),
                rule.alerts.to_string(),
                rule.thinned.to_string(),
                rule.undecided.to_string(),
                rule.holds.to_string(),
                rule.blocks.to_string(),
            ]
        }));
        let mut table = align(&rows, 3);
        table.push_str(&format!("\n{}\n", self.totals(" placed")));
        for count in &self.dead_letters {
            table.push_str(&format!("  dead letters: {} {}\n", count.count, count.reason));
        }
        if self.too_late > 0 {
            table.push_str(&format!(
                "  {} came too late to stop money: so far behind the newest event time\n",
                counted(self.too_late, "event")
            ));
        }
        if let Some(ClockLeap { by_ms, to: Moment(to_ms), place }) = &self.clock_leap {
            table.push_str(&format!(
                "    {place} moved the clock by {} to {}: if that time is wrong, `--arrived TIME` keeps it from moving the clock\n",
                duration(*by_ms),
                format_rfc3339(*to_ms)
            ));
        }
        if self.future > 0 {
            table.push_str(&format!(
                "  {} later than `--arrived`: decided, not remembered, and the clock did not follow\n",
                counted(self.future, "event")
            ));
        }
        if self.evictions > 0 {
            table.push_str(&format!(
                "  {} evicted to stay under the state budget: windows are lower bounds\n",
                counted(self.evictions, "key")
            ));
        }
        table
    }

    /// What became of the records, in one line: `7 records: 6 decided (5 pass, 1 hold), 1 dead-lettered; ...`.
    pub fn totals(&self, placed: &str) -> String {
        let outcomes = self.outcomes.iter().filter(|count| count.count > 0);
        let words: Vec<String> =
            outcomes.map(|count| format!("{} {}", count.count, count.outcome)).collect();
        let outcomes =
            if words.is_empty() { String::new() } else { format!(" ({})", words.join(", ")) };
        format!(
            "{}: {} decided{outcomes}, {} dead-lettered; {}, {}{placed}",
            counted(self.records, "record"),
            self.decided,
            self.dead_lettered,
            counted(self.alerts, "alert"),
            counted(self.holds, "hold"),
        )
    }
}

/// The word for a mode.
pub fn mode_word(mode: Mode) -> &'static str {
    match mode {
        Mode::Draft => "draft",
        Mode::Shadow => "shadow",
        Mode::Canary(_) => "canary",
        Mode::Live => "live",
        Mode::Retired => "retired",
    }
}

/// Columns padded to their widest cell: the first ones, texts, to the left, numbers to the right.
pub(crate) fn align<const N: usize>(rows: &[[String; N]], n_texts: usize) -> String {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut table = String::new();
    for row in rows {
        let cells = row.iter().zip(widths).enumerate().map(|(column, (cell, width))| {
            if column < n_texts { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        let line: Vec<String> = cells.collect();
        table.push_str(line.join("  ").trim_end());
        table.push('\n');
    }
    table
}
