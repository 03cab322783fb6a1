//! The expressions of one event type while the rule set is being checked: a growing arena in which equal expressions
//! are one node.
//!
//! Nodes carry final operations ([`Op`]) over arena ids, except readings of state: those are [`Ir::Measure`] until all
//! of them are known and tables are planned. `let` and `feature` names are gone here: they are ids.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::diag::Span;
use crate::event::schema::SlotId;
use crate::rules::check::limits::{MAX_EXPANDED_DEPTH, MAX_EXPANDED_NODES};
use crate::rules::program::{Node, NodeId, Op, SequencePlan, SequenceStep, Type};

/// Index of a measure in [`crate::rules::check::measures::Measures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct RequestId(pub(super) usize);

/// An operation, or a reading that has no place yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ir {
    /// Final but for its operands' ids.
    Op(Op),
    /// A measure, and what this event says for it.
    Measure { request: RequestId, keys: Vec<SlotId>, with: Beside },
    /// What a feature is on this event, in a condition by which events are remembered.
    Judged(Judged),
}

/// What belongs to a measure beside its key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Beside {
    /// The node whose word is looked for.
    pub(super) probe: Option<NodeId>,
    /// The node that names the time zone.
    pub(super) zone: Option<NodeId>,
    /// The measure that counts the events which this one leaves out for want of an exchange rate.
    pub(super) unpriced: Option<NodeId>,
}

impl Beside {
    /// The nodes that there are.
    pub(super) fn nodes(self) -> impl Iterator<Item = NodeId> {
        [self.probe, self.zone, self.unpriced].into_iter().flatten()
    }
}

/// A feature that is defined by its own past, before its node is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Judged {
    pub(super) feature: String,
    /// What tells it from other definitions of the name.
    pub(super) identity: String,
}

/// One expression.
#[derive(Clone, Debug)]
pub(super) struct IrNode {
    pub(super) ir: Ir,
    pub(super) ty: Type,
    pub(super) span: Span,
    /// Nodes when written out as a tree.
    n_nodes: u32,
    depth: u32,
}

/// The expression is larger or deeper than a rule may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// All expressions of one event type.
#[derive(Debug, Default)]
pub(super) struct Arena {
    nodes: Vec<IrNode>,
    /// Every node by what it is. Only ever asked, so that its order means nothing.
    index: HashMap<(Ir, Type), NodeId>,
    /// The nodes of features that [`Ir::Judged`] names.
    judged: BTreeMap<String, NodeId>,
}

impl Arena {
    /// Says which node a feature is on this event.
    pub(super) fn judged(&mut self, feature: &str, id: NodeId) {
        self.judged.insert(feature.to_owned(), id);
    }

    /// The node that stands for another one: the feature's for the name of a feature.
    pub(super) fn stands_for(&self, id: NodeId) -> Option<NodeId> {
        match &self.get(id).ir {
            Ir::Judged(judged) => self.judged.get(&judged.feature).copied(),
            Ir::Op(_) | Ir::Measure { .. } => None,
        }
    }

    /// Nodes so that each comes after those it is made of: as they were read, but for what is made of names of features,
    /// which stand for nodes that may have been read later.
    pub(super) fn in_order(&self, reached: &BTreeSet<NodeId>) -> Vec<NodeId> {
        let mut waiting: BTreeSet<NodeId> = BTreeSet::new();
        let mut order = Vec::with_capacity(reached.len());
        for &id in reached {
            let ir = &self.get(id).ir;
            let mut waits = matches!(ir, Ir::Judged(_));
            operands(ir, &mut |operand| waits |= waiting.contains(&operand));
            if waits {
                waiting.insert(id);
            } else {
                order.push(id);
            }
        }
        order.extend(waiting.into_iter().filter(|id| self.stands_for(*id).is_none()));
        order
    }

    /// The node of an expression, new or known.
    pub(super) fn intern(&mut self, ir: Ir, ty: Type, span: Span) -> Result<NodeId, TooLarge> {
        let key = (ir, ty);
        if let Some(&id) = self.index.get(&key) {
            return Ok(id);
        }
        let (mut n_nodes, mut depth) = (1_u32, 1_u32);
        operands(&key.0, &mut |operand| {
            let child = self.get(operand);
            n_nodes = n_nodes.saturating_add(child.n_nodes);
            depth = depth.max(child.depth.saturating_add(1));
        });
        if n_nodes > MAX_EXPANDED_NODES || depth > MAX_EXPANDED_DEPTH {
            return Err(TooLarge);
        }
        let id = NodeId(u32::try_from(self.nodes.len()).map_err(|_| TooLarge)?);
        self.nodes.push(IrNode { ir: key.0.clone(), ty, span, n_nodes, depth });
        self.index.insert(key, id);
        Ok(id)
    }

