//! From the arenas to the final plans: only what something needs, with every reading in its place.

use std::collections::{BTreeMap, BTreeSet};

use crate::diag::{Diagnostic, Span, codes};
use crate::event::schema::{EventId, SlotId};
use crate::rules::check::arena::{Arena, Beside, Ir, RequestId, finished, operands, remap};
use crate::rules::check::checker::Build;
use crate::rules::check::limits::MAX_STATE_IDS;
use crate::rules::check::plan::{self, Plan, PlannedTable};
use crate::rules::program::{
    ActionPlan, Constant, EventPlan, Lookup, LookupId, Message, MessagePart, ModelId, NodeId, Op,
    RuleBody, TableId, TablePlan,
};
use crate::window::spec::MeasureId;

/// What an event type does, its nodes still in the arena.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) bodies: Vec<RuleBody>,
    pub(super) features: Vec<(String, NodeId)>,
    pub(super) models: Vec<(ModelId, NodeId)>,
}

/// Tables and plans of a checked rule set; `drafts` has one entry per event type.
pub(super) fn lower(
    build: &Build<'_>,
    drafts: Vec<Draft>,
    report: &mut Vec<Diagnostic>,
) -> (Vec<TablePlan>, Vec<EventPlan>) {
    let mut reached: Vec<BTreeSet<NodeId>> = Vec::new();
    for (arena, draft) in build.arenas.iter().zip(&drafts) {
        reached.push(closure(arena, roots(draft)));
    }
    let used = questions(build, &mut reached);
    let plan = plan::tables(&build.measures, &used, build.world.schema, report);
    let mut tables: Vec<Option<TablePlan>> = plan.tables.iter().map(|_| None).collect();
    let mut plans = Vec::new();
    for (index, draft) in (0_u16..).zip(drafts) {
        let event = EventId(index);
        let place = usize::from(index);
        let mut lowering = Lowering::new(&build.arenas[place], &plan, &reached[place], event);
        if lowering.lookups.len() > MAX_STATE_IDS {
            let message = format!("the rules on one event make more than {MAX_STATE_IDS} look-ups");
            report.push(Diagnostic::new(codes::E0406, Span::default(), message));
        }
        lowering.emit();
        for (slot, table) in tables.iter_mut().zip(&plan.tables) {
            if table.event == event {
                *slot = Some(lowering.table(table));
            }
        }
        plans.push(lowering.finish(draft));
    }
    (tables.into_iter().flatten().collect(), plans)
}

/// Everything that is asked of state. What is remembered for a question belongs to the nodes of its event, and may ask
/// state itself: a step of a sequence does.
fn questions(build: &Build<'_>, reached: &mut [BTreeSet<NodeId>]) -> BTreeSet<RequestId> {
    let mut used: BTreeSet<RequestId> = BTreeSet::new();
    loop {
        let asked: Vec<RequestId> = build
            .arenas
            .iter()
            .zip(&*reached)
            .flat_map(|(arena, ids)| ids.iter().filter_map(|&id| request(arena, id)))
            .filter(|id| !used.contains(id))
            .collect();
        if asked.is_empty() {
            return used;
        }
        for &id in &asked {
            let request = build.measures.get(id);
            let index = usize::from(request.event.0);
            let column = request.column.as_ref().map(|(named, _)| named.node);
            let filter = request.filter.as_ref().map(|named| named.node);
            let more = column.into_iter().chain(filter).collect();
            reached[index].extend(closure(&build.arenas[index], more));
        }
        used.extend(asked);
    }
}

fn roots(draft: &Draft) -> Vec<NodeId> {
    let mut list: Vec<NodeId> = draft.features.iter().map(|(_, id)| *id).collect();
    list.extend(draft.models.iter().map(|(_, id)| *id));
    for body in &draft.bodies {
        list.push(body.when);
        list.extend(body.guard);
        list.extend(body.unless);
        list.extend(body.lets.iter().map(|(_, id)| *id));
        for message in body.actions.iter().filter_map(ActionPlan::message) {
            list.extend(message.0.iter().filter_map(|part| match part {
                MessagePart::Value(id) => Some(*id),
                MessagePart::Text(_) | MessagePart::Field(_) => None,
            }));
        }
    }
    list
}

fn message_mut(action: &mut ActionPlan) -> Option<&mut Message> {
    match action {
        ActionPlan::Block { reason } | ActionPlan::Hold { reason, .. } => reason.as_mut(),
        ActionPlan::Alert { message, .. } => message.as_mut(),
        _ => None,
    }
}

fn relocate(part: &mut MessagePart, to: &dyn Fn(NodeId) -> NodeId) {
    if let MessagePart::Value(id) = part {
        *id = to(*id);
    }
}

/// The roots and everything that they are made of.
fn closure(arena: &Arena, mut open: Vec<NodeId>) -> BTreeSet<NodeId> {
    let mut reached = BTreeSet::new();
    while let Some(id) = open.pop() {
        if reached.insert(id) {
            open.extend(arena.stands_for(id));
            operands(&arena.get(id).ir, &mut |operand| open.push(operand));
        }
    }
    reached
}

fn request(arena: &Arena, id: NodeId) -> Option<RequestId> {
    match &arena.get(id).ir {
        Ir::Measure { request, .. } => Some(*request),
        Ir::Op(_) | Ir::Judged(_) => None,
    }
}

/// A table and the slots of the key that is looked up in it.
type LookupKey = (TableId, Vec<SlotId>);

