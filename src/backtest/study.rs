//! What a run found, rule by rule: against labels where there are any, day by day, and which rules hit together.
//!
//! Counted are events that were judged: repeats of known events are not. An event with a label that was known at the
//! cut-off is fraud or genuine as it says. An event without one is genuine when it is mature: old enough at the cut-off
//! that a fraud would have been reported; else nothing is known about it, and it counts for neither.
//!
//! Money is whole minor units per currency; nothing is converted, rounded or estimated.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use crate::backtest::labels::{Labels, Verdict};
use crate::base::amount::format_minor_wide;
use crate::base::count::nearest_f64;
use crate::base::time::{civil_from_days, format_rfc3339};
use crate::base::{Currency, EntityKey};
use crate::decision::lattice::Outcome;
use crate::engine::{Judged, OutputTopic, Sink};
use crate::event::schema::EventId;
use crate::rules::program::{ActionPlan, Program, RuleId};

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;

/// What is known at which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutOff {
    /// Labels that were reported later do not count, in ms.
    pub until_ms: i64,
    /// An event without a label is genuine when it is this much older than the cut-off, in ms.
    pub mature_after_ms: i64,
}

impl Default for CutOff {
    /// Everything is known, and who has no label is genuine.
    fn default() -> Self {
        Self { until_ms: i64::MAX, mature_after_ms: 0 }
    }
}

/// Exact sums per currency.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Money(BTreeMap<Currency, i128>);

impl Money {
    fn add(&mut self, amount: Option<(i64, Currency)>) {
        if let Some((minor, currency)) = amount {
            let sum = self.0.entry(currency).or_default();
            *sum = sum.saturating_add(minor.into());
        }
    }
}

impl core::fmt::Display for Money {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("0");
        }
        let amounts = self.0.iter().map(|(currency, minor)| {
            format!("{} {currency}", format_minor_wide(*minor, currency.minor_digits()))
        });
        f.write_str(&amounts.collect::<Vec<_>>().join(" + "))
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let amounts = self.0.iter().map(|(currency, minor)| {
            (currency.to_string(), format_minor_wide(*minor, currency.minor_digits()))
        });
        serializer.collect_map(amounts)
    }
}

/// Events by what is known about them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Fraud.
    pub fraud: u64,
    /// Genuine.
    pub genuine: u64,
    /// Too young to say.
    pub unknown: u64,
}

impl Known {
    fn add(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::Fraud) => self.fraud += 1,
            Some(Verdict::Genuine) => self.genuine += 1,
            None => self.unknown += 1,
        }
    }

    /// All of them.
    pub fn all(self) -> u64 {
        self.fraud + self.genuine + self.unknown
    }

    /// The part of fraud among those of which something is known.
    pub fn precision(self) -> Option<f64> {
        share(self.fraud, self.fraud + self.genuine)
    }
}

/// What one rule did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RuleStudy {
    /// Its id.
    pub rule: String,
    /// Its name.
    pub name: String,
    /// `live` or `shadow` (or a mode in which it is not evaluated).
    pub mode: &'static str,
    /// Whether a hit wants the payment held or refused.
    pub stops: bool,
    /// Events that hit it.
    pub hits: Known,
    /// Events about which it raised an alert.
    pub alerts: Known,
    /// Hits on events that no other rule that acts hit.
    pub only_this: Known,
    /// Amounts of the frauds that hit it.
    pub value_caught: Money,
    /// Amounts of genuine events that hit it, when it stops payments.
    pub value_wrongly_stopped: Money,
}

/// One day of events, by event time in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Day {
    /// Events judged.
    pub events: u64,
    /// Alerts of all kinds.
    pub alerts: u64,
    /// Events that hit a live rule.
    pub hits: u64,
    /// Frauds.
    pub fraud: u64,
    /// Frauds that hit a live rule.
    pub fraud_hit: u64,
}

/// Everything that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Per rule, in the order of the program.
    pub rules: Vec<RuleStudy>,
    /// Events that hit both rules, by their places in `rules`, the smaller first.
    pub overlap: BTreeMap<(usize, usize), Known>,
    /// By number of the day since 1970.
    pub days: BTreeMap<i64, Day>,
    /// All events.
    pub events: Known,
    /// Events that hit a live rule.
    pub hit: Known,
    /// Events about which there was an alert.
    pub alerted: Known,
    /// Events that were held or refused.
    pub stopped: Known,
    /// Amounts of all frauds.
    pub value_fraud: Money,
    /// Amounts of frauds that hit a live rule.
    pub value_caught: Money,
    /// Amounts of frauds that were held or refused.
    pub value_stopped: Money,
    /// Amounts of genuine events that were held or refused.
    pub value_wrongly_stopped: Money,
    /// Labels whose event was judged; `None` without labels.
    pub labels_used: Option<u64>,
    /// Where there are labels and events, and none of them fits: an example of both.
    pub misfit: Option<Misfit>,
}

