//! The small decisions of [`super::compile`]: which type runs as which kind of instruction.

use crate::base::{Currency, Tag, Value};
use crate::event::schema::SlotId;
use crate::rules::eval::code::{
    ColumnCode, EntryCode, Quotient, ReadAs, Scale, Set, TruthCode, ValueCode,
};
use crate::rules::eval::field_test::CurrencyCheck;
use crate::rules::eval::number::finite;
use crate::rules::program::{Constant, EventPlan, Lookup, NodeId, Program, TablePlan, Type};
use crate::rules::syntax::ast::CompareOp;
use crate::window::layout::column_of;
use crate::window::spec::{ColumnId, ColumnKind, TableSpec};

/// How often each node is used: by later nodes, rules, probes and table entries.
pub(super) fn count_uses(program: &Program, plan: &EventPlan) -> Vec<u32> {
    let mut uses = vec![0_u32; plan.nodes.len()];
    let mut mark = |node: NodeId| {
        if let Some(count) = uses.get_mut(node.0 as usize) {
            *count += 1;
        }
    };
    plan.nodes.iter().for_each(|node| node.op.each_operand(&mut mark));
    for body in &plan.rules {
        body.guard.into_iter().chain([body.when]).chain(body.unless).for_each(&mut mark);
    }
    let asked_with = |lookup: &'_ Lookup| {
        let nodes = lookup.probes.iter().chain(&lookup.zones).chain(&lookup.unpriced);
        nodes.flatten().copied().collect::<Vec<NodeId>>()
    };
    plan.lookups.iter().flat_map(asked_with).for_each(&mut mark);
    for id in &plan.tables {
        if let Some(table) = program.tables.get(usize::from(id.0)) {
            table.columns.iter().chain(&table.filters).copied().for_each(&mut mark);
        }
    }
    uses
}

/// How an entry of a table is filled; `asks_state` says so of a filter.
pub(super) fn entry_code(table: &TablePlan, asks_state: impl Fn(NodeId) -> bool) -> EntryCode {
    let columns = table.columns.iter().zip(&table.spec.columns).zip(0_u8..);
    let columns = columns
        .map(|((node, kind), index)| {
            let needed_by = needed_by(&table.spec, ColumnId(index), *kind);
            ColumnCode { node: node.0, kind: *kind, late: asks_state(*node), needed_by }
        })
        .collect::<Vec<_>>();
    let late_columns = columns.iter().any(|column| column.late);
    let late = table.filters.iter().enumerate().filter(|(_, filter)| asks_state(**filter));
    let late = late.fold(0, |mask, (bit, _)| mask | 1_u64 << bit);
    let filters = table.filters.iter().map(|node| node.0).collect();
    EntryCode { columns, filters, late, late_columns }
}

/// The filter bits that an event without a usable value in this column must not set.
///
/// A filter that asks for the value's presence is false by itself, and the checker writes that into the filter of every
/// value that can be absent. What is left: a number too large for its column; and in rule tests an event that lacks a
/// required field. A filter that other columns or plain counts use as well must not be cleared by the latter: the
/// event counts for them.
fn needed_by(spec: &TableSpec, column: ColumnId, kind: ColumnKind) -> u64 {
    let bits = |reads: fn(Option<ColumnId>, ColumnId) -> bool| {
        let measures = spec.measures.iter().filter(|m| reads(column_of(m.kind), column));
        measures.filter_map(|measure| measure.filter).fold(0, |mask, bit| mask | 1_u64 << bit.0)
    };
    let of_column = bits(|read, column| read == Some(column));
    if kind == ColumnKind::Micro {
        return of_column;
    }
    of_column & !bits(|read, column| read != Some(column))
}

pub(super) fn constant_value(constant: &Constant) -> Value {
    match constant {
        Constant::Bool(value) => Value::Bool(*value),
        Constant::Int(value) => Value::Int(*value),
        Constant::Number(value) => finite(*value),
        Constant::Money(value) => Value::Money(*value),
        Constant::Text(text) => Value::Tag(Tag::of_text(text.as_bytes())),
        Constant::Code(code) => Value::Code(*code),
    }
}

