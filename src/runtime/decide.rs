//! The engine as the cell's [`Step`]: names streams, says what became of each record, copies counters for a scrape.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use crate::base::count::nearest_f64;
use crate::config::Config;
use crate::decision::episodes::Closed;
use crate::decision::holds::{Heard, HoldState, Waiting};
use crate::decision::lattice::Outcome as Verdict;
use crate::engine::counters::{ENDS, HOLD_AGE_BOUNDS_S, HoldAges};
use crate::engine::streams::{Carries, Source};
use crate::engine::{
    ActivationReport, Amount, Audited, CommandResult, DecisionsWanted, Engine, EngineOptions,
    Input as EngineInput, LabelFigures, Labelled, Link, ModelFigures, Output, Past, Silence, Sink,
    SnapshotStatus, StreamId,
};
use crate::event::schema::EventId;
use crate::rules::cost::{UNIT_NS, model_units};
use crate::rules::eval::EvalError;
use crate::rules::place_bounds::{PlaceBound, place_bounds};
use crate::rules::program::{ModelId, Program, RuleId};
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::port::{AuditStanding, Identity, Input, Step};
use crate::telemetry::books::{
    EngineReport, Histogram, LabelReport, ModelReport, Outcome, Verdicts,
};

/// The engine's settings that the configuration says.
pub fn engine_options(config: &Config) -> EngineOptions {
    let ms = |length: Duration| i64::try_from(length.as_millis()).unwrap_or(i64::MAX);
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    EngineOptions {
        allowed_lateness_ms: ms(config.time.allowed_lateness),
        future_guard_ms: ms(config.time.future_guard),
        dedupe_window_ms: ms(config.time.dedupe_window),
        dedupe_max_ids: count(config.time.dedupe_max_ids),
        exact_events_per_key: count(config.state.exact_events_per_key),
        partition_idle_ms: ms(config.time.partition_idle),
        state_bytes: config.state.budget_bytes,
        sharers: 1,
        max_record_bytes: count(config.limits.max_record_bytes),
        max_depth: count(config.limits.max_depth),
        max_keys: count(config.limits.max_keys),
        decisions: match config.delivery.decisions.as_str() {
            "notable" => DecisionsWanted::Notable,
            "none" => DecisionsWanted::None,
            _ => DecisionsWanted::All,
        },
        // WHY: what is not written has no entry.
        audited: match (config.audit.decisions.as_str(), config.delivery.decisions.as_str()) {
            ("none", _) | (_, "none") => Audited::None,
            ("all", "notable") => Audited::Notable,
            ("all", _) => Audited::All,
            _ => Audited::Stopped,
        },
    }
}

/// An engine that a cell steps.
#[derive(Debug)]
pub struct Deciding {
    engine: Engine,
    /// The stream of the last record: records come in runs of one partition.
    last: Option<(String, i32, StreamId)>,
    dead_letters: BTreeMap<&'static str, u64>,
    rules: Vec<Arc<str>>,
    tables: Vec<Arc<str>>,
    bounds: Vec<PlaceBound>,
}

impl Deciding {
    /// Around an engine, which takes the records of this topic for commands.
    pub(crate) fn of(mut engine: Engine, commands: Option<&str>) -> Self {
        if let Some(topic) = commands {
            engine.take_commands_from(topic);
        }
        let program = engine.program();
        let rules = program.rules.iter().map(|rule| rule.name.as_str().into()).collect();
        let tables = program.tables.iter().map(|table| table.name.as_str().into()).collect();
        let bounds = place_bounds(program);
        let dead_letters = engine.counters().dead_letters.clone();
        Self { engine, last: None, dead_letters, rules, tables, bounds }
    }

    /// Digest of the rule set that decides, shortened.
    pub(crate) fn ruleset(&self) -> String {
        self.engine.program().digest.short_hex()
    }

    fn take(&mut self, input: &Input<'_>, sink: &mut impl Sink) {
        let known = self
            .last
            .as_ref()
            .filter(|(topic, partition, _)| *partition == input.partition && topic == input.topic);
        let stream = if let Some((_, _, stream)) = known {
            *stream
        } else {
            let stream = self.engine.open_stream(input.topic, input.partition);
            self.last = Some((input.topic.to_owned(), input.partition, stream));
            stream
        };
        let Input { offset, arrival_ms, payload, .. } = *input;
        let input = EngineInput { stream, offset, arrival_ms, payload };
        self.engine.announce(&input, sink);
        self.engine.step(&input, sink);
    }

