//! Aggregates: `sum(transfer.amount in EUR where ...) by receiver = this.sender over prior 24h` becomes arithmetic on
//! primitive measures of a state table.

use crate::base::Currency;
use crate::diag::{Diagnostic, Span, codes, suggest};
use crate::event::schema::{EventId, FieldId, FieldType, SlotId};
use crate::rules::check::arena::Ir;
use crate::rules::check::canonical::Writer;
use crate::rules::check::checker::{Checker, Scope};
use crate::rules::check::limits::MAX_WINDOW_MS;
use crate::rules::check::measures::{Kind, Named, Request};
use crate::rules::check::schema::{dotted, unknown_event};
use crate::rules::check::{literals, types};
use crate::rules::program::{Constant, NodeId, Op, Type};
use crate::rules::syntax::ast::{
    Aggregate, AggregateFunction as Function, Counting as AstCounting, Expr, ExprKind, Key, Path,
    Window, WindowKind, WindowLength,
};
use crate::window::spec::{ColumnKind, Counting, Span as WindowSpan};

/// Everything about an aggregate but its measure.
#[derive(Debug)]
struct Frame {
    event: EventId,
    /// Stored key and the slot in which the present event has it, sorted by the stored key's name.
    keys: Vec<(FieldId, SlotId)>,
    window: WindowSpan,
    counting: Counting,
    span: Span,
}

/// What is remembered per event.
#[derive(Clone, Debug)]
struct Column {
    field: FieldId,
    named: Named,
    kind: ColumnKind,
    ty: Type,
}

impl Checker<'_, '_> {
    /// An aggregate as an expression of this scope's event.
    pub(super) fn aggregate(&mut self, aggregate: &Aggregate, span: Span) -> Option<NodeId> {
        if self.scope.in_filter {
            return self.refuse(
                Diagnostic::new(codes::E0407, span, "an aggregate inside an aggregate").with_help(
                    "inside `where` only fields, params and features without aggregates may stand",
                ),
            );
        }
        self.supported(aggregate)?;
        let (event, field) = self.target(aggregate)?;
        let keys = self.keys(event, &aggregate.keys);
        let window = self.window(&aggregate.window);
        let filter = aggregate.filter.as_ref().map(|filter| self.filter(event, filter));
        let column = field.map(|field| self.column(aggregate, event, field));
        let (keys, (window, counting)) = (keys?, window?);
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
        let frame = Frame { event, keys, window, counting, span };
        self.build_aggregate(aggregate.function, &frame, filter, column)
    }

