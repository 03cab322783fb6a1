//! `riskweir demo`: everything in one process, to see what the program does before anything is installed.
//!
//! A broker inside this process, made-up traffic with frauds in it, the very cell that `run` runs, and a reader of its
//! output topics that shows alerts and holds and sets them beside the generator's labels at the end. The engine sees
//! records only; labels go from the generator to the tally.
//!
//! INVARIANT: at most [`MOST_OPEN`] records are without an answer that was read, so the embedded broker (about 5 MB per
//! partition) never drops a record before it is read. Should it happen all the same, the books say so.
//!
//! Event time never runs more than four minutes ahead of a payment whose decision was not read, so that customers can answer a second
//! factor in time at any rate; very high rates are held back by that.
//!
//! Start reading at [`run`].

mod feeder;
mod pass;
mod view;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use clap::Args;

use crate::api;
use crate::base::Privacy;
use crate::cli::demo::pass::Pass;
use crate::cli::demo::view::View;
use crate::cli::generate::{TOPICS, duration, rate};
use crate::cli::rules::compile_sources;
use crate::cli::run::{exit, show};
use crate::cli::settings;
use crate::cli::{Console, Exit, Failure, Format};
use crate::config::{self, Config};
use crate::demo::report::{Closing, Report};
use crate::demo::shipped;
use crate::demo::show::Paint;
use crate::demo::tally::Tally;
use crate::diag::Sources;
use crate::loader::load;
use crate::rules::program::Program;
use crate::runtime::{
    self, ActiveRules, DecidingEngines, EmbeddedBroker, RunError, Stop, Views, Watch,
    engine_options,
};
use crate::telemetry::board::Identity;
use crate::telemetry::{Board, Books, Health, http, log};

/// Most records without an answer that was read. At 2.5 KB for a large decision that is half of what one partition
/// keeps, should all of them fall into one.
pub(crate) const MOST_OPEN: u64 = 1_000;

/// Partitions of every topic.
const PARTITIONS: i32 = 4;

/// How long answers may take after the last record.
const DRAIN: Duration = Duration::from_secs(20);

/// How long the embedded broker may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Arguments of `riskweir demo`.
#[derive(Args, Debug)]
pub struct Arguments {
    /// How long to send records, such as 60s (default: until Ctrl-C).
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    length: Option<Duration>,
    /// Records per second.
    #[arg(long, value_name = "RATE", value_parser = rate, default_value = "200/s")]
    rate: f64,
    /// The same seed gives the same records.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Address of metrics and health; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Address of the HTTP API, of this machine only; port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9465")]
    api: SocketAddr,
    /// Rule folder (default: `rules` in the working directory, else the shipped rules that the program carries).
    #[arg(long, value_name = "DIR")]
    rules: Option<PathBuf>,
}

/// What the threads of a demonstration share.
pub(crate) struct Shared {
    /// Ctrl-C.
    pub(crate) stop: Stop,
    /// The count of what was sent and what came of it.
    pub(crate) tally: Mutex<Tally>,
    /// When the first record was due.
    pub(crate) began: OnceLock<Instant>,
    /// Whether the last record was sent.
    pub(crate) is_sent: AtomicBool,
    /// The cell's health.
    pub(crate) health: Arc<Health>,
    /// The cell's books.
    pub(crate) board: Arc<Board>,
}

/// Runs the command.
///
/// # Errors
/// When the rules cannot be read or the address is taken.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let pass = Pass::new().map_err(|error| {
        Failure::invalid(format!("could not write a token for the HTTP API: {error}"))
    })?;
    let loaded = configuration(arguments, &pass, console);
    let Some(mut config) = loaded else { return Ok(Exit::Invalid) };
    let level = if console.is_verbose() { log::Level::INFO } else { log::Level::ERROR };
    let repeat_limit = (config.log.repeat_limit.count, config.log.repeat_limit.per);
    log::init(&log::Settings { form: None, level, repeat_limit, color: console.color })
        .map_err(Failure::invalid)?;
    let (sources, origin) = rule_sources(arguments.rules.as_deref())?;
    let Some(program) = compile_sources(&sources, console) else { return Ok(Exit::Invalid) };
    let inputs = schema_topics(&program);
    if !TOPICS.iter().any(|topic| inputs.iter().any(|input| input == topic)) {
        return Err(Failure::invalid(format!(
            "the rules of {origin} read neither `{}` nor `{}`, which is all that the demo sends: declare events with these topics",
            TOPICS[0], TOPICS[1]
        )));
    }
    let ended = start_broker(&config, &inputs).and_then(|broker| {
        config.kafka.brokers = vec![broker.address()];
        let (config, inputs, program) = (&config, &inputs, &program);
        let stage = Stage { arguments, config, inputs, program, pass: &pass };
        stage.play(&origin, console)
    });
    ended.or_else(|error| match error {
        RunError::Listen { address, reason } => Err(Failure::invalid(format!(
            "could not listen on {address}: {reason}; give another address with --listen or --api, such as 127.0.0.1:0"
        ))),
        error => {
            show(&error, *console);
            Ok(exit(&error))
        }
    })
}

