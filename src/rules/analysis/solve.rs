//! Whether claims can hold together. "No" is a proof; "yes" only says that none was found.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::Value;
use crate::event::schema::FieldType;
use crate::rules::analysis::bounds::{End, Interval, Order};
use crate::rules::analysis::logic::{Case, Claim, Say};
use crate::rules::analysis::texts::{self, Saying, Text};
use crate::rules::analysis::windows::Scene;
use crate::rules::eval::number::holds;
use crate::rules::program::{Constant, Function, NodeId, Op, Type};
use crate::rules::syntax::ast::CompareOp;

/// Most terms whose order is looked at together.
const MAX_TERMS: usize = 24;

/// Whether the claims of a case cannot hold together.
pub(super) fn contradicts(scene: Scene<'_>, case: &Case) -> bool {
    let Some(left) = scene.tries.get().checked_sub(1) else { return false };
    scene.tries.set(left);
    let mut facts = Facts::new(scene);
    if facts.take(case) {
        return true;
    }
    let sayings = texts::sayings(scene, &facts.truths);
    facts.sets_contradict() || texts::contradict(&sayings) || facts.order_contradicts(&sayings)
}

/// A smallest part of a contradicting case that still contradicts itself.
pub(super) fn core(scene: Scene<'_>, case: &Case) -> Vec<Claim> {
    let mut kept = case.clone();
    for claim in case {
        let mut without = kept.clone();
        without.remove(claim);
        if contradicts(scene, &without) {
            kept = without;
        }
    }
    kept.into_iter().collect()
}

/// What follows from the claims.
struct Facts<'p> {
    scene: Scene<'p>,
    present: BTreeSet<NodeId>,
    missing: BTreeSet<NodeId>,
    /// Atoms that are decided.
    truths: BTreeMap<NodeId, bool>,
}

impl<'p> Facts<'p> {
    fn new(scene: Scene<'p>) -> Self {
        let (present, missing) = (BTreeSet::new(), BTreeSet::new());
        Self { scene, present, missing, truths: BTreeMap::new() }
    }

    /// Takes the claims in; says whether they contradict each other at once.
    fn take(&mut self, case: &Case) -> bool {
        for claim in case {
            let decided = match claim.say {
                Say::True => Some(true),
                Say::False => Some(false),
                Say::NotTrue | Say::NotFalse => None,
            };
            if decided.is_some_and(|truth| self.decide(claim.node, truth)) {
                return true;
            }
        }
        // What is not true and can be decided is false, and the other way round.
        for claim in case {
            let opposite = match claim.say {
                Say::NotTrue => false,
                Say::NotFalse => true,
                Say::True | Say::False => continue,
            };
            let known = self.truths.get(&claim.node).copied();
            if known.is_some_and(|known| known != opposite)
                || known.is_none()
                    && self.is_decided(claim.node)
                    && self.decide(claim.node, opposite)
            {
                return true;
            }
        }
        self.missing.iter().any(|id| self.is_present(*id))
    }

    /// Notes the truth of an atom and what must be there for it; says whether it contradicts.
    fn decide(&mut self, id: NodeId, truth: bool) -> bool {
        if self.truths.insert(id, truth).is_some_and(|known| known != truth) {
            return true;
        }
        if let Some(Op::IsMissing(of)) = self.scene.op(id) {
            if truth {
                self.missing.insert(*of);
            } else {
                self.needs(*of);
            }
        } else {
            self.needs(id);
        }
        false
    }

    /// Notes that a node has a value, and what it cannot have it without.
    fn needs(&mut self, id: NodeId) {
        if !self.present.insert(id) {
            return;
        }
        match self.scene.op(id) {
            // A sequence is decided where no event took its steps.
            None
            | Some(
                Op::Default(..)
                | Op::IsMissing(_)
                | Op::And(_)
                | Op::Or(_)
                | Op::Sequence(_)
                | Op::StepField { .. },
            ) => {}
            Some(op) => {
                let mut operands = Vec::new();
                op.each_operand(&mut |operand| operands.push(operand));
                for operand in operands {
                    self.needs(operand);
                }
            }
        }
    }

