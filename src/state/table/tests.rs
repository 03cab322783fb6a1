//! Tables: forgetting, eviction, coverage, and readings against values by hand.

use core::num::NonZeroU16;

use super::*;
use crate::window::spec::{ColumnId, Counting, FilterBit, Span};

const HOUR_MS: i64 = 3_600_000;

fn over(kind: MeasureKind, length_ms: i64) -> Measure {
    Measure { kind, filter: None, window: Span::sliding(length_ms, 0), counting: Counting::Prior }
}

fn table(measures: Vec<Measure>, options: StateOptions) -> Table {
    let columns = vec![ColumnKind::Int, ColumnKind::Word];
    Table::new(TableSpec { columns, measures }, options)
}

fn key(n: u128) -> EntityKey {
    EntityKey(n)
}

fn put(table: &mut Table, key: EntityKey, time_ms: i64, amount: i64, word: u64) -> Stored {
    put_filtered(table, key, time_ms, (u64::MAX, amount, word))
}

fn put_filtered(
    table: &mut Table,
    key: EntityKey,
    time_ms: i64,
    (filters, amount, word): (u64, i64, u64),
) -> Stored {
    let words = [amount.cast_unsigned(), word];
    table.insert(key, &Entry { time_ms, filters, words: &words })
}

fn read(table: &mut Table, key: EntityKey, time_ms: i64) -> Vec<Reading> {
    read_with(
        table,
        key,
        &ReadAt { time_ms, began_ms: 0, own: None, probes: &[7; 16], starts: &[] },
    )
}

fn read_with(table: &mut Table, key: EntityKey, at: &ReadAt<'_>) -> Vec<Reading> {
    let n = u16::try_from(table.spec().measures.len()).unwrap();
    let plan = table.plan(&(0..n).map(MeasureId).collect::<Vec<_>>());
    let mut out = vec![Reading::default(); plan.len()];
    table.read(key, &plan, at, &mut out);
    out
}

fn values(readings: &[Reading]) -> Vec<ReadValue> {
    readings.iter().map(|reading| reading.value).collect()
}

fn all_kinds(length_ms: i64) -> Vec<Measure> {
    let (amount, word) = (ColumnId(0), ColumnId(1));
    [
        MeasureKind::Count,
        MeasureKind::Sum(amount),
        MeasureKind::SumSquares(amount),
        MeasureKind::Min(amount),
        MeasureKind::Max(amount),
        MeasureKind::Distinct(word),
        MeasureKind::CountOf(word),
        MeasureKind::Last(word),
        MeasureKind::LastTime,
    ]
    .map(|kind| over(kind, length_ms))
    .to_vec()
}

#[test]
fn every_kind_reads_the_values_worked_out_by_hand() {
    let int = ReadValue::Int;
    for ring_cap in [64, 1] {
        let options = StateOptions { ring_cap, ..StateOptions::default() };
        let mut table = table(all_kinds(100), options);
        for (time_ms, amount, word) in
            [(1_000, 900, 1), (1_001, 5, 7), (1_050, -3, 8), (1_100, 4, 7)]
        {
            put(&mut table, key(1), time_ms, amount, word);
        }
        // (1,000, 1,100]: the amounts 5, -3 and 4; the first entry lies just outside.
        let given = values(&read(&mut table, key(1), 1_100));
        let by_hand = [
            int(3),
            int(6),
            int(50),
            int(-3),
            int(5),
            int(2),
            int(2),
            ReadValue::Word(7),
            int(1_100),
        ];
        assert_eq!(given, by_hand, "ring of {ring_cap}");
        // One ms earlier the first entry is inside and the last lies in the future.
        let given = values(&read(&mut table, key(1), 1_099));
        let by_hand = [
            int(3),
            int(902),
            int(810_034),
            int(-3),
            int(900),
            int(3),
            int(1),
            ReadValue::Word(8),
            int(1_050),
        ];
        assert_eq!(given, by_hand, "ring of {ring_cap}");
    }
}

