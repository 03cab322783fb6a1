//! Aggregates: `sum(transfer.amount in EUR where ...) by receiver = this.sender over prior 24h` becomes arithmetic on
//! primitive measures of a state table.

use std::collections::BTreeSet;

use crate::base::Currency;
use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::{EventId, FieldId, FieldType, SlotId};
use crate::rules::check::arena::{Beside, Ir};
use crate::rules::check::canonical::Writer;
use crate::rules::check::checker::{Checked, Checker, Scope};
use crate::rules::check::cycles::looks_at_itself;
use crate::rules::check::functions::{example, walk, word};
use crate::rules::check::meant;
use crate::rules::check::measures::{Kind, Named, Request};
use crate::rules::check::names::fields_of;
use crate::rules::check::schema::{dotted, unknown_event};
use crate::rules::check::{literals, types};
use crate::rules::program::{Constant, NodeId, Op, Type};
use crate::rules::syntax::ast::{
    Aggregate, AggregateFunction as Function, CompareOp, Expr, ExprKind, Path,
};
use crate::window::spec::{ColumnKind, Counting, Pick, Span as WindowSpan};

/// Everything about an aggregate but its measure.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    pub(super) event: EventId,
    /// Stored key and the slot in which the present event has it, sorted by the stored key's name.
    pub(super) keys: Vec<(FieldId, SlotId)>,
    pub(super) window: WindowSpan,
    pub(super) counting: Counting,
    /// Names the time zone of a window by the calendar; `None`: the policy's.
    pub(super) zone: Option<NodeId>,
    pub(super) span: Span,
}

/// What is remembered per event.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// The field that it holds; the order of arrival is none.
    pub(super) field: Option<FieldId>,
    pub(super) named: Named,
    pub(super) kind: ColumnKind,
    pub(super) ty: Type,
    /// Counts the events that are left out because their amount has no exchange rate.
    pub(super) unpriced: Option<NodeId>,
}

/// Parts per million of one percent.
const PPM_OF_ONE_PERCENT: u32 = 10_000;

