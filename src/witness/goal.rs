//! What a witness must be, and how far an event is from it.
//!
//! # Source
//! Branch distances of search-based testing: B. Korel, "Automated software test data generation", 1990; P. `McMinn`,
//! "Search-based software test data generation: a survey", 2004. Truth has three values here, so what is missing is
//! farther than what is there and not right.

use std::collections::BTreeSet;

use crate::base::Value;
use crate::event::schema::{EventId, FieldId, SlotId};
use crate::rules::eval::number::number_of;
use crate::rules::program::{EventPlan, NodeId, Op, Program, TablePlan};
use crate::rules::statements::{Claim, Say};
use crate::rules::syntax::ast::CompareOp;
use crate::window::layout::column_of;
use crate::window::spec::Measure;

/// Distance of something that is not so and that no number measures.
const APART: f64 = 0.5;

/// What all claims of a goal are about.
#[derive(Clone, Debug)]
pub(super) struct Goal {
    pub(super) event: EventId,
    pub(super) claims: Vec<Claim>,
    /// The nodes of the event that the claims rest on.
    pub(super) nodes: Vec<NodeId>,
    /// All nodes that the claims rest on, also of the events that windows look back at.
    pub(super) cone: BTreeSet<(EventId, NodeId)>,
    /// From and to, in ms, of the rules that must be in effect.
    pub(super) days: Vec<(i64, Option<i64>)>,
}

impl Goal {
    pub(super) fn new(
        program: &Program,
        event: EventId,
        claims: Vec<Claim>,
        days: Vec<(i64, Option<i64>)>,
    ) -> Self {
        let cone = cone(program, claims.iter().map(|claim| (event, claim.node)).collect());
        let nodes = cone.iter().filter(|(of, _)| *of == event).map(|(_, node)| *node).collect();
        Self { event, claims, nodes, cone, days }
    }
}

/// What an event was found to be.
#[derive(Clone, Debug)]
pub(super) struct Look<'p> {
    pub(super) plan: &'p EventPlan,
    /// By node; missing where nobody asked.
    pub(super) values: Vec<Value>,
}

impl Look<'_> {
    pub(super) fn value(&self, id: NodeId) -> Value {
        self.values.get(id.0 as usize).copied().unwrap_or(Value::Missing)
    }

    fn truth(&self, id: NodeId) -> Option<bool> {
        match self.value(id) {
            Value::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// How far this is from all claims; 0 where they hold. What does not hold is added to `open`.
    pub(super) fn distance(&self, claims: &[Claim], open: &mut Vec<NodeId>) -> f64 {
        claims.iter().map(|claim| self.to_claim(*claim, open)).sum()
    }

    fn to_claim(&self, Claim { node, say }: Claim, open: &mut Vec<NodeId>) -> f64 {
        let truth = self.truth(node);
        if say.holds(truth) {
            return 0.0;
        }
        let Some(op) = self.plan.nodes.get(node.0 as usize).map(|node| &node.op) else {
            return APART;
        };
        let wanted = matches!(say, Say::True | Say::NotFalse);
        match op {
            Op::Not(inner) => self.to_claim(Claim { node: *inner, say: say.negated() }, open),
            Op::And(list) => self.to_many(list, say, (wanted, open)),
            Op::Or(list) => self.to_many(list, say, (!wanted, open)),
            _ => {
                open.push(node);
                match truth {
                    None => 1.0 + squashed(self.lacks(node)),
                    Some(_) => self.to_leaf(op, wanted),
                }
            }
        }
    }

    /// To all of them, or to the nearest.
    fn to_many(&self, list: &[NodeId], say: Say, (all, open): (bool, &mut Vec<NodeId>)) -> f64 {
        let each = list.iter().map(|node| self.to_claim(Claim { node: *node, say }, open));
        if all { each.sum() } else { each.fold(f64::INFINITY, f64::min) }
    }

    /// How far something that is decided is from the other truth.
    fn to_leaf(&self, op: &Op, wanted: bool) -> f64 {
        match op {
            Op::Compare(op, a, b) => {
                let is_equality = matches!(op, CompareOp::Eq | CompareOp::Ne);
                // Two equal things are as near to being different as can be.
                if is_equality && (*op == CompareOp::Eq) != wanted {
                    return APART / 2.0;
                }
                self.gap(*a, *b).map_or(APART, near)
            }
            Op::IsZero(of) if wanted => number(self.value(*of)).map_or(APART, near),
            _ => APART,
        }
    }

    /// The difference of two numbers.
    pub(super) fn gap(&self, a: NodeId, b: NodeId) -> Option<f64> {
        Some((number(self.value(a))? - number(self.value(b))?).abs())
    }

    /// How many things are missing below a node.
    fn lacks(&self, id: NodeId) -> f64 {
        if self.value(id).is_present() {
            return 0.0;
        }
        let Some(node) = self.plan.nodes.get(id.0 as usize) else { return 1.0 };
        let mut sum = 0.0;
        node.op.each_operand(&mut |operand| sum += self.lacks(operand));
        if sum > 0.0 { sum } else { 1.0 }
    }
}

/// A number as it is compared; money in micro-minor units.
pub(super) fn number(value: Value) -> Option<f64> {
    match value {
        Value::Int(int) => Some(number_of(i128::from(int))),
        Value::Money(micro) => Some(number_of(micro)),
        Value::Number(number) => Some(number),
        _ => None,
    }
}

fn near(gap: f64) -> f64 {
    0.1 + 0.4 * squashed(gap.ln_1p())
}

/// From 0 to below 1, in the same order.
fn squashed(of: f64) -> f64 {
    of / (of + 10.0)
}

/// A question to state, as an event's plan asks it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'p> {
    pub(super) plan: &'p TablePlan,
    pub(super) measure: &'p Measure,
    /// Where the asking event has the key.
    pub(super) keys: &'p [SlotId],
    pub(super) probe: Option<NodeId>,
    zone: Option<NodeId>,
}

