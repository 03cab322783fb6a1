//! The running service: a cell between Kafka and the engine, started, watched and stopped in order.
//!
//! A *cell* is one thread that owns a consumer, a producer and an engine: poll, step, write, commit after effect. It
//! talks to the message log through the port [`log`]; [`kafka`] answers it and is the one home of the client library.
//! Start reading at [`run`], then [`cell`].

mod answered;
pub mod audited;
pub mod backfill;
mod cell;
mod checkpoint;
pub mod clock;
mod continuity;
mod decide;
mod delivery;
mod early;
mod epochs;
pub mod error;
mod kafka;
pub mod log;
mod note;
pub mod port;
pub mod privacy;
mod recovery;
pub mod rederive;
pub mod reload;
mod replay;
mod rulesets;
mod shard;
mod standing;
pub mod stop;
mod trace;
pub mod vault;

use std::sync::Arc;
use std::time::Duration;

pub use backfill::{Planned, Since};
pub use decide::{Deciding, engine_options};
pub use error::RunError;
pub use kafka::feed::Feed;
pub use kafka::follow::{Followed, Follower, Places};
pub use kafka::inspect::{Cluster, TopicFacts};
pub use kafka::mock::EmbeddedBroker;
pub use kafka::post::{Fate, Letter, Post, Unwritten};
pub use kafka::topics::{Unfit, is_compacted, takes_any_stamp};
pub use kafka::watch::{Seen, Watch};
pub use port::{Engines, Input, News, Output, OutputTopic, Spread, Step};
pub use privacy::{kept_private, privacy, token_key};
pub use rederive::{Tail, read_record, read_topic};
pub use reload::{Approved, Backfill, Laid, Reload, Reloader, Told};
pub use rulesets::{ActiveRules, Asked, Became, DecidingEngines, Wish};
pub use standing::{Standing, standing};
pub use stop::{Stop, outlive_file_limits};

use crate::config::{Config, DeliveryMode};
use crate::durable;
use crate::runtime::cell::Cell;
use crate::runtime::clock::{Clock, SystemClock};
use crate::runtime::delivery::Delivery;
use crate::runtime::delivery::idempotent::Idempotent;
use crate::runtime::delivery::transactional::Transactional;
use crate::runtime::kafka::{Kafka, topics};
use crate::runtime::log::Log;
use crate::runtime::vault::{Place, Vault};
use crate::telemetry::board::Board;
use crate::telemetry::books::Books;
use crate::telemetry::health::Health;
use crate::telemetry::{exposed, happening};

/// How long the first answer of the brokers may take.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// What a run shows to the outside.
#[derive(Clone, Debug)]
pub struct Views {
    /// Where the cell publishes its books.
    pub board: Arc<Board>,
    /// Where it shows that it makes progress.
    pub health: Arc<Health>,
    /// How it is told to stop.
    pub stop: Stop,
}

/// What a run stands on: a log, a clock, and a place for snapshots if there is one.
#[derive(Debug)]
pub struct World<'a, L> {
    /// Where records come from and go to.
    pub log: &'a L,
    /// For waits and intervals.
    pub clock: &'a dyn Clock,
    /// Where snapshots lie.
    pub vault: Option<&'a dyn Vault>,
}

impl<L> Clone for World<'_, L> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<L> Copy for World<'_, L> {}

/// Reads the input topics, steps the engine, writes outputs and commits, until asked to stop.
///
/// `engines` makes an engine with empty windows, or with those of a snapshot; it is asked again when the windows must be
/// rebuilt because the group committed something else than they hold. Returns the final books.
///
/// # Errors
/// The run cannot start or cannot go on. What was not committed is decided again by the next run.
pub fn run<E: Engines>(
    config: &Config,
    inputs: &[String],
    engines: &mut E,
    views: &Views,
) -> Result<Books, RunError> {
    warn_of_plaintext(config);
    warn_of_weak_settings(config);
    topics::check(config, inputs, FIRST_ANSWER, &views.stop)?;
    for (topic, unfit) in unfit(config, inputs)? {
        match unfit {
            Unfit::Compacted => happening::InputCompacted { topic: &topic }.emit(),
            Unfit::ProducerStamps => {
                let brokers = config.kafka.brokers.join(",");
                happening::InputStampedByProducers { topic: &topic }.emit(&brokers);
            }
        }
    }
    let place = config.snapshot.dir.as_deref().map(Place::new);
    let vault = place.as_ref().map(|place| place as &dyn Vault);
    let (log, clock) = (Kafka::new(config), SystemClock::start());
    run_on(config, inputs, World { log: &log, clock: &clock, vault }, engines, views)
}

