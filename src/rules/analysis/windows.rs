//! What is certain about the answers of windows: they hold no less when they are longer or take more events, different
//! values are no more than values, the present event is in a `last` window of its own.
//!
//! Certain of exact answers. An answer in slices is off by its stated error, and one of a key that was evicted is a lower
//! bound; both are flagged in decisions.

use core::cell::Cell;
use core::num::NonZeroU16;

use crate::base::Value;
use crate::diag::Span;
use crate::event::schema::{FieldType, Schema, SlotId};
use crate::rules::analysis::bounds::{End, Interval};
use crate::rules::analysis::logic::Claim;
use crate::rules::program::{
    EventPlan, Function, Lookup, ModelId, ModelPlan, Node, NodeId, Op, Program, TablePlan, Type,
};
use crate::rules::syntax::ast::CompareOp;
use crate::window::layout::column_of;
use crate::window::spec::{Calendar, ColumnId, Counting, FilterBit, Measure, MeasureKind, Period};

/// Half the way around the earth, in metres, rounded up.
const HALF_EARTH_M: f64 = 20_015_200.0;

/// The plan of one event in its program.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene<'p> {
    pub(super) program: &'p Program,
    pub(super) plan: &'p EventPlan,
    /// Whether facts about windows may be used.
    pub(super) windows: bool,
    /// How many more cases may be looked at.
    pub(super) tries: &'p Cell<u32>,
}

/// A measure with where it is asked.
#[derive(Clone, Copy)]
struct Asked<'p> {
    lookup: &'p Lookup,
    table: &'p TablePlan,
    measure: &'p Measure,
    probe: Option<NodeId>,
    /// Names the time zone of a window by the calendar.
    zone: Option<NodeId>,
}

