//! Where cells hang out their books, and where a scrape reads them.
//!
//! INVARIANT: one cell's numbers in a scrape are all of one moment: [`Board::publish`] replaces the whole copy under
//! one lock. A scrape that falls between the publishing of two cells sees each cell balanced, hence their sum too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::{Encoder as _, TextEncoder};

use crate::telemetry::books::Books;
use crate::telemetry::families;
use crate::telemetry::requests::RequestBooks;

/// What is known about the process as a whole.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Version of the program.
    pub version: String,
    /// Digest of the rule set.
    pub ruleset: String,
    /// How often a rule set was taken over or refused while the process ran.
    pub reloads: BTreeMap<&'static str, u64>,
    /// The last look at the rule folder found no rule set that could be handed over.
    pub folder_refused: bool,
    /// The rule set that is wanted is held back.
    pub held_back: bool,
}

/// The published books of all cells.
#[derive(Debug)]
pub struct Board {
    identity: Mutex<Identity>,
    cells: Mutex<Vec<Books>>,
    requests: Arc<RequestBooks>,
}

impl Board {
    /// A board for so many cells.
    pub fn new(cells: usize, identity: Identity) -> Self {
        let cells = Mutex::new(vec![Books::default(); cells]);
        Self { identity: Mutex::new(identity), cells, requests: Arc::default() }
    }

    /// Replaces the published books of one cell.
    ///
    /// # Cost
    /// One uncontended lock and a copy that reuses its memory; once per batch.
    pub fn publish(&self, cell: usize, books: &Books) {
        if let Some(published) = lock(&self.cells).get_mut(cell) {
            published.clone_from(books);
        }
    }

    /// Says which rule set runs now.
    pub fn set_ruleset(&self, digest: &str) {
        digest.clone_into(&mut lock(&self.identity).ruleset);
    }

    /// Which rule set runs now.
    pub fn ruleset(&self) -> String {
        lock(&self.identity).ruleset.clone()
    }

    /// Whether the last look at the rule folder found no rule set that could be handed over.
    pub fn set_folder_refused(&self, refused: bool) {
        lock(&self.identity).folder_refused = refused;
    }

    /// Whether the rule set that is wanted is held back.
    pub fn set_held_back(&self, held_back: bool) {
        lock(&self.identity).held_back = held_back;
    }

    /// Counts a rule set that came: it became active, or was refused.
    pub fn count_reload(&self, outcome: &'static str) {
        *lock(&self.identity).reloads.entry(outcome).or_default() += 1;
    }

    /// What the HTTP API counts.
    pub fn requests(&self) -> &Arc<RequestBooks> {
        &self.requests
    }

    /// A copy of the published books.
    pub fn books(&self) -> Vec<Books> {
        lock(&self.cells).clone()
    }

    /// The text of a scrape.
    ///
    /// # Errors
    /// The encoder refuses a family: a programming mistake, told in the response.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let books = self.books();
        let identity = lock(&self.identity).clone();
        let families = families::of(&books, &identity, &self.requests.counts());
        let mut text = Vec::new();
        TextEncoder::new().encode(&families, &mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

// WHY: nothing under these locks can leave half a change behind, so a poisoned lock is as good as a sound one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::telemetry::books::{
        EngineReport, Histogram, LabelReport, ModelReport, NewestSnapshot, Outcome, SnapshotBooks,
        Verdicts,
    };

    /// The value of one sample line, read from the text as a scraper would.
    fn sample(text: &str, name: &str) -> Option<f64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    fn sum(text: &str, family: &str) -> f64 {
        let of_family = |line: &&str| {
            line.strip_prefix(family).is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let values = text.lines().filter(of_family).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<f64>().unwrap()).sum()
    }

    fn board() -> Board {
        Board::new(
            1,
            Identity {
                version: "1.2.3".to_owned(),
                ruleset: "abc".to_owned(),
                ..Identity::default()
            },
        )
    }

