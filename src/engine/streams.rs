//! The clocks: one per partition, the largest accepted event time, never the wall clock.

use crate::decision::wire::SourceRef;
use crate::engine::options::EngineOptions;

/// The names of one input partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Topic or file name.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Its clock.
    pub clock: ClockId,
    /// What its records are.
    pub carries: Carries,
}

impl Source {
    /// One of its records, as outputs name it.
    pub(super) fn at(&self, offset: i64) -> SourceRef<'_> {
        SourceRef { topic: &self.topic, partition: self.partition, offset }
    }
}

/// What the records of a partition are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// Events, which rules judge.
    Events,
    /// Commands of people and services; its clock never moves.
    Commands,
}

/// Events of other partitions after which a silent one may be idle.
///
/// WHY: whoever reads what several partitions hold gets long runs of one and then of another, and hours lie in each. This
/// is more than a client has fetched ahead.
const IDLE_EVENTS: u64 = 100_000;

/// Index of a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClockId(pub u32);

/// The clock of one input partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clock {
    /// Largest accepted event time; `None` before the first event.
    pub now_ms: Option<i64>,
    /// Time of the first accepted event: windows that reach behind it are warming.
    pub began_ms: i64,
    /// Where the clock furthest ahead stood when this partition last had an event.
    pub heard_ms: i64,
    /// The number of that event among those of all partitions.
    pub heard_at: u64,
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

/// The clocks of all partitions, by [`ClockId`].
#[derive(Clone, Debug, Default)]
pub struct Clocks {
    clocks: Vec<Clock>,
    /// Events that were placed.
    placed: u64,
}

impl Clocks {
    /// Adds the clock of one more partition.
    pub fn add(&mut self) -> ClockId {
        self.clocks.push(Clock::default());
        ClockId(u32::try_from(self.clocks.len() - 1).unwrap_or(u32::MAX))
    }

    /// These clocks.
    pub fn of(clocks: Vec<Clock>) -> Self {
        let placed = clocks.iter().map(|clock| clock.heard_at).max().unwrap_or(0);
        Self { clocks, placed }
    }

    /// All clocks, by their number.
    pub fn all(&self) -> &[Clock] {
        &self.clocks
    }

    /// The clock furthest ahead.
    pub fn furthest_ms(&self) -> Option<i64> {
        self.clocks.iter().filter_map(|clock| clock.now_ms).max()
    }

    /// One clock.
    ///
    /// # Panics
    /// Never for ids of these clocks.
    pub fn get(&self, id: ClockId) -> &Clock {
        &self.clocks[id.0 as usize]
    }

    /// The instant by which state is forgotten: the clock of the partition furthest behind, however far that is. An idle
    /// partition does not count, or it would keep state for ever: one without an event while the furthest clock moved
    /// on by more than `idle_ms`, and [`IDLE_EVENTS`] others came. It goes back when a partition that lags is heard for
    /// the first time or again.
    ///
    /// # Cost
    /// Linear in the number of partitions.
    pub fn state_clock_ms(&self, idle_ms: i64) -> i64 {
        let furthest_ms = self.furthest_ms().unwrap_or(i64::MIN);
        let active = self.clocks.iter().filter(|clock| {
            clock.heard_ms >= furthest_ms.saturating_sub(idle_ms)
                || clock.heard_at.saturating_add(IDLE_EVENTS) >= self.placed
        });
        active.filter_map(|clock| clock.now_ms).min().unwrap_or(i64::MIN)
    }

