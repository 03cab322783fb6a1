//! What rules cost before they run: units per event and rule, bytes per key.
//!
//! # Units
//! One unit is about the work of one test of a field, and counts as [`UNIT_NS`] nanoseconds where a policy says `budget
//! 20us per event`; `cargo bench --bench rules` measures the test. Every node costs what the table in [`units`] says,
//! once per event however many rules share it; texts are taken as of [`TEXT_BYTES`] bytes. The sum is an upper bound of
//! the work, because rules are asked lazily: a cheap test that fails spares the rest.
//!
//! # Bytes
//! Of a key they are those that the byte budget counts, read off a table that is filled for the purpose.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::EntityKey;
use crate::event::schema::EventId;
use crate::models::offline::Scorer;
use crate::rules::program::{
    ActionPlan, EventPlan, Function, LearnedSpec, Lookup, MadeOf, MessagePart, ModelId, ModelPlan,
    NodeId, Op, Program, RuleBody, RuleId, TableId, TablePlan,
};
use crate::state::{StateOptions, Table};
use crate::window::spec::{ColumnKind, Entry, Measure, MeasureKind};

/// What one unit counts as in a policy's `budget`.
pub const UNIT_NS: i64 = 10;

/// Length of a text that costs are reckoned with.
const TEXT_BYTES: u64 = 256;

/// Work of finding one key in a table, or of writing to it.
const KEY_UNITS: u64 = 30;

/// What one event costs at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventCost {
    /// The event type.
    pub event: EventId,
    /// Everything that its rules and models ask, each once.
    pub units: u64,
    /// What each rule on it asks, as if it were alone; the dearest first.
    pub rules: Vec<(RuleId, u64)>,
    /// What each model on it takes to score and to learn, as if it were alone: it learns although no rule asks it. The
    /// dearest first.
    pub models: Vec<(ModelId, u64)>,
}

/// What each event type costs, in the order of the schema.
pub fn events(program: &Program) -> Vec<EventCost> {
    let of = |(event, plan): (u16, &EventPlan)| {
        let cost = Cost { program, plan };
        let models = plan.models.iter().map(|(_, node)| *node);
        let all = plan.rules.iter().flat_map(roots).chain(models).collect();
        let rule = |body: &RuleBody| (body.rule, cost.asked(roots(body)));
        let mut rules: Vec<(RuleId, u64)> = plan.rules.iter().map(rule).collect();
        rules.sort_by_key(|(rule, units)| (core::cmp::Reverse(*units), *rule));
        let model = |(model, node): &(ModelId, NodeId)| (*model, cost.asked(vec![*node]));
        let mut models: Vec<(ModelId, u64)> = plan.models.iter().map(model).collect();
        models.sort_by_key(|(model, units)| (core::cmp::Reverse(*units), *model));
        let units = cost.asked(all) + cost.remembered();
        EventCost { event: EventId(event), units, rules, models }
    };
    (0_u16..).zip(&program.plans).map(of).collect()
}

/// The nodes that a rule asks for.
fn roots(body: &RuleBody) -> Vec<NodeId> {
    let texts = body.actions.iter().filter_map(ActionPlan::message);
    let values = texts.flat_map(|message| &message.0).filter_map(|part| match part {
        MessagePart::Value(id) => Some(*id),
        MessagePart::Text(_) | MessagePart::Field(_) => None,
    });
    let conditions = body.guard.into_iter().chain([body.when]).chain(body.unless);
    conditions.chain(values).collect()
}

/// One event type.
struct Cost<'p> {
    program: &'p Program,
    plan: &'p EventPlan,
}