    /// Makes another rule set active, with what was read of the past for it; the next record's outputs announce it.
    pub(crate) fn activate(
        &mut self,
        program: Arc<Program>,
        options: EngineOptions,
        past: Option<(Self, i64)>,
    ) -> Result<ActivationReport, EvalError> {
        let past = past.map(|(read, since_ms)| Past { engine: read.engine, since_ms });
        let report = self.engine.activate_with(program, options, past)?;
        let program = self.engine.program();
        self.rules = program.rules.iter().map(|rule| rule.name.as_str().into()).collect();
        self.tables = program.tables.iter().map(|table| table.name.as_str().into()).collect();
        self.bounds = place_bounds(program);
        Ok(report)
    }

    /// Which reason has one more dead letter than before.
    fn reason(&mut self) -> &'static str {
        let now = &self.engine.counters().dead_letters;
        let grown = now.iter().find(|(reason, n)| self.dead_letters.get(*reason) != Some(n));
        let reason = grown.map_or("unknown", |(reason, _)| *reason);
        self.dead_letters.clone_from(now);
        reason
    }
}

/// So often the newest event of a model is scored again to see how long that takes.
const SCORED_AGAIN: usize = 5;

impl Deciding {
    /// How long a score of the model's newest event takes, in seconds: the shortest of a few, because other work on the
    /// machine only ever adds. None where there is no score.
    ///
    /// WHY: the engine looks at no clock, so that nothing it decides can hang on one. It is asked once more, and what it
    /// says is thrown away.
    fn score_seconds(&self, model: ModelId) -> Option<f64> {
        let clock = SystemClock::start();
        let took = (0..SCORED_AGAIN).map(|_| {
            let began = clock.now();
            black_box(self.engine.score_again(model))?;
            Some(clock.now().saturating_sub(began).as_secs_f64())
        });
        took.flatten().reduce(f64::min)
    }

    /// Bytes of open and of ended holds.
    fn holds_bytes(&self) -> Vec<(&'static str, u64)> {
        let (all, open) = (self.engine.holds_bytes(), self.engine.open_holds_bytes());
        vec![("open", open as u64), ("ended", all.saturating_sub(open) as u64)]
    }

    fn models(&self) -> Vec<ModelReport> {
        let plans = &self.engine.program().models;
        let report = |figures: ModelFigures<'_>| {
            let plan = plans.get(usize::from(figures.model.0))?;
            let features = plan.made_of.feature_names();
            let missing = features.iter().zip(figures.missing);
            let moved = figures.moved.iter();
            let bounds = self.bounds.iter().filter(|bound| bound.model == figures.model);
            let is_beyond = |bound: &&PlaceBound| {
                figures.largest_ppm.is_some_and(|most| bound.place * 1e6 >= f64::from(most) + 1.0)
            };
            let rule =
                |bound: &PlaceBound| self.rules.get(usize::from(bound.rule.0)).map(Arc::clone);
            Some(ModelReport {
                model: plan.name.as_str().into(),
                scored: figures.scored,
                unscored: figures.unscored,
                high: figures.high,
                score_seconds: self.score_seconds(figures.model),
                bound_seconds: seconds_of(model_units(plan)),
                tied: figures.tied_ppm.map(|ppm| f64::from(ppm) / 1e6),
                beyond_reach: bounds
                    .filter_map(|bound| Some((rule(bound)?, is_beyond(&bound))))
                    .collect(),
                missing: missing.map(|(name, n)| ((*name).into(), *n)).collect(),
                moved: moved
                    .map(|it| (it.feature.map(Into::into), it.stability, it.events))
                    .collect(),
            })
        };
        self.engine.models().filter_map(report).collect()
    }

    fn labels(&self) -> LabelReport {
        let LabelFigures { came, events, rules, models, evicted } = self.engine.labels();
        let program = self.engine.program();
        let verdicts = |Labelled { fraud, genuine }| Verdicts { fraud, genuine };
        let event = |id: EventId| program.schema.event(id).name.as_str().into();
        let rule = |id: RuleId| self.rules.get(usize::from(id.0)).map(Arc::clone);
        let model = |id: ModelId| Some(program.models.get(usize::from(id.0))?.name.as_str().into());
        LabelReport {
            came: came
                .into_iter()
                .map(|(event, finding, found, n)| {
                    ([event, found.as_str(), finding.as_str()].map(Arc::from), n)
                })
                .collect(),
            events: events
                .into_iter()
                .map(|(id, found, sum)| ([event(id), found.as_str().into()], verdicts(sum)))
                .collect(),
            rules: rules
                .into_iter()
                .filter_map(|(id, stance, sum)| {
                    Some(([stance.as_str().into(), rule(id)?], verdicts(sum)))
                })
                .collect(),
            models: models
                .into_iter()
                .filter_map(|(id, sum)| Some(([model(id)?], verdicts(sum))))
                .collect(),
            evicted,
        }
    }
}

