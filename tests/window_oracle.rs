//! Every measure of a state table against a naive recomputation from all events of the key.
//!
//! Exact where the coverage says complete or warming; inside the stated bound where it says approximate; a lower bound
//! where it says capped.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test: small numbers of its own making"
)]

use core::num::NonZeroU16;

use proptest::collection::vec;
use proptest::prelude::*;
use riskweir::base::EntityKey;
use riskweir::base::codec::{Decoder, Encoder};
use riskweir::state::{ReadAt, ReadPlan, StateOptions, Stored, Table, TableLoader};
use riskweir::window::spec::{
    Calendar, ColumnId, ColumnKind, Counting, Coverage, Entry, FilterBit, Measure, MeasureId,
    MeasureKind, Period, Pick, ReadValue, Reading, Span, TableSpec,
};

use crate::windows::{COLUMNS, Kept, WORDS, counted, looked_at, naive, offset, passes, picked};

#[path = "support/windows.rs"]
mod windows;

/// A day of these tests.
const DAY_MS: i64 = 300;
const SINCE_MIDNIGHT: Option<Calendar> = Some(Calendar::Since(Period::Day));
const BEFORE_TODAY: Option<Calendar> = Some(Calendar::Before(Period::Day));

#[derive(Clone, Debug)]
struct Step {
    key: u8,
    /// Distance of the event time from the clock.
    ahead_ms: i64,
    filters: u64,
    words: [u64; WORDS],
    probe: u64,
    with_own: bool,
    insert: bool,
    /// What else happens before it.
    event: Happening,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    Nothing,
    /// A key is evicted.
    Eviction,
    /// The table is saved, and another one restored from that goes on beside it.
    RoundTrip,
}

/// The instant before the day of a time began.
fn day_before(time_ms: i64) -> i64 {
    time_ms.div_euclid(DAY_MS) * DAY_MS - 1
}

fn kinds() -> impl Strategy<Value = MeasureKind> {
    let (int, word, geo) = (ColumnId(0), ColumnId(2), ColumnId(3));
    prop_oneof![
        Just(MeasureKind::Count),
        Just(MeasureKind::LastTime),
        Just(MeasureKind::Run),
        prop_oneof![Just(int), Just(ColumnId(1))].prop_flat_map(|column| prop_oneof![
            Just(MeasureKind::Sum(column)),
            Just(MeasureKind::SumSquares(column)),
            Just(MeasureKind::Min(column)),
            Just(MeasureKind::Max(column)),
            Just(MeasureKind::Last(column)),
            Just(MeasureKind::Ranked(column, Pick::Middle)),
            (1_u32..=1_000_000)
                .prop_map(move |ppm| MeasureKind::Ranked(column, Pick::AtLeast(ppm))),
        ]),
        prop_oneof![Just(int), Just(word)].prop_flat_map(|column| prop_oneof![
            Just(MeasureKind::Distinct(column)),
            Just(MeasureKind::CountOf(column)),
            Just(MeasureKind::Last(column)),
        ]),
        Just(MeasureKind::Last(geo)),
    ]
}

fn measures() -> impl Strategy<Value = Measure> {
    let length = prop_oneof![
        Just(1),
        1..20_i64,
        20..400_i64,
        400..5_000_i64,
        Just(2_000_i64),
        Just(300_i64),
        Just(i64::MAX)
    ];
    let ago = prop_oneof![4 => Just(0_i64), 1 => 1..30_i64, 1 => 100..2_000_i64];
    let filter = prop_oneof![
        3 => Just(None),
        4 => (0..3_u8).prop_map(|bit| Some(FilterBit(bit))),
    ];
    let counting = prop_oneof![Just(Counting::Last), Just(Counting::Prior)];
    let newest = prop_oneof![2 => Just(0_u16), 1 => 1..4_u16, 1 => 1..40_u16];
    (kinds(), filter, length, ago, counting, newest).prop_map(
        |(kind, filter, length_ms, ending_ago_ms, counting, newest)| Measure {
            kind,
            // A run is of what passes a filter.
            filter: filter.or((kind == MeasureKind::Run).then_some(FilterBit(2))),
            window: match (length_ms, NonZeroU16::new(newest)) {
                // Few lengths stand for windows by the calendar; here a day has 300 ms.
                (3 | 300..310, None) => {
                    Span { calendar: SINCE_MIDNIGHT, ..Span::sliding(DAY_MS, 0) }
                }
                // Others end with the day before, whose midnight is a day ago at most.
                (1 | 20..40 | 400..1_200, newest) => {
                    Span { newest, calendar: BEFORE_TODAY, ..Span::sliding(length_ms, DAY_MS) }
                }
                (_, newest) => Span { newest, ..Span::sliding(length_ms, ending_ago_ms) },
            },
            counting,
        },
    )
}

