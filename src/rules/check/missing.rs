//! Whether a condition can be undecided, and by what.
//!
//! An expression can be missing by an optional field, an aggregate over nothing, a key that may be absent, a division
//! or a conversion of money. `default` and `is missing` end it; so does a neighbour that asks first: in
//! `device is present and ...` the rest is only asked with a device at hand. Where what is reckoned may be larger than its
//! type holds, by the ranges of fields and windows, that is a cause as well.

use std::collections::BTreeSet;

use crate::diag::Span;
use crate::event::schema::{EventId, SlotId};
use crate::rules::check::arena::{Ir, RequestId, operands};
use crate::rules::check::canonical::slot_name;
use crate::rules::check::checker::{Build, Words};
use crate::rules::check::measures::Kind;
use crate::rules::check::sizes::Sizes;
use crate::rules::program::{Constant, Function, NodeId, Op, Type};
use crate::window::spec::Counting;

/// Most causes that are looked for.
const MAX_CAUSES: usize = 4;

/// Why an expression can be missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cause {
    pub(super) at: At,
    /// "optional field `device`".
    pub(super) text: String,
}

/// What is missing, and where the rule wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    node: NodeId,
    pub(super) span: Span,
}

/// What can make a condition undecided, in the order of reading, the first few; what the guard proves present is not asked again.
/// `words` says where the rule wrote what.
pub(super) fn causes(
    build: &Build<'_>,
    event: EventId,
    guard: Option<NodeId>,
    condition: NodeId,
    words: &Words,
) -> Vec<Cause> {
    let analysis = Analysis { build, event, words };
    let mut present = BTreeSet::new();
    if let Some(guard) = guard {
        analysis.present_when_true(guard, &mut present);
    }
    let mut found: Vec<Cause> = Vec::new();
    while found.len() < MAX_CAUSES
        && let Some(cause) = analysis.cause(condition, &present)
    {
        // If that were there, what else could be missing?
        if !present.insert(cause.at.node) {
            break;
        }
        if found.iter().all(|known| known.text != cause.text) {
            found.push(cause);
        }
    }
    found
}

const TOO_LARGE: &str = "it may be too large to be reckoned with";

const NO_LOGARITHM: &str = "only what is above zero has a logarithm";

struct Analysis<'b, 'a> {
    build: &'b Build<'a>,
    event: EventId,
    words: &'b Words,
}

impl Analysis<'_, '_> {
    fn cause(&self, id: NodeId, present: &BTreeSet<NodeId>) -> Option<Cause> {
        if present.contains(&id) {
            return None;
        }
        let node = self.build.arena(self.event).get(id);
        let span = self.words.get(&id).copied().unwrap_or(node.span);
        let at = At { node: id, span };
        self.lacks_part(present, at).or_else(|| {
            let sizes = Sizes { build: self.build, event: self.event };
            sizes.may_overflow(id).then(|| Cause { at, text: TOO_LARGE.to_owned() })
        })
    }