/// Units of cost as seconds.
fn seconds_of(units: u64) -> f64 {
    nearest_f64(units.saturating_mul(UNIT_NS.unsigned_abs())) / 1e9
}

/// Which of some counters has counted the record that was just taken.
fn grown<const N: usize>(before: &[u64; N], now: &[u64; N]) -> Option<usize> {
    before.iter().zip(now).position(|(before, now)| before != now)
}

impl Step for Deciding {
    fn step(&mut self, input: &Input<'_>, outputs: &mut Vec<Output>) -> Outcome {
        let counters = self.engine.counters();
        let (outcomes, commands) = (counters.outcomes, counters.commands);
        self.take(input, outputs);
        let counters = self.engine.counters();
        if let Some(at) = grown(&outcomes, &counters.outcomes) {
            return Outcome::Decided(Verdict::ALL[at].as_str());
        }
        match grown(&commands, &counters.commands) {
            Some(at) => Outcome::Commanded(CommandResult::ALL[at].as_str()),
            None => Outcome::DeadLettered(self.reason()),
        }
    }

    fn replay(&mut self, input: &Input<'_>) {
        self.take(input, &mut Silence);
        self.dead_letters.clone_from(&self.engine.counters().dead_letters);
    }

    fn digest(&self) -> Option<u64> {
        (self.engine.streams().count() == 1).then(|| self.engine.digest())
    }

    fn begin_snapshot(&mut self) {
        self.engine.begin_snapshot();
    }

    fn snapshot_part(&mut self, budget_bytes: usize, out: &mut Vec<u8>) -> bool {
        self.engine.snapshot_part(budget_bytes, out) != SnapshotStatus::More
    }

    fn abandon_snapshot(&mut self) {
        self.engine.abandon_snapshot();
    }

    fn identity(&self) -> Identity {
        Identity {
            ruleset: self.engine.program().digest.hex(),
            digest: self.engine.digest(),
            event_time_ms: self.event_time_ms(),
        }
    }

    fn note_gap(&mut self, latest_ms: Option<i64>) {
        self.engine.note_gap(latest_ms);
    }

    fn event_time_ms(&self) -> Option<i64> {
        self.engine.streams().filter_map(|(_, clock)| clock.now_ms).max()
    }

    fn began_ms(&self, topic: &str, partition: i32) -> Option<i64> {
        let is_it = |source: &Source| source.topic == topic && source.partition == partition;
        let (source, clock) = self.engine.streams().find(|(source, _)| is_it(source))?;
        if source.carries == Carries::Commands {
            // No window hangs on commands.
            return Some(i64::MIN);
        }
        // WHY: an event that came before the first one may have been as late as is allowed.
        let late_ms = self.engine.options().allowed_lateness_ms;
        clock.now_ms.map(|_| clock.began_ms.saturating_add(late_ms))
    }

    fn is_warming(&self) -> bool {
        let is_warming = |clock_ms| {
            self.engine.tables().iter().any(|table| table.warming(clock_ms).next().is_some())
        };
        self.event_time_ms().is_some_and(is_warming)
    }

    fn next_deadline_ms(&self) -> Option<i64> {
        self.engine.next_deadline_ms()
    }

    fn lead_ms(&self) -> (i64, i64) {
        let options = self.engine.options();
        let early_ms = options.future_guard_ms;
        (early_ms, early_ms.saturating_add(options.dedupe_window_ms))
    }

    fn audit_standing(&self) -> Option<AuditStanding> {
        let (_, _, stream) = self.last.as_ref()?;
        let Link { seq, last, .. } = self.engine.audit_chain(*stream);
        Some(AuditStanding { seq, last, decisions: self.engine.digest() })
    }

    fn audit_link(&self, topic: &str, partition: i32) -> Option<Link> {
        let last = self.last.as_ref().filter(|(of, number, _)| *number == partition && of == topic);
        let link = if let Some((_, _, stream)) = last {
            self.engine.audit_chain(*stream)
        } else {
            let mut chains = self.engine.audit_chains();
            chains.find(|(it, _)| it.partition == partition && it.topic == topic)?.1
        };
        (link.seq > 0).then_some(link)
    }

