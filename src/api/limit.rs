//! How often somebody may ask: a token so often, an address that fails to say who it is a tenth as often.
//!
//! # Source
//! The generic cell rate algorithm (ITU-T I.371, virtual scheduling): one number per key, the time at which it will have
//! paid for all that it had.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use dashmap::DashMap;

use crate::config::RateLimit;

/// Most keys that are remembered; beyond it those that have paid are forgotten.
const MAX_KEYS: usize = 20_000;

/// Who is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Who {
    /// Somebody with a token.
    Person(String),
    /// An address, for requests that do not say who it is.
    Address(IpAddr),
}

/// What is left of somebody's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Whether this request is within it.
    pub(crate) is_within: bool,
    /// Most at once.
    pub(crate) limit: u64,
    /// Requests that are left now.
    pub(crate) left: u64,
    /// Until all are there again; where none is left, until the next.
    pub(crate) wait: Duration,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Limiter {
    paid: DashMap<Who, Instant>,
    people: RateLimit,
    addresses: RateLimit,
}

impl Limiter {
    pub(crate) fn new(people: RateLimit) -> Self {
        let addresses = RateLimit { count: (people.count / 10).max(1), ..people };
        Self { paid: DashMap::new(), people, addresses }
    }

    /// Takes one request off somebody's share.
    pub(crate) fn take(&self, who: &Who, now: Instant) -> Share {
        if self.paid.len() >= MAX_KEYS {
            self.paid.retain(|_, paid| *paid > now);
        }
        let mut paid = self.paid.entry(who.clone()).or_insert(now);
        let (share, next) = self.reckon(who, *paid, now);
        if share.is_within {
            *paid = next;
        }
        share
    }

    fn reckon(&self, who: &Who, paid: Instant, now: Instant) -> (Share, Instant) {
        let RateLimit { count, per } = match who {
            Who::Person(_) => self.people,
            Who::Address(_) => self.addresses,
        };
        let each = per / u32::try_from(count).unwrap_or(u32::MAX).max(1);
        let next = paid.max(now) + each;
        let owed = next - now;
        let is_within = owed <= per;
        let left = if is_within {
            per.saturating_sub(owed).as_nanos() / each.as_nanos().max(1)
        } else {
            0
        };
        let wait = if is_within { owed } else { owed.saturating_sub(per) };
        let left = u64::try_from(left).unwrap_or(u64::MAX);
        (Share { is_within, limit: count, left, wait }, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_spent_at_once_and_comes_back_evenly() {
        let limiter = Limiter::new(RateLimit { count: 4, per: Duration::from_secs(4) });
        let ann = || Who::Person("ann".to_owned());
        let start = Instant::now();
        let within =
            |at_ms: u64| limiter.take(&ann(), start + Duration::from_millis(at_ms)).is_within;
        assert_eq!([0, 0, 0, 0, 0].map(within), [true, true, true, true, false]);
        // One comes back each second, and a refusal costs nothing.
        assert_eq!([999, 1_000, 1_001, 3_000].map(within), [false, true, false, true]);
        let share = limiter.take(&ann(), start + Duration::from_secs(60));
        assert_eq!((share.left, share.limit), (3, 4));
        // Somebody else has a share of their own.
        assert!(limiter.take(&Who::Person("bob".to_owned()), start).is_within);
        // An address has a tenth, and at least one.
        let address = Who::Address(IpAddr::from([127, 0, 0, 1]));
        assert!(limiter.take(&address, start).is_within);
        assert!(!limiter.take(&address, start).is_within);
    }
}
