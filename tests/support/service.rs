//! A running service with an engine so simple that a test can say by hand what must come out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use riskweir::config::{self, Config, Sources};
use riskweir::runtime::{self, Input, Output, OutputTopic, RunError, Step, Stop};
use riskweir::telemetry::board::Identity;
use riskweir::telemetry::{Board, Books, EngineReport, Health, Outcome};

/// What an [`Echo`] saw, shared by all engines of one service: `(topic, partition, offset)` with `replay` or `step`.
pub(crate) type Seen = Arc<Mutex<Vec<(String, i32, i64, &'static str)>>>;

/// Answers each record with one decision that holds the record's payload and how many records the engine took before.
///
/// `quiet…` gives no output, `bad…` goes to the dead letters, `hold…` gives a hold beside the decision.
pub(crate) struct Echo {
    seen: Seen,
    counts: BTreeMap<(String, i32), u64>,
}

impl Echo {
    pub(crate) fn new(seen: &Seen) -> Self {
        Self { seen: Arc::clone(seen), counts: BTreeMap::new() }
    }

    fn count(&mut self, input: &Input<'_>, how: &'static str) -> u64 {
        let place = (input.topic.to_owned(), input.partition);
        self.seen.lock().unwrap().push((place.0.clone(), place.1, input.offset, how));
        let count = self.counts.entry(place).or_default();
        *count += 1;
        *count
    }
}

impl Step for Echo {
    fn step(&mut self, input: &Input<'_>, outputs: &mut Vec<Output>) -> Outcome {
        let nth = self.count(input, "step");
        let text = String::from_utf8_lossy(input.payload.unwrap_or_default()).into_owned();
        let key = format!("{}-{}", input.partition, input.offset).into_bytes();
        let output =
            |topic, body: String| Output { topic, key: key.clone(), body: body.into_bytes() };
        if text.starts_with("quiet") {
            return Outcome::Decided("pass");
        }
        if text.starts_with("bad") {
            outputs.push(output(OutputTopic::DeadLetter, text));
            return Outcome::DeadLettered("bad_json");
        }
        outputs.push(output(OutputTopic::Decisions, format!("{nth}:{text}")));
        if text.starts_with("hold") {
            outputs.push(output(OutputTopic::Holds, text));
            return Outcome::Decided("hold");
        }
        Outcome::Decided("pass")
    }

    fn replay(&mut self, input: &Input<'_>) {
        self.count(input, "replay");
    }

    fn report(&self, _: i64, report: &mut EngineReport) {
        report.state_bytes = 64 * self.counts.len() as u64;
    }
}

/// A service in a thread of its own.
pub(crate) struct Service {
    pub(crate) board: Arc<Board>,
    pub(crate) health: Arc<Health>,
    pub(crate) stop: Stop,
    pub(crate) seen: Seen,
    ended: Arc<Mutex<Option<RunError>>>,
    thread: JoinHandle<Result<Books, RunError>>,
}

impl Service {
    /// Starts it.
    pub(crate) fn start(config: Config, inputs: &[&str]) -> Self {
        let board = Arc::new(Board::new(1, Identity::default()));
        let health = Arc::new(Health::new(config.http.progress_timeout));
        let stop = Stop::new(config.shutdown_timeout);
        let seen = Seen::default();
        let inputs: Vec<String> = inputs.iter().map(|&topic| topic.to_owned()).collect();
        let views = runtime::Views {
            board: Arc::clone(&board),
            health: Arc::clone(&health),
            stop: stop.clone(),
        };
        let (engines, ended) = (Arc::clone(&seen), Arc::default());
        let end: Arc<Mutex<Option<RunError>>> = Arc::clone(&ended);
        let thread = std::thread::spawn(move || {
            let outcome = runtime::run(&config, &inputs, &mut || Ok(Echo::new(&engines)), &views);
            *end.lock().unwrap() = outcome.as_ref().err().cloned();
            outcome
        });
        Self { board, health, stop, seen, ended, thread }
    }

    /// The published books.
    pub(crate) fn books(&self) -> Books {
        self.board.books().remove(0)
    }

    /// Records with acknowledged effects so far.
    pub(crate) fn n_done(&self) -> u64 {
        let books = self.books();
        assert_eq!(books.imbalance(), 0, "{books:?}");
        books.decided.values().chain(books.dead_lettered.values()).sum()
    }

    /// The checks of `/readyz` that fail.
    pub(crate) fn failing(&self) -> Vec<&'static str> {
        self.health.ready().iter().filter(|check| !check.ok).map(|check| check.name).collect()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// What can be said when a wait was in vain.
    pub(crate) fn describe(&self) -> String {
        let books = self.books();
        let error = self.ended.lock().unwrap().clone();
        format!(
            "read {:?}, decided {:?}, dead {:?}, in flight {}, rebalances {:?}, errors {:?}, failing {:?}, ended {error:?}",
            books.read,
            books.decided,
            books.dead_lettered,
            books.in_flight,
            books.rebalances,
            books.kafka_errors,
            self.failing(),
        )
    }

    /// What the run returned; waits for its end.
    pub(crate) fn outcome(self) -> Result<Books, RunError> {
        self.thread.join().unwrap()
    }

    /// Stops it in order.
    #[track_caller]
    pub(crate) fn stop(self) -> Books {
        self.stop.request();
        let books = self.outcome().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((books.imbalance(), books.in_flight), (0, 0), "{books:?}");
        books
    }

    /// Offsets that were taken in this way, in order.
    pub(crate) fn offsets(&self, topic: &str, partition: i32, how: &str) -> Vec<i64> {
        let seen = self.seen.lock().unwrap();
        let of = |it: &&(String, i32, i64, &str)| it.0 == topic && it.1 == partition && it.3 == how;
        seen.iter().filter(of).map(|it| it.2).collect()
    }
}

/// A configuration from settings over the defaults.
#[track_caller]
pub(crate) fn config(settings: &[(&str, &str)]) -> Config {
    let flags = settings
        .iter()
        .map(|(key, value)| ("--set".to_owned(), (*key).to_owned(), (*value).to_owned()))
        .collect();
    let loaded = config::load(&Sources { flags, ..Sources::default() });
    let mut config = loaded.unwrap_or_else(|errors| panic!("{errors:#?}")).config;
    config.shutdown_timeout = Duration::from_secs(30);
    config
}
