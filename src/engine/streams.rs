//! The clocks: one per partition, the largest accepted event time, never the wall clock.

use crate::engine::options::EngineOptions;
use crate::engine::port::StreamId;

/// What the engine knows of one input partition.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Topic or file name.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Largest accepted event time; `None` before the first event.
    pub clock_ms: Option<i64>,
    /// Time of the first accepted event: windows that reach behind it are warming.
    pub began_ms: i64,
}

/// How an event stands to its partition's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timeliness {
    /// At or ahead of the clock.
    OnTime,
    /// Behind it, within the allowed lateness.
    Late,
    /// Behind by more.
    TooLate,
    /// Further ahead of its arrival than the guard allows.
    Future,
}

/// The result of placing an event on its partition's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// How it stands.
    pub timeliness: Timeliness,
    /// The clock after this event.
    pub clock_ms: i64,
    /// When the stream began.
    pub began_ms: i64,
}

/// All streams of an engine, by [`StreamId`].
#[derive(Clone, Debug, Default)]
pub struct Streams {
    streams: Vec<Stream>,
}

impl Streams {
    /// The id of a partition; the same for the same names.
    pub fn open(&mut self, topic: &str, partition: i32) -> StreamId {
        let found = self.streams.iter().position(|s| s.partition == partition && s.topic == topic);
        let index = found.unwrap_or_else(|| {
            let topic = topic.to_owned();
            self.streams.push(Stream { topic, partition, clock_ms: None, began_ms: 0 });
            self.streams.len() - 1
        });
        StreamId(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The stream of an id.
    ///
    /// # Panics
    /// Never for ids of these streams.
    pub fn get(&self, id: StreamId) -> &Stream {
        &self.streams[id.0 as usize]
    }

    /// All streams with their ids.
    pub fn iter(&self) -> impl Iterator<Item = (StreamId, &Stream)> {
        (0_u32..).map(StreamId).zip(&self.streams)
    }

    /// Places an event and moves the clock forward when it is accepted.
    pub fn place(
        &mut self,
        id: StreamId,
        time_ms: i64,
        arrival_ms: Option<i64>,
        options: &EngineOptions,
    ) -> Placement {
        let stream = &mut self.streams[id.0 as usize];
        let future = arrival_ms
            .is_some_and(|arrival| time_ms > arrival.saturating_add(options.future_guard_ms));
        if future {
            let clock_ms = stream.clock_ms.unwrap_or(i64::MIN);
            return Placement {
                timeliness: Timeliness::Future,
                clock_ms,
                began_ms: stream.began_ms,
            };
        }
        let clock_before = *stream.clock_ms.get_or_insert_with(|| {
            stream.began_ms = time_ms;
            time_ms
        });
        let lateness_ms = clock_before.saturating_sub(time_ms);
        let timeliness = match lateness_ms {
            ..=0 => Timeliness::OnTime,
            late if late <= options.allowed_lateness_ms => Timeliness::Late,
            _ => Timeliness::TooLate,
        };
        let clock_ms = clock_before.max(time_ms);
        stream.clock_ms = Some(clock_ms);
        Placement { timeliness, clock_ms, began_ms: stream.began_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(streams: &mut Streams, time_ms: i64, arrival_ms: Option<i64>) -> (Timeliness, i64) {
        let options =
            EngineOptions { allowed_lateness_ms: 100, future_guard_ms: 50, ..Default::default() };
        let id = streams.open("t", 0);
        let placement = streams.place(id, time_ms, arrival_ms, &options);
        (placement.timeliness, placement.clock_ms)
    }

    #[test]
    fn a_late_event_is_placed_but_does_not_move_the_clock() {
        let mut streams = Streams::default();
        assert_eq!(place(&mut streams, 1000, None), (Timeliness::OnTime, 1000));
        assert_eq!(place(&mut streams, 900, None), (Timeliness::Late, 1000));
        assert_eq!(place(&mut streams, 899, None), (Timeliness::TooLate, 1000));
        assert_eq!(place(&mut streams, 1001, None), (Timeliness::OnTime, 1001));
    }

    #[test]
    fn an_event_from_the_future_does_not_move_the_clock() {
        let mut streams = Streams::default();
        assert_eq!(place(&mut streams, 1000, Some(1000)), (Timeliness::OnTime, 1000));
        assert_eq!(place(&mut streams, 1051, Some(1000)), (Timeliness::Future, 1000));
        assert_eq!(place(&mut streams, 1050, Some(1000)), (Timeliness::OnTime, 1050));
    }
}