    fn supported(&mut self, aggregate: &Aggregate) -> Option<()> {
        let function = aggregate.function;
        if matches!(function, Function::Median | Function::Percentile) {
            return self.refuse(
                Diagnostic::new(
                    codes::E0905,
                    aggregate.function_span,
                    format!("`{}` is not supported yet", word(function)),
                )
                .with_help("until then, use `avg` and `stddev`, or `max`"),
            );
        }
        if aggregate.argument.is_some() {
            return self.refuse(
                Diagnostic::new(
                    codes::E0202,
                    aggregate.function_span,
                    format!("`{}` takes no number", word(function)),
                )
                .with_help(format!("write `{}`", example(function))),
            );
        }
        if function == Function::Share && aggregate.filter.is_none() {
            return self.refuse(
                Diagnostic::new(codes::E0404, aggregate.path.span, "a share of what?").with_help(
                    "say which events count: `share(card_payment where status = declined)`",
                ),
            );
        }
        Some(())
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
        let of_event = matches!(function, Function::Count | Function::TimeSince | Function::Share);
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

    fn unknown_field(&self, event: EventId, name: &str, path: &Path) -> Diagnostic {
        let event = self.build.world.schema.event(event);
        let message = format!("event `{}` has no field `{name}`", event.name);
        let diagnostic = Diagnostic::new(codes::E0101, path.span, message).with_label("unknown");
        let known = event.fields.iter().map(|field| field.name.as_str());
        match suggest::nearest(name, known) {
            Some(near) => diagnostic
                .with_help(format!("did you mean `{}.{near}`?", event.name))
                .with_fix(path.span, format!("{}.{near}", event.name)),
            None => diagnostic,
        }
    }

    fn keys(&mut self, event: EventId, keys: &[Key]) -> Option<Vec<(FieldId, SlotId)>> {
        let mut list: Vec<(FieldId, SlotId)> = Vec::new();
        let mut complete = !keys.is_empty();
        for key in keys {
            match self.key(event, key) {
                Some(pair) if list.iter().any(|(stored, _)| *stored == pair.0) => {
                    let message = format!("key `{}` is given twice", self.quote(key.span));
                    self.report.push(Diagnostic::new(codes::E0104, key.span, message));
                    complete = false;
                }
                Some(pair) => list.push(pair),
                None => complete = false,
            }
        }
        let schema = self.build.world.schema;
        list.sort_by_key(|(stored, _)| schema.event(event).field(*stored).name.clone());
        complete.then_some(list)
    }

    fn key(&mut self, event: EventId, key: &Key) -> Option<(FieldId, SlotId)> {
        let (world, present) = (self.build.world, self.scope.event);
        let event_name = world.schema.event(event).name.clone();
        let present_name = &world.schema.event(present).name;
        let mut name = dotted(&key.stored);
        if let Some(rest) = name.strip_prefix(&format!("{event_name}.")) {
            name = rest.to_owned();
        }
        let Some(stored) = world.field(event, &name) else {
            let mut diagnostic = self.unknown_field(event, &name, &key.stored);
            diagnostic.code = codes::E0401;
            return self.refuse(diagnostic);
        };
        let this_path = key.this.as_ref().unwrap_or(&key.stored);
        let this_name = if key.this.is_some() { dotted(this_path) } else { name.clone() };
        let Some(this) = world.field(present, &this_name) else {
            let message = format!("event `{present_name}` has no `{this_name}` to look up");
            let diagnostic = Diagnostic::new(codes::E0401, this_path.span, message).with_help(format!(
                "say where this event has it: `by {name} = this.<field of {present_name}>`, or give both events one name with `entity`"
            ));
            return self.refuse(diagnostic);
        };
        let pair = [(event, stored), (present, this)]
            .map(|(event, field)| types::of_field(world.schema, event, field, world.base_currency));
        let [stored_ty, this_ty] = pair;
        for (ty, path) in [(stored_ty, &key.stored), (this_ty, this_path)] {
            if !types::is_textual(ty) {
                let message = format!(
                    "`{}` is {} and cannot be a key",
                    self.quote(path.span),
                    self.describe(ty)
                );
                let diagnostic = Diagnostic::new(codes::E0401, path.span, message)
                    .with_help("keys are texts, addresses and entities; declare the field as an entity to group by it");
                return self.refuse(diagnostic);
            }
        }
        if stored_ty != this_ty {
            let message = format!(
                "`{name}` of `{event_name}` is {}, `{this_name}` of `{present_name}` is {}; they can never be equal",
                self.describe(stored_ty),
                self.describe(this_ty)
            );
            return self.refuse(Diagnostic::new(codes::E0214, key.span, message));
        }
        Some((stored, world.schema.event(present).field(this).slot))
    }

    fn window(&mut self, window: &Window) -> Option<(WindowSpan, Counting)> {
        let (counting, length, ending_ago_ms) = match &window.kind {
            WindowKind::Calendar(name) => {
                return self.refuse(
                    Diagnostic::new(
                        codes::E0904,
                        window.span,
                        format!("`over {}` is not supported yet", name.text),
                    )
                    .with_help("until then, use a sliding window such as `over last 24h`"),
                );
            }
            WindowKind::Lifetime => {
                return self.refuse(
                    Diagnostic::new(
                        codes::E0906,
                        window.span,
                        "`over lifetime` is not supported yet",
                    )
                    .with_help("until then, use a long window such as `over prior 365d`"),
                );
            }
            WindowKind::Sliding { counting, length, ending_ago_ms } => {
                (counting, length, ending_ago_ms)
            }
        };
        let (length_ms, span) = self.length(length)?;
        let Some(counting) = counting else {
            let text = crate::rules::check::measures::duration(length_ms);
            return self.refuse(
                Diagnostic::new(codes::E0402, span, "say whether the window counts this event")
                    .with_label(format!("`last {text}` counts it, `prior {text}` does not"))
                    .with_help(format!("write `over last {text}` or `over prior {text}`")),
            );
        };
        let ending_ago_ms = ending_ago_ms.unwrap_or(0);
        if length_ms <= 0 || ending_ago_ms < 0 {
            return self.refuse(
                Diagnostic::new(codes::E0403, window.span, "this window is empty")
                    .with_help("give it a positive length"),
            );
        }
        if length_ms > MAX_WINDOW_MS || ending_ago_ms > MAX_WINDOW_MS {
            return self.refuse(
                Diagnostic::new(codes::E0403, window.span, "this window is longer than ten years")
                    .with_help("state is kept for the whole window; use a shorter one"),
            );
        }
        let counting = match counting {
            AstCounting::Last => Counting::Last,
            AstCounting::Prior => Counting::Prior,
        };
        Some((WindowSpan { length_ms, ending_ago_ms }, counting))
    }

    fn length(&mut self, length: &WindowLength) -> Option<(i64, Span)> {
        let name = match length {
            WindowLength::Millis(ms, span) => return Some((*ms, *span)),
            WindowLength::Named(name) => name,
        };
        let Some(param) = self.scope.params.get(&name.text) else {
            let params = self.scope.params.keys().map(String::as_str);
            let diagnostic = Diagnostic::new(
                codes::E0401,
                name.span,
                format!("there is no param `{}`", name.text),
            )
            .with_label("unknown");
            let diagnostic = match suggest::nearest(&name.text, params) {
                Some(near) => diagnostic
                    .with_help(format!("did you mean `{near}`?"))
                    .with_fix(name.span, near),
                None => diagnostic
                    .with_help("write a length such as `10m`, or declare `param span = 10m`"),
            };
            return self.refuse(diagnostic);
        };
        match (&param.constant, param.ty) {
            (Constant::Int(ms), Type::Duration) => Some((*ms, name.span)),
            (_, ty) => {
                let message =
                    format!("`{}` is {}, a window needs a duration", name.text, self.describe(ty));
                self.refuse(
                    Diagnostic::new(codes::E0205, name.span, message)
                        .with_help("give the param a unit, as in `10m`"),
                )
            }
        }
    }

    /// The condition on remembered events, in canonical form.
    fn filter(&mut self, event: EventId, filter: &Expr) -> Option<NodeId> {
        let mut scope = Scope::of(event);
        scope.params.clone_from(&self.scope.params);
        scope.in_filter = true;
        if let Some(diagnostic) = self.let_in_filter(filter, event) {
            return self.refuse(diagnostic);
        }
        Checker { build: self.build, scope: &scope, report: self.report }.condition(filter)
    }

    /// The first `let` name that a filter uses, unless the aggregated event has a field of that name.
    fn let_in_filter(&self, expr: &Expr, event: EventId) -> Option<Diagnostic> {
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
                found = Some(
                    Diagnostic::new(codes::E0405, inner.span, message).with_help(
                        "inside an aggregate's `where` only fields, params and features without aggregates may stand",
                    ),
                );
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
        let kind = match &declared.ty {
            FieldType::Money { .. } | FieldType::Integer | FieldType::Time { .. } => {
                ColumnKind::Int
            }
            FieldType::Number => ColumnKind::Micro,
            FieldType::Geo => ColumnKind::Geo,
            _ => ColumnKind::Word,
        };
        let is_time = matches!(declared.ty, FieldType::Time { .. });
        let fits = match function {
            Function::Sum | Function::Avg | Function::Stddev => {
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
        let scope = Scope { in_filter: true, ..Scope::of(event) };
        let hint = currency.map(Type::Money);
        let node = Checker { build: self.build, scope: &scope, report: self.report }.field(
            event,
            field,
            hint,
            aggregate.path.span,
        )?;
        let ty = self.build.arena(event).ty(node);
        let text = self.writer(event).text(node);
        Some(Column { field, named: Named { node, text }, kind, ty })
    }

    /// The currency of a money column; `Some(None)` for other types.
    #[expect(clippy::option_option, reason = "the outer says whether it was refused")]
    fn column_currency(
        &mut self,
        aggregate: &Aggregate,
        event: EventId,
        field: FieldId,
    ) -> Option<Option<Currency>> {
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
            (None, true) => match types::fixed_currency(declared) {
                Some(currency) => Some(Some(currency)),
                None => {
                    let path = self.quote(aggregate.path.span);
                    let (base, function) =
                        (self.build.world.base_currency, word(aggregate.function));
                    let message = format!("{function} of `{path}` mixes currencies");
                    self.refuse(
                        Diagnostic::new(codes::E0220, aggregate.path.span, message)
                            .with_help(format!("`{function}({path} in {base})`"))
                            .with_fix(aggregate.path.span, format!("{path} in {base}")),
                    )
                }
            },
        }
    }

    fn build_aggregate(
        &mut self,
        function: Function,
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
            let counted = self.reading(frame, Kind::Count, None, filter)?;
            return match function {
                Function::Share => {
                    let all = self.reading(frame, Kind::Count, None, None)?;
                    self.node(Op::Div(counted, all), Type::Number, span)
                }
                _ => Some(counted),
            };
        };
        let filter = self.with_presence(frame.event, filter, &column)?;
        let mean_ty = if column.ty == Type::Integer { Type::Number } else { column.ty };
        let kind = match function {
            Function::Sum => Kind::Sum,
            Function::Min => Kind::Min,
            Function::Max => Kind::Max,
            Function::Distinct => Kind::Distinct,
            Function::Last => Kind::Last,
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
    #[expect(clippy::option_option, reason = "the outer says whether it was refused")]
    fn with_presence(
        &mut self,
        event: EventId,
        filter: Option<NodeId>,
        column: &Column,
    ) -> Option<Option<NodeId>> {
        let declared = self.build.world.schema.event(event).field(column.field);
        let converted = match column.ty {
            Type::Money(currency) => types::fixed_currency(declared) != Some(currency),
            _ => false,
        };
        // A number that does not fit its column is not remembered, so a bit must say so.
        if !declared.optional && !converted && column.kind != ColumnKind::Micro {
            return Some(filter);
        }
        let scope = Scope { in_filter: true, ..Scope::of(event) };
        let mut inner = Checker { build: self.build, scope: &scope, report: self.report };
        let span = inner.build.arena(event).get(column.named.node).span;
        let missing = inner.node(Op::IsMissing(column.named.node), Type::Bool, span)?;
        let present = inner.not(missing, span)?;
        let all = filter.into_iter().chain([present]).collect();
        inner.join(all, true, span).map(Some)
    }

    fn reading(
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
            filter,
            window: frame.window,
            counting: frame.counting,
            table: String::new(),
            identity: String::new(),
        };
        let request = self.build.measures.intern(request, self.build.world.schema);
        let keys = frame.keys.iter().map(|(_, slot)| *slot).collect();
        self.intern(Ir::Measure { request, keys, probe }, ty, frame.span)
    }

    /// The value of the present event that `is_new` looks for.
    fn probe(&mut self, frame: &Frame, column: &Column) -> Option<NodeId> {
        let (world, present) = (self.build.world, self.scope.event);
        let name = &world.schema.event(frame.event).field(column.field).name;
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

    fn writer(&self, event: EventId) -> Writer<'_> {
        let (schema, lists) = (self.build.world.schema, self.build.world.lists);
        Writer { arena: self.build.arena(event), schema, lists, event }
    }
}

/// Visits an expression and what it is made of.
fn walk(expr: &Expr, visit: &mut dyn FnMut(&Expr)) {
    visit(expr);
    match &expr.kind {
        ExprKind::Call(_, list) | ExprKind::And(list) | ExprKind::Or(list) => {
            list.iter().for_each(|inner| walk(inner, visit));
        }
        ExprKind::Not(a)
        | ExprKind::Matches(a, _)
        | ExprKind::PercentOf(_, a)
        | ExprKind::IsMissing { value: a, .. }
        | ExprKind::InList { value: a, .. } => walk(a, visit),
        ExprKind::InSet { value, set, .. } => {
            walk(value, visit);
            set.iter().for_each(|inner| walk(inner, visit));
        }
        ExprKind::Between(a, b, c) => [a, b, c].into_iter().for_each(|inner| walk(inner, visit)),
        ExprKind::Compare(_, a, b)
        | ExprKind::Contains(a, b)
        | ExprKind::StartsWith(a, b)
        | ExprKind::Arithmetic(_, a, b)
        | ExprKind::Default(a, b) => [a, b].into_iter().for_each(|inner| walk(inner, visit)),
        ExprKind::Literal(_)
        | ExprKind::Path(_)
        | ExprKind::Aggregate(_)
        | ExprKind::Sequence(_)
        | ExprKind::Error => {}
    }
}

fn word(function: Function) -> &'static str {
    match function {
        Function::Count => "count",
        Function::Sum => "sum",
        Function::Avg => "avg",
        Function::Min => "min",
        Function::Max => "max",
        Function::Stddev => "stddev",
        Function::Median => "median",
        Function::Percentile => "percentile",
        Function::Distinct => "distinct",
        Function::Last => "last",
        Function::IsNew => "is_new",
        Function::TimeSince => "time_since",
        Function::Share => "share",
    }
}

fn example(function: Function) -> &'static str {
    match function {
        Function::Count => "count(card_payment)",
        Function::TimeSince => "time_since(card_payment)",
        Function::Share => "share(card_payment where status = declined)",
        Function::Distinct => "distinct(card_payment.card)",
        Function::IsNew => "is_new(login.device)",
        Function::Last => "last(card_payment.geo)",
        Function::Sum => "sum(card_payment.amount)",
        Function::Avg => "avg(card_payment.amount)",
        Function::Min => "min(card_payment.amount)",
        Function::Max | Function::Median | Function::Percentile => "max(card_payment.amount)",
        Function::Stddev => "stddev(card_payment.amount)",
    }
}