#[test]
fn a_window_over_nothing_is_zero_or_missing() {
    let mut table = table(all_kinds(100), StateOptions::default());
    let (zero, missing) = (ReadValue::Int(0), ReadValue::Missing);
    let nothing = [zero, zero, zero, missing, missing, zero, zero, missing, missing];
    assert_eq!(values(&read(&mut table, key(1), 1_000)), nothing);
}

#[test]
fn the_present_event_counts_in_last_and_not_in_prior() {
    let mut measures = all_kinds(100);
    for measure in &mut measures {
        measure.counting = Counting::Last;
    }
    measures.push(over(MeasureKind::Count, 100));
    measures.push(Measure { filter: Some(FilterBit(3)), ..measures[0] });
    let mut table = table(measures, StateOptions::default());
    put(&mut table, key(1), 990, 10, 8);
    let own = Entry { time_ms: 1_000, filters: 0, words: &[30, 7] };
    let at = ReadAt { time_ms: 1_000, began_ms: 0, own: Some(&own), probes: &[7; 16], starts: &[] };
    let given = values(&read_with(&mut table, key(1), &at));
    let by_hand = [2, 40, 1_000, 10, 30, 2, 1].map(ReadValue::Int);
    assert_eq!(given[..7], by_hand);
    assert_eq!(given[7], ReadValue::Word(7));
    assert_eq!(given[8], ReadValue::Int(1_000));
    assert_eq!(given[9], ReadValue::Int(1), "prior leaves the present event out");
    assert_eq!(given[10], ReadValue::Int(1), "the present event does not pass the filter");
}

#[test]
fn a_sum_of_squares_beyond_the_range_is_missing_and_comes_back() {
    let squares = vec![over(MeasureKind::SumSquares(ColumnId(0)), 100)];
    for ring_cap in [64, 1] {
        let options = StateOptions { ring_cap, ..StateOptions::default() };
        let mut table = table(squares.clone(), options);
        for time_ms in [10, 11, 12, 13] {
            put(&mut table, key(1), time_ms, i64::MIN, 0);
        }
        put(&mut table, key(1), 150, 3, 0);
        assert_eq!(values(&read(&mut table, key(1), 13)), [ReadValue::Missing]);
        assert_eq!(values(&read(&mut table, key(1), 112)), [ReadValue::Int(1 << 126)]);
        assert_eq!(values(&read(&mut table, key(1), 150)), [ReadValue::Int(9)]);
    }
}

#[test]
fn a_window_that_reaches_before_the_stream_began_is_warming() {
    let measures = vec![over(MeasureKind::Count, 100), over(MeasureKind::Count, 50)];
    let mut table = table(measures, StateOptions::default());
    let at = ReadAt { time_ms: 1_060, began_ms: 1_000, own: None, probes: &[], starts: &[] };
    let coverage: Vec<_> =
        read_with(&mut table, key(1), &at).iter().map(|reading| reading.coverage).collect();
    assert_eq!(coverage, [Coverage::Warming, Coverage::Complete]);
    // (999, 1,099] holds nothing older than the begin.
    let at = ReadAt { time_ms: 1_099, began_ms: 1_000, own: None, probes: &[], starts: &[] };
    assert_eq!(read_with(&mut table, key(1), &at)[0].coverage, Coverage::Complete);
}

#[test]
fn a_sweep_forgets_exactly_the_keys_that_no_window_in_time_can_see() {
    let options = StateOptions { lateness_ms: 10, ..StateOptions::default() };
    let mut table = table(vec![over(MeasureKind::Count, 100)], options);
    put(&mut table, key(1), 1_000, 0, 0);
    put(&mut table, key(2), 1_001, 0, 0);
    // An event 10 ms behind the clock asks for (1,000, 1,100]: key 1 is out of sight, key 2 is not.
    table.advance(1_110);
    assert_eq!(table.sweep(100), Swept { visited: 2, removed: 1 });
    assert_eq!(table.keys(), 1);
    assert_eq!(values(&read(&mut table, key(2), 1_100)), [ReadValue::Int(1)]);
    assert_eq!(put(&mut table, key(3), 1_000, 0, 0), Stored::TooOld);
    table.advance(1_111);
    assert_eq!(table.sweep(100).removed, 1);
    assert_eq!(table.keys(), 0);
    assert_eq!(table.sweep(100), Swept { visited: 2, removed: 0 });
}

