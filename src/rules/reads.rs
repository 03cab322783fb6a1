//! What a rule reads: fields of events, and state with the fields that fill it.

use std::collections::BTreeSet;

use crate::event::schema::{EventId, FieldId, SlotId};
use crate::rules::locality::roots;
use crate::rules::program::{
    EventPlan, MessagePart, NodeId, Op, Program, RuleBody, RuleId, TableId, Type,
};
use crate::window::layout::column_of;

/// Everything that a rule reads, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Fields of events: of its own, and of those whose windows it asks.
    pub fields: BTreeSet<(EventId, FieldId)>,
    /// State: the table, and the place of the question in its `identities`.
    pub state: BTreeSet<(TableId, usize)>,
}

/// What a rule reads on all of its events, its messages included.
pub fn of(program: &Program, rule: RuleId) -> Reads {
    let mut walk = Walk::new(program);
    for (event, plan) in (0_u16..).zip(&program.plans) {
        let event = EventId(event);
        for body in plan.rules.iter().filter(|body| body.rule == rule) {
            walk.body(event, body);
        }
    }
    walk.reads
}

/// The fields behind values of an event type: of its own, and of those whose windows they ask.
pub(super) fn fields_behind(
    program: &Program,
    event: EventId,
    nodes: &[NodeId],
) -> BTreeSet<(EventId, FieldId)> {
    let mut walk = Walk::new(program);
    walk.open.extend(nodes.iter().map(|node| (event, *node)));
    walk.all();
    walk.reads.fields
}

/// The amounts that rules ask in another currency than they may be in, over all rules that are asked.
pub(super) fn converted(program: &Program) -> BTreeSet<(EventId, FieldId)> {
    let mut walk = Walk::new(program);
    for (event, plan) in (0_u16..).zip(&program.plans) {
        for body in &plan.rules {
            walk.open.extend(roots(body).into_iter().map(|node| (EventId(event), node)));
        }
    }
    walk.all();
    walk.converted
}

struct Walk<'p> {
    program: &'p Program,
    converted: BTreeSet<(EventId, FieldId)>,
    seen: BTreeSet<(EventId, NodeId)>,
    open: Vec<(EventId, NodeId)>,
    reads: Reads,
}

impl<'p> Walk<'p> {
    fn new(program: &'p Program) -> Self {
        Self {
            program,
            converted: BTreeSet::new(),
            seen: BTreeSet::new(),
            open: Vec::new(),
            reads: Reads::default(),
        }
    }

    fn body(&mut self, event: EventId, body: &RuleBody) {
        self.open.extend(roots(body).into_iter().map(|node| (event, node)));
        let parts = body.actions.iter().filter_map(|action| action.message());
        for part in parts.flat_map(|message| &message.0) {
            if let MessagePart::Field(field) = part {
                self.reads.fields.insert((event, *field));
            }
        }
        self.all();
    }

    /// Walks whatever is open and what that rests on.
    fn all(&mut self) {
        while let Some((event, node)) = self.open.pop() {
            if self.seen.insert((event, node)) {
                self.node(event, node);
            }
        }
    }

    fn node(&mut self, event: EventId, id: NodeId) {
        let Some(plan) = self.program.plans.get(usize::from(event.0)) else { return };
        let Some(node) = plan.nodes.get(id.0 as usize) else { return };
        if let Op::MoneyField { slot, currency } = &node.op
            && !currency.is_ok_and(|own| node.ty == Type::Money(own))
        {
            let found = self.field_at(event, *slot);
            self.converted.extend(found);
        }
        match &node.op {
            Op::Field(slot) | Op::GeoField(slot) | Op::MoneyField { slot, .. } => {
                self.field(event, *slot);
            }
            Op::Reading(lookup, index) => self.reading(event, plan, (lookup.0, *index)),
            _ => {}
        }
        node.op.each_operand(&mut |operand| self.open.push((event, operand)));
    }

    fn field(&mut self, event: EventId, slot: SlotId) {
        let found = self.field_at(event, slot);
        self.reads.fields.extend(found);
    }

    fn field_at(&self, event: EventId, slot: SlotId) -> Option<(EventId, FieldId)> {
        let fields = &self.program.schema.event(event).fields;
        let found = (0_u16..).zip(fields).find(|(_, field)| field.slot == slot);
        found.map(|(index, _)| (event, FieldId(index)))
    }

    fn reading(&mut self, event: EventId, plan: &EventPlan, (lookup, index): (u16, u16)) {
        let (lookup, index) = (plan.lookups.get(usize::from(lookup)), usize::from(index));
        let Some(lookup) = lookup else { return };
        lookup.keys.iter().for_each(|slot| self.field(event, *slot));
        let asked = [lookup.probes.get(index), lookup.zones.get(index)];
        let asked = asked.into_iter().flatten().flatten().map(|node| (event, *node));
        self.open.extend(asked);
        let Some(table) = self.program.tables.get(usize::from(lookup.table.0)) else { return };
        let Some(id) = lookup.measures.get(index).map(|id| usize::from(id.0)) else { return };
        self.reads.state.insert((lookup.table, id));
        table.keys.iter().for_each(|slot| self.field(table.event, *slot));
        let Some(measure) = table.spec.measures.get(id) else { return };
        let column = column_of(measure.kind).and_then(|at| table.columns.get(usize::from(at.0)));
        let filter = measure.filter.and_then(|bit| table.filters.get(usize::from(bit.0)));
        self.open.extend(column.into_iter().chain(filter).map(|node| (table.event, *node)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Source, Sources};

    #[test]
    fn fields_are_those_that_the_words_of_the_rule_name_and_those_behind_them() {
        let text = r#"
event pay from "t"
  id    pay_id : text
  time  at     : time
  key   card   : card
  key   shop   : shop
  field amount : money currency EUR
  field note   : text?
event login from "l"
  id    login_id : text
  time  at       : time
  key   card     : card
  field result   : one of [passed, failed]
rule a mode shadow
  on pay
  let failed = count(login where result = failed) by card over last 1h
  when failed > 3 and sum(pay.amount) by card over last 1h > 5 EUR
  then alert message "{note}"
"#;
        let file = Source { path: "a.risk".to_owned(), text: text.to_owned() };
        let program = crate::rules::compile(&Sources::of(vec![file])).0.unwrap();
        let reads = of(&program, RuleId(0));
        let named = |(event, field): &(EventId, FieldId)| {
            let event = program.schema.event(*event);
            format!("{}.{}", event.name, event.field(*field).name)
        };
        // By hand; the shop, ids and times are not read.
        let fields: Vec<String> = reads.fields.iter().map(named).collect();
        assert_eq!(fields, ["pay.card", "pay.amount", "pay.note", "login.card", "login.result"]);
        let asked = |(table, at): &(TableId, usize)| {
            program.tables[usize::from(table.0)].identities[*at].as_str()
        };
        let mut state: Vec<&str> = reads.state.iter().map(asked).collect();
        state.sort_unstable();
        // A payment is no login, so `last` and `prior` ask the same of logins: state has one name for both.
        assert_eq!(
            state,
            [
                "count(login where (result = failed)) by card over prior 1h",
                "sum(pay.amount in EUR) by card over last 1h"
            ]
        );
    }
}