impl<'p> Asked<'p> {
    pub(super) fn of(program: &'p Program, event: EventId, node: NodeId) -> Option<Self> {
        let plan = program.plans.get(usize::from(event.0))?;
        let Op::Reading(lookup, index) = plan.nodes.get(node.0 as usize)?.op else { return None };
        let lookup = plan.lookups.get(usize::from(lookup.0))?;
        let index = usize::from(index);
        let table = program.tables.get(usize::from(lookup.table.0))?;
        let measure = table.spec.measures.get(usize::from(lookup.measures.get(index)?.0))?;
        let of = |nodes: &[Option<NodeId>]| nodes.get(index).copied().flatten();
        Some(Self {
            plan: table,
            measure,
            keys: &lookup.keys,
            probe: of(&lookup.probes),
            zone: of(&lookup.zones),
        })
    }

    /// The node of the column, in the plan of the table's event.
    pub(super) fn column(&self) -> Option<NodeId> {
        let column = column_of(self.measure.kind)?;
        self.plan.columns.get(usize::from(column.0)).copied()
    }

    pub(super) fn filter(&self) -> Option<NodeId> {
        let bit = self.measure.filter?;
        self.plan.filters.get(usize::from(bit.0)).copied()
    }
}

/// All nodes that these rest on.
fn cone(program: &Program, begin: Vec<(EventId, NodeId)>) -> BTreeSet<(EventId, NodeId)> {
    let (mut open, mut seen) = (begin, BTreeSet::new());
    while let Some((event, id)) = open.pop() {
        let plan = program.plans.get(usize::from(event.0));
        let Some(node) = plan.and_then(|plan| plan.nodes.get(id.0 as usize)) else { continue };
        if !seen.insert((event, id)) {
            continue;
        }
        node.op.each_operand(&mut |operand| open.push((event, operand)));
        if let Some(asked) = Asked::of(program, event, id) {
            let own = asked.probe.into_iter().chain(asked.zone);
            open.extend(own.map(|node| (event, node)));
            let stored = asked.column().into_iter().chain(asked.filter());
            open.extend(stored.map(|node| (asked.plan.event, node)));
        }
    }
    seen
}

/// What the part of a condition below some nodes reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// Fields of the event itself.
    pub(super) fields: Vec<FieldId>,
    /// Questions to state, as nodes.
    pub(super) readings: Vec<NodeId>,
    /// Sequences, as nodes.
    pub(super) sequences: Vec<NodeId>,
}

impl Parts {
    /// What nodes of an event rest on, each once.
    pub(super) fn below(program: &Program, event: EventId, begin: &[NodeId]) -> Self {
        let mut parts = Self::default();
        let begin = begin.iter().map(|node| (event, *node)).collect();
        let own = cone(program, begin).into_iter().filter(|(of, _)| *of == event);
        let Some(plan) = program.plans.get(usize::from(event.0)) else { return parts };
        for (_, id) in own {
            match plan.nodes.get(id.0 as usize).map(|node| &node.op) {
                Some(Op::Reading(..)) => {
                    parts.readings.push(id);
                    let keys = Asked::of(program, event, id).map_or(&[][..], |asked| asked.keys);
                    parts
                        .fields
                        .extend(keys.iter().filter_map(|slot| field(program, event, *slot)));
                }
                Some(Op::Sequence(_)) => parts.sequences.push(id),
                Some(op) => {
                    parts.fields.extend(slot(op).and_then(|slot| field(program, event, slot)));
                }
                None => {}
            }
        }
        parts.fields.sort_unstable();
        parts.fields.dedup();
        parts
    }
}

/// The slot that a node reads from its event.
pub(super) fn slot(op: &Op) -> Option<SlotId> {
    match op {
        Op::Field(slot) | Op::GeoField(slot) | Op::MoneyField { slot, .. } => Some(*slot),
        _ => None,
    }
}

/// The field of a slot.
pub(super) fn field(program: &Program, event: EventId, slot: SlotId) -> Option<FieldId> {
    let fields = &program.schema.events.get(usize::from(event.0))?.fields;
    let index = fields.iter().position(|field| field.slot == slot)?;
    u16::try_from(index).ok().map(FieldId)
}
