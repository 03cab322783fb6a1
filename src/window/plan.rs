//! The measures of one look-up, compiled: which places of time matter and which questions share one scan.
//!
//! *Edges* are the distinct distances into the past at which a window begins or ends. A *series* is a set of measures
//! that fold the same column under the same filter from the same near edge; its windows are nested, so every entry is
//! folded once and the running value is read off at each far edge (*step*). A measure that looks back from the newest
//! entry ([`Measure::walks`]) is a series of its own, because how far it goes shows on the way ([`crate::window::walk`]).

use crate::window::layout::{Layout, mask_of};
use crate::window::spec::{
    Calendar, ColumnKind, Counting, Measure, MeasureId, MeasureKind, ReadValue, TableSpec,
};

/// A fixed set of measures of one table, ready to be read.
///
/// Built once by [`crate::state::Table::plan`], read any number of times.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    pub(crate) asked: Box<[Asked]>,
    /// Distances into the past in ms, ascending.
    pub(crate) edges: Box<[i64]>,
    pub(crate) series: Box<[Series]>,
    /// Steps of all series, each series' by ascending far edge.
    pub(crate) steps: Box<[Step]>,
    /// The measures over windows by the calendar, as places in `asked`; the far edge of each stands behind `edges`.
    pub(crate) calendars: Box<[usize]>,
    /// Those of them that end by the calendar; the near edge of each stands behind those.
    pub(crate) ended: Box<[usize]>,
    /// The measures that look back from the newest entry; near and far edge of each stand behind all of these.
    pub(crate) walks: Box<[Walk]>,
}

/// A measure that looks back from the newest entry.
#[derive(Clone, Debug)]
pub(crate) struct Walk {
    /// Its place in the plan's `asked`.
    pub(crate) asked: usize,
    /// One step; not used by runs.
    pub(crate) series: Series,
}

/// One measure of the plan.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: MeasureId,
    pub(crate) kind: MeasureKind,
    pub(crate) mask: u64,
    /// Place of its column among the words of an entry.
    pub(crate) offset: usize,
    /// How the column reads.
    pub(crate) column: ColumnKind,
    /// Whether the present event may count.
    pub(crate) with_own: bool,
    /// Old end of the window as a distance into the past; of a window by the calendar the furthest that it can be.
    pub(crate) reach_ms: i64,
    /// Length of the window.
    pub(crate) length_ms: i64,
    /// Near end of the window as a distance into the past, likewise.
    pub(crate) ago_ms: i64,
    /// The reader says where this end of the window is.
    pub(crate) calendar: Option<Calendar>,
    /// Only so many entries count, the newest.
    pub(crate) newest: Option<usize>,
    /// It is answered by looking back from the newest entry.
    pub(crate) walks: bool,
    /// Event time from which on all entries are known that it counts: windows that reach further back are warming.
    pub(crate) since_ms: i64,
}

/// What a series folds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Question {
    Count,
    Sums,
    SumsAndSquares,
    Extremes,
    Distinct,
    CountOf,
    Ranks,
    Latest,
    Run,
}

#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) question: Question,
    pub(crate) mask: u64,
    pub(crate) offset: usize,
    pub(crate) near_edge: usize,
    pub(crate) first_step: usize,
    pub(crate) end_step: usize,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) far_edge: usize,
    pub(crate) asked: usize,
}

impl ReadPlan {
    /// How many readings it gives.
    pub fn len(&self) -> usize {
        self.asked.len()
    }

    /// The measure that gives the reading at a place.
    pub fn measure(&self, place: usize) -> Option<MeasureId> {
        self.asked.get(place).map(|asked| asked.id)
    }

    /// How many edges there are but those of walks.
    pub(crate) fn n_edges(&self) -> usize {
        self.edges.len() + self.calendars.len() + self.ended.len()
    }

    /// Whether it asks nothing.
    pub fn is_empty(&self) -> bool {
        self.asked.is_empty()
    }

