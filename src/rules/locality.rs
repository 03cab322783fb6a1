//! Whether a rule set can be decided partition by partition: every key that it reads or writes by must be the one by
//! which the records are spread over the partitions.
//!
//! The records of one entity kind's values lie together: of each event type, the first key of that kind says where.

use std::collections::BTreeSet;

use crate::base::TextRef;
use crate::event::row::Row;
use crate::event::schema::{EntityId, EventId, EventType, Field, FieldType, Role, SlotId};
use crate::rules::program::{
    ActionPlan, EventPlan, Lookup, LookupId, MessagePart, NodeId, Op, Program, RuleBody,
};
use crate::window::layout::column_of;

/// What needs records of other partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The rule, or the event that says what came out about others: "rule `many_devices`".
    pub who: String,
    /// The key by which it reads or writes.
    pub key: String,
}

/// What cannot be decided partition by partition: rules in their order, then events that label others; none when all can.
/// `None`: no entity has this name.
///
/// A label finds its event only where both lie in one partition: both must have a key of the entity. Whether it is the
/// same one is up to whoever writes them.
pub fn foreign(program: &Program, entity: &str) -> Option<Vec<Foreign>> {
    let entities = &program.schema.entities;
    let at = entities.iter().position(|known| known == entity)?;
    let entity = EntityId(u16::try_from(at).ok()?);
    let mut found: Vec<(u16, Foreign)> = Vec::new();
    for (event, plan) in (0_u16..).zip(&program.plans) {
        for body in &plan.rules {
            let keys = foreign_keys(program, entity, EventId(event), body);
            let rule = program.rules.get(usize::from(body.rule.0));
            let Some((rule, key)) = rule.zip(keys.into_iter().next()) else { continue };
            found.push((body.rule.0, Foreign { who: format!("rule `{}`", rule.name), key }));
        }
    }
    found.sort_by_key(|(rule, _)| *rule);
    found.dedup_by_key(|(rule, _)| *rule);
    let rules = found.into_iter().map(|(_, foreign)| foreign);
    Some(rules.chain(foreign_labels(program, entity)).collect())
}

/// Events that label or answer others and do not lie where those do.
fn foreign_labels(program: &Program, entity: EntityId) -> impl Iterator<Item = Foreign> {
    let events = (0_u16..).map(EventId).zip(&program.schema.events);
    let told = events.flat_map(|(id, event)| {
        let specs = [&event.labels, &event.answers].into_iter().flatten();
        specs.map(move |spec| (id, event, spec))
    });
    told.filter_map(move |(id, event, labels)| {
        let mut all = labels.events.iter().copied().chain([id]);
        let homeless = all.any(|event| home(program, entity, event).is_none());
        let field = event.fields.iter().find(|field| field.slot == labels.id)?;
        let key = field.name.clone();
        homeless.then(|| Foreign { who: format!("event `{}`", event.name), key })
    })
}

/// The key of an event type that says in which partition its records lie.
fn home(program: &Program, entity: EntityId, event: EventId) -> Option<SlotId> {
    let fields = &program.schema.event(event).fields;
    let is_home = |ty: &FieldType| matches!(ty, FieldType::Entity(kind) if *kind == entity);
    fields
        .iter()
        .find(|field| field.role == Role::Key && is_home(&field.ty))
        .map(|field| field.slot)
}

/// The key by which a record is spread over the partitions of its topic: of the entity by which records are partitioned, where
/// one is named, else the first text among the keys of the event, which is the key of its outputs, else its id. `None`: it has
/// none of them.
pub fn record_key(
    program: &Program,
    row: &Row,
    raw: &[u8],
    entity: Option<&str>,
) -> Option<Vec<u8>> {
    let field = key_field(program, program.schema.event(row.event()), entity)?;
    let word = row.get(field.slot)?;
    match field.ty {
        FieldType::Text | FieldType::Ip | FieldType::Entity(_) => {
            Some(row.text(raw, TextRef(word)).to_vec())
        }
        // The only other type that identifies anything.
        FieldType::Integer => Some(word.cast_signed().to_string().into_bytes()),
        _ => None,
    }
}