    #[test]
    fn every_scrape_balances_while_a_cell_counts() {
        let board = Arc::new(board());
        let cell = Arc::clone(&board);
        let writer = std::thread::spawn(move || {
            let mut books = Books::default();
            let topic: Arc<str> = "t".into();
            for round in 0..2_000_usize {
                books.record_read(&topic);
                let outcomes = [Outcome::Decided("pass"), Outcome::DeadLettered("bad_json")];
                outcomes.get(round % 3).into_iter().for_each(|outcome| books.record_done(*outcome));
                cell.publish(0, &books);
            }
        });
        while !writer.is_finished() {
            let text = board.render().unwrap();
            let read = sum(&text, "riskweir_records_read_total");
            let done =
                sum(&text, "riskweir_decisions_total") + sum(&text, "riskweir_dead_letter_total");
            let in_flight = sum(&text, "riskweir_records_in_flight");
            assert!((read - done - in_flight).abs() < f64::EPSILON, "{read} {done} {in_flight}");
        }
        writer.join().unwrap();
        let text = board.render().unwrap();
        assert_eq!(sample(&text, "riskweir_records_read_total{topic=\"t\"}"), Some(2_000.0));
        assert_eq!(sample(&text, "riskweir_records_in_flight"), Some(666.0));
    }

    #[test]
    fn what_several_engines_say_of_one_model_is_told_together() {
        let report = |scored, stability, events| EngineReport {
            models: vec![ModelReport {
                model: "m".into(),
                scored,
                missing: vec![("f".into(), 2)],
                moved: vec![(Some("f".into()), stability, events)],
                tied: Some(stability),
                score_seconds: (scored > 7).then_some(stability),
                bound_seconds: 0.25,
                beyond_reach: vec![("r".into(), scored > 7), ("s".into(), false)],
                ..ModelReport::default()
            }],
            ..EngineReport::default()
        };
        let mut books = Books { engine: report(10, 0.4, 3_000), ..Books::default() };
        books.engine.add(&report(5, 0.1, 1_000));
        let board = board();
        board.publish(0, &books);
        let text = board.render().unwrap();
        let of = |name: &str| sample(&text, name).unwrap();
        assert!((of("riskweir_model_scores_total{model=\"m\"}") - 15.0).abs() < 1e-9);
        assert!((of("riskweir_model_missing_total{feature=\"f\",model=\"m\"}") - 4.0).abs() < 1e-9);
        let stability = of("riskweir_model_feature_stability{feature=\"f\",model=\"m\"}");
        // (3 * 0.4 + 1 * 0.1) / 4.
        assert!((stability - 0.325).abs() < 1e-9, "{stability}");
        // The worst of both.
        assert!((of("riskweir_model_tied_ratio{model=\"m\"}") - 0.4).abs() < 1e-9);
        // The slowest of those that have a score.
        assert!((of("riskweir_model_score_duration_seconds{model=\"m\"}") - 0.4).abs() < 1e-9);
        assert!((of("riskweir_model_score_bound_seconds{model=\"m\"}") - 0.25).abs() < 1e-9);
        let beyond = |rule: &str| {
            of(&format!("riskweir_model_bound_beyond_reach{{model=\"m\",rule=\"{rule}\"}}"))
                .to_string()
        };
        assert_eq!([beyond("r"), beyond("s")], ["1", "0"]);
    }

    fn labels(rule: &str, fraud: u64, genuine: u64) -> LabelReport {
        let verdicts = Verdicts { fraud, genuine };
        let names = [Arc::from("live"), Arc::from(rule)];
        LabelReport {
            came: vec![(["label", "acted", "fraud"].map(Arc::from), fraud + genuine)],
            events: vec![(["payment", "acted"].map(Arc::from), verdicts)],
            rules: vec![(names, verdicts)],
            models: vec![([Arc::from(rule)], verdicts)],
            evicted: 1,
        }
    }