    /// Places an event and moves the clock forward when it is accepted.
    pub fn place(
        &mut self,
        id: ClockId,
        time_ms: i64,
        arrival_ms: Option<i64>,
        options: &EngineOptions,
    ) -> Placement {
        let clock = &mut self.clocks[id.0 as usize];
        let future =
            arrival_ms.filter(|arrival| time_ms > arrival.saturating_add(options.future_guard_ms));
        if let Some(arrival_ms) = future {
            // WHY: ids and answers are kept for a span from here on; before the first accepted event its arrival is
            // the only time that is known, and no time at all would forget them with the next event.
            let clock_ms = clock.now_ms.unwrap_or(arrival_ms);
            return Placement {
                timeliness: Timeliness::Future,
                clock_ms,
                began_ms: clock.began_ms,
            };
        }
        if clock.now_ms.is_none() {
            clock.began_ms = time_ms;
        }
        let clock_before = clock.now_ms.unwrap_or(time_ms);
        let lateness_ms = clock_before.saturating_sub(time_ms);
        let timeliness = match lateness_ms {
            ..=0 => Timeliness::OnTime,
            late if late <= options.allowed_lateness_ms => Timeliness::Late,
            _ => Timeliness::TooLate,
        };
        let clock_ms = clock_before.max(time_ms);
        clock.now_ms = Some(clock_ms);
        let began_ms = clock.began_ms;
        let furthest_ms = self.furthest_ms().unwrap_or(clock_ms);
        self.placed += 1;
        let clock = &mut self.clocks[id.0 as usize];
        (clock.heard_ms, clock.heard_at) = (furthest_ms, self.placed);
        Placement { timeliness, clock_ms, began_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(clocks: &mut Clocks, time_ms: i64, arrival_ms: Option<i64>) -> (Timeliness, i64) {
        let options =
            EngineOptions { allowed_lateness_ms: 100, future_guard_ms: 50, ..Default::default() };
        if clocks.clocks.is_empty() {
            clocks.add();
        }
        let placement = clocks.place(ClockId(0), time_ms, arrival_ms, &options);
        (placement.timeliness, placement.clock_ms)
    }

    #[test]
    fn a_late_event_is_placed_but_does_not_move_the_clock() {
        let mut clocks = Clocks::default();
        assert_eq!(place(&mut clocks, 1000, None), (Timeliness::OnTime, 1000));
        assert_eq!(place(&mut clocks, 900, None), (Timeliness::Late, 1000));
        assert_eq!(place(&mut clocks, 899, None), (Timeliness::TooLate, 1000));
        assert_eq!(place(&mut clocks, 1001, None), (Timeliness::OnTime, 1001));
    }

    #[test]
    fn an_event_from_the_future_does_not_move_the_clock() {
        let mut clocks = Clocks::default();
        assert_eq!(place(&mut clocks, 1000, Some(1000)), (Timeliness::OnTime, 1000));
        assert_eq!(place(&mut clocks, 1051, Some(1000)), (Timeliness::Future, 1000));
        assert_eq!(place(&mut clocks, 1050, Some(1000)), (Timeliness::OnTime, 1050));
    }

    #[test]
    fn a_first_event_from_the_future_stands_at_its_arrival() {
        let mut clocks = Clocks::default();
        assert_eq!(place(&mut clocks, 9_000, Some(1_000)), (Timeliness::Future, 1_000));
        assert_eq!(clocks.get(ClockId(0)).now_ms, None);
        assert_eq!(place(&mut clocks, 1_010, Some(1_010)), (Timeliness::OnTime, 1_010));
    }

    #[test]
    fn state_is_kept_for_the_slowest_partition_however_far_behind_unless_it_is_idle() {
        let options = EngineOptions::default();
        let mut clocks = Clocks::default();
        assert_eq!(clocks.state_clock_ms(100), i64::MIN);
        clocks.add();
        clocks.add();
        clocks.add();
        clocks.place(ClockId(0), 1000, None, &options);
        assert_eq!(clocks.state_clock_ms(100), 1000);
        clocks.place(ClockId(1), 50, None, &options);
        assert_eq!(clocks.state_clock_ms(100), 50, "it was heard just now");
        clocks.place(ClockId(0), 1100, None, &options);
        assert_eq!(clocks.state_clock_ms(100), 50);
        clocks.place(ClockId(0), 1101, None, &options);
        assert_eq!(clocks.state_clock_ms(100), 50, "few events came since");
        for _ in 0..IDLE_EVENTS {
            clocks.place(ClockId(0), 1101, None, &options);
        }
        assert_eq!(clocks.state_clock_ms(100), 1101, "the other has been silent for long");
        clocks.place(ClockId(1), 51, None, &options);
        assert_eq!(clocks.state_clock_ms(100), 51, "and is back");
    }
}
