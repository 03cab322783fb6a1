//! What a state table keeps per event, and what it can be asked.
//!
//! A table belongs to one event type and one tuple of keys. Per event and key it keeps an *entry*: the event time, a
//! bit per distinct filter, and a few 64-bit words (columns). A *measure* is one primitive question (count, sum, last,
//! ...) over a window; the aggregates of the rule language are arithmetic on measures (an average is sum / count).

use core::num::NonZeroU16;

/// Index of a measure in [`TableSpec::measures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MeasureId(pub u16);

/// Index of a column in [`TableSpec::columns`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ColumnId(pub u8);

/// A bit of the entry's filter mask, below [`MAX_FILTERS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FilterBit(pub u8);

/// Most distinct filters in one table: the width of the mask. The planner opens a second table beyond it.
pub const MAX_FILTERS: usize = 64;

/// Most columns in one table.
pub const MAX_COLUMNS: usize = 16;

/// What one table keeps and answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// One word per column and entry (two for [`ColumnKind::Geo`]), in this order.
    pub columns: Vec<ColumnKind>,
    /// All questions; no two are equal.
    pub measures: Vec<Measure>,
}

/// How the word of a column is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ColumnKind {
    /// `i64`: money in minor units of one currency, integers, durations and times in ms.
    Int,
    /// `i64` millionths of a number; a number that does not fit is not remembered (its filter bit stays unset).
    Micro,
    /// Opaque word, equality only: [`crate::base::Tag`] of a text or a code.
    Word,
    /// Two words: `f64` bits of latitude and longitude.
    Geo,
}

/// One question.
///
/// An entry counts when its filter bit is set (always, for `None`) and it lies in the window: of a window by number the
/// filter looks at the entries that are left. The filter bit of a measure with a column already includes "the value is
/// present".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Measure {
    /// What is asked.
    pub kind: MeasureKind,
    /// Which entries count.
    pub filter: Option<FilterBit>,
    /// Over which span.
    pub window: Span,
    /// Whether the present event counts (only ever when `window.ending_ago_ms` is 0).
    pub counting: Counting,
}

/// The window `(t - length - ending_ago, t - ending_ago]` of an event at `t`, or one with an end by the calendar.
///
/// Events that arrived earlier but carry a later event time are outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Span {
    /// Length in ms, positive; of a window by the calendar the most that it can be.
    pub length_ms: i64,
    /// Shift into the past in ms, not negative; of a window that ends by the calendar the most that it can be.
    pub ending_ago_ms: i64,
    /// One end lies where a part of the calendar began: whoever reads says when that was ([`crate::state::ReadAt`]).
    pub calendar: Option<Calendar>,
    /// Of the entries in it only so many count, the newest, whatever filters say of them; the present event is one of them
    /// where it counts. At most [`MAX_NEWEST`]; `None`: all.
    pub newest: Option<NonZeroU16>,
}

/// Most entries of a window by number.
pub const MAX_NEWEST: u16 = 1_000;

impl Span {
    /// Everything that ever was.
    pub const LIFETIME: Self = Self::sliding(i64::MAX, 0);

    /// A window of fixed length.
    pub const fn sliding(length_ms: i64, ending_ago_ms: i64) -> Self {
        Self { length_ms, ending_ago_ms, calendar: None, newest: None }
    }

    /// A part of the calendar, up to the event.
    pub const fn of_calendar(period: Period) -> Self {
        Self { calendar: Some(Calendar::Since(period)), ..Self::sliding(period.most_ms(), 0) }
    }

    /// A window of fixed length that ends where a part of the calendar began, so that nothing of it is inside.
    pub const fn before(length_ms: i64, period: Period) -> Self {
        let ending = Some(Calendar::Before(period));
        Self { calendar: ending, ..Self::sliding(length_ms, period.most_ms()) }
    }

    /// The newest entries of this window.
    #[must_use]
    pub const fn by_number(self, newest: NonZeroU16) -> Self {
        Self { newest: Some(newest), ..self }
    }

    /// The furthest distance of its old end into the past, ms.
    pub const fn reach_ms(&self) -> i64 {
        self.length_ms.saturating_add(self.ending_ago_ms)
    }

    /// The least distance of its near end into the past, ms.
    pub const fn least_ago_ms(&self) -> i64 {
        match self.calendar {
            // The instant before that in which the part of the calendar began.
            Some(Calendar::Before(_)) => 1,
            _ => self.ending_ago_ms,
        }
    }

    /// Whether it has no old end.
    pub const fn is_lifetime(&self) -> bool {
        self.length_ms == i64::MAX && self.ending_ago_ms == 0
    }
}