    fn resume_audit(&mut self, topic: &str, partition: i32, link: Link) {
        let stream = self.engine.open_stream(topic, partition);
        self.engine.resume_audit(stream, link);
    }

    fn report(&self, wall_ms: i64, report: &mut EngineReport) {
        let counters = self.engine.counters();
        let per_rule = |pick: fn(&crate::engine::RuleCounters) -> u64| -> Vec<(Arc<str>, u64)> {
            self.rules.iter().map(Arc::clone).zip(counters.rules.iter().map(pick)).collect()
        };
        let furthest_ms = self.engine.streams().filter_map(|(_, clock)| clock.now_ms).max();
        let amounts =
            counters.rules.iter().map(|rule| rule.amounts.until(furthest_ms.unwrap_or(0)));
        let amounts: Vec<(Arc<str>, Amount)> =
            self.rules.iter().map(Arc::clone).zip(amounts).collect();
        // A series for each rule that ever hit something with an amount; most have none.
        let of_amounts = |pick: fn(&Amount) -> u64| -> Vec<(Arc<str>, u64)> {
            let told = amounts.iter().filter(|(_, sum)| *sum != Amount::default());
            told.map(|(rule, sum)| (Arc::clone(rule), pick(sum))).collect()
        };
        let watermarks = self.engine.streams().filter_map(|(source, clock)| {
            Some((source.topic.as_str().into(), source.partition, clock.now_ms?))
        });
        let chains = self
            .engine
            .audit_chains()
            .map(|(source, link)| (source.topic.as_str().into(), source.partition, link.seq));
        let fields = counters.mapping_errors.iter();
        let never_stored = counters.never_stored.iter();
        let holds_waiting = self.engine.holds_waiting(wall_ms);
        *report = EngineReport {
            alerts: per_rule(|rule| rule.alerts),
            alerts_thinned: per_rule(|rule| rule.thinned),
            rule_hits: per_rule(|rule| rule.hits),
            rule_undecided: per_rule(|rule| rule.undecided),
            rule_amounts: of_amounts(|sum| sum.minor),
            rule_amounts_left_out: of_amounts(|sum| sum.left_out),
            holds_open: self.engine.holds_open() as u64,
            holds_oldest_ms: holds_waiting.oldest_ms,
            holds_due_soon: due_soon(&holds_waiting),
            hold_ages: ENDS.iter().zip(&counters.hold_ages).map(hold_ages).collect(),
            episode_ends: Closed::ALL
                .map(|closed| (closed.as_str(), counters.episode_ends[closed as usize]))
                .to_vec(),
            holds: HoldState::ALL.map(|state| (state.as_str(), counters.holds_in(state))).to_vec(),
            answers: Heard::ALL
                .map(|heard| (heard.as_str(), counters.answers_that(heard)))
                .to_vec(),
            watermarks: watermarks.collect(),
            audit_seqs: chains.collect(),
            late: counters.late + counters.too_late,
            future: counters.future,
            duplicates: counters.duplicates,
            state_keys: self
                .tables
                .iter()
                .map(Arc::clone)
                .zip(self.engine.tables().iter().map(|table| table.keys() as u64))
                .collect(),
            state_bytes: self.engine.state_bytes() as u64,
            state_evictions: counters.evictions,
            ids_cut_short: counters.ids_cut_short,
            episodes_cut_short: counters.episodes_cut_short,
            list_changes_refused: counters.list_changes_refused,
            holds_bytes: self.holds_bytes(),
            holds_limit_bytes: self.engine.most_hold_bytes() as u64,
            overflows: counters.overflows,
            breaker_trips: counters.breaker_trips,
            mapping_errors: fields.map(|(field, n)| (field.as_str().into(), *n)).collect(),
            never_stored: never_stored.map(|(topic, n)| (topic.as_str().into(), *n)).collect(),
            models: self.models(),
            labels: self.labels(),
        };
    }
}

/// Holds that end soon, by whether somebody works on them.
fn due_soon(waiting: &Waiting) -> Vec<(&'static str, u64)> {
    let Waiting { due_soon_claimed, due_soon_unclaimed, .. } = *waiting;
    vec![("yes", due_soon_claimed as u64), ("no", due_soon_unclaimed as u64)]
}

/// How long holds were open that ended in one state.
fn hold_ages((state, ages): (&HoldState, &HoldAges)) -> (&'static str, Histogram) {
    let sum_s = nearest_f64(ages.sum_ms) / 1_000.0;
    let counts = ages.counts.to_vec();
    (state.as_str(), Histogram { bounds_s: &HOLD_AGE_BOUNDS_S, counts, sum_s })
}