impl<'p> Scene<'p> {
    pub(super) fn node(&self, id: NodeId) -> Option<&'p Node> {
        self.plan.nodes.get(id.0 as usize)
    }

    pub(super) fn op(&self, id: NodeId) -> Option<&'p Op> {
        self.node(id).map(|node| &node.op)
    }

    pub(super) fn model(&self, id: ModelId) -> Option<&'p ModelPlan> {
        self.program.models.get(usize::from(id.0))
    }

    pub(super) fn schema(&self) -> &'p Schema {
        &self.program.schema
    }

    fn asked(&self, id: NodeId) -> Option<Asked<'p>> {
        let Op::Reading(lookup, index) = self.op(id)? else { return None };
        let lookup = self.plan.lookups.get(usize::from(lookup.0))?;
        let table = self.program.tables.get(usize::from(lookup.table.0))?;
        let index = usize::from(*index);
        let measure = table.spec.measures.get(usize::from(lookup.measures.get(index)?.0))?;
        let of = |nodes: &[Option<NodeId>]| nodes.get(index).copied().flatten();
        let (probe, zone) = (of(&lookup.probes), of(&lookup.zones));
        Some(Asked { lookup, table, measure, probe, zone })
    }

    /// What a term lies between by itself.
    pub(super) fn bounds(&self, id: NodeId) -> Interval {
        let Some(node) = self.node(id) else { return Interval::default() };
        let whole = matches!(node.ty, Type::Integer | Type::Duration | Type::Time | Type::Money(_));
        let mut interval = Interval { whole, ..Interval::default() };
        let low = |value| End { value, strict: false };
        match &node.op {
            Op::Constant(constant) => {
                if let Some(value) = super::value_of(constant) {
                    interval.at_least(low(value));
                    interval.at_most(low(value));
                }
            }
            Op::Call(Function::Hour, _) => {
                interval.at_least(low(Value::Int(0)));
                interval.at_most(low(Value::Int(23)));
            }
            Op::Call(Function::Length, _) => interval.at_least(low(Value::Int(0))),
            Op::Call(Function::Similarity, of) => {
                let itself = matches!(of[..], [a, b] if a == b);
                interval.at_least(low(Value::Number(if itself { 1.0 } else { 0.0 })));
                interval.at_most(low(Value::Number(1.0)));
            }
            Op::Call(Function::Distance, of) => {
                let itself = matches!(of[..], [a, b] if a == b);
                interval.at_least(low(Value::Number(0.0)));
                interval.at_most(low(Value::Number(if itself { 0.0 } else { HALF_EARTH_M })));
            }
            Op::Call(Function::Abs, _) => match node.ty {
                Type::Money(_) => interval.at_least(low(Value::Money(0))),
                Type::Number => interval.at_least(low(Value::Number(0.0))),
                _ => interval.at_least(low(Value::Int(0))),
            },
            _ if self.windows => self.window_bounds(id, &node.op, &mut interval),
            _ => {}
        }
        interval
    }

    fn window_bounds(&self, id: NodeId, op: &Op, interval: &mut Interval) {
        let end = |value| End { value, strict: false };
        match op {
            Op::Reading(..) => {
                let Some(asked) = self.asked(id) else { return };
                if let MeasureKind::Sum(column) = asked.measure.kind
                    && self.is_never_negative(asked, column)
                    && let Some(zero) = self.node(id).and_then(|node| zero_of(node.ty))
                {
                    interval.at_least(end(zero));
                }
                if is_tally(asked.measure.kind) {
                    let own = matches!(asked.measure.kind, MeasureKind::Count) && asked.has_own();
                    interval.at_least(end(Value::Int(i64::from(own))));
                    if self.is_distinct_of_key(asked) {
                        interval.at_most(end(Value::Int(1)));
                    }
                    if let Some(newest) = asked.measure.window.newest {
                        interval.at_most(end(Value::Int(newest.get().into())));
                    }
                }
            }
            Op::Since(last) => {
                let Some(asked) = self.asked(*last) else { return };
                let window = asked.measure.window;
                interval.at_least(end(Value::Int(window.least_ago_ms())));
                interval.at_most(End { value: Value::Int(window.reach_ms()), strict: true });
            }
            Op::Div(part, all) => {
                let tallies = [*part, *all]
                    .into_iter()
                    .all(|id| self.asked(id).is_some_and(|asked| is_tally(asked.measure.kind)));
                if tallies {
                    interval.at_least(end(Value::Number(0.0)));
                }
                if tallies && self.is_at_most(*part, *all) {
                    interval.at_most(end(Value::Number(1.0)));
                }
            }
            _ => {}
        }
    }

    /// What is certain of windows, in the words of people, for claims that cannot hold together.
    pub(super) fn why_windows(&self, core: &[Claim]) -> &'static str {
        const LONGER: &str = "within a longer time there are never fewer events than within a shorter one that is part of it, \
             and never fewer in all than of those that a `where` takes";
        let [Claim { node, .. }] = core else { return LONGER };
        let sides = match self.op(*node) {
            Some(Op::Compare(_, a, b)) => [*a, *b],
            _ => return LONGER,
        };
        let is_constant = |id: &NodeId| matches!(self.op(*id), Some(Op::Constant(_)));
        if sides.iter().any(|id| matches!(self.op(*id), Some(Op::Since(_)))) {
            return "`time_since` sees no further back than its window: where nothing was in it, the time is missing and not \
                    longer; make the window longer than the time that is asked for";
        }
        if !sides.iter().any(is_constant) {
            return LONGER;
        }
        let asked: Vec<Asked<'_>> = sides.iter().filter_map(|id| self.asked(*id)).collect();
        if asked.iter().any(|asked| self.is_distinct_of_key(*asked)) {
            return "events of one key all have that key, so there is one at most; name another field in `distinct(...)`, or \
                    another key behind `by`";
        }
        if asked.iter().any(|asked| asked.measure.window.newest.is_some()) {
            return "of a window by number there are never more events than its number";
        }
        if asked.iter().any(Asked::has_own) {
            return "`over last` counts this event, too, so there is always one; what was before it is `over prior`";
        }
        LONGER
    }

    /// Whether one term is certainly at most another one, where both are there.
    pub(super) fn is_at_most(&self, a: NodeId, b: NodeId) -> bool {
        if !self.windows || a == b {
            return false;
        }
        match (self.asked(a), self.asked(b)) {
            (Some(a), Some(b)) => self.readings_at_most(a, b),
            // The present event is among those of a `last` window of its own.
            (None, Some(b)) => {
                matches!(b.measure.kind, MeasureKind::Max(_)) && self.is_own_column(a, b)
            }
            (Some(a), None) => {
                matches!(a.measure.kind, MeasureKind::Min(_)) && self.is_own_column(b, a)
            }
            (None, None) => false,
        }
    }

    fn is_own_column(&self, value: NodeId, asked: Asked<'_>) -> bool {
        let (MeasureKind::Max(column) | MeasureKind::Min(column)) = asked.measure.kind else {
            return false;
        };
        // What is remembered in millionths is rounded.
        let exact = self.node(value).is_some_and(|node| {
            matches!(node.ty, Type::Money(_) | Type::Integer | Type::Duration | Type::Time)
        });
        exact
            && asked.is_of_own_event()
            && asked.table.columns.get(usize::from(column.0)) == Some(&value)
            && self.takes_what_has(asked, value)
    }

    /// The column of which a reading of this event's own table is the maximum or minimum.
    pub(super) fn own_column(&self, reading: NodeId) -> Option<NodeId> {
        let asked = self.asked(reading)?;
        let (MeasureKind::Max(column) | MeasureKind::Min(column)) = asked.measure.kind else {
            return None;
        };
        let node = asked.table.columns.get(usize::from(column.0)).copied();
        node.filter(|_| asked.is_of_own_event())
    }

    /// Whether the filter takes every event that has the value.
    fn takes_what_has(&self, asked: Asked<'_>, value: NodeId) -> bool {
        self.conjuncts(asked.table, asked.measure.filter).iter().all(|part| {
            let Some(Op::Not(missing)) = self.op(*part) else { return false };
            matches!(self.op(*missing), Some(Op::IsMissing(of)) if *of == value)
        })
    }

    fn readings_at_most(&self, a: Asked<'_>, b: Asked<'_>) -> bool {
        // A look-up is one table and one key, so another look-up is about other events.
        if !core::ptr::eq(a.lookup, b.lookup) {
            return false;
        }
        match (a.measure.kind, b.measure.kind) {
            (
                MeasureKind::Count
                | MeasureKind::Distinct(_)
                | MeasureKind::CountOf(_)
                | MeasureKind::Run,
                MeasureKind::Count,
            ) => self.is_within(a, b),
            (MeasureKind::Distinct(x), MeasureKind::Distinct(y))
            | (MeasureKind::Max(x), MeasureKind::Max(y)) => x == y && self.is_within(a, b),
            (MeasureKind::CountOf(x), MeasureKind::CountOf(y)) => {
                x == y && a.probe == b.probe && self.is_within(a, b)
            }
            (MeasureKind::Sum(x) | MeasureKind::Max(x), MeasureKind::Sum(y)) => {
                x == y && self.is_within(a, b) && self.is_never_negative(b, y)
            }
            (MeasureKind::Min(x), MeasureKind::Min(y)) => x == y && self.is_within(b, a),
            (MeasureKind::Min(x), MeasureKind::Max(y)) => {
                x == y && (self.is_within(a, b) || self.is_within(b, a))
            }
            _ => false,
        }
    }

    /// Whether what counts for a measure has no value below zero in a column, by its filter: `where amount > 0 EUR`.
    fn is_never_negative(&self, asked: Asked<'_>, column: ColumnId) -> bool {
        let Some(column) = asked.table.columns.get(usize::from(column.0)) else { return false };
        let plan = self.program.plans.get(usize::from(asked.table.event.0));
        let op = |id: NodeId| Some(&plan?.nodes.get(id.0 as usize)?.op);
        self.conjuncts(asked.table, asked.measure.filter).iter().any(|part| {
            let Some(Op::Compare(CompareOp::Gt | CompareOp::Ge, of, least)) = op(*part) else {
                return false;
            };
            let least = match op(*least) {
                Some(Op::Constant(constant)) => super::value_of(constant),
                _ => None,
            };
            let zero = least.is_some_and(|least| match least {
                Value::Int(least) => least >= 0,
                Value::Money(least) => least >= 0,
                Value::Number(least) => least >= 0.0,
                _ => false,
            });
            of == column && zero
        })
    }

    /// Whether every event that counts for `a` counts for `b`.
    fn is_within(&self, a: Asked<'_>, b: Asked<'_>) -> bool {
        let (inner, outer) = (a.measure.window, b.measure.window);
        let spans = match outer.calendar {
            // WHY: the reach of a window by the calendar is the most that it can be.
            None => {
                inner.least_ago_ms() >= outer.ending_ago_ms && inner.reach_ms() <= outer.reach_ms()
            }
            Some(Calendar::Since(period)) => {
                let within = [Calendar::Since(period), Calendar::Since(Period::Day)];
                a.zone == b.zone && inner.calendar.is_some_and(|inner| within.contains(&inner))
            }
            Some(ending @ Calendar::Before(_)) => {
                a.zone == b.zone
                    && inner.calendar == Some(ending)
                    && inner.length_ms <= outer.length_ms
            }
        };
        let counting =
            a.measure.counting == Counting::Prior || b.measure.counting == Counting::Last;
        let spans = spans && holds_as_many(a.measure, b.measure);
        let wanted = self.conjuncts(b.table, b.measure.filter);
        let given = self.conjuncts(a.table, a.measure.filter);
        spans && counting && wanted.iter().all(|part| given.contains(part))
    }

    /// The parts of a filter that must all be true: nodes of the plan of the table's event.
    fn conjuncts(&self, table: &TablePlan, filter: Option<FilterBit>) -> Vec<NodeId> {
        let Some(node) = filter.and_then(|bit| table.filters.get(usize::from(bit.0))) else {
            return Vec::new();
        };
        let plan = self.program.plans.get(usize::from(table.event.0));
        match plan.and_then(|plan| plan.nodes.get(node.0 as usize)).map(|node| &node.op) {
            Some(Op::And(list)) => list.clone(),
            _ => vec![*node],
        }
    }

    /// Whether it counts different values of what its events are told apart by.
    fn is_distinct_of_key(&self, asked: Asked<'_>) -> bool {
        let MeasureKind::Distinct(column) = asked.measure.kind else { return false };
        let node = asked.table.columns.get(usize::from(column.0));
        let plan = self.program.plans.get(usize::from(asked.table.event.0));
        let op = plan.zip(node).and_then(|(plan, node)| plan.nodes.get(node.0 as usize));
        matches!(op.map(|node| &node.op), Some(Op::Field(slot)) if asked.table.keys.contains(slot))
    }

    /// Whether it counts or adds up.
    pub(super) fn is_tally(&self, id: NodeId) -> bool {
        self.asked(id).is_some_and(|asked| {
            is_tally(asked.measure.kind) || matches!(asked.measure.kind, MeasureKind::Sum(_))
        })
    }

    /// Whether it adds up.
    pub(super) fn is_sum(&self, id: NodeId) -> bool {
        self.asked(id).is_some_and(|asked| matches!(asked.measure.kind, MeasureKind::Sum(_)))
    }

    /// Whether it counts or adds up what was before, or what is of another kind or key than the present event.
    pub(super) fn is_tally_of_before(&self, id: NodeId) -> bool {
        self.is_tally(id) && self.asked(id).is_some_and(|asked| !asked.is_of_own_event())
    }

    /// How many events a window by number holds.
    pub(super) fn newest(&self, id: NodeId) -> Option<u16> {
        self.asked(id)?.measure.window.newest.map(NonZeroU16::get)
    }

    /// Whether two readings are about the same events of the same key.
    pub(super) fn is_of_same_key(&self, a: NodeId, b: NodeId) -> bool {
        let (Some(a), Some(b)) = (self.asked(a), self.asked(b)) else { return false };
        (a.table.event, &a.table.keys, &a.lookup.keys)
            == (b.table.event, &b.table.keys, &b.lookup.keys)
    }

    /// The fields that tell two readings of the present event's own kind apart, where both are of one kind of entity and each is
    /// looked up by itself.
    pub(super) fn two_parties(&self, a: NodeId, b: NodeId) -> Option<(&'p str, &'p str)> {
        let (a, b) = (self.asked(a)?, self.asked(b)?);
        let plain =
            |asked: Asked<'_>| asked.lookup.same_event && asked.lookup.keys == asked.table.keys;
        let ([one], [other]) = (&a.table.keys[..], &b.table.keys[..]) else { return None };
        if one == other || !plain(a) || !plain(b) {
            return None;
        }
        let fields = &self.schema().event(a.table.event).fields;
        let field = |slot: &SlotId| fields.iter().find(|field| field.slot == *slot);
        let (one, other) = (field(one)?, field(other)?);
        let is_entity = matches!(one.ty, FieldType::Entity(_));
        (is_entity && one.ty == other.ty).then_some((one.name.as_str(), other.name.as_str()))
    }

    /// A comparison with itself in the filter of a reading, and where it is written.
    pub(super) fn filter_by_itself(&self, id: NodeId) -> Option<(CompareOp, Span)> {
        let asked = self.asked(id)?;
        let plan = self.program.plans.get(usize::from(asked.table.event.0))?;
        let parts = self.conjuncts(asked.table, asked.measure.filter);
        parts.into_iter().find_map(|part| {
            let node = plan.nodes.get(part.0 as usize)?;
            match node.op {
                Op::Compare(sign, a, b) if a == b => Some((sign, node.span)),
                _ => None,
            }
        })
    }

    /// Whether a sum or a rank is over values of which this one is one.
    pub(super) fn includes(&self, reading: NodeId, value: NodeId) -> bool {
        let Some(asked) = self.asked(reading) else { return false };
        let (MeasureKind::Sum(column) | MeasureKind::Ranked(column, _)) = asked.measure.kind else {
            return false;
        };
        asked.is_of_own_event()
            && asked.table.columns.get(usize::from(column.0)) == Some(&value)
            && self.takes_what_has(asked, value)
    }

    /// Whether it is a percentile or a median.
    pub(super) fn is_rank(&self, reading: NodeId) -> bool {
        self.asked(reading)
            .is_some_and(|asked| matches!(asked.measure.kind, MeasureKind::Ranked(..)))
    }

    /// Whether two readings ask the same of the events of one key over two windows, but the first of fewer of them: its
    /// filter asks for more.
    pub(super) fn is_filtered_beside(&self, narrow: NodeId, wide: NodeId) -> bool {
        let (Some(a), Some(b)) = (self.asked(narrow), self.asked(wide)) else { return false };
        let column = |asked: Asked<'p>| {
            let id = column_of(asked.measure.kind)?;
            asked.table.columns.get(usize::from(id.0))
        };
        let (wanted, given) =
            (self.conjuncts(b.table, b.measure.filter), self.conjuncts(a.table, a.measure.filter));
        core::mem::discriminant(&a.measure.kind) == core::mem::discriminant(&b.measure.kind)
            && (a.table.event, &a.table.keys) == (b.table.event, &b.table.keys)
            && a.lookup.keys == b.lookup.keys
            && column(a) == column(b)
            && a.measure.window != b.measure.window
            && given.len() > wanted.len()
            && wanted.iter().all(|part| given.contains(part))
    }

    /// Whether a reading is there as soon as another one of the same look-up is.
    pub(super) fn is_there_with(&self, id: NodeId, other: NodeId) -> bool {
        let (Some(a), Some(b)) = (self.asked(id), self.asked(other)) else { return false };
        // A text that names no time zone leaves a reading out.
        let zone = a.zone.is_none() || a.zone == b.zone;
        core::ptr::eq(a.lookup, b.lookup)
            && zone
            && matches!(
                a.measure.kind,
                MeasureKind::Count | MeasureKind::Distinct(_) | MeasureKind::Run
            )
    }
}