    /// Compiles `measures` of `spec`; `since_ms` says per measure of the spec from when on it is known.
    pub(crate) fn new(
        spec: &TableSpec,
        layout: &Layout,
        since_ms: &[i64],
        measures: &[MeasureId],
    ) -> Self {
        let asked = measures.iter().map(|id| {
            let asked = Asked::of(*id, &spec.measures[usize::from(id.0)], spec, layout);
            let since_ms = since_ms.get(usize::from(id.0)).copied().unwrap_or(i64::MIN);
            Asked { since_ms, ..asked }
        });
        let asked: Vec<Asked> = asked.collect();
        let mut edges: Vec<i64> = asked
            .iter()
            .filter(|asked| !asked.walks)
            .flat_map(|asked| [asked.fixed_ago_ms(), asked.fixed_reach_ms()])
            .flatten()
            .collect();
        edges.sort_unstable();
        edges.dedup();
        let calendars = (0..asked.len()).filter(|index| asked[*index].calendar.is_some());
        let calendars: Box<[usize]> = calendars.collect();
        let ended =
            calendars.iter().copied().filter(|index| asked[*index].fixed_ago_ms().is_none());
        let ended: Box<[usize]> = ended.collect();
        let edge_of = |distance: i64| edges.partition_point(|edge| *edge < distance);
        let folded = asked.iter().enumerate().filter(|(_, asked)| !asked.walks);
        let mut keyed: Vec<(SeriesKey, Step)> = folded
            .map(|(index, asked)| {
                let own_edge = || edges.len() + calendars.partition_point(|held| *held < index);
                let far_edge = asked.fixed_reach_ms().map_or_else(own_edge, edge_of);
                let step = Step { far_edge, asked: index };
                let own_edge =
                    || edges.len() + calendars.len() + ended.partition_point(|held| *held < index);
                let near_edge = asked.fixed_ago_ms().map_or_else(own_edge, edge_of);
                (SeriesKey::of(asked, index, near_edge), step)
            })
            .collect();
        keyed.sort_by_key(|(key, step)| (*key, step.far_edge, step.asked));
        let mut series: Vec<Series> = Vec::new();
        for (place, group) in
            keyed.chunk_by(|left, right| left.0 == right.0).scan(0, |at, group| {
                let from = *at;
                *at += group.len();
                Some((from, group))
            })
        {
            series.push(Series::of(&group[0].0, group, &asked, place));
        }
        let mut steps: Vec<Step> = keyed.into_iter().map(|(_, step)| step).collect();
        let n_edges = edges.len() + calendars.len() + ended.len();
        let walks = walks(&asked, n_edges, &mut steps);
        Self {
            steps: steps.into_boxed_slice(),
            asked: asked.into_boxed_slice(),
            edges: edges.into_boxed_slice(),
            series: series.into_boxed_slice(),
            calendars,
            ended,
            walks,
        }
    }
}

/// The measures that look back from the newest entry; their edges stand behind `n_edges` others.
fn walks(asked: &[Asked], n_edges: usize, steps: &mut Vec<Step>) -> Box<[Walk]> {
    let walking = asked.iter().enumerate().filter(|(_, asked)| asked.walks);
    let walk = |(number, (index, one)): (usize, (usize, &Asked))| {
        let near_edge = n_edges + 2 * number;
        let step = Step { far_edge: near_edge + 1, asked: index };
        let key = SeriesKey::of(one, index, near_edge);
        let series = Series::of(&key, &[(key, step)], asked, steps.len());
        steps.push(step);
        Walk { asked: index, series }
    };
    walking.enumerate().map(walk).collect()
}

impl Asked {
    fn of(id: MeasureId, measure: &Measure, spec: &TableSpec, layout: &Layout) -> Self {
        let column = crate::window::layout::column_of(measure.kind)
            .map_or(ColumnKind::Int, |column| spec.columns[usize::from(column.0)]);
        let window = measure.window;
        Self {
            id,
            kind: measure.kind,
            mask: mask_of(measure.filter),
            offset: layout.offset_of(measure.kind),
            column,
            with_own: measure.counting == Counting::Last && window.ending_ago_ms == 0,
            reach_ms: window.reach_ms(),
            length_ms: window.length_ms,
            ago_ms: window.ending_ago_ms,
            calendar: window.calendar,
            newest: window.newest.map(|newest| usize::from(newest.get())),
            walks: measure.walks(),
            since_ms: i64::MIN,
        }
    }