impl Cost<'_> {
    /// Units of these nodes and all that they are made of, each once; a key is looked up and a model asked once.
    fn asked(&self, mut open: Vec<NodeId>) -> u64 {
        let mut seen = BTreeSet::new();
        let (mut lookups, mut models) = (BTreeSet::new(), BTreeSet::new());
        let mut sum = 0;
        while let Some(id) = open.pop() {
            let Some(node) = self.plan.nodes.get(id.0 as usize).filter(|_| seen.insert(id)) else {
                continue;
            };
            // A model says place and score at once, whoever asks for either.
            let is_known = matches!(&node.op, Op::Model(id, ..) if !models.insert(*id));
            sum += if is_known { 0 } else { self.units(&node.op) };
            if let Op::Reading(lookup, index) = node.op {
                let known = self.plan.lookups.get(usize::from(lookup.0));
                let with = known.into_iter().flat_map(|known| [&known.probes, &known.unpriced]);
                let with =
                    with.filter_map(|nodes| nodes.get(usize::from(index)).copied().flatten());
                open.extend(with);
                if lookups.insert(lookup) {
                    sum += KEY_UNITS;
                }
            }
            node.op.each_operand(&mut |operand| open.push(operand));
        }
        sum
    }

    /// Units of writing the event into its tables.
    fn remembered(&self) -> u64 {
        let tables =
            self.plan.tables.iter().filter_map(|id| self.program.tables.get(usize::from(id.0)));
        tables
            .map(|table| {
                let nodes = table.columns.iter().chain(&table.filters).copied().collect();
                let updates = table.spec.measures.iter().map(update_units);
                KEY_UNITS + self.asked(nodes) + updates.sum::<u64>()
            })
            .sum()
    }

    fn units(&self, op: &Op) -> u64 {
        match op {
            Op::Reading(lookup, index) => {
                let lookup = self.plan.lookups.get(usize::from(lookup.0));
                let measure = lookup.and_then(|lookup| {
                    let table = self.program.tables.get(usize::from(lookup.table.0))?;
                    let id = lookup.measures.get(usize::from(*index))?;
                    table.spec.measures.get(usize::from(id.0))
                });
                measure.map_or(1, reading_units)
            }
            Op::Model(id, ..) => {
                let model = self.program.models.get(usize::from(id.0));
                match model.map(|model| &model.made_of) {
                    Some(MadeOf::Learned(spec)) => learned_units(spec),
                    _ => units(op),
                }
            }
            op => units(op),
        }
    }
}

/// Work of walking one tree of up to [`TREE_DEPTH`] splits, some 120 ns.
const TREE_UNITS: u64 = 12;

/// Up to so many splits from root to leaf a tree counts as one walk, deeper ones by their depth: as deep as training
/// grows them where nobody says otherwise.
const TREE_DEPTH: u64 = 20;

/// What a model may take to score one event where the policy gives no `budget`, in units: 100 us, some 800 trees.
pub(crate) const MODEL_UNITS: u64 = 10_000;

/// What a model takes to score an event and to learn it, without the features that it reads.
pub(crate) fn model_units(model: &ModelPlan) -> u64 {
    match &model.made_of {
        MadeOf::Learned(spec) => learned_units(spec),
        MadeOf::Online(spec) => online_units(spec.features.len()),
    }
}

/// Some 100 ns a feature to score it, and as much to learn it.
fn online_units(n_features: usize) -> u64 {
    40 * n_features as u64
}

/// Units of scoring by what was learned, and of counting the score.
fn learned_units(spec: &LearnedSpec) -> u64 {
    let scorer = spec.artifact.as_ref().map(|artifact| &artifact.scorer);
    let tree = |depth: u8| (TREE_UNITS * u64::from(depth).max(TREE_DEPTH)).div_ceil(TREE_DEPTH);
    let work = match scorer {
        Some(Scorer::Forest(forest)) => forest.depths().into_iter().map(tree).sum(),
        Some(Scorer::Logistic(_)) | None => spec.features.len() as u64,
    };
    work + KEY_UNITS
}

/// Units of one node without what it is made of.
fn units(op: &Op) -> u64 {
    match op {
        Op::Constant(_) => 0,
        Op::And(list) | Op::Or(list) => list.len() as u64,
        Op::InSet(_, set) => 1 + u64::from(usize::BITS - set.len().leading_zeros()),
        Op::Mul(..) | Op::Div(..) | Op::Percent { .. } | Op::Mean { .. } | Op::StepField { .. } => {
            4
        }
        Op::InList(..) | Op::Given(..) | Op::Deviation { .. } | Op::CompareDeviation { .. } => 10,
        Op::Model(.., features) => online_units(features.len()),
        // A walk over some ten events of the key for each step.
        Op::Sequence(plan) => 50 * plan.steps.len() as u64,
        Op::Matches(..) => TEXT_BYTES,
        Op::Contains(..) => TEXT_BYTES / 8,
        Op::Call(function, _) => match function {
            Function::Distance | Function::Ln => 10,
            Function::Hour => 5,
            Function::Lower => TEXT_BYTES / 4,
            Function::Length => TEXT_BYTES / 16,
            Function::Similarity => 400,
            Function::Abs | Function::Round | Function::IsMultiple => 2,
        },
        _ => 1,
    }
}

/// Entries of a window by number that are looked at in the time in which a running value is read.
const WALKED_PER_UNIT: u64 = 16;

/// Units of reading one measure of a key that was found.
fn reading_units(measure: &Measure) -> u64 {
    let newest = measure.window.newest.map_or(0, |newest| u64::from(newest.get()));
    measure_units(measure.kind) * (1 + newest.div_ceil(WALKED_PER_UNIT))
}

