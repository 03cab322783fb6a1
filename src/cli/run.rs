//! `riskweir run`: the service. Reads input topics, decides, writes outputs, until told to stop.

use std::net::SocketAddr;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use crate::api;
use crate::base::time::format_rfc3339;
use crate::cli::approval::{self, Acceptance};
use crate::cli::deployment::Deployment;
use crate::cli::settings::Settings;
use crate::cli::{Console, Exit, Failure, notify};
use crate::config::{Activation, Config, Log, LogFormat};
use crate::loader::change;
use crate::rules::locality::foreign;
use crate::rules::program::Program;
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::{
    self, ActiveRules, Backfill, DecidingEngines, Laid, Planned, Reload, Reloader, RunError, Since,
    Stop, Views, engine_options,
};
use crate::telemetry::board::Identity;
use crate::telemetry::{Board, Books, Health, happening, http, log};

/// Arguments of `riskweir run`.
#[derive(Args, Debug)]
pub struct Arguments {
    #[command(flatten)]
    settings: Settings,

    /// Reads the past again for a rule set that is not the one that decided last: `from=7d`, `from=2026-11-01T00:00:00Z`
    /// or `from=earliest`.
    #[arg(long, value_name = "FROM")]
    backfill: Option<String>,

    #[command(flatten)]
    acceptance: Acceptance,
}

/// Runs the command.
///
/// # Errors
/// When logs, signals or the rules cannot be set up.
pub fn run(arguments: &Arguments, console: &Console) -> Result<Exit, Failure> {
    let Some(loaded) = arguments.settings.load(console) else { return Ok(Exit::Invalid) };
    let config = loaded.config;
    let backfill = match arguments.backfill.as_deref().map(backfill_from).transpose() {
        Ok(backfill) => backfill,
        Err(reason) => return Err(Failure::invalid(format!("--backfill: {reason}"))),
    };
    log::init(&log_settings(&config.log, *console)).map_err(Failure::invalid)?;
    // WHY: what two people let in is whole before it is read.
    change::finish(&config.rules.path).map_err(|error| Failure::invalid(error.to_string()))?;
    let deployment = match Deployment::of(config, console)? {
        Ok(deployment) => deployment,
        Err(exit) => return Ok(exit),
    };
    match approval::check(&deployment, &arguments.acceptance) {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => return Err(Failure::invalid(reason)),
        Err(error) => {
            show(&error, *console);
            return Ok(exit(&error));
        }
    }
    match serve(deployment, backfill, *console) {
        Ok(books) => {
            let sum =
                |counts: &std::collections::BTreeMap<&'static str, u64>| counts.values().sum();
            let read = books.read.iter().map(|(_, n)| n).sum();
            let (decided, dead_lettered) = (sum(&books.decided), sum(&books.dead_lettered));
            happening::Stopped { read, decided, dead_lettered }.emit();
            Ok(Exit::Ok)
        }
        Err(error) => {
            happening::Failed { code: error.code().0, error: &error.to_string() }.emit();
            show(&error, *console);
            Ok(exit(&error))
        }
    }
}

fn serve(
    deployment: Deployment,
    backfill: Option<Since>,
    console: Console,
) -> Result<Books, RunError> {
    let Deployment { config, program, privacy, inputs, digest } = deployment;
    let config = &config;
    let stop = Stop::on_signals(config.shutdown_timeout)
        .map_err(|error| RunError::Process { reason: error.to_string() })?;
    let (version, ruleset) = (env!("CARGO_PKG_VERSION"), program.digest.short_hex());
    let identity =
        Identity { version: version.to_owned(), ruleset: ruleset.clone(), ..Identity::default() };
    let board = Arc::new(Board::new(1, identity));
    let health = Arc::new(Health::new(config.http.progress_timeout));
    let address = config.http.listen;
    let needs_approval = config.rules.activation == Activation::Approved;
    let laid = Laid { privacy: privacy.clone(), needs_approval, ..laid(config, &program, &inputs) };
    let (reloader, incoming) = Reloader::new(&config.rules.path, laid, Arc::clone(&board));
    let reloader = Arc::new(reloader);
    let _watch = reloader
        .watch(config.rules.watch_interval)
        .map_err(|error| RunError::Process { reason: error.to_string() })?;
    let answer = config.http.reload.then(|| reload_answer(Arc::clone(&reloader)));
    let token = config.http.token.as_deref().map(http::Token::read).transpose();
    let token = token.map_err(|reason| RunError::Process { reason })?;
    let views = (answer, token);
    let server =
        http::serve(address, Arc::clone(&board), Arc::clone(&health), views).map_err(|error| {
            RunError::Listen { address: address.to_string(), reason: error.to_string() }
        })?;
    let rules = ActiveRules::new(Arc::clone(&program));
    let setup = api::Setup {
        config,
        inputs: event_topics(config, &inputs),
        rules: rules.clone(),
        privacy: privacy.clone(),
        reloader: Some(reloader),
        books: Arc::clone(board.requests()),
    };
    let api = api::serve(setup)?;
    let addresses =
        Addresses { http: server.address(), api: api.as_ref().map(api::Server::address) };
    greet(console, (config, &digest), &inputs, &ruleset, addresses);
    let (settings, http) = (&config.digest.short_hex(), server.address());
    happening::Started { version, config: &digest, settings, ruleset: &ruleset, http }.emit();
    let options = engine_options(config);
    let mut engines = DecidingEngines::new(program, options)
        .following(incoming, Arc::clone(&board))
        .shown_in(rules)
        .backfilled(backfill)
        .keeping(privacy)
        .partitioned_by(config.kafka.partitioned_by.as_deref())
        .commanded_from(config.topics.commands.as_deref());
    notify::follow(Arc::clone(&health), stop.clone())
        .map_err(|error| RunError::Process { reason: error.to_string() })?;
    let views = Views { board, health, stop };
    runtime::run(config, &inputs, &mut engines, &views)
}

