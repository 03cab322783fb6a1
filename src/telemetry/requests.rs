//! What the HTTP API counts: requests by route, refusals, and who listens to events.
//!
//! # Cost
//! One uncontended lock per request, and no allocation once a route was answered with a status.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::telemetry::books::{Histogram, LATENCY_BOUNDS_S};

/// A route as metrics name it: its method and its path with `{name}` where segments differ, so that no id becomes a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteName {
    /// `GET` or `POST`; `other` where no route was meant.
    pub method: &'static str,
    /// As the table of routes writes it; `other` where none was meant.
    pub path: &'static str,
}

/// What a scrape shows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestCounts {
    /// Requests by route and HTTP status.
    pub requests: BTreeMap<(RouteName, u16), u64>,
    /// How long their answers took; of a stream of events until it began.
    pub durations: BTreeMap<RouteName, Histogram>,
    /// Requests beyond the share of a person, and of an address that failed to say who it is.
    pub rate_limited: BTreeMap<&'static str, u64>,
    /// Requests without a valid token.
    pub unauthenticated: u64,
    /// What one person did alone that takes two.
    pub overridden: u64,
    /// Streams of events that are open.
    pub streams: u64,
    /// Bytes of the read model.
    pub stored_bytes: u64,
    /// Records that it let go for want of room.
    pub let_go: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct RequestBooks {
    counts: Mutex<RequestCounts>,
    streams: AtomicU64,
}

impl RequestBooks {
    /// Counts a request and how long it took.
    pub fn answered(&self, route: RouteName, status: u16, took: Duration) {
        let mut counts = self.lock();
        *counts.requests.entry((route, status)).or_default() += 1;
        let empty = || Histogram::new(LATENCY_BOUNDS_S);
        counts.durations.entry(route).or_insert_with(empty).observe(took);
    }

    /// Counts that one person does alone what takes two.
    pub fn overridden(&self) {
        self.lock().overridden += 1;
    }

    /// Counts a request beyond somebody's share: of a `person`, or of an `address`.
    pub fn rate_limited(&self, whose: &'static str) {
        *self.lock().rate_limited.entry(whose).or_default() += 1;
    }

    /// Counts a request without a valid token.
    pub fn unauthenticated(&self) {
        self.lock().unauthenticated += 1;
    }

    /// Takes down how large the read model is, and counts records that it let go for want of room.
    pub fn stored(&self, bytes: u64, let_go: u64) {
        let mut counts = self.lock();
        counts.stored_bytes = bytes;
        counts.let_go += let_go;
    }

    /// Counts a stream of events until what is returned is dropped.
    pub fn stream(self: &Arc<Self>) -> OpenStream {
        self.streams.fetch_add(1, Ordering::Relaxed);
        OpenStream(Arc::clone(self))
    }

    /// A copy.
    pub fn counts(&self) -> RequestCounts {
        RequestCounts { streams: self.streams.load(Ordering::Relaxed), ..self.lock().clone() }
    }

    // WHY: nothing under this lock can leave half a change behind.
    fn lock(&self) -> MutexGuard<'_, RequestCounts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A stream that is counted as open.
#[derive(Debug)]
pub struct OpenStream(Arc<RequestBooks>);

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}