/// Ids that should be of one kind, where no label fits any event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// What the first label calls its event.
    pub label: String,
    /// The id of the first event.
    pub event: String,
    /// Its type.
    pub event_type: String,
}

/// A label fits events of two types, and does not say which of them it means.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the label of `{id}` fits an event of type `{}` and one of type `{}`: add a column `event_type` to the labels, or name yours with `--label-type`",
    types.0, types.1
)]
pub struct AmbiguousLabel {
    /// The id.
    pub id: String,
    /// The types.
    pub types: (String, String),
}

/// Watches a run.
#[derive(Debug)]
pub struct Study {
    labels: Option<Labels>,
    /// Names of the event types, by their ids.
    types: Vec<String>,
    /// Of labels that name no type: the type of the event that took it, by the event's id.
    taken: HashMap<EntityKey, EventId>,
    ambiguous: Option<AmbiguousLabel>,
    /// Id and type of the first event that was judged.
    first: Option<(String, String)>,
    /// A label fits an event, whenever it was reported.
    some_fits: bool,
    cut_off: CutOff,
    findings: Findings,
}

impl Study {
    /// A study of a rule set, with labels or without.
    pub fn new(program: &Program, labels: Option<Labels>, cut_off: CutOff) -> Self {
        let stops = |id: usize| {
            let bodies = program.plans.iter().flat_map(|plan| &plan.rules);
            let own = bodies.filter(|body| usize::from(body.rule.0) == id);
            own.flat_map(|body| &body.actions)
                .any(|action| matches!(action, ActionPlan::Hold { .. } | ActionPlan::Block { .. }))
        };
        let rules = program.rules.iter().enumerate().map(|(id, info)| RuleStudy {
            rule: info.id.clone(),
            name: info.name.clone(),
            mode: crate::backtest::summary::mode_word(info.mode),
            stops: stops(id),
            ..RuleStudy::default()
        });
        let findings = Findings {
            rules: rules.collect(),
            labels_used: labels.as_ref().map(|_| 0),
            ..Findings::default()
        };
        let types = program.schema.events.iter().map(|event| event.name.clone()).collect();
        let (taken, ambiguous, first) = (HashMap::new(), None, None);
        Self { labels, types, taken, ambiguous, first, some_fits: false, cut_off, findings }
    }

    /// What was found.
    ///
    /// # Errors
    /// When a label fits events of several types.
    pub fn finish(mut self) -> Result<Findings, AmbiguousLabel> {
        if self.findings.labels_used == Some(0) && !self.some_fits {
            let label = self.labels.as_ref().and_then(Labels::example);
            self.findings.misfit = label.zip(self.first).map(|(label, (event, event_type))| {
                Misfit { label: label.to_owned(), event, event_type }
            });
        }
        self.ambiguous.map_or(Ok(self.findings), Err)
    }

    /// How many labels there are.
    pub fn n_labels(&self) -> Option<usize> {
        self.labels.as_ref().map(Labels::len)
    }

    fn verdict(&mut self, judged: &Judged<'_>) -> Option<Verdict> {
        let labels = self.labels.as_ref()?;
        let CutOff { until_ms, mature_after_ms } = self.cut_off;
        let type_name = self.types.get(usize::from(judged.event.0)).map_or("", String::as_str);
        let found = labels.get(type_name, judged.id, until_ms);
        self.some_fits |= found.is_some();
        self.first.get_or_insert_with(|| (judged.id.to_owned(), type_name.to_owned()));
        if found.is_some_and(|found| !found.names_type) {
            let key = EntityKey::of_text(judged.id.as_bytes());
            let first = *self.taken.entry(key).or_insert(judged.event);
            if first != judged.event && self.ambiguous.is_none() {
                let first = self.types.get(usize::from(first.0)).cloned().unwrap_or_default();
                let types = (first, type_name.to_owned());
                self.ambiguous = Some(AmbiguousLabel { id: judged.id.to_owned(), types });
            }
        }
        if let Some(verdict) = found.and_then(|found| found.verdict) {
            if let Some(used) = &mut self.findings.labels_used {
                *used += 1;
            }
            return Some(verdict);
        }
        let mature = judged.time_ms.saturating_add(mature_after_ms) <= until_ms;
        mature.then_some(Verdict::Genuine)
    }