fn specs() -> impl Strategy<Value = TableSpec> {
    (vec(measures(), 1..14), any::<bool>()).prop_map(|(mut measures, wide)| {
        if wide {
            // A filter beyond the bits that fit beside the time.
            measures[0].filter = Some(FilterBit(40));
        }
        let mut unique: Vec<Measure> = Vec::new();
        for measure in measures {
            if !unique.contains(&measure) {
                unique.push(measure);
            }
        }
        TableSpec { columns: COLUMNS.to_vec(), measures: unique }
    })
}

fn ints() -> impl Strategy<Value = u64> {
    prop_oneof![
        8 => (-50..50_i64).prop_map(i64::cast_unsigned),
        1 => any::<i64>().prop_map(i64::cast_unsigned),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX)].prop_map(i64::cast_unsigned),
    ]
}

fn steps(keys: u8, len: usize) -> impl Strategy<Value = Vec<Step>> {
    let ahead = prop_oneof![
        4 => 0..5_i64,
        2 => 0..60_i64,
        1 => 0..700_i64,
        3 => -20..0_i64,
        1 => -3_000..0_i64,
    ];
    steps_of(keys, len, ahead)
}

/// Most events are late, many of them later than is allowed.
fn late_steps(keys: u8, len: usize) -> impl Strategy<Value = Vec<Step>> {
    let ahead = prop_oneof![
        3 => 0..30_i64,
        1 => 0..700_i64,
        4 => -60..0_i64,
        3 => -600..0_i64,
        1 => -6_000..0_i64,
    ];
    steps_of(keys, len, ahead)
}

fn happenings() -> impl Strategy<Value = Happening> {
    prop_oneof![
        30 => Just(Happening::Nothing),
        1 => Just(Happening::Eviction),
        2 => Just(Happening::RoundTrip),
    ]
}

fn steps_of(
    keys: u8,
    len: usize,
    ahead: impl Strategy<Value = i64>,
) -> impl Strategy<Value = Vec<Step>> {
    let words = (ints(), ints(), 0..12_u64, -90.0..90.0_f64, -180.0..180.0_f64);
    let flags = (any::<bool>(), 0..8_u8, happenings());
    let step = (0..keys, ahead, any::<u64>(), words, 0..12_u64, flags).prop_map(
        |(key, ahead_ms, filters, words, probe, (with_own, insert, event))| Step {
            key,
            ahead_ms,
            filters,
            words: [words.0, words.1, words.2, words.3.to_bits(), words.4.to_bits()],
            probe,
            with_own,
            insert: insert > 0,
            event,
        },
    );
    vec(step, 1..len)
}

struct Harness {
    table: Table,
    /// The same table, restored from a save: it must give the same for ever.
    twin: Option<Table>,
    options: StateOptions,
    plans: Vec<(Vec<MeasureId>, ReadPlan)>,
    keys: Vec<KeyOfOracle>,
    /// The newest entry that was ever evicted, of any key.
    evicted_until_ms: Option<i64>,
    clock_ms: i64,
    began_ms: i64,
    lateness_ms: i64,
    exact_cap: usize,
    approximate: usize,
}

/// What the oracle knows of a key: everything.
#[derive(Clone, Debug, Default)]
struct KeyOfOracle {
    events: Vec<Kept>,
    /// So many of them were evicted.
    evicted: usize,
    /// The table holds it; it appeared after an eviction.
    held: bool,
    after_eviction: bool,
}

const LATENESS_MS: i64 = 25;

