//! A small schema with one field of every type, one table, and a host that answers from a list.

use crate::base::{Currency, Digest, Tag};
use crate::diag::{Sources, Span};
use crate::event::row::Row;
use crate::event::schema::{
    EntityId, EventId, EventType, Field, FieldId, FieldType, MoneyCurrency, MoneyUnit, Pointer,
    Role, Schema, SlotId, TimeUnit,
};
use crate::rules::eval::{Given, Host};
use crate::rules::program::{
    EventPlan, ListId, ListSpec, Lookup, LookupId, Node, NodeId, Op, Policy, Program, TableId,
    TablePlan, Type,
};
use crate::window::spec::{
    ColumnId, ColumnKind, Counting, Coverage, FilterBit, History, Measure, MeasureId, MeasureKind,
    Reading, Span as Window, TableSpec,
};

pub(super) const TIME: SlotId = SlotId(0);
pub(super) const TEXT: SlotId = SlotId(1);
pub(super) const INT: SlotId = SlotId(2);
pub(super) const NUMBER: SlotId = SlotId(3);
pub(super) const EURO: SlotId = SlotId(4);
pub(super) const MONEY: SlotId = SlotId(5);
pub(super) const MONEY_CODE: SlotId = SlotId(6);
pub(super) const CHANNEL: SlotId = SlotId(7);
pub(super) const COUNTRY: SlotId = SlotId(8);
pub(super) const FLAG: SlotId = SlotId(9);
pub(super) const PLACE: SlotId = SlotId(10);
pub(super) const N_SLOTS: u16 = 12;

pub(super) const CHANNEL_TYPE: Type = Type::Enum(EventId(0), FieldId(6));

pub(super) fn eur() -> Currency {
    Currency::parse("EUR").unwrap()
}

pub(super) fn usd() -> Currency {
    Currency::parse("USD").unwrap()
}

/// Kinds of the table's measures; the look-up asks for all, in this order.
pub(super) const MEASURES: [MeasureKind; 9] = [
    MeasureKind::Count,
    MeasureKind::Sum(ColumnId(0)),
    MeasureKind::SumSquares(ColumnId(0)),
    MeasureKind::Sum(ColumnId(1)),
    MeasureKind::SumSquares(ColumnId(1)),
    MeasureKind::CountOf(ColumnId(2)),
    MeasureKind::Last(ColumnId(2)),
    MeasureKind::LastTime,
    MeasureKind::Last(ColumnId(3)),
];

fn field(name: &str, ty: FieldType, slot: SlotId) -> Field {
    let from = vec![Pointer(vec![name.to_owned()])];
    let name = name.to_owned();
    Field {
        name,
        role: Role::Plain,
        ty,
        optional: true,
        from,
        slot,
        sensitive: None,
        tokenized: false,
    }
}

pub(super) fn schema() -> Schema {
    let unit = MoneyUnit::Minor;
    let at = MoneyCurrency::At(Pointer(vec!["currency".to_owned()]), MONEY_CODE);
    let members = ["pos", "ecom", "atm", "app"].map(str::to_owned).to_vec();
    let fields = vec![
        field("at", FieldType::Time { unit: TimeUnit::Millis }, TIME),
        field("card", FieldType::Entity(EntityId(0)), TEXT),
        field("tries", FieldType::Integer, INT),
        field("ratio", FieldType::Number, NUMBER),
        field("fee", FieldType::Money { currency: MoneyCurrency::Fixed(eur()), unit }, EURO),
        field("amount", FieldType::Money { currency: at, unit }, MONEY),
        field("channel", FieldType::OneOf(members), CHANNEL),
        field("country", FieldType::Country, COUNTRY),
        field("chip", FieldType::Bool, FLAG),
        field("geo", FieldType::Geo, PLACE),
    ];
    let event = EventType {
        name: "payment".to_owned(),
        topic: None,
        discriminator: None,
        fields,
        id: FieldId(1),
        time: FieldId(0),
        n_slots: N_SLOTS,
        labels: None,
        answers: None,
    };
    Schema {
        events: vec![event],
        entities: vec!["card".to_owned()],
        roles: vec![],
        ..Schema::default()
    }
}

/// A program of one event type with these nodes; the probe of `CountOf` is node 0.
pub(super) fn program(nodes: Vec<Node>) -> Program {
    let window = Window::sliding(600_000, 0);
    let counting = Counting::Last;
    let measure = |kind| Measure { kind, filter: None, window, counting };
    let spec = TableSpec {
        columns: vec![ColumnKind::Int, ColumnKind::Micro, ColumnKind::Word, ColumnKind::Geo],
        measures: MEASURES.map(measure).to_vec(),
    };
    let table = TablePlan {
        name: "payment by card".to_owned(),
        event: EventId(0),
        keys: vec![TEXT],
        spec,
        columns: vec![],
        filters: vec![],
        column_texts: vec![],
        filter_texts: vec![],
        identities: MEASURES.iter().map(|kind| format!("{kind:?}")).collect(),
    };
    let lookup = Lookup {
        table: TableId(0),
        keys: vec![TEXT],
        measures: (0..9).map(MeasureId).collect(),
        probes: (0..9).map(|index| (index == 5).then_some(NodeId(0))).collect(),
        zones: vec![None; 9],
        unpriced: vec![None; 9],
        same_event: true,
    };
    let plan = EventPlan { nodes, lookups: vec![lookup], ..EventPlan::default() };
    let policy = Policy {
        name: "policy".to_owned(),
        base_currency: eur(),
        timezone: "Europe/Berlin".to_owned(),
        bands: vec![],
        state_bytes: 1 << 30,
        breaker: None,
        budget_ns: None,
        approvals: Vec::new(),
    };
    let list = ListSpec {
        name: "watched".to_owned(),
        ty: Type::Text,
        expires_ms: None,
        members: vec![],
        gives: None,
    };
    Program {
        snoozes: Vec::new(),
        sources: Sources::default(),
        digest: Digest([0; 32]),
        schema: schema(),
        lists: vec![list],
        tables: vec![table],
        rules: vec![],
        plans: vec![plan],
        groups: vec![],
        policy,
        rates: None,
        hold_bounds: vec![],
        tests: vec![],
        models: vec![],
    }
}

pub(super) fn node(op: Op, ty: Type) -> Node {
    Node { op, ty, span: Span::default() }
}

/// Answers from a list of readings, and counts how often it is asked.
#[derive(Debug, Default)]
pub(super) struct Canned {
    pub(super) readings: Vec<Reading>,
    pub(super) members: Vec<Vec<u8>>,
    pub(super) n_asked: usize,
}

impl Host for Canned {
    fn reading(&mut self, lookup: LookupId, index: u16, given: Given<'_>) -> Reading {
        let probes = given.probes;
        assert_eq!((lookup, probes.len()), (LookupId(0), 9));
        assert!(index != 5 || probes[5].is_some(), "a missing probe is never asked for");
        self.n_asked += 1;
        self.readings[usize::from(index)]
    }

    fn history(&mut self, _: (LookupId, u64), _: i64, _: &mut History) -> Coverage {
        Coverage::Complete
    }

    fn count_own(&mut self, _: TableId, _: FilterBit) {}

    fn list_contains(&mut self, _: ListId, text: &[u8]) -> bool {
        self.members.iter().any(|member| member == text)
    }

    fn list_contains_tag(&mut self, _: ListId, tag: Tag) -> bool {
        self.members.iter().any(|member| Tag::of_text(member) == tag)
    }
}

pub(super) fn empty_row() -> Row {
    let mut row = Row::default();
    row.reset(EventId(0), N_SLOTS);
    row
}