    #[test]
    fn a_precision_is_told_from_thirty_labelled_events_on_of_all_engines_together() {
        let told = |parts: &[(u64, u64)]| {
            let mut engine = EngineReport::default();
            for (fraud, genuine) in parts {
                let labels = labels("r", *fraud, *genuine);
                engine.add(&EngineReport { labels, ..EngineReport::default() });
            }
            let board = board();
            board.publish(0, &Books { engine, ..Books::default() });
            board.render().unwrap()
        };
        let rule = "riskweir_rule_precision_ratio{mode=\"live\",rule=\"r\"}";
        let model = "riskweir_model_precision_ratio{model=\"r\"}";
        let few = told(&[(20, 9)]);
        assert_eq!((sample(&few, rule), sample(&few, model)), (None, None));
        let counted = |text: &str, verdict: &str| {
            let labels = format!("{{mode=\"live\",rule=\"r\",verdict=\"{verdict}\"}}");
            sample(text, &format!("riskweir_rule_labelled_events{labels}"))
        };
        assert_eq!((counted(&few, "fraud"), counted(&few, "genuine")), (Some(20.0), Some(9.0)));
        // Two engines, 24 of 40.
        let enough = told(&[(20, 9), (4, 7)]);
        assert_eq!((sample(&enough, rule), sample(&enough, model)), (Some(0.6), Some(0.6)));
    }

    /// Books in which every family has something to show.
    fn full_books() -> Books {
        let label: Arc<str> = "x".into();
        let mut books = Books::default();
        books.record_read(&label);
        books.record_done(Outcome::Decided("pass"));
        books.record_read(&label);
        books.record_done(Outcome::DeadLettered("bad_json"));
        books.record_read(&label);
        books.record_done(Outcome::Commanded("done"));
        books.kafka_error("BrokerTransportFailure");
        books.output_errors.insert("audit", 2);
        books.rebalances.insert("assign", 1);
        books.lag.push((Arc::clone(&label), 0, 7));
        books.snapshots = vec![SnapshotBooks {
            shard: Some(Arc::clone(&label)),
            newest: Some(NewestSnapshot {
                created_at_ms: 2_500,
                took: Some(Duration::from_millis(250)),
                size_bytes: 77,
            }),
            errors: 3,
        }];
        let per = || vec![(Arc::clone(&label), 1)];
        let mut aged = Histogram::new(&[60.0]);
        aged.observe(Duration::from_secs(7));
        books.engine = EngineReport {
            alerts: per(),
            alerts_thinned: per(),
            rule_hits: per(),
            rule_undecided: per(),
            rule_amounts: per(),
            rule_amounts_left_out: per(),
            holds: vec![("placed", 1)],
            holds_oldest_ms: Some(3_500),
            holds_due_soon: vec![("yes", 1), ("no", 4)],
            holds_bytes: vec![("open", 9)],
            hold_ages: vec![("released", aged)],
            episode_ends: vec![("quiet", 1)],
            answers: vec![("passed", 1)],
            watermarks: vec![(Arc::clone(&label), 0, 1_500)],
            state_keys: per(),
            mapping_errors: per(),
            never_stored: per(),
            models: vec![ModelReport {
                model: Arc::clone(&label),
                scored: 5,
                unscored: 6,
                high: 1,
                score_seconds: Some(0.000_1),
                bound_seconds: 0.000_2,
                tied: Some(0.5),
                beyond_reach: vec![(Arc::clone(&label), true)],
                missing: per(),
                moved: vec![(Some(Arc::clone(&label)), 0.5, 2_000), (None, 0.25, 2_000)],
            }],
            labels: labels("x", 40, 10),
            ..EngineReport::default()
        };
        books
    }

    #[test]
    fn a_scrape_has_exactly_the_documented_names() {
        let books = full_books();
        let board = board();
        board.publish(0, &books);
        let text = board.render().unwrap();
        let mut names: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
            .collect();
        names.sort_unstable();
        let mut expected = EXPECTED.to_vec();
        expected.sort_unstable();
        assert_eq!(names, expected);
        assert_eq!(sample(&text, "riskweir_build_info{version=\"1.2.3\"}"), Some(1.0));
        assert_eq!(sample(&text, "riskweir_ruleset_info{digest=\"abc\"}"), Some(1.0));
        assert_eq!(sample(&text, "riskweir_output_errors_total{output=\"audit\"}"), Some(2.0));
        assert_eq!(sample(&text, "riskweir_holds_oldest_timestamp_seconds"), Some(3.5));
        assert_eq!(sample(&text, "riskweir_holds_due_soon{claimed=\"no\"}"), Some(4.0));
        let age = "riskweir_hold_age_seconds_bucket{result=\"released\",le=\"60\"}";
        assert_eq!(sample(&text, age), Some(1.0));
        let watermark = "riskweir_watermark_timestamp_seconds{partition=\"0\",topic=\"x\"}";
        assert_eq!(sample(&text, watermark), Some(1.5));
        let snapshot =
            |name: &str| sample(&text, &format!("riskweir_snapshot_{name}{{shard=\"x\"}}"));
        assert_eq!(
            ["timestamp_seconds", "duration_seconds", "bytes", "errors_total"].map(snapshot),
            [Some(2.5), Some(0.25), Some(77.0), Some(3.0)]
        );
    }