    /// How far back the window reaches, where that is the same for every event.
    fn fixed_reach_ms(&self) -> Option<i64> {
        self.calendar.is_none().then_some(self.reach_ms)
    }

    /// The same of its near end.
    fn fixed_ago_ms(&self) -> Option<i64> {
        (!matches!(self.calendar, Some(Calendar::Before(_)))).then_some(self.ago_ms)
    }

    /// The old end (exclusive) and the near end (inclusive) of the window of an event at `time_ms`; `starts` is what the
    /// reader says of the calendar, `index` this measure's place there. Of a window of which nobody knows it that is no
    /// answer, but ends that are in order.
    #[inline]
    pub(crate) fn bounds_ms(
        &self,
        time_ms: i64,
        starts: &[Option<i64>],
        index: usize,
    ) -> (i64, i64) {
        let given = || starts.get(index).copied().flatten().unwrap_or(time_ms).min(time_ms);
        match self.calendar {
            None => (time_ms.saturating_sub(self.reach_ms), time_ms.saturating_sub(self.ago_ms)),
            Some(Calendar::Since(_)) => (given(), time_ms),
            Some(Calendar::Before(_)) => {
                let end_ms = given();
                (end_ms.saturating_sub(self.length_ms), end_ms)
            }
        }
    }

    /// The reading of the stored words of the latest entry.
    pub(crate) fn value_of(&self, words: &[u64]) -> ReadValue {
        let first = words[self.offset];
        match self.column {
            ColumnKind::Int | ColumnKind::Micro => ReadValue::Int(i128::from(first.cast_signed())),
            ColumnKind::Word => ReadValue::Word(first),
            ColumnKind::Geo => {
                ReadValue::Geo(f64::from_bits(first), f64::from_bits(words[self.offset + 1]))
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SeriesKey {
    question: Question,
    mask: u64,
    offset: usize,
    near_edge: usize,
    /// Every `CountOf` has a probe, every window by the calendar an end of its own: each is a series of its own.
    own_series: usize,
}

impl SeriesKey {
    fn of(asked: &Asked, index: usize, near_edge: usize) -> Self {
        let question = match asked.kind {
            MeasureKind::Count => Question::Count,
            MeasureKind::Sum(_) | MeasureKind::SumSquares(_) => Question::Sums,
            MeasureKind::Min(_) | MeasureKind::Max(_) => Question::Extremes,
            MeasureKind::Distinct(_) => Question::Distinct,
            MeasureKind::CountOf(_) => Question::CountOf,
            MeasureKind::Ranked(..) => Question::Ranks,
            MeasureKind::Last(_) | MeasureKind::LastTime => Question::Latest,
            MeasureKind::Run => Question::Run,
        };
        Self {
            question,
            mask: asked.mask,
            // WHY: finding the latest entry does not look at its columns.
            offset: if question == Question::Latest { 0 } else { asked.offset },
            near_edge,
            own_series: match question {
                Question::CountOf => index + 1,
                _ if asked.calendar.is_some() => index + 1,
                _ => 0,
            },
        }
    }
}

impl Series {
    fn of(key: &SeriesKey, group: &[(SeriesKey, Step)], asked: &[Asked], place: usize) -> Self {
        let squares = group
            .iter()
            .any(|(_, step)| matches!(asked[step.asked].kind, MeasureKind::SumSquares(_)));
        Self {
            question: if squares { Question::SumsAndSquares } else { key.question },
            mask: key.mask,
            offset: key.offset,
            near_edge: key.near_edge,
            first_step: place,
            end_step: place + group.len(),
        }
    }
}