impl Checker<'_, '_> {
    /// An aggregate as an expression of this scope's event.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, span: Span) -> Option<NodeId> {
        self.may_ask_state("an aggregate", span)?;
        self.supported(aggregate)?;
        let feature = self.named_feature(aggregate);
        let (event, field) = match feature {
            Some((event, _)) => (event, None),
            None => self.target(aggregate)?,
        };
        let keys = self.keys(event, &aggregate.keys);
        let window = self.window(aggregate);
        let zone = self.zone(&aggregate.window);
        let filter = aggregate.filter.as_ref().map(|filter| self.filter(event, filter));
        let column = match feature {
            Some((event, name)) => Some(self.feature_column(aggregate, event, name)),
            None => field.map(|field| self.column(aggregate, event, field)),
        };
        let (keys, (window, counting), zone) = (keys?, window?, zone?);
        let filter = match filter {
            None => None,
            Some(checked) => Some(checked?),
        };
        let column = match column {
            None => None,
            Some(checked) => Some(checked?),
        };
        // A window that the present event cannot be in counts the same with `last` and `prior`.
        let reaches_present = window.ending_ago_ms == 0 && event == self.scope.event;
        let counting = if reaches_present { counting } else { Counting::Prior };
        if counting == Counting::Last && filter.is_none() {
            self.looks_back(aggregate, (event, field), &keys)?;
        }
        if let (Counting::Last, Some(filter)) = (counting, filter) {
            self.asks_of_before(filter, event, aggregate.window.span)?;
        }
        if let (Counting::Last, Some((_, name)), Some(column)) = (counting, feature, &column) {
            self.is_known_early(aggregate, (event, name), column)?;
        }
        let frame = Frame { event, keys, window, counting, zone, span };
        let pick = match aggregate.function {
            Function::Percentile => Pick::AtLeast(self.share_of(aggregate)?),
            _ => Pick::Middle,
        };
        self.build_aggregate((aggregate.function, pick), &frame, filter, column)
    }

    /// Refuses what asks state where only an event is at hand.
    pub(super) fn may_ask_state(&mut self, what: &str, span: Span) -> Option<()> {
        if self.scope.steps.own.is_some() {
            let message = format!("{what} beside a field of another step");
            return self.refuse(
                Diagnostic::new(codes::E0407, span, message)
                    .with_help("ask it in a condition of its own, joined with `and`"),
            );
        }
        Some(())
    }

    /// A feature that is defined by its own past must not take the present event into it.
    fn asks_of_before(&mut self, filter: NodeId, event: EventId, span: Span) -> Option<()> {
        if !self.scope.in_cycle || !looks_at_itself(self.build.arena(event), filter) {
            return Some(());
        }
        let prior = self.quote(span).replacen("last", "prior", 1);
        let message = "whether this event counts depends on what is being asked";
        self.refuse(
            Diagnostic::new(codes::E0109, span, message)
                .with_label("counts this event")
                .with_help(format!("write `{prior}`"))
                .with_fix(span, prior),
        )
    }

    fn supported(&mut self, aggregate: &Aggregate) -> Option<()> {
        let function = aggregate.function;
        if function == Function::Percentile {
            self.share_of(aggregate)?;
        } else if aggregate.argument.is_some() {
            return self.refuse(
                Diagnostic::new(
                    codes::E0202,
                    aggregate.function_span,
                    format!("`{}` takes no number", word(function)),
                )
                .with_help(format!("write `{}`", example(function))),
            );
        }
        let of_what = match function {
            Function::Share => Some("a share of what?"),
            Function::Run => Some("a run of what?"),
            _ => None,
        };
        if let (Some(message), None) = (of_what, &aggregate.filter) {
            return self.refuse(
                Diagnostic::new(codes::E0404, aggregate.path.span, message)
                    .with_help(format!("say which events count: `{}`", example(function))),
            );
        }
        Some(())
    }

    /// Parts per million of a percentile, `percentile(99.9, ...)`.
    fn share_of(&mut self, aggregate: &Aggregate) -> Option<u32> {
        let Some(percent) = aggregate.argument else {
            return self.refuse(
                Diagnostic::new(codes::E0202, aggregate.function_span, "which percentile?")
                    .with_help(format!("write `percentile(95, {})`", self.inside(aggregate))),
            );
        };
        let ppm = literals::scaled(percent, 4).and_then(|ppm| u32::try_from(ppm).ok());
        if let Some(ppm @ 1..=1_000_000) = ppm {
            if ppm < PPM_OF_ONE_PERCENT {
                self.report.push(self.nearly_smallest(aggregate, ppm));
            }
            return Some(ppm);
        }
        let message = "a percentile lies above 0 and up to 100, with four decimals at most";
        self.refuse(
            Diagnostic::new(codes::E0511, aggregate.function_span, message)
                .with_help("the smallest value is `min`, the largest `max`"),
        )
    }

    /// A rank below one, where a part of one may be meant.
    fn nearly_smallest(&self, aggregate: &Aggregate, ppm: u32) -> Diagnostic {
        let [percent, hundredfold] =
            [ppm, ppm * 100].map(|ppm| f64::from(ppm) / f64::from(PPM_OF_ONE_PERCENT));
        let message = format!("`percentile({percent}, …)` is nearly the smallest value");
        let help = format!(
            "percentiles count to 100: write `percentile({hundredfold}, {})`",
            self.inside(aggregate)
        );
        Diagnostic::new(codes::W0203, aggregate.function_span, message).with_help(help)
    }

    /// The event and, where the function needs one, the field.
    fn target(&mut self, aggregate: &Aggregate) -> Option<(EventId, Option<FieldId>)> {
        let (path, function) = (&aggregate.path, aggregate.function);
        let schema = self.build.world.schema;
        let first = path.parts.first()?;
        let Some(event) = schema.event_named(&first.text).filter(|_| !path.this) else {
            let names = schema.events.iter().map(|event| event.name.as_str());
            let mut diagnostic = unknown_event(first, names);
            if self.build.world.field(self.scope.event, &dotted(path)).is_some() {
                let own = &schema.event(self.scope.event).name;
                diagnostic = Diagnostic::new(
                    codes::E0404,
                    path.span,
                    format!("`{}` of which event?", dotted(path)),
                )
                .with_help(format!("name the event first: `{own}.{}`", dotted(path)))
                .with_fix(path.span, format!("{own}.{}", dotted(path)));
            }
            return self.refuse(diagnostic);
        };
        let rest: Vec<&str> = path.parts.iter().skip(1).map(|part| part.text.as_str()).collect();
        let rest = rest.join(".");
        let of_event = matches!(
            function,
            Function::Count | Function::TimeSince | Function::Share | Function::Run
        );
        if of_event && rest.is_empty() {
            if let Some(currency) = &aggregate.currency {
                let message = format!("`{}` counts events, they have no currency", word(function));
                return self.refuse(Diagnostic::new(codes::E0404, currency.span, message));
            }
            return Some((event, None));
        }
        if of_event {
            return self.refuse(
                Diagnostic::new(codes::E0404, path.span, format!("`{}` takes an event, not a field", word(function)))
                    .with_help(format!("write `{0}({1})`, or `{0}({1} where {rest} is present)`; different values are counted by `distinct`", word(function), first.text))
                    .with_fix(path.span, first.text.clone()),
            );
        }
        if rest.is_empty() {
            return self.refuse(
                Diagnostic::new(
                    codes::E0404,
                    path.span,
                    format!("`{}` of which field of `{}`?", word(function), first.text),
                )
                .with_help(format!("write `{}`", example(function))),
            );
        }
        let Some(field) = self.build.world.field(event, &rest) else {
            let diagnostic = self.unknown_field(event, &rest, path);
            return self.refuse(diagnostic);
        };
        Some((event, Some(field)))
    }

    /// A field that an aggregated event lacks.
    pub(super) fn unknown_field(&self, id: EventId, name: &str, path: &Path) -> Diagnostic {
        let event = self.build.world.schema.event(id);
        let message = format!("event `{}` has no field `{name}`", event.name);
        let diagnostic = Diagnostic::new(codes::E0101, path.span, message).with_label("unknown");
        if let Some(help) = meant::help(self.build.world, id, name, None) {
            return diagnostic.with_help(help);
        }
        let known = event.fields.iter().map(|field| field.name.as_str());
        match suggest::nearest(name, known) {
            Some(near) => diagnostic
                .with_help(format!("did you mean `{}.{near}`?", event.name))
                .with_fix(path.span, format!("{}.{near}", event.name)),
            None => diagnostic.with_help(fields_of(event)),
        }
    }

    /// The condition on remembered events, in canonical form.
    fn filter(&mut self, event: EventId, filter: &Expr) -> Option<NodeId> {
        let mut scope = Scope::of(event);
        scope.params.clone_from(&self.scope.params);
        scope.in_filter = true;
        scope.in_cycle = self.scope.in_cycle;
        if let Some(diagnostic) = self.let_in_filter(filter, event, FILTER_HELP) {
            return self.refuse(diagnostic);
        }
        let report = &mut *self.report;
        let read = |build: &mut _| Checker { build, scope: &scope, report }.condition(filter);
        self.build.apart(read).0
    }

    /// The first `let` name that a filter uses, unless the aggregated event has a field of that name.
    pub(super) fn let_in_filter(
        &self,
        expr: &Expr,
        event: EventId,
        help: &str,
    ) -> Option<Diagnostic> {
        let mut found = None;
        walk(expr, &mut |inner| {
            let ExprKind::Path(path) = &inner.kind else { return };
            let name = dotted(path);
            let is_let = !path.this && path.parts.len() == 1 && self.scope.lets.contains_key(&name);
            if is_let && found.is_none() && self.build.world.field(event, &name).is_none() {
                let of = &self.build.world.schema.event(event).name;
                let message = format!(
                    "`{name}` is a value of the present event, here the fields of `{of}` are meant"
                );
                found = Some(Diagnostic::new(codes::E0405, inner.span, message).with_help(help));
            }
        });
        found
    }

    /// The remembered value of a field.
    fn column(&mut self, aggregate: &Aggregate, event: EventId, field: FieldId) -> Option<Column> {
        let world = self.build.world;
        let declared = world.schema.event(event).field(field);
        let function = aggregate.function;
        let currency = self.column_currency(aggregate, event, field)?;
        let kind = kind_of(&declared.ty);
        let is_time = matches!(declared.ty, FieldType::Time { .. });
        let fits = match function {
            Function::Sum
            | Function::Avg
            | Function::Stddev
            | Function::Median
            | Function::Percentile => {
                matches!(kind, ColumnKind::Int | ColumnKind::Micro) && !is_time
            }
            Function::Min | Function::Max => matches!(kind, ColumnKind::Int | ColumnKind::Micro),
            Function::Distinct | Function::IsNew => kind != ColumnKind::Geo,
            _ => true,
        };
        if !fits {
            let ty = types::of_field(world.schema, event, field, world.base_currency);
            let message = format!(
                "`{}` of `{}`, which is {}",
                word(function),
                self.quote(aggregate.path.span),
                self.describe(ty)
            );
            let help = match kind {
                ColumnKind::Word => "different values are counted by `distinct`, events by `count`",
                ColumnKind::Geo => {
                    "places can be remembered with `last` and compared with `distance`"
                }
                _ => "use `min`, `max` or `last`",
            };
            return self.refuse(
                Diagnostic::new(codes::E0404, aggregate.path.span, message)
                    .with_label("wrong type")
                    .with_help(help),
            );
        }
        self.column_of(event, field, currency, aggregate.path.span)
    }

    /// What is remembered of a field; money in this currency.
    pub(super) fn column_of(
        &mut self,
        event: EventId,
        field: FieldId,
        currency: Option<Currency>,
        span: Span,
    ) -> Option<Column> {
        let kind = kind_of(&self.build.world.schema.event(event).field(field).ty);
        let scope = Scope { in_filter: true, ..Scope::of(event) };
        let hint = currency.map(Type::Money);
        let report = &mut *self.report;
        let read = |build: &mut _| {
            Checker { build, scope: &scope, report }.field(event, field, hint, span)
        };
        let node = self.build.apart(read).0?;
        let ty = self.build.arena(event).ty(node);
        let text = self.writer(event).text(node);
        Some(Column { field: Some(field), named: Named { node, text }, kind, ty, unpriced: None })
    }

    /// The currency of a money column; `Some(None)` for other types.
    fn column_currency(
        &mut self,
        aggregate: &Aggregate,
        event: EventId,
        field: FieldId,
    ) -> Checked<Option<Currency>> {
        let declared = self.build.world.schema.event(event).field(field);
        let is_money = matches!(declared.ty, FieldType::Money { .. });
        match (&aggregate.currency, is_money) {
            (Some(code), true) => self.keep(literals::currency(&code.text, code.span)).map(Some),
            (Some(code), false) => {
                let message = format!("`{}` is not money", self.quote(aggregate.path.span));
                self.refuse(
                    Diagnostic::new(codes::E0205, code.span, message)
                        .with_help("leave `in` and the currency out"),
                )
            }
            (None, false) => Some(None),
            (None, true) => {
                let fixed = types::fixed_currency(declared);
                if fixed.is_none() {
                    self.mixes_currencies(aggregate);
                }
                fixed.map(Some)
            }
        }
    }

    /// What stands in the brackets behind the number, with the currency that it may lack.
    fn inside(&self, aggregate: &Aggregate) -> String {
        let path = self.quote(aggregate.path.span);
        match &aggregate.currency {
            Some(currency) => format!("{path} in {}", currency.text),
            None => path,
        }
    }

    fn mixes_currencies(&mut self, aggregate: &Aggregate) {
        let path = self.quote(aggregate.path.span);
        let (base, function) = (self.build.world.base_currency, word(aggregate.function));
        let message = format!("{function} of `{path}` mixes currencies");
        // The number of a percentile, which stands before the path.
        let before = Span {
            start: aggregate.function_span.end.saturating_add(1),
            end: aggregate.path.span.start,
            ..aggregate.path.span
        };
        let argument =
            aggregate.argument.map_or_else(String::new, |_| format!("{} ", self.quote(before)));
        self.report.push(
            Diagnostic::new(codes::E0220, aggregate.path.span, message)
                .with_help(format!("`{function}({argument}{path} in {base})`"))
                .with_fix(aggregate.path.span, format!("{path} in {base}")),
        );
    }

    fn build_aggregate(
        &mut self,
        (function, pick): (Function, Pick),
        frame: &Frame,
        filter: Option<NodeId>,
        column: Option<Column>,
    ) -> Option<NodeId> {
        let span = frame.span;
        let Some(column) = column else {
            if function == Function::TimeSince {
                let last = self.reading(frame, Kind::LastTime, None, filter)?;
                return self.node(Op::Since(last), Type::Duration, span);
            }
            if function == Function::Run {
                return self.reading(frame, Kind::Run, None, filter);
            }
            let counted = self.reading(frame, Kind::Count, None, filter)?;
            return match function {
                Function::Share => {
                    let all = self.reading(frame, Kind::Count, None, None)?;
                    self.node(Op::Div(counted, all), Type::Number, span)
                }
                _ => Some(counted),
            };
        };
        let unpriced = self.unpriced(frame, filter, &column)?;
        let filter = self.with_presence(frame.event, filter, &column)?;
        let column = Column { unpriced, ..column };
        let mean_ty = if column.ty == Type::Integer { Type::Number } else { column.ty };
        let kind = match function {
            Function::Sum => Kind::Sum,
            Function::Min => Kind::Min,
            Function::Max => Kind::Max,
            Function::Distinct => Kind::Distinct,
            Function::Last => Kind::Last,
            Function::Percentile => Kind::Ranked(pick),
            Function::Median => {
                let sum = self.reading(frame, Kind::Ranked(pick), Some(&column), filter)?;
                let two = Op::Constant(Constant::Int(2));
                let count = self.node(two, Type::Integer, span)?;
                return self.node(Op::Mean { sum, count }, mean_ty, span);
            }
            Function::IsNew => {
                let seen = self.reading(frame, Kind::CountOf, Some(&column), filter)?;
                return self.node(Op::IsZero(seen), Type::Bool, span);
            }
            _ => {
                let count = self.reading(frame, Kind::Count, None, filter)?;
                let sum = self.reading(frame, Kind::Sum, Some(&column), filter)?;
                if function == Function::Avg {
                    return self.node(Op::Mean { sum, count }, mean_ty, span);
                }
                let squares = self.reading(frame, Kind::SumSquares, Some(&column), filter)?;
                return self.node(Op::Deviation { count, sum, squares }, mean_ty, span);
            }
        };
        self.reading(frame, kind, Some(&column), filter)
    }

    /// The filter of a measure with a column: the value must be there. Left out when that is certain.
    pub(super) fn with_presence(
        &mut self,
        event: EventId,
        filter: Option<NodeId>,
        column: &Column,
    ) -> Checked<Option<NodeId>> {
        // A number that does not fit its column is not remembered, so a bit must say so.
        let is_certain = column.kind != ColumnKind::Micro
            && match column.field {
                Some(field) => {
                    let declared = self.build.world.schema.event(event).field(field);
                    !declared.optional && self.is_converted(event, column).is_none()
                }
                None => self.build.arena(event).op(column.named.node) == Some(&Op::Arrival),
            };
        if is_certain {
            return Some(filter);
        }
        let scope = Scope { in_filter: true, ..Scope::of(event) };
        let report = &mut *self.report;
        let read = |build: &mut _| {
            let mut inner = Checker { build, scope: &scope, report };
            let span = inner.build.arena(event).get(column.named.node).span;
            let missing = inner.node(Op::IsMissing(column.named.node), Type::Bool, span)?;
            let present = inner.not(missing, span)?;
            let all = filter.into_iter().chain([present]).collect();
            inner.join(all, true, span).map(Some)
        };
        self.build.apart(read).0
    }

    /// The field of a column of amounts that may be in another currency than what is asked for.
    fn is_converted(&self, event: EventId, column: &Column) -> Option<FieldId> {
        let (field, Type::Money(currency)) = (column.field?, column.ty) else { return None };
        let declared = self.build.world.schema.event(event).field(field);
        (types::fixed_currency(declared) != Some(currency)).then_some(field)
    }

    /// What a column is made of that may lack an exchange rate.
    fn converted_in(&self, event: EventId, column: &Column) -> Unpriced {
        let arena = self.build.arena(event);
        let (mut found, mut open) = (Unpriced::default(), vec![column.named.node]);
        let mut seen = BTreeSet::new();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match arena.op(id) {
                Some(Op::MoneyField { slot, currency }) => {
                    if currency.is_ok_and(|own| arena.ty(id) == Type::Money(own)) {
                        continue;
                    }
                    found.amounts.push((*slot, id));
                }
                Some(op) => op.each_operand(&mut |operand| open.push(operand)),
                None => {
                    if let Ir::Measure { with, .. } = &arena.get(id).ir {
                        found.left_out.extend(with.unpriced);
                    }
                }
            }
        }
        found.amounts.sort_unstable();
        found.left_out.sort_unstable();
        found.left_out.dedup();
        found
    }

    /// Counts what a measure leaves out for want of an exchange rate: events that pass the filter and have an amount of which
    /// the column is made, but not in the currency that is asked for; and those whose remembered value left such amounts out
    /// itself.
    fn unpriced(
        &mut self,
        frame: &Frame,
        filter: Option<NodeId>,
        column: &Column,
    ) -> Checked<Option<NodeId>> {
        let Unpriced { amounts, left_out } = self.converted_in(frame.event, column);
        if amounts.is_empty() && left_out.is_empty() {
            return Some(None);
        }
        let scope = Scope { in_filter: true, ..Scope::of(frame.event) };
        let report = &mut *self.report;
        let read = |build: &mut _| {
            let mut inner = Checker { build, scope: &scope, report };
            let span = inner.build.arena(frame.event).get(column.named.node).span;
            let mut any = Vec::new();
            for (slot, money) in amounts {
                let amount = inner.node(Op::Field(slot), Type::Integer, span)?;
                let absent = inner.node(Op::IsMissing(amount), Type::Bool, span)?;
                let present = inner.not(absent, span)?;
                let unknown = inner.node(Op::IsMissing(money), Type::Bool, span)?;
                any.push(inner.join(vec![present, unknown], true, span)?);
            }
            let mut either = Vec::new();
            if !any.is_empty() {
                let any = inner.join(any, false, span)?;
                let missing = inner.node(Op::IsMissing(column.named.node), Type::Bool, span)?;
                either.push(inner.join(vec![any, missing], true, span)?);
            }
            for counted in left_out {
                let none = inner.node(Op::Constant(Constant::Int(0)), Type::Integer, span)?;
                let some = Op::Compare(CompareOp::Gt, counted, none);
                either.push(inner.node(some, Type::Bool, span)?);
            }
            let either = inner.join(either, false, span)?;
            let all = filter.into_iter().chain([either]).collect();
            inner.join(all, true, span)
        };
        let left_out = self.build.apart(read).0?;
        // The author wrote no such question, so nothing is noted for editors.
        let notes = self.build.notes.take();
        let counted = self.reading(frame, Kind::Count, None, Some(left_out));
        self.build.notes = notes;
        counted.map(Some)
    }

    pub(super) fn reading(
        &mut self,
        frame: &Frame,
        kind: Kind,
        column: Option<&Column>,
        filter: Option<NodeId>,
    ) -> Option<NodeId> {
        let ty = match (kind, column) {
            (Kind::LastTime, _) => Type::Time,
            (Kind::Count | Kind::Distinct | Kind::CountOf, _) | (_, None) => Type::Integer,
            (_, Some(column)) => column.ty,
        };
        let probe = match (kind, column) {
            (Kind::CountOf, Some(column)) => Some(self.probe(frame, column)?),
            _ => None,
        };
        let filter = filter.map(|node| Named { node, text: self.writer(frame.event).text(node) });
        let request = Request {
            event: frame.event,
            keys: frame.keys.iter().map(|(stored, _)| *stored).collect(),
            kind,
            column: column.map(|column| (column.named.clone(), column.kind)),
            field: column.and_then(|column| column.field),
            filter,
            window: frame.window,
            counting: frame.counting,
            table: String::new(),
            identity: String::new(),
        };
        let request = self.build.measures.intern(request, self.build.world.schema);
        if let Some(notes) = &mut self.build.notes {
            let identity = self.build.measures.get(request).identity.clone();
            notes.state.insert((frame.span, identity));
        }
        let keys = frame.keys.iter().map(|(_, slot)| *slot).collect();
        let unpriced = column.and_then(|column| column.unpriced);
        let with = Beside { probe, zone: frame.zone, unpriced };
        self.intern(Ir::Measure { request, keys, with }, ty, frame.span)
    }

    /// The value of the present event that `is_new` looks for.
    fn probe(&mut self, frame: &Frame, column: &Column) -> Option<NodeId> {
        let (world, present) = (self.build.world, self.scope.event);
        let name = &world.schema.event(frame.event).field(column.field?).name;
        let Some(field) = world.field(present, name) else {
            let present_name = &world.schema.event(present).name;
            let message =
                format!("`is_new` looks for this event's `{name}`, and `{present_name}` has none");
            return self.refuse(
                Diagnostic::new(codes::E0401, frame.span, message)
                    .with_help(format!("use it in rules on events with a field `{name}`")),
            );
        };
        let hint = matches!(column.ty, Type::Money(_)).then_some(column.ty);
        let id = self.field(present, field, hint, frame.span)?;
        let ty = self.ty(id);
        if ty == column.ty {
            return Some(id);
        }
        let code = match (ty, column.ty) {
            (Type::Entity(_), Type::Entity(_)) => codes::E0214,
            _ => codes::E0201,
        };
        let message = format!(
            "`{name}` is {} in the remembered event and {} in this one",
            self.describe(column.ty),
            self.describe(ty)
        );
        self.refuse(Diagnostic::new(code, frame.span, message))
    }

    pub(super) fn writer(&self, event: EventId) -> Writer<'_> {
        let world = self.build.world;
        let (schema, lists, converts) = (world.schema, world.lists, world.converts);
        let (arena, measures) = (self.build.arena(event), &self.build.measures);
        Writer { arena, schema, lists, measures, event, converts }
    }
}

/// What a column is made of that may lack an exchange rate.
#[derive(Debug, Default)]
struct Unpriced {
    /// Where an amount stands in a record, and what it is in the currency that is asked for.
    amounts: Vec<(SlotId, NodeId)>,
    /// What counts the amounts that a reading left out.
    left_out: Vec<NodeId>,
}

/// What may stand in the `where` of an aggregate.
const FILTER_HELP: &str = "inside an aggregate's `where` only fields of its event, aggregates on it, params and features may stand";

/// How a field is remembered.
fn kind_of(ty: &FieldType) -> ColumnKind {
    match ty {
        FieldType::Money { .. } | FieldType::Integer | FieldType::Time { .. } => ColumnKind::Int,
        FieldType::Number => ColumnKind::Micro,
        FieldType::Geo => ColumnKind::Geo,
        _ => ColumnKind::Word,
    }
}
