//! From checked sequences to what walks them: where the entries of each step lie, which of them fit, and where the fields
//! of steps stand in an entry. The walk itself is [`super::sequence`].

use crate::rules::eval::code::{
    Code, FitCode, SequenceCode, StepCode, TakeCode, ValueCode, WalkCode,
};
use crate::rules::eval::compile::{Compiler, push};
use crate::rules::eval::lowering::read_as;
use crate::rules::program::{
    EventPlan, LookupId, NodeId, Op, SequencePlan, SequenceStep, StepRole, Type,
};
use crate::window::layout::column_of;
use crate::window::spec::ColumnKind;

/// What a reading says about the entries behind it.
struct ColumnPlace {
    lookup: LookupId,
    /// The filter bit of the entries that it counts; none: all.
    mask: u64,
    /// Place of its column among the words of an entry, and how many words it has.
    at: usize,
    n_words: usize,
    kind: ColumnKind,
}

impl Compiler<'_> {
    /// The number of a sequence that is ready to run.
    pub(super) fn sequence(&mut self, plan: &SequencePlan) -> u32 {
        let mut code = SequenceCode {
            keys: Vec::new(),
            within_ms: plan.within_ms,
            walks: Vec::new(),
            takes: Vec::new(),
        };
        for (index, step) in (0_u16..).zip(&plan.steps) {
            let Some(fit) = self.fit(&mut code, index, step) else { continue };
            match (step.role, code.takes.last_mut()) {
                (StepRole::Without, Some(before)) => before.without.push(fit),
                (StepRole::Without, None) => {}
                (StepRole::Take(times), _) => {
                    let take = TakeCode { fit, without: Vec::new() };
                    code.takes.extend((0..times).map(|_| take.clone()));
                }
            }
        }
        let number = push(&mut self.out.sequences, code);
        if let Some(binding) = plan.binding.map(usize::from) {
            if self.out.bindings.len() <= binding {
                self.out.bindings.resize(binding + 1, u32::MAX);
            }
            self.out.bindings[binding] = number;
        }
        number
    }

    /// Where the entries of a step are, and which of them fit.
    fn fit(&self, code: &mut SequenceCode, index: u16, step: &SequenceStep) -> Option<FitCode> {
        let place = self.column_place(step.latest)?;
        let lookup = self.plan.lookups.get(usize::from(place.lookup.0))?;
        for slot in &lookup.keys {
            if !code.keys.contains(slot) {
                code.keys.push(*slot);
            }
        }
        let known = code.walks.iter().position(|walk| walk.lookup == place.lookup);
        let walk = known.unwrap_or(code.walks.len());
        match code.walks.get_mut(walk) {
            Some(held) if held.mask == 0 || place.mask == 0 => held.mask = 0,
            Some(held) => held.mask |= place.mask,
            None => code.walks.push(WalkCode {
                lookup: place.lookup,
                mask: place.mask,
                arrival_at: place.at,
                n_words: place.n_words,
            }),
        }
        let instruction = self.out.instructions.get(step.latest.0 as usize);
        let Some(Code::Value(ValueCode::Reading(read, _))) = instruction.map(|known| &known.code)
        else {
            return None;
        };
        let condition = step.condition.map(|id| id.0);
        Some(FitCode { walk, mask: place.mask, read: *read, step: index, condition })
    }

    /// The field of a step.
    pub(super) fn step_field(
        &self,
        (binding, step): (u16, u16),
        value: NodeId,
        ty: Type,
    ) -> Option<ValueCode> {
        let ColumnPlace { mask, at, kind, .. } = self.column_place(value)?;
        let read_as = read_as(ty, kind == ColumnKind::Micro);
        Some(ValueCode::Step(Box::new(StepCode { binding, step, mask, at, kind, read_as })))
    }

    /// Where the column of a reading stands in an entry.
    fn column_place(&self, reading: NodeId) -> Option<ColumnPlace> {
        let Some(Op::Reading(lookup, index)) = self.node(reading).map(|node| &node.op) else {
            return None;
        };
        let held = self.plan.lookups.get(usize::from(lookup.0))?;
        let spec = &self.program.tables.get(usize::from(held.table.0))?.spec;
        let measure = held.measures.get(usize::from(*index))?;
        let measure = spec.measures.get(usize::from(measure.0))?;
        let column = usize::from(column_of(measure.kind)?.0);
        let width = |kind: &ColumnKind| if *kind == ColumnKind::Geo { 2 } else { 1 };
        Some(ColumnPlace {
            lookup: *lookup,
            mask: measure.filter.map_or(0, |bit| 1_u64 << bit.0),
            at: spec.columns.iter().take(column).map(width).sum(),
            n_words: spec.columns.iter().map(width).sum(),
            kind: spec.columns.get(column).copied()?,
        })
    }
}

/// Whether a node reads fields of steps; `before` says so of the nodes before it.
pub(super) fn is_tried(op: &Op, before: &[bool]) -> bool {
    match op {
        Op::StepField { .. } => true,
        Op::Sequence(_) => false,
        op => {
            let mut found = false;
            op.each_operand(&mut |id| found |= before.get(id.0 as usize) == Some(&true));
            found
        }
    }
}

/// Whether a node asks state.
pub(super) fn asks_state(plan: &EventPlan, id: NodeId) -> bool {
    let Some(node) = plan.nodes.get(id.0 as usize) else { return false };
    if matches!(node.op, Op::Reading(..)) {
        return true;
    }
    let mut found = false;
    node.op.each_operand(&mut |part| found |= asks_state(plan, part));
    found
}
