//! The questions that all rules ask of state, each once.
//!
//! A request is known by its identity, a readable text made of names only: renaming a rule, moving it to another file
//! or changing a threshold outside of the aggregate leaves it as it is.

use std::collections::BTreeMap;

use crate::event::schema::{EventId, FieldId, Schema};
use crate::rules::check::arena::RequestId;
use crate::rules::program::NodeId;
use crate::window::spec::{Calendar, ColumnKind, Counting, Period, Pick, Span as WindowSpan};

/// A primitive question about a column or about entries as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Count,
    Sum,
    SumSquares,
    Min,
    Max,
    Distinct,
    CountOf,
    Ranked(Pick),
    Last,
    LastTime,
    Run,
}

impl Kind {
    fn word(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::SumSquares => "sum_squares",
            Self::Min => "min",
            Self::Max => "max",
            Self::Distinct => "distinct",
            Self::CountOf => "count_of",
            Self::Ranked(Pick::AtLeast(_)) => "percentile",
            Self::Ranked(Pick::Middle) => "median",
            Self::Last => "last",
            Self::LastTime => "last_time",
            Self::Run => "run",
        }
    }
}

/// A node of the aggregated event's arena with its canonical text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) node: NodeId,
    pub(super) text: String,
}

/// One question of one table.
#[derive(Clone, Debug)]
pub(super) struct Request {
    pub(super) event: EventId,
    /// Stored keys, sorted by name.
    pub(super) keys: Vec<FieldId>,
    pub(super) kind: Kind,
    pub(super) column: Option<(Named, ColumnKind)>,
    /// The field of the column.
    pub(super) field: Option<FieldId>,
    pub(super) filter: Option<Named>,
    pub(super) window: WindowSpan,
    pub(super) counting: Counting,
    /// ``card_payment by card``.
    pub(super) table: String,
    /// ``sum(card_payment.amount in EUR where ...) by card over last 10m``.
    pub(super) identity: String,
}

/// All requests of a rule set.
#[derive(Debug, Default)]
pub(super) struct Measures {
    requests: Vec<Request>,
    index: BTreeMap<String, RequestId>,
}

impl Measures {
    /// The id of a request, new or known; fills in its `table` and `identity`.
    pub(super) fn intern(&mut self, mut request: Request, schema: &Schema) -> RequestId {
        let event = schema.event(request.event);
        let keys: Vec<&str> =
            request.keys.iter().map(|&key| event.field(key).name.as_str()).collect();
        let ever = if request.window.is_lifetime() { " over lifetime" } else { "" };
        request.table = format!("{} by {}{ever}", event.name, keys.join(", "));
        request.identity = identity(&request, &event.name, &keys.join(", "));
        if let Some(&id) = self.index.get(&request.identity) {
            return id;
        }
        let id = RequestId(self.requests.len());
        self.index.insert(request.identity.clone(), id);
        self.requests.push(request);
        id
    }

    /// A request of this set.
    pub(super) fn get(&self, id: RequestId) -> &Request {
        &self.requests[id.0]
    }
}

fn identity(request: &Request, event: &str, keys: &str) -> String {
    let mut text = match request.kind {
        Kind::Ranked(Pick::AtLeast(ppm)) => format!("percentile({}, {event}", percent(ppm)),
        kind => format!("{}({event}", kind.word()),
    };
    if let Some((column, _)) = &request.column {
        text.push('.');
        text.push_str(&column.text);
    }
    if let Some(filter) = &request.filter {
        text.push_str(" where ");
        text.push_str(&filter.text);
    }
    text.push_str(") by ");
    text.push_str(keys);
    let named = match request.window.calendar {
        Some(Calendar::Since(period)) => Some(part(period)),
        None if request.window.is_lifetime() => Some("lifetime"),
        Some(Calendar::Before(_)) | None => None,
    };
    if let Some(named) = named {
        text.push_str(match request.counting {
            Counting::Last => " over ",
            Counting::Prior => " over prior ",
        });
        text.push_str(named);
        return text;
    }
    text.push_str(match request.counting {
        Counting::Last => " over last ",
        Counting::Prior => " over prior ",
    });
    if let Some(newest) = request.window.newest {
        text.push_str(&format!("{newest} events within "));
    }
    text.push_str(&duration(request.window.length_ms));
    if let Some(Calendar::Before(period)) = request.window.calendar {
        text.push_str(" before ");
        text.push_str(part(period));
    } else if request.window.ending_ago_ms != 0 {
        text.push_str(" ending ");
        text.push_str(&duration(request.window.ending_ago_ms));
        text.push_str(" ago");
    }
    text
}

/// How a part of the calendar is written.
pub(crate) fn part(period: Period) -> &'static str {
    match period {
        Period::Day => "today",
        Period::Week => "this_week",
        Period::Month => "this_month",
    }
}

/// Parts per million as an author writes a percentile: `95`, `99.9`.
fn percent(ppm: u32) -> String {
    let text = format!("{}.{:04}", ppm / 10_000, ppm % 10_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Milliseconds in the largest unit that divides them.
pub(super) fn duration(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    for (size, unit) in units {
        if ms != 0 && ms % size == 0 {
            return format!("{}{unit}", ms / size);
        }
    }
    format!("{ms}ms")
}