impl Harness {
    fn new(spec: TableSpec, options: StateOptions, keys: u8) -> Self {
        let n = u16::try_from(spec.measures.len()).unwrap();
        let by_number = spec.measures.iter().filter_map(|measure| measure.window.newest).max();
        let by_number = by_number.map_or(1, |newest| usize::from(newest.get()));
        let exact_cap = by_number.max(options.exact_cap as usize);
        let table = Table::new(spec, options);
        let all: Vec<MeasureId> = (0..n).map(MeasureId).collect();
        let some: Vec<MeasureId> = (0..n).rev().step_by(2).map(MeasureId).collect();
        let plans = [all, some].map(|ids| (ids.clone(), table.plan(&ids)));
        Self {
            table,
            twin: None,
            options,
            plans: plans.into(),
            keys: vec![KeyOfOracle::default(); usize::from(keys)],
            evicted_until_ms: None,
            clock_ms: 1_000_000,
            began_ms: 1_000_000 - 40,
            lateness_ms: options.lateness_ms,
            exact_cap,
            approximate: 0,
        }
    }

    fn step(&mut self, number: usize, step: &Step) {
        let event = Kept {
            time_ms: self.clock_ms + step.ahead_ms,
            filters: step.filters,
            words: step.words,
        };
        self.clock_ms = self.clock_ms.max(event.time_ms);
        self.table.advance(self.clock_ms);
        self.twin.iter_mut().for_each(|twin| twin.advance(self.clock_ms));
        let entry = Entry { time_ms: event.time_ms, filters: event.filters, words: &event.words };
        let (ids, plan) = &self.plans[number % self.plans.len()];
        let own = step.with_own.then_some(&event);
        let probes = vec![step.probe; ids.len()];
        // Now and then nobody knows when the day began.
        let known = step.probe != 5;
        let starts = vec![known.then(|| day_before(event.time_ms)); ids.len()];
        let at = ReadAt {
            time_ms: event.time_ms,
            began_ms: self.began_ms,
            own: own.map(|_| &entry),
            probes: &probes,
            starts: &starts,
        };
        let key = key_of(step.key);
        let mut out = vec![Reading::default(); ids.len()];
        self.table.read(key, plan, &at, &mut out);
        if let Some(twin) = &mut self.twin {
            let mut same = vec![Reading::default(); ids.len()];
            twin.read(key, plan, &at, &mut same);
            assert_eq!(same, out, "a restored table gives the same");
        }
        let known_of_key = &self.keys[usize::from(step.key)];
        for (id, reading) in ids.iter().zip(&out) {
            let measure = self.table.spec().measures[usize::from(id.0)];
            let late = event.time_ms < self.clock_ms - self.lateness_ms;
            if measure.window.calendar.is_some() && !known {
                assert_eq!(*reading, Reading::default(), "nobody knows the window");
                continue;
            }
            let evicted_until_ms =
                self.evicted_until_ms.filter(|_| !known_of_key.held || known_of_key.after_eviction);
            let case = Case {
                measure,
                events: &known_of_key.events,
                evicted: known_of_key.evicted,
                at: event.time_ms,
                own,
                probe: step.probe,
                cap: self.exact_cap,
            };
            case.judge(reading, self.began_ms, (late, evicted_until_ms));
            self.approximate += usize::from(matches!(reading.coverage, Coverage::Approximate(_)));
        }
        if step.insert {
            self.insert(step.key, event);
        }
    }

    fn insert(&mut self, key: u8, event: Kept) {
        let entry = Entry { time_ms: event.time_ms, filters: event.filters, words: &event.words };
        let stored = self.table.insert(key_of(key), &entry);
        if let Some(twin) = &mut self.twin {
            assert_eq!(twin.insert(key_of(key), &entry), stored);
            assert_eq!(
                twin.bytes(),
                self.table.bytes(),
                "a restored table evicts at the same time"
            );
        }
        let known = &mut self.keys[usize::from(key)];
        if stored == Stored::Kept && !known.held {
            (known.held, known.after_eviction) = (true, self.evicted_until_ms.is_some());
        }
        known.events.push(event);
    }

    fn evict(&mut self) {
        let evicted = self.table.evict(2);
        if let Some(twin) = &mut self.twin {
            assert_eq!(twin.evict(2), evicted);
        }
        let Some(evicted) = evicted else { return };
        let n = u8::try_from(self.keys.len()).unwrap();
        let key = (0..n).find(|key| key_of(*key) == evicted.key).unwrap();
        let known = &mut self.keys[usize::from(key)];
        (known.evicted, known.held) = (known.events.len(), false);
        let newest_ms = self.evicted_until_ms.unwrap_or(i64::MIN).max(evicted.newest_ms);
        self.evicted_until_ms = Some(newest_ms);
    }

