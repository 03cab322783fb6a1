//! What all requests share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};

use crate::api::commands::Verb;
use crate::api::jwt::Issuer;
use crate::api::known::Known;
use crate::api::limit::Limiter;
use crate::api::roles::Person;
use crate::api::store::Store;
use crate::api::streams::Streams;
use crate::api::tokens::Tokens;
use crate::api::waiters::Waiters;
use crate::base::digest::hex;
use crate::base::{Currency, Digest, Privacy};
use crate::config::{Config, Topics};
use crate::engine::EngineOptions;
use crate::event::mapping::Decoder;
use crate::rules::program::Program;
use crate::runtime::clock::{Clock as _, SystemClock};
use crate::runtime::{ActiveRules, Places, Post, Reloader};
use crate::telemetry::requests::RequestBooks;

/// Most questions at once that compile or decide something of their own.
pub(crate) const MAX_HEAVY: usize = 2;

/// How long the brokers may take to say how many partitions there are.
const PARTITIONS_LIMIT: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(crate) struct State {
    /// The configuration.
    pub(crate) config: Config,
    /// The keys of tokens in records.
    pub(crate) privacy: Privacy,
    /// Who is known.
    pub(crate) tokens: Tokens,
    /// Who else says who somebody is.
    pub(crate) issuer: Option<Issuer>,
    /// How often they may ask.
    pub(crate) limiter: Limiter,
    /// What counts requests.
    pub(crate) books: Arc<RequestBooks>,
    /// Largest body.
    pub(crate) max_body_bytes: usize,
    /// The read model.
    pub(crate) store: Store,
    /// Who waits for answers on topics.
    pub(crate) waiters: Waiters,
    /// Writes records.
    pub(crate) post: Post,
    /// The rule set that decides.
    pub(crate) rules: ActiveRules,
    /// Makes another one active, where that is possible.
    pub(crate) reloader: Option<Arc<Reloader>>,
    /// The rule folder.
    pub(crate) folder: PathBuf,
    /// Whether the rule folder is followed without being asked.
    pub(crate) is_followed: bool,
    /// Names of topics.
    pub(crate) topics: Topics,
    /// The topics of events.
    pub(crate) inputs: Vec<String>,
    /// The entity by which input records are spread.
    pub(crate) partitioned_by: Option<String>,
    /// How the engine decides.
    pub(crate) options: EngineOptions,
    /// Whether every decision is written.
    pub(crate) tells_all: bool,
    /// Above which amounts two people release.
    pub(crate) four_eyes_above: BTreeMap<Currency, i64>,
    /// What takes two people whatever the amount.
    pub(crate) four_eyes_for: BTreeSet<&'static str>,
    /// Whether answers on topics are heard.
    pub(crate) is_listening: AtomicBool,
    /// Whether the read model holds what the topics held when it began to follow them.
    pub(crate) has_caught_up: AtomicBool,
    /// Places for streams.
    pub(crate) streams: Streams,
    /// Places for questions that compile or decide something of their own.
    pub(crate) heavy: Arc<Semaphore>,
    /// Places for questions to the brokers about where topics end.
    pub(crate) asking: Arc<Semaphore>,
    /// Places for work that reads much of the log.
    pub(crate) aside: Arc<Semaphore>,
    /// Up to where the read model holds the topics.
    pub(crate) read_to: watch::Sender<Places>,
    /// The decoder of the rule set that was asked for last.
    pub(crate) decoder: Mutex<Option<(Digest, Arc<Decoder>)>>,
    /// Partitions of the topic of commands.
    pub(crate) n_command_partitions: Known,
}

impl State {
    /// Whether rule sets that two people let in are written into the rule folder.
    pub(crate) fn writes_rules(&self) -> bool {
        self.config.api.as_ref().is_some_and(|api| api.writes_rules)
    }

    /// Whether one person may do alone what takes two, loudly.
    pub(crate) fn lets_override(&self) -> bool {
        self.config.api.as_ref().is_some_and(|api| api.lets_override)
    }

    /// Whether a command takes two people, whatever it is about.
    pub(crate) fn is_for_two(&self, verb: Verb) -> bool {
        self.four_eyes_for.contains(verb.kind)
    }

    /// Whose token it is.
    pub(crate) fn person(&self, token: &str) -> Option<Person> {
        let of_issuer = || self.issuer.as_ref()?.person(token);
        self.tokens.person(token, now_ms()).or_else(of_issuer)
    }

    /// The active rule set with its decoder.
    pub(crate) fn schema(&self) -> (Arc<Program>, Arc<Decoder>) {
        let program = self.rules.get();
        let mut kept = self.decoder.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((digest, decoder)) = kept.as_ref()
            && *digest == program.digest
        {
            return (program, Arc::clone(decoder));
        }
        let decoder = Arc::new(Decoder::new(&program.schema, self.options.limits()));
        *kept = Some((program.digest, Arc::clone(&decoder)));
        (program, decoder)
    }

    /// How many partitions the topic of commands has; none where the brokers do not answer now.
    pub(crate) fn n_command_partitions(&self, topic: &str) -> Option<usize> {
        let ask = || self.post.partitions(topic, PARTITIONS_LIMIT);
        self.n_command_partitions.get(Instant::now(), ask)
    }

    /// A partition of the topic of commands, if it has that many; else the key chooses.
    pub(crate) fn command_partition(&self, topic: &str, number: Option<i32>) -> Option<i32> {
        let number = number?;
        let n_partitions = self.n_command_partitions(topic)?;
        (usize::try_from(number).ok()? < n_partitions).then_some(number)
    }

    /// Whether answers on topics are heard.
    pub(crate) fn is_listening(&self) -> bool {
        self.is_listening.load(Ordering::Acquire)
    }
}

/// How late it is, ms since 1970.
pub(crate) fn now_ms() -> i64 {
    SystemClock::start().wall_ms()
}

/// So many random bytes as hexadecimal digits.
pub(crate) fn random_hex(n_bytes: usize) -> String {
    let mut bytes = vec![0_u8; n_bytes];
    if getrandom::fill(&mut bytes).is_err() {
        // WHY: these name requests and are no secret; a clock serves where the system has no random numbers.
        let now = now_ms().to_be_bytes();
        bytes.iter_mut().zip(now.iter().cycle()).for_each(|(byte, from)| *byte = *from);
    }
    hex(&bytes)
}
