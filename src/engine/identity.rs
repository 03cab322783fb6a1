//! What makes a table, a column or a filter the same one in another rule set: names, never numbers, and from where in a
//! record the fields that they name are read.

use core::num::NonZeroU16;

use crate::base::TokenKey;
use crate::base::codec::{Damaged, Decoder, Encoder};
use crate::event::key::{KeyPart, key_parts};
use crate::event::schema::{EventId, SlotId};
use crate::rules::origins;
use crate::rules::program::{NodeId, Program, TablePlan, Type};
use crate::window::Mapping;
use crate::window::spec::{
    Calendar, ColumnId, ColumnKind, Counting, FilterBit, Measure, MeasureKind, Period, Pick, Span,
    TableSpec,
};

/// The names of a table's parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableIdentity {
    /// Event and keys: ``card_payment by card``.
    pub name: String,
    /// How each key is read; then what a record of the event is known by, and how its time is read.
    pub keys: Vec<String>,
    /// Value and type of each column, and how the fields behind it are read.
    pub columns: Vec<String>,
    /// Each filter, and how the fields behind it are read.
    pub filters: Vec<String>,
    /// Each measure.
    pub measures: Vec<String>,
}

impl TableIdentity {
    /// The identity of a table of a program.
    pub(super) fn of(program: &Program, plan: &TablePlan) -> Self {
        let event = program.schema.event(plan.event);
        let parts = key_parts(event, &plan.keys);
        let kinds = parts.iter().map(|part| match part {
            KeyPart::Text(slot) => token_name(program, plan.event, *slot)
                .map_or_else(|| "text".to_owned(), |key| format!("token of {key}")),
            KeyPart::Money(..) => "money".to_owned(),
            // WHY: a member is known by its place among the members.
            KeyPart::Word(slot) => {
                let field = event.fields.iter().find(|field| field.slot == *slot);
                field.map_or_else(String::new, |field| format!("{:?}", field.ty))
            }
        });
        let read = origins::of_keys(program, plan);
        let keys = kinds.zip(read).map(|(kind, read)| format!("{kind}: {read}"));
        let nodes = program.plans.get(usize::from(plan.event.0)).map(|plan| &plan.nodes);
        let from = |id: NodeId| origins::short(&origins::of_values(program, plan.event, &[id]));
        let columns = plan.column_texts.iter().zip(&plan.columns).map(|(text, id)| {
            let node = nodes.and_then(|nodes| nodes.get(id.0 as usize));
            let ty = node.map_or_else(String::new, |node| type_text(program, node.ty));
            format!("{text}: {ty} from {}", from(*id))
        });
        let filters = plan.filter_texts.iter().zip(&plan.filters);
        Self {
            name: plan.name.clone(),
            keys: keys.chain(origins::of_event(event)).collect(),
            columns: columns.collect(),
            filters: filters.map(|(text, id)| format!("{text} from {}", from(*id))).collect(),
            measures: plan.identities.clone(),
        }
    }

    /// Where the columns and filters of this table stood in an old one, if that is the same table.
    pub(super) fn mapping(
        &self,
        spec: &TableSpec,
        old: &Self,
        old_spec: &TableSpec,
    ) -> Option<Mapping> {
        if self.name != old.name || self.keys != old.keys {
            return None;
        }
        let place = |texts: &[String], text: &String| {
            let at = texts.iter().position(|held| held == text);
            at.and_then(|at| u8::try_from(at).ok())
        };
        let columns = self.columns.iter().zip(&spec.columns).map(|(text, kind)| {
            let at = place(&old.columns, text)?;
            (old_spec.columns.get(usize::from(at)) == Some(kind)).then_some(at)
        });
        let filters = self.filters.iter().map(|text| place(&old.filters, text));
        Some(Mapping { columns: columns.collect(), filters: filters.collect() })
    }

    pub(super) fn save(&self, spec: &TableSpec, code: &mut Encoder<'_>) {
        code.text(&self.name);
        for texts in [&self.keys, &self.filters, &self.columns] {
            code.count(texts.len());
            for text in texts {
                code.text(text);
            }
        }
        code.count(spec.columns.len());
        spec.columns.iter().for_each(|kind| code.byte(column_code(*kind)));
        code.count(spec.measures.len());
        for (text, measure) in self.measures.iter().zip(&spec.measures) {
            code.text(text);
            save_measure(measure, code);
        }
    }

    pub(super) fn load(code: &mut Decoder<'_>) -> Result<(Self, TableSpec), Damaged> {
        const WHAT: &str = "description of a table";
        let name = code.text(WHAT)?.to_owned();
        let mut texts = || -> Result<Vec<String>, Damaged> {
            let n = code.count(1, WHAT)?;
            (0..n).map(|_| code.text(WHAT).map(str::to_owned)).collect()
        };
        let (keys, filters, columns) = (texts()?, texts()?, texts()?);
        let n = code.count(1, WHAT)?;
        code.demand(n == columns.len(), WHAT)?;
        let kinds: Result<Vec<ColumnKind>, Damaged> = (0..n).map(|_| load_column(code)).collect();
        let n = code.count(20, WHAT)?;
        let mut spec = TableSpec { columns: kinds?, measures: Vec::with_capacity(n) };
        let mut measures = Vec::with_capacity(n);
        for _ in 0..n {
            measures.push(code.text(WHAT)?.to_owned());
            spec.measures.push(load_measure(code)?);
        }
        Ok((Self { name, keys, columns, filters, measures }, spec))
    }
}