    #[test]
    fn histogram_buckets_are_cumulative_and_end_at_infinity() {
        let mut books = Books::default();
        books.end_to_end.observe(Duration::from_millis(4));
        books.end_to_end.observe(Duration::from_secs(100));
        let board = board();
        board.publish(0, &books);
        let text = board.render().unwrap();
        let bucket = |le: &str| {
            sample(&text, &format!("riskweir_end_to_end_latency_seconds_bucket{{le=\"{le}\"}}"))
        };
        assert_eq!(bucket("0.003"), Some(0.0));
        assert_eq!(bucket("0.004"), Some(1.0));
        assert_eq!(bucket("60"), Some(1.0));
        assert_eq!(bucket("+Inf"), Some(2.0));
        assert_eq!(sample(&text, "riskweir_end_to_end_latency_seconds_count"), Some(2.0));
    }

    const EXPECTED: &[&str] = &[
        "riskweir_api_streams",
        "riskweir_api_store_bytes",
        "riskweir_api_store_let_go_total",
        "riskweir_api_unauthenticated_total",
        "riskweir_api_overridden_total",
        "riskweir_records_read_total",
        "riskweir_records_in_flight",
        "riskweir_decisions_total",
        "riskweir_dead_letter_total",
        "riskweir_commands_total",
        "riskweir_records_abandoned_total",
        "riskweir_decision_duration_seconds",
        "riskweir_end_to_end_latency_seconds",
        "riskweir_alerts_total",
        "riskweir_alerts_thinned_total",
        "riskweir_holds_open",
        "riskweir_holds_oldest_timestamp_seconds",
        "riskweir_holds_due_soon",
        "riskweir_holds_total",
        "riskweir_hold_age_seconds",
        "riskweir_holds_limit_bytes",
        "riskweir_episode_ends_total",
        "riskweir_challenge_answers_total",
        "riskweir_rule_hits_total",
        "riskweir_rule_undecided_total",
        "riskweir_rule_amount_minor",
        "riskweir_rule_amounts_left_out",
        "riskweir_consumer_lag_records",
        "riskweir_watermark_timestamp_seconds",
        "riskweir_late_records_total",
        "riskweir_future_records_total",
        "riskweir_duplicate_records_total",
        "riskweir_state_keys",
        "riskweir_state_bytes",
        "riskweir_state_evictions_total",
        "riskweir_ids_cut_short_total",
        "riskweir_episodes_cut_short_total",
        "riskweir_list_changes_refused_total",
        "riskweir_holds_bytes",
        "riskweir_overflows_total",
        "riskweir_breaker_trips_total",
        "riskweir_rebalances_total",
        "riskweir_kafka_errors_total",
        "riskweir_output_errors_total",
        "riskweir_mapping_errors_total",
        "riskweir_sad_dropped_total",
        "riskweir_model_scores_total",
        "riskweir_model_unscored_total",
        "riskweir_model_high_scores_total",
        "riskweir_model_score_duration_seconds",
        "riskweir_model_score_bound_seconds",
        "riskweir_model_tied_ratio",
        "riskweir_model_bound_beyond_reach",
        "riskweir_model_missing_total",
        "riskweir_model_feature_stability",
        "riskweir_model_score_stability",
        "riskweir_labels_total",
        "riskweir_labelled_events",
        "riskweir_rule_labelled_events",
        "riskweir_rule_precision_ratio",
        "riskweir_model_labelled_events",
        "riskweir_model_precision_ratio",
        "riskweir_label_evictions_total",
        "riskweir_snapshot_timestamp_seconds",
        "riskweir_snapshot_duration_seconds",
        "riskweir_snapshot_bytes",
        "riskweir_snapshot_errors_total",
        "riskweir_build_info",
        "riskweir_ruleset_info",
        "riskweir_ruleset_behind",
    ];
}
