//! What came out about events, by what rules and models said of them: the precision of rules that runs along.
//!
//! An event of a type that labels are about is remembered for [`KEPT_DAYS`] days of event time: which rules hit and how
//! they stood, which models scored high; of an event about which nobody said anything only that it came, in eight bytes.
//! A label is looked up by the digest of the event's id. The newest label holds, by its own time; of equal ones the last
//! that came, as in a file of labels. An id that came with several bodies is one event: what hit any of them counts.
//!
//! INVARIANT: what is counted is counted of what is remembered, so forgetting an event takes it out of the figures, and
//! nothing about them is saved but what is remembered.
//!
//! # Cost
//! An event about which nobody said anything: eight bytes behind those of its bucket. A label: a pass over a bucket, so
//! some microseconds.

mod bucket;
mod figures;
mod save;
mod turn;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::base::EntityKey;
use crate::engine::labels::bucket::{Bucket, Held, Quiet};
pub use crate::engine::labels::figures::LabelFigures;
pub(super) use crate::engine::labels::figures::tally;
pub(super) use crate::engine::labels::save::LabelLoader;
use crate::event::schema::Finding;

/// How long an event is remembered, in days of event time: as long as the card schemes let a payment be disputed.
const KEPT_DAYS: i32 = 120;

/// Buckets, by the leading bits of an id's digest.
const BUCKET_BITS: u32 = 10;
const N_BUCKETS: usize = 1 << BUCKET_BITS;

/// Events between two looks at a bucket for what is over.
const EVENTS_PER_SWEEP: u64 = 64;

const DAY_MS: i64 = 86_400_000;

/// What was known of the event of a label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Found {
    /// A rule that acts hit it.
    Acted,
    /// Only rules that watch did.
    Watched,
    /// No rule did.
    NoHit,
    /// It never came, or is forgotten.
    Unknown,
}

impl Found {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Acted, Self::Watched, Self::NoHit, Self::Unknown];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Acted => "acted",
            Self::Watched => "watched",
            Self::NoHit => "no_hit",
            Self::Unknown => "unknown",
        }
    }
}

/// How a rule stood to an event that it hit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stance {
    /// It acted, as on every event.
    Live,
    /// It acted, on a share of its keys.
    Canary,
    /// It watched: by its mode, its dates, its breaker, or because the key is not of its share.
    Shadow,
}

impl Stance {
    /// All of them, in order.
    pub const ALL: [Self; 3] = [Self::Live, Self::Canary, Self::Shadow];

    /// Its word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Canary => "canary",
            Self::Shadow => "shadow",
        }
    }
}

/// Whose hits are counted. Known by names that another rule set has, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Subject {
    /// All events of a type of which this is known.
    Events(Found, EntityKey),
    /// A rule, by its id.
    Rule(Stance, EntityKey),
    /// A model, by its name and what it is made of.
    Model(EntityKey),
}

/// Events with a label.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// Those that were fraud.
    pub fraud: u64,
    /// Those that were not.
    pub genuine: u64,
}

/// A day of event time, from 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Day(i32);

impl Day {
    pub(super) fn of(time_ms: i64) -> Self {
        let day = time_ms.div_euclid(DAY_MS);
        Self(i32::try_from(day).unwrap_or(if day < 0 { i32::MIN } else { i32::MAX }))
    }
}

/// Events that labels may be about, and what came out.
#[derive(Debug)]
pub(super) struct LabelBook {
    /// None before the first event. Shared with a snapshot under way until they change.
    buckets: Vec<Arc<Bucket>>,
    /// Whoever was ever counted, by number.
    subjects: Vec<Subject>,
    numbers: BTreeMap<Subject, u32>,
    /// Events with a label by their day, subject and finding.
    days: BTreeMap<Day, BTreeMap<(u32, Finding), u64>>,
    /// The first day of which events are remembered.
    since: Day,
    n_quiet: usize,
    held_bytes: usize,
    /// How often the clock was moved.
    advances: u64,
    /// The buckets that give up an event next, where room is wanting: a quiet one, one that is held.
    hands: [usize; 2],
    /// Events that were forgotten for want of room.
    evicted: u64,
    /// Labels that came: by their event type, what they said, and what was known of their event.
    came: BTreeMap<(String, Finding, Found), u64>,
    saving: Option<save::Saving>,
}

impl Default for LabelBook {
    fn default() -> Self {
        Self {
            buckets: Vec::new(),
            subjects: Vec::new(),
            numbers: BTreeMap::new(),
            days: BTreeMap::new(),
            since: Day(i32::MIN),
            n_quiet: 0,
            held_bytes: 0,
            advances: 0,
            hands: [0; 2],
            evicted: 0,
            came: BTreeMap::new(),
            saving: None,
        }
    }
}