    /// A node of this arena.
    pub(super) fn get(&self, id: NodeId) -> &IrNode {
        &self.nodes[id.0 as usize]
    }

    /// The operation of a node, when it is no reading.
    pub(super) fn op(&self, id: NodeId) -> Option<&Op> {
        match &self.get(id).ir {
            Ir::Op(op) => Some(op),
            Ir::Measure { .. } | Ir::Judged(_) => None,
        }
    }

    /// The type of a node.
    pub(super) fn ty(&self, id: NodeId) -> Type {
        self.get(id).ty
    }
}

/// Calls `visit` with every operand of an expression.
pub(super) fn operands(ir: &Ir, visit: &mut dyn FnMut(NodeId)) {
    match ir {
        Ir::Op(op) => op.each_operand(visit),
        Ir::Measure { with, .. } => with.nodes().for_each(visit),
        Ir::Judged(_) => {}
    }
}

/// The same operation over other ids.
pub(super) fn remap(op: &Op, to: &dyn Fn(NodeId) -> NodeId) -> Op {
    let list = |ids: &[NodeId]| ids.iter().map(|&id| to(id)).collect();
    match op {
        Op::Constant(_)
        | Op::Field(_)
        | Op::GeoField(_)
        | Op::MoneyField { .. }
        | Op::Arrival
        | Op::Reading(..) => op.clone(),
        Op::Sequence(plan) => {
            let steps = plan.steps.iter().map(|step| SequenceStep {
                latest: to(step.latest),
                condition: step.condition.map(to),
                ..step.clone()
            });
            Op::Sequence(Box::new(SequencePlan { steps: steps.collect(), ..**plan }))
        }
        Op::StepField { binding, step, value } => {
            Op::StepField { binding: *binding, step: *step, value: to(*value) }
        }
        Op::IsZero(a) => Op::IsZero(to(*a)),
        Op::Since(a) => Op::Since(to(*a)),
        Op::Not(a) => Op::Not(to(*a)),
        Op::InSet(a, set) => Op::InSet(to(*a), set.clone()),
        Op::InList(a, list) => Op::InList(to(*a), *list),
        Op::Given(a, list) => Op::Given(to(*a), *list),
        Op::IsMissing(a) => Op::IsMissing(to(*a)),
        Op::Matches(a, pattern) => Op::Matches(to(*a), pattern.clone()),
        Op::Percent { ppm, of } => Op::Percent { ppm: *ppm, of: to(*of) },
        Op::Mean { sum, count } => Op::Mean { sum: to(*sum), count: to(*count) },
        Op::Deviation { count, sum, squares } => {
            Op::Deviation { count: to(*count), sum: to(*sum), squares: to(*squares) }
        }
        Op::CompareDeviation { op, value, count, sum, squares, factor_micro } => {
            Op::CompareDeviation {
                op: *op,
                value: to(*value),
                count: to(*count),
                sum: to(*sum),
                squares: to(*squares),
                factor_micro: *factor_micro,
            }
        }
        Op::And(ids) => Op::And(list(ids)),
        Op::Or(ids) => Op::Or(list(ids)),
        Op::Call(function, ids) => Op::Call(*function, list(ids)),
        Op::Model(model, aspect, ids) => Op::Model(*model, *aspect, list(ids)),
        Op::Compare(op, a, b) => Op::Compare(*op, to(*a), to(*b)),
        Op::Default(a, b) => Op::Default(to(*a), to(*b)),
        Op::Add(a, b) => Op::Add(to(*a), to(*b)),
        Op::Sub(a, b) => Op::Sub(to(*a), to(*b)),
        Op::Mul(a, b) => Op::Mul(to(*a), to(*b)),
        Op::Div(a, b) => Op::Div(to(*a), to(*b)),
        Op::Contains(a, b) => Op::Contains(to(*a), to(*b)),
        Op::StartsWith(a, b) => Op::StartsWith(to(*a), to(*b)),
    }
}

/// A final node.
pub(super) fn finished(node: &IrNode, op: Op) -> Node {
    Node { op, ty: node.ty, span: node.span }
}