/// The topics that the events of the schema come from.
fn schema_topics(program: &Program) -> Vec<String> {
    let mut topics: Vec<String> =
        program.schema.events.iter().filter_map(|event| event.topic.clone()).collect();
    topics.sort();
    topics.dedup();
    topics
}

fn configuration(arguments: &Arguments, pass: &Pass, console: &Console) -> Option<Config> {
    let flag = |key: &str, value: String| ("demo".to_owned(), key.to_owned(), value);
    let flags = vec![
        // The address is that of the embedded broker, once it listens.
        flag("kafka.brokers", "127.0.0.1:9092".to_owned()),
        flag("delivery.mode", "idempotent".to_owned()),
        flag("http.listen", arguments.listen.to_string()),
        flag("api.listen", arguments.api.to_string()),
        flag("api.tokens", pass.known().display().to_string()),
        // WHY: event time runs thousands of times faster than the clock, so partitions stand hours apart.
        flag("time.partition_idle", "1d".to_owned()),
    ];
    match config::load(&config::Sources { file: None, env: Vec::new(), flags }) {
        Ok(loaded) => {
            let mut config = loaded.config;
            let more = [
                // WHY: the embedded broker answers a fetch that finds nothing only when this is over.
                ("fetch.wait.max.ms", "5"),
                // WHY: keeps the client from saying that a producer does not fetch.
                ("log_level", "3"),
            ];
            config.kafka.rdkafka.extend(more.map(|(name, it)| (name.to_owned(), it.to_owned())));
            Some(config)
        }
        Err(errors) => {
            settings::show(&errors, console);
            None
        }
    }
}

/// The rules and, for people, where they are from.
fn rule_sources(folder: Option<&Path>) -> Result<(Sources, String), Failure> {
    let shipped = Path::new("rules");
    let folder = folder.or_else(|| shipped.join("policy.risk").is_file().then_some(shipped));
    match folder {
        Some(folder) => {
            let sources = load(folder).map_err(Failure::invalid)?;
            Ok((sources, format!("{}/", folder.display())))
        }
        None => Ok((shipped::sources(), "the program itself".to_owned())),
    }
}

fn start_broker(config: &Config, inputs: &[String]) -> Result<EmbeddedBroker, RunError> {
    let names = &config.topics;
    let outputs = [&names.decisions, &names.alerts, &names.holds, &names.audit, &names.dead_letter];
    let topics: Vec<(&str, i32)> =
        inputs.iter().chain(outputs).map(|topic| (topic.as_str(), PARTITIONS)).collect();
    EmbeddedBroker::start(&topics)
}

/// What a demonstration plays with.
struct Stage<'a> {
    arguments: &'a Arguments,
    config: &'a Config,
    inputs: &'a [String],
    program: &'a Program,
    pass: &'a Pass,
}