/// The same on any log, with any clock: the whole service but for the client of Kafka.
///
/// # Errors
/// As [`run`].
pub fn run_on<E: Engines, L: Log>(
    config: &Config,
    inputs: &[String],
    world: World<'_, L>,
    engines: &mut E,
    views: &Views,
) -> Result<Books, RunError> {
    let mut books = Books::default();
    let delivery: Box<dyn Delivery<L::Source> + '_> = match config.delivery.mode {
        DeliveryMode::Idempotent => {
            let joined = engines.spread() != Spread::ByPartition || inputs.len() > 1;
            Box::new(Idempotent::new(config, world.log.writer()?, world.clock, joined))
        }
        DeliveryMode::Transactional => {
            let around = (&views.stop, &*views.health);
            Box::new(Transactional::open(config, world.log, around, &mut books)?)
        }
    };
    let source = world.log.source(inputs)?;
    Cell::new(config, world, source, delivery, engines, (views, books, inputs))?.run()
}

/// Checks what can be checked on this machine alone: the client takes its settings, and snapshots can be kept where the
/// configuration says. Leaves nothing behind and asks nobody.
///
/// # Errors
/// What [`run`] would end with.
pub fn check_offline(config: &Config) -> Result<(), RunError> {
    kafka::client::check(config)?;
    cell::check_key(config)?;
    let place = config.snapshot.dir.as_deref();
    place.map_or(Ok(()), durable::check).map_err(|error| RunError::of_snapshots(&error.into()))
}

/// Checks that there is room for snapshots where the configuration says. A run starts without: its snapshots fail then, and
/// one that nobody decided before waits for room.
///
/// # Errors
/// There is none, or it cannot be used.
pub fn check_room(config: &Config) -> Result<(), RunError> {
    let place = config.snapshot.dir.as_deref();
    place.map_or(Ok(()), durable::check_room).map_err(|error| RunError::of_snapshots(&error.into()))
}

/// Checks that the brokers answer and every topic exists, within `limit`.
///
/// # Errors
/// What is missing or refused.
pub fn check_connection(
    config: &Config,
    inputs: &[String],
    limit: Duration,
) -> Result<(), RunError> {
    topics::check(config, inputs, limit, &Stop::new(limit))
}

/// Checks that the brokers answer and these topics exist, within `limit`.
///
/// # Errors
/// What is missing or refused.
pub fn check_topics(config: &Config, names: &[&str], limit: Duration) -> Result<(), RunError> {
    topics::check_each(config, names, limit, &Stop::new(limit))
}

/// What the brokers say of themselves, of these topics and of the group; each question takes `limit` at most.
///
/// # Errors
/// The brokers do not answer.
pub fn inspect(config: &Config, names: &[&str], limit: Duration) -> Result<Cluster, RunError> {
    kafka::inspect::inspect(config, names, limit)
}

/// Which input topics are not as they should be, as far as the brokers say.
///
/// # Errors
/// One takes the producers' clocks for the arrival of records, or the brokers do not say whether it does, and
/// `time.producer_stamps` is `refuse`.
pub fn unfit(config: &Config, inputs: &[String]) -> Result<Vec<(String, Unfit)>, RunError> {
    let (found, untold) = topics::unfit(config, inputs);
    if config.time.refuses_producer_stamps {
        let stamped = found.iter().filter(|(_, unfit)| *unfit == Unfit::ProducerStamps);
        let stamped: Vec<String> = stamped.map(|(topic, _)| topic.clone()).collect();
        let (topics, told) = if stamped.is_empty() { (untold, false) } else { (stamped, true) };
        if !topics.is_empty() {
            let brokers = config.kafka.brokers.join(",");
            return Err(RunError::ProducerStamps { topics: topics.join("`, `"), told, brokers });
        }
    }
    Ok(found)
}

/// Settings that are taken and weaken what they are about: name, value, what it lets happen.
const WEAK: &[(&str, &str, &str)] = &[
    (
        "ssl.endpoint.identification.algorithm",
        "none",
        "a certificate of any other name passes for the broker's",
    ),
    (
        "enable.sasl.oauthbearer.unsecure.jwt",
        "true",
        "tokens are not signed: for tests, with a broker that takes anybody",
    ),
];

fn warn_of_weak_settings(config: &Config) {
    for (setting, value, lets) in WEAK {
        let is_it =
            |(name, said): &(String, String)| name == setting && said.eq_ignore_ascii_case(value);
        if config.kafka.rdkafka.iter().any(is_it) {
            exposed::WeakSetting { setting, lets }.emit();
        }
    }
}

fn warn_of_plaintext(config: &Config) {
    if config.kafka.security.protocol.ends_with("plaintext") {
        let local = |broker: &&String| {
            ["127.", "localhost:", "[::1]:"].iter().any(|start| broker.starts_with(start))
        };
        for broker in config.kafka.brokers.iter().filter(|broker| !local(broker)) {
            exposed::PlaintextBeyondLoopback { broker }.emit();
        }
    }
}
