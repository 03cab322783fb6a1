//! An open loop: what is sent is due by the clock, whatever became of what was sent before.

use std::fs;
use std::time::{Duration, Instant};

/// Load at the start whose latencies are not counted: connections, first windows, first page faults.
pub(crate) const WARM_UP_S: u64 = 5;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// How many are due in a second.
    pub(crate) rate: u64,
    /// For how long, after the warm-up.
    pub(crate) seconds: u64,
}

impl Load {
    /// When this one is due.
    pub(crate) fn due(self, start: Instant, nth: u64) -> Instant {
        start + Duration::from_nanos(nth * 1_000_000_000 / self.rate)
    }

    /// How many there are before the count begins.
    pub(crate) fn n_warm_up(self) -> u64 {
        self.rate * WARM_UP_S
    }

    /// How many there are, with the warm-up.
    pub(crate) fn n_in_all(self) -> u64 {
        self.n_warm_up() + self.rate * self.seconds
    }
}

/// Prints what half of them stay below, and so on.
pub(crate) fn print_quantiles(what: &str, mut durations: Vec<Duration>) {
    durations.sort_unstable();
    let last = durations.len() - 1;
    let at = |permille: usize| durations[last * permille / 1_000].as_secs_f64() * 1e3;
    println!(
        "  {what}: p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, max {:.2} ms",
        at(500),
        at(990),
        at(999),
        at(1_000)
    );
}

/// A count among measurements.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^53")]
pub(crate) fn float(n: u64) -> f64 {
    n as f64
}

/// What else the machine does.
pub(crate) fn load_average() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap();
    text.split(' ').next().unwrap_or_default().to_owned()
}