    fn lacks_part(&self, present: &BTreeSet<NodeId>, at: At) -> Option<Cause> {
        let node = self.build.arena(self.event).get(at.node);
        let op = match &node.ir {
            Ir::Op(op) => op,
            Ir::Measure { request, keys, with } => {
                return self
                    .absent_key(keys, present, at)
                    .or_else(|| with.zone.and_then(|zone| self.unknown_zone(zone, at)))
                    .or_else(|| with.probe.and_then(|probe| self.cause(probe, present)))
                    .or_else(|| self.empty(*request, keys, at));
            }
            // It stands only where an event that cannot be decided does not count.
            Ir::Judged(_) => return None,
        };
        match op {
            Op::Field(slot) | Op::GeoField(slot) => self.optional(*slot, at),
            Op::MoneyField { slot, currency } => self.optional(*slot, at).or_else(|| {
                let own = currency.ok().map(Type::Money);
                (own != Some(node.ty)).then(|| Cause {
                    at,
                    text: format!("`{}` may have no exchange rate", self.name(*slot)),
                })
            }),
            Op::IsMissing(_) => None,
            Op::And(list) => {
                let mut shielded = present.clone();
                for &part in list {
                    self.asked_present(part, &mut shielded);
                }
                list.iter().find_map(|&part| self.cause(part, &shielded))
            }
            Op::Or(list) => {
                let mut shielded = present.clone();
                for &part in list {
                    self.asked_missing(part, &mut shielded);
                }
                list.iter().find_map(|&part| self.cause(part, &shielded))
            }
            Op::Default(_, fallback) => self.cause(*fallback, present),
            Op::Given(a, list) => self.cause(*a, present).or_else(|| {
                let list = self.build.world.lists.get(usize::from(list.0));
                let name = list.map_or("?", |list| list.name.as_str());
                Some(Cause { at, text: format!("it may not be on `{name}`") })
            }),
            Op::Sequence(plan) => plan.steps.iter().find_map(|step| {
                let Ir::Measure { keys, .. } = &self.build.arena(self.event).get(step.latest).ir
                else {
                    return None;
                };
                self.absent_key(keys, present, at)
            }),
            Op::StepField { value, .. } => self.optional_of_step(*value, at),
            Op::Call(Function::Ln, _) => Some(Cause { at, text: NO_LOGARITHM.to_owned() }),
            Op::Model(..) => Some(Cause { at, text: "the model may be warming".to_owned() }),
            Op::Div(a, b) => {
                self.cause(*a, present).or_else(|| self.cause(*b, present)).or_else(|| {
                    // A speed is known in no time as well.
                    (node.ty != Type::Speed && self.may_be_zero(*b))
                        .then(|| Cause { at, text: "the divisor may be zero".to_owned() })
                })
            }
            Op::Mean { count, .. }
            | Op::Deviation { count, .. }
            | Op::CompareDeviation { count, .. } => {
                self.of_sums(&node.ir, present).or_else(|| self.nothing_counted(*count, at))
            }
            _ => self.of_parts(&node.ir, present),
        }
    }

    fn of_parts(&self, ir: &Ir, present: &BTreeSet<NodeId>) -> Option<Cause> {
        let mut parts = Vec::new();
        operands(ir, &mut |part| parts.push(part));
        parts.into_iter().find_map(|part| self.cause(part, present))
    }

    /// The same of a statistic, which takes sums as the state has them: those of 64 bits are never too large.
    fn of_sums(&self, ir: &Ir, present: &BTreeSet<NodeId>) -> Option<Cause> {
        let mut parts = Vec::new();
        operands(ir, &mut |part| parts.push(part));
        parts.into_iter().filter(|part| !present.contains(part)).find_map(|part| {
            let node = self.build.arena(self.event).get(part);
            match node.ir {
                Ir::Measure { .. } => {
                    let span = self.words.get(&part).copied().unwrap_or(node.span);
                    self.lacks_part(present, At { node: part, span })
                }
                _ => self.cause(part, present),
            }
        })
    }

    fn optional(&self, slot: SlotId, at: At) -> Option<Cause> {
        let fields = &self.build.world.schema.event(self.event).fields;
        let field = fields.iter().find(|field| field.slot == slot)?;
        field.optional.then(|| Cause { at, text: format!("optional field `{}`", field.name) })
    }

    /// A field of a step that its event may lack. That there is a match is asked by the sequence itself.
    fn optional_of_step(&self, value: NodeId, at: At) -> Option<Cause> {
        let Ir::Measure { request, .. } = &self.build.arena(self.event).get(value).ir else {
            return None;
        };
        let request = self.build.measures.get(*request);
        request.filter.as_ref()?;
        let field = self.build.world.schema.event(request.event).field(request.field?);
        Some(Cause { at, text: format!("field `{}` may be absent", field.name) })
    }

    fn absent_key(&self, keys: &[SlotId], present: &BTreeSet<NodeId>, at: At) -> Option<Cause> {
        keys.iter().find_map(|&slot| {
            let asked =
                present.iter().any(|&id| matches!(self.op(id), Some(Op::Field(of)) if *of == slot));
            if asked {
                return None;
            }
            self.optional(slot, at)
                .map(|_| Cause { at, text: format!("key `{}` may be absent", self.name(slot)) })
        })
    }

