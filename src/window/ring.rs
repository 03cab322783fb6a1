//! The history of a calm key: its entries in one contiguous run, oldest first.
//!
//! No state per window and no pointers: what a read costs is the cache lines of the run. Expired entries are dropped
//! only when room is needed. A late entry is a short move of the younger ones.

use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::window::convert::Convert;
use crate::window::layout::Layout;
use crate::window::spec::Entry;

/// Entries of one key, few.
#[derive(Clone, Debug)]
pub(crate) struct Ring {
    words: Box<[u64]>,
    start: u16,
    len: u16,
    capacity: u16,
    /// The key appeared after an eviction: part of its past may have been evicted.
    pub(crate) after_eviction: bool,
}

/// Capacity up to which a ring keeps its memory until the key is forgotten.
const SMALL_CAPACITY: u16 = 4;

/// Largest capacity of any ring.
pub(crate) const RING_CAP_MAX: u16 = 1_024;

/// What became of an insert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingInsert {
    Done,
    /// All places are taken by live entries: the key needs a log.
    Full,
}

impl Ring {
    /// An empty ring without heap memory.
    pub(crate) fn new(after_eviction: bool) -> Self {
        Self { words: Box::default(), start: 0, len: 0, capacity: 0, after_eviction }
    }

    /// The live entries, oldest first.
    #[inline]
    pub(crate) fn run(&self, layout: &Layout) -> &[u64] {
        let from = usize::from(self.start) * layout.stride;
        &self.words[from..from + usize::from(self.len) * layout.stride]
    }

    /// Heap bytes, with the allocator's header.
    pub(crate) fn bytes(&self) -> usize {
        heap_bytes(self.words.len())
    }

    /// A word near the newest entry: reading it brings the line into the cache.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let used = usize::from(self.start) + usize::from(self.len);
        let stride = self.words.len().checked_div(usize::from(self.capacity)).unwrap_or(0);
        let newest = used.saturating_sub(1) * stride;
        self.words.get(newest).copied().unwrap_or(0) ^ self.words.first().copied().unwrap_or(0)
    }

    /// Puts an entry at its place by (time, arrival).
    pub(crate) fn insert(
        &mut self,
        layout: &Layout,
        entry: &Entry<'_>,
        horizon_ms: i64,
        cap: u16,
    ) -> RingInsert {
        if self.start + self.len == self.capacity {
            self.expire(layout, horizon_ms);
            if self.start > 0 {
                self.resize(layout, self.capacity);
            } else if self.capacity < cap {
                self.resize(layout, next_capacity(self.capacity).min(cap));
            } else {
                return RingInsert::Full;
            }
        }
        let time = layout.kept_time(entry.time_ms);
        let run = usize::from(self.start) * layout.stride;
        let live = &mut self.words[run..];
        let len = usize::from(self.len);
        let mut at = len;
        while at > 0 && layout.time_at(live, at - 1) > time {
            at -= 1;
        }
        let stride = layout.stride;
        if at < len {
            live.copy_within(at * stride..len * stride, (at + 1) * stride);
        }
        layout.write(entry, &mut live[at * stride..(at + 1) * stride]);
        self.len += 1;
        RingInsert::Done
    }

    /// Drops entries at or before the horizon.
    pub(crate) fn expire(&mut self, layout: &Layout, horizon_ms: i64) {
        while self.len > 0 && layout.time_at(&self.words, usize::from(self.start)) <= horizon_ms {
            self.start += 1;
            self.len -= 1;
        }
    }

    /// Whether it has nothing to give back.
    ///
    /// WHY: looking at the entries of a small ring would cost a cache miss.
    #[inline]
    pub(crate) fn is_small(&self) -> bool {
        self.capacity <= SMALL_CAPACITY
    }

    /// Gives back memory when little of it is used.
    pub(crate) fn trim(&mut self, layout: &Layout, horizon_ms: i64) {
        if self.is_small() {
            return;
        }
        self.expire(layout, horizon_ms);
        if self.len <= self.capacity / 4 {
            self.resize(layout, self.len.max(2));
        }
    }

    /// A ring with the given live entries.
    pub(crate) fn from_run(layout: &Layout, run: &[u64], after_eviction: bool) -> Self {
        let len = u16::try_from(run.len() / layout.stride).unwrap_or(u16::MAX);
        Self { words: run.into(), start: 0, len, capacity: len, after_eviction }
    }

    /// The same history with entries of another layout.
    pub(crate) fn converted(&self, convert: &Convert<'_>) -> Self {
        let stride = convert.to.stride;
        let mut words = vec![0; usize::from(self.capacity) * stride];
        let live = &mut words[usize::from(self.start) * stride..];
        convert.run(self.run(convert.from), live);
        Self { words: words.into_boxed_slice(), ..*self }
    }

    pub(crate) fn save(&self, code: &mut Encoder<'_>) {
        code.var(u64::from(self.capacity));
        code.var(u64::from(self.start));
        code.var(u64::from(self.len));
        code.flag(self.after_eviction);
        let stride = self.words.len().checked_div(usize::from(self.capacity)).unwrap_or(0);
        let from = usize::from(self.start) * stride;
        code.words(&self.words[from..from + usize::from(self.len) * stride]);
    }

    pub(crate) fn load(layout: &Layout, code: &mut Decoder<'_>) -> Result<Self, Damaged> {
        const WHAT: &str = "entries of a key";
        let mut place = || {
            let number = code.narrow(WHAT)?;
            let number = u16::try_from(number).ok().filter(|number| *number <= RING_CAP_MAX);
            number.ok_or_else(|| code.damaged(WHAT))
        };
        let (capacity, start, len) = (place()?, place()?, place()?);
        let after_eviction = code.flag(WHAT)?;
        // WHY: few bytes must not take much memory; what is larger than this never has so few entries.
        code.demand(start + len <= capacity && capacity <= len.max(1).saturating_mul(64), WHAT)?;
        let (stride, live) = (layout.stride, usize::from(len) * layout.stride);
        let mut words = vec![0; usize::from(capacity) * stride];
        let from = usize::from(start) * stride;
        for (held, word) in words[from..from + live].iter_mut().zip(code.words(live, WHAT)?) {
            *held = word;
        }
        code.demand(layout.is_ordered(&words[from..from + live]), "entries in the order of time")?;
        Ok(Self { words: words.into_boxed_slice(), start, len, capacity, after_eviction })
    }

    fn resize(&mut self, layout: &Layout, capacity: u16) {
        let stride = layout.stride;
        let from = usize::from(self.start) * stride;
        let live = from..from + usize::from(self.len) * stride;
        if capacity == self.capacity {
            self.words.copy_within(live, 0);
        } else {
            let mut words = Vec::with_capacity(usize::from(capacity) * stride);
            words.extend_from_slice(&self.words[live]);
            words.resize(usize::from(capacity) * stride, 0);
            self.words = words.into_boxed_slice();
            self.capacity = capacity;
        }
        self.start = 0;
    }
}

fn next_capacity(capacity: u16) -> u16 {
    if capacity < 8 { capacity + 2 } else { (capacity.saturating_add(capacity / 2)) & !1 }
}

/// Heap bytes of an allocation of `words` words: what the allocator takes, 8 bytes of header in units of 16.
pub(crate) fn heap_bytes(words: usize) -> usize {
    if words == 0 { 0 } else { (words * 8 + 8).next_multiple_of(16).max(32) }
}
