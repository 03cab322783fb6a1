//! Episodes of alerts that ended by themselves are told, a few with each record.
//!
//! What the clock ends at once may be much: after a quiet night every episode of the evening. Each record tells at most
//! [`MOST_AT_ONCE`] of them, and opens fewer, so whatever waits is told soon. Decisions never wait for it.

use crate::decision::wire::SourceRef;
use crate::engine::emit;
use crate::engine::port::Sink;
use crate::engine::step::{Remembered, Setup};

/// Most ends that are told with one record.
const MOST_AT_ONCE: usize = 32;

/// Tells the next ends; `source` is the record with which they are told.
pub(super) fn tell(
    source: &SourceRef<'_>,
    (setup, remembered): (&Setup, &mut Remembered),
    body: &mut Vec<u8>,
    sink: &mut impl Sink,
) {
    for _ in 0..MOST_AT_ONCE {
        let Some(ended) = remembered.episodes.take_ended() else { return };
        remembered.counters.count_episode_end(ended.closed);
        emit::episode(&ended, (None, source.clone()), setup, body, sink);
        remembered.trail.add_bytes(body);
    }
}