/// A measure, and what belongs to it.
type Question = (MeasureId, Beside);

struct Lowering<'b> {
    arena: &'b Arena,
    plan: &'b Plan,
    event: EventId,
    /// The reached arena nodes, in the order of their final ids.
    order: Vec<NodeId>,
    /// Final id of every reached arena node.
    ids: BTreeMap<NodeId, NodeId>,
    /// What is asked of each look-up (arena ids).
    lookups: BTreeMap<LookupKey, BTreeSet<Question>>,
    out: EventPlan,
}

impl<'b> Lowering<'b> {
    fn new(arena: &'b Arena, plan: &'b Plan, reached: &BTreeSet<NodeId>, event: EventId) -> Self {
        let order = arena.in_order(reached);
        let mut ids: BTreeMap<NodeId, NodeId> =
            order.iter().copied().zip((0..).map(NodeId)).collect();
        for &id in reached {
            if let Some(&meant) = arena.stands_for(id).and_then(|meant| ids.get(&meant)) {
                ids.insert(id, meant);
            }
        }
        let mut lookups: BTreeMap<LookupKey, BTreeSet<_>> = BTreeMap::new();
        for &id in reached {
            if let Ir::Measure { request, keys, with } = &arena.get(id).ir
                && let Some(&(table, measure)) = plan.places.get(request)
            {
                lookups.entry((table, keys.clone())).or_default().insert((measure, *with));
            }
        }
        Self { arena, plan, event, order, ids, lookups, out: EventPlan::default() }
    }

    fn emit(&mut self) {
        let final_id = |id: NodeId| self.ids.get(&id).copied().unwrap_or(id);
        for ((table, keys), asked) in &self.lookups {
            let of = self.plan.tables.get(usize::from(table.0)).map(|table| table.event);
            self.out.lookups.push(Lookup {
                table: *table,
                keys: keys.clone(),
                measures: asked.iter().map(|(measure, ..)| *measure).collect(),
                probes: asked.iter().map(|(_, with)| with.probe.map(final_id)).collect(),
                zones: asked.iter().map(|(_, with)| with.zone.map(final_id)).collect(),
                unpriced: asked.iter().map(|(_, with)| with.unpriced.map(final_id)).collect(),
                same_event: of == Some(self.event),
            });
        }
        for &id in &self.order {
            let node = self.arena.get(id);
            let op = match &node.ir {
                Ir::Op(op) => remap(op, &final_id),
                Ir::Measure { request, keys, with } => self.reading(*request, keys, *with),
                // One without a node of its own was refused.
                Ir::Judged(_) => Op::Constant(Constant::Bool(false)),
            };
            self.out.nodes.push(finished(node, op));
        }
    }

    fn reading(&self, request: RequestId, keys: &[SlotId], with: Beside) -> Op {
        let place = self.plan.places.get(&request).copied();
        let (table, measure) = place.unwrap_or((TableId(0), MeasureId(0)));
        let lookup = self.lookups.keys().position(|(of, slots)| *of == table && slots == keys);
        let asked = lookup.and_then(|index| self.lookups.values().nth(index));
        let index = asked.and_then(|asked| asked.iter().position(|one| *one == (measure, with)));
        let narrow =
            |index: Option<usize>| index.and_then(|index| u16::try_from(index).ok()).unwrap_or(0);
        Op::Reading(LookupId(narrow(lookup)), narrow(index))
    }

    fn table(&self, table: &PlannedTable) -> TablePlan {
        let ids =
            |list: &[NodeId]| list.iter().filter_map(|id| self.ids.get(id).copied()).collect();
        TablePlan {
            name: table.name.clone(),
            event: table.event,
            keys: table.keys.clone(),
            spec: table.spec.clone(),
            columns: ids(&table.columns),
            filters: ids(&table.filters),
            column_texts: table.column_texts.clone(),
            filter_texts: table.filter_texts.clone(),
            identities: table.identities.clone(),
        }
    }

    /// What a rule wrote elsewhere than the shared node says, by final ids, ascending.
    fn own_words(&self, body: &RuleBody) -> Vec<(NodeId, Span)> {
        let elsewhere = body.words.iter().filter(|(id, span)| self.arena.get(*id).span != *span);
        let placed = elsewhere.filter_map(|(id, span)| Some((*self.ids.get(id)?, *span)));
        let mut placed: Vec<(NodeId, Span)> = placed.collect();
        placed.sort_unstable();
        placed
    }

    fn finish(mut self, draft: Draft) -> EventPlan {
        let final_id = |id: NodeId| self.ids.get(&id).copied().unwrap_or(id);
        for mut body in draft.bodies {
            body.when = final_id(body.when);
            body.guard = body.guard.map(final_id);
            body.unless = body.unless.map(final_id);
            body.lets.iter_mut().for_each(|(_, id)| *id = final_id(*id));
            body.words = self.own_words(&body);
            for message in body.actions.iter_mut().filter_map(message_mut) {
                message.0.iter_mut().for_each(|part| relocate(part, &final_id));
            }
            self.out.rules.push(body);
        }
        for (name, id) in draft.features {
            self.out.features.push((name, final_id(id)));
        }
        self.out.models =
            draft.models.into_iter().map(|(model, id)| (model, final_id(id))).collect();
        self.out.tables = (0_u16..)
            .zip(&self.plan.tables)
            .filter(|(_, table)| table.event == self.event)
            .map(|(index, _)| TableId(index))
            .collect();
        self.out
    }
}