    /// Saves the table, and lets a restored one go on beside it.
    fn round_trip(&mut self) {
        let mut head = Vec::new();
        self.table.begin_save(&mut Encoder::new(&mut head));
        let (mut parts, mut done) = (Vec::new(), false);
        while !done {
            let mut part = Vec::new();
            done = self.table.save_part(1, &mut Encoder::new(&mut part));
            parts.push(part);
        }
        assert!(self.table.save_side().is_empty(), "nothing changed meanwhile");
        self.table.end_save();
        let spec = self.table.spec().clone();
        let mut loader = TableLoader::new(spec, self.options, &mut Decoder::new(&head)).unwrap();
        for part in &parts {
            loader.run(&mut Decoder::new(part)).unwrap();
        }
        self.twin = Some(loader.finish().unwrap());
    }
}

fn key_of(number: u8) -> EntityKey {
    EntityKey(u128::from(number) + 77)
}

struct Case<'a> {
    measure: Measure,
    events: &'a [Kept],
    /// So many of the events were evicted.
    evicted: usize,
    at: i64,
    own: Option<&'a Kept>,
    probe: u64,
    /// So many entries of a key are kept one by one.
    cap: usize,
}

impl Case<'_> {
    fn over(&self, start: i64, end: i64) -> ReadValue {
        naive(&self.measure, self.events, (start, end), self.own, self.probe)
    }

    /// `evicted_until_ms`: entries of the key up to then may have been evicted.
    #[track_caller]
    fn judge(
        &self,
        reading: &Reading,
        began_ms: i64,
        (late, evicted_until_ms): (bool, Option<i64>),
    ) {
        let Span { length_ms, ending_ago_ms, calendar, .. } = self.measure.window;
        let (start, end) = match calendar {
            Some(Calendar::Since(_)) => (day_before(self.at), self.at),
            Some(Calendar::Before(_)) => (day_before(self.at) - length_ms, day_before(self.at)),
            None => {
                let end = self.at.saturating_sub(ending_ago_ms);
                (end.saturating_sub(length_ms), end)
            }
        };
        let exact = self.over(start, end);
        if self.measure.walks() {
            return self.judge_walk(
                reading,
                exact,
                (start, end),
                (began_ms, late, evicted_until_ms),
            );
        }
        match reading.coverage {
            Coverage::Complete => {
                assert!(start >= began_ms - 1, "should be warming: {:?}", self.measure);
                assert_eq!(reading.value, exact, "{:?} at {}", self.measure, self.at);
            }
            Coverage::Warming => {
                assert!(start < began_ms - 1, "should not be warming: {:?}", self.measure);
                assert_eq!(reading.value, exact, "{:?} at {}", self.measure, self.at);
            }
            Coverage::Approximate(ppm) => {
                let kept = Self { events: &self.events[self.evicted..], ..*self };
                assert_eq!(kept.over(start, end), exact, "should be capped: {:?}", self.measure);
                kept.judge_approximate(reading, ppm, start, end);
            }
            Coverage::Unpriced => panic!("a window knows no rates: {reading:?}"),
            Coverage::Capped => {
                let evicted = evicted_until_ms.is_some_and(|until_ms| start < until_ms);
                assert!(
                    late || evicted,
                    "capped though in time: {:?} at {}",
                    self.measure,
                    self.at
                );
                if self.measure.kind == MeasureKind::Count
                    && let (ReadValue::Int(given), ReadValue::Int(exact)) = (reading.value, exact)
                {
                    assert!(given <= exact, "not a lower bound: {:?}", self.measure);
                }
                self.judge_part(reading.value, exact);
            }
        }
    }

    /// Where what is older than the entries that were looked at does not matter, it does not matter either whether it is
    /// known.
    #[track_caller]
    fn judge_walk(
        &self,
        reading: &Reading,
        exact: ReadValue,
        (start, end): (i64, i64),
        (began_ms, late, evicted_until_ms): (i64, bool, Option<i64>),
    ) {
        let looked_at = looked_at(&self.measure, self.events, (start, end), self.own);
        let n = self.measure.window.newest.map_or(usize::MAX, |newest| newest.get().into());
        let mut oldest = (looked_at.len() == n).then(|| looked_at[0]);
        if self.measure.kind == MeasureKind::Run {
            let breaks = looked_at.iter().rev().find(|event| !passes(&self.measure, event));
            oldest = breaks.copied().or(oldest);
        }
        let open = oldest.is_none();
        let is_own = |event| self.own.is_some_and(|own| core::ptr::eq(own, event));
        let since = match oldest {
            None => start,
            // What lies before the present event is not even looked at.
            Some(event) if is_own(event) => self.at,
            Some(event) => event.time_ms - 1,
        };
        // Entries of the key that are not older than those: they are kept one by one if there is room for them.
        let n_kept = self.events.iter().filter(|event| event.time_ms > since).count();
        let message = format!("{:?} at {}: {reading:?}, since {since}", self.measure, self.at);
        match reading.coverage {
            Coverage::Complete => {
                assert!(since >= began_ms - 1, "should be warming: {message}");
                assert_eq!(reading.value, exact, "{message}");
            }
            Coverage::Warming => {
                assert!(since < began_ms - 1, "should not be warming: {message}");
                assert_eq!(reading.value, exact, "{message}");
            }
            Coverage::Approximate(_) | Coverage::Unpriced => panic!("exact or a part: {message}"),
            Coverage::Capped => {
                let evicted = evicted_until_ms.is_some_and(|until_ms| since < until_ms);
                assert!(late || evicted || n_kept > self.cap, "capped in vain: {message}");
                if !late && open && self.measure.kind == MeasureKind::Count {
                    let (ReadValue::Int(given), ReadValue::Int(exact)) = (reading.value, exact)
                    else {
                        panic!("counts: {message}")
                    };
                    assert!(given <= exact, "not a lower bound: {message}");
                }
            }
        }
    }

    /// A capped value is that of a part of what counts.
    #[track_caller]
    fn judge_part(&self, given: ReadValue, exact: ReadValue) {
        let fits = match (self.measure.kind, given, exact) {
            // Amounts may be negative: a part may have any sum, any rank and any last.
            (MeasureKind::Sum(_) | MeasureKind::Ranked(..) | MeasureKind::Last(_), _, _)
            // The sum of all squares may be out of range, and in a part there may be no extreme.
            | (MeasureKind::SumSquares(_), _, ReadValue::Missing)
            | (
                MeasureKind::Min(_) | MeasureKind::Max(_) | MeasureKind::LastTime,
                ReadValue::Missing,
                _,
            ) => true,
            (MeasureKind::Min(_), ReadValue::Int(given), ReadValue::Int(exact)) => given >= exact,
            (_, ReadValue::Int(given), ReadValue::Int(exact)) => given <= exact,
            _ => false,
        };
        assert!(fits, "{:?} at {}: {given:?} is not of a part of {exact:?}", self.measure, self.at);
    }

    /// The value belongs to a window whose ends are off by at most the stated share of its length; a distinct count
    /// is within the stated share of such a value.
    #[track_caller]
    fn judge_approximate(&self, reading: &Reading, ppm: u64, start: i64, end: i64) {
        assert!(ppm > 0, "an approximation of nothing is exact");
        let counts = matches!(self.measure.kind, MeasureKind::Count | MeasureKind::CountOf(_));
        if counts && self.measure.window.length_ms == i64::MAX {
            // Of a lifetime the slice counts whole that its near end cuts.
            let (least, most) = (self.over(start, end), self.over(start, i64::MAX));
            let (ReadValue::Int(least), ReadValue::Int(most)) = (least, most) else {
                panic!("a count is a whole number")
            };
            let fits = |given| (least..=most).contains(&given);
            assert!(matches!(reading.value, ReadValue::Int(given) if fits(given)));
            return;
        }
        let length_ms = match self.measure.window.calendar {
            Some(Calendar::Since(_)) => end - start,
            _ => self.measure.window.length_ms,
        };
        let slack = i128::from(length_ms) * i128::from(ppm) / 1_000_000 + 1;
        let slack = i64::try_from(slack).unwrap_or(i64::MAX);
        let times = self.events.iter().map(|event| event.time_ms);
        let mut starts = vec![start];
        let mut ends = vec![end];
        starts.extend(
            times
                .clone()
                .flat_map(|t| [t - 1, t])
                .filter(|t| *t < start && *t >= start.saturating_sub(slack)),
        );
        ends.extend(times.flat_map(|t| [t - 1, t]).filter(|t| *t < end && *t >= end - slack));
        let fits = starts.iter().any(|start| {
            ends.iter().any(|end| {
                let (exact, size) = (self.over(*start, *end), self.size(*start, *end));
                self.close(reading.value, exact, (size, ppm))
            })
        });
        assert!(fits, "{:?} at {}: {reading:?} is out of bounds", self.measure, self.at);
    }

    /// What the stated share is a share of, where that is not the value itself.
    fn size(&self, start: i64, end: i64) -> u128 {
        let MeasureKind::Ranked(column, pick) = self.measure.kind else { return 0 };
        let inside = counted(&self.measure, self.events, (start, end), self.own);
        let values = inside.iter().map(|event| event.words[offset(column)].cast_signed());
        picked(pick, values.collect()).iter().map(|value| value.unsigned_abs()).sum()
    }

    fn close(&self, given: ReadValue, exact: ReadValue, (size, ppm): (u128, u64)) -> bool {
        if given == exact {
            return true;
        }
        match (self.measure.kind, given, exact) {
            (MeasureKind::Ranked(..), ReadValue::Int(given), ReadValue::Int(exact)) => {
                given.abs_diff(exact) * 1_000_000 <= size * u128::from(ppm)
            }
            (MeasureKind::Distinct(_), ReadValue::Int(given), ReadValue::Int(exact)) => {
                (given - exact).abs() <= exact * i128::from(ppm) / 1_000_000
            }
            _ => false,
        }
    }
}

