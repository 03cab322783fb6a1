//! From requests to shared tables: which table, column, filter bit and measure answers what.
//!
//! Everything is sorted by canonical text before an id is given, so the same questions make the same tables whatever
//! the order of files and rules and whatever the rules are called.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventId, Schema, SlotId};
use crate::rules::check::arena::RequestId;
use crate::rules::check::limits::MAX_STATE_IDS;
use crate::rules::check::measures::{Kind, Measures, Named, Request};
use crate::rules::program::{NodeId, TableId};
use crate::window::spec::{
    ColumnId, ColumnKind, FilterBit, MAX_COLUMNS, MAX_FILTERS, Measure, MeasureId, MeasureKind,
    TableSpec,
};

/// One table, its nodes still in the arena of its event.
#[derive(Debug)]
pub(super) struct PlannedTable {
    pub(super) name: String,
    pub(super) event: EventId,
    pub(super) keys: Vec<SlotId>,
    pub(super) spec: TableSpec,
    pub(super) columns: Vec<NodeId>,
    pub(super) filters: Vec<NodeId>,
    pub(super) column_texts: Vec<String>,
    pub(super) filter_texts: Vec<String>,
    pub(super) identities: Vec<String>,
}

/// All tables, and where each request is answered.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) tables: Vec<PlannedTable>,
    pub(super) places: BTreeMap<RequestId, (TableId, MeasureId)>,
}

/// What one table has taken in so far.
#[derive(Debug, Default)]
struct Group {
    columns: BTreeMap<String, (NodeId, ColumnKind)>,
    filters: BTreeMap<String, NodeId>,
    requests: Vec<RequestId>,
}

/// Plans the tables for the requests that anything reads.
pub(super) fn tables(
    measures: &Measures,
    used: &BTreeSet<RequestId>,
    schema: &Schema,
    report: &mut Vec<Diagnostic>,
) -> Plan {
    let mut by_identity: Vec<(&Request, RequestId)> =
        used.iter().map(|&id| (measures.get(id), id)).collect();
    by_identity.sort_by(|(a, _), (b, _)| (&a.table, &a.identity).cmp(&(&b.table, &b.identity)));
    let mut groups: BTreeMap<(&str, usize), Group> = BTreeMap::new();
    for &(request, id) in &by_identity {
        let mut part = 0;
        while !groups.entry((&request.table, part)).or_default().take(request, id) {
            part += 1;
        }
    }
    let most = groups.values().map(|group| group.requests.len()).max().unwrap_or(0);
    if groups.len() > MAX_STATE_IDS || most > MAX_STATE_IDS {
        let message = format!(
            "the rules need more than {MAX_STATE_IDS} state tables or questions of one table"
        );
        report.push(Diagnostic::new(codes::E0406, Span::default(), message));
        // Their ids would not do for all of them.
        return Plan::default();
    }
    let mut plan = Plan::default();
    for ((name, part), group) in &groups {
        let Ok(table) = u16::try_from(plan.tables.len()) else { break };
        plan.add(TableId(table), (name, *part), group, (measures, schema));
    }
    plan
}

impl Group {
    /// Takes a request in, unless it needs a column or filter for which there is no room.
    fn take(&mut self, request: &Request, id: RequestId) -> bool {
        let new_column =
            request.column.as_ref().filter(|(named, _)| !self.columns.contains_key(&named.text));
        let new_filter =
            request.filter.as_ref().filter(|named| !self.filters.contains_key(&named.text));
        if new_column.is_some() && self.columns.len() >= MAX_COLUMNS
            || new_filter.is_some() && self.filters.len() >= MAX_FILTERS
        {
            return false;
        }
        if let Some((named, kind)) = new_column {
            self.columns.insert(named.text.clone(), (named.node, *kind));
        }
        if let Some(named) = new_filter {
            self.filters.insert(named.text.clone(), named.node);
        }
        self.requests.push(id);
        true
    }

    fn column(&self, named: &Named) -> ColumnId {
        let index = self.columns.keys().position(|text| *text == named.text).unwrap_or(0);
        ColumnId(u8::try_from(index).unwrap_or(u8::MAX))
    }

    fn filter(&self, named: &Named) -> FilterBit {
        let index = self.filters.keys().position(|text| *text == named.text).unwrap_or(0);
        FilterBit(u8::try_from(index).unwrap_or(u8::MAX))
    }

    fn measure(&self, request: &Request) -> Measure {
        let column = request.column.as_ref().map(|(named, _)| self.column(named));
        let kind = match (request.kind, column) {
            (Kind::Sum, Some(column)) => MeasureKind::Sum(column),
            (Kind::SumSquares, Some(column)) => MeasureKind::SumSquares(column),
            (Kind::Min, Some(column)) => MeasureKind::Min(column),
            (Kind::Max, Some(column)) => MeasureKind::Max(column),
            (Kind::Distinct, Some(column)) => MeasureKind::Distinct(column),
            (Kind::CountOf, Some(column)) => MeasureKind::CountOf(column),
            (Kind::Ranked(pick), Some(column)) => MeasureKind::Ranked(column, pick),
            (Kind::Last, Some(column)) => MeasureKind::Last(column),
            (Kind::LastTime, _) => MeasureKind::LastTime,
            (Kind::Run, _) => MeasureKind::Run,
            (_, _) => MeasureKind::Count,
        };
        Measure {
            kind,
            filter: request.filter.as_ref().map(|named| self.filter(named)),
            window: request.window,
            counting: request.counting,
        }
    }
}

impl Plan {
    fn add(
        &mut self,
        id: TableId,
        (name, part): (&str, usize),
        group: &Group,
        (measures, schema): (&Measures, &Schema),
    ) {
        let Some(&first) = group.requests.first() else { return };
        let first = measures.get(first);
        let event = schema.event(first.event);
        let mut spec = TableSpec {
            columns: group.columns.values().map(|(_, kind)| *kind).collect(),
            measures: Vec::new(),
        };
        let mut identities = Vec::new();
        for (index, &request) in (0_u16..).zip(&group.requests) {
            spec.measures.push(group.measure(measures.get(request)));
            identities.push(measures.get(request).identity.clone());
            self.places.insert(request, (id, MeasureId(index)));
        }
        self.tables.push(PlannedTable {
            name: if part == 0 { name.to_owned() } else { format!("{name} #{}", part + 1) },
            event: first.event,
            keys: first.keys.iter().map(|&key| event.field(key).slot).collect(),
            spec,
            columns: group.columns.values().map(|(node, _)| *node).collect(),
            filters: group.filters.values().copied().collect(),
            column_texts: group.columns.keys().cloned().collect(),
            filter_texts: group.filters.keys().cloned().collect(),
            identities,
        });
    }
}
