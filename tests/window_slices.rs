//! Slices of a busy key: calendar windows in every time zone, and what was once wrong, case by case.

#![expect(
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test: small numbers of its own making"
)]

use proptest::collection::vec;
use proptest::prelude::*;
use riskweir::base::EntityKey;
use riskweir::base::time::{DAY_MS, civil_from_days, days_from_civil};
use riskweir::state::{ReadAt, StateOptions, Stored, Table};
use riskweir::window::spec::{
    Calendar, ColumnId, ColumnKind, Counting, Coverage, Entry, Measure, MeasureId, MeasureKind,
    Period, ReadValue, Reading, Span, TableSpec,
};

use crate::windows::{COLUMNS, Kept, naive};

#[path = "support/windows.rs"]
mod windows;

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn calendar_windows_of_a_busy_key_are_exact_in_every_time_zone(
        begin_ms in 0..1_800_000_000_000_i64,
        steps in vec((prop_oneof![0..900_000_i64, 0..40_000_000_i64], -48..=56_i64, 0..9_u64), 1..200),
        exact_cap in 1_u32..6,
    ) {
        busy_in_time_zones(begin_ms, &steps, exact_cap);
    }
}

/// How many cases the property is tried on; `PROPTEST_CASES` may ask for more.
fn cases() -> u32 {
    std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(200)
}

/// The instant before the day, week and month of a time began in a zone that is so far ahead of UTC.
fn began_before(time_ms: i64, period: Period, ahead_ms: i64) -> i64 {
    let day = (time_ms + ahead_ms).div_euclid(DAY_MS);
    let first = match period {
        Period::Day => day,
        // 5 January 1970 was a Monday.
        Period::Week => day - (day - 4).rem_euclid(7),
        Period::Month => {
            let (year, month, _) = civil_from_days(day);
            days_from_civil(year, month, 1)
        }
    };
    first * DAY_MS - ahead_ms - 1
}

/// Reads all calendar windows of one busy key, each time in another zone: a step is how much later, how many quarters of
/// an hour the zone is ahead, and a word.
fn busy_in_time_zones(begin_ms: i64, steps: &[(i64, i64, u64)], exact_cap: u32) {
    const QUARTER_MS: i64 = 900_000;
    let (amount, word) = (ColumnId(0), ColumnId(2));
    let kinds = [
        MeasureKind::Count,
        MeasureKind::Sum(amount),
        MeasureKind::Max(amount),
        MeasureKind::Distinct(word),
        MeasureKind::CountOf(word),
        MeasureKind::Last(word),
    ];
    let periods = [Period::Day, Period::Week, Period::Month];
    let measures: Vec<Measure> = periods
        .into_iter()
        .flat_map(|period| {
            let window = Span::of_calendar(period);
            kinds.map(|kind| Measure { kind, filter: None, window, counting: Counting::Prior })
        })
        .collect();
    let spec = TableSpec { columns: COLUMNS.to_vec(), measures: measures.clone() };
    let options = StateOptions { lateness_ms: 0, ring_cap: 1, exact_cap };
    let mut table = Table::new(spec, options);
    let plan = table.plan(&(0..18).map(MeasureId).collect::<Vec<_>>());
    let (mut time_ms, mut events) = (begin_ms, Vec::new());
    for (later_ms, quarters_ahead, word) in steps {
        time_ms += later_ms;
        let began = |measure: &Measure| {
            began_before(
                time_ms,
                measure.window.calendar.unwrap().period(),
                quarters_ahead * QUARTER_MS,
            )
        };
        let starts: Vec<Option<i64>> =
            measures.iter().map(|measure| Some(began(measure))).collect();
        table.advance(time_ms);
        let at = ReadAt {
            time_ms,
            began_ms: i64::MIN,
            own: None,
            probes: &[*word; 18],
            starts: &starts,
        };
        let mut out = vec![Reading::default(); plan.len()];
        table.read(KEY, &plan, &at, &mut out);
        for (measure, reading) in measures.iter().zip(&out) {
            let exact = naive(measure, &events, (began(measure), time_ms), None, *word);
            let wanted = Reading { value: exact, coverage: Coverage::Complete };
            assert_eq!(*reading, wanted, "{measure:?} at {time_ms}");
        }
        let words = [time_ms.cast_unsigned() % 1_000, 0, *word, 0, 0];
        table.insert(KEY, &Entry { time_ms, filters: 0, words: &words });
        events.push(Kept { time_ms, filters: 0, words });
    }
}