#[test]
fn a_reading_later_than_the_lateness_says_capped() {
    let options = StateOptions { lateness_ms: 10, ..StateOptions::default() };
    let mut table = table(vec![over(MeasureKind::Count, 100)], options);
    table.advance(10_000);
    assert_eq!(read(&mut table, key(1), 9_990)[0].coverage, Coverage::Complete);
    assert_eq!(read(&mut table, key(1), 9_989)[0].coverage, Coverage::Capped);
}

#[test]
fn an_eviction_takes_the_oldest_and_marks_what_comes_after() {
    let mut table = table(vec![over(MeasureKind::Count, 100)], StateOptions::default());
    for (n, time_ms) in [(1, 1_020), (2, 1_010), (3, 1_030)] {
        put(&mut table, key(n), time_ms, 0, 0);
    }
    let evicted = table.evict(3).expect("three keys are there");
    assert_eq!(evicted, Evicted { key: key(2), newest_ms: 1_010 });
    assert_eq!((table.keys(), table.evictions()), (2, 1));
    // A key that stood there all the time lost nothing; one that is gone or new may have.
    assert_eq!(read(&mut table, key(1), 1_050)[0].coverage, Coverage::Complete);
    assert_eq!(read(&mut table, key(2), 1_050)[0].coverage, Coverage::Capped);
    put(&mut table, key(2), 1_050, 0, 0);
    let reading = read(&mut table, key(2), 1_060)[0];
    assert_eq!((reading.value, reading.coverage), (ReadValue::Int(1), Coverage::Capped));
    // (1,010, 1,110] does not reach back to what was evicted.
    assert_eq!(read(&mut table, key(2), 1_110)[0].coverage, Coverage::Complete);
}

#[test]
fn an_empty_table_evicts_nothing() {
    let mut table = table(vec![over(MeasureKind::Count, 100)], StateOptions::default());
    assert_eq!(table.evict(10), None);
    put(&mut table, key(1), 5, 0, 0);
    assert!(table.evict(1).is_some());
    assert_eq!(table.evict(1), None);
}

#[test]
fn a_card_key_with_windows_of_a_day_takes_at_most_240_bytes() {
    let (amount, merchant) = (ColumnId(0), ColumnId(1));
    let measures = vec![
        over(MeasureKind::Count, HOUR_MS),
        over(MeasureKind::Sum(amount), 24 * HOUR_MS),
        over(MeasureKind::Distinct(merchant), 24 * HOUR_MS),
    ];
    let mut table = table(measures, StateOptions::default());
    // A power of two of keys: neither slab nor index holds spare room beyond its load limit.
    let keys = 1 << 17;
    for round in 0..7 {
        for n in 0..keys {
            // 4 to 7 entries: 5.5 on average.
            if round < 4 || n % 4 >= round - 3 {
                let time_ms = i64::try_from(round * 1_000_000 + n).unwrap();
                put(&mut table, key(n), time_ms, 100, 1);
            }
        }
    }
    let per_key = table.bytes() / usize::try_from(keys).unwrap();
    assert!(per_key <= 240, "{per_key} bytes per key");
    assert_eq!(size_of::<Slot>(), 48);
}

#[test]
fn bytes_go_up_with_entries_and_down_to_the_empty_frame() {
    for ring_cap in [64, 4] {
        let options = StateOptions { lateness_ms: 0, ring_cap, exact_cap: 100 };
        let mut table = table(all_kinds(1_000), options);
        for time_ms in 0..400 {
            put(&mut table, key(1), time_ms, time_ms, 7);
            table.advance(time_ms);
            read(&mut table, key(1), time_ms);
        }
        assert!(table.history_bytes > 100 * 3 * 8, "{}", table.history_bytes);
        table.advance(1_397);
        table.sweep(1);
        let shrunk = table.history_bytes;
        assert!(shrunk < 200, "a calm key is a ring again: {shrunk} bytes");
        assert_eq!(values(&read(&mut table, key(1), 1_397))[0], ReadValue::Int(2));
        table.advance(1_399);
        table.sweep(1);
        assert_eq!((table.keys(), table.history_bytes), (0, 0));
    }
}

