//! Conditions as cases: a disjunction of conjunctions of claims about atoms.
//!
//! Truth has three values, so there are four things to claim of a node. `not`, `and` and `or` are taken apart exactly;
//! what is left are atoms: comparisons, look-ups in sets and lists, fields that are true or false.

use std::collections::BTreeSet;

use crate::rules::program::{Constant, EventPlan, NodeId, Op};

/// Most cases that a condition is taken apart into; beyond that nothing is claimed about it.
const MAX_CASES: usize = 128;

/// What is claimed of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Say {
    /// True.
    True,
    /// False.
    False,
    /// False or undecided.
    NotTrue,
    /// True or undecided.
    NotFalse,
}

impl Say {
    /// The same claim of the node that this one negates.
    #[must_use]
    pub fn negated(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::NotTrue => Self::NotFalse,
            Self::NotFalse => Self::NotTrue,
        }
    }

    /// Whether a node with this truth is what is claimed; `None` is undecided.
    pub fn holds(self, truth: Option<bool>) -> bool {
        match self {
            Self::True => truth == Some(true),
            Self::False => truth == Some(false),
            Self::NotTrue => truth != Some(true),
            Self::NotFalse => truth != Some(false),
        }
    }
}

/// A node and what is claimed of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Claim {
    /// The node.
    pub node: NodeId,
    /// What it is said to be.
    pub say: Say,
}

/// Claims about atoms that hold together.
pub(super) type Case = BTreeSet<Claim>;

/// The cases in which all claims hold; `None` when there are too many of them.
///
/// # Cost
/// Linear in the nodes, times the cases.
pub(super) fn cases(plan: &EventPlan, claims: &[Claim]) -> Option<Vec<Case>> {
    let mut all = vec![Case::new()];
    for claim in claims {
        all = both(&all, &expand(plan, *claim)?)?;
    }
    Some(all)
}

fn expand(plan: &EventPlan, claim: Claim) -> Option<Vec<Case>> {
    let Claim { node, say } = claim;
    match &plan.nodes.get(node.0 as usize)?.op {
        Op::Not(inner) => expand(plan, Claim { node: *inner, say: say.negated() }),
        Op::And(list) => many(plan, list, say, matches!(say, Say::True | Say::NotFalse)),
        Op::Or(list) => many(plan, list, say, matches!(say, Say::False | Say::NotTrue)),
        Op::Constant(Constant::Bool(value)) => {
            let holds = *value == matches!(say, Say::True | Say::NotFalse);
            Some(if holds { vec![Case::new()] } else { Vec::new() })
        }
        _ => Some(vec![[claim].into()]),
    }
}

/// The claim of all operands, or of any.
fn many(plan: &EventPlan, list: &[NodeId], say: Say, all: bool) -> Option<Vec<Case>> {
    let mut sum = if all { vec![Case::new()] } else { Vec::new() };
    for node in list {
        let cases = expand(plan, Claim { node: *node, say })?;
        if all {
            sum = both(&sum, &cases)?;
        } else {
            sum.extend(cases);
        }
        if sum.len() > MAX_CASES {
            return None;
        }
    }
    Some(sum)
}

fn both(left: &[Case], right: &[Case]) -> Option<Vec<Case>> {
    if left.len().saturating_mul(right.len()) > MAX_CASES {
        return None;
    }
    let joined = left.iter().flat_map(|a| right.iter().map(move |b| a.union(b).copied().collect()));
    Some(joined.collect())
}