const KEY: EntityKey = EntityKey(77);

fn over(kind: MeasureKind, window: Span) -> Measure {
    Measure { kind, filter: None, window, counting: Counting::Prior }
}

/// A table of one column of words whose keys keep one entry besides slices.
fn sliced(measures: &[Measure], lateness_ms: i64) -> Table {
    let spec = TableSpec { columns: vec![ColumnKind::Int], measures: measures.to_vec() };
    Table::new(spec, StateOptions { lateness_ms, ring_cap: 1, exact_cap: 1 })
}

fn put(table: &mut Table, time_ms: i64, word: u64) -> Stored {
    table.insert(KEY, &Entry { time_ms, filters: 0, words: &[word] })
}

/// The reading of every measure; `start_ms` is the instant before a calendar window began.
fn read(table: &mut Table, time_ms: i64, start_ms: i64, probe: u64) -> Vec<Reading> {
    let n = table.spec().measures.len();
    let plan = table.plan(&(0..n as u16).map(MeasureId).collect::<Vec<_>>());
    let (probes, starts) = (vec![probe; n], vec![Some(start_ms); n]);
    let at = ReadAt { time_ms, began_ms: i64::MIN, own: None, probes: &probes, starts: &starts };
    let mut out = vec![Reading::default(); n];
    table.read(KEY, &plan, &at, &mut out);
    out
}

fn int(reading: Reading) -> i128 {
    let ReadValue::Int(value) = reading.value else { panic!("{reading:?}") };
    value
}

/// A day of 300 ms: its slices are longer than itself.
const SHORT_DAY: Span =
    Span { calendar: Some(Calendar::Since(Period::Day)), ..Span::sliding(300, 0) };

#[test]
fn words_of_a_forgotten_slice_do_not_come_back_with_the_next_one() {
    let distinct = over(MeasureKind::Distinct(ColumnId(0)), SHORT_DAY);
    let longer = over(MeasureKind::Count, Span::sliding(100_000, 0));
    let mut table = sliced(&[distinct, longer], 0);
    for (time_ms, word) in [(1_000, 1), (1_001, 2)] {
        table.advance(time_ms);
        put(&mut table, time_ms, word);
    }
    assert_eq!(int(read(&mut table, 1_001, 999, 0)[0]), 2);
    // The slice of the words 1 and 2 is forgotten; the next one begins at the same time.
    for (time_ms, word) in [(1_400, 3), (1_401, 4), (1_402, 5)] {
        table.advance(time_ms);
        put(&mut table, time_ms, word);
    }
    let reading = read(&mut table, 1_402, 1_199, 0)[0];
    let wanted = Reading { value: ReadValue::Int(3), coverage: Coverage::Complete };
    assert_eq!(reading, wanted);
}

#[test]
fn a_capped_count_is_a_lower_bound_where_its_old_end_cuts_a_slice() {
    for ending_ago_ms in [0, 300] {
        let count = over(MeasureKind::Count, Span::sliding(1_000, ending_ago_ms));
        let mut table = sliced(&[count], 0);
        // One slice, [1,000, 1,010), and another.
        for time_ms in [1_001, 1_005, 1_009, 1_500, 1_501] {
            table.advance(time_ms);
            put(&mut table, time_ms, 0);
        }
        // Three milliseconds too late, (1,003, 2,003]: of the first slice two count, and it is not known which.
        table.advance(2_006 + ending_ago_ms);
        let reading = read(&mut table, 2_003 + ending_ago_ms, 0, 0)[0];
        assert_eq!(reading.coverage, Coverage::Capped);
        assert_eq!(int(reading), 2, "the two that are surely inside");
    }
}