impl Asked<'_> {
    /// Whether the present event is among those that are asked for, if the filter takes it.
    fn is_of_own_event(&self) -> bool {
        self.lookup.same_event
            && self.measure.counting == Counting::Last
            && self.lookup.keys == self.table.keys
    }

    fn has_own(&self) -> bool {
        self.is_of_own_event() && self.measure.filter.is_none()
    }
}

/// Whether the newest entries of a window are among those of another one, where both have as much room for their age.
fn holds_as_many(inner: &Measure, outer: &Measure) -> bool {
    let Some(most) = outer.window.newest else { return true };
    // The present event takes the place of an older one.
    let place = inner.counting == Counting::Prior && outer.counting == Counting::Last;
    let held = inner.window.newest.map(|newest| newest.get() + u16::from(place));
    held.is_some_and(|held| held <= most.get())
        && inner.window.ending_ago_ms == outer.window.ending_ago_ms
        && inner.window.calendar == outer.window.calendar
}

/// Nought of a type that is added up.
fn zero_of(ty: Type) -> Option<Value> {
    match ty {
        Type::Integer => Some(Value::Int(0)),
        Type::Money(_) => Some(Value::Money(0)),
        Type::Number => Some(Value::Number(0.0)),
        _ => None,
    }
}

fn is_tally(kind: MeasureKind) -> bool {
    matches!(
        kind,
        MeasureKind::Count | MeasureKind::Distinct(_) | MeasureKind::CountOf(_) | MeasureKind::Run
    )
}
