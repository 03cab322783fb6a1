//! A number that was asked for, and is asked for again when it is old: topics grow while the service runs.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an answer holds. WHY: whoever gets a new partition of a topic learns of it later than this.
const HOLDS: Duration = Duration::from_secs(1);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Option<(usize, Instant)>>);

impl Known {
    /// The number as it was a moment ago; where nobody answers, as it was the last time that somebody did.
    pub(crate) fn get(&self, now: Instant, ask: impl FnOnce() -> Option<usize>) -> Option<usize> {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((n, at)) = known
            && now.saturating_duration_since(at) < HOLDS
        {
            return Some(n);
        }
        // WHY: nobody waits for the lock while the brokers are asked.
        let Some(n) = ask() else { return known.map(|(n, _)| n) };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((n, now));
        Some(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_grows_is_known_to_have_grown_a_moment_later() {
        let (known, start) = (Known::default(), Instant::now());
        let at = |ms: u64, answer: Option<usize>| {
            known.get(start + Duration::from_millis(ms), || answer)
        };
        assert_eq!(at(0, None), None);
        assert_eq!(at(0, Some(2)), Some(2));
        assert_eq!(at(999, Some(3)), Some(2));
        assert_eq!(at(1_000, Some(3)), Some(3));
        // While the brokers do not answer, what they said last holds.
        assert_eq!(at(3_000, None), Some(3));
        assert_eq!(at(3_001, Some(5)), Some(5));
    }
}