fn run(spec: TableSpec, options: StateOptions, keys: u8, steps: &[Step]) -> Harness {
    let mut harness = Harness::new(spec, options, keys);
    for (number, step) in steps.iter().enumerate() {
        harness.step(number, step);
        if number % 7 == 3 {
            harness.table.sweep(3);
        }
    }
    harness
}

/// As [`run`], with what else happens between the steps; nothing is swept, so that the oracle knows which keys are held.
fn run_with(spec: TableSpec, options: StateOptions, keys: u8, steps: &[Step]) {
    let mut harness = Harness::new(spec, options, keys);
    for (number, step) in steps.iter().enumerate() {
        match step.event {
            Happening::Nothing => {}
            Happening::Eviction => harness.evict(),
            Happening::RoundTrip => harness.round_trip(),
        }
        harness.step(number, step);
    }
}

/// How many cases each property is tried on; `PROPTEST_CASES` may ask for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(400)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_ring_reads_as_the_oracle(spec in specs(), steps in steps(3, 120)) {
        let options = StateOptions { lateness_ms: LATENESS_MS, ..StateOptions::default() };
        run(spec, options, 3, &steps);
    }

    #[test]
    fn a_log_reads_as_the_oracle(spec in specs(), steps in steps(2, 250)) {
        let options = StateOptions { lateness_ms: LATENESS_MS, ring_cap: 4, exact_cap: 100_000 };
        run(spec, options, 2, &steps);
    }

    #[test]
    fn tiles_read_as_the_oracle_within_the_stated_bound(spec in specs(), steps in steps(2, 250)) {
        let options = StateOptions { lateness_ms: LATENESS_MS, ring_cap: 4, exact_cap: 16 };
        run(spec, options, 2, &steps);
    }

    #[test]
    fn late_events_find_their_place_in_slices(
        spec in specs(), steps in late_steps(2, 250), exact_cap in 1_u32..12, lateness_ms in 0..400_i64,
    ) {
        run(spec, StateOptions { lateness_ms, ring_cap: 2, exact_cap }, 2, &steps);
    }

    #[test]
    fn keys_that_were_evicted_or_restored_read_as_the_oracle(
        spec in specs(), steps in steps(3, 250), exact_cap in 1_u32..40, late in late_steps(3, 120),
    ) {
        let options = StateOptions { lateness_ms: LATENESS_MS, ring_cap: 4, exact_cap };
        run_with(spec.clone(), options, 3, &steps);
        run_with(spec, options, 3, &late);
    }
}

