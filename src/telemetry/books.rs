//! The plain counters of one cell: what it read, decided, dead-lettered and has in flight.
//!
//! INVARIANT: `read = decided + dead-lettered + abandoned + in flight`. A record is *in flight* from the moment it was read until
//! all of its outputs are acknowledged (or their Kafka transaction is committed); only then it counts as decided or
//! dead-lettered. A record that is on its way when its partition is taken from us is *abandoned*: whoever owns the
//! partition then reads it again, and it counts there as read and decided. All are counted at different places, so the
//! balance is a check and not a definition.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::base::count::nearest_f64;

/// Upper bounds of `decision_duration_seconds`: 0.01 ms to 1 s.
pub const DECISION_BOUNDS_S: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0,
];

/// Upper bounds of `end_to_end_latency_seconds`: 1 ms to 60 s.
pub const LATENCY_BOUNDS_S: &[f64] = &[
    0.001, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.045, 0.06, 0.1, 0.25,
    0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// A histogram of one writer.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper bounds, closed, ascending; the last bucket is open.
    pub bounds_s: &'static [f64],
    /// Observations per bucket, not cumulative; one more than there are bounds.
    pub counts: Vec<u64>,
    /// Sum of all observations.
    pub sum_s: f64,
}

impl Histogram {
    /// An empty histogram.
    pub fn new(bounds_s: &'static [f64]) -> Self {
        Self { bounds_s, counts: vec![0; bounds_s.len() + 1], sum_s: 0.0 }
    }

    /// Counts one observation.
    ///
    /// # Cost
    /// O(log bounds), no allocation.
    pub fn observe(&mut self, length: Duration) {
        let seconds = length.as_secs_f64();
        let bucket = self.bounds_s.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.sum_s += seconds;
    }

    /// Adds another histogram with the same bounds.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum_s += other.sum_s;
    }
}