/// Which end of a window lies where a part of the calendar began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Calendar {
    /// The old one: the window is this part, up to the event.
    Since(Period),
    /// The near one: the window ends with the instant before this part.
    Before(Period),
}

impl Calendar {
    /// The part.
    pub const fn period(self) -> Period {
        match self {
            Self::Since(period) | Self::Before(period) => period,
        }
    }
}

/// A part of the calendar, in some time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// From midnight.
    Day,
    /// From Monday.
    Week,
    /// From the first.
    Month,
}

impl Period {
    /// Longer than any such period: clocks go back by one hour as a rule, by up to three at some places.
    pub const fn most_ms(self) -> i64 {
        const HOUR_MS: i64 = 3_600_000;
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
        };
        (days * 24 + 3) * HOUR_MS
    }
}

/// Whether the present event counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counting {
    /// It does, when it is of the table's event type, has the key that is asked for, and passes the filter.
    Last,
    /// It does not.
    Prior,
}

/// What is asked of the entries that count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MeasureKind {
    /// How many. Empty: 0.
    Count,
    /// Sum of an `Int` or `Micro` column in `i128`. Empty: 0.
    Sum(ColumnId),
    /// Sum of squares of an `Int` or `Micro` column in `i128`. Empty: 0.
    SumSquares(ColumnId),
    /// Smallest. Empty: missing.
    Min(ColumnId),
    /// Largest. Empty: missing.
    Max(ColumnId),
    /// How many different words. Empty: 0.
    Distinct(ColumnId),
    /// How many entries carry the word given as probe. Empty: 0. (`is_new` asks whether this is 0.)
    CountOf(ColumnId),
    /// A value by its rank in an `Int` or `Micro` column. Empty: missing.
    Ranked(ColumnId, Pick),
    /// The column of the latest entry by (time, arrival). Empty: missing.
    Last(ColumnId),
    /// The time of the latest entry in ms. Empty: missing.
    LastTime,
    /// How many entries pass the filter in a row, the newest first: up to the first one that does not. Empty: 0.
    Run,
}

impl Measure {
    /// Whether it is answered by looking back from the newest entry of its window, one entry after the other.
    pub const fn walks(&self) -> bool {
        self.window.newest.is_some() || matches!(self.kind, MeasureKind::Run)
    }
}

/// Which value of an ordered column is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Pick {
    /// The smallest value that at least this many parts per million of the values do not exceed (nearest rank), from 1
    /// to 1,000,000. It is always one of the values.
    AtLeast(u32),
    /// The sum of the two in the middle, of an odd number twice the one: half of it is the median.
    Middle,
}

/// The answer to a measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// The value.
    pub value: ReadValue,
    /// How far the value can be trusted.
    pub coverage: Coverage,
}

/// The value of a reading.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ReadValue {
    /// Nothing counted, or the sum left the range of `i128`.
    Missing,
    /// Counts, sums, minima, maxima, times; `Micro` columns in millionths (squares in millionths squared).
    Int(i128),
    /// A word.
    Word(u64),
    /// Latitude and longitude.
    Geo(f64, f64),
}

/// How far a reading can be trusted. Ordered from best to worst; the worst of several holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Coverage {
    /// Exact over the whole window.
    #[default]
    Complete,
    /// The stream began inside the window: exact over what was seen.
    Warming,
    /// The ends of the window are off by at most this many parts per million of its length (tiles), or the value is
    /// (sketches). More than a million where a window has only just begun.
    Approximate(u64),
    /// Amounts in the window were left out, because nobody knows their exchange rate.
    Unpriced,
    /// State of this key was evicted inside the window to stay under the byte budget: a lower bound.
    Capped,
}

/// Remembered events of one key, copied out.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The oldest first, by (time, arrival).
    pub entries: Vec<PastEntry>,
    /// The columns of all of them.
    pub words: Vec<u64>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastEntry {
    /// Event time in ms.
    pub time_ms: i64,
    /// Filter bits; above those that the table uses there may be others.
    pub filters: u64,
    /// Place of its first word in [`History::words`].
    pub words_at: usize,
}

/// Which entries of a key are copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// At least one of these filter bits is set; none: all.
    pub mask: u64,
    /// Later than this, ms.
    pub after_ms: i64,
    /// Not later than this, ms.
    pub until_ms: i64,
}

/// Most entries that are copied out, the newest; where there are more the answer is capped.
pub const MAX_HISTORY: usize = 4_096;

/// One event as a table keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Event time in ms.
    pub time_ms: i64,
    /// Filter bits.
    pub filters: u64,
    /// Words, as the columns say.
    pub words: &'a [u64],
}
