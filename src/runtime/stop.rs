//! The wish to stop: by signal or by the program, with the time that an orderly stop may take.

use std::io;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;

/// Exit code when a second signal ends the process at once.
const EXIT_SECOND_SIGNAL: i32 = 130;

/// Has a write beyond a limit on the size of files fail, as on a disk that is full. Without it the system ends the process.
///
/// # Errors
/// The system does not let the signal be handled.
pub fn outlive_file_limits() -> io::Result<()> {
    flag::register(SIGXFSZ, Arc::new(AtomicBool::new(false))).map(drop)
}

/// A wish to stop that several threads share.
#[derive(Clone, Debug)]
pub struct Stop {
    wanted: Arc<AtomicBool>,
    seen_at: Arc<OnceLock<Instant>>,
    limit: Duration,
}

impl Stop {
    /// Nobody wants to stop yet; an orderly stop may take `limit`.
    pub fn new(limit: Duration) -> Self {
        let wanted = Arc::new(AtomicBool::new(false));
        Self { wanted, seen_at: Arc::new(OnceLock::new()), limit }
    }

    /// The same, also by SIGTERM and SIGINT; a second signal ends the process at once.
    ///
    /// # Errors
    /// The system does not let the signals be handled.
    pub fn on_signals(limit: Duration) -> io::Result<Self> {
        let stop = Self::new(limit);
        for signal in [SIGTERM, SIGINT] {
            // WHY: in this order, so that the first signal sets the flag and only the second finds it set.
            flag::register_conditional_shutdown(
                signal,
                EXIT_SECOND_SIGNAL,
                Arc::clone(&stop.wanted),
            )?;
            flag::register(signal, Arc::clone(&stop.wanted))?;
        }
        Ok(stop)
    }

    /// Asks to stop.
    pub fn request(&self) {
        self.wanted.store(true, Ordering::Relaxed);
    }

    /// Whether somebody asked.
    pub fn requested(&self) -> bool {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted {
            _ = self.seen_at.get_or_init(Instant::now);
        }
        wanted
    }

    /// Whether somebody asked and the time for an orderly stop has passed.
    pub fn expired(&self) -> bool {
        self.requested() && self.seen_at.get().is_some_and(|at| at.elapsed() > self.limit)
    }

    /// How long ago somebody asked; nothing when nobody did.
    pub fn waited(&self) -> Duration {
        if !self.requested() {
            return Duration::ZERO;
        }
        self.seen_at.get().map_or(Duration::ZERO, Instant::elapsed)
    }

    /// How long an orderly stop may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }
}
