//! The canonical text of an expression over one event: the same for every way to write it that means the same by
//! order alone. It is the identity of filters and columns, so it is made of names and constants, never of ids.

use crate::base::Currency;
use crate::base::amount::format_micro;
use crate::event::schema::{EventId, FieldType, Schema, SlotId};
use crate::rules::check::arena::{Arena, Ir, RequestId};
use crate::rules::check::measures::{Measures, duration};
use crate::rules::check::types;
use crate::rules::program::{Constant, ListSpec, NodeId, Op, SequencePlan, Type};

/// Writes expressions of one event type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Writer<'a> {
    pub(super) arena: &'a Arena,
    pub(super) schema: &'a Schema,
    pub(super) lists: &'a [ListSpec],
    pub(super) measures: &'a Measures,
    pub(super) event: EventId,
    /// There is a table of exchange rates.
    pub(super) converts: bool,
}

impl Writer<'_> {
    /// The canonical text. Operands of `and` and `or` are sorted.
    pub(super) fn text(&self, id: NodeId) -> String {
        let node = self.arena.get(id);
        let op = match &node.ir {
            Ir::Op(op) => op,
            Ir::Measure { request, keys, with } => {
                return self.reading(*request, keys, (with.probe, with.zone));
            }
            Ir::Judged(judged) => return judged.identity.clone(),
        };
        let text = |id: NodeId| self.text(id);
        let two = |word: &str, a: NodeId, b: NodeId| format!("({} {word} {})", text(a), text(b));
        match op {
            Op::Constant(constant) => constant_text(constant, node.ty, self.schema),
            Op::Field(slot) | Op::GeoField(slot) => self.field_name(*slot),
            Op::MoneyField { slot, currency } => self.money(*slot, *currency, node.ty),
            Op::Not(a) => format!("not {}", text(*a)),
            Op::And(list) => self.sorted(list, " and "),
            Op::Or(list) => self.sorted(list, " or "),
            Op::Compare(op, a, b) => two(op.sign(), *a, *b),
            Op::InSet(a, set) => {
                let ty = self.arena.ty(*a);
                let set: Vec<String> =
                    set.iter().map(|member| constant_text(member, ty, self.schema)).collect();
                format!("{} in [{}]", text(*a), set.join(", "))
            }
            Op::InList(a, list) => {
                let name =
                    self.lists.get(usize::from(list.0)).map_or("?", |list| list.name.as_str());
                format!("{} in {name}", text(*a))
            }
            Op::Given(a, list) => {
                let name =
                    self.lists.get(usize::from(list.0)).map_or("?", |list| list.name.as_str());
                format!("{name}({})", text(*a))
            }
            Op::IsMissing(a) => format!("{} is missing", text(*a)),
            Op::Default(a, b) => two("default", *a, *b),
            Op::Add(a, b) => two("+", *a, *b),
            Op::Sub(a, b) => two("-", *a, *b),
            Op::Mul(a, b) => two("*", *a, *b),
            Op::Div(a, b) => two("/", *a, *b),
            Op::Percent { ppm, of } => format!("({ppm}ppm of {})", text(*of)),
            Op::Call(function, list) => {
                let list: Vec<String> = list.iter().map(|&id| text(id)).collect();
                format!("{}({})", format!("{function:?}").to_lowercase(), list.join(", "))
            }
            Op::Matches(a, pattern) => format!("{} matches {pattern:?}", text(*a)),
            Op::Contains(a, b) => two("contains", *a, *b),
            Op::StartsWith(a, b) => two("starts_with", *a, *b),
            Op::Arrival => "#arrival".to_owned(),
            // Nothing that is remembered may ask a model.
            Op::Model(model, ..) => format!("model {}", model.0),
            Op::IsZero(a) => format!("({} = 0)", text(*a)),
            Op::Since(a) => format!("(now - {})", text(*a)),
            Op::Mean { sum, count } => format!("mean({}, {})", text(*sum), text(*count)),
            Op::Deviation { count, sum, squares } => {
                format!("deviation({}, {}, {})", text(*count), text(*sum), text(*squares))
            }
            Op::CompareDeviation { op, value, count, sum, squares, factor_micro } => format!(
                "({} {} mean + {factor_micro}ppm deviation({}, {}, {}))",
                text(*value),
                op.sign(),
                text(*count),
                text(*sum),
                text(*squares)
            ),
            Op::Sequence(plan) => self.sequence(plan),
            Op::StepField { step, value, .. } => format!("step {step}: {}", text(*value)),
            // Readings have no place in a table yet while texts are written.
            Op::Reading(..) => "state".to_owned(),
        }
    }

    /// A question of state, with the keys of this event under which it is asked.
    fn reading(
        &self,
        request: RequestId,
        keys: &[SlotId],
        (probe, zone): (Option<NodeId>, Option<NodeId>),
    ) -> String {
        let keys: Vec<String> = keys.iter().map(|slot| self.field_name(*slot)).collect();
        let probe = probe.map_or_else(String::new, |probe| format!(" of {}", self.text(probe)));
        let zone = zone.map_or_else(String::new, |zone| format!(" in {}", self.text(zone)));
        format!("[{} for {}{probe}{zone}]", self.measures.get(request).identity, keys.join(", "))
    }

    fn sequence(&self, plan: &SequencePlan) -> String {
        let steps = plan.steps.iter().map(|step| {
            let condition = step.condition.map_or_else(String::new, |id| self.text(id));
            format!("{:?} {} {condition}", step.role, self.text(step.latest))
        });
        format!("sequence({})", steps.collect::<Vec<_>>().join(", "))
    }

    fn sorted(&self, list: &[NodeId], word: &str) -> String {
        let mut texts: Vec<String> = list.iter().map(|&id| self.text(id)).collect();
        texts.sort();
        texts.dedup();
        format!("({})", texts.join(word))
    }

    /// WHY: with rates other amounts are remembered than without, so the text says so.
    fn money(&self, slot: SlotId, own: Result<Currency, SlotId>, ty: Type) -> String {
        let name = self.field_name(slot);
        let Type::Money(wanted) = ty else { return name };
        let by_rates = if self.converts && own != Ok(wanted) { " by rates" } else { "" };
        format!("{name} in {wanted}{by_rates}")
    }

    fn field_name(&self, slot: SlotId) -> String {
        let fields = &self.schema.event(self.event).fields;
        fields.iter().find(|field| field.slot == slot).map_or_else(String::new, |f| f.name.clone())
    }
}

