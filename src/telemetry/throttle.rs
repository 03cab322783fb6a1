//! A limit for repeated happenings: the first few per window are written, the rest is counted.

use std::collections::BTreeMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// The limit of the process; set once by [`crate::telemetry::log::init`].
static LIMIT: OnceLock<(u64, Duration)> = OnceLock::new();

/// State per kind of happening.
static SEEN: Mutex<BTreeMap<&'static str, Window>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    written: u64,
    kept_back: u64,
}

/// Sets the limit; the first call counts.
pub(crate) fn set_limit(count: u64, per: Duration) {
    _ = LIMIT.set((count, per));
}

/// Whether a happening of this kind may be written now: the number that was kept back before it, or none.
pub(crate) fn admit(kind: &'static str) -> Option<u64> {
    let (count, per) = LIMIT.get().copied().unwrap_or((6, Duration::from_mins(1)));
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    admit_at(&mut seen, kind, Instant::now(), (count, per))
}

fn admit_at(
    seen: &mut BTreeMap<&'static str, Window>,
    kind: &'static str,
    now: Instant,
    (count, per): (u64, Duration),
) -> Option<u64> {
    let fresh = Window { since: now, written: 0, kept_back: 0 };
    let window = seen.entry(kind).or_insert(fresh);
    let mut kept_back = 0;
    if now.duration_since(window.since) >= per {
        kept_back = window.kept_back;
        *window = fresh;
    }
    if window.written < count {
        window.written += 1;
        return Some(kept_back);
    }
    window.kept_back += 1;
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_beyond_the_limit_are_counted_and_told_with_the_next_one() {
        let mut seen = BTreeMap::new();
        let start = Instant::now();
        let limit = (2, Duration::from_mins(1));
        let at = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(admit_at(&mut seen, "a", at(0), limit), Some(0));
        assert_eq!(admit_at(&mut seen, "a", at(1), limit), Some(0));
        assert_eq!(admit_at(&mut seen, "a", at(2), limit), None);
        assert_eq!(admit_at(&mut seen, "a", at(3), limit), None);
        assert_eq!(admit_at(&mut seen, "b", at(3), limit), Some(0));
        assert_eq!(admit_at(&mut seen, "a", at(60), limit), Some(2));
        assert_eq!(admit_at(&mut seen, "a", at(61), limit), Some(0));
    }
}
