//! Filters that ask state and take the present event into a window of its own: `count(pay where odd) by card over last
//! 1d`. Whether the present event counts must be known before such a window is read, and what the filter asks may itself
//! be such a window, so they have an order.

use std::collections::BTreeSet;

use crate::event::schema::EventId;
use crate::rules::program::{EventPlan, LookupId, NodeId, Op, Program, TableId};
use crate::window::spec::{Counting, FilterBit};

/// The filter bit of a table of an event type.
pub type EarlyBit = (TableId, FilterBit);

/// The filters of an event type's tables that are to be decided before the windows are read that count by them, each
/// after those that it asks for. The checker refuses cycles.
///
/// # Cost
/// Linear in the nodes of the event type, times such filters.
pub fn bits(program: &Program, event: EventId) -> Vec<EarlyBit> {
    let Some(plan) = program.plans.get(usize::from(event.0)) else { return Vec::new() };
    let mut search = Search { program, plan, open: BTreeSet::new(), order: Vec::new() };
    for (lookup, id) in (0_u16..).zip(&plan.lookups) {
        for (index, _) in (0_u16..).zip(&id.measures) {
            if let Some(bit) = search.bit_of(LookupId(lookup), index) {
                search.visit(bit);
            }
        }
    }
    search.order
}

/// The node of a filter.
pub fn node(program: &Program, (table, bit): EarlyBit) -> Option<NodeId> {
    let table = program.tables.get(usize::from(table.0))?;
    table.filters.get(usize::from(bit.0)).copied()
}

struct Search<'p> {
    program: &'p Program,
    plan: &'p EventPlan,
    open: BTreeSet<EarlyBit>,
    order: Vec<EarlyBit>,
}

impl Search<'_> {
    fn visit(&mut self, bit: EarlyBit) {
        if !self.open.insert(bit) {
            return;
        }
        for (lookup, index) in self.readings(bit) {
            if let Some(before) = self.bit_of(lookup, index) {
                self.visit(before);
            }
        }
        self.order.push(bit);
    }

    /// What a filter asks of state.
    fn readings(&self, bit: EarlyBit) -> Vec<(LookupId, u16)> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut open: Vec<NodeId> = node(self.program, bit).into_iter().collect();
        while let Some(id) = open.pop() {
            let Some(node) = self.plan.nodes.get(id.0 as usize).filter(|_| seen.insert(id)) else {
                continue;
            };
            if let Op::Reading(lookup, index) = node.op {
                found.push((lookup, index));
            }
            node.op.each_operand(&mut |operand| open.push(operand));
        }
        found
    }

    /// The filter of a reading that counts the present event, where it asks state.
    fn bit_of(&self, lookup: LookupId, index: u16) -> Option<EarlyBit> {
        let lookup = self.plan.lookups.get(usize::from(lookup.0))?;
        let table = self.program.tables.get(usize::from(lookup.table.0))?;
        let id = lookup.measures.get(usize::from(index))?;
        let measure = table.spec.measures.get(usize::from(id.0))?;
        let bit = (lookup.table, measure.filter?);
        let counts_own = lookup.same_event && measure.counting == Counting::Last;
        (counts_own && !self.readings(bit).is_empty()).then_some(bit)
    }
}