fn key_field<'p>(
    program: &Program,
    event: &'p EventType,
    entity: Option<&str>,
) -> Option<&'p Field> {
    let keys = || event.fields.iter().filter(|field| field.role == Role::Key);
    let is_of = |field: &&Field, name: &str| match field.ty {
        FieldType::Entity(id) => {
            program.schema.entities.get(usize::from(id.0)).is_some_and(|it| it == name)
        }
        _ => false,
    };
    let of_entity = entity.and_then(|name| keys().find(|field| is_of(field, name)));
    let is_text =
        |field: &&Field| matches!(field.ty, FieldType::Text | FieldType::Ip | FieldType::Entity(_));
    of_entity
        .or_else(|| keys().find(is_text))
        .or_else(|| event.fields.iter().find(|field| field.role == Role::Id))
}

/// The keys of a rule on an event type that are not, or not only, those of its partition.
fn foreign_keys(
    program: &Program,
    entity: EntityId,
    event: EventId,
    body: &RuleBody,
) -> Vec<String> {
    let here = home(program, entity, event);
    let name = |event: EventId, slots: &[SlotId]| -> String {
        let fields = &program.schema.event(event).fields;
        let name = |slot: &SlotId| {
            fields.iter().find(|field| field.slot == *slot).map_or("?", |field| field.name.as_str())
        };
        slots.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    let mut keys = Vec::new();
    for (of, lookup) in read(program, event, roots(body)) {
        if !follows(program, entity, of, lookup) {
            keys.push(name(of, &lookup.keys));
        }
    }
    for action in &body.actions {
        match action {
            ActionPlan::Add { slot, .. }
            | ActionPlan::Remove { slot, .. }
            | ActionPlan::Hold { of: Some(slot), .. }
                if Some(*slot) != here =>
            {
                keys.push(name(event, &[*slot]));
            }
            ActionPlan::Alert { once: Some((slots, _)), .. }
                if !slots.iter().any(|slot| Some(*slot) == here) =>
            {
                keys.push(name(event, slots));
            }
            _ => {}
        }
    }
    keys
}

/// Whether a look-up of an event asks by the key of the partition on both sides.
fn follows(program: &Program, entity: EntityId, event: EventId, lookup: &Lookup) -> bool {
    let Some(table) = program.tables.get(usize::from(lookup.table.0)) else { return false };
    let (here, there) = (home(program, entity, event), home(program, entity, table.event));
    let pairs = table.keys.iter().zip(&lookup.keys);
    pairs.into_iter().any(|(stored, asked)| Some(*stored) == there && Some(*asked) == here)
}

/// The expressions of a rule.
pub(super) fn roots(body: &RuleBody) -> Vec<NodeId> {
    let RuleBody { guard, when, unless, lets, .. } = body;
    let mut open: Vec<NodeId> = [*guard, Some(*when), *unless].into_iter().flatten().collect();
    open.extend(lets.iter().map(|(_, node)| *node));
    for action in &body.actions {
        let message = match action {
            ActionPlan::Block { reason } | ActionPlan::Hold { reason, .. } => reason,
            ActionPlan::Alert { message, .. } => message,
            _ => continue,
        };
        let parts = message.iter().flat_map(|message| &message.0);
        open.extend(parts.filter_map(|part| match part {
            MessagePart::Value(node) => Some(*node),
            MessagePart::Text(_) | MessagePart::Field(_) => None,
        }));
    }
    open
}

/// The look-ups that these expressions of an event may make, and those that decide which events count for them: a step
/// of a sequence asks state itself when its event comes.
fn read(program: &Program, event: EventId, nodes: Vec<NodeId>) -> Vec<(EventId, &Lookup)> {
    let mut open: Vec<(EventId, NodeId)> = nodes.into_iter().map(|node| (event, node)).collect();
    let mut seen: BTreeSet<(EventId, NodeId)> = BTreeSet::new();
    let mut found: BTreeSet<(EventId, LookupId)> = BTreeSet::new();
    while let Some((event, id)) = open.pop() {
        let Some(plan) = program.plans.get(usize::from(event.0)) else { continue };
        let Some(node) = plan.nodes.get(id.0 as usize).filter(|_| seen.insert((event, id))) else {
            continue;
        };
        if let Op::Reading(lookup, index) = &node.op {
            found.insert((event, *lookup));
            open.extend(remembered(program, plan, *lookup, *index));
        }
        node.op.each_operand(&mut |operand| open.push((event, operand)));
    }
    let lookup = |(event, id): (EventId, LookupId)| {
        let plan = program.plans.get(usize::from(event.0))?;
        Some((event, plan.lookups.get(usize::from(id.0))?))
    };
    found.into_iter().filter_map(lookup).collect()
}

/// What decides whether an event counts for a reading, and as what, with the event's type.
fn remembered(
    program: &Program,
    plan: &EventPlan,
    lookup: LookupId,
    index: u16,
) -> Vec<(EventId, NodeId)> {
    let asked = || {
        let lookup = plan.lookups.get(usize::from(lookup.0))?;
        let table = program.tables.get(usize::from(lookup.table.0))?;
        let measure = lookup.measures.get(usize::from(index))?;
        Some((table, table.spec.measures.get(usize::from(measure.0))?))
    };
    let Some((table, measure)) = asked() else { return Vec::new() };
    let filter = measure.filter.and_then(|bit| table.filters.get(usize::from(bit.0)));
    let column = column_of(measure.kind).and_then(|id| table.columns.get(usize::from(id.0)));
    filter.into_iter().chain(column).map(|node| (table.event, *node)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Source, Sources};
    use crate::rules::compile;

    const SCHEMA: &str = r#"
event pay from "payments"
  id    pay_id  : text     from "/id"
  time  made_at : time     from "/at" unit ms
  key   payer   : customer from "/payer"
  key   payee   : customer from "/payee"
  key   device  : device?  from "/device"
  field amount  : money    from "/amount" currency "/currency"

event login from "logins"
  id    login_id : text     from "/id"
  time  at       : time     from "/at" unit ms
  key   who      : customer from "/who"

policy decisions
  base currency EUR
  timezone "UTC"
"#;

    fn found(rules: &str) -> Vec<(String, String)> {
        let text = format!("{SCHEMA}\n{rules}");
        let files = vec![Source { path: "a.risk".to_owned(), text }];
        let (program, report) = compile(&Sources::of(files));
        let program = program.unwrap_or_else(|| panic!("{report:#?}"));
        assert_eq!(foreign(&program, "nobody"), None);
        let found = foreign(&program, "customer").unwrap();
        found.into_iter().map(|foreign| (foreign.who, foreign.key)).collect()
    }

    fn rule(name: &str, when: &str) -> String {
        format!(
            "rule {name} \"x\"\n  id \"{name}\"  owner tests  severity high  mode live\n  on pay\n  when {when}\n  if missing skip\n  then score +5\n"
        )
    }

    #[test]
    fn only_rules_by_the_key_of_the_partition_are_at_home() {
        let rules = [
            rule("own", "count(pay) by payer over last 1h > 3"),
            rule("pair", "count(pay) by payer, payee over last 1h > 3"),
            rule("logins", "count(login) by who = this.payer over last 1h > 3"),
            rule("plain", "amount > 5 EUR"),
            rule("device", "count(pay) by device over last 1h > 3"),
            rule("received", "count(pay) by payee over last 1h > 3"),
            rule("turned", "count(pay) by payer = this.payee over last 1h > 3"),
            rule("row", "sequence by payer within 1h [ pay where amount > 5 EUR, this ]"),
            rule(
                "stepped",
                "sequence by payer within 1h [ pay where count(pay) by device over last 1h > 3, this ]",
            ),
        ];
        let foreign = [
            ("device", "device"),
            ("received", "payee"),
            ("stepped", "device"),
            ("turned", "payee"),
        ];
        let expected: Vec<(String, String)> =
            foreign.map(|(rule, key)| (format!("rule `{rule}`"), key.to_owned())).to_vec();
        assert_eq!(found(&rules.concat()), expected);
    }

    #[test]
    fn labels_are_at_home_where_they_and_their_events_have_a_key_of_the_partition() {
        let label = |name: &str, keys: &str, of: &str| {
            format!(
                "event {name} from \"{name}\"\n  id label_id : text\n  time at : time\n{keys}  field about : text\n  field fraud : bool\n  labels {of} by about verdict fraud\n"
            )
        };
        let events = [
            label("keyed", "  key who : customer\n", "pay"),
            label("bare", "", "pay, login"),
            label("elsewhere", "  key who : customer\n", "pay, visit"),
            "event visit from \"visits\"\n  id i : text\n  time at : time\n".to_owned(),
        ];
        let expected = ["event `bare`", "event `elsewhere`"];
        let found = found(&events.concat());
        assert_eq!(found, expected.map(|who| (who.to_owned(), "about".to_owned())));
    }
}