/// Units of keeping one measure up to date: of a window by number there is nothing to keep.
fn update_units(measure: &Measure) -> u64 {
    if measure.window.newest.is_some() { 0 } else { measure_units(measure.kind) }
}

/// Units of reading a running value, or of keeping it up to date.
fn measure_units(kind: MeasureKind) -> u64 {
    match kind {
        MeasureKind::Count | MeasureKind::Sum(_) | MeasureKind::SumSquares(_) => 2,
        MeasureKind::Last(_) | MeasureKind::LastTime | MeasureKind::Run => 4,
        MeasureKind::Min(_)
        | MeasureKind::Max(_)
        | MeasureKind::Distinct(_)
        | MeasureKind::CountOf(_) => 10,
        MeasureKind::Ranked(..) => 20,
    }
}

/// What a table keeps, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableCost {
    /// Which table.
    pub table: TableId,
    /// Event and keys: ``card_payment by card``.
    pub name: String,
    /// How far back its longest window reaches, ms.
    pub reach_ms: i64,
    /// Rules that read it, by name.
    pub readers: Vec<String>,
    /// How many aggregates are answered from it.
    pub aggregates: usize,
    /// Bytes of one key with the events that were asked for.
    pub bytes_per_key: u64,
    /// Whether so many events of one key are answered exactly.
    pub exact: bool,
}

/// What each table costs when a key has this many events within the longest window.
///
/// # Cost
/// A table of a few hundred keys is filled for each.
pub fn tables(program: &Program, events_per_key: u32, exact_cap: u32) -> Vec<TableCost> {
    let ids = (0_u16..).zip(&program.tables).map(|(index, _)| TableId(index));
    ids.filter_map(|id| table(program, id, events_per_key, exact_cap)).collect()
}

/// What one table costs, as [`tables`] says it of all.
///
/// # Cost
/// A table of a few hundred keys is filled.
pub fn table(
    program: &Program,
    id: TableId,
    events_per_key: u32,
    exact_cap: u32,
) -> Option<TableCost> {
    let plan = program.tables.get(usize::from(id.0))?;
    let reach = plan.spec.measures.iter().map(|measure| measure.window.reach_ms());
    let reach_ms = reach.max().unwrap_or(0);
    Some(TableCost {
        table: id,
        name: plan.name.clone(),
        reach_ms,
        readers: readers(program, id),
        aggregates: plan.spec.measures.len(),
        bytes_per_key: bytes_per_key(plan, reach_ms, (events_per_key, exact_cap)),
        exact: events_per_key <= exact_cap,
    })
}

/// The rules that look a table up.
pub fn readers(program: &Program, table: TableId) -> Vec<String> {
    let mut names = BTreeSet::new();
    each_reading(program, &mut |rule, lookup, _| {
        if lookup.table == table {
            names.insert(rule.to_owned());
        }
    });
    names.into_iter().collect()
}

/// The rules that ask for each aggregate, by its identity.
pub fn asked_by(program: &Program) -> BTreeMap<String, BTreeSet<String>> {
    let mut rules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    each_reading(program, &mut |rule, lookup, index| {
        let table = program.tables.get(usize::from(lookup.table.0));
        let measure = lookup.measures.get(usize::from(index));
        let identity =
            table.zip(measure).and_then(|(table, id)| table.identities.get(usize::from(id.0)));
        if let Some(identity) = identity {
            rules.entry(identity.clone()).or_default().insert(rule.to_owned());
        }
    });
    rules
}

/// Visits what each rule reads of the state: its name, the look-up and the place of the measure in it.
fn each_reading(program: &Program, visit: &mut dyn FnMut(&str, &Lookup, u16)) {
    for plan in &program.plans {
        for body in &plan.rules {
            let name = program.rules.get(usize::from(body.rule.0)).map_or("", |rule| &rule.name);
            let mut open = roots(body);
            let mut seen = BTreeSet::new();
            while let Some(id) = open.pop() {
                let Some(node) = plan.nodes.get(id.0 as usize).filter(|_| seen.insert(id)) else {
                    continue;
                };
                if let Op::Reading(lookup, index) = node.op
                    && let Some(known) = plan.lookups.get(usize::from(lookup.0))
                {
                    visit(name, known, index);
                }
                node.op.each_operand(&mut |operand| open.push(operand));
            }
        }
    }
}

