//! Values worth trying: those that the rules compare with and their neighbours, members of lists, texts put together of
//! what is asked of them (`texts`), what tests of the rule set use, and a few plain ones.

use std::collections::BTreeMap;

use crate::base::{Currency, MICRO_PER_MINOR, Network, parse_country};
use crate::event::schema::{EventId, EventType, FieldId, FieldType, MoneyCurrency};
use crate::rule_tests::EPOCH_MS;
use crate::rules::eval::number::{number_of, rounded};
use crate::rules::program::{
    Constant, EventPlan, Function, NodeId, Op, Program, TestEvent, TestValue, Type,
};
use crate::witness::goal::{Asked, Goal, field, slot};
use crate::witness::texts::Pieces;

/// Most members of a list that are tried.
const MAX_MEMBERS: usize = 4;

/// Most values of one field.
const MAX_VALUES: usize = 64;

/// Values by event and field.
#[derive(Clone, Debug, Default)]
pub(super) struct Pool {
    values: BTreeMap<(EventId, FieldId), Vec<TestValue>>,
    /// Lengths of time that the goal speaks of, in ms.
    pub(super) spans_ms: Vec<i64>,
    /// Whole numbers that the goal speaks of.
    pub(super) counts: Vec<u32>,
}

impl Pool {
    /// What is worth trying for a goal.
    pub(super) fn of(program: &Program, goal: &Goal) -> Self {
        let mut pool = Self::default();
        let mut pieces = BTreeMap::new();
        for (event, id) in &goal.cone {
            let Some(plan) = program.plans.get(usize::from(event.0)) else { continue };
            pool.take(program, plan, (*event, *id));
            Below { program, plan, event: *event }.pieces(*id, &mut pieces);
        }
        for (place, pieces) in &pieces {
            for text in pieces.texts() {
                pool.add(*place, TestValue::Constant(Constant::Text(text)));
            }
        }
        for test in &program.tests {
            let given = test.given.iter().map(|events| &events.event);
            for event in given.chain([&test.when]) {
                for (field, value) in &event.fields {
                    pool.add((event.event, *field), value.clone());
                }
            }
        }
        pool
    }

    /// Values of a field: those that the goal speaks of first, then plain ones.
    pub(super) fn values(
        &self,
        program: &Program,
        (event, id): (EventId, FieldId),
    ) -> Vec<TestValue> {
        let mut values = self.values.get(&(event, id)).cloned().unwrap_or_default();
        for value in plain(program, program.schema.event(event), id) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        values
    }

    fn add(&mut self, place: (EventId, FieldId), value: TestValue) {
        let values = self.values.entry(place).or_default();
        if value != TestValue::Missing && values.len() < MAX_VALUES && !values.contains(&value) {
            values.push(value);
        }
    }

    /// Takes in what a node compares with what.
    fn take(&mut self, program: &Program, plan: &EventPlan, (event, id): (EventId, NodeId)) {
        let Some(node) = plan.nodes.get(id.0 as usize) else { return };
        let mut constants = Vec::new();
        let below = Below { program, plan, event };
        match &node.op {
            Op::InSet(of, set) => {
                let ty = plan.nodes.get(of.0 as usize).map_or(node.ty, |node| node.ty);
                constants.extend(set.iter().map(|constant| (constant.clone(), ty)));
            }
            Op::InList(of, list) | Op::Given(of, list) => {
                let members = program.lists.get(usize::from(list.0)).map(|list| &list.members);
                let members = members.into_iter().flatten().take(MAX_MEMBERS);
                for (place, (member, _)) in below
                    .fields(*of)
                    .into_iter()
                    .flat_map(|place| members.clone().map(move |member| (place, member)))
                {
                    let ty = &program.schema.event(place.0).field(place.1).ty;
                    // Of a network its first address.
                    let first = Network::parse(member).ok().filter(|_| *ty == FieldType::Ip);
                    let first = first.map(|network| network.first().to_string());
                    if let Some(value) = worded(ty, first.as_ref().unwrap_or(member)) {
                        self.add(place, value);
                    }
                }
                return;
            }
            Op::Compare(..)
            | Op::CompareDeviation { .. }
            | Op::Contains(..)
            | Op::StartsWith(..)
            | Op::Default(..)
            | Op::Call(..) => below.constants(id, &mut constants),
            _ => return,
        }
        for (constant, ty) in &constants {
            if let (Constant::Int(int), true) = (constant, *ty == Type::Duration) {
                self.spans_ms.push(*int);
            }
            let count = match constant {
                Constant::Int(int) => u32::try_from(*int).ok(),
                _ => None,
            };
            self.counts.extend(count.filter(|_| *ty == Type::Integer));
        }
        for place in below.fields(id) {
            let field = &program.schema.event(place.0).field(place.1).ty;
            for (constant, ty) in &constants {
                for value in fitting(field, constant, *ty) {
                    self.add(place, value);
                }
            }
        }
    }
}

