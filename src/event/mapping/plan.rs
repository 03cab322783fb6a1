//! The compiled form of a schema: per topic a tree of all pointers, and per event type how each field is read.
//!
//! Compiled once; shared by threads. One walk over a record finds the values of every pointer of the topic, so that the
//! discriminator may stand anywhere.

use std::sync::Arc;

use crate::base::{Currency, NeverStore, TokenKey};
use crate::event::mapping::keys::{KeyTable, NO_NODE};
use crate::event::schema::{
    EventId, EventType, Field, FieldType, MoneyCurrency, MoneyUnit, Pointer, Role, Schema, SlotId,
    TimeUnit,
};

/// Index of a pointer: where the walk notes its value.
pub(super) type PointerIdx = u16;

/// What decoding one topic needs to know.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// The tree of pointers; the root is the record.
    pub(super) nodes: Vec<Node>,
    /// Number of pointers.
    pub(super) n_pointers: u16,
    /// Event types in declaration order.
    pub(super) events: Vec<EventPlan>,
    /// Members whose values are never stored.
    pub(super) never_store: Arc<NeverStore>,
}

/// One step of pointers.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// The pointer that ends here.
    pub(super) pointer: Option<PointerIdx>,
    /// Children by name; what an array makes of them stands in `items`.
    pub(super) children: Vec<(String, u16)>,
    /// Children by index, for those whose name is one.
    pub(super) items: Vec<(usize, u16)>,
}

/// How one event type is read.
#[derive(Clone, Debug)]
pub(super) struct EventPlan {
    pub(super) id: EventId,
    pub(super) n_slots: u16,
    /// The pointer and the text by which its records are known.
    pub(super) discriminator: Option<(PointerIdx, Box<[u8]>)>,
    pub(super) fields: Vec<FieldPlan>,
}

/// How one field is read.
#[derive(Clone, Debug)]
pub(super) struct FieldPlan {
    /// `event.field`, for messages.
    pub(super) name: Arc<str>,
    pub(super) slot: SlotId,
    pub(super) optional: bool,
    /// Whether the event time is here.
    pub(super) is_time: bool,
    /// Whether an empty text is refused.
    pub(super) non_empty: bool,
    pub(super) from: Box<[PointerIdx]>,
    pub(super) kind: Kind,
}

/// The type of a field, ready for reading.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// Decimal digits of its fixed currency (0 when written in minor units).
    Money {
        digits: u8,
    },
    /// Currency at a pointer, its slot, and whether the amount is in whole units.
    MoneyAt {
        pointer: PointerIdx,
        slot: SlotId,
        unit: MoneyUnit,
    },
    Number,
    Integer,
    Text,
    Bool,
    Country,
    CurrencyCode,
    Ip,
    Geo,
    Time {
        unit: TimeUnit,
    },
    Entity,
    /// A token of it.
    Token(TokenKey),
    OneOf(Box<[Box<[u8]>]>),
}

impl Plan {
    /// Compiles the event types that `wanted` picks.
    pub(super) fn new(schema: &Schema, wanted: impl Fn(&EventType) -> bool) -> Self {
        let never_store = Arc::clone(&schema.never_store);
        let (nodes, events) = (vec![Node::default()], Vec::new());
        let mut plan = Self { nodes, n_pointers: 0, events, never_store };
        let key = schema
            .tokenized_field()
            .map(|_| schema.token_key.clone().unwrap_or_else(TokenKey::public));
        for (index, event) in schema.events.iter().enumerate() {
            let Ok(id) = u16::try_from(index) else { break };
            if wanted(event) {
                let event = plan.event(EventId(id), event, key.as_ref());
                plan.events.push(event);
            }
        }
        plan
    }

    /// Fresh key tables, one per node.
    pub(super) fn tables(&self) -> Vec<KeyTable> {
        let children = |node: &Node| {
            let children = node.children.iter().map(|(name, child)| {
                let pointer = self.nodes.get(usize::from(*child)).and_then(|node| node.pointer);
                (name.as_str(), *child, pointer.unwrap_or(NO_NODE))
            });
            KeyTable::new(children, &self.never_store)
        };
        self.nodes.iter().map(children).collect()
    }

