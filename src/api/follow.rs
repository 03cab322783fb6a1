//! The two threads that read output topics: one feeds the read model, one tells those who wait for an answer.
//!
//! They are apart so that whoever waits does not wait for a read model that is being made anew. Neither is a member of a
//! group, and the decision path knows of neither. What fails is tried again, and the log says so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::api::archive::Keeper;
use crate::api::fresh::has_reached;
use crate::api::state::{State, now_ms};
use crate::api::store::{Answer, Kind, Store};
use crate::config::{Config, Topics};
use crate::decision::command::Act;
use crate::runtime::{Approved, Followed, Follower, Places, RunError, Told};
use crate::telemetry::api as happening;

/// Most records in one SQLite transaction.
const BATCH: usize = 1_000;

/// How long one wait for records lasts: so long a stop may take.
const WAIT: Duration = Duration::from_millis(100);

/// After so many waits in vain there is nothing more to read.
const QUIET: u32 = 20;

/// How long to wait before what failed is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// How often what is too old is let go.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The threads. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Threads {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts both.
    ///
    /// # Errors
    /// The system has no thread.
    pub(crate) fn start(state: &Arc<State>, config: &Config) -> std::io::Result<Self> {
        let is_over = Arc::new(AtomicBool::new(false));
        let retention = config.api.as_ref().map(|api| api.retention).unwrap_or_default();
        let retention_ms = i64::try_from(retention.as_millis()).unwrap_or(i64::MAX);
        let context = || (Arc::clone(state), config.clone(), Arc::clone(&is_over));
        let (model, answers) = (context(), context());
        let threads = vec![
            thread::Builder::new().name("api-model".to_owned()).spawn(move || {
                let (state, config, is_over) = model;
                again_and_again(&is_over, "feed the read model", || {
                    feed(&state, &config, &is_over, retention_ms)
                });
            })?,
            thread::Builder::new().name("api-answers".to_owned()).spawn(move || {
                let (state, config, is_over) = answers;
                again_and_again(&is_over, "listen to answers", || {
                    let heard = listen(&state, &config, &is_over);
                    state.is_listening.store(false, Ordering::Release);
                    heard
                });
            })?,
        ];
        Ok(Self { is_over, threads })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        for thread in self.threads.drain(..) {
            // WHY: a thread that has ended otherwise has said why.
            _ = thread.join();
        }
    }
}

fn again_and_again(
    is_over: &AtomicBool,
    attempted: &'static str,
    mut work: impl FnMut() -> Result<(), String>,
) {
    while !is_over.load(Ordering::Acquire) {
        if let Err(error) = work() {
            happening::ApiFailed { attempted, error: &error }.emit();
            let until = Instant::now() + AGAIN;
            while Instant::now() < until && !is_over.load(Ordering::Acquire) {
                thread::park_timeout(WAIT);
            }
        }
    }
}

fn words(error: &RunError) -> String {
    error.to_string()
}

/// The output topics with their kinds.
pub(crate) fn outputs(topics: &Topics) -> [(Kind, &str); 5] {
    [
        (Kind::Decision, &topics.decisions),
        (Kind::Alert, &topics.alerts),
        (Kind::Hold, &topics.holds),
        (Kind::Audit, &topics.audit),
        (Kind::DeadLetter, &topics.dead_letter),
    ]
}

fn kind_of(topics: &Topics, topic: &str) -> Option<Kind> {
    outputs(topics).into_iter().find(|(_, name)| *name == topic).map(|(kind, _)| kind)
}