/// What became of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has a decision of this outcome.
    Decided(&'static str),
    /// It went to the dead letters for this reason.
    DeadLettered(&'static str),
    /// It was a command, with this result.
    Commanded(&'static str),
}

/// What the engine counts: mirrored to the scrape as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EngineReport {
    /// Alerts per rule.
    pub alerts: Vec<(Arc<str>, u64)>,
    /// Alerts that `once per` kept back, per rule.
    pub alerts_thinned: Vec<(Arc<str>, u64)>,
    /// Hits per rule.
    pub rule_hits: Vec<(Arc<str>, u64)>,
    /// Events per rule that it could not judge.
    pub rule_undecided: Vec<(Arc<str>, u64)>,
    /// Amounts of the last quarter per rule that hit, in minor units of the base currency.
    pub rule_amounts: Vec<(Arc<str>, u64)>,
    /// Events of the last quarter whose amount is not among them.
    pub rule_amounts_left_out: Vec<(Arc<str>, u64)>,
    /// Holds that are open.
    pub holds_open: u64,
    /// When the oldest open hold with a deadline of its own was placed, event time in ms since 1970.
    pub holds_oldest_ms: Option<i64>,
    /// Open holds with less than a fifth of their time left, by whether somebody works on them.
    pub holds_due_soon: Vec<(&'static str, u64)>,
    /// How long holds were open, by the state in which they ended.
    pub hold_ages: Vec<(&'static str, Histogram)>,
    /// Episodes of alerts that ended, by what ended them.
    pub episode_ends: Vec<(&'static str, u64)>,
    /// Holds per state that they reached.
    pub holds: Vec<(&'static str, u64)>,
    /// Answers to challenges by what came of them.
    pub answers: Vec<(&'static str, u64)>,
    /// Largest accepted event time per input partition, in ms since 1970.
    pub watermarks: Vec<(Arc<str>, i32, i64)>,
    /// The last number of the audit chain, per input partition.
    pub audit_seqs: Vec<(Arc<str>, i32, u64)>,
    /// Late records.
    pub late: u64,
    /// Records with a time in the future.
    pub future: u64,
    /// Repeated records.
    pub duplicates: u64,
    /// Keys per table.
    pub state_keys: Vec<(Arc<str>, u64)>,
    /// Bytes of all tables.
    pub state_bytes: u64,
    /// Keys that the budget pushed out.
    pub state_evictions: u64,
    /// Times that ids were forgotten early, for want of room.
    pub ids_cut_short: u64,
    /// Alert episodes that were forgotten before their time, for want of room.
    pub episodes_cut_short: u64,
    /// Changes of lists by rules that were not done, for want of room.
    pub list_changes_refused: u64,
    /// Bytes of holds, by whether they are open or ended.
    pub holds_bytes: Vec<(&'static str, u64)>,
    /// What they may be before ended ones are forgotten early and one by hand is refused.
    pub holds_limit_bytes: u64,
    /// Events of which a rule asked more than its type holds.
    pub overflows: u64,
    /// Rules that stopped more than the policy's breaker allows.
    pub breaker_trips: u64,
    /// Values that a declared field could not take, per field.
    pub mapping_errors: Vec<(Arc<str>, u64)>,
    /// Members whose values are never stored, by the topic of their records.
    pub never_stored: Vec<(Arc<str>, u64)>,
    /// What models said.
    pub models: Vec<ModelReport>,
    /// What labels say.
    pub labels: LabelReport,
}

/// What labels say of events that are remembered.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LabelReport {
    /// Labels that came, by what they are: event type, what was known of their event, verdict.
    pub came: Vec<(Names<3>, u64)>,
    /// Events with a label, by type and what is known of them.
    pub events: Vec<(Names<2>, Verdicts)>,
    /// Events with a label that a rule hit, by how it stood to them and its name.
    pub rules: Vec<(Names<2>, Verdicts)>,
    /// Events with a label that a model scored high, by its name.
    pub models: Vec<(Names<1>, Verdicts)>,
    /// Events that were forgotten for want of room.
    pub evicted: u64,
}

/// The values of some labels of a metric.
pub type Names<const N: usize> = [Arc<str>; N];

/// How many events were what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdicts {
    /// Fraud.
    pub fraud: u64,
    /// None.
    pub genuine: u64,
}

impl LabelReport {
    fn add(&mut self, other: &Self) {
        let sum = |ours: &mut u64, theirs: &u64| *ours += theirs;
        let sums = |ours: &mut Verdicts, theirs: &Verdicts| {
            ours.fraud += theirs.fraud;
            ours.genuine += theirs.genuine;
        };
        join(&mut self.came, &other.came, sum);
        join(&mut self.events, &other.events, sums);
        join(&mut self.rules, &other.rules, sums);
        join(&mut self.models, &other.models, sums);
        self.evicted += other.evicted;
    }
}

/// Adds what another engine counted under the same names.
fn join<N: Clone + PartialEq, C: Clone>(
    ours: &mut Vec<(N, C)>,
    theirs: &[(N, C)],
    add: impl Fn(&mut C, &C),
) {
    for (names, count) in theirs {
        match ours.iter_mut().find(|(known, _)| known == names) {
            Some((_, sum)) => add(sum, count),
            None => ours.push((names.clone(), count.clone())),
        }
    }
}

/// What one model said since the rule set became active in this process.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelReport {
    /// Its name.
    pub model: Arc<str>,
    /// Events that it scored.
    pub scored: u64,
    /// Events that it could not score.
    pub unscored: u64,
    /// Scored events whose place was 0.995 or more.
    pub high: u64,
    /// How long a score of its newest event took, in seconds, when it was asked once more; none where it has none.
    pub score_seconds: Option<f64>,
    /// What it takes at most by the costs that a rule set is admitted by, in seconds.
    pub bound_seconds: f64,
    /// The share of its newest scores that are equal to the largest: drawn by lot. None until there are enough.
    pub tied: Option<f64>,
    /// The rules that ask for a place of at least so much, and whether no score can have it: too few lie in the window.
    pub beyond_reach: Vec<(Arc<str>, bool)>,
    /// Events that lacked a feature.
    pub missing: Vec<(Arc<str>, u64)>,
    /// How far features, or the score (none), have moved from the training: population stability, and of how many events.
    pub moved: Vec<(Option<Arc<str>>, f64, u64)>,
}

impl ModelReport {
    /// Adds what the same model said in another engine. Stabilities are averaged by events, which is near the truth where
    /// engines see traffic of one kind.
    fn add(&mut self, other: &Self) {
        self.scored += other.scored;
        self.unscored += other.unscored;
        self.high += other.high;
        // The slowest of all engines.
        let seconds = self.score_seconds.into_iter().chain(other.score_seconds);
        self.score_seconds = seconds.reduce(f64::max);
        self.bound_seconds = self.bound_seconds.max(other.bound_seconds);
        self.tied = self.tied.into_iter().chain(other.tied).reduce(f64::max);
        for (rule, is_beyond) in &other.beyond_reach {
            match self.beyond_reach.iter_mut().find(|(known, _)| known == rule) {
                Some((_, known)) => *known |= is_beyond,
                None => self.beyond_reach.push((Arc::clone(rule), *is_beyond)),
            }
        }
        for (feature, n) in &other.missing {
            match self.missing.iter_mut().find(|(known, _)| known == feature) {
                Some((_, sum)) => *sum += n,
                None => self.missing.push((Arc::clone(feature), *n)),
            }
        }
        for (what, stability, events) in &other.moved {
            let Some((_, mean, n)) = self.moved.iter_mut().find(|(known, ..)| known == what) else {
                self.moved.push((what.clone(), *stability, *events));
                continue;
            };
            let (ours, theirs) = (nearest_f64(*n), nearest_f64(*events));
            *mean = (*mean * ours + stability * theirs) / (ours + theirs).max(1.0);
            *n += events;
        }
    }
}

impl EngineReport {
    /// Adds what another engine of the same rule set counts.
    pub fn add(&mut self, other: &Self) {
        let named = [
            (&mut self.alerts, &other.alerts),
            (&mut self.alerts_thinned, &other.alerts_thinned),
            (&mut self.rule_hits, &other.rule_hits),
            (&mut self.rule_undecided, &other.rule_undecided),
            (&mut self.rule_amounts, &other.rule_amounts),
            (&mut self.rule_amounts_left_out, &other.rule_amounts_left_out),
            (&mut self.state_keys, &other.state_keys),
            (&mut self.mapping_errors, &other.mapping_errors),
            (&mut self.never_stored, &other.never_stored),
        ];
        for (ours, theirs) in named {
            for (name, n) in theirs {
                match ours.iter_mut().find(|(known, _)| known == name) {
                    Some((_, sum)) => *sum += n,
                    None => ours.push((Arc::clone(name), *n)),
                }
            }
        }
        let sum = |ours: &mut u64, theirs: &u64| *ours += theirs;
        join(&mut self.holds, &other.holds, sum);
        join(&mut self.holds_due_soon, &other.holds_due_soon, sum);
        join(&mut self.holds_bytes, &other.holds_bytes, sum);
        join(&mut self.episode_ends, &other.episode_ends, sum);
        join(&mut self.hold_ages, &other.hold_ages, Histogram::add);
        for model in &other.models {
            match self.models.iter_mut().find(|known| known.model == model.model) {
                Some(known) => known.add(model),
                None => self.models.push(model.clone()),
            }
        }
        self.labels.add(&other.labels);
        self.watermarks.extend(other.watermarks.iter().cloned());
        self.audit_seqs.extend(other.audit_seqs.iter().cloned());
        self.holds_open += other.holds_open;
        let oldest_ms = [self.holds_oldest_ms, other.holds_oldest_ms];
        self.holds_oldest_ms = oldest_ms.into_iter().flatten().min();
        self.late += other.late;
        self.future += other.future;
        self.duplicates += other.duplicates;
        self.state_bytes += other.state_bytes;
        self.state_evictions += other.state_evictions;
        self.ids_cut_short += other.ids_cut_short;
        self.episodes_cut_short += other.episodes_cut_short;
        self.list_changes_refused += other.list_changes_refused;
        self.holds_limit_bytes += other.holds_limit_bytes;
        self.overflows += other.overflows;
        self.breaker_trips += other.breaker_trips;
    }
}

/// Everything one cell counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Books {
    /// Records read per topic.
    pub read: Vec<(Arc<str>, u64)>,
    /// Decisions per outcome.
    pub decided: BTreeMap<&'static str, u64>,
    /// Dead letters per reason.
    pub dead_lettered: BTreeMap<&'static str, u64>,
    /// Commands per result.
    pub commanded: BTreeMap<&'static str, u64>,
    /// Records that were given up before their outputs were acknowledged: somebody reads them again.
    pub abandoned: u64,
    /// Records whose outputs are not all acknowledged.
    pub in_flight: u64,
    /// Time in the engine per record.
    pub decision_duration: Histogram,
    /// From the record's time in Kafka to the acknowledgement of its last output.
    pub end_to_end: Histogram,
    /// Records behind, per topic and partition of the present assignment.
    pub lag: Vec<(Arc<str>, i32, u64)>,
    /// Rebalances per kind.
    pub rebalances: BTreeMap<&'static str, u64>,
    /// Errors of the Kafka client per code.
    pub kafka_errors: BTreeMap<String, u64>,
    /// Outputs that could not be written, by kind; each is tried again.
    pub output_errors: BTreeMap<&'static str, u64>,
    /// When the newest checkpoint of the audit chain was signed, in ms since 1970, per input partition.
    pub anchors: BTreeMap<(Arc<str>, i32), i64>,
    /// Snapshots per shard.
    pub snapshots: Vec<SnapshotBooks>,
    /// The engine's own counters.
    pub engine: EngineReport,
}

/// What became of the snapshots of one shard.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotBooks {
    /// The shard; none while no snapshots are taken.
    pub shard: Option<Arc<str>>,
    /// The newest one.
    pub newest: Option<NewestSnapshot>,
    /// Attempts that failed.
    pub errors: u64,
}

/// Figures of the newest snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewestSnapshot {
    /// When it was begun, in ms since 1970.
    pub created_at_ms: i64,
    /// From its beginning until it was published; none for one that an earlier run wrote.
    pub took: Option<Duration>,
    /// Its length on the storage.
    pub size_bytes: u64,
}

impl Default for Books {
    fn default() -> Self {
        Self {
            read: Vec::new(),
            decided: BTreeMap::new(),
            dead_lettered: BTreeMap::new(),
            commanded: BTreeMap::new(),
            abandoned: 0,
            in_flight: 0,
            decision_duration: Histogram::new(DECISION_BOUNDS_S),
            end_to_end: Histogram::new(LATENCY_BOUNDS_S),
            lag: Vec::new(),
            rebalances: BTreeMap::new(),
            kafka_errors: BTreeMap::new(),
            output_errors: BTreeMap::new(),
            anchors: BTreeMap::new(),
            snapshots: Vec::new(),
            engine: EngineReport::default(),
        }
    }
}

impl Books {
    /// Counts a record that was read.
    pub fn record_read(&mut self, topic: &Arc<str>) {
        match self.read.iter_mut().find(|(known, _)| known == topic) {
            Some((_, count)) => *count += 1,
            None => self.read.push((Arc::clone(topic), 1)),
        }
        self.in_flight += 1;
    }

    /// Counts a record whose effects are all acknowledged.
    pub fn record_done(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Decided(outcome) => self.decided.entry(outcome).or_default(),
            Outcome::DeadLettered(reason) => self.dead_lettered.entry(reason).or_default(),
            Outcome::Commanded(result) => self.commanded.entry(result).or_default(),
        };
        *count += 1;
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Counts records that were on their way when their partitions were taken away.
    pub fn records_abandoned(&mut self, count: u64) {
        self.abandoned += count;
        self.in_flight = self.in_flight.saturating_sub(count);
    }

    /// Records that were decided, dead-lettered or commands.
    pub fn n_done(&self) -> u64 {
        let Self { decided, dead_lettered, commanded, .. } = self;
        decided.values().chain(dead_lettered.values()).chain(commanded.values()).sum()
    }

    /// Counts an error of the Kafka client.
    pub fn kafka_error(&mut self, code: &str) {
        match self.kafka_errors.get_mut(code) {
            Some(count) => *count += 1,
            None => _ = self.kafka_errors.insert(code.to_owned(), 1),
        }
    }

    /// Records read minus those decided, dead-lettered, commands, abandoned or in flight: 0 unless something was lost.
    pub fn imbalance(&self) -> i128 {
        let read: u64 = self.read.iter().map(|(_, count)| count).sum();
        let over = i128::from(self.n_done()) + i128::from(self.abandoned);
        i128::from(read) - over - i128::from(self.in_flight)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observation_on_a_bound_belongs_to_its_bucket() {
        let mut histogram = Histogram::new(&[0.001, 0.01]);
        for micros in [500, 1_000, 1_001, 10_000, 20_000] {
            histogram.observe(Duration::from_micros(micros));
        }
        assert_eq!(histogram.counts, [2, 2, 1]);
        assert!((histogram.sum_s - 0.032_501).abs() < 1e-12);
    }

    #[test]
    fn the_books_balance_at_every_step_of_a_records_way() {
        let topic: Arc<str> = "wallet.events".into();
        let mut books = Books::default();
        for done in
            [Outcome::Decided("pass"), Outcome::DeadLettered("bad_json"), Outcome::Decided("hold")]
        {
            books.record_read(&topic);
            assert_eq!((books.imbalance(), books.in_flight), (0, 1));
            books.record_done(done);
            assert_eq!((books.imbalance(), books.in_flight), (0, 0));
        }
        assert_eq!(books.read, [(topic, 3)]);
        assert_eq!(books.decided.get("hold"), Some(&1));
    }

    #[test]
    fn records_that_were_given_up_count_as_abandoned_and_not_as_decided() {
        let topic: Arc<str> = "wallet.events".into();
        let mut books = Books::default();
        (0..5).for_each(|_| books.record_read(&topic));
        books.record_done(Outcome::Decided("pass"));
        books.records_abandoned(3);
        assert_eq!((books.n_done(), books.abandoned, books.in_flight), (1, 3, 1));
        assert_eq!(books.imbalance(), 0);
    }

    #[test]
    fn a_lost_record_shows_as_an_imbalance() {
        let mut books = Books::default();
        books.record_read(&"t".into());
        books.in_flight = 0;
        assert_eq!(books.imbalance(), 1);
    }
}
