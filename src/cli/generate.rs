//! `riskweir generate`: made-up wallet and bank traffic, to standard output, or into the input topics.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::json;

use crate::base::count::nearest_f64;
use crate::base::time::format_rfc3339;
use crate::cli::run::{exit, show};
use crate::cli::settings;
use crate::cli::{Console, Exit, Failure, unless_gone};
use crate::config::{self, Config, Sources, units};
use crate::demo::traffic::{Traffic, TrafficConfig, TrafficEvent};
use crate::runtime::{Feed, RunError, Stop};
use crate::telemetry::log;

/// Event time of the first records: Monday, 8 January 2024, 05:00 UTC. Far enough back that event time, which runs
/// faster than the clock, does not catch up with it for half a day at 200 records per second.
pub(crate) const START_MS: i64 = 1_704_690_000_000;

/// Records per second when a rate is needed and none is given.
pub(crate) const DEFAULT_RATE: f64 = 200.0;

/// Topics of the traffic.
pub(crate) const TOPICS: [&str; 2] = ["wallet.events", "bank.events"];

/// How long the brokers may take for the last records.
const LAST_RECORDS: Duration = Duration::from_secs(30);

/// Arguments of `riskweir generate`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Records per second, such as 200/s. Without brokers and --for: as fast as they can be written.
    #[arg(long, value_name = "RATE", value_parser = rate)]
    rate: Option<f64>,
    /// How long to go on, such as 60s (default: until stopped).
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, conflicts_with = "count")]
    length: Option<Duration>,
    /// How many records.
    #[arg(long, value_name = "N")]
    count: Option<u64>,
    /// The same seed gives the same records.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Send to the topics wallet.events and bank.events of these brokers instead of standard output.
    #[arg(long, value_name = "ADDRESSES")]
    brokers: Option<String>,
    /// Configuration file with the brokers and how to log in there, as for `run`.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write which records belong to a fraud to this file, one JSON object each, as `backtest --labels` reads them.
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// When the labels cannot be written or the brokers cannot be reached.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let labels = match &arguments.labels {
        Some(path) => Some(Labels::create(path)?),
        None => None,
    };
    let stop = Stop::on_signals(LAST_RECORDS).map_err(Failure::invalid)?;
    let mut traffic = traffic(arguments.seed);
    if arguments.brokers.is_none() && arguments.config.is_none() {
        let paced = arguments.rate.is_some() || arguments.length.is_some();
        let pace = paced.then(|| Pace::new(arguments.rate.unwrap_or(DEFAULT_RATE)));
        return write_lines(arguments, (&mut traffic, labels), pace, &stop);
    }
    let Some(config) = configuration(arguments, console) else { return Ok(Exit::Invalid) };
    let level = if console.is_verbose() { log::Level::DEBUG } else { log::Level::WARN };
    let repeat_limit = (config.log.repeat_limit.count, config.log.repeat_limit.per);
    log::init(&log::Settings { form: None, level, repeat_limit, color: console.color })
        .map_err(Failure::invalid)?;
    let pace = Pace::new(arguments.rate.unwrap_or(DEFAULT_RATE));
    match send(arguments, &config, (&mut traffic, labels), (pace, &stop)) {
        Ok(sent) => {
            if !console.is_quiet() {
                console.message(&format!("{sent} records sent"));
            }
            Ok(Exit::Ok)
        }
        Err(Problem::Run(error)) => {
            show(&error, *console);
            Ok(exit(&error))
        }
        Err(Problem::Other(failure)) => Err(failure),
    }
}

/// The traffic of `generate` and `demo`.
pub(crate) fn traffic(seed: u64) -> Traffic {
    Traffic::new(TrafficConfig { seed, start_ms: START_MS, ..TrafficConfig::default() })
}

fn write_lines(
    arguments: &Arguments,
    (traffic, mut labels): (&mut Traffic, Option<Labels>),
    mut pace: Option<Pace>,
    stop: &Stop,
) -> Result<Exit, Failure> {
    let mut out = BufWriter::new(io::stdout().lock());
    for (written, event) in (0..).zip(traffic) {
        if arguments.is_over(written, pace.as_ref()) || stop.requested() {
            break;
        }
        let flushed = if pace.is_some() { out.flush() } else { Ok(()) };
        if let Some(pace) = &mut pace
            && pace.wait(stop).is_none()
        {
            break;
        }
        let body = &event.body;
        let written =
            flushed.and_then(|()| out.write_all(body)).and_then(|()| out.write_all(b"\n"));
        if let Err(error) = written {
            unless_gone(&error)?;
            break;
        }
        if let Some(labels) = &mut labels {
            labels.write(&event)?;
        }
    }
    out.flush().or_else(|error| unless_gone(&error))?;
    if let Some(labels) = labels {
        labels.finish()?;
    }
    Ok(Exit::Ok)
}

enum Problem {
    Run(RunError),
    Other(Failure),
}