fn feed(
    state: &State,
    config: &Config,
    is_over: &AtomicBool,
    retention_ms: i64,
) -> Result<(), String> {
    let store = &state.store;
    let most_bytes = config.api.as_ref().and_then(|api| api.store_bytes);
    let mut follower = open(store, config)?;
    let ends = follower.ends().map_err(|error| words(&error))?;
    let mut keeper = Keeper::default();
    let mut swept: Option<Instant> = None;
    let mut n_empty = 0_u32;
    while !is_over.load(Ordering::Acquire) {
        let read_to = follower.read_to();
        // WHY: behind the end of a Kafka transaction that hangs nothing comes for a while, and nothing is lacking.
        if n_empty >= QUIET || has_reached(&read_to, &ends) {
            state.has_caught_up.store(true, Ordering::Release);
        }
        // INVARIANT: what was read up to here is in the read model.
        state.read_to.send_if_modified(|known| {
            let is_news = *known != read_to;
            *known = read_to;
            is_news
        });
        keeper.note(store, &state.rules.get()).map_err(|error| error.to_string())?;
        let batch = batch(&mut follower, &config.topics)?;
        n_empty = if batch.is_empty() { n_empty.saturating_add(1) } else { 0 };
        if !batch.is_empty() {
            store.take(&batch).map_err(|error| error.to_string())?;
            keep_within(state, most_bytes).map_err(|error| error.to_string())?;
            hear_approvals(state, &batch);
        }
        if swept.is_none_or(|swept| swept.elapsed() >= SWEEP_EVERY) {
            let before_ms = now_ms().saturating_sub(retention_ms);
            let is_more = store.sweep(before_ms).map_err(|error| error.to_string())?;
            swept = if is_more { None } else { Some(Instant::now()) };
        }
    }
    Ok(())
}

/// What people let in through one instance is let in by all; whoever has it in their folder makes it active.
fn hear_approvals(state: &State, batch: &[(Kind, Followed)]) {
    let Some(reloader) = &state.reloader else { return };
    let has_caught_up = state.has_caught_up.load(Ordering::Acquire);
    let told = if has_caught_up { Told::Now } else { Told::Before };
    for (_, record) in batch.iter().filter(|(kind, _)| *kind == Kind::Audit) {
        if let Some(digest) = let_in(&record.body) {
            reloader.approve(Approved { digest, at_ms: record.logged_ms }, told);
        }
    }
}

/// The rule set of an entry of the audit trail that says that people let one in.
fn let_in(body: &[u8]) -> Option<String> {
    let told: Value = serde_json::from_slice(body).ok()?;
    let of = |path: &str| told.pointer(path).and_then(Value::as_str).unwrap_or_default();
    let acts = [Act::RulesActivated, Act::RulesAccepted].map(Act::as_str);
    let is_it = acts.contains(&of("/command/act")) && of("/command/result") == "done";
    is_it.then(|| of("/command/about").to_owned())
}

/// Keeps the read model within its bytes, and says how many there are.
fn keep_within(state: &State, most_bytes: Option<u64>) -> Answer<()> {
    let (gone, bytes) = match most_bytes {
        Some(most) => state.store.bound(most)?,
        None => (0, state.store.bytes()?),
    };
    state.books.stored(bytes, gone);
    Ok(())
}

/// Goes on where the read model stands; makes it anew where a topic is not the one that it was made of.
fn open(store: &Store, config: &Config) -> Result<Follower, String> {
    let topics = outputs(&config.topics).map(|(_, name)| name);
    let places = store.places().map_err(|error| error.to_string())?;
    let follower = Follower::open(config, &topics, &places).map_err(|error| words(&error))?;
    let Some((topic, partition)) = follower.shorter().map_err(|error| words(&error))? else {
        return Ok(follower);
    };
    happening::ApiModelRenewed { topic: &topic, partition }.emit();
    store.renew().map_err(|error| error.to_string())?;
    Follower::open(config, &topics, &Places::new()).map_err(|error| words(&error))
}

fn batch(follower: &mut Follower, topics: &Topics) -> Result<Vec<(Kind, Followed)>, String> {
    let mut batch = Vec::new();
    let mut wait = WAIT;
    while batch.len() < BATCH {
        let Some(record) = follower.poll(wait).map_err(|error| words(&error))? else { break };
        wait = Duration::ZERO;
        if let Some(kind) = kind_of(topics, &record.topic) {
            batch.push((kind, record));
        }
    }
    Ok(batch)
}

fn listen(state: &State, config: &Config, is_over: &AtomicBool) -> Result<(), String> {
    let topics = &config.topics;
    let heard = [&*topics.decisions, &*topics.audit, &*topics.dead_letter];
    let ends = Follower::open(config, &heard, &Places::new())
        .and_then(|follower| follower.ends())
        .map_err(|error| words(&error))?;
    let mut follower = Follower::open(config, &heard, &ends).map_err(|error| words(&error))?;
    state.is_listening.store(true, Ordering::Release);
    while !is_over.load(Ordering::Acquire) {
        let Some(record) = follower.poll(WAIT).map_err(|error| words(&error))? else { continue };
        if let Some(kind) = kind_of(topics, &record.topic) {
            state.waiters.tell(kind, &record);
        }
    }
    Ok(())
}