/// The nodes below one of an event.
struct Below<'p> {
    program: &'p Program,
    plan: &'p EventPlan,
    event: EventId,
}

impl Below<'_> {
    /// What a condition asks of the texts below it.
    fn pieces(&self, id: NodeId, found: &mut BTreeMap<(EventId, FieldId), Pieces>) {
        let op = |id: NodeId| self.plan.nodes.get(id.0 as usize).map(|node| &node.op);
        let constant = |id: NodeId| match op(id) {
            Some(Op::Constant(constant)) => Some(constant),
            _ => None,
        };
        let mut add = |of: NodeId, piece: &dyn Fn(&mut Pieces)| {
            for (event, id) in self.fields(of) {
                let is_text = self.program.schema.event(event).field(id).ty == FieldType::Text;
                if is_text {
                    piece(found.entry((event, id)).or_default());
                }
            }
        };
        match op(id) {
            Some(Op::StartsWith(of, part)) => {
                if let Some(Constant::Text(text)) = constant(*part) {
                    add(*of, &|pieces| pieces.begins.push(text.clone()));
                }
            }
            Some(Op::Contains(of, part)) => {
                if let Some(Constant::Text(text)) = constant(*part) {
                    add(*of, &|pieces| pieces.holds.push(text.clone()));
                }
            }
            Some(Op::Matches(of, pattern)) => {
                add(*of, &|pieces| pieces.patterns.push(pattern.clone()));
            }
            Some(Op::Call(Function::Similarity, list)) => {
                let texts = list.iter().filter_map(|part| constant(*part));
                for text in texts {
                    if let Constant::Text(text) = text {
                        add(id, &|pieces| pieces.holds.push(text.clone()));
                    }
                }
            }
            Some(Op::Compare(_, of, length)) => {
                let is_length = matches!(op(*of), Some(Op::Call(Function::Length, _)));
                if let (true, Some(Constant::Int(length))) = (is_length, constant(*length))
                    && let Ok(length) = usize::try_from(*length)
                {
                    add(*of, &|pieces| pieces.lengths.push(length));
                }
            }
            _ => {}
        }
    }

    fn constants(&self, id: NodeId, found: &mut Vec<(Constant, Type)>) {
        let Some(node) = self.plan.nodes.get(id.0 as usize) else { return };
        if let Op::Constant(constant) = &node.op {
            found.push((constant.clone(), node.ty));
        }
        node.op.each_operand(&mut |operand| self.constants(operand, found));
    }

    /// The fields of the event below a node, and those that windows remember of others.
    fn fields(&self, id: NodeId) -> Vec<(EventId, FieldId)> {
        let Some(node) = self.plan.nodes.get(id.0 as usize) else { return Vec::new() };
        let place = |slot| Some((self.event, field(self.program, self.event, slot)?));
        let mut found: Vec<_> = slot(&node.op).and_then(place).into_iter().collect();
        node.op.each_operand(&mut |operand| found.extend(self.fields(operand)));
        if let Some(asked) = Asked::of(self.program, self.event, id) {
            let event = asked.plan.event;
            let plan = self.program.plans.get(usize::from(event.0));
            let column = asked.column().and_then(|id| plan?.nodes.get(id.0 as usize));
            let column = column.and_then(|node| slot(&node.op));
            found.extend(column.and_then(|slot| Some((event, field(self.program, event, slot)?))));
        }
        found
    }
}

/// A constant as a field would hold it, with its neighbours.
fn fitting(field: &FieldType, constant: &Constant, ty: Type) -> Vec<TestValue> {
    let plain = |constant| vec![TestValue::Constant(constant)];
    match (field, constant, ty) {
        (FieldType::Money { currency, .. }, Constant::Money(micro), Type::Money(of)) => {
            let fixed = matches!(currency, MoneyCurrency::Fixed(fixed) if *fixed != of);
            let Some(minor) = i64::try_from(micro / MICRO_PER_MINOR).ok().filter(|_| !fixed) else {
                return Vec::new();
            };
            [0, 1, -1].map(|step: i64| TestValue::Money(minor.saturating_add(step), of)).to_vec()
        }
        (FieldType::Number, Constant::Number(_) | Constant::Int(_), _) => {
            let number = match constant {
                Constant::Number(number) => *number,
                Constant::Int(int) => number_of(i128::from(*int)),
                _ => return Vec::new(),
            };
            let near = [number, number + 0.01, number - 0.01, number + 1.0, number - 1.0];
            near.map(|number| TestValue::Constant(Constant::Number(number))).to_vec()
        }
        (FieldType::Integer, Constant::Int(int), _) => {
            let near = [0, 1, -1].map(|step| int.saturating_add(step));
            near.map(|int| TestValue::Constant(Constant::Int(int))).to_vec()
        }
        (FieldType::Integer, Constant::Number(number), _) => {
            let whole = rounded(*number).and_then(|whole| i64::try_from(whole).ok());
            whole.map_or_else(Vec::new, |int| plain(Constant::Int(int)))
        }
        (FieldType::Time { .. }, Constant::Int(ms), Type::Time) => {
            let near = [0, 1_000, -1_000].map(|step| ms.saturating_add(step));
            near.map(|ms| TestValue::Constant(Constant::Int(ms))).to_vec()
        }
        (FieldType::Time { .. }, Constant::Int(ms), Type::Duration) => {
            let near = [0, 1_000, -1_000].map(|step| EPOCH_MS.saturating_sub(*ms) + step);
            near.map(|ms| TestValue::Constant(Constant::Int(ms))).to_vec()
        }
        (FieldType::Text | FieldType::Entity(_) | FieldType::Ip, Constant::Text(_), _)
        | (FieldType::Bool, Constant::Bool(_), _)
        | (FieldType::OneOf(_), Constant::Code(_), Type::Enum(..))
        | (FieldType::Country, Constant::Code(_), Type::Country)
        | (FieldType::CurrencyCode, Constant::Code(_), Type::Currency) => plain(constant.clone()),
        _ => Vec::new(),
    }
}

