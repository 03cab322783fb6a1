//! Sends the traffic at an even rate, and tells the tally before each record leaves.

use std::thread;
use std::time::{Duration, Instant};

use crate::cli::demo::{Arguments, MOST_OPEN, Shared, view::lock};
use crate::cli::generate::{Pace, TOPICS, traffic, until_event_time};
use crate::config::Config;
use crate::runtime::{Feed, RunError};

/// How long the last records may take.
const LAST_RECORDS: Duration = Duration::from_secs(10);

/// How long one look at readiness or at open answers is put off.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// Waits until the cell is ready, then sends until the time is over or somebody stops it.
pub(super) fn feed(
    config: &Config,
    inputs: &[String],
    arguments: &Arguments,
    shared: &Shared,
) -> Result<(), RunError> {
    let is_read = |topic: &str| inputs.iter().any(|input| input == topic);
    let topics: Vec<&str> = TOPICS.into_iter().filter(|topic| is_read(topic)).collect();
    let feed = Feed::open(config, &topics, &shared.stop)?;
    if !until(shared, || shared.health.ready().iter().all(|check| check.ok)) {
        return Ok(());
    }
    let mut pace = Pace::new(arguments.rate);
    let began = *shared.began.get_or_init(Instant::now);
    pace.restart();
    for event in traffic(arguments.seed).filter(|event| is_read(event.topic)) {
        if arguments.length.is_some_and(|length| pace.is_over(length)) {
            break;
        }
        let Some(due) = pace.wait(&shared.stop) else { break };
        if !until_event_time(&event, &shared.stop) || !until(shared, || has_room(shared)) {
            break;
        }
        lock(&shared.tally).on_sent(&event, due.saturating_duration_since(began));
        feed.send(event.topic, event.key.as_bytes(), &event.body)?;
    }
    feed.finish(LAST_RECORDS)?;
    Ok(())
}

fn has_room(shared: &Shared) -> bool {
    let tally = lock(&shared.tally);
    tally.sent.saturating_sub(tally.answered()) < MOST_OPEN
}

/// Whether it came true before somebody asked to stop.
fn until(shared: &Shared, mut is_so: impl FnMut() -> bool) -> bool {
    loop {
        if is_so() {
            return true;
        }
        if shared.stop.requested() {
            return false;
        }
        thread::park_timeout(LOOK_AGAIN);
    }
}