    fn is_present(&self, id: NodeId) -> bool {
        if self.present.contains(&id) {
            return true;
        }
        match self.scene.op(id) {
            Some(Op::Constant(_)) => true,
            Some(Op::Field(slot)) => {
                let schema = self.scene.schema();
                let plans = &self.scene.program.plans;
                let event = plans.iter().position(|plan| core::ptr::eq(plan, self.scene.plan));
                let event = event.and_then(|index| schema.events.get(index));
                event.is_some_and(|event| {
                    event.fields.iter().any(|field| field.slot == *slot && !field.optional)
                })
            }
            Some(Op::Reading(..)) => {
                self.present.iter().any(|other| self.scene.is_there_with(id, *other))
            }
            _ => false,
        }
    }

    /// Whether an atom must be true or false.
    fn is_decided(&self, id: NodeId) -> bool {
        match self.scene.op(id) {
            Some(Op::IsMissing(_)) => true,
            Some(Op::Compare(_, a, b)) => self.is_present(*a) && self.is_present(*b),
            Some(Op::InSet(of, _) | Op::InList(of, _) | Op::IsZero(of)) => self.is_present(*of),
            Some(Op::Field(_)) => self.is_present(id),
            // WHY: what windows and sequences remember of a long text is too little to look into.
            Some(Op::Contains(of, part) | Op::StartsWith(of, part)) => {
                self.is_whole_text(*of) && self.is_whole_text(*part)
            }
            Some(Op::Matches(of, _)) => self.is_whole_text(*of),
            _ => false,
        }
    }

    /// Whether a text is there, letter by letter.
    fn is_whole_text(&self, id: NodeId) -> bool {
        match self.scene.op(id) {
            Some(Op::Constant(_)) => true,
            Some(Op::Field(_)) => self.is_present(id),
            Some(Op::Call(Function::Lower, list)) => {
                list.iter().all(|inner| self.is_whole_text(*inner))
            }
            _ => false,
        }
    }

    /// Whether something would have to be one of no values.
    fn sets_contradict(&self) -> bool {
        let mut one_of: BTreeMap<NodeId, Vec<&Constant>> = BTreeMap::new();
        let mut none_of: BTreeMap<NodeId, Vec<&Constant>> = BTreeMap::new();
        for (id, truth) in &self.truths {
            let (of, set, inside) = match self.scene.op(*id) {
                Some(Op::InSet(of, set)) => (*of, set.iter().collect::<Vec<_>>(), *truth),
                Some(Op::Compare(op @ (CompareOp::Eq | CompareOp::Ne), a, b)) => {
                    let inside = (*op == CompareOp::Eq) == *truth;
                    if a == b && !inside {
                        return true;
                    }
                    match (self.scene.op(*a), self.scene.op(*b)) {
                        (_, Some(Op::Constant(constant))) => (*a, vec![constant], inside),
                        (Some(Op::Constant(constant)), _) => (*b, vec![constant], inside),
                        _ => continue,
                    }
                }
                _ => continue,
            };
            if !inside {
                none_of.entry(of).or_default().extend(set);
            } else if let Some(held) = one_of.get_mut(&of) {
                held.retain(|constant| set.contains(constant));
            } else {
                one_of.insert(of, set);
            }
        }
        let refused = |of: &NodeId, constant: &Constant| {
            none_of.get(of).is_some_and(|refused| refused.contains(&constant))
        };
        // Numbers of two types can be equal and not the same constant; their order is looked at elsewhere.
        let exact = |of: &NodeId| {
            self.scene
                .node(*of)
                .is_some_and(|node| !matches!(node.ty, Type::Integer | Type::Number))
        };
        let empty = one_of
            .iter()
            .any(|(of, set)| exact(of) && set.iter().all(|constant| refused(of, constant)));
        empty
            || none_of.keys().any(|of| {
                self.all_members(of).is_some_and(|n_members| {
                    !one_of.contains_key(of)
                        && (0..n_members).all(|code| refused(of, &Constant::Code(code)))
                })
            })
    }