/// A member of a list as a field would hold it.
fn worded(ty: &FieldType, word: &str) -> Option<TestValue> {
    let constant = match ty {
        FieldType::Text | FieldType::Entity(_) | FieldType::Ip => Constant::Text(word.to_owned()),
        FieldType::Country => Constant::Code(parse_country(word.as_bytes())?),
        FieldType::CurrencyCode => Constant::Code(Currency::parse(word)?.0),
        FieldType::OneOf(members) => {
            let index = members.iter().position(|member| member == word)?;
            Constant::Code(u32::try_from(index).ok()?)
        }
        _ => return None,
    };
    Some(TestValue::Constant(constant))
}

/// Values that any field of a type may have.
fn plain(program: &Program, event: &EventType, id: FieldId) -> Vec<TestValue> {
    let field = event.field(id);
    let texts = |words: &[&str]| -> Vec<TestValue> {
        let constants = words.iter().map(|word| Constant::Text((*word).to_owned()));
        constants.map(TestValue::Constant).collect()
    };
    let constants = |constants: &[Constant]| -> Vec<TestValue> {
        constants.iter().cloned().map(TestValue::Constant).collect()
    };
    match &field.ty {
        FieldType::Money { currency, .. } => {
            let base = program.policy.base_currency;
            let of = match currency {
                MoneyCurrency::Fixed(fixed) => *fixed,
                MoneyCurrency::At(..) => base,
            };
            [1_000, 100, 10_000, 1_000_000].map(|minor| TestValue::Money(minor, of)).to_vec()
        }
        FieldType::Number => constants(&[1.0, 0.0, 0.5, 100.0].map(Constant::Number)),
        FieldType::Integer => constants(&[1, 0, 2, 10].map(Constant::Int)),
        FieldType::Bool => constants(&[Constant::Bool(false), Constant::Bool(true)]),
        FieldType::Country => {
            let words = ["DE", "FR", "US"];
            words.iter().filter_map(|word| worded(&field.ty, word)).collect()
        }
        FieldType::CurrencyCode => {
            ["EUR", "USD"].iter().filter_map(|word| worded(&field.ty, word)).collect()
        }
        FieldType::Ip => texts(&["192.0.2.1", "192.0.2.2", "198.51.100.7"]),
        FieldType::Geo => {
            let places = [(52.52, 13.4), (52.5, 13.45), (48.85, 2.35), (40.71, -74.0)];
            places.map(|(latitude, longitude)| TestValue::Geo(latitude, longitude)).to_vec()
        }
        FieldType::Time { .. } => {
            let ago = [0, 3_600_000, 86_400_000, 30 * 86_400_000, 400 * 86_400_000_i64];
            constants(&ago.map(|ago_ms| Constant::Int(EPOCH_MS - ago_ms)))
        }
        FieldType::OneOf(members) => {
            let codes = (0_u32..).zip(members).map(|(code, _)| Constant::Code(code));
            codes.map(TestValue::Constant).collect()
        }
        FieldType::Entity(kind) => {
            let kind = program.schema.entities.get(usize::from(kind.0)).map_or("x", String::as_str);
            (1..=3).map(|n| TestValue::Constant(Constant::Text(format!("{kind}{n}")))).collect()
        }
        FieldType::Text => texts(&["a", "b", "some text"]),
    }
}

/// An event with every field that it must have, and no other.
pub(super) fn bare(program: &Program, event: EventId) -> TestEvent {
    let ty = program.schema.event(event);
    let mut fields = Vec::new();
    for (index, field) in (0_u16..).zip(&ty.fields) {
        let id = FieldId(index);
        let is_made_up = id == ty.id || id == ty.time;
        if !field.optional && !is_made_up {
            fields.extend(plain(program, ty, id).into_iter().next().map(|value| (id, value)));
        }
    }
    TestEvent { event, fields }
}
