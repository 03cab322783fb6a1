//! Which required fields the events of a test leave out although its rule reads them. No real record lacks them, so such
//! a test shows nothing about the rule: it fails, whatever it expects, and is told what to write.
//!
//! Optional fields may be absent: nothing is said of them.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use crate::event::schema::{EventType, FieldId, Role, SlotId};
use crate::rules::program::{EventPlan, NodeId, Op, Program, RuleBody, TestCase, TestEvent};
use crate::window::layout::column_of;

/// What the judged event leaves out although the rule cannot be decided without it: the decision says what it lacked.
pub(super) fn by_judged(
    program: &Program,
    test: &TestCase,
    undecided: Option<&Json>,
) -> Vec<String> {
    let event = program.schema.event(test.when.event);
    let missing = undecided.and_then(|entry| entry["missing"].as_array());
    let left_out = missing.into_iter().flatten().filter_map(|missing| {
        let mut fields = (0_u16..).zip(&event.fields);
        let (id, field) = fields.find(|(_, field)| missing.as_str() == Some(&field.name))?;
        let given = test.when.fields.iter().any(|(known, _)| known.0 == id);
        (!field.optional && !given).then(|| {
            let (event, field) = (&event.name, &field.name);
            format!(
                "the rule reads `{field}`, every `{event}` has it, and this test leaves it out: give it a value"
            )
        })
    });
    left_out.collect()
}

/// What earlier events leave out although an aggregate remembers it that the rule rests on, or a name that the test asks
/// for (`asked`): they do not count as they would.
pub(super) fn by_given(
    program: &Program,
    test: &TestCase,
    body: Option<&RuleBody>,
    asked: impl Iterator<Item = NodeId>,
) -> Vec<String> {
    let mut complaints = BTreeSet::new();
    let rests = body
        .into_iter()
        .flat_map(|body| [Some(body.when), body.guard, body.unless].into_iter().flatten());
    for reading in readings(program, test, rests.chain(asked).collect()) {
        let Some((event, slots, identity)) = remembered(program, test, reading) else { continue };
        for given in test.given.iter().filter(|given| given.event.event.0 == event) {
            let ty = program.schema.event(given.event.event);
            for field in absent(ty, &given.event, &slots) {
                let name = &ty.name;
                complaints.insert(format!(
                    "`{identity}` remembers `{field}`, every `{name}` has it, and a `given` leaves it out: give it a value"
                ));
            }
        }
    }
    complaints.into_iter().collect()
}

/// The readings (look-up and place in it) that nodes rest on.
fn readings(program: &Program, test: &TestCase, begin: Vec<NodeId>) -> BTreeSet<(u16, u16)> {
    let plan = &program.plans[usize::from(test.when.event.0)];
    let mut found = BTreeSet::new();
    walk(plan, begin, &mut |op| {
        if let Op::Reading(lookup, index) = op {
            found.insert((lookup.0, *index));
        }
    });
    found
}

/// What a reading remembers of each event: the event type, the slots of its key, column and filter, and its text.
fn remembered<'p>(
    program: &'p Program,
    test: &TestCase,
    (lookup, index): (u16, u16),
) -> Option<(u16, BTreeSet<SlotId>, &'p str)> {
    let plan = program.plans.get(usize::from(test.when.event.0))?;
    let lookup = plan.lookups.get(usize::from(lookup))?;
    let measure = usize::from(lookup.measures.get(usize::from(index))?.0);
    let table = program.tables.get(usize::from(lookup.table.0))?;
    let spec = table.spec.measures.get(measure)?;
    let column = column_of(spec.kind).and_then(|id| table.columns.get(usize::from(id.0)));
    let filter = spec.filter.and_then(|bit| table.filters.get(usize::from(bit.0)));
    let mut slots: BTreeSet<SlotId> = table.keys.iter().copied().collect();
    let own = program.plans.get(usize::from(table.event.0))?;
    walk(own, column.into_iter().chain(filter).copied().collect(), &mut |op| match op {
        Op::Field(slot) | Op::GeoField(slot) | Op::MoneyField { slot, .. } => {
            _ = slots.insert(*slot);
        }
        _ => {}
    });
    Some((table.event.0, slots, table.identities.get(measure).map_or("", String::as_str)))
}

/// The required fields with these slots that an event of a test does not name.
fn absent<'e>(ty: &'e EventType, event: &TestEvent, slots: &BTreeSet<SlotId>) -> Vec<&'e str> {
    let named = |id: u16| event.fields.iter().any(|(known, _)| *known == FieldId(id));
    let lacks = (0_u16..).zip(&ty.fields).filter(|(id, field)| {
        // Id and time are made up when a test does not name them.
        let is_made_up = matches!(field.role, Role::Id | Role::Time);
        !field.optional && slots.contains(&field.slot) && !named(*id) && !is_made_up
    });
    lacks.map(|(_, field)| field.name.as_str()).collect()
}

/// Visits a node and everything below it.
fn walk(plan: &EventPlan, begin: Vec<NodeId>, visit: &mut impl FnMut(&Op)) {
    let (mut open, mut seen) = (begin, BTreeSet::new());
    while let Some(id) = open.pop() {
        let Some(node) = plan.nodes.get(id.0 as usize).filter(|_| seen.insert(id.0)) else {
            continue;
        };
        visit(&node.op);
        node.op.each_operand(&mut |part| open.push(part));
    }
}
