//! Whether the read model holds what the log holds: what it lacks may only not have been read yet.
//!
//! The read model says up to where it was read; the brokers say where the topics end. Only where the first has reached the
//! second there is no such thing. Asking the brokers takes a round trip, so few ask at once, and only for what was not found.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::api::follow::outputs;
use crate::api::problem::{NOT_FOUND, NOT_READY, Problem};
use crate::api::state::State;
use crate::api::store::{Answer, Connection, Kind};
use crate::runtime::Places;

/// How long somebody waits for the read model to come to where the log was when they asked.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// Most who ask the brokers at once.
pub(crate) const MAX_ASKING: usize = 4;

/// Finds something that records of a kind tell of. What is not there is looked for again when the read model holds all that the
/// log held when it was asked for.
///
/// # Errors
/// There is none (404), or nobody can tell yet (503).
pub(crate) async fn find<T: Send + 'static>(
    state: &Arc<State>,
    kind: Kind,
    what: &str,
    question: impl Fn(&Connection) -> Answer<Option<T>> + Clone + Send + 'static,
) -> Result<T, Problem> {
    if let Some(found) = state.store.ask(question.clone()).await? {
        return Ok(found);
    }
    catch_up(state, kind, PATIENCE).await?;
    let found = state.store.ask(question).await?;
    found.ok_or_else(|| Problem::new(NOT_FOUND, format!("there is no {what} of this id")))
}

/// Waits until the read model holds what the topic of a kind holds now.
///
/// # Errors
/// It does not within `limit`, or nobody can tell.
pub(crate) async fn catch_up(
    state: &Arc<State>,
    kind: Kind,
    limit: Duration,
) -> Result<(), Problem> {
    let until = Instant::now() + limit;
    let unknown =
        || Problem::new(NOT_READY, "the read model is behind the log, or nobody can tell");
    let Ok(place) = Arc::clone(&state.asking).try_acquire_owned() else { return Err(unknown()) };
    let outputs = outputs(&state.topics).into_iter().find(|(it, _)| *it == kind);
    let topic = outputs.map(|(_, topic)| topic.to_owned()).unwrap_or_default();
    let mut read_to = state.read_to.subscribe();
    // WHY: a read model that has just begun to read knows of no partition yet.
    let known = tokio::time::timeout(limit, read_to.wait_for(|places| !places.is_empty()));
    let numbers: Vec<i32> = match known.await {
        Ok(Ok(places)) => places.keys().filter(|it| it.0 == topic).map(|it| it.1).collect(),
        _ => return Err(unknown()),
    };
    let shared = Arc::clone(state);
    let ends = tokio::task::spawn_blocking(move || {
        let ends = shared.post.ends(&topic, &numbers, limit);
        drop(place);
        ends
    });
    let ends = ends.await.ok().flatten().ok_or_else(unknown)?;
    let left = until.saturating_duration_since(Instant::now());
    let reached = read_to.wait_for(|places| has_reached(places, &ends));
    match tokio::time::timeout(left, reached).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(unknown()),
    }
}

/// Whether all that stood before these ends was read.
pub(crate) fn has_reached(places: &Places, ends: &Places) -> bool {
    ends.iter().all(|(place, end)| places.get(place).copied().unwrap_or(0) >= *end)
}