/// A constant as an author would write it.
pub(super) fn constant_text(constant: &Constant, ty: Type, schema: &Schema) -> String {
    match (constant, ty) {
        (Constant::Bool(value), _) => value.to_string(),
        (Constant::Int(ms), Type::Duration) => duration(*ms),
        (Constant::Int(value), _) => value.to_string(),
        (Constant::Number(value), _) => format!("{value:?}"),
        (Constant::Money(micro), Type::Money(currency)) => {
            format!("{} {currency}", format_micro(*micro, currency.minor_digits()))
        }
        (Constant::Money(micro), _) => micro.to_string(),
        (Constant::Text(text), _) => format!("{text:?}"),
        (Constant::Code(index), Type::Enum(event, field)) => {
            let members = types::members(schema, event, field);
            members.get(*index as usize).cloned().unwrap_or_default()
        }
        (Constant::Code(code), Type::Currency) => Currency(*code).to_string(),
        (Constant::Code(code), _) => {
            code.to_be_bytes().into_iter().filter(u8::is_ascii_uppercase).map(char::from).collect()
        }
    }
}

/// The words by which a field is known in messages: `transfer.amount`.
pub(super) fn slot_name(schema: &Schema, event: EventId, slot: SlotId) -> Option<&str> {
    schema
        .event(event)
        .fields
        .iter()
        .find(|field| match &field.ty {
            FieldType::Money {
                currency: crate::event::schema::MoneyCurrency::At(_, second),
                ..
            } => field.slot == slot || *second == slot,
            _ => field.slot == slot,
        })
        .map(|field| field.name.as_str())
}