fn one_measure(kind: MeasureKind, length_ms: i64) -> TableSpec {
    let window = Span::sliding(length_ms, 0);
    let measure = Measure { kind, filter: None, window, counting: Counting::Prior };
    TableSpec { columns: vec![ColumnKind::Word], measures: vec![measure] }
}

#[test]
fn distinct_words_of_a_hot_key_stay_within_the_stated_bound() {
    const LENGTH_MS: i64 = 60_000;
    let options = StateOptions { lateness_ms: 500, ring_cap: 4, exact_cap: 100 };
    let mut table = Table::new(one_measure(MeasureKind::Distinct(ColumnId(0)), LENGTH_MS), options);
    let plan = table.plan(&[MeasureId(0)]);
    let mut kept: Vec<(i64, u64)> = Vec::new();
    let mut approximate = 0;
    for n in 0..20_000_i64 {
        // Every 50th event is 400 ms late; words repeat now and then and grow in number with time.
        let clock_ms = n * 10;
        let time_ms = if n % 50 == 49 { clock_ms - 400 } else { clock_ms };
        let word = (n.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % (50 + n as u64);
        table.advance(clock_ms);
        if n % 250 < 2 || n % 1_000 == 549 {
            let at = ReadAt { time_ms, began_ms: i64::MIN, own: None, probes: &[], starts: &[] };
            let mut out = [Reading::default()];
            table.read(EntityKey(1), &plan, &at, &mut out);
            let true_since = |start: i64| {
                let inside = kept.iter().filter(|(t, _)| *t > start && *t <= time_ms);
                inside.map(|(_, word)| *word).collect::<std::collections::BTreeSet<_>>().len()
                    as f64
            };
            let Coverage::Approximate(ppm) = out[0].coverage else {
                assert_eq!(out[0].coverage, Coverage::Complete);
                let exact = true_since(time_ms - LENGTH_MS) as i128;
                assert_eq!(out[0].value, ReadValue::Int(exact));
                continue;
            };
            approximate += 1;
            let share = ppm as f64 / 1e6;
            let slack_ms = (LENGTH_MS as f64 * share) as i64 + 1;
            let low = true_since(time_ms - LENGTH_MS) * (1.0 - share);
            let high = true_since(time_ms - LENGTH_MS - slack_ms) * (1.0 + share);
            let ReadValue::Int(given) = out[0].value else { panic!("{:?}", out[0]) };
            let given = given as f64;
            assert!(low <= given && given <= high, "event {n}: {given} not in {low}..{high}");
            assert!(share < 0.09, "the bound says nothing: {ppm}");
        }
        table.insert(EntityKey(1), &Entry { time_ms, filters: 0, words: &[word] });
        kept.push((time_ms, word));
    }
    assert!(approximate > 100, "only {approximate} readings were approximate");
}

#[test]
fn of_equal_times_the_later_arrival_is_the_latest_though_older_ones_are_in_tiles() {
    let options = StateOptions { lateness_ms: 500, ring_cap: 1, exact_cap: 2 };
    let mut table = Table::new(one_measure(MeasureKind::Last(ColumnId(0)), 100), options);
    let plan = table.plan(&[MeasureId(0)]);
    for word in 1..=6 {
        table.insert(EntityKey(1), &Entry { time_ms: 50, filters: 0, words: &[word] });
        let at = ReadAt { time_ms: 60, began_ms: 0, own: None, probes: &[], starts: &[] };
        let mut out = [Reading::default()];
        table.read(EntityKey(1), &plan, &at, &mut out);
        assert_eq!(out[0].value, ReadValue::Word(word));
    }
}

#[test]
fn the_tile_runs_do_meet_approximate_readings() {
    let events: Vec<Step> = (0..400_u64)
        .map(|n| Step {
            key: 0,
            ahead_ms: 1 + (n % 3).cast_signed(),
            filters: n,
            words: [n % 50, n, n % 11, 0, 0],
            probe: n % 12,
            with_own: n % 2 == 0,
            insert: true,
            event: Happening::Nothing,
        })
        .collect();
    let kinds = [
        MeasureKind::Count,
        MeasureKind::Sum(ColumnId(0)),
        MeasureKind::Max(ColumnId(1)),
        MeasureKind::Distinct(ColumnId(2)),
        MeasureKind::CountOf(ColumnId(2)),
        MeasureKind::LastTime,
    ];
    let window = Span::sliding(450, 0);
    let filter = Some(FilterBit(1));
    let measures = kinds.map(|kind| Measure { kind, filter, window, counting: Counting::Last });
    let spec = TableSpec { columns: COLUMNS.to_vec(), measures: measures.to_vec() };
    let options = StateOptions { lateness_ms: LATENESS_MS, ring_cap: 4, exact_cap: 16 };
    let harness = run(spec, options, 1, &events);
    assert!(harness.approximate > 100, "only {}", harness.approximate);
}