    /// A field may hold anything, so it may name no time zone.
    fn unknown_zone(&self, zone: NodeId, at: At) -> Option<Cause> {
        match self.op(zone) {
            Some(Op::Field(slot)) => {
                let text = format!("`{}` may name no time zone", self.name(*slot));
                Some(Cause { at, text })
            }
            _ => None,
        }
    }

    /// A measure whose answer is missing when nothing counts.
    fn empty(&self, request: RequestId, keys: &[SlotId], at: At) -> Option<Cause> {
        let kind = self.build.measures.get(request).kind;
        match kind {
            Kind::Min | Kind::Max | Kind::Ranked(_) | Kind::Last | Kind::LastTime
                if !self.counts_present(request, keys) =>
            {
                Some(Cause { at, text: "there may be no such event in the window".to_owned() })
            }
            _ => None,
        }
    }

    fn nothing_counted(&self, count: NodeId, at: At) -> Option<Cause> {
        self.may_be_zero(count)
            .then(|| Cause { at, text: "there may be no such event in the window".to_owned() })
    }

    fn may_be_zero(&self, id: NodeId) -> bool {
        let node = self.build.arena(self.event).get(id);
        match &node.ir {
            Ir::Measure { request, keys, .. } => {
                let counts =
                    matches!(self.build.measures.get(*request).kind, Kind::Count | Kind::Distinct);
                !(counts && self.counts_present(*request, keys))
            }
            Ir::Op(Op::Constant(Constant::Int(value))) => *value == 0,
            Ir::Op(Op::Constant(Constant::Money(value))) => *value == 0,
            Ir::Op(Op::Constant(Constant::Number(value))) => *value == 0.0,
            Ir::Op(_) | Ir::Judged(_) => true,
        }
    }

    /// Whether the present event itself is always among the counted.
    fn counts_present(&self, request: RequestId, keys: &[SlotId]) -> bool {
        let request = self.build.measures.get(request);
        let event = self.build.world.schema.event(request.event);
        request.counting == Counting::Last
            && request.event == self.event
            && request.filter.is_none()
            && request.keys.iter().map(|&key| event.field(key).slot).eq(keys.iter().copied())
    }

    /// `x is present` as an operand of `and`.
    fn asked_present(&self, part: NodeId, out: &mut BTreeSet<NodeId>) {
        if let Some(Op::Not(inner)) = self.op(part)
            && let Some(Op::IsMissing(asked)) = self.op(*inner)
        {
            self.strict_parts(*asked, out);
        }
    }

    /// `x is missing` as an operand of `or`.
    fn asked_missing(&self, part: NodeId, out: &mut BTreeSet<NodeId>) {
        if let Some(Op::IsMissing(asked)) = self.op(part) {
            self.strict_parts(*asked, out);
        }
    }

    /// What must have been there for a condition to be true.
    fn present_when_true(&self, id: NodeId, out: &mut BTreeSet<NodeId>) {
        match self.op(id) {
            Some(Op::And(list)) => list.iter().for_each(|&part| self.present_when_true(part, out)),
            Some(Op::Not(inner)) => match self.op(*inner) {
                Some(Op::IsMissing(asked)) => self.strict_parts(*asked, out),
                Some(Op::And(_) | Op::Or(_)) => {}
                _ => self.strict_parts(*inner, out),
            },
            Some(Op::Or(_) | Op::IsMissing(_)) => {}
            _ => self.strict_parts(id, out),
        }
    }

    /// An expression that is present, and all parts whose absence would have made it missing.
    fn strict_parts(&self, id: NodeId, out: &mut BTreeSet<NodeId>) {
        if !out.insert(id) {
            return;
        }
        let node = self.build.arena(self.event).get(id);
        if let Ir::Op(Op::Default(..) | Op::And(_) | Op::Or(_) | Op::IsMissing(_)) = node.ir {
            return;
        }
        let mut parts = Vec::new();
        operands(&node.ir, &mut |part| parts.push(part));
        for part in parts {
            self.strict_parts(part, out);
        }
    }

    fn op(&self, id: NodeId) -> Option<&Op> {
        self.build.arena(self.event).op(id)
    }

    fn name(&self, slot: SlotId) -> &str {
        slot_name(self.build.world.schema, self.event, slot).unwrap_or("?")
    }
}
