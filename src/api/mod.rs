//! The HTTP service: what people and programs see of decisions, and how they ask for something.
//!
//! It stands beside the decision path and never in it. What it does becomes a record on an input topic and is decided like any
//! other, so HTTP and Kafka share one log and one state; what it shows comes from the output topics, by a read model of its own
//! ([`store`]). Nothing here holds a lock that a cell waits for.
//!
//! One table ([`table`]) says for each route who may call it, what it takes and answers; the router, the checks and the
//! published document are made of it. Everything is refused that the table does not allow ([`dispatch`]).
//!
//! Start reading at [`serve`], then [`dispatch`], [`table`], [`commands`].

mod access;
mod acts;
mod answer;
mod archive;
mod aside;
mod call;
mod commands;
mod dispatch;
mod follow;
mod fresh;
mod jwt;
mod known;
mod limit;
pub mod openapi;
pub mod problem;
mod query;
mod reach;
mod records;
pub mod roles;
mod route;
mod server;
mod state;
mod store;
mod streams;
mod table;
mod tls;
pub mod tokens;
mod waiters;

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, watch};

use crate::api::aside::MAX_ASIDE;
use crate::api::follow::Threads;
use crate::api::fresh::MAX_ASKING;
use crate::api::jwt::Issuer;
use crate::api::known::Known;
use crate::api::limit::Limiter;
use crate::api::server::Listener;
use crate::api::state::{MAX_HEAVY, State};
use crate::api::store::Store;
use crate::api::streams::Streams;
use crate::api::tls::Tls;
use crate::api::tokens::Tokens;
use crate::api::waiters::Waiters;
use crate::base::Privacy;
use crate::config::Config;
use crate::engine::DecisionsWanted;
use crate::runtime::{ActiveRules, Post, Reloader, RunError, engine_options};
use crate::telemetry::api as happening;
use crate::telemetry::requests::RequestBooks;

pub use crate::api::table::{Listed, listed};

/// What the service stands on.
#[derive(Debug)]
pub struct Setup<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// The topics of events.
    pub inputs: Vec<String>,
    /// The rule set that decides.
    pub rules: ActiveRules,
    /// The keys of tokens, for whoever derives a decision again.
    pub privacy: Privacy,
    /// Makes another one active, where that is possible.
    pub reloader: Option<Arc<Reloader>>,
    /// What counts requests.
    pub books: Arc<RequestBooks>,
}

/// The running service. It stops when this is dropped.
#[derive(Debug)]
pub struct Server {
    // INVARIANT: dropped first, so that nobody asks a service without its threads.
    listener: Listener,
    _threads: Threads,
}

impl Server {
    /// The address that is bound.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }
}

/// Starts the service; it listens when this returns. None where the configuration has none.
///
/// # Errors
/// Tokens, certificate, read model or address cannot be used.
pub fn serve(setup: Setup<'_>) -> Result<Option<Server>, RunError> {
    let config = setup.config;
    let Some(api) = config.api.as_ref() else { return Ok(None) };
    let process = |reason: String| RunError::Process { reason };
    let tokens = Tokens::open(api.tokens.as_deref()).map_err(process)?;
    let issuer = api.jwt.as_ref().map(Issuer::open).transpose().map_err(process)?;
    let tls = api.tls.as_ref().map(Tls::open).transpose().map_err(process)?;
    let store = Store::open(api.store.as_deref()).map_err(process)?;
    let options = engine_options(config);
    let state = Arc::new(State {
        config: config.clone(),
        privacy: setup.privacy,
        tokens,
        issuer,
        limiter: Limiter::new(api.rate_limit),
        books: setup.books,
        max_body_bytes: api.max_body_bytes,
        store,
        waiters: Waiters::default(),
        post: Post::open(config)?,
        rules: setup.rules,
        reloader: setup.reloader,
        folder: config.rules.path.clone(),
        is_followed: !config.rules.watch_interval.is_zero(),
        topics: config.topics.clone(),
        inputs: setup.inputs,
        partitioned_by: config.kafka.partitioned_by.clone(),
        options,
        tells_all: options.decisions == DecisionsWanted::All,
        four_eyes_above: api.four_eyes_above.clone(),
        four_eyes_for: api.four_eyes_for.clone(),
        is_listening: AtomicBool::new(false),
        has_caught_up: AtomicBool::new(false),
        streams: Streams::default(),
        heavy: Arc::new(Semaphore::new(MAX_HEAVY)),
        asking: Arc::new(Semaphore::new(MAX_ASKING)),
        aside: Arc::new(Semaphore::new(MAX_ASIDE)),
        read_to: watch::Sender::default(),
        decoder: Mutex::new(None),
        n_command_partitions: Known::default(),
    });
    let threads = Threads::start(&state, config).map_err(|error| process(error.to_string()))?;
    let listener = Listener::open(api.listen, tls, state).map_err(|error| RunError::Listen {
        address: api.listen.to_string(),
        reason: error.to_string(),
    })?;
    if api.is_plaintext_exposed {
        happening::ApiPlaintext { address: listener.address() }.emit();
    }
    if api.tokens.is_none() && api.jwt.is_none() {
        happening::ApiWithoutTokens.emit();
    }
    Ok(Some(Server { listener, _threads: threads }))
}