impl LabelBook {
    /// Moves the clock of the state: what is older than [`KEPT_DAYS`] days is over. It is looked for a little at a time.
    pub(super) fn advance(&mut self, clock_ms: i64) {
        let Day(today) = Day::of(clock_ms);
        self.since = self.since.max(Day(today.saturating_sub(KEPT_DAYS)));
        while self.days.first_key_value().is_some_and(|(day, _)| *day < self.since) {
            self.days.pop_first();
        }
        self.advances = self.advances.wrapping_add(1);
        if self.advances.is_multiple_of(EVENTS_PER_SWEEP) {
            let turn = usize::try_from(self.advances / EVENTS_PER_SWEEP).unwrap_or(0);
            self.sweep(turn % N_BUCKETS);
        }
    }

    /// An event about which neither a rule nor a model said anything.
    pub(super) fn quiet(&mut self, id: u64, day: Day) {
        if day >= self.since {
            self.bucket(id).quiet.push_back(Quiet::of(id, day));
            self.n_quiet += 1;
        }
    }

    /// An event about which they did. `said` begins with the subject of all events of its type.
    pub(super) fn hit(&mut self, id: u64, day: Day, said: &[Subject]) {
        if day < self.since {
            return;
        }
        let mut subjects: Vec<u32> = said.iter().map(|subject| self.number(*subject)).collect();
        let mut held = Held { id, day, subjects: Box::default(), finding: None };
        if let Some(before) = self.take(id).filter(|before| before.day >= self.since) {
            held.day = held.day.max(before.day);
            held.finding = before.finding;
            let of_all = self.merged(subjects.first(), before.subjects.first());
            let rest = subjects.iter().skip(1).chain(before.subjects.iter().skip(1));
            subjects = of_all.into_iter().chain(rest.copied()).collect();
        }
        if let Some(rest) = subjects.get_mut(1..) {
            rest.sort_unstable();
        }
        subjects.dedup();
        held.subjects = subjects.into();
        self.put(held);
    }

    /// A label: what it says about the event with this id, of which all events are `of`, and when it was said. `None`: the
    /// event never came, or is forgotten.
    pub(super) fn label(
        &mut self,
        (id, of): (u64, EntityKey),
        (finding, at_ms): (Finding, i64),
    ) -> Option<Found> {
        let since = self.since;
        let bucket = self.buckets.get(bucket_of(id))?;
        let known = bucket.held.iter().position(|held| held.id == id && held.day >= since);
        if let Some(at) = known {
            return self.relabel(id, at, (finding, at_ms));
        }
        // Nothing was said of it; from now on something is.
        let quiet = bucket.quiet.iter().filter(|quiet| quiet.is_of(id));
        let day = quiet.map(|quiet| quiet.day).max().filter(|day| *day >= since)?;
        drop(self.take(id));
        let subjects = Box::from([self.number(Subject::Events(Found::NoHit, of))]);
        self.put(Held { id, day, subjects, finding: Some((finding, at_ms)) });
        Some(Found::NoHit)
    }

    /// The label of an event that stands at this place of its bucket.
    fn relabel(&mut self, id: u64, at: usize, label: (Finding, i64)) -> Option<Found> {
        let held = self.buckets.get(bucket_of(id))?.held.get(at)?.clone();
        if held.finding.is_none_or(|(_, before_ms)| before_ms <= label.1) {
            let newer = Held { finding: Some(label), ..held.clone() };
            self.recount(&held, |n| n - 1);
            self.recount(&newer, |n| n + 1);
            *self.bucket(id).held.get_mut(at)? = newer;
        }
        Some(self.found(&held))
    }

    /// Counts a label of this type of event.
    pub(super) fn count(&mut self, event: &str, finding: Finding, found: Found) {
        *self.came.entry((event.to_owned(), finding, found)).or_default() += 1;
    }

    /// Labels that came, by their event type, what they said, and what was known of their event.
    pub(super) fn came(&self) -> impl Iterator<Item = (&str, Finding, Found, u64)> {
        self.came.iter().map(|((event, finding, found), n)| (event.as_str(), *finding, *found, *n))
    }

    /// How many events that are remembered have a label, by subject; without those of which none has.
    pub(super) fn labelled(&self) -> BTreeMap<Subject, Labelled> {
        let mut sums: BTreeMap<Subject, Labelled> = BTreeMap::new();
        for ((subject, finding), n) in self.days.values().flatten() {
            let Some(subject) = self.subjects.get(*subject as usize) else { continue };
            let sum = sums.entry(*subject).or_default();
            match finding {
                Finding::Fraud => sum.fraud += n,
                Finding::Genuine => sum.genuine += n,
                Finding::Open => {}
            }
        }
        sums
    }

