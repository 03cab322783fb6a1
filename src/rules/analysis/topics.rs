//! What claims are about. Two claims that are about nothing in common cannot contradict each other, so most pairs of rules
//! need no proof that there is none.
//!
//! INVARIANT: whatever [`solve`](super::solve) draws a conclusion from between two nodes is a topic of both: a node that
//! both are made of, a look-up that both ask, the column of a maximum or minimum. Constants are none: what is above 5 and
//! what is below 3 have nothing to do with each other.

use std::collections::BTreeSet;

use crate::rules::analysis::logic::{Case, Claim};
use crate::rules::analysis::windows::Scene;
use crate::rules::program::{LookupId, NodeId, Op};

/// One thing that a claim may be about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    Node(NodeId),
    Lookup(LookupId),
}

/// What a claim is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Topics {
    all: BTreeSet<Topic>,
    /// A bit for each of them, of which several may share one: most that have nothing in common share no bit.
    bits: u64,
}

impl Topics {
    /// Whether they have something in common.
    pub(super) fn meet(&self, other: &Self) -> bool {
        self.bits & other.bits != 0 && !self.all.is_disjoint(&other.all)
    }

    fn add(&mut self, topic: Topic) -> bool {
        let number = match topic {
            Topic::Node(NodeId(id)) => id,
            Topic::Lookup(LookupId(id)) => u32::from(id).wrapping_mul(31),
        };
        self.bits |= 1 << (number % u64::BITS);
        self.all.insert(topic)
    }
}

/// What a node is about.
///
/// # Cost
/// Linear in the nodes that it is made of.
pub(super) fn topics_of(scene: Scene<'_>, node: NodeId) -> Topics {
    let mut found = Topics::default();
    let mut open = vec![node];
    while let Some(id) = open.pop() {
        let Some(op) = scene.op(id) else { continue };
        if matches!(op, Op::Constant(_)) || !found.add(Topic::Node(id)) {
            continue;
        }
        if let Op::Reading(lookup, _) = op {
            found.add(Topic::Lookup(*lookup));
            open.extend(scene.own_column(id));
        }
        op.each_operand(&mut |operand| open.push(operand));
    }
    found
}

/// Claims that have to do with each other.
pub(super) struct Part {
    pub(super) claims: Vec<Claim>,
    pub(super) about: Topics,
}

/// A case in parts of which no two have anything in common.
pub(super) fn parts(scene: Scene<'_>, case: &Case) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for claim in case {
        let mut joined = Part { claims: vec![*claim], about: topics_of(scene, claim.node) };
        let (touched, apart) =
            parts.into_iter().partition(|part: &Part| part.about.meet(&joined.about));
        parts = apart;
        let touched: Vec<Part> = touched;
        for part in touched {
            joined.claims.extend(part.claims);
            part.about.all.into_iter().for_each(|topic| {
                joined.about.add(topic);
            });
        }
        parts.push(joined);
    }
    parts
}