fn send(
    arguments: &Arguments,
    config: &Config,
    (traffic, mut labels): (&mut Traffic, Option<Labels>),
    (mut pace, stop): (Pace, &Stop),
) -> Result<u64, Problem> {
    let feed = Feed::open(config, &TOPICS, stop).map_err(Problem::Run)?;
    pace.restart();
    for (sent, event) in (0..).zip(traffic) {
        if arguments.is_over(sent, Some(&pace)) || pace.wait(stop).is_none() {
            break;
        }
        if !until_event_time(&event, stop) {
            break;
        }
        feed.send(event.topic, event.key.as_bytes(), &event.body).map_err(Problem::Run)?;
        if let Some(labels) = &mut labels {
            labels.write(&event).map_err(Problem::Other)?;
        }
    }
    let delivered = feed.finish(LAST_RECORDS).map_err(Problem::Run)?;
    if let Some(labels) = labels {
        labels.finish().map_err(Problem::Other)?;
    }
    Ok(delivered)
}

impl Arguments {
    fn is_over(&self, done: u64, pace: Option<&Pace>) -> bool {
        self.count.is_some_and(|count| done >= count)
            || self.length.is_some_and(|length| pace.is_some_and(|pace| pace.is_over(length)))
    }
}

fn configuration(arguments: &Arguments, console: &Console) -> Option<Config> {
    let brokers = arguments.brokers.iter();
    let flags = brokers
        .map(|brokers| ("--brokers".to_owned(), "kafka.brokers".to_owned(), brokers.clone()))
        .collect();
    let sources = Sources { file: arguments.config.clone(), env: settings::environment(), flags };
    match config::load(&sources) {
        Ok(loaded) => Some(loaded.config),
        Err(errors) => {
            settings::show(&errors, console);
            None
        }
    }
}

/// Waits until the clock has reached the event's time: a record from the future would not be believed. False when
/// asked to stop meanwhile.
pub(crate) fn until_event_time(event: &TrafficEvent, stop: &Stop) -> bool {
    loop {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        if event.time_ms <= now_ms {
            return true;
        }
        if stop.requested() {
            return false;
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
}

/// An even rate that does not slow down when somebody was late: what is due is due.
#[derive(Debug)]
pub(crate) struct Pace {
    began: Instant,
    per_second: f64,
    taken: u64,
}

impl Pace {
    /// The first is due at once.
    pub(crate) fn new(per_second: f64) -> Self {
        Self { began: Instant::now(), per_second, taken: 0 }
    }

    /// Begins anew now.
    pub(crate) fn restart(&mut self) {
        (self.began, self.taken) = (Instant::now(), 0);
    }

    /// When the next one is due, after the beginning.
    pub(crate) fn next_at(&self) -> Duration {
        let seconds = nearest_f64(self.taken) / self.per_second;
        Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
    }

    /// Whether so much time is over, by the rate or, where the rate cannot be held, by the clock.
    pub(crate) fn is_over(&self, length: Duration) -> bool {
        self.next_at() >= length || self.began.elapsed() >= length
    }

    /// Waits until the next one is due, and says when that was; none when asked to stop.
    pub(crate) fn wait(&mut self, stop: &Stop) -> Option<Instant> {
        let due = self.began.checked_add(self.next_at())?;
        self.taken += 1;
        loop {
            if stop.requested() {
                return None;
            }
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Some(due);
            }
            std::thread::park_timeout(left.min(Duration::from_millis(50)));
        }
    }
}

/// The file of labels.
struct Labels {
    path: PathBuf,
    out: BufWriter<File>,
}

impl Labels {
    fn create(path: &std::path::Path) -> Result<Self, Failure> {
        let file = File::create(path).map_err(|error| unwritable(path, &error))?;
        Ok(Self { path: path.to_owned(), out: BufWriter::new(file) })
    }

    fn write(&mut self, event: &TrafficEvent) -> Result<(), Failure> {
        let Some(label) = event.label else { return Ok(()) };
        let line = json!({
            "event_id": event.event_id,
            "verdict": "fraud",
            "topic": event.topic,
            "time": format_rfc3339(event.time_ms),
            "scenario": label.name(),
            "episode": event.episode,
        });
        writeln!(self.out, "{line}").map_err(|error| unwritable(&self.path, &error))
    }

    fn finish(mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| unwritable(&self.path, &error))
    }
}

fn unwritable(path: &std::path::Path, error: &io::Error) -> Failure {
    Failure::invalid(format!("could not write `{}`: {error}", path.display()))
}

/// `200/s`, `5/m`, or a bare number per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let wrong = || "write a rate such as 200/s".to_owned();
    let per_second = match units::rate(text) {
        Some(rate) => nearest_f64(rate.count) / rate.per.as_secs_f64(),
        None => text.parse().map_err(|_| wrong())?,
    };
    if (1e-3..=1e6).contains(&per_second) {
        Ok(per_second)
    } else {
        Err("write a rate from one in a thousand seconds to a million per second".to_owned())
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    units::duration(text).ok_or_else(|| "write a duration such as 30s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_cannot_be_held_makes_nothing_longer_than_was_asked_for() {
        let length = Duration::from_secs(3);
        let mut pace = Pace::new(1e6);
        assert!(!pace.is_over(length));
        // Three seconds on the clock, and a hundred records of the three millions.
        pace.taken = 100;
        pace.began = Instant::now().checked_sub(length).unwrap();
        assert!(pace.is_over(length));
        // At one record a second the fourth would be due after three seconds.
        let slow = Pace { began: Instant::now(), per_second: 1.0, taken: 3 };
        assert!(slow.is_over(length));
    }
}