    /// Takes one event.
    pub fn add(&mut self, judged: &Judged<'_>) {
        let verdict = self.verdict(judged);
        let stopped = matches!(judged.outcome, Outcome::Hold | Outcome::Block);
        self.add_rules(judged, verdict);
        let Findings { days, .. } = &mut self.findings;
        let day = days.entry(judged.time_ms.div_euclid(DAY_MS)).or_default();
        let is_fraud = verdict == Some(Verdict::Fraud);
        let hit = !judged.hits.is_empty();
        day.events += 1;
        day.alerts += u64::from(judged.n_alerts);
        day.hits += u64::from(hit);
        day.fraud += u64::from(is_fraud);
        day.fraud_hit += u64::from(is_fraud && hit);
        let found = &mut self.findings;
        found.events.add(verdict);
        let kinds = [
            (hit, &mut found.hit),
            (judged.n_alerts > 0, &mut found.alerted),
            (stopped, &mut found.stopped),
        ];
        for (applies, known) in kinds {
            if applies {
                known.add(verdict);
            }
        }
        if is_fraud {
            found.value_fraud.add(judged.amount);
            found.value_caught.add(judged.amount.filter(|_| hit));
            found.value_stopped.add(judged.amount.filter(|_| stopped));
        } else if verdict == Some(Verdict::Genuine) {
            found.value_wrongly_stopped.add(judged.amount.filter(|_| stopped));
        }
    }

    fn add_rules(&mut self, judged: &Judged<'_>, verdict: Option<Verdict>) {
        let all = || judged.hits.iter().chain(judged.shadow).map(|rule| usize::from(rule.0));
        for id in all() {
            let others = judged.hits.iter().any(|RuleId(other)| usize::from(*other) != id);
            let Some(rule) = self.findings.rules.get_mut(id) else { continue };
            rule.hits.add(verdict);
            if !others {
                rule.only_this.add(verdict);
            }
            match verdict {
                Some(Verdict::Fraud) => rule.value_caught.add(judged.amount),
                Some(Verdict::Genuine) if rule.stops => {
                    rule.value_wrongly_stopped.add(judged.amount);
                }
                _ => {}
            }
            for other in all().filter(|other| *other > id) {
                self.findings.overlap.entry((id, other)).or_default().add(verdict);
            }
        }
        for RuleId(rule) in judged.alerted {
            if let Some(rule) = self.findings.rules.get_mut(usize::from(*rule)) {
                rule.alerts.add(verdict);
            }
        }
    }
}

/// A sink that also watches.
#[derive(Debug)]
pub struct Watching<'s, S> {
    /// Takes the records.
    pub sink: &'s mut S,
    /// Takes what was decided.
    pub study: &'s mut Study,
}

impl<S: Sink> Sink for Watching<'_, S> {
    fn emit(&mut self, topic: OutputTopic, key: &[u8], body: &[u8]) {
        self.sink.emit(topic, key, body);
    }

    fn watches(&self) -> bool {
        true
    }

    fn judged(&mut self, judged: &Judged<'_>) {
        self.study.add(judged);
    }
}

impl Findings {
    /// Whether there were labels.
    pub fn has_labels(&self) -> bool {
        self.labels_used.is_some()
    }

    /// The part of all known frauds that some hits have.
    pub fn recall(&self, hits: Known) -> Option<f64> {
        share(hits.fraud, self.events.fraud)
    }
}

/// A part of a whole, to six decimals; nothing of nothing is not known.
pub fn share(part: u64, whole: u64) -> Option<f64> {
    let millionths = |n: u64| n.checked_mul(2_000_000)?.checked_add(whole)?.checked_div(whole * 2);
    millionths(part).filter(|_| whole > 0).map(|millionths| nearest_f64(millionths) / 1e6)
}

/// A day as people write it.
pub fn day_text(day: i64) -> String {
    let (year, month, day) = civil_from_days(day);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A cut-off as it is written; `None`: everything is known.
pub fn until_text(cut_off: CutOff) -> Option<String> {
    (cut_off.until_ms < i64::MAX).then(|| format_rfc3339(cut_off.until_ms))
}