#[test]
fn a_calendar_window_that_has_just_begun_says_how_much_too_old_its_slice_may_be() {
    let sum = over(MeasureKind::Sum(ColumnId(0)), SHORT_DAY);
    let longer = over(MeasureKind::Count, Span::sliding(100_000, 0));
    let mut table = sliced(&[sum, longer], 10_000);
    for (time_ms, amount) in [(600_000, 7), (605_100, 20), (605_101, 100)] {
        table.advance(time_ms);
        put(&mut table, time_ms, amount);
    }
    // (605,099, 605,101] is 2 ms long; the slice goes back to 600,000, 5,100 ms before it: 2,550 times its length.
    let reading = read(&mut table, 605_101, 605_099, 0)[0];
    assert_eq!(int(reading), 127);
    assert_eq!(reading.coverage, Coverage::Approximate(2_550_000_001));
    // One that is 1 ms long: 5,101 times its length, more than fits 32 bits.
    let reading = read(&mut table, 605_101, 605_100, 0)[0];
    assert_eq!(reading.coverage, Coverage::Complete, "no slice reaches into it");
    put(&mut table, 605_101, 1_000);
    let reading = read(&mut table, 605_101, 605_100, 0)[0];
    assert_eq!(int(reading), 1_127);
    assert_eq!(reading.coverage, Coverage::Approximate(5_101_000_001));
}

#[test]
fn an_entry_inside_a_slice_is_taken_however_late_it_comes() {
    let sum = over(MeasureKind::Sum(ColumnId(0)), Span::sliding(1_000, 0));
    let mut table = sliced(&[sum], 0);
    for (time_ms, amount) in [(1_001, 1), (1_009, 10), (1_500, 100), (1_501, 1_000)] {
        table.advance(time_ms);
        put(&mut table, time_ms, amount);
    }
    table.advance(2_006);
    // No window in time begins before 1,006, but the slice [1,001, 1,009] counts whole until it is forgotten.
    assert_eq!(put(&mut table, 1_004, 10_000), Stored::Kept);
    assert_eq!(put(&mut table, 1_000, 100_000), Stored::TooOld);
    let reading = read(&mut table, 2_006, 0, 0)[0];
    assert_eq!(int(reading), 11_111, "as of (1,000, 2,006]");
    // 6 ms of a thousand.
    assert_eq!(reading.coverage, Coverage::Approximate(6_001));
}

#[test]
fn an_entry_before_what_was_forgotten_does_not_stretch_a_slice_over_it() {
    let sum = over(MeasureKind::Sum(ColumnId(0)), Span::sliding(1_000, 0));
    let longer = over(MeasureKind::Count, Span::sliding(100_000, 0));
    let mut table = sliced(&[sum, longer], 0);
    table.advance(1_002);
    put(&mut table, 1_002, 1);
    put(&mut table, 1_002, 1);
    // 1,002 is forgotten for the shorter window, then its slice is made anew.
    for (time_ms, amount) in [(2_003, 10), (1_006, 100), (1_008, 1_000), (1_001, 10_000)] {
        table.advance(2_003);
        put(&mut table, time_ms, amount);
    }
    table.advance(2_007);
    put(&mut table, 2_007, 100_000);
    // (1,007, 2,007] cuts the slice of 1,006 and 1,008: as if it had begun 2 ms earlier.
    let reading = read(&mut table, 2_007, 0, 0)[0];
    assert_eq!(int(reading), 101_110);
    assert_eq!(reading.coverage, Coverage::Approximate(2_001));
}