/// A type in words that say all that its remembered words depend on.
/// The name of the key of the tokens in a slot, if it holds some.
///
/// WHY: tokens of another key are other keys of state. What is known by the old ones is nothing to the new ones, and they say
/// `warming` until their windows have filled.
fn token_name(program: &Program, event: EventId, slot: SlotId) -> Option<&str> {
    let mut fields = program.schema.event(event).fields.iter();
    let is_token = fields.any(|field| field.slot == slot && field.tokenized);
    program.schema.token_key.as_ref().filter(|_| is_token).map(TokenKey::id)
}

fn type_text(program: &Program, ty: Type) -> String {
    match ty {
        // WHY: a member is remembered by its place among the members.
        Type::Enum(event, field) => format!("{:?}", program.schema.event(event).field(field).ty),
        // WHY: the number of an entity changes when another one is declared before it; its name does not.
        Type::Entity(entity) => {
            let name = program.schema.entities.get(usize::from(entity.0));
            let name = name.map_or("?", String::as_str);
            let key = program.schema.token_key.as_ref();
            match key.filter(|_| program.schema.is_tokenized(entity)) {
                Some(key) => format!("entity {name}, token of {}", key.id()),
                None => format!("entity {name}"),
            }
        }
        _ => format!("{ty:?}"),
    }
}

fn column_code(kind: ColumnKind) -> u8 {
    match kind {
        ColumnKind::Int => 0,
        ColumnKind::Micro => 1,
        ColumnKind::Word => 2,
        ColumnKind::Geo => 3,
    }
}

fn load_column(code: &mut Decoder<'_>) -> Result<ColumnKind, Damaged> {
    const WHAT: &str = "kind of a column";
    let kinds = [ColumnKind::Int, ColumnKind::Micro, ColumnKind::Word, ColumnKind::Geo];
    let kind = kinds.get(usize::from(code.byte(WHAT)?)).copied();
    kind.ok_or_else(|| code.damaged(WHAT))
}

fn save_measure(measure: &Measure, code: &mut Encoder<'_>) {
    let (kind, column) = match measure.kind {
        MeasureKind::Count => (0, ColumnId(0)),
        MeasureKind::LastTime => (1, ColumnId(0)),
        MeasureKind::Sum(column) => (2, column),
        MeasureKind::SumSquares(column) => (3, column),
        MeasureKind::Min(column) => (4, column),
        MeasureKind::Max(column) => (5, column),
        MeasureKind::Distinct(column) => (6, column),
        MeasureKind::CountOf(column) => (7, column),
        MeasureKind::Last(column) => (8, column),
        MeasureKind::Ranked(column, Pick::Middle) => (9, column),
        MeasureKind::Ranked(column, Pick::AtLeast(_)) => (10, column),
        MeasureKind::Run => (11, ColumnId(0)),
    };
    let calendar = match measure.window.calendar {
        None => 0,
        Some(Calendar::Since(Period::Day)) => 1,
        Some(Calendar::Since(Period::Week)) => 2,
        Some(Calendar::Since(Period::Month)) => 3,
        Some(Calendar::Before(Period::Day)) => 4,
        Some(Calendar::Before(Period::Week)) => 5,
        Some(Calendar::Before(Period::Month)) => 6,
    };
    code.byte(kind | calendar << 5);
    code.byte(column.0);
    code.byte(measure.filter.map_or(u8::MAX, |bit| bit.0));
    code.int(measure.window.length_ms);
    code.int(measure.window.ending_ago_ms);
    code.var(measure.window.newest.map_or(0, |newest| newest.get().into()));
    code.flag(measure.counting == Counting::Last);
    if let MeasureKind::Ranked(_, Pick::AtLeast(ppm)) = measure.kind {
        code.var(u64::from(ppm));
    }
}

fn load_measure(code: &mut Decoder<'_>) -> Result<Measure, Damaged> {
    const WHAT: &str = "measure of a table";
    let (kind, column, filter) = (code.byte(WHAT)?, code.byte(WHAT)?, code.byte(WHAT)?);
    let column = ColumnId(column);
    let calendar = match kind >> 5 {
        0 => None,
        1 => Some(Calendar::Since(Period::Day)),
        2 => Some(Calendar::Since(Period::Week)),
        3 => Some(Calendar::Since(Period::Month)),
        4 => Some(Calendar::Before(Period::Day)),
        5 => Some(Calendar::Before(Period::Week)),
        6 => Some(Calendar::Before(Period::Month)),
        _ => return Err(code.damaged(WHAT)),
    };
    let kind = match kind & 31 {
        0 => MeasureKind::Count,
        1 => MeasureKind::LastTime,
        2 => MeasureKind::Sum(column),
        3 => MeasureKind::SumSquares(column),
        4 => MeasureKind::Min(column),
        5 => MeasureKind::Max(column),
        6 => MeasureKind::Distinct(column),
        7 => MeasureKind::CountOf(column),
        8 => MeasureKind::Last(column),
        9 => MeasureKind::Ranked(column, Pick::Middle),
        10 => MeasureKind::Ranked(column, Pick::AtLeast(1)),
        11 => MeasureKind::Run,
        _ => return Err(code.damaged(WHAT)),
    };
    let (length_ms, ending_ago_ms) = (code.int(WHAT)?, code.int(WHAT)?);
    let newest = code.narrow(WHAT)?;
    let newest = u16::try_from(newest).map_err(|_| code.damaged(WHAT))?;
    let newest = NonZeroU16::new(newest);
    let window = Span { length_ms, ending_ago_ms, calendar, newest };
    let counting = if code.flag(WHAT)? { Counting::Last } else { Counting::Prior };
    let filter = (filter != u8::MAX).then_some(FilterBit(filter));
    let kind = match kind {
        MeasureKind::Ranked(column, Pick::AtLeast(_)) => {
            MeasureKind::Ranked(column, Pick::AtLeast(code.narrow(WHAT)?))
        }
        kind => kind,
    };
    Ok(Measure { kind, filter, window, counting })
}