#[test]
fn a_late_entry_stands_at_its_place_for_last() {
    let mut table = table(vec![over(MeasureKind::Last(ColumnId(0)), 100)], StateOptions::default());
    put(&mut table, key(1), 50, 1, 0);
    put(&mut table, key(1), 40, 2, 0);
    assert_eq!(values(&read(&mut table, key(1), 60)), [ReadValue::Int(1)]);
    // Of equal times the later arrival is the latest.
    put(&mut table, key(1), 50, 3, 0);
    assert_eq!(values(&read(&mut table, key(1), 60)), [ReadValue::Int(3)]);
}

#[test]
fn tiles_answer_a_day_of_a_hot_key_within_five_minutes() {
    let minute_ms = 60_000;
    let measures = vec![over(MeasureKind::Count, 24 * HOUR_MS)];
    let options = StateOptions { exact_cap: 64, ..StateOptions::default() };
    let mut table = table(measures, options);
    for minute in 0..2_998 {
        table.advance(minute * minute_ms);
        put(&mut table, key(1), minute * minute_ms, 0, 0);
    }
    // (1,557 min, 2,997 min] holds 1,440 entries; the cut tile [1,555, 1,560) brings 1,555 to 1,557 as well: as if the
    // window had begun two minutes and a millisecond earlier, 1,388.9 millionths of a day.
    let reading = read(&mut table, key(1), 2_997 * minute_ms)[0];
    assert_eq!(reading.value, ReadValue::Int(1_443));
    assert_eq!(reading.coverage, Coverage::Approximate(1_389));
    // (1,559 min, 2,999 min] cuts no tile: exactly 1,560 to 2,997.
    let reading = read(&mut table, key(1), 2_999 * minute_ms)[0];
    assert_eq!((reading.value, reading.coverage), (ReadValue::Int(1_438), Coverage::Complete));
}

#[test]
fn a_guess_warms_what_is_there() {
    let mut table = table(vec![over(MeasureKind::Count, 100)], StateOptions::default());
    assert_eq!(table.warm(table.touch(key(1))), 0);
    put(&mut table, key(1), 50, 1, 0);
    put(&mut table, key(1), 60, 1, 0);
    assert_ne!(table.warm(table.touch(key(1))), 0);
}

#[test]
#[should_panic(expected = "does not fit its column")]
fn a_sum_of_words_is_refused() {
    table(vec![over(MeasureKind::Sum(ColumnId(1)), 100)], StateOptions::default());
}

#[test]
fn bytes_are_those_worked_out_by_hand() {
    let mut table =
        table(vec![over(MeasureKind::Sum(ColumnId(0)), HOUR_MS)], StateOptions::default());
    for n in 0..1_000 {
        put(&mut table, key(n), 1_000, 5, 0);
    }
    // A ring of 2 entries of 3 words: 48 bytes, with the allocator's header 64. The slab doubles: 1,024 slots of 48
    // bytes. The index is a table of 2,048 places (7 of 8 of 1,024 would be 896) of 4 bytes and 1, and 16 at its end.
    assert_eq!(size_of::<Slot>(), 48);
    assert_eq!(table.bytes(), 1_000 * 64 + 1_024 * 48 + 2_048 * 5 + 16);
    assert_eq!(table.index.allocation_size(), 2_048 * 5 + 16);
    // A key that is forgotten takes its ring along; its slot stays.
    table.evict(1);
    assert_eq!(table.bytes(), 999 * 64 + 1_024 * 48 + 2_048 * 5 + 16);
}

/// `over prior 3 events within 100 ms`, of those that pass the filter, and how many in a row do.
fn by_number() -> Vec<Measure> {
    let three = NonZeroU16::new(3).expect("three is not nought");
    let filter = Some(FilterBit(0));
    let count = over(MeasureKind::Count, 100);
    let newest = Measure { window: count.window.by_number(three), ..count };
    vec![
        newest,
        Measure { filter, ..newest },
        Measure { kind: MeasureKind::Sum(ColumnId(0)), ..newest },
        Measure { kind: MeasureKind::Run, filter, ..count },
    ]
}