    fn event(&mut self, id: EventId, event: &EventType, key: Option<&TokenKey>) -> EventPlan {
        let discriminator = event
            .discriminator
            .as_ref()
            .map(|(pointer, value)| (self.pointer(pointer), value.as_bytes().into()));
        let fields = (0_u16..).zip(&event.fields).map(|(index, field)| {
            let is_time = index == event.time.0;
            self.field(&event.name, field, is_time, key)
        });
        EventPlan { id, n_slots: event.n_slots, discriminator, fields: fields.collect() }
    }

    fn field(
        &mut self,
        event: &str,
        field: &Field,
        is_time: bool,
        key: Option<&TokenKey>,
    ) -> FieldPlan {
        let keyed = matches!(field.role, Role::Id | Role::Key);
        FieldPlan {
            name: format!("{event}.{}", field.name).into(),
            slot: field.slot,
            optional: field.optional,
            is_time,
            non_empty: keyed || matches!(field.ty, FieldType::Entity(_)),
            from: field.from.iter().map(|pointer| self.pointer(pointer)).collect(),
            kind: match key.filter(|_| field.tokenized) {
                Some(key) => Kind::Token(key.clone()),
                None => self.kind(&field.ty),
            },
        }
    }

    fn kind(&mut self, ty: &FieldType) -> Kind {
        match ty {
            FieldType::Money { currency: MoneyCurrency::Fixed(currency), unit } => {
                Kind::Money { digits: written_digits(*currency, *unit) }
            }
            FieldType::Money { currency: MoneyCurrency::At(pointer, slot), unit } => {
                Kind::MoneyAt { pointer: self.pointer(pointer), slot: *slot, unit: *unit }
            }
            FieldType::Number => Kind::Number,
            FieldType::Integer => Kind::Integer,
            FieldType::Text => Kind::Text,
            FieldType::Bool => Kind::Bool,
            FieldType::Country => Kind::Country,
            FieldType::CurrencyCode => Kind::CurrencyCode,
            FieldType::Ip => Kind::Ip,
            FieldType::Geo => Kind::Geo,
            FieldType::Time { unit } => Kind::Time { unit: *unit },
            FieldType::Entity(_) => Kind::Entity,
            FieldType::OneOf(members) => {
                Kind::OneOf(members.iter().map(|member| member.as_bytes().into()).collect())
            }
        }
    }

    /// The index of a pointer, added to the tree when it is new.
    fn pointer(&mut self, pointer: &Pointer) -> PointerIdx {
        let mut at = 0_usize;
        for step in &pointer.0 {
            at = usize::from(self.child(at, step));
        }
        let Some(node) = self.nodes.get_mut(at) else { return NO_NODE };
        *node.pointer.get_or_insert_with(|| {
            self.n_pointers += 1;
            self.n_pointers - 1
        })
    }

    fn child(&mut self, at: usize, step: &str) -> u16 {
        let fresh = u16::try_from(self.nodes.len()).unwrap_or(NO_NODE);
        let Some(node) = self.nodes.get_mut(at) else { return NO_NODE };
        if let Some((_, child)) = node.children.iter().find(|(name, _)| name == step) {
            return *child;
        }
        node.children.push((step.to_owned(), fresh));
        if let Some(index) = array_index(step) {
            node.items.push((index, fresh));
        }
        self.nodes.push(Node::default());
        fresh
    }
}

/// Digits after the point of an amount as it is written.
pub(super) fn written_digits(currency: Currency, unit: MoneyUnit) -> u8 {
    match unit {
        MoneyUnit::Major => currency.minor_digits(),
        MoneyUnit::Minor => 0,
    }
}

/// The array index that a pointer step stands for (RFC 6901, 4): digits without a leading zero.
fn array_index(step: &str) -> Option<usize> {
    let digits = !step.is_empty() && step.bytes().all(|byte| byte.is_ascii_digit());
    let canonical = digits && (step == "0" || !step.starts_with('0'));
    if canonical { step.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn array_indices_have_no_leading_zero_sign_or_space() {
        assert_eq!(array_index("0"), Some(0));
        assert_eq!(array_index("12"), Some(12));
        for step in ["", "00", "01", "-1", "+1", " 1", "a", "1a", "99999999999999999999999"] {
            assert_eq!(array_index(step), None, "{step}");
        }
    }
}