pub(super) fn set_of(members: &[Constant], mut codes: Vec<u32>) -> Set {
    let texts = members.iter().filter_map(|member| match member {
        Constant::Text(text) => Some(text.as_bytes()),
        _ => None,
    });
    let mut texts: Vec<Box<[u8]>> = texts.map(Into::into).collect();
    if !texts.is_empty() {
        texts.sort_unstable();
        let mut tags: Vec<Tag> = texts.iter().map(|text| Tag::of_text(text)).collect();
        tags.sort_unstable();
        return Set::Texts(texts, tags);
    }
    if !codes.is_empty() {
        codes.sort_unstable();
        return Set::Codes(codes);
    }
    if members.iter().any(|member| matches!(member, Constant::Number(_))) {
        return Set::Numbers(members.iter().map(constant_value).collect());
    }
    let whole = members.iter().filter_map(|member| match member {
        Constant::Bool(value) => Some(i128::from(*value)),
        Constant::Int(value) => Some(i128::from(*value)),
        Constant::Money(value) => Some(*value),
        _ => None,
    });
    let mut whole: Vec<i128> = whole.collect();
    whole.sort_unstable();
    Set::Whole(whole)
}

pub(super) fn field_code(slot: SlotId, ty: Type) -> ValueCode {
    match ty {
        Type::Integer | Type::Duration | Type::Time => ValueCode::Int(slot),
        Type::Number | Type::Distance | Type::Speed => ValueCode::Number(slot),
        Type::Text | Type::Entity(_) | Type::Ip => ValueCode::TextField(slot),
        Type::Enum(..) | Type::Country | Type::Currency => ValueCode::Code(slot),
        Type::Geo => ValueCode::Geo(slot),
        Type::Bool | Type::Money(_) => ValueCode::Missing,
    }
}

/// How to check the record's currency; `None` where the schema fixes another one.
pub(super) fn money_code(currency: Result<Currency, SlotId>, ty: Type) -> Option<CurrencyCheck> {
    let Type::Money(wanted) = ty else { return None };
    match currency {
        Ok(fixed) if fixed == wanted => Some(CurrencyCheck { slot: None, code: wanted.0 }),
        Ok(_) => None,
        Err(slot) => Some(CurrencyCheck { slot: Some(slot), code: wanted.0 }),
    }
}

pub(super) fn read_as(ty: Type, micro: bool) -> ReadAs {
    match ty {
        Type::Money(_) => ReadAs::Money,
        Type::Text | Type::Entity(_) | Type::Ip => ReadAs::Tag,
        Type::Enum(..) | Type::Country | Type::Currency => ReadAs::Code,
        Type::Bool => ReadAs::Bool,
        Type::Geo => ReadAs::Geo,
        _ if micro => ReadAs::Micro,
        Type::Number | Type::Distance | Type::Speed => ReadAs::Number,
        Type::Integer | Type::Duration | Type::Time => ReadAs::Int,
    }
}

pub(super) fn scale_of(ty: Type) -> Scale {
    match ty {
        Type::Money(_) => Scale::Money,
        Type::Duration | Type::Time | Type::Integer => Scale::Int,
        _ => Scale::Number,
    }
}

pub(super) fn quotient_of(ty: Type) -> Quotient {
    match ty {
        Type::Speed => Quotient::Speed,
        Type::Duration => Quotient::Duration,
        _ => Quotient::Plain,
    }
}

pub(super) fn is_whole(ty: Type) -> bool {
    matches!(ty, Type::Integer | Type::Duration | Type::Time)
}

pub(super) fn is_number(ty: Type) -> bool {
    matches!(ty, Type::Number | Type::Distance | Type::Speed)
}

pub(super) fn is_text(ty: Type) -> bool {
    matches!(ty, Type::Text | Type::Entity(_) | Type::Ip)
}

/// Whether an equality is negated; `None` for the orderings, which texts and codes do not have.
pub(super) fn equality(op: CompareOp) -> Option<bool> {
    match op {
        CompareOp::Eq => Some(false),
        CompareOp::Ne => Some(true),
        _ => None,
    }
}

pub(super) fn mirrored(op: CompareOp) -> CompareOp {
    match op {
        CompareOp::Eq | CompareOp::Ne => op,
        CompareOp::Lt => CompareOp::Gt,
        CompareOp::Le => CompareOp::Ge,
        CompareOp::Gt => CompareOp::Lt,
        CompareOp::Ge => CompareOp::Le,
    }
}

/// Two texts: equality is all they have.
pub(super) fn compare_texts(op: CompareOp, left: NodeId, right: NodeId) -> TruthCode {
    match equality(op) {
        Some(negated) => TruthCode::CompareText { left: left.0, right: right.0, negated },
        None => TruthCode::Compare(op, left.0, right.0),
    }
}