#[test]
fn a_window_by_number_is_complete_once_it_is_full_and_a_run_once_it_is_broken() {
    use Coverage::{Complete, Warming};
    let mut table = table(by_number(), StateOptions::default());
    // (filter, amount, expected: three newest, passing among them, their sum, run; coverage of both)
    let steps = [
        (1, 5, [1, 1, 5, 1], [Warming, Warming]),
        (1, 7, [2, 2, 12, 2], [Warming, Warming]),
        (0, 9, [3, 2, 21, 0], [Complete, Complete]),
        (1, 11, [3, 2, 27, 1], [Complete, Complete]),
        (1, 13, [3, 2, 33, 2], [Complete, Complete]),
        (1, 15, [3, 3, 39, 3], [Complete, Complete]),
    ];
    for (time_ms, (filters, amount, wanted, coverage)) in (1..).zip(steps) {
        put_filtered(&mut table, key(1), time_ms, (filters, amount, 0));
        let readings = read(&mut table, key(1), time_ms);
        assert_eq!(values(&readings), wanted.map(ReadValue::Int), "at {time_ms}");
        assert_eq!([readings[0].coverage, readings[3].coverage], coverage, "at {time_ms}");
    }
    // (5, 105] holds the last of them only.
    assert_eq!(values(&read(&mut table, key(1), 105)), [1, 1, 15, 1].map(ReadValue::Int));
}

#[test]
fn as_many_entries_as_a_window_by_number_holds_are_kept_one_by_one() {
    let options = StateOptions { lateness_ms: 10, ring_cap: 1, exact_cap: 1 };
    let mut measures = by_number();
    measures
        .push(Measure { window: Span { ending_ago_ms: 2, ..measures[0].window }, ..measures[0] });
    let mut table = table(measures, options);
    for time_ms in 1..=9 {
        put_filtered(&mut table, key(1), time_ms, (u64::from(time_ms != 8), time_ms, 0));
    }
    let at = ReadAt { time_ms: 9, began_ms: i64::MIN, own: None, probes: &[], starts: &[] };
    let readings = read_with(&mut table, key(1), &at);
    assert_eq!(values(&readings[..4]), [3, 2, 24, 1].map(ReadValue::Int));
    assert!(readings[..4].iter().all(|reading| reading.coverage == Coverage::Complete));
    // Before 7 ms only 7 is kept one by one; 5 and 6 lie in slices.
    assert_eq!(readings[4], Reading { value: ReadValue::Int(1), coverage: Coverage::Capped });
    // A run that goes on into the slices is at least so long.
    for time_ms in 10..=12 {
        put_filtered(&mut table, key(1), time_ms, (1, time_ms, 0));
    }
    let run = read_with(&mut table, key(1), &ReadAt { time_ms: 12, ..at })[3];
    assert_eq!(run, Reading { value: ReadValue::Int(3), coverage: Coverage::Capped });
}

#[test]
fn a_new_window_by_number_is_complete_where_its_entries_were_kept() {
    let options = StateOptions::default();
    let filtered = Measure { filter: Some(FilterBit(0)), ..over(MeasureKind::Count, 1_000) };
    let mut old = table(vec![filtered], options);
    for time_ms in 1..=6 {
        put_filtered(&mut old, key(1), time_ms * 10, (u64::from(time_ms > 2), 0, 0));
    }
    let spec =
        TableSpec { columns: vec![ColumnKind::Int, ColumnKind::Word], measures: by_number() };
    let mapping =
        crate::window::Mapping { columns: vec![Some(0), Some(1)], filters: vec![Some(0)] };
    let mut new = old.carried(spec, options, &mapping, 60);
    let at = ReadAt { time_ms: 60, began_ms: 0, own: None, probes: &[], starts: &[] };
    let readings = read_with(&mut new, key(1), &at);
    assert_eq!(values(&readings), [3, 3, 0, 4].map(ReadValue::Int));
    assert!(readings.iter().all(|reading| reading.coverage == Coverage::Complete));
}