/// Bytes that the budget counts for one key, as the mean of some hundred keys with different values.
fn bytes_per_key(plan: &TablePlan, reach_ms: i64, (n_events, exact_cap): (u32, u32)) -> u64 {
    /// As many as fill their index and slab nearly.
    const KEYS: u32 = 896;
    /// Most events that are put in; the rest is reckoned in proportion.
    const MOST: u32 = 1 << 20;
    let n_keys = (MOST / n_events.max(1)).clamp(1, KEYS);
    let options = StateOptions { exact_cap, ..StateOptions::default() };
    let mut table = Table::new(plan.spec.clone(), options);
    let width = plan.spec.columns.iter().map(|column| match column {
        ColumnKind::Geo => 2,
        ColumnKind::Int | ColumnKind::Micro | ColumnKind::Word => 1,
    });
    let width: usize = width.sum();
    let empty = table.bytes();
    let mut words = vec![0; width];
    let step_ms = (reach_ms / i64::from(n_events.max(1))).max(1);
    for event in 0..n_events {
        for key in 0..n_keys {
            words.fill(u64::from(event) + 1);
            let time_ms = i64::from(event) * step_ms;
            let entry = Entry { time_ms, filters: u64::MAX, words: &words };
            table.insert(EntityKey::of_text(&key.to_le_bytes()), &entry);
        }
    }
    ((table.bytes() - empty) as u64).div_ceil(u64::from(n_keys))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::{Source, Sources};

    const SCHEMA: &str = r#"
event pay from "t"
  id    pay_id : text
  time  at     : time
  key   card   : card
  field amount : money currency EUR
"#;

    fn program(rules: &str) -> Program {
        let file = Source { path: "a.risk".to_owned(), text: format!("{SCHEMA}{rules}") };
        crate::rules::compile(&Sources::of(vec![file])).0.unwrap()
    }

    fn rule(name: &str, when: &str) -> String {
        format!("rule {name} mode shadow on pay when {when} then alert\n")
    }

    #[test]
    fn units_are_those_reckoned_by_hand_and_what_rules_share_counts_once() {
        // Field 1, comparison 1; reading 2, key 30, comparison 1; two operands of `and` 2.
        let busy = "amount > 5 EUR and count(pay) by card over last 10m >= 3";
        let one = events(&program(&rule("a", busy)));
        assert_eq!(one[0].rules, [(RuleId(0), 37)]);
        // Beside it the event is written once: key 30, count 2.
        assert_eq!(one[0].units, 37 + 32);
        let same = rule("a", busy) + &rule("b", "count(pay) by card over last 10m >= 3");
        let two = events(&program(&same));
        assert_eq!(two[0].rules, [(RuleId(0), 37), (RuleId(1), 33)]);
        assert_eq!(two[0].units, 37 + 32);
        let other = rule("a", busy) + &rule("b", "count(pay) by card over last 10m >= 4");
        assert_eq!(events(&program(&other))[0].units, 37 + 1 + 32);
    }

    #[test]
    fn a_model_that_no_rule_asks_costs_what_it_takes_to_learn() {
        let model = "model odd\n  on pay\n  reads high amount, high busy\n";
        let feature = "feature busy = count(pay) by card over last 10m\n";
        let one = &events(&program(&format!("{feature}{model}")))[0];
        // Two features 80; field 1; reading 2, key 30. The event is written once: key 30, count 2.
        assert_eq!((&one.models[..], one.units), (&[(ModelId(0), 113)][..], 113 + 32));
        // A rule that asks it too: comparison 1, and nothing twice.
        let asks = rule("a", "model.odd >= 0.99");
        let two = &events(&program(&format!("{feature}{model}{asks}")))[0];
        assert_eq!((&two.rules[..], two.units), (&[(RuleId(0), 114)][..], 114 + 32));
    }

    #[test]
    fn bytes_grow_with_events_and_say_when_they_are_no_longer_exact() {
        let program = program(&rule("a", "sum(pay.amount) by card over last 10m > 5 EUR"));
        let [few] = &tables(&program, 2, 100)[..] else { panic!("one table") };
        let [many] = &tables(&program, 64, 100)[..] else { panic!("one table") };
        let [most] = &tables(&program, 1_000, 100)[..] else { panic!("one table") };
        assert_eq!((few.name.as_str(), few.reach_ms, few.aggregates), ("pay by card", 600_000, 1));
        assert_eq!(few.readers, ["a"]);
        // Two entries of three words are 64 bytes with the allocator's header; slab and index come on top.
        assert!((64..200).contains(&few.bytes_per_key), "{few:?}");
        assert!(many.bytes_per_key > few.bytes_per_key && most.bytes_per_key > few.bytes_per_key);
        assert!(many.exact && !most.exact);
    }
}