/// What cannot change while the service runs.
fn laid(config: &Config, program: &Program, inputs: &[String]) -> Laid {
    let spread = config.kafka.partitioned_by.as_ref().map(|entity| {
        let by_partition = foreign(program, entity).is_some_and(|foreign| foreign.is_empty());
        (entity.clone(), by_partition)
    });
    let events = event_topics(config, inputs);
    Laid { inputs: config.topics.inputs.is_none().then_some(events), spread, ..Laid::default() }
}

/// The topics that are read, but for that of commands.
fn event_topics(config: &Config, inputs: &[String]) -> Vec<String> {
    let mut events = inputs.to_vec();
    events.retain(|topic| Some(topic) != config.topics.commands.as_ref());
    events
}

/// Where the service listens.
#[derive(Clone, Copy)]
struct Addresses {
    http: SocketAddr,
    api: Option<SocketAddr>,
}

/// What is answered to whoever asks for a reload.
fn reload_answer(reloader: Arc<Reloader>) -> http::Reload {
    Arc::new(move |backfill| {
        let outcome = match backfill.map(backfill_from).transpose() {
            Ok(since) => reloader.ask(since),
            Err(reason) => Reload::Refused { reason },
        };
        let answer = |outcome: &str, ruleset: String, backfill: Option<Backfill>| {
            let (status, backfill) =
                (if outcome == "waiting" { 202 } else { 200 }, backfill.map(told));
            (status, json!({"outcome": outcome, "ruleset": ruleset, "backfill": backfill}))
        };
        match outcome {
            Reload::Taken { ruleset, backfill } => answer("taken", ruleset, backfill),
            Reload::Unchanged { ruleset, backfill } => answer("unchanged", ruleset, backfill),
            Reload::Waiting { ruleset, backfill } => answer("waiting", ruleset, backfill),
            Reload::Refused { reason } => (422, json!({"outcome": "refused", "reason": reason})),
        }
    })
}

/// From when on the past is to be read again.
pub(crate) fn backfill_from(text: &str) -> Result<Since, String> {
    Since::parse(text, SystemClock::start().wall_ms())
}

/// What is told of a backfill.
fn told(backfill: Backfill) -> Value {
    let Backfill::Planned(planned) = backfill else { return json!({"state": "waiting"}) };
    let Planned { since_ms, n_records, n_partitions, n_cut } = planned;
    json!({
        "state": if n_partitions == 0 { "nothing" } else { "reading" },
        "from": since_ms.map(format_rfc3339),
        "records": n_records,
        "partitions": n_partitions,
        "partitions_cut": n_cut,
    })
}

/// The start-up lines, one fact each.
fn greet(
    console: Console,
    (config, digest): (&Config, &str),
    inputs: &[String],
    ruleset: &str,
    Addresses { http, api }: Addresses,
) {
    if console.is_quiet() {
        return;
    }
    let mode = match config.delivery.mode {
        crate::config::DeliveryMode::Idempotent => "idempotent",
        crate::config::DeliveryMode::Transactional => "transactional",
    };
    let facts = [
        ("riskweir", env!("CARGO_PKG_VERSION").to_owned()),
        ("config", digest.to_owned()),
        ("rule set", format!("{ruleset} ({})", config.rules.path.display())),
        ("kafka", format!("{} as group {}", config.kafka.brokers.join(","), config.kafka.group_id)),
        ("reads", inputs.join(", ")),
        ("delivery", mode.to_owned()),
        ("metrics", format!("http://{http}/metrics")),
        ("health", format!("http://{http}/readyz")),
    ];
    let secure = if config.api.as_ref().is_some_and(|api| api.tls.is_some()) { "s" } else { "" };
    let api = api.map(|address| ("api", format!("http{secure}://{address}/v1/openapi.json")));
    for (name, fact) in api.into_iter().chain(facts) {
        console.message(&format!("{name:<9} {fact}"));
    }
}

fn log_settings(log: &Log, console: Console) -> log::Settings {
    let form = match log.format {
        LogFormat::Auto => None,
        LogFormat::Text => Some(log::Form::Text),
        LogFormat::Json => Some(log::Form::Json),
    };
    let level = match (console.is_quiet(), console.is_verbose()) {
        (true, _) => log::level("warn"),
        (_, true) => log::level("debug"),
        _ => log::level(&log.level),
    };
    let repeat_limit = (log.repeat_limit.count, log.repeat_limit.per);
    log::Settings { form, level, repeat_limit, color: console.color }
}

/// Shows why a run ended.
pub(crate) fn show(error: &RunError, console: Console) {
    console.problem(error.code().0, &error.to_string(), None, error.help().as_deref());
}

/// How a run that ended so exits.
pub(crate) fn exit(error: &RunError) -> Exit {
    match error {
        RunError::Unreachable { .. } | RunError::Refused { .. } | RunError::TopicMissing { .. } => {
            Exit::Unreachable
        }
        _ => Exit::Invalid,
    }
}