#[test]
fn more_words_than_a_slice_counts_are_a_lower_bound_though_the_slice_is_cut() {
    let measure = over(MeasureKind::CountOf(ColumnId(0)), Span::sliding(24 * 3_600_000, 0));
    let mut table = sliced(&[measure], 0);
    // The word 1 in the first second of a slice of five minutes, then more words than it can hold.
    put(&mut table, 0, 1);
    for n in 0..17_000_u64 {
        put(&mut table, 1_000 + (n / 100).cast_signed(), n + 2);
    }
    put(&mut table, 400_000, 1);
    put(&mut table, 500_000, 1);
    table.advance(24 * 3_600_000 + 500);
    let reading = read(&mut table, 24 * 3_600_000 + 500, 0, 1)[0];
    assert_eq!(reading.coverage, Coverage::Capped);
    assert_eq!(int(reading), 2, "the first lies outside");
}

/// 20 events a second for a minute, each with a word of its own.
fn busy_lifetime(after_eviction: bool) -> (Table, Vec<i64>) {
    let kinds = [MeasureKind::Count, MeasureKind::CountOf(ColumnId(0))];
    let measures = kinds.map(|kind| over(kind, Span::LIFETIME));
    let spec = TableSpec { columns: vec![ColumnKind::Word], measures: measures.to_vec() };
    let mut table =
        Table::new(spec, StateOptions { lateness_ms: 5_000, ..StateOptions::default() });
    if after_eviction {
        table.insert(EntityKey(5), &Entry { time_ms: 0, filters: 0, words: &[0] });
        table.evict(1).unwrap();
    }
    let times: Vec<i64> = (0..1_200).map(|n| n * 50).collect();
    for (word, time_ms) in (0..).zip(&times) {
        table.advance(*time_ms);
        put(&mut table, *time_ms, word);
    }
    (table, times)
}

#[test]
fn a_late_event_of_a_busy_key_knows_its_lifetime_to_within_a_second() {
    let (mut table, times) = busy_lifetime(false);
    for late_ms in [0, 500, 3_900, 4_321, 5_000] {
        let end_ms = times.last().unwrap() - late_ms;
        let exact = times.iter().filter(|time_ms| **time_ms <= end_ms).count() as i128;
        let readings = read(&mut table, end_ms, 0, 700);
        let more = int(readings[0]) - exact;
        assert!((0..20).contains(&more), "{more} too many, {late_ms} ms late");
        assert_eq!(int(readings[1]), 1);
    }
}

#[test]
fn a_busy_key_that_was_evicted_once_still_knows_what_it_saw_since() {
    let (mut table, times) = busy_lifetime(true);
    for late_ms in [0, 500, 3_900, 4_321, 5_000] {
        let end_ms = times.last().unwrap() - late_ms;
        let exact = times.iter().filter(|time_ms| **time_ms <= end_ms).count() as i128;
        let readings = read(&mut table, end_ms, 0, 700);
        let less = exact - int(readings[0]);
        assert!((0..=20).contains(&less), "{less} too few, {late_ms} ms late");
        assert_eq!(readings[0].coverage, Coverage::Capped);
        assert_eq!(int(readings[1]), 1, "the word 700 is not new");
    }
}

#[test]
fn a_lifetime_takes_no_more_room_with_time() {
    // One event a minute; 20 a second, of which more than eight seconds are not too late; one every three seconds.
    for (pace_ms, lateness_ms) in [(60_000, 5_000), (50, 5_000), (50, 60_000), (3_000, 600_000)] {
        let measures = [over(MeasureKind::Count, Span::LIFETIME)];
        let spec = TableSpec { columns: vec![ColumnKind::Word], measures: measures.to_vec() };
        let options = StateOptions { lateness_ms, ..StateOptions::default() };
        let mut table = Table::new(spec, options);
        let mut bytes = Vec::new();
        for n in 0..2_000 {
            table.advance(n * pace_ms);
            put(&mut table, n * pace_ms, 0);
            table.sweep(1);
            bytes.push(table.bytes());
        }
        let most = bytes[..500].iter().max();
        assert_eq!(bytes.iter().max(), most, "an event every {pace_ms} ms");
        assert_eq!(int(read(&mut table, 2_000 * pace_ms, 0, 0)[0]), 2_000);
    }
}
