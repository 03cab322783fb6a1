//! A naive oracle of windows: every event of a key is kept, and every question walks them all.
#![allow(dead_code, reason = "each test crate uses another part of this file")]

use riskweir::window::spec::{
    ColumnId, ColumnKind, Counting, Measure, MeasureKind, Pick, ReadValue,
};

pub(crate) const COLUMNS: [ColumnKind; 4] =
    [ColumnKind::Int, ColumnKind::Micro, ColumnKind::Word, ColumnKind::Geo];
/// An int, a micro, a word, a position.
pub(crate) const WORDS: usize = 5;

/// An event as the oracle keeps it; the index in its list is the order of arrival.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) time_ms: i64,
    pub(crate) filters: u64,
    pub(crate) words: [u64; WORDS],
}

pub(crate) fn offset(column: ColumnId) -> usize {
    usize::from(column.0)
}

/// The events of `(start, end]` at which a measure looks, the oldest first: of a window by number the newest.
pub(crate) fn looked_at<'a>(
    measure: &Measure,
    events: &'a [Kept],
    (start, end): (i64, i64),
    own: Option<&'a Kept>,
) -> Vec<&'a Kept> {
    let inside = |event: &&Kept| event.time_ms > start && event.time_ms <= end;
    let mut inside: Vec<&Kept> = events.iter().filter(inside).collect();
    inside.sort_by_key(|event| event.time_ms);
    if measure.counting == Counting::Last && measure.window.ending_ago_ms == 0 {
        inside.extend(own);
    }
    let newest = measure.window.newest.map_or(inside.len(), |newest| newest.get().into());
    let surplus = inside.len().saturating_sub(newest);
    inside.split_off(surplus)
}

pub(crate) fn passes(measure: &Measure, event: &Kept) -> bool {
    measure.filter.is_none_or(|bit| event.filters >> bit.0 & 1 == 1)
}

/// The events that count over `(start, end]`, the oldest first.
pub(crate) fn counted<'a>(
    measure: &Measure,
    events: &'a [Kept],
    (start, end): (i64, i64),
    own: Option<&'a Kept>,
) -> Vec<&'a Kept> {
    let mut counted = looked_at(measure, events, (start, end), own);
    counted.retain(|event| passes(measure, event));
    counted
}

/// The values that a pick adds up, straight from the definition.
pub(crate) fn picked(pick: Pick, mut values: Vec<i64>) -> Vec<i128> {
    values.sort_unstable();
    let n = values.len();
    let one = |at: usize| i128::from(values[at]);
    match pick {
        _ if n == 0 => Vec::new(),
        Pick::Middle => vec![one((n - 1) / 2), one(n / 2)],
        Pick::AtLeast(ppm) => {
            let enough = |at: &usize| (at + 1) as u128 * 1_000_000 >= n as u128 * u128::from(ppm);
            vec![one((0..n).find(enough).unwrap())]
        }
    }
}

/// The value over `(start, end]`, straight from the definition.
pub(crate) fn naive(
    measure: &Measure,
    events: &[Kept],
    (start, end): (i64, i64),
    own: Option<&Kept>,
    probe: u64,
) -> ReadValue {
    let inside = counted(measure, events, (start, end), own);
    let ints = |column: ColumnId| inside.iter().map(move |e| e.words[offset(column)].cast_signed());
    let int = |value: Option<i64>| value.map_or(ReadValue::Missing, |v| ReadValue::Int(v.into()));
    match measure.kind {
        MeasureKind::Count => ReadValue::Int(inside.len() as i128),
        MeasureKind::Sum(column) => ReadValue::Int(ints(column).map(i128::from).sum()),
        MeasureKind::SumSquares(column) => ints(column)
            .try_fold(0_i128, |sum, v| sum.checked_add(i128::from(v) * i128::from(v)))
            .map_or(ReadValue::Missing, ReadValue::Int),
        MeasureKind::Min(column) => int(ints(column).min()),
        MeasureKind::Max(column) => int(ints(column).max()),
        MeasureKind::Distinct(column) => {
            let words: std::collections::BTreeSet<i64> = ints(column).collect();
            ReadValue::Int(words.len() as i128)
        }
        MeasureKind::CountOf(column) => {
            ReadValue::Int(ints(column).filter(|v| v.cast_unsigned() == probe).count() as i128)
        }
        MeasureKind::Ranked(column, pick) => match &picked(pick, ints(column).collect())[..] {
            [] => ReadValue::Missing,
            values => ReadValue::Int(values.iter().sum()),
        },
        MeasureKind::Run => {
            let looked_at = looked_at(measure, events, (start, end), own);
            let run = looked_at.iter().rev().take_while(|event| passes(measure, event));
            ReadValue::Int(run.count() as i128)
        }
        MeasureKind::LastTime => int(inside.last().map(|event| event.time_ms)),
        MeasureKind::Last(column) => {
            let Some(event) = inside.last() else { return ReadValue::Missing };
            let word = event.words[offset(column)];
            match COLUMNS[usize::from(column.0)] {
                ColumnKind::Int | ColumnKind::Micro => ReadValue::Int(word.cast_signed().into()),
                ColumnKind::Word => ReadValue::Word(word),
                ColumnKind::Geo => ReadValue::Geo(
                    f64::from_bits(word),
                    f64::from_bits(event.words[offset(column) + 1]),
                ),
            }
        }
    }
}