    /// How many members the closed set of a node has.
    fn all_members(&self, of: &NodeId) -> Option<u32> {
        let Type::Enum(event, field) = self.scene.node(*of)?.ty else { return None };
        match &self.scene.schema().event(event).field(field).ty {
            FieldType::OneOf(members) => u32::try_from(members.len()).ok(),
            _ => None,
        }
    }

    fn order_contradicts(&self, sayings: &[Saying<'_>]) -> bool {
        let mut ids: BTreeSet<NodeId> = BTreeSet::new();
        for id in self.truths.keys() {
            match self.scene.op(*id) {
                Some(Op::Compare(_, a, b)) => ids.extend([*a, *b]),
                Some(Op::IsZero(of)) => {
                    ids.insert(*of);
                }
                _ => {}
            }
        }
        ids.retain(|id| self.scene.node(*id).is_some_and(|node| node.ty.is_ordered()));
        if ids.len() > MAX_TERMS {
            return false;
        }
        let ids: Vec<NodeId> = ids.into_iter().collect();
        let terms: Vec<Interval> = ids.iter().map(|id| self.scene.bounds(*id)).collect();
        let mut order = Order::new(terms);
        for (at, id) in ids.iter().enumerate() {
            let Some(text) = Text::of_length(self.scene, *id) else { continue };
            let (least, most) = texts::length(text, sayings);
            let end = |n: usize| {
                let value = Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
                End { value, strict: false }
            };
            order.terms[at].at_least(end(least));
            if let Some(most) = most {
                order.terms[at].at_most(end(most));
            }
        }
        for (a, left) in ids.iter().enumerate() {
            for (b, right) in ids.iter().enumerate() {
                if self.scene.is_at_most(*left, *right) {
                    order.add(a, b, false);
                }
            }
        }
        let unequal = self.compared(&ids, &mut order);
        order.contradicts() || unequal.into_iter().any(|(a, b)| order.are_equal(a, b))
    }

    /// Adds what the atoms say; gives the pairs that are not equal.
    fn compared(&self, ids: &[NodeId], order: &mut Order) -> Vec<(usize, usize)> {
        let place = |id: &NodeId| ids.binary_search(id).ok();
        let mut unequal = Vec::new();
        for (id, truth) in &self.truths {
            match self.scene.op(*id) {
                Some(Op::Compare(op, a, b)) => {
                    let (Some(a), Some(b)) = (place(a), place(b)) else { continue };
                    let op = if *truth { *op } else { opposite(*op) };
                    match op {
                        CompareOp::Lt | CompareOp::Le => order.add(a, b, op == CompareOp::Lt),
                        CompareOp::Gt | CompareOp::Ge => order.add(b, a, op == CompareOp::Gt),
                        CompareOp::Eq => {
                            order.add(a, b, false);
                            order.add(b, a, false);
                        }
                        CompareOp::Ne => unequal.push((a, b)),
                    }
                }
                Some(Op::IsZero(of)) => {
                    let Some(of) = place(of) else { continue };
                    let end = |int| End { value: Value::Int(int), strict: false };
                    if *truth {
                        order.terms[of].at_most(end(0));
                    } else {
                        order.terms[of].at_least(end(1));
                    }
                }
                _ => {}
            }
        }
        unequal
    }
}

/// What holds when the comparison is false and both sides are there.
fn opposite(op: CompareOp) -> CompareOp {
    let all =
        [CompareOp::Eq, CompareOp::Ne, CompareOp::Lt, CompareOp::Le, CompareOp::Gt, CompareOp::Ge];
    let differs = |other: &CompareOp| {
        [core::cmp::Ordering::Less, core::cmp::Ordering::Equal, core::cmp::Ordering::Greater]
            .into_iter()
            .all(|ordering| holds(op, ordering) != holds(*other, ordering))
    };
    all.into_iter().find(differs).unwrap_or(op)
}