    /// Events that were forgotten for want of room.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted
    }

    /// Heap bytes, about.
    pub(super) fn bytes(&self) -> usize {
        const SUBJECT_BYTES: usize = 2 * size_of::<Subject>() + size_of::<u32>();
        const COUNT_BYTES: usize = size_of::<((u32, Finding), u64)>();
        let counts: usize = self.days.values().map(BTreeMap::len).sum();
        self.quiet_bytes()
            + self.held_bytes
            + self.subjects.len() * SUBJECT_BYTES
            + counts * COUNT_BYTES
    }

    fn quiet_bytes(&self) -> usize {
        self.n_quiet * size_of::<Quiet>()
    }

    /// Forgets about the oldest events until those about which something was said take at most `most_bytes`, and those
    /// about which nothing was said as much.
    pub(super) fn shrink(&mut self, most_bytes: usize) {
        while self.quiet_bytes() > most_bytes {
            let at = self.turn(0, |bucket| bucket.quiet.is_empty());
            let Some(bucket) = self.buckets.get_mut(at).map(Arc::make_mut) else { return };
            bucket.quiet.pop_front();
            self.n_quiet -= 1;
            self.evicted += 1;
        }
        while self.held_bytes > most_bytes {
            let at = self.turn(1, |bucket| bucket.held.is_empty());
            let Some(bucket) = self.buckets.get_mut(at).map(Arc::make_mut) else { return };
            let Some(held) = bucket.held.pop_front() else { return };
            self.drop_held(&held);
            self.evicted += 1;
        }
    }

    /// The next bucket with something in it.
    fn turn(&mut self, hand: usize, is_empty: impl Fn(&Bucket) -> bool) -> usize {
        let mut at = self.hands[hand];
        while self.buckets.get(at).is_some_and(|bucket| is_empty(bucket)) {
            at = (at + 1) % N_BUCKETS;
        }
        self.hands[hand] = (at + 1) % N_BUCKETS;
        at
    }

    /// Forgets what is over in a bucket.
    fn sweep(&mut self, at: usize) {
        let since = self.since;
        let Some(bucket) = self.buckets.get_mut(at) else { return };
        let quiet = bucket.quiet.iter().take_while(|quiet| quiet.day < since).count();
        let held = bucket.held.iter().take_while(|held| held.day < since).count();
        if quiet + held == 0 {
            return;
        }
        let bucket = Arc::make_mut(bucket);
        drop(bucket.quiet.drain(..quiet));
        let over: Vec<Held> = bucket.held.drain(..held).collect();
        self.n_quiet -= quiet;
        for held in &over {
            self.drop_held(held);
        }
    }

    fn bucket(&mut self, id: u64) -> &mut Bucket {
        self.make_buckets();
        Arc::make_mut(&mut self.buckets[bucket_of(id)])
    }

    fn make_buckets(&mut self) {
        if self.buckets.is_empty() {
            self.buckets = vec![Arc::default(); N_BUCKETS];
        }
    }

    /// Puts a bucket in its place.
    fn place(&mut self, number: usize, bucket: Bucket) {
        self.make_buckets();
        self.buckets[number] = Arc::new(bucket);
    }

    fn take(&mut self, id: u64) -> Option<Held> {
        let at = self.buckets.get(bucket_of(id))?.held.iter().position(|held| held.id == id)?;
        let held = self.bucket(id).held.remove(at)?;
        self.drop_held(&held);
        Some(held)
    }

    fn put(&mut self, held: Held) {
        self.held_bytes += held.bytes();
        self.recount(&held, |n| n + 1);
        self.bucket(held.id).held.push_back(held);
    }

    /// Takes an event out of the figures that left its bucket.
    fn drop_held(&mut self, held: &Held) {
        self.held_bytes -= held.bytes();
        self.recount(held, |n| n - 1);
    }

    fn recount(&mut self, held: &Held, change: impl Fn(u64) -> u64) {
        let Some((finding, _)) = held.finding.filter(|(finding, _)| *finding != Finding::Open)
        else {
            return;
        };
        // What is over is in the figures no more.
        if held.day < self.since {
            return;
        }
        let day = self.days.entry(held.day).or_default();
        for subject in &held.subjects {
            let count = day.entry((*subject, finding)).or_default();
            *count = change(*count);
            if *count == 0 {
                day.remove(&(*subject, finding));
            }
        }
        if day.is_empty() {
            self.days.remove(&held.day);
        }
    }

    fn number(&mut self, subject: Subject) -> u32 {
        let next = u32::try_from(self.subjects.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(subject).or_insert_with(|| {
            self.subjects.push(subject);
            next
        })
    }

    /// Of two numbers of all events of a type the one of which more is known.
    fn merged(&self, one: Option<&u32>, other: Option<&u32>) -> Option<u32> {
        let of = |number: &&u32| self.subjects.get(**number as usize).copied();
        // `Acted` comes first among the subjects.
        one.into_iter().chain(other).min_by_key(of).copied()
    }

    fn found(&self, held: &Held) -> Found {
        let first = held.subjects.first().and_then(|number| self.subjects.get(*number as usize));
        match first {
            Some(Subject::Events(found, _)) => *found,
            _ => Found::NoHit,
        }
    }
}

fn bucket_of(id: u64) -> usize {
    usize::try_from(id >> (u64::BITS - BUCKET_BITS)).unwrap_or(0)
}