impl Stage<'_> {
    fn play(&self, origin: &str, console: &Console) -> Result<Exit, RunError> {
        let stop = Stop::on_signals(self.config.shutdown_timeout)
            .map_err(|error| RunError::Process { reason: error.to_string() })?;
        let identity = Identity {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ruleset: self.program.digest.short_hex(),
            ..Identity::default()
        };
        let board = Arc::new(Board::new(1, identity));
        let health = Arc::new(Health::new(self.config.http.progress_timeout));
        let server = http::serve(
            self.config.http.listen,
            Arc::clone(&board),
            Arc::clone(&health),
            (None, None),
        )
        .map_err(|error| RunError::Listen {
            address: self.config.http.listen.to_string(),
            reason: error.to_string(),
        })?;
        let rules = ActiveRules::new(Arc::new(self.program.clone()));
        let api = api::serve(api::Setup {
            config: self.config,
            inputs: self.inputs.to_vec(),
            rules: rules.clone(),
            privacy: Privacy::default(),
            reloader: None,
            books: Arc::clone(board.requests()),
        })?;
        let shared = Shared {
            stop,
            tally: Mutex::default(),
            began: OnceLock::new(),
            is_sent: AtomicBool::new(false),
            health,
            board,
        };
        let mut view = View::new(*console, self.program, self.arguments);
        view.greet(&view::Greeting {
            config: self.config,
            seed: self.arguments.seed,
            origin,
            http: server.address(),
            api: api.as_ref().map(api::Server::address),
            token: &self.pass.token(),
        });
        let (books, lost) = self.act(&shared, rules, &mut view)?;
        view.clear();
        let tally = view::lock(&shared.tally);
        let took = shared.began.get().map_or(Duration::ZERO, Instant::elapsed);
        let report = Report { tally: &tally, closing: closing(&books, lost, took) };
        match console.format {
            Format::Json => console.data(&format!("{}\n", report.json())),
            Format::Text => console.data(&report.text(Paint { color: console.color_data })),
        }
        Ok(if report.is_balanced() { Exit::Ok } else { Exit::Invalid })
    }

    /// Runs the cell and the feeder, shows the outputs, and stops in order.
    fn act(
        &self,
        shared: &Shared,
        rules: ActiveRules,
        view: &mut View<'_>,
    ) -> Result<(Books, u64), RunError> {
        let stop_cell = Stop::new(self.config.shutdown_timeout);
        let options = engine_options(self.config);
        let program = Arc::new(self.program.clone());
        thread::scope(|scope| {
            let cell = spawn(scope, "cell", || {
                let engines = DecidingEngines::new(Arc::clone(&program), options);
                let mut engines = engines.shown_in(rules);
                let views = Views {
                    board: Arc::clone(&shared.board),
                    health: Arc::clone(&shared.health),
                    stop: stop_cell.clone(),
                };
                runtime::run(self.config, self.inputs, &mut engines, &views)
            })?;
            let feeder = spawn(scope, "feeder", || {
                let sent = feeder::feed(self.config, self.inputs, self.arguments, shared);
                shared.is_sent.store(true, Ordering::Release);
                sent
            })?;
            let watched = self.watch(shared, view, &cell);
            // INVARIANT: both threads are told to end before they are waited for, whatever happened here.
            shared.stop.request();
            let fed = join(feeder);
            stop_cell.request();
            let books = join(cell)?;
            fed?;
            let mut watch = watched?;
            catch_up(&mut watch, shared, view)?;
            Ok((books, watch.lost()))
        })
    }

    /// Shows outputs until every record has its answer, the cell ends, or answers stay away.
    fn watch(
        &self,
        shared: &Shared,
        view: &mut View<'_>,
        cell: &ScopedJoinHandle<'_, Result<Books, RunError>>,
    ) -> Result<Watch, RunError> {
        let names = &self.config.topics;
        let topics = [&names.decisions, &names.alerts, &names.holds, &names.dead_letter];
        let topics = topics.map(String::as_str);
        let mut watch = Watch::open(self.config, &topics, ANSWER)?;
        let mut waiting_since: Option<Instant> = None;
        while !cell.is_finished() {
            take(&mut watch, shared, view)?;
            view.status(shared);
            if !shared.is_sent.load(Ordering::Acquire) {
                continue;
            }
            let since = *waiting_since.get_or_insert_with(Instant::now);
            let tally = view::lock(&shared.tally);
            if tally.answered() >= tally.sent || since.elapsed() > DRAIN {
                break;
            }
        }
        Ok(watch)
    }
}

/// Takes what came, waiting for the first record only.
fn take(watch: &mut Watch, shared: &Shared, view: &mut View<'_>) -> Result<(), RunError> {
    let mut wait = Duration::from_millis(50);
    for _ in 0..MOST_OPEN {
        let Some(seen) = watch.poll(wait)? else { break };
        view.take(&seen, shared);
        wait = Duration::ZERO;
    }
    Ok(())
}

/// Reads the outputs that the broker still holds.
fn catch_up(watch: &mut Watch, shared: &Shared, view: &mut View<'_>) -> Result<(), RunError> {
    let deadline = Instant::now() + DRAIN;
    while watch.behind(ANSWER)? > 0 && Instant::now() < deadline {
        take(watch, shared, view)?;
    }
    Ok(())
}

fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    name: &str,
    work: impl FnOnce() -> Result<T, RunError> + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, Result<T, RunError>>, RunError> {
    thread::Builder::new()
        .name(name.to_owned())
        .spawn_scoped(scope, work)
        .map_err(|error| RunError::Process { reason: error.to_string() })
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T, RunError>>) -> Result<T, RunError> {
    let name = thread.thread().name().unwrap_or("a thread").to_owned();
    thread.join().unwrap_or_else(|_| {
        Err(RunError::Process { reason: format!("`{name}` ended by a broken promise") })
    })
}

fn closing(books: &Books, lost: u64, took: Duration) -> Closing {
    Closing {
        read: books.read.iter().map(|(_, count)| count).sum(),
        decided: books.decided.values().sum(),
        dead_lettered: books.dead_lettered.values().sum(),
        in_flight: books.in_flight,
        holds_open: books.engine.holds_open,
        lost,
        took,
    }
}
