//! Sends the traffic at an even rate, and tells the tally before each record leaves.

use std::thread;
use std::time::{Duration, Instant};

use crate::cli::demo::{Arguments, MOST_OPEN, Shared, view::lock};
use crate::cli::generate::{Pace, TOPICS, traffic, until_event_time};
use crate::config::Config;
use crate::demo::traffic::TrafficEvent;
use crate::runtime::{Feed, RunError};

/// How long the last records may take.
const LAST_RECORDS: Duration = Duration::from_secs(10);

/// How far event time goes on beyond a payment whose decision was not read, in ms: less than the shortest time for a second
/// factor in the shipped rules, so that customers answer in time at any rate.
const FURTHEST_MS: i64 = 4 * 60_000;

/// How long a decision is waited for.
const LONGEST: Duration = Duration::from_secs(5);

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
        let may_go = || has_room(shared) && is_near(shared, event.time_ms);
        if !until_event_time(&event, &shared.stop) || !until(shared, may_go) {
            break;
        }
        for answer in answers(shared, began) {
            feed.send(answer.topic, answer.key.as_bytes(), &answer.body)?;
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

/// Whether the decisions about all that lies [`FURTHEST_MS`] before this time were read. One that stays away is no longer
/// waited for after [`LONGEST`].
fn is_near(shared: &Shared, time_ms: i64) -> bool {
    let mut tally = lock(&shared.tally);
    let is_near = |oldest_ms: i64| time_ms.saturating_sub(oldest_ms) <= FURTHEST_MS;
    while let Some(open) = tally.oldest_open() {
        if is_near(open.time_ms) {
            return true;
        }
        if open.sent_at.elapsed() < LONGEST {
            return false;
        }
        tally.give_up_oldest();
    }
    true
}

/// What customers have answered since, and goes out now.
fn answers(shared: &Shared, began: Instant) -> Vec<TrafficEvent> {
    let mut tally = lock(&shared.tally);
    let answers: Vec<TrafficEvent> = tally.to_send.drain(..).collect();
    for answer in &answers {
        tally.replies += 1;
        tally.on_sent(answer, began.elapsed());
    }
    answers
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
